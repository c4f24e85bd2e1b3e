/* The start: rows become an index in key order.
 *
 *	1. a record for each row, as if it were its key's only one, one behind the other in chunks
 *	2. references to them sorted by key, those of one key by revision
 *	3. each run of one key: a copy of its last record, with the others as its history, goes to the slab, so that
 *	   records lie in the order of their keys; the tree is built from full leaves; the chunks are freed
 *
 * 2 and 3 are done in two parts, below and not below a key from the middle of a sample, beside each other.
 *
 * Rows that do not come in the order of their revisions are brought into it first; all sorting is stable.
 *
 * Sorting by key: 8 bytes of the key at a time, as integers, by radix, from where the keys of a run begin to differ;
 * runs that are equal so far go on with the next 8. Runs still equal after many rounds are compared key by key. */
#include "mvcc/mvcc_int.h"
#include "mvcc/index_inl.h"

enum {
	SORT_ROUNDS_MAX = 64,
	SORT_SMALL = 24,
	AHEAD = 12,
	CHUNK_BYTES = 1 << 20,
	TOUCH_REFS = 1 << 16,
	PARTS_FROM_ROWS = 1 << 10,
	BESIDE_FROM_ROWS = 1 << 14, /* what a thread is worth */
	PIVOT_SAMPLE = 255,
};

struct ref {
	uint64_t head;
	struct record *record;
};

struct load_chunk {
	struct load_chunk *next;
	size_t left;
	uint8_t *at;
	_Alignas(8) uint8_t data[];
};

struct mvcc_loader {
	struct load_chunk *chunks;
	VEC(struct ref) refs;
	size_t refs_touched;
	struct ref *scratch;
	bool unordered;
	struct rev first, last;
};

struct mvcc_loader *mvcc_loader_new(void)
{
	return NEW(struct mvcc_loader);
}

void mvcc_loader_join(struct mvcc_loader *l, struct mvcc_loader *take_behind)
{
	struct load_chunk **last = &l->chunks;

	while (*last)
		last = &(*last)->next;
	*last = take_behind->chunks;
	take_behind->chunks = NULL;
	if (take_behind->refs.count) {
		l->unordered |= take_behind->unordered || rev_cmp(l->last, take_behind->first) >= 0;
		l->last = take_behind->last;
		VEC_RESERVE(&l->refs, l->refs.count + take_behind->refs.count);
		memcpy(l->refs.at + l->refs.count, take_behind->refs.at, take_behind->refs.count * sizeof(struct ref));
		l->refs.count += take_behind->refs.count;
		mem_free(l->scratch);
		l->scratch = take_behind->refs.at; /* resident already: a part of what sorting needs */
		memset(&take_behind->refs, 0, sizeof(take_behind->refs));
	}
	mvcc_loader_free(take_behind);
}

void mvcc_loader_free(struct mvcc_loader *l)
{
	if (!l)
		return;
	while (l->chunks) {
		struct load_chunk *c = l->chunks;

		l->chunks = c->next;
		mem_free(c);
	}
	VEC_FREE(&l->refs);
	mem_free(l->scratch);
	mem_free(l);
}

static struct record *load_record(struct mvcc_loader *l, size_t key_size)
{
	size_t size = (sizeof(struct record) + key_size + 7) & ~(size_t)7;
	struct load_chunk *c = l->chunks;

	if (!c || c->left < size) {
		size_t room = MAX(size, CHUNK_BYTES - sizeof(*c));

		c = mem_alloc(sizeof(*c) + room);
		if (l->chunks)
			mem_touch(c, sizeof(*c) + room);
		*c = (struct load_chunk){.next = l->chunks, .left = room, .at = c->data};
		l->chunks = c;
	}
	struct record *r = (struct record *)c->at;

	c->at += size;
	c->left -= size;
	return r;
}

/* ---- 1. rows ---- */

static err_t bad_row(struct why *why, struct rev rev, const char *what)
{
	return why_set(why, ERR_CORRUPT_FILE, "row %lld/%lld of bucket key: %s", (long long)rev.main,
		       (long long)rev.sub, what);
}

