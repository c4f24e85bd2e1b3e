#include "mvcc/slab.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif
#ifdef SLAB_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
	CHUNK_SIZE = 64 << 10,
	CHUNKS_PER_REGION = 16,
	REGION_SIZE = CHUNK_SIZE * CHUNKS_PER_REGION,
	TOUCH_FROM_BYTES = 8 * REGION_SIZE, /* a large one will use all of its next region */
	FINE_STEP = 8,
	FINE_MAX = 512,
	COARSE_STEP = 64,
	COARSE_MAX = 4096,
	FINE_CLASSES = FINE_MAX / FINE_STEP,
	COARSE_CLASSES = (COARSE_MAX - FINE_MAX) / COARSE_STEP,
	CLASS_COUNT = FINE_CLASSES + COARSE_CLASSES,
};

struct region {
	struct list link; /* slab.regions */
	uint8_t *data;
	unsigned used_chunks;
	uint16_t free_mask; /* bit i: chunk i is free */
};

struct chunk {
	struct list link; /* slab.partial[class] while it has room */
	struct region *region;
	void *free;     /* linked through their first word */
	uint32_t fresh; /* offset of the first byte never handed out */
	uint32_t size;  /* of a piece */
	uint32_t live;
	uint32_t unused[5];
};

_Static_assert(sizeof(struct chunk) == 64, "pieces of whole cache lines stay aligned to them");

struct slab {
	struct list partial[CLASS_COUNT];
	struct list regions; /* those with a free chunk first */
	size_t bytes;
	struct list large;
};

struct large {
	struct list link;
	size_t size;
	uint8_t data[];
};

static unsigned class_of(size_t size)
{
	if (size <= FINE_MAX)
		return size ? (unsigned)((size - 1) / FINE_STEP) : 0;
	return FINE_CLASSES + (unsigned)((size - FINE_MAX - 1) / COARSE_STEP);
}

static uint32_t class_size(unsigned c)
{
	return c < FINE_CLASSES ? (c + 1) * FINE_STEP : FINE_MAX + (c - FINE_CLASSES + 1) * COARSE_STEP;
}

struct slab *slab_new(void)
{
	struct slab *s = NEW(struct slab);

	for (unsigned i = 0; i < CLASS_COUNT; i++)
		list_init(&s->partial[i]);
	list_init(&s->regions);
	list_init(&s->large);
	return s;
}

static void region_free(struct slab *s, struct region *r)
{
	ASAN_UNPOISON_MEMORY_REGION(r->data, REGION_SIZE);
	list_remove(&r->link);
	s->bytes -= REGION_SIZE;
	free(r->data);
	mem_free(r);
}

void slab_free(struct slab *s)
{
	if (!s)
		return;
	LIST_EACH_SAFE (it, &s->regions)
		region_free(s, CONTAINER_OF(it, struct region, link));
	LIST_EACH_SAFE (it, &s->large)
		mem_free(CONTAINER_OF(it, struct large, link));
	mem_free(s);
}

static struct region *region_with_room(struct slab *s)
{
	struct region *r = list_empty(&s->regions) ? NULL : CONTAINER_OF(s->regions.next, struct region, link);

	if (r && r->free_mask)
		return r;
	r = NEW(struct region);
	r->data = aligned_alloc(CHUNK_SIZE, REGION_SIZE);
	if (!r->data)
		fatal("out of memory: the key index needs %d more bytes", REGION_SIZE);
	if (s->bytes >= TOUCH_FROM_BYTES)
		mem_touch(r->data, REGION_SIZE);
	r->free_mask = UINT16_MAX;
	s->bytes += REGION_SIZE;
	list_push_front(&s->regions, &r->link);
	return r;
}

static struct chunk *chunk_new(struct slab *s, unsigned class)
{
	struct region *r = region_with_room(s);
	unsigned i = (unsigned)__builtin_ctz(r->free_mask);
	struct chunk *c = (struct chunk *)(r->data + (size_t)i * CHUNK_SIZE);

