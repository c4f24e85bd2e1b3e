/* What every vfs promises, asked of the operating system and of the disk in memory alike. */
#include "../../lib/test.h"

#include <pthread.h>
#include <unistd.h>

#include "env/env.h"
#include "env/vfs_mem.h"

struct place {
	struct vfs *fs;
	struct vfs_mem *mem; /* NULL: posix */
	char dir[64];
};

static char *at(struct place *p, const char *name)
{
	static char path[4][160];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", p->dir, name);
	return path[turn];
}

static int open_posix(void **state)
{
	struct place *p = NEW(struct place);

	p->fs = vfs_posix();
	strcpy(p->dir, "/tmp/test_vfs_XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	*state = p;
	return 0;
}

static int open_mem(void **state)
{
	struct place *p = NEW(struct place);

	p->mem = vfs_mem_new(1);
	p->fs = vfs_mem_vfs(p->mem);
	strcpy(p->dir, "/x");
	*state = p;
	return vfs_mkdir(p->fs, "/x", 0700);
}

static int close_place(void **state)
{
	struct place *p = *state;
	err_t err = vfs_remove_all(p->fs, p->dir);

	if (p->mem)
		vfs_mem_free(p->mem);
	mem_free(p);
	return err;
}

static void test_read_write(void **state)
{
	struct place *p = *state;
	struct vfs_file *f, *again;
	char got[16] = {0};
	uint64_t size;
	size_t n;

	assert_err(ERR_NOT_EXIST, vfs_open(p->fs, at(p, "a"), VFS_WRITE, 0600, &f));
	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_err(ERR_EXIST, vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, 0600, &again));
	assert_ok(vfs_pwrite(f, 5, "hello", 5));
	assert_ok(vfs_size(f, &size));
	assert_int_equal(size, 10);
	assert_ok(vfs_pread(f, 3, got, sizeof(got), &n));
	assert_int_equal(n, 7);
	assert_memory_equal(got, "\0\0hello", 7);
	assert_ok(vfs_truncate(f, 7));
	assert_ok(vfs_truncate(f, 9));
	assert_ok(vfs_pread(f, 5, got, sizeof(got), &n));
	assert_int_equal(n, 4);
	assert_memory_equal(got, "he\0\0", 4);
	assert_ok(vfs_allocate(f, 100000));
	assert_ok(vfs_size(f, &size));
	assert_int_equal(size, 100000);
	assert_ok(vfs_allocate(f, 10));
	assert_ok(vfs_size(f, &size));
	assert_int_equal(size, 100000);
	assert_ok(vfs_sync(f));
	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE | VFS_TRUNCATE, 0600, &again));
	assert_ok(vfs_size(f, &size));
	assert_int_equal(size, 0);
	vfs_close(again);
	vfs_close(f);
	vfs_close(NULL);
}

static void test_names(void **state)
{
	static const char *const want[] = {"A", "a", "b", "d"};
	struct place *p = *state;
	struct vfs_file *f;
	struct vfs_names names;
	struct vfs_stat st;

	for (int i = 0; i < 3; i++) {
		assert_ok(vfs_open(p->fs, at(p, want[2 - i]), VFS_WRITE | VFS_CREATE, 0640, &f));
		vfs_close(f);
	}
	assert_ok(vfs_mkdir(p->fs, at(p, "d"), 0700));
	assert_err(ERR_EXIST, vfs_mkdir(p->fs, at(p, "d"), 0700));
	assert_err(ERR_NOT_EXIST, vfs_mkdir(p->fs, at(p, "no/d"), 0700));
	assert_ok(vfs_list(p->fs, p->dir, &names));
	assert_int_equal(names.count, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(names.at[i], want[i]);
	vfs_names_free(&names);
	assert_ok(vfs_stat(p->fs, at(p, "a"), &st));
	assert_false(st.is_dir);
	assert_int_equal(st.mode & 0600, 0600);
	assert_ok(vfs_stat(p->fs, at(p, "d"), &st));
	assert_true(st.is_dir);
	assert_ok(vfs_rename(p->fs, at(p, "a"), at(p, "d/z")));
	assert_ok(vfs_rename(p->fs, at(p, "b"), at(p, "A")));
	assert_false(vfs_exists(p->fs, at(p, "a")));
	assert_true(vfs_exists(p->fs, at(p, "d/z")));
	assert_err(ERR_IO, vfs_remove(p->fs, at(p, "d")));
	assert_ok(vfs_sync_dir(p->fs, at(p, "d")));
	assert_ok(vfs_remove(p->fs, at(p, "d/z")));
	assert_ok(vfs_remove(p->fs, at(p, "d")));
	assert_err(ERR_NOT_EXIST, vfs_remove(p->fs, at(p, "d")));
	assert_err(ERR_NOT_EXIST, vfs_list(p->fs, at(p, "d"), &names));
	assert_ok(vfs_mkdir_all(p->fs, at(p, "e/f/g"), 0700));
	assert_ok(vfs_mkdir_all(p->fs, at(p, "e/f/g"), 0700));
	assert_true(vfs_exists(p->fs, at(p, "e/f/g")));
	assert_ok(vfs_remove_all(p->fs, at(p, "e")));
	assert_ok(vfs_remove_all(p->fs, at(p, "e")));
	assert_false(vfs_exists(p->fs, at(p, "e")));
}

static void test_read_file(void **state)
{
	struct place *p = *state;
	struct vfs_file *f;
	struct buf b;

	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, "0123456789", 10));
	vfs_close(f);
	buf_init(&b, 12);
	assert_ok(vfs_read_file(p->fs, at(p, "a"), &b));
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("0123456789")));
	assert_err(ERR_TOO_LARGE, vfs_read_file(p->fs, at(p, "a"), &b));
	assert_int_equal(b.size, 10);
	assert_err(ERR_NOT_EXIST, vfs_read_file(p->fs, at(p, "c"), &b));
	buf_fini(&b);
}

