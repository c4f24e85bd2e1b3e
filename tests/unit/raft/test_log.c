/* The parts below the roles: memory storage, flow control, slices of the log. */
#include "lib/test.h"
#include "raft/log.h"
#include "raft/progress.h"

/* Entries first..last of this term, two bytes of data each. */
static void append(struct raft_mem_storage *s, uint64_t first, uint64_t last, uint64_t term)
{
	for (uint64_t i = first; i <= last; i++) {
		struct raft_entry e = {.term = term, .index = i, .data = blob_copy(SLICE_LIT("xy"))};

		raft_mem_storage_append(s, &e, 1);
		raft_entry_fini(&e);
	}
}

static uint64_t term_at(struct raft_mem_storage *s, uint64_t index)
{
	struct raft_storage *base = raft_mem_storage_base(s);
	uint64_t term = 0;

	assert_ok(base->ops->term(base, index, &term));
	return term;
}

/* ---- storage ---- */

static void test_append_overlaps(void **state)
{
	static const struct {
		uint64_t first, last, term;     /* onto 3/3 4/4 5/5 behind a snapshot at 3/3 */
		uint64_t want_last, want_term;  /* of the last entry */
	} cases[] = {
		{1, 2, 9, 5, 5},        /* all gone already */
		{3, 5, 9, 5, 9},        /* the first one gone */
		{4, 4, 9, 4, 9},        /* cuts off what follows */
		{6, 6, 9, 6, 9},        /* goes on */
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_mem_storage *s = raft_mem_storage_new();
		struct raft_snapshot snap = {.index = 3, .term = 3};
		struct raft_entry batch[8] = {0};
		size_t n = 0;

		assert_ok(raft_mem_storage_apply_snapshot(s, &snap));
		append(s, 4, 4, 4);
		append(s, 5, 5, 5);
		for (uint64_t k = cases[i].first; k <= cases[i].last; k++)
			batch[n++] = (struct raft_entry){.term = cases[i].term, .index = k};
		raft_mem_storage_append(s, batch, n);
		assert_int_equal(raft_mem_storage_last_index(s), cases[i].want_last);
		assert_int_equal(term_at(s, cases[i].want_last), cases[i].want_term);
		assert_int_equal(term_at(s, 3), 3);
		raft_mem_storage_free(s);
	}
}

static void test_compaction(void **state)
{
	struct raft_mem_storage *s = raft_mem_storage_new();
	struct raft_storage *base = raft_mem_storage_base(s);
	const struct raft_entry *entries;
	uint64_t term;
	size_t count;

	append(s, 1, 100, 1);
	assert_int_equal(raft_mem_storage_data_bytes(s), 200);
	assert_ok(raft_mem_storage_compact(s, 60));
	assert_err(ERR_RAFT_COMPACTED, raft_mem_storage_compact(s, 60));
	assert_int_equal(raft_mem_storage_first_index(s), 61);
	assert_int_equal(raft_mem_storage_data_bytes(s), 80);
	assert_int_equal(term_at(s, 60), 1);
	assert_err(ERR_RAFT_COMPACTED, base->ops->term(base, 59, &term));
	assert_err(ERR_RAFT_UNAVAILABLE, base->ops->term(base, 101, &term));
	assert_err(ERR_RAFT_COMPACTED, base->ops->entries(base, 60, 62, RAFT_NO_LIMIT, &entries, &count));
	assert_ok(base->ops->entries(base, 61, 101, RAFT_NO_LIMIT, &entries, &count));
	assert_int_equal(count, 40);
	assert_int_equal(entries[0].index, 61);

	/* Far more than ever held at once goes through: the room in front is used again. */
	for (uint64_t i = 101; i <= 5000; i++) {
		append(s, i, i, 2);
		if (i % 50 == 0)
			assert_ok(raft_mem_storage_compact(s, i - 20));
	}
	assert_int_equal(raft_mem_storage_last_index(s), 5000);
	assert_int_equal(raft_mem_storage_data_bytes(s), 40);
	raft_mem_storage_free(s);
}

