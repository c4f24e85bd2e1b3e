/* Go's notations. Expected values were printed by Go 1.26 (time, strconv) and dustin/go-humanize. */
#include "../../lib/test.h"

#include "base/text.h"

static void test_duration(void **state)
{
	static const struct {
		int64_t ns;
		const char *want;
	} cases[] = {
		{0, "0s"}, {1, "1ns"}, {999, "999ns"}, {1000, "1µs"}, {1500, "1.5µs"}, {228890, "228.89µs"},
		{1000000, "1ms"}, {1500000, "1.5ms"}, {1000000000, "1s"}, {1500000000, "1.5s"},
		{60000000000, "1m0s"}, {90000000000, "1m30s"}, {3600000000000, "1h0m0s"}, {300000000000, "5m0s"},
		{3661000000001, "1h1m1.000000001s"}, {-1, "-1ns"}, {-1500000000, "-1.5s"},
		{INT64_MAX, "2562047h47m16.854775807s"}, {INT64_MIN, "-2562047h47m16.854775808s"},
	};
	char out[TEXT_DURATION_SIZE];

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_string_equal(text_duration(out, cases[i].ns), cases[i].want);
}

static void test_parse_duration(void **state)
{
	static const struct {
		const char *in;
		int64_t want;
		const char *why;
	} cases[] = {
		{"1h30m", 5400000000000, NULL},
		{"-1.5s", -1500000000, NULL},
		{"+5us", 5000, NULL},
		{"0", 0, NULL},
		{"1µs", 1000, NULL},
		{"1μs", 1000, NULL},
		{"1.0000000001h", 3600000000360, NULL},
		{".5s", 500000000, NULL},
		{"3.s", 3000000000, NULL},
		{"0.33333333333333333333h", 1200000000000, NULL},
		{"-2.000000000000000000000000000000000000000000000000000000010919us", -2000, NULL},
		{"9223372036854775807ns", INT64_MAX, NULL},
		{"-9223372036854775808ns", INT64_MIN, NULL},
		{"5", 0, "time: missing unit in duration \"5\""},
		{"1h1", 0, "time: missing unit in duration \"1h1\""},
		{"1x", 0, "time: unknown unit \"x\" in duration \"1x\""},
		{"1e3s", 0, "time: unknown unit \"e\" in duration \"1e3s\""},
		{"1 s", 0, "time: unknown unit \" s\" in duration \"1 s\""},
		{"", 0, "time: invalid duration \"\""},
		{"s", 0, "time: invalid duration \"s\""},
		{".s", 0, "time: invalid duration \".s\""},
		{"a\"b", 0, "time: invalid duration \"a\\\"b\""},
		{"9223372036854775808ns", 0, "time: invalid duration \"9223372036854775808ns\""},
		{"9223372036.854775808s", 0, "time: invalid duration \"9223372036.854775808s\""},
		{"100000000000000h", 0, "time: invalid duration \"100000000000000h\""},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		int64_t got = 77;
		struct why why = {""};
		err_t err = text_parse_duration(cases[i].in, &got, &why);

		if (cases[i].why) {
			assert_err(ERR_INVALID, err);
			assert_string_equal(why.text, cases[i].why);
			assert_int_equal(got, 77);
		} else {
			assert_ok(err);
			assert_int_equal(got, cases[i].want);
		}
	}
}

static void test_parse_numbers(void **state)
{
	enum { OKAY = TEXT_NUMBER_OK, SYNTAX = TEXT_NUMBER_SYNTAX, RANGE = TEXT_NUMBER_RANGE };
	static const struct {
		const char *in;
		int as_int;
		int64_t i;
		int as_uint;
		uint64_t u;
		int as_uint32;
	} cases[] = {
		{"0", OKAY, 0, OKAY, 0, OKAY},
		{"10", OKAY, 10, OKAY, 10, OKAY},
		{"-10", OKAY, -10, SYNTAX, 0, SYNTAX},
		{"+7", OKAY, 7, SYNTAX, 0, SYNTAX},
		{"0x1F", OKAY, 31, OKAY, 31, OKAY},
		{"0b101", OKAY, 5, OKAY, 5, OKAY},
		{"0o17", OKAY, 15, OKAY, 15, OKAY},
		{"017", OKAY, 15, OKAY, 15, OKAY},
		{"08", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"1_000", OKAY, 1000, OKAY, 1000, OKAY},
		{"_1", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"1_", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"1__0", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"0x_1", OKAY, 1, OKAY, 1, OKAY},
		{"0_7", OKAY, 7, OKAY, 7, OKAY},
		{"", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"-", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"0x", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"1e3", SYNTAX, 0, SYNTAX, 0, SYNTAX},
		{"9223372036854775807", OKAY, INT64_MAX, OKAY, INT64_MAX, RANGE},
		{"9223372036854775808", RANGE, 0, OKAY, (uint64_t)1 << 63, RANGE},
		{"-9223372036854775808", OKAY, INT64_MIN, SYNTAX, 0, SYNTAX},
		{"18446744073709551615", RANGE, 0, OKAY, UINT64_MAX, RANGE},
		{"18446744073709551616", RANGE, 0, RANGE, 0, RANGE},
	};

	for (size_t k = 0; k < ARRAY_COUNT(cases); k++) {
		int64_t i = 0;
		uint64_t u = 0, u32 = 0;

		assert_int_equal(text_parse_int(cases[k].in, 64, &i), cases[k].as_int);
		assert_int_equal(i, cases[k].i);
		assert_int_equal(text_parse_uint(cases[k].in, 64, &u), cases[k].as_uint);
		assert_int_equal(u, cases[k].u);
		assert_int_equal(text_parse_uint(cases[k].in, 32, &u32), cases[k].as_uint32);
	}
}

