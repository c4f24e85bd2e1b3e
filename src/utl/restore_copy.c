/* A snapshot file is the image of a database and the SHA-256 of it, 32 bytes. An image is a multiple of 512 bytes long,
 * so the length of the file says whether a digest is there. */
#include <stdio.h>

#include <openssl/evp.h>

#include "utl/restore.h"

enum { DIGEST_SIZE = 32, SECTOR = 512, COPY_BYTES = 256 << 10 };

struct copy {
	struct restore *r;
	struct vfs_file *from, *to;
	uint64_t size; /* of the image */
	bool has_digest;
	EVP_MD_CTX *sha;
	uint8_t *buf;
};

static err_t open_source(struct copy *c)
{
	const char *path = c->r->cfg->snapshot_path;
	struct vfs_stat st;
	err_t err = vfs_open(c->r->fs, path, VFS_READ, 0, &c->from);

	if (err)
		return why_set(c->r->why, err, "open %s: %s", path, err_text(err));
	err = vfs_stat(c->r->fs, path, &st);
	if (!err && st.is_dir)
		return why_set(c->r->why, ERR_INVALID, "read %s: is a directory", path);
	if (!err)
		err = vfs_size(c->from, &c->size);
	if (err)
		return why_set(c->r->why, err, "stat %s: %s", path, err_text(err));
	if (c->size < DIGEST_SIZE)
		return why_set(c->r->why, ERR_CORRUPT_FILE, "%s: %llu bytes are no snapshot", path,
			       (unsigned long long)c->size);
	c->has_digest = c->size % SECTOR == DIGEST_SIZE;
	if (c->has_digest)
		c->size -= DIGEST_SIZE;
	if (!c->has_digest && !c->r->cfg->skip_hash_check)
		return why_set(c->r->why, ERR_CORRUPT_FILE, "snapshot missing hash but --skip-hash-check=false");
	return OK;
}

/* Locked, so that a second restore into the same directory sees that this one is at work. */
static err_t open_target(struct copy *c)
{
	const char *path = c->r->db_path;
	err_t err = vfs_open(c->r->fs, path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, 0600, &c->to);

	if (!err)
		err = vfs_lock(c->to, VFS_LOCK_FLOCK);
	return err ? why_set(c->r->why, err, "open %s: %s", path, err_text(err)) : OK;
}

static err_t read_part(struct copy *c, uint64_t at, size_t size)
{
	size_t got;
	err_t err = vfs_pread(c->from, at, c->buf, size, &got);

	if (!err && got < size)
		err = ERR_CORRUPT_FILE;
	return err ? why_set(c->r->why, err, "read %s: %s", c->r->cfg->snapshot_path,
			     err == ERR_CORRUPT_FILE ? "it became shorter while it was read" : err_text(err))
		   : OK;
}

static err_t copy_image(struct copy *c)
{
	err_t err = OK;

	for (uint64_t at = 0; !err && at < c->size;) {
		size_t n = (size_t)MIN(c->size - at, (uint64_t)COPY_BYTES);

		err = restore_stopped(c->r);
		if (!err)
			err = read_part(c, at, n);
		if (err)
			break;
		ASSERT(EVP_DigestUpdate(c->sha, c->buf, n) == 1);
		err = vfs_pwrite(c->to, at, c->buf, n);
		at += n;
		if (err)
			why_set(c->r->why, err, "write %s: %s", c->r->db_path, err_text(err));
	}
	if (!err) {
		err = vfs_sync(c->to);
		if (err)
			why_set(c->r->why, err, "sync %s: %s", c->r->db_path, err_text(err));
	}
	return err;
}

static void decimal(const uint8_t *digest, char out[DIGEST_SIZE * 4 + 4])
{
	size_t n = 0;

	for (size_t i = 0; i < DIGEST_SIZE; i++)
		n += (size_t)sprintf(out + n, "%s%u", i ? " " : "", digest[i]);
}

static err_t check_digest(struct copy *c)
{
	char want[DIGEST_SIZE * 4 + 4], got[DIGEST_SIZE * 4 + 4];
	uint8_t digest[DIGEST_SIZE];
	unsigned size = 0;
	err_t err;

	ASSERT(EVP_DigestFinal_ex(c->sha, digest, &size) == 1);
	ASSERT(size == DIGEST_SIZE);
	if (!c->has_digest || c->r->cfg->skip_hash_check)
		return OK;
	err = read_part(c, c->size, DIGEST_SIZE);
	if (err || !memcmp(digest, c->buf, DIGEST_SIZE))
		return err;
	decimal(c->buf, want);
	decimal(digest, got);
	return why_set(c->r->why, ERR_CORRUPT_FILE, "expected sha256 [%s], got [%s]", want, got);
}

err_t restore_copy(struct restore *r)
{
	struct copy c = {.r = r, .sha = EVP_MD_CTX_new(), .buf = mem_alloc(COPY_BYTES)};
	err_t err = open_source(&c);

	ASSERT(c.sha && EVP_DigestInit_ex(c.sha, EVP_sha256(), NULL) == 1);
	if (!err)
		err = vfs_mkdir_all(r->fs, r->snap_dir, 0700)
			  ? why_set(r->why, ERR_IO, "mkdir %s: cannot be made", r->snap_dir)
			  : OK;
	if (!err)
		err = open_target(&c);
	if (!err)
		err = copy_image(&c);
	if (!err)
		err = check_digest(&c);
	vfs_close(c.from);
	vfs_close(c.to);
	EVP_MD_CTX_free(c.sha);
	mem_free(c.buf);
	return err;
}
