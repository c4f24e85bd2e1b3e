/* What callers say of their traces: W3C Trace Context, as Go's SDK (otel v1.43, propagation/trace_context.go and
 * trace/tracestate.go) takes it.
 *
 *	traceparent   version "-" trace id (32) "-" span id (16) "-" flags (2), in lower case hex
 *	tracestate    key "=" value *("," key "=" value), spaces and tabs around a member */
#include "trace/trace.h"

enum { PARENT_SIZE = 55, STATE_MEMBERS_MAX = 32, VALUE_MAX = 256, KEY_MAX = 256, TENANT_MAX = 241, SYSTEM_MAX = 14 };

static int nibble(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes 2 * size digits and the dash behind them, which only the end of the text may lack. */
static bool take_hex(struct slice *s, uint8_t *out, size_t size)
{
	if (s->size < 2 * size || (s->size > 2 * size && s->data[2 * size] != '-'))
		return false;
	for (size_t i = 0; i < size; i++) {
		int high = nibble(s->data[2 * i]), low = nibble(s->data[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	size = MIN(2 * size + 1, s->size);
	*s = slice_of(s->data + size, s->size - size);
	return true;
}

static bool is_zero(const uint8_t *p, size_t size)
{
	uint8_t all = 0;

	for (size_t i = 0; i < size; i++)
		all |= p[i];
	return !all;
}

bool trace_parent_parse(struct slice text, struct trace_parent *out)
{
	struct slice s = text;
	struct trace_parent p;
	uint8_t version, flags;

	if (!take_hex(&s, &version, 1) || version == 0xff || !take_hex(&s, p.trace_id, 16) || !take_hex(&s, p.span_id, 8) ||
	    !take_hex(&s, &flags, 1))
		return false;
	/* Of version 0 there is nothing more, and no other flags. */
	if (version == 0 && (s.size || flags > 3))
		return false;
	if (is_zero(p.trace_id, 16) || is_zero(p.span_id, 8))
		return false;
	p.flags = flags & 3;
	*out = p;
	return true;
}

static bool is_alnum(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* First character as asked for, the others of lower case letters, digits and _-* and slash. */
static bool is_key_part(struct slice s, bool may_begin_with_digit, size_t size_max)
{
	if (!s.size || s.size > size_max || !is_alnum(s.data[0]) || (!may_begin_with_digit && s.data[0] < 'a'))
		return false;
	for (size_t i = 1; i < s.size; i++)
		if (!is_alnum(s.data[i]) && !memchr("_-*/", s.data[i], 4))
			return false;
	return true;
}

static bool is_key(struct slice s)
{
	const uint8_t *at = s.size ? memchr(s.data, '@', s.size) : NULL;
	size_t n = at ? (size_t)(at - s.data) : 0;

	if (!at)
		return is_key_part(s, false, KEY_MAX);
	return is_key_part(slice_of(s.data, n), true, TENANT_MAX) && is_key_part(slice_of(at + 1, s.size - n - 1), false, SYSTEM_MAX);
}

static bool is_value(struct slice s)
{
	if (!s.size || s.size > VALUE_MAX || s.data[s.size - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.size; i++)
		if (s.data[i] < ' ' || s.data[i] > '~' || s.data[i] == ',' || s.data[i] == '=')
			return false;
	return true;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_among(const struct slice *keys, size_t count, struct slice key)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(keys[i], key))
			return true;
	return false;
}

bool trace_state_parse(struct slice text, struct buf *out)
{
	struct slice keys[STATE_MEMBERS_MAX];
	size_t count = 0;

	while (text.size) {
		const uint8_t *comma = memchr(text.data, ',', text.size), *equals;
		size_t n = comma ? (size_t)(comma - text.data) : text.size;
		struct slice member = slice_of(text.data, n), key, value;

		text = slice_of(text.data + n + (comma != NULL), text.size - n - (comma != NULL));
		if (!member.size)
			continue;
		equals = memchr(member.data, '=', member.size);
		if (!equals)
			return false;
		key = slice_of(member.data, (size_t)(equals - member.data));
		value = slice_of(equals + 1, member.size - key.size - 1);
		while (key.size && is_space(key.data[0]))
			key = slice_of(key.data + 1, key.size - 1);
		while (value.size && is_space(value.data[value.size - 1]))
			value.size--;
		if (!is_key(key) || !is_value(value) || is_among(keys, count, key) || count == STATE_MEMBERS_MAX)
			return false;
		buf_printf(out, "%s%.*s=%.*s", count ? "," : "", SLICE_ARG(key), SLICE_ARG(value));
		keys[count++] = key;
	}
	return true;
}
