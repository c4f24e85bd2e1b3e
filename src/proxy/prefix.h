/* --namespace: a prefix in front of every key that goes to the cluster, taken off every key that comes back. Messages are rewritten
 * as bytes: fields that hold keys are changed, messages that hold such fields are entered, everything else is copied as it is,
 * fields unknown here too. Pure. */
#ifndef PROXY_PREFIX_H
#define PROXY_PREFIX_H

#include "base/buf.h"
#include "pb/methods.h"

struct prefix {
	struct slice bytes;
	struct slice end; /* the first key behind all that begin with it */
};

/* end: room for bytes.size bytes. */
void prefix_init(struct prefix *p, struct slice bytes, uint8_t *end);

/* A key, and the end of a range, alone. */
void prefix_key(const struct prefix *p, struct slice key, struct buf *out);
void prefix_range_end(const struct prefix *p, struct slice end, struct buf *out);

/* Does this RPC carry keys? */
bool prefix_concerns(enum rpc rpc);
/* Appends the message with the prefix put on. ERR_MALFORMED; ERR_TOO_MANY_OPS for a txn nested too deep. */
NODISCARD err_t prefix_request(const struct prefix *p, enum rpc rpc, struct slice in, struct buf *out);
/* The same with the prefix taken off; a key that does not begin with it stays as it is. */
NODISCARD err_t prefix_response(const struct prefix *p, enum rpc rpc, struct slice in, struct buf *out);

#endif
