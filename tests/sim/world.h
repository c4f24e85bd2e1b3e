/* The simulated world around nodes: one scheduler, a lying disk, clients at the boundary of decoded calls, a history.
 *
 * Everything is a function of the seed: order of steps, delays, faults, ids. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <setjmp.h>

#include "actor/actor.h"
#include "api/api.h"
#include "base/rng.h"
#include "env/vfs_mem.h"
#include "node/node.h"

enum op_kind_sim { SIM_PUT, SIM_DELETE, SIM_RANGE, SIM_RANGE_SERIALIZABLE };
enum op_end { SIM_PENDING, SIM_OK, SIM_REFUSED, SIM_UNKNOWN };   /* UNKNOWN: may have happened or not */

struct sim_op {
	enum op_kind_sim kind;
	enum op_end end;
	unsigned client;
	unsigned key;
	uint64_t value;                 /* of a put: unique. Of a range: what was read, 0 = no such key */
	int64_t rev;                    /* header revision of the answer */
	int64_t mod_rev;                /* of a range */
	bool changed;                   /* a delete that deleted */
	uint64_t start_ns, end_ns;
	err_t err;
};

struct sim_client {
	struct world *world;
	unsigned id;
	struct api_rpc *rpc;
	size_t op;                      /* index into the history */
	bool busy;
	struct buf message;
	struct msg go;
	unsigned life;                  /* of the node that got the request */
};

#define SIM_CLIENTS_MAX 8
#define SIM_KEYS 6

struct world {
	uint64_t seed;
	struct rng rng;
	struct sched *sched;
	struct vfs_mem *disk;
	struct node *node;
	struct api *api;
	struct api_io *io;
	struct actor *io_actor;
	struct sim_client clients[SIM_CLIENTS_MAX];
	unsigned client_count;
	VEC(struct sim_op) history;
	uint64_t next_value;
	unsigned life;                  /* how often the node was started */
	unsigned group;
	bool ready;
	bool leaked;
	bool died;                      /* FATAL in a step */
	bool quiet;                     /* clients start no further calls */
	struct {
		uint64_t steps, crashes, fatals, acked, reads;
	} count;
	/* knobs */
	uint32_t batch_ms;
	uint64_t snapshot_count;
	uint64_t wal_segment_bytes;
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w);

/* Starts the node on what the disk has. False: node_open met the planned fault (why tells). */
bool world_start(struct world *w, struct why *why);
/* Runs until virtual time or until the disk lost power or the node ended itself. False in the latter two cases. */
bool world_run(struct world *w, uint64_t ns);
/* The power goes: what the disk had not made durable is lost, calls in flight are of unknown outcome. */
void world_crash(struct world *w);
void world_stop(struct world *w);       /* orderly */
/* Lets all calls in flight come back. */
void world_settle(struct world *w);

/* check.c: fails the test with the seed and a line if the history contradicts what the store has now. */
void world_check(struct world *w);

#endif
