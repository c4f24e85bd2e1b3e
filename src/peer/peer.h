/* rafthttp: how members talk. Streams, pipeline, snapshots and probes over HTTP/1.1, in any mix with Go etcd 3.4 to 3.7.
 *
 *	struct peer_set *s = peer_set_new(&cfg);                 makes the peer actor on a net loop of its own
 *	net_listen({.loops = {peer_set_loop(s)}, .on_accept = peer_accept, .arg = s}, …)      for each peer URL
 *	peer_set_identify(s, member, cluster);                   who this is; connections accepted before were kept waiting
 *	peer_add(s, id, "http://a:2380,http://b:2380");          dials; one call per other member
 *	peer_send(s, messages, count);                           from core
 *	peer_set_free(s);                                        after the listeners were closed
 *
 *	core ──peer_send──> peer actor ──┬ stream msgapp   (the other member dialled us and reads)
 *	                                 ├ stream message  (likewise)
 *	                                 ├ pipeline: POST /raft, at most 4 at a time
 *	                                 └ POST /raft/snapshot (peer_send_snapshot)
 *	core <──events.received──── two streams that we dialled per peer, POST /raft, POST /raft/snapshot
 *
 * A message is sent at most once: what cannot be sent is dropped and reported as unreachable; raft repeats.
 *
 * Threads: every function here "any thread" unless said; most post to the peer actor and return. Events are called on
 * the peer actor, must not block and must not call peer_set_free; they usually post on to core.
 *
 * Limits, and what happens when they are reached:
 *   4096 messages per stream, 64 per pipeline waiting to be sent     dropped, unreachable
 *   16384 messages given to peer_send and not yet looked at          dropped, unreachable
 *   4096 received messages, 4096 received proposals, 256 MiB of entry data, given to core and not yet taken     dropped
 *   512 MiB per message received                                     the connection ends
 *   one snapshot to a peer at a time, 4 received at a time           reported as failed; 503
 *   5 s without progress on an accepted connection                   closed
 * SIGPIPE must be ignored in the process.
 * What is kept in send queues refers to the entry data of raft's log; it is not copied before it is sent. */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "actor/actor.h"
#include "base/buf.h"
#include "env/vfs.h"
#include "net/net.h"
#include "pb/raftpb.h"

struct peer_set;

/* --- what arrives --- */

/* One message for raft; the receiver's, to be ended with peer_received_free (which makes room for more). to is the own
 * member; from is no removed member. */
struct peer_received {
	struct msg msg;                 /* the receiver's, to post it on */
	struct raft_message message;    /* may be taken: zero it */
	uint64_t snapshot_bytes;        /* MSG_SNAP: the database came as well and lies, durable, in the snap directory as
	                                   %016x.snap.db of message.snapshot->index; its size. 0: it did not come */
	/* private */
	struct peer_set *set;
	uint64_t data_bytes;
	bool is_proposal;
};

void peer_received_free(struct peer_received *take_r);

/* --- requests of other members that are not raft's --- */

enum peer_endpoint {
	PEER_MEMBERS,                   /* GET /members */
	PEER_PROMOTE,                   /* POST /members/promote/<id>: member_id, token */
	PEER_HASHKV,                    /* GET /members/hashkv: body */
	PEER_LEASES,                    /* POST /leases: body */
	PEER_LEASES_INTERNAL,           /* POST /leases/internal: body */
	PEER_DOWNGRADE_ENABLED,         /* GET /downgrade/enabled */
	PEER_VERSION,                   /* GET /version */
};

/* Answered exactly once with peer_answer, from any thread, whenever. Method, path, cluster id and size of the body were
 * checked. */
