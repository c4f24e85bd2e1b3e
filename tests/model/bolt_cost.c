/* Figures, by hand: append of rows as bucket key gets them, opening, gets, scattered deletes, moving.
 *
 *	bolt_cost DIR [rows]            DIR: on the disk to be measured */
#include "../unit/bolt/bolt_test.h"

#include <sys/resource.h>

#include "base/endian.h"
#include "env/env.h"

enum { BATCH = 10000, VALUE = 256, KEY = 17 };

static double seconds(uint64_t since_ns)
{
	return (double)(env_mono_ns() - since_ns) / 1e9;
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static uint64_t bytes_written(void)
{
	FILE *f = fopen("/proc/self/io", "r");
	char line[128];
	unsigned long long n = 0;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "wchar: %llu", &n);
	if (f)
		fclose(f);
	return n;
}

static struct slice row_key(uint8_t *out, uint64_t rev)
{
	be64_put(out, rev);
	out[8] = '_';
	be64_put(out + 9, 0);
	return slice_of(out, KEY);
}

static void append(struct bolt *db, uint64_t rows)
{
	uint64_t start = env_mono_ns(), written = bytes_written();
	uint8_t key[KEY], value[VALUE];
	double cpu = cpu_seconds();

	memset(value, 'v', sizeof(value));
	for (uint64_t rev = 0; rev < rows;) {
		struct bolt_tx *tx = db_begin(db);
		struct bolt_bucket *b = tx_bucket(tx, "key");

		for (uint64_t end = rev + BATCH; rev < end; rev++)
			assert_ok(bolt_put_borrowed(b, row_key(key, rev), slice_of(value, VALUE)));
		assert_ok(bolt_put(tx_bucket(tx, "meta"), SLICE_LIT("consistent_index"), slice_of(&rev, 8)));
		assert_ok(bolt_commit(tx));
	}
	print_message("append: %.0f rows/s (%.2f s, CPU %.2f s), %.0f bytes written a commit, file %.1f MiB for %.1f "
		      "MiB of rows\n",
		      (double)rows / seconds(start), seconds(start), cpu_seconds() - cpu,
		      (double)(bytes_written() - written) / (double)(rows / BATCH), (double)bolt_size(db) / 1048576,
		      (double)rows * (KEY + VALUE) / 1048576);
}

static err_t sum_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	*(uint64_t *)arg += key.data[7] + value.size;
	return OK;
}

static struct bolt *open_timed(const char *path)
{
	uint64_t sum = 0, start = env_mono_ns();
	const struct slice name = SLICE_LIT("key");
	struct bolt_rows rows = {&name, 1, sum_row, &sum};
	struct bolt_options o = {.rows = &rows};
	struct bolt *db;
	struct why why;

	assert_ok(bolt_open(vfs_posix(), path, &o, &why, &db));
	print_message("open with every row shown: %.3f s\n", seconds(start));
	return db;
}

static void gets(struct bolt *db, uint64_t rows)
{
	struct bolt_pin *pin = bolt_pin(db);
	const uint64_t n = 1000000;
	uint64_t start;
	struct bolt_root root;
	struct slice value;
	uint8_t key[KEY];
	struct rng rng;

	rng_init(&rng, 1);
	assert_ok(bolt_pin_bucket(pin, SLICE_LIT("key"), &root));
	for (int round = 0; round < 2; round++) {
		start = env_mono_ns();
		for (uint64_t i = 0; i < n; i++)
			assert_ok(bolt_pin_get(pin, &root, row_key(key, rng_below(&rng, rows)), &value));
		print_message("random get (round %d): %.0f ns\n", round + 1, seconds(start) * 1e9 / (double)n);
	}
	bolt_pin_unref(pin);
}

static void scan(struct bolt *db)
{
	struct bolt_pin *pin = bolt_pin(db);
	uint64_t start = env_mono_ns(), n = 0;
	struct bolt_root root;
	struct bolt_cursor c;
	bool found;

	assert_ok(bolt_pin_bucket(pin, SLICE_LIT("key"), &root));
	bolt_cursor_init(&c, pin, &root);
	for (assert_ok(bolt_cursor_first(&c, &found)); found; assert_ok(bolt_cursor_next(&c, &found)))
		n++;
	print_message("cursor: %.0f ns a row\n", seconds(start) * 1e9 / (double)n);
	bolt_pin_unref(pin);
}

/* As compaction: three of four rows go, 1,000 a transaction. */
static void delete_scattered(struct bolt *db, uint64_t rows)
{
	uint64_t start = env_mono_ns(), n = 0;
	double cpu = cpu_seconds();
	uint8_t key[KEY];

	for (uint64_t rev = 0; rev < rows;) {
		struct bolt_tx *tx = db_begin(db);
		struct bolt_bucket *b = tx_bucket(tx, "key");

		for (uint64_t i = 0; i < 1000 && rev < rows; rev++) {
			if (rev % 4 == 0)
				continue;
			assert_ok(bolt_delete(b, row_key(key, rev)));
			i++;
			n++;
		}
		assert_ok(bolt_commit(tx));
	}
	print_message("delete: %.0f rows/s, CPU %.0f ns a row\n", (double)n / seconds(start),
		      (cpu_seconds() - cpu) * 1e9 / (double)n);
}

static void move(struct bolt *db)
{
	uint64_t start = env_mono_ns(), before = bolt_size(db), written = bytes_written(), steps = 0;
	bool done = false;

	for (; !done; steps++)
		assert_ok(bolt_move_step(db, 256, &done));
	print_message("move: %.1f -> %.1f MiB (in use %.1f) in %llu steps, %.2f s, %.1f MiB written\n",
		      (double)before / 1048576, (double)bolt_size(db) / 1048576, (double)bolt_size_in_use(db) / 1048576,
		      (unsigned long long)steps, seconds(start), (double)(bytes_written() - written) / 1048576);
}

int main(int argc, char **argv)
{
	uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000000;
	char *path = mem_printf("%s/bolt_cost.db", argc > 1 ? argv[1] : ".");
	struct bolt_options o = {0};
	struct bolt *db;

	(void)!vfs_remove(vfs_posix(), path);
	assert_ok(bolt_open(vfs_posix(), path, &o, NULL, &db));
	append(db, rows);
	bolt_close(db);
	db = open_timed(path);
	gets(db, rows);
	scan(db);
	delete_scattered(db, rows);
	move(db);
	db_check(db, NULL);
	bolt_close(db);
	oracle_check(path);
	(void)!vfs_remove(vfs_posix(), path);
	mem_free(path);
	return 0;
}
