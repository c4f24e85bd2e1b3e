/* The key index: a copy-on-write B+tree of records in key order. Private to mvcc.
 *
 *	inner   head[i] child[i] sep[i] live[i] old[i]        keys of child i in [sep[i], sep[i+1]); sep[0] is none
 *	leaf    head[i] record[i]                             dead, old: a bit for each record
 *
 *   T1  all leaves are at one depth; every node but an empty root leaf has at least one entry
 *   T2  a node made in the present batch is changed in place; older ones are copied first (their readers may be
 *       anywhere), and what a copy replaced goes to the garbage, freed by epoch after the next publication
 *   T3  all keys of a leaf, all separators of an inner node, share the first prefix_size bytes; head[i] is the
 *       next 8 bytes, big endian, zero-padded: most steps of a search compare integers
 *   T4  live[i], old[i] count the records below child i that are not tombstones; that have older revisions or are
 *       a tombstone: a count of keys costs O(log n), compaction visits only what has something to remove
 *
 * Threads: writing is core's; a root that was published may be read by anyone inside its epoch. */
#ifndef MVCC_INDEX_H
#define MVCC_INDEX_H

#include "mvcc/record.h"
#include "mvcc/slab.h"

enum { LEAF_MAX = 64, INNER_MAX = 64, TREE_DEPTH_MAX = 16, PREFIX_INLINE = 32 };

/* The end of the left key is no key of its own: a shortest byte string > every key on the left, <= on the right. */
struct separator {
	uint32_t size;
	uint8_t bytes[];
};

struct mvcc_node {
	uint64_t batch;
	uint32_t prefix_size;
	uint16_t count;
	uint16_t is_leaf;
	uint64_t dead;                 /* leaf: bit i: record i is a tombstone */
	uint64_t old;                  /* leaf: bit i: record_old(record i) */
	uint8_t prefix[PREFIX_INLINE]; /* its first bytes: no look at a key to see that the prefix fits */
	union {
		struct {
			uint64_t head[LEAF_MAX];
			struct record *record[LEAF_MAX];
		} leaf;
		struct {
			uint64_t head[INNER_MAX];
			struct mvcc_node *child[INNER_MAX];
			struct separator *sep[INNER_MAX];
			uint32_t live[INNER_MAX];
			uint32_t old[INNER_MAX];
		} inner;
	};
};

_Static_assert(offsetof(struct mvcc_node, leaf) == 64, "the header is a cache line, heads follow");

/* A leaf is allocated without the rest of the union. */
static inline size_t node_size(bool is_leaf)
{
	return offsetof(struct mvcc_node, leaf) +
	       (is_leaf ? sizeof(((struct mvcc_node *)0)->leaf) : sizeof(((struct mvcc_node *)0)->inner));
}

/* What a publication no longer shows. */
struct garbage {
	struct slab *slab;
	size_t *out; /* counted down when freed; NULL: nowhere */
	VEC(struct garbage_item {
		void *p;
		size_t size;
	})
	items;
};

struct index {
	struct mvcc_node *root;
	struct slab *slab;
	uint64_t batch;
	struct garbage *garbage;
	uint64_t count;     /* records */
	uint64_t revisions; /* of all records */
};

void index_init(struct index *t, struct slab *take_slab);
void index_fini(struct index *t); /* garbage must be gone */

/* Pieces of the tree: garbage when readers may know them, freed at once when fresh. */
void index_discard(struct index *t, void *p, size_t size);
/* An epoch_free_fn. */
void index_garbage_free(void *garbage);

/* NULL: none. */
struct record *index_find(const struct mvcc_node *root, struct slice key);
uint64_t index_live(const struct mvcc_node *root);
/* Living keys < key. */
uint64_t index_rank(const struct mvcc_node *root, struct slice key);

/* A new key, not in the tree. */
void index_insert(struct index *t, struct record *take_r);
/* The same key, another record (or the same one, changed in place); before it is freed by the caller. */
void index_replace(struct index *t, struct record *take_r);
void index_remove(struct index *t, struct slice key);

/* Walking: stays valid as long as the root. */
struct index_iter {
	struct {
		const struct mvcc_node *node;
		unsigned at;
	} path[TREE_DEPTH_MAX];
	unsigned depth;
};

/* First record >= key, or > key with after. NULL: none. */
struct record *index_seek(const struct mvcc_node *root, struct slice key, bool after, struct index_iter *it);
struct record *index_next(struct index_iter *it);
/* First record >= key (> with after) that is old. NULL: none. */
struct record *index_seek_old(const struct mvcc_node *root, struct slice key, bool after);

/* At start: ascending keys, into an empty tree. index_build_end makes the inner nodes. A builder with a tree of its own
 * may be filled on another thread and then joined: all its keys come behind, its tree is empty and has no slab then. */
struct index_builder {
	struct index *tree;
	VEC(struct mvcc_node *) nodes;
};

void index_build_begin(struct index_builder *b, struct index *t);
void index_build_add(struct index_builder *b, struct record *take_r);
void index_build_join(struct index_builder *b, struct index_builder *take_behind);
void index_build_end(struct index_builder *b);

void index_check(const struct index *t);

#endif