static err_t take_row(struct mvcc_loader *l, struct rev rev, bool tombstone, struct slice value, struct why *why)
{
	struct kv kv;

	if (kv_decode(value, &kv) != OK)
		return bad_row(why, rev, "not an encoded KeyValue");
	if (rev.sub < 0 || rev.sub >= INT32_MAX || rev.main < 1)
		return bad_row(why, rev, "impossible revision");
	if (value.size > UINT32_MAX || kv.key.size > UINT32_MAX >> 1)
		return bad_row(why, rev, "too large");
	struct ref ref = {0, load_record(l, kv.key.size)};
	struct record *r = ref.record;

	r->main = rev.main;
	r->create = tombstone ? 0 : kv.create_rev;
	r->version = tombstone ? 0 : kv.version;
	r->loading_lease = tombstone ? 0 : kv.lease;
	r->history_count = 0;
	r->sub_tombstone = (uint32_t)rev.sub << 1 | tombstone;
	r->row_size = (uint32_t)value.size;
	r->key_size_leased = (uint32_t)kv.key.size << 1 | (r->loading_lease != 0);
	if (kv.key.size)
		memcpy(r->key, kv.key.data, kv.key.size);
	VEC_PUSH(&l->refs, ref);
	if (l->refs.count > l->refs_touched) {
		size_t from = l->refs_touched;

		l->refs_touched = MIN(l->refs.count + TOUCH_REFS, l->refs.room);
		mem_touch(l->refs.at + from, (l->refs_touched - from) * sizeof(struct ref));
	}
	if (l->refs.count == 1)
		l->first = rev;
	l->unordered |= rev_cmp(l->last, rev) >= 0;
	l->last = rev;
	return OK;
}

err_t mvcc_loader_row(struct mvcc_loader *l, struct slice key, struct slice value, struct why *why)
{
	bool tombstone;
	struct rev rev;

	if (rev_key_read(key, &rev, &tombstone) != OK)
		return why_set(why, ERR_CORRUPT_FILE, "bucket key: a key that is no revision");
	return take_row(l, rev, tombstone, value, why);
}

err_t mvcc_loader_view(struct mvcc_loader *l, const struct backend_view *rows, struct why *why)
{
	struct backend_cursor c;
	struct backend_row row;
	bool found = true;
	err_t err = OK;

	backend_cursor_init(&c, rows, (struct rev){0, 0});
	while (!err && found) {
		err = backend_cursor_next(&c, &row, &found);
		if (err)
			err = why_set(why, err, "bucket key: a row cannot be read");
		else if (found)
			err = take_row(l, row.rev, row.tombstone, row.value, why);
	}
	return err;
}

/* ---- 2. sorting ---- */

static struct rev record_rev(const struct record *r)
{
	return (struct rev){r->main, r->sub_tombstone >> 1};
}

static int ref_cmp(const struct ref *a, const struct ref *b)
{
	int c = slice_cmp(record_key(a->record), record_key(b->record));

	return c ? c : rev_cmp(record_rev(a->record), record_rev(b->record));
}

static int ref_cmp_qsort(const void *a, const void *b)
{
	return ref_cmp(a, b);
}

static void sort_small(struct ref *r, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct ref x = r[i];
		size_t j = i;

		for (; j && ref_cmp(&x, &r[j - 1]) < 0; j--)
			r[j] = r[j - 1];
		r[j] = x;
	}
}

