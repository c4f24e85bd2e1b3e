/* Processes and machines: what starts, steps, pauses and ends them. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc.h"
#include "call.h"
#include "net.h"
#include "obs/log.h"
#include "snap/snap.h"
#include "wal/wal.h"

#define WALL_NS INT64_C(1700000000000000000)

static struct world *running;           /* the hooks of base and obs take no argument */
static jmp_buf fatal_jump;
static bool fatal_armed;
static char fatal_line[1024];

void sim_fail(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "seed %llu: at %.3f s: %s\n", (unsigned long long)running->seed, (double)now_ns(running) / 1e9, text);
	fflush(stderr);
	_exit(3);
}

static void on_fatal(const char *line)
{
	snprintf(fatal_line, sizeof(fatal_line), "%s", line);
	if (fatal_armed)
		longjmp(fatal_jump, 1);
	sim_fail("fatal outside of any process: %s", line);
}

static int64_t log_clock(void)
{
	return running ? WALL_NS + (int64_t)now_ns(running) : 0;
}

void world_digest(struct world *w, const void *data, size_t size)
{
	w->digest = hash64(w->digest, data, size);
}

void world_post(struct world *w, struct msg *m, uint64_t delay_ns)
{
	sched_sim_post_at(w->sched, w->actor, m, now_ns(w) + delay_ns);
}

/* ---- hooks of the node ---- */

static void hook_random(void *arg, void *out, size_t size)
{
	struct site *s = arg;

	for (size_t i = 0; i < size; i++)
		((uint8_t *)out)[i] = (uint8_t)rng_next(&s->rng);
}

static int64_t hook_wall_ns(void *arg)
{
	return WALL_NS + (int64_t)now_ns(((struct site *)arg)->w);
}

static void hook_ready(void *arg)
{
	((struct site *)arg)->ready = true;
}

static void hook_watch_output(void *arg, uint32_t port, struct watch_batch *take_b)
{
	api_watch_output(((struct site *)arg)->io, take_b);
}

static void hook_removed(void *arg)
{
	((struct site *)arg)->removed = true;
}

/* While it opens: the world stands still, and whoever is asked answers in its next steps. */
static void hook_ask(void *arg, struct member_question *q)
{
	jmp_buf opening;

	memcpy(&opening, &fatal_jump, sizeof(opening));
	net_ask_now(arg, q);
	memcpy(&fatal_jump, &opening, sizeof(opening));
	fatal_armed = true;
}

static void hook_applying(void *arg, const struct raft_entry *e, bool again)
{
	struct site *s = arg;

	model_applying(&s->w->model, e, s->name, now_ns(s->w));
}

/* ---- actors ---- */

static void io_receive(void *self, struct msg *m)
{
	struct site *s = self;

	if (m->kind == NET_MSG_ASKED)
		net_asked(s, m);
	else if (m->kind >= CALL_MSG_FIRST)
		call_receive(s, m);
	else
		api_receive(s->io, m);
}

static const struct actor_ops io_ops = {io_receive, NULL};

static void disk_finish(struct site *s)
{
	s->finishing = false;
	if (s->node && !s->disk_hangs)
		vfs_mem_finish_one(s->disk);
}

static void world_receive(void *self, struct msg *m)
{
	switch (m->kind) {
	case W_CLIENT_GO: client_go(CONTAINER_OF(m, struct client, go)); break;
	case W_CLIENT_GIVE_UP: client_give_up(CONTAINER_OF(m, struct client, give_up)); break;
	case W_WATCHER_GO: watcher_go(CONTAINER_OF(m, struct watcher_client, go)); break;
	case W_ANSWER: call_answered(m); break;
	case W_DISK: disk_finish(CONTAINER_OF(m, struct site, finish)); break;
	case W_NET: net_receive(self, m); break;
	default: UNREACHABLE();
	}
}

static const struct actor_ops world_ops = {world_receive, NULL};

/* ---- a site's life ---- */

static char *initial_cluster(struct site *s)
{
	struct world *w = s->w;
	char *text = mem_strdup("");

	for (unsigned i = 0; i < w->k.sites; i++) {
		const struct site *o = &w->sites[i];
		char *longer = mem_printf("%s%s%s=%s", text, text[0] ? "," : "", o->name, o->url);

		mem_free(text);
		text = longer;
	}
	return text;
}

