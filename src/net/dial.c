/* Connecting: name lookup (on libuv's threads), then one address after the other, within one timeout. done is called
 * once, never from within net_dial itself.
 *
 * Words as Go's: "dial tcp 127.0.0.1:1: connect: connection refused", "dial tcp: lookup x: no such host",
 * "dial tcp 10.0.0.1:1: i/o timeout". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_impl.h"

struct net_dial {
	struct net_loop *loop;
	net_dial_done *done;
	void *arg;
	char network[8];
	char address[256];
	char host[256];
	char numeric[128]; /* the address being tried */
	char why[400];
	err_t err;
	uv_getaddrinfo_t lookup;
	bool looking_up;
	struct addrinfo *list, *next;
	struct sockaddr_storage unix_addr;
	char local_ip[64];
	int fd;
	uv_poll_t poll;
	bool polling, connected;
	struct net_timer timer;
	struct net_task finish;
	bool over; /* done was called, or cancelled */
};

static void free_when_quiet(struct net_dial *d)
{
	if (!d->over || d->looking_up || d->polling)
		return;
	if (d->fd >= 0)
		close(d->fd);
	if (d->list)
		uv_freeaddrinfo(d->list);
	mem_free(d);
}

static void tell(struct net_dial *d, err_t err, struct net_stream *s);

/* Only now may the descriptor go elsewhere, or be closed. */
static void on_poll_closed(uv_handle_t *h)
{
	struct net_dial *d = h->data;
	int fd = d->fd;

	d->polling = false;
	if (d->over) {
		free_when_quiet(d);
		return;
	}
	d->fd = -1;
	d->loop->turn_due = true;
	if (d->connected) {
		tell(d, OK, net_stream_open_fd(d->loop, fd));
	} else {
		close(fd);
		net_task_add(d->loop, &d->finish); /* the next address */
	}
}

static void stop(struct net_dial *d)
{
	d->over = true;
	net_timer_cancel(d->loop, &d->timer);
	net_task_cancel(&d->finish);
	if (d->looking_up)
		uv_cancel((uv_req_t *)&d->lookup);
	if (d->polling && !uv_is_closing((uv_handle_t *)&d->poll))
		uv_close((uv_handle_t *)&d->poll, on_poll_closed);
	free_when_quiet(d);
}

static void tell(struct net_dial *d, err_t err, struct net_stream *s)
{
	net_dial_done *done = d->done;
	void *arg = d->arg;
	char why[sizeof(d->why)];

	memcpy(why, d->why, sizeof(why));
	stop(d);
	done(arg, err, why, s);
}

static void fail_errno(struct net_dial *d, const char *address, const char *call, int code)
{
	char text[128];

	d->err = ERR_IO;
	snprintf(d->why, sizeof(d->why), "dial %s %s: %s: %s", d->network, address, call,
		 net_errno_text(code, text, sizeof(text)));
}

static void timed_out(struct net_timer *t)
{
	struct net_dial *d = CONTAINER_OF(t, struct net_dial, timer);

	snprintf(d->why, sizeof(d->why), "dial %s %s: i/o timeout", d->network, d->address);
	tell(d, ERR_TIMEOUT, NULL);
}

static void on_connected(uv_poll_t *p, int status, int events)
{
	struct net_dial *d = p->data;
	socklen_t size = sizeof(int);
	int code = 0;

	uv_poll_stop(p);
	getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &code, &size);
	d->connected = code == 0;
	if (code)
		fail_errno(d, d->numeric, "connect", code);
	uv_close((uv_handle_t *)p, on_poll_closed);
}

