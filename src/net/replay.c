/* A stream whose first bytes were read already: they come again, then the rest. */
#include "net/net_impl.h"

struct replay {
	struct net_stream base;
	struct net_stream *raw;
	struct net_task task;
	uint8_t *first;                 /* NULL: gone out */
	size_t first_size;
	bool reading;
};

static struct replay *of(struct net_stream *s)
{
	return CONTAINER_OF(s, struct replay, base);
}

static void give_first(struct net_task *t)
{
	struct replay *r = CONTAINER_OF(t, struct replay, task);
	uint8_t *first = r->first;

	if (!r->reading || !first)
		return;
	r->first = NULL;
	net_stream_read_enable(r->raw, true);
	r->base.events->on_read(r->base.owner, slice_of(first, r->first_size));       /* may free r */
	mem_free(first);
}

static void on_read(void *owner, struct slice data)
{
	struct replay *r = owner;

	r->base.events->on_read(r->base.owner, data);
}

static void on_eof(void *owner)
{
	struct replay *r = owner;

	r->base.events->on_eof(r->base.owner);
}

static void on_writable(void *owner)
{
	struct replay *r = owner;

	r->base.events->on_writable(r->base.owner);
}

static void on_failed(void *owner, err_t err)
{
	struct replay *r = owner;

	r->base.events->on_failed(r->base.owner, err);
}

static const struct net_events events = {on_read, on_eof, on_writable, on_failed};

static void write_on(struct net_stream *s, const struct iovec *iov, int count)
{
	net_stream_write(of(s)->raw, iov, count);
}

static size_t unsent(const struct net_stream *s)
{
	return net_stream_unsent(CONTAINER_OF(s, const struct replay, base)->raw);
}

static void read_enable(struct net_stream *s, bool on)
{
	struct replay *r = of(s);

	r->reading = on;
	if (!r->first)
		net_stream_read_enable(r->raw, on);
	else if (on)
		net_task_add(s->loop, &r->task);
}

static void close_on(struct net_stream *s, bool linger)
{
	struct replay *r = of(s);

	net_task_cancel(&r->task);
	net_stream_close(r->raw, linger);
	mem_free(r->first);
	mem_free(r);
}

static const struct net_stream_ops ops = {write_on, unsent, read_enable, close_on};

struct net_stream *net_stream_replay(struct net_stream *take_raw, struct slice first)
{
	struct replay *r = NEW(struct replay);

	net_stream_read_enable(take_raw, false);
	r->base.ops = &ops;
	r->base.loop = take_raw->loop;
	r->base.peer = take_raw->peer;
	r->base.listener_arg = take_raw->listener_arg;
	r->raw = take_raw;
	r->first = mem_alloc(MAX(first.size, 1));
	memcpy(r->first, first.data, first.size);
	r->first_size = first.size;
	net_task_init(&r->task, give_first);
	net_stream_set_owner(take_raw, &events, r);
	return &r->base;
}
