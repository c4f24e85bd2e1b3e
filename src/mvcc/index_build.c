/* The tree made at once from sorted records, and its deep check. */
#include "mvcc/index_inl.h"

/* Not quite full: the first puts after the start would split every node they meet. */
enum { BUILD_LEAF = LEAF_MAX * 7 / 8, BUILD_INNER = INNER_MAX * 7 / 8 };

void index_build_begin(struct index_builder *b, struct index *t)
{
	ASSERT(t->count == 0);
	*b = (struct index_builder){.tree = t};
}

void index_build_add(struct index_builder *b, struct record *r)
{
	struct mvcc_node *n = b->nodes.count ? b->nodes.at[b->nodes.count - 1] : NULL;

	if (!n || n->count == BUILD_LEAF) {
		if (n)
			index_node_set_prefix(n);
		n = index_node_new(b->tree, true);
		VEC_PUSH(&b->nodes, n);
	}
	n->leaf.record[n->count] = r;
	n->dead |= (uint64_t)record_dead(r) << n->count;
	n->old |= (uint64_t)record_old(r) << n->count;
	n->count++;
	b->tree->count++;
	b->tree->revisions += record_revisions(r);
}

static struct slice edge_key(const struct mvcc_node *n, bool last)
{
	while (!n->is_leaf)
		n = n->inner.child[last ? n->count - 1 : 0];
	return record_key(n->leaf.record[last ? n->count - 1 : 0]);
}

static struct mvcc_node *inner_over(struct index *t, struct mvcc_node **children, size_t count)
{
	struct mvcc_node *n = index_node_new(t, false);

	for (size_t i = 0; i < count; i++) {
		n->inner.child[i] = children[i];
		n->inner.live[i] = node_live(children[i]);
		n->inner.old[i] = node_old(children[i]);
		n->inner.sep[i] =
		    i ? index_separator_new(t, edge_key(children[i - 1], true), edge_key(children[i], false)) : NULL;
	}
	n->count = (uint16_t)count;
	index_node_set_prefix(n);
	return n;
}

void index_build_join(struct index_builder *b, struct index_builder *take_behind)
{
	struct index *t = b->tree, *from = take_behind->tree;

	if (b->nodes.count && take_behind->nodes.count)
		index_node_set_prefix(b->nodes.at[b->nodes.count - 1]);
	for (size_t i = 0; i < take_behind->nodes.count; i++)
		VEC_PUSH(&b->nodes, take_behind->nodes.at[i]);
	VEC_FREE(&take_behind->nodes);
	t->count += from->count;
	t->revisions += from->revisions;
	slab_put(from->slab, from->root, node_size(true));
	slab_join(t->slab, from->slab);
	ASSERT(!from->garbage->items.count);
	mem_free(from->garbage);
	*from = (struct index){0};
}

void index_build_end(struct index_builder *b)
{
	size_t count = b->nodes.count;

	if (count) {
		index_node_set_prefix(b->nodes.at[count - 1]);
		while (count > 1) {
			size_t above = 0;

			for (size_t i = 0; i < count; i += BUILD_INNER)
				b->nodes.at[above++] =
				    inner_over(b->tree, &b->nodes.at[i], MIN(count - i, (size_t)BUILD_INNER));
			count = above;
		}
		slab_put(b->tree->slab, b->tree->root, node_size(b->tree->root->is_leaf));
		b->tree->root = b->nodes.at[0];
	}
	VEC_FREE(&b->nodes);
}

struct check {
	struct slice last; /* key before */
	bool any;
	uint64_t count;
	uint64_t revisions;
	unsigned leaf_depth;
};

static void check_record(const struct record *r)
{
	ASSERT(r->history_count == 0 || r->history->room >= r->history_count);
	for (uint32_t i = 0; i + 1 < record_revisions(r); i++) {
		struct past a = record_at(r, i), b = record_at(r, i + 1);

		ASSERT(rev_cmp(past_rev(&a), past_rev(&b)) < 0); /* R1 */
		ASSERT(!past_dead(&a) || !past_dead(&b));
		ASSERT(past_dead(&a) || past_dead(&b) || (a.create == b.create && a.version + 1 == b.version));
	}
}

static void check_leaf(const struct mvcc_node *n, struct check *c)
{
	for (unsigned i = 0; i < n->count; i++) {
		const struct record *r = n->leaf.record[i];

		ASSERT(!c->any || slice_cmp(c->last, record_key(r)) < 0);
		ASSERT((n->dead >> i & 1) == record_dead(r));
		ASSERT((n->old >> i & 1) == record_old(r));
		check_record(r);
		c->last = record_key(r);
		c->any = true;
		c->count++;
		c->revisions += record_revisions(r);
	}
	ASSERT(!(n->dead & ~bits_below(n->count)));
	ASSERT(!(n->old & ~bits_below(n->count)));
}

static void check_node(const struct index *t, const struct mvcc_node *n, unsigned depth, struct check *c)
{
	unsigned first = node_first_key(n);

	ASSERT(n->batch <= t->batch);
	ASSERT(n->count > 0 || (n == t->root && n->is_leaf)); /* T1 */
	for (unsigned i = first; i < n->count; i++) {
		ASSERT(node_heads(n)[i] == head_of(node_key(n, i), n->prefix_size)); /* T3 */
		ASSERT(common_prefix(node_key(n, i), node_key(n, first)) >= n->prefix_size);
	}
	if (n->is_leaf) {
		ASSERT(!c->leaf_depth || c->leaf_depth == depth); /* T1 */
		c->leaf_depth = depth;
		check_leaf(n, c);
		return;
	}
	for (unsigned i = 0; i < n->count; i++) {
		ASSERT(!i || !c->any || slice_cmp(c->last, sep_slice(n->inner.sep[i])) < 0);
		check_node(t, n->inner.child[i], depth + 1, c);
		ASSERT(!i || slice_cmp(sep_slice(n->inner.sep[i]), edge_key(n->inner.child[i], false)) <= 0);
		ASSERT(n->inner.live[i] == node_live(n->inner.child[i])); /* T4 */
		ASSERT(n->inner.old[i] == node_old(n->inner.child[i]));
	}
}

void index_check(const struct index *t)
{
	struct check c = {0};

	check_node(t, t->root, 1, &c);
	ASSERT(c.count == t->count);
	ASSERT(c.revisions == t->revisions);
}
