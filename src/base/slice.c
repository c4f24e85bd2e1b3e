#include "base/slice.h"

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct slice slice_trim(struct slice s)
{
	while (s.size && is_blank(s.data[0]))
		s = slice_of(s.data + 1, s.size - 1);
	while (s.size && is_blank(s.data[s.size - 1]))
		s.size--;
	return s;
}

/* Table 3-7 of the Unicode standard: what may follow a lead byte. */
bool slice_is_utf8(struct slice s)
{
	const uint8_t *p = s.data;
	const uint8_t *end = s.data + s.size;

	while (p < end) {
		uint64_t word;
		uint8_t lo = 0x80, hi = 0xbf;
		size_t more;

		if (end - p >= 8) {
			memcpy(&word, p, 8);
			if (!(word & 0x8080808080808080u)) {
				p += 8;
				continue;
			}
		}
		if (*p < 0x80) {
			p++;
			continue;
		}
		if (*p >= 0xc2 && *p <= 0xdf) {
			more = 1;
		} else if (*p >= 0xe0 && *p <= 0xef) {
			more = 2;
			lo = *p == 0xe0 ? 0xa0 : lo;
			hi = *p == 0xed ? 0x9f : hi;
		} else if (*p >= 0xf0 && *p <= 0xf4) {
			more = 3;
			lo = *p == 0xf0 ? 0x90 : lo;
			hi = *p == 0xf4 ? 0x8f : hi;
		} else {
			return false;
		}
		if ((size_t)(end - p) <= more || p[1] < lo || p[1] > hi)
			return false;
		for (size_t i = 2; i <= more; i++)
			if ((p[i] & 0xc0) != 0x80)
				return false;
		p += more + 1;
	}
	return true;
}
