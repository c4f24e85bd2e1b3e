/* /metrics is a member's, /health asks the cluster, /proxy/metrics and /proxy/health are about this process: the latter goes the way of
 * its clients, through the advertised address. */
#include <stdio.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/text.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"

static const char TEXT_PLAIN[] = "text/plain; charset=utf-8";

enum { HEALTH_READ_MS = 1000, HEALTH_WATCH_MS = 3000, METRICS_MAX = 64 << 20 };

/* A question under way. */
struct ask {
	struct list node; /* of grpc_proxy.asks */
	struct grpc_proxy *px;
	struct http_req *http; /* NULL: nobody waits any more */
	struct fetch *fetch;
	struct client *client;
	struct client_call *call;
	bool of_proxy;
	const char *path;
};

static void reply(struct http_req *r, unsigned status, const char *type, struct slice body)
{
	r->user = NULL;
	http_reply_text(r, status, type, body);
}

static void ask_free(struct ask *a)
{
	list_remove(&a->node);
	if (a->fetch)
		fetch_cancel(a->fetch);
	if (a->call)
		client_drop(a->call);
	mem_free(a);
}

static struct ask *ask_new(struct http_req *r)
{
	struct grpc_proxy *px = http_io_user(http_req_io(r));
	struct ask *a = NEW(struct ask);

	a->px = px;
	a->http = r;
	list_push_back(&px->asks, &a->node);
	r->user = a;
	return a;
}

/* ---- /metrics ---- */

static void on_fetched(void *arg, bool ok, struct slice body)
{
	struct ask *a = arg;

	a->fetch = NULL; /* it frees itself */
	if (ok)
		reply(a->http, 200, "text/plain; version=0.0.4", body);
	else
		reply(a->http, 500, TEXT_PLAIN, SLICE_LIT("Internal server error\n"));
	ask_free(a);
}

static void member_metrics(struct http_req *r)
{
	struct ask *a = ask_new(r);
	const char *url = a->px->endpoints.at.count ? a->px->endpoints.at.at[0] : "", *after = strstr(url, "://");
	bool is_tls = after ? !strncmp(url, "https", 5) : http_req_peer(r)->is_tls;

	a->fetch = fetch_start(a->px->loop, a->px->fetch_tls, after ? after + 3 : url, is_tls, "/metrics", on_fetched, a);
}

static void own_metrics(struct http_req *r)
{
	struct buf b;

	buf_init(&b, METRICS_MAX);
	metric_write(&b);
	http_reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&b));
	buf_fini(&b);
}

/* ---- /health ---- */

static void healthy(struct ask *a)
{
	metric_add(METRIC_SERVER_HEALTH_SUCCESS, 1);
	reply(a->http, 200, TEXT_PLAIN, SLICE_LIT("{\"health\":\"true\",\"reason\":\"\"}"));
	ask_free(a);
}

static void unhealthy(struct ask *a, const char *what, const char *why)
{
	struct buf reason, b;
	char *text = mem_printf("%s%s", what, why);

	metric_add(METRIC_SERVER_HEALTH_FAILURES, 1);
	buf_init(&reason, 1 << 16);
	buf_init(&b, 1 << 16);
	text_quote(&reason, slice_str(text));
	buf_printf(&b, "{\"health\":\"false\",\"reason\":%.*s}", SLICE_ARG(buf_slice(&reason)));
	mem_free(text);
	text = mem_printf("%.*s", SLICE_ARG(buf_slice(&b)));
	LOG_WARN("/health error", LOG_STR("output", text), LOG_INT("status-code", 503));
	mem_free(text);
	buf_put_byte(&b, '\n');
	reply(a->http, 503, TEXT_PLAIN, buf_slice(&b));
	buf_fini(&reason);
	buf_fini(&b);
	ask_free(a);
}

/* Created: the watch works. */
static void on_watched(struct client_call *call, void *user, struct slice body)
{
	struct ask *a = user;

	client_drop(call);
	a->call = NULL;
	healthy(a);
}

static void on_watch_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct ask *a = user;

	a->call = NULL;
	if (s->is_local)
		unhealthy(a, "WATCH TIMEOUT", "");
	else
		healthy(a); /* upstream takes an end for an answer as well */
}

