/* The command line of etcdutl, as data. */
#include "utl/commands.h"

#define OPT(f) .offset = offsetof(struct utl_options, f)

static const char *const formats[] = {"fields", "json", "protobuf", "simple", "table", NULL};
static const char *const shells[] = {"bash", "zsh", "fish", "powershell", NULL};

static const struct cli_flag root_flags[] = {
    {.name = "timeout",
     .kind = CLI_DURATION,
     OPT(timeout_ns),
     .preset = "10s",
     .inherited = true,
     .help = "how long to wait for the lock of a database that is in use; 0: for ever"},
    {.name = "write-out",
     .letter = 'w',
     OPT(format),
     .preset = "simple",
     .inherited = true,
     .values = formats,
     .help = "format of the result: fields, json, protobuf, simple or table"},
};

static const struct cli_flag restore_flags[] = {
    {.name = "data-dir", OPT(data_dir), .takes_dir = true, .help = "directory to make; NAME.etcd if not given"},
    {.name = "wal-dir",
     OPT(wal_dir),
     .takes_dir = true,
     .help = "directory to make for the write-ahead log; inside the data directory if not given"},
    {.name = "name", OPT(name), .preset = "default", .help = "name of this member"},
    {.name = "initial-cluster",
     OPT(initial_cluster),
     .preset = "default=http://localhost:2380",
     .help = "all members of the new cluster: NAME=PEER_URL,..."},
    {.name = "initial-cluster-token",
     OPT(token),
     .preset = "etcd-cluster",
     .help = "what tells this cluster from others with the same members"},
    {.name = "initial-advertise-peer-urls",
     OPT(peer_urls),
     .preset = "http://localhost:2380",
     .help = "peer URLs of this member"},
    {.name = "skip-hash-check",
     .kind = CLI_BOOL,
     OPT(skip_hash_check),
     .help = "take a file without a digest behind it, as a copy of member/snap/db is"},
    {.name = "initial-memory-map-size",
     .kind = CLI_UINT,
     OPT(map_bytes),
     .preset = "10737418240",
     .help = "accepted for compatibility: a map here is as large as the file needs"},
    {.name = "bump-revision",
     .kind = CLI_UINT,
     OPT(bump_revision),
     .help = "add this to the revision, so that it never goes back for clients"},
    {.name = "mark-compacted",
     .kind = CLI_BOOL,
     OPT(mark_compacted),
     .help = "call everything below the new revision compacted; goes together with --bump-revision"},
};

static const struct cli_flag hashkv_flags[] = {
    {.name = "rev", .kind = CLI_INT, OPT(rev), .help = "highest revision to hash; 0: the current one"},
};

static const struct cli_flag defrag_flags[] = {
    {.name = "data-dir",
     OPT(data_dir),
     .required = true,
     .takes_dir = true,
     .help = "data directory of a member that is not running (required)"},
};

static const struct cli_flag migrate_flags[] = {
    {.name = "data-dir",
     OPT(data_dir),
     .required = true,
     .takes_dir = true,
     .help = "data directory of a member that is not running (required)"},
    {.name = "target-version",
     OPT(target_version),
     .required = true,
     .help = "version that is to read it, X.Y, 3.5 or above (required)"},
    {.name = "force",
     .kind = CLI_BOOL,
     OPT(force),
     .help = "write the version even if the way to it is not known or the log forbids it"},
};

static const struct cli_command status = {
    .name = "status",
    .args = "<filename>",
    .brief = "Shows what is in a snapshot file",
    .args_exact = CLI_ARGS_ANY,
    .takes_file = true,
    .about = "Checks the structure of a snapshot file and shows its hash, revision, number of keys, size and storage "
	     "version.\n"
	     "The digest behind the image is not looked at: restore does that.",
    .run = utl_status_run,
};

static const struct cli_command restore = {
    .name = "restore",
    .args = "<filename> --data-dir DIR",
    .brief = "Makes a data directory from a snapshot file",
    .about = "Makes the data directory of a member of a new cluster from a snapshot file. Run it for every member of "
	     "the new\n"
	     "cluster, from the same file and with the same --initial-cluster, then start the servers. Nothing is left "
	     "behind\n"
	     "if it fails.",
    .flags = restore_flags,
    .flag_count = ARRAY_COUNT(restore_flags),
    .args_exact = CLI_ARGS_ANY,
    .takes_file = true,
    .run = utl_restore_run,
};

static const struct cli_command *const snapshot_children[] = {&restore, &status};

static const struct cli_command snapshot = {
    .name = "snapshot",
    .brief = "Looks at snapshot files and restores them",
    .children = snapshot_children,
    .child_count = ARRAY_COUNT(snapshot_children),
    .args_exact = CLI_ARGS_ANY,
};

