/* Listening sockets. loops[0] watches the socket and accepts; connections go round the loops as plain file
 * descriptors. (SO_REUSEPORT with one socket a loop spreads 50 connections badly: the kernel hashes.)
 *
 * A listener is counted: by its owner and by each connection that it accepted, wherever that lives. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/net_impl.h"

#define ACCEPT_BATCH 64
#define ACCEPT_RETRY_MS 50 /* after running out of descriptors or reaching conns_max */

struct net_listener {
	struct net_listen_opts opts;
	struct net_loop **loops;
	int fd;
	uv_poll_t poll;
	struct net_timer retry;
	unsigned next_loop;
	_Atomic uint32_t conns;
	_Atomic uint32_t refs;
	bool open;
	char address[128];
	char unix_path[112]; /* to be removed at the end; "" if none */
};

static void listener_unref(struct net_listener *n)
{
	if (atomic_fetch_sub(&n->refs, 1) != 1)
		return;
	mem_free(n->loops);
	mem_free(n);
}

static void conn_closed(void *arg)
{
	struct net_listener *n = arg;

	atomic_fetch_sub(&n->conns, 1);
	listener_unref(n);
}

static void take_conn(struct net_listener *n, struct net_loop *l, int fd)
{
	struct net_stream *s = net_stream_open_counted(l, fd, conn_closed, n);

	s->listener_arg = n->opts.arg;
	n->opts.on_accept(n->opts.arg, l, s);
}

struct handover {
	struct net_call call;
	struct net_listener *listener;
	int fd;
};

static void take_handover(struct net_call *c)
{
	struct handover *h = CONTAINER_OF(c, struct handover, call);

	take_conn(h->listener, net_loop_current(), h->fd);
	mem_free(h);
}

static void hand_over(struct net_listener *n, int fd)
{
	struct net_loop *l = n->loops[n->next_loop++ % n->opts.loop_count];
	struct handover *h;

	atomic_fetch_add(&n->conns, 1);
	atomic_fetch_add(&n->refs, 1);
	if (l == net_loop_current()) {
		take_conn(n, l, fd);
		return;
	}
	h = NEW(struct handover);
	h->listener = n;
	h->fd = fd;
	net_loop_call(l, &h->call, take_handover);
}

static void on_acceptable(uv_poll_t *p, int status, int events);

static void accept_again(struct net_timer *t)
{
	struct net_listener *n = CONTAINER_OF(t, struct net_listener, retry);

	uv_poll_start(&n->poll, UV_READABLE, on_acceptable);
}

static void accept_pause(struct net_listener *n)
{
	uv_poll_stop(&n->poll);
	net_timer_set(n->loops[0], &n->retry, net_loop_now_ms(n->loops[0]) + ACCEPT_RETRY_MS);
}

