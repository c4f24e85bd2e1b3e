/* Command lines of tools: a tree of commands and their flags as tables, read as etcdctl and etcdutl v3.7.1 read theirs,
 * with the same error lines and exit codes; usage, "did you mean" and shell completion come from the same tables.
 * Pure: texts go to bufs. One thread at a time.
 *
 *	static const struct cli_flag rows[] = {{"rev", 0, CLI_INT, offsetof(struct options, rev), "0", "what it does"}};
 *	static const struct cli_command hashkv = {.name = "hashkv", .args = "<filename>", .brief = "…",
 *		.flags = rows, .flag_count = 1, .args_exact = 1, .run = hashkv_run};
 *	…
 *	if (!cli_parse(&program, argc, argv, &options, &cli, out, err))
 *		return cli.exit_code;                           help was printed, or an error
 *	return cli.command->run(&cli);
 *
 * Rules: flags may stand anywhere, before or behind the command; "--" ends them; -wjson, -w json, -w=json and
 * --write-out json are the same; a command may be cut to a prefix that only it has. A flag given twice: the last one
 * counts, but for lists. Every command knows -h and --help, and "help COMMAND" is built in. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/buf.h"

enum cli_kind {
	CLI_TEXT,     /* const char *, borrowed from argv or the row */
	CLI_LIST,     /* the same, "a,b"; given twice the lists are joined; what is joined lives till cli_fini */
	CLI_BOOL,     /* bool; --flag or --flag=false */
	CLI_INT,      /* int64_t */
	CLI_UINT,     /* uint64_t */
	CLI_DURATION, /* int64_t, nanoseconds; "1m30s" */
};

struct cli_flag {
	const char *name;
	char letter; /* 0: none */
	enum cli_kind kind;
	size_t offset;      /* of the field in the options */
	const char *preset; /* as it would be typed; NULL: "", false, 0 */
	const char *help;
	bool required;
	bool inherited;  /* known to the commands below as well */
	bool hidden;     /* works, and is not listed */
	bool takes_file; /* completion offers file names */
	bool takes_dir;
	const char *const *values; /* NULL-ended list that completion offers; NULL: none */
};

enum { CLI_ARGS_ANY = -1, CLI_FLAGS_MAX = 64, CLI_DEPTH_MAX = 4 };

struct cli;

struct cli_command {
	const char *name;
	const char *args;  /* what follows the name in the usage line: "<filename>"; NULL: nothing */
	const char *brief; /* one line */
	const char *about; /* paragraphs for --help, without a newline at the end; NULL: none */
	const char *group; /* title under which the parent lists it; NULL: "Available Commands" */
	const struct cli_flag *flags;
	size_t flag_count;
	const struct cli_command *const *children;
	size_t child_count;
	int args_exact;                /* CLI_ARGS_ANY, or how many */
	const char *const *arg_values; /* NULL-ended list, the only words allowed; NULL: any */
	bool takes_file;               /* completion of arguments */
	bool takes_dir;
	bool hidden;
	bool whole;                /* its name must be typed whole, so that it takes no abbreviation from another; nor is it offered
				    * for a word that is wrong */
	int (*run)(struct cli *c); /* NULL: a group; prints its help */
};

struct cli_section {
	const char *title; /* in capitals */
	const char *text;  /* paragraphs; lines that begin with a blank are shown as they are */
};

struct cli_program {
	const struct cli_command *root;
	bool error_twice;         /* etcdutl prints an error line before and after the usage */
	const char *globals_hint; /* a line in place of the list of the root's flags; NULL: list them */
	const char *exit_status;  /* paragraphs for the manual page; NULL: none */
	const struct cli_section *sections; /* more for the manual page, behind the commands; ended by a title of NULL; or NULL */
};

struct cli {
	const struct cli_program *program;
	const struct cli_command *path[CLI_DEPTH_MAX]; /* from the root to command */
	size_t depth;
	const struct cli_command *command;
	const char **args; /* owned array of borrowed words */
	size_t arg_count;
	void *options;
	void *user; /* the caller's */
	VEC(char *) joined;
	uint64_t set;  /* which flags of cli_flags() were given: bit i */
	int exit_code; /* when cli_parse returned false */
	struct buf *out;
	struct buf *err;
};

/* Fills options with the presets, then with what was given. True: run command. False: texts are in out and err, and
 * exit_code is 0 (help) or 1. cli_fini in both cases. argv[0] is passed over. */
bool cli_parse(const struct cli_program *p, int argc, const char *const *argv, void *options, struct cli *c,
	       struct buf *out, struct buf *err);
void cli_fini(struct cli *c);

/* A flag known to the command by this name; NULL: none. */
const struct cli_flag *cli_flag_find(const struct cli *c, const char *name);
bool cli_is_set(const struct cli *c, const char *name);
/* Sets a field as if the flag were given, without marking it so (environment variables). ERR_INVALID with the text of
 * Go's flag package: strconv.ParseBool: parsing "x": invalid syntax. */
NODISCARD err_t cli_set(void *options, const struct cli_flag *f, const char *text, struct why *why);

/* The usage of a command: path[0..depth). */
void cli_usage(const struct cli_program *p, const struct cli_command *const *path, size_t depth, struct buf *out);
/* Flags alone, a line each, by name. */
void cli_list_flags(const struct cli_flag *flags, size_t count, struct buf *out);

/* What could stand in place of the last word (possibly ""), words[0] being the first behind the program's name: one
 * candidate a line, with a tab and what it is; the last line is ":files", ":dirs" or ":nothing", what the shell may
 * offer besides. */
void cli_complete(const struct cli_program *p, const char *const *words, size_t count, struct buf *out);
/* The script that makes a shell ask "PROGRAM __complete WORDS". shell: bash, zsh, fish, powershell; false: none of
 * these. */
NODISCARD bool cli_completion_script(const struct cli_program *p, const char *shell, struct buf *out);

/* The manual page, section 1, of all commands that are not hidden. */
void cli_man(const struct cli_program *p, const char *version, struct buf *out);
/* Text within such a page; and paragraphs, as in struct cli_section. */
/* The part with its commands and their flags. */
void cli_man_commands(const struct cli_program *p, struct buf *out);
void cli_man_text(struct buf *out, const char *s);
void cli_man_paragraphs(struct buf *out, const char *s);

#endif
