#include "mvcc/record.h"

/* Revisions with main <= rev: 0 .. count. */
static uint32_t upto(const struct record *r, int64_t rev)
{
	uint32_t low = 0, high = r->history_count;

	if (r->main <= rev)
		return record_revisions(r);
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (r->history->at[mid].main <= rev)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool record_find(const struct record *r, int64_t rev, struct past *out)
{
	uint32_t n = upto(r, rev);

	if (!n)
		return false;
	*out = record_at(r, n - 1);
	return true;
}

bool record_live_at(const struct record *r, int64_t rev, struct past *out)
{
	struct past p;

	if (!record_find(r, rev, &p) || past_dead(&p))
		return false;
	*out = p;
	return true;
}

/* What a compaction at rev keeps of the revisions with main <= rev, as upstream's walk over generations gives it
 * (etcd v3.7.1, server/storage/mvcc/key_index.go): generations closed by a tombstone below rev are passed over; in
 * the next one the last revision with main <= rev stays. A tombstone at rev itself ends that generation, so it
 * is the one that stays even if the key was put again in the same revision.
 *
 *	p2 p3 t5 | p7 p9 t9 | p9        at 6: none (5 is passed, 7 is above); at 8: p7; at 9: t9
 *
 * Returns the index, or record_revisions() if none stays; *below is the number of revisions with main < rev. */
static uint32_t kept_at(const struct record *r, int64_t rev, uint32_t *below)
{
	uint32_t u = upto(r, rev - 1), v = upto(r, rev);

	*below = u;
	for (uint32_t i = u; i < v; i++) {
		struct past p = record_at(r, i);

		if (past_dead(&p))
			return i;
	}
	if (v > u)
		return v - 1;
	if (u) {
		struct past p = record_at(r, u - 1);

		if (!past_dead(&p))
			return u - 1;
	}
	return record_revisions(r);
}

uint32_t record_obsolete(const struct record *r, int64_t rev)
{
	uint32_t below, kept = kept_at(r, rev, &below);

	return kept == record_revisions(r) ? below : kept;
}

bool record_keeps(const struct record *r, int64_t rev, struct rev *kept)
{
	uint32_t below, i = kept_at(r, rev, &below);

	if (i == record_revisions(r))
		return false;
	struct past p = record_at(r, i);

	if (past_dead(&p))
		return false;
	*kept = past_rev(&p);
	return true;
}
