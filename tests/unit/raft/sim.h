/* A cluster of raft objects on a bad network with disks that forget what was not written, all drawn from a seed.
 *
 * Checked after every step: one leader per term; what one member applied at an index, every other applies there too
 * (a hash over everything before stands for it); applied in order, without gaps; a read index is never below what was
 * committed anywhere when the read was asked; the invariants of each object. At the end faults stop, and the cluster
 * must agree on something new. */
#ifndef TESTS_UNIT_RAFT_SIM_H
#define TESTS_UNIT_RAFT_SIM_H

#include "base/rng.h"
#include "raft/raft.h"

enum { SIM_NODES_MAX = 5, SIM_ACTIONS = 15 };

struct sim_node {
	uint64_t id;
	struct raft *raft;              /* NULL: down */
	struct raft_mem_storage *disk;  /* survives */
	VEC(struct raft_message) append_queue;  /* lost with a crash */
	VEC(struct raft_message) apply_queue;
	uint64_t applied;
	uint64_t chain;                 /* hash of all that was applied */
	struct raft_conf_state conf;    /* at applied */
	bool cut;                       /* from the others */
};

struct sim_options {
	size_t node_count;
	size_t voter_count;
	uint32_t election_ticks;
	bool pre_vote;
	bool check_quorum;
	bool step_down_on_removal;
	bool apply_at_once;             /* as the server does; else applies are late, too */
	unsigned deliver_percent;       /* of all steps */
	unsigned drop_percent;
	unsigned duplicate_percent;
	uint64_t size_max;              /* of messages and applies */
	uint32_t inflight_max;
};

struct sim {
	uint64_t seed;
	struct rng rng;
	struct sim_options options;
	struct sim_node nodes[SIM_NODES_MAX];
	unsigned weights[SIM_ACTIONS];  /* of what may happen to a node */
	unsigned weight_sum;
	struct raft_ready ready;
	VEC(struct raft_message) net;
	VEC(uint64_t) chains;           /* by index: the hash that every member has there, 0 unknown */
	VEC(uint64_t) leaders;          /* by term */
	VEC(uint64_t) read_floors;      /* by number of the read */
	uint64_t commit_max;
	uint64_t proposals;
	uint64_t trace;                 /* hash of everything that happened */
	struct {
		unsigned elections, commits, snapshots, crashes, reads, conf_changes;
	} seen;
};

void sim_init(struct sim *s, uint64_t seed);
void sim_fini(struct sim *s);
void sim_step(struct sim *s);
/* Ends the faults; returns false if the members do not agree in reasonable time. */
bool sim_heal(struct sim *s);
/* The one way in which raft itself gets stuck: a member applied its own removal and has entries that no voter has; a
 * voter that lost the commit index with its power needs the vote of that member, and does not get it. */
bool sim_is_locked_out(const struct sim *s);
void sim_print(const struct sim *s, struct buf *out);

#endif
