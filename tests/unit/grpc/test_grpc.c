/* gRPC over the HTTP/2 engine, in memory. Codes and texts are those of grpc-go v1.82 (server.go, rpc_util.go,
 * internal/transport/http2_server.go). */
#include "base/endian.h"
#include "grpc/grpc.h"
#include "h2_client.h"

/* --- pieces --- */

static void timeouts(void **state)
{
	static const struct {
		const char *in;
		bool good;
		uint64_t ms;
	} cases[] = {
	    {"1H", true, 3600000}, {"2M", true, 120000}, {"3S", true, 3000},
	    {"4m", true, 4},       {"5u", true, 1},      {"1001u", true, 2},
	    {"1n", true, 1},       {"0m", true, 0},      {"99999999H", true, 359999996400000},
	    {"", false, 0},        {"1", false, 0},      {"S", false, 0},
	    {"1s", false, 0},      {"-1S", false, 0},    {"123456789S", false, 0},
	    {"1 S", false, 0},     {"1.5S", false, 0},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t ms = 0;

		if (grpc_timeout_parse(slice_str(cases[i].in), &ms) != cases[i].good || ms != cases[i].ms)
			fail_msg("%s: %lu", cases[i].in, (unsigned long)ms);
	}
}

static void percent_encoding(void **state)
{
	static const struct {
		struct slice in;
		const char *out;
	} cases[] = {
	    {SLICE_LIT("plain text ~"), "plain text ~"},
	    {SLICE_LIT("100%"), "100%25"},
	    {SLICE_LIT("a\nb"), "a%0Ab"},
	    {SLICE_LIT("\xc3\xa9"), "%C3%A9"},
	    {SLICE_LIT("\xf0\x9f\x98\x80!"), "%F0%9F%98%80!"},
	    {SLICE_LIT("x\xff"), "x%EF%BF%BD"},
	    {SLICE_LIT("\xe2\x82"), "%EF%BF%BD%EF%BF%BD"},
	};
	uint8_t out[128];

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		size_t n = grpc_message_encode(cases[i].in, out);

		assert_true(slice_eq(slice_of(out, n), slice_str(cases[i].out)));
	}
}

static void binary_metadata(void **state)
{
	static const struct {
		const char *in;
		bool good;
		struct slice out;
	} cases[] = {
	    {"AAH/", true, SLICE_LIT("\0\x01\xff")},
	    {"AAE=", true, SLICE_LIT("\0\x01")},
	    {"AAE", true, SLICE_LIT("\0\x01")},
	    {"AA==", true, SLICE_LIT("\0")},
	    {"AA", true, SLICE_LIT("\0")},
	    {"", true, SLICE_LIT("")},
	    {"A", false, {0}},
	    {"A*==", false, {0}},
	    {"AA=A", false, {0}},
	    {"====", false, {0}},
	};
	uint8_t out[16];
	size_t n;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(grpc_bin_decode(slice_str(cases[i].in), out, &n), cases[i].good);
		if (cases[i].good)
			assert_true(slice_eq(slice_of(out, n), cases[i].out));
	}
}

static void inflating_is_bounded(void **state)
{
	size_t size = 4 << 20;
	uint8_t *zeros = mem_zalloc(size);
	struct blob *packed = grpc_gzip((struct slice[]){slice_of(zeros, 1000), slice_of(zeros, size - 1000)}, 2),
		    *out = NULL;

	assert_true(packed->size < 40000);
	assert_err(ERR_TOO_LARGE, grpc_gunzip(blob_slice(packed), size - 1, &out));
	assert_ok(grpc_gunzip(blob_slice(packed), size, &out));
	assert_int_equal(out->size, size);
	blob_unref(out);
	out = NULL;
	assert_err(ERR_CORRUPT_TAIL, grpc_gunzip(slice_of(packed->data, packed->size - 1), size, &out));
	assert_err(ERR_MALFORMED, grpc_gunzip(SLICE_LIT("not gzip at all"), size, &out));
	assert_err(ERR_CORRUPT_TAIL, grpc_gunzip((struct slice){0}, size, &out));
	assert_null(out);
	blob_unref(packed);
	mem_free(zeros);
}

/* --- a server with one method of each kind --- */

#define MESSAGE_MAX 100000

