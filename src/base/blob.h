/* Immutable counted bytes: the only bytes shared by threads (raft entries, watch events, request bodies).
 * Filled by the creator before the first ref is handed on; freed with the last ref. Any thread. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdatomic.h>

#include "base/slice.h"

struct blob {
	_Atomic uint32_t refs;
	uint32_t flags;         /* free for the creator */
	size_t size;
	uint8_t data[];
};

struct blob *blob_new(size_t size);                  /* one ref, content uninitialised */
struct blob *blob_copy(struct slice s);
struct blob *blob_ref(struct blob *b);               /* returns b; NULL allowed */
void blob_unref(struct blob *b);                     /* NULL allowed */

static inline struct slice blob_slice(const struct blob *b)
{
	return b ? slice_of(b->data, b->size) : (struct slice){0};
}

#endif
