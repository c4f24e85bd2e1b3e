/* The part of the log that is not known to be written. */
#include "raft/unstable.h"

#include <inttypes.h>

static struct raft_entry *entry_at(const struct raft_unstable *u, uint64_t index)
{
	return &u->room_at[u->head + (size_t)(index - u->offset)];
}

static void drop_entries(struct raft_unstable *u, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++)
		raft_entry_fini(&u->room_at[u->head + i]);
}

void raft_unstable_fini(struct raft_unstable *u)
{
	drop_entries(u, 0, u->count);
	mem_free(u->room_at);
	if (u->snapshot) {
		raft_snapshot_fini(u->snapshot);
		mem_free(u->snapshot);
	}
}

const struct raft_entry *raft_unstable_from(const struct raft_unstable *u, uint64_t index)
{
	ASSERT(index >= u->offset && index <= u->offset + u->count);
	return entry_at(u, index);
}

bool raft_unstable_last_index(const struct raft_unstable *u, uint64_t *index)
{
	if (u->count)
		*index = u->offset + u->count - 1;
	else if (u->snapshot)
		*index = u->snapshot->index;
	else
		return false;
	return true;
}

bool raft_unstable_term(const struct raft_unstable *u, uint64_t index, uint64_t *term)
{
	if (index >= u->offset && index - u->offset < u->count)
		*term = entry_at(u, index)->term;
	else if (u->snapshot && u->snapshot->index == index)
		*term = u->snapshot->term;
	else
		return false;
	return true;
}

/* Room for more entries at the end. Entries leave in front, so the space there is used again before growing. */
static void reserve(struct raft_unstable *u, size_t more)
{
	if (u->head + u->count + more <= u->room)
		return;
	if (u->head > u->count && u->count + more <= u->room) {
		memcpy(u->room_at, u->room_at + u->head, u->count * sizeof(*u->room_at));
	} else {
		size_t room = MAX(u->count + more, u->room * 2 + 16);
		struct raft_entry *at = mem_alloc(room * sizeof(*at));

		if (u->count)
			memcpy(at, u->room_at + u->head, u->count * sizeof(*at));
		mem_free(u->room_at);
		u->room_at = at;
		u->room = room;
	}
	u->head = 0;
}

static void truncate_from(struct raft_unstable *u, const struct raft_logger *logger, uint64_t index)
{
	if (index == u->offset + u->count)
		return;
	if (index <= u->offset) {
		raft_logf(logger, RAFT_LOG_INFO, "replace the unstable entries from index " U64, index);
		drop_entries(u, 0, u->count);
		u->count = 0;
		u->head = 0;
		u->offset = index;
		u->offset_in_progress = index;
		return;
	}
	raft_logf(logger, RAFT_LOG_INFO, "truncate the unstable entries before index " U64, index);
	ASSERT(index < u->offset + u->count);
	drop_entries(u, (size_t)(index - u->offset), u->count);
	u->count = (size_t)(index - u->offset);
	u->offset_in_progress = MIN(u->offset_in_progress, index);
}

void raft_unstable_append(struct raft_unstable *u, const struct raft_logger *logger, struct raft_entry *take, size_t count)
{
	truncate_from(u, logger, take[0].index);
	reserve(u, count);
	memcpy(u->room_at + u->head + u->count, take, count * sizeof(*take));
	u->count += count;
}

void raft_unstable_accept(struct raft_unstable *u)
{
	if (u->count)
		u->offset_in_progress = u->offset + u->count;
	if (u->snapshot)
		u->snapshot_in_progress = true;
}

void raft_unstable_stable_to(struct raft_unstable *u, const struct raft_logger *logger, struct raft_pos pos)
{
	uint64_t term;

	if (!raft_unstable_term(u, pos.index, &term)) {
		raft_logf(logger, RAFT_LOG_INFO, "entry at index " U64 " missing from unstable log; ignoring", pos.index);
		return;
	}
	if (pos.index < u->offset) {
		raft_logf(logger, RAFT_LOG_INFO, "entry at index " U64 " matched unstable snapshot; ignoring", pos.index);
		return;
	}
	if (term != pos.term) {
		raft_logf(logger, RAFT_LOG_INFO,
			  "entry at (index,term)=(" U64 "," U64 ") mismatched with entry at (" U64 "," U64
			  ") in unstable log; ignoring",
			  pos.index, pos.term, pos.index, term);
		return;
	}

	size_t n = (size_t)(pos.index + 1 - u->offset);
	drop_entries(u, 0, n);
	u->count -= n;
	u->head = u->count ? u->head + n : 0;
	u->offset = pos.index + 1;
	u->offset_in_progress = MAX(u->offset_in_progress, u->offset);
}

void raft_unstable_drop_snapshot(struct raft_unstable *u)
{
	raft_snapshot_fini(u->snapshot);
	mem_free(u->snapshot);
	u->snapshot = NULL;
	u->snapshot_in_progress = false;
}

void raft_unstable_restore(struct raft_unstable *u, const struct raft_snapshot *snap)
{
	drop_entries(u, 0, u->count);
	u->count = 0;
	u->head = 0;
	u->offset = snap->index + 1;
	u->offset_in_progress = u->offset;
	if (u->snapshot)
		raft_unstable_drop_snapshot(u);
	u->snapshot = NEW(struct raft_snapshot);
	raft_snapshot_copy(u->snapshot, snap);
}
