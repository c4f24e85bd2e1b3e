/* Lease renewals. Only the leader knows the clocks of leases: it renews after it made sure that it still leads (alone it knows; else
 * a read index of a time after the request came); everybody else asks it, and again while there is none, until the time limit. */
#include "base/bug.h"
#include "node/node_impl.h"

enum { ASK_TIMEOUT_MS = 1000 };

static struct response_header header_now(const struct node *n)
{
	return (struct response_header){n->cluster_id, n->member_id, mvcc_revision(n->mvcc), raft_term(n->raft)};
}

static void checkpoint_clear(struct node *n, struct call *c)
{
	struct buf body;
	size_t mark;

	buf_init(&body, 64);
	mark = pb_begin(&body, 1);
	pb_put_uint(&body, 1, (uint64_t)c->lease_id);
	pb_end(&body, mark);
	core_own_propose(n, OWN_LEASE_CHECKPOINT, REQ_LEASE_CHECKPOINT, buf_slice(&body), c->lease_id);
	buf_fini(&body);
}

static void later(struct node *n, struct call *c)
{
	list_push_back(&n->renewals, &c->link);
}

static void renew_here(struct node *n, struct call *c)
{
	bool clear_checkpoint = false;
	err_t err = core_lease_permitted(n, c, c->lease_id, AUTH_WRITE);

	if (err) {
		core_answer(n, c, err);
		return;
	}
	err = lease_renew(n->lessor, c->lease_id, core_now(n), &c->ttl_s, &clear_checkpoint);

	c->header = header_now(n);
	if (err == ERR_NOT_PRIMARY_LESSOR && !c->local) {
		later(n, c);
		return;
	}
	if (err == ERR_LEASE_NOT_FOUND || err == ERR_AGAIN) {
		/* Expired and about to be revoked counts as gone: its revocation is in the log or will be. */
		c->ttl_s = 0;
		err = OK;
	}
	if (!err && clear_checkpoint)
		checkpoint_clear(n, c);
	core_answer(n, c, err);
}

/* LeaseKeepAliveResponse {ID 2, TTL 3} */
static err_t answer_read(struct slice body, int64_t *ttl_s)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	*ttl_s = 0;
	while (pb_next(&r, &f))
		if (f.number == 3 && f.wire == PB_VARINT)
			*ttl_s = (int64_t)f.value;
	return r.failed ? ERR_MALFORMED : OK;
}

static void leader_answered(struct node *n, struct core_question *a)
{
	struct call *c = a->call;

	c->header = header_now(n);
	c->ttl_s = 0;
	if (!a->q.err && a->q.status == 404)
		core_answer(n, c, OK);
	else if (!a->q.err && a->q.status == 200 && !answer_read(buf_slice(&a->q.answer), &c->ttl_s))
		core_answer(n, c, OK);
	else
		later(n, c);            /* asked again at the next tick */
}

static bool ask_leader(struct node *n, struct call *c)
{
	const struct member *leader = members_find(n->members, n->lead);
	struct core_question *q;

	if (!leader || n->question_count >= QUESTIONS_MAX)
		return false;
	q = core_question_new(MEMBER_LEASES, &leader->peer_urls, leader_answered);
	pb_put_uint(&q->body, 1, (uint64_t)c->lease_id);
	q->q.timeout_ms = ASK_TIMEOUT_MS;
	q->call = c;
	core_ask(n, q);
	return true;
}

void core_lease_renew(struct node *n, struct call *c)
{
	err_t err;

	if (n->stopping)
		core_answer(n, c, ERR_STOPPED);
	else if (n->role == RAFT_LEADER && (raft_is_only_voter(n->raft) || BUG(RENEW_UNCONFIRMED)))
		renew_here(n, c);
	else if (n->role == RAFT_LEADER)
		list_push_back(&n->reads_new, &c->link);        /* core_lease_confirmed */
	else if (c->local)
		core_answer(n, c, ERR_NOT_PRIMARY_LESSOR);
	else if (n->lead == RAFT_NONE)
		later(n, c);
	else if ((err = core_lease_permitted(n, c, c->lease_id, AUTH_WRITE)))
		core_answer(n, c, err);
	else if (!ask_leader(n, c))
		later(n, c);
}

void core_lease_confirmed(struct node *n, struct call *c)
{
	if (n->role == RAFT_LEADER)
		renew_here(n, c);
	else
		core_lease_renew(n, c);
}

/* Tries those that wait once more; ends what waited too long. */
void core_renewals(struct node *n, uint64_t now_ns)
{
	struct list waiting;

	list_init(&waiting);
	while (!list_empty(&n->renewals)) {
		struct list *l = n->renewals.next;

		list_remove(l);
		list_push_back(&waiting, l);
	}
	while (!list_empty(&waiting)) {
		struct call *c = CONTAINER_OF(waiting.next, struct call, link);

		list_remove(&c->link);
		if (now_ns >= c->started_ns + n->time_limit_ns)
			core_answer(n, c, n->lead ? ERR_TIMEOUT : ERR_NO_LEADER);       /* as upstream's waitLeader */
		else
			core_lease_renew(n, c);
	}
}
