/* Paths as Go's filepath.Join shows them (asked of Go), and the set of keys against a naive one. */
#include "../../lib/test.h"

#include "base/rng.h"
#include "utl/key_set.h"
#include "utl/open.h"

static void joins(void **state)
{
	static const struct {
		const char *dir, *name, *want;
	} cases[] = {
	    {"d", "member", "d/member"},
	    {"d/", "member", "d/member"},
	    {"d//", "member/wal", "d/member/wal"},
	    {"/", "member", "/member"},
	    {"", "member", "member"},
	    {".", "member", "member"},
	    {"./d", "x", "d/x"},
	    {"a/../d", "x", "d/x"},
	    {"a/./b//c/../d", ".", "a/b/d"},
	    {"../d", "x", "../d/x"},
	    {"../../d/..", "x", "../../x"},
	    {"/..", "x", "/x"},
	    {"/a/../../b", "x", "/b/x"},
	    {"..", "..", "../.."},
	    {"a", "..", "."},
	    {".", ".", "."},
	    {"/a", "..", "/"},
	    {"a/b/../..", "..", ".."},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char *got = utl_join(cases[i].dir, cases[i].name);

		assert_string_equal(got, cases[i].want);
		mem_free(got);
	}
}

enum { KEYS = 3000 };

static void keys(void **state)
{
	static uint8_t names[KEYS][5];
	static bool lives[KEYS];
	struct key_set s;
	struct rng rng;
	uint64_t live = 0;

	rng_init(&rng, 7);
	key_set_init(&s, 1);
	for (size_t i = 0; i < KEYS; i++)
		memcpy(names[i], (uint8_t[]){(uint8_t)i, 0, (uint8_t)(i >> 8), 'k', (uint8_t)(i % 3)}, 5);
	for (size_t step = 0; step < 20000; step++) {
		size_t i = rng_below(&rng, KEYS);
		bool now = rng_below(&rng, 3) != 0;

		key_set_put(&s, slice_of(names[i], i % 7 ? 5 : 4), now);
		live += now;
		live -= lives[i];
		lives[i] = now;
		assert_int_equal(s.live, live);
	}
	key_set_put(&s, (struct slice){0}, true);
	key_set_put(&s, (struct slice){0}, true);
	assert_int_equal(s.live, live + 1);
	key_set_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(joins), cmocka_unit_test(keys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
