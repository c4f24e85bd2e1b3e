#include "obs/log.h"
#include "obs/metric.h"
#include "pb/kv.h"
#include "pb/rpc.h"
#include "proxy/watching.h"

/* ---- reading a response ---- */

static void parse_header(struct slice s, struct response_header *h)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.wire != PB_VARINT)
			continue;
		if (f.number == 1)
			h->cluster_id = f.value;
		else if (f.number == 2)
			h->member_id = f.value;
		else if (f.number == 3)
			h->revision = (int64_t)f.value;
		else if (f.number == 4)
			h->raft_term = f.value;
	}
}

static int64_t mod_revision_of(struct slice kv)
{
	struct pb_reader r = pb_reader_of(kv);
	struct pb_field f;
	int64_t out = 0;

	while (pb_next(&r, &f))
		if (f.number == 3 && f.wire == PB_VARINT)
			out = (int64_t)f.value;
	return out;
}

enum { FIELD_HEADER = 1, FIELD_CREATED = 3, FIELD_CANCELED = 4, FIELD_COMPACT = 5, FIELD_REASON = 6, FIELD_EVENTS = 11 };

/* raw: the field with its tag. The plain form is an offset in n->plain until that has stopped growing. */
static void parse_event(struct watch_news *n, struct slice raw, struct slice event)
{
	struct pb_reader r = pb_reader_of(event);
	struct pb_field f;
	struct watch_event e = {.bytes = raw};
	struct slice kv = {0};
	bool has_prev = false;
	size_t at = n->plain.size, mark;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			e.is_delete = f.value == EVENT_DELETE;
		else if (f.number == 2 && f.wire == PB_BYTES)
			kv = f.bytes;
		else if (f.number == 3)
			has_prev = true;
	}
	e.mod_revision = mod_revision_of(kv);
	e.plain = raw;
	if (has_prev) {
		mark = pb_begin(&n->plain, FIELD_EVENTS);
		pb_put_uint(&n->plain, 1, e.is_delete);
		pb_put_bytes_always(&n->plain, 2, kv);
		pb_end(&n->plain, mark);
		e.plain = slice_of(NULL, n->plain.size - at);
	}
	VEC_PUSH(&n->events, e);
}

static void news_parse(struct slice body, struct watch_news *n)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	const uint8_t *start = r.at;
	size_t at = 0;

	*n = (struct watch_news){0};
	buf_init(&n->plain, SIZE_MAX / 2);
	for (; pb_next(&r, &f); start = r.at) {
		if (f.number == FIELD_HEADER && f.wire == PB_BYTES)
			parse_header(f.bytes, &n->header);
		else if (f.number == FIELD_CREATED)
			n->created = f.value;
		else if (f.number == FIELD_CANCELED)
			n->canceled = f.value;
		else if (f.number == FIELD_COMPACT)
			n->compact_revision = (int64_t)f.value;
		else if (f.number == FIELD_REASON && f.wire == PB_BYTES)
			n->reason = f.bytes;
		else if (f.number == FIELD_EVENTS && f.wire == PB_BYTES)
			parse_event(n, slice_of(start, (size_t)(r.at - start)), f.bytes);
	}
	for (size_t i = 0; i < n->events.count; i++) {
		struct watch_event *e = &n->events.at[i];

		if (!e->plain.data) {
			e->plain.data = n->plain.data + at;
			at += e->plain.size;
		}
	}
}

static void news_fini(struct watch_news *n)
{
	VEC_FREE(&n->events);
	buf_fini(&n->plain);
}

/* ---- topics ---- */

static void put_key(struct buf *out, struct slice key, struct slice range_end, struct slice token, bool require_leader)
{
	size_t sizes[] = {key.size, range_end.size, require_leader};

	buf_put(out, sizes, sizeof(sizes));
	buf_put_slice(out, key);
	buf_put_slice(out, range_end);
	buf_put_slice(out, token);
}

