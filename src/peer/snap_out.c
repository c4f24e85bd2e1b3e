/* POST /raft/snapshot: the message, then the database, in slices that a worker reads from the pinned image.
 *
 *	start ─> [read on a worker ─> send ─> wait until it has gone out]* ─> finish ─> answer ─> done
 *	   cancel or failure at any point; the object goes when no read is under way
 *
 *   N1  peer == NULL: it was reported, nothing more is told
 *   N2  one of {read under way, bytes unsent, finished} while the connection lives */
#include <stdio.h>

#include "base/text.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"

#define SLICE_BYTES (256 * 1024)
#define ANSWER_STALLS 10                /* the receiver syncs the file before it answers */

struct snap_out {
	struct peer_set *set;
	struct peer *peer;              /* N1 */
	struct peer_image *image;
	struct http1_conn *conn;
	uint64_t index;
	size_t url_at;
	uint64_t offset;
	uint64_t sent_bytes;
	uint64_t started_ns;
	struct job job;
	bool reading;
	bool finished;
	err_t read_err;
	size_t slice_size;
	uint8_t *slice;
	struct net_timer stall;
	unsigned status;
	uint32_t m_inflight;
};

static uint32_t series(enum metric row, const struct peer *p)
{
	return metric_series(row, (const char *[]){p->id_text});
}

static void free_when_quiet(struct snap_out *n)
{
	if (n->peer || n->reading)
		return;
	n->image->close(n->image);
	mem_free(n->slice);
	mem_free(n);
}

/* Tells how it went, and lets go. */
static void conclude(struct snap_out *n, bool ok, const char *why)
{
	struct peer *p = n->peer;
	struct peer_events *e = &n->set->cfg.events;

	n->peer = NULL;                                                                 /* N1 */
	p->snap_out = NULL;
	net_timer_cancel(n->set->loop, &n->stall);
	http1_close(n->conn);
	n->conn = NULL;
	metric_move(n->m_inflight, -1);
	if (ok) {
		LOG_INFO("sent database snapshot", LOG_UINT("snapshot-index", n->index), LOG_STR("remote-peer-id", p->id_text),
			LOG_UINT("bytes", n->sent_bytes), LOG_STR("size", text_bytes((char[TEXT_BYTES_SIZE]){0}, n->sent_bytes)));
		metric_add(series(METRIC_NETWORK_SNAPSHOT_SEND_SUCCESS, p), 1);
		metric_observe(series(METRIC_NETWORK_SNAPSHOT_SEND_TOTAL_DURATION_SECONDS, p), set_now_ns(n->set) - n->started_ns);
		peer_became_active(p);
	} else {
		LOG_WARN("failed to send database snapshot", LOG_UINT("snapshot-index", n->index),
			LOG_STR("remote-peer-id", p->id_text), LOG_STR("error", why));
		metric_add(series(METRIC_NETWORK_SNAPSHOT_SEND_FAILURES, p), 1);
		metric_add(p->m_send_failed, 1);
		peer_post_failed(p, why);
		peer_url_failed(p, n->url_at);
		e->unreachable(e->arg, p->id);
	}
	e->snapshot_status(e->arg, p->id, ok);
	free_when_quiet(n);
}

void snap_out_cancel(struct snap_out *n)
{
	conclude(n, false, "peer removed");
}

static void stalled(struct net_timer *t)
{
	conclude(CONTAINER_OF(t, struct snap_out, stall), false, "no progress");
}

static void progress(struct snap_out *n, uint64_t stalls)
{
	net_timer_set(n->set->loop, &n->stall, set_now_ms(n->set) + stalls * n->set->cfg.timing.snapshot_stall_ms);
}

/* --- reading the image --- */

static bool read_slice(struct job *j)
{
	struct snap_out *n = CONTAINER_OF(j, struct snap_out, job);

	n->read_err = n->image->read(n->image, n->offset, n->slice, n->slice_size);
	return true;
}

