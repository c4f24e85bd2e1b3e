/* One manual page with all commands, in man(7). */
#include "cli/cli_impl.h"

/* Text as it is: hyphens stay hyphens, and no line is taken for a request. */
void cli_man_text(struct buf *out, const char *s)
{
	bool line_start = true;

	for (; *s; s++) {
		if (line_start && (*s == '.' || *s == '\''))
			buf_printf(out, "\\&");
		if (*s == '-')
			buf_printf(out, "\\-");
		else if (*s == '\\')
			buf_printf(out, "\\e");
		else
			buf_put_byte(out, (uint8_t)*s);
		line_start = *s == '\n';
	}
}

/* Lines that begin with a blank are shown as they are; an empty line begins a paragraph. */
void cli_man_paragraphs(struct buf *out, const char *s)
{
	bool verbatim = false;

	while (*s) {
		size_t n = strcspn(s, "\n");
		char *line = mem_printf("%.*s", (int)n, s);

		if (verbatim != (line[0] == ' '))
			buf_printf(out, verbatim ? ".fi\n" : ".nf\n");
		verbatim = line[0] == ' ';
		if (n)
			cli_man_text(out, line);
		else
			buf_printf(out, ".PP");
		buf_put_byte(out, '\n');
		mem_free(line);
		s += n + (s[n] == '\n');
	}
	if (verbatim)
		buf_printf(out, ".fi\n");
}

static void put_flag(struct buf *out, const struct cli_flag *f)
{
	const char *kind = cli_kind_name(f->kind);

	buf_printf(out, ".TP\n.B ");
	if (f->letter)
		buf_printf(out, "\\-%c, ", f->letter);
	buf_printf(out, "\\-\\-");
	cli_man_text(out, f->name);
	buf_printf(out, "%s%s\n", *kind ? " " : "", kind);
	cli_man_text(out, f->help);
	if (f->preset && *f->preset) {
		buf_printf(out, " (default ");
		cli_man_text(out, f->preset);
		buf_put_byte(out, ')');
	}
	buf_put_byte(out, '\n');
}

static void put_command(const struct cli_command *const *path, size_t depth, struct buf *out)
{
	const struct cli_command *c = path[depth - 1];

	if (c->run) {
		buf_printf(out, ".SS \"");
		for (size_t d = 1; d < depth; d++) {
			cli_man_text(out, path[d]->name);
			buf_printf(out, d + 1 < depth ? " " : "");
		}
		buf_printf(out, " ");
		cli_man_text(out, c->args ? c->args : "");
		buf_printf(out, "\"\n");
		cli_man_paragraphs(out, c->about ? c->about : c->brief);
		for (size_t i = 0; i < c->flag_count; i++) {
			if (!c->flags[i].hidden)
				put_flag(out, &c->flags[i]);
		}
	}
	for (size_t i = 0; i < c->child_count; i++) {
		const struct cli_command *inner[CLI_DEPTH_MAX];

		if (c->children[i]->hidden || depth == CLI_DEPTH_MAX)
			continue;
		memcpy(inner, path, depth * sizeof(*path));
		inner[depth] = c->children[i];
		put_command(inner, depth + 1, out);
	}
}

void cli_man_commands(const struct cli_program *p, struct buf *out)
{
	buf_printf(out, ".SH COMMANDS\n");
	put_command(&p->root, 1, out);
}

void cli_man(const struct cli_program *p, const char *version, struct buf *out)
{
	const struct cli_command *root = p->root;

	buf_printf(out, ".TH %s 1 \"\" \"%s\" \"etcd\"\n.SH NAME\n%s \\- ", root->name, version, root->name);
	cli_man_text(out, root->brief);
	buf_printf(out, "\n.SH SYNOPSIS\n.B %s\n.I command\n[flags] [arguments]\n.SH DESCRIPTION\n", root->name);
	cli_man_paragraphs(out, root->about ? root->about : root->brief);
	buf_printf(out, ".SH OPTIONS\nof all commands:\n");
	for (size_t i = 0; i < root->flag_count; i++)
		put_flag(out, &root->flags[i]);
	put_flag(out, &cli_flag_help);
	cli_man_commands(p, out);
	if (p->exit_status) {
		buf_printf(out, ".SH EXIT STATUS\n");
		cli_man_paragraphs(out, p->exit_status);
	}
	for (const struct cli_section *s = p->sections; s && s->title; s++) {
		buf_printf(out, ".SH %s\n", s->title);
		cli_man_paragraphs(out, s->text);
	}
}
