/* Disk snapshots and the length of the log. A disk snapshot at index a passes three barriers (DESIGN section 5):
 *
 *	freeze at a -> merge (backend durable with consistent index a), then NAME.snap (file and directory synced)
 *	            -> WAL snapshot record, written behind the hard state with commit >= a, synced
 *	            -> only then older files are released
 *
 * A snapshot for another member is the same cut without the files: frozen at a, merged, and then that commit of the file is
 * streamed behind a MSG_SNAP of a, with a's ConfState.
 *
 * The hard state that commits a was handed to the WAL before a was applied, so it stands in front of the record. */
#include "base/bug.h"
#include "node/node_impl.h"

enum { MEMORY_SNAPSHOT_EVERY = 100, SNAPSHOTS_WAITING_MAX = 16, KEEP_LOG_S = 30 };

/* Applied entries are kept for members that fall behind: so many bytes of them, however few entries that is. A lone member
 * keeps some for one that joins soon. */
enum { LOG_BYTES_MAX = 64 << 20, LOG_BYTES_MAX_ALONE = 1 << 20 };

static size_t log_bytes_max(const struct node *n)
{
	return raft_is_only_voter(n->raft) && raft_conf_state(n->raft)->learners.count == 0 ? LOG_BYTES_MAX_ALONE : LOG_BYTES_MAX;
}

static void raft_memory(struct node *n)
{
	uint64_t catchup = n->cfg.snapshot_catchup_entries;
	uint64_t compact = n->applied > catchup ? n->applied - catchup : 1;
	struct raft_conf_state cs = *raft_conf_state(n->raft);

	n->memory_snapshot_index = n->applied;
	if (raft_mem_storage_create_snapshot(n->log, n->applied, &cs, NULL))
		return;
	/* Who was just sent a snapshot goes on from behind it. */
	if (n->snapshots_out || n->snapshots_wanted.count || n->snapshots_cut.count || core_now(n) < n->keep_log_until_ns)
		return;
	/* Gone already: nothing to do. */
	if (compact >= raft_mem_storage_first_index(n->log))
		err_ignore(raft_mem_storage_compact(n->log, compact));
	while (raft_mem_storage_data_bytes(n->log) > log_bytes_max(n) && raft_mem_storage_first_index(n->log) < n->applied)
		err_ignore(raft_mem_storage_compact(n->log, raft_mem_storage_first_index(n->log)));
}

void core_snapshot_check(struct node *n)
{
	if (n->work || core_installing(n))
		return;                 /* in the middle of a batch */
	if (!n->snapshot_busy && !n->snapshot_wanted && !n->stopping &&
	    (n->applied - n->snapshot_index > n->cfg.snapshot_count || (n->snapshot_forced && n->applied > n->snapshot_index))) {
		n->snapshot_wanted = true;
		n->snapshot_forced = false;
		n->commit_wanted = true;
	}
	if (n->applied > n->memory_snapshot_index + MEMORY_SNAPSHOT_EVERY ||
	    (n->applied > n->memory_snapshot_index && raft_mem_storage_data_bytes(n->log) > log_bytes_max(n) * 9 / 8))
		raft_memory(n);
}

/* Upstream makes a v2 store for the members of each snapshot, and that is all that its v2 metrics count. */
static void v2_store_observe(struct node *n)
{
	size_t members = members_count(n->members);

	metric_add(metric_series(METRIC_DEBUGGING_STORE_WRITES_TOTAL, (const char *[]){"create"}), members + members_removed_count(n->members));
	metric_add(metric_series(METRIC_DEBUGGING_STORE_WRITES_TOTAL, (const char *[]){"set"}), members + (*members_version(n->members) != 0));
	metric_add(metric_series(METRIC_DEBUGGING_STORE_READS_TOTAL, (const char *[]){"getRecursive"}), 1);
}

struct raft_snapshot *core_snapshot_begin(struct node *n)
{
	struct raft_snapshot *s;
	struct persist_append *a;
	struct buf json;
	uint64_t began_ns = core_now(n);

	if (!n->snapshot_wanted)
		return NULL;
	n->snapshot_wanted = false;
	n->snapshot_busy = true;
	buf_init(&json, 64 << 20);
	members_v2_json_write(n->members, &json);
	ASSERT(!buf_failed(&json));
	s = NEW(struct raft_snapshot);
	s->index = n->applied;
	s->term = n->applied_term;
	s->data = blob_copy(buf_slice(&json));
	raft_conf_state_copy(&s->conf_state, raft_conf_state(n->raft));
	buf_fini(&json);
	metric_observe(METRIC_DEBUGGING_SNAP_SAVE_MARSHALLING_DURATION_SECONDS, core_now(n) - began_ns);
	v2_store_observe(n);

