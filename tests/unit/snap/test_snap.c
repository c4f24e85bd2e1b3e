#include "../../lib/test.h"

#include "../../lib/golden.h"

#include "base/crc.h"
#include "env/vfs_mem.h"
#include "pb/wire.h"
#include "snap/snap.h"

static struct raft_snapshot snapshot(uint64_t index, uint64_t term, const char *data, uint64_t *voter)
{
	return (struct raft_snapshot){
	    .data = blob_copy(slice_str(data)), .conf_state = {.voters = {voter, 1}}, .index = index, .term = term};
}

static void save(struct vfs *fs, uint64_t index, uint64_t term)
{
	uint64_t voter = 5;
	struct raft_snapshot s = snapshot(index, term, "{}", &voter);

	assert_ok(snap_save(fs, "/snap", &s));
	blob_unref(s.data);
}

static void put_file(struct vfs *fs, const char *path, struct slice s)
{
	struct vfs_file *f;

	assert_ok(vfs_open(fs, path, VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, s.data, s.size));
	vfs_close(f);
}

static struct vfs_mem *disk(void)
{
	struct vfs_mem *m = vfs_mem_new(2);

	assert_ok(vfs_mkdir(vfs_mem_vfs(m), "/snap", 0700));
	assert_ok(vfs_sync_dir(vfs_mem_vfs(m), "/"));
	return m;
}

/* What Go wrote is read, and written again comes out equal to the byte. */
static void test_golden(void **state)
{
	static const char *const names[] = {"snapdb-pending", "v36", "wal-segments", "restored"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char *data = golden_unpack(names[i]), *dir = mem_printf("%s/member/snap", data),
		     *copy = mem_printf("%s/copy", data);
		json_t *facts = golden_facts(names[i], "on_disk");
		const json_t *snaps = golden_at(facts, "snap");

		print_message("%s\n", names[i]);
		assert_ok(vfs_mkdir(vfs_posix(), copy, 0700));
		assert_true(json_array_size(snaps) > 0);
		for (size_t k = 0; k < json_array_size(snaps); k++) {
			const json_t *want = json_array_get(snaps, k);
			const char *name = json_string_value(golden_at(want, "name"));
			char *path = mem_printf("%s/%s", dir, name), *again = mem_printf("%s/%s", copy, name);
			struct raft_snapshot s;
			struct why why = {""};
			struct buf a, b;

			assert_ok(snap_read(vfs_posix(), path, &why, &s));
			assert_int_equal(s.index, golden_uint(want, "index"));
			assert_int_equal(s.term, golden_uint(want, "term"));
			assert_int_equal(blob_slice(s.data).size, golden_uint(want, "data_len"));
			assert_int_equal(s.conf_state.voters.count, json_array_size(golden_at(want, "voters")));
			assert_ok(snap_save(vfs_posix(), copy, &s));
			buf_init(&a, 1 << 20);
			buf_init(&b, 1 << 20);
			assert_ok(vfs_read_file(vfs_posix(), path, &a));
			assert_ok(vfs_read_file(vfs_posix(), again, &b));
			if (strcmp(names[i], "restored") != 0) { /* etcdutl leaves out auto_leave, servers write 0 */
				assert_int_equal(a.size, b.size);
				assert_memory_equal(a.data, b.data, a.size);
			}
			buf_fini(&a);
			buf_fini(&b);
			raft_snapshot_fini(&s);
			mem_free(path);
			mem_free(again);
		}
		json_decref(facts);
		mem_free(copy);
		mem_free(dir);
		golden_drop(data);
	}
}

