#include "server/server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "api/grpc_bridge.h"
#include "api/web.h"
#include "env/env.h"
#include "net/net.h"
#include "node/node.h"
#include "obs/log.h"
#include "server/discovery.h"
#include "server/peers.h"
#include "server/secure.h"
#include "server/sniff.h"
#include "server/tokens.h"
#include "server/tracing.h"
#include "server/resolve.h"
#include "obs/metric.h"

enum { IO_LOOPS_MAX = 16, WORKERS = 2, PASSWORD_THREADS = 2, LISTENERS_MAX = 64, BUDGET_BYTES = 1 << 30,
       EARLY_MAX = 4096 };      /* connections of an io thread that wait for the member; more are closed */

/* One io thread: its loop, the calls on it, and the connections that came before the member was ready. */
struct io {
	struct server *server;
	struct net_loop *loop;
	struct http_io *http;
	struct grpc_io *grpc;
	struct api_io *api;
	char name[16];
	VEC(struct net_stream *) early;
	bool serving_metrics, serving;
	struct net_call serve_metrics_call, serve_call;
};

enum listener_kind { LISTEN_PEER, LISTEN_CLIENT, LISTEN_CLIENT_HTTP, LISTEN_METRICS };

struct listener {
	struct server *server;
	enum listener_kind kind;
	const struct url *url;
	bool plain, tls;                        /* what its URLs say; both: the first byte of a connection tells */
	struct net_listener *net;
	struct http_service service;
	struct web_listener web;
};

/* A connection whose handshake is under way. */
struct secured {
	struct listener *listener;
	struct net_loop *loop;
};

struct server {
	struct config *cfg;
	struct sched *sched;
	struct sched *passwords;        /* threads of bcrypt */
	enum token_kind token_kind;
	struct jwt *jwt;
	struct pacer *pacer;
	struct node *node;
	struct peers *peers;
	struct secure secure;
	struct net_loop *peer_loop;
	struct tracing *tracing;        /* NULL: no spans */
	struct api *api;
	struct grpc_server *grpc;
	struct http_budget *budget;
	struct io ios[IO_LOOPS_MAX];
	struct net_loop *loops[IO_LOOPS_MAX];
	unsigned io_count;
	struct listener listeners[LISTENERS_MAX];
	size_t listener_count;
	char *data_dir;
	struct slice *hosts, *origins;          /* --host-whitelist, --cors */
	_Atomic bool ready;
	_Atomic bool removed;
};

/* ---- io threads ---- */

static void io_receive(void *self, struct msg *m)
{
	api_receive(((struct io *)self)->api, m);
}

static const struct actor_ops io_ops = {io_receive, NULL};

static unsigned io_loops_wanted(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return (unsigned)MIN(MAX(cpus, 1), IO_LOOPS_MAX);
}

static void loops_start(struct server *s)
{
	s->io_count = io_loops_wanted();
	for (unsigned i = 0; i < s->io_count; i++) {
		struct io *io = &s->ios[i];

		snprintf(io->name, sizeof(io->name), "io%u", i);
		io->server = s;
		io->loop = net_loop_new(s->sched, io->name, &io_ops, io);
		net_loop_sync_in_place(io->loop);
		io->http = http_io_new(io->loop, io);
		s->loops[i] = io->loop;
	}
}

/* ---- connections ---- */

static struct io *io_of(struct server *s, struct net_loop *loop)
{
	for (unsigned i = 0; i < s->io_count; i++)
		if (s->ios[i].loop == loop)
			return &s->ios[i];
	UNREACHABLE();
}

static void serve_stream(struct listener *l, struct net_loop *loop, struct net_stream *take_s)
{
	struct io *io;

	if (l->kind == LISTEN_PEER) {
		peers_accept(l->server->peers, loop, take_s);
		return;
	}
	io = io_of(l->server, loop);
	if (l->kind == LISTEN_METRICS ? io->serving_metrics : io->serving)
		http_serve(io->http, &l->service, take_s);
	else if (io->early.count < EARLY_MAX)
		VEC_PUSH(&io->early, take_s);
	else
		net_stream_close(take_s, true);
}

