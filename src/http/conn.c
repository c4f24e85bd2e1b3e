/* A connection before and above its engine. The first bytes decide: the HTTP/2 preface "PRI * HTTP/2.0..." or
 * anything else, which is HTTP/1. */
#include "http/http_impl.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_SIZE (sizeof(preface) - 1)

_Static_assert(sizeof(((struct http_conn *)0)->sniffed) == PREFACE_SIZE, "room for the preface");

struct http_conn *http_conn_new(struct http_io *io, const struct http_service *svc, const struct net_peer *peer,
				const struct http_conn_events *events, void *owner)
{
	struct http_conn *c = NEW(struct http_conn);

	c->io = io;
	c->svc = svc;
	c->peer = peer;
	c->events = events;
	c->owner = owner;
	c->opened_ms = c->read_ms = http_io_now_ms(io);
	c->tick_at_ms = UINT64_MAX;
	list_init(&c->reqs);
	list_init(&c->blocked);
	list_push_back(&io->conns, &c->node);
	io->conn_count++;
	c->charged = io_charge(io, svc->budget, CONN_CHARGE);
	c->over = !c->charged;
	if (svc->limits.header_timeout_ms)
		conn_tick_by(c, c->opened_ms + svc->limits.header_timeout_ms);
	if (svc->on_conn)
		svc->on_conn(io, svc->arg, 1);
	if (svc->http2 && !svc->http1)
		h2_start(c);
	return c;
}

void http_conn_free(struct http_conn *c)
{
	if (!c)
		return;
	c->events = NULL;
	c->over = true;
	if (c->ops)
		c->ops->free(c);
	ASSERT(list_empty(&c->reqs));
	ASSERT(c->out_bytes == 0 && c->held_bytes == 0 && c->reserved_bytes == 0);
	if (c->charged)
		io_discharge(c->io, c->svc->budget, CONN_CHARGE);
	if (c->svc->on_conn)
		c->svc->on_conn(c->io, c->svc->arg, -1);
	list_remove(&c->node);
	c->io->conn_count--;
	mem_free(c);
}

/* True once the protocol is known. */
static bool sniff(struct http_conn *c, struct slice *data)
{
	bool differs;

	while (data->size && c->sniffed_size < PREFACE_SIZE) {
		differs = data->data[0] != (uint8_t)preface[c->sniffed_size];
		if (differs)
			break;
		c->sniffed[c->sniffed_size++] = data->data[0];
		data->data++;
		data->size--;
	}
	if (c->sniffed_size == PREFACE_SIZE && c->svc->http2) {
		h2_start(c);
		return true;
	}
	if (data->size == 0 && c->sniffed_size < PREFACE_SIZE)
		return false;
	if (c->svc->http1)
		h1_start(c);
	else
		c->over = true;
	return c->ops != NULL;
}

bool http_conn_input(struct http_conn *c, struct slice data)
{
	c->read_ms = http_io_now_ms(c->io);
	if (c->over)
		return false;
	if (!c->ops) {
		if (!sniff(c, &data))
			return !c->over;
		if (!c->ops->input(c, slice_of(c->sniffed, c->sniffed_size)))
			return false;
	}
	return data.size ? c->ops->input(c, data) : !c->over;
}

void http_conn_eof(struct http_conn *c)
{
	if (c->ops)
		c->ops->eof(c);
	else
		c->over = true;
}

size_t http_conn_output(struct http_conn *c, uint8_t *out, size_t size)
{
	return c->ops ? c->ops->output(c, out, size) : 0;
}

bool http_conn_ended(const struct http_conn *c)
{
	return c->ops ? c->ops->ended(c) : c->over;
}

bool http_conn_read_paused(const struct http_conn *c)
{
	return c->ops && c->ops->read_paused(c);
}

void conn_tick_by(struct http_conn *c, uint64_t at_ms)
{
	c->tick_at_ms = MIN(c->tick_at_ms, at_ms);
}

uint64_t http_conn_tick_at(const struct http_conn *c)
{
	return c->tick_at_ms;
}

void http_conn_tick(struct http_conn *c)
{
	uint64_t now_ms = http_io_now_ms(c->io);

	if (now_ms < c->tick_at_ms)
		return;
	c->tick_at_ms = UINT64_MAX;
	if (c->ops) {
		c->ops->tick(c, now_ms);
	} else { /* it never said what it is */
		c->over = true;
		conn_changed(c);
	}
}

void http_conn_drain(struct http_conn *c)
{
	if (c->draining)
		return;
	c->draining = true;
	if (c->ops)
		c->ops->drain(c);
	else
		c->over = true;
	conn_changed(c);
}
