/* Repair after an unexpected end: the last file is copied to NAME.broken and cut behind its last whole record. Nothing
 * that was acknowledged is lost by that: a record is whole on disk before its sync returns. */
#include "wal/log.h"

#include "wal/reader.h"

static err_t copy(struct vfs_file *from, struct vfs_file *to)
{
	enum { PART = 256 << 10 };
	uint8_t *part = mem_alloc(PART);
	uint64_t at = 0;
	size_t got = PART;
	err_t err = OK;

	while (!err && got == PART) {
		err = vfs_pread(from, at, part, PART, &got);
		if (!err)
			err = vfs_pwrite(to, at, part, got);
		at += got;
	}
	mem_free(part);
	return err;
}

static err_t keep_copy(struct vfs *fs, struct vfs_file *f, const char *path)
{
	char *broken = mem_printf("%s.broken", path);
	struct vfs_file *to;
	err_t err = vfs_open(fs, broken, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0600, &to);

	if (!err) {
		err = copy(f, to);
		vfs_close(to);
	}
	mem_free(broken);
	return err;
}

static err_t find_end(struct wal_reader *r, struct why *why)
{
	struct wal_record rec;
	bool more = true;
	err_t err = OK;

	while (!err && more)
		err = wal_reader_next(r, why, &rec, &more);
	return err;
}

static err_t repair_file(struct vfs *fs, const char *dir, struct wal_name *name, struct vfs_file *f, const char *path,
			 struct why *why)
{
	struct wal_reader r;
	err_t err;

	wal_reader_init(&r, fs, dir, name, &f, 1);
	err = find_end(&r, why);
	if (err == ERR_CORRUPT_TAIL) {
		err = keep_copy(fs, f, path);
		if (!err)
			err = vfs_truncate(f, r.offset);
		if (!err)
			err = vfs_sync(f);
		if (err)
			why_set(why, err, "repairing %s: %s", path, err_text(err));
	}
	wal_reader_fini(&r);
	return err;
}

err_t wal_repair(struct vfs *fs, const char *dir, const struct wal_options *options, struct why *why)
{
	struct wal_names names;
	struct wal_name *last;
	struct vfs_file *f;
	char *path;
	err_t err = wal_names_list(fs, dir, options, why, &names);

	if (err)
		return err;
	last = &names.at[names.count - 1];
	path = mem_printf("%s/%s", dir, last->text);
	wal_note(options, "repairing", path);
	err = vfs_open(fs, path, VFS_WRITE, 0600, &f);
	if (!err) {
		err = vfs_lock(f, VFS_LOCK_OFD);
		if (!err)
			err = repair_file(fs, dir, last, f, path, why);
		else
			why_set(why, err, "cannot lock %s: %s", path, err_text(err));
		vfs_close(f);
	} else {
		why_set(why, err, "cannot open %s: %s", path, err_text(err));
	}
	wal_note(options, err ? "failed to repair" : "repaired", path);
	mem_free(path);
	mem_free(names.at);
	return err;
}
