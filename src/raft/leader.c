/* What a leader does with messages. */
#include "raft/raft_impl.h"

/* ---- proposals ---- */

/* An entry without data is never refused: the first one of a term and the way out of a joint configuration must
 * always get in; nor is anything when nothing is uncommitted, however large. */
static bool reserve_uncommitted(struct raft *r, uint64_t payload)
{
	if (payload > 0 && r->uncommitted_bytes > 0 &&
	    r->uncommitted_bytes + payload > r->config.max_uncommitted_entries_size)
		return false;
	r->uncommitted_bytes += payload;
	return true;
}

bool raft_append_entries(struct raft *r, struct raft_entry *take, size_t count)
{
	uint64_t last = raft_log_last_index(&r->log);

	if (!reserve_uncommitted(r, raft_entries_payload(take, count))) {
		RAFT_LOGF(r, WARN,
			  X64 " appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
			  r->config.id);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		take[i].term = r->term;
		take[i].index = last + 1 + i;
	}
	raft_log_append(&r->log, take, count);
	/* The own acknowledgement comes back when the entries are durable, like anyone else's: R3. */
	raft_send(r, &(struct raft_message){.type = MSG_APP_RESP, .to = r->config.id, .index = last + count});
	return true;
}

static err_t propose(struct raft *r, struct raft_entry *entries, size_t count)
{
	if (count == 0 || !raft_tracker_find(&r->tracker, r->config.id))
		return ERR_PROPOSAL_DROPPED;
	if (r->lead_transferee != RAFT_NONE) {
		RAFT_LOGF(r, DEBUG, X64 " [term " U64 "] transfer leadership to " X64 " is in progress; dropping proposal",
			  r->config.id, r->term, r->lead_transferee);
		return ERR_PROPOSAL_DROPPED;
	}
	err_t err = raft_check_proposed_changes(r, entries, count);
	if (err)
		return err;
	if (!raft_append_entries(r, entries, count))
		return ERR_PROPOSAL_DROPPED;
	raft_broadcast_append(r);
	return OK;
}

err_t raft_leader_propose(struct raft *r, struct raft_entry *take, size_t count)
{
	err_t err = propose(r, take, count);

	for (size_t i = 0; err && i < count; i++)
		raft_entry_fini(&take[i]);
	return err;
}

/* ---- acknowledgements ---- */

bool raft_maybe_commit(struct raft *r)
{
	return raft_log_maybe_commit(&r->log, (struct raft_pos){r->term, raft_tracker_committed(&r->tracker)});
}

/* The follower refused the entry behind m->index, and says where it stands: its last index of a term not above the
 * one we had there. We go back in our own log to the last entry that is not above the hint's term: everything
 * between cannot match. So both sides skip whole terms, and probing costs one round trip per term, not per entry. */
static void handle_reject(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
	uint64_t probe = m->reject_hint;
	struct raft_text text;

	RAFT_LOGF(r, DEBUG,
		  X64 " received MsgAppResp(rejected, hint: (index " U64 ", term " U64 ")) from " X64 " for index " U64,
		  r->config.id, m->reject_hint, m->log_term, m->from, m->index);
	if (m->log_term > 0)
		probe = raft_log_find_conflict(&r->log, m->reject_hint, m->log_term).index;
	if (!raft_progress_decrease(p, m->index, probe))
		return;
	RAFT_LOGF(r, DEBUG, X64 " decreased progress of " X64 " to [%s]", r->config.id, m->from,
		  raft_text_progress(r, &text, p));
	raft_text_fini(&text);
	if (p->state == RAFT_REPLICATE)
		raft_progress_become_probe(p);
	raft_maybe_send_append(r, p, true);
}

static void advance_progress(struct raft *r, struct raft_progress *p, uint64_t index)
{
	struct raft_text text;

	switch (p->state) {
	case RAFT_PROBE:
		raft_progress_become_replicate(p);
		return;
	case RAFT_SNAPSHOT:
		/* Whatever snapshot it was, the log reaches back far enough to go on from here. */
		if (p->match + 1 < raft_log_first_index(&r->log))
			return;
		RAFT_LOGF(r, DEBUG,
			  X64 " recovered from needing snapshot, resumed sending replication messages to " X64 " [%s]",
			  r->config.id, p->id, raft_text_progress(r, &text, p));
		raft_text_fini(&text);
		raft_progress_become_probe(p);
		raft_progress_become_replicate(p);
		return;
	case RAFT_REPLICATE:
		raft_inflights_free_to(&p->inflights, index);
		return;
	}
}

static void handle_append_resp(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
	bool is_self = p->id == r->config.id;

	p->recent_active = true;
	if (m->reject) {
		handle_reject(r, p, m);
		return;
	}
	if (m->index > raft_log_last_index(&r->log)) {          /* R4 */
		RAFT_LOGF(r, ERROR, X64 " ignored acknowledgement of index " U64 " beyond the log from " X64, r->config.id,
			  m->index, m->from);
		return;
	}
	/* An answer that brings nothing new may still end probing. */
	if (!raft_progress_update(p, m->index) && !(p->match == m->index && p->state == RAFT_PROBE))
		return;
	advance_progress(r, p, m->index);

	if (raft_maybe_commit(r)) {
		raft_release_queued_reads(r);
		raft_broadcast_append(r);
	} else if (!is_self && raft_progress_can_bump_commit(p, r->log.committed)) {
		raft_maybe_send_append(r, p, true);
	}
	/* There may be room for more than one message now. */
	while (!is_self && raft_maybe_send_append(r, p, false))
		;
	if (p->id == r->lead_transferee && p->match == raft_log_last_index(&r->log)) {
		RAFT_LOGF(r, INFO, X64 " sent MsgTimeoutNow to " X64 " after received MsgAppResp", r->config.id, p->id);
		raft_send_timeout_now(r, p->id);
	}
}