struct peer_request {
	struct msg msg;                 /* the receiver's */
	enum peer_endpoint endpoint;
	uint64_t member_id;
	char token[1024];               /* of the client who asked for the promotion; "" = none */
	struct slice body;              /* as long as the request */
	/* private */
	struct buf body_room;
	size_t counted;
	struct net_timer stall;
	struct peer_set *set;
	struct http_req *http;          /* NULL: the asker has gone */
	unsigned status;
	const char *content_type;
	struct buf answer;
};

/* content_type: static text, or NULL for text/plain as an error has it (with nosniff; the newline is the caller's).
 * X-Etcd-Cluster-ID is added where the endpoint has it. body is copied. */
void peer_answer(struct peer_request *take_r, unsigned status, const char *content_type, struct slice body);

/* --- configuration --- */

struct peer_events {
	void *arg;
	void (*received)(void *arg, struct peer_received *take_r);
	/* Messages to id were lost: raft_report_unreachable. */
	void (*unreachable)(void *arg, uint64_t id);
	/* What became of a peer_send_snapshot: raft_report_snapshot. Exactly once per call. */
	void (*snapshot_status)(void *arg, uint64_t id, bool ok);
	/* The cluster says that this member was removed for ever: the server ends. */
	void (*removed)(void *arg);
	/* NULL: 404 on all those endpoints. */
	void (*request)(void *arg, struct peer_request *take_r);
};

/* Makes TLS of a connection just dialled, checks the server for host, and calls done once, later: with the stream to use
 * (its events not set), or an error, why, and the connection closed. */
typedef void peer_secure_done(void *done_arg, err_t err, const char *why, struct net_stream *take_s);
typedef void peer_secure(void *arg, struct net_stream *take_s, const char *host, peer_secure_done *done, void *done_arg);

/* Zero fields stand for etcd's values. */
struct peer_timing {
	uint32_t dial_ms;               /* 1 s + election timeout */
	uint32_t redial_ms;             /* 100 */
	uint32_t heartbeat_ms;          /* 1666: on an idle or busy stream */
	uint32_t stall_ms;              /* 5000: an accepted connection, or a body on it, without a byte */
	uint32_t write_stall_ms;        /* 5000: a stream that takes no byte */
	uint32_t silence_ms;            /* 15000: a dialled stream without a byte (Go has no such limit) */
	uint32_t probe_ms;              /* 4000 */
	uint32_t snapshot_stall_ms;     /* 60000: a snapshot being sent without progress */
};

struct peer_config {
	struct sched *sched;
	struct vfs *fs;
	const char *snap_dir;           /* copied, as all strings here */
	uint64_t member_id;                     /* 0: not known yet, peer_set_identify will say */
	uint64_t cluster_id;
	const char *version;            /* "3.7.1" */
	const char *min_cluster_version;        /* "3.0.0" */
	const char *peer_urls;          /* own advertised peer URLs, comma-joined */
	const char *local_ip;           /* connections to others leave from it; NULL: any */
	struct peer_timing timing;
	peer_secure *secure;            /* NULL: https and unixs peers cannot be dialled */
	void *secure_arg;
	struct peer_events events;
};

/* Starts the actor's thread. */
struct peer_set *peer_set_new(const struct peer_config *cfg);
/* Once, unless the configuration had the ids; not on a loop's thread. Calls can be made before, nothing else. */
void peer_set_identify(struct peer_set *s, uint64_t member_id, uint64_t cluster_id);
/* Ends all connections and the thread; what was not sent is dropped, unanswered calls come back with ERR_STOPPED. Waits for every
 * peer_received and peer_request that is not back yet. */
void peer_set_free(struct peer_set *s);
struct net_loop *peer_set_loop(struct peer_set *s);
/* A connection of a peer listener (after its TLS handshake): net_listen_opts.on_accept, arg the set. On the loop. */
void peer_accept(void *arg, struct net_loop *loop, struct net_stream *take_s);

/* --- membership --- */

