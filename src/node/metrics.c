/* Gauges and counters of the node, brought up to date with each tick and a moment after a publication: what a scrape reads is a few
 * milliseconds old. */
#include <stdio.h>

#include "node/node_impl.h"
#include "pb/describe.h"

static void count(uint32_t series, uint64_t now, uint64_t *seen)
{
	metric_add(series, now - *seen);
	*seen = now;
}

static void once(struct node *n)
{
	char text[MEMBER_ID_TEXT_SIZE];

	metric_set(metric_series(METRIC_SERVER_VERSION, (const char *[]){NODE_SERVER_VERSION}), 1);
	metric_set(metric_series(METRIC_SERVER_ID, (const char *[]){member_id_text(n->member_id, text)}), 1);
	metric_set(METRIC_SERVER_QUOTA_BACKEND_BYTES, (double)n->apply.quota_bytes);
}

/* The label is MAJOR.MINOR; the series of the version before goes. */
static void cluster_version(struct node *n)
{
	const char *v = members_version(n->members);
	char minor[sizeof(n->seen.cluster_version)];
	char *dot;

	strncpy(minor, v, sizeof(minor) - 1);
	minor[sizeof(minor) - 1] = 0;
	dot = strrchr(minor, '.');
	if (dot)
		*dot = 0;
	if (strcmp(minor, n->seen.cluster_version) == 0)
		return;
	if (n->seen.cluster_version[0])
		metric_drop(metric_series(METRIC_CLUSTER_VERSION, (const char *[]){n->seen.cluster_version}));
	memcpy(n->seen.cluster_version, minor, sizeof(minor));
	if (minor[0])
		metric_set(metric_series(METRIC_CLUSTER_VERSION, (const char *[]){minor}), 1);
}

void core_known_peer(struct node *n, uint64_t id, bool known)
{
	char local[MEMBER_ID_TEXT_SIZE], remote[MEMBER_ID_TEXT_SIZE];

	metric_set(metric_series(METRIC_NETWORK_KNOWN_PEERS,
				 (const char *[]){member_id_text(n->member_id, local), member_id_text(id, remote)}),
		   known);
}

void core_alarm_metrics(const struct blob *alarms, bool raised)
{
	static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
	struct pb_reader r = pb_reader_of(alarms ? blob_slice(alarms) : (struct slice){0});
	struct pb_field f;

	while (pb_next(&r, &f)) {
		struct pb_reader in = pb_reader_of(f.bytes);
		struct pb_field g;
		uint64_t member = 0, type = 0;
		char text[MEMBER_ID_TEXT_SIZE], number[24];

		while (pb_next(&in, &g))
			*(g.number == 1 ? &member : &type) = g.value;
		snprintf(number, sizeof(number), "%llu", (unsigned long long)type);
		metric_set(metric_series(METRIC_DEBUGGING_SERVER_ALARMS,
					 (const char *[]){type < ARRAY_COUNT(names) ? names[type] : number, member_id_text(member, text)}),
			   raised);
	}
}

static struct op_series *op_series(struct node *n, uint32_t field)
{
	for (size_t i = 0; i < n->op_count; i++)
		if (n->ops[i].field == field)
			return &n->ops[i];
	ASSERT(n->op_count < OP_SERIES_MAX);
	n->ops[n->op_count].field = field;
	return &n->ops[n->op_count++];
}

static const char *success_name(bool success)
{
	return success ? "true" : "false";
}

/* What the entry asked for. */
static void request_text(struct node *n, const struct raft_entry *e, struct buf *out)
{
	buf_init(out, LOG_STRING_SIZE_MAX);
	describe_entry(&n->apply.arena, blob_slice(e->data), apply_request_name(n->out.field), out);
	arena_reset(&n->apply.arena);
}

static void failed_apply(struct node *n, const struct raft_entry *e, uint64_t took_ns)
{
	struct buf text;

	request_text(n, e, &text);
	LOG_WARN("failed to apply request", LOG_DURATION("took", (int64_t)took_ns), LOG_SLICE("request", buf_slice(&text)),
		 LOG_STR("response", ""), LOG_ERR(n->out.err));
	buf_fini(&text);
}

static void slow_apply(struct node *n, const struct raft_entry *e, const struct buf *resp, uint64_t took_ns)
{
	struct buf text;
	char size[32] = "";

	request_text(n, e, &text);
	if (resp && !n->out.err)
		snprintf(size, sizeof(size), "size:%zu", resp->size);
	if (n->out.err)
		LOG_WARN("apply request took too long", LOG_DURATION("took", (int64_t)took_ns),
			 LOG_DURATION("expected-duration", (int64_t)n->cfg.apply_warning_ns), LOG_STR("prefix", ""),
			 LOG_SLICE("request", buf_slice(&text)), LOG_STR("response", size), LOG_ERR(n->out.err));
	else
		LOG_WARN("apply request took too long", LOG_DURATION("took", (int64_t)took_ns),
			 LOG_DURATION("expected-duration", (int64_t)n->cfg.apply_warning_ns), LOG_STR("prefix", ""),
			 LOG_SLICE("request", buf_slice(&text)), LOG_STR("response", size));
	buf_fini(&text);
	metric_add(METRIC_SERVER_SLOW_APPLY_TOTAL, 1);
}

