/* The store below mvcc and the state machines: a write buffer in memory over the bbolt file.
 *
 * core applies into the active buffer and never waits; between two entries it freezes that buffer and starts a new
 * one; the backend actor merges the frozen buffer, with the consistent index of its last entry, into the file in
 * one transaction. Readers on any thread use a view: active rows up to a published length, frozen buffer, pinned
 * commit of the file.
 *
 *	be = backend_new(&cfg);                                          core, at start
 *	backend_put(be, BUCKET_LEASE, k, v);  backend_row(be, rev, …);   core, while applying
 *	backend_freeze(be, index, term, conf_state);                     core, between entries, none frozen
 *	err = backend_merge(be);                                         backend actor, blocks on files
 *	backend_merged(be);                                              core, when the answer is back
 *	backend_view_get(be, &pub->rows); swap(pub); backend_published(be);      core, each publication
 *
 * Threads: "core" above is whoever applies, one at a time; backend_merge may run beside core's calls and beside
 * readers. Views: any thread inside the epoch of the publication that holds them.
 * Small buckets (all but key) are write-only at run time: their state machines keep them in memory and load
 * them at start from the file. Within one buffer the last write of a key wins.
 * Limits: a buffer is full (backend_full) at buffer_bytes_max; one entry may overshoot, so core asks between
 * entries. A failed merge is FATAL for the caller: nothing is retried on pages that the kernel may have dropped. */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include "base/endian.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include "bolt/bolt.h"

struct backend;
struct backend_buffer;
struct store;
struct epoch_domain;

#define BACKEND_BUFFER_BYTES_MAX (64u << 20)

/* In the order of their names, which is the order of the whole-backend hash. */
enum backend_bucket {
	BUCKET_ALARM,
	BUCKET_AUTH,
	BUCKET_AUTH_ROLES,
	BUCKET_AUTH_USERS,
	BUCKET_CLUSTER,
	BUCKET_KEY,
	BUCKET_LEASE,
	BUCKET_MEMBERS,
	BUCKET_MEMBERS_REMOVED,
	BUCKET_META,
	BACKEND_BUCKET_COUNT
};

struct slice backend_bucket_name(enum backend_bucket b);

/* A revision: one change. Rows of bucket key are keyed by it. */
struct rev {
	int64_t main;
	int64_t sub;
};

static inline int rev_cmp(struct rev a, struct rev b)
{
	if (a.main != b.main)
		return a.main < b.main ? -1 : 1;
	return (a.sub > b.sub) - (a.sub < b.sub);
}

/* Row keys: main i64 BE, '_', sub i64 BE; a tombstone has 't' behind. */
enum { REV_KEY_SIZE = 17, REV_KEY_SIZE_MAX = 18 };

static inline size_t rev_key_write(struct rev r, bool tombstone, uint8_t out[REV_KEY_SIZE_MAX])
{
	be64_put(out, (uint64_t)r.main);
	out[8] = '_';
	be64_put(out + 9, (uint64_t)r.sub);
	out[17] = 't';
	return tombstone ? REV_KEY_SIZE_MAX : REV_KEY_SIZE;
}

/* ERR_CORRUPT_FILE when it is no row key. */
NODISCARD err_t rev_key_read(struct slice key, struct rev *out, bool *tombstone);

struct backend_config {
	struct bolt *db;            /* open for writing; must outlive the backend */
	struct epoch_domain *epoch; /* of the publications; buffers and pins are freed through it */
	size_t buffer_bytes_max;    /* 0: BACKEND_BUFFER_BYTES_MAX */
};

/* Blocking; before backend_new. Makes the buckets that are missing in one transaction, if any is. */
NODISCARD err_t backend_make_buckets(struct bolt *db);

/* Takes a pin of the file's newest commit. All buckets exist. */
NODISCARD err_t backend_new(const struct backend_config *cfg, struct backend **out);
/* Drops what was not merged. No merge may be running, no reader inside, and the epoch domain must have freed
 * everything (epoch_reclaim gave 0). */
void backend_free(struct backend *be);

/* ---- write side: core only ---- */

/* The table that the small state machines write through (backend/store.h). */
struct store backend_store(struct backend *be);

/* Small buckets (not BUCKET_KEY); copies key and value. */
void backend_put(struct backend *be, enum backend_bucket b, struct slice key, struct slice value);
void backend_delete(struct backend *be, enum backend_bucket b, struct slice key);

/* A new row of bucket key, above all before. Returns row_size + slack_size bytes to be filled before the next
 * call; the first row_size of them are the row, the slack is the caller's scratch with the same life. The bytes
 * never move and live till the buffer was merged and no publication shows it: at least until control returns
 * to core's loop. */
uint8_t *backend_row(struct backend *be, struct rev rev, bool tombstone, size_t row_size, size_t slack_size);
/* Compaction: the row is gone after the next merge; views may go on showing it. */
void backend_delete_row(struct backend *be, struct rev rev, bool tombstone);

