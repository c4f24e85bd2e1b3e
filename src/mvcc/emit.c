/* Rows of an answer: field 2 of RangeResponse, each an encoded KeyValue as it is stored.
 *
 * A row lies anywhere in the buffers or the file: rows are looked up sixteen at a time and their bytes asked for
 * together, so that they come while the others are being found. */
#include "mvcc/cursor.h"

enum { FETCH_MAX = 512 };

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

err_t emit_size(const struct mvcc_view *v, const struct range_req *r, const struct past *p, struct slice key,
		uint32_t *out)
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

static err_t emit_kv(const struct kv *kv, struct buf *out)
{
	uint8_t *at = element(out, kv_size(kv));

	if (!at)
		return ERR_TOO_LARGE;
	kv_write(kv, at);
	return OK;
}

static err_t flush_keys(struct emitter *e)
{
	err_t err = OK;

	for (size_t i = 0; i < e->count && !err; i++) {
		struct kv kv;

		err = keys_only_kv(e->view, e->req, &e->past[i], e->key[i], &kv);
		if (!err)
			err = emit_kv(&kv, e->out);
	}
	return err;
}

static void fetch(struct slice row)
{
	for (size_t i = 0; i < row.size && i < FETCH_MAX; i += 64)
		__builtin_prefetch(row.data + i);
}

static err_t flush_rows(struct emitter *e)
{
	struct slice row[EMIT_BATCH];
	err_t err = OK;

	for (size_t i = 0; i < e->count && !err; i++) {
		err = view_row(e->view, &e->past[i], &row[i]);
		if (!err)
			fetch(row[i]);
	}
	for (size_t i = 0; i < e->count && !err; i++) {
		uint8_t *at = element(e->out, row[i].size);

		if (!at)
			return ERR_TOO_LARGE;
		memcpy(at, row[i].data, row[i].size);
	}
	return err;
}

err_t emit_flush(struct emitter *e)
{
	err_t err = e->req->keys_only ? flush_keys(e) : flush_rows(e);

	e->count = 0;
	e->waiting_bytes = 0;
	return err;
}

err_t emit_row(struct emitter *e, const struct past *p, struct slice key)
{
	e->past[e->count] = *p;
	e->key[e->count++] = key;
	e->waiting_bytes += p->row_size;
	return e->count == EMIT_BATCH ? emit_flush(e) : OK;
}

void emit_tail(bool more, int64_t count, struct buf *out)
{
	pb_put_uint(out, 3, more);
	pb_put_uint(out, 4, (uint64_t)count);
}
