/* The inlined half of wire.h, private to this folder: raw pointers, no growth checks. A writer here is used only
 * after the exact size was reserved. */
#ifndef PB_WIRE_INL_H
#define PB_WIRE_INL_H

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

/* The next varint; false when it is truncated or has more than 64 bits. One-byte values, the usual case, cost one
 * branch. */
static inline bool varint_read(struct pb_reader *r, uint64_t *out)
{
	if (LIKELY(r->at < r->end && *r->at < 0x80)) {
		*out = *r->at++;
		return true;
	}
	return pb_get_varint(r, out);
}

/* The next field, as pb_next; groups and damage go the slow way. */
static inline bool field_read(struct pb_reader *r, struct pb_field *f)
{
	if (LIKELY(r->at < r->end && *r->at < 0x80)) {
		uint8_t tag = *r->at;

		if (LIKELY((tag & 7) == PB_VARINT && tag >> 3)) {
			r->at++;
			f->number = tag >> 3;
			f->wire = PB_VARINT;
			return varint_read(r, &f->value);
		}
		if (LIKELY((tag & 7) == PB_BYTES && tag >> 3 && r->end - r->at > 1 && r->at[1] < 0x80 &&
			   (size_t)(r->end - r->at) - 2 >= r->at[1])) {
			f->number = tag >> 3;
			f->wire = PB_BYTES;
			f->bytes = slice_of(r->at + 2, r->at[1]);
			r->at += 2 + r->at[1];
			return true;
		}
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
