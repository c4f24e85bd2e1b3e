/* The simulated world: real nodes on one scheduler, each with a lying disk of its own, a network between them, clients at the boundary
 * of decoded calls, and faults. One thread; everything is a function of the seed: order of steps, delays, faults, ids.
 *
 *	w = world_new(seed, NULL);  world_play(w);  world_free(w);
 *
 *	sites ── net.c ── other sites            raft messages, snapshots in chunks, questions among members
 *	  │
 *	client.c, watcher.c ── calls of api.h    answers are checked when they arrive (check.c), against model.h
 *	  │
 *	nemesis.c                                 what the seed does to disks, processes, links; then healing, and what must hold then
 *
 * A violation ends the process with the seed and a line (sim_fail). */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <setjmp.h>

#include "actor/actor.h"
#include "api/api.h"
#include "base/rng.h"
#include "env/vfs_mem.h"
#include "model.h"
#include "node/node.h"

#define SITES_MAX 7
#define CLIENTS_MAX 8
#define WATCHERS_MAX 8
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

struct world;
struct site;
struct sim_call;

/* ---- calls: from a client to a site and back, with the network's delays ---- */

/* What the client gets, in order: messages, then the end. */
struct call_answer {
	struct msg msg;
	struct sim_call *call;
	struct blob *message;           /* NULL: the end */
	err_t err;
	bool lost;                      /* the site died with it */
};

struct call_handler {
	/* On the world's actor. message: one answer; end: the last thing, the call is not the client's any more. */
	void (*message)(void *arg, struct sim_call *c, struct slice message);
	void (*end)(void *arg, struct sim_call *c, err_t err, bool lost);
};

struct sim_call *call_begin(struct site *s, enum rpc method, struct slice body, const struct call_handler *h, void *arg);
void call_send(struct sim_call *c, struct slice body);          /* a further message of a stream */
/* The client goes away: no more handler calls. */
void call_drop(struct sim_call *c);
/* A stream's reader: how many unread messages make the server wait, and how long each takes. */
void call_slow(struct sim_call *c, unsigned unread_max, uint64_t read_ns);
/* Between the parts of a large message that long passes at most. */
void call_slow_parts(struct sim_call *c, uint64_t part_ns);
void calls_fast(struct world *w);                               /* no slow reader any more */
/* Who it is of: rights.h. Without: of root, in a world with rights. */
void call_as(struct sim_call *c, unsigned who);
struct site *call_site(struct sim_call *c);
/* Every call of the site ends: its process did. */
void calls_lost(struct site *s);
bool calls_idle(const struct world *w);

/* ---- sites ---- */

struct site {
	struct world *w;
	unsigned number;
	char name[16], url[40], other_url[40], client_url[40];
	struct rng rng;                 /* of the process: random bytes */
	struct vfs_mem *disk;
	bool up, paused, died;          /* died: FATAL in a step */
	bool exists;                    /* has a disk that belongs to a member */
	bool joined;                    /* came by MemberAdd */
	bool removed;
	bool leaked;                    /* a process died in a step and kept files open: the disk is never freed */
	bool ready;
	unsigned life;                  /* starts so far */
	uint32_t group;
	uint64_t up_ns, paused_ns;
	uint64_t disk_slow_ns;          /* > 0: asynchronous writes take up to that long */
	bool disk_hangs;
	bool finishing;                 /* a finish of an asynchronous write is under way */
	struct msg finish;
	uint64_t member_id;
	int64_t rev_seen;               /* of this life: publications do not go back */
	const char *peer_urls[1], *client_urls[1];
	const char *root_hash;          /* of a root password that it is started with; NULL: none */
	struct node *node;
	struct api *api;
	struct api_io *io;
	struct actor *io_actor;
	struct node_transport transport;
	VEC(uint64_t) peers;            /* that the node told the carrier */
	VEC(uint64_t) refused;          /* removed members */
};

/* ---- clients ---- */

struct op {
	enum rpc method;
	struct blob *body;
	uint64_t start_ns, end_ns;
	int64_t rev_floor;              /* a linearizable answer has at least this revision */
	uint64_t index_floor;           /* and a write at least this index, exclusive */
	int64_t compact_floor;          /* and is refused below this one */
	int64_t site_floor;             /* what the same process answered before */
	unsigned life;
	bool linearizable;
	bool in_log;                    /* a write */
	bool refused;                   /* it must never be found in the log */
	int64_t lease;
	unsigned who;                   /* rights.h */
};

struct client {
	struct world *w;
	unsigned id;
	struct sim_call *call;          /* NULL: idle */
	size_t op;
	struct msg go, give_up;
	bool give_up_set;
	uint64_t give_up_ns;            /* of the call under way */
	struct buf message;
	int64_t leases[4];              /* that it holds and renews */
};

struct watcher_client {
	struct world *w;
	unsigned id;
	struct sim_call *call;
	struct site *site;
	struct msg go;
	bool go_set;
	/* of the watch, over all streams that carried it */
	bool begun;
	char key[8], end[8];
	size_t key_size, end_size;
	bool prev_kv, no_put, no_delete, progress_notify, fragment;
	size_t at;                      /* next event that may be owed: index into model.events */
	int64_t next;                   /* nothing below this revision is owed */
	/* of the stream */
	bool created;
	int64_t start;                  /* asked for; 0: from now on */
	uint64_t until_ns;              /* then the client goes elsewhere */
};