/* As many entries as fit, at least one. */
static void test_entries_by_size(void **state)
{
	struct raft_mem_storage *s = raft_mem_storage_new();
	struct raft_storage *base = raft_mem_storage_base(s);
	const struct raft_entry *entries;
	size_t count;

	append(s, 1, 5, 1);
	assert_ok(base->ops->entries(base, 1, 6, RAFT_NO_LIMIT, &entries, &count));
	size_t size = raft_entry_size(&entries[0]);
	const struct {
		uint64_t limit;
		size_t want;
	} cases[] = {{0, 1}, {size, 1}, {2 * size - 1, 1}, {2 * size, 2}, {5 * size, 5}, {100 * size, 5}};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_ok(base->ops->entries(base, 1, 6, cases[i].limit, &entries, &count));
		assert_int_equal(count, cases[i].want);
	}
	raft_mem_storage_free(s);
}

static void test_snapshots_only_go_forward(void **state)
{
	struct raft_mem_storage *s = raft_mem_storage_new();
	struct raft_conf_state cs = {.auto_leave = true};
	struct blob *data = blob_copy(SLICE_LIT("image"));

	append(s, 1, 5, 2);
	assert_ok(raft_mem_storage_create_snapshot(s, 4, &cs, blob_ref(data)));
	assert_err(ERR_RAFT_SNAPSHOT_OUT_OF_DATE, raft_mem_storage_create_snapshot(s, 4, &cs, blob_ref(data)));
	assert_int_equal(data->refs, 2);
	assert_int_equal(raft_mem_storage_snapshot(s)->term, 2);
	assert_true(raft_mem_storage_snapshot(s)->conf_state.auto_leave);
	assert_int_equal(raft_mem_storage_last_index(s), 5);    /* the log stays */

	struct raft_snapshot snap = {.index = 4, .term = 2};
	assert_err(ERR_RAFT_SNAPSHOT_OUT_OF_DATE, raft_mem_storage_apply_snapshot(s, &snap));
	snap.index = 9;
	assert_ok(raft_mem_storage_apply_snapshot(s, &snap));
	assert_int_equal(raft_mem_storage_first_index(s), 10);
	assert_int_equal(raft_mem_storage_last_index(s), 9);
	assert_int_equal(raft_mem_storage_data_bytes(s), 0);
	assert_int_equal(data->refs, 1);
	blob_unref(data);
	raft_mem_storage_free(s);
}

/* ---- log ---- */

/* 1-3 in storage, 4-6 unstable. A limit that is used up by the stable part ends there, even without a whole entry
 * behind it; only what would otherwise be empty may go over. */
static void test_slice_across_both_parts(void **state)
{
	struct raft_mem_storage *s = raft_mem_storage_new();
	const struct raft_logger silent = {0};
	struct raft_log log;
	struct raft_span span;

	append(s, 1, 3, 1);
	raft_log_init(&log, raft_mem_storage_base(s), &silent, RAFT_NO_LIMIT);
	for (uint64_t i = 4; i <= 6; i++) {
		struct raft_entry e = {.term = 1, .index = i, .data = blob_copy(SLICE_LIT("xy"))};

		raft_log_append(&log, &e, 1);
	}
	assert_ok(raft_log_slice(&log, 1, 7, RAFT_NO_LIMIT, &span));
	uint64_t size = raft_entry_size(&span.part[0].at[0]);
	const struct {
		uint64_t lo, hi, limit;
		size_t stable, unstable;
	} cases[] = {
		{1, 7, RAFT_NO_LIMIT, 3, 3}, {2, 4, RAFT_NO_LIMIT, 2, 0}, {4, 7, RAFT_NO_LIMIT, 0, 3},
		{3, 5, RAFT_NO_LIMIT, 1, 1}, {1, 7, 0, 1, 0},             {1, 7, 3 * size, 3, 0},
		{1, 7, 4 * size - 1, 3, 0},  {1, 7, 4 * size, 3, 1},      {4, 7, 0, 0, 1},
		{5, 7, 2 * size, 0, 2},      {4, 4, 0, 0, 0},
	};
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_ok(raft_log_slice(&log, cases[i].lo, cases[i].hi, cases[i].limit, &span));
		assert_int_equal(span.part[0].count, cases[i].stable);
		assert_int_equal(span.part[1].count, cases[i].unstable);
	}
	assert_ok(raft_mem_storage_compact(s, 2));
	assert_err(ERR_RAFT_COMPACTED, raft_log_slice(&log, 2, 4, RAFT_NO_LIMIT, &span));
	raft_log_fini(&log);
	raft_mem_storage_free(s);
}

