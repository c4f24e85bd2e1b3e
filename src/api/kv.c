/* etcdserverpb.KV */
#include <stdio.h>

#include "api/api_impl.h"
#include "base/bug.h"

/* ---- Range ---- */

/* A result too large for one slice: the revision is held at core, measured, then sent in slices as the sink takes them. */
struct large {
	struct mvcc_cursor *cursor;
	struct buf out;
	int64_t held_rev;
	bool held;
	bool sending;
	bool wrapped;                   /* RangeStream: the RangeResponse is a field of the message */
	uint8_t header[64];
};

static void large_drop(struct api_rpc *r)
{
	struct large *l = r->state;

	if (!l)
		return;
	mvcc_cursor_free(l->cursor);
	buf_fini(&l->out);
	if (l->held)
		node_release(r->io->node, l->held_rev);
	mem_free(l);
	r->state = NULL;
}

static void large_emit(struct api_rpc *r)
{
	struct large *l = r->state;
	struct node *n = r->io->node;

	if (!r->ops->writable(r->sink)) {
		api_blocked(r);                         /* range_writable goes on */
		return;
	}
	for (;;) {
		const struct publication *p = node_view(n);
		bool done = false;
		err_t err;

		buf_clear(&l->out);
		err = api_still_may(r, p);
		if (!err)
			err = mvcc_cursor_emit(l->cursor, &p->mvcc, api_slice_rows(r->io, API_SLICE_ROWS), API_SLICE_BYTES, &l->out, &done);
		node_leave(n);
		if (err) {
			api_fail(r, err);               /* a message that is not whole: the transport resets the stream */
			return;
		}
		if (!r->ops->send_part(r->sink, buf_slice(&l->out)) && !done) {
			api_blocked(r);
			return;
		}
		if (done) {
			api_done(r);
			return;
		}
		if (l->out.size >= API_SLICE_BYTES / 2 || r->io->api->opts.slice_rows) {
			api_later(r, large_emit);       /* others first */
			return;
		}
	}
}

static void range_serve(struct api_rpc *r);
static void stream_whole(struct api_rpc *r);

/* The newest revision that was looked at is compacted since, or a peer's snapshot replaced it: there is a newer one. */
static bool overtaken(const struct api_rpc *r, err_t err)
{
	return err == ERR_COMPACTED && r->range.revision <= 0 && !BUG(NEWEST_OUTRUN);
}

/* Nothing was sent yet. */
static void large_failed(struct api_rpc *r, err_t err)
{
	bool wrapped = ((struct large *)r->state)->wrapped;

	if (!overtaken(r, err)) {
		api_fail(r, err);
		return;
	}
	large_drop(r);
	r->call.err = OK;
	if (wrapped)
		stream_whole(r);
	else
		range_serve(r);
}

static void large_measure(struct api_rpc *r)
{
	struct large *l = r->state;
	struct node *n = r->io->node;
	const struct publication *p = node_view(n);
	struct response_header h;
	struct buf over = {.data = l->header, .room = sizeof(l->header), .size_max = sizeof(l->header)};
	uint8_t wrap[16], *end = wrap;
	uint64_t size;
	bool done = false;
	err_t err = api_still_may(r, p);

	if (!err)
		err = mvcc_cursor_measure(l->cursor, &p->mvcc, api_slice_rows(r->io, API_SLICE_ROWS) * 10, &done);
	h = node_header(n, p);
	node_leave(n);
	if (err) {
		large_failed(r, err);
		return;
	}
	if (!done) {
		api_later(r, large_measure);
		return;
	}
	h.revision = mvcc_cursor_header_rev(l->cursor);
	response_header_encode(&h, 1, &over);
	size = over.size + mvcc_cursor_size(l->cursor);
	if (l->wrapped) {
		*end++ = 1 << 3 | PB_BYTES;             /* RangeStreamResponse.range_response */
		end = pb_varint_write(end, size);
		size += (size_t)(end - wrap);
	}
	if (size > API_RESP_MAX) {
		char text[128];

		snprintf(text, sizeof(text), "grpc: trying to send message larger than max (%llu vs. %u)", (unsigned long long)size, API_RESP_MAX);
		api_fail_text(r, ERR_TOO_LARGE, text);
		return;
	}
	l->sending = true;
	r->sent_bytes = size;
	r->ops->send_begin(r->sink, size);
	r->ops->send_part(r->sink, slice_of(wrap, (size_t)(end - wrap)));
	r->ops->send_part(r->sink, buf_slice(&over));
	large_emit(r);
}

static void large_held(struct api_rpc *r)
{
	struct large *l = r->state;

	if (r->call.err) {
		large_failed(r, r->call.err);
		return;
	}
	l->held = true;
	l->held_rev = r->call.revision;
	large_measure(r);
}

