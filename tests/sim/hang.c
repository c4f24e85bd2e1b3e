/* Disks that hang, told apart from all else: no other fault, so that who leads, and when, is known.
 *
 *	H1  a leader whose log hangs hands over after an election timeout, not before; the others go on acknowledging
 *	H2  while it hangs it disturbs nobody; afterwards it catches up
 *	H3  where nobody can take over (all disks hang) the leader steps down after a second timeout, nobody leads in another term,
 *	    and when they answer again the cluster serves
 *	H4  a member alone waits: it still leads, in the same term */
#include "scenario.h"
#include "world.h"

enum { ELECTION_MS = 1000, SLACK_MS = 400 };

static uint64_t seed;

static struct world *begin(unsigned sites)
{
	struct knobs k = {
		.sites = sites,
		.clients = CLIENTS_MAX,    /* some are asking the silent one, and wait */
		.keys = 4,
		.batch_ms = 20,
		.compaction_batch_limit = 100,
		.snapshot_count = 1000,
		.catchup_entries = 100,
		.wal_segment_bytes = 1 << 20,
		.value_bytes_max = 64,
		.think_ns = 20 * MS,
		.net_delay_ns = 1 * MS,
	};
	struct world *w = world_new(seed, &k);

	for (unsigned i = 0; i < sites; i++) {
		w->sites[i].disk_slow_ns = 1 * MS;
		if (!site_start(&w->sites[i]))
			sim_fail("%s does not start", w->sites[i].name);
	}
	clients_start(w);
	world_run(w, 5 * S);
	if (!site_leader(w))
		sim_fail("nobody leads after five seconds");
	return w;
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++)
		w->sites[i].disk_hangs = false;
	nemesis_heal(w);
	check_final(w);
}

static uint64_t term_of(struct site *s)
{
	uint64_t term = node_view(s->node)->term;

	node_leave(s->node);
	return term;
}

static bool leads(struct site *s)
{
	bool is = node_view(s->node)->leader == s->member_id;

	node_leave(s->node);
	return is;
}

/* H1, H2 */
static void leader_hangs(void)
{
	struct world *w = begin(3);
	struct site *old = site_leader(w), *next;
	uint64_t hung_ns = now_ns(w), term, index;

	old->disk_hangs = true;
	/* In between there may be nobody. */
	while ((!site_leader(w) || site_leader(w) == old) && now_ns(w) < hung_ns + 5 * S)
		world_run(w, 10 * MS);
	if (now_ns(w) < hung_ns + (ELECTION_MS - SLACK_MS) * MS || now_ns(w) > hung_ns + (ELECTION_MS + SLACK_MS) * MS)
		sim_fail("H1: another leader %llu ms after the disk began to hang", (unsigned long long)((now_ns(w) - hung_ns) / MS));
	next = site_leader(w);
	if (!next)
		sim_fail("H1: nobody leads");
	world_run(w, 2 * S);
	term = term_of(next);
	index = w->index_floor;
	world_run(w, 10 * S);
	if (w->index_floor < index + 10) /* clients ask the silent one, too, and wait */
		sim_fail("H1: the others acknowledged %llu writes in ten seconds", (unsigned long long)(w->index_floor - index));
	if (site_leader(w) != next || term_of(next) != term)
		sim_fail("H2: the member whose disk hangs disturbed the others");
	if (leads(old))
		sim_fail("H2: the member whose disk hangs still leads");
	end(w);
}

/* H3 */
static void all_hang(void)
{
	struct world *w = begin(3);
	struct site *old = site_leader(w);
	uint64_t term = term_of(old);

	for (unsigned i = 0; i < 3; i++)
		w->sites[i].disk_hangs = true;
	world_run(w, (2 * ELECTION_MS - SLACK_MS) * MS);
	if (!leads(old))
		sim_fail("H3: the leader was gone before the second timeout");
	world_run(w, 2 * SLACK_MS * MS);
	for (unsigned i = 0; i < 3; i++)
		if (leads(&w->sites[i]))
			sim_fail("H3: %s leads and cannot write", w->sites[i].name);
	world_run(w, 20 * S);
	for (unsigned i = 0; i < 3; i++)
		if (leads(&w->sites[i]) || term_of(&w->sites[i]) > term + 1)
			sim_fail("H3: %s went on to term %llu without a disk", w->sites[i].name, (unsigned long long)term_of(&w->sites[i]));
	end(w);
}

/* H4 */
static void alone_hangs(void)
{
	struct world *w = begin(1);
	struct site *s = site_leader(w);
	uint64_t term = term_of(s);

	s->disk_hangs = true;
	world_run(w, 10 * S);
	s->disk_hangs = false;
	world_run(w, 1 * S);
	if (!leads(s) || term_of(s) != term)
		sim_fail("H4: a member alone gave up leading");
	end(w);
}

int main(int argc, char **argv)
{
	scenario_begin(argc, argv);
	for (seed = 1; seed <= 3; seed++) {
		leader_hangs();
		all_hang();
		alone_hangs();
	}
	return 0;
}
