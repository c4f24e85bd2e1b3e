/* The write buffer by itself. */
#include "../../lib/test.h"

#include "backend/buffer.h"
#include "base/rng.h"

static void test_rows_never_move(void **unused)
{
	enum { ROWS = 5000 };
	struct backend_buffer *b = buffer_new();
	const uint8_t **at = NEW_ARRAY(const uint8_t *, ROWS);
	struct rng rng;

	rng_init(&rng, 1);
	for (int64_t i = 0; i < ROWS; i++) {
		size_t size = i == 700 ? 3 << 20 : rng_below(&rng, 300), slack = rng_below(&rng, 3);
		uint8_t *p = buffer_add_row(b, (struct rev){1 + i / 2, i % 2}, i % 7 == 0, size, slack);

		memset(p, (int)(i & 255), size + slack);
		at[i] = p;
	}
	buffer_check(b);
	assert_int_equal(b->count, ROWS);
	for (int64_t i = 0; i < ROWS; i++) {
		const struct buffer_row *r = buffer_row(b, (size_t)i);

		assert_ptr_equal(r->data, at[i]);
		assert_int_equal(buffer_row_rev(r).main, 1 + i / 2);
		assert_int_equal(buffer_row_rev(r).sub, i % 2);
		assert_int_equal(buffer_row_tombstone(r), i % 7 == 0);
		if (r->size)
			assert_int_equal(r->data[r->size - 1], i & 255);
	}
	assert_true(b->bytes >= (3 << 20) + ROWS * sizeof(struct buffer_row));
	buffer_free(b);
	mem_free(at);
}

/* Seeking in the first count rows only, with gaps in the revisions. */
static void test_seek(void **unused)
{
	struct backend_buffer *b = buffer_new();
	struct rng rng;
	int64_t main = 10;

	rng_init(&rng, 3);
	assert_int_equal(buffer_seek(b, 0, (struct rev){5, 0}), 0);
	for (int i = 0; i < 1000; i++) {
		buffer_add_row(b, (struct rev){main, i % 3}, false, 1, 0);
		main += i % 3 == 2 ? 1 + (int64_t)rng_below(&rng, 2) : 0;
	}
	for (int n = 0; n < 20000; n++) {
		size_t count = rng_below(&rng, 1001), want = 0;
		struct rev rev = {(int64_t)rng_below(&rng, 600), (int64_t)rng_below(&rng, 4)};

		while (want < count && rev_cmp(buffer_row_rev(buffer_row(b, want)), rev) < 0)
			want++;
		assert_int_equal(buffer_seek(b, count, rev), want);
	}
	buffer_free(b);
}

static void test_row_keys(void **unused)
{
	static const struct {
		const char *bytes;
		size_t size;
		err_t want;
		int64_t main, sub;
		bool tombstone;
	} cases[] = {
	    {"\0\0\0\0\0\0\1\2_\0\0\0\0\0\0\0\3", 17, OK, 258, 3, false},
	    {"\0\0\0\0\0\0\1\2_\0\0\0\0\0\0\0\3t", 18, OK, 258, 3, true},
	    {"\0\0\0\0\0\0\1\2_\0\0\0\0\0\0\0\3u", 18, ERR_CORRUPT_FILE, 0, 0, false},
	    {"\0\0\0\0\0\0\1\2-\0\0\0\0\0\0\0\3", 17, ERR_CORRUPT_FILE, 0, 0, false},
	    {"\0\0\0\0\0\0\1\2_\0\0\0\0\0\0\0", 16, ERR_CORRUPT_FILE, 0, 0, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t out[REV_KEY_SIZE_MAX];
		struct rev rev;
		bool tombstone;

		assert_int_equal(rev_key_read(slice_of(cases[i].bytes, cases[i].size), &rev, &tombstone),
				 cases[i].want);
		if (cases[i].want)
			continue;
		assert_int_equal(rev.main, cases[i].main);
		assert_int_equal(rev.sub, cases[i].sub);
		assert_int_equal(tombstone, cases[i].tombstone);
		assert_int_equal(rev_key_write(rev, tombstone, out), cases[i].size);
		assert_memory_equal(out, cases[i].bytes, cases[i].size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows_never_move),
	    cmocka_unit_test(test_seek),
	    cmocka_unit_test(test_row_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
