/* JSON syntax (RFC 8259) as a state machine over bytes; brackets are a stack of bits. encoding/json, through which Go's
 * gateway reads a body first, takes the same and does not look at UTF-8 either.
 *
 *	BEFORE --"--> STRING --"--> (end of value)        end of value: VALUE_END in a bracket, else done
 *	       --{--> FIRST_KEY --"--> KEY --"--> COLON --:--> BEFORE
 *	       --[--> FIRST_ELEMENT (BEFORE that may close)
 *	VALUE_END --,--> NEXT_KEY in an object, BEFORE in an array */
#include <stdio.h>

#include "base/text.h"
#include "pb/json.h"

enum {
	BEFORE, FIRST_ELEMENT, FIRST_KEY, NEXT_KEY, COLON, VALUE_END,
	STRING, STRING_ESCAPE, STRING_HEX1, STRING_HEX2, STRING_HEX3, STRING_HEX4,
	KEY, KEY_ESCAPE, KEY_HEX1, KEY_HEX2, KEY_HEX3, KEY_HEX4,
	LITERAL,
	NUMBER_MINUS, NUMBER_ZERO, NUMBER_INT, NUMBER_POINT, NUMBER_FRACTION, NUMBER_E, NUMBER_SIGN, NUMBER_EXPONENT,
};

enum step { MORE, DONE, DONE_BEFORE, BAD };     /* DONE_BEFORE: the byte is not part of the value */

void json_scan_init(struct json_scan *s)
{
	s->state = BEFORE;
	s->depth = 0;
}