	ASAN_UNPOISON_MEMORY_REGION(c, sizeof(*c));
	r->free_mask &= (uint16_t) ~(1u << i);
	r->used_chunks++;
	if (!r->free_mask) { /* full ones to the back */
		list_remove(&r->link);
		list_push_back(&s->regions, &r->link);
	}
	*c = (struct chunk){.region = r, .fresh = sizeof(*c), .size = class_size(class)};
	ASAN_POISON_MEMORY_REGION((uint8_t *)c + sizeof(*c), CHUNK_SIZE - sizeof(*c));
	list_push_front(&s->partial[class], &c->link);
	return c;
}

static void chunk_free(struct slab *s, struct chunk *c)
{
	struct region *r = c->region;

	list_remove(&c->link);
	r->free_mask |= (uint16_t)(1u << ((size_t)((uint8_t *)c - r->data) / CHUNK_SIZE));
	ASAN_POISON_MEMORY_REGION(c, CHUNK_SIZE);
	list_remove(&r->link);
	list_push_front(&s->regions, &r->link);
	if (--r->used_chunks == 0)
		region_free(s, r);
}

static bool chunk_full(const struct chunk *c)
{
	return !c->free && c->fresh + c->size > CHUNK_SIZE;
}

void *slab_get(struct slab *s, size_t size)
{
	if (size > COARSE_MAX) {
		struct large *l = mem_alloc(sizeof(*l) + size);

		l->size = size;
		s->bytes += sizeof(*l) + size;
		list_push_back(&s->large, &l->link);
		return l->data;
	}
	unsigned class = class_of(size);
	struct list *partial = &s->partial[class];
	struct chunk *c = list_empty(partial) ? chunk_new(s, class) : CONTAINER_OF(partial->next, struct chunk, link);
	void *p = c->free;

	if (p) {
		ASAN_UNPOISON_MEMORY_REGION(p, c->size);
		memcpy(&c->free, p, sizeof(void *));
	} else {
		p = (uint8_t *)c + c->fresh;
		c->fresh += c->size;
		ASAN_UNPOISON_MEMORY_REGION(p, c->size);
	}
	c->live++;
	if (chunk_full(c))
		list_remove(&c->link);
	return p;
}

void slab_put(struct slab *s, void *p, size_t size)
{
	if (!p)
		return;
	if (size > COARSE_MAX) {
		struct large *l = CONTAINER_OF(p, struct large, data);

		ASSERT(l->size == size);
		s->bytes -= sizeof(*l) + size;
		list_remove(&l->link);
		mem_free(l);
		return;
	}
	struct chunk *c = (struct chunk *)((uintptr_t)p & ~(uintptr_t)(CHUNK_SIZE - 1));

	ASSERT(c->size == class_size(class_of(size)));
	ASSERT(c->live > 0);
	if (chunk_full(c))
		list_push_front(&s->partial[class_of(size)], &c->link);
	memcpy(p, &c->free, sizeof(void *));
	c->free = p;
	ASAN_POISON_MEMORY_REGION(p, c->size);
	if (--c->live == 0 && s->partial[class_of(size)].next != s->partial[class_of(size)].prev)
		chunk_free(s, c);
}

static void lists_join(struct list *to, struct list *from)
{
	LIST_EACH_SAFE (it, from) {
		list_remove(it);
		list_push_back(to, it);
	}
}

void slab_join(struct slab *s, struct slab *take_other)
{
	for (unsigned i = 0; i < CLASS_COUNT; i++)
		lists_join(&s->partial[i], &take_other->partial[i]);
	lists_join(&s->large, &take_other->large);
	LIST_EACH_SAFE (it, &take_other->regions) {
		list_remove(it);
		if (CONTAINER_OF(it, struct region, link)->free_mask)
			list_push_front(&s->regions, it);
		else
			list_push_back(&s->regions, it);
	}
	s->bytes += take_other->bytes;
	take_other->bytes = 0;
	slab_free(take_other);
}

size_t slab_bytes(const struct slab *s)
{
	return s->bytes;
}
