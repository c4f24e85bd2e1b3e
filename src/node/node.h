/* A whole member below the sockets: propose, persist, apply, read.
 *
 *	node_open(&cfg, why, &n)        reads or makes the data directory; nothing runs yet
 *	node_start(n)                   the actors begin; the member publishes itself
 *	... call_post(n, &call, kind); node_view / node_leave; watch.h messages ...
 *	node_stop(n); ... node_stopped(n); node_close(n)
 *
 * Actors: core (all replicated state has this one writer), wal, backend; jobs on the scheduler's workers. Readers on any
 * thread take the newest publication for one slice under the node's epoch. In the simulator all of it runs on one
 * thread with the same code.
 * Durability: an answer to a CALL_PROPOSE leaves after its entry was fdatasync'ed and applied. A failed sync is FATAL. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "alarm/alarm.h"
#include "auth/auth.h"
#include "auth/password.h"
#include "auth/token.h"
#include "env/pacer.h"
#include "env/vfs.h"
#include "member/member.h"
#include "mvcc/mvcc.h"
#include "node/auto_compact.h"
#include "node/call.h"
#include "node/transport.h"
#include "watch/watch.h"

#define NODE_SERVER_VERSION "3.7.1"
#define NODE_CLUSTER_VERSION "3.7.0"

struct node_hooks {
	void *arg;
	/* Random bytes for ids and seeds; wall clock in ns since 1970. Deterministic in the simulator. */
	void (*random)(void *arg, void *out, size_t size);
	int64_t (*wall_ns)(void *arg);
	/* While opening, when another process has the backend file's lock; NULL: do not wait, ERR_LOCKED. */
	void (*sleep_ms)(void *arg, uint32_t ms);
	/* Once, on core: the member's own attributes are applied, and authentication is on if it has to be (node_secure); client ports may
	 * open. */
	void (*ready)(void *arg);
	/* Watch output for an io actor (struct watch_batch), on core; the receiver frees it. */
	void (*watch_output)(void *arg, uint32_t port, struct watch_batch *take_b);
	/* Each committed entry, on core, in front of its application; again: it was applied before a restart. For the simulator's
	 * checker; NULL: nobody looks. */
	void (*applying)(void *arg, const struct raft_entry *e, bool again);
	/* Once, on core: this member was removed from the cluster for ever; the process ends. NULL: nothing happens. */
	void (*removed)(void *arg);
	/* While opening: asks another member and waits for the answer (everything below "out" of the question, which has no reply actor).
	 * NULL: nobody answers. */
	void (*ask)(void *arg, struct member_question *q);
	/* While opening: do these lists of URLs (sorted, not equal as text) mean the same addresses? NULL: no. */
	bool (*same_urls)(void *arg, const struct member_urls *a, const struct member_urls *b);
	/* While a database file is opened; NULL: one after the other. */
	beside_fn *both;
};

struct node_config {
	struct sched *sched;
	struct vfs *fs;
	struct pacer *pacer;                    /* NULL: none (the simulator). Outlives the node */
	struct node_hooks hooks;
	const struct node_transport *transport; /* borrowed; NULL: alone */
	const char *data_dir;
	const char *wal_dir;                    /* NULL: data_dir/member/wal */
	const char *name;
	const char *const *peer_urls;           /* advertised */
	const char *const *client_urls;         /* advertised */
	size_t peer_url_count, client_url_count;
	const char *initial_cluster;            /* name=url,name=url */
	const char *initial_token;
	uint32_t heartbeat_ms;
	uint32_t election_ms;
	uint64_t snapshot_count;                /* entries between disk snapshots */
	uint64_t snapshot_catchup_entries;
	int64_t quota_bytes;                    /* 0 = 2 GiB, negative = none */
	uint32_t request_bytes_max;
	uint32_t txn_ops_max;
	uint32_t backend_batch_ms;              /* 0 = 100 */
	uint32_t backend_batch_limit;           /* 0 = 10000 */
	uint32_t compaction_batch_limit;        /* 0 = 1000 */
	uint32_t compaction_sleep_ms;
	enum auto_compact_mode auto_compact_mode;
	int64_t auto_compact_retention;         /* ns, or revisions */
	uint64_t apply_warning_ns;              /* applies that take longer are logged; 0 = none */
	uint64_t start_defrag_bytes;            /* free pages beyond which the file is shrunk at the start; 0 = never */
	uint32_t wal_files_max;                 /* 0 = keep all */
	uint32_t snap_files_max;
	uint64_t wal_segment_bytes;             /* 0 = 64,000,000 */
	uint32_t file_page_bytes;               /* 0 = the system's */
	enum token_kind token_kind;             /* what an applied Authenticate makes */
	uint32_t token_ttl_s;                   /* of simple tokens; 0 = 300 */
	uint32_t bcrypt_cost;                   /* 0 = 10 */
	int32_t learners_max;                   /* 0 = 1, negative = none */
	uint64_t downgrade_check_ns;            /* whether a downgrade is done; 0 = never */
	uint64_t corrupt_check_ns;              /* comparisons of all members' data; 0 = never */
	uint64_t compact_hash_check_ns;         /* of hashes of compactions; 0 = never */
	uint64_t watch_progress_ns;
	uint32_t watch_ports;                   /* io actors that take watch output */
	bool initial_election_tick_advance;
	bool pre_vote;
	bool strict_reconfig_check;
	bool lease_checkpoint;                  /* feature LeaseCheckpoint: the leader logs what long leases have left */
	bool join_existing;                     /* --initial-cluster-state existing; without effect once there is data */
	bool initial_corrupt_check;             /* of data that is there, before it is served */
	bool force_new_cluster;                 /* make the data's cluster one of this member alone */
	bool no_fsync;                          /* --unsafe-no-fsync */
	bool lock_memory;                       /* --memory-mlock: pages of the database */
};

