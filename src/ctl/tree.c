/* The command tree: names, flags, presets and help of etcdctl, one row each. Commands are in order of names, as help shows
 * them; so are the global flags (--debug prints them in this order). */
#include "ctl/ctl_impl.h"

const struct ctl_flag ctl_global_flags[] = {
	{"auth-jwt-token", 0, FLAG_STRING, "", "token to show instead of logging in (not with --user, --password)"},
	{"cacert", 0, FLAG_STRING, "", "check the servers' certificates with the certificates in this file"},
	{"cert", 0, FLAG_STRING, "", "certificate to show to servers that ask for one"},
	{"command-timeout", 0, FLAG_DURATION, "5s", "how long a command may take, connecting not counted (streams: no limit)"},
	{"debug", 0, FLAG_BOOL, "false", "print the settings that are in force to stderr"},
	{"dial-timeout", 0, FLAG_DURATION, "2s", "how long connecting may take"},
	{"discovery-srv", 'd', FLAG_STRING, "", "domain whose SRV records name the endpoints"},
	{"discovery-srv-name", 0, FLAG_STRING, "", "suffix of the service name asked for in SRV records"},
	{"endpoints", 0, FLAG_LIST, "127.0.0.1:2379", "servers to talk to, in commas"},
	{"hex", 0, FLAG_BOOL, "false", "print keys, values and ids in hexadecimal"},
	{"insecure-discovery", 0, FLAG_BOOL, "true", "take SRV records of servers without TLS"},
	{"insecure-skip-tls-verify", 0, FLAG_BOOL, "false", "do not check the servers' certificates (for tests only)"},
	{"insecure-transport", 0, FLAG_BOOL, "true", "no TLS for endpoints that do not say https"},
	{"keepalive-time", 0, FLAG_DURATION, "2s", "ping a silent connection after this time"},
	{"keepalive-timeout", 0, FLAG_DURATION, "6s", "and give it up when no answer comes in this time"},
	{"key", 0, FLAG_STRING, "", "private key of --cert"},
	{"max-recv-bytes", 0, FLAG_INT, "0", "largest response taken, in bytes (0: 2 GiB)"},
	{"max-request-bytes", 0, FLAG_INT, "0", "largest request sent, in bytes (0: 2 MiB)"},
	{"password", 0, FLAG_STRING, "", "password of --user, which is then the name alone"},
	{"user", 0, FLAG_STRING, "", "name[:password] to log in with; without password it is asked for"},
	{"write-out", 'w', FLAG_STRING, "simple", "form of the output: fields, json, protobuf, simple, table",
	 "fields json protobuf simple table"},
	{NULL},
};

static const struct ctl_flag put_flags[] = {
	{"ignore-lease", 0, FLAG_BOOL, "false", "keep the lease that the key has"},
	{"ignore-value", 0, FLAG_BOOL, "false", "keep the value that the key has"},
	{"lease", 0, FLAG_STRING, "0", "attach the key to the lease with this id (hexadecimal)"},
	{"prev-kv", 0, FLAG_BOOL, "false", "print the pair that was there before"},
	{NULL},
};

static const struct ctl_flag get_flags[] = {
	{"consistency", 0, FLAG_STRING, "l", "l: linearizable, s: serializable", "l s"},
	{"count-only", 0, FLAG_BOOL, "false", "get the number of keys alone"},
	{"from-key", 0, FLAG_BOOL, "false", "get all keys from this one on"},
	{"keys-only", 0, FLAG_BOOL, "false", "get the keys without values"},
	{"limit", 0, FLAG_INT64, "0", "at most so many pairs"},
	{"max-create-rev", 0, FLAG_INT64, "0", "only keys created at this revision or before"},
	{"max-mod-rev", 0, FLAG_INT64, "0", "only keys last changed at this revision or before"},
	{"min-create-rev", 0, FLAG_INT64, "0", "only keys created at this revision or after"},
	{"min-mod-rev", 0, FLAG_INT64, "0", "only keys last changed at this revision or after"},
	{"order", 0, FLAG_STRING, "", "ASCEND or DESCEND", "ASCEND DESCEND"},
	{"prefix", 0, FLAG_BOOL, "false", "get all keys that begin with this one"},
	{"print-value-only", 0, FLAG_BOOL, "false", "print values without keys (simple output)"},
	{"rev", 0, FLAG_INT64, "0", "as of this revision"},
	{"sort-by", 0, FLAG_STRING, "", "CREATE, KEY, MODIFY, VALUE or VERSION", "CREATE KEY MODIFY VALUE VERSION"},
	{"stream", 0, FLAG_BOOL, "false", "get the pairs by the RangeStream call"},
	{NULL},
};

static const struct ctl_flag del_flags[] = {
	{"from-key", 0, FLAG_BOOL, "false", "delete all keys from this one on"},
	{"prefix", 0, FLAG_BOOL, "false", "delete all keys that begin with this one"},
	{"prev-kv", 0, FLAG_BOOL, "false", "print what was deleted"},
	{"range", 0, FLAG_BOOL, "false", "delete up to range_end without the time to think again"},
	{NULL},
};

static const struct ctl_flag cluster_flags[] = {
	{"cluster", 0, FLAG_BOOL, "false", "ask all members of the cluster, not --endpoints"},
	{NULL},
};

static const struct ctl_command endpoint_subs[] = {
	{"status", "", "Prints what each endpoint says of itself",
	 "Columns of simple output: endpoint, id, version, storage version, size, size in use, part not in use,\n"
	 "quota, is leader, is learner, raft term, raft index, applied index, errors, downgrade target, downgrade enabled.",
	 GROUP_NONE, NULL, NULL, run_endpoint_status},
	{NULL},
};

static const struct ctl_command commands[] = {
	{"del", "[options] <key> [range_end]", "Deletes a key, or the keys of [key, range_end)", NULL, GROUP_KV, del_flags, NULL,
	 run_del},
	{"endpoint", "", "Asks endpoints how they are", NULL, GROUP_CLUSTER, cluster_flags, endpoint_subs, NULL},
	{"get", "[options] <key> [range_end]", "Gets a key, or the keys of [key, range_end)", NULL, GROUP_KV, get_flags, NULL,
	 run_get},
	{"help", "[command]", "Prints help for a command", NULL, GROUP_UTILITY, NULL, NULL, run_help},
	{"options", "", "Lists the options that every command takes", NULL, GROUP_UTILITY, NULL, NULL, run_options},
	{"put", "[options] <key> [value]", "Puts a value under a key",
	 "Without a value stdin is read to its end and put as it is. A key or value that begins with '-' goes\n"
	 "behind \"--\":  etcdctl put -- -key -value",
	 GROUP_KV, put_flags, NULL, run_put},
	{"version", "", "Prints the version of etcdctl", NULL, GROUP_UTILITY, NULL, NULL, run_version},
	{NULL},
};

const struct ctl_command ctl_root = {
	"etcdctl", "[flags]", "Command line client of etcd, API version 3", NULL, GROUP_NONE, NULL, commands, NULL,
};
