/* A lone write is synced by the thread that received it. Measured on a virtual machine: the way through another thread and back
 * costs 20 us of CPU, and 50 us of time when the other CPU has to be woken from its sleep.
 *
 *	driver:  uv_run: turns ──taken: uv_stop──> lend ──write, sync──> back in time: done, uv_run again
 *	                                                             └─> too late: done as any other thread, then it watches
 *	watcher: asleep ──first loan──> looks every 5 ms ──same loan twice──> takes the loop over and drives it
 *	             ^──no loan for 15 ms──┘
 *
 * After an answer that a sync allowed the driver may wait for the next request awake (net_rest_linger).
 *
 *   S1  a loop is away for at most two looks of the watcher, however long the disk takes
 *   S2  between turns nothing of libuv or of us is on the stack: whoever has the loop may go on with it
 *   S3  lent goes from a number to 0 exactly once: by the driver that is back, or by the watcher
 *   S4  who begins a loan looks at watched after setting lent, who stops watching looks at lent after clearing watched */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "env/env.h"
#include "net/net_impl.h"

enum {
	LOOK_NS = 5 * 1000 * 1000,
	LOOKS_IDLE_MAX = 2, /* then asleep: one that looked on woke 200 times a second for a write now and then */
	CROWDED_SYNCS = 8,
	BAD_MAX = 3,
	SLOW_FACTOR = 4,
	SLOW_NS_MIN = 200 * 1000,
	STALL_NS = 1000 * 1000,
	TAKE_BYTES_MAX = 64 << 10,
	LINGER_NS = 100 * 1000,
};

static bool take(struct vfs_host *h, struct vfs_io *io)
{
	struct net_loop *l = CONTAINER_OF(h, struct net_loop, rest.host);
	struct net_rest *r = &l->rest;

	if (!r->turning || r->taken || io->data.size > TAKE_BYTES_MAX || atomic_load(&r->away) ||
	    env_mono_ns() < r->crowded_until_ns)
		return false;
	if (r->answered_ns) {
		r->gap_ns = env_mono_ns() - r->answered_ns;
		r->answered_ns = 0;
	}
	r->taken = io;
	uv_stop(&l->uv); /* at the end of this turn, without sleeping */
	return true;
}

