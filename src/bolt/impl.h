/* What the files of this folder share. Private to bolt.
 *
 * I1  a page that a pin or the committed meta reaches is not written.
 * I2  pages [2, high water) = reached by the newest commit + pending + free, each once (bolt_check).
 * I3  pending holds, oldest first, what each commit gave up; it moves to free when the oldest pin >= that commit.
 * I4  a node that is loaded and changed is dirty, and so are all above it: at commit they get new pages. */
#ifndef BOLT_IMPL_H
#define BOLT_IMPL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/list.h"
#include "bolt/bolt.h"
#include "bolt/format.h"
#include "bolt/free.h"

#define BOLT_GROW_BYTES (16u << 20)
#define BOLT_STEP_BYTES (1u << 20)

struct run {
	uint64_t page;
	uint64_t count;
};

typedef VEC(struct run) run_vec;

struct pending {
	uint64_t txid;
	run_vec runs;
};

struct bolt_pin {
	struct list link; /* in db->pins, by txid */
	struct bolt *db;
	struct meta meta;
	atomic_uint refs; /* one is the db's while it is the newest */
};

enum move_phase { MOVE_IDLE, MOVE_WALK, MOVE_SETTLE };

/* Where a run of moving is (move.c). */
enum { YIELD_EVERY = 16 }; /* pages worked on */

struct move_state {
	enum move_phase phase;
	uint64_t cut; /* nodes at this page and above are to move */
	uint64_t start_high_water;
	bool moved;                      /* something, in this pass */
	uint32_t gainless;               /* passes in a row that did not lower the high water mark */
	uint32_t depth;                  /* of path; 0: from the start */
	struct buf path[BOLT_DEPTH_MAX]; /* names of the buckets entered, then the key to go on at */
};

struct bolt {
	struct vfs *fs;
	struct vfs_file *file;
	struct pacer *pacer;
	char *path;
	bool read_only;
	bool broken;         /* a failed commit left the file in doubt */
	bool has_subbuckets; /* below the top level: or perhaps */
	uint32_t page_size;
	unsigned valid_metas; /* at opening */
	const uint8_t *map;
	uint64_t reserved;
	bool lock_memory;
	uint64_t grow_bytes;
	uint64_t file_size; /* writer */
	uint64_t cut_txid;  /* the file may be cut once the oldest pin is >= this; 0: nothing to cut */

	struct bolt_tx *tx;
	struct free_map free;
	VEC(struct pending) pending;
	struct buf staging; /* pages on their way to the file */
	struct move_state move;

	pthread_mutex_t lock; /* the three below */
	struct list pins;
	struct bolt_commit_times times; /* the writer's */
	struct bolt_pin *newest;
	struct why damage;
	atomic_bool damaged;

	atomic_uint_fast64_t size; /* of the newest commit */
	atomic_uint_fast64_t size_in_use;
	atomic_uint_fast64_t txid;
};

struct item {
	const uint8_t *key;
	union {
		const uint8_t *value;    /* leaf */
		struct bolt_node *child; /* branch; NULL: not loaded */
	};
	union {
		struct {
			uint32_t vsize;
			uint32_t flags;
		};
		uint64_t page; /* branch */
	};
	uint32_t ksize;
};

struct bolt_node {
	struct bolt_node *next; /* tx->nodes */
	bool leaf;
	bool dirty;
	uint64_t page; /* where it is in the file; 0: nowhere yet */
	uint32_t page_count;
	uint64_t size; /* bytes of its image, header included */
	VEC(struct item) items;
};

struct bolt_bucket {
	struct bolt_tx *tx;
	struct bolt_bucket *parent; /* NULL: the top */
	struct slice name;
	uint64_t page; /* root; 0: inline */
	uint64_t sequence;
	struct slice inline_page;
	struct bolt_node *root;             /* NULL: not loaded */
	struct bolt_node *tail;             /* the last leaf, loaded and dirty; NULL: not known */
	bool dirty;                         /* its header in the parent has to be written */
	VEC(struct bolt_bucket *) children; /* opened ones, by name */
};

struct written {
	struct bolt_node *node;
	uint64_t page;
};

struct bolt_tx {
	struct bolt *db;
	struct meta meta; /* as it will be */
	uint64_t high_water_before;
	struct arena arena;
	struct bolt_bucket top;
	struct bolt_node *nodes;
	run_vec freed; /* reached by the commit before */
	run_vec taken; /* from the free map */
	VEC(struct written) written;
	bool trim;                         /* give up free pages at the end */
	VEC(struct bolt_bucket *) buckets; /* all handles */
};

