/* Changing the index: core only. See tree.h for the invariants.
 *
 * Going down, every node on the path is made fresh (T2) and a full one is split before it is entered, so an
 * insert never comes back up. A leaf that gets a key behind its last one is split near its end: ascending keys
 * then leave full leaves behind. Removal merges a node that is a quarter full with a neighbour if both together
 * are at most three quarters of one. */
#include "mvcc/index_inl.h"

struct mvcc_node *index_node_new(struct index *t, bool is_leaf)
{
	struct mvcc_node *n = slab_get(t->slab, node_size(is_leaf));

	n->batch = t->batch;
	n->prefix_size = 0;
	n->count = 0;
	n->is_leaf = is_leaf;
	n->dead = n->old = 0;
	return n;
}

void index_init(struct index *t, struct slab *slab)
{
	*t = (struct index){.slab = slab, .batch = 1};
	t->garbage = NEW(struct garbage);
	t->garbage->slab = t->slab;
	t->root = index_node_new(t, true);
}

void index_fini(struct index *t)
{
	slab_free(t->slab);
	VEC_FREE(&t->garbage->items);
	mem_free(t->garbage);
}

void index_discard(struct index *t, void *p, size_t size)
{
	struct garbage_item item = {p, size};

	if (p)
		VEC_PUSH(&t->garbage->items, item);
}

void index_garbage_free(void *arg)
{
	struct garbage *g = arg;

	for (size_t i = 0; i < g->items.count; i++)
		slab_put(g->slab, g->items.at[i].p, g->items.at[i].size);
	if (g->out)
		--*g->out;
	VEC_FREE(&g->items);
	mem_free(g);
}

static void node_discard(struct index *t, struct mvcc_node *n)
{
	if (n->batch == t->batch)
		slab_put(t->slab, n, node_size(n->is_leaf));
	else
		index_discard(t, n, node_size(n->is_leaf));
}

static void separator_discard(struct index *t, struct separator *s)
{
	index_discard(t, s, s ? sizeof(*s) + s->size : 0);
}

struct separator *index_separator_new(struct index *t, struct slice left_last, struct slice right_first)
{
	size_t size = common_prefix(left_last, right_first) + 1;

	ASSERT(size <= right_first.size);
	struct separator *s = slab_get(t->slab, sizeof(*s) + size);

	s->size = (uint32_t)size;
	memcpy(s->bytes, right_first.data, size);
	return s;
}

static void fill_heads(struct mvcc_node *n)
{
	if (n->prefix_size)
		memcpy(n->prefix, node_key(n, node_first_key(n)).data, MIN(n->prefix_size, (uint32_t)PREFIX_INLINE));
	if (n->is_leaf)
		for (unsigned i = 0; i < n->count; i++)
			n->leaf.head[i] = head_of(record_key(n->leaf.record[i]), n->prefix_size);
	else
		for (unsigned i = 1; i < n->count; i++)
			n->inner.head[i] = head_of(sep_slice(n->inner.sep[i]), n->prefix_size);
}

void index_node_set_prefix(struct mvcc_node *n)
{
	unsigned first = node_first_key(n);

	n->prefix_size = 0;
	if (n->count > first)
		n->prefix_size = (uint32_t)common_prefix(node_key(n, first), node_key(n, n->count - 1u));
	fill_heads(n);
}

/* key came in as entry at: the others' heads are right unless the common prefix shrinks. */
static void node_added(struct mvcc_node *n, unsigned at, struct slice key)
{
	unsigned first = node_first_key(n), other = at == first ? first + 1 : first;

	if (n->count <= first + 1u) {
		index_node_set_prefix(n);
		return;
	}
	size_t p = common_prefix(key, node_key(n, other));

	if (p < n->prefix_size) {
		n->prefix_size = (uint32_t)p;
		fill_heads(n);
	} else {
		uint64_t h = head_of(key, n->prefix_size);

		if (n->is_leaf)
			n->leaf.head[at] = h;
		else
			n->inner.head[at] = h;
	}
}

