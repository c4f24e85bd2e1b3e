/* The calls of the vfs table on the disk in memory. Each changing one asks first which fault it meets. After a restart
 * the files of the life before are dead: their calls do nothing. */
#include "env/mem_disk.h"

struct mem_file {
	struct vfs_file file;
	struct vfs_mem *m;
	struct mem_node *node;
	uint32_t life;
	bool writable;
	bool shared_lock;
};

static struct mem_file *file_of(struct vfs_file *f)
{
	return CONTAINER_OF(f, struct mem_file, file);
}

static bool dead(const struct mem_file *f)
{
	return f->life != f->m->life;
}

static err_t fault_err(enum vfs_fault fault)
{
	return fault == VFS_FAULT_ENOSPC ? ERR_DISK_FULL : ERR_IO;
}

static bool fault_fails(enum vfs_fault fault)
{
	return fault != VFS_FAULT_NONE && fault != VFS_FAULT_CRASH;
}

static struct mem_node *create(struct vfs_mem *m, struct mem_node *dir, const char *name, bool is_dir, uint32_t mode)
{
	struct mem_node *n = mem_node_new(&m->nodes, is_dir, mode);

	if (m->off)
		mem_file_power_off(n, &m->rng);
	mem_disk_change_add(mem_disk_change(m), dir, name, n);
	mem_node_unref(n);
	return n;
}

static err_t mem_open(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out)
{
	struct vfs_mem *m = mem_disk_of(fs);
	const char *name;
	struct mem_node *n = mem_disk_find(m, path);
	struct mem_node *dir = mem_disk_find_dir(m, path, &name);
	struct mem_file *f;

	if (n && (flags & VFS_CREATE) && (flags & VFS_EXCLUSIVE))
		return ERR_EXIST;
	if (!n && (!(flags & VFS_CREATE) || !dir))
		return ERR_NOT_EXIST;
	if (n && n->is_dir)
		return ERR_IO;
	if (!n || (flags & VFS_TRUNCATE)) {
		enum vfs_fault fault = mem_disk_fault(m);

		if (fault_fails(fault))
			return fault_err(fault);
		if (!n)
			n = create(m, dir, name, false, mode);
		else if (mem_file_resize(n, &m->rng, 0))
			return ERR_IO;
		if (fault == VFS_FAULT_CRASH)
			mem_disk_power_off(m);
	}
	f = NEW(struct mem_file);
	*f = (struct mem_file){{fs}, m, n, m->life, flags & VFS_WRITE, false};
	mem_node_ref(n);
	*out = &f->file;
	return OK;
}

static void mem_close(struct vfs_file *file)
{
	struct mem_file *f = file_of(file);

	if (!dead(f)) {
		for (int i = 0; i < 2; i++)
			if (f->node->lock_owner[i] == f)
				f->node->lock_owner[i] = NULL;
		f->node->lock_shared -= f->shared_lock;
	}
	mem_node_unref(f->node);
	mem_free(f);
}

static err_t mem_pread(struct vfs_file *file, uint64_t offset, void *out, size_t size, size_t *got)
{
	struct mem_file *f = file_of(file);

	if (dead(f))
		*got = 0;
	else
		mem_file_read(f->node, offset, out, size, got);
	return OK;
}

static void mem_forget(struct vfs_file *file, uint64_t offset, uint64_t size)
{
	struct mem_file *f = file_of(file);

	if (!dead(f))
		mem_file_spoil(f->node, offset, size);
}

static err_t write_faulty(struct mem_file *f, enum vfs_fault fault, uint64_t offset, const uint8_t *data, size_t size)
{
	struct rng *rng = &f->m->rng;
	err_t err = OK;

	if (!fault_fails(fault)) {
		err = mem_file_write(f->node, rng, offset, data, size);
		if (fault == VFS_FAULT_CRASH)
			mem_disk_power_off(f->m);
		return err;
	}
	if (fault == VFS_FAULT_SHORT) {
		uint64_t end = (offset + size / 2) / MEM_SECTOR * MEM_SECTOR;

		if (end > offset)
			err = mem_file_write(f->node, rng, offset, data, (size_t)(end - offset));
	}
	for (size_t at = 0; fault == VFS_FAULT_TORN && !err && at < size;) {
		size_t part = MIN(size - at, (size_t)(MEM_SECTOR - (offset + at) % MEM_SECTOR));

		if (rng_below(rng, 2))
			err = mem_file_write(f->node, rng, offset + at, data + at, part);
		at += part;
	}
	return err ? err : fault_err(fault);
}

