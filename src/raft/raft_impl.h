/* The raft object and the functions that its source files offer each other. Private to raft.
 *
 *	raft.c      life, input functions;  step.c  the term check that every message passes
 *	role.c      who is what: roles, ticks, campaigns, votes
 *	leader.c    what a leader does with messages;  send.c  what it sends
 *	follower.c  what followers and candidates do with messages
 *	read.c      read index
 *	conf.c      configuration changes of a running raft
 *	ready.c     output;  status.c, print.c, check.c  views of the state
 *
 * R1 the term never falls; one vote per term
 * R2 a leader appends to its log and never replaces anything in it
 * R3 votes and acknowledgements (msgs_after_append) leave only when everything that is unstable when they are made is
 *    durable; messages to self exist only among them
 * R4 match < next for every member, and match <= last index */
#ifndef RAFT_IMPL_H
#define RAFT_IMPL_H

#include <inttypes.h>

#include "base/rng.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/raft.h"

/* A read that waits for a quorum to confirm the leader. */
struct raft_read_request {
	struct raft_message request;
	uint64_t index;                         /* the commit index when it came */
};

struct raft_reads {
	VEC(struct raft_read_request) unconfirmed;
	uint64_t confirmed;                     /* how many were confirmed before those, in this leadership */
	VEC(struct raft_message) queued;        /* until the first commit of the term */
};

/* What raft_advance will report back, in sync mode. */
struct raft_advance_steps {
	bool pending;
	VEC(struct raft_message) own;           /* messages to self */
	bool append;
	uint64_t append_term;
	struct raft_pos append_last;            /* index 0: no entries */
	uint64_t append_snapshot;               /* index, 0: none */
	bool apply;
	uint64_t apply_index;
	uint64_t apply_bytes;
	uint64_t apply_payload;
};

struct raft {
	struct raft_config config;              /* defaults filled in */
	struct raft_logger logger;
	struct rng rng;

	uint64_t term;
	uint64_t vote;
	enum raft_role role;
	uint64_t lead;
	bool is_learner;
	bool may_campaign;
	struct raft_log log;
	struct raft_tracker tracker;

	uint64_t lead_transferee;
	uint64_t pending_conf_index;            /* no conf change is proposed before this is applied */
	uint64_t uncommitted_bytes;             /* data of entries that a leader appended; an estimate */
	struct raft_reads reads;

	uint32_t election_elapsed;              /* ticks */
	uint32_t heartbeat_elapsed;
	uint32_t election_timeout;              /* the randomized one */

	VEC(struct raft_message) msgs;
	VEC(struct raft_message) msgs_after_append;
	VEC(struct raft_read_state) read_states;
	VEC(struct raft_entry) scratch;         /* proposals on their way into the log */

	struct raft_soft_state prev_soft;       /* as last handed out */
	struct raft_hard_state prev_hard;
	struct raft_advance_steps steps;
};

/* step.c */
err_t raft_step_any(struct raft *r, struct raft_message *m);    /* moves what it needs out of *m; the caller ends it */
/* Applied up to index, whose entries had this encoded size. */
void raft_applied_to(struct raft *r, uint64_t index, uint64_t bytes);
void raft_applied_snapshot(struct raft *r, uint64_t index);
void raft_append_done(struct raft *r, struct raft_pos last, uint64_t snapshot_index);
void raft_apply_done(struct raft *r, uint64_t index, uint64_t bytes, uint64_t payload);

/* role.c */
void raft_become_follower(struct raft *r, uint64_t term, uint64_t lead);
enum raft_campaign { RAFT_CAMPAIGN_PRE_VOTE, RAFT_CAMPAIGN_VOTE, RAFT_CAMPAIGN_TRANSFER };
void raft_hup(struct raft *r, enum raft_campaign kind);
void raft_handle_vote(struct raft *r, const struct raft_message *m);
void raft_handle_vote_resp(struct raft *r, const struct raft_message *m);
bool raft_vote_is_forced(const struct raft_message *m);
bool raft_promotable(const struct raft *r);
void raft_log_vote(struct raft *r, const struct raft_message *m, const char *what, const char *link, const char *tail);

/* send.c */
void raft_send(struct raft *r, struct raft_message *take);      /* leaves *take zeroed */
bool raft_maybe_send_append(struct raft *r, struct raft_progress *p, bool if_empty);
void raft_broadcast_append(struct raft *r);
void raft_broadcast_heartbeat(struct raft *r);
void raft_send_timeout_now(struct raft *r, uint64_t to);

/* leader.c */
err_t raft_step_leader(struct raft *r, struct raft_message *m);
/* Appends to the log and replicates; moves the entries, or drops their data when it refuses. */
err_t raft_leader_propose(struct raft *r, struct raft_entry *take, size_t count);
bool raft_append_entries(struct raft *r, struct raft_entry *take, size_t count);
bool raft_maybe_commit(struct raft *r);

/* follower.c */
err_t raft_step_follower(struct raft *r, struct raft_message *m);
err_t raft_step_candidate(struct raft *r, struct raft_message *m);

/* read.c */
void raft_read_request(struct raft *r, struct raft_message *m);
void raft_read_ack(struct raft *r, struct raft_progress *p, const struct raft_message *m);
void raft_release_queued_reads(struct raft *r);
/* The position that heartbeats carry: everything before it is confirmed with their answers. 0: none waits. */
uint64_t raft_reads_position(const struct raft *r);
void raft_reads_reset(struct raft *r);
void raft_reads_fini(struct raft *r);
void raft_push_read_state(struct raft *r, uint64_t index, struct blob *take_ctx);

/* conf.c */
/* Refused changes among the entries become empty entries; ERR_PROPOSAL_DROPPED for one that cannot be decoded. */
err_t raft_check_proposed_changes(struct raft *r, struct raft_entry *entries, size_t count);
void raft_switch_to(struct raft *r, struct raft_membership *take);
void raft_restore_membership(struct raft *r, const struct raft_conf_state *cs);
void raft_maybe_leave_joint(struct raft *r);

/* Text for one argument of a log line; nothing is built when nobody listens. End with raft_text_fini. */
struct raft_text {
	struct buf buf;
};

const char *raft_text_progress(const struct raft *r, struct raft_text *t, const struct raft_progress *p);
const char *raft_text_conf(const struct raft *r, struct raft_text *t);
void raft_text_fini(struct raft_text *t);
void raft_conf_state_print(const struct raft_conf_state *cs, struct buf *out);
void raft_conf_change_print(const struct raft_conf_change_v2 *cc, struct buf *out);

#define RAFT_LOGF(r, level, ...) raft_logf(&(r)->logger, RAFT_LOG_##level, __VA_ARGS__)

#endif
