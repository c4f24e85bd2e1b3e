/* watch: one watch from the command line, or several from lines of stdin. Responses are queued by the client's callbacks
 * and printed here, so that a command may run for each event while others arrive. */
#include <inttypes.h>
#include <unistd.h>

#include "base/list.h"
#include "ctl/signals.h"

enum { QUEUE_MAX = 256, LINE_MAX_SIZE = 1 << 20 };

struct watcher {
	struct watching *all;
	struct client_watch *watch;
	const char **exec; /* NULL: nothing to run */
	size_t exec_count;
	bool over;
};

struct response {
	struct list node;
	struct watcher *from;
	struct buf body; /* empty: the watch has ended, error tells why */
	struct client_status error;
};

struct watching {
	struct ctl *c;
	VEC(struct watcher *) watchers;
	struct list queue;
	size_t queued; /* at QUEUE_MAX the watches are paused */
	bool news;
	struct arena arena;
	/* lines of stdin */
	uv_poll_t *poll;
	struct buf input;
	bool input_ended;
};

/* --- events in --- */

static void pause_all(struct watching *all, bool paused)
{
	for (size_t i = 0; i < all->watchers.count; i++)
		client_watch_pause(all->watchers.at[i]->watch, paused);
}

static void enqueue(struct watcher *w, struct slice body, const struct client_status *error)
{
	struct response *r = NEW(struct response);

	r->from = w;
	buf_init(&r->body, SIZE_MAX / 2);
	buf_put_slice(&r->body, body);
	if (error)
		r->error = *error;
	list_push_back(&w->all->queue, &r->node);
	w->all->news = true;
	if (++w->all->queued == QUEUE_MAX)
		pause_all(w->all, true);
}

static void on_response(struct client_watch *watch, void *user, struct slice body)
{
	enqueue(user, body, NULL);
}

static void on_end(struct client_watch *watch, void *user, const struct client_status *s)
{
	enqueue(user, (struct slice){NULL, 0}, s);
}

/* --- out --- */

static int run_for_event(struct watcher *w, int64_t revision, const Mvccpb__Event *e)
{
	struct ctl *c = w->all->c;
	const char *variables[4], *why;
	struct buf list;

	variables[0] = ctl_copy(c, "ETCD_WATCH_REVISION=%" PRId64, revision);
	variables[1] = e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "ETCD_WATCH_EVENT_TYPE=\"DELETE\""
								    : "ETCD_WATCH_EVENT_TYPE=\"PUT\"";
	variables[2] = ctl_copy(c, "ETCD_WATCH_KEY=%s", ctl_quoted(c, pb_slice(e->kv->key)));
	variables[3] = ctl_copy(c, "ETCD_WATCH_VALUE=%s", ctl_quoted(c, pb_slice(e->kv->value)));
	run_child(c, w->exec, w->exec_count, variables, ARRAY_COUNT(variables), &why);
	if (!why)
		return 0;
	buf_init(&list, SIZE_MAX / 2);
	for (size_t i = 0; i < w->exec_count; i++) {
		buf_printf(&list, i ? " " : "");
		text_quote(&list, slice_str(w->exec[i]));
	}
	fprintf(stderr, "command [%.*s] error (%s)\n", SLICE_ARG(buf_slice(&list)), why);
	buf_fini(&list);
	return EXIT_ERROR;
}

static int print_response(struct watcher *w, struct slice body)
{
	struct ctl *c = w->all->c;
	Etcdserverpb__WatchResponse *r;
	int code;

	arena_reset(&w->all->arena);
	if (pb_unpack(&w->all->arena, &etcdserverpb__watch_response__descriptor, body, &r))
		return ctl_fail(EXIT_ERROR, "the server's answer cannot be read");
	for (size_t i = 0; i < r->n_events; i++) {
		if (!r->events[i]->kv)
			return ctl_fail(EXIT_ERROR, "the server's answer has an event without a key");
	}
	if (!r->n_events && !r->canceled && !r->created && !r->compact_revision && r->header)
		put(c, "progress notify: %" PRId64 "\n", r->header->revision);
	code = out_watch(c, r);
	ctl_flush(c);
	for (size_t i = 0; w->exec && i < r->n_events && !code; i++)
		code = run_for_event(w, r->header ? r->header->revision : 0, r->events[i]);
	return code;
}

