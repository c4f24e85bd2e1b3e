/* Reading, running and rewriting transcripts. */
#include "datadriven.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/arena.h"

struct dd_file {
	const char *path;
	char *text;
	char *at;               /* next line */
	int line;
	bool rewrite;
	struct buf rewritten;
	int commands;
	int failures;
};

void dd_bad_command(const struct dd_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", cmd->path, cmd->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

const struct dd_arg *dd_find_arg(const struct dd_command *cmd, const char *key)
{
	for (size_t i = 0; i < cmd->arg_count; i++) {
		if (strcmp(cmd->args[i].key, key) == 0)
			return &cmd->args[i];
	}
	return NULL;
}

uint64_t dd_uint(const struct dd_command *cmd, const char *text)
{
	char *end;

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9')
		dd_bad_command(cmd, "not a number: %s", text);
	return v;
}

bool dd_bool(const struct dd_command *cmd, const char *text)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
		if (strcmp(text, yes[i]) == 0)
			return true;
		if (strcmp(text, no[i]) == 0)
			return false;
	}
	dd_bad_command(cmd, "not a bool: %s", text);
}

/* ---- reading ---- */

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct buf b;
	char chunk[8192];
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	buf_init(&b, 64 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(&b, chunk, n);
	fclose(f);
	buf_put_byte(&b, 0);
	return (char *)b.data;
}

/* The next line without its newline, cut out of the text; NULL at the end. */
static char *next_line(struct dd_file *f)
{
	char *line = f->at;

	if (*line == 0)
		return NULL;
	char *end = strchr(line, '\n');
	if (end) {
		*end = 0;
		f->at = end + 1;
	} else {
		f->at = line + strlen(line);
	}
	f->line++;
	return line;
}

static void keep(struct dd_file *f, const char *line)
{
	if (f->rewrite)
		buf_printf(&f->rewritten, "%s\n", line);
}

static char *trim(char *s)
{
	while (*s == ' ' || *s == '\t' || *s == '\n')
		s++;
	char *end = s + strlen(s);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n'))
		*--end = 0;
	return s;
}

/* The end of a word: a space outside parentheses. */
static char *word_end(char *s)
{
	int depth = 0;

	for (; *s && (depth > 0 || *s != ' '); s++)
		depth += (*s == '(') - (*s == ')');
	return s;
}

/* Cuts the list behind "key=(" at its top-level commas. */
static void parse_list(struct arena *a, char *s, struct dd_arg *arg)
{
	size_t room = 1;
	int depth = 0;

	for (const char *c = s; *c; c++)
		room += *c == ',';
	arg->values = arena_alloc(a, room * sizeof(*arg->values));
	char *start = s;
	for (;; s++) {
		if (*s == '(')
			depth++;
		bool at_end = *s == 0 || (*s == ')' && depth == 0);
		if (*s == ')')
			depth--;
		if (!at_end && !(*s == ',' && depth == 0))
			continue;
		*s = 0;
		arg->values[arg->value_count++] = trim(start);
		if (at_end)
			return;
		start = s + 1;
	}
}

static void parse_arg(struct arena *a, char *word, struct dd_arg *arg)
{
	char *eq = strchr(word, '=');

	*arg = (struct dd_arg){.key = word};
	if (!eq)
		return;
	*eq = 0;
	if (eq[1] == '(') {
		parse_list(a, eq + 2, arg);
		return;
	}
	arg->values = arena_alloc(a, sizeof(*arg->values));
	arg->values[0] = eq + 1;
	arg->value_count = 1;
}

static void parse_command(struct arena *a, char *line, struct dd_command *cmd)
{
	size_t room = 1;

	for (const char *c = line; *c; c++)
		room += *c == ' ';
	cmd->args = arena_alloc(a, room * sizeof(*cmd->args));
	bool is_name = true;
	for (char *s = line; *s;) {
		char *end = word_end(s);
		char *next = *end ? end + 1 : end;

		*end = 0;
		if (*s && is_name)
			cmd->name = s;
		else if (*s)
			parse_arg(a, s, &cmd->args[cmd->arg_count++]);
		is_name = is_name && !*s;
		s = next;
	}
}

/* Lines between the command and "----". */
static const char *read_input(struct dd_file *f, struct arena *a, const struct dd_command *cmd)
{
	struct buf b;
	char *line;

	buf_init(&b, 1 << 20);
	while ((line = next_line(f)) && strcmp(line, "----") != 0) {
		keep(f, line);
		buf_printf(&b, "%s\n", line);
	}
	if (!line)
		dd_bad_command(cmd, "no ---- after the command");
	keep(f, line);
	buf_put_byte(&b, 0);
	char *input = arena_alloc(a, b.size);
	memcpy(input, b.data, b.size);
	buf_fini(&b);
	return trim(input);
}

static void read_expected(struct dd_file *f, struct buf *out)
{
	char *line = next_line(f);
	bool fenced = line && strcmp(line, "----") == 0;
	bool was_fence = false;

	if (fenced)
		line = next_line(f);
	for (; line; line = next_line(f)) {
		bool is_fence = fenced && strcmp(line, "----") == 0;

		if (fenced ? is_fence && was_fence : *line == 0)
			break;
		if (was_fence)
			buf_printf(out, "----\n");
		if (!is_fence)
			buf_printf(out, "%s\n", line);
		was_fence = is_fence;
	}
}

/* ---- comparing ---- */

struct lines {
	VEC(struct slice) v;
};

static struct lines split(struct slice s)
{
	struct lines l = {0};

	while (s.size) {
		const uint8_t *nl = memchr(s.data, '\n', s.size);
		size_t n = nl ? (size_t)(nl - s.data) + 1 : s.size;

		VEC_PUSH(&l.v, slice_of(s.data, n));
		s = slice_of(s.data + n, s.size - n);
	}
	return l;
}

