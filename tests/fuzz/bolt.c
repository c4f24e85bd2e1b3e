/* A database from bytes. First byte odd: checksums of both metas are made right first. What opens is read whole, in
 * both directions, written to, moved, and opens again. */
#include "fuzz.h"

#include "base/crc.h"
#include "bolt/bolt.h"
#include "bolt/format.h"
#include "env/vfs_mem.h"

enum { SIZE_MAX_INPUT = 1 << 18 };

static void sign_metas(uint8_t *file, size_t size)
{
	for (size_t at = 0; at <= 1024; at += 1024)
		if (size >= at + PAGE_HEADER_SIZE + META_SIZE)
			le64_put(file + at + PAGE_HEADER_SIZE + 56, fnv64a(file + at + PAGE_HEADER_SIZE, 56));
}

static void put_file(struct vfs *fs, const uint8_t *data, size_t size)
{
	struct vfs_file *f;
	err_t err = vfs_open(fs, "/db", VFS_WRITE | VFS_CREATE, 0600, &f);

	ASSERT(!err);
	err = vfs_pwrite(f, 0, data, size);
	ASSERT(!err);
	vfs_close(f);
}

static size_t scan(struct bolt_pin *pin, const struct bolt_root *root, int depth)
{
	struct bolt_cursor c;
	size_t forward = 0, backward = 0;
	bool found;
	err_t err;

	bolt_cursor_init(&c, pin, root);
	for (err = bolt_cursor_first(&c, &found); !err && found; err = bolt_cursor_next(&c, &found), forward++) {
		struct slice key = c.key, value;
		struct bolt_root sub;

		if (!c.is_bucket) {
			ASSERT(bolt_pin_get(pin, root, key, &value) == OK);
			ASSERT(slice_eq(value, c.value));
		} else if (depth < 8) {
			ASSERT(bolt_pin_subbucket(pin, root, key, &sub) == OK);
			scan(pin, &sub, depth + 1);
		}
	}
	ASSERT(!err);
	for (err = bolt_cursor_last(&c, &found); !err && found; err = bolt_cursor_prev(&c, &found))
		backward++;
	ASSERT(!err && forward == backward);
	return forward;
}

/* Deletes every other row of every bucket, adds a few. Errors are allowed: a tree may be sound and yet of a shape that
 * bbolt never makes. */
static void write_some(struct bolt *db, struct bolt_pin *pin)
{
	struct bolt_root top;
	struct bolt_cursor names, rows;
	struct bolt_tx *tx;
	bool found, row, odd = false;
	err_t err = bolt_begin(db, &tx);

	ASSERT(!err);
	bolt_pin_top(pin, &top);
	bolt_cursor_init(&names, pin, &top);
	for (err = bolt_cursor_first(&names, &found); !err && found; err = bolt_cursor_next(&names, &found)) {
		struct bolt_bucket *b;
		struct bolt_root root;

		if (!names.is_bucket)
			continue;
		err = bolt_tx_bucket(tx, names.key, false, &b);
		ASSERT(!err);
		err = bolt_pin_bucket(pin, names.key, &root);
		ASSERT(!err);
		bolt_cursor_init(&rows, pin, &root);
		for (err = bolt_cursor_first(&rows, &row); !err && row;
		     err = bolt_cursor_next(&rows, &row), odd = !odd) {
			if (odd && rows.is_bucket)
				err = bolt_bucket_delete(tx, b, rows.key);
			else if (odd)
				err = bolt_delete(b, rows.key);
			if (err)
				break;
		}
		if (!err)
			err = bolt_put(b, SLICE_LIT("added"), SLICE_LIT("row"));
		if (err)
			break;
	}
	if (err)
		bolt_rollback(tx);
	else
		(void)!bolt_commit(tx);
}

static err_t take_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	++*(size_t *)arg;
	return OK;
}

/* Two halves come to the verdict of one scan, and see as many rows. */
static void open_both_ways(struct vfs *fs)
{
	static const struct slice names[] = {SLICE_LIT("key"), SLICE_LIT("meta"), SLICE_LIT("a")};
	size_t all = 0, front = 0, back = 0;
	struct bolt_rows whole = {names, 3, take_row, &all}, halves = {names, 3, take_row, &front, &back};
	struct bolt_options o = {.reserve_bytes = 1 << 22, .grow_bytes = 4096, .must_exist = true, .rows = &whole};
	struct bolt *db;
	struct why why;
	err_t err = bolt_open(fs, "/db", &o, &why, &db), halves_err;

	if (!err)
		bolt_close(db);
	o.rows = &halves;
	halves_err = bolt_open(fs, "/db", &o, &why, &db);
	if (!halves_err)
		bolt_close(db);
	ASSERT(err == halves_err);
	ASSERT(err || all == front + back);
}

static void open_and_use(struct vfs *fs, bool again)
{
	struct bolt_options o = {.reserve_bytes = 1 << 22, .grow_bytes = 4096, .must_exist = true};
	struct bolt_stats stats;
	struct bolt_root top;
	struct bolt_pin *pin;
	struct bolt *db;
	struct why why;
	err_t err = bolt_open(fs, "/db", &o, &why, &db);

	ASSERT(!again || !err);
	if (err)
		return;
	pin = bolt_pin(db);
	bolt_pin_top(pin, &top);
	scan(pin, &top, 0);
	(void)!bolt_check(db, &stats, &why);
	if (!again)
		write_some(db, pin);
	bolt_pin_unref(pin);
	if (!again)
		(void)!bolt_move_all(db);
	bolt_close(db);
	if (!again)
		open_and_use(fs, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vfs_mem *m = vfs_mem_new(1);
	uint8_t *copy;

	if (size < 2 || size > SIZE_MAX_INPUT) {
		vfs_mem_free(m);
		return 0;
	}
	copy = mem_alloc(size - 1);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		sign_metas(copy, size - 1);
	put_file(vfs_mem_vfs(m), copy, size - 1);
	open_both_ways(vfs_mem_vfs(m));
	open_and_use(vfs_mem_vfs(m), false);
	mem_free(copy);
	vfs_mem_free(m);
	return 0;
}