static void on_secured(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct secured *c = arg;
	struct listener *l = c->listener;

	if (!err)               /* else src/server/secure.c has told it */
		serve_stream(l, c->loop, take_s);
	mem_free(c);
}

static struct tls_context *context_of(const struct listener *l)
{
	switch (l->kind) {
	case LISTEN_PEER: return l->server->secure.peer;
	case LISTEN_METRICS: return l->server->secure.metrics;
	default: return l->server->secure.client;
	}
}

static void serve_known(void *arg, struct net_loop *loop, bool is_tls, struct net_stream *take_s)
{
	struct listener *l = arg;
	struct secured *c;

	if (!is_tls) {
		serve_stream(l, loop, take_s);
		return;
	}
	c = NEW(struct secured);
	c->listener = l;
	c->loop = loop;
	tls_accept(context_of(l), take_s, on_secured, c);
}

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct listener *l = arg;

	if (l->plain && l->tls)
		sniff(take_s, serve_known, l);
	else
		serve_known(l, loop, l->tls, take_s);
}

static const struct http_handler *route(void *arg, struct http_req *r)
{
	struct listener *l = arg;
	struct io *io = http_io_user(http_req_io(r));

	/* Pages over HTTP/2 are for TLS, where no first bytes tell the protocols apart; otherwise HTTP/2 is gRPC, or told that it is not. */
	if (l->kind == LISTEN_CLIENT && r->is_http2 && (grpc_is(r) || !http_req_peer(r)->is_tls || !l->service.http1))
		return grpc_accept(io->grpc, r);
	return web_route(&l->web, io->api, r);
}

static void serve_early(struct io *io, bool metrics_only)
{
	size_t kept = 0;

	for (size_t i = 0; i < io->early.count; i++) {
		struct net_stream *s = io->early.at[i];
		struct listener *l = s->listener_arg;

		if (l->kind == LISTEN_METRICS || !metrics_only)
			http_serve(io->http, &l->service, s);
		else
			io->early.at[kept++] = s;
	}
	io->early.count = kept;
	if (!kept)
		VEC_FREE(&io->early);
}

/* Who watches a member wants to know why it is not ready. */
static void serve_metrics(struct net_call *c)
{
	struct io *io = CONTAINER_OF(c, struct io, serve_metrics_call);

	io->serving_metrics = true;
	serve_early(io, true);
}

static void serve_all(struct net_call *c)
{
	struct io *io = CONTAINER_OF(c, struct io, serve_call);

	io->serving_metrics = io->serving = true;
	serve_early(io, false);
}

static const char *traffic(const struct listener *l)
{
	switch (l->kind) {
	case LISTEN_CLIENT: return l->service.http1 ? "grpc+http" : "grpc";
	default: return "http";
	}
}

/* On core, once: the member has published itself. */
static void on_ready(void *arg)
{
	struct server *s = arg;

	LOG_INFO("ready to serve client requests");
	for (size_t i = 0; i < s->listener_count; i++) {
		const struct listener *l = &s->listeners[i];

		if (l->kind != LISTEN_CLIENT && l->kind != LISTEN_CLIENT_HTTP)
			continue;
		if (l->tls)
			LOG_INFO("serving client traffic securely", LOG_STR("traffic", traffic(l)), LOG_STR("address", net_listener_address(l->net)));
		if (l->plain)
			LOG_INFO("serving client traffic insecurely; this is strongly discouraged!", LOG_STR("traffic", traffic(l)),
				 LOG_STR("address", net_listener_address(l->net)));
	}
	for (unsigned i = 0; i < s->io_count; i++)
		net_loop_call(s->ios[i].loop, &s->ios[i].serve_call, serve_all);
	s->ready = true;
}

