/* The watch hub: matches each applied event against all watchers and decides, per stream, the one order in which
 * everything goes out: created, events, catch-up batches, cancels, progress. Pure; core actor only, but for what is
 * marked "any thread".
 *
 *	h = watch_hub_new(&cfg);  watch_reset(h, rev, compact_rev);     core, at start
 *	s = watch_stream_open(h, port, arg, now);                       core, messages of an io actor
 *	watch_create(h, s, &req, OK);
 *	watch_apply(h, events, count);                                  core, each revision, in order
 *	watch_run(h, budget);                                           core, once a batch: lagging watchers
 *	while ((t = watch_next_task(h)))                                history that the ring does not cover:
 *		worker(t) … watch_task_done(h, t);                      read by a worker, taken back by core
 *	while ((b = watch_take(h, port))) post(io[port], b);            core, once a batch: one message per io actor
 *	watch_drained(h, s, items, bytes);                              core, when io has written them
 *
 * An event is encoded once (a counted blob with the bytes of WatchResponse.events, tag and length included; a second
 * blob with prev_kv when a watcher wants it) and shared by all watchers, streams and the ring of recent events.
 *
 * A watcher is LIVE (in the index; all events up to now are in its stream's queue) or lagging: then it is just a
 * revision, `next`, and costs nothing per event. It becomes live in one step when the ring covers `next`, else a task
 * reads history for it.
 *
 *	          create, start in the past                         create, start now or later
 *	                    |                                               |
 *	                    v   ring covers next, or nothing is left        v
 *	   READY <--------> lagging -------------------------------------> LIVE
 *	    |  ^                ^                                           |
 *	    |  +- result -- READING     stream full at revision r: next = r |
 *	    |                   +-------------------------------------------+   BLOCKED until the stream drained
 *	    +-> next < compact revision: COMPACTED, cancelled; counted until the client cancels
 *
 * Invariants:
 * I1 a stream's items are taken in the order in which they were decided; nothing overtakes.
 * I2 a live watcher got every event in [start, revision]; a lagging one every event in [start, next).
 * I3 `next` only grows, also when a snapshot is installed.
 * I4 events of one revision for one watcher are one item, but for fragments, which follow each other directly.
 * I5 progress with revision R is queued behind all events <= R of the watchers it covers.
 *
 * Bounds: per stream stream_items_max items and stream_bytes_max bytes wait for io (one revision may overshoot; control
 * replies are bounded by the requests, which io stops reading while it has that many items of a stream unsent);
 * ring_bytes_max; tasks_max tasks of task_bytes_max each.
 * Costs: an event costs its matches plus O(log distinct ranges); a watcher takes 122 bytes, and 130 more for a range of
 * its own (measured: tests/model/watch_cost.c). */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

#include "base/blob.h"
#include "mvcc/mvcc.h"
#include "pb/rpc.h"

struct watch_hub;
struct watch_stream;

struct watch_config {
	uint64_t cluster_id;
	uint64_t member_id;
	uint64_t seed;              /* of hashes and jitter */
	uint32_t port_count;        /* io actors */
	uint64_t progress_ns;       /* 0 = 10 min */
	uint32_t message_bytes_max; /* fragment limit: max-request-bytes + 524288; 0 = 2 MiB */
	size_t watchers_bytes_max;  /* memory of all watchers; further ones are refused; 0 = 1 GiB, some four million */
	size_t ring_bytes_max;      /* 0 = 2 MiB */
	size_t stream_items_max;    /* 0 = 1024 */
	size_t stream_bytes_max;    /* 0 = 1 MiB */
	uint32_t batch_revs_max;    /* distinct revisions in a catch-up message; 0 = 1000 */
	uint32_t tasks_max;         /* in flight; 0 = 2 */
	uint32_t task_watchers_max; /* 0 = 256 */
	size_t task_bytes_max;      /* 0 = 4 MiB */
	/* The row that an event's prev names (mvcc_row on core). ERR_NOT_EXIST: compacted meanwhile. */
	err_t (*prev_row)(void *arg, struct rev prev, struct slice *out);
	void *arg;
};

