/* The HTTP/2 engine, bytes against nghttp2's client. */
#include "h2_client.h"

/* --- a handler whose conduct the test sets, and which counts what it is told --- */

static struct {
	struct http_io *io;
	struct http_service svc;
	struct http_budget *budget;
	struct http_conn *conn;
	struct h2_client k;
	struct http_req *last;
	bool answer_at_once, consume;
	size_t reserve; /* on_request asks for it */
	bool reserve_granted;
	unsigned requests, ends, writables, reserveds, closes[3];
	size_t body_bytes;
} t;

static void on_request(struct http_req *r)
{
	t.requests++;
	t.last = r;
	if (t.reserve)
		t.reserve_granted = http_reserve(r, t.reserve);
	if (t.answer_at_once)
		http_reply_text(r, 200, "text/plain", SLICE_LIT("hello"));
}

static void on_body(struct http_req *r, struct slice data)
{
	t.body_bytes += data.size;
	if (t.consume)
		http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
	t.ends++;
}

static void on_writable(struct http_req *r)
{
	t.writables++;
}

static void on_reserved(struct http_req *r)
{
	t.reserveds++;
}

static void on_close(struct http_req *r, enum http_close why)
{
	t.closes[why]++;
	if (t.last == r)
		t.last = NULL;
}

static const struct http_handler handler = {on_request, on_body, on_body_end, on_writable, on_reserved, on_close};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return &handler;
}

static const char zeros[1 << 20];

static const struct net_peer peer = {"test"};

static void start(void)
{
	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	h2_client_init(&t.k, t.conn, true);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.io = http_io_new(NULL, NULL);
	http_io_set_now(t.io, 1000000);
	t.budget = http_budget_new(16 << 20);
	http_limits_default(&t.svc.limits);
	t.svc.http1 = t.svc.http2 = true;
	t.svc.route = route;
	t.svc.budget = t.budget;
	t.consume = true;
	return 0;
}

/* Whatever the test did, every byte of the budget must come back (checked in http_budget_free). */
static int teardown(void **state)
{
	http_conn_free(t.conn);
	h2_client_fini(&t.k);
	http_io_free(t.io);
	http_budget_free(t.budget);
	assert_int_equal(t.requests, t.closes[0] + t.closes[1] + t.closes[2]);
	return 0;
}

static void pass_ms(uint64_t ms)
{
	http_io_set_now(t.io, http_io_now_ms(t.io) + ms);
	http_conn_tick(t.conn);
}

/* --- plain answers --- */

static void request_and_answer(void **state)
{
	struct h2_stream *s;
	int32_t id;

	start();
	id = h2_client_post(&t.k, "/a?b=c", (const char *[]){"x-thing", "1", NULL}, SLICE_LIT("body"), true);
	h2_client_push(&t.k);
	assert_non_null(t.last);
	assert_true(slice_eq(t.last->method, SLICE_LIT("POST")));
	assert_true(slice_eq(t.last->path, SLICE_LIT("/a?b=c")));
	assert_true(slice_eq(t.last->authority, SLICE_LIT("test")));
	struct slice v;
	assert_true(http_header_get(t.last, SLICE_LIT("x-thing"), &v) && slice_eq(v, SLICE_LIT("1")));
	assert_true(t.last->body_ended);
	assert_int_equal(t.body_bytes, 4);
	struct http_header h[] = {HTTP_HEADER("x-answer", "yes")}, tr[] = {HTTP_HEADER("x-trailer", "end")};
	http_respond(t.last, 201, h, 1);
	http_send(t.last, (struct slice[]){SLICE_LIT("ab"), SLICE_LIT("cd")}, 2);
	http_end(t.last, tr, 1);
	assert_true(h2_client_turn(&t.k));
	s = h2_client_stream(&t.k, id);
	assert_string_equal(s->status, "201");
	assert_true(
	    slice_eq(buf_slice(&s->headers), SLICE_LIT(":status: 201\nx-answer: yes\n--\nx-trailer: end\n--\n")));
	assert_true(slice_eq(buf_slice(&s->body), SLICE_LIT("abcd")));
	assert_true(s->closed && s->error == 0);
	assert_int_equal(t.closes[HTTP_DONE], 1);
}

