/* How a pod starts, and whether it may stop at once: decided from what its agent knows.
 *
 *	data     API silent             plain: a restart needs nobody
 *	         recovery named me      recover, once there was no leader for long, unless somebody has one
 *	         recovery took place    aside: this data is of the past
 *	         made on another claim  aside, once the cluster answers; an id is not for two claims (P4)
 *	         id removed             aside
 *	         else                   plain
 *	no data  API silent             wait: whether there is a cluster cannot be known
 *	         no cluster, ordinal 0  new
 *	         bound, and a member    join
 *	         else                   ask */
#include "pod/pod.h"

#include <string.h>

static bool is_bound(const struct pod_start *s)
{
	const struct pod_place *p = &s->own;

	return p->bound_member_id && s->record_nonce[0] && !s->record_spent && !strcmp(p->bound_uid, p->claim_uid) &&
	       !strcmp(p->bound_nonce, s->record_nonce);
}

static enum pod_start_verb with_data(const struct pod_start *s, const char **reason)
{
	bool other_claim = s->own.has_claim && s->record_uid[0] && strcmp(s->record_uid, s->own.claim_uid);

	*reason = "there is data";
	if (!s->api_answers)
		return POD_START_PLAIN;
	if (s->recover_is_me && s->others_have_leader)
		*reason = "recovery refused: another member has a leader, the quorum is not lost";
	else if (s->recover_is_me && s->recover_is_ripe) {
		*reason = "recovery: this pod's data becomes the cluster";
		return POD_START_RECOVER;
	}
	if (s->recover_is_other && s->recover_is_done) {
		*reason = "the cluster was recovered from another pod's data";
		return POD_START_ASIDE;
	}
	if (other_claim && !s->others_answer) {
		*reason = "the data was made on another claim, and no cluster answers that it could join; a recovery can choose it: docs/etcd-agent.md, Lost quorum";
		return POD_START_WAIT;
	}
	if (other_claim) {
		*reason = "the data was made on another claim";
		return POD_START_ASIDE;
	}
	if (s->others_answer && s->others_cluster_id == s->data_cluster_id && !s->others_have_data_id) {
		*reason = "the data's member was removed from the cluster";
		return POD_START_ASIDE;
	}
	return POD_START_PLAIN;
}

static enum pod_start_verb without_data(const struct pod_start *s, const char **reason)
{
	if (!s->api_answers) {
		*reason = "the Kubernetes API does not answer and there is no data: not known whether a cluster exists";
		return POD_START_WAIT;
	}
	if (!s->has_set || !s->own.has_claim || s->own.claim_stops) {
		*reason = "the StatefulSet or the claim is not there, or is being deleted";
		return POD_START_WAIT;
	}
	if (!s->cluster_known && !s->others_answer && s->ordinal == 0) {
		*reason = "no claim of the release belongs to a cluster";
		return POD_START_NEW;
	}
	if (is_bound(s) && s->others_answer && s->others_cluster_id == s->own.bound_cluster_id && s->others_have_bound_id) {
		*reason = "the leader has added a member for this claim";
		return POD_START_JOIN;
	}
	*reason = s->recover_is_me ? "recovery is not possible from a pod without data; waiting for the leader to give an id" :
		  s->others_answer ? "waiting for the leader to give an id" :
		  s->cluster_known ? "a cluster exists, and no quorum of it answers" :
				     "waiting for ordinal 0 to begin the cluster";
	return POD_START_ASK;
}

enum pod_start_verb pod_start_decide(const struct pod_start *s, const char **reason)
{
	return s->has_data ? with_data(s, reason) : without_data(s, reason);
}

bool pod_stop_waits(const struct pod_world *w, bool api_answers, int ordinal)
{
	return api_answers && w->has_set && !w->set_stops && w->replicas > 0 && (uint32_t)ordinal >= w->replicas;
}
