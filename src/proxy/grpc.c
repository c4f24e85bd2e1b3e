/* etcd grpc-proxy: what the flags say, made into listeners, clients and the table of methods. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/text.h"
#include "env/env.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"

enum { MESSAGE_BYTES_MAX = 4 << 20, BUDGET_BYTES = 1 << 30, DIAL_TIMEOUT_MS = 5000, SYNC_TIMEOUT_MS = 5000 };

/* ---- flags ---- */

static int complain(const char *fmt, ...) PRINTF(1, 2);
static int complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	return 1;
}

static bool parse_version(const char *text, enum tls_version *out)
{
	*out = !text[0] ? TLS_VERSION_ANY : !strcmp(text, "TLS1.2") ? TLS_VERSION_1_2 : TLS_VERSION_1_3;
	return !text[0] || !strcmp(text, "TLS1.2") || !strcmp(text, "TLS1.3");
}

static int bad_version(const char *flag, const char *text)
{
	struct buf q;

	buf_init(&q, 1 << 16);
	text_quote(&q, slice_str(text));
	complain("%s is invalid: unexpected TLS version %.*s (must be one of: TLS1.2, TLS1.3)\n", flag, SLICE_ARG(buf_slice(&q)));
	buf_fini(&q);
	return 1;
}

static int check_flags(const struct proxy_options *o)
{
	enum tls_version min, max;

	if (o->resolver_prefix[0] && o->resolver_ttl_s < 1)
		return complain("invalid resolver-ttl %lld\n", (long long)o->resolver_ttl_s);
	if (!o->resolver_prefix[0] && o->resolver_ttl_s > 0)
		return complain("invalid resolver-prefix \"\"\n");
	if (o->resolver_prefix[0] && !o->advertise_url[0])
		return complain("invalid advertise-client-url \"\"\n");
	if (o->auto_tls && !o->self_signed_years)
		return complain("selfSignedCertValidity is invalid,it should be greater than 0\n");
	if (!parse_version(o->tls_min, &min))
		return bad_version("tls-min-version", o->tls_min);
	if (!parse_version(o->tls_max, &max))
		return bad_version("tls-max-version", o->tls_max);
	if (max != TLS_VERSION_ANY && min > max)
		return complain("min version (%s) is greater than max version (%s)\n", o->tls_min, o->tls_max);
	if (min == TLS_VERSION_1_3 && o->listen_ciphers[0])
		return complain("cipher suites cannot be configured when only TLS1.3 is enabled\n");
	return 0;
}

/* ---- TLS ---- */

static void log_tls(const char *event, const char *cert, const char *key, const char *ca, const char *crl)
{
	char *info = mem_printf("cert = %s, key = %s, client-cert=, client-key=, trusted-ca = %s, client-cert-auth = false, crl-file = %s", cert, key,
				ca, crl);

	LOG_INFO(event, LOG_STR("tls-info", info));
	mem_free(info);
}

static err_t self_signed(const struct proxy_options *o, struct why *why, char **cert, char **key)
{
	char *dir = mem_printf("%s/fixtures/proxy", o->data_dir);
	err_t err = tls_self_signed(dir, &o->listen_addr, 1, (unsigned)MIN(o->self_signed_years, (uint64_t)1000), why, cert, key);

	mem_free(dir);
	return err;
}

