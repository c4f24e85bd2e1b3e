/* Private to src/node: the state of core, and what its files call of each other. Everything here is core's (the core actor
 * only) unless said. */
#ifndef NODE_NODE_IMPL_H
#define NODE_NODE_IMPL_H

#include "apply/apply.h"
#include "base/epoch.h"
#include "bolt/bolt.h"
#include "node/node.h"
#include "node/persist.h"
#include "node/state.h"
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
	CORE_METRICS,           /* timer: something was published a moment ago */
	CORE_WATCH_MORE,        /* timer: lagging watchers were not all served in one batch */
	CORE_RELEASE,           /* a reader gives back a revision */
	CORE_RECEIVED,          /* struct node_message */
	CORE_UNREACHABLE,       /* reports of the carrier */
	CORE_SNAPSHOT_STATUS,
	CORE_REMOVED,
	CORE_QUESTION,          /* an answer of another member */
	CORE_CORRUPT_HASH,      /* job: own hash, to be compared with others' */
};

enum {
	OP_SERIES_MAX = 64,             /* kinds of request */
	READS_WAITING_MAX = 100000,     /* linearizable reads that may wait for a round or for apply */
	COMMIT_TO_APPLY_MAX = 5000,     /* committed entries that may wait for apply before proposals are refused */
	/* Bytes of entries, each: that wait for raft to take them, and that raft has taken but not applied. Together with what the
	 * mailbox brings in a batch they keep the WAL's buffer far below its maximum when the disk hangs. */
	PROPOSAL_BYTES_MAX = 64 << 20,
	QUESTIONS_MAX = 1024,           /* out to other members; further ones fail at once */
};

/* A MSG_STORAGE_APPLY that waits or is under way. */
struct apply_work {
	struct raft_message m;
	struct apply_work *next;
	size_t at;
	bool changes_members;           /* holds a configuration change */
};

/* A proposal of the server itself. */
enum own_purpose { OWN_PUBLISH, OWN_CLUSTER_VERSION, OWN_DOWNGRADE_END, OWN_ALARM, OWN_COMPACT, OWN_DEFRAG, OWN_LEASE_REVOKE,
		   OWN_LEASE_CHECKPOINT, OWN_READ, OWN_READ_CORRUPT, OWN_ALARM_CORRUPT, OWN_SECURE };

struct own_call {
	struct call call;
	enum own_purpose purpose;
	int64_t lease_id;
	uint64_t installs;              /* snapshots installed when it was made: the state that it is about */
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
	char *token;                            /* NULL: none; freed with it */
	struct buf body;
	core_answered *done;
	uint64_t member_id;                     /* the asker's: who is asked */
	struct call *call;                      /* the asker's: for whom; NULL: nobody */
	struct list link;
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
	struct auth *auth;
	struct tokens *tokens;                  /* NULL: no simple tokens */
	uint64_t next_token_expire_ns;
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
	uint64_t leader_lost_ns, leader_found_ns;       /* the last time each */
	struct list after_alarm;                /* applied over quota: answered once the alarm is up */
	bool alarm_proposed;

	/* reads */
	size_t reads_waiting;                   /* in the three lists */
	struct list reads_new;
	struct list reads_asked;                /* the round in flight */
	struct list reads_ready;                /* read index known (call->order), waits for apply */
	uint64_t read_round;
	uint64_t read_sent_ns;

	/* changes of membership, hand-overs */
	struct list conf_changes;               /* checked, to be proposed one after the other */
	struct list promotions;                 /* the leader is to be asked (again) */
	struct list catching_up;                /* order = index that must be applied */
	struct list transfers;
	struct list ttl_questions;              /* the leader is to be asked (again) */

	/* apply */
	struct apply_work *work, **work_tail;
	uint64_t applied, applied_term;
	uint64_t replayed_term;
	uint64_t replayed;                      /* consistent index at start: entries up to it are without effect */
	uint64_t failed_in_a_row;               /* of the last entries; for BUG(FAILED_STANDS_STILL) */
	bool applied_own_term;
	bool changed;                           /* something to publish */
	struct blob *members_blob, *alarms_blob;

	/* other members */
	VEC(struct raft_message) outbox;        /* to be sent at the end of this pass */
	uint64_t removed_ns;                    /* when to end, for this member was removed; 0: it was not */
	bool removed_told;
	uint64_t hand_over_ns;                  /* stopping: until when to wait for another leader; 0: not begun */
	uint64_t fast_forward_until_ns;         /* ticks are skipped once, if other members show up before */
	struct list questions;                  /* out */
	size_t question_count;
	struct list renewals;                   /* CALL_LEASE_RENEW that wait for a leader to ask */
	struct hash_check *hash_check;          /* under way; NULL: none */
	uint64_t next_corrupt_ns, next_compact_hash_ns;
	int64_t compact_checked_rev;            /* up to here compactions were found equal everywhere */
	struct version_round *version_round;    /* questions about versions are out; NULL: none */
	bool lessor_waits;                      /* after a gap of time: promoted once leadership was confirmed ... */
	uint64_t lessor_index;                  /* ... and this is applied */

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
	char version_before[16];                /* the cluster version as core_version_changed last saw it; "" */
	struct persist_append *snapshot_mark;   /* being made: index, term and ConfState of the .snap file */

