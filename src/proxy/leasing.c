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
#include "pb/kv.h"
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"
#include "proxy/interval.h"
#include "proxy/leasing_cache.h"

enum { SESSION_TTL_S = 60, MARGIN_S = 2, RENEW_MS = SESSION_TTL_S * 1000 / 3, RETRY_MS = 1000, WAIT_MS = 1000, REVOKE_KEYS_MAX = 100,
       ARENA_BYTES = 64 << 20 };

struct leasing {
	struct grpc_proxy *px;
	struct prefix prefix;
	struct leasing_cache cache;
	struct list calls;
	struct list releases;
	/* session */
	struct client_call *grant, *renewal;
	struct net_timer timer;         /* to grant, or to renew */
	int64_t lease;                  /* 0: none */
	bool is_asked;                  /* a renewal is under way */
	uint64_t asked_ns, trusted_ns;
	/* the leasing keys' events */
	struct client_watch *watch;
	struct net_timer rewatch;
	bool watching;
	uint8_t end[];
};

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

/* A leasing key is deleted, if it is still of that lease. */
struct release {
	struct list node; /* of leasing.releases */
	struct leasing *l;
	struct client_call *call;
	struct net_timer again;
	int64_t lease;
	struct slice key;
	uint8_t bytes[];
};

static uint64_t now_ms(const struct leasing *l)
{
	return net_loop_now_ms(l->px->loop);
}

/* ---- messages ---- */

static void put_leasing_key(const struct leasing *l, struct slice key, uint32_t number, struct buf *out)
{
	pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
	pb_put_varint(out, l->prefix.bytes.size + key.size);
	prefix_key(&l->prefix, key, out);
}

static void put_leasing_end(const struct leasing *l, struct slice end, uint32_t number, struct buf *out)
{
	if (interval_is_open(end))
		pb_put_bytes(out, number, l->prefix.end);
	else if (end.size)
		put_leasing_key(l, end, number, out);
}

enum { TXN_COMPARE = 1, TXN_SUCCESS = 2, TXN_FAILURE = 3, COMPARE_RESULT = 1, COMPARE_TARGET = 2, COMPARE_KEY = 3, COMPARE_END = 64,
       PUT_KEY = 1, PUT_VALUE = 2, PUT_LEASE = 3, PUT_IGNORE_LEASE = 6 };

static void put_compare(const struct leasing *l, struct buf *out, bool of_leasing_key, struct slice key, struct slice end,
			enum compare_result result, enum compare_target target, enum compare_union which, int64_t number)
{
	size_t mark = pb_begin(out, TXN_COMPARE);

	pb_put_uint(out, COMPARE_RESULT, result);
	pb_put_uint(out, COMPARE_TARGET, target);
	if (of_leasing_key) {
		put_leasing_key(l, key, COMPARE_KEY, out);
		put_leasing_end(l, end, COMPARE_END, out);
	} else {
		pb_put_bytes(out, COMPARE_KEY, key);
	}
	pb_put_uint_always(out, which, (uint64_t)number);
	pb_end(out, mark);
}

/* One operation of a branch, made of an encoded request. */
static void put_op(struct buf *out, uint32_t branch, enum op_kind kind, struct slice request)
{
	size_t mark = pb_begin(out, branch);

	pb_put_bytes_always(out, kind, request);
	pb_end(out, mark);
}

static void put_leasing_put(const struct leasing *l, struct buf *out, uint32_t branch, struct slice key, struct slice value, int64_t lease)
{
	size_t op = pb_begin(out, branch), put = pb_begin(out, OP_PUT);

	put_leasing_key(l, key, PUT_KEY, out);
	pb_put_bytes(out, PUT_VALUE, value);
	pb_put_uint(out, PUT_LEASE, (uint64_t)lease);
	pb_put_uint(out, PUT_IGNORE_LEASE, !lease);
	pb_end(out, put);
	pb_end(out, op);
}

static void put_leasing_range(const struct leasing *l, struct buf *out, uint32_t branch, struct slice key, struct slice end)
{
	size_t op = pb_begin(out, branch), range = pb_begin(out, OP_RANGE);

	put_leasing_key(l, key, 1, out);
	put_leasing_end(l, end, 2, out);
	pb_end(out, range);
	pb_end(out, op);
}

static void put_leasing_delete(const struct leasing *l, struct buf *out, uint32_t branch, struct slice key)
{
	size_t op = pb_begin(out, branch), del = pb_begin(out, OP_DELETE);

	put_leasing_key(l, key, 1, out);
	pb_end(out, del);
	pb_end(out, op);
}

