/* The network between sites, and the carrier that a node asks for (node/transport.h).
 *
 * Messages: two channels for each direction, as rafthttp has streams: MsgApp, and the rest. Each is in order, they overtake each
 * other. A message is lost when the link is cut at either end of its way, when it is drawn, or when nobody is there; it never comes
 * twice, for our client does not repeat a POST and TCP does not repeat bytes. Snapshots go in chunks onto the receiver's disk.
 * Questions among members have the real time limits. */
#include "net.h"

#include <stdio.h>

#include "api/members.h"
#include "snap/snap.h"

enum { CHANNEL_COUNT = 2, SNAP_DIR_SIZE = 64 };

static const char snap_dir[] = "/data/member/snap";

/* Something that happens on the world's actor. */
struct event {
	struct msg msg;
	void (*run)(struct world *w, struct event *e);
};

struct packet {
	struct event event;
	struct node_message nm;
	struct list link;               /* in net->packets */
	struct world *w;
	unsigned from, to;
	unsigned to_life;               /* once it is there */
	bool there;
};

/* What a sender is told, some time later. */
enum report { REPORT_UNREACHABLE, REPORT_SNAP_OK, REPORT_SNAP_FAILED, REPORT_REMOVED };

struct report_event {
	struct event event;
	unsigned to, life;
	uint64_t id;
	enum report what;
};

struct flow {
	struct event event;
	struct list link;               /* in net->flows */
	struct raft_message message;
	struct bolt_pin *pin;
	unsigned from, to, from_life, to_life;
	uint64_t at, size, chunk_ns;
	struct vfs_file *file;
	char name[32];
};

/* A question on its way: one attempt for each URL. */
struct asking {
	struct event event;
	struct list link;               /* in net->askings */
	uint64_t id;
	struct member_question *q;
	unsigned from;
	const char *next;               /* URL to be tried */
	unsigned attempt;
	bool posted;                    /* its event is under way */
	bool *done;                     /* asked while opening: set instead of a message */
	err_t err;
};

/* At the one who was asked; outlives the asking if it must. */
struct asked {
	struct msg msg;                 /* to the io actor */
	struct event event;             /* back */
	struct list link;               /* in net->askeds */
	struct member_request r;
	struct world *w;
	unsigned from, to;
	uint64_t asking;
	unsigned attempt;
	struct blob *body, *answer;
	char *token;
	unsigned status;
	uint64_t cluster_id;
};

struct limit_event {
	struct event event;
	uint64_t asking;
	unsigned attempt;
};

struct link {
	bool cut;
	uint64_t slow_ns;
	uint64_t active_since_ns;
	uint64_t last_ns[CHANNEL_COUNT];
};

struct net {
	struct link links[SITES_MAX][SITES_MAX];
	struct list packets, flows, askings, askeds;
	uint64_t serial;
};

static void post(struct world *w, struct event *e, void (*run)(struct world *w, struct event *e), uint64_t at_ns)
{
	e->msg.kind = W_NET;
	e->run = run;
	sched_sim_post_at(w->sched, w->actor, &e->msg, at_ns);
}

void net_receive(struct world *w, struct msg *m)
{
	struct event *e = CONTAINER_OF(m, struct event, msg);

	e->run(w, e);
}

static uint64_t delay(struct world *w, const struct link *l)
{
	return draw(w, w->k.net_delay_ns + 1) + (l->slow_ns ? draw(w, l->slow_ns) : 0);
}

/* ---- reports ---- */

static void report_run(struct world *w, struct event *e)
{
	struct report_event *r = CONTAINER_OF(e, struct report_event, event);
	struct site *s = &w->sites[r->to];

	if (s->node && s->life == r->life) {
		switch (r->what) {
		case REPORT_UNREACHABLE: node_unreachable(s->node, r->id); break;
		case REPORT_SNAP_OK: node_snapshot_status(s->node, r->id, true); break;
		case REPORT_SNAP_FAILED: node_snapshot_status(s->node, r->id, false); break;
		case REPORT_REMOVED: node_removed(s->node); break;
		}
	}
	mem_free(r);
}

static void report(struct world *w, unsigned to, unsigned life, uint64_t id, enum report what)
{
	struct report_event *r = NEW(struct report_event);

	r->to = to;
	r->life = life;
	r->id = id;
	r->what = what;
	post(w, &r->event, report_run, now_ns(w) + draw(w, 2 * w->k.net_delay_ns + 1));
}

