/* Names in a log directory: %016x-%016x.wal, sequence and index of the first entry that can be in the file. */
#ifndef WAL_NAMES_H
#define WAL_NAMES_H

#include "env/vfs.h"
#include "wal/wal.h"

#define WAL_NAME_SIZE 40

struct wal_name {
	char text[WAL_NAME_SIZE];
	uint64_t seq;
	uint64_t index;
};

/* Sorted by name. Freed with mem_free(at). */
struct wal_names {
	struct wal_name *at;
	size_t count;
};

void wal_name_make(struct wal_name *out, uint64_t seq, uint64_t index);
bool wal_name_parse(const char *text, struct wal_name *out);
/* The segments of dir; other names but *.tmp are noted. None: ERR_NOT_EXIST, "wal: file not found". */
NODISCARD err_t wal_names_list(struct vfs *fs, const char *dir, const struct wal_options *options, struct why *why,
			       struct wal_names *out);
/* Position of the last name whose index is not above; from there the sequence must have no gap. ERR_CORRUPT_FILE. */
NODISCARD err_t wal_names_from(const struct wal_names *names, uint64_t index, struct why *why, size_t *from);
void wal_note(const struct wal_options *options, const char *event, const char *path);

#endif
