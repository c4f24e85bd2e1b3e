/* The unstable tail of the log; only log.c uses it. */
#ifndef RAFT_UNSTABLE_H
#define RAFT_UNSTABLE_H

#include "raft/log.h"

void raft_unstable_fini(struct raft_unstable *u);
/* The entry at index and those behind it; index may be one past the last. */
const struct raft_entry *raft_unstable_from(const struct raft_unstable *u, uint64_t index);
bool raft_unstable_last_index(const struct raft_unstable *u, uint64_t *index);
bool raft_unstable_term(const struct raft_unstable *u, uint64_t index, uint64_t *term);
/* Moves the entries in, dropping what is there from the first one's index on. */
void raft_unstable_append(struct raft_unstable *u, const struct raft_logger *logger, struct raft_entry *take, size_t count);
void raft_unstable_accept(struct raft_unstable *u);
/* Only an exact match of index and term proves that what was written is what is wanted now. */
void raft_unstable_stable_to(struct raft_unstable *u, const struct raft_logger *logger, struct raft_pos pos);
void raft_unstable_drop_snapshot(struct raft_unstable *u);
void raft_unstable_restore(struct raft_unstable *u, const struct raft_snapshot *snap);

#endif
