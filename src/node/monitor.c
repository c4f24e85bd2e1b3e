/* Time, and what the server does by itself: ticks, publishing its attributes, the cluster version, the storage version, the
 * expiry of leases. Sources: spec apply.md section 6 (monitors every 4 s), semantics.md section 4. */
#include "base/bug.h"
#include "node/node_impl.h"

enum { MONITOR_EVERY_S = 4, FAST_FORWARD_S = 5 };

static uint64_t heartbeat_ns(const struct node *n)
{
	return n->cfg.heartbeat_ms * UINT64_C(1000000);
}

static uint64_t election_ns(const struct node *n)
{
	return n->cfg.election_ms * UINT64_C(1000000);
}

/* Ticks by elapsed time. After a gap (a stopped process, a paused machine) raft gets no more than one election timeout, and the
 * lessor starts over as if it had just been promoted, for clients could not renew meanwhile: but only once a read index has shown
 * that this member still leads (at once, if it is the only voter) and what the log held then is applied: a revocation in it ends a
 * lease, so nobody may be told in between that it was renewed. */
static void tick_raft(struct node *n, uint64_t now_ns)
{
	uint64_t gap = now_ns - n->ticked_ns;
	uint64_t ticks = gap / heartbeat_ns(n);

	if (gap > election_ns(n)) {
		if (lessor_is_primary(n->lessor) && !BUG(LEASE_GAP)) {
			lessor_demote(n->lessor);
			n->lessor_waits = true;
			n->lessor_index = UINT64_MAX;
			core_own_read(n, OWN_READ);
		}
		ticks = MIN(ticks, n->cfg.election_ms / n->cfg.heartbeat_ms);
		n->ticked_ns = now_ns;
	} else {
		n->ticked_ns += ticks * heartbeat_ns(n);
	}
	for (uint64_t i = 0; i < ticks; i++)
		raft_tick(n->raft);
}

/* LeaseCheckpointRequest {checkpoints 1 {ID 1, remaining_TTL 2}} */
static void lease_checkpoints(struct node *n, uint64_t now_ns)
{
	struct lease_remaining list[LEASE_CHECKPOINT_MAX];
	size_t count = lease_take_checkpoints(n->lessor, now_ns, list);
	struct buf body;

	if (!count)
		return;
	buf_init(&body, LEASE_CHECKPOINT_MAX * 32);
	for (size_t i = 0; i < count; i++) {
		size_t mark = pb_begin(&body, 1);

		pb_put_uint(&body, 1, (uint64_t)list[i].id);
		pb_put_uint(&body, 2, (uint64_t)list[i].remaining_s);
		pb_end(&body, mark);
	}
	core_own_propose(n, OWN_LEASE_CHECKPOINT, REQ_LEASE_CHECKPOINT, buf_slice(&body), 0);
	buf_fini(&body);
}

static void lessor_again(struct node *n)
{
	if (!n->lessor_waits || n->role != RAFT_LEADER || raft_applied(n->raft) < n->lessor_index)
		return;
	n->lessor_waits = false;
	lessor_promote(n->lessor, core_now(n), election_ns(n));
}

static void lease_work(struct node *n, uint64_t now_ns)
{
	struct lease_revoke_req r;
	struct buf body;

	lessor_again(n);
	if (!lessor_is_primary(n->lessor) || n->stopping)
		return;
	lessor_tick(n->lessor, now_ns);
	lease_checkpoints(n, now_ns);
	while (lease_next_revoke(n->lessor, &r.id)) {
		buf_init(&body, 32);
		pb_put_uint(&body, 1, (uint64_t)r.id);
		core_own_propose(n, OWN_LEASE_REVOKE, REQ_LEASE_REVOKE, buf_slice(&body), r.id);
		buf_fini(&body);
	}
}

