/* HTTP/1.1 and HTTP/2, server side: bytes in, requests up; answers down, bytes out.
 *
 * A connection (struct http_conn) has no socket and no clock of its own: it is fed bytes and the time, and asked
 * for bytes. The protocol is told from the first bytes (the HTTP/2 preface). http_serve() binds a connection to
 * a net stream; tests and fuzzers feed it by hand. Requests of both protocols reach one kind of handler:
 *
 *	on_request(r)            headers are complete; may answer at once
 *	on_body(r, data)*        bytes are the handler's to copy; then http_consumed(r, size) opens the window
 *	on_body_end(r)           nothing more comes
 *	on_writable(r)           unsent output fell below the low mark after http_writable() was false
 *	on_close(r, why)         last call, always once after on_request, also after a complete answer
 *
 *	http_respond(r, 200, headers, n); http_send(r, slices, n)*; http_end(r, trailers, n);
 *
 * Thread: everything on the io loop that owns the connection. Nothing waits: sending always takes the bytes
 * (copied, or counted blobs), and a producer stops while http_writable() is false.
 *
 * Limits (struct http_limits) hold on all that a peer can make grow; each has a rule for "full":
 *   header list too long      431, or RST_STREAM of that stream
 *   body bytes not consumed   the window stays closed (HTTP/2), reading stops (HTTP/1)
 *   unsent output             http_writable() false
 *   resets, pings, settings, empty frames in excess   GOAWAY ENHANCE_YOUR_CALM
 *   bytes of the process      a request that may not have its share waits, see http_reserve() */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/blob.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "net/net.h"

struct http_conn;
struct http_req;
struct http_io;

struct http_header {
	struct slice name; /* lower case */
	struct slice value;
	bool is_static; /* both live as long as the program: not copied */
};

#define HTTP_HEADER(n, v) ((struct http_header){SLICE_LIT(n), SLICE_LIT(v), true})

enum http_close {
	HTTP_DONE,  /* the answer was taken whole by the engine and the request had ended */
	HTTP_RESET, /* the peer cancelled it, or http_reset() */
	HTTP_LOST,  /* the connection went */
};

struct http_handler {
	void (*on_request)(struct http_req *r);
	void (*on_body)(struct http_req *r, struct slice data);
	void (*on_body_end)(struct http_req *r);
	void (*on_writable)(struct http_req *r);                   /* may be NULL */
	void (*on_reserved)(struct http_req *r);                   /* may be NULL if http_reserve is not used */
	void (*on_close)(struct http_req *r, enum http_close why); /* r is gone afterwards */
};

/* --- bytes of the process, shared by all loops --- */

struct http_budget;
struct http_budget *http_budget_new(uint64_t size_bytes);
void http_budget_free(struct http_budget *b);
uint64_t http_budget_left(const struct http_budget *b); /* any thread */

/* --- what a listener offers: read-only while it is used, shared by loops --- */

struct http_limits {
	uint32_t header_bytes_max;               /* name + value + 32 each, as RFC 9113 6.5.2; 64 KiB */
	uint32_t header_count_max;               /* 256 */
	uint32_t streams_max;                    /* SETTINGS_MAX_CONCURRENT_STREAMS; UINT32_MAX: not announced */
	uint32_t streams_open_max;               /* of one connection, whatever was announced: further ones are refused; 65,536 */
	uint32_t stream_window_bytes;            /* without a reservation; 64 KiB */
	uint32_t conn_window_bytes;              /* 1 MiB */
	uint32_t conn_reserve_bytes_max;         /* reservations of one connection; 64 MiB */
	uint32_t stream_out_bytes_max;           /* unsent; 256 KiB */
	uint32_t conn_out_bytes_max;             /* unsent; 1 MiB */
	uint32_t unread_streams_max;             /* at four times that, new streams above so many open ones are refused; 1,000 */
	uint32_t resets_burst, resets_per_s;     /* of requests not yet answered, and faulty ones; 2,000 and 200 */
	uint32_t controls_burst, controls_per_s; /* PING, SETTINGS, PRIORITY, empty frames; 10,000 and 1,000 */
	uint32_t header_timeout_ms; /* first byte to end of headers, also the silence before; 30 s; 0 = none */
	uint32_t idle_timeout_ms;   /* HTTP/1 between requests; 0 = none */
	uint64_t ping_min_ms;       /* client pings closer than that are strikes; 5 s */
	bool ping_without_stream;   /* false: without a stream 2 h is the least */
	uint64_t ping_interval_ms;  /* server ping after this silence; 2 h; 0 = never */
	uint64_t ping_timeout_ms;   /* then this long for any byte; 20 s */
};

