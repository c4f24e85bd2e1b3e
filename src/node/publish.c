/* One publication after each batch that changed something: made, swapped in, the one before goes to the epoch. */
#include "base/bug.h"
#include "node/node_impl.h"

#define METRICS_AFTER_NS UINT64_C(10000000)

static void publication_free(void *p)
{
	struct publication *pub = p;

	blob_unref(pub->members);
	blob_unref(pub->alarms);
	auth_view_unref(pub->auth_view);
	mem_free(pub);
}

static bool leads_alone(const struct node *n)
{
	return n->role == RAFT_LEADER && raft_is_only_voter(n->raft) && !n->stopping &&
	       ((n->applied_own_term && raft_pending_conf_index(n->raft) <= n->applied) || BUG(LONE_TOO_EARLY));
}

void core_publish(struct node *n)
{
	struct publication *pub, *old;

	if (!leads_alone(n) && !BUG(LONE_LEADER_KEPT))
		n->lone_leader = false;
	if (!n->changed)
		return;
	n->changed = false;
	if (n->core && !n->metrics.slot && !n->stopping)
		timer_set(&n->metrics, METRICS_AFTER_NS);
	pub = NEW(struct publication);
	mvcc_publish(n->mvcc, &pub->mvcc);
	pub->applied_index = n->applied;
	pub->commit_index = raft_commit(n->raft);
	pub->term = raft_term(n->raft);
	pub->leader = n->lead;
	pub->is_learner = raft_is_learner(n->raft);
	pub->members = blob_ref(n->members_blob);
	pub->alarms = blob_ref(n->alarms_blob);
	pub->auth_view = auth_view(n->auth);
	if (BUG(RIGHTS_LATE) && n->published && n->published->auth->revision + 1 == auth_state(n->auth)->revision) {
		auth_view_unref(pub->auth_view);
		pub->auth_view = auth_view_ref(n->published->auth_view);
	}
	pub->auth = auth_view_state(pub->auth_view);
	pub->alarm_nospace = alarm_present(&n->alarms, ALARM_NOSPACE);
	pub->alarms_full = alarms_full(&n->alarms);
	pub->alarm_corrupt = alarm_present(&n->alarms, ALARM_CORRUPT);
	memcpy(pub->storage_version, n->storage_version, sizeof(pub->storage_version));
	strncpy(pub->cluster_version, members_version(n->members), sizeof(pub->cluster_version) - 1);
	pub->downgrade = *members_downgrade(n->members);
	pub->size_bytes = bolt_size(n->db);
	pub->size_in_use_bytes = bolt_size_in_use(n->db);
	old = atomic_exchange(&n->published, pub);
	mvcc_published(n->mvcc);
	if (old)
		epoch_retire(n->epoch, old, publication_free);
	core_old_state_published(n);
	n->lone_leader = leads_alone(n) || (BUG(LONE_LEADER_KEPT) && n->lone_leader);
}

void core_unpublish(struct node *n)
{
	struct publication *pub = atomic_exchange(&n->published, NULL);

	if (pub) {
		epoch_retire(n->epoch, pub, publication_free);
		epoch_reclaim(n->epoch);
	}
}

const struct publication *node_view(struct node *n)
{
	epoch_enter(n->epoch);
	return atomic_load(&n->published);
}

void node_leave(struct node *n)
{
	epoch_leave(n->epoch);
}

bool node_lone_leader(struct node *n)
{
	return atomic_load(&n->lone_leader);
}

struct response_header node_header(struct node *n, const struct publication *p)
{
	return (struct response_header){n->cluster_id, n->member_id, p->mvcc.rev, p->term};
}

bool node_quota_admits(struct node *n, const struct publication *p, uint64_t cost)
{
	int64_t quota = n->apply.quota_bytes;

	return !cost || quota < 0 || p->size_bytes + cost < (uint64_t)quota;
}

uint64_t node_cluster_id(const struct node *n)
{
	return n->cluster_id;
}

uint64_t node_member_id(const struct node *n)
{
	return n->member_id;
}
