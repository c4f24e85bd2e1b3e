#include "api/web_impl.h"

#include <stdio.h>
#include <sys/resource.h>

#include "grpc/grpc.h"
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

static bool client_front(struct web_req *w)
{
	struct slice host = http_host_name(w->http->authority);
	char *text;

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

/* more: one header, or NULL. */
static void reply(struct web_req *w, unsigned status, const char *type, const struct http_header *more, struct slice body, bool nosniff)
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
	if (more)
		h[n++] = *more;
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

void web_unauthenticated(struct web_req *w, const char *text, struct slice body)
{
	struct http_header h = header("www-authenticate", text);

	reply(w, 401, "application/json", &h, body, false);
}

void web_wrong_method(struct web_req *w, const char *allow)
{
	struct http_header h = header("allow", allow);

	reply(w, 405, "text/plain; charset=utf-8", &h, SLICE_LIT("Method Not Allowed\n"), true);
}

static void not_found(struct web_req *w)
{
	web_reply(w, 404, "text/plain; charset=utf-8", SLICE_LIT("404 page not found\n"), true);
}

/* ---- paths, as net/http's ServeMux has them ---- */

static int hex_value(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* form: a + is a space; otherwise a path, in which an escaped slash stays what it is, so that it parts nothing. False: a % without
 * two digits. */
static bool unescape(struct slice s, bool form, struct buf *out)
{
	for (size_t i = 0; i < s.size; i++) {
		uint8_t c = s.data[i];

		if (c == '%') {
			if (s.size - i < 3 || hex_value(s.data[i + 1]) < 0 || hex_value(s.data[i + 2]) < 0)
				return false;
			c = (uint8_t)(hex_value(s.data[i + 1]) << 4 | hex_value(s.data[i + 2]));
			if (c == '/' && !form) {
				buf_put(out, "%2", 2);
				c = 'F';
			}
			i += 2;
		} else if (form && c == '+') {
			c = ' ';
		}
		buf_put_byte(out, c);
	}
	return true;
}

/* "//a/./b/../c/" -> "/a/c/" */
static void clean(struct slice path, struct buf *out)
{
	const uint8_t *end = path.data + path.size, *stop;

	for (const uint8_t *p = path.data; p < end; p = stop + 1) {
		struct slice part;

		stop = memchr(p, '/', (size_t)(end - p));
		stop = stop ? stop : end;
		part = slice_of(p, (size_t)(stop - p));
		if (part.size == 0 || slice_eq(part, SLICE_LIT(".")))
			continue;
		if (slice_eq(part, SLICE_LIT(".."))) {
			while (out->size && out->data[--out->size] != '/')
				;
			continue;
		}
		buf_put_byte(out, '/');
		buf_put_slice(out, part);
	}
	if (!out->size || end[-1] == '/')
		buf_put_byte(out, '/');
}

static void html_put(struct buf *b, uint8_t c)
{
	switch (c) {
	case '&': buf_printf(b, "&amp;"); break;
	case '<': buf_printf(b, "&lt;"); break;
	case '>': buf_printf(b, "&gt;"); break;
	case '"': buf_printf(b, "&#34;"); break;
	case '\'': buf_printf(b, "&#39;"); break;
	default: buf_put_byte(b, c);
	}
}

static void redirect(struct web_req *w, struct slice path)
{
	bool is_head = slice_eq(w->http->method, SLICE_LIT("HEAD"));
	struct http_header location = {SLICE_LIT("location"), {0}, false};
	struct buf to, body;

	buf_init(&to, 4 * w->http->path.size + 16);
	for (size_t i = 0; i < path.size; i++)
		buf_printf(&to, path.data[i] < 0x80 ? "%c" : "%%%02x", path.data[i]);   /* no byte that ends a line passes the parsers */
	if (w->query.size)
		buf_printf(&to, "?%.*s", SLICE_ARG(w->query));
	location.value = buf_slice(&to);
	buf_init(&body, 8 * to.size + 64);
	buf_printf(&body, "<a href=\"");
	for (size_t i = 0; i < to.size; i++)
		html_put(&body, to.data[i]);
	buf_printf(&body, "\">Temporary Redirect</a>.\n\n");
	if (w->is_get || is_head)
		reply(w, 307, "text/html; charset=utf-8", &location, w->is_get ? buf_slice(&body) : (struct slice){0}, false);
	else
		reply(w, 307, NULL, &location, (struct slice){0}, false);
	buf_fini(&body);
	buf_fini(&to);
}

/* False: answered, for the path cannot be read or is to be asked for by another name. */
static bool path_taken(struct web_req *w)
{
	struct slice raw = slice_of(w->http->path.data, w->http->path.size - (w->query.data ? w->query.size + 1 : 0));
	struct buf cleaned;
	bool same;

	if (!w->path.size || raw.data[0] != '/') {
		web_reply(w, 400, "text/plain; charset=utf-8", SLICE_LIT("400 Bad Request"), false);
		return false;
	}
	if (slice_eq(w->http->method, SLICE_LIT("CONNECT")))
		return true;
	if (w->listener->kind == WEB_CLIENT && w->listener->gateway && slice_eq(raw, SLICE_LIT("/v3"))) {
		redirect(w, SLICE_LIT("/v3/"));
		return false;
	}
	buf_init(&cleaned, raw.size + 1);
	clean(raw, &cleaned);
	same = slice_eq(raw, buf_slice(&cleaned));
	if (!same)
		redirect(w, buf_slice(&cleaned));
	buf_fini(&cleaned);
	return same;
}

bool web_front(struct web_req *w)
{
	return (w->listener->kind != WEB_CLIENT || client_front(w)) && path_taken(w);
}

/* ---- the query ---- */

bool web_query_next(struct web_req *w, const char *name, size_t *at, struct slice *value)
{
	while (*at < w->query.size) {
		struct slice part = slice_of(w->query.data + *at, w->query.size - *at);
		const uint8_t *end = memchr(part.data, '&', part.size);
		const uint8_t *eq;
		bool is_it;

		part.size = end ? (size_t)(end - part.data) : part.size;
		*at += part.size + 1;
		if (!part.size || memchr(part.data, ';', part.size))
			continue;
		eq = memchr(part.data, '=', part.size);
		buf_clear(&w->value);
		is_it = unescape(slice_of(part.data, eq ? (size_t)(eq - part.data) : part.size), true, &w->value) &&
			slice_eq(buf_slice(&w->value), slice_str(name));
		buf_clear(&w->value);
		if (!is_it || (eq && !unescape(slice_of(eq + 1, (size_t)(part.data + part.size - eq - 1)), true, &w->value)))
			continue;
		*value = buf_slice(&w->value);
		return true;
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

/* "zstd, gzip;q=0.5"; * is not taken for it, as upstream's does not. */
static bool takes_gzip(const struct http_req *r)
{
	struct slice v, part;

	if (!http_header_get(r, SLICE_LIT("accept-encoding"), &v))
		return false;
	for (const uint8_t *p = v.data, *end = v.data + v.size, *stop; p < end; p = stop + 1) {
		stop = memchr(p, ',', (size_t)(end - p));
		stop = stop ? stop : end;
		while (p < stop && *p == ' ')
			p++;
		part = slice_of(p, (size_t)(stop - p));
		if (slice_has_prefix(part, SLICE_LIT("gzip")) && (part.size == 4 || part.data[4] == ';' || part.data[4] == ' '))
			return !memmem(part.data, part.size, "q=0", 3) || memmem(part.data, part.size, "q=0.", 4);
	}
	return false;
}

static void page_metrics(struct web_req *w)
{
	const struct http_header encoding = HTTP_HEADER("content-encoding", "gzip");
	struct blob *z = NULL;
	struct slice page;
	struct buf b;

	buf_init(&b, METRICS_MAX);
	metric_move(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_IN_FLIGHT, 1);
	metric_write(&b);
	metric_move(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_IN_FLIGHT, -1);
	metric_add(w->io->api->series.scrapes, 1);
	page = buf_slice(&b);
	if (takes_gzip(w->http)) {
		z = grpc_gzip(&page, 1);
		page = blob_slice(z);
	}
	reply(w, 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", z ? &encoding : NULL, page, false);
	if (z)
		blob_unref(z);
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
	if (w->path.data[n] != '/' || w->path.size == n + 1)
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
	web_free(w);
}

void web_free(struct web_req *w)
{
	buf_fini(&w->text);
	buf_fini(&w->value);
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
	buf_init(&w->text, r->path.size + 1);
	buf_init(&w->value, r->path.size + 1);
	if (w->path.size && memchr(w->path.data, '%', w->path.size))
		w->path = unescape(w->path, false, &w->text) ? buf_slice(&w->text) : (struct slice){0};
	if (l->kind == WEB_CLIENT && l->gateway && gateway_takes(w->path)) {
		r->user = gateway_new(w);
		return gateway_handler();
	}
	r->user = w;
	return &handler;
}
