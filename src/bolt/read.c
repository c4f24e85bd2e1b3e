/* Gets and cursors, over the pages of a pin or over the nodes and pages of a transaction. */
#include "bolt/impl.h"

void bolt_pin_top(const struct bolt_pin *pin, struct bolt_root *out)
{
	*out = (struct bolt_root){.page = pin->meta.root, .sequence = pin->meta.sequence};
}

/* The leaf element of a key. Levels are counted, so that a cycle of pages ends. */
static err_t root_find(struct bolt *db, uint64_t high_water, const struct bolt_root *root, struct slice key,
		       struct element *out)
{
	struct page p;
	uint32_t index, depth = 1;
	bool exact;
	err_t err = root_load(db, high_water, root, &p);

	if (err)
		return err;
	while (!p.leaf) {
		err = page_search(db, &p, key, &index, &exact);
		if (!err && ++depth > BOLT_DEPTH_MAX)
			err = bolt_damage(db, le64_get(p.at), "more than %d levels of pages", BOLT_DEPTH_MAX);
		if (!err)
			err = page_load(db, high_water, page_child(&p, index), &p);
		if (err)
			return err;
	}
	err = page_search(db, &p, key, &index, &exact);
	if (err)
		return err;
	if (!exact)
		return ERR_NOT_EXIST;
	if (!page_element(&p, index, out))
		return bolt_damage(db, le64_get(p.at), "element %u reaches beyond the page", index);
	return OK;
}

err_t bolt_pin_get(struct bolt_pin *pin, const struct bolt_root *root, struct slice key, struct slice *out)
{
	struct element e;
	err_t err = root_find(pin->db, pin->meta.high_water, root, key, &e);

	if (err)
		return err;
	if (e.flags & ELEMENT_BUCKET)
		return ERR_NOT_EXIST;
	*out = e.value;
	return OK;
}

err_t bolt_pin_subbucket(struct bolt_pin *pin, const struct bolt_root *parent, struct slice name, struct bolt_root *out)
{
	struct element e;
	err_t err = root_find(pin->db, pin->meta.high_water, parent, name, &e);

	if (err)
		return err;
	if (!(e.flags & ELEMENT_BUCKET))
		return ERR_INVALID;
	return bucket_value_parse(pin->db, e.value, out);
}

err_t bolt_pin_bucket(struct bolt_pin *pin, struct slice name, struct bolt_root *out)
{
	struct bolt_root top;

	bolt_pin_top(pin, &top);
	return bolt_pin_subbucket(pin, &top, name, out);
}

/* ---- cursor ---- */

void bolt_cursor_init(struct bolt_cursor *c, struct bolt_pin *pin, const struct bolt_root *root)
{
	c->db = pin->db;
	c->high_water = pin->meta.high_water;
	c->bucket = NULL;
	c->root = *root;
	c->depth = 0;
	c->key = c->value = (struct slice){0};
}

void bolt_bucket_cursor_init(struct bolt_cursor *c, struct bolt_bucket *b)
{
	c->db = b->tx->db;
	c->high_water = b->tx->high_water_before;
	c->bucket = b;
	c->depth = 0;
	c->key = c->value = (struct slice){0};
}

static struct page level_page(const struct bolt_cursor_level *l)
{
	return (struct page){l->page, l->extent, l->count, l->leaf};
}

static void level_of_node(struct bolt_cursor_level *l, struct bolt_node *n)
{
	*l = (struct bolt_cursor_level){.node = n, .count = (uint32_t)n->items.count, .leaf = n->leaf};
}

static err_t level_of_page(struct bolt_cursor *c, struct bolt_cursor_level *l, uint64_t id)
{
	struct page p;
	err_t err = page_load(c->db, c->high_water, id, &p);

	if (!err)
		*l = (struct bolt_cursor_level){.page = p.at, .extent = p.extent, .count = p.count, .leaf = p.leaf};
	return err;
}

static err_t push_root(struct bolt_cursor *c)
{
	struct page p;
	err_t err;

	c->depth = 1;
	if (c->bucket) {
		if (c->bucket->root) {
			level_of_node(&c->at[0], c->bucket->root);
			return OK;
		}
		bucket_root(c->bucket, &c->root);
	}
	err = root_load(c->db, c->high_water, &c->root, &p);
	if (!err)
		c->at[0] =
		    (struct bolt_cursor_level){.page = p.at, .extent = p.extent, .count = p.count, .leaf = p.leaf};
	return err;
}

/* Enters the child that the last level points at. */
static err_t push_child(struct bolt_cursor *c)
{
	struct bolt_cursor_level *l = &c->at[c->depth - 1];
	uint64_t id;

	ASSERT(!l->leaf && l->index < l->count);
	if (c->depth == BOLT_DEPTH_MAX)
		return bolt_damage(c->db, l->page ? le64_get(l->page) : l->node->page, "more than %d levels of pages",
				   BOLT_DEPTH_MAX);
	if (l->node) {
		const struct item *it = &l->node->items.at[l->index];

		if (it->child) {
			level_of_node(&c->at[c->depth++], it->child);
			return OK;
		}
		id = it->page;
	} else {
		struct page p = level_page(l);

		id = page_child(&p, l->index);
	}
	return level_of_page(c, &c->at[c->depth++], id);
}

