/* Changes between configurations.
 *
 *	         simple                enter_joint                        leave_joint
 *	(1 2) ----------> (1 2 3)      (1 2 3) ----------> (1 2 4)&&(1 2 3) ----------> (1 2 4)
 *
 * A voter that becomes a learner while it still votes in the outgoing half waits in learners_next (M2, M3) until
 * the joint configuration is left. */
#include "raft/membership.h"

#include <inttypes.h>

#include "raft/quorum.h"

void raft_membership_fini(struct raft_membership *m)
{
	raft_conf_state_fini(&m->conf);
	VEC_FREE(&m->members);
}

static bool is_joint(const struct raft_membership *m)
{
	return m->conf.voters_outgoing.count > 0;
}

static struct raft_member *member_find(const struct raft_membership *m, uint64_t id)
{
	for (size_t i = 0; i < m->members.count; i++) {
		if (m->members.at[i].id == id)
			return &m->members.at[i];
	}
	return NULL;
}

static void member_insert(struct raft_membership *m, struct raft_member member)
{
	size_t i = m->members.count;

	VEC_PUSH(&m->members, member);
	for (; i > 0 && m->members.at[i - 1].id > member.id; i--)
		m->members.at[i] = m->members.at[i - 1];
	m->members.at[i] = member;
}

static void member_delete(struct raft_membership *m, uint64_t id)
{
	struct raft_member *at = member_find(m, id);

	if (!at)
		return;
	struct raft_member *end = m->members.at + m->members.count;
	memmove(at, at + 1, (size_t)(end - at - 1) * sizeof(*at));
	m->members.count--;
}

static struct raft_membership membership_copy(const struct raft_membership *from)
{
	struct raft_membership m = {
		.conf = {
			.voters = ids_copy(&from->conf.voters),
			.learners = ids_copy(&from->conf.learners),
			.voters_outgoing = ids_copy(&from->conf.voters_outgoing),
			.learners_next = ids_copy(&from->conf.learners_next),
			.auto_leave = from->conf.auto_leave,
		},
	};

	VEC_RESERVE(&m.members, from->members.count);
	for (size_t i = 0; i < from->members.count; i++) {
		m.members.at[i] = from->members.at[i];
		m.members.at[i].is_fresh = false;
	}
	m.members.count = from->members.count;
	return m;
}

static err_t check_all_members(const struct raft_membership *m, const struct ids *ids, struct why *why)
{
	for (size_t i = 0; i < ids->count; i++) {
		if (!member_find(m, ids->at[i]))
			return why_set(why, ERR_INVALID, "no progress for %" PRIu64, ids->at[i]);
	}
	return OK;
}

static err_t check_learners_next(const struct raft_membership *m, struct why *why)
{
	for (size_t i = 0; i < m->conf.learners_next.count; i++) {
		uint64_t id = m->conf.learners_next.at[i];

		if (!ids_has(&m->conf.voters_outgoing, id))
			return why_set(why, ERR_INVALID, "%" PRIu64 " is in LearnersNext, but not Voters[1]", id);
		if (member_find(m, id)->is_learner)
			return why_set(why, ERR_INVALID,
				       "%" PRIu64 " is in LearnersNext, but is already marked as learner", id);
	}
	return OK;
}

static err_t check_learners(const struct raft_membership *m, struct why *why)
{
	for (size_t i = 0; i < m->conf.learners.count; i++) {
		uint64_t id = m->conf.learners.at[i];

		if (ids_has(&m->conf.voters_outgoing, id))
			return why_set(why, ERR_INVALID, "%" PRIu64 " is in Learners and Voters[1]", id);
		if (ids_has(&m->conf.voters, id))
			return why_set(why, ERR_INVALID, "%" PRIu64 " is in Learners and Voters[0]", id);
		if (!member_find(m, id)->is_learner)
			return why_set(why, ERR_INVALID, "%" PRIu64 " is in Learners, but is not marked as learner",
				       id);
	}
	return OK;
}

