/* Readers on other threads beside the writer and beside page moving: what a pin shows is one commit, whole. For the
 * thread sanitizer, too. */
#include "bolt_test.h"

#include <pthread.h>
#include <stdatomic.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
