/* One other member: its URLs, its channels, whether messages reach it.
 *
 *	peer:   msgapp out, message out (if it dialled us) ── else pipeline
 *	        msgapp in, message in (we dial), two probes
 *	remote: pipeline only
 *
 * Channel of a message: MsgApp takes the msgapp stream, everything (also MsgApp) the message stream, whichever is
 * attached; MsgSnap and the rest the pipeline. Full: dropped, unreachable. */
#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"

static uint32_t series(enum metric row, const struct peer *p)
{
	return metric_series(row, (const char *[]){p->id_text});
}

static uint32_t series_pair(enum metric row, const struct peer *p)
{
	return metric_series(row, (const char *[]){p->set->id_text, p->id_text});
}

static void init_series(struct peer *p)
{
	p->m_active = series_pair(METRIC_NETWORK_ACTIVE_PEERS, p);
	p->m_lost = series_pair(METRIC_NETWORK_DISCONNECTED_PEERS_TOTAL, p);
	p->m_sent = series(METRIC_NETWORK_PEER_SENT_BYTES_TOTAL, p);
	p->m_received = series(METRIC_NETWORK_PEER_RECEIVED_BYTES_TOTAL, p);
	p->m_send_failed = series(METRIC_NETWORK_PEER_SENT_FAILURES_TOTAL, p);
	p->m_receive_failed = series(METRIC_NETWORK_PEER_RECEIVED_FAILURES_TOTAL, p);
}

struct peer *peer_new(struct peer_set *s, uint64_t id, bool is_remote)
{
	struct peer *p = NEW(struct peer);

	p->set = s;
	p->id = id;
	p->is_remote = is_remote;
	hex_id(id, p->id_text);
	init_series(p);
	for (int k = 0; k < 2; k++) {
		stream_out_init(&p->out[k], p, (enum stream_kind)k);
		stream_in_init(&p->in[k], p, (enum stream_kind)k);
	}
	probe_init(&p->probes[0], p, "ROUND_TRIPPER_RAFT_MESSAGE", false);
	probe_init(&p->probes[1], p, "ROUND_TRIPPER_SNAPSHOT", true);
	pipeline_init(&p->pipeline, p);
	return p;
}

void peer_start(struct peer *p)
{
	if (p->is_remote)
		return;
	for (int k = 0; k < 2; k++) {
		stream_in_start(&p->in[k]);
		probe_start(&p->probes[k]);
	}
}

void peer_free(struct peer *p)
{
	for (int k = 0; k < 2; k++) {
		stream_in_fini(&p->in[k]);
		stream_out_fini(&p->out[k]);
		probe_fini(&p->probes[k]);
	}
	if (p->snap_out)
		snap_out_cancel(p->snap_out);
	pipeline_fini(&p->pipeline);
	metric_drop(p->m_active);
	VEC_FREE(&p->urls);
	mem_free(p);
}

/* --- urls --- */

bool peer_set_urls(struct peer *p, const char *urls)
{
	struct slice rest = slice_str(urls);
	bool fresh = true;

	while (rest.size) {
		const uint8_t *comma = memchr(rest.data, ',', rest.size);
		size_t n = comma ? (size_t)(comma - rest.data) : rest.size;
		struct http1_url u;

		if (http1_url_parse(slice_of(rest.data, n), &u)) {
			if (fresh)
				p->urls.count = 0;
			fresh = false;
			VEC_PUSH(&p->urls, u);
		}
		n += comma ? 1 : 0;
		rest = slice_of(rest.data + n, rest.size - n);
	}
	if (!fresh) {
		p->url_at = 0;
		pipeline_drop_idle(&p->pipeline);
	}
	return !fresh;
}

const struct http1_url *peer_url(const struct peer *p)
{
	return &p->urls.at[p->url_at];
}

void peer_url_failed(struct peer *p, size_t url_at)
{
	if (url_at == p->url_at)
		p->url_at = (p->url_at + 1) % p->urls.count;
}

