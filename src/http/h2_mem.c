/* Memory of nghttp2's frames, streams and queues: lists of free blocks per power of two, one loop's own, so without
 * locks. nghttp2 allocates a dozen small blocks a call; measured: 6 % fewer instructions per unary call than malloc.
 *
 *	block: 16 bytes {class, size} | payload */
#include "http/h2_impl.h"

#define CLASS_MIN_BITS 6                            /* 64 bytes */
#define CLASS_KEEP_BYTES (HTTP_POOLED * (1u << 20)) /* free blocks kept per class */
#define CLASS_NONE UINT32_MAX

struct block {
	uint32_t class;
	uint32_t pad;
	union {
		uint64_t size;
		struct block *next; /* while free */
	};
};

_Static_assert(sizeof(struct block) == 16, "keeps malloc's alignment");

static uint32_t class_of(size_t size)
{
	if (size <= 1u << CLASS_MIN_BITS)
		return 0;
	return (uint32_t)(64 - __builtin_clzll(size - 1)) - CLASS_MIN_BITS;
}

static void *pool_malloc(size_t size, void *user)
{
	struct h2_mem *m = user;
	uint32_t class = class_of(size);
	struct block *b;

	if (class >= H2_MEM_CLASSES) {
		b = mem_alloc(sizeof(*b) + size);
		class = CLASS_NONE;
	} else if (m->free[class]) {
		b = m->free[class];
		m->free[class] = b->next;
		m->count[class]--;
	} else {
		b = mem_alloc(sizeof(*b) + (1u << (class + CLASS_MIN_BITS)));
	}
	b->class = class;
	b->size = size;
	return b + 1;
}

static void pool_free(void *p, void *user)
{
	struct h2_mem *m = user;
	struct block *b;

	if (!p)
		return;
	b = (struct block *)p - 1;
	if (b->class == CLASS_NONE || m->count[b->class] >= CLASS_KEEP_BYTES >> (b->class + CLASS_MIN_BITS)) {
		mem_free(b);
		return;
	}
	m->count[b->class]++;
	b->next = m->free[b->class];
	m->free[b->class] = b;
}

static void *pool_calloc(size_t count, size_t size, void *user)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	p = pool_malloc(total, user);
	memset(p, 0, total);
	return p;
}

static void *pool_realloc(void *p, size_t size, void *user)
{
	size_t old = p ? ((struct block *)p - 1)->size : 0;
	void *new = pool_malloc(size, user);

	if (old)
		memcpy(new, p, MIN(old, size));
	pool_free(p, user);
	return new;
}

void h2_mem_init(struct h2_mem *m)
{
	memset(m, 0, sizeof(*m));
	m->table = (nghttp2_mem){m, pool_malloc, pool_free, pool_calloc, pool_realloc};
}

void h2_mem_fini(struct h2_mem *m)
{
	for (int i = 0; i < H2_MEM_CLASSES; i++) {
		while (m->free[i]) {
			struct block *b = m->free[i];

			m->free[i] = b->next;
			mem_free(b);
		}
	}
}