static void handle_heartbeat_resp(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
	p->recent_active = true;
	p->flow_paused = false;
	/* Full inflights: an empty append goes, whose answer clears them if all were lost. Probing but complete: the
	 * answer to an empty append brings it back to replicating. */
	if (p->match < raft_log_last_index(&r->log) || p->state == RAFT_PROBE)
		raft_maybe_send_append(r, p, true);
	raft_read_ack(r, p, m);
}

/* ---- reports about peers ---- */

static void handle_snap_status(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
	struct raft_text text;

	if (p->state != RAFT_SNAPSHOT)
		return;
	if (m->reject)
		p->pending_snapshot = 0;        /* else probing would start behind what never arrived */
	raft_progress_become_probe(p);
	RAFT_LOGF(r, DEBUG, X64 " snapshot %s, resumed sending replication messages to " X64 " [%s]", r->config.id,
		  m->reject ? "failed" : "succeeded", p->id, raft_text_progress(r, &text, p));
	raft_text_fini(&text);
	/* Delivered: its MSG_APP_RESP comes soon. Failed: not again before the next heartbeat. */
	p->flow_paused = true;
}

static void handle_unreachable(struct raft *r, struct raft_progress *p)
{
	struct raft_text text;

	/* What was in flight is probably lost. */
	if (p->state == RAFT_REPLICATE)
		raft_progress_become_probe(p);
	RAFT_LOGF(r, DEBUG, X64 " failed to send message to " X64 " because it is unreachable [%s]", r->config.id, p->id,
		  raft_text_progress(r, &text, p));
	raft_text_fini(&text);
}

/* ---- transfer ---- */

static void handle_transfer(struct raft *r, struct raft_progress *p)
{
	uint64_t target = p->id;

	if (p->is_learner) {
		RAFT_LOGF(r, DEBUG, X64 " is learner. Ignored transferring leadership", r->config.id);
		return;
	}
	if (r->lead_transferee == target) {
		RAFT_LOGF(r, INFO,
			  X64 " [term " U64 "] transfer leadership to " X64
			      " is in progress, ignores request to same node " X64,
			  r->config.id, r->term, target, target);
		return;
	}
	if (r->lead_transferee != RAFT_NONE) {
		RAFT_LOGF(r, INFO, X64 " [term " U64 "] abort previous transferring leadership to " X64, r->config.id, r->term,
			  r->lead_transferee);
		r->lead_transferee = RAFT_NONE;
	}
	if (target == r->config.id) {
		RAFT_LOGF(r, DEBUG, X64 " is already leader. Ignored transferring leadership to self", r->config.id);
		return;
	}
	RAFT_LOGF(r, INFO, X64 " [term " U64 "] starts to transfer leadership to " X64, r->config.id, r->term, target);
	r->election_elapsed = 0;        /* it has one election timeout to succeed */
	r->lead_transferee = target;
	if (p->match == raft_log_last_index(&r->log)) {
		raft_send_timeout_now(r, target);
		RAFT_LOGF(r, INFO, X64 " sends MsgTimeoutNow to " X64 " immediately as " X64 " already has up-to-date log",
			  r->config.id, target, target);
	} else {
		raft_maybe_send_append(r, p, true);
	}
}

/* ---- quorum check ---- */

static void handle_check_quorum(struct raft *r)
{
	struct raft_progress *own = raft_tracker_find(&r->tracker, r->config.id);

	if (!raft_tracker_quorum_active(&r->tracker)) {
		RAFT_LOGF(r, WARN, X64 " stepped down to follower since quorum is not active", r->config.id);
		raft_become_follower(r, r->term, RAFT_NONE);
	}
	for (size_t i = 0; i < raft_tracker_count(&r->tracker); i++) {
		if (&r->tracker.progress[i] != own)
			r->tracker.progress[i].recent_active = false;
	}
}

/* ---- all messages ---- */

static void handle_from_member(struct raft *r, struct raft_message *m)
{
	struct raft_progress *p = raft_tracker_find(&r->tracker, m->from);

	if (!p) {
		RAFT_LOGF(r, DEBUG, X64 " no progress available for " X64, r->config.id, m->from);
		return;
	}
	switch (m->type) {
	case MSG_APP_RESP:
		handle_append_resp(r, p, m);
		return;
	case MSG_HEARTBEAT_RESP:
		handle_heartbeat_resp(r, p, m);
		return;
	case MSG_SNAP_STATUS:
		handle_snap_status(r, p, m);
		return;
	case MSG_UNREACHABLE:
		handle_unreachable(r, p);
		return;
	case MSG_TRANSFER_LEADER:
		handle_transfer(r, p);
		return;
	default:        /* answers to an election that is over, and the like */
		return;
	}
}

err_t raft_step_leader(struct raft *r, struct raft_message *m)
{
	switch (m->type) {
	case MSG_BEAT:
		raft_broadcast_heartbeat(r);
		return OK;
	case MSG_CHECK_QUORUM:
		handle_check_quorum(r);
		return OK;
	case MSG_PROP: {
		size_t count = m->entry_count;

		m->entry_count = 0;
		return raft_leader_propose(r, m->entries, count);
	}
	case MSG_READ_INDEX:
		raft_read_request(r, m);
		return OK;
	case MSG_FORGET_LEADER:
		return OK;
	default:
		handle_from_member(r, m);
		return OK;
	}
}
