#include "actor/actor_impl.h"

static __thread struct actor *current;

struct actor *actor_current(void)
{
	return current;
}

struct actor *actor_mark(struct actor *a)
{
	struct actor *old = current;

	current = a;
	return old;
}

struct actor *actor_new(struct sched *s, const char *name, const struct actor_ops *ops, void *self, enum actor_kind kind)
{
	struct actor *a = NEW(struct actor);

	a->sched = s;
	a->name = name;
	a->ops = ops;
	a->self = self;
	a->kind = kind;
	s->ops->actor_start(a);
	return a;
}

void actor_free(struct actor *a)
{
	if (!a)
		return;
	ASSERT(current != a);
	a->sched->ops->actor_stop(a);
	VEC_FREE(&a->timers);
	mem_free(a);
}

void actor_post(struct actor *a, struct msg *m)
{
	m->next = NULL;
	a->sched->ops->post(a, m);
}

void actor_post_all(struct actor *a, struct msg *first)
{
	if (first)
		a->sched->ops->post(a, first);
}

struct sched *actor_sched(struct actor *a)
{
	return a->sched;
}

void actor_receive(struct actor *a, struct msg *m)
{
	m->next = NULL;
	a->ops->receive(a->self, m);
}

void actor_batch_end(struct actor *a)
{
	if (a->ops->batch_end)
		a->ops->batch_end(a->self);
}

uint64_t sched_now_ns(struct sched *s)
{
	return s->ops->now_ns(s);
}

void sched_run(struct sched *s, struct job *j)
{
	s->ops->run(s, j);
}

void sched_free(struct sched *s)
{
	if (s)
		s->ops->free(s);
}

/* Timers: a binary heap, ties broken by position in time of setting is not promised; equal times fire in heap
 * order, which depends on inputs only. */

static void heap_put(struct actor *a, size_t i, struct timer *t)
{
	a->timers.at[i] = t;
	t->slot = i + 1;
}

static void heap_up(struct actor *a, size_t i)
{
	struct timer *t = a->timers.at[i];

	while (i > 0 && a->timers.at[(i - 1) / 2]->at_ns > t->at_ns) {
		heap_put(a, i, a->timers.at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(a, i, t);
}

static void heap_down(struct actor *a, size_t i)
{
	struct timer *t = a->timers.at[i];
	size_t n = a->timers.count;

	for (;;) {
		size_t c = 2 * i + 1;

		if (c + 1 < n && a->timers.at[c + 1]->at_ns < a->timers.at[c]->at_ns)
			c++;
		if (c >= n || a->timers.at[c]->at_ns >= t->at_ns)
			break;
		heap_put(a, i, a->timers.at[c]);
		i = c;
	}
	heap_put(a, i, t);
}

void timer_init(struct timer *t, struct actor *owner, uint32_t kind)
{
	*t = (struct timer){.msg.kind = kind, .owner = owner};
}

void timer_cancel(struct timer *t)
{
	struct actor *a = t->owner;
	size_t i = t->slot - 1;
	struct timer *last;

	if (!t->slot)
		return;
	ASSERT(a->timers.at[i] == t);
	last = a->timers.at[--a->timers.count];
	t->slot = 0;
	if (last != t) {
		heap_put(a, i, last);
		heap_up(a, i);
		heap_down(a, last->slot - 1);
	}
}

void timer_set(struct timer *t, uint64_t delay_ns)
{
	struct actor *a = t->owner;
	uint64_t was = actor_timer_next(a);

	timer_cancel(t);
	t->at_ns = sched_now_ns(a->sched) + delay_ns;
	VEC_PUSH(&a->timers, t);
	heap_up(a, a->timers.count - 1);
	if (t->at_ns < was)
		a->sched->ops->timer_moved(a);
}

uint64_t actor_timer_next(struct actor *a)
{
	return a->timers.count ? a->timers.at[0]->at_ns : UINT64_MAX;
}

size_t actor_timers_fire(struct actor *a, uint64_t now_ns)
{
	size_t fired = 0;
	size_t limit = a->timers.count;         /* a timer that sets itself to "now" waits for the next round */

	while (fired < limit && a->timers.count && a->timers.at[0]->at_ns <= now_ns) {
		struct timer *t = a->timers.at[0];

		timer_cancel(t);
		fired++;
		actor_receive(a, &t->msg);
	}
	return fired;
}
