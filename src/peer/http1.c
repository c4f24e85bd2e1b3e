/* One HTTP/1.1 connection to another member.
 *
 *	DIALLING ──> SECURING (TLS) ──> OPEN <──> request ... response
 *	    └───────────┴────────────────┴──> ENDED: on_end was called with an error, http1_close is due
 *
 *   K1  a request is under way iff events != NULL
 *   K2  out is what the stream has not been given; it is given when the stream kept nothing back
 *   K3  callbacks may close: each run of them is inside enter/leave, and only leave frees */
#include <ctype.h>
#include <http_parser.h>
#include <stdio.h>

#include "peer/http1.h"

#define HEADER_BYTES_MAX (64 * 1024)
#define OUT_BYTES_MAX (1u << 30)

enum state { DIALLING, SECURING, OPEN, ENDED };

struct http1_conn {
	struct http1_client client;
	struct http1_url url;
	enum state state;
	struct net_dial *dial;
	struct net_stream *stream;
	struct buf out;
	const struct http1_events *events;
	void *owner;
	void (*idle_closed)(void *arg);
	void *idle_arg;
	struct net_task late;           /* failures that http1_open and http1_request find */
	char why[400];
	err_t late_err;
	http_parser parser;
	struct buf headers;             /* "name\0value\0" each */
	bool in_value;
	bool head_answer_done;
	bool keep_alive;
	bool got_end;                   /* the response is complete */
	bool read_on;
	unsigned depth;                 /* K3 */
	bool closed;
};

/* --- urls --- */

static bool copy_text(char *out, size_t room, struct slice s)
{
	if (s.size == 0 || s.size >= room)
		return false;
	memcpy(out, s.data, s.size);
	out[s.size] = 0;
	return true;
}

static bool split_scheme(struct slice text, struct http1_url *u, struct slice *rest)
{
	static const struct {
		const char *prefix;
		bool is_tls, is_unix;
	} schemes[] = {{"http://", false, false}, {"https://", true, false}, {"unix://", false, true}, {"unixs://", true, true}};

	for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
		struct slice p = slice_str(schemes[i].prefix);

		if (!slice_has_prefix(text, p))
			continue;
		u->is_tls = schemes[i].is_tls;
		u->is_unix = schemes[i].is_unix;
		*rest = slice_of(text.data + p.size, text.size - p.size);
		return true;
	}
	return false;
}

/* host without port and brackets; false without a port. */
static bool split_host(struct slice address, struct http1_url *u)
{
	const uint8_t *colon = memrchr(address.data, ':', address.size);
	struct slice host;

	if (!colon || colon == address.data + address.size - 1)
		return false;
	host = slice_of(address.data, (size_t)(colon - address.data));
	if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
		host = slice_of(host.data + 1, host.size - 2);
	return copy_text(u->host, sizeof(u->host), host);
}

bool http1_url_parse(struct slice text, struct http1_url *out)
{
	struct http1_url u = {0};
	struct slice rest;
	const uint8_t *slash;

	if (!split_scheme(text, &u, &rest))
		return false;
	for (size_t i = 0; i < rest.size; i++)
		if (rest.data[i] <= ' ' || rest.data[i] == 0x7f)        /* would end a header line */
			return false;
	slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
	if (!u.is_unix && slash)
		rest.size = (size_t)(slash - rest.data);
	if (!copy_text(u.address, sizeof(u.address), rest))
		return false;
	if (u.is_unix)
		copy_text(u.host, sizeof(u.host), SLICE_LIT("localhost"));
	else if (!split_host(rest, &u))
		return false;
	*out = u;
	return true;
}

/* --- life --- */

static void enter(struct http1_conn *c)
{
	c->depth++;
}

static void leave(struct http1_conn *c)
{
	ASSERT(c->depth > 0);
	if (--c->depth || !c->closed)
		return;
	buf_fini(&c->out);
	buf_fini(&c->headers);
	mem_free(c);
}

/* Ends the request, or tells the idle owner. */
static void end(struct http1_conn *c, err_t err, const char *why)
{
	const struct http1_events *events = c->events;
	void (*idle_closed)(void *arg) = c->idle_closed;

	c->events = NULL;                                                               /* K1 */
	c->idle_closed = NULL;
	if (err)
		c->state = ENDED;
	enter(c);
	if (events)
		events->on_end(c->owner, err, why);
	else if (idle_closed)
		idle_closed(c->idle_arg);
	leave(c);
}

static void end_late(struct net_task *t)
{
	struct http1_conn *c = CONTAINER_OF(t, struct http1_conn, late);

	end(c, c->late_err, c->why);
}

