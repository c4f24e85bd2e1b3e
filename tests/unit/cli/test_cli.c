/* Expected lines: etcdutl v3.7.1, asked with the same words (usage texts are our own). */
#include "../../lib/test.h"

#include "cli/cli.h"

struct options {
	const char *format;
	int64_t timeout_ns;
	int64_t rev;
	uint64_t bump;
	bool force;
	const char *dir;
};

static int ran(struct cli *c)
{
	return 0;
}

static const struct cli_flag rev_rows[] = {
    {.name = "rev", .kind = CLI_INT, .offset = offsetof(struct options, rev), .help = "revision"}};
static const struct cli_flag migrate_rows[] = {
    {.name = "data-dir", .offset = offsetof(struct options, dir), .required = true, .takes_dir = true, .help = "where"},
    {.name = "bump", .kind = CLI_UINT, .offset = offsetof(struct options, bump), .required = true, .help = "how far"},
    {.name = "force", .kind = CLI_BOOL, .offset = offsetof(struct options, force), .help = "anyhow"},
};
static const char *const format_values[] = {"json", "simple", NULL};
static const struct cli_flag root_rows[] = {
    {.name = "write-out",
     .letter = 'w',
     .offset = offsetof(struct options, format),
     .preset = "simple",
     .inherited = true,
     .values = format_values,
     .help = "format"},
    {.name = "timeout",
     .kind = CLI_DURATION,
     .offset = offsetof(struct options, timeout_ns),
     .preset = "10s",
     .inherited = true,
     .help = "wait"},
};
static const char *const shells[] = {"bash", "zsh", NULL};

static const struct cli_command hashkv = {.name = "hashkv",
					  .args = "<filename>",
					  .brief = "Hashes",
					  .flags = rev_rows,
					  .flag_count = 1,
					  .args_exact = 1,
					  .takes_file = true,
					  .run = ran};
static const struct cli_command migrate = {.name = "migrate",
					   .brief = "Migrates",
					   .flags = migrate_rows,
					   .flag_count = 3,
					   .args_exact = CLI_ARGS_ANY,
					   .run = ran};
static const struct cli_command completion = {
    .name = "completion", .brief = "Script", .args_exact = 1, .arg_values = shells, .run = ran};
static const struct cli_command status = {.name = "status", .brief = "Shows", .args_exact = CLI_ARGS_ANY, .run = ran};
static const struct cli_command restore = {
    .name = "restore", .brief = "Restores", .args_exact = CLI_ARGS_ANY, .run = ran};
static const struct cli_command *const snapshot_children[] = {&restore, &status};
static const struct cli_command snapshot = {.name = "snapshot",
					    .brief = "Snapshots",
					    .children = snapshot_children,
					    .child_count = 2,
					    .args_exact = CLI_ARGS_ANY};
static const struct cli_command *const root_children[] = {&completion, &hashkv, &migrate, &snapshot};
static const struct cli_command root = {.name = "etcdutl",
					.brief = "works",
					.flags = root_rows,
					.flag_count = 2,
					.children = root_children,
					.child_count = 4,
					.args_exact = CLI_ARGS_ANY};
static const struct cli_program program = {.root = &root, .error_twice = true};

struct parsed {
	struct options o;
	struct cli c;
	bool run;
	struct buf out, err;
};

static void parse(struct parsed *p, const char *line)
{
	static char copy[512];
	const char *argv[32] = {"etcdutl"};
	int argc = 1;

	strcpy(copy, line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	*p = (struct parsed){0};
	buf_init(&p->out, 1 << 16);
	buf_init(&p->err, 1 << 16);
	p->run = cli_parse(&program, argc, argv, &p->o, &p->c, &p->out, &p->err);
	buf_put_byte(&p->out, 0);
	buf_put_byte(&p->err, 0);
}

static void done(struct parsed *p)
{
	cli_fini(&p->c);
	buf_fini(&p->out);
	buf_fini(&p->err);
}

static void flags_anywhere(void **state)
{
	static const char *const lines[] = {
	    "hashkv f -w json --rev 7 --timeout=1m",
	    "-w json --timeout 1m hashkv --rev=7 f",
	    "hashkv -wjson --timeout=1m --rev 7 f",
	    "-w=json hash --timeout 60s f --rev 0x7",
	    "hashkv --timeout 1m -w fields -w json --rev 7 -- f",
	};

	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		struct parsed p;

		parse(&p, lines[i]);
		assert_true(p.run);
		assert_ptr_equal(p.c.command, &hashkv);
		assert_int_equal(p.c.arg_count, 1);
		assert_string_equal(p.c.args[0], "f");
		assert_string_equal(p.o.format, "json");
		assert_int_equal(p.o.rev, 7);
		assert_int_equal(p.o.timeout_ns, 60000000000);
		assert_true(cli_is_set(&p.c, "rev") && cli_is_set(&p.c, "write-out"));
		assert_false(cli_is_set(&p.c, "help"));
		done(&p);
	}
}

