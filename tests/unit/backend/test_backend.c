/* Buffers over a file on a disk in memory: what is visible when, what is durable when, and both at once or not at all.
 */
#include "../../lib/test.h"

#include "backend/backend.h"
#include "backend/store.h"
#include "base/epoch.h"
#include "env/vfs_mem.h"

struct store_file {
	struct vfs_mem *disk;
	struct bolt *db;
	struct epoch_domain *epoch;
	struct backend *be;
};

static void start(struct store_file *s, size_t buffer_bytes_max)
{
	struct backend_config cfg = {.buffer_bytes_max = buffer_bytes_max};
	struct why why;

	assert_ok(bolt_open(vfs_mem_vfs(s->disk), "/db", &(struct bolt_options){0}, &why, &s->db));
	assert_ok(backend_make_buckets(s->db));
	s->epoch = cfg.epoch = epoch_domain_new();
	cfg.db = s->db;
	assert_ok(backend_new(&cfg, &s->be));
}

static void stop(struct store_file *s)
{
	backend_published(s->be);
	assert_int_equal(epoch_reclaim(s->epoch), 0);
	backend_free(s->be);
	epoch_domain_free(s->epoch);
	bolt_close(s->db);
}

static void row(struct store_file *s, int64_t main, int64_t sub, bool tombstone, const char *text)
{
	memcpy(backend_row(s->be, (struct rev){main, sub}, tombstone, strlen(text), 0), text, strlen(text));
}

static void expect_row(const struct backend_view *v, int64_t main, int64_t sub, const char *want)
{
	struct slice got;
	err_t err = backend_view_row(v, (struct rev){main, sub}, &got);

	if (!want) {
		assert_int_equal(err, ERR_NOT_EXIST);
		return;
	}
	assert_int_equal(err, OK);
	assert_true(slice_eq(got, slice_str(want)));
}

/* All rows from a revision on, as "main.sub=value". */
static void expect_rows(const struct backend_view *v, int64_t main, int64_t sub, const char *want)
{
	struct backend_cursor c;
	struct backend_row r;
	bool found = true;
	char text[400] = "";

	backend_cursor_init(&c, v, (struct rev){main, sub});
	for (;;) {
		assert_ok(backend_cursor_next(&c, &r, &found));
		if (!found)
			break;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d.%d%s=%.*s ", (int)r.rev.main,
			 (int)r.rev.sub, r.tombstone ? "t" : "", SLICE_ARG(r.value));
	}
	assert_string_equal(text, want);
}

static void test_rows_pass_from_active_to_frozen_to_file(void **unused)
{
	struct store_file s = {.disk = vfs_mem_new(1)};
	struct backend_view before, v;

	start(&s, 0);
	row(&s, 2, 0, false, "two");
	backend_view_get(s.be, &before);
	row(&s, 3, 0, false, "three");
	row(&s, 3, 1, true, "three one");
	expect_rows(&before, 0, 0, "2.0=two "); /* a view's length is fixed */
	expect_row(&before, 3, 0, NULL);
	backend_freeze(s.be, 7, 1, (struct slice){0});
	row(&s, 4, 0, false, "four");
	backend_view_get(s.be, &v);
	expect_rows(&v, 0, 0, "2.0=two 3.0=three 3.1t=three one 4.0=four ");
	expect_row(&v, 3, 1, "three one");
	assert_ok(backend_merge(s.be));
	expect_rows(&v, 3, 1, "3.1t=three one 4.0=four "); /* the view reads the old commit and the frozen buffer */
	assert_int_equal(backend_merged_count(s.be), 0);
	assert_ok(backend_merged(s.be));
	assert_int_equal(backend_merged_count(s.be), 1);
	assert_int_equal(backend_durable_index(s.be), 7);
	backend_view_get(s.be, &v);
	assert_null(v.frozen);
	expect_rows(&v, 0, 0, "2.0=two 3.0=three 3.1t=three one 4.0=four ");
	expect_rows(&v, 4, 1, "");
	expect_row(&v, 3, 1, "three one");
	expect_row(&v, 4, 0, "four");
	expect_row(&v, 5, 0, NULL);
	expect_rows(&before, 0, 0, "2.0=two "); /* not published away yet */
	backend_check(s.be);
	stop(&s);
	vfs_mem_free(s.disk);
}

