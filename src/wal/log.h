/* An open log. Invariants:
 *
 * I1  files are the locked segments, oldest first; the last is written to, at write_at, a multiple of 8.
 * I2  crc runs over all records encoded, also those still in a buffer; so buffers are written in order, to one file,
 *     and a segment ends only when both are empty.
 * I3  one flight at a time: flying is borrowed by io while running is set.
 * I4  after the first error nothing is written any more. */
#ifndef WAL_LOG_H
#define WAL_LOG_H

#include "wal/names.h"
#include "wal/record.h"
#include "wal/wal.h"

struct wal_segment {
	struct wal_name name;
	struct vfs_file *file;
};

struct wal {
	struct vfs *fs;
	char *dir;
	struct wal_options options;
	struct wal_metadata metadata;
	struct buf metadata_bytes;
	VEC(struct wal_segment) files;
	uint64_t write_at;
	uint32_t crc;
	uint64_t last_index;            /* last entry saved, or snapshot if that is further */
	struct raft_hard_state state;   /* last saved */
	struct buf filling;
	struct buf flying;
	struct vfs_io io;
	bool running;
	void (*done)(void *arg);
	void *done_arg;
	err_t failed;
	struct vfs_file *next;          /* prepared segment, NULL: none */
	unsigned next_number;           /* 0.tmp, 1.tmp */
	struct wal_stats stats;
};

struct wal *wal_new(struct vfs *fs, const char *dir, const struct wal_options *options);
char *wal_path(const struct wal *w, const char *name);          /* caller frees */
/* Blocking: writes filling at write_at. */
NODISCARD err_t wal_write_out(struct wal *w, struct why *why);
NODISCARD err_t wal_sync_file(struct wal *w, struct vfs_file *f, struct why *why);
/* After a write: leaves the segment if it is full. */
NODISCARD err_t wal_cut_if_full(struct wal *w, struct why *why);
/* Encodes what a segment begins with. */
void wal_put_head(struct wal *w);
/* Keeps the first error. */
err_t wal_fail(struct wal *w, struct why *why, err_t err, const char *what);
void wal_next_remove(struct wal *w);
/* NAME.broken, then everything behind the last whole record of the last file is cut off. */
NODISCARD err_t wal_repair(struct vfs *fs, const char *dir, const struct wal_options *options, struct why *why);

static inline struct vfs_file *wal_tail(const struct wal *w)
{
	return w->files.at[w->files.count - 1].file;
}

#endif
