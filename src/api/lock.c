/* v3lockpb.Lock: a lock is the first place in the line of its name. */
#include "api/line.h"

/* ---- giving the place up ---- */

static void given_up(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;

	if (api_alive(r)) {
		line_fail(r, l->text);
	} else {
		r->held = false;
		api_settle(r);
	}
}

static void give_up(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf q;

	l->waiting = false;
	buf_init(&q, API_RESP_MAX);
	pb_put_bytes(&q, 1, buf_slice(&l->key));
	api_part_call(&l->part, RPC_DELETE_RANGE, &q, given_up);
}

/* The wait failed: the place is given up before the error is told. */
static void lock_lost(struct api_rpc *r, const char *text)
{
	struct line *l = r->state;

	l->text = line_text_keep(r, slice_str(text));
	give_up(r);
}

/* Nobody waits for the answer any more. */
static void lock_stop(struct api_rpc *r)
{
	struct line *l = r->state;

	if (!l)
		return;
	api_part_stop(&l->part);
	if (l->waiting) {
		r->held = true;
		give_up(r);
	}
}

/* ---- Lock ---- */

static void lock_answer(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf key;

	l->waiting = false;
	buf_init(&key, API_RESP_MAX);
	pb_put_bytes(&key, 2, buf_slice(&l->key));
	line_reply(r, buf_slice(&l->header), buf_slice(&key));
	buf_fini(&key);
}

/* First in line: but is the key still there? */
static void lock_looked(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_range own;

	if (!err && line_range_parse(buf_slice(&l->part.answer), &own))
		text = err_text(err = ERR_CORRUPT_FILE);
	if (err) {
		lock_lost(r, text);
		return;
	}
	if (!own.found) {
		l->waiting = false;
		line_fail(r, err_text(ERR_SESSION_EXPIRED));
		return;
	}
	line_keep_header(l, own.header);
	lock_answer(r);
}

static void lock_first(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	pb_put_bytes(&q, 1, buf_slice(&l->key));
	api_part_call(&l->part, RPC_RANGE, &q, lock_looked);
}

static void lock_entered(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_txn t;
	const struct line_range *first;

	if (line_failed(r, err, text))
		return;
	if (line_txn_parse(buf_slice(&l->part.answer), &t)) {
		line_fail(r, err_text(ERR_CORRUPT_FILE));
		return;
	}
	first = t.succeeded ? &t.ranges[0] : &t.ranges[1];
	l->rev = t.succeeded ? t.header_rev : t.ranges[0].kv.create_rev;
	line_keep_header(l, t.header);
	if (!first->found || first->kv.create_rev == l->rev)
		lock_answer(r);
	else
		line_wait(r, lock_first, lock_lost);
}

static void lock_enter(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	line_put_compare(&q, buf_slice(&l->key), 0);
	line_put_op_put(&q, LINE_THEN, l, (struct slice){0});
	line_put_op_first(&q, LINE_THEN, l);
	line_put_op_get(&q, LINE_ELSE, buf_slice(&l->key));
	line_put_op_first(&q, LINE_ELSE, l);
	api_part_call(&l->part, RPC_TXN, &q, lock_entered);
}

/* LockRequest {name 1, lease 2} */
static void lock_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	struct slice name = {0};
	int64_t lease = 0;

	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.bytes;
		else if (f.number == 2 && f.wire == PB_VARINT)
			lease = (int64_t)f.value;
	}
	line_new(r, name, lease);
	blob_unref(take_body);
	if (rd.failed)
		api_fail(r, ERR_MALFORMED);
	else
		line_open(r, lock_enter);
}

const struct api_row lock_lock_row = {.name = "Lock", .message = lock_message, .stop = lock_stop, .drop = line_drop};

/* ---- Unlock: a plain delete ---- */

static void unlocked(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct slice header = {0};
	struct pb_reader rd = pb_reader_of(buf_slice(&l->part.answer));
	struct pb_field f;

	if (line_failed(r, err, text))
		return;
	while (pb_next(&rd, &f))
		if (f.number == 1)
			header = f.bytes;
	line_reply(r, header, (struct slice){0});
}

/* UnlockRequest {key 1} */
static void unlock_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	struct slice key = {0};
	struct line *l = line_new(r, (struct slice){0}, 0);
	struct buf q;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			key = f.bytes;
	if (rd.failed) {
		api_fail(r, ERR_MALFORMED);
	} else {
		buf_init(&q, API_RESP_MAX);
		pb_put_bytes(&q, 1, key);
		api_part_call(&l->part, RPC_DELETE_RANGE, &q, unlocked);
	}
	blob_unref(take_body);
}

const struct api_row lock_unlock_row = {.name = "Unlock", .message = unlock_message, .stop = line_part_stop, .drop = line_drop};
