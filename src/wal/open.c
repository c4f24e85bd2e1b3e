/* Making a log, and opening one for writing. */
#include "wal/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/bug.h"
#include "env/env.h"
#include "pb/wire.h"
#include "wal/read.h"

static err_t open_locked(struct vfs *fs, const char *path, int flags, struct vfs_file **out)
{
	struct vfs_file *f;
	err_t err = vfs_open(fs, path, VFS_WRITE | flags, 0600, &f);

	if (err)
		return err;
	err = vfs_lock(f, VFS_LOCK_OFD);
	if (err)
		vfs_close(f);
	else
		*out = f;
	return err;
}

/* The first segment in dir.tmp, complete and durable. */
static err_t create_first(struct wal *w, const char *tmp_dir, struct why *why)
{
	static const struct wal_snapshot_mark start;
	struct wal_segment s;
	char *path;
	err_t err;

	wal_name_make(&s.name, 0, 0);
	path = mem_printf("%s/%s", tmp_dir, s.name.text);
	err = open_locked(w->fs, path, VFS_CREATE | VFS_EXCLUSIVE, &s.file);
	mem_free(path);
	if (err)
		return wal_fail(w, why, err, "creating the first segment");
	VEC_PUSH(&w->files, s);
	err = vfs_allocate(s.file, w->options.segment_bytes);
	if (err)
		return wal_fail(w, why, err, "preallocating the first segment");
	wal_put_head(w);
	wal_save_snapshot(w, &start);
	err = wal_write_out(w, why);
	if (!err)
		err = wal_sync_file(w, s.file, why);
	if (!err && (err = vfs_sync_dir(w->fs, tmp_dir)))
		wal_fail(w, why, err, "syncing the new directory");
	return err;
}

static void metadata_encode(struct wal_metadata m, struct buf *out)
{
	pb_put_uint_always(out, 1, m.node_id);
	pb_put_uint_always(out, 2, m.cluster_id);
}

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(".");
	return slash == path ? mem_strdup("/") : mem_printf("%.*s", (int)(slash - path), path);
}

/* The name is there but perhaps not after a power loss: move it out of the way, so that the next start makes one. */
static void move_broken(struct wal *w)
{
	int64_t now_ns = env_wall_ns();
	time_t s = (time_t)(now_ns / 1000000000);
	struct tm t;
	char stamp[32];
	char *to;

	localtime_r(&s, &t);
	strftime(stamp, sizeof(stamp), "%Y%m%d.%H%M%S", &t);
	to = mem_printf("%s.broken.%s.%06d", w->dir, stamp, (int)(now_ns % 1000000000 / 1000));
	(void)!vfs_rename(w->fs, w->dir, to);
	mem_free(to);
}

static err_t create_rename(struct wal *w, const char *tmp_dir, struct why *why)
{
	char *parent = parent_of(w->dir);
	err_t err = vfs_remove_all(w->fs, w->dir);

	if (!err)
		err = vfs_rename(w->fs, tmp_dir, w->dir);
	if (err) {
		wal_fail(w, why, err, "giving the new log its name");
	} else if (!w->options.no_sync && (err = vfs_sync_dir(w->fs, parent))) {
		wal_fail(w, why, err, "syncing the parent directory");
		move_broken(w);
	}
	mem_free(parent);
	return err;
}

err_t wal_create(struct vfs *fs, const char *dir, struct wal_metadata metadata, const struct wal_options *options,
		 struct why *why, struct wal **out)
{
	char *tmp_dir = mem_printf("%s.tmp", dir);
	struct wal *w = NULL;
	err_t err = wal_exists(fs, dir) ? ERR_EXIST : vfs_remove_all(fs, tmp_dir);

	if (!err)
		err = vfs_mkdir_all(fs, tmp_dir, 0700);
	if (err) {
		why_set(why, err, "cannot create the log %s: %s", dir, err_text(err));
	} else {
		w = wal_new(fs, dir, options);
		w->metadata = metadata;
		metadata_encode(metadata, &w->metadata_bytes);
		err = create_first(w, tmp_dir, why);
		if (!err)
			err = create_rename(w, tmp_dir, why);
	}
	if (err) {
		wal_abandon(w);
		(void)!vfs_remove_all(fs, tmp_dir);
	} else {
		*out = w;
	}
	mem_free(tmp_dir);
	return err;
}

