#include "wal/read.h"

#include <inttypes.h>

#include "pb/wire.h"

void wal_gathered_init(struct wal_gathered *g)
{
	*g = (struct wal_gathered){0};
	buf_init(&g->metadata, 1 << 20);
}

static void entries_cut(struct wal_gathered *g, size_t count)
{
	while (g->entries.count > count)
		raft_entry_fini(&g->entries.at[--g->entries.count]);
}

void wal_gathered_fini(struct wal_gathered *g)
{
	entries_cut(g, 0);
	VEC_FREE(&g->entries);
	buf_fini(&g->metadata);
}

struct wal_content wal_gathered_take(struct wal_gathered *g)
{
	struct wal_content c = g->content;

	c.entries = g->entries.at;
	c.entry_count = g->entries.count;
	g->entries.at = NULL;
	g->entries.count = g->entries.room = 0;
	return c;
}

void wal_content_fini(struct wal_content *c)
{
	for (size_t i = 0; i < c->entry_count; i++)
		raft_entry_fini(&c->entries[i]);
	mem_free(c->entries);
	*c = (struct wal_content){0};
}

void wal_marks_fini(struct wal_marks *m)
{
	for (size_t i = 0; i < m->count; i++)
		wal_snapshot_mark_fini(&m->at[i]);
	mem_free(m->at);
	*m = (struct wal_marks){0};
}

static err_t malformed(const struct wal_record *rec, struct why *why, const char *what)
{
	return why_set(why, ERR_CORRUPT_FILE, "wal: malformed %s record: in file '%s' at position: %" PRIu64, what,
		       rec->file, rec->offset);
}

/* A later record of an index replaces that entry and all behind it: the log was overwritten by a new leader. */
static err_t take_entry(const struct wal_record *rec, struct wal_pos pos, struct why *why, struct wal_gathered *g)
{
	struct raft_entry e;
	uint64_t slot;

	if (raft_entry_decode(rec->data, &e))
		return malformed(rec, why, "entry");
	g->last_index = e.index;
	slot = e.index - pos.index - 1;
	if (e.index <= pos.index) {
		raft_entry_fini(&e);
		return OK;
	}
	if (slot > g->entries.count) { /* CVE-2020-15112: the index comes from the file */
		raft_entry_fini(&e);
		return why_set(why, ERR_CORRUPT_FILE,
			       "wal: slice bounds out of range, snapshot[Index: %" PRIu64 ", Term: %" PRIu64
			       "], current entry[Index: %" PRIu64 ", Term: %" PRIu64 "], len(ents): %zu",
			       pos.index, pos.term, e.index, e.term, g->entries.count);
	}
	entries_cut(g, (size_t)slot);
	VEC_PUSH(&g->entries, e);
	return OK;
}

static err_t take_metadata(const struct wal_record *rec, struct why *why, struct wal_gathered *g)
{
	struct wal_metadata m = {0};
	struct pb_reader p = pb_reader_of(rec->data);
	struct pb_field f;

	if (g->content.has_metadata)
		return slice_eq(buf_slice(&g->metadata), rec->data)
			   ? OK
			   : why_set(why, ERR_CORRUPT_FILE, "wal: conflicting metadata found");
	while (pb_next(&p, &f)) {
		if (f.number == 1 && f.wire == PB_VARINT)
			m.node_id = f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			m.cluster_id = f.value;
	}
	buf_put_slice(&g->metadata, rec->data);
	if (p.failed || buf_failed(&g->metadata))
		return malformed(rec, why, "metadata");
	g->content.metadata = m;
	g->content.has_metadata = true;
	return OK;
}

static err_t take_snapshot(const struct wal_record *rec, struct wal_pos pos, struct why *why, struct wal_gathered *g)
{
	struct wal_snapshot_mark m;
	err_t err = OK;

	if (wal_snapshot_mark_decode(rec->data, &m))
		return malformed(rec, why, "snapshot");
	if (m.index == pos.index && m.term != pos.term)
		err = why_set(why, ERR_CORRUPT_FILE, "wal: snapshot mismatch");
	else if (m.index == pos.index)
		g->content.pos_found = true;
	wal_snapshot_mark_fini(&m);
	return err;
}

