/* Log lines. The expected lines were written by zap v1.27.1 with etcd's encoder settings (logutil
 * DefaultZapLoggerConfig) for the same entry. */
#define LOG_LOGGER "named"
#include "../../lib/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "obs/log_impl.h"

#define NOW_NS 1764064035990123456

static const struct log_site site = {NULL, "/a/b/obs/test_log.c", "f", 7, LOG_LEVEL_INFO};
static const struct log_site site_raft = {"raft", "/a/b/obs/test_log.c", "f", 7, LOG_LEVEL_INFO};
static const char *const two[] = {"x", "y z"};
static const char hello[] = "hello \"x\"\nthere";

static const struct log_field all[] = {
	LOG_STR("s", "a\"b\\c\n\t\x01<>&\xc3\xa9\xff\xe6\x97\xa5"), LOG_INT("i", -5), LOG_UINT("u", UINT64_MAX),
	LOG_BOOL("b", true), LOG_DURATION("d", 228890), LOG_STRS("l", two, 2), LOG_STRS("e", two, 0),
	LOG_STR("error", "boom"),
};

static const char *build(enum log_format format, const struct log_site *s, const char *text,
			 const struct log_field *fields, size_t count)
{
	static struct log_line l;

	log_line_build(&l, format, NOW_NS, s, text, fields, count);
	assert_true(l.size < sizeof(l.data));
	l.data[l.size] = '\0';
	return l.data;
}

static void set_zone(const char *tz)
{
	setenv("TZ", tz, 1);
	tzset();
}

#define FIELDS_JSON                                                                              \
	"\"s\":\"a\\\"b\\\\c\\n\\t\\u0001<>&\xc3\xa9\\ufffd\xe6\x97\xa5\",\"i\":-5,"              \
	"\"u\":18446744073709551615,\"b\":true,\"d\":\"228.89\xc2\xb5s\",\"l\":[\"x\",\"y z\"],\"e\":[],\"error\":\"boom\""

static void test_json(void **state)
{
	set_zone("UTC");
	assert_string_equal(build(LOG_FORMAT_JSON, &site, hello, all, ARRAY_COUNT(all)),
			    "{\"level\":\"info\",\"ts\":\"2025-11-25T09:47:15.990123Z\",\"caller\":\"obs/test_log.c:7\","
			    "\"msg\":\"hello \\\"x\\\"\\nthere\"," FIELDS_JSON "}\n");
	assert_string_equal(build(LOG_FORMAT_JSON, &site_raft, hello, NULL, 0),
			    "{\"level\":\"info\",\"ts\":\"2025-11-25T09:47:15.990123Z\",\"logger\":\"raft\","
			    "\"caller\":\"obs/test_log.c:7\",\"msg\":\"hello \\\"x\\\"\\nthere\"}\n");
	set_zone("XXX-2");
	assert_string_equal(build(LOG_FORMAT_JSON, &site, "m", NULL, 0),
			    "{\"level\":\"info\",\"ts\":\"2025-11-25T11:47:15.990123+0200\","
			    "\"caller\":\"obs/test_log.c:7\",\"msg\":\"m\"}\n");
	set_zone("UTC");
}

static void test_console(void **state)
{
	set_zone("UTC");
	assert_string_equal(build(LOG_FORMAT_CONSOLE, &site, hello, NULL, 0),
			    "2025-11-25T09:47:15.990123Z\tinfo\tobs/test_log.c:7\thello \"x\"\nthere\n");
	assert_string_equal(build(LOG_FORMAT_CONSOLE, &site_raft, "m", all, ARRAY_COUNT(all)),
			    "2025-11-25T09:47:15.990123Z\tinfo\traft\tobs/test_log.c:7\tm\t"
			    "{\"s\": \"a\\\"b\\\\c\\n\\t\\u0001<>&\xc3\xa9\\ufffd\xe6\x97\xa5\", \"i\": -5, "
			    "\"u\": 18446744073709551615, \"b\": true, \"d\": \"228.89\xc2\xb5s\", "
			    "\"l\": [\"x\", \"y z\"], \"e\": [], \"error\": \"boom\"}\n");
}

static void test_hex_and_raw(void **state)
{
	const struct log_field f[] = {LOG_HEX("id", 0xbdae9bbc11dd390), LOG_HEX("none", 0), LOG_RAW("o", "{\"a\":1}"),
				      LOG_SLICE("sl", SLICE_LIT("ab")), LOG_ERR(ERR_NO_LEADER)};

	assert_non_null(strstr(build(LOG_FORMAT_JSON, &site, "m", f, ARRAY_COUNT(f)),
			       ",\"id\":\"bdae9bbc11dd390\",\"none\":\"0\",\"o\":{\"a\":1},\"sl\":\"ab\","
			       "\"error\":\"etcdserver: no leader\"}"));
}

static void test_stacktrace_from_error_on(void **state)
{
	struct log_site s = site;

	s.level = LOG_LEVEL_ERROR;
	assert_non_null(strstr(build(LOG_FORMAT_JSON, &s, "m", NULL, 0),
			       "\"stacktrace\":\"f\\n\\t/a/b/obs/test_log.c:7\"}\n"));
}

