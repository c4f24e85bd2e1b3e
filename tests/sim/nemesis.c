/* What the seed does to the world, and how it gets well again. First faults with the checks of safety; then everything is mended and
 * must come to serve, catch up and agree. */
#include "world.h"

static void disk_fault(struct world *w)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_CRASH, VFS_FAULT_CRASH, VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN};
	struct site *s = &w->sites[draw(w, w->site_count)];

	vfs_mem_fault(s->disk, 1 + draw(w, 300), faults[draw(w, ARRAY_COUNT(faults))]);
}

static void disk_hang(struct world *w)
{
	struct site *s = site_random(w);

	if (!s)
		return;
	if (chance(w, 50))
		s->disk_hangs = !s->disk_hangs;
	else
		s->disk_slow_ns = chance(w, 50) ? draw(w, 500 * MS) : draw(w, 2 * MS);
}

static void process_fault(struct world *w)
{
	struct site *s = chance(w, 30) ? site_leader(w) : site_random(w);

	if (s)
		site_end(s, chance(w, 60));
}

/* Everything at once, as when a rack loses power. */
static void blackout(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].node)
			site_end(&w->sites[i], true);
}

static void pause_fault(struct world *w)
{
	struct site *s = chance(w, 40) ? site_leader(w) : site_random(w);

	if (s)
		site_pause(s, true);
}

static void split(struct world *w)
{
	uint64_t side = rng_next(&w->rng);
	bool one_way = chance(w, 30);

	for (unsigned i = 0; i < w->site_count; i++)
		for (unsigned j = 0; j < w->site_count; j++)
			if ((side >> i & 1) < (side >> j & 1) || ((side >> i & 1) > (side >> j & 1) && !one_way))
				net_cut(w, i, j, true);
}

static void isolate_leader(struct world *w)
{
	struct site *s = site_leader(w);

	for (unsigned i = 0; s && i < w->site_count; i++) {
		net_cut(w, i, s->number, true);
		net_cut(w, s->number, i, true);
	}
}

/* Often of the leader, and then in both directions. */
static void slow_link(struct world *w)
{
	struct site *leader = site_leader(w);
	unsigned from = leader && chance(w, 60) ? leader->number : (unsigned)draw(w, w->site_count);
	unsigned to = (unsigned)draw(w, w->site_count);
	uint64_t ns = 100 * MS + draw(w, 700 * MS);

	net_slow(w, from, to, ns);
	if (leader && from == leader->number)
		net_slow(w, to, from, ns);
}

static void net_fault(struct world *w)
{
	switch (draw(w, 5)) {
	case 4: slow_link(w); break;
	case 0: split(w); break;
	case 1: isolate_leader(w); break;
	case 2: slow_link(w); break;
	default: net_heal(w); break;
	}
}

/* What was broken comes back, most of it. */
static void mend(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];

		if (s->paused && chance(w, 50))
			site_pause(s, false);
		if (s->disk_hangs && chance(w, 50))
			s->disk_hangs = false;
		if (!s->node && s->exists && chance(w, 60) && !site_start(s))
			site_end(s, true);
	}
	members_start_joined(w);
	if (chance(w, 40))
		net_heal(w);
}

static void one_fault(struct world *w)
{
	uint64_t dice = draw(w, 100);

	if (dice < 30 && w->k.disk_faults)
		disk_fault(w);
	else if (dice < 40 && w->k.disk_faults)
		disk_hang(w);
	else if (dice < 60 && w->k.process_faults)
		process_fault(w);
	else if (dice < 63 && w->k.process_faults)
		blackout(w);
	else if ((dice < 75 || !w->k.net_faults) && w->k.pauses)
		pause_fault(w);
	else if (w->k.net_faults && w->site_count > 1)
		net_fault(w);
}

/* Processes that lose the CPU every few milliseconds: what came to them meanwhile lies in their mailboxes together. */
static void run(struct world *w, uint64_t ns)
{
	uint64_t end = now_ns(w) + ns;

	while (w->k.stutters && now_ns(w) < end) {
		struct site *s = site_random(w);

		if (s)
			site_pause(s, true);
		world_run(w, draw(w, 20 * MS));
		if (s)
			site_pause(s, false);
		world_run(w, draw(w, 40 * MS));
	}
	if (now_ns(w) < end)
		world_run(w, end - now_ns(w));
}

void nemesis_play(struct world *w)
{
	run(w, draw(w, 3 * S));
	for (unsigned i = 0; i < w->k.faults; i++) {
		if (w->k.membership && chance(w, 50))
			members_step(w);
		else
			one_fault(w);
		run(w, draw(w, w->k.fault_gap_ns));
		mend(w);
		run(w, draw(w, w->k.fault_gap_ns));
	}
}

static void mend_all(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];

		site_pause(s, false);
		s->disk_hangs = false;
		s->disk_slow_ns = 2 * MS;
		sched_sim_slow_jobs(w->sched, s->group, 0);
		vfs_mem_fault(s->disk, 0, VFS_FAULT_NONE);
	}
	net_heal(w);
	calls_fast(w);
	w->k.drop_per_mille = 0;
}

void nemesis_heal(struct world *w)
{
	uint64_t index, until;

	mend_all(w);
	world_run(w, 600 * MS); /* a write under way on a slow disk may have met its fault already */
	mend_all(w);            /* what began slow meanwhile */
	w->healed = true;
	for (unsigned i = 0; i < w->site_count; i++)
		if (!w->sites[i].node && w->sites[i].exists)
			site_start(&w->sites[i]);
	members_start_joined(w);
	/* Serving again: something new is committed. */
	world_run(w, 5 * S);
	members_settle(w);
	members_start_joined(w);
	world_run(w, 5 * S);
	index = w->index_floor;
	world_run(w, 10 * S);
	if (w->index_floor == index)
		sim_fail("a healed cluster acknowledges no writes");
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].node && !w->sites[i].ready)
			sim_fail("healed, but %s is not ready", w->sites[i].name);
	w->quiet = true;
	until = now_ns(w) + 60 * S;
	while (!watchers_have_all(w) && now_ns(w) < until)
		world_run(w, 100 * MS);
	watchers_check(w);
}
