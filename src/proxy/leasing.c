/* --experimental-leasing-prefix P, between this proxy's cache and --namespace: upstream's client/v3/leasing, its keys and its
 * transactions, so that proxies of both kinds may share P.
 *
 *	leasing key P+key, with the lease of a proxy's session, made while it is not there: the owner may answer reads of key itself
 *	its value "REVOKE": somebody wants to write key; the owner deletes it
 *
 * A call:
 *
 *	read:   ACQUIRE (make P+key and read key, or read both) ──> answered
 *	write:  TRY (guarded: no P+key but ours) ──done──> answered
 *	          └─guard failed──> REVOKE those of others ──> WAIT for a deletion, or WAIT_MS ──> TRY
 *	        of an interval: GATHER (what is there of P+[key, end)) before each TRY
 *
 * Where this differs from upstream: an own write makes the next read ask the cluster; keys with a lease are not kept, for they go
 * without a write; a write of unknown outcome releases what it concerns; a call with a token is never answered from here, and never
 * acquires; and a kept answer is trusted only for as long as the session's last renewal that was answered, counted from its sending. */
#include "env/env.h"
#include "proxy/leasing_impl.h"

enum { WAIT_MS = 1000, REVOKE_KEYS_MAX = 100, ARENA_BYTES = 64 << 20 };

enum step { STEP_ACQUIRE, STEP_GATHER, STEP_TRY, STEP_REVOKE, STEP_WAIT };

struct write {
	struct leasing_write range;     /* of a key alone: no node of a list */
	int64_t guard;                  /* leasing keys made after it fail the write */
};

struct foreign {
	struct slice key;
	int64_t created;
};

struct leasing_call {
	struct list node; /* of leasing.calls */
	struct leasing *l;
	struct pass *pass;
	enum step step;
	struct client_call *call;
	struct net_timer wait;
	struct arena arena;
	VEC(struct write) writes;
	VEC(struct foreign) foreign;
	bool has_ranges;
	bool write_sent;        /* its outcome is not known */
	int64_t lease;          /* of the session that acquires */
	int64_t wait_revision, deleted_revision;
	struct buf answer;      /* the cluster's, the namespace taken off */
};

/* ---- the end of a call ---- */

static bool is_known(const struct client_status *s)
{
	switch (s->code) {
	case GRPC_OK: return true;
	case GRPC_CANCELLED:
	case GRPC_UNKNOWN:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_INTERNAL:
	case GRPC_UNAVAILABLE: return false;
	default: return !s->is_local;
	}
}

static void writes_end(struct leasing_call *c)
{
	struct leasing *l = c->l;
	struct slice key;

	for (size_t i = 0; i < c->writes.count; i++) {
		struct leasing_write *w = &c->writes.at[i].range;

		while (c->write_sent && l->lease && leasing_owned_in(&l->cache, w->key, w->range_end, &key))
			leasing_give_up(l, key);
		if (w->range_end.size)
			leasing_range_end(w);
		else
			leasing_write_end(&l->cache, w->key);
	}
	c->writes.count = 0;
}

void leasing_call_drop(struct leasing_call *c)
{
	struct leasing *l = c->l;

	if (c->call)
		client_drop(c->call);
	if (c->step == STEP_ACQUIRE) {
		leasing_acquire_failed(&l->cache, c->pass->kv.range.key);
		if (c->lease == l->lease)
			leasing_give_up(l, c->pass->kv.range.key);
	}
	writes_end(c);
	net_timer_cancel(l->px->loop, &c->wait);
	list_remove(&c->node);
	VEC_FREE(&c->writes);
	VEC_FREE(&c->foreign);
	arena_fini(&c->arena);
	buf_fini(&c->answer);
	c->pass->leasing = NULL;
	mem_free(c);
}

static void finish(struct leasing_call *c, enum grpc_status status, struct slice text)
{
	struct pass *p = c->pass;

	kv_after(c->l->px, rpc_of(p->stream), blob_slice(p->request), status == GRPC_OK);
	pass_finish(p, status, text); /* which drops c */
}

static void answer(struct leasing_call *c, struct slice body)
{
	if (rpc_of(c->pass->stream) == RPC_RANGE)
		kv_remember(c->l->px, c->pass->stream, &c->pass->kv, body);
	grpc_send(c->pass->stream, &body, 1);
	finish(c, GRPC_OK, (struct slice){0});
}

/* ---- asking ---- */

static void on_call_message(struct client_call *call, void *user, struct slice body);
static void on_call_end(struct client_call *call, void *user, const struct client_status *st);

