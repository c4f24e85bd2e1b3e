/* The start: rows of the file, in revision order, become an index in key order.
 *
 *	1. one pass over the rows: an item for each (key: still in its page), greatest revision
 *	2. items sorted by key, those of one key staying in revision order
 *	3. each run of one key: a record with its history; leases; the tree is built from full leaves
 *
 * Sorting: by 8 bytes of the key at a time, from where the keys of a run begin to differ, as integers; runs that
 * are equal so far go on with the next 8. Deep runs (long common prefixes of many keys) fall back to comparing. */
#include "mvcc/mvcc_int.h"

#include "base/endian.h"

enum { SORT_DEPTH_MAX = 64, SORT_SMALL = 16 };

struct item {
	const uint8_t *key;
	uint32_t key_size;
	uint32_t row_size;
	int64_t main;
	int64_t create;
	int64_t version;
	uint32_t sub_tombstone;
	int64_t lease;
};

struct ref {
	uint64_t head;
	uint32_t item;
};

struct load {
	struct mvcc *m;
	VEC(struct item) items;
	VEC(struct ref) refs;
	struct ref *scratch;
	struct why *why;
};

static struct slice item_key(const struct load *l, const struct ref *r)
{
	const struct item *i = &l->items.at[r->item];

	return slice_of(i->key, i->key_size);
}

/* ---- 1. rows ---- */

static err_t bad_row(struct load *l, struct rev rev, const char *what)
{
	return why_set(l->why, ERR_CORRUPT_FILE, "row %lld/%lld of bucket key: %s", (long long)rev.main, (long long)rev.sub, what);
}

static err_t take_row(struct load *l, const struct backend_row *row)
{
	struct kv kv;

	if (kv_decode(row->value, &kv) != OK)
		return bad_row(l, row->rev, "not an encoded KeyValue");
	if (row->rev.sub < 0 || row->rev.sub > INT32_MAX - 1 || row->rev.main < 1)
		return bad_row(l, row->rev, "impossible revision");
	if (row->value.size > UINT32_MAX || kv.key.size > UINT32_MAX >> 1 || l->items.count == UINT32_MAX)
		return bad_row(l, row->rev, "too large");
	struct item i = {
		.key = kv.key.data, .key_size = (uint32_t)kv.key.size, .row_size = (uint32_t)row->value.size, .main = row->rev.main,
		.create = row->tombstone ? 0 : kv.create_rev, .version = row->tombstone ? 0 : kv.version,
		.sub_tombstone = (uint32_t)row->rev.sub << 1 | row->tombstone, .lease = row->tombstone ? 0 : kv.lease,
	};
	struct ref r = {0, (uint32_t)l->items.count};

	VEC_PUSH(&l->items, i);
	VEC_PUSH(&l->refs, r);
	l->m->rev = MAX(l->m->rev, row->rev.main);
	return OK;
}

static err_t take_rows(struct load *l, const struct backend_view *rows)
{
	struct backend_cursor c;
	struct backend_row row;
	bool found = true;
	err_t err = OK;

	backend_cursor_init(&c, rows, (struct rev){0, 0});
	while (!err && found) {
		err = backend_cursor_next(&c, &row, &found);
		if (err)
			err = why_set(l->why, err, "bucket key: a row cannot be read");
		else if (found)
			err = take_row(l, &row);
	}
	backend_cursor_fini(&c);
	return err;
}

/* ---- 2. sorting ---- */

static uint64_t head_at(struct slice key, size_t depth)
{
	uint8_t padded[8] = {0};

	if (key.size >= depth + 8)
		return be64_get(key.data + depth);
	if (key.size > depth)
		memcpy(padded, key.data + depth, key.size - depth);
	return be64_get(padded);
}

static int ref_cmp(const struct load *l, const struct ref *a, const struct ref *b)
{
	int c = slice_cmp(item_key(l, a), item_key(l, b));

	return c ? c : (a->item > b->item) - (a->item < b->item);
}

static int ref_cmp_qsort(const void *a, const void *b, void *l)
{
	return ref_cmp(l, a, b);
}

static void sort_small(const struct load *l, struct ref *r, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct ref x = r[i];
		size_t j = i;

		for (; j && ref_cmp(l, &x, &r[j - 1]) < 0; j--)
			r[j] = r[j - 1];
		r[j] = x;
	}
}

/* Stable, by head: byte by byte from the lowest, bytes that are equal in all skipped. */
static void sort_heads(struct load *l, struct ref *r, size_t n)
{
	struct ref *from = r, *to = l->scratch;
	uint64_t all = UINT64_MAX, any = 0;

	for (size_t i = 0; i < n; i++) {
		all &= r[i].head;
		any |= r[i].head;
	}
	for (unsigned shift = 0; shift < 64; shift += 8) {
		size_t at[256] = {0}, sum = 0;

		if (!((all ^ any) >> shift & 255))
			continue;
		for (size_t i = 0; i < n; i++)
			at[from[i].head >> shift & 255]++;
		for (unsigned b = 0; b < 256; b++) {
			size_t count = at[b];

			at[b] = sum;
			sum += count;
		}
		for (size_t i = 0; i < n; i++)
			to[at[from[i].head >> shift & 255]++] = from[i];
		struct ref *t = from;

		from = to;
		to = t;
	}
	if (from != r)
		memcpy(r, from, n * sizeof(*r));
}

