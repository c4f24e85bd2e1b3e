/* The JSON gateway: /v3/… and /v3beta/…, one JSON object in, one out; streams as objects in a row and lines. Rules: spec
 * semantics.md section 8, errors.tsv (gateway rows).
 *
 *	body -> json_scan finds the values -> json_parse -> api_message;  answers -> json_emit -> body
 *
 * The caller's certificate is never an identity here. */
#include <stdio.h>

#include "api/web_impl.h"
#include "grpc/grpc.h"
#include "http/ws.h"
#include "pb/json.h"

/* JSON of a message of the greatest size: base64 and escapes make it longer. */
enum { GATEWAY_JSON_FACTOR = 2, GATEWAY_JSON_MAX = 0x7fffffff };

struct gateway_req {
	struct web_req *web;            /* listener, io, http */
	const struct rpc_method *method;
	struct api_rpc *rpc;
	struct buf in;                  /* the value being read */
	struct json_scan scan;
	bool begun;                     /* the first message went to the API */
	bool head_sent;                 /* of a stream */
	bool ended;                     /* the answer is whole */
	bool body_ended;
	bool said_all;                  /* half_close() */
	struct buf message;             /* a large message that comes in parts */
	size_t message_size;
	bool is_ws;                     /* a WebSocket: messages in, lines out, each a frame */
	struct ws_reader ws;
	struct net_timer deadline;      /* of header Grpc-Timeout */
	bool has_deadline;
};

bool gateway_takes(struct slice path)
{
	return slice_has_prefix(path, SLICE_LIT("/v3/")) || slice_has_prefix(path, SLICE_LIT("/v3beta/"));
}

/* As on the gRPC side. */
static size_t message_bytes_max(const struct web_req *w)
{
	return (size_t)w->io->api->opts.request_bytes_max + 512 * 1024;
}

struct gateway_req *gateway_new(struct web_req *take_w)
{
	struct gateway_req *g = NEW(struct gateway_req);

	g->web = take_w;
	buf_init(&g->in, GATEWAY_JSON_FACTOR * message_bytes_max(take_w));
	buf_init(&g->message, GATEWAY_JSON_MAX);
	json_scan_init(&g->scan);
	return g;
}

/* runtime.HTTPStatusFromCode of grpc-gateway. */
static unsigned http_status(enum grpc_status s)
{
	static const unsigned status[] = {200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401};

	return s < ARRAY_COUNT(status) ? status[s] : 500;
}

/* ---- out ---- */

static void error_body(struct buf *b, unsigned code, struct slice text)
{
	buf_printf(b, "{\"code\":%u,\"message\":", code);
	json_emit_string(text, b);
	buf_printf(b, "}");
}

static void ws_send(struct gateway_req *g, enum ws_opcode op, struct slice payload)
{
	uint8_t head[WS_HEAD_SIZE_MAX];
	struct slice parts[2] = {slice_of(head, ws_head(head, op, payload.size)), payload};

	http_send(g->web->http, parts, payload.size ? 2 : 1);
}

/* Status 1000: all was said. */
static void ws_end(struct gateway_req *g)
{
	g->ended = true;
	ws_send(g, WS_OP_CLOSE, slice_of("\x03\xe8", 2));
	http_end(g->web->http, NULL, 0);
}

/* What was begun has no one to answer any more. */
static void drop_rpc(struct gateway_req *g)
{
	if (g->rpc)
		api_cancel(g->rpc);
	g->rpc = NULL;
}

static void error_reply(struct gateway_req *g, unsigned status, unsigned code, struct slice text)
{
	bool stream = g->method && g->method->stream != RPC_UNARY && g->begun;
	struct buf b;

	buf_init(&b, 1 << 20);
	drop_rpc(g);
	g->ended = true;
	if (g->is_ws) {
		buf_printf(&b, stream ? "{\"error\":" : "");
		error_body(&b, code, text);
		buf_printf(&b, stream ? "}" : "");
		ws_send(g, WS_OP_TEXT, buf_slice(&b));
		ws_end(g);
	} else if (g->head_sent) {
		buf_printf(&b, "{\"error\":");
		error_body(&b, code, text);
		buf_printf(&b, "}\n");
		http_send(g->web->http, &(struct slice){b.data, b.size}, 1);
		http_end(g->web->http, NULL, 0);
	} else if (stream) {
		buf_printf(&b, "{\"error\":");
		error_body(&b, code, text);
		buf_printf(&b, "}");
		web_reply(g->web, status, "application/json", buf_slice(&b), false);
	} else if (code == GRPC_UNAUTHENTICATED) {
		error_body(&b, code, text);
		web_unauthenticated(g->web, err_text(ERR_INVALID_AUTH_TOKEN), buf_slice(&b));   /* the one error of that code */
	} else {
		error_body(&b, code, text);
		web_reply(g->web, status, "application/json", buf_slice(&b), false);
	}
	buf_fini(&b);
}

