/* The key index by itself: against a sorted array, with old roots kept and read again after later batches. */
#include "../../lib/test.h"

#include "base/rng.h"
#include "mvcc/index.h"

enum { UNIVERSE = 3000 };

static struct slice key_of(uint32_t id, uint8_t out[40])
{
	/* groups with a long common beginning, so that nodes have prefixes of every kind */
	static const char *const roots[] = {"", "k/", "/registry/configmaps/kube-system/",
					    "/registry/configmaps/kube-system/a"};
	int n = snprintf((char *)out, 40, "%s", roots[id % 4]);
	uint32_t x = id * 2654435761u;

	for (unsigned i = 0; i <= id % 3; i++, x >>= 8)
		out[n++] = (uint8_t)(x & 0xc3);
	out[n++] = (uint8_t)(id >> 8);
	out[n++] = (uint8_t)id;
	return slice_of(out, (size_t)n);
}

static struct record *record_for(struct index *t, uint32_t id, int64_t main, bool dead)
{
	uint8_t key[40];
	struct slice k = key_of(id, key);
	struct record *r = slab_get(t->slab, sizeof(*r) + k.size);

	*r = (struct record){
	    .main = main, .create = 5, .version = 7, .sub_tombstone = dead, .key_size_leased = (uint32_t)k.size << 1};
	memcpy(r->key, k.data, k.size);
	return r;
}

struct want {
	uint32_t id;
	int64_t main;
	bool dead;
	uint8_t key[40];
	size_t size;
};

static int by_key(const void *a, const void *b)
{
	const struct want *x = a, *y = b;

	return slice_cmp(slice_of(x->key, x->size), slice_of(y->key, y->size));
}

struct state {
	struct want at[UNIVERSE];
	size_t count;
};

static void expect(const struct mvcc_node *root, const struct state *s)
{
	struct index_iter it;
	size_t i = 0, live = 0;

	for (struct record *r = index_seek(root, SLICE_LIT(""), false, &it); r; r = index_next(&it), i++) {
		assert_true(i < s->count);
		struct slice key = slice_of(s->at[i].key, s->at[i].size);

		assert_true(slice_eq(record_key(r), key));
		assert_int_equal(r->main, s->at[i].main);
		assert_ptr_equal(index_find(root, key), r);
		assert_int_equal(index_rank(root, key), live);
		live += !s->at[i].dead;
	}
	assert_int_equal(i, s->count);
	assert_int_equal(index_live(root), live);
}

static void expect_seeks(const struct mvcc_node *root, const struct state *s, struct rng *rng)
{
	for (int n = 0; n < 200; n++) {
		uint8_t probe[40];
		struct slice k = key_of((uint32_t)rng_below(rng, UNIVERSE * 2), probe);
		size_t i = 0;
		struct index_iter it;

		k.size -= rng_below(rng, 3);
		while (i < s->count && slice_cmp(slice_of(s->at[i].key, s->at[i].size), k) < 0)
			i++;
		struct record *r = index_seek(root, k, false, &it);
		bool exact = i < s->count && slice_eq(slice_of(s->at[i].key, s->at[i].size), k);

		assert_true(!r == (i == s->count));
		if (r)
			assert_true(slice_eq(record_key(r), slice_of(s->at[i].key, s->at[i].size)));
		r = index_seek(root, k, true, &it);
		i += exact;
		assert_true(!r == (i == s->count));
		if (r)
			assert_true(slice_eq(record_key(r), slice_of(s->at[i].key, s->at[i].size)));
		while (i < s->count && !s->at[i].dead)
			i++;
		r = index_seek_old(root, k, true);
		assert_true(!r == (i == s->count));
		if (r)
			assert_true(slice_eq(record_key(r), slice_of(s->at[i].key, s->at[i].size)));
	}
}

static size_t position(const struct state *s, uint32_t id)
{
	size_t i = 0;

	while (i < s->count && s->at[i].id != id)
		i++;
	return i;
}

