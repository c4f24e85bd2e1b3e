/* A handful of raft nodes and the wire between them, driven step by step by a transcript. Everything that happens is
 * printed: what each node hands out, each message when it arrives, each line that raft logs. */
#ifndef TESTS_DATADRIVEN_RAFT_ENV_H
#define TESTS_DATADRIVEN_RAFT_ENV_H

#include "raft/raft.h"

enum { ENV_NODES_MAX = 16, ENV_LEVEL_NONE = RAFT_LOG_FATAL + 1 };

struct env;
typedef VEC(struct raft_message) env_messages;

/* A node keeps an image of its state machine for each entry it applied; the newest one is what it sends as snapshot. */
struct env_node {
	struct raft_storage base;       /* reads through to mem, but for the snapshot */
	struct env *env;
	struct raft_mem_storage *mem;
	struct raft *raft;
	struct raft_config config;
	struct raft_ready ready;
	env_messages append_work;
	env_messages apply_work;
	struct raft_snapshot newest;
	bool snapshots_closed;          /* temporarily unavailable */
};

struct env {
	struct env_node *nodes[ENV_NODES_MAX];
	size_t node_count;
	env_messages messages;          /* in flight, in order */
	struct buf *out;                /* of the present command or indented part of it */
	struct raft_config options;     /* of the nodes that are added next */
	int level;                      /* lines of this level and above are printed; NONE: nothing at all */
};

struct env *env_new(void);
void env_free(struct env *env);
struct env_node *env_node(struct env *env, uint64_t id);        /* ids start at 1 */

void env_printf(struct env *env, const char *fmt, ...) PRINTF(2, 3);
bool env_quiet(const struct env *env);
/* Collects what is printed until env_unindent, which prints it two spaces to the right. */
struct buf *env_indent(struct env *env, struct buf *inner);
void env_unindent(struct env *env, struct buf *outer);

/* snap NULL: empty storage. Returns the text of what is wrong, or NULL. */
const char *env_add_node(struct env *env, const struct raft_config *config, const struct raft_snapshot *snap);
/* The process dies and comes back with what its storage has, the state machine as it was. */
void env_restart(struct env *env, struct env_node *n, uint64_t applied);
void env_process_ready(struct env *env, struct env_node *n);
void env_process_append(struct env *env, struct env_node *n);
void env_process_apply(struct env *env, struct env_node *n);
void env_push(struct env *env, struct raft_message take);

/* Messages to id of this type (-1: any) arrive, or get lost; how many. Local ones are never lost. */
struct env_recipient {
	uint64_t id;
	bool drop;
};

size_t env_deliver(struct env *env, struct env_recipient to, int type);
bool env_has_messages(const struct env *env, uint64_t id);
/* Until a whole round over the nodes does nothing. */
void env_stabilize(struct env *env, struct env_node *const *nodes, size_t count);

#endif
