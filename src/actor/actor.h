/* Actors: a mailbox and a run flag, on threads or in an order drawn from a seed.
 *
 *	struct sched *s = sched_threads_new(2);                (or sched_sim_new(seed))
 *	struct actor *core = actor_new(s, "core", &core_ops, self, ACTOR_OWN_THREAD);
 *	actor_post(core, &m->msg);                             core_ops.receive(self, msg) runs there, in order
 *	actor_free(core); sched_free(s);
 *
 * An actor runs one batch at a time, never twice at once. Who posts to an idle actor may run it in place (two
 * batches at most, no deeper than ACTOR_INLINE_DEPTH posts); under load its own thread takes over. A post wakes a thread
 * only if the box was empty. "On the actor" is a current-actor mark (actor_current), never a thread id.
 * Messages are intrusive and belong to the receiver once posted. Order: messages of one poster to one actor
 * stay in order. A mailbox has no bound of its own: whoever makes new work is bounded at its source (replies
 * and completions must never wait). */
#ifndef ACTOR_ACTOR_H
#define ACTOR_ACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

#define ACTOR_INLINE_DEPTH 4

struct actor;
struct sched;

/* First field of every message. kind is the receiver's business. */
struct msg {
	struct msg *next;
	uint32_t kind;
};

struct actor_ops {
	void (*receive)(void *self, struct msg *m);
	/* After the messages of a batch: post what was gathered, publish. May be NULL. */
	void (*batch_end)(void *self);
};

enum actor_kind {
	ACTOR_OWN_THREAD,       /* idle: run in place by who posts; else by its own thread */
	ACTOR_THREAD_ONLY,      /* blocks (files): only ever on its own thread */
	ACTOR_HOSTED,           /* a foreign loop calls actor_run; wake tells it to */
};

struct actor *actor_new(struct sched *s, const char *name, const struct actor_ops *ops, void *self, enum actor_kind kind);
/* For ACTOR_HOSTED, before the first post: wake(arg) is called from any thread when the box became non-empty
 * or an earlier timer was set. */
void actor_set_wake(struct actor *a, void (*wake)(void *arg), void *arg);
/* Waits for a running batch; messages still in the box are dropped unread (their owners free them first). */
void actor_free(struct actor *a);
void actor_post(struct actor *a, struct msg *m);        /* any thread */
/* Several at once, as if posted one by one from first on (linked by next): one look at the box, one wake. NULL: nothing. */
void actor_post_all(struct actor *a, struct msg *first);
/* ACTOR_HOSTED, on its loop: runs due timers and one batch. Returns ns until it wants to run again: 0 = at
 * once, UINT64_MAX = when woken. */
uint64_t actor_run(struct actor *a);
struct actor *actor_current(void);                      /* NULL outside a batch */
struct sched *actor_sched(struct actor *a);
/* For the host of an ACTOR_HOSTED: what runs on its thread from here counts as running on the actor. Returns the former
 * mark, to be put back. */
struct actor *actor_mark(struct actor *a);
#define ASSERT_ON(a) ASSERT(actor_current() == (a))

/* Timers: on the owning actor only. Fires as a plain message to it. */
struct timer {
	struct msg msg;
	struct actor *owner;
	uint64_t at_ns;         /* sched_now_ns clock */
	size_t slot;            /* heap position + 1; 0 = not set */
	bool queued;
};

void timer_init(struct timer *t, struct actor *owner, uint32_t kind);
void timer_set(struct timer *t, uint64_t delay_ns);     /* again: moves it */
void timer_cancel(struct timer *t);                     /* no message after this returns */

/* Jobs: bounded slices of blocking or heavy work on the worker threads. run returns true when finished; then
 * the job is posted to reply as a message. Between slices others may run. */
struct job {
	struct msg msg;
	bool (*run)(struct job *j);
	struct actor *reply;
};

void sched_run(struct sched *s, struct job *j);         /* any thread */

struct sched *sched_threads_new(unsigned workers);
/* Everything on the caller's thread; who runs next is drawn from the seed. */
struct sched *sched_sim_new(uint64_t seed);
void sched_free(struct sched *s);                       /* after all its actors */
uint64_t sched_now_ns(struct sched *s);                 /* monotonic; virtual in the simulator */

/* Simulator only. An actor belongs to the group that was set when it was made (0 at first). */
void sched_sim_set_group(struct sched *s, uint32_t group);
/* Runs one step: one batch of one ready actor, or one slice of one job; else time moves to the next timer
 * (never beyond until_ns). false: nothing left to do before until_ns, and time is until_ns. */
bool sched_sim_step(struct sched *s, uint64_t until_ns);
/* Whose step is under way, or was the last. */
uint32_t sched_sim_group(struct sched *s);
/* A paused group (SIGSTOP, VM pause) takes no step; its timers wait. */
void sched_sim_pause(struct sched *s, uint32_t group, bool paused);
/* The group's actors of that name run their next messages up to ns late: they wait for a slow disk in a blocking call. 0: no more. */
void sched_sim_stall(struct sched *s, uint32_t group, const char *name, uint64_t ns);
/* Each slice of the group's jobs that is asked for from now on waits up to ns for its turn. 0: no more. */
void sched_sim_slow_jobs(struct sched *s, uint32_t group, uint64_t ns);
/* A job of the group is under way. */
bool sched_sim_has_jobs(struct sched *s, uint32_t group);
/* Drops the group's pending messages, timers and jobs unread, so that its actors can be freed as they are. */
void sched_sim_drop(struct sched *s, uint32_t group);
/* The same, and frees the group's actors: a process that ended without a word. What it held is lost with it. */
void sched_sim_kill(struct sched *s, uint32_t group);
/* A hash over every step so far: equal seeds give equal traces. */
uint64_t sched_sim_trace(struct sched *s);
/* Outside messages (network, clients): post to the actor at a later virtual time. */
void sched_sim_post_at(struct sched *s, struct actor *a, struct msg *m, uint64_t at_ns);

#endif
