/* Before commit: nodes that deletes have left small join a neighbour; empty ones go.
 *
 * bbolt needs every branch to have two children and every leaf but a root one key; beyond that merging is a matter of
 * space: a node under half a page joins a neighbour if both fit in one page. */
#include "bolt/impl.h"

static bool is_small(const struct bolt_tx *tx, const struct bolt_node *n)
{
	return n->items.count < (n->leaf ? 1 : 2) || n->size < tx->db->page_size / 2;
}

static bool must_join(const struct bolt_node *n)
{
	return !n->leaf && n->items.count < 2;
}

static err_t fix_children(struct bolt_tx *tx, struct bolt_node *n);

/* Child index + 1 goes into child index. */
static err_t join(struct bolt_tx *tx, struct bolt_node *n, uint32_t index)
{
	struct bolt_node *left = n->items.at[index].child, *right = n->items.at[index + 1].child;
	err_t err = OK;

	node_append_all(left, right);
	node_free_pages(tx, right);
	node_remove(n, index + 1);
	if (!left->leaf)
		err = fix_children(tx, left); /* an only child may have got neighbours */
	if (!err)
		node_split_child(tx, n, index, false);
	return err;
}

/* Without loading it, if it is not: what its page says, or the page size if that makes no sense. */
static uint64_t size_guess(struct bolt_tx *tx, const struct bolt_node *n, uint32_t index)
{
	const struct item *it = &n->items.at[index];
	struct element e;
	struct page p;

	if (it->child)
		return it->child->size;
	if (page_load(tx->db, tx->high_water_before, it->page, &p) || p.count == 0 ||
	    !page_element(&p, p.count - 1, &e))
		return tx->db->page_size;
	return (uint64_t)(e.key.data - p.at) + e.key.size + e.value.size;
}

/* Joins children index and index + 1 if one of them must or both fit in a page. */
static err_t try_join(struct bolt_tx *tx, struct bolt_node *n, uint32_t index, bool must, bool *joined)
{
	struct bolt_node *left, *right;
	err_t err;

	*joined = false;
	if (!must && size_guess(tx, n, index) + size_guess(tx, n, index + 1) > tx->db->page_size + PAGE_HEADER_SIZE)
		return OK;
	err = node_child(tx, n, index, &left);
	if (!err)
		err = node_child(tx, n, index + 1, &right);
	if (err)
		return err;
	if (left->leaf != right->leaf)
		return must ? bolt_damage(tx->db, right->page, "its neighbour page %llu is of another kind",
					  (unsigned long long)left->page)
			    : OK;
	if (!must && (left->size + right->size - PAGE_HEADER_SIZE > tx->db->page_size ||
		      left->items.count + right->items.count > PAGE_COUNT_MAX))
		return OK;
	*joined = true;
	return join(tx, n, index);
}

static err_t fix_children(struct bolt_tx *tx, struct bolt_node *n)
{
	for (uint32_t i = 0; i < n->items.count;) {
		struct bolt_node *c = n->items.at[i].child;
		bool joined = false;
		err_t err = OK;

		if (c && i % YIELD_EVERY == 0)
			pacer_yield(tx->db->pacer);
		if (!c || !c->dirty || !is_small(tx, c)) {
			i++;
			continue;
		}
		if (c->items.count == 0) {
			node_free_pages(tx, c);
			node_remove(n, i);
			continue;
		}
		if (i > 0)
			err = try_join(tx, n, i - 1, false, &joined);
		if (!err && !joined && i + 1 < n->items.count)
			err = try_join(tx, n, i, false, &joined);
		if (!err && !joined && must_join(c) && n->items.count > 1)
			err = try_join(tx, n, i > 0 ? i - 1 : i, true, &joined);
		if (err)
			return err;
		if (joined)
			i = i > 0 ? i - 1 : 0;
		else
			i++;
	}
	return OK;
}

static err_t balance(struct bolt_tx *tx, struct bolt_node *n)
{
	if (n->leaf || !n->dirty)
		return OK;
	for (uint32_t i = 0; i < n->items.count; i++) {
		struct bolt_node *c = n->items.at[i].child;
		err_t err = c ? balance(tx, c) : OK;

		if (c && i % YIELD_EVERY == 0)
			pacer_yield(tx->db->pacer);

		if (err)
			return err;
	}
	err_t err = fix_children(tx, n);

	for (uint32_t i = 0; !err && i < n->items.count; i++)
		if (n->items.at[i].child && node_too_big(tx, n->items.at[i].child))
			node_split_child(tx, n, i, false);
	return err;
}

err_t tree_balance(struct bolt_bucket *b)
{
	struct bolt_tx *tx = b->tx;
	err_t err;

	if (!b->root || !b->root->dirty)
		return OK;
	err = balance(tx, b->root);
	while (!err && !b->root->leaf && b->root->items.count < 2) {
		struct bolt_node *old = b->root, *child;

		node_free_pages(tx, old);
		if (old->items.count == 0) {
			b->root = node_new(tx, true);
			break;
		}
		err = node_child(tx, old, 0, &child);
		if (!err)
			b->root = child;
	}
	if (!err) {
		b->root->dirty = true;
		tree_grow_root(b, false);
	}
	return err;
}
