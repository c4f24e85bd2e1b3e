#include "out/utf8.h"

#include "base/mem.h"
#include "out/out.h"

size_t utf8_next(struct slice s, size_t at, uint32_t *code)
{
	static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};

	for (size_t n = 1; n <= 4 && n <= s.size - at; n++) {
		if (!slice_is_utf8(slice_of(s.data + at, n)))
			continue;
		*code = s.data[at] & lead_bits[n];
		for (size_t i = 1; i < n; i++)
			*code = *code << 6 | (s.data[at + i] & 0x3f);
		return n;
	}
	return 0;
}

struct range {
	uint32_t from, to;
};

static bool within(const struct range *r, size_t count, uint32_t code)
{
	for (size_t i = 0; i < count; i++) {
		if (code >= r[i].from && code <= r[i].to)
			return true;
	}
	return false;
}

/* Unicode's East Asian Width W and F, and what stands on the character before; the blocks, not every hole in them. */
static size_t columns_of(uint32_t code)
{
	static const struct range none[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x300, 0x36f},  {0x200b, 0x200f},
					    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};
	static const struct range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xac00, 0xd7a3},
					    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6},
					    {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

	if (within(none, ARRAY_COUNT(none), code))
		return 0;
	return within(wide, ARRAY_COUNT(wide), code) ? 2 : 1;
}

size_t out_text_columns(struct slice s)
{
	size_t columns = 0;

	for (size_t at = 0; at < s.size;) {
		uint32_t code;
		size_t n = utf8_next(s, at, &code);

		columns += n ? columns_of(code) : 1;
		at += n ? n : 1;
	}
	return columns;
}
