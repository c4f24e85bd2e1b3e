/* Deliberate bugs, to show that the simulator bites: one for a rule of ARCHITECTURE sections 4 and 5 each. They exist only in a build
 * with -Dbugs=true, where one of them is switched on by name (sim -b NAME, also of a scenario's program); elsewhere BUG(x) is the constant false.
 *
 *	make sim-bugs                   each of them must be found by a seed within its time
 *
 * A new one: a row here, if (BUG(NAME)) where the rule is kept, and a run of make sim-bugs. */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#include <stdbool.h>

/* X(name, the rule that it breaks) */
#define BUG_ROWS(X)                                                                                                       \
	X(ACK_BEFORE_SYNC, "a write is acknowledged, a vote given, only after the log's record was synced")               \
	X(LOST_VOTE, "term and vote are persisted before the answer leaves")                                              \
	X(APPLY_UNSTABLE, "only locally durable entries are applied")                                                     \
	X(COMMIT_UNSYNCED, "a commit of the backend file is durable when it is said to be")                               \
	X(INDEX_AHEAD, "the consistent index and its data are one transaction: not ahead of the data")                    \
	X(INDEX_BEHIND, "the consistent index and its data are one transaction: no freeze within an entry")               \
	X(MARK_BEFORE_MERGE, "a disk snapshot passes its barriers in order; older files are released behind them")        \
	X(STALE_READ, "a leader answers a linearizable read only after a round of heartbeats")                            \
	X(READ_BEFORE_APPLY, "a read waits until the read index is applied here")                                         \
	X(READ_ID_REUSED, "each round of read index has an id of its own")                                                \
	X(LONE_LEADER_KEPT, "lone_leader is cleared before a voter is added and when the role changes")                   \
	X(LONE_TOO_EARLY, "lone_leader is set only when an entry of the own term is applied")                             \
	X(PUBLISH_LATE, "what answers show is published before they leave")                                               \
	X(WATCH_GAP, "a watcher joins the live ones in one step, without a gap")                                          \
	X(PROGRESS_EARLY, "progress at a revision is queued behind all events up to it")                                  \
	X(INSTALL_LOWERS_NEXT, "an installed snapshot never lowers a watcher's next revision")                            \
	X(LEASE_GAP, "after a gap longer than an election timeout the lessor begins anew")                                \
	X(REVOCATION_PENDING, "after such a gap no lease is renewed whose revocation is in the log")                      \
	X(RENEW_UNCONFIRMED, "a lease is renewed only after leadership was confirmed")                                    \
	X(REVOKE_FORWARDED, "what only a leader may decide is not forwarded to the next one")                             \
	X(SNAPSHOT_INEXACT, "what a peer snapshot holds is the state at its index")                                       \
	X(FAILED_STANDS_STILL, "the consistent index advances for entries that fail, too")                                \
	X(SYNC_ERROR_IGNORED, "a sync of the log that fails is fatal")                                                    \
	X(SNAP_FILE_UNSYNCED, "a .snap file and its name are synced before the log's record of it is written")            \
	X(HOLD_IGNORED, "the index is trimmed and rows are deleted up to the lowest held revision only")                  \
	X(NEWEST_OUTRUN, "HashKV and large ranges of the newest revision are never overtaken by a compaction")            \
	X(PIN_IGNORED, "pages that a pin may read are not used again")                                                    \
	X(RIGHT_UNASKED, "whether a write is permitted is decided where it is applied")                                   \
	X(RIGHT_OUTDATED, "a write whose user was looked up in an older auth revision is refused")                        \
	X(RIGHTS_LATE, "a read is judged by the users and roles of the publication that it reads")                        \
	X(HANG_KEPT, "a leader whose log's disk hangs hands over after an election timeout")                              \
	X(HANG_LEADS_ON, "one that cannot hand over steps down after another, and campaigns no more until the disk answers")      \
	X(UNKNOWN_SKIPPED, "an entry that is not known stops the member, it is never skipped")                            \
	X(FORWARDED_UNCHECKED, "what cannot be applied never enters the log, not even forwarded")                         \
	X(TORN_TAIL_REFUSED, "a torn tail of the log is repaired")                                                        \
	X(MOVE_BESIDE_MERGE, "page moves and merges exclude each other")                                                  \
	X(CHECKSUM_IGNORED, "a log's record with a wrong checksum is not read")
#ifdef CETCD_BUGS
enum bug {
	BUG_NONE,
#define X(name, rule) BUG_##name,
	BUG_ROWS(X)
#undef X
	BUG__COUNT
};
extern enum bug bug_on;
#define BUG(name) (bug_on == BUG_##name)
/* False: there is none of that name. */
bool bug_set(const char *name);
const char *bug_name(enum bug b);
const char *bug_rule(enum bug b);
#else
#define BUG(name) false
#endif

#endif
