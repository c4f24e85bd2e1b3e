/* HashKV of a file: the index is loaded as a server does, on a database that stays read-only. */
#include "base/epoch.h"
#include "mvcc/mvcc.h"
#include "utl/open.h"

struct hashing {
	struct mvcc_loader *loader;
	struct why row_why;
	struct epoch_domain *epoch;
	struct backend *backend;
	struct mvcc *mvcc;
};

enum { HASH_ROWS = 100000 };

static err_t take_row(void *arg, size_t bucket, struct slice key, struct slice value)
{
	struct hashing *h = arg;

	return mvcc_loader_row(h->loader, key, value, &h->row_why);
}

static err_t load(struct hashing *h, struct bolt *db, struct why *why)
{
	struct bolt_pin *pin = bolt_pin(db);
	struct backend_meta meta;
	struct backend_config bc = {.db = db, .epoch = h->epoch};
	struct mvcc_config mc = {.epoch = h->epoch};
	err_t err = backend_file_meta(pin, &meta);

	bolt_pin_unref(pin);
	if (!err)
		err = backend_new(&bc, &h->backend);
	if (err == ERR_NOT_EXIST)
		return why_set(why, ERR_CORRUPT_FILE, "this is not a database of etcd: it has no bucket key or meta");
	if (err)
		return err;
	mc.backend = h->backend;
	h->mvcc = mvcc_new(&mc);
	err = mvcc_load(h->mvcc, h->loader, meta.scheduled_compact_rev, meta.finished_compact_rev, (struct beside){0}, why);
	h->loader = NULL;
	return err;
}

static err_t hash(struct hashing *h, int64_t rev, struct why *why, struct utl_hashkv *out)
{
	struct mvcc_view view;
	struct mvcc_hash hash;
	bool done = false;
	err_t err;

	mvcc_publish(h->mvcc, &view);
	err = mvcc_hash_init(&hash, &view, rev);
	if (err)
		return why_set(why, err, "%s",
			       err == ERR_COMPACTED ? "mvcc: required revision has been compacted"
						    : "mvcc: required revision is a future revision");
	while (!err && !done)
		err = mvcc_hash_step(&hash, &view, HASH_ROWS, &done);
	if (!err)
		*out = (struct utl_hashkv){hash.result.crc, hash.result.rev, hash.result.compact_rev};
	mvcc_hash_fini(&hash);
	return err;
}

err_t utl_hashkv(struct vfs *fs, const char *path, int64_t rev, const struct utl_wait *wait, struct why *why,
		 struct utl_hashkv *out)
{
	static const struct slice names[] = {{(const uint8_t *)"key", 3}};
	struct hashing h = {.loader = mvcc_loader_new(), .epoch = epoch_domain_new()};
	struct bolt_rows rows = {names, 1, take_row, &h};
	struct bolt_options o = {.read_only = true, .must_exist = true, .rows = &rows};
	struct bolt *db = NULL;
	err_t err = utl_open(fs, path, &o, wait, why, &db);

	if (err && h.row_why.text[0])
		why_set(why, err, "%s", h.row_why.text);
	if (!err)
		err = load(&h, db, why);
	if (!err)
		err = hash(&h, rev, why, out);
	if (err && why && !why->text[0] && !(db && bolt_why(db, why)))
		why_set(why, err, "%s: %s", path, err_text(err));
	mvcc_loader_free(h.loader);
	if (h.mvcc)
		mvcc_free(h.mvcc);
	backend_free(h.backend);
	bolt_close(db);
	epoch_domain_free(h.epoch);
	return err;
}
