/* A scanner over bytes; nothing recurses but json_skip, which is bounded by JSON_DEPTH_MAX. */
#include "member/json.h"

void json_init(struct json *j, struct slice s)
{
	*j = (struct json){.at = s.data, .end = s.data + s.size};
	buf_init(&j->text, s.size * 3 + 16); /* one bad byte becomes three */
}

void json_fini(struct json *j)
{
	buf_fini(&j->text);
}

static void skip_space(struct json *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
		j->at++;
}

bool json_at_end(struct json *j)
{
	skip_space(j);
	return j->at == j->end;
}

static void put_rune(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_put_byte(b, (uint8_t)c);
	} else if (c < 0x800) {
		buf_put_byte(b, (uint8_t)(0xc0 | c >> 6));
		buf_put_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_put_byte(b, (uint8_t)(0xe0 | c >> 12));
		buf_put_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_put_byte(b, (uint8_t)(0xf0 | c >> 18));
		buf_put_byte(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static bool hex4(struct json *j, uint32_t *out)
{
	uint32_t v = 0;

	if (j->end - j->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		uint8_t c = j->at[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	j->at += 4;
	*out = v;
	return true;
}

/* Behind "\u". A surrogate without its partner becomes U+FFFD, as in Go. */
static bool unicode_escape(struct json *j)
{
	uint32_t c, low;

	if (!hex4(j, &c))
		return false;
	if (c >= 0xd800 && c < 0xdc00 && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u') {
		const uint8_t *before = j->at;

		j->at += 2;
		if (!hex4(j, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000)
			c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
		else
			j->at = before;
	}
	put_rune(&j->text, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return true;
}

static bool escape(struct json *j)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	if (j->at == j->end)
		return false;

	uint8_t c = *j->at++;

	if (c == 'u')
		return unicode_escape(j);

	const char *p = c ? strchr(from, c) : NULL;

	if (!p)
		return false;
	buf_put_byte(&j->text, (uint8_t)to[p - from]);
	return true;
}

/* Bytes of the UTF-8 character at p; 0 if there is none. */
static size_t utf8_length(const uint8_t *p, const uint8_t *end)
{
	size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	return n && (size_t)(end - p) >= n && slice_is_utf8(slice_of(p, n)) ? n : 0;
}

static enum json_token string(struct json *j)
{
	buf_clear(&j->text);
	for (;;) {
		if (j->at == j->end || *j->at < 0x20)
			return JSON_ERROR;
		if (*j->at == '"') {
			j->at++;
			return buf_failed(&j->text) ? JSON_ERROR : JSON_STRING;
		}
		if (*j->at == '\\') {
			j->at++;
			if (!escape(j))
				return JSON_ERROR;
			continue;
		}

		size_t n = utf8_length(j->at, j->end);

		if (n)
			buf_put(&j->text, j->at, n);
		else
			put_rune(&j->text, 0xfffd);
		j->at += n ? n : 1;
	}
}

static bool digits(struct json *j)
{
	const uint8_t *before = j->at;

	while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
		j->at++;
	return j->at > before;
}

static enum json_token number(struct json *j)
{
	const uint8_t *begin = j->at;

	if (*j->at == '-')
		j->at++;
	if (j->at < j->end && *j->at == '0')
		j->at++;
	else if (!digits(j))
		return JSON_ERROR;
	if (j->at < j->end && *j->at == '.') {
		j->at++;
		if (!digits(j))
			return JSON_ERROR;
	}
	if (j->at < j->end && (*j->at | 0x20) == 'e') {
		j->at++;
		if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
			j->at++;
		if (!digits(j))
			return JSON_ERROR;
	}
	j->number = slice_of(begin, (size_t)(j->at - begin));
	return JSON_NUMBER;
}

static enum json_token word(struct json *j, const char *w, enum json_token t)
{
	size_t n = strlen(w);

	if ((size_t)(j->end - j->at) < n || memcmp(j->at, w, n))
		return JSON_ERROR;
	j->at += n;
	return t;
}

enum json_token json_value(struct json *j)
{
	if (json_at_end(j))
		return JSON_END;
	switch (*j->at) {
	case '{':
		j->at++;
		return JSON_OBJECT;
	case '[':
		j->at++;
		return JSON_ARRAY;
	case '"':
		j->at++;
		return string(j);
	case 't':
		return word(j, "true", JSON_TRUE);
	case 'f':
		return word(j, "false", JSON_FALSE);
	case 'n':
		return word(j, "null", JSON_NULL);
	default:
		return *j->at == '-' || (*j->at >= '0' && *j->at <= '9') ? number(j) : JSON_ERROR;
	}
}

/* What stands in front of the next item: true = an item follows; false = the closing character was taken, or an error.
 */
static bool separator(struct json *j, bool first, uint8_t close, err_t *err)
{
	*err = ERR_MALFORMED;
	if (json_at_end(j))
		return false;
	if (*j->at == close) {
		j->at++;
		*err = OK;
		return false;
	}
	if (!first) {
		if (*j->at != ',')
			return false;
		j->at++;
	}
	*err = OK;
	return true;
}

bool json_name(struct json *j, bool first, err_t *err)
{
	if (!separator(j, first, '}', err))
		return false;
	if (json_value(j) != JSON_STRING || json_at_end(j) || *j->at != ':') {
		*err = ERR_MALFORMED;
		return false;
	}
	j->at++;
	return true;
}

bool json_element(struct json *j, bool first, err_t *err)
{
	return separator(j, first, ']', err);
}

static err_t skip(struct json *j, enum json_token t, int depth)
{
	err_t err = OK;
	bool first = true;

	if (t == JSON_ERROR || t == JSON_END || depth > JSON_DEPTH_MAX)
		return ERR_MALFORMED;
	if (t != JSON_OBJECT && t != JSON_ARRAY)
		return OK;
	while (t == JSON_OBJECT ? json_name(j, first, &err) : json_element(j, first, &err)) {
		first = false;
		err = skip(j, json_value(j), depth + 1);
		if (err)
			return err;
	}
	return err;
}

err_t json_skip(struct json *j, enum json_token t)
{
	return skip(j, t, 0);
}

err_t json_u64(const struct json *j, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < j->number.size; i++) {
		uint8_t c = j->number.data[i];

		if (c < '0' || c > '9' || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, c - '0', &v))
			return ERR_MALFORMED;
	}
	*out = v;
	return OK;
}

static void put_escaped(struct buf *out, uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *p = strchr(from, c);

	if (p)
		buf_printf(out, "\\%c", to[p - from]);
	else
		buf_printf(out, "\\u%04x", c);
}

void json_put_string(struct buf *out, const char *s)
{
	const uint8_t *at = (const uint8_t *)s, *end = at + strlen(s);

	buf_put_byte(out, '"');
	while (at < end) {
		size_t n = utf8_length(at, end);

		if (!n) {
			buf_put(out, "\\ufffd", 6);
			at++;
		} else if (n == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) {
			buf_put(out, at[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
			at += n;
		} else if (n == 1 &&
			   (*at < 0x20 || *at == '"' || *at == '\\' || *at == '<' || *at == '>' || *at == '&')) {
			put_escaped(out, *at++);
		} else {
			buf_put(out, at, n);
			at += n;
		}
	}
	buf_put_byte(out, '"');
}
