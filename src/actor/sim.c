/* Actors on one thread, in an order drawn from a seed, under a virtual clock.
 *
 * A step is one batch of one ready actor (a random prefix of its box), or one slice of one job. Time stands
 * still while anything is ready; else it jumps to the next timer or outside message. */
#include "actor/actor_impl.h"
#include "base/crc.h"
#include "base/rng.h"

struct sim_actor {
	struct actor *actor;
	uint32_t group;
	uint32_t id;
	VEC(struct msg *) box;          /* FIFO: head.. */
	size_t head;
	uint64_t stall_ns;              /* what comes into an empty box waits up to that long */
	uint64_t not_before_ns;
};

struct sim_job {
	struct job *job;
	uint32_t group;
	uint64_t not_before_ns;
};

struct slow_group {
	uint32_t group;
	uint64_t ns;
};

struct sim_later {
	uint64_t at_ns;
	uint64_t seq;
	struct sim_actor *to;
	struct msg *msg;
};

struct sim {
	struct sched base;
	struct rng rng;
	uint64_t now_ns;
	uint64_t trace;
	uint64_t seq;
	uint32_t group;                 /* of actors made now, and of jobs started outside a batch */
	uint32_t running;               /* group of the step under way, or of the last one */
	uint32_t ids;
	VEC(struct sim_actor *) actors;
	VEC(struct sim_job) jobs;
	VEC(struct sim_later) later;    /* heap by (at_ns, seq) */
	VEC(uint32_t) paused;
	VEC(struct slow_group) slow;    /* whose jobs take time */
};

static struct sim *sim_of(struct sched *s)
{
	return CONTAINER_OF(s, struct sim, base);
}

static void trace_add(struct sim *s, uint64_t a, uint64_t b)
{
	uint64_t words[4] = {s->trace, s->now_ns, a, b};

	s->trace = hash64(1, words, sizeof(words));
}

static bool is_paused(struct sim *s, uint32_t group)
{
	for (size_t i = 0; i < s->paused.count; i++)
		if (s->paused.at[i] == group)
			return true;
	return false;
}

static void actor_start(struct actor *a)
{
	struct sim *s = sim_of(a->sched);
	struct sim_actor *x = NEW(struct sim_actor);

	x->actor = a;
	x->group = s->group;
	x->id = ++s->ids;
	a->impl = x;
	VEC_PUSH(&s->actors, x);
}

static bool later_before(const struct sim_later *a, const struct sim_later *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void later_up(struct sim *s, size_t i)
{
	struct sim_later l = s->later.at[i];

	for (; i && later_before(&l, &s->later.at[(i - 1) / 2]); i = (i - 1) / 2)
		s->later.at[i] = s->later.at[(i - 1) / 2];
	s->later.at[i] = l;
}

static struct sim_later later_pop(struct sim *s)
{
	struct sim_later first = s->later.at[0], last = s->later.at[--s->later.count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < s->later.count && later_before(&s->later.at[child + 1], &s->later.at[child]))
			child++;
		if (child >= s->later.count || later_before(&last, &s->later.at[child]))
			break;
		s->later.at[i] = s->later.at[child];
		i = child;
	}
	if (s->later.count)
		s->later.at[i] = last;
	return first;
}

static void later_drop(struct sim *s, struct sim_actor *x, uint32_t group, bool by_group)
{
	size_t n = 0;

	for (size_t i = 0; i < s->later.count; i++)
		if (!(by_group ? s->later.at[i].to->group == group : s->later.at[i].to == x))
			s->later.at[n++] = s->later.at[i];
	s->later.count = n;
	for (size_t i = 1; i < n; i++)
		later_up(s, i);
}

static void actor_stop(struct actor *a)
{
	struct sim *s = sim_of(a->sched);
	struct sim_actor *x = a->impl;
	size_t n = 0;

	for (size_t i = 0; i < s->actors.count; i++)
		if (s->actors.at[i] != x)
			s->actors.at[n++] = s->actors.at[i];
	s->actors.count = n;
	later_drop(s, x, 0, false);
	VEC_FREE(&x->box);
	mem_free(x);
}

static void post_one(struct actor *a, struct msg *m)
{
	struct sim_actor *x = a->impl;

	if (x->head > 64 && x->head * 2 > x->box.count) {
		memmove(x->box.at, x->box.at + x->head, (x->box.count - x->head) * sizeof(*x->box.at));
		x->box.count -= x->head;
		x->head = 0;
	}
	if (x->stall_ns && x->head == x->box.count) {
		struct sim *s = sim_of(a->sched);

		x->not_before_ns = s->now_ns + rng_below(&s->rng, x->stall_ns);
	}
	VEC_PUSH(&x->box, m);
}

