#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../../lib/test.h"

#include "actor/actor.h"
#include "base/list.h"

/* A counter actor: sums numbers, checks that it never runs twice at once and that each poster's order holds. */
enum { KIND_ADD = 1, KIND_TICK, KIND_PING, KIND_DONE };

struct add {
	struct msg msg;
	unsigned poster;
	uint64_t number;
};

struct counter {
	struct actor *actor;
	_Atomic int inside;
	uint64_t last[8];
	_Atomic uint64_t count;
	_Atomic uint64_t batches;
	_Atomic uint64_t ticks;
	struct timer tick;
	struct actor *other;
};

static void counter_receive(void *self, struct msg *m)
{
	struct counter *c = self;

	ASSERT_ON(c->actor);
	ASSERT(atomic_fetch_add(&c->inside, 1) == 0);
	if (m->kind == KIND_ADD) {
		struct add *a = CONTAINER_OF(m, struct add, msg);

		ASSERT(a->number == c->last[a->poster] + 1);
		c->last[a->poster] = a->number;
		c->count++;
		mem_free(a);
	} else if (m->kind == KIND_TICK) {
		if (++c->ticks < 5)
			timer_set(&c->tick, 1000000);
	} else if (m->kind == KIND_PING) {
		c->count++;
		if (c->other && c->count < 1000)
			actor_post(c->other, m);
		else
			mem_free(m);
	} else if (m->kind == KIND_DONE) {
		c->count++;
	}
	atomic_fetch_sub(&c->inside, 1);
}

static void counter_batch_end(void *self)
{
	((struct counter *)self)->batches++;
}

static const struct actor_ops counter_ops = {counter_receive, counter_batch_end};

struct poster {
	pthread_t thread;
	struct counter *to;
	unsigned id;
	uint64_t n;
	unsigned list;          /* posts that many at once; 0: one by one */
};

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	for (uint64_t i = 1; i <= p->n;) {
		struct msg *list = NULL, **tail = &list;

		for (unsigned n = 0; n < MAX(p->list, 1) && i <= p->n; n++, i++) {
			struct add *a = NEW(struct add);

			*a = (struct add){.msg.kind = KIND_ADD, .poster = p->id, .number = i};
			*tail = &a->msg;
			tail = &a->msg.next;
		}
		if (p->list)
			actor_post_all(p->to->actor, list);
		else
			actor_post(p->to->actor, list);
	}
	return NULL;
}

static void wait_for(_Atomic uint64_t *what, uint64_t want)
{
	for (int i = 0; i < 20000 && *what < want; i++)
		usleep(500);
	assert_true(*what == want);
}

