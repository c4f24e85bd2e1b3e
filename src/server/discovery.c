/* Registry (spec peer.md section 13): under /_etcd/registry/TOKEN/ the key _config/size and one key per member, members/ID in hex, with the
 * value name=url1,name=url2; the first `size` members by creation are the cluster. */
#include "server/discovery.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"
#include "client/srv.h"
#include "env/vfs.h"
#include "member/member.h"
#include "obs/log.h"
#include "pb/wire.h"
#include "wal/wal.h"

enum { MEMBERS_MAX = 1024, RETRY_EXPONENT_MAX = 8, RECORDS_MAX = 256 };

/* As long as the configuration. */
static const char *kept(struct config *cfg, struct buf *text)
{
	struct slice out;

	buf_put_byte(text, 0);
	if (buf_failed(text) || !arena_copy(&cfg->arena, buf_slice(text), &out))
		fatal("the initial cluster is too large");
	return (const char *)out.data;
}

/* ---- the registry ---- */

struct found {
	int64_t create_revision;
	char *id;                       /* behind the prefix */
	char *value;
};

struct registry {
	struct config *cfg;
	struct client *client;
	char *prefix;                   /* of members */
	char own_id[MEMBER_ID_TEXT_SIZE];
	char *own_value;
	uint64_t size;
	int64_t revision;
	VEC(struct found) members;      /* by creation */
	unsigned failures;
};

static uint64_t timeout_ms(const struct registry *r)
{
	return (uint64_t)r->cfg->discovery_request_timeout_ns / 1000000;
}

/* Waits before the next attempt, twice as long each time. */
static void failed(struct registry *r, const char *what, const struct client_status *s)
{
	char text[CLIENT_ERROR_SIZE];
	unsigned seconds;

	r->failures = MIN(r->failures + 1, RETRY_EXPONENT_MAX);
	seconds = 1u << r->failures;
	LOG_WARN(what, LOG_STR("error", client_error(text, s)), LOG_DURATION("retry-in", (int64_t)seconds * 1000000000));
	sleep(seconds);
}

static bool ask(struct registry *r, enum rpc rpc, struct buf *body, struct buf *answer, struct client_status *s)
{
	struct client_call_opts o = {.timeout_ms = timeout_ms(r)};

	buf_clear(answer);
	return client_unary(r->client, rpc, buf_slice(body), &o, answer, s);
}

static char *text_of(struct slice s)
{
	return mem_printf("%.*s", SLICE_ARG(s));
}

static void found_clear(struct registry *r)
{
	for (size_t i = 0; i < r->members.count; i++) {
		mem_free(r->members.at[i].id);
		mem_free(r->members.at[i].value);
	}
	r->members.count = 0;
}

static int by_creation(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->create_revision > y->create_revision) - (x->create_revision < y->create_revision);
}

static void member_row(struct registry *r, struct slice key, struct slice value, int64_t create_revision)
{
	size_t skip = strlen(r->prefix);

	if (key.size <= skip || r->members.count == MEMBERS_MAX)
		return;
	VEC_PUSH(&r->members, ((struct found){create_revision, text_of(slice_of(key.data + skip, key.size - skip)), text_of(value)}));
}

/* KeyValue {key 1, create_revision 2, value 5} */
static void row_read(struct registry *r, struct slice kv, struct slice *size_value)
{
	struct pb_reader rd = pb_reader_of(kv);
	struct slice key = {0}, value = {0};
	int64_t create_revision = 0;
	struct pb_field f;

	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			key = f.bytes;
		else if (f.number == 2 && f.wire == PB_VARINT)
			create_revision = (int64_t)f.value;
		else if (f.number == 5 && f.wire == PB_BYTES)
			value = f.bytes;
	}
	if (size_value)
		*size_value = value;
	else
		member_row(r, key, value, create_revision);
}

