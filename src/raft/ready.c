/* Output: what is to be persisted, sent and applied, and the report that it is done. */
#include "base/bug.h"
#include "raft/raft_impl.h"

/* The arrays behind a ready. They trade places with those of the raft object, so that neither allocates anew. */
struct raft_ready_room {
	VEC(struct raft_message) messages;
	VEC(struct raft_read_state) read_states;
	VEC(struct raft_entry) entries;
	VEC(struct raft_entry) committed;
	struct raft_snapshot snapshot;
};

static bool soft_state_changed(const struct raft *r)
{
	return r->lead != r->prev_soft.lead || r->role != r->prev_soft.role;
}

static bool hard_state_changed(const struct raft *r)
{
	struct raft_hard_state hs = raft_hard_state(r);

	return hs.term != r->prev_hard.term || hs.vote != r->prev_hard.vote || hs.commit != r->prev_hard.commit;
}

/* Without async writes the ready itself brings entries to disk before they are applied. */
static bool may_apply_unstable(const struct raft *r)
{
	return !r->config.async_storage_writes || BUG(APPLY_UNSTABLE);
}

bool raft_has_ready(const struct raft *r)
{
	size_t unstable;

	raft_log_next_unstable(&r->log, &unstable);
	return soft_state_changed(r) || hard_state_changed(r) || raft_log_next_snapshot(&r->log) || r->msgs.count ||
	       r->msgs_after_append.count || unstable || raft_log_has_committed(&r->log, may_apply_unstable(r)) ||
	       r->read_states.count;
}

/* ---- messages to the storage threads ---- */

static struct raft_entry *entries_dup(const struct raft_entry *at, size_t count)
{
	struct raft_entry *copy = mem_alloc(count * sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = raft_entry_ref(&at[i]);
	return copy;
}

static struct raft_snapshot *snapshot_dup(const struct raft_snapshot *s)
{
	struct raft_snapshot *copy = NEW(struct raft_snapshot);

	raft_snapshot_copy(copy, s);
	return copy;
}

/* Where the log ends, if anything of it is unstable, handed out or not: a later write repeats what an earlier one
 * said, since an answer of a lower term does not count (see handle_lower_term). */
static struct raft_pos unstable_end(const struct raft *r)
{
	return r->log.unstable.count ? raft_log_last(&r->log) : (struct raft_pos){0};
}

static struct raft_message append_resp(const struct raft *r, const struct raft_snapshot *snap)
{
	struct raft_pos end = unstable_end(r);