static struct {
	struct http_io *io;
	struct http_service svc;
	struct http_budget *budget;
	struct http_conn *conn;
	struct grpc_server *server;
	struct grpc_io *gio;
	struct h2_client k;
	struct grpc_stream *last;
	bool echo;
	unsigned starts, messages, half_closes, cancels, writables;
	struct buf got; /* bytes of all messages */
	/* statistics */
	unsigned started, handled, codes[17];
	size_t received, sent;
} t;

static void on_start(struct grpc_stream *s)
{
	t.starts++;
	t.last = s;
}

static void on_message(struct grpc_stream *s, struct blob *take_body)
{
	struct slice body = blob_slice(take_body);

	t.messages++;
	t.last = s;
	buf_put_slice(&t.got, body);
	if (t.echo)
		grpc_send(s, &body, 1);
	if (t.echo && !(s->method->flags & GRPC_CLIENT_STREAM)) {
		t.last = NULL;
		grpc_finish(s, GRPC_OK, (struct slice){0});
	}
	blob_unref(take_body);
}

static void on_half_close(struct grpc_stream *s)
{
	t.half_closes++;
}

static void on_writable(struct grpc_stream *s)
{
	t.writables++;
}

static void on_cancel(struct grpc_stream *s)
{
	t.cancels++;
	t.last = NULL;
}

static const struct grpc_handler handler = {on_start, on_message, on_half_close, on_writable, on_cancel};

static const struct grpc_method methods[] = {
    {"test.S", "Unary", 0, &handler},
    {"test.S", "Out", GRPC_SERVER_STREAM, &handler},
    {"test.S", "Bidi", GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM, &handler},
};

static void started(void *arg, const struct grpc_method *m)
{
	t.started++;
}

static void received(void *arg, const struct grpc_method *m, size_t size)
{
	t.received += size;
}

static void sent(void *arg, const struct grpc_method *m, size_t messages, size_t bytes)
{
	t.sent += bytes;
}

static void handled(void *arg, const struct grpc_method *m, enum grpc_status status, uint64_t ns)
{
	t.handled++;
	t.codes[status]++;
}

static const struct net_peer peer = {"test"};
static const struct grpc_stats stats = {started, received, sent, handled, NULL};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return grpc_accept(t.gio, r);
}

static int setup(void **state)
{
	static const struct grpc_opts opts = {methods, ARRAY_COUNT(methods), MESSAGE_MAX, &stats};

	memset(&t, 0, sizeof(t));
	t.io = http_io_new(NULL, NULL);
	http_io_set_now(t.io, 1000);
	t.budget = http_budget_new(16 << 20);
	http_limits_default(&t.svc.limits);
	t.svc.http2 = true;
	t.svc.route = route;
	t.svc.budget = t.budget;
	t.server = grpc_server_new(&opts);
	t.gio = grpc_io_new(t.server, t.io, NULL, NULL);
	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	buf_init(&t.got, 64 << 20);
	h2_client_init(&t.k, t.conn, true);
	t.echo = true;
	return 0;
}

static int teardown(void **state)
{
	http_conn_free(t.conn);
	h2_client_fini(&t.k);
	grpc_io_free(t.gio);
	grpc_server_free(t.server);
	http_io_free(t.io);
	http_budget_free(t.budget);
	buf_fini(&t.got);
	assert_int_equal(t.started, t.handled);
	return 0;
}

static struct slice message(uint8_t flag, struct slice body)
{
	static uint8_t buf[1 << 20];

	buf[0] = flag;
	be32_put(buf + 1, (uint32_t)body.size);
	if (body.size)
		memcpy(buf + 5, body.data, body.size);
	return slice_of(buf, 5 + body.size);
}

static int32_t call(const char *method, const char *const *extra, struct slice bytes, bool end)
{
	char path[64];
	int32_t id;

	snprintf(path, sizeof(path), "/test.S/%s", method);
	id = h2_client_post(&t.k, path, extra, bytes, end);
	h2_client_turn(&t.k);
	return id;
}

static void expect_headers(int32_t id, const char *want)
{
	struct buf *b = &h2_client_stream(&t.k, id)->headers;

	if (!slice_eq(buf_slice(b), slice_str(want)))
		fail_msg("want %s got %.*s", want, (int)b->size, (char *)b->data);
}

#define TRAILERS_ONLY(code, text)                                                                                      \
	":status: 200\ncontent-type: application/grpc\ngrpc-status: " code "\ngrpc-message: " text "\n--\n"

