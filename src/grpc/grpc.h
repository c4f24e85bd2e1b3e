/* gRPC server side: a table of methods over the http module.
 *
 *	static const struct grpc_method methods[] = {
 *		{"etcdserverpb.KV", "Range", 0, &range_handler},
 *		{"etcdserverpb.Watch", "Watch", GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM, &watch_handler}, ... };
 *	struct grpc_server *g = grpc_server_new(&opts);         read-only afterwards, shared by the loops
 *	struct grpc_io *gio = grpc_io_new(g, http_io);          one per loop
 *	http_service.route:  if (r->is_http2) return grpc_accept(gio, r);
 *
 * A stream: on_start, on_message*, on_half_close; the handler answers with grpc_send* and grpc_finish, then or
 * later. on_cancel tells that nobody waits any more (reset, deadline, connection lost, a message that is too large or
 * broken); it is the last callback and does not come after grpc_finish. Later answers from another actor come by message and find the stream through its
 * handle, which is 0-safe and never resolves to another stream.
 *
 * Thread: all callbacks and calls on the io loop of the stream. Texts and codes are those of grpc-go (v1.82).
 * Limits: message size, unsent output (http module), inflated size = message size. */
#ifndef GRPC_GRPC_H
#define GRPC_GRPC_H

#include "base/blob.h"
#include "base/err.h"
#include "base/slice.h"
#include "http/http.h"

struct grpc_server;
struct grpc_io;
struct grpc_stream;
struct grpc_method;

#define GRPC_CLIENT_STREAM 1u
#define GRPC_SERVER_STREAM 2u

struct grpc_handler {
	/* Metadata is there. May finish at once. May be NULL. */
	void (*on_start)(struct grpc_stream *s);
	/* One message, inflated. For methods without GRPC_CLIENT_STREAM exactly once, so that on_message is the call;
	 * on_half_close is then not called. */
	void (*on_message)(struct grpc_stream *s, struct blob *take_body);
	void (*on_half_close)(struct grpc_stream *s); /* client streams only; may be NULL there */
	void (*on_writable)(struct grpc_stream *s);   /* after grpc_writable was false; may be NULL */
	void (*on_cancel)(struct grpc_stream *s);     /* may be NULL */
};

struct grpc_method {
	const char *service; /* "etcdserverpb.KV" */
	const char *name;    /* "Range" */
	unsigned flags;      /* GRPC_CLIENT_STREAM, GRPC_SERVER_STREAM */
	const struct grpc_handler *handler;
	const void *data; /* the table owner's: its own row */
};

/* Called on the io loops with arg = grpc_io_new's stats_arg, cheap; any may be NULL. A call refused before its handler
 * was due is not counted; each started one is handled once (CANCELLED when on_cancel came). */
struct grpc_stats {
	void (*started)(void *arg, const struct grpc_method *m);
	void (*received)(void *arg, const struct grpc_method *m, size_t size); /* message bytes, as inflated */
	void (*sent)(void *arg, const struct grpc_method *m, size_t messages, size_t bytes);
	void (*handled)(void *arg, const struct grpc_method *m, enum grpc_status status, uint64_t duration_ns);
	/* The clock for durations; NULL: the loop's, which costs nothing and is taken once a turn, in ms. */
	uint64_t (*now_ns)(void);
};

struct grpc_opts {
	const struct grpc_method *methods;
	size_t method_count;
	uint32_t message_bytes_max;     /* received, also after inflating; etcd: max-request-bytes + 512 KiB */
	const struct grpc_stats *stats; /* NULL: none */
};

struct grpc_server *grpc_server_new(const struct grpc_opts *opts); /* keeps the tables by pointer */
void grpc_server_free(struct grpc_server *g);

struct grpc_io *grpc_io_new(struct grpc_server *g, struct http_io *io, void *user, void *stats_arg);
void grpc_io_free(struct grpc_io *gio); /* after http_io_close */
void *grpc_io_user(struct grpc_io *gio);

/* HTTP/2 and a content type of application/grpc, application/grpc+x or application/grpc;x. */
bool grpc_is(const struct http_req *r);
/* For http_service.route: takes the HTTP/2 request for gRPC (also wrong ones: answers 415, 405 as grpc-go does). */
const struct http_handler *grpc_accept(struct grpc_io *gio, struct http_req *r);

