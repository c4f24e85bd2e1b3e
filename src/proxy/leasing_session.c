/* The session of --experimental-leasing-prefix: its lease, renewed, the leasing keys' events, and giving leasing keys up. */
#include "env/env.h"
#include "proxy/leasing_impl.h"

enum { SESSION_TTL_S = 60, MARGIN_S = 2, RENEW_MS = SESSION_TTL_S * 1000 / 3 };

/* A leasing key is deleted, if it is still of that lease. */
struct release {
	struct list node; /* of leasing.releases */
	struct leasing *l;
	struct client_call *call;
	struct net_timer again;
	int64_t lease;
	struct slice key;
	uint8_t bytes[];
};

/* ---- giving up ---- */

struct client_call *leasing_start_txn(struct leasing *l, struct slice body, const struct client_call_opts *co, const struct client_events *events,
				     void *user)
{
	struct client_call *call;
	struct buf out;

	if (!l->px->has_prefix)
		return client_start(l->px->client, RPC_TXN, body, co, events, user);
	buf_init(&out, SIZE_MAX / 2);
	err_ignore(prefix_request(&l->px->prefix, RPC_TXN, body, &out)); /* too deep: as deep as the cluster will say */
	call = client_start(l->px->client, RPC_TXN, buf_slice(&out), co, events, user);
	buf_fini(&out);
	return call;
}

static void release_free(struct release *r)
{
	if (r->call)
		client_drop(r->call);
	net_timer_cancel(r->l->px->loop, &r->again);
	list_remove(&r->node);
	mem_free(r);
}

static void on_release_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct release *r = user;
	struct leasing *l = r->l;

	r->call = NULL;
	if (st->code != GRPC_OK && r->lease == l->lease) {
		net_timer_set(l->px->loop, &r->again, leasing_now_ms(l) + LEASING_RETRY_MS);
		return;
	}
	leasing_released(&l->cache, r->key);
	release_free(r);
}

static void release_ask(struct release *r)
{
	static const struct client_events events = {.on_end = on_release_end};
	struct client_call_opts co = {.timeout_ms = SESSION_TTL_S * 1000};
	struct buf body;

	buf_init(&body, SIZE_MAX / 2);
	leasing_txn_compare(&r->l->prefix, &body, true, r->key, (struct slice){0}, CMP_EQUAL, CMP_LEASE, CMP_UNION_LEASE, r->lease);
	leasing_txn_delete(&r->l->prefix, &body, TXN_SUCCESS, r->key);
	r->call = leasing_start_txn(r->l, buf_slice(&body), &co, &events, r);
	buf_fini(&body);
}

static void on_release_again(struct net_timer *t)
{
	release_ask(CONTAINER_OF(t, struct release, again));
}

void leasing_give_up(struct leasing *l, struct slice key)
{
	struct release *r;

	if (!l->lease || !leasing_release(&l->cache, key))
		return;
	r = mem_zalloc(sizeof(*r) + key.size);
	r->l = l;
	r->lease = l->lease;
	r->key = slice_of(r->bytes, key.size);
	memcpy(r->bytes, key.data, key.size);
	net_timer_init(&r->again, on_release_again);
	list_push_back(&l->releases, &r->node);
	release_ask(r);
}

/* ---- the session ---- */

static void session_lost(struct leasing *l)
{
	if (l->renewal)
		client_drop(l->renewal);
	l->renewal = NULL;
	l->lease = 0;
	leasing_lose_all(&l->cache);
	net_timer_set(l->px->loop, &l->timer, leasing_now_ms(l) + LEASING_RETRY_MS);
}

static void trust(struct leasing *l, int64_t ttl_s)
{
	l->trusted_ns = l->asked_ns + (uint64_t)MAX(ttl_s - MARGIN_S, 0) * 1000000000;
	net_timer_set(l->px->loop, &l->timer, leasing_now_ms(l) + RENEW_MS);
}

/* Of LeaseGrantResponse and LeaseKeepAliveResponse. */
static void read_lease(struct slice body, int64_t *id, int64_t *ttl_s)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	*id = *ttl_s = 0;
	while (pb_next(&r, &f)) {
		if (f.number == 2 && f.wire == PB_VARINT)
			*id = (int64_t)f.value;
		else if (f.number == 3 && f.wire == PB_VARINT)
			*ttl_s = (int64_t)f.value;
	}
}

static void on_granted(struct client_call *call, void *user, struct slice body)
{
	struct leasing *l = user;
	int64_t ttl_s;

	read_lease(body, &l->lease, &ttl_s);
	trust(l, ttl_s);
}

static void on_grant_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct leasing *l = user;

	l->grant = NULL;
	if (!l->lease)
		net_timer_set(l->px->loop, &l->timer, leasing_now_ms(l) + LEASING_RETRY_MS);
}

static void on_renewed(struct client_call *call, void *user, struct slice body)
{
	struct leasing *l = user;
	int64_t id, ttl_s;

	read_lease(body, &id, &ttl_s);
	l->is_asked = false;
	if (ttl_s > 0)
		trust(l, ttl_s);
	else
		session_lost(l);
}

static void on_renewal_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct leasing *l = user;

	l->renewal = NULL;
	net_timer_set(l->px->loop, &l->timer, leasing_now_ms(l) + LEASING_RETRY_MS);
}

