/* The lying disk: the tree of names, faults and power loss. What a file holds is mem_node.c's.
 *
 * Every change of names is remembered, oldest first, until its directory is synced. Power loss draws, for each
 * directory, from which change on they are lost, and undoes those newest first: a journal that was cut. */
#include "env/vfs_mem.h"

#include "env/mem_node.h"

/* A change of one name or, by a rename, of two at once. */
struct name_change {
	struct list link;
	size_t count;
	struct mem_node *dir[2];
	char *name[2];
	struct mem_node *before[2];
	bool lost;
};

struct vfs_mem {
	struct vfs fs;
	struct rng rng;
	struct mem_node *root;
	struct list nodes;
	struct list changes;
	uint64_t calls;
	uint64_t fault_at;      /* 0: none */
	enum vfs_fault fault;
	bool off;               /* power is gone */
	uint32_t life;          /* counts restarts */
	bool auto_done;
	struct vfs_io *waiting;
	struct vfs_io **waiting_last;
};

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

static struct vfs_mem *mem_of(struct vfs *fs)
{
	return CONTAINER_OF(fs, struct vfs_mem, fs);
}

/* Counts a changing call and says which fault it meets. */
static enum vfs_fault fault_next(struct vfs_mem *m)
{
	if (++m->calls != m->fault_at)
		return VFS_FAULT_NONE;
	m->fault_at = 0;
	return m->fault;
}

static err_t fault_err(enum vfs_fault fault)
{
	return fault == VFS_FAULT_ENOSPC ? ERR_DISK_FULL : ERR_IO;
}

static bool fault_fails(enum vfs_fault fault)
{
	return fault != VFS_FAULT_NONE && fault != VFS_FAULT_CRASH;
}

static void power_off(struct vfs_mem *m)
{
	if (m->off)
		return;
	m->off = true;
	LIST_EACH(it, &m->nodes) {
		struct mem_node *n = CONTAINER_OF(it, struct mem_node, link);

		n->names_cut = false;
		mem_file_power_off(n, &m->rng);
	}
	LIST_EACH(it, &m->changes) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		c->dir[0]->names_cut |= rng_below(&m->rng, 2);
		c->lost = c->dir[0]->names_cut;
	}
}

/* Paths: "/a/b", "a/b" and "/a//b" are the same; no "..". */
static struct mem_node *walk(struct vfs_mem *m, const char *path, size_t size)
{
	struct mem_node *n = m->root;

	for (size_t at = 0; at < size && n;) {
		size_t end = at;
		char name[256];

		while (end < size && path[end] != '/')
			end++;
		if (end > at) {
			if (end - at >= sizeof(name) || !n->is_dir)
				return NULL;
			memcpy(name, path + at, end - at);
			name[end - at] = '\0';
			n = mem_dir_get(n, name);
		}
		at = end + 1;
	}
	return n;
}

static struct mem_node *find(struct vfs_mem *m, const char *path)
{
	return walk(m, path, strlen(path));
}

/* The directory that holds path, and the last name in it. */
static struct mem_node *find_dir(struct vfs_mem *m, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	struct mem_node *dir = slash ? walk(m, path, (size_t)(slash - path)) : m->root;

	*name = slash ? slash + 1 : path;
	return dir && dir->is_dir && **name && strlen(*name) < 256 ? dir : NULL;
}

static void change_free(struct name_change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		mem_node_unref(c->dir[i]);
		mem_free(c->name[i]);
		mem_node_unref(c->before[i]);
	}
	list_remove(&c->link);
	mem_free(c);
}

static struct name_change *change_new(struct vfs_mem *m)
{
	struct name_change *c = NEW(struct name_change);

	c->lost = m->off;
	list_push_back(&m->changes, &c->link);
	return c;
}

static void change_add(struct name_change *c, struct mem_node *dir, const char *name, struct mem_node *after)
{
	struct mem_node *before = mem_dir_get(dir, name);
	size_t i = c->count++;

	mem_node_ref(dir);
	if (before)
		mem_node_ref(before);
	c->dir[i] = dir;
	c->name[i] = mem_strdup(name);
	c->before[i] = before;
	mem_dir_set(dir, name, after);
}

static struct mem_node *create(struct vfs_mem *m, struct mem_node *dir, const char *name, bool is_dir, uint32_t mode)
{
	struct mem_node *n = mem_node_new(&m->nodes, is_dir, mode);

