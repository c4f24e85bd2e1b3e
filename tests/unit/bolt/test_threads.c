/* Readers on other threads beside the writer and beside page moving: what a pin shows is one commit, whole. For the
 * thread sanitizer, too. */
#include "bolt_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "../../lib/beside.h"
#include "base/endian.h"

enum { READERS = 3, COMMITS = 150, ROWS = 300 };

struct shared {
	struct bolt *db;
	atomic_bool stop;
	atomic_uint bad;
	atomic_uint reads;
};

/* All rows of a commit carry its number. Commit n has rows n .. n + ROWS - 1 (modulo 1000). */
static bool check_commit(struct bolt_pin *pin)
{
	struct bolt_root root;
	struct bolt_cursor c;
	uint64_t number = 0;
	uint32_t rows = 0;
	struct slice value;
	bool found;

	if (bolt_pin_bucket(pin, SLICE_LIT("key"), &root) != OK)
		return bolt_pin_txid(pin) < 2;
	bolt_cursor_init(&c, pin, &root);
	for (err_t err = bolt_cursor_first(&c, &found); found; err = bolt_cursor_next(&c, &found)) {
		if (err || (rows && be64_get(c.value.data) != number))
			return false;
		number = be64_get(c.value.data);
		if (bolt_pin_get(pin, &root, c.key, &value) || !slice_eq(value, c.value))
			return false;
		rows++;
	}
	return rows == ROWS;
}

static void *reader(void *arg)
{
	struct shared *s = arg;
	uint8_t chunk[4096];

	while (!atomic_load(&s->stop)) {
		struct bolt_pin *pin = bolt_pin(s->db);
		bool good = check_commit(bolt_pin_ref(pin));

		bolt_pin_unref(pin);
		good = good && check_commit(pin);
		for (uint64_t at = 0; at + sizeof(chunk) <= MIN(bolt_pin_size(pin), 10 * sizeof(chunk));
		     at += sizeof(chunk))
			good = good && bolt_image_read(pin, at, chunk, sizeof(chunk)) == OK;
		/* in this order: a commit in between only makes the size larger */
		uint64_t in_use = bolt_size_in_use(s->db);

		good = good && bolt_size(s->db) >= in_use;
		bolt_pin_unref(pin);
		atomic_fetch_add(&s->bad, !good);
		atomic_fetch_add(&s->reads, 1);
	}
	return NULL;
}

static void write_commit(struct bolt *db, uint32_t n)
{
	struct bolt_tx *tx = db_begin(db);
	struct bolt_bucket *b = tx_bucket(tx, "key");
	uint8_t value[300] = {0};

	be64_put(value, n);
	for (uint32_t i = 0; i < ROWS; i++) {
		uint32_t old = __builtin_bswap32((n - 1 + i) % 1000), key = __builtin_bswap32((n + i) % 1000);

		if (i == 0)
			assert_ok(bolt_delete(b, slice_of(&old, 4)));
		assert_ok(bolt_put(b, slice_of(&key, 4), slice_of(value, 100 + n % 200)));
	}
	assert_ok(bolt_commit(tx));
}

static void test_readers(void **state)
{
	char *dir = temp_dir();
	struct shared s = {0};
	pthread_t threads[READERS];
	char *path;
	bool done;

	path = mem_printf("%s/db", dir);
	s.db = db_open(vfs_posix(), path, 1024);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &s), 0);
	for (uint32_t n = 1; n <= COMMITS; n++) {
		write_commit(s.db, n);
		if (n % 20 == 0)
			assert_ok(bolt_move_step(s.db, 50, &done));
	}
	while (atomic_load(&s.reads) < 20 && !atomic_load(&s.bad))
		;
	atomic_store(&s.stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&s.bad), 0);
	assert_int_equal(bolt_oldest_pin(s.db), bolt_txid(s.db));
	assert_ok(bolt_move_all(s.db));
	db_check(s.db, NULL);
	bolt_close(s.db);
	oracle_check(path);
	assert_ok(vfs_remove_all(vfs_posix(), dir));
	mem_free(path);
	mem_free(dir);
}

/* ---- rows of two halves ---- */

struct seen {
	uint64_t count, sum;
	uint32_t bucket_rows[2];
};