static void many_headers_survive_growth(void **state)
{
	char names[50][8], values[50][160];
	const char *extra[2 * 50 + 1] = {NULL};
	char path[2000]; /* beyond the inline part, so that it moves twice */
	struct slice v;

	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	start();
	for (int i = 0; i < 50; i++) {
		snprintf(names[i], sizeof(names[i]), "x-%d", i);
		memset(values[i], 'a' + i % 26, 150);
		values[i][150] = '\0';
		extra[2 * i] = names[i];
		extra[2 * i + 1] = values[i];
	}
	h2_client_post(&t.k, path, extra, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	assert_int_equal(t.last->header_count, 52);
	assert_true(slice_eq(t.last->path, slice_str(path)));
	assert_true(slice_eq(t.last->authority, SLICE_LIT("test")));
	for (int i = 0; i < 50; i++) {
		assert_true(http_header_get(t.last, slice_str(names[i]), &v));
		assert_true(slice_eq(v, slice_str(values[i])));
	}
}

/* An answer complete before the request is: the client is told to stop with NO_ERROR, as grpc-go does. */
static void early_answer_stops_the_client(void **state)
{
	int32_t id;

	t.answer_at_once = true;
	start();
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("part"), false);
	h2_client_turn(&t.k);
	assert_true(h2_client_stream(&t.k, id)->closed);
	assert_int_equal(h2_client_stream(&t.k, id)->error, NGHTTP2_NO_ERROR);
	assert_int_equal(t.closes[HTTP_DONE], 1);
}

static void cancel_is_told(void **state)
{
	int32_t id;

	start();
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	nghttp2_submit_rst_stream(t.k.session, 0, id, NGHTTP2_CANCEL);
	h2_client_turn(&t.k);
	assert_int_equal(t.closes[HTTP_RESET], 1);
	assert_null(t.last);
}

static void lost_connection_closes_requests(void **state)
{
	start();
	h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), false);
	h2_client_turn(&t.k);
	http_conn_eof(t.conn);
	assert_true(http_conn_ended(t.conn));
	http_conn_free(t.conn);
	t.conn = NULL;
	assert_int_equal(t.closes[HTTP_LOST], 1);
}

/* --- receiving: windows --- */

static void bytes_not_consumed_keep_the_window_shut(void **state)
{
	int32_t id;

	t.consume = false;
	start();
	id = h2_client_post(&t.k, "/", NULL, slice_of(zeros, 200000), true);
	h2_client_turn(&t.k);
	assert_int_equal(t.body_bytes, 65535);
	http_consumed(t.last, 65535);
	h2_client_turn(&t.k);
	assert_int_equal(t.body_bytes, 2 * 65535);
	t.consume = true;
	http_consumed(t.last, 65535);
	h2_client_turn(&t.k);
	assert_int_equal(t.body_bytes, 200000);
	assert_int_equal(t.ends, 1);
	assert_false(h2_client_stream(&t.k, id)->closed);
}

static void a_reservation_opens_the_window_for_the_message(void **state)
{
	t.consume = false;
	t.reserve = 300000;
	start();
	h2_client_post(&t.k, "/", NULL, slice_of(zeros, 300000), true);
	h2_client_turn(&t.k);
	assert_true(t.reserve_granted);
	assert_int_equal(t.body_bytes, 300000); /* without one byte consumed */
}

static void reservations_wait_for_the_budget_in_order(void **state)
{
	struct http_req *first;

	t.reserve = 12 << 20;
	start();
	h2_client_post(&t.k, "/1", NULL, SLICE_LIT("x"), false);
	h2_client_turn(&t.k);
	assert_true(t.reserve_granted);
	first = t.last;
	h2_client_post(&t.k, "/2", NULL, SLICE_LIT("x"), false);
	h2_client_turn(&t.k);
	assert_false(t.reserve_granted);
	assert_int_equal(t.reserveds, 0);
	http_reset(first, NGHTTP2_CANCEL);
	pass_ms(10);
	assert_int_equal(t.reserveds, 1);
}

