/* Private to src/node: the state machines as one database file holds them; made at start and again from the file of an installed
 * snapshot.
 *
 *	state_init(&s, n);  state_open(&s, n, path, why);  state_load(&s, n, why);  state_mvcc(&s, n, why);
 *	state_take(n, &s);              they become the node's        or        state_fini(&s);
 *
 * Nothing of the node is changed before state_take, and nothing is written into the file before state_mvcc; so all but
 * state_take may run on the backend actor while core goes on with the state it has. */
#ifndef NODE_STATE_H
#define NODE_STATE_H

#include "node/node.h"

/* Rows of bucket key: of the front half of the file, or of all of it; of the back half. */
struct key_rows {
	struct mvcc_loader *loader;
	struct why why;
};

struct node_state {
	struct bolt *db;
	struct bolt_pin *pin;                   /* of the file as it was opened */
	struct backend_meta meta;               /* borrows pin */
	struct key_rows rows, back_rows;
	struct backend *backend;
	struct mvcc *mvcc;
	struct lessor *lessor;
	struct alarms alarms;
	struct members *members;
	struct auth *auth;
	char storage_version[16];
};

void state_init(struct node_state *s, struct node *n, uint64_t hash_seed);
/* Reads the file once: pages are checked, free ones found, rows of bucket key taken along; then meta. ERR_LOCKED: another process
 * has it. May be called again after state_close. */
NODISCARD err_t state_open(struct node_state *s, struct node *n, const char *path, struct why *why);
void state_close(struct node_state *s);
/* The small machines. */
NODISCARD err_t state_load(struct node_state *s, const char *path, struct why *why);
/* Missing buckets, backend, key index. */
NODISCARD err_t state_mvcc(struct node_state *s, struct node *n, const char *path, struct why *why);
void state_fini(struct node_state *s);
/* s is left empty; what the node had is not freed. auth_loaded is still to be called: it may write. */
void state_take(struct node *n, struct node_state *take_s);

#endif