void net_rest_init(struct net_loop *l)
{
	struct net_rest *r = &l->rest;
	pthread_condattr_t attr;

	r->host.take = take;
	r->gap_ns = UINT64_MAX;
	r->fast_ns = UINT64_MAX / 2;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void net_rest_fini(struct net_loop *l)
{
	pthread_mutex_destroy(&l->rest.lock);
	pthread_cond_destroy(&l->rest.changed);
}

void net_loop_sync_in_place(struct net_loop *l)
{
	ASSERT(!l->running);
	l->rest.wanted = true;
}

/* --- the driver --- */

static void ask_to_watch(struct net_rest *r)
{
	pthread_mutex_lock(&r->lock);
	r->watch = true;
	atomic_store(&r->watched, true);
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* Slower by far than the fastest of late: the disk is busy, or the CPUs are, and then a thread that does all of a put's work
 * gets its next turn later than two that share it. */
static bool is_slow(struct net_rest *r, uint64_t sync_ns)
{
	bool slow = sync_ns > SLOW_NS_MIN && sync_ns / SLOW_FACTOR > r->fast_ns;

	r->fast_ns = MIN(r->fast_ns + r->fast_ns / 1024, sync_ns);
	return slow;
}

/* Was that a bad idea: has it taken long, or so long that it was a stall for somebody who was waiting for the loop? Once is
 * chance, three times in a row is a crowd, and the next few syncs are another thread's. Below STALL_NS a wait is cheaper than
 * two threads that wake each other, and all that came meanwhile goes into the next sync together. */
static void look_for_crowd(struct net_loop *l, uint64_t sync_ns)
{
	struct pollfd p = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
	struct net_rest *r = &l->rest;
	bool bad = is_slow(r, sync_ns);

	bad |= sync_ns > STALL_NS && poll(&p, 1, 0) > 0;
	r->bad = bad ? r->bad + 1 : 0;
	if (r->bad < BAD_MAX)
		return;
	r->bad = 0;
	r->crowded_until_ns = env_mono_ns() + CROWDED_SYNCS * sync_ns;
}

/* False: the loop is another thread's now. */
static bool sync_in_place(struct net_loop *l)
{
	struct net_rest *r = &l->rest;
	struct vfs_io *io = r->taken;
	uint32_t number = atomic_load(&r->number) + 1;

	if (number == 0)
		number = 1;
	atomic_store(&r->number, number);
	r->taken = NULL;
	atomic_store(&r->lent, number);
	if (!atomic_load(&r->watched)) /* S4 */
		ask_to_watch(r);
	vfs_run(io);
	if (!atomic_compare_exchange_strong(&r->lent, &number, 0)) {
		net_loop_leave(l);
		vfs_host_set(NULL);
		io->done(io);
		atomic_store(&r->away, false);
		return false;
	}
	look_for_crowd(l, io->sync_ns);
	io->done(io);
	l->turn_due = true;
	r->answering = true;
	return true;
}

/* A lone client that wrote again within LINGER_NS of the last answer is waited for awake: being woken costs the one who writes
 * and the one who wakes 10 us each, more where a sleeping CPU has to be told. One that is slower is not waited for. */
void net_rest_linger(struct net_loop *l)
{
	struct net_rest *r = &l->rest;
	struct pollfd p = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
	uint64_t now_ns = env_mono_ns();

	if (!r->answering)
		return;
	r->answering = false;
	r->answered_ns = now_ns;
	if (r->gap_ns > LINGER_NS || r->bad)
		return;
	while (poll(&p, 1, 0) == 0 && now_ns < r->answered_ns + LINGER_NS)
		now_ns = env_mono_ns();
}

/* Until the loop has ended; false: another thread has it. */
static bool drive(struct net_loop *l)
{
	struct net_rest *r = &l->rest;
	bool more = true;

	net_loop_enter(l);
	if (r->wanted)
		vfs_host_set(&r->host);
	while (more) {
		r->turning = true;
		more = uv_run(&l->uv, UV_RUN_DEFAULT);
		r->turning = false;
		if (r->taken && !sync_in_place(l))
			return false;
	}
	vfs_host_set(NULL);
	net_loop_leave(l);
	pthread_mutex_lock(&r->lock);
	r->over = true;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return true;
}

/* --- the watcher --- */

/* Under the lock. */
static void look_wait(struct net_rest *r)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&r->changed, &r->lock, &until);
}

/* Under the lock. True: the loop is ours. False: the loop has ended, or there was no loan for some looks. */
static bool watch(struct net_rest *r)
{
	uint32_t seen = 0, number = 0;
	int idle = 0;

	while (!r->over) {
		uint32_t lent, number_was = number;

		look_wait(r);
		number = atomic_load(&r->number);
		lent = atomic_load(&r->lent);
		if (lent && lent == seen) {
			atomic_store(&r->away, true);
			if (atomic_compare_exchange_strong(&r->lent, &lent, 0)) { /* S3 */
				r->watch = true; /* for the one that will come back */
				return true;
			}
			atomic_store(&r->away, false);
		}
		idle = number != number_was ? 0 : idle + 1;
		seen = lent;
		if (idle <= LOOKS_IDLE_MAX)
			continue;
		atomic_store(&r->watched, false);
		if (!atomic_load(&r->lent)) /* S4 */
			return false;
		atomic_store(&r->watched, true);
	}
	return false;
}

/* True: the loop is ours to drive. False: it has ended. */
static bool stand_by(struct net_loop *l)
{
	struct net_rest *r = &l->rest;
	bool ours = false;

	pthread_mutex_lock(&r->lock);
	while (!ours && !r->over) {
		if (!r->watch) {
			pthread_cond_wait(&r->changed, &r->lock);
			continue;
		}
		r->watch = false;
		ours = watch(r);
	}
	pthread_mutex_unlock(&r->lock);
	return ours;
}

static void *take_turns(struct net_loop *l, bool ours)
{
	pthread_setname_np(pthread_self(), l->name);
	do
		if (ours && drive(l))
			break;
	while ((ours = stand_by(l)));
	return NULL;
}

void *net_rest_first(void *loop)
{
	return take_turns(loop, true);
}

void *net_rest_second(void *loop)
{
	return take_turns(loop, false);
}
