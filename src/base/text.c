#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#define US 1000ll
#define MS (1000 * US)
#define S (1000 * MS)

/* value/unit with up to nine decimals, trailing zeros cut. */
static int put_fraction(char *out, uint64_t value, uint64_t unit, const char *suffix)
{
	char frac[16];
	int width = 0;

	for (uint64_t u = unit; u > 1; u /= 10)
		width++;
	snprintf(frac, sizeof(frac), "%0*llu", width, (unsigned long long)(value % unit));
	while (width > 0 && frac[width - 1] == '0')
		width--;
	if (!width)
		return sprintf(out, "%llu%s", (unsigned long long)(value / unit), suffix);
	return sprintf(out, "%llu.%.*s%s", (unsigned long long)(value / unit), width, frac, suffix);
}

const char *text_duration(char out[TEXT_DURATION_SIZE], int64_t ns)
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	char *p = out;

	if (ns < 0)
		*p++ = '-';
	if (u < (uint64_t)US && u) {
		sprintf(p, "%lluns", (unsigned long long)u);
	} else if (u < (uint64_t)MS && u) {
		put_fraction(p, u, (uint64_t)US, "µs");
	} else if (u < (uint64_t)S && u) {
		put_fraction(p, u, (uint64_t)MS, "ms");
	} else {
		uint64_t minutes = u / (60 * (uint64_t)S);

		if (minutes >= 60)
			p += sprintf(p, "%lluh", (unsigned long long)(minutes / 60));
		if (minutes)
			p += sprintf(p, "%llum", (unsigned long long)(minutes % 60));
		put_fraction(p, u % (60 * (uint64_t)S), (uint64_t)S, "s");
	}
	return out;
}

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000},            /* U+00B5 micro sign */
	{"\xce\xbcs", 1000},            /* U+03BC Greek mu */
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60000000000},
	{"h", 3600000000000},
};

/* The unit ends where the next number begins. 0: unknown. */
static uint64_t unit_ns(const char *s, size_t *size)
{
	size_t n = strcspn(s, ".0123456789");

	*size = n;
	for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
		if (strlen(units[i].name) == n && !memcmp(units[i].name, s, n))
			return units[i].ns;
	}
	return 0;
}

#define LIMIT ((uint64_t)1 << 63)

/* One "1.5h" term at *s, added to *sum; text is what Go says when it is wrong, NULL when it is right. */
static const char *parse_term(const char **s, uint64_t *sum)
{
	uint64_t whole = 0, frac = 0, unit;
	double scale = 1;       /* may pass 2^64: zeros behind the point cost no digits of frac */
	bool digits = false, full = false;
	size_t size;

	for (; isdigit((unsigned char)**s); (*s)++, digits = true) {
		if (whole > LIMIT / 10)
			return "invalid duration";
		whole = whole * 10 + (uint64_t)(**s - '0');
		if (whole > LIMIT)
			return "invalid duration";
	}
	if (**s == '.') {
		for ((*s)++; isdigit((unsigned char)**s); (*s)++, digits = true) {
			if (full || frac > (LIMIT - 1) / 10) {
				full = true;
				continue;
			}
			frac = frac * 10 + (uint64_t)(**s - '0');
			scale *= 10;
		}
	}
	if (!digits)
		return "invalid duration";
	unit = unit_ns(*s, &size);
	if (!size)
		return "missing unit in duration";
	if (!unit)
		return "unknown unit";
	if (whole > LIMIT / unit)
		return "invalid duration";
	whole *= unit;
	if (frac)
		whole += (uint64_t)((double)frac * ((double)unit / scale));
	*s += size;
	*sum += whole;
	return whole > LIMIT || *sum > LIMIT ? "invalid duration" : NULL;
}

err_t text_parse_duration(const char *text, int64_t *ns_out, struct why *why)
{
	const char *s = text, *bad = NULL;
	struct buf quoted, unit;
	bool negative = *s == '-';
	uint64_t sum = 0;
	size_t size;

	if (*s == '-' || *s == '+')
		s++;
	if (!strcmp(s, "0")) {
		*ns_out = 0;
		return OK;
	}
	if (!*s)
		bad = "invalid duration";
	while (*s && !bad)
		bad = parse_term(&s, &sum);
	if (!bad && sum > LIMIT - !negative)
		bad = "invalid duration";
	if (!bad) {
		*ns_out = (int64_t)(negative ? 0 - sum : sum);
		return OK;
	}
	buf_init(&quoted, 512);
	text_quote(&quoted, slice_str(text));
	buf_init(&unit, 256);
	if (!strcmp(bad, "unknown unit")) {
		unit_ns(s, &size);
		buf_put(&unit, " ", 1);
		text_quote(&unit, slice_of(s, size));
		buf_put(&unit, " in duration", 12);
	}
	why_set(why, ERR_INVALID, "time: %s%.*s %.*s", bad, SLICE_ARG(buf_slice(&unit)), SLICE_ARG(buf_slice(&quoted)));
	buf_fini(&unit);
	buf_fini(&quoted);
	return ERR_INVALID;
}

bool text_parse_bool(const char *s, bool *out)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};

	for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
		if (!strcmp(s, yes[i]))
			return *out = true, true;
		if (!strcmp(s, no[i]))
			return *out = false, true;
	}
	return false;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 10;
	return 36;
}

/* The notation's prefix: *s moves behind it. A plain leading 0 stays, so that an underscore may follow it. */
static int number_base(const char **s)
{
	if ((*s)[0] != '0' || !(*s)[1])
		return 10;
	switch ((*s)[1]) {
	case 'x': case 'X':
		*s += 2;
		return 16;
	case 'o': case 'O':
		*s += 2;
		return 8;
	case 'b': case 'B':
		*s += 2;
		return 2;
	default:
		return 8;
	}
}

