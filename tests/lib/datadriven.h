/* Transcripts: files of commands, each followed by the full text that it must print, compared byte for byte.
 *
 *	# why this scene matters
 *	name arg key=value key=(v1, v2)
 *	optional input
 *	----
 *	expected output, up to a blank line
 *
 * Output that contains blank lines stands between two "----" lines and two more. */
#ifndef TESTS_LIB_DATADRIVEN_H
#define TESTS_LIB_DATADRIVEN_H

#include "base/buf.h"

struct dd_arg {
	const char *key;
	const char **values;    /* none for a bare word */
	size_t value_count;
};

struct dd_command {
	const char *path;
	int line;
	const char *name;
	struct dd_arg *args;
	size_t arg_count;
	const char *input;      /* trimmed, "" if none */
};

/* Appends to out what the command prints. */
typedef void dd_handler(void *ctx, const struct dd_command *cmd, struct buf *out);

/* How to run the files of one kind: a fresh context for each. */
struct dd_runner {
	void *(*open)(void);            /* NULL: no context */
	void (*close)(void *ctx);
	dd_handler *handle;
};

/* The main() of a runner: arguments are directories or files, and --rewrite to replace what is expected by what is
 * printed. Each file with a difference is named, with a diff. Returns the exit code. */
int dd_main(int argc, char **argv, const struct dd_runner *runner);

/* Ends the run: the command itself is wrong. */
void dd_bad_command(const struct dd_command *cmd, const char *fmt, ...) PRINTF(2, 3) __attribute__((noreturn));
const struct dd_arg *dd_find_arg(const struct dd_command *cmd, const char *key);        /* NULL: absent */
uint64_t dd_uint(const struct dd_command *cmd, const char *text);
bool dd_bool(const struct dd_command *cmd, const char *text);

#endif
