/* Buckets of a transaction: handles, and the checks of what callers pass. */
#include "bolt/impl.h"

/* Of a bucket that was just made: no page, sequence 0, an inline leaf without elements. */
static const uint8_t empty_bucket[BUCKET_HEADER_SIZE + PAGE_HEADER_SIZE] = {[BUCKET_HEADER_SIZE + 8] = PAGE_LEAF};

void bucket_root(const struct bolt_bucket *b, struct bolt_root *out)
{
	*out = (struct bolt_root){.page = b->page, .sequence = b->sequence, .inline_page = b->inline_page};
}

static void handle_free(struct bolt_bucket *b)
{
	VEC_FREE(&b->children);
	mem_free(b);
}

void bucket_free_handles(struct bolt_tx *tx)
{
	for (size_t i = 0; i < tx->buckets.count; i++)
		handle_free(tx->buckets.at[i]);
	VEC_FREE(&tx->buckets);
	VEC_FREE(&tx->top.children);
}

static size_t child_search(const struct bolt_bucket *parent, struct slice name, bool *exact)
{
	size_t lo = 0, hi = parent->children.count;

	*exact = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = slice_cmp(parent->children.at[mid]->name, name);

		if (c == 0) {
			*exact = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The element of key as the transaction sees it. Keys and values in it are as long-lived as a cursor's. */
static err_t find(struct bolt_bucket *b, struct slice key, struct slice *value, bool *is_bucket)
{
	struct bolt_cursor c;
	bool found;
	err_t err;

	bolt_bucket_cursor_init(&c, b);
	err = bolt_cursor_seek(&c, key, &found);
	if (err)
		return err;
	if (!found || !slice_eq(c.key, key))
		return ERR_NOT_EXIST;
	*value = c.value;
	*is_bucket = c.is_bucket;
	return OK;
}

static bool key_valid(struct slice key)
{
	return key.size > 0 && key.size <= BOLT_KEY_SIZE_MAX;
}

err_t bolt_bucket_sub(struct bolt_bucket *parent, struct slice name, bool create, struct bolt_bucket **out)
{
	struct bolt_tx *tx = parent->tx;
	struct bolt_bucket *b;
	struct bolt_root root = {0};
	struct slice value;
	bool exact, is_bucket = true;
	size_t at = child_search(parent, name, &exact);
	err_t err;

	if (exact) {
		*out = parent->children.at[at];
		return OK;
	}
	if (!key_valid(name))
		return ERR_INVALID;
	err = find(parent, name, &value, &is_bucket);
	if (err == ERR_NOT_EXIST && create) {
		value = slice_of(empty_bucket, sizeof(empty_bucket));
		err = tree_put(parent, name, value, ELEMENT_BUCKET);
		if (!err && parent->parent)
			tx->db->has_subbuckets = true;
	}
	if (err)
		return err;
	if (!is_bucket)
		return ERR_INVALID;
	err = bucket_value_parse(tx->db, value, &root);
	if (err)
		return err;

	b = NEW(struct bolt_bucket);
	b->tx = tx;
	b->parent = parent;
	b->name = tx_copy(tx, name);
	b->page = root.page;
	b->sequence = root.sequence;
	b->inline_page = root.inline_page;
	VEC_PUSH(&tx->buckets, b);
	VEC_RESERVE(&parent->children, parent->children.count + 1);
	memmove(parent->children.at + at + 1, parent->children.at + at,
		(parent->children.count - at) * sizeof(*parent->children.at));
	parent->children.at[at] = b;
	parent->children.count++;
	*out = b;
	return OK;
}

err_t bolt_tx_bucket(struct bolt_tx *tx, struct slice name, bool create, struct bolt_bucket **out)
{
	return bolt_bucket_sub(&tx->top, name, create, out);
}

uint64_t bolt_bucket_sequence(const struct bolt_bucket *b)
{
	return b->sequence;
}

void bolt_bucket_set_sequence(struct bolt_bucket *b, uint64_t sequence)
{
	b->sequence = sequence;
	b->dirty = true;
}

err_t bolt_put_borrowed(struct bolt_bucket *b, struct slice key, struct slice value)
{
	if (!key_valid(key) || value.size > BOLT_VALUE_SIZE_MAX || b == &b->tx->top)
		return ERR_INVALID;
	return tree_put(b, key, value, 0);
}

err_t bolt_put(struct bolt_bucket *b, struct slice key, struct slice value)
{
	if (!key_valid(key) || value.size > BOLT_VALUE_SIZE_MAX || b == &b->tx->top)
		return ERR_INVALID;
	return tree_put(b, key, tx_copy(b->tx, value), 0);
}

err_t bolt_get(struct bolt_bucket *b, struct slice key, struct slice *out)
{
	struct slice value;
	bool is_bucket;
	err_t err = find(b, key, &value, &is_bucket);

	if (!err && is_bucket)
		err = ERR_NOT_EXIST;
	if (!err)
		*out = value;
	return err;
}

err_t bolt_delete(struct bolt_bucket *b, struct slice key)
{
	struct slice value;
	bool is_bucket;
	err_t err = find(b, key, &value, &is_bucket);

	if (err)
		return err == ERR_NOT_EXIST ? OK : err;
	return is_bucket ? ERR_INVALID : tree_remove(b, key);
}

/* ---- deleting a bucket ---- */

enum { FREE_DEPTH_MAX = 8 * BOLT_DEPTH_MAX }; /* levels of pages, sub-buckets added up */

static err_t free_tree(struct bolt_tx *tx, const struct bolt_root *root, uint32_t depth);

static err_t free_page(struct bolt_tx *tx, const struct page *p, uint64_t id, uint32_t depth)
{
	err_t err = page_check(tx->db, id, p);

	for (uint32_t i = 0; !err && i < p->count; i++) {
		struct element e;
		struct bolt_root root;

		ASSERT(page_element(p, i, &e));
		if (!p->leaf) {
			err = free_tree(tx, &(struct bolt_root){.page = e.page}, depth + 1);
		} else if (e.flags & ELEMENT_BUCKET) {
			err = bucket_value_parse(tx->db, e.value, &root);
			if (!err)
				err = free_tree(tx, &root, depth + 1);
		}
	}
	if (!err && id)
		VEC_PUSH(&tx->freed, ((struct run){id, p->extent / tx->db->page_size}));
	return err;
}

/* All pages from a root or a branch's child down, sub-buckets included. */
static err_t free_tree(struct bolt_tx *tx, const struct bolt_root *root, uint32_t depth)
{
	struct page p;
	err_t err;

	if (depth > FREE_DEPTH_MAX)
		return bolt_damage(tx->db, root->page, "more than %d levels of pages", FREE_DEPTH_MAX);
	err = root_load(tx->db, tx->high_water_before, root, &p);
	return err ? err : free_page(tx, &p, root->page, depth);
}

static err_t free_node(struct bolt_tx *tx, struct bolt_node *n, uint32_t depth)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < n->items.count; i++) {
		struct item *it = &n->items.at[i];
		struct bolt_root root;

		if (!n->leaf) {
			err = it->child ? free_node(tx, it->child, depth + 1)
					: free_tree(tx, &(struct bolt_root){.page = it->page}, depth + 1);
		} else if (it->flags & ELEMENT_BUCKET) {
			err = bucket_value_parse(tx->db, slice_of(it->value, it->vsize), &root);
			if (!err)
				err = free_tree(tx, &root, depth + 1);
		}
	}
	if (!err)
		node_free_pages(tx, n);
	return err;
}

/* Opened sub-buckets first: what is loaded of them counts, not what the file has. */
static err_t bucket_empty(struct bolt_bucket *b)
{
	struct bolt_root root;
	err_t err;

	while (b->children.count) {
		struct bolt_bucket *child = b->children.at[b->children.count - 1];

		err = bolt_bucket_delete(b->tx, b, child->name);
		if (err)
			return err;
	}
	if (b->root)
		return free_node(b->tx, b->root, 0);
	bucket_root(b, &root);
	return free_tree(b->tx, &root, 0);
}

err_t bolt_bucket_delete(struct bolt_tx *tx, struct bolt_bucket *parent, struct slice name)
{
	struct bolt_bucket *b;
	bool exact;
	size_t at;
	err_t err;

	if (!parent)
		parent = &tx->top;
	err = bolt_bucket_sub(parent, name, false, &b);
	if (!err)
		err = bucket_empty(b);
	if (!err)
		err = tree_remove(parent, b->name);
	if (err)
		return err;
	at = child_search(parent, b->name, &exact);
	ASSERT(exact);
	memmove(parent->children.at + at, parent->children.at + at + 1,
		(parent->children.count - at - 1) * sizeof(*parent->children.at));
	parent->children.count--;
	return OK;
}
