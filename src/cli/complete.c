#include <stdio.h>

#include "cli/cli_impl.h"

struct offer {
	struct buf *out;
	const char *word; /* what stands there already */
	const char *rest; /* of the program: files, dirs or nothing */
};

static void offer(struct offer *o, const char *prefix, const char *text, const char *about)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s%s", prefix, text);
	if (strncmp(whole, o->word, strlen(o->word)))
		return;
	buf_printf(o->out, "%s%s%s\n", whole, about ? "\t" : "", about ? about : "");
}

static void offer_values(struct offer *o, const char *prefix, const struct cli_flag *f)
{
	for (const char *const *v = f->values; v && *v; v++)
		offer(o, prefix, *v, NULL);
	o->rest = f->takes_dir ? "dirs" : f->takes_file ? "files" : "nothing";
}

static void offer_flags(struct offer *o, const struct cli_flags *flags)
{
	for (size_t i = 0; i < flags->count; i++) {
		const struct cli_flag *f = flags->at[i];
		char letter[2] = {f->letter, 0};

		if (f->hidden)
			continue;
		if (o->word[1] != '-' && f->letter)
			offer(o, "-", letter, f->help);
		if (o->word[1] == '-' || !f->letter)
			offer(o, "--", f->name, f->help);
	}
}

static void offer_commands(struct offer *o, const struct cli_command *c, bool root)
{
	const struct cli_command *child;

	for (size_t i = 0; (child = cli_child_at(c, root, i)); i++) {
		if (!child->hidden)
			offer(o, "", child->name, child->brief);
	}
	for (const char *const *v = c->arg_values; v && *v; v++)
		offer(o, "", *v, NULL);
	o->rest = c->takes_dir ? "dirs" : c->takes_file ? "files" : "nothing";
}

/* The flag whose value the last word is, or NULL: "--flag=val" (then *value is behind the =), or "--flag" before it. */
static const struct cli_flag *value_of(const struct cli_flags *flags, const char *before, const char *word,
				       const char **value)
{
	const char *equals = word[0] == '-' && word[1] == '-' ? strchr(word, '=') : NULL;
	const struct cli_flag *f = NULL;

	*value = word;
	if (equals) {
		*value = equals + 1;
		return cli_flags_named(flags, slice_of(word + 2, (size_t)(equals - word) - 2));
	}
	if (!before || before[0] != '-' || strchr(before, '='))
		return NULL;
	if (before[1] == '-')
		f = cli_flags_named(flags, slice_str(before + 2));
	else if (before[1] && !before[2])
		f = cli_flags_lettered(flags, before[1]);
	return f && f->kind != CLI_BOOL ? f : NULL;
}

void cli_complete(const struct cli_program *p, const char *const *words, size_t count, struct buf *out)
{
	const char **copy = NEW_ARRAY(const char *, count + 1), *rest, *value;
	struct offer o = {.out = out, .word = count ? words[count - 1] : "", .rest = "nothing"};
	const struct cli_command *path[CLI_DEPTH_MAX];
	const struct cli_flag *f;
	struct cli_flags flags;
	size_t depth, left = count ? count - 1 : 0;
	bool ended = false;

	if (left)
		memcpy(copy, words, left * sizeof(*copy));
	for (size_t i = 0; i < left; i++)
		ended = ended || !strcmp(words[i], "--");
	cli_follow(p, copy, &left, path, &depth, &rest);
	cli_flags_of(path, depth, &flags);
	f = ended ? NULL : value_of(&flags, count > 1 ? words[count - 2] : NULL, o.word, &value);
	if (f && value != o.word) {
		char prefix[128];

		snprintf(prefix, sizeof(prefix), "--%s=", f->name);
		offer_values(&o, prefix, f);
	} else if (f) {
		offer_values(&o, "", f);
	} else if (!ended && o.word[0] == '-') {
		offer_flags(&o, &flags);
	} else {
		offer_commands(&o, path[depth - 1], depth == 1);
	}
	buf_printf(out, ":%s\n", o.rest);
	mem_free(copy);
}

/* ---- scripts: each asks "PROGRAM __complete WORDS" and shows what comes back. ~ stands for the program's name. */

