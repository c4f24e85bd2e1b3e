/* Databases of Go etcd (tests/golden): revisions, counts and hashes come out as Go's own. Expected values are those of
 * an independent reader on the file as it is (on_disk) and of Go after opening it (after_open). */
#include "../../lib/test.h"

#include "../../lib/golden.h"
#include "mvcc_fixture.h"

static uint32_t hash_kv(struct fixture *f, int64_t rev, size_t budget, int64_t *compact_rev)
{
	struct mvcc_hash h;
	bool done = false;

	fixture_publish(f);
	assert_ok(mvcc_hash_init(&h, &f->view, rev));
	while (!done)
		assert_ok(mvcc_hash_step(&h, &f->view, budget, &done));
	if (compact_rev)
		*compact_rev = h.result.compact_rev;
	mvcc_hash_fini(&h);
	return h.result.crc;
}

static void open_golden(struct fixture *f, const char *name, char **dir, char **path)
{
	*f = (struct fixture){0};
	*dir = golden_unpack(name);
	*path = mem_printf("%s/member/snap/db", *dir);
	fixture_open_file(f, *path);
}

static void close_golden(struct fixture *f, char *dir, char *path)
{
	mvcc_check(f->mvcc, true);
	backend_check(f->backend);
	fixture_close(f);
	mem_free(path);
	golden_drop(dir);
}

/* Files whose compaction had ended: every hash that the reader computed, whole and in slices. */
static void test_hashes_on_disk(void **unused)
{
	static const char *const names[] = {
	    "alarms", "auth",  "bigvalue", "cluster3-1",     "cluster3-2", "cluster3-3",  "downgrade36", "fresh",
	    "leases", "plain", "restored", "snapdb-pending", "v36",        "wal-bitflip", "wal-torn",    "wal-unclean",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		json_t *disk = golden_facts(names[i], "on_disk");
		struct fixture f;
		char *dir, *path;
		const char *rev;
		json_t *hash;
		int64_t greatest = 0;

		open_golden(&f, names[i], &dir, &path);
		json_object_foreach((json_t *)golden_at(disk, "db.hashkv_self"), rev, hash)
		{
			int64_t r = atoll(rev);

			for (size_t budget = 1; budget <= 1000; budget *= 10) {
				uint32_t got = hash_kv(&f, r, budget, NULL);

				if (got != json_integer_value(hash))
					fail_msg("%s at %s: %u", names[i], rev, got);
			}
			greatest = MAX(greatest, r);
		}
		assert_int_equal(mvcc_revision(f.mvcc), greatest);
		assert_int_equal(hash_kv(&f, 0, 7, NULL), hash_kv(&f, greatest, 1000, NULL));
		for (size_t budget = 1; budget <= 1000; budget *= 31) {
			struct backend_hash h;
			bool done = false;

			backend_hash_init(&h);
			while (!done)
				assert_ok(backend_hash_step(&h, backend_pin(f.backend), budget, &done));
			if (h.crc != golden_uint(disk, "db.hash_self"))
				fail_msg("%s: hash of the file %u", names[i], h.crc);
		}
		close_golden(&f, dir, path);
		json_decref(disk);
	}
}

static void expect_after_open(struct fixture *f, const char *name, const json_t *opened)
{
	const json_t *hashes = golden_at(opened, "hashkv");
	int64_t compact_rev;
	json_t *h;
	size_t i;

	assert_int_equal(mvcc_revision(f->mvcc), golden_uint(opened, "status.revision"));
	assert_int_equal(mvcc_count(&f->view, SLICE_LIT("\0"), SLICE_LIT("\0")), golden_uint(opened, "live_keys"));
	json_array_foreach(hashes, i, h)
	{
		int64_t rev = json_integer_value(json_object_get(h, "hash_revision"));
		uint32_t got = hash_kv(f, rev, 10, &compact_rev);

		if (got != json_integer_value(json_object_get(h, "hash")))
			fail_msg("%s at %lld: %u", name, (long long)rev, got);
		assert_int_equal(compact_rev, json_integer_value(json_object_get(h, "compact_revision")));
	}
}

