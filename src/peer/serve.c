/* What a peer listener answers under /raft. Checks in this order: method, versions, cluster id, then the route.
 *
 *	/raft                       POST    a message                      204
 *	/raft/stream/<kind>/<id>    GET     messages for <id>, for ever    200
 *	/raft/snapshot              POST    a message and a database       204     (snap_in.c)
 *	/raft/probing               any     {"OK":true,"Now":"…"}          200
 *	others                                                                     (serve_call.c)
 *
 * A body that stalls stall_ms, and a connection without a request for as long, is closed. */
#include <stdio.h>
#include <time.h>

#include "env/env.h"
#include "obs/log.h"
#include "peer/peer_impl.h"

static struct peer_set *set_of(const struct http_req *r)
{
	return http_req_service(r)->arg;
}

/* --- answers --- */

static void answer(struct http_req *r, unsigned status, const struct http_header *headers, size_t count, struct slice body)
{
	http_respond(r, status, headers, count);
	if (body.size)
		http_send(r, &body, 1);
	http_end(r, NULL, 0);
}

static size_t put_error_headers(struct http_header *h)
{
	h[0] = HTTP_HEADER("content-type", "text/plain; charset=utf-8");
	h[1] = HTTP_HEADER("x-content-type-options", "nosniff");
	return 2;
}

static size_t put_raft_headers(const struct peer_set *s, struct http_header *h)
{
	h[0] = (struct http_header){SLICE_LIT("x-etcd-cluster-id"), slice_str(s->cluster_text), false};
	h[1] = (struct http_header){SLICE_LIT("x-server-version"), slice_str(s->cfg.version), false};
	return 2;
}

static void answer_line(struct http_req *r, unsigned status, const struct http_header *headers, size_t count,
	const char *text)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	answer(r, status, headers, count, slice_of(line, MIN((size_t)n, sizeof(line) - 1)));
}

void serve_error(struct http_req *r, unsigned status, const char *text)
{
	struct http_header h[2];

	answer_line(r, status, h, put_error_headers(h), text);
}

void serve_raft_error(struct http_req *r, unsigned status, const char *text)
{
	struct http_header h[4];
	size_t n = put_error_headers(h);

	n += put_raft_headers(set_of(r), h + n);
	answer_line(r, status, h, n, text);
}

void serve_raft_empty(struct http_req *r, unsigned status)
{
	struct http_header h[2];

	answer(r, status, h, put_raft_headers(set_of(r), h), (struct slice){0});
}

/* --- checks --- */

static struct slice header_or(const struct http_req *r, struct slice name, struct slice otherwise)
{
	http_header_get(r, name, &otherwise);
	return otherwise;
}

/* NULL: may go on. */
static const char *refuses(struct peer_set *s, const struct http_req *r)
{
	struct slice none = SLICE_LIT("2.0.0"), cluster = {0};
	struct minor_version own = {0}, server, min_cluster;

	minor_version_parse(slice_str(s->cfg.version), &own);
	if (!minor_version_parse(header_or(r, SLICE_LIT("x-server-version"), none), &server) ||
	    !minor_version_parse(header_or(r, SLICE_LIT("x-min-cluster-version"), none), &min_cluster) ||
	    !version_accepts(own, server, min_cluster))
		return "incompatible version";
	if (!http_header_get(r, SLICE_LIT("x-etcd-cluster-id"), &cluster) || !slice_eq(cluster, slice_str(s->cluster_text)))
		return "cluster ID mismatch";
	return NULL;
}

static bool is_method(const struct http_req *r, const char *method)
{
	return slice_eq(r->method, slice_str(method));
}

static void wrong_method(struct http_req *r, const char *allow)
{
	struct http_header h[3];
	size_t n = put_error_headers(h);

	h[n++] = (struct http_header){SLICE_LIT("allow"), slice_str(allow), false};
	answer_line(r, 405, h, n, "Method Not Allowed");
}

/* Method, versions, cluster. False: answered. */
static bool check(struct http_req *r, const char *method)
{
	const char *why;

	if (!is_method(r, method)) {
		wrong_method(r, method);
		return false;
	}
	why = refuses(set_of(r), r);
	if (why) {
		LOG_WARN("rejected request from remote peer", LOG_STR("local-member-id", set_of(r)->id_text),
			LOG_STR("remote-address", http_req_peer(r)->remote), LOG_STR("error", why));
		serve_raft_error(r, 412, why);
	}
	return !why;
}

