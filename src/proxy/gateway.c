/* etcd gateway: TCP connections passed on to one of a few members, byte by byte.
 *
 *	accepted ──dial──> joined ──one side ended──> half ──the other ended, or failed──> gone
 *	    └──no member left──> closed
 *
 * Which member (as upstream, RFC 2782): of the active ones with the lowest priority number; by weight where there is
 * one, those of weight 0 then once in a hundred times; else in turn. One that cannot be reached is inactive until a later attempt,
 * every --retry-delay, succeeds.
 *
 * Memory: a side is not read while the other has not taken what was read before, so a connection holds one read of each
 * side at most. Unlike upstream, which closes both when either has ended, an end is passed on as one. */
#include <netdb.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "base/text.h"
#include "env/env.h"
#include "obs/log.h"
#include "proxy/proxy_impl.h"

enum { DIAL_TIMEOUT_MS = 30 * 1000, MONITOR_DEFAULT_MS = 5 * 60 * 1000, FILES_KEPT_BACK = 64 };

struct remote {
	struct gateway *gateway;
	char *address;
	uint16_t priority, weight;
	bool inactive;
	struct net_dial *probe;
};

struct gateway {
	struct net_loop *loop;
	struct remote *remotes;
	size_t remote_count;
	size_t turn;
	int64_t interval_ns;
	struct net_timer monitor;
	struct rng rng;
	struct list pairs;
};

struct pair;

struct side {
	struct pair *pair;
	struct net_stream *stream;
	bool ended; /* it sends no more, and the other was told */
};

struct pair {
	struct list node; /* of gateway.pairs */
	struct gateway *gateway;
	struct side in, out;
	struct net_dial *dial;
	struct remote *remote; /* being dialled */
};

/* ---- which member ---- */

static uint16_t best_priority(const struct gateway *g)
{
	uint16_t best = UINT16_MAX;

	for (size_t i = 0; i < g->remote_count; i++)
		if (!g->remotes[i].inactive)
			best = MIN(best, g->remotes[i].priority);
	return best;
}

static bool is_candidate(const struct remote *r, uint16_t priority, bool weighted)
{
	return !r->inactive && r->priority == priority && weighted == (r->weight > 0);
}

static struct remote *next_in_turn(struct gateway *g, uint16_t priority)
{
	for (size_t i = 0; i < g->remote_count; i++) {
		struct remote *r = &g->remotes[g->turn++ % g->remote_count];

		if (is_candidate(r, priority, false))
			return r;
	}
	return NULL;
}

static struct remote *pick(struct gateway *g)
{
	uint16_t priority = best_priority(g);
	uint64_t weights = 0, at;
	bool plain = false;

	for (size_t i = 0; i < g->remote_count; i++) {
		if (is_candidate(&g->remotes[i], priority, true))
			weights += g->remotes[i].weight;
		plain |= is_candidate(&g->remotes[i], priority, false);
	}
	if (!weights || (plain && rng_below(&g->rng, 100) == 0))
		return next_in_turn(g, priority);
	at = rng_below(&g->rng, weights);
	for (size_t i = 0; i < g->remote_count; i++) {
		struct remote *r = &g->remotes[i];

		if (!is_candidate(r, priority, true))
			continue;
		if (at < r->weight)
			return r;
		at -= r->weight;
	}
	UNREACHABLE();
}

/* ---- a connection ---- */

static struct side *other(struct side *s)
{
	return s == &s->pair->in ? &s->pair->out : &s->pair->in;
}

static void pair_free(struct pair *p, bool linger)
{
	list_remove(&p->node);
	if (p->dial)
		net_dial_cancel(p->dial);
	net_stream_close(p->in.stream, linger);
	if (p->out.stream)
		net_stream_close(p->out.stream, linger);
	mem_free(p);
}

static void on_read(void *owner, struct slice data)
{
	struct side *s = owner, *to = other(s);
	struct iovec iov = {(void *)data.data, data.size};

	net_stream_write(to->stream, &iov, 1);
	if (net_stream_unsent(to->stream))
		net_stream_read_enable(s->stream, false);
}

static void on_writable(void *owner)
{
	struct side *from = other(owner);

	if (!from->ended)
		net_stream_read_enable(from->stream, true);
}

static void on_eof(void *owner)
{
	struct side *s = owner;

	s->ended = true;
	if (other(s)->ended)
		pair_free(s->pair, true);
	else
		net_stream_end(other(s)->stream);
}

static void on_failed(void *owner, err_t err)
{
	struct side *s = owner;

	pair_free(s->pair, true);
}

static const struct net_events events = {on_read, on_eof, on_writable, on_failed};

static void dial_next(struct pair *p);

