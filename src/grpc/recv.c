/* Messages out of the bytes of a request.
 *
 *	offset  size  field
 *	0       1     0 = plain, 1 = compressed by grpc-encoding
 *	1       4     length, big endian
 *	5       ...   message
 *
 * A message that is not whole in the bytes at hand is given memory only after its length was granted by the budgets
 * (http_reserve); until then what comes stays unread in pending, at most a stream window of it. The same holds for a call
 * that begins while the client has not taken its earlier answers: more of them would only be more memory. */
#include "base/endian.h"
#include "grpc/grpc_impl.h"

static bool is_unary(const struct gstream *g)
{
	return !(g->pub.method->flags & (GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM));
}

static bool is_client_stream(const struct gstream *g)
{
	return g->pub.method->flags & GRPC_CLIENT_STREAM;
}

/* The five bytes are there. false: finished. */
static bool check_prefix(struct gstream *g)
{
	uint32_t max = g->pub.gio->server->opts.message_bytes_max;
	uint32_t size = be32_get(g->prefix + 1);

	if (size > max) {
		gstream_give_up(g, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%u vs. %u)", size,
				max);
		return false;
	}
	if (g->prefix[0] > 1) {
		gstream_give_up(g, GRPC_INTERNAL, "grpc: received unexpected payload format %u", g->prefix[0]);
		return false;
	}
	if (g->prefix[0] == 1 && !g->recv_gzip) {
		gstream_give_up(g, GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
		return false;
	}
	if (g->got_message && !is_client_stream(g)) {
		gstream_give_up(
		    g, GRPC_INTERNAL,
		    "cardinality violation: received multiple request messages for non-client-streaming RPC");
		return false;
	}
	g->compressed = g->prefix[0] == 1;
	return true;
}

static bool inflate_body(struct gstream *g, struct blob **body)
{
	uint32_t max = g->pub.gio->server->opts.message_bytes_max;
	bool empty = blob_slice(*body).size == 0;
	struct blob *plain;
	err_t err = grpc_gunzip(blob_slice(*body), max, &plain);

	if (!err) {
		blob_unref(*body);
		*body = plain;
		return true;
	}
	blob_unref(*body);
	if (err == ERR_TOO_LARGE)
		gstream_give_up(g, GRPC_RESOURCE_EXHAUSTED,
				"grpc: received message after decompression larger than max %u", max);
	else
		gstream_give_up(g, GRPC_INTERNAL, "grpc: failed to decompress the message: %s",
				empty ? "EOF" : err == ERR_CORRUPT_TAIL ? "unexpected EOF" : "gzip: invalid header");
	return false;
}

/* A whole message; the stream may be gone afterwards. */
static void deliver(struct gstream *g)
{
	const struct grpc_stats *st = g->pub.gio->server->opts.stats;
	struct blob *body = g->body;

	g->body = NULL;
	g->prefix_size = 0;
	g->got_message = true;
	if (g->compressed && !inflate_body(g, &body))
		return;
	/* In grpc-go the interceptors that count see a unary call only once its message is decoded. */
	if (is_unary(g))
		gstream_count_started(g);
	if (st && st->received)
		st->received(g->pub.gio->stats_arg, g->pub.method, body->size);
	if (is_client_stream(g))
		http_unreserve(g->req);
	if (is_client_stream(g) || is_unary(g))
		g->pub.method->handler->on_message(&g->pub, body);
	else
		g->message = body;
}

/* Takes from data what belongs to the message at hand; true if it is whole. */
static bool fill_body(struct gstream *g, struct slice *data)
{
	size_t n = MIN(data->size, g->body->size - g->body_size);

	if (n)
		memcpy(g->body->data + g->body_size, data->data, n);
	g->body_size += n;
	data->data += n;
	data->size -= n;
	return g->body_size == g->body->size;
}

/* Makes room for the message announced by the prefix; false: the budgets let it wait. */
static bool begin_body(struct gstream *g, size_t at_hand)
{
	size_t size = be32_get(g->prefix + 1);

	if (size > at_hand && !g->granted && !http_reserve(g->req, size)) {
		g->waiting = true;
		return false;
	}
	g->granted = false;
	g->body = blob_new(size);
	g->body_size = 0;
	return true;
}

/* One step: prefix or body. false: stop (finished, waiting, or no bytes left). */
static bool step(struct gstream *g, struct slice *data)
{
	if (g->prefix_size < PREFIX_SIZE) {
		size_t n = MIN(data->size, (size_t)(PREFIX_SIZE - g->prefix_size));

		if (n == 0)
			return false;
		memcpy(g->prefix + g->prefix_size, data->data, n);
		g->prefix_size += (uint8_t)n;
		data->data += n;
		data->size -= n;
		if (g->prefix_size < PREFIX_SIZE || !check_prefix(g))
			return false;
	}
	if (!g->body && !begin_body(g, data->size))
		return false;
	if (!fill_body(g, data))
		return false;
	deliver(g);
	return true;
}

static void end_input(struct gstream *g)
{
	const struct grpc_handler *h = g->pub.method->handler;
	struct blob *message = g->message;

	g->input_ended = true;
	g->message = NULL;
	if (g->prefix_size || g->body) {
		gstream_give_up(g, is_unary(g) ? GRPC_UNKNOWN : GRPC_INTERNAL, "unexpected EOF");
	} else if (is_client_stream(g)) {
		if (h->on_half_close)
			h->on_half_close(&g->pub);
	} else if (message) {
		h->on_message(&g->pub, message);
	} else if (!g->got_message) {
		if (is_unary(g))
			gstream_give_up(g, GRPC_UNKNOWN, "EOF");
		else
			gstream_give_up(
			    g, GRPC_INTERNAL,
			    "cardinality violation: received no request message from non-client-streaming RPC");
	}
}

static bool stalled(const struct gstream *g)
{
	return g->waiting || g->paused || g->held;
}

void gstream_feed(struct gstream *g, struct slice data)
{
	struct http_req *req = g->req;
	uint32_t generation = g->generation;
	bool more = true, alive = true;
	size_t size = data.size;

	ASSERT(!g->feeding);
	g->feeding = true;
	while (more && alive && !stalled(g) && !(g->got_message && is_unary(g))) {
		more = step(g, &data);
		alive = g->active && g->generation == generation; /* G1 */
	}
	if (!alive)
		return; /* with the end of the answer the http module took the bytes back */
	g->feeding = false;
	if (stalled(g))
		buf_put_slice(&g->pending, data);
	else
		data.size = 0;
	http_consumed(req, size - data.size);
	if (g->half_closed && !g->input_ended && !stalled(g))
		end_input(g);
}

void gstream_resume(struct gstream *g)
{
	struct buf b = g->pending;

	if (g->feeding || stalled(g))
		return;
	buf_init(&g->pending, UINT32_MAX);
	gstream_feed(g, buf_slice(&b));
	buf_fini(&b);
}

void gstream_half_closed(struct gstream *g)
{
	g->half_closed = true;
	if (!stalled(g) && !g->feeding)
		end_input(g);
}

void grpc_read_pause(struct grpc_stream *s, bool paused)
{
	struct gstream *g = gstream_of(s);

	if (g->paused == paused)
		return;
	g->paused = paused;
	if (!paused)
		gstream_resume(g);
}