/* empty: no message follows. */
static void head_send(struct gateway_req *g, const char *length, bool empty)
{
	struct http_header h[8];
	size_t n = g->web->cors_count;

	memcpy(h, g->web->cors, n * sizeof(h[0]));
	if (!empty) {
		h[n++] = HTTP_HEADER("content-type", "application/json");
		h[n++] = HTTP_HEADER("grpc-metadata-content-type", "application/grpc");
	}
	if (length)
		h[n++] = (struct http_header){SLICE_LIT("content-length"), slice_str(length), false};
	else if (!empty && !g->web->http->is_http2)
		h[n++] = HTTP_HEADER("transfer-encoding", "chunked");
	http_respond(g->web->http, 200, h, n);
	g->head_sent = true;
}

static void message_out(struct gateway_req *g, struct slice encoded)
{
	struct arena a;
	struct buf json;
	struct slice out;
	char length[24];
	bool stream = g->method->stream != RPC_UNARY;
	err_t err;

	arena_init(&a, API_ARENA_MAX * 8ull);
	buf_init(&json, GATEWAY_JSON_MAX);
	if (stream)
		buf_printf(&json, "{\"result\":");
	err = json_emit(&a, g->method->response, encoded, &json);
	if (stream)
		buf_printf(&json, "}\n");
	arena_fini(&a);
	if (!err && !buf_failed(&json)) {
		out = buf_slice(&json);
		if (g->is_ws) {
			ws_send(g, WS_OP_TEXT, slice_of(out.data, out.size - stream));  /* without the newline */
			buf_fini(&json);
			return;
		}
		if (!stream) {
			snprintf(length, sizeof(length), "%zu", out.size);
			head_send(g, length, false);
		} else if (!g->head_sent) {
			head_send(g, NULL, false);
		}
		http_send(g->web->http, &out, 1);
	}
	buf_fini(&json);
}

static bool sink_send(void *sink, const struct slice *parts, size_t count)
{
	struct gateway_req *g = sink;

	buf_clear(&g->message);
	for (size_t i = 0; i < count; i++)
		buf_put_slice(&g->message, parts[i]);
	message_out(g, buf_slice(&g->message));
	return http_writable(g->web->http);
}

static void sink_begin(void *sink, size_t total)
{
	struct gateway_req *g = sink;

	buf_clear(&g->message);
	g->message_size = total;
}

static bool sink_part(void *sink, struct slice part)
{
	struct gateway_req *g = sink;

	buf_put_slice(&g->message, part);
	if (g->message.size == g->message_size)
		message_out(g, buf_slice(&g->message));
	return true;
}

static bool sink_writable(void *sink)
{
	return http_writable(((struct gateway_req *)sink)->web->http);
}

static size_t sink_unsent(void *sink)
{
	return http_unsent(((struct gateway_req *)sink)->web->http);
}

static void sink_pause(void *sink, bool paused)
{
}

static void sink_finish(void *sink, err_t err, const char *text)
{
	struct gateway_req *g = sink;

	g->rpc = NULL;
	if (err) {
		error_reply(g, http_status(err_status(err)), err_status(err), slice_str(text ? text : err_text(err)));
		return;
	}
	if (g->is_ws) {
		ws_end(g);
		return;
	}
	g->ended = true;
	if (!g->head_sent)
		head_send(g, NULL, true);
	http_end(g->web->http, NULL, 0);
}

static const struct api_sink_ops sink_ops = {sink_send, sink_begin, sink_part, sink_writable, sink_unsent, sink_pause, sink_finish};

/* ---- in ---- */

/* What a browser can send with a WebSocket: "Sec-WebSocket-Protocol: Bearer, TOKEN", or a cookie named token. */
static bool ws_token(const struct http_req *r, struct slice *out)
{
	struct slice v;
	const uint8_t *at, *end;

	if (http_header_get(r, SLICE_LIT("sec-websocket-protocol"), &v) && slice_has_prefix(v, SLICE_LIT("Bearer,"))) {
		*out = slice_of(v.data + 7, v.size - 7);
		while (out->size && out->data[0] == ' ')
			*out = slice_of(out->data + 1, out->size - 1);
		return true;
	}
	if (!http_header_get(r, SLICE_LIT("cookie"), &v))
		return false;
	for (at = v.data; at < v.data + v.size; at = end + 1) {
		while (at < v.data + v.size && *at == ' ')
			at++;
		end = memchr(at, ';', (size_t)(v.data + v.size - at));
		end = end ? end : v.data + v.size;
		if (slice_has_prefix(slice_of(at, (size_t)(end - at)), SLICE_LIT("token="))) {
			*out = slice_of(at + 6, (size_t)(end - at) - 6);
			return true;
		}
	}
	return false;
}

