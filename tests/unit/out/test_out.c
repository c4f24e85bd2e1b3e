/* Expected bytes: etcdutl and etcdctl v3.7.1 (snapshot status, member list) and Go's encoding/json. */
#include "out/out.h"
#include "../../lib/test.h"

static void assert_text(struct buf *b, const char *want)
{
	buf_put_byte(b, 0);
	assert_false(buf_failed(b));
	assert_string_equal((const char *)b->data, want);
	buf_fini(b);
}

static void formats(void **state)
{
	enum out_format f = OUT_SIMPLE;

	for (int i = OUT_SIMPLE; i <= OUT_TABLE; i++) {
		assert_true(out_format_parse(out_format_name((enum out_format)i), &f));
		assert_int_equal(f, i);
	}
	assert_false(out_format_parse("JSON", &f));
	assert_false(out_format_parse("", &f));
	assert_int_equal(f, OUT_TABLE);
}

static struct out_table *status_table(void)
{
	static const char *const titles[] = {"hash", "revision", "total keys", "total size", "version"};
	struct out_table *t = out_table_new(titles, 5);

	out_table_cell(t, "%x", 0x45370581);
	out_table_cell(t, "%d", 36);
	out_table_cell(t, "%d", 2);
	out_table_cell(t, "25 kB");
	out_table_cell_slice(t, SLICE_LIT("3.7.0"));
	return t;
}

static void box(void **state)
{
	struct out_table *t = status_table();
	struct buf b;

	buf_init(&b, 1 << 16);
	out_table_box(t, &b);
	out_table_free(t);
	assert_text(&b, "┌──────────┬──────────┬────────────┬────────────┬─────────┐\n"
			"│   HASH   │ REVISION │ TOTAL KEYS │ TOTAL SIZE │ VERSION │\n"
			"├──────────┼──────────┼────────────┼────────────┼─────────┤\n"
			"│ 45370581 │       36 │          2 │      25 kB │   3.7.0 │\n"
			"└──────────┴──────────┴────────────┴────────────┴─────────┘\n");
}

/* An odd blank goes to the right of a title; an empty cell is blank. */
static void box_of_members(void **state)
{
	static const char *const titles[] = {"ID", "STATUS", "NAME"};
	static const char *const cells[] = {"30e12f1537bb7ab9", "unstarted", "", "bdae9bbc11dd390d", "started", "s2"};
	struct out_table *t = out_table_new(titles, 3);
	struct buf b;

	for (size_t i = 0; i < ARRAY_COUNT(cells); i++)
		out_table_cell_slice(t, slice_str(cells[i]));
	buf_init(&b, 1 << 16);
	out_table_box(t, &b);
	out_table_free(t);
	assert_text(&b, "┌──────────────────┬───────────┬──────┐\n"
			"│        ID        │  STATUS   │ NAME │\n"
			"├──────────────────┼───────────┼──────┤\n"
			"│ 30e12f1537bb7ab9 │ unstarted │      │\n"
			"│ bdae9bbc11dd390d │   started │   s2 │\n"
			"└──────────────────┴───────────┴──────┘\n");
}

static void lines(void **state)
{
	struct out_table *t = status_table();
	struct buf b;

	buf_init(&b, 1 << 16);
	out_table_lines(t, &b);
	out_table_free(t);
	assert_text(&b, "45370581, 36, 2, 25 kB, 3.7.0\n");
}

static void columns(void **state)
{
	assert_int_equal(out_text_columns(SLICE_LIT("")), 0);
	assert_int_equal(out_text_columns(SLICE_LIT("abc")), 3);
	assert_int_equal(out_text_columns(SLICE_LIT("über")), 4);
	assert_int_equal(out_text_columns(SLICE_LIT("u\xcc\x88")), 1);
	assert_int_equal(out_text_columns(SLICE_LIT("\xe6\x97\xa5\xe6\x9c\xac")), 4);
	assert_int_equal(out_text_columns(SLICE_LIT("\xff\xfe")), 2);
}

static void fields(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	out_field(&b, "Revision", "%d", 36);
	out_field_quoted(&b, "Key", SLICE_LIT("a\"\n\xff"));
	assert_text(&b, "\"Revision\" : 36\n\"Key\" : \"a\\\"\\n\\xff\"\n");
}

static void json(void **state)
{
	struct buf b;
	struct out_json j = {&b};

	buf_init(&b, 1 << 16);
	out_json_open(&j, '{');
	out_json_key(&j, "a");
	out_json_int(&j, INT64_MIN);
	out_json_key(&j, "b");
	out_json_open(&j, '[');
	out_json_uint(&j, UINT64_MAX);
	out_json_bool(&j, true);
	out_json_open(&j, '{');
	out_json_close(&j, '}');
	out_json_null(&j);
	out_json_close(&j, ']');
	out_json_key(&j, "c");
	out_json_base64(&j, SLICE_LIT("\x00\xff\x10\x80"));
	out_json_close(&j, '}');
	assert_text(&b, "{\"a\":-9223372036854775808,\"b\":[18446744073709551615,true,{},null],\"c\":\"AP8QgA==\"}");
}

static void json_strings(void **state)
{
	static const struct {
		struct slice in;
		const char *want;
	} cases[] = {
	    {SLICE_LIT(""), "\"\""},
	    {SLICE_LIT("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
	    {SLICE_LIT("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
	    {SLICE_LIT("<a&b>"), "\"\\u003ca\\u0026b\\u003e\""},
	    {SLICE_LIT("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"), "\"\\u2028\\u2029\xe2\x80\xaa\""},
	    {SLICE_LIT("\xc3\xbc\xff\xf0\x9f\x98\x80\xed\xa0\x80"),
	     "\"\xc3\xbc\\ufffd\xf0\x9f\x98\x80\\ufffd\\ufffd\\ufffd\""},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf b;
		struct out_json j = {&b};

		buf_init(&b, 1 << 16);
		out_json_str(&j, cases[i].in);
		assert_text(&b, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(formats), cmocka_unit_test(box),          cmocka_unit_test(box_of_members),
	    cmocka_unit_test(lines),   cmocka_unit_test(columns),      cmocka_unit_test(fields),
	    cmocka_unit_test(json),    cmocka_unit_test(json_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
