/* Private to the peer module: what its files share. Everything runs on the peer actor (the loop's thread) unless said. */
#ifndef PEER_PEER_IMPL_H
#define PEER_PEER_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ids.h"
#include "base/list.h"
#include "http/http.h"
#include "peer/codec.h"
#include "peer/http1.h"
#include "peer/peer.h"

#define STREAM_QUEUE_MAX 4096
#define PIPELINE_QUEUE_MAX 64
#define PIPELINE_PARALLEL 4
#define SEND_BACKLOG_MAX 16384
#define RECEIVED_COUNT_MAX 4096
#define RECEIVED_BYTES_MAX (256u << 20)
#define SNAPSHOTS_IN_MAX 4
#define BODIES_BYTES_MAX (64u << 20)    /* gathered for all requests together; a single one may be larger (one message's limit) */
#define EARLY_MAX 1024                  /* connections that wait until it is known who this is */
#define SERVED_BYTES_MAX (256u << 20)   /* budget of the listeners' connections and requests */
#define ENCODED_BYTES_MAX (1u << 30)
#define REUSE_IDLE_MS 2500              /* a Go server closes an idle connection after 5 s */

#define HEX_ID_SIZE 17                  /* as member ids are written: %x */

struct peer;

/* --- a bounded queue of messages --- */

struct msg_queue {
	struct raft_message *at;        /* ring */
	uint32_t first, count, room, max;
};

/* False: full, the message stays the caller's. */
bool msg_queue_push(struct msg_queue *q, struct raft_message *take_m);
bool msg_queue_pop(struct msg_queue *q, struct raft_message *out);
void msg_queue_clear(struct msg_queue *q);      /* and its memory */

/* --- stream_out.c: a stream that the other member dialled --- */

struct stream_out {
	struct peer *peer;
	enum stream_kind kind;
	struct http_req *req;           /* NULL: not attached */
	struct stream_pos pos;
	struct msg_queue queue;
	struct net_timer heartbeat;
	struct net_timer stall;
	uint64_t given, gone_seen;      /* bytes handed to http; gone out at the last look */
};

void stream_out_init(struct stream_out *o, struct peer *p, enum stream_kind kind);
void stream_out_fini(struct stream_out *o);
/* r was answered with 200; an older one is ended. */
void stream_out_attach(struct stream_out *o, struct http_req *r);
/* The connection of r is gone. */
void stream_out_lost(struct stream_out *o, struct http_req *r);
void stream_out_writable(struct stream_out *o);
/* False: its queue is full, the message stays the caller's. Only while attached. */
bool stream_out_send(struct stream_out *o, struct raft_message *take_m);

/* --- stream_in.c: a stream that we dial --- */

struct stream_in {
	struct peer *peer;
	enum stream_kind kind;
	struct http1_conn *conn;
	struct stream_decoder decoder;
	bool decoding;                  /* answered with 200; the decoder is alive */
	bool quiet;                     /* the last failure was told; tell the next success */
	uint64_t dialled_ms;
	size_t url_at;
	struct net_timer redial;
	struct net_timer silence;
	char refusal[64];               /* begin of the body of an error */
	uint32_t refusal_size;
	unsigned status;
};

void stream_in_init(struct stream_in *i, struct peer *p, enum stream_kind kind);
void stream_in_start(struct stream_in *i);
void stream_in_fini(struct stream_in *i);

/* --- pipeline.c: messages as POSTs --- */

struct post {
	struct peer *peer;              /* NULL: free */
	struct http1_conn *conn;
	bool is_snapshot;
	unsigned status;
	size_t url_at;
};

struct idle_conn {
	struct peer *peer;
	struct http1_conn *conn;        /* NULL: free */
	uint64_t since_ms;
};

struct pipeline {
	struct peer *peer;
	struct msg_queue queue;
	struct post posts[PIPELINE_PARALLEL];
	struct idle_conn idle[PIPELINE_PARALLEL];
};

