/* Random clusters: see sim.h. RAFT_SIM_SEED and RAFT_SIM_COUNT choose other seeds and more of them. */
#include "lib/test.h"
#include "sim.h"

#include <inttypes.h>

enum { SEEDS = 1200, STEPS = 10000 };

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void fail_with(const struct sim *s, const char *what)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	sim_print(s, &b);
	fprintf(stderr, "seed %" PRIu64 ": %s\n%.*s", s->seed, what, SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
	fail();
}

static void test_random_clusters(void **state)
{
	uint64_t first = number_from_env("RAFT_SIM_SEED", 1), count = number_from_env("RAFT_SIM_COUNT", SEEDS);
	struct sim total = {0};

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct sim s;

		sim_init(&s, seed);
		for (int i = 0; i < STEPS; i++)
			sim_step(&s);
		/* Without quorum checks a leader at a lower term may stay, whom a voter does not listen to. */
		if (!sim_heal(&s) && s.options.check_quorum && !sim_is_locked_out(&s))
			fail_with(&s, "no agreement after the faults ended");
		total.seen.elections += s.seen.elections;
		total.seen.commits += s.seen.commits;
		total.seen.snapshots += s.seen.snapshots;
		total.seen.crashes += s.seen.crashes;
		total.seen.reads += s.seen.reads;
		total.seen.conf_changes += s.seen.conf_changes;
		sim_fini(&s);
	}
	print_message("%u elections, %u applied, %u snapshots, %u crashes, %u reads, %u conf changes\n",
		      total.seen.elections, total.seen.commits, total.seen.snapshots, total.seen.crashes,
		      total.seen.reads, total.seen.conf_changes);
	assert_true(count < SEEDS || (total.seen.elections && total.seen.commits && total.seen.snapshots &&
				      total.seen.crashes && total.seen.reads && total.seen.conf_changes));
}

/* Nothing but the seed decides what happens. */
static void test_same_seed_same_trace(void **state)
{
	uint64_t traces[2];

	for (size_t i = 0; i < ARRAY_COUNT(traces); i++) {
		struct sim s;

		sim_init(&s, 4711);
		for (int k = 0; k < STEPS; k++)
			sim_step(&s);
		traces[i] = s.trace;
		sim_fini(&s);
	}
	assert_true(traces[0] == traces[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_seed_same_trace),
		cmocka_unit_test(test_random_clusters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
