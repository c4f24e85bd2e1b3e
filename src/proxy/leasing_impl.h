/* What leasing.c (calls of clients) and leasing_session.c (the session, and the leasing keys) share. */
#ifndef PROXY_LEASING_IMPL_H
#define PROXY_LEASING_IMPL_H

#include "proxy/grpc_proxy.h"
#include "proxy/leasing_cache.h"
#include "proxy/leasing_txn.h"

enum { LEASING_RETRY_MS = 1000 };

struct leasing {
	struct grpc_proxy *px;
	struct prefix prefix;
	struct leasing_cache cache;
	struct list calls;
	struct list releases;
	/* session */
	struct client_call *grant, *renewal;
	struct net_timer timer;         /* to grant, or to renew */
	int64_t lease;                  /* 0: none */
	bool is_asked;                  /* a renewal is under way */
	uint64_t asked_ns, trusted_ns;
	/* the leasing keys' events */
	struct client_watch *watch;
	struct net_timer rewatch;
	bool watching;
	uint8_t end[];
};

static inline uint64_t leasing_now_ms(const struct leasing *l)
{
	return net_loop_now_ms(l->px->loop);
}

/* leasing_session.c: a transaction of our own; the namespace goes around what it asks. */
struct client_call *leasing_start_txn(struct leasing *l, struct slice body, const struct client_call_opts *co,
				      const struct client_events *events, void *user);
/* The leasing key of a key that this proxy owns is given up: deleted, if it is still of its lease. */
void leasing_give_up(struct leasing *l, struct slice key);

/* leasing.c: a leasing key is gone; those who wait for it go on. */
void leasing_deleted(struct leasing *l, struct slice key, int64_t revision);

#endif