struct txn_answer {
	struct slice header;
	bool succeeded;
	struct slice rest; /* responses are looked up in it */
};

static struct txn_answer read_txn(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct txn_answer t = {.rest = body};
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			t.header = f.bytes;
		else if (f.number == 2 && f.wire == PB_VARINT)
			t.succeeded = f.value;
	}
	return t;
}

/* The message within the i-th response, whatever its kind. */
static struct slice response_at(const struct txn_answer *t, size_t i)
{
	struct pb_reader r = pb_reader_of(t->rest), inner;
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number != 3 || f.wire != PB_BYTES || i--)
			continue;
		inner = pb_reader_of(f.bytes);
		if (pb_next(&inner, &f) && f.wire == PB_BYTES)
			return f.bytes;
		break;
	}
	return (struct slice){0};
}

/* All zero where it cannot be read. */
static struct kv read_kv(struct slice body)
{
	struct kv kv = {0};

	err_ignore(kv_decode(body, &kv));
	return kv;
}

/* The next key-value pair of a RangeResponse. */
static bool next_kv(struct pb_reader *r, struct slice *out)
{
	struct pb_field f;

	while (pb_next(r, &f)) {
		if (f.number == 2 && f.wire == PB_BYTES) {
			*out = f.bytes;
			return true;
		}
	}
	return false;
}

static struct slice first_kv(struct slice range_response)
{
	struct pb_reader r = pb_reader_of(range_response);
	struct slice kv = {0};

	next_kv(&r, &kv);
	return kv;
}

static struct slice without_prefix(const struct prefix *p, struct slice key)
{
	return slice_has_prefix(key, p->bytes) ? slice_of(key.data + p->bytes.size, key.size - p->bytes.size) : key;
}

/* What a range of one key answers, with the client's options. */
static void put_range_answer(const struct range_req *q, struct slice header, struct slice kv_bytes, struct buf *out)
{
	enum { KV_VALUE = 5 };
	struct kv kv = read_kv(kv_bytes);
	struct pb_reader r = pb_reader_of(kv_bytes);
	bool shown = kv_bytes.size && !q->count_only && kv.mod_rev >= q->min_mod_rev && kv.create_rev >= q->min_create_rev &&
		     (!q->max_mod_rev || kv.mod_rev <= q->max_mod_rev) && (!q->max_create_rev || kv.create_rev <= q->max_create_rev);
	const uint8_t *start = r.at;
	struct pb_field f;
	size_t mark;

	pb_put_bytes_always(out, 1, header);
	if (shown) {
		mark = pb_begin(out, 2);
		for (; pb_next(&r, &f); start = r.at)
			if (!q->keys_only || f.number != KV_VALUE)
				buf_put(out, start, (size_t)(r.at - start));
		pb_end(out, mark);
	}
	pb_put_uint(out, 4, kv_bytes.size > 0);
}

/* ---- calls of our own ---- */

static void on_call_message(struct client_call *call, void *user, struct slice body);
static void on_call_end(struct client_call *call, void *user, const struct client_status *st);

/* The namespace goes around what is asked here. */
static struct client_call *start_txn(struct leasing *l, struct slice body, const struct client_call_opts *co, const struct client_events *events,
				     void *user)
{
	struct client_call *call;
	struct buf out;

	if (!l->px->has_prefix)
		return client_start(l->px->client, RPC_TXN, body, co, events, user);
	buf_init(&out, SIZE_MAX / 2);
	err_ignore(prefix_request(&l->px->prefix, RPC_TXN, body, &out)); /* too deep: as deep as the cluster will say */
	call = client_start(l->px->client, RPC_TXN, buf_slice(&out), co, events, user);
	buf_fini(&out);
	return call;
}

/* ---- releasing ---- */

static void release_free(struct release *r)
{
	if (r->call)
		client_drop(r->call);
	net_timer_cancel(r->l->px->loop, &r->again);
	list_remove(&r->node);
	mem_free(r);
}

static void on_release_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct release *r = user;
	struct leasing *l = r->l;

	r->call = NULL;
	if (st->code != GRPC_OK && r->lease == l->lease) {
		net_timer_set(l->px->loop, &r->again, now_ms(l) + RETRY_MS);
		return;
	}
	leasing_released(&l->cache, r->key);
	release_free(r);
}

static void release_ask(struct release *r)
{
	static const struct client_events events = {.on_end = on_release_end};
	struct client_call_opts co = {.timeout_ms = SESSION_TTL_S * 1000};
	struct buf body;

	buf_init(&body, SIZE_MAX / 2);
	put_compare(r->l, &body, true, r->key, (struct slice){0}, CMP_EQUAL, CMP_LEASE, CMP_UNION_LEASE, r->lease);
	put_leasing_delete(r->l, &body, TXN_SUCCESS, r->key);
	r->call = start_txn(r->l, buf_slice(&body), &co, &events, r);
	buf_fini(&body);
}

