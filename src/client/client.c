/* A client: its endpoints, which of them takes the next call, and its clock. */
#include <stdio.h>

#include "client/client_impl.h"

static void on_timer(uv_timer_t *t)
{
	struct client *c = t->data;
	uint64_t now = uv_now(c->loop);
	uint64_t next = UINT64_MAX;

	c->wake_ms = UINT64_MAX;
	LIST_EACH_SAFE (it, &c->calls) {
		uint64_t at = call_tick(CONTAINER_OF(it, struct client_call, node), now);

		next = MIN(next, at);
	}
	for (size_t i = 0; i < c->conn_count; i++) {
		uint64_t at = conn_tick(c->conns[i], now);

		next = MIN(next, at);
	}
	client_wake(c, next);
	client_dispatch(c);
}

void client_wake(struct client *c, uint64_t at_ms)
{
	uint64_t now = uv_now(c->loop);

	if (at_ms >= c->wake_ms || c->closing)
		return;
	c->wake_ms = at_ms;
	uv_timer_start(c->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

static struct link *pick(struct client *c)
{
	for (size_t i = 0; i < c->conn_count; i++) {
		struct conn *conn = c->conns[(c->next + i) % c->conn_count];

		if (conn->state == CONN_READY && conn->link && !conn->link->lost &&
		    nghttp2_session_check_request_allowed(conn->link->h2)) {
			c->next = (c->next + i + 1) % c->conn_count;
			return conn->link;
		}
	}
	return NULL;
}

void client_dispatch(struct client *c)
{
	while (!list_empty(&c->waiting)) {
		struct client_call *call = CONTAINER_OF(c->waiting.next, struct client_call, waiting);
		struct link *l = pick(c);

		if (!l) {
			/* Those that failed have their own time to try again. */
			for (size_t i = 0; i < c->conn_count; i++) {
				if (c->conns[i]->state == CONN_IDLE)
					conn_want(c->conns[i]);
			}
			return;
		}
		list_remove(&call->waiting);
		call->state = CALL_OPEN;
		h2_submit(l, call);
	}
}

static bool given(const char *s)
{
	return s && s[0];
}

static struct conn *conn_new(struct client *c, const char *endpoint)
{
	struct conn *conn = NEW(struct conn);

	conn_init(conn, c);
	endpoint_parse(&conn->ep, endpoint, &c->tls_opts);
	return conn;
}

err_t client_new(uv_loop_t *loop, const struct client_opts *o, struct why *why, struct client **out)
{
	struct client *c;
	SSL_CTX *tls = NULL;
	bool needs_tls = o->tls.on;
	err_t err = OK;

	if (!o->endpoint_count)
		return why_set(why, ERR_INVALID, "etcdclient: no available endpoints");
	for (size_t i = 0; i < o->endpoint_count; i++)
		needs_tls |= !strncmp(o->endpoints[i], "https:", 6) || !strncmp(o->endpoints[i], "unixs:", 6);
	if (o->recv_bytes_max && o->send_bytes_max > o->recv_bytes_max)
		return why_set(why, ERR_TOO_LARGE, "gRPC message recv limit (%u bytes) must be greater than send limit (%u bytes)", o->recv_bytes_max,
			       o->send_bytes_max);
	if (needs_tls)
		err = client_tls_new(&o->tls, why, &tls);
	if (err)
		return err;
	c = NEW(struct client);
	c->loop = loop;
	c->read_room = mem_alloc(CLIENT_READ_SIZE);
	c->tls = tls;
	c->timer = NEW(uv_timer_t);
	uv_timer_init(loop, c->timer);
	uv_unref((uv_handle_t *)c->timer);
	c->timer->data = c;
	c->wake_ms = UINT64_MAX;
	list_init(&c->calls);
	list_init(&c->waiting);
	c->keepalive_idle = o->keepalive_idle;
	c->server_name = o->tls.server_name ? mem_strdup(o->tls.server_name) : NULL;
	c->tls_opts = (struct client_tls){.on = o->tls.on, .server_name = c->server_name};
	c->dial_timeout_ms = o->dial_timeout_ms ? MAX(o->dial_timeout_ms, (uint64_t)CLIENT_BACKOFF_MS) : CLIENT_DIAL_TIMEOUT_MS;
	c->keepalive_time_ms = o->keepalive_time_ms ? MAX(o->keepalive_time_ms, (uint64_t)CLIENT_KEEPALIVE_MIN_MS) : 0;
	c->keepalive_timeout_ms = o->keepalive_timeout_ms ? o->keepalive_timeout_ms : CLIENT_KEEPALIVE_TIMEOUT_MS;
	c->send_bytes_max = o->send_bytes_max ? o->send_bytes_max : CLIENT_SEND_BYTES_DEFAULT;
	c->recv_bytes_max = o->recv_bytes_max ? o->recv_bytes_max : CLIENT_RECV_BYTES_DEFAULT;
	c->token_given = given(o->token);
	if (c->token_given)
		c->token = mem_strdup(o->token);
	else if (given(o->user) && given(o->password)) {
		c->user = mem_strdup(o->user);
		c->password = mem_strdup(o->password);
	}
	c->conn_count = o->endpoint_count;
	c->conns = NEW_ARRAY(struct conn *, c->conn_count);
	for (size_t i = 0; i < c->conn_count; i++)
		c->conns[i] = conn_new(c, o->endpoints[i]);
	*out = c;
	return OK;
}

static void timer_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	/* Links end before: their handles were closed earlier in the same turn. */
	mem_free(c->read_room);
	mem_free(c);
	mem_free(h);
}

void client_free(struct client *c)
{
	if (!c)
		return;
	LIST_EACH_SAFE (it, &c->calls) {
		struct client_call *call = CONTAINER_OF(it, struct client_call, node);

		status_set(&call->status, GRPC_CANCELLED, true, "context canceled");
		call_end(call);
	}
	c->closing = true;
	for (size_t i = 0; i < c->conn_count; i++) {
		conn_fini(c->conns[i]);
		mem_free(c->conns[i]);
	}
	mem_free(c->conns);
	mem_free(c->server_name);
	if (c->tls)
		SSL_CTX_free(c->tls);
	mem_free(c->user);
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	mem_free(c->password);
	mem_free(c->token);
	uv_close((uv_handle_t *)c->timer, timer_closed);
}

uv_loop_t *client_loop(const struct client *c)
{
	return c->loop;
}

size_t client_endpoint_count(const struct client *c)
{
	return c->conn_count;
}

const char *client_endpoint(const struct client *c, size_t i)
{
	return c->conns[i]->ep.text;
}

static bool same_place(const struct endpoint *a, const struct endpoint *b)
{
	return a->is_tls == b->is_tls && a->is_unix == b->is_unix && !strcmp(a->host, b->host) && !strcmp(a->authority, b->authority);
}

/* The connection to where fresh would lead, if there is one; fresh is not needed then. */
static struct conn *instead_of(struct conn *fresh, struct conn **old, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!old[i]->moved && same_place(&old[i]->ep, &fresh->ep)) {
			old[i]->moved = true;
			conn_fini(fresh);
			mem_free(fresh);
			return old[i];
		}
	}
	return fresh;
}

void client_set_endpoints(struct client *c, const char *const *endpoints, size_t count)
{
	struct conn **old = c->conns;
	size_t old_count = c->conn_count;

	ASSERT(count);
	c->conns = NEW_ARRAY(struct conn *, count);
	for (size_t i = 0; i < count; i++)
		c->conns[i] = instead_of(conn_new(c, endpoints[i]), old, old_count);
	c->conn_count = count;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i]->moved) {
			old[i]->moved = false;
			continue;
		}
		if (old[i]->link)
			link_fail(old[i]->link, "the endpoint is not in use any more");
		conn_fini(old[i]);
		mem_free(old[i]);
	}
	mem_free(old);
	client_dispatch(c);
}

const char *client_trouble(const struct client *c)
{
	return c->trouble;
}