void http_limits_default(struct http_limits *l);

struct http_service {
	struct http_limits limits;
	bool http1, http2; /* which protocols are spoken here */
	/* Chosen once the headers are there; never NULL. arg = service_arg. */
	const struct http_handler *(*route)(void *arg, struct http_req *r);
	void *arg;
	struct http_budget *budget; /* NULL: none */
	/* Bytes in and out of sockets, for metrics; may be NULL. */
	void (*on_bytes)(struct http_io *io, void *arg, uint64_t in, uint64_t out);
	void (*on_conn)(struct http_io *io, void *arg, int delta); /* +1, -1; may be NULL */
};

/* --- one per loop: pools, connections --- */

/* loop NULL: for tests, time then comes from http_io_set_now. user: the io actor's self. */
struct http_io *http_io_new(struct net_loop *loop, void *user);
void *http_io_user(struct http_io *io);
struct net_loop *http_io_loop(struct http_io *io);
uint64_t http_io_now_ms(struct http_io *io);
void http_io_set_now(struct http_io *io, uint64_t now_ms);
size_t http_io_conns(const struct http_io *io);
/* Serves a stream just accepted (reading is switched on here). */
void http_serve(struct http_io *io, const struct http_service *svc, struct net_stream *take_s);
/* GOAWAY and "Connection: close" on every connection; those without work are closed, others when they have none. */
void http_io_drain(struct http_io *io);
/* Closes all connections: handlers get on_close(HTTP_LOST). */
void http_io_close(struct http_io *io);
void http_io_free(struct http_io *io); /* after http_io_close; the loop may be gone */

/* --- a request; valid from on_request to on_close --- */

struct http_req {
	const struct http_handler *handler;
	void *user; /* the handler's */
	struct http_conn *conn;
	struct slice method, path, authority; /* path as sent, with the query; live as long as the request */
	struct http_header *headers;          /* names lower case, pseudo-headers not among them */
	uint32_t header_count;
	bool is_http2;
	bool body_ended; /* nothing (more) comes */
};

/* First header of that name; false if none. */
bool http_header_get(const struct http_req *r, struct slice name, struct slice *value);
const struct net_peer *http_req_peer(const struct http_req *r);
struct http_io *http_req_io(const struct http_req *r);
const struct http_service *http_req_service(const struct http_req *r);

/* The answer. Status and headers once, at most 32. Date is added on HTTP/1; Content-Length is the caller's (without it
 * HTTP/1 sends chunks, or the whole if http_end follows in the same callback; with "transfer-encoding", which is for HTTP/1
 * alone, always chunks where the client's version has them). */
void http_respond(struct http_req *r, unsigned status, const struct http_header *headers, size_t count);
/* Copies the slices behind what is unsent. After http_respond, before http_end. */
void http_send(struct http_req *r, const struct slice *slices, size_t count);
/* Room behind what is unsent, to be filled before anything else is done with the request; counts as sent, but goes out only after
 * http_send_room_done, once for as many as you like. NULL: too large (beyond about 16 KiB), use http_send. */
