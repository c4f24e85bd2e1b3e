/* The index of ranges against a list of them. */
#include "watch_test.h"
#include "watch/match.h"

struct found {
	VEC(struct match_node *) list;
};

static void on_node(void *arg, struct match_node *n)
{
	struct found *f = arg;

	for (size_t i = 0; i < f->list.count; i++)
		assert_ptr_not_equal(f->list.at[i], n);
	VEC_PUSH(&f->list, n);
}

struct range {
	char key[8], end[8];
	bool from;
	struct match_node *node;
};

static bool naive_contains(const struct range *r, const char *key)
{
	if (r->from)
		return strcmp(r->key, key) <= 0;
	if (!r->end[0])
		return !strcmp(r->key, key);
	return strcmp(r->key, key) <= 0 && strcmp(key, r->end) < 0;
}

static void random_text(struct rng *r, char out[8])
{
	size_t n = 1 + rng_below(r, 3);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + rng_below(r, 5));
	out[n] = 0;
}

static void against_a_list(void **state)
{
	enum { RANGES = 300, STEPS = 20000 };
	static struct range ranges[RANGES];
	struct match_index x;
	struct rng r;

	memset(ranges, 0, sizeof(ranges));
	match_init(&x, 99);
	rng_init(&r, 5);
	for (int step = 0; step < STEPS; step++) {
		struct range *g = &ranges[rng_below(&r, RANGES)];
		struct found f = {0};
		char key[8];
		size_t want = 0;

		if (g->node) {
			match_unref(&x, g->node);
			g->node = NULL;
		} else {
			random_text(&r, g->key);
			g->end[0] = 0;
			g->from = rng_below(&r, 5) == 0;
			if (!g->from && rng_below(&r, 2))
				random_text(&r, g->end);
			g->node = match_ref(&x, slice_str(g->key), g->from ? slice_of("", 1) : slice_str(g->end));
		}
		random_text(&r, key);
		match_each(&x, slice_str(key), on_node, &f);
		/* each range that contains the key is found, and nothing else: nodes are distinct ranges */
		for (size_t i = 0; i < RANGES; i++) {
			bool found = false, first = true;

			if (!ranges[i].node)
				continue;
			for (size_t k = 0; k < f.list.count; k++)
				found |= f.list.at[k] == ranges[i].node;
			assert_int_equal(found, naive_contains(&ranges[i], key));
			assert_int_equal(found, match_contains(ranges[i].node, slice_str(key)));
			for (size_t k = 0; k < i; k++)
				first &= ranges[k].node != ranges[i].node;
			want += found && first;
		}
		assert_int_equal(f.list.count, want);
		VEC_FREE(&f.list);
		if (step % 200 == 0)
			match_check(&x);
	}
	for (size_t i = 0; i < RANGES; i++)
		if (ranges[i].node)
			match_unref(&x, ranges[i].node);
	assert_int_equal(x.bytes, 0);
	match_fini(&x);
}

static void equal_ranges_share_a_node(void **state)
{
	struct match_index x;

	match_init(&x, 1);

	struct match_node *a = match_ref(&x, SLICE_LIT("k"), SLICE_LIT("l"));
	struct match_node *b = match_ref(&x, SLICE_LIT("k"), SLICE_LIT("l"));
	struct match_node *single = match_ref(&x, SLICE_LIT("k"), (struct slice){0});
	struct match_node *from = match_ref(&x, SLICE_LIT("k"), slice_of("", 1));

	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, single);
	assert_ptr_not_equal(a, from);
	match_unref(&x, a);
	match_check(&x);
	match_unref(&x, b);
	match_unref(&x, single);
	match_unref(&x, from);
	match_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(against_a_list),
					   cmocka_unit_test(equal_ranges_share_a_node)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
