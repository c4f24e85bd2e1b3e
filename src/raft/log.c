/* Storage and unstable part as one log. */
#include "raft/log.h"

#include <inttypes.h>

#include "raft/unstable.h"

/* ---- reading ---- */

void raft_log_init(struct raft_log *l, struct raft_storage *storage, const struct raft_logger *logger,
		   uint64_t applying_bytes_max)
{
	uint64_t first = storage->ops->first_index(storage);
	uint64_t last = storage->ops->last_index(storage);

	*l = (struct raft_log){
		.storage = storage,
		.logger = logger,
		.unstable = {.offset = last + 1, .offset_in_progress = last + 1},
		.committed = first - 1,
		.applying = first - 1,
		.applied = first - 1,
		.applying_bytes_max = applying_bytes_max,
	};
}

void raft_log_fini(struct raft_log *l)
{
	raft_unstable_fini(&l->unstable);
}

uint64_t raft_log_first_index(const struct raft_log *l)
{
	if (l->unstable.snapshot)
		return l->unstable.snapshot->index + 1;
	return l->storage->ops->first_index(l->storage);
}

uint64_t raft_log_last_index(const struct raft_log *l)
{
	uint64_t index;

	if (raft_unstable_last_index(&l->unstable, &index))
		return index;
	return l->storage->ops->last_index(l->storage);
}

err_t raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *term)
{
	if (raft_unstable_term(&l->unstable, index, term))
		return OK;
	/* The term in front of the first entry is still known: it is compared when entries are appended. */
	if (index + 1 < raft_log_first_index(l))
		return ERR_RAFT_COMPACTED;
	if (index > raft_log_last_index(l))
		return ERR_RAFT_UNAVAILABLE;

	err_t err = l->storage->ops->term(l->storage, index, term);
	ASSERT(err == OK || err == ERR_RAFT_COMPACTED || err == ERR_RAFT_UNAVAILABLE);
	return err;
}

uint64_t raft_log_term_or_zero(const struct raft_log *l, uint64_t index)
{
	uint64_t term;

	return raft_log_term(l, index, &term) == OK ? term : 0;
}

struct raft_pos raft_log_last(const struct raft_log *l)
{
	struct raft_pos last = {.index = raft_log_last_index(l)};
	err_t err = raft_log_term(l, last.index, &last.term);

	if (err)
		raft_panic(l->logger, "unexpected error when getting the last term at " U64 ": %s", last.index,
			   err_text(err));
	return last;
}

bool raft_log_matches(const struct raft_log *l, struct raft_pos pos)
{
	uint64_t term;

	return raft_log_term(l, pos.index, &term) == OK && term == pos.term;
}

bool raft_log_is_up_to_date(const struct raft_log *l, struct raft_pos candidate)
{
	struct raft_pos own = raft_log_last(l);

	return candidate.term > own.term || (candidate.term == own.term && candidate.index >= own.index);
}

struct raft_pos raft_log_find_conflict(const struct raft_log *l, uint64_t index, uint64_t term)
{
	for (; index > 0; index--) {
		uint64_t own;

		if (raft_log_term(l, index, &own) != OK)
			return (struct raft_pos){0, index};
		if (own <= term)
			return (struct raft_pos){own, index};
	}
	return (struct raft_pos){0};
}

err_t raft_log_slice(const struct raft_log *l, uint64_t lo, uint64_t hi, uint64_t bytes_max, struct raft_span *out)
{
	const struct raft_unstable *u = &l->unstable;
	struct raft_span s = {0};

	ASSERT(lo <= hi);
	if (lo < raft_log_first_index(l))
		return ERR_RAFT_COMPACTED;
	ASSERT(hi <= raft_log_last_index(l) + 1);

	if (lo < hi && lo < u->offset) {
		uint64_t cut = MIN(hi, u->offset);
		err_t err = l->storage->ops->entries(l->storage, lo, cut, bytes_max, &s.part[0].at, &s.part[0].count);

		if (err == ERR_RAFT_UNAVAILABLE)
			raft_panic(l->logger, "entries[" U64 ":" U64 ") is unavailable from storage", lo, cut);
		if (err)
			return err;
		if (s.part[0].count < cut - lo) {
			*out = s;
			return OK;
		}
		if (bytes_max != RAFT_NO_LIMIT) {
			uint64_t size = raft_entries_size(s.part[0].at, s.part[0].count);

			bytes_max = size < bytes_max ? bytes_max - size : 0;
		}
		lo = cut;
	}
	if (lo < hi) {
		s.part[1].at = raft_unstable_from(u, lo);
		s.part[1].count = raft_entries_fitting(s.part[1].at, (size_t)(hi - lo), bytes_max);
		/* Behind stable entries, not even one may go over the limit. */
		if (s.part[0].count && s.part[1].count == 1 && raft_entry_size(s.part[1].at) > bytes_max)
			s.part[1].count = 0;
	}
	*out = s;
	return OK;
}