/* page.c */
/* Levels on the first path. */
NODISCARD err_t tree_height(struct bolt *db, uint64_t high_water, uint64_t page, uint32_t *out);
/* Remembers the first damage; returns ERR_CORRUPT_FILE. */
err_t bolt_damage(struct bolt *db, uint64_t page, const char *fmt, ...) PRINTF(3, 4);
/* The header's own bounds: kind, id, count, overflow below high_water. Elements are checked when touched. */
NODISCARD err_t page_load(struct bolt *db, uint64_t high_water, uint64_t id, struct page *out);
/* The same from a copy of its first page at at. */
NODISCARD err_t page_load_at(struct bolt *db, uint64_t high_water, uint64_t id, const uint8_t *at, struct page *out);
NODISCARD err_t page_load_inline(struct bolt *db, struct slice image, struct page *out);
/* Splits the value of a bucket element. */
NODISCARD err_t bucket_value_parse(struct bolt *db, struct slice value, struct bolt_root *out);
/* Page of a root, inline or not. */
NODISCARD err_t root_load(struct bolt *db, uint64_t high_water, const struct bolt_root *root, struct page *out);
/* Every element: bounds, key sizes, order. id for the message. */
NODISCARD err_t page_check(struct bolt *db, uint64_t id, const struct page *p);
/* The first element with a key >= key in a leaf; in a branch the child that key belongs to. */
NODISCARD err_t page_search(struct bolt *db, const struct page *p, struct slice key, uint32_t *index, bool *exact);

/* node.c */
static inline struct slice item_key(const struct item *it)
{
	return slice_of(it->key, it->ksize);
}

static inline uint64_t leaf_item_size(uint64_t ksize, uint64_t vsize)
{
	return PAGE_ELEMENT_SIZE + ksize + vsize;
}

static inline uint64_t item_size(const struct bolt_node *n, const struct item *it)
{
	return leaf_item_size(it->ksize, n->leaf ? it->vsize : 0);
}

struct bolt_node *node_new(struct bolt_tx *tx, bool leaf);
/* id 0: an inline page. */
NODISCARD err_t node_load(struct bolt_tx *tx, uint64_t id, const struct page *p, struct bolt_node **out);
/* The child at index, loaded if it was not. */
NODISCARD err_t node_child(struct bolt_tx *tx, struct bolt_node *n, uint32_t index, struct bolt_node **out);
uint32_t node_search(const struct bolt_node *n, struct slice key, bool *exact);
void node_insert(struct bolt_node *n, uint32_t index, struct item it);
void node_remove(struct bolt_node *n, uint32_t index);
/* Moves all items of from behind those of to. */
void node_append_all(struct bolt_node *to, struct bolt_node *from);
bool node_too_big(const struct bolt_tx *tx, const struct bolt_node *n);
/* Divides the child at index, as often as needed, into neighbours. appended: it grew at its end. */
void node_split_child(struct bolt_tx *tx, struct bolt_node *parent, uint32_t index, bool appended);
/* Its pages in the file are not reached any more. */
void node_free_pages(struct bolt_tx *tx, struct bolt_node *n);
/* size bytes, rounded up by zeros to image_size. */
void node_write(const struct bolt_node *n, uint64_t id, uint32_t page_count, uint8_t *image, uint64_t image_size);

/* tree.c */
NODISCARD err_t tree_root(struct bolt_bucket *b, struct bolt_node **out);
NODISCARD err_t tree_put(struct bolt_bucket *b, struct slice key, struct slice value, uint32_t flags);
NODISCARD err_t tree_remove(struct bolt_bucket *b, struct slice key);
/* Marks what lies between the root and page id, both included, so that it gets a new place; key leads there. *pages:
 * how many pages that makes to be written. */
NODISCARD err_t tree_touch(struct bolt_bucket *b, struct slice key, uint64_t id, uint64_t *pages);
void tree_grow_root(struct bolt_bucket *b, bool appended);
struct slice tx_copy(struct bolt_tx *tx, struct slice s);

/* bucket.c */
void bucket_root(const struct bolt_bucket *b, struct bolt_root *out);
void bucket_free_handles(struct bolt_tx *tx);

/* balance.c */
NODISCARD err_t tree_balance(struct bolt_bucket *b);

/* db.c */
struct bolt_pin *pin_new(struct bolt *db, const struct meta *m);
void pin_publish(struct bolt *db, struct bolt_pin *pin);
void sizes_update(struct bolt *db);

/* commit.c */
void pending_add(struct bolt *db, uint64_t txid, run_vec *take_runs);
/* Cuts the file behind the high water mark if that was asked for and no pin forbids it; else, or if it fails, later. */
void file_cut(struct bolt *db);

/* move.c */
void move_fini(struct bolt *db);

/* scan.c */
/* Checks every page that meta reaches and shows rows. reached: one bit a page, of high water bits; stats may be NULL.
 * strict: also what bbolt asks of its own writers only. */
NODISCARD err_t scan_run(struct bolt *db, const struct meta *m, const struct bolt_rows *rows, bool strict,
			 uint64_t *reached, struct bolt_stats *stats);

static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= (uint64_t)1 << (i % 64);
}

#endif
