/* Private to src/node: the state of core, and what its files call of each other. Everything here is core's (the core actor
 * only) unless said. */
#ifndef NODE_NODE_IMPL_H
#define NODE_NODE_IMPL_H

#include "apply/apply.h"
#include "base/epoch.h"
#include "bolt/bolt.h"
#include "node/node.h"
#include "node/persist.h"
#include "node/waiters.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "raft/raft.h"
#include "watch/watch.h"

/* Messages to core beside calls and persist_kind. */
enum core_kind {
	CORE_START = 200,
	CORE_STOP,
	CORE_TICK,              /* timer: one heartbeat interval */
	CORE_COMMIT_TIMER,      /* timer: the write buffer has waited long enough */
	CORE_COMPACT_TIMER,
	CORE_COMPACT_HASH,      /* job: hash of a compaction */
	CORE_WATCH_TASK,        /* job: history for watchers */
	CORE_OWN_CALL,          /* an answer to a call that core made itself */
	CORE_WATCH_MORE,        /* timer: lagging watchers were not all served in one batch */
	CORE_RELEASE,           /* a reader gives back a revision */
	CORE_QUESTION,          /* an answer of another member */
};

enum {
	OP_SERIES_MAX = 64,             /* kinds of request */
	COMMIT_TO_APPLY_MAX = 5000,     /* committed entries that may wait for apply before proposals are refused */
	/* Bytes of entries, each: that wait for raft to take them, and that raft has taken but not applied. Together with what the
	 * mailbox brings in a batch they keep the WAL's buffer far below its maximum when the disk hangs. */
	PROPOSAL_BYTES_MAX = 64 << 20,
};

/* A MSG_STORAGE_APPLY that waits or is under way. */
struct apply_work {
	struct raft_message m;
	struct apply_work *next;
	size_t at;
};

/* A proposal of the server itself. */
enum own_purpose { OWN_PUBLISH, OWN_CLUSTER_VERSION, OWN_ALARM, OWN_LEASE_REVOKE, OWN_LEASE_CHECKPOINT };

struct own_call {
	struct call call;
	enum own_purpose purpose;
	int64_t lease_id;
};

/* Another member, before the log says who there is. */
struct first_peer {
	uint64_t id;
	char *urls;                             /* comma-joined */
};

struct core_question;
/* The answer is in q; freed behind the call. */
typedef void core_answered(struct node *n, struct core_question *q);

/* A question of core to another member. Made by core_question_new; then fill body, call and what else q takes. */
struct core_question {
	struct member_question q;
	char *urls;
	struct buf body;
	core_answered *done;
	uint64_t member_id;                     /* the asker's: who is asked */
	struct call *call;                      /* the asker's: for whom */
};

struct node {
	struct node_config cfg;
	char *snap_dir, *wal_dir;
	struct sched *sched;
	struct vfs *fs;
	uint64_t cluster_id, member_id;
	uint64_t id_prefix;
	_Atomic uint64_t id_suffix;
	uint64_t time_limit_ns;                 /* of a request: 5 s + 2 election timeouts */

	struct epoch_domain *epoch;
	_Atomic(struct publication *) published;
	_Atomic bool lone_leader;

	struct actor *core;
	struct persist persist;
	struct bolt *db;
	struct store store;
	struct backend *backend;
	struct mvcc *mvcc;
	struct lessor *lessor;
	struct alarms alarms;
	struct members *members;
	struct apply apply;
	struct apply_out out;
	struct watch_hub *hub;
	struct raft *raft;
	struct raft_mem_storage *log;
	struct raft_ready rd;
	char storage_version[16];

	VEC(struct first_peer) first_peers;     /* for the transport at the start of a member without a log */

	/* proposals */
	VEC(struct call *) proposals;           /* not handed to raft yet */
	size_t proposal_bytes;
	VEC(struct blob *) proposal_data;
	struct waiters waiting;
	VEC(struct call *) answers;             /* to be posted behind the publication */
	struct list after_alarm;                /* applied over quota: answered once the alarm is up */
	bool alarm_proposed;

	/* reads */
	struct list reads_new;
	struct list reads_asked;                /* the round in flight */
	struct list reads_ready;                /* read index known (call->order), waits for apply */
	uint64_t read_round;
	uint64_t read_sent_ns;

	/* apply */
	struct apply_work *work, **work_tail;
	uint64_t applied, applied_term;
	uint64_t replayed_term;
	uint64_t replayed;                      /* consistent index at start: entries up to it are without effect */
	bool applied_own_term;
	bool changed;                           /* something to publish */
	struct blob *members_blob, *alarms_blob;

	/* commits */
	struct persist_merge merge;
	bool merging;
	bool commit_wanted;
	uint64_t merge_started_ns;
	uint64_t buffer_since_ns;               /* first write into the active buffer; 0 = empty */
	struct timer commit_timer;
	struct list barriers;                   /* CALL_COMMIT; order = freeze number to wait for */
	struct buf conf_state_json;
	bool conf_state_changed;

