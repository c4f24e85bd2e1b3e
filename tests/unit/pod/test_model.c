/* A StatefulSet, volumes, agents and a cluster in one simulated world, with faults drawn from a seed; the decisions are those of
 * pod_start_decide, pod_stop_waits and pod_reconcile. The cluster is as little raft as bites: a write is acknowledged once a quorum of
 * voters has its index, and who is elected has a quorum of voters that have no more than it.
 *
 * Checked at each step:
 *	durable    who leads has every acknowledged write: broken when an emptied voter comes back under its old id
 *	once       one beginning; an id starts from nothing at most once
 *	bound      an id is bound to one claim uid and one nonce, for ever
 *	quorum     each removal leaves a connected quorum of the rest
 *	kept       nobody is removed whose pod is to stay and has its data
 * and at the end, when faults have stopped: replicas healthy voters, and nobody else.
 *
 * CETCD_POD_SEED=n runs that one alone. */
#include "../../lib/test.h"
#include "base/mem.h"
#include "base/rng.h"
#include "pod/pod.h"

enum { PLACES = 6, IDS_MAX = 4000, FAULTY_STEPS = 1500, HEALING_STEPS = 4000, SEEDS = 800 };

struct volume {
	bool has_data;
	uint64_t cluster, member, index;
	unsigned nonce; /* 0: none */
	bool spent;
	unsigned made_on; /* claim uid */
};

struct claim {
	bool exists;
	unsigned uid;
	uint64_t bound_cluster, bound_member;
	unsigned bound_uid, bound_nonce;
	struct volume volume;
};

struct pod {
	bool exists, stops, runs;
	unsigned grace;
	unsigned asks_uid, asks_nonce;
	uint64_t says_member, says_cluster;
};

struct mate {
	uint64_t id;
	int ordinal;
	bool learner, started;
};

struct sim {
	struct rng rng;
	uint64_t seed;
	unsigned step;
	bool set_exists, api, faults;
	uint32_t replicas;
	struct claim claims[PLACES];
	struct pod pods[PLACES];
	struct mate mates[POD_MEMBERS_MAX];
	size_t mate_count;
	uint64_t cluster, next_id, leader, acknowledged;
	unsigned next_uid, next_nonce, beginnings;
	struct pod_reconciler reconciler[PLACES];
	struct { unsigned uid, nonce; bool bound, started; } ids[IDS_MAX];
};

#define CHECK(s, cond, rule) \
	do { \
		if (!(cond)) \
			fail_msg("seed %llu, step %u: %s", (unsigned long long)(s)->seed, (s)->step, rule); \
	} while (0)

static bool chance(struct sim *s, unsigned percent)
{
	return rng_below(&s->rng, 100) < percent;
}

static int any(struct sim *s)
{
	return (int)rng_below(&s->rng, PLACES);
}

static struct mate *mate_of(struct sim *s, uint64_t id)
{
	for (size_t i = 0; i < s->mate_count; i++)
		if (s->mates[i].id == id)
			return &s->mates[i];
	return NULL;
}

static bool is_up(struct sim *s, const struct mate *m)
{
	const struct pod *p = &s->pods[m->ordinal];
	const struct volume *v = &s->claims[m->ordinal].volume;

	return p->exists && p->runs && v->has_data && v->member == m->id && v->cluster == s->cluster;
}

static struct volume *volume_of(struct sim *s, const struct mate *m)
{
	return &s->claims[m->ordinal].volume;
}

static unsigned voters(struct sim *s, bool up_only)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->mate_count; i++)
		n += !s->mates[i].learner && (!up_only || is_up(s, &s->mates[i]));
	return n;
}

static bool has_quorum(struct sim *s)
{
	return voters(s, true) >= voters(s, false) / 2 + 1;
}

/* --- the cluster --- */

static bool may_win(struct sim *s, const struct mate *m)
{
	unsigned votes = 0;

	for (size_t i = 0; i < s->mate_count; i++)
		votes += !s->mates[i].learner && is_up(s, &s->mates[i]) && volume_of(s, &s->mates[i])->index <= volume_of(s, m)->index;
	return votes >= voters(s, false) / 2 + 1;
}

