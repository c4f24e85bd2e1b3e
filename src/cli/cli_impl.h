/* Private to cli. */
#ifndef CLI_CLI_IMPL_H
#define CLI_CLI_IMPL_H

#include "cli/cli.h"

extern const struct cli_flag cli_flag_help;       /* -h, known everywhere; its offset has no meaning */
extern const struct cli_command cli_command_help; /* a child of every root */

/* The flags that path[depth - 1] knows: its own, then inherited ones from below the root upwards, then help. */
struct cli_flags {
	const struct cli_flag *at[CLI_FLAGS_MAX];
	size_t count;
	size_t own_count;
};

void cli_flags_of(const struct cli_command *const *path, size_t depth, struct cli_flags *out);
const struct cli_flag *cli_flags_named(const struct cli_flags *f, struct slice name);
const struct cli_flag *cli_flags_lettered(const struct cli_flags *f, char letter);

/* The child of this name, or the only one that it is a prefix of; NULL. root: help is one. */
const struct cli_command *cli_child(const struct cli_command *c, bool root, const char *word);
/* Every child, help of a root included, by name. i-th of them; NULL: no more. */
const struct cli_command *cli_child_at(const struct cli_command *c, bool root, size_t i);

/* Follows words to a command and takes its name out of them. The first word that is neither a flag, nor a flag's value,
 * nor a command: *rest (NULL: none). *count is what is left. */
void cli_follow(const struct cli_program *p, const char **words, size_t *count, const struct cli_command **path,
		size_t *depth, const char **rest);

const char *cli_kind_name(enum cli_kind k);
void cli_path_text(const struct cli_command *const *path, size_t depth, struct buf *out);
/* What --help shows: what the command is for, then its usage. */
void cli_help(const struct cli_program *p, const struct cli_command *const *path, size_t depth, struct buf *out);

#endif