/* Fills key and value from the last level, which is a leaf with index < count. */
static err_t load_row(struct bolt_cursor *c)
{
	struct bolt_cursor_level *l = &c->at[c->depth - 1];
	struct element e;

	if (l->node) {
		const struct item *it = &l->node->items.at[l->index];

		c->key = item_key(it);
		c->value = slice_of(it->value, it->vsize);
		c->is_bucket = it->flags & ELEMENT_BUCKET;
		return OK;
	}
	struct page p = level_page(l);

	if (UNLIKELY(!page_element(&p, l->index, &e)))
		return bolt_damage(c->db, le64_get(l->page), "element %u reaches beyond the page", l->index);
	c->key = e.key;
	c->value = e.value;
	c->is_bucket = e.flags & ELEMENT_BUCKET;
	return OK;
}

/* Down to a leaf along the first or the last children. */
static err_t descend_edge(struct bolt_cursor *c, bool last)
{
	for (;;) {
		struct bolt_cursor_level *l = &c->at[c->depth - 1];
		err_t err;

		l->index = last && l->count ? l->count - 1 : 0;
		if (l->leaf)
			return OK;
		err = push_child(c);
		if (err)
			return err;
	}
}

/* From a position that may be behind the end of its leaf to the next row. */
static err_t settle_forward(struct bolt_cursor *c, bool *found)
{
	struct bolt_cursor_level *l = &c->at[c->depth - 1];
	err_t err;

	while (l->index >= l->count) {
		do {
			if (--c->depth == 0) {
				*found = false;
				return OK;
			}
			l = &c->at[c->depth - 1];
		} while (++l->index >= l->count);
		err = push_child(c);
		if (!err)
			err = descend_edge(c, false);
		if (err)
			return err;
		l = &c->at[c->depth - 1];
	}
	*found = true;
	return load_row(c);
}

/* The row in front of the position. */
static err_t settle_backward(struct bolt_cursor *c, bool *found)
{
	struct bolt_cursor_level *l = &c->at[c->depth - 1];
	err_t err;

	while (l->index == 0) {
		do {
			if (--c->depth == 0) {
				*found = false;
				return OK;
			}
			l = &c->at[c->depth - 1];
		} while (l->index == 0);
		l->index--;
		err = push_child(c);
		if (!err)
			err = descend_edge(c, true);
		if (err)
			return err;
		l = &c->at[c->depth - 1];
		if (l->count) {
			*found = true;
			return load_row(c);
		}
	}
	l->index--;
	*found = true;
	return load_row(c);
}

static err_t ended(struct bolt_cursor *c, err_t err)
{
	if (err)
		c->depth = 0;
	return err;
}

err_t bolt_cursor_first(struct bolt_cursor *c, bool *found)
{
	err_t err = push_root(c);

	if (!err)
		err = descend_edge(c, false);
	if (!err)
		err = settle_forward(c, found);
	return ended(c, err);
}

err_t bolt_cursor_last(struct bolt_cursor *c, bool *found)
{
	err_t err = push_root(c);

	if (!err)
		err = descend_edge(c, true);
	if (!err) {
		struct bolt_cursor_level *l = &c->at[c->depth - 1];

		l->index = l->count;
		err = settle_backward(c, found);
	}
	return ended(c, err);
}

static err_t level_search(struct bolt_cursor *c, struct bolt_cursor_level *l, struct slice key)
{
	bool exact;
	struct page p;

	if (l->node) {
		l->index = node_search(l->node, key, &exact);
		return OK;
	}
	p = level_page(l);
	return page_search(c->db, &p, key, &l->index, &exact);
}

err_t bolt_cursor_seek(struct bolt_cursor *c, struct slice key, bool *found)
{
	err_t err = push_root(c);

	while (!err) {
		struct bolt_cursor_level *l = &c->at[c->depth - 1];

		err = level_search(c, l, key);
		if (!err && l->leaf)
			return ended(c, settle_forward(c, found));
		if (!err)
			err = push_child(c);
	}
	return ended(c, err);
}

err_t bolt_cursor_next(struct bolt_cursor *c, bool *found)
{
	if (c->depth == 0) {
		*found = false;
		return OK;
	}
	c->at[c->depth - 1].index++;
	return ended(c, settle_forward(c, found));
}

err_t bolt_cursor_prev(struct bolt_cursor *c, bool *found)
{
	if (c->depth == 0) {
		*found = false;
		return OK;
	}
	return ended(c, settle_backward(c, found));
}
