/* --force-new-cluster: one member of a lost cluster goes on alone with what it has (spec storage.md section 9). What was committed
 * stays, as far as this member knows it: the log's commit mark may lag behind what the database has applied. */
#include "node/boot_impl.h"

static void drop_uncommitted(struct boot *b)
{
	struct wal_content *c = &b->content;
	size_t kept = 0;

	while (kept < c->entry_count && c->entries[kept].index <= c->hard_state.commit)
		kept++;
	if (kept < c->entry_count)
		LOG_INFO("discarding uncommitted WAL entries", LOG_UINT("entry-index", c->entries[kept].index),
			 LOG_UINT("commit-index-from-wal", c->hard_state.commit),
			 LOG_UINT("number-of-discarded-entries", c->entry_count - kept));
	for (size_t i = kept; i < c->entry_count; i++)
		blob_unref(c->entries[i].data);
	c->entry_count = kept;
}

/* Who is in the cluster after the last entry. */
static err_t members_at_end(const struct boot *b, struct ids *ids, struct why *why)
{
	for (size_t i = 0; i < b->mark.conf_state.voters.count; i++)
		ids_add(ids, b->mark.conf_state.voters.at[i]);
	for (size_t i = 0; i < b->mark.conf_state.learners.count; i++)
		ids_add(ids, b->mark.conf_state.learners.at[i]);
	for (size_t i = 0; i < b->content.entry_count; i++) {
		const struct raft_entry *e = &b->content.entries[i];
		struct raft_conf_change cc;

		if (e->type != ENTRY_CONF_CHANGE)
			continue;
		if (raft_conf_change_decode(blob_slice(e->data), &cc))
			return why_set(why, ERR_CORRUPT_FILE, "log entry %llu: the configuration change does not parse",
				       (unsigned long long)e->index);
		if (cc.type == CONF_REMOVE_NODE)
			ids_remove(ids, cc.node_id);
		else if (cc.type != CONF_UPDATE_NODE)
			ids_add(ids, cc.node_id);
	}
	return OK;
}

static void append_change(struct boot *b, enum raft_conf_change_type type, uint64_t id, struct slice context)
{
	struct raft_conf_change cc = {.type = type, .node_id = id, .context = context};
	struct wal_content *c = &b->content;
	struct raft_entry e = {.type = ENTRY_CONF_CHANGE, .term = c->hard_state.term, .index = ++c->hard_state.commit};
	struct buf data;

	buf_init(&data, 1 << 20);
	raft_conf_change_encode(&cc, &data);
	ASSERT(!buf_failed(&data));
	e.data = blob_copy(buf_slice(&data));
	buf_fini(&data);
	c->entries = mem_realloc(c->entries, (c->entry_count + 1) * sizeof(e));
	c->entries[c->entry_count++] = e;
}

static void append_self(struct boot *b)
{
	struct member_context ctx = {0};
	struct buf json;

	member_init(&ctx.member);
	ctx.member.id = b->n->member_id;
	member_urls_add(&ctx.member.peer_urls, SLICE_LIT("http://localhost:2380"));
	buf_init(&json, 4096);
	member_context_write(&ctx, &json);
	append_change(b, CONF_ADD_NODE, ctx.member.id, buf_slice(&json));
	buf_fini(&json);
	member_fini(&ctx.member);
}

err_t boot_force_alone(struct boot *b, struct why *why)
{
	struct wal_content *c = &b->content;
	struct ids ids = {0};
	uint64_t was = c->hard_state.commit, self = b->n->member_id;
	size_t kept;
	err_t err;

	c->hard_state.commit = MAX(was, b->st.meta.consistent_index);
	drop_uncommitted(b);
	kept = c->entry_count;
	err = members_at_end(b, &ids, why);
	if (!err) {
		/* Self first: there must be a voter at any time. */
		if (!ids_remove(&ids, self))
			append_self(b);
		for (size_t i = 0; i < ids.count; i++)
			append_change(b, CONF_REMOVE_NODE, ids.at[i], (struct slice){0});
		wal_save(b->wal, NULL, c->entries + kept, c->entry_count - kept);
		err = wal_sync(b->wal, why);
	}
	if (!err)
		LOG_INFO("forcing restart member", LOG_HEX("cluster-id", b->n->cluster_id), LOG_HEX("local-member-id", self),
			 LOG_UINT("wal-commit-index", was), LOG_UINT("commit-index", c->hard_state.commit));
	ids_fini(&ids);
	return err;
}
