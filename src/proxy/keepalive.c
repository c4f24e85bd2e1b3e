/* Lease renewals. Clients of one token share a stream of the cluster, and renewals of one lease that come close together share one
 * request: a request that is out answers all who ask meanwhile, and its answer those who ask within SHARE_MS after.
 *
 *	client stream ── wait ──┐
 *	client stream ── wait ──┴── renewal (lease id) ── keeper (token) ── stream of the cluster
 *
 * When the cluster's stream is lost it is opened again and what waits is asked again. An error that does not pass ends the streams
 * that wait. Limit: WAITS_MAX requests of a stream without answer, then it is not read. */
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"

enum { SHARE_MS = 500, REOPEN_MS = 500, WAITS_MAX = 256 };

struct keeping {
	struct grpc_proxy *px;
	struct table keepers; /* by token */
	struct list streams;
};

struct keeper {
	struct entry entry; /* of keeping.keepers */
	struct keeping *keeping;
	struct client_call *call;
	struct net_timer reopen;
	struct table renewals;
	struct list recent; /* renewals, the one answered last at the end; those with waits are not in it */
	size_t streams;
	uint8_t token[];
};

struct renewal {
	struct entry entry; /* of keeper.renewals, by id */
	struct list recent;
	int64_t id;
	struct list waits;
	uint64_t answered_ms; /* 0: never */
	struct buf answer;
};

struct keep_stream {
	struct list node; /* of keeping.streams */
	struct keeper *keeper;
	struct grpc_stream *stream;
	struct list waits;
	size_t wait_count;
	bool half_closed;
};

struct wait {
	struct list of_renewal, of_stream;
	struct keep_stream *stream;
};

static uint64_t now_ms(const struct keeper *k)
{
	return net_loop_now_ms(k->keeping->px->loop);
}

/* ---- streams of clients ---- */

static void wait_free(struct wait *w)
{
	list_remove(&w->of_renewal);
	list_remove(&w->of_stream);
	w->stream->wait_count--;
	mem_free(w);
}

static void renewal_free(struct keeper *k, struct renewal *r)
{
	table_remove(&k->renewals, &r->entry);
	list_remove(&r->recent);
	buf_fini(&r->answer);
	mem_free(r);
}

static void keeper_free(struct keeper *k)
{
	struct entry *e;

	if (k->call)
		client_drop(k->call);
	net_timer_cancel(k->keeping->px->loop, &k->reopen);
	while ((e = table_any(&k->renewals)))
		renewal_free(k, CONTAINER_OF(e, struct renewal, entry));
	table_fini(&k->renewals);
	table_remove(&k->keeping->keepers, &k->entry);
	mem_free(k);
}

static void keeper_drop_if_idle(struct keeper *k)
{
	if (!k->streams)
		keeper_free(k);
}

static void stream_free(struct keep_stream *s)
{
	LIST_EACH_SAFE (it, &s->waits)
		wait_free(CONTAINER_OF(it, struct wait, of_stream));
	list_remove(&s->node);
	s->keeper->streams--;
	mem_free(s);
}

static void stream_finish(struct keep_stream *s, enum grpc_status code, struct slice text)
{
	struct grpc_stream *stream = s->stream;

	stream->user = NULL;
	stream_free(s);
	grpc_finish(stream, code, text);
}

static void answer(struct keep_stream *s, struct slice body)
{
	grpc_send(s->stream, &body, 1);
}

/* ---- the cluster's stream ---- */

static void request(struct keeper *k, int64_t id)
{
	struct buf body;

	buf_init(&body, 32);
	pb_put_uint(&body, 1, (uint64_t)id);
	client_send(k->call, buf_slice(&body));
	buf_fini(&body);
}

static struct renewal *renewal_find(struct keeper *k, int64_t id)
{
	struct entry *e = table_find(&k->renewals, slice_of(&id, sizeof(id)));

	return e ? CONTAINER_OF(e, struct renewal, entry) : NULL;
}

static int64_t lease_of(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	int64_t id = 0;

	while (pb_next(&r, &f))
		if (f.number == 2 && f.wire == PB_VARINT)
			id = (int64_t)f.value;
	return id;
}

static void on_answer(struct client_call *call, void *user, struct slice body)
{
	struct keeper *k = user;
	struct renewal *r = renewal_find(k, lease_of(body));

	if (!r)
		return;
	r->answered_ms = now_ms(k);
	buf_clear(&r->answer);
	buf_put_slice(&r->answer, body);
	list_remove(&r->recent);
	list_push_back(&k->recent, &r->recent);
	while (!list_empty(&r->waits)) {
		struct wait *w = CONTAINER_OF(r->waits.next, struct wait, of_renewal);
		struct keep_stream *s = w->stream;

		wait_free(w);
		answer(s, body);
		if (s->half_closed && !s->wait_count)
			stream_finish(s, GRPC_OK, (struct slice){0});
		else if (s->wait_count == WAITS_MAX - 1)
			grpc_read_pause(s->stream, !grpc_writable(s->stream));
	}
	keeper_drop_if_idle(k);
}

static void open_call(struct keeper *k);

static void on_reopen(struct net_timer *t)
{
	struct keeper *k = CONTAINER_OF(t, struct keeper, reopen);

	open_call(k);
}

static void on_call_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct keeper *k = user;
	struct client_status s = *st;

	k->call = NULL;
	if (s.code == GRPC_UNAVAILABLE || s.code == GRPC_INTERNAL || s.code == GRPC_OK || s.code == GRPC_CANCELLED) {
		net_timer_set(k->keeping->px->loop, &k->reopen, now_ms(k) + REOPEN_MS);
		return;
	}
	LIST_EACH_SAFE (it, &k->keeping->streams) {
		struct keep_stream *ks = CONTAINER_OF(it, struct keep_stream, node);

		if (ks->keeper == k && ks->wait_count)
			stream_finish(ks, s.code, slice_str(s.text));
	}
	keeper_drop_if_idle(k);
}

