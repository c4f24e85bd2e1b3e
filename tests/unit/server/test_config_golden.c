/* What is said about flags, variables and configuration files, against records of Go etcd v3.7.1
 * (config_golden.txt, written by make_config_golden.py). Each record is read in a process of its own, for some
 * of them end it. */
#include "../../lib/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/config.h"

#define WORDS_MAX 32
#define RUN 77

struct record {
	char words[1024];
	char file[4096];
	char exit[16];
	char want[8192];
};

static FILE *golden;
static char pending[4096];

static bool next_line(char *line, size_t size)
{
	if (pending[0]) {
		snprintf(line, size, "%s", pending);
		pending[0] = '\0';
		return true;
	}
	return fgets(line, (int)size, golden) != NULL;
}

static void append(char *to, size_t size, const char *text)
{
	size_t n = strlen(to);

	assert_true(n + strlen(text) < size);
	strcpy(to + n, text);
}

static bool next_record(struct record *r)
{
	char line[4096];

	memset(r, 0, sizeof(*r));
	do {
		if (!next_line(line, sizeof(line)))
			return false;
	} while (line[0] == '#');
	assert_memory_equal(line, "> ", 2);
	line[strcspn(line, "\n")] = '\0';
	append(r->words, sizeof(r->words), line + 2);
	while (next_line(line, sizeof(line))) {
		if (!strncmp(line, "> ", 2)) {
			strcpy(pending, line);
			break;
		}
		if (!strncmp(line, "| ", 2))
			append(r->file, sizeof(r->file), line + 2);
		else if (!strncmp(line, "exit ", 5))
			append(r->exit, sizeof(r->exit), line + 5);
		else
			append(r->want, sizeof(r->want), line);
	}
	return true;
}

/* In the child: words to argv and environ, stderr to the file. */
static void run_child(char *words, const char *stderr_path)
{
	char *argv[WORDS_MAX] = {"etcd"}, *env[WORDS_MAX] = {NULL}, *save = NULL;
	int argc = 1, envc = 0, fd = open(stderr_path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
	struct config_outcome o;
	struct config cfg;

	dup2(fd, 2);
	for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (!strncmp(w, "ETCD", 4))
			env[envc++] = w;
		else
			argv[argc++] = w;
	}
	config_load(argc, argv, env, &cfg, &o);
	if (o.err.size && write(2, o.err.data, o.err.size) < 0)
		_exit(99);
	_exit(o.run ? RUN : o.exit_code);
}

/* Cuts from `start` to behind `end` wherever they stand in line. */
static void cut(char *line, const char *start, const char *end)
{
	char *p = strstr(line, start), *q = p ? strstr(p + strlen(start), end) : NULL;

	if (q)
		memmove(p, q + strlen(end), strlen(q + strlen(end)) + 1);
}

static void normalise(char *line)
{
	cut(line, "\"ts\":\"", "\",");
	cut(line, "\"caller\":\"", "\",");
	cut(line, ",\"stacktrace\":\"", "\"");
	if (line[0] == '2' && strchr(line, '\t')) {
		cut(line, "2", "\t");
		cut(line, "server/", "\t");
	}
}

static void read_output(const char *path, bool first_only, char *out, size_t size)
{
	FILE *f = fopen(path, "r");
	char line[4096];

	out[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		normalise(line);
		/* says something about the machine, not about the flags */
		if (strstr(line, "failed to detect default host"))
			continue;
		append(out, size, line);
		if (first_only)
			break;
	}
	fclose(f);
}

static int run_record(struct record *r, const char *stderr_path)
{
	FILE *f = fopen("c.yml", "w");
	int status;
	pid_t pid;

	fputs(r->file, f);
	fclose(f);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		run_child(r->words, stderr_path);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_golden(void **state)
{
	char dir[] = "/tmp/test_config_XXXXXX", stderr_path[64], got[8192], words[1024];
	static struct record r;
	int count = 0, wrong = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	snprintf(stderr_path, sizeof(stderr_path), "%s/stderr", dir);
	for (; next_record(&r); count++) {
		int code, want = !strcmp(r.exit, "run\n") ? RUN : atoi(r.exit);

		strcpy(words, r.words);
		code = run_record(&r, stderr_path);
		read_output(stderr_path, want == 2, got, sizeof(got));
		if (code == want && !strcmp(got, r.want))
			continue;
		wrong++;
		print_error("etcd %s\n%sexit %d, want %d\n--- got\n%s--- want\n%s", words, r.file, code, want, got, r.want);
	}
	unlink(stderr_path);
	unlink("c.yml");
	assert_int_equal(chdir("/"), 0);
	rmdir(dir);
	assert_true(count > 150);
	assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};

	golden = argc > 1 ? fopen(argv[1], "r") : NULL;
	if (!golden) {
		fprintf(stderr, "usage: test_config_golden config_golden.txt\n");
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
