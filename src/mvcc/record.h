/* A key and its revisions. Private to mvcc.
 *
 * A record describes the newest revision of its key; older ones are in its history, oldest first:
 *
 *	history: [0 .. history_count)   then   record (the head)
 *
 *   R1  revisions ascend: history[0] < history[1] < … < head
 *   R2  a published record never changes; a put makes a new one that shares the history
 *   R3  history entries below any published history_count never change; new ones are added behind, so readers of
 *       an older record, whose count is lower, never meet them
 *   R4  a record whose main is above the last published revision was made since: it may be changed in place
 *
 * A tombstone ends a generation: what follows it is a new life of the key. */
#ifndef MVCC_RECORD_H
#define MVCC_RECORD_H

#include "backend/backend.h"
#include "base/slice.h"

/* One older revision. */
struct past {
	int64_t main;
	int64_t create;
	int64_t version;
	uint32_t sub_tombstone; /* sub << 1 | tombstone */
	uint32_t row_size;      /* bytes of the encoded KeyValue */
};

struct history {
	uint32_t room;
	uint32_t unused;
	struct past at[];
};

struct record {
	int64_t main;
	int64_t create;
	int64_t version;
	union {
		struct history *history; /* NULL: none */
		int64_t loading_lease;   /* while the start collects rows: the lease the row names */
	};
	uint32_t history_count;
	uint32_t sub_tombstone;
	uint32_t row_size;
	uint32_t key_size_leased; /* key size << 1 | the row names a lease */
	uint8_t key[];
};

_Static_assert(sizeof(struct past) == 32, "kept small: one for each superseded revision");
_Static_assert(sizeof(struct record) == 48, "kept small: one for each key");

static inline struct slice record_key(const struct record *r)
{
	return slice_of(r->key, r->key_size_leased >> 1);
}

static inline size_t record_size(const struct record *r)
{
	return sizeof(*r) + (r->key_size_leased >> 1);
}

static inline size_t history_size(const struct history *h)
{
	return sizeof(*h) + h->room * sizeof(struct past);
}

static inline bool record_dead(const struct record *r)
{
	return r->sub_tombstone & 1;
}

static inline bool record_leased(const struct record *r)
{
	return r->key_size_leased & 1;
}

/* Compaction has, or will have, something to remove here. */
static inline bool record_old(const struct record *r)
{
	return r->history_count || record_dead(r);
}

static inline struct past record_head(const struct record *r)
{
	return (struct past){r->main, r->create, r->version, r->sub_tombstone, r->row_size};
}

static inline bool past_dead(const struct past *p)
{
	return p->sub_tombstone & 1;
}

static inline struct rev past_rev(const struct past *p)
{
	return (struct rev){p->main, p->sub_tombstone >> 1};
}

static inline uint32_t record_revisions(const struct record *r)
{
	return r->history_count + 1;
}

/* The i-th revision of the key, oldest first; i < record_revisions. */
static inline struct past record_at(const struct record *r, uint32_t i)
{
	return i < r->history_count ? r->history->at[i] : record_head(r);
}

/* The newest revision with main <= rev. False: there was none. It may be a tombstone. */
bool record_find(const struct record *r, int64_t rev, struct past *out);
/* The same if the key lived then. */
bool record_live_at(const struct record *r, int64_t rev, struct past *out);
/* How many of the oldest revisions a compaction at rev removes; all of them: the key goes. */
uint32_t record_obsolete(const struct record *r, int64_t rev);
/* True when a compaction at rev would keep the revision and HashKV counts it: HashKV's keep set. */
bool record_keeps(const struct record *r, int64_t rev, struct rev *kept);

#endif
