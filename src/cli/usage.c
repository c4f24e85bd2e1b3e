/* Usage and help:
 *
 *	Usage:
 *	  etcdutl hashkv <filename> [flags]
 *
 *	Flags:
 *	  -h, --help      this text
 *	      --rev int   …  (default …)
 */
#include <stdlib.h>

#include "cli/cli_impl.h"

void cli_path_text(const struct cli_command *const *path, size_t depth, struct buf *out)
{
	for (size_t d = 0; d < depth; d++)
		buf_printf(out, "%s%s", d ? " " : "", path[d]->name);
}

/* ---- commands ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct cli_command *const *)a)->name, (*(const struct cli_command *const *)b)->name);
}

static bool same_group(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static void put_group(const struct cli_command *const *list, size_t count, const char *group, size_t width,
		      struct buf *out)
{
	buf_printf(out, "\n%s:\n", group ? group : "Available Commands");
	for (size_t i = 0; i < count; i++) {
		if (same_group(list[i]->group, group))
			buf_printf(out, "  %-*s%s\n", (int)width, list[i]->name, list[i]->brief);
	}
}

/* Groups in the order of the table, those in a group by name. */
static void put_commands(const struct cli_command *c, bool root, struct buf *out)
{
	const struct cli_command **list = NEW_ARRAY(const struct cli_command *, c->child_count + 1), *child;
	size_t count = 0, width = 9;

	for (size_t i = 0; (child = cli_child_at(c, root, i)); i++) {
		if (child->hidden)
			continue;
		list[count++] = child;
		width = MAX(width, strlen(child->name));
	}
	qsort(list, count, sizeof(*list), by_name);
	for (size_t i = 0; (child = cli_child_at(c, root, i)); i++) {
		bool listed = child->hidden;

		for (size_t k = 0; !listed && k < i; k++)
			listed = same_group(cli_child_at(c, root, k)->group, child->group) &&
				 !cli_child_at(c, root, k)->hidden;
		if (!listed)
			put_group(list, count, child->group, width + 3, out);
	}
	mem_free(list);
}

/* ---- flags ---- */

static int by_flag_name(const void *a, const void *b)
{
	return strcmp((*(const struct cli_flag *const *)a)->name, (*(const struct cli_flag *const *)b)->name);
}

static size_t flag_width(const struct cli_flag *f)
{
	const char *kind = cli_kind_name(f->kind);

	return 8 + strlen(f->name) + (*kind ? 1 + strlen(kind) : 0);
}

static void put_preset(const struct cli_flag *f, struct buf *out)
{
	const char *p = f->preset;

	if (!p || !*p || (f->kind != CLI_TEXT && (!strcmp(p, "0") || !strcmp(p, "false") || !strcmp(p, "0s"))))
		return;
	buf_printf(out,
		   f->kind == CLI_TEXT   ? " (default \"%s\")"
		   : f->kind == CLI_LIST ? " (default [%s])"
					 : " (default %s)",
		   p);
}

/* title NULL: none. */
static void put_flags(const char *title, const struct cli_flag **list, size_t count, struct buf *out)
{
	size_t width = 0, shown = 0;

	qsort(list, count, sizeof(*list), by_flag_name);
	for (size_t i = 0; i < count; i++) {
		shown += !list[i]->hidden;
		width = list[i]->hidden ? width : MAX(width, flag_width(list[i]));
	}
	if (shown && title)
		buf_printf(out, "\n%s:\n", title);
	for (size_t i = 0; i < count; i++) {
		const struct cli_flag *f = list[i];
		const char *kind = cli_kind_name(f->kind);

		if (f->hidden)
			continue;
		if (f->letter)
			buf_printf(out, "  -%c, --%s", f->letter, f->name);
		else
			buf_printf(out, "      --%s", f->name);
		buf_printf(out, "%s%s%*s%s", *kind ? " " : "", kind, (int)(width - flag_width(f) + 3), "", f->help);
		put_preset(f, out);
		buf_put_byte(out, '\n');
	}
}

void cli_list_flags(const struct cli_flag *flags, size_t count, struct buf *out)
{
	const struct cli_flag *list[CLI_FLAGS_MAX];

	ASSERT(count <= CLI_FLAGS_MAX);
	for (size_t i = 0; i < count; i++)
		list[i] = &flags[i];
	put_flags(NULL, list, count, out);
}

void cli_usage(const struct cli_program *p, const struct cli_command *const *path, size_t depth, struct buf *out)
{
	const struct cli_command *c = path[depth - 1];
	struct cli_flags flags;
	const struct cli_flag *own[CLI_FLAGS_MAX], *others[CLI_FLAGS_MAX];
	size_t own_count = 0, other_count = 0;

	cli_flags_of(path, depth, &flags);
	for (size_t i = 0; i < flags.count; i++) {
		if (i < flags.own_count || i + 1 == flags.count)
			own[own_count++] = flags.at[i];
		else if (!p->globals_hint || flags.at[i] < path[0]->flags ||
			 flags.at[i] >= path[0]->flags + path[0]->flag_count)
			others[other_count++] = flags.at[i];
	}
	buf_printf(out, "Usage:\n");
	if (c->run) {
		buf_printf(out, "  ");
		cli_path_text(path, depth, out);
		buf_printf(out, "%s%s [flags]\n", c->args ? " " : "", c->args ? c->args : "");
	}
	if (c->child_count) {
		buf_printf(out, "  ");
		cli_path_text(path, depth, out);
		buf_printf(out, " [command]\n");
		put_commands(c, depth == 1, out);
	}
	if (depth > 1 || !p->globals_hint)
		put_flags("Flags", own, own_count, out);
	put_flags("Global Flags", others, other_count, out);
	if (c->child_count) {
		buf_printf(out, "\nUse \"");
		cli_path_text(path, depth, out);
		buf_printf(out, " [command] --help\" for more about a command.\n");
	}
	if (p->globals_hint)
		buf_printf(out, "\n%s\n", p->globals_hint);
}

void cli_help(const struct cli_program *p, const struct cli_command *const *path, size_t depth, struct buf *out)
{
	const struct cli_command *c = path[depth - 1];
	const char *about = c->about ? c->about : c->brief;

	if (about)
		buf_printf(out, "%s\n\n", about);
	cli_usage(p, path, depth, out);
}