static void on_acceptable(uv_poll_t *p, int status, int events)
{
	struct net_listener *n = p->data;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd;

		if (n->opts.conns_max && atomic_load(&n->conns) >= n->opts.conns_max) {
			accept_pause(n);
			return;
		}
		fd = accept4(n->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			hand_over(n, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_pause(n);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

/* --- making the socket --- */

/* Go's rule for "tcp": a wildcard listens on [::] for both families where the system can, else the family of the
 * address; of the addresses of a name an IPv4 one goes first. */
static err_t resolve(const char *address, struct why *why, struct sockaddr_storage *out, socklen_t *size)
{
	char host[256], port[32];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list, *best;
	int rc;

	if (!net_addr_split(address, host, sizeof(host), port, sizeof(port)))
		return why_set(why, ERR_INVALID, "listen tcp: address %s: missing port in address", address);
	rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
	if (rc)
		return why_set(why, ERR_INVALID, "listen tcp: lookup %s: no such host", host);
	best = list;
	for (struct addrinfo *a = list; a; a = a->ai_next)
		if (a->ai_family == AF_INET && best->ai_family != AF_INET)
			best = a;
	memcpy(out, best->ai_addr, best->ai_addrlen);
	*size = best->ai_addrlen;
	freeaddrinfo(list);
	return OK;
}

static bool is_wildcard(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
	return a->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static void wildcard_v6(struct sockaddr_storage *a, socklen_t *size)
{
	in_port_t port =
	    a->ss_family == AF_INET ? ((struct sockaddr_in *)a)->sin_port : ((struct sockaddr_in6 *)a)->sin6_port;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_any};

	memcpy(a, &any, sizeof(any));
	*size = sizeof(any);
}

static int socket_tcp(const struct net_listen_opts *o, struct sockaddr_storage *a, socklen_t *size)
{
	static const int on = 1, off = 0;
	int fd = -1;

	if (is_wildcard(a)) {
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) {
			wildcard_v6(a, size);
		} else if (fd >= 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (o->reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	return fd;
}

static void remove_old_socket(const char *path)
{
	struct stat st;

	if (path[0] != '@' && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

static err_t listen_failed(const struct net_listen_opts *o, struct why *why, int fd, const char *call)
{
	char text[128];
	int code = errno;

	if (fd >= 0)
		close(fd);
	return why_set(why, err_from_errno(code), "listen %s %s: %s: %s", o->network, o->address, call,
		       net_errno_text(code, text, sizeof(text)));
}

static err_t open_socket(struct net_listener *n, struct why *why)
{
	const struct net_listen_opts *o = &n->opts;
	struct sockaddr_storage a = {0};
	socklen_t size = 0;
	bool is_unix = strcmp(o->network, "unix") == 0;
	int fd;

	if (is_unix) {
		if (!net_addr_unix(o->address, &a, &size))
			return why_set(why, ERR_INVALID, "listen unix %s: bind: invalid argument", o->address);
		remove_old_socket(o->address);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	} else {
		err_t err = resolve(o->address, why, &a, &size);

		if (err)
			return err;
		fd = socket_tcp(o, &a, &size);
	}
	if (fd < 0)
		return listen_failed(o, why, fd, "socket");
	if (bind(fd, (struct sockaddr *)&a, size) < 0)
		return listen_failed(o, why, fd, "bind");
	if (listen(fd, SOMAXCONN) < 0)
		return listen_failed(o, why, fd, "listen");
	size = sizeof(a);
	getsockname(fd, (struct sockaddr *)&a, &size);
	net_addr_print(&a, size, n->address, sizeof(n->address));
	if (is_unix && o->address[0] != '@')
		snprintf(n->unix_path, sizeof(n->unix_path), "%s", o->address);
	n->fd = fd;
	return OK;
}

/* --- life --- */

static void start_polling(void *arg)
{
	struct net_listener *n = arg;

	ASSERT(uv_poll_init(&n->loops[0]->uv, &n->poll, n->fd) == 0);
	n->poll.data = n;
	net_timer_init(&n->retry, accept_again);
	uv_poll_start(&n->poll, UV_READABLE, on_acceptable);
}

err_t net_listen(const struct net_listen_opts *o, struct why *why, struct net_listener **out)
{
	struct net_listener *n = NEW(struct net_listener);
	err_t err;

	ASSERT(o->loop_count > 0);
	n->opts = *o;
	err = open_socket(n, why);
	if (err) {
		mem_free(n);
		return err;
	}
	n->opts.network = n->opts.address = NULL; /* the caller's; not kept */
	n->loops = mem_alloc(sizeof(n->loops[0]) * o->loop_count);
	memcpy(n->loops, o->loops, sizeof(n->loops[0]) * o->loop_count);
	atomic_init(&n->refs, 1);
	net_loop_call_wait(n->loops[0], start_polling, n);
	*out = n;
	return OK;
}

const char *net_listener_address(const struct net_listener *l)
{
	return l->address;
}

uint32_t net_listener_conns(const struct net_listener *l)
{
	return atomic_load(&l->conns);
}

static void on_poll_closed(uv_handle_t *h)
{
	struct net_listener *n = h->data;

	close(n->fd);
	listener_unref(n);
}

static void stop_polling(void *arg)
{
	struct net_listener *n = arg;

	net_timer_cancel(n->loops[0], &n->retry);
	uv_poll_stop(&n->poll);
	shutdown(n->fd, SHUT_RDWR); /* refuse at once; the descriptor goes when uv is done with it */
	uv_close((uv_handle_t *)&n->poll, on_poll_closed);
}

void net_listener_close(struct net_listener *l)
{
	char path[sizeof(l->unix_path)];

	if (!l)
		return;
	memcpy(path, l->unix_path, sizeof(path));
	net_loop_call_wait(l->loops[0], stop_polling, l);
	if (path[0])
		unlink(path);
}
