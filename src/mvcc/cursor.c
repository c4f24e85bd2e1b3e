/* Ranges in slices.
 *
 *	measure: walk the keys at the pinned revision, from the last key on        -> count, more, rows, size
 *	         plain:    nothing is kept
 *	         picking:  a pick for each row that passes the filters; at the end sorted and cut to the limit
 *	emit:    plain:    walk again and send;      picking: send picks in order
 *
 * Between slices the tree may be another one: the last key is looked up again. The revision pins what is seen,
 * since neither its records' past nor its rows change; trim_rev tells when they are gone. */
#include "mvcc/cursor.h"

enum { SORT_NONE = 0, SORT_ASCEND = 1, SORT_DESCEND = 2 };
enum { TARGET_KEY = 0, TARGET_VERSION = 1, TARGET_CREATE = 2, TARGET_MOD = 3, TARGET_VALUE = 4 };

static bool has_filters(const struct range_req *r)
{
	return r->min_mod_rev || r->max_mod_rev || r->min_create_rev || r->max_create_rev;
}

err_t cursor_init(struct mvcc_cursor *c, const struct mvcc_view *v, const struct range_req *r, size_t bytes_max)
{
	int64_t rev;
	err_t err = view_revision(v, r->revision, &rev);

	*c = (struct mvcc_cursor){.req = *r, .rev = rev, .header_rev = v->rev};
	buf_init(&c->own, SIZE_MAX);
	buf_init(&c->last, SIZE_MAX);
	if (err)
		return err;
	c->range = key_range_of(c->req.key, c->req.range_end);
	c->picking = !range_is_plain(r) && !r->count_only;
	c->picks_max = MIN(bytes_max / sizeof(struct pick), (size_t)UINT32_MAX);
	/* upstream takes limit + 1 rows in key order before it sorts when the order is NONE, all otherwise */
	if (r->sort_order == SORT_NONE && !has_filters(r) && r->limit > 0 && r->limit < INT64_MAX)
		c->pick_limit = r->limit + 1;
	return OK;
}

void cursor_fini(struct mvcc_cursor *c)
{
	buf_fini(&c->own);
	buf_fini(&c->last);
	VEC_FREE(&c->picks);
}

err_t mvcc_cursor_new(const struct mvcc_view *v, const struct range_req *r, size_t bytes_max, struct mvcc_cursor **out)
{
	struct mvcc_cursor *c = NEW(struct mvcc_cursor);
	err_t err = cursor_init(c, v, r, bytes_max);

	if (err) {
		cursor_fini(c);
		mem_free(c);
		return err;
	}
	buf_put_slice(&c->own, r->key);
	buf_put_slice(&c->own, r->range_end);
	c->req.key = slice_of(c->own.data, r->key.size);
	c->req.range_end = slice_of(c->own.data + r->key.size, r->range_end.size);
	c->range = key_range_of(c->req.key, c->req.range_end);
	*out = c;
	return OK;
}

void mvcc_cursor_free(struct mvcc_cursor *c)
{
	if (!c)
		return;
	cursor_fini(c);
	mem_free(c);
}

static err_t still_there(const struct mvcc_cursor *c, const struct mvcc_view *v)
{
	ASSERT(v->rev >= c->rev);
	return v->trim_rev > c->rev ? ERR_COMPACTED : OK;
}

static struct record *walk_begin(const struct mvcc_cursor *c, const struct mvcc_view *v, struct index_iter *it)
{
	struct slice from = c->started ? buf_slice(&c->last) : c->range.key;
	struct record *r = index_seek(v->root, from, c->started, it);

	return r && key_range_has(&c->range, record_key(r)) ? r : NULL;
}

static struct record *walk_next(const struct mvcc_cursor *c, struct index_iter *it)
{
	struct record *r = c->range.kind == RANGE_ONE ? NULL : index_next(it);

	return r && key_range_has(&c->range, record_key(r)) ? r : NULL;
}

static void walk_pause(struct mvcc_cursor *c, struct slice at)
{
	struct buf next;

	buf_init(&next, SIZE_MAX);
	buf_put_slice(&next, at);
	buf_fini(&c->last);
	c->last = next;
	c->started = true;
}

static bool passes(const struct range_req *r, const struct past *p)
{
	return !((r->max_mod_rev && p->main > r->max_mod_rev) || (r->min_mod_rev && p->main < r->min_mod_rev) ||
		 (r->max_create_rev && p->create > r->max_create_rev) ||
		 (r->min_create_rev && p->create < r->min_create_rev));
}

static int64_t order_of(const struct range_req *r, const struct past *p)
{
	switch (r->sort_target) {
	case TARGET_VERSION:
		return p->version;
	case TARGET_CREATE:
		return p->create;
	case TARGET_MOD:
		return p->main;
	default:
		return 0;
	}
}

