/* Replication state of one member, and its flow control. */
#include "raft/progress.h"

struct raft_inflight {
	uint64_t last_index;
	uint64_t bytes;
};

/* ---- inflights ---- */

bool raft_inflights_full(const struct raft_inflights *in)
{
	return in->count == in->count_max || (in->bytes_max && in->bytes >= in->bytes_max);
}

static void inflights_grow(struct raft_inflights *in)
{
	uint32_t room = in->room ? in->room * 2 : 8;
	struct raft_inflight *ring = mem_alloc(room * sizeof(*ring));

	for (uint32_t i = 0; i < in->count; i++)
		ring[i] = in->ring[(in->head + i) & (in->room - 1)];
	mem_free(in->ring);
	in->ring = ring;
	in->room = room;
	in->head = 0;
}

void raft_inflights_add(struct raft_inflights *in, uint64_t last_index, uint64_t bytes)
{
	ASSERT(!raft_inflights_full(in));
	if (in->count == in->room)
		inflights_grow(in);
	in->ring[(in->head + in->count) & (in->room - 1)] = (struct raft_inflight){last_index, bytes};
	in->count++;
	in->bytes += bytes;
}

void raft_inflights_free_to(struct raft_inflights *in, uint64_t index)
{
	while (in->count && in->ring[in->head].last_index <= index) {
		in->bytes -= in->ring[in->head].bytes;
		in->head = (in->head + 1) & (in->room - 1);
		in->count--;
	}
}

void raft_inflights_clear(struct raft_inflights *in)
{
	in->head = 0;
	in->count = 0;
	in->bytes = 0;
}

/* ---- states ---- */

static void progress_enter(struct raft_progress *p, enum raft_progress_state state)
{
	p->state = state;
	p->flow_paused = false;
	p->pending_snapshot = 0;
	raft_inflights_clear(&p->inflights);
}

void raft_progress_become_probe(struct raft_progress *p)
{
	/* A snapshot that was sent counts as received: probe behind it. */
	uint64_t next = MAX(p->match, p->state == RAFT_SNAPSHOT ? p->pending_snapshot : 0) + 1;

	progress_enter(p, RAFT_PROBE);
	p->next = next;
	p->sent_commit = MIN(p->sent_commit, p->next - 1);
}

void raft_progress_become_replicate(struct raft_progress *p)
{
	progress_enter(p, RAFT_REPLICATE);
	p->next = p->match + 1;
}

void raft_progress_become_snapshot(struct raft_progress *p, uint64_t index)
{
	progress_enter(p, RAFT_SNAPSHOT);
	p->pending_snapshot = index;
	p->next = index + 1;
	p->sent_commit = index;
}

void raft_progress_reset(struct raft_progress *p, uint64_t match, uint64_t next)
{
	progress_enter(p, RAFT_PROBE);
	p->match = match;
	p->next = next;
	p->sent_commit = 0;
	p->recent_active = false;
	p->vote = -1;
	p->read_ack = 0;
}

bool raft_progress_paused(const struct raft_progress *p)
{
	return p->state == RAFT_SNAPSHOT || p->flow_paused;
}

void raft_progress_sent(struct raft_progress *p, size_t count, uint64_t bytes)
{
	switch (p->state) {
	case RAFT_PROBE:
		if (count)
			p->flow_paused = true;
		return;
	case RAFT_REPLICATE:
		if (count) {
			p->next += count;
			raft_inflights_add(&p->inflights, p->next - 1, bytes);
		}
		p->flow_paused = raft_inflights_full(&p->inflights);
		return;
	case RAFT_SNAPSHOT:
		break;
	}
	UNREACHABLE();
}

/* ---- answers ---- */

bool raft_progress_update(struct raft_progress *p, uint64_t index)
{
	if (index <= p->match)
		return false;
	p->match = index;
	p->next = MAX(p->next, index + 1);
	p->flow_paused = false;
	return true;
}

bool raft_progress_decrease(struct raft_progress *p, uint64_t rejected, uint64_t match_hint)
{
	if (p->state == RAFT_REPLICATE) {
		if (rejected <= p->match)       /* overtaken by an acknowledgement */
			return false;
		p->next = p->match + 1;
		p->sent_commit = MIN(p->sent_commit, p->next - 1);
		return true;
	}
	if (p->next - 1 != rejected)            /* not the answer to the last probe */
		return false;

	uint64_t hinted = match_hint < rejected ? match_hint + 1 : rejected;
	p->next = MAX(hinted, p->match + 1);
	p->sent_commit = MIN(p->sent_commit, p->next - 1);
	p->flow_paused = false;
	return true;
}

bool raft_progress_can_bump_commit(const struct raft_progress *p, uint64_t commit)
{
	return commit > p->sent_commit && p->sent_commit < p->next - 1;
}
