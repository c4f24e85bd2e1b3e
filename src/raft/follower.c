/* What followers and candidates do with messages. */
#include "raft/raft_impl.h"

/* ---- from the leader ---- */

/* What every leader sends; anything else would damage the log, whoever made it. */
static bool entries_in_order(const struct raft_message *m)
{
	uint64_t index = m->index, term = m->log_term;

	for (size_t i = 0; i < m->entry_count; i++) {
		const struct raft_entry *e = &m->entries[i];

		if (e->index != ++index || e->term < term || e->term > m->term)
			return false;
		term = e->term;
	}
	return true;
}

static void reject_append(struct raft *r, const struct raft_message *m)
{
	RAFT_LOGF(r, DEBUG,
		  X64 " [logterm: " U64 ", index: " U64 "] rejected MsgApp [logterm: " U64 ", index: " U64 "] from " X64,
		  r->config.id, raft_log_term_or_zero(&r->log, m->index), m->index, m->log_term, m->index, m->from);
	/* Where the logs may still agree: nothing of a term above the leader's at that place (see handle_reject). */
	uint64_t from = MIN(m->index, raft_log_last_index(&r->log));
	struct raft_pos hint = raft_log_find_conflict(&r->log, from, m->log_term);
	raft_send(r, &(struct raft_message){.type = MSG_APP_RESP,
					    .to = m->from,
					    .index = m->index,
					    .reject = true,
					    .reject_hint = hint.index,
					    .log_term = hint.term});
}

static void handle_append(struct raft *r, struct raft_message *m)
{
	struct raft_message answer = {.type = MSG_APP_RESP, .to = m->from};
	size_t count = m->entry_count, moved;

	if (m->index < r->log.committed) {
		answer.index = r->log.committed;
		raft_send(r, &answer);
		return;
	}
	if (!entries_in_order(m)) {
		RAFT_LOGF(r, ERROR, X64 " ignored a MsgApp with entries out of order from " X64, r->config.id, m->from);
		return;
	}
	bool ok = raft_log_maybe_append(&r->log, (struct raft_pos){m->log_term, m->index}, m->entries, count, m->commit,
					&moved);
	m->entry_count = count - moved;
	if (!ok) {
		reject_append(r, m);
		return;
	}
	answer.index = m->index + count;
	raft_send(r, &answer);
}

static void handle_heartbeat(struct raft *r, struct raft_message *m)
{
	raft_log_commit_to(&r->log, m->commit);
	raft_send(r, &(struct raft_message){
			     .type = MSG_HEARTBEAT_RESP, .to = m->from, .context = blob_ref(m->context)});
}

static bool is_listed(const struct ids *ids, uint64_t id)
{
	for (size_t i = 0; i < ids->count; i++) {
		if (ids->at[i] == id)
			return true;
	}
	return false;
}