/* Terms 2 2 5 5 5 at 11 to 15, behind a compaction at 10 with term 1. */
static void test_find_conflict(void **state)
{
	static const struct {
		uint64_t index, term;
		uint64_t want_index, want_term;
	} cases[] = {
		{15, 9, 15, 5}, {15, 5, 15, 5}, {15, 4, 12, 2}, {12, 2, 12, 2}, {13, 1, 10, 1},
		{10, 1, 10, 1}, {10, 0, 9, 0},  {20, 9, 20, 0}, {5, 3, 5, 0},
	};
	struct raft_mem_storage *s = raft_mem_storage_new();
	struct raft_snapshot snap = {.index = 10, .term = 1};
	const struct raft_logger silent = {0};
	struct raft_log log;

	assert_ok(raft_mem_storage_apply_snapshot(s, &snap));
	append(s, 11, 12, 2);
	append(s, 13, 15, 5);
	raft_log_init(&log, raft_mem_storage_base(s), &silent, RAFT_NO_LIMIT);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_pos got = raft_log_find_conflict(&log, cases[i].index, cases[i].term);

		assert_int_equal(got.index, cases[i].want_index);
		assert_int_equal(got.term, cases[i].want_term);
	}
	raft_log_fini(&log);
	raft_mem_storage_free(s);
}

/* ---- flow control ---- */

static void test_inflights(void **state)
{
	struct raft_inflights in = {.count_max = 100, .bytes_max = 1000};
	uint64_t next = 1, oldest = 1;

	/* Around the ring many times, with every fill level. */
	for (unsigned keep = 0; keep < 100; keep += 7) {
		while (next - oldest <= keep)
			raft_inflights_add(&in, next++, 1);
		for (int i = 0; i < 300; i++) {
			raft_inflights_free_to(&in, oldest++);
			raft_inflights_add(&in, next++, 1);
			assert_int_equal(in.count, next - oldest);
			assert_int_equal(in.bytes, next - oldest);
		}
	}
	raft_inflights_free_to(&in, oldest - 1);        /* an old answer */
	assert_int_equal(in.count, next - oldest);
	while (!raft_inflights_full(&in))
		raft_inflights_add(&in, next++, 1);
	assert_int_equal(in.count, 100);
	raft_inflights_free_to(&in, next - 1);
	assert_int_equal(in.count, 0);

	/* One message may go over the limit in bytes; then it is full. */
	raft_inflights_add(&in, next++, 999);
	assert_false(raft_inflights_full(&in));
	raft_inflights_add(&in, next++, 5000);
	assert_true(raft_inflights_full(&in));
	raft_inflights_clear(&in);
	assert_false(raft_inflights_full(&in));
	assert_int_equal(in.bytes, 0);
	mem_free(in.ring);
}

static void test_progress_decrease(void **state)
{
	static const struct {
		enum raft_progress_state state;
		uint64_t match, next, rejected, hint;
		bool want;
		uint64_t want_next;
	} cases[] = {
		{RAFT_REPLICATE, 5, 10, 5, 5, false, 10},       /* older than what is acknowledged */
		{RAFT_REPLICATE, 5, 10, 4, 4, false, 10},
		{RAFT_REPLICATE, 5, 10, 9, 9, true, 6},
		{RAFT_PROBE, 0, 0, 0, 0, false, 0},             /* not what was probed */
		{RAFT_PROBE, 0, 10, 5, 5, false, 10},
		{RAFT_PROBE, 0, 10, 9, 9, true, 9},
		{RAFT_PROBE, 0, 2, 1, 1, true, 1},
		{RAFT_PROBE, 0, 1, 0, 0, true, 1},
		{RAFT_PROBE, 0, 10, 9, 2, true, 3},
		{RAFT_PROBE, 0, 10, 9, 0, true, 1},
		{RAFT_PROBE, 3, 10, 9, 0, true, 4},             /* never below what matches */
		{RAFT_PROBE, 0, 10, 9, UINT64_MAX, true, 9},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_progress p = {.state = cases[i].state, .match = cases[i].match, .next = cases[i].next};

		assert_int_equal(raft_progress_decrease(&p, cases[i].rejected, cases[i].hint), cases[i].want);
		assert_int_equal(p.next, cases[i].want_next);
		assert_int_equal(p.match, cases[i].match);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_overlaps),
		cmocka_unit_test(test_compaction),
		cmocka_unit_test(test_entries_by_size),
		cmocka_unit_test(test_snapshots_only_go_forward),
		cmocka_unit_test(test_slice_across_both_parts),
		cmocka_unit_test(test_find_conflict),
		cmocka_unit_test(test_inflights),
		cmocka_unit_test(test_progress_decrease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