static const struct cli_command hashkv = {
    .name = "hashkv",
    .args = "<filename>",
    .brief = "Hashes the history of the keys in a database file",
    .about =
	"Shows the hash of all revisions up to one, as the server's HashKV has it: members that agree have the same.\n"
	"The file is not changed.",
    .flags = hashkv_flags,
    .flag_count = ARRAY_COUNT(hashkv_flags),
    .args_exact = 1,
    .takes_file = true,
    .run = utl_hashkv_run,
};

static const struct cli_command defrag = {
    .name = "defrag",
    .brief = "Makes the database of a stopped member as small as its content",
    .about = "Writes the rows of the database to a new file, packed, and puts it in the old one's place. Where there is no\n"
	     "room for a second file, pages are moved to the front of the old one instead. It may be interrupted at any time.",
    .flags = defrag_flags,
    .flag_count = ARRAY_COUNT(defrag_flags),
    .args_exact = CLI_ARGS_ANY,
    .run = utl_defrag_run,
};

static const struct cli_command migrate = {
    .name = "migrate",
    .brief = "Changes the storage version of a stopped member's data, so that another version can read it",
    .flags = migrate_flags,
    .flag_count = ARRAY_COUNT(migrate_flags),
    .args_exact = CLI_ARGS_ANY,
    .run = utl_migrate_run,
};

static const struct cli_flag check_flags[] = {
    {.name = "wal-dir",
     OPT(wal_dir),
     .takes_dir = true,
     .help = "directory of the write-ahead log, if it is not inside the data directory"},
};

static const struct cli_command check = {
    .name = "check",
    .args = "<data-dir>",
    .brief = "Checks all files of a stopped member, and says what a repair would lose",
    .about = "Reads every record of the log, every page and row of the database and every snapshot file of a member "
	     "that is\n"
	     "not running, and whether they belong together. Nothing is changed. What a server puts right by itself is "
	     "told\n"
	     "as \"repair\"; for damage the report says what would be lost. The exit code is 1 if there is damage.",
    .flags = check_flags,
    .flag_count = ARRAY_COUNT(check_flags),
    .args_exact = 1,
    .takes_dir = true,
    .whole = true, /* upstream has no such command: "etcdutl c" is completion */
    .run = utl_check_run,
};

static const struct cli_command version = {
    .name = "version",
    .brief = "Shows the version of etcdutl",
    .args_exact = CLI_ARGS_ANY,
    .run = utl_version_run,
};

static const struct cli_command completion = {
    .name = "completion",
    .args = "[bash|zsh|fish|powershell]",
    .brief = "Writes a completion script for a shell",
    .about = "Writes a script that teaches a shell to complete commands, flags and file names of etcdutl:\n\n"
	     "  bash        source <(etcdutl completion bash)\n"
	     "  zsh         etcdutl completion zsh > \"${fpath[1]}/_etcdutl\"\n"
	     "  fish        etcdutl completion fish > ~/.config/fish/completions/etcdutl.fish\n"
	     "  PowerShell  etcdutl completion powershell | Out-String | Invoke-Expression",
    .args_exact = 1,
    .arg_values = shells,
    .run = utl_completion_run,
};

static const struct cli_command *const root_children[] = {
    &check, &completion, &defrag, &hashkv, &migrate, &snapshot, &version,
};

static const struct cli_command root = {
    .name = "etcdutl",
    .brief = "works on the files of etcd members that are not running",
    .about = "Works on the files of etcd members that are not running.",
    .flags = root_flags,
    .flag_count = ARRAY_COUNT(root_flags),
    .children = root_children,
    .child_count = ARRAY_COUNT(root_children),
    .args_exact = CLI_ARGS_ANY,
};

static const char exit_status[] =
    "0: done. 1: it failed, the files are damaged, or the command line is wrong. 2: the database cannot be opened, or "
    "a\n"
    "server has it. 4: no such output format, or not for this command. 128: an argument is missing or makes no sense.\n"
    "More than 128: ended by a signal.";

static const struct cli_section sections[] = {
	{"EXAMPLES",
	 "  etcdutl snapshot status backup.db -w table\n"
	 "  etcdutl snapshot restore backup.db --data-dir new.etcd\n"
	 "  etcdutl check default.etcd\n"},
	{"SEE ALSO", "etcd(1), etcdctl(1)"},
	{NULL, NULL},
};

const struct cli_program utl_program = {
	.root = &root, .error_twice = true, .exit_status = exit_status, .sections = sections,
};
