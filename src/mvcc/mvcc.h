/* The key space: key index, put, delete, txn, range, compaction, hash. Pure: no clock, thread, file or random
 * source; rows live in the backend, the index in memory.
 *
 *	m = mvcc_new(&cfg);  mvcc_load(m, loader, …);              core, at start
 *	mvcc_put(m, &req, resp, events);                            core, each entry
 *	mvcc_publish(m, &pub->kv); swap(pub); mvcc_published(m);    core, each batch; readers see it from here on
 *	mvcc_range(&pub->kv, &req, out);                            any thread, inside the epoch of pub
 *
 * Threads: functions on struct mvcc belong to core. Functions on struct mvcc_view run on any thread inside the
 * epoch of the publication that holds it; nothing they return may be kept longer, but what is copied to a buf.
 *
 * Responses are appended to a struct buf as the fields of the response message WITHOUT its header (field 1),
 * which the caller writes: it knows cluster, member and term, and asks the revision (mvcc_revision, or
 * view->rev). Inside a txn response the headers of operations are there (revision only).
 *
 * Limits: keys and values as the request size allows; fewer than 2^32 keys; 2^31 changes per revision. */
#ifndef MVCC_MVCC_H
#define MVCC_MVCC_H

#include "backend/backend.h"
#include "base/beside.h"
#include "base/buf.h"
#include "pb/rpc.h"

struct mvcc;
struct mvcc_node;
struct mvcc_hashes;

/* ---- construction ---- */

/* Leases are a sibling: it is told what happens to keys. Called on core, in execution order. NULL functions:
 * no lease exists, nobody listens. Keys are borrowed for the call. */
struct mvcc_lease_ops {
	bool (*exists)(void *arg, int64_t lease);
	/* key belongs to this lease only, whatever it had before. At start also for leases that are gone: ignore. */
	void (*attach)(void *arg, int64_t lease, struct slice key);
	/* key belongs to no lease. */
	void (*detach)(void *arg, struct slice key);
};

struct mvcc_config {
	struct backend *backend;
	struct epoch_domain *epoch; /* of the publications */
	struct mvcc_lease_ops lease;
	void *lease_arg;
};

struct mvcc *mvcc_new(const struct mvcc_config *cfg);
/* After the epoch domain has freed everything (epoch_reclaim gave 0). */
void mvcc_free(struct mvcc *m);

/* The start: rows of bucket key, from wherever, become the index. The quick way is to take them while bolt_open
 * reads the file (struct bolt_rows, which hands over pages as they lie, so in no order):
 *
 *	l = mvcc_loader_new();
 *	bolt_open(…, rows = {"key", row = mvcc_loader_row(l, key, value)}, …);
 *	m = mvcc_new(&cfg);  mvcc_load(m, l, scheduled, finished, beside, why);
 *
 * One thread at a time; two that read halves of a file have a loader each, and join them. Keys are copied. Linear in the rows but for a radix sort of the keys. */
struct mvcc_loader;

struct mvcc_loader *mvcc_loader_new(void);
void mvcc_loader_free(struct mvcc_loader *l);
/* The other's rows, as if they had come behind those of l. */
void mvcc_loader_join(struct mvcc_loader *l, struct mvcc_loader *take_behind);
/* Row key (revision) and encoded KeyValue. ERR_CORRUPT_FILE with why. */
NODISCARD err_t mvcc_loader_row(struct mvcc_loader *l, struct slice key, struct slice value, struct why *why);
/* All rows that a view shows. */
NODISCARD err_t mvcc_loader_view(struct mvcc_loader *l, const struct backend_view *rows, struct why *why);

/* Fills an empty mvcc, once: index, revision (the greatest of last row, finished and scheduled compaction, 1), compact
 * revision; attachments go to lease.attach, in key order. scheduled/finished: from backend_file_meta; a schedule that
 * is not finished is resumed (mvcc_compact_state). Two threads' work, through beside. ERR_CORRUPT_FILE: one revision twice. */
NODISCARD err_t mvcc_load(struct mvcc *m, struct mvcc_loader *take_l, int64_t scheduled_compact_rev,
			  int64_t finished_compact_rev, struct beside beside, struct why *why);

