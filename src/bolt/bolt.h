/* The bbolt v1.5.0 file, read and written: a copy-on-write B+tree of buckets in one file that grows in place.
 *
 *	err = bolt_open(fs, "member/snap/db", &options, why, &db);
 *	err = bolt_begin(db, &tx);                                       one writer
 *	err = bolt_tx_bucket(tx, SLICE_LIT("key"), true, &b);
 *	err = bolt_put(b, key, value);
 *	err = bolt_commit(tx);                                           two syncs; the commit is the newest pin now
 *	pin = bolt_pin(db);                                              any number of readers
 *	err = bolt_pin_bucket(pin, SLICE_LIT("key"), &root);
 *	err = bolt_pin_get(pin, &root, key, &value);                     value points into the file's mapping
 *	bolt_pin_unref(pin);
 *	bolt_close(db);
 *
 * Threads: open, close, begin .. commit, moving: one writer at a time (the backend actor), calls block on files. Pins,
 * gets, cursors, image, sizes: any thread, beside the writer, without waiting for it.
 *
 * Life of a page: no page that a pin or the committed meta reaches is ever overwritten. What transaction t frees is
 * used again by a transaction > t once no pin <= t - 1 exists. The mapping reaches far beyond the file and never moves.
 * No free list is kept in the file (bbolt's NoFreelistSync, as etcd has it): opening reads the file once and finds out.
 *
 * Damage: bytes of the file are never trusted. Opening checks every page that is in use, once: bounds, order, each
 * page reached exactly once. Afterwards each access checks the bounds of what it touches again, so a file that rots
 * under us gives ERR_CORRUPT_FILE and never a wild pointer; bolt_why() then names file, page and reason.
 *
 * Limits: keys 1..32768 bytes, values < 2^31 - 2 bytes, page size 1024 << 0..14, 32 levels of pages, file and page
 * numbers within the mapping granted (1 TiB asked for), 2^32 pages. */
#ifndef BOLT_BOLT_H
#define BOLT_BOLT_H

#include "base/beside.h"
#include "base/err.h"
#include "base/slice.h"
#include "env/pacer.h"
#include "env/vfs.h"

struct bolt;
struct bolt_tx;
struct bolt_bucket;
struct bolt_pin;
struct bolt_node;

enum {
	BOLT_KEY_SIZE_MAX = 32768,
	BOLT_VALUE_SIZE_MAX = 0x7ffffffd,
	BOLT_DEPTH_MAX = 32,
	BOLT_PAGE_SIZE_MIN = 1024,
	BOLT_PAGE_SIZE_MAX = 1024 << 14,
};

/* ---- open and close ---- */

/* Sees the rows of some top-level buckets while opening reads the file anyway: ascending inside a page, pages in the
 * order of the file, not of the keys. bucket is an index into names. The bytes are valid during the call. What it
 * returns, unless OK, ends bolt_open. Where arg_beside is given, a large file is read in two halves beside each other:
 * the front one's rows come with arg, the back one's with arg_beside, perhaps at once. */
typedef err_t bolt_row_fn(void *arg, size_t bucket, struct slice key, struct slice value);

struct bolt_rows {
	const struct slice *names;
	size_t name_count;
	bolt_row_fn *row;
	void *arg;
	void *arg_beside; /* NULL: all with arg, one after the other */
	struct beside beside;
};

struct bolt_options {
	uint32_t page_size;           /* of a new file; 0: 4096 */
	uint32_t mode;                /* of a new file; 0: 0600 */
	bool read_only;               /* the file must exist */
	bool must_exist;              /* ERR_NOT_EXIST instead of a new file */
	bool lock;                    /* flock, shared if read_only; does not wait: ERR_LOCKED */
	bool lock_memory;             /* the whole file stays in memory (mlock) */
	uint64_t grow_bytes;          /* the file's length is a multiple of this once it has grown; 0: 16 MiB */
	uint64_t reserve_bytes;       /* address space for the mapping; 0: 1 TiB; less if the kernel grants less */
	const struct bolt_rows *rows; /* NULL: none */
	struct pacer *pacer;          /* pages of a commit go through it; must outlive the database; NULL: as fast as they go */
};

/* On success *out is the caller's, to be closed. ERR_CORRUPT_FILE, ERR_LOCKED, ERR_NOT_EXIST, ERR_TOO_LARGE (the file
 * exceeds the mapping), errors of files. On failure why, unless NULL, says which file, which page, what is wrong. */
NODISCARD err_t bolt_open(struct vfs *fs, const char *path, const struct bolt_options *options, struct why *why,
			  struct bolt **out);