static void change(struct index *t, struct state *s, struct rng *rng, int64_t main, uint64_t remove_per_10)
{
	uint32_t id = (uint32_t)rng_below(rng, UNIVERSE);
	size_t i = position(s, id);
	bool dead = rng_below(rng, 4) == 0;

	if (i < s->count && rng_below(rng, 10) < remove_per_10) {
		struct record *r = index_find(t->root, slice_of(s->at[i].key, s->at[i].size));

		index_remove(t, record_key(r));
		index_discard(t, r, record_size(r));
		memmove(&s->at[i], &s->at[i + 1], (--s->count - i) * sizeof(s->at[0]));
		return;
	}
	struct record *r = record_for(t, id, main, dead);
	struct want w = {.id = id, .main = main, .dead = dead, .size = record_key(r).size};

	memcpy(w.key, r->key, w.size);
	if (i < s->count) {
		struct record *old = index_find(t->root, record_key(r));

		index_replace(t, r);
		index_discard(t, old, record_size(old));
		s->at[i] = w;
		return;
	}
	index_insert(t, r);
	s->at[s->count++] = w;
	qsort(s->at, s->count, sizeof(s->at[0]), by_key);
}

static void next_batch(struct index *t, struct garbage **kept)
{
	*kept = t->garbage;
	t->garbage = NEW(struct garbage);
	t->garbage->slab = t->slab;
	t->batch++;
}

static void test_random_changes_and_old_roots(void **unused)
{
	struct index t;
	struct rng rng;
	struct state *now = NEW(struct state), *before = NEW(struct state);
	const struct mvcc_node *old_root = NULL;
	struct garbage *garbage = NULL;

	rng_init(&rng, 42);
	index_init(&t, slab_new());
	for (int64_t batch = 1; batch <= 60; batch++) {
		uint64_t remove = batch < 30 ? 1 : 8; /* grows, then shrinks to nearly nothing */

		for (int i = 0; i < 100; i++)
			change(&t, now, &rng, batch * 1000 + i, remove);
		index_check(&t);
		expect(t.root, now);
		expect_seeks(t.root, now, &rng);
		if (old_root) {
			expect(old_root, before); /* what was published stays as it was */
			index_garbage_free(garbage);
		}
		old_root = t.root;
		*before = *now;
		next_batch(&t, &garbage);
	}
	while (now->count) {
		struct record *r = index_find(t.root, slice_of(now->at[0].key, now->at[0].size));

		index_remove(&t, record_key(r));
		memmove(&now->at[0], &now->at[1], --now->count * sizeof(now->at[0]));
	}
	index_check(&t);
	assert_int_equal(t.count, 0);
	assert_true(t.root->is_leaf);
	index_garbage_free(garbage);
	index_fini(&t);
	mem_free(now);
	mem_free(before);
}

static void test_built_equals_inserted(void **unused)
{
	static const size_t sizes[] = {0, 1, 2, 55, 56, 57, 113, 2999};

	for (size_t n = 0; n < ARRAY_COUNT(sizes); n++) {
		struct state *s = NEW(struct state);
		struct index_builder b;
		struct index t;
		struct rng rng;

		rng_init(&rng, n);
		index_init(&t, slab_new());
		for (uint32_t id = 0; id < sizes[n]; id++) {
			struct want *w = &s->at[s->count++];

			w->id = id;
			w->main = id + 1;
			w->dead = id % 5 == 0;
			w->size = key_of(id, w->key).size;
		}
		qsort(s->at, s->count, sizeof(s->at[0]), by_key);
		index_build_begin(&b, &t);
		for (size_t i = 0; i < s->count; i++)
			index_build_add(&b, record_for(&t, s->at[i].id, s->at[i].main, s->at[i].dead));
		index_build_end(&b);
		index_check(&t);
		expect(t.root, s);
		for (int i = 0; i < 300; i++)
			change(&t, s, &rng, 10000 + i, 3);
		index_check(&t);
		expect(t.root, s);
		index_fini(&t);
		mem_free(s);
	}
}