static const char bash_script[] =
    "# bash completion for ~: source <(~ completion bash)\n"
    "_~_complete() {\n"
    "\tlocal line gap word pre rest=nothing left=$COMP_LINE words=() i\n"
    "\t# bash divides words at : and = too; what no blank parts is one word.\n"
    "\tfor ((i = 0; i <= COMP_CWORD; i++)); do\n"
    "\t\tword=${COMP_WORDS[i]} gap=${left%%[![:blank:]]*}\n"
    "\t\tleft=${left#\"$gap\"} left=${left#\"$word\"}\n"
    "\t\tif [[ $gap || $i == 0 ]]; then words+=(\"$word\"); else words[-1]+=$word; fi\n"
    "\tdone\n"
    "\tlocal cur=${words[-1]}\n"
    "\t[[ $word == [:=] ]] && pre=$cur || pre=${cur%\"$word\"}\n"
    "\tCOMPREPLY=()\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tcase $line in\n"
    "\t\t:*) rest=${line#:} ;;\n"
    "\t\t*) COMPREPLY+=(\"${line%%$'\\t'*}\") ;;\n"
    "\t\tesac\n"
    "\tdone < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
    "\tcase $rest in\n"
    "\tfiles) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null || : ;;\n"
    "\tdirs) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$cur\"); compopt -o filenames 2>/dev/null || : ;;\n"
    "\tesac\n"
    "\tCOMPREPLY=(\"${COMPREPLY[@]#\"$pre\"}\")\n"
    "\treturn 0\n"
    "}\n"
    "complete -F _~_complete ~\n";

static const char zsh_script[] =
    "#compdef ~\n"
    "# zsh completion for ~: put this file as _~ into a folder of $fpath, or: source <(~ completion zsh)\n"
    "_~() {\n"
    "\tlocal line rest=nothing\n"
    "\tlocal -a offers\n"
    "\twhile IFS= read -r line; do\n"
    "\t\tcase $line in\n"
    "\t\t:*) rest=${line#:} ;;\n"
    "\t\t*$'\\t'*) offers+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "\t\t*) offers+=(\"${line//:/\\\\:}\") ;;\n"
    "\t\tesac\n"
    "\tdone < <(\"${words[1]}\" __complete \"${(@)words[2,$CURRENT]}\" 2>/dev/null)\n"
    "\t(( $#offers )) && _describe '~' offers\n"
    "\tcase $rest in\n"
    "\tfiles) _files ;;\n"
    "\tdirs) _files -/ ;;\n"
    "\tesac\n"
    "}\n"
    "if [ \"$funcstack[1]\" = \"_~\" ]; then\n"
    "\t_~\n"
    "else\n"
    "\tcompdef _~ ~\n"
    "fi\n";

static const char fish_script[] = "# fish completion for ~: ~ completion fish | source\n"
				  "function __~_complete\n"
				  "\tset -l words (commandline -opc) (commandline -ct)\n"
				  "\tset -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)\n"
				  "\tfor line in $lines\n"
				  "\t\tswitch $line\n"
				  "\t\t\tcase ':files'\n"
				  "\t\t\t\t__fish_complete_path (commandline -ct)\n"
				  "\t\t\tcase ':dirs'\n"
				  "\t\t\t\t__fish_complete_directories (commandline -ct)\n"
				  "\t\t\tcase ':*'\n"
				  "\t\t\tcase '*'\n"
				  "\t\t\t\techo $line\n"
				  "\t\tend\n"
				  "\tend\n"
				  "end\n"
				  "complete -c ~ -f -a '(__~_complete)'\n";

static const char powershell_script[] =
    "# PowerShell completion for ~: ~ completion powershell | Out-String | Invoke-Expression\n"
    "Register-ArgumentCompleter -Native -CommandName '~' -ScriptBlock {\n"
    "\tparam($word, $line, $cursor)\n"
    "\t$words = @($line.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })\n"
    "\tif ($word -eq '') { $words += '\"\"' }\n"
    "\t& '~' __complete @words 2>$null | Where-Object { $_ -notmatch '^:' } | ForEach-Object {\n"
    "\t\t$text, $about = $_ -split \"`t\", 2\n"
    "\t\tif (-not $about) { $about = $text }\n"
    "\t\t[System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $about)\n"
    "\t}\n"
    "}\n";

bool cli_completion_script(const struct cli_program *p, const char *shell, struct buf *out)
{
	static const struct {
		const char *shell, *text;
	} scripts[] = {
	    {"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}, {"powershell", powershell_script}};
	const char *text = NULL;

	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
		if (!strcmp(scripts[i].shell, shell))
			text = scripts[i].text;
	}
	for (const char *s = text; s && *s; s++)
		buf_printf(out, "%.*s", *s == '~' ? (int)strlen(p->root->name) : 1, *s == '~' ? p->root->name : s);
	return text != NULL;
}
