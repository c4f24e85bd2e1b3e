/* The rules of membership under a StatefulSet (P1 to P8 in pod.h): a chain of questions, the most urgent first. Each
 * looks at the world alone, and either takes the one action, says what must be waited for, or passes.
 *
 *	members without a claim to be bound to        bind (P2)
 *	what must go: lost volumes, unknown learners  remove (P4)
 *	URLs that are no longer right                 update
 *	surplus                                       move leader, remove (P6)
 *	a learner that has caught up                  promote (P3)
 *	a pod that asks for an id                     add, bind (P3, P4) */
#include "pod/pod.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* A learner is promoted at this share of the leader's log, as the server itself asks (etcdserver.readyPercentThreshold). */
static const double READY_SHARE = 0.9;

enum step {
	PASS,   /* nothing of this kind to do */
	HALT,   /* *out says what is done, or why nothing may be done now */
};

struct view {
	const struct pod_reconciler *r;
	const struct pod_world *w;
	int ordinal_of[POD_MEMBERS_MAX]; /* by URL, else by binding; -1: of no pod here */
	struct pod_action *out;
};

static const struct pod_place *place(const struct view *v, size_t i)
{
	return &v->w->places[i];
}

static const struct pod_member *member(const struct view *v, size_t i)
{
	return &v->w->members[i];
}

static int find_member(const struct pod_world *w, uint64_t id)
{
	for (size_t i = 0; id && i < w->member_count; i++)
		if (w->members[i].id == id)
			return (int)i;
	return -1;
}

static enum step act(const struct view *v, enum pod_verb verb, int ordinal, uint64_t id, const char *reason)
{
	v->out->verb = verb;
	v->out->ordinal = ordinal;
	v->out->member_id = id;
	v->out->reason = reason;
	return HALT;
}

static enum step wait_for(const struct view *v, int ordinal, uint64_t id, const char *reason)
{
	return act(v, POD_NOTHING, ordinal, id, reason);
}

static enum step act_bind(const struct view *v, int ordinal, uint64_t id, const char *uid, const char *nonce, const char *reason)
{
	snprintf(v->out->uid, sizeof(v->out->uid), "%s", uid);
	snprintf(v->out->nonce, sizeof(v->out->nonce), "%s", nonce);
	return act(v, POD_BIND, ordinal, id, reason);
}

/* The binding on a claim holds: made in this cluster, and for this very claim. A copy of a claim has another uid. */
static bool is_bound(const struct view *v, const struct pod_place *p)
{
	return p->has_claim && p->bound_member_id && p->bound_cluster_id == v->w->cluster_id &&
	       !strcmp(p->bound_uid, p->claim_uid);
}

static bool asks(const struct pod_place *p)
{
	return p->has_pod && !p->pod_stops && p->join_nonce[0] && p->has_claim && !p->claim_stops &&
	       !strcmp(p->join_uid, p->claim_uid);
}

/* The pod has no data, and the id its claim is bound to was given to other data than it asks for now. */
static bool lost_its_data(const struct view *v, const struct pod_place *p)
{
	return asks(p) && !(is_bound(v, p) && !strcmp(p->bound_nonce, p->join_nonce));
}

/* It runs, on a claim that its data was not made on: a copy, started while nobody could be asked. */
static bool runs_a_copy(const struct pod_place *p)
{
	return p->has_pod && p->has_claim && p->data_member_id && !p->join_nonce[0] && p->join_uid[0] && strcmp(p->join_uid, p->claim_uid);
}

static bool member_is_a_copy(const struct pod_world *w, uint64_t id)
{
	for (size_t o = 0; o < w->place_count; o++)
		if ((w->places[o].data_member_id == id && runs_a_copy(&w->places[o])) ||
		    (w->places[o].has_claim && w->places[o].bound_member_id == id && strcmp(w->places[o].bound_uid, w->places[o].claim_uid)))
			return true; /* the annotations of a claim are copied with it */
	return false;
}

struct pod_quorum pod_quorum(const struct pod_world *w)
{
	struct pod_quorum q = {0};

	for (size_t i = 0; i < w->member_count; i++) {
		const struct pod_member *m = &w->members[i];

		q.voters += !m->is_learner;
		q.connected += !m->is_learner && m->is_connected;
		q.lasting += !m->is_learner && m->is_connected && !member_is_a_copy(w, m->id);
	}
	return q;
}

static bool is_quorum(unsigned connected, unsigned voters)
{
	return connected >= voters / 2 + 1;
}

/* Who runs a copy will not come back after a restart, so nothing is built on it, but for getting rid of copies. */
bool pod_may_remove(const struct pod_world *w, size_t i)
{
	const struct pod_member *m = &w->members[i];
	bool is_copy = member_is_a_copy(w, m->id);
	struct pod_quorum q = pod_quorum(w);

	if (m->is_learner)
		return true;
	if (m->id == w->leader_id || q.voters < 2)
		return false;
	return is_quorum((is_copy ? q.connected : q.lasting) - m->is_connected, q.voters - 1);
}

