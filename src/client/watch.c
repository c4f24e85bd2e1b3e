/* A watch that outlives its connection.
 *
 *	OPENING --created--> OPEN --stream lost--> WAITING --100 ms--> OPENING
 *	   |                   |
 *	   +----- cancelled, or an error that will not pass -----> ENDED
 *
 * I1: next is the first revision that the user has not seen; a stream that is opened again begins there.
 * Which errors pass (upstream client/v3, isHaltErr): UNAVAILABLE and INTERNAL; but "no leader", which the user asked to
 *be told of, does not. Field numbers of the messages: rpc.proto. */
#include "client/client_impl.h"
#include "pb/wire.h"

enum {
	REOPEN_MS = 100,
	FIELD_HEADER = 1,
	FIELD_CREATED = 3,
	FIELD_CANCELED = 4,
	FIELD_COMPACT_REVISION = 5,
	FIELD_CANCEL_REASON = 6,
	FIELD_EVENTS = 11
};

struct client_watch {
	struct client *client;
	struct client_call *call;
	uv_timer_t *timer;
	struct client_watch_events events;
	void *user;
	struct buf key, range_end;
	struct client_watch_opts opts;
	int64_t next; /* 0: not known before it is created */
	bool ended;
	bool paused;
	unsigned progress_wanted; /* asked for before the stream was open */
	bool created;
	bool told_created;
	struct buf token;
};

/* What has to be known of a response here. */
struct summary {
	int64_t revision; /* of the header */
	int64_t last_mod_revision;
	int64_t compact_revision;
	bool created, canceled, has_events;
	struct slice reason;
};

static int64_t number_in(struct slice body, uint32_t number)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	int64_t out = 0;

	while (pb_next(&r, &f)) {
		if (f.number == number && f.wire == PB_VARINT)
			out = (int64_t)f.value;
	}
	return out;
}

static struct slice bytes_in(struct slice body, uint32_t number)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct slice out = {NULL, 0};

	while (pb_next(&r, &f)) {
		if (f.number == number && f.wire == PB_BYTES)
			out = f.bytes;
	}
	return out;
}

static struct summary summarise(struct slice body)
{
	enum { HEADER_REVISION = 3, EVENT_KV = 2, KV_MOD_REVISION = 3 };
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct summary s = {0};

	while (pb_next(&r, &f)) {
		if (f.number == FIELD_HEADER && f.wire == PB_BYTES) {
			s.revision = number_in(f.bytes, HEADER_REVISION);
		} else if (f.number == FIELD_CREATED) {
			s.created = f.value;
		} else if (f.number == FIELD_CANCELED) {
			s.canceled = f.value;
		} else if (f.number == FIELD_COMPACT_REVISION) {
			s.compact_revision = (int64_t)f.value;
		} else if (f.number == FIELD_CANCEL_REASON && f.wire == PB_BYTES) {
			s.reason = f.bytes;
		} else if (f.number == FIELD_EVENTS && f.wire == PB_BYTES) {
			s.has_events = true;
			s.last_mod_revision = number_in(bytes_in(f.bytes, EVENT_KV), KV_MOD_REVISION);
		}
	}
	return s;
}

static void finish(struct client_watch *w, const struct client_status *s)
{
	w->ended = true;
	w->events.on_end(w, w->user, s);
}

static void canceled(struct client_watch *w, const struct summary *sum)
{
	struct client_status s;

	if (sum->compact_revision)
		status_set(&s, err_status(ERR_COMPACTED), false, "%s", err_text(ERR_COMPACTED));
	else if (sum->reason.size && sum->created) /* it never began: upstream's client shows the reason alone */
		status_set(&s, GRPC_UNKNOWN, true, "%.*s", SLICE_ARG(sum->reason));
	else if (sum->reason.size)
		status_set(&s, GRPC_FAILED_PRECONDITION, false, "%.*s", SLICE_ARG(sum->reason));
	else
		status_set(&s, err_status(ERR_FUTURE_REV), false, "%s", err_text(ERR_FUTURE_REV));
	finish(w, &s);
}