/* --- activity --- */

void peer_became_active(struct peer *p)
{
	if (atomic_load(&p->active_since_ns))
		return;
	atomic_store(&p->active_since_ns, set_now_ns(p->set) | 1);
	metric_set(p->m_active, 1);
	LOG_INFO("peer became active", LOG_STR("peer-id", p->id_text));
}

void peer_became_inactive(struct peer *p, const char *action, const char *why)
{
	if (!atomic_exchange(&p->active_since_ns, 0)) {
		LOG_DEBUG("peer deactivated again", LOG_STR("peer-id", p->id_text), LOG_STR("action", action),
			LOG_STR("error", why));
		return;
	}
	metric_set(p->m_active, 0);
	metric_add(p->m_lost, 1);
	LOG_WARN("peer became inactive (message send to peer failed)", LOG_STR("peer-id", p->id_text),
		LOG_STR("action", action), LOG_STR("error", why));
}

/* Streams that live are the newer evidence, and no message will go by POST again and make the peer active. */
void peer_post_failed(struct peer *p, const char *why)
{
	bool streams = false;

	for (size_t k = 0; k < ARRAY_COUNT(p->in) && !p->is_remote; k++)
		streams |= p->in[k].decoding || p->out[k].req;
	if (!streams)
		peer_became_inactive(p, "post", why);
}

void peer_unreachable(struct peer *p)
{
	p->set->cfg.events.unreachable(p->set->cfg.events.arg, p->id);
}

/* --- sending --- */

static void send_failed(struct peer *p, bool is_snapshot)
{
	struct peer_events *e = &p->set->cfg.events;

	metric_add(p->m_send_failed, 1);
	atomic_fetch_add_explicit(&p->dropped_messages, 1, memory_order_relaxed);
	if (p->is_remote)       /* as upstream: nobody is told */
		return;
	e->unreachable(e->arg, p->id);
	if (is_snapshot)
		e->snapshot_status(e->arg, p->id, false);
}

void peer_post_message(struct peer *p, struct raft_message *take_m)
{
	bool is_snapshot = take_m->type == MSG_SNAP;
	bool sent;

	if (take_m->type == MSG_APP && p->out[STREAM_MSGAPP].req)
		sent = stream_out_send(&p->out[STREAM_MSGAPP], take_m);
	else if (!is_snapshot && p->out[STREAM_MESSAGE].req)
		sent = stream_out_send(&p->out[STREAM_MESSAGE], take_m);
	else
		sent = pipeline_send(&p->pipeline, take_m);
	if (!sent) {
		raft_message_fini(take_m);
		send_failed(p, is_snapshot);
	}
}

void peer_put_headers(const struct peer *p, bool to_stream, struct buf *out)
{
	const struct peer_set *s = p->set;

	buf_printf(out, "User-Agent: cetcd/%s\r\nX-Server-From: %s\r\nX-Server-Version: %s\r\nX-Min-Cluster-Version: %s\r\n"
		"X-Etcd-Cluster-Id: %s\r\nX-PeerURLs: %s\r\n", s->cfg.version, s->id_text, s->cfg.version,
		s->cfg.min_cluster_version, s->cluster_text, s->cfg.peer_urls);
	if (to_stream)
		buf_printf(out, "X-Raft-To: %s\r\n", p->id_text);
}

void peer_count_sent(struct peer *p, size_t size_bytes)
{
	metric_add(p->m_sent, size_bytes);
	atomic_fetch_add_explicit(&p->sent_bytes, size_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->sent_messages, 1, memory_order_relaxed);
}

void peer_count_received(struct peer *p, size_t size_bytes)
{
	metric_add(p->m_received, size_bytes);
	atomic_fetch_add_explicit(&p->received_bytes, size_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->received_messages, 1, memory_order_relaxed);
}