/* Stable, by head: byte by byte from the lowest; bytes that are equal in all are skipped. */
static void sort_heads(struct ref *r, struct ref *scratch, size_t n)
{
	struct ref *from = r, *to = scratch;
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

static void sort_revisions(struct ref *r, struct ref *scratch, size_t n)
{
	for (size_t i = 0; i < n; i++)
		r[i].head = r[i].record->sub_tombstone;
	sort_heads(r, scratch, n);
	for (size_t i = 0; i < n; i++)
		r[i].head = (uint64_t)r[i].record->main;
	sort_heads(r, scratch, n);
}

/* How many bytes beyond depth all keys share; what more there is to each is at least worth looking at. */
static size_t shared_prefix(const struct ref *r, size_t n, size_t depth)
{
	struct slice a = record_key(r[0].record);
	size_t shared = a.size;

	for (size_t i = 1; i < n && shared > depth; i++) {
		struct slice b = record_key(r[i].record);

		shared = depth + common_prefix(slice_of(a.data + depth, shared - depth),
					       slice_of(b.data + depth, b.size - depth));
	}
	return shared;
}

static void sort_keys(struct ref *r, struct ref *scratch, size_t n, size_t depth, unsigned round);

/* r[0..n) have equal heads at depth. Those that end within these 8 bytes come in the order of their lengths (they
 * differ in trailing zeros only), before all that go on. */
static void sort_run(struct ref *r, struct ref *scratch, size_t n, size_t depth, unsigned round)
{
	size_t size = record_key(r[0].record).size;
	bool longer = true, equal = true;

	for (size_t i = 0; i < n; i++) {
		size_t s = record_key(r[i].record).size;

		longer &= s >= depth + 8;
		equal &= s == size;
	}
	if (equal && size <= depth + 8)
		return; /* one key */
	if (longer)
		sort_keys(r, scratch, n, depth + 8, round + 1);
	else
		qsort(r, n, sizeof(*r), ref_cmp_qsort);
}

/* All keys of r[0..n) share their first depth bytes; equal keys are in the order of their revisions. */
static void sort_keys(struct ref *r, struct ref *scratch, size_t n, size_t depth, unsigned round)
{
	if (n <= SORT_SMALL) {
		sort_small(r, n);
		return;
	}
	if (round == SORT_ROUNDS_MAX) {
		qsort(r, n, sizeof(*r), ref_cmp_qsort);
		return;
	}
	if (round == 0 || head_of(record_key(r[0].record), depth) == head_of(record_key(r[n - 1].record), depth))
		depth = shared_prefix(r, n, depth);
	for (size_t i = 0; i < n; i++) {
		if (i + AHEAD < n)
			__builtin_prefetch(r[i + AHEAD].record);
		r[i].head = head_of(record_key(r[i].record), depth);
	}
	sort_heads(r, scratch, n);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && r[j].head == r[i].head; j++)
			;
		if (j - i > 1)
			sort_run(r + i, scratch, j - i, depth, round);
	}
}

/* ---- 3. records ---- */

/* Keys of one side of the pivot: a part of the references, sorted and made into leaves on its own. */
struct part {
	struct ref *refs;
	struct ref *scratch;
	size_t count;
	bool unordered;
	struct index *tree;
	struct index_builder builder;
	VEC(struct ref *) leased;
	int64_t rev; /* the greatest */
	err_t err;
	struct why why;
};

/* refs [from, to) are one key: a copy of the last record takes the others in. */
static err_t join(struct part *p, size_t from, size_t to, struct record **out)
{
	const struct record *head = p->refs[to - 1].record;
	uint32_t count = (uint32_t)(to - from - 1);
	struct history *h = NULL;
	struct record *r;

	if (count) {
		h = slab_get(p->tree->slab, sizeof(*h) + count * sizeof(struct past));
		h->room = count;
		h->unused = 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct record *past = p->refs[from + i].record;

		if (rev_cmp(record_rev(past), record_rev(p->refs[from + i + 1].record)) >= 0)
			return bad_row(&p->why, record_rev(past), "there twice");
		h->at[i] = record_head(past);
	}
	r = slab_get(p->tree->slab, record_size(head));
	memcpy(r, head, record_size(head));
	r->history = h;
	r->history_count = count;
	*out = r;
	return OK;
}

static err_t build(struct part *p)
{
	err_t err = OK;

	index_build_begin(&p->builder, p->tree);
	for (size_t i = 0, j; !err && i < p->count; i = j) {
		struct slice key = record_key(p->refs[i].record);
		struct record *r = NULL;

		for (j = i + 1; j < p->count && slice_eq(key, record_key(p->refs[j].record)); j++)
			;
		if (j + AHEAD < p->count)
			__builtin_prefetch(p->refs[j + AHEAD].record);
		err = join(p, i, j, &r);
		if (err)
			break;
		p->rev = MAX(p->rev, r->main);
		index_build_add(&p->builder, r);
		if (record_leased(r))
			VEC_PUSH(&p->leased, &p->refs[j - 1]);
	}
	return err;
}

