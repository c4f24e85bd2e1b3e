/* The client against a server that answers as a test wants: which endpoint, which attempt, which status. What
 * upstream's client does in these cases is in its retry.go and retry_interceptor.go (v3.7.1). */
#include <nghttp2/nghttp2.h>

#include "client/client_impl.h"
#include "fake_server.h"
#include "pb/wire.h"
#include "tests/lib/test.h"

struct world {
	uv_loop_t loop;
	struct fake_server *server;
	struct client *client;
	unsigned asked;
	unsigned logins;
	int64_t watch_from[4];
	fake_on_message *script;
	char last_token[64], last_timeout[16];
};

static void dispatch(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;

	snprintf(w->last_token, sizeof(w->last_token), "%s", r->token);
	snprintf(w->last_timeout, sizeof(w->last_timeout), "%s", r->timeout);
	w->script(self, r, body);
}

static void begin_with(struct world *w, fake_on_message *script, const char *const *endpoints, size_t count,
		       struct client_opts o)
{
	const char *list[4];
	struct why why;

	memset(w, 0, sizeof(*w));
	w->script = script;
	uv_loop_init(&w->loop);
	w->server = fake_server_new(&w->loop, dispatch, w);
	for (size_t i = 0; i < count; i++)
		list[i] = endpoints[i];
	list[count] = fake_server_address(w->server);
	o.endpoints = list;
	o.endpoint_count = count + 1;
	assert_ok(client_new(&w->loop, &o, &why, &w->client));
}

static void begin(struct world *w, fake_on_message *script)
{
	begin_with(w, script, NULL, 0, (struct client_opts){0});
}

