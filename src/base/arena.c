#include "base/arena.h"

enum { FIRST_CHUNK = 1024, CHUNK_MAX = 64 * 1024, ALIGN = 16 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	_Alignas(16) uint8_t data[];
};

struct arena_held {
	struct arena_held *next;
	struct blob *blob;
};

void arena_init(struct arena *a, size_t size_max)
{
	*a = (struct arena){.size_max = size_max};
}

void arena_reset(struct arena *a)
{
	for (struct arena_held *h = a->held; h;) {
		struct arena_held *next = h->next;

		blob_unref(h->blob);
		mem_free(h);
		h = next;
	}
	for (struct arena_chunk *c = a->chunks; c;) {
		struct arena_chunk *next = c->next;

		mem_free(c);
		c = next;
	}
	arena_init(a, a->size_max);
}

void arena_fini(struct arena *a)
{
	arena_reset(a);
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > a->size_max - a->used)
		return NULL;
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (size > a->left || !a->next) {       /* size 0 has an address too */
		size_t room = a->chunks ? MIN(a->chunks->size * 2, CHUNK_MAX) : FIRST_CHUNK;
		struct arena_chunk *c;

		room = MAX(room, size);
		c = mem_alloc(sizeof(*c) + room);
		c->size = room;
		c->next = a->chunks;
		a->chunks = c;
		a->next = c->data;
		a->left = room;
	}
	p = a->next;
	a->next += size;
	a->left -= size;
	a->used = MIN(a->used + size, a->size_max);
	return memset(p, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return arena_alloc(a, bytes);
}

bool arena_copy(struct arena *a, struct slice s, struct slice *out)
{
	uint8_t *p = arena_alloc(a, s.size);

	if (!p)
		return false;
	if (s.size)
		memcpy(p, s.data, s.size);
	*out = slice_of(p, s.size);
	return true;
}

void arena_hold(struct arena *a, struct blob *take_b)
{
	struct arena_held *h = NEW(struct arena_held);

	h->blob = take_b;
	h->next = a->held;
	a->held = h;
}
