/* One socket: connecting, TLS over memory BIOs, HTTP/2 bytes in and out.
 *
 *	read:  socket -> [from_net -> SSL_read] -> nghttp2_session_mem_recv
 *	write: nghttp2_session_mem_send -> [SSL_write -> to_net] -> out -> uv_try_write, the rest by uv_write
 *
 * nghttp2 must not be entered from its own callbacks, and what they call may want to send or to close: while `busy`
 * these wishes wait (link_leave). A link is freed when libuv has closed its handle. */
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "client/client_impl.h"

static void on_closed(uv_handle_t *h)
{
	struct link *l = h->data;

	if (l->h2)
		nghttp2_session_del(l->h2);
	if (l->ssl)
		SSL_free(l->ssl);
	buf_fini(&l->out);
	mem_free(l);
}

/* All calls on it hear that it is gone. */
static void orphan_calls(struct link *l)
{
	struct client *c = l->client;

	LIST_EACH_SAFE (it, &c->calls) {
		struct client_call *call = CONTAINER_OF(it, struct client_call, node);

		if (call->link == l)
			call_closed(call, NGHTTP2_NO_ERROR, l->why);
	}
}

void link_close(struct link *l)
{
	if (!l->conn)
		return;
	l->conn->link = NULL;
	l->conn = NULL;
	uv_close(&l->handle, on_closed);
}

static void give_up(struct link *l)
{
	struct conn *c = l->conn;

	if (!c)
		return;
	link_close(l);
	conn_lost(c, l->why);
	orphan_calls(l);
}

static void link_leave(struct link *l)
{
	l->busy = false;
	if (l->lost)
		give_up(l);
	else
		link_flush(l);
}

void link_fail(struct link *l, const char *fmt, ...)
{
	va_list ap;

	if (l->lost || !l->conn)
		return;
	va_start(ap, fmt);
	vsnprintf(l->why, sizeof(l->why), fmt, ap);
	va_end(ap);
	l->lost = true;
	if (!l->busy)
		give_up(l);
}

/* --- out --- */

static void on_written(uv_write_t *w, int status)
{
	struct link *l = w->data;

	l->writing = false;
	buf_clear(&l->out);
	if (!l->conn)
		return;
	if (status)
		link_fail(l, "error writing to server: %s", uv_strerror(status));
	else
		link_flush(l);
}

static void put_tls(struct link *l, const uint8_t *data, size_t size)
{
	while (size) {
		int n = SSL_write(l->ssl, data, (int)MIN(size, (size_t)INT32_MAX));

		if (n <= 0) {
			link_fail(l, "tls: cannot write");
			return;
		}
		data += n;
		size -= (size_t)n;
	}
}

static void drain_tls(struct link *l)
{
	size_t pending;

	while ((pending = BIO_ctrl_pending(l->to_net))) {
		uint8_t *at = buf_add(&l->out, pending);
		int n = at ? BIO_read(l->to_net, at, (int)pending) : 0;

		ASSERT(n == (int)pending);
	}
}

/* Takes bytes from HTTP/2 until there are none or enough are waiting. */
static void gather(struct link *l)
{
	const uint8_t *data;

	while (l->h2 && l->out.size < CLIENT_OUT_ROOM && !l->lost) {
		ssize_t n = nghttp2_session_mem_send(l->h2, &data);

		if (n < 0)
			link_fail(l, "http2: %s", nghttp2_strerror((int)n));
		if (n <= 0)
			break;
		if (l->ssl)
			put_tls(l, data, (size_t)n);
		else
			buf_put(&l->out, data, (size_t)n);
	}
	if (l->ssl)
		drain_tls(l);
}

/* What the socket does not take at once goes by uv_write; false: the rest is on its way. */
static bool push(struct link *l)
{
	uv_buf_t b = uv_buf_init((char *)l->out.data, (unsigned)l->out.size);
	int n = uv_try_write(&l->stream, &b, 1);

	if (n < 0 && n != UV_EAGAIN) {
		link_fail(l, "error writing to server: %s", uv_strerror(n));
		return false;
	}
	if (n > 0)
		buf_drop_front(&l->out, (size_t)n);
	if (!l->out.size)
		return true;
	b = uv_buf_init((char *)l->out.data, (unsigned)l->out.size);
	l->writing = true;
	l->write.data = l;
	if (uv_write(&l->write, &l->stream, &b, 1, on_written)) {
		l->writing = false;
		link_fail(l, "error writing to server: connection closed");
	}
	return false;
}

void link_flush(struct link *l)
{
	if (l->busy || !l->conn)
		return;
	l->busy = true;
	while (!l->writing && !l->lost) {
		gather(l);
		if (!l->out.size || l->lost || !push(l))
			break;
	}
	l->busy = false;
	if (l->lost)
		give_up(l);
}

/* --- in --- */

static void feed(struct link *l, const uint8_t *data, size_t size)
{
	ssize_t n = nghttp2_session_mem_recv(l->h2, data, size);

	if (n < 0)
		link_fail(l, "http2: %s", nghttp2_strerror((int)n));
}

static void start_http2(struct link *l)
{
	l->h2 = h2_new(l);
	l->heard_ms = uv_now(l->client->loop);
}