static bool bind_local(struct net_dial *d, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (family == AF_INET && inet_pton(AF_INET, d->local_ip, &v4.sin_addr) == 1)
		return bind(d->fd, (struct sockaddr *)&v4, sizeof(v4)) == 0;
	if (family == AF_INET6 && inet_pton(AF_INET6, d->local_ip, &v6.sin6_addr) == 1)
		return bind(d->fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
	return true;
}

static bool try_connect(struct net_dial *d, const struct sockaddr *a, socklen_t size)
{
	struct sockaddr_storage copy = {0};

	memcpy(&copy, a, size);
	net_addr_print(&copy, size, d->numeric, sizeof(d->numeric));
	d->fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) {
		fail_errno(d, d->numeric, "socket", errno);
		return false;
	}
	if (d->local_ip[0] && !bind_local(d, a->sa_family)) {
		fail_errno(d, d->numeric, "bind", errno);
		close(d->fd);
		d->fd = -1;
		return false;
	}
	if (connect(d->fd, a, size) < 0 && errno != EINPROGRESS) {
		fail_errno(d, d->numeric, "connect", errno);
		close(d->fd);
		d->fd = -1;
		return false;
	}
	ASSERT(uv_poll_init(&d->loop->uv, &d->poll, d->fd) == 0);
	d->poll.data = d;
	d->polling = true;
	uv_poll_start(&d->poll, UV_WRITABLE, on_connected);
	return true;
}

/* Tries what is left; when nothing is, tells. */
static void go_on(struct net_task *t)
{
	struct net_dial *d = CONTAINER_OF(t, struct net_dial, finish);

	while (d->next) {
		struct addrinfo *a = d->next;

		d->next = a->ai_next;
		if (try_connect(d, a->ai_addr, a->ai_addrlen))
			return;
	}
	tell(d, d->err ? d->err : ERR_IO, NULL);
}

static void on_looked_up(uv_getaddrinfo_t *r, int status, struct addrinfo *list)
{
	struct net_dial *d = r->data;

	d->looking_up = false;
	d->list = d->next = list;
	if (d->over) {
		free_when_quiet(d);
		return;
	}
	if (status < 0) {
		d->err = ERR_IO;
		snprintf(d->why, sizeof(d->why), "dial tcp: lookup %s: no such host", d->host);
	}
	net_task_add(d->loop, &d->finish);
	d->loop->turn_due = true;
}

static void start_tcp(struct net_dial *d)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	char port[32];

	if (!net_addr_split(d->address, d->host, sizeof(d->host), port, sizeof(port))) {
		d->err = ERR_INVALID;
		snprintf(d->why, sizeof(d->why), "dial tcp: address %s: missing port in address", d->address);
		net_task_add(d->loop, &d->finish);
		return;
	}
	d->lookup.data = d;
	d->looking_up = uv_getaddrinfo(&d->loop->uv, &d->lookup, on_looked_up, d->host[0] ? d->host : "localhost", port,
				       &hints) == 0;
	if (!d->looking_up)
		net_task_add(d->loop, &d->finish);
}

struct net_dial *net_dial(struct net_loop *l, const char *network, const char *address, uint64_t timeout_ms,
			  net_dial_done *done, void *arg)
{
	struct net_dial *d = NEW(struct net_dial);
	socklen_t size;

	d->loop = l;
	d->done = done;
	d->arg = arg;
	d->fd = -1;
	snprintf(d->network, sizeof(d->network), "%s", network);
	snprintf(d->address, sizeof(d->address), "%s", address);
	net_timer_init(&d->timer, timed_out);
	net_task_init(&d->finish, go_on);
	net_timer_set(l, &d->timer, net_loop_now_ms(l) + timeout_ms);
	if (strcmp(network, "unix") != 0) {
		start_tcp(d);
	} else if (!net_addr_unix(address, &d->unix_addr, &size)) {
		d->err = ERR_INVALID;
		snprintf(d->why, sizeof(d->why), "dial unix %s: connect: invalid argument", address);
		net_task_add(l, &d->finish);
	} else if (!try_connect(d, (struct sockaddr *)&d->unix_addr, size)) {
		net_task_add(l, &d->finish);
	}
	return d;
}

void net_dial_from(struct net_dial *d, const char *local_ip)
{
	snprintf(d->local_ip, sizeof(d->local_ip), "%s", local_ip ? local_ip : "");
}

void net_dial_cancel(struct net_dial *d)
{
	stop(d);
}
