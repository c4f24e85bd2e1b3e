/* Questions to other members: one request, to one URL after the other until an answer is final.
 *
 *	start ─> next URL ─> dialling, asking ──final answer──> back to the asker
 *	             ^                └──error, other answer, timeout──┘ */
#include <stdio.h>

#include "peer/peer_impl.h"

struct call_state {
	struct list node;
	struct peer_call *call;
	struct slice urls_left;
	struct http1_conn *conn;
	struct net_timer timer;
};

void peer_call_start(struct peer_set *s, struct peer_call *c)
{
	c->set = s;
	c->err = ERR_INVALID;
	c->status = 0;
	c->has_cluster_id = false;
	c->why = (struct why){0};
	c->state = NULL;
	buf_init(&c->answer, c->body_max);
	c->msg.kind = K_CALL;
	actor_post(s->actor, &c->msg);
}

static void give_back(struct call_state *t)
{
	struct peer_call *c = t->call;

	net_timer_cancel(c->set->loop, &t->timer);
	http1_close(t->conn);
	list_remove(&t->node);
	mem_free(t);
	c->state = NULL;
	c->msg.kind = c->reply_kind;
	if (c->reply)
		actor_post(c->reply, &c->msg);
	else
		c->done(c);
}

/* false: none is left. */
static bool next_url(struct call_state *t, struct http1_url *out)
{
	while (t->urls_left.size) {
		const uint8_t *comma = memchr(t->urls_left.data, ',', t->urls_left.size);
		size_t n = comma ? (size_t)(comma - t->urls_left.data) : t->urls_left.size;
		struct slice text = slice_of(t->urls_left.data, n);

		n += comma ? 1 : 0;
		t->urls_left = slice_of(t->urls_left.data + n, t->urls_left.size - n);
		if (http1_url_parse(text, out))
			return true;
		if (!t->call->why.text[0])
			why_set(&t->call->why, ERR_INVALID, "unusable peer URL \"%.*s\"", SLICE_ARG(text));
	}
	return false;
}

static void ask(struct call_state *t, const struct http1_url *url);

static void attempt_over(struct call_state *t)
{
	struct http1_conn *conn = t->conn;
	struct http1_url url;

	t->conn = NULL;
	http1_close(conn);
	if (next_url(t, &url))
		ask(t, &url);
	else
		give_back(t);
}

static void failed(struct call_state *t, err_t err, const char *why)
{
	t->call->err = err;
	t->call->status = 0;
	why_set(&t->call->why, err, "%s", why);
	attempt_over(t);
}

static void timed_out(struct net_timer *timer)
{
	failed(CONTAINER_OF(timer, struct call_state, timer), ERR_TIMEOUT, "context deadline exceeded");
}

static void on_response(void *owner, unsigned status)
{
	struct call_state *t = owner;
	struct slice id;

	t->call->status = status;
	t->call->has_cluster_id = http1_header(t->conn, "x-etcd-cluster-id", &id) && hex_id_parse(id, &t->call->cluster_id);
}

static void on_body(void *owner, struct slice data)
{
	struct call_state *t = owner;

	buf_put_slice(&t->call->answer, data);
	if (buf_failed(&t->call->answer))
		failed(t, ERR_TOO_LARGE, "response is too large");
}

static void on_end(void *owner, err_t err, const char *why)
{
	struct call_state *t = owner;
	struct peer_call *c = t->call;

	if (err) {
		failed(t, err, why);
		return;
	}
	c->err = OK;
	c->why = (struct why){0};
	if (!c->is_final || c->is_final(c->status))
		give_back(t);
	else
		attempt_over(t);
}

/* A client's token goes into a header: a line end in it would begin another. */
static bool is_header_text(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void put_headers(const struct peer_call *c, struct buf *out)
{
	buf_printf(out, "User-Agent: cetcd/%s\r\n", c->set->cfg.version);
	if (c->set->cfg.member_id)
		buf_printf(out, "X-Etcd-Cluster-Id: %s\r\n", c->set->cluster_text);
	if (c->content_type)
		buf_printf(out, "Content-Type: %s\r\n", c->content_type);
	if (c->token && is_header_text(c->token))
		buf_printf(out, "Authorization: %s\r\n", c->token);
}

static void ask(struct call_state *t, const struct http1_url *url)
{
	static const struct http1_events events = {on_response, on_body, NULL, on_end};
	struct peer_call *c = t->call;
	struct peer_set *s = c->set;
	struct http1_request r = {.method = c->method, .path = c->path, .body = c->body};
	struct buf *headers = set_scratch(s);

	buf_fini(&c->answer);
	buf_init(&c->answer, c->body_max);
	put_headers(c, headers);
	r.headers = buf_slice(headers);
	net_timer_set(s->loop, &t->timer, set_now_ms(s) + c->timeout_ms);
	t->conn = http1_open(&s->client, url);
	http1_request(t->conn, &r, &events, t);
}

void call_begin(struct peer_call *c)
{
	struct peer_set *s = c->set;
	struct call_state *t = NEW(struct call_state);
	struct http1_url url;

	t->call = c;
	t->urls_left = slice_str(c->urls);
	c->state = t;
	net_timer_init(&t->timer, timed_out);
	list_push_back(&s->calls, &t->node);
	if (s->closing) {
		c->err = ERR_STOPPED;
		give_back(t);
	} else if (next_url(t, &url)) {
		ask(t, &url);
	} else {
		give_back(t);
	}
}

void call_end_all(struct peer_set *s)
{
	while (!list_empty(&s->calls)) {
		struct call_state *t = CONTAINER_OF(s->calls.next, struct call_state, node);

		t->call->err = ERR_STOPPED;
		give_back(t);
	}
}
