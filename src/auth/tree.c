/* Upstream answers a request for a range from a red-black interval tree. For every proper range that is what merged ranges say. For
 * a range whose end is not above its key (which deletes and reads nothing, but may stand in a txn that does more) its walk turns back
 * at nodes that begin at or behind that end, and so the answer depends on the shape of the tree. Members must agree whether such a
 * txn is refused: here is the same tree, built by the same insertions (textbook red-black insertion, equal keys to the right), with
 * the same walk. Source: etcd v3.7.1, pkg/adt/interval_tree.go (visit, Contains). Node 0 is the leaf. */
#include "auth/impl.h"

struct tree {
	struct range_node *n;
	uint32_t root;
};

static void rotate(struct tree *t, uint32_t x, bool left)
{
	struct range_node *n = t->n;
	uint32_t y = left ? n[x].right : n[x].left;
	uint32_t inner = left ? n[y].left : n[y].right;

	*(left ? &n[x].right : &n[x].left) = inner;
	if (inner)
		n[inner].parent = x;
	n[y].parent = n[x].parent;
	if (!n[x].parent)
		t->root = y;
	else if (n[n[x].parent].left == x)
		n[n[x].parent].left = y;
	else
		n[n[x].parent].right = y;
	*(left ? &n[y].left : &n[y].right) = x;
	n[x].parent = y;
}

static void mend_colours(struct tree *t, uint32_t z)
{
	struct range_node *n = t->n;

	while (n[n[z].parent].red) {
		uint32_t p = n[z].parent, g = n[p].parent;
		bool left = n[g].left == p;
		uint32_t uncle = left ? n[g].right : n[g].left;

		if (n[uncle].red) {
			n[p].red = n[uncle].red = false;
			n[g].red = true;
			z = g;
			continue;
		}
		if (z == (left ? n[p].right : n[p].left)) {
			rotate(t, p, left);
			z = p;
			p = n[z].parent;
		}
		n[p].red = false;
		n[g].red = true;
		rotate(t, g, !left);
	}
	n[t->root].red = false;
}

static bool before(const struct auth_range *a, const struct auth_range *b)
{
	int c = slice_cmp(a->begin, b->begin);

	return c ? c < 0 : range_end_cmp(a->end, b->end) < 0;
}

static void insert(struct tree *t, uint32_t z)
{
	struct range_node *n = t->n;
	uint32_t parent = 0, x = t->root;

	while (x) {
		parent = x;
		x = before(&n[z].range, &n[x].range) ? n[x].left : n[x].right;
	}
	n[z].parent = parent;
	n[z].red = true;
	if (!parent)
		t->root = z;
	else if (before(&n[z].range, &n[parent].range))
		n[parent].left = z;
	else
		n[parent].right = z;
	mend_colours(t, z);
}

/* Depth is at most 2 log2(n + 1). */
static void set_max(struct range_node *n, uint32_t x)
{
	n[x].max = n[x].range.end;
	for (int side = 0; side < 2; side++) {
		uint32_t child = side ? n[x].right : n[x].left;

		if (!child)
			continue;
		set_max(n, child);
		if (range_end_cmp(n[child].max, n[x].max) > 0)
			n[x].max = n[child].max;
	}
}

uint32_t range_tree_build(struct range_node *n, size_t count)
{
	struct tree t = {.n = n};

	for (uint32_t i = 1; i <= count; i++)
		insert(&t, i);
	if (t.root)
		set_max(n, t.root);
	return t.root;
}

struct walk {
	const struct range_node *n;
	struct auth_range want;
	bool any, broken;
	struct slice min_begin, max_end;
};

/* -1: a lies before b, 1: behind, 0: else. */
static int range_cmp(const struct auth_range *a, const struct auth_range *b)
{
	if (slice_cmp(a->begin, b->begin) < 0 && range_end_cmp(a->end, b->begin) <= 0)
		return -1;
	return range_end_cmp(b->end, a->begin) <= 0 ? 1 : 0;
}

static bool visit(struct walk *w, const struct auth_range *r)
{
	if (!w->any) {
		w->any = true;
		w->min_begin = r->begin;
		w->max_end = r->end;
		return true;
	}
	if (range_end_cmp(w->max_end, r->begin) < 0) {
		w->broken = true;
		return false;
	}
	if (range_end_cmp(r->end, w->max_end) > 0)
		w->max_end = r->end;
	return true;
}

static bool descend(struct walk *w, uint32_t x)
{
	const struct range_node *n = &w->n[x];
	struct auth_range reach = {n->range.begin, n->max};
	int side;

	if (!x)
		return true;
	side = range_cmp(&w->want, &n->range);
	if (side < 0)
		return descend(w, n->left);
	if (side > 0)
		return range_cmp(&reach, &w->want) != 0 || (descend(w, n->left) && descend(w, n->right));
	return descend(w, n->left) && visit(w, &n->range) && descend(w, n->right);
}

bool range_tree_contains(const struct range_node *n, uint32_t root, struct slice key, struct slice end)
{
	struct walk w = {.n = n, .want = {key, end}};

	if (root)
		descend(&w, root);
	return w.any && !w.broken && range_end_cmp(w.max_end, end) >= 0 && slice_cmp(w.min_begin, key) <= 0;
}
