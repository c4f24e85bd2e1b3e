/* Lagging watchers: the moves between states, the ring, and what compaction and snapshots do to them. */
#include "base/bug.h"
#include "watch/hub.h"
#include "watch/task.h"

/* Whoever counts as lagging holds back progress replies of its stream; a compacted watcher does so until it is
 * cancelled. */
void watcher_set_state(struct watch_hub *h, struct watcher *w, enum watcher_state state)
{
	struct watch_stream *s = w->stream;
	bool was_live = w->state == WATCHER_LIVE, live = state == WATCHER_LIVE;
	bool counted = !was_live && w->state != WATCHER_COMPACTED, counts = !live && state != WATCHER_COMPACTED;
	struct list *to[] = {
		/* nowhere: WATCHER_READING, WATCHER_COMPACTED */
		[WATCHER_LIVE] = &w->node->members, [WATCHER_READY] = &h->ready,  [WATCHER_BLOCKED] = &s->blocked,
		[WATCHER_WAITS] = &h->history,      [WATCHER_COMPACTED] = NULL,
	};

	if (w->want) {
		w->want->w = NULL;
		w->want = NULL;
	}
	list_remove(&w->in_state);
	if (to[state])
		list_push_back(to[state], &w->in_state);
	s->lag_count += (size_t)was_live - (size_t)live;
	h->lag_count += (size_t)counts - (size_t)counted;
	w->state = (uint8_t)state;
}

/* A live watcher could not take revision next. */
void watcher_lag(struct watch_hub *h, struct watcher *w, int64_t next)
{
	ASSERT(w->state == WATCHER_LIVE);
	ASSERT(next >= w->next);
	w->next = next;
	watcher_set_state(h, w, WATCHER_BLOCKED);
}

void watch_compacted(struct watch_hub *h, int64_t rev)
{
	ASSERT(rev >= h->compact_rev);
	h->compact_rev = rev;
}

void watch_reset(struct watch_hub *h, int64_t rev, int64_t compact_rev)
{
	int64_t before = h->rev;

	ASSERT(rev >= before);
	h->rev = rev;
	h->compact_rev = compact_rev;
	ring_reset(&h->ring, rev + 1);
	runs_forget(h, NULL);
	LIST_EACH (it, &h->streams) {
		struct watch_stream *s = CONTAINER_OF(it, struct watch_stream, in_hub);

		LIST_EACH (at, &s->watchers) {
			struct watcher *w = CONTAINER_OF(at, struct watcher, in_stream);

			if (w->state == WATCHER_LIVE) {
				w->next = BUG(INSTALL_LOWERS_NEXT) ? before + 1 : MAX(w->next, before + 1);
				if (w->next <= rev)
					watcher_set_state(h, w, WATCHER_READY);
			} else if (w->state == WATCHER_READING) {
				/* the task read the old store */
				watcher_set_state(h, w, WATCHER_READY);
			}
		}
	}
}

/* Gathers what the ring has for w from w->next on into h->blobs, and where each revision begins: at most batch_revs_max
 * revisions with a match, at most stream_bytes_max bytes, about *budget events visited. Moves w->next behind what was looked
 * at. Returns the bytes. */
static size_t gather(struct watch_hub *h, struct watcher *w, size_t *budget)
{
	size_t bytes = 0, grown;

	h->blobs.count = h->marks.count = 0;
	while (w->next <= h->rev && *budget && h->marks.count < h->cfg.batch_revs_max && bytes < h->cfg.stream_bytes_max) {
		struct run_mark mark = {w->next, bytes, (uint32_t)h->blobs.count};
		struct ring_entry *entry = ring_at(&h->ring, w->next++);

		for (uint32_t i = 0; i < entry->count; i++) {
			struct watch_event *e = &entry->events[i];

			*budget -= *budget > 0;
			if (!event_passes(e, w->filters) || !match_contains(w->node, e->key))
				continue;

			struct blob *b = hub_event_blob(h, e, w->prev_kv, &grown);

			entry->bytes += grown;
			h->ring.bytes += grown;
			bytes += b->size;
			VEC_PUSH(&h->blobs, b);
		}
		if (h->blobs.count > mark.events_before)
			VEC_PUSH(&h->marks, mark);
	}
	return bytes;
}

