/* etcdserverpb.Watch: the stream's requests go to core, what the hub decides comes back in batches and is written as it is. */
#include "api/api_impl.h"
#include "obs/metric.h"

enum { ROOM_BYTES_MAX = 16 << 10 };

/* An item that the sink had no room for, with refs of its own: the batch goes. */
struct waiting {
	struct watch_item item;         /* blobs counted from 0 */
	struct blob *one;               /* item.blob_count == 1 */
	struct blob **many;             /* > 1 */
};

/* A traced create request; created items come in the order of the requests. */
struct watch_span {
	struct span *span;              /* NULL: refused before it was looked at */
	int64_t id;
	bool created;
};

struct watching {
	struct watch_link link;
	struct api_rpc *rpc;
	bool closing;
	uint64_t cluster_id, member_id;
	VEC(struct waiting) items;      /* from items_at on */
	size_t items_at;
	bool blocked;                   /* then requests are not read either: each may bring an answer */
	bool full;                      /* about to be blocked, when the batch has been gone through */
	struct list touched;            /* in the batch being written; what follows is told once for all its items */
	size_t drained_items;
	uint64_t drained_bytes;
	size_t room_items;              /* written into the sink's room */
	uint64_t room_bytes;
	uint64_t sent_created, sent_items, sent_events; /* since send_began_ns */
	uint64_t send_began_ns;
	VEC(struct watch_span) spans;   /* if the call is traced */
};

struct batch_msg {
	struct msg msg;
	struct watch_batch *batch;
};

static void waiting_free(struct waiting *q)
{
	blob_unref(q->one);
	for (uint32_t i = 0; q->many && i < q->item.blob_count; i++)
		blob_unref(q->many[i]);
	mem_free(q->many);
}

static void queue_clear(struct watching *w)
{
	while (w->items_at < w->items.count)
		waiting_free(&w->items.at[w->items_at++]);
	VEC_FREE(&w->items);
	w->items_at = 0;
}

static void tell_drained(struct watching *w)
{
	struct watch_progress_note *d;

	if (!w->closing && w->drained_items) {
		d = NEW(struct watch_progress_note);
		d->msg.kind = WATCH_CALL_DRAINED;
		d->link = &w->link;
		d->items = w->drained_items;
		d->bytes = w->drained_bytes;
		watch_link_post(w->rpc->io->node, &d->msg);
	}
	w->drained_items = 0;
	w->drained_bytes = 0;
}

static void set_blocked(struct watching *w, bool blocked)
{
	if (blocked == w->blocked)
		return;
	w->blocked = blocked;
	w->rpc->ops->read_pause(w->rpc->sink, blocked);
}

/* ---- spans: from the request to the end of the watcher, or of the stream ---- */

static void spans_add(struct api_rpc *r, struct watching *w, const struct watch_request *q)
{
	struct watch_span s = {.span = q->permitted || q->req.start_revision < 0 ? NULL : api_trace_watch(r, &q->req)};

	VEC_PUSH(&w->spans, s);
}

static void spans_remove(struct watching *w, size_t i, bool end)
{
	if (w->spans.at[i].span && end)
		span_end(w->spans.at[i].span, false, (struct slice){0});
	else
		span_drop(w->spans.at[i].span);
	memmove(&w->spans.at[i], &w->spans.at[i + 1], (--w->spans.count - i) * sizeof(w->spans.at[0]));
}

/* Created: the first request that has no answer yet; one that is refused has no span, as in upstream. */
static void spans_see(struct watching *w, const struct watch_item *it)
{
	bool created = it->flags & WATCH_ITEM_CREATED, canceled = it->flags & WATCH_ITEM_CANCELED;

	for (size_t i = 0; (created || canceled) && i < w->spans.count; i++) {
		struct watch_span *s = &w->spans.at[i];

		if (created ? s->created : !s->created || s->id != it->watch_id)
			continue;
		s->created = true;
		s->id = it->watch_id;
		if (canceled)
			spans_remove(w, i, !created);
		return;
	}
}

static void spans_end(struct watching *w)
{
	while (w->spans.count)
		spans_remove(w, w->spans.count - 1, w->spans.at[w->spans.count - 1].created);
	VEC_FREE(&w->spans);
}

static struct watching *watching_open(struct api_rpc *r)
{
	struct watching *w = NEW(struct watching);