static err_t large_start(struct api_rpc *r, const struct publication *p, bool wrapped)
{
	struct large *l = NEW(struct large);
	err_t err;

	buf_init(&l->out, API_RESP_MAX);
	l->wrapped = wrapped;
	r->state = l;
	err = mvcc_cursor_new(&p->mvcc, &r->range, MVCC_CURSOR_BYTES_MAX, &l->cursor);
	if (!err)
		r->call.revision = mvcc_cursor_rev(l->cursor);
	return err;
}

static void range_serve(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct slice parts[2];
	uint8_t header[64];
	bool large = false;
	uint64_t began;
	err_t err = r->call.err;

	if (err) {
		api_fail(r, err);
		return;
	}
	began = r->range.serializable ? r->started_ns : api_now(r);
	p = node_view(n);
	r->call.resp.size_max = API_BYTES_INLINE;       /* above, it waits for what the client has not taken yet */
	err = api_permit(r, p);
	if (!err)
		err = mvcc_range(&p->mvcc, &r->range, api_slice_rows(r->io, API_ROWS_INLINE), &r->call.resp);
	r->call.resp.size_max = API_RESP_MAX;
	if (err == ERR_TOO_LARGE) {
		large = true;
		err = large_start(r, p, false);
	}
	if (!err)
		err = api_still_may(r, p);
	parts[0] = api_header(r, p, header);
	node_leave(n);
	api_range_observe(r, !err, began);
	if (err) {
		api_fail(r, err);
	} else if (large) {
		api_call(r, CALL_HOLD, large_held);
	} else {
		parts[1] = buf_slice(&r->call.resp);
		api_reply(r, parts, 2);
	}
}

static void range_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = range_req_parse(blob_slice(take_body), &r->range);

	r->body = take_body;
	if (!err && !r->range.serializable && !r->meta.as_root) {       /* the member's own question of its health is no client's */
		if (node_view(r->io->node)->is_learner)
			err = ERR_NOT_SUPPORTED_FOR_LEARNER;
		node_leave(r->io->node);
	}
	if (!err)
		err = mvcc_check_range(&r->range);
	if (err) {
		api_fail(r, err);
		return;
	}
	r->call.err = OK;
	if (r->trace)
		api_trace_range(r);
	if (r->range.serializable)
		range_serve(r);
	else
		api_linearizable(r, range_serve);
}

static void range_writable(struct api_rpc *r)
{
	struct large *l = r->state;

	if (l && l->sending && !r->more_out)
		large_emit(r);
}

const struct api_row kv_range_row = {.name = "Range", .message = range_message, .writable = range_writable, .drop = large_drop, .learner_ok = true};

/* ---- RangeStream: chunks of one pinned revision, ten keys first, then by size ---- */

struct chunks {
	int64_t rev;                    /* pinned */
	bool held;
	int64_t header_rev;
	int64_t limit_left;             /* -1: no limit */
	int64_t chunk;
	int64_t count;
	bool first;
	bool more;
	uint8_t *key;                   /* where the next chunk begins; owned */
	size_t key_size;
};

static void chunks_drop(struct api_rpc *r)
{
	struct chunks *c = r->state;

	if (!c)
		return;
	if (c->held)
		node_release(r->io->node, c->rev);
	mem_free(c->key);
	mem_free(c);
	r->state = NULL;
}

/* The fields of a RangeResponse as mvcc_range wrote them: kvs 2, more 3, count 4. */
static void chunk_split(struct slice s, size_t *kvs_size, bool *more, int64_t *count, struct slice *last, size_t *rows)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	*kvs_size = 0;
	*rows = 0;
	*more = false;
	*count = 0;
	while (pb_next(&r, &f)) {
		if (f.number == 2) {
			*kvs_size = (size_t)(r.at - s.data);
			*last = f.bytes;
			(*rows)++;
		} else if (f.number == 3) {
			*more = f.value;
		} else if (f.number == 4) {
			*count = (int64_t)f.value;
		}
	}
}

static void chunk_last(struct api_rpc *r, const struct chunks *c, struct slice kvs)
{
	struct buf tail, whole;
	struct response_header h;
	const struct publication *p = node_view(r->io->node);
	struct slice msg;
	size_t mark;

	h = node_header(r->io->node, p);
	node_leave(r->io->node);
	h.revision = c->header_rev;
	buf_init(&tail, 256);
	response_header_encode(&h, 1, &tail);
	buf_init(&whole, kvs.size + 512);
	mark = pb_begin(&whole, 1);                     /* RangeStreamResponse.range_response */
	buf_put_slice(&whole, buf_slice(&tail));
	buf_put_slice(&whole, kvs);
	pb_put_uint(&whole, 3, c->more);
	pb_put_uint(&whole, 4, (uint64_t)c->count);
	pb_end(&whole, mark);
	msg = buf_slice(&whole);
	api_reply(r, &msg, 1);
	buf_fini(&whole);
	buf_fini(&tail);
}