/* Streams that do not consume: the one that takes more than half of the connection's window is reset; others go on. */
static void hoarders_do_not_shut_the_connection(void **state)
{
	int32_t ids[20], last;
	int reset = 0;

	t.consume = false;
	start();
	for (int i = 0; i < 20; i++)
		ids[i] = h2_client_post(&t.k, "/", NULL, slice_of(zeros, 60000), false);
	h2_client_turn(&t.k);
	for (int i = 0; i < 20; i++)
		reset += h2_client_stream(&t.k, ids[i])->closed &&
			 h2_client_stream(&t.k, ids[i])->error == NGHTTP2_ENHANCE_YOUR_CALM;
	assert_true(reset >= 11 && reset < 20); /* 9 * 60000 > 512 KiB */
	t.consume = true;
	t.body_bytes = 0;
	last = h2_client_post(&t.k, "/", NULL, slice_of(zeros, 60000), true);
	h2_client_turn(&t.k);
	assert_int_equal(t.body_bytes, 60000);
	assert_false(h2_client_stream(&t.k, last)->closed);
}

/* --- sending: bounds --- */

static void unsent_output_is_bounded_and_writable_comes_back(void **state)
{
	struct slice part = slice_of(zeros, 16384);
	int32_t id;
	int sent = 0;

	start();
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	http_respond(t.last, 200, NULL, 0);
	while (http_writable(t.last)) {
		http_send(t.last, &part, 1);
		sent++;
	}
	assert_int_equal(sent, 16); /* 256 KiB */
	assert_int_equal(t.writables, 0);
	h2_client_turn(&t.k);
	assert_int_equal(t.writables, 1);
	assert_true(http_writable(t.last));
	http_send_blob(t.last, blob_copy(slice_of(zeros, 100100)), 100);
	http_end(t.last, NULL, 0);
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->body.size, 16 * 16384 + 100000);
	assert_true(h2_client_stream(&t.k, id)->closed);
}

static void a_client_that_opens_no_window_gets_no_more(void **state)
{
	struct slice part = slice_of(zeros, 200000);
	int32_t id;

	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	h2_client_init(&t.k, t.conn, false);
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	http_respond(t.last, 200, NULL, 0);
	http_send(t.last, &part, 1);
	http_end(t.last, NULL, 0);
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->body.size, 65535);
	nghttp2_session_consume(t.k.session, id, 65535);
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->body.size, 2 * 65535);
}

/* Who opens streams and does not read the answers is refused new ones at four times the connection's bound, once more than a
 * few are open. */
static void a_client_that_does_not_read_gets_no_new_streams(void **state)
{
	struct slice big = slice_of(zeros, sizeof(zeros));
	int32_t id = 0;

	t.svc.limits.unread_streams_max = 6;
	start();
	h2_client_turn(&t.k);
	t.k.hold = true;
	for (int i = 0; i < 7; i++) {
		t.last = NULL;
		id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
		h2_client_push(&t.k);
		if (!t.last)
			break;
		http_respond(t.last, 200, NULL, 0);
		http_send(t.last, &big, 1);
		http_end(t.last, NULL, 0);
	}
	assert_int_equal(t.requests, 6); /* the fifth was let in at exactly 4 MiB, the sixth as one of few */
	t.k.hold = false;
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->error, NGHTTP2_REFUSED_STREAM);
}

/* --- limits and floods --- */

