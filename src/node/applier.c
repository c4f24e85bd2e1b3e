/* One committed entry after the other. Entries up to the consistent index of the backend file at start were applied before: they
 * only bring memory up to date. */
#include "base/bug.h"
#include "node/node_impl.h"

void core_members_changed(struct node *n)
{
	struct buf b;

	buf_init(&b, 16 << 20);
	members_encode(n->members, 2, &b);
	blob_unref(n->members_blob);
	n->members_blob = blob_copy(buf_slice(&b));
	buf_fini(&b);
	for (size_t i = 0; i < members_count(n->members); i++)
		core_known_peer(n, members_at(n->members, i)->id, true);
	n->changed = true;
}

void core_alarms_changed(struct node *n)
{
	struct buf b;

	buf_init(&b, 16 << 20);
	alarms_encode(&n->alarms, ALARM_NONE, 2, &b);
	core_alarm_metrics(n->alarms_blob, false);
	blob_unref(n->alarms_blob);
	n->alarms_blob = blob_copy(buf_slice(&b));
	core_alarm_metrics(n->alarms_blob, true);
	buf_fini(&b);
	n->changed = true;
}

static void ids_json(struct buf *b, const char *name, const struct ids *ids)
{
	if (!ids->count)
		return;
	buf_printf(b, "%s\"%s\":[", b->size > 1 ? "," : "", name);
	for (size_t i = 0; i < ids->count; i++)
		buf_printf(b, "%s%llu", i ? "," : "", (unsigned long long)ids->at[i]);
	buf_printf(b, "]");
}

/* meta/confState as upstream writes it: empty lists left out, numbers unquoted. */
static void conf_state_json(struct buf *b, const struct raft_conf_state *cs)
{
	buf_clear(b);
	buf_printf(b, "{");
	ids_json(b, "voters", &cs->voters);
	ids_json(b, "learners", &cs->learners);
	ids_json(b, "voters_outgoing", &cs->voters_outgoing);
	ids_json(b, "learners_next", &cs->learners_next);
	buf_printf(b, "%s\"auto_leave\":%s}", b->size > 1 ? "," : "", cs->auto_leave ? "true" : "false");
	ASSERT(!buf_failed(b));
}

void core_conf_state_changed(struct node *n, const struct raft_conf_state *cs)
{
	conf_state_json(&n->conf_state_json, cs);
	n->conf_state_changed = true;
}

static void conf_change_apply(struct node *n, const struct raft_conf_change *cc, const struct member_context *ctx)
{
	char text[MEMBER_ID_TEXT_SIZE];

	n->lone_leader = n->lone_leader && BUG(LONE_LEADER_KEPT);       /* the next publication says again */
	core_conf_state_changed(n, raft_apply_conf_change(n->raft, cc));
	members_apply(n->members, (enum member_change)cc->type, cc->node_id, ctx);
	if (cc->type == CONF_REMOVE_NODE)
		core_known_peer(n, cc->node_id, false);
	core_members_changed(n);
	core_wrote(n);
	if (cc->type == CONF_ADD_NODE || cc->type == CONF_ADD_LEARNER)
		LOG_INFO("added member", LOG_HEX("cluster-id", n->cluster_id), LOG_HEX("local-member-id", n->member_id),
			 LOG_STR("added-peer-id", member_id_text(cc->node_id, text)),
			 LOG_BOOL("added-peer-is-learner", cc->type == CONF_ADD_LEARNER));
	if (cc->type == CONF_REMOVE_NODE) {
		LOG_INFO("removed member", LOG_HEX("cluster-id", n->cluster_id), LOG_HEX("local-member-id", n->member_id),
			 LOG_STR("removed-remote-peer-id", member_id_text(cc->node_id, text)));
		core_peer_remove(n, cc->node_id);
		if (cc->node_id == n->member_id)
			core_removed(n, UINT64_C(1000000000));
	} else {
		core_peer_add(n, cc->node_id);
	}
}

/* What raft must be told of a change that was refused: a no-op that clears its pending mark. */
static void conf_change_refuse(struct node *n)
{
	struct raft_conf_change none = {.type = CONF_ADD_NODE};

	(void)raft_apply_conf_change(n->raft, &none);
}

