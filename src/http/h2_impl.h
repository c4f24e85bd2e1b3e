/* Private to the HTTP/2 engine. */
#ifndef HTTP_H2_IMPL_H
#define HTTP_H2_IMPL_H

#include <nghttp2/nghttp2.h>

#include "http/http_impl.h"

struct h2 {
	nghttp2_session *session;
	uint8_t *out; /* cursor while http_conn_output runs */
	size_t out_left;
	bool out_full;         /* a DATA frame did not fit */
	bool dead;             /* nothing can be written any more */
	bool silent;           /* the last output took all there was */
	struct req *head;      /* whose header block is being read; NULL: nobody cares for it */
	uint64_t head_cost;    /* of the fields of that block, as RFC 9113 6.5.2 */
	uint64_t head_open_ms; /* a header block began and has not ended; 0 = none */
	/* guard */
	struct bucket resets, controls;
	uint64_t last_ping_ms;
	bool pinged; /* last_ping_ms is set */
	unsigned ping_strikes;
	bool strikes_forgiven; /* we sent headers or data since the last ping */
	/* our own pings */
	bool ping_out;
	uint64_t ping_out_ms;
	uint64_t drain_ms; /* when the final GOAWAY is due; 0 = none */
};

/* h2_mem.c: blocks for nghttp2, of one loop. */
#define H2_MEM_CLASSES 7 /* 64 bytes to 4 KiB */

struct h2_mem {
	nghttp2_mem table;
	struct block *free[H2_MEM_CLASSES];
	uint32_t count[H2_MEM_CLASSES];
};

void h2_mem_init(struct h2_mem *m);
void h2_mem_fini(struct h2_mem *m);

/* h2_guard.c: each may end the connection. */
void h2_guard_init(struct http_conn *c);
void h2_guard_ping(struct http_conn *c, const nghttp2_ping *ping);
void h2_guard_reset(struct http_conn *c, const struct req *r);
void h2_guard_control(struct http_conn *c);
void h2_guard_frame(struct http_conn *c, const nghttp2_frame_hd *hd);
void h2_tick(struct http_conn *c, uint64_t now_ms);
void h2_drain(struct http_conn *c);
/* GOAWAY; nothing is read any more. */
void h2_end(struct http_conn *c, uint32_t code, const char *debug);

/* h2_send.c */
void h2_send_callbacks(nghttp2_session_callbacks *cb);
size_t h2_output(struct http_conn *c, uint8_t *out, size_t size);
void h2_respond(struct req *r, unsigned status, const struct http_header *headers, size_t count, bool end);
void h2_kick(struct req *r);
void h2_reset(struct req *r, uint32_t code);

static inline struct req *h2_req(nghttp2_session *s, int32_t stream_id)
{
	return nghttp2_session_get_stream_user_data(s, stream_id);
}

#endif
