/* From argv to a command: finding it in the tree, its flags, running it. The rules are cobra's, which upstream is built
 * on: names may be cut to a unique prefix, flags may stand before and behind them, a group shows its help. */
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"

enum { ARENA_MAX = 1 << 30, SUGGESTION_DISTANCE = 2 };

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("Error: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

/* By name, else by a prefix that only one has. */
static const struct ctl_command *find_sub(const struct ctl_command *parent, const char *name)
{
	const struct ctl_command *found = NULL;
	unsigned matches = 0;

	for (const struct ctl_command *s = parent->subs; s && s->name; s++) {
		if (!strcmp(s->name, name))
			return s;
		if (!strncmp(s->name, name, strlen(name))) {
			found = s;
			matches++;
		}
	}
	return matches == 1 && name[0] ? found : NULL;
}

static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strlen(b);

	if (n >= ARRAY_COUNT(row))
		return UINT32_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned above = row[j];

			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, corner + (a[i - 1] != b[j - 1]));
			corner = above;
		}
	}
	return row[n];
}

static int unknown_command(const char *name)
{
	bool any = false;

	fflush(stdout);
	fprintf(stderr, "Error: unknown command \"%s\" for \"etcdctl\"\n", name);
	for (const struct ctl_command *s = ctl_root.subs; s->name; s++) {
		if (distance(name, s->name) > SUGGESTION_DISTANCE && strncmp(s->name, name, strlen(name)))
			continue;
		fprintf(stderr, "%s\t%s\n", any ? "" : "\nDid you mean this?\n", s->name);
		any = true;
	}
	fprintf(stderr, "%sRun 'etcdctl --help' for usage.\n", any ? "\n" : "");
	return EXIT_ERROR;
}

/* Does this flag take the next argument as its value? What is not known is taken for one that does. */
static bool takes_next(struct ctl_flags *f, const char *arg)
{
	struct ctl_value *v;

	if (strchr(arg, '='))
		return false;
	if (arg[1] == '-') {
		v = flags_find(f, arg + 2, strlen(arg + 2));
		return strcmp(arg, "--help") && (!v || v->flag->kind != FLAG_BOOL);
	}
	if (arg[2])
		return false;
	v = flags_find_letter(f, arg[1]);
	return arg[1] != 'h' && (!v || v->flag->kind != FLAG_BOOL);
}

/* Fills path; args loses the names of the commands. Returns the first word that is no command, NULL if all are. */
static const char *find_command(struct ctl *c, char **args, size_t *count)
{
	const char *stranger = NULL;

	c->path[c->depth++] = &ctl_root;
	for (size_t i = 0; i < *count;) {
		const struct ctl_command *here = c->path[c->depth - 1];
		const struct ctl_command *sub;

		if (!strcmp(args[i], "--"))
			break;
		if (args[i][0] == '-' && args[i][1]) {
			i += takes_next(&c->flags, args[i]) ? 2 : 1;
			continue;
		}
		sub = here->subs ? find_sub(here, args[i]) : NULL;
		if (!sub) {
			stranger = args[i];
			break;
		}
		c->path[c->depth++] = sub;
		flags_add(&c->flags, sub->flags);
		memmove(&args[i], &args[i + 1], (*count - i - 1) * sizeof(*args));
		--*count;
	}
	return stranger;
}

static int run(struct ctl *c)
{
	const struct ctl_command *cmd;
	size_t count = (size_t)c->argc - 1;
	char **args = arena_alloc_array(&c->arena, count + 1, sizeof(*args));
	const char *stranger;
	struct why why;
	err_t err;

	memcpy(args, c->argv + 1, count * sizeof(*args));
	flags_add(&c->flags, ctl_global_flags);
	stranger = find_command(c, args, &count);
	cmd = c->path[c->depth - 1];
	if (cmd == &ctl_root && stranger)
		return unknown_command(stranger);
	c->args = arena_alloc_array(&c->arena, count + 1, sizeof(*c->args));
	err = flags_parse(&c->flags, args, count, c->args, &c->arg_count, &why);
	if (err == ERR_INVALID) {
		fprintf(stderr, "Error: %s\n", why.text);
		usage_short(stderr, c->path, c->depth);
		fputc('\n', stderr);
		return EXIT_ERROR;
	}
	if (err || !cmd->run) {
		usage_help(stdout, c->path, c->depth);
		return EXIT_OK;
	}
	return cmd->run(c);
}

int ctl_main(int argc, char **argv)
{
	struct ctl c = {.argc = argc, .argv = argv};
	int code;

	signal(SIGPIPE, SIG_IGN);
	arena_init(&c.arena, ARENA_MAX);
	buf_init(&c.request, SIZE_MAX / 2);
	buf_init(&c.response, SIZE_MAX / 2);
	code = run(&c);
	fflush(stdout);
	ctl_client_close(&c, c.client);
	if (c.loop_open)
		uv_loop_close(&c.loop);
	buf_fini(&c.request);
	buf_fini(&c.response);
	arena_fini(&c.arena);
	return code;
}
