#include "fake_server.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "base/endian.h"
#include "base/mem.h"

struct fake_conn {
	struct fake_server *server;
	struct fake_conn *next;
	uv_tcp_t tcp;
	nghttp2_session *h2;
	struct fake_request *requests;
	bool closing;
};

struct fake_server {
	uv_loop_t *loop;
	uv_tcp_t tcp;
	fake_on_message *on_message;
	void *self;
	char address[32];
	unsigned conns;
	struct fake_conn *open;
	char room[64 * 1024];
};

static void flush(struct fake_conn *c);

static ssize_t on_more(nghttp2_session *s, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
		       nghttp2_data_source *src, void *user)
{
	struct fake_request *r = src->ptr;
	size_t n = MIN(room, r->out.size - r->out_sent);
	char digits[8];

	if (n)
		memcpy(out, r->out.data + r->out_sent, n);
	r->out_sent += n;
	if (r->out_sent < r->out.size || !r->ended)
		return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	snprintf(digits, sizeof(digits), "%d", r->status);
	nghttp2_nv nv[] = {
	    {(uint8_t *)"grpc-status", (uint8_t *)digits, 11, strlen(digits), 0},
	    {(uint8_t *)"grpc-message", (uint8_t *)r->text, 12, strlen(r->text), 0},
	};
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nghttp2_submit_trailer(s, id, nv, 2);
	return (ssize_t)n;
}

static void answer(struct fake_request *r)
{
	nghttp2_nv nv[] = {
	    {(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0},
	    {(uint8_t *)"content-type", (uint8_t *)"application/grpc", 12, 16, 0},
	};
	nghttp2_data_provider body = {{.ptr = r}, on_more};

	if (r->answered)
		nghttp2_session_resume_data(r->conn->h2, r->id);
	else
		nghttp2_submit_response(r->conn->h2, r->id, nv, 2, &body);
	r->answered = true;
}

void fake_send(struct fake_request *r, struct slice body)
{
	uint8_t head[5] = {0};

	be32_put(head + 1, (uint32_t)body.size);
	buf_put(&r->out, head, sizeof(head));
	buf_put_slice(&r->out, body);
	answer(r);
}

void fake_end(struct fake_request *r, int status, const char *text)
{
	r->ended = true;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
	answer(r);
}

void fake_reset(struct fake_request *r, uint32_t h2_code)
{
	nghttp2_submit_rst_stream(r->conn->h2, NGHTTP2_FLAG_NONE, r->id, h2_code);
}

static void conn_closed(uv_handle_t *h)
{
	struct fake_conn *c = h->data;

	nghttp2_session_del(c->h2);
	while (c->requests) {
		struct fake_request *r = c->requests;

		c->requests = r->next;
		buf_fini(&r->in);
		buf_fini(&r->out);
		mem_free(r);
	}
	mem_free(c);
}

static void conn_close(struct fake_conn *c)
{
	struct fake_conn **at = &c->server->open;

	if (c->closing)
		return;
	c->closing = true;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	uv_close((uv_handle_t *)&c->tcp, conn_closed);
}

void fake_drop(struct fake_request *r)
{
	conn_close(r->conn);
}

static int on_headers_begin(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct fake_request *r = NEW(struct fake_request);

	r->conn = user;
	r->next = r->conn->requests;
	r->conn->requests = r;
	r->id = f->hd.stream_id;
	buf_init(&r->in, SIZE_MAX / 2);
	buf_init(&r->out, SIZE_MAX / 2);
	nghttp2_session_set_stream_user_data(s, r->id, r);
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t size, uint8_t flags, void *user)
{
	struct fake_request *r = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
	struct slice n = slice_of(name, name_size);

	if (!r)
		return 0;
	if (slice_eq(n, SLICE_LIT(":path")))
		snprintf(r->path, sizeof(r->path), "%.*s", (int)size, value);
	else if (slice_eq(n, SLICE_LIT("token")))
		snprintf(r->token, sizeof(r->token), "%.*s", (int)size, value);
	else if (slice_eq(n, SLICE_LIT("grpc-timeout")))
		snprintf(r->timeout, sizeof(r->timeout), "%.*s", (int)size, value);
	else if (slice_eq(n, SLICE_LIT("hasleader")))
		snprintf(r->leader, sizeof(r->leader), "%.*s", (int)size, value);
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user)
{
	struct fake_conn *c = user;
	struct fake_request *r = nghttp2_session_get_stream_user_data(s, id);

	if (!r)
		return 0;
	buf_put(&r->in, data, size);
	while (r->in.size >= 5 && r->in.size >= 5 + be32_get(r->in.data + 1)) {
		size_t body = be32_get(r->in.data + 1);
		struct slice message = slice_of(r->in.data + 5, body);

		c->server->on_message(c->server->self, r, message);
		buf_drop_front(&r->in, 5 + body);
	}
	return 0;
}

static void flush(struct fake_conn *c)
{
	const uint8_t *data;
	ssize_t n;

	while (!c->closing && (n = nghttp2_session_mem_send(c->h2, &data)) > 0) {
		size_t sent = 0;

		while (sent < (size_t)n) { /* loopback, small: waiting in place is fine */
			uv_buf_t b = uv_buf_init((char *)data + sent, (unsigned)((size_t)n - sent));
			int put = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);

			if (put < 0 && put != UV_EAGAIN) {
				conn_close(c);
				return;
			}
			sent += put > 0 ? (size_t)put : 0;
		}
	}
}

static void on_room(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
	struct fake_conn *c = h->data;

	*out = uv_buf_init(c->server->room, sizeof(c->server->room));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct fake_conn *c = s->data;

	if (n > 0 && nghttp2_session_mem_recv(c->h2, (uint8_t *)b->base, (size_t)n) >= 0)
		flush(c);
	else if (n < 0)
		conn_close(c);
}

static void on_accept(uv_stream_t *l, int status)
{
	struct fake_server *s = l->data;
	struct fake_conn *c = NEW(struct fake_conn);
	nghttp2_session_callbacks *cb;

	c->server = s;
	uv_tcp_init(s->loop, &c->tcp);
	c->tcp.data = c;
	uv_accept(l, (uv_stream_t *)&c->tcp);
	s->conns++;
	c->next = s->open;
	s->open = c;
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_headers_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_server_new(&c->h2, cb, c);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, NULL, 0);
	uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
	flush(c);
}

struct fake_server *fake_server_new(uv_loop_t *loop, fake_on_message *on_message, void *self)
{
	struct fake_server *s = NEW(struct fake_server);
	struct sockaddr_in a;
	int size = sizeof(a);

	s->loop = loop;
	s->on_message = on_message;
	s->self = self;
	uv_tcp_init(loop, &s->tcp);
	s->tcp.data = s;
	uv_ip4_addr("127.0.0.1", 0, &a);
	ASSERT(!uv_tcp_bind(&s->tcp, (struct sockaddr *)&a, 0));
	ASSERT(!uv_listen((uv_stream_t *)&s->tcp, 16, on_accept));
	uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&a, &size);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", __builtin_bswap16(a.sin_port));
	return s;
}

const char *fake_server_address(const struct fake_server *s)
{
	return s->address;
}

unsigned fake_server_conns(const struct fake_server *s)
{
	return s->conns;
}

static void server_closed(uv_handle_t *h)
{
	mem_free(h->data);
}

void fake_server_free(struct fake_server *s)
{
	while (s->open)
		conn_close(s->open);
	uv_close((uv_handle_t *)&s->tcp, server_closed);
}
