/* Verdicts on traceparent and tracestate are those of Go's SDK (otel v1.43: propagation.TraceContext, trace.ParseTraceState), asked
 * case by case. What a whole span looks like is compared with Go etcd by tests/e2e/tracing.py. */
#include "../../lib/test.h"

#include "pb/wire.h"
#include "trace/trace.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static const struct {
	const char *text;
	bool ok;
	uint8_t flags;
} parents[] = {
	{"00-" ID "-" SPAN "-01", true, 1},
	{"00-" ID "-" SPAN "-00", true, 0},
	{"00-" ID "-" SPAN "-03", true, 3},
	{"00-" ID "-" SPAN "-04", false, 0},
	{"00-" ID "-" SPAN "-01-", true, 1},
	{"00-" ID "-" SPAN "-01-x", false, 0},
	{"01-" ID "-" SPAN "-ff-x", true, 3},
	{"01-" ID "-" SPAN "-01", true, 1},
	{"ff-" ID "-" SPAN "-01", false, 0},
	{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", false, 0},
	{"00-00000000000000000000000000000000-" SPAN "-01", false, 0},
	{"00-" ID "-0000000000000000-01", false, 0},
	{"00-" ID "-" SPAN, false, 0},
	{"", false, 0},
	{"00-bf92f3577b34da6a3ce929d0e0e4736-" SPAN "-01", false, 0},
	{"00-" ID "-" SPAN "-1", false, 0},
	{"00-" ID "-" SPAN "-0g", false, 0},
	{"0-" ID "-" SPAN "-01", false, 0},
};

static void callers_parents(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(parents); i++) {
		struct trace_parent p = {0};
		bool ok = trace_parent_parse(slice_str(parents[i].text), &p);

		if (ok != parents[i].ok || p.flags != parents[i].flags)
			fail_msg("%s: %d, %02x", parents[i].text, ok, p.flags);
		if (ok)
			assert_true(p.trace_id[0] == 0x4b && p.trace_id[15] == 0x36 && p.span_id[1] == 0xf0 && p.span_id[7] == 0xb7);
	}
}

static const struct {
	const char *text, *out; /* NULL: not valid */
} states[] = {
	{"", ""},
	{"a=1", "a=1"},
	{"a=1, b=2 ,c@d=3", "a=1,b=2,c@d=3"},
	{" \ta=1\t ", "a=1"},
	{"a=1,a=2", NULL},
	{"A=1", NULL},
	{"a", NULL},
	{"a=", NULL},
	{"=1", NULL},
	{"a=1,,b=2", "a=1,b=2"},
	{"a= 1", "a= 1"},
	{"a=1 2", "a=1 2"},
	{"a=1=2", NULL},
	{"1a=1", NULL},
	{"1a@b=1", "1a@b=1"},
	{"a@1b=1", NULL},
	{"a@=1", NULL},
	{"@a=1", NULL},
	{"a@b@c=1", NULL},
	{"a_-*/9=~ !x", "a_-*/9=~ !x"},
	{"a=\t1", NULL},
	{"a b=1", NULL},
	{"a =1", NULL},
	{"a=\x7f", NULL},
	{"a=\xc3\xa9", NULL},
};

