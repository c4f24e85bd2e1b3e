/* Shared by the raft_*.c files of this folder. Sizes are exact, a writer returns the byte behind what it wrote. */
#ifndef PB_RAFT_INL_H
#define PB_RAFT_INL_H

#include "pb/raftpb.h"
#include "pb/wire_inl.h"

uint8_t *raft_entry_write(const struct raft_entry *e, uint8_t *out);

size_t raft_conf_state_size(const struct raft_conf_state *c);
uint8_t *raft_conf_state_write(const struct raft_conf_state *c, uint8_t *out);
/* Adds what s says to *c, which must be finished by the caller in any case. */
err_t raft_conf_state_merge(struct slice s, struct raft_conf_state *c);

size_t raft_snapshot_size(const struct raft_snapshot *s);
uint8_t *raft_snapshot_write(const struct raft_snapshot *s, uint8_t *out);
err_t raft_snapshot_merge(struct slice s, struct raft_snapshot *out);

/* Empty counts as absent: the raft code makes no difference. */
static inline struct blob *bytes_to_blob(struct slice s)
{
	return s.size ? blob_copy(s) : NULL;
}

#endif
