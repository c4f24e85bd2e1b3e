/* Private to src/watch: which ranges contain a key. Watchers of equal ranges share one node, so a key watched by a
 * thousand clients is found once. Pure.
 *
 * Single keys are in a hash table; ranges in a treap ordered by (key, end) whose nodes know the greatest end below
 * them. A stab costs O(1) plus O(log ranges) plus O(log ranges) per range found, at worst. Priorities are a seeded hash
 * of the range: equal inputs give equal trees, and a client cannot choose them. */
#ifndef WATCH_MATCH_H
#define WATCH_MATCH_H

#include "base/list.h"
#include "base/slice.h"

enum match_kind { MATCH_SINGLE, MATCH_RANGE, MATCH_FROM };

struct match_node {
	struct match_node *left, *right;   /* MATCH_SINGLE: left is the hash chain */
	const struct match_node *farthest; /* of this subtree: the one with the greatest end */
	struct list members;               /* of whoever uses the index */
	uint64_t hash;                     /* bucket, or priority */
	enum match_kind kind;
	uint32_t refs;
	size_t key_size;
	size_t end_size;
	uint8_t bytes[]; /* key, end */
};

struct match_index {
	uint64_t seed;
	struct match_node **buckets;
	size_t room; /* power of two; 0 = no bucket yet */
	size_t single_count;
	struct match_node *root;
	size_t range_count;
	size_t bytes;
};

static inline struct slice match_key(const struct match_node *n)
{
	return slice_of(n->bytes, n->key_size);
}

static inline struct slice match_end(const struct match_node *n)
{
	return slice_of(n->bytes + n->key_size, n->end_size);
}

void match_init(struct match_index *x, uint64_t seed);
void match_fini(struct match_index *x); /* all refs were given back */

/* The node of that range, made if it is not there; counted. range_end by the conventions of the API. */
struct match_node *match_ref(struct match_index *x, struct slice key, struct slice range_end);
void match_unref(struct match_index *x, struct match_node *n);
bool match_contains(const struct match_node *n, struct slice key);

/* Calls fn for each node whose range contains key, in an order that depends on inputs and seed only. fn does not change
 * the index. */
typedef void match_fn(void *arg, struct match_node *n);
void match_each(const struct match_index *x, struct slice key, match_fn *fn, void *arg);

void match_check(const struct match_index *x);

#endif