/* Files that need no log; those with an interrupted compaction before it is resumed, in the middle, and behind. */
static void test_as_go_opens_them(void **unused)
{
	static const char *const names[] = {
	    "alarms", "auth",  "bigvalue", "compact-pending", "downgrade36", "fresh",
	    "leases", "plain", "restored", "restored-bumped", "v36",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		json_t *opened = golden_facts(names[i], "after_open");
		struct fixture f;
		char *dir, *path;
		bool pending = strcmp(names[i], "compact-pending") == 0 || strcmp(names[i], "restored-bumped") == 0;

		open_golden(&f, names[i], &dir, &path);
		expect_after_open(&f, names[i], opened);
		assert_int_equal(mvcc_compact_state(f.mvcc), pending ? MVCC_COMPACT_MORE : MVCC_COMPACT_IDLE);
		while (mvcc_compact_step(f.mvcc, 3) == MVCC_COMPACT_MORE) {
			fixture_publish(&f);
			expect_after_open(&f, names[i], opened);
			fixture_commit(&f);
		}
		expect_after_open(&f, names[i], opened);
		fixture_commit(&f);
		fixture_reopen(&f);
		assert_int_equal(mvcc_compact_state(f.mvcc), MVCC_COMPACT_IDLE);
		expect_after_open(&f, names[i], opened);
		close_golden(&f, dir, path);
		json_decref(opened);
	}
}

/* The history of "plain" before it was compacted is in "wal-bitflip": compacting it here must give what the running Go
 * process answered before and after. */
static void test_compaction_as_in_go(void **unused)
{
	json_t *before = golden_facts("plain", "live_hashkv_before_compaction");
	json_t *after = golden_facts("plain", "live_hashkv_after_compaction");
	struct mvcc_hash_result kept[10];
	int64_t rev, compact_rev_before, compact_rev;
	struct fixture f;
	struct mvcc_hash h;
	char *dir, *path;
	bool done = false;
	json_t *x;
	size_t i;

	open_golden(&f, "wal-bitflip", &dir, &path);
	assert_int_equal(hash_kv(&f, golden_uint(before, "revision"), 100, NULL), golden_uint(before, "hash"));
	assert_ok(mvcc_compact(f.mvcc, 51));
	assert_true(mvcc_compact_wants_hash(f.mvcc, &rev, &compact_rev_before));
	assert_int_equal(rev, 51);
	assert_int_equal(compact_rev_before, -1);
	fixture_publish(&f);
	mvcc_hash_init_compaction(&h, rev, compact_rev_before);
	while (!done)
		assert_ok(mvcc_hash_step(&h, &f.view, 5, &done));
	mvcc_compact_hashed(f.mvcc, h.result.crc);
	mvcc_hash_fini(&h);
	for (int finished = 0; finished < 2; finished++) {
		json_array_foreach(after, i, x)
		{
			assert_int_equal(
			    hash_kv(&f, json_integer_value(json_object_get(x, "hash_revision")), 9, &compact_rev),
			    json_integer_value(json_object_get(x, "hash")));
			assert_int_equal(compact_rev, json_integer_value(json_object_get(x, "compact_revision")));
		}
		while (mvcc_compact_step(f.mvcc, 1000) == MVCC_COMPACT_MORE)
			;
		fixture_commit(&f);
	}
	assert_int_equal(mvcc_hashes_kept(&f.view, kept), 1);
	assert_int_equal(kept[0].rev, 51);
	close_golden(&f, dir, path);
	json_decref(before);
	json_decref(after);
}

/* Leases of bucket key's last rows: those that Go knows, and none for keys that were deleted or detached. */
static void test_attachments(void **unused)
{
	struct fixture f;
	char *dir, *path;

	open_golden(&f, "leases", &dir, &path);
	for (size_t i = 0; i < f.attached.count; i++) {
		struct slice row;
		struct kv kv;

		assert_ok(mvcc_get(&f.view, blob_slice(f.attached.at[i].key), 0, &row));
		assert_ok(kv_decode(row, &kv));
		assert_int_equal(kv.lease, f.attached.at[i].lease);
		assert_true(kv.lease == 1001 || kv.lease == 1002 || kv.lease == INT64_MAX);
	}
	assert_true(f.attached.count > 0);
	close_golden(&f, dir, path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hashes_on_disk),
	    cmocka_unit_test(test_as_go_opens_them),
	    cmocka_unit_test(test_compaction_as_in_go),
	    cmocka_unit_test(test_attachments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
