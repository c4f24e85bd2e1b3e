/* Calls from outside: proposals, linearizable reads, questions to the lessor; and the proposals that the server makes itself. */
#include "base/bug.h"
#include "node/node_impl.h"

enum { OWN_RESP_MAX = 1 << 20, READ_RETRY_MS = 500 };

void call_init(struct call *c, struct actor *reply, uint32_t reply_kind, size_t resp_max_bytes)
{
	*c = (struct call){.reply = reply, .reply_kind = reply_kind};
	buf_init(&c->resp, resp_max_bytes);
	list_init(&c->link);
}

void call_fini(struct call *c)
{
	buf_fini(&c->resp);
	blob_unref(c->entry);
	c->entry = NULL;
	bolt_pin_unref(c->pin);
	c->pin = NULL;
}

void call_post(struct node *n, struct call *c, enum call_kind kind)
{
	c->msg.kind = kind;
	c->started_ns = sched_now_ns(n->sched);
	actor_post(n->core, &c->msg);
}

void call_post_all(struct node *n, struct msg *first)
{
	uint64_t now_ns = sched_now_ns(n->sched);

	for (struct msg *m = first; m; m = m->next)
		CONTAINER_OF(m, struct call, msg)->started_ns = now_ns;
	actor_post_all(n->core, first);
}

struct release {
	struct msg msg;
	int64_t revision;
};

void node_release(struct node *n, int64_t revision)
{
	struct release *r = NEW(struct release);

	r->msg.kind = CORE_RELEASE;
	r->revision = revision;
	actor_post(n->core, &r->msg);
}

void core_release(struct node *n, struct msg *m)
{
	struct release *r = CONTAINER_OF(m, struct release, msg);

	if (!core_lost_hold(n, r->revision))
		mvcc_release(n->mvcc, r->revision);
	mem_free(r);
}

int64_t node_wall_ns(struct node *n)
{
	return n->cfg.hooks.wall_ns(n->cfg.hooks.arg);
}

uint64_t node_next_id(struct node *n)
{
	return n->id_prefix | ((atomic_fetch_add_explicit(&n->id_suffix, 1, memory_order_relaxed) + 1) & 0xffffffffffffu);
}

void core_answer(struct node *n, struct call *c, err_t err)
{
	c->err = err;
	VEC_PUSH(&n->answers, c);
}

static void admit(struct node *n, struct call *c)
{
	uint64_t behind = raft_commit(n->raft) - n->applied;

	if (n->stopping)
		core_answer(n, c, ERR_STOPPED);
	else if (!c->internal && (behind > COMMIT_TO_APPLY_MAX || n->proposals.count > COMMIT_TO_APPLY_MAX ||
				  n->proposal_bytes + c->entry->size > PROPOSAL_BYTES_MAX))
		core_answer(n, c, ERR_TOO_MANY_REQUESTS);
	else {
		VEC_PUSH(&n->proposals, c);
		n->proposal_bytes += c->entry->size;
	}
}

void core_call(struct node *n, struct msg *m)
{
	struct call *c = CONTAINER_OF(m, struct call, msg);

	switch ((enum call_kind)m->kind) {
	case CALL_PROPOSE:
		admit(n, c);
		break;
	case CALL_READ_INDEX:
		if (n->reads_waiting >= READS_WAITING_MAX) {
			core_answer(n, c, ERR_TOO_MANY_REQUESTS);
			break;
		}
		c->counted = true;
		n->reads_waiting++;
		list_push_back(&n->reads_new, &c->link);
		break;
	case CALL_LEASE_RENEW:
		core_lease_renew(n, c);
		break;
	case CALL_LEASE_TTL:
	case CALL_LEASE_LIST:
		core_lease_question(n, c);
		break;
	case CALL_CONF_CHANGE:
		core_conf_change(n, c);
		break;
	case CALL_TRANSFER:
		core_transfer(n, c);
		break;
	case CALL_CAUGHT_UP:
		core_catch_up(n, c);
		break;
	case CALL_COMMIT:
		c->order = backend_freeze_number(n->backend);
		n->commit_wanted = true;
		list_push_back(&n->barriers, &c->link);
		break;
	case CALL_HOLD:
		core_answer(n, c, mvcc_hold(n->mvcc, c->revision) ? OK : ERR_COMPACTED);
		break;
	case CALL_DEFRAG:
		list_push_back(&n->defrags, &c->link);
		core_defrag(n);
		break;
	case CALL_PHYSICAL:
		list_push_back(&n->physical, &c->link);
		core_compact_kick(n);
		break;
	default:
		UNREACHABLE();
	}
}