static bool is_cancellation(struct slice body)
{
	struct arena a;
	Etcdserverpb__WatchResponse *r;
	bool canceled;

	arena_init(&a, 1 << 20);
	canceled = !pb_unpack(&a, &etcdserverpb__watch_response__descriptor, body, &r) && r->canceled;
	arena_fini(&a);
	return canceled;
}

/* Prints what is queued. 0 or exit code. */
static int drain(struct watching *all)
{
	int code = 0;

	all->news = false;
	while (!list_empty(&all->queue) && !code) {
		struct response *r = CONTAINER_OF(all->queue.next, struct response, node);
		char text[CLIENT_ERROR_SIZE];

		list_remove(&r->node);
		if (all->queued-- == QUEUE_MAX)
			pause_all(all, false);
		if (!r->body.size) {
			fprintf(stderr, "watch was canceled (%s)\n", client_error(text, &r->error));
			r->from->over = true;
		} else if (!is_cancellation(buf_slice(&r->body)) || all->c->format != OUT_SIMPLE) {
			code = print_response(r->from, buf_slice(&r->body));
		}
		buf_fini(&r->body);
		mem_free(r);
	}
	return code;
}

/* --- beginning --- */

static int begin(struct watching *all, const char *const *args, size_t count, const char **exec, size_t exec_count,
		 const char **why)
{
	static const struct client_watch_events events = {on_response, on_end};
	struct ctl *c = all->c;
	struct client_watch_opts o = {.start_revision = c->o.rev, .prev_kv = c->o.prev_kv, .require_leader = true,
				      .progress_notify = c->o.progress_notify};
	struct watcher *w;

	*why = NULL;
	if (!count)
		*why = "bad number of arguments";
	else if (count == 2 && c->o.prefix)
		*why = "`range_end` and `--prefix` are mutually exclusive";
	if (*why)
		return EXIT_ARGS;
	o.key = slice_str(args[0]);
	if (count == 2)
		o.range_end = slice_str(args[1]);
	if (c->o.prefix) {
		o.range_end = prefix_end(c, o.key);
		if (!o.key.size)
			o.key = slice_of("", 1);
	}
	w = NEW(struct watcher);
	w->all = all;
	w->exec = exec_count ? exec : NULL;
	w->exec_count = exec_count;
	w->watch = client_watch_open(c->client, &o, &events, w);
	VEC_PUSH(&all->watchers, w);
	return 0;
}

/* Operands of a watch, from the words of its line: what is before "--", or the variables in its place, and the command
 * behind it. operands: those of the parser, in which "--" is gone. */
static int split_operands(struct ctl *c, const char *const *raw, size_t raw_count, const char *const *operands,
			  size_t operand_count, const char **watch, size_t *watch_count, const char ***exec,
			  size_t *exec_count, const char **why)
{
	const char *key = getenv("ETCDCTL_WATCH_KEY"), *end = getenv("ETCDCTL_WATCH_RANGE_END");
	bool by_variable = key && key[0];
	size_t dashes = 0;

	while (dashes < raw_count && strcmp(raw[dashes], "--"))
		dashes++;
	*exec_count = dashes < raw_count ? raw_count - dashes - 1 : 0;
	*why = NULL;
	if (dashes + 1 == raw_count)
		*why = "bad number of arguments (found separator --, but no commands)";
	else if (!raw_count && !by_variable)
		*why = "bad number of arguments";
	else if (by_variable && operand_count > *exec_count)
		*why = "bad number of arguments (found conflicting environment key)";
	if (*why)
		return EXIT_ARGS;
	*watch_count = operand_count - MIN(*exec_count, operand_count);
	memcpy(watch, operands, *watch_count * sizeof(*watch));
	if (by_variable) {
		watch[0] = key;
		watch[1] = end;
		*watch_count = end && end[0] ? 2 : 1;
	}
	*exec = arena_alloc_array(&c->arena, *exec_count + 1, sizeof(**exec));
	if (*exec_count)
		memcpy(*exec, raw + dashes + 1, *exec_count * sizeof(**exec));
	return 0;
}