struct watch_hub *watch_hub_new(const struct watch_config *cfg);
void watch_hub_free(struct watch_hub *h); /* streams, untaken batches and all; no task may be out */

/* At start, and after a snapshot was installed: the store is at rev now and what led there was not seen. Live watchers
 * lag from where they were; those that wait for a future revision go on waiting for it. */
void watch_reset(struct watch_hub *h, int64_t rev, int64_t compact_rev);
/* For headers of messages from now on. */
void watch_set_term(struct watch_hub *h, uint64_t raft_term);

/* ---- streams ---- */

/* arg comes back in every item; it must stay valid until core told io that the stream is closed (a message behind the
 * batches of that moment). */
struct watch_stream *watch_stream_open(struct watch_hub *h, uint32_t port, void *arg, uint64_t now_ns);
/* All its watchers go. Items that were not taken yet are dropped. */
void watch_stream_close(struct watch_hub *h, struct watch_stream *s);
/* True: events go no further; its watchers lag until io has drained half. */
bool watch_stream_full(const struct watch_hub *h, const struct watch_stream *s);
size_t watch_stream_watchers(const struct watch_stream *s);
/* io wrote (or threw away) that much; items and their bytes as in the items. */
void watch_drained(struct watch_hub *h, struct watch_stream *s, size_t items, uint64_t bytes);

/* A create request in the order of upstream's checks: start_revision, permission (permitted: OK or why not, decided by
 * the caller), range, id; last, too many watchers: ERR_TOO_MANY_REQUESTS. Everything that happens is an item. The request is copied. */
void watch_create(struct watch_hub *h, struct watch_stream *s, const struct watch_req *req, err_t permitted);
void watch_cancel(struct watch_hub *h, struct watch_stream *s, int64_t watch_id);
void watch_progress(struct watch_hub *h, struct watch_stream *s);

/* ---- core's loop ---- */

/* All events of one revision (main = the hub's revision + 1), ordered by sub. Copies what it keeps. */
void watch_apply(struct watch_hub *h, const struct mvcc_event *events, size_t count);
/* Compacted at rev: watchers that need less are cancelled when their turn comes. */
void watch_compacted(struct watch_hub *h, int64_t rev);
/* Serves lagging watchers from the ring, visiting at most budget_events events. True: there is more to do. */
bool watch_run(struct watch_hub *h, size_t budget_events);
/* Progress timers. */
void watch_tick(struct watch_hub *h, uint64_t now_ns);
uint64_t watch_next_ns(const struct watch_hub *h); /* when watch_tick has work; UINT64_MAX = never */

int64_t watch_revision(const struct watch_hub *h);

/* ---- output ---- */

enum watch_item_flag { WATCH_ITEM_CREATED = 1, WATCH_ITEM_CANCELED = 2, WATCH_ITEM_FRAGMENT = 4 };

/* One WatchResponse: head (header and fields 1..7), then the blobs as they are, of the first only what is from its byte `skip`
 * on. A blob is one event, or several in a row; items that follow each other may share it. The same message, but for its
 * watch_id, goes to same_count more watchers of the stream, right behind it. */
struct watch_item {
	void *stream_arg; /* NULL: the stream was closed before the batch was taken; skip it */
	int64_t watch_id;
	int64_t rev; /* of the header */
	int64_t compact_rev;
	uint64_t raft_term;
	uint64_t size_bytes;  /* of the whole message, to watch_id */
	uint64_t skip;
	uint32_t blob_first;  /* into batch->blobs */
	uint32_t blob_count;
	uint32_t event_count; /* in them */
	uint32_t same_first; /* into batch->same */
	uint32_t same_count;
	uint16_t flags;
	uint16_t reason; /* err_t of a refusal, or OK; text: watch_reason_text */
};

