/* Numbers and strings of JSON: what lies within one token. */
#include "pb/json_inl.h"

/* A number taken apart: digits of the integer without a leading 0, of the fraction without trailing ones. */
struct number {
	bool negative;
	struct slice integer;
	struct slice fraction;
	int exponent;
	const uint8_t *end;
};

static bool is_delimiter(uint8_t c)
{
	return !(c == '-' || c == '+' || c == '.' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		 (c >= 'A' && c <= 'Z'));
}

static struct slice digits_at(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return slice_of(from, (size_t)(p - from));
}

/* p: behind the e. */
static bool exponent_parse(const uint8_t *p, const uint8_t *end, struct number *n)
{
	bool negative = p < end && *p == '-';
	struct slice digits;
	long v = 0;

	p += p < end && (*p == '-' || *p == '+');
	digits = digits_at(p, end);
	for (size_t i = 0; i < digits.size; i++)
		v = MIN(v * 10 + (digits.data[i] - '0'), INT32_MAX);
	n->exponent = (int)(negative ? -v : v);
	n->end = p + digits.size;
	return digits.size > 0;
}

static bool number_parse(struct slice s, struct number *n)
{
	const uint8_t *p = s.data, *end = s.data + s.size;

	*n = (struct number){.negative = p < end && *p == '-'};
	p += n->negative;
	n->integer = digits_at(p, end);
	if (!n->integer.size || (n->integer.data[0] == '0' && n->integer.size > 1))
		return false;
	p += n->integer.size;
	if (n->integer.data[0] == '0')
		n->integer.size = 0;
	if (end - p >= 2 && *p == '.' && p[1] >= '0' && p[1] <= '9') {
		n->fraction = digits_at(p + 1, end);
		p += 1 + n->fraction.size;
		while (n->fraction.size && n->fraction.data[n->fraction.size - 1] == '0')
			n->fraction.size--;
	}
	n->end = p;
	if (p < end && (*p == 'e' || *p == 'E') && !exponent_parse(p + 1, end, n))
		return false;
	return n->end == end || is_delimiter(*n->end);
}

/* The integer that n is; false if it is none or has over 20 digits. */
static bool number_magnitude(const struct number *n, uint64_t *out)
{
	long digits = (long)n->integer.size + n->exponent;
	uint64_t v = 0;

	if (!n->integer.size && !n->fraction.size) {
		*out = 0;
		return true;
	}
	if (n->exponent >= 0 ? (long)n->fraction.size > n->exponent : n->fraction.size != 0)
		return false;
	if (digits < 0 || digits > 20)
		return false;
	for (size_t i = (size_t)digits; i < n->integer.size; i++)       /* cut off by a negative exponent */
		if (n->integer.data[i] != '0')
			return false;
	for (size_t i = 0; i < (size_t)digits; i++) {
		size_t k = i - n->integer.size;
		uint8_t c = i < n->integer.size ? n->integer.data[i] : k < n->fraction.size ? n->fraction.data[k] : '0';

		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, c - '0', &v))
			return false;
	}
	*out = v;
	return true;
}

static bool number_fits(const struct number *n, ProtobufCType type, uint64_t v)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT64: return !n->negative || v == 0;
	case PROTOBUF_C_TYPE_UINT32: return v <= UINT32_MAX && (!n->negative || v == 0);
	case PROTOBUF_C_TYPE_INT64: return v <= (uint64_t)INT64_MAX + n->negative;
	default: return v <= (uint64_t)INT32_MAX + n->negative;
	}
}

bool json_integer(struct slice s, ProtobufCType type, size_t *used, uint64_t *out)
{
	struct number n;
	uint64_t v;

	if (!number_parse(s, &n) || !number_magnitude(&n, &v) || !number_fits(&n, type, v))
		return false;
	*used = (size_t)(n.end - s.data);
	*out = n.negative ? 0 - v : v;
	return true;
}

static uint32_t hex_4(const uint8_t *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] & 0xdf) - 'A' + 10);
	return v;
}

static bool is_surrogate(uint32_t v)
{
	return v >= 0xd800 && v < 0xe000;
}

const uint8_t *json_half_surrogate(struct slice json)
{
	const uint8_t *p = json.data, *end = json.data + json.size;

	while (p < end && (p = memchr(p, '\\', (size_t)(end - p)))) {
		if (p[1] != 'u') {
			p += 2;
		} else if (!is_surrogate(hex_4(p + 2))) {
			p += 6;
		} else {
			uint32_t low = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex_4(p + 8) : 0;

			if (hex_4(p + 2) >= 0xdc00 || low < 0xdc00 || !is_surrogate(low))
				return p + 6;
			p += 12;
		}
	}
	return NULL;
}

static void put_rune(struct buf *b, uint32_t r)
{
	static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t size = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
	uint8_t bytes[4];

	for (size_t i = size; i-- > 1; r >>= 6)
		bytes[i] = (uint8_t)(0x80 | (r & 0x3f));
	bytes[0] = (uint8_t)(first[size] | r);
	buf_put(b, bytes, size);
}

/* p: behind "\u"; returns behind the escape, or behind both of a pair. */
static const uint8_t *put_escape_u(struct buf *b, const uint8_t *p)
{
	uint32_t r = hex_4(p);

	p += 4;
	if (is_surrogate(r)) {
		r = 0x10000 + ((r - 0xd800) << 10) + (hex_4(p + 2) - 0xdc00);
		p += 6;
	}
	put_rune(b, r);
	return p;
}

void json_unescape(struct slice raw, struct buf *b)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const uint8_t *p = raw.data, *end = raw.data + raw.size;

	buf_clear(b);
	while (p < end) {
		const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));

		stop = stop ? stop : end;
		buf_put(b, p, (size_t)(stop - p));
		if (stop == end)
			break;
		if (stop[1] == 'u') {
			p = put_escape_u(b, stop + 2);
		} else {
			buf_put_byte(b, (uint8_t)values[strchr(names, stop[1]) - names]);
			p = stop + 2;
		}
	}
}
