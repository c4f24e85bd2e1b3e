#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "out/out.h"

static const char *const names[] = {
    [OUT_SIMPLE] = "simple",     [OUT_FIELDS] = "fields", [OUT_JSON] = "json",
    [OUT_PROTOBUF] = "protobuf", [OUT_TABLE] = "table",
};

bool out_format_parse(const char *text, enum out_format *out)
{
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum out_format)i;
			return true;
		}
	}
	return false;
}

const char *out_format_name(enum out_format f)
{
	ASSERT(f < ARRAY_COUNT(names));
	return names[f];
}

void out_field(struct buf *out, const char *name, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	buf_printf(out, "\"%s\" : %s\n", name, text);
}

void out_field_quoted(struct buf *out, const char *name, struct slice value)
{
	buf_printf(out, "\"%s\" : ", name);
	text_quote(out, value);
	buf_put_byte(out, '\n');
}