static void ttl_observe(const struct node *n, const struct raft_entry *e)
{
	struct internal_req r;
	struct lease_grant_req q;

	if (!internal_req_parse(blob_slice(e->data), &r) && !lease_grant_req_parse(r.body, &q))
		metric_observe(METRIC_DEBUGGING_LEASE_TTL_TOTAL,
			       (uint64_t)MAX(q.ttl, lease_ttl_s_min(n->cfg.election_ms / n->cfg.heartbeat_ms, n->cfg.heartbeat_ms)));
}

void core_apply_observe(struct node *n, const struct raft_entry *e, const struct buf *resp)
{
	bool success = !n->out.err || n->out.err == ERR_COMPACTED;
	uint64_t took_ns = core_now(n) - n->apply.now_ns;

	metric_observe(metric_series_kept(&op_series(n, n->out.field)->apply[success], METRIC_SERVER_APPLY_DURATION_SECONDS,
					  (const char *[]){apply_request_name(n->out.field), success_name(success), "v3"}),
		       took_ns);
	if (success && n->out.field == REQ_LEASE_GRANT)
		ttl_observe(n, e);
	if (n->cfg.apply_warning_ns && took_ns > n->cfg.apply_warning_ns)
		slow_apply(n, e, resp, took_ns);
	if (!success)
		failed_apply(n, e, took_ns);
}

void core_request_observe(struct node *n, uint32_t field, bool success, uint64_t took_ns)
{
	metric_observe(metric_series_kept(&op_series(n, field)->request[success], METRIC_SERVER_REQUEST_DURATION_SECONDS,
					  (const char *[]){success_name(success), apply_request_name(field)}),
		       took_ns);
	if (!success)
		metric_add(METRIC_SERVER_PROPOSALS_FAILED_TOTAL, 1);
}

void core_metrics(struct node *n)
{
	struct mvcc_stats m;
	struct lease_stats l;
	struct watch_stats w;

	if (!n->seen.once) {
		n->seen.once = true;
		once(n);
	}
	mvcc_stats(n->mvcc, &m);
	lessor_stats(n->lessor, &l);
	watch_stats(n->hub, &w);
	count(METRIC_MVCC_PUT_TOTAL, m.puts, &n->seen.puts);
	count(METRIC_MVCC_DELETE_TOTAL, m.deletes, &n->seen.deletes);
	count(METRIC_MVCC_TXN_TOTAL, m.txns, &n->seen.txns);
	count(METRIC_DEBUGGING_MVCC_DB_COMPACTION_KEYS_TOTAL, m.compacted_rows, &n->seen.compacted_rows);
	metric_set(METRIC_DEBUGGING_MVCC_TOTAL_PUT_SIZE_IN_BYTES, (double)m.put_bytes);
	count(METRIC_DEBUGGING_LEASE_GRANTED_TOTAL, l.granted, &n->seen.granted);
	count(METRIC_DEBUGGING_LEASE_REVOKED_TOTAL, l.revoked, &n->seen.revoked);
	count(METRIC_DEBUGGING_LEASE_RENEWED_TOTAL, l.renewed, &n->seen.renewed);
	count(METRIC_DEBUGGING_SERVER_LEASE_EXPIRED_TOTAL, l.expired, &n->seen.expired);
	count(METRIC_DEBUGGING_MVCC_EVENTS_TOTAL, w.events, &n->seen.events);
	metric_set(METRIC_DEBUGGING_MVCC_KEYS_TOTAL, (double)m.live_keys);
	metric_set(METRIC_DEBUGGING_MVCC_CURRENT_REVISION, (double)mvcc_revision(n->mvcc));
	metric_set(METRIC_DEBUGGING_MVCC_COMPACT_REVISION, (double)mvcc_compact_revision(n->mvcc));
	metric_set(METRIC_DEBUGGING_MVCC_WATCH_STREAM_TOTAL, (double)w.streams);
	metric_set(METRIC_DEBUGGING_MVCC_WATCHER_TOTAL, (double)w.watchers);
	metric_set(METRIC_DEBUGGING_MVCC_SLOW_WATCHER_TOTAL, (double)w.lagging);
	metric_set(METRIC_DEBUGGING_MVCC_PENDING_EVENTS_TOTAL, (double)w.pending_events);
	metric_set(METRIC_MVCC_DB_TOTAL_SIZE_IN_BYTES, (double)bolt_size(n->db));
	metric_set(METRIC_MVCC_DB_TOTAL_SIZE_IN_USE_IN_BYTES, (double)bolt_size_in_use(n->db));
	metric_set(METRIC_MVCC_DB_OPEN_READ_TRANSACTIONS, (double)bolt_pins(n->db));
	metric_set(METRIC_DISK_DEFRAG_INFLIGHT, !list_empty(&n->defrags));
	metric_set(METRIC_SERVER_PROPOSALS_COMMITTED_TOTAL, (double)raft_commit(n->raft));
	metric_set(METRIC_SERVER_PROPOSALS_APPLIED_TOTAL, (double)n->applied);
	metric_set(METRIC_SERVER_PROPOSALS_PENDING, (double)(n->waiting.count + n->proposals.count));
	metric_set(METRIC_SERVER_IS_LEARNER, raft_is_learner(n->raft));
	cluster_version(n);
}
