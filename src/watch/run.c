/* Watchers of one range that lag together need the same events: these are laid end to end once, and each watcher gets them from where
 * it is on. A run is one watcher's gathering, kept; another one joins it where it leads to the present, or begins where that one is.
 *
 * Bounds: RUNS_MAX runs are kept, each of at most twice stream_bytes_max. A message holds its whole run in memory, so nobody joins
 * behind its middle: queues hold at most twice the bytes that they count. */
#include "watch/hub.h"

static void run_drop(struct run *r)
{
	blob_unref(r->bytes);
	VEC_FREE(&r->marks);
	*r = (struct run){0};
}

static bool is_for(const struct run *r, const struct watcher *w)
{
	return r->bytes && r->node == w->node && r->filters == w->filters && r->prev_kv == w->prev_kv;
}

/* The run of w's kind; else one that is free, or has had its time. */
static struct run *slot(struct watch_hub *h, const struct watcher *w)
{
	for (size_t i = 0; i < RUNS_MAX; i++)
		if (is_for(&h->runs[i], w))
			return &h->runs[i];
	h->run_next = (h->run_next + 1) % RUNS_MAX;
	return &h->runs[h->run_next];
}

/* First revision at or above rev that has events. */
static const struct run_mark *mark_from(const struct run *r, int64_t rev)
{
	size_t low = 0, high = r->marks.count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (r->marks.at[middle].rev < rev)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->marks.count ? &r->marks.at[low] : NULL;
}

/* A message that large may have to be split, between events. */
static bool may_split(const struct watch_hub *h, const struct watcher *w, size_t bytes)
{
	return w->fragment && bytes + WATCH_HEAD_SIZE_MAX >= h->cfg.message_bytes_max;
}

bool run_join(struct watch_hub *h, struct watcher *w)
{
	const struct run *r = NULL;
	const struct run_mark *m;

	for (size_t i = 0; i < RUNS_MAX && !r; i++)
		if (is_for(&h->runs[i], w))
			r = &h->runs[i];
	if (!r || w->next < r->from || w->next >= r->to || (r->to <= h->rev && w->next != r->from))
		return false;
	m = mark_from(r, w->next);
	if (!m || m->at > r->bytes->size / 2 || may_split(h, w, r->bytes->size - m->at))
		return false;
	emit_run(h, w, h->rev, r->bytes, m->at, r->events - m->events_before);
	w->next = r->to;
	return true;
}

bool run_begin(struct watch_hub *h, struct watcher *w, int64_t from, size_t bytes)
{
	struct run *r;
	uint8_t *at;

	if (w->node->refs < 2 || h->blobs.count < 2 || bytes > 2 * h->cfg.stream_bytes_max || may_split(h, w, bytes))
		return false;
	r = slot(h, w);
	run_drop(r);
	*r = (struct run){.bytes = blob_new(bytes), .node = w->node, .from = from, .to = w->next, .events = (uint32_t)h->blobs.count,
			  .filters = w->filters, .prev_kv = w->prev_kv};
	at = r->bytes->data;
	for (size_t i = 0; i < h->blobs.count; i++) {
		memcpy(at, h->blobs.at[i]->data, h->blobs.at[i]->size);
		at += h->blobs.at[i]->size;
	}
	ASSERT(at == r->bytes->data + bytes);
	VEC_RESERVE(&r->marks, h->marks.count);
	memcpy(r->marks.at, h->marks.at, h->marks.count * sizeof(*h->marks.at));
	r->marks.count = h->marks.count;
	emit_run(h, w, h->rev, r->bytes, 0, r->events);
	return true;
}

void runs_forget(struct watch_hub *h, const struct match_node *n)
{
	for (size_t i = 0; i < RUNS_MAX; i++)
		if (!n || h->runs[i].node == n)
			run_drop(&h->runs[i]);
}
