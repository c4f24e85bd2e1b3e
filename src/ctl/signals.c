#include "ctl/signals.h"

#include <signal.h>
#include <unistd.h>

static const int numbers[2] = {SIGINT, SIGTERM};

static void on_signal(uv_signal_t *h, int number)
{
	struct signals *s = h->data;

	if (s->ignored)
		return;
	s->came = true;
	client_interrupt(s->c->client, true);
}

void signals_begin(struct signals *s, struct ctl *c)
{
	*s = (struct signals){.c = c};
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		s->at[i] = NEW(uv_signal_t);
		uv_signal_init(&c->loop, s->at[i]);
		s->at[i]->data = s;
		uv_signal_start(s->at[i], on_signal, numbers[i]);
	}
}

void signals_ignore(struct signals *s)
{
	s->ignored = true;
	client_interrupt(s->c->client, false);
}

void signals_end(struct signals *s)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		uv_close((uv_handle_t *)s->at[i], ctl_handle_free);
}

/* --- children --- */

struct child {
	struct ctl *c;
	int64_t status;
	int signal;
	bool done;
};

static void on_exit_of(uv_process_t *p, int64_t status, int signal)
{
	struct child *child = p->data;

	child->status = status;
	child->signal = signal;
	child->done = true;
	uv_close((uv_handle_t *)p, ctl_handle_free);
}

/* Our environment, in which these come last and so win. */
static char **environment(struct ctl *c, const char *const *variables, size_t count)
{
	size_t n = 0, kept = 0;
	char **out;

	while (environ[n])
		n++;
	out = arena_alloc_array(&c->arena, n + count + 1, sizeof(*out));
	for (size_t i = 0; i < n; i++) {
		bool replaced = false;

		for (size_t k = 0; k < count; k++)
			replaced |= !strncmp(environ[i], variables[k], strcspn(variables[k], "=") + 1);
		if (!replaced)
			out[kept++] = environ[i];
	}
	for (size_t k = 0; k < count; k++)
		out[kept++] = (char *)variables[k];
	return out;
}

static const char *signal_name(struct ctl *c, int number)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {{SIGHUP, "hangup"},       {SIGINT, "interrupt"},    {SIGQUIT, "quit"},
		     {SIGABRT, "aborted"},     {SIGKILL, "killed"},      {SIGSEGV, "segmentation fault"},
		     {SIGPIPE, "broken pipe"}, {SIGALRM, "alarm clock"}, {SIGTERM, "terminated"}};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (names[i].number == number)
			return names[i].name;
	}
	return ctl_copy(c, "signal %d", number);
}

int run_child(struct ctl *c, const char *const *argv, size_t argc, const char *const *variables, size_t count,
	      const char **why)
{
	uv_stdio_container_t stdio[3] = {
	    {.flags = UV_IGNORE},
	    {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
	    {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
	};
	uv_process_options_t o = {.exit_cb = on_exit_of, .file = argv[0], .stdio = stdio, .stdio_count = 3};
	char **args = arena_alloc_array(&c->arena, argc + 1, sizeof(*args));
	uv_process_t *p = NEW(uv_process_t);
	struct child child = {.c = c};
	int err;

	memcpy(args, argv, argc * sizeof(*args));
	o.args = args;
	o.env = environment(c, variables, count);
	p->data = &child;
	ctl_flush(c);
	err = uv_spawn(&c->loop, p, &o);
	*why = NULL;
	if (err) {
		char text[TEXT_ERRNO_SIZE];

		uv_close((uv_handle_t *)p, ctl_handle_free);
		if (err == UV_ENOENT && !strchr(argv[0], '/'))
			*why = ctl_copy(c, "exec: %s: executable file not found in $PATH",
					ctl_quoted(c, slice_str(argv[0])));
		else
			*why = ctl_copy(c, "fork/exec %s: %s", argv[0], text_errno(text, -err));
		return EXIT_ERROR;
	}
	while (!child.done)
		uv_run(&c->loop, UV_RUN_ONCE);
	if (child.signal)
		*why = ctl_copy(c, "signal: %s", signal_name(c, child.signal));
	else if (child.status)
		*why = ctl_copy(c, "exit status %d", (int)child.status);
	return child.signal ? 255 : (int)child.status;
}