static void on_release_again(struct net_timer *t)
{
	release_ask(CONTAINER_OF(t, struct release, again));
}

static void release(struct leasing *l, struct slice key)
{
	struct release *r;

	if (!l->lease || !leasing_release(&l->cache, key))
		return;
	r = mem_zalloc(sizeof(*r) + key.size);
	r->l = l;
	r->lease = l->lease;
	r->key = slice_of(r->bytes, key.size);
	memcpy(r->bytes, key.data, key.size);
	net_timer_init(&r->again, on_release_again);
	list_push_back(&l->releases, &r->node);
	release_ask(r);
}

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
			release(l, key);
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
			release(l, c->pass->kv.range.key);
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

static void ask(struct leasing_call *c, enum step step, struct slice body)
{
	static const struct client_events events = {on_call_message, on_call_end};
	struct client_call_opts co = {.timeout_ms = timeout_of(c->pass->stream), .token = token_of(c->pass->stream)};

	c->step = step;
	buf_clear(&c->answer);
	c->call = start_txn(c->l, body, &co, &events, c);
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
	put_compare(l, &body, true, key, none, CMP_EQUAL, CMP_CREATE, CMP_UNION_CREATE, 0);
	put_compare(l, &body, false, key, none, CMP_EQUAL, CMP_LEASE, CMP_UNION_LEASE, 0);
	put_op(&body, TXN_SUCCESS, OP_RANGE, buf_slice(&range));
	put_leasing_put(l, &body, TXN_SUCCESS, key, none, l->lease);
	put_op(&body, TXN_FAILURE, OP_RANGE, buf_slice(&range));
	put_leasing_range(l, &body, TXN_FAILURE, key, none);
	ask(c, STEP_ACQUIRE, buf_slice(&body));
	buf_fini(&range);
	buf_fini(&body);
}

static void put_gets(const struct leasing_call *c, uint32_t branch, struct buf *out)
{
	for (size_t i = 0; i < c->writes.count; i++)
		put_leasing_range(c->l, out, branch, c->writes.at[i].range.key, c->writes.at[i].range.range_end);
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
		put_compare(c->l, &body, true, w->range.key, w->range.range_end, CMP_LESS, CMP_CREATE, CMP_UNION_CREATE, w->guard + 1);
	}
	put_op(&body, TXN_SUCCESS, kinds[rpc_of(c->pass->stream)], blob_slice(c->pass->request));
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

		put_compare(c->l, &body, true, f->key, none, CMP_EQUAL, CMP_CREATE, CMP_UNION_CREATE, f->created);
		put_leasing_put(c->l, &body, TXN_SUCCESS, f->key, SLICE_LIT("REVOKE"), 0);
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
	net_timer_set(c->l->px->loop, &c->wait, now_ms(c->l) + (c->deleted_revision > c->wait_revision ? 0 : WAIT_MS));
}

/* A leasing key is gone: those who wait for it go on. */
static void deleted(struct leasing *l, struct slice key, int64_t revision)
{
	LIST_EACH (it, &l->calls) {
		struct leasing_call *c = CONTAINER_OF(it, struct leasing_call, node);

		for (size_t i = 0; i < c->foreign.count; i++) {
			if (!slice_eq(c->foreign.at[i].key, key))
				continue;
			c->deleted_revision = MAX(c->deleted_revision, revision);
			if (c->step == STEP_WAIT && revision > c->wait_revision)
				net_timer_set(l->px->loop, &c->wait, now_ms(l));
		}
	}
}

/* ---- answers ---- */

static void acquired(struct leasing_call *c)
{
	struct txn_answer t = read_txn(buf_slice(&c->answer));
	struct slice kv = first_kv(response_at(&t, 0)), key = c->pass->kv.range.key, victim;
	struct leasing *l = c->l;
	bool same = c->lease == l->lease;
	bool is_ours = same && !t.succeeded && read_kv(first_kv(response_at(&t, 1))).lease == c->lease;
	struct buf out;

	c->step = STEP_WAIT; /* nothing is being acquired any more */
	if (leasing_acquired(&l->cache, key, kv_revision(buf_slice(&c->answer)), same && t.succeeded, is_ours, !read_kv(kv).lease, t.header, kv))
		release(l, key);
	buf_init(&out, SIZE_MAX / 2);
	put_range_answer(&c->pass->kv.range, t.header, kv, &out);
	answer(c, buf_slice(&out));
	buf_fini(&out);
	while (leasing_victim(&l->cache, &victim))
		release(l, victim);
}

