/* One node under power cuts and failing disks.
 *
 *	sim_node [seconds] [seed]       new seeds for that long (5), or just that seed */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "world.h"

static const enum vfs_fault faults[] = {VFS_FAULT_CRASH, VFS_FAULT_CRASH, VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN};

/* Starts until it succeeds: a planned fault may hit the start itself. */
static void start(struct world *w)
{
	struct why why = {""};

	for (int tries = 0; tries < 50; tries++) {
		if (world_start(w, &why))
			return;
		world_crash(w);
	}
	fprintf(stderr, "seed %llu: the node does not start: %s\n", (unsigned long long)w->seed, why.text);
	abort();
}

static uint64_t run(uint64_t seed, bool tell)
{
	struct world *w = world_new(seed);
	unsigned rounds = 2 + (unsigned)rng_below(&w->rng, 6);
	uint64_t trace;

	for (unsigned i = 0; i < rounds; i++) {
		vfs_mem_fault(w->disk, 1 + rng_below(&w->rng, 400), faults[rng_below(&w->rng, ARRAY_COUNT(faults))]);
		start(w);
		world_run(w, 1000000000 + rng_below(&w->rng, 5000000000));
		world_crash(w);
	}
	start(w);                               /* healed */
	if (!world_run(w, 3000000000) || !w->ready) {
		fprintf(stderr, "seed %llu: a healed node did not come to serve\n", (unsigned long long)seed);
		abort();
	}
	world_settle(w);
	world_check(w);
	world_stop(w);
	trace = sched_sim_trace(w->sched);
	if (tell)
		printf("seed %llu: %zu calls, %llu acknowledged, %llu steps, %llu crashes, %llu fatal, %.1f s of time, trace %016llx\n",
		       (unsigned long long)seed, w->history.count, (unsigned long long)w->count.acked, (unsigned long long)w->count.steps,
		       (unsigned long long)w->count.crashes, (unsigned long long)w->count.fatals, (double)sched_now_ns(w->sched) / 1e9,
		       (unsigned long long)trace);
	world_free(w);
	return trace;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 5;
	struct timespec now;
	time_t end;
	uint64_t seed, n = 0;

	if (argc > 2) {
		seed = strtoull(argv[2], NULL, 0);
		if (run(seed, true) != run(seed, false)) {
			fprintf(stderr, "seed %llu does not replay\n", (unsigned long long)seed);
			return 1;
		}
		return 0;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec * 1000003;
	end = time(NULL) + (time_t)seconds;
	printf("seeds from %llu\n", (unsigned long long)seed);
	fflush(stdout);
	while (time(NULL) < end || !n) {
		uint64_t t = run(seed + n, false);

		if (n % 16 == 0 && run(seed + n, false) != t) {
			fprintf(stderr, "seed %llu does not replay\n", (unsigned long long)(seed + n));
			return 1;
		}
		n++;
	}
	printf("%llu seeds\n", (unsigned long long)n);
	return 0;
}