static void end(struct world *w)
{
	client_free(w->client);
	fake_server_free(w->server);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

/* One call with an empty body; the answer's bytes must be "hi" if it is good. */
static enum grpc_status call(struct world *w, enum rpc rpc, uint64_t timeout_ms, struct client_status *s)
{
	struct client_call_opts o = {.timeout_ms = timeout_ms};
	struct buf answer;
	bool ok;

	buf_init(&answer, 1 << 20);
	ok = client_unary(w->client, rpc, SLICE_LIT("req"), &o, &answer, s);
	if (ok)
		assert_true(slice_eq(buf_slice(&answer), SLICE_LIT("hi")));
	buf_fini(&answer);
	return s->code;
}

/* --- answers --- */

static void say_hi(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;

	w->asked++;
	assert_true(slice_eq(body, SLICE_LIT("req")));
	fake_send(r, SLICE_LIT("hi"));
	fake_end(r, 0, "");
}

static void unavailable_twice(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;

	if (++w->asked <= 2)
		fake_end(r, GRPC_UNAVAILABLE, "etcdserver: leader changed");
	else
		fake_send(r, SLICE_LIT("hi")), fake_end(r, 0, "");
}

static void refused_once(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;

	if (!w->asked++)
		fake_reset(r, NGHTTP2_REFUSED_STREAM);
	else
		fake_send(r, SLICE_LIT("hi")), fake_end(r, 0, "");
}

static void drop_it(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;

	w->asked++;
	fake_drop(r);
}

static void never(void *self, struct fake_request *r, struct slice body)
{
}

static void cancelled(void *self, struct fake_request *r, struct slice body)
{
	fake_reset(r, NGHTTP2_CANCEL);
}

/* A little before the client's own clock says so. */
static void cancelled_at_50_ms(void *self, struct fake_request *r, struct slice body)
{
	for (uint64_t end = uv_hrtime() + 49200 * 1000ull; uv_hrtime() < end;)
		;
	fake_reset(r, NGHTTP2_CANCEL);
}

static void not_found(void *self, struct fake_request *r, struct slice body)
{
	fake_end(r, GRPC_NOT_FOUND, "etcdserver: requested lease not found");
}

static void odd_text(void *self, struct fake_request *r, struct slice body)
{
	fake_end(r, GRPC_UNKNOWN, "a%20b%25%0Ac");
}

static void two_answers(void *self, struct fake_request *r, struct slice body)
{
	fake_send(r, SLICE_LIT("hi"));
	fake_send(r, SLICE_LIT("hi"));
	fake_end(r, 0, "");
}

static void no_answer(void *self, struct fake_request *r, struct slice body)
{
	fake_end(r, 0, "");
}

static void big_answer(void *self, struct fake_request *r, struct slice body)
{
	static uint8_t zeros[5000];

	fake_send(r, slice_of(zeros, sizeof(zeros)));
	fake_end(r, 0, "");
}

/* Takes only the second token it has given out. */
static void picky(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;
	struct buf b;

	if (!strcmp(r->path, "/etcdserverpb.Auth/Authenticate")) {
		buf_init(&b, 64);
		pb_put_bytes(&b, 2, ++w->logins == 1 ? SLICE_LIT("first") : SLICE_LIT("second"));
		fake_send(r, buf_slice(&b));
		fake_end(r, 0, "");
		buf_fini(&b);
	} else if (strcmp(r->token, "second")) {
		fake_end(r, GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token");
	} else {
		fake_send(r, SLICE_LIT("hi"));
		fake_end(r, 0, "");
	}
}

/* --- unary calls --- */

static void test_unary(void **state)
{
	struct world w;
	struct client_status s;

	begin(&w, say_hi);
	assert_int_equal(call(&w, RPC_PUT, 0, &s), GRPC_OK);
	assert_string_equal(w.last_timeout, "");
	assert_int_equal(call(&w, RPC_PUT, 5000, &s), GRPC_OK);
	assert_true(w.last_timeout[0] && strchr(w.last_timeout, 'm'));
	assert_int_equal(fake_server_conns(w.server), 1);
	assert_int_equal(w.asked, 2);
	end(&w);
}

static void test_a_dead_endpoint_is_passed_over(void **state)
{
	const char *dead[] = {"127.0.0.1:1"};
	struct world w;
	struct client_status s;

	begin_with(&w, say_hi, dead, 1, (struct client_opts){0});
	for (int i = 0; i < 4; i++)
		assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_string_equal(client_trouble(w.client), "dial tcp 127.0.0.1:1: connect: connection refused");
	end(&w);
}

static void test_reads_are_repeated_and_writes_are_not(void **state)
{
	struct world w;
	struct client_status s;
	char text[CLIENT_ERROR_SIZE];

	begin(&w, unavailable_twice);
	assert_int_equal(call(&w, RPC_RANGE, 3000, &s), GRPC_OK);
	assert_int_equal(w.asked, 3);
	w.asked = 0;
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_UNAVAILABLE);
	assert_int_equal(w.asked, 1);
	assert_string_equal(client_error(text, &s), "etcdserver: leader changed");
	end(&w);
}

static void test_a_refused_stream_was_never_looked_at(void **state)
{
	struct world w;
	struct client_status s;

	begin(&w, refused_once);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(w.asked, 2);
	end(&w);
}

static void test_a_write_on_a_lost_connection_fails(void **state)
{
	struct world w;
	struct client_status s;
	char text[CLIENT_ERROR_SIZE];

	begin(&w, drop_it);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_UNAVAILABLE);
	assert_int_equal(w.asked, 1);
	assert_string_equal(client_error(text, &s),
			    "rpc error: code = Unavailable desc = error reading from server: EOF");
	w.script = say_hi; /* and the next one gets a new connection */
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(fake_server_conns(w.server), 2);
	end(&w);
}

