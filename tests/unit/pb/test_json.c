/* gateway.txt is what the gateway of Go etcd v3.7.1 made of some 200 bodies; see make_gateway_golden.py. */
#include "pb_test.h"
#include "random_message.h"

#include "pb/json.h"
#include "pb/methods.h"

#include "pb/raft_internal.pb-c.h"
#include "pb/rpc.pb-c.h"

static const char *golden_path;

static struct buf buf_new(void)
{
	struct buf b;

	buf_init(&b, 16 << 20);
	return b;
}

/* \xHH -> byte, in place. */
static struct slice unquote(char *s)
{
	char *out = s;

	for (char *p = s; *p; out++) {
		unsigned v;

		if (p[0] == '\\' && sscanf(p, "\\x%2x", &v) == 1) {
			*out = (char)v;
			p += 4;
		} else {
			*out = *p++;
		}
	}
	*out = '\0';
	return slice_of(s, (size_t)(out - s));
}

struct golden {
	struct slice path;
	struct slice body;
	struct slice verdict;
	struct slice answer;
};

typedef void golden_test(const struct golden *g, const struct rpc_method *m);

static void each_golden(golden_test *fn)
{
	FILE *f = fopen(golden_path, "r");
	char *line = NULL;
	size_t room = 0, lines = 0;

	assert_non_null(f);
	for (; getline(&line, &room, f) > 0; lines++) {
		struct golden g;
		char *at = line;
		struct slice *fields[] = {&g.path, &g.body, &g.verdict, &g.answer};

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < 4; i++)
			*fields[i] = unquote(strsep(&at, "\t"));
		fn(&g, rpc_method_find_gateway(g.path));
	}
	assert_true(lines > 200);
	free(line);
	fclose(f);
}

/* A body is refused here if and only if Go's gateway refused it. */
static void same_verdict(const struct golden *g, const struct rpc_method *m)
{
	bool want = !slice_eq(g->verdict, SLICE_LIT("decode"));
	struct buf b = buf_new();
	struct why why = {""};
	err_t err;

	assert_non_null(m);
	err = json_parse(m->request, g->body, &why, &b);
	if ((err == OK) != want)
		fail_msg("%.*s: %s, %s", SLICE_ARG(g->body), want ? "Go takes it" : "Go refuses it", why.text);
	if (!err)
		assert_ok(pb_validate(m->request, buf_slice(&b)));
	else
		assert_true(err == ERR_INVALID && why.text[0] && b.size == 0);
	buf_fini(&b);
}

static void test_verdicts(void **state)
{
	each_golden(same_verdict);
}

/* Go's message, protojson's or encoding/json's; the space behind "proto:" varies by build. */
static void same_message(const struct golden *g, const struct rpc_method *m)
{
	struct buf b = buf_new(), quoted = buf_new();
	struct why why = {""};

	if (slice_eq(g->verdict, SLICE_LIT("decode"))) {
		assert_err(ERR_INVALID, json_parse(m->request, g->body, &why, &b));
		buf_put(&quoted, "{\"code\":3,\"message\":", 20);
		if (!strncmp(why.text, "proto: ", 7)) {
			memmove(why.text + 8, why.text + 7, strlen(why.text + 7) + 1);
			memcpy(why.text + 6, "\xc2\xa0", 2);
		}
		json_emit_string(slice_str(why.text), &quoted);
		buf_put_byte(&quoted, '}');
		if (!slice_eq(buf_slice(&quoted), g->answer))
			fail_msg("%.*s\nwant %.*s", SLICE_ARG(buf_slice(&quoted)), SLICE_ARG(g->answer));
	}
	buf_fini(&quoted);
	buf_fini(&b);
}

static void test_messages(void **state)
{
	each_golden(same_message);
}

/* An answer of Go is parsed and written again: the same text. */
static void same_answer(const struct golden *g, const struct rpc_method *m)
{
	struct buf b = buf_new(), again = buf_new();
	struct arena a;

	arena_init(&a, 16 << 20);
	if (slice_eq(g->verdict, SLICE_LIT("ok"))) {
		assert_ok(json_parse(m->response, g->answer, NULL, &b));
		assert_ok(json_emit(&a, m->response, buf_slice(&b), &again));
		if (!slice_eq(buf_slice(&again), g->answer))
			fail_msg("%.*s\nwant %.*s", SLICE_ARG(buf_slice(&again)), SLICE_ARG(g->answer));
	}
	arena_fini(&a);
	buf_fini(&again);
	buf_fini(&b);
}

static void test_answers(void **state)
{
	each_golden(same_answer);
}

