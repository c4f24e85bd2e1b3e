/* Actors on threads.
 *
 * A mailbox is a stack of messages: posters push with one compare-and-swap, the runner takes all with one
 * exchange and turns them round. running is the run flag.
 *
 *   I1  who pushes onto an empty box is responsible: it runs the batch, or makes sure that someone will
 *   I2  who clears running looks at the box again afterwards; so a poster that found running set may go
 *   I3  the own thread sleeps only after it saw box empty, with the signal word read before that look
 *
 * State: idle (running 0, box empty) -> posted (box not empty) -> running (flag taken, box drained) -> idle. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "actor/actor_impl.h"

struct box {
	_Atomic(struct msg *) inbox;
	_Atomic bool running;
	_Atomic bool wanted;            /* the own thread wants to run */
	_Atomic bool stopping;
	_Atomic uint32_t posting;       /* posters that still look at this box; it is freed when there are none */
	_Atomic uint32_t signal;        /* futex word of the own thread */
	_Atomic bool sleeping;
	_Atomic uint64_t armed_ns;      /* until when the own thread sleeps at most */
	pthread_t thread;
	void (*wake)(void *arg);        /* HOSTED */
	void *wake_arg;
	struct box *next_dead;
};

struct threads {
	struct sched base;
	unsigned workers;
	pthread_t *threads;
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct msg *jobs_head;
	struct msg **jobs_tail;
	struct box *dead;               /* a poster may still look at the box of an actor that was freed: I2 */
	bool stopping;
};

static __thread unsigned depth;

