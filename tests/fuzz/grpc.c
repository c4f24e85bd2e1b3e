/* gRPC heads and messages. Input: a byte for the path, a byte for the kind of headers, a byte for the cut; 0-terminated
 * values for those headers; then the body, sent through nghttp2's client so that the HTTP/2 below is well-formed. */
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "fuzz.h"
#include "grpc/grpc.h"

struct body {
	const uint8_t *data;
	size_t size, step;
};

static void on_message(struct grpc_stream *s, struct blob *take_body)
{
	struct slice body = blob_slice(take_body);
	bool pause = body.size == 3;

	grpc_send(s, &body, 1);
	blob_unref(take_body);
	if (pause) {
		grpc_read_pause(s, true);
		grpc_read_pause(s, false);
	}
	if (!(s->method->flags & GRPC_CLIENT_STREAM))
		grpc_finish(s, GRPC_OK, (struct slice){0});
}

static void on_half_close(struct grpc_stream *s)
{
	grpc_finish(s, GRPC_INTERNAL, SLICE_LIT("50%\n"));
}

static const struct grpc_handler handler = {.on_message = on_message, .on_half_close = on_half_close};

static const struct grpc_method methods[] = {
    {"t.S", "U", 0, &handler},
    {"t.S", "O", GRPC_SERVER_STREAM, &handler},
    {"t.S", "B", GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM, &handler},
};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return grpc_accept(arg, r);
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t size, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct body *b = user;
	size_t n = MIN(MIN(size, b->step), b->size);

	memcpy(buf, b->data, n);
	b->data += n;
	b->size -= n;
	if (b->size == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv nv(const char *name, const char *value, size_t size)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), size, 0};
}

static void exchange(nghttp2_session *s, struct http_conn *c)
{
	uint8_t *out = mem_alloc(HTTP_OUTPUT_MIN);
	const uint8_t *data;
	bool busy = true;
	ssize_t n;

	while (busy) {
		busy = false;
		while ((n = nghttp2_session_mem_send(s, &data)) > 0) {
			http_conn_input(c, slice_of(data, (size_t)n));
			busy = true;
		}
		while ((n = (ssize_t)http_conn_output(c, out, HTTP_OUTPUT_MIN)) > 0) {
			if (nghttp2_session_mem_recv(s, out, (size_t)n) < 0)
				break;
			busy = true;
		}
	}
	mem_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"/t.S/U", "/t.S/O", "/t.S/B", "/t.S/X"};
	static const char *const names[] = {"grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "x-bin",
					    "content-type"};
	static const struct net_peer peer = {"fuzz"};
	static const struct grpc_opts opts = {methods, ARRAY_COUNT(methods), 100000, NULL};
	struct http_service svc = {.http2 = true, .route = route};
	nghttp2_data_provider provider = {.read_callback = read_body};
	nghttp2_session_callbacks *cb;
	nghttp2_session *session;
	struct http_io *io;
	struct http_conn *c;
	struct body b;
	nghttp2_nv h[10];
	size_t n = 0;
	uint8_t kinds;

	if (size < 3)
		return 0;
	h[n++] = nv(":method", "POST", 4);
	h[n++] = nv(":scheme", "http", 4);
	h[n++] = nv(":path", paths[data[0] % 4], 6);
	kinds = data[1];
	b.step = 1 + (size_t)data[2] * data[2];
	if (!(kinds & 16))
		h[n++] = nv("content-type", "application/grpc", 16);
	data += 3;
	size -= 3;
	for (int i = 0; i < 5; i++) {
		const uint8_t *end = kinds & 1 << i ? memchr(data, 0, size) : NULL;

		if (!end)
			continue;
		h[n++] = nv(names[i], (const char *)data, (size_t)(end - data));
		size -= (size_t)(end + 1 - data);
		data = end + 1;
	}
	b.data = data;
	b.size = size;
	io = http_io_new(NULL, NULL);
	http_limits_default(&svc.limits);
	svc.budget = http_budget_new(8 << 20);
	struct grpc_server *server = grpc_server_new(&opts);
	struct grpc_io *gio = grpc_io_new(server, io, NULL, NULL);
	svc.arg = gio;
	c = http_conn_new(io, &svc, &peer, NULL, NULL);
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_client_new(&session, cb, &b);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(session, 0, NULL, 0);
	nghttp2_submit_request(session, NULL, h, n, &provider, NULL);
	exchange(session, c);
	nghttp2_session_del(session);
	http_conn_free(c);
	grpc_io_free(gio);
	grpc_server_free(server);
	http_io_free(io);
	http_budget_free(svc.budget);
	return 0;
}
