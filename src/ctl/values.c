/* Numbers in operands with Go's words for what is wrong with them, and text in the arena. */
#include <errno.h>
#include <stdarg.h>

#include "ctl/ctl_impl.h"

char *ctl_copy(struct ctl *c, const char *fmt, ...)
{
	va_list ap, again;
	char *out;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	out = arena_alloc(&c->arena, (size_t)n + 1);
	ASSERT(out);
	vsnprintf(out, (size_t)n + 1, fmt, again);
	va_end(again);
	return out;
}

const char *ctl_quoted(struct ctl *c, struct slice s)
{
	struct buf b;
	char *out;

	buf_init(&b, SIZE_MAX / 2);
	text_quote(&b, s);
	out = ctl_copy(c, "%.*s", SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
	return out;
}

static err_t number_error(struct why *why, const char *func, const char *s, const char *reason)
{
	struct buf q;

	buf_init(&q, SIZE_MAX / 2);
	text_quote(&q, slice_str(s));
	why_set(why, ERR_INVALID, "strconv.%s: parsing %.*s: %s", func, SLICE_ARG(buf_slice(&q)), reason);
	buf_fini(&q);
	return ERR_INVALID;
}

static bool all_digits(const char *s, int base)
{
	return s[0] && strspn(s, base == 16 ? "0123456789abcdefABCDEF" : "0123456789") == strlen(s);
}

err_t ctl_parse_int(const char *s, int base, int64_t *out, struct why *why)
{
	const char *digits = s[0] == '-' || s[0] == '+' ? s + 1 : s;

	if (!all_digits(digits, base))
		return number_error(why, "ParseInt", s, "invalid syntax");
	errno = 0;
	*out = strtoll(s, NULL, base);
	return errno == ERANGE ? number_error(why, "ParseInt", s, "value out of range") : OK;
}

err_t ctl_parse_uint(const char *s, int base, uint64_t *out, struct why *why)
{
	if (!all_digits(s, base))
		return number_error(why, "ParseUint", s, "invalid syntax");
	errno = 0;
	*out = strtoull(s, NULL, base);
	return errno == ERANGE ? number_error(why, "ParseUint", s, "value out of range") : OK;
}