static void test_deadlines(void **state)
{
	struct world w;
	struct client_status s;
	char text[CLIENT_ERROR_SIZE];

	begin(&w, never);
	assert_int_equal(call(&w, RPC_RANGE, 50, &s), GRPC_DEADLINE_EXCEEDED);
	assert_string_equal(client_error(text, &s), "context deadline exceeded");
	w.script = say_hi;
	assert_int_equal(call(&w, RPC_RANGE, 3000, &s), GRPC_OK);
	/* the server's clock may be the faster one */
	w.script = cancelled_at_50_ms;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(call(&w, RPC_PUT, 50, &s), GRPC_DEADLINE_EXCEEDED);
		assert_string_equal(client_error(text, &s), "context deadline exceeded");
	}
	w.script = cancelled;
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_CANCELLED);
	end(&w);
}

static void test_statuses(void **state)
{
	struct world w;
	struct client_status s;
	char text[CLIENT_ERROR_SIZE];

	begin(&w, not_found);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_NOT_FOUND);
	assert_string_equal(client_error(text, &s), "etcdserver: requested lease not found");
	assert_int_equal(client_error_row(&s), ERR_LEASE_NOT_FOUND);
	w.script = odd_text;
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_UNKNOWN);
	assert_string_equal(client_error(text, &s), "rpc error: code = Unknown desc = a b%\nc");
	w.script = two_answers;
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_INTERNAL);
	w.script = no_answer;
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_INTERNAL);
	w.script = say_hi; /* the connection is none the worse */
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(fake_server_conns(w.server), 1);
	end(&w);
}

static void test_limits(void **state)
{
	static uint8_t large[1001];
	struct world w;
	struct client_status s;
	struct buf answer;
	char text[CLIENT_ERROR_SIZE];

	begin_with(&w, big_answer, NULL, 0, (struct client_opts){.send_bytes_max = 1000, .recv_bytes_max = 4999});
	assert_int_equal(call(&w, RPC_RANGE, 3000, &s), GRPC_RESOURCE_EXHAUSTED);
	assert_string_equal(
	    client_error(text, &s),
	    "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5000 vs. 4999)");
	buf_init(&answer, 1 << 20);
	assert_false(client_unary(w.client, RPC_PUT, slice_of(large, sizeof(large)), NULL, &answer, &s));
	assert_string_equal(
	    client_error(text, &s),
	    "rpc error: code = ResourceExhausted desc = trying to send message larger than max (1001 vs. 1000)");
	buf_fini(&answer);
	end(&w);
}

static void test_a_token_is_fetched_again(void **state)
{
	struct world w;
	struct client_status s;

	begin_with(&w, picky, NULL, 0, (struct client_opts){.user = "u", .password = "p"});
	assert_true(client_login(w.client, 3000, &s));
	assert_int_equal(w.logins, 1);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(w.logins, 2);
	assert_string_equal(w.last_token, "second");
	end(&w);
	begin_with(&w, picky, NULL, 0, (struct client_opts){.token = "given"});
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_UNAUTHENTICATED);
	assert_int_equal(w.logins, 0);
	end(&w);
}

static void test_a_call_has_its_own_token(void **state)
{
	struct client_call_opts o = {.timeout_ms = 3000, .token = SLICE_LIT("second")};
	struct client_status s;
	struct buf answer;
	struct world w;

	begin_with(&w, picky, NULL, 0, (struct client_opts){.token = "the client's"});
	buf_init(&answer, 1 << 20);
	assert_true(client_unary(w.client, RPC_PUT, SLICE_LIT("req"), &o, &answer, &s));
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_UNAUTHENTICATED);
	buf_fini(&answer);
	end(&w);
}

static void test_endpoints_that_change(void **state)
{
	struct client_status s;
	struct world w;
	char same[64];
	const char *list[2] = {"127.0.0.1:1", same};

	begin(&w, say_hi);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	snprintf(same, sizeof(same), "http://%s", client_endpoint(w.client, 0));
	client_set_endpoints(w.client, list, 2);
	assert_int_equal(client_endpoint_count(w.client), 2);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(fake_server_conns(w.server), 1); /* the same place: the same connection */
	client_set_endpoints(w.client, list, 1);
	assert_int_equal(call(&w, RPC_PUT, 300, &s), GRPC_DEADLINE_EXCEEDED);
	client_set_endpoints(w.client, list, 2);
	assert_int_equal(call(&w, RPC_PUT, 3000, &s), GRPC_OK);
	assert_int_equal(fake_server_conns(w.server), 2);
	end(&w);
}

