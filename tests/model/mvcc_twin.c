#include "mvcc_twin.h"

#include "base/crc.h"

void twin_init(struct twin *t)
{
	*t = (struct twin){.rev = 1, .compact_rev = -1};
	buf_init(&t->events, SIZE_MAX);
}

void twin_fini(struct twin *t)
{
	for (size_t i = 0; i < t->keys.count; i++) {
		struct twin_key *k = &t->keys.at[i];

		for (size_t j = 0; j < k->rows.count; j++)
			blob_unref(k->rows.at[j].bytes);
		VEC_FREE(&k->rows);
		blob_unref(k->key);
	}
	VEC_FREE(&t->keys);
	buf_fini(&t->events);
}

static bool in_range(struct slice key, struct slice begin, struct slice end)
{
	if (!end.size)
		return slice_eq(key, begin);
	if (slice_cmp(key, begin) < 0)
		return false;
	return slice_eq(end, SLICE_LIT("\0")) || slice_cmp(key, end) < 0;
}

/* The newest row with main <= rev. */
static const struct twin_row *row_at(const struct twin_key *k, int64_t rev)
{
	for (size_t i = k->rows.count; i-- > 0;)
		if (k->rows.at[i].rev.main <= rev)
			return k->rows.at[i].tombstone ? NULL : &k->rows.at[i];
	return NULL;
}

static struct twin_key *find_key(struct twin *t, struct slice key, bool make)
{
	struct twin_key fresh = {0};
	size_t i = 0;

	while (i < t->keys.count && slice_cmp(blob_slice(t->keys.at[i].key), key) < 0)
		i++;
	if (i < t->keys.count && slice_eq(blob_slice(t->keys.at[i].key), key))
		return &t->keys.at[i];
	if (!make)
		return NULL;
	fresh.key = blob_copy(key);
	VEC_PUSH(&t->keys, fresh);
	memmove(&t->keys.at[i + 1], &t->keys.at[i], (t->keys.count - 1 - i) * sizeof(fresh));
	t->keys.at[i] = fresh;
	return &t->keys.at[i];
}

static const struct twin_row *live(const struct twin *t, struct slice key, int64_t rev)
{
	struct twin_key *k = find_key((struct twin *)t, key, false);

	return k ? row_at(k, rev) : NULL;
}

int64_t twin_lease(const struct twin *t, struct slice key)
{
	const struct twin_row *r = live(t, key, t->rev);

	return r ? r->lease : 0;
}

/* ---- range ---- */

struct found {
	const struct twin_row *row;
	struct kv kv;
};

static int order(const struct range_req *r, const struct found *a, const struct found *b)
{
	switch (r->sort_target) {
	case 1:
		return (a->kv.version > b->kv.version) - (a->kv.version < b->kv.version);
	case 2:
		return (a->kv.create_rev > b->kv.create_rev) - (a->kv.create_rev < b->kv.create_rev);
	case 3:
		return (a->kv.mod_rev > b->kv.mod_rev) - (a->kv.mod_rev < b->kv.mod_rev);
	case 4:
		return slice_cmp(a->kv.value, b->kv.value);
	default:
		return slice_cmp(a->kv.key, b->kv.key);
	}
}

/* An insertion sort, stable in both directions, as Go's sort is for short slices. */
static void sort_found(const struct range_req *r, struct found *f, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j; j--) {
			int c = order(r, &f[j], &f[j - 1]);
			struct found x = f[j];

			if (r->sort_order == 2 ? c <= 0 : c >= 0)
				break;
			f[j] = f[j - 1];
			f[j - 1] = x;
		}
}

static bool pruned(const struct range_req *r, const struct kv *kv)
{
	return (r->max_mod_rev && kv->mod_rev > r->max_mod_rev) || (r->min_mod_rev && kv->mod_rev < r->min_mod_rev) ||
	       (r->max_create_rev && kv->create_rev > r->max_create_rev) ||
	       (r->min_create_rev && kv->create_rev < r->min_create_rev);
}