/* RangeResponse {header 1 {revision 3}, kvs 2}. Returns how many rows there were. */
static size_t range_read(struct registry *r, struct slice answer, struct slice *size_value)
{
	struct pb_reader rd = pb_reader_of(answer), head;
	struct pb_field f, g;
	size_t count = 0;

	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES) {
			for (head = pb_reader_of(f.bytes); pb_next(&head, &g);)
				if (g.number == 3 && g.wire == PB_VARINT)
					r->revision = (int64_t)g.value;
		} else if (f.number == 2 && f.wire == PB_BYTES) {
			row_read(r, f.bytes, size_value);
			count++;
		}
	}
	return count;
}

static bool range(struct registry *r, const char *key, bool prefix, struct buf *answer, struct client_status *s)
{
	struct buf body;
	char *end = mem_strdup(key);
	bool ok;

	buf_init(&body, 64 << 10);
	pb_put_bytes(&body, 1, slice_str(key));
	if (prefix) {
		end[strlen(end) - 1]++;         /* keys end in '/', so this is what is behind all of them */
		pb_put_bytes(&body, 2, slice_str(end));
	}
	ok = ask(r, RPC_RANGE, &body, answer, s);
	buf_fini(&body);
	mem_free(end);
	return ok;
}

static err_t size_get(struct registry *r, struct buf *answer, struct why *why)
{
	char *key = mem_printf("/_etcd/registry/%s/_config/size", r->cfg->discovery_token);
	struct client_status s;
	struct slice value = {0};
	char text[24], *end;

	while (!range(r, key, false, answer, &s))
		failed(r, "failed to get cluster size", &s);
	mem_free(key);
	if (!range_read(r, buf_slice(answer), &value))
		return why_set(why, ERR_INVALID, "discovery: size key not found");
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(value));
	r->size = strtoull(text, &end, 10);
	if (!value.size || value.size >= sizeof(text) || *end || !r->size || text[0] == '-' || text[0] == '+')
		return why_set(why, ERR_INVALID, "discovery: size key is bad");
	return OK;
}

static void members_get(struct registry *r, struct buf *answer)
{
	struct client_status s;

	while (!range(r, r->prefix, true, answer, &s))
		failed(r, "failed to get the members", &s);
	found_clear(r);
	range_read(r, buf_slice(answer), NULL);
	qsort(r->members.at, r->members.count, sizeof(r->members.at[0]), by_creation);
}

static bool is_in(const struct registry *r)
{
	for (size_t i = 0; i < r->members.count && i < r->size; i++)
		if (strcmp(r->members.at[i].id, r->own_id) == 0)
			return true;
	return false;
}

static void own_put(struct registry *r, struct buf *answer)
{
	char *key = mem_printf("%s%s", r->prefix, r->own_id);
	struct client_status s;
	struct buf body;

	buf_init(&body, 64 << 10);
	pb_put_bytes(&body, 1, slice_str(key));
	pb_put_bytes(&body, 2, slice_str(r->own_value));
	while (!ask(r, RPC_PUT, &body, answer, &s))
		failed(r, "failed to register this member", &s);
	LOG_INFO("register member in the discovery service", LOG_STR("key", key));
	buf_fini(&body);
	mem_free(key);
}

static void on_change(struct client_watch *w, void *user, struct slice body)
{
	*(bool *)user = true;
}

static void on_watch_end(struct client_watch *w, void *user, const struct client_status *s)
{
	*(bool *)user = true;
}

/* Until something below the prefix changes, or the watch ends: then whoever asks looks again. */
static void wait_for_more(struct registry *r)
{
	static const struct client_watch_events events = {on_change, on_watch_end};
	char *end = mem_strdup(r->prefix);
	struct client_watch_opts o = {.key = slice_str(r->prefix), .start_revision = r->revision + 1, .require_leader = true};
	bool changed = false;
	struct client_watch *w;

	end[strlen(end) - 1]++;
	o.range_end = slice_str(end);
	LOG_INFO("waiting for peers from discovery service", LOG_UINT("clusterSize", r->size), LOG_UINT("found-peers", r->members.count));
	w = client_watch_open(r->client, &o, &events, &changed);
	client_wait(r->client, &changed, 0);
	client_watch_close(w);
	mem_free(end);
}

