/* Private to src/node: what the files of the start share. boot.c goes through a directory, bootstrap.c finds out who this member is in
 * which cluster, boot_force.c makes a cluster of one. */
#ifndef NODE_BOOT_IMPL_H
#define NODE_BOOT_IMPL_H

#include "node/node_impl.h"
#include "node/state.h"

/* What is found on disk before a node exists. */
struct boot {
	struct node *n;
	char *member_dir, *snap_dir, *wal_dir, *db_path;
	bool has_db, has_wal;
	struct wal *wal;
	struct wal_content content;
	struct wal_snapshot_mark mark;          /* index 0: none */
	struct node_state st;
	struct members *first;                  /* a new cluster's members, with ids; NULL: there is one already */
};

/* Who this member is and in which cluster, without a log: by --initial-cluster alone, or as the members of a running cluster say.
 * Sets n->member_id and n->cluster_id; for a new cluster b->first; for a running one the others are noted in n->first_peers. */
NODISCARD err_t boot_new_cluster(struct boot *b, struct why *why);
NODISCARD err_t boot_existing_cluster(struct boot *b, struct why *why);

/* --force-new-cluster, behind wal_open: entries that were not committed go, and the log gets changes that take all other members
 * out; all of it counts as committed. */
NODISCARD err_t boot_force_alone(struct boot *b, struct why *why);

/* InitialCorruptCheck: the first publication is there, actors are not. */
NODISCARD err_t boot_corrupt_check(struct node *n, struct why *why);

#endif
