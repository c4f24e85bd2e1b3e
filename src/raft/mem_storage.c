/* Storage in memory: entries in one array, so that what raft reads is contiguous and borrowed.
 *
 *	 room:  [ dropped | entries (first_index ... last_index) | free ]
 *	                   head                  head + count
 *
 * before = the position in front of the first entry: where the log was compacted, or {0, 0}. */
#include "raft/log.h"

#include <inttypes.h>

struct raft_mem_storage {
	struct raft_storage base;
	struct raft_hard_state hard_state;
	struct raft_snapshot snapshot;
	struct raft_pos before;
	struct raft_entry *room_at;
	size_t room;
	size_t head;
	size_t count;
	size_t data_bytes;
};

static struct raft_mem_storage *from_base(struct raft_storage *s)
{
	return CONTAINER_OF(s, struct raft_mem_storage, base);
}

uint64_t raft_mem_storage_first_index(const struct raft_mem_storage *s)
{
	return s->before.index + 1;
}

uint64_t raft_mem_storage_last_index(const struct raft_mem_storage *s)
{
	return s->before.index + s->count;
}

static struct raft_entry *entry_at(const struct raft_mem_storage *s, uint64_t index)
{
	ASSERT(index > s->before.index && index <= raft_mem_storage_last_index(s));
	return &s->room_at[s->head + (size_t)(index - s->before.index - 1)];
}

/* ---- what raft reads ---- */

static void get_initial_state(struct raft_storage *base, struct raft_hard_state *hs, const struct raft_conf_state **cs)
{
	struct raft_mem_storage *s = from_base(base);

	*hs = s->hard_state;
	*cs = &s->snapshot.conf_state;
}

static err_t get_entries(struct raft_storage *base, uint64_t lo, uint64_t hi, uint64_t size_max,
			 const struct raft_entry **out, size_t *count)
{
	struct raft_mem_storage *s = from_base(base);

	ASSERT(lo < hi);
	ASSERT(hi <= raft_mem_storage_last_index(s) + 1);
	if (lo <= s->before.index)
		return ERR_RAFT_COMPACTED;
	*out = entry_at(s, lo);
	*count = raft_entries_fitting(*out, (size_t)(hi - lo), size_max);
	return OK;
}

static err_t get_term(struct raft_storage *base, uint64_t index, uint64_t *out)
{
	struct raft_mem_storage *s = from_base(base);

	if (index < s->before.index)
		return ERR_RAFT_COMPACTED;
	if (index > raft_mem_storage_last_index(s))
		return ERR_RAFT_UNAVAILABLE;
	*out = index == s->before.index ? s->before.term : entry_at(s, index)->term;
	return OK;
}

static uint64_t get_first_index(struct raft_storage *base)
{
	return raft_mem_storage_first_index(from_base(base));
}

static uint64_t get_last_index(struct raft_storage *base)
{
	return raft_mem_storage_last_index(from_base(base));
}

static err_t get_snapshot(struct raft_storage *base, const struct raft_snapshot **out)
{
	*out = &from_base(base)->snapshot;
	return OK;
}

static const struct raft_storage_ops mem_storage_ops = {
	.initial_state = get_initial_state,
	.entries = get_entries,
	.term = get_term,
	.first_index = get_first_index,
	.last_index = get_last_index,
	.snapshot = get_snapshot,
};

/* ---- life ---- */

struct raft_mem_storage *raft_mem_storage_new(void)
{
	struct raft_mem_storage *s = NEW(struct raft_mem_storage);

	s->base.ops = &mem_storage_ops;
	return s;
}

/* Drops entries [from, end), counted from the first one held. */
static void drop_entries(struct raft_mem_storage *s, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++) {
		struct raft_entry *e = &s->room_at[s->head + i];

		s->data_bytes -= e->data ? e->data->size : 0;
		raft_entry_fini(e);
	}
}

void raft_mem_storage_free(struct raft_mem_storage *s)
{
	if (!s)
		return;
	drop_entries(s, 0, s->count);
	mem_free(s->room_at);
	raft_snapshot_fini(&s->snapshot);
	mem_free(s);
}

