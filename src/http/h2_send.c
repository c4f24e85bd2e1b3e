/* HTTP/2 engine, sending side.
 *
 * nghttp2 decides which frame goes next and pulls the bytes of DATA from the request's out queue straight into the
 * caller's buffer (NO_COPY and send_data). Trailers are submitted when the queue ran dry after http_end. */
#include <stdio.h>

#include "http/h2_impl.h"

#define FRAME_DATA_MAX 16384
#define FRAME_ROOM (FRAME_DATA_MAX + 64) /* for any frame that nghttp2 returns after those that we copy */

_Static_assert(HTTP_OUTPUT_MIN >= 9 + FRAME_DATA_MAX + FRAME_ROOM, "one DATA frame always fits");

static nghttp2_nv nv_of(const struct http_header *h)
{
	return (nghttp2_nv){
	    .name = (uint8_t *)h->name.data,
	    .namelen = h->name.size,
	    .value = (uint8_t *)h->value.data,
	    .valuelen = h->value.size,
	    .flags = h->is_static ? NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE : NGHTTP2_NV_FLAG_NONE,
	};
}

static int submit_trailers(nghttp2_session *s, struct req *r)
{
	nghttp2_nv nv[TRAILERS_MAX];

	for (uint32_t i = 0; i < r->trailer_count; i++)
		nv[i] = nv_of(&r->trailers[i]);
	return nghttp2_submit_trailer(s, r->stream_id, nv, r->trailer_count);
}

static ssize_t read_data(nghttp2_session *s, int32_t stream_id, uint8_t *buf, size_t size, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct req *r = h2_req(s, stream_id);
	size_t n;

	if (!r)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = MIN(size, r->out.size);
	if (n == r->out.size && r->ended) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (r->trailer_count) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			if (submit_trailers(s, r) != 0)
				return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
	} else if (n == 0) {
		r->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

/* A frame must fit into the caller's buffer, whatever the peer's SETTINGS_MAX_FRAME_SIZE allows. */
static ssize_t read_length(nghttp2_session *s, uint8_t type, int32_t stream_id, int32_t session_window,
			   int32_t stream_window, uint32_t frame_size_max, void *user)
{
	return MIN(MIN(MIN(session_window, stream_window), (int32_t)frame_size_max), FRAME_DATA_MAX);
}

static int send_data(nghttp2_session *s, nghttp2_frame *f, const uint8_t *frame_header, size_t size,
		     nghttp2_data_source *source, void *user)
{
	struct http_conn *c = user;
	struct h2 *h = c->h2;
	struct req *r = h2_req(s, f->hd.stream_id);

	if (!r)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (h->out_left < 9 + size + FRAME_ROOM) {
		h->out_full = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	memcpy(h->out, frame_header, 9);
	out_take(&c->io->chunks, &r->out, h->out + 9, size);
	conn_out_took(r, size);
	h->out += 9 + size;
	h->out_left -= 9 + size;
	return 0;
}

static int on_frame_send(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct http_conn *c = user;
	struct req *r;

	if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
		return 0;
	c->h2->strikes_forgiven = true;
	if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	r = h2_req(s, f->hd.stream_id);
	if (r) {
		r->end_taken = true;
		/* The answer is complete and the client still sends: tell it to stop, as grpc-go does. */
		if (!r->pub.body_ended)
			nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_NO_ERROR);
	}
	return 0;
}

static int on_frame_not_send(nghttp2_session *s, const nghttp2_frame *f, int error, void *user)
{
	if (f->hd.type == NGHTTP2_HEADERS && h2_req(s, f->hd.stream_id))
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

void h2_send_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, read_length);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
}

void h2_respond(struct req *r, unsigned status, const struct http_header *headers, size_t count, bool end)
{
	nghttp2_session *s = r->pub.conn->h2->session;
	nghttp2_data_provider provider = {.read_callback = read_data};
	nghttp2_nv nv[1 + RESPONSE_HEADERS_MAX];
	struct http_header status_header = HTTP_HEADER(":status", "200");
	char digits[8];

	if (status != 200) {
		snprintf(digits, sizeof(digits), "%u", status);
		status_header.value = slice_str(digits);
		status_header.is_static = false;
	}
	nv[0] = nv_of(&status_header);
	for (size_t i = 0; i < count; i++)
		nv[1 + i] = nv_of(&headers[i]);
	if (nghttp2_submit_response(s, r->stream_id, nv, 1 + count, end ? NULL : &provider) != 0)
		nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
	r->pub.conn->h2->silent = false;
}

void h2_kick(struct req *r)
{
	struct h2 *h = r->pub.conn->h2;

	if (r->deferred) {
		r->deferred = false;
		nghttp2_session_resume_data(h->session, r->stream_id);
	}
	h->silent = false;
}

void h2_reset(struct req *r, uint32_t code)
{
	struct http_conn *c = r->pub.conn;
	nghttp2_session *s = c->h2->session;

	if (c->h2->head == r)
		c->h2->head = NULL;
	nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, r->stream_id, code);
	nghttp2_session_set_stream_user_data(s, r->stream_id, NULL);
	if (r->held)
		nghttp2_session_consume_connection(s, r->held);
	c->h2->silent = false;
	req_close(r, HTTP_RESET);
}

size_t h2_output(struct http_conn *c, uint8_t *out, size_t size)
{
	struct h2 *h = c->h2;

	ASSERT(size >= HTTP_OUTPUT_MIN);
	if (h->dead)
		return 0;
	h->out = out;
	h->out_left = size;
	h->out_full = false;
	for (;;) {
		const uint8_t *frame;
		uint8_t *before = h->out;
		ssize_t n;

		if (h->out_left < FRAME_ROOM || h->out_full)
			break;
		n = nghttp2_session_mem_send(h->session, &frame);
		if (n < 0) {
			c->over = h->dead = true;
			break;
		}
		if (n > 0) {
			ASSERT((size_t)n <= h->out_left);
			memcpy(h->out, frame, (size_t)n);
			h->out += n;
			h->out_left -= (size_t)n;
		} else if (h->out == before) {
			h->silent = !h->out_full;
			break;
		}
	}
	size -= h->out_left;
	h->out = NULL;
	if (!h->silent || !list_empty(&c->blocked))
		conn_tell_writable(c);
	return size;
}
