/* A restore on a disk in memory: every call that changes the disk fails once, in each way; then the power goes at each.
 * A failed restore leaves nothing, and after a power loss there is all of it or nothing that a server would look at. */
#include "../../lib/test.h"

#include <openssl/evp.h>

#include "backend/backend.h"
#include "env/vfs_mem.h"
#include "obs/log.h"
#include "utl/utl.h"

static const struct utl_wait no_wait = {1};

static void row(struct bolt_tx *tx, enum backend_bucket b, struct slice key, struct slice value)
{
	struct bolt_bucket *bucket;

	assert_ok(bolt_tx_bucket(tx, backend_bucket_name(b), true, &bucket));
	if (key.size)
		assert_ok(bolt_put(bucket, key, value));
}

/* A database of one member with one key, and its digest behind it. */
static void make_snapshot(struct vfs *fs, const char *path, bool digest)
{
	struct bolt_options o = {0};
	uint8_t key[REV_KEY_SIZE_MAX], image[64 << 10], sha[32];
	struct vfs_file *f;
	struct bolt_tx *tx;
	struct bolt *db;
	size_t size, got;
	unsigned n;

	assert_ok(bolt_open(fs, "/source", &o, NULL, &db));
	assert_ok(backend_make_buckets(db));
	assert_ok(bolt_begin(db, &tx));
	/* KeyValue{key "k", create 2, mod 2, version 1, value "v"} */
	row(tx, BUCKET_KEY, slice_of(key, rev_key_write((struct rev){2, 0}, false, key)),
	    SLICE_LIT("\n\1k\x10\2\x18\2 \1*\1v"));
	row(tx, BUCKET_META, SLICE_LIT("consistent_index"), SLICE_LIT("\0\0\0\0\0\0\0\x09"));
	row(tx, BUCKET_META, SLICE_LIT("term"), SLICE_LIT("\0\0\0\0\0\0\0\3"));
	row(tx, BUCKET_MEMBERS, SLICE_LIT("abc"),
	    SLICE_LIT("{\"id\":2748,\"peerURLs\":[\"http://old:1\"],\"name\":\"old\"}"));
	row(tx, BUCKET_MEMBERS_REMOVED, SLICE_LIT("def"), SLICE_LIT("removed"));
	assert_ok(bolt_commit(tx));
	size = bolt_size(db);
	bolt_close(db);
	assert_true(size <= sizeof(image));
	assert_ok(vfs_open(fs, "/source", VFS_READ, 0, &f));
	assert_ok(vfs_pread(f, 0, image, size, &got));
	vfs_close(f);
	assert_ok(vfs_open(fs, path, VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, image, size));
	assert_int_equal(EVP_Digest(image, size, sha, &n, EVP_sha256(), NULL), 1);
	if (digest)
		assert_ok(vfs_pwrite(f, size, sha, sizeof(sha)));
	assert_ok(vfs_sync(f));
	vfs_close(f);
	assert_ok(vfs_remove(fs, "/source"));
	assert_ok(vfs_sync_dir(fs, "/"));
}

static const struct utl_restore configs[] = {
    {.snapshot_path = "/s.db",
     .data_dir = "/d",
     .name = "m",
     .initial_cluster = "m=http://localhost:1",
     .token = "t",
     .peer_urls = "http://localhost:1"},
    {.snapshot_path = "/s.db",
     .data_dir = "/a/b/d",
     .wal_dir = "/w/al",
     .name = "m",
     .initial_cluster = "m=http://localhost:1,n=http://localhost:2",
     .token = "t",
     .peer_urls = "http://localhost:1",
     .bump_revision = 100},
};

static void assert_nothing_but(struct vfs *fs, const char *name)
{
	struct vfs_names names;

	assert_ok(vfs_list(fs, "/", &names));
	assert_int_equal(names.count, 1);
	assert_string_equal(names.at[0], name);
	vfs_names_free(&names);
}

static void assert_whole(struct vfs *fs, const struct utl_restore *r)
{
	struct utl_report report;
	struct utl_hashkv h;
	struct why why = {""};
	char *db = mem_printf("%s/member/snap/db", r->data_dir);

	assert_ok(utl_check(fs, r->data_dir, r->wal_dir, &no_wait, &why, &report));
	for (size_t i = 0; i < report.findings.count; i++) {
		if (report.findings.at[i].state == UTL_DAMAGED)
			fail_msg("%s", report.findings.at[i].text);
	}
	utl_report_fini(&report);
	assert_ok(utl_hashkv(fs, db, 0, &no_wait, &why, &h));
	assert_int_equal(h.revision, r->bump_revision ? 102 : 2);
	assert_int_equal(h.compact_revision, r->bump_revision ? 102 : -1);
	mem_free(db);
}

static void restores(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		struct vfs_mem *m = vfs_mem_new(1);
		struct why why = {""};

		make_snapshot(vfs_mem_vfs(m), "/s.db", true);
		assert_ok(utl_restore(vfs_mem_vfs(m), &configs[i], &why));
		assert_whole(vfs_mem_vfs(m), &configs[i]);
		vfs_mem_crash(m);
		assert_whole(vfs_mem_vfs(m), &configs[i]);
		assert_err(ERR_EXIST, utl_restore(vfs_mem_vfs(m), &configs[i], &why));
		assert_whole(vfs_mem_vfs(m), &configs[i]);
		vfs_mem_free(m);
	}
}

