/* What the files of this folder share. A client has one conn per endpoint; a conn has at most one link, the socket of
 * one attempt with TLS and HTTP/2 on top; a call waits in the client's list until a link takes it.
 *
 *	IDLE --first call--> DIALING --connected, handshake--> READY --lost--> BACKOFF --time--> DIALING
 *	                     DIALING --failed, timeout--------------------->  BACKOFF
 *
 * All times are uv_now; one timer of the client wakes whatever is due (client_wake). */
#ifndef CLIENT_CLIENT_IMPL_H
#define CLIENT_CLIENT_IMPL_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include "base/list.h"
#include "client/client.h"

enum {
	CLIENT_BACKOFF_MS = 1000,
	CLIENT_BACKOFF_MAX_MS = 120 * 1000,
	CLIENT_DIAL_TIMEOUT_MS = 20 * 1000,
	CLIENT_KEEPALIVE_MIN_MS = 10 * 1000,
	CLIENT_KEEPALIVE_TIMEOUT_MS = 20 * 1000,
	CLIENT_RETRIES_MAX = 100,
	CLIENT_RETRY_WAIT_MS = 25,
	CLIENT_READ_SIZE = 64 * 1024,
	CLIENT_STREAM_WINDOW = 1024 * 1024,
	CLIENT_CONN_WINDOW = 4 * 1024 * 1024,
	CLIENT_OUT_ROOM = 256 * 1024, /* bytes taken from HTTP/2 before they are written */
	CLIENT_UNREAD_MAX = 64,       /* messages of a stream read by client_recv */
	CLIENT_PREFACE_SIZE = 5,      /* gRPC: compressed flag, length */
};

struct endpoint {
	char *text;        /* as given */
	char *host, *port; /* host is the path of a unix socket, port NULL */
	char *authority;   /* of requests */
	char *server_name; /* for TLS */
	bool is_unix, is_tls;
};

void endpoint_parse(struct endpoint *e, const char *text, const struct client_tls *tls);
void endpoint_fini(struct endpoint *e);

enum conn_state { CONN_IDLE, CONN_DIALING, CONN_READY, CONN_BACKOFF };

struct conn {
	struct client *client;
	struct endpoint ep;
	enum conn_state state;
	struct link *link;
	struct lookup *lookup;  /* a name being resolved */
	struct addrinfo *found; /* what came out; next is to be tried */
	struct addrinfo *next;
	uint64_t dial_end_ms;
	uint64_t retry_at_ms;
	unsigned failures;
	bool moved; /* within client_set_endpoints */
	char why[256];
};

struct link {
	struct conn *conn; /* NULL once it is being closed */
	struct client *client;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	};
	uv_connect_t connect;
	uv_write_t write;
	struct buf out; /* plain bytes or TLS records, of which `written` are with the socket */
	bool writing;   /* uv_write is under way: out is not touched */
	bool busy;      /* inside nghttp2 or TLS: closing and flushing wait */
	bool lost;
	SSL *ssl;
	BIO *from_net, *to_net;
	bool handshaken;
	nghttp2_session *h2;
	uint32_t open_calls;
	uint64_t heard_ms;
	uint64_t ping_end_ms; /* 0: no ping is out */
	char why[256];
};

enum call_state {
	CALL_WAITING, /* for a link */
	CALL_OPEN,
	CALL_BACKOFF,
	CALL_LOGIN, /* for another token */
};

struct client_call {
	struct list node;    /* of client.calls */
	struct list waiting; /* of client.waiting */
	char *token;         /* NULL: the client's */
	struct client *client;
	enum call_state state;
	const struct rpc_method *method;
	enum rpc rpc; /* RPC__COUNT: another's method */
	struct client_events events;
	void *user;
	bool require_leader;
	uint64_t deadline_ms; /* UINT64_MAX: none */
	uint64_t retry_at_ms;
	unsigned attempt;

	struct buf request; /* framed; of a bidirectional stream what is not sent yet */
	size_t request_sent;
	bool half_closed;
	struct link *link;
	int32_t stream_id;

	uint8_t preface[CLIENT_PREFACE_SIZE];
	unsigned preface_size;
	uint32_t message_size;
	struct buf message;
	bool has_message; /* unary: it is complete, and kept until the end */
	bool got_message;
	bool paused;
	bool delivering, dropped; /* see client_drop */
	size_t unread;            /* bytes of this stream not given back to the window */

	unsigned http_status;
	bool is_grpc;
	bool has_status;
	struct client_status status;
};

struct client {
	uv_loop_t *loop;
	uv_timer_t *timer;
	uint64_t wake_ms;
	struct conn **conns;
	size_t conn_count;
	struct client_tls tls_opts; /* what endpoint_parse needs of it */
	char *server_name;
	size_t next; /* round robin */
	struct list calls;
	struct list waiting; /* of these, in CALL_WAITING */
	bool keepalive_idle;
	uint64_t dial_timeout_ms, keepalive_time_ms, keepalive_timeout_ms;
	uint32_t send_bytes_max, recv_bytes_max;
	SSL_CTX *tls;
	char *user, *password, *token;
	bool token_given;
	struct client_call *login;
	bool interrupted;
	bool closing;
	char trouble[256];
	uint8_t *read_room; /* CLIENT_READ_SIZE bytes, not zeroed: most runs read a few hundred */
};

/* client.c */
void client_wake(struct client *c, uint64_t at_ms);
void client_dispatch(struct client *c); /* gives waiting calls to ready links */

/* tls.c: ERR_INVALID with a line */
NODISCARD err_t client_tls_new(const struct client_tls *t, struct why *why, SSL_CTX **out);
SSL *client_tls_session(SSL_CTX *ctx, const struct endpoint *e, bool skip_verify);

/* conn.c */
void conn_init(struct conn *c, struct client *client);
void conn_fini(struct conn *c);
void conn_want(struct conn *c);                      /* dials unless it is under way */
void conn_ready(struct conn *c);                     /* by its link */
void conn_lost(struct conn *c, const char *why);     /* by its link, which closes itself */
uint64_t conn_tick(struct conn *c, uint64_t now_ms); /* next time */

/* link.c: never NULL; the outcome comes as conn_ready or conn_lost, later */
struct link *link_open(struct conn *c, const struct sockaddr *a);
void link_flush(struct link *l);
void link_fail(struct link *l, const char *fmt, ...) PRINTF(2, 3);
void link_close(struct link *l);
uint64_t link_tick(struct link *l, uint64_t now_ms);

/* h2.c */
nghttp2_session *h2_new(struct link *l);
void h2_submit(struct link *l, struct client_call *call); /* fails the attempt if there is no stream left */
void h2_cancel(struct client_call *call);
void h2_resume(struct client_call *call);  /* more to send */
void h2_consume(struct client_call *call); /* unread bytes go back to the window */

/* call.c */
void call_append(struct client_call *call, struct slice body);
void call_data(struct client_call *call, struct slice data);
/* Its stream (HTTP/2 code) or its link (why) has gone. */
void call_closed(struct client_call *call, uint32_t h2_code, const char *why);
uint64_t call_tick(struct client_call *call, uint64_t now_ms); /* next time; may end the call */
void call_pause(struct client_call *call, bool paused);
/* Into CALL_WAITING: the next link takes it. */
void call_wait(struct client_call *call);
void call_end(struct client_call *call); /* on_end with call->status, frees */

/* status.c */
void status_set(struct client_status *s, enum grpc_status code, bool is_local, const char *fmt, ...) PRINTF(4, 5);
void status_text_decode(struct client_status *s, struct slice percent_encoded);

#endif