/* --- calls --- */

static void unary(void **state)
{
	int32_t id = call("Unary", NULL, message(0, SLICE_LIT("hello")), true);

	expect_headers(id, ":status: 200\ncontent-type: application/grpc\n--\ngrpc-status: 0\ngrpc-message: \n--\n");
	assert_true(slice_eq(buf_slice(&h2_client_stream(&t.k, id)->body), SLICE_LIT("\0\0\0\0\5hello")));
	assert_true(h2_client_stream(&t.k, id)->closed);
	assert_int_equal(t.starts, 1);
	assert_int_equal(t.half_closes + t.cancels, 0);
	assert_int_equal(t.received, 5);
	assert_int_equal(t.sent, 5);
	assert_int_equal(t.codes[GRPC_OK], 1);
}

static void the_content_subtype_is_kept(void **state)
{
	int32_t id = call("Unary", (const char *[]){"content-type", "application/grpc+proto", NULL},
			  message(0, SLICE_LIT("")), true);

	expect_headers(id,
		       ":status: 200\ncontent-type: application/grpc+proto\n--\ngrpc-status: 0\ngrpc-message: \n--\n");
}

static void messages_in_any_pieces(void **state)
{
	uint8_t body[3000], *all;
	struct slice m;
	int32_t id;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 13);
	m = message(0, slice_of(body, sizeof(body)));
	all = mem_alloc(2 * m.size);
	memcpy(all, m.data, m.size);
	memcpy(all + m.size, m.data, m.size);
	for (size_t step = 1; step < 4000; step = step * 3 + 1) {
		t.messages = 0;
		buf_clear(&t.got);
		id = call("Bidi", NULL, (struct slice){0}, false);
		for (size_t at = 0; at < 2 * m.size; at += step) {
			h2_client_send(&t.k, id, slice_of(all + at, MIN(step, 2 * m.size - at)), false);
			if (step > 40)
				h2_client_turn(&t.k);
			else
				h2_client_push(&t.k);
		}
		h2_client_turn(&t.k);
		assert_int_equal(t.messages, 2);
		assert_memory_equal(t.got.data, body, sizeof(body));
		assert_memory_equal(t.got.data + sizeof(body), body, sizeof(body));
		grpc_finish(t.last, GRPC_OK, (struct slice){0});
		t.last = NULL;
		h2_client_turn(&t.k);
	}
	mem_free(all);
}

static void bidi_half_close_and_status(void **state)
{
	int32_t id = call("Bidi", NULL, message(0, SLICE_LIT("a")), false);

	assert_int_equal(t.messages, 1);
	h2_client_send(&t.k, id, (struct slice){0}, true);
	h2_client_turn(&t.k);
	assert_int_equal(t.half_closes, 1);
	grpc_finish(t.last, GRPC_ABORTED, SLICE_LIT("50% \xc3\xa9"));
	t.last = NULL;
	h2_client_turn(&t.k);
	assert_true(h2_has(&t.k, id, "grpc-status: 10\ngrpc-message: 50%25 %C3%A9\n"));
}

static void a_server_stream_gets_its_message_with_the_half_close(void **state)
{
	int32_t id = call("Out", NULL, message(0, SLICE_LIT("a")), false);

	assert_int_equal(t.messages, 0);
	h2_client_send(&t.k, id, (struct slice){0}, true);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 1);
}

