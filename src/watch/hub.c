/* Streams and watchers: life and requests. */
#include "base/bug.h"
#include "base/crc.h"
#include "watch/hub.h"

/* ---- hub ---- */

static void set_defaults(struct watch_config *c)
{
	if (!c->progress_ns)
		c->progress_ns = 600000000000ull;
	if (!c->message_bytes_max)
		c->message_bytes_max = 2u << 20;
	if (!c->watchers_bytes_max)
		c->watchers_bytes_max = 1u << 30;
	if (!c->ring_bytes_max)
		c->ring_bytes_max = 2u << 20;
	if (!c->stream_items_max)
		c->stream_items_max = 1024;
	if (!c->stream_bytes_max)
		c->stream_bytes_max = 1u << 20;
	if (!c->batch_revs_max)
		c->batch_revs_max = 1000;
	if (!c->tasks_max)
		c->tasks_max = 2;
	if (!c->task_watchers_max)
		c->task_watchers_max = 256;
	if (!c->task_bytes_max)
		c->task_bytes_max = 4u << 20;
}

struct watch_hub *watch_hub_new(const struct watch_config *cfg)
{
	struct watch_hub *h = NEW(struct watch_hub);

	ASSERT(cfg->port_count > 0);
	h->cfg = *cfg;
	set_defaults(&h->cfg);
	h->compact_rev = -1;
	rng_init(&h->rng, cfg->seed);
	match_init(&h->index, rng_next(&h->rng));
	ring_init(&h->ring, h->cfg.ring_bytes_max);
	h->ring.from = 1;
	list_init(&h->streams);
	list_init(&h->ready);
	list_init(&h->history);
	h->ids_room = 16;
	h->ids = NEW_ARRAY(struct watcher *, h->ids_room);
	h->ports = NEW_ARRAY(struct watch_batch *, cfg->port_count);
	return h;
}

void watch_hub_free(struct watch_hub *h)
{
	ASSERT(!h->tasks_out);
	while (!list_empty(&h->streams))
		watch_stream_close(h, CONTAINER_OF(h->streams.next, struct watch_stream, in_hub));
	for (uint32_t i = 0; i < h->cfg.port_count; i++)
		watch_batch_free(h->ports[i]);
	mem_free(h->ports);
	match_fini(&h->index);
	ring_fini(&h->ring);
	mem_free(h->ids);
	VEC_FREE(&h->timers);
	VEC_FREE(&h->touches);
	VEC_FREE(&h->pairs);
	VEC_FREE(&h->blobs);
	VEC_FREE(&h->marks);
	mem_free(h);
}

void watch_set_term(struct watch_hub *h, uint64_t raft_term)
{
	h->term = raft_term;
}

int64_t watch_revision(const struct watch_hub *h)
{
	return h->rev;
}

/* ---- watchers by (stream, id) ---- */

static size_t id_bucket(const struct watch_hub *h, const struct watch_stream *s, int64_t id)
{
	uint64_t x[2] = {s->serial, (uint64_t)id};

	return hash64(h->index.seed, x, sizeof(x)) & (h->ids_room - 1);
}

static struct watcher *find(const struct watch_hub *h, const struct watch_stream *s, int64_t id)
{
	struct watcher *w = h->ids[id_bucket(h, s, id)];

	while (w && (w->stream != s || w->id != id))
		w = w->id_next;
	return w;
}

static void ids_grow(struct watch_hub *h)
{
	size_t old_room = h->ids_room;
	struct watcher **old = h->ids;

	h->ids_room *= 2;
	h->ids = NEW_ARRAY(struct watcher *, h->ids_room);
	for (size_t i = 0; i < old_room; i++)
		for (struct watcher *w = old[i], *next; w; w = next) {
			size_t to = id_bucket(h, w->stream, w->id);

			next = w->id_next;
			w->id_next = h->ids[to];
			h->ids[to] = w;
		}
	mem_free(old);
}

