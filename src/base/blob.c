#include "base/blob.h"

#include "base/mem.h"

struct blob *blob_new(size_t size)
{
	struct blob *b = mem_alloc(sizeof(*b) + size);

	atomic_init(&b->refs, 1);
	b->flags = 0;
	b->size = size;
	return b;
}

struct blob *blob_copy(struct slice s)
{
	struct blob *b = blob_new(s.size);

	if (s.size)
		memcpy(b->data, s.data, s.size);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	if (b)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void blob_unref(struct blob *b)
{
	if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		mem_free(b);
}
