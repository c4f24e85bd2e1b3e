/* HTTP/1.1 engine, receiving side, on http_parser.
 *
 *	idle ──first byte──> head ──> body ──> waiting for the answer ──answered──> idle (or closed)
 *	                       └─ 101 ──> raw bytes both ways
 *
 * One request at a time: what a client sends ahead waits in pending, and reading pauses. If the answer is complete
 * before the body, up to THROW_MAX of it is read and thrown away, so that the connection can go on.
 *
 *   P1  handlers run inside http_parser_execute; afterwards r may be NULL (reset) and the callback returns non-zero */
#include <ctype.h>

#include "http/h1_impl.h"

#define THROW_MAX (256 * 1024)
#define PENDING_MAX (4 * NET_READ_SIZE)

static const struct engine_ops h1_ops;
static const http_parser_settings settings;

static struct http_conn *conn_of(http_parser *p)
{
	return p->data;
}

void h1_stop(struct http_conn *c)
{
	c->over = true;
	conn_changed(c);
}

void h1_refuse(struct http_conn *c, unsigned status)
{
	struct buf b;

	buf_init(&b, 512);
	buf_printf(&b, "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%u %s",
		   status, http_status_text(status), status, http_status_text(status));
	h1_lead(c, buf_slice(&b));
	buf_fini(&b);
	h1_stop(c);
}

/* --- parser callbacks: 0 goes on --- */

static int refuse_later(struct h1 *h, unsigned status)
{
	h->refuse = status;
	return -1;
}

static int on_message_begin(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	struct h1 *h = c->h1;

	ASSERT(!h->r);
	h->r = req_new(c, false);
	if (!h->r)
		return refuse_later(h, 503);
	h->head_ms = c->read_ms | 1;
	h->thrown = 0;
	h->chunk_left = 0;
	h->in_value = h->message_done = h->head_sent = h->chunked = h->has_length = h->no_body = h->wants_chunks = false;
	buf_clear(&h->url);
	buf_clear(&h->name);
	buf_clear(&h->value);
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t size)
{
	struct h1 *h = conn_of(p)->h1;

	buf_put(&h->url, at, size);
	return buf_failed(&h->url) ? refuse_later(h, 414) : 0;
}

static int header_done(struct http_conn *c)
{
	struct h1 *h = c->h1;

	if (h->in_value && !req_header_add(h->r, buf_slice(&h->name), buf_slice(&h->value)))
		return refuse_later(h, 431);
	h->in_value = false;
	buf_clear(&h->name);
	buf_clear(&h->value);
	return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t size)
{
	struct http_conn *c = conn_of(p);
	struct h1 *h = c->h1;
	uint8_t *dst;

	if (!h->r)
		return 0; /* trailers of a body that is thrown away */
	if (h->r->announced)
		return 0; /* trailers of the request */
	if (h->in_value && header_done(c))
		return -1;
	dst = buf_add(&h->name, size);
	if (!dst)
		return refuse_later(h, 431);
	for (size_t i = 0; i < size; i++) {
		if (at[i] == ' ')       /* http_parser lets it pass */
			return refuse_later(h, 400);
		dst[i] = (uint8_t)tolower((unsigned char)at[i]);
	}
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t size)
{
	struct h1 *h = conn_of(p)->h1;

	if (!h->r || h->r->announced)
		return 0;
	h->in_value = true;
	buf_put(&h->value, at, size);
	return buf_failed(&h->value) ? refuse_later(h, 431) : 0;
}

static struct slice keep_bytes(struct req *r, struct slice s)
{
	uint8_t *p = req_head_room(r, s.size);

	memcpy(p, s.data, s.size);
	r->head_size += (uint32_t)s.size;
	return slice_of(p, s.size);
}

/* "http://host/path" -> "/path", as a proxy may send it. */
static struct slice origin_form(struct slice url)
{
	struct slice scheme = SLICE_LIT("http://");
	const uint8_t *slash;

	if (slice_has_prefix(url, SLICE_LIT("https://")))
		scheme = SLICE_LIT("https://");
	if (!slice_has_prefix(url, scheme))
		return url;
	slash = memchr(url.data + scheme.size, '/', url.size - scheme.size);
	return slash ? slice_of(slash, (size_t)(url.data + url.size - slash)) : SLICE_LIT("/");
}

static bool expects(const struct req *r, bool *to_continue)
{
	struct slice v;

	if (!http_header_get(&r->pub, SLICE_LIT("expect"), &v) || !v.size)
		return false;
	*to_continue = v.size == 12 && strncasecmp((const char *)v.data, "100-continue", 12) == 0;
	return true;
}

