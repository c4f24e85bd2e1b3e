/* Prints etcd(1), from the rows that make the flags and their --help. Runs while building; it is not installed. */
#include <stdio.h>

#include "cli/cli.h"
#include "proxy/proxy.h"

static const char about[] =
	"A key-value store for what a distributed system must agree on: members that elect a leader among them and keep one log "
	"of all changes. A change is acknowledged when a majority has it on disk; reads see what was acknowledged before them.\n\n"
	"Without flags one member starts that listens for clients on http://localhost:2379 and keeps its data in default.etcd:\n\n"
	"  etcd\n"
	"  etcdctl put greeting hello\n"
	"  etcdctl get greeting\n\n"
	"One of three members, all of which are started with the same --initial-cluster:\n\n"
	"  etcd --name a --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
	"    --listen-peer-urls http://10.0.0.1:2380 \\\n"
	"    --listen-client-urls http://10.0.0.1:2379,http://127.0.0.1:2379 \\\n"
	"    --advertise-client-urls http://10.0.0.1:2379 \\\n"
	"    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380\n\n"
	"Flags of --initial-* count at the first start only; later the data directory knows. SIGTERM and SIGINT end the member in "
	"order; what was acknowledged is on disk at any time, so that kill -9 loses nothing either.";

static const struct cli_section sections[] = {
	{"ENVIRONMENT",
	 "Every flag can be given as a variable: ETCD_ and its name in capitals with _ for - (ETCD_DATA_DIR). A flag on the "
	 "command line wins over its variable.\n\n"
	 "ETCD_ROOT_PASSWORD makes user root with this password in a new cluster and asks for a user before any client is served."},
	{"EXIT STATUS",
	 "0: it was told to end and was process 1, or it was removed from the cluster, or help or the version was asked for. 1: "
	 "it could not start, or go on; the last line of the log says why. 2: a flag is wrong. Ended by a signal: that signal, "
	 "which a shell shows as 128 and its number."},
	{"FILES",
	 "  NAME.etcd/member/snap/db    the database, in the format of bbolt\n"
	 "  NAME.etcd/member/snap/      snapshots of the consensus log\n"
	 "  NAME.etcd/member/wal/       the log itself; --wal-dir puts it elsewhere\n"},
	{"SEE ALSO", "etcdctl(1), etcdutl(1)"},
};

static void put_flag(struct buf *out, const char *name, const char *preset, bool hidden, const char *help)
{
	if (hidden)
		return;
	buf_printf(out, ".TP\n.B \\-\\-");
	cli_man_text(out, name);
	buf_put_byte(out, '\n');
	cli_man_paragraphs(out, help);
	if (*preset) {
		buf_printf(out, "Preset: ");
		cli_man_text(out, preset);
		buf_put_byte(out, '\n');
	}
}

static void put_flags(struct buf *out)
{
	enum { DEPRECATED = 0, HIDDEN = 1 }; /* the marks of the rows: only this one matters here */

#define GROUP(title) buf_printf(out, ".SS \"" title "\"\n");
#define FLAG(kind, field, flag, key, preset, marks, help) put_flag(out, flag, preset, (marks) & HIDDEN, help);
#include "server/flag_rows.h"
#undef FLAG
#undef GROUP
}

static void put_gates(struct buf *out)
{
#define GATE(symbol, name, preset, stage) buf_printf(out, ".TP\n.B %s\n%s, %s by itself\n", name, stage, preset ? "on" : "off");
#include "server/gate_rows.h"
#undef GATE
}

int main(void)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	buf_printf(&out, ".TH etcd 1 \"\" \"3.7.1\" \"etcd\"\n.SH NAME\netcd \\- a distributed, consistent key-value store\n"
			 ".SH SYNOPSIS\n.B etcd\n[flags]\n.br\n.B etcd \\-\\-config\\-file\n.I file\n.br\n"
			 ".B etcd \\-\\-version\n.br\n.B etcd gateway start\n[flags]\n.br\n.B etcd grpc\\-proxy start\n[flags]\n.SH DESCRIPTION\n");
	cli_man_paragraphs(&out, about);
	buf_printf(&out, ".SH OPTIONS\n.TP\n.BI \\-\\-config\\-file \" file\"\nTake everything from this file (YAML or JSON); flags "
			 "and variables then count for nothing.\n.TP\n.B \\-\\-version\nShow the version.\n"
			 ".TP\n.B \\-h, \\-\\-help\nShow the flags.\n");
	put_flags(&out);
	proxy_man(&out);
	buf_printf(&out, ".SH FEATURE GATES\nnames for \\-\\-feature\\-gates, as NAME=true or NAME=false:\n");
	put_gates(&out);
	for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
		buf_printf(&out, ".SH %s\n", sections[i].title);
		cli_man_paragraphs(&out, sections[i].text);
	}
	fwrite(out.data, 1, out.size, stdout);
	buf_fini(&out);
	return fflush(stdout) ? 1 : 0;
}
