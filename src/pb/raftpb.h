/* raftpb and walpb (raft v3.7.0, proto2): the messages of the log, the WAL and the wire between members, as plain
 * structs with codecs. Pure. Entry data and message contexts are counted blobs, so an entry is never copied on its
 * way from the proposal to the WAL, the peers and apply. Field numbers: spec api.tsv. */
#ifndef PB_RAFTPB_H
#define PB_RAFTPB_H

#include "base/blob.h"
#include "base/buf.h"
#include "base/ids.h"
#include "base/mem.h"

enum raft_entry_type { ENTRY_NORMAL = 0, ENTRY_CONF_CHANGE = 1, ENTRY_CONF_CHANGE_V2 = 2 };

struct raft_entry {
	uint64_t term;
	uint64_t index;
	enum raft_entry_type type;
	struct blob *data;              /* counted; NULL = absent */
};

struct raft_hard_state {
	uint64_t term;
	uint64_t vote;
	uint64_t commit;
};

/* As read from the wire the lists are in its order, in raft ascending. */
struct raft_conf_state {
	struct ids voters;
	struct ids learners;
	struct ids voters_outgoing;
	struct ids learners_next;
	bool auto_leave;
};

struct raft_snapshot {
	struct blob *data;
	struct raft_conf_state conf_state;
	uint64_t index;
	uint64_t term;
};

enum raft_msg_type {
	MSG_HUP = 0, MSG_BEAT = 1, MSG_PROP = 2, MSG_APP = 3, MSG_APP_RESP = 4, MSG_VOTE = 5, MSG_VOTE_RESP = 6,
	MSG_SNAP = 7, MSG_HEARTBEAT = 8, MSG_HEARTBEAT_RESP = 9, MSG_UNREACHABLE = 10, MSG_SNAP_STATUS = 11,
	MSG_CHECK_QUORUM = 12, MSG_TRANSFER_LEADER = 13, MSG_TIMEOUT_NOW = 14, MSG_READ_INDEX = 15,
	MSG_READ_INDEX_RESP = 16, MSG_PRE_VOTE = 17, MSG_PRE_VOTE_RESP = 18, MSG_STORAGE_APPEND = 19,
	MSG_STORAGE_APPEND_RESP = 20, MSG_STORAGE_APPLY = 21, MSG_STORAGE_APPLY_RESP = 22, MSG_FORGET_LEADER = 23,
	RAFT_MSG_TYPE_COUNT
};

struct raft_message {
	enum raft_msg_type type;
	uint64_t to;
	uint64_t from;
	uint64_t term;
	uint64_t log_term;
	uint64_t index;
	uint64_t commit;
	uint64_t vote;
	bool reject;
	uint64_t reject_hint;
	struct raft_entry *entries;     /* owned array, each holds a ref on its data */
	size_t entry_count;
	struct raft_snapshot *snapshot; /* owned; NULL = none */
	struct blob *context;           /* counted */
	struct raft_message *responses; /* owned array: MSG_STORAGE_APPEND and MSG_STORAGE_APPLY */
	size_t response_count;
};

enum raft_conf_change_type { CONF_ADD_NODE = 0, CONF_REMOVE_NODE = 1, CONF_UPDATE_NODE = 2, CONF_ADD_LEARNER = 3 };

struct raft_conf_change {
	uint64_t id;
	enum raft_conf_change_type type;
	uint64_t node_id;
	struct slice context;           /* borrowed from the entry */
};

struct raft_conf_change_single {
	enum raft_conf_change_type type;
	uint64_t node_id;
};

enum raft_conf_transition { CONF_TRANSITION_AUTO = 0, CONF_TRANSITION_JOINT_IMPLICIT = 1, CONF_TRANSITION_JOINT_EXPLICIT = 2 };

struct raft_conf_change_v2 {
	enum raft_conf_transition transition;
	struct raft_conf_change_single *changes;        /* owned array */
	size_t change_count;
	struct slice context;
};

/* Encoded size and encoding. Entry: the v3.7 form (Type left out when normal, Data when empty, Term and Index
 * always written). size_t results are exact. */
size_t raft_entry_size(const struct raft_entry *e);
void raft_entry_encode(const struct raft_entry *e, struct buf *out);
/* *out owns a new blob for the data, NULL if empty. ERR_MALFORMED; what proto2 parsers of Go accept is accepted,
 * also a type that is none of ours (Go keeps it as well): who applies the entry must look. */
NODISCARD err_t raft_entry_decode(struct slice s, struct raft_entry *out);
void raft_entry_fini(struct raft_entry *e);
struct raft_entry raft_entry_ref(const struct raft_entry *e);           /* a copy with its own ref */

void raft_hard_state_encode(const struct raft_hard_state *h, struct buf *out);
NODISCARD err_t raft_hard_state_decode(struct slice s, struct raft_hard_state *out);

void raft_conf_state_encode(const struct raft_conf_state *c, struct buf *out);
NODISCARD err_t raft_conf_state_decode(struct slice s, struct raft_conf_state *out);
void raft_conf_state_copy(struct raft_conf_state *out, const struct raft_conf_state *c);
void raft_conf_state_fini(struct raft_conf_state *c);

void raft_snapshot_encode(const struct raft_snapshot *s, struct buf *out);
NODISCARD err_t raft_snapshot_decode(struct slice s, struct raft_snapshot *out);
void raft_snapshot_copy(struct raft_snapshot *out, const struct raft_snapshot *s);
void raft_snapshot_fini(struct raft_snapshot *s);

void raft_message_encode(const struct raft_message *m, struct buf *out);
/* Bounded: entry_count and nesting are limited by the input's size; responses nest one level only.
 * ERR_MALFORMED, also for a type >= RAFT_MSG_TYPE_COUNT. The empty snapshot that older members put into every
 * message is dropped: snapshot is set for MSG_SNAP only, or if it has an index. */
NODISCARD err_t raft_message_decode(struct slice s, struct raft_message *out);
void raft_message_fini(struct raft_message *m);

void raft_conf_change_encode(const struct raft_conf_change *c, struct buf *out);
NODISCARD err_t raft_conf_change_decode(struct slice s, struct raft_conf_change *out);
void raft_conf_change_v2_encode(const struct raft_conf_change_v2 *c, struct buf *out);
NODISCARD err_t raft_conf_change_v2_decode(struct slice s, struct raft_conf_change_v2 *out);
void raft_conf_change_v2_fini(struct raft_conf_change_v2 *c);

/* walpb.Snapshot: index, term always present; conf_state for every index > 0. */
struct wal_snapshot_mark {
	uint64_t index;
	uint64_t term;
	bool has_conf_state;
	struct raft_conf_state conf_state;
};

void wal_snapshot_mark_encode(const struct wal_snapshot_mark *m, struct buf *out);
NODISCARD err_t wal_snapshot_mark_decode(struct slice s, struct wal_snapshot_mark *out);
void wal_snapshot_mark_fini(struct wal_snapshot_mark *m);

#endif
