/* The parts: free map, metas and pages as bytes, buckets, pins, image, files beyond 4 GiB, damage. */
#include "bolt_test.h"

#include "../../lib/golden.h"
#include "base/endian.h"
#include "bolt/format.h"
#include "bolt/free.h"

/* ---- free map against an array of bools ---- */

static uint64_t find_naive(const bool *free, uint64_t end, uint64_t count)
{
	uint64_t run = 0;

	for (uint64_t i = 0; i < end; i++) {
		run = free[i] ? run + 1 : 0;
		if (run == count)
			return i + 1 - count;
	}
	return UINT64_MAX;
}

static void test_free_map(void **state)
{
	enum { PAGES = 3000 };
	static bool free[PAGES];
	struct free_map f = {0};
	struct rng rng;

	rng_init(&rng, 7);
	for (int i = 0; i < 20000; i++) {
		uint64_t page = rng_below(&rng, PAGES), count = 1 + rng_below(&rng, rng_below(&rng, 8) ? 6 : 300),
			 n = 0;

		if (i % 2) {
			uint64_t at = free_map_find(&f, count);

			assert_int_equal(at, find_naive(free, PAGES, count));
			if (at == UINT64_MAX)
				continue;
			free_map_remove(&f, at, count);
			memset(free + at, 0, count);
		} else {
			while (page + n < PAGES && n < count && !free[page + n])
				n++;
			free_map_put(&f, page, n);
			memset(free + page, 1, n);
		}
		for (n = 0; n < page && free[page - 1 - n];)
			n++;
		assert_int_equal(free_map_run_before(&f, page), n);
		n = 0;
		for (uint64_t k = 0; k < page; k++)
			n += free[k];
		assert_int_equal(free_map_count_below(&f, page), n);
	}
	free_map_fini(&f);
}

/* ---- what bbolt wrote: sub-buckets, a kept free list, pages of 1 KiB ---- */

static void check_nested(struct bolt *db)
{
	struct bolt_pin *pin = bolt_pin(db);
	struct bolt_root outer, rows, sub;
	struct slice value;
	struct bolt_stats stats;
	char name[16];

	assert_int_equal(bolt_page_size(db), 1024);
	assert_ok(bolt_pin_bucket(pin, SLICE_LIT("rows"), &rows));
	assert_int_equal(rows.sequence, 7);
	assert_ok(bolt_bucket_stats(pin, &rows, &stats));
	assert_int_equal(stats.key_count, 101);
	assert_ok(bolt_pin_get(pin, &rows, SLICE_LIT("0495"), &value));
	assert_true(slice_eq(value, SLICE_LIT("value 495")));
	assert_err(ERR_NOT_EXIST, bolt_pin_get(pin, &rows, SLICE_LIT("0496"), &value));
	assert_ok(bolt_pin_get(pin, &rows, SLICE_LIT("large"), &value));
	assert_int_equal(value.size, 10000);
	assert_ok(bolt_pin_bucket(pin, SLICE_LIT("outer"), &outer));
	for (uint32_t i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "sub%02u", i);
		assert_ok(bolt_pin_subbucket(pin, &outer, slice_str(name), &sub));
		assert_err(ERR_NOT_EXIST, bolt_pin_get(pin, &outer, slice_str(name), &value));
		assert_ok(bolt_bucket_stats(pin, &sub, &stats));
		assert_int_equal(stats.key_count, i);
	}
	assert_err(ERR_INVALID, bolt_pin_subbucket(pin, &outer, SLICE_LIT("plain"), &sub));
	bolt_pin_unref(pin);
}

static void test_nested(void **state)
{
	char *path = golden_unpack_file("bbolt-nested.db");
	struct bolt *db = db_open(vfs_posix(), path, 0);
	struct bolt_bucket *outer, *sub;
	struct bolt_tx *tx;

	db_check(db, NULL);
	check_nested(db);
	for (int i = 0; i < 4; i++) { /* the kept list is dropped, and its pages are used again */
		tx = db_begin(db);
		assert_ok(bolt_tx_bucket(tx, SLICE_LIT("outer"), false, &outer));
		assert_ok(bolt_bucket_sub(outer, SLICE_LIT("more"), true, &sub));
		assert_ok(bolt_put(sub, slice_of(&i, 4), SLICE_LIT("x")));
		assert_ok(bolt_commit(tx));
		db_check(db, NULL);
		check_nested(db);
		oracle_check(path);
	}
	assert_ok(bolt_move_all(db));
	db_check(db, NULL);
	check_nested(db);
	bolt_close(db);
	oracle_check(path);
	golden_drop(path);
}

