#include "env/vfs.h"

#include "env/env.h"

static __thread struct vfs_host *host;

err_t vfs_open(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out)
{
	return fs->ops->open(fs, path, flags, mode, out);
}

void vfs_close(struct vfs_file *f)
{
	if (f)
		f->fs->ops->close(f);
}

err_t vfs_pread(struct vfs_file *f, uint64_t offset, void *out, size_t size, size_t *got)
{
	return f->fs->ops->pread(f, offset, out, size, got);
}

err_t vfs_pwrite(struct vfs_file *f, uint64_t offset, const void *data, size_t size)
{
	return f->fs->ops->pwrite(f, offset, data, size);
}

err_t vfs_sync(struct vfs_file *f)
{
	return f->fs->ops->sync(f);
}

err_t vfs_flush(struct vfs_file *f, uint64_t offset, uint64_t size)
{
	return f->fs->ops->flush(f, offset, size);
}

err_t vfs_truncate(struct vfs_file *f, uint64_t size)
{
	return f->fs->ops->truncate(f, size);
}

err_t vfs_allocate(struct vfs_file *f, uint64_t size)
{
	return f->fs->ops->allocate(f, size);
}

err_t vfs_size(struct vfs_file *f, uint64_t *out)
{
	return f->fs->ops->size(f, out);
}

err_t vfs_lock(struct vfs_file *f, enum vfs_lock_kind kind)
{
	return f->fs->ops->lock(f, kind);
}

err_t vfs_map(struct vfs_file *f, uint64_t reserve, const uint8_t **out, uint64_t *reserved)
{
	return f->fs->ops->map(f, reserve, out, reserved);
}

void vfs_unmap(struct vfs_file *f, const uint8_t *map, uint64_t reserved)
{
	f->fs->ops->unmap(f, map, reserved);
}

bool vfs_map_in(struct vfs_file *f, const uint8_t *at, size_t size)
{
	return f->fs->ops->map_in && f->fs->ops->map_in(f, at, size);
}

void vfs_map_out(struct vfs_file *f, const uint8_t *at, size_t size)
{
	if (f->fs->ops->map_out)
		f->fs->ops->map_out(f, at, size);
}

err_t vfs_map_lock(struct vfs_file *f, const uint8_t *at, size_t size)
{
	return f->fs->ops->map_lock ? f->fs->ops->map_lock(f, at, size) : OK;
}

void vfs_forget(struct vfs_file *f, uint64_t offset, uint64_t size)
{
	if (f->fs->ops->forget)
		f->fs->ops->forget(f, offset, size);
}

void vfs_start(struct vfs_io *io)
{
	if (!host || !host->take(host, io))
		io->file->fs->ops->start(io);
}

void vfs_host_set(struct vfs_host *h)
{
	ASSERT(!h || !host);
	host = h;
}

void vfs_run(struct vfs_io *io)
{
	io->err = io->data.size ? vfs_pwrite(io->file, io->offset, io->data.data, io->data.size) : OK;
	io->sync_ns = 0;
	if (!io->err && io->sync) {
		uint64_t start_ns = env_mono_ns();

		io->err = vfs_sync(io->file);
		io->sync_ns = env_mono_ns() - start_ns;
	}
}

err_t vfs_rename(struct vfs *fs, const char *from, const char *to)
{
	return fs->ops->rename(fs, from, to);
}

err_t vfs_remove(struct vfs *fs, const char *path)
{
	return fs->ops->remove(fs, path);
}

err_t vfs_mkdir(struct vfs *fs, const char *path, uint32_t mode)
{
	return fs->ops->mkdir(fs, path, mode);
}

err_t vfs_list(struct vfs *fs, const char *path, struct vfs_names *out)
{
	return fs->ops->list(fs, path, out);
}

void vfs_names_free(struct vfs_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		mem_free(names->at[i]);
	mem_free(names->at);
	*names = (struct vfs_names){0};
}

err_t vfs_stat(struct vfs *fs, const char *path, struct vfs_stat *out)
{
	return fs->ops->stat(fs, path, out);
}

err_t vfs_sync_dir(struct vfs *fs, const char *path)
{
	return fs->ops->sync_dir(fs, path);
}

bool vfs_exists(struct vfs *fs, const char *path)
{
	struct vfs_stat st;

	return vfs_stat(fs, path, &st) == OK;
}

