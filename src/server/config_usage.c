/* --help, made from the rows. */
#include "base/text.h"
#include "server/config_impl.h"

void usage_line(struct buf *out)
{
	static const char text[] =
		"Usage:\n\n"
		"  etcd [flags]\n    Start an etcd server.\n\n"
		"  etcd --version\n    Show the version.\n\n"
		"  etcd -h | --help\n    Show this help.\n\n"
		"  etcd --config-file\n"
		"    Take everything from this file (YAML or JSON); flags and variables then count for nothing.\n"
		"    Durations are whole nanoseconds there (10 minutes: 600000000000), heartbeat-interval and\n"
		"    election-timeout milliseconds.\n\n"
		"  etcd gateway\n    Run a TCP proxy in front of a cluster.\n\n"
		"  etcd grpc-proxy\n    Run a gRPC proxy in front of a cluster.\n\n";

	buf_put(out, text, sizeof(text) - 1);
}

static void usage_gates(struct buf *out)
{
	for (enum gate g = 0; g < GATE__COUNT; g++) {
		struct gate_set none = {0};

		if (gates_set(&none, "", NULL))
			UNREACHABLE();
		buf_printf(out, "    %s=true|false (%s - default=%s)\n", gate_name(g), gate_stage(g),
			   none.on >> g & 1 ? "true" : "false");
	}
}

static void usage_flag(struct buf *out, const struct flag_row *r)
{
	if (r->marks & HIDDEN)
		return;
	buf_printf(out, "  --%s '%s'\n    %s\n", r->name, r->preset, r->help);
	if (r->kind == KIND_GATES)
		usage_gates(out);
}

void usage_flags(struct buf *out)
{
	const struct flag_row *r = flag_rows;

#define GROUP(title) buf_printf(out, "\n" title ":\n");
#define FLAG(...) usage_flag(out, r++);
#include "server/flag_rows.h"
#undef FLAG
#undef GROUP
	buf_printf(out, "\nThe unsafe flags may break what the consensus protocol guarantees.\n");
}
