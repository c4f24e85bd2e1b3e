#include "api/line.h"

enum { SESSION_TTL_S = 60, SORT_ASCEND = 1, SORT_DESCEND = 2, TARGET_CREATE = 2, COMPARE_CREATE = 1, KEY_MAX = 64 << 20 };

struct line *line_new(struct api_rpc *r, struct slice name, int64_t lease)
{
	struct line *l = NEW(struct line);

	api_part_init(&l->part, r);
	buf_init(&l->prefix, KEY_MAX);
	buf_init(&l->key, KEY_MAX);
	buf_init(&l->header, 256);
	buf_init(&l->value, KEY_MAX);
	buf_init(&l->resumed, KEY_MAX);
	buf_put_slice(&l->prefix, name);
	buf_put_byte(&l->prefix, '/');
	l->lease = lease;
	r->state = l;
	return l;
}

void line_drop(struct api_rpc *r)
{
	struct line *l = r->state;

	if (!l)
		return;
	api_part_fini(&l->part);
	buf_fini(&l->prefix);
	buf_fini(&l->key);
	buf_fini(&l->header);
	buf_fini(&l->value);
	buf_fini(&l->resumed);
	mem_free(l);
	r->state = NULL;
}

/* ---- errors ---- */

const char *line_text_keep(struct api_rpc *r, struct slice text)
{
	char *copy = arena_alloc(&r->arena, text.size + 1);

	if (!copy)
		return "error text too long";
	memcpy(copy, text.data, text.size);
	copy[text.size] = 0;
	return copy;
}

void line_fail(struct api_rpc *r, const char *text)
{
	api_fail_text(r, ERR_PART, text);
}

bool line_failed(struct api_rpc *r, err_t err, const char *text)
{
	if (err)
		line_fail(r, text);
	return err != OK;
}

void line_part_stop(struct api_rpc *r)
{
	struct line *l = r->state;

	if (l)
		api_part_stop(&l->part);
}

/* ---- requests ---- */

static struct slice prefix_end(const struct buf *prefix, uint8_t *out)
{
	memcpy(out, prefix->data, prefix->size);        /* it ends in '/', so the last byte can be counted up */
	out[prefix->size - 1]++;
	return slice_of(out, prefix->size);
}

static void put_prefix(struct buf *b, const struct line *l)
{
	uint8_t *end = mem_alloc(l->prefix.size);

	pb_put_bytes(b, 1, buf_slice(&l->prefix));
	pb_put_bytes(b, 2, prefix_end(&l->prefix, end));
	mem_free(end);
}

void line_put_first(struct buf *range, const struct line *l)
{
	put_prefix(range, l);
	pb_put_uint(range, 3, 1);
	pb_put_uint(range, 5, SORT_ASCEND);
	pb_put_uint(range, 6, TARGET_CREATE);
}

void line_put_compare(struct buf *txn, struct slice key, int64_t create_rev)
{
	size_t mark = pb_begin(txn, 1);

	pb_put_uint(txn, 2, COMPARE_CREATE);            /* result EQUAL is 0 */
	pb_put_bytes(txn, 3, key);
	pb_put_uint_always(txn, 5, (uint64_t)create_rev);
	pb_end(txn, mark);
}

void line_put_op_put(struct buf *txn, enum line_branch b, const struct line *l, struct slice value)
{
	size_t op = pb_begin(txn, b), put = pb_begin(txn, 2);

	pb_put_bytes(txn, 1, buf_slice(&l->key));
	pb_put_bytes(txn, 2, value);
	pb_put_uint(txn, 3, (uint64_t)l->lease);
	pb_end(txn, put);
	pb_end(txn, op);
}

void line_put_op_get(struct buf *txn, enum line_branch b, struct slice key)
{
	size_t op = pb_begin(txn, b), range = pb_begin(txn, 1);

	pb_put_bytes(txn, 1, key);
	pb_end(txn, range);
	pb_end(txn, op);
}

void line_put_op_first(struct buf *txn, enum line_branch b, const struct line *l)
{
	size_t op = pb_begin(txn, b), range = pb_begin(txn, 1);

	line_put_first(txn, l);
	pb_end(txn, range);
	pb_end(txn, op);
}

