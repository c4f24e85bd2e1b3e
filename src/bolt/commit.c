/* Transactions: begin, commit, rollback.
 *
 * Commit, in this order: merge what deletes left small; give every changed node a new place, children before parents,
 * the lowest free run that fits or else the end of the file; make the file longer; write the pages in the order of the
 * file; sync; write meta page txid mod 2; sync. Until the last step is durable the other meta page is the truth and
 * all that it reaches is untouched (I1).
 *
 * Fails before the first sync: nothing has happened, the transaction is rolled back. Fails in a sync or in writing
 * meta: the file holds this commit or the one before, nobody knows: broken, until it is opened again. */
#include "base/bug.h"
#include "bolt/impl.h"
#include "env/env.h"

/* ---- begin and end ---- */

static uint64_t oldest_pin(struct bolt *db)
{
	uint64_t txid;

	pthread_mutex_lock(&db->lock);
	txid = CONTAINER_OF(BUG(PIN_IGNORED) ? db->pins.prev : db->pins.next, struct bolt_pin, link)->meta.txid;
	pthread_mutex_unlock(&db->lock);
	return txid;
}

uint64_t bolt_oldest_pin(struct bolt *db)
{
	return oldest_pin(db);
}

void pending_add(struct bolt *db, uint64_t txid, run_vec *take_runs)
{
	struct pending p = {txid};

	p.runs.at = take_runs->at;
	p.runs.count = take_runs->count;
	p.runs.room = take_runs->room;
	*take_runs = (run_vec){0};
	VEC_PUSH(&db->pending, p);
}

/* I3 */
static void pending_release(struct bolt *db)
{
	uint64_t oldest = oldest_pin(db);
	size_t n = 0;

	while (n < db->pending.count && db->pending.at[n].txid <= oldest) {
		struct pending *p = &db->pending.at[n++];

		for (size_t i = 0; i < p->runs.count; i++) {
			struct run r = p->runs.at[i];

			if (free_map_any(&db->free, r.page, r.count)) { /* its header changed under us since opening */
				(void)bolt_damage(db, r.page, "given up, but it was free");
				continue;
			}
			free_map_put(&db->free, r.page, r.count);
			vfs_forget(db->file, r.page * db->page_size, r.count * db->page_size);
		}
		VEC_FREE(&p->runs);
	}
	if (!n)
		return;
	db->pending.count -= n;
	memmove(db->pending.at, db->pending.at + n, db->pending.count * sizeof(*db->pending.at));
	sizes_update(db);
}

err_t bolt_begin(struct bolt *db, struct bolt_tx **out)
{
	struct bolt_tx *tx;

	ASSERT(!db->tx);
	if (db->read_only)
		return ERR_INVALID;
	if (db->broken)
		return ERR_IO;
	pending_release(db);
	file_cut(db);
	tx = NEW(struct bolt_tx);
	tx->db = db;
	tx->meta = db->newest->meta; /* only the writer changes newest */
	tx->high_water_before = tx->meta.high_water;
	tx->meta.txid++;
	tx->meta.freelist = FREELIST_NONE;
	arena_init(&tx->arena, SIZE_MAX / 2);
	tx->top.tx = tx;
	tx->top.page = tx->meta.root;
	tx->top.sequence = tx->meta.sequence;
	db->tx = tx;
	*out = tx;
	return OK;
}

uint64_t bolt_tx_txid(const struct bolt_tx *tx)
{
	return tx->meta.txid;
}

static void tx_free(struct bolt_tx *tx)
{
	bucket_free_handles(tx);
	for (struct bolt_node *n = tx->nodes; n;) {
		struct bolt_node *next = n->next;

		VEC_FREE(&n->items);
		mem_free(n);
		n = next;
	}
	VEC_FREE(&tx->freed);
	VEC_FREE(&tx->taken);
	VEC_FREE(&tx->written);
	arena_fini(&tx->arena);
	tx->db->tx = NULL;
	mem_free(tx);
}

void bolt_rollback(struct bolt_tx *tx)
{
	if (!tx)
		return;
	for (size_t i = 0; i < tx->taken.count; i++)
		free_map_put(&tx->db->free, tx->taken.at[i].page, tx->taken.at[i].count);
	tx_free(tx);
}

/* ---- places for nodes ---- */

static err_t allocate(struct bolt_tx *tx, uint64_t count, uint64_t *out)
{
	struct bolt *db = tx->db;
	uint64_t page = free_map_find(&db->free, count);

	if (page != UINT64_MAX) {
		free_map_remove(&db->free, page, count);
		VEC_PUSH(&tx->taken, ((struct run){page, count}));
	} else {
		page = tx->meta.high_water;
		if (page + count > UINT32_MAX || (page + count) * db->page_size > db->reserved)
			return ERR_DISK_FULL;
		tx->meta.high_water += count;
	}
	*out = page;
	return OK;
}

