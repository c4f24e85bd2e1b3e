/* Questions about leases. The leader alone knows remaining times: another member asks it (spec peer.md section 8). */
#include "node/node_impl.h"

enum { TTL_UNKNOWN = -1 };

static void answer_with_header(struct node *n, struct call *c)
{
	struct response_header h = {n->cluster_id, n->member_id, mvcc_revision(n->mvcc), raft_term(n->raft)};

	response_header_encode(&h, 1, &c->resp);
	core_answer(n, c, buf_failed(&c->resp) ? ERR_TOO_LARGE : OK);
}

/* LeaseInternalResponse {1: LeaseTimeToLiveResponse, its header empty} */
static bool take_ttl(struct call *c, struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	bool found = false;

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES) {
			buf_clear(&c->resp);
			buf_put_slice(&c->resp, f.bytes);
			found = true;
		}
	return found && !r.failed;
}

static void ttl_answered(struct node *n, struct core_question *q)
{
	struct call *c = q->call;

	if (!q->q.err && q->q.status == 404) {
		pb_put_uint(&c->resp, 2, (uint64_t)c->lease_id);
		pb_put_uint(&c->resp, 3, (uint64_t)TTL_UNKNOWN);
		answer_with_header(n, c);
	} else if (!q->q.err && q->q.status == 200 && c->want_keys && c->who.revision && auth_state(n->auth)->enabled &&
		   c->who.revision != auth_state(n->auth)->revision) {
		core_answer(n, c, ERR_AUTH_OLD_REVISION);       /* rights changed while the leader was asked */
	} else if (!q->q.err && q->q.status == 200 && take_ttl(c, buf_slice(&q->q.answer))) {
		answer_with_header(n, c);
	} else {
		list_push_back(&n->ttl_questions, &c->link);
	}
}

/* body: LeaseInternalRequest {1: LeaseTimeToLiveRequest {ID 1, keys 2}} */
static void ttl_ask(struct node *n, struct call *c)
{
	const struct member *lead = n->lead != RAFT_NONE ? members_find(n->members, n->lead) : NULL;
	struct core_question *q;
	size_t mark;

	if (!lead) {
		list_push_back(&n->ttl_questions, &c->link);
		return;
	}
	q = core_question_new(MEMBER_LEASES_INTERNAL, &lead->peer_urls, ttl_answered);
	mark = pb_begin(&q->body, 1);
	pb_put_uint(&q->body, 1, (uint64_t)c->lease_id);
	pb_put_uint(&q->body, 2, c->want_keys);
	pb_end(&q->body, mark);
	q->call = c;
	core_ask(n, q);
}

/* confirmed: this member led when a round of read index ended that began behind the question, and has applied what it named. Without that
 * "unknown" is not said: a leader knows what was committed before its time only behind an entry of its own, and one that was deposed does
 * not hear of grants any more. */
static void ttl_here(struct node *n, struct call *c, bool confirmed)
{
	if (c->local && !lessor_is_primary(n->lessor)) {
		core_answer(n, c, ERR_NOT_PRIMARY_LESSOR);
		return;
	}
	if (!confirmed && !n->lone_leader && !lease_exists(n->lessor, c->lease_id)) {
		list_push_back(&n->reads_new, &c->link);
		return;
	}
	c->unknown_lease = !lease_exists(n->lessor, c->lease_id);
	lease_ttl_encode(n->lessor, c->lease_id, core_now(n), c->want_keys, &c->resp);
	answer_with_header(n, c);
}

/* The keys of a lease are shown to who may read them. */
static err_t permitted(struct node *n, const struct call *c)
{
	if (c->msg.kind == CALL_LEASE_LIST)
		return core_lease_list_permitted(n, c);
	if (c->want_keys)
		return core_lease_permitted(n, c, c->lease_id, AUTH_READ);
	return c->local ? OK : auth_check_user(auth_state(n->auth), &c->who);
}

void core_lease_question(struct node *n, struct call *c)
{
	err_t err = permitted(n, c);

	if (err) {
		core_answer(n, c, err);
	} else if (c->msg.kind == CALL_LEASE_LIST) {
		lease_list_encode(n->lessor, &c->resp);
		answer_with_header(n, c);
	} else if (n->stopping) {
		core_answer(n, c, ERR_STOPPED);
	} else if (n->role == RAFT_LEADER || c->local) {
		ttl_here(n, c, false);
	} else {
		ttl_ask(n, c);
	}
}

void core_lease_question_confirmed(struct node *n, struct call *c)
{
	if (n->role == RAFT_LEADER)
		ttl_here(n, c, true);
	else
		core_lease_question(n, c);
}

void core_lease_questions_tick(struct node *n, uint64_t now_ns)
{
	struct list again;

	list_init(&again);
	while (!list_empty(&n->ttl_questions)) {
		struct list *l = n->ttl_questions.next;

		list_remove(l);
		list_push_back(&again, l);
	}
	while (!list_empty(&again)) {
		struct call *c = CONTAINER_OF(again.next, struct call, link);

		list_remove(&c->link);
		if (now_ns >= c->started_ns + n->time_limit_ns)
			core_answer(n, c, ERR_TIMEOUT);
		else
			core_lease_question(n, c);
	}
}
