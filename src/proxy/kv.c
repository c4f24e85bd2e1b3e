/* Around the calls of KV (and LeaseTimeToLive, whose answer has keys): what upstream's layers of clients do, proxy/grpcproxy/kv.go,
 * client/v3/namespace, client/v3/ordering.
 *
 *	request ──cache──> prefix put on ──> cluster ──> revision not older? ──> prefix taken off ──> cache, client */
#include "obs/metric.h"
#include "pb/wire.h"
#include "proxy/grpc_proxy.h"

enum { TXN_ARENA_BYTES = 64 << 20 };

static void count_keys(struct grpc_proxy *px)
{
	metric_set(METRIC_GRPC_PROXY_CACHE_KEYS_TOTAL, (double)cache_count(&px->cache));
}

/* ---- what a write may have changed ---- */

static void forget_ops(struct cache *c, const struct request_op *ops, size_t count);

static void forget_txn(struct cache *c, const struct txn_req *t)
{
	for (size_t i = 0; i < t->compare_count; i++)
		cache_invalidate(c, t->compares[i].key, t->compares[i].range_end);
	forget_ops(c, t->success, t->success_count);
	forget_ops(c, t->failure, t->failure_count);
}

static void forget_ops(struct cache *c, const struct request_op *ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct request_op *o = &ops[i];

		if (o->kind == OP_PUT)
			cache_invalidate(c, o->put.key, (struct slice){0});
		else if (o->kind == OP_DELETE)
			cache_invalidate(c, o->del.key, o->del.range_end);
		else if (o->kind == OP_TXN)
			forget_txn(c, o->txn);
	}
}

static void forget_written(struct grpc_proxy *px, enum rpc rpc, struct slice body)
{
	struct put_req put;
	struct delete_req del;
	struct txn_req txn;
	struct arena a;

	if (rpc == RPC_PUT && !put_req_parse(body, &put)) {
		cache_invalidate(&px->cache, put.key, (struct slice){0});
	} else if (rpc == RPC_DELETE_RANGE && !delete_req_parse(body, &del)) {
		cache_invalidate(&px->cache, del.key, del.range_end);
	} else if (rpc == RPC_TXN) {
		arena_init(&a, TXN_ARENA_BYTES);
		if (!txn_req_parse(&a, body, &txn))
			forget_txn(&px->cache, &txn);
		arena_fini(&a);
	}
	count_keys(px);
}

/* ---- before ---- */

static void encode_range(const struct range_req *r, bool serializable, struct buf *out)
{
	pb_put_bytes(out, 1, r->key);
	pb_put_bytes(out, 2, r->range_end);
	pb_put_uint(out, 3, (uint64_t)r->limit);
	pb_put_uint(out, 4, (uint64_t)r->revision);
	pb_put_uint(out, 5, (uint64_t)(int64_t)r->sort_order);
	pb_put_uint(out, 6, (uint64_t)(int64_t)r->sort_target);
	pb_put_uint(out, 7, serializable);
	pb_put_uint(out, 8, r->keys_only);
	pb_put_uint(out, 9, r->count_only);
	pb_put_uint(out, 10, (uint64_t)r->min_mod_rev);
	pb_put_uint(out, 11, (uint64_t)r->max_mod_rev);
	pb_put_uint(out, 12, (uint64_t)r->min_create_rev);
	pb_put_uint(out, 13, (uint64_t)r->max_create_rev);
}

void kv_finish_err(struct grpc_stream *s, err_t err)
{
	s->user = NULL;
	if (err == ERR_MALFORMED)
		grpc_finish(s, err_status(err), SLICE_LIT("grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"));
	else
		grpc_finish_err(s, err);
}

/* From the cache, if it can be. True: finished. */
static bool range_from_cache(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k)
{
	struct slice answer;
	err_t err;

	if (!k->range.serializable)
		return false;
	err = cache_get(&px->cache, &k->range, token_of(s), &answer);
	metric_move(err == ERR_NOT_EXIST ? METRIC_GRPC_PROXY_CACHE_MISSES_TOTAL : METRIC_GRPC_PROXY_CACHE_HITS_TOTAL, 1);
	if (err == ERR_NOT_EXIST)
		return false;
	if (err) {
		kv_finish_err(s, err);
		return true;
	}
	grpc_send(s, &answer, 1);
	s->user = NULL;
	grpc_finish(s, GRPC_OK, (struct slice){0});
	return true;
}

struct slice kv_first_bytes(struct slice body)
{
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;
	struct slice out = {0};