/* ClusterMemberAttrSetRequest {member_ID 1, member_attributes 2 {name 1, client_urls 2}} */
static void publish_self(struct node *n)
{
	struct buf body;
	size_t mark;

	if (n->is_ready || n->own_publish_sent || n->lead == RAFT_NONE || n->stopping)
		return;
	n->own_publish_sent = true;
	buf_init(&body, 1 << 20);
	pb_put_uint(&body, 1, n->member_id);
	mark = pb_begin(&body, 2);
	pb_put_bytes(&body, 1, slice_str(n->cfg.name));
	for (size_t i = 0; i < n->cfg.client_url_count; i++)
		pb_put_bytes_always(&body, 2, slice_str(n->cfg.client_urls[i]));
	pb_end(&body, mark);
	core_own_propose(n, OWN_PUBLISH, REQ_MEMBER_ATTR_SET, buf_slice(&body), 0);
	buf_fini(&body);
}

/* The read index that core_own_read asked for has come. */
void core_leadership_confirmed(struct node *n)
{
	if (n->lessor_waits)
		n->lessor_index = BUG(REVOCATION_PENDING) ? 0 : raft_last_index(n->raft);
	lessor_again(n);
}

/* At the start a member that hears from others need not wait for a whole election timeout (spec raft.md section 2). */
#define FORWARD_FIELDS(n, ticks)                                                                                   \
	LOG_HEX("local-member-id", (n)->member_id), LOG_UINT("forward-ticks", ticks),                              \
	    LOG_DURATION("forward-duration", (int64_t)((ticks) * (n)->cfg.heartbeat_ms * 1000000)),               \
	    LOG_UINT("election-ticks", (n)->cfg.election_ms / (n)->cfg.heartbeat_ms),                              \
	    LOG_DURATION("election-timeout", (int64_t)((n)->cfg.election_ms * UINT64_C(1000000)))

static void fast_forward_begin(struct node *n, uint64_t now_ns)
{
	uint64_t ticks = n->cfg.election_ms / n->cfg.heartbeat_ms;

	if (members_count(n->members) == 1) {
		LOG_INFO("started as single-node; fast-forwarding election ticks", FORWARD_FIELDS(n, ticks - 1));
		return;
	}
	if (!n->cfg.initial_election_tick_advance) {
		LOG_INFO("skipping initial election tick advance", LOG_UINT("election-ticks", ticks));
		return;
	}
	LOG_INFO("starting initial election tick advance", LOG_UINT("election-ticks", ticks));
	n->fast_forward_until_ns = now_ns + FAST_FORWARD_S * UINT64_C(1000000000);
}

static void fast_forward(struct node *n, uint64_t now_ns)
{
	if (!n->fast_forward_until_ns || raft_is_only_voter(n->raft))
		return;
	if (now_ns >= n->fast_forward_until_ns || n->lead != RAFT_NONE) {
		n->fast_forward_until_ns = 0;
	} else if (core_active_peers(n, NULL) > 1) {
		uint64_t ticks = n->cfg.election_ms / n->cfg.heartbeat_ms;

		n->fast_forward_until_ns = 0;
		LOG_INFO("initialized peer connections; fast-forwarding election ticks", FORWARD_FIELDS(n, ticks - 2),
			 LOG_UINT("active-remote-members", core_active_peers(n, NULL)));
		for (uint64_t i = 2; i < ticks; i++)
			raft_tick(n->raft);
	}
}

/* Each member by itself, outside the log: the storage version follows the cluster version. Steps 3.5 -> 3.6 -> 3.7 set the
 * version and nothing else; down to 3.5 takes the row away. */
static void storage_version(struct node *n)
{
	const char *cluster = members_version(n->members);
	struct version v;

	if (!cluster[0] || version_parse(slice_str(cluster), &v) || core_installing(n))
		return;
	if (v.major != 3 || v.minor < 5 || strcmp(n->storage_version, cluster) == 0)
		return;
	LOG_INFO("cluster version differs from storage version.", LOG_STR("cluster-version", cluster),
		 LOG_STR("storage-version", n->storage_version));
	if (v.minor == 5)
		backend_delete(n->backend, BUCKET_META, SLICE_LIT("storageVersion"));
	else
		backend_put(n->backend, BUCKET_META, SLICE_LIT("storageVersion"), slice_str(cluster));
	strncpy(n->storage_version, cluster, sizeof(n->storage_version) - 1);
	LOG_INFO("updated storage version", LOG_STR("new-storage-version", cluster));
	core_wrote(n);
	n->changed = true;
}

