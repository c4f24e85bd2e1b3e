/* Offline work on the files of a member: what etcdutl does. The commands' table is here as well (utl_program), so that
 * main() only passes words in and texts out.
 *
 *	utl_main(vfs_posix(), argc, argv, out, err)                the whole tool; its exit code
 *
 *	utl_status(fs, "snapshot.db", &wait, why, &status)          or its parts
 *	utl_restore(fs, &restore, why)
 *
 * Files are those of etcd 3.5 to 3.7, whoever wrote them. What only reads (status, hashkv, check) changes nothing, not
 * even a byte of free space. What makes files (restore) makes them under another name and renames them when all of it
 * is durable: on an error, a full disk included, nothing of it is left.
 * Locks: a database in use by a server is waited for, see struct utl_wait. Memory: bounded by pages and keys, never by
 * the size of values; databases are mapped.
 * Thread: one. Calls block on files. Errors: err_t with one line in why that is fit for "Error: ". ERR_LOCKED: another
 * process has the database; ERR_MALFORMED: it cannot be opened; ERR_CORRUPT_FILE: other damage. */
#ifndef UTL_UTL_H
#define UTL_UTL_H

#include <signal.h>

#include "bolt/bolt.h"
#include "cli/cli.h"
#include "env/vfs.h"

#define UTL_VERSION "3.7.1"
#define UTL_API_VERSION "3.7"
#define UTL_INITIAL_MAP_BYTES 10737418240ull

/* Exit codes of etcdutl. */
enum utl_exit {
	UTL_EXIT_OK = 0,
	UTL_EXIT_ERROR = 1,
	UTL_EXIT_PANIC = 2,       /* a database that cannot be opened, where upstream panics */
	UTL_EXIT_BAD_FEATURE = 4, /* an output format that is none, or not for this command */
	UTL_EXIT_BAD_ARGS = 128,
};

/* The whole command line. out and err get what is to be written; log lines go to the process's log. */
int utl_main(struct vfs *fs, int argc, const char *const *argv, struct buf *out, struct buf *err);

/* How long to wait for the lock of a database, in steps of 50 ms. */
struct utl_wait {
	int64_t timeout_ns; /* 0: for ever */
};

/* ---- snapshot status ---- */

struct utl_status {
	uint32_t hash;       /* CRC-32C over all buckets: names, keys, values */
	int64_t revision;    /* main revision of the last row of bucket key */
	uint64_t keys;       /* keys that live at the end */
	uint64_t size_bytes; /* of the image, without the digest behind it */
	char version[24];    /* storage version; "": the file has none */
};

NODISCARD err_t utl_status(struct vfs *fs, const char *path, const struct utl_wait *wait, struct why *why,
			   struct utl_status *out);

/* ---- hashkv ---- */

struct utl_hashkv {
	uint32_t hash;
	int64_t revision;
	int64_t compact_revision;
};

/* rev 0: the current one. Compaction that was scheduled counts as done, as it does when a server opens the file.
 * ERR_COMPACTED, ERR_FUTURE_REV. */
NODISCARD err_t utl_hashkv(struct vfs *fs, const char *path, int64_t rev, const struct utl_wait *wait, struct why *why,
			   struct utl_hashkv *out);

/* ---- snapshot restore ---- */

struct utl_restore {
	const char *snapshot_path;
	const char *data_dir; /* must not exist, or be empty */
	const char *wal_dir;  /* NULL: DATA/member/wal; otherwise it must not exist */
	const char *name;
	const char *initial_cluster; /* "name=url,…" */
	const char *token;
	const char *peer_urls; /* advertised, joined by commas */
	bool skip_hash_check;
	uint64_t bump_revision;            /* > 0: with the mark of a compaction at the new revision */
	uint64_t map_bytes;                /* told in the log, nothing else: a map is as large as the file */
	const volatile sig_atomic_t *stop; /* once it is not 0, ERR_CANCELED, and nothing is left; NULL: never */
};

/* ERR_INVALID: the configuration; ERR_EXIST: a directory is there; ERR_CORRUPT_FILE: the digest is wrong or missing;
 * ERR_CANCELED. */
NODISCARD err_t utl_restore(struct vfs *fs, const struct utl_restore *r, struct why *why);

/* ---- defrag, migrate ---- */

/* Rewrites the database as small as its content, or, without room for a second file, moves pages to the front and cuts
 * it; safe at a crash at any point. */
NODISCARD err_t utl_defrag(struct vfs *fs, const char *data_dir, const struct utl_wait *wait, struct why *why);

/* Storage schema step by step to target (minor version of 3). ERR_UNSUPPORTED: no such way; refused because the log
 * holds newer entries unless force. */
NODISCARD err_t utl_migrate(struct vfs *fs, const char *data_dir, unsigned target_minor, bool force,
			    const struct utl_wait *wait, struct why *why);

/* ---- check ---- */

enum utl_state {
	UTL_GOOD,
	UTL_NOTE,    /* odd, and harmless */
	UTL_REPAIR,  /* a server sees to it when it starts; nothing that was promised is lost */
	UTL_DAMAGED, /* a server refuses, or must not be started */
};

struct utl_finding {
	enum utl_state state;
	const char *part; /* "backend", "log", "snap", "member" */
	char *text;
	char *loss; /* what a repair would lose; "": nothing */
};

struct utl_report {
	VEC(struct utl_finding) findings;
	enum utl_state worst;
};

const char *utl_state_name(enum utl_state s); /* "ok", "note", "repair", "damaged" */

/* Every record of the log, every page and row of the database, every snapshot file, and whether they belong together.
 * Changes nothing. Damage is a finding, not an error; ERR_NOT_EXIST: no data directory; ERR_LOCKED. wal_dir NULL:
 * inside data_dir. *out is to be freed with utl_report_fini. */
NODISCARD err_t utl_check(struct vfs *fs, const char *data_dir, const char *wal_dir, const struct utl_wait *wait,
			  struct why *why, struct utl_report *out);
void utl_report_fini(struct utl_report *r);

#endif
