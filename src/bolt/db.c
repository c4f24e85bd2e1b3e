/* Open, close, pins. */
#include "bolt/impl.h"

#define RESERVE_BYTES ((uint64_t)1 << 40)

/* ---- pins ---- */

struct bolt_pin *pin_new(struct bolt *db, const struct meta *m)
{
	struct bolt_pin *pin = NEW(struct bolt_pin);

	pin->db = db;
	pin->meta = *m;
	atomic_init(&pin->refs, 1);
	list_init(&pin->link);
	return pin;
}

void pin_publish(struct bolt *db, struct bolt_pin *pin)
{
	struct bolt_pin *old;

	pthread_mutex_lock(&db->lock);
	old = db->newest;
	db->newest = pin;
	list_push_back(&db->pins, &pin->link);
	pthread_mutex_unlock(&db->lock);
	bolt_pin_unref(old);
}

struct bolt_pin *bolt_pin(struct bolt *db)
{
	struct bolt_pin *pin;

	pthread_mutex_lock(&db->lock);
	pin = bolt_pin_ref(db->newest);
	pthread_mutex_unlock(&db->lock);
	return pin;
}

struct bolt_pin *bolt_pin_ref(struct bolt_pin *pin)
{
	atomic_fetch_add_explicit(&pin->refs, 1, memory_order_relaxed);
	return pin;
}

/* At 0 nobody can get a new reference: only the newest pin is given out, and that one is the db's too. */
void bolt_pin_unref(struct bolt_pin *pin)
{
	struct bolt *db;

	if (!pin || atomic_fetch_sub_explicit(&pin->refs, 1, memory_order_acq_rel) > 1)
		return;
	db = pin->db;
	pthread_mutex_lock(&db->lock);
	list_remove(&pin->link);
	pthread_mutex_unlock(&db->lock);
	mem_free(pin);
}

bool bolt_has_readers(struct bolt *db)
{
	bool others;

	pthread_mutex_lock(&db->lock);
	others = db->pins.next != &db->newest->link || db->newest->link.next != &db->pins || db->newest->refs > 1;
	pthread_mutex_unlock(&db->lock);
	return others;
}

uint64_t bolt_pin_txid(const struct bolt_pin *pin)
{
	return pin->meta.txid;
}

uint64_t bolt_pin_size(const struct bolt_pin *pin)
{
	return pin->meta.high_water * pin->db->page_size;
}

/* ---- sizes ---- */

void sizes_update(struct bolt *db)
{
	const struct meta *m = &db->newest->meta;

	atomic_store(&db->size, m->high_water * db->page_size);
	atomic_store(&db->size_in_use, (m->high_water - db->free.count) * db->page_size);
	atomic_store(&db->txid, m->txid);
}

void bolt_yield(struct bolt *db)
{
	pacer_yield(db->pacer);
}

uint64_t bolt_size(const struct bolt *db)
{
	return atomic_load(&db->size);
}

uint64_t bolt_size_in_use(const struct bolt *db)
{
	return atomic_load(&db->size_in_use);
}

size_t bolt_pins(struct bolt *db)
{
	size_t n = 0;

	pthread_mutex_lock(&db->lock);
	LIST_EACH (it, &db->pins)
		n++;
	pthread_mutex_unlock(&db->lock);
	return n;
}

struct bolt_commit_times bolt_commit_times(const struct bolt *db)
{
	return db->times;
}

uint64_t bolt_txid(const struct bolt *db)
{
	return atomic_load(&db->txid);
}

unsigned bolt_valid_metas(const struct bolt *db)
{
	return db->valid_metas;
}

uint32_t bolt_page_size(const struct bolt *db)
{
	return db->page_size;
}

/* ---- a new file ---- */

/* A file whose creation was cut short: empty, or up to four pages of which the first two are zero, since the metas are
 * written last. */
static err_t is_unfinished(struct bolt *db, uint32_t page_size, bool *out)
{
	size_t size = 2 * (size_t)page_size, got;
	uint8_t *pages;
	bool zero = true;
	err_t err;

	*out = false;
	if (db->file_size > 2 * (uint64_t)size)
		return OK;
	pages = mem_alloc(size);
	err = vfs_pread(db->file, 0, pages, size, &got);
	for (size_t i = 0; !err && i < got; i++)
		zero = zero && pages[i] == 0;
	mem_free(pages);
	if (!err)
		*out = zero;
	return err;
}

static err_t sync_parent(struct bolt *db)
{
	char *dir = mem_strdup(db->path), *slash = strrchr(dir, '/');
	err_t err;

	if (slash && slash != dir)
		*slash = '\0';
	else if (slash)
		slash[1] = '\0';
	err = vfs_sync_dir(db->fs, slash ? dir : ".");
	mem_free(dir);
	return err;
}

