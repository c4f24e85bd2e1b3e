/* Sets of member ids as sorted arrays (struct raft_ids), and majorities over them. Private to raft.
 * Members are few: everything is a scan. */
#ifndef RAFT_IDS_H
#define RAFT_IDS_H

#include "pb/raftpb.h"

bool raft_ids_has(const struct raft_ids *ids, uint64_t id);
void raft_ids_add(struct raft_ids *ids, uint64_t id);           /* no effect if present */
void raft_ids_remove(struct raft_ids *ids, uint64_t id);        /* no effect if absent */
struct raft_ids raft_ids_copy(const struct raft_ids *ids);
struct raft_ids raft_ids_union(const struct raft_ids *a, const struct raft_ids *b);
/* How many ids are in exactly one of the two. */
size_t raft_ids_difference(const struct raft_ids *a, const struct raft_ids *b);
void raft_ids_fini(struct raft_ids *ids);
/* (1 2 a) */
void raft_ids_print(const struct raft_ids *ids, struct buf *out);

/* ---- quorum: what a majority of ids, or of each half of a joint configuration, agrees on ---- */

/* The index that id has acknowledged; false: nothing known. */
typedef bool raft_acked_fn(const void *ctx, uint64_t id, uint64_t *index);
/* 1 yes, 0 no, -1 has not voted. */
typedef int raft_voted_fn(const void *ctx, uint64_t id);

enum raft_vote_result { RAFT_VOTE_PENDING = 1, RAFT_VOTE_LOST = 2, RAFT_VOTE_WON = 3 };

/* The largest index acknowledged by a majority. Nobody to ask: UINT64_MAX, so that an empty half of a joint
 * configuration has no say. */
uint64_t raft_majority_committed(const struct raft_ids *ids, raft_acked_fn *acked, const void *ctx);
uint64_t raft_joint_committed(const struct raft_ids *incoming, const struct raft_ids *outgoing, raft_acked_fn *acked,
			      const void *ctx);
/* An empty set wins, for the same reason. */
enum raft_vote_result raft_majority_vote(const struct raft_ids *ids, raft_voted_fn *voted, const void *ctx);
enum raft_vote_result raft_joint_vote(const struct raft_ids *incoming, const struct raft_ids *outgoing,
				      raft_voted_fn *voted, const void *ctx);

#endif
