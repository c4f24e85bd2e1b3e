/* A snapshot file from bytes. First byte even: the rest is the file. Odd: the rest is the body, under a right checksum.
 * What is read and saved again reads the same. */
#include "fuzz.h"

#include "base/crc.h"
#include "env/vfs_mem.h"
#include "pb/wire.h"
#include "snap/snap.h"

static void put_file(struct vfs *fs, const char *path, struct slice content)
{
	struct vfs_file *f;
	err_t err = vfs_open(fs, path, VFS_WRITE | VFS_CREATE, 0600, &f);

	ASSERT(!err);
	err = vfs_pwrite(f, 0, content.data, content.size);
	ASSERT(!err);
	vfs_close(f);
}

static void save_again(struct vfs *fs, const struct raft_snapshot *s)
{
	struct snap_pos pos = {s->index, s->term};
	struct raft_snapshot again;
	err_t err = vfs_mkdir(fs, "/again", 0700);

	ASSERT(!err);
	err = snap_save(fs, "/again", s);
	ASSERT(!err);
	if (s->index == 0)
		return;
	err = snap_load(fs, "/again", &pos, 1, NULL, &again);
	ASSERT(!err);
	ASSERT(slice_eq(blob_slice(s->data), blob_slice(again.data)));
	ASSERT(s->conf_state.voters.count == again.conf_state.voters.count);
	ASSERT(s->conf_state.auto_leave == again.conf_state.auto_leave);
	raft_snapshot_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfs_mem *m = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(m);
	struct slice rest = slice_of(size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0);
	struct raft_snapshot s;
	struct buf b;
	err_t err = vfs_mkdir(fs, "/snap", 0700);

	ASSERT(!err);
	buf_init(&b, 1 << 20);
	if (size > 0 && (data[0] & 1)) {
		pb_put_uint_always(&b, 1, crc32c(0, rest.data, rest.size));
		pb_put_bytes_always(&b, 2, rest);
	} else {
		buf_put_slice(&b, rest);
	}
	put_file(fs, "/snap/a.snap", buf_slice(&b));
	buf_fini(&b);
	if (!snap_load(fs, "/snap", NULL, 0, NULL, &s)) {
		save_again(fs, &s);
		raft_snapshot_fini(&s);
	}
	vfs_mem_free(m);
	return 0;
}