static void apply_conf_change(struct node *n, const struct raft_entry *e, bool full)
{
	struct raft_conf_change cc;
	struct member_context ctx = {0};
	bool has_ctx = false;
	err_t err = raft_conf_change_decode(blob_slice(e->data), &cc);

	if (err)
		fatal("log entry %llu: the configuration change does not parse", (unsigned long long)e->index);
	if (!full)
		return;
	if (cc.type != CONF_REMOVE_NODE) {
		err = member_context_parse(cc.context, &ctx);
		if (err || ctx.member.id != cc.node_id)
			fatal("log entry %llu: the configuration change's member does not parse or has another id", (unsigned long long)e->index);
		has_ctx = true;
	}
	err = members_check(n->members, (enum member_change)cc.type, cc.node_id, has_ctx ? &ctx : NULL);
	if (err)
		conf_change_refuse(n);
	else
		conf_change_apply(n, &cc, has_ctx ? &ctx : NULL);
	if (has_ctx)
		member_fini(&ctx.member);
	if (cc.id && waiters_has(&n->waiting, cc.id))
		core_answer(n, waiters_take(&n->waiting, cc.id), err);
}

static void effects(struct node *n, const struct raft_entry *e, bool full)
{
	struct apply_out *out = &n->out;

	if (out->events.list.count) {
		watch_apply(n->hub, out->events.list.at, out->events.list.count);
		out->events.list.count = 0;
	}
	if (out->effects & APPLY_NOOP)
		core_noop_applied(n);
	if (out->effects & APPLY_ALARMS) {
		core_alarms_changed(n);
		n->commit_wanted = true;
	}
	if (out->effects & APPLY_MEMBERS)
		core_members_changed(n);
	if (out->effects & APPLY_AUTH)
		core_auth_changed(n);
	if (out->effects & APPLY_CLUSTER_VERSION)
		core_version_changed(n);
	if (out->effects & APPLY_COMPACT) {
		watch_compacted(n->hub, out->compact_rev);
		n->commit_wanted = true;
		core_compact_kick(n);
	}
}

static void over_quota(struct node *n, struct call *c)
{
	if (!alarm_present(&n->alarms, ALARM_NOSPACE) && !n->alarm_proposed)
		core_raise_nospace(n);
	if (c && n->alarm_proposed)
		list_push_back(&n->after_alarm, &c->link);
	else if (c)
		core_answer(n, c, ERR_NO_SPACE);
}

static void apply_normal(struct node *n, const struct raft_entry *e, bool full)
{
	uint64_t id = n->waiting.count ? apply_entry_id(e) : 0;
	struct call *c = id ? waiters_take(&n->waiting, id) : NULL;
	struct apply_out *out = &n->out;
	struct why why;

	apply_out_clear(out);
	if (c) {
		struct buf t = out->resp;       /* the answer is written where it will be read */

		out->resp = c->resp;
		c->resp = t;
	}
	n->apply.now_ns = core_now(n);
	n->apply.term = raft_term(n->raft);
	if (apply_entry(&n->apply, e, full, c != NULL, out, &why))
		fatal("%s", why.text);
	n->failed_in_a_row = out->err ? n->failed_in_a_row + 1 : 0;
	if (c) {
		struct buf t = out->resp;

		out->resp = c->resp;
		c->resp = t;
		c->applied = true;
		c->header = (struct response_header){n->cluster_id, n->member_id, mvcc_revision(n->mvcc), n->apply.term};
	}
	if (full && out->field) {
		core_wrote(n);
		core_apply_observe(n, e, c ? &c->resp : NULL);
	}
	effects(n, e, full);
	if (out->effects & APPLY_OVER_QUOTA)
		over_quota(n, c);
	else if (c)
		core_answer(n, c, !out->err && buf_failed(&c->resp) ? ERR_TOO_LARGE : out->err);
}

void core_apply_one(struct node *n, const struct raft_entry *e)
{
	bool full = e->index > n->replayed;

	ASSERT(e->index == n->applied + 1);
	if (n->cfg.hooks.applying)
		n->cfg.hooks.applying(n->cfg.hooks.arg, e, !full);
	if (e->type == ENTRY_CONF_CHANGE)
		apply_conf_change(n, e, full);
	else
		apply_normal(n, e, full);
	n->applied = e->index;
	n->applied_term = e->term;
	if (full) {
		if (!n->buffer_since_ns)
			core_wrote(n);          /* the consistent index moves, whatever the entry did */
		if (e->term == raft_term(n->raft))
			n->applied_own_term = true;
	}
	n->changed = true;
}
