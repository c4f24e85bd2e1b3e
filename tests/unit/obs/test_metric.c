/* Metrics: exact sums over threads, and the text that Prometheus' Go client would print. Bucket labels below
 * are those of a running etcd v3.7.1. */
#include "../../lib/test.h"

#include <pthread.h>
#include <stdlib.h>

#include "obs/metric_impl.h"

static char *text(void)
{
	struct buf b;
	char *s;

	buf_init(&b, 1 << 22);
	metric_write(&b);
	buf_put_byte(&b, 0);
	assert_false(buf_failed(&b));
	s = mem_strdup((char *)b.data);
	buf_fini(&b);
	return s;
}

static void assert_has(const char *want)
{
	char *s = text();

	if (!strstr(s, want))
		fail_msg("not there:\n%s", want);
	mem_free(s);
}

static void assert_lacks(const char *want)
{
	char *s = text();

	if (strstr(s, want))
		fail_msg("there:\n%s", want);
	mem_free(s);
}

static void *count_and_end(void *arg)
{
	for (int i = 0; i < 100000; i++)
		metric_add(METRIC_MVCC_PUT_TOTAL, 1);
	metric_observe(METRIC_DISK_WAL_FSYNC_DURATION_SECONDS, 1500000);
	return arg;
}

static void test_counts_of_ended_and_living_threads(void **state)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_and_end, NULL), 0);
	for (int i = 0; i < 100; i++)
		assert_true(metric_value(METRIC_MVCC_PUT_TOTAL) <= 400001);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	metric_add(METRIC_MVCC_PUT_TOTAL, 2);
	assert_true(metric_value(METRIC_MVCC_PUT_TOTAL) == 400002);
	assert_true(metric_value(METRIC_DISK_WAL_FSYNC_DURATION_SECONDS) == 4);
	assert_has("# TYPE etcd_mvcc_put_total counter\netcd_mvcc_put_total 400002\n");
}

static void test_histogram_text(void **state)
{
	const char *ok = "true";
	uint32_t s = metric_series(METRIC_SERVER_RANGE_DURATION_SECONDS, &ok);

	metric_observe(s, 0);
	metric_observe(s, 100000);      /* on the bound: belongs below it */
	metric_observe(s, 100001);
	metric_observe_many(s, 125000000, 2);
	metric_observe(s, 100000000000);
	assert_has("# TYPE etcd_server_range_duration_seconds histogram\n"
		   "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"0.0001\"} 2\n"
		   "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"0.0002\"} 3\n");
	assert_has("le=\"0.1024\"} 3\n"
		   "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"0.2048\"} 5\n");
	assert_has("le=\"52.4288\"} 5\n"
		   "etcd_server_range_duration_seconds_bucket{success=\"true\",le=\"+Inf\"} 6\n"
		   "etcd_server_range_duration_seconds_sum{success=\"true\"} 100.250200001\n"
		   "etcd_server_range_duration_seconds_count{success=\"true\"} 6\n");
}

/* Bounds of every kind of row, as a running Go etcd shows them. */
static void test_bucket_labels(void **state)
{
	assert_has("etcd_debugging_lease_ttl_total_bucket{le=\"524288\"} 0\n"
		   "etcd_debugging_lease_ttl_total_bucket{le=\"1.048576e+06\"} 0\n");
	assert_has("etcd_debugging_lease_ttl_total_bucket{le=\"8.388608e+06\"} 0\n"
		   "etcd_debugging_lease_ttl_total_bucket{le=\"+Inf\"} 0\n");
	assert_has("etcd_disk_backend_commit_duration_seconds_bucket{le=\"8.192\"} 0\n"
		   "etcd_disk_backend_commit_duration_seconds_bucket{le=\"+Inf\"} 0\n");
	assert_has("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_bucket{le=\"0.5\"} 0\n");
	assert_has("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_bucket{le=\"819200\"} 0\n");
	assert_has("etcd_disk_backend_snapshot_duration_seconds_bucket{le=\"655.36\"} 0\n");
}

static void test_buckets_agree_with_bounds(void **state)
{
	for (int row = 0; row < METRIC__COUNT; row++) {
		const struct metric_buckets *b = &metric_rows[row].buckets;

		assert_true(b->count <= METRIC_BUCKETS_MAX);
		for (size_t i = 0; i < b->count; i++) {
			assert_int_equal(metric_bucket(b, metric_bound(b, i)), i);
			assert_int_equal(metric_bucket(b, metric_bound(b, i) + 1), i + 1);
		}
		if (b->count)
			assert_int_equal(metric_bucket(b, UINT64_MAX), b->count);
	}
}