static void flood(enum actor_kind kind)
{
	struct sched *s = sched_threads_new(1);
	struct counter c = {0};
	struct poster posters[4];

	c.actor = actor_new(s, "counter", &counter_ops, &c, kind);
	for (unsigned i = 0; i < 4; i++) {
		posters[i] = (struct poster){.to = &c, .id = i, .n = 50000, .list = i * 3};
		pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(posters[i].thread, NULL);
	wait_for(&c.count, 200000);
	actor_free(c.actor);
	sched_free(s);
}

static void test_flood_in_place(void **state)
{
	flood(ACTOR_OWN_THREAD);
}

static void test_flood_thread_only(void **state)
{
	flood(ACTOR_THREAD_ONLY);
}

/* Two actors that post to each other must neither deadlock nor nest without bound. */
static void test_ping_pong(void **state)
{
	struct sched *s = sched_threads_new(1);
	struct counter a = {0}, b = {0};
	struct msg *m = NEW(struct msg);

	a.actor = actor_new(s, "a", &counter_ops, &a, ACTOR_OWN_THREAD);
	b.actor = actor_new(s, "b", &counter_ops, &b, ACTOR_OWN_THREAD);
	a.other = b.actor;
	b.other = a.actor;
	m->kind = KIND_PING;
	actor_post(a.actor, m);
	wait_for(&a.count, 1000);
	actor_free(a.actor);
	actor_free(b.actor);
	sched_free(s);
}

static void test_timers_on_threads(void **state)
{
	struct sched *s = sched_threads_new(1);
	struct counter c = {0};
	struct msg start = {.kind = KIND_TICK};

	c.actor = actor_new(s, "timers", &counter_ops, &c, ACTOR_OWN_THREAD);
	timer_init(&c.tick, c.actor, KIND_TICK);
	actor_post(c.actor, &start);            /* in place: the own thread sleeps without a timer and must learn of it */
	wait_for(&c.ticks, 5);
	actor_free(c.actor);
	sched_free(s);
}

struct slices {
	struct job job;
	int left;
};

static bool slices_run(struct job *j)
{
	return --CONTAINER_OF(j, struct slices, job)->left == 0;
}

static void test_jobs_come_back(void **state)
{
	struct sched *s = sched_threads_new(2);
	struct counter c = {0};
	struct slices jobs[10];

	c.actor = actor_new(s, "jobs", &counter_ops, &c, ACTOR_OWN_THREAD);
	for (int i = 0; i < 10; i++) {
		jobs[i] = (struct slices){.job = {.msg.kind = KIND_DONE, .run = slices_run, .reply = c.actor}, .left = i + 1};
		sched_run(s, &jobs[i].job);
	}
	wait_for(&c.count, 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(jobs[i].left, 0);
	actor_free(c.actor);
	sched_free(s);
}

static uint64_t sim_once(uint64_t seed, uint64_t *count)
{
	struct sched *s = sched_sim_new(seed);
	struct counter a = {0}, b = {0};
	struct msg *m = NEW(struct msg);
	struct slices job = {.job = {.msg.kind = KIND_DONE, .run = slices_run}, .left = 3};
	struct msg later = {.kind = KIND_DONE};
	uint64_t trace;

	a.actor = actor_new(s, "a", &counter_ops, &a, ACTOR_OWN_THREAD);
	b.actor = actor_new(s, "b", &counter_ops, &b, ACTOR_OWN_THREAD);
	a.other = b.actor;
	b.other = a.actor;
	m->kind = KIND_PING;
	timer_init(&a.tick, a.actor, KIND_TICK);
	timer_set(&a.tick, 5);
	job.job.reply = b.actor;
	sched_run(s, &job.job);
	sched_sim_post_at(s, b.actor, &later, sched_now_ns(s) + 77);
	actor_post(a.actor, m);
	for (unsigned p = 0; p < 4; p++)
		for (uint64_t i = 1; i <= 20; i++) {
			struct add *x = NEW(struct add), *y = NEW(struct add);

			*x = (struct add){.msg = {.kind = KIND_ADD, .next = &y->msg}, .poster = p, .number = 2 * i - 1};
			*y = (struct add){.msg.kind = KIND_ADD, .poster = p, .number = 2 * i};
			actor_post_all(a.actor, &x->msg);
		}
	while (sched_sim_step(s, sched_now_ns(s) + 1000000000u))
		;
	assert_int_equal(a.ticks, 5);
	assert_int_equal(job.left, 0);
	*count = a.count * 100000 + b.count;
	trace = sched_sim_trace(s);
	actor_free(a.actor);
	actor_free(b.actor);
	sched_free(s);
	return trace;
}

static void test_sim_is_a_function_of_its_seed(void **state)
{
	uint64_t c1, c2, c3;
	uint64_t t1 = sim_once(1, &c1);
	uint64_t t2 = sim_once(1, &c2);
	uint64_t t3 = sim_once(2, &c3);

	assert_true(t1 == t2 && c1 == c2);
	assert_true(t1 != t3);
}

static void test_sim_pause_and_drop(void **state)
{
	struct sched *s = sched_sim_new(3);
	struct counter a = {0};
	struct msg m1 = {.kind = KIND_DONE}, m2 = {.kind = KIND_DONE};

	sched_sim_set_group(s, 7);
	a.actor = actor_new(s, "a", &counter_ops, &a, ACTOR_OWN_THREAD);
	actor_post(a.actor, &m1);
	sched_sim_pause(s, 7, true);
	assert_false(sched_sim_step(s, sched_now_ns(s) + 100));
	assert_int_equal(a.count, 0);
	sched_sim_pause(s, 7, false);
	assert_true(sched_sim_step(s, sched_now_ns(s) + 100));
	assert_int_equal(a.count, 1);
	assert_int_equal(sched_sim_group(s), 7);
	actor_post(a.actor, &m2);
	sched_sim_drop(s, 7);
	assert_false(sched_sim_step(s, sched_now_ns(s) + 100));
	assert_int_equal(a.count, 1);
	actor_free(a.actor);
	sched_free(s);
}

static void test_timer_heap(void **state)
{
	struct sched *s = sched_sim_new(4);
	struct counter c = {0};
	struct timer t[50];

	c.actor = actor_new(s, "heap", &counter_ops, &c, ACTOR_OWN_THREAD);
	for (int i = 0; i < 50; i++) {
		timer_init(&t[i], c.actor, KIND_DONE);
		timer_set(&t[i], (uint64_t)((i * 37) % 50) * 10 + 5);
	}
	for (int i = 0; i < 50; i += 2)
		timer_cancel(&t[i]);
	timer_set(&t[1], 1);            /* moved to the front */
	while (sched_sim_step(s, 1000000000u + 1))
		;
	assert_int_equal(c.count, 1);
	while (sched_sim_step(s, 1000000000u + 1000))
		;
	assert_int_equal(c.count, 25);
	actor_free(c.actor);
	sched_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flood_in_place),
		cmocka_unit_test(test_flood_thread_only),
		cmocka_unit_test(test_ping_pong),
		cmocka_unit_test(test_timers_on_threads),
		cmocka_unit_test(test_jobs_come_back),
		cmocka_unit_test(test_sim_is_a_function_of_its_seed),
		cmocka_unit_test(test_sim_pause_and_drop),
		cmocka_unit_test(test_timer_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