/* ---- the caller's mistakes ---- */

static void test_limits(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt *db = db_open(vfs_mem_vfs(disk), "/db", 0);
	struct bolt_tx *tx = db_begin(db);
	struct bolt_bucket *b = tx_bucket(tx, "b"), *sub;
	uint8_t *key = mem_zalloc(BOLT_KEY_SIZE_MAX + 1);
	struct slice value;

	assert_ok(bolt_put(b, slice_of(key, BOLT_KEY_SIZE_MAX), SLICE_LIT("v")));
	assert_err(ERR_INVALID, bolt_put(b, slice_of(key, BOLT_KEY_SIZE_MAX + 1), SLICE_LIT("v")));
	assert_err(ERR_INVALID, bolt_put(b, slice_of(key, 0), SLICE_LIT("v")));
	assert_err(ERR_INVALID, bolt_tx_bucket(tx, slice_of(key, 0), true, &sub));
	assert_err(ERR_NOT_EXIST, bolt_tx_bucket(tx, SLICE_LIT("none"), false, &sub));
	assert_ok(bolt_put(b, SLICE_LIT("row"), SLICE_LIT("")));
	assert_err(ERR_INVALID, bolt_bucket_sub(b, SLICE_LIT("row"), true, &sub));
	assert_ok(bolt_bucket_sub(b, SLICE_LIT("sub"), true, &sub));
	assert_err(ERR_INVALID, bolt_put(b, SLICE_LIT("sub"), SLICE_LIT("v")));
	assert_err(ERR_INVALID, bolt_delete(b, SLICE_LIT("sub")));
	assert_err(ERR_NOT_EXIST, bolt_get(b, SLICE_LIT("sub"), &value));
	assert_ok(bolt_delete(b, SLICE_LIT("never was")));
	assert_ok(bolt_get(b, SLICE_LIT("row"), &value));
	assert_int_equal(value.size, 0);
	assert_ok(bolt_commit(tx));
	db_check(db, NULL);
	bolt_close(db);
	mem_free(key);
	vfs_mem_free(disk);
}

