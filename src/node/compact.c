/* The background part of a compaction: first the hash of what was (on a worker), then old index entries and rows in slices, with
 * pauses, until the finished mark is in the write buffer. Holds of readers stop it; they are bounded. */
#include "node/node_impl.h"

enum { HELD_RETRY_MS = 50 };

struct compact_hash {
	struct job job;
	struct node *node;
	struct mvcc_hash hash;
	err_t err;
};

static uint32_t batch(const struct node *n)
{
	return n->cfg.compaction_batch_limit ? n->cfg.compaction_batch_limit : 1000;
}

static bool hash_run(struct job *j)
{
	struct compact_hash *h = CONTAINER_OF(j, struct compact_hash, job);
	const struct publication *p = node_view(h->node);
	bool done = false;

	h->err = mvcc_hash_step(&h->hash, &p->mvcc, 2 * batch(h->node), &done);
	node_leave(h->node);
	return done || h->err;
}

static void hash_start(struct node *n, int64_t rev, int64_t before)
{
	struct compact_hash *h = NEW(struct compact_hash);

	h->job = (struct job){.msg.kind = CORE_COMPACT_HASH, .run = hash_run, .reply = n->core};
	h->node = n;
	mvcc_hash_init_compaction(&h->hash, rev, before);
	n->compact_hash = h;
	n->jobs++;
	sched_run(n->sched, &h->job);
}

void core_compact_hashed(struct node *n, struct job *j)
{
	struct compact_hash *h = CONTAINER_OF(j, struct compact_hash, job);

	n->jobs--;
	n->compact_hash = NULL;
	if (h->err)
		mvcc_compact_hash_failed(n->mvcc);
	else
		mvcc_compact_hashed(n->mvcc, h->hash.result.crc);
	mvcc_hash_fini(&h->hash);
	mem_free(h);
	n->changed = true;
	core_compact_kick(n);
}

static void finished(struct node *n)
{
	int64_t rev = mvcc_compact_finished_rev(n->mvcc);

	if (n->compacting) {
		n->compacting = false;
		metric_observe(METRIC_DEBUGGING_MVCC_DB_COMPACTION_TOTAL_DURATION_MILLISECONDS, core_now(n) - n->compact_started_ns);
		/* The index is trimmed in the same steps, none of which holds others up for longer than this. */
		metric_observe(METRIC_DEBUGGING_MVCC_INDEX_COMPACTION_PAUSE_DURATION_MILLISECONDS, n->compact_step_ns_max);
		n->compact_step_ns_max = 0;
		metric_set(METRIC_DEBUGGING_MVCC_DB_COMPACTION_LAST, (double)(n->cfg.hooks.wall_ns(n->cfg.hooks.arg) / 1000000000));
		LOG_INFO("finished scheduled compaction", LOG_INT("compact-revision", rev),
			 LOG_DURATION("took", (int64_t)(core_now(n) - n->compact_started_ns)), LOG_UINT("current-db-size-bytes", bolt_size(n->db)),
			 LOG_UINT("current-db-size-in-use-bytes", bolt_size_in_use(n->db)));
	}
	/* Physical compactions wait for the commit as well: they become barriers. */
	LIST_EACH_SAFE(l, &n->physical) {
		struct call *c = CONTAINER_OF(l, struct call, link);

		if (c->revision > rev)
			continue;
		list_remove(&c->link);
		c->order = backend_freeze_number(n->backend);
		n->commit_wanted = true;
		list_push_back(&n->barriers, &c->link);
	}
}

void core_compact_step(struct node *n)
{
	uint32_t limit = batch(n);
	int64_t rev, before;
	uint64_t pause_ms = n->cfg.compaction_sleep_ms, began;

	if (n->stopping || core_installing(n))
		return;                         /* core_installed kicks again */
	if (mvcc_compact_wants_hash(n->mvcc, &rev, &before)) {
		if (!n->compact_hash)
			hash_start(n, rev, before);
		return;
	}
	if (!backend_full(n->backend)) {
		enum mvcc_compact_state state;

		began = core_now(n);
		state = mvcc_compact_step(n->mvcc, limit);
		n->compact_step_ns_max = MAX(n->compact_step_ns_max, core_now(n) - began);
		metric_observe(METRIC_DEBUGGING_MVCC_DB_COMPACTION_PAUSE_DURATION_MILLISECONDS, core_now(n) - began);
		switch (state) {
		case MVCC_COMPACT_IDLE:
			core_wrote(n);
			n->changed = true;
			finished(n);
			return;
		case MVCC_COMPACT_HASHING:
			return;
		case MVCC_COMPACT_HELD:
			pause_ms = HELD_RETRY_MS;
			break;
		case MVCC_COMPACT_MORE:
			break;
		}
		core_wrote(n);
		n->changed = true;
	}
	timer_set(&n->compact_timer, MAX(pause_ms, 1) * UINT64_C(1000000));
}

void core_compact_kick(struct node *n)
{
	if (mvcc_compact_state(n->mvcc) == MVCC_COMPACT_IDLE) {
		finished(n);
		return;
	}
	if (!n->compacting) {
		n->compacting = true;
		n->compact_started_ns = core_now(n);
	}
	if (!n->compact_timer.slot)
		timer_set(&n->compact_timer, 0);
}
