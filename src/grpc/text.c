/* Texts of the protocol: timeouts, percent-encoded messages, base64 of binary metadata. */
#include "grpc/grpc_impl.h"

#include "base/text.h"

/* TimeoutValue TimeoutUnit: at most 8 digits and one of H M S m u n. */
bool grpc_timeout_parse(struct slice s, uint64_t *timeout_ms)
{
	uint64_t n = 0;

	if (s.size < 2 || s.size > 9)
		return false;
	for (size_t i = 0; i + 1 < s.size; i++) {
		if (s.data[i] < '0' || s.data[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(s.data[i] - '0');
	}
	switch (s.data[s.size - 1]) {
	case 'H':
		n *= 3600ull * 1000;
		break;
	case 'M':
		n *= 60ull * 1000;
		break;
	case 'S':
		n *= 1000;
		break;
	case 'm':
		break;
	case 'u':
		n = (n + 999) / 1000;
		break;
	case 'n':
		n = (n + 999999) / 1000000;
		break;
	default:
		return false;
	}
	*timeout_ms = n;
	return true;
}

/* Size of the UTF-8 character at s, 0 if it is none. */
static size_t rune_size(struct slice s)
{
	size_t n = s.data[0] < 0x80 ? 1 : s.data[0] < 0xe0 ? 2 : s.data[0] < 0xf0 ? 3 : 4;

	return s.size >= n && slice_is_utf8(slice_of(s.data, n)) ? n : 0;
}

static size_t percent(uint8_t *out, uint8_t c)
{
	static const char hex[] = "0123456789ABCDEF";

	out[0] = '%';
	out[1] = (uint8_t)hex[c >> 4];
	out[2] = (uint8_t)hex[c & 15];
	return 3;
}

/* Printable ASCII but '%' stays; a byte that is no UTF-8 becomes U+FFFD, as in grpc-go. */
size_t grpc_message_encode(struct slice m, uint8_t *out)
{
	size_t o = 0;

	while (m.size) {
		size_t n = rune_size(m);

		if (n == 1 && m.data[0] >= ' ' && m.data[0] <= '~' && m.data[0] != '%') {
			out[o++] = m.data[0];
		} else if (n == 0) {
			o += percent(out + o, 0xef);
			o += percent(out + o, 0xbf);
			o += percent(out + o, 0xbd);
			n = 1;
		} else {
			for (size_t i = 0; i < n; i++)
				o += percent(out + o, m.data[i]);
		}
		m.data += n;
		m.size -= n;
	}
	return o;
}

bool grpc_bin_decode(struct slice v, uint8_t *out, size_t *out_size)
{
	size_t o = 0, n = v.size;
	uint32_t bits = 0;
	int have = 0;

	if (n % 4 == 0) { /* padded, if at all, to a multiple of 4 */
		for (int i = 0; i < 2 && n && v.data[n - 1] == '='; i++)
			n--;
	}
	for (size_t i = 0; i < n; i++) {
		int x = text_base64_digit(v.data[i]);

		if (x < 0) {
			*out_size = i;
			return false;
		}
		bits = bits << 6 | (uint32_t)x;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[o++] = (uint8_t)(bits >> have);
		}
	}
	*out_size = n % 4 == 1 ? n - 1 : o;
	return n % 4 != 1;
}

/* Go's %q for what can stand in a header: quotes, backslashes and bytes outside printable ASCII escaped. */
void grpc_quote(struct buf *out, struct slice s)
{
	buf_put_byte(out, '"');
	for (size_t i = 0; i < s.size; i++) {
		uint8_t c = s.data[i];

		if (c == '"' || c == '\\')
			buf_printf(out, "\\%c", c);
		else if (c == '\t')
			buf_printf(out, "\\t");
		else if (c < ' ' || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_put_byte(out, c);
	}
	buf_put_byte(out, '"');
}
