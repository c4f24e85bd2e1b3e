/* The store's own state and what its files share. Private to mvcc.
 *
 *   M1  compact_rev <= rev; trim_rev <= compact_rev (both -1 at first)
 *   M2  changes > 0 only inside a writing call; the revision advances once, at its end
 *   M3  every record's revisions have a row in the backend
 *   M4  no hold is below trim_rev */
#ifndef MVCC_MVCC_INT_H
#define MVCC_MVCC_INT_H

#include "mvcc/mvcc.h"
#include "mvcc/index.h"

enum { HASHES_MAX = 10 };

struct mvcc_hashes {
	size_t count;
	struct mvcc_hash_result at[HASHES_MAX]; /* ascending rev */
};

struct hold {
	int64_t rev;
	size_t count;
};

struct compaction {
	bool active; /* scheduled > finished */
	bool wants_hash;
	bool in_pass;
	int64_t hash_rev, hash_before;
	int64_t goal;
	int64_t pass_rev;     /* what the present pass removes up to; below goal while something is held */
	int64_t done_rev;     /* last pass that ended, -1 none */
	int64_t finished_rev; /* as stored, -1 none */
	struct buf last;      /* key the pass has reached */
	uint32_t rows_gone;   /* of that key: rows that were deleted while the index still names them; 0: it is done */
};

struct mvcc {
	struct index tree;
	struct backend *backend;
	struct epoch_domain *epoch;
	struct mvcc_lease_ops lease;
	void *lease_arg;
	int64_t rev;
	int64_t compact_rev;
	int64_t trim_rev;
	int64_t published_rev;
	int64_t changes;             /* of the writing call under way */
	struct garbage *unpublished; /* hidden by the last mvcc_publish, not yet by the swap */
	size_t garbage_out;          /* bags that the epoch domain holds */
	struct mvcc_hashes *hashes;
	struct compaction compaction;
	VEC(struct hold) holds; /* few; ascending rev */
	struct mvcc_stats stats;
};

/* ---- ranges: key.c ---- */

enum range_kind { RANGE_ONE, RANGE_OPEN, RANGE_TO };

struct key_range {
	struct slice key;
	struct slice end; /* RANGE_TO */
	enum range_kind kind;
};

static inline struct key_range key_range_of(struct slice key, struct slice range_end)
{
	struct key_range k = {.key = key};

	if (!range_end.size) {
		k.kind = RANGE_ONE;
	} else if (range_end.size == 1 && range_end.data[0] == 0) {
		k.kind = RANGE_OPEN;
	} else {
		k.kind = RANGE_TO;
		k.end = range_end;
	}
	return k;
}

/* Is a key that is >= range.key inside? */
static inline bool key_range_has(const struct key_range *k, struct slice key)
{
	switch (k->kind) {
	case RANGE_ONE:
		return slice_eq(key, k->key);
	case RANGE_OPEN:
		return true;
	case RANGE_TO:
		return slice_cmp(key, k->end) < 0;
	}
	UNREACHABLE();
}

/* Living keys of the newest state: O(log n). */
uint64_t index_count(const struct mvcc_node *root, const struct key_range *k);

/* ---- reading: range.c ---- */

/* The revision that a request for rev reads in v, checked as Go's rangeKeys does. */
NODISCARD err_t view_revision(const struct mvcc_view *v, int64_t rev, int64_t *out);
/* The row behind a revision that the index names: ERR_CORRUPT_FILE if it is missing. */
NODISCARD err_t view_row(const struct mvcc_view *v, const struct past *p, struct slice *out);
/* The key as it lived at rev (v->rev or below). */
static inline bool record_read(const struct mvcc_view *v, const struct record *r, int64_t rev, struct past *out)
{
	if (rev < v->rev)
		return record_live_at(r, rev, out);
	*out = record_head(r);
	return !record_dead(r);
}

/* What core itself reads while applying: unpublished state included. */
struct mvcc_view mvcc_view_now(const struct mvcc *m);

/* ---- writing: write.c ---- */

void write_put(struct mvcc *m, struct slice key, struct slice value, int64_t lease, struct mvcc_events *events);
/* All living keys of the range; prev_kvs and deleted go to resp. */
void write_delete_range(struct mvcc *m, const struct delete_req *r, struct buf *resp, struct mvcc_events *events);
/* Lease and ignore_* rules against the present state. */
NODISCARD err_t put_allowed(const struct mvcc *m, const struct put_req *r);
/* Runs an allowed put; prev_kv goes to resp. */
void put_run(struct mvcc *m, const struct put_req *r, struct buf *resp, struct mvcc_events *events);
void write_end(struct mvcc *m);

#endif