static err_t cluster_text(struct registry *r, struct why *why)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < r->members.count && i < r->size; i++)
		if (strchr(r->members.at[i].value, '='))
			buf_printf(&b, "%s%s", b.size ? "," : "", r->members.at[i].value);
	if (buf_failed(&b)) {
		buf_fini(&b);
		return why_set(why, ERR_INVALID, "discovery: the registry's members are too large");
	}
	r->cfg->initial_cluster = kept(r->cfg, &b);
	r->cfg->initial_cluster_token = r->cfg->discovery_token;
	buf_fini(&b);
	LOG_INFO("retrieved the cluster from the discovery service", LOG_STR("initial-cluster", r->cfg->initial_cluster));
	return OK;
}

static err_t registry_join(struct registry *r, struct why *why)
{
	struct buf answer;
	err_t err;

	buf_init(&answer, 16 << 20);
	err = size_get(r, &answer, why);
	if (!err) {
		members_get(r, &answer);
		if (!is_in(r) && r->members.count >= r->size)
			err = why_set(why, ERR_INVALID, "discovery: cluster is full");
	}
	if (!err) {
		own_put(r, &answer);
		members_get(r, &answer);
		while (r->members.count < r->size) {
			wait_for_more(r);
			members_get(r, &answer);
		}
		err = is_in(r) ? cluster_text(r, why) : why_set(why, ERR_INVALID, "discovery: cluster is full");
	}
	buf_fini(&answer);
	return err;
}

/* name=url of each advertised peer URL, and the id that they make with the token. */
static void identity(struct registry *r)
{
	struct member_urls urls = {0};
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < r->cfg->initial_advertise_peer_urls.count; i++) {
		const char *url = r->cfg->initial_advertise_peer_urls.at[i].text;

		member_urls_add(&urls, slice_str(url));
		buf_printf(&b, "%s%s=%s", i ? "," : "", r->cfg->name, url);
	}
	member_urls_sort(&urls);
	member_id_text(member_id_compute(&urls, slice_str(r->cfg->discovery_token)), r->own_id);
	r->own_value = mem_printf("%.*s", SLICE_ARG(buf_slice(&b)));
	member_urls_clear(&urls);
	buf_fini(&b);
}

/* Upstream's client logs in when it is made, within the time to dial; what fails then is not tried again. */
static err_t registry_login(struct registry *r, struct why *why)
{
	struct client_status s;
	char text[CLIENT_ERROR_SIZE];

	if (client_login(r->client, (uint64_t)r->cfg->discovery_dial_timeout_ns / 1000000, &s))
		return OK;
	return why_set(why, ERR_INVALID, "failed to join discovery cluster (%s)", client_error(text, &s));
}