/* No transaction open, no pin held by others. NULL allowed. */
void bolt_close(struct bolt *db);

/* Sizes of the newest commit: what is above the high water mark was never used. In use: without the free pages. */
uint64_t bolt_size(const struct bolt *db);
uint64_t bolt_size_in_use(const struct bolt *db);
/* Commits that readers hold, the newest included. Any thread; as many steps as there are. */
size_t bolt_pins(struct bolt *db);
/* Where the time of the last commit went: merging small nodes, giving nodes places, writing and syncing. The writer's. */
struct bolt_commit_times {
	uint64_t balance_ns, place_ns, write_ns;
};
struct bolt_commit_times bolt_commit_times(const struct bolt *db);
uint32_t bolt_page_size(const struct bolt *db);
uint64_t bolt_txid(const struct bolt *db);
/* How many of the two meta pages were whole when the file was opened: 1 may mean that the newest commit is not the one
 * that was opened. */
unsigned bolt_valid_metas(const struct bolt *db);
/* The oldest commit that somebody has pinned; bolt_txid() if none but the newest. */
uint64_t bolt_oldest_pin(struct bolt *db);
/* Somebody holds a pin of any commit (beside the newest, which is the file's own). */
bool bolt_has_readers(struct bolt *db);
/* Copies the line about the first damage found since opening; false: none was. */
bool bolt_why(struct bolt *db, struct why *out);

/* ---- reading ---- */

/* A counted reference on the newest commit. Never NULL. */
struct bolt_pin *bolt_pin(struct bolt *db);
struct bolt_pin *bolt_pin_ref(struct bolt_pin *pin); /* returns pin */
void bolt_pin_unref(struct bolt_pin *pin);           /* NULL allowed */
uint64_t bolt_pin_txid(const struct bolt_pin *pin);
uint64_t bolt_pin_size(const struct bolt_pin *pin); /* of its image: high water mark x page size */

/* A bucket as one pin sees it; by value, nothing to free, as long-lived as the pin. */
struct bolt_root {
	uint64_t page; /* 0: inline */
	uint64_t sequence;
	struct slice inline_page; /* of an inline bucket; points into the mapping */
};

/* The bucket that holds the top-level buckets. */
void bolt_pin_top(const struct bolt_pin *pin, struct bolt_root *out);
/* ERR_NOT_EXIST; ERR_INVALID: the name is that of a plain row. parent may be out. */
NODISCARD err_t bolt_pin_bucket(struct bolt_pin *pin, struct slice name, struct bolt_root *out);
NODISCARD err_t bolt_pin_subbucket(struct bolt_pin *pin, const struct bolt_root *parent, struct slice name,
				   struct bolt_root *out);
/* No allocation. The value is valid while the pin is held. ERR_NOT_EXIST: no row of that key (a bucket is none). */
NODISCARD err_t bolt_pin_get(struct bolt_pin *pin, const struct bolt_root *root, struct slice key, struct slice *out);

/* A position in a bucket of a pin or of a transaction; no allocation, about 1.3 KiB, may be copied. In a transaction
 * every put or delete makes it invalid: seek again. Slices it gives are as long-lived as the pin, or until the next
 * put or delete. Each move sets found: false when there is no such row. After next found the end (prev: the front),
 * only a seek goes on. */
struct bolt_cursor {
	struct bolt *db;
	uint64_t high_water;
	struct bolt_bucket *bucket; /* NULL: of a pin */
	struct bolt_root root;
	struct slice key;
	struct slice value; /* of a bucket: its header and inline page */
	bool is_bucket;
	uint32_t depth;
	struct bolt_cursor_level {
		const uint8_t *page; /* NULL: node */
		struct bolt_node *node;
		uint64_t extent;
		uint32_t index;
		uint32_t count;
		bool leaf;
	} at[BOLT_DEPTH_MAX];
};

void bolt_cursor_init(struct bolt_cursor *c, struct bolt_pin *pin, const struct bolt_root *root);
NODISCARD err_t bolt_cursor_first(struct bolt_cursor *c, bool *found);
NODISCARD err_t bolt_cursor_last(struct bolt_cursor *c, bool *found);
/* The first row with a key >= key. */
NODISCARD err_t bolt_cursor_seek(struct bolt_cursor *c, struct slice key, bool *found);
NODISCARD err_t bolt_cursor_next(struct bolt_cursor *c, bool *found);
NODISCARD err_t bolt_cursor_prev(struct bolt_cursor *c, bool *found);

