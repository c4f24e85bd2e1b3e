/* The simulator: whole clusters from seeds.
 *
 *	sim                     new seeds for 5 s
 *	sim -t SECONDS          new seeds for that long
 *	sim -s SEED             that seed, twice; both runs must have one trace
 *	sim -k FILE             the seeds in FILE, one a line, # begins a comment
 *	sim -b BUG              with a built-in bug (src/base/bug.h; needs -Dbugs=true); -b list names them
 *	-v                      the servers' log, and more
 *
 * A failing seed prints its line, and the exit code is 1. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "obs/log.h"
#include "world.h"

enum { SEEDS_A_CHILD = 8 };

static bool verbose;
static uint64_t seed_now;

static void log_nothing(void *arg, const char *line, size_t size)
{
}

static void log_to_stderr(void *arg, const char *line, size_t size)
{
	fwrite(line, 1, size, stderr);
}

static void on_abort(int sig)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "seed %llu: signal %d\n", (unsigned long long)seed_now, sig);

	if (write(2, text, (size_t)n) < 0)
		_exit(4);
	_exit(3);
}

static void log_quiet(void)
{
	static const char *const none[] = {"/dev/null"};
	struct log_config lc = {verbose ? LOG_LEVEL_INFO : LOG_LEVEL_FATAL, LOG_FORMAT_CONSOLE, none, 1};
	struct why why;

	if (!verbose && log_setup(&lc, &why))
		abort();
	log_set_writer(verbose ? log_to_stderr : log_nothing, NULL);
}

/* Virtual seconds of a run. */
static uint64_t run(uint64_t seed, bool tell, double *virtual_s)
{
	struct world *w;
	uint64_t trace;

	seed_now = seed;
	w = world_new(seed, NULL);
	if (tell)
		printf("seed %llu: %u members, %u clients, %u watchers, %u keys, %u faults\n", (unsigned long long)seed, w->k.sites, w->k.clients,
		       w->k.watchers, w->k.keys, w->k.faults);
	trace = world_play(w);
	*virtual_s += (double)now_ns(w) / 1e9;
	if (tell)
		printf("seed %llu: %llu calls (%llu answered, %llu failed, %llu lost), %llu events, %zu entries, %llu leases expired, %llu messages "
		       "(%llu lost), %llu snapshots, %llu changes of membership, %llu hand-overs, %llu crashes, %llu kills, %llu fatal, %llu pauses, %llu steps, %.1f s of time, trace %016llx\n",
		       (unsigned long long)seed, (unsigned long long)w->count.calls, (unsigned long long)w->count.answered,
		       (unsigned long long)w->count.failed, (unsigned long long)w->count.lost, (unsigned long long)w->count.events, w->model.log.count,
		       (unsigned long long)w->model.expired, (unsigned long long)w->count.messages, (unsigned long long)w->count.dropped,
		       (unsigned long long)w->count.snapshots, (unsigned long long)w->count.member_changes,
		       (unsigned long long)w->count.transfers, (unsigned long long)w->count.crashes, (unsigned long long)w->count.kills,
		       (unsigned long long)w->count.fatals, (unsigned long long)w->count.pauses, (unsigned long long)w->count.steps,
		       (double)now_ns(w) / 1e9, (unsigned long long)trace);
	world_free(w);
	return trace;
}

static bool replays(uint64_t seed, bool tell, double *virtual_s)
{
	double again = 0;
	uint64_t first = run(seed, tell, virtual_s);

	if (run(seed, false, &again) == first)
		return true;
	fprintf(stderr, "seed %llu does not replay\n", (unsigned long long)seed);
	return false;
}

/* A process of its own for a few seeds: what nodes that died in a step held is given back with it. */
static bool child(const uint64_t *seeds, size_t count, bool twice, double *virtual_s)
{
	int pipes[2], status;
	double done = 0;
	pid_t pid;

	if (pipe(pipes))
		abort();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		bool ok = true;

		for (size_t i = 0; ok && i < count; i++) {
			if (twice && i == 0)
				ok = replays(seeds[i], verbose, &done);
			else
				run(seeds[i], verbose, &done);
		}
		if (write(pipes[1], &done, sizeof(done)) != sizeof(done))
			abort();
		fflush(stdout);
		_exit(ok ? 0 : 3);
	}
	close(pipes[1]);
	if (read(pipes[0], &done, sizeof(done)) == sizeof(done))
		*virtual_s += done;
	close(pipes[0]);
	if (waitpid(pid, &status, 0) < 0)
		abort();
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_of_children(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int new_seeds(double seconds)
{
	double begin = seconds_now(), virtual_s = 0;
	uint64_t seed = (uint64_t)time(NULL) * 1000003, n = 0, seeds[SEEDS_A_CHILD];

	printf("seeds from %llu\n", (unsigned long long)seed);
	while (seconds_now() < begin + seconds || !n) {
		size_t count = seconds_now() > begin + seconds * 0.7 ? 1 : SEEDS_A_CHILD;

		for (size_t i = 0; i < count; i++)
			seeds[i] = seed + n++;
		if (!child(seeds, count, true, &virtual_s)) {
			printf("failed after %.1f s\n", seconds_now() - begin);
			return 1;
		}
	}
	printf("%llu seeds, %.0f s of virtual time in %.1f s: %.0f times real time, %.0f s for a second of CPU\n", (unsigned long long)n, virtual_s,
	       seconds_now() - begin, virtual_s / (seconds_now() - begin), virtual_s / cpu_of_children());
	return 0;
}

static int kept_seeds(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[256];
	double virtual_s = 0;
	int failures = 0, count = 0;

	if (!f) {
		perror(path);
		return 1;
	}
	while (fgets(line, sizeof(line), f)) {
		char *end;
		uint64_t seed = strtoull(line, &end, 0);

		if (end == line)
			continue;
		count++;
		failures += !child(&seed, 1, false, &virtual_s);
	}
	fclose(f);
	printf("%d kept seeds, %d failed\n", count, failures);
	return failures > 0;
}

static bool switch_bug(const char *name)
{
#ifdef CETCD_BUGS
	if (strcmp(name, "list") == 0)
		for (enum bug b = BUG_NONE + 1; b < BUG__COUNT; b++)
			printf("%s\t%s\n", bug_name(b), bug_rule(b));
	else if (bug_set(name))
		return true;
	else
		fprintf(stderr, "there is no bug of that name; -b list\n");
#else
	fprintf(stderr, "this build has no bugs on purpose: meson setup -Dbugs=true\n");
#endif
	return false;
}

int main(int argc, char **argv)
{
	double seconds = 5, virtual_s = 0;
	const char *kept = NULL, *bug = NULL;
	uint64_t seed = 0;
	bool has_seed = false;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:k:b:v")) != -1) {
		switch (opt) {
		case 't': seconds = atof(optarg); break;
		case 's': seed = strtoull(optarg, NULL, 0); has_seed = true; break;
		case 'k': kept = optarg; break;
		case 'b': bug = optarg; break;
		case 'v': verbose = true; break;
		default: fprintf(stderr, "usage: sim [-t seconds] [-s seed] [-k file] [-b bug] [-v]\n"); return 2;
		}
	}
	if (bug && !switch_bug(bug))
		return 2;
	signal(SIGABRT, on_abort);
	if (!getenv("SIM_CORE"))
		signal(SIGSEGV, on_abort);
	if (verbose)
		setenv("SIM_VERBOSE", "1", 1);
	log_quiet();
	if (kept)
		return kept_seeds(kept);
	if (has_seed)
		return replays(seed, true, &virtual_s) ? 0 : 1;
	return new_seeds(seconds);
}