static struct node_config options(struct site *s, const char *cluster)
{
	struct world *w = s->w;

	return (struct node_config){
		.sched = w->sched,
		.fs = vfs_mem_vfs(s->disk),
		.hooks = {s, hook_random, hook_wall_ns, NULL, hook_ready, hook_watch_output, hook_applying, hook_removed, hook_ask, NULL},
		.transport = &s->transport,
		.data_dir = "/data",
		.name = s->name,
		.peer_urls = s->peer_urls,
		.client_urls = s->client_urls,
		.peer_url_count = 1,
		.client_url_count = 1,
		.initial_cluster = cluster,
		.initial_token = "sim",
		.heartbeat_ms = 100,
		.election_ms = 1000,
		.snapshot_count = w->k.snapshot_count,
		.snapshot_catchup_entries = w->k.catchup_entries,
		.quota_bytes = w->k.quota_bytes,
		.request_bytes_max = 1572864,
		.txn_ops_max = 128,
		.backend_batch_ms = w->k.batch_ms,
		.backend_batch_limit = w->k.batch_limit,
		.compaction_batch_limit = w->k.compaction_batch_limit,
		.compaction_sleep_ms = 10,
		.wal_files_max = 3,
		.snap_files_max = 3,
		.wal_segment_bytes = w->k.wal_segment_bytes,
		.watch_progress_ns = 2 * S,
		.downgrade_check_ns = 5 * S,
		.watch_ports = 1,
		.initial_election_tick_advance = true,
		.pre_vote = true,
		.strict_reconfig_check = true,
		.join_existing = s->joined,
	};
}

/* How fast this life's disk is: the log's asynchronous writes, and the backend's blocking ones. */
static void site_slow(struct site *s)
{
	struct world *w = s->w;

	if (!w->k.slow_disks)
		return;
	s->disk_slow_ns = chance(w, 15) && !w->healed ? draw(w, 300 * MS) : draw(w, 2 * MS);
	sched_sim_slow_jobs(w->sched, s->group, chance(w, 40) && !w->healed ? draw(w, 30 * MS) : 0);
	sched_sim_stall(w->sched, s->group, "backend", chance(w, 30) && !w->healed ? draw(w, 300 * MS) : draw(w, 5 * MS));
}

/* A fault may end the process while it starts. */
static __attribute__((noinline)) err_t open_node(struct site *s, const struct node_config *nc, struct why *why)
{
	err_t err;

	if (setjmp(fatal_jump)) {
		fatal_armed = false;
		actor_mark(NULL);
		s->node = NULL;
		s->leaked = true;
		sched_sim_kill(s->w->sched, s->group);
		s->w->count.fatals++;
		return why_set(why, ERR_IO, "%s", fatal_line);
	}
	fatal_armed = true;
	err = node_open(nc, why, &s->node);
	fatal_armed = false;
	if (err)
		s->node = NULL;
	return err;
}

/* What etcd in Go starts from, on the same data: the .snap file of the newest record in the log. We read the log alone. */
static void check_snap_file(struct site *s)
{
	struct vfs *fs = vfs_mem_vfs(s->disk);
	struct wal_marks marks = {0};
	struct raft_snapshot snap;
	char name[SNAP_NAME_SIZE];
	struct why why;

	if (!wal_exists(fs, "/data/member/wal") || wal_valid_snapshots(fs, "/data/member/wal", &why, &marks))
		return;                         /* the member says what is wrong */
	if (marks.count && marks.at[marks.count - 1].index) {
		const struct wal_snapshot_mark *m = &marks.at[marks.count - 1];
		char *path;

		snap_name((struct snap_pos){m->index, m->term}, name);
		path = mem_printf("/data/member/snap/%s", name);
		if (snap_read(fs, path, &why, &snap))
			sim_fail("%s: the log has a record of %s, which cannot be read: %s", s->name, path, why.text);
		raft_snapshot_fini(&snap);
		mem_free(path);
	}
	wal_marks_fini(&marks);
}

