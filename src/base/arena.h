/* Memory for one call, freed in one go. Born with a maximum of bytes; arena_alloc never returns NULL below
 * it and returns NULL above it (sizes come from clients). One thread at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/blob.h"
#include "base/mem.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	uint8_t *next;
	size_t left;
	size_t used;
	size_t size_max;
	struct arena_held *held;
};

void arena_init(struct arena *a, size_t size_max);
/* Frees all, drops the held blobs; the arena may be used again. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);
/* 16-byte aligned, zeroed; NULL when size_max would be passed. */
NODISCARD void *arena_alloc(struct arena *a, size_t size);
NODISCARD void *arena_alloc_array(struct arena *a, size_t count, size_t size);      /* overflow-checked */
/* A copy; on the limit returns false. */
NODISCARD bool arena_copy(struct arena *a, struct slice s, struct slice *out);
/* take_b is released with the arena. */
void arena_hold(struct arena *a, struct blob *take_b);

#endif
