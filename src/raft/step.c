/* The way of every message: may it come from there, what does its term mean, whose business is it. */
#include "raft/raft_impl.h"

#include <stdio.h>

/* ---- the term check ---- */

static bool is_local_type(enum raft_msg_type type)
{
	switch (type) {
	case MSG_HUP:
	case MSG_BEAT:
	case MSG_UNREACHABLE:
	case MSG_SNAP_STATUS:
	case MSG_CHECK_QUORUM:
	case MSG_STORAGE_APPEND:
	case MSG_STORAGE_APPEND_RESP:
	case MSG_STORAGE_APPLY:
	case MSG_STORAGE_APPLY_RESP:
		return true;
	default:
		return false;
	}
}

static bool is_response_type(enum raft_msg_type type)
{
	switch (type) {
	case MSG_APP_RESP:
	case MSG_VOTE_RESP:
	case MSG_HEARTBEAT_RESP:
	case MSG_READ_INDEX_RESP:
	case MSG_PRE_VOTE_RESP:
		return true;
	default:
		return false;
	}
}

static bool is_vote_request(enum raft_msg_type type)
{
	return type == MSG_VOTE || type == MSG_PRE_VOTE;
}

/* What peers send with their id and term, which are never 0: without them the message would pass as our own. */
static bool needs_sender(enum raft_msg_type type)
{
	return is_response_type(type) || is_vote_request(type) || type == MSG_APP || type == MSG_SNAP ||
	       type == MSG_HEARTBEAT || type == MSG_TIMEOUT_NOW;
}

static bool is_thread(uint64_t id)
{
	return id == RAFT_APPEND_THREAD || id == RAFT_APPLY_THREAD;
}

/* A vote request that comes while we hear from a leader is a disruption, not an election (raft thesis, 4.2.3 and 6.4.1). */
static bool in_lease(const struct raft *r)
{
	return r->config.check_quorum && r->lead != RAFT_NONE && r->election_elapsed < r->config.election_ticks;
}

/* False: the message ends here. */
static bool check_higher_term(struct raft *r, const struct raft_message *m)
{
	if (is_vote_request(m->type) && !raft_vote_is_forced(m) && in_lease(r)) {
		char tail[80];

		snprintf(tail, sizeof(tail), ": lease is not expired (remaining ticks: %" PRIu32 ")",
			 r->config.election_ticks - r->election_elapsed);
		raft_log_vote(r, m, "ignored", "from", tail);
		return false;
	}
	/* A pre-vote never changes our term. Granted, it comes back with the term of the campaign to be: that term is
	 * entered with the real vote. Refused, it carries the term of someone who is ahead. */
	if (m->type == MSG_PRE_VOTE || (m->type == MSG_PRE_VOTE_RESP && !m->reject))
		return true;
	RAFT_LOGF(r, INFO, X64 " [term: " U64 "] received a %s message with higher term from " X64 " [term: " U64 "]",
		  r->config.id, r->term, raft_msg_type_name(m->type), m->from, m->term);
	bool from_leader = m->type == MSG_APP || m->type == MSG_HEARTBEAT || m->type == MSG_SNAP;
	raft_become_follower(r, m->term, from_leader ? m->from : RAFT_NONE);
	return true;
}

static void handle_lower_term(struct raft *r, const struct raft_message *m)
{
	bool from_leader = m->type == MSG_HEARTBEAT || m->type == MSG_APP;

	if (from_leader && (r->config.check_quorum || r->config.pre_vote)) {
		/* We may be stuck at a higher term, since votes do not get through (in_lease): make the old leader
		 * step down. */
		raft_send(r, &(struct raft_message){.type = MSG_APP_RESP, .to = m->from});
	} else if (m->type == MSG_PRE_VOTE) {
		/* Silence would lock up a cluster that mixes members with and without pre-vote. */
		raft_log_vote(r, m, "rejected", "from", "");
		raft_send(r, &(struct raft_message){
				     .type = MSG_PRE_VOTE_RESP, .to = m->from, .term = r->term, .reject = true});
	} else if (m->type == MSG_STORAGE_APPEND_RESP) {
		/* The entries may have been overwritten by a write of a later term that is still under way, even
		 * with equal ones (A-B-A): not stable. A snapshot is committed state and belongs to no term. */
		if (m->index)
			RAFT_LOGF(r, INFO,
				  X64 " [term: " U64
				      "] ignored entry appends from a %s message with lower term [term: " U64 "]",
				  r->config.id, r->term, raft_msg_type_name(m->type), m->term);
		if (m->snapshot)
			raft_applied_snapshot(r, m->snapshot->index);
	} else {
		RAFT_LOGF(r, INFO,
			  X64 " [term: " U64 "] ignored a %s message with lower term from " X64 " [term: " U64 "]",
			  r->config.id, r->term, raft_msg_type_name(m->type), m->from, m->term);
	}
}

