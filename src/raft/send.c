/* What leaves this node. Messages wait in two lists: msgs may go at once; votes and acknowledgements wait in
 * msgs_after_append until what they vouch for is durable (R3). */
#include "base/endian.h"
#include "raft/raft_impl.h"

static bool waits_for_disk(enum raft_msg_type type)
{
	return type == MSG_APP_RESP || type == MSG_VOTE_RESP || type == MSG_PRE_VOTE_RESP;
}

/* The term that a message carries: votes bring that of their campaign, everything else gets ours, except what acts
 * on behalf of a client and is as good at any term. */
static void set_term(struct raft *r, struct raft_message *m)
{
	switch (m->type) {
	case MSG_VOTE:
	case MSG_VOTE_RESP:
	case MSG_PRE_VOTE:
	case MSG_PRE_VOTE_RESP:
		if (m->term == 0)
			raft_panic(&r->logger, "term should be set when sending %s", raft_msg_type_name(m->type));
		return;
	default:
		if (m->term != 0)
			raft_panic(&r->logger, "term should not be set when sending %s (was " U64 ")",
				   raft_msg_type_name(m->type), m->term);
		if (m->type != MSG_PROP && m->type != MSG_READ_INDEX)
			m->term = r->term;
	}
}

void raft_send(struct raft *r, struct raft_message *take)
{
	struct raft_message m = raft_message_take(take);

	if (m.from == RAFT_NONE)
		m.from = r->config.id;
	set_term(r, &m);
	if (waits_for_disk(m.type)) {
		VEC_PUSH(&r->msgs_after_append, m);
		return;
	}
	if (m.to == r->config.id)
		raft_panic(&r->logger, "message should not be self-addressed when sending %s", raft_msg_type_name(m.type));
	VEC_PUSH(&r->msgs, m);
}

/* ---- append ---- */

static struct raft_snapshot *snapshot_dup(const struct raft_snapshot *s)
{
	struct raft_snapshot *copy = NEW(struct raft_snapshot);

	raft_snapshot_copy(copy, s);
	return copy;
}

static err_t newest_snapshot(struct raft *r, const struct raft_snapshot **out)
{
	*out = raft_log_snapshot_in_log(&r->log);
	return *out ? OK : r->config.storage->ops->snapshot(r->config.storage, out);
}

static bool maybe_send_snapshot(struct raft *r, struct raft_progress *p)
{
	const struct raft_snapshot *snap;
	struct raft_text text;

	if (!p->recent_active) {
		RAFT_LOGF(r, DEBUG, "ignore sending snapshot to " X64 " since it is not recently active", p->id);
		return false;
	}
	err_t err = newest_snapshot(r, &snap);
	if (err == ERR_RAFT_SNAPSHOT_UNAVAILABLE) {
		RAFT_LOGF(r, DEBUG, X64 " failed to send snapshot to " X64 " because snapshot is temporarily unavailable",
			  r->config.id, p->id);
		return false;
	}
	if (err || snap->index == 0)
		raft_panic(&r->logger, "need non-empty snapshot");

	RAFT_LOGF(r, DEBUG,
		  X64 " [firstindex: " U64 ", commit: " U64 "] sent snapshot[index: " U64 ", term: " U64 "] to " X64 " [%s]",
		  r->config.id, raft_log_first_index(&r->log), r->log.committed, snap->index, snap->term, p->id,
		  raft_text_progress(r, &text, p));
	raft_text_fini(&text);
	raft_progress_become_snapshot(p, snap->index);
	RAFT_LOGF(r, DEBUG, X64 " paused sending replication messages to " X64 " [%s]", r->config.id, p->id,
		  raft_text_progress(r, &text, p));
	raft_text_fini(&text);
	raft_send(r, &(struct raft_message){.type = MSG_SNAP, .to = p->id, .snapshot = snapshot_dup(snap)});
	return true;
}

/* The entries from next on that fit in one message. */
static err_t entries_from(struct raft *r, uint64_t next, struct raft_span *out)
{
	uint64_t end = raft_log_last_index(&r->log) + 1;

	*out = (struct raft_span){0};
	return next < end ? raft_log_slice(&r->log, next, end, r->config.max_size_per_msg, out) : OK;
}

bool raft_maybe_send_append(struct raft *r, struct raft_progress *p, bool if_empty)
{
	struct raft_pos prev = {.index = p->next - 1};
	struct raft_span span = {0};
	err_t err = OK;

	if (raft_progress_paused(p))
		return false;
	if (raft_log_term(&r->log, prev.index, &prev.term) != OK)
		return maybe_send_snapshot(r, p);
	/* With everything in flight full, an empty message still goes: should all of those be lost, its answer is
	 * what gets the stream going again. */
	if (p->state != RAFT_REPLICATE || !raft_inflights_full(&p->inflights))
		err = entries_from(r, p->next, &span);
	if (raft_span_count(&span) == 0 && !if_empty)
		return false;
	if (err)
		return maybe_send_snapshot(r, p);

	size_t count = raft_span_count(&span);
	uint64_t bytes = raft_entries_payload(span.part[0].at, span.part[0].count) +
			 raft_entries_payload(span.part[1].at, span.part[1].count);
	raft_send(r, &(struct raft_message){
			     .type = MSG_APP,
			     .to = p->id,
			     .index = prev.index,
			     .log_term = prev.term,
			     .entries = raft_span_copy(&span),
			     .entry_count = count,
			     .commit = r->log.committed,
		     });
	raft_progress_sent(p, count, bytes);
	p->sent_commit = r->log.committed;
	return true;
}

void raft_broadcast_append(struct raft *r)
{
	for (size_t i = 0; i < raft_tracker_count(&r->tracker); i++) {
		struct raft_progress *p = &r->tracker.progress[i];

		if (p->id != r->config.id)
			raft_maybe_send_append(r, p, true);
	}
}

/* ---- heartbeat ---- */

static struct blob *read_context(uint64_t position)
{
	struct blob *b = blob_new(8);

	le64_put(b->data, position);
	return b;
}

void raft_broadcast_heartbeat(struct raft *r)
{
	uint64_t position = raft_reads_position(r);
	struct blob *context = position ? read_context(position) : NULL;

	for (size_t i = 0; i < raft_tracker_count(&r->tracker); i++) {
		struct raft_progress *p = &r->tracker.progress[i];

		if (p->id == r->config.id)
			continue;
		/* Never commit more than what is known to match. */
		uint64_t commit = MIN(p->match, r->log.committed);
		raft_send(r, &(struct raft_message){
				     .type = MSG_HEARTBEAT, .to = p->id, .commit = commit, .context = blob_ref(context)});
		p->sent_commit = commit;
	}
	blob_unref(context);
}

void raft_send_timeout_now(struct raft *r, uint64_t to)
{
	raft_send(r, &(struct raft_message){.type = MSG_TIMEOUT_NOW, .to = to});
}