static void ask_again(struct keeper *k)
{
	for (size_t i = 0; i < k->renewals.bucket_count; i++) {
		for (struct entry *e = k->renewals.buckets[i]; e; e = e->next) {
			struct renewal *r = CONTAINER_OF(e, struct renewal, entry);

			if (!list_empty(&r->waits))
				request(k, r->id);
		}
	}
}

static void open_call(struct keeper *k)
{
	static const struct client_events events = {on_answer, on_call_end};
	struct client_call_opts co = {.token = k->entry.key};

	net_timer_cancel(k->keeping->px->loop, &k->reopen);
	k->call = client_start(k->keeping->px->client, RPC_LEASE_KEEP_ALIVE, (struct slice){0}, &co, &events, k);
	ask_again(k);
}

/* ---- requests ---- */

/* Those that nobody will be answered from any more. */
static void forget_old(struct keeper *k)
{
	while (!list_empty(&k->recent)) {
		struct renewal *r = CONTAINER_OF(k->recent.next, struct renewal, recent);

		if (now_ms(k) < r->answered_ms + SHARE_MS)
			return;
		if (list_empty(&r->waits))
			renewal_free(k, r);
		else
			list_remove(&r->recent);
	}
}

static struct renewal *renewal_of(struct keeper *k, int64_t id)
{
	struct renewal *r = renewal_find(k, id);

	if (r)
		return r;
	r = NEW(struct renewal);
	r->id = id;
	list_init(&r->waits);
	list_init(&r->recent);
	buf_init(&r->answer, 1 << 16);
	table_add(&k->renewals, &r->entry, slice_of(&r->id, sizeof(r->id)));
	return r;
}

static void renew(struct keep_stream *s, int64_t id)
{
	struct keeper *k = s->keeper;
	struct renewal *r;
	struct wait *w;
	bool is_out;

	forget_old(k);
	r = renewal_of(k, id);
	is_out = !list_empty(&r->waits);
	if (!is_out && r->answered_ms && now_ms(k) < r->answered_ms + SHARE_MS) {
		answer(s, buf_slice(&r->answer));
		return;
	}
	w = NEW(struct wait);
	w->stream = s;
	list_push_back(&r->waits, &w->of_renewal);
	list_push_back(&s->waits, &w->of_stream);
	s->wait_count++;
	if (!k->call && !k->reopen.slot)
		open_call(k); /* which asks */
	else if (k->call && !is_out)
		request(k, id);
	if (s->wait_count >= WAITS_MAX)
		grpc_read_pause(s->stream, true);
}

static void on_start(struct grpc_stream *stream)
{
	struct keeping *g = proxy_of(stream)->keeping;
	struct slice token = token_of(stream);
	struct entry *e = table_find(&g->keepers, token);
	struct keep_stream *s = NEW(struct keep_stream);
	struct keeper *k;

	if (e) {
		k = CONTAINER_OF(e, struct keeper, entry);
	} else {
		k = mem_zalloc(sizeof(*k) + token.size);
		k->keeping = g;
		if (token.size)
			memcpy(k->token, token.data, token.size);
		net_timer_init(&k->reopen, on_reopen);
		table_init(&k->renewals);
		list_init(&k->recent);
		table_add(&g->keepers, &k->entry, slice_of(k->token, token.size));
	}
	s->keeper = k;
	s->stream = stream;
	list_init(&s->waits);
	list_push_back(&g->streams, &s->node);
	k->streams++;
	stream->user = s;
}

static void on_message(struct grpc_stream *stream, struct blob *take_body)
{
	struct pb_reader r = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	int64_t id = 0;

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			id = (int64_t)f.value;
	blob_unref(take_body);
	renew(stream->user, id);
	if (!grpc_writable(stream))
		grpc_read_pause(stream, true);
}

static void on_writable(struct grpc_stream *stream)
{
	struct keep_stream *s = stream->user;

	if (s && s->wait_count < WAITS_MAX)
		grpc_read_pause(stream, false);
}

static void on_half_close(struct grpc_stream *stream)
{
	struct keep_stream *s = stream->user;
	struct keeper *k = s->keeper;

	s->half_closed = true;
	if (s->wait_count)
		return;
	stream_finish(s, GRPC_OK, (struct slice){0});
	keeper_drop_if_idle(k);
}

static void on_cancel(struct grpc_stream *stream)
{
	struct keep_stream *s = stream->user;
	struct keeper *k = s ? s->keeper : NULL;

	if (!s)
		return;
	stream->user = NULL;
	stream_free(s);
	keeper_drop_if_idle(k);
}

const struct grpc_handler keepalive_handler = {on_start, on_message, on_half_close, on_writable, on_cancel};

void keeping_init(struct grpc_proxy *px)
{
	struct keeping *g = px->keeping = NEW(struct keeping);

	g->px = px;
	table_init(&g->keepers);
	list_init(&g->streams);
}

void keeping_stop(struct grpc_proxy *px)
{
	struct entry *e;

	LIST_EACH_SAFE (it, &px->keeping->streams)
		stream_finish(CONTAINER_OF(it, struct keep_stream, node), GRPC_CANCELLED, SLICE_LIT("context canceled"));
	while ((e = table_any(&px->keeping->keepers)))
		keeper_free(CONTAINER_OF(e, struct keeper, entry));
}

void keeping_free(struct grpc_proxy *px)
{
	table_fini(&px->keeping->keepers);
	mem_free(px->keeping);
}