static void ask(struct leasing_call *c, enum step step, struct slice body)
{
	static const struct client_events events = {on_call_message, on_call_end};
	struct client_call_opts co = {.timeout_ms = timeout_of(c->pass->stream), .token = token_of(c->pass->stream)};

	c->step = step;
	buf_clear(&c->answer);
	c->call = leasing_start_txn(c->l, body, &co, &events, c);
}

static void ask_acquire(struct leasing_call *c)
{
	struct slice key = c->pass->kv.range.key, none = {0};
	struct leasing *l = c->l;
	struct buf body, range;

	buf_init(&body, SIZE_MAX / 2);
	buf_init(&range, SIZE_MAX / 2);
	pb_put_bytes(&range, 1, key);
	c->lease = l->lease;
	leasing_txn_compare(&l->prefix, &body, true, key, none, CMP_EQUAL, CMP_CREATE, CMP_UNION_CREATE, 0);
	leasing_txn_compare(&l->prefix, &body, false, key, none, CMP_EQUAL, CMP_LEASE, CMP_UNION_LEASE, 0);
	leasing_txn_op(&body, TXN_SUCCESS, OP_RANGE, buf_slice(&range));
	leasing_txn_put(&l->prefix, &body, TXN_SUCCESS, key, none, l->lease);
	leasing_txn_op(&body, TXN_FAILURE, OP_RANGE, buf_slice(&range));
	leasing_txn_range(&l->prefix, &body, TXN_FAILURE, key, none);
	ask(c, STEP_ACQUIRE, buf_slice(&body));
	buf_fini(&range);
	buf_fini(&body);
}

static void put_gets(const struct leasing_call *c, uint32_t branch, struct buf *out)
{
	for (size_t i = 0; i < c->writes.count; i++)
		leasing_txn_range(&c->l->prefix, out, branch, c->writes.at[i].range.key, c->writes.at[i].range.range_end);
}

static void ask_gather(struct leasing_call *c)
{
	struct buf body;

	buf_init(&body, SIZE_MAX / 2);
	put_gets(c, TXN_SUCCESS, &body);
	ask(c, STEP_GATHER, buf_slice(&body));
	buf_fini(&body);
}

static void ask_try(struct leasing_call *c)
{
	static const enum op_kind kinds[] = {[RPC_PUT] = OP_PUT, [RPC_DELETE_RANGE] = OP_DELETE, [RPC_TXN] = OP_TXN};
	struct buf body;

	buf_init(&body, SIZE_MAX / 2);
	for (size_t i = 0; i < c->writes.count; i++) {
		struct write *w = &c->writes.at[i];

		if (!w->range.range_end.size)
			w->guard = leasing_revision(&c->l->cache, w->range.key);
		leasing_txn_compare(&c->l->prefix, &body, true, w->range.key, w->range.range_end, CMP_LESS, CMP_CREATE, CMP_UNION_CREATE, w->guard + 1);
	}
	leasing_txn_op(&body, TXN_SUCCESS, kinds[rpc_of(c->pass->stream)], blob_slice(c->pass->request));
	put_gets(c, TXN_FAILURE, &body);
	c->write_sent = true;
	ask(c, STEP_TRY, buf_slice(&body));
	buf_fini(&body);
}

static void ask_revoke(struct leasing_call *c)
{
	struct slice none = {0};
	struct buf body;

	buf_init(&body, SIZE_MAX / 2);
	for (size_t i = 0; i < c->foreign.count && i < REVOKE_KEYS_MAX; i++) {
		const struct foreign *f = &c->foreign.at[i];

		leasing_txn_compare(&c->l->prefix, &body, true, f->key, none, CMP_EQUAL, CMP_CREATE, CMP_UNION_CREATE, f->created);
		leasing_txn_put(&c->l->prefix, &body, TXN_SUCCESS, f->key, SLICE_LIT("REVOKE"), 0);
	}
	c->deleted_revision = 0;
	ask(c, STEP_REVOKE, buf_slice(&body));
	buf_fini(&body);
}

static void next_try(struct leasing_call *c)
{
	if (c->has_ranges)
		ask_gather(c);
	else
		ask_try(c);
}

static void on_wait(struct net_timer *t)
{
	next_try(CONTAINER_OF(t, struct leasing_call, wait));
}

static void wait(struct leasing_call *c)
{
	c->step = STEP_WAIT;
	net_timer_set(c->l->px->loop, &c->wait, leasing_now_ms(c->l) + (c->deleted_revision > c->wait_revision ? 0 : WAIT_MS));
}

