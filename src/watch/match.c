/* Invariants: M1 in-order keys ascend by (key, end); M2 priorities fall on the way down; M3 farthest has the greatest
 * end of its subtree, MATCH_FROM being beyond all. */
#include "watch/match.h"

#include "base/crc.h"

void match_init(struct match_index *x, uint64_t seed)
{
	*x = (struct match_index){.seed = seed};
}

void match_fini(struct match_index *x)
{
	ASSERT(!x->root && !x->single_count);
	mem_free(x->buckets);
}

static enum match_kind kind_of(struct slice range_end)
{
	if (!range_end.size)
		return MATCH_SINGLE;
	return range_end.size == 1 && range_end.data[0] == 0 ? MATCH_FROM : MATCH_RANGE;
}

static int end_cmp(const struct match_node *a, const struct match_node *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1; /* FROM ends beyond every RANGE */
	return a->kind == MATCH_FROM ? 0 : slice_cmp(match_end(a), match_end(b));
}

static int node_cmp(const struct match_node *a, const struct match_node *b)
{
	int c = slice_cmp(match_key(a), match_key(b));

	return c ? c : end_cmp(a, b);
}

static bool ends_after(const struct match_node *n, struct slice key)
{
	return n->kind == MATCH_FROM || slice_cmp(key, match_end(n)) < 0;
}

bool match_contains(const struct match_node *n, struct slice key)
{
	if (n->kind == MATCH_SINGLE)
		return slice_eq(match_key(n), key);
	return slice_cmp(match_key(n), key) <= 0 && ends_after(n, key);
}

static struct match_node *node_new(struct match_index *x, struct slice key, struct slice range_end)
{
	enum match_kind kind = kind_of(range_end);
	struct slice end = kind == MATCH_RANGE ? range_end : (struct slice){0};
	struct match_node *n = mem_zalloc(sizeof(*n) + key.size + end.size);

	n->kind = kind;
	n->key_size = key.size;
	n->end_size = end.size;
	if (key.size)
		memcpy(n->bytes, key.data, key.size);
	if (end.size)
		memcpy(n->bytes + key.size, end.data, end.size);
	n->hash = hash64(x->seed + kind, n->bytes, key.size + end.size);
	n->farthest = n;
	list_init(&n->members);
	return n;
}

/* ---- singles ---- */

static void table_grow(struct match_index *x)
{
	size_t room = x->room ? x->room * 2 : 16;
	struct match_node **buckets = NEW_ARRAY(struct match_node *, room);

	for (size_t i = 0; i < x->room; i++)
		for (struct match_node *n = x->buckets[i], *next; n; n = next) {
			next = n->left;
			n->left = buckets[n->hash & (room - 1)];
			buckets[n->hash & (room - 1)] = n;
		}
	mem_free(x->buckets);
	x->buckets = buckets;
	x->room = room;
}

static struct match_node *single_find(const struct match_index *x, struct slice key)
{
	if (!x->single_count)
		return NULL;

	uint64_t hash = hash64(x->seed + MATCH_SINGLE, key.data, key.size);

	for (struct match_node *n = x->buckets[hash & (x->room - 1)]; n; n = n->left)
		if (n->hash == hash && slice_eq(match_key(n), key))
			return n;
	return NULL;
}

static void single_add(struct match_index *x, struct match_node *n)
{
	if (x->single_count >= x->room)
		table_grow(x);
	n->left = x->buckets[n->hash & (x->room - 1)];
	x->buckets[n->hash & (x->room - 1)] = n;
	x->single_count++;
}

static void single_remove(struct match_index *x, struct match_node *n)
{
	struct match_node **at = &x->buckets[n->hash & (x->room - 1)];

	while (*at != n)
		at = &(*at)->left;
	*at = n->left;
	x->single_count--;
}

/* ---- treap ---- */

static struct match_node *pull(struct match_node *n)
{
	n->farthest = n;
	if (n->left && end_cmp(n->left->farthest, n->farthest) > 0)
		n->farthest = n->left->farthest;
	if (n->right && end_cmp(n->right->farthest, n->farthest) > 0)
		n->farthest = n->right->farthest;
	return n;
}

