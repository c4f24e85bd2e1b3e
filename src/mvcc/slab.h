/* Memory of the index: many small pieces of few sizes, whose size the one who frees them knows. One thread.
 *
 * Pieces of one size class fill 64 KiB chunks, 64 KiB-aligned, so that a piece finds its chunk by a mask; sixteen
 * chunks come from the system at a time and go back when all are empty. Larger pieces are malloc's. */
#ifndef MVCC_SLAB_H
#define MVCC_SLAB_H

#include "base/list.h"

struct slab;

struct slab *slab_new(void);
/* Frees everything, what is still in use included. */
void slab_free(struct slab *s);
void *slab_get(struct slab *s, size_t size);         /* uninitialised, 8-byte aligned */
void slab_put(struct slab *s, void *p, size_t size); /* the size it was asked with */
/* All pieces of the other are pieces of s now; the other is freed. */
void slab_join(struct slab *s, struct slab *take_other);
/* Bytes taken from the system. */
size_t slab_bytes(const struct slab *s);

#endif