static err_t pick(struct mvcc_cursor *c, const struct mvcc_view *v, const struct past *p, struct slice key)
{
	struct pick k = {
	    .order = order_of(&c->req, p),
	    .main = p->main,
	    .sub = p->sub_tombstone >> 1,
	    .index = (uint32_t)c->picks.count,
	};

	if (!passes(&c->req, p) || (c->pick_limit && (int64_t)c->picks.count == c->pick_limit))
		return OK;
	if (c->picks.count == c->picks_max)
		return ERR_TOO_LARGE;
	err_t err = emit_size(v, &c->req, p, key, &k.size);

	if (!err)
		VEC_PUSH(&c->picks, k);
	return err;
}

static uint64_t element_size(uint32_t size)
{
	return 1 + pb_varint_size(size) + size;
}

static err_t measure_key(struct mvcc_cursor *c, const struct mvcc_view *v, const struct past *p, struct slice key)
{
	uint32_t size;

	c->count++;
	if (c->req.count_only)
		return OK;
	if (c->picking)
		return pick(c, v, p, key);
	if (c->req.limit > 0 && c->rows == c->req.limit)
		return OK;
	err_t err = emit_size(v, &c->req, p, key, &size);

	if (!err) {
		c->rows++;
		c->size += element_size(size);
	}
	return err;
}