static uint64_t now_ns(struct sched *s)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void thread_wake(struct box *b)
{
	atomic_fetch_add(&b->signal, 1);
	if (atomic_load(&b->sleeping))
		syscall(SYS_futex, &b->signal, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void thread_sleep(struct actor *a, struct box *b, uint32_t seen)
{
	uint64_t until = atomic_load(&b->armed_ns);
	struct timespec rel, *timeout = NULL;

	if (until != UINT64_MAX) {
		uint64_t now = now_ns(a->sched);

		if (until <= now)
			return;
		rel = (struct timespec){(time_t)((until - now) / 1000000000u), (long)((until - now) % 1000000000u)};
		timeout = &rel;
	}
	atomic_store(&b->sleeping, true);
	if (atomic_load(&b->signal) == seen)
		syscall(SYS_futex, &b->signal, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0);
	atomic_store(&b->sleeping, false);
}

static struct msg *turned(struct msg *list)
{
	struct msg *out = NULL;

	while (list) {
		struct msg *next = list->next;

		list->next = out;
		out = list;
		list = next;
	}
	return out;
}

/* One batch: due timers, then what is in the box. The run flag is held. */
static void run_batch(struct actor *a, struct box *b)
{
	struct actor *mark = actor_mark(a);
	struct msg *fifo = turned(atomic_exchange(&b->inbox, NULL));
	size_t n = 0;

	if (a->timers.count)
		n = actor_timers_fire(a, now_ns(a->sched));
	while (fifo) {
		struct msg *m = fifo;

		fifo = m->next;
		n++;
		actor_receive(a, m);
	}
	if (n)
		actor_batch_end(a);
	actor_mark(mark);
}

/* Runs one batch if nobody else does. False: the flag was taken. In place, what the batch brought back is run as well,
 * once: a lone write's second look at the log costs no wake of the own thread then. */
static bool try_run(struct actor *a, struct box *b, bool own_thread)
{
	bool idle = false;
	uint64_t next;

	if (!atomic_compare_exchange_strong(&b->running, &idle, true))
		return false;
	run_batch(a, b);
	if (!own_thread && atomic_load(&b->inbox))
		run_batch(a, b);
	next = actor_timer_next(a);
	if (own_thread)
		atomic_store(&b->armed_ns, next);
	else if (next < atomic_load(&b->armed_ns))
		atomic_store(&b->wanted, true);
	atomic_store(&b->running, false);
	if (!own_thread && (atomic_load(&b->inbox) || atomic_load(&b->wanted)))         /* I2 */
		thread_wake(b);
	return true;
}

static void *thread_main(void *arg)
{
	struct actor *a = arg;
	struct box *b = a->impl;

	pthread_setname_np(pthread_self(), a->name);
	while (!atomic_load(&b->stopping)) {
		uint32_t seen = atomic_load(&b->signal);                                /* I3 */

		atomic_store(&b->wanted, true);
		if (try_run(a, b, true)) {
			atomic_store(&b->wanted, false);
			if (atomic_load(&b->inbox))
				continue;
		} else {
			atomic_store(&b->armed_ns, UINT64_MAX);
			if (!atomic_load(&b->running))
				continue;
		}
		thread_sleep(a, b, seen);
	}
	return NULL;
}

static void actor_start(struct actor *a)
{
	struct box *b = NEW(struct box);

	a->impl = b;
	atomic_init(&b->armed_ns, UINT64_MAX);
	if (a->kind != ACTOR_HOSTED)
		ASSERT(pthread_create(&b->thread, NULL, thread_main, a) == 0);
}

static void actor_stop(struct actor *a)
{
	struct threads *t = CONTAINER_OF(a->sched, struct threads, base);
	struct box *b = a->impl;

	if (a->kind != ACTOR_HOSTED) {
		atomic_store(&b->stopping, true);
		thread_wake(b);
		pthread_join(b->thread, NULL);
		while (atomic_load(&b->running))
			sched_yield();
	}
	pthread_mutex_lock(&t->lock);
	b->next_dead = t->dead;
	t->dead = b;
	pthread_mutex_unlock(&t->lock);
}

/* I1: the box was empty. */
static void post_first(struct actor *a, struct box *b, enum actor_kind kind)
{
	if (kind == ACTOR_HOSTED) {
		b->wake(b->wake_arg);
	} else if (kind == ACTOR_OWN_THREAD && depth < ACTOR_INLINE_DEPTH) {
		depth++;
		try_run(a, b, false);
		depth--;                /* ran, or the runner looks again (I2) */
	} else {
		thread_wake(b);
	}
}

static void post(struct actor *a, struct msg *first)
{
	struct box *b = a->impl;
	enum actor_kind kind = a->kind;
	struct msg *top = turned(first), *head;

	atomic_fetch_add(&b->posting, 1);
	head = atomic_load_explicit(&b->inbox, memory_order_relaxed);
	do
		first->next = head;
	while (!atomic_compare_exchange_weak(&b->inbox, &head, top));
	if (!head)
		post_first(a, b, kind);
	atomic_fetch_sub(&b->posting, 1);
}

static void timer_moved(struct actor *a)
{
	struct box *b = a->impl;

	/* On the actor: the own thread looks when its batch ends; an in-place runner compares with armed_ns. Set
	 * from outside a batch (before the first message): wake. */
	if (actor_current() != a) {
		if (a->kind == ACTOR_HOSTED)
			b->wake(b->wake_arg);
		else
			thread_wake(b);
	}
}

void actor_set_wake(struct actor *a, void (*wake)(void *arg), void *arg)
{
	struct box *b = a->impl;

	ASSERT(a->kind == ACTOR_HOSTED);
	b->wake = wake;
	b->wake_arg = arg;
}

uint64_t actor_run(struct actor *a)
{
	struct box *b = a->impl;
	uint64_t next, now;

	ASSERT(a->kind == ACTOR_HOSTED);
	run_batch(a, b);
	if (atomic_load(&b->inbox))
		return 0;
	next = actor_timer_next(a);
	now = now_ns(a->sched);
	return next == UINT64_MAX ? UINT64_MAX : next > now ? next - now : 0;
}

static void *worker_main(void *arg)
{
	struct threads *t = arg;

	pthread_setname_np(pthread_self(), "worker");
	pthread_mutex_lock(&t->lock);
	for (;;) {
		struct job *j;

		while (!t->jobs_head && !t->stopping)
			pthread_cond_wait(&t->some, &t->lock);
		if (!t->jobs_head)
			break;
		j = CONTAINER_OF(t->jobs_head, struct job, msg);
		t->jobs_head = j->msg.next;
		if (!t->jobs_head)
			t->jobs_tail = &t->jobs_head;
		pthread_mutex_unlock(&t->lock);
		j->msg.next = NULL;
		if (j->run(j)) {
			actor_post(j->reply, &j->msg);
		} else {
			sched_run(&t->base, j);
			sched_yield(); /* to a client's thread that was woken meanwhile */
		}
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static void run_job(struct sched *s, struct job *j)
{
	struct threads *t = CONTAINER_OF(s, struct threads, base);

	pthread_mutex_lock(&t->lock);
	j->msg.next = NULL;
	*t->jobs_tail = &j->msg;
	t->jobs_tail = &j->msg.next;
	pthread_cond_signal(&t->some);
	pthread_mutex_unlock(&t->lock);
}

static void threads_free(struct sched *s)
{
	struct threads *t = CONTAINER_OF(s, struct threads, base);

	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	pthread_cond_broadcast(&t->some);
	pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->workers; i++)
		pthread_join(t->threads[i], NULL);
	while (t->dead) {
		struct box *b = t->dead;

		t->dead = b->next_dead;
		while (atomic_load(&b->posting))
			sched_yield();
		mem_free(b);
	}
	mem_free(t->threads);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->some);
	mem_free(t);
}

static const struct sched_ops threads_ops = {
	.actor_start = actor_start,
	.actor_stop = actor_stop,
	.post = post,
	.timer_moved = timer_moved,
	.run = run_job,
	.now_ns = now_ns,
	.free = threads_free,
};

struct sched *sched_threads_new(unsigned workers)
{
	struct threads *t = NEW(struct threads);

	ASSERT(workers > 0);
	t->base.ops = &threads_ops;
	t->jobs_tail = &t->jobs_head;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->some, NULL);
	t->workers = workers;
	t->threads = NEW_ARRAY(pthread_t, workers);
	for (unsigned i = 0; i < workers; i++)
		ASSERT(pthread_create(&t->threads[i], NULL, worker_main, t) == 0);
	return &t->base;
}