/* --- streams --- */

enum { MANY = 1000, PART = 5000 };

static void many(void *self, struct fake_request *r, struct slice body)
{
	static uint8_t part[PART];

	for (uint32_t i = 0; i < MANY; i++) {
		memcpy(part, &i, sizeof(i));
		fake_send(r, slice_of(part, PART));
	}
	fake_end(r, 0, "");
}

static void test_a_stream_comes_whole_and_in_order(void **state)
{
	struct world w;
	struct client_stream *stream;
	struct client_status s;
	struct buf message;
	uint32_t next = 0;

	begin(&w, many);
	buf_init(&message, 1 << 20);
	stream = client_open(w.client, RPC_SNAPSHOT, (struct slice){NULL, 0}, NULL);
	while (client_recv(stream, 0, &message, &s) == CLIENT_MESSAGE) {
		assert_int_equal(message.size, PART);
		assert_memory_equal(message.data, &next, sizeof(next));
		next++;
	}
	assert_int_equal(s.code, GRPC_OK);
	assert_int_equal(next, MANY);
	client_stream_close(stream);
	buf_fini(&message);
	end(&w);
}

static void test_recv_may_wait_for_a_while_only(void **state)
{
	struct world w;
	struct client_stream *stream;
	struct client_status s;
	struct buf message;

	begin(&w, never);
	buf_init(&message, 1 << 20);
	stream = client_open(w.client, RPC_SNAPSHOT, (struct slice){NULL, 0}, NULL);
	assert_int_equal(client_recv(stream, 30, &message, &s), CLIENT_TIMEOUT);
	client_interrupt(w.client, true);
	assert_int_equal(client_recv(stream, 0, &message, &s), CLIENT_INTERRUPTED);
	client_interrupt(w.client, false);
	client_stream_close(stream);
	buf_fini(&message);
	end(&w);
}

/* --- watches --- */

static void put_event(struct buf *b, int64_t revision)
{
	size_t header, event, kv;

	header = pb_begin(b, 1);
	pb_put_uint(b, 3, (uint64_t)revision);
	pb_end(b, header);
	event = pb_begin(b, 11);
	kv = pb_begin(b, 2);
	pb_put_bytes(b, 1, SLICE_LIT("k"));
	pb_put_uint(b, 3, (uint64_t)revision);
	pb_end(b, kv);
	pb_end(b, event);
}

/* Each watch sees one event, 3 revisions on, and then loses its connection; the third is cancelled as compacted. */
static void unsteady(void *self, struct fake_request *r, struct slice body)
{
	struct world *w = self;
	struct pb_reader all = pb_reader_of(body), create;
	struct pb_field f, g;
	struct buf b;
	int64_t from = 0;

	while (pb_next(&all, &f)) {
		create = pb_reader_of(f.bytes);
		while (pb_next(&create, &g)) {
			if (g.number == 3)
				from = (int64_t)g.value;
		}
	}
	w->watch_from[w->asked++] = from;
	buf_init(&b, 1 << 20);
	pb_put_uint(&b, 3, 1); /* created */
	fake_send(r, buf_slice(&b));
	buf_clear(&b);
	if (w->asked < 3) {
		put_event(&b, from + 3);
		fake_send(r, buf_slice(&b));
		fake_end(r, GRPC_UNAVAILABLE, "etcdserver: server stopped");
	} else {
		pb_put_uint(&b, 4, 1);
		pb_put_uint(&b, 5, 99);
		fake_send(r, buf_slice(&b));
	}
	buf_fini(&b);
}

struct seen {
	unsigned responses;
	bool ended;
	struct client_status status;
};

