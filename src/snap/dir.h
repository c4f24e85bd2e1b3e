/* What lies in a snapshot directory, and what has no business there. */
#ifndef SNAP_DIR_H
#define SNAP_DIR_H

#include "snap/snap.h"

/* Names of .snap files, sorted. Removes db.tmp* on the way, notes what it does not know. */
NODISCARD err_t snap_dir_list(struct vfs *fs, const char *dir, const struct snap_notes *notes, struct vfs_names *out);
void snap_note(const struct snap_notes *notes, const char *event, const char *path);

#endif
