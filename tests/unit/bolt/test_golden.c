/* Databases of Go etcd: what is in them, by an independent reader's account; and that they can be written to. */
#include "bolt_test.h"

#include "../../lib/golden.h"

static const char *const names[] = {
    "fresh",       "plain",        "compact-pending", "leases",         "auth",     "alarms",
    "bigvalue",    "cluster3-1",   "cluster3-2",      "cluster3-3",     "restored", "restored-bumped",
    "downgrade36", "wal-segments", "wal-unclean",     "snapdb-pending", "v36",      "snapshot.db",
};

static bool is_file(const char *name)
{
	return strcmp(name, "snapshot.db") == 0;
}

struct seen {
	uint32_t crc;
	size_t rows;
	size_t key_rows; /* through the hook */
};

static err_t count_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	struct seen *seen = arg;

	assert_int_equal(bucket, 1);
	assert_true(key.size == 17 || key.size == 18);
	seen->key_rows++;
	return OK;
}

static bool in_hash(struct slice bucket, struct slice key)
{
	return !slice_eq(bucket, SLICE_LIT("meta")) ||
	       !(slice_eq(key, SLICE_LIT("consistent_index")) || slice_eq(key, SLICE_LIT("term")) ||
		 slice_eq(key, SLICE_LIT("storageVersion")));
}

static void read_bucket(struct bolt_pin *pin, struct slice name, const json_t *facts, struct seen *seen)
{
	char label[64];
	const json_t *fact;
	struct bolt_stats stats;
	struct bolt_cursor c;
	struct bolt_root root;
	struct slice value;
	size_t rows = 0;
	bool found;

	snprintf(label, sizeof(label), "%.*s", SLICE_ARG(name));
	fact = json_object_get(facts, label);
	assert_non_null(fact);
	assert_ok(bolt_pin_bucket(pin, name, &root));
	assert_int_equal(root.page == 0, json_is_true(golden_at(fact, "inline")));
	seen->crc = crc32c(seen->crc, name.data, name.size);
	bolt_cursor_init(&c, pin, &root);
	for (assert_ok(bolt_cursor_first(&c, &found)); found; assert_ok(bolt_cursor_next(&c, &found)), rows++) {
		assert_ok(bolt_pin_get(pin, &root, c.key, &value));
		assert_true(slice_eq(value, c.value));
		if (!in_hash(name, c.key))
			continue;
		seen->crc = crc32c(seen->crc, c.key.data, c.key.size);
		seen->crc = crc32c(seen->crc, c.value.data, c.value.size);
	}
	assert_int_equal(rows, golden_uint(fact, "keys"));
	assert_ok(bolt_bucket_stats(pin, &root, &stats));
	assert_int_equal(stats.key_count, rows);
	if (root.page) {
		assert_int_equal(stats.branch_pages, golden_uint(fact, "pages.branch"));
		assert_int_equal(stats.leaf_pages, golden_uint(fact, "pages.leaf"));
		assert_int_equal(stats.overflow_pages, golden_uint(fact, "pages.overflow"));
		assert_int_equal(stats.depth, golden_uint(fact, "pages.depth"));
	}
	seen->rows += rows;
	if (slice_eq(name, SLICE_LIT("key")))
		assert_int_equal(seen->key_rows, rows);
}

static void read_all(const char *path, const json_t *facts)
{
	const struct slice row_names[] = {SLICE_LIT("no such bucket"), SLICE_LIT("key")};
	struct seen seen = {0};
	struct bolt_rows rows = {row_names, 2, count_row, &seen};
	struct bolt_options o = {.read_only = true, .lock = true, .rows = &rows};
	const json_t *buckets = golden_at(facts, "db.buckets");
	struct bolt_stats stats;
	struct bolt_root top;
	struct bolt_cursor c;
	struct bolt_pin *pin;
	struct bolt *db;
	struct why why;
	bool found;
	size_t count = 0;

	assert_ok(bolt_open(vfs_posix(), path, &o, &why, &db));
	assert_int_equal(bolt_page_size(db), golden_uint(facts, "db.meta.page_size"));
	assert_int_equal(bolt_size(db), golden_uint(facts, "db.meta.hwm") * bolt_page_size(db));
	assert_int_equal(bolt_txid(db), golden_uint(facts, "db.meta.txid"));
	db_check(db, &stats);
	pin = bolt_pin(db);
	bolt_pin_top(pin, &top);
	bolt_cursor_init(&c, pin, &top);
	for (assert_ok(bolt_cursor_first(&c, &found)); found; assert_ok(bolt_cursor_next(&c, &found)), count++) {
		assert_true(c.is_bucket);
		read_bucket(pin, c.key, buckets, &seen);
	}
	assert_int_equal(count, json_object_size(buckets));
	assert_int_equal(stats.bucket_count, count);
	assert_int_equal(stats.key_count, seen.rows);
	if (json_object_get(json_object_get(facts, "db"), "hash_self"))
		assert_int_equal(seen.crc, golden_uint(facts, "db.hash_self"));
	bolt_pin_unref(pin);
	bolt_close(db);
}

static void write_some(const char *path)
{
	struct bolt *db = db_open(vfs_posix(), path, 0);
	uint64_t txid = bolt_txid(db);

	for (int i = 0; i < 3; i++) {
		struct bolt_tx *tx = db_begin(db);

		assert_ok(bolt_put(tx_bucket(tx, "meta"), SLICE_LIT("written by a test"), slice_of(&i, sizeof(i))));
		assert_ok(bolt_commit(tx));
	}
	assert_int_equal(bolt_txid(db), txid + 3);
	db_check(db, NULL);
	bolt_close(db);
	oracle_check(path);
}

static void test_read(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char *place = is_file(names[i]) ? golden_unpack_file(names[i]) : golden_unpack(names[i]);
		char *path = mem_printf("%s%s", place, is_file(names[i]) ? "" : "/member/snap/db");
		json_t *facts = golden_facts(names[i], "on_disk");

		read_all(path, facts);
		write_some(path);
		json_decref(facts);
		mem_free(path);
		golden_drop(place);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