static void chunks_start(struct api_rpc *r);

static void chunks_failed(struct api_rpc *r, err_t err)
{
	struct chunks *c = r->state;

	if (!c->first || !overtaken(r, err)) {
		api_fail(r, err);
		return;
	}
	chunks_drop(r);
	r->call.err = OK;
	chunks_start(r);
}

static void chunk_next(struct api_rpc *r)
{
	struct chunks *c = r->state;
	struct node *n = r->io->node;
	struct range_req q = r->range;
	const struct publication *p;
	struct slice last = {0}, kvs, msg;
	struct buf whole;
	size_t kvs_size, rows, mark;
	int64_t count, limit = c->chunk;
	bool more, writable;
	struct kv kv;
	err_t err;

	q.revision = c->rev;
	if (!c->first)
		q.key = slice_of(c->key, c->key_size);
	if (c->limit_left >= 0)
		limit = MIN(limit, c->limit_left);
	q.limit = limit;
	buf_clear(&r->call.resp);
	p = node_view(n);
	err = api_still_may(r, p);
	if (!err)
		err = mvcc_range(&p->mvcc, &q, SIZE_MAX, &r->call.resp);
	node_leave(n);
	if (err) {
		chunks_failed(r, err);
		return;
	}
	chunk_split(buf_slice(&r->call.resp), &kvs_size, &more, &count, &last, &rows);
	kvs = slice_of(r->call.resp.data, kvs_size);
	if (c->first)
		c->count = count;
	c->first = false;
	if (c->limit_left >= 0)
		c->limit_left -= (int64_t)rows;
	if (!more || c->limit_left == 0) {
		c->more = more && r->range.limit > 0;
		chunk_last(r, c, kvs);
		return;
	}
	if (kv_decode(last, &kv)) {
		api_fail(r, ERR_CORRUPT_FILE);
		return;
	}
	c->key = mem_realloc(c->key, kv.key.size + 1);
	memcpy(c->key, kv.key.data, kv.key.size);
	c->key[kv.key.size] = 0;                        /* the least key behind it */
	c->key_size = kv.key.size + 1;
	if (r->call.resp.size < r->io->api->opts.request_bytes_max / 2)
		c->chunk *= 2;
	else if (r->call.resp.size > 2 * (size_t)r->io->api->opts.request_bytes_max)
		c->chunk = MAX(c->chunk / 2, 1);
	buf_init(&whole, kvs.size + 64);
	mark = pb_begin(&whole, 1);
	buf_put_slice(&whole, kvs);
	pb_end(&whole, mark);
	msg = buf_slice(&whole);
	writable = api_send(r, &msg, 1);
	buf_fini(&whole);
	if (writable)
		api_later(r, chunk_next);
	else
		api_blocked(r);
}

static void chunks_held(struct api_rpc *r)
{
	struct chunks *c = r->state;

	if (r->call.err) {
		chunks_failed(r, r->call.err);
		return;
	}
	c->held = true;
	chunk_next(r);
}

static void chunks_start(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct chunks *c;
	int64_t rev = r->range.revision;
	err_t err = r->call.err;

	if (!err) {
		p = node_view(n);
		err = api_permit(r, p);
		if (err)
			;
		else if (rev > p->mvcc.rev)
			err = ERR_FUTURE_REV;
		else if (rev > 0 && rev < p->mvcc.compact_rev)
			err = ERR_COMPACTED;
		c = NEW(struct chunks);
		c->rev = rev > 0 ? rev : p->mvcc.rev;
		c->header_rev = p->mvcc.rev;
		c->limit_left = r->range.limit > 0 ? r->range.limit : -1;
		c->chunk = 10;
		c->first = true;
		r->call.revision = c->rev;
		node_leave(n);
		r->state = c;
	}
	if (err)
		api_fail(r, err);
	else
		api_call(r, CALL_HOLD, chunks_held);
}

/* limit < 0: one single message with everything, however much it is. */
static void stream_whole(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	err_t err = r->call.err;

	if (!err) {
		p = node_view(n);
		err = api_permit(r, p);
		if (!err)
			err = large_start(r, p, true);
		node_leave(n);
	}
	if (err) {
		api_fail(r, err);
		return;
	}
	api_call(r, CALL_HOLD, large_held);
}

