/* HTTP/1.1 engine, sending side.
 *
 * The head is kept back until the first output, because only then is it known whether the answer is complete: if so
 * it gets a Content-Length, else chunks (HTTP/1.0: until the connection closes). */
#include <ctype.h>
#include <stdio.h>

#include "http/h1_impl.h"

#define CHUNK_ROOM 32 /* size line and the two line ends */

const char *http_status_text(unsigned status)
{
	switch (status) {
#define XX(code, name, text)                                                                                           \
	case code:                                                                                                     \
		return #text;
		HTTP_STATUS_MAP(XX)
#undef XX
	}
	return "Unknown";
}

void h1_lead(struct http_conn *c, struct slice s)
{
	out_put(&c->io->chunks, &c->h1->lead, s);
	conn_changed(c);
}

/* "content-type" -> "Content-Type", as Go writes it and scripts look for it. */
static void put_name(struct buf *b, struct slice name)
{
	uint8_t *p = buf_add(b, name.size);
	bool first = true;

	for (size_t i = 0; p && i < name.size; i++) {
		p[i] = first ? (uint8_t)toupper(name.data[i]) : name.data[i];
		first = name.data[i] == '-';
	}
}

static void put_header(struct buf *b, struct slice name, struct slice value)
{
	put_name(b, name);
	buf_put(b, ": ", 2);
	for (size_t i = 0; i < value.size; i++) /* a line end in a value would begin another header */
		buf_put_byte(b, value.data[i] == '\r' || value.data[i] == '\n' ? ' ' : value.data[i]);
	buf_put(b, "\r\n", 2);
}

static bool status_has_body(unsigned status)
{
	return status >= 200 && status != 204 && status != 304;
}

static void put_head(struct http_conn *c, unsigned status, const struct http_header *headers, size_t count)
{
	struct h1 *h = c->h1;

	buf_clear(&h->head);
	buf_printf(&h->head, "HTTP/1.1 %u %s\r\n", status, http_status_text(status));
	for (size_t i = 0; i < count; i++) {
		if (slice_eq(headers[i].name, SLICE_LIT("transfer-encoding"))) {
			h->wants_chunks = true;
			continue;
		}
		put_header(&h->head, headers[i].name, headers[i].value);
		h->has_length |= slice_eq(headers[i].name, SLICE_LIT("content-length"));
	}
}

void h1_respond(struct req *r, unsigned status, const struct http_header *headers, size_t count, bool end)
{
	struct http_conn *c = r->pub.conn;

	put_head(c, status, headers, count);
	buf_printf(&c->h1->head, "Date: %s\r\n", io_date(c->io));
	c->h1->no_body |= !status_has_body(status);
	c->h1->has_length |= !status_has_body(status);
	conn_changed(c);
}

void h1_upgrade(struct req *r, const struct http_header *headers, size_t count)
{
	struct http_conn *c = r->pub.conn;
	struct h1 *h = c->h1;

	put_head(c, 101, headers, count);
	buf_put(&h->head, "\r\n", 2);
	h1_lead(c, buf_slice(&h->head));
	h->raw = h->head_sent = true;
	h->keep_alive = false;
}

void h1_kick(struct req *r)
{
}

/* Ends the head now that it must go out. */
static void send_head(struct http_conn *c)
{
	struct h1 *h = c->h1;
	struct req *r = h->r;
	bool http11 = h->parser.http_major == 1 && h->parser.http_minor >= 1;

	if (!h->has_length) {
		if (r->ended && !r->trailer_count && !h->wants_chunks)
			buf_printf(&h->head, "Content-Length: %zu\r\n", r->out.size);
		else if (http11)
			h->chunked = true;
		else
			h->keep_alive = false;
	}
	if (h->chunked)
		buf_printf(&h->head, "Transfer-Encoding: chunked\r\n");
	if (c->draining)
		h->keep_alive = false;
	if (!h->keep_alive)
		buf_printf(&h->head, "Connection: close\r\n");
	else if (!http11)
		buf_printf(&h->head, "Connection: keep-alive\r\n");
	buf_put(&h->head, "\r\n", 2);
	h->head_sent = true;
	out_put(&c->io->chunks, &h->lead, buf_slice(&h->head));
}

static size_t take(struct http_conn *c, uint8_t *out, size_t size)
{
	struct req *r = c->h1->r;

	out_take(&c->io->chunks, &r->out, out, size);
	conn_out_took(r, size);
	return size;
}

/* A chunk for each line: the messages of a gateway stream are lines, and some clients take a piece for a message, as they may from
 * Go's server, which flushes each. */
static size_t put_chunks(struct http_conn *c, uint8_t *out, size_t room)
{
	struct h1 *h = c->h1;
	size_t used = 0, n;

	while (h->r->out.size && room - used > CHUNK_ROOM) {
		if (!h->chunk_left) {
			h->chunk_left = out_line(&h->r->out);
			used += (size_t)sprintf((char *)out + used, "%zx\r\n", h->chunk_left);
		}
		n = MIN(h->chunk_left, room - used - 2);
		used += take(c, out + used, n);
		h->chunk_left -= n;
		if (h->chunk_left)
			break;
		memcpy(out + used, "\r\n", 2);
		used += 2;
	}
	return used;
}

static size_t put_body(struct http_conn *c, uint8_t *out, size_t room)
{
	struct h1 *h = c->h1;

	if (h->no_body) { /* HEAD, 204, 304: what the handler sends is for nobody */
		conn_out_took(h->r, h->r->out.size);
		out_clear(&c->io->chunks, &h->r->out);
		return 0;
	}
	if (!h->chunked)
		return take(c, out, MIN(h->r->out.size, room));
	return put_chunks(c, out, room);
}

static void end_chunks(struct http_conn *c)
{
	struct h1 *h = c->h1;
	struct buf b;

	if (!h->chunked || h->no_body)
		return;
	buf_init(&b, 1 << 16);
	buf_put(&b, "0\r\n", 3);
	for (uint32_t i = 0; i < h->r->trailer_count; i++)
		put_header(&b, h->r->trailers[i].name, h->r->trailers[i].value);
	buf_put(&b, "\r\n", 2);
	h1_lead(c, buf_slice(&b));
	buf_fini(&b);
}

static size_t put_lead(struct http_conn *c, uint8_t *out, size_t room)
{
	struct h1 *h = c->h1;
	size_t n = MIN(h->lead.size, room);

	if (n)
		out_take(&c->io->chunks, &h->lead, out, n);
	return n;
}

size_t h1_output(struct http_conn *c, uint8_t *out, size_t size)
{
	struct h1 *h = c->h1;
	size_t used = 0;

	ASSERT(size >= HTTP_OUTPUT_MIN);
	if (h->dead)
		return 0;
	if (h->r && h->r->responded && !h->head_sent)
		send_head(c);
	used += put_lead(c, out, size);
	if (h->r && h->head_sent && h->lead.size == 0) {
		used += put_body(c, out + used, size - used);
		if (h->r->ended && h->r->out.size == 0) {
			h->r->end_taken = true;
			end_chunks(c);
			h1_answered(c);
			used += put_lead(c, out + used, size - used);
		}
	}
	conn_tell_writable(c);
	return used;
}