static void test_deletes_and_meta(void **unused)
{
	struct store_file s = {.disk = vfs_mem_new(1)};
	struct backend_meta meta;
	struct backend_view v;
	struct slice got;

	start(&s, 0);
	assert_ok(backend_file_meta(backend_pin(s.be), &meta));
	assert_int_equal(meta.consistent_index, 0);
	assert_int_equal(meta.scheduled_compact_rev, -1);
	row(&s, 2, 0, false, "a");
	row(&s, 3, 0, true, "b");
	row(&s, 4, 0, false, "c");
	backend_delete_row(s.be, (struct rev){3, 0}, true); /* of the same buffer */
	struct store table = backend_store(s.be);

	store_put(&table, BUCKET_LEASE, SLICE_LIT("k"), SLICE_LIT("1"));
	store_put(&table, BUCKET_LEASE, SLICE_LIT("k"), SLICE_LIT("2"));
	store_put(&table, BUCKET_LEASE, SLICE_LIT("gone"), SLICE_LIT("1"));
	store_delete(&table, BUCKET_LEASE, SLICE_LIT("gone"));
	store_delete(&table, BUCKET_ALARM, SLICE_LIT("never was"));
	assert_int_equal(backend_pending_ops(s.be), 4 + 5);
	backend_freeze(s.be, 9, 3, SLICE_LIT("{\"voters\":[1],\"auto_leave\":false}"));
	assert_ok(backend_merge(s.be));
	assert_ok(backend_merged(s.be));
	backend_delete_row(s.be, (struct rev){2, 0}, false); /* of the file */
	backend_freeze(s.be, 12, 3, (struct slice){0});
	backend_published(s.be);
	assert_ok(backend_merge(s.be));
	assert_ok(backend_merged(s.be));
	backend_view_get(s.be, &v);
	expect_rows(&v, 0, 0, "4.0=c ");
	assert_ok(backend_file_get(backend_pin(s.be), BUCKET_LEASE, SLICE_LIT("k"), &got));
	assert_true(slice_eq(got, SLICE_LIT("2")));
	assert_err(ERR_NOT_EXIST, backend_file_get(backend_pin(s.be), BUCKET_LEASE, SLICE_LIT("gone"), &got));
	stop(&s);
	start(&s, 0);
	assert_ok(backend_file_meta(backend_pin(s.be), &meta));
	assert_int_equal(meta.consistent_index, 12);
	assert_int_equal(meta.term, 3);
	assert_true(slice_eq(meta.conf_state_json,
			     SLICE_LIT("{\"voters\":[1],\"auto_leave\":false}"))); /* unchanged by the second */
	assert_int_equal(backend_durable_index(s.be), 12);
	stop(&s);
	vfs_mem_free(s.disk);
}

static void test_full(void **unused)
{
	struct store_file s = {.disk = vfs_mem_new(1)};
	int64_t main = 2;

	start(&s, 1000);
	while (!backend_full(s.be))
		row(&s, main++, 0, false, "123456789012345678901234567890123456789012345678901234567890");
	assert_in_range(main, 10, 14); /* 60 bytes and 24 for the row's place */
	backend_freeze(s.be, 1, 1, (struct slice){0});
	assert_false(backend_full(s.be));
	assert_true(backend_has_frozen(s.be));
	assert_ok(backend_merge(s.be));
	assert_ok(backend_merged(s.be));
	assert_false(backend_has_frozen(s.be));
	stop(&s);
	vfs_mem_free(s.disk);
}

/* The n-th file call of the second merge meets a fault or the power goes, for every n: afterwards the file has the
 * first commit or both, with the index that belongs to it. */
static void test_a_commit_is_whole_or_absent(void **unused)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN,
						VFS_FAULT_CRASH};
	bool seen_old = false, seen_new = false;

	for (size_t f = 0; f < ARRAY_COUNT(faults); f++) {
		uint64_t calls = UINT64_MAX;

		for (uint64_t n = 1; n <= calls; n++) {
			struct store_file s = {.disk = vfs_mem_new(n * 10 + f)};
			struct backend_meta meta;
			struct backend_view v;

			start(&s, 0);
			row(&s, 2, 0, false, "first");
			backend_freeze(s.be, 5, 1, (struct slice){0});
			assert_ok(backend_merge(s.be));
			assert_ok(backend_merged(s.be));
			row(&s, 3, 0, false, "second");
			row(&s, 4, 0, false, "third");
			backend_delete_row(s.be, (struct rev){2, 0}, false);
			backend_put(s.be, BUCKET_ALARM, SLICE_LIT("x"), SLICE_LIT(""));
			backend_freeze(s.be, 8, 2, (struct slice){0});
			uint64_t from = vfs_mem_calls(s.disk);

			vfs_mem_fault(s.disk, n, faults[f]);
			err_t err = backend_merge(s.be);

			vfs_mem_fault(s.disk, 0, VFS_FAULT_NONE);
			if (vfs_mem_calls(s.disk) - from < n)
				calls = n - 1; /* the merge needs no more calls than that */
			vfs_mem_crash(s.disk);
			stop(&s);
			start(&s, 0);
			assert_ok(backend_file_meta(backend_pin(s.be), &meta));
			backend_view_get(s.be, &v);
			if (meta.consistent_index == 8) {
				expect_rows(&v, 0, 0, "3.0=second 4.0=third ");
				assert_int_equal(meta.term, 2);
				seen_new = true;
			} else {
				assert_int_equal(meta.consistent_index, 5);
				expect_rows(&v, 0, 0, "2.0=first ");
				assert_int_equal(meta.term, 1);
				seen_old = true;
				/* what was reported durable is; a power loss reports nothing true */
				assert_true(err != OK || faults[f] == VFS_FAULT_CRASH);
			}
			stop(&s);
			vfs_mem_free(s.disk);
		}
	}
	assert_true(seen_old && seen_new);
}

static void test_bucket_names_in_order(void **unused)
{
	for (enum backend_bucket b = 1; b < BACKEND_BUCKET_COUNT; b++)
		assert_true(slice_cmp(backend_bucket_name(b - 1), backend_bucket_name(b)) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows_pass_from_active_to_frozen_to_file),
	    cmocka_unit_test(test_deletes_and_meta),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_a_commit_is_whole_or_absent),
	    cmocka_unit_test(test_bucket_names_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