static void test_lock_and_read_only(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	struct bolt_options o = {.lock = true}, missing = {.must_exist = true};
	struct bolt_tx *tx;
	struct bolt *db, *other;

	assert_err(ERR_NOT_EXIST, bolt_open(fs, "/db", &missing, NULL, &db));
	assert_ok(bolt_open(fs, "/db", &o, NULL, &db));
	assert_err(ERR_LOCKED, bolt_open(fs, "/db", &o, NULL, &other));
	bolt_close(db);
	o.read_only = true;
	assert_ok(bolt_open(fs, "/db", &o, NULL, &db));
	assert_ok(bolt_open(fs, "/db", &o, NULL, &other));
	assert_err(ERR_INVALID, bolt_begin(db, &tx));
	bolt_close(other);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* ---- rows of a bucket, shared by the tests below ---- */

static void put_rows(struct bolt *db, const char *bucket, uint32_t first, uint32_t end, size_t value_size)
{
	struct bolt_tx *tx = db_begin(db);
	struct bolt_bucket *b = tx_bucket(tx, bucket);
	uint8_t *value = mem_zalloc(value_size);

	for (uint32_t i = first; i < end; i++) {
		uint32_t key = __builtin_bswap32(i);

		memset(value, (int)i, value_size);
		assert_ok(bolt_put(b, slice_of(&key, 4), slice_of(value, value_size)));
	}
	assert_ok(bolt_commit(tx));
	mem_free(value);
}

static void delete_rows(struct bolt *db, const char *bucket, uint32_t first, uint32_t end, uint32_t keep_every)
{
	struct bolt_tx *tx = db_begin(db);
	struct bolt_bucket *b = tx_bucket(tx, bucket);

	for (uint32_t i = first; i < end; i++) {
		uint32_t key = __builtin_bswap32(i);

		if (i % keep_every)
			assert_ok(bolt_delete(b, slice_of(&key, 4)));
	}
	assert_ok(bolt_commit(tx));
}

static void check_rows(struct bolt_pin *pin, const char *bucket, uint32_t end, uint32_t step, size_t value_size)
{
	struct bolt_root root;
	struct bolt_cursor c;
	bool found;

	assert_ok(bolt_pin_bucket(pin, slice_str(bucket), &root));
	bolt_cursor_init(&c, pin, &root);
	assert_ok(bolt_cursor_first(&c, &found));
	for (uint32_t i = 0; i < end; i += step) {
		assert_true(found);
		assert_int_equal(be32_get(c.key.data), i);
		assert_int_equal(c.value.size, value_size);
		assert_int_equal(c.value.data[value_size - 1], i & 0xff);
		assert_ok(bolt_cursor_next(&c, &found));
	}
	assert_false(found);
}

/* ---- appending fills pages; every page size ---- */

static void test_append(void **state)
{
	static const uint32_t page_sizes[] = {1024, 4096, 16384, 65536};

	for (size_t i = 0; i < ARRAY_COUNT(page_sizes); i++) {
		struct vfs_mem *disk = vfs_mem_new(1);
		struct bolt *db = db_open(vfs_mem_vfs(disk), "/db", page_sizes[i]);
		struct bolt_stats stats;
		struct bolt_pin *pin;

		for (uint32_t n = 0; n < 20000; n += 1000)
			put_rows(db, "key", n, n + 1000, 60);
		db_check(db, &stats);
		/* 80 bytes a row; only what each commit leaves half full and branch pages come on top */
		assert_in_range(bolt_size_in_use(db), 20000 * 80, 20000 * 80 * 11 / 10 + 8 * page_sizes[i]);
		pin = bolt_pin(db);
		check_rows(pin, "key", 20000, 1, 60);
		bolt_pin_unref(pin);
		bolt_close(db);
		db = db_open(vfs_mem_vfs(disk), "/db", 4096);
		assert_int_equal(bolt_page_size(db), page_sizes[i]);
		db_check(db, NULL);
		bolt_close(db);
		vfs_mem_free(disk);
	}
}

/* ---- pins, image, cutting ---- */

/* The image of a pin, opened as a file, is what the pin shows. */
static void check_image(struct bolt_pin *pin, uint32_t end, uint32_t step, uint32_t chunk)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	uint64_t size = bolt_pin_size(pin), ps = 1024;
	uint8_t *image = mem_alloc(size);
	struct meta m[2];
	struct vfs_file *f;
	struct bolt_pin *copy;
	struct bolt *db;

	for (uint64_t at = 0; at < size; at += chunk)
		assert_ok(bolt_image_read(pin, at, image + at, MIN(chunk, size - at)));
	assert_true(meta_parse(image, &m[0]) && meta_parse(image + ps, &m[1]));
	assert_int_equal(m[0].txid, bolt_pin_txid(pin));
	assert_int_equal(m[1].txid, bolt_pin_txid(pin) - 1);
	assert_int_equal(m[0].root, m[1].root);
	assert_int_equal(le64_get(image + ps), 1);
	assert_ok(vfs_open(fs, "/copy", VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, image, size));
	vfs_close(f);
	db = db_open(fs, "/copy", 0);
	assert_int_equal(bolt_txid(db), bolt_pin_txid(pin));
	db_check(db, NULL);
	copy = bolt_pin(db);
	check_rows(copy, "key", end, step, 200);
	bolt_pin_unref(copy);
	bolt_close(db);
	mem_free(image);
	vfs_mem_free(disk);
}

static uint64_t file_size(struct vfs *fs, const char *path)
{
	struct vfs_stat st;

	assert_ok(vfs_stat(fs, path, &st));
	return st.size_bytes;
}

