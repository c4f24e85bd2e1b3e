/* Random transactions against a naive twin: a sorted array of rows for each bucket. Pins are held over later commits
 *and must go on showing what they saw; the file is closed and opened again now and then; pages move. Small pages make
 *deep trees; some keys and values are larger than a page.
 *
 *	model_bolt [seed [rounds]] */
#include "../unit/bolt/bolt_test.h"

#include "base/buf.h"

enum { BUCKETS = 5, PINS = 4, OPS_MAX = 120 };

struct row {
	uint8_t *key;
	uint8_t *value;
	uint32_t ksize;
	uint32_t vsize;
};

struct twin {
	VEC(struct row) rows[BUCKETS];
	bool exists[BUCKETS];
};

struct held {
	struct bolt_pin *pin;
	struct twin twin;
};

struct model {
	struct rng rng;
	struct vfs_mem *disk;
	struct bolt *db;
	uint32_t page_size;
	uint32_t key_space;
	bool large;
	struct twin committed;
	struct held held[PINS];
	uint64_t ops;
};

/* Buckets 3 and 4 are sub-buckets of 2. */
static const char *const bucket_names[BUCKETS] = {"key", "lease", "outer", "in1", "in2"};

/* ---- the twin ---- */

static size_t twin_search(const struct twin *t, int b, struct slice key, bool *exact)
{
	size_t lo = 0, hi = t->rows[b].count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (slice_cmp(slice_of(t->rows[b].at[mid].key, t->rows[b].at[mid].ksize), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*exact = lo < t->rows[b].count && slice_eq(slice_of(t->rows[b].at[lo].key, t->rows[b].at[lo].ksize), key);
	return lo;
}

static uint8_t *copy(struct slice s)
{
	uint8_t *p = mem_alloc(s.size);

	if (s.size)
		memcpy(p, s.data, s.size);
	return p;
}

static void twin_put(struct twin *t, int b, struct slice key, struct slice value)
{
	bool exact;
	size_t i = twin_search(t, b, key, &exact);
	struct row *r;

	if (exact) {
		r = &t->rows[b].at[i];
		mem_free(r->value);
	} else {
		VEC_RESERVE(&t->rows[b], t->rows[b].count + 1);
		r = &t->rows[b].at[i];
		memmove(r + 1, r, (t->rows[b].count++ - i) * sizeof(*r));
		r->key = copy(key);
		r->ksize = (uint32_t)key.size;
	}
	r->value = copy(value);
	r->vsize = (uint32_t)value.size;
}

static void twin_delete(struct twin *t, int b, struct slice key)
{
	bool exact;
	size_t i = twin_search(t, b, key, &exact);
	struct row *r = &t->rows[b].at[i];

	if (!exact)
		return;
	mem_free(r->key);
	mem_free(r->value);
	memmove(r, r + 1, (--t->rows[b].count - i) * sizeof(*r));
}

static void twin_drop(struct twin *t, int b)
{
	for (size_t i = 0; i < t->rows[b].count; i++) {
		mem_free(t->rows[b].at[i].key);
		mem_free(t->rows[b].at[i].value);
	}
	VEC_FREE(&t->rows[b]);
	t->exists[b] = false;
}

static void twin_fini(struct twin *t)
{
	for (int b = 0; b < BUCKETS; b++)
		twin_drop(t, b);
}

static void twin_copy(const struct twin *from, struct twin *to)
{
	*to = (struct twin){0};
	for (int b = 0; b < BUCKETS; b++) {
		to->exists[b] = from->exists[b];
		VEC_RESERVE(&to->rows[b], from->rows[b].count);
		for (size_t i = 0; i < from->rows[b].count; i++) {
			struct row r = from->rows[b].at[i];

			r.key = copy(slice_of(r.key, r.ksize));
			r.value = copy(slice_of(r.value, r.vsize));
			VEC_PUSH(&to->rows[b], r);
		}
	}
}

/* ---- comparing ---- */

static bool pin_root(struct bolt_pin *pin, int b, struct bolt_root *out)
{
	err_t err = bolt_pin_bucket(pin, slice_str(bucket_names[b < 3 ? b : 2]), out);

	if (!err && b >= 3)
		err = bolt_pin_subbucket(pin, out, slice_str(bucket_names[b]), out);
	assert_true(err == OK || err == ERR_NOT_EXIST);
	return err == OK;
}

static void compare_bucket(struct bolt_cursor *c, const struct twin *t, int b, bool backward)
{
	size_t n = t->rows[b].count, seen = 0;
	bool found;

	assert_ok(backward ? bolt_cursor_last(c, &found) : bolt_cursor_first(c, &found));
	while (found) {
		if (!c->is_bucket) {
			const struct row *r = &t->rows[b].at[backward ? n - 1 - seen : seen];

			assert_true(seen < n);
			assert_true(slice_eq(c->key, slice_of(r->key, r->ksize)));
			assert_true(slice_eq(c->value, slice_of(r->value, r->vsize)));
			seen++;
		}
		assert_ok(backward ? bolt_cursor_prev(c, &found) : bolt_cursor_next(c, &found));
	}
	assert_int_equal(seen, n);
}

static void compare_pin(struct model *m, struct bolt_pin *pin, const struct twin *t)
{
	for (int b = 0; b < BUCKETS; b++) {
		struct bolt_root root;
		struct bolt_cursor c;

		assert_int_equal(pin_root(pin, b, &root), t->exists[b]);
		if (!t->exists[b])
			continue;
		bolt_cursor_init(&c, pin, &root);
		compare_bucket(&c, t, b, rng_below(&m->rng, 2));
		for (size_t i = 0; i < t->rows[b].count; i += 1 + rng_below(&m->rng, 16)) {
			const struct row *r = &t->rows[b].at[i];
			struct slice value;

			assert_ok(bolt_pin_get(pin, &root, slice_of(r->key, r->ksize), &value));
			assert_true(slice_eq(value, slice_of(r->value, r->vsize)));
		}
	}
}

static void compare_newest(struct model *m)
{
	struct bolt_pin *pin = bolt_pin(m->db);

	compare_pin(m, pin, &m->committed);
	bolt_pin_unref(pin);
	db_check(m->db, NULL);
}

/* ---- operations ---- */

static struct slice random_key(struct model *m, uint8_t *out)
{
	uint64_t n = rng_below(&m->rng, m->key_space);
	size_t size = (size_t)snprintf((char *)out, 32, "%06llu", (unsigned long long)(n * 2654435761u % 1000003));

	if (n % 7 == 0)
		size = 1 + n % 5;
	if (m->large && n % 211 == 5) {
		memset(out + size, 'k', 4000);
		size += n % 4000;
	}
	return slice_of(out, size);
}

static struct slice random_value(struct model *m, uint8_t *out)
{
	size_t size = rng_below(&m->rng, 100);

	if (m->large && rng_below(&m->rng, 60) == 0)
		size = rng_below(&m->rng, 20000);
	memset(out, (int)rng_below(&m->rng, 256), size);
	return slice_of(out, size);
}

static struct bolt_bucket *open_bucket(struct bolt_tx *tx, int b, bool create)
{
	struct bolt_bucket *out = NULL;
	err_t err = bolt_tx_bucket(tx, slice_str(bucket_names[b < 3 ? b : 2]), create, &out);

	if (!err && b >= 3)
		err = bolt_bucket_sub(out, slice_str(bucket_names[b]), create, &out);
	assert_true(err == OK || err == ERR_NOT_EXIST);
	return err ? NULL : out;
}

static void step_delete_bucket(struct bolt_tx *tx, struct twin *t, int b)
{
	struct bolt_bucket *parent = b < 3 ? NULL : open_bucket(tx, 2, false);

	if (b >= 3 && !parent)
		return;
	assert_int_equal(bolt_bucket_delete(tx, parent, slice_str(bucket_names[b])), t->exists[b] ? OK : ERR_NOT_EXIST);
	twin_drop(t, b);
	for (int i = 3; b == 2 && i < BUCKETS; i++)
		twin_drop(t, i);
}

static void step_compare(struct model *m, struct bolt_bucket *bucket, const struct twin *t, int b)
{
	uint8_t text[8192];
	struct slice key = random_key(m, text), value;
	struct bolt_cursor c;
	bool exact, found;
	size_t i = twin_search(t, b, key, &exact);

	assert_int_equal(bolt_get(bucket, key, &value), exact ? OK : ERR_NOT_EXIST);
	if (exact)
		assert_true(slice_eq(value, slice_of(t->rows[b].at[i].value, t->rows[b].at[i].vsize)));
	bolt_bucket_cursor_init(&c, bucket);
	assert_ok(bolt_cursor_seek(&c, key, &found));
	while (found && c.is_bucket)
		assert_ok(bolt_cursor_next(&c, &found));
	assert_int_equal(found, i < t->rows[b].count);
	if (found)
		assert_true(slice_eq(c.key, slice_of(t->rows[b].at[i].key, t->rows[b].at[i].ksize)));
	if (rng_below(&m->rng, 50) == 0)
		compare_bucket(&c, t, b, rng_below(&m->rng, 2));
}

static void step(struct model *m, struct bolt_tx *tx, struct twin *t, uint32_t delete_percent)
{
	static uint8_t text[8192], bytes[20000];
	int b = (int)rng_below(&m->rng, BUCKETS);
	struct bolt_bucket *bucket;
	struct slice key = random_key(m, text);

	m->ops++;
	if (rng_below(&m->rng, 3000) == 0) {
		step_delete_bucket(tx, t, b);
		return;
	}
	bucket = open_bucket(tx, b, true);
	t->exists[b] = true;
	if (b >= 3)
		t->exists[2] = true;
	if (rng_below(&m->rng, 10) == 0) {
		step_compare(m, bucket, t, b);
	} else if (rng_below(&m->rng, 100) < delete_percent) {
		assert_ok(bolt_delete(bucket, key));
		twin_delete(t, b, key);
	} else {
		struct slice value = random_value(m, bytes);

		assert_ok(bolt_put(bucket, key, value));
		twin_put(t, b, key, value);
	}
}

/* Ascending keys behind all others: the way of bucket key. */
static void step_append(struct model *m, struct bolt_tx *tx, struct twin *t)
{
	static uint8_t bytes[20000];
	struct bolt_bucket *bucket = open_bucket(tx, 0, true);
	uint64_t n = 20 + rng_below(&m->rng, 400);

	t->exists[0] = true;
	for (uint64_t i = 0; i < n; i++) {
		char text[32];
		struct slice value = random_value(m, bytes);
		struct slice key =
		    slice_of(text, (size_t)snprintf(text, sizeof(text), "z%012llu", (unsigned long long)m->ops++));

		assert_ok(bolt_put(bucket, key, value));
		twin_put(t, 0, key, value);
	}
}

/* As compaction does: many rows next to each other. */
static void step_delete_range(struct model *m, struct bolt_tx *tx, struct twin *t)
{
	int b = (int)rng_below(&m->rng, BUCKETS);
	struct bolt_bucket *bucket = open_bucket(tx, b, false);
	size_t n = t->rows[b].count, from, end, keep = rng_below(&m->rng, 4);

	if (!bucket || n == 0)
		return;
	from = rng_below(&m->rng, n);
	end = from + rng_below(&m->rng, n);
	for (size_t i = MIN(n, end); i-- > from;) {
		struct slice key = slice_of(t->rows[b].at[i].key, t->rows[b].at[i].ksize);

		m->ops++;
		if (keep && i % 8 < keep)
			continue;
		assert_ok(bolt_delete(bucket, key));
		twin_delete(t, b, key);
	}
}

static void transaction(struct model *m)
{
	struct bolt_tx *tx = db_begin(m->db);
	uint64_t n = rng_below(&m->rng, OPS_MAX);
	uint32_t delete_percent = rng_below(&m->rng, 2) ? 25 : 75;
	struct twin t;

	twin_copy(&m->committed, &t);
	if (rng_below(&m->rng, 8) == 0)
		step_append(m, tx, &t);
	if (rng_below(&m->rng, 8) == 0)
		step_delete_range(m, tx, &t);
	for (uint64_t i = 0; i < n; i++)
		step(m, tx, &t, delete_percent);
	if (rng_below(&m->rng, 10) == 0) {
		bolt_rollback(tx);
		twin_fini(&t);
		return;
	}
	assert_ok(bolt_commit(tx));
	twin_fini(&m->committed);
	m->committed = t;
}

static void let_go(struct held *h)
{
	if (!h->pin)
		return;
	bolt_pin_unref(h->pin);
	h->pin = NULL;
	twin_fini(&h->twin);
}

static void pins(struct model *m)
{
	struct held *h = &m->held[rng_below(&m->rng, PINS)];

	if (h->pin) {
		compare_pin(m, h->pin, &h->twin);
		let_go(h);
	} else {
		h->pin = bolt_pin(m->db);
		twin_copy(&m->committed, &h->twin);
	}
}

/* The newest commit as a real file, for bbolt's own check. */
static void oracle(struct model *m)
{
	struct bolt_pin *pin = bolt_pin(m->db);
	size_t size = bolt_pin_size(pin);
	char *dir = temp_dir(), *path = mem_printf("%s/db", dir);
	uint8_t *image = mem_alloc(size);
	struct vfs_file *f;

	assert_ok(bolt_image_read(pin, 0, image, size));
	assert_ok(vfs_open(vfs_posix(), path, VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, image, size));
	vfs_close(f);
	oracle_check(path);
	assert_ok(vfs_remove_all(vfs_posix(), dir));
	mem_free(image);
	mem_free(path);
	mem_free(dir);
	bolt_pin_unref(pin);
}

static void reopen(struct model *m)
{
	for (size_t i = 0; i < PINS; i++)
		let_go(&m->held[i]);
	bolt_close(m->db);
	m->db = db_open(vfs_mem_vfs(m->disk), "/db", m->page_size);
	compare_newest(m);
	if (getenv("CETCD_ORACLE"))
		oracle(m);
}

static void move(struct model *m)
{
	bool done = false;

	for (uint64_t i = rng_below(&m->rng, 12); i > 0 && !done; i--)
		assert_ok(bolt_move_step(m->db, 1 + rng_below(&m->rng, 30), &done));
	compare_newest(m);
}

static uint64_t run(uint64_t seed, uint64_t rounds, uint32_t page_size, uint32_t key_space, bool large)
{
	struct model m = {.page_size = page_size, .key_space = key_space, .large = large};

	rng_init(&m.rng, seed);
	m.disk = vfs_mem_new(seed);
	m.db = db_open(vfs_mem_vfs(m.disk), "/db", page_size);
	for (uint64_t i = 0; i < rounds; i++) {
		transaction(&m);
		if (rng_below(&m.rng, 3) == 0)
			pins(&m);
		if (rng_below(&m.rng, 10) == 0)
			compare_newest(&m);
		if (rng_below(&m.rng, 40) == 0)
			reopen(&m);
		if (rng_below(&m.rng, 25) == 0)
			move(&m);
	}
	compare_newest(&m);
	reopen(&m);
	assert_ok(bolt_move_all(m.db));
	compare_newest(&m);
	/* packed, but for holes that are too small for a run of overflow pages */
	assert_in_range(bolt_size(m.db), bolt_size_in_use(m.db),
			bolt_size_in_use(m.db) * (large ? 12 : 9) / 8 + 32 * page_size);
	bolt_close(m.db);
	twin_fini(&m.committed);
	vfs_mem_free(m.disk);
	return m.ops;
}

static uint64_t seed_wanted, rounds_wanted;

static void test_model(void **state)
{
	uint64_t seed = seed_wanted ? seed_wanted : 1, rounds = rounds_wanted ? rounds_wanted : 900, ops = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	ops += run(seed, rounds, 1024, 700, false);
	ops += run(seed + 1, rounds, 1024, 3000, true);
	ops += run(seed + 2, rounds, 4096, 6000, false);
	ops += run(seed + 3, rounds / 4, 16384, 20000, true);
	print_message("%llu operations\n", (unsigned long long)ops);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

	seed_wanted = argc > 1 ? strtoull(argv[1], NULL, 0) : 0;
	rounds_wanted = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
