/* <term>-<index>.snap: proto2 {crc = 1: CRC-32C of data, never 0; data = 2: raftpb.Snapshot}. */
#include "snap/snap.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bug.h"
#include "base/crc.h"
#include "pb/wire.h"
#include "snap/dir.h"

void snap_name(struct snap_pos pos, char out[SNAP_NAME_SIZE])
{
	snprintf(out, SNAP_NAME_SIZE, "%016" PRIx64 "-%016" PRIx64 ".snap", pos.term, pos.index);
}

static err_t write_file(struct vfs *fs, const char *path, struct slice data)
{
	struct vfs_file *f;
	err_t err = vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0666, &f);

	if (err)
		return err;
	err = vfs_pwrite(f, 0, data.data, data.size);
	if (!err && !BUG(SNAP_FILE_UNSYNCED))
		err = vfs_sync(f);
	vfs_close(f);
	return err;
}

err_t snap_save(struct vfs *fs, const char *dir, const struct raft_snapshot *s)
{
	char name[SNAP_NAME_SIZE];
	struct buf body, file;
	char *path;
	err_t err;

	if (s->index == 0)
		return OK;
	buf_init(&body, SNAP_FILE_MAX);
	buf_init(&file, SNAP_FILE_MAX + 32);
	raft_snapshot_encode(s, &body);
	pb_put_uint_always(&file, 1, crc32c(0, body.data, body.size));
	pb_put_bytes_always(&file, 2, buf_slice(&body));
	snap_name((struct snap_pos){s->index, s->term}, name);
	path = mem_printf("%s/%s", dir, name);
	if (buf_failed(&body) || buf_failed(&file)) {
		err = ERR_TOO_LARGE;
	} else {
		err = write_file(fs, path, buf_slice(&file));
		if (!err && !BUG(SNAP_FILE_UNSYNCED))
			err = vfs_sync_dir(fs, dir);
		if (err)
			(void)!vfs_remove(fs, path);
	}
	mem_free(path);
	buf_fini(&body);
	buf_fini(&file);
	return err;
}

static err_t parse(struct slice file, struct why *why, struct raft_snapshot *out)
{
	struct pb_reader p = pb_reader_of(file);
	struct pb_field f;
	struct slice body = {0};
	uint32_t crc = 0, computed;

	if (file.size == 0)
		return why_set(why, ERR_CORRUPT_FILE, "snap: empty snapshot");
	while (pb_next(&p, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			crc = (uint32_t)f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			body = f.bytes;
	}
	if (p.failed)
		return why_set(why, ERR_CORRUPT_FILE, "proto: cannot parse invalid wire-format data");
	if (body.size == 0 || crc == 0)
		return why_set(why, ERR_CORRUPT_FILE, "snap: empty snapshot");
	computed = crc32c(0, body.data, body.size);
	if (computed != crc)
		return why_set(why, ERR_CORRUPT_FILE, "snap: crc mismatch");
	if (raft_snapshot_decode(body, out))
		return why_set(why, ERR_CORRUPT_FILE, "proto: cannot parse invalid wire-format data");
	return OK;
}

err_t snap_read(struct vfs *fs, const char *path, struct why *why, struct raft_snapshot *out)
{
	struct buf b;
	err_t err;

	buf_init(&b, SNAP_FILE_MAX + 32);
	err = vfs_read_file(fs, path, &b);
	if (err)
		why_set(why, err, "%s", err_text(err));
	else
		err = parse(buf_slice(&b), why, out);
	if (err)
		why_add(why, err, "reading %s", path);
	buf_fini(&b);
	return err;
}

static bool is_known(const struct raft_snapshot *s, const struct snap_pos *known, size_t count)
{
	if (!known)
		return true;
	for (size_t i = count; i-- > 0;)
		if (known[i].index == s->index && known[i].term == s->term)
			return true;
	return false;
}

/* An error of reading (EIO) renames as well, as Go does: what cannot be read now must not be found again as newest. */
static void move_broken(struct vfs *fs, const char *path, const struct snap_notes *notes)
{
	char *broken = mem_printf("%s.broken", path);

	snap_note(notes, "failed to read a snap file", path);
	if (vfs_rename(fs, path, broken))
		snap_note(notes, "failed to rename a broken snap file", path);
	else
		snap_note(notes, "renamed to a broken snap file", path);
	mem_free(broken);
}

err_t snap_load(struct vfs *fs, const char *dir, const struct snap_pos *known, size_t count,
		const struct snap_notes *notes, struct raft_snapshot *out)
{
	struct vfs_names names;
	err_t err = snap_dir_list(fs, dir, notes, &names);
	bool found = false;

	if (err)
		return err;
	for (size_t i = names.count; i-- > 0 && !found;) { /* names sort as term, index do */
		char *path = mem_printf("%s/%s", dir, names.at[i]);

		if (snap_read(fs, path, NULL, out))
			move_broken(fs, path, notes);
		else if (!(found = is_known(out, known, count)))
			raft_snapshot_fini(out);
		mem_free(path);
	}
	vfs_names_free(&names);
	return found ? OK : ERR_NOT_EXIST;
}