static void serve_from_ring(struct watch_hub *h, struct watcher *w, size_t *budget)
{
	w->accepted = true;
	if (!run_join(h, w)) {
		int64_t from = w->next;
		size_t bytes = gather(h, w, budget);

		if (h->blobs.count && !run_begin(h, w, from, bytes))
			emit_events(h, w, h->rev, h->blobs.at, h->blobs.count);
		ring_trim(&h->ring); /* prev_kv may have made it grow */
	}
	watcher_set_state(h, w, w->next > h->rev ? WATCHER_LIVE : WATCHER_READY);
}

static void cancel_compacted(struct watch_hub *h, struct watcher *w)
{
	/* header revision 0, no reason: upstream's answer to a start below the compact revision */
	emit_control(h, w->stream, w->id, WATCH_ITEM_CANCELED, 0, h->compact_rev, OK);
	watcher_set_state(h, w, WATCHER_COMPACTED);
}

bool watch_run(struct watch_hub *h, size_t budget_events)
{
	while (!list_empty(&h->ready) && budget_events) {
		struct watcher *w = CONTAINER_OF(h->ready.next, struct watcher, in_state);
		bool in_ring = ring_covers(&h->ring, w->next);

		budget_events--;
		if (w->next < h->compact_rev && !(w->accepted && in_ring))
			cancel_compacted(h, w);
		else if (w->next > h->rev)
			watcher_set_state(h, w, WATCHER_LIVE);
		else if (stream_full(h, w->stream))
			watcher_set_state(h, w, WATCHER_BLOCKED);
		else if (in_ring)
			serve_from_ring(h, w, &budget_events);
		else
			watcher_set_state(h, w, WATCHER_WAITS);
	}
	return !list_empty(&h->ready);
}

static size_t check_stream(const struct watch_hub *h, const struct watch_stream *s)
{
	size_t watchers = 0, lag = 0, counted = 0;

	LIST_EACH (it, &s->watchers) {
		const struct watcher *w = CONTAINER_OF(it, struct watcher, in_stream);

		ASSERT(w->stream == s);
		ASSERT(w->touch == 0);
		ASSERT((w->state == WATCHER_READING) == (w->want != NULL));
		ASSERT(list_empty(&w->in_state) == (w->state == WATCHER_READING || w->state == WATCHER_COMPACTED));
		ASSERT(w->state == WATCHER_LIVE || w->state == WATCHER_READY || w->next <= h->rev);
		watchers++;
		lag += w->state != WATCHER_LIVE;
		counted += w->state != WATCHER_LIVE && w->state != WATCHER_COMPACTED;
	}
	ASSERT(watchers == s->watcher_count);
	ASSERT(lag == s->lag_count);
	return counted;
}

void watch_check(const struct watch_hub *h)
{
	size_t streams = 0, watchers = 0, lag = 0, bytes = 0;

	match_check(&h->index);
	LIST_EACH (it, &h->streams) {
		const struct watch_stream *s = CONTAINER_OF(it, struct watch_stream, in_hub);

		streams++;
		watchers += s->watcher_count;
		lag += check_stream(h, s);
		ASSERT(h->timers.at[s->timer_pos] == s);
	}
	ASSERT(streams == h->stream_count);
	ASSERT(streams == h->timers.count);
	ASSERT(watchers == h->watcher_count);
	ASSERT(lag == h->lag_count);
	ASSERT(h->ring.from + (int64_t)h->ring.count == h->rev + 1);
	for (int64_t rev = h->ring.from; rev <= h->rev; rev++)
		bytes += ring_at(&h->ring, rev)->bytes;
	ASSERT(bytes == h->ring.bytes);
	for (size_t i = 0; i < RUNS_MAX; i++)
		ASSERT(!h->runs[i].bytes || (h->runs[i].node->refs && h->runs[i].from < h->runs[i].to && h->runs[i].to <= h->rev + 1));
}
