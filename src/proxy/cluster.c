/* Members as clients of this proxy see them: the proxies, so that whoever takes the endpoints from the list stays with them.
 *
 *	--advertise-client-url ""     the cluster's list, passed on
 *	no --resolver-prefix          this proxy alone
 *	with one                      all that have registered under it; this one alone while nobody has
 *
 * Registering: a lease of --resolver-ttl, and under PREFIX/ADDRESS with that lease the value that upstream's naming package writes
 * (client/v3/naming/endpoints): {"Op":0,"Addr":ADDRESS,"Metadata":"{\"name\":HOST}"}.
 *
 *	granting ──> putting ──> registered ──renewed every third of its time──> ... ──gone──> granting, 1 s later
 *	listing ──> watching ──ended──> listing, 1 s later */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "obs/log.h"
#include "pb/kv.h"
#include "pb/rpc.h"
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"
#include "proxy/table.h"

enum { RETRY_MS = 1000, CALL_TIMEOUT_MS = 5000 };

/* Another proxy, or this one. */
struct registered {
	struct entry entry; /* of cluster.proxies, by key */
	char *name, *address;
	uint8_t key[];
};

struct cluster {
	struct grpc_proxy *px;
	char host[256];
	struct buf prefix; /* of the keys, --namespace in front */
	struct table proxies;
	struct client_watch *watch;
	struct client_call *list_call;
	struct net_timer list_timer;
	int64_t list_revision;

	int64_t lease;
	bool lease_alive;
	struct client_call *lease_call; /* of whatever step is under way */
	struct net_timer lease_timer;
};

/* ---- MemberList ---- */

bool cluster_answers(const struct grpc_proxy *px)
{
	return px->o->advertise_url[0];
}

static void put_member(struct buf *out, const char *name, const char *url)
{
	size_t mark = pb_begin(out, 2);

	pb_put_bytes(out, 2, slice_str(name));
	pb_put_bytes_always(out, 4, slice_str(url));
	pb_end(out, mark);
}

static void on_member_list(struct grpc_stream *s, struct blob *take_body)
{
	struct grpc_proxy *px = proxy_of(s);
	struct cluster *c = px->cluster;
	struct slice body;
	struct buf out;

	blob_unref(take_body);
	buf_init(&out, SIZE_MAX / 2);
	for (size_t i = 0; i < c->proxies.bucket_count; i++) {
		for (struct entry *e = c->proxies.buckets[i]; e; e = e->next) {
			struct registered *r = CONTAINER_OF(e, struct registered, entry);

			put_member(&out, r->name, r->address);
		}
	}
	if (!out.size)
		put_member(&out, c->host, px->o->advertise_url);
	body = buf_slice(&out);
	grpc_send(s, &body, 1);
	buf_fini(&out);
	grpc_finish(s, GRPC_OK, (struct slice){0});
}

static void on_promote(struct grpc_stream *s, struct blob *take_body)
{
	blob_unref(take_body);
	grpc_finish(s, GRPC_UNKNOWN, SLICE_LIT("not implemented"));
}

static void on_range_stream(struct grpc_stream *s, struct blob *take_body)
{
	blob_unref(take_body);
	grpc_finish(s, GRPC_UNIMPLEMENTED, SLICE_LIT("RangeStream is not supported by the gRPC proxy"));
}

const struct grpc_handler member_list_handler = {.on_message = on_member_list};
const struct grpc_handler member_promote_handler = {.on_message = on_promote};
const struct grpc_handler range_stream_handler = {.on_message = on_range_stream};

/* ---- who has registered ---- */

static void forget(struct cluster *c, struct slice key)
{
	struct entry *e = table_find(&c->proxies, key);
	struct registered *r = e ? CONTAINER_OF(e, struct registered, entry) : NULL;

	if (!r)
		return;
	table_remove(&c->proxies, e);
	mem_free(r->name);
	mem_free(r->address);
	mem_free(r);
}

