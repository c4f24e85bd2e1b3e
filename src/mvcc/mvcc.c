/* The store as a whole: birth, publication, holds, figures. */
#include "mvcc/mvcc_int.h"

#include "base/epoch.h"

struct mvcc *mvcc_new(const struct mvcc_config *cfg)
{
	struct mvcc *m = NEW(struct mvcc);

	ASSERT(cfg->backend && cfg->epoch);
	index_init(&m->tree, slab_new());
	m->backend = cfg->backend;
	m->epoch = cfg->epoch;
	m->lease = cfg->lease;
	m->lease_arg = cfg->lease_arg;
	m->rev = 1;
	m->published_rev = 0;
	m->compact_rev = m->trim_rev = -1;
	m->compaction.goal = m->compaction.pass_rev = m->compaction.done_rev = m->compaction.finished_rev = -1;
	buf_init(&m->compaction.last, SIZE_MAX);
	m->hashes = slab_get(m->tree.slab, sizeof(*m->hashes));
	m->hashes->count = 0;
	return m;
}

void mvcc_free(struct mvcc *m)
{
	if (!m)
		return;
	ASSERT(m->garbage_out == 0);
	if (m->unpublished) {
		VEC_FREE(&m->unpublished->items);
		mem_free(m->unpublished);
	}
	index_fini(&m->tree); /* the slab takes every piece with it */
	buf_fini(&m->compaction.last);
	VEC_FREE(&m->holds);
	mem_free(m);
}

int64_t mvcc_revision(const struct mvcc *m)
{
	return m->rev;
}

int64_t mvcc_compact_revision(const struct mvcc *m)
{
	return m->compact_rev;
}

struct mvcc_view mvcc_view_now(const struct mvcc *m)
{
	struct mvcc_view v = {
	    .root = m->tree.root,
	    .rev = m->rev + (m->changes > 0),
	    .compact_rev = m->compact_rev,
	    .trim_rev = m->trim_rev,
	    .live_count = index_live(m->tree.root),
	    .hashes = m->hashes,
	};

	backend_view_get(m->backend, &v.rows);
	return v;
}

err_t mvcc_row(const struct mvcc *m, struct rev rev, struct slice *out)
{
	struct backend_view rows;

	backend_view_get(m->backend, &rows);
	return backend_view_row(&rows, rev, out);
}

static struct garbage *garbage_new(struct index *t)
{
	struct garbage *g = NEW(struct garbage);

	g->slab = t->slab;
	return g;
}

void mvcc_publish(struct mvcc *m, struct mvcc_view *out)
{
	ASSERT(m->changes == 0); /* M2 */
	*out = mvcc_view_now(m);
	m->published_rev = m->rev;
	m->tree.batch++; /* T2, R4: what was made so far is frozen */
	if (!m->unpublished) {
		m->unpublished = m->tree.garbage;
		m->tree.garbage = garbage_new(&m->tree);
		return;
	}
	for (size_t i = 0; i < m->tree.garbage->items.count; i++)
		VEC_PUSH(&m->unpublished->items, m->tree.garbage->items.at[i]);
	m->tree.garbage->items.count = 0;
}

void mvcc_published(struct mvcc *m)
{
	struct garbage *g = m->unpublished;

	backend_published(m->backend);
	if (!g)
		return;
	m->unpublished = NULL;
	if (!g->items.count) {
		index_garbage_free(g);
		return;
	}
	g->out = &m->garbage_out;
	m->garbage_out++;
	epoch_retire(m->epoch, g, index_garbage_free);
}

bool mvcc_hold(struct mvcc *m, int64_t rev)
{
	struct hold h = {rev, 1};
	size_t i = 0;

	if (rev < m->trim_rev)
		return false;
	while (i < m->holds.count && m->holds.at[i].rev < rev)
		i++;
	if (i < m->holds.count && m->holds.at[i].rev == rev) {
		m->holds.at[i].count++;
		return true;
	}
	VEC_PUSH(&m->holds, h);
	memmove(&m->holds.at[i + 1], &m->holds.at[i], (m->holds.count - 1 - i) * sizeof(h));
	m->holds.at[i] = h;
	return true;
}

void mvcc_release(struct mvcc *m, int64_t rev)
{
	size_t i = 0;

	while (i < m->holds.count && m->holds.at[i].rev != rev)
		i++;
	ASSERT(i < m->holds.count);
	if (--m->holds.at[i].count)
		return;
	m->holds.count--;
	memmove(&m->holds.at[i], &m->holds.at[i + 1], (m->holds.count - i) * sizeof(m->holds.at[0]));
}

void mvcc_holds_take(struct mvcc *m, struct mvcc *from, void (*lost)(void *arg, int64_t rev), void *arg)
{
	for (size_t i = 0; i < from->holds.count; i++) {
		const struct hold *h = &from->holds.at[i];

		for (size_t k = 0; k < h->count; k++)
			if (!mvcc_hold(m, h->rev))
				lost(arg, h->rev);
	}
	from->holds.count = 0;
}

void mvcc_stats(const struct mvcc *m, struct mvcc_stats *out)
{
	*out = m->stats;
	out->keys = m->tree.count;
	out->live_keys = index_live(m->tree.root);
	out->revisions = m->tree.revisions;
	out->index_bytes = slab_bytes(m->tree.slab);
}

static void check_rows(const struct mvcc *m)
{
	struct mvcc_view v = mvcc_view_now(m);
	const struct compaction *c = &m->compaction;
	const struct record *going = c->rows_gone ? index_find(m->tree.root, buf_slice(&c->last)) : NULL;
	struct index_iter it;

	for (const struct record *r = index_seek(m->tree.root, SLICE_LIT(""), false, &it); r; r = index_next(&it)) {
		for (uint32_t i = r == going ? c->rows_gone : 0; i < record_revisions(r); i++) {
			struct past p = record_at(r, i);
			struct slice row;
			struct kv kv;

			ASSERT(backend_view_row(&v.rows, past_rev(&p), &row) == OK); /* M3 */
			ASSERT(row.size == p.row_size);
			ASSERT(kv_decode(row, &kv) == OK);
			ASSERT(slice_eq(kv.key, record_key(r)));
			if (past_dead(&p))
				continue;
			ASSERT(kv.create_rev == p.create);
			ASSERT(kv.version == p.version);
			ASSERT(i + 1 < record_revisions(r) || record_leased(r) == (kv.lease != 0));
		}
	}
}

void mvcc_check(const struct mvcc *m, bool rows)
{
	ASSERT(m->compact_rev <= m->rev); /* M1 */
	ASSERT(m->trim_rev <= m->compact_rev);
	ASSERT(m->changes == 0);
	ASSERT(m->published_rev <= m->rev);
	for (size_t i = 0; i < m->holds.count; i++) {
		ASSERT(m->holds.at[i].rev >= m->trim_rev); /* M4 */
		ASSERT(m->holds.at[i].count > 0);
	}
	index_check(&m->tree);
	if (rows)
		check_rows(m);
}