bool server_is_ready(const struct server *s)
{
	return s->ready;
}

/* ---- listeners ---- */

static struct http_service service_for(struct server *s, struct listener *l, bool grpc, bool http)
{
	struct http_service svc = {.http1 = http, .http2 = grpc, .route = route, .arg = l, .budget = s->budget};

	http_limits_default(&svc.limits);
	svc.limits.streams_max = s->cfg->max_concurrent_streams;
	svc.limits.ping_min_ms = (uint64_t)s->cfg->grpc_keepalive_min_time_ns / 1000000;
	svc.limits.ping_interval_ms = (uint64_t)s->cfg->grpc_keepalive_interval_ns / 1000000;
	svc.limits.ping_timeout_ms = (uint64_t)s->cfg->grpc_keepalive_timeout_ns / 1000000;
	return svc;
}

static struct slice *slices_of(const struct str_list *l)
{
	struct slice *out = NEW_ARRAY(struct slice, l->count);

	for (size_t i = 0; i < l->count; i++)
		out[i] = slice_str(l->at[i]);
	return out;
}

/* http and https URLs of one address share its listener. */
static struct listener *listener_shared(struct server *s, enum listener_kind kind, const struct url *u)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];

		if (l->kind == kind && url_is_tls(l->url) != url_is_tls(u) && url_is_unix(l->url) == url_is_unix(u) &&
		    !strcmp(l->url->host, u->host) && !strcmp(l->url->port, u->port) && !strcmp(l->url->path, u->path))
			return l;
	}
	return NULL;
}

static err_t listen_one(struct server *s, enum listener_kind kind, const struct url *u, struct why *why)
{
	struct listener *l = listener_shared(s, kind, u);
	bool split = s->cfg->listen_client_http_urls.count > 0;
	char *address = url_is_unix(u) && (u->path[0] || !u->port[0]) ? mem_strdup(u->path[0] ? u->path : u->host) :
			strchr(u->host, ':') ? mem_printf("[%s]:%s", u->host, u->port) : mem_printf("%s:%s", u->host, u->port);
	bool is_peer = kind == LISTEN_PEER;
	struct net_listen_opts o = {.network = url_is_unix(u) ? "unix" : "tcp", .address = address,
		.loops = is_peer ? &s->peer_loop : s->loops, .loop_count = is_peer ? 1 : s->io_count, .on_accept = on_accept, .reuse_port = s->cfg->socket_reuse_port,
		.reuse_address = s->cfg->socket_reuse_address};
	err_t err;

	if (l) {
		l->plain = l->tls = true;
		mem_free(address);
		return OK;
	}
	if (s->listener_count == LISTENERS_MAX) {
		mem_free(address);
		return why_set(why, ERR_INVALID, "more than %d listen URLs", LISTENERS_MAX);
	}
	l = &s->listeners[s->listener_count];
	l->server = s;
	l->kind = kind;
	l->url = u;
	l->tls = url_is_tls(u);
	l->plain = !l->tls;
	l->service = service_for(s, l, kind == LISTEN_CLIENT || l->tls, kind != LISTEN_CLIENT || !split);
	l->web = (struct web_listener){.gateway = s->cfg->enable_grpc_gateway,
		.debug = s->cfg->enable_pprof || log_enabled(LOG_LEVEL_DEBUG),
		.kind = kind == LISTEN_METRICS ? WEB_METRICS : WEB_CLIENT,
		.front = {s->hosts, s->cfg->host_whitelist.count, s->origins, s->cfg->cors.count}};
	o.arg = l;
	err = net_listen(&o, why, &l->net);
	if (!err)
		s->listener_count++;
	mem_free(address);
	return err;
}

static err_t listen_all(struct server *s, enum listener_kind kind, const struct url_list *urls, struct why *why)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < urls->count; i++)
		err = listen_one(s, kind, &urls->at[i], why);
	return err;
}

/* ---- the node ---- */

