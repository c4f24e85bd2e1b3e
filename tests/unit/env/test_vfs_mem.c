/* The lies of the disk in memory: what a power loss and a failed call leave behind. */
#include "../../lib/test.h"

#include "base/crc.h"
#include "env/vfs_mem.h"

#define SECTORS 8
#define SIZE (SECTORS * 512)

static struct vfs_file *opened(struct vfs_mem *m, const char *path, int flags)
{
	struct vfs_file *f;

	assert_ok(vfs_open(vfs_mem_vfs(m), path, VFS_WRITE | flags, 0600, &f));
	return f;
}

/* A file of 8 sectors of 'a', durable with its name. */
static struct vfs_file *made(struct vfs_mem *m)
{
	struct vfs_file *f = opened(m, "/f", VFS_CREATE);
	char old[SIZE];

	memset(old, 'a', sizeof(old));
	assert_ok(vfs_pwrite(f, 0, old, sizeof(old)));
	assert_ok(vfs_sync(f));
	assert_ok(vfs_sync_dir(vfs_mem_vfs(m), "/"));
	return f;
}

/* One letter a sector; asserts that sectors are whole. */
static void sectors(struct vfs_mem *m, const char *path, char *out)
{
	struct vfs_file *f = opened(m, path, 0);
	char got[SIZE];
	size_t n;

	assert_ok(vfs_pread(f, 0, got, sizeof(got), &n));
	assert_int_equal(n % 512, 0);
	for (size_t i = 0; i < n / 512; i++) {
		out[i] = got[i * 512] ? got[i * 512] : '0';
		for (size_t k = 1; k < 512; k++)
			assert_int_equal(got[i * 512 + k], got[i * 512]);
	}
	out[n / 512] = '\0';
	vfs_close(f);
}

/* Who reads what was given up sees that; once the power is gone, nothing on the disk changes by it. */
static void test_forget(void **state)
{
	struct vfs_mem *m = vfs_mem_new(1);
	struct vfs_file *f = made(m);
	char left[SECTORS + 1];

	vfs_forget(f, 512, 1024);
	vfs_forget(f, 7 * 512, 4096); /* beyond its end */
	sectors(m, "/f", left);
	assert_string_equal(left, "a\xdb\xdb" "aaaa\xdb");
	vfs_mem_fault(m, 1, VFS_FAULT_CRASH);
	assert_ok(vfs_sync(f));
	vfs_forget(f, 0, SIZE);
	vfs_close(f);
	vfs_mem_crash(m);
	f = opened(m, "/f", 0);
	vfs_close(f);
	sectors(m, "/f", left);
	assert_true(left[0] == 'a' && left[3] == 'a' && left[6] == 'a');
	vfs_mem_free(m);
}

static void test_crash_forgets(void **state)
{
	int kept = 0, lost = 0, torn = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = made(m);
		char new[SIZE], left[SECTORS + 1];

		memset(new, 'b', sizeof(new));
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		vfs_mem_crash(m);
		sectors(m, "/f", left);
		kept += strspn(left, "b") == SECTORS;
		lost += strspn(left, "a") == SECTORS;
		torn += strspn(left, "ab") == SECTORS && strchr(left, 'a') && strchr(left, 'b');
		vfs_close(f);
		vfs_mem_free(m);
	}
	assert_int_equal(kept + lost + torn, 100);
	assert_true(kept > 15 && lost > 15 && torn > 15);
}

static void test_sync_holds(void **state)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = made(m);
		char new[512], left[SECTORS + 1];

		memset(new, 'b', sizeof(new));
		assert_ok(vfs_pwrite(f, 512, new, sizeof(new)));
		assert_ok(vfs_truncate(f, SIZE - 512));
		assert_ok(vfs_sync(f));
		vfs_mem_crash(m);
		sectors(m, "/f", left);
		assert_string_equal(left, "abaaaaa");
		vfs_close(f);
		vfs_mem_free(m);
	}
}

/* Writes after the power went are visible and never on disk; the last ones before may be. */
static void test_power_off(void **state)
{
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = made(m);
		char new[SIZE], left[SECTORS + 1];

		memset(new, 'b', sizeof(new));
		vfs_mem_fault(m, 1, VFS_FAULT_CRASH);
		assert_ok(vfs_pwrite(f, 0, new, SIZE / 2));
		assert_true(vfs_mem_crashed(m));
		memset(new, 'c', sizeof(new));
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		assert_ok(vfs_sync(f));
		assert_ok(vfs_truncate(f, 512));
		assert_ok(vfs_sync(f));
		sectors(m, "/f", left);
		assert_string_equal(left, "c");
		vfs_mem_crash(m);
		assert_false(vfs_mem_crashed(m));
		sectors(m, "/f", left);
		assert_int_equal(strlen(left), SECTORS);
		assert_int_equal(strspn(left, "ab"), SECTORS);
		assert_string_equal(left + SECTORS / 2, "aaaa");
		vfs_close(f);
		vfs_mem_free(m);
	}
}

