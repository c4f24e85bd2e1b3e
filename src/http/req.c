/* The request object, common to both engines: head, dispatch to the handler, answers into the out queue.
 *
 *	new ──headers──> announced (on_request) ──> responded ──> ended ──> closed (on_close, once)
 *
 *   R1  conn->out_bytes = sum of out.size of its requests; the same for held_bytes and reserved_bytes
 *   R2  a request is in io->waiting iff reserve_wanted > 0 (or is about to be told) */
#include <strings.h>

#include "http/http_impl.h"

#define REQ_POOL_KEEP 4096

struct req *req_of(const struct http_req *r)
{
	return CONTAINER_OF(r, struct req, pub);
}

struct req *req_new(struct http_conn *c, bool is_http2)
{
	struct http_io *io = c->io;
	struct req *r;

	if (!io_charge(io, c->svc->budget, REQ_CHARGE))
		return NULL;
	if (list_empty(&io->req_pool)) {
		r = mem_alloc(sizeof(*r));
	} else {
		r = CONTAINER_OF(io->req_pool.next, struct req, node);
		list_remove(&r->node);
		io->req_pool_count--;
	}
	memset(r, 0, offsetof(struct req, headers_inline));
	r->pub.conn = c;
	r->pub.is_http2 = is_http2;
	r->pub.headers = r->headers_inline;
	r->header_room = HEADERS_INLINE;
	r->head = r->head_inline;
	r->head_room = HEAD_INLINE;
	list_init(&r->blocked);
	list_init(&r->waiting);
	list_push_back(&c->reqs, &r->node);
	c->req_count++;
	return r;
}

static void req_free(struct req *r)
{
	struct http_conn *c = r->pub.conn;
	struct http_io *io = c->io;

	http_unreserve(&r->pub);
	list_remove(&r->blocked);
	list_remove(&r->node);
	c->req_count--;
	c->out_bytes -= r->out.size; /* R1 */
	out_clear(&io->chunks, &r->out);
	if (r->head != r->head_inline)
		mem_free(r->head);
	if (r->pub.headers != r->headers_inline)
		mem_free(r->pub.headers);
	mem_free(r->trailer_text);
	io_discharge(io, c->svc->budget, REQ_CHARGE);
	if (HTTP_POOLED && io->req_pool_count < REQ_POOL_KEEP) {
		list_push_front(&io->req_pool, &r->node);
		io->req_pool_count++;
	} else {
		mem_free(r);
	}
}

/* --- head --- */

static void rebase(struct slice *s, const uint8_t *old, uint32_t old_size, uint8_t *new)
{
	if (s->data >= old && s->data <= old + old_size)
		s->data = new + (s->data - old);
}

uint8_t *req_head_room(struct req *r, size_t size)
{
	uint8_t *old = r->head, *new;

	if (r->head_room - r->head_size >= size)
		return r->head + r->head_size;
	r->head_room = (uint32_t)MAX(r->head_size + size, (size_t)r->head_room * 2);
	new = mem_alloc(r->head_room);
	memcpy(new, old, r->head_size);
	rebase(&r->pub.method, old, r->head_size, new);
	rebase(&r->pub.path, old, r->head_size, new);
	rebase(&r->pub.authority, old, r->head_size, new);
	for (uint32_t i = 0; i < r->pub.header_count; i++) {
		rebase(&r->pub.headers[i].name, old, r->head_size, new);
		rebase(&r->pub.headers[i].value, old, r->head_size, new);
	}
	if (old != r->head_inline)
		mem_free(old);
	r->head = new;
	return r->head + r->head_size;
}

static struct slice keep(struct req *r, struct slice s)
{
	uint8_t *p = req_head_room(r, s.size);

	if (s.size)
		memcpy(p, s.data, s.size);
	r->head_size += (uint32_t)s.size;
	return slice_of(p, s.size);
}

static void pseudo_add(struct req *r, struct slice name, struct slice value)
{
	if (slice_eq(name, SLICE_LIT(":method")))
		r->pub.method = slice_eq(value, SLICE_LIT("POST")) ? SLICE_LIT("POST") : keep(r, value);
	else if (slice_eq(name, SLICE_LIT(":path")))
		r->pub.path = keep(r, value);
	else if (slice_eq(name, SLICE_LIT(":authority")))
		r->pub.authority = keep(r, value);
}

