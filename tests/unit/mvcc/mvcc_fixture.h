/* A store without a node around it: file on a disk in memory, backend, mvcc, a publication, leases that all exist or
 * do not. */
#ifndef TESTS_UNIT_MVCC_FIXTURE_H
#define TESTS_UNIT_MVCC_FIXTURE_H

#include "base/epoch.h"
#include "mvcc/mvcc.h"

enum { FIXTURE_LEASES = 4 };

struct fixture_attachment {
	struct blob *key;
	int64_t lease;
};

struct fixture {
	struct vfs_mem *disk; /* NULL: real files */
	struct vfs *fs;
	const char *path;
	uint32_t page_size; /* of a new file; 0: as usual */
	struct bolt *db;
	struct epoch_domain *epoch;
	struct backend *backend;
	struct mvcc *mvcc;
	struct mvcc_view view;          /* what readers see */
	int64_t leases[FIXTURE_LEASES]; /* that exist; 0: none */
	VEC(struct fixture_attachment) attached;
	uint64_t index; /* raft index of the last entry */
	size_t buffer_bytes_max;
	struct mvcc_loader *loader, *back_loader; /* of the two halves of a file */
	uint64_t open_ns, load_ns; /* of the last start */
};

void fixture_open(struct fixture *f);                        /* a new store in memory */
void fixture_open_file(struct fixture *f, const char *path); /* an existing file, changed in place */
void fixture_close(struct fixture *f);
/* Stops and starts again from what the file has. */
void fixture_reopen(struct fixture *f);
void fixture_publish(struct fixture *f);
/* The two halves of a commit; each publishes. */
void fixture_freeze(struct fixture *f);
void fixture_merge(struct fixture *f);
/* Merges what is frozen, freezes, merges. */
void fixture_commit(struct fixture *f);
int64_t fixture_lease_of(const struct fixture *f, struct slice key);

#endif