/* What only a leader may decide must not be forwarded to another one: a lease that expired here may have been renewed there. */
static void drop_leaders_own(struct node *n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->proposals.count; i++) {
		struct call *c = n->proposals.at[i];
		enum own_purpose p = c->reply_kind == CORE_OWN_CALL ? CONTAINER_OF(c, struct own_call, call)->purpose : OWN_READ;

		if (p == OWN_LEASE_REVOKE || p == OWN_LEASE_CHECKPOINT || p == OWN_COMPACT || p == OWN_CLUSTER_VERSION || p == OWN_DOWNGRADE_END) {
			n->proposal_bytes -= c->entry->size;
			core_answer(n, c, ERR_NOT_LEADER);
		} else {
			n->proposals.at[kept++] = c;
		}
	}
	n->proposals.count = kept;
}

/* All that came in this batch is one raft message. Refused as a whole (no leader yet, too much uncommitted): it stays
 * and is tried again with the next batch, until its time is over. */
void core_propose(struct node *n)
{
	size_t count;
	err_t err;

	if (n->proposals.count && raft_role(n->raft) != RAFT_LEADER && !BUG(REVOKE_FORWARDED))
		drop_leaders_own(n);
	count = n->proposals.count;
	if (!count || raft_lead(n->raft) == RAFT_NONE)
		return;
	VEC_RESERVE(&n->proposal_data, count);
	for (size_t i = 0; i < count; i++)
		n->proposal_data.at[i] = blob_ref(n->proposals.at[i]->entry);
	err = raft_propose(n->raft, n->proposal_data.at, count);
	if (err)
		return;
	for (size_t i = 0; i < count; i++) {
		struct call *c = n->proposals.at[i];

		blob_unref(c->entry);
		c->entry = NULL;
		waiters_add(&n->waiting, c);
	}
	n->proposals.count = 0;
	n->proposal_bytes = 0;
}

/* ---- linearizable reads: one round in flight serves everyone who waited when it began ---- */

static void move_all(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *l = from->next;

		list_remove(l);
		list_push_back(to, l);
	}
}

static void answer_all(struct node *n, struct list *from, err_t err)
{
	while (!list_empty(from)) {
		struct call *c = CONTAINER_OF(from->next, struct call, link);

		list_remove(&c->link);
		core_answer(n, c, err);
	}
}

static void read_ask(struct node *n)
{
	uint64_t id = BUG(READ_ID_REUSED) ? 1 : node_next_id(n);        /* a fresh id each time: a late answer must not serve a newer round */

	n->read_round = id;
	n->read_sent_ns = core_now(n);
	raft_read_index(n->raft, blob_copy(slice_of(&id, sizeof(id))));
}

void core_reads(struct node *n)
{
	if (list_empty(&n->reads_new) || !list_empty(&n->reads_asked))
		return;
	if (raft_lead(n->raft) == RAFT_NONE || (n->role == RAFT_LEADER && !raft_committed_in_term(n->raft)))
		return;
	move_all(&n->reads_new, &n->reads_asked);
	if (BUG(STALE_READ) && n->role == RAFT_LEADER) {
		move_all(&n->reads_asked, &n->reads_ready);
		core_reads_applied(n);
		return;
	}
	read_ask(n);
}

void core_read_state(struct node *n, const struct raft_read_state *rs)
{
	if (rs->ctx->size != sizeof(n->read_round) || memcmp(rs->ctx->data, &n->read_round, sizeof(n->read_round)) != 0)
		return;
	n->read_round = 0;
	LIST_EACH(l, &n->reads_asked)
		CONTAINER_OF(l, struct call, link)->order = rs->index;
	move_all(&n->reads_asked, &n->reads_ready);
	core_reads_applied(n);
}

