/* The membership that a stored ConfState describes, built by the changes that lead there, so that what cannot be
 * reached by changes is refused. */
#include "raft/quorum.h"
#include "raft/membership.h"

/* One step of the way from nothing to a stored configuration: *m is replaced. */
static err_t restore_one(struct raft_membership *m, enum raft_conf_change_type type, uint64_t id, struct why *why)
{
	struct raft_conf_change_single change = {type, id};
	struct raft_membership next = {0};
	err_t err = raft_membership_simple(m, &change, 1, why, &next);

	if (!err) {
		raft_membership_fini(m);
		*m = next;
	}
	return err;
}

static err_t restore_each(struct raft_membership *m, enum raft_conf_change_type type, const struct ids *ids,
			  struct why *why)
{
	err_t err = OK;

	for (size_t i = 0; !err && i < ids->count; i++)
		err = restore_one(m, type, ids->at[i], why);
	return err;
}

/* From the outgoing voters into the joint configuration: all of them leave, the others come. */
static err_t restore_joint(struct raft_membership *m, const struct raft_conf_state *cs, struct why *why)
{
	const struct {
		enum raft_conf_change_type type;
		const struct ids *ids;
	} steps[] = {
		{CONF_REMOVE_NODE, &cs->voters_outgoing},
		{CONF_ADD_NODE, &cs->voters},
		{CONF_ADD_LEARNER, &cs->learners},
		{CONF_ADD_LEARNER, &cs->learners_next},
	};
	VEC(struct raft_conf_change_single) changes = {0};
	struct raft_membership next = {0};

	for (size_t s = 0; s < ARRAY_COUNT(steps); s++) {
		for (size_t i = 0; i < steps[s].ids->count; i++)
			VEC_PUSH(&changes, ((struct raft_conf_change_single){steps[s].type, steps[s].ids->at[i]}));
	}
	err_t err = raft_membership_enter_joint(m, cs->auto_leave, changes.at, changes.count, why, &next);
	VEC_FREE(&changes);
	if (!err) {
		raft_membership_fini(m);
		*m = next;
	}
	return err;
}

static bool same_ids(const struct ids *sorted, const struct ids *ids)
{
	for (size_t i = 0; i < ids->count; i++) {
		if (!ids_has(sorted, ids->at[i]))
			return false;
	}
	return sorted->count == ids->count;
}

static bool same_conf(const struct raft_conf_state *sorted, const struct raft_conf_state *cs)
{
	return same_ids(&sorted->voters, &cs->voters) && same_ids(&sorted->learners, &cs->learners) &&
	       same_ids(&sorted->voters_outgoing, &cs->voters_outgoing) &&
	       same_ids(&sorted->learners_next, &cs->learners_next) && sorted->auto_leave == cs->auto_leave;
}

err_t raft_membership_restore(const struct raft_conf_state *cs, struct why *why, struct raft_membership *out)
{
	struct raft_membership m = {0};
	err_t err;

	if (cs->voters_outgoing.count == 0) {
		err = restore_each(&m, CONF_ADD_NODE, &cs->voters, why);
		if (!err)
			err = restore_each(&m, CONF_ADD_LEARNER, &cs->learners, why);
		if (!err)
			err = restore_each(&m, CONF_ADD_LEARNER, &cs->learners_next, why);
	} else {
		err = restore_each(&m, CONF_ADD_NODE, &cs->voters_outgoing, why);
		if (!err)
			err = restore_joint(&m, cs, why);
	}
	if (!err && !same_conf(&m.conf, cs))
		err = why_set(why, ERR_INVALID, "ConfStates not equivalent after sorting");
	for (size_t i = 0; i < m.members.count; i++)
		m.members.at[i].is_fresh = true;
	if (err)
		raft_membership_fini(&m);
	else
		*out = m;
	return err;
}
