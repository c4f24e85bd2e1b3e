/* The HTTP/1.1 engine: what goes in, what comes out, to the byte. */
#include "../../lib/test.h"
#include "base/buf.h"
#include "http/http.h"

#define DATE "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" /* without a loop the clock stands */

static struct {
	struct http_io *io;
	struct http_service svc;
	struct http_budget *budget;
	struct http_conn *conn;
	struct http_req *last;
	bool hold_answer, stream, consume;
	const struct http_front *front;
	unsigned requests, ends, closes[3];
	size_t body_bytes;
	struct buf out;
	char paths[256];
} t;

static void on_request(struct http_req *r)
{
	t.requests++;
	t.last = r;
	snprintf(t.paths + strlen(t.paths), sizeof(t.paths) - strlen(t.paths), "%.*s %.*s;", SLICE_ARG(r->method),
		 SLICE_ARG(r->path));
	if (t.front) {
		struct http_header h[HTTP_FRONT_HEADERS + 1];
		size_t count;

		if (http_front_check(t.front, r, h, &count) == HTTP_FRONT_PASSED) {
			h[count++] = HTTP_HEADER("content-length", "0");
			http_respond_end(r, 200, h, count);
		}
		return;
	}
	if (slice_eq(r->path, SLICE_LIT("/up"))) {
		http_upgrade(
		    r, (struct http_header[]){HTTP_HEADER("upgrade", "echo"), HTTP_HEADER("connection", "Upgrade")}, 2);
		return;
	}
	if (t.stream)
		http_respond(r, 200, NULL, 0);
	else if (!t.hold_answer)
		http_reply_text(r, 200, "text/plain", SLICE_LIT("hello"));
}

static void on_body(struct http_req *r, struct slice data)
{
	t.body_bytes += data.size;
	if (slice_eq(r->path, SLICE_LIT("/up")))
		http_send(r, &data, 1);
	if (t.consume)
		http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
	t.ends++;
	if (slice_eq(r->path, SLICE_LIT("/up")))
		http_end(r, NULL, 0);
}

static void on_close(struct http_req *r, enum http_close why)
{
	t.closes[why]++;
	if (t.last == r)
		t.last = NULL;
}

static const struct http_handler handler = {on_request, on_body, on_body_end, NULL, NULL, on_close};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return &handler;
}

static const struct net_peer peer = {"test"};

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.io = http_io_new(NULL, NULL);
	http_io_set_now(t.io, 1000);
	t.budget = http_budget_new(16 << 20);
	http_limits_default(&t.svc.limits);
	t.svc.http1 = t.svc.http2 = true;
	t.svc.route = route;
	t.svc.budget = t.budget;
	t.consume = true;
	buf_init(&t.out, 64 << 20);
	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	http_conn_free(t.conn);
	http_io_free(t.io);
	http_budget_free(t.budget);
	buf_fini(&t.out);
	assert_int_equal(t.requests, t.closes[0] + t.closes[1] + t.closes[2]);
	return 0;
}

static const char *output(void)
{
	uint8_t *buf = mem_alloc(HTTP_OUTPUT_MIN);
	size_t n;

	buf_clear(&t.out);
	while ((n = http_conn_output(t.conn, buf, HTTP_OUTPUT_MIN)) > 0)
		buf_put(&t.out, buf, n);
	mem_free(buf);
	buf_put_byte(&t.out, '\0');
	return (const char *)t.out.data;
}

static void restart(void)
{
	http_conn_free(t.conn);
	t.conn = http_conn_new(t.io, &t.svc, &peer, NULL, NULL);
}

static const char *say(const char *text)
{
	http_conn_input(t.conn, slice_str(text));
	return output();
}

#define OK_BODY(connection)                                                                                            \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" DATE "Content-Length: 5\r\n" connection "\r\nhello"
#define REFUSED(status)                                                                                                \
	"HTTP/1.1 " status "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" status

