/* Defragmentation and migration on a disk in memory: every call that changes the disk fails once, in each way, then the
 * power goes at each. The database is whole at every moment, with the same rows. */
#include "../../lib/test.h"

#include "backend/backend.h"
#include "env/vfs_mem.h"
#include "obs/log.h"
#include "utl/utl.h"
#include "wal/wal.h"

#define DB "/d/member/snap/db"

static const struct utl_wait no_wait = {1};

enum { ROWS = 60, ROW_BYTES = 3000 };

static void put_rows(struct bolt *db, int from, int to, bool gone)
{
	static uint8_t value[ROW_BYTES];
	struct bolt_bucket *rows, *meta;
	struct bolt_tx *tx;

	assert_ok(bolt_begin(db, &tx));
	assert_ok(bolt_tx_bucket(tx, backend_bucket_name(BUCKET_KEY), true, &rows));
	assert_ok(bolt_tx_bucket(tx, backend_bucket_name(BUCKET_META), true, &meta));
	for (int i = from; i < to; i++) {
		uint8_t key[REV_KEY_SIZE_MAX];
		struct slice k = slice_of(key, rev_key_write((struct rev){i + 2, 0}, false, key));

		/* KeyValue{key "k", value of the rest: field 5, two bytes of length} */
		memcpy(value, "\n\1k*\xb2\x17", 6);
		memset(value + 6, i, sizeof(value) - 6);
		if (gone)
			assert_ok(bolt_delete(rows, k));
		else
			assert_ok(bolt_put(rows, k, slice_of(value, sizeof(value))));
	}
	assert_ok(bolt_put(meta, SLICE_LIT("consistent_index"), SLICE_LIT("\0\0\0\0\0\0\0\x01")));
	assert_ok(bolt_put(meta, SLICE_LIT("term"), SLICE_LIT("\0\0\0\0\0\0\0\x01")));
	assert_ok(bolt_put(meta, SLICE_LIT("storageVersion"), SLICE_LIT("3.7.0")));
	assert_ok(bolt_commit(tx));
}

/* Half of its pages are free. */
static void make_member(struct vfs *fs)
{
	struct bolt_options o = {0};
	struct wal_options wo = {0};
	struct why why = {""};
	struct bolt *db;
	struct wal *w;

	assert_ok(vfs_mkdir_all(fs, "/d/member/snap", 0700));
	assert_ok(bolt_open(fs, DB, &o, &why, &db));
	assert_ok(backend_make_buckets(db));
	put_rows(db, 0, ROWS, false);
	put_rows(db, 0, ROWS / 2, true);
	bolt_close(db);
	assert_ok(wal_create(fs, "/d/member/wal", (struct wal_metadata){1, 2}, &wo, &why, &w));
	assert_ok(wal_close(w));
	assert_ok(vfs_sync_dir(fs, "/d/member/snap"));
	assert_ok(vfs_sync_dir(fs, "/d/member"));
	assert_ok(vfs_sync_dir(fs, "/d"));
	assert_ok(vfs_sync_dir(fs, "/"));
}

static struct utl_status status(struct vfs *fs)
{
	struct utl_status s;
	struct why why = {""};

	if (utl_status(fs, DB, &no_wait, &why, &s))
		fail_msg("%s", why.text);
	return s;
}

typedef err_t work(struct vfs *fs, struct why *why);

static err_t defrag(struct vfs *fs, struct why *why)
{
	return utl_defrag(fs, "/d", &no_wait, why);
}

static err_t migrate(struct vfs *fs, struct why *why)
{
	return utl_migrate(fs, "/d", 6, false, &no_wait, why);
}

static void shrinks(void **state)
{
	struct vfs_mem *m = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(m);
	struct utl_status before, after;
	struct why why = {""};

	make_member(fs);
	before = status(fs);
	assert_ok(defrag(fs, &why));
	after = status(fs);
	assert_int_equal(after.hash, before.hash);
	assert_int_equal(after.keys, before.keys);
	assert_true(after.size_bytes <= before.size_bytes * 6 / 10);
	assert_ok(migrate(fs, &why));
	assert_string_equal(status(fs).version, "3.6.0");
	vfs_mem_crash(m);
	assert_string_equal(status(fs).version, "3.6.0");
	assert_int_equal(status(fs).size_bytes, after.size_bytes);
	vfs_mem_free(m);
}

/* One run in which the n-th call meets the fault; false: there was no n-th. */
static bool run_with(work *fn, uint64_t n, enum vfs_fault fault)
{
	struct vfs_mem *m = vfs_mem_new(n);
	struct vfs *fs = vfs_mem_vfs(m);
	struct utl_status before, after;
	struct why why = {""};
	uint64_t calls;
	bool met;
	err_t err;

	make_member(fs);
	before = status(fs);
	calls = vfs_mem_calls(m);
	vfs_mem_fault(m, n, fault);
	err = fn(fs, &why);
	met = vfs_mem_calls(m) - calls >= n;
	if (!met)
		assert_ok(err);
	if (err)
		assert_true(why.text[0] != 0);
	vfs_mem_fault(m, 0, VFS_FAULT_NONE);
	if (fault != VFS_FAULT_CRASH)
		assert_false(vfs_exists(fs, DB ".tmp.defrag"));
	vfs_mem_crash(m);
	after = status(fs);
	assert_int_equal(after.keys, before.keys);
	if (fn == defrag || !strcmp(after.version, before.version))
		assert_int_equal(after.hash, before.hash);
	else
		assert_string_equal(after.version, "3.6.0");
	assert_ok(fn(fs, &why));
	assert_false(vfs_exists(fs, DB ".tmp.defrag"));
	vfs_mem_free(m);
	return met;
}

static void every_call(work *fn, uint64_t calls_least)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_CRASH};

	for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
		uint64_t n = 1;

		while (run_with(fn, n, faults[i]))
			n++;
		assert_true(n >= calls_least);
	}
}

static void defrag_faults(void **state)
{
	every_call(defrag, 8);
}

static void migrate_faults(void **state)
{
	every_call(migrate, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shrinks), cmocka_unit_test(defrag_faults),
					   cmocka_unit_test(migrate_faults)};
	struct log_config quiet = {.level = LOG_LEVEL_FATAL};

	if (log_setup(&quiet, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
