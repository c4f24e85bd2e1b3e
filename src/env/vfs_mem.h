/* A lying disk in memory, deterministic from its seed: the VFS of unit tests and of the simulator.
 *
 * A write is visible at once and durable only after sync of the file (its name: after sync_dir of the
 * directory). vfs_mem_crash throws away what was not durable, in the way the plan says: lost whole, kept
 * whole, or torn at 512-byte sectors, drawn from the seed. Then the same disk can be opened again.
 * Faults: every call that changes or syncs is counted; at a chosen count it fails, or the power goes. One thread. */
#ifndef ENV_VFS_MEM_H
#define ENV_VFS_MEM_H

#include "env/vfs.h"

struct vfs_mem;

enum vfs_fault {
	VFS_FAULT_NONE,
	VFS_FAULT_EIO,          /* nothing written */
	VFS_FAULT_ENOSPC,
	VFS_FAULT_SHORT,        /* half of a write arrives, in whole sectors, then ERR_IO; for other calls like EIO */
	VFS_FAULT_TORN,         /* a random subset of sectors arrives, then ERR_IO */
	VFS_FAULT_CRASH,        /* power goes during the call (a write may be on disk in part, a sync did nothing); all later
				 * calls report success, are visible, and change nothing durable */
};

/* With an empty root directory "/". */
struct vfs_mem *vfs_mem_new(uint64_t seed);
void vfs_mem_free(struct vfs_mem *m);           /* after its files were closed */
struct vfs *vfs_mem_vfs(struct vfs_mem *m);
/* The n-th changing call from now (1 = the next one) meets the fault, once; n = 0: none. */
void vfs_mem_fault(struct vfs_mem *m, uint64_t n, enum vfs_fault fault);
/* Changing calls so far: pwrite, sync, truncate, allocate, rename, remove, mkdir, create, sync_dir, start (once for its
 * write, once more for its sync when that begins). */
uint64_t vfs_mem_calls(const struct vfs_mem *m);
bool vfs_mem_crashed(const struct vfs_mem *m);
/* Power loss, unless it is gone already, and restart: open files are dead (their calls do nothing and report
 * success, they must still be closed), locks are free, asynchronous calls under way are forgotten (done is not
 * called). Of what was not durable each file keeps all, nothing, or some sectors; of the changes of names in a
 * directory those up to a point in time survive. After a failed sync a later successful one does not bring
 * back what was lost then. */
void vfs_mem_crash(struct vfs_mem *m);
/* At a power loss, of the sectors that were written and not synced to files of this directory, and not lost, so many per mille hold bytes
 * that nobody wrote. dir: borrowed. */
void vfs_mem_set_rot(struct vfs_mem *m, uint32_t per_mille, const char *dir);
/* The process ends and the machine goes on: as after a crash files are dead, locks free and asynchronous calls forgotten, but
 * everything written stays visible, durable or not. */
void vfs_mem_kill(struct vfs_mem *m);
/* An asynchronous call waits for vfs_mem_finish_one. */
bool vfs_mem_waiting(const struct vfs_mem *m);
/* Asynchronous calls end when this is called, one a call, oldest first; false: none is waiting. With
 * auto_done (the default) they end inside vfs_start. */
bool vfs_mem_finish_one(struct vfs_mem *m);
void vfs_mem_set_auto_done(struct vfs_mem *m, bool on);

#endif
