/* Descriptions, in upstream's words. */
#include <stdio.h>

#include "base/text.h"
#include "raft/raft_impl.h"

static const char *const msg_type_names[RAFT_MSG_TYPE_COUNT] = {
	[MSG_HUP] = "MsgHup",
	[MSG_BEAT] = "MsgBeat",
	[MSG_PROP] = "MsgProp",
	[MSG_APP] = "MsgApp",
	[MSG_APP_RESP] = "MsgAppResp",
	[MSG_VOTE] = "MsgVote",
	[MSG_VOTE_RESP] = "MsgVoteResp",
	[MSG_SNAP] = "MsgSnap",
	[MSG_HEARTBEAT] = "MsgHeartbeat",
	[MSG_HEARTBEAT_RESP] = "MsgHeartbeatResp",
	[MSG_UNREACHABLE] = "MsgUnreachable",
	[MSG_SNAP_STATUS] = "MsgSnapStatus",
	[MSG_CHECK_QUORUM] = "MsgCheckQuorum",
	[MSG_TRANSFER_LEADER] = "MsgTransferLeader",
	[MSG_TIMEOUT_NOW] = "MsgTimeoutNow",
	[MSG_READ_INDEX] = "MsgReadIndex",
	[MSG_READ_INDEX_RESP] = "MsgReadIndexResp",
	[MSG_PRE_VOTE] = "MsgPreVote",
	[MSG_PRE_VOTE_RESP] = "MsgPreVoteResp",
	[MSG_STORAGE_APPEND] = "MsgStorageAppend",
	[MSG_STORAGE_APPEND_RESP] = "MsgStorageAppendResp",
	[MSG_STORAGE_APPLY] = "MsgStorageApply",
	[MSG_STORAGE_APPLY_RESP] = "MsgStorageApplyResp",
	[MSG_FORGET_LEADER] = "MsgForgetLeader",
};

const char *raft_msg_type_name(enum raft_msg_type type)
{
	return (unsigned)type < RAFT_MSG_TYPE_COUNT ? msg_type_names[type] : "unknown";
}

const char *raft_role_name(enum raft_role role)
{
	static const char *const names[] = {"StateFollower", "StateCandidate", "StateLeader", "StatePreCandidate"};

	return names[role];
}

const char *raft_progress_state_name(enum raft_progress_state state)
{
	static const char *const names[] = {"StateProbe", "StateReplicate", "StateSnapshot"};

	return names[state];
}

/* ---- entries ---- */

static void print_changes(const struct raft_conf_change_single *changes, size_t count, struct buf *out)
{
	static const char letters[] = {
		[CONF_ADD_NODE] = 'v', [CONF_REMOVE_NODE] = 'r', [CONF_UPDATE_NODE] = 'u', [CONF_ADD_LEARNER] = 'l'};

	for (size_t i = 0; i < count; i++) {
		if ((unsigned)changes[i].type < ARRAY_COUNT(letters))
			buf_printf(out, " %c" U64, letters[changes[i].type], changes[i].node_id);
		else
			buf_printf(out, " unknown" U64, changes[i].node_id);
	}
}

void raft_entry_print(const struct raft_entry *e, struct buf *out)
{
	struct raft_conf_change cc;
	struct raft_conf_change_v2 v2;
	err_t err;

	buf_printf(out, U64 "/" U64 " ", e->term, e->index);
	switch (e->type) {
	case ENTRY_CONF_CHANGE:
		buf_printf(out, "EntryConfChange");
		err = raft_conf_change_decode(blob_slice(e->data), &cc);
		if (err)
			buf_printf(out, " %s", err_text(err));
		else
			print_changes(&(struct raft_conf_change_single){cc.type, cc.node_id}, 1, out);
		return;
	case ENTRY_CONF_CHANGE_V2:
		buf_printf(out, "EntryConfChangeV2");
		err = raft_conf_change_v2_decode(blob_slice(e->data), &v2);
		if (err) {
			buf_printf(out, " %s", err_text(err));
		} else {
			print_changes(v2.changes, v2.change_count, out);
			raft_conf_change_v2_fini(&v2);
		}
		return;
	default:
		buf_printf(out, "EntryNormal ");
		text_quote(out, blob_slice(e->data));
		return;
	}
}

void raft_conf_change_print(const struct raft_conf_change_v2 *cc, struct buf *out)
{
	static const char *const transitions[] = {"Auto", "JointImplicit", "JointExplicit"};
	static const char *const types[] = {
		[CONF_ADD_NODE] = "AddNode",
		[CONF_REMOVE_NODE] = "RemoveNode",
		[CONF_UPDATE_NODE] = "UpdateNode",
		[CONF_ADD_LEARNER] = "AddLearnerNode",
	};
	unsigned transition = (unsigned)cc->transition;

	if (transition < ARRAY_COUNT(transitions))
		buf_printf(out, "transition:ConfChangeTransition%s", transitions[transition]);
	else
		buf_printf(out, "transition:%u", transition);
	for (size_t i = 0; i < cc->change_count; i++) {
		unsigned type = (unsigned)cc->changes[i].type;

		if (type < ARRAY_COUNT(types))
			buf_printf(out, " changes:{type:ConfChange%s node_id:" U64 "}", types[type],
				   cc->changes[i].node_id);
		else
			buf_printf(out, " changes:{type:%u node_id:" U64 "}", type, cc->changes[i].node_id);
	}
	if (cc->context.size) {
		buf_printf(out, " context:");
		text_quote(out, cc->context);
	}
}

