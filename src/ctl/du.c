#include "ctl/du.h"

enum { PATH_MAX_BYTES = 64 << 20 };

size_t du_level_end(struct slice key, size_t at, char delimiter)
{
	const uint8_t *found;

	if (at + 1 >= key.size)
		return 0;
	found = memchr(key.data + at + 1, delimiter, key.size - at - 1);
	return found ? (size_t)(found - key.data) + 1 : 0;
}

void du_init(struct du *d, struct slice prefix, char delimiter, size_t depth,
	     void (*on_level)(void *user, struct slice path, struct du_sums sums), void *user)
{
	ASSERT(depth <= DU_DEPTH_MAX);
	*d = (struct du){.prefix = prefix, .delimiter = delimiter, .depth = depth, .on_level = on_level, .user = user};
	buf_init(&d->path, PATH_MAX_BYTES);
	buf_put(&d->path, prefix.data, prefix.size);
	d->end[0] = prefix.size;
}

/* The innermost level is complete; what it has counts for the one around it too. */
static void close_level(struct du *d)
{
	struct du_sums sums = d->at[d->open];

	d->on_level(d->user, slice_of(d->path.data, d->end[d->open]), sums);
	if (!d->open)
		return;
	d->open--;
	d->at[d->open].keys += sums.keys;
	d->at[d->open].bytes += sums.bytes;
	d->path.size = d->end[d->open];
}

static bool is_below(const struct du *d, struct slice key)
{
	return key.size >= d->path.size && !memcmp(key.data, d->path.data, d->path.size);
}

void du_add(struct du *d, struct slice key, size_t value_size)
{
	while (d->open && !is_below(d, key))
		close_level(d);
	while (d->open < d->depth) {
		size_t start = d->end[d->open], end = du_level_end(key, start, d->delimiter);

		if (!end)
			break;
		d->open++;
		d->at[d->open] = (struct du_sums){0};
		d->end[d->open] = end;
		buf_put(&d->path, key.data + start, end - start);
	}
	d->at[d->open].keys++;
	d->at[d->open].bytes += key.size + value_size;
}

void du_end(struct du *d)
{
	while (d->open)
		close_level(d);
	close_level(d);
	buf_fini(&d->path);
}
