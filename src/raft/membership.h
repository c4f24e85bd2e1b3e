/* Configurations and the changes between them, without a running raft: who votes, who learns, what a change makes of
 * it, and which changes are refused. Private to raft.
 *
 * A membership is a value: a change reads one and builds another, so a refused change leaves no trace. */
#ifndef RAFT_MEMBERSHIP_H
#define RAFT_MEMBERSHIP_H

#include "pb/raftpb.h"

/* Someone whose progress a leader tracks. */
struct raft_member {
	uint64_t id;
	bool is_learner;
	bool is_fresh;          /* joined by this very change: starts with a new progress */
};

/* Invariants (raft_membership_check):
 * M1 every voter, learner and learner-to-be is a member;
 * M2 learners_next is part of voters_outgoing, and not yet marked learner;
 * M3 learners are in neither half of the voters, and marked learner;
 * M4 not joint (no voters_outgoing): no learners_next, no auto_leave.
 * The lists of conf are sorted; members too. */
struct raft_membership {
	struct raft_conf_state conf;
	VEC(struct raft_member) members;
};

void raft_membership_fini(struct raft_membership *m);
err_t raft_membership_check(const struct raft_membership *m, struct why *why);

/* Each fills the zeroed *out and returns OK, or leaves it alone and says why not (ERR_INVALID).
 * simple: at most one voter comes or goes. enter_joint: any number; both old and new majority count until leave_joint. */
NODISCARD err_t raft_membership_simple(const struct raft_membership *from, const struct raft_conf_change_single *changes,
				       size_t count, struct why *why, struct raft_membership *out);
NODISCARD err_t raft_membership_enter_joint(const struct raft_membership *from, bool auto_leave,
					    const struct raft_conf_change_single *changes, size_t count,
					    struct why *why, struct raft_membership *out);
NODISCARD err_t raft_membership_leave_joint(const struct raft_membership *from, struct why *why,
					    struct raft_membership *out);
/* Whichever of the three a committed change asks for. */
NODISCARD err_t raft_membership_apply(const struct raft_membership *from, const struct raft_conf_change_v2 *cc,
				      struct why *why, struct raft_membership *out);
/* The membership that a stored ConfState describes; its lists need not be sorted. */
NODISCARD err_t raft_membership_restore(const struct raft_conf_state *cs, struct why *why,
					struct raft_membership *out);

/* voters=(1 2)&&(2 3) learners=(4) learners_next=(3) autoleave */
void raft_conf_print(const struct raft_conf_state *c, struct buf *out);

#endif
