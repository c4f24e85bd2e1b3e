/* What lock and elect share: a key under a prefix, named by the session's lease, whose turn comes when all that were
 * created before it are gone. The same keys and revisions as upstream's concurrency package, so both kinds of client
 * can stand in one queue. */
#ifndef CTL_MUTEX_H
#define CTL_MUTEX_H

#include "ctl/session.h"
#include "ctl/signals.h"

struct turn {
	struct ctl *c;
	struct session session;
	struct signals signals;
	struct slice prefix;  /* "name/" */
	struct slice key;     /* "name/<lease>" */
	int64_t revision;     /* that the key was created at */
	int64_t got_revision; /* of the response that gave the turn */
};

/* A session with this TTL, and the key with this value. 0 or exit code. */
int turn_begin(struct turn *t, struct ctl *c, const char *name, const char *value, int64_t ttl);
/* Waits until nobody is before us. 0, or exit code; a signal ends it too, and then the key is gone. */
int turn_wait(struct turn *t);
/* Prints the key (a get response). 0 or exit code; missing: why it cannot be there. */
int turn_print(struct turn *t, const char *missing);
/* Until a signal (true) or the end of the session (false). */
bool turn_hold(struct turn *t);
/* Deletes the key if it is still ours. 0 or exit code. */
int turn_leave(struct turn *t);
void turn_end(struct turn *t);

/* First by creation of the keys with this prefix; *resp->n_kvs is 0 or 1. */
bool first_created(struct ctl *c, struct slice prefix, Etcdserverpb__RangeResponse **resp);

#endif