static void on_session_time(struct net_timer *t)
{
	static const struct client_events grant_events = {on_granted, on_grant_end}, renewal_events = {on_renewed, on_renewal_end};
	struct leasing *l = CONTAINER_OF(t, struct leasing, timer);
	struct client_call_opts co = {.timeout_ms = SESSION_TTL_S * 1000 / 2};
	struct buf body;

	/* An answer that still came would count from this sending. */
	if (l->renewal && l->is_asked) {
		client_drop(l->renewal);
		l->renewal = NULL;
	}
	buf_init(&body, 32);
	l->asked_ns = env_mono_ns();
	l->is_asked = l->lease;
	if (!l->lease) {
		pb_put_uint(&body, 1, SESSION_TTL_S);
		l->grant = client_start(l->px->client, RPC_LEASE_GRANT, buf_slice(&body), &co, &grant_events, l);
	} else {
		if (!l->renewal)
			l->renewal = client_start(l->px->client, RPC_LEASE_KEEP_ALIVE, (struct slice){0}, NULL, &renewal_events, l);
		pb_put_uint(&body, 1, (uint64_t)l->lease);
		client_send(l->renewal, buf_slice(&body));
		net_timer_set(l->px->loop, &l->timer, leasing_now_ms(l) + RENEW_MS);
	}
	buf_fini(&body);
}

/* ---- the leasing keys' events ---- */

static void on_event(struct leasing *l, struct slice event)
{
	struct pb_reader r = pb_reader_of(event);
	struct kv kv = {0};
	bool is_delete = false;
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			is_delete = f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			kv = leasing_kv(f.bytes);
	}
	if (l->px->has_prefix)
		kv.key = leasing_without_prefix(&l->px->prefix, kv.key);
	kv.key = leasing_without_prefix(&l->prefix, kv.key);
	if (is_delete) {
		leasing_lost(&l->cache, kv.key, kv.mod_rev, leasing_now_ms(l));
		leasing_deleted(l, kv.key, kv.mod_rev);
	} else if (kv.lease && kv.lease == l->lease && slice_eq(kv.value, SLICE_LIT("REVOKE")) &&
		   leasing_lost(&l->cache, kv.key, kv.mod_rev, leasing_now_ms(l))) {
		leasing_give_up(l, kv.key);
	}
}

static void on_events(struct client_watch *w, void *user, struct slice body)
{
	enum { WATCH_EVENTS = 11 };
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == WATCH_EVENTS && f.wire == PB_BYTES)
			on_event(user, f.bytes);
}

/* What came meanwhile was missed: all is let go with the lease. */
static void on_watch_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct leasing *l = user;

	l->watching = false;
	if (l->lease)
		session_lost(l);
	net_timer_set(l->px->loop, &l->rewatch, leasing_now_ms(l) + LEASING_RETRY_MS);
}

static void on_watch_created(struct client_watch *w, void *user, struct slice body)
{
	struct leasing *l = user;

	l->watching = true;
}

static void on_rewatch(struct net_timer *t)
{
	static const struct client_watch_events events = {on_events, on_watch_end, on_watch_created};
	struct leasing *l = CONTAINER_OF(t, struct leasing, rewatch);
	struct grpc_proxy *px = l->px;
	struct client_watch_opts o = {.key = l->prefix.bytes, .range_end = l->prefix.end};
	struct buf key, end;

	client_watch_close(l->watch);
	buf_init(&key, SIZE_MAX / 2);
	buf_init(&end, SIZE_MAX / 2);
	if (px->has_prefix) {
		prefix_key(&px->prefix, l->prefix.bytes, &key);
		prefix_range_end(&px->prefix, l->prefix.end, &end);
		o.key = buf_slice(&key);
		o.range_end = buf_slice(&end);
	}
	l->watch = client_watch_open(px->client, &o, &events, l);
	buf_fini(&key);
	buf_fini(&end);
}

/* ---- life ---- */

void leasing_init(struct grpc_proxy *px)
{
	struct slice bytes = slice_str(px->o->leasing_prefix);
	struct leasing *l;

	if (!bytes.size)
		return;
	l = px->leasing = mem_zalloc(sizeof(*l) + bytes.size);
	l->px = px;
	prefix_init(&l->prefix, bytes, l->end);
	leasing_cache_init(&l->cache);
	list_init(&l->calls);
	list_init(&l->releases);
	net_timer_init(&l->timer, on_session_time);
	net_timer_init(&l->rewatch, on_rewatch);
}

void leasing_begin(struct grpc_proxy *px)
{
	if (!px->leasing)
		return;
	on_rewatch(&px->leasing->rewatch);
	on_session_time(&px->leasing->timer);
}

void leasing_stop(struct grpc_proxy *px)
{
	struct leasing *l = px->leasing;

	if (!l)
		return;
	LIST_EACH_SAFE (it, &l->releases)
		release_free(CONTAINER_OF(it, struct release, node));
	if (l->grant)
		client_drop(l->grant);
	if (l->renewal)
		client_drop(l->renewal);
	client_watch_close(l->watch);
	net_timer_cancel(px->loop, &l->timer);
	net_timer_cancel(px->loop, &l->rewatch);
	l->lease = 0;
}

void leasing_free(struct grpc_proxy *px)
{
	if (!px->leasing)
		return;
	leasing_cache_fini(&px->leasing->cache);
	mem_free(px->leasing);
}