/* Ascending keys are what Kubernetes' event names and etcd's own benchmark write. */
static void test_ascending_keys_fill_leaves(void **unused)
{
	struct index t;
	size_t bytes;

	index_init(&t, slab_new());
	for (uint32_t i = 0; i < 200000; i++) {
		struct record *r = slab_get(t.slab, sizeof(*r) + 8);

		*r = (struct record){.main = i + 1, .key_size_leased = 8 << 1};
		for (int j = 0; j < 8; j++)
			r->key[j] = (uint8_t)("00000000"[j] + (i >> (28 - 4 * j) & 15));
		index_insert(&t, r);
	}
	index_check(&t);
	bytes = slab_bytes(t.slab) / 200000;
	assert_in_range(bytes, 56, 56 + 26); /* record 56; 17 a slot, 7/8 of them full; inner nodes; slab */
	index_fini(&t);
}

/* p: put, t: tombstone; kept: the index that stays, -1 none; hashed: HashKV counts it. From upstream's walk over
 * generations: server/storage/mvcc/key_index.go (doCompact, keep). */
static void test_what_compaction_keeps(void **unused)
{
	static const struct {
		const char *revs;
		int64_t at;
		uint32_t obsolete;
		int64_t hashed; /* main of the hashed revision, 0 none */
	} cases[] = {
	    {"p2", 1, 0, 0},
	    {"p2", 2, 0, 2},
	    {"p2 p4 p6", 4, 1, 4},
	    {"p2 p4 p6", 5, 1, 4},
	    {"p2 p4 p6", 9, 2, 6},
	    {"p2 t4", 3, 0, 2},
	    {"p2 t4", 4, 1, 0}, /* a tombstone at the revision stays, unhashed */
	    {"p2 t4", 5, 2, 0}, /* below: the key goes */
	    {"p2 t4 p6", 4, 1, 0},
	    {"p2 t4 p6", 5, 2, 0},
	    {"p2 t4 p6", 6, 2, 6},
	    {"p2 t4 p4 p6", 4, 1, 0}, /* put again in the revision of the tombstone */
	    {"p2 t4 p4 p6", 5, 2, 4},
	    {"t4", 4, 0, 0},
	    {"t4", 5, 1, 0},
	    {"p2 t3 p5 p7 t9", 8, 3, 7},
	    {"p2 t3 p5 p7 t9", 9, 4, 0},
	    {"p2 t3 p5 p7 t9", 10, 5, 0},
	};

	for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
		struct history *h = mem_zalloc(sizeof(*h) + 8 * sizeof(struct past));
		struct record *r = mem_zalloc(sizeof(*r) + 1);
		struct past all[8] = {0};
		struct rev kept = {0};
		uint32_t n = 0;

		for (const char *s = cases[c].revs; *s; s += 2 + (s[2] == ' '), n++) {
			all[n].main = s[1] - '0';
			all[n].sub_tombstone = n << 1 | (s[0] == 't');
		}
		memcpy(h->at, all, (n - 1) * sizeof(all[0]));
		r->history = h;
		r->history_count = n - 1;
		r->main = all[n - 1].main;
		r->sub_tombstone = all[n - 1].sub_tombstone;
		if (record_obsolete(r, cases[c].at) != cases[c].obsolete)
			fail_msg("%s at %d: %u go", cases[c].revs, (int)cases[c].at, record_obsolete(r, cases[c].at));
		if (record_keeps(r, cases[c].at, &kept) != (cases[c].hashed != 0) || kept.main != cases[c].hashed)
			fail_msg("%s at %d: keeps %d", cases[c].revs, (int)cases[c].at, (int)kept.main);
		mem_free(h);
		mem_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random_changes_and_old_roots),
	    cmocka_unit_test(test_built_equals_inserted),
	    cmocka_unit_test(test_ascending_keys_fill_leaves),
	    cmocka_unit_test(test_what_compaction_keeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
