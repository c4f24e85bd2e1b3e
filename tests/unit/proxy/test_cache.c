#include "proxy/cache.h"
#include "tests/lib/test.h"

static struct cache cache;

static struct range_req range(const char *key, const char *end)
{
	return (struct range_req){.key = slice_str(key), .range_end = slice_str(end)};
}

static void add(const char *key, const char *end, const char *answer)
{
	struct range_req r = range(key, end);

	cache_add(&cache, &r, (struct slice){0}, slice_str(answer));
}

/* The answer, or "" */
static const char *get_as(const char *key, const char *end, const char *token)
{
	static char text[64];
	struct range_req r = range(key, end);
	struct slice out;

	if (cache_get(&cache, &r, slice_str(token), &out))
		return "";
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(out));
	return text;
}

static const char *get(const char *key, const char *end)
{
	return get_as(key, end, "");
}

static int setup(void **state)
{
	cache_init(&cache);
	return 0;
}

static int teardown(void **state)
{
	cache_fini(&cache);
	return 0;
}

static void test_an_answer_is_to_its_question_and_its_user(void **state)
{
	struct range_req limited = range("a", "");
	struct slice out;

	add("a", "", "1");
	add("a", "c", "2");
	assert_string_equal(get("a", ""), "1");
	assert_string_equal(get("a", "c"), "2");
	assert_string_equal(get("b", ""), "");
	assert_string_equal(get_as("a", "", "someone's"), "");
	limited.limit = 1;
	assert_int_equal(cache_get(&cache, &limited, (struct slice){0}, &out), ERR_NOT_EXIST);
	add("a", "", "3");
	assert_string_equal(get("a", ""), "3");
	assert_int_equal(cache_count(&cache), 2);
}

static void test_a_write_takes_out_what_it_overlaps(void **state)
{
	static const struct {
		const char *key, *end;
		size_t end_size;
		const char *left; /* of p (b), r (b..d), s (d..f), o (c and all behind) */
	} cases[] = {
		{"b", "", 0, "so"},
		{"c", "", 0, "ps"},
		{"d", "", 0, "pr"},
		{"a", "", 0, "prso"},
		{"a", "b", 1, "prso"},
		{"a", "c", 1, "so"},
		{"f", "g", 1, "prs"},
		{"c", "\0", 1, "p"},
		{"a", "z", 1, ""},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct range_req open = {.key = slice_str("c"), .range_end = slice_of("\0", 1)};
		struct slice out;
		char left[8] = "";

		add("b", "", "p");
		add("b", "d", "r");
		add("d", "f", "s");
		cache_add(&cache, &open, (struct slice){0}, slice_str("o"));
		cache_invalidate(&cache, slice_str(cases[i].key), slice_of(cases[i].end, cases[i].end_size));
		strcat(left, get("b", ""));
		strcat(left, get("b", "d"));
		strcat(left, get("d", "f"));
		if (!cache_get(&cache, &open, (struct slice){0}, &out))
			strcat(left, "o");
		assert_string_equal(left, cases[i].left);
	}
}

static void test_revisions_stay_until_compacted(void **state)
{
	struct range_req r = range("a", "");
	struct slice out;

	r.revision = 5;
	cache_add(&cache, &r, (struct slice){0}, slice_str("old"));
	cache_invalidate(&cache, slice_str("a"), (struct slice){0});
	assert_int_equal(cache_get(&cache, &r, (struct slice){0}, &out), OK);
	cache_compact(&cache, 5);
	assert_int_equal(cache_get(&cache, &r, (struct slice){0}, &out), OK);
	cache_compact(&cache, 6);
	assert_int_equal(cache_get(&cache, &r, (struct slice){0}, &out), ERR_COMPACTED);
	cache_compact(&cache, 3);
	cache_add(&cache, &r, (struct slice){0}, slice_str("old"));
	assert_int_equal(cache_count(&cache), 0);
}

static void test_the_one_unused_for_longest_goes(void **state)
{
	char key[16];

	for (int i = 0; i < CACHE_ENTRIES_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		add(key, "", "v");
	}
	assert_string_equal(get("k0", ""), "v");
	add("one more", "", "v");
	assert_int_equal(cache_count(&cache), CACHE_ENTRIES_MAX);
	assert_string_equal(get("k0", ""), "v");
	assert_string_equal(get("k1", ""), "");
}

static void test_bytes_are_bounded(void **state)
{
	size_t size = CACHE_ANSWER_MAX;
	uint8_t *big = mem_zalloc(size + 1);
	char key[16];

	for (int i = 0; i < 100; i++) {
		struct range_req r;

		snprintf(key, sizeof(key), "k%d", i);
		r = range(key, "");
		cache_add(&cache, &r, (struct slice){0}, slice_of(big, size));
		assert_true(cache.bytes <= CACHE_BYTES_MAX);
	}
	assert_true(cache_count(&cache) > 1);
	{
		struct range_req r = range("too big", "");

		cache_add(&cache, &r, (struct slice){0}, slice_of(big, size + 1));
	}
	assert_string_equal(get("too big", ""), "");
	mem_free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_an_answer_is_to_its_question_and_its_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_takes_out_what_it_overlaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revisions_stay_until_compacted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_one_unused_for_longest_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_are_bounded, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