/* ---- messages ---- */

static void packet_free(struct packet *p)
{
	list_remove(&p->link);
	raft_message_fini(&p->nm.message);
	mem_free(p);
}

static void packet_done(struct node_message *take_m)
{
	packet_free(CONTAINER_OF(take_m, struct packet, nm));
}

static bool listed(const uint64_t *at, size_t count, uint64_t id)
{
	for (size_t i = 0; i < count; i++)
		if (at[i] == id)
			return true;
	return false;
}

static void packet_lost(struct packet *p)
{
	struct world *w = p->w;

	w->count.dropped++;
	w->net->links[p->from][p->to].active_since_ns = 0;
	if (chance(w, 50))
		report(w, p->from, w->sites[p->from].life, p->nm.message.to, REPORT_UNREACHABLE);
	packet_free(p);
}

static void packet_arrives(struct world *w, struct event *e)
{
	struct packet *p = CONTAINER_OF(e, struct packet, event);
	struct site *from = &w->sites[p->from], *to = &w->sites[p->to];
	struct link *l = &w->net->links[p->from][p->to];
	struct raft_message *m = &p->nm.message;
	uint64_t words[5] = {m->type, m->from, m->to, m->term, m->index};

	if (l->cut || !to->node || to->member_id != m->to) {
		packet_lost(p);
		return;
	}
	if (listed(to->refused.at, to->refused.count, m->from)) {
		if (from->member_id == m->from)
			report(w, p->from, from->life, 0, REPORT_REMOVED);
		packet_free(p);
		return;
	}
	if (!listed(to->peers.at, to->peers.count, m->from))
		VEC_PUSH(&to->peers, m->from);          /* as the header X-PeerURLs tells: one that joins can answer */
	world_digest(w, words, sizeof(words));
	w->count.messages++;
	if (!l->active_since_ns)
		l->active_since_ns = now_ns(w);
	p->there = true;
	p->to_life = to->life;
	node_received(to->node, &p->nm);
}

static void watch_raft(struct world *w, const struct raft_message *m)
{
	if (m->type == MSG_APP || m->type == MSG_HEARTBEAT)
		model_leads(&w->model, m->term, m->from);
	else if (m->type == MSG_VOTE_RESP && !m->reject)
		model_voted(&w->model, m->term, m->from, m->to);
}

static void packet_send(struct site *from, struct raft_message *take_m);

/* What the pipeline may do: a POST arrives, its answer does not, and it counts as lost; and a message that is on its way by a stream that
 * breaks is sent once more. Never a proposal: POST /raft is not tried again. */
static bool may_come_twice(const struct raft_message *m)
{
	return m->type != MSG_PROP && m->type != MSG_APP && !m->entry_count && !m->snapshot;
}

static void packet_twice(struct site *from, const struct raft_message *m)
{
	struct raft_message copy = *m;

	ASSERT(!m->response_count);
	copy.context = blob_ref(m->context);
	packet_send(from, &copy);
}

static void packet_send(struct site *from, struct raft_message *take_m)
{
	struct world *w = from->w;
	struct site *to = site_of_member(w, take_m->to);
	struct packet *p;
	struct link *l;
	unsigned channel = take_m->type == MSG_APP;
	uint64_t at;

	watch_raft(w, take_m);
	if (!to || !listed(from->peers.at, from->peers.count, take_m->to)) {
		raft_message_fini(take_m);
		*take_m = (struct raft_message){0};
		return;
	}
	p = NEW(struct packet);
	p->nm.message = *take_m;
	*take_m = (struct raft_message){0};
	p->nm.done = packet_done;
	p->w = w;
	p->from = from->number;
	p->to = to->number;
	list_push_back(&w->net->packets, &p->link);
	l = &w->net->links[p->from][p->to];
	if (l->cut || draw(w, 1000) < w->k.drop_per_mille) {
		packet_lost(p);
		return;
	}
	if (draw(w, 1000) < w->k.duplicate_per_mille) {
		if (may_come_twice(&p->nm.message) && chance(w, 70))
			packet_twice(from, &p->nm.message);
		else
			report(w, p->from, from->life, p->nm.message.to, REPORT_UNREACHABLE);
	}
	at = now_ns(w) + delay(w, l);
	l->last_ns[channel] = MAX(l->last_ns[channel], at);
	post(w, &p->event, packet_arrives, l->last_ns[channel]);
}

static void transport_send(void *arg, struct raft_message *take_messages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		packet_send(arg, &take_messages[i]);
}

