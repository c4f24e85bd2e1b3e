/* The command tree: names, flags, presets and help of etcdctl, one row each. */
#include <stddef.h>

#include "ctl/ctl_impl.h"

#define ROW(name, letter, kind, field, preset, help) \
	{name, letter, CLI_##kind, offsetof(struct ctl_options, field), preset, help}
#define TEXT(name, field, preset, help) ROW(name, 0, TEXT, field, preset, help)
#define BOOL(name, field, help) ROW(name, 0, BOOL, field, NULL, help)
#define INT(name, field, help) ROW(name, 0, INT, field, NULL, help)
#define GLOBAL(...) {__VA_ARGS__, .inherited = true}
#define FLAGS(rows) .flags = rows, .flag_count = ARRAY_COUNT(rows)
#define CHILDREN(list) .children = list, .child_count = ARRAY_COUNT(list)
#define FIELD(field) offsetof(struct ctl_options, field)

#define KV "Key-value commands"
#define CLUSTER "Cluster maintenance commands"
#define CONCURRENCY "Concurrency commands"
#define AUTH "Authentication commands"
#define UTILITY "Utility commands"

static const char *const formats[] = {"fields", "json", "protobuf", "simple", "table", NULL};
static const char *const consistencies[] = {"l", "s", NULL};
static const char *const orders[] = {"ASCEND", "DESCEND", NULL};
static const char *const targets[] = {"CREATE", "KEY", "MODIFY", "VALUE", "VERSION", NULL};
static const char *const loads[] = {"s", "m", "l", "xl", NULL};
static const char *const shells[] = {"bash", "zsh", "fish", "powershell", NULL};

const struct cli_flag ctl_global_flags[] = {
	GLOBAL("auth-jwt-token", 0, CLI_TEXT, FIELD(auth_jwt_token), "",
	       "token to show instead of logging in (not with --user, --password)"),
	GLOBAL("cacert", 0, CLI_TEXT, FIELD(cacert), "", "check the servers' certificates with those in this file",
	       .takes_file = true),
	GLOBAL("cert", 0, CLI_TEXT, FIELD(cert), "", "certificate to show to servers that ask for one", .takes_file = true),
	GLOBAL("command-timeout", 0, CLI_DURATION, FIELD(command_timeout), "5s",
	       "how long a command may take, streams excepted"),
	GLOBAL("debug", 0, CLI_BOOL, FIELD(debug), NULL, "print the settings that are in force to stderr"),
	GLOBAL("dial-timeout", 0, CLI_DURATION, FIELD(dial_timeout), "2s", "how long connecting may take"),
	GLOBAL("discovery-srv", 'd', CLI_TEXT, FIELD(discovery_srv), "", "domain whose SRV records name the endpoints"),
	GLOBAL("discovery-srv-name", 0, CLI_TEXT, FIELD(discovery_srv_name), "",
	       "suffix of the service asked for in SRV records"),
	GLOBAL("endpoints", 0, CLI_LIST, FIELD(endpoints), "127.0.0.1:2379", "servers to talk to, in commas"),
	GLOBAL("hex", 0, CLI_BOOL, FIELD(hex), NULL, "print keys, values and ids in hexadecimal"),
	GLOBAL("insecure-discovery", 0, CLI_BOOL, FIELD(insecure_discovery), "true", "take SRV records of servers without TLS"),
	GLOBAL("insecure-skip-tls-verify", 0, CLI_BOOL, FIELD(insecure_skip_tls_verify), NULL,
	       "do not check the servers' certificates (for tests only)"),
	GLOBAL("insecure-transport", 0, CLI_BOOL, FIELD(insecure_transport), "true",
	       "no TLS for endpoints that do not say https"),
	GLOBAL("keepalive-time", 0, CLI_DURATION, FIELD(keepalive_time), "2s", "ping a silent connection after this time"),
	GLOBAL("keepalive-timeout", 0, CLI_DURATION, FIELD(keepalive_timeout), "6s",
	       "and give it up when no answer comes in this time"),
	GLOBAL("key", 0, CLI_TEXT, FIELD(key), "", "private key of the certificate to show", .takes_file = true),
	GLOBAL("max-recv-bytes", 0, CLI_INT, FIELD(max_recv_bytes), NULL, "largest response taken, in bytes (0: 2 GiB)"),
	GLOBAL("max-request-bytes", 0, CLI_INT, FIELD(max_request_bytes), NULL, "largest request sent, in bytes (0: 2 MiB)"),
	GLOBAL("password", 0, CLI_TEXT, FIELD(password), "", "password of --user, which is then the name alone"),
	GLOBAL("user", 0, CLI_TEXT, FIELD(user), "", "name[:password] to log in with; asked for without password"),
	GLOBAL("write-out", 'w', CLI_TEXT, FIELD(write_out), "simple", "form of output: fields, json, protobuf, simple, table",
	       .values = formats),
};
const size_t ctl_global_flag_count = ARRAY_COUNT(ctl_global_flags);

/* --- key-value --- */

static const struct cli_flag put_flags[] = {
	BOOL("ignore-lease", ignore_lease, "keep the lease that the key has"),
	BOOL("ignore-value", ignore_value, "keep the value that the key has"),
	TEXT("lease", lease, "0", "attach the key to the lease with this id (hexadecimal)"),
	BOOL("prev-kv", prev_kv, "print the pair that was there before"),
};
static const struct cli_command put_command = {
	.name = "put", .args = "[options] <key> [value]", .brief = "Puts a value under a key",
	.about = "Puts a value under a key.\n\n"
		 "Without a value stdin is read to its end and put as it is. What begins with '-' goes behind \"--\":\n"
		 "  etcdctl put -- -key -value",
	.group = KV, FLAGS(put_flags), .args_exact = CLI_ARGS_ANY, .run = run_put,
};

static const struct cli_flag get_flags[] = {
	{"consistency", 0, CLI_TEXT, FIELD(consistency), "l", "l: linearizable, s: serializable", .values = consistencies},
	BOOL("count-only", count_only, "get the number of keys alone"),
	BOOL("from-key", from_key, "get all keys from this one on"),
	BOOL("keys-only", keys_only, "get the keys without values"),
	INT("limit", limit, "at most so many pairs"),
	INT("max-create-rev", max_create_rev, "only keys created at this revision or before"),
	INT("max-mod-rev", max_mod_rev, "only keys last changed at this revision or before"),
	INT("min-create-rev", min_create_rev, "only keys created at this revision or after"),
	INT("min-mod-rev", min_mod_rev, "only keys last changed at this revision or after"),
	{"order", 0, CLI_TEXT, FIELD(order), "", "ASCEND or DESCEND", .values = orders},
	BOOL("prefix", prefix, "get all keys that begin with this one"),
	BOOL("print-value-only", print_value_only, "print values without keys (simple output)"),
	INT("rev", rev, "as of this revision"),
	{"sort-by", 0, CLI_TEXT, FIELD(sort_by), "", "CREATE, KEY, MODIFY, VALUE or VERSION", .values = targets},
	BOOL("stream", stream, "get the pairs by the RangeStream call"),
};
static const struct cli_command get_command = {
	.name = "get", .args = "[options] <key> [range_end]", .brief = "Gets a key, or the keys of [key, range_end)", .group = KV,
	FLAGS(get_flags), .args_exact = CLI_ARGS_ANY, .run = run_get,
};

static const struct cli_flag del_flags[] = {
	BOOL("from-key", from_key, "delete all keys from this one on"),
	BOOL("prefix", prefix, "delete all keys that begin with this one"),
	BOOL("prev-kv", prev_kv, "print what was deleted"),
	BOOL("range", range, "delete up to range_end without the time to think again"),
};
static const struct cli_command del_command = {
	.name = "del", .args = "[options] <key> [range_end]", .brief = "Deletes a key, or the keys of [key, range_end)",
	.group = KV, FLAGS(del_flags), .args_exact = CLI_ARGS_ANY, .run = run_del,
};

static const struct cli_flag interactive_flags[] = {
	ROW("interactive", 'i', BOOL, interactive, NULL, "say what is read next"),
};
static const struct cli_command txn_command = {
	.name = "txn", .args = "[options]", .brief = "Runs compares and operations as one transaction",
	.about = "Reads a transaction from stdin: compares, an empty line, operations if all hold, an empty line,\n"
		 "operations if one does not, an empty line.\n\n"
		 "  mod(\"k\") > \"0\"                        create, mod, version, value, lease; = != < >\n\n"
		 "  put k \"changed\"\n\n"
		 "  put k \"new\"\n",
	.group = KV, FLAGS(interactive_flags), .args_exact = CLI_ARGS_ANY, .run = run_txn,
};

static const struct cli_flag compaction_flags[] = {
	BOOL("physical", physical, "come back when the old revisions are gone from the file too"),
};
static const struct cli_command compaction_command = {
	.name = "compaction", .args = "[options] <revision>", .brief = "Drops the history before a revision", .group = KV,
	FLAGS(compaction_flags), .args_exact = CLI_ARGS_ANY, .run = run_compaction,
};

static const struct cli_flag watch_flags[] = {
	ROW("interactive", 'i', BOOL, interactive, NULL, "read watch and progress commands from stdin"),
	BOOL("prefix", prefix, "watch all keys that begin with this one"),
	BOOL("prev-kv", prev_kv, "print the pair that was there before as well"),
	BOOL("progress-notify", progress_notify, "print the revision now and then when nothing happens"),
	INT("rev", rev, "first revision to see"),
};
static const struct cli_command watch_command = {
	.name = "watch", .args = "[options] [key] [range_end] [--] [command arg ...]", .brief = "Prints events as they happen",
	.about = "Prints the events of a key, or of [key, range_end), as they happen. A command behind \"--\" is run for each,\n"
		 "with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment.\n"
		 "Without a key that of ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END is watched.",
	.group = KV, FLAGS(watch_flags), .args_exact = CLI_ARGS_ANY, .run = run_watch,
};

static const struct cli_command lease_grant = {
	.name = "grant", .args = "<ttl>", .brief = "Makes a lease that lives for ttl seconds", .args_exact = CLI_ARGS_ANY,
	.run = run_lease_grant,
};
static const struct cli_flag keep_alive_flags[] = {BOOL("once", once, "renew it once and return")};
static const struct cli_command lease_keep_alive = {
	.name = "keep-alive", .args = "[options] <lease id>", .brief = "Renews a lease again and again",
	FLAGS(keep_alive_flags), .args_exact = CLI_ARGS_ANY, .run = run_lease_keep_alive,
};
static const struct cli_command lease_list = {
	.name = "list", .brief = "Lists the leases that are alive", .args_exact = CLI_ARGS_ANY, .run = run_lease_list,
};
static const struct cli_command lease_revoke = {
	.name = "revoke", .args = "<lease id>", .brief = "Ends a lease, and its keys with it", .args_exact = CLI_ARGS_ANY,
	.run = run_lease_revoke,
};
static const struct cli_flag timetolive_flags[] = {BOOL("keys", keys, "list the keys that hang on it")};
static const struct cli_command lease_timetolive = {
	.name = "timetolive", .args = "<lease id> [options]", .brief = "Tells how long a lease has to live",
	FLAGS(timetolive_flags), .args_exact = CLI_ARGS_ANY, .run = run_lease_timetolive,
};
static const struct cli_command *const lease_list_of[] = {
	&lease_grant, &lease_keep_alive, &lease_list, &lease_revoke, &lease_timetolive,
};
static const struct cli_command lease_command = {
	.name = "lease", .args = "<subcommand>", .brief = "Grants, renews and ends leases", .group = KV, CHILDREN(lease_list_of),
};

/* --- cluster maintenance --- */

static const struct cli_command alarm_disarm = {
	.name = "disarm", .brief = "Ends all alarms", .args_exact = CLI_ARGS_ANY, .run = run_alarm_disarm,
};
static const struct cli_command alarm_list = {
	.name = "list", .brief = "Lists the alarms", .args_exact = CLI_ARGS_ANY, .run = run_alarm_list,
};
static const struct cli_command *const alarm_list_of[] = {&alarm_disarm, &alarm_list};
static const struct cli_command alarm_command = {
	.name = "alarm", .args = "<subcommand>", .brief = "Lists and ends alarms", .group = CLUSTER, CHILDREN(alarm_list_of),
};

static const struct cli_flag cluster_flags[] = {
	{"cluster", 0, CLI_BOOL, FIELD(cluster), NULL, "ask all members of the cluster, not --endpoints", .inherited = true},
};
static const struct cli_command defrag_command = {
	.name = "defrag", .brief = "Gives unused space of the database files back", .group = CLUSTER, FLAGS(cluster_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_defrag,
};

static const struct cli_command downgrade_cancel = {
	.name = "cancel", .brief = "Ends a downgrade that is under way", .args_exact = CLI_ARGS_ANY,
	.run = run_downgrade_cancel,
};
static const struct cli_command downgrade_enable = {
	.name = "enable", .args = "<version>", .brief = "Begins a downgrade to this version", .args_exact = CLI_ARGS_ANY,
	.run = run_downgrade_enable,
};
static const struct cli_command downgrade_validate = {
	.name = "validate", .args = "<version>", .brief = "Tells whether the cluster could be downgraded to this version",
	.args_exact = CLI_ARGS_ANY, .run = run_downgrade_validate,
};
static const struct cli_command *const downgrade_list_of[] = {&downgrade_cancel, &downgrade_enable, &downgrade_validate};
static const struct cli_command downgrade_command = {
	.name = "downgrade", .args = "<subcommand>", .brief = "Prepares a cluster for an older version", .group = CLUSTER,
	CHILDREN(downgrade_list_of),
};

static const struct cli_flag hashkv_flags[] = {INT("rev", rev, "hash up to this revision (0: the latest)")};
static const struct cli_command endpoint_hashkv = {
	.name = "hashkv", .brief = "Prints a hash of each endpoint's keys and their history", FLAGS(hashkv_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_endpoint_hashkv,
};
static const struct cli_command endpoint_health = {
	.name = "health", .brief = "Tells which endpoints serve", .args_exact = CLI_ARGS_ANY, .run = run_endpoint_health,
};
static const struct cli_command endpoint_status = {
	.name = "status", .brief = "Prints what each endpoint says of itself",
	.about = "Prints what each endpoint says of itself. Simple output has, in commas: endpoint, id, version, storage version,\n"
		 "size, size in use, part not in use, quota, is leader, is learner, raft term, raft index, applied index,\n"
		 "errors, downgrade target, downgrade enabled.",
	.args_exact = CLI_ARGS_ANY, .run = run_endpoint_status,
};
static const struct cli_command *const endpoint_list_of[] = {&endpoint_hashkv, &endpoint_health, &endpoint_status};
static const struct cli_command endpoint_command = {
	.name = "endpoint", .args = "<subcommand>", .brief = "Asks endpoints how they are", .group = CLUSTER,
	FLAGS(cluster_flags), CHILDREN(endpoint_list_of),
};

static const struct cli_flag member_add_flags[] = {
	BOOL("learner", learner, "it follows, and does not vote yet"),
	TEXT("peer-urls", peer_urls, "", "URLs that the other members reach it at, in commas"),
};
static const struct cli_command member_add = {
	.name = "add", .args = "<name> [options]", .brief = "Adds a member to the cluster", FLAGS(member_add_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_member_add,
};
static const struct cli_flag member_list_flags[] = {
	{"consistency", 0, CLI_TEXT, FIELD(consistency), "l", "l: linearizable, s: serializable", .values = consistencies},
};
static const struct cli_command member_list = {
	.name = "list", .brief = "Lists the members of the cluster",
	.about = "Lists the members of the cluster. Simple output has, in commas: id, status, name, peer URLs, client URLs,\n"
		 "is learner.",
	FLAGS(member_list_flags), .args_exact = CLI_ARGS_ANY, .run = run_member_list,
};
static const struct cli_command member_promote = {
	.name = "promote", .args = "<member id>", .brief = "Makes a learner a voting member", .args_exact = CLI_ARGS_ANY,
	.run = run_member_promote,
};
static const struct cli_command member_remove = {
	.name = "remove", .args = "<member id>", .brief = "Removes a member from the cluster", .args_exact = CLI_ARGS_ANY,
	.run = run_member_remove,
};
static const struct cli_flag member_update_flags[] = {
	TEXT("peer-urls", peer_urls, "", "its new URLs for the other members, in commas"),
};
static const struct cli_command member_update = {
	.name = "update", .args = "<member id> [options]", .brief = "Changes the peer URLs of a member",
	FLAGS(member_update_flags), .args_exact = CLI_ARGS_ANY, .run = run_member_update,
};
static const struct cli_command *const member_list_of[] = {
	&member_add, &member_list, &member_promote, &member_remove, &member_update,
};
static const struct cli_command member_command = {
	.name = "member", .args = "<subcommand>", .brief = "Adds, lists, changes and removes members", .group = CLUSTER,
	CHILDREN(member_list_of),
};

static const struct cli_command move_leader_command = {
	.name = "move-leader", .args = "<member id>", .brief = "Hands the leadership over to another member", .group = CLUSTER,
	.args_exact = CLI_ARGS_ANY, .run = run_move_leader,
};

static const struct cli_command snapshot_save = {
	.name = "save", .args = "<filename>", .brief = "Saves an endpoint's database to a file",
	.about = "Saves an endpoint's database to a file, to be restored with etcdutl snapshot restore. Exactly one endpoint is\n"
		 "asked. The file is there only when all of it has arrived and its hash was checked; until then it is\n"
		 "<filename>.part.\n\n"
		 "  etcdctl --endpoints=127.0.0.1:2379 snapshot save backup.db",
	.args_exact = CLI_ARGS_ANY, .takes_file = true, .run = run_snapshot_save,
};
static const struct cli_command *const snapshot_list_of[] = {&snapshot_save};
static const struct cli_command snapshot_command = {
	.name = "snapshot", .args = "<subcommand>", .brief = "Saves a database", .group = CLUSTER, CHILDREN(snapshot_list_of),
};

/* --- concurrency --- */

static const struct cli_flag lock_flags[] = {
	{"ttl", 0, CLI_INT, FIELD(ttl), "10", "seconds that the lock outlives a client that is gone"},
};
static const struct cli_command lock_command = {
	.name = "lock", .args = "<name> [command arg ...]", .brief = "Takes a lock and holds it",
	.about = "Takes a lock and holds it until it is interrupted, or while a command runs, which finds ETCD_LOCK_KEY and\n"
		 "ETCD_LOCK_REV in its environment and whose exit code is the one of etcdctl. A command with flags of its own\n"
		 "goes behind \"--\".",
	.group = CONCURRENCY, FLAGS(lock_flags), .args_exact = CLI_ARGS_ANY, .run = run_lock,
};
static const struct cli_flag elect_flags[] = {ROW("listen", 'l', BOOL, listen, NULL, "only print who is elected")};
static const struct cli_command elect_command = {
	.name = "elect", .args = "<election> [proposal]", .brief = "Takes part in an election, or watches it",
	.group = CONCURRENCY, FLAGS(elect_flags), .args_exact = CLI_ARGS_ANY, .run = run_elect,
};

/* --- authentication --- */

static const struct cli_command auth_disable = {
	.name = "disable", .brief = "Lets everybody in again", .args_exact = CLI_ARGS_ANY, .run = run_auth_disable,
};
static const struct cli_command auth_enable = {
	.name = "enable", .brief = "Asks for a user from now on", .args_exact = CLI_ARGS_ANY, .run = run_auth_enable,
};
static const struct cli_command auth_status = {
	.name = "status", .brief = "Tells whether authentication is on", .args_exact = CLI_ARGS_ANY, .run = run_auth_status,
};
static const struct cli_command *const auth_list_of[] = {&auth_disable, &auth_enable, &auth_status};
static const struct cli_command auth_command = {
	.name = "auth", .args = "<subcommand>", .brief = "Turns authentication on and off", .group = AUTH, CHILDREN(auth_list_of),
};

static const struct cli_command role_add = {
	.name = "add", .args = "<role>", .brief = "Adds a role", .args_exact = CLI_ARGS_ANY, .run = run_role_add,
};
static const struct cli_command role_delete = {
	.name = "delete", .args = "<role>", .brief = "Deletes a role", .args_exact = CLI_ARGS_ANY, .run = run_role_delete,
};
static const struct cli_command role_get = {
	.name = "get", .args = "<role>", .brief = "Prints what a role may do", .args_exact = CLI_ARGS_ANY, .run = run_role_get,
};
static const struct cli_flag permission_flags[] = {
	BOOL("from-key", from_key, "all keys from this one on"),
	BOOL("prefix", prefix, "all keys that begin with this one"),
};
static const struct cli_command role_grant_permission = {
	.name = "grant-permission", .args = "[options] <role> <read|write|readwrite> <key> [endkey]",
	.brief = "Lets a role read or write keys", FLAGS(permission_flags), .args_exact = CLI_ARGS_ANY,
	.run = run_role_grant_permission,
};
static const struct cli_command role_list = {
	.name = "list", .brief = "Lists the roles", .args_exact = CLI_ARGS_ANY, .run = run_role_list,
};
static const struct cli_command role_revoke_permission = {
	.name = "revoke-permission", .args = "<role> <key> [endkey]", .brief = "Takes a permission from a role",
	FLAGS(permission_flags), .args_exact = CLI_ARGS_ANY, .run = run_role_revoke_permission,
};
static const struct cli_command *const role_list_of[] = {
	&role_add, &role_delete, &role_get, &role_grant_permission, &role_list, &role_revoke_permission,
};
static const struct cli_command role_command = {
	.name = "role", .args = "<subcommand>", .brief = "Manages roles and what they may do", .group = AUTH,
	CHILDREN(role_list_of),
};

static const struct cli_flag user_add_flags[] = {
	{"interactive", 0, CLI_BOOL, FIELD(interactive), "true", "ask for the password twice; false: read a line of stdin"},
	TEXT("new-user-password", new_user_password, "", "the password of the new user"),
	BOOL("no-password", no_password, "a user who logs in with a certificate only"),
};
static const struct cli_command user_add = {
	.name = "add", .args = "<user> or <user:password> [options]", .brief = "Adds a user", FLAGS(user_add_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_user_add,
};
static const struct cli_command user_delete = {
	.name = "delete", .args = "<user>", .brief = "Deletes a user", .args_exact = CLI_ARGS_ANY, .run = run_user_delete,
};
static const struct cli_flag user_get_flags[] = {BOOL("detail", detail, "print what each role may do as well")};
static const struct cli_command user_get = {
	.name = "get", .args = "<user> [options]", .brief = "Prints the roles of a user", FLAGS(user_get_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_user_get,
};
static const struct cli_command user_grant_role = {
	.name = "grant-role", .args = "<user> <role>", .brief = "Gives a role to a user", .args_exact = CLI_ARGS_ANY,
	.run = run_user_grant_role,
};
static const struct cli_command user_list = {
	.name = "list", .brief = "Lists the users", .args_exact = CLI_ARGS_ANY, .run = run_user_list,
};
static const struct cli_flag user_passwd_flags[] = {
	{"interactive", 0, CLI_BOOL, FIELD(interactive), "true", "ask for the password twice; false: read a line of stdin"},
};
static const struct cli_command user_passwd = {
	.name = "passwd", .args = "<user> [options]", .brief = "Changes the password of a user", FLAGS(user_passwd_flags),
	.args_exact = CLI_ARGS_ANY, .run = run_user_passwd,
};
static const struct cli_command user_revoke_role = {
	.name = "revoke-role", .args = "<user> <role>", .brief = "Takes a role from a user", .args_exact = CLI_ARGS_ANY,
	.run = run_user_revoke_role,
};
static const struct cli_command *const user_list_of[] = {
	&user_add, &user_delete, &user_get, &user_grant_role, &user_list, &user_passwd, &user_revoke_role,
};
static const struct cli_command user_command = {
	.name = "user", .args = "<subcommand>", .brief = "Manages users", .group = AUTH, CHILDREN(user_list_of),
};

/* --- utility --- */

static const struct cli_flag datascale_flags[] = {
	BOOL("auto-compact", auto_compact, "compact when it is done"),
	BOOL("auto-defrag", auto_defrag, "defragment when it is done"),
	{"load", 0, CLI_TEXT, FIELD(load), "s", "how much is put: s, m, l or xl", .values = loads},
	TEXT("prefix", prefix_text, "/etcdctl-check-datascale/", "what the keys begin with"),
};
static const struct cli_command check_datascale = {
	.name = "datascale", .args = "[options]", .brief = "Measures the memory that a server takes for many keys",
	FLAGS(datascale_flags), .args_exact = CLI_ARGS_ANY, .run = run_check_datascale,
};
static const struct cli_flag perf_flags[] = {
	BOOL("auto-compact", auto_compact, "compact when it is done"),
	BOOL("auto-defrag", auto_defrag, "defragment when it is done"),
	{"load", 0, CLI_TEXT, FIELD(load), "s", "how many clients and writes: s, m, l or xl", .values = loads},
	TEXT("prefix", prefix_text, "/etcdctl-check-perf/", "what the keys begin with"),
};
static const struct cli_command check_perf = {
	.name = "perf", .args = "[options]", .brief = "Tells whether the cluster keeps up with a load for a minute",
	FLAGS(perf_flags), .args_exact = CLI_ARGS_ANY, .run = run_check_perf,
};
static const struct cli_command *const check_list_of[] = {&check_datascale, &check_perf};
static const struct cli_command check_command = {
	.name = "check", .args = "<subcommand>", .brief = "Measures a cluster", .group = UTILITY, CHILDREN(check_list_of),
};

static const struct cli_command completion_command = {
	.name = "completion", .args = "<bash|zsh|fish|powershell>", .brief = "Prints a script that completes command lines",
	.about = "Prints a script that makes a shell complete the command lines of etcdctl:\n\n"
		 "  bash        source <(etcdctl completion bash)\n"
		 "  zsh         etcdctl completion zsh > \"${fpath[1]}/_etcdctl\"\n"
		 "  fish        etcdctl completion fish | source\n"
		 "  powershell  etcdctl completion powershell | Out-String | Invoke-Expression",
	.group = UTILITY, .args_exact = 1, .arg_values = shells, .run = run_completion,
};

static const struct cli_flag mirror_flags[] = {
	{"dest-cacert", 0, CLI_TEXT, FIELD(dest_cacert), "", "--cacert for the destination", .takes_file = true},
	{"dest-cert", 0, CLI_TEXT, FIELD(dest_cert), "", "--cert for the destination", .takes_file = true},
	{"dest-insecure-transport", 0, CLI_BOOL, FIELD(dest_insecure_transport), "true", "--insecure-transport for the destination"},
	{"dest-key", 0, CLI_TEXT, FIELD(dest_key), "", "--key for the destination", .takes_file = true},
	TEXT("dest-password", dest_password, "", "--password for the destination"),
	TEXT("dest-prefix", dest_prefix, "", "put in place of --prefix in the destination"),
	TEXT("dest-user", dest_user, "", "--user for the destination"),
	{"max-txn-ops", 0, CLI_UINT, FIELD(max_txn_ops), "128", "operations in one transaction at the destination"},
	BOOL("no-dest-prefix", no_dest_prefix, "cut --prefix off in the destination"),
	TEXT("prefix", prefix_text, "", "mirror the keys that begin with this"),
	INT("rev", rev, "do not copy, but follow from this revision on"),
};
static const struct cli_command make_mirror_command = {
	.name = "make-mirror", .args = "[options] <destination>", .brief = "Copies keys to another cluster and keeps following",
	.group = UTILITY, FLAGS(mirror_flags), .args_exact = CLI_ARGS_ANY, .run = run_make_mirror,
};

static const struct cli_flag du_flags[] = {
	{"consistency", 0, CLI_TEXT, FIELD(consistency), "l", "l: linearizable, s: serializable", .values = consistencies},
	TEXT("delimiter", delimiter, "/", "what ends a level of a path"),
	{"depth", 0, CLI_INT, FIELD(depth), "1", "levels below the prefix to print (0: the sum alone)"},
	BOOL("human", human, "sizes as 1.2 MB"),
	INT("rev", rev, "as of this revision"),
};
static const struct cli_command du_command = {
	.name = "du", .args = "[options] [prefix]", .brief = "Adds up keys and bytes by levels of path",
	.about = "Adds up the keys that begin with prefix (all of them without one), level by level, as du does with files: bytes of\n"
		 "keys and values, number of keys, path, each level behind what is in it. What old revisions take is not in it.\n"
		 "All values are read, at one revision, and none is kept: memory does not grow with the number of keys.\n\n"
		 "  etcdctl du /registry/ --human\n"
		 "  etcdctl du --depth 3 | sort -n | tail",
	.group = UTILITY, FLAGS(du_flags), .args_exact = CLI_ARGS_ANY, .whole = true, .run = run_du,
};

static const struct cli_command options_command = {
	.name = "options", .brief = "Lists the options that every command takes", .group = UTILITY, .args_exact = CLI_ARGS_ANY,
	.run = run_options,
};
static const struct cli_flag top_flags[] = {
	{"cluster", 0, CLI_BOOL, FIELD(cluster), "true", "show all members of the cluster; false: those of --endpoints"},
	TEXT("delimiter", delimiter, "/", "what ends a level of a path"),
	{"depth", 0, CLI_INT, FIELD(depth), "2", "levels of path that a prefix has (0: no prefixes, keys are not watched)"},
	{"interval", 0, CLI_DURATION, FIELD(interval), "2s", "time between two readings"},
	BOOL("once", once, "print one interval and end"),
};
static const struct cli_command top_command = {
	.name = "top", .args = "[options]", .brief = "Shows what a cluster is doing, again and again",
	.about = "Shows members, leader, how far each is behind in the log (lag: entries not yet applied of the highest index\n"
		 "known), size of the database, rates and the slowest of 100 requests, syncs and commits of the interval, from\n"
		 "/metrics, and the prefixes of keys that are written most, from a watch of all keys. q or ^C ends it. Where stdout\n"
		 "is no terminal, with --once and with -w json or table one interval is printed; the exit code is 1 if a member did\n"
		 "not answer.\n\n"
		 "  etcdctl top\n"
		 "  etcdctl top --interval 10s -w json",
	.group = UTILITY, FLAGS(top_flags), .args_exact = CLI_ARGS_ANY, .whole = true, .run = run_top,
};
static const struct cli_command version_command = {
	.name = "version", .brief = "Prints the version of etcdctl", .group = UTILITY, .args_exact = CLI_ARGS_ANY,
	.run = run_version,
};

/* --- roots --- */

static const char exit_status[] =
	"0: done. 1: the server refused, or the command failed. 2: no connection, or the login was refused. 3: lines of input that\n"
	"are not understood. 4: a value that is none of the choices, or a form of output that the command does not have. 5:\n"
	"interrupted. 128: an argument is missing or makes no sense. lock with a command: that of the command.";

static const struct cli_section sections[] = {
	{"ENDPOINTS",
	 "host:port, http://host:port, https://host:port, unix:///path or unixs:///path, several in commas. With https and unixs\n"
	 "TLS is used, and where nothing is said if --cacert, --cert or --insecure-transport=false is given. All are dialled, and\n"
	 "calls go round those that answer; commands of maintenance ask each by itself."},
	{"ENVIRONMENT",
	 "Options of all commands can be given as variables: ETCDCTL_ and the name in capitals with _ for - (ETCDCTL_ENDPOINTS).\n"
	 "A flag and its variable together are refused.\n\n"
	 "ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END are what watch looks at when no key is given."},
	{"EXAMPLES",
	 "  etcdctl put greeting hello\n"
	 "  etcdctl get greeting --print-value-only\n"
	 "  etcdctl get /registry/pods/ --prefix --keys-only\n"
	 "  etcdctl watch /config --prefix -- sh -c 'echo $ETCD_WATCH_KEY'\n"
	 "  etcdctl --endpoints=a:2379,b:2379,c:2379 endpoint status -w table\n"
	 "  etcdctl lock deploy -- ./deploy.sh\n"
	 "  etcdctl --endpoints=a:2379 snapshot save backup.db\n"},
	{"SEE ALSO", "etcd(1), etcdutl(1)"},
	{NULL, NULL},
};

/* In upstream's order, which "did you mean" keeps; help shows them by group and name. */
static const struct cli_command *const all[] = {
	&get_command, &put_command, &del_command, &txn_command, &compaction_command, &alarm_command, &defrag_command,
	&endpoint_command, &move_leader_command, &watch_command, &lease_command, &member_command, &snapshot_command,
	&downgrade_command, &lock_command, &elect_command, &auth_command, &user_command, &role_command, &make_mirror_command,
	&check_command, &completion_command, &du_command, &options_command, &top_command, &version_command,
};
static const struct cli_command root = {
	.name = "etcdctl", .brief = "Command line client of etcd, API version 3", FLAGS(ctl_global_flags), CHILDREN(all),
};
const struct cli_program ctl_program = {
	&root, false, "Use \"etcdctl options\" for a list of global command-line options (applies to all commands).",
	.exit_status = exit_status, .sections = sections,
};

static const struct cli_command *const txn_commands[] = {&del_command, &get_command, &put_command};
static const struct cli_command txn_root = {.name = "txn", CHILDREN(txn_commands)};
const struct cli_program ctl_txn_program = {&txn_root, false, NULL};

static const struct cli_command *const watch_commands[] = {&watch_command};
static const struct cli_command watch_root = {.name = "watch", CHILDREN(watch_commands)};
const struct cli_program ctl_watch_program = {&watch_root, false, NULL};