	w->rpc = r;
	list_init(&w->touched);
	w->link.reply = r->io->actor;
	w->link.reply_kind = API_MSG_WATCH_CLOSED;
	w->link.port = r->io->port;
	w->link.arg = w;
	r->state = w;
	r->held = true;
	watch_link_open(r->io->node, &w->link);
	return w;
}

static void watch_message(struct api_rpc *r, struct blob *take_body)
{
	struct watching *w = r->state;
	struct watch_request *q = NEW(struct watch_request);
	err_t err = watch_req_parse(blob_slice(take_body), &q->req);

	if (err) {
		mem_free(q);
		blob_unref(take_body);
		api_fail(r, err);
		return;
	}
	if (!w)
		w = watching_open(r);
	if (q->req.kind == WATCH_REQ_CREATE) {
		r->range = (struct range_req){.key = q->req.key.size ? q->req.key : SLICE_LIT("\0"), .range_end = q->req.range_end};
		q->permitted = api_permit_now(r);       /* the refusal is a message of the stream */
		if (r->trace)
			spans_add(r, w, q);
	}
	q->msg.kind = WATCH_CALL_REQUEST;
	q->link = &w->link;
	q->body = take_body;
	watch_link_post(r->io->node, &q->msg);
}

/* The call is over, or its client gone: core is told, and the rest waits for its answer. */
static void watch_stop(struct api_rpc *r)
{
	struct watching *w = r->state;

	if (!w || w->closing)
		return;
	w->closing = true;
	queue_clear(w);
	spans_end(w);
	watch_link_close(r->io->node, &w->link);
}

void watch_closed(struct api_io *io, struct msg *m)
{
	struct watching *w = CONTAINER_OF(CONTAINER_OF(m, struct watch_link, close), struct watching, link);
	struct api_rpc *r = w->rpc;

	queue_clear(w);
	spans_end(w);
	mem_free(w);
	r->state = NULL;
	r->held = false;
	api_settle(r);
}

static void item_queue(struct watching *w, const struct watch_batch *b, const struct watch_item *it)
{
	struct waiting q = {.item = *it};
	struct blob *const *blobs = b->blobs.at + it->blob_first;

	q.item.blob_first = 0;
	if (it->blob_count == 1)
		q.one = blob_ref(blobs[0]);
	if (it->blob_count > 1)
		q.many = NEW_ARRAY(struct blob *, it->blob_count);
	for (uint32_t i = 0; q.many && i < it->blob_count; i++)
		q.many[i] = blob_ref(blobs[i]);
	w->cluster_id = b->cluster_id;
	w->member_id = b->member_id;
	VEC_PUSH(&w->items, q);
}

/* One that is large, or for a sink that gives no room. */
static bool item_send(struct watching *w, const struct watch_batch *b, const struct watch_item *it, struct watch_header *h)
{
	struct slice few[16], *parts = few;
	uint8_t head[WATCH_HEAD_SIZE_MAX];
	bool room;

	if (it->blob_count + 1 > ARRAY_COUNT(few))
		parts = NEW_ARRAY(struct slice, it->blob_count + 1);
	parts[0] = slice_of(head, (size_t)(watch_item_head_write(b, it, h, head) - head));
	for (uint32_t i = 0; i < it->blob_count; i++)
		parts[i + 1] = watch_item_blob(b, it, i);
	if (it->blob_count == 1 && w->rpc->ops->send_blob)
		room = w->rpc->ops->send_blob(w->rpc->sink, parts[0], blob_ref(b->blobs.at[it->blob_first]), it->skip);
	else
		room = api_send(w->rpc, parts, it->blob_count + 1);
	if (parts != few)
		mem_free(parts);
	return room;
}

/* False: the sink is full. */
static bool item_out(struct watching *w, const struct watch_batch *b, const struct watch_item *it, struct watch_header *h)
{
	const struct api_sink_ops *ops = w->rpc->ops;
	uint8_t *room = ops->room && it->size_bytes <= ROOM_BYTES_MAX ? ops->room(w->rpc->sink, (size_t)it->size_bytes) : NULL;

	w->drained_items++;
	w->drained_bytes += it->size_bytes;
	w->sent_created += (it->flags & WATCH_ITEM_CREATED) != 0;
	w->sent_items += (it->flags & WATCH_ITEM_CREATED) == 0;
	w->sent_events += it->event_count;
	if (w->spans.count)
		spans_see(w, it);
	if (!room)
		return item_send(w, b, it, h);
	watch_item_write(b, it, h, room);
	w->room_items++;
	w->room_bytes += it->size_bytes;
	return ops->writable(w->rpc->sink);
}