static err_t read_rest(struct vfs_file *f, struct buf *out)
{
	uint64_t size;
	size_t got = 0;
	uint8_t *at;
	err_t err = vfs_size(f, &size);

	if (err)
		return err;
	if (size > out->size_max - out->size || !(at = buf_add(out, (size_t)size)))
		return ERR_TOO_LARGE;
	err = vfs_pread(f, 0, at, (size_t)size, &got);
	out->size -= (size_t)size - (err ? 0 : got);
	return err;
}

err_t vfs_read_file(struct vfs *fs, const char *path, struct buf *out)
{
	struct vfs_file *f;
	err_t err = vfs_open(fs, path, VFS_READ, 0, &f);

	if (err)
		return err;
	err = read_rest(f, out);
	vfs_close(f);
	return err;
}

err_t vfs_mkdir_all(struct vfs *fs, const char *path, uint32_t mode)
{
	char *part = mem_strdup(path);
	err_t err = OK;

	ASSERT(*path);
	for (char *at = part + 1; !err && *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (!vfs_exists(fs, part))
			err = vfs_mkdir(fs, part, mode);
		*at = '/';
		if (err == ERR_EXIST)
			err = OK;
	}
	if (!err && !vfs_exists(fs, part)) {
		err = vfs_mkdir(fs, part, mode);
		if (err == ERR_EXIST)
			err = OK;
	}
	mem_free(part);
	return err;
}

err_t vfs_remove_all(struct vfs *fs, const char *path)
{
	struct vfs_stat st;
	struct vfs_names names;
	err_t err = vfs_remove(fs, path); /* first, so that a link is removed and never followed */

	if (!err || err == ERR_NOT_EXIST)
		return OK;
	if (vfs_stat(fs, path, &st) || !st.is_dir)
		return err;
	err = vfs_list(fs, path, &names);
	if (err)
		return err;
	for (size_t i = 0; i < names.count && !err; i++) {
		char *below = mem_printf("%s/%s", path, names.at[i]);

		err = vfs_remove_all(fs, below);
		mem_free(below);
	}
	vfs_names_free(&names);
	return err ? err : vfs_remove(fs, path);
}

enum { GIVE_UP_BYTES = 2 << 20 };

/* Removes path unless somebody has it locked (ERR_LOCKED). Its blocks go in steps: given up all at once, 64 MB keep syncs of other
 * files in ext4's journal for 15 ms. */
static err_t remove_unlocked(struct vfs *fs, const char *path)
{
	struct vfs_stat st = {0};
	struct vfs_file *f;
	err_t err = vfs_open(fs, path, VFS_WRITE, 0, &f);

	if (err)
		return err;
	err = vfs_lock(f, VFS_LOCK_OFD);
	if (!err)
		err = vfs_stat(fs, path, &st);
	if (!err)
		err = vfs_remove(fs, path);
	while (!err && st.size_bytes > GIVE_UP_BYTES) {
		st.size_bytes -= GIVE_UP_BYTES;
		err_ignore(vfs_truncate(f, st.size_bytes)); /* closing does it as well */
	}
	vfs_close(f);
	return err;
}

static bool ends_with(const char *s, const char *end)
{
	size_t size = strlen(s), end_size = strlen(end);

	return size >= end_size && strcmp(s + size - end_size, end) == 0;
}

err_t vfs_purge(struct vfs *fs, const char *dir, const char *suffix, size_t keep, bool lock, size_t *purged)
{
	struct vfs_names names;
	size_t left = 0;
	err_t err;

	*purged = 0;
	if (keep == 0)
		return OK;
	err = vfs_list(fs, dir, &names);
	if (err)
		return err;
	for (size_t i = 0; i < names.count; i++)
		left += ends_with(names.at[i], suffix);
	for (size_t i = 0; !err && left > keep; i++) {
		char *path;

		if (!ends_with(names.at[i], suffix))
			continue;
		path = mem_printf("%s/%s", dir, names.at[i]);
		err = lock ? remove_unlocked(fs, path) : vfs_remove(fs, path);
		mem_free(path);
		left--;
		*purged += !err;
	}
	vfs_names_free(&names);
	return err == ERR_LOCKED ? OK : err;
}