static const struct {
	const char *name, *path, *extra[4];
	struct slice body;
	const char *want;
} refused[] = {
    {"unknown method",
     "/test.S/Nope",
     {NULL},
     SLICE_LIT("\0\0\0\0\0"),
     TRAILERS_ONLY("12", "unknown method Nope for service test.S")},
    {"unknown service", "/foo.Bar/X", {NULL}, SLICE_LIT("\0\0\0\0\0"), TRAILERS_ONLY("12", "unknown service foo.Bar")},
    {"deep path", "/a/b/c", {NULL}, SLICE_LIT("\0\0\0\0\0"), TRAILERS_ONLY("12", "unknown service a/b")},
    {"one slash", "/foo", {NULL}, SLICE_LIT("\0\0\0\0\0"), TRAILERS_ONLY("12", "malformed method name: \"/foo\"")},
    {"too large",
     "/test.S/Unary",
     {NULL},
     SLICE_LIT("\0\0\1\x86\xa1"),
     TRAILERS_ONLY("8", "grpc: received message larger than max (100001 vs. 100000)")},
    {"huge",
     "/test.S/Unary",
     {NULL},
     SLICE_LIT("\0\xff\xff\xff\xff"),
     TRAILERS_ONLY("8", "grpc: received message larger than max (4294967295 vs. 100000)")},
    {"bad flag",
     "/test.S/Unary",
     {NULL},
     SLICE_LIT("\2\0\0\0\0"),
     TRAILERS_ONLY("13", "grpc: received unexpected payload format 2")},
    {"flag without encoding",
     "/test.S/Unary",
     {NULL},
     SLICE_LIT("\1\0\0\0\0"),
     TRAILERS_ONLY("13", "grpc: compressed flag set with identity or empty encoding")},
    {"unknown encoding",
     "/test.S/Unary",
     {"grpc-encoding", "snappy"},
     SLICE_LIT("\0\0\0\0\0"),
     TRAILERS_ONLY("12", "grpc: Decompressor is not installed for grpc-encoding \"snappy\"")},
    {"empty unary", "/test.S/Unary", {NULL}, {0}, TRAILERS_ONLY("2", "EOF")},
    {"cut unary", "/test.S/Unary", {NULL}, SLICE_LIT("\0\0\0\0\5hel"), TRAILERS_ONLY("2", "unexpected EOF")},
    {"cut prefix", "/test.S/Bidi", {NULL}, SLICE_LIT("\0\0"), TRAILERS_ONLY("13", "unexpected EOF")},
    {"empty server stream",
     "/test.S/Out",
     {NULL},
     {0},
     TRAILERS_ONLY("13", "cardinality violation: received no request message from non-client-streaming RPC")},
    {"two for a server stream",
     "/test.S/Out",
     {NULL},
     SLICE_LIT("\0\0\0\0\0\0\0\0\0\0"),
     TRAILERS_ONLY("13", "cardinality violation: received multiple request messages for non-client-streaming RPC")},
    {"timeout unit",
     "/test.S/Unary",
     {"grpc-timeout", "5x"},
     SLICE_LIT("\0\0\0\0\0"),
     ":status: 400\ncontent-type: application/grpc\ngrpc-status: 13\n"
     "grpc-message: malformed grpc-timeout: transport: timeout unit is not recognized: \"5x\"\n--\n"},
    {"timeout gone",
     "/test.S/Unary",
     {"grpc-timeout", "0m"},
     SLICE_LIT("\0\0\0\0\0"),
     TRAILERS_ONLY("4", "context deadline exceeded")},
    {"bad base64",
     "/test.S/Unary",
     {"x-bin", "AB*D"},
     SLICE_LIT("\0\0\0\0\0"),
     ":status: 400\ncontent-type: application/grpc\ngrpc-status: 13\n"
     "grpc-message: malformed binary metadata \"AB*D\" in header \"x-bin\": illegal base64 data at input byte 2\n--\n"},
    {"content type",
     "/test.S/Unary",
     {"content-type", "text/plain"},
     SLICE_LIT("\0\0\0\0\0"),
     ":status: 415\ncontent-type: application/grpc\ngrpc-status: 3\n"
     "grpc-message: invalid gRPC request content-type \"text/plain\"\n--\n"},
    {"content type nearly",
     "/test.S/Unary",
     {"content-type", "application/grpc-web"},
     SLICE_LIT("\0\0\0\0\0"),
     ":status: 415\ncontent-type: application/grpc\ngrpc-status: 3\n"
     "grpc-message: invalid gRPC request content-type \"application/grpc-web\"\n--\n"},
    {"method",
     "/test.S/Unary",
     {":method", "PUT"},
     SLICE_LIT("\0\0\0\0\0"),
     ":status: 405\ncontent-type: application/grpc\ngrpc-status: 13\n"
     "grpc-message: Received a HEADERS frame with :method \"PUT\" which should be POST\n--\n"},
};

static void wrong_calls_in_go_words(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
		int32_t id = h2_client_post(&t.k, refused[i].path, refused[i].extra, refused[i].body, true);
		struct buf *b = &h2_client_stream(&t.k, id)->headers;

		h2_client_turn(&t.k);
		if (!slice_eq(buf_slice(b), slice_str(refused[i].want)))
			fail_msg("%s: %.*s", refused[i].name, (int)b->size, (char *)b->data);
		assert_true(h2_client_stream(&t.k, id)->closed);
		/* Who was told of its start is told of its end. */
		if (t.starts != t.cancels)
			fail_msg("%s: %u starts, %u ends", refused[i].name, t.starts, t.cancels);
	}
	assert_int_equal(t.messages, 0);
	assert_true(t.cancels > 0);
}

