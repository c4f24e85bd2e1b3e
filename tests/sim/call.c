/* One call on its way: requests to the site's io actor, answers back to the world's actor, each direction in order.
 *
 *	client ──BEGIN, SEND, READ_ONE, CANCEL──> io actor ──api.h──> node
 *	client <──message*, end────────────────── sink
 *
 * A call is freed when both ends are done with it and nothing of it is under way. */
#include "call.h"

#include <stdio.h>

enum { MESSAGE_MAX = 64 << 20 };

struct request {
	struct msg msg;
	struct list link;
	struct sim_call *call;
	struct blob *body;
};

struct sim_call {
	struct list link;
	struct site *site;
	enum rpc method;
	const char *user;                       /* NULL: nobody */
	const struct call_handler *handler;     /* NULL: the client is gone or has the end */
	void *arg;
	struct api_rpc *rpc;
	bool site_done;
	struct list requests;
	unsigned answers;                       /* under way */
	uint64_t last_out_ns, last_in_ns;
	unsigned unread, unread_max;
	uint64_t read_ns;
	bool blocked;
	uint64_t part_ns;                       /* > 0: each part of a large message is taken in up to that time */
	bool part_blocked;
	struct buf message;                     /* a large one, in parts */
	size_t message_size;
};

static void settle(struct sim_call *c)
{
	if (!c->site_done || c->handler || c->answers || !list_empty(&c->requests))
		return;
	list_remove(&c->link);
	buf_fini(&c->message);
	mem_free(c);
}

/* ---- to the site ---- */

static void request(struct sim_call *c, uint32_t kind, struct blob *take_body, uint64_t later_ns)
{
	struct world *w = c->site->w;
	struct request *r = NEW(struct request);
	uint64_t at = now_ns(w) + later_ns + draw(w, w->k.net_delay_ns + 1);

	r->msg.kind = kind;
	r->call = c;
	r->body = take_body;
	list_push_back(&c->requests, &r->link);
	c->last_out_ns = MAX(c->last_out_ns, at);
	sched_sim_post_at(w->sched, c->site->io_actor, &r->msg, c->last_out_ns);
}

static void request_free(struct request *r)
{
	list_remove(&r->link);
	blob_unref(r->body);
	mem_free(r);
}

/* ---- from the site ---- */

static void answer(struct sim_call *c, struct blob *take_message, err_t err, bool lost)
{
	struct world *w = c->site->w;
	struct call_answer *a = NEW(struct call_answer);
	uint64_t at = now_ns(w) + draw(w, w->k.net_delay_ns + 1);

	a->msg.kind = W_ANSWER;
	a->call = c;
	a->message = take_message;
	a->err = err;
	a->lost = lost;
	c->answers++;
	c->last_in_ns = MAX(c->last_in_ns + c->read_ns, at);
	sched_sim_post_at(w->sched, w->actor, &a->msg, c->last_in_ns);
}

void call_answered(struct msg *m)
{
	struct call_answer *a = CONTAINER_OF(m, struct call_answer, msg);
	struct sim_call *c = a->call;
	struct world *w = c->site->w;

	c->answers--;
	if (a->message)
		world_digest(w, a->message->data, a->message->size);
	if (a->message && c->unread_max && !c->site_done)
		request(c, CALL_READ_ONE, NULL, 0);
	if (c->handler && a->message) {
		c->handler->message(c->arg, c, blob_slice(a->message));
	} else if (c->handler) {
		const struct call_handler *h = c->handler;

		c->handler = NULL;
		h->end(c->arg, c, a->err, a->lost);
	}
	blob_unref(a->message);
	mem_free(a);
	settle(c);
}

static bool sink_writable(void *sink)
{
	struct sim_call *c = sink;

	c->blocked = c->unread_max && c->unread >= c->unread_max;
	return !c->blocked && !c->part_blocked;
}

static bool deliver(struct sim_call *c, struct slice message)
{
	c->unread++;
	answer(c, blob_copy(message), OK, false);
	return sink_writable(c);
}

static bool sink_send(void *sink, const struct slice *parts, size_t count)
{
	struct sim_call *c = sink;

	buf_clear(&c->message);
	c->message_size = 0;
	for (size_t i = 0; i < count; i++)
		buf_put_slice(&c->message, parts[i]);
	return deliver(c, buf_slice(&c->message));
}

static void sink_send_begin(void *sink, size_t total)
{
	struct sim_call *c = sink;

	buf_clear(&c->message);
	c->message_size = total;
}

static bool sink_send_part(void *sink, struct slice part)
{
	struct sim_call *c = sink;

	buf_put_slice(&c->message, part);
	if (c->message.size >= c->message_size)
		return deliver(c, buf_slice(&c->message));
	if (c->part_ns && !c->part_blocked && c->handler) {
		c->part_blocked = true;
		request(c, CALL_READ_PART, NULL, draw(c->site->w, c->part_ns));
	}
	return !c->part_blocked;
}