static void send_progress(struct client_watch *w)
{
	enum { REQUEST_PROGRESS = 3 };
	struct buf b;

	buf_init(&b, 64);
	pb_put_bytes_always(&b, REQUEST_PROGRESS, (struct slice){NULL, 0});
	client_send(w->call, buf_slice(&b));
	buf_fini(&b);
}

static void on_message(struct client_call *call, void *user, struct slice body)
{
	struct client_watch *w = user;
	struct summary s = summarise(body);

	if (w->ended)
		return;
	if (s.created && !s.canceled) {
		if (!w->next)
			w->next = s.revision + 1;
		w->created = true;
		for (; w->progress_wanted; w->progress_wanted--)
			send_progress(w);
		if (!w->told_created && w->events.on_created)
			w->events.on_created(w, w->user, body);
		w->told_created = true;
		return;
	}
	if (s.has_events)
		w->next = MAX(w->next, s.last_mod_revision + 1);
	else if (!s.canceled)
		w->next = MAX(w->next, s.revision + 1);
	w->events.on_response(w, w->user, body);
	if (s.canceled)
		canceled(w, &s);
}

static void open_stream(struct client_watch *w);

static void on_time(uv_timer_t *t)
{
	open_stream(t->data);
}

static void on_stream_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct client_watch *w = user;
	bool passes = s->code == GRPC_UNAVAILABLE || s->code == GRPC_INTERNAL;

	w->call = NULL;
	w->created = false;
	if (w->ended || w->client->closing)
		return;
	if (!passes || client_error_row(s) == ERR_NO_LEADER)
		finish(w, s);
	else
		uv_timer_start(w->timer, on_time, REOPEN_MS, 0);
}

static void open_stream(struct client_watch *w)
{
	static const struct client_events events = {on_message, on_stream_end};
	struct client_call_opts co = {.require_leader = w->opts.require_leader, .token = buf_slice(&w->token)};
	enum { REQUEST_CREATE = 1 };
	struct buf b;
	size_t mark;

	buf_init(&b, SIZE_MAX / 2);
	mark = pb_begin(&b, REQUEST_CREATE);
	pb_put_bytes(&b, 1, buf_slice(&w->key));
	pb_put_bytes(&b, 2, buf_slice(&w->range_end));
	pb_put_uint(&b, 3, (uint64_t)w->next);
	pb_put_uint(&b, 4, w->opts.progress_notify);
	pb_put_uint(&b, 6, w->opts.prev_kv);
	pb_end(&b, mark);
	w->call = client_start(w->client, RPC_WATCH, (struct slice){NULL, 0}, &co, &events, w);
	call_pause(w->call, w->paused);
	client_send(w->call, buf_slice(&b));
	buf_fini(&b);
}

struct client_watch *client_watch_open(struct client *c, const struct client_watch_opts *o,
				       const struct client_watch_events *events, void *user)
{
	struct client_watch *w = NEW(struct client_watch);

	w->client = c;
	w->opts = *o;
	w->events = *events;
	w->user = user;
	w->next = o->start_revision;
	buf_init(&w->key, SIZE_MAX / 2);
	buf_init(&w->range_end, SIZE_MAX / 2);
	buf_init(&w->token, SIZE_MAX / 2);
	buf_put_slice(&w->token, o->token);
	buf_put_slice(&w->key, o->key);
	buf_put_slice(&w->range_end, o->range_end);
	w->timer = NEW(uv_timer_t);
	uv_timer_init(c->loop, w->timer);
	w->timer->data = w;
	open_stream(w);
	return w;
}

void client_watch_progress(struct client_watch *w)
{
	if (w->ended)
		return;
	if (w->created && w->call)
		send_progress(w);
	else
		w->progress_wanted++;
}

void client_watch_pause(struct client_watch *w, bool paused)
{
	w->paused = paused;
	if (w->call)
		call_pause(w->call, paused);
}

static void timer_closed(uv_handle_t *h)
{
	mem_free(h);
}

void client_watch_close(struct client_watch *w)
{
	if (!w)
		return;
	if (w->call)
		client_drop(w->call);
	uv_close((uv_handle_t *)w->timer, timer_closed);
	buf_fini(&w->token);
	buf_fini(&w->key);
	buf_fini(&w->range_end);
	mem_free(w);
}
