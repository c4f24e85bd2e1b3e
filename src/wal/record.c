#include "wal/record.h"

#include "base/crc.h"
#include "base/endian.h"
#include "pb/wire.h"

/* A varint of the checksum takes five bytes fifteen times of sixteen: room is left for that, and the data moved when
 * it takes less. So an entry is encoded in its place, with one pass for the checksum. */
#define CRC_ROOM 5

struct frame {
	size_t at; /* of the length word in the buffer */
	size_t data_size;
	size_t data_head; /* tag and length of the data; 0: no data */
};

static uint8_t *put_tag_varint(uint8_t *at, uint32_t number, uint64_t value)
{
	*at++ = (uint8_t)(number << 3 | PB_VARINT);
	return pb_varint_write(at, value);
}

static size_t data_at(const struct frame *f, size_t crc_size)
{
	return f->at + WAL_FRAME_HEAD + 2 + 1 + crc_size + f->data_head;
}

/* Leaves room in front of the data; the caller appends exactly data_size bytes, then frame_end. */
static struct frame frame_begin(struct buf *out, size_t data_size)
{
	struct frame f = {out->size, data_size, data_size ? 1 + pb_varint_size(data_size) : 0};

	buf_add(out, data_at(&f, CRC_ROOM) - f.at);
	return f;
}

static void frame_end(struct buf *out, const struct frame *f, enum wal_type type, uint32_t crc)
{
	size_t crc_size = pb_varint_size(crc);
	size_t from = data_at(f, CRC_ROOM), to = data_at(f, crc_size);
	size_t record = to + f->data_size - f->at - WAL_FRAME_HEAD;
	size_t pad = wal_pad_of(record);
	uint8_t *at;

	if (buf_failed(out))
		return;
	ASSERT(out->size == from + f->data_size);
	if (to != from)
		memmove(out->data + to, out->data + from, f->data_size);
	out->size = to + f->data_size;
	buf_put(out, "\0\0\0\0\0\0\0", pad);
	if (buf_failed(out))
		return;
	at = out->data + f->at;
	le64_put(at, (uint64_t)record | (pad ? (0x80 | (uint64_t)pad) << 56 : 0));
	at = put_tag_varint(at + WAL_FRAME_HEAD, 1, (uint64_t)type);
	at = put_tag_varint(at, 2, crc);
	if (f->data_size) {
		*at++ = 3 << 3 | PB_BYTES;
		at = pb_varint_write(at, f->data_size);
	}
	ASSERT(at == out->data + to);
}

void wal_put_crc(struct buf *out, uint32_t crc)
{
	struct frame f = frame_begin(out, 0);

	frame_end(out, &f, WAL_CRC, crc);
}

static void frame_end_data(struct buf *out, const struct frame *f, enum wal_type type, uint32_t *crc)
{
	if (!buf_failed(out))
		*crc = crc32c(*crc, out->data + data_at(f, CRC_ROOM), f->data_size);
	frame_end(out, f, type, *crc);
}

void wal_put_entry(struct buf *out, uint32_t *crc, const struct raft_entry *e)
{
	struct frame f = frame_begin(out, raft_entry_size(e));

	raft_entry_encode(e, out);
	frame_end_data(out, &f, WAL_ENTRY, crc);
}

void wal_put_bytes(struct buf *out, uint32_t *crc, enum wal_type type, struct slice data)
{
	struct frame f = frame_begin(out, data.size);

	buf_put_slice(out, data);
	frame_end_data(out, &f, type, crc);
}
