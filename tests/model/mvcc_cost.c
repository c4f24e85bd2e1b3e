/* Figures of the key space, by hand:
 *
 *	mvcc_cost DIR [keys]            DIR: on the disk to be measured; 1,000,000 keys of 39 bytes, values of 256
 *
 * Puts come in batches of 100, each published, a commit after 10,000. Times are CPU time of this thread where a file
 * is waited for, best of many blocks for single operations (the machine is rarely alone), else wall time. */
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/rng.h"
#include "env/env.h"
#include "mvcc_fixture.h"

enum { VALUE = 256, KEY_MAX = 48 };

struct cost {
	struct fixture f;
	size_t keys;
	struct rng rng;
	struct buf out;
	uint8_t key[KEY_MAX];
	uint8_t value[VALUE];
};

static double thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct slice key(struct cost *c, size_t i)
{
	uint64_t id = i * 0x9e3779b97f4a7c15u >> 20;

	return slice_of(c->key, (size_t)snprintf((char *)c->key, KEY_MAX, "/registry/pods/ns-%03u/key-%012llx",
						 (unsigned)(id % 100), (unsigned long long)id));
}

static struct slice some_key(struct cost *c)
{
	return key(c, rng_below(&c->rng, c->keys));
}

static void put(struct cost *c, struct slice k)
{
	struct put_req r = {.key = k, .value = slice_of(c->value, VALUE)};

	ASSERT(mvcc_put(c->f.mvcc, &r, NULL, NULL) == OK);
}

static void get(struct cost *c)
{
	struct range_req r = {.key = some_key(c)};

	buf_clear(&c->out);
	ASSERT(mvcc_range(&c->f.view, &r, 1000, &c->out) == OK);
}

static void range_1000(struct cost *c)
{
	struct range_req r = {.key = some_key(c), .range_end = SLICE_LIT("\0"), .limit = 1000};

	buf_clear(&c->out);
	ASSERT(mvcc_range(&c->f.view, &r, 1000, &c->out) == OK);
}

static void count(struct cost *c)
{
	(void)mvcc_count(&c->f.view, some_key(c), SLICE_LIT("\0"));
}

static void draw(struct cost *c)
{
	(void)some_key(c);
}

/* The best block of `per` calls, in ns a call, and the mean. */
static void measure(struct cost *c, const char *name, void (*fn)(struct cost *), size_t blocks, size_t per)
{
	double best = 1e18, sum = 0;

	for (size_t b = 0; b < blocks; b++) {
		double t = thread_ns();

		for (size_t i = 0; i < per; i++)
			fn(c);
		t = (thread_ns() - t) / (double)per;
		best = MIN(best, t);
		sum += t;
	}
	printf("%-28s best %8.0f  mean %8.0f ns\n", name, best, sum / (double)blocks);
}

static void fill(struct cost *c, size_t n, bool known)
{
	double cpu = thread_ns(), merges = 0;

	for (size_t i = 0; i < n; i++) {
		put(c, known ? some_key(c) : key(c, i));
		if (i % 100 == 99)
			fixture_publish(&c->f);
		if (i % 10000 == 9999) {
			double t = thread_ns();

			fixture_commit(&c->f);
			merges += thread_ns() - t;
		}
	}
	cpu = thread_ns() - cpu - merges;
	printf("%-28s %.0f ns a put, and %.0f ns in the merge\n", known ? "put on existing keys" : "put of new keys",
	       cpu / (double)n, merges / (double)n);
}

static void memory(struct cost *c)
{
	struct mvcc_stats s;
	struct mallinfo2 m = mallinfo2();

	mvcc_stats(c->f.mvcc, &s);
	printf("index: %llu keys, %llu revisions, %.1f bytes a key beyond its bytes; malloc holds %.1f MiB\n",
	       (unsigned long long)s.keys, (unsigned long long)s.revisions,
	       (double)s.index_bytes / (double)s.keys - (double)key(c, 1).size,
	       (double)(m.uordblks + m.hblkhd) / 1048576);
}

static void compact(struct cost *c)
{
	uint64_t start = env_mono_ns(), worst = 0, steps = 0;
	double cpu = thread_ns();
	enum mvcc_compact_state state;

	ASSERT(mvcc_compact(c->f.mvcc, mvcc_revision(c->f.mvcc)) == OK);
	mvcc_compact_hash_failed(c->f.mvcc);
	do {
		uint64_t t = env_mono_ns();

		state = mvcc_compact_step(c->f.mvcc, 1000);
		fixture_publish(&c->f);
		worst = MAX(worst, env_mono_ns() - t);
		steps++;
	} while (state == MVCC_COMPACT_MORE);
	printf("compaction: %.0f ms CPU in %llu steps of 1000, the longest %.2f ms\n", (thread_ns() - cpu) / 1e6,
	       (unsigned long long)steps, (double)worst / 1e6);
	fixture_commit(&c->f);
	printf("its commit after %.2f s\n", (double)(env_mono_ns() - start) / 1e9);
}

static void hash(struct cost *c)
{
	double cpu = thread_ns();
	struct mvcc_hash h;
	bool done = false;

	ASSERT(mvcc_hash_init(&h, &c->f.view, 0) == OK);
	while (!done)
		ASSERT(mvcc_hash_step(&h, &c->f.view, 2000, &done) == OK);
	mvcc_hash_fini(&h);
	printf("HashKV: %.0f ms CPU\n", (thread_ns() - cpu) / 1e6);
}

static void reopen(struct cost *c)
{
	fixture_reopen(&c->f);
	printf("open: file %.0f ms, load %.0f ms\n", (double)c->f.open_ns / 1e6, (double)c->f.load_ns / 1e6);
}

int main(int argc, char **argv)
{
	struct cost c = {.keys = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000000};
	char *path = mem_printf("%s/mvcc_cost.db", argc > 1 ? argv[1] : ".");

	(void)!vfs_remove(vfs_posix(), path);
	buf_init(&c.out, SIZE_MAX);
	memset(c.value, 'v', VALUE);
	rng_init(&c.rng, 1);
	fixture_open_file(&c.f, path);
	fill(&c, c.keys, false);
	memory(&c);
	fixture_commit(&c.f);
	reopen(&c);
	memory(&c);
	measure(&c, "(making a key)", draw, 50, 10000);
	measure(&c, "get", get, 100, 5000);
	measure(&c, "range of 1000", range_1000, 100, 20);
	measure(&c, "count of half", count, 100, 1000);
	hash(&c);
	fill(&c, c.keys / 2, true);
	memory(&c);
	reopen(&c);
	compact(&c);
	memory(&c);
	fixture_close(&c.f);
	(void)!vfs_remove(vfs_posix(), path);
	buf_fini(&c.out);
	mem_free(path);
	return 0;
}