static void go_on(struct snap_out *n)
{
	if (n->offset == n->image->size_bytes) {
		http1_finish(n->conn);
		n->finished = true;
		progress(n, ANSWER_STALLS);
		return;
	}
	n->slice_size = (size_t)MIN((uint64_t)SLICE_BYTES, n->image->size_bytes - n->offset);
	n->reading = true;                                                              /* N2 */
	set_job(n->set, &n->job, read_slice, K_SNAP_READ);
}

void snap_out_read_done(struct job *j)
{
	struct snap_out *n = CONTAINER_OF(j, struct snap_out, job);

	n->reading = false;
	if (!n->peer) {
		free_when_quiet(n);
		return;
	}
	if (n->read_err) {
		conclude(n, false, err_text(n->read_err));
		return;
	}
	n->offset += n->slice_size;
	n->sent_bytes += n->slice_size;
	metric_add(n->peer->m_sent, n->slice_size);
	progress(n, 1);
	http1_send(n->conn, slice_of(n->slice, n->slice_size));
	if (http1_unsent(n->conn) == 0)
		go_on(n);
}

/* --- the connection --- */

static void on_response(void *owner, unsigned status)
{
	((struct snap_out *)owner)->status = status;
}

static void on_body(void *owner, struct slice data)
{
}

static void on_writable(void *owner)
{
	struct snap_out *n = owner;

	if (!n->reading && !n->finished)
		go_on(n);
}

static void on_end(void *owner, err_t err, const char *why)
{
	struct snap_out *n = owner;
	bool removed = !err && n->status == 403;
	struct peer_set *s = n->set;
	char text[64];

	snprintf(text, sizeof(text), "unexpected http status %u while posting", n->status);
	conclude(n, !err && n->status == 204 && n->finished, err ? why : text);
	if (removed)
		set_removed_self(s);
}

static void send_head(struct snap_out *n, const struct raft_message *m)
{
	static const struct http1_events events = {on_response, on_body, on_writable, on_end};
	struct http1_request r = {.method = "POST", .path = "/raft/snapshot", .is_chunked = true};
	struct buf *b = set_scratch(n->set);

	peer_put_headers(n->peer, false, b);
	buf_printf(b, "Content-Type: application/octet-stream\r\n");
	r.headers = buf_slice(b);
	http1_request(n->conn, &r, &events, n);
	b = set_scratch(n->set);
	snapshot_head_encode(m, b);
	ASSERT(!buf_failed(b));
	http1_send(n->conn, buf_slice(b));      /* on_writable goes on */
	n->sent_bytes = b->size;
}

void snap_out_start(struct peer *p, struct raft_message *take_m, struct peer_image *take_im)
{
	struct peer_set *s = p->set;
	struct snap_out *n;

	if (p->snap_out) {
		s->cfg.events.snapshot_status(s->cfg.events.arg, p->id, false);
		take_im->close(take_im);
		raft_message_fini(take_m);
		return;
	}
	n = NEW(struct snap_out);
	n->set = s;
	n->peer = p;
	n->image = take_im;
	n->index = take_m->snapshot ? take_m->snapshot->index : 0;
	n->started_ns = set_now_ns(s);
	n->slice = mem_alloc(SLICE_BYTES);
	n->m_inflight = series(METRIC_NETWORK_SNAPSHOT_SEND_INFLIGHTS_TOTAL, p);
	net_timer_init(&n->stall, stalled);
	p->snap_out = n;
	metric_move(n->m_inflight, 1);
	LOG_INFO("start to send database snapshot [merged snapshot]", LOG_UINT("snapshot-index", n->index),
		LOG_STR("remote-peer-id", p->id_text), LOG_UINT("bytes", take_im->size_bytes));
	progress(n, 1);
	n->url_at = p->url_at;
	n->conn = http1_open(&s->client, peer_url(p));
	send_head(n, take_m);
	raft_message_fini(take_m);
}