/* A lower branch key than the child's first one can be read, but bbolt, when it writes the child, looks for it in the parent
 * by its first key, does not find it and adds a second element: the keys have to be equal (node.read, node.spill of v1.5.0). */
static void first_key(struct bolt_node *n, struct item *it)
{
	const struct item *first;

	if (!it->child->items.count)
		return;
	first = &it->child->items.at[0];
	n->size = n->size - it->ksize + first->ksize;
	it->key = first->key;
	it->ksize = first->ksize;
}

static err_t place(struct bolt_tx *tx, struct bolt_node *n)
{
	uint64_t count, page;
	err_t err = OK;

	if (!n->dirty)
		return OK;
	for (size_t i = 0; !err && !n->leaf && i < n->items.count; i++) {
		struct item *it = &n->items.at[i];

		if (!it->child)
			continue;
		err = place(tx, it->child);
		it->page = it->child->page;
		first_key(n, it);
	}
	if (err)
		return err;
	node_free_pages(tx, n);
	count = (n->size + tx->db->page_size - 1) / tx->db->page_size;
	err = allocate(tx, count, &page);
	if (err)
		return err;
	n->page = page;
	n->page_count = (uint32_t)count;
	VEC_PUSH(&tx->written, ((struct written){n, page}));
	return OK;
}

/* A leaf without sub-buckets of at most a quarter page lives in its parent, as bbolt has it. */
static bool fits_inline(const struct bolt_tx *tx, const struct bolt_node *root)
{
	if (!root->leaf || root->size > tx->db->page_size / 4)
		return false;
	for (size_t i = 0; i < root->items.count; i++)
		if (root->items.at[i].flags & ELEMENT_BUCKET)
			return false;
	return true;
}

static err_t bucket_place(struct bolt_bucket *b)
{
	struct bolt_tx *tx = b->tx;
	uint64_t began_ns = env_mono_ns();
	err_t err = tree_balance(b);

	tx->db->times.balance_ns += env_mono_ns() - began_ns;
	if (err || !b->root || !b->root->dirty)
		return err;
	if (b != &tx->top && fits_inline(tx, b->root)) {
		uint8_t *image = arena_alloc(&tx->arena, b->root->size);

		node_free_pages(tx, b->root);
		node_write(b->root, 0, 1, image, b->root->size);
		b->page = 0;
		b->inline_page = slice_of(image, b->root->size);
		return OK;
	}
	err = place(tx, b->root);
	b->page = b->root->page;
	b->inline_page = (struct slice){0};
	return err;
}

static err_t header_put(struct bolt_bucket *b)
{
	size_t size = BUCKET_HEADER_SIZE + b->inline_page.size;
	uint8_t *value = arena_alloc(&b->tx->arena, size);

	le64_put(value, b->page);
	le64_put(value + 8, b->sequence);
	if (b->inline_page.size)
		memcpy(value + BUCKET_HEADER_SIZE, b->inline_page.data, b->inline_page.size);
	return tree_put(b->parent, b->name, slice_of(value, size), ELEMENT_BUCKET);
}

/* Sub-buckets before the bucket that names them. */
static err_t bucket_commit(struct bolt_bucket *b)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < b->children.count; i++)
		err = bucket_commit(b->children.at[i]);
	if (err || !b->dirty)
		return err;
	err = bucket_place(b);
	if (!err && b->parent)
		err = header_put(b);
	return err;
}

/* ---- writing ---- */

/* The file's length for a high water mark: in steps, but within the mapping. */
static uint64_t length_for(const struct bolt *db, uint64_t high_water)
{
	uint64_t size = high_water * db->page_size, step = db->grow_bytes;

	return MAX(MIN((size + step - 1) / step * step, db->reserved), size);
}

static err_t grow_file(struct bolt_tx *tx)
{
	struct bolt *db = tx->db;
	uint64_t want = length_for(db, tx->meta.high_water);
	err_t err;

	if (tx->meta.high_water * db->page_size <= db->file_size)
		return OK;
	err = vfs_truncate(db->file, want);
	if (!err && db->lock_memory)
		err = vfs_map_lock(db->file, db->map + db->file_size, want - db->file_size);
	if (!err)
		db->file_size = want;
	return err;
}

