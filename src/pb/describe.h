/* Requests as one line of text, for logs: keys as they are, values by their size alone, in the forms of upstream's log lines. Pure.
 *
 *	key:"foo" range_end:"fop" limit:3                                       describe_range
 *	key:"foo" value_size:3 lease:7                                          describe_put
 *	compare:<result:GREATER target:MOD key:"foo" mod_revision:0> success:<request_put:<key:"a" value_size:1 >> failure:<>
 *	header:<ID:7587899149846696195> put:<key:"foo" value_size:3 >           describe_entry
 *
 * The text ends where out is full. */
#ifndef PB_DESCRIBE_H
#define PB_DESCRIBE_H

#include "pb/rpc.h"

void describe_range(const struct range_req *q, struct buf *out);
void describe_put(const struct put_req *q, struct buf *out);
void describe_delete(const struct delete_req *q, struct buf *out);
void describe_txn(const struct txn_req *t, struct buf *out);
/* An encoded InternalRaftRequest; name: what its request is called, for kinds that are not taken apart. Parsed with the arena. */
void describe_entry(struct arena *a, struct slice entry, const char *name, struct buf *out);

#endif