	/* snapshots to and from other members */
	VEC(struct raft_message) snapshots_wanted;      /* MSG_SNAP that wait for a freeze */
	VEC(struct raft_message) snapshots_cut;         /* frozen at their index; wait for the merge */
	unsigned snapshots_out;                 /* given to the carrier */
	uint64_t keep_log_until_ns;             /* a follower that just got one needs what comes behind */
	struct install *install;                /* one being installed: appends behind it and applies wait */
	struct old_state *old_state;            /* replaced in this batch, shown by the publication before */
	VEC(struct bolt *) old_files;           /* closed once nobody has a pin */
	VEC(int64_t) lost_holds;                /* revisions held in a replaced state that the new one does not have */

	/* time */
	struct timer tick;
	uint64_t ticked_ns;                     /* up to here raft has ticked */
	uint64_t next_monitor_ns;
	uint64_t next_downgrade_check_ns;
	struct {                                /* a sync of the log that hangs */
		uint64_t since;                 /* the write under way, by when it began; 0 = none */
		uint32_t ticks;                 /* in which it was seen */
		bool handed_over, quiet;
	} hang;
	uint64_t lead;                          /* as last seen */
	enum raft_role role;

	/* a root password was given: no client before authentication is on */
	struct {
		_Atomic bool waits;
		bool asked;                     /* a proposal is under way */
		char *hash;                     /* for user root, as an entry carries it; NULL: not wanted (any more) */
		uint64_t led_since_ns, said_ns;
	} secure;

	/* compaction */
	struct timer compact_timer;
	bool compacting;
	struct compact_hash *compact_hash;      /* job under way */
	struct list physical;                   /* CALL_PHYSICAL */
	uint64_t compact_started_ns;
	uint64_t compact_step_ns_max;
	struct auto_compact auto_compact;
	uint64_t auto_compact_ns;               /* when the one under way was begun */

	/* watch */
	struct timer watch_more;
	struct timer metrics;
	VEC(struct watch_link *) watch_closed;
	VEC(struct job *) jobs_ready;

	/* page moving */
	struct list defrags;
	struct persist_move defrag;
	bool defrag_running;
	bool defrag_waits;                      /* for readers to let go, until the next tick */
	unsigned defrag_waited;                 /* runs that readers cut short, one after the other */
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

