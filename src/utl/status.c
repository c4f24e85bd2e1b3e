/* What a database file holds, in one pass over its rows. */
#include "backend/backend.h"
#include "base/crc.h"
#include "base/endian.h"
#include "env/env.h"
#include "pb/kv.h"
#include "utl/key_set.h"
#include "utl/open.h"

struct pass {
	const char *path;
	struct bolt_pin *pin;
	struct key_set keys;
	struct utl_status status;
};

static void hash_add(struct pass *p, struct slice s)
{
	p->status.hash = crc32c(p->status.hash, s.data, s.size);
}

static err_t key_row(struct pass *p, struct slice key, struct slice value, struct why *why)
{
	bool tombstone;
	struct rev rev;
	struct kv kv;

	if (rev_key_read(key, &rev, &tombstone))
		return why_set(why, ERR_CORRUPT_FILE, "%s: bucket key: a row of %zu bytes is no revision", p->path,
			       key.size);
	if (kv_decode(value, &kv))
		return why_set(why, ERR_CORRUPT_FILE, "%s: bucket key: revision %lld/%lld: cannot unmarshal value",
			       p->path, (long long)rev.main, (long long)rev.sub);
	p->status.revision = rev.main;
	key_set_put(&p->keys, kv.key, !tombstone);
	return OK;
}

static err_t bucket_pass(struct pass *p, struct slice name, struct why *why)
{
	bool is_key = slice_eq(name, backend_bucket_name(BUCKET_KEY)), found;
	struct bolt_root root;
	struct bolt_cursor c;
	err_t err = bolt_pin_bucket(p->pin, name, &root);

	if (err)
		return err;
	hash_add(p, name);
	bolt_cursor_init(&c, p->pin, &root);
	for (err = bolt_cursor_first(&c, &found); !err && found; err = bolt_cursor_next(&c, &found)) {
		hash_add(p, c.key);
		if (c.is_bucket)
			continue;
		hash_add(p, c.value);
		err = is_key ? key_row(p, c.key, c.value, why) : OK;
		if (err)
			return err;
	}
	return err;
}

static err_t all_buckets(struct pass *p, struct why *why)
{
	struct bolt_root top;
	struct bolt_cursor c;
	bool found;
	err_t err;

	bolt_pin_top(p->pin, &top);
	bolt_cursor_init(&c, p->pin, &top);
	for (err = bolt_cursor_first(&c, &found); !err && found; err = bolt_cursor_next(&c, &found)) {
		if (!c.is_bucket)
			return why_set(why, ERR_CORRUPT_FILE, "%s: a plain row of %zu bytes where only buckets may be",
				       p->path, c.key.size);
		err = bucket_pass(p, c.key, why);
		if (err)
			return err;
	}
	return err;
}

static void storage_version(struct pass *p)
{
	struct slice v;

	if (backend_file_get(p->pin, BUCKET_META, SLICE_LIT("storageVersion"), &v) == OK &&
	    v.size < sizeof(p->status.version))
		memcpy(p->status.version, v.data, v.size);
}

/* One whole meta page is enough to open a file, also after a crash while it was made; a snapshot has two. */
static err_t metas_are_metas(struct vfs *fs, const char *path, uint32_t page_size, struct why *why)
{
	enum { HEADER_SIZE = 16, KIND_META = 4 };
	struct vfs_file *f = NULL;
	err_t err = vfs_open(fs, path, VFS_READ, 0, &f);

	for (uint64_t id = 0; !err && id < 2; id++) {
		uint8_t header[HEADER_SIZE];
		size_t got;

		err = vfs_pread(f, id * page_size, header, sizeof(header), &got);
		if (!err && (got < sizeof(header) || le64_get(header) != id || le16_get(header + 8) != KIND_META))
			err = why_set(why, ERR_CORRUPT_FILE, "%s: page %d: it does not say that it is a meta page",
				      path, (int)id);
	}
	vfs_close(f);
	return err;
}

err_t utl_status(struct vfs *fs, const char *path, const struct utl_wait *wait, struct why *why, struct utl_status *out)
{
	struct bolt_options o = {.read_only = true, .must_exist = true};
	struct pass p = {.path = path};
	struct bolt *db;
	uint64_t seed;
	err_t err = utl_open(fs, path, &o, wait, why, &db);

	if (err)
		return err;
	err = bolt_check(db, NULL, why);
	if (!err)
		err = metas_are_metas(fs, path, bolt_page_size(db), why);
	if (err) {
		bolt_close(db);
		return err;
	}
	env_random(&seed, sizeof(seed));
	key_set_init(&p.keys, seed);
	p.pin = bolt_pin(db);
	p.status.size_bytes = bolt_pin_size(p.pin);
	storage_version(&p);
	err = all_buckets(&p, why);
	if (err && !(why && why->text[0]))
		bolt_why(db, why ? why : &(struct why){""});
	p.status.keys = p.keys.live;
	key_set_fini(&p.keys);
	bolt_pin_unref(p.pin);
	bolt_close(db);
	if (!err)
		*out = p.status;
	return err;
}
