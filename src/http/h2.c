/* HTTP/2 engine, receiving side: nghttp2 over memory.
 *
 * A request is the stream's user data from begin of its headers until the stream closes or we reset it; frames
 * of a stream without one are ignored (their bytes are given back to the connection's window at once).
 *
 *   H1  window: bytes of DATA count as held from on_body until http_consumed; what is still held when the
 *       request goes is given back to the connection
 *   H2  handlers run inside nghttp2_session_mem_recv; they may submit frames, never receive or send
 *   H3  after a handler ran, the request may be gone: it is looked up again */
#include "http/h2_impl.h"

struct h2_shared {
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct h2_mem mem;
};

static const struct engine_ops h2_ops;

enum { FRAMES_UNSENT_MAX = 1024 };

static int on_begin_frame(nghttp2_session *s, const nghttp2_frame_hd *hd, void *user)
{
	h2_guard_frame(user, hd);
	return 0;
}

static int on_begin_headers(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct http_conn *c = user;
	struct req *r = NULL;

	c->h2->head_open_ms = http_io_now_ms(c->io) | 1;
	c->h2->head = NULL;
	c->h2->head_cost = 0;
	if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	/* A peer that opens streams and does not read what we answer stops here; grpc lets new calls wait long before. */
	if (c->req_count < c->svc->limits.streams_open_max &&
	    (c->out_bytes <= 4ull * c->svc->limits.conn_out_bytes_max || c->req_count < c->svc->limits.unread_streams_max))
		r = req_new(c, true);
	if (!r)
		return nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
	r->stream_id = f->hd.stream_id;
	c->h2->head = r;
	nghttp2_session_set_stream_user_data(s, f->hd.stream_id, r);
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_size,
		     const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct http_conn *c = user;
	struct req *r = c->h2->head;

	c->h2->head_cost += name_size + value_size + 32;
	if (!r) /* refused, or trailers of the request, which mean nothing to gRPC */
		return c->h2->head_cost > c->svc->limits.header_bytes_max ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
	if (req_header_add(r, slice_of(name, name_size), slice_of(value, value_size)))
		return 0;
	h2_reset(r, NGHTTP2_FRAME_SIZE_ERROR); /* grpc-go's answer to a list that is too long */
	/* The rest keeps the table right and is not looked at: a field of 4 KB that is named 14,000 times in one frame would be checked
	 * byte by byte each time, 50 ms for 14 KB. */
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void body_end(nghttp2_session *s, int32_t stream_id)
{
	struct req *r = h2_req(s, stream_id); /* H3 */

	if (r && r->announced && !r->pub.body_ended)
		req_body_end(r);
}

static int on_frame_recv(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	struct http_conn *c = user;
	bool end_stream = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

	switch (f->hd.type) {
	case NGHTTP2_HEADERS: {
		struct req *r = h2_req(s, f->hd.stream_id);

		c->h2->head_open_ms = 0;
		c->h2->head = NULL;
		if (r && !r->announced) {
			r->pub.body_ended = end_stream;
			req_start(r);
			r = h2_req(s, f->hd.stream_id);
			if (r && end_stream)
				req_body_end(r);
		} else if (end_stream) {
			body_end(s, f->hd.stream_id);
		}
		break;
	}
	case NGHTTP2_DATA:
		if (end_stream)
			body_end(s, f->hd.stream_id);
		else if (f->hd.length == 0)
			h2_guard_control(c);
		break;
	case NGHTTP2_PING:
		h2_guard_ping(c, &f->ping);
		break;
	case NGHTTP2_RST_STREAM:
		h2_guard_reset(c, h2_req(s, f->hd.stream_id));
		break;
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
		h2_guard_control(c);
		break;
	}
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t size, void *user)
{
	struct http_conn *c = user;
	struct req *r = h2_req(s, stream_id);

	if (!r || !r->announced) {
		nghttp2_session_consume_connection(s, size);
		return 0;
	}
	req_body(r, slice_of(data, size));
	if (c->held_bytes > c->svc->limits.conn_window_bytes / 2) {
		r = h2_req(s, stream_id); /* H3 */
		if (r && r->held)
			h2_reset(r, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	return 0;
}

static int on_invalid_frame(nghttp2_session *s, const nghttp2_frame *f, int error, void *user)
{
	if (error != NGHTTP2_ERR_REFUSED_STREAM)
		h2_guard_reset(user, NULL);
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t stream_id, uint32_t code, void *user)
{
	struct http_conn *c = user;
	struct req *r = h2_req(s, stream_id);

	if (!r)
		return 0;
	if (c->h2->head == r)
		c->h2->head = NULL;
	nghttp2_session_set_stream_user_data(s, stream_id, NULL);
	if (r->held)
		nghttp2_session_consume_connection(s, r->held); /* H1 */
	req_close(r, code == NGHTTP2_NO_ERROR && r->end_taken ? HTTP_DONE : HTTP_RESET);
	return 0;
}

static struct h2_shared *shared_of(struct http_io *io)
{
	struct h2_shared *sh = io->h2_shared;

	if (sh)
		return sh;
	sh = io->h2_shared = NEW(struct h2_shared);
	h2_mem_init(&sh->mem);
	ASSERT(nghttp2_session_callbacks_new(&sh->callbacks) == 0);
	nghttp2_session_callbacks_set_on_begin_frame_callback(sh->callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(sh->callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(sh->callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(sh->callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(sh->callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(sh->callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(sh->callbacks, on_stream_close);
	h2_send_callbacks(sh->callbacks);
	ASSERT(nghttp2_option_new(&sh->option) == 0);
	nghttp2_option_set_no_auto_window_update(sh->option, 1);
	nghttp2_option_set_no_closed_streams(sh->option, 1);
#if NGHTTP2_VERSION_NUM >= 0x013200
	/* As Go's server: a value with a blank at its end is that value, a token that nobody has, not a broken stream. */
	nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(sh->option, 1);
#endif
	/* Our own guard counts only the resets of requests that were not answered: clients that end many watches at
	 * once are no attackers. nghttp2's stays as a second line. */
	nghttp2_option_set_stream_reset_rate_limit(sh->option, 100000, 10000);
	return sh;
}

void h2_shared_free(struct h2_shared *sh)
{
	if (!sh)
		return;
	nghttp2_session_callbacks_del(sh->callbacks);
	nghttp2_option_del(sh->option);
	h2_mem_fini(&sh->mem);
	mem_free(sh);
}

static void submit_settings(struct http_conn *c)
{
	const struct http_limits *l = &c->svc->limits;
	nghttp2_settings_entry e[4];
	size_t n = 0;

	e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, l->header_bytes_max};
	e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
	if (l->streams_max != UINT32_MAX)
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams_max};
	if (l->stream_window_bytes != NGHTTP2_INITIAL_WINDOW_SIZE)
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window_bytes};
	ASSERT(nghttp2_submit_settings(c->h2->session, NGHTTP2_FLAG_NONE, e, n) == 0);
	if (l->conn_window_bytes > NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE)
		nghttp2_session_set_local_window_size(c->h2->session, NGHTTP2_FLAG_NONE, 0,
						      (int32_t)l->conn_window_bytes);
}

void h2_start(struct http_conn *c)
{
	struct h2_shared *sh = shared_of(c->io);

	c->ops = &h2_ops;
	c->h2 = NEW(struct h2);
	ASSERT(nghttp2_session_server_new3(&c->h2->session, sh->callbacks, c, sh->option, &sh->mem.table) == 0);
	h2_guard_init(c);
	submit_settings(c);
	h2_tick(c, http_io_now_ms(c->io));
}

static bool h2_input(struct http_conn *c, struct slice data)
{
	ssize_t n;

	c->h2->ping_out = false;
	n = nghttp2_session_mem_recv(c->h2->session, data.data, data.size);
	if (n < 0) { /* a broken preface, or a flood that nghttp2 noticed */
		c->over = true;
		if (n == NGHTTP2_ERR_FLOODED)
			h2_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "");
	}
	if (!nghttp2_session_want_read(c->h2->session))
		c->over = true;
	if (c->h2->head_open_ms && c->svc->limits.header_timeout_ms)
		conn_tick_by(c, c->h2->head_open_ms + c->svc->limits.header_timeout_ms);
	c->h2->silent = false;
	return !c->over;
}

static void h2_eof(struct http_conn *c)
{
	c->over = c->h2->dead = true;
}

static bool h2_ended(const struct http_conn *c)
{
	const struct h2 *h = c->h2;

	if (h->dead || (c->over && h->silent))
		return true;
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

/* Not for DATA, which the windows hold, and WINDOW_UPDATE must get through. But frames make frames (a faulty request of ten bytes a
 * RST_STREAM of 270 in memory), and a peer that takes none of them is not listened to. What waits here needs no window to go. */
static bool h2_read_paused(const struct http_conn *c)
{
	return nghttp2_session_get_outbound_queue_size(c->h2->session) > FRAMES_UNSENT_MAX;
}

static void h2_consumed(struct req *r, size_t size)
{
	nghttp2_session *s = r->pub.conn->h2->session;

	if (r->pub.body_ended)
		nghttp2_session_consume_connection(s, size);
	else
		nghttp2_session_consume(s, r->stream_id, size);
	r->pub.conn->h2->silent = false;
}

static void h2_window(struct req *r, size_t size)
{
	struct http_conn *c = r->pub.conn;
	size_t base = c->svc->limits.stream_window_bytes;

	if (r->pub.body_ended || (size <= base && !r->window_raised))
		return;
	r->window_raised = size > base;
	nghttp2_session_set_local_window_size(c->h2->session, NGHTTP2_FLAG_NONE, r->stream_id,
					      (int32_t)MIN(MAX(size, base), (size_t)INT32_MAX));
	conn_changed(c);
}

static void h2_free(struct http_conn *c)
{
	while (!list_empty(&c->reqs)) {
		struct req *r = CONTAINER_OF(c->reqs.next, struct req, node);

		nghttp2_session_set_stream_user_data(c->h2->session, r->stream_id, NULL);
		req_close(r, HTTP_LOST);
	}
	nghttp2_session_del(c->h2->session);
	mem_free(c->h2);
}

static const struct engine_ops h2_ops = {
    .input = h2_input,
    .eof = h2_eof,
    .output = h2_output,
    .ended = h2_ended,
    .read_paused = h2_read_paused,
    .tick = h2_tick,
    .drain = h2_drain,
    .free = h2_free,
    .respond = h2_respond,
    .kick = h2_kick,
    .reset = h2_reset,
    .consumed = h2_consumed,
    .window = h2_window,
};
