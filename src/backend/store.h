/* Where the small state machines (leases, alarms, members, auth) keep their rows: a table of two functions, so that
 * they stay pure. In a member it is the backend; in tests a map. Core actor only. */
#ifndef BACKEND_STORE_H
#define BACKEND_STORE_H

#include "backend/backend.h"

struct store {
	void *arg;
	void (*put)(void *arg, enum backend_bucket b, struct slice key, struct slice value);
	void (*del)(void *arg, enum backend_bucket b, struct slice key);
};

static inline void store_put(const struct store *s, enum backend_bucket b, struct slice key, struct slice value)
{
	s->put(s->arg, b, key, value);
}

static inline void store_delete(const struct store *s, enum backend_bucket b, struct slice key)
{
	s->del(s->arg, b, key);
}

#endif