/* ---- checks before proposing; pure, any thread ---- */

/* In Go's order: ERR_EMPTY_KEY, then ERR_INVALID_SORT_OPTION. */
NODISCARD err_t mvcc_check_range(const struct range_req *r);
/* Also for RangeStream: then ERR_STREAM_SORT, ERR_STREAM_FILTER. */
NODISCARD err_t mvcc_check_range_stream(const struct range_req *r);
NODISCARD err_t mvcc_check_put(const struct put_req *r); /* ERR_EMPTY_KEY, ERR_VALUE_PROVIDED, ERR_LEASE_PROVIDED */
NODISCARD err_t mvcc_check_delete(const struct delete_req *r); /* ERR_EMPTY_KEY */
/* ERR_TOO_MANY_OPS, those of the operations, ERR_KEY_NOT_FOUND (operation without member), ERR_DUPLICATE_KEY. */
NODISCARD err_t mvcc_check_txn(const struct txn_req *t, size_t max_txn_ops);
/* True iff every operation of both branches is a serializable range (no operations: true). */
bool mvcc_txn_is_serializable(const struct txn_req *t);
/* What a request costs against the quota: put 256 + key + value; txn the dearer branch, nested included. */
uint64_t mvcc_put_cost(const struct put_req *r);
uint64_t mvcc_txn_cost(const struct txn_req *t);

/* ---- write side: core ---- */

/* One change, for the watch hub. Slices live till core returns to its loop (rows of the write buffer). */
struct mvcc_event {
	enum event_type type;
	struct rev rev;
	int64_t create_rev; /* of a put: == rev.main means the key is new */
	struct slice key;
	struct slice kv; /* encoded KeyValue: as stored; of a delete: key and mod_revision */
	struct rev prev; /* newest revision of the key below rev.main if it lived then, else main 0 */
};

struct mvcc_events {
	VEC(struct mvcc_event) list; /* the caller's: VEC_FREE(&e.list), count = 0 to use it again */
};

/* Requests passed the checks above. Errors leave everything untouched. resp and events may be NULL: not wanted
 * (no local waiter: the ranges of a txn are not even evaluated). A response above resp's maximum fails the buf, not the
 * write. put: ERR_LEASE_NOT_FOUND, ERR_KEY_NOT_FOUND. */
NODISCARD err_t mvcc_put(struct mvcc *m, const struct put_req *r, struct buf *resp, struct mvcc_events *events);
void mvcc_delete_range(struct mvcc *m, const struct delete_req *r, struct buf *resp, struct mvcc_events *events);
/* ERR_FUTURE_REV, ERR_COMPACTED, ERR_LEASE_NOT_FOUND, ERR_KEY_NOT_FOUND: from the taken path, before any write. */
NODISCARD err_t mvcc_txn(struct mvcc *m, const struct txn_req *t, struct buf *resp, struct mvcc_events *events);
/* Lease revocation: keys sorted bytewise, each once; those that live are deleted in one revision. */
void mvcc_delete_keys(struct mvcc *m, const struct slice *keys, size_t count, struct mvcc_events *events);

int64_t mvcc_revision(const struct mvcc *m);         /* current; 1 in an empty store */
int64_t mvcc_compact_revision(const struct mvcc *m); /* -1 if never compacted */
/* The row of an event's prev, or of any revision that is there; lives as long as an event. ERR_NOT_EXIST. */
NODISCARD err_t mvcc_row(const struct mvcc *m, struct rev rev, struct slice *out);

/* ---- publication: core ---- */

/* What readers see; by value in the publication. Made by mvcc_publish; fields are for reading. */
struct mvcc_view {
	const struct mvcc_node *root;
	int64_t rev;         /* current */
	int64_t compact_rev; /* -1 if never compacted */
	int64_t trim_rev;    /* revisions below may have lost rows; <= compact_rev */
	uint64_t live_count; /* keys that exist at rev */
	const struct mvcc_hashes *hashes;
	struct backend_view rows;
};

/* Freezes the present state into *out, the backend's view included. O(changed nodes). */
void mvcc_publish(struct mvcc *m, struct mvcc_view *out);
/* After the swap: what the publications before showed and this one does not goes to the epoch, the backend's
 * buffers and pins included. */