static enum step remove_member(const struct view *v, size_t i, const char *reason)
{
	if (!pod_may_remove(v->w, i))
		return wait_for(v, v->ordinal_of[i], member(v, i)->id, "a member is to be removed, but the connected voters would be no quorum of those left");
	return act(v, POD_REMOVE, v->ordinal_of[i], member(v, i)->id, reason);
}

static int heir(const struct view *v)
{
	int best = -1;

	for (size_t i = 0; i < v->w->member_count; i++) {
		const struct pod_member *m = member(v, i);
		int o = v->ordinal_of[i];

		if (m->is_learner || !m->is_connected || m->id == v->w->leader_id || o < 0 || (uint32_t)o >= v->w->replicas || place(v, (size_t)o)->pod_stops)
			continue;
		if (best < 0 || o < v->ordinal_of[best])
			best = (int)i;
	}
	return best;
}

static bool is_bound_elsewhere(const struct view *v, int ordinal, uint64_t id)
{
	for (size_t o = 0; o < v->w->place_count; o++)
		if ((int)o != ordinal && is_bound(v, place(v, o)) && place(v, o)->bound_member_id == id)
			return true;
	return false;
}

/* P2: what runs is written down, so that nobody begins anew beside it. The leader's own claim comes first. */
static enum step bind_running(const struct view *v)
{
	int self = find_member(v->w, v->w->leader_id), first = self < 0 ? -1 : v->ordinal_of[self], to;

	for (int k = -1; k < (int)v->w->place_count; k++) {
		int o = k < 0 ? first : k;
		const struct pod_place *p;

		if (o < 0)
			continue;
		p = place(v, (size_t)o);
		if (!p->has_claim || p->claim_stops || p->join_nonce[0] || strcmp(p->join_uid, p->claim_uid) ||
		    !p->data_member_id || p->data_cluster_id != v->w->cluster_id || find_member(v->w, p->data_member_id) < 0)
			continue;
		if ((!is_bound(v, p) || p->bound_member_id != p->data_member_id) && !is_bound_elsewhere(v, o, p->data_member_id))
			return act_bind(v, o, p->data_member_id, p->claim_uid, "", "member started");
	}
	if (first >= 0 && runs_a_copy(place(v, (size_t)first)) && (to = heir(v)) >= 0)
		return act(v, POD_MOVE_LEADER, v->ordinal_of[to], member(v, (size_t)to)->id, "the leader's data was made on another claim");
	if (first >= 0 && !is_bound(v, place(v, (size_t)first)))
		return wait_for(v, first, v->w->leader_id, "the leader's claim does not carry its member id yet");
	return PASS;
}

/* P4, the half that removes. A learner that nobody is bound to was added by a leader who then went: no pod started with it,
 * but which claim it was for is not known any more. */
static enum step remove_lost(const struct view *v)
{
	for (size_t i = 0; i < v->w->member_count; i++) {
		const struct pod_member *m = member(v, i);
		int o = v->ordinal_of[i];
		const struct pod_place *p;

		if (o < 0 || (uint32_t)o >= v->w->replicas || m->id == v->w->leader_id)
			continue;
		p = place(v, (size_t)o);
		if (m->id == v->r->added_id && asks(p) && !strcmp(p->join_uid, v->r->added_uid) &&
		    !strcmp(p->join_nonce, v->r->added_nonce))
			continue;
		if (lost_its_data(v, p) || (asks(p) && p->bound_member_id != m->id))
			return remove_member(v, i, "its pod has a new or emptied volume");
		if (runs_a_copy(p) && p->data_member_id == m->id)
			return remove_member(v, i, "its data was made on another claim");
		if (!m->is_started && m->is_learner && !(is_bound(v, p) && p->bound_member_id == m->id))
			return remove_member(v, i, "a learner that belongs to no claim");
	}
	return PASS;
}

static enum step update_urls(const struct view *v)
{
	for (size_t o = 0; o < v->w->place_count && o < v->w->replicas; o++) {
		const struct pod_place *p = place(v, o);
		int i = is_bound(v, p) ? find_member(v->w, p->bound_member_id) : -1;

		if (i < 0 || !strcmp(member(v, (size_t)i)->url, p->url))
			continue;
		snprintf(v->out->url, sizeof(v->out->url), "%s", p->url);
		return act(v, POD_UPDATE, (int)o, p->bound_member_id, "its peer URL is another now");
	}
	return PASS;
}

/* P6. Learners first: they hold nothing up. */
static enum step remove_surplus(const struct view *v)
{
	int pick = -1;

	for (size_t i = 0; i < v->w->member_count; i++) {
		int o = v->ordinal_of[i];

		if (o < 0 || (uint32_t)o < v->w->replicas)
			continue;
		if (pick < 0 || member(v, i)->is_learner > member(v, (size_t)pick)->is_learner ||
		    (member(v, i)->is_learner == member(v, (size_t)pick)->is_learner && o > v->ordinal_of[pick]))
			pick = (int)i;
	}
	if (pick < 0)
		return PASS;
	if (member(v, (size_t)pick)->id == v->w->leader_id) {
		int to = heir(v);

		if (to < 0)
			return wait_for(v, v->ordinal_of[pick], v->w->leader_id, "the leader is surplus, and no connected voter can take over");
		return act(v, POD_MOVE_LEADER, v->ordinal_of[to], member(v, (size_t)to)->id, "the leader is surplus");
	}
	return remove_member(v, (size_t)pick, "its ordinal is beyond the replicas");
}

