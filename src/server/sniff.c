#include "server/sniff.h"

#include "base/mem.h"

enum { WAIT_MS = 10000, TLS_HANDSHAKE_RECORD = 0x16 };

struct sniffing {
	struct net_stream *raw;
	struct net_timer timer;
	sniff_done *done;
	void *arg;
};

static void drop(struct sniffing *s)
{
	net_timer_cancel(s->raw->loop, &s->timer);
	net_stream_close(s->raw, false);
	mem_free(s);
}

static void on_read(void *owner, struct slice data)
{
	struct sniffing *s = owner;
	struct net_loop *loop = s->raw->loop;
	struct net_stream *all = net_stream_replay(s->raw, data);

	net_timer_cancel(loop, &s->timer);
	s->done(s->arg, loop, data.data[0] == TLS_HANDSHAKE_RECORD, all);
	mem_free(s);
}

static void on_eof(void *owner)
{
	drop(owner);
}

static void on_writable(void *owner)
{
}

static void on_failed(void *owner, err_t err)
{
	drop(owner);
}

static void timed_out(struct net_timer *t)
{
	drop(CONTAINER_OF(t, struct sniffing, timer));
}

void sniff(struct net_stream *take_raw, sniff_done *done, void *arg)
{
	static const struct net_events events = {on_read, on_eof, on_writable, on_failed};
	struct sniffing *s = NEW(struct sniffing);

	s->raw = take_raw;
	s->done = done;
	s->arg = arg;
	net_timer_init(&s->timer, timed_out);
	net_timer_set(take_raw->loop, &s->timer, net_loop_now_ms(take_raw->loop) + WAIT_MS);
	net_stream_set_owner(take_raw, &events, s);
	net_stream_read_enable(take_raw, true);
}