static struct topic *topic_of(struct watching *w, struct slice key, struct slice range_end, struct slice token, bool require_leader)
{
	struct entry *e;
	struct topic *t = NULL;
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	put_key(&b, key, range_end, token, require_leader);
	e = table_find(&w->topics, buf_slice(&b));
	if (e)
		t = CONTAINER_OF(e, struct topic, entry);
	if (!t) {
		t = mem_zalloc(sizeof(*t) + b.size);
		t->watching = w;
		t->require_leader = require_leader;
		list_init(&t->broadcasts);
		memcpy(t->bytes, b.data, b.size);
		t->token = slice_of(t->bytes + b.size - token.size, token.size);
		t->range_end = slice_of(t->token.data - range_end.size, range_end.size);
		t->key = slice_of(t->range_end.data - key.size, key.size);
		table_add(&w->topics, &t->entry, slice_of(t->bytes, b.size));
	}
	buf_fini(&b);
	return t;
}

static void topic_drop_if_idle(struct topic *t)
{
	if (!list_empty(&t->broadcasts))
		return;
	table_remove(&t->watching->topics, &t->entry);
	mem_free(t);
}

/* ---- the end of a broadcast ---- */

static void bury(struct broadcast *b)
{
	struct topic *t = b->topic;

	ASSERT(!b->watcher_count);
	if (b->dying)
		return;
	b->dying = true;
	list_remove(&b->paused);
	list_remove(&b->node);
	list_push_back(&t->watching->dying, &b->node);
	net_task_add(t->watching->px->loop, &t->watching->reaper);
	b->topic = NULL;
	topic_drop_if_idle(t);
}

void broadcast_reap(struct watching *w)
{
	LIST_EACH_SAFE (it, &w->dying) {
		struct broadcast *b = CONTAINER_OF(it, struct broadcast, node);

		list_remove(&b->node);
		client_watch_close(b->watch);
		mem_free(b);
	}
}

/* ---- watchers come and go ---- */

static void attach(struct broadcast *b, struct watcher *r)
{
	list_push_back(&b->watchers, &r->node);
	b->watcher_count++;
	r->broadcast = b;
	if (b->watcher_count > 1)
		metric_move(METRIC_GRPC_PROXY_WATCHERS_COALESCING_TOTAL, 1);
}

static void detach(struct watcher *r)
{
	struct broadcast *b = r->broadcast;

	list_remove(&r->node);
	r->broadcast = NULL;
	b->watcher_count--;
	if (b->watcher_count)
		metric_move(METRIC_GRPC_PROXY_WATCHERS_COALESCING_TOTAL, -1);
}

void broadcast_leave(struct watcher *r)
{
	struct broadcast *b = r->broadcast;

	detach(r);
	if (!b->watcher_count)
		bury(b);
}

static bool is_paused(const struct broadcast *b)
{
	return !list_empty(&b->paused);
}

/* I2. One that has not begun takes only those that want the same beginning. */
static bool fits(const struct broadcast *b, const struct watcher *r)
{
	if (is_paused(b) || b->next > r->next)
		return false;
	return b->next == r->next || (b->next && b->responses);
}

static void say_created(struct watcher *r)
{
	struct watch_news n = {.created = true, .header = {.revision = r->next}};

	watcher_tell(r, &n);
}

/* I3 */
static void merge(struct broadcast *b)
{
	if (b->dying || is_paused(b))
		return;
	LIST_EACH (it, &b->topic->broadcasts) {
		struct broadcast *into = CONTAINER_OF(it, struct broadcast, node);

		if (into == b || !into->responses || is_paused(into) || into->next > b->next)
			continue;
		LIST_EACH_SAFE (w, &b->watchers) {
			struct watcher *r = CONTAINER_OF(w, struct watcher, node);

			detach(r);
			attach(into, r);
		}
		bury(b);
		return;
	}
}

/* ---- what the cluster says ---- */

