/* Private to src/actor: what actors on threads and actors in the simulator share. */
#ifndef ACTOR_ACTOR_IMPL_H
#define ACTOR_ACTOR_IMPL_H

#include <stdatomic.h>

#include "actor/actor.h"
#include "base/list.h"

struct sched_ops {
	void (*actor_start)(struct actor *a);
	void (*actor_stop)(struct actor *a);
	void (*post)(struct actor *a, struct msg *first);       /* a list, in order; not empty */
	/* The actor's earliest timer moved forward; on the actor. */
	void (*timer_moved)(struct actor *a);
	void (*run)(struct sched *s, struct job *j);
	uint64_t (*now_ns)(struct sched *s);
	void (*free)(struct sched *s);
};

struct sched {
	const struct sched_ops *ops;
};

struct actor {
	struct sched *sched;
	const char *name;
	const struct actor_ops *ops;
	void *self;
	enum actor_kind kind;
	VEC(struct timer *) timers;     /* binary heap by at_ns; on the actor only */
	void *impl;
};

/* Earliest timer, UINT64_MAX if none. On the actor. */
uint64_t actor_timer_next(struct actor *a);
/* Delivers the timers due at now_ns; returns how many. */
size_t actor_timers_fire(struct actor *a, uint64_t now_ns);
void actor_receive(struct actor *a, struct msg *m);
void actor_batch_end(struct actor *a);

#endif
