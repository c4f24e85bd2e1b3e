/* When the write buffer is frozen and merged into the backend file: 100 ms after its first write, at 10,000 operations, when it is
 * full, or when somebody wants it durable. One merge at a time; core applies into the next buffer meanwhile.
 *
 * A freeze happens between entries and carries index, term and ConfState of the last whole entry (DESIGN: the consistent
 * index never passes the data, nor the WAL, for only durable entries are applied). */
#include "base/bug.h"
#include "node/node_impl.h"

static uint64_t batch_ns(const struct node *n)
{
	return (n->cfg.backend_batch_ms ? n->cfg.backend_batch_ms : 100) * UINT64_C(1000000);
}

void core_wrote(struct node *n)
{
	if (n->buffer_since_ns)
		return;
	n->buffer_since_ns = MAX(core_now(n), 1);
	timer_set(&n->commit_timer, batch_ns(n));
}

static bool due(const struct node *n)
{
	uint32_t limit = n->cfg.backend_batch_limit ? n->cfg.backend_batch_limit : 10000;

	return n->commit_wanted || backend_pending_ops(n->backend) >= limit || backend_full(n->backend);
}

static uint64_t freeze_index(const struct node *n)
{
	uint64_t index = MAX(n->applied, n->replayed);

	if (BUG(FAILED_STANDS_STILL))
		index -= n->failed_in_a_row;
	if (BUG(INDEX_AHEAD))
		index++;
	if (BUG(INDEX_BEHIND) && index > backend_durable_index(n->backend))
		index--;
	return index;
}

void core_commit(struct node *n)
{
	struct slice conf = n->conf_state_changed ? buf_slice(&n->conf_state_json) : (struct slice){0};

	/* A buffer that runs full stops the applying of entries: worse than a slow sync. */
	pacer_hurry(n->cfg.pacer, n->stopping || backend_pending_bytes(n->backend) > BACKEND_BUFFER_BYTES_MAX / 2);
	if (n->merging || core_installing(n) || !due(n))
		return;
	core_snapshot_cut(n);
	n->merge.snap = core_snapshot_begin(n);
	backend_freeze(n->backend, freeze_index(n), MAX(n->applied_term, n->replayed_term), conf);
	n->conf_state_changed = false;
	n->commit_wanted = false;
	n->buffer_since_ns = 0;
	timer_cancel(&n->commit_timer);
	n->merging = true;
	n->changed = true;
	n->merge_started_ns = core_now(n);
	n->merge.msg.kind = PERSIST_MERGE;
	actor_post(n->persist.backend_actor, &n->merge.msg);
	if (BUG(MARK_BEFORE_MERGE) && n->snapshot_mark) {
		actor_post(n->persist.wal_actor, &n->snapshot_mark->msg);
		n->snapshot_mark = NULL;
	}
}

void core_merged(struct node *n)
{
	struct backend_view v;
	bool snap = n->merge.snap != NULL;

	if (backend_merged(n->backend))
		fatal("backend file: cannot be read back after a commit");
	metric_observe(METRIC_DISK_BACKEND_COMMIT_DURATION_SECONDS, core_now(n) - n->merge_started_ns);
	metric_observe(METRIC_DEBUGGING_DISK_BACKEND_COMMIT_REBALANCE_DURATION_SECONDS, n->merge.times.balance_ns);
	metric_observe(METRIC_DEBUGGING_DISK_BACKEND_COMMIT_SPILL_DURATION_SECONDS, n->merge.times.place_ns);
	metric_observe(METRIC_DEBUGGING_DISK_BACKEND_COMMIT_WRITE_DURATION_SECONDS, n->merge.times.write_ns);
	n->merging = false;
	n->changed = true;
	backend_view_get(n->backend, &v);
	LIST_EACH_SAFE(l, &n->barriers) {
		struct call *c = CONTAINER_OF(l, struct call, link);

		if (c->order > backend_merged_count(n->backend))
			continue;
		list_remove(&c->link);
		c->pin = bolt_pin_ref(v.pin);
		c->header = (struct response_header){n->cluster_id, n->member_id, mvcc_revision(n->mvcc), raft_term(n->raft)};
		core_answer(n, c, OK);
	}
	if (!list_empty(&n->barriers))
		n->commit_wanted = true;
	if (snap)
		core_snapshot_saved(n);
	core_snapshot_out(n);
	core_defrag(n);
}