static void header_lists_are_bounded(void **state)
{
	char big[30000];
	int32_t id, few;

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	t.svc.limits.header_bytes_max = 50000;
	start();
	few = h2_client_post(&t.k, "/", (const char *[]){"x-one", big, NULL}, SLICE_LIT("x"), true);
	id = h2_client_post(&t.k, "/", (const char *[]){"x-one", big, "x-two", big, NULL}, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	assert_false(h2_client_stream(&t.k, few)->closed);
	assert_true(h2_client_stream(&t.k, id)->closed);
	assert_int_equal(h2_client_stream(&t.k, id)->error, NGHTTP2_FRAME_SIZE_ERROR);
	assert_int_equal(t.requests, 1);
}

static void header_counts_are_bounded(void **state)
{
	nghttp2_nv nv[300];
	int32_t id;

	start();
	for (int i = 0; i < 300; i++)
		nv[i] = (nghttp2_nv){(uint8_t *)"x", (uint8_t *)"y", 1, 1, 0};
	nv[0] = (nghttp2_nv){(uint8_t *)":method", (uint8_t *)"GET", 7, 3, 0};
	nv[1] = (nghttp2_nv){(uint8_t *)":path", (uint8_t *)"/", 5, 1, 0};
	nv[2] = (nghttp2_nv){(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0};
	id = h2_client_request(&t.k, nv, 300, (struct slice){0}, true);
	h2_client_turn(&t.k);
	assert_true(h2_client_stream(&t.k, id)->closed);
	assert_int_equal(t.requests, 0);
}

static void streams_above_the_maximum_are_refused(void **state)
{
	int32_t id;

	t.svc.limits.streams_max = 3;
	start();
	for (int i = 0; i < 3; i++)
		h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_push(&t.k); /* before the client has read our settings it may still try */
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	assert_int_equal(t.requests, 3);
	assert_int_equal(h2_client_stream(&t.k, id)->closed ? h2_client_stream(&t.k, id)->error
							    : NGHTTP2_REFUSED_STREAM,
			 NGHTTP2_REFUSED_STREAM);
	http_reset(t.last, NGHTTP2_CANCEL);
}

static void an_empty_budget_refuses_streams(void **state)
{
	int32_t id;

	t.svc.budget = http_budget_new(17 * 1024);
	start();
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->error, NGHTTP2_REFUSED_STREAM);
	http_conn_free(t.conn);
	t.conn = NULL;
	http_io_free(t.io);
	t.io = NULL;
	http_budget_free(t.svc.budget);
}

static void rapid_resets_end_the_connection(void **state)
{
	int i;

	t.svc.limits.resets_burst = 50;
	start();
	for (i = 0; i < 100; i++) {
		int32_t id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);

		h2_client_push(&t.k);
		nghttp2_submit_rst_stream(t.k.session, 0, id, NGHTTP2_CANCEL);
		if (!h2_client_turn(&t.k))
			break;
	}
	assert_int_equal(i, 50);
	assert_int_equal(t.k.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Watches that are cancelled were answered before: no attack. */
static void resets_of_answered_requests_are_free(void **state)
{
	t.svc.limits.resets_burst = 50;
	start();
	for (int i = 0; i < 100; i++) {
		int32_t id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);

		h2_client_push(&t.k);
		http_respond(t.last, 200, NULL, 0);
		h2_client_turn(&t.k);
		nghttp2_submit_rst_stream(t.k.session, 0, id, NGHTTP2_CANCEL);
		assert_true(h2_client_turn(&t.k));
	}
	assert_int_equal(t.closes[HTTP_RESET], 100);
}

static void settings_floods_end_the_connection(void **state)
{
	int i;

	t.svc.limits.controls_burst = 50;
	start();
	h2_client_turn(&t.k);
	for (i = 0; i < 100; i++) {
		nghttp2_submit_settings(t.k.session, 0, NULL, 0);
		if (!h2_client_turn(&t.k))
			break;
	}
	assert_true(i < 50);
	assert_int_equal(t.k.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Frames made by hand: what a client library would never send. */
static void raw_preface(void)
{
	static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};

	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	h2_client_init(&t.k, t.conn, true);
	assert_true(http_conn_input(t.conn, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
	assert_true(http_conn_input(t.conn, slice_of(settings, sizeof(settings))));
}

static void drain_output(void)
{
	uint8_t *buf = mem_alloc(HTTP_OUTPUT_MIN);

	while (http_conn_output(t.conn, buf, HTTP_OUTPUT_MIN))
		;
	mem_free(buf);
}

/* HEADERS without END_HEADERS, then CONTINUATION without end (CVE-2023-45288, CVE-2024-28182). */
static void endless_continuation_ends_the_connection(void **state)
{
	static const uint8_t headers[] = {0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82};
	static const uint8_t more[] = {0, 0, 1, 9, 0, 0, 0, 0, 1, 0x86};
	int i;

	raw_preface();
	assert_true(http_conn_input(t.conn, slice_of(headers, sizeof(headers))));
	for (i = 0; i < 100 && http_conn_input(t.conn, slice_of(more, sizeof(more))); i++)
		;
	assert_true(i < 16);
	drain_output();
	assert_true(http_conn_ended(t.conn));
}

/* A header block that never ends is cut after the header timeout. */
static void slow_headers_time_out(void **state)
{
	static const uint8_t headers[] = {0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82};

	raw_preface();
	http_conn_input(t.conn, slice_of(headers, sizeof(headers)));
	pass_ms(29000);
	drain_output();
	assert_false(http_conn_ended(t.conn));
	pass_ms(2000);
	drain_output();
	assert_true(http_conn_ended(t.conn));
}

/* RFC 9113 5.1 and 5.1.1: a header block for a stream that is over, or one that was passed over, and 6.3: PRIORITY of no stream. */
static void frames_of_no_stream_end_the_connection(void **state)
{
	static const uint8_t request[] = {0, 0, 6, 1, 5, 0, 0, 0, 5, 0x82, 0x86, 0x84, 0x41, 1, 'a'};
	static const struct {
		const char *name;
		uint8_t frame[16];
		size_t size;
		bool ends;
	} cases[] = {
	    {"headers after the end", {0, 0, 6, 1, 5, 0, 0, 0, 5, 0x82, 0x86, 0x84, 0x41, 1, 'a'}, 15, true},
	    {"headers of an earlier stream", {0, 0, 6, 1, 5, 0, 0, 0, 3, 0x82, 0x86, 0x84, 0x41, 1, 'a'}, 15, true},
	    {"headers of the next stream", {0, 0, 6, 1, 5, 0, 0, 0, 7, 0x82, 0x86, 0x84, 0x41, 1, 'a'}, 15, false},
	    {"priority of no stream", {0, 0, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 15}, 14, true},
	    {"priority of the ended stream", {0, 0, 5, 2, 0, 0, 0, 0, 5, 0, 0, 0, 1, 15}, 14, false},
	};

	t.answer_at_once = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		raw_preface();
		assert_true(http_conn_input(t.conn, slice_of(request, sizeof(request))));
		drain_output();
		assert_false(http_conn_ended(t.conn));
		http_conn_input(t.conn, slice_of(cases[i].frame, cases[i].size));
		drain_output();
		if (http_conn_ended(t.conn) != cases[i].ends)
			fail_msg("%s", cases[i].name);
		if (i + 1 < sizeof(cases) / sizeof(cases[0])) {
			http_conn_free(t.conn);
			h2_client_fini(&t.k);
		}
	}
}

static void silence_before_the_preface_times_out(void **state)
{
	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	h2_client_init(&t.k, t.conn, true);
	http_conn_input(t.conn, SLICE_LIT("PRI * HTT"));
	pass_ms(30001);
	assert_true(http_conn_ended(t.conn));
}

/* --- pings --- */

static bool ping(void)
{
	nghttp2_submit_ping(t.k.session, 0, NULL);
	return h2_client_turn(&t.k);
}

/* grpc-go: two strikes are forgiven, the third ends it. */
static void too_many_pings(void **state)
{
	start();
	h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	assert_true(h2_client_turn(&t.k));
	assert_true(ping());
	for (int i = 0; i < 2; i++) {
		pass_ms(4000);
		assert_true(ping());
	}
	assert_int_equal(t.k.ping_acks, 3);
	pass_ms(4000);
	assert_false(ping());
	assert_true(t.k.goaway);
	assert_int_equal(t.k.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_string_equal(t.k.goaway_debug, "too_many_pings");
}

static void slow_pings_with_a_stream_are_welcome(void **state)
{
	start();
	h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	for (int i = 0; i < 20; i++) {
		assert_true(ping());
		pass_ms(5000);
	}
}

static void without_a_stream_pings_must_be_two_hours_apart(void **state)
{
	start();
	h2_client_turn(&t.k);
	for (int i = 0; i < 3; i++) {
		assert_true(ping());
		pass_ms(60000);
	}
	assert_false(ping());
	assert_string_equal(t.k.goaway_debug, "too_many_pings");
}

static void what_we_send_forgives_pings(void **state)
{
	start();
	h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	http_respond(t.last, 200, NULL, 0);
	for (int i = 0; i < 30; i++) {
		http_send(t.last, (struct slice[]){SLICE_LIT("event")}, 1);
		h2_client_turn(&t.k);
		assert_true(ping());
	}
}

static void the_server_pings_after_silence_and_gives_up(void **state)
{
	t.svc.limits.ping_interval_ms = 10000;
	t.svc.limits.ping_timeout_ms = 2000;
	start();
	h2_client_turn(&t.k);
	pass_ms(9000);
	h2_client_turn(&t.k);
	assert_int_equal(t.k.pings, 0);
	pass_ms(1000);
	h2_client_turn(&t.k);
	assert_int_equal(t.k.pings, 1); /* and answered */
	pass_ms(3000);
	assert_false(http_conn_ended(t.conn));
	pass_ms(8000);
	t.k.hold = true; /* the second one is not */
	pass_ms(2001);
	assert_true(http_conn_ended(t.conn));
}

/* --- shutdown --- */

static void drain_lets_requests_finish(void **state)
{
	int32_t id;

	start();
	id = h2_client_post(&t.k, "/", NULL, SLICE_LIT("x"), true);
	h2_client_turn(&t.k);
	http_conn_drain(t.conn);
	assert_true(h2_client_turn(&t.k));
	assert_true(t.k.goaway);
	assert_int_equal(t.k.goaway_code, NGHTTP2_NO_ERROR);
	assert_int_equal(t.k.goaway_last, id);
	http_reply_text(t.last, 200, "text/plain", SLICE_LIT("done"));
	assert_false(h2_client_turn(&t.k));
	assert_true(h2_client_stream(&t.k, id)->closed);
	assert_string_equal(h2_client_stream(&t.k, id)->status, "200");
}

static void drain_ends_an_idle_connection(void **state)
{
	start();
	h2_client_turn(&t.k);
	http_conn_drain(t.conn);
	assert_false(h2_client_turn(&t.k));
	assert_true(t.k.goaway);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(request_and_answer),
	    T(many_headers_survive_growth),
	    T(early_answer_stops_the_client),
	    T(cancel_is_told),
	    T(lost_connection_closes_requests),
	    T(bytes_not_consumed_keep_the_window_shut),
	    T(a_reservation_opens_the_window_for_the_message),
	    T(reservations_wait_for_the_budget_in_order),
	    T(hoarders_do_not_shut_the_connection),
	    T(unsent_output_is_bounded_and_writable_comes_back),
	    T(a_client_that_opens_no_window_gets_no_more),
	    T(a_client_that_does_not_read_gets_no_new_streams),
	    T(header_lists_are_bounded),
	    T(header_counts_are_bounded),
	    T(streams_above_the_maximum_are_refused),
	    T(an_empty_budget_refuses_streams),
	    T(rapid_resets_end_the_connection),
	    T(resets_of_answered_requests_are_free),
	    T(settings_floods_end_the_connection),
	    T(endless_continuation_ends_the_connection),
	    T(slow_headers_time_out),
	    T(frames_of_no_stream_end_the_connection),
	    T(silence_before_the_preface_times_out),
	    T(too_many_pings),
	    T(slow_pings_with_a_stream_are_welcome),
	    T(without_a_stream_pings_must_be_two_hours_apart),
	    T(what_we_send_forgives_pings),
	    T(the_server_pings_after_silence_and_gives_up),
	    T(drain_lets_requests_finish),
	    T(drain_ends_an_idle_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