/* ---- changing ---- */

void raft_log_append(struct raft_log *l, struct raft_entry *take, size_t count)
{
	if (count == 0)
		return;
	if (take[0].index - 1 < l->committed)
		raft_panic(l->logger, "after(" U64 ") is out of range [committed(" U64 ")]", take[0].index - 1,
			   l->committed);
	raft_unstable_append(&l->unstable, l->logger, take, count);
}

/* How many of the entries are in the log already. */
static size_t count_known(const struct raft_log *l, const struct raft_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct raft_pos pos = {entries[i].term, entries[i].index};

		if (raft_log_matches(l, pos))
			continue;
		if (pos.index <= raft_log_last_index(l))
			raft_logf(l->logger, RAFT_LOG_INFO,
				  "found conflict at index " U64 " [existing term: " U64 ", conflicting term: " U64 "]",
				  pos.index, raft_log_term_or_zero(l, pos.index), pos.term);
		return i;
	}
	return count;
}

bool raft_log_maybe_append(struct raft_log *l, struct raft_pos prev, struct raft_entry *entries, size_t count,
			   uint64_t commit, size_t *moved)
{
	*moved = 0;
	if (!raft_log_matches(l, prev))
		return false;

	/* An old MSG_APP, all of whose entries are known, must not cut off what came later. */
	size_t known = count_known(l, entries, count);
	if (known < count) {
		if (entries[known].index <= l->committed)
			raft_panic(l->logger, "entry " U64 " conflict with committed entry [committed(" U64 ")]",
				   entries[known].index, l->committed);
		raft_log_append(l, entries + known, count - known);
		*moved = count - known;
	}
	raft_log_commit_to(l, MIN(commit, prev.index + count));
	return true;
}

void raft_log_commit_to(struct raft_log *l, uint64_t index)
{
	if (index <= l->committed)
		return;
	if (index > raft_log_last_index(l))
		raft_panic(l->logger,
			   "tocommit(" U64 ") is out of range [lastIndex(" U64
			   ")]. Was the raft log corrupted, truncated, or lost?",
			   index, raft_log_last_index(l));
	l->committed = index;
}

bool raft_log_maybe_commit(struct raft_log *l, struct raft_pos at)
{
	if (at.term == 0 || at.index <= l->committed || !raft_log_matches(l, at))
		return false;
	raft_log_commit_to(l, at.index);
	return true;
}

void raft_log_restore(struct raft_log *l, const struct raft_snapshot *snap)
{
	if (l->logger->fn) {
		struct buf text;

		buf_init(&text, 1024);
		raft_log_print(l, &text);
		raft_logf(l->logger, RAFT_LOG_INFO,
			  "log [%.*s] starts to restore snapshot [index: " U64 ", term: " U64 "]",
			  SLICE_ARG(buf_slice(&text)), snap->index, snap->term);
		buf_fini(&text);
	}
	l->committed = snap->index;
	raft_unstable_restore(&l->unstable, snap);
}

/* ---- writing ---- */

const struct raft_entry *raft_log_next_unstable(const struct raft_log *l, size_t *count)
{
	const struct raft_unstable *u = &l->unstable;

	*count = u->count - (size_t)(u->offset_in_progress - u->offset);
	return *count ? raft_unstable_from(u, u->offset_in_progress) : NULL;
}

const struct raft_snapshot *raft_log_next_snapshot(const struct raft_log *l)
{
	return l->unstable.snapshot_in_progress ? NULL : l->unstable.snapshot;
}