/* ---- snapshots ---- */

static void flow_end(struct world *w, struct flow *f, bool ok)
{
	struct site *from = &w->sites[f->from], *to = &w->sites[f->to];

	vfs_close(f->file);
	if (!ok && to->node && f->file) {
		char *path = mem_printf("%s/%s", snap_dir, f->name);

		err_ignore(vfs_remove(vfs_mem_vfs(to->disk), path));    /* the next start removes it */
		mem_free(path);
	}
	if (ok)
		w->count.snapshots++;
	else
		w->count.snapshots_failed++;
	if (from->node && from->life == f->from_life)
		report(w, f->from, f->from_life, to->member_id, ok ? REPORT_SNAP_OK : REPORT_SNAP_FAILED);
	bolt_pin_unref(f->pin);
	raft_message_fini(&f->message);
	list_remove(&f->link);
	mem_free(f);
}

static err_t flow_commit(struct flow *f, struct site *to)
{
	err_t err = vfs_sync(f->file);

	vfs_close(f->file);
	f->file = NULL;
	return err ? err : snap_db_commit(vfs_mem_vfs(to->disk), snap_dir, f->name, f->message.snapshot->index);
}

static void flow_deliver(struct world *w, struct flow *f, struct site *to)
{
	struct packet *p = NEW(struct packet);

	p->nm.message = f->message;
	f->message = (struct raft_message){0};
	p->nm.snapshot_bytes = f->size;
	p->nm.done = packet_done;
	p->w = w;
	p->from = f->from;
	p->to = f->to;
	p->there = true;
	p->to_life = to->life;
	list_push_back(&w->net->packets, &p->link);
	node_received(to->node, &p->nm);
}

static void flow_step(struct world *w, struct event *e)
{
	struct flow *f = CONTAINER_OF(e, struct flow, event);
	struct site *to = &w->sites[f->to];
	struct link *there = &w->net->links[f->from][f->to];
	uint8_t chunk[16384];
	size_t size = MIN(sizeof(chunk), f->size - f->at);
	err_t err = OK;

	if (there->cut || w->net->links[f->to][f->from].cut || !f->pin || !to->node || to->life != f->to_life ||
	    to->member_id != f->message.to || listed(to->refused.at, to->refused.count, f->message.from)) {
		flow_end(w, f, false);
		return;
	}
	if (!f->file) {
		char *path = mem_printf("%s/%s", snap_dir, f->name);

		err = vfs_open(vfs_mem_vfs(to->disk), path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, 0600, &f->file);
		mem_free(path);
	}
	if (!err)
		err = bolt_image_read(f->pin, f->at, chunk, size);
	if (!err)
		err = vfs_pwrite(f->file, f->at, chunk, size);
	f->at += size;
	if (!err && f->at < f->size) {
		post(w, &f->event, flow_step, now_ns(w) + delay(w, there) + draw(w, f->chunk_ns));
		return;
	}
	if (!err)
		err = flow_commit(f, to);
	if (!err && !vfs_mem_crashed(to->disk))
		flow_deliver(w, f, to);
	flow_end(w, f, !err);
}

static void transport_send_snapshot(void *arg, struct raft_message *take_m, struct bolt_pin *take_pin)
{
	struct site *from = arg;
	struct world *w = from->w;
	struct site *to = site_of_member(w, take_m->to);
	struct flow *f = NEW(struct flow);

	f->message = *take_m;
	*take_m = (struct raft_message){0};
	f->pin = take_pin;
	f->chunk_ns = 1 + (chance(w, 40) && !w->healed ? draw(w, 400 * MS) : 0);     /* commits, moves and cuts happen meanwhile */
	f->size = bolt_pin_size(take_pin);
	f->from = from->number;
	f->from_life = from->life;
	f->to = to ? to->number : from->number;
	f->to_life = to ? to->life : 0;
	snprintf(f->name, sizeof(f->name), "tmp%llu", (unsigned long long)++w->net->serial);
	list_push_back(&w->net->flows, &f->link);
	post(w, &f->event, flow_step, now_ns(w) + delay(w, &w->net->links[f->from][f->to]));
}

/* ---- questions ---- */

static struct asking *asking_find(struct world *w, uint64_t id, unsigned attempt)
{
	LIST_EACH (l, &w->net->askings) {
		struct asking *a = CONTAINER_OF(l, struct asking, link);

		if (a->id == id && a->attempt == attempt)
			return a;
	}
	return NULL;
}