void leasing_deleted(struct leasing *l, struct slice key, int64_t revision)
{
	LIST_EACH (it, &l->calls) {
		struct leasing_call *c = CONTAINER_OF(it, struct leasing_call, node);

		for (size_t i = 0; i < c->foreign.count; i++) {
			if (!slice_eq(c->foreign.at[i].key, key))
				continue;
			c->deleted_revision = MAX(c->deleted_revision, revision);
			if (c->step == STEP_WAIT && revision > c->wait_revision)
				net_timer_set(l->px->loop, &c->wait, leasing_now_ms(l));
		}
	}
}

/* ---- answers ---- */

static void acquired(struct leasing_call *c)
{
	struct leasing_answer t = leasing_answer_read(buf_slice(&c->answer));
	struct slice kv = leasing_first_kv(leasing_answer_at(&t, 0)), key = c->pass->kv.range.key, victim;
	struct leasing *l = c->l;
	bool same = c->lease == l->lease;
	bool is_ours = same && !t.succeeded && leasing_kv(leasing_first_kv(leasing_answer_at(&t, 1))).lease == c->lease;
	struct buf out;

	c->step = STEP_WAIT; /* nothing is being acquired any more */
	if (leasing_acquired(&l->cache, key, kv_revision(buf_slice(&c->answer)), same && t.succeeded, is_ours, !leasing_kv(kv).lease, t.header, kv))
		leasing_give_up(l, key);
	buf_init(&out, SIZE_MAX / 2);
	leasing_range_answer(&c->pass->kv.range, t.header, kv, &out);
	answer(c, buf_slice(&out));
	buf_fini(&out);
	while (leasing_victim(&l->cache, &victim))
		leasing_give_up(l, victim);
}

/* What is there of leasing keys for each write: the newest bounds its guard; those that are not ours, by our own count, are to go. */
static void take_gets(struct leasing_call *c, const struct leasing_answer *t)
{
	c->foreign.count = 0;
	for (size_t i = 0; i < c->writes.count; i++) {
		struct pb_reader r = pb_reader_of(leasing_answer_at(t, i));
		struct slice bytes;

		c->writes.at[i].guard = 0;
		while (leasing_next_kv(&r, &bytes)) {
			struct kv kv = leasing_kv(bytes);
			struct foreign f = {.created = kv.create_rev};

			c->writes.at[i].guard = MAX(c->writes.at[i].guard, kv.create_rev);
			kv.key = leasing_without_prefix(&c->l->prefix, kv.key);
			if (kv.lease == c->l->lease && leasing_owns(&c->l->cache, kv.key))
				continue;
			if (arena_copy(&c->arena, kv.key, &f.key))
				VEC_PUSH(&c->foreign, f);
		}
	}
}

static void gathered(struct leasing_call *c, const struct leasing_answer *t, bool was_try)
{
	take_gets(c, t);
	if (c->foreign.count)
		ask_revoke(c);
	else if (was_try)
		next_try(c);
	else
		ask_try(c);
}

/* The client's answer: the response within ours, under the header of the whole. */
static void written(struct leasing_call *c, const struct leasing_answer *t)
{
	struct slice inner = leasing_answer_at(t, 0);
	struct pb_reader r = pb_reader_of(inner);
	const uint8_t *start = r.at;
	struct pb_field f;
	struct buf out;

	c->write_sent = false;
	buf_init(&out, SIZE_MAX / 2);
	pb_put_bytes_always(&out, 1, t->header);
	for (; pb_next(&r, &f); start = r.at)
		if (f.number != 1)
			buf_put(&out, start, (size_t)(r.at - start));
	answer(c, buf_slice(&out));
	buf_fini(&out);
}

static void on_call_message(struct client_call *call, void *user, struct slice body)
{
	struct leasing_call *c = user;
	struct grpc_proxy *px = c->l->px;

	kv_too_old(px, RPC_TXN, body);
	if (!px->has_prefix || prefix_response(&px->prefix, RPC_TXN, body, &c->answer)) {
		buf_clear(&c->answer);
		buf_put_slice(&c->answer, body);
	}
}

static void call_failed(struct leasing_call *c, const struct client_status *s)
{
	struct leasing *l = c->l;

	if (is_known(s))
		c->write_sent = false;
	if (c->step == STEP_ACQUIRE && is_known(s)) {
		leasing_acquire_failed(&l->cache, c->pass->kv.range.key);
		c->step = STEP_WAIT;
	}
	finish(c, s->code, slice_str(s->text));
}

