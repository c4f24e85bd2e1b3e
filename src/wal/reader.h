/* Reads records from a row of segments, in one buffer that is as large as the largest record asks for (never more than
 * a file holds), and checks them: frame, torn writes, checksum.
 *
 * The first thing that is not a whole valid record ends it: ERR_CORRUPT_TAIL if cutting there loses nothing that was
 * ever promised (an unexpected end, or a sector of the last record of the last file that never arrived), else
 * ERR_CORRUPT_FILE. */
#ifndef WAL_READER_H
#define WAL_READER_H

#include "wal/names.h"
#include "wal/record.h"

struct wal_record {
	enum wal_type type;     /* any number: a type that is not ours is the caller's trouble */
	uint32_t crc;
	struct slice data;      /* borrowed till the next call */
	uint64_t offset;        /* of its frame in the file */
	const char *file;       /* name without directory */
};

struct wal_reader {
	struct vfs *fs;
	const char *dir;
	const struct wal_name *names;
	struct vfs_file **files;        /* opened by the caller, or NULL: each is opened when its turn comes */
	size_t count;
	size_t now;                     /* file being read; count: end */
	struct vfs_file *file;          /* NULL: not yet open */
	uint64_t file_size;
	uint64_t offset;                /* behind the last valid record of this file */
	uint32_t crc;                   /* running, of all records so far */
	uint8_t *buf;                   /* file bytes [buf_at, buf_at + buf_size) */
	size_t buf_room;
	uint64_t buf_at;
	size_t buf_size;
};

/* names, files and dir are borrowed and outlive the reader. */
void wal_reader_init(struct wal_reader *r, struct vfs *fs, const char *dir, const struct wal_name *names,
		     struct vfs_file **files, size_t count);
void wal_reader_fini(struct wal_reader *r);
/* *more false: the clean end of the last file. A record of type crc was checked and taken over. */
NODISCARD err_t wal_reader_next(struct wal_reader *r, struct why *why, struct wal_record *out, bool *more);

#endif