static void test_locks(void **state)
{
	struct place *p = *state;
	struct vfs_file *f[3];

	for (int i = 0; i < 3; i++)
		assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f[i]));
	assert_ok(vfs_lock(f[0], VFS_LOCK_OFD));
	assert_ok(vfs_lock(f[0], VFS_LOCK_OFD));
	assert_err(ERR_LOCKED, vfs_lock(f[1], VFS_LOCK_OFD));
	assert_ok(vfs_lock(f[1], VFS_LOCK_FLOCK_SHARED)); /* another kind */
	assert_ok(vfs_lock(f[2], VFS_LOCK_FLOCK_SHARED));
	assert_err(ERR_LOCKED, vfs_lock(f[0], VFS_LOCK_FLOCK));
	vfs_close(f[2]);
	assert_ok(vfs_lock(f[1], VFS_LOCK_FLOCK));
	assert_err(ERR_LOCKED, vfs_lock(f[0], VFS_LOCK_FLOCK_SHARED));
	vfs_close(f[0]);
	assert_ok(vfs_lock(f[1], VFS_LOCK_OFD));
	vfs_close(f[1]);
}

static void test_map(void **state)
{
	struct place *p = *state;
	struct vfs_file *f;
	const uint8_t *map;
	uint64_t reserved;

	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_pwrite(f, 0, "one", 3));
	assert_ok(vfs_map(f, (uint64_t)1 << 40, &map, &reserved));
	assert_true(reserved >= 1 << 24);
	assert_memory_equal(map, "one", 3);
	assert_ok(vfs_truncate(f, 1 << 24));
	assert_ok(vfs_pwrite(f, (1 << 24) - 3, "two", 3));
	assert_memory_equal(map + (1 << 24) - 3, "two", 3); /* growth does not move it */
	assert_int_equal(map[1 << 20], 0);
	assert_ok(vfs_truncate(f, 4096));
	assert_memory_equal(map, "one", 3);
	vfs_unmap(f, map, reserved);
	vfs_close(f);
}

struct waiter {
	struct vfs_io io;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void io_done(struct vfs_io *io)
{
	struct waiter *w = CONTAINER_OF(io, struct waiter, io);

	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void test_start(void **state)
{
	enum { COUNT = 8 };
	struct place *p = *state;
	struct waiter w[COUNT];
	struct vfs_file *f;
	char got[COUNT * 2];
	size_t n;

	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f));
	for (int i = 0; i < COUNT; i++) {
		w[i] = (struct waiter){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
		w[i].io = (struct vfs_io){.file = f,
					  .offset = (uint64_t)i * 2,
					  .data = slice_of(&"abcdefghijklmnop"[i * 2], 2),
					  .sync = i % 2,
					  .done = io_done,
					  .err = ERR_IO};
		vfs_start(&w[i].io);
	}
	for (int i = 0; i < COUNT; i++) {
		pthread_mutex_lock(&w[i].lock);
		while (!w[i].done)
			pthread_cond_wait(&w[i].cond, &w[i].lock);
		pthread_mutex_unlock(&w[i].lock);
		assert_ok(w[i].io.err);
	}
	assert_ok(vfs_pread(f, 0, got, sizeof(got), &n));
	assert_int_equal(n, sizeof(got));
	assert_memory_equal(got, "abcdefghijklmnop", sizeof(got));
	vfs_close(f);
}

/* What ends may start more: two at a time here, so that one of them finds the thread taken. */
struct chain {
	struct waiter w;
	struct vfs_io *next[2];
};

static void chain_done(struct vfs_io *io)
{
	struct chain *c = CONTAINER_OF(CONTAINER_OF(io, struct waiter, io), struct chain, w);

	for (int i = 0; i < 2; i++)
		if (c->next[i])
			vfs_start(c->next[i]);
	io_done(io);
}

static void test_start_from_done(void **state)
{
	enum { COUNT = 127 };   /* a binary tree */
	struct place *p = *state;
	struct chain c[COUNT];
	struct vfs_file *f;
	uint8_t got[COUNT];
	size_t n;

	assert_ok(vfs_open(p->fs, at(p, "a"), VFS_WRITE | VFS_CREATE, 0600, &f));
	for (int i = 0; i < COUNT; i++) {
		c[i] = (struct chain){.w = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER}};
		c[i].w.io = (struct vfs_io){.file = f, .offset = (uint64_t)i, .data = SLICE_LIT("x"), .done = chain_done};
		for (int k = 0; k < 2; k++)
			c[i].next[k] = 2 * i + 1 + k < COUNT ? &c[2 * i + 1 + k].w.io : NULL;
	}
	vfs_start(&c[0].w.io);
	for (int i = 0; i < COUNT; i++) {
		pthread_mutex_lock(&c[i].w.lock);
		while (!c[i].w.done)
			pthread_cond_wait(&c[i].w.cond, &c[i].w.lock);
		pthread_mutex_unlock(&c[i].w.lock);
	}
	assert_ok(vfs_pread(f, 0, got, sizeof(got), &n));
	assert_int_equal(n, COUNT);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(got[i], 'x');
	vfs_close(f);
}