err_t twin_range(const struct twin *t, const struct range_req *r, struct buf *out)
{
	bool filters = r->min_mod_rev || r->max_mod_rev || r->min_create_rev || r->max_create_rev;
	bool default_order = r->sort_order == 0 || (r->sort_order == 1 && r->sort_target == 0);
	int64_t now = t->rev + (t->changes > 0), rev = r->revision, count = 0;
	VEC(struct found) f = {0};

	if (rev > now)
		return ERR_FUTURE_REV;
	if (rev <= 0)
		rev = now;
	if (rev < t->compact_rev)
		return ERR_COMPACTED;
	for (size_t i = 0; i < t->keys.count; i++) {
		const struct twin_row *row = row_at(&t->keys.at[i], rev);
		struct found x = {.row = row};

		if (!row || !in_range(blob_slice(t->keys.at[i].key), r->key, r->range_end))
			continue;
		count++;
		if (default_order && !filters && r->limit > 0 && (int64_t)f.count > r->limit)
			continue; /* limit + 1 are enough to know that there is more */
		ASSERT(kv_decode(blob_slice(row->bytes), &x.kv) == OK);
		VEC_PUSH(&f, x);
	}
	if (r->count_only)
		f.count = 0;
	size_t n = 0;

	for (size_t i = 0; i < f.count; i++)
		if (!pruned(r, &f.at[i].kv))
			f.at[n++] = f.at[i];
	f.count = n;
	if (r->sort_order || r->sort_target)
		sort_found(r, f.at, f.count);
	bool more = r->limit > 0 && (int64_t)f.count > r->limit;

	if (more)
		f.count = (size_t)r->limit;
	for (size_t i = 0; i < f.count; i++) {
		struct kv kv = f.at[i].kv;

		if (r->keys_only) {
			kv.value = (struct slice){0};
			if (r->sort_target != 4)
				kv.lease = 0;
		}
		size_t mark = pb_begin(out, 2);

		kv_encode(&kv, out);
		pb_end(out, mark);
	}
	pb_put_uint(out, 3, more);
	pb_put_uint(out, 4, (uint64_t)count);
	VEC_FREE(&f);
	return OK;
}

/* ---- writes ---- */

void twin_event_text(enum event_type type, struct slice kv, struct slice prev, struct buf *out)
{
	buf_printf(out, "%c", type == EVENT_PUT ? 'p' : 'd');
	for (size_t i = 0; i < kv.size; i++)
		buf_printf(out, "%02x", kv.data[i]);
	buf_printf(out, "<");
	for (size_t i = 0; i < prev.size; i++)
		buf_printf(out, "%02x", prev.data[i]);
	buf_printf(out, "\n");
}

static void append(struct twin *t, struct slice key, const struct kv *kv, bool tombstone)
{
	struct rev rev = {t->rev + 1, t->changes};
	struct twin_key *k = find_key(t, key, true);
	const struct twin_row *prev = row_at(k, t->rev);
	struct kv event = *kv;
	struct buf b, e;

	buf_init(&b, SIZE_MAX);
	buf_init(&e, SIZE_MAX);
	kv_encode(kv, &b);
	event.mod_rev = rev.main;
	kv_encode(&event, &e);
	bool creation = !tombstone && kv->create_rev == rev.main;

	twin_event_text(tombstone ? EVENT_DELETE : EVENT_PUT, buf_slice(&e),
			prev && !creation ? blob_slice(prev->bytes) : (struct slice){0}, &t->events);
	struct twin_row row = {
	    .rev = rev,
	    .tombstone = tombstone,
	    .bytes = blob_copy(buf_slice(&b)),
	    .create = kv->create_rev,
	    .version = kv->version,
	    .lease = kv->lease,
	};

	VEC_PUSH(&k->rows, row);
	buf_fini(&b);
	buf_fini(&e);
	t->changes++;
}

static void finish(struct twin *t)
{
	t->rev += t->changes > 0;
	t->changes = 0;
}

static int64_t working_rev(const struct twin *t)
{
	return t->rev + 1; /* rows of the request under way have it */
}

static bool lease_exists(const struct twin *t, int64_t lease)
{
	for (size_t i = 0; i < t->lease_count; i++)
		if (t->leases[i] == lease)
			return true;
	return false;
}