/* A string within a JSON object; "" if it is not there. Owned. */
static char *text_in(struct slice json, const char *name)
{
	json_t *o = json_loadb((const char *)json.data, json.size, 0, NULL);
	const char *v = json_string_value(json_object_get(o, name));
	char *out = mem_strdup(v ? v : "");

	json_decref(o);
	return out;
}

static void remember(struct cluster *c, const struct kv *kv)
{
	char *address = text_in(kv->value, "Addr"), *metadata = text_in(kv->value, "Metadata");
	struct registered *r;

	forget(c, kv->key);
	if (address[0]) {
		r = mem_zalloc(sizeof(*r) + kv->key.size);
		memcpy(r->key, kv->key.data, kv->key.size);
		r->address = address;
		r->name = text_in(slice_str(metadata), "name");
		table_add(&c->proxies, &r->entry, slice_of(r->key, kv->key.size));
	} else {
		mem_free(address);
	}
	mem_free(metadata);
}

static void list(struct cluster *c);

static void on_list_time(struct net_timer *t)
{
	list(CONTAINER_OF(t, struct cluster, list_timer));
}

static void list_later(struct cluster *c)
{
	client_watch_close(c->watch);
	c->watch = NULL;
	net_timer_set(c->px->loop, &c->list_timer, net_loop_now_ms(c->px->loop) + RETRY_MS);
}

static void on_watched(struct client_watch *w, void *user, struct slice body)
{
	struct pb_reader r = pb_reader_of(body), er;
	struct pb_field f, ef;
	struct cluster *c = user;

	while (pb_next(&r, &f)) {
		struct kv kv = {0};
		bool is_delete = false;

		if (f.number != 11 || f.wire != PB_BYTES)
			continue;
		er = pb_reader_of(f.bytes);
		while (pb_next(&er, &ef)) {
			if (ef.number == 1)
				is_delete = ef.value == EVENT_DELETE;
			else if (ef.number == 2 && ef.wire == PB_BYTES && kv_decode(ef.bytes, &kv))
				kv = (struct kv){0};
		}
		if (is_delete)
			forget(c, kv.key);
		else if (kv.key.size)
			remember(c, &kv);
	}
}

/* The watch may not be closed in its own callback: the next listing does it. */
static void on_watch_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct cluster *c = user;

	LOG_INFO("endpoints watch channel closed");
	net_timer_set(c->px->loop, &c->list_timer, net_loop_now_ms(c->px->loop) + RETRY_MS);
}

static void range_of(struct cluster *c, struct slice *key, uint8_t *end, struct slice *range_end)
{
	struct prefix p;

	prefix_init(&p, buf_slice(&c->prefix), end);
	*key = p.bytes;
	*range_end = p.end;
}

static void on_listed(struct client_call *call, void *user, struct slice body)
{
	struct cluster *c = user;
	struct pb_reader r = pb_reader_of(body), hr;
	struct pb_field f, hf;
	struct entry *e;
	struct kv kv;

	while ((e = table_any(&c->proxies)))
		forget(c, e->key);
	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES) {
			hr = pb_reader_of(f.bytes);
			while (pb_next(&hr, &hf))
				if (hf.number == 3)
					c->list_revision = (int64_t)hf.value;
		} else if (f.number == 2 && f.wire == PB_BYTES && !kv_decode(f.bytes, &kv)) {
			remember(c, &kv);
		}
	}
}

