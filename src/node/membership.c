/* Changes of membership and hand-overs that somebody asked for: is it safe, is the learner ready, then a proposal, then its apply.
 *
 *	CALL_CONF_CHANGE ──(promotion: on the leader, caught up and ready; else the leader is asked)──> checks ──> conf_changes
 *	conf_changes ──(a leader, no other change under way)──> raft ──> waiting, until applied
 *
 * Checks of strict-reconfig-check are upstream's v3.7 (etcdserver/server.go, util.go): quorums of started members, and of members that
 * this one has reached without a break for 5 s. What is valid at all is decided when it is applied, the same on every member. */
#include "base/bug.h"
#include "node/node_impl.h"

#define CONNECTED_NS UINT64_C(5000000000)
#define CATCH_UP_NS UINT64_C(1000000000)

enum { READY_PERCENT = 90 };

/* ---- checks ---- */

static uint64_t active_since_ns(const struct node *n, uint64_t id)
{
	const struct node_transport *t = n->cfg.transport;

	return t ? t->active_since_ns(t->arg, id) : 0;
}

/* Voters that were reached all the time since then, this member included. */
static size_t connected_voters(const struct node *n)
{
	size_t count = 0;

	for (size_t i = 0; i < members_count(n->members); i++) {
		const struct member *m = members_at(n->members, i);
		uint64_t since = m->is_learner || m->id == n->member_id ? 0 : active_since_ns(n, m->id);

		count += !m->is_learner && (m->id == n->member_id || (since && core_now(n) - since > CONNECTED_NS));
	}
	return count;
}

static err_t reject(const struct node *n, const char *text, uint64_t id, err_t err)
{
	LOG_WARN(text, LOG_HEX("local-member-id", n->member_id), LOG_HEX("requested-member-id", id), LOG_ERR(err));
	return err;
}

static err_t may_add(const struct node *n, const struct call *c)
{
	size_t voters = members_voter_count(n->members);

	if (c->change == MEMBER_ADD && !members_may_add_voter(n->members))
		return reject(n, "rejecting member add request; not enough healthy members", c->member_id, ERR_MEMBER_NOT_ENOUGH_STARTED);
	/* The new member counts as down. */
	if (voters != 1 && connected_voters(n) < (voters + 1) / 2 + 1)
		return reject(n, "rejecting member add request; local member has not been connected to majority peers, "
			      "reconfigure breaks active quorum", c->member_id, ERR_UNHEALTHY);
	return OK;
}

static err_t may_remove(const struct node *n, const struct call *c)
{
	const struct member *m = members_find(n->members, c->member_id);
	size_t voters = members_voter_count(n->members);

	if (m && m->is_learner)
		return OK;
	if (!members_may_remove(n->members, c->member_id))
		return reject(n, "rejecting member remove request; not enough healthy members", c->member_id, ERR_MEMBER_NOT_ENOUGH_STARTED);
	/* Who is down is no part of the quorum that works. */
	if (c->member_id != n->member_id && !active_since_ns(n, c->member_id))
		return OK;
	if (connected_voters(n) < 2 + (voters - 1) / 2)
		return reject(n, "rejecting member remove request; local member has not been connected to all peers, "
			      "reconfigure breaks active quorum", c->member_id, ERR_UNHEALTHY);
	return OK;
}

static err_t may_promote(const struct node *n, const struct call *c)
{
	struct raft_peer_status learner, self;

	if (!raft_peer_status(n->raft, n->member_id, &self))
		return ERR_NOT_LEADER;
	if (!raft_peer_status(n->raft, c->member_id, &learner))
		return ERR_MEMBER_NOT_FOUND;
	if (learner.match * 100 < self.match * READY_PERCENT) {
		LOG_ERROR("rejecting promote learner: learner is not ready", LOG_HEX("requested-member-id", c->member_id),
			  LOG_UINT("learner-match", learner.match), LOG_UINT("leader-match", self.match),
			  LOG_INT("ready-percent-threshold", READY_PERCENT));
		return ERR_LEARNER_NOT_READY;
	}
	if (n->cfg.strict_reconfig_check && !members_may_promote(n->members, c->member_id))
		return reject(n, "rejecting member promote request; not enough healthy members", c->member_id, ERR_MEMBER_NOT_ENOUGH_STARTED);
	return OK;
}

