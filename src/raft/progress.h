/* What a leader knows about each member: how far its log matches, what to send next, how much is under way.
 * Private to raft.
 *
 *	           reject / unreachable
 *	   +---------------------------------+
 *	   v              ack                |
 *	PROBE  ----------------------->  REPLICATE        one message per answer | a stream, bounded by inflights
 *	   ^  \ the entries it needs are      / likewise
 *	   |   \ compacted                   /
 *	   |    +-------> SNAPSHOT <--------+             nothing is sent until the snapshot arrived or failed
 *	   +-----------------+ */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H

#include "raft/quorum.h"
#include "raft/membership.h"
#include "raft/raft.h"

/* Messages under way to one follower, oldest first: last index and bytes of each. */
struct raft_inflights {
	struct raft_inflight *ring;     /* room is a power of two; grown on demand */
	uint32_t room;
	uint32_t head;
	uint32_t count;
	uint32_t count_max;
	uint64_t bytes;
	uint64_t bytes_max;             /* may be passed by one message */
};

bool raft_inflights_full(const struct raft_inflights *in);
void raft_inflights_add(struct raft_inflights *in, uint64_t last_index, uint64_t bytes);
/* Forgets all whose last index is <= index. */
void raft_inflights_free_to(struct raft_inflights *in, uint64_t index);
void raft_inflights_clear(struct raft_inflights *in);

/* match < next always. */
struct raft_progress {
	uint64_t id;
	uint64_t match;                 /* known to be stored there */
	uint64_t next;                  /* first index to send */
	uint64_t sent_commit;           /* highest commit index sent that will not be lost on the way */
	uint64_t pending_snapshot;      /* index of the snapshot under way, in SNAPSHOT */
	enum raft_progress_state state;
	bool is_learner;
	bool recent_active;             /* has answered since the last quorum check */
	bool flow_paused;               /* no more MSG_APP until an answer or heartbeat answer comes */
	int8_t vote;                    /* in a campaign: 1 granted, 0 refused, -1 not heard of */
	uint64_t read_ack;              /* position in the list of reads that it has confirmed */
	struct raft_inflights inflights;
};

void raft_progress_become_probe(struct raft_progress *p);
void raft_progress_become_replicate(struct raft_progress *p);
void raft_progress_become_snapshot(struct raft_progress *p, uint64_t index);
/* Keeps id, is_learner and memory; everything else as after a change of role. */
void raft_progress_reset(struct raft_progress *p, uint64_t match, uint64_t next);
bool raft_progress_paused(const struct raft_progress *p);
/* Takes note of a MSG_APP with count entries of so many bytes of data from next on. */
void raft_progress_sent(struct raft_progress *p, size_t count, uint64_t bytes);
/* An acknowledgement up to index; false: nothing new. */
bool raft_progress_update(struct raft_progress *p, uint64_t index);
/* A refusal of the entry behind `rejected`, with the follower's hint where logs may match; false: stale. */
bool raft_progress_decrease(struct raft_progress *p, uint64_t rejected, uint64_t match_hint);
/* Would sending commit tell it something? */
bool raft_progress_can_bump_commit(const struct raft_progress *p, uint64_t commit);

/* The membership with the progress of each member, in the same order. */
struct raft_tracker {
	struct raft_membership membership;
	struct raft_progress *progress;         /* membership.members.count of them, ascending by id */
	uint32_t inflight_msgs_max;
	uint64_t inflight_bytes_max;
};

void raft_tracker_fini(struct raft_tracker *t);
/* Makes *take the membership: progress of members that stay is kept, that of fresh ones starts at last_index. */
void raft_tracker_install(struct raft_tracker *t, struct raft_membership *take, uint64_t last_index);
struct raft_progress *raft_tracker_find(const struct raft_tracker *t, uint64_t id);     /* NULL: not a member */
bool raft_tracker_is_voter(const struct raft_tracker *t, uint64_t id);                  /* in either half */
bool raft_tracker_is_only_voter(const struct raft_tracker *t);                          /* one voter, not joint */
uint64_t raft_tracker_committed(const struct raft_tracker *t);
uint64_t raft_tracker_reads_confirmed(const struct raft_tracker *t);
void raft_tracker_reset_votes(struct raft_tracker *t);
enum raft_vote_result raft_tracker_tally(const struct raft_tracker *t, unsigned *granted, unsigned *rejected);
bool raft_tracker_quorum_active(const struct raft_tracker *t);

static inline size_t raft_tracker_count(const struct raft_tracker *t)
{
	return t->membership.members.count;
}

void raft_progress_status(const struct raft_progress *p, struct raft_peer_status *out);
void raft_progress_print(const struct raft_progress *p, struct buf *out);

#endif
