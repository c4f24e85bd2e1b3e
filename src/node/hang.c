/* A sync of the log that hangs holds only the wal actor: core goes on, and a leader goes on leading, but nothing that it is asked
 * can be answered (only durable entries are applied). So, by the age of the oldest write under way:
 *
 *	an election timeout     a leader hands over to the voter that has been there longest
 *	one more                who still leads becomes follower, and nobody campaigns who could not write his own vote down
 *	it returned             campaigns are allowed again
 *
 * A member that is the only voter has nobody to hand over to, and waits. Age is counted in ticks in which that write was seen, so
 * that a process that was stopped does not blame its disk. */
#include "base/bug.h"
#include "node/node_impl.h"

static void returned(struct node *n)
{
	if (n->hang.quiet) {
		LOG_INFO("the log's disk answers again, campaigns are allowed", LOG_HEX("local-member-id", n->member_id));
		raft_set_may_campaign(n->raft, true);
	}
	n->hang.ticks = 0;
	n->hang.quiet = n->hang.handed_over = false;
}

static void hand_over(struct node *n)
{
	uint64_t to = 0;

	n->hang.handed_over = true;
	if (n->role == RAFT_LEADER)
		core_active_peers(n, &to);
	if (!to || BUG(HANG_KEPT))
		return;
	LOG_WARN("a sync of the log hangs, leadership transfer starting", LOG_HEX("current-leader-member-id", n->member_id),
		 LOG_HEX("transferee-member-id", to));
	raft_transfer_leader(n->raft, to);
}

static void be_quiet(struct node *n)
{
	n->hang.quiet = true;
	LOG_WARN("a sync of the log hangs, this member neither leads nor campaigns until it returns", LOG_HEX("local-member-id", n->member_id));
	raft_set_may_campaign(n->raft, false);
	if (n->role == RAFT_LEADER)
		raft_step_down(n->raft);
}

void core_hang_tick(struct node *n)
{
	uint64_t since = n->persist.write_since_ns;
	uint32_t election_ticks = n->cfg.election_ms / n->cfg.heartbeat_ms;

	if (!since || since != n->hang.since || members_voter_count(n->members) < 2) {
		n->hang.since = since;
		returned(n);
		return;
	}
	n->hang.ticks++;
	if (n->hang.ticks >= election_ticks && !n->hang.handed_over)
		hand_over(n);
	if (n->hang.ticks >= 2 * election_ticks && !n->hang.quiet && !BUG(HANG_LEADS_ON))
		be_quiet(n);
}
