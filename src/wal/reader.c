#include "wal/reader.h"

#include <inttypes.h>

#include "base/bug.h"
#include "base/crc.h"
#include "base/endian.h"
#include "pb/wire.h"

#define READ_BYTES ((size_t)256 << 10)
#define SECTOR 512u /* the least that a disk writes as a whole */

void wal_reader_init(struct wal_reader *r, struct vfs *fs, const char *dir, const struct wal_name *names,
		     struct vfs_file **files, size_t count)
{
	*r = (struct wal_reader){.fs = fs, .dir = dir, .names = names, .files = files, .count = count};
}

static void file_leave(struct wal_reader *r)
{
	if (!r->files)
		vfs_close(r->file);
	r->file = NULL;
	r->buf_size = 0;
}

void wal_reader_fini(struct wal_reader *r)
{
	file_leave(r);
	mem_free(r->buf);
	r->buf = NULL;
}

static err_t file_enter(struct wal_reader *r, struct why *why)
{
	const char *name = r->names[r->now].text;
	char *path = mem_printf("%s/%s", r->dir, name);
	err_t err = OK;

	if (r->files)
		r->file = r->files[r->now];
	else
		err = vfs_open(r->fs, path, VFS_READ, 0, &r->file);
	if (!err)
		err = vfs_size(r->file, &r->file_size);
	if (err)
		why_set(why, err, "cannot open %s: %s", path, err_text(err));
	mem_free(path);
	r->offset = 0;
	r->buf_at = r->buf_size = 0;
	return err;
}

/* Bytes [at, at + size) of the file in memory; *got < size only at its end. */
static err_t fetch(struct wal_reader *r, uint64_t at, size_t size, const uint8_t **out, size_t *got, struct why *why)
{
	size_t want, kept, n;
	err_t err;

	if (at >= r->buf_at && at + size <= r->buf_at + r->buf_size) {
		*out = r->buf + (at - r->buf_at);
		*got = size;
		return OK;
	}
	want = MAX(size, READ_BYTES);
	kept = at >= r->buf_at && at < r->buf_at + r->buf_size ? (size_t)(r->buf_at + r->buf_size - at) : 0;
	if (kept)
		memmove(r->buf, r->buf + (at - r->buf_at), kept);
	if (r->buf_room < want) {
		r->buf = mem_realloc(r->buf, want);
		r->buf_room = want;
	}
	r->buf_at = at;
	r->buf_size = kept;
	err = vfs_pread(r->file, at + kept, r->buf + kept, want - kept, &n);
	if (err)
		return why_set(why, err, "reading '%s' at position %" PRIu64 ": %s", r->names[r->now].text, at + kept,
			       err_text(err));
	r->buf_size += n;
	*out = r->buf;
	*got = MIN(size, r->buf_size);
	return OK;
}

/* Only in the last file: a piece of the record within one sector is all zero, so it never reached the disk. */
static bool is_torn(const struct wal_reader *r, const uint8_t *data, size_t size)
{
	uint64_t at = r->offset + WAL_FRAME_HEAD;

	for (size_t done = 0; r->now + 1 == r->count && done < size;) {
		size_t part = MIN(size - done, (size_t)(SECTOR - (at + done) % SECTOR));
		size_t zeros = 0;

		while (zeros < part && data[done + zeros] == 0)
			zeros++;
		if (zeros == part)
			return true;
		done += part;
	}
	return false;
}

static bool record_parse(struct slice s, struct wal_record *out)
{
	struct pb_reader p = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&p, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			out->type = (enum wal_type)f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			out->crc = (uint32_t)f.value;
		else if (f.number == 3 && f.wire == PB_BYTES)
			out->data = f.bytes;
	}
	return !p.failed;
}

static err_t crc_mismatch(struct wal_reader *r, struct why *why, uint32_t expected, uint32_t computed)
{
	return why_set(why, ERR_CORRUPT_FILE,
		       "walpb: crc mismatch: expected: %x computed: %x: in file '%s' at position: %" PRIu64, expected,
		       computed, r->names[r->now].text, r->offset);
}

