/* watch from the command line; responses printed, commands run. */
#include <inttypes.h>

#include "ctl/signals.h"
#include "ctl/watching.h"

enum { QUEUE_MAX = 256 };

struct response {
	struct list node;
	struct watcher *from;
	struct buf body; /* may be empty at the end of a watch */
	bool is_end;     /* error tells why */
	struct client_status error;
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
	r->is_end = error;
	if (error)
		r->error = *error;
	list_push_back(&w->all->queue, &r->node);
	w->all->news = true;
	if (++w->all->queued == QUEUE_MAX)
		pause_all(w->all, true);
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

/* A cancellation waits for the end that follows it at once. */
static void on_response(struct client_watch *watch, void *user, struct slice body)
{
	struct watcher *w = user;

	if (is_cancellation(body))
		buf_put_slice(&w->cancellation, body);
	else
		enqueue(w, body, NULL);
}

static void on_end(struct client_watch *watch, void *user, const struct client_status *s)
{
	struct watcher *w = user;

	enqueue(w, buf_slice(&w->cancellation), s);
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
	Etcdserverpb__ResponseHeader no_header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
	Etcdserverpb__WatchResponse *r;
	int code;

	arena_reset(&w->all->arena);
	if (pb_unpack(&w->all->arena, &etcdserverpb__watch_response__descriptor, body, &r))
		return ctl_fail(EXIT_ERROR, "the server's answer cannot be read");
	for (size_t i = 0; i < r->n_events; i++) {
		if (!r->events[i]->kv)
			return ctl_fail(EXIT_ERROR, "the server's answer has an event without a key");
	}
	if (r->canceled && r->created) {
		/* It never began: upstream's client has nothing of the server's in what it hands on. */
		*r = (Etcdserverpb__WatchResponse)ETCDSERVERPB__WATCH_RESPONSE__INIT;
		r->header = &no_header;
		r->canceled = true;
	}
	if (!r->n_events && !r->canceled && !r->created && !r->compact_revision && r->header)
		put(c, "progress notify: %" PRId64 "\n", r->header->revision);
	code = out_watch(c, r);
	ctl_flush(c);
	for (size_t i = 0; w->exec && i < r->n_events && !code; i++)
		code = run_for_event(w, r->header ? r->header->revision : 0, r->events[i]);
	return code;
}

/* Prints what is queued. 0 or exit code. */
int watching_drain(struct watching *all)
{
	int code = 0;

	all->news = false;
	while (!list_empty(&all->queue) && !code) {
		struct response *r = CONTAINER_OF(all->queue.next, struct response, node);
		char text[CLIENT_ERROR_SIZE];

		list_remove(&r->node);
		if (all->queued-- == QUEUE_MAX)
			pause_all(all, false);
		if (r->is_end) {
			fprintf(stderr, "watch was canceled (%s)\n", client_error(text, &r->error));
			r->from->over = true;
		}
		if (r->body.size)
			code = print_response(r->from, buf_slice(&r->body));
		buf_fini(&r->body);
		mem_free(r);
	}
	return code;
}

/* --- beginning --- */

int watching_begin(struct watching *all, const char *const *args, size_t count, const char **exec, size_t exec_count,
		   const char **why)
{
	static const struct client_watch_events events = {on_response, on_end};
	struct ctl *c = all->c;
	struct client_watch_opts o = {.start_revision = c->o.rev,
				      .prev_kv = c->o.prev_kv,
				      .require_leader = true,
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
	buf_init(&w->cancellation, SIZE_MAX / 2);
	w->watch = client_watch_open(c->client, &o, &events, w);
	VEC_PUSH(&all->watchers, w);
	return 0;
}

/* Operands of a watch, from the words of its line: what is before "--", or the variables in its place, and the command
 * behind it. operands: those of the parser, in which "--" is gone. */
int watch_operands(struct ctl *c, const char *const *raw, size_t raw_count, const char *const *operands,
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
		buf_fini(&all->watchers.at[i]->cancellation);
		mem_free(all->watchers.at[i]);
	}
	VEC_FREE(&all->watchers);
	LIST_EACH_SAFE (it, &all->queue) {
		struct response *r = CONTAINER_OF(it, struct response, node);

		buf_fini(&r->body);
		mem_free(r);
	}
	buf_fini(&all->input);
	arena_fini(&all->arena);
}

/* --- the command --- */

/* What follows the word watch on the command line. */
static const char *const *raw_operands(const struct ctl *c, size_t *count)
{
	int i = 1;

	while (i < c->argc && strcmp(c->argv[i], "watch"))
		i++;
	if (i >= c->argc) /* an abbreviation: the whole line */
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
	int code =
	    watch_operands(c, raw, raw_count, c->args, c->arg_count, watch, &watch_count, &exec, &exec_count, &why);

	if (code)
		return ctl_fail(code, "%s", why);
	code = ctl_connect(c);
	if (code)
		return code;
	if (watching_begin(all, watch, watch_count, exec, exec_count, &why))
		return ctl_fail(EXIT_ARGS, "%s", why);
	while (!code && !all->watchers.at[0]->over) {
		client_wait(c->client, &all->news, 0);
		code = watching_drain(all);
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
			code = watching_lines(&all);
	} else {
		code = single(&all);
	}
	watching_end(&all);
	return code;
}