static void elect(struct sim *s)
{
	struct mate *now = mate_of(s, s->leader);

	if (now && !now->learner && is_up(s, now) && has_quorum(s))
		return;
	s->leader = 0;
	if (!has_quorum(s) || chance(s, 50))
		return;
	for (size_t i = 0, first = rng_below(&s->rng, s->mate_count); i < s->mate_count; i++) {
		struct mate *m = &s->mates[(first + i) % s->mate_count];

		if (m->learner || !is_up(s, m) || !may_win(s, m))
			continue;
		s->leader = m->id;
		pod_reconciler_init(&s->reconciler[m->ordinal]);
		CHECK(s, volume_of(s, m)->index >= s->acknowledged, "durable: the leader lacks an acknowledged write");
		return;
	}
}

static void write_one(struct sim *s)
{
	struct mate *l = mate_of(s, s->leader);
	uint64_t index;
	unsigned have = 0;

	if (!l)
		return;
	index = ++volume_of(s, l)->index;
	for (size_t i = 0; i < s->mate_count; i++) {
		struct mate *m = &s->mates[i];

		if (!is_up(s, m) || (m->id != l->id && chance(s, 30)))
			continue;
		volume_of(s, m)->index = index;
		m->started = true;
		have += !m->learner;
	}
	if (have >= voters(s, false) / 2 + 1)
		s->acknowledged = index;
}

static void remove_mate(struct sim *s, uint64_t id)
{
	struct mate *m = mate_of(s, id);

	if (!m)
		return;
	*m = s->mates[--s->mate_count];
}

/* --- what Kubernetes shows --- */

static void name_uid(char *out, size_t size, unsigned uid)
{
	out[0] = '\0';
	if (uid)
		snprintf(out, size, "%u", uid);
}

static void url_of(char out[POD_URL_SIZE], int o)
{
	snprintf(out, POD_URL_SIZE, "https://p-%d:2380", o);
}

static void show_place(struct sim *s, int o, struct pod_place *p)
{
	const struct claim *c = &s->claims[o];
	const struct pod *d = &s->pods[o];

	memset(p, 0, sizeof(*p));
	url_of(p->url, o);
	p->has_pod = d->exists;
	p->pod_stops = d->stops;
	if (d->exists) {
		name_uid(p->join_uid, sizeof(p->join_uid), d->asks_uid);
		name_uid(p->join_nonce, sizeof(p->join_nonce), d->asks_nonce);
		p->data_member_id = d->says_member;
		p->data_cluster_id = d->says_cluster;
	}
	p->has_claim = c->exists;
	if (!c->exists)
		return;
	name_uid(p->claim_uid, sizeof(p->claim_uid), c->uid);
	name_uid(p->bound_uid, sizeof(p->bound_uid), c->bound_uid);
	name_uid(p->bound_nonce, sizeof(p->bound_nonce), c->bound_nonce);
	p->bound_cluster_id = c->bound_cluster;
	p->bound_member_id = c->bound_member;
}

static void show_world(struct sim *s, struct pod_world *w)
{
	memset(w, 0, sizeof(*w));
	w->has_set = s->set_exists;
	w->replicas = s->replicas;
	w->cluster_id = s->cluster;
	w->leader_id = s->leader;
	w->place_count = PLACES;
	for (int o = 0; o < PLACES; o++)
		show_place(s, o, &w->places[o]);
	w->member_count = s->mate_count;
	for (size_t i = 0; i < s->mate_count; i++) {
		struct mate *m = &s->mates[i];

		w->members[i] = (struct pod_member){.id = m->id, .is_learner = m->learner, .is_started = m->started, .is_connected = is_up(s, m),
						    .raft_index = is_up(s, m) ? volume_of(s, m)->index : 0};
		url_of(w->members[i].url, m->ordinal);
	}
}

/* --- the leader's agent --- */

static void check_removal(struct sim *s, const struct mate *m)
{
	unsigned rest = voters(s, false) - !m->learner, up = voters(s, true) - (!m->learner && is_up(s, m));
	const struct pod *p = &s->pods[m->ordinal];

	CHECK(s, rest > 0 && m->id != s->leader, "quorum: the last one, or the leader");
	CHECK(s, m->learner || up >= rest / 2 + 1, "quorum: the connected voters are none of those left");
	if (s->claims[m->ordinal].volume.made_on == s->claims[m->ordinal].uid && s->set_exists && (uint32_t)m->ordinal < s->replicas && p->exists && p->runs && !m->learner)
		CHECK(s, s->claims[m->ordinal].volume.member != m->id, "kept: a member that is to stay and has its data");
}

