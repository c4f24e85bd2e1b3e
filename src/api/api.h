/* The services: one file each (kv.c, lease.c, watch.c, maintenance.c, cluster.c, health.c), below the transport.
 *
 * A call comes in as method, metadata and encoded messages, and goes out as encoded messages and a status, through a sink: a gRPC
 * stream (grpc_bridge.c), the JSON gateway, or the simulator's client. Nothing here knows sockets, HTTP or threads.
 *
 *	api = api_new(node, &opts);  io = api_io_new(api, actor, port);             one io per io actor
 *	r = api_begin(io, method, &sink_ops, sink, &meta);                        api_message*, api_half_close; api_cancel
 *	api_receive(io, msg)                                                      messages of the actor, from api_msg_kind on
 *
 * Thread: an api_io and its calls belong to one io actor. A call ends exactly once: sink finish, or api_cancel by the
 * sink, after which the sink is not touched. What core still has of it is freed when it comes back.
 * A call whose answer the client does not take for API_STALL_S seconds while it holds something (a page pin, a revision) is cut.
 * Limits: message size is the transport's; a call's memory is one arena of API_ARENA_MAX; unsent output is the sink's. */
#ifndef API_API_H
#define API_API_H

#include "node/node.h"
#include "pb/methods.h"
#include "trace/trace.h"

#define API_ARENA_MAX (64u << 20)
#define API_STALL_S 60

struct api;
struct api_io;
struct api_rpc;

/* Message kinds that an io actor hands to api_receive. */
enum api_msg_kind { API_MSG_FIRST = 1000, API_MSG_CALL = API_MSG_FIRST, API_MSG_MORE, API_MSG_WATCH_CLOSED, API_MSG_WATCH_BATCH, API_MSG_JOB, API_MSG_CALLS,
		    API_MSG_MEMBER_CALL, API_MSG_MEMBER_JOB, API_MSG_TICK, API_MSG_END };

/* Where answers go. All but finish only before finish. */
struct api_sink_ops {
	/* One message made of these slices, copied. False: full; stop until api_writable is called. */
	bool (*send)(void *sink, const struct slice *parts, size_t count);
	/* One large message of total bytes, in parts. */
	void (*send_begin)(void *sink, size_t total);
	bool (*send_part)(void *sink, struct slice part);
	bool (*writable)(void *sink);
	size_t (*unsent)(void *sink);
	void (*read_pause)(void *sink, bool paused);
	/* The last one. err OK: status OK. text NULL: the error's own. */
	void (*finish)(void *sink, err_t err, const char *text);
	/* Address of the client, for logs; NULL: not known. */
	const char *(*remote)(void *sink);
	/* Many small messages at once; may be NULL. Room for one of size bytes, to be filled before anything else is called; NULL: too
	 * large, or not that way: send. Then room_done, once for all of them. */
	uint8_t *(*room)(void *sink, size_t size);
	bool (*room_done)(void *sink, size_t messages, size_t bytes);
	/* One message that is head, copied, and the blob from its byte `from` on, by reference; may be NULL: send. */
	bool (*send_blob)(void *sink, struct slice head, struct blob *take_b, size_t from);
};

struct api_meta {
	bool has_leader;                /* metadata hasleader = "true" */
	bool client_version_bad;        /* client-api-version is not UTF-8 */
	struct slice client_version;    /* empty: not told; as long as the sink */
	bool from_gateway;
	bool as_root;                   /* the server's own probe of itself: never from a client */
	bool has_token;                 /* metadata token, else authorization: the first value */
	struct slice token;             /* copied by api_begin */
	bool has_certificate;           /* a verified one of the client */
	struct slice common_name;       /* its name, perhaps none; copied by api_begin */
	bool internal;                  /* the server's own: not counted as a client's */
	struct slice trace_parent;      /* metadata traceparent and tracestate; only looked at by api_begin */
	struct slice trace_state;
	const char *local;              /* address that the client called, for spans; NULL: not known; only looked at by api_begin */
	struct trace *trace;            /* of the call that this one is a part of */
};

struct api_opts {
	uint32_t request_bytes_max;     /* of a log entry */
	uint32_t txn_ops_max;
	int64_t quota_bytes;            /* as configured; 0 = default */
	uint32_t election_ms;           /* 0 = 1000; a member without leader for three of them ends streams with hasleader */
	uint64_t apply_warning_ns;      /* reads that take longer are logged; 0 = none */
	uint64_t unary_warning_ns;      /* calls of one answer that take longer are logged; 0 = none */
	enum token_kind token_kind;     /* as the node's */
	struct jwt *jwt;                /* with TOKEN_JWT; borrowed */
	bool certificates_name_users;   /* --client-cert-auth: a client without token is who its certificate's common name says */
	uint32_t bcrypt_cost;           /* of new passwords; 0 = 10 */
	uint32_t slice_rows;            /* > 0, for tests: a longer read goes on in a step of its own */
	struct trace_queue *traces;     /* NULL: no spans are made */
	struct sched *passwords;        /* threads for bcrypt alone, which make themselves nice; NULL: the workers */
};

struct api *api_new(struct node *n, const struct api_opts *o);
void api_free(struct api *a);

/* actor: the io actor; port: its number among the node's watch_ports. */
struct api_io *api_io_new(struct api *a, struct actor *actor, uint32_t port);
void api_io_free(struct api_io *io);            /* nothing may be under way: api_io_idle */
bool api_io_idle(const struct api_io *io);

/* False: this version does not serve it (UNIMPLEMENTED). */
bool api_serves(enum rpc m);
struct api_rpc *api_begin(struct api_io *io, enum rpc m, const struct api_sink_ops *ops, void *sink, const struct api_meta *meta);
void api_message(struct api_rpc *r, struct blob *take_body);
void api_half_close(struct api_rpc *r);         /* streams of requests only */
void api_writable(struct api_rpc *r);
/* The sink is gone; r must not be used any more. */
void api_cancel(struct api_rpc *r);
/* The same, and how the call ended for its client, for spans. */
void api_cancel_as(struct api_rpc *r, enum grpc_status status, struct slice text);
void api_receive(struct api_io *io, struct msg *m);
/* Watch output of the node for this io; any thread. */
void api_watch_output(struct api_io *io, struct watch_batch *take_b);
/* Server stop: ends watches and other streams with ERR_STOPPED. */
void api_io_stop(struct api_io *io);

/* The simulator's end of a node: frees all calls as they are, whatever core or workers have of them. */
void api_io_abandon(struct api_io *io);

#endif
