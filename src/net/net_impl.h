/* Private to the net module. */
#ifndef NET_NET_IMPL_H
#define NET_NET_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "env/vfs.h"
#include "net/net.h"
#include "base/mem.h"

/* rest.c: a loop that syncs a lone write itself, and the second thread that takes the loop over when that takes long. */
struct net_rest {
	bool wanted;
	struct vfs_host host;
	bool turning;              /* within uv_run */
	struct vfs_io *taken;      /* to be done when uv_run has returned */
	unsigned bad;              /* so many times in a row somebody waited for the loop while it was away, or it was away for long */
	uint64_t fast_ns;          /* the fastest sync of late */
	uint64_t crowded_until_ns;
	bool answering;            /* the turn that ends writes what a sync of ours allowed */
	uint64_t answered_ns;      /* when it did; 0: the client has written since */
	uint64_t gap_ns;           /* from the last answer to the next write */
	_Atomic uint32_t number;   /* of the last loan */
	_Atomic uint32_t lent;     /* the number of the loan under way; 0: the driver has the loop */
	_Atomic bool away;         /* a driver lost the loop and has not come back from its sync */
	_Atomic bool watched;      /* the other thread looks at lent from time to time */
	pthread_t second;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool watch; /* under the lock: the other thread is asked to look */
	bool over;  /* under the lock: the loop has ended */
};

struct net_loop {
	uv_loop_t uv;
	int event_fd;  /* written by a wake from another thread; uv_async would make the woken wait for the waker */
	uv_poll_t event;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t timer;
	struct actor *actor;
	const struct actor_ops *host_ops;
	void *host_self;
	const char *name;
	pthread_t thread;
	_Atomic bool running;
	bool woken;    /* by this thread, within the turn */
	bool turn_due; /* something ran outside the poll phase */
	struct list tasks;
	struct list streams;
	VEC(struct net_timer *) timers; /* binary heap by at_ms */
	uint64_t armed_ms;              /* of the uv timer; UINT64_MAX: off */
	uint8_t *read_buf;              /* NET_READ_SIZE, one for all streams: reading is synchronous */
	struct net_rest rest;
};

/* loop.c: the calling thread becomes the loop's, or is it no longer. */
void net_loop_enter(struct net_loop *l);
void net_loop_leave(struct net_loop *l);

/* rest.c */
void net_rest_init(struct net_loop *l);
void net_rest_fini(struct net_loop *l);
/* Before the loop sleeps. */
void net_rest_linger(struct net_loop *l);
/* The life of the loop's threads. */
void *net_rest_first(void *loop);
void *net_rest_second(void *loop);

/* timer.c: earliest time, UINT64_MAX if none; fires what is due. */
uint64_t net_timers_next(const struct net_loop *l);
void net_timers_run(struct net_loop *l, uint64_t now_ms);

/* Called once when a stream's socket is closed. */
struct net_stream *net_stream_open_counted(struct net_loop *l, int take_fd, void (*closed)(void *arg), void *arg);
void net_streams_close_all(struct net_loop *l);

/* addr.c */
struct sockaddr_storage;
/* "127.0.0.1:80", "[::1]:80", "@" or a path. */
void net_addr_print(const struct sockaddr_storage *a, socklen_t size, char *out, size_t out_size);
/* Splits "host:port", "[v6]:port"; host may be empty. */
bool net_addr_split(const char *address, char *host, size_t host_size, char *port, size_t port_size);
/* Fills a unix address; "@name" is abstract. */
bool net_addr_unix(const char *path, struct sockaddr_storage *out, socklen_t *size);
/* As Go prints an errno: the system's words in lower case. */
const char *net_errno_text(int sys_errno, char *buf, size_t size);

#endif
