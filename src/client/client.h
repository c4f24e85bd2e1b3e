/* gRPC client of the etcd API: connections to a set of endpoints, calls over them, the retry rules of upstream's
 *client.
 *
 *	struct client *c;
 *	err_t err = client_new(loop, &opts, &why, &c);
 *	struct client_call *call = client_start(c, RPC_PUT, body, &co, &events, self);   events->on_end comes once
 *	uv_run(loop, UV_RUN_DEFAULT);
 *	client_free(c);                                                             then run the loop till it is empty
 *
 * or, in a program that has nothing else to do than to wait, client_unary and client_recv, which run the loop.
 *
 * Connections: nothing is dialled before the first call; then all endpoints are, and calls go round those that are
 * ready. A call that finds none waits until one is, or until its deadline. A connection that fails is dialled again
 * after 1 s, then 1.6 times as long each time, at most 2 min. While calls are open, silence of keepalive_time_ms (10 s
 * at least, as servers ask) is followed by a ping, and keepalive_timeout_ms later by the end of the connection.
 *
 * Retry (upstream client v3.7, retry.go): a unary call that only reads, and a lease call, is repeated while the status
 *is UNAVAILABLE, up to 100 times, after 25 ms each time it was tried on a quorum of the endpoints; a call that writes
 *only if the request never left. A token that the server does not take is fetched again, as often as calls are repeated.
 *Streams are not repeated here: client_watch resumes, see below.
 *
 * Thread: that of the uv loop, all of it. The program ignores SIGPIPE. No threads are made but libuv's own for host
 *names that are not numbers. Limits: a message sent and received (opts), unread messages of a stream that is read by
 *client_recv (64, then the window of the stream stays closed). */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "pb/methods.h"

struct client;
struct client_call;

#define CLIENT_SEND_BYTES_DEFAULT (2u * 1024 * 1024)
#define CLIENT_RECV_BYTES_DEFAULT INT32_MAX

struct client_tls {
	bool on; /* for endpoints without a scheme and unix://; https:// and unixs:// always, http:// never */
	const char *cert, *key;  /* files in PEM; NULL or "": no certificate of our own */
	const char *cacert;      /* NULL or "": the system's */
	const char *server_name; /* to be in the server's certificate; NULL or "": the endpoint's host */
	bool skip_verify;
};

struct client_opts {
	const char *const *endpoints; /* host:port, http://, https://, unix://path, unixs://path */
	size_t endpoint_count;
	uint64_t dial_timeout_ms;      /* one attempt to connect, TLS included, at least 1 s; 0: 20 s */
	uint64_t keepalive_time_ms;    /* 0: never */
	uint64_t keepalive_timeout_ms; /* 0: 20 s */
	bool keepalive_idle;           /* pings also while no call is open */
	uint32_t send_bytes_max;       /* 0: CLIENT_SEND_BYTES_DEFAULT */
	uint32_t recv_bytes_max;       /* 0: CLIENT_RECV_BYTES_DEFAULT */
	struct client_tls tls;
	const char *user, *password; /* both not empty: a token is fetched, see client_login */
	const char *token;           /* sent as it is; wins */
};

/* Copies what it needs. ERR_INVALID and a line: no endpoint, TLS files that cannot be read or do not fit; ERR_TOO_LARGE: more may be sent
 * than received. */
NODISCARD err_t client_new(uv_loop_t *loop, const struct client_opts *o, struct why *why, struct client **out);
/* Cancels what is open (on_end comes) and closes. The loop must run once more before it is closed. */
void client_free(struct client *c);
uv_loop_t *client_loop(const struct client *c);

/* --- how a call ended --- */

struct client_status {
	enum grpc_status code;
	bool is_local; /* no status of the server: a deadline or cancellation of our own, or (GRPC_UNKNOWN) its reason not to begin a watch */
	char text[512];
};

/* What upstream's client prints: the text alone for the errors of etcd, "context deadline exceeded" and "context
 * canceled" for our own, the reason for which a watch did not begin, else "rpc error: code = X desc = text". Returns
 * out. */
#define CLIENT_ERROR_SIZE 640
const char *client_error(char out[CLIENT_ERROR_SIZE], const struct client_status *s);
/* ERR_ row of an etcd error, by its text; OK: not one of etcd's. */
err_t client_error_row(const struct client_status *s);
const char *client_code_name(enum grpc_status code); /* "NotFound" */

/* --- calls --- */

struct client_call_opts {
	uint64_t timeout_ms; /* over all attempts; 0: none */
	bool require_leader; /* metadata hasleader: a member without leader ends the stream */
	struct slice token;  /* of whoever the call is made for, copied; "": the client's own */
};

