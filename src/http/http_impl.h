/* Private to the http module: what the two engines and the glue share. */
#ifndef HTTP_HTTP_IMPL_H
#define HTTP_HTTP_IMPL_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/http.h"

/* Under the address sanitizer nothing is pooled, so that it sees use after free. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HTTP_POOLED 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HTTP_POOLED 0
#endif
#ifndef HTTP_POOLED
#define HTTP_POOLED 1
#endif

/* --- out.c: unsent bytes, a list of chunks that own their bytes or count a blob --- */

struct http_chunk {
	struct http_chunk *next;
	struct blob *blob; /* else the bytes are behind */
	uint32_t start, end, room;
	uint8_t bytes[];
};

struct http_out {
	struct http_chunk *head, *tail;
	size_t size;
};

struct chunk_pool {
	struct http_chunk *free[2];
	uint32_t count[2];
};

void out_put(struct chunk_pool *p, struct http_out *o, struct slice s);
/* size bytes in one piece, or NULL. */
uint8_t *out_room(struct chunk_pool *p, struct http_out *o, size_t size);
void out_put_blob(struct chunk_pool *p, struct http_out *o, struct blob *take_b, size_t from);
/* Bytes of the first line, its newline too, or all if it is open. */
size_t out_line(const struct http_out *o);
/* Moves the first size bytes to dst; size <= o->size. */
void out_take(struct chunk_pool *p, struct http_out *o, uint8_t *dst, size_t size);
void out_clear(struct chunk_pool *p, struct http_out *o);
void chunk_pool_fini(struct chunk_pool *p);

/* --- requests --- */

#define HEAD_INLINE 1024
#define HEADERS_INLINE 16
#define TRAILERS_MAX 8
#define RESPONSE_HEADERS_MAX 32

struct req {
	struct http_req pub;
	struct list node;    /* conn->reqs, or the io's pool */
	struct list blocked; /* conn->blocked while a producer waits for on_writable */
	struct list waiting; /* io->waiting while a reservation waits */
	int32_t stream_id;
	bool announced; /* on_request was called, so on_close is owed */
	bool responded;
	bool ended;     /* http_end was called */
	bool end_taken; /* ... and went out of the engine */
	bool deferred;  /* HTTP/2: nghttp2 waits for data */
	bool window_raised;
	struct http_out out;
	size_t held; /* body bytes given to the handler and not consumed */
	size_t reserved;
	size_t reserve_wanted;
	/* the head: bytes of names and values in one piece */
	uint8_t *head;
	uint32_t head_size, head_room;
	uint32_t header_room;
	uint32_t header_cost; /* RFC 9113 6.5.2 */
	struct http_header trailers[TRAILERS_MAX];
	uint32_t trailer_count;
	char *trailer_text; /* copies of those not static */
	struct http_header headers_inline[HEADERS_INLINE];
	uint8_t head_inline[HEAD_INLINE];
};

struct engine_ops {
	bool (*input)(struct http_conn *c, struct slice data);
	void (*eof)(struct http_conn *c);
	size_t (*output)(struct http_conn *c, uint8_t *out, size_t size);
	bool (*ended)(const struct http_conn *c);
	bool (*read_paused)(const struct http_conn *c);
	void (*tick)(struct http_conn *c, uint64_t now_ms); /* tick_at_ms was reset; lower it with conn_tick_by */
	void (*drain)(struct http_conn *c);
	void (*free)(struct http_conn *c);
	void (*respond)(struct req *r, unsigned status, const struct http_header *headers, size_t count, bool end);
	void (*kick)(struct req *r); /* out grew, or ended was set */
	void (*reset)(struct req *r, uint32_t h2_code);
	void (*consumed)(struct req *r, size_t size);
	void (*window)(struct req *r, size_t size); /* let the peer send that much of one message; 0: as at first */
	void (*upgrade)(struct req *r, const struct http_header *headers, size_t count); /* NULL in HTTP/2 */
};

/* A token bucket: burst tokens at most, refilled per second. */
struct bucket {
	uint64_t tokens_milli;
	uint64_t at_ms;
};

void bucket_init(struct bucket *b, uint32_t burst, uint64_t now_ms);
/* Takes one; false: there was none. */
bool bucket_take(struct bucket *b, uint32_t burst, uint32_t per_s, uint64_t now_ms);

struct http_conn {
	const struct engine_ops *ops; /* of the engine once the protocol is known */
	struct http_io *io;
	const struct http_service *svc;
	const struct net_peer *peer;
	const struct http_conn_events *events;
	void *owner;
	struct list node; /* io->conns */
	struct list reqs;
	struct list blocked;
	uint32_t req_count;
	size_t out_bytes; /* unsent, all requests */
	size_t held_bytes;
	size_t reserved_bytes;
	uint64_t opened_ms, read_ms; /* last input */
	uint64_t tick_at_ms;         /* when http_conn_tick wants to be called */
	bool over;                   /* no more input is taken */
	bool draining;
	bool charged;
	uint8_t sniffed[24]; /* while ops is NULL: the first bytes */
	uint32_t sniffed_size;
	struct h2 *h2;
	struct h1 *h1;
};

struct http_io {
	struct net_loop *loop;
	void *user;
	uint64_t now_ms; /* without a loop */
	struct list conns;
	size_t conn_count;
	struct list waiting;
	struct chunk_pool chunks;
	struct list req_pool;
	uint32_t req_pool_count;
	struct http_budget *budget;  /* of the credit below */
	uint64_t credit;             /* taken from the budget, unused */
	uint8_t *scratch;            /* serve.c: gathered output */
	struct h2_shared *h2_shared; /* callbacks and options of sessions */
	struct net_timer retry;      /* while someone waits for the budget */
	char date[32];               /* of date_s */
	int64_t date_s;
};

/* io.c */
bool io_charge(struct http_io *io, struct http_budget *b, uint64_t size);
void io_discharge(struct http_io *io, struct http_budget *b, uint64_t size);
void io_grant_waiting(struct http_io *io);
const char *io_date(struct http_io *io);

/* req.c */
#define REQ_CHARGE 4096 /* bytes of the budget that an open request costs by itself */
#define CONN_CHARGE 16384
struct req *req_of(const struct http_req *r);
/* NULL: the budget has nothing left. */
struct req *req_new(struct http_conn *c, bool is_http2);
/* Adds a header or, name[0] == ':', a pseudo-header. false: over the limits. */
bool req_header_add(struct req *r, struct slice name, struct slice value);
/* Makes room for size more bytes of head, moving what points into it. */
uint8_t *req_head_room(struct req *r, size_t size);
void req_start(struct req *r); /* routes, on_request */
/* Tells the handler if it is owed, gives everything back. r is gone. */
void req_close(struct req *r, enum http_close why);
void req_body(struct req *r, struct slice data);
void req_body_end(struct req *r);
void conn_out_took(struct req *r, size_t size); /* size bytes of r->out left */
void conn_tell_writable(struct http_conn *c);
void conn_changed(struct http_conn *c); /* on_output */

/* engines */
void h2_start(struct http_conn *c);
void h2_shared_free(struct h2_shared *s);
/* The earlier of what is set and at_ms. */
void conn_tick_by(struct http_conn *c, uint64_t at_ms);
void h1_start(struct http_conn *c);
const char *http_status_text(unsigned status);

#endif