void line_put_op_delete(struct buf *txn, enum line_branch b, struct slice key)
{
	size_t op = pb_begin(txn, b), del = pb_begin(txn, 3);

	pb_put_bytes(txn, 1, key);
	pb_end(txn, del);
	pb_end(txn, op);
}

/* ---- answers ---- */

static int64_t header_rev(struct slice header)
{
	struct pb_reader rd = pb_reader_of(header);
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == 3)
			return (int64_t)f.value;
	return 0;
}

void line_keep_header(struct line *l, struct slice header)
{
	buf_clear(&l->header);
	buf_put_slice(&l->header, header);
}

void line_reply(struct api_rpc *r, struct slice header, struct slice extra)
{
	struct slice parts[2];
	struct buf out;

	buf_init(&out, 512);
	pb_put_bytes_always(&out, 1, header);
	ASSERT(!buf_failed(&out));
	parts[0] = buf_slice(&out);
	parts[1] = extra;
	api_reply(r, parts, 2);
	buf_fini(&out);
}

err_t line_range_parse(struct slice answer, struct line_range *out)
{
	struct pb_reader rd = pb_reader_of(answer);
	struct pb_field f;

	*out = (struct line_range){0};
	while (pb_next(&rd, &f)) {
		if (f.number == 1) {
			out->header = f.bytes;
			out->header_rev = header_rev(f.bytes);
		} else if (f.number == 2 && !out->found) {
			out->found = true;
			out->row = f.bytes;
			if (kv_decode(f.bytes, &out->kv))
				return ERR_CORRUPT_FILE;
		}
	}
	return rd.failed ? ERR_CORRUPT_FILE : OK;
}

static err_t op_parse(struct slice op, struct line_txn *out)
{
	struct pb_reader rd = pb_reader_of(op);
	struct pb_field f;
	err_t err = OK;

	while (!err && pb_next(&rd, &f))
		if (f.number == 1 && out->range_count < ARRAY_COUNT(out->ranges))
			err = line_range_parse(f.bytes, &out->ranges[out->range_count++]);
	return err;
}

err_t line_txn_parse(struct slice answer, struct line_txn *out)
{
	struct pb_reader rd = pb_reader_of(answer);
	struct pb_field f;
	err_t err = OK;

	*out = (struct line_txn){0};
	while (!err && pb_next(&rd, &f)) {
		if (f.number == 1) {
			out->header = f.bytes;
			out->header_rev = header_rev(f.bytes);
		} else if (f.number == 2) {
			out->succeeded = f.value != 0;
		} else if (f.number == 3) {
			err = op_parse(f.bytes, out);
		}
	}
	return rd.failed ? ERR_CORRUPT_FILE : err;
}

/* Event {type 1, kv 2} */
static void event_parse(struct slice s, bool *is_delete, struct slice *row)
{
	struct pb_reader rd = pb_reader_of(s);
	struct pb_field f;

	*is_delete = false;
	*row = (struct slice){0};
	while (pb_next(&rd, &f)) {
		if (f.number == 1)
			*is_delete = f.value == EVENT_DELETE;
		else if (f.number == 2)
			*row = f.bytes;
	}
}

err_t line_watch_parse(struct slice answer, struct line_watch *out,
		       bool (*event)(struct api_rpc *r, bool is_delete, struct slice row), struct api_rpc *r)
{
	struct pb_reader rd = pb_reader_of(answer);
	struct pb_field f;
	bool more = true, is_delete;
	struct slice row;

	*out = (struct line_watch){0};
	while (pb_next(&rd, &f)) {
		switch (f.number) {
		case 1:
			out->header = f.bytes;
			out->header_rev = header_rev(f.bytes);
			break;
		case 4: out->canceled = f.value != 0; break;
		case 5: out->compact_rev = (int64_t)f.value; break;
		case 6: out->reason = f.bytes; break;
		case 11:
			event_parse(f.bytes, &is_delete, &row);
			more = more && event(r, is_delete, row);
			break;
		default: break;
		}
	}
	return rd.failed ? ERR_CORRUPT_FILE : OK;
}