static void check_state(const char *text, const char *want)
{
	struct buf b;
	bool ok;

	buf_init(&b, 32 * 1024);
	ok = trace_state_parse(slice_str(text), &b);
	if (ok != (want != NULL) || (ok && !slice_eq(buf_slice(&b), slice_str(want))))
		fail_msg("%.60s: %d %.*s", text, ok, SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
}

static void callers_states(void **state)
{
	char text[600];

	for (size_t i = 0; i < ARRAY_COUNT(states); i++)
		check_state(states[i].text, states[i].out);
	/* The greatest key, value, tenant and system, and one more; 32 members, and one more. */
	for (int more = 0; more < 2; more++) {
		snprintf(text, sizeof(text), "%s%0256d", "k", 0);
		memset(text, 'k', 256 + (size_t)more);
		strcpy(text + 256 + more, "=v");
		check_state(text, more ? NULL : text);
		snprintf(text, sizeof(text), "k=%0*d", 256 + more, 7);
		check_state(text, more ? NULL : text);
		memset(text, 't', 241 + (size_t)more);
		strcpy(text + 241 + more, "@ssssssssssssss=v");
		check_state(text, more ? NULL : text);
		check_state(more ? "t@sssssssssssssss=v" : "t@ssssssssssssss=v", more ? NULL : "t@ssssssssssssss=v");
		text[0] = '\0';
		for (int i = 0; i < 32 + more; i++)
			sprintf(text + strlen(text), "%sk%d=v", i ? "," : "", i);
		check_state(text, more ? NULL : text);
	}
}

static void texts_are_utf8_and_short(void **state)
{
	char many[TRACE_TEXT_MAX + 3];
	struct buf b;

	buf_init(&b, 2 * TRACE_TEXT_MAX);
	trace_text_clean(SLICE_LIT("a\xff\x00\xc3\xa9\xed\xa0\x80"), &b);
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("a\xef\xbf\xbd\x00\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")));
	/* Cut between characters. */
	memset(many, 'x', sizeof(many));
	memcpy(many + TRACE_TEXT_MAX - 1, "\xc3\xa9", 2);
	buf_clear(&b);
	trace_text_clean(slice_of(many, sizeof(many)), &b);
	assert_int_equal(b.size, TRACE_TEXT_MAX - 1);
	buf_fini(&b);
}

static struct trace *sampled(struct trace_queue *q)
{
	struct trace_caller c = {.parent = SLICE_LIT("00-" ID "-" SPAN "-01")};
	struct trace *t = trace_begin(q, &c);

	assert_non_null(t);
	return t;
}

static void callers_decide(void **state)
{
	struct trace_queue *never = trace_queue_new(0, NULL, NULL), *always = trace_queue_new(1000000, NULL, NULL);
	struct trace_caller no = {.parent = SLICE_LIT("00-" ID "-" SPAN "-00")}, nobody = {.parent = {0}},
			    broken = {.parent = SLICE_LIT("00-" ID)};
	struct trace *t;

	assert_null(trace_begin(never, &nobody));
	assert_null(trace_begin(never, &no));
	assert_null(trace_begin(always, &no));
	trace_unref(sampled(never));
	trace_unref(t = trace_begin(always, &nobody));
	assert_non_null(t);
	trace_unref(t = trace_begin(always, &broken));
	assert_non_null(t);
	trace_queue_free(never);
	trace_queue_free(always);
}

static void a_rate_is_a_share_of_all(void **state)
{
	struct trace_queue *q = trace_queue_new(250000, NULL, NULL);
	struct trace_caller nobody = {.parent = {0}};
	unsigned count = 0;

	for (int i = 0; i < 40000; i++) {
		struct trace *t = trace_begin(q, &nobody);

		count += t != NULL;
		trace_unref(t);
	}
	assert_in_range(count, 9500, 10500); /* 10000, sigma 87 */
	trace_queue_free(q);
}

/* Field number of a message, the n-th of it. */
static struct slice field(struct slice message, uint32_t number, unsigned n)
{
	struct pb_reader r = pb_reader_of(message);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == number && !n--)
			return f.bytes;
	assert_false(r.failed);
	return (struct slice){0};
}

