#include <inttypes.h>

#include "out/out.h"
#include "out/utf8.h"
#include "pb/json.h"

static void value_begins(struct out_json *j)
{
	if (j->comma)
		buf_put_byte(j->out, ',');
	j->comma = true;
}

void out_json_open(struct out_json *j, char bracket)
{
	value_begins(j);
	buf_put_byte(j->out, (uint8_t)bracket);
	j->comma = false;
}

void out_json_close(struct out_json *j, char bracket)
{
	buf_put_byte(j->out, (uint8_t)bracket);
	j->comma = true;
}

static void put_escape(struct buf *out, uint32_t code)
{
	switch (code) {
	case '"':
	case '\\':
		buf_printf(out, "\\%c", (char)code);
		break;
	case '\b':
		buf_printf(out, "\\b");
		break;
	case '\f':
		buf_printf(out, "\\f");
		break;
	case '\n':
		buf_printf(out, "\\n");
		break;
	case '\r':
		buf_printf(out, "\\r");
		break;
	case '\t':
		buf_printf(out, "\\t");
		break;
	default:
		buf_printf(out, "\\u%04x", (unsigned)code);
		break;
	}
}

static bool must_escape(uint32_t code)
{
	return code < 0x20 || code == '"' || code == '\\' || code == '<' || code == '>' || code == '&' ||
	       code == 0x2028 || code == 0x2029;
}

static void put_string(struct buf *out, struct slice s)
{
	size_t plain = 0, at = 0;

	buf_put_byte(out, '"');
	while (at < s.size) {
		uint32_t code;
		size_t n = utf8_next(s, at, &code);

		if (n && !must_escape(code)) {
			at += n;
			continue;
		}
		buf_put(out, s.data + plain, at - plain);
		put_escape(out, n ? code : 0xfffd);
		at += n ? n : 1;
		plain = at;
	}
	if (s.size > plain)
		buf_put(out, s.data + plain, s.size - plain);
	buf_put_byte(out, '"');
}

void out_json_key(struct out_json *j, const char *name)
{
	value_begins(j);
	put_string(j->out, slice_str(name));
	buf_put_byte(j->out, ':');
	j->comma = false;
}

void out_json_str(struct out_json *j, struct slice text)
{
	value_begins(j);
	put_string(j->out, text);
}

void out_json_base64(struct out_json *j, struct slice bytes)
{
	value_begins(j);
	buf_put_byte(j->out, '"');
	base64_encode(bytes, j->out);
	buf_put_byte(j->out, '"');
}

void out_json_int(struct out_json *j, int64_t v)
{
	value_begins(j);
	buf_printf(j->out, "%" PRId64, v);
}

void out_json_uint(struct out_json *j, uint64_t v)
{
	value_begins(j);
	buf_printf(j->out, "%" PRIu64, v);
}

void out_json_bool(struct out_json *j, bool v)
{
	value_begins(j);
	buf_printf(j->out, v ? "true" : "false");
}

void out_json_null(struct out_json *j)
{
	value_begins(j);
	buf_put(j->out, "null", 4);
}

void out_json_raw(struct out_json *j, struct slice json)
{
	value_begins(j);
	buf_put_slice(j->out, json);
}