/* ---- snapshots and messages ---- */

static void print_decimal_ids(const char *name, const struct ids *ids, struct buf *out)
{
	buf_printf(out, "%s:[", name);
	for (size_t i = 0; i < ids->count; i++)
		buf_printf(out, "%s" U64, i ? " " : "", ids->at[i]);
	buf_printf(out, "] ");
}

void raft_snapshot_print(const struct raft_snapshot *s, struct buf *out)
{
	buf_printf(out, "Index:" U64 " Term:" U64 " ConfState:", s->index, s->term);
	print_decimal_ids("Voters", &s->conf_state.voters, out);
	print_decimal_ids("VotersOutgoing", &s->conf_state.voters_outgoing, out);
	print_decimal_ids("Learners", &s->conf_state.learners, out);
	print_decimal_ids("LearnersNext", &s->conf_state.learners_next, out);
	buf_printf(out, "AutoLeave:%s", s->conf_state.auto_leave ? "true" : "false");
}

/* As protobuf's text form has it: voters:1 voters:2 auto_leave:false */
void raft_conf_state_print(const struct raft_conf_state *cs, struct buf *out)
{
	const struct {
		const char *name;
		const struct ids *ids;
	} lists[] = {
		{"voters", &cs->voters},
		{"learners", &cs->learners},
		{"voters_outgoing", &cs->voters_outgoing},
		{"learners_next", &cs->learners_next},
	};

	for (size_t l = 0; l < ARRAY_COUNT(lists); l++) {
		for (size_t i = 0; i < lists[l].ids->count; i++)
			buf_printf(out, "%s:" U64 " ", lists[l].name, lists[l].ids->at[i]);
	}
	buf_printf(out, "auto_leave:%s", cs->auto_leave ? "true" : "false");
}

static void print_target(uint64_t id, struct buf *out)
{
	if (id == RAFT_NONE)
		buf_printf(out, "None");
	else if (id == RAFT_APPEND_THREAD)
		buf_printf(out, "AppendThread");
	else if (id == RAFT_APPLY_THREAD)
		buf_printf(out, "ApplyThread");
	else
		buf_printf(out, X64, id);
}

static void print_message_entries(const struct raft_message *m, const char *indent, struct buf *out)
{
	if (m->entry_count == 0)
		return;
	buf_printf(out, " Entries:[");
	for (size_t i = 0; i < m->entry_count; i++) {
		if (m->entry_count > 1)
			buf_printf(out, "\n%s  ", indent);
		raft_entry_print(&m->entries[i], out);
	}
	if (m->entry_count > 1)
		buf_printf(out, "\n%s", indent);
	buf_put_byte(out, ']');
}

static void print_responses(const struct raft_message *m, const char *indent, struct buf *out)
{
	char deeper[64];

	if (m->response_count == 0)
		return;
	snprintf(deeper, sizeof(deeper), "%s  ", indent);
	buf_printf(out, " Responses:[\n");
	for (size_t i = 0; i < m->response_count; i++) {
		raft_message_print(&m->responses[i], deeper, out);
		buf_put_byte(out, '\n');
	}
	buf_printf(out, "%s]", indent);
}

void raft_message_print(const struct raft_message *m, const char *indent, struct buf *out)
{
	buf_printf(out, "%s", indent);
	print_target(m->from, out);
	buf_printf(out, "->");
	print_target(m->to, out);
	buf_printf(out, " %s Term:" U64 " Log:" U64 "/" U64, raft_msg_type_name(m->type), m->term, m->log_term, m->index);
	if (m->reject)
		buf_printf(out, " Rejected (Hint: " U64 ")", m->reject_hint);
	if (m->commit)
		buf_printf(out, " Commit:" U64, m->commit);
	if (m->vote)
		buf_printf(out, " Vote:" U64, m->vote);
	print_message_entries(m, indent, out);
	if (m->snapshot && m->snapshot->index) {
		buf_printf(out, "\n%s  Snapshot: ", indent);
		raft_snapshot_print(m->snapshot, out);
	}
	print_responses(m, indent, out);
}

/* ---- ready ---- */

static void print_read_states(const struct raft_ready *rd, struct buf *out)
{
	buf_printf(out, "ReadStates [");
	for (size_t i = 0; i < rd->read_state_count; i++) {
		struct slice ctx = blob_slice(rd->read_states[i].ctx);

		buf_printf(out, "%s{" U64 " [", i ? " " : "", rd->read_states[i].index);
		for (size_t k = 0; k < ctx.size; k++)
			buf_printf(out, "%s%u", k ? " " : "", ctx.data[k]);
		buf_printf(out, "]}");
	}
	buf_printf(out, "]\n");
}