static void on_list_end(struct client_call *call, void *user, const struct client_status *s)
{
	static const struct client_watch_events events = {.on_response = on_watched, .on_end = on_watch_end};
	struct client_watch_opts o = {0};
	struct cluster *c = user;
	char text[CLIENT_ERROR_SIZE];
	uint8_t *end;

	c->list_call = NULL;
	if (s->code != GRPC_OK) {
		if (!s->is_local || s->code != GRPC_CANCELLED)
			LOG_WARN("failed to establish endpoint watch", LOG_STR("prefix", c->px->o->resolver_prefix),
				 LOG_STR("error", client_error(text, s)));
		list_later(c);
		return;
	}
	end = mem_alloc(c->prefix.size);
	o.start_revision = c->list_revision + 1;
	range_of(c, &o.key, end, &o.range_end);
	c->watch = client_watch_open(c->px->client, &o, &events, c);
	mem_free(end);
}

static void list(struct cluster *c)
{
	static const struct client_events events = {on_listed, on_list_end};
	struct client_call_opts co = {.timeout_ms = CALL_TIMEOUT_MS};
	uint8_t *end = mem_alloc(c->prefix.size);
	struct slice key, range_end;
	struct buf body;

	client_watch_close(c->watch);
	c->watch = NULL;
	range_of(c, &key, end, &range_end);
	buf_init(&body, SIZE_MAX / 2);
	pb_put_bytes(&body, 1, key);
	pb_put_bytes(&body, 2, range_end);
	pb_put_uint(&body, 7, true);
	c->list_call = client_start(c->px->client, RPC_RANGE, buf_slice(&body), &co, &events, c);
	buf_fini(&body);
	mem_free(end);
}

/* ---- registering this one ---- */

static void grant(struct cluster *c);
static void renew(struct cluster *c);

static void lease_later(struct cluster *c, uint64_t ms)
{
	net_timer_set(c->px->loop, &c->lease_timer, net_loop_now_ms(c->px->loop) + ms);
}

static uint64_t renew_every_ms(const struct cluster *c)
{
	return MAX((uint64_t)c->px->o->resolver_ttl_s * 1000 / 3, (uint64_t)500);
}

static void on_lease_time(struct net_timer *t)
{
	struct cluster *c = CONTAINER_OF(t, struct cluster, lease_timer);

	if (c->lease)
		renew(c);
	else
		grant(c);
}

static void lease_failed(struct cluster *c, const struct client_status *s)
{
	char text[CLIENT_ERROR_SIZE];

	LOG_WARN("failed to create a session", LOG_STR("error", client_error(text, s)));
	c->lease = 0;
	lease_later(c, RETRY_MS);
}

static void on_nothing(struct client_call *call, void *user, struct slice body)
{
}

static void on_put_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct cluster *c = user;

	c->lease_call = NULL;
	if (s->code != GRPC_OK) {
		lease_failed(c, s);
		return;
	}
	LOG_INFO("registered session with lease", LOG_STR("addr", c->px->o->advertise_url), LOG_INT("lease-ttl", c->px->o->resolver_ttl_s));
	lease_later(c, renew_every_ms(c));
}

static void put_self(struct cluster *c)
{
	static const struct client_events events = {on_nothing, on_put_end};
	struct client_call_opts co = {.timeout_ms = CALL_TIMEOUT_MS};
	json_t *meta = json_pack("{s:s}", "name", c->host);
	char *meta_text = json_dumps(meta, JSON_COMPACT), *text;
	json_t *value = json_pack("{s:i,s:s,s:s}", "Op", 0, "Addr", c->px->o->advertise_url, "Metadata", meta_text ? meta_text : "{}");
	char *key = mem_printf("%.*s/%s", SLICE_ARG(buf_slice(&c->prefix)), c->px->o->advertise_url);
	struct buf body;

	text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER);
	buf_init(&body, SIZE_MAX / 2);
	pb_put_bytes(&body, 1, slice_str(key));
	pb_put_bytes(&body, 2, slice_str(text ? text : ""));
	pb_put_uint(&body, 3, (uint64_t)c->lease);
	c->lease_call = client_start(c->px->client, RPC_PUT, buf_slice(&body), &co, &events, c);
	buf_fini(&body);
	mem_free(key);
	json_decref(meta);
	json_decref(value);
	free(meta_text);
	free(text);
}