/* Applying it ends every member for good (raft: "removed all voters"), also upstream: whatever the checks are set to. */
static bool is_last_voter(const struct node *n, uint64_t id)
{
	const struct member *m = members_find(n->members, id);

	return m && !m->is_learner && members_voter_count(n->members) == 1;
}

static err_t may_change(const struct node *n, const struct call *c)
{
	if (c->change == MEMBER_REMOVE && is_last_voter(n, c->member_id))
		return reject(n, "rejecting member remove request; not enough healthy members", c->member_id, ERR_MEMBER_NOT_ENOUGH_STARTED);
	if (!n->cfg.strict_reconfig_check)
		return OK;
	switch (c->change) {
	case MEMBER_ADD:
	case MEMBER_ADD_LEARNER: return may_add(n, c);
	case MEMBER_REMOVE: return may_remove(n, c);
	case MEMBER_UPDATE: return OK;
	}
	UNREACHABLE();
}

/* ---- promotion: the leader alone knows whether the learner is ready ---- */

static bool contains(struct slice s, const char *text)
{
	return s.size && memmem(s.data, s.size, text, strlen(text));
}

static void promote_answered(struct node *n, struct core_question *q)
{
	struct slice body = buf_slice(&q->q.answer);
	struct call *c = q->call;
	struct member *list;
	size_t count;

	if (q->q.err || (q->q.status != 200 && q->q.status != 404 && q->q.status != 412)) {
		list_push_back(&n->promotions, &c->link);       /* asked again with the next tick */
		return;
	}
	if (q->q.status == 404)
		core_answer(n, c, ERR_MEMBER_NOT_FOUND);
	else if (q->q.status == 412)
		core_answer(n, c, contains(body, "in sync with leader") ? ERR_LEARNER_NOT_READY : ERR_MEMBER_NOT_LEARNER);
	else if (member_json_parse_list(body, &list, &count))
		list_push_back(&n->promotions, &c->link);
	else {
		for (size_t i = 0; i < count; i++) {
			member_encode(&list[i], 2, &c->resp);
			member_fini(&list[i]);
		}
		mem_free(list);
		core_answer(n, c, buf_failed(&c->resp) ? ERR_TOO_LARGE : OK);
	}
}

static void promote_ask(struct node *n, struct call *c)
{
	const struct member *lead = n->lead != RAFT_NONE ? members_find(n->members, n->lead) : NULL;
	struct core_question *q;

	if (!lead) {
		list_push_back(&n->promotions, &c->link);
		return;
	}
	q = core_question_new(MEMBER_PROMOTE, &lead->peer_urls, promote_answered);
	q->q.member_id = c->member_id;
	q->token = c->token ? mem_strdup(c->token) : NULL;       /* the call may be gone before the question is back */
	q->call = c;
	core_ask(n, q);
}

static void promote(struct node *n, struct call *c)
{
	err_t err;

	if (n->role != RAFT_LEADER && !c->local) {
		promote_ask(n, c);
		return;
	}
	err = may_promote(n, c);
	if (err)
		core_answer(n, c, err);
	else
		list_push_back(&n->conf_changes, &c->link);
}

/* ---- waiting for apply ---- */

static void caught_up(struct node *n, struct call *c)
{
	if (c->msg.kind == CALL_CONF_CHANGE)
		promote(n, c);
	else
		core_answer(n, c, OK);
}

void core_catch_up(struct node *n, struct call *c)
{
	c->order = raft_commit(n->raft);
	c->started_ns = core_now(n);            /* the time limit of this wait */
	if (n->applied >= c->order)
		caught_up(n, c);
	else
		list_push_back(&n->catching_up, &c->link);
}

static void catch_up_step(struct node *n)
{
	while (!list_empty(&n->catching_up)) {
		struct call *c = CONTAINER_OF(n->catching_up.next, struct call, link);

		if (n->applied < c->order)
			break;
		list_remove(&c->link);
		caught_up(n, c);
	}
}

/* ---- proposals ---- */

void core_conf_change(struct node *n, struct call *c)
{
	err_t err = OK;

	if (n->stopping) {
		err = ERR_STOPPED;
	} else if (c->is_promote) {
		if (n->role == RAFT_LEADER)
			core_catch_up(n, c);
		else
			promote(n, c);
		return;
	} else {
		err = may_change(n, c);
	}
	if (err)
		core_answer(n, c, err);
	else
		list_push_back(&n->conf_changes, &c->link);
}

