/* Sockets as byte streams.
 *
 *	open ──close(linger)──> lingering ──EOF, error, 1 s──> closing ──uv──> freed
 *	  └────close───────────────────────────────────────────^
 *
 *   S1  kept is NULL unless a uv_write of it is in flight
 *   S2  no event reaches the owner once close was called */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_impl.h"

#define LINGER_MS 1000
#define IOV_MAX_COUNT 16
#define TCP_PROBE_S 15 /* Go's default: first probe and distance */

enum state { OPEN, LINGERING, CLOSING };

struct sock {
	struct net_stream base;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} h;
	uv_write_t write_req;
	uv_shutdown_t shutdown_req;
	uint8_t *kept;
	size_t kept_size;
	enum state state;
	bool reading;
	int failure; /* uv's code, to be told at the end of the turn */
	struct net_task failed;
	struct net_timer linger;
	struct list node;
	void (*closed)(void *arg);
	void *closed_arg;
};

static struct sock *sock_of(struct net_stream *s)
{
	return CONTAINER_OF(s, struct sock, base);
}

static void on_uv_closed(uv_handle_t *h)
{
	struct sock *k = h->data;

	if (k->closed)
		k->closed(k->closed_arg);
	mem_free(k->kept);
	mem_free(k);
}

static void close_now(struct sock *k)
{
	if (k->state == CLOSING)
		return;
	k->state = CLOSING;
	net_timer_cancel(k->base.loop, &k->linger);
	net_task_cancel(&k->failed);
	list_remove(&k->node);
	uv_close(&k->h.handle, on_uv_closed);
}

static void tell_failure(struct net_task *t)
{
	struct sock *k = CONTAINER_OF(t, struct sock, failed);

	if (k->state == OPEN)
		k->base.events->on_failed(k->base.owner, ERR_IO);
}

static void fail(struct sock *k, int code)
{
	if (k->state == LINGERING)
		close_now(k);
	if (k->state == CLOSING || k->failure)
		return;
	k->failure = code;
	net_task_add(k->base.loop, &k->failed);
}

static void give_buffer(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct sock *k = h->data;

	*buf = uv_buf_init((char *)k->base.loop->read_buf, NET_READ_SIZE);
}

static void on_uv_read(uv_stream_t *h, ssize_t n, const uv_buf_t *buf)
{
	struct sock *k = h->data;

	if (n == 0)
		return;
	if (k->state == LINGERING) {
		if (n < 0)
			close_now(k);
		return;
	}
	if (n > 0) {
		k->base.events->on_read(k->base.owner, slice_of(buf->base, (size_t)n));
		explicit_bzero(buf->base, (size_t)n);   /* the loop's: it may have been a password, and who knows what is read next */
		return;
	}
	uv_read_stop(h);
	k->reading = false;
	if (n == UV_EOF)
		k->base.events->on_eof(k->base.owner);
	else
		fail(k, (int)n);
}

static void on_uv_written(uv_write_t *r, int status)
{
	struct sock *k = r->handle->data;

	mem_free(k->kept);
	k->kept = NULL; /* S1 */
	k->kept_size = 0;
	if (status < 0)
		fail(k, status);
	else if (k->state == OPEN)
		k->base.events->on_writable(k->base.owner);
}

/* The bytes behind the first skip of iov, copied. */
static void keep_rest(struct sock *k, const struct iovec *iov, int count, size_t skip, size_t total)
{
	uv_buf_t buf;
	size_t n = 0;

	k->kept = mem_alloc(total - skip);
	for (int i = 0; i < count; i++) {
		size_t cut = MIN(skip, iov[i].iov_len);

		memcpy(k->kept + n, (const uint8_t *)iov[i].iov_base + cut, iov[i].iov_len - cut);
		n += iov[i].iov_len - cut;
		skip -= cut;
	}
	k->kept_size = n;
	buf = uv_buf_init((char *)k->kept, (unsigned)n);
	int rc = uv_write(&k->write_req, &k->h.stream, &buf, 1, on_uv_written);
	if (rc < 0) {
		mem_free(k->kept);
		k->kept = NULL;
		k->kept_size = 0;
		fail(k, rc);
	}
}