static void test_growth(void **state)
{
	int sizes[3] = {0};

	for (uint64_t seed = 0; seed < 60; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = opened(m, "/f", VFS_CREATE);
		char new[1024], left[SECTORS + 1];

		assert_ok(vfs_sync_dir(vfs_mem_vfs(m), "/"));
		memset(new, 'b', sizeof(new));
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		vfs_mem_crash(m);
		sectors(m, "/f", left);
		assert_true(strlen(left) == 0 || strlen(left) == 2);
		sizes[strlen(left)]++;
		vfs_close(f);
		vfs_mem_free(m);
	}
	assert_true(sizes[0] > 10 && sizes[2] > 10);
}

static void test_lost_names(void **state)
{
	int seen[8] = {0};

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs *fs = vfs_mem_vfs(m);
		struct vfs_file *f = made(m);
		int what;

		assert_ok(vfs_rename(fs, "/f", "/g"));
		assert_ok(vfs_mkdir(fs, "/d", 0700));
		vfs_close(opened(m, "/d/x", VFS_CREATE));
		assert_ok(vfs_sync_dir(fs, "/d"));
		vfs_mem_crash(m);
		what = vfs_exists(fs, "/f") | vfs_exists(fs, "/g") << 1 | vfs_exists(fs, "/d/x") << 2;
		seen[what]++;
		vfs_close(f);
		vfs_mem_free(m);
	}
	/* never both names, never the later change without the earlier */
	assert_int_equal(seen[1] + seen[2] + seen[6], 100);
	assert_true(seen[1] > 10 && seen[2] > 10 && seen[6] > 10);
}

static void test_rename_synced(void **state)
{
	struct vfs_mem *m = vfs_mem_new(3);
	struct vfs *fs = vfs_mem_vfs(m);
	struct vfs_file *f = made(m), *g = opened(m, "/g", VFS_CREATE);

	assert_ok(vfs_lock(f, VFS_LOCK_OFD));
	assert_ok(vfs_rename(fs, "/f", "/g"));
	assert_ok(vfs_sync_dir(fs, "/"));
	vfs_mem_crash(m);
	assert_false(vfs_exists(fs, "/f"));
	assert_true(vfs_exists(fs, "/g"));
	assert_ok(vfs_pwrite(f, 0, "dead", 4));
	vfs_close(f);
	vfs_close(g);
	g = opened(m, "/g", 0);
	assert_ok(vfs_lock(g, VFS_LOCK_OFD));
	vfs_close(g);
	vfs_mem_free(m);
}

static void test_faults(void **state)
{
	static const struct {
		enum vfs_fault fault;
		err_t err;
		const char *left[2]; /* letters allowed in the first and in the second half */
	} cases[] = {
	    {VFS_FAULT_EIO, ERR_IO, {"a", "a"}},
	    {VFS_FAULT_ENOSPC, ERR_DISK_FULL, {"a", "a"}},
	    {VFS_FAULT_SHORT, ERR_IO, {"b", "a"}},
	    {VFS_FAULT_TORN, ERR_IO, {"ab", "ab"}},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct vfs_mem *m = vfs_mem_new(5);
		struct vfs_file *f = made(m);
		char new[SIZE], left[SECTORS + 1];
		uint64_t calls = vfs_mem_calls(m);

		memset(new, 'b', sizeof(new));
		vfs_mem_fault(m, 2, cases[i].fault);
		assert_ok(vfs_truncate(f, SIZE));
		assert_err(cases[i].err, vfs_pwrite(f, 0, new, sizeof(new)));
		sectors(m, "/f", left);
		assert_true(strspn(left, cases[i].left[0]) >= SECTORS / 2);
		assert_int_equal(strspn(left + SECTORS / 2, cases[i].left[1]), SECTORS / 2);
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		assert_int_equal(vfs_mem_calls(m), calls + 3);
		vfs_close(f);
		vfs_mem_free(m);
	}
}

/* After a failed sync the next one reports success, and sectors are gone all the same. */
static void test_failed_sync(void **state)
{
	int gone = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = made(m);
		char new[SIZE], left[SECTORS + 1];

		memset(new, 'b', sizeof(new));
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		vfs_mem_fault(m, 1, VFS_FAULT_EIO);
		assert_err(ERR_IO, vfs_sync(f));
		assert_ok(vfs_sync(f));
		vfs_mem_crash(m);
		sectors(m, "/f", left);
		gone += strchr(left, 'a') != NULL;
		vfs_close(f);
		vfs_mem_free(m);
	}
	assert_true(gone >= 18);
}

