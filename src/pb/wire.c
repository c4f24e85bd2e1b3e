#include "pb/wire_inl.h"

enum { WIRE_START_GROUP = 3, WIRE_END_GROUP = 4 };

/* protobuf-go skips unknown groups nested up to this depth (protowire.DefaultRecursionLimit). */
enum { GROUP_DEPTH_MAX = 10000 };

static bool reader_fail(struct pb_reader *r)
{
	r->failed = true;
	r->at = r->end;
	return false;
}

bool pb_get_varint(struct pb_reader *r, uint64_t *out)
{
	const uint8_t *p = r->at;
	size_t left = (size_t)(r->end - p);
	size_t count = MIN(left, 10);
	uint64_t v = 0;

	for (size_t i = 0; i < count; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80) {
			if (UNLIKELY(i == 9 && p[i] > 1))
				return reader_fail(r);   /* more than 64 bits */
			r->at = p + i + 1;
			*out = v;
			return true;
		}
	}
	return reader_fail(r);
}

static bool tag_read(struct pb_reader *r, uint32_t *number, uint32_t *wire)
{
	uint64_t tag;

	if (!varint_read(r, &tag))
		return false;
	*wire = tag & 7;
	if (tag >> 3 == 0 || tag >> 3 > PB_FIELD_NUMBER_MAX)
		return reader_fail(r);
	*number = (uint32_t)(tag >> 3);
	return true;
}

static bool fixed_read(struct pb_reader *r, size_t size, uint64_t *out)
{
	if ((size_t)(r->end - r->at) < size)
		return reader_fail(r);
	*out = size == 8 ? le64_get(r->at) : le32_get(r->at);
	r->at += size;
	return true;
}

static bool bytes_read(struct pb_reader *r, struct slice *out)
{
	uint64_t size;

	if (!varint_read(r, &size))
		return false;
	if (size > (uint64_t)(r->end - r->at))
		return reader_fail(r);
	*out = slice_of(r->at, (size_t)size);
	r->at += size;
	return true;
}

static bool value_read(struct pb_reader *r, struct pb_field *f, uint32_t wire)
{
	f->wire = (enum pb_wire)wire;
	switch (wire) {
	case PB_VARINT: return varint_read(r, &f->value);
	case PB_FIXED64: return fixed_read(r, 8, &f->value);
	case PB_FIXED32: return fixed_read(r, 4, &f->value);
	case PB_BYTES: return bytes_read(r, &f->bytes);
	default: return reader_fail(r);
	}
}

/* Behind the start tag of group number: moves behind its end tag. The stack of open groups is bounded, hence no
 * recursion; kept out of line so that only input with groups pays for it. */
static __attribute__((noinline)) bool group_skip(struct pb_reader *r, uint32_t number)
{
	uint32_t open[GROUP_DEPTH_MAX];
	size_t depth = 0;
	struct pb_field f;
	uint32_t wire;

	open[depth++] = number;
	while (depth) {
		if (!tag_read(r, &f.number, &wire))
			return false;
		if (wire == WIRE_START_GROUP) {
			if (depth == GROUP_DEPTH_MAX)
				return reader_fail(r);
			open[depth++] = f.number;
		} else if (wire == WIRE_END_GROUP) {
			if (open[--depth] != f.number)
				return reader_fail(r);
		} else if (!value_read(r, &f, wire)) {
			return false;
		}
	}
	return true;
}

bool pb_next(struct pb_reader *r, struct pb_field *f)
{
	uint32_t wire;

	while (r->at < r->end) {
		if (!tag_read(r, &f->number, &wire))
			return false;
		if (LIKELY(wire != WIRE_START_GROUP))
			return value_read(r, f, wire);
		if (!group_skip(r, f->number))
			return false;
	}
	return false;
}

size_t pb_varint_size(uint64_t v)
{
	return varint_size(v);
}

uint8_t *pb_varint_write(uint8_t *out, uint64_t v)
{
	return varint_write(out, v);
}

void pb_put_varint(struct buf *b, uint64_t v)
{
	uint8_t *at = buf_add(b, varint_size(v));

	if (at)
		varint_write(at, v);
}

void pb_put_uint(struct buf *b, uint32_t number, uint64_t v)
{
	if (v)
		pb_put_uint_always(b, number, v);
}

void pb_put_uint_always(struct buf *b, uint32_t number, uint64_t v)
{
	uint8_t *at = buf_add(b, uint_field_size(number, v));

	if (at)
		uint_field_write(at, number, v);
}

void pb_put_bytes(struct buf *b, uint32_t number, struct slice s)
{
	if (s.size)
		pb_put_bytes_always(b, number, s);
}

void pb_put_bytes_always(struct buf *b, uint32_t number, struct slice s)
{
	uint8_t *at = buf_add(b, bytes_field_size(number, s.size));

	if (at)
		bytes_field_write(at, number, s);
}

size_t pb_begin(struct buf *b, uint32_t number)
{
	uint8_t *at = buf_add(b, varint_size((uint64_t)number << 3) + 1);

	if (at)
		varint_write(at, PB_TAG(number, PB_BYTES));
	return b->size;
}

void pb_end(struct buf *b, size_t mark)
{
	size_t size, more;

	if (buf_failed(b))
		return;
	ASSERT(mark > 0 && mark <= b->size);
	size = b->size - mark;
	more = varint_size(size) - 1;
	if (more) {
		if (!buf_add(b, more))
			return;
		memmove(b->data + mark + more, b->data + mark, size);
	}
	varint_write(b->data + mark - 1, size);
}