/* nghttp2 refuses it before any handler: no interceptor can be skipped (CVE-2026-33186). */
static void a_path_without_slash_is_a_protocol_error(void **state)
{
	int32_t id = h2_client_post(&t.k, "test.S/Unary", NULL, message(0, SLICE_LIT("")), true);

	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->error, NGHTTP2_PROTOCOL_ERROR);
	assert_int_equal(t.starts, 0);
}

static void gzip_both_ways(void **state)
{
	uint8_t plain[5000] = {7};
	struct blob *packed = grpc_gzip(&(struct slice){plain, sizeof(plain)}, 1), *out;
	int32_t id =
	    call("Unary", (const char *[]){"grpc-encoding", "gzip", "grpc-accept-encoding", "identity, gzip", NULL},
		 message(1, blob_slice(packed)), true);
	struct buf *b = &h2_client_stream(&t.k, id)->body;

	assert_int_equal(t.got.size, sizeof(plain));
	assert_memory_equal(t.got.data, plain, sizeof(plain));
	assert_true(h2_has(&t.k, id, "grpc-encoding: gzip\n"));
	assert_int_equal(b->data[0], 1);
	assert_ok(grpc_gunzip(slice_of(b->data + 5, b->size - 5), sizeof(plain), &out));
	assert_memory_equal(out->data, plain, sizeof(plain));
	blob_unref(out);
	id = call("Unary", (const char *[]){"grpc-encoding", "gzip", NULL}, message(1, blob_slice(packed)), true);
	assert_false(h2_has(&t.k, id, "grpc-encoding"));
	id = call("Unary", (const char *[]){"grpc-encoding", "gzip", NULL}, message(1, SLICE_LIT("rubbish")), true);
	expect_headers(id, TRAILERS_ONLY("13", "grpc: failed to decompress the message: unexpected EOF"));
	blob_unref(packed);
}

static void a_gzip_bomb_is_refused(void **state)
{
	uint8_t *zeros = mem_zalloc(MESSAGE_MAX + 1);
	struct blob *packed = grpc_gzip(&(struct slice){zeros, MESSAGE_MAX + 1}, 1);
	int32_t id =
	    call("Unary", (const char *[]){"grpc-encoding", "gzip", NULL}, message(1, blob_slice(packed)), true);

	expect_headers(id, TRAILERS_ONLY("8", "grpc: received message after decompression larger than max 100000"));
	blob_unref(packed);
	mem_free(zeros);
}

static void cancel_is_told_once_and_handles_die(void **state)
{
	uint64_t handle;
	int32_t id;

	id = call("Bidi", NULL, message(0, SLICE_LIT("a")), false);
	handle = grpc_handle(t.last);
	assert_ptr_equal(grpc_find(t.gio, handle), t.last);
	nghttp2_submit_rst_stream(t.k.session, 0, id, NGHTTP2_CANCEL);
	h2_client_turn(&t.k);
	assert_int_equal(t.cancels, 1);
	assert_int_equal(t.codes[GRPC_CANCELLED], 1);
	assert_null(grpc_find(t.gio, handle));
	call("Bidi", NULL, message(0, SLICE_LIT("a")), false); /* takes the same object */
	assert_null(grpc_find(t.gio, handle));
	assert_null(grpc_find(t.gio, 0));
	assert_ptr_equal(grpc_find(t.gio, grpc_handle(t.last)), t.last);
}

static void a_lost_connection_cancels(void **state)
{
	t.echo = false;
	call("Unary", NULL, message(0, SLICE_LIT("a")), true);
	assert_int_equal(t.messages, 1);
	http_conn_free(t.conn);
	t.conn = NULL;
	assert_int_equal(t.cancels, 1);
}