static err_t put_check(const struct twin *t, const struct put_req *r)
{
	if (r->lease && !lease_exists(t, r->lease))
		return ERR_LEASE_NOT_FOUND;
	if ((r->ignore_value || r->ignore_lease) && !live(t, r->key, t->rev))
		return ERR_KEY_NOT_FOUND;
	return OK;
}

static void put_do(struct twin *t, const struct put_req *r, struct buf *out)
{
	const struct twin_row *prev = live(t, r->key, working_rev(t));
	struct blob *held = prev ? blob_ref(prev->bytes) : NULL;
	struct kv kv = {.key = r->key, .value = r->value, .lease = r->lease}, old = {0};

	kv.mod_rev = t->rev + 1;
	kv.create_rev = prev ? prev->create : kv.mod_rev;
	kv.version = prev ? prev->version + 1 : 1;
	if (prev)
		ASSERT(kv_decode(blob_slice(held), &old) == OK);
	if (r->ignore_value)
		kv.value = old.value;
	if (r->ignore_lease)
		kv.lease = old.lease;
	if (r->prev_kv && prev)
		pb_put_bytes_always(out, 2, blob_slice(held));
	append(t, r->key, &kv, false);
	blob_unref(held);
}

err_t twin_put(struct twin *t, const struct put_req *r, struct buf *out)
{
	err_t err = put_check(t, r);

	buf_clear(&t->events);
	if (!err)
		put_do(t, r, out);
	finish(t);
	return err;
}

static size_t delete_do(struct twin *t, const struct delete_req *r, struct buf *out)
{
	VEC(struct slice) keys = {0};
	size_t n;

	for (size_t i = 0; i < t->keys.count; i++) {
		struct slice key = blob_slice(t->keys.at[i].key);

		if (row_at(&t->keys.at[i], working_rev(t)) && in_range(key, r->key, r->range_end))
			VEC_PUSH(&keys, key);
	}
	if (out) {
		pb_put_uint(out, 2, keys.count);
		for (size_t i = 0; i < keys.count && r->prev_kv; i++)
			pb_put_bytes_always(out, 3, blob_slice(live(t, keys.at[i], working_rev(t))->bytes));
	}
	for (size_t i = 0; i < keys.count; i++)
		append(t, keys.at[i], &(struct kv){.key = keys.at[i]}, true);
	n = keys.count;
	VEC_FREE(&keys);
	return n;
}

void twin_delete(struct twin *t, const struct delete_req *r, struct buf *out)
{
	buf_clear(&t->events);
	delete_do(t, r, out);
	finish(t);
}

void twin_delete_keys(struct twin *t, const struct slice *keys, size_t count)
{
	buf_clear(&t->events);
	for (size_t i = 0; i < count; i++)
		delete_do(t, &(struct delete_req){.key = keys[i]}, NULL);
	finish(t);
}

/* ---- txn ---- */

static bool result_ok(int32_t result, int c)
{
	return result == 0 ? c == 0 : result == 1 ? c > 0 : result == 2 ? c < 0 : result == 3 ? c != 0 : true;
}

