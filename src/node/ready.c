/* What raft wants done: appends go to the WAL actor and come back durable, entries to apply go into core's own queue,
 * messages to peers leave at once (asynchronous storage writes: what must wait for the disk waits in an append's responses). */
#include "base/bug.h"
#include "node/node_impl.h"

static void append(struct node *n, struct raft_message *take_m)
{
	struct persist_append *a = NEW(struct persist_append);

	a->msg.kind = PERSIST_APPEND;
	a->m = raft_message_take(take_m);
	n->appends++;
	actor_post(n->persist.wal_actor, &a->msg);
}

static void message(struct node *n, struct raft_message *m)
{
	if (m->to == RAFT_APPEND_THREAD)
		append(n, m);
	else if (m->to == RAFT_APPLY_THREAD)
		core_apply_queue(n, m);
	else
		core_send(n, m);
}

static void soft_state(struct node *n, const struct raft_soft_state *s)
{
	uint64_t lead = n->lead;

	if (s->role != RAFT_LEADER && !BUG(LONE_LEADER_KEPT))
		n->lone_leader = false;         /* before any message of the new role leaves */
	if (lead != s->lead && s->lead == RAFT_NONE)
		n->leader_lost_ns = core_now(n);
	else if (lead != s->lead)
		n->leader_found_ns = core_now(n);
	n->role = s->role;
	n->lead = s->lead;
	n->changed = true;
	if (lead != s->lead || s->role != RAFT_LEADER)
		core_lead_changed(n);
	if (lead != s->lead)
		core_reads_again(n);
}

bool core_ready(struct node *n)
{
	bool worked = false;

	/* What leaves behind a change of membership must know of it (votes are counted by it): it is applied first. */
	while (raft_has_ready(n->raft) && !(n->work && n->work->changes_members)) {
		worked = true;
		raft_ready(n->raft, &n->rd);
		if (n->rd.has_soft_state)
			soft_state(n, &n->rd.soft_state);
		for (size_t i = 0; i < n->rd.read_state_count; i++)
			core_read_state(n, &n->rd.read_states[i]);
		for (size_t i = 0; i < n->rd.message_count; i++)
			message(n, &n->rd.messages[i]);
		raft_ready_clear(&n->rd);
		core_flush(n);
	}
	return worked;
}

void core_respond(struct node *n, struct raft_message *m)
{
	for (size_t i = 0; i < m->response_count; i++) {
		struct raft_message r = raft_message_take(&m->responses[i]);

		/* Refused if this member was removed while it wrote: then it is no peer any more, of itself neither. */
		if (r.to == n->member_id)
			err_ignore(raft_step(n->raft, &r));
		else
			core_send(n, &r);
	}
}

void core_appended(struct node *n, struct persist_append *a)
{
	if (a->is_mark) {
		core_snapshot_marked(n, a);
		return;
	}
	n->appends--;
	if (core_installing(n) || a->m.snapshot) {
		core_install(n, a);
		return;
	}
	core_append_done(n, a);
}

void core_append_done(struct node *n, struct persist_append *a)
{
	raft_mem_storage_append(n->log, a->m.entries, a->m.entry_count);
	if (a->m.term || a->m.vote || a->m.commit) {
		struct raft_hard_state hs = {.term = a->m.term, .vote = a->m.vote, .commit = a->m.commit};

		raft_mem_storage_set_hard_state(n->log, &hs);
	}
	if (a->sync_ns) {
		metric_observe(METRIC_DISK_WAL_FSYNC_DURATION_SECONDS, a->sync_ns);
		if (a->sync_ns > UINT64_C(1000000000))
			LOG_WARN("slow fdatasync", LOG_DURATION("took", (int64_t)a->sync_ns), LOG_DURATION("expected-duration", 1000000000));
	}
	core_respond(n, &a->m);
	raft_message_fini(&a->m);
	mem_free(a);
}

void core_apply_queue(struct node *n, struct raft_message *take_m)
{
	struct apply_work *w = NEW(struct apply_work);

	w->m = raft_message_take(take_m);
	for (size_t i = 0; i < w->m.entry_count; i++)
		w->changes_members |= w->m.entries[i].type != ENTRY_NORMAL;
	*n->work_tail = w;
	n->work_tail = &w->next;
}

/* Applies what the write buffers have room for. */
bool core_apply(struct node *n)
{
	bool worked = false;

	while (n->work) {
		struct apply_work *w = n->work;

		while (w->at < w->m.entry_count) {
			/* Overtaken by a snapshot, which holds what they did. */
			if (core_installing(n) || w->m.entries[w->at].index < raft_first_index(n->raft)) {
				w->at++;
				continue;
			}
			if (backend_full(n->backend)) {
				core_commit(n);                 /* freezes if it can */
				if (backend_full(n->backend))
					return worked;          /* goes on when the merge came back */
			}
			core_apply_one(n, &w->m.entries[w->at++]);
			worked = true;
		}
		n->work = w->next;
		if (!n->work)
			n->work_tail = &n->work;
		core_respond(n, &w->m);
		raft_message_fini(&w->m);
		mem_free(w);
		worked = true;
	}
	if (worked)
		core_reads_applied(n);
	return worked;
}