static err_t registry_run(struct config *cfg, struct why *why)
{
	struct client_opts o = {
		.endpoints = cfg->discovery_endpoints.at,
		.endpoint_count = cfg->discovery_endpoints.count,
		.dial_timeout_ms = (uint64_t)cfg->discovery_dial_timeout_ns / 1000000,
		.keepalive_time_ms = (uint64_t)cfg->discovery_keepalive_time_ns / 1000000,
		.keepalive_timeout_ms = (uint64_t)cfg->discovery_keepalive_timeout_ns / 1000000,
		.tls = {.on = !cfg->discovery_insecure_transport, .cert = cfg->discovery_cert, .key = cfg->discovery_key,
			.cacert = cfg->discovery_cacert, .skip_verify = cfg->discovery_insecure_skip_tls_verify},
		.user = cfg->discovery_user,
		.password = cfg->discovery_password,
	};
	struct registry r = {.cfg = cfg};
	struct why client_why = {{0}};
	uv_loop_t loop;
	err_t err;

	ASSERT(uv_loop_init(&loop) == 0);
	err = client_new(&loop, &o, &client_why, &r.client);
	if (err) {
		(void)why_set(why, err, "failed to join discovery cluster (%s)", client_why.text);
	} else {
		r.prefix = mem_printf("/_etcd/registry/%s/members/", cfg->discovery_token);
		identity(&r);
		err = registry_login(&r, why);
		if (!err)
			err = registry_join(&r, why);
		found_clear(&r);
		VEC_FREE(&r.members);
		mem_free(r.prefix);
		mem_free(r.own_value);
		client_free(r.client);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return err;
}

/* ---- SRV records ---- */

static bool same_address(const char *host_a, const char *port_a, const char *host_b, const char *port_b)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a = NULL, *b = NULL;
	bool same = false;

	if (!getaddrinfo(host_a, port_a, &hints, &a) && !getaddrinfo(host_b, port_b, &hints, &b))
		for (struct addrinfo *x = a; x; x = x->ai_next)
			for (struct addrinfo *y = b; y; y = y->ai_next)
				same |= x->ai_addrlen == y->ai_addrlen && memcmp(x->ai_addr, y->ai_addr, x->ai_addrlen) == 0;
	if (a)
		freeaddrinfo(a);
	if (b)
		freeaddrinfo(b);
	return same;
}

static bool is_own(const struct config *cfg, const struct srv_record *rec, bool tls)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", rec->port);
	for (size_t i = 0; i < cfg->initial_advertise_peer_urls.count; i++) {
		const struct url *u = &cfg->initial_advertise_peer_urls.at[i];

		if (!url_is_unix(u) && url_is_tls(u) == tls && same_address(rec->target, port, u->host, u->port))
			return true;
	}
	return false;
}

static err_t srv_run(struct config *cfg, struct why *why)
{
	static const char *const services[] = {"etcd-server-ssl", "etcd-server"};
	struct srv_record *records = NEW_ARRAY(struct srv_record, RECORDS_MAX);
	const char *suffix = cfg->discovery_srv_name;
	unsigned number = 0;
	bool own = false;
	struct buf b;
	err_t err = OK;

	buf_init(&b, 1 << 20);
	for (size_t s = 0; s < ARRAY_COUNT(services); s++) {
		char *name = mem_printf("_%s%s%s._tcp.%s", services[s], suffix[0] ? "-" : "", suffix, cfg->discovery_srv);
		size_t n = srv_lookup(name, records, RECORDS_MAX);

		for (size_t i = 0; i < n; i++) {
			bool is_us = is_own(cfg, &records[i], s == 0);

			own |= is_us;
			buf_printf(&b, "%s", b.size ? "," : "");
			if (is_us)
				buf_printf(&b, "%s", cfg->name);
			else
				buf_printf(&b, "%u", number++);
			buf_printf(&b, "=%s://%s:%u", s == 0 ? "https" : "http", records[i].target, records[i].port);
		}
		LOG_INFO("got bootstrap from DNS", LOG_STR("service", name), LOG_UINT("records", n));
		mem_free(name);
	}
	if (!b.size)
		err = why_set(why, ERR_INVALID, "error querying DNS SRV records for _etcd-server lookup _etcd-server._tcp.%s: no such host",
			      cfg->discovery_srv);
	else if (!own)
		err = why_set(why, ERR_INVALID, "cannot find local etcd member \"%s\" in SRV records", cfg->name);
	else
		cfg->initial_cluster = kept(cfg, &b);
	buf_fini(&b);
	mem_free(records);
	return err;
}

err_t discovery_run(struct config *cfg, const char *wal_dir, struct why *why)
{
	bool registry = cfg->discovery_endpoints.count > 0;

	if (!registry && !cfg->discovery_srv[0])
		return OK;
	if (wal_exists(vfs_posix(), wal_dir)) {
		LOG_WARN("discovery token is ignored since cluster already initialized; valid logs are found", LOG_STR("wal-dir", wal_dir));
		return OK;
	}
	return registry ? registry_run(cfg, why) : srv_run(cfg, why);
}
