/* The core actor: all replicated state has this one writer. A batch is
 *
 *	messages -> propose what came -> raft -> WAL (posted) and apply -> commit policy -> publish -> answers
 *
 * in this order, so that an answer never leaves before the publication that shows its effect, and a group of proposals that
 * arrived together is one raft message and one write. */
#include "base/bug.h"
#include "node/node_impl.h"

enum { ANSWER_ACTORS = 20 };    /* io actors and core itself, of a usual machine; more are posted to one by one */

static void core_receive(void *self, struct msg *m)
{
	struct node *n = self;

	if (m->kind < CALL__END) {
		core_call(n, m);
		return;
	}
	if (m->kind < WATCH_CALL__END) {
		core_watch_call(n, m);
		return;
	}
	switch (m->kind) {
	case PERSIST_APPEND: core_appended(n, CONTAINER_OF(m, struct persist_append, msg)); break;
	case PERSIST_MERGE: core_merged(n); break;
	case CORE_START:
		core_tick(n);
		core_compact_kick(n);           /* one that the last run did not finish */
		break;
	case CORE_STOP: n->stopping = true; break;
	case CORE_TICK: core_tick(n); break;
	case CORE_COMMIT_TIMER: n->commit_wanted = n->commit_wanted || n->buffer_since_ns; break;
	case CORE_COMPACT_TIMER: core_compact_step(n); break;
	case CORE_COMPACT_HASH: core_compact_hashed(n, CONTAINER_OF(m, struct job, msg)); break;
	case CORE_WATCH_TASK: core_watch_task_done(n, CONTAINER_OF(m, struct job, msg)); break;
	case CORE_OWN_CALL: core_own_answer(n, CONTAINER_OF(CONTAINER_OF(m, struct call, msg), struct own_call, call)); break;
	case CORE_METRICS: core_metrics(n); break;
	case CORE_WATCH_MORE: break;    /* the batch's end goes on */
	case CORE_CORRUPT_HASH: core_corrupt_hashed(n, CONTAINER_OF(m, struct job, msg)); break;
	case CORE_QUESTION: core_question_back(n, m); break;
	case CORE_RELEASE: core_release(n, m); break;
	case CORE_RECEIVED: core_received(n, m); break;
	case CORE_UNREACHABLE:
	case CORE_SNAPSHOT_STATUS:
	case CORE_REMOVED: core_peer_report(n, m); break;
	case PERSIST_INSTALL: core_installed(n); break;
	case PERSIST_MOVE: core_defrag_stepped(n); break;
	default: UNREACHABLE();
	}
}

/* One message list per actor that waits. */
static void core_answers(struct node *n)
{
	uint64_t now = n->answers.count ? core_now(n) : 0;
	struct { struct actor *to; struct msg *first, **tail; } lists[ANSWER_ACTORS];
	size_t count = 0;

	for (size_t i = 0; i < n->answers.count; i++) {
		struct call *c = n->answers.at[i];
		size_t k = 0;

		if (c->field && c->err != ERR_TOO_MANY_REQUESTS)
			core_request_observe(n, c->field, c->applied, now - c->started_ns);
		c->field = 0;
		n->reads_waiting -= c->counted;
		c->counted = false;
		if (c->err && c->msg.kind == CALL_READ_INDEX)
			metric_add(c->err == ERR_TIMEOUT ? METRIC_SERVER_SLOW_READ_INDEXES_TOTAL : METRIC_SERVER_READ_INDEXES_FAILED_TOTAL, 1);
		c->msg.kind = c->reply_kind;
		while (k < count && lists[k].to != c->reply)
			k++;
		if (k == ANSWER_ACTORS) {
			actor_post(c->reply, &c->msg);
			continue;
		}
		if (k == count) {
			lists[k].to = c->reply;
			lists[k].tail = &lists[k].first;
			count++;
		}
		*lists[k].tail = &c->msg;
		lists[k].tail = &c->msg.next;
	}
	n->answers.count = 0;
	for (size_t k = 0; k < count; k++) {
		*lists[k].tail = NULL;
		actor_post_all(lists[k].to, lists[k].first);
	}
}

/* True once nothing of this node is under way any more. */
static bool core_quiet(struct node *n)
{
	return !n->merging && (!n->install || !core_install_running(n)) && !n->snapshot_busy && !n->jobs && !n->appends &&
	       !backend_pending_ops(n->backend);
}

/* A leader first hands over to the voter that has been there longest, so that the others need not wait for an election. True while
 * that is under way. */
static bool hand_over(struct node *n)
{
	uint64_t to;

	if (n->role != RAFT_LEADER || members_voter_count(n->members) < 2 || n->hand_over_ns == UINT64_MAX)
		return false;
	if (!n->hand_over_ns) {
		core_active_peers(n, &to);
		if (!to) {
			n->hand_over_ns = UINT64_MAX;
			return false;
		}
		LOG_INFO("leadership transfer starting", LOG_HEX("current-leader-member-id", n->member_id), LOG_HEX("transferee-member-id", to));
		n->hand_over_ns = core_now(n) + 3 * n->cfg.election_ms * UINT64_C(1000000);
		raft_transfer_leader(n->raft, to);
	}
	if (core_now(n) < n->hand_over_ns)
		return true;
	LOG_WARN("leadership transfer failed", LOG_HEX("local-member-id", n->member_id));
	n->hand_over_ns = UINT64_MAX;
	return false;
}

static void core_stop_step(struct node *n)
{
	if (hand_over(n))
		return;
	core_refuse_all(n, ERR_STOPPED);
	if (n->stop_done)
		return;
	if (core_installing(n) && !core_install_running(n))
		core_install_fini(n);           /* it is durable: the next start takes it */
	if (backend_pending_ops(n->backend) && !n->merging)
		n->commit_wanted = true;
	if (core_quiet(n))
		n->stopped = true;
}

static void core_batch_end(void *self)
{
	struct node *n = self;
	bool worked;

	if (n->stopping)
		core_stop_step(n);
	do {
		core_propose(n);
		core_reads(n);
		core_membership(n);
		worked = core_ready(n);
		worked |= core_apply(n);
		core_first_campaign(n);
		worked |= raft_has_ready(n->raft);
	} while (worked);
	core_flush(n);
	core_install_check(n);
	core_snapshot_check(n);
	core_commit(n);
	core_watch(n);
	if (!BUG(PUBLISH_LATE) || !n->answers.count)
		core_publish(n);
	core_watch_send(n);
	core_answers(n);
	epoch_reclaim(n->epoch);
	if (n->stopped && !n->stop_done && !n->appends) {
		timer_cancel(&n->tick);
		timer_cancel(&n->commit_timer);
		timer_cancel(&n->compact_timer);
		timer_cancel(&n->watch_more);
		timer_cancel(&n->metrics);
		n->stop_done = true;
	}
}

const struct actor_ops core_ops = {core_receive, core_batch_end};