static void range_stream_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = range_req_parse(blob_slice(take_body), &r->range);
	api_step *start;

	r->body = take_body;
	if (!err)
		err = mvcc_check_range_stream(&r->range);
	if (err) {
		api_fail(r, err);
		return;
	}
	r->call.err = OK;
	if (r->trace)
		api_trace_range(r);
	start = r->range.limit < 0 ? stream_whole : chunks_start;
	if (r->range.serializable)
		start(r);
	else
		api_linearizable(r, start);
}

static void stream_writable(struct api_rpc *r)
{
	if (r->range.limit < 0)
		range_writable(r);
	else if (r->state && !r->more_out && !r->call_out)
		chunk_next(r);
}

static void stream_drop(struct api_rpc *r)
{
	if (r->range.limit < 0)
		large_drop(r);
	else
		chunks_drop(r);
}

const struct api_row kv_range_stream_row = {.name = "RangeStream", .message = range_stream_message, .writable = stream_writable, .drop = stream_drop};

/* ---- writes ---- */

static void put_message(struct api_rpc *r, struct blob *take_body)
{
	struct put_req q;
	err_t err = put_req_parse(blob_slice(take_body), &q);

	if (!err && !api_over_quota(r, mvcc_put_cost(&q))) {
		err = mvcc_check_put(&q);
		if (!err) {
			if (r->trace)
				api_trace_put(r, &q);
			api_keep_put(r, &q, blob_ref(take_body));
			api_propose(r, REQ_PUT, blob_slice(take_body), api_step_reply);
		}
	}
	blob_unref(take_body);
	if (err)
		api_fail(r, err);
}

const struct api_row kv_put_row = {.name = "Put", .message = put_message};

static void delete_message(struct api_rpc *r, struct blob *take_body)
{
	struct delete_req q;
	err_t err = delete_req_parse(blob_slice(take_body), &q);

	if (!err)
		err = mvcc_check_delete(&q);
	if (!err) {
		r->body = blob_ref(take_body);
		if (r->trace)
			api_trace_delete(r, &q);
		api_propose(r, REQ_DELETE_RANGE, blob_slice(take_body), api_step_reply);
	}
	blob_unref(take_body);
	if (err)
		api_fail(r, err);
}

const struct api_row kv_delete_row = {.name = "DeleteRange", .message = delete_message};

static void txn_read(struct api_rpc *r)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct slice parts[2];
	uint8_t header[64];
	err_t err = r->call.err;

	if (!err) {
		p = node_view(n);
		err = api_permit(r, p);
		if (!err)
			err = mvcc_txn_read(&p->mvcc, &r->txn, &r->call.resp);
		if (!err)
			err = api_still_may(r, p);
		parts[0] = api_header(r, p, header);
		node_leave(n);
	}
	api_read_txn_observe(r, !err);
	if (err) {
		api_fail(r, err);
		return;
	}
	parts[1] = buf_slice(&r->call.resp);
	api_reply(r, parts, 2);
}

static void txn_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = txn_req_parse(&r->arena, blob_slice(take_body), &r->txn);

	r->body = take_body;
	if (err) {
		api_fail(r, err);
		return;
	}
	if (api_over_quota(r, mvcc_txn_cost(&r->txn)))
		return;
	err = mvcc_check_txn(&r->txn, r->io->api->opts.txn_ops_max);
	r->call.err = OK;
	if (!err && r->trace)
		api_trace_txn(r);
	if (err)
		api_fail(r, err);
	else if (!txn_req_is_read_only(&r->txn))
		api_propose(r, REQ_TXN, blob_slice(take_body), api_step_reply);
	else if (mvcc_txn_is_serializable(&r->txn))
		txn_read(r);
	else
		api_linearizable(r, txn_read);
}

const struct api_row kv_txn_row = {.name = "Txn", .message = txn_message};

/* ---- Compact ---- */

static void compact_removed(struct api_rpc *r)
{
	bolt_pin_unref(r->call.pin);
	r->call.pin = NULL;
	api_step_reply(r);
}

static void compacted(struct api_rpc *r)
{
	if (r->call.err || !r->compact.physical) {
		api_step_reply(r);
		return;
	}
	r->call.revision = r->compact.revision;
	api_call(r, CALL_PHYSICAL, compact_removed);    /* resp stays what the proposal answered */
}

static void compact_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = compact_req_parse(blob_slice(take_body), &r->compact);

	if (!err && r->trace)
		api_trace_compact(r);
	if (!err)
		api_propose(r, REQ_COMPACTION, blob_slice(take_body), compacted);
	blob_unref(take_body);
	if (err)
		api_fail(r, err);
}

const struct api_row kv_compact_row = {.name = "Compact", .message = compact_message, .permit_first = true};