/* One look at the clock for all that went out together, so each answer is given its share. */
static void sent_observe(struct watching *w)
{
	uint64_t sent = w->sent_created + w->sent_items, took_ns = api_now(w->rpc) - w->send_began_ns;

	if (w->sent_created)
		metric_observe_many(METRIC_DEBUGGING_SERVER_WATCH_SEND_LOOP_CONTROL_STREAM_DURATION_SECONDS, took_ns / sent, w->sent_created);
	if (w->sent_items)
		metric_observe_many(METRIC_DEBUGGING_SERVER_WATCH_SEND_LOOP_WATCH_STREAM_DURATION_SECONDS, took_ns / sent, w->sent_items);
	if (w->sent_events)
		metric_observe_many(METRIC_DEBUGGING_SERVER_WATCH_SEND_LOOP_WATCH_STREAM_DURATION_PER_EVENT_SECONDS,
				    took_ns * w->sent_items / sent / w->sent_events, w->sent_items);
	w->sent_created = w->sent_items = w->sent_events = 0;
}

/* After one or more items went out. */
static void items_out_end(struct watching *w, bool full)
{
	sent_observe(w);
	if (w->room_items)
		full |= !w->rpc->ops->room_done(w->rpc->sink, w->room_items, w->room_bytes);
	w->room_items = 0;
	w->room_bytes = 0;
	set_blocked(w, full);
	tell_drained(w);
}

static void batch_item(struct list *touched, const struct watch_batch *b, const struct watch_item *it, struct watch_header *h)
{
	struct watching *w = it->stream_arg;

	if (!w || w->closing || !api_alive(w->rpc))
		return;
	if (w->blocked || w->full) {
		item_queue(w, b, it);
		return;
	}
	if (list_empty(&w->touched)) {
		list_push_back(touched, &w->touched);
		w->send_began_ns = api_now(w->rpc);
	}
	w->full = !item_out(w, b, it, h);
}

void watch_batch_received(struct api_io *io, struct msg *m)
{
	struct batch_msg *bm = CONTAINER_OF(m, struct batch_msg, msg);
	struct watch_header header = {0};
	struct list touched;

	list_init(&touched);
	for (size_t i = 0; i < bm->batch->items.count; i++) {
		const struct watch_item *it = &bm->batch->items.at[i];
		struct watch_item one;

		for (uint32_t n = 0; n <= it->same_count; n++) {
			watch_item_nth(bm->batch, it, n, &one);
			batch_item(&touched, bm->batch, &one, &header);
		}
	}
	while (!list_empty(&touched)) {
		struct watching *w = CONTAINER_OF(touched.next, struct watching, touched);
		bool full = w->full;

		list_remove(&w->touched);
		w->full = false;
		if (!w->closing)        /* by what came in while another one was let read on */
			items_out_end(w, full);
	}
	watch_batch_free(bm->batch);
	mem_free(bm);
}

void api_watch_output(struct api_io *io, struct watch_batch *take_b)
{
	struct batch_msg *bm = NEW(struct batch_msg);

	bm->msg.kind = API_MSG_WATCH_BATCH;
	bm->batch = take_b;
	actor_post(io->actor, &bm->msg);
}

static void watch_writable(struct api_rpc *r)
{
	struct watching *w = r->state;
	struct watch_header header = {0};
	bool room = true;

	if (!w || w->closing)
		return;
	w->send_began_ns = api_now(r);
	while (room && w->items_at < w->items.count) {
		struct waiting *q = &w->items.at[w->items_at++];
		struct watch_batch b = {.cluster_id = w->cluster_id, .member_id = w->member_id};

		b.blobs.at = q->many ? q->many : &q->one;
		room = item_out(w, &b, &q->item, &header);
		waiting_free(q);
	}
	if (w->items_at == w->items.count)
		queue_clear(w);
	items_out_end(w, !room);
}

/* A client's half close changes nothing: events go on. */
const struct api_row watch_row = {.name = "Watch", .message = watch_message, .writable = watch_writable, .stop = watch_stop};