void pipeline_init(struct pipeline *l, struct peer *p);
void pipeline_fini(struct pipeline *l);
void pipeline_drop_idle(struct pipeline *l);    /* URLs changed */
/* False: full, the message stays the caller's. */
bool pipeline_send(struct pipeline *l, struct raft_message *take_m);

/* --- probe.c --- */

struct probe {
	struct peer *peer;
	const char *name;               /* round-tripper-name */
	bool keep_alive;
	struct http1_conn *conn;
	bool asking;
	struct net_timer timer;         /* next probe, or its timeout */
	uint64_t asked_ns;
	unsigned status;
	char body[256];
	uint32_t body_size;
	uint64_t rtt_ns;                /* smoothed */
	int64_t clock_ns;               /* smoothed difference */
	bool healthy;
	char error[160];
	uint64_t told_ms;
	uint32_t rtt_series;
	size_t url_at;
};

void probe_init(struct probe *b, struct peer *p, const char *name, bool keep_alive);
void probe_start(struct probe *b);
void probe_fini(struct probe *b);
/* {"OK":true,"Now":"…"} as a member answers; false: not that. Pure. */
bool probe_parse(struct slice body, bool *ok, int64_t *wall_ns);

/* --- peer.c: one other member --- */

struct peer {
	struct peer_set *set;
	uint64_t id;
	char id_text[HEX_ID_SIZE];
	bool is_remote;
	VEC(struct http1_url) urls;     /* at least one */
	size_t url_at;
	struct stream_out out[2];       /* by stream_kind; peers only, as the next two */
	struct stream_in in[2];
	struct probe probes[2];
	struct pipeline pipeline;
	struct snap_out *snap_out;      /* NULL: none is being sent */
	/* read by any thread */
	_Atomic uint64_t active_since_ns;
	_Atomic uint64_t sent_bytes, received_bytes, sent_messages, received_messages, dropped_messages, rtt_ns;
	_Atomic bool attached[2], dialled[2];
	/* series of metrics */
	uint32_t m_active, m_lost, m_sent, m_received, m_send_failed, m_receive_failed, m_known;
};

struct peer *peer_new(struct peer_set *s, uint64_t id, bool is_remote);
void peer_start(struct peer *p);
void peer_free(struct peer *p);
/* False, and nothing changed: none of them can be used. */
bool peer_set_urls(struct peer *p, const char *urls);
const struct http1_url *peer_url(const struct peer *p);
/* The URL with that number (p->url_at when it was dialled) failed: the next is tried, unless that happened already. */
void peer_url_failed(struct peer *p, size_t url_at);
void peer_became_active(struct peer *p);
/* action: what failed, for the log. */
void peer_became_inactive(struct peer *p, const char *action, const char *why);
void peer_post_failed(struct peer *p, const char *why);         /* of a message or a snapshot */
void peer_unreachable(struct peer *p);
/* Chooses the channel. */
void peer_post_message(struct peer *p, struct raft_message *take_m);
/* "X-Server-From: …" and the like, as all requests to /raft have them. */
void peer_put_headers(const struct peer *p, bool to_stream, struct buf *out);
void peer_count_sent(struct peer *p, size_t size_bytes);
void peer_count_received(struct peer *p, size_t size_bytes);

/* --- snap_out.c, snap_in.c --- */

void snap_out_start(struct peer *p, struct raft_message *take_m, struct peer_image *take_im);
/* Reports failure and lets go; the peer goes away. */
void snap_out_cancel(struct snap_out *n);

/* on_request and so on of POST /raft/snapshot, after the checks. */
void snap_in_begin(struct http_req *r);
extern const struct http_handler snap_in_handler;

/* --- serve.c --- */

/* Picks the handler of a request; service of the peer listeners. */
const struct http_handler *serve_route(void *arg, struct http_req *r);
/* http.Error of Go: text and a newline. */
void serve_error(struct http_req *r, unsigned status, const char *text);
/* Headers of an answer under /raft. */
void serve_raft_error(struct http_req *r, unsigned status, const char *text);
void serve_raft_empty(struct http_req *r, unsigned status);