static int listen_tls(struct grpc_proxy *px)
{
	const struct proxy_options *o = px->o;
	struct tls_config t = {.cert_file = o->listen_cert, .key_file = o->listen_key, .trusted_ca_file = o->listen_ca, .crl_file = o->listen_crl,
			       .check_client_san = true, .offer_h2 = true};
	char *cert = NULL, *key = NULL;
	struct words ciphers = {0};
	struct why why = {""};
	err_t err = OK;

	if (!o->listen_cert[0] && !o->listen_key[0] && !o->listen_ca[0]) {
		if (!o->auto_tls)
			return 0;
		err = self_signed(o, &why, &cert, &key);
		t.cert_file = cert;
		t.key_file = key;
	}
	if (o->listen_ciphers[0])
		words_split(&ciphers, o->listen_ciphers);
	t.cipher_suites = ciphers.at.at;
	t.cipher_suite_count = ciphers.at.count;
	parse_version(o->tls_min, &t.min_version);
	parse_version(o->tls_max, &t.max_version);
	if (!err)
		err = tls_cipher_suites_check(ciphers.at.at, ciphers.at.count, &why);
	if (!err) {
		log_tls("gRPC proxy server TLS", t.cert_file, t.key_file, o->listen_ca, o->listen_crl);
		if (!t.cert_file[0] || !t.key_file[0])
			err = why_set(&why, ERR_INVALID, "KeyFile and CertFile must both be present[key: %s, cert: %s]", t.key_file, t.cert_file);
	}
	if (!err)
		err = tls_context_new(&t, &why, &px->tls);
	if (err)
		LOG_ERROR("failed to create TLS listener", LOG_WHY(&why));
	words_fini(&ciphers);
	mem_free(cert);
	mem_free(key);
	return err ? 1 : 0;
}

/* A certificate that names a user would make all clients of this proxy that user. */
static err_t check_no_name(const char *cert_file, struct why *why)
{
	FILE *f = fopen(cert_file, "r");
	X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	char name[256] = "";

	if (f)
		fclose(f);
	if (!x)
		return OK; /* whoever uses it says what is wrong with it */
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof(name)) < 0)
		name[0] = '\0';
	X509_free(x);
	if (!name[0])
		return OK;
	return why_set(why, ERR_INVALID, "cert has non empty Common Name (%s): %s", name, cert_file);
}

static bool any_https(const struct grpc_proxy *px)
{
	for (size_t i = 0; i < px->endpoints.at.count; i++)
		if (!strncmp(px->endpoints.at.at[i], "https:", 6))
			return true;
	return false;
}

static err_t make_client(struct grpc_proxy *px, struct why *why)
{
	const struct proxy_options *o = px->o;
	struct client_opts co = {.endpoints = px->endpoints.at.at, .endpoint_count = px->endpoints.at.count, .dial_timeout_ms = DIAL_TIMEOUT_MS,
		.keepalive_time_ms = (uint64_t)MAX(o->dial_keepalive_ns, 0) / 1000000,
		.keepalive_timeout_ms = (uint64_t)MAX(o->dial_keepalive_timeout_ns, 0) / 1000000, .keepalive_idle = o->permit_without_stream,
		.send_bytes_max = (uint32_t)MIN(MAX(o->send_bytes_max, 0), INT32_MAX), .recv_bytes_max = (uint32_t)MIN(MAX(o->recv_bytes_max, 0), INT32_MAX),
		.tls = {.on = o->cert[0] || o->key[0] || o->cacert[0] || o->skip_verify, .cert = o->cert, .key = o->key, .cacert = o->cacert,
			.skip_verify = o->skip_verify}};
	struct tls_config fetch = {.trusted_ca_file = o->cacert, .client_cert_file = o->cert, .client_key_file = o->key,
				   .insecure_skip_verify = o->skip_verify};
	err_t err = o->cert[0] ? check_no_name(o->cert, why) : OK;

	if (!err && co.tls.on && o->skip_verify)
		LOG_WARN("--insecure-skip-tls-verify was given, this grpc proxy process skips authentication of etcd server TLS certificates. "
			 "This option should be enabled only for testing purposes.");
	if (!err)
		err = client_new(net_loop_uv(px->loop), &co, why, &px->client);
	if (!err && co.tls.on) {
		log_tls("gRPC proxy client TLS", o->cert, o->key, o->cacert, "");
		if (!o->cert[0] || !o->key[0])
			fetch.client_cert_file = fetch.client_key_file = NULL;
	}
	/* Reading the system's authorities takes 40 ms; not for nothing. */
	if (!err && (co.tls.on || px->tls || any_https(px)))
		err = tls_context_new(&fetch, why, &px->fetch_tls);
	return err;
}

