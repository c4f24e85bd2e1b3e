/* Searching and walking the index: any thread inside the epoch of the root. */
#include "mvcc/index_inl.h"

enum { AHEAD = 6 }; /* records fetched early by a walk */

struct record *index_find(const struct mvcc_node *n, struct slice key)
{
	while (!n->is_leaf)
		n = node_fetch(n->inner.child[node_child(n, key)]);
	unsigned i = node_bound(n, key, false);

	return i < n->count && slice_eq(record_key(n->leaf.record[i]), key) ? n->leaf.record[i] : NULL;
}

uint64_t index_live(const struct mvcc_node *root)
{
	return node_live(root);
}

uint64_t index_rank(const struct mvcc_node *n, struct slice key)
{
	uint64_t rank = 0;

	for (; !n->is_leaf;) {
		unsigned at = node_child(n, key);

		for (unsigned i = 0; i < at; i++)
			rank += n->inner.live[i];
		n = node_fetch(n->inner.child[at]);
	}
	unsigned at = node_bound(n, key, false);

	return rank + (unsigned)__builtin_popcountll(~n->dead & bits_below(at));
}

/* Down the left edge below the last path entry. */
static struct record *descend(struct index_iter *it)
{
	const struct mvcc_node *n = it->path[it->depth - 1].node;

	while (!n->is_leaf) {
		n = n->inner.child[it->path[it->depth - 1].at];
		ASSERT(it->depth < TREE_DEPTH_MAX);
		it->path[it->depth].node = n;
		it->path[it->depth++].at = 0;
	}
	return n->leaf.record[it->path[it->depth - 1].at];
}

/* The leaf of the path is at its end: up to the first node with a further child, and down again. */
static struct record *next_leaf(struct index_iter *it)
{
	while (--it->depth) {
		unsigned at = ++it->path[it->depth - 1].at;

		if (at < it->path[it->depth - 1].node->count)
			return descend(it);
	}
	return NULL;
}

struct record *index_seek(const struct mvcc_node *n, struct slice key, bool after, struct index_iter *it)
{
	it->depth = 0;
	for (;;) {
		unsigned at = n->is_leaf ? node_bound(n, key, after) : node_child(n, key);

		ASSERT(it->depth < TREE_DEPTH_MAX);
		it->path[it->depth].node = n;
		it->path[it->depth++].at = at;
		if (n->is_leaf)
			return at < n->count ? n->leaf.record[at] : next_leaf(it);
		n = node_fetch(n->inner.child[at]);
	}
}

struct record *index_next(struct index_iter *it)
{
	if (!it->depth)
		return NULL;
	const struct mvcc_node *n = it->path[it->depth - 1].node;
	unsigned at = ++it->path[it->depth - 1].at;

	if (at + AHEAD < n->count)
		__builtin_prefetch(n->leaf.record[at + AHEAD]);
	return at < n->count ? n->leaf.record[at] : next_leaf(it);
}

static struct record *first_old(const struct mvcc_node *n)
{
	while (!n->is_leaf) {
		unsigned i = 0;

		while (!n->inner.old[i])
			i++;
		n = n->inner.child[i];
	}
	return n->leaf.record[__builtin_ctzll(n->old)];
}

/* Deep as the tree. */
struct record *index_seek_old(const struct mvcc_node *n, struct slice key, bool after)
{
	if (n->is_leaf) {
		uint64_t rest = n->old & ~bits_below(node_bound(n, key, after));

		return rest ? n->leaf.record[__builtin_ctzll(rest)] : NULL;
	}
	unsigned at = node_child(n, key);
	struct record *r = n->inner.old[at] ? index_seek_old(n->inner.child[at], key, after) : NULL;

	while (!r && ++at < n->count)
		if (n->inner.old[at])
			r = first_old(n->inner.child[at]);
	return r;
}
