/* Readers on threads while core writes, publishes, compacts and merges. Every revision holds one invariant: keys of
 * group a and of group b carry the same number, set in one txn. A reader that sees a torn state, or a freed one (under
 * a sanitizer), shows it. */
#include "../../lib/test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "mvcc_fixture.h"

enum { READERS = 3, KEYS = 200, WRITES = 6000 };

struct shared {
	struct fixture f;
	_Atomic(struct mvcc_view *) published;
	atomic_bool stop;
	atomic_ullong reads;
};

static struct slice key_of(uint8_t out[8], char group, unsigned i)
{
	return slice_of(out, (size_t)snprintf((char *)out, 8, "%c%03u", group, i));
}

static void free_view(void *v)
{
	mem_free(v);
}

static void publish(struct shared *s)
{
	struct mvcc_view *v = NEW(struct mvcc_view), *old;

	mvcc_publish(s->f.mvcc, v);
	old = atomic_exchange(&s->published, v);
	mvcc_published(s->f.mvcc);
	if (old)
		epoch_retire(s->f.epoch, old, free_view);
	epoch_reclaim(s->f.epoch);
}

static struct slice value_at(const struct mvcc_view *v, struct slice key, int64_t rev)
{
	struct slice row;
	struct kv kv = {0};

	if (mvcc_get(v, key, rev, &row) == OK)
		ASSERT(kv_decode(row, &kv) == OK);
	return kv.value;
}

static void *reader(void *arg)
{
	struct shared *s = arg;
	struct rng rng;
	struct buf out;

	rng_init(&rng, (uint64_t)(uintptr_t)&rng);
	buf_init(&out, SIZE_MAX);
	while (!atomic_load(&s->stop)) {
		uint8_t a[8], b[8];
		unsigned i = (unsigned)rng_below(&rng, KEYS);

		epoch_enter(s->f.epoch);
		const struct mvcc_view *v = atomic_load(&s->published);
		int64_t rev = rng_below(&rng, 2) ? 0 : MAX(v->compact_rev, 1);
		struct range_req all = {.key = SLICE_LIT("a"),
					.range_end = SLICE_LIT("c"),
					.revision = rev,
					.limit = (int64_t)rng_below(&rng, 40)};

		ASSERT(slice_eq(value_at(v, key_of(a, 'a', i), rev), value_at(v, key_of(b, 'b', i), rev)));
		ASSERT(mvcc_count(v, SLICE_LIT("a"), SLICE_LIT("b")) == mvcc_count(v, SLICE_LIT("b"), SLICE_LIT("c")));
		buf_clear(&out);
		ASSERT(mvcc_range(v, &all, SIZE_MAX, &out) == OK);
		epoch_leave(s->f.epoch);
		atomic_fetch_add(&s->reads, 1);
	}
	buf_fini(&out);
	return NULL;
}

static void *merge(void *f)
{
	ASSERT(backend_merge(((struct fixture *)f)->backend) == OK);
	return NULL;
}

static void write_pair(struct shared *s, struct rng *rng, unsigned n)
{
	unsigned i = (unsigned)rng_below(rng, KEYS);
	uint8_t a[8], b[8], value[64];
	struct slice v =
	    slice_of(value, (size_t)snprintf((char *)value, sizeof(value), "%0*u", (int)rng_below(rng, 50) + 1, n));
	struct request_op put[2] = {
	    {.kind = OP_PUT, .put = {.key = key_of(a, 'a', i), .value = v}},
	    {.kind = OP_PUT, .put = {.key = key_of(b, 'b', i), .value = v}},
	};
	struct request_op del[2] = {
	    {.kind = OP_DELETE, .del = {.key = key_of(a, 'a', i)}},
	    {.kind = OP_DELETE, .del = {.key = key_of(b, 'b', i)}},
	};
	struct txn_req t = {.success = rng_below(rng, 5) ? put : del, .success_count = 2};

	ASSERT(mvcc_txn(s->f.mvcc, &t, NULL, NULL) == OK);
}

static void test_readers_beside_the_writer(void **unused)
{
	struct shared *s = NEW(struct shared);
	pthread_t threads[READERS], merger;
	struct rng rng;
	bool merging = false;

	rng_init(&rng, 5);
	fixture_open(&s->f);
	publish(s);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, s), 0);
	for (unsigned n = 0; n < WRITES; n++) {
		write_pair(s, &rng, n);
		if (rng_below(&rng, 4) == 0)
			publish(s);
		if (n % 500 == 250 && mvcc_compact(s->f.mvcc, mvcc_revision(s->f.mvcc) - 50) == OK &&
		    mvcc_compact_wants_hash(s->f.mvcc, &(int64_t){0}, &(int64_t){0}))
			mvcc_compact_hash_failed(s->f.mvcc);
		mvcc_compact_step(s->f.mvcc, 3);
		if (n % 100 != 0)
			continue;
		if (merging) {
			pthread_join(merger, NULL);
			assert_ok(backend_merged(s->f.backend));
			publish(s);
		}
		backend_freeze(s->f.backend, n + 1, 1, (struct slice){0});
		publish(s);
		assert_int_equal(pthread_create(&merger, NULL, merge, &s->f), 0);
		merging = true;
	}
	pthread_join(merger, NULL);
	assert_ok(backend_merged(s->f.backend));
	publish(s);
	atomic_store(&s->stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&s->reads) > 0);
	mvcc_check(s->f.mvcc, true);
	mem_free(atomic_load(&s->published));
	fixture_close(&s->f);
	mem_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_readers_beside_the_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
