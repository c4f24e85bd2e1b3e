/* Waiting: the loop runs here until what was asked for has come. */
#include "client/client_impl.h"
#include "pb/wire.h"

struct unread {
	struct list node;
	struct buf bytes;
};

struct client_stream {
	struct client *client;
	struct client_call *call; /* NULL after its end */
	struct client_status status;
	struct list unread;
	size_t count;
	bool news;
};

void client_interrupt(struct client *c, bool on)
{
	c->interrupted = on;
}

bool client_wait(struct client *c, const bool *done, uint64_t at_ms)
{
	uv_ref((uv_handle_t *)c->timer);
	while (!*done && !c->interrupted) {
		if (at_ms) {
			if (uv_now(c->loop) >= at_ms)
				break;
			client_wake(c, at_ms);
		}
		uv_run(c->loop, UV_RUN_ONCE);
	}
	uv_unref((uv_handle_t *)c->timer);
	return *done;
}

/* --- one answer --- */

struct unary {
	struct buf *response;
	struct client_status *status;
	bool done;
};

static void unary_message(struct client_call *call, void *user, struct slice body)
{
	struct unary *u = user;

	buf_put_slice(u->response, body);
}

static void unary_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct unary *u = user;

	*u->status = *s;
	u->done = true;
}

static const struct client_events unary_events = {unary_message, unary_end};

bool client_unary(struct client *c, enum rpc rpc, struct slice body, const struct client_call_opts *opts,
		  struct buf *response, struct client_status *s)
{
	struct unary u = {response, s, false};
	struct client_call *call;

	buf_clear(response);
	memset(s, 0, sizeof(*s));
	call = client_start(c, rpc, body, opts, &unary_events, &u);
	if (!client_wait(c, &u.done, 0)) {
		client_drop(call);
		status_set(s, GRPC_CANCELLED, true, "context canceled");
	}
	return u.done && s->code == GRPC_OK;
}

bool client_login(struct client *c, uint64_t timeout_ms, struct client_status *s)
{
	struct client_call_opts opts = {.timeout_ms = timeout_ms};
	struct buf body, response;
	struct pb_reader r;
	struct pb_field f;
	bool ok;

	memset(s, 0, sizeof(*s));
	if (!c->user)
		return true;
	buf_init(&body, 1 << 20);
	buf_init(&response, SIZE_MAX / 2);
	pb_put_bytes(&body, 1, slice_str(c->user));
	pb_put_bytes(&body, 2, slice_str(c->password));
	ok = client_unary(c, RPC_AUTHENTICATE, buf_slice(&body), &opts, &response, s);
	r = pb_reader_of(buf_slice(&response));
	while (ok && pb_next(&r, &f)) {
		if (f.number == 2 && f.wire == PB_BYTES) {
			mem_free(c->token);
			c->token = mem_printf("%.*s", SLICE_ARG(f.bytes));
		}
	}
	buf_fini(&body);
	buf_fini(&response);
	return ok || client_error_row(s) == ERR_AUTH_NOT_ENABLED;
}

/* --- many --- */

static void stream_message(struct client_call *call, void *user, struct slice body)
{
	struct client_stream *s = user;
	struct unread *u = NEW(struct unread);

	buf_init(&u->bytes, SIZE_MAX / 2);
	buf_put_slice(&u->bytes, body);
	list_push_back(&s->unread, &u->node);
	s->news = true;
	if (++s->count >= CLIENT_UNREAD_MAX)
		call_pause(call, true);
}

static void stream_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct client_stream *s = user;

	s->call = NULL;
	s->status = *st;
	s->news = true;
}

static const struct client_events stream_events = {stream_message, stream_end};

struct client_stream *client_open(struct client *c, enum rpc rpc, struct slice body,
				  const struct client_call_opts *opts)
{
	struct client_stream *s = NEW(struct client_stream);

	s->client = c;
	list_init(&s->unread);
	s->call = client_start(c, rpc, body, opts, &stream_events, s);
	return s;
}

void client_stream_send(struct client_stream *s, struct slice body)
{
	if (s->call)
		client_send(s->call, body);
}

enum client_recv client_recv(struct client_stream *s, uint64_t wait_ms, struct buf *message, struct client_status *st)
{
	struct unread *u;

	if (list_empty(&s->unread) && s->call) {
		s->news = false;
		uv_update_time(s->client->loop);
		if (!client_wait(s->client, &s->news, wait_ms ? uv_now(s->client->loop) + wait_ms : 0))
			return s->client->interrupted ? CLIENT_INTERRUPTED : CLIENT_TIMEOUT;
	}
	if (list_empty(&s->unread)) {
		*st = s->status;
		return CLIENT_ENDED;
	}
	u = CONTAINER_OF(s->unread.next, struct unread, node);
	list_remove(&u->node);
	buf_clear(message);
	buf_put_slice(message, buf_slice(&u->bytes));
	buf_fini(&u->bytes);
	mem_free(u);
	if (--s->count < CLIENT_UNREAD_MAX && s->call && s->call->paused)
		call_pause(s->call, false);
	return CLIENT_MESSAGE;
}

void client_stream_close(struct client_stream *s)
{
	if (!s)
		return;
	if (s->call)
		client_drop(s->call);
	LIST_EACH_SAFE (it, &s->unread) {
		struct unread *u = CONTAINER_OF(it, struct unread, node);

		buf_fini(&u->bytes);
		mem_free(u);
	}
	mem_free(s);
}
