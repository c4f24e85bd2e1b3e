#include "server/peers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>

#include "api/members.h"
#include "env/env.h"
#include "peer/peer.h"

#define ANSWER_MAX ((size_t)100 << 20)

struct peers {
	struct peer_set *set;
	struct tls_context *tls;
	bool stopping;                  /* on its loop: no more handshakes begin */
	struct node_transport transport;
	struct node *node;
	struct net_loop *loop;
	struct api_io *io;
	_Atomic bool serving;           /* node and io are there and run */
};

/* ---- raft messages in ---- */

struct delivery {
	struct node_message m;
	struct peer_received *received;
};

static void delivered(struct node_message *take_m)
{
	struct delivery *d = CONTAINER_OF(take_m, struct delivery, m);

	raft_message_fini(&d->m.message);
	peer_received_free(d->received);
	mem_free(d);
}

static void on_received(void *arg, struct peer_received *take_r)
{
	struct peers *p = arg;
	struct delivery *d;

	if (!p->serving) {
		peer_received_free(take_r);     /* as if it had been lost on the way */
		return;
	}
	d = NEW(struct delivery);
	d->received = take_r;
	d->m.message = take_r->message;
	take_r->message = (struct raft_message){0};
	d->m.snapshot_bytes = take_r->snapshot_bytes;
	d->m.done = delivered;
	node_received(p->node, &d->m);
}

static void on_unreachable(void *arg, uint64_t id)
{
	struct peers *p = arg;

	if (p->serving)
		node_unreachable(p->node, id);
}

static void on_snapshot_status(void *arg, uint64_t id, bool ok)
{
	struct peers *p = arg;

	if (p->serving)
		node_snapshot_status(p->node, id, ok);
}

static void on_removed(void *arg)
{
	struct peers *p = arg;

	if (p->serving)
		node_removed(p->node);
}

/* ---- questions in ---- */

struct incoming {
	struct member_request r;
	struct net_call call;
	struct peers *peers;
	struct peer_request *http;
};

static void answer(struct member_request *take_r, unsigned status, const char *content_type, struct slice body)
{
	struct incoming *in = CONTAINER_OF(take_r, struct incoming, r);

	peer_answer(in->http, status, content_type, body);
	mem_free(in);
}

static void on_io(struct net_call *c)
{
	struct incoming *in = CONTAINER_OF(c, struct incoming, call);

	api_member_request(in->peers->io, &in->r);
}

static enum member_endpoint endpoint_of(enum peer_endpoint e)
{
	switch (e) {
	case PEER_MEMBERS: return MEMBER_LIST;
	case PEER_PROMOTE: return MEMBER_PROMOTE;
	case PEER_HASHKV: return MEMBER_HASHKV;
	case PEER_LEASES: return MEMBER_LEASES;
	case PEER_LEASES_INTERNAL: return MEMBER_LEASES_INTERNAL;
	case PEER_DOWNGRADE_ENABLED: return MEMBER_DOWNGRADE_ENABLED;
	case PEER_VERSION: return MEMBER_VERSION;
	}
	UNREACHABLE();
}

static void on_request(void *arg, struct peer_request *take_r)
{
	struct peers *p = arg;
	struct incoming *in;

	if (!p->serving) {
		peer_answer(take_r, 503, NULL, SLICE_LIT("member is starting\n"));
		return;
	}
	in = NEW(struct incoming);
	in->peers = p;
	in->http = take_r;
	in->r.endpoint = endpoint_of(take_r->endpoint);
	in->r.member_id = take_r->member_id;
	in->r.token = take_r->token;
	in->r.body = take_r->body;
	in->r.answer = answer;
	net_loop_call(p->loop, &in->call, on_io);
}

/* ---- raft messages out ---- */

static void send_messages(void *arg, struct raft_message *take_messages, size_t count)
{
	peer_send(((struct peers *)arg)->set, take_messages, count);
}

struct image {
	struct peer_image im;
	struct bolt_pin *pin;
};

static err_t image_read(struct peer_image *im, uint64_t offset, void *out, size_t size)
{
	return bolt_image_read(CONTAINER_OF(im, struct image, im)->pin, offset, out, size);
}

static void image_close(struct peer_image *im)
{
	struct image *i = CONTAINER_OF(im, struct image, im);

	bolt_pin_unref(i->pin);
	mem_free(i);
}

