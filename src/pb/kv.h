/* mvccpb.KeyValue and Event. A row of bucket "key" is an encoded KeyValue, and so is an element of a range
 * response or the kv of a watch event: encoded once, copied as bytes. Pure. */
#ifndef PB_KV_H
#define PB_KV_H

#include "pb/wire.h"

struct kv {
	struct slice key;
	int64_t create_rev;
	int64_t mod_rev;
	int64_t version;
	struct slice value;
	int64_t lease;
};

enum event_type { EVENT_PUT = 0, EVENT_DELETE = 1 };

/* Canonical form: fields in order, zero and empty left out, minimal varints: HashKV covers these bytes. */
size_t kv_size(const struct kv *kv);
uint8_t *kv_write(const struct kv *kv, uint8_t *out);           /* returns the byte behind */
void kv_encode(const struct kv *kv, struct buf *out);
/* Slices borrow s. ERR_MALFORMED. */
NODISCARD err_t kv_decode(struct slice s, struct kv *out);

/* mvccpb.Event {type 1, kv 2, prev_kv 3}; kv and prev_kv are encoded KeyValues, prev_kv may be empty = absent. */
void event_encode(enum event_type type, struct slice kv, struct slice prev_kv, struct buf *out);

#endif
