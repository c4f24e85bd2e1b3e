/* make-mirror: copies the keys as of one revision, then follows with a watch from the next; the events of one revision
 * go to the destination as one transaction, as far as --max-txn-ops allows. */
#include <inttypes.h>

#include "base/list.h"
#include "ctl/ctl_impl.h"

enum { PAGE = 1000, REPORT_MS = 30 * 1000 };

struct mirror {
	struct ctl *c;
	struct client *dest;
	struct slice prefix;      /* of the source */
	struct slice dest_prefix; /* in its place */
	int64_t total;
	uv_timer_t *report;
	/* following */
	struct buf txn; /* encoded RequestOps as fields of a TxnRequest */
	uint64_t txn_ops;
	int64_t last_revision;
	struct list queue;
	bool news, ended;
	struct client_status error;
};

struct queued {
	struct list node;
	struct buf body;
};

static void on_report(uv_timer_t *t)
{
	struct mirror *m = t->data;

	put(m->c, "%" PRId64 "\n", m->total);
	ctl_flush(m->c);
}

/* The first occurrence of the prefix is replaced, in the arena given. */
static struct slice renamed(struct mirror *m, struct arena *a, struct slice key)
{
	const uint8_t *at = m->prefix.size ? memmem(key.data, key.size, m->prefix.data, m->prefix.size) : key.data;
	size_t before = at ? (size_t)(at - key.data) : 0;
	size_t size = key.size - m->prefix.size + m->dest_prefix.size;
	uint8_t *out;

	if (!at)
		return key;
	out = arena_alloc(a, size + 1);
	ASSERT(out);
	memcpy(out, key.data, before);
	memcpy(out + before, m->dest_prefix.data, m->dest_prefix.size);
	memcpy(out + before + m->dest_prefix.size, at + m->prefix.size, key.size - before - m->prefix.size);
	return slice_of(out, size);
}

/* --- the copy --- */

static bool copy_pair(struct mirror *m, struct arena *a, const Mvccpb__KeyValue *kv)
{
	Etcdserverpb__PutRequest req = ETCDSERVERPB__PUT_REQUEST__INIT;
	struct buf body, answer;
	bool ok;

	req.key = pb_binary(renamed(m, a, pb_slice(kv->key)));
	req.value = kv->value;
	buf_init(&body, SIZE_MAX / 2);
	buf_init(&answer, SIZE_MAX / 2);
	pb_pack(&req.base, &body);
	ok = client_unary(m->dest, RPC_PUT, buf_slice(&body), NULL, &answer, &m->c->status);
	buf_fini(&body);
	buf_fini(&answer);
	m->total += ok;
	return ok;
}

/* All keys as of *revision, which the first page sets, page by page. */
static int copy_all(struct mirror *m, int64_t *revision)
{
	Etcdserverpb__RangeRequest req = ETCDSERVERPB__RANGE_REQUEST__INIT;
	struct slice all = slice_of("", 1);
	struct buf next;
	struct arena a;
	bool more = true;
	int code = 0;

	arena_init(&a, 1 << 30);
	buf_init(&next, SIZE_MAX / 2);
	req.key = pb_binary(m->prefix.size ? m->prefix : all);
	req.range_end = pb_binary(m->prefix.size ? prefix_end(m->c, m->prefix) : all);
	req.limit = PAGE;
	while (more && !code) {
		struct buf body, answer;
		Etcdserverpb__RangeResponse *page = NULL;

		buf_init(&body, SIZE_MAX / 2);
		buf_init(&answer, SIZE_MAX / 2);
		req.revision = *revision;
		pb_pack(&req.base, &body);
		arena_reset(&a);
		if (!client_unary(m->c->client, RPC_RANGE, buf_slice(&body), NULL, &answer, &m->c->status) ||
		    pb_unpack(&a, &etcdserverpb__range_response__descriptor, buf_slice(&answer), &page))
			code = ctl_call_failed(m->c, EXIT_ERROR, "", "");
		for (size_t i = 0; !code && i < page->n_kvs; i++) {
			if (!copy_pair(m, &a, page->kvs[i]))
				code = ctl_call_failed(m->c, EXIT_ERROR, "", "");
		}
		if (!code) {
			*revision = page->header && !*revision ? page->header->revision : *revision;
			more = page->more && page->n_kvs;
		}
		if (!code && more) {
			/* The next page begins behind the last key: with a zero byte more. */
			buf_clear(&next);
			buf_put_slice(&next, pb_slice(page->kvs[page->n_kvs - 1]->key));
			buf_put_byte(&next, 0);
			req.key = pb_binary(buf_slice(&next));
		}
		buf_fini(&body);
		buf_fini(&answer);
	}
	arena_fini(&a);
	buf_fini(&next);
	return code;
}

/* --- following --- */

static void on_response(struct client_watch *w, void *user, struct slice body)
{
	struct mirror *m = user;
	struct queued *q = NEW(struct queued);

	buf_init(&q->body, SIZE_MAX / 2);
	buf_put_slice(&q->body, body);
	list_push_back(&m->queue, &q->node);
	m->news = true;
	client_watch_pause(w, true); /* one at a time: the destination may be slow */
}

static void on_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct mirror *m = user;

	m->error = *s;
	m->ended = m->news = true;
}

static bool flush_txn(struct mirror *m)
{
	struct buf answer;
	bool ok;

	if (!m->txn_ops)
		return true;
	buf_init(&answer, SIZE_MAX / 2);
	ok = client_unary(m->dest, RPC_TXN, buf_slice(&m->txn), NULL, &answer, &m->c->status);
	buf_fini(&answer);
	buf_clear(&m->txn);
	m->txn_ops = 0;
	return ok;
}

