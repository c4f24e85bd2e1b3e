/* What searching and changing the tree share. Private to mvcc/index*.c. */
#ifndef MVCC_INDEX_INL_H
#define MVCC_INDEX_INL_H

#include "base/endian.h"
#include "mvcc/index.h"

static inline struct slice sep_slice(const struct separator *s)
{
	return slice_of(s->bytes, s->size);
}

/* i >= 1 in an inner node. */
static inline struct slice node_key(const struct mvcc_node *n, unsigned i)
{
	return n->is_leaf ? record_key(n->leaf.record[i]) : sep_slice(n->inner.sep[i]);
}

static inline unsigned node_first_key(const struct mvcc_node *n)
{
	return n->is_leaf ? 0 : 1;
}

static inline const uint64_t *node_heads(const struct mvcc_node *n)
{
	return n->is_leaf ? n->leaf.head : n->inner.head;
}

static inline uint64_t head_of(struct slice key, size_t prefix_size)
{
	uint8_t padded[8] = {0};

	if (key.size >= prefix_size + 8)
		return be64_get(key.data + prefix_size);
	if (key.size > prefix_size)
		memcpy(padded, key.data + prefix_size, key.size - prefix_size);
	return be64_get(padded);
}

static inline size_t common_prefix(struct slice a, struct slice b)
{
	size_t n = MIN(a.size, b.size), i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t x = le64_get(a.data + i) ^ le64_get(b.data + i);

		if (x)
			return i + (unsigned)__builtin_ctzll(x) / 8;
	}
	while (i < n && a.data[i] == b.data[i])
		i++;
	return i;
}

static inline bool rest_before(struct slice a, struct slice b, size_t skip)
{
	return slice_cmp(slice_of(a.data + skip, a.size - skip), slice_of(b.data + skip, b.size - skip)) < 0;
}

/* <0: key is before all keys with the node's prefix, >0: behind them, 0: it has that prefix (T3). */
static inline int prefix_cmp(const struct mvcc_node *n, struct slice key)
{
	size_t p = n->prefix_size, shared = MIN(p, key.size), inlined = MIN(shared, (size_t)PREFIX_INLINE);
	int c = inlined ? memcmp(key.data, n->prefix, inlined) : 0;

	if (!c && shared > inlined)
		c = memcmp(key.data, node_key(n, node_first_key(n)).data, shared);
	return c ? c : shared < p ? -1 : 0;
}

/* Nodes are rarely in the cache: have the lines of a search come together, not one after the other. */
static inline const struct mvcc_node *node_fetch(const struct mvcc_node *n)
{
	const char *p = (const char *)n;

	for (size_t i = 0; i < offsetof(struct mvcc_node, leaf) + sizeof(n->leaf); i += 64)
		__builtin_prefetch(p + i);
	return n;
}

/* The first entry whose key is >= key (upper: > key); count if there is none. In an inner node entry 0 has no
 * key: the result is at least 1 there. */
static inline unsigned node_bound(const struct mvcc_node *n, struct slice key, bool upper)
{
	unsigned low = node_first_key(n), high = n->count;
	size_t p = n->prefix_size;

	if (low >= high)
		return low;
	if (p) {
		int c = prefix_cmp(n, key);

		if (c)
			return c < 0 ? low : high;
	}
	const uint64_t *heads = node_heads(n);
	uint64_t h = head_of(key, p);

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (heads[mid] < h) {
			low = mid + 1;
		} else if (heads[mid] > h) {
			high = mid;
		} else {
			struct slice k = node_key(n, mid);

			if (upper ? !rest_before(key, k, p) : rest_before(k, key, p))
				low = mid + 1;
			else
				high = mid;
		}
	}
	return low;
}

static inline unsigned node_child(const struct mvcc_node *n, struct slice key)
{
	return node_bound(n, key, true) - 1;
}

static inline uint64_t bits_below(unsigned i)
{
	return i >= 64 ? UINT64_MAX : ((uint64_t)1 << i) - 1;
}

static inline uint32_t node_live(const struct mvcc_node *n)
{
	uint32_t sum = 0;

	if (n->is_leaf)
		return n->count - (uint32_t)__builtin_popcountll(n->dead);
	for (unsigned i = 0; i < n->count; i++)
		sum += n->inner.live[i];
	return sum;
}

static inline uint32_t node_old(const struct mvcc_node *n)
{
	uint32_t sum = 0;

	if (n->is_leaf)
		return (uint32_t)__builtin_popcountll(n->old);
	for (unsigned i = 0; i < n->count; i++)
		sum += n->inner.old[i];
	return sum;
}

struct mvcc_node *index_node_new(struct index *t, bool is_leaf);
/* Finds the longest common prefix and fills the heads anew. */
void index_node_set_prefix(struct mvcc_node *n);
struct separator *index_separator_new(struct index *t, struct slice left_last, struct slice right_first);

#endif