void raft_append_done(struct raft *r, struct raft_pos last, uint64_t snapshot_index)
{
	if (last.index)
		raft_log_stable_to(&r->log, last);
	if (snapshot_index)
		raft_applied_snapshot(r, snapshot_index);
}

void raft_apply_done(struct raft *r, uint64_t index, uint64_t bytes, uint64_t payload)
{
	raft_applied_to(r, index, bytes);
	r->uncommitted_bytes -= MIN(payload, r->uncommitted_bytes);
}

static err_t step_by_role(struct raft *r, struct raft_message *m)
{
	switch (r->role) {
	case RAFT_LEADER:
		return raft_step_leader(r, m);
	case RAFT_CANDIDATE:
	case RAFT_PRE_CANDIDATE:
		return raft_step_candidate(r, m);
	case RAFT_FOLLOWER:
		return raft_step_follower(r, m);
	}
	UNREACHABLE();
}

err_t raft_step_any(struct raft *r, struct raft_message *m)
{
	if (m->term > r->term && !check_higher_term(r, m))
		return OK;
	if (m->term != 0 && m->term < r->term) {
		handle_lower_term(r, m);
		return OK;
	}

	switch (m->type) {
	case MSG_HUP:
		raft_hup(r, r->config.pre_vote ? RAFT_CAMPAIGN_PRE_VOTE : RAFT_CAMPAIGN_VOTE);
		return OK;
	case MSG_STORAGE_APPEND_RESP:
		raft_append_done(r, (struct raft_pos){m->log_term, m->index}, m->snapshot ? m->snapshot->index : 0);
		return OK;
	case MSG_STORAGE_APPLY_RESP:
		if (m->entry_count)
			raft_apply_done(r, m->entries[m->entry_count - 1].index,
					raft_entries_size(m->entries, m->entry_count),
					raft_entries_payload(m->entries, m->entry_count));
		return OK;
	case MSG_VOTE:
	case MSG_PRE_VOTE:
		raft_handle_vote(r, m);
		return OK;
	default:
		return step_by_role(r, m);
	}
}

void raft_applied_to(struct raft *r, uint64_t index, uint64_t bytes)
{
	raft_log_applied_to(&r->log, MAX(index, r->log.applied), bytes);
	raft_maybe_leave_joint(r);
}

void raft_applied_snapshot(struct raft *r, uint64_t index)
{
	raft_log_stable_snapshot_to(&r->log, index);
	raft_applied_to(r, index, 0);
}

err_t raft_step(struct raft *r, struct raft_message *take_m)
{
	struct raft_message m = raft_message_take(take_m);
	err_t err = OK;

	if ((m.term == 0 || m.from == RAFT_NONE) && needs_sender(m.type))
		RAFT_LOGF(r, ERROR, X64 " ignored a %s message without term or sender from " X64, r->config.id,
			  raft_msg_type_name(m.type), m.from);
	else if (is_local_type(m.type) && !is_thread(m.from))
		err = ERR_RAFT_STEP_LOCAL;
	else if (is_response_type(m.type) && !is_thread(m.from) && !raft_tracker_find(&r->tracker, m.from))
		err = ERR_RAFT_PEER_NOT_FOUND;
	else
		err = raft_step_any(r, &m);
	raft_message_fini(&m);
	return err;
}
