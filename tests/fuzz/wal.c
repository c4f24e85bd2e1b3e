/* A log directory from bytes. First byte even: the rest is one segment file as it is. Odd: a list of records, so that
 * what lies behind the checksums is reached too: type, size (16 bits), data; type 0 begins the next segment, whose
 * first index is the size.
 *
 * Any answer is right but a crash. A log that opens goes on: one more entry is saved and found again. */
#include "fuzz.h"

#include "base/endian.h"
#include "env/vfs_mem.h"
#include "wal/names.h"
#include "wal/record.h"
#include "wal/wal.h"

#define DIR "/wal"

static void put_segment(struct vfs *fs, uint64_t seq, uint64_t index, struct slice content)
{
	struct wal_name name;
	struct vfs_file *f;
	char *path;
	err_t err;

	wal_name_make(&name, seq, index);
	path = mem_printf(DIR "/%s", name.text);
	err = vfs_open(fs, path, VFS_WRITE | VFS_CREATE, 0600, &f);
	ASSERT(!err);
	err = vfs_pwrite(f, 0, content.data, content.size);
	ASSERT(!err);
	vfs_close(f);
	mem_free(path);
}

static void put_records(struct vfs *fs, const uint8_t *at, const uint8_t *end)
{
	struct buf b;
	uint32_t crc = 0;
	uint64_t seq = 0, index = 0;

	buf_init(&b, 1 << 20);
	wal_put_crc(&b, 0);
	while (end - at >= 3) {
		uint8_t type = at[0] & 0x7f;
		size_t size = le16_get(at + 1);

		at += 3;
		if (type == 0) {
			put_segment(fs, seq++, index, buf_slice(&b));
			buf_clear(&b);
			wal_put_crc(&b, crc);
			index = size;
			continue;
		}
		size = MIN(size, (size_t)(end - at));
		wal_put_bytes(&b, &crc, (enum wal_type)type, slice_of(at, size));
		at += size;
	}
	put_segment(fs, seq, index, buf_slice(&b));
	buf_fini(&b);
}

static void go_on(struct vfs *fs, struct wal *w, size_t entry_count)
{
	static const struct wal_options repairing = {.repair = true};
	struct raft_entry e = {.term = 1, .index = entry_count + 1};
	struct wal_content again;
	err_t err;

	wal_save(w, NULL, &e, 1);
	err = wal_close(w);
	ASSERT(!err);
	err = wal_open(fs, DIR, (struct wal_pos){0}, &repairing, NULL, &again, &w);
	ASSERT(!err);
	ASSERT(again.entry_count == entry_count + 1);
	ASSERT(again.entries[entry_count].term == 1);
	wal_content_fini(&again);
	wal_abandon(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wal_options repairing = {.repair = true};
	struct vfs_mem *m = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(m);
	struct wal_content c;
	struct wal_marks marks;
	struct why why;
	struct wal *w;
	err_t err = vfs_mkdir(fs, DIR, 0700);

	ASSERT(!err);
	if (size > 0 && (data[0] & 1))
		put_records(fs, data + 1, data + size);
	else if (size > 0)
		put_segment(fs, 0, 0, slice_of(data + 1, size - 1));
	if (!wal_valid_snapshots(fs, DIR, &why, &marks))
		wal_marks_fini(&marks);
	if (!wal_read(fs, DIR, (struct wal_pos){0}, &why, &c))
		wal_content_fini(&c);
	if (!wal_open(fs, DIR, (struct wal_pos){0}, &repairing, &why, &c, &w)) {
		size_t entry_count = c.entry_count;

		wal_content_fini(&c);
		go_on(fs, w, entry_count);
	}
	vfs_mem_free(m);
	return 0;
}