/* As bbolt makes one: metas 0 and 1, an empty free list, an empty leaf as the root; the metas after the rest. */
static err_t create(struct bolt *db, uint32_t page_size)
{
	uint8_t *pages = mem_zalloc(4 * (size_t)page_size);
	struct meta m = {.page_size = page_size, .root = 3, .freelist = 2, .high_water = 4};
	err_t err;

	for (m.txid = 0; m.txid < 2; m.txid++)
		meta_write(&m, m.txid, pages + m.txid * page_size);
	page_header_put(pages + 2 * (size_t)page_size, 2, PAGE_FREELIST, 0, 0);
	page_header_put(pages + 3 * (size_t)page_size, 3, PAGE_LEAF, 0, 0);
	err = vfs_truncate(db->file, 0);
	if (!err)
		err =
		    vfs_pwrite(db->file, 2 * (uint64_t)page_size, pages + 2 * (size_t)page_size, 2 * (size_t)page_size);
	if (!err)
		err = vfs_sync(db->file);
	if (!err)
		err = vfs_pwrite(db->file, 0, pages, 2 * (size_t)page_size);
	if (!err)
		err = vfs_sync(db->file);
	if (!err)
		err = sync_parent(db);
	if (!err)
		db->file_size = 4 * (uint64_t)page_size;
	mem_free(pages);
	return err;
}

/* ---- open ---- */

static err_t meta_read(struct bolt *db, uint64_t offset, bool *valid, struct meta *out)
{
	uint8_t at[PAGE_HEADER_SIZE + META_SIZE];
	size_t got;
	err_t err = vfs_pread(db->file, offset, at, sizeof(at), &got);

	if (!err)
		*valid = got == sizeof(at) && meta_parse(at, out);
	return err;
}

/* The valid meta with the higher txid. The page size is that of meta 0, or of meta 1 wherever it is. */
static err_t meta_find(struct bolt *db, struct meta *out, struct why *why)
{
	struct meta m[2];
	bool valid[2] = {false, false};
	err_t err = meta_read(db, 0, &valid[0], &m[0]);

	if (!err && valid[0])
		err = meta_read(db, m[0].page_size, &valid[1], &m[1]);
	for (uint32_t size = BOLT_PAGE_SIZE_MIN; !err && !valid[0] && !valid[1] && size <= BOLT_PAGE_SIZE_MAX;
	     size *= 2) {
		err = meta_read(db, size, &valid[1], &m[1]);
		valid[1] = valid[1] && m[1].page_size == size;
	}
	if (err)
		return err;
	if (valid[0] && valid[1] && m[1].page_size != m[0].page_size)
		valid[1] = false;
	if (!valid[0] && !valid[1])
		return why_set(why, ERR_CORRUPT_FILE,
			       "%s: pages 0 and 1: neither is a valid meta page; restore this file "
			       "from a snapshot",
			       db->path);
	db->valid_metas = (unsigned)valid[0] + valid[1];
	*out = valid[0] && (!valid[1] || m[0].txid > m[1].txid) ? m[0] : m[1];
	return OK;
}

static err_t meta_bounds(struct bolt *db, const struct meta *m, struct why *why)
{
	if (m->high_water < 3 || m->high_water > UINT32_MAX || m->high_water > db->file_size / m->page_size)
		return why_set(why, ERR_CORRUPT_FILE,
			       "%s: page %llu: meta counts %llu pages, but the file has %llu bytes; it was "
			       "cut short, restore it from a snapshot",
			       db->path, (unsigned long long)(m->txid % 2), (unsigned long long)m->high_water,
			       (unsigned long long)db->file_size);
	return OK;
}

/* A list that is kept has to agree with what was found; its pages become free with the next commit. */
static err_t freelist_check(struct bolt *db, const struct meta *m, const uint64_t *reached)
{
	const uint8_t *at = db->map + m->freelist * db->page_size;
	uint64_t pages, count, first = 0;
	run_vec own = {0};

	if (m->freelist == FREELIST_NONE)
		return OK;
	if (m->freelist < 2 || m->freelist >= m->high_water || le16_get(at + 8) != PAGE_FREELIST ||
	    le64_get(at) != m->freelist)
		return bolt_damage(db, m->freelist, "no free list is where meta says");
	pages = (uint64_t)le32_get(at + 12) + 1;
	if (pages > m->high_water - m->freelist)
		return bolt_damage(db, m->freelist, "the free list reaches beyond the last page");
	count = le16_get(at + 10);
	if (count == 0xffff) {
		count = le64_get(at + PAGE_HEADER_SIZE);
		first = 1;
	}
	if (count > (pages * db->page_size - PAGE_HEADER_SIZE) / 8 - first)
		return bolt_damage(db, m->freelist, "a free list of %llu pages does not fit",
				   (unsigned long long)count);
	for (uint64_t i = first; i < first + count; i++) {
		uint64_t id = le64_get(at + PAGE_HEADER_SIZE + 8 * i);

		if (id < 2 || id >= m->high_water || bit_get(reached, id))
			return bolt_damage(db, m->freelist,
					   "page %llu is called free, but it is in use or does not exist",
					   (unsigned long long)id);
	}
	for (uint64_t i = 0; i < pages; i++)
		if (bit_get(reached, m->freelist + i))
			return bolt_damage(db, m->freelist + i, "part of the free list and in use");
	VEC_PUSH(&own, ((struct run){m->freelist, pages}));
	pending_add(db, m->txid + 1, &own);
	return OK;
}

