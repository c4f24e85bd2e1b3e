/* Files set aside: names, order, number, age, gzip. Names and rules: lumberjack v2.2.1. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "../../lib/test.h"
#include "obs/log_rotate.h"

static char dir[64];
static _Atomic int64_t now_ns;  /* read by the sweeper, too */

static int64_t clock_ns(void)
{
	return now_ns;
}

static char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/rotateXXXXXX");
	now_ns = INT64_C(1700000000123456789);          /* 2023-11-14T22:13:20.123Z */
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlink(path_of(e->d_name));
	closedir(d);
	return rmdir(dir);
}

static struct log_rotate *open_it(struct log_rotation cfg)
{
	struct log_rotate *r;
	struct why why;

	assert_ok(log_rotate_open(path_of("etcd.log"), &cfg, &why, &r));
	log_rotate_test(r, 100, clock_ns);
	return r;
}

/* Each line of 60 bytes but the first sets the file aside; a minute apart. */
static void write_lines(struct log_rotate *r, int count)
{
	char line[61];

	for (int i = 0; i < count; i++) {
		memset(line, 'a' + i, 59);
		line[59] = '\n';
		log_rotate_write(r, line, 60);
		now_ns += INT64_C(60000000000);
	}
}

static size_t size_of(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) ? SIZE_MAX : (size_t)st.st_size;
}

static void test_names(void **state)
{
	struct log_rotate *r = open_it((struct log_rotation){0});

	write_lines(r, 3);
	log_rotate_close(r);
	assert_int_equal(size_of("etcd.log"), 60);
	assert_int_equal(size_of("etcd-2023-11-14T22-14-20.123.log"), 60);
	assert_int_equal(size_of("etcd-2023-11-14T22-15-20.123.log"), 60);
}

static void test_goes_on_where_it_was(void **state)
{
	struct log_rotate *r = open_it((struct log_rotation){0});

	log_rotate_write(r, "1234567890\n", 11);
	log_rotate_close(r);
	r = open_it((struct log_rotation){0});
	write_lines(r, 1);
	assert_int_equal(size_of("etcd.log"), 71);
	write_lines(r, 1);
	assert_int_equal(size_of("etcd.log"), 60);
	log_rotate_close(r);
}

static void test_number(void **state)
{
	struct log_rotate *r = open_it((struct log_rotation){.files_max = 2});

	fclose(fopen(path_of("etcd-other.log"), "w"));          /* not ours */
	write_lines(r, 6);
	log_rotate_close(r);
	/* The last sweep saw all of them. */
	r = open_it((struct log_rotation){.files_max = 2});
	log_rotate_close(r);
	assert_int_equal(size_of("etcd-2023-11-14T22-16-20.123.log"), SIZE_MAX);
	assert_int_equal(size_of("etcd-2023-11-14T22-17-20.123.log"), 60);
	assert_int_equal(size_of("etcd-2023-11-14T22-18-20.123.log"), 60);
	assert_int_equal(size_of("etcd-other.log"), 0);
}

/* By the time in the name; the clock of a start is the real one, far later than these. */
static void test_age(void **state)
{
	struct log_rotate *r = open_it((struct log_rotation){0});
	struct why why;

	write_lines(r, 3);
	log_rotate_close(r);
	assert_ok(log_rotate_open(path_of("etcd.log"), &(struct log_rotation){.age_days_max = 1}, &why, &r));
	log_rotate_close(r);
	assert_int_equal(size_of("etcd-2023-11-14T22-14-20.123.log"), SIZE_MAX);
	assert_int_equal(size_of("etcd.log"), 60);
}

static void test_gzip(void **state)
{
	struct log_rotate *r = open_it((struct log_rotation){.compress = true});
	char text[100];
	gzFile gz;

	write_lines(r, 2);
	log_rotate_close(r);
	assert_int_equal(size_of("etcd-2023-11-14T22-14-20.123.log"), SIZE_MAX);
	gz = gzopen(path_of("etcd-2023-11-14T22-14-20.123.log.gz"), "rb");
	assert_non_null(gz);
	assert_int_equal(gzread(gz, text, sizeof(text)), 60);
	assert_int_equal(text[0], 'a');
	gzclose(gz);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_where_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gzip, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