bool site_start(struct site *s)
{
	struct world *w = s->w;
	struct api_opts ao = {.request_bytes_max = 1572864, .txn_ops_max = 128, .quota_bytes = w->k.quota_bytes, .slice_rows = w->k.slice_rows,
		.certificates_name_users = w->k.rights};
	char *cluster = s->joined ? members_initial_cluster(s) : initial_cluster(s);
	struct node_config nc = options(s, cluster);
	struct why why = {""};
	err_t err;

	ASSERT(!s->node);
	s->group = 1 + s->number + SITES_MAX * ++s->life;
	s->ready = s->died = false;
	s->rev_seen = 0;
	s->peers.count = s->refused.count = 0;
	check_snap_file(s);
	sched_sim_set_group(w->sched, s->group);
	err = open_node(s, &nc, &why);
	mem_free(cluster);
	if (err) {
		sched_sim_set_group(w->sched, 0);
		if (w->healed && s->exists)
			sim_fail("%s does not start: %s", s->name, why.text);
		if (getenv("SIM_VERBOSE"))
			fprintf(stderr, "%.3f s: %s does not start: %s\n", (double)now_ns(w) / 1e9, s->name, why.text);
		return false;
	}
	s->exists = s->up = true;
	s->up_ns = now_ns(w);
	s->member_id = node_member_id(s->node);
	s->api = api_new(s->node, &ao);
	s->io_actor = actor_new(w->sched, "io", &io_ops, s, ACTOR_OWN_THREAD);
	s->io = api_io_new(s->api, s->io_actor, 0);
	if (s->root_hash)
		node_secure(s->node, s->root_hash);
	node_start(s->node);
	sched_sim_set_group(w->sched, 0);
	site_slow(s);
	return true;
}

static void close_node(struct site *s)
{
	if (s->died) {
		sched_sim_kill(s->w->sched, s->group);  /* in the middle of a step: what it held is lost */
		s->leaked = true;
	} else {
		sched_sim_drop(s->w->sched, s->group);
		api_io_abandon(s->io);
		actor_free(s->io_actor);
		node_close(s->node);
		api_free(s->api);
	}
	s->node = NULL;
	s->api = NULL;
	s->io = NULL;
	s->io_actor = NULL;
}

void site_end(struct site *s, bool power)
{
	struct world *w = s->w;

	sched_sim_pause(w->sched, s->group, false);
	s->paused = false;
	if (s->node) {
		s->died |= sched_sim_has_jobs(w->sched, s->group);      /* they hold what cannot be taken from them */
		calls_lost(s);
		net_site_ended(s);
		close_node(s);
	}
	if (power) {
		w->count.crashes++;
		vfs_mem_crash(s->disk);
	} else {
		w->count.kills++;
		vfs_mem_kill(s->disk);
	}
	vfs_mem_fault(s->disk, 0, VFS_FAULT_NONE);
	s->up = s->died = false;
}

void site_pause(struct site *s, bool paused)
{
	struct world *w = s->w;

	if (!s->node || paused == s->paused)
		return;
	s->paused = paused;
	sched_sim_pause(w->sched, s->group, paused);
	if (paused)
		s->paused_ns = now_ns(w);
	else if (w->k.sites == 1 && w->site_count == 1 && now_ns(w) - s->paused_ns > 2 * S)
		model_gap(&w->model, s->paused_ns, now_ns(w));
	w->count.pauses += paused;
}

struct site *site_of_member(struct world *w, uint64_t id)
{
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].exists && w->sites[i].member_id == id)
			return &w->sites[i];
	return NULL;
}

struct site *site_random(struct world *w)
{
	unsigned count = 0, pick;

	for (unsigned i = 0; i < w->site_count; i++)
		count += w->sites[i].node && !w->sites[i].paused;
	if (!count)
		return NULL;
	pick = (unsigned)draw(w, count);
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].node && !w->sites[i].paused && pick-- == 0)
			return &w->sites[i];
	UNREACHABLE();
}

struct site *site_leader(struct world *w)
{
	struct site *best = NULL;
	uint64_t term = 0;

	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		const struct publication *p;

		if (!s->node)
			continue;
		p = node_view(s->node);
		if (p->leader == s->member_id && p->term > term) {
			best = s;
			term = p->term;
		}
		node_leave(s->node);
	}
	return best;
}

/* ---- steps ---- */

