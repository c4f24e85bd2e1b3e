/* A connection on a net stream: bytes up as they come; output gathered once a turn and written in one call.
 *
 *	on_read -> http_conn_input -> (handlers) -> flush task ── turn end ──> http_conn_output -> net_stream_write
 *	             socket full: the rest is kept by the stream; on_writable -> flush task */
#include "http/http_impl.h"

#define SCRATCH_SIZE (256 * 1024)
#define WRITES_A_TURN 4 /* then the other connections of the loop have theirs */

struct served {
	struct http_conn *conn;
	struct net_stream *stream;
	struct http_io *io;
	const struct http_service *svc;
	struct net_task flush;
	struct net_timer tick;
};

static void served_close(struct served *v, bool linger)
{
	net_task_cancel(&v->flush);
	net_timer_cancel(v->io->loop, &v->tick);
	http_conn_free(v->conn);
	net_stream_close(v->stream, linger);
	mem_free(v);
}

static void want_flush(void *owner)
{
	struct served *v = owner;

	net_task_add(v->io->loop, &v->flush);
}

static const struct http_conn_events conn_events = {want_flush};

static void write_out(struct served *v)
{
	uint64_t out = 0;
	int writes = 0;

	while (net_stream_unsent(v->stream) == 0) {
		struct iovec iov = {v->io->scratch, http_conn_output(v->conn, v->io->scratch, SCRATCH_SIZE)};

		if (iov.iov_len == 0)
			break;
		net_stream_write(v->stream, &iov, 1);
		out += iov.iov_len;
		if (iov.iov_len < SCRATCH_SIZE / 2)
			break; /* that was all; what handlers added meanwhile has asked for a flush */
		if (++writes == WRITES_A_TURN) {
			want_flush(v);
			break;
		}
	}
	if (out && v->svc->on_bytes)
		v->svc->on_bytes(v->io, v->svc->arg, 0, out);
}

static void flush(struct net_task *t)
{
	struct served *v = CONTAINER_OF(t, struct served, flush);
	uint64_t tick_at;

	write_out(v);
	if (http_conn_ended(v->conn)) {
		if (net_stream_unsent(v->stream) == 0)
			served_close(v, true);
		return;
	}
	net_stream_read_enable(v->stream, !http_conn_read_paused(v->conn));
	tick_at = http_conn_tick_at(v->conn);
	if (tick_at != UINT64_MAX && (!v->tick.slot || tick_at < v->tick.at_ms))
		net_timer_set(v->io->loop, &v->tick, tick_at);
}

static void ticked(struct net_timer *t)
{
	struct served *v = CONTAINER_OF(t, struct served, tick);

	http_conn_tick(v->conn);
	want_flush(v); /* which sets the timer again */
}

static void on_read(void *owner, struct slice data)
{
	struct served *v = owner;

	if (v->svc->on_bytes)
		v->svc->on_bytes(v->io, v->svc->arg, data.size, 0);
	http_conn_input(v->conn, data);
	want_flush(v);
}

static void on_eof(void *owner)
{
	struct served *v = owner;

	http_conn_eof(v->conn);
	want_flush(v);
}

static void on_failed(void *owner, err_t err)
{
	served_close(owner, false);
}

static const struct net_events stream_events = {on_read, on_eof, want_flush, on_failed};

void http_serve(struct http_io *io, const struct http_service *svc, struct net_stream *take_s)
{
	struct served *v = NEW(struct served);

	if (!io->scratch)
		io->scratch = mem_alloc(SCRATCH_SIZE);
	v->io = io;
	v->svc = svc;
	v->stream = take_s;
	net_task_init(&v->flush, flush);
	net_timer_init(&v->tick, ticked);
	v->conn = http_conn_new(io, svc, &take_s->peer, &conn_events, v);
	net_stream_set_owner(take_s, &stream_events, v);
	net_stream_read_enable(take_s, true);
	want_flush(v);
}

void http_io_drain(struct http_io *io)
{
	LIST_EACH_SAFE (it, &io->conns)
		http_conn_drain(CONTAINER_OF(it, struct http_conn, node));
}

void http_io_close(struct http_io *io)
{
	while (!list_empty(&io->conns))
		served_close(CONTAINER_OF(io->conns.next, struct http_conn, node)->owner, false);
	if (io->loop)
		net_timer_cancel(io->loop, &io->retry);
}