/* What is there of leasing keys for each write: the newest bounds its guard; those that are not ours, by our own count, are to go. */
static void take_gets(struct leasing_call *c, const struct txn_answer *t)
{
	c->foreign.count = 0;
	for (size_t i = 0; i < c->writes.count; i++) {
		struct pb_reader r = pb_reader_of(response_at(t, i));
		struct slice bytes;

		c->writes.at[i].guard = 0;
		while (next_kv(&r, &bytes)) {
			struct kv kv = read_kv(bytes);
			struct foreign f = {.created = kv.create_rev};

			c->writes.at[i].guard = MAX(c->writes.at[i].guard, kv.create_rev);
			kv.key = without_prefix(&c->l->prefix, kv.key);
			if (kv.lease == c->l->lease && leasing_owns(&c->l->cache, kv.key))
				continue;
			if (arena_copy(&c->arena, kv.key, &f.key))
				VEC_PUSH(&c->foreign, f);
		}
	}
}

static void gathered(struct leasing_call *c, const struct txn_answer *t, bool was_try)
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
static void written(struct leasing_call *c, const struct txn_answer *t)
{
	struct slice inner = response_at(t, 0);
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
	struct txn_answer t = read_txn(buf_slice(&c->answer));

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
	switch (leasing_read(&l->cache, q->key, now_ms(l), !q->serializable, &header, &kv)) {
	case LEASING_PASS: return false;
	case LEASING_ACQUIRE: ask_acquire(call_new(l, p)); return true;
	case LEASING_HIT: break;
	}
	buf_init(&out, SIZE_MAX / 2);
	put_range_answer(q, header, kv, &out);
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

/* ---- the session ---- */

static void session_lost(struct leasing *l)
{
	if (l->renewal)
		client_drop(l->renewal);
	l->renewal = NULL;
	l->lease = 0;
	leasing_lose_all(&l->cache);
	net_timer_set(l->px->loop, &l->timer, now_ms(l) + RETRY_MS);
}

static void trust(struct leasing *l, int64_t ttl_s)
{
	l->trusted_ns = l->asked_ns + (uint64_t)MAX(ttl_s - MARGIN_S, 0) * 1000000000;
	net_timer_set(l->px->loop, &l->timer, now_ms(l) + RENEW_MS);
}

/* Of LeaseGrantResponse and LeaseKeepAliveResponse. */
static void read_lease(struct slice body, int64_t *id, int64_t *ttl_s)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	*id = *ttl_s = 0;
	while (pb_next(&r, &f)) {
		if (f.number == 2 && f.wire == PB_VARINT)
			*id = (int64_t)f.value;
		else if (f.number == 3 && f.wire == PB_VARINT)
			*ttl_s = (int64_t)f.value;
	}
}

static void on_granted(struct client_call *call, void *user, struct slice body)
{
	struct leasing *l = user;
	int64_t ttl_s;

	read_lease(body, &l->lease, &ttl_s);
	trust(l, ttl_s);
}

static void on_grant_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct leasing *l = user;

	l->grant = NULL;
	if (!l->lease)
		net_timer_set(l->px->loop, &l->timer, now_ms(l) + RETRY_MS);
}

static void on_renewed(struct client_call *call, void *user, struct slice body)
{
	struct leasing *l = user;
	int64_t id, ttl_s;

	read_lease(body, &id, &ttl_s);
	l->is_asked = false;
	if (ttl_s > 0)
		trust(l, ttl_s);
	else
		session_lost(l);
}

static void on_renewal_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct leasing *l = user;

	l->renewal = NULL;
	net_timer_set(l->px->loop, &l->timer, now_ms(l) + RETRY_MS);
}

static void on_session_time(struct net_timer *t)
{
	static const struct client_events grant_events = {on_granted, on_grant_end}, renewal_events = {on_renewed, on_renewal_end};
	struct leasing *l = CONTAINER_OF(t, struct leasing, timer);
	struct client_call_opts co = {.timeout_ms = SESSION_TTL_S * 1000 / 2};
	struct buf body;

	/* An answer that still came would count from this sending. */
	if (l->renewal && l->is_asked) {
		client_drop(l->renewal);
		l->renewal = NULL;
	}
	buf_init(&body, 32);
	l->asked_ns = env_mono_ns();
	l->is_asked = l->lease;
	if (!l->lease) {
		pb_put_uint(&body, 1, SESSION_TTL_S);
		l->grant = client_start(l->px->client, RPC_LEASE_GRANT, buf_slice(&body), &co, &grant_events, l);
	} else {
		if (!l->renewal)
			l->renewal = client_start(l->px->client, RPC_LEASE_KEEP_ALIVE, (struct slice){0}, NULL, &renewal_events, l);
		pb_put_uint(&body, 1, (uint64_t)l->lease);
		client_send(l->renewal, buf_slice(&body));
		net_timer_set(l->px->loop, &l->timer, now_ms(l) + RENEW_MS);
	}
	buf_fini(&body);
}