err_t raft_membership_check(const struct raft_membership *m, struct why *why)
{
	err_t err = check_all_members(m, &m->conf.voters, why);

	if (!err)
		err = check_all_members(m, &m->conf.voters_outgoing, why);
	if (!err)
		err = check_all_members(m, &m->conf.learners, why);
	if (!err)
		err = check_all_members(m, &m->conf.learners_next, why);
	if (!err)
		err = check_learners_next(m, why);
	if (!err)
		err = check_learners(m, why);
	if (!err && !is_joint(m)) {
		if (m->conf.learners_next.count)
			err = why_set(why, ERR_INVALID, "cfg.LearnersNext must be nil when not joint");
		else if (m->conf.auto_leave)
			err = why_set(why, ERR_INVALID, "AutoLeave must be false when not joint");
	}
	return err;
}

/* ---- single changes, always to the incoming half ---- */

static void change_remove(struct raft_membership *m, uint64_t id)
{
	if (!member_find(m, id))
		return;
	ids_remove(&m->conf.voters, id);
	ids_remove(&m->conf.learners, id);
	ids_remove(&m->conf.learners_next, id);
	if (!ids_has(&m->conf.voters_outgoing, id))
		member_delete(m, id);
}

static void change_to_voter(struct raft_membership *m, uint64_t id)
{
	struct raft_member *member = member_find(m, id);

	if (member) {
		member->is_learner = false;
		ids_remove(&m->conf.learners, id);
		ids_remove(&m->conf.learners_next, id);
	} else {
		member_insert(m, (struct raft_member){.id = id, .is_fresh = true});
	}
	ids_add(&m->conf.voters, id);
}

static void change_to_learner(struct raft_membership *m, uint64_t id)
{
	struct raft_member *member = member_find(m, id);

	if (!member) {
		member_insert(m, (struct raft_member){.id = id, .is_learner = true, .is_fresh = true});
		ids_add(&m->conf.learners, id);
		return;
	}
	if (member->is_learner)
		return;
	ids_remove(&m->conf.voters, id);
	if (ids_has(&m->conf.voters_outgoing, id)) {
		ids_add(&m->conf.learners_next, id);
	} else {
		member->is_learner = true;
		ids_add(&m->conf.learners, id);
	}
}

static err_t change_all(struct raft_membership *m, const struct raft_conf_change_single *changes, size_t count,
			struct why *why)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t id = changes[i].node_id;

		if (id == 0)    /* a change that the application refused */
			continue;
		switch (changes[i].type) {
		case CONF_ADD_NODE:
			change_to_voter(m, id);
			break;
		case CONF_ADD_LEARNER:
			change_to_learner(m, id);
			break;
		case CONF_REMOVE_NODE:
			change_remove(m, id);
			break;
		case CONF_UPDATE_NODE:
			break;
		default:
			return why_set(why, ERR_INVALID, "unexpected conf type %d", (int)changes[i].type);
		}
	}
	if (m->conf.voters.count == 0)
		return why_set(why, ERR_INVALID, "removed all voters");
	return OK;
}

/* ---- whole changes ---- */

/* Hands m out if nothing speaks against it. */
static err_t membership_finish(struct raft_membership *m, err_t err, struct why *why, struct raft_membership *out)
{
	if (!err)
		err = raft_membership_check(m, why);
	if (err)
		raft_membership_fini(m);
	else
		*out = *m;
	return err;
}

err_t raft_membership_simple(const struct raft_membership *from, const struct raft_conf_change_single *changes,
			     size_t count, struct why *why, struct raft_membership *out)
{
	err_t err = raft_membership_check(from, why);

	if (err)
		return err;
	if (is_joint(from))
		return why_set(why, ERR_INVALID, "can't apply simple config change in joint config");

	struct raft_membership m = membership_copy(from);
	err = change_all(&m, changes, count, why);
	if (!err && ids_difference(&from->conf.voters, &m.conf.voters) > 1)
		err = why_set(why, ERR_INVALID, "more than one voter changed without entering joint config");
	return membership_finish(&m, err, why, out);
}