static void try_watch(struct ask *a)
{
	static const struct client_events events = {on_watched, on_watch_end};
	struct client_call_opts co = {.timeout_ms = HEALTH_WATCH_MS};
	struct buf body;
	size_t mark;

	buf_init(&body, 64);
	mark = pb_begin(&body, 1);
	pb_put_bytes(&body, 1, SLICE_LIT("a"));
	pb_end(&body, mark);
	a->call = client_start(a->client, RPC_WATCH, (struct slice){0}, &co, &events, a);
	client_send(a->call, buf_slice(&body));
	buf_fini(&body);
}

static void on_read(struct client_call *call, void *user, struct slice body)
{
}

static void on_read_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct ask *a = user;
	char text[CLIENT_ERROR_SIZE];

	a->call = NULL;
	if (s->code != GRPC_OK && client_error_row(s) != ERR_PERMISSION_DENIED)
		unhealthy(a, "GET ERROR:", client_error(text, s));
	else if (a->of_proxy)
		try_watch(a);
	else
		healthy(a);
}

static void try_read(struct http_req *r, struct client *client, bool of_proxy)
{
	static const struct client_events events = {on_read, on_read_end};
	struct client_call_opts co = {.timeout_ms = HEALTH_READ_MS};
	struct ask *a = ask_new(r);
	struct buf body;

	a->client = client;
	a->of_proxy = of_proxy;
	if (!client) {
		unhealthy(a, "no connection to proxy", "");
		return;
	}
	buf_init(&body, 64);
	if (!of_proxy && a->px->has_prefix) {
		struct buf key;

		buf_init(&key, SIZE_MAX / 2);
		prefix_key(&a->px->prefix, SLICE_LIT("a"), &key);
		buf_fini(&body);
		buf_init(&body, SIZE_MAX / 2);
		pb_put_bytes(&body, 1, buf_slice(&key));
		buf_fini(&key);
	} else {
		pb_put_bytes(&body, 1, SLICE_LIT("a"));
	}
	a->call = client_start(client, RPC_RANGE, buf_slice(&body), &co, &events, a);
	buf_fini(&body);
}

/* ---- requests ---- */

static void profiles(struct http_req *r)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "This program is not written in Go: it has no profiles of a Go runtime.\n"
		 "Instead of profile:  perf record -g -p %ld -- sleep 30\n"
		 "Instead of heap:     process_resident_memory_bytes in /proxy/metrics\n",
		 (long)getpid());
	http_reply_text(r, 200, TEXT_PLAIN, slice_str(text));
}

static void on_request(struct http_req *r)
{
	struct grpc_proxy *px = http_io_user(http_req_io(r));
	const uint8_t *query = r->path.size ? memchr(r->path.data, '?', r->path.size) : NULL;
	struct slice path = slice_of(r->path.data, query ? (size_t)(query - r->path.data) : r->path.size);
	bool is_get = slice_eq(r->method, SLICE_LIT("GET"));
	bool is_health = slice_eq(path, SLICE_LIT("/health")), is_proxy_health = slice_eq(path, SLICE_LIT("/proxy/health"));

	if (slice_eq(path, SLICE_LIT("/metrics"))) {
		member_metrics(r);
	} else if (slice_eq(path, SLICE_LIT("/proxy/metrics"))) {
		own_metrics(r);
	} else if ((is_health || is_proxy_health) && !is_get) {
		const struct http_header h[] = {HTTP_HEADER("allow", "GET"), HTTP_HEADER("content-type", "text/plain; charset=utf-8")};
		struct slice body = SLICE_LIT("Method Not Allowed\n");

		http_respond(r, 405, h, ARRAY_COUNT(h));
		http_send(r, &body, 1);
		http_end(r, NULL, 0);
	} else if (is_health) {
		try_read(r, px->client, false);
	} else if (is_proxy_health) {
		try_read(r, px->self, true);
	} else if (px->o->pprof && slice_has_prefix(path, SLICE_LIT("/debug/pprof"))) {
		profiles(r);
	} else {
		http_reply_text(r, 404, TEXT_PLAIN, SLICE_LIT("404 page not found\n"));
	}
}

static void on_body(struct http_req *r, struct slice data)
{
	http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct ask *a = r->user;

	r->user = NULL;
	if (a)
		ask_free(a);
}

static const struct http_handler handler = {on_request, on_body, on_body_end, NULL, NULL, on_close};

const struct http_handler *web_route_proxy(struct http_req *r)
{
	return &handler;
}

void web_stop(struct grpc_proxy *px)
{
	LIST_EACH_SAFE (it, &px->asks) {
		struct ask *a = CONTAINER_OF(it, struct ask, node);

		a->http->user = NULL;
		ask_free(a);
	}
}
