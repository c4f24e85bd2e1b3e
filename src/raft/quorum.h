/* What a majority of ids, or of each half of a joint configuration, agrees on. Private to raft. */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H

#include "base/ids.h"

/* The index that id has acknowledged; false: nothing known. */
typedef bool raft_acked_fn(const void *ctx, uint64_t id, uint64_t *index);
/* 1 yes, 0 no, -1 has not voted. */
typedef int raft_voted_fn(const void *ctx, uint64_t id);

enum raft_vote_result { RAFT_VOTE_PENDING = 1, RAFT_VOTE_LOST = 2, RAFT_VOTE_WON = 3 };

/* The largest index acknowledged by a majority. Nobody to ask: UINT64_MAX, so that an empty half of a joint
 * configuration has no say. */
uint64_t raft_majority_committed(const struct ids *ids, raft_acked_fn *acked, const void *ctx);
uint64_t raft_joint_committed(const struct ids *incoming, const struct ids *outgoing, raft_acked_fn *acked,
			      const void *ctx);
/* An empty set wins, for the same reason. */
enum raft_vote_result raft_majority_vote(const struct ids *ids, raft_voted_fn *voted, const void *ctx);
enum raft_vote_result raft_joint_vote(const struct ids *incoming, const struct ids *outgoing,
				      raft_voted_fn *voted, const void *ctx);

#endif
