/* One applied revision: which live watchers it touches, and what each of them gets of it as one item (I4). */
#include "watch/hub.h"

struct match_arg {
	struct watch_hub *h;
	struct watch_event *event;
};

/* The event joins what w gets of this revision. */
static void touch(struct watch_hub *h, struct watcher *w, struct watch_event *e)
{
	uint32_t pair = (uint32_t)h->pairs.count;
	struct touch *t;

	VEC_PUSH(&h->pairs, ((struct pair){.event = e, .next = UINT32_MAX}));
	if (w->touch) {
		t = &h->touches.at[w->touch - 1];
		h->pairs.at[t->last].next = pair;
		t->last = pair;
		t->count++;
		return;
	}
	VEC_PUSH(&h->touches, ((struct touch){.w = w, .first = pair, .last = pair, .count = 1}));
	w->touch = (uint32_t)h->touches.count;
}

static void on_match(void *arg, struct match_node *n)
{
	struct match_arg *a = arg;

	LIST_EACH (it, &n->members) {
		struct watcher *w = CONTAINER_OF(it, struct watcher, in_state);

		if (w->next <= a->event->rev && event_passes(a->event, w->filters))
			touch(a->h, w, a->event);
	}
}

/* Queues what the revision has for a watcher, or lets it lag from there. */
static void deliver(struct watch_hub *h, struct ring_entry *entry, const struct touch *t)
{
	struct watcher *w = t->w;
	size_t grown;

	w->touch = 0;
	if (stream_full(h, w->stream)) {
		watcher_lag(h, w, h->rev);
		return;
	}
	h->blobs.count = 0;
	for (uint32_t i = t->first; i != UINT32_MAX; i = h->pairs.at[i].next) {
		VEC_PUSH(&h->blobs, hub_event_blob(h, h->pairs.at[i].event, w->prev_kv, &grown));
		entry->bytes += grown;
		h->ring.bytes += grown;
	}
	emit_events(h, w, h->rev, h->blobs.at, h->blobs.count);
}

void watch_apply(struct watch_hub *h, const struct mvcc_event *events, size_t count)
{
	ASSERT(count > 0);
	ASSERT(events[0].rev.main == h->rev + 1);
	h->rev++;
	if (!h->stream_count) {
		ring_reset(&h->ring, h->rev + 1);
		return;
	}

	struct ring_entry *entry = ring_push(&h->ring, h->rev, events, count);

	for (uint32_t i = 0; i < entry->count; i++) {
		struct match_arg arg = {h, &entry->events[i]};

		match_each(&h->index, entry->events[i].key, on_match, &arg);
	}
	for (size_t i = 0; i < h->touches.count; i++)
		deliver(h, entry, &h->touches.at[i]);
	h->touches.count = 0;
	h->pairs.count = 0;
	ring_trim(&h->ring);
}