static void bind(struct sim *s, const struct pod_action *a)
{
	struct claim *c = &s->claims[a->ordinal];
	unsigned uid = (unsigned)atoi(a->uid), nonce = (unsigned)atoi(a->nonce);

	if (!c->exists || c->uid != uid)
		return;
	CHECK(s, !s->ids[a->member_id].bound || s->ids[a->member_id].uid == uid, "bound: an id with two claims");
	CHECK(s, !nonce || !s->ids[a->member_id].bound || s->ids[a->member_id].nonce == nonce, "bound: an id with two nonces");
	s->ids[a->member_id].bound = true;
	s->ids[a->member_id].uid = uid;
	s->ids[a->member_id].nonce = nonce;
	c->bound_cluster = s->cluster;
	c->bound_member = a->member_id;
	c->bound_uid = uid;
	c->bound_nonce = nonce;
}

static bool can_change(struct sim *s, const struct pod_action *a)
{
	struct mate *m = mate_of(s, a->member_id);

	switch (a->verb) {
	case POD_ADD:
		for (size_t i = 0; i < s->mate_count; i++)
			if (s->mates[i].ordinal == a->ordinal || s->mates[i].learner)
				return false;
		return voters(s, true) == voters(s, false); /* as the server asks: all voters connected */
	case POD_PROMOTE:
		return m && m->learner && is_up(s, m) && volume_of(s, m)->index + 3 >= s->acknowledged;
	default:
		return m != NULL;
	}
}

static bool carry_out(struct sim *s, const struct pod_action *a, uint64_t *id)
{
	struct mate *m = mate_of(s, a->member_id);

	if (a->verb != POD_BIND && !can_change(s, a))
		return false;
	switch (a->verb) {
	case POD_ADD:
		*id = s->next_id++;
		CHECK(s, s->next_id < IDS_MAX, "the test is too long");
		s->mates[s->mate_count++] = (struct mate){.id = *id, .ordinal = a->ordinal, .learner = true};
		return true;
	case POD_REMOVE:
		check_removal(s, m);
		remove_mate(s, a->member_id);
		return true;
	case POD_PROMOTE:
		m->learner = false;
		volume_of(s, m)->index = volume_of(s, mate_of(s, s->leader))->index;
		return true;
	case POD_BIND:
		bind(s, a);
		return true;
	case POD_MOVE_LEADER:
		if (m->learner || !is_up(s, m))
			return false;
		volume_of(s, m)->index = volume_of(s, mate_of(s, s->leader))->index;
		s->leader = m->id;
		pod_reconciler_init(&s->reconciler[m->ordinal]);
		return true;
	default:
		return true;
	}
}

static void reconcile(struct sim *s, struct pod_world *w)
{
	struct mate *l = mate_of(s, s->leader);
	struct pod_reconciler *r;
	struct pod_action act;
	uint64_t id = 0;
	bool ok;

	if (!l || !s->api)
		return;
	r = &s->reconciler[l->ordinal];
	show_world(s, w);
	pod_reconcile(r, w, &act);
	if (act.verb == POD_NOTHING || (s->faults && chance(s, 5)))
		return;
	ok = carry_out(s, &act, &id);
	if (s->faults && chance(s, 5)) /* the answer is lost, or the agent crashes with its memory */
		pod_reconciler_init(r);
	else
		pod_reconciled(r, &act, ok, id);
}

/* --- the pods' agents --- */

static void look_at_others(struct sim *s, int o, struct pod_start *st)
{
	const struct volume *v = &s->claims[o].volume;

	if (!s->leader || mate_of(s, s->leader)->ordinal == o)
		return;
	st->others_answer = st->others_have_leader = true;
	st->others_cluster_id = s->cluster;
	st->others_have_data_id = mate_of(s, v->member) != NULL;
	st->others_have_bound_id = mate_of(s, s->claims[o].bound_member) && mate_of(s, s->claims[o].bound_member)->ordinal == o;
}

static void begin(struct sim *s, int o)
{
	struct volume *v = &s->claims[o].volume;

	CHECK(s, ++s->beginnings == 1, "once: a second cluster begins");
	s->cluster = 77;
	*v = (struct volume){.has_data = true, .cluster = s->cluster, .member = s->next_id++, .index = 1, .spent = true, .made_on = s->claims[o].uid};
	s->mates[s->mate_count++] = (struct mate){.id = v->member, .ordinal = o, .started = true};
	s->ids[v->member].started = true;
	s->pods[o].runs = true;
}

static void join(struct sim *s, int o)
{
	struct claim *c = &s->claims[o];

	CHECK(s, !s->ids[c->bound_member].started, "once: an id starts from nothing again");
	s->ids[c->bound_member].started = true;
	c->volume = (struct volume){.has_data = true, .cluster = s->cluster, .member = c->bound_member, .nonce = c->volume.nonce, .spent = true,
				    .made_on = c->uid};
	s->pods[o].runs = true;
}