static size_t shared_prefix(const struct load *l, const struct ref *r, size_t n, size_t depth)
{
	struct slice a = item_key(l, &r[0]);
	size_t shared = a.size;

	for (size_t i = 1; i < n && shared > depth; i++) {
		struct slice b = item_key(l, &r[i]);
		size_t max = MIN(shared, b.size), k = depth;

		while (k + 8 <= max && le64_get(a.data + k) == le64_get(b.data + k))
			k += 8;
		while (k < max && a.data[k] == b.data[k])
			k++;
		shared = k;
	}
	return shared;
}

/* All keys of r[0..n) share their first depth bytes, and come in the order of their revisions. */
static void sort_keys(struct load *l, struct ref *r, size_t n, size_t depth, unsigned level)
{
	if (n <= SORT_SMALL) {
		sort_small(l, r, n);
		return;
	}
	if (level == SORT_DEPTH_MAX) {
		qsort_r(r, n, sizeof(*r), ref_cmp_qsort, l);
		return;
	}
	depth = shared_prefix(l, r, n, depth);
	for (size_t i = 0; i < n; i++)
		r[i].head = head_at(item_key(l, &r[i]), depth);
	sort_heads(l, r, n);
	for (size_t i = 0, j; i < n; i = j) {
		bool longer = false, differ = false;

		for (j = i; j < n && r[j].head == r[i].head; j++) {
			struct slice k = item_key(l, &r[j]);

			longer |= k.size > depth + 8;
			differ |= k.size != item_key(l, &r[i]).size;
		}
		/* keys that end within these 8 bytes and are as long as each other are the same key */
		if (j - i > 1 && (longer || differ)) {
			if (j - i == n)
				qsort_r(r, n, sizeof(*r), ref_cmp_qsort, l);    /* they differ in trailing zeros */
			else
				sort_keys(l, r + i, j - i, depth, level + 1);
		}
	}
}

/* ---- 3. records ---- */

static struct past item_past(const struct item *i)
{
	return (struct past){i->main, i->create, i->version, i->sub_tombstone, i->row_size};
}

/* Items [from, to) of the sorted order are one key. */
static struct record *make_record(struct load *l, size_t from, size_t to)
{
	const struct item *head = &l->items.at[l->refs.at[to - 1].item];
	struct slab *slab = l->m->tree.slab;
	struct record *r = slab_get(slab, sizeof(*r) + head->key_size);

	*r = (struct record){
		.main = head->main, .create = head->create, .version = head->version, .sub_tombstone = head->sub_tombstone,
		.row_size = head->row_size, .key_size_leased = head->key_size << 1 | (head->lease != 0),
		.history_count = (uint32_t)(to - from - 1),
	};
	memcpy(r->key, head->key, head->key_size);
	if (!r->history_count)
		return r;
	r->history = slab_get(slab, sizeof(*r->history) + r->history_count * sizeof(struct past));
	r->history->room = r->history_count;
	r->history->unused = 0;
	for (size_t i = from; i + 1 < to; i++)
		r->history->at[i - from] = item_past(&l->items.at[l->refs.at[i].item]);
	return r;
}

static void build(struct load *l)
{
	struct mvcc *m = l->m;
	struct tree_builder b;

	tree_build_begin(&b, &m->tree);
	for (size_t i = 0, j; i < l->refs.count; i = j) {
		struct slice key = item_key(l, &l->refs.at[i]);

		for (j = i + 1; j < l->refs.count && slice_eq(key, item_key(l, &l->refs.at[j])); j++)
			;
		struct record *r = make_record(l, i, j);

		tree_build_add(&b, r);
		if (record_leased(r) && m->lease.attach)
			m->lease.attach(m->lease_arg, l->items.at[l->refs.at[j - 1].item].lease, record_key(r));
	}
	tree_build_end(&b);
}

static void restore_compaction(struct mvcc *m, int64_t scheduled, int64_t finished)
{
	struct compaction *c = &m->compaction;

	if (finished >= 0)
		m->compact_rev = c->finished_rev = c->done_rev = c->goal = finished;
	m->rev = MAX(m->rev, MAX(finished, scheduled));
	if (scheduled > m->compact_rev) {
		m->compact_rev = c->goal = scheduled;
		c->active = true;       /* interrupted: no hash is kept of it */
	}
	m->trim_rev = m->compact_rev;
}

err_t mvcc_load(struct mvcc *m, const struct backend_view *rows, int64_t scheduled_compact_rev, int64_t finished_compact_rev,
		struct why *why)
{
	struct load l = {.m = m, .why = why};

	ASSERT(m->tree.count == 0 && m->published_rev == 0);
	err_t err = take_rows(&l, rows);

	if (!err) {
		l.scratch = NEW_ARRAY(struct ref, l.refs.count + 1);
		sort_keys(&l, l.refs.at, l.refs.count, 0, 0);
		build(&l);
		restore_compaction(m, scheduled_compact_rev, finished_compact_rev);
	}
	mem_free(l.scratch);
	VEC_FREE(&l.items);
	VEC_FREE(&l.refs);
	return err;
}
