/* Private to src/node: the wal actor and the backend actor. They block or wait on files, so that core never does.
 *
 * wal: takes appends in order, writes what arrived during the last sync as one, and gives each back to core when it is
 * durable (those that need no sync: when everything before them is). backend: merges the frozen buffer, one at a time. */
#ifndef NODE_PERSIST_H
#define NODE_PERSIST_H

#include "actor/actor.h"
#include "backend/backend.h"
#include "pb/raftpb.h"
#include "snap/snap.h"
#include "wal/wal.h"

/* What core gets back; the first two also go to the actors. */
enum persist_kind {
	PERSIST_APPEND = 100,   /* struct persist_append */
	PERSIST_MERGE,          /* struct persist_merge */
	PERSIST_MOVE,           /* struct persist_move */
	PERSIST_WAL_IO,         /* wal actor to itself: a write-and-sync ended */
	PERSIST_PURGE,          /* backend actor timer */
	PERSIST_START,          /* to the backend actor, once: its timer */
	PERSIST_INSTALL,        /* struct install (install.c) */
	PERSIST_PREPARE,        /* wal actor timer: the next segment, ahead of its need */
};

/* One append. Exactly one of the two parts. Owner: core; at the wal actor between post and return. */
struct persist_append {
	struct msg msg;
	struct raft_message m;                  /* MSG_STORAGE_APPEND: hard state, snapshot, entries; its responses stay in it */
	bool is_mark;
	struct wal_snapshot_mark mark;          /* is_mark: a disk snapshot's record; older files are released behind it */
	struct persist_append *next;
	bool must_sync;                         /* the wal actor's: else it is given back once all before it is durable */
	uint64_t sync_ns;                       /* out: how long the sync took that made it durable; 0 = none was needed */
};

/* A merge, and behind it, if snap is set, the .snap file of the same position. */
struct persist_merge {
	struct msg msg;
	struct backend *backend;
	struct bolt *db;                        /* the backend's */
	struct raft_snapshot *snap;             /* owned; NULL: none */
	const char *snap_dir;
	struct bolt_commit_times times;         /* out */
};

/* One page-moving transaction of bounded size. */
struct persist_move {
	struct msg msg;
	struct bolt *db;
	err_t err;
	bool done;                              /* nothing left to move */
	bool held;                              /* but for what pins hold: pages, or the tail */
};

/* A received snapshot's file takes the database's place; run() does it on the backend actor. */
struct persist_install {
	struct msg msg;
	void (*run)(struct persist_install *p);
};

struct persist {
	struct sched *sched;
	struct vfs *fs;
	struct wal *wal;                        /* the wal actor's */
	struct actor *core;
	struct actor *wal_actor;
	struct actor *backend_actor;

	/* the wal actor's */
	struct persist_append *waiting, **waiting_tail;         /* saved, not in a write yet */
	struct persist_append *writing, **writing_tail;         /* in the write under way */
	bool busy;
	struct msg io;
	uint64_t io_started_ns;
	struct timer prepare;
	_Atomic uint64_t write_since_ns;        /* when the oldest write under way began; 0 = none. Any thread reads */

	/* the backend actor's */
	struct msg start;
	struct timer purge;

	/* set before the start, not changed after it */
	uint32_t wal_files_max;
	uint32_t snap_files_max;
	const char *wal_dir;
	const char *snap_dir;
};

void persist_start(struct persist *p);
/* After this nothing is under way. */
void persist_stop(struct persist *p);

#endif
