/* Watch streams of clients.
 *
 *	create ──may it read? (a count of the range, as upstream)──> watcher, on a broadcast
 *	            └──no: created and cancelled in one, with the reason
 *
 * While that is asked for the stream is not read, so requests stay in order. */
#include "obs/log.h"
#include "pb/wire.h"
#include "proxy/watching.h"

enum { ID_INVALID = -1 };

struct watch_stream {
	struct list node; /* of watching.streams, or of watching.cut */
	struct watching *watching;
	struct grpc_stream *stream;
	struct table watchers;
	int64_t next_id;
	struct list paused; /* broadcasts that wait for it */
	bool is_cut;
	err_t cut_for; /* OK: too slow */
	bool require_leader;
	/* a create request under way */
	struct client_call *check;
	struct blob *request;
	struct watch_req create;
};

/* ---- sending ---- */

/* events: fields of the response, encoded. */
static void deliver(struct watch_stream *s, const struct watch_news *n, const struct response_header *h, int64_t id, struct slice events)
{
	struct slice parts[2];
	struct buf head;

	if (s->is_cut)
		return;
	buf_init(&head, SIZE_MAX / 2);
	if (h)
		response_header_encode(h, 1, &head);
	pb_put_uint(&head, 2, (uint64_t)id);
	pb_put_uint(&head, 3, n->created);
	pb_put_uint(&head, 4, n->canceled);
	pb_put_uint(&head, 5, (uint64_t)n->compact_revision);
	pb_put_bytes(&head, 6, n->reason);
	parts[0] = buf_slice(&head);
	parts[1] = events;
	grpc_send(s->stream, parts, 2);
	buf_fini(&head);
}

static void cut(struct watch_stream *s, err_t err)
{
	if (s->is_cut)
		return;
	s->is_cut = true;
	s->cut_for = err;
	list_remove(&s->node);
	list_push_back(&s->watching->cut, &s->node);
	net_task_add(s->watching->px->loop, &s->watching->reaper);
}

void watcher_cut(struct watcher *r, err_t err)
{
	cut(r->stream, err);
}

static void mind_the_slow(struct watcher *r)
{
	struct watch_stream *s = r->stream;

	if (s->is_cut || grpc_writable(s->stream))
		return;
	if (r->broadcast && r->broadcast->watcher_count == 1) {
		broadcast_pause(r->broadcast, &s->paused);
	} else if (grpc_unsent(s->stream) > WATCH_UNSENT_MAX) {
		LOG_ERROR("failed to put a watch response on the watcher's proxy stream channel,err is timeout");
		cut(s, OK);
	}
}

static bool wants(const struct watcher *r, const struct watch_event *e)
{
	if (e->mod_revision < r->next)
		return false;
	return !(r->filters & (e->is_delete ? WATCH_FILTER_NODELETE : WATCH_FILTER_NOPUT));
}

/* What of n this watcher gets; false: nothing. */
static bool select_events(struct watcher *r, const struct watch_news *n, struct buf *out)
{
	int64_t last = 0;
	bool any = false;

	for (size_t i = 0; i < n->events.count; i++) {
		const struct watch_event *e = &n->events.at[i];

		if (e->mod_revision >= r->next)
			last = e->mod_revision;
		if (!wants(r, e))
			continue;
		buf_put_slice(out, r->prev_kv ? e->bytes : e->plain);
		any = true;
	}
	if (last >= r->next)
		r->next = last + 1;
	return any;
}

void watcher_tell(struct watcher *r, const struct watch_news *n)
{
	bool progress = !n->created && !n->canceled && !n->events.count && !n->compact_revision;
	struct buf events;

	if (progress && !r->progress)
		return;
	if (n->created && !r->next)
		r->next = n->header.revision + 1; /* from now on: now is this */
	buf_init(&events, SIZE_MAX / 2);
	if (select_events(r, n, &events) || progress || n->created || n->canceled || n->compact_revision) {
		r->header = n->header;
		deliver(r->stream, n, &n->header, r->id, buf_slice(&events));
		mind_the_slow(r);
	}
	buf_fini(&events);
}

