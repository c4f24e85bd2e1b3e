#include <pthread.h>

#include "../../lib/test.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/endian.h"
#include "base/epoch.h"
#include "base/ids.h"
#include "base/rng.h"

static void test_crc_vectors(void **state)
{
	static const struct {
		const char *in;
		uint32_t want;
	} cases[] = {
		/* RFC 3720 B.4 and the usual check value */
		{"", 0}, {"123456789", 0xe3069283}, {"a", 0xc1d04330},
	};
	static uint8_t many[20000];
	uint8_t zero[32] = {0};

	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = (uint8_t)(i * i >> 5 ^ i);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_int_equal(crc32c(0, cases[i].in, strlen(cases[i].in)), cases[i].want);
	assert_int_equal(crc32c(0, zero, 32), 0x8a9136aa);
	/* Long input goes another way; cut into pieces it does not. */
	for (size_t size = 0; size <= sizeof(many); size = size * 3 / 2 + 1) {
		uint32_t cut = 77, whole = crc32c(77, many, size);

		for (size_t i = 0; i < size; i += 100)
			cut = crc32c(cut, many + i, MIN(size - i, 100));
		assert_int_equal(cut, whole);
	}
	assert_int_equal(crc32c(crc32c(0, "12345", 5), "6789", 4), 0xe3069283);
	assert_true(fnv64a("a", 1) == 0xaf63dc4c8601ec8cu);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} cases[] = {
		{"", true}, {"plain ascii over eight bytes", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true},
		{"\xf0\x9f\x98\x80", true}, {"\xf4\x8f\xbf\xbf", true}, {"\x80", false}, {"\xc0\x80", false},
		{"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false},
		{"\xf5\x80\x80\x80", false}, {"\xc3", false}, {"\xe2\x82", false}, {"12345678\xff", false},
		{"\xf0\x9f\x98", false}, {"\xe2\x28\xa1", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		if (slice_is_utf8(slice_str(cases[i].in)) != cases[i].want)
			fail_msg("case %zu", i);
}

static void test_buf_keeps_its_maximum(void **state)
{
	struct buf b;

	buf_init(&b, 10);
	buf_put(&b, "12345678", 8);
	assert_false(buf_failed(&b));
	buf_put(&b, "abc", 3);
	assert_true(buf_failed(&b));
	assert_int_equal(b.size, 8);
	buf_put(&b, "a", 1);            /* ignored: the first error stays */
	assert_int_equal(b.size, 8);
	buf_clear(&b);
	buf_printf(&b, "%d", 42);
	assert_memory_equal(b.data, "42", 2);
	buf_fini(&b);
}

static void test_arena_is_capped(void **state)
{
	struct arena a;
	struct blob *blob = blob_copy(SLICE_LIT("held"));

	arena_init(&a, 100000);
	assert_non_null(arena_alloc(&a, 0));
	assert_non_null(arena_alloc(&a, 60000));
	assert_null(arena_alloc(&a, 60000));
	assert_null(arena_alloc_array(&a, SIZE_MAX / 2, 4));
	assert_int_equal((uintptr_t)arena_alloc(&a, 3) % 16, 0);
	arena_hold(&a, blob_ref(blob));
	assert_int_equal(blob->refs, 2);
	arena_reset(&a);
	assert_int_equal(blob->refs, 1);
	assert_non_null(arena_alloc(&a, 60000));
	arena_fini(&a);
	blob_unref(blob);
}

static void test_why_reads_outside_in(void **state)
{
	struct why why;

	assert_int_equal(why_set(&why, ERR_IO, "reading %s", "f"), ERR_IO);
	why_add(&why, ERR_IO, "opening the log in %s", "d");
	assert_string_equal(why.text, "opening the log in d: reading f");
	assert_int_equal(why_set(NULL, ERR_IO, "x"), ERR_IO);
	assert_string_equal(err_text(ERR_COMPACTED), "etcdserver: mvcc: required revision has been compacted");
	assert_int_equal(err_status(ERR_COMPACTED), 11);
}

/* One writer swaps a heap cell under readers; a freed cell is poisoned first. */
struct cell {
	uint64_t a, b;
};
static struct cell *_Atomic shared;
static _Atomic bool stop;
static _Atomic int freed;

static void cell_free(void *p)
{
	memset(p, 0xdd, sizeof(struct cell));
	mem_free(p);
	freed++;
}

static void *reader(void *arg)
{
	struct epoch_domain *d = arg;
	uint64_t bad = 0;

	while (!stop) {
		struct cell *c;

		epoch_enter(d);
		c = shared;
		for (int i = 0; i < 50; i++)
			bad += *(volatile uint64_t *)&c->a != ~*(volatile uint64_t *)&c->b;
		epoch_leave(d);
	}
	return (void *)(uintptr_t)bad;
}

static void test_epoch_readers_never_see_freed(void **state)
{
	struct epoch_domain *d = epoch_domain_new();
	pthread_t threads[3];
	void *bad;

	shared = NEW(struct cell);
	*shared = (struct cell){0, ~(uint64_t)0};
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, reader, d);
	for (uint64_t i = 1; i < 20000; i++) {
		struct cell *c = NEW(struct cell);

		*c = (struct cell){i, ~i};
		epoch_retire(d, atomic_exchange(&shared, c), cell_free);
		epoch_reclaim(d);
	}
	stop = true;
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(epoch_reclaim(d), 0);
	assert_int_equal(freed, 19999);
	mem_free(shared);
	epoch_domain_free(d);
}

static void test_epoch_holds_while_inside(void **state)
{
	struct epoch_domain *d = epoch_domain_new();

	freed = 0;
	epoch_enter(d);
	epoch_retire(d, NEW(struct cell), cell_free);
	assert_int_equal(epoch_reclaim(d), 1);
	assert_int_equal(epoch_reclaim(d), 1);
	epoch_leave(d);
	assert_int_equal(epoch_reclaim(d), 0);
	assert_int_equal(freed, 1);
	epoch_domain_free(d);
}

static void test_rng_is_seeded(void **state)
{
	struct rng a, b;

	rng_init(&a, 7);
	rng_init(&b, 7);
	for (int i = 0; i < 100; i++) {
		uint64_t x = rng_below(&a, 10);

		assert_true(x < 10);
		assert_true(x == rng_below(&b, 10));
	}
	assert_true(hash64(1, "abc", 3) != hash64(2, "abc", 3));
	assert_int_equal(be32_get("\x01\x02\x03\x04"), 0x01020304);
}

/* Against 64 bits: every answer, the order, and what two sets have in common. */
static void test_ids_are_a_set(void **state)
{
	struct rng r;
	struct ids set[2] = {{0}};
	uint64_t bits[2] = {0};

	rng_init(&r, 7);
	for (int n = 0; n < 2000; n++) {
		int k = (int)(rng_next(&r) & 1);
		uint64_t id = rng_next(&r) % 64, bit = UINT64_C(1) << id;
		struct ids both;

		assert_int_equal(ids_has(&set[k], id), (bits[k] & bit) != 0);
		if (rng_next(&r) & 1) {
			assert_int_equal(ids_add(&set[k], id), (bits[k] & bit) == 0);
			bits[k] |= bit;
		} else {
			assert_int_equal(ids_remove(&set[k], id), (bits[k] & bit) != 0);
			bits[k] &= ~bit;
		}
		both = ids_union(&set[0], &set[1]);
		assert_int_equal(both.count, __builtin_popcountll(bits[0] | bits[1]));
		for (size_t i = 0; i < both.count; i++) {
			assert_true((bits[0] | bits[1]) >> both.at[i] & 1);
			assert_true(i == 0 || both.at[i - 1] < both.at[i]);
		}
		assert_int_equal(ids_difference(&set[0], &set[1]), __builtin_popcountll(bits[0] ^ bits[1]));
		ids_fini(&both);
	}
	ids_fini(&set[0]);
	ids_fini(&set[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc_vectors),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_buf_keeps_its_maximum),
		cmocka_unit_test(test_arena_is_capped),
		cmocka_unit_test(test_why_reads_outside_in),
		cmocka_unit_test(test_epoch_readers_never_see_freed),
		cmocka_unit_test(test_epoch_holds_while_inside),
		cmocka_unit_test(test_rng_is_seeded),
		cmocka_unit_test(test_ids_are_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