static void hook_random(void *arg, void *out, size_t size)
{
	env_random(out, size);
}

static int64_t hook_wall_ns(void *arg)
{
	return env_wall_ns();
}

static void hook_sleep_ms(void *arg, uint32_t ms)
{
	usleep(ms * 1000);
}

struct half {
	void (*run)(void *work);
	void *work;
};

static void *half_main(void *arg)
{
	struct half *h = arg;

	pthread_setname_np(pthread_self(), "open");
	h->run(h->work);
	return NULL;
}

static void hook_both(void *arg, void (*a)(void *), void (*b)(void *), void *work)
{
	struct half h = {a, work};
	pthread_t thread;
	bool beside = pthread_create(&thread, NULL, half_main, &h) == 0;

	if (!beside)
		a(work);
	b(work);
	if (beside)
		pthread_join(thread, NULL);
}

static void hook_watch_output(void *arg, uint32_t port, struct watch_batch *take_b)
{
	struct server *s = arg;

	api_watch_output(s->ios[port].api, take_b);
}

static void hook_ask(void *arg, struct member_question *q)
{
	peers_ask(((struct server *)arg)->peers, q);
}

static bool hook_same_urls(void *arg, const struct member_urls *a, const struct member_urls *b)
{
	return resolve_same_urls(a, b);
}

/* Removed from the cluster for ever: ends as upstream does, in good order. */
static void hook_removed(void *arg)
{
	struct server *s = arg;

	s->removed = true;
	kill(getpid(), SIGTERM);
}

bool server_is_removed(const struct server *s)
{
	return s->removed;
}

/* Upstream warns of all that takes longer than a limit of 0, or of less. */
static uint64_t warning_ns(int64_t limit_ns)
{
	return limit_ns > 0 ? (uint64_t)limit_ns : 1;
}

static struct node_config node_options(struct server *s)
{
	struct config *c = s->cfg;

	return (struct node_config){
		.sched = s->sched,
		.fs = vfs_posix(),
		.hooks = {.arg = s, .random = hook_random, .wall_ns = hook_wall_ns, .sleep_ms = hook_sleep_ms, .ready = on_ready,
			  .watch_output = hook_watch_output, .removed = hook_removed, .ask = hook_ask,
			  .same_urls = hook_same_urls, .both = hook_both},
		.transport = peers_transport(s->peers),
		.pacer = s->pacer,
		.data_dir = s->data_dir,
		.wal_dir = c->wal_dir[0] ? c->wal_dir : NULL,
		.name = c->name,
		.peer_urls = url_list_texts(&c->arena, &c->initial_advertise_peer_urls),
		.client_urls = url_list_texts(&c->arena, &c->advertise_client_urls),
		.peer_url_count = c->initial_advertise_peer_urls.count,
		.client_url_count = c->advertise_client_urls.count,
		.initial_cluster = c->initial_cluster,
		.initial_token = c->initial_cluster_token,
		.heartbeat_ms = (uint32_t)c->heartbeat_interval_ms,
		.election_ms = (uint32_t)c->election_timeout_ms,
		.snapshot_count = c->snapshot_count,
		.snapshot_catchup_entries = c->snapshot_catchup_entries,
		.quota_bytes = c->quota_backend_bytes,
		.request_bytes_max = (uint32_t)c->max_request_bytes,
		.txn_ops_max = (uint32_t)c->max_txn_ops,
		.backend_batch_ms = (uint32_t)(config_backend_batch_interval_ns(c) / 1000000),
		.backend_batch_limit = (uint32_t)config_backend_batch_limit(c),
		.compaction_batch_limit = (uint32_t)config_compaction_batch_limit(c),
		.apply_warning_ns = warning_ns(c->warning_apply_duration_ns),
		.start_defrag_bytes = c->bootstrap_defrag_threshold_megabytes << 20,
		.compaction_sleep_ms = (uint32_t)(config_compaction_sleep_interval_ns(c) / 1000000),
		.wal_files_max = (uint32_t)c->max_wals,
		.snap_files_max = (uint32_t)c->max_snapshots,
		.watch_progress_ns = (uint64_t)config_progress_notify_interval_ns(c),
		.watch_ports = s->io_count,
		.initial_election_tick_advance = c->initial_election_tick_advance,
		.pre_vote = c->pre_vote,
		.strict_reconfig_check = c->strict_reconfig_check,
		.lease_checkpoint = config_gate(c, GATE_LEASE_CHECKPOINT),
		.token_kind = s->token_kind,
		.token_ttl_s = (uint32_t)MIN(c->auth_token_ttl_s, UINT32_MAX),
		.bcrypt_cost = (uint32_t)MIN(c->bcrypt_cost, UINT32_MAX),
		.learners_max = c->max_learners > 0 ? (int32_t)MIN(c->max_learners, INT32_MAX) : -1,
		.force_new_cluster = c->force_new_cluster,
		.downgrade_check_ns = (uint64_t)MAX(c->downgrade_check_time_ns, 0),
		.corrupt_check_ns = (uint64_t)MAX(c->corrupt_check_time_ns, 0),
		.compact_hash_check_ns = config_gate(c, GATE_COMPACT_HASH_CHECK) ? (uint64_t)MAX(c->compact_hash_check_time_ns, 0) : 0,
		.initial_corrupt_check = config_gate(c, GATE_INITIAL_CORRUPT_CHECK),
		.join_existing = strcmp(c->initial_cluster_state, "existing") == 0,
		.no_fsync = c->unsafe_no_fsync,
		.lock_memory = c->memory_mlock,
	};
}