static void spread(struct broadcast *b, const struct watch_news *n)
{
	/* The header of events that are history says how far the cluster is, not how far this watch is. */
	if (n->events.count)
		b->next = MAX(b->next, n->events.at[n->events.count - 1].mod_revision + 1);
	else if (b->responses || !b->next)
		b->next = MAX(b->next, n->header.revision + 1);
	b->responses++;
	LIST_EACH (it, &b->watchers)
		watcher_tell(CONTAINER_OF(it, struct watcher, node), n);
	if (b->watcher_count > 1)
		metric_add(METRIC_GRPC_PROXY_EVENTS_COALESCING_TOTAL, b->watcher_count - 1);
	if (!n->canceled)
		merge(b);
}

static void on_response(struct client_watch *w, void *user, struct slice body)
{
	struct broadcast *b = user;
	struct grpc_proxy *px;
	struct watch_news n;
	struct buf plain;

	if (b->dying)
		return;
	px = b->topic->watching->px;
	buf_init(&plain, SIZE_MAX / 2);
	if (px->has_prefix && !prefix_response(&px->prefix, RPC_WATCH, body, &plain))
		body = buf_slice(&plain);
	news_parse(body, &n);
	spread(b, &n);
	news_fini(&n);
	buf_fini(&plain);
}

/* Nothing more will come: cancelled by the cluster, which was passed on, or refused. */
static void on_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct broadcast *b = user;
	struct watch_news n = {.created = !b->responses, .canceled = true};
	char text[CLIENT_ERROR_SIZE];
	bool told = client_error_row(s) == ERR_COMPACTED || s->code == GRPC_FAILED_PRECONDITION || client_error_row(s) == ERR_FUTURE_REV;

	if (b->dying)
		return;
	n.reason = slice_str(client_error(text, s));
	LIST_EACH_SAFE (it, &b->watchers) {
		struct watcher *r = CONTAINER_OF(it, struct watcher, node);

		if (client_error_row(s) == ERR_NO_LEADER) {
			watcher_cut(r, ERR_NO_LEADER);
			continue;
		}
		if (!told)
			watcher_tell(r, &n);
		watcher_end(r); /* the last one buries b */
	}
}

static struct broadcast *broadcast_new(struct topic *t, int64_t next)
{
	static const struct client_watch_events events = {.on_created = on_response, .on_response = on_response, .on_end = on_end};
	struct grpc_proxy *px = t->watching->px;
	struct broadcast *b = NEW(struct broadcast);
	struct client_watch_opts o = {.start_revision = next, .prev_kv = true, .progress_notify = true, .require_leader = t->require_leader,
				      .token = t->token, .key = t->key, .range_end = t->range_end};
	struct buf key, end;

	b->topic = t;
	b->next = next;
	list_init(&b->watchers);
	list_init(&b->paused);
	list_push_back(&t->broadcasts, &b->node);
	buf_init(&key, SIZE_MAX / 2);
	buf_init(&end, SIZE_MAX / 2);
	if (px->has_prefix) {
		prefix_key(&px->prefix, t->key, &key);
		prefix_range_end(&px->prefix, t->range_end, &end);
		o.key = buf_slice(&key);
		o.range_end = buf_slice(&end);
	}
	b->watch = client_watch_open(px->client, &o, &events, b);
	buf_fini(&key);
	buf_fini(&end);
	return b;
}

void broadcast_join(struct watching *w, struct watcher *r, struct slice key, struct slice range_end, struct slice token, bool require_leader)
{
	struct topic *t = topic_of(w, key, range_end, token, require_leader);

	LIST_EACH (it, &t->broadcasts) {
		struct broadcast *b = CONTAINER_OF(it, struct broadcast, node);

		if (!fits(b, r))
			continue;
		attach(b, r);
		if (b->responses)
			say_created(r);
		return;
	}
	attach(broadcast_new(t, r->next), r);
}

/* ---- waiting for a reader ---- */

void broadcast_pause(struct broadcast *b, struct list *waiting)
{
	if (is_paused(b) || b->dying)
		return;
	list_push_back(waiting, &b->paused);
	client_watch_pause(b->watch, true);
}

void broadcast_resume(struct broadcast *b)
{
	list_remove(&b->paused);
	client_watch_pause(b->watch, false);
}
