#include "api/web_impl.h"

#include <stdio.h>
#include <sys/resource.h>

#include "obs/log.h"
#include "obs/metric.h"
#include "pb/json.h"

enum { METRICS_MAX = 16 << 20 };

/* ---- answers ---- */

static struct http_header header(const char *name, const char *value)
{
	return (struct http_header){slice_str(name), slice_str(value), false};
}

/* A call through the gateway is never whom its certificate names (api_who); as upstream, one that shows such a certificate is refused,
 * so that nobody takes it for a login. */
static bool certificate_would_mislead(const struct web_req *w)
{
	const char *cn = http_req_peer(w->http)->cert_cn;
	bool enabled;

	if (!w->listener->gateway || !w->io->api->opts.certificates_name_users || !cn || !cn[0] || !slice_has_prefix(w->path, SLICE_LIT("/v3/")))
		return false;
	enabled = node_view(w->io->node)->auth->enabled;
	node_leave(w->io->node);
	return enabled;
}

bool web_front(struct web_req *w)
{
	struct slice host = http_host_name(w->http->authority);
	char *text;

	if (w->listener->kind != WEB_CLIENT)
		return true;
	if (certificate_would_mislead(w)) {
		web_reply(w, 400, "text/plain; charset=utf-8", SLICE_LIT(
			"CommonName of client sending a request against gateway will be ignored and not used as expected\n"), true);
		return false;
	}
	switch (http_front_check(&w->listener->front, w->http, w->cors, &w->cors_count)) {
	case HTTP_FRONT_PASSED:
		return true;
	case HTTP_FRONT_ANSWERED:
		return false;
	case HTTP_FRONT_HOST_REFUSED:
		text = mem_printf("%.*s", SLICE_ARG(host));
		LOG_WARN("rejecting HTTP request to prevent DNS rebinding attacks", LOG_STR("host", text));
		mem_free(text);
		return false;
	}
	UNREACHABLE();
}

static void reply(struct web_req *w, unsigned status, const char *type, const char *allow, struct slice body, bool nosniff)
{
	struct http_header h[8];
	size_t n = w->cors_count;
	char length[24];

	memcpy(h, w->cors, n * sizeof(h[0]));
	snprintf(length, sizeof(length), "%zu", body.size);
	if (type)
		h[n++] = header("content-type", type);
	if (nosniff)
		h[n++] = HTTP_HEADER("x-content-type-options", "nosniff");
	if (allow)
		h[n++] = header("allow", allow);
	h[n++] = header("content-length", length);
	http_respond(w->http, status, h, n);
	if (body.size)
		http_send(w->http, &body, 1);
	http_end(w->http, NULL, 0);
}

void web_reply(struct web_req *w, unsigned status, const char *type, struct slice body, bool nosniff)
{
	reply(w, status, type, NULL, body, nosniff);
}

void web_wrong_method(struct web_req *w, const char *allow)
{
	reply(w, 405, "text/plain; charset=utf-8", allow, SLICE_LIT("Method Not Allowed\n"), true);
}

static void not_found(struct web_req *w)
{
	web_reply(w, 404, "text/plain; charset=utf-8", SLICE_LIT("404 page not found\n"), true);
}

/* ---- the query ---- */

bool web_query_next(struct web_req *w, const char *name, size_t *at, struct slice *value)
{
	size_t name_size = strlen(name);

	while (*at < w->query.size) {
		struct slice part = slice_of(w->query.data + *at, w->query.size - *at);
		const uint8_t *end = memchr(part.data, '&', part.size);
		const uint8_t *eq;

		part.size = end ? (size_t)(end - part.data) : part.size;
		*at += part.size + 1;
		eq = part.size ? memchr(part.data, '=', part.size) : NULL;
		if (slice_eq(slice_of(part.data, eq ? (size_t)(eq - part.data) : part.size), slice_of(name, name_size))) {
			*value = eq ? slice_of(eq + 1, (size_t)(part.data + part.size - eq - 1)) : (struct slice){0};
			return true;
		}
	}
	return false;
}

bool web_query_has(struct web_req *w, const char *name)
{
	size_t at = 0;
	struct slice v;

	return web_query_next(w, name, &at, &v);
}

/* ---- a read through the API ---- */

static bool probe_send(void *sink, const struct slice *parts, size_t count)
{
	return true;
}

static void probe_begin(void *sink, size_t total)
{
}

static bool probe_part(void *sink, struct slice part)
{
	return true;
}

static bool probe_writable(void *sink)
{
	return true;
}

static size_t probe_unsent(void *sink)
{
	return 0;
}

static void probe_pause(void *sink, bool paused)
{
}

static void probe_finish(void *sink, err_t err, const char *text)
{
	struct web_req *w = sink;

	w->probe = NULL;
	w->probed(w, err);
}

static const struct api_sink_ops probe_ops = {probe_send, probe_begin, probe_part, probe_writable, probe_unsent, probe_pause, probe_finish};

void web_probe(struct web_req *w, bool serializable, void (*probed)(struct web_req *w, err_t err))
{
	struct api_meta meta = {.internal = true, .as_root = true};
	struct api_rpc *r;
	struct buf body;

	w->probed = probed;
	buf_init(&body, 64);
	pb_put_bytes(&body, 1, SLICE_LIT("a"));
	pb_put_uint(&body, 3, 1);
	pb_put_uint(&body, 7, serializable);
	pb_put_uint(&body, 8, 1);                       /* keys_only */
	r = api_begin(w->io, RPC_RANGE, &probe_ops, w, &meta);
	w->probe = r;
	api_message(r, blob_copy(buf_slice(&body)));
	buf_fini(&body);
}

