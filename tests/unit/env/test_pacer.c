#include "../../lib/test.h"

#include <pthread.h>
#include <time.h>

#include "env/env.h"
#include "env/pacer.h"

#define SIZE (3 * PACER_SLICE_BYTES + 100)

struct place {
	char dir[32];
	char *path;
	struct vfs_file *f;
	struct pacer *p;
	uint8_t data[SIZE];
};

static int set_up(void **state)
{
	struct place *x = NEW(struct place);

	strcpy(x->dir, "/tmp/test_pacer_XXXXXX");
	if (!mkdtemp(x->dir))
		return -1;
	x->path = mem_printf("%s/f", x->dir);
	x->p = pacer_new();
	for (size_t i = 0; i < SIZE; i++)
		x->data[i] = (uint8_t)(i * 31 >> 3);
	*state = x;
	return vfs_open(vfs_posix(), x->path, VFS_WRITE | VFS_CREATE, 0600, &x->f);
}

static int tear_down(void **state)
{
	struct place *x = *state;
	err_t err = vfs_remove_all(vfs_posix(), x->dir);

	vfs_close(x->f);
	pacer_free(x->p);
	mem_free(x->path);
	mem_free(x);
	return err;
}

static void check_content(struct place *x, uint64_t offset)
{
	uint8_t *got = mem_alloc(SIZE);
	size_t n;

	assert_ok(vfs_pread(x->f, offset, got, SIZE, &n));
	assert_int_equal(n, SIZE);
	assert_memory_equal(got, x->data, SIZE);
	mem_free(got);
}

static void test_content(void **state)
{
	struct place *x = *state;

	assert_ok(pacer_write(x->p, x->f, 7, x->data, SIZE));
	check_content(x, 7);
	assert_ok(vfs_truncate(x->f, 0));
	assert_ok(pacer_write(NULL, x->f, 9, x->data, SIZE));
	check_content(x, 9);
	pacer_sync_begin(NULL);
	pacer_sync_end(NULL, 1);
	pacer_free(NULL);
}

static void *write_all(void *arg)
{
	struct place *x = arg;

	return pacer_write(x->p, x->f, 0, x->data, SIZE) ? x : NULL;
}

static void sleep_ms(int ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Nothing starts while the log syncs. */
static void test_waits_for_sync(void **state)
{
	struct place *x = *state;
	uint64_t start_ns, size;
	pthread_t thread;
	void *failed;

	pacer_sync_begin(x->p);
	start_ns = env_mono_ns();
	assert_int_equal(pthread_create(&thread, NULL, write_all, x), 0);
	sleep_ms(5);
	assert_ok(vfs_size(x->f, &size));
	if (env_mono_ns() - start_ns < (PACER_WAIT_MS_MAX - 5) * 1000000u) /* else a busy machine slept too long */
		assert_int_equal(size, 0);
	pacer_sync_end(x->p, 1000);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	check_content(x, 0);
}

/* A sync that hangs holds the background up for a bounded time only. */
static void test_hanging_sync(void **state)
{
	struct place *x = *state;
	uint64_t start_ns = env_mono_ns();

	pacer_sync_begin(x->p);
	assert_ok(pacer_write(x->p, x->f, 0, x->data, SIZE));
	assert_true(env_mono_ns() - start_ns >= 4u * PACER_WAIT_MS_MAX * 1000000u); /* four slices waited */
	pacer_sync_end(x->p, 1000);
	check_content(x, 0);
}

/* In a hurry nothing waits, whatever the log does. */
static void test_hurry(void **state)
{
	struct place *x = *state;
	struct pacer *busy = pacer_new();

	pacer_sync_begin(busy);
	pacer_hurry(busy, true);
	for (int i = 0; i < 100; i++) {                 /* waiting would take eight seconds and more */
		assert_ok(pacer_write(busy, x->f, 3, x->data, SIZE));
		check_content(x, 3);
	}
	pacer_sync_end(busy, 1000);
	assert_ok(pacer_sync(busy, x->f));
	assert_ok(pacer_sync(NULL, x->f));
	pacer_hurry(NULL, true);
	pacer_free(busy);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_content), TEST(test_waits_for_sync), TEST(test_hanging_sync), TEST(test_hurry)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
