/* Syncs that a loop does itself: whose thread, what happens when one hangs, and that nobody waits twice. */
#include "../../lib/test.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net.h"
#include "env/vfs.h"

static struct {
	struct sched *sched;
	struct net_loop *loop;
	sem_t entered, released, done;
	bool hangs;
	_Atomic int started; /* asynchronously, by the file system itself */
	pthread_t synced_by, done_by;
	struct net_loop *done_on;
	_Atomic int calls;
} t;

static err_t fake_sync(struct vfs_file *f)
{
	t.synced_by = pthread_self();
	sem_post(&t.entered);
	if (t.hangs)
		sem_wait(&t.released);
	return OK;
}

static void fake_start(struct vfs_io *io)
{
	t.started++;
	io->done(io);
}

static const struct vfs_ops fake_ops = {.sync = fake_sync, .start = fake_start};
static struct vfs fake_fs = {&fake_ops};
static struct vfs_file fake_file = {&fake_fs};
static struct vfs_io io;

static void on_done(struct vfs_io *i)
{
	t.done_by = pthread_self();
	t.done_on = net_loop_current();
	sem_post(&t.done);
}

static void start_sync(struct net_call *c)
{
	mem_free(c);
	io = (struct vfs_io){.file = &fake_file, .sync = true, .done = on_done};
	vfs_start(&io);
}

static void count_call(struct net_call *c)
{
	mem_free(c);
	t.calls++;
}

static void note_thread(void *arg)
{
	*(pthread_t *)arg = pthread_self();
}

static pthread_t thread_of_loop(void)
{
	pthread_t id;

	net_loop_call_wait(t.loop, note_thread, &id);
	return id;
}

static void sync_on_loop(void)
{
	net_loop_call(t.loop, NEW(struct net_call), start_sync);
}

static int setup(void **state)
{
	static const struct actor_ops ops = {NULL, NULL};

	memset(&t, 0, sizeof(t));
	sem_init(&t.entered, 0, 0);
	sem_init(&t.released, 0, 0);
	sem_init(&t.done, 0, 0);
	t.sched = sched_threads_new(1);
	t.loop = net_loop_new(t.sched, "io", &ops, NULL);
	net_loop_sync_in_place(t.loop);
	net_loop_start(t.loop);
	thread_of_loop();
	usleep(2000); /* it sleeps now: what comes is seen in a turn of its own */
	return 0;
}

static int teardown(void **state)
{
	net_loop_stop(t.loop);
	net_loop_free(t.loop);
	sched_free(t.sched);
	return 0;
}

static void a_lone_sync_is_done_by_the_loop_itself(void **state)
{
	pthread_t loop = thread_of_loop();

	sync_on_loop();
	sem_wait(&t.done);
	assert_true(pthread_equal(t.synced_by, loop));
	assert_true(pthread_equal(t.done_by, loop));
	assert_ptr_equal(t.done_on, t.loop);
	assert_int_equal(t.started, 0);
}

static void a_loop_goes_on_while_a_sync_hangs(void **state)
{
	pthread_t first = thread_of_loop(), now;

	for (int round = 0; round < 4; round++) { /* the threads change places */
		t.hangs = true;
		sync_on_loop();
		sem_wait(&t.entered);
		now = thread_of_loop();
		assert_false(pthread_equal(now, first));
		sync_on_loop(); /* nobody could take this loop over: not in place */
		while (t.started <= round)
			usleep(1000);
		sem_wait(&t.done);
		sem_post(&t.released);
		sem_wait(&t.done);
		assert_true(pthread_equal(t.done_by, first));
		assert_null(t.done_on);
		assert_true(pthread_equal(thread_of_loop(), now));
		first = now;
		usleep(2000);
	}
}

/* Longer than a millisecond each time. A few more rounds where the machine is so busy that the loop was taken over meanwhile. */
static void who_had_to_wait_three_times_waits_no_more(void **state)
{
	int rounds = 0;

	t.hangs = true;
	while (!t.started) {
		assert_true(rounds < 1000);
		sync_on_loop();
		while (sem_trywait(&t.entered) < 0 && !t.started)
			usleep(100);
		usleep(1500);
		net_loop_call(t.loop, NEW(struct net_call), count_call);
		sem_post(&t.released);
		sem_wait(&t.done);
		usleep(2000);
		rounds++;
	}
	assert_true(rounds > 3);
	usleep(300000);
	t.hangs = false;
	t.started = 0;
	sync_on_loop();
	sem_wait(&t.done);
	assert_int_equal(t.started, 0);
	assert_int_equal(t.calls, rounds);
}

static void a_loop_ends_with_a_sync_under_way(void **state)
{
	t.hangs = true;
	sync_on_loop();
	sem_wait(&t.entered);
	sem_post(&t.released);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(a_lone_sync_is_done_by_the_loop_itself),
	    T(a_loop_goes_on_while_a_sync_hangs),
	    T(who_had_to_wait_three_times_waits_no_more),
	    T(a_loop_ends_with_a_sync_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