static void send_snapshot(void *arg, struct raft_message *take_m, struct bolt_pin *take_pin)
{
	struct image *i = NEW(struct image);

	i->pin = take_pin;
	i->im = (struct peer_image){.size_bytes = bolt_pin_size(take_pin), .read = image_read, .close = image_close};
	peer_send_snapshot(((struct peers *)arg)->set, take_m, &i->im);
}

static void add(void *arg, uint64_t id, const char *urls)
{
	peer_add(((struct peers *)arg)->set, id, urls);
}

static void add_remote(void *arg, uint64_t id, const char *urls)
{
	peer_add_remote(((struct peers *)arg)->set, id, urls);
}

static void remove_peer(void *arg, uint64_t id)
{
	peer_remove(((struct peers *)arg)->set, id);
}

static void clear(void *arg)
{
	peer_clear(((struct peers *)arg)->set);
}

static uint64_t active_since_ns(void *arg, uint64_t id)
{
	return peer_active_since_ns(((struct peers *)arg)->set, id);
}

/* ---- questions out ---- */

struct asked {
	struct peer_call call;
	struct member_question *q;
	char path[64];
	/* peers_ask: who waits */
	pthread_mutex_t lock;
	pthread_cond_t back;
	bool is_back;
};

static bool ok_or_not_found(unsigned status)
{
	return status == 200 || status == 404;
}

static void asked_init(struct asked *a, struct member_question *q)
{
	static const struct {
		const char *method, *path, *content_type;
	} rows[] = {
		[MEMBER_LIST] = {"GET", "/members", NULL},
		[MEMBER_PROMOTE] = {"POST", "/members/promote/%llu", NULL},
		[MEMBER_HASHKV] = {"GET", "/members/hashkv", "application/json"},
		[MEMBER_LEASES] = {"POST", "/leases", "application/protobuf"},
		[MEMBER_LEASES_INTERNAL] = {"POST", "/leases/internal", "application/protobuf"},
		[MEMBER_DOWNGRADE_ENABLED] = {"GET", "/downgrade/enabled", NULL},
		[MEMBER_VERSION] = {"GET", "/version", NULL},
	};

	a->q = q;
	if (q->endpoint == MEMBER_PROMOTE)
		snprintf(a->path, sizeof(a->path), "/members/promote/%llu", (unsigned long long)q->member_id);
	else
		snprintf(a->path, sizeof(a->path), "%s", rows[q->endpoint].path);
	a->call = (struct peer_call){.urls = q->urls, .method = rows[q->endpoint].method, .path = a->path,
		.content_type = rows[q->endpoint].content_type, .token = q->token, .body = q->body, .timeout_ms = q->timeout_ms,
		.body_max = ANSWER_MAX, .is_final = q->first_answer_is_final ? NULL : ok_or_not_found};
}

static void take_answer(struct asked *a)
{
	struct member_question *q = a->q;

	q->err = a->call.err;
	q->status = a->call.status;
	q->has_cluster_id = a->call.has_cluster_id;
	q->cluster_id = a->call.cluster_id;
	q->answer = a->call.answer;
}

static void ask_done(struct peer_call *c)
{
	struct asked *a = CONTAINER_OF(c, struct asked, call);
	struct member_question *q = a->q;

	take_answer(a);
	mem_free(a);
	q->msg.kind = q->reply_kind;
	actor_post(q->reply, &q->msg);
}

static void ask(void *arg, struct member_question *q)
{
	struct asked *a = NEW(struct asked);

	asked_init(a, q);
	a->call.done = ask_done;
	peer_call_start(((struct peers *)arg)->set, &a->call);
}

static void waited_done(struct peer_call *c)
{
	struct asked *a = CONTAINER_OF(c, struct asked, call);

	pthread_mutex_lock(&a->lock);
	a->is_back = true;
	pthread_cond_signal(&a->back);
	pthread_mutex_unlock(&a->lock);
}

void peers_ask(struct peers *p, struct member_question *q)
{
	struct asked a = {0};

	asked_init(&a, q);
	a.call.done = waited_done;
	pthread_mutex_init(&a.lock, NULL);
	pthread_cond_init(&a.back, NULL);
	peer_call_start(p->set, &a.call);
	pthread_mutex_lock(&a.lock);
	while (!a.is_back)
		pthread_cond_wait(&a.back, &a.lock);
	pthread_mutex_unlock(&a.lock);
	take_answer(&a);
	pthread_mutex_destroy(&a.lock);
	pthread_cond_destroy(&a.back);
}

