/* HTTP/2 engine: floods, pings, timeouts, shutdown.
 *
 * Client pings, as grpc-go's server has it (internal/transport/http2_server.go, handlePing): a ping sooner than
 * ping_min_ms after the last one, or than two hours without an open stream, is a strike; headers or data that we send
 * forgive all; the third strike ends the connection with ENHANCE_YOUR_CALM "too_many_pings".
 *
 * Shutdown: GOAWAY with the highest id and a ping; once the client answered (so that what was in flight has
 * arrived), or after a second, GOAWAY with the last id taken; the connection ends with its last stream. */
#include "http/h2_impl.h"

#define PING_STRIKES_MAX 2
#define IDLE_PING_MIN_MS (2ull * 3600 * 1000)
#define DRAIN_MS 1000

static const uint8_t keepalive_data[8] = "cetcd-ka";
static const uint8_t drain_data[8] = "cetcd-dr";

void h2_guard_init(struct http_conn *c)
{
	const struct http_limits *l = &c->svc->limits;
	uint64_t now_ms = http_io_now_ms(c->io);

	bucket_init(&c->h2->resets, l->resets_burst, now_ms);
	bucket_init(&c->h2->controls, l->controls_burst, now_ms);
}

void h2_end(struct http_conn *c, uint32_t code, const char *debug)
{
	nghttp2_session *s = c->h2->session;

	if (c->over && !c->draining)
		return;
	nghttp2_submit_goaway(s, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s), code,
			      (const uint8_t *)debug, strlen(debug));
	c->over = true;
	c->h2->silent = false;
	conn_changed(c);
}

static void goaway_final(struct http_conn *c)
{
	nghttp2_session *s = c->h2->session;

	c->h2->drain_ms = 0;
	nghttp2_submit_goaway(s, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s), NGHTTP2_NO_ERROR, NULL,
			      0);
	conn_changed(c);
}

void h2_drain(struct http_conn *c)
{
	nghttp2_session *s = c->h2->session;

	nghttp2_submit_shutdown_notice(s);
	nghttp2_submit_ping(s, NGHTTP2_FLAG_NONE, drain_data);
	c->h2->drain_ms = http_io_now_ms(c->io) + DRAIN_MS;
	conn_tick_by(c, c->h2->drain_ms);
}

void h2_guard_ping(struct http_conn *c, const nghttp2_ping *ping)
{
	const struct http_limits *l = &c->svc->limits;
	struct h2 *h = c->h2;
	uint64_t now_ms = http_io_now_ms(c->io);
	uint64_t min_ms = c->req_count || l->ping_without_stream ? l->ping_min_ms : IDLE_PING_MIN_MS;

	h2_guard_control(c);
	if (ping->hd.flags & NGHTTP2_FLAG_ACK) {
		if (h->drain_ms && memcmp(ping->opaque_data, drain_data, sizeof(drain_data)) == 0)
			goaway_final(c);
		return;
	}
	if (h->strikes_forgiven) {
		h->strikes_forgiven = false;
		h->ping_strikes = 0;
	} else if (h->pinged && now_ms - h->last_ping_ms < min_ms) {
		if (++h->ping_strikes > PING_STRIKES_MAX)
			h2_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
	}
	h->last_ping_ms = now_ms;
	h->pinged = true;
}

void h2_guard_reset(struct http_conn *c, const struct req *r)
{
	const struct http_limits *l = &c->svc->limits;

	if (r && r->responded)
		return;
	if (!bucket_take(&c->h2->resets, l->resets_burst, l->resets_per_s, http_io_now_ms(c->io)))
		h2_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
}

void h2_guard_control(struct http_conn *c)
{
	const struct http_limits *l = &c->svc->limits;

	if (!bucket_take(&c->h2->controls, l->controls_burst, l->controls_per_s, http_io_now_ms(c->io)))
		h2_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_control_frames");
}

/* What nghttp2, which remembers no closed streams, would pass over in silence and Go's server does not: a header block for a stream
 * that is over (RFC 9113 5.1, 5.1.1), and PRIORITY without a stream (6.3). */
void h2_guard_frame(struct http_conn *c, const nghttp2_frame_hd *hd)
{
	nghttp2_session *s = c->h2->session;

	if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0)
		h2_end(c, NGHTTP2_PROTOCOL_ERROR, "priority_of_no_stream");
	else if (hd->type == NGHTTP2_HEADERS && hd->stream_id <= nghttp2_session_get_last_proc_stream_id(s) &&
		 !nghttp2_session_find_stream(s, hd->stream_id))
		h2_end(c, NGHTTP2_STREAM_CLOSED, "headers_of_closed_stream");
}

/* A server ping after silence; any byte that comes is as good as its answer. */
static void tick_ping(struct http_conn *c, uint64_t now_ms)
{
	const struct http_limits *l = &c->svc->limits;
	struct h2 *h = c->h2;

	if (!l->ping_interval_ms || !l->ping_timeout_ms)
		return;
	if (h->ping_out && now_ms >= h->ping_out_ms + l->ping_timeout_ms) {
		c->over = h->dead = true;
		conn_changed(c);
		return;
	}
	if (!h->ping_out && now_ms >= c->read_ms + l->ping_interval_ms) {
		nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, keepalive_data);
		h->ping_out = true;
		h->ping_out_ms = now_ms;
		conn_changed(c);
	}
	conn_tick_by(c, h->ping_out ? h->ping_out_ms + l->ping_timeout_ms : c->read_ms + l->ping_interval_ms);
}

void h2_tick(struct http_conn *c, uint64_t now_ms)
{
	const struct http_limits *l = &c->svc->limits;
	struct h2 *h = c->h2;

	if (h->head_open_ms && l->header_timeout_ms) {
		if (now_ms >= h->head_open_ms + l->header_timeout_ms)
			h2_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "header_timeout");
		else
			conn_tick_by(c, h->head_open_ms + l->header_timeout_ms);
	}
	if (h->drain_ms) {
		if (now_ms >= h->drain_ms)
			goaway_final(c);
		else
			conn_tick_by(c, h->drain_ms);
	}
	tick_ping(c, now_ms);
}