static void metadata(void **state)
{
	struct slice v;

	t.echo = false;
	call("Unary", (const char *[]){"token", "abc", "hasleader", "true", "x", "1", "x", "2", NULL},
	     message(0, SLICE_LIT("")), true);
	assert_true(grpc_metadata(t.last, SLICE_LIT("token"), &v) && slice_eq(v, SLICE_LIT("abc")));
	assert_true(grpc_metadata_at(t.last, SLICE_LIT("x"), 1, &v) && slice_eq(v, SLICE_LIT("2")));
	assert_false(grpc_metadata_at(t.last, SLICE_LIT("x"), 2, &v));
	assert_false(grpc_metadata(t.last, SLICE_LIT("nothing"), &v));
	assert_string_equal(grpc_peer(t.last)->remote, "test");
	assert_true(grpc_deadline_ms(t.last) == UINT64_MAX);
	call("Unary", (const char *[]){"grpc-timeout", "250m", NULL}, message(0, SLICE_LIT("")), true);
	assert_int_equal(grpc_deadline_ms(t.last), 1250);
}

/* --- large messages --- */

static void a_large_answer_in_parts(void **state)
{
	static uint8_t part[50000];
	struct slice p = slice_of(part, sizeof(part));
	uint32_t total = 100 * sizeof(part);
	struct buf *b;
	int32_t id;

	t.echo = false;
	id = call("Unary", NULL, message(0, SLICE_LIT("")), true);
	grpc_send_begin(t.last, total);
	for (int rounds = 0; grpc_send_left(t.last); rounds++) {
		while (grpc_send_left(t.last) && grpc_writable(t.last))
			grpc_send_part(t.last, &p, 1);
		assert_true(grpc_unsent(t.last) <= (256 << 10) + sizeof(part));
		t.writables = 0;
		h2_client_turn(&t.k);
		assert_true(rounds < 30);
		assert_true(t.writables == 1 || !grpc_send_left(t.last));
	}
	grpc_finish(t.last, GRPC_OK, (struct slice){0});
	h2_client_turn(&t.k);
	b = &h2_client_stream(&t.k, id)->body;
	assert_int_equal(b->size, 5 + total);
	assert_int_equal(be32_get(b->data + 1), total);
}

/* Sizes from nothing to what no chunk has room for, mixed with messages sent the other way: all in order. */
static void messages_written_in_place(void **state)
{
	size_t in_place = 0, bytes = 0, n = 0, at = 0;
	struct buf *b;
	int32_t id;

	t.echo = false;
	id = call("Unary", NULL, message(0, SLICE_LIT("")), true);
	for (size_t size = 0; size < 30000; size = size * 5 / 4 + 1, n++) {
		uint8_t *room = n % 7 == 6 ? NULL : grpc_send_room(t.last, size);

		if (room) {
			memset(room, (int)n, size);
			in_place++;
			bytes += size;
		} else {
			struct slice s = slice_of(memset(mem_alloc(size), (int)n, size), size);

			assert_true(n % 7 == 6 || size > 10000);
			grpc_send(t.last, &s, 1);
			mem_free((void *)s.data);
		}
	}
	assert_true(grpc_send_room_done(t.last, in_place, bytes));
	grpc_finish(t.last, GRPC_OK, (struct slice){0});
	h2_client_turn(&t.k);
	b = &h2_client_stream(&t.k, id)->body;
	n = 0;
	for (size_t size = 0; size < 30000; size = size * 5 / 4 + 1, n++) {
		assert_int_equal(be32_get(b->data + at + 1), size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(b->data[at + 5 + i], (uint8_t)n);
		at += 5 + size;
	}
	assert_int_equal(b->size, at);
	assert_int_equal(t.sent, at - 5 * n);
}

static void end_within_a_message(enum grpc_status status, uint32_t reset)
{
	struct slice p = SLICE_LIT("part");
	int32_t id;

	t.echo = false;
	id = call("Unary", NULL, message(0, SLICE_LIT("")), true);
	grpc_send_begin(t.last, 100);
	grpc_send_part(t.last, &p, 1);
	grpc_finish(t.last, status, SLICE_LIT("lost"));
	h2_client_turn(&t.k);
	assert_int_equal(h2_client_stream(&t.k, id)->error, reset);
	assert_int_equal(t.cancels, 0);
}

static void a_fault_within_a_message_resets(void **state)
{
	end_within_a_message(GRPC_INTERNAL, NGHTTP2_INTERNAL_ERROR);
}

/* grpc clients take CANCEL, once their deadline has passed, for that deadline; INTERNAL_ERROR would be told as a fault. */
static void a_deadline_within_a_message_cancels(void **state)
{
	end_within_a_message(GRPC_DEADLINE_EXCEEDED, NGHTTP2_CANCEL);
}

/* Beyond the stream window: needs a reservation; the budget has none for the second, which waits for the first. */
static void large_requests_wait_for_the_budget(void **state)
{
	static uint8_t body[MESSAGE_MAX];
	int32_t one, two;

	t.svc.limits.conn_reserve_bytes_max = 150000;
	one = call("Bidi", NULL, slice_of(message(0, slice_of(body, MESSAGE_MAX)).data, 60000), false);
	two = call("Bidi", NULL, slice_of(message(0, slice_of(body, MESSAGE_MAX)).data, 60000), false);
	assert_int_equal(t.messages, 0);
	h2_client_send(&t.k, two, slice_of(body, MESSAGE_MAX + 5 - 60000), false);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 0); /* its window holds what there is of it */
	h2_client_send(&t.k, one, slice_of(body, MESSAGE_MAX + 5 - 60000), false);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 1);
	http_io_set_now(t.io, 1010);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 2);
}