static void log_not_in_conf_state(struct raft *r, const struct raft_conf_state *cs)
{
	struct buf text;

	if (!r->logger.fn)
		return;
	buf_init(&text, 64 << 10);
	raft_conf_state_print(cs, &text);
	RAFT_LOGF(r, WARN, X64 " attempted to restore snapshot but it is not in the ConfState %.*s; should never happen",
		  r->config.id, SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
}

/* Do we know all that the snapshot could tell? Then only the commit index may move. */
static bool is_known(struct raft *r, struct raft_pos at)
{
	struct raft_pos last = raft_log_last(&r->log);

	if (!raft_log_matches(&r->log, at))
		return false;
	RAFT_LOGF(r, INFO,
		  X64 " [commit: " U64 ", lastindex: " U64 ", lastterm: " U64
		      "] fast-forwarded commit to snapshot [index: " U64 ", term: " U64 "]",
		  r->config.id, r->log.committed, last.index, last.term, at.index, at.term);
	raft_log_commit_to(&r->log, at.index);
	return true;
}

static bool is_meant(struct raft *r, const struct raft_conf_state *cs)
{
	if (is_listed(&cs->voters, r->config.id) || is_listed(&cs->learners, r->config.id) ||
	    is_listed(&cs->voters_outgoing, r->config.id))
		return true;
	log_not_in_conf_state(r, cs);
	return false;
}

/* True: the log is now the snapshot. False: it knows better already, or is not meant. */
static bool restore(struct raft *r, const struct raft_snapshot *snap)
{
	struct raft_membership m = {0};
	struct why why = {0};

	ASSERT(r->role == RAFT_FOLLOWER);
	if (snap->index <= r->log.committed || !is_meant(r, &snap->conf_state) ||
	    is_known(r, (struct raft_pos){snap->term, snap->index}))
		return false;
	if (raft_membership_restore(&snap->conf_state, &why, &m) != OK) {
		RAFT_LOGF(r, ERROR, X64 " ignored a snapshot with an impossible ConfState: %s", r->config.id, why.text);
		return false;
	}

	raft_log_restore(&r->log, snap);
	raft_switch_to(r, &m);
	struct raft_pos last = raft_log_last(&r->log);
	RAFT_LOGF(r, INFO,
		  X64 " [commit: " U64 ", lastindex: " U64 ", lastterm: " U64 "] restored snapshot [index: " U64
		      ", term: " U64 "]",
		  r->config.id, r->log.committed, last.index, last.term, snap->index, snap->term);
	return true;
}

static void handle_snapshot(struct raft *r, struct raft_message *m)
{
	static const struct raft_snapshot none;
	const struct raft_snapshot *snap = m->snapshot ? m->snapshot : &none;
	bool restored = restore(r, snap);

	RAFT_LOGF(r, INFO, X64 " [commit: " U64 "] %s snapshot [index: " U64 ", term: " U64 "]", r->config.id,
		  r->log.committed, restored ? "restored" : "ignored", snap->index, snap->term);
	raft_send(r, &(struct raft_message){.type = MSG_APP_RESP,
					    .to = m->from,
					    .index = restored ? raft_log_last_index(&r->log) : r->log.committed});
}

/* The types that only the leader of the term sends. */
static void handle_from_leader(struct raft *r, struct raft_message *m)
{
	r->election_elapsed = 0;
	r->lead = m->from;
	switch (m->type) {
	case MSG_APP:
		handle_append(r, m);
		return;
	case MSG_HEARTBEAT:
		handle_heartbeat(r, m);
		return;
	default:
		handle_snapshot(r, m);
		return;
	}
}

/* ---- for the leader ---- */

static void forward_to_leader(struct raft *r, struct raft_message *m)
{
	m->to = r->lead;
	m->term = 0;            /* a transfer that was forwarded once has one */
	raft_send(r, m);
}

static err_t forward_proposal(struct raft *r, struct raft_message *m)
{
	if (r->lead == RAFT_NONE) {
		RAFT_LOGF(r, INFO, X64 " no leader at term " U64 "; dropping proposal", r->config.id, r->term);
		return ERR_PROPOSAL_DROPPED;
	}
	if (r->config.disable_proposal_forwarding) {
		RAFT_LOGF(r, INFO, X64 " not forwarding to leader " X64 " at term " U64 "; dropping proposal", r->config.id,
			  r->lead, r->term);
		return ERR_PROPOSAL_DROPPED;
	}
	forward_to_leader(r, m);
	return OK;
}

static void forward_request(struct raft *r, struct raft_message *m)
{
	if (r->lead == RAFT_NONE) {
		RAFT_LOGF(r, INFO, X64 " no leader at term " U64 "; dropping %s msg", r->config.id, r->term,
			  m->type == MSG_TRANSFER_LEADER ? "leader transfer" : "index reading");
		return;
	}
	forward_to_leader(r, m);
}

/* ---- the rest ---- */

static void handle_forget_leader(struct raft *r)
{
	if (r->config.read_option == RAFT_READ_LEASE_BASED) {
		/* The lease rests on followers refusing votes while they hear from the leader. */
		RAFT_LOGF(r, ERROR, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
		return;
	}
	if (r->lead == RAFT_NONE)
		return;
	RAFT_LOGF(r, INFO, X64 " forgetting leader " X64 " at term " U64, r->config.id, r->lead, r->term);
	r->lead = RAFT_NONE;
}

static void handle_read_index_resp(struct raft *r, struct raft_message *m)
{
	if (m->entry_count != 1) {
		RAFT_LOGF(r, ERROR, X64 " invalid format of MsgReadIndexResp from " X64 ", entries count: %zu", r->config.id,
			  m->from, m->entry_count);
		return;
	}
	raft_push_read_state(r, m->index, blob_ref(m->entries[0].data));
}

err_t raft_step_follower(struct raft *r, struct raft_message *m)
{
	switch (m->type) {
	case MSG_PROP:
		return forward_proposal(r, m);
	case MSG_APP:
	case MSG_HEARTBEAT:
	case MSG_SNAP:
		handle_from_leader(r, m);
		return OK;
	case MSG_TRANSFER_LEADER:
	case MSG_READ_INDEX:
		forward_request(r, m);
		return OK;
	case MSG_FORGET_LEADER:
		handle_forget_leader(r);
		return OK;
	case MSG_TIMEOUT_NOW:
		RAFT_LOGF(r, INFO,
			  X64 " [term " U64 "] received MsgTimeoutNow from " X64
			      " and starts an election to get leadership.",
			  r->config.id, r->term, m->from);
		/* No pre-vote: the leader itself wants this, nobody returns from a partition. */
		raft_hup(r, RAFT_CAMPAIGN_TRANSFER);
		return OK;
	case MSG_READ_INDEX_RESP:
		handle_read_index_resp(r, m);
		return OK;
	default:
		return OK;
	}
}

err_t raft_step_candidate(struct raft *r, struct raft_message *m)
{
	enum raft_msg_type own_resp = r->role == RAFT_PRE_CANDIDATE ? MSG_PRE_VOTE_RESP : MSG_VOTE_RESP;

	switch (m->type) {
	case MSG_PROP:
		RAFT_LOGF(r, INFO, X64 " no leader at term " U64 "; dropping proposal", r->config.id, r->term);
		return ERR_PROPOSAL_DROPPED;
	case MSG_APP:
	case MSG_HEARTBEAT:
	case MSG_SNAP:  /* someone else won this term */
		raft_become_follower(r, m->term, m->from);
		handle_from_leader(r, m);
		return OK;
	case MSG_VOTE_RESP:
	case MSG_PRE_VOTE_RESP:
		if (m->type == own_resp)        /* a candidate may still get answers to its pre-vote */
			raft_handle_vote_resp(r, m);
		return OK;
	case MSG_TIMEOUT_NOW:
		RAFT_LOGF(r, DEBUG, X64 " [term " U64 " state %s] ignored MsgTimeoutNow from " X64, r->config.id, r->term,
			  raft_role_name(r->role), m->from);
		return OK;
	default:
		return OK;
	}
}
