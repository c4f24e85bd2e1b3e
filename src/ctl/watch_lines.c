/* watch -i: lines of stdin, "watch …" and "progress". */
#include <unistd.h>

#include "ctl/watching.h"

enum { LINE_SIZE_MAX = 1 << 20, READ_SIZE = 4096 };

static void read_more(struct watching *all)
{
	ssize_t n = read(STDIN_FILENO, buf_add(&all->input, READ_SIZE), READ_SIZE);

	all->input.size -= n > 0 ? (size_t)(READ_SIZE - n) : READ_SIZE;
	all->input_ended = n <= 0;
	all->news = true;
}

static void on_input(uv_poll_t *p, int status, int events)
{
	struct watching *all = p->data;

	read_more(all);
	if (all->input_ended)
		uv_poll_stop(p);
}

/* A pipe or terminal is polled; a file is there as a whole. */
static void input_begin(struct watching *all)
{
	all->poll = NEW(uv_poll_t);
	if (!uv_poll_init(&all->c->loop, all->poll, STDIN_FILENO)) {
		all->poll->data = all;
		uv_poll_start(all->poll, UV_READABLE, on_input);
		return;
	}
	mem_free(all->poll);
	all->poll = NULL;
	while (!all->input_ended)
		read_more(all);
}

static int first_line_of(const struct buf *err)
{
	const uint8_t *end = memchr(err->data, '\n', err->size);

	fwrite(err->data, 1, end ? (size_t)(end - err->data + 1) : err->size, stderr);
	return EXIT_ARGS;
}

static int line_watch(struct watching *all, const char *line, const char **words, size_t count)
{
	struct ctl *c = all->c;
	bool notify = c->o.progress_notify;
	const char *key = getenv("ETCDCTL_WATCH_KEY");
	const char **argv = arena_alloc_array(&c->arena, count + 2, sizeof(*argv));
	const char **watch = arena_alloc_array(&c->arena, count + 2, sizeof(*watch)), **exec, *why;
	size_t watch_count, exec_count;
	struct buf out, err;
	struct cli cli;
	int code;

	if (count < 2 && !(key && key[0])) {
		fprintf(stderr, "Invalid command %s (command type or key is not provided)\n", line);
		return 0;
	}
	argv[0] = "etcdctl";
	memcpy(argv + 1, words, count * sizeof(*argv));
	buf_init(&out, SIZE_MAX / 2);
	buf_init(&err, SIZE_MAX / 2);
	if (!cli_parse(&ctl_watch_program, (int)count + 1, argv, &c->o, &cli, &out, &err)) {
		code = first_line_of(&err);
	} else {
		c->o.progress_notify = notify; /* of the command line, as upstream has it */
		code = watch_operands(c, words + 1, count - 1, cli.args, cli.arg_count, watch, &watch_count, &exec,
				      &exec_count, &why);
		if (code) {
			ctl_fail(code, "%s", why);
		} else if (watching_begin(all, watch, watch_count, exec, exec_count, &why)) {
			fprintf(stderr, "Invalid command %s (%s)\n", line, why);
		}
	}
	cli_fini(&cli);
	buf_fini(&out);
	buf_fini(&err);
	return code;
}

static int run_line(struct watching *all, const char *line)
{
	const char **words;
	size_t count;

	if (!split_words(all->c, line, &words, &count))
		return ctl_fail(EXIT_INPUT, "invalid syntax");
	if (!count) {
		fprintf(stderr, "Invalid command: %s (watch and progress supported)\n", line);
	} else if (!strcmp(words[0], "watch")) {
		return line_watch(all, line, words, count);
	} else if (!strcmp(words[0], "progress")) {
		for (size_t i = 0; i < all->watchers.count; i++)
			client_watch_progress(all->watchers.at[i]->watch);
	} else {
		fprintf(stderr, "Invalid command %s (only support watch)\n", line);
	}
	return 0;
}

/* The lines that have come; 0 or exit code. */
static int run_lines(struct watching *all)
{
	int code = 0;

	while (!code) {
		uint8_t *end = all->input.size ? memchr(all->input.data, '\n', all->input.size) : NULL;
		const char *line;

		if (!end) {
			if (all->input_ended)
				return ctl_fail(EXIT_INPUT, "error reading watch request line: EOF");
			return all->input.size > LINE_SIZE_MAX
				   ? ctl_fail(EXIT_INPUT, "error reading watch request line: too long")
				   : 0;
		}
		line = ctl_copy(all->c, "%.*s", (int)(end - all->input.data), (const char *)all->input.data);
		buf_drop_front(&all->input, (size_t)(end - all->input.data) + 1);
		code = run_line(all, line);
	}
	return code;
}

int watching_lines(struct watching *all)
{
	int code = 0;

	input_begin(all);
	while (!code) {
		client_wait(all->c->client, &all->news, 0);
		code = watching_drain(all);
		if (!code)
			code = run_lines(all);
	}
	if (all->poll)
		uv_close((uv_handle_t *)all->poll, ctl_handle_free);
	return code;
}
