/* Every file call fails once, in every way the disk in memory knows; and power goes during every call. What is opened
 * afterwards is the commit before or the one that was under way, whole, and passes the check. */
#include "bolt_test.h"

enum { COMMITS = 6, ROWS = 40 };

/* What commit n leaves in bucket key: rows 0 .. n x ROWS with n as part of the value; every third is deleted by the
 * commit after; bucket n exists. Big values make runs of pages. */
static err_t write_commit(struct bolt *db, uint32_t n)
{
	static uint8_t big[5000];
	struct bolt_bucket *b, *own;
	struct bolt_tx *tx;
	char name[16];
	err_t err = bolt_begin(db, &tx);

	if (err)
		return err;
	snprintf(name, sizeof(name), "b%u", n);
	err = bolt_tx_bucket(tx, SLICE_LIT("key"), true, &b);
	if (!err)
		err = bolt_tx_bucket(tx, slice_str(name), true, &own);
	for (uint32_t i = 0; !err && i < ROWS; i++) {
		uint32_t key = __builtin_bswap32(n * ROWS + i);

		memset(big, (int)n, sizeof(big));
		err = bolt_put(b, slice_of(&key, 4), slice_of(big, i % 10 == 0 ? sizeof(big) : 60));
		key = __builtin_bswap32((n - 1) * ROWS + i);
		if (!err && i % 3 == 0 && n > 0)
			err = bolt_delete(b, slice_of(&key, 4));
	}
	if (!err)
		return bolt_commit(tx);
	bolt_rollback(tx);
	return err;
}

static void check_content(struct bolt *db, uint32_t commits)
{
	struct bolt_pin *pin = bolt_pin(db);
	struct bolt_root root;
	struct bolt_cursor c;
	bool found = false;
	char name[16];

	snprintf(name, sizeof(name), "b%u", commits);
	assert_err(ERR_NOT_EXIST, bolt_pin_bucket(pin, slice_str(name), &root));
	if (commits == 0) {
		bolt_pin_unref(pin);
		return;
	}
	snprintf(name, sizeof(name), "b%u", commits - 1);
	assert_ok(bolt_pin_bucket(pin, slice_str(name), &root));
	assert_ok(bolt_pin_bucket(pin, SLICE_LIT("key"), &root));
	bolt_cursor_init(&c, pin, &root);
	assert_ok(bolt_cursor_first(&c, &found));
	for (uint32_t n = 0; n < commits; n++) {
		for (uint32_t i = 0; i < ROWS; i++) {
			uint32_t key = __builtin_bswap32(n * ROWS + i);

			if (i % 3 == 0 && n + 1 < commits)
				continue;
			assert_true(found && slice_eq(c.key, slice_of(&key, 4)));
			assert_int_equal(c.value.size, i % 10 == 0 ? 5000 : 60);
			assert_int_equal(c.value.data[c.value.size - 1], n);
			assert_ok(bolt_cursor_next(&c, &found));
		}
	}
	assert_false(found);
	bolt_pin_unref(pin);
}

/* After a commit that failed: all is as before it, and unless a sync failed or meta was written it can be made again.
 */
static err_t try_again(struct bolt *db, uint32_t n)
{
	err_t err;

	db_check(db, NULL);
	check_content(db, n);
	err = write_commit(db, n);
	if (!err) {
		db_check(db, NULL);
		check_content(db, n + 1);
	}
	return err;
}

/* Opens, commits, moves pages; *commits: how many returned OK. */
static err_t run(struct vfs *fs, uint32_t *commits)
{
	struct bolt_options o = {.page_size = 1024, .grow_bytes = 8192, .reserve_bytes = (uint64_t)1 << 30};
	struct bolt_pin *pin = NULL;
	struct bolt *db;
	err_t err = bolt_open(fs, "/db", &o, NULL, &db);
	bool done = false;

	*commits = 0;
	if (err)
		return err;
	for (uint32_t n = 0; !err && n < COMMITS; n++) {
		err = write_commit(db, n);
		if (err)
			err = try_again(db, n);
		*commits += !err;
		if (n == 2)
			pin = bolt_pin(db);
	}
	if (!err)
		err = bolt_move_step(db, 3, &done);
	if (pin)
		check_content(db, *commits);
	bolt_pin_unref(pin);
	while (!err && !done)
		err = bolt_move_step(db, 5, &done);
	bolt_close(db);
	return err;
}

static void check_after(struct vfs *fs, uint32_t commits)
{
	struct bolt_options o = {.page_size = 1024, .grow_bytes = 8192, .reserve_bytes = (uint64_t)1 << 30};
	struct bolt_root root;
	struct bolt_pin *pin;
	struct bolt *db;
	struct why why = {{0}};
	char name[16];

	if (bolt_open(fs, "/db", &o, &why, &db) != OK)
		fail_msg("after %u commits: %s", commits, why.text);
	db_check(db, NULL);
	pin = bolt_pin(db);
	snprintf(name, sizeof(name), "b%u", commits);
	if (bolt_pin_bucket(pin, slice_str(name), &root) == OK)
		commits++; /* the one under way is there, whole */
	bolt_pin_unref(pin);
	check_content(db, commits);
	assert_ok(write_commit(db, commits));
	check_content(db, commits + 1);
	db_check(db, NULL);
	bolt_close(db);
}

static void faults_of(enum vfs_fault fault)
{
	for (uint64_t n = 1;; n++) {
		struct vfs_mem *disk = vfs_mem_new(n);
		struct vfs *fs = vfs_mem_vfs(disk);
		uint32_t commits;
		uint64_t calls;

		vfs_mem_fault(disk, n, fault);
		(void)!run(fs, &commits); /* a failed cut of the file is no error */
		calls = vfs_mem_calls(disk);
		vfs_mem_fault(disk, 0, VFS_FAULT_NONE);
		vfs_mem_crash(disk);
		check_after(fs, commits);
		vfs_mem_free(disk);
		if (calls < n)
			return;
	}
}

static void test_errors(void **state)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN};

	for (size_t i = 0; i < ARRAY_COUNT(faults); i++)
		faults_of(faults[i]);
}

/* After the power went calls lie: what counts is what had returned before. */
static void test_power_loss(void **state)
{
	for (uint64_t n = 1;; n++) {
		bool over = false;

		for (uint64_t seed = 0; seed < 6; seed++) {
			struct vfs_mem *disk = vfs_mem_new(seed * 1000 + n);
			struct vfs *fs = vfs_mem_vfs(disk);
			struct bolt_options o = {
			    .page_size = 1024, .grow_bytes = 8192, .reserve_bytes = (uint64_t)1 << 30};
			struct bolt *db;
			uint32_t commits = 0;
			bool done = false;

			vfs_mem_fault(disk, n, VFS_FAULT_CRASH);
			assert_ok(bolt_open(fs, "/db", &o, NULL, &db));
			while (commits < COMMITS && !vfs_mem_crashed(disk)) {
				assert_ok(write_commit(db, commits));
				commits += !vfs_mem_crashed(disk);
			}
			while (!vfs_mem_crashed(disk) && !done)
				assert_ok(bolt_move_step(db, 4, &done));
			over = !vfs_mem_crashed(disk);
			vfs_mem_fault(disk, 0, VFS_FAULT_NONE);
			vfs_mem_crash(disk);
			bolt_close(db);
			check_after(fs, commits);
			vfs_mem_free(disk);
		}
		if (over)
			return;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors), cmocka_unit_test(test_power_loss)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