static void tls_trouble(struct link *l)
{
	long verify = SSL_get_verify_result(l->ssl);
	unsigned long e = ERR_get_error();

	if (verify != X509_V_OK)
		link_fail(l, "authentication handshake failed: tls: failed to verify certificate: x509: %s",
			  X509_verify_cert_error_string(verify));
	else
		link_fail(l, "authentication handshake failed: %s", e ? ERR_reason_error_string(e) : "EOF");
	ERR_clear_error();
}

static void pump_tls(struct link *l)
{
	uint8_t plain[16 * 1024];
	int n;

	if (!l->handshaken) {
		n = SSL_do_handshake(l->ssl);
		if (n != 1 && SSL_get_error(l->ssl, n) != SSL_ERROR_WANT_READ)
			tls_trouble(l);
		if (n != 1)
			return;
		l->handshaken = true;
		start_http2(l);
	}
	while (!l->lost && (n = SSL_read(l->ssl, plain, sizeof(plain))) > 0)
		feed(l, plain, (size_t)n);
	if (l->lost)
		return;
	n = SSL_get_error(l->ssl, n);
	if (n == SSL_ERROR_ZERO_RETURN)
		link_fail(l, "error reading from server: EOF");
	else if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
		tls_trouble(l);
}

static void on_room(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
	struct link *l = h->data;

	*out = uv_buf_init((char *)l->client->read_room, CLIENT_READ_SIZE);
}

static void on_read(uv_stream_t *s, ssize_t size, const uv_buf_t *b)
{
	struct link *l = s->data;

	if (!size || !l->conn)
		return;
	l->busy = true;
	if (size < 0) {
		link_fail(l, "error reading from server: %s", size == UV_EOF ? "EOF" : uv_strerror((int)size));
	} else {
		l->heard_ms = uv_now(l->client->loop);
		if (l->ssl) {
			BIO_write(l->from_net, b->base, (int)size);
			pump_tls(l);
		} else {
			feed(l, (const uint8_t *)b->base, (size_t)size);
		}
	}
	link_leave(l);
}

/* --- connecting --- */

static void on_connected(uv_connect_t *req, int status)
{
	struct link *l = req->data;
	struct endpoint *e;
	char text[TEXT_ERRNO_SIZE];

	if (!l->conn)
		return;
	e = &l->conn->ep;
	if (status) {
		link_fail(l, "dial %s %s: connect: %s", e->is_unix ? "unix" : "tcp",
			  e->is_unix ? e->host : e->authority, text_errno(text, -status));
		return;
	}
	if (!e->is_unix)
		uv_tcp_nodelay(&l->tcp, 1);
	uv_read_start(&l->stream, on_room, on_read);
	l->busy = true;
	if (e->is_tls) {
		l->ssl =
		    client_tls_session(l->client->tls, e, SSL_CTX_get_verify_mode(l->client->tls) == SSL_VERIFY_NONE);
		l->from_net = BIO_new(BIO_s_mem());
		l->to_net = BIO_new(BIO_s_mem());
		SSL_set_bio(l->ssl, l->from_net, l->to_net);
		pump_tls(l);
	} else {
		start_http2(l);
	}
	link_leave(l);
}

struct link *link_open(struct conn *c, const struct sockaddr *a)
{
	struct link *l = NEW(struct link);
	int failed = 0;

	l->conn = c;
	l->client = c->client;
	buf_init(&l->out, SIZE_MAX / 2);
	if (a)
		uv_tcp_init(c->client->loop, &l->tcp);
	else
		uv_pipe_init(c->client->loop, &l->pipe, 0);
	l->handle.data = l;
	l->connect.data = l;
	if (a)
		failed = uv_tcp_connect(&l->connect, &l->tcp, a, on_connected);
	else
		uv_pipe_connect(&l->connect, &l->pipe, c->ep.host, on_connected);
	if (failed) {
		char text[TEXT_ERRNO_SIZE];

		/* The caller has not stored the link yet: its time ends with the dial. */
		snprintf(l->why, sizeof(l->why), "dial tcp %s: connect: %s", c->ep.authority,
			 text_errno(text, -failed));
		c->dial_end_ms = uv_now(c->client->loop);
		client_wake(c->client, c->dial_end_ms);
	}
	return l;
}

/* --- time --- */

uint64_t link_tick(struct link *l, uint64_t now_ms)
{
	struct client *c = l->client;

	if (l->ping_end_ms) {
		if (l->heard_ms + c->keepalive_timeout_ms >= l->ping_end_ms)
			l->ping_end_ms = 0;
		else if (now_ms >= l->ping_end_ms)
			link_fail(l, "keepalive ping failed to receive ACK within timeout");
		else
			return l->ping_end_ms;
	}
	if (l->lost || !c->keepalive_time_ms || (!l->open_calls && !c->keepalive_idle))
		return UINT64_MAX;
	if (now_ms < l->heard_ms + c->keepalive_time_ms)
		return l->heard_ms + c->keepalive_time_ms;
	l->ping_end_ms = now_ms + c->keepalive_timeout_ms;
	nghttp2_submit_ping(l->h2, NGHTTP2_FLAG_NONE, NULL);
	link_flush(l);
	return now_ms + c->keepalive_timeout_ms;
}