static struct mvcc_node *fresh(struct index *t, struct mvcc_node *n)
{
	if (n->batch == t->batch)
		return n;
	struct mvcc_node *c = slab_get(t->slab, node_size(n->is_leaf));

	memcpy(c, n, node_size(n->is_leaf));
	c->batch = t->batch;
	index_discard(t, n, node_size(n->is_leaf));
	return c;
}

#define SHIFT_IN(array, at, count) memmove(&(array)[(at) + 1], &(array)[at], ((count) - (at)) * sizeof((array)[0]))
#define SHIFT_OUT(array, at, count) memmove(&(array)[at], &(array)[(at) + 1], ((count) - (at)-1) * sizeof((array)[0]))

static uint64_t bit_insert(uint64_t bits, unsigned at, bool bit)
{
	uint64_t low = bits & bits_below(at);

	return low | (bits & ~bits_below(at)) << 1 | (uint64_t)bit << at;
}

static uint64_t bit_remove(uint64_t bits, unsigned at)
{
	return (bits & bits_below(at)) | ((bits >> 1) & ~bits_below(at));
}

static uint64_t bit_set(uint64_t bits, unsigned at, bool bit)
{
	return (bits & ~((uint64_t)1 << at)) | (uint64_t)bit << at;
}

static void inner_recount(struct mvcc_node *n, unsigned i)
{
	n->inner.live[i] = node_live(n->inner.child[i]);
	n->inner.old[i] = node_old(n->inner.child[i]);
}

/* child and what is below it becomes entry at of n, with room; sep is entry at's left border. */
static void inner_insert(struct mvcc_node *n, unsigned at, struct mvcc_node *child, struct separator *sep)
{
	ASSERT(n->count < INNER_MAX && at > 0);
	SHIFT_IN(n->inner.head, at, n->count);
	SHIFT_IN(n->inner.child, at, n->count);
	SHIFT_IN(n->inner.sep, at, n->count);
	SHIFT_IN(n->inner.live, at, n->count);
	SHIFT_IN(n->inner.old, at, n->count);
	n->inner.child[at] = child;
	n->inner.sep[at] = sep;
	n->count++;
	inner_recount(n, at);
	node_added(n, at, sep_slice(sep));
}

/* Takes entry at out; its border goes with it (of entry 0: the one to the right), to the caller. */
static struct separator *inner_remove(struct mvcc_node *n, unsigned at)
{
	unsigned border = at ? at : 1;
	struct separator *sep = border < n->count ? n->inner.sep[border] : NULL;

	if (border < n->count) {
		SHIFT_OUT(n->inner.head, border, n->count);
		SHIFT_OUT(n->inner.sep, border, n->count);
	}
	SHIFT_OUT(n->inner.child, at, n->count);
	SHIFT_OUT(n->inner.live, at, n->count);
	SHIFT_OUT(n->inner.old, at, n->count);
	n->count--;
	n->inner.sep[0] = NULL;
	return sep;
}

/* The entries of n from at on move to a new right neighbour. *sep is the border between them. */
static struct mvcc_node *node_split(struct index *t, struct mvcc_node *n, unsigned at, struct separator **sep)
{
	struct mvcc_node *r = index_node_new(t, n->is_leaf);
	unsigned moved = n->count - at;

	ASSERT(at > 0 && moved > 0);
	if (n->is_leaf) {
		*sep = index_separator_new(t, node_key(n, at - 1), node_key(n, at));
		memcpy(r->leaf.record, &n->leaf.record[at], moved * sizeof(r->leaf.record[0]));
		r->dead = n->dead >> at;
		r->old = n->old >> at;
		n->dead &= bits_below(at);
		n->old &= bits_below(at);
	} else {
		*sep = n->inner.sep[at];
		memcpy(r->inner.child, &n->inner.child[at], moved * sizeof(r->inner.child[0]));
		memcpy(r->inner.sep, &n->inner.sep[at], moved * sizeof(r->inner.sep[0]));
		memcpy(r->inner.live, &n->inner.live[at], moved * sizeof(r->inner.live[0]));
		memcpy(r->inner.old, &n->inner.old[at], moved * sizeof(r->inner.old[0]));
		r->inner.sep[0] = NULL;
	}
	r->count = (uint16_t)moved;
	n->count = (uint16_t)at;
	index_node_set_prefix(n);
	index_node_set_prefix(r);
	return r;
}

