/* A naive key space: a list of revisions for each key, everything found by looking at all of it. Written from the
 * specification, without the index, buffers or slices of the real one. Answers are encoded, to be compared as bytes. */
#ifndef TESTS_MODEL_MVCC_TWIN_H
#define TESTS_MODEL_MVCC_TWIN_H

#include "base/buf.h"
#include "backend/backend.h"
#include "pb/rpc.h"

struct twin_row {
	struct rev rev;
	bool tombstone;

	struct blob *bytes; /* encoded KeyValue */
	int64_t create, version, lease;
};

struct twin_key {
	struct blob *key;
	VEC(struct twin_row) rows;
};

struct twin_hash {
	int64_t rev, compact_rev;
	uint32_t crc;
};

struct twin {
	VEC(struct twin_key) keys; /* ascending, all that were ever written */
	int64_t rev, compact_rev;
	int64_t changes;       /* of the request under way */
	const int64_t *leases; /* that exist */
	size_t lease_count;
	struct buf events; /* of the last write, in the form twin_event_text gives */
	struct twin_hash hashes[10];
	size_t hash_count;
};

void twin_init(struct twin *t);
void twin_fini(struct twin *t);

/* The bytes that the real one must answer; errors as there. */
err_t twin_range(const struct twin *t, const struct range_req *r, struct buf *out);
err_t twin_put(struct twin *t, const struct put_req *r, struct buf *out);
void twin_delete(struct twin *t, const struct delete_req *r, struct buf *out);
err_t twin_txn(struct twin *t, const struct txn_req *r, struct buf *out);
void twin_delete_keys(struct twin *t, const struct slice *keys, size_t count);

/* Logical and physical at once; keeps the hash if keep_hash. */
err_t twin_compact(struct twin *t, int64_t rev, bool keep_hash);
/* HashKV as upstream computes it, of the rows that are left. compaction: the one that a compaction keeps, whose set of kept rows has
 * the tombstones of its own revision in it. */
uint32_t twin_hash(const struct twin *t, int64_t rev, int64_t compact_rev, bool compaction);
/* One line for an event; prev empty: none. */
void twin_event_text(enum event_type type, struct slice kv, struct slice prev, struct buf *out);
/* Lease of a key now, 0 none. */
int64_t twin_lease(const struct twin *t, struct slice key);

#endif
