/* One end of a pair of transports on loopback sockets, with all that comes up from it recorded. */
#ifndef TESTS_UNIT_PEER_SIDE_H
#define TESTS_UNIT_PEER_SIDE_H

#include <pthread.h>

#include "../../lib/test.h"
#include "peer/peer.h"

#define CLUSTER UINT64_C(0xdc50b8daae93b3e0)
#define SHORT_MS 300                    /* the times of struct peer_timing that tests wait for */

struct side {
	struct sched *sched;
	struct peer_set *set;
	struct net_listener *listener;
	uint64_t id;
	char url[64];
	char dir[64];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	VEC(struct peer_received *) received;
	unsigned unreachable, snapshots_ok, snapshots_failed, removed;
	VEC(struct peer_request *) requests;
	bool answer_at_once;            /* 200, "<endpoint> <member id> <token> <body>" */
	bool free_at_once;              /* received messages are only counted */
	unsigned received_count;
};

/* port 0: any. */
void side_open(struct side *s, uint64_t id, uint64_t cluster, unsigned port);
void side_close(struct side *s);
/* Returns when the set has acted on what was posted to it so far. */
void side_settle(struct side *s);
unsigned side_port(const struct side *s);

/* Waits up to 30 s until the condition holds, lock held. */
#define SIDE_WAIT(s, cond)                                                                      \
	do {                                                                                    \
		struct timespec until_;                                                         \
		clock_gettime(CLOCK_REALTIME, &until_);                                         \
		until_.tv_sec += 30;                                                             \
		pthread_mutex_lock(&(s)->lock);                                                 \
		while (!(cond)) {                                                               \
			if (pthread_cond_timedwait(&(s)->changed, &(s)->lock, &until_)) {       \
				pthread_mutex_unlock(&(s)->lock);                               \
				fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #cond); \
			}                                                                       \
		}                                                                               \
		pthread_mutex_unlock(&(s)->lock);                                               \
	} while (0)

/* Polls up to 30 s: for what nobody tells. */
#define WAIT_UNTIL(cond)                                        \
	do {                                                    \
		int left_ = 3000;                               \
		while (!(cond) && left_--)                      \
			usleep(10000);                          \
		if (!(cond))                                    \
			fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #cond); \
	} while (0)

/* The n-th received message, or NULL. */
struct raft_message *side_message(struct side *s, size_t n);
struct peer_stats side_stats(struct side *s, uint64_t id);      /* zero if unknown */
bool side_streams_up(struct side *s, uint64_t id);              /* all four */
/* Sends one message; type MSG_APP gets entry_count entries of data_size bytes behind index. */
void side_send(struct side *s, enum raft_msg_type type, uint64_t to, uint64_t index, size_t entry_count, size_t data_size);

/* A blocking client: sends text to the side's listener, returns all that comes until the connection closes or 2 s. */
char *raw_ask(unsigned port, const char *text);
int raw_connect(unsigned port);

#endif