/* The proxy as a client of itself: what /proxy/health goes by. */
static err_t make_self(struct grpc_proxy *px, struct why *why)
{
	const struct proxy_options *o = px->o;
	struct client_opts co = {.endpoints = &o->advertise_url, .endpoint_count = 1, .dial_timeout_ms = DIAL_TIMEOUT_MS,
		.tls = {.on = px->tls, .cert = o->listen_cert, .key = o->listen_key, .cacert = o->listen_ca,
			.skip_verify = px->tls && !o->listen_cert[0]}};
	err_t err;

	if (!o->advertise_url[0])
		return OK;
	err = client_new(net_loop_uv(px->loop), &co, why, &px->self);
	if (!err)
		LOG_INFO("create proxy client", LOG_STR("grpcProxyAdvertiseClientURL", o->advertise_url));
	return err;
}

/* ---- endpoints ---- */

static void shuffle(struct words *w)
{
	struct rng rng;
	uint64_t seed;

	env_random(&seed, sizeof(seed));
	rng_init(&rng, seed);
	for (size_t i = w->at.count; i > 1; i--) {
		size_t k = rng_below(&rng, i);
		const char *t = w->at.at[k];

		w->at.at[k] = w->at.at[i - 1];
		w->at.at[i - 1] = t;
	}
}

static bool find_endpoints(struct grpc_proxy *px)
{
	if (!discover(px->o, &px->found))
		return false;
	if (px->found.at.count) {
		for (size_t i = 0; i < px->found.at.count; i++)
			VEC_PUSH(&px->endpoints.at, px->found.at.at[i].url);
	} else {
		words_split(&px->endpoints, px->o->endpoints);
	}
	shuffle(&px->endpoints); /* whose metrics are shown is anybody's */
	return true;
}

static void sync_again(struct grpc_proxy *px)
{
	net_timer_set(px->loop, &px->sync, net_loop_now_ms(px->loop) + MAX((uint64_t)px->o->auto_sync_ns / 1000000, (uint64_t)1));
}

struct sync_list {
	struct buf text; /* NUL-ended, one after the other */
	size_t count;
};

/* Member: name 2, clientURLs 4, isLearner 5. Those that have not started, and learners, are left out. */
static void add_member(struct sync_list *l, struct slice member)
{
	struct pb_reader r = pb_reader_of(member);
	struct pb_field f;
	bool named = false, learner = false;

	while (pb_next(&r, &f)) {
		named |= f.number == 2 && f.wire == PB_BYTES && f.bytes.size;
		learner |= f.number == 5 && f.value;
	}
	r = pb_reader_of(member);
	while (named && !learner && pb_next(&r, &f)) {
		if (f.number != 4 || f.wire != PB_BYTES || !f.bytes.size)
			continue;
		buf_put_slice(&l->text, f.bytes);
		buf_put_byte(&l->text, 0);
		l->count++;
	}
}

static bool same_words(const struct words *a, const struct words *b)
{
	bool same = a->at.count == b->at.count;

	for (size_t i = 0; same && i < a->at.count; i++)
		same = !strcmp(a->at.at[i], b->at.at[i]);
	return same;
}

static void take_endpoints(struct grpc_proxy *px, const struct sync_list *l)
{
	struct words w = {.text = mem_alloc(l->text.size)};
	const char *at;

	memcpy(w.text, l->text.data, l->text.size);
	at = w.text;
	for (size_t i = 0; i < l->count; i++, at += strlen(at) + 1)
		VEC_PUSH(&w.at, at);
	if (same_words(&px->endpoints, &w)) {
		words_fini(&w);
		return;
	}
	client_set_endpoints(px->client, w.at.at, w.at.count);
	LOG_INFO("set etcd endpoints by autoSync", LOG_STRS("endpoints", w.at.at, w.at.count));
	words_fini(&px->endpoints);
	px->endpoints = w;
}

/* Endpoints may not change within a callback of the client. */
struct sync_end {
	struct net_timer timer; /* fires at once */
	struct grpc_proxy *px;
	struct sync_list list;
};