/* What one io actor gets from one batch of core. Owner: who took it; any thread. */
struct watch_batch {
	uint64_t cluster_id;
	uint64_t member_id;
	VEC(struct watch_item) items;
	VEC(struct blob *) blobs; /* a ref each */
	VEC(int64_t) same;         /* watch ids */
};

/* NULL: nothing for that port. */
struct watch_batch *watch_take(struct watch_hub *h, uint32_t port);
void watch_batch_free(struct watch_batch *b); /* any thread; NULL allowed */

/* The n-th message of an item, n = 0 ... same_count in turn, as an item of its own in *one. */
void watch_item_nth(const struct watch_batch *b, const struct watch_item *it, uint32_t n, struct watch_item *one);

/* The encoded header, kept from one item to the next: most have the same. Zeroed before the first of a batch. */
struct watch_header {
	int64_t rev;
	uint64_t raft_term;
	uint32_t size;
	uint8_t bytes[48];
};

#define WATCH_HEAD_SIZE_MAX 256
/* Returns the byte behind. Any thread. */
uint8_t *watch_item_head_write(const struct watch_batch *b, const struct watch_item *it, struct watch_header *kept,
			       uint8_t *out);
/* What of its i-th blob belongs to the message. Any thread. */
struct slice watch_item_blob(const struct watch_batch *b, const struct watch_item *it, uint32_t i);
/* The whole message, it->size_bytes. */
void watch_item_write(const struct watch_batch *b, const struct watch_item *it, struct watch_header *kept,
		      uint8_t *out);
/* cancel_reason of a refusal; "" for OK. */
const char *watch_reason_text(err_t reason);

/* ---- history ---- */

/* Watchers that need revisions which the ring does not have any more, served by one scan. Made by core, fed by a worker
 * with the rows of bucket key in revision order, given back to core. The worker reads a publication at or above
 * task->rev. */
struct watch_task;

/* NULL: nothing to read, or tasks_max are out. */
struct watch_task *watch_next_task(struct watch_hub *h);
int64_t watch_task_from(const struct watch_task *t); /* where to begin: {from, 0} */
int64_t watch_task_rev(const struct watch_task *t);  /* least revision that the publication must have */

/* Asked for prev_kv: the KeyValue of key at a revision (mvcc_get). Errors mean: absent. */
typedef err_t watch_prev_fn(void *arg, struct slice key, int64_t rev, struct slice *out);

/* Worker. False: enough, the row was not taken. row: encoded KeyValue. ERR-free: a row that does not parse is skipped
 * and counted as corrupt (watch_task_corrupt). */
bool watch_task_row(struct watch_task *t, struct rev rev, bool tombstone, struct slice row, watch_prev_fn *prev,
		    void *arg);
/* Worker, when watch_task_row said false or the rows ended: the publication's revision was view_rev. */
void watch_task_end(struct watch_task *t, int64_t view_rev, bool rows_ended);
bool watch_task_corrupt(const struct watch_task *t);
/* All of that over a view, at most budget_rows rows; true: finished. Each slice may use a newer view. ERR_CORRUPT_FILE.
 */
NODISCARD err_t watch_task_slice(struct watch_task *t, const struct mvcc_view *v, size_t budget_rows, bool *done);

/* Core: takes the results, frees the task. A task that never ran is given back the same way. */
void watch_task_done(struct watch_hub *h, struct watch_task *take_t);

struct watch_stats {
	uint64_t streams, watchers;
	uint64_t lagging;        /* not live, compacted ones not counted */
	uint64_t events;         /* events put into queues since start (etcd_debugging_mvcc_events_total) */
	uint64_t pending_events; /* messages in queues, not drained: at most etcd_debugging_mvcc_pending_events_total */
	uint64_t ring_events, ring_bytes;
	uint64_t queued_bytes;  /* all streams */
	uint64_t watcher_bytes; /* memory of watchers and index */
};
void watch_stats(const struct watch_hub *h, struct watch_stats *out);

/* Index against watchers, lists, counters, ring. Deep. */
void watch_check(const struct watch_hub *h);

#endif
