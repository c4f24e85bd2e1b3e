/* Compaction.
 *
 *	mvcc_compact: compact_rev moves, the schedule is written
 *	     |
 *	  HASHING ---- hash done or failed ----> pass: keys that have something old, in key order
 *	                                          |  up to min(goal, lowest hold)
 *	  HELD <--- goal not reached: a hold ----+
 *	     \---- hold released ---> next pass  |
 *	                                          +--- goal reached: finishedCompactRev, IDLE
 *
 * Index and rows go together, key by key, oldest first, all of a key within one step: a buffer that is frozen
 * between steps never leaves an old row behind without the tombstone above it. A restart resumes from the
 * schedule; what was removed before is simply no longer found. */
#include "base/bug.h"
#include "mvcc/mvcc_int.h"

static void meta_put_rev(struct mvcc *m, struct slice name, int64_t rev)
{
	uint8_t key[REV_KEY_SIZE_MAX];
	size_t size = rev_key_write((struct rev){rev, 0}, false, key);

	backend_put(m->backend, BUCKET_META, name, slice_of(key, size));
}

err_t mvcc_compact(struct mvcc *m, int64_t rev)
{
	struct compaction *c = &m->compaction;

	ASSERT(m->changes == 0);
	if (rev <= m->compact_rev)
		return ERR_COMPACTED;
	if (rev > m->rev)
		return ERR_FUTURE_REV;
	if (!c->active) {
		/* as upstream: a hash is worth keeping only if the compaction before had ended */
		c->active = true;
		c->wants_hash = true;
		c->hash_rev = rev;
		c->hash_before = m->compact_rev;
	}
	c->goal = rev;
	m->compact_rev = rev;
	meta_put_rev(m, SLICE_LIT("scheduledCompactRev"), rev);
	return OK;
}

bool mvcc_compact_wants_hash(const struct mvcc *m, int64_t *rev, int64_t *compact_rev_before)
{
	if (!m->compaction.wants_hash)
		return false;
	*rev = m->compaction.hash_rev;
	*compact_rev_before = m->compaction.hash_before;
	return true;
}

void mvcc_compact_hash_failed(struct mvcc *m)
{
	m->compaction.wants_hash = false;
}

void mvcc_compact_hashed(struct mvcc *m, uint32_t crc)
{
	struct compaction *c = &m->compaction;
	struct mvcc_hash_result h = {crc, c->hash_rev, c->hash_before};
	struct mvcc_hashes *old = m->hashes, *new;
	size_t skip = old->count == HASHES_MAX;

	ASSERT(c->wants_hash);
	c->wants_hash = false;
	new = slab_get(m->tree.slab, sizeof(*new));
	new->count = old->count - skip;
	memcpy(new->at, old->at + skip, new->count * sizeof(new->at[0]));
	ASSERT(!new->count || new->at[new->count - 1].rev < h.rev);
	new->at[new->count++] = h;
	m->hashes = new;
	index_discard(&m->tree, old, sizeof(*old));
}

static int64_t reachable(const struct mvcc *m)
{
	int64_t goal = m->compaction.goal;

	return m->holds.count && !BUG(HOLD_IGNORED) ? MIN(goal, m->holds.at[0].rev) : goal;
}

enum mvcc_compact_state mvcc_compact_state(const struct mvcc *m)
{
	const struct compaction *c = &m->compaction;

	if (!c->active)
		return MVCC_COMPACT_IDLE;
	if (c->wants_hash)
		return MVCC_COMPACT_HASHING;
	return c->in_pass || reachable(m) > c->done_rev ? MVCC_COMPACT_MORE : MVCC_COMPACT_HELD;
}

int64_t mvcc_compact_finished_rev(const struct mvcc *m)
{
	return m->compaction.finished_rev;
}

/* Rows [from, to) of r's revisions, oldest first. */
static void delete_rows(struct mvcc *m, const struct record *r, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct past p = record_at(r, i);

		backend_delete_row(m->backend, past_rev(&p), past_dead(&p));
	}
	m->stats.compacted_rows += to - from;
}

static struct history *history_tail(struct index *t, const struct record *r, uint32_t from)
{
	uint32_t room = r->history_count - from;
	struct history *h;

	if (!room)
		return NULL;
	h = slab_get(t->slab, sizeof(*h) + room * sizeof(struct past));
	h->room = room;
	h->unused = 0;
	memcpy(h->at, &r->history->at[from], room * sizeof(struct past));
	return h;
}

/* The oldest count revisions of r go from the index; their rows are gone. */
static void trim(struct mvcc *m, struct record *r, uint32_t count)
{
	struct index *t = &m->tree;
	struct history *h = r->history;

	if (count == record_revisions(r)) {
		index_remove(t, record_key(r));
	} else {
		struct record *n = slab_get(t->slab, record_size(r));

		memcpy(n, r, record_size(r));
		n->history = history_tail(t, r, count);
		n->history_count -= count;
		index_replace(t, n);
		t->revisions -= count;
	}
	index_discard(t, h, h ? history_size(h) : 0);
	index_discard(t, r, record_size(r));
}

static void pass_begin(struct mvcc *m)
{
	struct compaction *c = &m->compaction;

	c->in_pass = true;
	c->pass_rev = reachable(m);
	m->trim_rev = MAX(m->trim_rev, c->pass_rev);
	buf_clear(&c->last);
	ASSERT(c->rows_gone == 0);
}

static void pass_end(struct mvcc *m)
{
	struct compaction *c = &m->compaction;

	c->in_pass = false;
	c->done_rev = c->pass_rev;
	if (c->done_rev < c->goal)
		return;
	c->active = false;
	c->finished_rev = c->goal;
	meta_put_rev(m, SLICE_LIT("finishedCompactRev"), c->goal);
}

enum mvcc_compact_state mvcc_compact_step(struct mvcc *m, size_t budget)
{
	struct compaction *c = &m->compaction;

	ASSERT(m->changes == 0);
	if (mvcc_compact_state(m) != MVCC_COMPACT_MORE)
		return mvcc_compact_state(m);
	if (!c->in_pass)
		pass_begin(m);
	for (size_t used = 0; used < budget;) {
		/* A key that is half done comes first: one in front of it may have become old meanwhile, and is not due. */
		struct record *r = index_seek_old(m->tree.root, buf_slice(&c->last), c->last.size > 0 && !c->rows_gone);

		ASSERT(!c->rows_gone || (r && slice_eq(record_key(r), buf_slice(&c->last))));
		if (!r) {
			pass_end(m);
			break;
		}
		uint32_t count = record_obsolete(r, c->pass_rev), gone = c->rows_gone;
		uint32_t end = (uint32_t)MIN(count, gone + (budget - used));

		/* A key with many revisions takes several steps: rows first, then the index at once. */
		delete_rows(m, r, gone, end);
		used += 1 + end - gone;
		if (!gone) {
			buf_clear(&c->last);
			buf_put_slice(&c->last, record_key(r));
		}
		c->rows_gone = end < count ? end : 0;
		if (end < count)
			break;
		if (count)
			trim(m, r, count);
	}
	return mvcc_compact_state(m);
}