static err_t mem_pwrite(struct vfs_file *file, uint64_t offset, const void *data, size_t size)
{
	struct mem_file *f = file_of(file);

	if (dead(f))
		return OK;
	ASSERT(f->writable);
	return write_faulty(f, mem_disk_fault(f->m), offset, data, size);
}

static err_t sync_faulty(struct mem_file *f, enum vfs_fault fault)
{
	if (fault_fails(fault)) {
		mem_file_sync_fails(f->node, &f->m->rng);
		return fault_err(fault);
	}
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(f->m);
	mem_file_sync(f->node);
	return OK;
}

static err_t mem_sync(struct vfs_file *file)
{
	struct mem_file *f = file_of(file);

	return dead(f) ? OK : sync_faulty(f, mem_disk_fault(f->m));
}

/* The device has a cache of its own, lost with the power: flushed is no more durable than written. */
static err_t mem_flush(struct vfs_file *file, uint64_t offset, uint64_t size)
{
	return OK;
}

static err_t resize(struct mem_file *f, uint64_t size)
{
	enum vfs_fault fault = mem_disk_fault(f->m);
	err_t err;

	ASSERT(f->writable);
	if (fault_fails(fault))
		return fault_err(fault);
	err = mem_file_resize(f->node, &f->m->rng, size);
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(f->m);
	return err;
}

static err_t mem_truncate(struct vfs_file *file, uint64_t size)
{
	struct mem_file *f = file_of(file);

	return dead(f) ? OK : resize(f, size);
}

static err_t mem_allocate(struct vfs_file *file, uint64_t size)
{
	struct mem_file *f = file_of(file);

	return dead(f) ? OK : resize(f, MAX(size, f->node->size_bytes));
}

static err_t mem_size(struct vfs_file *file, uint64_t *out)
{
	struct mem_file *f = file_of(file);

	*out = dead(f) ? 0 : f->node->size_bytes;
	return OK;
}

static err_t mem_lock(struct vfs_file *file, enum vfs_lock_kind kind)
{
	struct mem_file *f = file_of(file);
	const void **owner = &f->node->lock_owner[kind == VFS_LOCK_OFD ? 0 : 1];

	if (dead(f))
		return OK;
	if (*owner && *owner != f)
		return ERR_LOCKED;
	if (kind == VFS_LOCK_FLOCK_SHARED) {
		f->node->lock_shared += !f->shared_lock;
		f->shared_lock = true;
		*owner = NULL;
		return OK;
	}
	if (kind == VFS_LOCK_FLOCK && f->node->lock_shared > f->shared_lock)
		return ERR_LOCKED;
	if (kind == VFS_LOCK_FLOCK) {
		f->node->lock_shared -= f->shared_lock;
		f->shared_lock = false;
	}
	*owner = f;
	return OK;
}

static err_t mem_map(struct vfs_file *file, uint64_t reserve, const uint8_t **out, uint64_t *reserved)
{
	return mem_file_map(file_of(file)->node, reserve, out, reserved);
}

static void mem_unmap(struct vfs_file *file, const uint8_t *map, uint64_t reserved)
{
}

static void mem_start(struct vfs_io *io)
{
	struct mem_file *f = file_of(io->file);
	struct vfs_mem *m = f->m;

	io->err = OK;
	io->sync_ns = 0;
	io->next = NULL;
	if (!dead(f)) {
		enum vfs_fault fault = mem_disk_fault(m);

		io->err = write_faulty(f, fault, io->offset, io->data.data, io->data.size);
	}
	*m->waiting_last = io;
	m->waiting_last = &io->next;
	if (m->auto_done)
		while (vfs_mem_finish_one(m))
			;
}

bool vfs_mem_finish_one(struct vfs_mem *m)
{
	struct vfs_io *io = m->waiting;

	if (!io)
		return false;
	m->waiting = io->next;
	if (!m->waiting)
		m->waiting_last = &m->waiting;
	if (!io->err && io->sync)
		io->err = mem_sync(io->file);
	io->done(io);
	return true;
}

