/* Words to a command, its flags and its arguments; cobra's rules (v1.10) where they can be seen from outside.
 *
 *	follow      the first word that is no flag names a command, and so on below it
 *	flags       what is left: flags of that command and inherited ones, wherever they stand; the rest are arguments
 *	judge       --help, a group without a command, number of arguments, required flags: in this order */
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/text.h"
#include "cli/cli_impl.h"

enum { DID_YOU_MEAN_EDITS = 2, WORD_SIZE_MAX = 64 };

static int help_run(struct cli *c)
{
	const struct cli_command *path[CLI_DEPTH_MAX];
	const char *rest;
	size_t depth, count = c->arg_count;

	cli_follow(c->program, c->args, &count, path, &depth, &rest);
	if (depth > 1 || !rest) {
		cli_help(c->program, path, depth, c->out);
		return 0;
	}
	buf_printf(c->err, "Unknown help topic [");
	for (size_t i = 0; i < count; i++)
		buf_printf(c->err, "%s`%s`", i ? " " : "", c->args[i]);
	buf_printf(c->err, "]\n");
	cli_usage(c->program, path, 1, c->err);
	return 0;
}

const struct cli_command cli_command_help = {
    .name = "help",
    .args = "[command]",
    .brief = "Shows what a command does and its flags",
    .args_exact = CLI_ARGS_ANY,
    .run = help_run,
};

/* ---- commands ---- */

const struct cli_command *cli_child_at(const struct cli_command *c, bool root, size_t i)
{
	if (i < c->child_count)
		return c->children[i];
	return root && i == c->child_count ? &cli_command_help : NULL;
}

const struct cli_command *cli_child(const struct cli_command *c, bool root, const char *word)
{
	const struct cli_command *child, *found = NULL;
	size_t matches = 0, size = strlen(word);

	for (size_t i = 0; (child = cli_child_at(c, root, i)); i++) {
		if (!strcmp(child->name, word))
			return child;
		if (size && !child->whole && !strncmp(child->name, word, size)) {
			found = child;
			matches++;
		}
	}
	return matches == 1 ? found : NULL;
}

/* ---- flags ---- */

void cli_flags_of(const struct cli_command *const *path, size_t depth, struct cli_flags *out)
{
	out->count = 0;
	for (size_t d = depth; d-- > 0;) {
		for (size_t i = 0; i < path[d]->flag_count; i++) {
			if (d + 1 < depth && !path[d]->flags[i].inherited)
				continue;
			ASSERT(out->count + 1 < CLI_FLAGS_MAX);
			out->at[out->count++] = &path[d]->flags[i];
		}
		if (d + 1 == depth)
			out->own_count = out->count;
	}
	out->at[out->count++] = &cli_flag_help;
}

const struct cli_flag *cli_flags_named(const struct cli_flags *f, struct slice name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (slice_eq(slice_str(f->at[i]->name), name))
			return f->at[i];
	}
	return NULL;
}

const struct cli_flag *cli_flags_lettered(const struct cli_flags *f, char letter)
{
	for (size_t i = 0; i < f->count; i++) {
		if (f->at[i]->letter == letter)
			return f->at[i];
	}
	return NULL;
}

/* True if the word after this flag is its value, as far as the command knows; one it does not know takes one. */
static bool takes_next(const struct cli_flags *flags, const char *word)
{
	const struct cli_flag *f;

	if (strchr(word, '='))
		return false;
	if (word[1] == '-')
		f = cli_flags_named(flags, slice_str(word + 2));
	else if (!word[2])
		f = cli_flags_lettered(flags, word[1]);
	else
		return false;
	return !f || f->kind != CLI_BOOL;
}

static bool is_flag(const char *word)
{
	return word[0] == '-' && word[1];
}

void cli_follow(const struct cli_program *p, const char **words, size_t *count, const struct cli_command **path,
		size_t *depth, const char **rest)
{
	struct cli_flags flags;
	size_t i = 0;

	path[0] = p->root;
	*depth = 1;
	*rest = NULL;
	cli_flags_of(path, 1, &flags);
	while (i < *count && strcmp(words[i], "--")) {
		const struct cli_command *child;

		if (is_flag(words[i])) {
			i += takes_next(&flags, words[i]) ? 2 : 1;
			continue;
		}
		if (!words[i][0] || words[i][0] == '-') { /* "" and "-" name nothing */
			i++;
			continue;
		}
		child = *depth < CLI_DEPTH_MAX ? cli_child(path[*depth - 1], *depth == 1, words[i]) : NULL;
		if (!child) {
			*rest = words[i];
			return;
		}
		path[(*depth)++] = child;
		--*count;
		memmove(words + i, words + i + 1, (*count - i) * sizeof(*words));
		cli_flags_of(path, *depth, &flags);
		i = 0;
	}
}

/* ---- errors ---- */