static void start(struct sim *s, int o)
{
	struct claim *c = &s->claims[o];
	struct volume *v = &c->volume;
	struct pod_start st = {.ordinal = o, .has_data = v->has_data, .data_cluster_id = v->cluster, .data_member_id = v->member,
			       .record_spent = v->spent, .api_answers = s->api};
	const char *reason;

	name_uid(st.record_uid, sizeof(st.record_uid), v->made_on);
	name_uid(st.record_nonce, sizeof(st.record_nonce), v->nonce);
	if (s->api) {
		st.has_set = s->set_exists;
		show_place(s, o, &st.own);
		for (int i = 0; i < PLACES; i++)
			st.cluster_known |= s->claims[i].exists && s->claims[i].bound_cluster;
		look_at_others(s, o, &st);
	}
	switch (pod_start_decide(&st, &reason)) {
	case POD_START_PLAIN:
		s->pods[o].runs = true;
		break;
	case POD_START_NEW:
		begin(s, o);
		break;
	case POD_START_ASK:
		if (!v->nonce || v->spent)
			*v = (struct volume){.nonce = s->next_nonce++};
		s->pods[o].asks_uid = c->uid;
		s->pods[o].asks_nonce = v->nonce;
		s->pods[o].says_member = s->pods[o].says_cluster = 0;
		break;
	case POD_START_JOIN:
		join(s, o);
		break;
	case POD_START_ASIDE:
		*v = (struct volume){.nonce = v->nonce, .spent = true};
		break;
	case POD_START_WAIT:
	case POD_START_RECOVER:
		break;
	}
}

static void stop_pod(struct sim *s, int o)
{
	s->pods[o] = (struct pod){0};
}

static void agent(struct sim *s, int o)
{
	struct pod *p = &s->pods[o];
	struct volume *v = &s->claims[o].volume;
	bool is_member = mate_of(s, v->member) != NULL;

	if (!p->exists || !s->claims[o].exists)
		return;
	if (p->stops) {
		struct pod_world w = {.has_set = s->set_exists, .replicas = s->replicas};

		if (!p->runs || !is_member || !pod_stop_waits(&w, s->api, o) || p->grace-- == 0)
			stop_pod(s, o);
	} else if (!p->runs) {
		start(s, o);
	} else {
		if (s->api) {
			p->asks_nonce = 0;
			p->asks_uid = v->made_on;
			p->says_member = v->member;
			p->says_cluster = v->cluster;
		}
		if (!is_member) { /* etcd ends when it hears that it was removed */
			p->runs = false;
		}
	}
}

/* --- the StatefulSet's controller, and faults --- */

static void control(struct sim *s)
{
	for (int o = 0; o < PLACES; o++) {
		struct pod *p = &s->pods[o];
		bool wanted = s->set_exists && (uint32_t)o < s->replicas;

		if (wanted && !p->exists) {
			if (!s->claims[o].exists)
				s->claims[o] = (struct claim){.exists = true, .uid = s->next_uid++};
			*p = (struct pod){.exists = true};
		} else if (!wanted && p->exists && !p->stops) {
			p->stops = true;
			p->grace = s->faults ? (unsigned)rng_below(&s->rng, 60) : 1000;
		}
	}
}

/* One voter's data may go if those left with theirs are a quorum: more is not survivable, whoever decides. */
static bool may_lose(struct sim *s, int o)
{
	unsigned intact = 0;
	bool is_voter = false;

	for (size_t i = 0; i < s->mate_count; i++) {
		const struct mate *m = &s->mates[i];
		bool has = volume_of(s, m)->has_data && volume_of(s, m)->member == m->id && volume_of(s, m)->made_on == s->claims[m->ordinal].uid;

		if (m->learner || m->ordinal == o)
			is_voter |= m->ordinal == o && !m->learner;
		else
			intact += has && volume_of(s, m)->index >= s->acknowledged;
	}
	return !is_voter || intact >= voters(s, false) / 2 + 1;
}