static void pausing_holds_messages_back(void **state)
{
	int32_t id = call("Bidi", NULL, message(0, SLICE_LIT("a")), false);

	grpc_read_pause(t.last, true);
	for (int i = 0; i < 3; i++)
		h2_client_send(&t.k, id, message(0, SLICE_LIT("b")), i == 2);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 1);
	assert_int_equal(t.half_closes, 0);
	grpc_read_pause(t.last, false);
	assert_int_equal(t.messages, 4);
	assert_int_equal(t.half_closes, 1);
}

/* Answers that the client does not take hold up its next calls, which are not refused, and all are answered in the end. */
static void calls_wait_for_a_client_that_does_not_read(void **state)
{
	static uint8_t body[60000];
	int32_t ids[40];
	unsigned served;

	h2_client_turn(&t.k);
	t.k.hold = true;
	for (int i = 0; i < 40; i++) {
		ids[i] = h2_client_post(&t.k, "/test.S/Unary", NULL, message(0, slice_of(body, sizeof(body) / (i < 30 ? 1 : 100))), true);
		h2_client_push(&t.k);
	}
	served = t.messages;
	assert_in_range(served, 2, 20); /* 1 MiB of answers */
	assert_int_equal(t.starts, 40);
	t.k.hold = false;
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 40);
	for (int i = 0; i < 40; i++)
		assert_int_equal(h2_client_stream(&t.k, ids[i])->body.size, 5 + sizeof(body) / (i < 30 ? 1 : 100));
}

/* A paused stream: the client is stopped by the window, and all comes after resuming. */
static void a_paused_stream_shuts_its_window(void **state)
{
	static uint8_t body[1000];
	int32_t id = call("Bidi", NULL, message(0, SLICE_LIT("a")), false);

	t.echo = false;
	grpc_read_pause(t.last, true);
	for (int i = 0; i < 200; i++)
		h2_client_send(&t.k, id, message(0, slice_of(body, sizeof(body))), false);
	h2_client_turn(&t.k);
	assert_true(h2_client_stream(&t.k, id)->out.size > 130000);
	grpc_read_pause(t.last, false);
	h2_client_turn(&t.k);
	assert_int_equal(t.messages, 201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    cmocka_unit_test(timeouts),
	    cmocka_unit_test(percent_encoding),
	    cmocka_unit_test(binary_metadata),
	    cmocka_unit_test(inflating_is_bounded),
	    T(unary),
	    T(the_content_subtype_is_kept),
	    T(messages_in_any_pieces),
	    T(bidi_half_close_and_status),
	    T(a_server_stream_gets_its_message_with_the_half_close),
	    T(wrong_calls_in_go_words),
	    T(a_path_without_slash_is_a_protocol_error),
	    T(gzip_both_ways),
	    T(a_gzip_bomb_is_refused),
	    T(cancel_is_told_once_and_handles_die),
	    T(a_lost_connection_cancels),
	    T(metadata),
	    T(a_large_answer_in_parts),
	    T(messages_written_in_place),
	    T(a_fault_within_a_message_resets),
	    T(a_deadline_within_a_message_cancels),
	    T(large_requests_wait_for_the_budget),
	    T(pausing_holds_messages_back),
	    T(calls_wait_for_a_client_that_does_not_read),
	    T(a_paused_stream_shuts_its_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
