/* Frames: how records lie in a segment.
 *
 *	offset  size  what
 *	0       8     little endian: bits 0-55 size of the record; top byte 0x80 + pad if pad > 0, else 0
 *	8       n     Record (proto2): type = 1, crc = 2, data = 3 (absent when empty)
 *	8 + n   pad   0-7 zero bytes up to a multiple of 8
 *
 * A length word of 0 (preallocated space) ends a segment. crc is CRC-32C over the data of all records since the start
 * of the log, across segments, this one included; a record of type crc carries the running value and has no data.
 *
 *	segment 0:   crc(0)  metadata  snapshot{0, 0}  ...
 *	segment n:   crc     metadata  state           ...
 *
 * Padding keeps a length word within one sector. */
#ifndef WAL_RECORD_H
#define WAL_RECORD_H

#include "pb/raftpb.h"

enum wal_type { WAL_METADATA = 1, WAL_ENTRY = 2, WAL_STATE = 3, WAL_CRC = 4, WAL_SNAPSHOT = 5 };

#define WAL_FRAME_HEAD 8u
#define WAL_SIZE_MASK (((uint64_t)1 << 56) - 1)

static inline size_t wal_pad_of(uint64_t record_bytes)
{
	return (size_t)(-record_bytes & 7);
}

/* Appends one frame; *crc runs on. */
void wal_put_crc(struct buf *out, uint32_t crc);
void wal_put_entry(struct buf *out, uint32_t *crc, const struct raft_entry *e);
void wal_put_bytes(struct buf *out, uint32_t *crc, enum wal_type type, struct slice data);

#endif
