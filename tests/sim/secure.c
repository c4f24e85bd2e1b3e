/* Members that were given a root password (node_secure):
 *
 *	R1  nobody is ready before what it publishes has authentication enabled
 *	R2  one user root comes of three different hashes, on all members the same, with role root
 *	R3  without a quorum nobody becomes ready, however long; with it, all do
 *	R4  started again with the password nothing changes, and it is ready
 *	R5  a leader that was not given one does not hold the others up */
#include "scenario.h"
#include "world.h"

static const char *const hashes[] = {
	"$2a$04$......................aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"$2a$04$......................bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	"$2a$04$......................ccccccccccccccccccccccccccccccc",
};

static const struct slice root = {(const uint8_t *)"root", 4};

static struct world *begin(uint64_t seed, unsigned sites)
{
	struct knobs k = {
		.sites = sites,
		.batch_ms = 20,
		.compaction_batch_limit = 100,
		.snapshot_count = 1000,
		.catchup_entries = 100,
		.wal_segment_bytes = 1 << 20,
		.net_delay_ns = 1 * MS,
	};

	return world_new(seed, &k);
}

static void start(struct site *s)
{
	if (!site_start(s))
		sim_fail("%s does not start", s->name);
}

static bool enabled(struct site *s)
{
	bool is = node_view(s->node)->auth->enabled;

	node_leave(s->node);
	return is;
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++)
		site_end(&w->sites[i], false);
	world_free(w);
}

/* R1, at every step. */
static void run(struct world *w, uint64_t ns)
{
	uint64_t until_ns = now_ns(w) + ns;

	while (world_step(w, until_ns))
		for (unsigned i = 0; i < w->site_count; i++) {
			struct site *s = &w->sites[i];

			if (s->up && s->root_hash && s->ready && !enabled(s))
				sim_fail("R1: %s is ready at %.3f s and open to all", s->name, (double)now_ns(w) / 1e9);
		}
}

static struct slice hash_at(struct site *s)
{
	struct slice hash = {0};
	const struct publication *p = node_view(s->node);

	if (auth_password_of(p->auth, root, &hash) || !auth_has_role(p->auth, root, root))
		sim_fail("R2: %s has no root that can do anything", s->name);
	node_leave(s->node);
	return hash;
}

static uint64_t auth_revision(struct site *s)
{
	uint64_t rev = node_view(s->node)->auth->revision;

	node_leave(s->node);
	return rev;
}

static void all_ready(struct world *w, const char *rule)
{
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];

		if (!s->ready || !node_secured(s->node) || !enabled(s))
			sim_fail("%s: %s is not ready", rule, s->name);
		if (!slice_eq(hash_at(s), hash_at(&w->sites[0])) || auth_revision(s) != auth_revision(&w->sites[0]))
			sim_fail("R2: %s and %s have different roots", s->name, w->sites[0].name);
	}
}

static void all_given(uint64_t seed, unsigned sites)
{
	struct world *w = begin(seed, sites);
	uint64_t rev;

	for (unsigned i = 0; i < sites; i++)
		w->sites[i].root_hash = hashes[i];
	start(&w->sites[0]);
	run(w, 30 * S);
	if (sites > 1 && w->sites[0].ready)
		sim_fail("R3: ready without a quorum");
	for (unsigned i = 1; i < sites; i++)
		start(&w->sites[i]);
	run(w, 4 * S);
	all_ready(w, "R3");
	rev = auth_revision(&w->sites[0]);
	for (unsigned i = 0; i < sites; i++)
		site_end(&w->sites[i], false);
	for (unsigned i = 0; i < sites; i++)
		start(&w->sites[i]);
	run(w, 4 * S);
	all_ready(w, "R4");
	if (auth_revision(&w->sites[0]) != rev)
		sim_fail("R4: the auth revision went from %llu to %llu", (unsigned long long)rev, (unsigned long long)auth_revision(&w->sites[0]));
	end(w);
}

/* R5: the others come when there is a leader already, so that they are not it. */
static void leader_without(void)
{
	struct world *w = begin(5, 3);

	start(&w->sites[0]);
	start(&w->sites[1]);
	run(w, 5 * S);
	if (!w->sites[0].ready || !w->sites[1].ready || enabled(&w->sites[0]))
		sim_fail("R5: members without a password are to serve as ever");
	w->sites[2].root_hash = hashes[2];
	start(&w->sites[2]);
	run(w, 3 * S);
	if (w->sites[2].ready)
		sim_fail("R5: a follower is to be patient with its leader");
	run(w, 5 * S);
	all_ready(w, "R5");
	end(w);
}

int main(int argc, char **argv)
{
	scenario_begin(argc, argv);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		all_given(seed, 3);
		all_given(seed, 1);
	}
	leader_without();
	return 0;
}