/* serve_call.c: the endpoints that are not raft's */
const struct http_handler *serve_call_route(struct peer_set *s, struct http_req *r, struct slice path);
void serve_call_answered(struct peer_request *q);

/* --- call.c --- */

struct call_state;
void call_begin(struct peer_call *c);
void call_end_all(struct peer_set *s);

/* --- set.c --- */

enum peer_msg_kind {
	K_SEND = 1, K_ADD, K_REMOVE, K_CLEAR, K_SNAPSHOT, K_PAUSE, K_CALL, K_ANSWER, K_SNAP_READ, K_SNAP_WRITTEN,
};

struct peer_set {
	struct peer_config cfg;
	char id_text[HEX_ID_SIZE], cluster_text[HEX_ID_SIZE];
	struct net_loop *loop;
	struct actor *actor;
	struct http_io *io;
	struct http_service service;
	struct http1_client client;
	pthread_mutex_t lock;           /* of the array peers, for other threads; and of job_done */
	pthread_cond_t job_done;
	unsigned jobs;                  /* on workers; under lock */
	VEC(struct peer *) peers;       /* ascending by id */
	struct ids removed;
	struct list calls;              /* call_state */
	unsigned snaps_in;
	size_t body_bytes;              /* in bodies that are being gathered */
	bool paused;
	bool closing;
	bool told_removed;
	struct buf scratch;             /* encoding */
	_Atomic uint64_t send_backlog;
	_Atomic bool send_overflow;
	_Atomic uint64_t received_count, received_proposals, received_bytes;
	_Atomic uint64_t requests_out;  /* peer_request given up and not answered */
	VEC(struct net_stream *) early; /* accepted before it was known who this is */
};

/* Room for more bytes of a body that has some; false: too many of all together. Given back with body_drop. */
bool body_grow(struct peer_set *s, size_t has, size_t more);
void body_drop(struct peer_set *s, size_t has);

struct peer *set_find(struct peer_set *s, uint64_t id);
bool set_is_removed(const struct peer_set *s, uint64_t id);
/* Adds a remote for someone unknown, from X-Server-From and X-PeerURLs. */
void set_meet(struct peer_set *s, uint64_t id, struct slice urls);
void set_removed_self(struct peer_set *s);
/* Hands a message up, or drops it: no room, paused, from a removed member, not for us. False: refused, for one of the last
 * two reasons, or, with a database, for any. */
bool set_deliver(struct peer_set *s, struct raft_message *take_m, uint64_t snapshot_bytes);
bool set_accepts(const struct peer_set *s, const struct raft_message *m);
/* Runs on a worker and comes back to the actor with that kind. */
void set_job(struct peer_set *s, struct job *j, bool (*run)(struct job *j), enum peer_msg_kind kind);
void snap_out_read_done(struct job *j);
void snap_in_written(struct job *j);
/* An empty buffer for one encoding, on the actor. */
struct buf *set_scratch(struct peer_set *s);

uint64_t set_now_ms(const struct peer_set *s);
uint64_t set_now_ns(const struct peer_set *s);

void hex_id(uint64_t id, char out[HEX_ID_SIZE]);
bool hex_id_parse(struct slice s, uint64_t *out);

/* --- version.c: who may talk to whom. Pure. --- */

struct minor_version {
	unsigned major, minor;
};

/* "3.7.1", also with something behind ("3.7.0-rc.0"); missing: 2.0. False: none. */
bool minor_version_parse(struct slice s, struct minor_version *out);
int minor_version_cmp(struct minor_version a, struct minor_version b);
/* A caller of that version, which wants at least that, may talk to a server of version own. */
bool version_accepts(struct minor_version own, struct minor_version server, struct minor_version min_cluster);
/* A stream may be read from a server of that version. */
bool version_has_streams(struct minor_version own, struct minor_version server);

#endif