/* ---- the leasing keys' events ---- */

static void on_event(struct leasing *l, struct slice event)
{
	struct pb_reader r = pb_reader_of(event);
	struct kv kv = {0};
	bool is_delete = false;
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			is_delete = f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			kv = read_kv(f.bytes);
	}
	if (l->px->has_prefix)
		kv.key = without_prefix(&l->px->prefix, kv.key);
	kv.key = without_prefix(&l->prefix, kv.key);
	if (is_delete) {
		leasing_lost(&l->cache, kv.key, kv.mod_rev, now_ms(l));
		deleted(l, kv.key, kv.mod_rev);
	} else if (kv.lease && kv.lease == l->lease && slice_eq(kv.value, SLICE_LIT("REVOKE")) &&
		   leasing_lost(&l->cache, kv.key, kv.mod_rev, now_ms(l))) {
		release(l, kv.key);
	}
}

static void on_events(struct client_watch *w, void *user, struct slice body)
{
	enum { WATCH_EVENTS = 11 };
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == WATCH_EVENTS && f.wire == PB_BYTES)
			on_event(user, f.bytes);
}

/* What came meanwhile was missed: all is let go with the lease. */
static void on_watch_end(struct client_watch *w, void *user, const struct client_status *s)
{
	struct leasing *l = user;

	l->watching = false;
	if (l->lease)
		session_lost(l);
	net_timer_set(l->px->loop, &l->rewatch, now_ms(l) + RETRY_MS);
}

static void on_watch_created(struct client_watch *w, void *user, struct slice body)
{
	struct leasing *l = user;

	l->watching = true;
}

static void on_rewatch(struct net_timer *t)
{
	static const struct client_watch_events events = {on_events, on_watch_end, on_watch_created};
	struct leasing *l = CONTAINER_OF(t, struct leasing, rewatch);
	struct grpc_proxy *px = l->px;
	struct client_watch_opts o = {.key = l->prefix.bytes, .range_end = l->prefix.end};
	struct buf key, end;

	client_watch_close(l->watch);
	buf_init(&key, SIZE_MAX / 2);
	buf_init(&end, SIZE_MAX / 2);
	if (px->has_prefix) {
		prefix_key(&px->prefix, l->prefix.bytes, &key);
		prefix_range_end(&px->prefix, l->prefix.end, &end);
		o.key = buf_slice(&key);
		o.range_end = buf_slice(&end);
	}
	l->watch = client_watch_open(px->client, &o, &events, l);
	buf_fini(&key);
	buf_fini(&end);
}

/* ---- life ---- */

void leasing_init(struct grpc_proxy *px)
{
	struct slice bytes = slice_str(px->o->leasing_prefix);
	struct leasing *l;

	if (!bytes.size)
		return;
	l = px->leasing = mem_zalloc(sizeof(*l) + bytes.size);
	l->px = px;
	prefix_init(&l->prefix, bytes, l->end);
	leasing_cache_init(&l->cache);
	list_init(&l->calls);
	list_init(&l->releases);
	net_timer_init(&l->timer, on_session_time);
	net_timer_init(&l->rewatch, on_rewatch);
}

void leasing_begin(struct grpc_proxy *px)
{
	if (!px->leasing)
		return;
	on_rewatch(&px->leasing->rewatch);
	on_session_time(&px->leasing->timer);
}

void leasing_stop(struct grpc_proxy *px)
{
	struct leasing *l = px->leasing;

	if (!l)
		return;
	LIST_EACH_SAFE (it, &l->releases)
		release_free(CONTAINER_OF(it, struct release, node));
	if (l->grant)
		client_drop(l->grant);
	if (l->renewal)
		client_drop(l->renewal);
	client_watch_close(l->watch);
	net_timer_cancel(px->loop, &l->timer);
	net_timer_cancel(px->loop, &l->rewatch);
	l->lease = 0;
}

void leasing_free(struct grpc_proxy *px)
{
	if (!px->leasing)
		return;
	leasing_cache_fini(&px->leasing->cache);
	mem_free(px->leasing);
}