static void asking_end(struct world *w, struct asking *a, err_t err)
{
	a->q->err = err;
	if (a->done) {
		*a->done = true;
	} else {
		a->q->msg.kind = a->q->reply_kind;
		actor_post(a->q->reply, &a->q->msg);
	}
	list_remove(&a->link);
	mem_free(a);
}

static void asking_try(struct world *w, struct event *e);

/* The asker died with the question. */
static void asking_forget(struct asking *a)
{
	a->id = 0;
	a->q = NULL;
	list_remove(&a->link);
	if (!a->posted)
		mem_free(a);
}

static void limit_reached(struct world *w, struct event *e)
{
	struct limit_event *l = CONTAINER_OF(e, struct limit_event, event);
	struct asking *a = asking_find(w, l->asking, l->attempt);

	if (a) {
		a->err = ERR_TIMEOUT;
		a->attempt++;
		asking_try(w, &a->event);
	}
	mem_free(l);
}

static void asked_free(struct asked *k)
{
	list_remove(&k->link);
	blob_unref(k->body);
	blob_unref(k->answer);
	mem_free(k->token);
	mem_free(k);
}

static void answer_arrives(struct world *w, struct event *e)
{
	struct asked *k = CONTAINER_OF(e, struct asked, event);
	struct asking *a = asking_find(w, k->asking, k->attempt);

	if (a && !w->net->links[k->to][k->from].cut) {
		bool settled = a->q->first_answer_is_final || k->status == 200 || k->status == 404;

		world_digest(w, k->answer->data, k->answer->size);
		if (settled || !*a->next) {
			a->q->status = k->status;
			a->q->has_cluster_id = true;
			a->q->cluster_id = k->cluster_id;
			buf_put_slice(&a->q->answer, blob_slice(k->answer));
			asking_end(w, a, OK);
		} else {
			a->attempt++;
			asking_try(w, &a->event);
		}
	}
	asked_free(k);
}

static void asked_answer(struct member_request *take_r, unsigned status, const char *content_type, struct slice body)
{
	struct asked *k = CONTAINER_OF(take_r, struct asked, r);
	struct world *w = k->w;

	k->status = status;
	k->answer = blob_copy(body);
	k->cluster_id = node_cluster_id(w->sites[k->to].node);
	post(w, &k->event, answer_arrives, now_ns(w) + delay(w, &w->net->links[k->to][k->from]));
}

void net_asked(struct site *s, struct msg *m)
{
	struct asked *k = CONTAINER_OF(m, struct asked, msg);

	api_member_request(s->io, &k->r);
}

/* The next URL; at the end of them the last failure. */
static void asking_try(struct world *w, struct event *e)
{
	struct asking *a = CONTAINER_OF(e, struct asking, event);
	size_t size;
	struct site *to = NULL;
	struct limit_event *limit;
	struct asked *k;

	a->posted = false;
	if (!a->q) {
		mem_free(a);
		return;
	}
	size = strcspn(a->next, ",");
	for (unsigned i = 0; i < w->site_count && size; i++)
		if (strlen(w->sites[i].url) == size && memcmp(w->sites[i].url, a->next, size) == 0)
			to = &w->sites[i];
	if (!*a->next) {
		asking_end(w, a, a->err);
		return;
	}
	a->next += size + (a->next[size] == ',');
	if (!to || !to->node) {
		a->err = ERR_IO;
		a->posted = true;
		post(w, &a->event, asking_try, now_ns(w) + draw(w, 2 * w->k.net_delay_ns + 1));
		return;
	}
	limit = NEW(struct limit_event);
	limit->asking = a->id;
	limit->attempt = a->attempt;
	post(w, &limit->event, limit_reached, now_ns(w) + a->q->timeout_ms * MS);
	if (w->net->links[a->from][to->number].cut)
		return;
	k = NEW(struct asked);
	k->w = w;
	k->from = a->from;
	k->to = to->number;
	k->asking = a->id;
	k->attempt = a->attempt;
	k->body = blob_copy(a->q->body);
	k->token = mem_strdup(a->q->token ? a->q->token : "");
	k->r = (struct member_request){
		.endpoint = a->q->endpoint,
		.member_id = a->q->member_id,
		.token = k->token,
		.body = blob_slice(k->body),
		.answer = asked_answer,
	};
	list_push_back(&w->net->askeds, &k->link);
	k->msg.kind = NET_MSG_ASKED;
	sched_sim_post_at(w->sched, to->io_actor, &k->msg, now_ns(w) + delay(w, &w->net->links[a->from][to->number]));
}