/* ---- watchers ---- */

void watcher_end(struct watcher *r)
{
	table_remove(&r->stream->watchers, &r->entry);
	broadcast_leave(r);
	mem_free(r);
}

static void refuse(struct watch_stream *s, const char *reason)
{
	struct watch_news n = {.created = true, .canceled = true, .reason = slice_str(reason)};
	static const struct response_header none;

	deliver(s, &n, &none, ID_INVALID, (struct slice){0});
}

static bool is_range(struct slice key, struct slice end)
{
	return !end.size || (end.size == 1 && end.data[0] == 0) || slice_cmp(end, key) > 0;
}

static void add_watcher(struct watch_stream *s, const struct watch_req *q)
{
	struct watcher *r;

	if (!is_range(q->key, q->range_end)) {
		refuse(s, "");
		return;
	}
	r = NEW(struct watcher);
	r->stream = s;
	r->id = s->next_id++;
	r->next = q->start_revision;
	r->filters = q->filters;
	r->progress = q->progress_notify;
	r->prev_kv = q->prev_kv;
	table_add(&s->watchers, &r->entry, slice_of(&r->id, sizeof(r->id)));
	LOG_DEBUG("create watcher", LOG_SLICE("key", q->key), LOG_SLICE("end", q->range_end), LOG_INT("watcherId", r->id));
	broadcast_join(s->watching, r, q->key, q->range_end, token_of(s->stream), s->require_leader);
}

static void on_checked(struct client_call *call, void *user, const struct client_status *st)
{
	struct watch_stream *s = user;
	struct blob *request = s->request;
	char text[CLIENT_ERROR_SIZE];

	s->check = NULL;
	s->request = NULL;
	if (st->code == GRPC_OK)
		add_watcher(s, &s->create);
	else
		refuse(s, client_error(text, st));
	blob_unref(request);
	grpc_read_pause(s->stream, false);
}

static void on_count(struct client_call *call, void *user, struct slice body)
{
}

static void check_permission(struct watch_stream *s)
{
	static const struct client_events events = {on_count, on_checked};
	struct grpc_proxy *px = s->watching->px;
	struct client_call_opts co = {.token = token_of(s->stream)};
	static const uint8_t zero[1];
	struct slice key = s->create.key, end = s->create.range_end;
	struct buf body, full;

	if (!key.size)
		key = end = slice_of(zero, 1);
	buf_init(&body, SIZE_MAX / 2);
	buf_init(&full, SIZE_MAX / 2);
	pb_put_bytes(&body, 1, key);
	pb_put_bytes(&body, 2, end);
	pb_put_uint(&body, 3, 1);
	pb_put_uint(&body, 7, true);
	pb_put_uint(&body, 9, true);
	if (px->has_prefix && prefix_request(&px->prefix, RPC_RANGE, buf_slice(&body), &full))
		UNREACHABLE(); /* it was made here */
	grpc_read_pause(s->stream, true);
	s->check = client_start(px->client, RPC_RANGE, px->has_prefix ? buf_slice(&full) : buf_slice(&body), &co, &events, s);
	buf_fini(&body);
	buf_fini(&full);
}

static void cancel(struct watch_stream *s, int64_t id)
{
	struct entry *e = table_find(&s->watchers, slice_of(&id, sizeof(id)));
	struct watch_news n = {.canceled = true};
	struct watcher *r;

	LOG_DEBUG("cancel watcher", LOG_INT("watcherId", id));
	if (!e)
		return;
	r = CONTAINER_OF(e, struct watcher, entry);
	deliver(s, &n, r->header.revision ? &r->header : NULL, id, (struct slice){0});
	watcher_end(r);
}

/* ---- the stream ---- */

