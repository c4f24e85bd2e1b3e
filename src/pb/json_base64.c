#include "pb/json.h"

#include "base/text.h"

void base64_encode(struct slice s, struct buf *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t *at = buf_add(out, (s.size + 2) / 3 * 4);
	size_t i = 0;

	if (!at)
		return;
	for (; i + 3 <= s.size; i += 3) {
		uint32_t v = (uint32_t)s.data[i] << 16 | (uint32_t)s.data[i + 1] << 8 | s.data[i + 2];

		*at++ = (uint8_t)digits[v >> 18];
		*at++ = (uint8_t)digits[v >> 12 & 63];
		*at++ = (uint8_t)digits[v >> 6 & 63];
		*at++ = (uint8_t)digits[v & 63];
	}
	if (i < s.size) {
		bool two = i + 2 == s.size;
		uint32_t v = (uint32_t)s.data[i] << 16 | (two ? (uint32_t)s.data[i + 1] << 8 : 0);

		*at++ = (uint8_t)digits[v >> 18];
		*at++ = (uint8_t)digits[v >> 12 & 63];
		*at++ = two ? (uint8_t)digits[v >> 6 & 63] : '=';
		*at++ = '=';
	}
}

static int digit_value(uint8_t c, bool url)
{
	if (url && (c == '+' || c == '/'))
		return -1;
	if (url && (c == '-' || c == '_'))
		return c == '-' ? 62 : 63;
	return text_base64_digit(c);
}

/* protojson chooses the alphabet by the presence of '-' or '_', and padding by the length; encoding/base64 skips line
 * breaks and does not look at the left-over bits of the last digit. */
bool base64_decode(struct slice s, struct buf *out)
{
	bool url = s.size && (memchr(s.data, '-', s.size) || memchr(s.data, '_', s.size));
	bool padded = s.size % 4 == 0;
	size_t digits = 0, pads = 0;
	uint32_t bits = 0;

	for (size_t i = 0; i < s.size; i++) {
		uint8_t c = s.data[i];
		int v;

		if (c == '\r' || c == '\n')
			continue;
		if (c == '=' && padded && digits % 4 >= 2 && pads < 4 - digits % 4) {
			pads++;
			continue;
		}
		v = digit_value(c, url);
		if (v < 0 || pads)
			return false;
		bits = bits << 6 | (uint32_t)v;
		if (++digits % 4 == 0) {
			uint8_t three[] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};

			buf_put(out, three, 3);
		}
	}
	if (digits % 4 == 1 || (padded && (digits + pads) % 4 != 0))
		return false;
	if (digits % 4 == 2) {
		buf_put_byte(out, (uint8_t)(bits >> 4));
	} else if (digits % 4 == 3) {
		buf_put_byte(out, (uint8_t)(bits >> 10));
		buf_put_byte(out, (uint8_t)(bits >> 2));
	}
	return true;
}
