/* What the cluster has committed, and what must follow from it: the checker's one source of truth.
 *
 * The node shows each committed entry in front of its application (node_hooks.applying). The first member that applies an index
 * extends the log here; whoever applies it later, also after a restart, must apply the same. So a lost acknowledged write, two leaders
 * in a term, or an entry that changes are found the moment they happen. Each entry is applied at once to a naive twin of the key space
 * (tests/model/mvcc_twin.h), to leases, to alarms, and to users and roles (rights.h); answers and watch events are compared with
 * what comes out, byte for byte. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "../model/mvcc_twin.h"
#include "base/arena.h"
#include "pb/raftpb.h"
#include "rights.h"

/* Every request of a client that goes into the log carries its number in this field, which no message has: parsers skip it, and
 * the entry tells whose it is. */
#define MODEL_TAG_FIELD 15000u

struct model_entry {
	uint64_t term;
	enum raft_entry_type type;
	struct blob *data;
	uint64_t first_ns;              /* first applied anywhere */
	int64_t rev;                    /* of the store behind it */
};

struct model_event {
	int64_t rev;
	struct slice key;               /* lives as long as the model */
	enum event_type type;
	struct blob *plain;             /* encoded Event */
	struct blob *with_prev;         /* NULL: there is no previous value */
};

struct model_lease {
	int64_t id, ttl_s;
	uint64_t granted_ns;            /* first applied anywhere */
	uint64_t revoked_ns;            /* 0: it lives */
	uint64_t sure_ns;               /* not to be revoked by expiry before: what clients were promised */
};

/* What became of a client's request that went through the log. */
struct model_result {
	uint64_t index;                 /* 0: not in the log */
	int64_t rev;                    /* of the store behind it: what the header says */
	err_t err;
	struct blob *answer;            /* without header */
	unsigned who;                   /* that asked: rights.h */
};

/* Users and roles from an index on. */
struct model_rights {
	uint64_t index;
	struct rights r;
};

struct model_vote {
	uint64_t term, member, candidate;
};

struct model {
	uint64_t seed;
	VEC(uint64_t) leaders;          /* by term; 0 = none seen */
	VEC(uint64_t) begun_ns;         /* by term: when its first entry was first applied */
	VEC(struct model_vote) votes;
	VEC(struct model_entry) log;    /* [i]: index i + 1 */
	VEC(struct model_result) results;       /* by tag */
	VEC(struct model_event) events; /* ascending by revision, then as they were made */
	VEC(struct model_lease) leases;
	VEC(int64_t) alive;             /* ids of leases, for the twin */
	VEC(uint64_t) compacted_ns;     /* [rev]: when a compaction at or above rev was first applied; 0 = never */
	VEC(uint64_t) nospace;          /* members with the alarm */
	bool with_rights;               /* else nobody turns authentication on, and users and roles are not followed */
	struct rights rights;
	VEC(struct model_rights) rights_log;    /* ascending; from index 0 on */
	struct twin twin;
	int64_t compact_rev;
	uint64_t expired;               /* leases revoked by the server */
	struct arena arena;
};

void model_init(struct model *m, uint64_t seed);
void model_fini(struct model *m);

/* A member applies e. Fails the run if it is not what was committed there. */
void model_applying(struct model *m, const struct raft_entry *e, const char *who, uint64_t now_ns);

/* What members tell each other: one leader in a term, one vote of a member in a term. */
void model_leads(struct model *m, uint64_t term, uint64_t member);
void model_voted(struct model *m, uint64_t term, uint64_t member, uint64_t candidate);

/* The answers to reads at a revision at which the store was; errors only of the request itself. Without header. */
err_t model_range_at(struct model *m, const struct range_req *r, int64_t rev, struct buf *out);
err_t model_txn_at(struct model *m, const struct txn_req *r, int64_t rev, struct buf *out);
/* HashKV of rev may be the one that a compaction there has kept. */
bool model_hash_is(struct model *m, int64_t rev, int64_t compact_rev, uint32_t hash);

/* With rights. Was who allowed to do the read at revision rev, in a state of index floor or later? txn: of a txn, else of a range. */
bool model_read_allowed(struct model *m, unsigned who, const struct range_req *r, const struct txn_req *txn, int64_t rev, uint64_t floor);
/* Could it be refused with that error, in a state of index floor or later? */
bool model_read_refused(struct model *m, unsigned who, const struct range_req *r, const struct txn_req *txn, uint64_t floor, err_t err);

/* The only member was paused for longer than an election timeout: what had not expired before has its whole time again. */
void model_gap(struct model *m, uint64_t from_ns, uint64_t to_ns);
/* NULL: never granted. */
struct model_lease *model_lease(struct model *m, int64_t id);
/* Index of the first event with a revision >= rev. */
size_t model_event_from(const struct model *m, int64_t rev);
bool model_key_in(struct slice key, struct slice begin, struct slice end);

/* Ends the process: the run of this seed has failed. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
