/* Answers: headers with the first message, messages, trailers; an error before any message is one block
 * ("trailers only"). */
#include <stdarg.h>
#include <stdio.h>

#include "base/endian.h"
#include "grpc/grpc_impl.h"

static const char *const digits[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
				     "9", "10", "11", "12", "13", "14", "15", "16"};

static struct http_header type_header(const struct gstream *g)
{
	bool is_plain = g->content_type.size == sizeof("application/grpc") - 1;

	return (struct http_header){SLICE_LIT("content-type"), g->content_type, is_plain};
}

static void send_head(struct gstream *g, const struct http_header *headers, size_t count)
{
	struct http_header all[2 + 16];
	size_t n = 0;

	ASSERT(count <= 16);
	all[n++] = type_header(g);
	if (g->answer_gzip)
		all[n++] = HTTP_HEADER("grpc-encoding", "gzip");
	for (size_t i = 0; i < count; i++)
		all[n++] = headers[i];
	g->headers_sent = true;
	http_respond(g->req, 200, all, n);
}

void grpc_send_headers(struct grpc_stream *s, const struct http_header *headers, size_t count)
{
	struct gstream *g = gstream_of(s);

	ASSERT(!g->headers_sent);
	send_head(g, headers, count);
}

static void send_prefix(struct gstream *g, bool compressed, size_t size)
{
	uint8_t prefix[PREFIX_SIZE];
	struct slice s = slice_of(prefix, sizeof(prefix));

	ASSERT(size <= INT32_MAX);
	ASSERT(!g->send_left);
	if (!g->headers_sent)
		send_head(g, NULL, 0);
	prefix[0] = compressed;
	be32_put(prefix + 1, (uint32_t)size);
	http_send(g->req, &s, 1);
}

static void count_sent(struct gstream *g, size_t messages, size_t bytes)
{
	const struct grpc_stats *st = g->pub.gio->server->opts.stats;

	if (st && st->sent)
		st->sent(g->pub.gio->stats_arg, g->pub.method, messages, bytes);
}

bool grpc_send(struct grpc_stream *s, const struct slice *slices, size_t count)
{
	struct gstream *g = gstream_of(s);
	size_t size = 0;

	ASSERT(g->active);
	for (size_t i = 0; i < count; i++)
		size += slices[i].size;
	count_sent(g, 1, size);
	if (g->answer_gzip) {
		struct blob *b = grpc_gzip(slices, count);

		send_prefix(g, true, b->size);
		http_send_blob(g->req, b, 0);
	} else {
		send_prefix(g, false, size);
		http_send(g->req, slices, count);
	}
	return http_writable(g->req);
}

uint8_t *grpc_send_room(struct grpc_stream *s, size_t size)
{
	struct gstream *g = gstream_of(s);
	uint8_t *at;

	ASSERT(g->active && !g->send_left);
	if (g->answer_gzip)
		return NULL;
	if (!g->headers_sent)
		send_head(g, NULL, 0);
	at = http_send_room(g->req, PREFIX_SIZE + size);
	if (!at)
		return NULL;
	at[0] = 0;
	be32_put(at + 1, (uint32_t)size);
	return at + PREFIX_SIZE;
}

bool grpc_send_room_done(struct grpc_stream *s, size_t messages, size_t bytes)
{
	struct gstream *g = gstream_of(s);

	count_sent(g, messages, bytes);
	http_send_room_done(g->req);
	return http_writable(g->req);
}

bool grpc_send_blob(struct grpc_stream *s, struct slice head, struct blob *take_b, size_t from)
{
	struct gstream *g = gstream_of(s);
	struct slice parts[] = {head, slice_of(take_b->data + from, take_b->size - from)};

	ASSERT(g->active && from <= take_b->size);
	if (g->answer_gzip) {
		grpc_send(s, parts, 2);
		blob_unref(take_b);
	} else {
		count_sent(g, 1, head.size + parts[1].size);
		send_prefix(g, false, head.size + parts[1].size);
		http_send(g->req, &head, 1);
		http_send_blob(g->req, take_b, from);
	}
	return http_writable(g->req);
}