static void feature_metrics(const struct config *cfg)
{
	for (enum gate g = 0; g < GATE__COUNT; g++)
		metric_set(metric_series(METRIC_SERVER_FEATURE_ENABLED, (const char *[]){gate_name(g), gate_stage(g)}), config_gate(cfg, g));
}

static err_t node_begin(struct server *s, struct why *why)
{
	struct node_config nc;
	err_t err = tokens_configure(s->cfg, why, &s->token_kind, &s->jwt);
	struct api_opts ao = {
		.request_bytes_max = (uint32_t)s->cfg->max_request_bytes,
		.txn_ops_max = (uint32_t)s->cfg->max_txn_ops,
		.quota_bytes = s->cfg->quota_backend_bytes,
		.certificates_name_users = s->cfg->client_cert_auth,
		.election_ms = (uint32_t)s->cfg->election_timeout_ms,
		.apply_warning_ns = warning_ns(s->cfg->warning_apply_duration_ns),
		.unary_warning_ns = warning_ns(s->cfg->warning_unary_request_duration_ns),
	};

	nc = node_options(s);
	ao.traces = tracing_queue(s->tracing);
	ao.token_kind = s->token_kind;
	ao.jwt = s->jwt;
	ao.bcrypt_cost = nc.bcrypt_cost;
	ao.passwords = s->passwords = sched_threads_new(PASSWORD_THREADS);
	if (!err)
		err = config_auto_compaction(s->cfg, &nc.auto_compact_mode, &nc.auto_compact_retention, why);

	if (!err)
		err = node_open(&nc, why, &s->node);
	if (err)
		return err;
	feature_metrics(s->cfg);
	s->api = api_new(s->node, &ao);
	s->grpc = api_grpc_server_new((uint32_t)s->cfg->max_request_bytes + 512 * 1024, strcmp(s->cfg->metrics, "extensive") == 0);
	for (unsigned i = 0; i < s->io_count; i++) {
		struct io *io = &s->ios[i];

		io->api = api_io_new(s->api, net_loop_actor(io->loop), i);
		io->grpc = grpc_io_new(s->grpc, io->http, io->api, NULL);
	}
	return OK;
}