/* What is neither reached nor the list itself. */
static void free_build(struct bolt *db, const struct meta *m, const uint64_t *reached)
{
	struct run list = {0};
	uint64_t start = 2;

	if (db->pending.count)
		list = db->pending.at[0].runs.at[0];
	for (uint64_t i = 2; i <= m->high_water; i++) {
		if (i < m->high_water && !bit_get(reached, i) && !(i >= list.page && i < list.page + list.count))
			continue;
		if (i > start)
			free_map_put(&db->free, start, i - start);
		start = i + 1;
	}
}

static err_t open_pages(struct bolt *db, const struct bolt_options *o, struct why *why)
{
	uint64_t *reached;
	struct meta m;
	err_t err = meta_find(db, &m, why);

	if (!err)
		err = meta_bounds(db, &m, why);
	if (err)
		return err;
	db->page_size = m.page_size;
	if (m.high_water * m.page_size > db->reserved)
		return why_set(why, ERR_TOO_LARGE, "%s: %llu bytes, but only %llu bytes of address space were granted",
			       db->path, (unsigned long long)(m.high_water * m.page_size),
			       (unsigned long long)db->reserved);
	reached = NEW_ARRAY(uint64_t, m.high_water / 64 + 1);
	err = scan_run(db, &m, o->rows, false, reached, NULL);
	if (!err)
		err = freelist_check(db, &m, reached);
	if (!err) {
		free_build(db, &m, reached);
		pin_publish(db, pin_new(db, &m));
		sizes_update(db);
	} else if (!bolt_why(db, why ? why : &(struct why){{0}})) {
		(void)why_set(why, err, "%s: %s", db->path, err_text(err));
	}
	mem_free(reached);
	return err;
}

static err_t open_file(struct bolt *db, const struct bolt_options *o, struct why *why)
{
	int flags = o->read_only ? VFS_READ : VFS_WRITE | (o->must_exist ? 0 : VFS_CREATE);
	uint32_t page_size = o->page_size ? o->page_size : 4096;
	bool unfinished;
	err_t err = vfs_open(db->fs, db->path, flags, o->mode ? o->mode : 0600, &db->file);

	if (!err && o->lock)
		err = vfs_lock(db->file, o->read_only ? VFS_LOCK_FLOCK_SHARED : VFS_LOCK_FLOCK);
	if (!err)
		err = vfs_size(db->file, &db->file_size);
	if (!err && !o->read_only && !o->must_exist) {
		err = is_unfinished(db, page_size, &unfinished);
		if (!err && unfinished)
			err = create(db, page_size);
	}
	if (!err)
		err = vfs_map(db->file, o->reserve_bytes ? o->reserve_bytes : RESERVE_BYTES, &db->map, &db->reserved);
	if (!err && o->lock_memory)
		err = vfs_map_lock(db->file, db->map, db->file_size);
	if (err)
		return why_set(why, err, "%s: %s", db->path, err_text(err));
	return OK;
}

err_t bolt_open(struct vfs *fs, const char *path, const struct bolt_options *o, struct why *why, struct bolt **out)
{
	struct bolt *db = NEW(struct bolt);
	err_t err;

	ASSERT(o->page_size == 0 || (o->page_size >= BOLT_PAGE_SIZE_MIN && o->page_size <= BOLT_PAGE_SIZE_MAX &&
				     (o->page_size & (o->page_size - 1)) == 0));
	db->fs = fs;
	db->path = mem_strdup(path);
	db->read_only = o->read_only;
	db->pacer = o->pacer;
	db->lock_memory = o->lock_memory;
	db->grow_bytes = o->grow_bytes ? o->grow_bytes : BOLT_GROW_BYTES;
	buf_init(&db->staging, SIZE_MAX / 2);
	pthread_mutex_init(&db->lock, NULL);
	list_init(&db->pins);
	err = open_file(db, o, why);
	if (!err)
		err = open_pages(db, o, why);
	if (err) {
		bolt_close(db);
		return err;
	}
	*out = db;
	return OK;
}

void bolt_close(struct bolt *db)
{
	if (!db)
		return;
	ASSERT(!db->tx);
	bolt_pin_unref(db->newest);
	ASSERT(list_empty(&db->pins));
	for (size_t i = 0; i < db->pending.count; i++)
		VEC_FREE(&db->pending.at[i].runs);
	VEC_FREE(&db->pending);
	move_fini(db);
	free_map_fini(&db->free);
	buf_fini(&db->staging);
	if (db->map)
		vfs_unmap(db->file, db->map, db->reserved);
	vfs_close(db->file);
	pthread_mutex_destroy(&db->lock);
	mem_free(db->path);
	mem_free(db);
}
