/* Reading at a revision: single keys, counts, and ranges small enough for one slice. */
#include "mvcc/cursor.h"

uint64_t index_count(const struct mvcc_node *root, const struct key_range *k)
{
	const struct record *r;
	uint64_t from, to;

	switch (k->kind) {
	case RANGE_ONE:
		r = index_find(root, k->key);
		return r && !record_dead(r);
	case RANGE_OPEN:
		return index_live(root) - index_rank(root, k->key);
	case RANGE_TO:
		from = index_rank(root, k->key);
		to = index_rank(root, k->end);
		return to > from ? to - from : 0;
	}
	UNREACHABLE();
}

err_t view_revision(const struct mvcc_view *v, int64_t rev, int64_t *out)
{
	if (rev > v->rev)
		return ERR_FUTURE_REV;
	if (rev <= 0)
		rev = v->rev;
	if (rev < v->compact_rev)
		return ERR_COMPACTED;
	*out = rev;
	return OK;
}

err_t view_row(const struct mvcc_view *v, const struct past *p, struct slice *out)
{
	err_t err = backend_view_row(&v->rows, past_rev(p), out);

	if (!err && out->size != p->row_size)
		return ERR_CORRUPT_FILE;
	return err == ERR_NOT_EXIST ? ERR_CORRUPT_FILE : err;
}

bool range_is_plain(const struct range_req *r)
{
	bool in_key_order = r->sort_target == 0 ? r->sort_order != 2 : false;

	return in_key_order && !r->min_mod_rev && !r->max_mod_rev && !r->min_create_rev && !r->max_create_rev;
}

/* In key order, no filter: rows as they come; the count is the tree's at the present, or by walking on. */
static err_t range_plain(const struct mvcc_view *v, const struct range_req *r, int64_t rev, size_t rows_max,
			 struct buf *out)
{
	struct key_range range = key_range_of(r->key, r->range_end);
	bool now = rev == v->rev;
	int64_t limit = r->limit > 0 ? r->limit : INT64_MAX, rows = 0;
	int64_t count = now ? (int64_t)index_count(v->root, &range) : 0;
	struct emitter e = {.view = v, .req = r, .out = out};
	struct index_iter it;
	err_t err = OK;

	if (r->count_only && now) {
		emit_tail(false, count, out);
		return OK;
	}
	if (now && (uint64_t)MIN(count, limit) > rows_max)
		return ERR_TOO_LARGE;
	for (const struct record *k = index_seek(v->root, r->key, false, &it);
	     k && key_range_has(&range, record_key(k)); k = range.kind == RANGE_ONE ? NULL : index_next(&it)) {
		struct past p;

		if (now && rows == MIN(limit, count))
			break;
		if (!record_read(v, k, rev, &p))
			continue;
		count += !now;
		if (r->count_only || rows == limit)
			continue;
		err = (size_t)rows < rows_max ? emit_row(&e, &p, record_key(k)) : ERR_TOO_LARGE;
		if (err)
			return err;
		rows++;
	}
	err = emit_flush(&e);
	if (err)
		return err;
	emit_tail(!r->count_only && count > rows, count, out);
	return OK;
}

static err_t range_picked(const struct mvcc_view *v, const struct range_req *r, size_t rows_max, struct buf *out)
{
	struct mvcc_cursor c;
	bool done = false;
	err_t err = cursor_init(&c, v, r,
				rows_max > SIZE_MAX / sizeof(struct pick) ? SIZE_MAX : rows_max * sizeof(struct pick));

	if (!err)
		err = mvcc_cursor_measure(&c, v, SIZE_MAX, &done);
	if (!err)
		err = mvcc_cursor_emit(&c, v, SIZE_MAX, SIZE_MAX, out, &done);
	cursor_fini(&c);
	return err;
}

err_t mvcc_range(const struct mvcc_view *v, const struct range_req *r, size_t rows_max, struct buf *out)
{
	size_t before = out->size;
	int64_t rev;
	err_t err = buf_failed(out) ? ERR_TOO_LARGE : view_revision(v, r->revision, &rev);

	if (err)
		return err;
	if (range_is_plain(r) || r->count_only)
		err = range_plain(v, r, rev, rows_max, out);
	else
		err = range_picked(v, r, rows_max, out);
	if (!err && buf_failed(out))
		err = ERR_TOO_LARGE;
	if (err) {
		out->size = before;
		out->failed = false;
	}
	return err;
}

err_t mvcc_get(const struct mvcc_view *v, struct slice key, int64_t rev, struct slice *row)
{
	const struct record *r = index_find(v->root, key);
	struct past p;
	err_t err = view_revision(v, rev, &rev);

	if (err)
		return err;
	if (!r || !record_read(v, r, rev, &p))
		return ERR_NOT_EXIST;
	return view_row(v, &p, row);
}

uint64_t mvcc_count(const struct mvcc_view *v, struct slice key, struct slice range_end)
{
	struct key_range range = key_range_of(key, range_end);

	return index_count(v->root, &range);
}
