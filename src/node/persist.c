#include "node/persist.h"

#include "base/bug.h"
#include "base/list.h"
#include "bolt/bolt.h"
#include "obs/metric.h"

enum { PURGE_EVERY_S = 30, PREPARE_AFTER_MS = 20, MOVE_PAGES_MAX = 256 };

static void queue_init(struct persist *p)
{
	p->waiting_tail = &p->waiting;
	p->writing_tail = &p->writing;
}

static void give_back(struct persist *p, struct persist_append *list)
{
	while (list) {
		struct persist_append *a = list;

		list = a->next;
		actor_post(p->core, &a->msg);
	}
}

static void io_done(void *arg)
{
	struct persist *p = arg;

	actor_post(p->wal_actor, &p->io);
}

static void write_start(struct persist *p)
{
	p->writing = p->waiting;
	p->writing_tail = p->writing ? p->waiting_tail : &p->writing;
	p->waiting = NULL;
	p->waiting_tail = &p->waiting;
	p->busy = true;
	if (BUG(ACK_BEFORE_SYNC)) {
		give_back(p, p->writing);
		p->writing = NULL;
	}
	p->io_started_ns = sched_now_ns(p->sched);
	p->write_since_ns = p->io_started_ns;
	wal_sync_start(p->wal, io_done, p);
}

/* Those in front that need no sync of their own: all before them is durable now. */
static void give_back_unsynced(struct persist *p)
{
	while (p->waiting && !p->waiting->must_sync) {
		struct persist_append *a = p->waiting;

		p->waiting = a->next;
		actor_post(p->core, &a->msg);
	}
	if (!p->waiting)
		p->waiting_tail = &p->waiting;
}

static void write_end(struct persist *p)
{
	struct persist_append *list = p->writing;
	uint64_t took = sched_now_ns(p->sched) - p->io_started_ns;
	struct why why;
	err_t err = wal_sync_end(p->wal, &why);

	if (err && !BUG(SYNC_ERROR_IGNORED))
		fatal("write-ahead log: %s; the disk or its file system failed, the member must be started again on a sound one", why.text);
	metric_set(METRIC_DISK_WAL_WRITE_BYTES_TOTAL, (double)wal_stats(p->wal)->written_bytes);
	p->busy = false;
	p->write_since_ns = 0;
	p->writing = NULL;
	p->writing_tail = &p->writing;
	for (struct persist_append *a = list; a; a = a->next) {
		a->sync_ns = took;
		if (a->is_mark || a->m.snapshot) {
			uint64_t index = a->is_mark ? a->mark.index : a->m.snapshot->index;

			wal_release(p->wal, index);
			/* An older database file that cannot be removed is tried again at the next snapshot. */
			err_ignore(snap_release_dbs(p->fs, p->snap_dir, index, NULL));
		}
	}
	give_back(p, list);
	give_back_unsynced(p);
	timer_set(&p->prepare, PREPARE_AFTER_MS * UINT64_C(1000000));
}

/* One received: file first, then the record. */
static void save_snapshot(struct persist *p, const struct raft_snapshot *s)
{
	struct wal_snapshot_mark mark = {.index = s->index, .term = s->term, .has_conf_state = true};
	err_t err = snap_save(p->fs, p->snap_dir, s);

	if (err)
		fatal("failed to save Raft snapshot: %s", err_text(err));
	raft_conf_state_copy(&mark.conf_state, &s->conf_state);
	wal_save_snapshot(p->wal, &mark);
	wal_snapshot_mark_fini(&mark);
}

static void save(struct persist *p, struct persist_append *a)
{
	a->next = NULL;
	a->must_sync = true;
	if (a->is_mark) {
		wal_save_snapshot(p->wal, &a->mark);
	} else {
		struct raft_hard_state hs = {.term = a->m.term, .vote = a->m.vote, .commit = a->m.commit};
		uint64_t began = sched_now_ns(p->sched);

		if (BUG(LOST_VOTE) && !a->m.entry_count)
			hs = (struct raft_hard_state){0};
		if (a->m.snapshot)
			save_snapshot(p, a->m.snapshot);
		a->must_sync = wal_save(p->wal, &hs, a->m.entries, a->m.entry_count) || a->m.snapshot;
		metric_observe(METRIC_DISK_WAL_WRITE_DURATION_SECONDS, sched_now_ns(p->sched) - began);
	}
	if (!a->must_sync && !p->busy && !p->waiting) {
		actor_post(p->core, &a->msg);
		return;
	}
	*p->waiting_tail = a;
	p->waiting_tail = &a->next;
}