static err_t take(const struct wal_record *rec, struct wal_pos pos, struct why *why, struct wal_gathered *g)
{
	switch (rec->type) {
	case WAL_ENTRY:
		return take_entry(rec, pos, why, g);
	case WAL_METADATA:
		return take_metadata(rec, why, g);
	case WAL_SNAPSHOT:
		return take_snapshot(rec, pos, why, g);
	case WAL_STATE:
		return raft_hard_state_decode(rec->data, &g->content.hard_state) ? malformed(rec, why, "state") : OK;
	case WAL_CRC:
		return OK; /* the reader's */
	}
	return why_set(why, ERR_CORRUPT_FILE, "unexpected block type %" PRId64 ": in file '%s' at position: %" PRIu64,
		       (int64_t)rec->type, rec->file, rec->offset);
}

err_t wal_gather(struct wal_reader *r, struct wal_pos pos, struct why *why, struct wal_gathered *out)
{
	struct wal_record rec;
	bool more = true;
	err_t err = OK;

	while (!err) {
		err = wal_reader_next(r, why, &rec, &more);
		if (!err && !more)
			break;
		if (!err)
			err = take(&rec, pos, why, out);
	}
	return err;
}

err_t wal_read(struct vfs *fs, const char *dir, struct wal_pos pos, struct why *why, struct wal_content *content)
{
	struct wal_names names;
	struct wal_gathered g;
	struct wal_reader r;
	size_t from;
	err_t err = wal_names_list(fs, dir, NULL, why, &names);

	if (err)
		return err;
	wal_gathered_init(&g);
	err = wal_names_from(&names, pos.index, why, &from);
	if (!err) {
		wal_reader_init(&r, fs, dir, names.at + from, NULL, names.count - from);
		err = wal_gather(&r, pos, why, &g);
		wal_reader_fini(&r);
	}
	if (err == ERR_CORRUPT_TAIL) {
		g.content.torn = true;
		err = OK;
	}
	if (!err && !g.content.pos_found)
		err = why_set(why, ERR_CORRUPT_FILE, "wal: snapshot not found");
	if (!err)
		*content = wal_gathered_take(&g);
	wal_gathered_fini(&g);
	mem_free(names.at);
	return err;
}

static err_t marks_read(struct wal_reader *r, struct why *why, struct wal_marks *out, uint64_t *commit)
{
	VEC(struct wal_snapshot_mark) marks = {0};
	struct raft_hard_state state = {0};
	struct wal_record rec;
	bool more = true;
	err_t err = OK;

	while (!err && !(err = wal_reader_next(r, why, &rec, &more)) && more) {
		struct wal_snapshot_mark m;

		if (rec.type == WAL_STATE && raft_hard_state_decode(rec.data, &state))
			err = malformed(&rec, why, "state");
		if (rec.type != WAL_SNAPSHOT)
			continue;
		if (wal_snapshot_mark_decode(rec.data, &m))
			err = malformed(&rec, why, "snapshot");
		else
			VEC_PUSH(&marks, m);
	}
	*out = (struct wal_marks){marks.at, marks.count};
	*commit = state.commit;
	return err == ERR_CORRUPT_TAIL ? OK : err;
}

/* A snapshot of the leader may be recorded while an older one of this member is still being made: the older record comes behind. */
static void by_index(struct wal_marks *m)
{
	for (size_t i = 1; i < m->count; i++)
		for (size_t k = i; k && m->at[k - 1].index > m->at[k].index; k--) {
			struct wal_snapshot_mark t = m->at[k];

			m->at[k] = m->at[k - 1];
			m->at[k - 1] = t;
		}
}

err_t wal_valid_snapshots(struct vfs *fs, const char *dir, struct why *why, struct wal_marks *out)
{
	struct wal_names names;
	struct wal_reader r;
	struct wal_marks all;
	uint64_t commit;
	size_t kept = 0;
	err_t err = wal_names_list(fs, dir, NULL, why, &names);

	if (err)
		return err;
	wal_reader_init(&r, fs, dir, names.at, NULL, names.count);
	err = marks_read(&r, why, &all, &commit);
	wal_reader_fini(&r);
	mem_free(names.at);
	if (err) {
		wal_marks_fini(&all);
		return err;
	}
	for (size_t i = 0; i < all.count; i++) {
		if (all.at[i].index <= commit)
			all.at[kept++] = all.at[i];
		else
			wal_snapshot_mark_fini(&all.at[i]);
	}
	all.count = kept;
	by_index(&all);
	*out = all;
	return OK;
}
