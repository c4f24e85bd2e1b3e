/* Two ways to a smaller file:
 *
 *	rewrite     all rows to db.tmp.defrag, packed, synced, then renamed over db: the smallest file there is. A
 *server removes such a file when it finds one that was left. move pages  in place, where there is no room for a second
 *file; free places too small for a large value stay
 *
 * At every moment the file called db is whole. */
#include "base/text.h"
#include "env/env.h"
#include "obs/log.h"
#include "utl/open.h"

enum { COMMIT_ROWS = 10000, COMMIT_BYTES = 8 << 20, GROW_BYTES = 1 << 20, DEPTH_MAX = 4 };

struct rewrite {
	struct bolt *from, *to;
	struct bolt_pin *pin;
	struct bolt_tx *tx;
	struct slice path[DEPTH_MAX]; /* names of the buckets that lead to the rows being copied */
	uint32_t depth;
	uint64_t rows, bytes; /* of this transaction */
};

/* ---- rewrite ---- */

static err_t target_bucket(struct rewrite *w, struct bolt_bucket **out)
{
	struct bolt_bucket *b = NULL;
	err_t err = bolt_tx_bucket(w->tx, w->path[0], true, &b);

	for (uint32_t d = 1; !err && d < w->depth; d++)
		err = bolt_bucket_sub(b, w->path[d], true, &b);
	if (!err)
		*out = b;
	return err;
}

/* Bounds what a transaction holds in memory. */
static err_t commit_if_large(struct rewrite *w, struct bolt_bucket **b)
{
	err_t err;

	if (w->rows < COMMIT_ROWS && w->bytes < COMMIT_BYTES)
		return OK;
	w->rows = w->bytes = 0;
	err = bolt_commit(w->tx);
	w->tx = NULL;
	if (!err)
		err = bolt_begin(w->to, &w->tx);
	return err ? err : target_bucket(w, b);
}

/* path[depth - 1] is the bucket that root is. Values are borrowed from the mapping of the source. */
static err_t copy_bucket(struct rewrite *w, const struct bolt_root *root)
{
	struct bolt_bucket *b;
	struct bolt_cursor c;
	bool found;
	err_t err = target_bucket(w, &b);

	if (!err)
		bolt_bucket_set_sequence(b, root->sequence);
	bolt_cursor_init(&c, w->pin, root);
	if (!err)
		err = bolt_cursor_first(&c, &found);
	while (!err && found) {
		if (c.is_bucket) {
			struct bolt_root inner;

			if (w->depth == DEPTH_MAX)
				return ERR_UNSUPPORTED;
			err = bolt_pin_subbucket(w->pin, root, c.key, &inner);
			w->path[w->depth++] = c.key;
			if (!err)
				err = copy_bucket(w, &inner);
			w->depth--;
			if (!err)
				err = target_bucket(w, &b);
		} else {
			err = bolt_put_borrowed(b, c.key, c.value);
			w->rows++;
			w->bytes += c.key.size + c.value.size;
			if (!err)
				err = commit_if_large(w, &b);
		}
		if (!err)
			err = bolt_cursor_next(&c, &found);
	}
	return err;
}

static err_t copy_all(struct rewrite *w)
{
	struct bolt_root top, root;
	struct bolt_cursor c;
	bool found;
	err_t err = bolt_begin(w->to, &w->tx);

	bolt_pin_top(w->pin, &top);
	bolt_cursor_init(&c, w->pin, &top);
	if (!err)
		err = bolt_cursor_first(&c, &found);
	while (!err && found) {
		err = c.is_bucket ? bolt_pin_bucket(w->pin, c.key, &root) : ERR_UNSUPPORTED;
		w->path[0] = c.key;
		w->depth = 1;
		if (!err)
			err = copy_bucket(w, &root);
		if (!err)
			err = bolt_cursor_next(&c, &found);
	}
	if (err) {
		bolt_rollback(w->tx);
		return err;
	}
	return bolt_commit(w->tx);
}

