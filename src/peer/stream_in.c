/* Streams that we dial: GET /raft/stream/<kind>/<own id>, messages come in the body of the answer, which never ends.
 *
 *	waiting ──redial timer──> dialling ──200──> reading ──end, error──> waiting (next URL)
 *	                             └──other status: body is its reason──┘
 *	410: this member was removed for ever.
 *
 *   I1  at most one dial per redial_ms
 *   I2  decoder is alive iff decoding
 * Silence longer than silence_ms ends the connection: the other side sends a heartbeat every 5/3 s. */
#include <stdio.h>

#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"

static const char *kind_name(const struct stream_in *i)
{
	return i->kind == STREAM_MSGAPP ? "stream MsgApp v2" : "stream Message";
}

static void dial(struct stream_in *i);

static void redial_due(struct net_timer *t)
{
	dial(CONTAINER_OF(t, struct stream_in, redial));
}

/* Lets the connection go. */
static void let_go(struct stream_in *i)
{
	struct http1_conn *c = i->conn;

	i->conn = NULL;
	if (i->decoding)
		stream_decoder_fini(&i->decoder);
	i->decoding = false;                                                            /* I2 */
	atomic_store(&i->peer->dialled[i->kind], false);
	net_timer_cancel(i->peer->set->loop, &i->silence);
	http1_close(c);
}

static void dial_again(struct stream_in *i)
{
	struct peer_set *s = i->peer->set;
	uint64_t now = set_now_ms(s);

	let_go(i);
	peer_url_failed(i->peer, i->url_at);
	net_timer_set(s->loop, &i->redial, MAX(now, i->dialled_ms + s->cfg.timing.redial_ms));         /* I1 */
}

static void lost(struct stream_in *i, const char *why)
{
	LOG_WARN("lost TCP streaming connection with remote peer", LOG_STR("stream-reader-type", kind_name(i)),
		LOG_STR("local-member-id", i->peer->set->id_text), LOG_STR("remote-peer-id", i->peer->id_text),
		LOG_STR("error", why));
}

static void silent(struct net_timer *t)
{
	struct stream_in *i = CONTAINER_OF(t, struct stream_in, silence);

	lost(i, "i/o timeout");
	peer_became_inactive(i->peer, "read", "i/o timeout");
	dial_again(i);
}

static void heard(struct stream_in *i)
{
	struct peer_set *s = i->peer->set;

	net_timer_set(s->loop, &i->silence, set_now_ms(s) + s->cfg.timing.silence_ms);
}

/* --- the answer --- */

static bool server_has_streams(struct stream_in *i)
{
	struct slice text = SLICE_LIT("2.0.0");
	struct minor_version own = {0}, server;

	http1_header(i->conn, "x-server-version", &text);
	minor_version_parse(slice_str(i->peer->set->cfg.version), &own);
	return minor_version_parse(text, &server) && version_has_streams(own, server);
}

static void begin_reading(struct stream_in *i)
{
	struct peer *p = i->peer;

	stream_decoder_init(&i->decoder, i->kind, p->id, p->set->cfg.member_id, STREAM_MESSAGE_BYTES_MAX);
	i->decoding = true;
	i->quiet = false;
	atomic_store(&p->dialled[i->kind], true);
	peer_became_active(p);
	LOG_INFO("established TCP streaming connection with remote peer", LOG_STR("stream-reader-type", kind_name(i)),
		LOG_STR("local-member-id", p->set->id_text), LOG_STR("remote-peer-id", p->id_text));
}

static void on_response(void *owner, unsigned status)
{
	struct stream_in *i = owner;

	heard(i);
	i->status = status;
	i->refusal_size = 0;
	if (status == 410) {
		struct peer_set *s = i->peer->set;

		LOG_ERROR("the member has been permanently removed from the cluster", LOG_STR("local-member-id", s->id_text),
			LOG_STR("remote-peer-id", i->peer->id_text));
		dial_again(i);
		set_removed_self(s);
	} else if (!server_has_streams(i)) {
		snprintf(i->refusal, sizeof(i->refusal), "unsupported stream type");
		i->status = 0;
	} else if (status == 200) {
		begin_reading(i);
	}
}

static void read_failed(struct stream_in *i, err_t err)
{
	lost(i, err_text(err));
	metric_add(i->peer->m_receive_failed, 1);
	peer_became_inactive(i->peer, "read", err_text(err));
	dial_again(i);
}