static void test_bool(void **state)
{
	bool v = false;

	assert_true(text_parse_bool("T", &v) && v);
	assert_true(text_parse_bool("False", &v) && !v);
	assert_false(text_parse_bool("yes", &v));
	assert_false(text_parse_bool("", &v));
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t size;
		const char *want;
	} cases[] = {
		{0, "0 B"}, {9, "9 B"}, {10, "10 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {20480, "20 kB"},
		{2147483648, "2.1 GB"}, {8589934592, "8.6 GB"}, {9990, "10 kB"}, {1572864, "1.6 MB"},
		{UINT64_MAX, "18 EB"},
	};
	char out[TEXT_BYTES_SIZE];

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_string_equal(text_bytes(out, cases[i].size), cases[i].want);
}

static void expect_text(struct buf *b, const char *want)
{
	buf_put_byte(b, 0);
	assert_false(buf_failed(b));
	assert_string_equal((const char *)b->data, want);
	buf_clear(b);
}

static void test_quote(void **state)
{
	struct buf b;

	buf_init(&b, 1024);
	text_quote(&b, SLICE_LIT("a\"b\\c"));
	expect_text(&b, "\"a\\\"b\\\\c\"");
	text_quote(&b, SLICE_LIT("\a\b\f\n\r\t\v\0\x1f\x7f"));
	expect_text(&b, "\"\\a\\b\\f\\n\\r\\t\\v\\x00\\x1f\\x7f\"");
	text_quote(&b, SLICE_LIT("\xc3\xa9\xc2\x85\xc2\xa0x\xff\xc3"));
	expect_text(&b, "\"\xc3\xa9\\u0085\\u00a0x\\xff\\xc3\"");
	/* The last printable and the first that is not, of two, three and four bytes; a line separator; a surrogate is no rune. */
	text_quote(&b, SLICE_LIT("\xcd\xb7\xcd\xb8\xe2\x80\xa7\xe2\x80\xa8\xf3\xa0\x87\xaf\xf3\xa0\x87\xb0\xf4\x8f\xbf\xbf\xed\xa0\x80"));
	expect_text(&b, "\"\xcd\xb7\\u0378\xe2\x80\xa7\\u2028\xf3\xa0\x87\xaf\\U000e01f0\\U0010ffff\\xed\\xa0\\x80\"");
	buf_fini(&b);
}

static void test_float(void **state)
{
	static const struct {
		double v;
		const char *want;
	} cases[] = {
		{0, "0"}, {1, "1"}, {-1, "-1"}, {0.25, "0.25"}, {100000, "100000"}, {999999, "999999"}, {1e6, "1e+06"},
		{1048576, "1.048576e+06"}, {1.8446744073709552e+19, "1.8446744073709552e+19"}, {0.0001, "0.0001"},
		{0.00001, "1e-05"}, {6.773900000000001e-05, "6.773900000000001e-05"}, {123456.789, "123456.789"},
		{1764064035.99, "1.76406403599e+09"}, {0.0018641639999999998, "0.0018641639999999998"},
		{2147483648, "2.147483648e+09"}, {__builtin_inf(), "+Inf"},
	};
	struct buf b;

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		text_float(&b, cases[i].v);
		expect_text(&b, cases[i].want);
	}
	buf_fini(&b);
}

static void test_errno(void **state)
{
	char out[TEXT_ERRNO_SIZE];

	assert_string_equal(text_errno(out, 2), "no such file or directory");
	assert_string_equal(text_errno(out, 98), "address already in use");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration), cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_parse_numbers), cmocka_unit_test(test_bool), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_quote), cmocka_unit_test(test_float), cmocka_unit_test(test_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
