/* Views of the state. */
#include "raft/raft_impl.h"

uint64_t raft_id(const struct raft *r)
{
	return r->config.id;
}

uint64_t raft_term(const struct raft *r)
{
	return r->term;
}

uint64_t raft_lead(const struct raft *r)
{
	return r->lead;
}

enum raft_role raft_role(const struct raft *r)
{
	return r->role;
}

uint64_t raft_commit(const struct raft *r)
{
	return r->log.committed;
}

uint64_t raft_applied(const struct raft *r)
{
	return r->log.applied;
}

uint64_t raft_first_index(const struct raft *r)
{
	return raft_log_first_index(&r->log);
}

uint64_t raft_last_index(const struct raft *r)
{
	return raft_log_last_index(&r->log);
}

uint64_t raft_pending_conf_index(const struct raft *r)
{
	return r->pending_conf_index;
}

uint64_t raft_lead_transferee(const struct raft *r)
{
	return r->lead_transferee;
}

bool raft_is_learner(const struct raft *r)
{
	return r->is_learner;
}

bool raft_is_voter(const struct raft *r)
{
	return raft_tracker_is_voter(&r->tracker, r->config.id);
}

bool raft_is_only_voter(const struct raft *r)
{
	return raft_tracker_is_only_voter(&r->tracker) && raft_is_voter(r);
}

bool raft_committed_in_term(const struct raft *r)
{
	return r->term && raft_log_term_or_zero(&r->log, r->log.committed) == r->term;
}

struct raft_hard_state raft_hard_state(const struct raft *r)
{
	return (struct raft_hard_state){.term = r->term, .vote = r->vote, .commit = r->log.committed};
}

const struct raft_conf_state *raft_conf_state(const struct raft *r)
{
	return &r->tracker.membership.conf;
}

void raft_progress_status(const struct raft_progress *p, struct raft_peer_status *out)
{
	*out = (struct raft_peer_status){
		.id = p->id,
		.match = p->match,
		.next = p->next,
		.state = p->state,
		.is_learner = p->is_learner,
		.recent_active = p->recent_active,
		.paused = raft_progress_paused(p),
		.inflight_full = raft_inflights_full(&p->inflights),
		.inflight_count = p->inflights.count,
		.pending_snapshot = p->pending_snapshot,
	};
}

bool raft_peer_status(const struct raft *r, uint64_t id, struct raft_peer_status *out)
{
	const struct raft_progress *p = r->role == RAFT_LEADER ? raft_tracker_find(&r->tracker, id) : NULL;

	if (p)
		raft_progress_status(p, out);
	return p != NULL;
}

void raft_status(const struct raft *r, struct raft_status *out)
{
	*out = (struct raft_status){
		.id = r->config.id,
		.hard_state = raft_hard_state(r),
		.soft_state = {r->lead, r->role},
		.applied = r->log.applied,
		.lead_transferee = r->lead_transferee,
		.conf_state = raft_conf_state(r),
	};
	if (r->role != RAFT_LEADER)
		return;
	out->peer_count = raft_tracker_count(&r->tracker);
	out->peers = NEW_ARRAY(struct raft_peer_status, out->peer_count);
	for (size_t i = 0; i < out->peer_count; i++)
		raft_progress_status(&r->tracker.progress[i], &out->peers[i]);
}

void raft_status_fini(struct raft_status *s)
{
	mem_free(s->peers);
	*s = (struct raft_status){0};
}

void raft_status_json(const struct raft_status *s, struct buf *out)
{
	buf_printf(out,
		   "{\"id\":\"" X64 "\",\"term\":" U64 ",\"vote\":\"" X64 "\",\"commit\":" U64 ",\"lead\":\"" X64
		   "\",\"raftState\":\"%s\",\"applied\":" U64 ",\"progress\":{",
		   s->id, s->hard_state.term, s->hard_state.vote, s->hard_state.commit, s->soft_state.lead,
		   raft_role_name(s->soft_state.role), s->applied);
	for (size_t i = 0; i < s->peer_count; i++)
		buf_printf(out, "%s\"" X64 "\":{\"match\":" U64 ",\"next\":" U64 ",\"state\":\"%s\"}", i ? "," : "",
			   s->peers[i].id, s->peers[i].match, s->peers[i].next,
			   raft_progress_state_name(s->peers[i].state));
	buf_printf(out, "},\"leadtransferee\":\"" X64 "\"}", s->lead_transferee);
}

/* ---- invariants ---- */

static void check_progress(const struct raft *r, const struct raft_progress *p)
{
	ASSERT(p->match < p->next);                                             /* R4 */
	ASSERT(p->inflights.count <= p->inflights.count_max);
	if (r->role != RAFT_LEADER)
		return;
	ASSERT(p->match <= raft_log_last_index(&r->log));
	if (p->state != RAFT_SNAPSHOT)
		ASSERT(p->pending_snapshot == 0);
	if (p->state != RAFT_REPLICATE)
		ASSERT(p->inflights.count == 0);
}

static void check_role(const struct raft *r)
{
	switch (r->role) {
	case RAFT_LEADER:
		ASSERT(r->lead == r->config.id);
		ASSERT(r->vote == r->config.id);
		ASSERT(r->term > 0);
		return;
	case RAFT_CANDIDATE:
		ASSERT(r->vote == r->config.id);
		ASSERT(r->lead == RAFT_NONE);
		return;
	case RAFT_PRE_CANDIDATE:
		ASSERT(r->lead == RAFT_NONE);
		return;
	case RAFT_FOLLOWER:
		ASSERT(r->lead_transferee == RAFT_NONE);
		return;
	}
	UNREACHABLE();
}

void raft_check(const struct raft *r)
{
	const struct raft_membership *m = &r->tracker.membership;
	struct why why = {0};
	err_t err = raft_membership_check(m, &why);

	ASSERT(err == OK);
	raft_log_check(&r->log);
	ASSERT(raft_log_last(&r->log).term <= r->term || r->log.unstable.snapshot || r->term == 0);
	check_role(r);
	for (size_t i = 0; i < m->members.count; i++) {
		ASSERT(r->tracker.progress[i].id == m->members.at[i].id);
		ASSERT(r->tracker.progress[i].is_learner == m->members.at[i].is_learner);
		check_progress(r, &r->tracker.progress[i]);
	}
	for (size_t i = 0; i < r->msgs.count; i++)
		ASSERT(r->msgs.at[i].to != r->config.id);                       /* R3 */
}
