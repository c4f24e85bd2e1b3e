/* The commands and what they have in common. Private to utl. */
#ifndef UTL_COMMANDS_H
#define UTL_COMMANDS_H

#include "out/out.h"
#include "utl/utl.h"

struct utl_options {
	const char *format;
	int64_t timeout_ns;
	/* restore */
	const char *data_dir;
	const char *wal_dir;
	const char *name;
	const char *initial_cluster;
	const char *token;
	const char *peer_urls;
	bool skip_hash_check;
	uint64_t map_bytes;
	uint64_t bump_revision;
	bool mark_compacted;
	/* hashkv */
	int64_t rev;
	/* migrate; data_dir as above */
	const char *target_version;
	bool force;
};

/* Behind cli->user. */
struct utl_tool {
	struct vfs *fs;
};

extern const struct cli_program utl_program;

/* "Error: LINE"; returns code. */
int utl_fail(struct cli *c, int code, const char *line);
int utl_failf(struct cli *c, int code, const char *fmt, ...) PRINTF(3, 4);

int utl_status_run(struct cli *c);
int utl_restore_run(struct cli *c);
int utl_hashkv_run(struct cli *c);
int utl_defrag_run(struct cli *c);
int utl_migrate_run(struct cli *c);
int utl_check_run(struct cli *c);
int utl_version_run(struct cli *c);
int utl_completion_run(struct cli *c);

#endif
