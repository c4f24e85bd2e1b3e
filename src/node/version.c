/* The cluster version: what all members can run. The leader asks the others for theirs when it applied its first entry and every few
 * seconds, and proposes what follows (spec peer.md section 13, apply.md section 6). A downgrade that was enabled lowers it, and
 * ends when all members run its target. Downgrading to a version of which this program could not be a member is no business of
 * ours: the operator has enabled it. */
#include <stdio.h>

#include "node/node_impl.h"

enum { ASK_TIMEOUT_MS = 3000 };

struct version_round {
	size_t waiting;                         /* answers */
	bool some_unknown;
	bool all_at_target;                     /* of the downgrade */
	bool for_downgrade;                     /* asked to end it */
	struct version lowest;
	uint64_t term;
};

static struct version own_version(void)
{
	struct version v;

	if (version_parse(SLICE_LIT(NODE_SERVER_VERSION), &v))
		UNREACHABLE();
	return v;
}

static bool one_below(struct version target, struct version v)
{
	return target.major == v.major && target.minor + 1 == v.minor;
}

/* The target, if cluster and lowest server are at it or one minor above. */
static bool downgrade_version(const struct downgrade_info *d, struct version have, struct version lowest, struct version *want)
{
	if (version_parse(slice_str(d->target), want))
		return false;
	return (one_below(*want, have) || !version_cmp_minor(*want, have)) && (one_below(*want, lowest) || !version_cmp_minor(*want, lowest));
}

/* False: nothing to change. */
static bool decide(struct node *n, const struct version_round *r, struct version *want)
{
	const char *now = members_version(n->members);
	const struct downgrade_info *d = members_downgrade(n->members);
	struct version have;

	if (!now[0]) {
		*want = r->some_unknown ? (struct version){3, 0, 0} : r->lowest;
		return true;
	}
	if (r->some_unknown || version_parse(slice_str(now), &have))
		return false;
	*want = r->lowest;
	if (d->enabled)
		return downgrade_version(d, have, r->lowest, want) && version_cmp_minor(*want, have) != 0;
	return want->major == have.major && version_cmp_minor(have, *want) < 0;
}

static void propose(struct node *n, struct version want)
{
	const char *now = members_version(n->members);
	char text[32];
	struct buf body;

	snprintf(text, sizeof(text), "%u.%u.0", want.major, want.minor);
	n->version_proposed = true;
	if (now[0])
		LOG_INFO("updating cluster version using v3 API", LOG_STR("from", now), LOG_STR("to", text));
	else
		LOG_INFO("setting up initial cluster version using v3 API", LOG_STR("cluster-version", text));
	buf_init(&body, 64);
	pb_put_bytes(&body, 1, slice_str(text));
	core_own_propose(n, OWN_CLUSTER_VERSION, REQ_CLUSTER_VERSION_SET, buf_slice(&body), 0);
	buf_fini(&body);
}

/* DowngradeInfoSetRequest: nothing set is "disabled". */
static void end_downgrade(struct node *n)
{
	LOG_INFO("the cluster has been downgraded", LOG_STR("cluster-version", members_downgrade(n->members)->target));
	core_own_propose(n, OWN_DOWNGRADE_END, REQ_DOWNGRADE_INFO_SET, (struct slice){0}, 0);
}

static void round_end(struct node *n)
{
	struct version_round *r = n->version_round;
	struct version want;

	n->version_round = NULL;
	if (n->role == RAFT_LEADER && raft_term(n->raft) == r->term && !n->version_proposed && !n->stopping) {
		if (decide(n, r, &want))
			propose(n, want);
		else if (r->for_downgrade && members_downgrade(n->members)->enabled && r->all_at_target && !r->some_unknown)
			end_downgrade(n);
	}
	mem_free(r);
}

static void heard(struct node *n, struct version v)
{
	struct version_round *r = n->version_round;
	struct version target;

	if (version_cmp(v, r->lowest) < 0)
		r->lowest = v;
	if (version_parse(slice_str(members_downgrade(n->members)->target), &target) || version_cmp_minor(v, target) != 0)
		r->all_at_target = false;
}

static void answered(struct node *n, struct core_question *a)
{
	struct version_round *r = n->version_round;
	struct member_versions vs;
	struct version v;

	if (!a->q.err && a->q.status == 200 && !member_versions_parse(buf_slice(&a->q.answer), &vs) &&
	    !version_parse(slice_str(vs.server), &v)) {
		heard(n, v);
	} else {
		LOG_WARN("failed to get version", LOG_HEX("remote-member-id", a->member_id));
		r->some_unknown = true;
	}
	if (!--r->waiting)
		round_end(n);
}

void core_version_check(struct node *n, bool for_downgrade)
{
	struct version_round *r;

	if (n->role != RAFT_LEADER || n->version_proposed || n->version_round || n->stopping || !n->applied_own_term)
		return;
	r = n->version_round = NEW(struct version_round);
	r->term = raft_term(n->raft);
	r->lowest = own_version();
	r->all_at_target = true;
	r->for_downgrade = for_downgrade;
	r->waiting = 1;
	heard(n, own_version());
	for (size_t i = 0; i < members_count(n->members); i++) {
		const struct member *m = members_at(n->members, i);
		struct core_question *q;

		if (m->id == n->member_id)
			continue;
		q = core_question_new(MEMBER_VERSION, &m->peer_urls, answered);
		q->member_id = m->id;
		q->q.timeout_ms = ASK_TIMEOUT_MS;
		r->waiting++;
		core_ask(n, q);
	}
	if (!--r->waiting)
		round_end(n);
}

void core_version_stop(struct node *n)
{
	mem_free(n->version_round);
	n->version_round = NULL;
}
