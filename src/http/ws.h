/* WebSocket framing of the server's side (RFC 6455), pure: bytes in, events out, on a connection that http_upgrade turned over.
 *
 *	if (ws_wanted(r)) { ws_accept(key, accept); http_upgrade(r, headers, n); }
 *	while (data.size)
 *		switch (ws_read(&w, &data)) { case WS_MESSAGE: … w.message …; case WS_PING: … w.control … }
 *	http_send(r, {head of ws_head(), payload}, 2);
 *
 * Messages in fragments are put together, within the maximum of w.message; each frame's mask is taken off. Thread: the loop's. */
#ifndef HTTP_WS_H
#define HTTP_WS_H

#include "base/buf.h"
#include "http/http.h"

#define WS_ACCEPT_SIZE 29
#define WS_HEAD_SIZE_MAX 10
#define WS_CONTROL_SIZE_MAX 125

enum ws_opcode { WS_OP_CONTINUATION = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8, WS_OP_PING = 9, WS_OP_PONG = 10 };

enum ws_event {
	WS_MORE,                /* all of data was taken, no event */
	WS_MESSAGE,             /* w->message is a whole text or binary message; cleared by the next ws_read */
	WS_PING,                /* w->control is to be sent back */
	WS_CLOSE,               /* the peer says goodbye; nothing follows */
	WS_BAD,                 /* against the protocol, or too large; nothing more can be read */
};

struct ws_reader {
	struct buf message;
	uint8_t control[WS_CONTROL_SIZE_MAX];
	size_t control_size;

	uint8_t head[14];
	size_t head_size;
	uint64_t left;          /* of the frame's payload */
	uint64_t at;            /* in the payload: for the mask */
	bool in_payload;
	bool in_message;        /* a fragment came, more are due */
	bool message_done;
};

void ws_reader_init(struct ws_reader *w, size_t message_size_max);
void ws_reader_fini(struct ws_reader *w);
/* Takes bytes from the front of *data up to the next event. */
enum ws_event ws_read(struct ws_reader *w, struct slice *data);

/* Head of an unmasked, whole frame; returns its size. */
size_t ws_head(uint8_t out[WS_HEAD_SIZE_MAX], enum ws_opcode op, uint64_t payload_size);

/* An HTTP/1 request that asks for version 13 of it. *key: Sec-WebSocket-Key. */
bool ws_wanted(const struct http_req *r, struct slice *key);
/* Value of Sec-WebSocket-Accept, with its NUL. */
void ws_accept(struct slice key, char out[WS_ACCEPT_SIZE]);

#endif