static int cmp64(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static bool compare_one(const struct compare *c, const struct kv *kv)
{
	switch (c->target) {
	case 0:
		return result_ok(c->result, cmp64(kv->version, c->which == CMP_UNION_VERSION ? c->number : 0));
	case 1:
		return result_ok(c->result, cmp64(kv->create_rev, c->which == CMP_UNION_CREATE ? c->number : 0));
	case 2:
		return result_ok(c->result, cmp64(kv->mod_rev, c->which == CMP_UNION_MOD ? c->number : 0));
	case 3:
		return result_ok(c->result,
				 slice_cmp(kv->value, c->which == CMP_UNION_VALUE ? c->value : (struct slice){0}));
	case 4:
		return result_ok(c->result, cmp64(kv->lease, c->which == CMP_UNION_LEASE ? c->number : 0));
	default:
		return result_ok(c->result, 0);
	}
}

static bool compare_all(const struct twin *t, const struct compare *c)
{
	bool any = false;

	for (size_t i = 0; i < t->keys.count; i++) {
		const struct twin_row *row = row_at(&t->keys.at[i], t->rev);
		struct kv kv;

		if (!row || !in_range(blob_slice(t->keys.at[i].key), c->key, c->range_end))
			continue;
		ASSERT(kv_decode(blob_slice(row->bytes), &kv) == OK);
		any = true;
		if (!compare_one(c, &kv))
			return false;
	}
	return any || (c->target != 3 && compare_one(c, &(struct kv){0}));
}

struct decisions {
	VEC(bool) list;
	size_t at;
};

static void decide(const struct twin *t, const struct txn_req *r, struct decisions *d)
{
	bool ok = true;

	for (size_t i = 0; i < r->compare_count; i++)
		ok = ok && compare_all(t, &r->compares[i]);
	VEC_PUSH(&d->list, ok);
	for (size_t i = 0; i < (ok ? r->success_count : r->failure_count); i++) {
		const struct request_op *op = ok ? &r->success[i] : &r->failure[i];

		if (op->kind == OP_TXN)
			decide(t, op->txn, d);
	}
}

static err_t validate(const struct twin *t, const struct txn_req *r, struct decisions *d)
{
	bool ok = d->list.at[d->at++];
	err_t err = OK;

	for (size_t i = 0; i < (ok ? r->success_count : r->failure_count) && !err; i++) {
		const struct request_op *op = ok ? &r->success[i] : &r->failure[i];

		if (op->kind == OP_RANGE && op->range.revision != 0)
			err = op->range.revision > t->rev           ? ERR_FUTURE_REV
			      : op->range.revision < t->compact_rev ? ERR_COMPACTED
								    : OK;
		else if (op->kind == OP_PUT)
			err = put_check(t, &op->put);
		else if (op->kind == OP_TXN)
			err = validate(t, op->txn, d);
	}
	return err;
}

static void header(struct buf *out, int64_t rev)
{
	size_t mark = pb_begin(out, 1);

	pb_put_uint(out, 3, (uint64_t)rev);
	pb_end(out, mark);
}

static void execute(struct twin *t, const struct txn_req *r, struct decisions *d, struct buf *out)
{
	bool ok = d->list.at[d->at++];

	pb_put_uint(out, 2, ok);
	for (size_t i = 0; i < (ok ? r->success_count : r->failure_count); i++) {
		const struct request_op *op = ok ? &r->success[i] : &r->failure[i];
		size_t outer = pb_begin(out, 3), inner = pb_begin(out, (uint32_t)op->kind);
		struct buf body;

		buf_init(&body, SIZE_MAX);
		switch (op->kind) {
		case OP_RANGE:
			header(out, t->rev + (t->changes > 0));
			ASSERT(twin_range(t, &op->range, &body) == OK);
			break;
		case OP_PUT:
			header(out, t->rev + 1);
			put_do(t, &op->put, &body);
			break;
		case OP_DELETE:
			delete_do(t, &op->del, &body);
			header(out, t->rev + (t->changes > 0));
			break;
		case OP_TXN:
			header(out, 0);
			execute(t, op->txn, d, &body);
			break;
		case OP_NONE:
			break;
		}
		buf_put_slice(out, buf_slice(&body));
		buf_fini(&body);
		pb_end(out, inner);
		pb_end(out, outer);
	}
}

err_t twin_txn(struct twin *t, const struct txn_req *r, struct buf *out)
{
	struct decisions d = {0};
	err_t err;

	buf_clear(&t->events);
	decide(t, r, &d);
	err = validate(t, r, &d);
	d.at = 0;
	if (!err)
		execute(t, r, &d, out);
	finish(t);
	VEC_FREE(&d.list);
	return err;
}

/* ---- compaction, hash ---- */

/* Index of the row that compaction at rev keeps of those with main <= rev, by walking the generations; -1 none. */
static ptrdiff_t kept(const struct twin_key *k, int64_t rev, size_t *generation_begin)
{
	size_t begin = 0, end;
	ptrdiff_t last = -1;

	for (;;) {
		for (end = begin; end < k->rows.count && !k->rows.at[end].tombstone; end++)
			;
		if (end == k->rows.count || k->rows.at[end].rev.main >= rev)
			break;
		begin = end + 1;
	}
	for (size_t i = begin; i < k->rows.count && i <= end; i++)
		if (k->rows.at[i].rev.main <= rev)
			last = (ptrdiff_t)i;
	*generation_begin = begin;
	return last;
}

static void sweep(struct twin *t, int64_t rev)
{
	size_t n = 0;

	for (size_t i = 0; i < t->keys.count; i++) {
		struct twin_key *k = &t->keys.at[i];
		size_t begin, cut;
		ptrdiff_t keep = kept(k, rev, &begin);

		cut = keep < 0 ? begin : (size_t)keep;
		for (size_t j = 0; j < cut; j++)
			blob_unref(k->rows.at[j].bytes);
		memmove(k->rows.at, k->rows.at + cut, (k->rows.count - cut) * sizeof(k->rows.at[0]));
		k->rows.count -= cut;
		if (k->rows.count) {
			t->keys.at[n++] = *k;
		} else {
			VEC_FREE(&k->rows);
			blob_unref(k->key);
		}
	}
	t->keys.count = n;
}

err_t twin_compact(struct twin *t, int64_t rev, bool keep_hash)
{
	if (rev <= t->compact_rev)
		return ERR_COMPACTED;
	if (rev > t->rev)
		return ERR_FUTURE_REV;
	if (keep_hash) {
		if (t->hash_count == 10)
			memmove(&t->hashes[0], &t->hashes[1], 9 * sizeof(t->hashes[0]));
		else
			t->hash_count++;
		t->hashes[t->hash_count - 1] =
		    (struct twin_hash){rev, t->compact_rev, twin_hash(t, rev, t->compact_rev, true)};
	}
	t->compact_rev = rev;
	sweep(t, rev);
	return OK;
}

static int by_rev(const void *a, const void *b)
{
	return rev_cmp((*(const struct twin_row *const *)a)->rev, (*(const struct twin_row *const *)b)->rev);
}

uint32_t twin_hash(const struct twin *t, int64_t rev, int64_t compact_rev, bool compaction)
{
	VEC(const struct twin_row *) rows = {0}, keep = {0};
	uint32_t crc = crc32c(0, "key", 3);

	for (size_t i = 0; i < t->keys.count; i++) {
		const struct twin_key *k = &t->keys.at[i];
		size_t begin;
		ptrdiff_t j = kept(k, rev, &begin);

		if (j >= 0 && (!k->rows.at[j].tombstone || (compaction && k->rows.at[j].rev.main == rev)))
			VEC_PUSH(&keep, &k->rows.at[j]);
		/* What the compaction took is not there, also where the caller's twin was never swept: of the rows up to it one
		 * stays, and a put behind a delete in the very txn that it was at is gone with the rest. */
		j = kept(k, compact_rev, &begin);
		for (size_t r = j < 0 ? begin : (size_t)j; r < k->rows.count; r++)
			if (k->rows.at[r].rev.main > compact_rev || (ptrdiff_t)r == j)
				VEC_PUSH(&rows, &k->rows.at[r]);
	}
	if (rows.count)
		qsort(rows.at, rows.count, sizeof(rows.at[0]), by_rev);
	for (size_t i = 0; i < rows.count; i++) {
		const struct twin_row *r = rows.at[i];
		uint8_t key[REV_KEY_SIZE_MAX];
		bool is_kept = false;

		if (r->rev.main > rev)
			continue;
		for (size_t j = 0; j < keep.count; j++)
			is_kept |= keep.at[j] == r;
		if (r->rev.main <= compact_rev && keep.count && !is_kept)
			continue;
		if (r->rev.main == compact_rev && r->tombstone)
			continue;
		crc = crc32c(crc, key, rev_key_write(r->rev, r->tombstone, key));
		crc = crc32c(crc, r->bytes->data, r->bytes->size);
	}
	VEC_FREE(&rows);
	VEC_FREE(&keep);
	return crc;
}