const char *line_watch_text(struct api_rpc *r, const struct line_watch *w)
{
	return w->compact_rev ? err_text(ERR_COMPACTED) : w->reason.size ? line_text_keep(r, w->reason) : err_text(ERR_FUTURE_REV);
}

void line_watch(struct api_rpc *r, struct slice key, bool prefix, int64_t rev, bool (*message)(struct api_rpc *r),
		void (*done)(struct api_rpc *r, err_t err, const char *text))
{
	struct line *l = r->state;
	struct buf q;
	size_t mark;

	buf_init(&q, API_RESP_MAX);
	mark = pb_begin(&q, 1);
	if (prefix)
		put_prefix(&q, l);
	else
		pb_put_bytes(&q, 1, key);
	pb_put_uint(&q, 3, (uint64_t)rev);
	pb_end(&q, mark);
	api_part_open(&l->part, RPC_WATCH, &q, message, done);
}

/* ---- the session ---- */

/* Go prints a negative id with its sign. */
static void key_make(struct line *l)
{
	buf_clear(&l->key);
	buf_put_slice(&l->key, buf_slice(&l->prefix));
	if (l->lease < 0)
		buf_printf(&l->key, "-%llx", 0 - (unsigned long long)l->lease);
	else
		buf_printf(&l->key, "%llx", (unsigned long long)l->lease);
}

static void granted(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct pb_reader rd = pb_reader_of(buf_slice(&l->part.answer));
	struct pb_field f;

	if (line_failed(r, err, text))
		return;
	while (pb_next(&rd, &f))
		if (f.number == 2)
			l->lease = (int64_t)f.value;
	key_make(l);
	l->next(r);
}

void line_open(struct api_rpc *r, api_step *next)
{
	struct line *l = r->state;
	struct buf q;

	l->next = next;
	if (l->lease) {
		key_make(l);
		next(r);
		return;
	}
	buf_init(&q, 64);
	pb_put_uint(&q, 1, SESSION_TTL_S);
	api_part_call(&l->part, RPC_LEASE_GRANT, &q, granted);
}

/* ---- waiting: the newest key in front of ours is watched until it is deleted, then the next ---- */

static void wait_next(struct api_rpc *r);

static bool is_gone(struct api_rpc *r, bool is_delete, struct slice row)
{
	((struct line *)r->state)->gone |= is_delete;
	return !is_delete;
}

static void wait_again(struct api_rpc *r)
{
	struct line *l = r->state;

	api_part_stop(&l->part);
	if (l->gone)
		wait_next(r);
	else
		l->lost(r, l->text);
}

static bool wait_message(struct api_rpc *r)
{
	struct line *l = r->state;
	struct line_watch w;

	if (l->gone || l->text)
		return true;                    /* the next turn goes on already */
	if (line_watch_parse(buf_slice(&l->part.answer), &w, is_gone, r))
		l->text = err_text(ERR_CORRUPT_FILE);
	else if (w.canceled && !l->gone)
		l->text = line_watch_text(r, &w);
	if (l->gone || l->text)
		api_later(r, wait_again);
	return true;
}

static void wait_broken(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;

	if (!l->gone && !l->text)
		l->lost(r, err ? text : "lost watcher waiting for delete");
}

static void wait_found(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_range found;

	if (!err && line_range_parse(buf_slice(&l->part.answer), &found))
		text = err_text(err = ERR_CORRUPT_FILE);
	if (err) {
		l->lost(r, text);
	} else if (!found.found) {
		l->next(r);
	} else {
		l->gone = false;
		l->text = NULL;
		line_watch(r, found.kv.key, false, found.header_rev, wait_message, wait_broken);
	}
}

static void wait_next(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	put_prefix(&q, l);
	pb_put_uint(&q, 3, 1);
	pb_put_uint(&q, 5, SORT_DESCEND);
	pb_put_uint(&q, 6, TARGET_CREATE);
	pb_put_uint(&q, 13, (uint64_t)(l->rev - 1));
	api_part_call(&l->part, RPC_RANGE, &q, wait_found);
}

void line_wait(struct api_rpc *r, api_step *next, void (*lost)(struct api_rpc *r, const char *text))
{
	struct line *l = r->state;

	l->next = next;
	l->lost = lost;
	l->waiting = true;
	wait_next(r);
}