void grpc_send_begin(struct grpc_stream *s, uint32_t total_size)
{
	struct gstream *g = gstream_of(s);

	ASSERT(g->active);
	count_sent(g, 1, total_size);
	send_prefix(g, false, total_size);
	g->send_left = total_size;
}

bool grpc_send_part(struct grpc_stream *s, const struct slice *slices, size_t count)
{
	struct gstream *g = gstream_of(s);

	for (size_t i = 0; i < count; i++) {
		ASSERT(slices[i].size <= g->send_left);
		g->send_left -= (uint32_t)slices[i].size;
	}
	http_send(g->req, slices, count);
	return http_writable(g->req);
}

uint32_t grpc_send_left(const struct grpc_stream *s)
{
	return gstream_of(s)->send_left;
}

bool grpc_writable(const struct grpc_stream *s)
{
	return http_writable(gstream_of(s)->req);
}

size_t grpc_unsent(const struct grpc_stream *s)
{
	return http_unsent(gstream_of(s)->req);
}

static bool is_plain_text(struct slice s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.data[i] < ' ' || s.data[i] > '~' || s.data[i] == '%')
			return false;
	return true;
}

/* Puts grpc-status and grpc-message into h; *encoded is to be freed after use. */
static void status_headers(struct http_header *h, enum grpc_status status, struct slice message, uint8_t **encoded)
{
	*encoded = NULL;
	h[0] = (struct http_header){SLICE_LIT("grpc-status"), slice_str(digits[status]), true};
	h[1] = (struct http_header){SLICE_LIT("grpc-message"), message, message.size == 0};
	if (is_plain_text(message))
		return;
	*encoded = mem_alloc(message.size * 9);
	h[1].value = slice_of(*encoded, grpc_message_encode(message, *encoded));
}

void gstream_refuse(struct gstream *g, unsigned http_status, enum grpc_status status, struct slice message)
{
	struct http_req *r = g->req;
	struct http_header h[3];
	uint8_t *encoded;

	h[0] = type_header(g);
	status_headers(h + 1, status, message, &encoded);
	gstream_free(g);
	http_respond_end(r, http_status, h, 3);
	mem_free(encoded);
}

void gstream_finish(struct gstream *g, enum grpc_status status, struct slice message)
{
	struct http_req *r = g->req;
	struct http_header h[2];
	uint8_t *encoded;

	ASSERT(g->active);
	ASSERT(status >= GRPC_OK && status <= GRPC_UNAUTHENTICATED);
	gstream_count_handled(g, status);
	if (!g->headers_sent) {
		gstream_refuse(g, 200, status, message);
	} else if (g->send_left) {
		gstream_free(g);
		/* No trailers can follow half a message. Of CANCEL clients make "deadline exceeded" once their own has passed. */
		http_reset(r, status == GRPC_DEADLINE_EXCEEDED || status == GRPC_CANCELLED ? H2_CANCEL : H2_INTERNAL_ERROR);
	} else {
		status_headers(h, status, message, &encoded);
		gstream_free(g);
		http_end(r, h, 2);
		mem_free(encoded);
	}
}

void gstream_give_up(struct gstream *g, enum grpc_status status, const char *fmt, ...)
{
	const struct grpc_handler *h = g->pub.method->handler;
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	g->pub.end_status = status;
	g->pub.end_text = slice_str(text);
	if (h->on_cancel)
		h->on_cancel(&g->pub);
	gstream_finish(g, status, slice_str(text));
}

void grpc_finish(struct grpc_stream *s, enum grpc_status status, struct slice message)
{
	gstream_finish(gstream_of(s), status, message);
}

void grpc_finish_err(struct grpc_stream *s, err_t err)
{
	gstream_finish(gstream_of(s), err_status(err), slice_str(err_text(err)));
}
