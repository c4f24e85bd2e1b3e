/* Keeps background writes (backend commits, page moves, received snapshots) out of the way of the log's syncs.
 *
 *	pacer_sync_begin(p);  ... the log writes and syncs ...  pacer_sync_end(p, sync_ns);
 *	pacer_write(p, file, offset, data, size);               instead of vfs_pwrite, in the background
 *	pacer_sync(p, file);                                    instead of vfs_sync, there
 *	pacer_yield(p);                                         there, in loops, every 50 us of computing or so
 *
 * Background bytes go in slices of at most PACER_SLICE_BYTES. A slice starts when no log sync runs, and is handed to
 * the device and waited for, so that neither the page cache nor the device's queue ever holds a burst that the next log
 * sync would have to wait behind. While the log is in use a pause as long as its syncs take lies between slices.
 * A sync that hangs holds the background up for PACER_WAIT_MS_MAX a slice, no longer. When what waits for the background
 * is worse than a slow log sync (write buffers run full, the process wants to end), it is told to hurry.
 * Any thread. In the simulator, where nothing may wait, p is NULL: then pacer_write is vfs_pwrite. */
#ifndef ENV_PACER_H
#define ENV_PACER_H

#include "env/vfs.h"

#define PACER_SLICE_BYTES ((size_t)64 << 10)
#define PACER_WAIT_MS_MAX 20

struct pacer;

struct pacer *pacer_new(void);
void pacer_free(struct pacer *p);                       /* NULL allowed */
void pacer_sync_begin(struct pacer *p);                 /* NULL allowed */
void pacer_sync_end(struct pacer *p, uint64_t sync_ns); /* NULL allowed */
/* While on, nothing waits or is cut into slices. NULL allowed. */
void pacer_hurry(struct pacer *p, bool on);
/* Waits for a moment without a log sync. */
NODISCARD err_t pacer_sync(struct pacer *p, struct vfs_file *f);
/* Lets a thread that waits for this CPU go first: the kernel may else let this one run for 3 ms before one that was just woken. */
void pacer_yield(struct pacer *p); /* NULL allowed */
NODISCARD err_t pacer_write(struct pacer *p, struct vfs_file *f, uint64_t offset, const void *data, size_t size);

#endif