/* Who sends: becomes a remote unless known. */
static void meet(struct http_req *r)
{
	struct slice from, urls;
	uint64_t id;

	if (http_header_get(r, SLICE_LIT("x-server-from"), &from) && hex_id_parse(from, &id) &&
	    http_header_get(r, SLICE_LIT("x-peerurls"), &urls))
		set_meet(set_of(r), id, urls);
}

/* --- a body that must keep flowing --- */

struct body {
	struct http_req *req;
	struct buf bytes;
	size_t counted;                 /* of set->body_bytes */
	struct net_timer stall;
};

static void stalled(struct net_timer *t)
{
	struct body *b = CONTAINER_OF(t, struct body, stall);

	serve_raft_error(b->req, 400, "error reading raft message");
}

static void body_progress(struct body *b)
{
	struct peer_set *s = set_of(b->req);

	net_timer_set(s->loop, &b->stall, set_now_ms(s) + s->cfg.timing.stall_ms);
}

bool body_grow(struct peer_set *s, size_t has, size_t more)
{
	if (s->body_bytes + more > BODIES_BYTES_MAX && s->body_bytes > has)
		return false;
	s->body_bytes += more;
	return true;
}

void body_drop(struct peer_set *s, size_t has)
{
	ASSERT(s->body_bytes >= has);
	s->body_bytes -= has;
}

static void quiet_body(struct http_req *r, struct slice data)
{
	http_consumed(r, data.size);
}

static void quiet_end(struct http_req *r)
{
}

static void quiet_close(struct http_req *r, enum http_close why)
{
}

/* --- /raft --- */

static void message_begin(struct http_req *r)
{
	struct body *b;

	if (!check(r, "POST"))
		return;
	meet(r);
	b = NEW(struct body);
	b->req = r;
	buf_init(&b->bytes, STREAM_MESSAGE_BYTES_MAX);
	net_timer_init(&b->stall, stalled);
	r->user = b;
	body_progress(b);
}

static void message_body(struct http_req *r, struct slice data)
{
	struct body *b = r->user;

	http_consumed(r, data.size);
	if (!b || !b->stall.slot)       /* was answered */
		return;
	body_progress(b);
	if (body_grow(set_of(r), b->counted, data.size)) {
		b->counted += data.size;
		buf_put_slice(&b->bytes, data);
	} else {
		b->bytes.failed = true;
	}
	if (buf_failed(&b->bytes)) {
		net_timer_cancel(set_of(r)->loop, &b->stall);
		serve_raft_error(r, 400, "error reading raft message");
	}
}

static void message_end(struct http_req *r)
{
	struct body *b = r->user;
	struct peer_set *s = set_of(r);
	struct raft_message m;
	struct peer *p;

	if (!b || !b->stall.slot)
		return;
	net_timer_cancel(s->loop, &b->stall);
	if (raft_message_decode(buf_slice(&b->bytes), &m)) {
		serve_raft_error(r, 400, "error unmarshalling raft message");
		return;
	}
	p = set_find(s, m.from);
	if (p)
		peer_count_received(p, b->bytes.size);
	if (set_deliver(s, &m, 0))
		serve_raft_empty(r, 204);
	else
		serve_raft_error(r, 500, "error processing raft message");
}

static void message_close(struct http_req *r, enum http_close why)
{
	struct body *b = r->user;

	if (!b)
		return;
	net_timer_cancel(set_of(r)->loop, &b->stall);
	body_drop(set_of(r), b->counted);
	buf_fini(&b->bytes);
	mem_free(b);
}

static const struct http_handler message_handler = {
	.on_request = message_begin, .on_body = message_body, .on_body_end = message_end, .on_close = message_close,
};

/* --- /raft/stream/ --- */

static bool split_stream_path(struct slice path, enum stream_kind *kind, struct slice *id)
{
	static const char *const prefixes[] = {"/raft/stream/msgapp/", "/raft/stream/message/"};

	for (int k = 0; k < 2; k++) {
		struct slice p = slice_str(prefixes[k]);

		if (!slice_has_prefix(path, p))
			continue;
		*kind = (enum stream_kind)k;
		*id = slice_of(path.data + p.size, path.size - p.size);
		return true;
	}
	return false;
}