/* LeaseGrantResponse, LeaseKeepAliveResponse: id 2, ttl 3. */
static void on_lease(struct client_call *call, void *user, struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct cluster *c = user;

	c->lease_alive = false;
	while (pb_next(&r, &f)) {
		if (f.number == 2 && f.wire == PB_VARINT)
			c->lease = (int64_t)f.value;
		else if (f.number == 3 && f.wire == PB_VARINT)
			c->lease_alive = (int64_t)f.value > 0;
	}
}

static void on_grant_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct cluster *c = user;

	c->lease_call = NULL;
	if (s->code == GRPC_OK && c->lease)
		put_self(c);
	else
		lease_failed(c, s);
}

static void grant(struct cluster *c)
{
	static const struct client_events events = {on_lease, on_grant_end};
	struct client_call_opts co = {.timeout_ms = CALL_TIMEOUT_MS};
	struct buf body;

	c->lease = 0;
	buf_init(&body, 32);
	pb_put_uint(&body, 1, (uint64_t)c->px->o->resolver_ttl_s);
	c->lease_call = client_start(c->px->client, RPC_LEASE_GRANT, buf_slice(&body), &co, &events, c);
	buf_fini(&body);
}

/* A stream for each renewal: there is one every few seconds. */
static void on_renew_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct cluster *c = user;

	c->lease_call = NULL;
	if (c->lease_alive) {
		lease_later(c, renew_every_ms(c));
		return;
	}
	if (s->code == GRPC_OK) {
		LOG_WARN("session expired; possible network partition or server restart");
		LOG_WARN("creating a new session to rejoin");
		c->lease = 0;
	}
	lease_later(c, RETRY_MS);
}

static void renew(struct cluster *c)
{
	static const struct client_events events = {on_lease, on_renew_end};
	struct client_call_opts co = {.timeout_ms = CALL_TIMEOUT_MS};
	struct buf body;

	c->lease_alive = false;
	buf_init(&body, 32);
	pb_put_uint(&body, 1, (uint64_t)c->lease);
	c->lease_call = client_start(c->px->client, RPC_LEASE_KEEP_ALIVE, (struct slice){0}, &co, &events, c);
	client_send(c->lease_call, buf_slice(&body));
	client_half_close(c->lease_call);
	buf_fini(&body);
}

/* ---- life ---- */

void cluster_init(struct grpc_proxy *px)
{
	struct cluster *c = px->cluster = NEW(struct cluster);

	c->px = px;
	if (gethostname(c->host, sizeof(c->host) - 1))
		snprintf(c->host, sizeof(c->host), "localhost");
	buf_init(&c->prefix, SIZE_MAX / 2);
	if (px->has_prefix)
		buf_put_slice(&c->prefix, px->prefix.bytes);
	buf_put_slice(&c->prefix, slice_str(px->o->resolver_prefix));
	table_init(&c->proxies);
	net_timer_init(&c->list_timer, on_list_time);
	net_timer_init(&c->lease_timer, on_lease_time);
}

void cluster_begin(struct grpc_proxy *px)
{
	if (!px->o->resolver_prefix[0])
		return;
	grant(px->cluster);
	list(px->cluster);
}

void cluster_stop(struct grpc_proxy *px)
{
	struct cluster *c = px->cluster;

	net_timer_cancel(px->loop, &c->list_timer);
	net_timer_cancel(px->loop, &c->lease_timer);
	if (c->list_call)
		client_drop(c->list_call);
	if (c->lease_call)
		client_drop(c->lease_call);
	client_watch_close(c->watch);
}

void cluster_free(struct grpc_proxy *px)
{
	struct cluster *c = px->cluster;
	struct entry *e;

	while ((e = table_any(&c->proxies)))
		forget(c, e->key);
	table_fini(&c->proxies);
	buf_fini(&c->prefix);
	mem_free(c);
}