static void on_sync_list(struct client_call *call, void *user, struct slice body)
{
	struct sync_end *e = user;
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == 2 && f.wire == PB_BYTES)
			add_member(&e->list, f.bytes);
}

static void on_sync_apply(struct net_timer *t)
{
	struct sync_end *e = CONTAINER_OF(t, struct sync_end, timer);

	if (e->list.count)
		take_endpoints(e->px, &e->list);
	sync_again(e->px);
	buf_fini(&e->list.text);
	mem_free(e);
}

static void on_sync_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct sync_end *e = user;
	char text[CLIENT_ERROR_SIZE];

	if (s->is_local && s->code == GRPC_CANCELLED) { /* the proxy stops */
		buf_fini(&e->list.text);
		mem_free(e);
		return;
	}
	if (s->code != GRPC_OK)
		LOG_INFO("Auto sync endpoints failed.", LOG_STR("error", client_error(text, s)));
	net_timer_set(e->px->loop, &e->timer, net_loop_now_ms(e->px->loop));
}

static void on_sync_time(struct net_timer *t)
{
	static const struct client_events events = {on_sync_list, on_sync_end};
	struct client_call_opts co = {.timeout_ms = SYNC_TIMEOUT_MS};
	struct sync_end *e = NEW(struct sync_end);
	struct buf body;

	e->px = CONTAINER_OF(t, struct grpc_proxy, sync);
	buf_init(&e->list.text, 1 << 20);
	net_timer_init(&e->timer, on_sync_apply);
	buf_init(&body, 8);
	pb_put_uint(&body, 1, true);
	client_start(e->px->client, RPC_MEMBER_LIST, buf_slice(&body), &co, &events, e);
	buf_fini(&body);
}

/* ---- connections ---- */

static const struct http_handler *route(void *arg, struct http_req *r)
{
	struct grpc_proxy *px = arg;

	return grpc_is(r) ? grpc_accept(px->grpc, r) : web_route_proxy(r);
}

static const struct http_handler *route_metrics(void *arg, struct http_req *r)
{
	return web_route_proxy(r);
}

static void serve(struct grpc_proxy *px, const struct http_service *svc, struct net_stream *take_s)
{
	http_serve(px->http, svc, take_s);
}

static void secured(struct grpc_proxy *px, const struct http_service *svc, err_t err, const char *why, struct net_stream *take_s)
{
	if (!err)
		serve(px, svc, take_s);
	else if (err != ERR_STOPPED && strcmp(why, "EOF"))
		LOG_WARN("rejected connection", LOG_STR("error", why));
}

static void on_secured(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct grpc_proxy *px = arg;

	secured(px, &px->service, err, why, take_s);
}

static void on_metrics_secured(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct grpc_proxy *px = arg;

	secured(px, &px->metrics_service, err, why, take_s);
}

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct grpc_proxy *px = arg;

	if (px->tls)
		tls_accept(px->tls, take_s, on_secured, px);
	else
		serve(px, &px->service, take_s);
}

static void on_metrics_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct grpc_proxy *px = arg;

	if (px->metrics_are_tls)
		tls_accept(px->tls, take_s, on_metrics_secured, px);
	else
		serve(px, &px->metrics_service, take_s);
}

static int listen_clients(struct proxy *p, struct grpc_proxy *px)
{
	struct net_listen_opts lo = {.network = "tcp", .address = px->o->listen_addr, .loops = &p->loop, .loop_count = 1, .on_accept = on_accept,
				     .arg = px};
	struct why why = {""};

	if (net_listen(&lo, &why, &p->listener))
		return complain("%s\n", why.text);
	LOG_INFO("listening for gRPC proxy client requests", LOG_STR("address", px->o->listen_addr));
	return 0;
}

