/* Timers of a loop: a binary heap of pointers, the earliest on top. Setting a later time than all others, which is
 * what deadlines usually are, costs one step. */
#include "net/net_impl.h"

static void put(struct net_loop *l, size_t i, struct net_timer *t)
{
	l->timers.at[i] = t;
	t->slot = i + 1;
}

static void move_up(struct net_loop *l, size_t i)
{
	struct net_timer *t = l->timers.at[i];

	while (i > 0 && l->timers.at[(i - 1) / 2]->at_ms > t->at_ms) {
		put(l, i, l->timers.at[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(l, i, t);
}

static void move_down(struct net_loop *l, size_t i)
{
	struct net_timer *t = l->timers.at[i];
	size_t count = l->timers.count;

	for (size_t child; (child = 2 * i + 1) < count; i = child) {
		if (child + 1 < count && l->timers.at[child + 1]->at_ms < l->timers.at[child]->at_ms)
			child++;
		if (l->timers.at[child]->at_ms >= t->at_ms)
			break;
		put(l, i, l->timers.at[child]);
	}
	put(l, i, t);
}

void net_timer_init(struct net_timer *t, void (*fire)(struct net_timer *t))
{
	*t = (struct net_timer){.fire = fire};
}

void net_timer_set(struct net_loop *l, struct net_timer *t, uint64_t at_ms)
{
	l->turn_due = true; /* L1: it may be set from a timer of somebody else's */
	t->at_ms = at_ms;
	if (!t->slot) {
		VEC_PUSH(&l->timers, t);
		t->slot = l->timers.count;
	}
	ASSERT(l->timers.at[t->slot - 1] == t);
	move_up(l, t->slot - 1);
	move_down(l, t->slot - 1);
}

void net_timer_cancel(struct net_loop *l, struct net_timer *t)
{
	size_t i = t->slot - 1;
	struct net_timer *last;

	if (!t->slot)
		return;
	ASSERT(l->timers.at[i] == t);
	t->slot = 0;
	last = l->timers.at[--l->timers.count];
	if (last == t)
		return;
	put(l, i, last);
	move_up(l, i);
	move_down(l, last->slot - 1);
}

uint64_t net_timers_next(const struct net_loop *l)
{
	return l->timers.count ? l->timers.at[0]->at_ms : UINT64_MAX;
}

void net_timers_run(struct net_loop *l, uint64_t now_ms)
{
	/* One set again for "now" by its own handler waits for the next turn. */
	for (size_t budget = l->timers.count; budget && net_timers_next(l) <= now_ms; budget--) {
		struct net_timer *t = l->timers.at[0];

		net_timer_cancel(l, t);
		t->fire(t);
	}
}