static void on_call_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct leasing_call *c = user;
	struct client_status s = *st;
	struct leasing_answer t = leasing_answer_read(buf_slice(&c->answer));

	c->call = NULL;
	if (s.code != GRPC_OK) {
		call_failed(c, &s);
		return;
	}
	switch (c->step) {
	case STEP_ACQUIRE: acquired(c); break;
	case STEP_GATHER: gathered(c, &t, false); break;
	case STEP_TRY:
		if (t.succeeded) {
			written(c, &t);
		} else {
			c->write_sent = false;
			gathered(c, &t, true);
		}
		break;
	case STEP_REVOKE:
		c->wait_revision = kv_revision(buf_slice(&c->answer));
		if (t.succeeded)
			wait(c);
		else
			ask_gather(c); /* others did, or took it anew */
		break;
	case STEP_WAIT: UNREACHABLE();
	}
}

/* ---- requests ---- */

static struct leasing_call *call_new(struct leasing *l, struct pass *p)
{
	struct leasing_call *c = NEW(struct leasing_call);

	c->l = l;
	c->pass = p;
	c->step = STEP_WAIT;
	net_timer_init(&c->wait, on_wait);
	arena_init(&c->arena, ARENA_BYTES);
	buf_init(&c->answer, SIZE_MAX / 2);
	list_push_back(&l->calls, &c->node);
	p->leasing = c;
	return c;
}

static void add_write(struct leasing_call *c, struct slice key, struct slice range_end)
{
	struct write w = {.range = {.key = key, .range_end = range_end}};

	c->has_ranges |= range_end.size > 0;
	VEC_PUSH(&c->writes, w);
}

static void add_writes(struct leasing_call *c, const struct txn_req *t);

static void add_ops(struct leasing_call *c, const struct request_op *ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == OP_PUT)
			add_write(c, ops[i].put.key, (struct slice){0});
		else if (ops[i].kind == OP_DELETE)
			add_write(c, ops[i].del.key, ops[i].del.range_end);
		else if (ops[i].kind == OP_TXN)
			add_writes(c, ops[i].txn);
	}
}

static void add_writes(struct leasing_call *c, const struct txn_req *t)
{
	add_ops(c, t->success, t->success_count);
	add_ops(c, t->failure, t->failure_count);
}

static bool read_writes(struct leasing_call *c, enum rpc rpc, struct slice body)
{
	struct put_req put;
	struct delete_req del;
	struct txn_req txn;

	if (rpc == RPC_PUT) {
		if (put_req_parse(body, &put))
			return false;
		add_write(c, put.key, (struct slice){0});
	} else if (rpc == RPC_DELETE_RANGE) {
		if (delete_req_parse(body, &del))
			return false;
		add_write(c, del.key, del.range_end);
	} else {
		if (txn_req_parse(&c->arena, body, &txn))
			return false;
		add_writes(c, &txn);
	}
	for (size_t i = 0; i < c->writes.count; i++)
		if (!c->writes.at[i].range.key.size && !c->writes.at[i].range.range_end.size)
			return false; /* the cluster says what is wrong with it */
	return c->writes.count;
}

static bool take_write(struct leasing *l, struct pass *p)
{
	struct leasing_call *c = call_new(l, p);

	if (!read_writes(c, rpc_of(p->stream), blob_slice(p->request))) {
		c->writes.count = 0;
		leasing_call_drop(c);
		return false;
	}
	for (size_t i = 0; i < c->writes.count; i++) {
		struct leasing_write *w = &c->writes.at[i].range;

		if (w->range_end.size)
			leasing_range_begin(&l->cache, w);
		else
			leasing_write_begin(&l->cache, w->key);
	}
	next_try(c);
	return true;
}

static bool take_read(struct leasing *l, struct pass *p)
{
	const struct range_req *q = &p->kv.range;
	struct slice header, kv;
	struct buf out;

	if (!q->key.size || q->range_end.size || q->revision || q->limit < 0 || q->sort_order || token_of(p->stream).size || !l->lease ||
	    !l->watching || env_mono_ns() >= l->trusted_ns)
		return false;
	switch (leasing_read(&l->cache, q->key, leasing_now_ms(l), !q->serializable, &header, &kv)) {
	case LEASING_PASS: return false;
	case LEASING_ACQUIRE: ask_acquire(call_new(l, p)); return true;
	case LEASING_HIT: break;
	}
	buf_init(&out, SIZE_MAX / 2);
	leasing_range_answer(q, header, kv, &out);
	answer(call_new(l, p), buf_slice(&out));
	buf_fini(&out);
	return true;
}

bool leasing_takes(struct leasing *l, struct pass *p)
{
	switch (rpc_of(p->stream)) {
	case RPC_RANGE: return take_read(l, p);
	case RPC_PUT:
	case RPC_DELETE_RANGE:
	case RPC_TXN: return take_write(l, p);
	default: return false;
	}
}