static int by_number(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Downwards, rows that compare equal stay in key order, as upstream's sort of short results leaves them. */
static int by_number_down(const void *a, const void *b)
{
	const struct pick *x = a, *y = b;

	if (x->order != y->order)
		return x->order > y->order ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

struct valued {
	const uint8_t *data;
	size_t size;
	struct pick pick;
};

static int by_value(const void *a, const void *b)
{
	const struct valued *x = a, *y = b;
	int c = slice_cmp(slice_of(x->data, x->size), slice_of(y->data, y->size));

	return c ? c : (x->pick.index > y->pick.index) - (x->pick.index < y->pick.index);
}

static int by_value_down(const void *a, const void *b)
{
	const struct valued *x = a, *y = b;
	int c = slice_cmp(slice_of(y->data, y->size), slice_of(x->data, x->size));

	return c ? c : (x->pick.index > y->pick.index) - (x->pick.index < y->pick.index);
}

static err_t sort_by_value(struct mvcc_cursor *c, const struct mvcc_view *v)
{
	struct valued *all = NEW_ARRAY(struct valued, c->picks.count + 1);
	err_t err = OK;

	for (size_t i = 0; i < c->picks.count && !err; i++) {
		const struct pick *k = &c->picks.at[i];
		struct slice row;
		struct kv kv;

		err = backend_view_row(&v->rows, (struct rev){k->main, k->sub}, &row);
		if (!err)
			err = kv_decode(row, &kv);
		if (!err)
			all[i] = (struct valued){kv.value.data, kv.value.size, *k};
	}
	if (!err) {
		qsort(all, c->picks.count, sizeof(*all), c->req.sort_order == SORT_DESCEND ? by_value_down : by_value);
		for (size_t i = 0; i < c->picks.count; i++)
			c->picks.at[i] = all[i].pick;
	}
	mem_free(all);
	return err ? ERR_CORRUPT_FILE : OK;
}

static err_t sort_picks(struct mvcc_cursor *c, const struct mvcc_view *v)
{
	bool down = c->req.sort_order == SORT_DESCEND;

	if (c->req.sort_target == TARGET_VALUE)
		return sort_by_value(c, v);
	if (c->req.sort_target != TARGET_KEY && c->picks.count)
		qsort(c->picks.at, c->picks.count, sizeof(c->picks.at[0]), down ? by_number_down : by_number);
	else if (down)
		for (size_t i = 0, j = c->picks.count; i + 1 < j; i++) {
			struct pick t = c->picks.at[i];

			c->picks.at[i] = c->picks.at[--j];
			c->picks.at[j] = t;
		}
	return OK;
}

static err_t measure_end(struct mvcc_cursor *c, const struct mvcc_view *v)
{
	if (c->picking) {
		err_t err = sort_picks(c, v);

		if (err)
			return err;
		c->more = c->req.limit > 0 && (int64_t)c->picks.count > c->req.limit;
		c->rows = c->more ? c->req.limit : (int64_t)c->picks.count;
		for (int64_t i = 0; i < c->rows; i++)
			c->size += element_size(c->picks.at[i].size);
	} else {
		c->more = !c->req.count_only && c->count > c->rows;
	}
	c->measured = true;
	c->started = false; /* the second pass starts over */
	return OK;
}

/* At the pinned revision's own publication the tree counts; walking stops with the rows that are sent. */
static bool count_at_once(struct mvcc_cursor *c, const struct mvcc_view *v)
{
	int64_t wanted = c->picking ? c->pick_limit : c->req.limit;

	if (v->rev != c->rev || !(c->req.count_only || wanted > 0))
		return false;
	return c->req.count_only || (c->picking ? (int64_t)c->picks.count : c->rows) == wanted;
}

err_t mvcc_cursor_measure(struct mvcc_cursor *c, const struct mvcc_view *v, size_t budget, bool *done)
{
	struct index_iter it;
	err_t err = still_there(c, v);

	*done = c->measured;
	if (err || c->measured)
		return err;
	for (const struct record *r = walk_begin(c, v, &it); r; r = walk_next(c, &it)) {
		struct past p;

		if (count_at_once(c, v)) {
			c->count = (int64_t)index_count(v->root, &c->range);
			break;
		}
		if (record_read(v, r, c->rev, &p))
			err = measure_key(c, v, &p, record_key(r));
		if (err)
			return err;
		if (budget-- <= 1) {
			walk_pause(c, record_key(r));
			return OK;
		}
	}
	err = measure_end(c, v);
	*done = !err;
	return err;
}

/* A pick knows its revision only; for a keys-only answer the rest is in the row. */
static err_t emit_pick(struct emitter *e, const struct pick *k)
{
	struct past p = {.main = k->main, .sub_tombstone = k->sub << 1, .row_size = k->size};
	struct slice row;
	struct kv kv;

	if (!e->req->keys_only)
		return emit_row(e, &p, (struct slice){0});
	err_t err = backend_view_row(&e->view->rows, past_rev(&p), &row);

	if (err || kv_decode(row, &kv) != OK)
		return ERR_CORRUPT_FILE;
	p.row_size = (uint32_t)row.size;
	p.create = kv.create_rev;
	p.version = kv.version;
	return emit_row(e, &p, kv.key);
}

static bool slice_ends(const struct emitter *e, size_t *rows_max, size_t end)
{
	return !--*rows_max || e->out->size + e->waiting_bytes >= end;
}

static err_t emit_picks(struct mvcc_cursor *c, struct emitter *e, size_t rows_max, size_t end)
{
	while (c->sent < c->rows) {
		err_t err = emit_pick(e, &c->picks.at[c->sent]);

		if (err)
			return err;
		c->sent++;
		if (slice_ends(e, &rows_max, end))
			break;
	}
	return emit_flush(e);
}

static err_t emit_walk(struct mvcc_cursor *c, struct emitter *e, size_t rows_max, size_t end)
{
	struct index_iter it;

	if (c->sent == c->rows)
		return OK;
	for (const struct record *r = walk_begin(c, e->view, &it); r; r = walk_next(c, &it)) {
		struct past p;

		if (!record_read(e->view, r, c->rev, &p))
			continue;
		err_t err = emit_row(e, &p, record_key(r));

		if (err)
			return err;
		c->sent++;
		if (c->sent == c->rows || slice_ends(e, &rows_max, end)) {
			walk_pause(c, record_key(r));
			return emit_flush(e);
		}
	}
	return ERR_CORRUPT_FILE; /* fewer than were measured */
}

err_t mvcc_cursor_emit(struct mvcc_cursor *c, const struct mvcc_view *v, size_t rows_max, size_t bytes_max,
		       struct buf *out, bool *done)
{
	size_t end = bytes_max > SIZE_MAX - out->size ? SIZE_MAX : out->size + bytes_max;
	struct emitter e = {.view = v, .req = &c->req, .out = out};
	err_t err = still_there(c, v);

	ASSERT(c->measured && rows_max > 0);
	if (!err)
		err = c->picking ? emit_picks(c, &e, rows_max, end) : emit_walk(c, &e, rows_max, end);
	if (err)
		return err;
	*done = c->sent == c->rows;
	if (*done && !c->bare)
		emit_tail(c->more, c->count, out);
	return buf_failed(out) ? ERR_TOO_LARGE : OK;
}

int64_t mvcc_cursor_rev(const struct mvcc_cursor *c)
{
	return c->rev;
}

int64_t mvcc_cursor_header_rev(const struct mvcc_cursor *c)
{
	return c->header_rev;
}

uint64_t mvcc_cursor_size(const struct mvcc_cursor *c)
{
	ASSERT(c->measured);
	if (c->bare)
		return c->size;
	return c->size + (c->more ? 2 : 0) + (c->count ? 1 + pb_varint_size((uint64_t)c->count) : 0);
}

int64_t mvcc_cursor_count(const struct mvcc_cursor *c)
{
	return c->count;
}

bool mvcc_cursor_more(const struct mvcc_cursor *c)
{
	return c->more;
}

void mvcc_cursor_set_bare(struct mvcc_cursor *c)
{
	c->bare = true;
}
