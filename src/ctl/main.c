/* From argv to a command and back to an exit code. */
#include <signal.h>
#include <stdarg.h>

#include "ctl/ctl_impl.h"

enum { ARENA_MAX = 1 << 30 };

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("Error: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

void put(struct ctl *c, const char *fmt, ...)
{
	char room[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room, sizeof(room), fmt, ap);
	va_end(ap);
	if ((size_t)n < sizeof(room)) {
		buf_put(&c->out, room, (size_t)n);
		return;
	}
	va_start(ap, fmt);
	vsnprintf((char *)buf_add(&c->out, (size_t)n + 1), (size_t)n + 1, fmt, ap);
	va_end(ap);
	c->out.size--; /* the NUL */
}

void ctl_flush(struct ctl *c)
{
	if (c->out.size)
		fwrite(c->out.data, 1, c->out.size, stdout);
	fflush(stdout);
	buf_clear(&c->out);
}

/* What the shells' completion scripts ask, and what makes the manual page. */
static int tell(int argc, char **argv)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	if (!strcmp(argv[1], "__man"))
		cli_man(&ctl_program, CTL_VERSION, &out);
	else
		cli_complete(&ctl_program, (const char *const *)argv + 2, (size_t)argc - 2, &out);
	fwrite(out.data, 1, out.size, stdout);
	buf_fini(&out);
	return EXIT_OK;
}

static int run(struct ctl *c)
{
	struct buf err;
	int code;

	buf_init(&err, SIZE_MAX / 2);
	c->cli.user = NULL;
	if (cli_parse(&ctl_program, c->argc, (const char *const *)c->argv, &c->o, &c->cli, &c->out, &err)) {
		c->cli.user = c;
		c->args = c->cli.args;
		c->arg_count = c->cli.arg_count;
		code = c->cli.command->run(&c->cli);
	} else {
		code = c->cli.exit_code;
	}
	if (err.size)
		fwrite(err.data, 1, err.size, stderr);
	buf_fini(&err);
	return code;
}

int ctl_main(int argc, char **argv)
{
	struct ctl c = {.argc = argc, .argv = argv};
	int code;

	if (argc > 1 && (!strcmp(argv[1], "__complete") || !strcmp(argv[1], "__man")))
		return tell(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	arena_init(&c.arena, ARENA_MAX);
	buf_init(&c.out, SIZE_MAX / 2);
	buf_init(&c.request, SIZE_MAX / 2);
	buf_init(&c.response, SIZE_MAX / 2);
	code = run(&c);
	ctl_flush(&c);
	ctl_client_close(&c, c.client);
	if (c.loop_open)
		uv_loop_close(&c.loop);
	cli_fini(&c.cli);
	buf_fini(&c.out);
	buf_fini(&c.request);
	buf_fini(&c.response);
	arena_fini(&c.arena);
	return code;
}
