/* When the history is compacted by itself (--auto-compaction-mode, --auto-compaction-retention). Pure: time and revisions come in, a
 * revision to compact at comes out; whoever asks does the rest and tells how it went. The rules are etcd v3.7.1's, so that mixed
 * clusters keep the same history:
 *
 *	periodic   the revision is noted every tenth of the period (of an hour, if that is less). What is kept is the period before
 *	           now: first compacted when a whole period went by, then every period, or every hour if that is less.
 *	revision   every 5 minutes, all but that many revisions.
 *
 * A turn whose revision is the same as the last one's is left out; so is every turn of a member that does not lead, which goes on noting.
 *
 *	auto_compact_start(&a, mode, retention, now, rev);
 *	rev = auto_compact_step(&a, now, rev, leads);    often; not 0: compact there, then
 *	auto_compact_done(&a, now, rev_now, success);    until when steps give 0
 *
 * One thread. Memory: at most 8 bytes for each tenth (of the period, or of an hour) in the period. */
#ifndef NODE_AUTO_COMPACT_H
#define NODE_AUTO_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

enum auto_compact_mode { AUTO_COMPACT_OFF, AUTO_COMPACT_PERIODIC, AUTO_COMPACT_REVISION };

struct auto_compact {
	enum auto_compact_mode mode;
	int64_t retention;              /* ns, or revisions */
	uint64_t interval_ns;           /* between two turns */
	uint64_t next_ns;
	bool busy;                      /* between step and done */
	int64_t rev;                    /* being compacted, or compacted last */
	int64_t last_rev;               /* compacted last with success */

	/* periodic */
	VEC(int64_t) revs;              /* noted, oldest at first */
	size_t first;
	size_t keep;
	uint64_t last_ns;               /* last success, or the start */
	uint64_t least_ns;              /* between two compactions */
};

/* retention > 0; ns or revisions. */
void auto_compact_start(struct auto_compact *a, enum auto_compact_mode mode, int64_t retention, uint64_t now_ns, int64_t rev);
void auto_compact_fini(struct auto_compact *a);
int64_t auto_compact_step(struct auto_compact *a, uint64_t now_ns, int64_t rev, bool leads);
/* success: also when it had been compacted there before. */
void auto_compact_done(struct auto_compact *a, uint64_t now_ns, int64_t rev, bool success);

#endif