	if (m->off)
		mem_file_power_off(n, &m->rng);
	change_add(change_new(m), dir, name, n);
	mem_node_unref(n);
	return n;
}

static err_t mem_open(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out)
{
	struct vfs_mem *m = mem_of(fs);
	const char *name;
	struct mem_node *n = find(m, path);
	struct mem_node *dir = find_dir(m, path, &name);
	struct mem_file *f;

	if (n && (flags & VFS_CREATE) && (flags & VFS_EXCLUSIVE))
		return ERR_EXIST;
	if (!n && (!(flags & VFS_CREATE) || !dir))
		return ERR_NOT_EXIST;
	if (n && n->is_dir)
		return ERR_IO;
	if (!n || (flags & VFS_TRUNCATE)) {
		enum vfs_fault fault = fault_next(m);

		if (fault_fails(fault))
			return fault_err(fault);
		if (!n)
			n = create(m, dir, name, false, mode);
		else if (mem_file_resize(n, &m->rng, 0))
			return ERR_IO;
		if (fault == VFS_FAULT_CRASH)
			power_off(m);
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

static err_t write_faulty(struct mem_file *f, enum vfs_fault fault, uint64_t offset, const uint8_t *data, size_t size)
{
	struct rng *rng = &f->m->rng;
	err_t err = OK;

	if (!fault_fails(fault)) {
		err = mem_file_write(f->node, rng, offset, data, size);
		if (fault == VFS_FAULT_CRASH)
			power_off(f->m);
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
	return write_faulty(f, fault_next(f->m), offset, data, size);
}

static err_t sync_faulty(struct mem_file *f, enum vfs_fault fault)
{
	if (fault_fails(fault)) {
		mem_file_sync_fails(f->node, &f->m->rng);
		return fault_err(fault);
	}
	if (fault == VFS_FAULT_CRASH)
		power_off(f->m);
	mem_file_sync(f->node);
	return OK;
}

static err_t mem_sync(struct vfs_file *file)
{
	struct mem_file *f = file_of(file);

	return dead(f) ? OK : sync_faulty(f, fault_next(f->m));
}

/* The device has a cache of its own, lost with the power: flushed is no more durable than written. */
static err_t mem_flush(struct vfs_file *file, uint64_t offset, uint64_t size)
{
	return OK;
}

static err_t resize(struct mem_file *f, uint64_t size)
{
	enum vfs_fault fault = fault_next(f->m);
	err_t err;

	ASSERT(f->writable);
	if (fault_fails(fault))
		return fault_err(fault);
	err = mem_file_resize(f->node, &f->m->rng, size);
	if (fault == VFS_FAULT_CRASH)
		power_off(f->m);
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
		enum vfs_fault fault = fault_next(m);

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
	if (!io->err && io->sync && !dead(file_of(io->file)))
		mem_file_sync(file_of(io->file)->node);
	io->done(io);
	return true;
}

static err_t mem_rename(struct vfs *fs, const char *from, const char *to)
{
	struct vfs_mem *m = mem_of(fs);
	const char *from_name, *to_name;
	struct mem_node *n = find(m, from), *over = find(m, to);
	struct mem_node *from_dir = find_dir(m, from, &from_name), *to_dir = find_dir(m, to, &to_name);
	struct name_change *c;
	enum vfs_fault fault;

	if (!n || !from_dir || !to_dir)
		return ERR_NOT_EXIST;
	if (over && (over->is_dir != n->is_dir || over->names.count))
		return ERR_IO;
	fault = fault_next(m);
	if (fault_fails(fault))
		return fault_err(fault);
	if (over == n)
		return OK;
	c = change_new(m);
	change_add(c, to_dir, to_name, n);
	change_add(c, from_dir, from_name, NULL);
	if (fault == VFS_FAULT_CRASH)
		power_off(m);
	return OK;
}

static err_t mem_remove(struct vfs *fs, const char *path)
{
	struct vfs_mem *m = mem_of(fs);
	const char *name;
	struct mem_node *n = find(m, path), *dir = find_dir(m, path, &name);
	enum vfs_fault fault;

	if (!n || !dir)
		return ERR_NOT_EXIST;
	if (n->names.count)
		return ERR_IO;
	fault = fault_next(m);
	if (fault_fails(fault))
		return fault_err(fault);
	change_add(change_new(m), dir, name, NULL);
	if (fault == VFS_FAULT_CRASH)
		power_off(m);
	return OK;
}

static err_t mem_mkdir(struct vfs *fs, const char *path, uint32_t mode)
{
	struct vfs_mem *m = mem_of(fs);
	const char *name;
	struct mem_node *dir = find_dir(m, path, &name);
	enum vfs_fault fault;

	if (find(m, path))
		return ERR_EXIST;
	if (!dir)
		return ERR_NOT_EXIST;
	fault = fault_next(m);
	if (fault_fails(fault))
		return fault_err(fault);
	create(m, dir, name, true, mode);
	if (fault == VFS_FAULT_CRASH)
		power_off(m);
	return OK;
}

static err_t mem_list(struct vfs *fs, const char *path, struct vfs_names *out)
{
	struct mem_node *dir = find(mem_of(fs), path);

	if (!dir || !dir->is_dir)
		return dir ? ERR_IO : ERR_NOT_EXIST;
	*out = (struct vfs_names){NEW_ARRAY(char *, MAX(dir->names.count, 1u)), dir->names.count};
	for (size_t i = 0; i < dir->names.count; i++)
		out->at[i] = mem_strdup(dir->names.at[i].name);
	return OK;
}

static err_t mem_stat(struct vfs *fs, const char *path, struct vfs_stat *out)
{
	struct mem_node *n = find(mem_of(fs), path);

	if (!n)
		return ERR_NOT_EXIST;
	*out = (struct vfs_stat){n->size_bytes, n->mode, n->is_dir};
	return OK;
}

static err_t mem_sync_dir(struct vfs *fs, const char *path)
{
	struct vfs_mem *m = mem_of(fs);
	struct mem_node *dir = find(m, path);
	enum vfs_fault fault;

	if (!dir || !dir->is_dir)
		return ERR_NOT_EXIST;
	fault = fault_next(m);
	if (fault_fails(fault))
		return fault_err(fault);
	if (fault == VFS_FAULT_CRASH)
		power_off(m);
	if (m->off)
		return OK;
	LIST_EACH_SAFE(it, &m->changes) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		if (c->dir[0] == dir)
			change_free(c);
	}
	return OK;
}

static const struct vfs_ops mem_ops = {
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
	.start = mem_start,
	.rename = mem_rename,
	.remove = mem_remove,
	.mkdir = mem_mkdir,
	.list = mem_list,
	.stat = mem_stat,
	.sync_dir = mem_sync_dir,
};

struct vfs_mem *vfs_mem_new(uint64_t seed)
{
	struct vfs_mem *m = NEW(struct vfs_mem);

	m->fs.ops = &mem_ops;
	m->auto_done = true;
	m->waiting_last = &m->waiting;
	rng_init(&m->rng, seed);
	list_init(&m->nodes);
	list_init(&m->changes);
	m->root = mem_node_new(&m->nodes, true, 0755);
	return m;
}

void vfs_mem_free(struct vfs_mem *m)
{
	LIST_EACH_SAFE(it, &m->changes)
		change_free(CONTAINER_OF(it, struct name_change, link));
	mem_node_unref(m->root);
	ASSERT(list_empty(&m->nodes));
	mem_free(m);
}

struct vfs *vfs_mem_vfs(struct vfs_mem *m)
{
	return &m->fs;
}

void vfs_mem_fault(struct vfs_mem *m, uint64_t n, enum vfs_fault fault)
{
	m->fault_at = n ? m->calls + n : 0;
	m->fault = fault;
}

uint64_t vfs_mem_calls(const struct vfs_mem *m)
{
	return m->calls;
}

bool vfs_mem_crashed(const struct vfs_mem *m)
{
	return m->off;
}

void vfs_mem_set_auto_done(struct vfs_mem *m, bool on)
{
	m->auto_done = on;
}

void vfs_mem_crash(struct vfs_mem *m)
{
	power_off(m);
	for (struct list *it = m->changes.prev, *before = it->prev; it != &m->changes; it = before, before = it->prev) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		for (size_t i = c->count; c->lost && i-- > 0;)
			mem_dir_set(c->dir[i], c->name[i], c->before[i]);
		change_free(c);
	}
	LIST_EACH(it, &m->nodes)
		mem_file_restart(CONTAINER_OF(it, struct mem_node, link), &m->rng);
	m->waiting = NULL;
	m->waiting_last = &m->waiting;
	m->life++;
	m->off = false;
}