static void on_dialled(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct pair *p = arg;
	struct gateway *g = p->gateway;

	p->dial = NULL;
	if (err) {
		p->remote->inactive = true;
		LOG_WARN("deactivated endpoint", LOG_STR("address", p->remote->address), LOG_DURATION("interval", g->interval_ns),
			 LOG_STR("error", why));
		dial_next(p);
		return;
	}
	p->out.stream = take_s;
	net_stream_set_owner(p->out.stream, &events, &p->out);
	net_stream_read_enable(p->in.stream, true);
	net_stream_read_enable(p->out.stream, true);
}

static void dial_next(struct pair *p)
{
	p->remote = pick(p->gateway);
	if (p->remote)
		p->dial = net_dial(p->gateway->loop, "tcp", p->remote->address, DIAL_TIMEOUT_MS, on_dialled, p);
	else
		pair_free(p, false);
}

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct gateway *g = arg;
	struct pair *p = NEW(struct pair);

	p->gateway = g;
	p->in = (struct side){.pair = p, .stream = take_s};
	p->out = (struct side){.pair = p};
	list_push_back(&g->pairs, &p->node);
	net_stream_set_owner(take_s, &events, &p->in);
	dial_next(p);
}

/* ---- members that could not be reached ---- */

static void on_probed(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct remote *r = arg;

	r->probe = NULL;
	if (err) {
		LOG_WARN("failed to activate endpoint (stay inactive for another interval)", LOG_STR("address", r->address),
			 LOG_DURATION("interval", r->gateway->interval_ns), LOG_STR("error", why));
		return;
	}
	net_stream_close(take_s, false);
	r->inactive = false;
	LOG_INFO("activated", LOG_STR("address", r->address));
}

static void monitor_set(struct gateway *g)
{
	net_timer_set(g->loop, &g->monitor, net_loop_now_ms(g->loop) + MAX((uint64_t)g->interval_ns / 1000000, (uint64_t)1));
}

static void on_monitor(struct net_timer *t)
{
	struct gateway *g = CONTAINER_OF(t, struct gateway, monitor);

	for (size_t i = 0; i < g->remote_count; i++) {
		struct remote *r = &g->remotes[i];

		if (r->inactive && !r->probe)
			r->probe = net_dial(g->loop, "tcp", r->address, DIAL_TIMEOUT_MS, on_probed, r);
	}
	monitor_set(g);
}

/* ---- start ---- */

/* "host:port", "[v6]:port"; false: not of that form. */
static bool split_address(const char *text, char **host, const char **port)
{
	const char *colon = strrchr(text, ':');
	size_t size = colon ? (size_t)(colon - text) : 0;

	if (!colon)
		return false;
	*port = colon + 1;
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']')
		*host = mem_printf("%.*s", (int)size - 2, text + 1);
	else if (memchr(text, ':', size))
		return false;
	else
		*host = mem_printf("%.*s", (int)size, text);
	return true;
}

static bool add_endpoint(struct backends *b, const char *endpoint)
{
	const char *after = strstr(endpoint, "://"), *port;
	char *bare, *host;
	struct buf quoted;

	bare = mem_strdup(after ? after + 3 : endpoint);
	if (after)
		bare[strcspn(bare, "/?#")] = '\0';
	if (split_address(bare, &host, &port)) {
		VEC_PUSH(&b->at, ((struct backend){mem_strdup(endpoint), host, (uint16_t)strtoul(port, NULL, 10), 0, 0}));
		mem_free(bare);
		return true;
	}
	buf_init(&quoted, 1 << 16);
	text_quote(&quoted, slice_str(bare));
	printf("error parsing endpoint %.*s", (int)quoted.size, (const char *)quoted.data);
	buf_fini(&quoted);
	mem_free(bare);
	return false;
}

static bool backends_of(const struct proxy_options *o, struct backends *b)
{
	struct words w;
	bool ok = true;

	if (!discover(o, b))
		return false;
	if (b->at.count)
		return true;
	words_split(&w, o->endpoints);
	for (size_t i = 0; ok && i < w.at.count; i++)
		ok = add_endpoint(b, w.at.at[i]);
	words_fini(&w);
	if (ok && !b->at.count) {
		printf("no endpoints found\n");
		ok = false;
	}
	return ok;
}

static struct addrinfo *look_up(const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;

	return host[0] && getaddrinfo(host, NULL, &hints, &list) == 0 ? list : NULL;
}