/* Headers of the request that upstream's gateway hands on as metadata. */
static struct api_meta meta_of(struct gateway_req *g)
{
	static const struct slice names[] = {SLICE_LIT("grpc-metadata-token"), SLICE_LIT("authorization"),
					     SLICE_LIT("grpc-metadata-authorization")};
	struct api_meta m = {.from_gateway = true};
	struct slice v;

	if (g->is_ws) {                 /* of the upgrade nothing else passes */
		m.has_token = ws_token(g->web->http, &m.token);
		return m;
	}
	for (size_t i = 0; !m.has_token && i < ARRAY_COUNT(names); i++)
		m.has_token = http_header_get(g->web->http, names[i], &m.token);
	if (http_header_get(g->web->http, SLICE_LIT("grpc-metadata-hasleader"), &v))
		m.has_leader = slice_eq(v, SLICE_LIT("true"));
	if (http_header_get(g->web->http, SLICE_LIT("grpc-metadata-client-api-version"), &m.client_version))
		m.client_version_bad = !slice_is_utf8(m.client_version);
	if (g->web->io->api->opts.traces) {
		m.local = http_req_peer(g->web->http)->local;
		http_header_get(g->web->http, SLICE_LIT("grpc-metadata-traceparent"), &m.trace_parent);
		http_header_get(g->web->http, SLICE_LIT("grpc-metadata-tracestate"), &m.trace_state);
	}
	return m;
}

/* It may have held a password. */
static void forget(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	buf_fini(b);
}

static void rpc_begin(struct gateway_req *g)
{
	struct api_meta meta = meta_of(g);

	if (!g->rpc)
		g->rpc = api_begin(g->web->io, (enum rpc)(g->method - rpc_methods), &sink_ops, g, &meta);
	g->begun = true;
}

/* Of a stream of both directions: no more requests come; what was asked is still answered. */
static void half_close(struct gateway_req *g)
{
	g->said_all = true;
	rpc_begin(g);
	api_half_close(g->rpc);
}

static void message_in(struct gateway_req *g, struct slice json)
{
	struct why why = {""};
	struct buf encoded;
	err_t err;

	buf_init(&encoded, GATEWAY_JSON_FACTOR * message_bytes_max(g->web));
	err = json_parse(g->method->request, json, &why, &encoded);
	if ((err || buf_failed(&encoded)) && g->method->stream == RPC_BIDI) {
		half_close(g);          /* as upstream's: what cannot be read ends the requests, and nobody is told why */
	} else if (err || buf_failed(&encoded)) {
		error_reply(g, 400, GRPC_INVALID_ARGUMENT, slice_str(why.text));
	} else if (encoded.size > message_bytes_max(g->web)) {
		char text[96];

		snprintf(text, sizeof(text), "grpc: received message larger than max (%zu vs. %zu)", encoded.size, message_bytes_max(g->web));
		error_reply(g, 429, GRPC_RESOURCE_EXHAUSTED, slice_str(text));
	} else {
		rpc_begin(g);
		api_message(g->rpc, blob_copy(buf_slice(&encoded)));
	}
	forget(&encoded);
}

/* ---- WebSocket: each message is a request, whatever its verb was ---- */

static void ws_start(struct gateway_req *g, struct slice key)
{
	struct http_req *r = g->web->http;
	struct http_header h[8];
	char accept[WS_ACCEPT_SIZE];
	struct slice v;
	size_t n = 0;

	ws_accept(key, accept);
	h[n++] = HTTP_HEADER("upgrade", "websocket");
	h[n++] = HTTP_HEADER("connection", "Upgrade");
	h[n++] = (struct http_header){SLICE_LIT("sec-websocket-accept"), slice_str(accept), false};
	if (http_header_get(r, SLICE_LIT("sec-websocket-protocol"), &v) && slice_has_prefix(v, SLICE_LIT("Bearer")))
		h[n++] = HTTP_HEADER("sec-websocket-protocol", "Bearer");
	g->is_ws = true;
	ws_reader_init(&g->ws, GATEWAY_JSON_FACTOR * message_bytes_max(g->web));
	http_upgrade(r, h, n);
}

static void ws_in(struct gateway_req *g, struct slice data)
{
	while (data.size && !g->ended) {
		switch (ws_read(&g->ws, &data)) {
		case WS_MORE:
			break;
		case WS_MESSAGE:
			if (!g->said_all && (g->method->stream == RPC_BIDI || !g->begun))
				message_in(g, buf_slice(&g->ws.message));
			break;
		case WS_PING:
			ws_send(g, WS_OP_PONG, slice_of(g->ws.control, g->ws.control_size));
			break;
		case WS_CLOSE:
		case WS_BAD:
			drop_rpc(g);
			ws_end(g);
			break;
		}
	}
}