bool req_header_add(struct req *r, struct slice name, struct slice value)
{
	const struct http_limits *l = &r->pub.conn->svc->limits;
	struct http_header *h;
	uint64_t cost = (uint64_t)r->header_cost + name.size + value.size + 32;

	if (cost > l->header_bytes_max || r->pub.header_count >= l->header_count_max)
		return false;
	r->header_cost = (uint32_t)cost;
	if (name.size && name.data[0] == ':') {
		pseudo_add(r, name, value);
		return true;
	}
	if (r->pub.header_count == r->header_room) {
		struct http_header *more = mem_alloc(2 * r->header_room * sizeof(*more));

		memcpy(more, r->pub.headers, r->header_room * sizeof(*more));
		if (r->pub.headers != r->headers_inline)
			mem_free(r->pub.headers);
		r->pub.headers = more;
		r->header_room *= 2;
	}
	req_head_room(r, name.size + value.size); /* so that neither keep moves the other */
	h = &r->pub.headers[r->pub.header_count];
	*h = (struct http_header){keep(r, name), keep(r, value), false};
	r->pub.header_count++;
	return true;
}

bool http_header_get(const struct http_req *r, struct slice name, struct slice *value)
{
	for (uint32_t i = 0; i < r->header_count; i++) {
		if (slice_eq(r->headers[i].name, name)) {
			*value = r->headers[i].value;
			return true;
		}
	}
	return false;
}

const struct net_peer *http_req_peer(const struct http_req *r)
{
	return r->conn->peer;
}

struct http_io *http_req_io(const struct http_req *r)
{
	return r->conn->io;
}

const struct http_service *http_req_service(const struct http_req *r)
{
	return r->conn->svc;
}

/* --- up --- */

void req_start(struct req *r)
{
	struct http_conn *c = r->pub.conn;

	r->announced = true;
	r->pub.handler = c->svc->route(c->svc->arg, &r->pub);
	ASSERT(r->pub.handler);
	r->pub.handler->on_request(&r->pub);
}

void req_close(struct req *r, enum http_close why)
{
	struct http_conn *c = r->pub.conn;
	size_t held = r->held;

	if (r->announced) {
		r->announced = false;
		r->pub.handler->on_close(&r->pub, why);
	}
	r->held = 0;
	c->held_bytes -= held;
	req_free(r);
}

void req_body(struct req *r, struct slice data)
{
	r->held += data.size;
	r->pub.conn->held_bytes += data.size;
	r->pub.handler->on_body(&r->pub, data);
}

void req_body_end(struct req *r)
{
	r->pub.body_ended = true;
	r->pub.handler->on_body_end(&r->pub);
}

void http_consumed(struct http_req *pub, size_t size)
{
	struct req *r = req_of(pub);

	if (r->ended)
		size = MIN(size, r->held); /* see body_given_up */
	ASSERT(size <= r->held);
	if (size == 0)
		return;
	r->held -= size;
	pub->conn->held_bytes -= size;
	pub->conn->ops->consumed(r, size);
}

/* --- down --- */

void conn_changed(struct http_conn *c)
{
	if (c->events)
		c->events->on_output(c->owner);
}

/* Once the answer is complete nobody cares for the body. */
static void body_given_up(struct req *r)
{
	if (r->held)
		http_consumed(&r->pub, r->held);
}

void http_respond(struct http_req *pub, unsigned status, const struct http_header *headers, size_t count)
{
	struct req *r = req_of(pub);

	ASSERT(!r->responded && count <= RESPONSE_HEADERS_MAX);
	r->responded = true;
	pub->conn->ops->respond(r, status, headers, count, false);
}

void http_respond_end(struct http_req *pub, unsigned status, const struct http_header *headers, size_t count)
{
	struct req *r = req_of(pub);

	ASSERT(!r->responded && count <= RESPONSE_HEADERS_MAX);
	r->responded = r->ended = true;
	body_given_up(r);
	pub->conn->ops->respond(r, status, headers, count, true);
	conn_changed(pub->conn);
}

void http_send(struct http_req *pub, const struct slice *slices, size_t count)
{
	struct req *r = req_of(pub);
	size_t before = r->out.size;

	ASSERT(r->responded && !r->ended);
	for (size_t i = 0; i < count; i++)
		out_put(&pub->conn->io->chunks, &r->out, slices[i]);
	pub->conn->out_bytes += r->out.size - before;
	pub->conn->ops->kick(r);
	conn_changed(pub->conn);
}