/* P3. Where there is a leader one voter more, who is connected, leaves a quorum connected. */
static enum step promote(const struct view *v)
{
	int self = find_member(v->w, v->w->leader_id);

	for (size_t i = 0; i < v->w->member_count; i++) {
		const struct pod_member *m = member(v, i);

		if (!m->is_learner || v->ordinal_of[i] < 0)
			continue;
		if (!m->is_started || !m->is_connected)
			return wait_for(v, v->ordinal_of[i], m->id, "a learner has not started yet");
		if (self < 0 || (double)m->raft_index < READY_SHARE * (double)member(v, (size_t)self)->raft_index)
			return wait_for(v, v->ordinal_of[i], m->id, "a learner is catching up");
		return act(v, POD_PROMOTE, v->ordinal_of[i], m->id, "it has caught up");
	}
	return PASS;
}

static enum step add(const struct view *v)
{
	for (size_t o = 0; o < v->w->place_count && o < v->w->replicas; o++) {
		const struct pod_place *p = place(v, o);

		if (!asks(p) || (!lost_its_data(v, p) && find_member(v->w, p->bound_member_id) >= 0))
			continue; /* it has one; the other way it was removed by hand */
		snprintf(v->out->url, sizeof(v->out->url), "%s", p->url);
		snprintf(v->out->uid, sizeof(v->out->uid), "%s", p->claim_uid);
		snprintf(v->out->nonce, sizeof(v->out->nonce), "%s", p->join_nonce);
		return act(v, POD_ADD, (int)o, 0, "its pod asks for an id");
	}
	return PASS;
}

/* What was just added is bound at once: its pod waits for that. */
static enum step bind_added(const struct view *v)
{
	const struct pod_reconciler *r = v->r;
	const struct pod_place *p;

	if (!r->added_id || find_member(v->w, r->added_id) < 0 || r->added_ordinal >= (int)v->w->place_count)
		return PASS;
	p = place(v, (size_t)r->added_ordinal);
	if (!asks(p) || strcmp(p->join_uid, r->added_uid) || strcmp(p->join_nonce, r->added_nonce) ||
	    (!lost_its_data(v, p) && p->bound_member_id == r->added_id))
		return PASS;
	return act_bind(v, r->added_ordinal, r->added_id, p->claim_uid, p->join_nonce, "a learner was added for it");
}

/* P7: -1 */
static int ordinal_of(const struct view *v, const struct pod_member *m)
{
	for (size_t o = 0; o < v->w->place_count; o++)
		if (place(v, o)->url[0] && !strcmp(place(v, o)->url, m->url))
			return (int)o;
	for (size_t o = 0; o < v->w->place_count; o++)
		if ((is_bound(v, place(v, o)) && place(v, o)->bound_member_id == m->id) ||
		    (place(v, o)->data_cluster_id == v->w->cluster_id && place(v, o)->data_member_id == m->id))
			return (int)o;
	return -1;
}

void pod_reconcile(const struct pod_reconciler *r, const struct pod_world *w, struct pod_action *out)
{
	static enum step (*const chain[])(const struct view *) = {
		bind_added, bind_running, remove_lost, update_urls, remove_surplus, promote, add,
	};
	struct view v = {.r = r, .w = w, .out = out};

	ASSERT(w->place_count <= POD_PLACES_MAX && w->member_count <= POD_MEMBERS_MAX);
	memset(out, 0, sizeof(*out));
	out->ordinal = -1;
	if (!w->has_set || w->set_stops || !w->replicas)
		return; /* P1 */
	for (size_t i = 0; i < w->member_count; i++)
		v.ordinal_of[i] = ordinal_of(&v, &w->members[i]);
	for (size_t i = 0; i < ARRAY_COUNT(chain); i++)
		if (chain[i](&v) == HALT)
			return;
}

void pod_reconciler_init(struct pod_reconciler *r)
{
	memset(r, 0, sizeof(*r));
}

void pod_reconciled(struct pod_reconciler *r, const struct pod_action *a, bool ok, uint64_t id)
{
	if (a->verb != POD_ADD || !ok)
		return;
	r->added_id = id;
	r->added_ordinal = a->ordinal;
	snprintf(r->added_uid, sizeof(r->added_uid), "%s", a->uid);
	snprintf(r->added_nonce, sizeof(r->added_nonce), "%s", a->nonce);
}

const char *pod_verb_name(enum pod_verb v)
{
	static const char *const names[] = {
		[POD_NOTHING] = "nothing", [POD_BIND] = "bind", [POD_ADD] = "add", [POD_PROMOTE] = "promote",
		[POD_UPDATE] = "update", [POD_REMOVE] = "remove", [POD_MOVE_LEADER] = "move-leader",
	};

	return names[v];
}