static void post(struct actor *a, struct msg *first)
{
	while (first) {
		struct msg *next = first->next;

		post_one(a, first);
		first = next;
	}
}

static void timer_moved(struct actor *a)
{
}

static void job_add(struct sim *s, struct sim_job j)
{
	j.not_before_ns = s->now_ns;
	for (size_t i = 0; i < s->slow.count; i++)
		if (s->slow.at[i].group == j.group)
			j.not_before_ns += rng_below(&s->rng, s->slow.at[i].ns);
	VEC_PUSH(&s->jobs, j);
}

static void run_job(struct sched *sched, struct job *j)
{
	struct sim *s = sim_of(sched);
	struct actor *by = actor_current();
	uint32_t group = by ? ((struct sim_actor *)by->impl)->group : s->group;

	job_add(s, (struct sim_job){.job = j, .group = group});
}

static uint64_t sim_now_ns(struct sched *s)
{
	return sim_of(s)->now_ns;
}

static void sim_free(struct sched *sched)
{
	struct sim *s = sim_of(sched);

	ASSERT(s->actors.count == 0);
	VEC_FREE(&s->actors);
	VEC_FREE(&s->jobs);
	VEC_FREE(&s->later);
	VEC_FREE(&s->paused);
	VEC_FREE(&s->slow);
	mem_free(s);
}

static const struct sched_ops sim_ops = {
	.actor_start = actor_start,
	.actor_stop = actor_stop,
	.post = post,
	.timer_moved = timer_moved,
	.run = run_job,
	.now_ns = sim_now_ns,
	.free = sim_free,
};

struct sched *sched_sim_new(uint64_t seed)
{
	struct sim *s = NEW(struct sim);

	s->base.ops = &sim_ops;
	rng_init(&s->rng, seed);
	s->now_ns = 1000000000u;
	return &s->base;
}

void sched_sim_set_group(struct sched *s, uint32_t group)
{
	sim_of(s)->group = group;
}

static void run_actor(struct sim *s, struct sim_actor *x)
{
	struct actor *a = x->actor;
	struct actor *mark = actor_mark(a);
	size_t waiting = x->box.count - x->head;
	size_t n = waiting ? 1 + rng_below(&s->rng, waiting) : 0;

	s->running = x->group;
	trace_add(s, x->id, n);
	actor_timers_fire(a, s->now_ns);
	while (n--) {
		struct msg *m = x->box.at[x->head++];

		trace_add(s, m->kind, 0);
		actor_receive(a, m);
	}
	if (x->head == x->box.count)
		x->head = x->box.count = 0;
	actor_batch_end(a);
	actor_mark(mark);
}

static void run_slice(struct sim *s, size_t i)
{
	struct sim_job j = s->jobs.at[i];

	s->running = j.group;
	trace_add(s, UINT32_MAX, j.group);
	memmove(&s->jobs.at[i], &s->jobs.at[i + 1], (s->jobs.count - i - 1) * sizeof(j));
	s->jobs.count--;
	if (j.job->run(j.job))
		actor_post(j.job->reply, &j.job->msg);
	else
		job_add(s, j);
}

static bool job_ready(struct sim *s, const struct sim_job *j)
{
	return !is_paused(s, j->group) && j->not_before_ns <= s->now_ns;
}

static bool actor_ready(struct sim *s, struct sim_actor *x)
{
	return !is_paused(s, x->group) &&
	       ((x->head < x->box.count && x->not_before_ns <= s->now_ns) || actor_timer_next(x->actor) <= s->now_ns);
}

/* Moves to their boxes the outside messages that are due. */
static void deliver_due(struct sim *s)
{
	while (s->later.count && s->later.at[0].at_ns <= s->now_ns) {
		struct sim_later l = later_pop(s);

		post_one(l.to->actor, l.msg);
	}
}

static uint64_t next_event_ns(struct sim *s)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < s->actors.count; i++) {
		struct sim_actor *x = s->actors.at[i];

		if (is_paused(s, x->group))
			continue;
		next = MIN(next, actor_timer_next(x->actor));
		if (x->head < x->box.count)
			next = MIN(next, x->not_before_ns);
	}
	for (size_t i = 0; i < s->jobs.count; i++)
		if (!is_paused(s, s->jobs.at[i].group))
			next = MIN(next, s->jobs.at[i].not_before_ns);
	if (s->later.count)
		next = MIN(next, s->later.at[0].at_ns);
	return next;
}