bool json_scan_is_idle(const struct json_scan *s)
{
	return s->state == BEFORE && s->depth == 0;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* where: Go's words for the state that c does not fit into. */
static enum step bad(struct json_scan *s, const char *where)
{
	s->where = where;
	return BAD;
}

static enum step value_end(struct json_scan *s)
{
	s->state = VALUE_END;
	return s->depth ? MORE : DONE;
}

static enum step bracket_open(struct json_scan *s, bool object)
{
	uint64_t bit = 1ull << s->depth % 64;

	if (s->depth == JSON_DEPTH_MAX)
		return bad(s, "exceeded max depth");
	if (object)
		s->in_object[s->depth / 64] |= bit;
	else
		s->in_object[s->depth / 64] &= ~bit;
	s->depth++;
	s->state = object ? FIRST_KEY : FIRST_ELEMENT;
	return MORE;
}

static bool in_object(const struct json_scan *s)
{
	return s->in_object[(s->depth - 1) / 64] >> (s->depth - 1) % 64 & 1;
}

static const char *after_value(const struct json_scan *s)
{
	return in_object(s) ? "after object key:value pair" : "after array element";
}

static enum step bracket_close(struct json_scan *s, uint8_t c)
{
	if ((c == '}') != in_object(s))
		return bad(s, after_value(s));
	s->depth--;
	return value_end(s);
}

static enum step literal_start(struct json_scan *s, const char *name)
{
	s->literal = name;
	s->literal_seen = 1;
	s->state = LITERAL;
	return MORE;
}

static enum step value_start(struct json_scan *s, uint8_t c)
{
	switch (c) {
	case '{': return bracket_open(s, true);
	case '[': return bracket_open(s, false);
	case '"': s->state = STRING; return MORE;
	case '-': s->state = NUMBER_MINUS; return MORE;
	case '0': s->state = NUMBER_ZERO; return MORE;
	case 't': return literal_start(s, "true");
	case 'f': return literal_start(s, "false");
	case 'n': return literal_start(s, "null");
	default:
		if (!is_digit(c))
			return bad(s, "looking for beginning of value");
		s->state = NUMBER_INT;
		return MORE;
	}
}

static enum step between(struct json_scan *s, uint8_t c)
{
	if (is_space(c))
		return MORE;
	switch (s->state) {
	case FIRST_ELEMENT:
		return c == ']' ? bracket_close(s, c) : value_start(s, c);
	case FIRST_KEY:
	case NEXT_KEY:
		if (c == '}' && s->state == FIRST_KEY)
			return bracket_close(s, c);
		s->state = KEY;
		return c == '"' ? MORE : bad(s, "looking for beginning of object key string");
	case COLON:
		s->state = BEFORE;
		return c == ':' ? MORE : bad(s, "after object key");
	case VALUE_END:
		if (c == ',') {
			s->state = in_object(s) ? NEXT_KEY : BEFORE;
			return MORE;
		}
		return c == '}' || c == ']' ? bracket_close(s, c) : bad(s, after_value(s));
	default:
		return value_start(s, c);
	}
}

/* The string states, and the same ones of keys KEY - STRING further on. */
static enum step in_string(struct json_scan *s, uint8_t c)
{
	uint8_t base = s->state >= KEY ? KEY : STRING;

	if (s->state == base) {
		if (c == '"' && base == STRING)
			return value_end(s);
		if (c == '"')
			s->state = COLON;
		else if (c == '\\')
			s->state = base + (STRING_ESCAPE - STRING);
		return c < ' ' ? bad(s, "in string literal") : MORE;
	}
	if (s->state == base + (STRING_ESCAPE - STRING)) {
		if (c == 'u') {
			s->state = base + (STRING_HEX1 - STRING);
			return MORE;
		}
		s->state = base;
		return c && strchr("\"\\/bfnrt", c) ? MORE : bad(s, "in string escape code");
	}
	s->state = s->state == base + (STRING_HEX4 - STRING) ? base : s->state + 1;
	return is_hex(c) ? MORE : bad(s, "in \\u hexadecimal character escape");
}

/* Behind a whole number: c belongs to what follows. */
static enum step number_end(struct json_scan *s, uint8_t c)
{
	return value_end(s) == DONE ? DONE_BEFORE : between(s, c);
}

static enum step in_number(struct json_scan *s, uint8_t c)
{
	static const uint8_t on_digit[] = {
		[NUMBER_INT] = NUMBER_INT, [NUMBER_POINT] = NUMBER_FRACTION, [NUMBER_FRACTION] = NUMBER_FRACTION,
		[NUMBER_E] = NUMBER_EXPONENT, [NUMBER_SIGN] = NUMBER_EXPONENT, [NUMBER_EXPONENT] = NUMBER_EXPONENT,
	};
	bool whole = s->state == NUMBER_ZERO || s->state == NUMBER_INT;

	if (s->state == NUMBER_MINUS) {
		s->state = c == '0' ? NUMBER_ZERO : NUMBER_INT;
		return is_digit(c) ? MORE : bad(s, "in numeric literal");
	}
	if (is_digit(c) && s->state != NUMBER_ZERO)
		s->state = on_digit[s->state];
	else if (c == '.' && whole)
		s->state = NUMBER_POINT;
	else if ((c == 'e' || c == 'E') && (whole || s->state == NUMBER_FRACTION))
		s->state = NUMBER_E;
	else if ((c == '+' || c == '-') && s->state == NUMBER_E)
		s->state = NUMBER_SIGN;
	else if (whole || s->state == NUMBER_FRACTION || s->state == NUMBER_EXPONENT)
		return number_end(s, c);
	else
		return bad(s, s->state == NUMBER_POINT ? "after decimal point in numeric literal" : "in exponent of numeric literal");
	return MORE;
}

static enum step step(struct json_scan *s, uint8_t c)
{
	if (s->state < STRING)
		return between(s, c);
	if (s->state < LITERAL)
		return in_string(s, c);
	if (s->state > LITERAL)
		return in_number(s, c);
	if (c != (uint8_t)s->literal[s->literal_seen])
		return bad(s, NULL);
	return s->literal[++s->literal_seen] ? MORE : value_end(s);
}

err_t json_scan_why(const struct json_scan *s, uint8_t c, struct why *why)
{
	uint8_t rune[2] = {c < 0x80 ? c : (uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 0x3f))};
	char where[64];
	struct buf quoted;
	err_t err;

	if (!s->where)
		snprintf(where, sizeof(where), "in literal %s (expecting '%c')", s->literal, s->literal[s->literal_seen]);
	buf_init(&quoted, 64);
	if (c == '\'' || c == '"')
		buf_printf(&quoted, "x%sx", c == '"' ? "\"" : "\\'");
	else
		text_quote(&quoted, slice_of(rune, c < 0x80 ? 1 : 2));
	err = why_set(why, ERR_INVALID, "invalid character '%.*s' %s", (int)quoted.size - 2, (const char *)quoted.data + 1,
		      s->where ? s->where : where);
	buf_fini(&quoted);
	return err;
}

err_t json_scan(struct json_scan *s, struct slice part, size_t *used)
{
	for (size_t i = 0; i < part.size; i++) {
		enum step what = step(s, part.data[i]);

		if (what == MORE)
			continue;
		*used = what == DONE ? i + 1 : i;
		return what == BAD ? ERR_INVALID : OK;
	}
	*used = part.size;
	return ERR_AGAIN;
}