/* urls: comma-joined. Replaces the URLs of one that is there; a remote becomes a peer. The own id is ignored. */
void peer_add(struct peer_set *s, uint64_t id, const char *urls);
/* A member that is only answered (pipeline), neither dialled for streams nor probed: those of a cluster just joined. */
void peer_add_remote(struct peer_set *s, uint64_t id, const char *urls);
/* Takes it out, and refuses it from now on (410). Also for ids that never were here. */
void peer_remove(struct peer_set *s, uint64_t id);
/* Takes all peers and remotes out without refusing them; before adding those of an installed snapshot. */
void peer_clear(struct peer_set *s);

/* --- sending --- */

/* Takes the messages (each is left zeroed), in order. Those with to 0, to the member itself and to unknown members are
 * dropped silently; MSG_SNAP here goes without a database and is reported as failed snapshot. */
void peer_send(struct peer_set *s, struct raft_message *take_messages, size_t count);

/* The database that follows a MSG_SNAP: bytes [0, size_bytes) of an image that does not change. */
struct peer_image {
	uint64_t size_bytes;
	/* On a worker, in order. */
	err_t (*read)(struct peer_image *im, uint64_t offset, void *out, size_t size);
	void (*close)(struct peer_image *im);   /* last call, once, any thread: frees it, and the pin */
};

/* take_m and the image are consumed. The result comes as snapshot_status (and unreachable). */
void peer_send_snapshot(struct peer_set *s, struct raft_message *take_m, struct peer_image *take_im);

/* --- what it sees --- */

/* Since when messages reach it; monotonic ns (sched_now_ns), 0: it is inactive or unknown. */
uint64_t peer_active_since_ns(struct peer_set *s, uint64_t id);

struct peer_stats {
	uint64_t id;
	bool is_remote;
	bool has_msgapp_out, has_message_out;   /* streams it dialled */
	bool has_msgapp_in, has_message_in;     /* streams we dialled, answered with 200 */
	uint64_t active_since_ns;
	uint64_t sent_bytes, received_bytes;    /* of messages */
	uint64_t sent_messages, received_messages;
	uint64_t dropped_messages;              /* not sent */
	uint64_t rtt_ns;                        /* smoothed; 0: not probed yet */
};

/* The peers and remotes, ascending by id; returns how many there are, at most max are written. */
size_t peer_stats(struct peer_set *s, struct peer_stats *out, size_t max);

/* For tests: while paused nothing is sent or received; connections stay. */
void peer_pause(struct peer_set *s, bool paused);

/* --- asking other members --- */

/* One request to the first of the URLs that answers. The caller's; comes back to reply as the same message, or, if that is
 * NULL, through done, on the peer actor. */
struct peer_call {
	struct msg msg;
	struct actor *reply;
	uint32_t reply_kind;
	void (*done)(struct peer_call *c);
	/* in; strings and body are borrowed till it is back */
	const char *urls;               /* comma-joined, tried in order */
	const char *method;             /* "GET", "POST" */
	const char *path;               /* "/members" */
	const char *content_type;       /* NULL: none */
	const char *token;              /* NULL: no Authorization */
	struct slice body;
	uint32_t timeout_ms;            /* per URL */
	size_t body_max;                /* of the answer */
	/* true: an answer with this status is final, else the next URL is tried; the last one is final. NULL: all final */
	bool (*is_final)(unsigned status);
	/* out */
	err_t err;                      /* OK: there is an answer, whatever its status. ERR_IO, ERR_TIMEOUT, ERR_TOO_LARGE,
	                                   ERR_INVALID (no URL could be read), ERR_STOPPED */
	unsigned status;
	bool has_cluster_id;
	uint64_t cluster_id;            /* X-Etcd-Cluster-ID */
	struct buf answer;              /* the body; initialised by peer_call_start, the caller's: buf_fini */
	struct why why;
	/* private */
	struct peer_set *set;
	void *state;
};

/* Redirects are not followed. */
void peer_call_start(struct peer_set *s, struct peer_call *c);

#endif
