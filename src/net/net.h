/* io loops, listeners and byte streams, on libuv.
 *
 *	struct net_loop *l = net_loop_new(sched, "io0", &io_ops, self);     hosts the actor net_loop_actor(l)
 *	net_loop_start(l);                                                  its thread
 *	net_listen(&opts, &why, &listener);                                 opts.on_accept(arg, loop, stream) runs on a
 *loop
 *	... net_listener_close(listener); net_loop_stop(l); net_loop_free(l);
 *
 * A loop is one thread, one uv_loop and one hosted actor. Socket events, timers, turn tasks and the actor's
 * messages all run on that thread with the actor marked as current, so ASSERT_ON(net_loop_actor(l)) holds in
 * every callback. One turn of the loop is: events, then the actor's messages, then turn tasks (where the http
 * module writes what was gathered: one system call per connection and turn).
 *
 * A byte stream is a table (struct net_stream_ops), so that TLS can sit between a socket and its user: the
 * layer above sees the same calls. Threads: "any" where said, else the loop's thread. */
#ifndef NET_NET_H
#define NET_NET_H

#include <sys/types.h>
#include <sys/uio.h>

#include "actor/actor.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

#define NET_READ_SIZE (64 * 1024) /* the most that one on_read brings */

/* --- loops --- */

struct net_loop;
struct uv_loop_s;

/* Message kinds from here up are net's own; the host's actor never sees them. */
#define NET_MSG_KIND_FIRST 0xffff0000u

/* ops and self: the actor hosted by this loop. Before start and after stop any thread. */
struct net_loop *net_loop_new(struct sched *s, const char *name, const struct actor_ops *ops, void *self);
/* Before the start. A file sync that begins on this loop, small and while nothing else is to do, is done by the loop's own
 * thread before it sleeps: no other thread is woken for it. Whoever comes meanwhile waits; if three syncs in a row were slow,
 * or somebody waited longer than a millisecond for them, the loop does no such thing for as long as eight syncs take. When a
 * sync takes 5 to 10 ms, a second thread goes on with the loop (S1 of rest.c). */
void net_loop_sync_in_place(struct net_loop *l);
void net_loop_start(struct net_loop *l);
/* Any other thread: ends the thread after it closed what net owns. Streams still open are closed without
 * on_closed: their users are ended before (http_io_close). */
void net_loop_stop(struct net_loop *l);
void net_loop_free(struct net_loop *l);
struct actor *net_loop_actor(struct net_loop *l);
struct uv_loop_s *net_loop_uv(struct net_loop *l); /* for other handles; close them before net_loop_stop */
uint64_t net_loop_now_ms(struct net_loop *l);      /* monotonic, taken once a turn */
struct net_loop *net_loop_current(void);           /* NULL outside a loop's thread */

/* A call to be made on the loop. Any thread; in order per caller. */
struct net_call {
	struct msg msg;
	void (*run)(struct net_call *c);
};
void net_loop_call(struct net_loop *l, struct net_call *c, void (*run)(struct net_call *c));
/* The same, and waits until it ran. Any thread but the loops'. */
void net_loop_call_wait(struct net_loop *l, void (*run)(void *arg), void *arg);

/* Runs once at the end of this turn, after the actor's messages. Adding twice is harmless. */
struct net_task {
	struct list node;
	void (*run)(struct net_task *t);
};
void net_task_init(struct net_task *t, void (*run)(struct net_task *t));
void net_task_add(struct net_loop *l, struct net_task *t);
void net_task_cancel(struct net_task *t);

/* Timers: one heap per loop, no allocation, millisecond grain. */
struct net_timer {
	uint64_t at_ms;
	size_t slot; /* heap position + 1; 0 = not set */
	void (*fire)(struct net_timer *t);
};
void net_timer_init(struct net_timer *t, void (*fire)(struct net_timer *t));
void net_timer_set(struct net_loop *l, struct net_timer *t, uint64_t at_ms); /* again: moves it */
void net_timer_cancel(struct net_loop *l, struct net_timer *t);

/* Blocking work on other threads: run there, then done on the loop, always. On the loop. The loop may end only after done. */
void net_work(struct net_loop *l, void (*run)(void *arg), void (*done)(void *arg), void *arg);

/* --- byte streams --- */

struct net_stream;

struct net_events {
	/* data is valid during the call. The stream may be closed in it. */
	void (*on_read)(void *owner, struct slice data);
	void (*on_eof)(void *owner);               /* the peer sends no more */
	void (*on_writable)(void *owner);          /* what write kept back has gone out */
	void (*on_failed)(void *owner, err_t err); /* the connection is lost: close it */
};

