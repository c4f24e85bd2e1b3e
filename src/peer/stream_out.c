/* Streams that the other member dialled: messages wait in a queue and are encoded when the connection takes them.
 *
 *	detached ──attach──> attached ──lost, replaced, stalled──> detached
 *
 *   O1  detached: the queue is empty
 *   O2  a connection that took no byte for write_stall_ms while some were waiting is cut (a Go member's write deadline) */
#include "obs/log.h"
#include "peer/peer_impl.h"

/* --- the queue --- */

static void grow(struct msg_queue *q)
{
	uint32_t room = MIN(q->room ? q->room * 4 : 16, q->max);
	struct raft_message *at = NEW_ARRAY(struct raft_message, room);

	for (uint32_t i = 0; i < q->count; i++)
		at[i] = q->at[(q->first + i) % q->room];
	mem_free(q->at);
	q->at = at;
	q->room = room;
	q->first = 0;
}

bool msg_queue_push(struct msg_queue *q, struct raft_message *take_m)
{
	if (q->count == q->max)
		return false;
	if (q->count == q->room)
		grow(q);
	q->at[(q->first + q->count++) % q->room] = *take_m;
	*take_m = (struct raft_message){0};
	return true;
}

bool msg_queue_pop(struct msg_queue *q, struct raft_message *out)
{
	if (q->count == 0)
		return false;
	*out = q->at[q->first];
	q->first = (q->first + 1) % q->room;
	q->count--;
	return true;
}

void msg_queue_clear(struct msg_queue *q)
{
	struct raft_message m;

	while (msg_queue_pop(q, &m))
		raft_message_fini(&m);
	mem_free(q->at);
	q->at = NULL;
	q->room = q->first = 0;
}

/* --- timers --- */

static void put(struct stream_out *o, struct buf *b)
{
	struct slice s = buf_slice(b);

	ASSERT(!buf_failed(b));
	http_send(o->req, &s, 1);
	o->given += s.size;
}

static void beat(struct net_timer *t)
{
	struct stream_out *o = CONTAINER_OF(t, struct stream_out, heartbeat);
	struct buf *b = set_scratch(o->peer->set);

	stream_encode_heartbeat(o->kind, b);
	put(o, b);
	net_timer_set(o->peer->set->loop, t, set_now_ms(o->peer->set) + o->peer->set->cfg.timing.heartbeat_ms);
}

static void look(struct net_timer *t)
{
	struct stream_out *o = CONTAINER_OF(t, struct stream_out, stall);
	uint64_t unsent = http_unsent(o->req);
	uint64_t gone = o->given - MIN(unsent, o->given);

	if (unsent && gone == o->gone_seen) {                                           /* O2 */
		peer_became_inactive(o->peer, "write", "i/o timeout");
		http_reset(o->req, 0);
		return;
	}
	o->gone_seen = gone;
	net_timer_set(o->peer->set->loop, t, set_now_ms(o->peer->set) + o->peer->set->cfg.timing.write_stall_ms);
}

/* --- life --- */

void stream_out_init(struct stream_out *o, struct peer *p, enum stream_kind kind)
{
	*o = (struct stream_out){.peer = p, .kind = kind, .queue = {.max = STREAM_QUEUE_MAX}};
	net_timer_init(&o->heartbeat, beat);
	net_timer_init(&o->stall, look);
}

static void detach(struct stream_out *o)
{
	net_timer_cancel(o->peer->set->loop, &o->heartbeat);
	net_timer_cancel(o->peer->set->loop, &o->stall);
	o->req->user = NULL;
	o->req = NULL;
	atomic_store(&o->peer->attached[o->kind], false);
	if (o->queue.count && !o->peer->set->closing)
		peer_unreachable(o->peer);
	msg_queue_clear(&o->queue);                                                     /* O1 */
}

void stream_out_fini(struct stream_out *o)
{
	struct http_req *r = o->req;

	if (!r)
		return;
	detach(o);
	http_end(r, NULL, 0);
}

void stream_out_attach(struct stream_out *o, struct http_req *r)
{
	struct peer_set *s = o->peer->set;
	uint64_t now = set_now_ms(s);

	if (o->req) {
		struct http_req *old = o->req;

		LOG_WARN("closed TCP streaming connection with remote peer", LOG_STR("stream-writer-type",
			o->kind == STREAM_MSGAPP ? "stream MsgApp v2" : "stream Message"), LOG_STR("remote-peer-id", o->peer->id_text));
		detach(o);
		http_end(old, NULL, 0);
	}
	o->req = r;
	r->user = o;
	o->pos = (struct stream_pos){0};
	o->given = o->gone_seen = 0;
	net_timer_set(s->loop, &o->heartbeat, now + s->cfg.timing.heartbeat_ms);
	net_timer_set(s->loop, &o->stall, now + s->cfg.timing.write_stall_ms);
	atomic_store(&o->peer->attached[o->kind], true);
	peer_became_active(o->peer);
	LOG_INFO("established TCP streaming connection with remote peer", LOG_STR("stream-writer-type",
		o->kind == STREAM_MSGAPP ? "stream MsgApp v2" : "stream Message"), LOG_STR("local-member-id", s->id_text),
		LOG_STR("remote-peer-id", o->peer->id_text));
}

void stream_out_lost(struct stream_out *o, struct http_req *r)
{
	ASSERT(o->req == r);
	LOG_WARN("lost TCP streaming connection with remote peer", LOG_STR("stream-writer-type",
		o->kind == STREAM_MSGAPP ? "stream MsgApp v2" : "stream Message"),
		LOG_STR("local-member-id", o->peer->set->id_text), LOG_STR("remote-peer-id", o->peer->id_text));
	detach(o);
}

/* --- messages --- */

static void pump(struct stream_out *o)
{
	struct raft_message m;

	while (http_writable(o->req) && msg_queue_pop(&o->queue, &m)) {
		struct buf *b = set_scratch(o->peer->set);

		stream_encode(o->kind, &o->pos, &m, b);
		put(o, b);
		peer_count_sent(o->peer, b->size);
		raft_message_fini(&m);
	}
}

void stream_out_writable(struct stream_out *o)
{
	pump(o);
}

bool stream_out_send(struct stream_out *o, struct raft_message *take_m)
{
	ASSERT(o->req);
	if (!msg_queue_push(&o->queue, take_m))
		return false;
	pump(o);
	return true;
}
