/* Private to src/watch: what the hub is made of. */
#ifndef WATCH_HUB_H
#define WATCH_HUB_H

#include "base/list.h"
#include "base/rng.h"
#include "watch/match.h"
#include "watch/watch.h"

/* One event, encoded; lives in a ring entry or in a task. */
struct watch_event {
	struct blob *plain;     /* WatchResponse.events element: tag, length, Event */
	struct blob *with_prev; /* NULL: not asked for yet, or there is none */
	struct slice key;       /* in plain */
	size_t kv_size; /* the KeyValue ends plain */
	int64_t rev;
	struct rev prev;
	enum event_type type;
	bool is_create; /* never has a prev_kv */
};

/* All events of one revision. */
struct ring_entry {
	size_t bytes;
	uint32_t count;
	struct watch_event events[];
};

/* Revisions [from, from + count) at slot rev & (room - 1). */
struct ring {
	struct ring_entry **at;
	size_t room;
	size_t count;
	int64_t from;
	size_t bytes;
	size_t bytes_max;
	uint64_t event_count;
};

enum watcher_state {
	WATCHER_LIVE,      /* in node->members */
	WATCHER_READY,     /* in hub->ready */
	WATCHER_BLOCKED,   /* in stream->blocked */
	WATCHER_WAITS,     /* in hub->history: needs a task */
	WATCHER_READING,   /* in a task; in no list */
	WATCHER_COMPACTED, /* cancelled by the server, not by the client; in no list */
};

struct watcher {
	struct watch_stream *stream;
	int64_t id;
	int64_t next; /* no event below is owed; live: what it accepts begins here */
	struct match_node *node;
	struct list in_stream;
	struct list in_state; /* node->members, or the list of its state */
	struct watcher *id_next;
	struct watch_want *want; /* READING */
	uint32_t touch;          /* while matching: 1 + index of its touch */
	uint8_t state;
	uint8_t filters;
	bool progress_notify;
	bool progress_due; /* no event since the last tick */
	bool prev_kv;
	bool fragment;
	bool future;   /* was created with a start_revision above the current one */
	bool accepted; /* its start was checked against compaction: what is in the ring may be served */
};

struct watch_stream {
	void *arg;
	uint32_t port;
	uint64_t serial;
	int64_t next_id;
	struct list watchers;
	size_t watcher_count;
	size_t lag_count;  /* not LIVE, COMPACTED included */
	int64_t start_max; /* greatest start_revision that was in the future */
	struct list blocked;
	size_t queued_items; /* posted or about to be, not drained */
	uint64_t queued_bytes;
	uint64_t progress_ns; /* interval with its jitter */
	uint64_t progress_at_ns;
	size_t timer_pos; /* in hub->timers */
	struct list in_hub;
};

/* Where the events of a revision begin in a run. */
struct run_mark {
	int64_t rev;
	size_t at;
	uint32_t events_before;
};

/* The events of a range in revisions [from, to), as one piece of bytes. */
struct run {
	struct blob *bytes; /* NULL: none */
	const struct match_node *node;
	int64_t from, to;
	uint32_t events;
	uint8_t filters;
	bool prev_kv;
	VEC(struct run_mark) marks;
};

enum { RUNS_MAX = 4 };

/* A watcher that the current revision touches, and its events as a chain through pairs. */
struct touch {
	struct watcher *w;
	uint32_t first, last, count; /* indices into pairs */
};
struct pair {
	struct watch_event *event;
	uint32_t next;
};

struct watch_hub {
	struct watch_config cfg;
	struct rng rng;
	int64_t rev;
	int64_t compact_rev;
	uint64_t term;
	struct match_index index;
	struct ring ring;
	struct list streams;
	size_t stream_count;
	uint64_t stream_serial;
	size_t watcher_count;
	size_t lag_count;     /* COMPACTED not counted */
	struct watcher **ids; /* by (stream, watch id) */
	size_t ids_room;
	struct list ready;
	struct list history;
	size_t tasks_out;
	VEC(struct watch_stream *) timers; /* heap by progress_at_ns */
	struct watch_batch **ports;        /* open batches; NULL = nothing yet */
	VEC(struct touch) touches;
	VEC(struct pair) pairs;
	VEC(struct blob *) blobs; /* scratch: borrowed */
	VEC(struct run_mark) marks; /* scratch: of blobs */
	struct run runs[RUNS_MAX];
	size_t run_next; /* the last one made */
	struct watch_header header; /* of the last item */
	uint64_t events_sent;
	uint64_t queued_items; /* all streams */
	uint64_t queued_bytes;
};

/* event.c */
struct blob *event_blob(enum event_type type, struct slice kv, struct slice prev_kv);
/* Borrowed blob of the event for a watcher; builds with_prev when first asked. grown: bytes that it added. */
struct blob *hub_event_blob(struct watch_hub *h, struct watch_event *e, bool prev_kv, size_t *grown);
bool event_passes(const struct watch_event *e, uint8_t filters);

/* ring.c */
void ring_init(struct ring *r, size_t bytes_max);
void ring_reset(struct ring *r, int64_t from);
void ring_fini(struct ring *r);
struct ring_entry *ring_push(struct ring *r, int64_t rev, const struct mvcc_event *events, size_t count);
struct ring_entry *ring_at(const struct ring *r, int64_t rev);
bool ring_covers(const struct ring *r, int64_t rev);
void ring_trim(struct ring *r);

/* output.c */
bool stream_full(const struct watch_hub *h, const struct watch_stream *s);
void emit_control(struct watch_hub *h, struct watch_stream *s, int64_t watch_id, uint16_t flags, int64_t rev,
		  int64_t compact_rev, err_t reason);
/* One message, or fragments of it. blobs are borrowed. */
void emit_events(struct watch_hub *h, struct watcher *w, int64_t rev, struct blob *const *blobs, size_t count);
/* One message with the events of a run from its byte `at` on. */
void emit_run(struct watch_hub *h, struct watcher *w, int64_t rev, struct blob *run, size_t at, uint32_t events);
void output_forget(struct watch_hub *h, struct watch_stream *s);

/* lag.c: moves between states */
void watcher_set_state(struct watch_hub *h, struct watcher *w, enum watcher_state state);
void watcher_lag(struct watch_hub *h, struct watcher *w, int64_t next);

/* run.c */
/* Sends w the end of a run and moves it behind; false: there is none for it. */
bool run_join(struct watch_hub *h, struct watcher *w);
/* h->blobs and h->marks, gathered for w from `from` on: sent as a run that others may join; false: not worth one. */
bool run_begin(struct watch_hub *h, struct watcher *w, int64_t from, size_t bytes);
void runs_forget(struct watch_hub *h, const struct match_node *n); /* NULL: all */

/* timers.c */
void timers_add(struct watch_hub *h, struct watch_stream *s);
void timers_remove(struct watch_hub *h, struct watch_stream *s);

#endif
