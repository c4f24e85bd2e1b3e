/* Sorted sets of member ids. */
#include "raft/ids.h"

#include <inttypes.h>

/* Where id is, or would be inserted. */
static size_t ids_seek(const struct raft_ids *ids, uint64_t id)
{
	size_t i = 0;

	while (i < ids->count && ids->at[i] < id)
		i++;
	return i;
}

bool raft_ids_has(const struct raft_ids *ids, uint64_t id)
{
	size_t i = ids_seek(ids, id);

	return i < ids->count && ids->at[i] == id;
}

void raft_ids_add(struct raft_ids *ids, uint64_t id)
{
	size_t i = ids_seek(ids, id);

	if (i < ids->count && ids->at[i] == id)
		return;
	ids->at = mem_realloc(ids->at, (ids->count + 1) * sizeof(*ids->at));
	memmove(ids->at + i + 1, ids->at + i, (ids->count - i) * sizeof(*ids->at));
	ids->at[i] = id;
	ids->count++;
}

void raft_ids_remove(struct raft_ids *ids, uint64_t id)
{
	size_t i = ids_seek(ids, id);

	if (i == ids->count || ids->at[i] != id)
		return;
	ids->count--;
	memmove(ids->at + i, ids->at + i + 1, (ids->count - i) * sizeof(*ids->at));
}

struct raft_ids raft_ids_copy(const struct raft_ids *ids)
{
	struct raft_ids copy = {0};

	if (ids->count) {
		copy.at = mem_alloc(ids->count * sizeof(*copy.at));
		memcpy(copy.at, ids->at, ids->count * sizeof(*copy.at));
		copy.count = ids->count;
	}
	return copy;
}

struct raft_ids raft_ids_union(const struct raft_ids *a, const struct raft_ids *b)
{
	struct raft_ids all = raft_ids_copy(a);

	for (size_t i = 0; i < b->count; i++)
		raft_ids_add(&all, b->at[i]);
	return all;
}

size_t raft_ids_difference(const struct raft_ids *a, const struct raft_ids *b)
{
	size_t common = 0;

	for (size_t i = 0; i < a->count; i++)
		common += raft_ids_has(b, a->at[i]);
	return a->count + b->count - 2 * common;
}

void raft_ids_fini(struct raft_ids *ids)
{
	mem_free(ids->at);
	*ids = (struct raft_ids){0};
}

void raft_ids_print(const struct raft_ids *ids, struct buf *out)
{
	buf_put_byte(out, '(');
	for (size_t i = 0; i < ids->count; i++)
		buf_printf(out, "%s%" PRIx64, i ? " " : "", ids->at[i]);
	buf_put_byte(out, ')');
}
