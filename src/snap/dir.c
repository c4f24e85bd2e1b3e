#include "snap/dir.h"

#include <inttypes.h>
#include <stdio.h>

void snap_note(const struct snap_notes *notes, const char *event, const char *path)
{
	if (notes && notes->note)
		notes->note(notes->arg, event, path);
}

static bool ends_with(const char *s, const char *end)
{
	size_t size = strlen(s), end_size = strlen(end);

	return size >= end_size && strcmp(s + size - end_size, end) == 0;
}

static bool begins_with(const char *s, const char *front)
{
	return strncmp(s, front, strlen(front)) == 0;
}

static err_t remove_in(struct vfs *fs, const char *dir, const char *name)
{
	char *path = mem_printf("%s/%s", dir, name);
	err_t err = vfs_remove(fs, path);

	mem_free(path);
	return err == ERR_NOT_EXIST ? OK : err;
}

err_t snap_dir_list(struct vfs *fs, const char *dir, const struct snap_notes *notes, struct vfs_names *out)
{
	struct vfs_names all;
	size_t kept = 0;
	err_t err = vfs_list(fs, dir, &all);

	if (err)
		return err;
	for (size_t i = 0; i < all.count; i++) {
		char *name = all.at[i];

		if (ends_with(name, ".snap")) {
			all.at[kept++] = name;
			continue;
		}
		if (!err && begins_with(name, "db.tmp")) {
			snap_note(notes, "found orphaned defragmentation file; deleting", name);
			err = remove_in(fs, dir, name);
		} else if (strcmp(name, "db") != 0) {
			snap_note(notes, "found unexpected non-snap file; skipping", name);
		}
		mem_free(name);
	}
	all.count = kept;
	if (err)
		vfs_names_free(&all);
	else
		*out = all;
	return err;
}

err_t snap_clean(struct vfs *fs, const char *dir, const struct snap_notes *notes)
{
	struct vfs_names all;
	err_t err = vfs_list(fs, dir, &all);

	if (err)
		return err;
	for (size_t i = 0; i < all.count && !err; i++) {
		if (!begins_with(all.at[i], "tmp"))
			continue;
		snap_note(notes, "removed a partly received database", all.at[i]);
		err = remove_in(fs, dir, all.at[i]);
	}
	vfs_names_free(&all);
	return err;
}

void snap_db_name(uint64_t index, char out[SNAP_NAME_SIZE])
{
	snprintf(out, SNAP_NAME_SIZE, "%016" PRIx64 ".snap.db", index);
}

bool snap_db_exists(struct vfs *fs, const char *dir, uint64_t index)
{
	char name[SNAP_NAME_SIZE];
	char *path;
	bool there;

	snap_db_name(index, name);
	path = mem_printf("%s/%s", dir, name);
	there = vfs_exists(fs, path);
	mem_free(path);
	return there;
}

err_t snap_db_commit(struct vfs *fs, const char *dir, const char *tmp_name, uint64_t index)
{
	char name[SNAP_NAME_SIZE];
	char *from, *to;
	err_t err;

	if (snap_db_exists(fs, dir, index))
		return remove_in(fs, dir, tmp_name);
	snap_db_name(index, name);
	from = mem_printf("%s/%s", dir, tmp_name);
	to = mem_printf("%s/%s", dir, name);
	err = vfs_rename(fs, from, to);
	if (err)
		(void)!vfs_remove(fs, from);
	else
		err = vfs_sync_dir(fs, dir);
	mem_free(from);
	mem_free(to);
	return err;
}

/* Hex digits up to the suffix, at least one, at most 16. */
static bool db_index(const char *name, uint64_t *out)
{
	char *end;

	if (strspn(name, "0123456789abcdefABCDEF") == 0)
		return false;
	*out = strtoull(name, &end, 16);
	return end - name <= 16 && strcmp(end, ".snap.db") == 0;
}

err_t snap_release_dbs(struct vfs *fs, const char *dir, uint64_t index, const struct snap_notes *notes)
{
	struct vfs_names all;
	err_t err = vfs_list(fs, dir, &all);
	uint64_t at;

	if (err)
		return err;
	for (size_t i = 0; i < all.count; i++) {
		if (!ends_with(all.at[i], ".snap.db"))
			continue;
		if (!db_index(all.at[i], &at)) {
			snap_note(notes, "failed to parse index from filename", all.at[i]);
		} else if (at < index) {
			snap_note(notes, "found orphaned .snap.db file; deleting", all.at[i]);
			if (remove_in(fs, dir, all.at[i]))
				snap_note(notes, "failed to remove orphaned .snap.db file", all.at[i]);
		}
	}
	vfs_names_free(&all);
	return OK;
}

err_t snap_purge(struct vfs *fs, const char *dir, size_t keep, size_t *purged)
{
	size_t dbs = 0;
	err_t err = vfs_purge(fs, dir, ".snap", keep, false, purged);

	if (!err)
		err = vfs_purge(fs, dir, ".snap.db", keep, false, &dbs);
	*purged += dbs;
	return err;
}
