/* The command line, in the notation of Go's flag package: -x v, --x v, -x=v; booleans alone or with =v only;
 * the first argument that is no flag, or "--", ends them. */
#include <stdio.h>

#include "base/text.h"
#include "server/config_impl.h"

/* Flags of old that are accepted and do nothing; they count as boolean: -v and -v=x, never -v x. */
static const char *const ignored[] = {
	"cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force", "max-result-buffer",
	"max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout", "retry-interval", "snapshot", "v",
	"vv", "test.coverprofile", "test.outputdir",
};

bool flag_ignored(struct slice name)
{
	for (size_t i = 0; i < ARRAY_COUNT(ignored); i++) {
		if (slice_eq(slice_str(ignored[i]), name))
			return true;
	}
	return false;
}

static void say_quoted(struct why *why, const char *before, const char *text, const char *after, const char *name,
		       const char *reason)
{
	struct buf q;

	buf_init(&q, 4096);
	text_quote(&q, slice_str(text));
	why_set(why, ERR_INVALID, "%s %.*s for %s-%s: %s", before, SLICE_ARG(buf_slice(&q)), after, name, reason);
	buf_fini(&q);
}

static enum args_end set_from_args(struct config *cfg, enum flag f, const char *value, struct why *why)
{
	struct why reason;

	if (flag_set(cfg, f, value, &reason)) {
		bool is_bool = flag_rows[f].kind == KIND_BOOL;

		say_quoted(why, is_bool ? "invalid boolean value" : "invalid value", value, is_bool ? "" : "flag ",
			   flag_rows[f].name, reason.text);
		return ARGS_ERROR;
	}
	cfg->given[f] = true;
	return ARGS_RUN;
}

/* One flag; *i moves on when the value is the next argument. */
static enum args_end read_arg(struct config *cfg, int argc, char *const *argv, int *i, struct why *why)
{
	const char *arg = argv[*i], *name = arg + (arg[1] == '-' ? 2 : 1), *eq;
	struct slice n;
	enum flag f;

	if (!*name || *name == '-' || *name == '=') {
		why_set(why, ERR_INVALID, "bad flag syntax: %s", arg);
		return ARGS_ERROR;
	}
	eq = strchr(name, '=');
	n = slice_of(name, eq ? (size_t)(eq - name) : strlen(name));
	f = flag_find(n);
	if (f == FLAG__COUNT && flag_ignored(n))
		return ARGS_RUN;
	if (f == FLAG__COUNT && (slice_eq(n, SLICE_LIT("help")) || slice_eq(n, SLICE_LIT("h"))))
		return ARGS_HELP;
	if (f == FLAG__COUNT) {
		why_set(why, ERR_INVALID, "flag provided but not defined: -%.*s", SLICE_ARG(n));
		return ARGS_ERROR;
	}
	if (flag_rows[f].kind == KIND_BOOL)
		return set_from_args(cfg, f, eq ? eq + 1 : "true", why);
	if (!eq && *i + 1 == argc) {
		why_set(why, ERR_INVALID, "flag needs an argument: -%s", flag_rows[f].name);
		return ARGS_ERROR;
	}
	return set_from_args(cfg, f, eq ? eq + 1 : argv[++*i], why);
}

enum args_end config_read_args(struct config *cfg, int argc, char *const *argv, struct why *why)
{
	struct buf q;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		enum args_end end;

		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		end = read_arg(cfg, argc, argv, &i, why);
		if (end != ARGS_RUN)
			return end;
	}
	if (i >= argc)
		return ARGS_RUN;
	buf_init(&q, 4096);
	text_quote(&q, slice_str(argv[i]));
	why_set(why, ERR_INVALID, "%.*s is not a valid flag", SLICE_ARG(buf_slice(&q)));
	buf_fini(&q);
	return ARGS_LEFT_OVER;
}