/* Where the server sends back what it got, it is what we read from the body: ids of leases, values put in a txn. */
static void same_echo(const struct golden *g, const struct rpc_method *m)
{
	struct buf q = buf_new(), r = buf_new();
	struct arena a;

	arena_init(&a, 16 << 20);
	if (slice_eq(g->verdict, SLICE_LIT("ok")) && m == &rpc_methods[RPC_LEASE_GRANT]) {
		Etcdserverpb__LeaseGrantRequest *req;
		Etcdserverpb__LeaseGrantResponse *resp;

		assert_ok(json_parse(m->request, g->body, NULL, &q));
		assert_ok(json_parse(m->response, g->answer, NULL, &r));
		assert_ok(pb_unpack(&a, m->request, buf_slice(&q), &req));
		assert_ok(pb_unpack(&a, m->response, buf_slice(&r), &resp));
		if (req->id)
			assert_true(req->id == resp->id);
		if (req->ttl > 2)       /* the shortest that Go grants here */
			assert_true(req->ttl == resp->ttl);
	}
	if (slice_eq(g->verdict, SLICE_LIT("ok")) && m == &rpc_methods[RPC_TXN]) {
		Etcdserverpb__TxnRequest *req;
		Etcdserverpb__TxnResponse *resp;

		assert_ok(json_parse(m->request, g->body, NULL, &q));
		assert_ok(json_parse(m->response, g->answer, NULL, &r));
		assert_ok(pb_unpack(&a, m->request, buf_slice(&q), &req));
		assert_ok(pb_unpack(&a, m->response, buf_slice(&r), &resp));
		if (req->n_success == 2 && req->success[0]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
			assert_bytes(pb_slice(req->success[0]->request_put->value),
				     pb_slice(resp->responses[1]->response_range->kvs[0]->value));
	}
	arena_fini(&a);
	buf_fini(&q);
	buf_fini(&r);
}

static void test_echoes(void **state)
{
	each_golden(same_echo);
}

static void round_trip(struct rng *r, const ProtobufCMessageDescriptor *d)
{
	struct buf json = buf_new(), b = buf_new(), spaced = buf_new();
	struct slice packed;
	struct arena a;

	arena_init(&a, 16 << 20);
	packed = oracle_pack(&a, random_message(r, &a, d, 4));
	assert_ok(json_emit(&a, d, packed, &json));
	assert_true(slice_is_utf8(buf_slice(&json)));
	assert_ok(json_parse(d, buf_slice(&json), NULL, &b));
	/* the lists of bodies are not packed: compare what is read */
	buf_clear(&spaced);
	assert_ok(json_emit(&a, d, buf_slice(&b), &spaced));
	assert_bytes(buf_slice(&spaced), buf_slice(&json));
	if (d != &etcdserverpb__watch_request__descriptor)
		assert_bytes(buf_slice(&b), packed);
	arena_fini(&a);
	buf_fini(&spaced);
	buf_fini(&b);
	buf_fini(&json);
}

static void test_round_trips(void **state)
{
	struct rng r;

	rng_init(&r, 3);
	for (size_t i = 0; i < RPC__COUNT; i++) {
		if (!rpc_methods[i].gateway[0].size)
			continue;
		for (int k = 0; k < 50; k++) {
			round_trip(&r, rpc_methods[i].request);
			round_trip(&r, rpc_methods[i].response);
		}
	}
}

/* Verdict and size for whole input: size of the first value, -1 more is needed, -2 not JSON. */
static long scan(struct slice s, size_t step)
{
	struct json_scan scanner;
	size_t at = 0;

	json_scan_init(&scanner);
	for (;;) {
		size_t part = MIN(step, s.size - at), used;
		err_t err = json_scan(&scanner, slice_of(s.data + at, part), &used);

		at += used;
		if (err == ERR_INVALID)
			return -2;
		if (err == OK)
			return (long)at;
		if (at == s.size)
			return -1;
	}
}

/* What C strings cannot carry comes through: a NUL, also at the ends and twice. */
static void test_nul_in_strings(void **state)
{
	const ProtobufCMessageDescriptor *d = &etcdserverpb__auth_user_add_request__descriptor;
	static const char json[] = "{\"name\":\"\\u0000a\\u0000\\u0000b\\u0000\",\"password\":\"p\"}";
	struct buf bytes = buf_new(), again = buf_new();
	struct why why = {""};
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_ok(json_parse(d, slice_str(json), &why, &bytes));
	assert_int_equal(bytes.size, 2 + 6 + 3);
	assert_ok(json_emit(&a, d, buf_slice(&bytes), &again));
	if (!slice_eq(buf_slice(&again), slice_str(json)))
		fail_msg("%.*s", SLICE_ARG(buf_slice(&again)));
	arena_fini(&a);
	buf_fini(&bytes);
	buf_fini(&again);
}

static void test_scan(void **state)
{
	static const struct {
		const char *in;
		long want;
	} cases[] = {
		{"{}", 2}, {" {} ", 3}, {"[]", 2}, {"{}{}", 2}, {"{\"a\":[1,2,{\"b\":null}],\"c\":\"}\"}", 30}, {"null,", 4},
		{"true", 4}, {"false ", 5}, {"12 ", 2}, {"12]", 2}, {"-0.5e+10}", 8}, {"12", -1}, {"", -1}, {"  \n", -1},
		{"\"a\\\"\\u00e9\\\\\"x", 13}, {"{\"a\":1", -1}, {"\"abc", -1}, {"\"\\", -1}, {"tru", -1}, {"[1,", -1},
		{"truE", -2}, {"{]", -2}, {"[}", -2}, {"[1}", -2}, {"{\"a\":1]", -2}, {"{1:2}", -2}, {"{\"a\" 1}", -2},
		{"{\"a\":}", -2}, {"{\"a\":1,}", -2}, {"[1,]", -2}, {"[,1]", -2}, {"{,}", -2}, {"01", 1}, {"[01]", -2},
		{"[1.]", -2}, {"[.5]", -2}, {"[1e]", -2}, {"[1e+]", -2}, {"[-]", -2}, {"[+1]", -2}, {"[-01]", -2},
		{"\"\n\"", -2}, {"\"\\x\"", -2}, {"\"\\u00g0\"", -2}, {"nan", -2}, {"'a'", -2}, {"}", -2}, {"]", -2}, {":", -2},
		{"[1 2]", -2}, {"{\"a\":1 \"b\":2}", -2}, {"[\"a\":1]", -2}, {"\xef\xbb\xbf{}", -2}, {"\v{}", -2},
		{"[1.5,1e5,1E-5,-1,0,0.0,0e0]", 27}, {"{\"\":{}}", 7}, {"[[],[[]],{}]", 12},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice in = slice_str(cases[i].in);

		for (size_t step = 1; step < 100; step += 7)
			if (scan(in, step) != cases[i].want)
				fail_msg("%s: %ld, want %ld", cases[i].in, scan(in, step), cases[i].want);
	}
}

static void test_scan_depth(void **state)
{
	static char text[2 * (JSON_DEPTH_MAX + 1)];

	for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_true(scan(slice_of(text, 2 * depth), 1000) == (depth > JSON_DEPTH_MAX ? -2 : (long)(2 * depth)));
	}
}