/* The first address that both have, as text. */
static bool shared_address(const struct addrinfo *a, const struct addrinfo *b, char *text, size_t size)
{
	for (; a; a = a->ai_next)
		for (const struct addrinfo *x = b; x; x = x->ai_next)
			if (a->ai_family == x->ai_family && a->ai_addrlen == x->ai_addrlen &&
			    !memcmp(a->ai_addr, x->ai_addr, a->ai_addrlen))
				return getnameinfo(a->ai_addr, a->ai_addrlen, text, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
	return false;
}

/* A gateway that is its own member would dial itself until no descriptors are left. */
static bool check_loops(const struct proxy_options *o, const struct backends *b)
{
	struct addrinfo *own, *theirs;
	const char *port;
	char *host, shared[64];
	bool ok = true;

	if (!split_address(o->listen_addr, &host, &port)) {
		printf("failed to validate listen address: %s\n", o->listen_addr);
		return false;
	}
	own = look_up(host);
	if (!own) {
		printf("failed to resolve listen host: %s\n", host);
		mem_free(host);
		return false;
	}
	for (size_t i = 0; ok && i < b->at.count; i++) {
		const struct backend *e = &b->at.at[i];

		theirs = look_up(e->target);
		ok = theirs;
		if (!ok) {
			printf("failed to resolve endpoint host: %s\n", e->target);
		} else if (strtoul(port, NULL, 10) == e->port && shared_address(own, theirs, shared, sizeof(shared))) {
			printf("SRV or endpoint (%s:%u->%s:%u) should not resolve to the gateway listen addr (%s)\n", e->target, e->port, shared,
			       e->port, o->listen_addr);
			ok = false;
		}
		if (theirs)
			freeaddrinfo(theirs);
	}
	freeaddrinfo(own);
	mem_free(host);
	return ok;
}

static struct gateway *gateway_new(struct net_loop *loop, const struct backends *b, int64_t retry_delay_ns)
{
	struct gateway *g = NEW(struct gateway);
	uint64_t seed;

	g->loop = loop;
	g->interval_ns = retry_delay_ns ? MAX(retry_delay_ns, 0) : (int64_t)MONITOR_DEFAULT_MS * 1000000;
	env_random(&seed, sizeof(seed));
	rng_init(&g->rng, seed);
	list_init(&g->pairs);
	net_timer_init(&g->monitor, on_monitor);
	g->remotes = NEW_ARRAY(struct remote, b->at.count);
	g->remote_count = b->at.count;
	for (size_t i = 0; i < b->at.count; i++) {
		const struct backend *e = &b->at.at[i];
		bool v6 = strchr(e->target, ':');

		g->remotes[i] = (struct remote){.gateway = g, .priority = e->priority, .weight = e->weight,
			.address = mem_printf(v6 ? "[%s]:%u" : "%s:%u", e->target, e->port)};
	}
	return g;
}

static void log_ready(const struct gateway *g)
{
	VEC(const char *) addresses = {0};

	for (size_t i = 0; i < g->remote_count; i++)
		VEC_PUSH(&addresses, g->remotes[i].address);
	LOG_INFO("ready to proxy client requests", LOG_STRS("endpoints", addresses.at, addresses.count));
	VEC_FREE(&addresses);
}

static void begin(void *arg)
{
	monitor_set(arg);
}

/* Two descriptors for each connection. */
static uint32_t conns_max(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY || r.rlim_cur > UINT32_MAX)
		return 0;
	return (uint32_t)MAX((r.rlim_cur > FILES_KEPT_BACK ? r.rlim_cur - FILES_KEPT_BACK : 2) / 2, (rlim_t)1);
}

int gateway_start(struct proxy *p, const struct proxy_options *o, int argc, char *const *argv)
{
	struct net_listen_opts lo = {.network = "tcp", .address = o->listen_addr, .loops = &p->loop, .loop_count = 1,
				     .on_accept = on_accept, .conns_max = conns_max()};
	struct backends b;
	struct why why = {""};
	bool ok;

	LOG_INFO("Running: ", LOG_STRS("args", argv, argc));
	ok = backends_of(o, &b) && check_loops(o, &b);
	if (ok) {
		p->gateway = gateway_new(p->loop, &b, o->retry_delay_ns);
		lo.arg = p->gateway;
		ok = !net_listen(&lo, &why, &p->listener);
		if (!ok)
			fprintf(stderr, "%s\n", why.text);
	}
	backends_fini(&b);
	fflush(stdout);
	proxy_loop_start(p);
	if (!ok)
		return 1;
	net_loop_call_wait(p->loop, begin, p->gateway);
	notify_ready();
	log_ready(p->gateway);
	return 0;
}

static void end(void *arg)
{
	struct gateway *g = arg;

	net_timer_cancel(g->loop, &g->monitor);
	LIST_EACH_SAFE (it, &g->pairs)
		pair_free(CONTAINER_OF(it, struct pair, node), false);
	for (size_t i = 0; i < g->remote_count; i++)
		if (g->remotes[i].probe)
			net_dial_cancel(g->remotes[i].probe);
}

void gateway_stop(struct proxy *p)
{
	struct gateway *g = p->gateway;

	net_loop_call_wait(p->loop, end, g);
	for (size_t i = 0; i < g->remote_count; i++)
		mem_free(g->remotes[i].address);
	mem_free(g->remotes);
	mem_free(g);
}