bool sched_sim_step(struct sched *sched, uint64_t until_ns)
{
	struct sim *s = sim_of(sched);

	for (;;) {
		size_t ready = 0, pick;
		uint64_t next;

		deliver_due(s);
		for (size_t i = 0; i < s->actors.count; i++)
			ready += actor_ready(s, s->actors.at[i]);
		for (size_t i = 0; i < s->jobs.count; i++)
			ready += job_ready(s, &s->jobs.at[i]);
		if (ready) {
			pick = rng_below(&s->rng, ready);
			for (size_t i = 0; i < s->actors.count; i++)
				if (actor_ready(s, s->actors.at[i]) && pick-- == 0) {
					run_actor(s, s->actors.at[i]);
					return true;
				}
			for (size_t i = 0; i < s->jobs.count; i++)
				if (job_ready(s, &s->jobs.at[i]) && pick-- == 0) {
					run_slice(s, i);
					return true;
				}
			UNREACHABLE();
		}
		next = next_event_ns(s);
		if (next > until_ns) {
			s->now_ns = MAX(s->now_ns, until_ns);
			return false;
		}
		s->now_ns = MAX(s->now_ns, next);
	}
}

void sched_sim_pause(struct sched *sched, uint32_t group, bool paused)
{
	struct sim *s = sim_of(sched);
	size_t n = 0;

	for (size_t i = 0; i < s->paused.count; i++)
		if (s->paused.at[i] != group)
			s->paused.at[n++] = s->paused.at[i];
	s->paused.count = n;
	if (paused)
		VEC_PUSH(&s->paused, group);
}

void sched_sim_stall(struct sched *sched, uint32_t group, const char *name, uint64_t ns)
{
	struct sim *s = sim_of(sched);

	for (size_t i = 0; i < s->actors.count; i++)
		if (s->actors.at[i]->group == group && strcmp(s->actors.at[i]->actor->name, name) == 0)
			s->actors.at[i]->stall_ns = ns;
}

void sched_sim_slow_jobs(struct sched *sched, uint32_t group, uint64_t ns)
{
	struct sim *s = sim_of(sched);
	size_t n = 0;

	for (size_t i = 0; i < s->slow.count; i++)
		if (s->slow.at[i].group != group)
			s->slow.at[n++] = s->slow.at[i];
	s->slow.count = n;
	if (ns)
		VEC_PUSH(&s->slow, ((struct slow_group){group, ns}));
}

bool sched_sim_has_jobs(struct sched *sched, uint32_t group)
{
	struct sim *s = sim_of(sched);

	for (size_t i = 0; i < s->jobs.count; i++)
		if (s->jobs.at[i].group == group)
			return true;
	return false;
}

void sched_sim_drop(struct sched *sched, uint32_t group)
{
	struct sim *s = sim_of(sched);
	size_t n = 0;

	for (size_t i = 0; i < s->actors.count; i++) {
		struct sim_actor *x = s->actors.at[i];

		if (x->group == group) {
			x->head = x->box.count = 0;
			while (x->actor->timers.count)
				timer_cancel(x->actor->timers.at[0]);
		}
	}
	for (size_t i = 0; i < s->jobs.count; i++)
		if (s->jobs.at[i].group != group)
			s->jobs.at[n++] = s->jobs.at[i];
	s->jobs.count = n;
	later_drop(s, NULL, group, true);
}

void sched_sim_kill(struct sched *sched, uint32_t group)
{
	struct sim *s = sim_of(sched);

	sched_sim_drop(sched, group);
	for (size_t i = s->actors.count; i-- > 0;)
		if (s->actors.at[i]->group == group)
			actor_free(s->actors.at[i]->actor);
}

uint64_t sched_sim_trace(struct sched *s)
{
	return sim_of(s)->trace;
}

void sched_sim_post_at(struct sched *sched, struct actor *a, struct msg *m, uint64_t at_ns)
{
	struct sim *s = sim_of(sched);

	VEC_PUSH(&s->later, ((struct sim_later){at_ns, s->seq++, a->impl, m}));
	later_up(s, s->later.count - 1);
}

uint32_t sched_sim_group(struct sched *s)
{
	return sim_of(s)->running;
}
