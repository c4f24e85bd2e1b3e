/* Reading at a revision: single keys, counts, and ranges small enough for one slice. */
#include "mvcc/cursor.h"

uint64_t tree_count(const struct mvcc_node *root, const struct key_range *k)
{
	const struct record *r;
	uint64_t from, to;

	switch (k->kind) {
	case RANGE_ONE:
		r = tree_find(root, k->key);
		return r && !record_dead(r);
	case RANGE_OPEN:
		return tree_live(root) - tree_rank(root, k->key);
	case RANGE_TO:
		from = tree_rank(root, k->key);
		to = tree_rank(root, k->end);
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

/* The index has all that a keys-only answer shows. Sorted by value, the row is read and lease comes along (as
 * in Go v3.7, where that sort alone takes the slow way). */
static bool from_index(const struct range_req *r)
{
	return r->keys_only && r->sort_target != 4;
}

static err_t without_value(const struct mvcc_view *v, const struct past *p, struct kv *kv)
{
	struct slice row;
	err_t err = view_row(v, p, &row);

	if (!err)
		err = kv_decode(row, kv) == OK ? OK : ERR_CORRUPT_FILE;
	kv->value = (struct slice){0};
	return err;
}

static err_t keys_only_kv(const struct mvcc_view *v, const struct range_req *r, const struct past *p, struct slice key,
			  struct kv *kv)
{
	if (!from_index(r))
		return without_value(v, p, kv);
	*kv = (struct kv){.key = key, .create_rev = p->create, .mod_rev = p->main, .version = p->version};
	return OK;
}

err_t emit_size(const struct mvcc_view *v, const struct range_req *r, const struct past *p, struct slice key, uint32_t *out)
{
	struct kv kv;

	if (!r->keys_only) {
		*out = p->row_size;
		return OK;
	}
	err_t err = keys_only_kv(v, r, p, key, &kv);

	if (!err)
		*out = (uint32_t)kv_size(&kv);
	return err;
}

static uint8_t *element(struct buf *out, size_t size)
{
	size_t prefix = 1 + pb_varint_size(size);
	uint8_t *p = buf_add(out, prefix + size);

	if (!p)
		return NULL;
	*p = 2 << 3 | PB_BYTES;
	return pb_varint_write(p + 1, size);
}

err_t emit_row(const struct mvcc_view *v, const struct range_req *r, const struct past *p, struct slice key, struct buf *out)
{
	struct slice row;
	struct kv kv;
	err_t err = r->keys_only ? keys_only_kv(v, r, p, key, &kv) : view_row(v, p, &row);

	if (err)
		return err;
	uint8_t *at = element(out, r->keys_only ? kv_size(&kv) : row.size);

	if (!at)
		return ERR_TOO_LARGE;
	if (r->keys_only)
		kv_write(&kv, at);
	else
		memcpy(at, row.data, row.size);
	return OK;
}

bool range_is_plain(const struct range_req *r)
{
	bool in_key_order = r->sort_target == 0 ? r->sort_order != 2 : false;

	return in_key_order && !r->min_mod_rev && !r->max_mod_rev && !r->min_create_rev && !r->max_create_rev;
}

void emit_tail(bool more, int64_t count, struct buf *out)
{
	pb_put_uint(out, 3, more);
	pb_put_uint(out, 4, (uint64_t)count);
}

/* In key order, no filter: rows as they come; the count is the tree's at the present, or by walking on. */
static err_t range_plain(const struct mvcc_view *v, const struct range_req *r, int64_t rev, size_t rows_max, struct buf *out)
{
	struct key_range range = key_range_of(r->key, r->range_end);
	bool now = rev == v->rev;
	int64_t limit = r->limit > 0 ? r->limit : INT64_MAX, rows = 0;
	int64_t count = now ? (int64_t)tree_count(v->root, &range) : 0;
	struct tree_iter it;

	if (r->count_only && now) {
		emit_tail(false, count, out);
		return OK;
	}
	if (now && (uint64_t)MIN(count, limit) > rows_max)
		return ERR_TOO_LARGE;
	for (const struct record *k = tree_seek(v->root, r->key, false, &it); k && key_range_has(&range, record_key(k));
	     k = range.kind == RANGE_ONE ? NULL : tree_next(&it)) {
		struct past p;

		if (now && rows == MIN(limit, count))
			break;
		if (!record_read(v, k, rev, &p))
			continue;
		count += !now;
		if (r->count_only || rows == limit)
			continue;
		err_t err = (size_t)rows < rows_max ? emit_row(v, r, &p, record_key(k), out) : ERR_TOO_LARGE;

		if (err)
			return err;
		rows++;
	}
	emit_tail(!r->count_only && count > rows, count, out);
	return OK;
}

static err_t range_picked(const struct mvcc_view *v, const struct range_req *r, size_t rows_max, struct buf *out)
{
	struct mvcc_cursor c;
	bool done = false;
	err_t err = cursor_init(&c, v, r, rows_max > SIZE_MAX / sizeof(struct pick) ? SIZE_MAX : rows_max * sizeof(struct pick));

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
	const struct record *r = tree_find(v->root, key);
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

	return tree_count(v->root, &range);
}