	return (struct raft_message){
		.type = MSG_STORAGE_APPEND_RESP,
		.to = r->config.id,
		.from = RAFT_APPEND_THREAD,
		.term = r->term,
		.index = end.index,
		.log_term = end.term,
		.snapshot = snap ? snapshot_dup(snap) : NULL,
	};
}

/* What the append answers when it is durable: first votes and acknowledgements, then the note to self. The own
 * acknowledgement comes first: its entries are still in the unstable part, where terms are found at once. */
static void attach_responses(struct raft *r, struct raft_message *m, const struct raft_snapshot *snap)
{
	bool has_note = r->log.unstable.count || snap;
	size_t count = r->msgs_after_append.count;

	if (count + has_note == 0)
		return;
	m->responses = mem_alloc((count + has_note) * sizeof(*m->responses));
	m->response_count = count + has_note;
	if (count)
		memcpy(m->responses, r->msgs_after_append.at, count * sizeof(*m->responses));
	r->msgs_after_append.count = 0;
	if (has_note)
		m->responses[count] = append_resp(r, snap);
}

static void push_storage_append(struct raft *r, struct raft_ready *rd)
{
	size_t count;
	const struct raft_entry *entries = raft_log_next_unstable(&r->log, &count);
	const struct raft_snapshot *snap = raft_log_next_snapshot(&r->log);

	if (!count && !rd->has_hard_state && !snap && !r->msgs_after_append.count)
		return;

	struct raft_message m = {.type = MSG_STORAGE_APPEND, .to = RAFT_APPEND_THREAD, .from = r->config.id};
	if (count) {
		m.entries = entries_dup(entries, count);
		m.entry_count = count;
	}
	if (rd->has_hard_state) {
		m.term = rd->hard_state.term;
		m.vote = rd->hard_state.vote;
		m.commit = rd->hard_state.commit;
	}
	if (snap)
		m.snapshot = snapshot_dup(snap);
	attach_responses(r, &m, snap);
	rd->entries = m.entries;
	rd->entry_count = count;
	rd->snapshot = m.snapshot;
	VEC_PUSH(&rd->room->messages, m);
}

static void push_storage_apply(struct raft *r, struct raft_ready *rd, const struct raft_span *span)
{
	size_t count = raft_span_count(span);

	if (!count)
		return;

	struct raft_message m = {.type = MSG_STORAGE_APPLY, .to = RAFT_APPLY_THREAD, .from = r->config.id};
	m.entries = raft_span_copy(span);
	m.entry_count = count;
	m.responses = NEW(struct raft_message);
	m.response_count = 1;
	m.responses[0] = (struct raft_message){
		.type = MSG_STORAGE_APPLY_RESP,
		.to = r->config.id,
		.from = RAFT_APPLY_THREAD,
		.entries = entries_dup(m.entries, count),
		.entry_count = count,
	};
	rd->committed_entries = m.entries;
	rd->committed_entry_count = count;
	VEC_PUSH(&rd->room->messages, m);
}

/* ---- sync mode ---- */

static void fill_sync_writes(struct raft *r, struct raft_ready *rd)
{
	struct raft_ready_room *room = rd->room;
	size_t count;
	const struct raft_entry *entries = raft_log_next_unstable(&r->log, &count);
	const struct raft_snapshot *snap = raft_log_next_snapshot(&r->log);

	VEC_RESERVE(&room->entries, count);
	for (size_t i = 0; i < count; i++)
		room->entries.at[i] = raft_entry_ref(&entries[i]);
	room->entries.count = count;
	rd->entries = room->entries.at;
	rd->entry_count = count;
	if (snap) {
		raft_snapshot_copy(&room->snapshot, snap);
		rd->snapshot = &room->snapshot;
	}
	for (size_t i = 0; i < r->msgs_after_append.count; i++) {
		struct raft_message m = r->msgs_after_append.at[i];

		if (m.to == r->config.id)
			VEC_PUSH(&r->steps.own, m);
		else
			VEC_PUSH(&room->messages, m);
	}
	r->msgs_after_append.count = 0;

	if (r->log.unstable.count || snap) {
		r->steps.append = true;
		r->steps.append_term = r->term;
		r->steps.append_last = unstable_end(r);
		r->steps.append_snapshot = snap ? snap->index : 0;
	}
}

static void fill_sync_applies(struct raft *r, struct raft_ready *rd, const struct raft_span *span)
{
	struct raft_ready_room *room = rd->room;

	VEC_RESERVE(&room->committed, raft_span_count(span));
	for (int part = 0; part < 2; part++) {
		for (size_t i = 0; i < span->part[part].count; i++)
			room->committed.at[room->committed.count++] = raft_entry_ref(&span->part[part].at[i]);
	}
	rd->committed_entries = room->committed.at;
	rd->committed_entry_count = room->committed.count;
	if (room->committed.count) {
		r->steps.apply = true;
		r->steps.apply_index = room->committed.at[room->committed.count - 1].index;
		r->steps.apply_bytes = raft_entries_size(room->committed.at, room->committed.count);
		r->steps.apply_payload = raft_entries_payload(room->committed.at, room->committed.count);
	}
}

/* ---- ready ---- */

static void fill_states(struct raft *r, struct raft_ready *rd)
{
	size_t unstable;

	raft_log_next_unstable(&r->log, &unstable);
	rd->has_soft_state = soft_state_changed(r);
	rd->has_hard_state = hard_state_changed(r);
	rd->soft_state = (struct raft_soft_state){r->lead, r->role};
	rd->hard_state = raft_hard_state(r);
	rd->must_sync = unstable || r->term != r->prev_hard.term || r->vote != r->prev_hard.vote;
	r->prev_soft = rd->soft_state;
	r->prev_hard = rd->hard_state;
}

#define SWAP_VEC(a, b)                                    \
	do {                                              \
		ASSERT((a)->count == 0);                  \
		__typeof__(*(a)) tmp_ = *(a);             \
		memcpy((a), (b), sizeof(tmp_));           \
		memcpy((b), &tmp_, sizeof(tmp_));         \
	} while (0)

void raft_ready(struct raft *r, struct raft_ready *out)
{
	if (!r->config.async_storage_writes && r->steps.pending)
		raft_panic(&r->logger, "two accepted Ready structs without call to Advance");
	if (!out->room)
		out->room = NEW(struct raft_ready_room);

	struct raft_ready_room *room = out->room;
	struct raft_span committed = raft_log_next_committed(&r->log, may_apply_unstable(r));
	SWAP_VEC(&room->messages, &r->msgs);
	SWAP_VEC(&room->read_states, &r->read_states);
	fill_states(r, out);
	if (r->config.async_storage_writes) {
		push_storage_append(r, out);
		push_storage_apply(r, out, &committed);
	} else {
		fill_sync_writes(r, out);
		fill_sync_applies(r, out, &committed);
		r->steps.pending = r->steps.own.count || r->steps.append || r->steps.apply;
	}
	out->read_states = room->read_states.at;
	out->read_state_count = room->read_states.count;
	out->messages = room->messages.at;
	out->message_count = room->messages.count;

	raft_log_accept_unstable(&r->log);
	if (out->committed_entry_count) {
		uint64_t index = out->committed_entries[out->committed_entry_count - 1].index;
		uint64_t bytes = raft_entries_size(out->committed_entries, out->committed_entry_count);

		raft_log_accept_applying(&r->log, index, bytes, may_apply_unstable(r));
	}
}

static void drop_entries(struct raft_entry *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		raft_entry_fini(&at[i]);
}

void raft_ready_clear(struct raft_ready *rd)
{
	struct raft_ready_room *room = rd->room;

	if (room) {
		for (size_t i = 0; i < room->messages.count; i++)
			raft_message_fini(&room->messages.at[i]);
		for (size_t i = 0; i < room->read_states.count; i++)
			blob_unref(room->read_states.at[i].ctx);
		drop_entries(room->entries.at, room->entries.count);
		drop_entries(room->committed.at, room->committed.count);
		raft_snapshot_fini(&room->snapshot);
		room->messages.count = room->read_states.count = room->entries.count = room->committed.count = 0;
	}
	*rd = (struct raft_ready){.room = room};
}

void raft_ready_fini(struct raft_ready *rd)
{
	raft_ready_clear(rd);
	if (!rd->room)
		return;
	VEC_FREE(&rd->room->messages);
	VEC_FREE(&rd->room->read_states);
	VEC_FREE(&rd->room->entries);
	VEC_FREE(&rd->room->committed);
	mem_free(rd->room);
	rd->room = NULL;
}

void raft_advance(struct raft *r)
{
	ASSERT(!r->config.async_storage_writes);

	/* Taken aside first: what is stepped may fill msgs_after_append, but never this. */
	struct raft_advance_steps *s = &r->steps;
	for (size_t i = 0; i < s->own.count; i++) {
		err_t err = raft_step_any(r, &s->own.at[i]);

		ASSERT(err == OK);
		raft_message_fini(&s->own.at[i]);
	}
	if (s->append) {
		struct raft_message m = {
			.type = MSG_STORAGE_APPEND_RESP,
			.from = RAFT_APPEND_THREAD,
			.term = s->append_term,
			.index = s->append_last.index,
			.log_term = s->append_last.term,
		};
		struct raft_snapshot applied = {.index = s->append_snapshot};

		m.snapshot = s->append_snapshot ? &applied : NULL;
		err_t err = raft_step_any(r, &m);
		ASSERT(err == OK);
	}
	if (s->apply)
		raft_apply_done(r, s->apply_index, s->apply_bytes, s->apply_payload);
	s->own.count = 0;
	s->append = s->apply = s->pending = false;
}
