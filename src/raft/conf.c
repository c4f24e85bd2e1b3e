/* Configuration changes of a running raft: checked when proposed, effective when applied. */
#include "raft/raft_impl.h"

#include <stdio.h>

/* ---- proposed ---- */

static struct raft_conf_change_v2 as_v2(const struct raft_conf_change *cc, struct raft_conf_change_single *single)
{
	*single = (struct raft_conf_change_single){cc->type, cc->node_id};
	return (struct raft_conf_change_v2){.changes = single, .change_count = 1, .context = cc->context};
}

/* Why not now; false: fine. */
static bool find_objection(const struct raft *r, const struct raft_conf_change_v2 *cc, char *why, size_t size)
{
	bool is_joint = r->tracker.membership.conf.voters_outgoing.count > 0;
	bool wants_leave = cc->change_count == 0;

	if (r->pending_conf_index > r->log.applied)
		snprintf(why, size, "possible unapplied conf change at index " U64 " (applied to " U64 ")",
			 r->pending_conf_index, r->log.applied);
	else if (is_joint && !wants_leave)
		snprintf(why, size, "must transition out of joint config first");
	else if (!is_joint && wants_leave)
		snprintf(why, size, "not in joint state; refusing empty conf change");
	else
		return false;
	return true;
}

static void log_refused(struct raft *r, const struct raft_conf_change_v2 *cc, const char *why)
{
	struct raft_text conf;
	struct buf change;

	if (!r->logger.fn)
		return;
	buf_init(&change, 64 << 10);
	raft_conf_change_print(cc, &change);
	RAFT_LOGF(r, INFO, X64 " ignoring conf change %.*s at config %s: %s", r->config.id, SLICE_ARG(buf_slice(&change)),
		  raft_text_conf(r, &conf), why);
	raft_text_fini(&conf);
	buf_fini(&change);
}

/* index: where the entry will be. */
static void check_change(struct raft *r, struct raft_entry *e, const struct raft_conf_change_v2 *cc, uint64_t index)
{
	char why[160];

	if (find_objection(r, cc, why, sizeof(why)) && !r->config.disable_conf_change_validation) {
		log_refused(r, cc, why);
		raft_entry_fini(e);
		*e = (struct raft_entry){.type = ENTRY_NORMAL};
		return;
	}
	r->pending_conf_index = index;
}

static err_t check_entry(struct raft *r, struct raft_entry *e, uint64_t index)
{
	struct raft_conf_change_single single;
	struct raft_conf_change v1;
	struct raft_conf_change_v2 v2;
	err_t err;

	switch (e->type) {
	case ENTRY_CONF_CHANGE:
		err = raft_conf_change_decode(blob_slice(e->data), &v1);
		if (err)
			return ERR_PROPOSAL_DROPPED;
		v2 = as_v2(&v1, &single);
		check_change(r, e, &v2, index);
		return OK;
	case ENTRY_CONF_CHANGE_V2:
		err = raft_conf_change_v2_decode(blob_slice(e->data), &v2);
		if (err)
			return ERR_PROPOSAL_DROPPED;
		check_change(r, e, &v2, index);
		raft_conf_change_v2_fini(&v2);
		return OK;
	default:
		return OK;
	}
}

err_t raft_check_proposed_changes(struct raft *r, struct raft_entry *entries, size_t count)
{
	uint64_t last = raft_log_last_index(&r->log);

	for (size_t i = 0; i < count; i++) {
		err_t err = check_entry(r, &entries[i], last + 1 + i);

		if (err)
			return err;
	}
	return OK;
}

/* ---- in effect ---- */

/* The quorum may be smaller now, or there is someone new to serve. */
static void lead_new_configuration(struct raft *r)
{
	if (raft_maybe_commit(r)) {
		raft_broadcast_append(r);
	} else {
		for (size_t i = 0; i < raft_tracker_count(&r->tracker); i++) {
			if (r->tracker.progress[i].id != r->config.id)
				raft_maybe_send_append(r, &r->tracker.progress[i], false);
		}
	}
	if (r->lead_transferee != RAFT_NONE && !raft_tracker_is_voter(&r->tracker, r->lead_transferee))
		r->lead_transferee = RAFT_NONE;
}

void raft_switch_to(struct raft *r, struct raft_membership *take)
{
	struct raft_text text;

	raft_tracker_install(&r->tracker, take, raft_log_last_index(&r->log));
	RAFT_LOGF(r, INFO, X64 " switched to configuration %s", r->config.id, raft_text_conf(r, &text));
	raft_text_fini(&text);

	const struct raft_progress *own = raft_tracker_find(&r->tracker, r->config.id);
	r->is_learner = own && own->is_learner;
	if (r->role != RAFT_LEADER)
		return;
	if (!own || r->is_learner) {
		if (r->config.step_down_on_removal)
			raft_become_follower(r, r->term, RAFT_NONE);
		return;
	}
	if (r->tracker.membership.conf.voters.count)
		lead_new_configuration(r);
}

void raft_restore_membership(struct raft *r, const struct raft_conf_state *cs)
{
	struct raft_membership m = {0};
	struct why why = {0};

	if (raft_membership_restore(cs, &why, &m) != OK)
		raft_panic(&r->logger, "unable to restore config: %s", why.text);
	raft_switch_to(r, &m);
}

const struct raft_conf_state *raft_apply_conf_change_v2(struct raft *r, const struct raft_conf_change_v2 *cc)
{
	struct raft_membership m = {0};
	struct why why = {0};

	/* It is committed: every member takes it, or none. */
	if (raft_membership_apply(&r->tracker.membership, cc, &why, &m) != OK)
		raft_panic(&r->logger, "%s", why.text);
	raft_switch_to(r, &m);
	return raft_conf_state(r);
}

const struct raft_conf_state *raft_apply_conf_change(struct raft *r, const struct raft_conf_change *cc)
{
	struct raft_conf_change_single single;
	struct raft_conf_change_v2 v2 = as_v2(cc, &single);

	return raft_apply_conf_change_v2(r, &v2);
}

/* Once the change that made the configuration joint is applied, propose the way out: an entry without data, which is
 * never refused for its size. A transfer may refuse it; then the next applied entry tries again. */
void raft_maybe_leave_joint(struct raft *r)
{
	struct raft_entry leave = {.type = ENTRY_CONF_CHANGE_V2};
	struct raft_text text;

	if (!r->tracker.membership.conf.auto_leave || r->role != RAFT_LEADER || r->log.applied < r->pending_conf_index)
		return;
	err_t err = raft_leader_propose(r, &leave, 1);
	if (err)
		RAFT_LOGF(r, DEBUG, "not initiating automatic transition out of joint configuration %s: %s",
			  raft_text_conf(r, &text), err_text(err));
	else
		RAFT_LOGF(r, INFO, "initiating automatic transition out of joint configuration %s",
			  raft_text_conf(r, &text));
	raft_text_fini(&text);
}