static size_t sink_unsent(void *sink)
{
	return 0;
}

static void sink_read_pause(void *sink, bool paused)
{
}

static void sink_finish(void *sink, err_t err, const char *text)
{
	struct sim_call *c = sink;
	bool reset = c->message.size < c->message_size; /* of a message that is not whole nothing arrives, nor the reason */

	c->rpc = NULL;
	c->site_done = true;
	answer(c, NULL, err, reset);
}

static const struct api_sink_ops sink_ops = {sink_send, sink_send_begin, sink_send_part, sink_writable, sink_unsent, sink_read_pause,
					     sink_finish};

void call_receive(struct site *s, struct msg *m)
{
	struct request *r = CONTAINER_OF(m, struct request, msg);
	struct sim_call *c = r->call;
	struct api_meta meta = {.has_certificate = c->user != NULL, .common_name = slice_str(c->user ? c->user : "")};
	struct blob *body = r->body;
	uint32_t kind = m->kind;

	r->body = NULL;
	request_free(r);
	switch (kind) {
	case CALL_BEGIN:
		c->rpc = api_begin(s->io, c->method, &sink_ops, c, &meta);
		api_message(c->rpc, body);
		body = NULL;
		break;
	case CALL_SEND:
		if (c->rpc) {
			api_message(c->rpc, body);
			body = NULL;
		}
		break;
	case CALL_READ_ONE:
		c->unread--;
		if (c->rpc && c->blocked && c->unread <= c->unread_max / 2) {
			c->blocked = false;
			api_writable(c->rpc);
		}
		break;
	case CALL_READ_PART:
		c->part_blocked = false;
		if (c->rpc && !c->blocked)
			api_writable(c->rpc);
		break;
	case CALL_CANCEL:
		if (c->rpc) {
			struct api_rpc *rpc = c->rpc;

			c->rpc = NULL;
			api_cancel(rpc);
		}
		c->site_done = true;
		break;
	default:
		UNREACHABLE();
	}
	blob_unref(body);
	settle(c);
}

/* ---- the client's end ---- */

struct sim_call *call_begin(struct site *s, enum rpc method, struct slice body, const struct call_handler *h, void *arg)
{
	struct sim_call *c = NEW(struct sim_call);
	struct world *w = s->w;

	c->site = s;
	c->method = method;
	c->user = w->k.rights ? rights_user(RIGHTS_ROOT) : NULL;
	c->handler = h;
	c->arg = arg;
	list_init(&c->requests);
	list_push_back(&w->calls, &c->link);
	buf_init(&c->message, MESSAGE_MAX);
	w->count.calls++;
	if (s->node) {
		request(c, CALL_BEGIN, blob_copy(body), 0);
	} else {
		c->site_done = true;
		answer(c, NULL, ERR_IO, true);
	}
	return c;
}

void call_send(struct sim_call *c, struct slice body)
{
	if (!c->site_done)
		request(c, CALL_SEND, blob_copy(body), 0);
}

void call_drop(struct sim_call *c)
{
	c->handler = NULL;
	if (!c->site_done)
		request(c, CALL_CANCEL, NULL, 0);
	settle(c);
}

void call_slow(struct sim_call *c, unsigned unread_max, uint64_t read_ns)
{
	c->unread_max = unread_max;
	c->read_ns = read_ns;
}

void call_slow_parts(struct sim_call *c, uint64_t part_ns)
{
	c->part_ns = part_ns;
}

void calls_fast(struct world *w)
{
	LIST_EACH (l, &w->calls)
		CONTAINER_OF(l, struct sim_call, link)->read_ns = CONTAINER_OF(l, struct sim_call, link)->part_ns = 0;
}

void call_as(struct sim_call *c, unsigned who)
{
	c->user = rights_user(who);
}

struct site *call_site(struct sim_call *c)
{
	return c->site;
}

void calls_lost(struct site *s)
{
	LIST_EACH_SAFE (l, &s->w->calls) {
		struct sim_call *c = CONTAINER_OF(l, struct sim_call, link);

		if (c->site != s)
			continue;
		LIST_EACH_SAFE (at, &c->requests)
			request_free(CONTAINER_OF(at, struct request, link));
		c->rpc = NULL;
		if (!c->site_done) {
			c->site_done = true;
			answer(c, NULL, ERR_IO, true);
		}
		settle(c);
	}
}

bool calls_idle(const struct world *w)
{
	return list_empty(&w->calls);
}

void calls_free(struct world *w)
{
	LIST_EACH_SAFE (l, &w->calls) {
		struct sim_call *c = CONTAINER_OF(l, struct sim_call, link);

		list_remove(&c->link);
		buf_fini(&c->message);
		mem_free(c);
	}
}