/* ---- life ---- */

static char *joined(char *const *texts, size_t count)
{
	struct buf b;
	char *out;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < count; i++)
		buf_printf(&b, "%s%s", i ? "," : "", texts[i]);
	out = mem_printf("%.*s", SLICE_ARG(buf_slice(&b)));
	buf_fini(&b);
	return out;
}

static void secure(void *arg, struct net_stream *take_s, const char *host, peer_secure_done *done, void *done_arg)
{
	struct peers *p = arg;

	if (p->stopping) {
		net_stream_close(take_s, false);
		done(done_arg, ERR_STOPPED, "server stopped", NULL);
		return;
	}
	tls_connect(p->tls, take_s, host, done, done_arg);
}

static void cancel_handshakes(void *arg)
{
	struct peers *p = arg;

	p->stopping = true;
	tls_handshakes_cancel(p->tls, peer_set_loop(p->set));
}

/* With the gate SetMemberLocalAddr: the first of the advertised peer URLs that names an address other than loopback. NULL: none. */
static const char *local_ip(const struct config *cfg)
{
	if (!config_gate(cfg, GATE_SET_MEMBER_LOCAL_ADDR))
		return NULL;
	for (size_t i = 0; i < cfg->initial_advertise_peer_urls.count; i++) {
		const char *host = cfg->initial_advertise_peer_urls.at[i].host;
		struct in_addr v4;
		struct in6_addr v6;

		if (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 != 127 && v4.s_addr)
			return host;
		if (inet_pton(AF_INET6, host, &v6) == 1 && !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6))
			return host;
	}
	return NULL;
}

static uint32_t timing_ms(int64_t ns)
{
	return (uint32_t)MIN(ns / 1000000, INT32_MAX / 3);
}

struct peers *peers_new(struct sched *sched, struct config *cfg, const char *data_dir, struct tls_context *tls)
{
	struct peers *p = NEW(struct peers);
	char *snap_dir = mem_printf("%s/member/snap", data_dir);
	char *urls = joined((char *const *)url_list_texts(&cfg->arena, &cfg->initial_advertise_peer_urls),
			    cfg->initial_advertise_peer_urls.count);
	struct peer_config pc = {
		.sched = sched,
		.fs = vfs_posix(),
		.snap_dir = snap_dir,
		.version = NODE_SERVER_VERSION,
		.min_cluster_version = "3.0.0",
		.peer_urls = urls,
		.local_ip = local_ip(cfg),
		.timing = {.dial_ms = (uint32_t)(1000 + cfg->election_timeout_ms),
			   .heartbeat_ms = timing_ms(cfg->raft_read_timeout_ns / 3),
			   .stall_ms = timing_ms(cfg->raft_read_timeout_ns),
			   .write_stall_ms = timing_ms(cfg->raft_write_timeout_ns),
			   .silence_ms = timing_ms(cfg->raft_read_timeout_ns) * 3},
		.secure = secure,
		.secure_arg = p,
		.events = {p, on_received, on_unreachable, on_snapshot_status, on_removed, on_request},
	};

	p->tls = tls;
	p->set = peer_set_new(&pc);
	p->transport = (struct node_transport){p, send_messages, send_snapshot, add, add_remote, remove_peer, clear, active_since_ns, ask};
	mem_free(snap_dir);
	mem_free(urls);
	return p;
}

struct net_loop *peers_loop(struct peers *p)
{
	return peer_set_loop(p->set);
}

void peers_accept(struct peers *p, struct net_loop *loop, struct net_stream *take_s)
{
	peer_accept(p->set, loop, take_s);
}

const struct node_transport *peers_transport(struct peers *p)
{
	return &p->transport;
}

void peers_begin(struct peers *p, struct node *n, struct net_loop *loop, struct api_io *io)
{
	p->node = n;
	p->loop = loop;
	p->io = io;
	peer_set_identify(p->set, node_member_id(n), node_cluster_id(n));
}

void peers_serve(struct peers *p)
{
	p->serving = true;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	net_loop_call_wait(peer_set_loop(p->set), cancel_handshakes, p);
	peer_set_free(p->set);
	mem_free(p);
}