	uint64_t installs;                      /* snapshots of leaders that took the place of this state, since start */
	unsigned appends;                       /* at the WAL actor */
	unsigned jobs;                          /* of this node on the workers */
	bool campaigned, own_publish_sent, is_ready, ready_told, stopping, stopped;
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
void core_reads_again(struct node *n);          /* the leader changed */
void core_expire(struct node *n, uint64_t now_ns);
void core_refuse_all(struct node *n, err_t err);
/* Takes nothing; body is copied into the entry. */
void core_own_propose(struct node *n, enum own_purpose purpose, enum internal_field field, struct slice body, int64_t lease_id);
/* A read index, for core_leadership_confirmed (OWN_READ) or core_corrupt_read (OWN_READ_CORRUPT). */
void core_own_read(struct node *n, enum own_purpose purpose);
void core_own_answer(struct node *n, struct own_call *o);

/* membership.c */
void core_conf_change(struct node *n, struct call *c);
void core_transfer(struct node *n, struct call *c);
void core_catch_up(struct node *n, struct call *c);              /* answered once what is committed now is applied */
void core_membership(struct node *n);
void core_membership_tick(struct node *n, uint64_t now_ns);
void core_membership_refuse(struct node *n, err_t err);

/* corrupt.c */
void core_corrupt_tick(struct node *n, uint64_t now_ns);
void core_corrupt_read(struct node *n, err_t err);
void core_corrupt_hashed(struct node *n, struct job *j);
void core_corrupt_stop(struct node *n);         /* at the end */

/* leases.c */
void core_lease_question(struct node *n, struct call *c);
void core_lease_question_confirmed(struct node *n, struct call *c);
void core_lease_questions_tick(struct node *n, uint64_t now_ns);

/* question.c: timeout_ms 0: the time limit of requests, per URL. Once core stops nothing is done with answers any more: a call that a
 * question was asked for is answered ERR_STOPPED. */
struct core_question *core_question_new(enum member_endpoint endpoint, const struct member_urls *urls, core_answered *done);
void core_ask(struct node *n, struct core_question *take_q);
void core_question_back(struct node *n, struct msg *m);
void core_questions_forget_calls(struct node *n, err_t err);
void core_questions_free(struct node *n);       /* at the end: the carrier has given all back, or is gone */

/* peers.c */
void core_received(struct node *n, struct msg *m);
void core_peer_report(struct node *n, struct msg *m);
void core_send(struct node *n, struct raft_message *take_m);
void core_flush(struct node *n);
char *core_peer_urls(const struct node *n, uint64_t id);
void core_peer_add(struct node *n, uint64_t id);
void core_peer_remove(struct node *n, uint64_t id);
void core_peers_set(struct node *n);
size_t core_active_peers(struct node *n, uint64_t *longest_voter);
void core_removed(struct node *n, uint64_t delay_ns);
void core_removed_check(struct node *n, uint64_t now_ns);
void core_peers_fini(struct node *n);

/* version.c */
/* Leader: agree on a cluster version, and end a downgrade that all have done if asked for that; at most one round of questions at a time. */
void core_version_check(struct node *n, bool for_downgrade);
void core_version_stop(struct node *n);

/* renew.c */
void core_lease_renew(struct node *n, struct call *c);
void core_lease_confirmed(struct node *n, struct call *c);      /* behind a read index of a time after it came */
void core_renewals(struct node *n, uint64_t now_ns);            /* at each tick */

/* install.c */
void core_install_fini(struct node *n);
bool core_install_running(const struct node *n);        /* the backend actor has it */
void core_install(struct node *n, struct persist_append *take_a);
void core_install_check(struct node *n);        /* begins once nothing else is at the file */
void core_installed(struct node *n);
void core_old_state_published(struct node *n);
void core_old_files_close(struct node *n, bool all);
bool core_lost_hold(struct node *n, int64_t revision);

/* ready.c */
bool core_ready(struct node *n);                /* true: it found something to do */
void core_appended(struct node *n, struct persist_append *take_a);
void core_append_done(struct node *n, struct persist_append *take_a);
/* Steps the responses that a storage message carried: to this member's raft, or to peers. */
void core_respond(struct node *n, struct raft_message *m);
void core_apply_queue(struct node *n, struct raft_message *take_m);
bool core_apply(struct node *n);

/* applier.c */
void core_apply_one(struct node *n, const struct raft_entry *e);


void core_raise_nospace(struct node *n);
void core_members_changed(struct node *n);
void core_conf_state_changed(struct node *n, const struct raft_conf_state *cs);
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
void core_snapshot_send(struct node *n, struct raft_message *take_m);
void core_snapshot_cut(struct node *n);         /* with the freeze of the present position */
void core_snapshot_out(struct node *n);         /* that freeze is in the file */
void core_snapshot_sent(struct node *n, bool ok);

/* monitor.c */
void core_leadership_confirmed(struct node *n);
void core_tick(struct node *n);
void core_first_campaign(struct node *n);
void core_lead_changed(struct node *n);
void core_noop_applied(struct node *n);
void core_version_changed(struct node *n);

/* secure.c */
void core_secure_tick(struct node *n, uint64_t now_ns);
void core_secure_answer(struct node *n, err_t err);
void core_secure_forget(struct node *n);
void core_ready_tell(struct node *n);           /* published, and nothing stands in the way of clients: hooks.ready, once */

/* hang.c */
void core_hang_tick(struct node *n);

/* metrics.c */
void core_metrics(struct node *n);
void core_known_peer(struct node *n, uint64_t id, bool known);
/* The gauges of all alarms in that list (node->alarms_blob; NULL: none). */
void core_alarm_metrics(const struct blob *alarms, bool raised);
/* Time of the apply that has just ended (node->out), logged if it took long; resp: its answer, NULL if nobody waits. */
void core_apply_observe(struct node *n, const struct raft_entry *e, const struct buf *resp);
/* Time of a proposal from its post to its answer. */
void core_request_observe(struct node *n, uint32_t field, bool success, uint64_t took_ns);

/* compact.c */
void core_compact_kick(struct node *n);
void core_compact_step(struct node *n);
void core_compact_hashed(struct node *n, struct job *j);

/* auto.c */
void core_auto_start(struct node *n);
void core_auto_compact(struct node *n, uint64_t now_ns);
void core_auto_compacted(struct node *n, err_t err);
void core_auto_defragged(struct node *n, err_t err);

/* watching.c */
void core_watch(struct node *n);
void core_watch_send(struct node *n);
void core_watch_call(struct node *n, struct msg *m);
void core_watch_task_done(struct node *n, struct job *j);

/* publish.c */
void core_publish(struct node *n);
void core_unpublish(struct node *n);            /* at the end; no reader */

/* auth.c */
void core_auth_loaded(struct node *n);
void core_auth_changed(struct node *n);
void core_auth_tick(struct node *n, uint64_t now_ns);
/* auth_log.c; any thread */
void node_auth_log(const struct auth_event *e);
err_t core_lease_permitted(struct node *n, const struct call *c, int64_t lease, enum auth_right right);
err_t core_lease_list_permitted(struct node *n, const struct call *c);

/* maintain.c */
void core_defrag(struct node *n);
void core_defrag_stepped(struct node *n);
void core_defrag_tick(struct node *n);

/* The file is being replaced, or about to be: nothing new begins with it. */
static inline bool core_installing(const struct node *n)
{
	return n->install != NULL;
}

static inline uint64_t core_now(const struct node *n)
{
	return sched_now_ns(n->sched);
}

#endif