static void test_move_under_pin(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	struct bolt *db = db_open(fs, "/db", 1024);
	struct bolt_pin *pin, *newest;
	uint64_t full, full_file;

	put_rows(db, "key", 0, 4000, 200);
	put_rows(db, "other", 0, 100, 3000);
	pin = bolt_pin(db);
	full = bolt_size(db);
	full_file = file_size(fs, "/db");
	delete_rows(db, "key", 0, 4000, 10);
	assert_ok(bolt_move_all(db));
	assert_int_equal(bolt_oldest_pin(db), bolt_pin_txid(pin));
	db_check(db, NULL);
	assert_int_equal(file_size(fs, "/db") >= full_file, 1); /* the pin still needs the end of the file */
	check_rows(pin, "key", 4000, 1, 200);
	check_image(pin, 4000, 1, 1000);
	bolt_pin_unref(pin);

	assert_ok(bolt_move_all(db));
	db_check(db, NULL);
	newest = bolt_pin(db);
	check_rows(newest, "key", 4000, 10, 200);
	check_rows(newest, "other", 100, 1, 3000);
	check_image(newest, 4000, 10, 1 << 20);
	bolt_pin_unref(newest);
	assert_in_range(bolt_size(db), bolt_size_in_use(db), bolt_size_in_use(db) + 24 * 1024);
	assert_true(bolt_size(db) < full * 6 / 10);
	assert_true(file_size(fs, "/db") < full_file * 6 / 10);
	bolt_close(db);
	db = db_open(fs, "/db", 0);
	db_check(db, NULL);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* Between the steps a writer takes pages that the pass counted on: it ends short of the last ones, which the next gets. */
static void test_move_beside_writes(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt *db = db_open(vfs_mem_vfs(disk), "/db", 1024);
	struct bolt_pin *pin;
	uint32_t row = 0, steps = 0;
	bool done = false;

	put_rows(db, "key", 0, 8000, 200);
	pin = bolt_pin(db);
	delete_rows(db, "key", 0, 8000, 3);
	put_rows(db, "last", 0, 200, 200); /* walked last, at the end of the file */
	while (!done && steps++ < 1000) {
		if (steps % 3 == 1) {
			bolt_pin_unref(pin);
			pin = NULL;
		} else if (!pin) {
			pin = bolt_pin(db); /* a reader's, of one state or two */
		}
		assert_ok(bolt_move_step(db, 40, &done));
		if (row < 1500) {
			put_rows(db, "beside", row, row + 50, 400);
			row += 50;
		}
		done = done && !bolt_pages_held(db);
	}
	if (pin)
		bolt_pin_unref(pin);
	assert_true(done);
	assert_in_range(bolt_size(db), bolt_size_in_use(db), bolt_size_in_use(db) * 21 / 20);
	db_check(db, NULL);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* The end of the file is free and given up, but an older pin's image still has it. */
static void test_cut_waits(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	struct bolt *db = db_open(fs, "/db", 1024);
	struct bolt_pin *pin;
	uint64_t size;

	put_rows(db, "key", 0, 10, 200);
	put_rows(db, "other", 0, 2000, 200);
	delete_rows(db, "other", 0, 2000, 2000);
	put_rows(db, "key", 0, 20, 200);
	pin = bolt_pin(db);
	size = file_size(fs, "/db");
	assert_ok(bolt_move_all(db));
	assert_true(bolt_size(db) < bolt_pin_size(pin) / 4);
	assert_int_equal(file_size(fs, "/db"), size);
	check_image(pin, 20, 1, 1 << 16);
	bolt_pin_unref(pin);
	put_rows(db, "key", 0, 20, 200);
	assert_true(file_size(fs, "/db") < size / 4);
	db_check(db, NULL);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* A page is used again as soon as no pin needs it, and not before: the file stops growing. */
static void test_reuse(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt *db = db_open(vfs_mem_vfs(disk), "/db", 1024);
	struct bolt_pin *pin;
	uint64_t size;

	put_rows(db, "key", 0, 1000, 200);
	for (uint32_t i = 0; i < 10; i++)
		put_rows(db, "key", 0, 1000, 200);
	size = bolt_size(db);
	for (uint32_t i = 0; i < 20; i++)
		put_rows(db, "key", 0, 1000, 200);
	assert_int_equal(bolt_size(db), size);
	pin = bolt_pin(db);
	for (uint32_t i = 0; i < 3; i++)
		put_rows(db, "key", 0, 1000, 200);
	assert_true(bolt_size(db) > size);
	bolt_pin_unref(pin);
	db_check(db, NULL);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* What compaction leaves of many pages joins: three rows of four are gone, and so are their bytes. */
static void test_join(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt *db = db_open(vfs_mem_vfs(disk), "/db", 4096);
	struct bolt_stats stats;

	put_rows(db, "key", 0, 8000, 256);
	delete_rows(db, "key", 0, 8000, 4);
	db_check(db, &stats);
	assert_in_range(stats.leaf_pages, 2000 * 276 / 4096, 2000 * 276 / 4096 * 5 / 4);
	delete_rows(db, "key", 0, 8000, 8000);
	delete_rows(db, "key", 0, 1, 2);
	db_check(db, &stats);
	assert_int_equal(stats.branch_pages, 0); /* row 0 is left */
	assert_int_equal(stats.key_count, 1);
	bolt_close(db);
	vfs_mem_free(disk);
}

/* ---- beyond 4 GiB, in a sparse file ---- */

static void test_large_file(void **state)
{
	const uint64_t high = ((uint64_t)5 << 30) / 4096;
	char *dir = temp_dir();
	char *path = mem_printf("%s/large", dir);
	struct bolt_options o = {0};
	struct bolt *db = db_open(vfs_posix(), path, 4096);
	struct bolt_pin *pin;
	uint8_t page[4096];
	struct vfs_file *f;
	struct meta m;
	size_t got;

	put_rows(db, "key", 0, 1000, 200);
	bolt_close(db);

	/* the root page goes behind 5 GiB, where both metas look for it */
	assert_ok(vfs_open(vfs_posix(), path, VFS_WRITE, 0, &f));
	assert_ok(vfs_pread(f, 0, page, sizeof(page), &got));
	assert_true(meta_parse(page, &m)); /* txid 2 */
	assert_ok(vfs_pread(f, m.root * 4096, page, sizeof(page), &got));
	le64_put(page, high);
	assert_ok(vfs_pwrite(f, high * 4096, page, sizeof(page)));
	m.root = high;
	m.high_water = high + 1;
	meta_write(&m, 0, page);
	assert_ok(vfs_pwrite(f, 0, page, sizeof(page)));
	vfs_close(f);

	assert_ok(bolt_open(vfs_posix(), path, &o, NULL, &db));
	assert_int_equal(bolt_size(db), (high + 1) * 4096);
	pin = bolt_pin(db);
	check_rows(pin, "key", 1000, 1, 200);
	bolt_pin_unref(pin);
	put_rows(db, "key", 1000, 2000, 200);
	db_check(db, NULL);
	assert_ok(bolt_move_all(db));
	db_check(db, NULL);
	assert_true(bolt_size(db) < 1 << 20);
	assert_true(file_size(vfs_posix(), path) <= 16 << 20);
	pin = bolt_pin(db);
	check_rows(pin, "key", 2000, 1, 200);
	bolt_pin_unref(pin);
	bolt_close(db);
	oracle_check(path);
	assert_ok(vfs_remove_all(vfs_posix(), dir));
	mem_free(path);
	mem_free(dir);
}

/* ---- creation ---- */

/* As bbolt makes a new file: metas 0 and 1 with txid 0 and 1, free list in 2, an empty leaf in 3. */
static void test_new_file(void **state)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	struct bolt *db = db_open(fs, "/db", 4096);
	uint8_t bytes[4 * 4096];
	struct vfs_file *f;
	struct meta m;
	size_t got;

	bolt_close(db);
	assert_int_equal(file_size(fs, "/db"), sizeof(bytes));
	assert_ok(vfs_open(fs, "/db", VFS_READ, 0, &f));
	assert_ok(vfs_pread(f, 0, bytes, sizeof(bytes), &got));
	vfs_close(f);
	for (uint64_t id = 0; id < 2; id++) {
		assert_true(meta_parse(bytes + id * 4096, &m));
		assert_int_equal(m.txid, id);
		assert_int_equal(m.freelist, 2);
		assert_int_equal(m.root, 3);
		assert_int_equal(m.high_water, 4);
	}
	assert_int_equal(le16_get(bytes + 2 * 4096 + 8), PAGE_FREELIST);
	assert_int_equal(le16_get(bytes + 3 * 4096 + 8), PAGE_LEAF);
	vfs_mem_free(disk);
}

/* ---- damage ---- */

/* Bytes of bbolt-nested.db that are changed, and what must be said about it. The current meta is page 1: root 133, free
 * list 134, high water 135. */
static const struct damage {
	uint32_t offset;
	uint8_t bytes[8];
	uint8_t size;
	const char *reason;
} damages[] = {
    {133 * 1024 + 0, {9}, 1, "it says that it is page 9"},
    {133 * 1024 + 8, {3}, 1, "neither branch nor leaf"},
    {133 * 1024 + 10, {0xff, 0xff}, 2, "do not fit"},
    {133 * 1024 + 12, {7}, 1, "overflow pages"},
    {133 * 1024 + 16 + 4, {0xff, 0xff, 0xff, 0xff}, 4, "reaches beyond the page"},
    {133 * 1024 + 16 + 8, {0xff, 0xff, 0xff, 0xff}, 4, "reaches beyond the page"},
    {133 * 1024 + 16 + 12, {0xff, 0xff, 0xff, 0xff}, 4, "reaches beyond the page"},
    {133 * 1024 + 16 + 8, {0}, 1, "has a key of 0 bytes"},
    {133 * 1024 + 16, {4}, 1, "unknown kind"},
    {134 * 1024 + 8, {2}, 1, "no free list is where meta says"},
    {134 * 1024 + 10, {0xfe, 0xff}, 2, "does not fit"},
    {134 * 1024 + 16, {133, 0, 0, 0, 0, 0, 0, 0}, 8, "is called free, but it is in use"},
};

static err_t open_damaged(const uint8_t *bytes, size_t size, struct why *why)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt_options o = {.reserve_bytes = 1 << 24};
	struct vfs_file *f;
	struct bolt *db;
	err_t err;

	assert_ok(vfs_open(vfs_mem_vfs(disk), "/db", VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, bytes, size));
	vfs_close(f);
	err = bolt_open(vfs_mem_vfs(disk), "/db", &o, why, &db);
	if (!err)
		bolt_close(db);
	vfs_mem_free(disk);
	return err;
}

static void expect_damage(const uint8_t *bytes, size_t size, const char *reason)
{
	struct why why = {{0}};

	assert_err(ERR_CORRUPT_FILE, open_damaged(bytes, size, &why));
	if (!strstr(why.text, reason) || !strstr(why.text, "/db"))
		fail_msg("\"%s\" does not say \"%s\"", why.text, reason);
}

static void test_damage(void **state)
{
	char *path = golden_unpack_file("bbolt-nested.db");
	struct buf file;
	uint64_t child, cycles = 0, doubles = 0;
	struct why why;

	buf_init(&file, 1 << 20);
	assert_ok(vfs_read_file(vfs_posix(), path, &file));
	golden_drop(path);
	assert_ok(open_damaged(file.data, file.size, NULL));
	for (size_t i = 0; i < ARRAY_COUNT(damages); i++) {
		const struct damage *d = &damages[i];
		uint8_t before[8];

		memcpy(before, file.data + d->offset, d->size);
		memcpy(file.data + d->offset, d->bytes, d->size);
		expect_damage(file.data, file.size, d->reason);
		memcpy(file.data + d->offset, before, d->size);
	}
	expect_damage(file.data, 100 * 1024, "cut short");

	/* one bad meta: the other one is used, and reads what was there one commit earlier if need be */
	file.data[1024 + 20] ^= 1;
	assert_ok(open_damaged(file.data, file.size, &why));
	file.data[1024 + 20] ^= 1;
	file.data[20] ^= 1;
	assert_ok(open_damaged(file.data, file.size, &why));
	file.data[1024 + 20] ^= 1;
	expect_damage(file.data, file.size, "neither is a valid meta page");
	file.data[20] ^= 1;
	file.data[1024 + 20] ^= 1;

	/* cycles and pages reached twice: each branch names itself, then its second child twice */
	for (uint64_t id = 2; id < 133; id++) {
		uint8_t *page = file.data + id * 1024;

		if (le16_get(page + 8) != PAGE_BRANCH)
			continue;
		child = le64_get(page + 16 + 8);
		le64_put(page + 16 + 8, id);
		cycles += open_damaged(file.data, file.size, &why) == ERR_CORRUPT_FILE;
		le64_put(page + 16 + 8, le64_get(page + 32 + 8));
		doubles += open_damaged(file.data, file.size, &why) == ERR_CORRUPT_FILE;
		le64_put(page + 16 + 8, child);
	}
	assert_true(cycles > 2 && doubles == cycles); /* the other branches are pages of older commits */
	buf_fini(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_free_map),  cmocka_unit_test(test_nested),
	    cmocka_unit_test(test_limits),    cmocka_unit_test(test_lock_and_read_only),
	    cmocka_unit_test(test_append),    cmocka_unit_test(test_move_under_pin),
	    cmocka_unit_test(test_move_beside_writes),
	    cmocka_unit_test(test_cut_waits), cmocka_unit_test(test_reuse),
	    cmocka_unit_test(test_join),      cmocka_unit_test(test_large_file),
	    cmocka_unit_test(test_new_file),  cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
