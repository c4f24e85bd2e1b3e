/* The transactions that leasing.c asks the cluster, and what stands in the answers: bytes only. Private to the proxy.
 *
 * Leasing keys are written with the prefix in front of key; the end of an interval of them, too. */
#ifndef PROXY_LEASING_TXN_H
#define PROXY_LEASING_TXN_H

#include "pb/kv.h"
#include "pb/rpc.h"
#include "pb/wire.h"
#include "proxy/prefix.h"

enum { TXN_SUCCESS = 2, TXN_FAILURE = 3 }; /* branches: fields of TxnRequest */

/* of_leasing_key: of P+key, or of all P+[key, end) if there is an end; else of key itself. */
void leasing_txn_compare(const struct prefix *p, struct buf *out, bool of_leasing_key, struct slice key, struct slice end,
			 enum compare_result result, enum compare_target target, enum compare_union which, int64_t number);
/* One operation of a branch, made of an encoded request. */
void leasing_txn_op(struct buf *out, uint32_t branch, enum op_kind kind, struct slice request);
/* Operations on P+key. lease 0: the one it has. */
void leasing_txn_put(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key, struct slice value, int64_t lease);
void leasing_txn_range(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key, struct slice end);
void leasing_txn_delete(const struct prefix *p, struct buf *out, uint32_t branch, struct slice key);

struct leasing_answer {
	struct slice header;
	bool succeeded;
	struct slice rest; /* responses are looked up in it */
};

struct leasing_answer leasing_answer_read(struct slice body);
/* The message within the i-th response, whatever its kind. */
struct slice leasing_answer_at(const struct leasing_answer *t, size_t i);
/* All zero where it cannot be read. */
struct kv leasing_kv(struct slice body);
/* The next key-value pair of a RangeResponse. */
bool leasing_next_kv(struct pb_reader *r, struct slice *out);
struct slice leasing_first_kv(struct slice range_response);
struct slice leasing_without_prefix(const struct prefix *p, struct slice key);
/* What a range of one key answers, with the client's options. */
void leasing_range_answer(const struct range_req *q, struct slice header, struct slice kv_bytes, struct buf *out);

#endif