static err_t open_files(struct wal *w, const struct wal_names *names, size_t from, struct why *why)
{
	for (size_t i = from; i < names->count; i++) {
		struct wal_segment s = {.name = names->at[i]};
		char *path = wal_path(w, s.name.text);
		err_t err = open_locked(w->fs, path, 0, &s.file);

		if (err)
			why_set(why, err, "cannot open and lock %s: %s", path, err_text(err));
		mem_free(path);
		if (err)
			return err;
		VEC_PUSH(&w->files, s);
	}
	return OK;
}

/* Writes the last REWRITE_BYTES of records over themselves. What was read need not be on disk: the process before may
 * have been killed between its write and its sync, or have died of a sync that failed, after which the kernel holds the
 * pages as clean and later syncs report success. */
static err_t tail_rewrite(struct wal *w)
{
	enum { REWRITE_BYTES = 8 << 20, PART = 256 << 10 };
	uint64_t at = w->write_at > REWRITE_BYTES ? w->write_at - REWRITE_BYTES : 0;
	uint8_t *part = mem_alloc(PART);
	err_t err = OK;

	while (!err && at < w->write_at) {
		size_t got, size = (size_t)MIN(w->write_at - at, (uint64_t)PART);

		err = vfs_pread(wal_tail(w), at, part, size, &got);
		if (!err)
			err = got == size ? vfs_pwrite(wal_tail(w), at, part, size) : ERR_IO;
		at += size;
	}
	mem_free(part);
	return err;
}

/* Everything behind the last record becomes zero, whatever a torn write left there: a later record written over only a
 * part of it would be followed by rubbish. Then all that will be acted on is made durable: content, and names (the last
 * segment may have been renamed a moment before the end). */
static err_t tail_clean(struct wal *w, struct why *why)
{
	uint64_t size;
	err_t err = vfs_size(wal_tail(w), &size);

	if (!err)
		err = vfs_truncate(wal_tail(w), w->write_at);
	if (!err && size > w->write_at)
		err = vfs_allocate(wal_tail(w), size);
	if (!err)
		err = tail_rewrite(w);
	if (err)
		return wal_fail(w, why, err, "clearing the end of the log");
	err = wal_sync_file(w, wal_tail(w), why);
	if (!err && !w->options.no_sync && (err = vfs_sync_dir(w->fs, w->dir)))
		wal_fail(w, why, err, "syncing the directory");
	return err;
}

static err_t read_all(struct wal *w, struct wal_pos pos, struct why *why, struct wal_gathered *g)
{
	struct vfs_file **files = NEW_ARRAY(struct vfs_file *, w->files.count);
	struct wal_name *names = NEW_ARRAY(struct wal_name, w->files.count);
	struct wal_reader r;
	err_t err;

	for (size_t i = 0; i < w->files.count; i++) {
		files[i] = w->files.at[i].file;
		names[i] = w->files.at[i].name;
	}
	wal_reader_init(&r, w->fs, w->dir, names, files, w->files.count);
	err = wal_gather(&r, pos, why, g);
	w->write_at = r.offset;
	w->crc = r.crc;
	w->last_index = g->last_index;
	w->state = g->content.hard_state;
	w->metadata = g->content.metadata;
	buf_put_slice(&w->metadata_bytes, buf_slice(&g->metadata));
	wal_reader_fini(&r);
	mem_free(files);
	mem_free(names);
	return err;
}

static err_t open_once(struct vfs *fs, const char *dir, struct wal_pos pos, const struct wal_options *options,
		       struct why *why, struct wal_content *content, struct wal **out)
{
	struct wal *w = wal_new(fs, dir, options);
	struct wal_names names = {0};
	struct wal_gathered g;
	size_t from;
	err_t err = wal_names_list(fs, dir, options, why, &names);

	wal_gathered_init(&g);
	if (!err)
		err = wal_names_from(&names, pos.index, why, &from);
	if (!err)
		err = open_files(w, &names, from, why);
	if (!err)
		err = read_all(w, pos, why, &g);
	if (!err)
		err = tail_clean(w, why);
	if (err) {
		wal_abandon(w);
	} else {
		*content = wal_gathered_take(&g);
		*out = w;
	}
	wal_gathered_fini(&g);
	mem_free(names.at);
	return err;
}

err_t wal_open(struct vfs *fs, const char *dir, struct wal_pos pos, const struct wal_options *options, struct why *why,
	       struct wal_content *content, struct wal **out)
{
	err_t err = open_once(fs, dir, pos, options, why, content, out);

	if (err != ERR_CORRUPT_TAIL || !options || !options->repair || BUG(TORN_TAIL_REFUSED))
		return err;
	err = wal_repair(fs, dir, options, why);
	return err ? err : open_once(fs, dir, pos, options, why, content, out);
}