/* One Host, which names nothing strange: what stands before us may have read another one (request smuggling). */
static bool host_good(struct req *r, bool needed)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < r->pub.header_count; i++) {
		if (!slice_eq(r->pub.headers[i].name, SLICE_LIT("host")))
			continue;
		r->pub.authority = r->pub.headers[i].value;
		count++;
	}
	for (size_t i = 0; i < r->pub.authority.size; i++) {
		uint8_t c = r->pub.authority.data[i];

		if (!isalnum(c) && (!c || !strchr("!$%&'()*+,-.:;=[]_~", c)))
			return false;
	}
	return count == 1 || (!count && !needed);
}

/* Chunked, once, or none: of two that are named somebody else may go by the other. */
static bool transfer_good(const struct req *r)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < r->pub.header_count; i++) {
		const struct http_header *f = &r->pub.headers[i];

		if (!slice_eq(f->name, SLICE_LIT("transfer-encoding")))
			continue;
		if (count++ || f->value.size != 7 || strncasecmp((const char *)f->value.data, "chunked", 7) != 0)
			return false;
	}
	return true;
}

static int on_headers_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	struct h1 *h = c->h1;
	struct req *r = h->r;
	bool to_continue = false, expected;

	if (header_done(c))
		return -1;
	h->head_ms = 0;
	r->pub.method = slice_str(http_method_str(p->method));
	r->pub.path = keep_bytes(r, origin_form(buf_slice(&h->url)));
	if (p->http_major != 1)
		return refuse_later(h, p->http_major ? 505 : 400);
	if (!host_good(r, p->http_minor >= 1))
		return refuse_later(h, 400);
	if (!transfer_good(r))
		return refuse_later(h, 501);
	expected = p->http_minor >= 1 && expects(r, &to_continue);
	if (expected && !to_continue)
		return refuse_later(h, 417);
	h->keep_alive = http_should_keep_alive(p) && !c->draining;
	h->no_body = p->method == HTTP_HEAD;
	req_start(r);
	if (h->r != r)
		return -1; /* P1 */
	if (h->raw)
		return 2;
	p->upgrade = 0; /* nobody took it: an ordinary request */
	if (!r->responded && expected)
		h1_lead(c, SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t size)
{
	struct h1 *h = conn_of(p)->h1;

	if (!h->r) {
		h->thrown += size;
		return h->thrown > THROW_MAX ? -1 : 0;
	}
	req_body(h->r, slice_of(at, size));
	return conn_of(p)->over ? -1 : 0;
}

static int on_message_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	struct h1 *h = c->h1;

	if (h->raw)
		return 0;
	h->message_done = true;
	if (h->r)
		req_body_end(h->r);
	if (c->over)
		return -1;
	if (h->r)
		http_parser_pause(p, 1);
	else
		h->idle_ms = c->read_ms;
	return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- the connection --- */

static void drop_request(struct http_conn *c, enum http_close why)
{
	struct req *r = c->h1->r;

	c->h1->r = NULL;
	if (r)
		req_close(r, why);
}

static void raw_input(struct http_conn *c, struct slice data)
{
	if (data.size && c->h1->r)
		req_body(c->h1->r, data);
}

static void parse_failed(struct http_conn *c)
{
	struct h1 *h = c->h1;
	bool answered = h->head_sent && (h->r || !h->message_done); /* of the message that failed */

	if (c->over)
		return; /* a handler reset it */
	drop_request(c, HTTP_RESET);
	if (answered)
		h1_stop(c);
	else
		h1_refuse(c, h->refuse ? h->refuse : 400);
}

/* Parses as far as one request goes; returns how much was taken. */
static size_t parse(struct http_conn *c, struct slice data)
{
	struct h1 *h = c->h1;
	size_t n = http_parser_execute(&h->parser, &settings, (const char *)data.data, data.size);
	enum http_errno e = HTTP_PARSER_ERRNO(&h->parser);

	if (h->raw) {
		raw_input(c, slice_of(data.data + n, data.size - n));
		return data.size;
	}
	if (e == HPE_OK && !h->parser.upgrade)
		return data.size;
	if (e == HPE_PAUSED)
		return n;
	parse_failed(c);
	return data.size;
}

static bool h1_input(struct http_conn *c, struct slice data)
{
	struct h1 *h = c->h1;
	size_t n;

	if (h->raw) {
		raw_input(c, data);
		return !c->over;
	}
	if (h->pending.size || (h->r && h->message_done)) {
		buf_put_slice(&h->pending, data);
		if (buf_failed(&h->pending))
			h1_stop(c);
		return !c->over;
	}
	n = parse(c, data);
	if (n < data.size && !c->over)
		buf_put(&h->pending, data.data + n, data.size - n);
	if (h->head_ms && c->svc->limits.header_timeout_ms)
		conn_tick_by(c, h->head_ms + c->svc->limits.header_timeout_ms);
	return !c->over;
}