static struct site *site_of_group(struct world *w, uint32_t group)
{
	for (unsigned i = 0; i < w->site_count; i++)
		if (w->sites[i].node && w->sites[i].group == group)
			return &w->sites[i];
	return NULL;
}

static void after_step(struct world *w)
{
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];

		if (!s->node)
			continue;
		if (s->died || vfs_mem_crashed(s->disk)) {
			w->count.fatals += s->died;
			site_end(s, true);
		} else if (s->removed) {
			site_end(s, false);
			s->exists = false;
		} else if (vfs_mem_waiting(s->disk) && !s->finishing && !s->disk_hangs) {
			s->finishing = true;
			s->finish.kind = W_DISK;
			world_post(w, &s->finish, draw(w, s->disk_slow_ns + 1));
		}
	}
}

bool world_step(struct world *w, uint64_t until_ns)
{
	bool worked;

	running = w;
	if (setjmp(fatal_jump)) {
		struct site *s = site_of_group(w, sched_sim_group(w->sched));

		fatal_armed = false;
		actor_mark(NULL);
		if (!s)
			sim_fail("fatal outside of any process: %s", fatal_line);
		if (w->healed)
			sim_fail("%s ended itself: %s", s->name, fatal_line);
		if (getenv("SIM_VERBOSE"))
			fprintf(stderr, "%.3f s: %s ends itself: %s\n", (double)now_ns(w) / 1e9, s->name, fatal_line);
		s->died = true;
		after_step(w);
		return true;
	}
	fatal_armed = true;
	worked = sched_sim_step(w->sched, until_ns);
	fatal_armed = false;
	if (worked) {
		w->count.steps++;
		after_step(w);
	}
	return worked;
}

void world_run(struct world *w, uint64_t ns)
{
	uint64_t until = now_ns(w) + ns;

	while (world_step(w, until))
		;
}

/* ---- the world ---- */

static void knobs_draw(struct world *w)
{
	static const unsigned sizes[] = {1, 3, 3, 3, 5};

	unsigned sites = sizes[draw(w, ARRAY_COUNT(sizes))];

	w->k = (struct knobs){
		.sites = sites,
		.clients = 1 + (unsigned)draw(w, CLIENTS_MAX),
		.watchers = 1 + (unsigned)draw(w, WATCHERS_MAX),
		.keys = 2 + (unsigned)draw(w, 8),
		.batch_ms = 5 + (uint32_t)draw(w, 200),
		.batch_limit = chance(w, 30) ? 1 + (uint32_t)draw(w, 50) : 0,
		.compaction_batch_limit = 1 + (uint32_t)draw(w, 100),
		.snapshot_count = 10 + draw(w, 200),
		.catchup_entries = 5 + draw(w, 50),
		.wal_segment_bytes = 4096 + draw(w, 60000),
		.value_bytes_max = chance(w, 10) ? 4000 : 64,
		.quota_bytes = chance(w, 10) ? 200000 + (int64_t)draw(w, 400000) : 0,
		.think_ns = chance(w, 5) ? 2 * MS : 10 * MS + draw(w, 200 * MS),
		.net_delay_ns = draw(w, 5 * MS),
		.drop_per_mille = chance(w, 50) ? 0 : (uint32_t)draw(w, 50),
		.duplicate_per_mille = chance(w, 70) ? 0 : (uint32_t)draw(w, 30),
		.rot_per_mille = chance(w, 60) ? 0 : (uint32_t)draw(w, 500),
		.faults = (unsigned)draw(w, 30),
		.fault_gap_ns = 1 + draw(w, 6 * S),
		.disk_faults = chance(w, 60),
		.process_faults = chance(w, 80),
		.net_faults = chance(w, 70),
		.pauses = chance(w, 40),
		.membership = chance(w, sites == 1 ? 60 : 30),
		.slow_readers = chance(w, 30),
		.slow_disks = true,
		.stutters = chance(w, 15),
		.slice_rows = chance(w, 60) ? 1 + (uint32_t)draw(w, 5) : 0,
	};
	w->k.rights = chance(w, 30);
	switch (draw(w, 20)) {          /* what chance brings together too seldom */
	case 0:                         /* a member alone becomes one of many, and no process ends meanwhile */
	case 1:
		w->k.sites = 1;
		w->k.membership = w->k.net_faults = true;
		w->k.disk_faults = w->k.process_faults = w->k.pauses = false;
		w->k.faults += 20;
		break;
	case 2: /* pauses and nothing else */
	case 3:
		w->k.membership = w->k.disk_faults = w->k.process_faults = w->k.net_faults = false;
		w->k.pauses = true;
		if (chance(w, 50))
			w->k.sites = 1;
		w->k.faults += 10;
		w->k.fault_gap_ns = 15 * S;
		w->k.clients = CLIENTS_MAX;
	}
}