static bool node_full(const struct mvcc_node *n)
{
	return n->count == (n->is_leaf ? LEAF_MAX : INNER_MAX);
}

static unsigned split_point(const struct mvcc_node *n, struct slice key)
{
	bool behind = n->is_leaf ? node_bound(n, key, false) == n->count : node_child(n, key) == n->count - 1u;

	return behind ? n->count - n->count / 8u : n->count / 2u;
}

/* parent and its child i are fresh, the child full. */
static void split_child(struct index *t, struct mvcc_node *parent, unsigned i, struct slice key)
{
	struct separator *sep;
	struct mvcc_node *child = parent->inner.child[i];
	struct mvcc_node *right = node_split(t, child, split_point(child, key), &sep);

	inner_recount(parent, i);
	inner_insert(parent, i + 1, right, sep);
}

static void grow_root(struct index *t)
{
	struct mvcc_node *root = index_node_new(t, false);

	root->count = 1;
	root->inner.child[0] = t->root;
	root->inner.sep[0] = NULL;
	inner_recount(root, 0);
	t->root = root;
}

static void leaf_insert(struct mvcc_node *n, struct record *r)
{
	unsigned at = node_bound(n, record_key(r), false);

	ASSERT(at == n->count || !slice_eq(record_key(n->leaf.record[at]), record_key(r)));
	SHIFT_IN(n->leaf.head, at, n->count);
	SHIFT_IN(n->leaf.record, at, n->count);
	n->leaf.record[at] = r;
	n->dead = bit_insert(n->dead, at, record_dead(r));
	n->old = bit_insert(n->old, at, record_old(r));
	n->count++;
	node_added(n, at, record_key(r));
}

void index_insert(struct index *t, struct record *r)
{
	struct slice key = record_key(r);

	t->root = fresh(t, t->root);
	if (node_full(t->root)) {
		grow_root(t);
		split_child(t, t->root, 0, key);
	}
	struct mvcc_node *n = t->root;

	while (!n->is_leaf) {
		unsigned i = node_child(n, key);

		n->inner.child[i] = fresh(t, n->inner.child[i]);
		if (node_full(n->inner.child[i])) {
			split_child(t, n, i, key);
			i = node_child(n, key);
		}
		n->inner.live[i] += !record_dead(r);
		n->inner.old[i] += record_old(r);
		n = n->inner.child[i];
	}
	leaf_insert(n, r);
	t->count++;
	t->revisions += record_revisions(r);
}

struct path {
	struct mvcc_node *node[TREE_DEPTH_MAX];
	unsigned at[TREE_DEPTH_MAX];
	unsigned depth; /* inner nodes; the leaf is at node[depth] */
};

/* Down to the leaf entry of a key that is there, all fresh. */
static void path_to(struct index *t, struct slice key, struct path *p)
{
	struct mvcc_node *n = t->root = fresh(t, t->root);

	p->depth = 0;
	while (!n->is_leaf) {
		unsigned i = node_child(n, key);

		ASSERT(p->depth + 1 < TREE_DEPTH_MAX);
		p->node[p->depth] = n;
		p->at[p->depth++] = i;
		n = n->inner.child[i] = fresh(t, n->inner.child[i]);
	}
	p->node[p->depth] = n;
	p->at[p->depth] = node_bound(n, key, false);
	ASSERT(p->at[p->depth] < n->count && slice_eq(record_key(n->leaf.record[p->at[p->depth]]), key));
}

static void path_count(struct path *p, int live, int old)
{
	if (!live && !old)
		return;
	for (unsigned d = 0; d < p->depth; d++) {
		p->node[d]->inner.live[p->at[d]] += (uint32_t)live;
		p->node[d]->inner.old[p->at[d]] += (uint32_t)old;
	}
}

