/* Raft: elections, replication, configuration changes, reads. Behaves as go.etcd.io/raft v3.7.0 to the message, so
 * that members of both kinds form one cluster.
 *
 * Pure: no clock, thread, file, socket or random source. Time comes in as raft_tick(), randomness as a seed,
 * messages as raft_step(); what is to be persisted, sent and applied comes out as struct raft_ready. One raft object
 * belongs to one actor (core); nothing here may be called from two threads at once, and no callback (storage, log)
 * may call back into the object.
 *
 *	struct raft *r = raft_new(&config);                     // config.storage holds what the disk had
 *	raft_tick(r);  raft_step(r, &m);  raft_propose(r, blobs, n);
 *	while (raft_has_ready(r)) {
 *		raft_ready(r, &rd);
 *		... persist, send, apply ...                    // see struct raft_ready
 *		raft_ready_clear(&rd);
 *		raft_advance(r);                                // only without async_storage_writes
 *	}
 *	raft_free(r);
 *
 * Ownership in one line each. take_ parameters are consumed, also on failure. Messages in a ready may be taken
 * (raft_message_take); what is left is dropped by raft_ready_clear. Entry data are counted blobs: nothing is copied
 * between proposal, log, messages and apply. const pointers that are returned are borrowed; each says until when.
 *
 * Where it differs from upstream, on purpose: reads of one-voter clusters wait for a commit of the term (see
 * only_voter_reads_at_once); reads that wait are bounded, further ones get lost as any may; messages that no correct
 * peer sends (no term or sender, entries out of order, acknowledgements beyond the log, changes that cannot be read,
 * impossible ConfStates) are dropped where upstream panics or believes them; raft_step_down, raft_set_may_campaign.
 *
 * Breaking the contract below, and states that only a damaged log can produce, are fatal (fatal(), after a line of
 * level RAFT_LOG_FATAL); messages from peers are otherwise never trusted to be sensible. */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include "base/buf.h"
#include "pb/raftpb.h"

#define RAFT_NONE UINT64_C(0)                   /* no node: no leader, no vote */
#define RAFT_APPEND_THREAD UINT64_MAX           /* `to` of MSG_STORAGE_APPEND, `from` of its response */
#define RAFT_APPLY_THREAD (UINT64_MAX - 1)      /* `to` of MSG_STORAGE_APPLY, `from` of its response */
#define RAFT_NO_LIMIT UINT64_MAX

enum raft_role { RAFT_FOLLOWER = 0, RAFT_CANDIDATE = 1, RAFT_LEADER = 2, RAFT_PRE_CANDIDATE = 3 };
enum raft_read_option { RAFT_READ_SAFE = 0, RAFT_READ_LEASE_BASED = 1 };
enum raft_log_level { RAFT_LOG_DEBUG, RAFT_LOG_INFO, RAFT_LOG_WARN, RAFT_LOG_ERROR, RAFT_LOG_FATAL };

/* ---- storage: the stable part of the log, as raft reads it ----------------------------------------------------
 *
 * Everything handed out is borrowed and must stay as it is until the storage is next changed by its owner. The owner
 * changes it only between calls into raft. ERR_RAFT_COMPACTED: below first_index (term also answers for
 * first_index - 1). ERR_RAFT_UNAVAILABLE: above last_index. */
struct raft_storage;

struct raft_storage_ops {
	void (*initial_state)(struct raft_storage *s, struct raft_hard_state *hs, const struct raft_conf_state **cs);
	/* Entries [lo, hi), as many from lo on as have a total encoded size <= size_max, at least one. lo < hi,
	 * hi <= last_index + 1. The array is borrowed, as are its blobs. */
	err_t (*entries)(struct raft_storage *s, uint64_t lo, uint64_t hi, uint64_t size_max,
			 const struct raft_entry **out, size_t *count);
	err_t (*term)(struct raft_storage *s, uint64_t index, uint64_t *out);
	uint64_t (*first_index)(struct raft_storage *s);        /* an empty log has first = last + 1 */
	uint64_t (*last_index)(struct raft_storage *s);
	/* The newest snapshot, to be sent to a peer; ERR_RAFT_SNAPSHOT_UNAVAILABLE: being made, raft asks again. */
	err_t (*snapshot)(struct raft_storage *s, const struct raft_snapshot **out);
};

struct raft_storage {
	const struct raft_storage_ops *ops;
};

/* The storage that a node uses beside its WAL: entries in one array, hard state, snapshot. */
struct raft_mem_storage;

