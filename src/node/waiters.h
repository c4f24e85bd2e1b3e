/* Private to src/node: the calls that wait for an entry with their id to be applied. Core only.
 * A hash table by id, and a list in order of arrival, so that the server's time limit is checked at one end. */
#ifndef NODE_WAITERS_H
#define NODE_WAITERS_H

#include "node/call.h"

struct waiters {
	struct call **table;
	size_t room;            /* power of two */
	size_t count;
	struct list order;
};

void waiters_init(struct waiters *w);
void waiters_fini(struct waiters *w);           /* calls still in it belong to their origins */
void waiters_add(struct waiters *w, struct call *c);
/* Takes the call out; NULL if none has that id. */
struct call *waiters_take(struct waiters *w, uint64_t id);
bool waiters_has(const struct waiters *w, uint64_t id);
/* The oldest, or NULL. Stays in. */
struct call *waiters_oldest(const struct waiters *w);

#endif
