/* Lines of txn and watch -i. The words are those that upstream's regular expression finds, the strings those that Go's
 * strconv.Unquote makes (etcdctl v3.7.1, Argify; checked against it by tests/cli/txn.txt as well). */
#include "ctl/ctl_impl.h"
#include "tests/lib/test.h"

static const struct {
	const char *line;
	const char *words[5];
	bool bad;
} lines[] = {
    {"put a b", {"put", "a", "b"}},
    {"  put\ta   b  ", {"put", "a", "b"}},
    {"put 'a b' c", {"put", "a b", "c"}},
    {"put \"a b\" c", {"put", "a b", "c"}},
    {"put \"a \\\"b\\\"\" c", {"put", "a \"b\"", "c"}},
    {"put 'a \\n' c", {"put", "a \\n", "c"}},
    {"put \"a\"b", {"put", "a", "b"}},
    {"put a\"b\"c", {"put", "a\"b\"c"}},
    {"put it's", {"put", "it's"}},
    {"put 'open", {"put", "open"}},
    {"put \"open", {"put", "open"}},
    {"put '' x", {"put", "", "x"}},
    {"put \"\\x41\\u00e4\\101\\t\"", {"put", "A\u00e4A\t"}},
    {"put \"\\U0001F600\"", {"put", "\U0001F600"}},
    {"put \"\\q\"", {NULL}, true},
    {"put \"\\x4\"", {NULL}, true},
    {"put \"\\ud800\"", {NULL}, true},
    {"put \"\\400\"", {NULL}, true},
    {"", {NULL}},
};

static void test_lines(void **state)
{
	struct ctl c = {0};

	arena_init(&c.arena, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		const char **words;
		size_t count, want = 0;

		print_message("%s\n", lines[i].line);
		if (!split_words(&c, lines[i].line, &words, &count)) {
			assert_true(lines[i].bad);
			continue;
		}
		assert_false(lines[i].bad);
		while (want < ARRAY_COUNT(lines[i].words) && lines[i].words[want])
			want++;
		assert_int_equal(count, want);
		for (size_t k = 0; k < count; k++)
			assert_string_equal(words[k], lines[i].words[k]);
	}
	arena_fini(&c.arena);
}

static const struct {
	const char *text;
	int base;
	const char *why; /* NULL: a number */
	int64_t value;
} numbers[] = {
    {"12", 10, NULL, 12},
    {"-12", 10, NULL, -12},
    {"+5", 10, NULL, 5},
    {"7f", 16, NULL, 127},
    {"7fffffffffffffff", 16, NULL, INT64_MAX},
    {"", 10, "strconv.ParseInt: parsing \"\": invalid syntax"},
    {"0x1", 16, "strconv.ParseInt: parsing \"0x1\": invalid syntax"},
    {" 1", 10, "strconv.ParseInt: parsing \" 1\": invalid syntax"},
    {"1f", 10, "strconv.ParseInt: parsing \"1f\": invalid syntax"},
    {"8000000000000000", 16, "strconv.ParseInt: parsing \"8000000000000000\": value out of range"},
};

static void test_numbers(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		struct why why;
		int64_t n = 0;
		err_t err = ctl_parse_int(numbers[i].text, numbers[i].base, &n, &why);

		print_message("\"%s\"\n", numbers[i].text);
		assert_err(numbers[i].why ? ERR_INVALID : OK, err);
		if (err)
			assert_string_equal(why.text, numbers[i].why);
		else
			assert_int_equal(n, numbers[i].value);
	}
}

static void test_prefix_ends(void **state)
{
	static const struct {
		struct slice prefix, end;
	} cases[] = {
	    {SLICE_LIT("a"), SLICE_LIT("b")},
	    {SLICE_LIT("ab\xff"), SLICE_LIT("ac")},
	    {SLICE_LIT("\xff\xff"), {(const uint8_t *)"\0", 1}},
	    {{NULL, 0}, {(const uint8_t *)"\0", 1}},
	};
	struct ctl c = {0};

	arena_init(&c.arena, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_true(slice_eq(prefix_end(&c, cases[i].prefix), cases[i].end));
	arena_fini(&c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_prefix_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
