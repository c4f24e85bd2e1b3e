#include "ctl/hot.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ctl/du.h"

void hot_init(struct hot *h, char delimiter, size_t depth)
{
	*h = (struct hot){.delimiter = delimiter, .depth = depth};
	h->rows = NEW_ARRAY(struct hot_row, HOT_MAX);
}

void hot_fini(struct hot *h)
{
	for (size_t i = 0; i < h->count; i++)
		mem_free(h->rows[i].prefix);
	mem_free(h->rows);
}

/* The first levels of a key; a key that has fewer is its own prefix up to its last level. */
static struct slice prefix_of(const struct hot *h, struct slice key)
{
	size_t at = 0;

	for (size_t i = 0; i < h->depth; i++) {
		size_t end = du_level_end(key, at, h->delimiter);

		if (!end)
			break;
		at = end;
	}
	return slice_of(key.data, MIN(at, (size_t)HOT_PREFIX_MAX));
}

/* Where prefix is, or would stand. */
static size_t seek(const struct hot *h, struct slice prefix, bool *found)
{
	size_t low = 0, high = h->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = slice_cmp(slice_of(h->rows[middle].prefix, h->rows[middle].size), prefix);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static double heat_of(const struct hot_row *r)
{
	return r->heat + (double)r->events;
}

static int by_heat(const void *a, const void *b)
{
	double x = heat_of(a), y = heat_of(b);

	return x < y ? 1 : x > y ? -1 : 0;
}

static int by_prefix(const void *a, const void *b)
{
	const struct hot_row *x = a, *y = b;

	return slice_cmp(slice_of(x->prefix, x->size), slice_of(y->prefix, y->size));
}

static void forget_half(struct hot *h)
{
	qsort(h->rows, h->count, sizeof(*h->rows), by_heat);
	for (size_t i = HOT_MAX / 2; i < h->count; i++)
		mem_free(h->rows[i].prefix);
	h->count = HOT_MAX / 2;
	qsort(h->rows, h->count, sizeof(*h->rows), by_prefix);
	h->forgotten++;
}

void hot_add(struct hot *h, struct slice key, size_t bytes)
{
	struct slice prefix = prefix_of(h, key);
	bool found;
	size_t at = seek(h, prefix, &found);
	struct hot_row *r;

	if (!found && h->count == HOT_MAX) {
		forget_half(h);
		at = seek(h, prefix, &found);
	}
	r = &h->rows[at];
	if (!found) {
		memmove(r + 1, r, (h->count - at) * sizeof(*r));
		*r = (struct hot_row){.prefix = mem_alloc(prefix.size), .size = prefix.size};
		memcpy(r->prefix, prefix.data, prefix.size);
		h->count++;
	}
	r->events++;
	r->bytes += bytes;
	r->events_all++;
	r->bytes_all += bytes;
}

void hot_turn(struct hot *h, double seconds)
{
	for (size_t i = 0; i < h->count; i++) {
		struct hot_row *r = &h->rows[i];

		r->heat = r->heat / 2 + (double)r->events;
		r->events_per_s = (double)r->events / seconds;
		r->bytes_per_s = (double)r->bytes / seconds;
		r->events = r->bytes = 0;
	}
}

static bool is_hotter(const struct hot_row *a, const struct hot_row *b)
{
	double x = heat_of(a), y = heat_of(b);

	return x > y || (x == y && a->bytes_all > b->bytes_all);
}

size_t hot_top(const struct hot *h, const struct hot_row **out, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < h->count; i++) {
		size_t at = count;

		while (at && is_hotter(&h->rows[i], out[at - 1]))
			at--;
		if (at == max)
			continue;
		count = MIN(count + 1, max);
		memmove(out + at + 1, out + at, (count - at - 1) * sizeof(*out));
		out[at] = &h->rows[i];
	}
	return count;
}
