/* The write-ahead log: a directory of segment files in etcd v3.7's format, byte for byte (records: wal/record.h).
 *
 *	wal_valid_snapshots(fs, dir, &why, &marks);                     where to start: the last one
 *	wal_open(fs, dir, pos, &options, &why, &content, &w);           reads all behind it, repairs a torn tail once
 *	must_sync = wal_save(w, &hard_state, entries, count);           only encodes
 *	wal_sync_start(w, done, arg);  ... done(arg) ...  wal_sync_end(w, &why);        durable now
 *	wal_release(w, index);  wal_close(w);
 *
 * Durability: what was saved before wal_sync_start is durable when wal_sync_end returned OK; one flight at a time,
 * wal_save may go on meanwhile and goes into the next one (group commit). wal_sync is both in one, blocking.
 * An error of sync, start or end is for FATAL: the log refuses everything afterwards.
 * Thread: the wal actor only (done: any thread, it posts a message and returns); wal_exists, wal_valid_snapshots,
 * wal_read and wal_purge hold no state.
 * Locks: each file of an open log has an OFD lock until it is released or the log closed.
 * Limits: WAL_BUFFER_MAX bytes saved and not yet written; the caller bounds what it saves (wal_buffered_bytes).
 * Errors: ERR_CORRUPT_TAIL an unexpected end that repair can cut off, ERR_CORRUPT_FILE any other damage (the line in
 * why has Go's text), ERR_LOCKED, ERR_NOT_EXIST, ERR_EXIST, ERR_DISK_FULL, ERR_PERMISSION, ERR_IO. */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "env/pacer.h"
#include "env/vfs.h"
#include "pb/raftpb.h"

#define WAL_SEGMENT_BYTES 64000000u             /* sic: not MiB */
#define WAL_BUFFER_MAX ((size_t)1 << 30)

struct wal;

struct wal_options {
	uint64_t segment_bytes;         /* a file is left once it is longer; 0: WAL_SEGMENT_BYTES */
	bool no_sync;                   /* --unsafe-no-fsync: writes without syncs */
	bool repair;                    /* wal_open: on ERR_CORRUPT_TAIL keep NAME.broken, truncate, open once more */
	/* One call an event worth a log line, may be NULL: "created a new WAL segment", "repairing", "repaired",
	 * "ignored file in WAL directory". */
	void (*note)(void *arg, const char *event, const char *path);
	void *note_arg;
	struct pacer *pacer;            /* told of each sync, so that background writes keep clear; NULL: none */
};

struct wal_metadata {
	uint64_t node_id;
	uint64_t cluster_id;
};

/* A snapshot's place in the log. */
struct wal_pos {
	uint64_t index;
	uint64_t term;
};

/* What reading found behind a position. Freed with wal_content_fini. */
struct wal_content {
	struct wal_metadata metadata;
	bool has_metadata;
	struct raft_hard_state hard_state;      /* the last one; zero if there is none */
	struct raft_entry *entries;             /* owned; index follows index, the first is pos.index + 1 */
	size_t entry_count;
	bool pos_found;                         /* there is a snapshot record of that position */
	bool torn;                              /* wal_read only: ended with an unexpected end */
};

/* Owned array. Freed with wal_marks_fini. */
struct wal_marks {
	struct wal_snapshot_mark *at;
	size_t count;
};

struct wal_stats {
	uint64_t syncs;
	uint64_t sync_ns_last;
	uint64_t sync_ns_total;
	uint64_t written_bytes;
};

/* True if dir holds any name that ends in ".wal". */
bool wal_exists(struct vfs *fs, const char *dir);

/* Makes dir with a first segment, as a whole: built in dir.tmp, renamed, the parent synced. The log can be written to.
 * ERR_EXIST: there is one. If the last sync fails what was made is moved to dir.broken.TIME. */
NODISCARD err_t wal_create(struct vfs *fs, const char *dir, struct wal_metadata metadata,
			   const struct wal_options *options, struct why *why, struct wal **out);
/* Locks and reads the files from pos on; the log can then be written to. *content is filled on success only.
 * A snapshot record of another term at pos.index is ERR_CORRUPT_FILE; none at all is not an error (as in Go). */
