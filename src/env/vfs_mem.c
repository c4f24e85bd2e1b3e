/* The lying disk: its tree of names, faults and power loss. What a file holds is mem_node.c's.
 *
 * Every change of names is remembered, oldest first, until its directory is synced. Power loss draws, for each
 * directory, from which change on they are lost, and undoes those newest first: a journal that was cut. */
#include "env/mem_disk.h"

enum vfs_fault mem_disk_fault(struct vfs_mem *m)
{
	if (++m->calls != m->fault_at)
		return VFS_FAULT_NONE;
	m->fault_at = 0;
	return m->fault;
}

void mem_disk_power_off(struct vfs_mem *m)
{
	if (m->off)
		return;
	m->off = true;
	LIST_EACH (it, &m->nodes) {
		struct mem_node *n = CONTAINER_OF(it, struct mem_node, link);

		n->names_cut = false;
		mem_file_power_off(n, &m->rng);
	}
	LIST_EACH (it, &m->changes) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		c->dir[0]->names_cut |= rng_below(&m->rng, 2);
		c->lost = c->dir[0]->names_cut;
	}
}

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

struct mem_node *mem_disk_find(struct vfs_mem *m, const char *path)
{
	return walk(m, path, strlen(path));
}

struct mem_node *mem_disk_find_dir(struct vfs_mem *m, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	struct mem_node *dir = slash ? walk(m, path, (size_t)(slash - path)) : m->root;

	*name = slash ? slash + 1 : path;
	return dir && dir->is_dir && **name && strlen(*name) < 256 ? dir : NULL;
}

void mem_disk_change_free(struct name_change *c)
{
	for (size_t i = 0; i < c->count; i++) {
		mem_node_unref(c->dir[i]);
		mem_free(c->name[i]);
		mem_node_unref(c->before[i]);
	}
	list_remove(&c->link);
	mem_free(c);
}

struct name_change *mem_disk_change(struct vfs_mem *m)
{
	struct name_change *c = NEW(struct name_change);

	c->lost = m->off;
	list_push_back(&m->changes, &c->link);
	return c;
}

void mem_disk_change_add(struct name_change *c, struct mem_node *dir, const char *name, struct mem_node *after)
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

struct vfs_mem *vfs_mem_new(uint64_t seed)
{
	struct vfs_mem *m = NEW(struct vfs_mem);

	m->fs.ops = &mem_disk_ops;
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
	LIST_EACH_SAFE (it, &m->changes)
		mem_disk_change_free(CONTAINER_OF(it, struct name_change, link));
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

void vfs_mem_set_rot(struct vfs_mem *m, uint32_t per_mille, const char *dir)
{
	m->rot_per_mille = per_mille;
	m->rot_dir = dir;
}

static void rot_mark(struct vfs_mem *m)
{
	struct mem_node *dir = m->rot_per_mille ? mem_disk_find(m, m->rot_dir) : NULL;

	for (size_t i = 0; dir && dir->is_dir && i < dir->names.count; i++)
		dir->names.at[i].node->rot_per_mille = m->rot_per_mille;
}

void vfs_mem_crash(struct vfs_mem *m)
{
	mem_disk_power_off(m);
	rot_mark(m);
	for (struct list *it = m->changes.prev, *before = it->prev; it != &m->changes; it = before, before = it->prev) {
		struct name_change *c = CONTAINER_OF(it, struct name_change, link);

		for (size_t i = c->count; c->lost && i-- > 0;)
			mem_dir_set(c->dir[i], c->name[i], c->before[i]);
		mem_disk_change_free(c);
	}
	LIST_EACH (it, &m->nodes)
		mem_file_restart(CONTAINER_OF(it, struct mem_node, link), &m->rng);
	m->off = false;
	vfs_mem_kill(m);
}

void vfs_mem_kill(struct vfs_mem *m)
{
	ASSERT(!m->off);
	LIST_EACH (it, &m->nodes) {
		struct mem_node *n = CONTAINER_OF(it, struct mem_node, link);

		n->lock_owner[0] = n->lock_owner[1] = NULL;
		n->lock_shared = 0;
	}
	m->waiting = NULL;
	m->waiting_last = &m->waiting;
	m->life++;
}

bool vfs_mem_waiting(const struct vfs_mem *m)
{
	return m->waiting != NULL;
}