uint8_t *http_send_room(struct http_req *r, size_t size);
void http_send_room_done(struct http_req *r);
/* From its byte `from` on, without a copy of its own: take_b is let go when its bytes were written. */
void http_send_blob(struct http_req *r, struct blob *take_b, size_t from);
/* Ends the answer; with trailers (HTTP/2, chunked HTTP/1). on_close follows later, from the engine. */
void http_end(struct http_req *r, const struct http_header *trailers, size_t count);
/* Status, headers and end in one: no body (HTTP/2: one HEADERS frame). */
void http_respond_end(struct http_req *r, unsigned status, const struct http_header *headers, size_t count);
/* Cuts the request off: RST_STREAM with this HTTP/2 code (HTTP/1: closes the connection). on_close(HTTP_RESET) comes
 * before this returns. */
void http_reset(struct http_req *r, uint32_t h2_code);
/* All of a small answer: text with a content type. */
void http_reply_text(struct http_req *r, unsigned status, const char *content_type, struct slice body);

bool http_writable(const struct http_req *r);
size_t http_unsent(const struct http_req *r);

/* size bytes of on_body are no longer held: the peer may send as many again. With http_end all count as consumed. */
void http_consumed(struct http_req *r, size_t size);
/* size more bytes of one message are expected and will be held: asks the budgets of connection and process for
 * them. True: granted, the window is opened. False: on_reserved is called later; until then the peer can send
 * no more than the stream window. Where bytes not consumed pass half the window of the connection, the stream that
 * passes it is reset with ENHANCE_YOUR_CALM, so that the others can go on. One reservation per request; http_unreserve,
 * or the end of the request, gives it back. */
bool http_reserve(struct http_req *r, size_t size);
void http_unreserve(struct http_req *r);

/* HTTP/1 only: answers 101 with these headers; from then on on_body and http_send carry raw bytes, both ways. */
void http_upgrade(struct http_req *r, const struct http_header *headers, size_t count);

/* --- what client listeners check first (not those for metrics and peers): host whitelist, CORS, OPTIONS --- */

struct http_front {
	const struct slice *hosts; /* --host-whitelist; none or one "*": all; only asked without TLS */
	size_t hosts_count;
	const struct slice *cors; /* --cors: allowed origins, or "*" */
	size_t cors_count;
};

#define HTTP_FRONT_HEADERS 3

enum http_front_result {
	HTTP_FRONT_PASSED,
	HTTP_FRONT_ANSWERED,     /* OPTIONS: 200, empty */
	HTTP_FRONT_HOST_REFUSED, /* 421 was answered; log "rejecting HTTP request to prevent DNS rebinding attacks" */
};

/* To be called in on_request. PASSED: out (room for HTTP_FRONT_HEADERS) holds *count headers for whatever is answered;
 * they point into the request. */
enum http_front_result http_front_check(const struct http_front *f, struct http_req *r, struct http_header *out,
					size_t *count);
/* Host without port and brackets. */
struct slice http_host_name(struct slice authority);

/* --- the engine below, for glue, tests and fuzzers --- */

struct http_conn_events {
	void (*on_output)(void *owner); /* http_conn_output has something, or http_conn_ended turned true */
};

struct http_conn *http_conn_new(struct http_io *io, const struct http_service *svc, const struct net_peer *peer,
				const struct http_conn_events *events, void *owner);
/* Returns false when the connection is over (a protocol error was answered): only output is left. */
bool http_conn_input(struct http_conn *c, struct slice data);
void http_conn_eof(struct http_conn *c);
/* Fills out with up to size bytes, size >= HTTP_OUTPUT_MIN; returns how many. 0: nothing now. */
#define HTTP_OUTPUT_MIN (40 * 1024)
size_t http_conn_output(struct http_conn *c, uint8_t *out, size_t size);
/* All is said and read: close after the output is written. */
bool http_conn_ended(const struct http_conn *c);
/* Reading should pause (HTTP/1 with unconsumed body or a queued request). */
bool http_conn_read_paused(const struct http_conn *c);
/* Timeouts, keepalive: to be called at http_conn_tick_at (UINT64_MAX = not); calling early does nothing. */
uint64_t http_conn_tick_at(const struct http_conn *c);
void http_conn_tick(struct http_conn *c);
void http_conn_drain(struct http_conn *c);
void http_conn_free(struct http_conn *c); /* open requests get on_close(HTTP_LOST) */

#endif
