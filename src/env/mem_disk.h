/* The state behind the disk in memory: the tree of names, the count of calls, the power. vfs_mem.c keeps it, the calls
 * of the vfs table in vfs_mem_ops.c work on it. */
#ifndef ENV_MEM_DISK_H
#define ENV_MEM_DISK_H

#include "env/mem_node.h"
#include "env/vfs_mem.h"

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
	uint32_t rot_per_mille;
	const char *rot_dir;
	bool auto_done;
	struct vfs_io *waiting;
	struct vfs_io **waiting_last;
};

extern const struct vfs_ops mem_disk_ops;

/* Counts a changing call and says which fault it meets. */
enum vfs_fault mem_disk_fault(struct vfs_mem *m);
/* Draws what will be left. Once; nothing becomes durable after it. */
void mem_disk_power_off(struct vfs_mem *m);
/* Paths: "/a/b", "a/b" and "/a//b" are the same; no "..". NULL: not there. */
struct mem_node *mem_disk_find(struct vfs_mem *m, const char *path);
/* The directory that holds path, and the last name in it. */
struct mem_node *mem_disk_find_dir(struct vfs_mem *m, const char *path, const char **name);
/* Changes of names: at once visible, remembered till dir of the first name is synced. */
struct name_change *mem_disk_change(struct vfs_mem *m);
void mem_disk_change_add(struct name_change *c, struct mem_node *dir, const char *name, struct mem_node *after);
void mem_disk_change_free(struct name_change *c);

static inline struct vfs_mem *mem_disk_of(struct vfs *fs)
{
	return CONTAINER_OF(fs, struct vfs_mem, fs);
}

#endif
