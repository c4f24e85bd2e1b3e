/* The parts of a check. Private to utl. */
#ifndef UTL_CHECK_H
#define UTL_CHECK_H

#include "member/member.h"
#include "utl/utl.h"

/* The loss when a database cannot be used. */
#define CHECK_FROM_ELSEWHERE                                                                                           \
	"the database has to come from another member or from a snapshot: all changes since then, but for those that " \
	"the log still has"

/* What the database says, as far as it could be read. */
struct check_db {
	bool found;
	bool readable;
	uint64_t applied; /* consistent index; 0: none */
	uint64_t term;
	struct members *members;
};

/* What the log says. */
struct check_log {
	bool found;
	bool whole; /* read to its end, or to a torn one */
	bool has_metadata;
	uint64_t node_id;
	uint64_t cluster_id;
	uint64_t first, last; /* entries; last < first: none */
	uint64_t term;        /* of the last entry */
	uint64_t commit;
	uint64_t mark;  /* the last snapshot record that is committed; 0: none */
	uint64_t known; /* the highest entry that anything here speaks of */
};

struct check {
	struct vfs *fs;
	const struct utl_wait *wait;
	char *snap_dir, *db_path, *wal_dir;
	struct utl_report *report;
	struct check_db db;
	struct check_log log;
};

/* loss: what a repair would lose; "": nothing. */
void check_add(struct check *c, enum utl_state state, const char *part, const char *loss, const char *fmt, ...)
    PRINTF(5, 6);

/* In this order: each looks at what those before it found. */
NODISCARD err_t check_db(struct check *c, struct why *why); /* ERR_LOCKED only: the rest becomes findings */
void check_log(struct check *c);
void check_snaps(struct check *c);

#endif