static void parse_pending(struct http_conn *c)
{
	struct h1 *h = c->h1;
	struct buf b = h->pending;

	if (!b.size || c->over)
		return;
	buf_init(&h->pending, PENDING_MAX);
	h1_input(c, buf_slice(&b));
	buf_fini(&b);
}

void h1_answered(struct http_conn *c)
{
	struct h1 *h = c->h1;
	bool go_on = h->keep_alive && !c->draining && !h->raw;

	drop_request(c, HTTP_DONE);
	if (!go_on || c->over) {
		h1_stop(c);
		return;
	}
	h->idle_ms = http_io_now_ms(c->io);
	if (c->svc->limits.idle_timeout_ms)
		conn_tick_by(c, h->idle_ms + c->svc->limits.idle_timeout_ms);
	if (h->message_done) {
		http_parser_pause(&h->parser, 0);
		parse_pending(c);
	}
	conn_changed(c);
}

static void h1_eof(struct http_conn *c)
{
	struct h1 *h = c->h1;

	if (h->raw && h->r && !h->r->ended) {
		if (!h->r->pub.body_ended)
			req_body_end(h->r);
		return;
	}
	h->keep_alive = false;
	if (h->r && h->r->ended && h->message_done)
		return; /* the answer still goes out */
	drop_request(c, HTTP_LOST);
	h1_stop(c);
}

static bool h1_ended(const struct http_conn *c)
{
	const struct h1 *h = c->h1;

	return h->dead || (c->over && !h->r && h->lead.size == 0);
}

static bool h1_read_paused(const struct http_conn *c)
{
	const struct h1 *h = c->h1;

	if (h->pending.size)
		return true;
	return h->r && (h->r->held > c->svc->limits.stream_window_bytes || h->r->reserve_wanted);
}

static void h1_tick(struct http_conn *c, uint64_t now_ms)
{
	const struct http_limits *l = &c->svc->limits;
	struct h1 *h = c->h1;

	if (h->head_ms && l->header_timeout_ms) {
		if (now_ms >= h->head_ms + l->header_timeout_ms) {
			drop_request(c, HTTP_RESET);
			h->head_ms = 0;
			h1_stop(c);
			return;
		}
		conn_tick_by(c, h->head_ms + l->header_timeout_ms);
	}
	if (!h->r && !h->head_ms && l->idle_timeout_ms) {
		if (now_ms >= h->idle_ms + l->idle_timeout_ms)
			h1_stop(c);
		else
			conn_tick_by(c, h->idle_ms + l->idle_timeout_ms);
	}
}

static void h1_drain(struct http_conn *c)
{
	if (!c->h1->r)
		h1_stop(c);
	else
		c->h1->keep_alive = false;
}

static void h1_reset(struct req *r, uint32_t code)
{
	struct http_conn *c = r->pub.conn;

	c->h1->dead = true;
	drop_request(c, HTTP_RESET);
	h1_stop(c);
}

static void h1_consumed(struct req *r, size_t size)
{
	if (h1_read_paused(r->pub.conn))
		return;
	conn_changed(r->pub.conn); /* the glue looks at read_paused */
}

static void h1_window(struct req *r, size_t size)
{
	conn_changed(r->pub.conn);
}

static void h1_free(struct http_conn *c)
{
	struct h1 *h = c->h1;

	drop_request(c, HTTP_LOST);
	out_clear(&c->io->chunks, &h->lead);
	buf_fini(&h->url);
	buf_fini(&h->name);
	buf_fini(&h->value);
	buf_fini(&h->pending);
	buf_fini(&h->head);
	mem_free(h);
}

void h1_start(struct http_conn *c)
{
	const struct http_limits *l = &c->svc->limits;
	struct h1 *h = c->h1 = NEW(struct h1);

	c->ops = &h1_ops;
	http_parser_init(&h->parser, HTTP_REQUEST);
	h->parser.data = c;
	h->idle_ms = c->opened_ms;
	buf_init(&h->url, l->header_bytes_max);
	buf_init(&h->name, l->header_bytes_max);
	buf_init(&h->value, l->header_bytes_max);
	buf_init(&h->pending, PENDING_MAX);
	buf_init(&h->head, 1 << 20);
}

static const struct engine_ops h1_ops = {
    .input = h1_input,
    .eof = h1_eof,
    .output = h1_output,
    .ended = h1_ended,
    .read_paused = h1_read_paused,
    .tick = h1_tick,
    .drain = h1_drain,
    .free = h1_free,
    .respond = h1_respond,
    .kick = h1_kick,
    .reset = h1_reset,
    .consumed = h1_consumed,
    .window = h1_window,
    .upgrade = h1_upgrade,
};
