/* version, options, completion: what needs no server. */
#include "ctl/ctl_impl.h"

RUN(version)
{
	buf_printf(cli->out, "etcdctl version: %s\nAPI version: %s\n", CTL_VERSION, CTL_API_VERSION);
	return EXIT_OK;
}

/* The global flags, as a command that had them alone would list them. */
RUN(options)
{
	const struct cli_command all = {
	    .name = "etcdctl", .flags = ctl_global_flags, .flag_count = ctl_global_flag_count};
	const struct cli_program program = {.root = &all};
	const struct cli_command *path[] = {&all};

	buf_printf(cli->out, "The following options can be passed to any command:\n\n");
	cli_usage(&program, path, 1, cli->out);
	return EXIT_OK;
}

RUN(completion)
{
	return cli_completion_script(&ctl_program, cli->args[0], cli->out) ? EXIT_OK : EXIT_ERROR;
}
