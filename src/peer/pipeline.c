/* Messages as POST /raft, one each, at most PIPELINE_PARALLEL at a time; never tried twice. Used while streams are down,
 * and for remotes.
 *
 *   L1  a message waits in the queue only while all posts are under way */
#include <stdio.h>

#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"

static void start_some(struct pipeline *l);

void pipeline_init(struct pipeline *l, struct peer *p)
{
	*l = (struct pipeline){.peer = p, .queue = {.max = PIPELINE_QUEUE_MAX}};
}

static void idle_closed(void *arg)
{
	struct idle_conn *k = arg;
	struct http1_conn *c = k->conn;

	k->conn = NULL;
	http1_close(c);
}

void pipeline_drop_idle(struct pipeline *l)
{
	for (size_t i = 0; i < ARRAY_COUNT(l->idle); i++)
		if (l->idle[i].conn)
			idle_closed(&l->idle[i]);
}

void pipeline_fini(struct pipeline *l)
{
	pipeline_drop_idle(l);
	for (size_t i = 0; i < ARRAY_COUNT(l->posts); i++) {
		if (!l->posts[i].peer)
			continue;
		http1_close(l->posts[i].conn);
		l->posts[i].peer = NULL;
	}
	msg_queue_clear(&l->queue);
}

static struct http1_conn *take_idle(struct pipeline *l)
{
	uint64_t now = set_now_ms(l->peer->set);

	for (size_t i = 0; i < ARRAY_COUNT(l->idle); i++) {
		struct http1_conn *c = l->idle[i].conn;

		if (!c)
			continue;
		if (now - l->idle[i].since_ms < REUSE_IDLE_MS) {
			l->idle[i].conn = NULL;
			return c;
		}
		idle_closed(&l->idle[i]);
	}
	return NULL;
}

static void keep_idle(struct pipeline *l, struct http1_conn *c)
{
	for (size_t i = 0; i < ARRAY_COUNT(l->idle); i++) {
		if (l->idle[i].conn)
			continue;
		l->idle[i] = (struct idle_conn){l->peer, c, set_now_ms(l->peer->set)};
		http1_idle(c, idle_closed, &l->idle[i]);
		return;
	}
	http1_close(c);
}

/* --- the answer --- */

static void on_response(void *owner, unsigned status)
{
	((struct post *)owner)->status = status;
}

static void on_body(void *owner, struct slice data)
{
}

static void failed(struct peer *p, const struct post *o, const char *why)
{
	struct peer_events *e = &p->set->cfg.events;

	metric_add(p->m_send_failed, 1);
	atomic_fetch_add_explicit(&p->dropped_messages, 1, memory_order_relaxed);
	pipeline_drop_idle(&p->pipeline);       /* they lead to the URL that failed */
	peer_url_failed(p, o->url_at);
	peer_post_failed(p, why);
	e->unreachable(e->arg, p->id);
	if (o->is_snapshot)
		e->snapshot_status(e->arg, p->id, false);
}

static void on_end(void *owner, err_t err, const char *why)
{
	struct post *o = owner;
	struct peer *p = o->peer;
	struct http1_conn *c = o->conn;
	char text[64];

	o->peer = NULL;
	o->conn = NULL;
	if (!err && http1_reusable(c))
		keep_idle(&p->pipeline, c);
	else
		http1_close(c);
	if (!err && o->status == 204) {
		peer_became_active(p);
		if (o->is_snapshot)
			p->set->cfg.events.snapshot_status(p->set->cfg.events.arg, p->id, true);
	} else {
		snprintf(text, sizeof(text), "unexpected http status %u while posting", o->status);
		failed(p, o, err ? why : text);
		if (!err && o->status == 403)
			set_removed_self(p->set);
	}
	start_some(&p->pipeline);
}

/* --- sending --- */

static void start(struct pipeline *l, struct post *o, struct raft_message *take_m)
{
	static const struct http1_events events = {on_response, on_body, NULL, on_end};
	struct peer *p = l->peer;
	struct http1_request r = {.method = "POST", .path = "/raft"};
	struct buf *b = set_scratch(p->set);
	size_t head_size;

	peer_put_headers(p, false, b);
	buf_printf(b, "Content-Type: application/protobuf\r\n");
	head_size = b->size;
	raft_message_encode(take_m, b);
	ASSERT(!buf_failed(b));
	r.headers = slice_of(b->data, head_size);
	r.body = slice_of(b->data + head_size, b->size - head_size);
	*o = (struct post){.peer = p, .url_at = p->url_at, .is_snapshot = take_m->type == MSG_SNAP};
	raft_message_fini(take_m);
	peer_count_sent(p, r.body.size);
	o->conn = take_idle(l);
	if (!o->conn)
		o->conn = http1_open(&p->set->client, peer_url(p));
	http1_request(o->conn, &r, &events, o);
}

static struct post *free_post(struct pipeline *l)
{
	for (size_t i = 0; i < ARRAY_COUNT(l->posts); i++)
		if (!l->posts[i].peer)
			return &l->posts[i];
	return NULL;
}

static void start_some(struct pipeline *l)
{
	struct raft_message m;
	struct post *o;

	while ((o = free_post(l)) && msg_queue_pop(&l->queue, &m))                      /* L1 */
		start(l, o, &m);
}

bool pipeline_send(struct pipeline *l, struct raft_message *take_m)
{
	if (!msg_queue_push(&l->queue, take_m))
		return false;
	start_some(l);
	return true;
}