static void presets(void **state)
{
	struct parsed p;

	parse(&p, "migrate --data-dir= --bump 18446744073709551615 --force=false x y");
	assert_true(p.run);
	assert_string_equal(p.o.format, "simple");
	assert_int_equal(p.o.timeout_ns, 10000000000);
	assert_true(p.o.bump == UINT64_MAX && !p.o.force && p.c.arg_count == 2);
	assert_false(cli_is_set(&p.c, "write-out"));
	done(&p);
}

static void errors(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
	    {"--bad", "unknown flag: --bad"},
	    {"snapshot nosuch --bad", "unknown flag: --bad"},
	    {"snapshot status --bad=1", "unknown flag: --bad"},
	    {"snapshot status -x", "unknown shorthand flag: 'x' in -x"},
	    {"snapshot status -hx", "unknown shorthand flag: 'x' in -x"},
	    {"snapshot status f -w", "flag needs an argument: 'w' in -w"},
	    {"hashkv f --rev", "flag needs an argument: --rev"},
	    {"hashkv f --rev x",
	     "invalid argument \"x\" for \"--rev\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"},
	    {"hashkv f --rev 9223372036854775808",
	     "invalid argument \"9223372036854775808\" for \"--rev\" flag: strconv.ParseInt: parsing "
	     "\"9223372036854775808\": value out of range"},
	    {"migrate --bump -1",
	     "invalid argument \"-1\" for \"--bump\" flag: strconv.ParseUint: parsing \"-1\": invalid syntax"},
	    {"migrate --force=maybe",
	     "invalid argument \"maybe\" for \"--force\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"},
	    {"hashkv --help=maybe f", "invalid argument \"maybe\" for \"-h, --help\" flag: strconv.ParseBool: parsing "
				      "\"maybe\": invalid syntax"},
	    {"snapshot status f --timeout=x",
	     "invalid argument \"x\" for \"--timeout\" flag: time: invalid duration \"x\""},
	    {"snapshot status f ---x", "bad flag syntax: ---x"},
	    {"snapshot status f --=x", "bad flag syntax: --=x"},
	    {"hashkv", "accepts 1 arg(s), received 0"},
	    {"completion bash zsh", "accepts 1 arg(s), received 2"},
	    {"completion zz", "invalid argument \"zz\" for \"etcdutl completion\""},
	    {"migrate", "required flag(s) \"data-dir\", \"bump\" not set"},
	    {"migrate --bump 1", "required flag(s) \"data-dir\" not set"},
	    {"nosuch -w json", "unknown command \"nosuch\" for \"etcdutl\""},
	    {"--timeout 5s statuss", "unknown command \"statuss\" for \"etcdutl\""},
	    {"h", "unknown command \"h\" for \"etcdutl\"\n\nDid you mean this?\n\thashkv\n"},
	    {"snapshto", "unknown command \"snapshto\" for \"etcdutl\"\n\nDid you mean this?\n\tsnapshot\n"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char first[512], last[512];
		struct parsed p;

		parse(&p, cases[i].line);
		if (p.run)
			fail_msg("%s: was to fail", cases[i].line);
		assert_int_equal(p.c.exit_code, 1);
		assert_int_equal(p.out.size, 1);
		snprintf(first, sizeof(first), "Error: %s\n", cases[i].want);
		snprintf(last, sizeof(last), "\nError: %s\n", cases[i].want);
		if (strncmp((char *)p.err.data, first, strlen(first)))
			fail_msg("%s: %s", cases[i].line, (char *)p.err.data);
		assert_string_equal((char *)p.err.data + p.err.size - 1 - strlen(last), last);
		done(&p);
	}
}

