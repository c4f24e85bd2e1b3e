/* From one segment to the next. The new file gets its head and is synced before it gets its name, so a segment is
 * never seen without one; the old file is whole and durable by then.
 *
 *	all buffered -> old file | truncate to its length | sync | N.tmp: head, sync | rename | sync directory */
#include "wal/log.h"

#include <stdio.h>

static char *next_path(const struct wal *w)
{
	char name[16];

	snprintf(name, sizeof(name), "%u.tmp", w->next_number % 2); /* never the name that was just given away */
	return wal_path(w, name);
}

/* A leftover is emptied first: what it held would lie behind the new head. */
static err_t next_make(struct wal *w, const char *path)
{
	struct vfs_file *f;
	err_t err = vfs_open(w->fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0600, &f);

	if (err)
		return err;
	err = vfs_lock(f, VFS_LOCK_OFD);
	if (!err)
		err = vfs_allocate(f, w->options.segment_bytes);
	if (err) {
		vfs_close(f);
		return err;
	}
	w->next = f;
	return OK;
}

err_t wal_prepare(struct wal *w, struct why *why)
{
	char *path;
	err_t err;

	if (w->failed)
		return wal_fail(w, why, w->failed, "the log failed before");
	if (w->next)
		return OK;
	path = next_path(w);
	err = next_make(w, path);
	mem_free(path);
	return err ? wal_fail(w, why, err, "preparing the next segment") : OK;
}

void wal_next_remove(struct wal *w)
{
	char *path;

	if (!w->next)
		return;
	path = next_path(w);
	vfs_close(w->next);
	w->next = NULL;
	(void)!vfs_remove(w->fs, path); /* a leftover does no harm */
	mem_free(path);
}

static err_t name_it(struct wal *w, const struct wal_name *name, struct why *why)
{
	char *from = next_path(w), *to = wal_path(w, name->text);
	err_t err = vfs_rename(w->fs, from, to);

	if (!err && !w->options.no_sync)
		err = vfs_sync_dir(w->fs, w->dir);
	if (err)
		wal_fail(w, why, err, "naming a new segment");
	else
		wal_note(&w->options, "created a new WAL segment", to);
	mem_free(from);
	mem_free(to);
	return err;
}

static err_t cut(struct wal *w, struct why *why)
{
	struct wal_segment s;
	err_t err = wal_write_out(w, why);

	if (!err && (err = vfs_truncate(wal_tail(w), w->write_at)))
		wal_fail(w, why, err, "truncating a full segment");
	if (!err)
		err = wal_sync_file(w, wal_tail(w), why);
	if (!err)
		err = wal_prepare(w, why);
	if (err)
		return err;
	wal_name_make(&s.name, w->files.at[w->files.count - 1].name.seq + 1, w->last_index + 1);
	s.file = w->next;
	VEC_PUSH(&w->files, s);
	w->next = NULL;
	w->write_at = 0;
	wal_put_head(w);
	err = wal_write_out(w, why);
	if (!err)
		err = wal_sync_file(w, s.file, why);
	if (!err)
		err = name_it(w, &s.name, why);
	w->next_number++;
	return err;
}

err_t wal_cut_if_full(struct wal *w, struct why *why)
{
	return w->write_at < w->options.segment_bytes ? OK : cut(w, why);
}