static void part_load(struct part *p)
{
	if (p->unordered)
		sort_revisions(p->refs, p->scratch, p->count);
	sort_keys(p->refs, p->scratch, p->count, 0, 0);
	p->err = build(p);
}

static void low_load(void *parts)
{
	part_load(parts);
}

static void high_load(void *parts)
{
	part_load((struct part *)parts + 1);
}

/* A key with about as many rows below it as not. */
static struct slice pivot_of(const struct mvcc_loader *l)
{
	struct ref sample[PIVOT_SAMPLE];

	for (size_t i = 0; i < PIVOT_SAMPLE; i++)
		sample[i] = l->refs.at[l->refs.count / PIVOT_SAMPLE * i];
	qsort(sample, PIVOT_SAMPLE, sizeof(sample[0]), ref_cmp_qsort);
	return record_key(sample[PIVOT_SAMPLE / 2].record);
}

/* Brings the references below the pivot to the front; each side keeps its order. How many they are. */
static size_t divide(struct mvcc_loader *l)
{
	struct slice pivot = pivot_of(l);
	size_t low = 0, high = 0;

	for (size_t i = 0; i < l->refs.count; i++) {
		struct ref r = l->refs.at[i];

		if (slice_cmp(record_key(r.record), pivot) < 0)
			l->refs.at[low++] = r;
		else
			l->scratch[high++] = r;
	}
	memcpy(l->refs.at + low, l->scratch, high * sizeof(struct ref));
	return low;
}

static void attach(struct mvcc *m, struct part *p)
{
	for (size_t i = 0; i < p->leased.count && m->lease.attach; i++) {
		const struct record *r = p->leased.at[i]->record;

		m->lease.attach(m->lease_arg, r->loading_lease, record_key(r));
	}
	m->rev = MAX(m->rev, p->rev);
	VEC_FREE(&p->leased);
}

static err_t load_parts(struct mvcc *m, struct mvcc_loader *l, struct beside beside, struct why *why)
{
	size_t count = l->refs.count, low = count >= PARTS_FROM_ROWS ? divide(l) : count;
	struct index high_tree;
	struct part part[2] = {
		{l->refs.at, l->scratch, low, l->unordered, &m->tree},
		{l->refs.at + low, l->scratch + low, count - low, l->unordered, &high_tree},
	};
	err_t err;

	index_init(&high_tree, slab_new());
	beside_run(count >= BESIDE_FROM_ROWS ? beside : (struct beside){0}, low_load, high_load, part);
	err = part[0].err ? part[0].err : part[1].err;
	if (err && why)
		*why = part[0].err ? part[0].why : part[1].why;
	index_build_join(&part[0].builder, &part[1].builder);
	index_build_end(&part[0].builder);
	attach(m, &part[0]);
	attach(m, &part[1]);
	return err;
}

static void restore_compaction(struct mvcc *m, int64_t scheduled, int64_t finished)
{
	struct compaction *c = &m->compaction;

	if (finished >= 0)
		m->compact_rev = c->finished_rev = c->done_rev = c->goal = finished;
	m->rev = MAX(m->rev, MAX(finished, scheduled));
	if (scheduled > m->compact_rev) {
		m->compact_rev = c->goal = scheduled;
		c->active = true; /* interrupted: no hash is kept of it */
	}
	m->trim_rev = m->compact_rev;
}

err_t mvcc_load(struct mvcc *m, struct mvcc_loader *l, int64_t scheduled_compact_rev, int64_t finished_compact_rev,
		struct beside beside, struct why *why)
{
	ASSERT(m->tree.count == 0 && m->published_rev == 0 && m->rev == 1);
	l->scratch = mem_realloc(l->scratch, l->refs.count * sizeof(struct ref) + 1);
	mem_touch(l->scratch, l->refs.count * sizeof(struct ref));
	err_t err = load_parts(m, l, beside, why);

	mvcc_loader_free(l);
	if (!err)
		restore_compaction(m, scheduled_compact_rev, finished_compact_rev);
	return err;
}
