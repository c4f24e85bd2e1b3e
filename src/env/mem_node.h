/* A file or directory of the disk in memory: content, what of it is durable, and what a power loss leaves.
 *
 * I1  bytes at and behind data_end are zero; only those in front of it need memory.
 * I2  undo has one record for each 512-byte sector that differs, or may differ, from what is durable: its durable
 *     content. A record that is stuck stays when the file is synced.
 * I3  once mapped, content stays in the region, at one address, for the life of the node. */
#ifndef ENV_MEM_NODE_H
#define ENV_MEM_NODE_H

#include "base/list.h"
#include "base/rng.h"
#include "env/vfs.h"

#define MEM_SECTOR 512

enum mem_fate { MEM_FATE_NONE, MEM_FATE_KEPT, MEM_FATE_LOST, MEM_FATE_TORN };

struct mem_undo {
	uint64_t sector;
	bool stuck;             /* to be restored for certain: lost by a failed sync, or written after power loss */
	uint8_t before[MEM_SECTOR];
};

struct mem_name {
	char *name;
	struct mem_node *node;
};

struct mem_node {
	struct list link;       /* all nodes of the disk, in order of creation */
	uint32_t refs;          /* names, pending changes of names, open files */
	uint32_t mode;
	bool is_dir;
	VEC(struct mem_name) names;     /* directory: sorted bytewise */
	bool names_cut;                 /* directory: later changes of names are lost as well */
	uint8_t *data;
	uint64_t room_bytes;
	uint64_t size_bytes;
	uint64_t data_end;
	bool mapped;
	uint64_t region_bytes;  /* mapped: address space reserved; room_bytes of it are accessible */
	uint64_t durable_size;
	VEC(struct mem_undo) undo;
	uint32_t *slots;        /* hash: sector -> index in undo + 1 */
	size_t slot_count;      /* power of two, or 0 */
	enum mem_fate fate;
	uint64_t fate_size;
	uint32_t rot_per_mille;         /* at the power loss under way */
	const void *lock_owner[2];      /* by space: OFD, flock */
	uint32_t lock_shared;           /* flock only */
};

struct mem_node *mem_node_new(struct list *all, bool is_dir, uint32_t mode);
void mem_node_ref(struct mem_node *n);
void mem_node_unref(struct mem_node *n);        /* NULL allowed */

/* NULL if there is none. */
struct mem_node *mem_dir_get(const struct mem_node *dir, const char *name);
/* node NULL: takes the name away. */
void mem_dir_set(struct mem_node *dir, const char *name, struct mem_node *node);

void mem_file_read(const struct mem_node *n, uint64_t offset, void *out, size_t size, size_t *got);
/* rng: needed after power loss only. ERR_DISK_FULL: behind the mapped region. */
NODISCARD err_t mem_file_write(struct mem_node *n, struct rng *rng, uint64_t offset, const void *data, size_t size);
/* Bytes that nobody will read: another pattern, at once and for good. After power loss nothing. */
void mem_file_spoil(struct mem_node *n, uint64_t offset, uint64_t size);
NODISCARD err_t mem_file_resize(struct mem_node *n, struct rng *rng, uint64_t size);
void mem_file_sync(struct mem_node *n);
/* What the kernel does when a sync fails: some dirty sectors count as clean and are lost. */
void mem_file_sync_fails(struct mem_node *n, struct rng *rng);
NODISCARD err_t mem_file_map(struct mem_node *n, uint64_t reserve, const uint8_t **out, uint64_t *reserved);
/* Power goes: draws what will be left. Until mem_file_restart the content stays as programs see it. */
void mem_file_power_off(struct mem_node *n, struct rng *rng);
void mem_file_restart(struct mem_node *n, struct rng *rng);

#endif