static void test_rows_are_well_formed(void **state)
{
	for (int row = 0; row < METRIC__COUNT; row++) {
		char labels[128], *save = NULL, *before = NULL;

		snprintf(labels, sizeof(labels), "%s", metric_rows[row].labels);
		for (char *l = strtok_r(labels, ",", &save); l; l = strtok_r(NULL, ",", &save)) {
			assert_true(!before || strcmp(before, l) < 0);
			before = l;
		}
		for (int other = 0; other < row; other++)
			assert_string_not_equal(metric_rows[row].name, metric_rows[other].name);
	}
}

static void test_labels(void **state)
{
	const char *b[] = {"b\"\\\n", "read"}, *a[] = {"a", "read"};
	uint32_t first = metric_series(METRIC_SERVER_HEALTHCHECK, b), second = metric_series(METRIC_SERVER_HEALTHCHECK, a);

	assert_int_equal(metric_series(METRIC_SERVER_HEALTHCHECK, b), first);
	assert_int_not_equal(first, second);
	metric_set(second, -1);
	metric_move(first, 2);
	metric_move(first, -0.5);
	assert_has("# TYPE etcd_server_healthcheck gauge\n"
		   "etcd_server_healthcheck{name=\"a\",type=\"read\"} -1\n"
		   "etcd_server_healthcheck{name=\"b\\\"\\\\\\n\",type=\"read\"} 1.5\n");
	metric_drop(first);
	assert_has("etcd_server_healthcheck{name=\"a\",type=\"read\"} -1\n# HELP");
	assert_int_equal(metric_series(METRIC_SERVER_HEALTHCHECK, b), first);
	assert_has("type=\"read\"} 0\n");
}

static void test_rows_without_series_are_absent(void **state)
{
	assert_lacks("etcd_network_peer_round_trip_time_seconds");
	assert_has("# TYPE etcd_debugging_auth_revision gauge\netcd_debugging_auth_revision 0\n");
}

static void test_too_many_series(void **state)
{
	char value[16];
	const char *v = value;
	uint32_t id = 0;

	for (int i = 0; i < METRIC_SERIES_MAX_EACH + 10; i++) {
		snprintf(value, sizeof(value), "%d", i);
		id = metric_series(METRIC_SERVER_LEARNER_PROMOTE_FAILURES, &v);
		metric_add(id, 1);
	}
	assert_has("{Reason=\"1023\"} 1\n");
	assert_lacks("{Reason=\"1033\"}");
	metric_add(id, 1);
}

static void set_db_size(void *arg)
{
	metric_set(METRIC_MVCC_DB_TOTAL_SIZE_IN_BYTES, *(double *)arg);
}

static void test_scrape_hook(void **state)
{
	double size = 20480;

	metric_on_scrape(set_db_size, &size);
	assert_has("etcd_mvcc_db_total_size_in_bytes 20480\n");
	size = 1048576;
	assert_has("etcd_mvcc_db_total_size_in_bytes 1.048576e+06\n");
	metric_off_scrape(set_db_size, &size);
	size = 1;
	assert_has("etcd_mvcc_db_total_size_in_bytes 1.048576e+06\n");
}

static double line_value(const char *name)
{
	char *s = text(), *p = strstr(s, name);
	double v = p ? atof(p + strlen(name)) : -1;

	mem_free(s);
	return v;
}

static void test_process(void **state)
{
	assert_true(line_value("\nprocess_resident_memory_bytes ") > 1e6);
	assert_true(line_value("\nprocess_open_fds ") >= 3);
	assert_true(line_value("\nprocess_open_fds ") < line_value("\nprocess_max_fds "));
	assert_true(line_value("\nprocess_start_time_seconds ") > 1.7e9);
	assert_true(line_value("\nprocess_cpu_seconds_total ") < 60);
	assert_true(line_value("\nprocess_network_receive_bytes_total ") >= 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_of_ended_and_living_threads), cmocka_unit_test(test_histogram_text),
		cmocka_unit_test(test_bucket_labels), cmocka_unit_test(test_buckets_agree_with_bounds),
		cmocka_unit_test(test_rows_are_well_formed), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_rows_without_series_are_absent), cmocka_unit_test(test_too_many_series),
		cmocka_unit_test(test_scrape_hook), cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