/* True when the active buffer has reached its maximum: freeze, or, while one is frozen, stop applying. */
bool backend_full(const struct backend *be);
bool backend_has_frozen(const struct backend *be);
/* Operations (rows, deletes, puts) and bytes in the active buffer. */
size_t backend_pending_ops(const struct backend *be);
size_t backend_pending_bytes(const struct backend *be);

/* Between entries, with none frozen. The position of the last whole entry goes into bucket meta with the data:
 * consistent_index (must be > 0 unless nothing was ever applied: then left out), term (left out if 0), confState
 * (JSON; left out if empty: unchanged). Freezing an empty buffer is allowed: it records the position. */
void backend_freeze(struct backend *be, uint64_t consistent_index, uint64_t term, struct slice conf_state_json);

/* The backend actor's thread. Blocks: one transaction, all syncs done when it returns OK. */
NODISCARD err_t backend_merge(struct backend *be);
/* core, after backend_merge returned OK: takes the new pin; the frozen buffer goes when unpublished. ERR_CORRUPT_FILE.
 */
NODISCARD err_t backend_merged(struct backend *be);
/* core, after a commit of the file that was no merge (pages were moved): takes the new pin. */
NODISCARD err_t backend_refreshed(struct backend *be);
/* Freezes that were merged so far, and the one that the active buffer will be: a barrier waits for
 * backend_merged_count() >= the backend_freeze_number() taken when its write was made. */
uint64_t backend_merged_count(const struct backend *be);
uint64_t backend_freeze_number(const struct backend *be);
/* The consistent index that is durable; 0 unknown. */
uint64_t backend_durable_index(const struct backend *be);
/* core: the pin of the newest merged commit, borrowed. */
struct bolt_pin *backend_pin(const struct backend *be);

/* ---- read side ---- */

/* By value in the publication; borrows. */
struct backend_view {
	const struct backend_buffer *active;
	const struct backend_buffer *frozen; /* NULL: none */
	struct bolt_pin *pin;
	struct bolt_root key; /* bucket key in it */
	size_t active_count;  /* rows of active that this view shows */
	size_t frozen_count;
};

/* core: cheap, no allocation. */
void backend_view_get(const struct backend *be, struct backend_view *out);
/* core, after the publication that showed what is no longer current was swapped out: hands it to the epoch.
 * mvcc_published does it where there is an mvcc. */
void backend_published(struct backend *be);

/* The row of a revision: active, frozen, file. The bytes live as long as the view. ERR_NOT_EXIST: never was,
 * or compacted; ERR_CORRUPT_FILE. */
NODISCARD err_t backend_view_row(const struct backend_view *v, struct rev rev, struct slice *out);

/* Rows in revision order. The cursor belongs to one view; to go on with a newer one seek to {main, sub + 1}. */
struct backend_row {
	struct rev rev;
	bool tombstone;
	struct slice value; /* encoded KeyValue */
};

struct backend_cursor {
	const struct backend_view *view;
	struct rev from;
	enum { CURSOR_START, CURSOR_FILE, CURSOR_BUFFERS } state;
	const struct backend_buffer *buffer; /* frozen, then active, then NULL */
	size_t at;
	struct bolt_cursor file;
};

/* First row >= from. Nothing to free. */
void backend_cursor_init(struct backend_cursor *c, const struct backend_view *v, struct rev from);
/* False at the end. ERR_CORRUPT_FILE. */
NODISCARD err_t backend_cursor_next(struct backend_cursor *c, struct backend_row *out, bool *found);

/* ---- small buckets and meta, from a pin: at start, or after a barrier ---- */

/* ERR_NOT_EXIST. Borrows the pin. */
NODISCARD err_t backend_file_get(struct bolt_pin *pin, enum backend_bucket b, struct slice key, struct slice *out);
/* In key order; the callback returns OK to go on. */
typedef err_t backend_each_fn(void *arg, struct slice key, struct slice value);
NODISCARD err_t backend_file_each(struct bolt_pin *pin, enum backend_bucket b, backend_each_fn *fn, void *arg);

struct backend_meta {
	uint64_t consistent_index;     /* 0: none */
	uint64_t term;                 /* 0: none */
	int64_t scheduled_compact_rev; /* -1: none (0 is possible) */
	int64_t finished_compact_rev;  /* -1: none */
	struct slice conf_state_json;  /* empty: none; borrows the pin */
	struct slice storage_version;  /* empty: none; borrows the pin */
};

NODISCARD err_t backend_file_meta(struct bolt_pin *pin, struct backend_meta *out);

/* CRC-32C over the whole file as Maintenance.Hash has it: every bucket's name, keys and values, without
 * consistent_index, term and storageVersion of meta. In slices of at most budget rows, over one pin that the
 * caller keeps. Done when *done. */
struct backend_hash {
	uint32_t crc;
	enum backend_bucket bucket;
	uint8_t key[REV_KEY_SIZE_MAX];
	size_t key_size; /* of bucket key: where to go on */
};

void backend_hash_init(struct backend_hash *h);
NODISCARD err_t backend_hash_step(struct backend_hash *h, struct bolt_pin *pin, size_t budget, bool *done);

/* I: rows of a buffer ascend; active above frozen above file. Deep, core only. */
void backend_check(const struct backend *be);

#endif