	a = NEW(struct persist_append);
	a->msg.kind = PERSIST_APPEND;
	a->is_mark = true;
	a->mark.index = s->index;
	a->mark.term = s->term;
	a->mark.has_conf_state = true;
	raft_conf_state_copy(&a->mark.conf_state, raft_conf_state(n->raft));
	n->snapshot_mark = a;
	LOG_INFO("triggering snapshot", LOG_HEX("local-member-id", n->member_id), LOG_UINT("local-member-applied-index", n->applied),
		 LOG_UINT("local-member-snapshot-index", n->snapshot_index), LOG_UINT("local-member-snapshot-count", n->cfg.snapshot_count));
	return s;
}

void core_snapshot_saved(struct node *n)
{
	raft_snapshot_fini(n->merge.snap);
	mem_free(n->merge.snap);
	n->merge.snap = NULL;
	if (BUG(MARK_BEFORE_MERGE))
		return;
	actor_post(n->persist.wal_actor, &n->snapshot_mark->msg);
	n->snapshot_mark = NULL;
}

void core_snapshot_marked(struct node *n, struct persist_append *take_a)
{
	n->snapshot_index = take_a->mark.index;
	n->snapshot_busy = false;
	LOG_INFO("saved snapshot to disk", LOG_UINT("snapshot-index", n->snapshot_index));
	wal_snapshot_mark_fini(&take_a->mark);
	mem_free(take_a);
}

/* ---- to other members ---- */

void core_snapshot_send(struct node *n, struct raft_message *take_m)
{
	struct raft_message m = raft_message_take(take_m);

	if (n->snapshots_wanted.count == SNAPSHOTS_WAITING_MAX || n->stopping) {
		raft_report_snapshot(n->raft, m.to, true);
		raft_message_fini(&m);
		return;
	}
	VEC_PUSH(&n->snapshots_wanted, m);
	n->commit_wanted = true;
	if (BUG(SNAPSHOT_INEXACT) && !n->merging) {
		core_snapshot_cut(n);
		core_snapshot_out(n);
	}
}

void core_snapshot_cut(struct node *n)
{
	struct buf json;

	ASSERT(!n->snapshots_cut.count);
	if (!n->snapshots_wanted.count)
		return;
	buf_init(&json, 64 << 20);
	members_v2_json_write(n->members, &json);
	ASSERT(!buf_failed(&json));
	for (size_t i = 0; i < n->snapshots_wanted.count; i++) {
		struct raft_message *m = &n->snapshots_wanted.at[i];
		struct raft_snapshot *s = m->snapshot;

		raft_snapshot_fini(s);
		*s = (struct raft_snapshot){.index = MAX(n->applied, n->replayed), .term = MAX(n->applied_term, n->replayed_term),
					    .data = blob_copy(buf_slice(&json))};
		raft_conf_state_copy(&s->conf_state, raft_conf_state(n->raft));
		VEC_PUSH(&n->snapshots_cut, *m);
	}
	n->snapshots_wanted.count = 0;
	buf_fini(&json);
}

void core_snapshot_out(struct node *n)
{
	const struct node_transport *t = n->cfg.transport;
	struct backend_view v;

	if (!n->snapshots_cut.count)
		return;
	backend_view_get(n->backend, &v);
	for (size_t i = 0; i < n->snapshots_cut.count; i++) {
		struct raft_message *m = &n->snapshots_cut.at[i];

		LOG_INFO("sending snapshot", LOG_HEX("to", m->to), LOG_UINT("snapshot-index", m->snapshot->index),
			 LOG_UINT("size-bytes", bolt_pin_size(v.pin)));
		n->snapshots_out++;
		t->send_snapshot(t->arg, m, bolt_pin_ref(v.pin));
	}
	n->snapshots_cut.count = 0;
}

void core_snapshot_sent(struct node *n, bool ok)
{
	if (n->snapshots_out)
		n->snapshots_out--;
	if (ok)
		n->keep_log_until_ns = core_now(n) + KEEP_LOG_S * UINT64_C(1000000000);
}
