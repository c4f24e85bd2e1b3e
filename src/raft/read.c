/* Read index: which commit index a read must wait for, so that it sees everything acknowledged before it was asked
 * (raft thesis, section 6.4). Safe mode confirms the leadership with a round of heartbeats; reads are counted, and a
 * heartbeat carries how many have come: its answer confirms all of them at once. */
#include "base/endian.h"
#include "raft/raft_impl.h"

/* Reads that wait at a time; beyond that they are dropped, and the caller asks again as for any lost one. */
enum { READS_MAX = 8192 };

void raft_push_read_state(struct raft *r, uint64_t index, struct blob *take_ctx)
{
	VEC_PUSH(&r->read_states, ((struct raft_read_state){index, take_ctx}));
}

static void answer_read(struct raft *r, struct raft_message *request, uint64_t index)
{
	struct raft_message answer = {.type = MSG_READ_INDEX_RESP, .to = request->from, .index = index};

	if (request->from == RAFT_NONE || request->from == r->config.id) {
		raft_push_read_state(r, index, blob_ref(request->entries[0].data));
		return;
	}
	answer.entries = request->entries;
	answer.entry_count = request->entry_count;
	request->entries = NULL;
	request->entry_count = 0;
	raft_send(r, &answer);
}

uint64_t raft_reads_position(const struct raft *r)
{
	const struct raft_reads *reads = &r->reads;

	return reads->unconfirmed.count ? reads->confirmed + reads->unconfirmed.count : 0;
}

/* The leader has committed in its term, so its commit index is the cluster's. An only voter has nobody to ask; a
 * removed leader has, even if one voter is left. */
static void serve_read(struct raft *r, struct raft_message *m)
{
	bool alone = raft_is_only_voter(r) && !r->config.only_voter_reads_at_once;

	if (alone || r->config.read_option == RAFT_READ_LEASE_BASED) {
		answer_read(r, m, r->log.committed);
		return;
	}
	if (r->reads.unconfirmed.count == READS_MAX)
		return;

	struct raft_read_request request = {raft_message_take(m), r->log.committed};
	struct raft_progress *own = raft_tracker_find(&r->tracker, r->config.id);

	VEC_PUSH(&r->reads.unconfirmed, request);
	if (own)
		own->read_ack = raft_reads_position(r);
	raft_broadcast_heartbeat(r);
}

void raft_read_request(struct raft *r, struct raft_message *m)
{
	if (m->entry_count == 0)
		return;
	if (r->config.only_voter_reads_at_once && raft_tracker_is_only_voter(&r->tracker)) {
		answer_read(r, m, r->log.committed);
	} else if (!raft_committed_in_term(r)) {
		/* Entries of older terms may be committed without us knowing. */
		if (r->reads.queued.count < READS_MAX)
			VEC_PUSH(&r->reads.queued, raft_message_take(m));
	} else {
		serve_read(r, m);
	}
}

void raft_release_queued_reads(struct raft *r)
{
	if (r->reads.queued.count == 0)
		return;
	if (!raft_committed_in_term(r)) {
		RAFT_LOGF(r, ERROR, "pending MsgReadIndex should be released only after first commit in current term");
		return;
	}
	/* Serving does not queue again. */
	for (size_t i = 0; i < r->reads.queued.count; i++) {
		serve_read(r, &r->reads.queued.at[i]);
		raft_message_fini(&r->reads.queued.at[i]);
	}
	r->reads.queued.count = 0;
}

void raft_read_ack(struct raft *r, struct raft_progress *p, const struct raft_message *m)
{
	struct raft_reads *reads = &r->reads;

	if (r->config.read_option != RAFT_READ_SAFE || !m->context || m->context->size < 8)
		return;
	/* Nobody can confirm what has not been asked. */
	uint64_t ack = MIN(le64_get(m->context->data), reads->confirmed + reads->unconfirmed.count);
	p->read_ack = MAX(p->read_ack, ack);

	uint64_t confirmed = raft_tracker_reads_confirmed(&r->tracker);
	if (confirmed <= reads->confirmed)
		return;
	ASSERT(confirmed - reads->confirmed <= reads->unconfirmed.count);
	size_t n = (size_t)(confirmed - reads->confirmed);
	for (size_t i = 0; i < n; i++) {
		struct raft_read_request *q = &reads->unconfirmed.at[i];

		answer_read(r, &q->request, q->index);
		raft_message_fini(&q->request);
	}
	reads->unconfirmed.count -= n;
	memmove(reads->unconfirmed.at, reads->unconfirmed.at + n,
		reads->unconfirmed.count * sizeof(*reads->unconfirmed.at));
	reads->confirmed += n;
}

/* What waits for confirmation dies with the leadership; what waits for a first commit may still get one. */
void raft_reads_reset(struct raft *r)
{
	for (size_t i = 0; i < r->reads.unconfirmed.count; i++)
		raft_message_fini(&r->reads.unconfirmed.at[i].request);
	r->reads.unconfirmed.count = 0;
	r->reads.confirmed = 0;
}

void raft_reads_fini(struct raft *r)
{
	raft_reads_reset(r);
	for (size_t i = 0; i < r->reads.queued.count; i++)
		raft_message_fini(&r->reads.queued.at[i]);
	VEC_FREE(&r->reads.unconfirmed);
	VEC_FREE(&r->reads.queued);
}
