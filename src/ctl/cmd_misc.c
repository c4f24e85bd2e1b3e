/* version, options, help: what needs no server. */
#include "ctl/ctl_impl.h"

int run_version(struct ctl *c)
{
	printf("etcdctl version: %s\nAPI version: %s\n", CTL_VERSION, CTL_API_VERSION);
	return EXIT_OK;
}

int run_options(struct ctl *c)
{
	usage_options(stdout);
	return EXIT_OK;
}

int run_help(struct ctl *c)
{
	const struct ctl_command *path[4] = {&ctl_root};
	size_t depth = 1;

	for (size_t i = 0; i < c->arg_count && depth < ARRAY_COUNT(path); i++) {
		const struct ctl_command *s = path[depth - 1]->subs;

		while (s && s->name && strcmp(s->name, c->args[i]))
			s++;
		if (!s || !s->name) {
			fflush(stdout);
			fprintf(stderr, "Unknown help topic \"%s\"\n", c->args[i]);
			usage_short(stderr, path, 1);
			return EXIT_OK;
		}
		path[depth++] = s;
	}
	usage_help(stdout, path, depth);
	return EXIT_OK;
}
