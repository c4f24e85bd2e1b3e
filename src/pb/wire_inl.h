/* The inlined half of wire.h, private to this folder: raw pointers, no growth checks. A writer here is used only
 * after the exact size was reserved. */
#ifndef PB_WIRE_INL_H
#define PB_WIRE_INL_H

#include "base/endian.h"
#include "pb/wire.h"

#define PB_TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))
#define PB_FIELD_NUMBER_MAX ((1u << 29) - 1)

/* Bytes of a varint: 7 bits each. The multiplication by 9/64 is exact for 1..64 bits. */
static inline size_t varint_size(uint64_t v)
{
	return (((size_t)(63 - __builtin_clzll(v | 1)) * 9) + 73) >> 6;
}

static inline uint8_t *varint_write(uint8_t *out, uint64_t v)
{
	while (v >= 0x80) {
		*out++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*out++ = (uint8_t)v;
	return out;
}

/* Sizes and writers of a whole field with a tag. */
static inline size_t uint_field_size(uint32_t number, uint64_t v)
{
	return varint_size((uint64_t)number << 3) + varint_size(v);
}

static inline size_t bytes_field_size(uint32_t number, size_t size)
{
	return varint_size((uint64_t)number << 3) + varint_size(size) + size;
}

static inline uint8_t *uint_field_write(uint8_t *out, uint32_t number, uint64_t v)
{
	return varint_write(varint_write(out, PB_TAG(number, PB_VARINT)), v);
}

/* Tag and length only; size bytes of content must follow. */
static inline uint8_t *length_write(uint8_t *out, uint32_t number, size_t size)
{
	return varint_write(varint_write(out, PB_TAG(number, PB_BYTES)), size);
}

static inline uint8_t *bytes_field_write(uint8_t *out, uint32_t number, struct slice s)
{
	out = length_write(out, number, s.size);
	if (s.size)
		memcpy(out, s.data, s.size);
	return out + s.size;
}

/* The 7-bit groups of 8 bytes, the continuation bits gone, packed together: halves, then quarters, then eighths. */
static inline uint64_t varint_squeeze(uint64_t v)
{
	v = (v & 0x007f007f007f007f) | (v & 0x7f007f007f007f00) >> 1;
	v = (v & 0x00003fff00003fff) | (v & 0x3fff00003fff0000) >> 2;
	return (v & 0x000000000fffffff) | (v & 0x0fffffff00000000) >> 4;
}

/* The next varint; false when it is truncated or has more than 64 bits. One byte costs one branch; up to eight cost
 * two and no loop, unless the input ends there. */
static inline bool varint_read(struct pb_reader *r, uint64_t *out)
{
	if (LIKELY(r->at < r->end && *r->at < 0x80)) {
		*out = *r->at++;
		return true;
	}
	if (LIKELY(r->end - r->at >= 8)) {
		uint64_t word = le64_get(r->at);
		uint64_t last = ~word & 0x8080808080808080;

		if (LIKELY(last)) {
			*out = varint_squeeze(word & (last ^ (last - 1)) & 0x7f7f7f7f7f7f7f7f);
			r->at += (__builtin_ctzll(last) >> 3) + 1;
			return true;
		}
	}
	return pb_get_varint(r, out);
}

/* The next field, as pb_next; tags of two bytes, fixed widths, groups and damage go the slow way. */
static inline bool field_read(struct pb_reader *r, struct pb_field *f)
{
	uint8_t tag = r->at < r->end ? *r->at : 0;
	uint64_t size;

	if (LIKELY(tag >> 3 && tag < 0x80 && (tag & 7) == PB_VARINT)) {
		r->at++;
		f->number = tag >> 3;
		f->wire = PB_VARINT;
		return varint_read(r, &f->value);
	}
	if (LIKELY(tag >> 3 && tag < 0x80 && (tag & 7) == PB_BYTES)) {
		r->at++;
		f->number = tag >> 3;
		f->wire = PB_BYTES;
		if (!varint_read(r, &size))
			return false;
		if (LIKELY(size <= (uint64_t)(r->end - r->at))) {
			f->bytes = slice_of(r->at, (size_t)size);
			r->at += size;
			return true;
		}
		r->failed = true;
		r->at = r->end;
		return false;
	}
	return pb_next(r, f);
}

/* True if field f has this number and wire type. A known number under another wire type is an unknown field, as in
 * protobuf-go (internal/impl/decode.go, errUnknown). */
static inline bool field_is(const struct pb_field *f, uint32_t number, enum pb_wire wire)
{
	return f->number == number && f->wire == wire;
}

#define FIELD_KEY(number, wire) PB_TAG(number, wire)

static inline uint32_t field_key(const struct pb_field *f)
{
	return PB_TAG(f->number, f->wire);
}

#endif
