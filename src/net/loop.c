/* One io loop: a thread, a uv_loop, a hosted actor.
 *
 *	poll: sockets, event, accepts ──> turn end: actor batch <──> tasks (bounded rounds) ──> arm the timer ──> poll
 *	timers ──> turn end (in prepare, before the poll sleeps) ──> ...
 *
 *   L1  whoever makes work outside the poll phase sets turn_due, so that prepare ends a turn before sleeping
 *   L2  a wake from this thread only sets woken: the turn end looks at it; a wake from another goes through the eventfd
 *   L3  the mark of the current actor is set while a thread has the loop */

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/net_impl.h"

#define ROUNDS_MAX 4 /* actor batches and task rounds in one turn; more continue after a look at the sockets */

enum { MSG_CALL = NET_MSG_KIND_FIRST };

static __thread struct net_loop *loop_of_thread;

struct net_loop *net_loop_current(void)
{
	return loop_of_thread;
}

struct actor *net_loop_actor(struct net_loop *l)
{
	return l->actor;
}

uv_loop_t *net_loop_uv(struct net_loop *l)
{
	return &l->uv;
}

uint64_t net_loop_now_ms(struct net_loop *l)
{
	return uv_now(&l->uv);
}

static void event_send(struct net_loop *l)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(l->event_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	ASSERT(n == sizeof(one));
}

static void on_event(uv_poll_t *h, int status, int events)
{
	struct net_loop *l = h->data;
	uint64_t count;
	ssize_t n = read(l->event_fd, &count, sizeof(count));

	ASSERT(n == sizeof(count) || errno == EAGAIN || errno == EINTR);
}

static void wake(void *arg)
{
	struct net_loop *l = arg;

	if (loop_of_thread == l)
		l->woken = true; /* L2 */
	else
		event_send(l);
}

static void receive(void *self, struct msg *m)
{
	struct net_loop *l = self;

	if (m->kind >= NET_MSG_KIND_FIRST) {
		struct net_call *c = CONTAINER_OF(m, struct net_call, msg);

		ASSERT(m->kind == MSG_CALL);
		c->run(c);
	} else {
		l->host_ops->receive(l->host_self, m);
	}
}

static void batch_end(void *self)
{
	struct net_loop *l = self;

	if (l->host_ops && l->host_ops->batch_end)
		l->host_ops->batch_end(l->host_self);
}

static const struct actor_ops loop_ops = {receive, batch_end};

static void run_tasks(struct net_loop *l)
{
	struct list now;

	if (list_empty(&l->tasks))
		return;
	now = l->tasks; /* tasks added meanwhile belong to the next round */
	now.next->prev = now.prev->next = &now;
	list_init(&l->tasks);
	while (!list_empty(&now)) {
		struct net_task *t = CONTAINER_OF(now.next, struct net_task, node);

		list_remove(&t->node);
		t->run(t);
	}
}

static void timer_fired(uv_timer_t *h)
{
	struct net_loop *l = h->data;

	l->armed_ms = UINT64_MAX;
	l->turn_due = true; /* L1 */
	net_timers_run(l, uv_now(&l->uv));
}