struct raft_mem_storage *raft_mem_storage_new(void);
void raft_mem_storage_free(struct raft_mem_storage *s);
struct raft_storage *raft_mem_storage_base(struct raft_mem_storage *s);
void raft_mem_storage_set_hard_state(struct raft_mem_storage *s, const struct raft_hard_state *hs);
const struct raft_hard_state *raft_mem_storage_hard_state(const struct raft_mem_storage *s);
/* Appends; entries below first_index are skipped, an overlap replaces the tail, a gap is fatal. Takes refs of its own. */
void raft_mem_storage_append(struct raft_mem_storage *s, const struct raft_entry *entries, size_t count);
/* Drops entries <= index. ERR_RAFT_COMPACTED when they are gone already; index > last_index is fatal. */
NODISCARD err_t raft_mem_storage_compact(struct raft_mem_storage *s, uint64_t index);
/* Makes the snapshot at index (an entry still held, or the compaction point) with the ConfState given (copied) and
 * data (NULL allowed), keeping the log. ERR_RAFT_SNAPSHOT_OUT_OF_DATE when index is not above the present one's. */
NODISCARD err_t raft_mem_storage_create_snapshot(struct raft_mem_storage *s, uint64_t index,
						 const struct raft_conf_state *cs, struct blob *take_data);
/* Replaces log and snapshot by one received (copied). ERR_RAFT_SNAPSHOT_OUT_OF_DATE when it is not newer. */
NODISCARD err_t raft_mem_storage_apply_snapshot(struct raft_mem_storage *s, const struct raft_snapshot *snap);
const struct raft_snapshot *raft_mem_storage_snapshot(const struct raft_mem_storage *s);        /* index 0: none */
uint64_t raft_mem_storage_first_index(const struct raft_mem_storage *s);
uint64_t raft_mem_storage_last_index(const struct raft_mem_storage *s);
size_t raft_mem_storage_data_bytes(const struct raft_mem_storage *s);   /* entry data held, for budgets */

/* ---- life ------------------------------------------------------------------------------------------------------ */

struct raft_config {
	uint64_t id;                            /* not 0, not a thread id */
	uint32_t election_ticks;                /* > heartbeat_ticks */
	uint32_t heartbeat_ticks;               /* > 0 */
	struct raft_storage *storage;           /* outlives the raft object */
	uint64_t applied;                       /* what the application has applied; 0: comes out again */
	bool async_storage_writes;
	uint64_t max_size_per_msg;              /* bytes of encoded entries in a MSG_APP; at least one entry always goes */
	uint64_t max_committed_size_per_ready;  /* bytes being applied at a time; 0: max_size_per_msg */
	uint64_t max_uncommitted_entries_size;  /* bytes of entry data a leader takes uncommitted; 0: no limit */
	uint32_t max_inflight_msgs;             /* > 0, per follower */
	uint64_t max_inflight_bytes;            /* 0: no limit, else >= max_size_per_msg */
	bool check_quorum;
	bool pre_vote;
	enum raft_read_option read_option;      /* lease based requires check_quorum */
	/* With one voter upstream answers reads at once: even before anything of the term is committed, though after a
	 * power failure the commit index may come back lower than what was acknowledged; and even on a removed leader,
	 * that is not this voter. Such reads can be stale. Here they wait, unless this is set (for transcripts). */
	bool only_voter_reads_at_once;
	bool disable_proposal_forwarding;
	bool disable_conf_change_validation;
	bool step_down_on_removal;
	uint64_t random_seed;                   /* of the election timeouts: differs per member and start */
	/* Every line that upstream logs, as text; NULL: nothing is formatted. text is valid during the call. */
	void (*log)(void *ctx, enum raft_log_level level, const char *text);
	void *log_ctx;
};

/* Bad options are fatal. The config is copied. */
struct raft *raft_new(const struct raft_config *config);
void raft_free(struct raft *r);

struct raft_peer {
	uint64_t id;
	struct slice context;                   /* goes into the ConfChange of this peer */
};

/* The first start of a new cluster, every member with the same peers in the same order, before anything else. The
 * storage must be empty (ERR_RAFT_NOT_EMPTY) and count > 0 (ERR_INVALID). The log gets one committed ConfChange per
 * peer; they come out of the first ready and must be applied like any other. */
NODISCARD err_t raft_bootstrap(struct raft *r, const struct raft_peer *peers, size_t count);

/* ---- input ------------------------------------------------------------------------------------------------------ */

void raft_tick(struct raft *r);

/* A message from a peer or a storage thread; *take_m is consumed and left zeroed. ERR_RAFT_STEP_LOCAL: a type that
 * must not come from outside; ERR_RAFT_PEER_NOT_FOUND: a response of someone without progress (both may be ignored);
 * ERR_PROPOSAL_DROPPED: a forwarded MSG_PROP that was refused. */
