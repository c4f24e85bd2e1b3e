/* What a log says: its records gathered into struct wal_content. */
#ifndef WAL_READ_H
#define WAL_READ_H

#include "wal/reader.h"

struct wal_gathered {
	struct wal_content content;
	struct buf metadata;            /* as in the file, to be repeated in each segment */
	uint64_t last_index;            /* of the last entry record, whichever its place */
	VEC(struct raft_entry) entries;
};

/* Reads on to the end. What was gathered before an error stays, to be freed. */
NODISCARD err_t wal_gather(struct wal_reader *r, struct wal_pos pos, struct why *why, struct wal_gathered *out);
void wal_gathered_init(struct wal_gathered *g);
void wal_gathered_fini(struct wal_gathered *g);
/* Moves the entries over; g is empty afterwards but for the metadata. */
struct wal_content wal_gathered_take(struct wal_gathered *g);

#endif