/* A version that fell: who is started next may be older, and must not meet the entry of the higher one in the log. */
static void snapshot_if_lower(struct node *n)
{
	const char *now = members_version(n->members);
	struct version before, after;

	if (n->version_before[0] && !version_parse(slice_str(n->version_before), &before) && !version_parse(slice_str(now), &after) &&
	    version_cmp_minor(after, before) < 0)
		n->snapshot_forced = true;
	strncpy(n->version_before, now, sizeof(n->version_before) - 1);
}

void core_version_changed(struct node *n)
{
	snapshot_if_lower(n);
	storage_version(n);
	core_metrics(n);
	n->changed = true;
}

void core_raise_nospace(struct node *n)
{
	struct buf body;

	n->alarm_proposed = true;
	LOG_WARN("alarm raised", LOG_STR("alarm", "NOSPACE"), LOG_HEX("from", n->member_id));
	buf_init(&body, 64);
	pb_put_uint(&body, 1, 1);
	pb_put_uint(&body, 2, n->member_id);
	pb_put_uint(&body, 3, ALARM_NOSPACE);
	core_own_propose(n, OWN_ALARM, REQ_ALARM, buf_slice(&body), 0);
	buf_fini(&body);
}

void core_noop_applied(struct node *n)
{
	if (n->role != RAFT_LEADER || !raft_committed_in_term(n->raft))
		return;
	n->applied_own_term = true;
	lessor_promote(n->lessor, core_now(n), election_ns(n));
	core_version_check(n, false);
}

void core_lead_changed(struct node *n)
{
	watch_set_term(n->hub, raft_term(n->raft));
	if (n->role != RAFT_LEADER) {
		n->applied_own_term = false;
		n->lessor_waits = false;
		lessor_demote(n->lessor);
	}
	metric_set(METRIC_SERVER_HAS_LEADER, n->lead != RAFT_NONE);
	metric_set(METRIC_SERVER_IS_LEADER, n->role == RAFT_LEADER);
	if (n->lead != RAFT_NONE) {
		metric_add(METRIC_SERVER_LEADER_CHANGES_SEEN_TOTAL, 1);
		n->own_publish_sent = false;    /* what went to the leader before may be lost; twice does no harm */
		publish_self(n);
	}
}

/* A lone voter has nobody to wait for: it stands for election as soon as what the log holds is applied. */
void core_first_campaign(struct node *n)
{
	if (n->campaigned || n->work || n->applied < raft_commit(n->raft) || !raft_is_only_voter(n->raft))
		return;
	n->campaigned = true;
	if (n->lead == RAFT_NONE)
		raft_campaign(n->raft);
}

void core_tick(struct node *n)
{
	uint64_t now = core_now(n);

	if (!n->ticked_ns) {                    /* the first one */
		n->ticked_ns = now;
		core_auto_start(n);
		fast_forward_begin(n, now);
	}
	tick_raft(n, now);
	core_hang_tick(n);
	fast_forward(n, now);
	lease_work(n, now);
	core_expire(n, now);
	core_renewals(n, now);
	core_auth_tick(n, now);
	core_secure_tick(n, now);
	core_corrupt_tick(n, now);
	core_removed_check(n, now);
	core_old_files_close(n, false);
	core_auto_compact(n, now);
	core_defrag_tick(n);
	watch_tick(n->hub, now);
	publish_self(n);
	if (now >= n->next_monitor_ns) {
		n->next_monitor_ns = now + MONITOR_EVERY_S * UINT64_C(1000000000);
		core_version_check(n, false);
		storage_version(n);
	}
	if (n->cfg.downgrade_check_ns && now >= n->next_downgrade_check_ns) {
		n->next_downgrade_check_ns = now + n->cfg.downgrade_check_ns;
		if (members_downgrade(n->members)->enabled)
			core_version_check(n, true);
	}
	core_metrics(n);
	timer_set(&n->tick, heartbeat_ns(n));
}
