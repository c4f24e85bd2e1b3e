/* GET of one page by HTTP/1.0: no keep-alive, no chunks; the end of the connection is the end of the body. */
#include <stdio.h>

#include "proxy/grpc_proxy.h"

enum { TIMEOUT_MS = 10 * 1000, PAGE_MAX = 64 << 20 };

struct fetch {
	struct net_loop *loop;
	struct tls_context *tls; /* NULL: plain */
	char *host_port, *path;
	fetch_done *done;
	void *arg;
	struct net_dial *dial;
	struct net_stream *stream;
	struct net_timer timer;
	struct buf answer;
	bool in_handshake;
	bool abandoned; /* freed when the handshake has told */
};

static void fetch_free(struct fetch *f)
{
	net_timer_cancel(f->loop, &f->timer);
	if (f->dial)
		net_dial_cancel(f->dial);
	if (f->stream)
		net_stream_close(f->stream, false);
	f->dial = NULL;
	f->stream = NULL;
	if (f->in_handshake) {
		f->abandoned = true;
		return;
	}
	buf_fini(&f->answer);
	mem_free(f->host_port);
	mem_free(f->path);
	mem_free(f);
}

/* "HTTP/1.1 200", and what is behind the empty line. */
static bool body_of(struct slice answer, struct slice *body)
{
	const uint8_t *end = answer.size ? memmem(answer.data, answer.size, "\r\n\r\n", 4) : NULL;

	if (!end || answer.size < 12 || memcmp(answer.data + 8, " 200", 4))
		return false;
	*body = slice_of(end + 4, (size_t)(answer.data + answer.size - end - 4));
	return true;
}

static void finish(struct fetch *f, bool ok)
{
	fetch_done *done = f->done;
	void *arg = f->arg;
	struct slice body = {0};

	ok = ok && !buf_failed(&f->answer) && body_of(buf_slice(&f->answer), &body);
	done(arg, ok, body);
	fetch_free(f);
}

static void on_read(void *owner, struct slice data)
{
	struct fetch *f = owner;

	buf_put_slice(&f->answer, data);
	if (buf_failed(&f->answer))
		finish(f, false);
}

static void on_eof(void *owner)
{
	finish(owner, true);
}

static void on_writable(void *owner)
{
}

static void on_failed(void *owner, err_t err)
{
	finish(owner, false);
}

static const struct net_events events = {on_read, on_eof, on_writable, on_failed};

static void ask(struct fetch *f, struct net_stream *take_s)
{
	char *text = mem_printf("GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", f->path, f->host_port);
	struct iovec iov = {text, strlen(text)};

	f->stream = take_s;
	net_stream_set_owner(take_s, &events, f);
	net_stream_read_enable(take_s, true);
	net_stream_write(take_s, &iov, 1);
	mem_free(text);
}

static void on_secured(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct fetch *f = arg;

	f->in_handshake = false;
	if (f->abandoned) {
		if (take_s)
			net_stream_close(take_s, false);
		fetch_free(f);
	} else if (err) {
		finish(f, false);
	} else {
		ask(f, take_s);
	}
}

static void on_dialled(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct fetch *f = arg;
	char host[256];

	f->dial = NULL;
	if (err) {
		finish(f, false);
	} else if (f->tls) {
		snprintf(host, sizeof(host), "%.*s", SLICE_ARG(http_host_name(slice_str(f->host_port))));
		f->in_handshake = true;
		tls_connect(f->tls, take_s, host, on_secured, f);
	} else {
		ask(f, take_s);
	}
}

static void on_time(struct net_timer *t)
{
	finish(CONTAINER_OF(t, struct fetch, timer), false);
}

struct fetch *fetch_start(struct net_loop *l, struct tls_context *tls, const char *host_port, bool is_tls, const char *path, fetch_done *done,
			  void *arg)
{
	struct fetch *f = NEW(struct fetch);

	f->loop = l;
	f->tls = is_tls ? tls : NULL;
	f->host_port = mem_strdup(host_port);
	f->path = mem_strdup(path);
	f->done = done;
	f->arg = arg;
	buf_init(&f->answer, PAGE_MAX);
	net_timer_init(&f->timer, on_time);
	net_timer_set(l, &f->timer, net_loop_now_ms(l) + TIMEOUT_MS);
	f->dial = net_dial(l, "tcp", host_port, TIMEOUT_MS, on_dialled, f);
	return f;
}

void fetch_cancel(struct fetch *f)
{
	fetch_free(f);
}