static int by_page(const void *a, const void *b)
{
	uint64_t x = ((const struct written *)a)->page, y = ((const struct written *)b)->page;

	return (x > y) - (x < y);
}

static err_t staging_flush(struct bolt *db, uint64_t first_page)
{
	err_t err = OK;

	if (db->staging.size)
		err = pacer_write(db->pacer, db->file, first_page * db->page_size, db->staging.data, db->staging.size);
	buf_clear(&db->staging);
	return err;
}

/* Neighbours in the file go out in one write of about a MiB. */
static err_t write_pages(struct bolt_tx *tx)
{
	struct bolt *db = tx->db;
	uint64_t first = 0, next = 0;
	err_t err = OK;

	if (tx->written.count)
		qsort(tx->written.at, tx->written.count, sizeof(*tx->written.at), by_page);
	for (size_t i = 0; !err && i < tx->written.count; i++) {
		struct bolt_node *n = tx->written.at[i].node;
		uint64_t size = (uint64_t)n->page_count * db->page_size;

		if (n->page != next || db->staging.size >= BOLT_STEP_BYTES)
			err = staging_flush(db, first);
		if (err)
			break;
		if (db->staging.size == 0)
			first = n->page;
		if (i % YIELD_EVERY == 0)
			pacer_yield(db->pacer);
		node_write(n, n->page, n->page_count, buf_add(&db->staging, size), size);
		next = n->page + n->page_count;
	}
	return err ? err : staging_flush(db, first);
}

static err_t write_meta(struct bolt_tx *tx)
{
	struct bolt *db = tx->db;
	uint64_t id = tx->meta.txid % 2;
	err_t err;

	buf_clear(&db->staging);
	meta_write(&tx->meta, id, buf_add(&db->staging, db->page_size));
	err = vfs_pwrite(db->file, id * db->page_size, db->staging.data, db->page_size);
	buf_clear(&db->staging);
	return err;
}

/* The free pages at the end are given up instead of kept. */
static void trim(struct bolt_tx *tx)
{
	uint64_t count = free_map_run_before(&tx->db->free, tx->meta.high_water);

	if (!count)
		return;
	tx->meta.high_water -= count;
	free_map_remove(&tx->db->free, tx->meta.high_water, count);
	VEC_PUSH(&tx->taken, ((struct run){tx->meta.high_water, count}));
}

enum { CUT_BYTES = 2 << 20 };

void file_cut(struct bolt *db)
{
	uint64_t want = length_for(db, db->newest->meta.high_water);

	if (!db->cut_txid || oldest_pin(db) < db->cut_txid)
		return;
	while (want < db->file_size) { /* in steps: half a GB at once keeps the log's syncs in ext4's journal for 50 ms */
		uint64_t next = db->file_size - MIN(db->file_size - want, (uint64_t)CUT_BYTES);

		if (vfs_truncate(db->file, next))
			return;
		db->file_size = next;
		pacer_yield(db->pacer);
	}
	db->cut_txid = 0;
}

static err_t sync_file(struct bolt *db)
{
	return BUG(COMMIT_UNSYNCED) ? OK : pacer_sync(db->pacer, db->file);
}

static err_t tx_write(struct bolt_tx *tx)
{
	struct bolt *db = tx->db;
	uint64_t began_ns = env_mono_ns(), placed_ns;
	err_t err;

	db->times = (struct bolt_commit_times){0};
	err = bucket_commit(&tx->top);
	if (err)
		return err;
	placed_ns = env_mono_ns();
	db->times.place_ns = placed_ns - began_ns - db->times.balance_ns;
	tx->meta.root = tx->top.page;
	tx->meta.sequence = tx->top.sequence;
	if (tx->trim)
		trim(tx);
	err = grow_file(tx);
	if (!err)
		err = write_pages(tx);
	if (err)
		return err;
	db->broken = true; /* until the last sync has returned well */
	err = sync_file(db);
	if (!err)
		err = write_meta(tx);
	if (!err)
		err = sync_file(db);
	if (!err)
		db->broken = false;
	db->times.write_ns = env_mono_ns() - placed_ns;
	return err;
}

err_t bolt_commit(struct bolt_tx *tx)
{
	struct bolt *db = tx->db;
	err_t err = tx_write(tx);

	if (err) {
		buf_clear(&db->staging);
		bolt_rollback(tx);
		return err;
	}
	pending_add(db, tx->meta.txid, &tx->freed);
	if (tx->trim)
		db->cut_txid = tx->meta.txid;
	pin_publish(db, pin_new(db, &tx->meta));
	sizes_update(db);
	tx_free(tx);
	file_cut(db);
	return OK;
}