static void prepare(struct persist *p)
{
	struct why why;
	err_t err = OK;

	if (p->busy)
		return;
	p->write_since_ns = sched_now_ns(p->sched);     /* appends wait behind it */
	err = wal_prepare(p->wal, &why);
	p->write_since_ns = 0;
	if (err)
		fatal("write-ahead log: %s", why.text);
}

static void wal_receive(void *self, struct msg *m)
{
	struct persist *p = self;

	switch (m->kind) {
	case PERSIST_APPEND: save(p, CONTAINER_OF(m, struct persist_append, msg)); break;
	case PERSIST_WAL_IO: write_end(p); break;
	case PERSIST_PREPARE: prepare(p); break;
	default: UNREACHABLE();
	}
}

static void wal_batch_end(void *self)
{
	struct persist *p = self;

	if (!p->busy && p->waiting)
		write_start(p);
}

static void merge(struct persist *p, struct persist_merge *m)
{
	err_t err = backend_merge(m->backend);

	if (err)
		fatal("backend file: %s while committing; nothing acknowledged is lost, start the member again on a sound disk", err_text(err));
	m->times = bolt_commit_times(m->db);
	if (m->snap) {
		uint64_t began = sched_now_ns(p->sched);

		err = snap_save(p->fs, p->snap_dir, m->snap);
		if (err)
			fatal("failed to save Raft snapshot: %s", err_text(err));
		/* Nearly all of it is the sync. */
		metric_observe(METRIC_DEBUGGING_SNAP_SAVE_TOTAL_DURATION_SECONDS, sched_now_ns(p->sched) - began);
		metric_observe(METRIC_SNAP_FSYNC_DURATION_SECONDS, sched_now_ns(p->sched) - began);
	}
	actor_post(p->core, &m->msg);
}

static void move(struct persist *p, struct persist_move *m)
{
	ASSERT(m->msg.kind == PERSIST_MOVE);
	m->err = bolt_move_step(m->db, MOVE_PAGES_MAX, &m->done);
	if (m->err)
		fatal("backend file: %s while moving pages; nothing acknowledged is lost, start the member again on a sound disk",
		      err_text(m->err));
	m->held = bolt_pages_held(m->db);
	actor_post(p->core, &m->msg);
}

static void install(struct persist *p, struct persist_install *i)
{
	i->run(i);
	actor_post(p->core, &i->msg);
}

static void purge_later(struct persist *p)
{
	timer_set(&p->purge, PURGE_EVERY_S * UINT64_C(1000000000));
}

/* Beside the wal actor: giving back the blocks of a segment takes 15 ms, and its own files are locked. */
static void purge(struct persist *p)
{
	size_t purged;

	/* What can't be removed now is tried again in half a minute. */
	if (p->wal_files_max)
		err_ignore(wal_purge(p->fs, p->wal_dir, p->wal_files_max, &purged));
	if (p->snap_files_max)
		err_ignore(snap_purge(p->fs, p->snap_dir, p->snap_files_max, &purged));
	purge_later(p);
}

static void backend_receive(void *self, struct msg *m)
{
	switch (m->kind) {
	case PERSIST_START: purge_later(self); break;
	case PERSIST_PURGE: purge(self); break;
	case PERSIST_MERGE: merge(self, CONTAINER_OF(m, struct persist_merge, msg)); break;
	case PERSIST_INSTALL: install(self, CONTAINER_OF(m, struct persist_install, msg)); break;
	default: move(self, CONTAINER_OF(m, struct persist_move, msg)); break;
	}
}

static const struct actor_ops wal_ops = {wal_receive, wal_batch_end};
static const struct actor_ops backend_ops = {backend_receive, NULL};

void persist_start(struct persist *p)
{
	queue_init(p);
	p->io = (struct msg){.kind = PERSIST_WAL_IO};
	p->wal_actor = actor_new(p->sched, "wal", &wal_ops, p, ACTOR_OWN_THREAD);
	p->backend_actor = actor_new(p->sched, "backend", &backend_ops, p, ACTOR_THREAD_ONLY);
	timer_init(&p->purge, p->backend_actor, PERSIST_PURGE);
	timer_init(&p->prepare, p->wal_actor, PERSIST_PREPARE);
	p->start = (struct msg){.kind = PERSIST_START};
	actor_post(p->backend_actor, &p->start);
}

void persist_stop(struct persist *p)
{
	actor_free(p->wal_actor);
	actor_free(p->backend_actor);
	p->wal_actor = p->backend_actor = NULL;
}