void mvcc_published(struct mvcc *m);

/* ---- read side: any thread ---- */

/* The RangeResponse (kvs 2, more 3, count 4) of a request that passed mvcc_check_range. ERR_FUTURE_REV, ERR_COMPACTED;
 * ERR_TOO_LARGE when there would be more than rows_max rows or out fails: take a cursor then (out is as before). */
NODISCARD err_t mvcc_range(const struct mvcc_view *v, const struct range_req *r, size_t rows_max, struct buf *out);
/* A read-only txn. Errors as mvcc_txn, and ERR_TOO_LARGE. */
NODISCARD err_t mvcc_txn_read(const struct mvcc_view *v, const struct txn_req *t, struct buf *out);

/* A large range in bounded slices, each on the newest publication, at one revision:
 *
 *	err = mvcc_cursor_new(v, &req, MVCC_CURSOR_BYTES_MAX, &c);
 *	while (!err && !done) err = mvcc_cursor_measure(c, v, 10000, &done);      pass 1: count, more, size
 *	send(length: header + mvcc_cursor_size(c));
 *	while (!err && !done) err = mvcc_cursor_emit(c, v, 1000, 65536, out, &done);     pass 2: kvs, at last more and
 *count
 *
 * Between slices the caller leaves the epoch and enters it again with the then newest view. The caller sees to
 * it that core holds the revision (mvcc_hold); without a hold a step may give ERR_COMPACTED.
 * One thread at a time. Sorted and filtered ranges keep 32 bytes a row, at most bytes_max: ERR_TOO_LARGE.
 * Sorting by value happens in the last measure step, as one slice: on a worker. */
struct mvcc_cursor;
#define MVCC_CURSOR_BYTES_MAX (64u << 20)

NODISCARD err_t mvcc_cursor_new(const struct mvcc_view *v, const struct range_req *r, size_t bytes_max,
				struct mvcc_cursor **out);
void mvcc_cursor_free(struct mvcc_cursor *c);
NODISCARD err_t mvcc_cursor_measure(struct mvcc_cursor *c, const struct mvcc_view *v, size_t budget_keys, bool *done);
/* Appends whole kvs elements until rows_max rows or bytes_max bytes are passed (at least one row); with the
 * last one more and count. The bytes of all slices are exactly mvcc_cursor_size. */
NODISCARD err_t mvcc_cursor_emit(struct mvcc_cursor *c, const struct mvcc_view *v, size_t rows_max, size_t bytes_max,
				 struct buf *out, bool *done);
int64_t mvcc_cursor_rev(const struct mvcc_cursor *c);        /* what to hold; the pinned revision */
int64_t mvcc_cursor_header_rev(const struct mvcc_cursor *c); /* the store's revision when it began */
/* After measuring. */
uint64_t mvcc_cursor_size(const struct mvcc_cursor *c); /* bytes of kvs, more and count */
int64_t mvcc_cursor_count(const struct mvcc_cursor *c);
bool mvcc_cursor_more(const struct mvcc_cursor *c);
/* RangeStream: leave more and count out of the emitted bytes (and of the size); the caller writes them. */
void mvcc_cursor_set_bare(struct mvcc_cursor *c);

/* The encoded KeyValue that lived at rev (0 or less: now). ERR_NOT_EXIST: none; ERR_FUTURE_REV; ERR_COMPACTED. */
NODISCARD err_t mvcc_get(const struct mvcc_view *v, struct slice key, int64_t rev, struct slice *row);
/* Number of keys living now in [key, range_end) (range conventions of the API): O(log n). */
uint64_t mvcc_count(const struct mvcc_view *v, struct slice key, struct slice range_end);

/* ---- hold: core ---- */

/* While held, rows and index entries that a read at rev (and of all revisions above) needs stay. False: they
 * are going already. Each hold needs one release. */
NODISCARD bool mvcc_hold(struct mvcc *m, int64_t rev);
void mvcc_release(struct mvcc *m, int64_t rev);
/* m takes the place of from (a snapshot was installed): what was held there is held here. What m does not have any more
 * is told to lost, once per hold; its releases must not come to m. from is left without holds. */