/* One after the other: raft replaces a change by an empty entry while another is not applied, and nobody would hear of it. */
static bool may_propose(const struct node *n)
{
	return raft_lead(n->raft) != RAFT_NONE && (n->role != RAFT_LEADER || raft_pending_conf_index(n->raft) <= raft_applied(n->raft));
}

static void propose_step(struct node *n)
{
	while (!list_empty(&n->conf_changes) && may_propose(n)) {
		struct call *c = CONTAINER_OF(n->conf_changes.next, struct call, link);
		struct raft_conf_change cc = {.id = c->id, .type = (enum raft_conf_change_type)c->change, .node_id = c->member_id};

		if (c->entry)
			cc.context = blob_slice(c->entry);
		n->lone_leader = n->lone_leader && BUG(LONE_LEADER_KEPT);       /* until it is applied: raft_pending_conf_index */
		n->changed = true;
		if (raft_propose_conf_change(n->raft, &cc))
			return;                 /* leadership moves: tried again with the next batch */
		list_remove(&c->link);
		blob_unref(c->entry);
		c->entry = NULL;
		waiters_add(&n->waiting, c);
	}
}

/* ---- hand-over ---- */

void core_transfer(struct node *n, struct call *c)
{
	const struct member *m = members_find(n->members, c->member_id);

	if (n->role != RAFT_LEADER) {
		core_answer(n, c, ERR_NOT_LEADER);
	} else if (!m || m->is_learner) {
		core_answer(n, c, ERR_BAD_LEADER_TRANSFEREE);
	} else {
		LOG_INFO("leadership transfer starting", LOG_HEX("local-member-id", n->member_id), LOG_HEX("current-leader-member-id", n->lead),
			 LOG_HEX("transferee-member-id", c->member_id));
		if (c->member_id != n->member_id)
			raft_transfer_leader(n->raft, c->member_id);
		list_push_back(&n->transfers, &c->link);
	}
}

static void transfer_step(struct node *n)
{
	LIST_EACH_SAFE(l, &n->transfers) {
		struct call *c = CONTAINER_OF(l, struct call, link);

		if (n->lead != c->member_id)
			continue;
		LOG_INFO("leadership transfer finished", LOG_HEX("local-member-id", n->member_id), LOG_HEX("current-leader-member-id", n->lead));
		list_remove(&c->link);
		core_answer(n, c, OK);
	}
}

/* ---- core ---- */

void core_membership(struct node *n)
{
	catch_up_step(n);
	propose_step(n);
	transfer_step(n);
}

static void expire(struct node *n, struct list *from, uint64_t now_ns, uint64_t limit_ns, err_t err)
{
	LIST_EACH_SAFE(l, from) {
		struct call *c = CONTAINER_OF(l, struct call, link);

		if (now_ns < c->started_ns + limit_ns)
			continue;
		list_remove(&c->link);
		core_answer(n, c, err);
	}
}

void core_membership_tick(struct node *n, uint64_t now_ns)
{
	struct list again;

	expire(n, &n->catching_up, now_ns, CATCH_UP_NS, ERR_TIMEOUT_WAIT_APPLIED_INDEX);
	expire(n, &n->conf_changes, now_ns, n->time_limit_ns, ERR_TIMEOUT);
	expire(n, &n->transfers, now_ns, n->time_limit_ns, ERR_LEADER_TRANSFER_TIMEOUT);
	expire(n, &n->promotions, now_ns, n->time_limit_ns, ERR_TIMEOUT);
	list_init(&again);
	while (!list_empty(&n->promotions)) {
		struct list *l = n->promotions.next;

		list_remove(l);
		list_push_back(&again, l);
	}
	while (!list_empty(&again)) {
		struct call *c = CONTAINER_OF(again.next, struct call, link);

		list_remove(&c->link);
		core_conf_change(n, c);         /* this member may lead by now */
	}
}

static void refuse(struct node *n, struct list *from, err_t err)
{
	expire(n, from, UINT64_MAX, 0, err);
}

void core_membership_refuse(struct node *n, err_t err)
{
	refuse(n, &n->catching_up, err);
	refuse(n, &n->conf_changes, err);
	refuse(n, &n->transfers, err);
	refuse(n, &n->promotions, err);
}