struct raft_storage *raft_mem_storage_base(struct raft_mem_storage *s)
{
	return &s->base;
}

void raft_mem_storage_set_hard_state(struct raft_mem_storage *s, const struct raft_hard_state *hs)
{
	s->hard_state = *hs;
}

const struct raft_hard_state *raft_mem_storage_hard_state(const struct raft_mem_storage *s)
{
	return &s->hard_state;
}

const struct raft_snapshot *raft_mem_storage_snapshot(const struct raft_mem_storage *s)
{
	return &s->snapshot;
}

size_t raft_mem_storage_data_bytes(const struct raft_mem_storage *s)
{
	return s->data_bytes;
}

/* ---- changes ---- */

static void reserve(struct raft_mem_storage *s, size_t more)
{
	if (s->head + s->count + more <= s->room)
		return;
	/* Compaction leaves room in front; moving is cheap as long as it is the smaller half that moves. */
	if (s->head >= s->count && s->count + more <= s->room) {
		memcpy(s->room_at, s->room_at + s->head, s->count * sizeof(*s->room_at));
	} else {
		size_t room = MAX(s->count + more, s->count * 2 + 64);
		struct raft_entry *at = mem_alloc(room * sizeof(*at));

		if (s->count)
			memcpy(at, s->room_at + s->head, s->count * sizeof(*at));
		mem_free(s->room_at);
		s->room_at = at;
		s->room = room;
	}
	s->head = 0;
}

void raft_mem_storage_append(struct raft_mem_storage *s, const struct raft_entry *entries, size_t count)
{
	while (count && entries->index <= s->before.index) {
		entries++;
		count--;
	}
	if (count == 0)
		return;
	ASSERT(entries->index <= raft_mem_storage_last_index(s) + 1);

	size_t keep = (size_t)(entries->index - s->before.index - 1);
	drop_entries(s, keep, s->count);
	s->count = keep;
	reserve(s, count);
	for (size_t i = 0; i < count; i++) {
		ASSERT(entries[i].index == raft_mem_storage_last_index(s) + 1);
		s->room_at[s->head + s->count++] = raft_entry_ref(&entries[i]);
		s->data_bytes += entries[i].data ? entries[i].data->size : 0;
	}
}

err_t raft_mem_storage_compact(struct raft_mem_storage *s, uint64_t index)
{
	if (index <= s->before.index)
		return ERR_RAFT_COMPACTED;
	ASSERT(index <= raft_mem_storage_last_index(s));

	struct raft_pos before = {entry_at(s, index)->term, index};
	size_t n = (size_t)(index - s->before.index);
	drop_entries(s, 0, n);
	s->count -= n;
	s->head = s->count ? s->head + n : 0;
	s->before = before;
	return OK;
}

err_t raft_mem_storage_create_snapshot(struct raft_mem_storage *s, uint64_t index, const struct raft_conf_state *cs,
				       struct blob *take_data)
{
	uint64_t term;

	if (index <= s->snapshot.index) {
		blob_unref(take_data);
		return ERR_RAFT_SNAPSHOT_OUT_OF_DATE;
	}
	ASSERT(index <= raft_mem_storage_last_index(s));
	err_t err = get_term(&s->base, index, &term);
	ASSERT(err == OK);

	struct raft_snapshot next = {.data = take_data, .index = index, .term = term};
	raft_conf_state_copy(&next.conf_state, cs);
	raft_snapshot_fini(&s->snapshot);
	s->snapshot = next;
	return OK;
}

err_t raft_mem_storage_apply_snapshot(struct raft_mem_storage *s, const struct raft_snapshot *snap)
{
	struct raft_snapshot copy = {0};

	if (s->snapshot.index && s->snapshot.index >= snap->index)
		return ERR_RAFT_SNAPSHOT_OUT_OF_DATE;
	raft_snapshot_copy(&copy, snap);
	raft_snapshot_fini(&s->snapshot);
	s->snapshot = copy;
	drop_entries(s, 0, s->count);
	s->count = 0;
	s->head = 0;
	s->before = (struct raft_pos){copy.term, copy.index};
	return OK;
}
