/* Private to the gRPC module. */
#ifndef GRPC_GRPC_IMPL_H
#define GRPC_GRPC_IMPL_H

#include "base/buf.h"
#include "base/mem.h"
#include "grpc/grpc.h"

#define PREFIX_SIZE 5
#define ERROR_TEXT_MAX 16384 /* of texts that quote what a client sent */

#define H2_INTERNAL_ERROR 2 /* RFC 9113 7 */
#define H2_CANCEL 8

struct gstream {
	struct grpc_stream pub;
	struct http_req *req;
	struct gstream *next_free;
	uint32_t slot, generation;
	bool active;
	bool counted; /* as started in the statistics */
	/* receiving: prefix, then body */
	uint8_t prefix[PREFIX_SIZE];
	uint8_t prefix_size;
	bool compressed;
	bool recv_gzip, answer_gzip;
	bool got_message;
	bool half_closed, input_ended;
	bool waiting; /* for a reservation */
	bool granted; /* ... which came */
	bool paused;
	bool held; /* until the connection's unsent output fits its bound: no message is delivered before */
	bool feeding; /* feed() is on the stack */
	struct blob *body;
	size_t body_size;     /* filled */
	struct buf pending;   /* came while waiting or paused; not consumed */
	struct blob *message; /* of a server stream, until the client half-closed */
	/* sending */
	bool headers_sent;
	uint32_t send_left;
	struct net_timer deadline;
	uint64_t deadline_ms;
	uint64_t started_ns;
	struct slice content_type;
};

struct grpc_entry {
	uint64_t hash; /* 0 = free */
	char *path;
	const struct grpc_method *method;
};

struct grpc_server {
	struct grpc_opts opts;
	uint32_t mask;
	struct grpc_entry *table;
};

struct grpc_io {
	struct grpc_server *server;
	struct http_io *io;
	void *user, *stats_arg;
	VEC(struct gstream *) slots;
	struct gstream *free;
};

/* server.c */
const struct grpc_method *grpc_lookup(const struct grpc_server *g, struct slice path);
bool grpc_service_known(const struct grpc_server *g, struct slice service);

/* stream.c */
extern const struct http_handler grpc_http_handler;
struct gstream *gstream_new(struct grpc_io *gio, struct http_req *r);
void gstream_free(struct gstream *g);
struct gstream *gstream_of(const struct grpc_stream *s);

void gstream_count_started(struct gstream *g);
void gstream_count_handled(struct gstream *g, enum grpc_status status);

/* start.c: checks the head; false: answered with an error, g is gone. */
bool gstream_start(struct gstream *g);

/* recv.c */
void gstream_feed(struct gstream *g, struct slice data);
void gstream_resume(struct gstream *g);
void gstream_half_closed(struct gstream *g);

/* send.c */
void gstream_finish(struct gstream *g, enum grpc_status status, struct slice message);
/* The end of a started stream that its handler did not make: he is told first, by on_cancel. */
void gstream_give_up(struct gstream *g, enum grpc_status status, const char *fmt, ...) PRINTF(3, 4);
/* An answer that is no call: HTTP status with gRPC status in one block. g is gone. */
void gstream_refuse(struct gstream *g, unsigned http_status, enum grpc_status status, struct slice message);

void grpc_quote(struct buf *out, struct slice s);

#endif