struct grpc_stream {
	const struct grpc_method *method; /* read only */
	void *user;                       /* the handler's */
	struct grpc_io *gio;              /* read only */
	enum grpc_status end_status;      /* in on_cancel: how the call ends for its client */
	struct slice end_text;
};

/* --- asking --- */

uint64_t grpc_handle(const struct grpc_stream *s);
/* NULL when the stream has ended (finished, cancelled) or handle is 0. */
struct grpc_stream *grpc_find(struct grpc_io *gio, uint64_t handle);
const struct net_peer *grpc_peer(const struct grpc_stream *s);
struct http_req *grpc_http_req(struct grpc_stream *s);
/* First value of that (lower case) key; -bin values still encoded, see grpc_bin_decode. */
bool grpc_metadata(const struct grpc_stream *s, struct slice key, struct slice *value);
/* i-th value of that key, for keys that come more than once. */
bool grpc_metadata_at(const struct grpc_stream *s, struct slice key, size_t i, struct slice *value);
/* On the loop's clock (net_loop_now_ms); UINT64_MAX: none. At it the stream is cancelled and the client told. */
uint64_t grpc_deadline_ms(const struct grpc_stream *s);
bool grpc_writable(const struct grpc_stream *s);
size_t grpc_unsent(const struct grpc_stream *s);

/* --- answering --- */

/* Initial metadata, before the first message; else sent with it. At most 16. Optional. */
void grpc_send_headers(struct grpc_stream *s, const struct http_header *headers, size_t count);
/* One message made of these slices, copied. false: now over the bound: stop until on_writable. */
bool grpc_send(struct grpc_stream *s, const struct slice *slices, size_t count);
/* Many small messages at once: room for one of size bytes, filled by the caller before the next call; NULL: use grpc_send for it. At
 * the end grpc_send_room_done, which sends and counts them. */
uint8_t *grpc_send_room(struct grpc_stream *s, size_t size);
bool grpc_send_room_done(struct grpc_stream *s, size_t messages, size_t bytes);
/* One message that is head, copied, and then the blob from its byte `from` on, by reference (watch events shared by many streams). */
bool grpc_send_blob(struct grpc_stream *s, struct slice head, struct blob *take_b, size_t from);
/* A large message in parts: total first, then parts as long as grpc_writable, together exactly total bytes. Never
 * compressed. Nothing else may be sent in between. */
void grpc_send_begin(struct grpc_stream *s, uint32_t total_size);
bool grpc_send_part(struct grpc_stream *s, const struct slice *slices, size_t count);
/* Part of the message that is still missing. */
uint32_t grpc_send_left(const struct grpc_stream *s);
/* The last call: trailers with status and message (percent-encoded here). While a message is incomplete the
 * stream is reset with INTERNAL_ERROR instead. s is gone afterwards. */
void grpc_finish(struct grpc_stream *s, enum grpc_status status, struct slice message);
/* Status and text of the error's row. */
void grpc_finish_err(struct grpc_stream *s, err_t err);
/* Stops taking messages in (the window closes) until resumed; what waits may be delivered before resuming returns. */
void grpc_read_pause(struct grpc_stream *s, bool paused);

/* --- pieces, pure --- */

/* "100m" and the like -> ms, rounded up; false: malformed. */
bool grpc_timeout_parse(struct slice s, uint64_t *timeout_ms);
/* Percent-encodes a status message into out; returns its size (<= 9 * message.size). */
size_t grpc_message_encode(struct slice message, uint8_t *out);
/* Value of a -bin key: base64, padded or not. out holds value.size bytes. false: malformed, *out_size is where. */
bool grpc_bin_decode(struct slice value, uint8_t *out, size_t *out_size);
/* gzip of one member, for messages. Inflating stops beyond size_max: ERR_TOO_LARGE; an early end is ERR_CORRUPT_TAIL,
 * all else ERR_MALFORMED. */
struct blob *grpc_gzip(const struct slice *slices, size_t count);
NODISCARD err_t grpc_gunzip(struct slice in, size_t size_max, struct blob **out);

#endif