static void log_start(struct server *s)
{
	struct config *c = s->cfg;

	if (c->enable_pprof || log_enabled(LOG_LEVEL_DEBUG))
		LOG_INFO("pprof is enabled", LOG_STR("path", "/debug/pprof"));
	LOG_INFO("starting an etcd server", LOG_STR("etcd-version", SERVER_VERSION), LOG_STR("name", c->name),
		 LOG_STR("data-dir", s->data_dir), LOG_STR("wal-dir", c->wal_dir),
		 LOG_DURATION("heartbeat-interval", (int64_t)c->heartbeat_interval_ms * 1000000),
		 LOG_DURATION("election-timeout", (int64_t)c->election_timeout_ms * 1000000), LOG_UINT("snapshot-count", c->snapshot_count),
		 LOG_UINT("snapshot-catchup-entries", c->snapshot_catchup_entries),
		 LOG_STRS("initial-advertise-peer-urls", url_list_texts(&c->arena, &c->initial_advertise_peer_urls), c->initial_advertise_peer_urls.count),
		 LOG_STRS("listen-peer-urls", url_list_texts(&c->arena, &c->listen_peer_urls), c->listen_peer_urls.count),
		 LOG_STRS("advertise-client-urls", url_list_texts(&c->arena, &c->advertise_client_urls), c->advertise_client_urls.count),
		 LOG_STRS("listen-client-urls", url_list_texts(&c->arena, &c->listen_client_urls), c->listen_client_urls.count),
		 LOG_STR("initial-cluster", c->initial_cluster), LOG_STR("initial-cluster-state", c->initial_cluster_state),
		 LOG_STR("initial-cluster-token", c->initial_cluster_token), LOG_INT("quota-backend-bytes", c->quota_backend_bytes),
		 LOG_UINT("max-request-bytes", c->max_request_bytes), LOG_STR("v2-deprecation", "write-only"));
}

err_t server_start(struct config *cfg, struct root_password *take_root, struct why *why, struct server **out)
{
	struct server *s = NEW(struct server);
	err_t err;

	s->cfg = cfg;
	s->data_dir = cfg->data_dir[0] ? mem_strdup(cfg->data_dir) : mem_printf("%s.etcd", cfg->name);
	s->sched = sched_threads_new(WORKERS);
	s->pacer = pacer_new();
	s->budget = http_budget_new(BUDGET_BYTES);
	s->hosts = slices_of(&cfg->host_whitelist);
	s->origins = slices_of(&cfg->cors);
	loops_start(s);
	if (cfg->socket_reuse_address || cfg->socket_reuse_port)
		LOG_INFO("configuring socket options", LOG_BOOL("reuse-address", cfg->socket_reuse_address),
			 LOG_BOOL("reuse-port", cfg->socket_reuse_port));
	LOG_INFO("configuring peer listeners",
		 LOG_STRS("listen-peer-urls", url_list_texts(&cfg->arena, &cfg->listen_peer_urls), cfg->listen_peer_urls.count));
	err = secure_peer_init(&s->secure, cfg, s->data_dir, why);
	s->peers = peers_new(s->sched, cfg, s->data_dir, s->secure.peer);
	s->peer_loop = peers_loop(s->peers);
	if (!err)
		err = listen_all(s, LISTEN_PEER, &cfg->listen_peer_urls, why);
	if (err)
		LOG_ERROR("creating peer listener failed", LOG_WHY(why));
	if (!err) {
		LOG_INFO("configuring client listeners",
			 LOG_STRS("listen-client-urls", url_list_texts(&cfg->arena, &cfg->listen_client_urls), cfg->listen_client_urls.count));
		err = secure_client_init(&s->secure, cfg, s->data_dir, why);
	}
	if (!err)
		err = listen_all(s, LISTEN_CLIENT, &cfg->listen_client_urls, why);
	if (!err)
		err = listen_all(s, LISTEN_CLIENT_HTTP, &cfg->listen_client_http_urls, why);
	if (!err) {
		char *wal_dir = cfg->wal_dir[0] ? mem_strdup(cfg->wal_dir) : mem_printf("%s/member/wal", s->data_dir);

		err = tracing_new(cfg, why, &s->tracing);
		log_start(s);
		if (!err)
			err = discovery_run(cfg, wal_dir, why);
		mem_free(wal_dir);
		if (!err)
			err = node_begin(s, why);
		if (!err)
			err = root_password_use(take_root, s->node, (uint32_t)MIN(cfg->bcrypt_cost, UINT32_MAX), why);
		if (err)
			LOG_ERROR("bootstrap failed", LOG_WHY(why));
	}
	if (!err)
		err = listen_all(s, LISTEN_METRICS, &cfg->listen_metrics_urls, why);
	for (unsigned i = 0; i < s->io_count; i++)
		net_loop_start(s->ios[i].loop);
	if (err) {
		server_stop(s);
		return err;
	}
	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].kind == LISTEN_PEER)
			LOG_INFO("serving peer traffic", LOG_STR("address", net_listener_address(s->listeners[i].net)));
	peers_begin(s->peers, s->node, s->ios[0].loop, s->ios[0].api);
	node_start(s->node);
	for (unsigned i = 0; i < s->io_count; i++)
		net_loop_call(s->ios[i].loop, &s->ios[i].serve_metrics_call, serve_metrics);
	peers_serve(s->peers);
	*out = s;
	return OK;
}

