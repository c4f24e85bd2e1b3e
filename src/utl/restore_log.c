/* The log of a cluster that begins with its members: one ConfChange for each, in the order of their ids, all of term 1
 * and committed, and a snapshot behind the last one. */
#include "pb/raftpb.h"
#include "snap/snap.h"
#include "utl/restore.h"
#include "wal/wal.h"

enum { TERM = 1, JSON_BYTES_MAX = 1 << 20 };

static void entry_of(const struct member *m, uint64_t index, struct raft_entry *out)
{
	struct raft_conf_change cc = {.type = CONF_ADD_NODE, .node_id = m->id};
	struct buf json, data;

	buf_init(&json, JSON_BYTES_MAX);
	buf_init(&data, JSON_BYTES_MAX);
	member_json_write(m, &json);
	cc.context = buf_slice(&json);
	raft_conf_change_encode(&cc, &data);
	ASSERT(!buf_failed(&json) && !buf_failed(&data)); /* MEMBER_JSON_BYTES_MAX bounds what was given */
	*out = (struct raft_entry){
	    .term = TERM, .index = index, .type = ENTRY_CONF_CHANGE, .data = blob_copy(buf_slice(&data))};
	buf_fini(&json);
	buf_fini(&data);
}

struct start {
	struct raft_entry *entries;
	struct raft_conf_state conf_state;
	size_t count;
};

static void start_init(struct start *s, const struct members *ms)
{
	s->count = members_count(ms);
	s->entries = NEW_ARRAY(struct raft_entry, s->count);
	s->conf_state = (struct raft_conf_state){.voters = {NEW_ARRAY(uint64_t, s->count), s->count}};
	for (size_t i = 0; i < s->count; i++) {
		entry_of(members_at(ms, i), i + 1, &s->entries[i]);
		s->conf_state.voters.at[i] = members_at(ms, i)->id;
	}
}

static void start_fini(struct start *s)
{
	for (size_t i = 0; i < s->count; i++)
		raft_entry_fini(&s->entries[i]);
	mem_free(s->entries);
	raft_conf_state_fini(&s->conf_state);
}

static err_t write_snap(struct restore *r, const struct start *s)
{
	struct raft_snapshot snap = {.conf_state = s->conf_state, .index = s->count, .term = TERM};
	struct buf v2;
	err_t err;

	buf_init(&v2, 64 << 20);
	members_v2_json_write(r->members, &v2);
	snap.data = blob_copy(buf_slice(&v2));
	buf_fini(&v2);
	err = snap_save(r->fs, r->snap_dir, &snap);
	blob_unref(snap.data);
	return err ? why_set(r->why, err, "writing the snapshot file in %s: %s", r->snap_dir, err_text(err)) : OK;
}

static err_t write_all(struct restore *r, struct wal *w, const struct start *s)
{
	struct raft_hard_state state = {TERM, s->conf_state.voters.at[0], s->count};
	struct wal_snapshot_mark mark = {s->count, TERM, true, s->conf_state};
	err_t err;

	(void)wal_save(w, &state, s->entries, s->count);
	err = wal_sync(w, r->why);
	if (!err)
		err = write_snap(r, s);
	if (!err) {
		wal_save_snapshot(w, &mark);
		err = wal_sync(w, r->why);
	}
	return err;
}

err_t restore_log(struct restore *r)
{
	struct wal_metadata metadata = {r->self->id, r->cluster_id};
	struct wal_options options = {0};
	struct start s;
	struct wal *w;
	err_t err = wal_create(r->fs, r->build_wal, metadata, &options, r->why, &w);

	if (err)
		return err;
	start_init(&s, r->members);
	err = write_all(r, w, &s);
	if (!err) {
		err = wal_close(w);
		if (err)
			why_set(r->why, err, "closing the log in %s: %s", r->build_wal, err_text(err));
	} else {
		wal_abandon(w);
	}
	start_fini(&s);
	return err;
}
