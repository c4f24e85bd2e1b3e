/* The endpoints of a peer listener that are not raft's: checked here, gathered whole, answered by whoever the server put
 * behind events.request.
 *
 *	path                            method  body max        cluster id: asked, given back
 *	/members                        GET     -               no, yes
 *	/members/promote/<decimal>      POST    -               no, yes
 *	/members/hashkv                 GET     64 KiB          if sent, yes
 *	/leases, /leases/internal       POST    64 KiB (413)    no, no
 *	/downgrade/enabled              GET     -               no, yes
 *	/version                        GET     -               no, no
 *
 *   Q1  a request is given up once, and freed when it is answered, whatever became of the connection meanwhile */
#include <stdio.h>

#include "peer/peer_impl.h"

#define BODY_BYTES_MAX (64 * 1024)
#define ANSWER_BYTES_MAX (100u << 20)

static const struct row {
	const char *path;
	bool is_prefix;
	bool is_post;
	bool gives_cluster_id;
	enum peer_endpoint endpoint;
} rows[] = {
	{"/members", false, false, true, PEER_MEMBERS},
	{"/members/promote/", true, true, true, PEER_PROMOTE},
	{"/members/hashkv", false, false, true, PEER_HASHKV},
	{"/leases", false, true, false, PEER_LEASES},
	{"/leases/internal", false, true, false, PEER_LEASES_INTERNAL},
	{"/downgrade/enabled", false, false, true, PEER_DOWNGRADE_ENABLED},
	{"/version", false, false, false, PEER_VERSION},
};

static const struct row *find_row(struct slice path)
{
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct slice p = slice_str(rows[i].path);

		if (rows[i].is_prefix ? slice_has_prefix(path, p) : slice_eq(path, p))
			return &rows[i];
	}
	return NULL;
}

static struct slice path_of(const struct http_req *r)
{
	const uint8_t *query = memchr(r->path.data, '?', r->path.size);

	return query ? slice_of(r->path.data, (size_t)(query - r->path.data)) : r->path;
}

static bool parse_decimal(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.size; i++) {
		unsigned digit = s.data[i] - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return s.size > 0;
}

/* --- checks --- */

static bool check_method(struct http_req *r, const struct row *row)
{
	struct http_header h[3] = {HTTP_HEADER("content-type", "text/plain; charset=utf-8"),
		HTTP_HEADER("x-content-type-options", "nosniff")};
	struct slice body = SLICE_LIT("Method Not Allowed\n");
	bool is_lease = row->endpoint == PEER_LEASES || row->endpoint == PEER_LEASES_INTERNAL;

	if (slice_eq(r->method, row->is_post ? SLICE_LIT("POST") : SLICE_LIT("GET")))
		return true;
	h[2] = row->is_post ? HTTP_HEADER("allow", "POST") : HTTP_HEADER("allow", "GET");
	http_respond(r, 405, h, is_lease ? 2 : 3);
	http_send(r, &body, 1);
	http_end(r, NULL, 0);
	return false;
}

static bool check_cluster(struct http_req *r, const struct peer_set *s)
{
	struct slice id;

	if (!http_header_get(r, SLICE_LIT("x-etcd-cluster-id"), &id) || slice_eq(id, slice_str(s->cluster_text)))
		return true;
	serve_raft_error(r, 412, "cluster ID mismatch");
	return false;
}

static bool take_member_id(struct http_req *r, const struct row *row, struct peer_request *q)
{
	struct slice prefix = slice_str(row->path), path = path_of(r);
	struct slice text = slice_of(path.data + prefix.size, path.size - prefix.size);
	char line[300];

	if (parse_decimal(text, &q->member_id))
		return true;
	snprintf(line, sizeof(line), "member %.*s not found in cluster", (int)MIN(text.size, (size_t)200), text.data);
	serve_error(r, 404, line);
	return false;
}

static bool take_token(struct http_req *r, struct peer_request *q)
{
	struct slice token = {0};

	http_header_get(r, SLICE_LIT("authorization"), &token);
	if (token.size >= sizeof(q->token)) {
		serve_error(r, 400, "invalid auth token");
		return false;
	}
	if (token.size)
		memcpy(q->token, token.data, token.size);
	return true;
}

/* --- the request --- */

static void free_request(struct peer_request *q)
{
	net_timer_cancel(q->set->loop, &q->stall);
	body_drop(q->set, q->counted);
	buf_fini(&q->body_room);
	buf_fini(&q->answer);
	mem_free(q);
}

