/* Snapshot files: <term>-<index>.snap (a raft snapshot with its checksum), and names and leftovers of databases
 * received from a leader (<index>.snap.db).
 *
 *	snap_save(fs, dir, &snapshot);  wal_save_snapshot(...);                 in this order
 *	snap_load(fs, dir, known, count, &notes, &snapshot);              newest one that the WAL knows
 *
 * No state; one caller a directory at a time (the wal actor, or the server before actors run). */
#ifndef SNAP_SNAP_H
#define SNAP_SNAP_H

#include "env/vfs.h"
#include "pb/raftpb.h"

#define SNAP_FILE_MAX ((size_t)256 << 20)
#define SNAP_NAME_SIZE 48

/* One call an event worth a log line ("renamed to a broken snap file", "found orphaned defragmentation file; deleting",
 * "found unexpected non-snap file; skipping", "found orphaned .snap.db file; deleting", …). May be NULL. */
struct snap_notes {
	void (*note)(void *arg, const char *event, const char *path);
	void *arg;
};

/* A place that the WAL has a snapshot record of. */
struct snap_pos {
	uint64_t index;
	uint64_t term;
};

/* Writes the file under its name, syncs it and the directory; removes it if that fails. Nothing for index 0. */
NODISCARD err_t snap_save(struct vfs *fs, const char *dir, const struct raft_snapshot *s);
/* One file. ERR_CORRUPT_FILE with Go's text in why: "snap: empty snapshot", "snap: crc mismatch", … */
NODISCARD err_t snap_read(struct vfs *fs, const char *path, struct why *why, struct raft_snapshot *out);
/* The newest readable one; with known not NULL, the newest of these places. Unreadable ones met on the way are renamed
 * to NAME.broken; db.tmp* files (cut-off defragmentations) are removed. ERR_NOT_EXIST: none ("snap: no available
 * snapshot"). */
NODISCARD err_t snap_load(struct vfs *fs, const char *dir, const struct snap_pos *known, size_t count,
			  const struct snap_notes *notes, struct raft_snapshot *out);
/* At start: removes tmp* (databases that were being received). */
NODISCARD err_t snap_clean(struct vfs *fs, const char *dir, const struct snap_notes *notes);

/* "%016x.snap.db", "%016x-%016x.snap". */
void snap_db_name(uint64_t index, char out[SNAP_NAME_SIZE]);
void snap_name(struct snap_pos pos, char out[SNAP_NAME_SIZE]);
/* Takes over a received and synced file in dir (its name begins with "tmp") as <index>.snap.db; drops it if that one is
 * there already. Syncs the directory. */
NODISCARD err_t snap_db_commit(struct vfs *fs, const char *dir, const char *tmp_name, uint64_t index);
bool snap_db_exists(struct vfs *fs, const char *dir, uint64_t index);
/* Removes every .snap.db of an index below. */
NODISCARD err_t snap_release_dbs(struct vfs *fs, const char *dir, uint64_t index, const struct snap_notes *notes);

/* Removes the oldest .snap, then .snap.db files, while more than keep of a kind remain. keep 0: nothing. */
NODISCARD err_t snap_purge(struct vfs *fs, const char *dir, size_t keep, size_t *purged);

#endif