void core_reads_applied(struct node *n)
{
	while (!list_empty(&n->reads_ready)) {
		struct call *c = CONTAINER_OF(n->reads_ready.next, struct call, link);

		if (c->order > n->applied && !BUG(READ_BEFORE_APPLY))
			break;
		list_remove(&c->link);
		if (c->msg.kind == CALL_LEASE_RENEW)
			core_lease_confirmed(n, c);
		else if (c->msg.kind == CALL_LEASE_TTL)
			core_lease_question_confirmed(n, c);
		else
			core_answer(n, c, OK);
	}
}

/* A leader that was lost takes the round in flight with it. */
void core_reads_again(struct node *n)
{
	if (!list_empty(&n->reads_asked) && n->lead != RAFT_NONE)
		read_ask(n);
}

/* ---- time limits ---- */

static void expire_list(struct node *n, struct list *l, uint64_t now_ns, err_t err)
{
	while (!list_empty(l)) {
		struct call *c = CONTAINER_OF(l->next, struct call, link);

		if (now_ns < c->started_ns + n->time_limit_ns)
			break;
		list_remove(&c->link);
		core_answer(n, c, err);
	}
}

/* Upstream's guess at why an entry that was handed to raft did not come back in time. */
static err_t timeout_reason(struct node *n, const struct call *c)
{
	const struct node_transport *t = n->cfg.transport;
	uint64_t election_ns = n->cfg.election_ms * UINT64_C(1000000);
	uint64_t lost_ns = n->leader_found_ns > 2 * election_ns ? n->leader_found_ns - 2 * election_ns : 0;

	if (c->started_ns > lost_ns && c->started_ns < n->leader_found_ns)
		return ERR_TIMEOUT_DUE_TO_LEADER_FAIL;
	if (n->lead == n->member_id) {
		size_t voters = members_voter_count(n->members), since = 1;

		for (size_t i = 0; t && i < members_count(n->members); i++) {
			uint64_t at = t->active_since_ns(t->arg, members_at(n->members, i)->id);

			since += at && at <= c->started_ns && members_at(n->members, i)->id != n->member_id;
		}
		return since < voters / 2 + 1 ? ERR_TIMEOUT_DUE_TO_CONNECTION_LOST : ERR_TIMEOUT;
	}
	if (n->lead != RAFT_NONE) {
		uint64_t at = t ? t->active_since_ns(t->arg, n->lead) : 0;

		return at && at <= c->started_ns ? ERR_TIMEOUT : ERR_TIMEOUT_DUE_TO_CONNECTION_LOST;
	}
	return ERR_TIMEOUT;
}

void core_expire(struct node *n, uint64_t now_ns)
{
	struct call *c;
	size_t kept = 0;

	while ((c = waiters_oldest(&n->waiting)) && now_ns >= c->started_ns + n->time_limit_ns)
		core_answer(n, waiters_take(&n->waiting, c->id), timeout_reason(n, c));
	for (size_t i = 0; i < n->proposals.count; i++) {
		c = n->proposals.at[i];
		if (now_ns >= c->started_ns + n->time_limit_ns) {
			n->proposal_bytes -= c->entry->size;
			core_answer(n, c, ERR_CONTEXT_DEADLINE);        /* still blocked: upstream's context ends */
		} else {
			n->proposals.at[kept++] = c;
		}
	}
	n->proposals.count = kept;
	expire_list(n, &n->reads_ready, now_ns, ERR_TIMEOUT);
	expire_list(n, &n->reads_asked, now_ns, ERR_TIMEOUT);
	expire_list(n, &n->reads_new, now_ns, ERR_TIMEOUT);
	core_membership_tick(n, now_ns);
	core_lease_questions_tick(n, now_ns);
	if (!list_empty(&n->reads_asked) && now_ns - n->read_sent_ns >= READ_RETRY_MS * UINT64_C(1000000))
		read_ask(n);
}

