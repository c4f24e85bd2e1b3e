/* The other members: messages to and from them through the carrier, and who they are. */
#include "base/bug.h"
#include "node/node_impl.h"

/* What the carrier reports: small, from any thread. */
struct peer_report {
	struct msg msg;
	uint64_t id;
	bool ok;
};

static void report(struct node *n, uint32_t kind, uint64_t id, bool ok)
{
	struct peer_report *r = NEW(struct peer_report);

	r->msg.kind = kind;
	r->id = id;
	r->ok = ok;
	actor_post(n->core, &r->msg);
}

void node_unreachable(struct node *n, uint64_t id)
{
	report(n, CORE_UNREACHABLE, id, false);
}

void node_snapshot_status(struct node *n, uint64_t id, bool ok)
{
	report(n, CORE_SNAPSHOT_STATUS, id, ok);
}

void node_removed(struct node *n)
{
	report(n, CORE_REMOVED, 0, false);
}

void node_received(struct node *n, struct node_message *take_m)
{
	take_m->msg.kind = CORE_RECEIVED;
	actor_post(n->core, &take_m->msg);
}

void core_peer_report(struct node *n, struct msg *m)
{
	struct peer_report *r = CONTAINER_OF(m, struct peer_report, msg);

	switch (m->kind) {
	case CORE_UNREACHABLE:
		raft_report_unreachable(n->raft, r->id);
		break;
	case CORE_SNAPSHOT_STATUS:
		raft_report_snapshot(n->raft, r->id, !r->ok);
		core_snapshot_sent(n, r->ok);
		break;
	case CORE_REMOVED:
		core_removed(n, 0);
		break;
	default:
		UNREACHABLE();
	}
	mem_free(r);
}

/* ---- in ---- */

/* What must not reach the log of any member: upstream's edge refuses it, and so must we when a member forwards it. */
static bool proposal_is_sound(const struct raft_message *m)
{
	struct why why;

	for (size_t i = 0; i < m->entry_count; i++) {
		if (apply_check_entry(&m->entries[i], &why)) {
			LOG_WARN("dropped a forwarded proposal", LOG_HEX("from", m->from), LOG_WHY(&why));
			return false;
		}
	}
	return true;
}

static bool is_welcome(struct node *n, const struct node_message *nm)
{
	const struct raft_message *m = &nm->message;

	if (n->stopped || m->to != n->member_id || m->from == n->member_id)
		return false;
	if (members_is_removed(n->members, m->from)) {
		LOG_WARN("rejected Raft message from removed member", LOG_HEX("local-member-id", n->member_id), LOG_HEX("removed-member-id", m->from));
		return false;
	}
	if (m->type == MSG_SNAP && (!m->snapshot || !nm->snapshot_bytes)) {
		LOG_WARN("dropped a snapshot that came without its database", LOG_HEX("from", m->from));
		return false;
	}
	return m->type != MSG_PROP || BUG(FORWARDED_UNCHECKED) || proposal_is_sound(m);
}

void core_received(struct node *n, struct msg *msg)
{
	struct node_message *m = CONTAINER_OF(msg, struct node_message, msg);

	/* Refused proposals, answers of members unknown by now: whoever sent them repeats, or does not mind. */
	if (is_welcome(n, m))
		err_ignore(raft_step(n->raft, &m->message));
	m->done(m);
}

/* ---- out ---- */

void core_send(struct node *n, struct raft_message *take_m)
{
	if (!n->cfg.transport || !take_m->to) {
		raft_message_fini(take_m);
		*take_m = (struct raft_message){0};
	} else if (take_m->type == MSG_SNAP) {
		core_snapshot_send(n, take_m);
	} else {
		VEC_PUSH(&n->outbox, *take_m);
		*take_m = (struct raft_message){0};
	}
}

void core_flush(struct node *n)
{
	const struct node_transport *t = n->cfg.transport;

	if (!n->outbox.count)
		return;
	t->send(t->arg, n->outbox.at, n->outbox.count);
	n->outbox.count = 0;
}

/* ---- who they are ---- */

/* Comma-joined peer URLs, the caller's; NULL: no such member. */
char *core_peer_urls(const struct node *n, uint64_t id)
{
	const struct member *m = members_find(n->members, id);

	return m ? member_urls_join(&m->peer_urls) : NULL;
}

void core_peer_add(struct node *n, uint64_t id)
{
	const struct node_transport *t = n->cfg.transport;
	char *urls = t && id != n->member_id ? core_peer_urls(n, id) : NULL;

	if (urls)
		t->add(t->arg, id, urls);
	mem_free(urls);
}

void core_peer_remove(struct node *n, uint64_t id)
{
	const struct node_transport *t = n->cfg.transport;

	if (t && id != n->member_id)
		t->remove(t->arg, id);
}

/* All of them, at start and after an installed snapshot. */
void core_peers_set(struct node *n)
{
	const struct node_transport *t = n->cfg.transport;

	if (!t)
		return;
	t->clear(t->arg);
	for (size_t i = 0; i < members_removed_count(n->members); i++)
		core_peer_remove(n, members_removed_at(n->members, i));
	for (size_t i = 0; i < members_count(n->members); i++)
		core_peer_add(n, members_at(n->members, i)->id);
}

/* Active ones among the other members, and, if wanted, the voter that has been active longest (0: none). */
size_t core_active_peers(struct node *n, uint64_t *longest_voter)
{
	const struct node_transport *t = n->cfg.transport;
	uint64_t oldest = 0;
	size_t active = 0;

	if (longest_voter)
		*longest_voter = 0;
	for (size_t i = 0; t && i < members_count(n->members); i++) {
		const struct member *m = members_at(n->members, i);
		uint64_t since = m->id == n->member_id ? 0 : t->active_since_ns(t->arg, m->id);

		if (!since)
			continue;
		active++;
		if (longest_voter && !m->is_learner && (!oldest || since < oldest)) {
			oldest = since;
			*longest_voter = m->id;
		}
	}
	return active;
}

/* Upstream ends a second after the removal was applied, so that what it still has to say leaves. */
void core_removed(struct node *n, uint64_t delay_ns)
{
	if (n->removed_ns)
		return;
	n->removed_ns = core_now(n) + delay_ns;
	LOG_WARN("server error", LOG_STR("error", "the member has been permanently removed from the cluster"));
	LOG_WARN("data-dir used by this member must be removed");
}

/* At each tick. */
void core_removed_check(struct node *n, uint64_t now_ns)
{
	if (!n->removed_ns || n->removed_told || now_ns < n->removed_ns)
		return;
	n->removed_told = true;
	if (n->cfg.hooks.removed)
		n->cfg.hooks.removed(n->cfg.hooks.arg);
}

void core_peers_fini(struct node *n)
{
	for (size_t i = 0; i < n->outbox.count; i++)
		raft_message_fini(&n->outbox.at[i]);
	for (size_t i = 0; i < n->snapshots_wanted.count; i++)
		raft_message_fini(&n->snapshots_wanted.at[i]);
	for (size_t i = 0; i < n->snapshots_cut.count; i++)
		raft_message_fini(&n->snapshots_cut.at[i]);
	VEC_FREE(&n->outbox);
	VEC_FREE(&n->snapshots_wanted);
	VEC_FREE(&n->snapshots_cut);
	VEC_FREE(&n->old_files);
	VEC_FREE(&n->lost_holds);
}
