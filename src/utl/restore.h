/* The parts of a restore. Private to utl.
 *
 *	DATA/member.restoring/snap/{db, TERM-INDEX.snap}, …/wal    built here, or WALDIR.restoring for the log
 *	DATA/member, WALDIR                                        renamed to at the end, when all of it is durable
 */
#ifndef UTL_RESTORE_H
#define UTL_RESTORE_H

#include "member/member.h"
#include "utl/utl.h"

struct restore {
	struct vfs *fs;
	const struct utl_restore *cfg;
	struct why *why;
	struct members *members; /* of the new cluster */
	const struct member *self;
	uint64_t cluster_id;
	char *member_dir, *wal_dir;  /* as they will be */
	char *build_dir, *build_wal; /* as they are built */
	char *snap_dir, *db_path;    /* in build_dir */
	char *made_from;             /* the first directory on the way to DATA that was not there; NULL: all were */
	char *wal_made_from;
	bool wal_apart;
	bool wal_renamed;
};

/* ERR_CANCELED once the caller wants no more. */
NODISCARD err_t restore_stopped(struct restore *r);
/* restore_names.c: members, and whether this one advertises what the cluster has of it. */
NODISCARD err_t restore_members(struct restore *r);
/* restore_copy.c: the image, its digest checked, to db_path; synced. */
NODISCARD err_t restore_copy(struct restore *r);
/* restore_log.c: log and snapshot file of a cluster that begins with these members. */
NODISCARD err_t restore_log(struct restore *r);

#endif