static void print_entry_lines(const char *title, const struct raft_entry *at, size_t count, struct buf *out)
{
	if (count == 0)
		return;
	buf_printf(out, "%s:\n", title);
	for (size_t i = 0; i < count; i++) {
		raft_entry_print(&at[i], out);
		buf_put_byte(out, '\n');
	}
}

void raft_ready_print(const struct raft_ready *rd, struct buf *out)
{
	if (!rd->has_soft_state && !rd->has_hard_state && !rd->read_state_count && !rd->entry_count && !rd->snapshot &&
	    !rd->committed_entry_count && !rd->message_count) {
		buf_printf(out, "<empty Ready>");
		return;
	}
	buf_printf(out, "Ready MustSync=%s:\n", rd->must_sync ? "true" : "false");
	if (rd->has_soft_state)
		buf_printf(out, "Lead:" U64 " State:%s\n", rd->soft_state.lead, raft_role_name(rd->soft_state.role));
	if (rd->has_hard_state) {
		buf_printf(out, "HardState Term:" U64, rd->hard_state.term);
		if (rd->hard_state.vote)
			buf_printf(out, " Vote:" U64, rd->hard_state.vote);
		buf_printf(out, " Commit:" U64 "\n", rd->hard_state.commit);
	}
	if (rd->read_state_count)
		print_read_states(rd, out);
	print_entry_lines("Entries", rd->entries, rd->entry_count, out);
	if (rd->snapshot) {
		buf_printf(out, "Snapshot ");
		raft_snapshot_print(rd->snapshot, out);
		buf_put_byte(out, '\n');
	}
	print_entry_lines("CommittedEntries", rd->committed_entries, rd->committed_entry_count, out);
	if (rd->message_count)
		buf_printf(out, "Messages:\n");
	for (size_t i = 0; i < rd->message_count; i++) {
		raft_message_print(&rd->messages[i], "", out);
		buf_put_byte(out, '\n');
	}
}

/* ---- state ---- */

void raft_peer_status_print(const struct raft_peer_status *p, struct buf *out)
{
	buf_printf(out, "%s match=" U64 " next=" U64, raft_progress_state_name(p->state), p->match, p->next);
	if (p->is_learner)
		buf_printf(out, " learner");
	if (p->paused)
		buf_printf(out, " paused");
	if (p->pending_snapshot)
		buf_printf(out, " pendingSnap=" U64, p->pending_snapshot);
	if (!p->recent_active)
		buf_printf(out, " inactive");
	if (p->inflight_count)
		buf_printf(out, " inflight=%zu%s", p->inflight_count, p->inflight_full ? "[full]" : "");
}

void raft_progress_print(const struct raft_progress *p, struct buf *out)
{
	struct raft_peer_status s;

	raft_progress_status(p, &s);
	raft_peer_status_print(&s, out);
}

void raft_configuration_print(const struct raft *r, struct buf *out)
{
	raft_conf_print(&r->tracker.membership.conf, out);
}

void raft_print(const struct raft *r, struct buf *out)
{
	buf_printf(out, X64 " %s term:" U64 " vote:" X64 " lead:" X64 " elapsed:%" PRIu32 "/%" PRIu32 "\n  ", r->config.id,
		   raft_role_name(r->role), r->term, r->vote, r->lead, r->election_elapsed, r->election_timeout);
	raft_configuration_print(r, out);
	buf_printf(out, "\n  first=" U64 ", last=" U64 ", ", raft_log_first_index(&r->log), raft_log_last_index(&r->log));
	raft_log_print(&r->log, out);
	buf_put_byte(out, '\n');
	for (size_t i = 0; r->role == RAFT_LEADER && i < raft_tracker_count(&r->tracker); i++) {
		buf_printf(out, "  " X64 ": ", r->tracker.progress[i].id);
		raft_progress_print(&r->tracker.progress[i], out);
		buf_put_byte(out, '\n');
	}
}

/* ---- arguments of log lines ---- */

static const char *text_end(struct raft_text *t)
{
	buf_put_byte(&t->buf, 0);
	return buf_failed(&t->buf) ? "(too long)" : (const char *)t->buf.data;
}

const char *raft_text_progress(const struct raft *r, struct raft_text *t, const struct raft_progress *p)
{
	buf_init(&t->buf, 64 << 10);
	if (!r->logger.fn)
		return "";
	raft_progress_print(p, &t->buf);
	return text_end(t);
}

const char *raft_text_conf(const struct raft *r, struct raft_text *t)
{
	buf_init(&t->buf, 64 << 10);
	if (!r->logger.fn)
		return "";
	raft_configuration_print(r, &t->buf);
	return text_end(t);
}

void raft_text_fini(struct raft_text *t)
{
	buf_fini(&t->buf);
}