void core_refuse_all(struct node *n, err_t err)
{
	struct call *c;

	while ((c = waiters_oldest(&n->waiting)))
		core_answer(n, waiters_take(&n->waiting, c->id), err);
	for (size_t i = 0; i < n->proposals.count; i++)
		core_answer(n, n->proposals.at[i], err);
	n->proposals.count = 0;
	n->proposal_bytes = 0;
	core_questions_forget_calls(n, err);
	answer_all(n, &n->renewals, err);
	answer_all(n, &n->reads_new, err);
	answer_all(n, &n->reads_asked, err);
	answer_all(n, &n->reads_ready, err);
	core_membership_refuse(n, err);
	answer_all(n, &n->ttl_questions, err);
	answer_all(n, &n->physical, err);
	answer_all(n, &n->defrags, err);
	answer_all(n, &n->after_alarm, err);
	if (!n->merging && !n->commit_wanted)
		answer_all(n, &n->barriers, err);
}

/* ---- the server's own proposals ---- */

void core_own_propose(struct node *n, enum own_purpose purpose, enum internal_field field, struct slice body, int64_t lease_id)
{
	struct own_call *o = NEW(struct own_call);
	struct internal_req r = {.id = node_next_id(n), .field = field, .body = body};
	struct buf data;

	if (purpose == OWN_LEASE_REVOKE && auth_state(n->auth)->enabled) {     /* as upstream: keys may be anybody's */
		r.username = SLICE_LIT("root");
		r.auth_revision = auth_state(n->auth)->revision;
	}
	call_init(&o->call, n->core, CORE_OWN_CALL, OWN_RESP_MAX);
	o->purpose = purpose;
	o->lease_id = lease_id;
	o->installs = n->installs;
	o->call.id = r.id;
	o->call.field = field;
	o->call.internal = true;
	o->call.started_ns = core_now(n);
	buf_init(&data, body.size + 256);
	internal_req_encode(&r, &data);
	ASSERT(!buf_failed(&data));
	o->call.entry = blob_copy(buf_slice(&data));
	buf_fini(&data);
	admit(n, &o->call);
}

void core_own_read(struct node *n, enum own_purpose purpose)
{
	struct own_call *o = NEW(struct own_call);

	call_init(&o->call, n->core, CORE_OWN_CALL, 0);
	o->purpose = purpose;
	o->call.started_ns = core_now(n);
	o->call.msg.kind = CALL_READ_INDEX;
	list_push_back(&n->reads_new, &o->call.link);
}

static void own_done(struct node *n, struct own_call *o)
{
	switch (o->purpose) {
	case OWN_PUBLISH:
		n->own_publish_sent = false;            /* on failure the next tick sends it again */
		if (!o->call.err && !n->is_ready) {
			n->is_ready = true;
			LOG_INFO("published local member to cluster through raft", LOG_HEX("local-member-id", n->member_id),
				 LOG_STR("local-member-attributes", n->cfg.name), LOG_HEX("cluster-id", n->cluster_id),
				 LOG_DURATION("publish-timeout", (int64_t)n->time_limit_ns));
			core_ready_tell(n);
		}
		break;
	case OWN_READ:
		if (!o->call.err)
			core_leadership_confirmed(n);
		else if (n->lessor_waits && !n->stopping)
			core_own_read(n, OWN_READ);
		break;
	case OWN_DOWNGRADE_END:
	case OWN_CLUSTER_VERSION:
		n->version_proposed = false;
		break;
	case OWN_ALARM:
		n->alarm_proposed = false;
		answer_all(n, &n->after_alarm, ERR_NO_SPACE);
		break;
	case OWN_COMPACT:
		core_auto_compacted(n, o->call.err);
		break;
	case OWN_DEFRAG:
		core_auto_defragged(n, o->call.err);
		break;
	case OWN_LEASE_REVOKE:
		if (o->installs == n->installs)         /* else it was the lessor before that counted it */
			lease_revoke_ended(n->lessor);
		break;
	case OWN_SECURE:
		core_secure_answer(n, o->call.err);
		break;
	case OWN_READ_CORRUPT:
		core_corrupt_read(n, o->call.err);
		break;
	case OWN_ALARM_CORRUPT:
	case OWN_LEASE_CHECKPOINT:
		break;
	}
}

void core_own_answer(struct node *n, struct own_call *o)
{
	own_done(n, o);
	call_fini(&o->call);
	mem_free(o);
}
