/* What du, top and /metrics are computed from. Sums of du are counted by hand; quantiles are those that Prometheus'
 * histogram_quantile gives (linear within a bucket, the lower end of the last one). */
#include <math.h>

#include "ctl/du.h"
#include "ctl/hot.h"
#include "ctl/metrics.h"
#include "tests/lib/test.h"

static void append_level(void *user, struct slice path, struct du_sums sums)
{
	buf_printf(user, "%.*s=%d,%d ", SLICE_ARG(path), (int)sums.keys, (int)sums.bytes);
}

static const struct {
	const char *prefix, *keys[8];
	size_t depth;
	const char *want;
} trees[] = {
    {"", {"a", "b"}, 1, "=2,4 "},
    {"", {"/a/b", "/a/c/d", "/b"}, 1, "/a/=2,12 =3,15 "},
    {"", {"/a/b", "/a/c/d", "/b"}, 2, "/a/c/=1,7 /a/=2,12 =3,15 "},
    {"", {"/a/b", "/a/c/d", "/b"}, 0, "=3,15 "},
    {"/a/", {"/a/b/c", "/a/b/d", "/a/c/d"}, 1, "/a/b/=2,14 /a/c/=1,7 /a/=3,21 "},
    {"/a", {"/a/b/c", "/ab/c"}, 1, "/a/b/=1,7 /ab/=1,6 /a=2,13 "},
    {"", {"a/", "a/b", "ab/c"}, 1, "a/=2,7 ab/=1,5 =3,12 "},
    {"x", {NULL}, 3, "x=0,0 "},
};

static void test_levels(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(trees); i++) {
		struct buf got;
		struct du d;

		buf_init(&got, 4096);
		du_init(&d, slice_str(trees[i].prefix), '/', trees[i].depth, append_level, &got);
		for (size_t k = 0; trees[i].keys[k]; k++)
			du_add(&d, slice_str(trees[i].keys[k]), 1);
		du_end(&d);
		buf_put_byte(&got, 0);
		assert_string_equal((char *)got.data, trees[i].want);
		buf_fini(&got);
	}
}

static void test_hottest(void **state)
{
	const struct hot_row *rows[3];
	struct hot h;

	hot_init(&h, '/', 2);
	for (size_t i = 0; i < 5; i++)
		hot_add(&h, SLICE_LIT("/a/b/c"), 10);
	hot_add(&h, SLICE_LIT("/a/c/d"), 100);
	hot_add(&h, SLICE_LIT("/a/x"), 1);
	hot_add(&h, SLICE_LIT("name"), 1);
	assert_int_equal(hot_top(&h, rows, 3), 3);
	assert_memory_equal(rows[0]->prefix, "/a/b/", 5);
	assert_int_equal(rows[0]->events_all, 5);
	assert_int_equal(rows[0]->bytes_all, 50);
	assert_memory_equal(rows[1]->prefix, "/a/c/", 5);
	hot_turn(&h, 2.0);
	assert_true(hot_top(&h, rows, 1) == 1 && rows[0]->events_per_s == 2.5 && rows[0]->bytes_per_s == 25);
	/* What was hot cools off: three new events beat the halves of five old ones. */
	hot_turn(&h, 1.0);
	for (size_t i = 0; i < 3; i++)
		hot_add(&h, SLICE_LIT("/a/x"), 1);
	hot_top(&h, rows, 1);
	assert_memory_equal(rows[0]->prefix, "/a/", 3);
	hot_fini(&h);
}

/* However many prefixes there are: the table stays, and so does who is hot. */
static void test_hot_is_bounded(void **state)
{
	const struct hot_row *rows[1];
	char key[32];
	struct hot h;

	hot_init(&h, '/', 1);
	for (int i = 0; i < 20 * HOT_MAX; i++) {
		snprintf(key, sizeof(key), "p%d/k", i);
		hot_add(&h, slice_str(key), 1);
		hot_add(&h, SLICE_LIT("hot/k"), 1);
		assert_true(h.count <= HOT_MAX);
	}
	assert_int_equal(hot_top(&h, rows, 1), 1);
	assert_memory_equal(rows[0]->prefix, "hot/", 4);
	assert_int_equal(rows[0]->events_all, 20 * HOT_MAX);
	assert_true(h.forgotten > 0);
	hot_fini(&h);
}

static const char text[] =
    "HTTP/1.0 200 OK\r\n\r\n"
    "# HELP t_bucket{le=\"1\"} 99\n"
    "calls_total{method=\"a }\"} 3\n"
    "calls_total{method=\"b\"} 4.5\n"
    "calls_total_more 100\n"
    "plain 1.5e+06\n"
    "t_bucket{type=\"x\",le=\"0.1\"} 50\n"
    "t_bucket{type=\"x\",le=\"0.2\"} 90\n"
    "t_bucket{type=\"x\",le=\"+Inf\"} 100\n"
    "t_bucket{type=\"y\",le=\"0.1\"} 0\n"
    "t_bucket{type=\"y\",le=\"0.2\"} 10\n"
    "t_bucket{type=\"y\",le=\"+Inf\"} 100\n"
    "t_sum 1\nt_count 200\n";

static void test_metrics(void **state)
{
	struct metrics_buckets b, none;
	double v;

	assert_true(metrics_sum(text, "plain", &v) && v == 1.5e6);
	assert_true(metrics_sum(text, "calls_total", &v) && v == 7.5);
	assert_false(metrics_sum(text, "calls", &v));
	metrics_histogram(text, "t", &b);
	assert_int_equal(b.count, 3);
	assert_true(b.at_most[0] == 50 && b.at_most[1] == 100 && b.at_most[2] == 200);
	assert_float_equal(metrics_quantile(&b, NULL, 0.125), 0.05, 1e-9);
	assert_float_equal(metrics_quantile(&b, NULL, 0.375), 0.15, 1e-9);
	assert_float_equal(metrics_quantile(&b, NULL, 0.99), 0.2, 1e-9);
	assert_true(isnan(metrics_quantile(&b, &b, 0.99)));
	metrics_histogram(text, "u", &none);
	assert_true(isnan(metrics_quantile(&none, NULL, 0.99)));
	none = b;
	none.at_most[0] = 0;
	none.at_most[1] = none.at_most[2] = 50;
	assert_float_equal(metrics_quantile(&b, &none, 0.25), 0.075, 1e-9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_hottest),
	    cmocka_unit_test(test_hot_is_bounded),
	    cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