/* ---- pages ---- */

void api_version_json(struct node *n, struct buf *out)
{
	const struct publication *p = node_view(n);

	buf_printf(out, "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\",\"storage\":\"%s\"}", NODE_SERVER_VERSION,
		   p->cluster_version[0] ? p->cluster_version : "not_decided", p->storage_version[0] ? p->storage_version : "unknown");
	node_leave(n);
}

static void page_version(struct web_req *w)
{
	struct buf b;

	if (!w->is_get) {
		web_wrong_method(w, "GET");
		return;
	}
	buf_init(&b, 1024);
	api_version_json(w->io->node, &b);
	web_reply(w, 200, "application/json", buf_slice(&b), false);
	buf_fini(&b);
}

static void page_metrics(struct web_req *w)
{
	struct buf b;

	buf_init(&b, METRICS_MAX);
	metric_move(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_IN_FLIGHT, 1);
	metric_write(&b);
	metric_move(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_IN_FLIGHT, -1);
	metric_add(w->io->api->series.scrapes, 1);
	web_reply(w, 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", buf_slice(&b), false);
	buf_fini(&b);
}

/* The arguments of this process, as JSON strings. */
static void cmdline(struct buf *out)
{
	struct buf args;
	size_t at = 0;

	buf_init(&args, 256 * 1024);
	if (web_proc_read("/proc/self/cmdline", &args))
		while (at < args.size) {
			struct slice arg = slice_of(args.data + at, strnlen((char *)args.data + at, args.size - at));

			if (at)
				buf_put_byte(out, ',');
			if (slice_is_utf8(arg))
				json_emit_string(arg, out);
			else
				buf_printf(out, "\"\"");
			at += arg.size + 1;
		}
	buf_fini(&args);
}

static void page_vars(struct web_req *w)
{
	struct rlimit r = {0};
	struct buf b;

	getrlimit(RLIMIT_NOFILE, &r);
	buf_init(&b, 1 << 20);
	buf_printf(&b, "{\n\"cmdline\": [");
	cmdline(&b);
	buf_printf(&b, "],\n\"file_descriptor_limit\": %llu\n}\n", (unsigned long long)r.rlim_cur);
	web_reply(w, 200, "application/json; charset=utf-8", buf_slice(&b), false);
	buf_fini(&b);
}

/* ---- where to ---- */

static bool sub_path(struct web_req *w, const char *base, struct slice *sub)
{
	size_t n = strlen(base);

	if (!slice_has_prefix(w->path, slice_of(base, n)))
		return false;
	if (w->path.size == n) {
		*sub = (struct slice){0};
		return true;
	}
	if (w->path.data[n] != '/')
		return false;
	*sub = slice_of(w->path.data + n + 1, w->path.size - n - 1);
	return true;
}

static void serve(struct web_req *w)
{
	enum web_kind kind = w->listener->kind;
	struct slice sub;
	bool probes = kind == WEB_CLIENT || kind == WEB_METRICS;

	if (kind != WEB_METRICS && slice_eq(w->path, SLICE_LIT("/version")))
		page_version(w);
	else if (probes && slice_eq(w->path, SLICE_LIT("/metrics")))
		page_metrics(w);
	else if (probes && slice_eq(w->path, SLICE_LIT("/health")))
		web_health(w);
	else if (probes && sub_path(w, "/livez", &sub))
		web_checks(w, false, sub);
	else if (probes && sub_path(w, "/readyz", &sub))
		web_checks(w, true, sub);
	else if (kind == WEB_CLIENT && slice_eq(w->path, SLICE_LIT("/debug/vars")))
		page_vars(w);
	else if (kind == WEB_CLIENT && web_debug(w))
		return;
	else
		not_found(w);
}

/* ---- the request's life ---- */

static void on_request(struct http_req *r)
{
	struct web_req *w = r->user;

	if (web_front(w))
		serve(w);
}

static void on_body(struct http_req *r, struct slice data)
{
	http_consumed(r, data.size);                    /* none of these pages has a use for one */
}

static void on_body_end(struct http_req *r)
{
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct web_req *w = r->user;

	if (w->probe)
		api_cancel(w->probe);
	web_health_drop(w);
	mem_free(w);
}

static const struct http_handler handler = {on_request, on_body, on_body_end, NULL, NULL, on_close};

const struct http_handler *web_route(const struct web_listener *l, struct api_io *io, struct http_req *r)
{
	struct web_req *w;
	const uint8_t *q = r->path.size ? memchr(r->path.data, '?', r->path.size) : NULL;

	w = NEW(struct web_req);
	w->listener = l;
	w->io = io;
	w->http = r;
	w->path = slice_of(r->path.data, q ? (size_t)(q - r->path.data) : r->path.size);
	w->query = q ? slice_of(q + 1, (size_t)(r->path.data + r->path.size - q - 1)) : (struct slice){0};
	w->is_get = slice_eq(r->method, SLICE_LIT("GET"));
	if (l->kind == WEB_CLIENT && l->gateway && gateway_takes(w->path)) {
		r->user = gateway_new(w);
		return gateway_handler();
	}
	r->user = w;
	return &handler;
}
