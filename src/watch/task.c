/* History for watchers that the ring does not cover: made and taken back by core, fed by a worker in between. */
#include "watch/task.h"

#include "base/bug.h"
#include "base/mem.h"

enum { LOOK_AHEAD = 1024 }; /* watchers looked at to fill a task */

/* ---- core ---- */

static bool is_near(int64_t next, int64_t first, uint32_t window)
{
	return next >= first - window && next <= first + window;
}

static void want_add(struct watch_task *t, struct watch_hub *h, struct watcher *w)
{
	struct watch_want *want = &t->wants[t->want_count++];

	watcher_set_state(h, w, WATCHER_READING);
	*want = (struct watch_want){.w = w, .next = w->next, .filters = w->filters, .prev_kv = w->prev_kv};
	w->want = want;
	want->node = match_ref(&t->index, match_key(w->node),
			       w->node->kind == MATCH_FROM ? slice_of("", 1) : match_end(w->node));
	list_push_back(&want->node->members, &want->in_node);
	t->from = MIN(t->from, w->next);
}

struct watch_task *watch_next_task(struct watch_hub *h)
{
	if (list_empty(&h->history) || h->tasks_out >= h->cfg.tasks_max)
		return NULL;

	struct watch_task *t = NEW(struct watch_task);
	int64_t first = CONTAINER_OF(h->history.next, struct watcher, in_state)->next;
	size_t looked = 0;

	t->from = first;
	t->rev = h->rev;
	t->revs_max = h->cfg.batch_revs_max;
	t->bytes_max = h->cfg.task_bytes_max;
	match_init(&t->index, h->index.seed);
	t->wants = NEW_ARRAY(struct watch_want, h->cfg.task_watchers_max);
	LIST_EACH_SAFE (it, &h->history) {
		struct watcher *w = CONTAINER_OF(it, struct watcher, in_state);

		if (t->want_count == h->cfg.task_watchers_max || looked++ == LOOK_AHEAD)
			break;
		if (is_near(w->next, first, h->cfg.batch_revs_max))
			want_add(t, h, w);
	}
	t->at = (struct rev){t->from, -1};
	t->matched_rev = t->from - 1;
	t->read_to = t->from - 1;
	h->tasks_out++;
	return t;
}

int64_t watch_task_from(const struct watch_task *t)
{
	return t->from;
}

int64_t watch_task_rev(const struct watch_task *t)
{
	return t->rev;
}

/* What was read goes out, unless compaction passed its beginning meanwhile: then rows may have been missing. */
static void take_want(struct watch_hub *h, struct watch_task *t, struct watch_want *want)
{
	struct watcher *w = want->w;
	bool sound = t->ended && want->next >= h->compact_rev && t->read_to >= w->next;

	if (sound) {
		ASSERT(w->next == want->next);
		w->accepted = true;
		w->next = t->read_to + 1 + BUG(WATCH_GAP);
		if (want->events.count)
			emit_events(h, w, t->view_rev, want->events.at, want->events.count);
	}
	watcher_set_state(h, w, WATCHER_READY);
}

void watch_task_done(struct watch_hub *h, struct watch_task *t)
{
	ASSERT(h->tasks_out > 0);
	h->tasks_out--;
	for (size_t i = 0; i < t->want_count; i++) {
		struct watch_want *want = &t->wants[i];

		if (want->w)
			take_want(h, t, want);
		for (size_t k = 0; k < want->events.count; k++)
			blob_unref(want->events.at[k]);
		VEC_FREE(&want->events);
		list_remove(&want->in_node);
		match_unref(&t->index, want->node);
	}
	match_fini(&t->index);
	mem_free(t->wants);
	mem_free(t);
}

/* ---- worker ---- */

struct row_arg {
	struct watch_task *t;
	struct watch_event event; /* plain is made for the first taker */
	struct slice kv;
	uint8_t *tombstone_kv;
	watch_prev_fn *prev;
	void *prev_arg;
	bool prev_known;
};

static struct blob *plain_blob(struct row_arg *a)
{
	if (!a->event.plain) {
		a->event.plain = event_blob(a->event.type, a->kv, (struct slice){0});
		a->t->bytes += a->event.plain->size;
	}
	return a->event.plain;
}

static struct blob *blob_for(struct row_arg *a, bool prev_kv)
{
	struct slice row;

	if (!prev_kv || a->event.is_create)
		return plain_blob(a);
	if (!a->prev_known) {
		a->prev_known = true;
		if (a->prev && !a->prev(a->prev_arg, a->event.key, a->event.rev - 1, &row)) {
			a->event.with_prev = event_blob(a->event.type, a->kv, row);
			a->t->bytes += a->event.with_prev->size;
		}
	}
	return a->event.with_prev ? a->event.with_prev : plain_blob(a);
}

static void on_row(void *arg, struct match_node *n)
{
	struct row_arg *a = arg;

	LIST_EACH (it, &n->members) {
		struct watch_want *want = CONTAINER_OF(it, struct watch_want, in_node);

		if (want->next > a->event.rev || !event_passes(&a->event, want->filters))
			continue;
		VEC_PUSH(&want->events, blob_ref(blob_for(a, want->prev_kv)));
		if (a->t->matched_rev != a->event.rev) {
			a->t->matched_rev = a->event.rev;
			a->t->revs++;
		}
	}
}

bool watch_task_row(struct watch_task *t, struct rev rev, bool tombstone, struct slice row, watch_prev_fn *prev,
		    void *arg)
{
	struct row_arg a = {.t = t, .kv = row, .prev = prev, .prev_arg = arg};
	struct kv kv;
	struct buf deleted;

	ASSERT(!t->full && rev_cmp(rev, t->at) > 0);
	/* only between revisions: one of them is one message */
	if (rev.main != t->at.main && (t->revs >= t->revs_max || t->bytes >= t->bytes_max)) {
		t->full = true;
		t->read_to = rev.main - 1;
		return false;
	}
	t->at = rev;
	if (kv_decode(row, &kv)) {
		t->corrupt = true;
		return true;
	}
	a.event = (struct watch_event){
		.key = kv.key,
		.rev = rev.main,
		.type = tombstone ? EVENT_DELETE : EVENT_PUT,
		.is_create = !tombstone && kv.create_rev == rev.main,
	};
	buf_init(&deleted, SIZE_MAX / 2);
	if (tombstone) {
		kv_encode(&(struct kv){.key = kv.key, .mod_rev = rev.main}, &deleted);
		a.kv = buf_slice(&deleted);
	}
	match_each(&t->index, kv.key, on_row, &a);
	blob_unref(a.event.plain);
	blob_unref(a.event.with_prev);
	buf_fini(&deleted);
	return true;
}

void watch_task_end(struct watch_task *t, int64_t view_rev, bool rows_ended)
{
	ASSERT(view_rev >= t->rev);
	ASSERT(rows_ended || t->full);
	if (rows_ended && !t->full)
		t->read_to = view_rev;
	t->view_rev = view_rev;
	t->ended = true;
}

bool watch_task_corrupt(const struct watch_task *t)
{
	return t->corrupt;
}
