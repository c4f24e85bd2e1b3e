/* Who is what: roles, time, elections.
 *
 *	                 timeout (pre-vote)          won
 *	  FOLLOWER -----------------> PRE_CANDIDATE -----> CANDIDATE --------> LEADER
 *	   ^  ^  \                        |    ^  |           |  ^  \ timeout     |
 *	   |  |   \ timeout, TIMEOUT_NOW -|----|--|-----------|--+   +--> (again) |
 *	   |  |                           |    +--+ timeout   |                   |
 *	   |  +---------------------------+-------------------+ lost              |
 *	   +----------------------------------------------------------------------+ higher term, quorum lost, removed */
#include "raft/raft_impl.h"

/* ---- transitions ---- */

static void draw_election_timeout(struct raft *r)
{
	r->election_timeout = r->config.election_ticks + (uint32_t)rng_below(&r->rng, r->config.election_ticks);
}

static void reset(struct raft *r, uint64_t term)
{
	uint64_t last = raft_log_last_index(&r->log);

	ASSERT(term >= r->term);                                /* R1 */
	if (r->term != term) {
		r->term = term;
		r->vote = RAFT_NONE;
	}
	r->lead = RAFT_NONE;
	r->election_elapsed = 0;
	r->heartbeat_elapsed = 0;
	draw_election_timeout(r);
	r->lead_transferee = RAFT_NONE;
	for (size_t i = 0; i < raft_tracker_count(&r->tracker); i++) {
		struct raft_progress *p = &r->tracker.progress[i];

		raft_progress_reset(p, p->id == r->config.id ? last : 0, last + 1);
	}
	r->pending_conf_index = 0;
	r->uncommitted_bytes = 0;
	raft_reads_reset(r);
}

void raft_become_follower(struct raft *r, uint64_t term, uint64_t lead)
{
	reset(r, term);
	r->lead = lead;
	r->role = RAFT_FOLLOWER;
	RAFT_LOGF(r, INFO, X64 " became follower at term " U64, r->config.id, r->term);
}

static void become_candidate(struct raft *r)
{
	ASSERT(r->role != RAFT_LEADER);
	reset(r, r->term + 1);
	r->vote = r->config.id;
	r->role = RAFT_CANDIDATE;
	RAFT_LOGF(r, INFO, X64 " became candidate at term " U64, r->config.id, r->term);
}

/* Neither term nor vote nor timers change: a pre-vote leaves no trace. */
static void become_pre_candidate(struct raft *r)
{
	ASSERT(r->role != RAFT_LEADER);
	raft_tracker_reset_votes(&r->tracker);
	r->lead = RAFT_NONE;
	r->role = RAFT_PRE_CANDIDATE;
	RAFT_LOGF(r, INFO, X64 " became pre-candidate at term " U64, r->config.id, r->term);
}

static void become_leader(struct raft *r)
{
	ASSERT(r->role != RAFT_FOLLOWER);
	reset(r, r->term);
	r->lead = r->config.id;
	r->role = RAFT_LEADER;

	struct raft_progress *own = raft_tracker_find(&r->tracker, r->config.id);
	ASSERT(own);
	raft_progress_become_replicate(own);
	own->recent_active = true;
	/* There may be a conf change anywhere in the tail: no new one before all of it is applied. */
	r->pending_conf_index = raft_log_last_index(&r->log);

	/* Entries of older terms commit only together with one of this term (raft thesis, 3.6.2). */
	struct raft_entry empty = {0};
	bool appended = raft_append_entries(r, &empty, 1);
	ASSERT(appended);
	RAFT_LOGF(r, INFO, X64 " became leader at term " U64, r->config.id, r->term);
}

/* ---- time ---- */

bool raft_promotable(const struct raft *r)
{
	const struct raft_progress *own = raft_tracker_find(&r->tracker, r->config.id);

	return own && !own->is_learner && !raft_log_has_snapshot(&r->log);
}