static void ids_add(struct watch_hub *h, struct watcher *w)
{
	if (h->watcher_count >= h->ids_room)
		ids_grow(h);

	size_t at = id_bucket(h, w->stream, w->id);

	w->id_next = h->ids[at];
	h->ids[at] = w;
}

static void ids_remove(struct watch_hub *h, struct watcher *w)
{
	struct watcher **at = &h->ids[id_bucket(h, w->stream, w->id)];

	while (*at != w)
		at = &(*at)->id_next;
	*at = w->id_next;
}

/* ---- streams ---- */

struct watch_stream *watch_stream_open(struct watch_hub *h, uint32_t port, void *arg, uint64_t now_ns)
{
	struct watch_stream *s = NEW(struct watch_stream);

	ASSERT(port < h->cfg.port_count);
	ASSERT(arg);
	s->port = port;
	s->arg = arg;
	s->serial = ++h->stream_serial;
	list_init(&s->watchers);
	list_init(&s->blocked);
	list_push_back(&h->streams, &s->in_hub);
	h->stream_count++;
	s->progress_ns = h->cfg.progress_ns + rng_below(&h->rng, h->cfg.progress_ns / 10 + 1);
	s->progress_at_ns = now_ns + s->progress_ns;
	timers_add(h, s);
	return s;
}

static void watcher_free(struct watch_hub *h, struct watcher *w)
{
	struct watch_stream *s = w->stream;

	watcher_set_state(h, w, WATCHER_COMPACTED); /* out of every list */
	s->lag_count--;
	ids_remove(h, w);
	list_remove(&w->in_stream);
	if (w->node->refs == 1)
		runs_forget(h, w->node);
	match_unref(&h->index, w->node);
	s->watcher_count--;
	h->watcher_count--;
	mem_free(w);
}

void watch_stream_close(struct watch_hub *h, struct watch_stream *s)
{
	while (!list_empty(&s->watchers))
		watcher_free(h, CONTAINER_OF(s->watchers.next, struct watcher, in_stream));
	ASSERT(s->lag_count == 0);
	output_forget(h, s);
	h->queued_items -= s->queued_items;
	h->queued_bytes -= s->queued_bytes;
	timers_remove(h, s);
	list_remove(&s->in_hub);
	h->stream_count--;
	mem_free(s);
	if (!h->stream_count)
		ring_reset(&h->ring, h->rev + 1); /* nobody to join: stop encoding */
}

bool watch_stream_full(const struct watch_hub *h, const struct watch_stream *s)
{
	return stream_full(h, s);
}

size_t watch_stream_watchers(const struct watch_stream *s)
{
	return s->watcher_count;
}

void watch_drained(struct watch_hub *h, struct watch_stream *s, size_t items, uint64_t bytes)
{
	ASSERT(items <= s->queued_items);
	ASSERT(bytes <= s->queued_bytes);
	s->queued_items -= items;
	s->queued_bytes -= bytes;
	h->queued_items -= items;
	h->queued_bytes -= bytes;
	/* half empty, so that a watcher does not come back for every message */
	if (s->queued_items > h->cfg.stream_items_max / 2 || s->queued_bytes > h->cfg.stream_bytes_max / 2)
		return;
	while (!list_empty(&s->blocked))
		watcher_set_state(h, CONTAINER_OF(s->blocked.next, struct watcher, in_state), WATCHER_READY);
}

/* ---- requests ---- */

static uint64_t watcher_bytes(const struct watch_hub *h)
{
	return h->watcher_count * sizeof(struct watcher) + h->ids_room * sizeof(void *) + h->index.bytes + h->index.room * sizeof(void *);
}

static err_t check_create(const struct watch_hub *h, const struct watch_stream *s, const struct watch_req *req,
			  struct slice key, err_t permitted)
{
	bool from_key = req->range_end.size == 1 && req->range_end.data[0] == 0;