static void full_is_full_and_counted(void **state)
{
	struct trace_queue *q = trace_queue_new(0, NULL, NULL);
	struct trace *t = sampled(q);
	struct span *first, *rest;
	struct buf out;

	for (int i = 0; i < TRACE_SPANS_MAX + 5; i++)
		span_end(span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, SLICE_LIT("x")), false, (struct slice){0});
	assert_int_equal(trace_queue_dropped(q), 5);
	buf_init(&out, 1 << 20);
	first = trace_take(q);
	assert_null(trace_take(q));
	rest = trace_request(first, (struct slice){0}, SIZE_MAX, &out);
	/* What is under way still counts. */
	span_end(span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, SLICE_LIT("y")), false, (struct slice){0});
	assert_int_equal(trace_queue_dropped(q), 6);
	assert_int_equal(trace_done(q, first, rest), TRACE_BATCH_SPANS);
	span_end(span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, SLICE_LIT("y")), false, (struct slice){0});
	assert_int_equal(trace_queue_dropped(q), 6);
	assert_int_equal(trace_done(q, rest, NULL), TRACE_SPANS_MAX - TRACE_BATCH_SPANS);
	buf_fini(&out);
	trace_unref(t);
	trace_queue_free(q);
}

static void bytes_are_bounded_too(void **state)
{
	struct trace_queue *q = trace_queue_new(0, NULL, NULL);
	struct trace *t = sampled(q);
	char text[TRACE_TEXT_MAX];
	unsigned count = 0;

	memset(text, 'x', sizeof(text));
	while (!trace_queue_dropped(q)) {
		struct span *s = span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, SLICE_LIT("x"));

		for (int i = 0; i < 4; i++)
			span_str(s, "a", slice_of(text, sizeof(text)));
		span_end(s, false, (struct slice){0});
		count++;
	}
	assert_in_range(count, TRACE_BYTES_MAX / (4 * TRACE_TEXT_MAX + 400), TRACE_BYTES_MAX / (4 * TRACE_TEXT_MAX));
	trace_unref(t);
	trace_queue_free(q);
}

static void wake(void *arg)
{
	++*(unsigned *)arg;
}

static void a_batch_wakes_the_sender_and_is_in_order(void **state)
{
	unsigned woken = 0;
	struct trace_queue *q = trace_queue_new(0, wake, &woken);
	struct trace *t = sampled(q);
	struct span *first, *server;
	struct slice rs, a, b;
	struct buf out, resource;

	server = span_begin(t, TRACE_SCOPE_GRPC, SPAN_SERVER, SLICE_LIT("call"));
	trace_enter(t, server);
	for (int i = 1; i < TRACE_BATCH_SPANS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "op%d", i);
		span_end(span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, slice_str(name)), false, (struct slice){0});
	}
	assert_int_equal(woken, 0);
	span_end(server, true, SLICE_LIT("why"));
	assert_int_equal(woken, 1);
	buf_init(&out, 1 << 20);
	buf_init(&resource, 1024);
	trace_resource(&resource, "service.name", "etcd");
	first = trace_take(q);
	assert_null(trace_request(first, buf_slice(&resource), SIZE_MAX, &out));
	rs = field(buf_slice(&out), 1, 0);
	assert_true(slice_eq(field(rs, 1, 0), buf_slice(&resource)));
	a = field(field(rs, 2, 0), 2, 0);       /* ScopeSpans of otelgrpc: the call */
	b = field(field(rs, 2, 1), 2, 0);
	assert_true(slice_eq(field(a, 5, 0), SLICE_LIT("call")));
	assert_true(slice_eq(field(field(a, 15, 0), 2, 0), SLICE_LIT("why")));
	assert_true(slice_eq(field(b, 5, 0), SLICE_LIT("op1")));
	assert_true(slice_eq(field(b, 4, 0), field(a, 2, 0)));
	assert_true(slice_eq(field(field(field(rs, 2, 1), 2, 1), 5, 0), SLICE_LIT("op2")));
	trace_done(q, first, NULL);
	buf_fini(&out);
	buf_fini(&resource);
	trace_unref(t);
	trace_queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callers_parents),
		cmocka_unit_test(callers_states),
		cmocka_unit_test(texts_are_utf8_and_short),
		cmocka_unit_test(callers_decide),
		cmocka_unit_test(a_rate_is_a_share_of_all),
		cmocka_unit_test(full_is_full_and_counted),
		cmocka_unit_test(bytes_are_bounded_too),
		cmocka_unit_test(a_batch_wakes_the_sender_and_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
