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

static const struct cli_flag grpc_flags[] = {
    {.name = "listen-addr", OPT(listen_addr), .preset = "127.0.0.1:23790", .help = "address to accept connections on"},
    {.name = "discovery-srv", OPT(discovery_srv), .help = "DNS domain whose SRV records name the members"},
    {.name = "discovery-srv-name", OPT(discovery_srv_name), .help = "added to the name of the service that is looked up"},
    {.name = "metrics-addr", OPT(metrics_addr), .help = "URL of one more listener for /metrics and /health"},
    {.name = "insecure-discovery", .kind = CLI_BOOL, OPT(insecure_discovery), .help = "take SRV records of members without TLS as well"},
    {.name = "endpoints", .kind = CLI_LIST, OPT(endpoints), .preset = "127.0.0.1:2379", .help = "members of the cluster"},
    {.name = "endpoints-auto-sync-interval", .kind = CLI_DURATION, OPT(auto_sync_ns),
     .help = "how often the endpoints are taken from the cluster's list of members; 0: never"},
    {.name = "dial-keepalive-time", .kind = CLI_DURATION, OPT(dial_keepalive_ns), .help = "silence after which a member is pinged; 0: never"},
    {.name = "dial-keepalive-timeout", .kind = CLI_DURATION, OPT(dial_keepalive_timeout_ns), .preset = "20s",
     .help = "time a member has for the answer to a ping"},
    {.name = "permit-without-stream", .kind = CLI_BOOL, OPT(permit_without_stream), .help = "ping members also while no call is open"},
    {.name = "advertise-client-url", OPT(advertise_url), .preset = "127.0.0.1:23790",
     .help = "address under which clients reach this proxy, for the list of members"},
    {.name = "resolver-prefix", OPT(resolver_prefix), .help = "key prefix under which proxies register; the same for all that work together"},
    {.name = "resolver-ttl", .kind = CLI_INT, OPT(resolver_ttl_s), .help = "seconds after which the registration of a dead proxy goes"},
    {.name = "namespace", OPT(name_space), .help = "put in front of all keys"},
    {.name = "enable-pprof", .kind = CLI_BOOL, OPT(pprof), .help = "answers under /debug/pprof/ that there are no Go profiles here"},
    {.name = "data-dir", OPT(data_dir), .preset = "default.proxy", .takes_dir = true, .help = "directory of the certificate of --auto-tls"},
    {.name = "max-send-bytes", .kind = CLI_INT, OPT(send_bytes_max), .preset = "1572864", .help = "largest message sent to the cluster"},
    {.name = "max-recv-bytes", .kind = CLI_INT, OPT(recv_bytes_max), .preset = "2147483647", .help = "largest message taken from the cluster"},
    {.name = "grpc-keepalive-min-time", .kind = CLI_DURATION, OPT(keepalive_min_ns), .preset = "5s",
     .help = "least time between two pings of a client"},
    {.name = "grpc-keepalive-interval", .kind = CLI_DURATION, OPT(keepalive_interval_ns), .preset = "2h0m0s",
     .help = "silence after which a client is pinged; 0: never"},
    {.name = "grpc-keepalive-timeout", .kind = CLI_DURATION, OPT(keepalive_timeout_ns), .preset = "20s",
     .help = "time a client has for the answer to a ping"},
    {.name = "cert", OPT(cert), .takes_file = true, .help = "certificate shown to the cluster; its common name must be empty"},
    {.name = "key", OPT(key), .takes_file = true, .help = "private key of --cert"},
    {.name = "cacert", OPT(cacert), .takes_file = true, .help = "CA of the members' certificates"},
    {.name = "insecure-skip-tls-verify", .kind = CLI_BOOL, OPT(skip_verify), .help = "do not verify the members' certificates (for tests only)"},
    {.name = "cert-file", OPT(listen_cert), .takes_file = true, .help = "certificate shown to clients"},
    {.name = "key-file", OPT(listen_key), .takes_file = true, .help = "private key of --cert-file"},
    {.name = "trusted-ca-file", OPT(listen_ca), .takes_file = true, .help = "CA of the certificates that clients have to show"},
    {.name = "listen-cipher-suites", .kind = CLI_LIST, OPT(listen_ciphers), .help = "TLS 1.2 cipher suites for clients"},
    {.name = "auto-tls", .kind = CLI_BOOL, OPT(auto_tls), .help = "TLS for clients with a certificate made at the start"},
    {.name = "client-crl-file", OPT(listen_crl), .takes_file = true, .help = "revoked certificates of clients"},
    {.name = "self-signed-cert-validity", .kind = CLI_UINT, OPT(self_signed_years), .preset = "1", .help = "years the certificate of --auto-tls is good for"},
    {.name = "tls-min-version", OPT(tls_min), .preset = "TLS1.2", .help = "least version for clients: TLS1.2, TLS1.3"},
    {.name = "tls-max-version", OPT(tls_max), .help = "greatest version for clients: TLS1.2, TLS1.3"},
    {.name = "experimental-serializable-ordering", .kind = CLI_BOOL, OPT(ordering),
     .help = "serializable reads never go back to an earlier revision"},
    {.name = "experimental-leasing-prefix", OPT(leasing_prefix), .help = "leasing metadata prefix for disconnected linearized reads"},
    {.name = "experimental-enable-grpc-logging", .kind = CLI_BOOL, OPT(log_calls), .help = "log every call"},
    {.name = "debug", .kind = CLI_BOOL, OPT(debug), .help = "log at level debug"},
    {.name = "max-concurrent-streams", .kind = CLI_UINT, OPT(streams_max), .preset = "4294967295", .help = "open calls of one client connection"},
};

