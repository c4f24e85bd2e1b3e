/* Streams: life, handles, and the calls of the http module.
 *
 *	new ──start──> active ──finish / cancel──> free (generation + 1)
 *
 * The http request may live on after the stream (its answer still goes out): its user is NULL then and what comes is
 * thrown away.
 *
 *   G1  a stream object is never returned to the system while its grpc_io lives, so a stale pointer can always be
 *       asked for its generation; handles and feed() rely on it */
#include "grpc/grpc_impl.h"

static uint64_t stats_now_ns(struct grpc_io *gio)
{
	const struct grpc_stats *st = gio->server->opts.stats;

	return st && st->now_ns ? st->now_ns() : http_io_now_ms(gio->io) * 1000000;
}

struct gstream *gstream_of(const struct grpc_stream *s)
{
	return CONTAINER_OF(s, struct gstream, pub);
}

struct gstream *gstream_new(struct grpc_io *gio, struct http_req *r)
{
	struct gstream *g = gio->free;
	uint32_t slot, generation;

	if (g) {
		gio->free = g->next_free;
	} else {
		g = NEW(struct gstream);
		g->slot = (uint32_t)gio->slots.count;
		VEC_PUSH(&gio->slots, g);
	}
	slot = g->slot;
	generation = g->generation + 1;
	memset(g, 0, sizeof(*g));
	g->slot = slot;
	g->generation = generation ? generation : 1;
	g->active = true;
	g->pub.gio = gio;
	g->pub.end_status = GRPC_CANCELLED;
	g->pub.end_text = SLICE_LIT("context canceled");
	g->req = r;
	g->deadline_ms = UINT64_MAX;
	g->started_ns = stats_now_ns(gio);
	g->content_type = SLICE_LIT("application/grpc");
	buf_init(&g->pending, UINT32_MAX); /* bounded by the stream's window */
	return g;
}

void gstream_free(struct gstream *g)
{
	struct grpc_io *gio = g->pub.gio;

	ASSERT(g->active);
	g->active = false;
	g->req->user = NULL;
	if (g->deadline.slot)
		net_timer_cancel(http_io_loop(gio->io), &g->deadline);
	blob_unref(g->body);
	blob_unref(g->message);
	buf_fini(&g->pending);
	g->body = g->message = NULL;
	g->next_free = gio->free;
	gio->free = g;
}

void gstream_count_started(struct gstream *g)
{
	const struct grpc_stats *st = g->pub.gio->server->opts.stats;

	g->counted = true;
	if (st && st->started)
		st->started(g->pub.gio->stats_arg, g->pub.method);
}

void gstream_count_handled(struct gstream *g, enum grpc_status status)
{
	const struct grpc_stats *st = g->pub.gio->server->opts.stats;

	if (g->counted && st && st->handled)
		st->handled(g->pub.gio->stats_arg, g->pub.method, status, stats_now_ns(g->pub.gio) - g->started_ns);
}

uint64_t grpc_handle(const struct grpc_stream *s)
{
	const struct gstream *g = gstream_of(s);

	return (uint64_t)g->generation << 32 | g->slot;
}

struct grpc_stream *grpc_find(struct grpc_io *gio, uint64_t handle)
{
	uint32_t slot = (uint32_t)handle;
	struct gstream *g = slot < gio->slots.count ? gio->slots.at[slot] : NULL;

	return g && g->active && g->generation == handle >> 32 ? &g->pub : NULL;
}

const struct net_peer *grpc_peer(const struct grpc_stream *s)
{
	return http_req_peer(gstream_of(s)->req);
}

struct http_req *grpc_http_req(struct grpc_stream *s)
{
	return gstream_of(s)->req;
}

bool grpc_metadata(const struct grpc_stream *s, struct slice key, struct slice *value)
{
	return http_header_get(gstream_of(s)->req, key, value);
}

bool grpc_metadata_at(const struct grpc_stream *s, struct slice key, size_t i, struct slice *value)
{
	const struct http_req *r = gstream_of(s)->req;

	for (uint32_t n = 0; n < r->header_count; n++) {
		if (slice_eq(r->headers[n].name, key) && i-- == 0) {
			*value = r->headers[n].value;
			return true;
		}
	}
	return false;
}

uint64_t grpc_deadline_ms(const struct grpc_stream *s)
{
	return gstream_of(s)->deadline_ms;
}

/* --- from the http module --- */

static void on_request(struct http_req *r)
{
	struct gstream *g = r->user;

	if (!gstream_start(g))
		return;
	g->held = !http_writable(r);
	if (g->pub.method->handler->on_start)
		g->pub.method->handler->on_start(&g->pub);
}

static void on_body(struct http_req *r, struct slice data)
{
	if (r->user)
		gstream_feed(r->user, data);
	else
		http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
	if (r->user)
		gstream_half_closed(r->user);
}

static void on_reserved(struct http_req *r)
{
	struct gstream *g = r->user;

	if (g) {
		g->waiting = false;
		g->granted = true;
		gstream_resume(g);
	}
}

static void on_writable(struct http_req *r)
{
	struct gstream *g = r->user;

	if (g && g->held) {
		g->held = !http_writable(r); /* others, told before, may have filled it again */
		if (!g->held)
			gstream_resume(g);
		return;
	}
	if (g && g->pub.method->handler->on_writable)
		g->pub.method->handler->on_writable(&g->pub);
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct gstream *g = r->user;

	if (!g)
		return;
	if (g->pub.method && g->pub.method->handler->on_cancel)
		g->pub.method->handler->on_cancel(&g->pub);
	gstream_count_handled(g, GRPC_CANCELLED);
	gstream_free(g);
}

const struct http_handler grpc_http_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_writable = on_writable,
    .on_reserved = on_reserved,
    .on_close = on_close,
};