	while (pb_next(&r, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			out = f.bytes;
	return out;
}

enum kv_verdict kv_before(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice body)
{
	enum rpc rpc = rpc_of(s);
	err_t err = OK;

	if (rpc == RPC_RANGE) {
		err = range_req_parse(body, &k->range);
		if (!err && range_from_cache(px, s, k))
			return KV_FINISHED;
	} else {
		forget_written(px, rpc, body);
	}
	if (!err && px->has_prefix && (rpc == RPC_RANGE || rpc == RPC_PUT || rpc == RPC_DELETE_RANGE) && !kv_first_bytes(body).size)
		err = ERR_EMPTY_KEY;
	if (!err)
		return KV_GO_ON;
	kv_finish_err(s, err);
	return KV_FINISHED;
}

enum kv_verdict kv_to_send(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice body, struct buf *out)
{
	enum rpc rpc = rpc_of(s);
	err_t err = OK;

	/* Until it is known how far the cluster is, each read finds it out. */
	if (rpc == RPC_RANGE && px->o->ordering && !px->ordered && k->range.serializable) {
		struct buf linear;

		buf_init(&linear, SIZE_MAX / 2);
		encode_range(&k->range, false, &linear);
		if (px->has_prefix)
			err = prefix_request(&px->prefix, rpc, buf_slice(&linear), out);
		else
			buf_put_slice(out, buf_slice(&linear));
		buf_fini(&linear);
	} else if (px->has_prefix && prefix_concerns(rpc)) {
		err = prefix_request(&px->prefix, rpc, body, out);
	}
	if (!err)
		return KV_GO_ON;
	kv_finish_err(s, err);
	return KV_FINISHED;
}

/* ---- the answer ---- */

int64_t kv_revision(struct slice answer)
{
	enum { HEADER_REVISION = 3 };
	struct pb_reader r = pb_reader_of(kv_first_bytes(answer));
	struct pb_field f;
	int64_t out = 0;

	while (pb_next(&r, &f))
		if (f.number == HEADER_REVISION && f.wire == PB_VARINT)
			out = (int64_t)f.value;
	return out;
}

/* Is it older than what this proxy has shown already? */
bool kv_too_old(struct grpc_proxy *px, enum rpc rpc, struct slice answer)
{
	int64_t revision;

	if (!px->o->ordering || (rpc != RPC_RANGE && rpc != RPC_TXN && rpc != RPC_PUT && rpc != RPC_DELETE_RANGE))
		return false;
	revision = kv_revision(answer);
	if (revision < px->revision)
		return rpc == RPC_RANGE;
	px->revision = revision;
	px->ordered = true;
	return false;
}

void kv_remember(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice answer)
{
	cache_add(&px->cache, &k->range, token_of(s), answer);
	count_keys(px);
}

enum kv_verdict kv_answer(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice answer, struct buf *room,
			  struct slice *out)
{
	enum rpc rpc = rpc_of(s);

	*out = answer;
	if (kv_too_old(px, rpc, answer))
		return k->tries++ < 2 * client_endpoint_count(px->client) ? KV_AGAIN : KV_FINISHED;
	if (px->has_prefix && prefix_concerns(rpc)) {
		if (!prefix_response(&px->prefix, rpc, answer, room))
			*out = buf_slice(room);
	}
	if (rpc == RPC_RANGE)
		kv_remember(px, s, k, *out);
	return KV_GO_ON;
}

void kv_after(struct grpc_proxy *px, enum rpc rpc, struct slice body, bool ok)
{
	struct compact_req c;

	if (rpc == RPC_COMPACT && ok && !compact_req_parse(body, &c))
		cache_compact(&px->cache, c.revision);
	else if (rpc != RPC_RANGE)
		forget_written(px, rpc, body);
}

/* ---- the revision to begin from ---- */

static void on_first_answer(struct client_call *call, void *user, struct slice answer)
{
	kv_too_old(user, RPC_RANGE, answer);
}

static void on_first_end(struct client_call *call, void *user, const struct client_status *st)
{
}

void kv_begin(struct grpc_proxy *px)
{
	static const struct client_events events = {on_first_answer, on_first_end};
	struct range_req r = {.key = SLICE_LIT("_"), .keys_only = true};
	struct buf body;

	if (!px->o->ordering)
		return;
	buf_init(&body, 256);
	encode_range(&r, false, &body);
	client_start(px->client, RPC_RANGE, buf_slice(&body), NULL, &events, px);
	buf_fini(&body);
}
