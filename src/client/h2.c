/* HTTP/2 of one link: a call is a stream. What the callbacks find out is stored in the call; call.c decides. */
#include <stdio.h>

#include "client/client_impl.h"

static struct client_call *call_of(nghttp2_session *s, int32_t id)
{
	return nghttp2_session_get_stream_user_data(s, id);
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct client_call *call = call_of(s, frame->hd.stream_id);
	struct slice n = slice_of(name, name_size), v = slice_of(value, value_size);
	char digits[8];

	if (!call)
		return 0;
	snprintf(digits, sizeof(digits), "%.*s", (int)MIN(v.size, sizeof(digits) - 1), (const char *)v.data);
	if (slice_eq(n, SLICE_LIT(":status"))) {
		call->http_status = (unsigned)strtoul(digits, NULL, 10);
	} else if (slice_eq(n, SLICE_LIT("content-type"))) {
		call->is_grpc = slice_has_prefix(v, SLICE_LIT("application/grpc"));
	} else if (slice_eq(n, SLICE_LIT("grpc-status"))) {
		call->has_status = true;
		call->status.code = (enum grpc_status)strtoul(digits, NULL, 10);
		call->status.is_local = false;
	} else if (slice_eq(n, SLICE_LIT("grpc-message"))) {
		status_text_decode(&call->status, v);
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user)
{
	struct client_call *call = call_of(s, id);

	nghttp2_session_consume_connection(s, size);
	if (!call) {
		nghttp2_session_consume_stream(s, id, size);
		return 0;
	}
	call->unread += size;
	call_data(call, slice_of(data, size));
	/* The call may be gone by now. */
	call = call_of(s, id);
	if (call)
		h2_consume(call);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *user)
{
	struct client_call *call = call_of(s, id);

	if (!call)
		return 0;
	nghttp2_session_set_stream_user_data(s, id, NULL);
	call_closed(call, code, "");
	return 0;
}

/* The server has said its last word while our side is still open: nothing that we could send would be read. */
static void end_early(nghttp2_session *s, struct client_call *call)
{
	int32_t id = call->stream_id;

	nghttp2_session_set_stream_user_data(s, id, NULL);
	nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
	call_closed(call, NGHTTP2_NO_ERROR, "");
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	struct link *l = user;
	bool is_body = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
	struct client_call *call =
	    is_body && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ? call_of(s, frame->hd.stream_id) : NULL;

	if (call && !nghttp2_session_get_stream_local_close(s, call->stream_id)) {
		end_early(s, call);
		return 0;
	}

	/* A peer that says nothing first is no HTTP/2 server: only now calls may come. */
	if (frame->hd.type == NGHTTP2_SETTINGS && l->conn && l->conn->state == CONN_DIALING)
		conn_ready(l->conn);
	/* The server goes away: what is open may end, new calls go elsewhere. */
	if (frame->hd.type == NGHTTP2_GOAWAY && l->conn && !l->open_calls)
		link_fail(l, "connection closed by the server");
	return 0;
}

nghttp2_session *h2_new(struct link *l)
{
	static const nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CLIENT_STREAM_WINDOW},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 64 * 1024},
	};
	nghttp2_session_callbacks *cb;
	nghttp2_option *o;
	nghttp2_session *s = NULL;

	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_option_new(&o);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_session_client_new2(&s, cb, l, o);
	ASSERT(s);
	nghttp2_option_del(o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings));
	nghttp2_session_set_local_window_size(s, NGHTTP2_FLAG_NONE, 0, CLIENT_CONN_WINDOW);
	return s;
}

static ssize_t on_more(nghttp2_session *s, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
		       nghttp2_data_source *source, void *user)
{
	struct client_call *call = source->ptr;
	size_t size = MIN(room, call->request.size - call->request_sent);

	if (size)
		memcpy(out, call->request.data + call->request_sent, size);
	call->request_sent += size;
	if (call->method->stream == RPC_BIDI && call->request_sent == call->request.size) {
		buf_clear(&call->request);
		call->request_sent = 0;
	}
	if (call->request_sent == call->request.size && call->half_closed)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (!size)
		return NGHTTP2_ERR_DEFERRED;
	return (ssize_t)size;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* Largest unit that keeps it within eight digits, rounded up, as the protocol wants. */
static void print_timeout(char *out, size_t size, uint64_t ms)
{
	if (ms < 100000000)
		snprintf(out, size, "%llum", (unsigned long long)MAX(ms, (uint64_t)1));
	else
		snprintf(out, size, "%lluS", (unsigned long long)MIN(ms / 1000 + 1, (uint64_t)99999999));
}

void h2_submit(struct link *l, struct client_call *call)
{
	nghttp2_nv nv[12];
	nghttp2_data_provider body = {{.ptr = call}, on_more};
	size_t n = 0;
	char timeout[16];
	uint64_t now = uv_now(l->client->loop);

	nv[n++] = header(":method", "POST");
	nv[n++] = header(":scheme", l->conn->ep.is_tls ? "https" : "http");
	nv[n] = header(":path", "");
	nv[n].value = (uint8_t *)call->method->path.data;
	nv[n++].valuelen = call->method->path.size;
	nv[n++] = header(":authority", l->conn->ep.authority);
	nv[n++] = header("content-type", "application/grpc");
	nv[n++] = header("user-agent", "cetcd/3.7.1");
	nv[n++] = header("te", "trailers");
	if (call->rpc != RPC__COUNT)
		nv[n++] = header("client-api-version", "3.7");
	if (call->deadline_ms != UINT64_MAX) {
		print_timeout(timeout, sizeof(timeout), call->deadline_ms > now ? call->deadline_ms - now : 1);
		nv[n++] = header("grpc-timeout", timeout);
	}
	if (call->require_leader)
		nv[n++] = header("hasleader", "true");
	if (call->token)
		nv[n++] = header("token", call->token);
	else if (l->client->token && call->rpc != RPC_AUTHENTICATE)
		nv[n++] = header("token", l->client->token);
	call->stream_id = nghttp2_submit_request(l->h2, NULL, nv, n, &body, call);
	if (call->stream_id < 0) {
		call->link = NULL;
		call->stream_id = 0;
		call_wait(call);
		link_fail(l, "no more streams on this connection");
		return;
	}
	call->link = l;
	l->open_calls++;
	client_wake(l->client, now + l->client->keepalive_time_ms);
	link_flush(l);
}

void h2_cancel(struct client_call *call)
{
	struct link *l = call->link;

	if (!l)
		return;
	call->link = NULL;
	l->open_calls--;
	nghttp2_session_set_stream_user_data(l->h2, call->stream_id, NULL);
	nghttp2_submit_rst_stream(l->h2, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
	/* The provider would read from a call that is gone: the reset goes out before that. */
	link_flush(l);
}

void h2_resume(struct client_call *call)
{
	if (!call->link)
		return;
	nghttp2_session_resume_data(call->link->h2, call->stream_id);
	link_flush(call->link);
}

void h2_consume(struct client_call *call)
{
	if (call->paused || !call->unread || !call->link)
		return;
	nghttp2_session_consume_stream(call->link->h2, call->stream_id, call->unread);
	call->unread = 0;
	link_flush(call->link);
}
