/* Protobuf wire format for the hand-written codecs: varints, tags, nested lengths. Pure.
 *
 * Writing appends to a struct buf that keeps its first error. Nested messages: pb_begin, fields, pb_end (one
 * length byte is reserved, bytes move only if the message is longer than 127).
 * Reading never allocates: pb_next walks the fields of a slice; unknown fields are skipped by the caller
 * ignoring them. Every length is checked against what is left. Groups (wire types 3, 4) are in no message of ours:
 * pb_next skips well-formed ones, as Go members do; they may be in an entry that a Go member took from a client. */
#ifndef PB_WIRE_H
#define PB_WIRE_H

#include "base/buf.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t value;         /* VARINT, FIXED64, FIXED32 */
	struct slice bytes;     /* BYTES: borrows the input */
};

static inline struct pb_reader pb_reader_of(struct slice s)
{
	return (struct pb_reader){s.data, s.data + s.size, false};
}

/* False at the end, or with r->failed set when the input is malformed (truncated, varint over 10 bytes or over
 * 64 bits, field number 0 or above 2^29-1, unbalanced group, groups nested over 10,000 deep). Outputs are
 * undefined when false. */
bool pb_next(struct pb_reader *r, struct pb_field *f);
bool pb_get_varint(struct pb_reader *r, uint64_t *out);

size_t pb_varint_size(uint64_t v);
uint8_t *pb_varint_write(uint8_t *out, uint64_t v);     /* returns the byte behind */

void pb_put_varint(struct buf *b, uint64_t v);
/* Field writers; the plain ones leave out zero and empty (proto3), the _always ones do not (proto2 required). */
void pb_put_uint(struct buf *b, uint32_t number, uint64_t v);
void pb_put_uint_always(struct buf *b, uint32_t number, uint64_t v);
void pb_put_bytes(struct buf *b, uint32_t number, struct slice s);
void pb_put_bytes_always(struct buf *b, uint32_t number, struct slice s);

/* Returns the mark for pb_end. */
size_t pb_begin(struct buf *b, uint32_t number);
void pb_end(struct buf *b, size_t mark);

#endif
