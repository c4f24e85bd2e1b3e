/* Shared by the rpc_*.c files of this folder. A merge reads fields on top of what *out holds, which is how a second
 * occurrence of a singular sub-message counts. All return ERR_MALFORMED or OK. */
#ifndef PB_RPC_INL_H
#define PB_RPC_INL_H

#include "pb/rpc.h"
#include "pb/wire_inl.h"

err_t range_req_merge(struct slice s, struct range_req *out);
err_t put_req_merge(struct slice s, struct put_req *out);
err_t delete_req_merge(struct slice s, struct delete_req *out);

#endif
