/* The program's subcommands. */
#include <stdio.h>
#include <string.h>

#include "env/env.h"
#include "pod/agent.h"

static const char USAGE[] =
	"usage: etcd-agent [run] [-- FLAGS OF ETCD...]   PID 1 of a pod: starts etcd, looks after the cluster's membership\n"
	"       etcd-agent backup                       one snapshot into a directory or an S3-compatible store\n"
	"       etcd-agent restore                      before ordinal 0 begins a cluster: a snapshot becomes its data\n"
	"       etcd-agent version\n"
	"Everything else is said by the environment: docs/etcd-agent.md\n";

int pod_main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "run";

	env_crash_install();
	if (!strcmp(verb, "--"))
		return agent_run(argc - 1, argv + 1);
	if (!strcmp(verb, "run"))
		return agent_run(MAX(argc - 2, 0), argv + MIN(argc, 2));
	if (!strcmp(verb, "backup") || !strcmp(verb, "restore"))
		return verb[0] == 'b' ? backup_run() : restore_run();
	if (!strcmp(verb, "version") || !strcmp(verb, "--version")) {
		puts("etcd-agent Version: 3.7.1");
		return 0;
	}
	fputs(USAGE, !strcmp(verb, "--help") || !strcmp(verb, "help") ? stdout : stderr);
	return !strcmp(verb, "--help") || !strcmp(verb, "help") ? 0 : 2;
}