void index_replace(struct index *t, struct record *r)
{
	struct path p;

	path_to(t, record_key(r), &p);
	struct mvcc_node *leaf = p.node[p.depth];
	unsigned at = p.at[p.depth];
	int was_dead = leaf->dead >> at & 1, was_old = leaf->old >> at & 1;

	leaf->leaf.record[at] = r;
	leaf->dead = bit_set(leaf->dead, at, record_dead(r));
	leaf->old = bit_set(leaf->old, at, record_old(r));
	path_count(&p, was_dead - record_dead(r), record_old(r) - was_old);
}

static void leaf_remove(struct mvcc_node *n, unsigned at)
{
	SHIFT_OUT(n->leaf.head, at, n->count);
	SHIFT_OUT(n->leaf.record, at, n->count);
	n->dead = bit_remove(n->dead, at);
	n->old = bit_remove(n->old, at);
	n->count--;
}

/* The entries of r follow those of l, which is fresh; border: the separator between them. */
static void node_append(struct mvcc_node *l, const struct mvcc_node *r, struct separator *border)
{
	if (l->is_leaf) {
		memcpy(&l->leaf.record[l->count], r->leaf.record, r->count * sizeof(r->leaf.record[0]));
		l->dead |= r->dead << l->count;
		l->old |= r->old << l->count;
	} else {
		memcpy(&l->inner.child[l->count], r->inner.child, r->count * sizeof(r->inner.child[0]));
		memcpy(&l->inner.sep[l->count], r->inner.sep, r->count * sizeof(r->inner.sep[0]));
		memcpy(&l->inner.live[l->count], r->inner.live, r->count * sizeof(r->inner.live[0]));
		memcpy(&l->inner.old[l->count], r->inner.old, r->count * sizeof(r->inner.old[0]));
		l->inner.sep[l->count] = border;
	}
	l->count += r->count;
	index_node_set_prefix(l);
}

/* Child i of parent has become small: drop it when empty, or join it with a neighbour if that leaves room. */
static void shrink_child(struct index *t, struct mvcc_node *parent, unsigned i)
{
	struct mvcc_node *child = parent->inner.child[i];
	unsigned max = child->is_leaf ? LEAF_MAX : INNER_MAX;

	if (!child->count) {
		separator_discard(t, inner_remove(parent, i));
		node_discard(t, child);
		return;
	}
	if (parent->count < 2)
		return;
	unsigned left = i ? i - 1 : 0;
	struct mvcc_node *r = parent->inner.child[left + 1];

	if (parent->inner.child[left]->count + r->count > max * 3 / 4)
		return;
	struct mvcc_node *l = parent->inner.child[left] = fresh(t, parent->inner.child[left]);
	struct separator *border = inner_remove(parent, left + 1);

	node_append(l, r, border);
	if (l->is_leaf)
		separator_discard(t, border);
	node_discard(t, r);
	inner_recount(parent, left);
}

static void shrink_root(struct index *t)
{
	while (!t->root->is_leaf && t->root->count == 1) {
		struct mvcc_node *root = t->root;

		t->root = root->inner.child[0];
		node_discard(t, root);
	}
	if (!t->root->is_leaf && !t->root->count) {
		node_discard(t, t->root);
		t->root = index_node_new(t, true);
	}
}

void index_remove(struct index *t, struct slice key)
{
	struct path p;

	path_to(t, key, &p);
	struct mvcc_node *leaf = p.node[p.depth];
	unsigned at = p.at[p.depth];
	const struct record *r = leaf->leaf.record[at];

	path_count(&p, -!record_dead(r), -record_old(r));
	t->count--;
	t->revisions -= record_revisions(r);
	leaf_remove(leaf, at);
	for (unsigned d = p.depth; d-- > 0;) {
		const struct mvcc_node *child = p.node[d + 1];

		if (child->count > (child->is_leaf ? LEAF_MAX : INNER_MAX) / 4)
			break;
		shrink_child(t, p.node[d], p.at[d]);
	}
	shrink_root(t);
}