	if (req->start_revision < 0)
		return ERR_COMPACTED;
	if (permitted)
		return permitted;
	if (req->range_end.size && !from_key && slice_cmp(req->range_end, key) <= 0)
		return ERR_WATCH_RANGE_EMPTY;
	if (req->watch_id && find(h, s, req->watch_id))
		return ERR_WATCH_DUPLICATE_ID;
	if (watcher_bytes(h) + key.size + req->range_end.size > h->cfg.watchers_bytes_max)
		return ERR_TOO_MANY_REQUESTS;
	return OK;
}

static int64_t next_id(const struct watch_hub *h, struct watch_stream *s)
{
	while (find(h, s, s->next_id))
		s->next_id++;
	return s->next_id++;
}

static struct watcher *watcher_new(struct watch_hub *h, struct watch_stream *s, const struct watch_req *req,
				   struct slice key)
{
	struct watcher *w = NEW(struct watcher);

	w->stream = s;
	w->id = req->watch_id ? req->watch_id : next_id(h, s);
	w->node = match_ref(&h->index, key, req->range_end);
	w->filters = (uint8_t)req->filters;
	w->progress_notify = req->progress_notify;
	w->progress_due = true;
	w->prev_kv = req->prev_kv;
	w->fragment = req->fragment;
	list_init(&w->in_state);
	list_push_back(&s->watchers, &w->in_stream);
	s->watcher_count++;
	ids_add(h, w);
	h->watcher_count++;
	return w;
}

void watch_create(struct watch_hub *h, struct watch_stream *s, const struct watch_req *req, err_t permitted)
{
	struct slice key = req->key.size ? req->key : slice_of("", 1);
	err_t err = check_create(h, s, req, key, permitted);

	if (err) {
		emit_control(h, s, -1, WATCH_ITEM_CREATED | WATCH_ITEM_CANCELED, h->rev, 0, err);
		return;
	}

	struct watcher *w = watcher_new(h, s, req, key);

	emit_control(h, s, w->id, WATCH_ITEM_CREATED, h->rev, 0, OK);
	w->state = WATCHER_COMPACTED; /* in no list yet */
	s->lag_count++;
	w->next = req->start_revision ? req->start_revision : h->rev + 1;
	w->future = req->start_revision > h->rev;
	w->accepted = w->next > h->rev;
	if (w->future)
		s->start_max = MAX(s->start_max, req->start_revision);
	watcher_set_state(h, w, w->next > h->rev ? WATCHER_LIVE : WATCHER_READY);
}

void watch_cancel(struct watch_hub *h, struct watch_stream *s, int64_t watch_id)
{
	struct watcher *w = find(h, s, watch_id);

	if (!w)
		return;
	watcher_free(h, w);
	emit_control(h, s, watch_id, WATCH_ITEM_CANCELED, h->rev, 0, OK);
}

static bool has_future_watcher(const struct watch_hub *h, const struct watch_stream *s)
{
	if (s->start_max <= h->rev)
		return false;
	LIST_EACH (it, &s->watchers) {
		const struct watcher *w = CONTAINER_OF(it, struct watcher, in_stream);

		if (w->future && w->next > h->rev)
			return true;
	}
	return false;
}

void watch_progress(struct watch_hub *h, struct watch_stream *s)
{
	if (!s->watcher_count || (s->lag_count && !BUG(PROGRESS_EARLY)) || has_future_watcher(h, s))
		return;
	emit_control(h, s, -1, 0, h->rev, 0, OK);
}

void watch_stats(const struct watch_hub *h, struct watch_stats *out)
{
	*out = (struct watch_stats){
		.streams = h->stream_count,
		.watchers = h->watcher_count,
		.lagging = h->lag_count,
		.events = h->events_sent,
		.pending_events = h->queued_items,
		.ring_events = h->ring.event_count,
		.ring_bytes = h->ring.bytes,
		.queued_bytes = h->queued_bytes,
		.watcher_bytes = watcher_bytes(h),
	};
}