	/* disk snapshots */
	uint64_t snapshot_index, memory_snapshot_index;
	bool snapshot_wanted, snapshot_forced, snapshot_busy;
	struct persist_append *snapshot_mark;   /* being made: index, term and ConfState of the .snap file */

	/* time */
	struct timer tick;
	uint64_t ticked_ns;                     /* up to here raft has ticked */
	uint64_t next_monitor_ns;
	uint64_t lead;                          /* as last seen */
	enum raft_role role;

	/* compaction */
	struct timer compact_timer;
	bool compacting;
	struct compact_hash *compact_hash;      /* job under way */
	struct list physical;                   /* CALL_PHYSICAL */
	uint64_t compact_started_ns;

	/* watch */
	struct timer watch_more;
	VEC(struct watch_link *) watch_closed;
	VEC(struct job *) jobs_ready;

	/* page moving */
	struct list defrags;
	struct persist_move defrag;
	bool defrag_running;
	uint64_t defrag_started_ns;             /* 0: none asked for */

	struct op_series {                      /* of each kind of request that came; in order of coming */
		uint32_t field;
		_Atomic uint32_t apply[2], request[2];  /* failure, success */
	} ops[OP_SERIES_MAX];
	size_t op_count;
	struct {                                /* by the last core_metrics */
		bool once;
		char cluster_version[16];
		uint64_t puts, deletes, txns, compacted_rows, granted, revoked, renewed, expired, events;
	} seen;

	unsigned jobs;                          /* of this node on the workers */
	bool campaigned, own_publish_sent, is_ready, stopping, stopped;
	bool version_proposed;
	struct msg start_msg, stop_msg;
	_Atomic bool stop_done;
};

/* propose.c */
void core_call(struct node *n, struct msg *m);
void core_release(struct node *n, struct msg *m);
void core_propose(struct node *n);
void core_answer(struct node *n, struct call *c, err_t err);     /* posted when the batch was published */
void core_reads(struct node *n);
void core_read_state(struct node *n, const struct raft_read_state *rs);
void core_reads_applied(struct node *n);
void core_expire(struct node *n, uint64_t now_ns);
void core_refuse_all(struct node *n, err_t err);
/* Takes nothing; body is copied into the entry. */
void core_own_propose(struct node *n, enum own_purpose purpose, enum internal_field field, struct slice body, int64_t lease_id);
void core_own_answer(struct node *n, struct own_call *o);

/* question.c: stopping waits for the answers. timeout_ms 0: the time limit of requests, per URL */
struct core_question *core_question_new(enum member_endpoint endpoint, const struct member_urls *urls, core_answered *done);
void core_ask(struct node *n, struct core_question *take_q);
void core_question_back(struct node *n, struct msg *m);

/* ready.c */
bool core_ready(struct node *n);                /* true: it found something to do */
void core_appended(struct node *n, struct persist_append *a);
void core_apply_queue(struct node *n, struct raft_message *take_m);
bool core_apply(struct node *n);

/* applier.c */
void core_apply_one(struct node *n, const struct raft_entry *e);


void core_raise_nospace(struct node *n);
void core_members_changed(struct node *n);
void core_alarms_changed(struct node *n);

/* commit.c */
void core_commit(struct node *n);
void core_merged(struct node *n);
void core_wrote(struct node *n);                /* rows may have gone into the active buffer */

/* snapshot.c */
void core_snapshot_check(struct node *n);
/* With the freeze of the present position: the .snap file to be written behind the merge, or NULL. */
struct raft_snapshot *core_snapshot_begin(struct node *n);
void core_snapshot_saved(struct node *n);       /* backend and .snap durable: the WAL mark */
void core_snapshot_marked(struct node *n, struct persist_append *take_a);

/* monitor.c */
void core_tick(struct node *n);
void core_first_campaign(struct node *n);
void core_lead_changed(struct node *n);
void core_noop_applied(struct node *n);
void core_version_changed(struct node *n);

/* metrics.c */
void core_metrics(struct node *n);
void core_known_peer(struct node *n, uint64_t id, bool known);
/* The gauges of all alarms in that list (node->alarms_blob; NULL: none). */
void core_alarm_metrics(const struct blob *alarms, bool raised);
/* Time of one apply, and of a proposal from its post to its answer, by kind of request. */
void core_apply_observe(struct node *n, uint32_t field, bool success, uint64_t took_ns);
void core_request_observe(struct node *n, uint32_t field, bool success, uint64_t took_ns);

/* compact.c */
void core_compact_kick(struct node *n);
void core_compact_step(struct node *n);
void core_compact_hashed(struct node *n, struct job *j);

/* watching.c */
void core_watch(struct node *n);
void core_watch_send(struct node *n);
void core_watch_call(struct node *n, struct msg *m);
void core_watch_task_done(struct node *n, struct job *j);

/* publish.c */
void core_publish(struct node *n);
void core_unpublish(struct node *n);            /* at the end; no reader */

/* maintain.c */
void core_defrag(struct node *n);
void core_defrag_stepped(struct node *n);

static inline uint64_t core_now(const struct node *n)
{
	return sched_now_ns(n->sched);
}

#endif
