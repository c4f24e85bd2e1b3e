/* Progress timers: one per stream, in a heap by time, ties by age of the stream. */
#include "watch/hub.h"

static bool before(const struct watch_stream *a, const struct watch_stream *b)
{
	return a->progress_at_ns != b->progress_at_ns ? a->progress_at_ns < b->progress_at_ns : a->serial < b->serial;
}

static void place(struct watch_hub *h, size_t at, struct watch_stream *s)
{
	h->timers.at[at] = s;
	s->timer_pos = at;
}

static void settle(struct watch_hub *h, size_t at, struct watch_stream *s)
{
	while (at && before(s, h->timers.at[(at - 1) / 2])) {
		place(h, at, h->timers.at[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < h->timers.count && before(h->timers.at[child + 1], h->timers.at[child]))
			child++;
		if (child >= h->timers.count || !before(h->timers.at[child], s))
			break;
		place(h, at, h->timers.at[child]);
		at = child;
	}
	place(h, at, s);
}

void timers_add(struct watch_hub *h, struct watch_stream *s)
{
	VEC_PUSH(&h->timers, s);
	settle(h, h->timers.count - 1, s);
}

void timers_remove(struct watch_hub *h, struct watch_stream *s)
{
	size_t at = s->timer_pos;
	struct watch_stream *last = h->timers.at[--h->timers.count];

	ASSERT(at <= h->timers.count);
	if (last != s)
		settle(h, at, last);
}

/* Those that got nothing since the last tick, are live and wait for no future revision (I5: the item stands behind
 * their events). */
static void tick_stream(struct watch_hub *h, struct watch_stream *s)
{
	LIST_EACH (it, &s->watchers) {
		struct watcher *w = CONTAINER_OF(it, struct watcher, in_stream);

		if (!w->progress_notify)
			continue;
		if (w->progress_due && w->state == WATCHER_LIVE && !(w->future && w->next > h->rev) &&
		    !stream_full(h, s))
			emit_control(h, s, w->id, 0, h->rev, 0, OK);
		w->progress_due = true;
	}
}

void watch_tick(struct watch_hub *h, uint64_t now_ns)
{
	while (h->timers.count && h->timers.at[0]->progress_at_ns <= now_ns) {
		struct watch_stream *s = h->timers.at[0];

		tick_stream(h, s);
		s->progress_at_ns = MAX(s->progress_at_ns, now_ns - MIN(now_ns, s->progress_ns - 1)) + s->progress_ns;
		settle(h, 0, s);
	}
}

uint64_t watch_next_ns(const struct watch_hub *h)
{
	return h->timers.count ? h->timers.at[0]->progress_at_ns : UINT64_MAX;
}
