/* top: a view of the cluster, drawn anew every interval on a terminal, printed once elsewhere. */
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "ctl/top.h"

enum { INTERVAL_NS_MIN = 100 * 1000 * 1000, ARENA_BYTES_MAX = 256 << 20, ONCE_PREFIXES = 20, DEPTH_MAX = 16 };

/* --- the watch --- */

static void on_events(struct client_watch *w, void *user, struct slice body)
{
	struct top *t = user;
	struct arena a;
	Etcdserverpb__WatchResponse *r;

	arena_init(&a, ARENA_BYTES_MAX);
	if (!pb_unpack(&a, &etcdserverpb__watch_response__descriptor, body, &r)) {
		for (size_t i = 0; i < r->n_events; i++) {
			const Mvccpb__KeyValue *kv = r->events[i]->kv;

			if (kv)
				hot_add(&t->hot, pb_slice(kv->key), kv->key.len + kv->value.len);
		}
	}
	arena_fini(&a);
}

static void on_watch_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct top *t = user;
	char text[CLIENT_ERROR_SIZE];

	snprintf(t->watch_trouble, sizeof(t->watch_trouble), "%s", client_error(text, s));
}

static void watch_keys(struct top *t)
{
	static const struct client_watch_events events = {on_events, on_watch_end};
	struct slice all = slice_of((const uint8_t *)"\0", 1);
	struct client_watch_opts o = {.key = all, .range_end = all};

	if (t->c->o.depth)
		t->watch = client_watch_open(t->c->client, &o, &events, t);
	t->turned_ns = uv_hrtime();
}

static void turn(struct top *t)
{
	uint64_t now = uv_hrtime();

	hot_turn(&t->hot, (double)(now - t->turned_ns) / 1e9);
	t->turned_ns = now;
}

/* False: it shall end. */
static bool wait_interval(struct top *t)
{
	uv_update_time(&t->c->loop);
	client_wait(t->c->client, &t->quit, uv_now(&t->c->loop) + ms_of(t->c->o.interval));
	return !t->quit && !t->signals.came;
}

/* --- once --- */

static int print_once(struct top *t)
{
	struct ctl *c = t->c;

	if (!top_read(t) || !wait_interval(t) || !top_read(t))
		return ctl_fail(EXIT_INTERRUPTED, "interrupted");
	turn(t);
	if (c->format == OUT_JSON)
		top_print_json(t, ONCE_PREFIXES);
	else if (c->format == OUT_TABLE)
		top_print_table(t, ONCE_PREFIXES);
	else
		top_print_text(t, ONCE_PREFIXES);
	if (t->trouble[0])
		return ctl_fail(EXIT_ERROR, "%s", t->trouble);
	for (size_t i = 0; i < t->count; i++) {
		if (!t->at[i]->now.answered)
			return EXIT_ERROR;
	}
	return EXIT_OK;
}

/* --- on a terminal --- */

struct screen {
	struct top *t;
	struct termios before;
	bool is_raw;
	uv_poll_t *keys; /* NULL: stdin is no terminal */
};

static void on_key(uv_poll_t *h, int status, int events)
{
	struct top *t = h->data;
	char key;

	if (read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q'))
		t->quit = true;
}

static void screen_begin(struct screen *s, struct top *t)
{
	struct termios raw;

	*s = (struct screen){.t = t};
	if (!tcgetattr(STDIN_FILENO, &s->before)) {
		raw = s->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		s->is_raw = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		s->keys = NEW(uv_poll_t);
		uv_poll_init(&t->c->loop, s->keys, STDIN_FILENO);
		s->keys->data = t;
		uv_poll_start(s->keys, UV_READABLE, on_key);
	}
	fputs("\x1b[?1049h\x1b[?25l", stdout); /* the other screen, no cursor */
}

static void screen_end(struct screen *s)
{
	fputs("\x1b[?25h\x1b[?1049l", stdout);
	fflush(stdout);
	if (s->is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
	if (s->keys)
		uv_close((uv_handle_t *)s->keys, ctl_handle_free);
}

/* One line, cut to the width; what a terminal would obey is shown as a question mark. */
static const char *put_line(const char *at, const char *end, size_t width)
{
	size_t column = 0;

	for (; at < end && *at != '\n'; at++) {
		unsigned char ch = (unsigned char)*at;
		bool begins = (ch & 0xc0) != 0x80;

		if (begins && column == width)
			break;
		column += begins;
		fputc(ch < 0x20 || ch == 0x7f ? '?' : ch, stdout);
	}
	while (at < end && *at != '\n')
		at++;
	return at < end ? at + 1 : end;
}

static void draw(struct top *t)
{
	struct ctl *c = t->c;
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	const char *at, *end;
	size_t used = t->count + 6, left;

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	left = MAX(size.ws_row, 8);
	top_print_text(t, left > used ? left - used : 1);
	at = (const char *)c->out.data;
	end = at + c->out.size;
	fputs("\x1b[H", stdout);
	for (; at < end && left > 1; left--) {
		at = put_line(at, end, MAX(size.ws_col, 20));
		fputs("\x1b[K\r\n", stdout);
	}
	fputs("\x1b[J", stdout);
	fflush(stdout);
	buf_clear(&c->out);
}

static int show(struct top *t)
{
	struct screen s;

	screen_begin(&s, t);
	while (top_read(t)) {
		turn(t);
		draw(t);
		if (!wait_interval(t))
			break;
	}
	screen_end(&s);
	return EXIT_OK;
}

/* --- the command --- */

static int check_args(struct ctl *c)
{
	if (c->arg_count)
		return ctl_fail(EXIT_ARGS, "top takes no arguments");
	if (c->o.interval < INTERVAL_NS_MIN)
		return ctl_fail(EXIT_ARGS, "bad interval, expecting 100ms at least");
	if (c->o.depth < 0 || c->o.depth > DEPTH_MAX || strlen(c->o.delimiter) != 1)
		return ctl_fail(EXIT_ARGS, "bad depth or delimiter, expecting 0 to %d and one byte", DEPTH_MAX);
	return EXIT_OK;
}

RUN(top)
{
	struct ctl *c = cli->user;
	struct top *t;
	int code = check_args(c);

	if (!code)
		code = ctl_connect(c);
	if (code)
		return code;
	if (c->format == OUT_FIELDS || c->format == OUT_PROTOBUF)
		return out_unsupported(out_format_name(c->format));
	t = NEW(struct top);
	t->c = c;
	arena_init(&t->arena, ARENA_BYTES_MAX);
	hot_init(&t->hot, c->o.delimiter[0], (size_t)c->o.depth);
	signals_begin(&t->signals, c);
	watch_keys(t);
	code = c->format == OUT_SIMPLE && !c->o.once && isatty(STDOUT_FILENO) ? show(t) : print_once(t);
	client_watch_close(t->watch);
	top_forget(t);
	signals_end(&t->signals);
	hot_fini(&t->hot);
	arena_fini(&t->arena);
	mem_free(t);
	return code;
}
