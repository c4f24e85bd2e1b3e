/* elect: a candidate holds its turn until a signal; a listener prints each leader and what it proclaims. */
#include "ctl/mutex.h"

enum { SESSION_TTL = 60 };

static int campaign(struct ctl *c)
{
	struct turn t;
	int code = turn_begin(&t, c, c->args[0], c->args[1], SESSION_TTL);

	if (code)
		return code;
	code = turn_wait(&t);
	if (!code)
		code = turn_print(&t, NULL);
	if (!code)
		code = turn_hold(&t) ? turn_leave(&t) : ctl_fail(EXIT_ERROR, "elect: session expired");
	turn_end(&t);
	return code;
}

/* --- listening --- */

struct listener {
	struct ctl *c;
	struct client_watch *watch;
	struct buf key;   /* of the leader; empty: none is known */
	int64_t revision; /* up to which all is printed */
	bool news;        /* the leader is gone, or there is one */
	bool lost;
	int code;
};

static void print_leader(struct listener *l, const Etcdserverpb__ResponseHeader *h, Mvccpb__KeyValue *kv)
{
	Etcdserverpb__RangeResponse r = ETCDSERVERPB__RANGE_RESPONSE__INIT;
	Mvccpb__KeyValue *kvs[] = {kv};

	r.header = (Etcdserverpb__ResponseHeader *)h;
	r.kvs = kvs;
	r.n_kvs = 1;
	l->code = out_get(l->c, &r);
	ctl_flush(l->c);
}

static void on_response(struct client_watch *w, void *user, struct slice body)
{
	struct listener *l = user;
	Etcdserverpb__WatchResponse *r;
	struct arena a;

	arena_init(&a, 1 << 26);
	if (!pb_unpack(&a, &etcdserverpb__watch_response__descriptor, body, &r)) {
		for (size_t i = 0; i < r->n_events && !l->news; i++) {
			Mvccpb__Event *e = r->events[i];

			if (!e->kv)
				continue;
			/* With a leader: what it says, until it goes. Without: anybody's first word. */
			if (l->key.size && e->type == MVCCPB__EVENT__EVENT_TYPE__PUT)
				print_leader(l, r->header, e->kv);
			else
				l->news = (e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) == (l->key.size > 0);
		}
	}
	l->news |= l->code != 0;
	arena_fini(&a);
}

static void on_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct listener *l = user;

	l->lost = l->news = true;
}

/* One leader's time, or the time without one. */
static bool listen_once(struct listener *l, struct slice prefix)
{
	static const struct client_watch_events events = {on_response, on_end};
	Etcdserverpb__RangeResponse *resp;
	struct client_watch_opts o = {.key = prefix, .range_end = prefix_end(l->c, prefix)};

	if (!first_created(l->c, prefix, &resp) || !resp->header)
		return false;
	o.start_revision = resp->header->revision;
	buf_clear(&l->key);
	if (resp->n_kvs) {
		/* What upstream's Observe gives: the pair alone, without the count. */
		print_leader(l, resp->header, resp->kvs[0]);
		buf_put_slice(&l->key, pb_slice(resp->kvs[0]->key));
		o.key = buf_slice(&l->key);
		o.range_end = (struct slice){NULL, 0};
		o.start_revision++;
	}
	l->news = l->code != 0;
	l->watch = client_watch_open(l->c->client, &o, &events, l);
	client_wait(l->c->client, &l->news, 0);
	client_watch_close(l->watch);
	return l->news && !l->lost && !l->code;
}

static int observe(struct ctl *c)
{
	struct slice prefix = slice_str(ctl_copy(c, "%s/", c->args[0]));
	struct listener l = {.c = c};
	struct session session;
	struct signals signals;
	int code = session_begin(&session, c, SESSION_TTL);

	if (code)
		return code;
	signals_begin(&signals, c);
	buf_init(&l.key, SIZE_MAX / 2);
	while (listen_once(&l, prefix))
		;
	if (!l.code && !signals.came)
		l.code = ctl_fail(EXIT_ERROR, "elect: observer lost");
	buf_fini(&l.key);
	signals_end(&signals);
	session_end(&session);
	return l.code;
}

RUN(elect)
{
	struct ctl *c = cli->user;
	int code;

	if (c->arg_count != 1 && c->arg_count != 2)
		return ctl_fail(EXIT_ARGS, "elect takes one election name argument and an optional proposal argument");
	code = ctl_connect(c);
	if (code)
		return code;
	if (c->arg_count == 1)
		return c->o.listen ? observe(c) : ctl_fail(EXIT_ARGS, "no proposal argument but -l not set");
	return c->o.listen ? ctl_fail(EXIT_ARGS, "proposal given but -l is set") : campaign(c);
}