static void stream_begin(struct http_req *r)
{
	struct peer_set *s = set_of(r);
	struct http_header h[2];
	enum stream_kind kind;
	struct slice text, to = {0};
	struct peer *p;
	uint64_t id;

	if (!check(r, "GET"))
		return;
	if (!split_stream_path(r->path, &kind, &text)) {
		serve_raft_error(r, 404, "invalid path");
		return;
	}
	if (!hex_id_parse(text, &id)) {
		serve_raft_error(r, 404, "invalid from");
		return;
	}
	if (set_is_removed(s, id)) {
		LOG_WARN("rejected stream from remote peer because it was removed", LOG_STR("local-member-id", s->id_text),
			LOG_HEX("remote-peer-id-from", id));
		serve_raft_error(r, 410, "removed member");
		return;
	}
	p = set_find(s, id);
	if (!p || p->is_remote) {
		meet(r);
		serve_raft_error(r, 404, "error sender not found");
		return;
	}
	if (!http_header_get(r, SLICE_LIT("x-raft-to"), &to) || !slice_eq(to, slice_str(s->id_text))) {
		serve_raft_error(r, 412, "to field mismatch");
		return;
	}
	http_respond(r, 200, h, put_raft_headers(s, h));
	stream_out_attach(&p->out[kind], r);
}

static void stream_writable(struct http_req *r)
{
	if (r->user)
		stream_out_writable(r->user);
}

static void stream_close(struct http_req *r, enum http_close why)
{
	if (r->user)
		stream_out_lost(r->user, r);
}

static const struct http_handler stream_handler = {
	.on_request = stream_begin, .on_body = quiet_body, .on_body_end = quiet_end, .on_writable = stream_writable,
	.on_close = stream_close,
};

/* --- /raft/snapshot --- */

static void snapshot_begin(struct http_req *r)
{
	if (!check(r, "POST"))
		return;
	meet(r);
	snap_in_begin(r);
}

/* --- /raft/probing --- */

/* RFC 3339 with nanoseconds, trailing zeros dropped, as Go prints a time. */
static void put_now(struct buf *b)
{
	int64_t now = env_wall_ns();
	time_t seconds = (time_t)(now / 1000000000);
	char nanos[16];
	struct tm tm;
	size_t n;

	gmtime_r(&seconds, &tm);
	n = (size_t)snprintf(nanos, sizeof(nanos), ".%09lld", (long long)(now % 1000000000));
	while (n && nanos[n - 1] == '0')
		n--;
	if (n == 1)
		n = 0;
	buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d%.*sZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		tm.tm_min, tm.tm_sec, (int)n, nanos);
}

static void probing_begin(struct http_req *r)
{
	struct http_header h = HTTP_HEADER("content-type", "text/plain; charset=utf-8");
	struct buf *b = set_scratch(set_of(r));

	buf_printf(b, "{\"OK\":true,\"Now\":\"");
	put_now(b);
	buf_printf(b, "\"}\n");
	answer(r, 200, &h, 1, buf_slice(b));
}

static const struct http_handler probing_handler = {
	.on_request = probing_begin, .on_body = quiet_body, .on_body_end = quiet_end, .on_close = quiet_close,
};

/* --- routes --- */

static void unknown_begin(struct http_req *r)
{
	serve_error(r, 404, "404 page not found");
}

static const struct http_handler unknown_handler = {
	.on_request = unknown_begin, .on_body = quiet_body, .on_body_end = quiet_end, .on_close = quiet_close,
};

/* Until snap_in_begin puts its own in place. */
static const struct http_handler snapshot_handler = {
	.on_request = snapshot_begin, .on_body = quiet_body, .on_body_end = quiet_end, .on_close = quiet_close,
};

const struct http_handler *serve_route(void *arg, struct http_req *r)
{
	struct peer_set *s = arg;
	const uint8_t *query = memchr(r->path.data, '?', r->path.size);
	struct slice path = query ? slice_of(r->path.data, (size_t)(query - r->path.data)) : r->path;
	const struct http_handler *h;

	if (slice_eq(path, SLICE_LIT("/raft")))
		return &message_handler;
	if (slice_has_prefix(path, SLICE_LIT("/raft/stream/")))
		return &stream_handler;
	if (slice_eq(path, SLICE_LIT("/raft/snapshot")))
		return &snapshot_handler;
	if (slice_eq(path, SLICE_LIT("/raft/probing")))
		return &probing_handler;
	h = s->cfg.events.request ? serve_call_route(s, r, path) : NULL;
	return h ? h : &unknown_handler;
}