static void read_messages(struct stream_in *i, struct slice data)
{
	struct peer *p = i->peer;
	struct raft_message m;
	size_t before = data.size;
	enum stream_got got;
	err_t err = OK;

	while ((got = stream_decode(&i->decoder, &data, &m, &err)) != STREAM_GOT_NOTHING) {
		if (got == STREAM_GOT_ERROR) {
			read_failed(i, err);
			return;
		}
		if (got == STREAM_GOT_MESSAGE) {
			peer_count_received(p, before - data.size);
			before = data.size;
			set_deliver(p->set, &m, 0);
		}
	}
}

static void on_body(void *owner, struct slice data)
{
	struct stream_in *i = owner;
	size_t n = MIN(data.size, sizeof(i->refusal) - 1 - i->refusal_size);

	heard(i);
	if (i->decoding) {
		read_messages(i, data);
		return;
	}
	if (i->status == 0)
		return;
	memcpy(i->refusal + i->refusal_size, data.data, n);
	i->refusal_size += (uint32_t)n;
	i->refusal[i->refusal_size] = 0;
}

/* --- the end --- */

static void refused(struct stream_in *i)
{
	static const struct {
		const char *body, *text;
	} known[] = {
		{"incompatible version", "request sent was ignored by remote peer due to server version incompatibility"},
		{"cluster ID mismatch", "request sent was ignored by remote peer due to cluster ID mismatch"},
	};
	const char *text = "failed to dial stream of remote peer";

	if (i->refusal_size && i->refusal[i->refusal_size - 1] == '\n')
		i->refusal[i->refusal_size - 1] = 0;
	for (size_t k = 0; i->status == 412 && k < ARRAY_COUNT(known); k++)
		if (strcmp(i->refusal, known[k].body) == 0)
			text = known[k].text;
	if (!i->quiet)          /* once, not ten times a second */
		LOG_WARN(text, LOG_STR("stream-reader-type", kind_name(i)), LOG_STR("local-member-id", i->peer->set->id_text),
			LOG_STR("remote-peer-id", i->peer->id_text), LOG_STR("local-member-cluster-id", i->peer->set->cluster_text),
			LOG_UINT("status", i->status), LOG_STR("error", i->refusal));
	i->quiet = true;
	if (i->status)          /* not for a version without streams: messages still get there by POST */
		peer_became_inactive(i->peer, "dial", i->refusal);
}

static void on_end(void *owner, err_t err, const char *why)
{
	struct stream_in *i = owner;

	if (i->decoding) {
		lost(i, err ? why : "EOF");
		if (err && strcmp(why, "unexpected EOF") != 0)
			peer_became_inactive(i->peer, "read", why);
	} else if (err) {
		if (!i->quiet)
			LOG_DEBUG("failed to dial stream of remote peer", LOG_STR("stream-reader-type", kind_name(i)),
				LOG_STR("remote-peer-id", i->peer->id_text), LOG_STR("error", why));
		i->quiet = true;
		peer_became_inactive(i->peer, "dial", why);
	} else {
		refused(i);
	}
	dial_again(i);
}

static void dial(struct stream_in *i)
{
	static const struct http1_events events = {on_response, on_body, NULL, on_end};
	struct peer *p = i->peer;
	struct http1_request r = {.method = "GET"};
	struct buf *headers = set_scratch(p->set);
	char path[64];

	snprintf(path, sizeof(path), "/raft/stream/%s/%s", i->kind == STREAM_MSGAPP ? "msgapp" : "message", p->set->id_text);
	peer_put_headers(p, true, headers);
	r.path = path;
	r.headers = buf_slice(headers);
	i->dialled_ms = set_now_ms(p->set);
	i->status = 0;
	i->url_at = p->url_at;
	i->conn = http1_open(&p->set->client, peer_url(p));
	http1_request(i->conn, &r, &events, i);
	heard(i);
}

void stream_in_init(struct stream_in *i, struct peer *p, enum stream_kind kind)
{
	*i = (struct stream_in){.peer = p, .kind = kind};
	net_timer_init(&i->redial, redial_due);
	net_timer_init(&i->silence, silent);
}

void stream_in_start(struct stream_in *i)
{
	dial(i);
}

void stream_in_fini(struct stream_in *i)
{
	net_timer_cancel(i->peer->set->loop, &i->redial);
	let_go(i);
}
