/* The log as raft sees it: entries that the storage has, then entries (or a snapshot) that are still to be written.
 * Private to raft.
 *
 *	 storage                                unstable
 *	[first_index ......................][offset ......... offset_in_progress ......... last_index]
 *	                                      being written        not handed out yet
 *	         applied <= applying <= committed
 *
 * The storage may hold stale entries at offset and above: they are hidden by the unstable ones until overwritten.
 *
 * L1 offset <= offset_in_progress <= offset + number of unstable entries
 * L2 applied <= applying <= committed <= last_index, and none of them ever falls
 * L3 what is committed is never replaced
 * L4 terms never fall along the log */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "raft/raft.h"

/* Where the lines go that upstream logs. */
struct raft_logger {
	void (*fn)(void *ctx, enum raft_log_level level, const char *text);
	void *ctx;
};

void raft_logf(const struct raft_logger *l, enum raft_log_level level, const char *fmt, ...) PRINTF(3, 4);
/* One line of level FATAL, then the end: a state that only a bug or a damaged log can produce. */
void raft_panic(const struct raft_logger *l, const char *fmt, ...) PRINTF(2, 3) NORETURN;

#define U64 "%" PRIu64
#define X64 "%" PRIx64

struct raft_pos {
	uint64_t term;
	uint64_t index;
};

/* A run of entries that lies in up to two pieces; borrowed until log or storage changes. */
struct raft_span {
	struct {
		const struct raft_entry *at;
		size_t count;
	} part[2];
};

static inline size_t raft_span_count(const struct raft_span *s)
{
	return s->part[0].count + s->part[1].count;
}

struct raft_unstable {
	struct raft_snapshot *snapshot; /* NULL: none; precedes the entries */
	bool snapshot_in_progress;
	struct raft_entry *room_at;     /* entries are [head, head + count) of it */
	size_t room;
	size_t head;
	size_t count;
	uint64_t offset;                /* index of the first entry */
	uint64_t offset_in_progress;    /* entries below have been handed out */
};

struct raft_log {
	struct raft_storage *storage;
	const struct raft_logger *logger;
	struct raft_unstable unstable;
	uint64_t committed;
	uint64_t applying;              /* handed out to be applied */
	uint64_t applied;
	uint64_t applying_bytes;        /* encoded size of what is handed out and not applied yet */
	uint64_t applying_bytes_max;
	bool applying_paused;
};

void raft_log_init(struct raft_log *l, struct raft_storage *storage, const struct raft_logger *logger,
		   uint64_t applying_bytes_max);
void raft_log_fini(struct raft_log *l);

uint64_t raft_log_first_index(const struct raft_log *l);
uint64_t raft_log_last_index(const struct raft_log *l);
struct raft_pos raft_log_last(const struct raft_log *l);
/* ERR_RAFT_COMPACTED, ERR_RAFT_UNAVAILABLE. */
NODISCARD err_t raft_log_term(const struct raft_log *l, uint64_t index, uint64_t *term);
uint64_t raft_log_term_or_zero(const struct raft_log *l, uint64_t index);
bool raft_log_matches(const struct raft_log *l, struct raft_pos pos);
bool raft_log_is_up_to_date(const struct raft_log *l, struct raft_pos candidate);
/* Entries [lo, hi) of the log, as many as fit in bytes_max encoded, at least one; ERR_RAFT_COMPACTED. */
NODISCARD err_t raft_log_slice(const struct raft_log *l, uint64_t lo, uint64_t hi, uint64_t bytes_max,
			       struct raft_span *out);
/* The last position at or below index whose term is <= term: where two logs may still agree. Term 0: unknown. */
struct raft_pos raft_log_find_conflict(const struct raft_log *l, uint64_t index, uint64_t term);

/* Moves count entries (contiguous, at most one beyond the end) into the log; an overlap replaces the tail. */
void raft_log_append(struct raft_log *l, struct raft_entry *take, size_t count);
/* What a follower does with a MSG_APP: false when prev does not match. Moves the new entries out of the array (which
 * lie at its end) and counts them in *moved. */
bool raft_log_maybe_append(struct raft_log *l, struct raft_pos prev, struct raft_entry *entries, size_t count,
			   uint64_t commit, size_t *moved);
void raft_log_commit_to(struct raft_log *l, uint64_t index);
bool raft_log_maybe_commit(struct raft_log *l, struct raft_pos at);
void raft_log_restore(struct raft_log *l, const struct raft_snapshot *snap);

/* Writing: what is to be written and not handed out; that it is handed out; that it is done. */
const struct raft_entry *raft_log_next_unstable(const struct raft_log *l, size_t *count);
const struct raft_snapshot *raft_log_next_snapshot(const struct raft_log *l);
bool raft_log_has_snapshot(const struct raft_log *l);           /* handed out or not */
void raft_log_accept_unstable(struct raft_log *l);
void raft_log_stable_to(struct raft_log *l, struct raft_pos pos);
void raft_log_stable_snapshot_to(struct raft_log *l, uint64_t index);

/* Applying: likewise. allow_unstable: entries may be applied before they are durable here. */
bool raft_log_has_committed(const struct raft_log *l, bool allow_unstable);
struct raft_span raft_log_next_committed(const struct raft_log *l, bool allow_unstable);
void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t bytes, bool allow_unstable);
void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t bytes);

const struct raft_snapshot *raft_log_snapshot_in_log(const struct raft_log *l);
void raft_log_print(const struct raft_log *l, struct buf *out);
void raft_log_check(const struct raft_log *l);

/* As many of the entries as have an encoded size <= bytes_max, at least one (if there is one). */
size_t raft_entries_fitting(const struct raft_entry *at, size_t count, uint64_t bytes_max);
uint64_t raft_entries_size(const struct raft_entry *at, size_t count);          /* encoded */
uint64_t raft_entries_payload(const struct raft_entry *at, size_t count);       /* data only */
/* A new array with refs of its own; NULL for an empty span. */
struct raft_entry *raft_span_copy(const struct raft_span *s);

#endif