/* Whatever is logged, the line stays within its bound and stays JSON: each string ends, the object ends. */
static void test_bounds(void **state)
{
	char *huge = mem_alloc(40000);
	struct log_field f[6];
	const char *line;

	for (size_t i = 0; i < 39999; i += 3)
		memcpy(huge + i, "\xe6\x97\xa5", 3);
	huge[39999] = '\0';
	f[0] = LOG_STR("huge", huge);
	line = build(LOG_FORMAT_JSON, &site, "m", f, 1);
	assert_non_null(strstr(line, "\xe6\x97\xa5...\"}\n"));
	assert_true(slice_is_utf8(slice_str(line)));
	for (size_t i = 1; i < ARRAY_COUNT(f); i++)
		f[i] = LOG_STR("more", huge);
	line = build(LOG_FORMAT_JSON, &site, "m", f, ARRAY_COUNT(f));
	assert_non_null(strstr(line, "\xe6\x97\xa5...\",\"truncated\":true}\n"));
	memset(huge, 1, 39999);
	line = build(LOG_FORMAT_CONSOLE, &site, "m", f, ARRAY_COUNT(f));
	assert_non_null(strstr(line, "m\t{\"truncated\": true}\n"));
	build(LOG_FORMAT_JSON, &site, huge, f, ARRAY_COUNT(f));
	mem_free(huge);
}

static int64_t clock_ns;
static size_t lines;

static int64_t test_clock(void)
{
	return clock_ns;
}

static void count_line(void *arg, const char *line, size_t size)
{
	assert_int_equal(line[size - 1], '\n');
	lines++;
}

static size_t burst(const char *text, int n)
{
	static const struct log_site warn = {NULL, "t.c", "f", 1, LOG_LEVEL_WARN};

	lines = 0;
	for (int i = 0; i < n; i++)
		log_event(&warn, text, NULL, 0);
	return lines;
}

static void test_sampling(void **state)
{
	log_set_writer(count_line, NULL);
	log_set_clock(test_clock);
	clock_ns = NOW_NS;
	assert_int_equal(burst("again", 100), 100);
	assert_int_equal(burst("again", 99), 0);
	assert_int_equal(burst("again", 1), 1);
	assert_int_equal(burst("again", 250), 2);
	assert_int_equal(burst("another", 1), 1);
	clock_ns += 1000000000;
	assert_int_equal(burst("again", 150), 100);
	log_set_writer(NULL, NULL);
	log_set_clock(NULL);
}

static int evaluated;

static int64_t evaluate(void)
{
	return ++evaluated;
}

static void test_level(void **state)
{
	struct log_config cfg = {LOG_LEVEL_WARN, LOG_FORMAT_JSON, (const char *[]){"stderr"}, 1};
	enum log_level level;

	log_set_writer(count_line, NULL);
	assert_ok(log_setup(&cfg, NULL));
	lines = 0;
	LOG_INFO("not this", LOG_INT("n", evaluate()));
	LOG_WARN("but this", LOG_INT("n", evaluate()));
	assert_int_equal(lines, 1);
	assert_int_equal(evaluated, 1);
	log_reset();
	log_set_writer(NULL, NULL);
	assert_true(log_level_parse("WARN", &level) && level == LOG_LEVEL_WARN);
	assert_false(log_level_parse("loud", &level));
}

static void *write_many(void *arg)
{
	for (int i = 0; i < 90; i++)
		LOG_WARN(arg, LOG_STRS("l", two, 2), LOG_INT("i", i));
	return NULL;
}

/* Threads write to a file each whole line; a second output gets the same. */
static void test_files_and_threads(void **state)
{
	static char *texts[] = {"thread 0", "thread 1", "thread 2", "thread 3"};
	char a[] = "/tmp/test_log_XXXXXX", b[] = "/tmp/test_log_XXXXXX", buf[512];
	struct log_config cfg = {LOG_LEVEL_INFO, LOG_FORMAT_JSON, (const char *[]){a, b}, 2};
	pthread_t threads[4];
	const char *files[] = {a, b};

	close(mkstemp(a));
	close(mkstemp(b));
	assert_ok(log_setup(&cfg, NULL));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, texts[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	log_reset();
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(files[i], "r");
		int n = 0;

		while (fgets(buf, sizeof(buf), f)) {
			assert_non_null(strstr(buf, "\"logger\":\"named\""));
			assert_memory_equal(buf, "{\"level\":\"warn\",", 16);
			assert_non_null(strstr(buf, "\"l\":[\"x\",\"y z\"],\"i\":"));
			assert_string_equal(buf + strlen(buf) - 2, "}\n");
			n++;
		}
		assert_int_equal(n, 360);
		fclose(f);
		unlink(files[i]);
	}
}

static void test_bad_file(void **state)
{
	struct log_config cfg = {LOG_LEVEL_INFO, LOG_FORMAT_JSON, (const char *[]){"/nonexistent/x.log"}, 1};
	struct why why;

	assert_err(ERR_NOT_EXIST, log_setup(&cfg, &why));
	assert_string_equal(why.text,
			    "open sink \"/nonexistent/x.log\": open /nonexistent/x.log: no such file or directory");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json), cmocka_unit_test(test_console), cmocka_unit_test(test_hex_and_raw),
		cmocka_unit_test(test_stacktrace_from_error_on), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_sampling), cmocka_unit_test(test_level), cmocka_unit_test(test_files_and_threads),
		cmocka_unit_test(test_bad_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