static void watching_end(struct watching *all)
{
	for (size_t i = 0; i < all->watchers.count; i++) {
		client_watch_close(all->watchers.at[i]->watch);
		mem_free(all->watchers.at[i]);
	}
	VEC_FREE(&all->watchers);
	LIST_EACH_SAFE(it, &all->queue) {
		struct response *r = CONTAINER_OF(it, struct response, node);

		buf_fini(&r->body);
		mem_free(r);
	}
	buf_fini(&all->input);
	arena_fini(&all->arena);
}

/* --- lines of stdin --- */

static void on_input(uv_poll_t *p, int status, int events)
{
	struct watching *all = p->data;
	ssize_t n = read(STDIN_FILENO, buf_add(&all->input, 4096), 4096);

	all->input.size -= n > 0 ? (size_t)(4096 - n) : 4096;
	all->input_ended = n <= 0;
	all->news = true;
	if (n <= 0)
		uv_poll_stop(p);
}

static void handle_closed(uv_handle_t *h)
{
	mem_free(h);
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
	while (!all->input_ended) {
		ssize_t n = read(STDIN_FILENO, buf_add(&all->input, 4096), 4096);

		all->input.size -= n > 0 ? (size_t)(4096 - n) : 4096;
		all->input_ended = n <= 0;
	}
	all->news = true;
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
		c->o.progress_notify = notify;  /* of the command line, as upstream has it */
		code = split_operands(c, words + 1, count - 1, cli.args, cli.arg_count, watch, &watch_count, &exec, &exec_count,
				      &why);
		if (code) {
			ctl_fail(code, "%s", why);
		} else if (begin(all, watch, watch_count, exec, exec_count, &why)) {
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
			return all->input.size > LINE_MAX_SIZE ? ctl_fail(EXIT_INPUT, "error reading watch request line: too long") : 0;
		}
		line = ctl_copy(all->c, "%.*s", (int)(end - all->input.data), (const char *)all->input.data);
		buf_drop_front(&all->input, (size_t)(end - all->input.data) + 1);
		code = run_line(all, line);
	}
	return code;
}

static int interactive(struct watching *all)
{
	int code = 0;

	input_begin(all);
	while (!code) {
		client_wait(all->c->client, &all->news, 0);
		code = drain(all);
		if (!code)
			code = run_lines(all);
	}
	if (all->poll)
		uv_close((uv_handle_t *)all->poll, handle_closed);
	return code;
}

/* --- the command --- */

/* What follows the word watch on the command line. */
static const char *const *raw_operands(const struct ctl *c, size_t *count)
{
	int i = 1;

	while (i < c->argc && strcmp(c->argv[i], "watch"))
		i++;
	if (i >= c->argc)       /* an abbreviation: the whole line */
		i = 0;
	*count = (size_t)(c->argc - i - 1);
	return (const char *const *)c->argv + i + 1;
}

static int single(struct watching *all)
{
	struct ctl *c = all->c;
	size_t raw_count, watch_count, exec_count;
	const char *const *raw = raw_operands(c, &raw_count);
	const char **watch = arena_alloc_array(&c->arena, c->arg_count + 2, sizeof(*watch)), **exec, *why;
	int code = split_operands(c, raw, raw_count, c->args, c->arg_count, watch, &watch_count, &exec, &exec_count, &why);

	if (code)
		return ctl_fail(code, "%s", why);
	code = ctl_connect(c);
	if (code)
		return code;
	if (begin(all, watch, watch_count, exec, exec_count, &why))
		return ctl_fail(EXIT_ARGS, "%s", why);
	while (!code && !all->watchers.at[0]->over) {
		client_wait(c->client, &all->news, 0);
		code = drain(all);
	}
	return code ? code : ctl_fail(EXIT_INTERRUPTED, "watch is canceled by the server");
}

RUN(watch)
{
	struct ctl *c = cli->user;
	const char *key = getenv("ETCDCTL_WATCH_KEY"), *end = getenv("ETCDCTL_WATCH_RANGE_END");
	struct watching all = {.c = c};
	int code;

	if (!(key && key[0]) && end && end[0])
		return ctl_fail(EXIT_ARGS, "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=%s",
				ctl_quoted(c, slice_str(end)));
	list_init(&all.queue);
	arena_init(&all.arena, 1 << 30);
	buf_init(&all.input, SIZE_MAX / 2);
	if (c->o.interactive) {
		code = ctl_connect(c);
		if (!code)
			code = interactive(&all);
	} else {
		code = single(&all);
	}
	watching_end(&all);
	return code;
}