/* ---- the caller's time limit ---- */

static struct net_loop *loop_of(struct gateway_req *g)
{
	return http_io_loop(http_req_io(g->web->http));
}

static void deadline_passed(struct net_timer *t)
{
	struct gateway_req *g = CONTAINER_OF(t, struct gateway_req, deadline);

	if (g->ended)
		return;
	error_reply(g, 504, GRPC_DEADLINE_EXCEEDED, SLICE_LIT("context deadline exceeded"));
}

static void deadline_set(struct gateway_req *g)
{
	struct slice v;
	uint64_t timeout_ms;
	char text[64];

	if (!http_header_get(g->web->http, SLICE_LIT("grpc-timeout"), &v))
		return;
	if (!grpc_timeout_parse(v, &timeout_ms)) {
		snprintf(text, sizeof(text), "invalid grpc-timeout: %.*s", (int)MIN(v.size, 32), (const char *)v.data);
		error_reply(g, 400, GRPC_INVALID_ARGUMENT, slice_str(text));
		return;
	}
	g->has_deadline = true;
	net_timer_init(&g->deadline, deadline_passed);
	net_timer_set(loop_of(g), &g->deadline, http_io_now_ms(http_req_io(g->web->http)) + timeout_ms);
}

static void on_request(struct http_req *r)
{
	struct gateway_req *g = r->user;
	struct slice key;

	if (!web_front(g->web)) {
		g->ended = true;
		return;
	}
	g->method = rpc_method_find_gateway(g->web->path);
	if (ws_wanted(r, &key))
		ws_start(g, key);
	if (!g->method)
		error_reply(g, 404, GRPC_NOT_FOUND, SLICE_LIT("Not Found"));
	else if (!g->is_ws && !slice_eq(r->method, SLICE_LIT("POST")))
		error_reply(g, 501, GRPC_UNIMPLEMENTED, SLICE_LIT("Method Not Allowed"));
	else if (!api_serves((enum rpc)(g->method - rpc_methods)))
		error_reply(g, 501, GRPC_UNIMPLEMENTED, SLICE_LIT("this version does not serve it yet"));
	else if (!g->is_ws)
		deadline_set(g);
}

static void values_in(struct gateway_req *g, struct slice data)
{
	while (data.size && !g->ended && !g->said_all) {
		size_t used = 0;
		err_t err = json_scan(&g->scan, data, &used);

		if (err == ERR_AGAIN)
			used = data.size;
		buf_put_slice(&g->in, slice_of(data.data, used));
		if (buf_failed(&g->in)) {
			error_reply(g, 413, GRPC_RESOURCE_EXHAUSTED, SLICE_LIT("request body too large"));
			return;
		}
		if (err == ERR_AGAIN)
			return;
		if (err) {
			half_close(g);
			return;
		}
		message_in(g, buf_slice(&g->in));
		buf_clear(&g->in);
		json_scan_init(&g->scan);
		data = slice_of(data.data + used, data.size - used);
	}
}

static void on_body(struct http_req *r, struct slice data)
{
	struct gateway_req *g = r->user;

	if (!g->ended) {
		if (g->is_ws) {
			ws_in(g, data);
		} else if (g->method->stream == RPC_BIDI) {
			values_in(g, data);
		} else {
			buf_put_slice(&g->in, data);
			if (buf_failed(&g->in))
				error_reply(g, 413, GRPC_RESOURCE_EXHAUSTED, SLICE_LIT("request body too large"));
		}
	}
	http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
	struct gateway_req *g = r->user;

	g->body_ended = true;
	if (g->ended)
		return;
	if (g->is_ws) {                 /* gone without a word */
		drop_rpc(g);
		ws_end(g);
		return;
	}
	if (g->said_all)
		return;
	if (g->method->stream != RPC_BIDI || (g->in.size && !json_scan_is_idle(&g->scan)))
		message_in(g, buf_slice(&g->in));
	if (!g->ended && !g->said_all && g->method->stream == RPC_BIDI)
		half_close(g);
}

static void on_writable(struct http_req *r)
{
	struct gateway_req *g = r->user;

	if (g->rpc)
		api_writable(g->rpc);
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct gateway_req *g = r->user;

	drop_rpc(g);
	if (g->has_deadline)
		net_timer_cancel(loop_of(g), &g->deadline);
	if (g->is_ws)
		ws_reader_fini(&g->ws);
	forget(&g->in);
	buf_fini(&g->message);
	web_free(g->web);
	mem_free(g);
}

static const struct http_handler handler = {on_request, on_body, on_body_end, on_writable, NULL, on_close};

const struct http_handler *gateway_handler(void)
{
	return &handler;
}