/* A line diff by longest common subsequence: blocks are short. */
static void print_diff(struct slice want, struct slice got)
{
	struct lines a = split(want), b = split(got);
	size_t n = a.v.count, m = b.v.count, w = m + 1;
	uint32_t *lcs = NEW_ARRAY(uint32_t, (n + 1) * w);

	for (size_t i = n; i-- > 0;) {
		for (size_t j = m; j-- > 0;)
			lcs[i * w + j] = slice_eq(a.v.at[i], b.v.at[j]) ? lcs[(i + 1) * w + j + 1] + 1
									: MAX(lcs[(i + 1) * w + j], lcs[i * w + j + 1]);
	}
	for (size_t i = 0, j = 0; i < n || j < m;) {
		if (i < n && j < m && slice_eq(a.v.at[i], b.v.at[j])) {
			fprintf(stderr, "  %.*s", SLICE_ARG(a.v.at[i]));
			i++, j++;
		} else if (j == m || (i < n && lcs[(i + 1) * w + j] >= lcs[i * w + j + 1])) {
			fprintf(stderr, "- %.*s", SLICE_ARG(a.v.at[i]));
			i++;
		} else {
			fprintf(stderr, "+ %.*s", SLICE_ARG(b.v.at[j]));
			j++;
		}
	}
	mem_free(lcs);
	VEC_FREE(&a.v);
	VEC_FREE(&b.v);
}

static void keep_output(struct dd_file *f, struct slice got)
{
	bool has_blank = false;

	if (!f->rewrite)
		return;
	for (size_t i = 0; i + 1 < got.size; i++)
		has_blank |= got.data[i] == '\n' && got.data[i + 1] == '\n';
	has_blank |= got.size && got.data[0] == '\n';
	if (has_blank)
		buf_printf(&f->rewritten, "----\n");
	buf_put_slice(&f->rewritten, got);
	buf_printf(&f->rewritten, has_blank ? "----\n----\n\n" : "\n");
}

static void run_command(struct dd_file *f, struct arena *a, char *line, const struct dd_runner *runner, void *ctx)
{
	struct dd_command cmd = {.path = f->path, .line = f->line};
	struct buf want, got;

	parse_command(a, line, &cmd);
	cmd.input = read_input(f, a, &cmd);
	buf_init(&want, 16 << 20);
	buf_init(&got, 16 << 20);
	read_expected(f, &want);
	runner->handle(ctx, &cmd, &got);
	if (got.size && got.data[got.size - 1] != '\n')
		buf_put_byte(&got, '\n');
	keep_output(f, buf_slice(&got));
	f->commands++;
	if (!f->rewrite && !slice_eq(buf_slice(&want), buf_slice(&got))) {
		f->failures++;
		fprintf(stderr, "%s:%d: %s: output differs (- expected, + printed)\n", f->path, cmd.line, cmd.name);
		print_diff(buf_slice(&want), buf_slice(&got));
	}
	buf_fini(&want);
	buf_fini(&got);
}

/* ---- files ---- */

static void write_back(struct dd_file *f)
{
	FILE *out = fopen(f->path, "wb");

	/* The last block ends the file: no blank line behind it. */
	while (f->rewritten.size > 1 && f->rewritten.data[f->rewritten.size - 1] == '\n' &&
	       f->rewritten.data[f->rewritten.size - 2] == '\n')
		f->rewritten.size--;
	if (!out || fwrite(f->rewritten.data, 1, f->rewritten.size, out) != f->rewritten.size || fclose(out)) {
		fprintf(stderr, "%s: cannot write\n", f->path);
		exit(2);
	}
}

struct totals {
	int files;
	int commands;
	int failures;
	bool rewrite;
};

static void run_file(const char *path, const struct dd_runner *runner, struct totals *t)
{
	struct dd_file f = {.path = path, .rewrite = t->rewrite};
	void *ctx = runner->open ? runner->open() : NULL;
	char *line;

	f.text = f.at = read_file(path);
	buf_init(&f.rewritten, 64 << 20);
	while ((line = next_line(&f))) {
		struct arena a;

		keep(&f, line);
		line = trim(line);
		if (*line == 0 || *line == '#')
			continue;
		arena_init(&a, 16 << 20);
		run_command(&f, &a, line, runner, ctx);
		arena_fini(&a);
	}
	if (f.rewrite)
		write_back(&f);
	if (runner->close)
		runner->close(ctx);
	buf_fini(&f.rewritten);
	mem_free(f.text);
	t->files++;
	t->commands += f.commands;
	t->failures += f.failures;
	if (f.failures)
		fprintf(stderr, "FAILED %s: %d of %d commands\n", path, f.failures, f.commands);
}

static int is_transcript(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 4 && strcmp(e->d_name + n - 4, ".txt") == 0;
}

static void run_path(const char *path, const struct dd_runner *runner, struct totals *t)
{
	struct dirent **names;
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		run_file(path, runner, t);
		return;
	}
	int n = scandir(path, &names, is_transcript, alphasort);
	if (n <= 0) {
		fprintf(stderr, "%s: no transcripts\n", path);
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		char *file = mem_printf("%s/%s", path, names[i]->d_name);

		run_file(file, runner, t);
		mem_free(file);
		free(names[i]);
	}
	free(names);
}

int dd_main(int argc, char **argv, const struct dd_runner *runner)
{
	struct totals t = {0};

	for (int i = 1; i < argc; i++)
		t.rewrite |= strcmp(argv[i], "--rewrite") == 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--rewrite") != 0)
			run_path(argv[i], runner, &t);
	}
	printf("%d files, %d commands, %d failures\n", t.files, t.commands, t.failures);
	return t.failures || !t.files ? 1 : 0;
}
