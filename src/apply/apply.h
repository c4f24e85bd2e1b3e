/* From committed entry to replicated state, in order and identically on every member, ours or Go's, to the byte of every
 * bucket (lease TTL and storage version aside).
 *
 *	apply_entry(&a, &entry, full, wanted, &out);
 *	... out.err, out.resp for the waiter of out.id; out.events for the watch hub; out.effects for the node ...
 *	apply_out_clear(&out);
 *
 * full: the entry's index is above the consistent index of the backend; else it was applied before a restart and only
 * what lives in memory alone follows (cluster version, member attributes, downgrade info).
 * wanted: somebody here waits for the answer; without, reads in the log are skipped and no response is encoded.
 * Pure; core actor only. An entry that we cannot parse or do not know gives ERR_UNSUPPORTED from apply_entry itself: the
 * member must stop, for skipping it would make members differ. Source: spec apply.md (etcd v3.7.1, server/etcdserver/apply). */
#ifndef APPLY_APPLY_H
#define APPLY_APPLY_H

#include "alarm/alarm.h"
#include "auth/auth.h"
#include "auth/token.h"
#include "lease/lease.h"
#include "member/member.h"
#include "mvcc/mvcc.h"
#include "pb/raftpb.h"
#include "pb/rpc.h"

/* What the node has to see to. */
enum apply_effect {
	APPLY_NOOP = 1,                 /* first entry of a leader's term */
	APPLY_ALARMS = 2,               /* the set of alarms changed, or may have: commit */
	APPLY_OVER_QUOTA = 4,           /* raise NOSPACE for this member; the answer waits for it */
	APPLY_COMPACT = 8,              /* a compaction was scheduled: commit, then rows in the background */
	APPLY_CLUSTER_VERSION = 16,
	APPLY_MEMBERS = 32,
	APPLY_DELETED = 64,             /* rows were deleted: upstream commits at once */
	APPLY_LEASES = 128,
	APPLY_AUTH = 256,               /* users, roles or permissions changed, or auth was switched */
};

struct apply {
	struct mvcc *mvcc;
	struct lessor *lessor;
	struct alarms *alarms;
	struct members *members;
	struct auth *auth;
	struct tokens *tokens;          /* with TOKEN_SIMPLE; else NULL */
	enum token_kind token_kind;
	int bcrypt_cost;                /* for entries of versions before 3.5, which carry the password */
	struct backend *backend;
	uint64_t cluster_id;
	uint64_t member_id;
	int64_t quota_bytes;            /* > 0; negative: none */
	uint64_t (*size_bytes)(void *arg);      /* of the backend file, for the quota */
	void *size_arg;

	/* set by the node before each entry */
	uint64_t now_ns;
	uint64_t term;                  /* raft's, for headers */

	struct arena arena;             /* of the entry being applied */
};

struct apply_out {
	uint64_t id;                    /* request id; 0: none */
	uint32_t field;                 /* enum internal_field; 0: no request */
	err_t err;
	struct buf resp;                /* the encoded response message, header included */
	struct mvcc_events events;
	uint32_t effects;
	int64_t compact_rev;            /* with APPLY_COMPACT */
};

/* The lessor for auth_check_put and its like. */
struct auth_leases apply_auth_leases(struct lessor *l);

void apply_init(struct apply *a);
void apply_fini(struct apply *a);
void apply_out_init(struct apply_out *out);
void apply_out_clear(struct apply_out *out);
void apply_out_fini(struct apply_out *out);

/* What a request is called in metrics and logs, by its field of InternalRaftRequest; "unknown" for others. */
const char *apply_request_name(uint32_t field);

/* True if the entry's request is one that has a waiter by this id (peeks; 0 if it does not parse). */
uint64_t apply_entry_id(const struct raft_entry *e);

/* A normal entry. ERR_UNSUPPORTED with a line in why: stop the member. */
NODISCARD err_t apply_entry(struct apply *a, const struct raft_entry *e, bool full, bool wanted, struct apply_out *out, struct why *why);

/* Would apply_entry take it? For the check of a data directory before anything is written. */
NODISCARD err_t apply_check_entry(const struct raft_entry *e, struct why *why);

#endif
