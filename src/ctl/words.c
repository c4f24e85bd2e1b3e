/* Lines of txn and watch -i: words as a shell would have them, and strings in Go's quotes.
 *
 *	word   "with \"escapes\""  |  'as it is'  |  bare: from a character that is no quote to the next blank
 *
 * A quote that is never closed is passed over, and so are blanks. */
#include "ctl/ctl_impl.h"

static bool is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n' || ch == '\f' || ch == '\v';
}

static int hex_digit(char ch)
{
	return ch >= '0' && ch <= '9'   ? ch - '0'
	       : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
	       : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
					: -1;
}

static void put_utf8(struct buf *b, uint32_t code)
{
	if (code < 0x80) {
		buf_put_byte(b, (uint8_t)code);
	} else if (code < 0x800) {
		buf_put_byte(b, (uint8_t)(0xc0 | code >> 6));
		buf_put_byte(b, (uint8_t)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_put_byte(b, (uint8_t)(0xe0 | code >> 12));
		buf_put_byte(b, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (code & 0x3f)));
	} else {
		buf_put_byte(b, (uint8_t)(0xf0 | code >> 18));
		buf_put_byte(b, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (code & 0x3f)));
	}
}

/* digits of this base from *at on; moves behind them. */
static bool read_code(const char **at, unsigned digits, unsigned base, uint32_t *code)
{
	*code = 0;
	for (unsigned i = 0; i < digits; i++) {
		int d = hex_digit(**at);

		if (d < 0 || (unsigned)d >= base)
			return false;
		*code = *code * base + (unsigned)d;
		++*at;
	}
	return true;
}

/* *at is behind the backslash. */
static bool read_escape(const char **at, struct buf *b)
{
	static const char letters[] = "abfnrtv\\\"";
	static const char bytes[] = "\a\b\f\n\r\t\v\\\"";
	const char *known = **at ? strchr(letters, **at) : NULL;
	char ch = **at;
	uint32_t code;

	if (known) {
		++*at;
		buf_put_byte(b, (uint8_t)bytes[known - letters]);
		return true;
	}
	if (ch >= '0' && ch <= '7') {
		if (!read_code(at, 3, 8, &code) || code > 255)
			return false;
		buf_put_byte(b, (uint8_t)code);
		return true;
	}
	++*at;
	if (ch == 'x') {
		if (!read_code(at, 2, 16, &code))
			return false;
		buf_put_byte(b, (uint8_t)code);
		return true;
	}
	if ((ch != 'u' && ch != 'U') || !read_code(at, ch == 'u' ? 4 : 8, 16, &code) || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return false;
	put_utf8(b, code);
	return true;
}

bool read_quoted(const char **at, struct buf *out)
{
	const char *p = *at;
	char quote = *p++;

	if (quote == '`') {
		const char *end = strchr(p, '`');

		if (!end)
			return false;
		buf_put(out, p, (size_t)(end - p));
		*at = end + 1;
		return true;
	}
	if (quote != '"')
		return false;
	while (*p && *p != '"') {
		if (*p != '\\') {
			buf_put_byte(out, (uint8_t)*p++);
			continue;
		}
		p++;
		if (!read_escape(&p, out))
			return false;
	}
	if (*p != '"')
		return false;
	*at = p + 1;
	return true;
}

/* End of a string in double quotes, escapes looked over; NULL: never closed. */
static const char *double_end(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && !*++p)
			return NULL;
	}
	return *p ? p : NULL;
}

bool split_words(struct ctl *c, const char *line, const char ***words, size_t *count)
{
	const char **out = arena_alloc_array(&c->arena, strlen(line) + 1, sizeof(*out));
	size_t n = 0;

	ASSERT(out);
	for (const char *p = line; *p;) {
		const char *end = *p == '"' ? double_end(p) : *p == '\'' ? strchr(p + 1, '\'') : NULL;

		if (is_blank(*p) || ((*p == '"' || *p == '\'') && !end)) {
			p++;
		} else if (*p == '\'') {
			out[n++] = ctl_copy(c, "%.*s", (int)(end - p - 1), p + 1);
			p = end + 1;
		} else if (*p == '"') {
			struct buf b;
			bool ok;

			buf_init(&b, SIZE_MAX / 2);
			ok = read_quoted(&p, &b);
			out[n++] = ctl_copy(c, "%.*s", SLICE_ARG(buf_slice(&b)));
			buf_fini(&b);
			if (!ok)
				return false;
		} else {
			const char *start = p;

			while (*p && !is_blank(*p))
				p++;
			out[n++] = ctl_copy(c, "%.*s", (int)(p - start), start);
		}
	}
	*words = out;
	*count = n;
	return true;
}

const char *trim_line(char *line)
{
	size_t size;

	while (is_blank(*line))
		line++;
	size = strlen(line);
	while (size && is_blank(line[size - 1]))
		line[--size] = '\0';
	return line;
}

bool read_word(const char **at, const char **word, size_t *size)
{
	while (is_blank(**at))
		++*at;
	*word = *at;
	while (**at && !is_blank(**at))
		++*at;
	*size = (size_t)(*at - *word);
	return *size > 0;
}