static err_t unexpected_end(struct wal_reader *r, struct why *why)
{
	return why_set(why, ERR_CORRUPT_TAIL, "unexpected EOF: in file '%s' at position: %" PRIu64,
		       r->names[r->now].text, r->offset);
}

static err_t record_check(struct wal_reader *r, struct why *why, const uint8_t *data, size_t size, size_t pad,
			  struct wal_record *rec)
{
	uint32_t computed;

	if (!record_parse(slice_of(data, size), rec)) {
		if (is_torn(r, data, size + pad))
			return unexpected_end(r, why);
		return why_set(why, ERR_CORRUPT_FILE,
			       "proto: cannot parse invalid wire-format data: in file '%s' at position: %" PRIu64,
			       r->names[r->now].text, r->offset);
	}
	if (rec->type == WAL_CRC) {
		/* the first one of what is read sets the value: what was before is not known */
		if (r->crc != 0 && r->crc != rec->crc)
			return crc_mismatch(r, why, rec->crc, r->crc);
		r->crc = rec->crc;
		return OK;
	}
	computed = crc32c(r->crc, rec->data.data, rec->data.size);
	if (computed != rec->crc && !BUG(CHECKSUM_IGNORED))
		return is_torn(r, data, size + pad) ? unexpected_end(r, why) : crc_mismatch(r, why, rec->crc, computed);
	r->crc = computed;
	return OK;
}

/* The size from a length word is believed only as far as the file reaches. */
static err_t size_check(struct wal_reader *r, struct why *why, uint64_t size, uint64_t pad)
{
	int64_t limit = (int64_t)(r->file_size - r->offset) - (int64_t)pad;

	if (limit >= 0 && size <= (uint64_t)limit)
		return OK;
	return why_set(why, ERR_CORRUPT_TAIL,
		       "unexpected EOF: [wal] max entry size limit exceeded when reading \"%s\", recBytes: %" PRIu64
		       ", fileSize(%" PRIu64 ") - offset(%" PRIu64 ") - padBytes(%" PRIu64 ") = entryLimit(%" PRId64
		       ")",
		       r->names[r->now].text, size, r->file_size, r->offset, pad, limit);
}

/* *word 0: the end of this file. */
static err_t read_word(struct wal_reader *r, struct why *why, uint64_t *word)
{
	const uint8_t *at;
	size_t got;
	err_t err = fetch(r, r->offset, WAL_FRAME_HEAD, &at, &got, why);

	if (err)
		return err;
	if (got > 0 && got < WAL_FRAME_HEAD)
		return unexpected_end(r, why);
	*word = got ? le64_get(at) : 0;
	return OK;
}

static err_t read_record(struct wal_reader *r, struct why *why, uint64_t word, struct wal_record *out)
{
	uint64_t size = word & WAL_SIZE_MASK;
	size_t pad = word >> 63 ? (size_t)(word >> 56 & 7) : 0;
	struct wal_record rec = {.offset = r->offset, .file = r->names[r->now].text};
	const uint8_t *at;
	size_t got;
	err_t err = size_check(r, why, size, pad);

	if (!err)
		err = fetch(r, r->offset, WAL_FRAME_HEAD + (size_t)size + pad, &at, &got, why);
	if (!err && got < WAL_FRAME_HEAD + size + pad)
		err = unexpected_end(r, why);
	if (!err)
		err = record_check(r, why, at + WAL_FRAME_HEAD, (size_t)size, pad, &rec);
	if (err)
		return err;
	r->offset += WAL_FRAME_HEAD + size + pad;
	*out = rec;
	return OK;
}

err_t wal_reader_next(struct wal_reader *r, struct why *why, struct wal_record *out, bool *more)
{
	uint64_t word = 0;
	err_t err = OK;

	while (r->now < r->count) {
		if (!r->file)
			err = file_enter(r, why);
		if (!err)
			err = read_word(r, why, &word);
		if (!err && word)
			err = read_record(r, why, word, out);
		if (err)
			return err;
		if (word) {
			*more = true;
			return OK;
		}
		if (r->now + 1 == r->count)
			break; /* offset stays: there writing goes on */
		file_leave(r);
		r->now++;
	}
	*more = false;
	return OK;
}