static err_t rewrite(struct vfs *fs, struct bolt *db, const char *path)
{
	struct bolt_options o = {.page_size = bolt_page_size(db), .grow_bytes = GROW_BYTES};
	struct rewrite w = {.from = db, .pin = bolt_pin(db)};
	char *tmp = mem_printf("%s.tmp.defrag", path),
	     *dir = mem_printf("%.*s", (int)(strrchr(path, '/') - path), path);
	err_t err = vfs_remove(fs, tmp);

	if (!err || err == ERR_NOT_EXIST)
		err = bolt_open(fs, tmp, &o, NULL, &w.to);
	if (!err)
		err = copy_all(&w);
	if (!err)
		err = bolt_check(w.to, NULL, NULL);
	bolt_close(w.to);
	bolt_pin_unref(w.pin);
	if (!err)
		err = vfs_rename(fs, tmp, path);
	if (!err)
		err = vfs_sync_dir(fs, dir);
	else
		err_ignore(vfs_remove(fs, tmp));
	mem_free(tmp);
	mem_free(dir);
	return err;
}

/* ---- both ---- */

struct sizes {
	uint64_t file, in_use;
};

static struct sizes sizes_of(const struct bolt *db)
{
	return (struct sizes){bolt_size(db), bolt_size_in_use(db)};
}

static void tell_start(const char *path, struct sizes s)
{
	char file[TEXT_BYTES_SIZE], in_use[TEXT_BYTES_SIZE];

	LOG_INFO("defragmenting", LOG_STR("path", path), LOG_UINT("current-db-size-bytes", s.file),
		 LOG_STR("current-db-size", text_bytes(file, s.file)),
		 LOG_UINT("current-db-size-in-use-bytes", s.in_use),
		 LOG_STR("current-db-size-in-use", text_bytes(in_use, s.in_use)));
}

static void tell_end(const char *path, struct sizes before, struct sizes s, uint64_t start_ns)
{
	char file[TEXT_BYTES_SIZE], in_use[TEXT_BYTES_SIZE];

	LOG_INFO("finished defragmenting directory", LOG_STR("path", path),
		 LOG_INT("current-db-size-bytes-diff", (int64_t)(s.file - before.file)),
		 LOG_UINT("current-db-size-bytes", s.file), LOG_STR("current-db-size", text_bytes(file, s.file)),
		 LOG_INT("current-db-size-in-use-bytes-diff", (int64_t)(s.in_use - before.in_use)),
		 LOG_UINT("current-db-size-in-use-bytes", s.in_use),
		 LOG_STR("current-db-size-in-use", text_bytes(in_use, s.in_use)),
		 LOG_DURATION("took", (int64_t)(env_mono_ns() - start_ns)));
}

/* The new file is opened, and so checked, while the old one's lock is still held. */
static err_t shrink(struct vfs *fs, struct bolt *db, const char *path, struct sizes *after, struct why *why)
{
	struct bolt_options o = {.read_only = true, .must_exist = true};
	struct bolt *fresh;
	err_t err = rewrite(fs, db, path);

	if (err == ERR_DISK_FULL) {
		LOG_WARN("there is no room for a second file; pages are moved in place, which may leave a larger one",
			 LOG_STR("path", path));
		err = bolt_move_all(db);
		*after = sizes_of(db);
	} else if (!err) {
		err = bolt_open(fs, path, &o, why, &fresh);
		if (err)
			return err;
		*after = sizes_of(fresh);
		bolt_close(fresh);
	}
	if (err && !(why && bolt_why(db, why)))
		why_set(why, err, "%s: %s", path, err_text(err));
	return err;
}

err_t utl_defrag(struct vfs *fs, const char *data_dir, const struct utl_wait *wait, struct why *why)
{
	struct bolt_options o = {.must_exist = true};
	char *path = utl_db_path(data_dir);
	uint64_t start_ns = env_mono_ns();
	struct sizes before, after = {0};
	struct bolt *db = NULL;
	err_t err = utl_open(fs, path, &o, wait, why, &db);

	if (!err) {
		before = sizes_of(db);
		tell_start(path, before);
		err = shrink(fs, db, path, &after, why);
	}
	if (!err)
		tell_end(path, before, after, start_ns);
	bolt_close(db);
	mem_free(path);
	return err;
}
