/* HashKV: CRC-32C over "key" and then each row key and row, in revision order, of what a store compacted at
 * compact_rev shows at rev. Rows that such a compaction would remove, or has not removed yet, are passed over, so
 * members agree whatever their background work has done. Rules: spec of etcd v3.7.1, server/storage/mvcc/hash.go. */
#include "mvcc/mvcc_int.h"

#include "base/crc.h"

static void start(struct mvcc_hash *h, int64_t rev, int64_t compact_rev)
{
	*h = (struct mvcc_hash){.result = {.crc = crc32c(0, "key", 3), .rev = rev, .compact_rev = compact_rev}};
	buf_init(&h->from, SIZE_MAX);
}

err_t mvcc_hash_init(struct mvcc_hash *h, const struct mvcc_view *v, int64_t rev)
{
	start(h, rev, v->compact_rev);
	for (size_t i = 0; i < v->hashes->count; i++) {
		if (rev != v->hashes->at[i].rev)
			continue;
		h->result = v->hashes->at[i];
		h->stored = true;
		return OK;
	}
	if (rev > 0 && rev < v->compact_rev)
		return ERR_COMPACTED;
	if (rev > v->rev)
		return ERR_FUTURE_REV;
	if (rev == 0)
		h->result.rev = v->rev;
	return OK;
}

void mvcc_hash_init_compaction(struct mvcc_hash *h, int64_t rev, int64_t compact_rev_before)
{
	start(h, rev, compact_rev_before);
	h->compaction = true;
}

int64_t mvcc_hash_hold_rev(const struct mvcc_hash *h)
{
	return MAX(h->result.compact_rev, 0);
}

void mvcc_hash_fini(struct mvcc_hash *h)
{
	buf_fini(&h->from);
}

size_t mvcc_hashes_kept(const struct mvcc_view *v, struct mvcc_hash_result out[10])
{
	memcpy(out, v->hashes->at, v->hashes->count * sizeof(out[0]));
	return v->hashes->count;
}

/* What a compaction keeps has the tombstones of its own revision in it, which the set of a plain HashKV has not
 * (upstream: index Compact against Keep); it decides whether that set is empty. */
static err_t find_own_tombstone(struct mvcc_hash *h, const struct mvcc_view *v)
{
	struct backend_cursor c;
	struct backend_row row;
	bool found = true;
	err_t err = OK;

	if (!h->compaction || h->keep_known)
		return OK;
	backend_cursor_init(&c, &v->rows, (struct rev){h->result.rev, 0});
	while (!err && found && !h->keep_known) {
		err = backend_cursor_next(&c, &row, &found);
		if (err || !found || row.rev.main != h->result.rev)
			break;
		h->keep_known = row.tombstone;
	}
	return err;
}

/* Is there a key at all of which a compaction at rev would keep a living revision? With none, upstream hashes
 * every row that is left of those up to compact_rev. Looks at most at budget keys; true when it is known. */
static bool find_kept(struct mvcc_hash *h, const struct mvcc_view *v, size_t budget)
{
	const struct record *r;
	struct index_iter it;
	struct rev kept;

	if (h->keep_known)
		return true;
	r = index_seek(v->root, buf_slice(&h->from), h->from.size > 0, &it);
	for (; r && !record_keeps(r, h->result.rev, &kept); r = index_next(&it)) {
		if (budget-- > 1)
			continue;
		buf_clear(&h->from);
		buf_put_slice(&h->from, record_key(r));
		return false;
	}
	h->keep_known = true;
	h->keep_empty = !r;
	return true;
}

static bool keeps_row(const struct record *r, int64_t at, struct rev row)
{
	struct rev rev;

	return record_keeps(r, at, &rev) && rev_cmp(rev, row) == 0;
}

/* For a row with main <= compact_rev: it is one that the compaction at compact_rev leaves, whether that has got so far or not
 * (a put behind a delete of the same key in the very txn that it was at is none: upstream's takes its row); and the set kept at
 * rev has it, unless that set is empty. */
static err_t is_kept(const struct mvcc_hash *h, const struct mvcc_view *v, const struct backend_row *row, bool *kept)
{
	const struct record *r;
	struct kv kv;

	if (kv_decode(row->value, &kv) != OK)
		return ERR_CORRUPT_FILE;
	r = index_find(v->root, kv.key);
	*kept = r && keeps_row(r, h->result.compact_rev, row->rev) && (h->keep_empty || keeps_row(r, h->result.rev, row->rev));
	return OK;
}

static err_t hash_row(struct mvcc_hash *h, const struct mvcc_view *v, const struct backend_row *row)
{
	uint8_t key[REV_KEY_SIZE_MAX];
	size_t size = rev_key_write(row->rev, row->tombstone, key);
	bool kept = true;

	if (row->rev.main <= h->result.compact_rev) {
		err_t err = is_kept(h, v, row, &kept);

		if (err)
			return err;
	}
	if (!kept || (row->tombstone && row->rev.main == h->result.compact_rev))
		return OK;
	h->result.crc = crc32c(h->result.crc, key, size);
	h->result.crc = crc32c(h->result.crc, row->value.data, row->value.size);
	return OK;
}

err_t mvcc_hash_step(struct mvcc_hash *h, const struct mvcc_view *v, size_t budget, bool *done)
{
	struct backend_cursor c;
	struct backend_row row;
	bool found = true;
	err_t err = OK;

	*done = h->stored;
	if (h->stored)
		return OK;
	ASSERT(v->rev >= h->result.rev);
	if (v->trim_rev > mvcc_hash_hold_rev(h))
		return ERR_COMPACTED;
	err = find_own_tombstone(h, v);
	if (err)
		return err;
	if (!find_kept(h, v, budget))
		return OK;
	backend_cursor_init(&c, &v->rows, h->next);
	for (size_t i = 0; i < budget && !err && found; i++) {
		err = backend_cursor_next(&c, &row, &found);
		if (err || !found)
			break;
		if (row.rev.main > h->result.rev) {
			found = false;
			break;
		}
		err = hash_row(h, v, &row);
		h->next = (struct rev){row.rev.main, row.rev.sub + 1};
	}
	*done = !err && !found;
	return err;
}