static void test_env(void **state)
{
	uint64_t t = env_mono_ns();
	uint8_t a[32] = {0}, b[32] = {0};

	env_random(a, sizeof(a));
	env_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(env_mono_ns() >= t);
	assert_true(env_wall_ns() > (int64_t)1700000000 * 1000000000);
}

/* 64 MB in pieces below malloc's mapping threshold, all freed but the last: given back at the second look, not at the first. */
static void test_spare_memory(void **state)
{
	enum { PIECES = 1000, PIECE = 64000 };
	struct env_spare s = {0};
	void *p[PIECES];

	for (int i = 0; i < PIECES; i++)
		p[i] = memset(mem_alloc(PIECE), 1, PIECE);
	for (int i = 0; i < PIECES - 1; i++)
		mem_free(p[i]);
	env_spare_look(&s);
	assert_int_equal(s.rest_until_ns, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)      /* their allocators tell nothing and give nothing back */
	if (s.spare_bytes > 32 << 20) {
		env_spare_look(&s);
		assert_true(s.rest_until_ns > 0);
		env_spare_look(&s);
		assert_true(s.spare_bytes < 16 << 20);
	}
#endif
	mem_free(p[PIECES - 1]);
}

static uint64_t mapped_bytes(void)
{
	unsigned long long size, resident, shared = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%llu %llu %llu", &size, &resident, &shared), 3);
	fclose(f);
	return shared * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void look_at_all(const uint8_t *map, size_t size)
{
	for (size_t i = 0; i < size; i += 4096)
		assert_int_equal(map[i], i == 4096);
}

/* Pages of a mapping that were looked at are let go, can be looked at again, and then have a rest. */
static void test_spare_maps(void **state)
{
	enum { SIZE = 32 << 20 };
	struct place *p = *state;
	struct env_spare s = {0};
	struct vfs_file *f = NULL;
	const uint8_t *map;
	uint64_t reserved, seen;

	assert_ok(vfs_open(p->fs, at(p, "m"), VFS_WRITE | VFS_CREATE, 0600, &f));
	assert_ok(vfs_truncate(f, SIZE));
	assert_ok(vfs_pwrite(f, 4096, "\1", 1));
	assert_ok(vfs_map(f, SIZE, &map, &reserved));
	look_at_all(map, SIZE);
	seen = mapped_bytes();
	assert_true(seen > SIZE);
	env_spare_look(&s);
	assert_true(mapped_bytes() < seen - SIZE / 2);
	assert_true(s.maps_rest_until_ns > env_mono_ns());
	look_at_all(map, SIZE);
	env_spare_look(&s);
	assert_true(mapped_bytes() > s.mapped_bytes + SIZE / 2);
	s.maps_rest_until_ns = 0;
	env_spare_look(&s);
	assert_true(mapped_bytes() < seen - SIZE / 2);
	vfs_unmap(f, map, reserved);
	s.maps_rest_until_ns = 0;
	s.mapped_bytes = 0;
	env_spare_look(&s);     /* of what is gone nothing is let go */
	vfs_close(f);
}

#define BOTH(t)                                                                                                        \
	{#t " posix", t, open_posix, close_place, NULL},                                                               \
	{                                                                                                              \
#t " mem", t, open_mem, close_place, NULL                                                              \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(test_read_write), BOTH(test_names), BOTH(test_read_file),       BOTH(test_locks),
	    BOTH(test_map),        BOTH(test_start), cmocka_unit_test(test_env),
	    BOTH(test_start_from_done), cmocka_unit_test(test_spare_memory),
	    cmocka_unit_test_setup_teardown(test_spare_maps, open_posix, close_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