static void test_message_depth(void **state)
{
	struct buf json = buf_new(), b = buf_new();

	/* {"responses":[{"response_txn":…}]}: two levels each */
	for (size_t levels = PB_DEPTH_MAX / 2 - 1; levels <= PB_DEPTH_MAX / 2; levels++) {
		buf_clear(&json);
		for (size_t i = 0; i < levels; i++)
			buf_printf(&json, "{\"responses\":[{\"response_txn\":");
		buf_printf(&json, "{}");
		for (size_t i = 0; i < levels; i++)
			buf_printf(&json, "}]}");
		assert_err(levels < PB_DEPTH_MAX / 2 ? OK : ERR_INVALID,
			   json_parse(&etcdserverpb__txn_response__descriptor, buf_slice(&json), NULL, &b));
	}
	buf_fini(&b);
	buf_fini(&json);
}

static void test_base64(void **state)
{
	static const struct {
		const char *plain;
		const char *text;
	} cases[] = {           /* RFC 4648, section 10 */
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}, {"\xfb\xef\xbe\xff", "++++/w=="},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf b = buf_new();

		base64_encode(slice_str(cases[i].plain), &b);
		assert_bytes(buf_slice(&b), slice_str(cases[i].text));
		buf_clear(&b);
		assert_true(base64_decode(slice_str(cases[i].text), &b));
		assert_bytes(buf_slice(&b), slice_str(cases[i].plain));
		buf_fini(&b);
	}
}

static void test_full_buffer(void **state)
{
	struct buf b;
	struct arena a;

	buf_init(&b, 5);
	assert_ok(json_parse(&etcdserverpb__put_request__descriptor, SLICE_LIT("{\"key\":\"YWJjZGVmZ2hpag==\"}"), NULL, &b));
	assert_true(buf_failed(&b));
	buf_clear(&b);
	arena_init(&a, 1 << 20);
	assert_ok(json_emit(&a, &etcdserverpb__put_request__descriptor, hex("0a026162"), &b));
	assert_true(buf_failed(&b));
	arena_fini(&a);
	buf_fini(&b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts), cmocka_unit_test(test_messages), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_echoes), cmocka_unit_test(test_round_trips), cmocka_unit_test(test_nul_in_strings), cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_depth), cmocka_unit_test(test_message_depth), cmocka_unit_test(test_base64),
		cmocka_unit_test(test_full_buffer),
	};

	golden_path = argc > 1 ? argv[1] : "gateway.txt";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
