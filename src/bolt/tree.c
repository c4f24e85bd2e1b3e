/* Put and delete in one bucket's tree: down from the root with the way remembered, up again with splits. Nothing is
 * merged before commit (balance.c). */
#include "bolt/impl.h"

struct way {
	struct bolt_node *at[BOLT_DEPTH_MAX];
	uint32_t index[BOLT_DEPTH_MAX];
	uint32_t depth;
	bool exact; /* in the leaf */
};

struct slice tx_copy(struct bolt_tx *tx, struct slice s)
{
	struct slice out;

	ASSERT(arena_copy(&tx->arena, s, &out));
	return out;
}

err_t tree_root(struct bolt_bucket *b, struct bolt_node **out)
{
	struct bolt_tx *tx = b->tx;
	err_t err = OK;

	if (!b->root) {
		struct bolt_root root;
		struct page p;

		bucket_root(b, &root);
		err = root_load(tx->db, tx->high_water_before, &root, &p);
		if (!err)
			err = node_load(tx, root.page, &p, &b->root);
	}
	if (!err)
		*out = b->root;
	return err;
}

/* Loads the way to the leaf that key belongs to. */
static err_t walk(struct bolt_bucket *b, struct slice key, struct way *w)
{
	struct bolt_node *n;
	err_t err = tree_root(b, &n);

	w->depth = 0;
	while (!err) {
		bool exact;
		uint32_t i = node_search(n, key, &exact);

		w->at[w->depth] = n;
		w->index[w->depth++] = i;
		w->exact = exact;
		if (n->leaf)
			return OK;
		if (w->depth == BOLT_DEPTH_MAX)
			return bolt_damage(b->tx->db, n->page, "more than %d levels of pages", BOLT_DEPTH_MAX);
		err = node_child(b->tx, n, i, &n);
	}
	return err;
}

static void way_dirty(struct bolt_bucket *b, struct way *w)
{
	for (uint32_t i = 0; i < w->depth; i++)
		w->at[i]->dirty = true;
	b->dirty = true;
}

/* A key below all others: the branch keys on the way must not be greater than it. */
static void way_lower_keys(struct way *w, struct slice key)
{
	for (uint32_t i = 0; i + 1 < w->depth; i++) {
		struct item *it = &w->at[i]->items.at[w->index[i]];

		if (w->index[i] > 0 || slice_cmp(item_key(it), key) <= 0)
			continue;
		w->at[i]->size += key.size;
		w->at[i]->size -= it->ksize;
		it->key = key.data;
		it->ksize = (uint32_t)key.size;
	}
}

/* The root has got too big: one more level above it. */
void tree_grow_root(struct bolt_bucket *b, bool appended)
{
	while (node_too_big(b->tx, b->root)) {
		struct bolt_node *old = b->root, *n = node_new(b->tx, false);

		node_insert(n, 0,
			    (struct item){.key = old->items.at[0].key, .ksize = old->items.at[0].ksize, .child = old});
		b->root = n;
		node_split_child(b->tx, n, 0, appended);
	}
}

static void way_split(struct bolt_bucket *b, struct way *w)
{
	struct bolt_node *leaf = w->at[w->depth - 1];
	bool appended = w->index[w->depth - 1] + 1 == leaf->items.count;

	for (uint32_t i = w->depth - 1; i > 0; i--) {
		bool last = w->index[i - 1] + 1 == w->at[i - 1]->items.count;

		node_split_child(b->tx, w->at[i - 1], w->index[i - 1], appended);
		appended = appended && last;
	}
	tree_grow_root(b, appended);
}

/* The last leaf, if all nodes down to it are loaded and dirty. */
static struct bolt_node *last_leaf(struct bolt_bucket *b)
{
	struct bolt_node *n = b->root;

	while (n && n->dirty && !n->leaf)
		n = n->items.at[n->items.count - 1].child;
	return n && n->dirty && n->leaf ? n : NULL;
}

static bool fits(const struct bolt_tx *tx, const struct bolt_node *n, uint64_t size)
{
	return n->size + size <= tx->db->page_size && n->items.count < PAGE_COUNT_MAX;
}

/* Rows that come in ascending order: straight to the end of the last leaf while there is room. */
static bool append(struct bolt_bucket *b, struct slice key, struct slice value, uint32_t flags)
{
	struct bolt_node *n = b->tail;
	struct slice copy;

	if (!n || n->items.count == 0 || !fits(b->tx, n, leaf_item_size(key.size, value.size)) ||
	    slice_cmp(key, item_key(&n->items.at[n->items.count - 1])) <= 0)
		return false;
	copy = tx_copy(b->tx, key);
	node_insert(n, (uint32_t)n->items.count,
		    (struct item){.key = copy.data,
				  .ksize = (uint32_t)copy.size,
				  .value = value.data,
				  .vsize = (uint32_t)value.size,
				  .flags = flags});
	return true;
}

err_t tree_put(struct bolt_bucket *b, struct slice key, struct slice value, uint32_t flags)
{
	struct bolt_node *leaf;
	struct slice copy;
	struct way w;
	uint32_t i;
	err_t err;

	if (append(b, key, value, flags))
		return OK;
	err = walk(b, key, &w);
	if (err)
		return err;
	leaf = w.at[w.depth - 1];
	i = w.index[w.depth - 1];
	if (w.exact && ((leaf->items.at[i].flags ^ flags) & ELEMENT_BUCKET))
		return ERR_INVALID;
	way_dirty(b, &w);
	if (w.exact) {
		struct item *it = &leaf->items.at[i];

		leaf->size += value.size;
		leaf->size -= it->vsize;
		it->value = value.data;
		it->vsize = (uint32_t)value.size;
	} else {
		copy = tx_copy(b->tx, key);
		node_insert(leaf, i,
			    (struct item){.key = copy.data,
					  .ksize = (uint32_t)copy.size,
					  .value = value.data,
					  .vsize = (uint32_t)value.size,
					  .flags = flags});
		way_lower_keys(&w, copy);
	}
	way_split(b, &w);
	b->tail = last_leaf(b);
	return OK;
}

err_t tree_remove(struct bolt_bucket *b, struct slice key)
{
	struct way w;
	err_t err = walk(b, key, &w);

	if (err)
		return err;
	if (!w.exact)
		return ERR_NOT_EXIST;
	way_dirty(b, &w);
	node_remove(w.at[w.depth - 1], w.index[w.depth - 1]);
	return OK;
}

err_t tree_touch(struct bolt_bucket *b, struct slice key, uint64_t id, uint64_t *pages)
{
	struct bolt_node *n;
	err_t err = tree_root(b, &n);

	for (uint32_t depth = 0; !err && depth < BOLT_DEPTH_MAX; depth++) {
		bool exact;

		if (!n->dirty)
			*pages += n->page_count;
		n->dirty = true;
		b->dirty = true;
		if (n->page == id)
			return OK;
		if (n->leaf)
			break;
		err = node_child(b->tx, n, node_search(n, key, &exact), &n);
	}
	return err ? err : bolt_damage(b->tx->db, id, "its first key does not lead to it");
}
