/* Private to src/node: one member's answer to GET /members/hashkv, as both checks for corruption use it. */
#ifndef NODE_CORRUPT_H
#define NODE_CORRUPT_H

#include "node/node_impl.h"

struct peer_hash {
	uint64_t id;
	err_t err;                      /* ERR_COMPACTED, ERR_FUTURE_REV, ERR_CLUSTER_ID_MISMATCH, or no usable answer */
	uint32_t crc;
	int64_t rev;                    /* the member's current one */
	int64_t compact_rev;
};

/* {"revision":N} */
void corrupt_question(int64_t rev, struct buf *out);
/* Fills all but id. */
void corrupt_answer(const struct member_question *q, struct peer_hash *out);

#endif