void mvcc_holds_take(struct mvcc *m, struct mvcc *from, void (*lost)(void *arg, int64_t rev), void *arg);

/* ---- compaction: core ---- */

/* Logical, at once: ERR_COMPACTED (rev <= compacted; -1 at first), ERR_FUTURE_REV. Writes scheduledCompactRev: the
 *caller makes the commit barrier. Then, in background slices:
 *
 *	if (mvcc_compact_wants_hash(m, &rev, &before))     hash of [.., rev] with compact revision `before`, on a worker
 *		mvcc_compact_hashed(m, crc) or _hash_failed(m);
 *	while (mvcc_compact_step(m, 1000) == MVCC_COMPACT_MORE) …;      with pauses and freezes between
 *
 * A further compaction while one is under way raises its goal. */
NODISCARD err_t mvcc_compact(struct mvcc *m, int64_t rev);
/* True while a hash is owed: deletion waits for it. */
bool mvcc_compact_wants_hash(const struct mvcc *m, int64_t *rev, int64_t *compact_rev_before);
void mvcc_compact_hashed(struct mvcc *m, uint32_t crc); /* kept: 10 newest */
void mvcc_compact_hash_failed(struct mvcc *m);

enum mvcc_compact_state {
	MVCC_COMPACT_IDLE, /* nothing to do; finishedCompactRev is written */
	MVCC_COMPACT_MORE,
	MVCC_COMPACT_HASHING, /* waits for the hash */
	MVCC_COMPACT_HELD,    /* waits for a release */
};

enum mvcc_compact_state mvcc_compact_state(const struct mvcc *m);
/* Visits at most budget keys that have something old. The step that ends the job writes finishedCompactRev into the
 * same buffer as its last deletes. Returns the state after it. */
enum mvcc_compact_state mvcc_compact_step(struct mvcc *m, size_t budget);
int64_t mvcc_compact_finished_rev(const struct mvcc *m); /* -1: none */

/* ---- HashKV: any thread ---- */

/* As Go: the stored hash of a compaction at rev, if kept, else computed. rev 0: current. ERR_COMPACTED, ERR_FUTURE_REV.
 */
struct mvcc_hash_result {
	uint32_t crc;
	int64_t rev;
	int64_t compact_rev;
};

struct mvcc_hash {
	struct mvcc_hash_result result; /* when done */
	bool stored;                    /* no step needed */
	bool compaction;                /* for the hash that a compaction keeps */
	bool keep_known, keep_empty;
	struct rev next;
	struct buf from; /* keys seen while looking for a kept one */
};

NODISCARD err_t mvcc_hash_init(struct mvcc_hash *h, const struct mvcc_view *v, int64_t rev);
/* For a compaction: never the stored one. */
void mvcc_hash_init_compaction(struct mvcc_hash *h, int64_t rev, int64_t compact_rev_before);
/* At most budget rows; each slice on the newest view. What to hold: mvcc_hash_hold_rev. ERR_COMPACTED without a
 * hold, ERR_CORRUPT_FILE. */
NODISCARD err_t mvcc_hash_step(struct mvcc_hash *h, const struct mvcc_view *v, size_t budget, bool *done);
int64_t mvcc_hash_hold_rev(const struct mvcc_hash *h);
void mvcc_hash_fini(struct mvcc_hash *h);
/* The kept hashes of compactions, ascending by revision. */
size_t mvcc_hashes_kept(const struct mvcc_view *v, struct mvcc_hash_result out[10]);

/* ---- for metrics and tests: core ---- */

struct mvcc_stats {
	uint64_t keys; /* in the index, deleted ones included till compaction */
	uint64_t live_keys;
	uint64_t revisions;           /* rows that the index knows */
	uint64_t index_bytes;         /* memory of the index */
	uint64_t puts, deletes, txns; /* operations applied since start (etcd_mvcc_*_total) */
	uint64_t put_bytes;           /* keys and values put, since start */
	uint64_t compacted_rows;      /* since start */
};

void mvcc_stats(const struct mvcc *m, struct mvcc_stats *out);
/* Every invariant of the index, every record against its row if rows is set. Asserts. */
void mvcc_check(const struct mvcc *m, bool rows);

#endif