static void add_event(struct mirror *m, struct arena *a, const Mvccpb__Event *e)
{
	Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT, *ops[] = {&op};
	Etcdserverpb__PutRequest put_it = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__DeleteRangeRequest delete_it = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	ProtobufCBinaryData key = pb_binary(renamed(m, a, pb_slice(e->kv->key)));

	if (e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) {
		delete_it.key = key;
		op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		op.request_delete_range = &delete_it;
	} else {
		put_it.key = key;
		put_it.value = e->kv->value;
		op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		op.request_put = &put_it;
	}
	/* Encoded messages one after the other are one message with all their operations. */
	txn.success = ops;
	txn.n_success = 1;
	pb_pack(&txn.base, &m->txn);
	m->txn_ops++;
	m->total++;
}

static bool apply(struct mirror *m, struct slice body)
{
	Etcdserverpb__WatchResponse *r;
	struct arena a;
	bool ok;

	arena_init(&a, 1 << 30);
	ok = !pb_unpack(&a, &etcdserverpb__watch_response__descriptor, body, &r);
	for (size_t i = 0; ok && i < r->n_events; i++) {
		const Mvccpb__Event *e = r->events[i];

		if (!e->kv)
			continue;
		if ((m->last_revision && e->kv->mod_revision > m->last_revision) || m->txn_ops == m->c->o.max_txn_ops) /* 0: no limit, as upstream has it */
			ok = flush_txn(m);
		m->last_revision = e->kv->mod_revision;
		if (ok)
			add_event(m, &a, e);
	}
	ok = ok && flush_txn(m);
	arena_fini(&a);
	return ok;
}

static int follow(struct mirror *m, int64_t revision)
{
	static const struct client_watch_events events = {on_response, on_end};
	struct client_watch_opts o = {.key = m->prefix.size ? m->prefix : slice_of("", 1), .start_revision = revision};
	struct client_watch *w;
	bool ok = true;

	o.range_end = m->prefix.size ? prefix_end(m->c, m->prefix) : slice_of("", 1);
	list_init(&m->queue);
	w = client_watch_open(m->c->client, &o, &events, m);
	while (ok && (!m->ended || !list_empty(&m->queue))) {
		client_wait(m->c->client, &m->news, 0);
		m->news = false;
		while (ok && !list_empty(&m->queue)) {
			struct queued *q = CONTAINER_OF(m->queue.next, struct queued, node);

			list_remove(&q->node);
			ok = apply(m, buf_slice(&q->body));
			buf_fini(&q->body);
			mem_free(q);
		}
		client_watch_pause(w, false);
	}
	client_watch_close(w);
	if (ok)
		m->c->status = m->error;
	return ctl_call_failed(m->c, EXIT_ERROR, "", "");
}

/* --- the command --- */

static void dest_opts(struct ctl *c, struct client_opts *o)
{
	*o = (struct client_opts){
	    .endpoints = c->args,
	    .endpoint_count = 1,
	    .dial_timeout_ms = ms_of(c->o.dial_timeout),
	    .keepalive_time_ms = ms_of(c->o.keepalive_time),
	    .keepalive_timeout_ms = ms_of(c->o.keepalive_timeout),
	    .send_bytes_max = (uint32_t)c->o.max_request_bytes,
	    .recv_bytes_max = (uint32_t)c->o.max_recv_bytes,
	    .tls = {.cert = c->o.dest_cert, .key = c->o.dest_key, .cacert = c->o.dest_cacert},
	};
	o->tls.on = !c->o.dest_insecure_transport || c->o.dest_cert[0] || c->o.dest_key[0] || c->o.dest_cacert[0];
	ctl_user(c, c->o.dest_user, c->o.dest_password, "Destination Password: ", &o->user, &o->password);
}

static int mirror_run(struct mirror *m)
{
	struct ctl *c = m->c;
	int64_t revision = MAX(c->o.rev - 1, (int64_t)0);
	int code = 0;

	m->report = NEW(uv_timer_t);
	uv_timer_init(&c->loop, m->report);
	m->report->data = m;
	uv_timer_start(m->report, on_report, REPORT_MS, REPORT_MS);
	m->prefix = slice_str(c->o.prefix_text);
	m->dest_prefix = slice_str(c->o.dest_prefix);
	if (!revision) {
		/* Without a prefix of its own the destination has the same; only then, as upstream has it. */
		if (!c->o.no_dest_prefix && !m->dest_prefix.size)
			m->dest_prefix = m->prefix;
		code = copy_all(m, &revision);
	}
	buf_init(&m->txn, SIZE_MAX / 2);
	if (!code)
		code = follow(m, revision + 1);
	buf_fini(&m->txn);
	uv_close((uv_handle_t *)m->report, ctl_handle_free);
	return code;
}

RUN(make_mirror)
{
	struct ctl *c = cli->user;
	struct mirror m = {.c = c};
	struct client_opts o;
	int code;

	if (c->arg_count != 1)
		return ctl_fail(EXIT_ARGS, "make-mirror takes one destination argument");
	dest_opts(c, &o);
	code = ctl_client_from(c, &o, &m.dest);
	if (!code)
		code = ctl_connect(c);
	if (!code && c->o.no_dest_prefix && c->o.dest_prefix[0])
		code = ctl_fail(EXIT_ARGS,
				"`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
	if (!code)
		code = mirror_run(&m);
	ctl_client_close(c, m.dest);
	return code;
}
