/* A lease that is kept alive while other things go on: what a lock, an election and keep-alive stand on.
 *
 *	session_begin(&s, c, ttl)        a new lease;   session_join(&s, c, id): one that is there
 *	… calls and waits; s.over turns true when the lease is lost …
 *	session_end(&s);                 renewing stops; the lease lives on until its time is over
 *
 * Renewed every third of its TTL; a stream that breaks is opened again after half a second, until the lease must be
 * over. */
#ifndef CTL_SESSION_H
#define CTL_SESSION_H

#include "ctl/ctl_impl.h"

struct session {
	struct ctl *c;
	int64_t id;
	struct client_call *call;
	uv_timer_t *timer;
	uint64_t end_ms;
	bool over;
	bool news;
	bool failed; /* over because of an error of the stream, in c->status */
	struct buf last;
	struct arena arena;
};

/* 0 or exit code, the error is printed. */
int session_begin(struct session *s, struct ctl *c, int64_t ttl);
void session_join(struct session *s, struct ctl *c, int64_t id);
void session_end(struct session *s);

enum session_event { SESSION_RENEWED, SESSION_LOST, SESSION_FAILED };
/* Waits for the next renewal; *r is good until the next call. */
enum session_event session_next(struct session *s, const Etcdserverpb__LeaseKeepAliveResponse **r);

#endif