enum text_number text_parse_uint(const char *s, int bits, uint64_t *out)
{
	const char *start = s;
	int base = number_base(&s);
	bool digit_before = s != start, any = false, range = false;
	uint64_t v = 0, max = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;

	for (; *s; s++) {
		if (*s == '_') {
			if (!digit_before)
				return TEXT_NUMBER_SYNTAX;
			digit_before = false;
			continue;
		}
		if (digit_value(*s) >= base)
			return TEXT_NUMBER_SYNTAX;
		if (v > (UINT64_MAX - (uint64_t)digit_value(*s)) / (uint64_t)base)
			range = true;
		else
			v = v * (uint64_t)base + (uint64_t)digit_value(*s);
		digit_before = any = true;
	}
	if (!any || !digit_before)
		return TEXT_NUMBER_SYNTAX;
	if (range || v > max)
		return TEXT_NUMBER_RANGE;
	*out = v;
	return TEXT_NUMBER_OK;
}

enum text_number text_parse_int(const char *s, int bits, int64_t *out)
{
	bool negative = *s == '-';
	uint64_t v, limit = (uint64_t)1 << (bits - 1);
	enum text_number n = text_parse_uint(s + (*s == '-' || *s == '+'), 64, &v);

	if (n != TEXT_NUMBER_OK)
		return n;
	if (v > limit - !negative)
		return TEXT_NUMBER_RANGE;
	*out = (int64_t)(negative ? 0 - v : v);
	return TEXT_NUMBER_OK;
}

const char *text_bytes(char out[TEXT_BYTES_SIZE], uint64_t size_bytes)
{
	static const char *const names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)size_bytes;
	size_t i = 0;

	if (size_bytes < 10) {
		snprintf(out, TEXT_BYTES_SIZE, "%llu B", (unsigned long long)size_bytes);
		return out;
	}
	while (v >= 1000 && i + 1 < ARRAY_COUNT(names)) {
		v /= 1000;
		i++;
	}
	v = (double)(uint64_t)(v * 10 + 0.5) / 10;
	snprintf(out, TEXT_BYTES_SIZE, v < 10 ? "%.1f %s" : "%.0f %s", v, names[i]);
	return out;
}

/* Bytes of the well-formed UTF-8 sequence at the front, 0 if there is none. */
static size_t rune_size(struct slice s)
{
	for (size_t n = 1; n <= 4 && n <= s.size; n++) {
		if (slice_is_utf8(slice_of(s.data, n)))
			return n;
	}
	return 0;
}

const char *text_errno(char out[TEXT_ERRNO_SIZE], int sys_errno)
{
	snprintf(out, TEXT_ERRNO_SIZE, "%s", strerrordesc_np(sys_errno) ? strerrordesc_np(sys_errno) : "errno unknown");
	out[0] = (char)tolower((unsigned char)out[0]);
	return out;
}

struct runes {
	uint32_t first, last;
};

static int runes_cmp(const void *key, const void *range)
{
	const uint32_t *rune = key;
	const struct runes *r = range;

	return *rune < r->first ? -1 : *rune > r->last;
}

/* A well-formed sequence of two bytes at least. */
static uint32_t rune_of(struct slice s)
{
	uint32_t rune = s.data[0] & (0x7f >> s.size);

	for (size_t i = 1; i < s.size; i++)
		rune = rune << 6 | (s.data[i] & 0x3f);
	return rune;
}

static void quote_rune(struct buf *out, struct slice s)
{
	static const struct runes unprintable[] = {
#include "base/text_unprintable.h"
	};
	uint32_t rune = rune_of(s);

	if (!bsearch(&rune, unprintable, ARRAY_COUNT(unprintable), sizeof(unprintable[0]), runes_cmp))
		buf_put_slice(out, s);
	else
		buf_printf(out, rune > 0xffff ? "\\U%08x" : "\\u%04x", rune);
}

int text_base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void text_quote(struct buf *out, struct slice s)
{
	static const char named[] = "a\a" "b\b" "f\f" "n\n" "r\r" "t\t" "v\v" "\\\\" "\"\"";

	buf_put_byte(out, '"');
	for (size_t i = 0; i < s.size;) {
		uint8_t c = s.data[i];
		size_t n = rune_size(slice_of(s.data + i, s.size - i));
		const char *name = NULL;

		for (const char *p = named; *p && n == 1; p += 2)
			name = p[1] == (char)c ? p : name;
		if (name)
			buf_printf(out, "\\%c", *name);
		else if (!n || c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else if (n > 1)
			quote_rune(out, slice_of(s.data + i, n));
		else
			buf_put_byte(out, c);
		i += n ? n : 1;
	}
	buf_put_byte(out, '"');
}

void text_float(struct buf *out, double v)
{
	char digits[40];
	int exponent, precision = 0;

	if (isnan(v)) {
		buf_put(out, "NaN", 3);
		return;
	}
	if (isinf(v)) {
		buf_put(out, v > 0 ? "+Inf" : "-Inf", 4);
		return;
	}
	do
		snprintf(digits, sizeof(digits), "%.*e", precision, v);
	while (strtod(digits, NULL) != v && ++precision < 17);
	exponent = atoi(strchr(digits, 'e') + 1);
	if (v != 0 && (exponent < -4 || exponent >= 6))
		buf_put(out, digits, strlen(digits));
	else
		buf_printf(out, "%.*f", MAX(precision - exponent, 0), v);
}