struct net_stream_ops {
	/* Takes all bytes: writes what the socket takes now, keeps a copy of the rest until it goes out. While
	 * net_stream_unsent() > 0 callers wait for on_writable, so that at most one call's bytes are kept.
	 * Failures are reported by on_failed, later. */
	void (*write)(struct net_stream *s, const struct iovec *iov, int count);
	size_t (*unsent)(const struct net_stream *s);
	void (*read_enable)(struct net_stream *s, bool on);
	/* No callback comes after. linger: first sends what is kept, ends our side, and waits up to a second for
	 * the peer to end his, so that our last bytes are not lost to a reset. */
	void (*close)(struct net_stream *s, bool linger);
	/* Ends our side once what is kept has gone out; reading goes on. NULL: this stream cannot. */
	void (*end)(struct net_stream *s);
};

/* Who is at the other end. Strings are NUL-terminated and live as long as the stream. */
struct net_peer {
	char remote[112]; /* "127.0.0.1:4711", "[::1]:4711", unix: "@" or the path */
	char local[112];
	bool is_unix;
	bool is_tls;
	const char *cert_cn; /* of a verified client certificate, "" if it names nobody; NULL without one */
};

struct net_stream {
	const struct net_stream_ops *ops;
	const struct net_events *events;
	void *owner;
	struct net_loop *loop;
	struct net_peer peer;
	void *listener_arg; /* of the listener that accepted it */
};

static inline void net_stream_set_owner(struct net_stream *s, const struct net_events *events, void *owner)
{
	s->events = events;
	s->owner = owner;
}

static inline void net_stream_write(struct net_stream *s, const struct iovec *iov, int count)
{
	s->ops->write(s, iov, count);
}

static inline size_t net_stream_unsent(const struct net_stream *s)
{
	return s->ops->unsent(s);
}

static inline void net_stream_read_enable(struct net_stream *s, bool on)
{
	s->ops->read_enable(s, on);
}

static inline void net_stream_close(struct net_stream *s, bool linger)
{
	s->ops->close(s, linger);
}

/* Sockets only (not TLS): no write after it. */
static inline void net_stream_end(struct net_stream *s)
{
	s->ops->end(s);
}

/* A connected or accepted socket becomes a stream of this loop; take_fd is closed with it. Reading is off. */
struct net_stream *net_stream_open_fd(struct net_loop *l, int take_fd);

/* A stream that first gives these bytes, which were read from raw to see what it is, and then goes on with raw. Reading is off.
 * Not from within raw's on_read of a stream that is closed in it. */
struct net_stream *net_stream_replay(struct net_stream *take_raw, struct slice first);

/* Connects to "host:port" or a unix path without blocking; name lookup on libuv's threads. done gets the stream
 * (err OK) or NULL and a line such as "dial tcp 127.0.0.1:1: connect: connection refused". */
struct net_dial;
typedef void net_dial_done(void *arg, err_t err, const char *why, struct net_stream *take_s);
struct net_dial *net_dial(struct net_loop *l, const char *network, const char *address, uint64_t timeout_ms,
			  net_dial_done *done, void *arg);
/* From this address (an IP literal; NULL: any), where the families agree. At once after net_dial. */
void net_dial_from(struct net_dial *d, const char *local_ip);
void net_dial_cancel(struct net_dial *d); /* before done; done is not called */

/* --- listeners --- */

struct net_listen_opts {
	const char *network; /* "tcp" or "unix" */
	const char *address; /* "127.0.0.1:2379", "[::]:2379", "localhost:0"; unix: path, "@name" = abstract */
	bool reuse_port;
	bool reuse_address;      /* SO_REUSEADDR is always set, as Go does; kept for the flag's sake */
	uint32_t conns_max;      /* more wait in the kernel's queue; 0 = no limit of its own */
	struct net_loop **loops; /* connections go round; loops[0] accepts */
	unsigned loop_count;
	/* On the thread of loop; the stream is the callee's, reading is off until net_stream_read_enable. */
	void (*on_accept)(void *arg, struct net_loop *loop, struct net_stream *take_s);
	void *arg; /* also in take_s->listener_arg */
};

struct net_listener;

/* Any thread, loops started or not. Failure: why holds Go's words, "listen tcp 127.0.0.1:2379: bind: address
 * already in use". A wildcard address listens for both IPv4 and IPv6 where the system has both. An old unix
 * socket file is removed first. */
NODISCARD err_t net_listen(const struct net_listen_opts *o, struct why *why, struct net_listener **out);
const char *net_listener_address(const struct net_listener *l); /* with the real port */
uint32_t net_listener_conns(const struct net_listener *l);      /* open now; any thread */
/* Any thread but the loops', before net_loop_stop of loops[0]; accepted streams live on. */
void net_listener_close(struct net_listener *l);

#endif
