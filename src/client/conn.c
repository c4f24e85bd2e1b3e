/* One endpoint: name lookup, the addresses in turn, and when to try again. */
#include <arpa/inet.h>
#include <stdio.h>

#include "client/client_impl.h"

/* Outlives its conn if that goes while libuv's thread is at work. */
struct lookup {
	uv_getaddrinfo_t req;
	struct conn *conn;
};

void conn_init(struct conn *c, struct client *client)
{
	c->client = client;
	c->state = CONN_IDLE;
}

static void forget_addresses(struct conn *c)
{
	if (c->found)
		uv_freeaddrinfo(c->found);
	c->found = c->next = NULL;
}

static void backoff(struct conn *c)
{
	uint64_t wait = CLIENT_BACKOFF_MS;

	for (unsigned i = 0; i < c->failures && wait < CLIENT_BACKOFF_MAX_MS; i++)
		wait = wait * 8 / 5;
	c->failures++;
	c->state = CONN_BACKOFF;
	c->retry_at_ms = uv_now(c->client->loop) + MIN(wait, (uint64_t)CLIENT_BACKOFF_MAX_MS);
	client_wake(c->client, c->retry_at_ms);
}

static void try_next(struct conn *c)
{
	struct addrinfo *a = c->next;

	c->next = a->ai_next;
	c->link = link_open(c, a->ai_addr);
}

static void looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct lookup *l = CONTAINER_OF(req, struct lookup, req);
	struct conn *c = l->conn;

	mem_free(l);
	if (!c) {
		if (!status)
			uv_freeaddrinfo(found);
		return;
	}
	c->lookup = NULL;
	if (status) {
		snprintf(c->why, sizeof(c->why), "dial tcp: lookup %s: no such host", c->ep.host);
		snprintf(c->client->trouble, sizeof(c->client->trouble), "%s", c->why);
		backoff(c);
		return;
	}
	c->found = c->next = found;
	try_next(c);
}

static void look_up(struct conn *c)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	struct lookup *l = NEW(struct lookup);

	l->conn = c;
	c->lookup = l;
	if (uv_getaddrinfo(c->client->loop, &l->req, looked_up, c->ep.host, c->ep.port, &hints)) {
		c->lookup = NULL;
		mem_free(l);
		snprintf(c->why, sizeof(c->why), "dial tcp: address %s: cannot be looked up", c->ep.text);
		backoff(c);
	}
}

void conn_want(struct conn *c)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	char *end;
	unsigned long port;

	if (c->state == CONN_DIALING || c->state == CONN_READY)
		return;
	c->state = CONN_DIALING;
	c->dial_end_ms = uv_now(c->client->loop) + c->client->dial_timeout_ms;
	client_wake(c->client, c->dial_end_ms);
	if (c->ep.is_unix) {
		c->link = link_open(c, NULL);
		return;
	}
	port = strtoul(c->ep.port, &end, 10);
	if (*end == '\0' && port <= UINT16_MAX && !uv_ip4_addr(c->ep.host, (int)port, &v4))
		c->link = link_open(c, (struct sockaddr *)&v4);
	else if (*end == '\0' && port <= UINT16_MAX && !uv_ip6_addr(c->ep.host, (int)port, &v6))
		c->link = link_open(c, (struct sockaddr *)&v6);
	else
		look_up(c);
}

void conn_ready(struct conn *c)
{
	c->state = CONN_READY;
	c->failures = 0;
	forget_addresses(c);
	client_dispatch(c->client);
}

void conn_lost(struct conn *c, const char *why)
{
	bool was_ready = c->state == CONN_READY;

	c->link = NULL;
	snprintf(c->why, sizeof(c->why), "%s", why);
	snprintf(c->client->trouble, sizeof(c->client->trouble), "%s", why);
	if (c->client->closing)
		return;
	if (c->next) {
		try_next(c);
		return;
	}
	forget_addresses(c);
	if (!was_ready) {
		backoff(c);
		return;
	}
	/* A connection that worked is dialled again at once, when a call wants it. */
	c->state = CONN_IDLE;
	client_wake(c->client, uv_now(c->client->loop));
}

uint64_t conn_tick(struct conn *c, uint64_t now_ms)
{
	if (c->state == CONN_DIALING) {
		if (now_ms < c->dial_end_ms)
			return c->dial_end_ms;
		c->next = NULL;
		if (c->link) {
			link_fail(c->link, "dial tcp %s: i/o timeout", c->ep.authority);
		} else if (c->lookup) {
			c->lookup->conn = NULL;
			c->lookup = NULL;
			backoff(c);
		}
	}
	if (c->state == CONN_BACKOFF) {
		if (now_ms < c->retry_at_ms || list_empty(&c->client->calls))
			return now_ms < c->retry_at_ms ? c->retry_at_ms : UINT64_MAX;
		conn_want(c);
		return c->dial_end_ms;
	}
	if (c->state == CONN_IDLE && !list_empty(&c->client->calls)) {
		conn_want(c);
		return c->dial_end_ms;
	}
	return c->state == CONN_READY && c->link ? link_tick(c->link, now_ms) : UINT64_MAX;
}

void conn_fini(struct conn *c)
{
	if (c->lookup)
		c->lookup->conn = NULL;
	if (c->link)
		link_close(c->link);
	forget_addresses(c);
	endpoint_fini(&c->ep);
}
