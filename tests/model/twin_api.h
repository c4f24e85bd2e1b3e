/* The naive key space (mvcc_twin.h) behind the calls of the API: encoded requests in, the answer that the server must give
 * out. Leases are a table of ids; they expire when told. Also the driver's side: a call made, and its answer compared. */
#ifndef TESTS_MODEL_TWIN_API_H
#define TESTS_MODEL_TWIN_API_H

#include "../lib/driver.h"
#include "mvcc_twin.h"

enum { TWIN_LEASES = 6 };

struct twin_api {
	struct twin t;
	int64_t leases[TWIN_LEASES]; /* leases[i]: i + 1, or 0 if there is none */
};

void twin_api_init(struct twin_api *a);
void twin_api_fini(struct twin_api *a);

/* Range, Put, DeleteRange, Txn, Compact, LeaseGrant (ids 1..TWIN_LEASES), LeaseRevoke, HashKV. *want: the fields of the
 * response but its header. compact_hash: the compaction's hash is kept, as the server does unless one was running. */
err_t twin_api_call(struct twin_api *a, enum rpc method, struct slice body, bool compact_hash, struct buf *want);
void twin_api_expire(struct twin_api *a, int64_t lease);

/* Splits a response: the header's revision, and the other fields in their order. */
void answer_split(struct slice answer, int64_t *header_rev, struct buf *fields);

/* Everything that can be asked: each revision that is not compacted, counts, leases and their keys, the hash. False, and
 * one line in why: it differs. */
bool twin_api_same(const struct twin_api *a, struct driver *d, struct why *why);

#endif