/* A process that ends leaves what it wrote in sight and its locks free; the power may still take what was not synced. */
static void test_kill(void **state)
{
	int lost = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		struct vfs_mem *m = vfs_mem_new(seed);
		struct vfs_file *f = made(m);
		char new[SIZE], left[SECTORS + 1];

		memset(new, 'b', sizeof(new));
		assert_ok(vfs_lock(f, VFS_LOCK_OFD));
		assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
		vfs_mem_kill(m);
		sectors(m, "/f", left);
		assert_int_equal(strspn(left, "b"), SECTORS);
		assert_ok(vfs_pwrite(f, 0, "dead", 4));
		vfs_close(f);
		f = opened(m, "/f", 0);
		assert_ok(vfs_lock(f, VFS_LOCK_OFD));
		vfs_close(f);
		sectors(m, "/f", left);
		assert_int_equal(strspn(left, "b"), SECTORS);
		vfs_mem_crash(m);
		sectors(m, "/f", left);
		lost += strchr(left, 'a') != NULL;
		vfs_mem_free(m);
	}
	assert_true(lost > 0);
}

static int done_count;

static void count_done(struct vfs_io *io)
{
	done_count++;
}

static void test_start_waits(void **state)
{
	struct vfs_mem *m = vfs_mem_new(9);
	struct vfs_file *f = made(m);
	struct vfs_io io[2] = {
	    {.file = f, .data = SLICE_LIT("x"), .sync = true, .done = count_done},
	    {.file = f, .data = SLICE_LIT("y"), .sync = true, .done = count_done},
	};

	done_count = 0;
	vfs_mem_set_auto_done(m, false);
	vfs_start(&io[0]);
	vfs_start(&io[1]);
	assert_int_equal(done_count, 0);
	assert_true(vfs_mem_finish_one(m));
	assert_int_equal(done_count, 1);
	assert_ok(io[0].err);
	vfs_mem_crash(m);
	assert_false(vfs_mem_finish_one(m));
	assert_int_equal(done_count, 1);
	vfs_close(f);
	vfs_mem_free(m);
}

/* The sync of an asynchronous write fails by itself: what was written is visible, and told to be of unknown fate. */
static void test_start_sync_fails(void **state)
{
	struct vfs_mem *m = vfs_mem_new(9);
	struct vfs_file *f = made(m);
	struct vfs_io io = {.file = f, .data = SLICE_LIT("x"), .sync = true, .done = count_done};
	char got_byte = 0;
	size_t got;

	vfs_mem_fault(m, 2, VFS_FAULT_EIO);
	vfs_start(&io);
	assert_err(ERR_IO, io.err);
	assert_ok(vfs_pread(f, 0, &got_byte, 1, &got));
	assert_int_equal(got_byte, 'x');
	vfs_close(f);
	vfs_mem_free(m);
}

static void test_map_survives(void **state)
{
	struct vfs_mem *m = vfs_mem_new(11);
	struct vfs_file *f = made(m);
	const uint8_t *map;
	uint64_t reserved;
	char left[SECTORS + 1];

	assert_ok(vfs_map(f, 1 << 30, &map, &reserved));
	assert_ok(vfs_truncate(f, 1 << 20));
	assert_ok(vfs_pwrite(f, 1 << 19, "x", 1));
	assert_ok(vfs_truncate(f, SIZE));
	assert_int_equal(map[0], 'a');
	vfs_mem_crash(m);
	vfs_unmap(f, map, reserved);
	vfs_close(f);
	f = opened(m, "/f", 0);
	assert_ok(vfs_map(f, 1 << 30, &map, &reserved));
	assert_int_equal(map[SIZE - 1], 'a');
	vfs_close(f);
	sectors(m, "/f", left);
	assert_string_equal(left, "aaaaaaaa");
	vfs_mem_free(m);
}

/* Equal seeds give equal disks. */
static void test_deterministic(void **state)
{
	char left[2][SECTORS + 1];

	for (uint64_t seed = 0; seed < 20; seed++) {
		for (int i = 0; i < 2; i++) {
			struct vfs_mem *m = vfs_mem_new(seed);
			struct vfs_file *f = made(m);
			char new[SIZE];

			memset(new, 'b', sizeof(new));
			assert_ok(vfs_pwrite(f, 0, new, sizeof(new)));
			vfs_mem_crash(m);
			sectors(m, "/f", left[i]);
			vfs_close(f);
			vfs_mem_free(m);
		}
		assert_string_equal(left[0], left[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_forget),
	    cmocka_unit_test(test_crash_forgets), cmocka_unit_test(test_sync_holds),
	    cmocka_unit_test(test_power_off),     cmocka_unit_test(test_growth),
	    cmocka_unit_test(test_lost_names),    cmocka_unit_test(test_rename_synced),
	    cmocka_unit_test(test_faults),        cmocka_unit_test(test_failed_sync),
	    cmocka_unit_test(test_kill),
	    cmocka_unit_test(test_start_waits),
	    cmocka_unit_test(test_start_sync_fails),   cmocka_unit_test(test_map_survives),
	    cmocka_unit_test(test_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