static void split(struct match_node *t, const struct match_node *at, struct match_node **low, struct match_node **high)
{
	if (!t) {
		*low = *high = NULL;
	} else if (node_cmp(t, at) < 0) {
		split(t->right, at, &t->right, high);
		*low = pull(t);
	} else {
		split(t->left, at, low, &t->left);
		*high = pull(t);
	}
}

static struct match_node *merge(struct match_node *low, struct match_node *high)
{
	if (!low || !high)
		return low ? low : high;
	if (low->hash > high->hash) {
		low->right = merge(low->right, high);
		return pull(low);
	}
	high->left = merge(low, high->left);
	return pull(high);
}

static struct match_node *tree_insert(struct match_node *t, struct match_node *n)
{
	if (!t)
		return n;
	if (n->hash > t->hash) {
		split(t, n, &n->left, &n->right);
		return pull(n);
	}
	if (node_cmp(n, t) < 0)
		t->left = tree_insert(t->left, n);
	else
		t->right = tree_insert(t->right, n);
	return pull(t);
}

static struct match_node *tree_remove(struct match_node *t, const struct match_node *n)
{
	ASSERT(t);
	if (t == n)
		return merge(t->left, t->right);
	if (node_cmp(n, t) < 0)
		t->left = tree_remove(t->left, n);
	else
		t->right = tree_remove(t->right, n);
	return pull(t);
}

static struct match_node *tree_find(struct match_node *t, const struct match_node *like)
{
	while (t) {
		int c = node_cmp(like, t);

		if (c == 0)
			return t;
		t = c < 0 ? t->left : t->right;
	}
	return NULL;
}

static void stab(struct match_node *t, struct slice key, match_fn *fn, void *arg)
{
	while (t && ends_after(t->farthest, key)) {
		stab(t->left, key, fn, arg);
		if (slice_cmp(match_key(t), key) > 0)
			return;
		if (ends_after(t, key))
			fn(arg, t);
		t = t->right;
	}
}

/* ---- both ---- */

struct match_node *match_ref(struct match_index *x, struct slice key, struct slice range_end)
{
	struct match_node *n = node_new(x, key, range_end);
	struct match_node *there = n->kind == MATCH_SINGLE ? single_find(x, key) : tree_find(x->root, n);

	if (there) {
		mem_free(n);
		there->refs++;
		return there;
	}
	if (n->kind == MATCH_SINGLE) {
		single_add(x, n);
	} else {
		x->root = tree_insert(x->root, n);
		x->range_count++;
	}
	x->bytes += sizeof(*n) + n->key_size + n->end_size;
	n->refs = 1;
	return n;
}

void match_unref(struct match_index *x, struct match_node *n)
{
	ASSERT(n->refs);
	if (--n->refs)
		return;
	ASSERT(list_empty(&n->members));
	if (n->kind == MATCH_SINGLE) {
		single_remove(x, n);
	} else {
		x->root = tree_remove(x->root, n);
		x->range_count--;
	}
	x->bytes -= sizeof(*n) + n->key_size + n->end_size;
	mem_free(n);
}

void match_each(const struct match_index *x, struct slice key, match_fn *fn, void *arg)
{
	struct match_node *n = single_find(x, key);

	if (n)
		fn(arg, n);
	stab(x->root, key, fn, arg);
}

static size_t check_tree(const struct match_node *t)
{
	if (!t)
		return 0;
	ASSERT(!t->left || (t->left->hash <= t->hash && node_cmp(t->left, t) < 0));
	ASSERT(!t->right || (t->right->hash <= t->hash && node_cmp(t, t->right) < 0));
	ASSERT(end_cmp(t->farthest, t) >= 0);
	ASSERT(!t->left || end_cmp(t->farthest, t->left->farthest) >= 0);
	ASSERT(!t->right || end_cmp(t->farthest, t->right->farthest) >= 0);
	ASSERT(t->refs > 0);
	return 1 + check_tree(t->left) + check_tree(t->right);
}

void match_check(const struct match_index *x)
{
	size_t singles = 0;

	ASSERT(check_tree(x->root) == x->range_count);
	for (size_t i = 0; i < x->room; i++)
		for (const struct match_node *n = x->buckets[i]; n; n = n->left)
			singles++;
	ASSERT(singles == x->single_count);
}