static void refuse_body(struct peer_request *q, unsigned status, const char *text)
{
	struct http_req *r = q->http;

	r->user = NULL;
	free_request(q);
	serve_error(r, status, text);
}

static void stalled(struct net_timer *t)
{
	refuse_body(CONTAINER_OF(t, struct peer_request, stall), 408, "request body timed out");
}

static void body_progress(struct peer_request *q)
{
	net_timer_set(q->set->loop, &q->stall, set_now_ms(q->set) + q->set->cfg.timing.stall_ms);
}

static void on_request(struct http_req *r)
{
	struct peer_set *s = http_req_service(r)->arg;
	const struct row *row = find_row(path_of(r));
	struct peer_request *q;

	if (!check_method(r, row) || (row->endpoint == PEER_HASHKV && !check_cluster(r, s)))
		return;
	q = NEW(struct peer_request);
	q->endpoint = row->endpoint;
	q->set = s;
	q->http = r;
	net_timer_init(&q->stall, stalled);
	buf_init(&q->body_room, BODY_BYTES_MAX);
	buf_init(&q->answer, ANSWER_BYTES_MAX);
	if (row->endpoint == PEER_PROMOTE && (!take_member_id(r, row, q) || !take_token(r, q)))
		free_request(q);
	else {
		r->user = q;
		body_progress(q);
	}
}

static void on_body(struct http_req *r, struct slice data)
{
	struct peer_request *q = r->user;

	http_consumed(r, data.size);
	if (!q)
		return;
	if (!body_grow(q->set, q->counted, data.size)) {
		refuse_body(q, 503, "too many requests");
		return;
	}
	q->counted += data.size;
	buf_put_slice(&q->body_room, data);
	if (buf_failed(&q->body_room))
		refuse_body(q, 413, "request body too large");
	else
		body_progress(q);
}

static void on_body_end(struct http_req *r)
{
	struct peer_request *q = r->user;

	if (!q)
		return;
	net_timer_cancel(q->set->loop, &q->stall);
	q->body = buf_slice(&q->body_room);
	q->status = 0;
	q->msg.kind = 0;
	r->user = q;
	atomic_fetch_add(&q->set->requests_out, 1);
	q->set->cfg.events.request(q->set->cfg.events.arg, q);
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct peer_request *q = r->user;

	if (!q)
		return;
	q->http = NULL;
	if (!r->body_ended)             /* was never given up: nobody answers */
		free_request(q);
}

/* --- the answer --- */

void peer_answer(struct peer_request *take_r, unsigned status, const char *content_type, struct slice body)
{
	take_r->status = status;
	take_r->content_type = content_type;
	buf_put_slice(&take_r->answer, body);
	take_r->msg.kind = K_ANSWER;
	actor_post(take_r->set->actor, &take_r->msg);
}

static bool gives_cluster_id(enum peer_endpoint e)
{
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		if (rows[i].endpoint == e)
			return rows[i].gives_cluster_id;
	return false;
}

void serve_call_answered(struct peer_request *q)
{
	struct http_req *r = q->http;
	struct http_header h[3];
	struct slice body = buf_slice(&q->answer);
	size_t n = 0;

	atomic_fetch_sub(&q->set->requests_out, 1);
	if (!r) {
		free_request(q);                                                        /* Q1 */
		return;
	}
	r->user = NULL;
	if (q->content_type) {
		h[n++] = (struct http_header){SLICE_LIT("content-type"), slice_str(q->content_type), false};
	} else {
		h[n++] = HTTP_HEADER("content-type", "text/plain; charset=utf-8");
		h[n++] = HTTP_HEADER("x-content-type-options", "nosniff");
	}
	if (gives_cluster_id(q->endpoint))
		h[n++] = (struct http_header){SLICE_LIT("x-etcd-cluster-id"), slice_str(q->set->cluster_text), false};
	http_respond(r, q->status, h, n);
	if (body.size)
		http_send(r, &body, 1);
	http_end(r, NULL, 0);
	free_request(q);
}

static const struct http_handler handler = {
	.on_request = on_request, .on_body = on_body, .on_body_end = on_body_end, .on_close = on_close,
};

const struct http_handler *serve_call_route(struct peer_set *s, struct http_req *r, struct slice path)
{
	return find_row(path) ? &handler : NULL;
}
