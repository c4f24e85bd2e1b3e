/* Leases: who exists, until when, and which keys hang on them. Replicated through the log (grant, revoke,
 * checkpoint), rows in bucket lease; attachments are rebuilt from bucket key. Pure; core actor only.
 *
 *	l = lessor_new(&cfg);  lessor_load(l, key, value) for each row; then mvcc_load with lessor_mvcc_ops()
 *	lease_grant(l, id, ttl_s, now, &ttl_s);                 applied entry
 *	lease_revoke(l, id, &gone);                             applied entry
 *	mvcc_delete_keys(m, gone.keys, gone.count, …); lease_revoked_fini(&gone);
 *	lessor_promote(l, now, election_ns);                    first entry of the own term applied
 *	lessor_tick(l, now);                                    at lessor_next_ns
 *	while (lease_next_revoke(l, &id)) propose(revoke id);   lease_revoke_ended(l) when it was answered
 *
 * Time is monotonic nanoseconds of this member; only the primary lessor (the leader) has expiries, elsewhere
 * leases never expire. TTLs are whole seconds.
 * Bounds: at most LEASE_ROUND_MAX leases become due per round, LEASE_REVOKES_MAX proposals are in flight, a lease that
 * is still there LEASE_RETRY_NS later is due again: 100,000 leases that expire together are revoked at 1,000 a second.
 * Costs: grant, revoke, attach, detach, renew O(1) or O(log leases); lease_list and lessor_promote sort all leases.
 * Memory (measured with glibc): 127 bytes a lease, 65 + key bytes an attached key. */
#ifndef LEASE_LEASE_H
#define LEASE_LEASE_H

#include "backend/store.h"
#include "base/buf.h"
#include "mvcc/mvcc.h"

struct lessor;

#define LEASE_TTL_S_MAX 9000000000
#define LEASE_ROUND_NS 500000000ull
#define LEASE_ROUND_MAX 500
#define LEASE_REVOKES_MAX 16
#define LEASE_RETRY_NS 3000000000ull
#define LEASE_CHECKPOINT_MAX 1000  /* per entry */
#define LEASE_EXPIRE_PER_S_MAX 750 /* what promotion lets expire in one second */
#define LEASE_NEVER_NS UINT64_MAX

struct lessor_config {
	const struct store *store; /* must outlive the lessor */
	int64_t ttl_s_min;         /* smaller grants are raised to it: lease_ttl_s_min() */
	uint64_t hash_seed;
	bool checkpoints;       /* feature LeaseCheckpoint */
	uint64_t checkpoint_ns; /* 0 = 5 min */
};

/* ceil(((3 * election_ticks) / 2) * heartbeat), in seconds. */
int64_t lease_ttl_s_min(uint32_t election_ticks, uint32_t heartbeat_ms);

struct lessor *lessor_new(const struct lessor_config *cfg);
void lessor_free(struct lessor *l); /* NULL allowed */
/* Forgets all leases and attachments (a snapshot is about to be loaded); is not primary any more. */
void lessor_clear(struct lessor *l);
/* One row of bucket lease. ERR_CORRUPT_FILE. */
NODISCARD err_t lessor_load(struct lessor *l, struct slice key, struct slice value);
/* The functions that mvcc calls, with arg = the lessor. */
struct mvcc_lease_ops lessor_mvcc_ops(void);

/* ---- applied entries ---- */

/* ERR_LEASE_NOT_FOUND (id 0, as upstream), ERR_LEASE_TTL_TOO_LARGE, ERR_LEASE_EXIST. ttl_s_out: what was granted. */
NODISCARD err_t lease_grant(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ns, int64_t *ttl_s_out);

/* What a revocation leaves to delete; the keys belong to the caller till fini. */
struct lease_revoked {
	struct slice *keys; /* bytewise ascending, each once */
	size_t count;
	void **items; /* private */
};

/* The lease, its row and its attachments are gone; the keys are for mvcc_delete_keys. ERR_LEASE_NOT_FOUND. */
NODISCARD err_t lease_revoke(struct lessor *l, int64_t id, struct lease_revoked *out);
void lease_revoked_fini(struct lease_revoked *r);

/* Applied checkpoint of one lease; unknown ids are ignored. persist: write the row (cluster version >= 3.6 or feature
 * LeaseCheckpointPersist). */
