/* The log: every record of every segment, then whether entries, votes and snapshot marks make sense together. */
#include <inttypes.h>
#include <stdio.h>

#include "apply/apply.h"
#include "utl/check.h"
#include "wal/wal.h"

struct mark {
	uint64_t index, term;
};

struct walk {
	struct check *c;
	struct check_log *log;
	uint64_t records, entries;
	uint64_t hard_term;
	VEC(struct mark) marks;
	uint64_t unknown_index; /* the first entry that a server would stop at; 0: none */
	struct why unknown_why;
	char broken[256]; /* the first thing that does not follow from what was before; "": none */
};

static void broken(struct walk *w, const struct wal_scanned *r, const char *what, uint64_t a, uint64_t b)
{
	if (!w->broken[0])
		snprintf(w->broken, sizeof(w->broken), "%s at %" PRIu64 ": %s (%" PRIu64 ", %" PRIu64 ")", r->file,
			 r->offset, what, a, b);
}

/* The entry behind the last one, or one that is replaced, with all behind it, by a new leader. */
static void take_entry(struct walk *w, const struct wal_scanned *r)
{
	const struct raft_entry *e = &r->entry;
	struct check_log *log = w->log;
	uint64_t mark = w->marks.count ? w->marks.at[w->marks.count - 1].index : 0;
	struct why why;

	w->entries++;
	if (log->last < log->first || (e->index > log->last + 1 && e->index == mark + 1))
		log->first = e->index; /* the first one here, or the first behind a snapshot from a leader */
	else if (e->index > log->last + 1)
		broken(w, r, "an entry does not follow the one before", log->last, e->index);
	else if (e->index == log->last + 1 && e->term < log->term)
		broken(w, r, "an entry has a lower term than the one before", log->term, e->term);
	log->last = e->index;
	log->term = e->term;
	if (apply_check_entry(e, &why) && (!w->unknown_index || e->index < w->unknown_index)) {
		w->unknown_index = e->index;
		w->unknown_why = why;
	}
}

static void take_state(struct walk *w, const struct wal_scanned *r)
{
	if (r->state.term < w->hard_term)
		broken(w, r, "the term went back", w->hard_term, r->state.term);
	if (r->state.commit < w->log->commit)
		broken(w, r, "what was committed went back", w->log->commit, r->state.commit);
	w->hard_term = r->state.term;
	w->log->commit = MAX(w->log->commit, r->state.commit);
}

static err_t take(void *arg, const struct wal_scanned *r)
{
	struct walk *w = arg;

	w->records++;
	switch (r->kind) {
	case WAL_SCAN_METADATA:
		if (w->log->has_metadata &&
		    (r->metadata.node_id != w->log->node_id || r->metadata.cluster_id != w->log->cluster_id))
			broken(w, r, "segments of different members", w->log->node_id, r->metadata.node_id);
		w->log->has_metadata = true;
		w->log->node_id = r->metadata.node_id;
		w->log->cluster_id = r->metadata.cluster_id;
		break;
	case WAL_SCAN_ENTRY:
		take_entry(w, r);
		break;
	case WAL_SCAN_STATE:
		take_state(w, r);
		break;
	case WAL_SCAN_MARK:
		VEC_PUSH(&w->marks, ((struct mark){r->mark.index, r->mark.term}));
		break;
	}
	return OK;
}

/* What can still be read in segments behind a damaged one. */
static err_t take_behind(void *arg, const struct wal_scanned *r)
{
	struct check_log *log = arg;

	if (r->kind == WAL_SCAN_ENTRY)
		log->known = MAX(log->known, r->entry.index);
	else if (r->kind == WAL_SCAN_STATE)
		log->known = MAX(log->known, r->state.commit);
	else if (r->kind == WAL_SCAN_MARK)
		log->known = MAX(log->known, r->mark.index);
	return OK;
}

static void look_behind(struct check *c, const struct wal_scan_end *end)
{
	struct wal_scan_end other = *end;

	for (size_t first = end->file + 1; first < end->file_count; first = other.file + 1) {
		struct why why;

		other.file = first;
		err_ignore(wal_scan(c->fs, c->wal_dir, first, take_behind, &c->log, &why, &other));
		if (other.file < first)
			break;
	}
}

