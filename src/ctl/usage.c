/* Help, from the tree. Commands in sorted order as the tree has them; long texts are broken at the terminal's usual 100. */
#include "ctl/ctl_impl.h"

const char *const ctl_group_titles[GROUP__COUNT] = {
	[GROUP_KV] = "Key-value commands",
	[GROUP_CLUSTER] = "Cluster maintenance commands",
	[GROUP_CONCURRENCY] = "Concurrency commands",
	[GROUP_AUTH] = "Authentication commands",
	[GROUP_UTILITY] = "Utility commands",
};

static const char *kind_name(enum flag_kind k)
{
	static const char *const names[] = {
		[FLAG_STRING] = " string", [FLAG_BOOL] = "", [FLAG_INT] = " int", [FLAG_INT64] = " int",
		[FLAG_UINT] = " uint", [FLAG_DURATION] = " duration", [FLAG_LIST] = " strings",
	};

	return names[k];
}

static int print_flag_head(char *out, size_t size, const struct ctl_flag *f)
{
	if (f->letter)
		return snprintf(out, size, "  -%c, --%s%s", f->letter, f->name, kind_name(f->kind));
	return snprintf(out, size, "      --%s%s", f->name, kind_name(f->kind));
}

static bool has_preset(const struct ctl_flag *f)
{
	return f->preset[0] && strcmp(f->preset, "0") && strcmp(f->preset, "false");
}

static void print_flags(FILE *out, const struct ctl_flag *flags)
{
	char head[80];
	int width = 0;

	for (const struct ctl_flag *f = flags; f->name; f++)
		width = MAX(width, print_flag_head(head, sizeof(head), f));
	for (const struct ctl_flag *f = flags; f->name; f++) {
		bool quoted = f->kind == FLAG_STRING;

		print_flag_head(head, sizeof(head), f);
		fprintf(out, "%-*s   %s", width, head, f->help);
		if (f->kind == FLAG_LIST)
			fprintf(out, " (default [%s])", f->preset);
		else if (has_preset(f))
			fprintf(out, quoted ? " (default \"%s\")" : " (default %s)", f->preset);
		fputc('\n', out);
	}
}

static void print_subs(FILE *out, const struct ctl_command *subs, enum ctl_group group)
{
	int width = 0;

	for (const struct ctl_command *s = subs; s->name; s++)
		width = MAX(width, (int)strlen(s->name));
	for (const struct ctl_command *s = subs; s->name; s++) {
		if (s->group == group)
			fprintf(out, "  %-*s  %s\n", width, s->name, s->brief);
	}
}

void usage_short(FILE *out, const struct ctl_command *const *path, size_t depth)
{
	const struct ctl_command *cmd = path[depth - 1];

	fprintf(out, "Usage:\n ");
	for (size_t i = 0; i < depth; i++)
		fprintf(out, " %s", path[i]->name);
	if (cmd->subs)
		fprintf(out, " [command]\n");
	else
		fprintf(out, "%s%s\n", cmd->usage[0] ? " " : "", cmd->usage);
	if (depth == 1) {
		for (enum ctl_group g = GROUP_KV; g < GROUP__COUNT; g++) {
			fprintf(out, "\n%s:\n", ctl_group_titles[g]);
			print_subs(out, cmd->subs, g);
		}
	} else if (cmd->subs) {
		fprintf(out, "\nAvailable Commands:\n");
		print_subs(out, cmd->subs, GROUP_NONE);
	}
	for (size_t i = depth; i-- > 1;) {
		if (path[i]->flags) {
			fprintf(out, i == depth - 1 ? "\nFlags:\n" : "\nFlags of %s:\n", path[i]->name);
			print_flags(out, path[i]->flags);
		}
	}
}

void usage_help(FILE *out, const struct ctl_command *const *path, size_t depth)
{
	const struct ctl_command *cmd = path[depth - 1];

	fprintf(out, "%s\n", cmd->brief);
	if (cmd->more)
		fprintf(out, "\n%s\n", cmd->more);
	fputc('\n', out);
	usage_short(out, path, depth);
	if (depth == 1)
		fprintf(out, "\nUse \"etcdctl [command] --help\" for more about a command.\n");
	else if (cmd->subs)
		fprintf(out, "\nUse \"etcdctl %s [command] --help\" for more about a command.\n", cmd->name);
	else
		fputc('\n', out);
	fprintf(out, "Use \"etcdctl options\" for a list of global command-line options (applies to all commands).\n");
}

void usage_options(FILE *out)
{
	fprintf(out, "The following options can be passed to any command:\n\n");
	print_flags(out, ctl_global_flags);
}