/* ---- the world ---- */

struct net;

struct knobs {
	unsigned sites, clients, watchers, keys;
	uint32_t batch_ms, batch_limit, compaction_batch_limit, slice_rows;
	uint64_t snapshot_count, catchup_entries, wal_segment_bytes;
	uint32_t value_bytes_max;
	int64_t quota_bytes;
	uint64_t think_ns;              /* clients wait up to that long between calls */
	uint64_t net_delay_ns;          /* a message takes up to that long */
	uint32_t drop_per_mille, duplicate_per_mille, rot_per_mille;
	unsigned faults;                /* how many */
	uint64_t fault_gap_ns;
	bool disk_faults, process_faults, net_faults, pauses, stutters, membership, slow_readers, slow_disks;
	bool rights;                    /* clients are users, and authentication comes and goes */
};

struct world {
	uint64_t seed;
	struct rng rng;
	struct knobs k;
	struct sched *sched;
	struct actor *actor;            /* clients, network, disks: outside of all processes */
	struct net *net;
	struct model model;
	struct site sites[SITES_MAX];
	unsigned site_count;
	struct client clients[CLIENTS_MAX];
	struct watcher_client watchers[WATCHERS_MAX];
	struct op *ops;
	size_t op_count, op_room;
	struct list calls;
	uint64_t next_value;
	uint64_t digest;                /* over all answers and messages, beside the scheduler's trace */
	int64_t rev_floor;              /* of ended linearizable calls */
	uint64_t index_floor;
	int64_t compact_floor;          /* acknowledged compaction */
	struct {
		struct sim_call *call;
		int kind;
		struct site *target;
		uint64_t until_ns;
	} admin;                        /* the operator's request (members.c) */
	bool quiet;                     /* clients begin nothing more */
	bool healed;
	bool closing;                   /* watchers too */
	struct {
		uint64_t steps, calls, answered, failed, lost, events, crashes, kills, fatals, pauses, cuts, snapshots, snapshots_failed, messages,
			dropped, member_changes, transfers;
	} count;
};

/* Kinds of messages on the world's actor. */
enum world_kind { W_CLIENT_GO = 1, W_CLIENT_GIVE_UP, W_WATCHER_GO, W_ANSWER, W_NET, W_DISK };

struct world *world_new(uint64_t seed, const struct knobs *k);
void world_free(struct world *w);
/* The whole run: faults, healing, final checks. Returns the hash over everything that happened. */
uint64_t world_play(struct world *w);
static inline uint64_t now_ns(const struct world *w)
{
	return sched_now_ns(w->sched);
}
static inline uint64_t draw(struct world *w, uint64_t end)
{
	return rng_below(&w->rng, end);
}
static inline bool chance(struct world *w, unsigned percent)
{
	return rng_below(&w->rng, 100) < percent;
}
void world_digest(struct world *w, const void *data, size_t size);
void world_post(struct world *w, struct msg *m, uint64_t delay_ns);     /* to the world's actor */

/* world.c: processes */
struct site *site_new(struct world *w);
bool site_start(struct site *s);        /* false: it met a planned fault */
/* power: the machine loses it; else only the process ends. */
void site_end(struct site *s, bool power);
void site_pause(struct site *s, bool paused);
/* One step of the world until a virtual time. False: the time has come. Sites that died or lost power in it were ended. */
bool world_step(struct world *w, uint64_t until_ns);
void world_run(struct world *w, uint64_t ns);
struct site *site_of_member(struct world *w, uint64_t id);
struct site *site_random(struct world *w);      /* running, not paused; NULL: none */
struct site *site_leader(struct world *w);      /* that believes to lead, of the highest term; NULL */

/* net.c */
void net_new(struct world *w);
void net_free(struct world *w);
void net_transport(struct site *s);
void net_receive(struct world *w, struct msg *m);
void net_site_ended(struct site *s);
void net_cut(struct world *w, unsigned from, unsigned to, bool cut);    /* one way */
void net_heal(struct world *w);
void net_slow(struct world *w, unsigned from, unsigned to, uint64_t ns);

/* client.c, watcher.c */
void clients_start(struct world *w);
void client_go(struct client *c);
void client_give_up(struct client *c);
void watcher_go(struct watcher_client *c);
bool watchers_have_all(struct world *w);
void watchers_check(struct world *w);           /* fails if not */
void watchers_stop(struct world *w);

/* members.c */
void members_step(struct world *w);             /* perhaps a request of the operator */
void members_start_joined(struct world *w);     /* those that were added and never ran */
void members_settle(struct world *w);
char *members_initial_cluster(struct site *s);  /* for one that joins; the caller's */

/* check.c */
void check_answer(struct world *w, struct site *s, const struct op *op, size_t tag, struct slice message, err_t err);
void check_watch(struct watcher_client *c, struct slice message);
/* A healed world that went quiet: every member has the same, and what the model has. */
void check_final(struct world *w);

/* nemesis.c */
void nemesis_play(struct world *w);
void nemesis_heal(struct world *w);

#endif