/* Bytes [offset, offset + size) of the file image that Maintenance.Snapshot sends: meta 0 is that of the pin, meta 1
 * the same with txid - 1, then the pages as they are; free pages hold anything. offset + size <= bolt_pin_size. */
NODISCARD err_t bolt_image_read(struct bolt_pin *pin, uint64_t offset, void *out, size_t size);

/* ---- writing ---- */

/* ERR_INVALID: read-only; ERR_IO: an earlier commit failed in a way that leaves the file's state unknown. */
NODISCARD err_t bolt_begin(struct bolt *db, struct bolt_tx **out);
/* Both consume tx. On failure nothing is committed as far as this process can tell: pins go on reading the commit
 * before. ERR_DISK_FULL or an error before the first sync: another transaction may be tried. After a failed sync or
 * meta write bolt_begin refuses; the server ends with FATAL. */
NODISCARD err_t bolt_commit(struct bolt_tx *take_tx);
/* pacer_yield of this file's: for loops of many puts and deletes. */
void bolt_yield(struct bolt *db);
void bolt_rollback(struct bolt_tx *take_tx); /* NULL allowed */
uint64_t bolt_tx_txid(const struct bolt_tx *tx);

/* Handles live as long as their transaction; the same bucket gives the same handle. ERR_NOT_EXIST without create;
 * ERR_INVALID: a plain row has this name, or it is empty or too long. */
NODISCARD err_t bolt_tx_bucket(struct bolt_tx *tx, struct slice name, bool create, struct bolt_bucket **out);
NODISCARD err_t bolt_bucket_sub(struct bolt_bucket *parent, struct slice name, bool create, struct bolt_bucket **out);
/* With all that is in it; its handles, and cursors on it, are dead. parent NULL: a top-level bucket. ERR_NOT_EXIST. */
NODISCARD err_t bolt_bucket_delete(struct bolt_tx *tx, struct bolt_bucket *parent, struct slice name);
uint64_t bolt_bucket_sequence(const struct bolt_bucket *b);
void bolt_bucket_set_sequence(struct bolt_bucket *b, uint64_t sequence);

/* Copies key and value. ERR_INVALID: key empty or too long, value too long, or the name of a bucket. */
NODISCARD err_t bolt_put(struct bolt_bucket *b, struct slice key, struct slice value);
/* Copies the key; the value's bytes must stay until commit or rollback. */
NODISCARD err_t bolt_put_borrowed(struct bolt_bucket *b, struct slice key, struct slice value);
/* OK when there is no such row. ERR_INVALID: a bucket. */
NODISCARD err_t bolt_delete(struct bolt_bucket *b, struct slice key);
/* As the transaction sees it; valid until its next put or delete. ERR_NOT_EXIST. */
NODISCARD err_t bolt_get(struct bolt_bucket *b, struct slice key, struct slice *out);
void bolt_bucket_cursor_init(struct bolt_cursor *c, struct bolt_bucket *b);

/* ---- page moving, in place of defragmentation ---- */

/* One bounded transaction of its own (none may be open): moves up to pages_max pages from the file's end to free pages
 * in front and commits; the end is cut off when no pin is older than the commit that gave it up. *done: nothing is left
 * to gain now. Safe at a crash at any point; readers never notice. Progress: bolt_size() against bolt_size_in_use(). */
NODISCARD err_t bolt_move_step(struct bolt *db, size_t pages_max, bool *done);
/* Whether pins keep pages that were given up, or the file's tail, so that another run may gain more once they are gone. The
 * writer's thread. */
bool bolt_pages_held(const struct bolt *db);
/* Steps to the end: etcdutl defrag. */
NODISCARD err_t bolt_move_all(struct bolt *db);

/* ---- checking ---- */

struct bolt_stats {
	uint64_t branch_pages; /* nodes, without their overflow pages */
	uint64_t leaf_pages;
	uint64_t overflow_pages;
	uint64_t free_pages;
	uint64_t key_count; /* rows, buckets not counted */
	uint64_t bucket_count;
	uint64_t inline_bucket_count;
	uint32_t depth; /* levels of the deepest bucket; 1: a leaf */
};

/* Deep: every page below the high water mark reached exactly once or free, kinds, bounds, order of keys, branch keys,
 * least number of elements. ERR_CORRUPT_FILE with why. stats may be NULL. With the writer idle. */
NODISCARD err_t bolt_check(struct bolt *db, struct bolt_stats *stats, struct why *why);
/* The same figures for one bucket of a pin, its sub-buckets left out. */
NODISCARD err_t bolt_bucket_stats(struct bolt_pin *pin, const struct bolt_root *root, struct bolt_stats *out);

#endif