static const char gateway_about[] =
	"Passes TCP connections on to the members, one after the other, without looking into them. A member that\n"
	"cannot be reached is left alone for --retry-delay.\n\n"
	"  etcd gateway start --endpoints=10.0.0.1:2379,10.0.0.2:2379";

static const char grpc_about[] =
	"Serves the API to many clients over few connections to the members: watches of one range share one watch,\n"
	"leases one stream of renewals, and serializable reads come from a cache. --cert, --key and --cacert are for the\n"
	"members, --cert-file and --key-file for clients.\n\n"
	"  etcd grpc-proxy start --endpoints=10.0.0.1:2379,10.0.0.2:2379 --listen-addr=127.0.0.1:23790";

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

static const struct cli_command gateway_start_command = {.name = "start", .brief = "start the gateway", .about = gateway_about, .flags = gateway_flags,
	.flag_count = ARRAY_COUNT(gateway_flags), .args_exact = CLI_ARGS_ANY, .run = run_gateway};
static const struct cli_command *const gateway_children[] = {&gateway_start_command};
static const struct cli_command gateway_command = {.name = "gateway", .brief = "gateway related command", .children = gateway_children,
	.child_count = 1, .args_exact = CLI_ARGS_ANY, .whole = true};

static int run_grpc(struct cli *c)
{
	struct run *r = c->user;

	r->proxy = proxy_new();
	return grpc_proxy_start(r->proxy, c->options);
}

static const struct cli_command grpc_start_command = {.name = "start", .brief = "start the grpc proxy", .about = grpc_about, .flags = grpc_flags,
	.flag_count = ARRAY_COUNT(grpc_flags), .args_exact = CLI_ARGS_ANY, .run = run_grpc};
static const struct cli_command *const grpc_children[] = {&grpc_start_command};
static const struct cli_command grpc_command = {.name = "grpc-proxy", .brief = "grpc-proxy related command", .children = grpc_children,
	.child_count = 1, .args_exact = CLI_ARGS_ANY, .whole = true};

static const struct cli_command *const root_children[] = {
	&gateway_command,
	&grpc_command,
};
static const struct cli_command root = {.name = "etcd", .brief = "etcd server", .children = root_children,
	.child_count = ARRAY_COUNT(root_children), .args_exact = CLI_ARGS_ANY};
static const struct cli_program program = {.root = &root};

bool proxy_is_command(int argc, char *const *argv)
{
	return argc > 1 && (!strcmp(argv[1], "gateway") || !strcmp(argv[1], "grpc-proxy"));
}

void proxy_man(struct buf *out)
{
	cli_man_commands(&program, out);
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