static void asking_begin(struct site *from, struct member_question *q, bool *done)
{
	struct world *w = from->w;
	struct asking *a = NEW(struct asking);

	a->done = done;
	buf_init(&q->answer, 16 << 20);
	a->q = q;
	a->id = ++w->net->serial;
	a->from = from->number;
	a->next = q->urls;
	a->err = ERR_IO;
	list_push_back(&w->net->askings, &a->link);
	a->posted = true;
	post(w, &a->event, asking_try, now_ns(w));
}

static void transport_ask(void *arg, struct member_question *q)
{
	asking_begin(arg, q, NULL);
}

void net_ask_now(struct site *from, struct member_question *q)
{
	bool done = false;

	asking_begin(from, q, &done);
	while (!done)
		if (!world_step(from->w, now_ns(from->w) + 100 * S))
			sim_fail("a question while %s opens has no end", from->name);
}

/* ---- members ---- */

static void transport_add(void *arg, uint64_t id, const char *urls)
{
	struct site *s = arg;

	if (id != s->member_id && !listed(s->peers.at, s->peers.count, id))
		VEC_PUSH(&s->peers, id);
}

static void transport_remove(void *arg, uint64_t id)
{
	struct site *s = arg;
	size_t n = 0;

	for (size_t i = 0; i < s->peers.count; i++)
		if (s->peers.at[i] != id)
			s->peers.at[n++] = s->peers.at[i];
	s->peers.count = n;
	if (!listed(s->refused.at, s->refused.count, id))
		VEC_PUSH(&s->refused, id);
}

static void transport_clear(void *arg)
{
	((struct site *)arg)->peers.count = 0;
}

static uint64_t transport_active_since_ns(void *arg, uint64_t id)
{
	struct site *from = arg;
	struct site *to = site_of_member(from->w, id);

	return to ? from->w->net->links[from->number][to->number].active_since_ns : 0;
}

void net_transport(struct site *s)
{
	s->transport = (struct node_transport){
		s, transport_send, transport_send_snapshot, transport_add, transport_add, transport_remove, transport_clear,
		transport_active_since_ns, transport_ask,
	};
}

/* ---- the network as a whole ---- */

void net_new(struct world *w)
{
	w->net = NEW(struct net);
	list_init(&w->net->packets);
	list_init(&w->net->flows);
	list_init(&w->net->askings);
	list_init(&w->net->askeds);
}

/* What the dead process had is forgotten; what it sent goes on. */
void net_site_ended(struct site *s)
{
	struct world *w = s->w;

	LIST_EACH_SAFE (l, &w->net->packets) {
		struct packet *p = CONTAINER_OF(l, struct packet, link);

		if (p->there && p->to == s->number)
			packet_free(p);
	}
	LIST_EACH (l, &w->net->flows) {
		struct flow *f = CONTAINER_OF(l, struct flow, link);

		if (f->from == s->number) {
			if (!s->died)
				bolt_pin_unref(f->pin);
			f->pin = NULL;
		}
	}
	LIST_EACH_SAFE (l, &w->net->askings) {
		struct asking *a = CONTAINER_OF(l, struct asking, link);

		if (a->from == s->number)
			asking_forget(a);
	}
	LIST_EACH_SAFE (l, &w->net->askeds) {
		struct asked *k = CONTAINER_OF(l, struct asked, link);

		if (k->to == s->number && !k->answer)
			asked_free(k);
	}
	for (unsigned i = 0; i < SITES_MAX; i++)
		w->net->links[s->number][i].active_since_ns = w->net->links[i][s->number].active_since_ns = 0;
}

void net_free(struct world *w)
{
	mem_free(w->net);
	w->net = NULL;
}

void net_cut(struct world *w, unsigned from, unsigned to, bool cut)
{
	w->net->links[from][to].cut = cut;
	w->count.cuts += cut;
}

void net_slow(struct world *w, unsigned from, unsigned to, uint64_t ns)
{
	w->net->links[from][to].slow_ns = ns;
}

void net_heal(struct world *w)
{
	for (unsigned i = 0; i < SITES_MAX; i++)
		for (unsigned j = 0; j < SITES_MAX; j++) {
			w->net->links[i][j].cut = false;
			w->net->links[i][j].slow_ns = 0;
		}
}
