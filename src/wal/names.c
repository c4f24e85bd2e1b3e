#include "wal/names.h"

#include <inttypes.h>
#include <stdio.h>

void wal_note(const struct wal_options *options, const char *event, const char *path)
{
	if (options && options->note)
		options->note(options->note_arg, event, path);
}

void wal_name_make(struct wal_name *out, uint64_t seq, uint64_t index)
{
	out->seq = seq;
	out->index = index;
	snprintf(out->text, sizeof(out->text), "%016" PRIx64 "-%016" PRIx64 ".wal", seq, index);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly 16 digits. */
static bool hex16(const char *s, uint64_t *out)
{
	uint64_t v = 0;

	for (int i = 0; i < 16; i++) {
		int digit = hex_digit(s[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*out = v;
	return true;
}

bool wal_name_parse(const char *text, struct wal_name *out)
{
	struct wal_name n = {0};

	if (strlen(text) != 37 || text[16] != '-' || strcmp(text + 33, ".wal") != 0)
		return false;
	if (!hex16(text, &n.seq) || !hex16(text + 17, &n.index))
		return false;
	strcpy(n.text, text);
	*out = n;
	return true;
}

static bool ends_with(const char *s, const char *end)
{
	size_t size = strlen(s), end_size = strlen(end);

	return size >= end_size && strcmp(s + size - end_size, end) == 0;
}

bool wal_exists(struct vfs *fs, const char *dir)
{
	struct vfs_names all;
	bool found = false;

	if (vfs_list(fs, dir, &all))
		return false;
	for (size_t i = 0; i < all.count && !found; i++)
		found = ends_with(all.at[i], ".wal");
	vfs_names_free(&all);
	return found;
}

err_t wal_names_list(struct vfs *fs, const char *dir, const struct wal_options *options, struct why *why,
		     struct wal_names *out)
{
	struct vfs_names all;
	struct wal_names n = {0};
	err_t err = vfs_list(fs, dir, &all);

	if (err)
		return why_set(why, err, "cannot list %s: %s", dir, err_text(err));
	n.at = NEW_ARRAY(struct wal_name, all.count + 1);
	for (size_t i = 0; i < all.count; i++) {
		if (wal_name_parse(all.at[i], &n.at[n.count]))
			n.count++;
		else if (!ends_with(all.at[i], ".tmp"))
			wal_note(options, "ignored file in WAL directory", all.at[i]);
	}
	vfs_names_free(&all);
	if (n.count == 0) {
		mem_free(n.at);
		return why_set(why, ERR_NOT_EXIST, "wal: file not found");
	}
	*out = n;
	return OK;
}

err_t wal_names_from(const struct wal_names *names, uint64_t index, struct why *why, size_t *from)
{
	size_t i = names->count;

	while (i > 0 && names->at[i - 1].index > index)
		i--;
	if (i == 0)
		return why_set(why, ERR_CORRUPT_FILE,
			       "wal: file not found which matches the snapshot index '%" PRIu64 "'", index);
	i--;
	for (size_t k = i + 1; k < names->count; k++)
		if (names->at[k].seq != names->at[k - 1].seq + 1)
			return why_set(why, ERR_CORRUPT_FILE,
				       "wal: file sequence numbers (starting from %zu) do not increase continuously",
				       i);
	*from = i;
	return OK;
}