void lease_checkpoint(struct lessor *l, int64_t id, int64_t remaining_s, bool persist, uint64_t now_ns);

/* ---- attachments (also through lessor_mvcc_ops) ---- */

bool lease_exists(const struct lessor *l, int64_t id);
/* The key belongs to this lease only. Unknown lease: to none. */
void lease_attach(struct lessor *l, int64_t id, struct slice key);
void lease_detach(struct lessor *l, struct slice key);
/* 0: none. */
int64_t lease_of_key(const struct lessor *l, struct slice key);
size_t lease_key_count(const struct lessor *l, int64_t id);
/* The i-th attached key, i < lease_key_count, in no meaningful order; borrowed until the next change. */
struct slice lease_key_at(const struct lessor *l, int64_t id, size_t i);

/* ---- questions of clients ---- */

/* Restarts the lease's time; OK and the granted TTL. ERR_NOT_PRIMARY_LESSOR; ERR_LEASE_NOT_FOUND; ERR_AGAIN: expired,
 * its revocation is under way: ask again when it was revoked or leadership was lost. *clear_checkpoint: a remaining TTL
 * is stored; propose a checkpoint of 0 for it, wait till that is applied, and ask again. */
NODISCARD err_t lease_renew(struct lessor *l, int64_t id, uint64_t now_ns, int64_t *ttl_s_out, bool *clear_checkpoint);

struct lease_info {
	int64_t id;
	int64_t ttl_s;        /* granted */
	int64_t remaining_s;  /* cut to whole seconds; may be 0 or negative once expired. Not primary: INT64_MAX */
	int64_t checkpoint_s; /* stored remaining TTL, 0 = none */
	size_t key_count;
};

/* ERR_LEASE_NOT_FOUND. */
NODISCARD err_t lease_get(const struct lessor *l, int64_t id, uint64_t now_ns, struct lease_info *out);
/* Every id, by remaining time ascending (primary), ties and otherwise by id. *out is the caller's (mem_free). */
size_t lease_list(const struct lessor *l, int64_t **out);
size_t lease_count(const struct lessor *l);
/* LeaseTimeToLiveResponse without header (fields 2..5): unknown id gives TTL -1; LeaseLeasesResponse without header. */
void lease_ttl_encode(const struct lessor *l, int64_t id, uint64_t now_ns, bool want_keys, struct buf *out);
void lease_list_encode(const struct lessor *l, struct buf *out);

/* ---- leadership and time ---- */

/* Every lease expires at now + extend + (stored remaining TTL or TTL); above 1,000 leases spread, so that at most
 * LEASE_EXPIRE_PER_S_MAX expire in any second. */
void lessor_promote(struct lessor *l, uint64_t now_ns, uint64_t extend_ns);
/* No expiries any more; what was due is forgotten. */
void lessor_demote(struct lessor *l);
bool lessor_is_primary(const struct lessor *l);

/* One round, at most one per LEASE_ROUND_NS (calls in between do nothing). */
void lessor_tick(struct lessor *l, uint64_t now_ns);
/* When the next tick has work; LEASE_NEVER_NS if none. */
uint64_t lessor_next_ns(const struct lessor *l);
/* Next id to propose a revocation for; false: none due, or LEASE_REVOKES_MAX in flight. */
bool lease_next_revoke(struct lessor *l, int64_t *id);
/* The proposal was answered, whatever came of it; lets the next one go. */
void lease_revoke_ended(struct lessor *l);

/* Checkpoints that are due, at most LEASE_CHECKPOINT_MAX per call: ids and remaining seconds. Returns how many. */
struct lease_remaining {
	int64_t id;
	int64_t remaining_s;
};
size_t lease_take_checkpoints(struct lessor *l, uint64_t now_ns, struct lease_remaining out[LEASE_CHECKPOINT_MAX]);

struct lease_stats {
	uint64_t leases;
	uint64_t attached_keys;
	uint64_t granted, revoked, renewed, expired; /* since start */
	uint64_t bytes;                              /* memory */
};
void lessor_stats(const struct lessor *l, struct lease_stats *out);

/* Heap order, map and lists agree. Deep. */
void lessor_check(const struct lessor *l);

#endif