static void fault(struct sim *s)
{
	int o = any(s);
	struct claim *c = &s->claims[o];

	switch (rng_below(&s->rng, 9)) {
	case 0: /* the container restarts */
		s->pods[o].runs = false;
		break;
	case 1: /* the pod goes, its volume stays */
		stop_pod(s, o);
		break;
	case 2: /* the volume is emptied */
		if (c->exists && may_lose(s, o)) {
			c->volume = (struct volume){0};
			s->pods[o].runs = false;
		}
		break;
	case 3: /* only the data in it */
		if (c->exists && may_lose(s, o)) {
			c->volume = (struct volume){.nonce = c->volume.nonce, .spent = c->volume.spent, .made_on = c->volume.made_on};
			s->pods[o].runs = false;
		}
		break;
	case 4: /* the claim goes with it */
		if (may_lose(s, o)) {
			*c = (struct claim){0};
			stop_pod(s, o);
		}
		break;
	case 5: /* a copy of the claim, with its annotations and its data */
		if (c->exists && may_lose(s, o)) {
			c->uid = s->next_uid++;
			c->volume.index /= 2; /* of an older time */
			stop_pod(s, o);
		}
		break;
	case 6:
		s->api = chance(s, 60);
		break;
	case 7:
		s->replicas = (uint32_t)rng_below(&s->rng, PLACES);
		break;
	case 8:
		s->set_exists = chance(s, 80);
		break;
	}
}

static void step(struct sim *s, struct pod_world *w)
{
	s->step++;
	if (s->faults && s->beginnings && chance(s, 12))
		fault(s);
	control(s);
	for (int i = 0; i < 3; i++)
		agent(s, any(s));
	if (s->mate_count)
		elect(s);
	if (chance(s, 50))
		write_one(s);
	if (chance(s, 60))
		reconcile(s, w);
}

static bool has_converged(struct sim *s)
{
	if (s->mate_count != s->replicas)
		return false;
	for (size_t i = 0; i < s->mate_count; i++)
		if (s->mates[i].learner || !is_up(s, &s->mates[i]) || (uint32_t)s->mates[i].ordinal >= s->replicas)
			return false;
	return true;
}

static void print_sim(struct sim *s)
{
	print_message("replicas %u, leader %llu\n", s->replicas, (unsigned long long)s->leader);
	for (size_t i = 0; i < s->mate_count; i++)
		print_message("member %llu of %d%s%s%s\n", (unsigned long long)s->mates[i].id, s->mates[i].ordinal, s->mates[i].learner ? ", learner" : "",
			      s->mates[i].started ? "" : ", not started", is_up(s, &s->mates[i]) ? "" : ", down");
	for (int o = 0; o < PLACES; o++)
		print_message("%d: pod %d%s runs %d asks %u/%u; claim %u bound to %llu for %u/%u; data %llu made on %u, nonce %u%s, index %llu\n", o,
			      s->pods[o].exists, s->pods[o].stops ? " stops" : "", s->pods[o].runs, s->pods[o].asks_uid, s->pods[o].asks_nonce,
			      s->claims[o].uid, (unsigned long long)s->claims[o].bound_member, s->claims[o].bound_uid, s->claims[o].bound_nonce,
			      (unsigned long long)(s->claims[o].volume.has_data ? s->claims[o].volume.member : 0), s->claims[o].volume.made_on,
			      s->claims[o].volume.nonce, s->claims[o].volume.spent ? " spent" : "", (unsigned long long)s->claims[o].volume.index);
}

static void heal(struct sim *s, struct pod_world *w, uint32_t replicas)
{
	s->replicas = replicas;
	for (unsigned i = 0; i < HEALING_STEPS && !has_converged(s); i++)
		step(s, w);
	if (!has_converged(s))
		print_sim(s);
	CHECK(s, has_converged(s), "faults have stopped, and there are not as many healthy voters as replicas");
}

static void run(uint64_t seed)
{
	struct pod_world *w = NEW(struct pod_world);
	struct sim *s = NEW(struct sim);

	rng_init(&s->rng, seed);
	s->seed = seed;
	s->set_exists = s->faults = true;
	s->api = chance(s, 70);
	s->replicas = 3;
	s->next_id = s->next_uid = s->next_nonce = 1;
	for (unsigned i = 0; i < FAULTY_STEPS; i++) {
		if (!s->beginnings && chance(s, 10))
			s->api = !s->api;
		step(s, w);
	}
	s->faults = false;
	s->api = s->set_exists = true;
	/* A set that came back with fewer replicas than it had members may lack their quorum: all must be called first. */
	heal(s, w, PLACES);
	heal(s, w, 1 + 2 * (uint32_t)rng_below(&s->rng, 3));
	mem_free(s);
	mem_free(w);
}

static void worlds(void **state)
{
	const char *one = getenv("CETCD_POD_SEED");

	if (one) {
		run(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(worlds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