static void stream_free(struct watch_stream *s)
{
	struct entry *e;

	list_remove(&s->node);
	if (s->check)
		client_drop(s->check);
	blob_unref(s->request);
	while ((e = table_any(&s->watchers)))
		watcher_end(CONTAINER_OF(e, struct watcher, entry));
	ASSERT(list_empty(&s->paused));
	table_fini(&s->watchers);
	mem_free(s);
}

static void finish(struct watch_stream *s, err_t err)
{
	struct grpc_stream *stream = s->stream;

	stream->user = NULL;
	stream_free(s);
	if (err)
		grpc_finish_err(stream, err);
	else
		grpc_finish(stream, GRPC_CANCELLED, SLICE_LIT("context canceled"));
}

static void reap(struct net_task *t)
{
	struct watching *w = CONTAINER_OF(t, struct watching, reaper);

	while (!list_empty(&w->cut)) {
		struct watch_stream *s = CONTAINER_OF(w->cut.next, struct watch_stream, node);

		finish(s, s->cut_for);
	}
	broadcast_reap(w);
}

static void on_start(struct grpc_stream *stream)
{
	struct watching *w = proxy_of(stream)->watching;
	struct watch_stream *s = NEW(struct watch_stream);
	struct slice v;

	s->watching = w;
	s->stream = stream;
	s->require_leader = grpc_metadata(stream, SLICE_LIT("hasleader"), &v) && slice_eq(v, SLICE_LIT("true"));
	table_init(&s->watchers);
	list_init(&s->paused);
	list_push_back(&w->streams, &s->node);
	stream->user = s;
}

static void on_message(struct grpc_stream *stream, struct blob *take_body)
{
	struct watch_stream *s = stream->user;
	err_t err = s->is_cut ? OK : watch_req_parse(blob_slice(take_body), &s->create);

	if (err) {
		blob_unref(take_body);
		finish(s, err);
		return;
	}
	if (s->is_cut) {
		blob_unref(take_body);
	} else if (s->create.kind == WATCH_REQ_CREATE && s->create.start_revision < 0) {
		refuse(s, err_text(ERR_COMPACTED));
		blob_unref(take_body);
	} else if (s->create.kind == WATCH_REQ_CREATE) {
		s->request = take_body;
		check_permission(s);
	} else {
		if (s->create.kind == WATCH_REQ_CANCEL)
			cancel(s, s->create.watch_id);
		else
			LOG_ERROR("not supported request type by gRPC proxy", LOG_STR("request", "progress_request:{}"));
		blob_unref(take_body);
	}
}

static void on_half_close(struct grpc_stream *stream)
{
	finish(stream->user, OK);
}

static void on_writable(struct grpc_stream *stream)
{
	struct watch_stream *s = stream->user;

	if (!s)
		return;
	LIST_EACH_SAFE (it, &s->paused)
		broadcast_resume(CONTAINER_OF(it, struct broadcast, paused));
}

static void on_cancel(struct grpc_stream *stream)
{
	if (stream->user)
		stream_free(stream->user);
	stream->user = NULL;
}

const struct grpc_handler watch_handler = {on_start, on_message, on_half_close, on_writable, on_cancel};

void watching_init(struct grpc_proxy *px)
{
	struct watching *w = px->watching = NEW(struct watching);

	w->px = px;
	table_init(&w->topics);
	list_init(&w->streams);
	list_init(&w->dying);
	list_init(&w->cut);
	net_task_init(&w->reaper, reap);
}

void watching_stop(struct grpc_proxy *px)
{
	struct watching *w = px->watching;

	while (!list_empty(&w->streams))
		finish(CONTAINER_OF(w->streams.next, struct watch_stream, node), OK);
	reap(&w->reaper);
	net_task_cancel(&w->reaper);
}

void watching_free(struct grpc_proxy *px)
{
	table_fini(&px->watching->topics);
	mem_free(px->watching);
}
