/* Watches: those of clients (struct watcher) on their streams, and those of the proxy (struct broadcast) that feed them.
 *
 *	client stream ── watcher ──┐
 *	client stream ── watcher ──┼── broadcast ── one watch of the cluster
 *	               ...         ┘        └── of a topic: key range and token
 *
 * I1  a broadcast brings every event of its topic from next on; each of its watchers has seen, or does not want, all below its own next
 * I2  a watcher joins only a broadcast whose next is not above its own (upstream: watch_broadcast.go, add)
 * I3  a broadcast that is not behind another of its topic moves its watchers there, and ends: watchers of "from now on" each begin with a
 *     watch of their own, because only the cluster knows the revision of "now". (Upstream leaves those with five watchers or more.)
 * I4  a broadcast, or a stream, that is to go is marked and goes at the end of the turn: nobody frees what is being walked
 *
 * Slow readers: a broadcast whose only watcher is on a stream that takes no more is paused, and so is the cluster's stream behind
 * it; where there are other watchers, a stream with more than WATCH_UNSENT_MAX waiting is cut, and its client begins again where it was. */
#ifndef PROXY_WATCHING_H
#define PROXY_WATCHING_H

#include "proxy/grpc_proxy.h"
#include "proxy/table.h"

enum { WATCH_UNSENT_MAX = 4 << 20 };

struct watching {
	struct grpc_proxy *px;
	struct table topics;
	struct list streams;
	struct list dying;     /* broadcasts, I4 */
	struct list cut;       /* streams, I4 */
	struct net_task reaper;
};

struct topic {
	struct entry entry; /* of watching.topics */
	struct watching *watching;
	struct slice key, range_end, token;
	bool require_leader;
	struct list broadcasts;
	uint8_t bytes[];
};

struct broadcast {
	struct list node; /* of topic.broadcasts, or of watching.dying */
	struct topic *topic;
	struct client_watch *watch;
	struct list watchers;
	size_t watcher_count;
	int64_t next; /* 0: from now on, not known yet */
	unsigned responses;
	bool dying;
	struct list paused; /* of the stream that it waits for */
};

struct watch_stream;

struct watcher {
	struct list node;   /* of broadcast.watchers */
	struct entry entry; /* of watch_stream.watchers, by id */
	struct watch_stream *stream;
	struct broadcast *broadcast;
	int64_t id, next;
	uint32_t filters;
	bool progress, prev_kv;
	struct response_header header; /* of what was sent last */
};

/* A response of the cluster, or one made here. */
struct watch_event {
	struct slice bytes, plain; /* as an Event, and without prev_kv: encoded as fields of a response */
	int64_t mod_revision;
	bool is_delete;
};

struct watch_news {
	struct slice header_bytes;
	struct response_header header;
	bool created, canceled;
	int64_t compact_revision;
	struct slice reason;
	VEC(struct watch_event) events;
	struct buf plain; /* what the events' plain fields are in */
};

/* broadcast.c */
/* Finds or makes what feeds it. */
void broadcast_join(struct watching *w, struct watcher *r, struct slice key, struct slice range_end, struct slice token, bool require_leader);
void broadcast_leave(struct watcher *r);
void broadcast_reap(struct watching *w);
void broadcast_pause(struct broadcast *b, struct list *waiting);
void broadcast_resume(struct broadcast *b);

/* watch.c */
/* What of the news concerns it goes to its client. */
void watcher_tell(struct watcher *r, const struct watch_news *n);
/* It is over: its client has been told. */
void watcher_end(struct watcher *r);
/* At the end of the turn its stream ends with this error. */
void watcher_cut(struct watcher *r, err_t err);

#endif