NODISCARD err_t raft_step(struct raft *r, struct raft_message *take_m);

/* Proposes count > 0 normal entries as one MSG_PROP: all or none. take_data: each ref is consumed, the array stays
 * the caller's. ERR_PROPOSAL_DROPPED: no leader, transfer pending, forwarding disabled, not in the cluster, too much
 * uncommitted. OK promises nothing beyond having been appended or forwarded. */
NODISCARD err_t raft_propose(struct raft *r, struct blob *const *take_data, size_t count);
/* The same for one configuration change; it may still become an empty entry when it is not allowed now. The change is
 * encoded, nothing of it is kept. */
NODISCARD err_t raft_propose_conf_change(struct raft *r, const struct raft_conf_change *cc);
NODISCARD err_t raft_propose_conf_change_v2(struct raft *r, const struct raft_conf_change_v2 *cc);

/* Must be called for each committed conf change, in order, when it is applied; with a refused change (node_id 0) as
 * well. Returns the new configuration: borrowed until the configuration changes again. */
const struct raft_conf_state *raft_apply_conf_change(struct raft *r, const struct raft_conf_change *cc);
const struct raft_conf_state *raft_apply_conf_change_v2(struct raft *r, const struct raft_conf_change_v2 *cc);

/* Starts an election now (as if the timeout had passed). */
void raft_campaign(struct raft *r);
/* Asks for a read index; the answer is a read state with the same ctx (the ref is consumed), or never comes: no
 * leader, leader lost. The caller repeats. */
void raft_read_index(struct raft *r, struct blob *take_ctx);
/* Hands leadership to a voter; on a follower the request is forwarded. Success shows as a change of leader; it is
 * given up after election_ticks. */
void raft_transfer_leader(struct raft *r, uint64_t transferee);
void raft_forget_leader(struct raft *r);
/* What became of messages: the last send to id failed; a MSG_SNAP was delivered and installed, or not. */
void raft_report_unreachable(struct raft *r, uint64_t id);
void raft_report_snapshot(struct raft *r, uint64_t id, bool failed);

/* Beyond upstream, for a member whose disk hangs: a leader becomes follower of its term with no leader known; and no
 * campaign starts (timeouts, raft_campaign, MSG_TIMEOUT_NOW are ignored) until allowed again. Allowed at start. */
void raft_step_down(struct raft *r);
void raft_set_may_campaign(struct raft *r, bool allowed);

/* ---- output ----------------------------------------------------------------------------------------------------- */

struct raft_soft_state {
	uint64_t lead;
	enum raft_role role;
};

struct raft_read_state {
	uint64_t index;                         /* the read may be served once this is applied */
	struct blob *ctx;
};

/* What has to be done, in this order where it matters.
 *
 * Without async_storage_writes: persist snapshot, then entries and hard_state in one write, synced if must_sync; send
 * messages (none of them before that write, except by a leader); apply snapshot and committed_entries, with
 * raft_apply_conf_change for each conf change; raft_advance. No second ready before raft_advance.
 *
 * With async_storage_writes: messages may hold, at its end, one MSG_STORAGE_APPEND and one MSG_STORAGE_APPLY, which
 * say all that entries, hard_state, snapshot and committed_entries say. All other messages may be sent at once. Each
 * of the two queues is worked off in order, without loss: an append is made durable (entries; hard state if term,
 * vote or commit is set; snapshot), an apply is applied; then the message's responses are delivered: those with
 * `to` = own id by raft_step, in order, others to peers. An append without responses needs no durability. The next
 * ready need not wait for anything. A snapshot that is restored overtakes applies handed out before it: entries below
 * raft_first_index() at the time of applying must not reach raft_apply_conf_change any more (the responses still are
 * delivered).
 *
 * Zero it before first use and use it again and again: raft_ready_clear keeps its arrays. */
struct raft_ready {
	bool has_soft_state;                    /* lead or role changed */
	bool has_hard_state;                    /* term, vote or commit changed */
	bool must_sync;                         /* entries, term or vote are in it */
	struct raft_soft_state soft_state;
	struct raft_hard_state hard_state;
	const struct raft_read_state *read_states;      /* blobs: borrowed until clear */
	size_t read_state_count;
	const struct raft_entry *entries;               /* borrowed until clear, in async mode from the messages */
	size_t entry_count;
	const struct raft_snapshot *snapshot;           /* NULL: none; borrowed likewise */
	const struct raft_entry *committed_entries;     /* borrowed likewise */
	size_t committed_entry_count;
	struct raft_message *messages;                  /* each may be taken */
	size_t message_count;