static err_t mem_rename(struct vfs *fs, const char *from, const char *to)
{
	struct vfs_mem *m = mem_disk_of(fs);
	const char *from_name, *to_name;
	struct mem_node *n = mem_disk_find(m, from), *over = mem_disk_find(m, to);
	struct mem_node *from_dir = mem_disk_find_dir(m, from, &from_name),
			*to_dir = mem_disk_find_dir(m, to, &to_name);
	struct name_change *c;
	enum vfs_fault fault;

	if (!n || !from_dir || !to_dir)
		return ERR_NOT_EXIST;
	if (over && (over->is_dir != n->is_dir || over->names.count))
		return ERR_IO;
	fault = mem_disk_fault(m);
	if (fault_fails(fault))
		return fault_err(fault);
	if (over == n)
		return OK;
	c = mem_disk_change(m);
	mem_disk_change_add(c, to_dir, to_name, n);
	mem_disk_change_add(c, from_dir, from_name, NULL);
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(m);
	return OK;
}

static err_t mem_remove(struct vfs *fs, const char *path)
{
	struct vfs_mem *m = mem_disk_of(fs);
	const char *name;
	struct mem_node *n = mem_disk_find(m, path), *dir = mem_disk_find_dir(m, path, &name);
	enum vfs_fault fault;

	if (!n || !dir)
		return ERR_NOT_EXIST;
	if (n->names.count)
		return ERR_IO;
	fault = mem_disk_fault(m);
	if (fault_fails(fault))
		return fault_err(fault);
	mem_disk_change_add(mem_disk_change(m), dir, name, NULL);
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(m);
	return OK;
}

static err_t mem_mkdir(struct vfs *fs, const char *path, uint32_t mode)
{
	struct vfs_mem *m = mem_disk_of(fs);
	const char *name;
	struct mem_node *dir = mem_disk_find_dir(m, path, &name);
	enum vfs_fault fault;

	if (mem_disk_find(m, path))
		return ERR_EXIST;
	if (!dir)
		return ERR_NOT_EXIST;
	fault = mem_disk_fault(m);
	if (fault_fails(fault))
		return fault_err(fault);
	create(m, dir, name, true, mode);
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(m);
	return OK;
}

static err_t mem_list(struct vfs *fs, const char *path, struct vfs_names *out)
{
	struct mem_node *dir = mem_disk_find(mem_disk_of(fs), path);

	if (!dir || !dir->is_dir)
		return dir ? ERR_IO : ERR_NOT_EXIST;
	*out = (struct vfs_names){NEW_ARRAY(char *, MAX(dir->names.count, 1u)), dir->names.count};
	for (size_t i = 0; i < dir->names.count; i++)
		out->at[i] = mem_strdup(dir->names.at[i].name);
	return OK;
}

static err_t mem_stat(struct vfs *fs, const char *path, struct vfs_stat *out)
{
	struct mem_node *n = mem_disk_find(mem_disk_of(fs), path);

	if (!n)
		return ERR_NOT_EXIST;
	*out = (struct vfs_stat){n->size_bytes, n->mode, n->is_dir};
	return OK;
}

static err_t mem_sync_dir(struct vfs *fs, const char *path)
{
	struct vfs_mem *m = mem_disk_of(fs);
	struct mem_node *dir = mem_disk_find(m, path);
	enum vfs_fault fault;

	if (!dir || !dir->is_dir)
		return ERR_NOT_EXIST;
	fault = mem_disk_fault(m);
	if (fault_fails(fault))
		return fault_err(fault);
	if (fault == VFS_FAULT_CRASH)
		mem_disk_power_off(m);
	if (m->off)
		return OK;
	LIST_EACH_SAFE (it, &m->changes) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		if (c->dir[0] == dir)
			mem_disk_change_free(c);
	}
	return OK;
}

const struct vfs_ops mem_disk_ops = {
	.open = mem_open,
	.close = mem_close,
	.pread = mem_pread,
	.pwrite = mem_pwrite,
	.sync = mem_sync,
	.flush = mem_flush,
	.truncate = mem_truncate,
	.allocate = mem_allocate,
	.size = mem_size,
	.lock = mem_lock,
	.map = mem_map,
	.unmap = mem_unmap,
	.forget = mem_forget,
	.start = mem_start,
	.rename = mem_rename,
	.remove = mem_remove,
	.mkdir = mem_mkdir,
	.list = mem_list,
	.stat = mem_stat,
	.sync_dir = mem_sync_dir,
};