static void on_response(struct client_watch *watch, void *user, struct slice body)
{
	((struct seen *)user)->responses++;
}

static void on_watch_end(struct client_watch *watch, void *user, const struct client_status *s)
{
	struct seen *seen = user;

	seen->ended = true;
	seen->status = *s;
}

static void test_a_watch_goes_on_where_it_was(void **state)
{
	static const struct client_watch_events events = {on_response, on_watch_end};
	struct client_watch_opts o = {.key = SLICE_LIT("k"), .start_revision = 10};
	struct seen seen = {0};
	struct client_watch *watch;
	struct world w;

	begin(&w, unsteady);
	watch = client_watch_open(w.client, &o, &events, &seen);
	assert_true(client_wait(w.client, &seen.ended, uv_now(&w.loop) + 5000));
	assert_int_equal(w.watch_from[0], 10);
	assert_int_equal(w.watch_from[1], 14);
	assert_int_equal(w.watch_from[2], 18);
	assert_int_equal(seen.responses, 3);
	assert_string_equal(seen.status.text, "etcdserver: mvcc: required revision has been compacted");
	client_watch_close(watch);
	end(&w);
}

/* --- endpoints --- */

static void test_endpoints(void **state)
{
	static const struct {
		const char *in, *host, *port, *authority, *server_name;
		bool is_unix, is_tls, default_tls;
	} cases[] = {
	    {"127.0.0.1:2379", "127.0.0.1", "2379", "127.0.0.1:2379", "127.0.0.1", false, false, false},
	    {"127.0.0.1:2379", "127.0.0.1", "2379", "127.0.0.1:2379", "127.0.0.1", false, true, true},
	    {"http://a.b:1", "a.b", "1", "a.b:1", "a.b", false, false, true},
	    {"https://a.b:1/x", "a.b", "1", "a.b:1", "a.b", false, true, false},
	    {"[::1]:2379", "::1", "2379", "[::1]:2379", "::1", false, false, false},
	    {"host", "host", "443", "host", "host", false, false, false},
	    {"unix:///run/e.sock", "/run/e.sock", NULL, "localhost", "e.sock", true, false, false},
	    {"unix://e.sock", "e.sock", NULL, "localhost", "e.sock", true, true, true},
	    {"unixs:///run/e.sock", "/run/e.sock", NULL, "localhost", "e.sock", true, true, false},
	    {"unix:e.sock", "e.sock", NULL, "localhost", "e.sock", true, false, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct client_tls tls = {.on = cases[i].default_tls};
		struct endpoint e;

		endpoint_parse(&e, cases[i].in, &tls);
		print_message("%s\n", cases[i].in);
		assert_string_equal(e.host, cases[i].host);
		if (cases[i].port)
			assert_string_equal(e.port, cases[i].port);
		else
			assert_null(e.port);
		assert_string_equal(e.authority, cases[i].authority);
		assert_string_equal(e.server_name, cases[i].server_name);
		assert_int_equal(e.is_unix, cases[i].is_unix);
		assert_int_equal(e.is_tls, cases[i].is_tls);
		endpoint_fini(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unary),
	    cmocka_unit_test(test_a_dead_endpoint_is_passed_over),
	    cmocka_unit_test(test_reads_are_repeated_and_writes_are_not),
	    cmocka_unit_test(test_a_refused_stream_was_never_looked_at),
	    cmocka_unit_test(test_a_write_on_a_lost_connection_fails),
	    cmocka_unit_test(test_deadlines),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_a_token_is_fetched_again),
		cmocka_unit_test(test_a_call_has_its_own_token),
		cmocka_unit_test(test_endpoints_that_change),
	    cmocka_unit_test(test_a_stream_comes_whole_and_in_order),
	    cmocka_unit_test(test_recv_may_wait_for_a_while_only),
	    cmocka_unit_test(test_a_watch_goes_on_where_it_was),
	    cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