	struct raft_ready_room *room;                   /* private */
};

bool raft_has_ready(const struct raft *r);
/* Fills *out, which must be fresh or cleared, and takes note of what was handed out. */
void raft_ready(struct raft *r, struct raft_ready *out);
/* Drops the content. Before raft_advance or after it, and also after the raft object is gone. */
void raft_ready_clear(struct raft_ready *rd);
void raft_ready_fini(struct raft_ready *rd);
/* Everything in the last ready is done. Only without async_storage_writes. */
void raft_advance(struct raft *r);

/* The message becomes the caller's (to be ended with raft_message_fini); its place is left zeroed. */
static inline struct raft_message raft_message_take(struct raft_message *m)
{
	struct raft_message taken = *m;

	*m = (struct raft_message){0};
	return taken;
}

/* ---- state ------------------------------------------------------------------------------------------------------ */

uint64_t raft_id(const struct raft *r);
uint64_t raft_term(const struct raft *r);
uint64_t raft_lead(const struct raft *r);
enum raft_role raft_role(const struct raft *r);
uint64_t raft_commit(const struct raft *r);
uint64_t raft_applied(const struct raft *r);            /* as reported back by advance or MSG_STORAGE_APPLY_RESP */
uint64_t raft_first_index(const struct raft *r);
uint64_t raft_last_index(const struct raft *r);         /* unstable entries included */
uint64_t raft_lead_transferee(const struct raft *r);
bool raft_is_learner(const struct raft *r);
bool raft_is_voter(const struct raft *r);               /* in either half of the configuration */
bool raft_is_only_voter(const struct raft *r);          /* and not joint */
/* An entry of the own term is committed: a leader may answer reads. */
bool raft_committed_in_term(const struct raft *r);
struct raft_hard_state raft_hard_state(const struct raft *r);
const struct raft_conf_state *raft_conf_state(const struct raft *r);    /* borrowed until it changes */
/* A leader proposes no change of membership before this index is applied; 0 elsewhere. */
uint64_t raft_pending_conf_index(const struct raft *r);
/* Fixes the present election timeout, until the next reset of the role draws a new one. For transcripts and tests. */
void raft_set_election_timeout(struct raft *r, uint32_t ticks);

enum raft_progress_state { RAFT_PROBE = 0, RAFT_REPLICATE = 1, RAFT_SNAPSHOT = 2 };

struct raft_peer_status {
	uint64_t id;
	uint64_t match;
	uint64_t next;
	enum raft_progress_state state;
	bool is_learner;
	bool recent_active;
	bool paused;
	bool inflight_full;
	size_t inflight_count;
	uint64_t pending_snapshot;
};

/* A leader knows the progress of every member, itself included; false (and *out untouched) elsewhere or if id has none. */
bool raft_peer_status(const struct raft *r, uint64_t id, struct raft_peer_status *out);

struct raft_status {
	uint64_t id;
	struct raft_hard_state hard_state;
	struct raft_soft_state soft_state;
	uint64_t applied;
	uint64_t lead_transferee;
	const struct raft_conf_state *conf_state;       /* borrowed until it changes */
	struct raft_peer_status *peers;                 /* owned; ascending by id; empty unless leader */
	size_t peer_count;
};

void raft_status(const struct raft *r, struct raft_status *out);
void raft_status_fini(struct raft_status *s);
/* The JSON that upstream prints (raft.status of /debug/vars). */
void raft_status_json(const struct raft_status *s, struct buf *out);

/* ---- for people and tests --------------------------------------------------------------------------------------- */

/* Asserts every invariant of the object; O(log in memory + members). */
void raft_check(const struct raft *r);
/* Id, role, term, log and progress in a few lines. */
void raft_print(const struct raft *r, struct buf *out);

/* Upstream's names and descriptions; no trailing newline unless said. */
const char *raft_role_name(enum raft_role role);                /* StateFollower, … */
const char *raft_msg_type_name(enum raft_msg_type type);        /* MsgApp, … */
const char *raft_progress_state_name(enum raft_progress_state state);
void raft_entry_print(const struct raft_entry *e, struct buf *out);
void raft_message_print(const struct raft_message *m, const char *indent, struct buf *out);
void raft_snapshot_print(const struct raft_snapshot *s, struct buf *out);
void raft_ready_print(const struct raft_ready *rd, struct buf *out);    /* lines, or "<empty Ready>" without one */
void raft_peer_status_print(const struct raft_peer_status *p, struct buf *out);
void raft_configuration_print(const struct raft *r, struct buf *out);   /* voters=(1 2)&&(2 3) learners=(4) … */

#endif
