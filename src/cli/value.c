/* One flag's text to its field; texts of errors are those of Go's strconv and time. */
#include "base/text.h"
#include "cli/cli_impl.h"

const struct cli_flag cli_flag_help = {.name = "help", .letter = 'h', .kind = CLI_BOOL, .help = "this text"};

static err_t number_bad(enum text_number n, const char *func, const char *text, struct why *why)
{
	struct buf quoted;
	err_t err;

	buf_init(&quoted, 4096);
	text_quote(&quoted, slice_str(text));
	err = why_set(why, ERR_INVALID, "strconv.%s: parsing %.*s: %s", func, (int)quoted.size,
		      (const char *)quoted.data, n == TEXT_NUMBER_RANGE ? "value out of range" : "invalid syntax");
	buf_fini(&quoted);
	return err;
}

err_t cli_set(void *options, const struct cli_flag *f, const char *text, struct why *why)
{
	void *field = (char *)options + f->offset;
	enum text_number n = TEXT_NUMBER_OK;

	switch (f->kind) {
	case CLI_TEXT:
	case CLI_LIST:
		*(const char **)field = text;
		return OK;
	case CLI_BOOL:
		return text_parse_bool(text, field) ? OK : number_bad(TEXT_NUMBER_SYNTAX, "ParseBool", text, why);
	case CLI_INT:
		n = text_parse_int(text, 64, field);
		return n ? number_bad(n, "ParseInt", text, why) : OK;
	case CLI_UINT:
		n = text_parse_uint(text, 64, field);
		return n ? number_bad(n, "ParseUint", text, why) : OK;
	case CLI_DURATION:
		return text_parse_duration(text, field, why);
	}
	UNREACHABLE();
}

const char *cli_kind_name(enum cli_kind k)
{
	static const char *const names[] = {[CLI_TEXT] = "string", [CLI_LIST] = "strings", [CLI_BOOL] = "",
					    [CLI_INT] = "int",     [CLI_UINT] = "uint",    [CLI_DURATION] = "duration"};

	ASSERT(k < ARRAY_COUNT(names));
	return names[k];
}