static err_t see_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	struct seen *s = arg;

	s->count++;
	s->sum += crc32c(crc32c(0, key.data, key.size), value.data, value.size);
	s->bucket_rows[bucket]++;
	return OK;
}

static err_t open_rows(struct vfs *fs, struct seen *front, struct seen *back, struct bolt_stats *stats, struct why *why)
{
	static const struct slice names[] = {SLICE_LIT("a"), SLICE_LIT("b")};
	struct bolt_rows rows = {names, 2, see_row, front, back, {beside_thread, NULL}};
	struct bolt_options o = {.reserve_bytes = 1 << 28, .rows = &rows};
	struct bolt *db;
	err_t err = bolt_open(fs, "/db", &o, why, &db);

	if (!err) {
		db_check(db, stats);
		bolt_close(db);
	}
	return err;
}

/* Two buckets, written a row of each in turn, so that pages of both are in both halves. */
static uint64_t write_rows(struct vfs *fs, uint32_t rows)
{
	struct bolt *db = db_open(fs, "/db", 1024);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < rows;) {
		struct bolt_tx *tx = db_begin(db);

		for (uint32_t end = i + 100; i < end; i++) {
			uint32_t key = __builtin_bswap32(i);
			uint8_t value[64] = {(uint8_t)i};

			assert_ok(bolt_put(tx_bucket(tx, i % 2 ? "a" : "b"), slice_of(&key, 4), slice_of(value, 64)));
			sum += crc32c(crc32c(0, &key, 4), value, 64);
		}
		assert_ok(bolt_commit(tx));
	}
	bolt_close(db);
	return sum;
}

static void page_overflow(struct vfs_file *f, uint64_t id, uint32_t overflow)
{
	assert_ok(vfs_pwrite(f, id * 1024 + 12, &overflow, 4));
}

/* Each leaf in turn claims the page behind it, too, the last one of the front half among them: the verdict is that of one
 * scan over all. */
static void reach_twice(struct vfs *fs, uint64_t pages)
{
	struct seen front = {0}, back = {0};
	struct vfs_file *f;
	unsigned bad = 0;

	assert_ok(vfs_open(fs, "/db", VFS_WRITE, 0600, &f));
	for (uint64_t id = 2; id < pages; id++) {
		uint8_t header[16];
		size_t got;
		struct why why = {{0}};

		assert_ok(vfs_pread(f, id * 1024, header, sizeof(header), &got));
		if (le64_get(header) != id || le16_get(header + 8) != 2 || le32_get(header + 12))
			continue;
		page_overflow(f, id, 1);
		err_t want = open_rows(fs, &front, NULL, NULL, &why);

		assert_err(want, open_rows(fs, &front, &back, NULL, &why));
		bad += want == ERR_CORRUPT_FILE;
		page_overflow(f, id, 0);
	}
	assert_true(bad > 64);
	vfs_close(f);
}

static void test_halves(void **state)
{
	enum { ROWS_ALL = 2500 };
	struct vfs_mem *disk = vfs_mem_new(1);
	struct vfs *fs = vfs_mem_vfs(disk);
	struct seen all = {0}, front = {0}, back = {0};
	struct bolt_stats whole, halves;
	uint64_t sum = write_rows(fs, ROWS_ALL);
	struct why why = {{0}};

	assert_ok(open_rows(fs, &all, NULL, &whole, &why));
	assert_int_equal(all.count, ROWS_ALL);
	assert_int_equal(all.sum, sum);
	assert_ok(open_rows(fs, &front, &back, &halves, &why));
	assert_true(front.count > ROWS_ALL / 4 && back.count > ROWS_ALL / 4);
	assert_true(front.bucket_rows[0] && front.bucket_rows[1] && back.bucket_rows[0] && back.bucket_rows[1]);
	assert_int_equal(front.count + back.count, ROWS_ALL);
	assert_int_equal(front.sum + back.sum, sum);
	assert_memory_equal(&whole, &halves, sizeof(whole));
	reach_twice(fs, whole.leaf_pages + whole.branch_pages + whole.free_pages + 3);
	vfs_mem_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers), cmocka_unit_test(test_halves)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