static void step_self(struct raft *r, enum raft_msg_type type)
{
	err_t err = raft_step_any(r, &(struct raft_message){.type = type, .from = r->config.id});

	ASSERT(err == OK);
}

static void tick_leader(struct raft *r)
{
	r->heartbeat_elapsed++;
	r->election_elapsed++;
	if (r->election_elapsed >= r->config.election_ticks) {
		r->election_elapsed = 0;
		if (r->config.check_quorum)
			step_self(r, MSG_CHECK_QUORUM);
		/* A transfer that takes longer has failed: serve again. */
		if (r->role == RAFT_LEADER)
			r->lead_transferee = RAFT_NONE;
	}
	if (r->role == RAFT_LEADER && r->heartbeat_elapsed >= r->config.heartbeat_ticks) {
		r->heartbeat_elapsed = 0;
		step_self(r, MSG_BEAT);
	}
}

void raft_tick(struct raft *r)
{
	if (r->role == RAFT_LEADER) {
		tick_leader(r);
		return;
	}
	r->election_elapsed++;
	if (r->election_elapsed >= r->election_timeout && raft_promotable(r)) {
		r->election_elapsed = 0;
		step_self(r, MSG_HUP);
	}
}

void raft_set_election_timeout(struct raft *r, uint32_t ticks)
{
	r->election_timeout = ticks;
}

/* ---- campaign ---- */

static const struct slice transfer_context = SLICE_LIT("CampaignTransfer");

bool raft_vote_is_forced(const struct raft_message *m)
{
	return slice_eq(blob_slice(m->context), transfer_context);
}

/* A committed conf change that is not applied yet may change who has to be asked. */
static bool has_unapplied_conf_change(struct raft *r)
{
	uint64_t lo = r->log.applied + 1;
	uint64_t end = r->log.committed + 1;

	while (lo < end) {
		struct raft_span s;
		err_t err = raft_log_slice(&r->log, lo, end, r->config.max_committed_size_per_ready, &s);

		if (err)
			raft_panic(&r->logger, "error scanning unapplied entries [" U64 ", " U64 "): %s", lo, end,
				   err_text(err));
		for (int part = 0; part < 2; part++) {
			for (size_t i = 0; i < s.part[part].count; i++) {
				if (s.part[part].at[i].type != ENTRY_NORMAL)
					return true;
			}
		}
		lo += raft_span_count(&s);
	}
	return false;
}

static void ask_for_vote(struct raft *r, uint64_t to, enum raft_msg_type type, uint64_t term, bool forced)
{
	struct raft_pos last = raft_log_last(&r->log);
	struct raft_message m = {.type = type, .to = to, .term = term, .index = last.index, .log_term = last.term};

	RAFT_LOGF(r, INFO, X64 " [logterm: " U64 ", index: " U64 "] sent %s request to " X64 " at term " U64, r->config.id,
		  last.term, last.index, raft_msg_type_name(type), to, r->term);
	if (forced)
		m.context = blob_copy(transfer_context);
	raft_send(r, &m);
}

static void campaign(struct raft *r, enum raft_campaign kind)
{
	const struct raft_conf_state *c = &r->tracker.membership.conf;
	bool is_pre = kind == RAFT_CAMPAIGN_PRE_VOTE;

	if (!raft_promotable(r))
		RAFT_LOGF(r, WARN, X64 " is unpromotable; campaign() should have been called", r->config.id);
	if (is_pre)
		become_pre_candidate(r);
	else
		become_candidate(r);

	/* A pre-vote asks about the next term without entering it. */
	uint64_t term = is_pre ? r->term + 1 : r->term;
	struct ids voters = ids_union(&c->voters, &c->voters_outgoing);
	for (size_t i = 0; i < voters.count; i++) {
		if (voters.at[i] == r->config.id)       /* the own vote counts when it is durable: R3 */
			raft_send(r, &(struct raft_message){.type = is_pre ? MSG_PRE_VOTE_RESP : MSG_VOTE_RESP,
							    .to = r->config.id,
							    .term = term});
		else
			ask_for_vote(r, voters.at[i], is_pre ? MSG_PRE_VOTE : MSG_VOTE, term,
				     kind == RAFT_CAMPAIGN_TRANSFER);
	}
	ids_fini(&voters);
}