struct site *site_new(struct world *w)
{
	unsigned i = w->site_count++;
	struct site *s = &w->sites[i];

	*s = (struct site){.w = w, .number = i};
	snprintf(s->name, sizeof(s->name), "m%u", i + 1);
	snprintf(s->url, sizeof(s->url), "http://10.0.0.%u:2380", i + 1);
	snprintf(s->other_url, sizeof(s->other_url), "http://10.1.0.%u:2380", i + 1);        /* where nobody answers */
	snprintf(s->client_url, sizeof(s->client_url), "http://10.0.0.%u:2379", i + 1);
	s->peer_urls[0] = s->url;
	s->client_urls[0] = s->client_url;
	rng_init(&s->rng, rng_next(&w->rng));
	s->disk = vfs_mem_new(rng_next(&w->rng));
	vfs_mem_set_auto_done(s->disk, false);
	/* In the log it would be found, and the member refuse to start: right, and the end of what can be checked. */
	vfs_mem_set_rot(s->disk, w->k.rot_per_mille, "/data/member/snap");
	net_transport(s);
	return s;
}

struct world *world_new(uint64_t seed, const struct knobs *k)
{
	struct world *w = NEW(struct world);

	running = w;
	w->seed = seed;
	rng_init(&w->rng, seed);
	knobs_draw(w);
	if (k)
		w->k = *k;
	w->sched = sched_sim_new(rng_next(&w->rng));
	w->actor = actor_new(w->sched, "world", &world_ops, w, ACTOR_OWN_THREAD);
	list_init(&w->calls);
	model_init(&w->model, seed);
	w->model.with_rights = w->k.rights;
	net_new(w);
	for (unsigned i = 0; i < w->k.sites; i++)
		site_new(w)->exists = true;
	fatal_set_hook(on_fatal);
	log_set_clock(log_clock);
	return w;
}

void world_free(struct world *w)
{
	calls_free(w);
	net_free(w);
	actor_free(w->actor);
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];

		if (!s->leaked)
			vfs_mem_free(s->disk);
		VEC_FREE(&s->peers);
		VEC_FREE(&s->refused);
	}
	for (size_t i = 0; i < w->op_count; i++)
		blob_unref(w->ops[i].body);
	mem_free(w->ops);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		buf_fini(&w->clients[i].message);
	model_fini(&w->model);
	sched_free(w->sched);
	log_set_clock(NULL);
	running = NULL;
	mem_free(w);
}

static void stop_all(struct world *w)
{
	watchers_stop(w);
	world_run(w, 30 * S);
	if (!calls_idle(w))
		sim_fail("calls have no end");
	for (unsigned i = 0; i < w->site_count; i++) {
		struct site *s = &w->sites[i];
		uint64_t until = now_ns(w) + 60 * S;

		if (!s->node)
			continue;
		node_stop(s->node);
		while (!node_stopped(s->node))
			if (!world_step(w, until))
				sim_fail("%s does not stop", s->name);
		if (!api_io_idle(s->io))
			sim_fail("%s stopped with calls left over", s->name);
		sched_sim_drop(w->sched, s->group);
		net_site_ended(s);
		api_io_free(s->io);
		actor_free(s->io_actor);
		node_close(s->node);
		api_free(s->api);
		s->node = NULL;
	}
}

uint64_t world_play(struct world *w)
{
	uint64_t trace;

	for (unsigned i = 0; i < w->k.sites; i++)
		site_start(&w->sites[i]);
	clients_start(w);
	nemesis_play(w);
	nemesis_heal(w);
	check_final(w);
	stop_all(w);
	trace = sched_sim_trace(w->sched);
	world_digest(w, &trace, sizeof(trace));
	return w->digest;
}