static void test_newest(void **state)
{
	static const struct snap_pos known[] = {{10, 1}, {20, 2}, {99, 9}};
	struct vfs_mem *m = disk();
	struct vfs *fs = vfs_mem_vfs(m);
	struct raft_snapshot s;

	assert_err(ERR_NOT_EXIST, snap_load(fs, "/snap", NULL, 0, NULL, &s));
	save(fs, 10, 1);
	save(fs, 20, 2);
	save(fs, 9, 3); /* term goes before index */
	save(fs, 0, 7); /* nothing */
	assert_ok(snap_load(fs, "/snap", NULL, 0, NULL, &s));
	assert_int_equal(s.index, 9);
	raft_snapshot_fini(&s);
	assert_ok(snap_load(fs, "/snap", known, 3, NULL, &s));
	assert_int_equal(s.index, 20);
	raft_snapshot_fini(&s);
	assert_err(ERR_NOT_EXIST, snap_load(fs, "/snap", known, 0, NULL, &s));
	vfs_mem_free(m);
}

static void file_of(struct buf *b, uint32_t crc, struct slice body)
{
	buf_init(b, 4096);
	pb_put_uint_always(b, 1, crc);
	pb_put_bytes_always(b, 2, body);
}

static void test_damage(void **state)
{
	static const struct {
		uint32_t crc_off;
		struct slice body;
		const char *text;
	} cases[] = {
	    {1, {(const uint8_t *)"\x12\x02\x10\x05", 4}, "snap: crc mismatch"},
	    {0, {NULL, 0}, "snap: empty snapshot"},
	    {0, {(const uint8_t *)"\x12\xff", 2}, "proto: cannot parse invalid wire-format data"},
	};
	struct vfs_mem *m = disk();
	struct vfs *fs = vfs_mem_vfs(m);
	struct raft_snapshot s;
	struct why why;

	put_file(fs, "/snap/a.snap", (struct slice){0});
	assert_err(ERR_CORRUPT_FILE, snap_read(fs, "/snap/a.snap", &why, &s));
	assert_non_null(strstr(why.text, "snap: empty snapshot"));
	put_file(fs, "/snap/a.snap", SLICE_LIT("\xff\xff"));
	assert_err(ERR_CORRUPT_FILE, snap_read(fs, "/snap/a.snap", &why, &s));
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf b;

		file_of(&b, crc32c(0, cases[i].body.data, cases[i].body.size) + cases[i].crc_off, cases[i].body);
		put_file(fs, "/snap/a.snap", buf_slice(&b));
		assert_err(ERR_CORRUPT_FILE, snap_read(fs, "/snap/a.snap", &why, &s));
		assert_non_null(strstr(why.text, cases[i].text));
		buf_fini(&b);
	}
	vfs_mem_free(m);
}

static void collect_note(void *arg, const char *event, const char *path)
{
	buf_printf(arg, "%s %s\n", event, path);
}

/* The newest is damaged: renamed, and the one before is taken. */
static void test_broken_and_leftovers(void **state)
{
	struct vfs_mem *m = disk();
	struct vfs *fs = vfs_mem_vfs(m);
	struct buf text;
	struct snap_notes notes = {collect_note, &text};
	struct raft_snapshot s;

	buf_init(&text, 4096);
	save(fs, 10, 1);
	put_file(fs, "/snap/0000000000000001-0000000000000014.snap", SLICE_LIT("rubbish"));
	put_file(fs, "/snap/db", SLICE_LIT("x"));
	put_file(fs, "/snap/db.tmp.123", SLICE_LIT("x"));
	put_file(fs, "/snap/tmp456", SLICE_LIT("x"));
	put_file(fs, "/snap/000000000000000a.snap.db", SLICE_LIT("x"));
	assert_ok(snap_clean(fs, "/snap", NULL));
	assert_false(vfs_exists(fs, "/snap/tmp456"));
	assert_ok(snap_load(fs, "/snap", NULL, 0, &notes, &s));
	assert_int_equal(s.index, 10);
	raft_snapshot_fini(&s);
	assert_true(vfs_exists(fs, "/snap/0000000000000001-0000000000000014.snap.broken"));
	assert_false(vfs_exists(fs, "/snap/db.tmp.123"));
	assert_true(vfs_exists(fs, "/snap/db"));
	assert_true(
	    slice_eq(buf_slice(&text),
		     slice_str("found unexpected non-snap file; skipping 000000000000000a.snap.db\n"
			       "found orphaned defragmentation file; deleting db.tmp.123\n"
			       "failed to read a snap file /snap/0000000000000001-0000000000000014.snap\n"
			       "renamed to a broken snap file /snap/0000000000000001-0000000000000014.snap\n")));
	buf_fini(&text);
	vfs_mem_free(m);
}