static bool fail(struct cli *c, const struct buf *text, bool usage)
{
	buf_printf(c->err, "Error: %.*s\n", (int)text->size, (const char *)text->data);
	if (usage) {
		cli_usage(c->program, c->path, c->depth, c->err);
		buf_put_byte(c->err, '\n');
	} else {
		buf_printf(c->err, "Run '%s --help' for usage.\n", c->program->root->name);
	}
	if (c->program->error_twice)
		buf_printf(c->err, "Error: %.*s\n", (int)text->size, (const char *)text->data);
	c->exit_code = 1;
	return false;
}

static bool failf(struct cli *c, const char *fmt, ...) PRINTF(2, 3);
static bool failf(struct cli *c, const char *fmt, ...)
{
	char line[1024];
	struct buf text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	buf_init(&text, sizeof(line));
	buf_put(&text, line, strlen(line));
	fail(c, &text, true);
	buf_fini(&text);
	return false;
}

static void quote(struct buf *out, const char *s)
{
	text_quote(out, slice_str(s));
}

static char fold(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Levenshtein's distance; words longer than WORD_SIZE_MAX are far from everything. */
static size_t edits(const char *a, const char *b)
{
	size_t row[WORD_SIZE_MAX + 1], an = strlen(a), bn = strlen(b);

	if (an > WORD_SIZE_MAX || bn > WORD_SIZE_MAX)
		return WORD_SIZE_MAX;
	for (size_t j = 0; j <= bn; j++)
		row[j] = j;
	for (size_t i = 1; i <= an; i++) {
		size_t before = row[0];

		row[0] = i;
		for (size_t j = 1; j <= bn; j++) {
			size_t swap = before + (fold(a[i - 1]) != fold(b[j - 1]));

			before = row[j];
			row[j] = MIN(swap, MIN(row[j] + 1, row[j - 1] + 1));
		}
	}
	return row[bn];
}

static void did_you_mean(struct buf *out, const struct cli_command *c, const char *word)
{
	bool any = false;

	for (size_t i = 0; i < c->child_count; i++) {
		const struct cli_command *child = c->children[i];

		if (child->hidden || child->whole ||
		    (edits(word, child->name) > DID_YOU_MEAN_EDITS && strncasecmp(child->name, word, strlen(word))))
			continue;
		buf_printf(out, "%s\t%s\n", any ? "" : "\n\nDid you mean this?\n", child->name);
		any = true;
	}
}

static bool fail_unknown_command(struct cli *c, const char *word)
{
	struct buf text;

	buf_init(&text, 1 << 16);
	buf_printf(&text, "unknown command ");
	quote(&text, word);
	buf_printf(&text, " for \"%s\"", c->program->root->name);
	did_you_mean(&text, c->program->root, word);
	fail(c, &text, false);
	buf_fini(&text);
	return false;
}

static bool fail_value(struct cli *c, const struct cli_flag *f, const char *value, const struct why *why)
{
	struct buf text;

	buf_init(&text, 1 << 16);
	buf_printf(&text, "invalid argument ");
	quote(&text, value);
	buf_printf(&text, " for \"");
	if (f->letter)
		buf_printf(&text, "-%c, ", f->letter);
	buf_printf(&text, "--%s\" flag: %s", f->name, why->text);
	fail(c, &text, true);
	buf_fini(&text);
	return false;
}

/* ---- reading flags ---- */

struct reader {
	struct cli *c;
	struct cli_flags flags;
	const char **words;
	size_t count;
	size_t at;
	bool help;
};

static bool assign(struct reader *r, const struct cli_flag *f, const char *value)
{
	struct why why = {""};

	if (f == &cli_flag_help) {
		struct cli_flag local = *f;

		local.offset = 0;
		return cli_set(&r->help, &local, value, &why) ? fail_value(r->c, f, value, &why) : true;
	}
	if (f->kind == CLI_LIST && cli_is_set(r->c, f->name)) {
		value = mem_printf("%s,%s", *(const char **)((char *)r->c->options + f->offset), value);
		VEC_PUSH(&r->c->joined, (char *)value);
	}
	if (cli_set(r->c->options, f, value, &why))
		return fail_value(r->c, f, value, &why);
	for (size_t i = 0; i < r->flags.count; i++) {
		if (r->flags.at[i] == f)
			r->c->set |= UINT64_C(1) << i;
	}
	return true;
}

static bool read_long(struct reader *r, const char *word)
{
	const char *equals = strchr(word + 2, '=');
	struct slice name = slice_of(word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2);
	const struct cli_flag *f = cli_flags_named(&r->flags, name);

	if (!name.size || name.data[0] == '-' || name.data[0] == '=')
		return failf(r->c, "bad flag syntax: %s", word);
	if (!f)
		return failf(r->c, "unknown flag: --%.*s", SLICE_ARG(name));
	if (equals)
		return assign(r, f, equals + 1);
	if (f->kind == CLI_BOOL)
		return assign(r, f, "true");
	if (r->at == r->count)
		return failf(r->c, "flag needs an argument: %s", word);
	return assign(r, f, r->words[r->at++]);
}

/* -w json, -wjson, -w=json, -hw json */
static bool read_letters(struct reader *r, const char *word)
{
	for (const char *p = word + 1; *p; p++) {
		const struct cli_flag *f = cli_flags_lettered(&r->flags, *p);

		if (!f)
			return failf(r->c, "unknown shorthand flag: '%c' in -%s", *p, p);
		if (p[1] == '=' && p[2])
			return assign(r, f, p + 2);
		if (f->kind != CLI_BOOL && p[1])
			return assign(r, f, p + 1);
		if (f->kind != CLI_BOOL)
			return r->at < r->count ? assign(r, f, r->words[r->at++])
						: failf(r->c, "flag needs an argument: '%c' in -%s", *p, p);
		if (!assign(r, f, "true"))
			return false;
	}
	return true;
}

static bool read_flags(struct reader *r)
{
	struct cli *c = r->c;

	while (r->at < r->count) {
		const char *word = r->words[r->at++];

		if (!is_flag(word)) {
			c->args[c->arg_count++] = word;
		} else if (!strcmp(word, "--")) {
			while (r->at < r->count)
				c->args[c->arg_count++] = r->words[r->at++];
		} else if (!(word[1] == '-' ? read_long(r, word) : read_letters(r, word))) {
			return false;
		}
	}
	return true;
}

/* ---- judging ---- */

static bool args_fit(struct cli *c)
{
	const struct cli_command *cmd = c->command;

	if (cmd->args_exact != CLI_ARGS_ANY && c->arg_count != (size_t)cmd->args_exact)
		return failf(c, "accepts %d arg(s), received %zu", cmd->args_exact, c->arg_count);
	for (size_t i = 0; cmd->arg_values && i < c->arg_count; i++) {
		const char *const *v = cmd->arg_values;
		struct buf text;

		while (*v && strcmp(*v, c->args[i]))
			v++;
		if (*v)
			continue;
		buf_init(&text, 1 << 16);
		buf_printf(&text, "invalid argument ");
		quote(&text, c->args[i]);
		buf_printf(&text, " for \"");
		cli_path_text(c->path, c->depth, &text);
		buf_put_byte(&text, '"');
		fail(c, &text, true);
		buf_fini(&text);
		return false;
	}
	return true;
}

static bool required_are_set(struct cli *c, const struct cli_flags *flags)
{
	char text[512];
	size_t n = 0;

	for (size_t i = 0; i < flags->count; i++) {
		if (flags->at[i]->required && !(c->set >> i & 1) && n < sizeof(text))
			n +=
			    (size_t)snprintf(text + n, sizeof(text) - n, "%s\"%s\"", n ? ", " : "", flags->at[i]->name);
	}
	return !n || failf(c, "required flag(s) %s not set", text);
}

static bool preset_all(struct cli *c, const struct cli_flags *flags)
{
	for (size_t i = 0; i < flags->count; i++) {
		const struct cli_flag *f = flags->at[i];
		static const char *const none[] = {[CLI_TEXT] = "", [CLI_LIST] = "",  [CLI_BOOL] = "false",
						   [CLI_INT] = "0", [CLI_UINT] = "0", [CLI_DURATION] = "0s"};

		if (f != &cli_flag_help)
			ASSERT(cli_set(c->options, f, f->preset ? f->preset : none[f->kind], NULL) == OK);
	}
	return true;
}

bool cli_parse(const struct cli_program *p, int argc, const char *const *argv, void *options, struct cli *c,
	       struct buf *out, struct buf *err)
{
	size_t count = argc > 1 ? (size_t)argc - 1 : 0;
	const char **words = NEW_ARRAY(const char *, count + 1), *rest;
	struct reader r = {.c = c, .words = words};
	bool run;

	*c = (struct cli){.program = p, .options = options, .out = out, .err = err};
	c->args = NEW_ARRAY(const char *, count + 1);
	if (count)
		memcpy(words, argv + 1, count * sizeof(*words));
	cli_follow(p, words, &count, c->path, &c->depth, &rest);
	c->command = c->path[c->depth - 1];
	r.count = count;
	cli_flags_of(c->path, c->depth, &r.flags);
	if (c->depth == 1 && rest && p->root->child_count) {
		run = fail_unknown_command(c, rest);
	} else {
		run = preset_all(c, &r.flags) && read_flags(&r);
		if (run && (r.help || !c->command->run)) {
			cli_help(p, c->path, c->depth, out);
			run = false;
		}
		run = run && args_fit(c) && required_are_set(c, &r.flags);
	}
	mem_free(words);
	return run;
}

void cli_fini(struct cli *c)
{
	for (size_t i = 0; i < c->joined.count; i++)
		mem_free(c->joined.at[i]);
	VEC_FREE(&c->joined);
	mem_free(c->args);
	c->args = NULL;
}

const struct cli_flag *cli_flag_find(const struct cli *c, const char *name)
{
	struct cli_flags flags;

	cli_flags_of(c->path, c->depth, &flags);
	return cli_flags_named(&flags, slice_str(name));
}

bool cli_is_set(const struct cli *c, const char *name)
{
	struct cli_flags flags;

	cli_flags_of(c->path, c->depth, &flags);
	for (size_t i = 0; i < flags.count; i++) {
		if (!strcmp(flags.at[i]->name, name))
			return c->set >> i & 1;
	}
	return false;
}