/* ---- the end ---- */

static void io_end_calls(void *arg)
{
	struct io *io = arg;

	if (io->api)
		api_io_stop(io->api);
	http_io_drain(io->http);
}

static void io_close(void *arg)
{
	struct io *io = arg;

	if (io->server->secure.client)
		tls_handshakes_cancel(io->server->secure.client, io->loop);
	if (io->server->secure.metrics)
		tls_handshakes_cancel(io->server->secure.metrics, io->loop);
	for (size_t i = 0; i < io->early.count; i++)
		net_stream_close(io->early.at[i], false);
	VEC_FREE(&io->early);
	http_io_close(io->http);
}

struct idle_question {
	struct io *io;
	bool idle;
};

static void io_ask_idle(void *arg)
{
	struct idle_question *q = arg;

	q->idle = !q->io->api || api_io_idle(q->io->api);
}

static void wait_idle(struct io *io)
{
	struct idle_question q = {io, false};

	for (;;) {
		net_loop_call_wait(io->loop, io_ask_idle, &q);
		if (q.idle)
			return;
		usleep(1000);
	}
}

void server_stop(struct server *s)
{
	for (size_t i = 0; i < s->listener_count; i++)
		net_listener_close(s->listeners[i].net);
	for (unsigned i = 0; i < s->io_count; i++)
		net_loop_call_wait(s->ios[i].loop, io_end_calls, &s->ios[i]);
	if (s->node) {
		node_stop(s->node);
		while (!node_stopped(s->node))
			usleep(1000);
	}
	peers_free(s->peers);
	for (unsigned i = 0; i < s->io_count; i++)
		net_loop_call_wait(s->ios[i].loop, io_close, &s->ios[i]);
	for (unsigned i = 0; i < s->io_count; i++)
		wait_idle(&s->ios[i]);
	for (unsigned i = 0; i < s->io_count; i++) {
		struct io *io = &s->ios[i];

		net_loop_stop(io->loop);
		grpc_io_free(io->grpc);
		http_io_free(io->http);
		api_io_free(io->api);
		net_loop_free(io->loop);
	}
	tracing_free(s->tracing);
	node_close(s->node);
	pacer_free(s->pacer);
	grpc_server_free(s->grpc);
	api_free(s->api);
	http_budget_free(s->budget);
	secure_fini(&s->secure);
	sched_free(s->sched);
	if (s->passwords)
		sched_free(s->passwords);
	jwt_close(s->jwt);
	mem_free(s->hosts);
	mem_free(s->origins);
	mem_free(s->data_dir);
	mem_free(s);
}