/* What cutting the log behind its last readable record costs. */
static void loss_of_cut(const struct check *c, char *out, size_t size)
{
	const struct check_log *log = &c->log;
	uint64_t from = MAX(log->last, log->mark) + 1, to = MAX(log->known, log->commit);

	if (to < from)
		snprintf(out, size, "entries behind %" PRIu64 ", of which nothing here says how many there were",
			 from - 1);
	else if (c->db.applied >= to)
		snprintf(out, size, "entries %" PRIu64 "..%" PRIu64 ", which the database has already", from, to);
	else if (c->db.applied >= from)
		snprintf(out, size, "entries %" PRIu64 "..%" PRIu64 " at least; the database has those up to %" PRIu64,
			 from, to, c->db.applied);
	else
		snprintf(out, size, "entries %" PRIu64 "..%" PRIu64 " at least, none of which is in the database", from,
			 to);
}

#define OTHERS_HAVE_IT "; in a cluster, remove this member and add it again: the others have them"

static void damaged(struct check *c, const char *text)
{
	char cut[200], loss[300];

	loss_of_cut(c, cut, sizeof(cut));
	snprintf(loss, sizeof(loss), "%s" OTHERS_HAVE_IT, cut);
	check_add(c, UTL_DAMAGED, "log", loss, "%s: %s", c->wal_dir, text);
}

static void tell_content(struct check *c, const struct walk *w, const struct wal_scan_end *end)
{
	const struct check_log *log = &c->log;
	char entries[64] = "no entry";

	if (w->entries)
		snprintf(entries, sizeof(entries), "entries %" PRIu64 "..%" PRIu64 " of term %" PRIu64, log->first,
			 log->last, log->term);
	check_add(c, UTL_GOOD, "log", "",
		  "%s: %zu segment%s, %" PRIu64 " records, %s, committed to %" PRIu64 "; ends in %s at %" PRIu64,
		  c->wal_dir, end->file_count, end->file_count == 1 ? "" : "s", w->records, entries, log->commit,
		  end->name, end->offset);
}

static void judge(struct check *c, const struct walk *w)
{
	struct check_log *log = &c->log;

	for (size_t i = 0; i < w->marks.count; i++) {
		if (w->marks.at[i].index <= log->commit)
			log->mark = w->marks.at[i].index;
		log->known = MAX(log->known, w->marks.at[i].index);
	}
	log->known = MAX(log->known, MAX(log->commit, log->last));
	if (w->broken[0])
		damaged(c, w->broken);
	if (!log->has_metadata)
		damaged(c, "it does not say whose it is");
	if (log->whole && log->commit > MAX(log->last, log->mark)) {
		char text[160];

		snprintf(text, sizeof(text), "entry %" PRIu64 " is committed, but the last one there is %" PRIu64,
			 log->commit, log->last);
		damaged(c, text);
	}
	if (w->unknown_index > c->db.applied)
		check_add(c, UTL_DAMAGED, "log", "nothing, with a server that knows it", "%s: entry %" PRIu64 ": %s",
			  c->wal_dir, w->unknown_index, w->unknown_why.text);
}

void check_log(struct check *c)
{
	struct walk w = {.c = c, .log = &c->log};
	struct wal_scan_end end = {0};
	struct why why = {""};
	err_t err;

	c->log.first = 1;
	c->log.known = c->db.applied;
	c->log.found = wal_exists(c->fs, c->wal_dir);
	if (!c->log.found)
		return;
	err = wal_scan(c->fs, c->wal_dir, 0, take, &w, &why, &end);
	c->log.whole = !err || (err == ERR_CORRUPT_TAIL && end.file + 1 == end.file_count);
	if (!c->log.whole) {
		if (end.later_index)
			c->log.known = MAX(c->log.known, end.later_index - 1);
		look_behind(c, &end);
	}
	tell_content(c, &w, &end);
	judge(c, &w);
	if (err && c->log.whole)
		check_add(c, UTL_REPAIR, "log", "",
			  "%s: %s: the last write did not arrive whole, so nobody was told that it had; a server cuts "
			  "it off and "
			  "keeps a copy",
			  c->wal_dir, why.text);
	else if (err)
		damaged(c, why.text);
	VEC_FREE(&w.marks);
}