bool raft_log_has_snapshot(const struct raft_log *l)
{
	return l->unstable.snapshot != NULL;
}

const struct raft_snapshot *raft_log_snapshot_in_log(const struct raft_log *l)
{
	return l->unstable.snapshot;
}

void raft_log_accept_unstable(struct raft_log *l)
{
	raft_unstable_accept(&l->unstable);
}

void raft_log_stable_to(struct raft_log *l, struct raft_pos pos)
{
	raft_unstable_stable_to(&l->unstable, l->logger, pos);
}

void raft_log_stable_snapshot_to(struct raft_log *l, uint64_t index)
{
	if (l->unstable.snapshot && l->unstable.snapshot->index == index)
		raft_unstable_drop_snapshot(&l->unstable);
}

/* ---- applying ---- */

static uint64_t appliable_index(const struct raft_log *l, bool allow_unstable)
{
	return allow_unstable ? l->committed : MIN(l->committed, l->unstable.offset - 1);
}

bool raft_log_has_committed(const struct raft_log *l, bool allow_unstable)
{
	/* What a snapshot brings comes first. */
	return !l->applying_paused && !l->unstable.snapshot && l->applying < appliable_index(l, allow_unstable);
}

struct raft_span raft_log_next_committed(const struct raft_log *l, bool allow_unstable)
{
	struct raft_span s = {0};

	if (!raft_log_has_committed(l, allow_unstable))
		return s;
	ASSERT(l->applying_bytes < l->applying_bytes_max);
	err_t err = raft_log_slice(l, l->applying + 1, appliable_index(l, allow_unstable) + 1,
				   l->applying_bytes_max == RAFT_NO_LIMIT ? RAFT_NO_LIMIT
									  : l->applying_bytes_max - l->applying_bytes,
				   &s);
	if (err)
		raft_panic(l->logger, "unexpected error when getting unapplied entries (%s)", err_text(err));
	return s;
}

void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t bytes, bool allow_unstable)
{
	ASSERT(index <= l->committed);
	ASSERT(index > l->applying);
	l->applying = index;
	l->applying_bytes += bytes;
	/* Also paused when the entries were cut for size: the next one would go over. */
	l->applying_paused =
		l->applying_bytes >= l->applying_bytes_max || index < appliable_index(l, allow_unstable);
}

void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t bytes)
{
	if (index > l->committed || index < l->applied)
		raft_panic(l->logger, "applied(" U64 ") is out of range [prevApplied(" U64 "), committed(" U64 ")]", index,
			   l->applied, l->committed);
	l->applied = index;
	l->applying = MAX(l->applying, index);
	l->applying_bytes -= MIN(bytes, l->applying_bytes);
	l->applying_paused = l->applying_bytes >= l->applying_bytes_max;
}

/* ---- for people and tests ---- */

void raft_log_print(const struct raft_log *l, struct buf *out)
{
	buf_printf(out,
		   "committed=" U64 ", applied=" U64 ", applying=" U64 ", unstable.offset=" U64
		   ", unstable.offsetInProgress=" U64 ", len(unstable.Entries)=%zu",
		   l->committed, l->applied, l->applying, l->unstable.offset, l->unstable.offset_in_progress,
		   l->unstable.count);
}

void raft_log_check(const struct raft_log *l)
{
	const struct raft_unstable *u = &l->unstable;
	uint64_t term = 0;

	ASSERT(u->offset <= u->offset_in_progress);                     /* L1 */
	ASSERT(u->offset_in_progress <= u->offset + u->count);
	ASSERT(l->applied <= l->applying);                              /* L2 */
	ASSERT(l->applying <= l->committed);
	ASSERT(l->committed <= raft_log_last_index(l));
	if (u->snapshot)
		ASSERT(u->snapshot->index < u->offset);
	if (raft_log_term(l, u->offset - 1, &term) != OK)
		term = 0;
	for (size_t i = 0; i < u->count; i++) {
		const struct raft_entry *e = &u->room_at[u->head + i];

		ASSERT(e->index == u->offset + i);
		ASSERT(e->term >= term);                                /* L4 */
		term = e->term;
	}
}
