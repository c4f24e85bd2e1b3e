#include "base/ids.h"

#include <string.h>

#include "base/mem.h"

/* Where id is, or would be inserted. */
static size_t seek(const struct ids *s, uint64_t id)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->at[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool ids_has(const struct ids *s, uint64_t id)
{
	size_t i = seek(s, id);

	return i < s->count && s->at[i] == id;
}

bool ids_add(struct ids *s, uint64_t id)
{
	size_t i = seek(s, id);

	if (i < s->count && s->at[i] == id)
		return false;
	s->at = mem_realloc(s->at, (s->count + 1) * sizeof(*s->at));
	memmove(s->at + i + 1, s->at + i, (s->count - i) * sizeof(*s->at));
	s->at[i] = id;
	s->count++;
	return true;
}

bool ids_remove(struct ids *s, uint64_t id)
{
	size_t i = seek(s, id);

	if (i == s->count || s->at[i] != id)
		return false;
	s->count--;
	memmove(s->at + i, s->at + i + 1, (s->count - i) * sizeof(*s->at));
	return true;
}

struct ids ids_copy(const struct ids *s)
{
	struct ids copy = {0};

	if (s->count) {
		copy.at = mem_alloc(s->count * sizeof(*copy.at));
		memcpy(copy.at, s->at, s->count * sizeof(*copy.at));
		copy.count = s->count;
	}
	return copy;
}

struct ids ids_union(const struct ids *a, const struct ids *b)
{
	struct ids all = ids_copy(a);

	for (size_t i = 0; i < b->count; i++)
		ids_add(&all, b->at[i]);
	return all;
}

size_t ids_difference(const struct ids *a, const struct ids *b)
{
	size_t common = 0;

	for (size_t i = 0; i < a->count; i++)
		common += ids_has(b, a->at[i]);
	return a->count + b->count - 2 * common;
}

void ids_fini(struct ids *s)
{
	mem_free(s->at);
	*s = (struct ids){0};
}
