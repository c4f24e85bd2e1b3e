/* version, options, completion: what needs no server. */
#include "ctl/ctl_impl.h"

RUN(version)
{
	buf_printf(cli->out, "etcdctl version: %s\nAPI version: %s\n", CTL_VERSION, CTL_API_VERSION);
	return EXIT_OK;
}

RUN(options)
{
	buf_printf(cli->out, "The following options can be passed to any command:\n\n");
	cli_list_flags(ctl_global_flags, ctl_global_flag_count, cli->out);
	return EXIT_OK;
}

RUN(completion)
{
	return cli_completion_script(&ctl_program, cli->args[0], cli->out) ? EXIT_OK : EXIT_ERROR;
}
