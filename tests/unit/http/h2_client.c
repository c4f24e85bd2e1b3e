#include "h2_client.h"

struct h2_stream *h2_client_stream(struct h2_client *k, int32_t id)
{
	assert_true(id > 0 && id / 2 < H2_STREAMS);
	return &k->streams[id / 2];
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct h2_stream *st = h2_client_stream(user, f->hd.stream_id);

	if (name_size == 7 && memcmp(name, ":status", 7) == 0)
		snprintf(st->status, sizeof(st->status), "%.*s", (int)value_size, value);
	buf_printf(&st->headers, "%.*s: %.*s\n", (int)name_size, name, (int)value_size, value);
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct h2_client *k = user;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		buf_printf(&h2_client_stream(k, f->hd.stream_id)->headers, "--\n");
		break;
	case NGHTTP2_GOAWAY:
		k->goaway = true;
		k->goaway_code = f->goaway.error_code;
		k->goaway_last = f->goaway.last_stream_id;
		snprintf(k->goaway_debug, sizeof(k->goaway_debug), "%.*s", (int)f->goaway.opaque_data_len,
			 f->goaway.opaque_data);
		break;
	case NGHTTP2_PING:
		if (f->hd.flags & NGHTTP2_FLAG_ACK)
			k->ping_acks++;
		else
			k->pings++;
		break;
	case NGHTTP2_SETTINGS:
		k->settings++;
		break;
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user)
{
	buf_put(&h2_client_stream(user, id)->body, data, size);
	return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user)
{
	struct h2_stream *st = h2_client_stream(user, id);

	st->closed = true;
	st->error = code;
	return 0;
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t size, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct h2_stream *st = h2_client_stream(user, id);
	size_t n = MIN(size, st->out.size);

	if (n)
		memcpy(buf, st->out.data, n);
	buf_drop_front(&st->out, n);
	if (st->out.size == 0 && st->out_end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (n == 0) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

void h2_client_init(struct h2_client *k, struct http_conn *conn, bool auto_window)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;

	memset(k, 0, sizeof(*k));
	k->conn = conn;
	for (int i = 0; i < H2_STREAMS; i++) {
		buf_init(&k->streams[i].headers, 1 << 20);
		buf_init(&k->streams[i].body, 64 << 20);
		buf_init(&k->streams[i].out, 64 << 20);
	}
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_option_new(&option);
	nghttp2_option_set_no_auto_window_update(option, !auto_window);
	nghttp2_session_client_new2(&k->session, cb, k, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(k->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

void h2_client_fini(struct h2_client *k)
{
	nghttp2_session_del(k->session);
	for (int i = 0; i < H2_STREAMS; i++) {
		buf_fini(&k->streams[i].headers);
		buf_fini(&k->streams[i].body);
		buf_fini(&k->streams[i].out);
	}
}

int32_t h2_client_request(struct h2_client *k, const nghttp2_nv *nv, size_t count, struct slice body, bool end)
{
	nghttp2_data_provider p = {.read_callback = read_body};
	bool has_body = body.size || !end;
	int32_t id = nghttp2_submit_request(k->session, NULL, nv, count, has_body ? &p : NULL, NULL);
	struct h2_stream *st = h2_client_stream(k, id);

	buf_put_slice(&st->out, body);
	st->out_end = end;
	return id;
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

int32_t h2_client_post(struct h2_client *k, const char *path, const char *const *extra, struct slice body, bool end)
{
	nghttp2_nv nv[64] = {
	    nv_of(":method", "POST"),
	    nv_of(":scheme", "http"),
	    nv_of(":path", path),
	    nv_of(":authority", "test"),
	    nv_of("content-type", "application/grpc"),
	    nv_of("te", "trailers"),
	};
	size_t n = 6;

	for (; extra && extra[0]; extra += 2) {
		if (strcmp(extra[0], "content-type") == 0)
			nv[4] = nv_of(extra[0], extra[1]);
		else if (strcmp(extra[0], ":method") == 0)
			nv[0] = nv_of(extra[0], extra[1]);
		else
			nv[n++] = nv_of(extra[0], extra[1]);
	}
	return h2_client_request(k, nv, n, body, end);
}

void h2_client_send(struct h2_client *k, int32_t id, struct slice body, bool end)
{
	struct h2_stream *st = h2_client_stream(k, id);

	buf_put_slice(&st->out, body);
	st->out_end = end;
	if (st->deferred) {
		st->deferred = false;
		nghttp2_session_resume_data(k->session, id);
	}
}

void h2_client_push(struct h2_client *k)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(k->session, &data)) > 0)
		http_conn_input(k->conn, slice_of(data, (size_t)n));
	assert_true(n == 0);
}

bool h2_client_turn(struct h2_client *k)
{
	uint8_t *buf = mem_alloc(HTTP_OUTPUT_MIN);

	for (int quiet = 0; quiet < 2;) {
		size_t n = 0;

		h2_client_push(k);
		if (!k->hold)
			n = http_conn_output(k->conn, buf, HTTP_OUTPUT_MIN);
		k->server_bytes += n;
		if (n)
			assert_int_equal(nghttp2_session_mem_recv(k->session, buf, n), n);
		quiet = n ? 0 : quiet + 1;
	}
	mem_free(buf);
	return !http_conn_ended(k->conn);
}

bool h2_has(struct h2_client *k, int32_t id, const char *text)
{
	struct buf *b = &h2_client_stream(k, id)->headers;

	return b->size && memmem(b->data, b->size, text, strlen(text)) != NULL;
}