static int listen_metrics(struct proxy *p, struct grpc_proxy *px)
{
	const char *url = px->o->metrics_addr, *host = strstr(url, "://");
	struct net_listen_opts lo = {.network = "tcp", .loops = &p->loop, .loop_count = 1, .on_accept = on_metrics_accept, .arg = px};
	struct why why = {""};
	char *address;
	int code = 0;

	if (!url[0])
		return 0;
	if (!host)
		return complain("cannot parse \"%s\"", url);
	px->metrics_are_tls = !strncmp(url, "https", 5);
	if (px->metrics_are_tls && !px->tls)
		return complain("cannot listen on TLS for %s: KeyFile and CertFile are not presented\n", url);
	address = mem_printf("%.*s", (int)strcspn(host + 3, "/"), host + 3);
	lo.address = address;
	if (net_listen(&lo, &why, &px->metrics_listener))
		code = complain("%s\n", why.text);
	else
		LOG_INFO("gRPC proxy listening for metrics", LOG_STR("address", url));
	mem_free(address);
	return code;
}

/* ---- methods ---- */

static const struct grpc_handler *handler_of(const struct grpc_proxy *px, enum rpc rpc)
{
	switch (rpc) {
	case RPC_WATCH: return &watch_handler;
	case RPC_LEASE_KEEP_ALIVE: return &keepalive_handler;
	case RPC_MEMBER_LIST: return cluster_answers(px) ? &member_list_handler : &pass_handler;
	case RPC_MEMBER_PROMOTE: return &member_promote_handler;
	case RPC_RANGE_STREAM: return &range_stream_handler;
	default: return &pass_handler;
	}
}

static const char *stream_name(const struct rpc_method *m)
{
	return m->stream == RPC_BIDI ? "bidi_stream" : m->stream == RPC_SERVER_STREAM ? "server_stream" : "unary";
}

static void on_started(void *arg, const struct grpc_method *g)
{
	const struct rpc_method *m = g->data;

	metric_add(metric_series(METRIC_GRPC_SERVER_STARTED_TOTAL, (const char *[]){m->name, m->service, stream_name(m)}), 1);
}

static void on_started_logged(void *arg, const struct grpc_method *g)
{
	on_started(arg, g);
	LOG_INFO("gRPC call", LOG_STR("grpc.service", g->service), LOG_STR("grpc.method", g->name));
}

static const struct grpc_stats stats = {.started = on_started};
static const struct grpc_stats stats_logged = {.started = on_started_logged};

static void make_methods(struct grpc_proxy *px)
{
	static struct grpc_method methods[RPC__COUNT];
	struct grpc_opts o = {.methods = methods, .message_bytes_max = MESSAGE_BYTES_MAX, .stats = px->o->log_calls ? &stats_logged : &stats};

	for (int i = 0; i < RPC__COUNT; i++) {
		const struct rpc_method *m = &rpc_methods[i];
		unsigned flags = m->stream == RPC_BIDI ? GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM :
				 m->stream == RPC_SERVER_STREAM ? GRPC_SERVER_STREAM : 0;

		if (strncmp(m->service, "grpc.", 5)) /* upstream's proxy has no health service either */
			methods[o.method_count++] = (struct grpc_method){m->service, m->name, flags, handler_of(px, (enum rpc)i), m};
	}
	px->server = grpc_server_new(&o);
}

static void make_services(struct grpc_proxy *px)
{
	const struct proxy_options *o = px->o;

	px->service = (struct http_service){.http1 = true, .http2 = true, .route = route, .arg = px, .budget = px->budget};
	http_limits_default(&px->service.limits);
	px->service.limits.streams_max = UINT32_MAX;
	px->service.limits.ping_min_ms = (uint64_t)MAX(o->keepalive_min_ns, 0) / 1000000;
	px->service.limits.ping_interval_ms = (uint64_t)MAX(o->keepalive_interval_ns, 0) / 1000000;
	px->service.limits.ping_timeout_ms = (uint64_t)MAX(o->keepalive_timeout_ns, 0) / 1000000;
	px->metrics_service = px->service;
	px->metrics_service.route = route_metrics;
	px->metrics_service.limits.streams_max = (uint32_t)MIN(o->streams_max, (uint64_t)UINT32_MAX);
}