static void fail_later(struct http1_conn *c, err_t err, const char *why)
{
	if (c->state != ENDED || !c->late_err) {
		c->late_err = err;
		snprintf(c->why, sizeof(c->why), "%s", why);
	}
	c->state = ENDED;
	net_task_add(c->client.loop, &c->late);
}

static void flush(struct http1_conn *c)
{
	struct iovec iov = {c->out.data, c->out.size};

	if (c->state != OPEN || c->out.size == 0 || net_stream_unsent(c->stream))
		return;                                                                 /* K2 */
	net_stream_write(c->stream, &iov, 1);
	buf_clear(&c->out);
}

/* --- responses --- */

static struct http1_conn *conn_of(http_parser *p)
{
	return p->data;
}

static int on_begin(http_parser *p)
{
	struct http1_conn *c = conn_of(p);

	buf_clear(&c->headers);
	c->in_value = c->head_answer_done = c->got_end = false;
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t size)
{
	struct http1_conn *c = conn_of(p);

	if (c->head_answer_done)
		return 0;       /* trailers */
	if (c->in_value)
		buf_put_byte(&c->headers, 0);
	c->in_value = false;
	for (size_t i = 0; i < size; i++)
		buf_put_byte(&c->headers, (uint8_t)tolower((unsigned char)at[i]));
	return buf_failed(&c->headers) ? -1 : 0;
}

static int on_value(http_parser *p, const char *at, size_t size)
{
	struct http1_conn *c = conn_of(p);

	if (c->head_answer_done)
		return 0;
	if (!c->in_value)
		buf_put_byte(&c->headers, 0);
	c->in_value = true;
	buf_put(&c->headers, at, size);
	return buf_failed(&c->headers) ? -1 : 0;
}

static int on_headers(http_parser *p)
{
	struct http1_conn *c = conn_of(p);

	if (p->status_code < 200 && p->status_code != 101)
		return 0;       /* interim: another head follows */
	c->head_answer_done = true;
	buf_put_byte(&c->headers, 0);
	c->keep_alive = http_should_keep_alive(p);
	c->events->on_response(c->owner, p->status_code);
	return c->closed || !c->events ? -1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t size)
{
	struct http1_conn *c = conn_of(p);

	c->events->on_body(c->owner, slice_of(at, size));
	return c->closed || !c->events ? -1 : 0;
}

static int on_complete(http_parser *p)
{
	struct http1_conn *c = conn_of(p);

	if (!c->head_answer_done)
		return 0;
	c->got_end = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

bool http1_header(const struct http1_conn *c, const char *name, struct slice *value)
{
	const char *at = (const char *)c->headers.data, *stop = at + c->headers.size;

	while (at < stop) {
		const char *v = at + strlen(at) + 1;

		if (v >= stop)
			break;
		if (strcmp(at, name) == 0) {
			*value = slice_str(v);
			return true;
		}
		at = v + strlen(v) + 1;
	}
	return false;
}

/* --- the stream's events --- */

static void response_done(struct http1_conn *c)
{
	http_parser_pause(&c->parser, 0);
	end(c, OK, "");
}

static void on_read(void *owner, struct slice data)
{
	struct http1_conn *c = owner;
	size_t n;

	if (!c->events) {               /* an answer that nobody asked for */
		end(c, ERR_MALFORMED, "unsolicited response");
		return;
	}
	enter(c);
	n = http_parser_execute(&c->parser, &settings, (const char *)data.data, data.size);
	if (!c->closed && c->events) {
		if (c->got_end) {
			c->keep_alive &= n == data.size;
			response_done(c);
		} else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK || c->parser.upgrade) {
			end(c, ERR_MALFORMED, "malformed HTTP response");
		}
	}
	leave(c);
}

static void on_eof(void *owner)
{
	struct http1_conn *c = owner;

	enter(c);
	c->keep_alive = false;
	if (c->events && c->head_answer_done)
		http_parser_execute(&c->parser, &settings, NULL, 0);
	if (!c->closed && c->events && c->got_end)
		response_done(c);
	else if (!c->closed)
		end(c, ERR_IO, c->head_answer_done ? "unexpected EOF" : "EOF");
	leave(c);
}

static void on_writable(void *owner)
{
	struct http1_conn *c = owner;

	enter(c);
	flush(c);
	if (c->events && c->events->on_writable && http1_unsent(c) == 0)
		c->events->on_writable(c->owner);
	leave(c);
}

static void on_failed(void *owner, err_t err)
{
	end(owner, err, "connection lost");
}

static const struct net_events stream_events = {on_read, on_eof, on_writable, on_failed};

