/* etcdserverpb.Watch: the stream's requests go to core, what the hub decides comes back in batches and is written as it is. */
#include "api/api_impl.h"

struct watching {
	struct watch_link link;
	struct api_rpc *rpc;
	bool closing;
	struct list items;              /* struct queued: what the sink had no room for */
	bool blocked;                   /* then requests are not read either: each may bring an answer */
	struct list touched;            /* in the batch being written; drained is told once for all its items */
	size_t drained_items;
	uint64_t drained_bytes;
};

struct queued {
	struct list link;
	struct blob *message;           /* a whole WatchResponse */
	uint64_t item_bytes;
};

struct batch_msg {
	struct msg msg;
	struct watch_batch *batch;
};

static void queue_clear(struct watching *w)
{
	while (!list_empty(&w->items)) {
		struct queued *q = CONTAINER_OF(w->items.next, struct queued, link);

		list_remove(&q->link);
		blob_unref(q->message);
		mem_free(q);
	}
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

static struct watching *watching_open(struct api_rpc *r)
{
	struct watching *w = NEW(struct watching);

	w->rpc = r;
	list_init(&w->items);
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
	watch_link_close(r->io->node, &w->link);
}

void watch_closed(struct api_io *io, struct msg *m)
{
	struct watching *w = CONTAINER_OF(CONTAINER_OF(m, struct watch_link, close), struct watching, link);
	struct api_rpc *r = w->rpc;

	queue_clear(w);
	mem_free(w);
	r->state = NULL;
	r->held = false;
	api_settle(r);
}

static void item_queue(struct watching *w, const struct watch_batch *b, const struct watch_item *it)
{
	struct queued *q = NEW(struct queued);
	struct buf out;

	buf_init(&out, API_RESP_MAX);
	watch_item_encode(b, it, &out);
	q->message = blob_copy(buf_slice(&out));
	q->item_bytes = it->size_bytes;
	buf_fini(&out);
	list_push_back(&w->items, &q->link);
}

static bool item_send(struct watching *w, const struct watch_batch *b, const struct watch_item *it)
{
	struct slice few[16], *parts = few;
	uint8_t head[WATCH_HEAD_SIZE_MAX];
	bool room;

	if (it->event_count + 1 > ARRAY_COUNT(few))
		parts = NEW_ARRAY(struct slice, it->event_count + 1);
	parts[0] = slice_of(head, (size_t)(watch_item_head_write(b, it, head) - head));
	for (uint32_t i = 0; i < it->event_count; i++)
		parts[i + 1] = blob_slice(b->events.at[it->event_first + i]);
	room = api_send(w->rpc, parts, it->event_count + 1);
	if (parts != few)
		mem_free(parts);
	return room;
}

static void batch_item(struct list *touched, const struct watch_batch *b, const struct watch_item *it)
{
	struct watching *w = it->stream_arg;

	if (!w || w->closing || !api_alive(w->rpc))
		return;
	if (w->blocked) {
		item_queue(w, b, it);
		return;
	}
	set_blocked(w, !item_send(w, b, it));
	w->drained_items++;
	w->drained_bytes += it->size_bytes;
	if (list_empty(&w->touched))
		list_push_back(touched, &w->touched);
}

void watch_batch_received(struct api_io *io, struct msg *m)
{
	struct batch_msg *bm = CONTAINER_OF(m, struct batch_msg, msg);
	struct list touched;

	list_init(&touched);
	for (size_t i = 0; i < bm->batch->items.count; i++)
		batch_item(&touched, bm->batch, &bm->batch->items.at[i]);
	while (!list_empty(&touched)) {
		struct watching *w = CONTAINER_OF(touched.next, struct watching, touched);

		list_remove(&w->touched);
		tell_drained(w);
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
	bool room = true;

	if (!w || w->closing)
		return;
	while (room && !list_empty(&w->items)) {
		struct queued *q = CONTAINER_OF(w->items.next, struct queued, link);
		struct slice msg = blob_slice(q->message);

		room = api_send(r, &msg, 1);
		w->drained_items++;
		w->drained_bytes += q->item_bytes;
		list_remove(&q->link);
		blob_unref(q->message);
		mem_free(q);
	}
	set_blocked(w, !room);
	tell_drained(w);
}

/* A client's half close changes nothing: events go on. */
const struct api_row watch_row = {.name = "Watch", .message = watch_message, .writable = watch_writable, .stop = watch_stop};
