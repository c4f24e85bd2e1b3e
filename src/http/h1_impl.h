/* Private to the HTTP/1.1 engine. */
#ifndef HTTP_H1_IMPL_H
#define HTTP_H1_IMPL_H

#include <http_parser.h>

#include "http/http_impl.h"

struct h1 {
	http_parser parser;
	struct req *r;               /* the one request at a time; NULL between two, or when its rest is thrown away */
	struct buf url, name, value; /* of the head that is being read */
	bool in_value;
	bool message_done;  /* the request was read whole; the parser is paused */
	unsigned refuse;    /* status that a limit calls for */
	uint64_t head_ms;   /* when this head began; 0 = not in one */
	uint64_t idle_ms;   /* since when no request is there */
	size_t thrown;      /* body bytes read after the answer */
	struct buf pending; /* came behind the request that is being answered */
	bool keep_alive;
	bool raw; /* upgraded */
	bool dead;
	/* the answer */
	struct http_out lead; /* ready bytes before the body: heads, 100 Continue */
	struct buf head;      /* status line and headers, until framing is chosen */
	bool head_sent, chunked, has_length, no_body;
	bool wants_chunks;    /* the handler's: however short it turns out to be */
	size_t chunk_left;    /* of the chunk begun, all of it in the request's out */
};

/* h1.c: the answer went out whole. */
void h1_answered(struct http_conn *c);
void h1_refuse(struct http_conn *c, unsigned status);
/* Nothing more comes in; closes when the output is gone. */
void h1_stop(struct http_conn *c);

/* h1_send.c */
void h1_respond(struct req *r, unsigned status, const struct http_header *headers, size_t count, bool end);
void h1_upgrade(struct req *r, const struct http_header *headers, size_t count);
void h1_kick(struct req *r);
size_t h1_output(struct http_conn *c, uint8_t *out, size_t size);
void h1_lead(struct http_conn *c, struct slice s);

#endif
