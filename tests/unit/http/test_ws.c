/* WebSocket frames: RFC 6455's own examples (sections 1.3 and 5.7), lengths, fragments, what is refused; cut in every place. */
#include "../../lib/test.h"
#include "http/ws.h"

static struct ws_reader w;

static struct slice bytes(const char *hex)
{
	static uint8_t out[256];
	size_t n = 0;

	for (; *hex; hex++) {
		unsigned v;

		if (*hex == ' ')
			continue;
		sscanf(hex++, "%2x", &v);
		out[n++] = (uint8_t)v;
	}
	return slice_of(out, n);
}

static enum ws_event read_all(const char *hex)
{
	struct slice s = bytes(hex);

	return ws_read(&w, &s);
}

static void test_accept(void **state)
{
	char out[WS_ACCEPT_SIZE];

	ws_accept(SLICE_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out);
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_hello(void **state)
{
	struct slice s = bytes("818537fa213d7f9f4d5158");

	/* byte by byte too */
	for (size_t step = 1; step <= s.size; step++) {
		enum ws_event e = WS_MORE;

		ws_reader_init(&w, 100);
		for (size_t at = 0; at < s.size; at += step) {
			struct slice part = slice_of(s.data + at, MIN(step, s.size - at));

			assert_int_equal(e, WS_MORE);
			e = ws_read(&w, &part);
			assert_int_equal(part.size, 0);
		}
		assert_int_equal(e, WS_MESSAGE);
		assert_true(slice_eq(buf_slice(&w.message), SLICE_LIT("Hello")));
		ws_reader_fini(&w);
	}
}

static void test_fragments_with_a_ping_between(void **state)
{
	struct slice s = bytes("018300000000 48656c  898100000000 70  808200000000 6c6f  828100000000 21");

	ws_reader_init(&w, 5);
	assert_int_equal(ws_read(&w, &s), WS_PING);
	assert_int_equal(w.control_size, 1);
	assert_int_equal(w.control[0], 'p');
	assert_int_equal(ws_read(&w, &s), WS_MESSAGE);
	assert_true(slice_eq(buf_slice(&w.message), SLICE_LIT("Hello")));
	assert_int_equal(ws_read(&w, &s), WS_MESSAGE);
	assert_true(slice_eq(buf_slice(&w.message), SLICE_LIT("!")));
	assert_int_equal(s.size, 0);
	ws_reader_fini(&w);
}

static void test_refused(void **state)
{
	static const struct {
		const char *frames;
		enum ws_event want;
	} cases[] = {
		{"8105 48656c6c6f", WS_BAD},                            /* no mask */
		{"c18000000000", WS_BAD},                               /* reserved bit */
		{"838000000000", WS_BAD},                               /* no such opcode */
		{"808000000000", WS_BAD},                               /* continues nothing */
		{"098000000000", WS_BAD},                               /* a ping in parts */
		{"89fe007e 00000000", WS_BAD},                          /* a ping too long */
		{"81fe0065 00000000", WS_BAD},                          /* longer than the maximum of 100 */
		{"81ff8000000000000000 00000000", WS_BAD},
		{"88 82 00000000 03e8", WS_CLOSE},
		{"8180 00000000", WS_MESSAGE},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		ws_reader_init(&w, 100);
		if (read_all(cases[i].frames) != cases[i].want)
			fail_msg("%s", cases[i].frames);
		ws_reader_fini(&w);
	}
	/* a message within a message; fragments that are together too long */
	ws_reader_init(&w, 3);
	assert_int_equal(read_all("018100000000 48 818100000000 48"), WS_BAD);
	ws_reader_fini(&w);
	ws_reader_init(&w, 3);
	assert_int_equal(read_all("018200000000 4848 808200000000 4848"), WS_BAD);
	ws_reader_fini(&w);
}

static void test_heads(void **state)
{
	uint8_t out[WS_HEAD_SIZE_MAX];

	assert_int_equal(ws_head(out, WS_OP_TEXT, 5), 2);
	assert_memory_equal(out, "\x81\x05", 2);
	assert_int_equal(ws_head(out, WS_OP_BINARY, 256), 4);
	assert_memory_equal(out, "\x82\x7e\x01\x00", 4);
	assert_int_equal(ws_head(out, WS_OP_BINARY, 65536), 10);
	assert_memory_equal(out, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept), cmocka_unit_test(test_hello), cmocka_unit_test(test_fragments_with_a_ping_between),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
