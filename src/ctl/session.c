#include "ctl/session.h"

#include "pb/wire.h"

enum { REOPEN_MS = 500, FIRST_TTL_MS = 5000, ARENA_MAX = 1 << 20 };

static void open_stream(struct session *s);

static void over(struct session *s)
{
	s->over = true;
	s->news = true;
	uv_timer_stop(s->timer);
}

static void ask(struct session *s)
{
	struct buf b;

	buf_init(&b, 64);
	pb_put_uint(&b, 1, (uint64_t)s->id);
	client_send(s->call, buf_slice(&b));
	buf_fini(&b);
}

/* Time to renew, to open the stream again, or the end. */
static void on_time(uv_timer_t *t)
{
	struct session *s = t->data;

	if (uv_now(&s->c->loop) >= s->end_ms)
		over(s);
	else if (!s->call)
		open_stream(s);
	else
		ask(s);
}

static void on_message(struct client_call *call, void *user, struct slice body)
{
	struct session *s = user;
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	int64_t ttl = 0;

	while (pb_next(&r, &f)) {
		if (f.number == 3 && f.wire == PB_VARINT)
			ttl = (int64_t)f.value;
	}
	if (ttl <= 0) {
		over(s);
		return;
	}
	buf_clear(&s->last);
	buf_put_slice(&s->last, body);
	s->news = true;
	s->end_ms = uv_now(&s->c->loop) + (uint64_t)ttl * 1000;
	uv_timer_start(s->timer, on_time, (uint64_t)ttl * 1000 / 3, 0);
}

static void on_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct session *s = user;

	s->call = NULL;
	if (s->over)
		return;
	if (st->code != GRPC_UNAVAILABLE && st->code != GRPC_INTERNAL) {
		s->c->status = *st;
		s->failed = true;
		over(s);
		return;
	}
	uv_timer_start(s->timer, on_time, REOPEN_MS, 0);
}

static void open_stream(struct session *s)
{
	static const struct client_events events = {on_message, on_end};

	s->call = client_start(s->c->client, RPC_LEASE_KEEP_ALIVE, (struct slice){NULL, 0}, NULL, &events, s);
	ask(s);
	uv_timer_start(s->timer, on_time, s->end_ms - uv_now(&s->c->loop), 0);
}

void session_join(struct session *s, struct ctl *c, int64_t id)
{
	*s = (struct session){.c = c, .id = id};
	buf_init(&s->last, 1 << 20);
	arena_init(&s->arena, ARENA_MAX);
	s->timer = NEW(uv_timer_t);
	uv_timer_init(&c->loop, s->timer);
	s->timer->data = s;
	uv_update_time(&c->loop);
	s->end_ms = uv_now(&c->loop) + FIRST_TTL_MS;
	open_stream(s);
}

int session_begin(struct session *s, struct ctl *c, int64_t ttl)
{
	Etcdserverpb__LeaseGrantRequest req = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
	Etcdserverpb__LeaseGrantResponse *resp;

	req.ttl = ttl;
	if (!ctl_call(c, RPC_LEASE_GRANT, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	session_join(s, c, resp->id);
	return 0;
}

void session_end(struct session *s)
{
	if (s->call)
		client_drop(s->call);
	uv_close((uv_handle_t *)s->timer, ctl_handle_free);
	buf_fini(&s->last);
	arena_fini(&s->arena);
}

enum session_event session_next(struct session *s, const Etcdserverpb__LeaseKeepAliveResponse **r)
{
	client_wait(s->c->client, &s->news, 0);
	s->news = false;
	if (s->over)
		return s->failed ? SESSION_FAILED : SESSION_LOST;
	arena_reset(&s->arena);
	return pb_unpack(&s->arena, &etcdserverpb__lease_keep_alive_response__descriptor, buf_slice(&s->last), r)
		   ? SESSION_LOST
		   : SESSION_RENEWED;
}