/* ---- life ---- */

static void begin(void *arg)
{
	struct grpc_proxy *px = arg;

	kv_begin(px);
	cluster_begin(px);
	leasing_begin(px);
	if (px->o->auto_sync_ns > 0)
		sync_again(px);
}

static void set_log_level(const struct proxy_options *o)
{
	static const char *const outputs[] = {"stderr"};
	struct log_config c = {.level = LOG_LEVEL_DEBUG, .format = LOG_FORMAT_JSON, .outputs = outputs, .outputs_count = 1};

	if (o->debug)
		err_ignore(log_setup(&c, NULL)); /* stderr is always there */
}

static struct grpc_proxy *grpc_proxy_new(struct proxy *p, const struct proxy_options *o)
{
	struct grpc_proxy *px = NEW(struct grpc_proxy);

	px->proxy = p;
	px->o = o;
	px->loop = p->loop;
	px->has_prefix = o->name_space[0];
	if (px->has_prefix) {
		px->prefix_end = mem_alloc(strlen(o->name_space));
		prefix_init(&px->prefix, slice_str(o->name_space), px->prefix_end);
	}
	px->budget = http_budget_new(BUDGET_BYTES);
	px->http = http_io_new(p->loop, px);
	cache_init(&px->cache);
	list_init(&px->asks);
	net_timer_init(&px->sync, on_sync_time);
	pass_init(px);
	watching_init(px);
	keeping_init(px);
	cluster_init(px);
	leasing_init(px);
	make_methods(px);
	px->grpc = grpc_io_new(px->server, px->http, px, NULL);
	make_services(px);
	return px;
}

int grpc_proxy_start(struct proxy *p, const struct proxy_options *o)
{
	struct grpc_proxy *px;
	struct why why = {""};
	int code = check_flags(o);

	if (code) {
		proxy_loop_start(p);
		return code;
	}
	set_log_level(o);
	p->grpc = px = grpc_proxy_new(p, o);
	code = listen_tls(px);
	if (!code)
		code = find_endpoints(px) ? 0 : 1;
	if (!code && make_client(px, &why))
		code = complain("%s\n", why.text);
	if (!code)
		code = listen_clients(p, px);
	if (!code && make_self(px, &why))
		code = complain("%s\n", why.text);
	if (!code)
		code = listen_metrics(p, px);
	proxy_loop_start(p);
	if (code)
		return code;
	net_loop_call_wait(p->loop, begin, px);
	if (o->pprof)
		LOG_INFO("gRPC proxy enabled pprof", LOG_STR("path", "/debug/pprof"));
	LOG_INFO("started gRPC proxy", LOG_STR("address", o->listen_addr));
	notify_ready();
	return 0;
}

static void end(void *arg)
{
	struct grpc_proxy *px = arg;

	net_timer_cancel(px->loop, &px->sync);
	web_stop(px);
	cluster_stop(px);
	keeping_stop(px);
	watching_stop(px);
	pass_stop(px);
	leasing_stop(px);
	if (px->tls)
		tls_handshakes_cancel(px->tls, px->loop);
	if (px->fetch_tls)
		tls_handshakes_cancel(px->fetch_tls, px->loop);
	http_io_close(px->http);
	client_free(px->self);
	client_free(px->client);
}

void grpc_proxy_stop(struct proxy *p)
{
	struct grpc_proxy *px = p->grpc;

	if (px->metrics_listener)
		net_listener_close(px->metrics_listener);
	net_loop_call_wait(p->loop, end, px);
	net_loop_stop(p->loop);
	grpc_io_free(px->grpc);
	http_io_free(px->http);
	grpc_server_free(px->server);
	http_budget_free(px->budget);
	watching_free(px);
	keeping_free(px);
	cluster_free(px);
	leasing_free(px);
	cache_fini(&px->cache);
	tls_context_free(px->tls);
	tls_context_free(px->fetch_tls);
	words_fini(&px->endpoints);
	backends_fini(&px->found);
	mem_free(px->prefix_end);
	mem_free(px);
}