static void test_dbs(void **state)
{
	struct vfs_mem *m = disk();
	struct vfs *fs = vfs_mem_vfs(m);
	struct buf b;
	size_t purged;

	put_file(fs, "/snap/tmp1", SLICE_LIT("one"));
	put_file(fs, "/snap/tmp2", SLICE_LIT("two"));
	assert_false(snap_db_exists(fs, "/snap", 42));
	assert_ok(snap_db_commit(fs, "/snap", "tmp1", 42));
	assert_ok(snap_db_commit(fs, "/snap", "tmp2", 42)); /* the first stays */
	assert_true(snap_db_exists(fs, "/snap", 42));
	assert_false(vfs_exists(fs, "/snap/tmp2"));
	buf_init(&b, 100);
	assert_ok(vfs_read_file(fs, "/snap/000000000000002a.snap.db", &b));
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("one")));
	buf_fini(&b);
	put_file(fs, "/snap/tmp3", SLICE_LIT("x"));
	assert_ok(snap_db_commit(fs, "/snap", "tmp3", 50));
	put_file(fs, "/snap/odd.snap.db", SLICE_LIT("x"));
	assert_ok(snap_release_dbs(fs, "/snap", 42, NULL)); /* below, not equal */
	assert_true(snap_db_exists(fs, "/snap", 42));
	assert_ok(snap_release_dbs(fs, "/snap", 43, NULL));
	assert_false(snap_db_exists(fs, "/snap", 42));
	assert_true(snap_db_exists(fs, "/snap", 50));
	assert_true(vfs_exists(fs, "/snap/odd.snap.db"));
	for (uint64_t i = 1; i <= 7; i++)
		save(fs, i, 1);
	assert_ok(snap_purge(fs, "/snap", 5, &purged));
	assert_int_equal(purged, 2);
	assert_false(vfs_exists(fs, "/snap/0000000000000001-0000000000000002.snap"));
	assert_true(vfs_exists(fs, "/snap/0000000000000001-0000000000000003.snap"));
	assert_true(snap_db_exists(fs, "/snap", 50));
	vfs_mem_free(m);
}

/* Every n-th call fails or the power goes: what was reported saved is there and whole, the older one always. */
static void test_faults(void **state)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_SHORT, VFS_FAULT_TORN, VFS_FAULT_CRASH};

	for (uint64_t n = 1; n <= 5; n++) {
		for (size_t f = 0; f < ARRAY_COUNT(faults); f++) {
			struct vfs_mem *m = disk();
			struct vfs *fs = vfs_mem_vfs(m);
			uint64_t voter = 5;
			char *data = mem_zalloc(3001);
			struct raft_snapshot s;
			err_t err;
			bool certain;

			save(fs, 10, 1);
			s = snapshot(20, 1, memset(data, 'x', 3000), &voter);
			vfs_mem_fault(m, n, faults[f]);
			err = snap_save(fs, "/snap", &s);
			certain = !err && !vfs_mem_crashed(m);
			vfs_mem_crash(m);
			blob_unref(s.data);
			assert_ok(snap_load(fs, "/snap", NULL, 0, NULL, &s));
			assert_true(s.index == 20 || (s.index == 10 && !certain));
			assert_int_equal(blob_slice(s.data).size, s.index == 20 ? 3000 : 2);
			raft_snapshot_fini(&s);
			mem_free(data);
			vfs_mem_free(m);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden), cmocka_unit_test(test_newest),
	    cmocka_unit_test(test_damage), cmocka_unit_test(test_broken_and_leftovers),
	    cmocka_unit_test(test_dbs),    cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
