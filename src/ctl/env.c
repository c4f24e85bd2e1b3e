/* ETCDCTL_* variables stand for the global flags. Not given on the line: the variable counts, a value that does not
 * parse is passed over. Given twice: upstream ends there, and so do we, for nobody can know which one was meant. */
#include <ctype.h>
#include <unistd.h>

#include "ctl/ctl_impl.h"

#define PREFIX "ETCDCTL_"

static void variable_name(char *out, size_t size, const char *flag)
{
	size_t n = (size_t)snprintf(out, size, PREFIX "%s", flag);

	for (size_t i = sizeof(PREFIX) - 1; i < n && i < size; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper(out[i]);
}

static const struct cli_flag *flag_of(const char *variable, size_t size)
{
	char name[80];

	for (size_t i = 0; i < ctl_global_flag_count; i++) {
		variable_name(name, sizeof(name), ctl_global_flags[i].name);
		if (strlen(name) == size && !memcmp(name, variable, size))
			return &ctl_global_flags[i];
	}
	return NULL;
}

int ctl_env(struct ctl *c)
{
	bool is_watch = !strcmp(c->cli.command->name, "watch");

	for (char **e = environ; *e; e++) {
		const char *equals = strchr(*e, '=');
		const struct cli_flag *f;
		bool by_line;
		struct why why;

		if (strncmp(*e, PREFIX, sizeof(PREFIX) - 1) || !equals)
			continue;
		if (is_watch &&
		    (!strncmp(*e, PREFIX "WATCH_KEY=", 18) || !strncmp(*e, PREFIX "WATCH_RANGE_END=", 24)) && equals[1])
			continue;
		f = flag_of(*e, (size_t)(equals - *e));
		by_line = f && cli_is_set(&c->cli, f->name);
		if (!f || (!by_line && !equals[1])) {
			ctl_log("warn", "unrecognized environment variable", "environment-variable", *e);
			continue;
		}
		if (by_line) {
			ctl_log("fatal",
				"conflicting environment variable is shadowed by corresponding command-line flag "
				"(either unset "
				"environment variable or disable flag))",
				"environment-variable", ctl_copy(c, "%.*s", (int)(equals - *e), *e));
			return EXIT_ERROR;
		}
		/* What does not parse is passed over, as upstream does, but that a boolean is false then. */
		if (!cli_set(&c->o, f, equals + 1, &why))
			c->command_timeout_set |= !strcmp(f->name, "command-timeout");
		else if (f->kind == CLI_BOOL)
			*(bool *)((char *)&c->o + f->offset) = false;
	}
	return 0;
}