struct client_events {
	/* One message; the slice is valid during the call. May be NULL for calls read with client_recv. */
	void (*on_message)(struct client_call *c, void *user, struct slice body);
	/* The last one; the call is gone after it. */
	void (*on_end)(struct client_call *c, void *user, const struct client_status *s);
};

/* body: the encoded request of a unary call or of a server stream (copied; the sending side is ended with it); for a
 * bidirectional stream ignored, see client_send. opts NULL: no deadline. on_end does not come before this returns. */
struct client_call *client_start(struct client *c, enum rpc rpc, struct slice body, const struct client_call_opts *opts,
				 const struct client_events *events, void *user);
/* A method that is not one of etcd's (path and stream of its row matter): repeated only if the request never left. method outlives
 * the call. */
struct client_call *client_start_other(struct client *c, const struct rpc_method *method, struct slice body,
				       const struct client_call_opts *opts, const struct client_events *events, void *user);
/* Bidirectional streams: one more message, copied; kept until a connection is there. */
void client_send(struct client_call *c, struct slice body);
void client_half_close(struct client_call *c);
/* on_end does not come; the call is gone. */
void client_drop(struct client_call *c);
/* While paused the window of the stream fills up and the server waits. */
void client_call_pause(struct client_call *c, bool paused);

/* --- waiting: runs the loop. Not within a callback of it --- */

/* Ends all waits of this client with CANCELLED, now and later, until it is called with false. */
void client_interrupt(struct client *c, bool on);
/* Runs the loop until *done, an interrupt or at_ms of uv_now (0: never). Returns *done. */
bool client_wait(struct client *c, const bool *done, uint64_t at_ms);
/* With user and password: fetches the token; a server without auth counts as success. */
bool client_login(struct client *c, uint64_t timeout_ms, struct client_status *s);
/* True: response holds the message (cleared before). */
bool client_unary(struct client *c, enum rpc rpc, struct slice body, const struct client_call_opts *opts,
		  struct buf *response, struct client_status *s);

/* A stream read message by message. */
struct client_stream;
struct client_stream *client_open(struct client *c, enum rpc rpc, struct slice body,
				  const struct client_call_opts *opts);
void client_stream_send(struct client_stream *s, struct slice body);
enum client_recv { CLIENT_MESSAGE, CLIENT_ENDED, CLIENT_TIMEOUT, CLIENT_INTERRUPTED };
/* CLIENT_ENDED: status tells why, GRPC_OK is a good end. wait_ms 0: no limit. */
enum client_recv client_recv(struct client_stream *s, uint64_t wait_ms, struct buf *message, struct client_status *st);
void client_stream_close(struct client_stream *s);

/* --- watching --- */

/* One watch on a stream of its own, opened again from the next revision when the connection goes. */
struct client_watch;

struct client_watch_opts {
	struct slice key, range_end; /* copied */
	int64_t start_revision;      /* 0: from now on */
	bool prev_kv;
	bool progress_notify;
	bool require_leader;
	struct slice token; /* as in client_call_opts; copied */
};

struct client_watch_events {
	/* An encoded WatchResponse with events, a progress notification (neither events nor anything else), or, as the
	 * last one before on_end, a cancellation. */
	void (*on_response)(struct client_watch *w, void *user, struct slice body);
	/* The server has cancelled it, or the stream cannot be opened again; s tells why. The watch is the owner's to
	 * close. */
	void (*on_end)(struct client_watch *w, void *user, const struct client_status *s);
	/* The response that says created, the first time only; may be NULL. */
	void (*on_created)(struct client_watch *w, void *user, struct slice body);
};

struct client_watch *client_watch_open(struct client *c, const struct client_watch_opts *o,
				       const struct client_watch_events *events, void *user);
/* Asks for a progress notification. */
void client_watch_progress(struct client_watch *w);
/* While paused the window of the stream fills up and the server waits. */
void client_watch_pause(struct client_watch *w, bool paused);
void client_watch_close(struct client_watch *w); /* NULL allowed; not from its callbacks */

/* --- asking --- */

/* Other endpoints from now on. Connections to those that stay go on; calls on the others end as if the server had gone. Not within a
 * callback of a call. */
void client_set_endpoints(struct client *c, const char *const *endpoints, size_t count);
size_t client_endpoint_count(const struct client *c);
const char *client_endpoint(const struct client *c, size_t i);
/* The last failure to connect, in Go's words ("dial tcp 127.0.0.1:1: connect: connection refused"); "" if none. */
const char *client_trouble(const struct client *c);

#endif