NODISCARD err_t wal_open(struct vfs *fs, const char *dir, struct wal_pos pos, const struct wal_options *options,
			 struct why *why, struct wal_content *content, struct wal **out);
/* Reads without locks and changes nothing; an unexpected end is no error (content->torn), a missing snapshot record
 * is ERR_CORRUPT_FILE ("wal: snapshot not found"). For tools. */
NODISCARD err_t wal_read(struct vfs *fs, const char *dir, struct wal_pos pos, struct why *why,
			 struct wal_content *content);
/* All snapshot records, by index ascending, with an index not above the commit of the last hard state; all files, without
 * locks, an unexpected end is no error. */
NODISCARD err_t wal_valid_snapshots(struct vfs *fs, const char *dir, struct why *why, struct wal_marks *out);

/* One record, as wal_scan meets it. Slices and lists are borrowed for the call. */
struct wal_scanned {
	enum { WAL_SCAN_METADATA, WAL_SCAN_ENTRY, WAL_SCAN_STATE, WAL_SCAN_MARK } kind;
	const char *file;               /* name without directory */
	uint64_t offset;                /* of its frame */
	struct wal_metadata metadata;
	struct raft_entry entry;
	struct raft_hard_state state;
	struct wal_snapshot_mark mark;
};

/* Where wal_scan ended: behind the last whole record that it read. */
struct wal_scan_end {
	size_t file_count;              /* segments in the directory */
	size_t file;                    /* which one it ended in, from 0 */
	char name[48];                  /* of that one */
	uint64_t offset;
	uint64_t later_index;           /* from the name of the segment behind it: entries up to there were before it; 0: the last */
};

/* Every record of the segments from number first on (0: all), in order, each checked as reading does; memory for one
 * record. For tools: without locks, changes nothing. What fn returns, unless OK, ends it. Errors as of reading;
 * ERR_NOT_EXIST: no such segment; *end is set in every other case. */
typedef err_t wal_scan_fn(void *arg, const struct wal_scanned *r);
NODISCARD err_t wal_scan(struct vfs *fs, const char *dir, size_t first, wal_scan_fn *fn, void *arg, struct why *why, struct wal_scan_end *end);
void wal_content_fini(struct wal_content *c);
void wal_marks_fini(struct wal_marks *m);

/* Entries, then the hard state (NULL or all zero: unchanged). True: a sync must be over before anybody is told (there
 * are entries, or term or vote changed); a commit alone may wait for the next sync. */
bool wal_save(struct wal *w, const struct raft_hard_state *state, const struct raft_entry *entries, size_t count);
/* Always to be synced. mark->has_conf_state for every index > 0. */
void wal_save_snapshot(struct wal *w, const struct wal_snapshot_mark *mark);

/* Writes and syncs all that was saved; begins the next segment if this one is full. */
NODISCARD err_t wal_sync(struct wal *w, struct why *why);
/* The same without waiting for the disk: done(arg) is called on any thread, perhaps before this returns; then the
 * actor calls wal_sync_end. */
void wal_sync_start(struct wal *w, void (*done)(void *arg), void *arg);
NODISCARD err_t wal_sync_end(struct wal *w, struct why *why);
bool wal_sync_running(const struct wal *w);
/* Saved and not yet handed to a write. */
size_t wal_buffered_bytes(const struct wal *w);
/* Makes the next segment ahead of its need (about a millisecond); nothing if it is there. When the actor is idle. */
NODISCARD err_t wal_prepare(struct wal *w, struct why *why);

/* After a snapshot at index: unlocks all files but the last one that starts below it, and those behind. */
void wal_release(struct wal *w, uint64_t index);
struct wal_metadata wal_metadata(const struct wal *w);
const struct wal_stats *wal_stats(const struct wal *w);

/* Writes and syncs what is left, unlocks, removes the prepared segment. No flight may be under way. NULL allowed.
 * The error is the sync's. */
err_t wal_close(struct wal *w);
/* Frees without touching any content: after an error, or when the simulator cut the power. NULL allowed. */
void wal_abandon(struct wal *w);

/* Removes the oldest segments while more than keep remain; ends at the first one that is locked. keep 0: nothing.
 * *purged counts, also on failure. */
NODISCARD err_t wal_purge(struct vfs *fs, const char *dir, size_t keep, size_t *purged);

#endif