void raft_hup(struct raft *r, enum raft_campaign kind)
{
	if (r->role == RAFT_LEADER) {
		RAFT_LOGF(r, DEBUG, X64 " ignoring MsgHup because already leader", r->config.id);
		return;
	}
	if (!r->may_campaign)
		return;
	if (!raft_promotable(r)) {
		RAFT_LOGF(r, WARN, X64 " is unpromotable and can not campaign", r->config.id);
		return;
	}
	if (has_unapplied_conf_change(r)) {
		RAFT_LOGF(r, WARN,
			  X64 " cannot campaign at term " U64
			      " since there are still pending configuration changes to apply",
			  r->config.id, r->term);
		return;
	}
	RAFT_LOGF(r, INFO, X64 " is starting a new election at term " U64, r->config.id, r->term);
	campaign(r, kind);
}

/* ---- votes ---- */

void raft_log_vote(struct raft *r, const struct raft_message *m, const char *what, const char *link, const char *tail)
{
	struct raft_pos last = raft_log_last(&r->log);

	RAFT_LOGF(r, INFO,
		  X64 " [logterm: " U64 ", index: " U64 ", vote: " X64 "] %s %s %s " X64 " [logterm: " U64 ", index: " U64
		      "] at term " U64 "%s",
		  r->config.id, last.term, last.index, r->vote, what, raft_msg_type_name(m->type), link, m->from,
		  m->log_term, m->index, r->term, tail);
}

/* Learners vote as well: who asks may know already that this one has been promoted, and may need it to win. */
void raft_handle_vote(struct raft *r, const struct raft_message *m)
{
	bool is_pre = m->type == MSG_PRE_VOTE;
	bool can_vote = r->vote == m->from || (r->vote == RAFT_NONE && r->lead == RAFT_NONE) ||
			(is_pre && m->term > r->term);
	struct raft_message answer = {.type = is_pre ? MSG_PRE_VOTE_RESP : MSG_VOTE_RESP, .to = m->from};

	if (can_vote && raft_log_is_up_to_date(&r->log, (struct raft_pos){m->log_term, m->index})) {
		raft_log_vote(r, m, "cast", "for", "");
		/* With the term that was asked for: our own may be lower (pre-vote), and would be ignored there. */
		answer.term = m->term;
		raft_send(r, &answer);
		if (!is_pre) {
			ASSERT(r->vote == RAFT_NONE || r->vote == m->from);     /* R1 */
			r->election_elapsed = 0;
			r->vote = m->from;
		}
	} else {
		raft_log_vote(r, m, "rejected", "from", "");
		answer.term = r->term;
		answer.reject = true;
		raft_send(r, &answer);
	}
}

void raft_handle_vote_resp(struct raft *r, const struct raft_message *m)
{
	const char *type = raft_msg_type_name(m->type);
	struct raft_progress *p = raft_tracker_find(&r->tracker, m->from);
	unsigned granted, rejected;

	RAFT_LOGF(r, INFO, X64 " received %s%s from " X64 " at term " U64, r->config.id, type,
		  m->reject ? " rejection" : "", m->from, r->term);
	if (p && p->vote < 0)
		p->vote = !m->reject;
	enum raft_vote_result result = raft_tracker_tally(&r->tracker, &granted, &rejected);
	RAFT_LOGF(r, INFO, X64 " has received %u %s votes and %u vote rejections", r->config.id, granted, type, rejected);

	if (result == RAFT_VOTE_WON && r->role == RAFT_PRE_CANDIDATE) {
		campaign(r, RAFT_CAMPAIGN_VOTE);
	} else if (result == RAFT_VOTE_WON) {
		become_leader(r);
		raft_broadcast_append(r);
	} else if (result == RAFT_VOTE_LOST) {
		raft_become_follower(r, r->term, RAFT_NONE);
	}
}