static const struct {
	const char *name, *in, *want;
	bool ended;
} cases[] = {
    {"get", "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n", OK_BODY(""), false},
    {"close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", OK_BODY("Connection: close\r\n"), true},
    {"http/1.0", "GET / HTTP/1.0\r\n\r\n", OK_BODY("Connection: close\r\n"), true},
    {"http/1.0 keep", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK_BODY("Connection: keep-alive\r\n"), false},
    {"head", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" DATE "Content-Length: 5\r\n\r\n", false},
    {"two at once", "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", OK_BODY("") OK_BODY(""),
     false},
    {"body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", OK_BODY(""), false},
    {"chunks",
     "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: "
     "h\r\n\r\n",
     OK_BODY("") OK_BODY(""), false},
    {"absolute form", "GET http://h/p HTTP/1.1\r\nHost: h\r\n\r\n", OK_BODY(""), false},
    {"upgrade nobody takes", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", OK_BODY(""),
     false},
    {"upgrade nobody takes, with a body",
     "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabcGET / "
     "HTTP/1.1\r\nHost: h\r\n\r\n",
     OK_BODY("") OK_BODY(""), false},
    {"connect", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", OK_BODY("") OK_BODY(""),
     false},
    {"no host", "GET / HTTP/1.1\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"no host name", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"address as host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", OK_BODY(""), false},
    {"blank in a name", "GET / HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"blank behind a name", "GET / HTTP/1.1\r\nHost: h\r\nA : c\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"0.9", "GET /\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", REFUSED("505 HTTP Version Not Supported"), true},
    {"expects what nobody knows", "GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", REFUSED("417 Expectation Failed"), true},
    {"garbage", "\x16\x03\x01 hello", REFUSED("400 Bad Request"), true},
    {"smuggling", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     REFUSED("400 Bad Request"), true},
    {"two codings", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", REFUSED("501 Not Implemented"), true},
    {"chunked twice", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     REFUSED("501 Not Implemented"), true},
    {"bad length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", REFUSED("400 Bad Request"), true},
    {"garbage behind an answer", "GET / HTTP/1.1\r\nHost: h\r\n\r\n\x01\x02", OK_BODY("") REFUSED("400 Bad Request"),
     true},
    {"preface cut short", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", REFUSED("400 Bad Request"), true},
};

static void cases_to_the_byte(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		restart();
		if (strcmp(say(cases[i].in), cases[i].want) != 0)
			fail_msg("%s: got %s", cases[i].name, (char *)t.out.data);
		if (http_conn_ended(t.conn) != cases[i].ended)
			fail_msg("%s: ended", cases[i].name);
	}
}

/* However the bytes are cut, the answers are the same. */
static void cases_byte_by_byte(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf all;

		restart();
		buf_init(&all, 1 << 16);
		for (const char *p = cases[i].in; *p; p++) {
			http_conn_input(t.conn, slice_of(p, 1));
			output();
			buf_put(&all, t.out.data, t.out.size - 1);
		}
		buf_put_byte(&all, '\0');
		if (strcmp((char *)all.data, cases[i].want) != 0)
			fail_msg("%s: got %s", cases[i].name, (char *)all.data);
		buf_fini(&all);
	}
}

static void an_open_answer_goes_out_in_chunks(void **state)
{
	struct http_header trailer[] = {HTTP_HEADER("x-end", "1")};

	t.stream = true;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
			    "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n");
	http_send(t.last, (struct slice[]){SLICE_LIT("one"), SLICE_LIT(" two")}, 2);
	assert_string_equal(output(), "7\r\none two\r\n");
	http_send(t.last, (struct slice[]){SLICE_LIT("a line\nand "), SLICE_LIT("another\n\nan open one")}, 2);
	assert_string_equal(output(), "7\r\na line\n\r\n" "c\r\nand another\n\r\n" "1\r\n\n\r\n" "b\r\nan open one\r\n");
	http_send(t.last, (struct slice[]){SLICE_LIT("0123456789abcdef")}, 1);
	http_end(t.last, trailer, 1);
	assert_string_equal(output(), "10\r\n0123456789abcdef\r\n0\r\nX-End: 1\r\n\r\n");
	assert_false(http_conn_ended(t.conn));
}

static void an_answer_in_chunks_has_them_however_short(void **state)
{
	struct http_header chunked = HTTP_HEADER("transfer-encoding", "chunked");

	t.hold_answer = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_respond(t.last, 200, &chunked, 1);
	http_send(t.last, (struct slice[]){SLICE_LIT("one\n")}, 1);
	http_end(t.last, NULL, 0);
	assert_string_equal(output(), "HTTP/1.1 200 OK\r\n" DATE "Transfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n0\r\n\r\n");
	say("GET / HTTP/1.0\r\n\r\n");
	http_respond(t.last, 200, &chunked, 1);
	http_end(t.last, NULL, 0);
	assert_string_equal(output(), "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\n");
}

static void a_line_longer_than_one_output_is_one_chunk(void **state)
{
	size_t size = 3 * HTTP_OUTPUT_MIN;
	uint8_t *line = mem_alloc(size + 1);
	char head[16];
	const char *got;

	memset(line, 'x', size);
	line[size - 1] = '\n';
	line[size] = 'y';
	t.stream = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_send(t.last, (struct slice[]){slice_of(line, size + 1)}, 1);
	snprintf(head, sizeof(head), "%zx\r\n", size);
	got = output();
	assert_memory_equal(got, head, strlen(head));
	assert_memory_equal(got + strlen(head), line, size);
	assert_string_equal(got + strlen(head) + size, "\r\n1\r\ny\r\n");
	http_end(t.last, NULL, 0);
	assert_string_equal(output(), "0\r\n\r\n");
	mem_free(line);
}

static void an_open_answer_to_http10_ends_with_the_connection(void **state)
{
	t.stream = true;
	assert_string_equal(say("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\n" DATE "Connection: close\r\n\r\n");
	http_send(t.last, (struct slice[]){SLICE_LIT("one")}, 1);
	http_end(t.last, NULL, 0);
	assert_string_equal(output(), "one");
	assert_true(http_conn_ended(t.conn));
}

static void expect_is_answered_before_the_body(void **state)
{
	t.hold_answer = true;
	assert_string_equal(say("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
			    "HTTP/1.1 100 Continue\r\n\r\n");
	say("ab");
	assert_int_equal(t.ends, 1);
	http_reply_text(t.last, 200, "text/plain", SLICE_LIT("hello"));
	assert_string_equal(output(), OK_BODY(""));
}

static void a_path_with_scheme_and_host(void **state)
{
	say("GET http://h/1 HTTP/1.1\r\nHost: h\r\n\r\nGET https://h/2 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(t.paths, "GET /1;GET /2;");
}

static void a_second_request_waits_for_the_first_answer(void **state)
{
	t.hold_answer = true;
	say("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(t.requests, 1);
	assert_true(http_conn_read_paused(t.conn));
	http_reply_text(t.last, 200, "text/plain", SLICE_LIT("hello"));
	assert_string_equal(output(), OK_BODY(""));
	assert_int_equal(t.requests, 2);
	assert_string_equal(t.paths, "GET /1;GET /2;");
	http_reply_text(t.last, 200, "text/plain", SLICE_LIT("hello"));
	assert_string_equal(output(), OK_BODY(""));
}

static void body_not_consumed_pauses_reading(void **state)
{
	char *body = calloc(1, 70000);

	t.consume = false;
	t.hold_answer = true;
	say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	assert_false(http_conn_read_paused(t.conn));
	http_conn_input(t.conn, slice_of(body, 70000));
	assert_true(http_conn_read_paused(t.conn));
	http_consumed(t.last, 70000);
	assert_false(http_conn_read_paused(t.conn));
	free(body);
}

/* The answer came before the body: a moderate rest is thrown away, a large one ends the connection. */
static void the_rest_of_an_answered_body_is_thrown_away(void **state)
{
	char *body = calloc(1, 300000);

	say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
	http_conn_input(t.conn, slice_of(body, 100000));
	assert_string_equal(say("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"), OK_BODY(""));
	assert_int_equal(t.body_bytes, 0);
	say("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n");
	assert_false(http_conn_input(t.conn, slice_of(body, 300000)));
	assert_true(http_conn_ended(t.conn));
	free(body);
}

static void heads_are_bounded(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_printf(&b, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
	memset(buf_add(&b, 66000), 'x', 66000);
	buf_printf(&b, "\r\n\r\n");
	http_conn_input(t.conn, buf_slice(&b));
	assert_string_equal(output(), REFUSED("431 Request Header Fields Too Large"));
	assert_true(http_conn_ended(t.conn));
	restart();
	buf_clear(&b);
	buf_printf(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 300; i++)
		buf_printf(&b, "X: y\r\n");
	buf_printf(&b, "\r\n");
	http_conn_input(t.conn, buf_slice(&b));
	assert_string_equal(output(), REFUSED("431 Request Header Fields Too Large"));
	buf_fini(&b);
	assert_int_equal(t.requests, 0);
}

static void many_headers_survive_growth(void **state)
{
	struct buf b;
	struct slice v;
	char name[16], value[64];

	t.hold_answer = true;
	buf_init(&b, 1 << 20);
	buf_printf(&b, "GET /path HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < 200; i++)
		buf_printf(&b, "X-%d: value of header number %d\r\n", i, i);
	buf_printf(&b, "\r\n");
	http_conn_input(t.conn, buf_slice(&b));
	buf_fini(&b);
	assert_int_equal(t.last->header_count, 201);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "x-%d", i);
		snprintf(value, sizeof(value), "value of header number %d", i);
		assert_true(http_header_get(t.last, slice_str(name), &v));
		assert_true(slice_eq(v, slice_str(value)));
	}
	assert_true(slice_eq(t.last->path, SLICE_LIT("/path")) && slice_eq(t.last->authority, SLICE_LIT("h")));
}

static void header_values_cannot_split_the_answer(void **state)
{
	struct http_header h[] = {{SLICE_LIT("location"), SLICE_LIT("/a\r\nSet-Cookie: b"), false},
				  HTTP_HEADER("content-length", "0")};

	t.hold_answer = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_respond_end(t.last, 302, h, 2);
	assert_string_equal(output(),
			    "HTTP/1.1 302 Found\r\nLocation: /a  Set-Cookie: b\r\nContent-Length: 0\r\n" DATE "\r\n");
}

static void upgraded_bytes_go_both_ways(void **state)
{
	assert_string_equal(say("GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst"),
			    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst");
	assert_string_equal(say("second"), "second");
	http_conn_eof(t.conn);
	output();
	assert_int_equal(t.ends, 1);
	assert_true(http_conn_ended(t.conn));
}

static void a_client_that_leaves_is_told(void **state)
{
	t.hold_answer = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_conn_eof(t.conn);
	assert_int_equal(t.closes[HTTP_LOST], 1);
	assert_true(http_conn_ended(t.conn));
}

static void slow_heads_time_out(void **state)
{
	say("GET / HTTP/1.1\r\nHost:");
	http_io_set_now(t.io, 1000 + 29000);
	http_conn_tick(t.conn);
	assert_false(http_conn_ended(t.conn));
	say("x"); /* a byte now and then does not help */
	http_io_set_now(t.io, 1000 + 30001);
	http_conn_tick(t.conn);
	assert_true(http_conn_ended(t.conn));
}

static void drain_closes_idle_and_lets_the_rest_finish(void **state)
{
	t.hold_answer = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_conn_drain(t.conn);
	assert_false(http_conn_ended(t.conn));
	http_reply_text(t.last, 200, "text/plain", SLICE_LIT("hello"));
	assert_string_equal(output(), OK_BODY("Connection: close\r\n"));
	assert_true(http_conn_ended(t.conn));
	t.hold_answer = false;
	restart();
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_conn_drain(t.conn);
	assert_true(http_conn_ended(t.conn));
}

static void a_reset_in_a_handler_closes(void **state)
{
	t.hold_answer = true;
	say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	http_reset(t.last, 8);
	assert_int_equal(t.closes[HTTP_RESET], 1);
	assert_true(http_conn_ended(t.conn));
}

#define CORS(origin)                                                                                                   \
	"Access-Control-Allow-Methods: POST, GET, OPTIONS, PUT, DELETE\r\nAccess-Control-Allow-Origin: " origin        \
	"\r\nAccess-Control-Allow-Headers: accept, content-type, authorization\r\n"
#define EMPTY(headers) "HTTP/1.1 200 OK\r\n" headers "Content-Length: 0\r\n" DATE "\r\n"

static void origins_as_etcd_allows_them(void **state)
{
	static const struct slice any[] = {SLICE_LIT("*")}, one[] = {SLICE_LIT("http://a")};
	struct http_front all = {NULL, 0, any, 1}, list = {NULL, 0, one, 1}, none = {0};

	t.front = &all;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), EMPTY(CORS("*")));
	assert_string_equal(say("OPTIONS /any HTTP/1.1\r\nHost: h\r\n\r\n"), EMPTY(CORS("*")));
	t.front = &list;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n\r\n"), EMPTY(CORS("http://a")));
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://b\r\n\r\n"), EMPTY(""));
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), EMPTY(""));
	t.front = &none;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n\r\n"), EMPTY(""));
}

/* CVE-2018-5702: also loopback names are not let through on their own. */
static void hosts_outside_the_whitelist_are_refused(void **state)
{
	static const struct slice hosts[] = {SLICE_LIT("good"), SLICE_LIT("::1")};
	struct http_front f = {hosts, 2, NULL, 0};

	t.front = &f;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: good:2379\r\n\r\n"), EMPTY(""));
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: [::1]:2379\r\n\r\n"), EMPTY(""));
	assert_non_null(
	    strstr(say("GET / HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n\r\n"), "HTTP/1.1 421 Misdirected Request\r\n"));
	assert_non_null(strstr((char *)t.out.data,
			       "\r\n\r\n\netcd received your request, but the Host header was unrecognized.\n"));
	assert_non_null(strstr((char *)t.out.data, "  - e.g. etcd --host-whitelist \"127.0.0.1\"\n\nThis"));
	assert_non_null(strstr(say("OPTIONS / HTTP/1.1\r\nHost: bad\r\n\r\n"), "HTTP/1.1 421"));
	f.hosts_count = 0;
	assert_string_equal(say("GET / HTTP/1.1\r\nHost: bad\r\n\r\n"), EMPTY(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(cases_to_the_byte),
	    T(cases_byte_by_byte),
	    T(an_open_answer_goes_out_in_chunks),
	    T(a_line_longer_than_one_output_is_one_chunk),
	    T(an_answer_in_chunks_has_them_however_short),
	    T(an_open_answer_to_http10_ends_with_the_connection),
	    T(expect_is_answered_before_the_body),
	    T(a_path_with_scheme_and_host),
	    T(a_second_request_waits_for_the_first_answer),
	    T(body_not_consumed_pauses_reading),
	    T(the_rest_of_an_answered_body_is_thrown_away),
	    T(heads_are_bounded),
	    T(many_headers_survive_growth),
	    T(header_values_cannot_split_the_answer),
	    T(upgraded_bytes_go_both_ways),
	    T(a_client_that_leaves_is_told),
	    T(slow_heads_time_out),
	    T(drain_closes_idle_and_lets_the_rest_finish),
	    T(a_reset_in_a_handler_closes),
	    T(origins_as_etcd_allows_them),
	    T(hosts_outside_the_whitelist_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
