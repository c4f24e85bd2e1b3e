/* The peer actor: its mailbox, who is there, what goes up.
 *
 *   T1  peers ascends by id; the array changes on the actor and under lock, so the actor reads it without
 *   T2  no id is both in peers and in removed */
#include <stdio.h>
#include <unistd.h>

#include "obs/log.h"
#include "peer/peer_impl.h"

struct batch {
	struct msg msg;
	struct peer_set *set;
	size_t count;
	struct raft_message at[];
};

struct change {
	struct msg msg;
	uint64_t id;
	bool is_remote;
	bool on;
	char urls[];
};

struct snapshot_order {
	struct msg msg;
	struct raft_message message;
	struct peer_image *image;
};

/* --- ids, clocks --- */

void hex_id(uint64_t id, char out[HEX_ID_SIZE])
{
	snprintf(out, HEX_ID_SIZE, "%llx", (unsigned long long)id);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_id_parse(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.size == 0)
		return false;
	for (size_t i = 0; i < s.size; i++) {
		int digit = hex_digit(s.data[i]);

		if (digit < 0 || v >> 60)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*out = v;
	return true;
}

uint64_t set_now_ms(const struct peer_set *s)
{
	return net_loop_now_ms(s->loop);
}

uint64_t set_now_ns(const struct peer_set *s)
{
	return sched_now_ns(s->cfg.sched);
}

/* --- who is there --- */

static size_t lower_bound(const struct peer_set *s, uint64_t id)
{
	size_t lo = 0, hi = s->peers.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->peers.at[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct peer *set_find(struct peer_set *s, uint64_t id)
{
	size_t i = lower_bound(s, id);

	return i < s->peers.count && s->peers.at[i]->id == id ? s->peers.at[i] : NULL;
}

bool set_is_removed(const struct peer_set *s, uint64_t id)
{
	return ids_has(&s->removed, id);
}

static void insert(struct peer_set *s, struct peer *p)
{
	size_t i = lower_bound(s, p->id);

	pthread_mutex_lock(&s->lock);
	VEC_RESERVE(&s->peers, s->peers.count + 1);
	memmove(s->peers.at + i + 1, s->peers.at + i, (s->peers.count - i) * sizeof(s->peers.at[0]));
	s->peers.at[i] = p;
	s->peers.count++;                                                               /* T1 */
	pthread_mutex_unlock(&s->lock);
}

static void take_out(struct peer_set *s, size_t i)
{
	struct peer *p = s->peers.at[i];

	pthread_mutex_lock(&s->lock);
	memmove(s->peers.at + i, s->peers.at + i + 1, (s->peers.count - i - 1) * sizeof(s->peers.at[0]));
	s->peers.count--;
	pthread_mutex_unlock(&s->lock);
	peer_free(p);
}

static void add(struct peer_set *s, uint64_t id, bool is_remote, const char *urls)
{
	struct peer *p = set_find(s, id);

	if (id == s->cfg.member_id || set_is_removed(s, id))                            /* T2 */
		return;
	if (p && p->is_remote == is_remote) {
		peer_set_urls(p, urls);
		return;
	}
	if (p && is_remote)
		return;         /* known better already */
	if (p)
		take_out(s, lower_bound(s, id));
	p = peer_new(s, id, is_remote);
	if (!peer_set_urls(p, urls)) {
		LOG_WARN("ignored a peer without a usable URL", LOG_STR("peer-id", p->id_text), LOG_STR("peer-urls", urls));
		peer_free(p);
		return;
	}
	insert(s, p);
	peer_start(p);
	if (is_remote)
		LOG_INFO("added new remote peer", LOG_STR("local-member-id", s->id_text),
			LOG_STR("remote-peer-id", p->id_text), LOG_STR("remote-peer-urls", urls));
	else
		LOG_INFO("added remote peer", LOG_STR("local-member-id", s->id_text), LOG_STR("remote-peer-id", p->id_text),
			LOG_STR("remote-peer-urls", urls));
}

static void refuse(struct peer_set *s, uint64_t id)
{
	struct peer *p = set_find(s, id);

	if (p) {
		LOG_INFO("removed remote peer", LOG_STR("local-member-id", s->id_text), LOG_STR("removed-remote-peer-id", p->id_text));
		take_out(s, lower_bound(s, id));
	}
	ids_add(&s->removed, id);
}

static void clear(struct peer_set *s)
{
	while (s->peers.count)
		take_out(s, s->peers.count - 1);
}

void set_meet(struct peer_set *s, uint64_t id, struct slice urls)
{
	char *text;

	if (urls.size == 0 || set_find(s, id) || id == s->cfg.member_id || set_is_removed(s, id))
		return;
	if (s->peers.count >= 1024)     /* a stranger's header must not fill memory */
		return;
	text = mem_printf("%.*s", SLICE_ARG(urls));
	add(s, id, true, text);
	mem_free(text);
}

void set_removed_self(struct peer_set *s)
{
	if (s->told_removed || s->closing)
		return;
	s->told_removed = true;
	s->cfg.events.removed(s->cfg.events.arg);
}

/* --- up --- */

bool set_accepts(const struct peer_set *s, const struct raft_message *m)
{
	return m->to == s->cfg.member_id && !set_is_removed(s, m->from);
}

static uint64_t data_size(const struct raft_message *m)
{
	uint64_t size = 0;

	for (size_t i = 0; i < m->entry_count; i++)
		size += blob_slice(m->entries[i].data).size;
	if (m->snapshot)
		size += blob_slice(m->snapshot->data).size;
	return size;
}

static bool has_room(struct peer_set *s, bool is_proposal)
{
	return atomic_load(is_proposal ? &s->received_proposals : &s->received_count) < RECEIVED_COUNT_MAX &&
		atomic_load(&s->received_bytes) < RECEIVED_BYTES_MAX;
}

bool set_deliver(struct peer_set *s, struct raft_message *take_m, uint64_t snapshot_bytes)
{
	bool is_proposal = take_m->type == MSG_PROP;
	struct peer_received *r;

	if (!set_accepts(s, take_m)) {
		LOG_WARN("rejected Raft message from a removed member or to another one", LOG_STR("local-member-id", s->id_text),
			LOG_HEX("from", take_m->from), LOG_HEX("mismatch-member-id", take_m->to));
		raft_message_fini(take_m);
		return false;
	}
	if (s->paused || s->closing || !has_room(s, is_proposal)) {
		LOG_DEBUG("dropped Raft message since receiving buffer is full", LOG_STR("local-member-id", s->id_text),
			LOG_HEX("from", take_m->from));
		raft_message_fini(take_m);
		return snapshot_bytes == 0;
	}
	r = NEW(struct peer_received);
	r->message = *take_m;
	r->snapshot_bytes = snapshot_bytes;
	r->set = s;
	r->is_proposal = is_proposal;
	r->data_bytes = data_size(take_m);
	atomic_fetch_add(is_proposal ? &s->received_proposals : &s->received_count, 1);
	atomic_fetch_add(&s->received_bytes, r->data_bytes);
	*take_m = (struct raft_message){0};
	s->cfg.events.received(s->cfg.events.arg, r);
	return true;
}

void peer_received_free(struct peer_received *take_r)
{
	struct peer_set *s = take_r->set;

	atomic_fetch_sub(take_r->is_proposal ? &s->received_proposals : &s->received_count, 1);
	atomic_fetch_sub(&s->received_bytes, take_r->data_bytes);
	raft_message_fini(&take_r->message);
	mem_free(take_r);
}

/* --- down --- */

static void tell_overflow(struct peer_set *s)
{
	if (!atomic_exchange(&s->send_overflow, false))
		return;
	for (size_t i = 0; i < s->peers.count; i++)
		if (!s->peers.at[i]->is_remote)
			peer_unreachable(s->peers.at[i]);
}

static void send_batch(struct peer_set *s, struct batch *b)
{
	tell_overflow(s);
	for (size_t i = 0; i < b->count; i++) {
		struct raft_message *m = &b->at[i];
		struct peer *p = m->to ? set_find(s, m->to) : NULL;

		if (!p || s->paused)
			raft_message_fini(m);
		else
			peer_post_message(p, m);
	}
	atomic_fetch_sub(&s->send_backlog, b->count);
	mem_free(b);
}

void peer_send(struct peer_set *s, struct raft_message *take_messages, size_t count)
{
	struct batch *b;

	if (count == 0)
		return;
	if (atomic_fetch_add(&s->send_backlog, count) + count > SEND_BACKLOG_MAX) {
		atomic_fetch_sub(&s->send_backlog, count);
		atomic_store(&s->send_overflow, true);
		for (size_t i = 0; i < count; i++)
			raft_message_fini(&take_messages[i]);
		memset(take_messages, 0, count * sizeof(*take_messages));
		return;
	}
	b = mem_alloc(sizeof(*b) + count * sizeof(b->at[0]));
	b->msg.kind = K_SEND;
	b->count = count;
	memcpy(b->at, take_messages, count * sizeof(b->at[0]));
	memset(take_messages, 0, count * sizeof(*take_messages));
	actor_post(s->actor, &b->msg);
}

static void start_snapshot(struct peer_set *s, struct snapshot_order *o)
{
	struct peer *p = set_find(s, o->message.to);

	if (p && !s->paused) {
		snap_out_start(p, &o->message, o->image);
	} else {
		s->cfg.events.snapshot_status(s->cfg.events.arg, o->message.to, false);
		o->image->close(o->image);
		raft_message_fini(&o->message);
	}
	mem_free(o);
}

void peer_send_snapshot(struct peer_set *s, struct raft_message *take_m, struct peer_image *take_im)
{
	struct snapshot_order *o = NEW(struct snapshot_order);

	ASSERT(take_m->type == MSG_SNAP);
	o->msg.kind = K_SNAPSHOT;
	o->message = *take_m;
	o->image = take_im;
	*take_m = (struct raft_message){0};
	actor_post(s->actor, &o->msg);
}

static void post_change(struct peer_set *s, enum peer_msg_kind kind, uint64_t id, bool is_remote, bool on, const char *urls)
{
	size_t size = strlen(urls) + 1;
	struct change *c = mem_zalloc(sizeof(*c) + size);

	c->msg.kind = kind;
	c->id = id;
	c->is_remote = is_remote;
	c->on = on;
	memcpy(c->urls, urls, size);
	actor_post(s->actor, &c->msg);
}

void peer_add(struct peer_set *s, uint64_t id, const char *urls)
{
	post_change(s, K_ADD, id, false, true, urls);
}

void peer_add_remote(struct peer_set *s, uint64_t id, const char *urls)
{
	post_change(s, K_ADD, id, true, true, urls);
}

void peer_remove(struct peer_set *s, uint64_t id)
{
	post_change(s, K_REMOVE, id, false, false, "");
}

void peer_clear(struct peer_set *s)
{
	post_change(s, K_CLEAR, 0, false, false, "");
}

void peer_pause(struct peer_set *s, bool paused)
{
	post_change(s, K_PAUSE, 0, false, paused, "");
}

static void apply_change(struct peer_set *s, struct change *c)
{
	switch (c->msg.kind) {
	case K_ADD:
		add(s, c->id, c->is_remote, c->urls);
		break;
	case K_REMOVE:
		refuse(s, c->id);
		break;
	case K_CLEAR:
		clear(s);
		break;
	case K_PAUSE:
		s->paused = c->on;
		break;
	}
	mem_free(c);
}

static void job_back(struct peer_set *s)
{
	pthread_mutex_lock(&s->lock);
	s->jobs--;
	pthread_cond_broadcast(&s->job_done);
	pthread_mutex_unlock(&s->lock);
}

void set_job(struct peer_set *s, struct job *j, bool (*run)(struct job *j), enum peer_msg_kind kind)
{
	pthread_mutex_lock(&s->lock);
	s->jobs++;
	pthread_mutex_unlock(&s->lock);
	j->msg.kind = kind;
	j->run = run;
	j->reply = s->actor;
	sched_run(s->cfg.sched, j);
}

static void receive(void *self, struct msg *m)
{
	struct peer_set *s = self;

	switch (m->kind) {
	case K_SEND:
		send_batch(s, CONTAINER_OF(m, struct batch, msg));
		break;
	case K_SNAPSHOT:
		start_snapshot(s, CONTAINER_OF(m, struct snapshot_order, msg));
		break;
	case K_CALL:
		call_begin(CONTAINER_OF(m, struct peer_call, msg));
		break;
	case K_ANSWER:
		serve_call_answered(CONTAINER_OF(m, struct peer_request, msg));
		break;
	case K_SNAP_READ:
		snap_out_read_done(CONTAINER_OF(m, struct job, msg));
		job_back(s);
		break;
	case K_SNAP_WRITTEN:
		snap_in_written(CONTAINER_OF(m, struct job, msg));
		job_back(s);
		break;
	default:
		apply_change(s, CONTAINER_OF(m, struct change, msg));
	}
}

struct buf *set_scratch(struct peer_set *s)
{
	if (s->scratch.room > (8u << 20)) {     /* one big message must not hold its room for ever */
		buf_fini(&s->scratch);
		buf_init(&s->scratch, ENCODED_BYTES_MAX);
	}
	buf_clear(&s->scratch);
	return &s->scratch;
}

/* --- what others see --- */

uint64_t peer_active_since_ns(struct peer_set *s, uint64_t id)
{
	struct peer *p;
	uint64_t since;

	pthread_mutex_lock(&s->lock);
	p = set_find(s, id);
	since = p ? atomic_load(&p->active_since_ns) : 0;
	pthread_mutex_unlock(&s->lock);
	return since;
}

static void fill_stats(struct peer *p, struct peer_stats *out)
{
	*out = (struct peer_stats){
		.id = p->id,
		.is_remote = p->is_remote,
		.has_msgapp_out = atomic_load(&p->attached[STREAM_MSGAPP]),
		.has_message_out = atomic_load(&p->attached[STREAM_MESSAGE]),
		.has_msgapp_in = atomic_load(&p->dialled[STREAM_MSGAPP]),
		.has_message_in = atomic_load(&p->dialled[STREAM_MESSAGE]),
		.active_since_ns = atomic_load(&p->active_since_ns),
		.sent_bytes = atomic_load(&p->sent_bytes),
		.received_bytes = atomic_load(&p->received_bytes),
		.sent_messages = atomic_load(&p->sent_messages),
		.received_messages = atomic_load(&p->received_messages),
		.dropped_messages = atomic_load(&p->dropped_messages),
		.rtt_ns = atomic_load(&p->rtt_ns),
	};
}

size_t peer_stats(struct peer_set *s, struct peer_stats *out, size_t max)
{
	size_t count;

	pthread_mutex_lock(&s->lock);
	count = s->peers.count;
	for (size_t i = 0; i < MIN(count, max); i++)
		fill_stats(s->peers.at[i], &out[i]);
	pthread_mutex_unlock(&s->lock);
	return count;
}

struct net_loop *peer_set_loop(struct peer_set *s)
{
	return s->loop;
}

void peer_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct peer_set *s = arg;

	ASSERT(loop == s->loop);
	if (s->closing || s->early.count == EARLY_MAX)
		net_stream_close(take_s, false);
	else if (!s->cfg.member_id)
		VEC_PUSH(&s->early, take_s);
	else
		http_serve(s->io, &s->service, take_s);
}

/* --- life --- */

static void default_u32(uint32_t *v, uint32_t value)
{
	if (*v == 0)
		*v = value;
}

static void default_timing(struct peer_timing *t)
{
	default_u32(&t->dial_ms, 2000);
	default_u32(&t->redial_ms, 100);
	default_u32(&t->heartbeat_ms, 5000 / 3);
	default_u32(&t->stall_ms, 5000);
	default_u32(&t->write_stall_ms, 5000);
	default_u32(&t->silence_ms, 15000);
	default_u32(&t->probe_ms, 4000);
	default_u32(&t->snapshot_stall_ms, 60000);
}

static void init_service(struct peer_set *s)
{
	struct http_service *v = &s->service;

	http_limits_default(&v->limits);
	v->limits.header_timeout_ms = v->limits.idle_timeout_ms = s->cfg.timing.stall_ms;
	v->limits.stream_window_bytes = 1u << 20;
	v->limits.stream_out_bytes_max = 1u << 20;
	v->limits.conn_out_bytes_max = 2u << 20;
	v->budget = http_budget_new(SERVED_BYTES_MAX);
	v->http1 = true;
	v->route = serve_route;
	v->arg = s;
}

static void make_io(void *arg)
{
	struct peer_set *s = arg;

	s->io = http_io_new(s->loop, s);
}

struct peer_set *peer_set_new(const struct peer_config *cfg)
{
	static const struct actor_ops ops = {receive, NULL};
	struct peer_set *s = NEW(struct peer_set);

	ASSERT(cfg->sched && cfg->fs);
	s->cfg = *cfg;
	s->cfg.snap_dir = mem_strdup(cfg->snap_dir);
	s->cfg.version = mem_strdup(cfg->version);
	s->cfg.min_cluster_version = mem_strdup(cfg->min_cluster_version);
	s->cfg.peer_urls = mem_strdup(cfg->peer_urls);
	default_timing(&s->cfg.timing);
	hex_id(cfg->member_id, s->id_text);
	hex_id(cfg->cluster_id, s->cluster_text);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->job_done, NULL);
	list_init(&s->calls);
	buf_init(&s->scratch, ENCODED_BYTES_MAX);
	init_service(s);
	s->loop = net_loop_new(cfg->sched, "peer", &ops, s);
	s->actor = net_loop_actor(s->loop);
	s->cfg.local_ip = cfg->local_ip ? mem_strdup(cfg->local_ip) : NULL;
	s->client = (struct http1_client){s->loop, cfg->secure, cfg->secure_arg, s->cfg.timing.dial_ms, s->cfg.local_ip};
	net_loop_start(s->loop);
	net_loop_call_wait(s->loop, make_io, s);
	return s;
}

struct identity {
	struct peer_set *set;
	uint64_t member_id, cluster_id;
};

static void identify(void *arg)
{
	const struct identity *id = arg;
	struct peer_set *s = id->set;

	ASSERT(!s->cfg.member_id && id->member_id);
	s->cfg.member_id = id->member_id;
	s->cfg.cluster_id = id->cluster_id;
	hex_id(id->member_id, s->id_text);
	hex_id(id->cluster_id, s->cluster_text);
	for (size_t i = 0; i < s->early.count; i++)
		http_serve(s->io, &s->service, s->early.at[i]);
	s->early.count = 0;
}

void peer_set_identify(struct peer_set *s, uint64_t member_id, uint64_t cluster_id)
{
	struct identity id = {s, member_id, cluster_id};

	net_loop_call_wait(s->loop, identify, &id);
}

static void close_all(void *arg)
{
	struct peer_set *s = arg;

	s->closing = true;
	for (size_t i = 0; i < s->early.count; i++)
		net_stream_close(s->early.at[i], false);
	s->early.count = 0;
	clear(s);
	call_end_all(s);
	http_io_close(s->io);
}

void peer_set_free(struct peer_set *s)
{
	net_loop_call_wait(s->loop, close_all, s);
	pthread_mutex_lock(&s->lock);
	while (s->jobs)
		pthread_cond_wait(&s->job_done, &s->lock);
	pthread_mutex_unlock(&s->lock);
	while (atomic_load(&s->received_count) || atomic_load(&s->received_proposals) || atomic_load(&s->requests_out))
		usleep(1000);
	net_loop_call_wait(s->loop, close_all, s);      /* what was in the box when the first ran */
	net_loop_stop(s->loop);
	http_io_free(s->io);
	http_budget_free(s->service.budget);
	net_loop_free(s->loop);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->job_done);
	buf_fini(&s->scratch);
	VEC_FREE(&s->peers);
	ids_fini(&s->removed);
	VEC_FREE(&s->early);
	mem_free((char *)s->cfg.snap_dir);
	mem_free((char *)s->cfg.version);
	mem_free((char *)s->cfg.min_cluster_version);
	mem_free((char *)s->cfg.peer_urls);
	mem_free((char *)s->cfg.local_ip);
	mem_free(s);
}