/* The n-th changing call fails; false: there is no n-th. */
static bool fails_at(const struct utl_restore *r, uint64_t n, enum vfs_fault fault)
{
	struct vfs_mem *m = vfs_mem_new(n);
	struct why why = {""};
	uint64_t before;
	err_t err;

	make_snapshot(vfs_mem_vfs(m), "/s.db", true);
	before = vfs_mem_calls(m);
	vfs_mem_fault(m, n, fault);
	err = utl_restore(vfs_mem_vfs(m), r, &why);
	if (vfs_mem_calls(m) - before < n) {
		assert_ok(err);
		vfs_mem_free(m);
		return false;
	}
	/* a failed removal of what was prepared and is not needed, or of a touch file, is no failure */
	if (err) {
		assert_true(why.text[0] != 0);
		assert_nothing_but(vfs_mem_vfs(m), "s.db");
	} else {
		assert_whole(vfs_mem_vfs(m), r);
	}
	vfs_mem_fault(m, 0, VFS_FAULT_NONE);
	if (err)
		assert_ok(utl_restore(vfs_mem_vfs(m), r, &why));
	assert_whole(vfs_mem_vfs(m), r);
	vfs_mem_free(m);
	return true;
}

static void every_call_fails(void **state)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT};

	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		for (size_t k = 0; k < ARRAY_COUNT(faults); k++) {
			uint64_t n = 1;

			while (fails_at(&configs[i], n, faults[k]))
				n++;
			assert_true(n > 20);
		}
	}
}

static void power_goes(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
		const struct utl_restore *r = &configs[i];
		uint64_t n = 1;

		for (bool more = true; more; n++) {
			struct vfs_mem *m = vfs_mem_new(n);
			struct why why = {""};
			char *member = mem_printf("%s/member", r->data_dir);
			uint64_t before;

			make_snapshot(vfs_mem_vfs(m), "/s.db", true);
			before = vfs_mem_calls(m);
			vfs_mem_fault(m, n, VFS_FAULT_CRASH);
			err_ignore(utl_restore(vfs_mem_vfs(m), r, &why));
			more = vfs_mem_calls(m) - before >= n;
			vfs_mem_crash(m);
			if (vfs_exists(vfs_mem_vfs(m), member)) {
				assert_whole(vfs_mem_vfs(m), r);
			} else if (!r->wal_dir || !vfs_exists(vfs_mem_vfs(m), r->wal_dir)) {
				assert_ok(utl_restore(vfs_mem_vfs(m), r, &why)); /* over what was left */
				assert_whole(vfs_mem_vfs(m), r);
			}
			mem_free(member);
			vfs_mem_free(m);
		}
		assert_true(n > 20);
	}
}

static void killed_and_again(void **state)
{
	struct vfs_mem *m = vfs_mem_new(3);
	struct vfs *fs = vfs_mem_vfs(m);
	struct vfs_file *f;
	struct why why = {""};

	make_snapshot(fs, "/s.db", true);
	assert_ok(vfs_mkdir_all(fs, "/d/member.restoring/snap", 0700));
	assert_ok(vfs_open(fs, "/d/member.restoring/snap/db", VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_lock(f, VFS_LOCK_FLOCK));
	assert_err(ERR_EXIST, utl_restore(fs, &configs[0], &why));
	assert_non_null(strstr(why.text, "another restore"));
	vfs_close(f);
	assert_ok(utl_restore(fs, &configs[0], &why));
	assert_whole(fs, &configs[0]);
	vfs_mem_free(m);
}

static void digests(void **state)
{
	struct utl_restore r = configs[0];
	struct vfs_mem *m = vfs_mem_new(3);
	struct vfs *fs = vfs_mem_vfs(m);
	struct vfs_file *f;
	struct why why = {""};
	uint8_t byte;
	size_t got;

	make_snapshot(fs, "/s.db", false);
	assert_err(ERR_CORRUPT_FILE, utl_restore(fs, &r, &why));
	assert_string_equal(why.text, "snapshot missing hash but --skip-hash-check=false");
	assert_nothing_but(fs, "s.db");
	assert_ok(vfs_remove(fs, "/s.db"));
	make_snapshot(fs, "/s.db", true);
	assert_ok(vfs_open(fs, "/s.db", VFS_WRITE, 0, &f));
	assert_ok(vfs_pread(f, 10000, &byte, 1, &got));
	byte ^= 1;
	assert_ok(vfs_pwrite(f, 10000, &byte, 1));
	vfs_close(f);
	assert_err(ERR_CORRUPT_FILE, utl_restore(fs, &r, &why));
	assert_memory_equal(why.text, "expected sha256 [", 17);
	assert_nothing_but(fs, "s.db");
	vfs_mem_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(restores),         cmocka_unit_test(every_call_fails), cmocka_unit_test(power_goes),
	    cmocka_unit_test(killed_and_again), cmocka_unit_test(digests),
	};
	struct log_config quiet = {.level = LOG_LEVEL_FATAL};

	if (log_setup(&quiet, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
