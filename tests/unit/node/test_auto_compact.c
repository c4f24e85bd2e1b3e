/* Turns and revisions of automatic compaction: the cases and figures of etcd v3.7.1's own tests (v3compactor/periodic_test.go,
 * revision_test.go), with time and revisions told. */
#include "../../lib/test.h"
#include "node/auto_compact.h"

#define MINUTE UINT64_C(60000000000)
#define HOUR (60 * MINUTE)

struct run {
	struct auto_compact a;
	uint64_t now;
	int64_t rev;            /* counts the questions, as Go's fake store does */
};

static void start(struct run *r, enum auto_compact_mode mode, int64_t retention)
{
	*r = (struct run){.now = 1000, .rev = 1};
	auto_compact_start(&r->a, mode, retention, r->now, r->rev);
}

/* count turns; the revision asked for in the last one, nothing before it. */
static int64_t turns(struct run *r, unsigned count, bool leads)
{
	int64_t got = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(got, 0);
		r->now += r->a.interval_ns;
		r->rev++;
		got = auto_compact_step(&r->a, r->now, r->rev, leads);
		if (got)
			auto_compact_done(&r->a, r->now, r->rev, true);
	}
	return got;
}

static void test_hours(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_PERIODIC, 2 * (int64_t)HOUR);
	assert_int_equal(r.a.interval_ns, 6 * MINUTE);
	assert_int_equal(turns(&r, 20, true), 1);
	for (int64_t i = 1; i <= 3; i++)
		assert_int_equal(turns(&r, 10, true), i * 10);
	auto_compact_fini(&r.a);
}

static void test_minutes(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_PERIODIC, 5 * (int64_t)MINUTE);
	assert_int_equal(r.a.interval_ns, MINUTE / 2);
	assert_int_equal(turns(&r, 10, true), 1);
	for (int64_t i = 1; i <= 5; i++)
		assert_int_equal(turns(&r, 10, true), i * 10);
	auto_compact_fini(&r.a);
}

/* Who does not lead goes on noting, and compacts in his first turn as leader. */
static void test_not_leading(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_PERIODIC, (int64_t)HOUR);
	assert_int_equal(turns(&r, 30, false), 0);
	assert_int_equal(turns(&r, 1, true), 1 + 20);
	auto_compact_fini(&r.a);
}

static void test_same_revision_is_left_out(void **state)
{
	struct run r;
	int64_t got = 0;

	start(&r, AUTO_COMPACT_PERIODIC, 5 * (int64_t)MINUTE);
	assert_int_equal(turns(&r, 10, true), 1);
	auto_compact_fini(&r.a);
	r = (struct run){.now = 1000, .rev = 101};
	auto_compact_start(&r.a, AUTO_COMPACT_PERIODIC, 5 * (int64_t)MINUTE, r.now, 101);
	for (int i = 0; i < 60; i++) {
		int64_t rev = auto_compact_step(&r.a, r.now += r.a.interval_ns, 101, true);

		if (rev) {
			assert_int_equal(i, 9);
			got = rev;
			auto_compact_done(&r.a, r.now, 101, true);
		}
	}
	assert_int_equal(got, 101);
	auto_compact_fini(&r.a);
}

/* A failed one is tried again in the next turn, a tenth of the period later. */
static void test_failure(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_PERIODIC, (int64_t)HOUR);
	for (int i = 1; i < 10; i++)
		assert_int_equal(auto_compact_step(&r.a, r.now += r.a.interval_ns, ++r.rev, true), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now += r.a.interval_ns, ++r.rev, true), 1);
	assert_int_equal(auto_compact_step(&r.a, r.now + HOUR, r.rev, true), 0);        /* one at a time */
	auto_compact_done(&r.a, r.now, r.rev, false);
	assert_int_equal(auto_compact_step(&r.a, r.now + r.a.interval_ns - 1, r.rev, true), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now += r.a.interval_ns, ++r.rev, true), 1);
	auto_compact_done(&r.a, r.now, r.rev, true);
	auto_compact_fini(&r.a);
}

/* Go's fake: retention 10 at revision 100 gives 90, at 200 gives 190; nothing at or below 0, nothing twice. */
static void test_revisions(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_REVISION, 10);
	assert_int_equal(r.a.interval_ns, 5 * MINUTE);
	assert_int_equal(auto_compact_step(&r.a, r.now += 5 * MINUTE, 10, true), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now + 1, 100, true), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now += 5 * MINUTE, 100, true), 90);
	auto_compact_done(&r.a, r.now, 100, true);
	assert_int_equal(auto_compact_step(&r.a, r.now += 5 * MINUTE, 100, true), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now += 5 * MINUTE, 200, false), 0);
	assert_int_equal(auto_compact_step(&r.a, r.now += 5 * MINUTE, 200, true), 190);
	auto_compact_done(&r.a, r.now, 200, true);
	auto_compact_fini(&r.a);
}

static void test_long_period_keeps_little(void **state)
{
	struct run r;

	start(&r, AUTO_COMPACT_PERIODIC, 1000 * (int64_t)HOUR);
	for (int i = 0; i < 30000; i++) {
		int64_t rev = auto_compact_step(&r.a, r.now += r.a.interval_ns, ++r.rev, true);

		if (rev)
			auto_compact_done(&r.a, r.now, r.rev, true);
		assert_true(r.a.revs.count - r.a.first <= 10001);
		assert_true(r.a.revs.count <= 2 * 10001 + 1);
	}
	auto_compact_fini(&r.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hours), cmocka_unit_test(test_minutes), cmocka_unit_test(test_not_leading),
		cmocka_unit_test(test_same_revision_is_left_out), cmocka_unit_test(test_failure), cmocka_unit_test(test_revisions),
		cmocka_unit_test(test_long_period_keeps_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