err_t raft_membership_enter_joint(const struct raft_membership *from, bool auto_leave,
				  const struct raft_conf_change_single *changes, size_t count, struct why *why,
				  struct raft_membership *out)
{
	err_t err = raft_membership_check(from, why);

	if (err)
		return err;
	if (is_joint(from))
		return why_set(why, ERR_INVALID, "config is already joint");
	if (from->conf.voters.count == 0)
		return why_set(why, ERR_INVALID, "can't make a zero-voter config joint");

	struct raft_membership m = membership_copy(from);
	m.conf.voters_outgoing = ids_copy(&m.conf.voters);
	err = change_all(&m, changes, count, why);
	m.conf.auto_leave = auto_leave;
	return membership_finish(&m, err, why, out);
}

err_t raft_membership_leave_joint(const struct raft_membership *from, struct why *why, struct raft_membership *out)
{
	err_t err = raft_membership_check(from, why);

	if (err)
		return err;
	if (!is_joint(from))
		return why_set(why, ERR_INVALID, "can't leave a non-joint config");

	struct raft_membership m = membership_copy(from);
	for (size_t i = 0; i < m.conf.learners_next.count; i++) {
		ids_add(&m.conf.learners, m.conf.learners_next.at[i]);
		member_find(&m, m.conf.learners_next.at[i])->is_learner = true;
	}
	ids_fini(&m.conf.learners_next);
	for (size_t i = 0; i < m.conf.voters_outgoing.count; i++) {
		uint64_t id = m.conf.voters_outgoing.at[i];

		if (!ids_has(&m.conf.voters, id) && !ids_has(&m.conf.learners, id))
			member_delete(&m, id);
	}
	ids_fini(&m.conf.voters_outgoing);
	m.conf.auto_leave = false;
	return membership_finish(&m, OK, why, out);
}

err_t raft_membership_apply(const struct raft_membership *from, const struct raft_conf_change_v2 *cc, struct why *why,
			    struct raft_membership *out)
{
	bool is_auto = cc->transition == CONF_TRANSITION_AUTO;

	if ((unsigned)cc->transition > CONF_TRANSITION_JOINT_EXPLICIT)
		return why_set(why, ERR_INVALID, "unknown transition: %u", (unsigned)cc->transition);
	if (is_auto && cc->change_count == 0)
		return raft_membership_leave_joint(from, why, out);
	if (is_auto && cc->change_count == 1)
		return raft_membership_simple(from, cc->changes, cc->change_count, why, out);
	return raft_membership_enter_joint(from, cc->transition != CONF_TRANSITION_JOINT_EXPLICIT, cc->changes,
					   cc->change_count, why, out);
}

/* (1 2 a) */
static void print_ids(const struct ids *ids, struct buf *out)
{
	buf_put_byte(out, '(');
	for (size_t i = 0; i < ids->count; i++)
		buf_printf(out, "%s%" PRIx64, i ? " " : "", ids->at[i]);
	buf_put_byte(out, ')');
}

void raft_conf_print(const struct raft_conf_state *c, struct buf *out)
{
	buf_printf(out, "voters=");
	print_ids(&c->voters, out);
	if (c->voters_outgoing.count) {
		buf_printf(out, "&&");
		print_ids(&c->voters_outgoing, out);
	}
	if (c->learners.count) {
		buf_printf(out, " learners=");
		print_ids(&c->learners, out);
	}
	if (c->learners_next.count) {
		buf_printf(out, " learners_next=");
		print_ids(&c->learners_next, out);
	}
	if (c->auto_leave)
		buf_printf(out, " autoleave");
}
