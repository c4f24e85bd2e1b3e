/* The command lines of `etcd gateway` and `etcd grpc-proxy` as tables, and what runs them. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "proxy/proxy_impl.h"

#define OPT(f) .offset = offsetof(struct proxy_options, f)

static const struct cli_flag gateway_flags[] = {
    {.name = "listen-addr", OPT(listen_addr), .preset = "127.0.0.1:23790", .help = "address to accept connections on"},
    {.name = "endpoints", .kind = CLI_LIST, OPT(endpoints), .preset = "127.0.0.1:2379", .help = "members to pass connections on to"},
    {.name = "discovery-srv", OPT(discovery_srv), .help = "DNS domain whose SRV records name the members"},
    {.name = "discovery-srv-name", OPT(discovery_srv_name), .help = "added to the name of the service that is looked up"},
    {.name = "insecure-discovery", .kind = CLI_BOOL, OPT(insecure_discovery), .help = "take SRV records of members without TLS as well"},
    {.name = "trusted-ca-file", OPT(gateway_ca), .takes_file = true, .help = "CA of members found by SRV records"},
    {.name = "retry-delay", .kind = CLI_DURATION, OPT(retry_delay_ns), .preset = "1m0s",
     .help = "how long a member that could not be reached is left alone"},
};

struct run {
	int argc;
	char *const *argv;
	struct proxy *proxy;
};

static int run_gateway(struct cli *c)
{
	struct run *r = c->user;

	r->proxy = proxy_new();
	return gateway_start(r->proxy, c->options, r->argc, r->argv);
}

static const struct cli_command gateway_start_command = {.name = "start", .brief = "start the gateway", .flags = gateway_flags,
	.flag_count = ARRAY_COUNT(gateway_flags), .args_exact = CLI_ARGS_ANY, .run = run_gateway};
static const struct cli_command *const gateway_children[] = {&gateway_start_command};
static const struct cli_command gateway_command = {.name = "gateway", .brief = "gateway related command", .children = gateway_children,
	.child_count = 1, .args_exact = CLI_ARGS_ANY, .whole = true};


static const struct cli_command *const root_children[] = {
	&gateway_command,
};
static const struct cli_command root = {.name = "etcd", .brief = "etcd server", .children = root_children,
	.child_count = ARRAY_COUNT(root_children), .args_exact = CLI_ARGS_ANY};
static const struct cli_program program = {.root = &root};

bool proxy_is_command(int argc, char *const *argv)
{
	return argc > 1 && (!strcmp(argv[1], "gateway") || !strcmp(argv[1], "grpc-proxy"));
}

static void put(const struct buf *b, FILE *f)
{
	if (b->size)
		fwrite(b->data, 1, b->size, f);
	fflush(f);
}

/* Upstream prints an error before the usage and once more behind it, without the word and without a newline. */
static void put_again(const struct buf *err)
{
	static const char word[] = "Error: ";
	const char *end = err->size ? memchr(err->data, '\n', err->size) : NULL;

	if (end && slice_has_prefix(buf_slice(err), slice_str(word)))
		fprintf(stderr, "%.*s", (int)(end - (const char *)err->data - (sizeof(word) - 1)), (const char *)err->data + sizeof(word) - 1);
}

struct proxy *proxy_start(int argc, char *const *argv, int *exit_code)
{
	struct proxy_options *o = NEW(struct proxy_options);
	struct run run = {argc, argv, NULL};
	struct buf out, err;
	struct cli cli;
	bool ok;

	buf_init(&out, 1 << 20);
	buf_init(&err, 1 << 20);
	ok = cli_parse(&program, argc, (const char *const *)argv, o, &cli, &out, &err);
	*exit_code = cli.exit_code;
	if (ok && cli.command->run) {
		cli.user = &run;
		*exit_code = cli.command->run(&cli);
	}
	put(&out, stdout);
	put(&err, stderr);
	if (!ok && *exit_code)
		put_again(&err);
	buf_fini(&out);
	buf_fini(&err);
	cli_fini(&cli);
	if (run.proxy && *exit_code) {
		proxy_stop(run.proxy);
		run.proxy = NULL;
	}
	if (run.proxy)
		run.proxy->options = o;
	else
		mem_free(o);
	return run.proxy;
}