static void helps(void **state)
{
	static const char *const lines[] = {
	    "",          "-h",   "snapshot",  "snapshot nosuch", "s", "help snapshot", "hashkv -h",
	    "-- hashkv", "help", "help help", "migrate --help"};

	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		struct parsed p;

		parse(&p, lines[i]);
		if (p.run) {
			p.out.size--;
			p.c.exit_code = p.c.command->run(&p.c);
			buf_put_byte(&p.out, 0);
		}
		assert_int_equal(p.c.exit_code, 0);
		assert_int_equal(p.err.size, 1);
		assert_non_null(strstr((char *)p.out.data, "Usage:\n  etcdutl"));
		done(&p);
	}
}

static void help_of_unknown(void **state)
{
	struct parsed p;

	parse(&p, "help nosuch x");
	assert_true(p.run);
	p.err.size = 0;
	assert_int_equal(p.c.command->run(&p.c), 0);
	assert_memory_equal(p.err.data, "Unknown help topic [`nosuch` `x`]\nUsage:\n", 41);
	assert_int_equal(p.out.size, 1);
	done(&p);
}

static void usage(void **state)
{
	struct parsed p;

	parse(&p, "hashkv -h");
	assert_string_equal((char *)p.out.data, "Hashes\n\nUsage:\n  etcdutl hashkv <filename> [flags]\n\nFlags:\n"
						"  -h, --help      this text\n"
						"      --rev int   revision\n"
						"\nGlobal Flags:\n"
						"      --timeout duration   wait (default 10s)\n"
						"  -w, --write-out string   format (default \"simple\")\n");
	done(&p);
}

static void completes(void **state)
{
	static const struct {
		const char *words[6];
		size_t count;
		const char *want;
	} cases[] = {
	    {{"sn"}, 1, "snapshot\tSnapshots\n:nothing\n"},
	    {{"snapshot", ""}, 2, "restore\tRestores\nstatus\tShows\n:nothing\n"},
	    {{"hashkv", ""}, 2, ":files\n"},
	    {{"hashkv", "--r"}, 2, "--rev\trevision\n:nothing\n"},
	    {{"snapshot", "status", "-w", ""}, 4, "json\nsimple\n:nothing\n"},
	    {{"snapshot", "status", "--write-out=j"}, 3, "--write-out=json\n:nothing\n"},
	    {{"migrate", "--data-dir", ""}, 3, ":dirs\n"},
	    {{"migrate", "--force", ""}, 3, ":nothing\n"},
	    {{"completion", "z"}, 2, "zsh\n:nothing\n"},
	    {{"hashkv", "--", "-"}, 3, ":files\n"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct buf b;

		buf_init(&b, 1 << 16);
		cli_complete(&program, cases[i].words, cases[i].count, &b);
		buf_put_byte(&b, 0);
		assert_string_equal((char *)b.data, cases[i].want);
		buf_fini(&b);
	}
}

/* Requests of man(7) stand alone; hyphens of flags are not broken. */
static void manual(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	cli_man(&program, "1.2", &b);
	buf_put_byte(&b, 0);
	assert_memory_equal(b.data, ".TH etcdutl 1 \"\" \"1.2\" \"etcd\"\n", 30);
	assert_non_null(strstr((char *)b.data, ".SS \"hashkv <filename>\"\nHashes\n.TP\n.B \\-\\-rev int\nrevision\n"));
	assert_non_null(strstr((char *)b.data, ".B \\-w, \\-\\-write\\-out string\nformat (default simple)\n"));
	assert_null(strstr((char *)b.data, ".SS \"snapshot \""));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(flags_anywhere), cmocka_unit_test(presets),         cmocka_unit_test(errors),
	    cmocka_unit_test(helps),          cmocka_unit_test(help_of_unknown), cmocka_unit_test(usage),
	    cmocka_unit_test(completes),      cmocka_unit_test(manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