uint8_t *http_send_room(struct http_req *pub, size_t size)
{
	struct req *r = req_of(pub);
	uint8_t *at;

	ASSERT(r->responded && !r->ended);
	at = out_room(&pub->conn->io->chunks, &r->out, size);
	if (at)
		pub->conn->out_bytes += size;
	return at;
}

void http_send_room_done(struct http_req *pub)
{
	pub->conn->ops->kick(req_of(pub));
	conn_changed(pub->conn);
}

void http_send_blob(struct http_req *pub, struct blob *take_b, size_t from)
{
	struct req *r = req_of(pub);

	ASSERT(r->responded && !r->ended);
	ASSERT(from <= take_b->size);
	pub->conn->out_bytes += take_b->size - from;
	out_put_blob(&pub->conn->io->chunks, &r->out, take_b, from);
	pub->conn->ops->kick(r);
	conn_changed(pub->conn);
}

static void trailers_keep(struct req *r, const struct http_header *trailers, size_t count)
{
	size_t text_size = 0;
	char *p;

	ASSERT(count <= TRAILERS_MAX);
	for (size_t i = 0; i < count; i++)
		text_size += trailers[i].is_static ? 0 : trailers[i].name.size + trailers[i].value.size;
	p = r->trailer_text = text_size ? mem_alloc(text_size) : NULL;
	for (size_t i = 0; i < count; i++) {
		struct http_header *t = &r->trailers[i];

		*t = trailers[i];
		if (t->is_static)
			continue;
		t->name.data = memcpy(p, t->name.data, t->name.size);
		p += t->name.size;
		t->value.data = t->value.size ? memcpy(p, t->value.data, t->value.size) : p;
		p += t->value.size;
		t->is_static = true; /* as far as the engine is concerned: lives as long as the request */
	}
	r->trailer_count = (uint32_t)count;
}

void http_end(struct http_req *pub, const struct http_header *trailers, size_t count)
{
	struct req *r = req_of(pub);

	ASSERT(r->responded && !r->ended);
	trailers_keep(r, trailers, count);
	r->ended = true;
	body_given_up(r);
	list_remove(&r->blocked);
	pub->conn->ops->kick(r);
	conn_changed(pub->conn);
}

void http_reset(struct http_req *pub, uint32_t h2_code)
{
	struct http_conn *c = pub->conn;

	c->ops->reset(req_of(pub), h2_code);
	conn_changed(c);
}

void http_upgrade(struct http_req *pub, const struct http_header *headers, size_t count)
{
	struct req *r = req_of(pub);

	ASSERT(!pub->is_http2 && !r->responded && count <= RESPONSE_HEADERS_MAX);
	r->responded = true;
	pub->conn->ops->upgrade(r, headers, count);
	conn_changed(pub->conn);
}

void http_reply_text(struct http_req *pub, unsigned status, const char *content_type, struct slice body)
{
	struct http_header h[] = {{SLICE_LIT("content-type"), slice_str(content_type), false}};

	http_respond(pub, status, h, 1);
	http_send(pub, &body, 1);
	http_end(pub, NULL, 0);
}

/* --- bounds of what is unsent --- */

bool http_writable(const struct http_req *pub)
{
	struct req *r = req_of(pub);
	struct http_conn *c = pub->conn;

	if (r->out.size < c->svc->limits.stream_out_bytes_max && c->out_bytes < c->svc->limits.conn_out_bytes_max)
		return true;
	if (list_empty(&r->blocked) && !r->ended)
		list_push_back(&c->blocked, &r->blocked);
	return false;
}

size_t http_unsent(const struct http_req *r)
{
	return req_of(r)->out.size;
}

void conn_out_took(struct req *r, size_t size)
{
	r->pub.conn->out_bytes -= size;
}

/* Low marks are half of the bounds, so that a producer is woken for a worthwhile slice. */
void conn_tell_writable(struct http_conn *c)
{
	const struct http_limits *l = &c->svc->limits;
	struct list now;

	if (list_empty(&c->blocked) || c->out_bytes > l->conn_out_bytes_max / 2)
		return;
	list_init(&now);
	LIST_EACH_SAFE (it, &c->blocked) {
		struct req *r = CONTAINER_OF(it, struct req, blocked);

		if (r->out.size <= l->stream_out_bytes_max / 2) {
			list_remove(it);
			list_push_back(&now, it);
		}
	}
	while (!list_empty(&now)) {
		struct req *r = CONTAINER_OF(now.next, struct req, blocked);

		list_remove(&r->blocked);
		if (r->pub.handler->on_writable)
			r->pub.handler->on_writable(&r->pub);
	}
}