static void arm_timer(struct net_loop *l, uint64_t actor_delay_ns)
{
	uint64_t now_ms = uv_now(&l->uv);
	uint64_t at_ms = net_timers_next(l);

	if (actor_delay_ns != UINT64_MAX)
		at_ms = MIN(at_ms, now_ms + (actor_delay_ns + 999999) / 1000000);
	if (at_ms >= l->armed_ms)
		return; /* fires earlier than needed at worst, and is armed again then */
	l->armed_ms = at_ms;
	uv_timer_start(&l->timer, timer_fired, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void turn_end(struct net_loop *l)
{
	uint64_t delay_ns = 0;
	int round = 0;

	l->turn_due = false;
	do {
		l->woken = false;
		delay_ns = actor_run(l->actor);
		run_tasks(l);
	} while (++round < ROUNDS_MAX && (delay_ns == 0 || l->woken || !list_empty(&l->tasks)));
	if (delay_ns == 0 || l->woken || !list_empty(&l->tasks))
		event_send(l);
	l->turn_due = false;
	arm_timer(l, delay_ns);
}

static void on_prepare(uv_prepare_t *h)
{
	struct net_loop *l = h->data;

	if (l->turn_due)
		turn_end(l);
	net_rest_linger(l);
}

static void on_check(uv_check_t *h)
{
	turn_end(h->data);
}

struct net_loop *net_loop_new(struct sched *s, const char *name, const struct actor_ops *ops, void *self)
{
	struct net_loop *l = NEW(struct net_loop);

	l->name = name;
	l->host_ops = ops;
	l->host_self = self;
	l->armed_ms = UINT64_MAX;
	l->turn_due = true;
	l->read_buf = mem_alloc(NET_READ_SIZE);
	list_init(&l->tasks);
	list_init(&l->streams);
	ASSERT(uv_loop_init(&l->uv) == 0);
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT(l->event_fd >= 0);
	ASSERT(uv_poll_init(&l->uv, &l->event, l->event_fd) == 0);
	ASSERT(uv_poll_start(&l->event, UV_READABLE, on_event) == 0);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_check_init(&l->uv, &l->check);
	uv_timer_init(&l->uv, &l->timer);
	l->event.data = l->prepare.data = l->check.data = l->timer.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	uv_check_start(&l->check, on_check);
	net_rest_init(l);
	l->actor = actor_new(s, name, &loop_ops, l, ACTOR_HOSTED);
	actor_set_wake(l->actor, wake, l);
	return l;
}

void net_loop_enter(struct net_loop *l)
{
	actor_mark(l->actor); /* L3 */
	loop_of_thread = l;
}

void net_loop_leave(struct net_loop *l)
{
	actor_mark(NULL);
	loop_of_thread = NULL;
}

void net_loop_start(struct net_loop *l)
{
	ASSERT(!l->running);
	atomic_store(&l->running, true);
	ASSERT(pthread_create(&l->thread, NULL, net_rest_first, l) == 0);
	if (l->rest.wanted)
		ASSERT(pthread_create(&l->rest.second, NULL, net_rest_second, l) == 0);
}

static void close_handle(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void stop(struct net_call *c)
{
	struct net_loop *l = net_loop_current();

	mem_free(c);
	net_streams_close_all(l);
	uv_walk(&l->uv, close_handle, NULL);
}

void net_loop_stop(struct net_loop *l)
{
	if (!atomic_load(&l->running))
		return;
	net_loop_call(l, NEW(struct net_call), stop);
	ASSERT(pthread_join(l->thread, NULL) == 0);
	if (l->rest.wanted)
		pthread_join(l->rest.second, NULL);
	atomic_store(&l->running, false);
}

void net_loop_free(struct net_loop *l)
{
	if (!l)
		return;
	ASSERT(!l->running);
	net_streams_close_all(l);
	uv_walk(&l->uv, close_handle, NULL);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	ASSERT(uv_loop_close(&l->uv) == 0);
	close(l->event_fd);
	actor_free(l->actor);
	net_rest_fini(l);
	VEC_FREE(&l->timers);
	mem_free(l->read_buf);
	mem_free(l);
}

void net_loop_call(struct net_loop *l, struct net_call *c, void (*run)(struct net_call *c))
{
	c->msg.kind = MSG_CALL;
	c->run = run;
	actor_post(l->actor, &c->msg);
}

struct waited_call {
	struct net_call call;
	void (*run)(void *arg);
	void *arg;
	uv_sem_t done;
};

static void run_waited(struct net_call *c)
{
	struct waited_call *w = CONTAINER_OF(c, struct waited_call, call);

	w->run(w->arg);
	uv_sem_post(&w->done);
}

void net_loop_call_wait(struct net_loop *l, void (*run)(void *arg), void *arg)
{
	struct waited_call w = {.run = run, .arg = arg};

	ASSERT(!loop_of_thread);
	if (!atomic_load(&l->running)) {
		run(arg);
		return;
	}
	uv_sem_init(&w.done, 0);
	net_loop_call(l, &w.call, run_waited);
	uv_sem_wait(&w.done);
	uv_sem_destroy(&w.done);
}

void net_task_init(struct net_task *t, void (*run)(struct net_task *t))
{
	list_init(&t->node);
	t->run = run;
}

void net_task_add(struct net_loop *l, struct net_task *t)
{
	l->turn_due = true; /* L1: it may come from a timer of somebody else's */
	if (list_empty(&t->node))
		list_push_back(&l->tasks, &t->node);
}

void net_task_cancel(struct net_task *t)
{
	list_remove(&t->node);
}

struct work {
	uv_work_t req;
	struct net_loop *loop;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void work_run(uv_work_t *r)
{
	struct work *w = CONTAINER_OF(r, struct work, req);

	w->run(w->arg);
}

static void work_done(uv_work_t *r, int status)
{
	struct work *w = CONTAINER_OF(r, struct work, req);
	struct work copy = *w;

	copy.loop->turn_due = true;
	mem_free(w);
	copy.done(copy.arg);
}

void net_work(struct net_loop *l, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work *w = NEW(struct work);

	*w = (struct work){.loop = l, .run = run, .done = done, .arg = arg};
	ASSERT(uv_queue_work(&l->uv, &w->req, work_run, work_done) == 0);
}