static void sock_write(struct net_stream *s, const struct iovec *iov, int count)
{
	struct sock *k = sock_of(s);
	uv_buf_t bufs[IOV_MAX_COUNT];
	size_t total = 0;
	int n;

	ASSERT(k->state == OPEN);
	ASSERT(!k->kept);
	ASSERT(count <= IOV_MAX_COUNT);
	if (k->failure)
		return;
	for (int i = 0; i < count; i++) {
		bufs[i] = uv_buf_init(iov[i].iov_base, (unsigned)iov[i].iov_len);
		total += iov[i].iov_len;
	}
	if (total == 0)
		return;
	n = uv_try_write(&k->h.stream, bufs, (unsigned)count);
	if (n < 0 && n != UV_EAGAIN)
		fail(k, n);
	else if (n < 0 || (size_t)n < total)
		keep_rest(k, iov, count, n < 0 ? 0 : (size_t)n, total);
}

static size_t sock_unsent(const struct net_stream *s)
{
	return CONTAINER_OF(s, const struct sock, base)->kept_size;
}

static void sock_read_enable(struct net_stream *s, bool on)
{
	struct sock *k = sock_of(s);

	if (on == k->reading || k->state != OPEN)
		return;
	k->reading = on;
	if (on)
		uv_read_start(&k->h.stream, give_buffer, on_uv_read);
	else
		uv_read_stop(&k->h.stream);
}

static void linger_over(struct net_timer *t)
{
	close_now(CONTAINER_OF(t, struct sock, linger));
}

static void on_uv_shutdown(uv_shutdown_t *r, int status)
{
	struct sock *k = r->handle->data;

	if (status < 0)
		close_now(k);
}

static void sock_close(struct net_stream *s, bool linger)
{
	struct sock *k = sock_of(s);

	if (k->state == CLOSING || (k->state == LINGERING && linger))
		return;
	if (!linger || k->failure) {
		close_now(k);
		return;
	}
	k->state = LINGERING; /* S2 */
	net_timer_set(s->loop, &k->linger, net_loop_now_ms(s->loop) + LINGER_MS);
	if (uv_shutdown(&k->shutdown_req, &k->h.stream, on_uv_shutdown) < 0) {
		close_now(k);
		return;
	}
	if (!k->reading)
		uv_read_start(&k->h.stream, give_buffer, on_uv_read);
}

static void on_uv_ended(uv_shutdown_t *r, int status)
{
	struct sock *k = r->handle->data;

	if (status < 0 && status != UV_ECANCELED)
		fail(k, status);
}

static void sock_end(struct net_stream *s)
{
	struct sock *k = sock_of(s);
	int rc;

	ASSERT(k->state == OPEN);
	if (k->failure)
		return;
	rc = uv_shutdown(&k->shutdown_req, &k->h.stream, on_uv_ended);
	if (rc < 0)
		fail(k, rc);
}

static const struct net_stream_ops sock_ops = {sock_write, sock_unsent, sock_read_enable, sock_close, sock_end};

static void fill_peer(struct net_peer *p, int fd)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);

	if (getpeername(fd, (struct sockaddr *)&a, &size) == 0)
		net_addr_print(&a, size, p->remote, sizeof(p->remote));
	size = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &size) == 0) {
		net_addr_print(&a, size, p->local, sizeof(p->local));
		p->is_unix = a.ss_family == AF_UNIX;
	}
}

static void tune_tcp(int fd)
{
	static const int on = 1, probe_s = TCP_PROBE_S;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &probe_s, sizeof(probe_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &probe_s, sizeof(probe_s));
}

struct net_stream *net_stream_open_counted(struct net_loop *l, int take_fd, void (*closed)(void *arg), void *arg)
{
	struct sock *k = NEW(struct sock);

	k->base.ops = &sock_ops;
	k->base.loop = l;
	k->closed = closed;
	k->closed_arg = arg;
	fill_peer(&k->base.peer, take_fd);
	net_task_init(&k->failed, tell_failure);
	net_timer_init(&k->linger, linger_over);
	list_push_back(&l->streams, &k->node);
	if (k->base.peer.is_unix) {
		ASSERT(uv_pipe_init(&l->uv, &k->h.pipe, 0) == 0);
		ASSERT(uv_pipe_open(&k->h.pipe, take_fd) == 0);
	} else {
		tune_tcp(take_fd);
		ASSERT(uv_tcp_init(&l->uv, &k->h.tcp) == 0);
		ASSERT(uv_tcp_open(&k->h.tcp, take_fd) == 0);
	}
	k->h.handle.data = k;
	return &k->base;
}

struct net_stream *net_stream_open_fd(struct net_loop *l, int take_fd)
{
	return net_stream_open_counted(l, take_fd, NULL, NULL);
}

void net_streams_close_all(struct net_loop *l)
{
	LIST_EACH_SAFE (it, &l->streams)
		close_now(CONTAINER_OF(it, struct sock, node));
}
