/* The progress of all members, and what they agree on. */
#include "raft/progress.h"

static void progress_fini(struct raft_progress *p)
{
	mem_free(p->inflights.ring);
}

void raft_tracker_fini(struct raft_tracker *t)
{
	for (size_t i = 0; i < raft_tracker_count(t); i++)
		progress_fini(&t->progress[i]);
	mem_free(t->progress);
	t->progress = NULL;
	raft_membership_fini(&t->membership);
}

struct raft_progress *raft_tracker_find(const struct raft_tracker *t, uint64_t id)
{
	for (size_t i = 0; i < raft_tracker_count(t); i++) {
		if (t->progress[i].id == id)
			return &t->progress[i];
	}
	return NULL;
}

/* A new member is probed at the end of the log, and counts as active: else a quorum check that comes before its
 * first word would bring the leader down. */
static struct raft_progress progress_new(const struct raft_tracker *t, uint64_t id, uint64_t last_index)
{
	return (struct raft_progress){
		.id = id,
		.next = MAX(last_index, 1),
		.recent_active = true,
		.vote = -1,
		.inflights = {.count_max = t->inflight_msgs_max, .bytes_max = t->inflight_bytes_max},
	};
}

void raft_tracker_install(struct raft_tracker *t, struct raft_membership *take, uint64_t last_index)
{
	struct raft_progress *progress = mem_alloc(take->members.count * sizeof(*progress));

	for (size_t i = 0; i < take->members.count; i++) {
		struct raft_member *m = &take->members.at[i];
		struct raft_progress *old = m->is_fresh ? NULL : raft_tracker_find(t, m->id);

		if (old) {
			progress[i] = *old;
			old->inflights.ring = NULL;     /* moved */
		} else {
			progress[i] = progress_new(t, m->id, last_index);
		}
		progress[i].is_learner = m->is_learner;
		m->is_fresh = false;
	}
	raft_tracker_fini(t);
	t->membership = *take;
	t->progress = progress;
	*take = (struct raft_membership){0};
}

bool raft_tracker_is_voter(const struct raft_tracker *t, uint64_t id)
{
	return ids_has(&t->membership.conf.voters, id) || ids_has(&t->membership.conf.voters_outgoing, id);
}

bool raft_tracker_is_only_voter(const struct raft_tracker *t)
{
	return t->membership.conf.voters.count == 1 && t->membership.conf.voters_outgoing.count == 0;
}

/* ---- agreement ---- */

static bool matched(const void *ctx, uint64_t id, uint64_t *index)
{
	const struct raft_progress *p = raft_tracker_find(ctx, id);

	if (p)
		*index = p->match;
	return p != NULL;
}

static bool read_acked(const void *ctx, uint64_t id, uint64_t *index)
{
	const struct raft_progress *p = raft_tracker_find(ctx, id);

	if (p)
		*index = p->read_ack;
	return p != NULL;
}

static int voted(const void *ctx, uint64_t id)
{
	const struct raft_progress *p = raft_tracker_find(ctx, id);

	return p ? p->vote : -1;
}

static int is_active(const void *ctx, uint64_t id)
{
	const struct raft_progress *p = raft_tracker_find(ctx, id);

	return p && !p->is_learner ? p->recent_active : -1;
}

uint64_t raft_tracker_committed(const struct raft_tracker *t)
{
	const struct raft_conf_state *c = &t->membership.conf;

	return raft_joint_committed(&c->voters, &c->voters_outgoing, matched, t);
}

uint64_t raft_tracker_reads_confirmed(const struct raft_tracker *t)
{
	const struct raft_conf_state *c = &t->membership.conf;

	return raft_joint_committed(&c->voters, &c->voters_outgoing, read_acked, t);
}

bool raft_tracker_quorum_active(const struct raft_tracker *t)
{
	const struct raft_conf_state *c = &t->membership.conf;

	return raft_joint_vote(&c->voters, &c->voters_outgoing, is_active, t) == RAFT_VOTE_WON;
}

void raft_tracker_reset_votes(struct raft_tracker *t)
{
	for (size_t i = 0; i < raft_tracker_count(t); i++)
		t->progress[i].vote = -1;
}

enum raft_vote_result raft_tracker_tally(const struct raft_tracker *t, unsigned *granted, unsigned *rejected)
{
	const struct raft_conf_state *c = &t->membership.conf;

	*granted = *rejected = 0;
	for (size_t i = 0; i < raft_tracker_count(t); i++) {
		const struct raft_progress *p = &t->progress[i];

		if (p->is_learner)
			continue;
		*granted += p->vote == 1;
		*rejected += p->vote == 0;
	}
	return raft_joint_vote(&c->voters, &c->voters_outgoing, voted, t);
}