static void opened(struct http1_conn *c, struct net_stream *s)
{
	c->stream = s;
	c->state = OPEN;
	net_stream_set_owner(s, &stream_events, c);
	net_stream_read_enable(s, c->read_on);
	flush(c);
	if (c->events && c->events->on_writable && http1_unsent(c) == 0)
		c->events->on_writable(c->owner);
}

static void secured(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct http1_conn *c = arg;

	enter(c);
	if (c->closed && take_s)
		net_stream_close(take_s, false);
	else if (!c->closed && err)
		end(c, err, why);
	else if (!c->closed)
		opened(c, take_s);
	leave(c);
	leave(c);               /* of dialled() */
}

static void dialled(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct http1_conn *c = arg;

	c->dial = NULL;
	if (err) {
		end(c, err, why);
		return;
	}
	if (!c->url.is_tls) {
		enter(c);
		opened(c, take_s);
		leave(c);
		return;
	}
	c->state = SECURING;
	enter(c);               /* until secured: the handshake cannot be called off */
	c->client.secure(c->client.secure_arg, take_s, c->url.host, secured, c);
}

/* --- calls --- */

struct http1_conn *http1_open(const struct http1_client *client, const struct http1_url *url)
{
	struct http1_conn *c = NEW(struct http1_conn);

	c->client = *client;
	c->url = *url;
	c->read_on = true;
	buf_init(&c->out, OUT_BYTES_MAX);
	buf_init(&c->headers, HEADER_BYTES_MAX);
	net_task_init(&c->late, end_late);
	http_parser_init(&c->parser, HTTP_RESPONSE);
	c->parser.data = c;
	if (url->is_tls && !client->secure)
		fail_later(c, ERR_UNSUPPORTED, "no TLS configured for peers");
	else
		c->dial = net_dial(client->loop, url->is_unix ? "unix" : "tcp", url->address, client->dial_ms, dialled, c);
	if (c->dial && client->local_ip && !url->is_unix)
		net_dial_from(c->dial, client->local_ip);
	return c;
}

void http1_request(struct http1_conn *c, const struct http1_request *r, const struct http1_events *events, void *owner)
{
	ASSERT(!c->events);                                                             /* K1 */
	c->events = events;
	c->owner = owner;
	c->idle_closed = NULL;
	c->head_answer_done = c->got_end = false;
	if (c->state == ENDED) {
		fail_later(c, ERR_IO, "connection lost");
		return;
	}
	buf_printf(&c->out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method, r->path, c->url.is_unix ? c->url.host : c->url.address);
	buf_put_slice(&c->out, r->headers);
	if (r->is_chunked)
		buf_printf(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
	else if (r->body.size || strcmp(r->method, "GET") != 0)
		buf_printf(&c->out, "Content-Length: %zu\r\n\r\n", r->body.size);
	else
		buf_printf(&c->out, "\r\n");
	buf_put_slice(&c->out, r->body);
	flush(c);
}

void http1_send(struct http1_conn *c, struct slice data)
{
	if (data.size == 0)
		return;
	buf_printf(&c->out, "%zx\r\n", data.size);
	buf_put_slice(&c->out, data);
	buf_put(&c->out, "\r\n", 2);
	flush(c);
}

void http1_finish(struct http1_conn *c)
{
	buf_put(&c->out, "0\r\n\r\n", 5);
	flush(c);
}

size_t http1_unsent(const struct http1_conn *c)
{
	return c->out.size + (c->stream ? net_stream_unsent(c->stream) : 0);
}

bool http1_reusable(const struct http1_conn *c)
{
	return c->state == OPEN && c->keep_alive && !c->events;
}

void http1_idle(struct http1_conn *c, void (*closed)(void *arg), void *arg)
{
	ASSERT(!c->events);
	c->idle_closed = closed;
	c->idle_arg = arg;
}

void http1_read_enable(struct http1_conn *c, bool on)
{
	c->read_on = on;
	if (c->state == OPEN)
		net_stream_read_enable(c->stream, on);
}

const struct net_peer *http1_peer(const struct http1_conn *c)
{
	return c->stream ? &c->stream->peer : NULL;
}

void http1_close(struct http1_conn *c)
{
	if (!c)
		return;
	ASSERT(!c->closed);
	enter(c);
	c->closed = true;
	c->events = NULL;
	c->idle_closed = NULL;
	net_task_cancel(&c->late);
	if (c->dial)
		net_dial_cancel(c->dial);
	if (c->stream)
		net_stream_close(c->stream, false);
	c->stream = NULL;
	c->dial = NULL;
	leave(c);
}