/* What readers see: one immutable object per batch of core. Everything in it belongs together. */
struct publication {
	struct mvcc_view mvcc;
	uint64_t applied_index;
	uint64_t commit_index;
	uint64_t term;
	uint64_t leader;                        /* 0 = none */
	bool is_learner;
	struct blob *members;                   /* encoded etcdserverpb.Member fields, tag 2 each (MemberListResponse without header) */
	struct blob *alarms;                    /* encoded AlarmMember fields, tag 2 each (AlarmResponse without header) */
	const struct auth_state *auth;          /* users and permissions; lives as long as the publication */
	struct auth_view *auth_view;
	bool alarm_nospace;
	bool alarm_corrupt;
	bool alarms_full;                       /* no further one may be proposed */
	char cluster_version[16];               /* "" before it is set */
	char storage_version[16];               /* "" = unknown */
	struct downgrade_info downgrade;
	uint64_t size_bytes;                    /* backend: high water mark * page size */
	uint64_t size_in_use_bytes;
};

NODISCARD err_t node_open(const struct node_config *cfg, struct why *why, struct node **out);
void node_start(struct node *n);
/* Between open and start: this member serves no client before authentication is enabled, and sees to it: role root, user root with
 * that bcrypt hash unless there is one, AuthEnable. Without effect where it is enabled. hash is copied and wiped when done. */
void node_secure(struct node *n, const char hash[AUTH_HASH_SIZE + 1]);
bool node_secured(const struct node *n);        /* false: still waiting for that. Any thread */
/* Begins the end: calls inside and later ones come back with ERR_STOPPED, the backend is committed. Any thread; done when
 * node_stopped. */
void node_stop(struct node *n);
bool node_stopped(const struct node *n);
/* After node_stopped, or, in the simulator, at any time after its messages were dropped. */
void node_close(struct node *n);                /* NULL allowed */

uint64_t node_cluster_id(const struct node *n);
uint64_t node_member_id(const struct node *n);
/* Unique among members and restarts: (member id low 16 bits, time, counter). Any thread. */
uint64_t node_next_id(struct node *n);
/* Random bytes for tokens and salts. Any thread. */
void node_random(struct node *n, void *out, size_t size);
/* Wall clock, ns since 1970. Any thread. */
int64_t node_wall_ns(struct node *n);

/* Enters the node's epoch; the publication and all it leads to stay valid until node_leave. One slice of work. */
const struct publication *node_view(struct node *n);
void node_leave(struct node *n);

/* True while this member leads alone (only voter, not joint, an entry of its own term applied): a linearizable read may
 * be served at once from a publication taken after this was seen. */
bool node_lone_leader(struct node *n);

/* Header of an answer given from p. */
struct response_header node_header(struct node *n, const struct publication *p);

/* Simple tokens, to look into inside node_view; NULL: this member makes none. */
struct tokens *node_tokens(struct node *n);

/* Gives back what a CALL_HOLD took. Any thread. */
void node_release(struct node *n, int64_t revision);

/* ---- watch: messages to core ---- */

enum watch_call_kind { WATCH_CALL_OPEN = CALL__END, WATCH_CALL_REQUEST, WATCH_CALL_DRAINED, WATCH_CALL_CLOSE, WATCH_CALL__END };

/* One stream's connection to core. Owned by the io actor until WATCH_CALL_CLOSE was posted and has come back (as the same
 * message); nothing of the stream arrives after that. stream is core's. */
struct watch_link {
	struct msg open, close;                 /* WATCH_CALL_OPEN, WATCH_CALL_CLOSE (comes back to reply) */
	struct actor *reply;
	uint32_t reply_kind;
	uint32_t port;
	void *arg;                              /* comes back in each item */
	struct watch_stream *stream;
};

/* A request of a stream; freed by core (allocated with mem_alloc). body is what the slices of req borrow. */
struct watch_request {
	struct msg msg;                         /* WATCH_CALL_REQUEST */
	struct watch_link *link;
	struct watch_req req;
	err_t permitted;
	struct blob *body;
};

/* io wrote that much of a stream; freed by core. */
struct watch_progress_note {
	struct msg msg;                         /* WATCH_CALL_DRAINED */
	struct watch_link *link;
	size_t items;
	uint64_t bytes;
};

void watch_link_open(struct node *n, struct watch_link *link);
void watch_link_close(struct node *n, struct watch_link *link);
void watch_link_post(struct node *n, struct msg *take_m);       /* one of the two above */

/* Admission of a write of that cost in bytes (0 passes): the quota against the file size. False: over; the node raises
 * NOSPACE by itself. */
bool node_quota_admits(struct node *n, const struct publication *p, uint64_t cost);

#endif
