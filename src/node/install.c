/* A snapshot of the leader takes the place of this member's state. By now the database lies in the snap directory, and the
 * .snap file and the log's record are durable; a crash from here on is mended at the start (boot.c).
 *
 *	append with a snapshot came back     later appends are held, entries under way are dropped: the snapshot has them
 *	nothing else uses the file           merges, page moves, jobs over the store came back; none begins
 *	backend actor                        rename over the database, open it, make all machines anew
 *	core                                 swaps them in one step between two publications, answers raft, goes on
 *
 * Readers of the publication before keep the old machines until they leave; its file is closed when the last pin is back. */
#include "node/node_impl.h"

struct install {
	struct persist_install work;
	struct node *node;
	struct persist_append *append;          /* whose snapshot it is; behind it, by next, those held */
	struct persist_append **tail;
	struct node_state st;
	char *from, *to;
	bool running;
	uint64_t started_ns;
};

struct old_state {
	struct node *node;
	struct mvcc *mvcc;
	struct backend *backend;
	struct bolt *db;
};

/* On the backend actor; core touches none of this meanwhile. */
static void install_run(struct persist_install *p)
{
	struct install *in = CONTAINER_OF(p, struct install, work);
	struct node *n = in->node;
	uint64_t index = in->append->m.snapshot->index;
	struct why why;
	err_t err = vfs_rename(n->fs, in->from, in->to);

	if (!err)
		err = vfs_sync_dir(n->fs, n->snap_dir);
	if (err)
		fatal("renaming %s to %s: %s", in->from, in->to, err_text(err));
	err = state_open(&in->st, n, in->to, &why);
	if (!err)
		err = state_load(&in->st, in->to, &why);
	if (!err)
		err = state_mvcc(&in->st, n, in->to, &why);
	if (err)
		fatal("the snapshot at index %llu cannot be used: %s", (unsigned long long)index, why.text);
	if (in->st.meta.consistent_index < index)
		fatal("the snapshot at index %llu came with a database of index %llu", (unsigned long long)index,
		      (unsigned long long)in->st.meta.consistent_index);
}

void core_install(struct node *n, struct persist_append *take_a)
{
	struct install *in = n->install;
	char name[SNAP_NAME_SIZE];

	take_a->next = NULL;
	if (in) {
		*in->tail = take_a;
		in->tail = &take_a->next;
		return;
	}
	in = n->install = NEW(struct install);
	in->node = n;
	in->append = take_a;
	in->tail = &take_a->next;
	in->started_ns = core_now(n);
	in->work.msg.kind = PERSIST_INSTALL;
	in->work.run = install_run;
	snap_db_name(take_a->m.snapshot->index, name);
	in->from = mem_printf("%s/%s", n->snap_dir, name);
	in->to = mem_printf("%s/db", n->snap_dir);
	LOG_INFO("applying snapshot", LOG_UINT("current-snapshot-index", n->snapshot_index), LOG_UINT("current-applied-index", n->applied),
		 LOG_UINT("incoming-leader-snapshot-index", take_a->m.snapshot->index),
		 LOG_UINT("incoming-leader-snapshot-term", take_a->m.snapshot->term));
}

void core_install_check(struct node *n)
{
	struct install *in = n->install;
	uint64_t seed;

	if (!in || in->running || n->merging || n->jobs || n->jobs_ready.count || n->snapshot_busy || n->stopping)
		return;
	in->running = true;
	n->cfg.hooks.random(n->cfg.hooks.arg, &seed, sizeof(seed));
	state_init(&in->st, n, seed);
	actor_post(n->persist.backend_actor, &in->work.msg);
}

bool core_install_running(const struct node *n)
{
	return n->install && n->install->running;
}

static void lost_hold(void *arg, int64_t rev)
{
	struct node *n = arg;

	VEC_PUSH(&n->lost_holds, rev);
}

/* True: that hold was of a state that is no more. */
bool core_lost_hold(struct node *n, int64_t revision)
{
	for (size_t i = 0; i < n->lost_holds.count; i++) {
		if (n->lost_holds.at[i] != revision)
			continue;
		n->lost_holds.at[i] = n->lost_holds.at[--n->lost_holds.count];
		return true;
	}
	return false;
}

static void swap(struct node *n, struct install *in)
{
	struct old_state *old = NEW(struct old_state);

	ASSERT(!n->old_state);
	*old = (struct old_state){n, n->mvcc, n->backend, n->db};
	mvcc_holds_take(in->st.mvcc, n->mvcc, lost_hold, n);
	lessor_free(n->lessor);
	alarms_fini(&n->alarms);
	members_free(n->members);
	auth_free(n->auth);
	n->replayed = in->st.meta.consistent_index;
	n->replayed_term = MAX(in->st.meta.term, in->append->m.snapshot->term);
	state_take(n, &in->st);
	n->installs++;
	n->old_state = old;
}

/* What was under way in the old state. */
static void restart_tasks(struct node *n)
{
	n->buffer_since_ns = 0;
	timer_cancel(&n->commit_timer);
	timer_cancel(&n->compact_timer);
	n->compacting = false;
	n->snapshot_wanted = false;
	LIST_EACH(l, &n->barriers)
		CONTAINER_OF(l, struct call, link)->order = backend_freeze_number(n->backend);
	if (!list_empty(&n->barriers))
		n->commit_wanted = true;
	n->seen.puts = n->seen.deletes = n->seen.txns = n->seen.compacted_rows = 0;
	n->seen.granted = n->seen.revoked = n->seen.renewed = n->seen.expired = 0;
}

static void answer_raft(struct node *n, struct install *in)
{
	struct persist_append *a = in->append;

	if (raft_mem_storage_apply_snapshot(n->log, a->m.snapshot))
		LOG_WARN("a received snapshot is older than the log");
	while (a) {
		struct persist_append *next = a->next;

		core_append_done(n, a);
		a = next;
	}
}

void core_installed(struct node *n)
{
	struct install *in = n->install;
	const struct raft_snapshot *s = in->append->m.snapshot;

	swap(n, in);
	n->install = NULL;
	n->applied = s->index;
	n->applied_term = s->term;
	n->snapshot_index = n->memory_snapshot_index = s->index;
	LOG_INFO("applied snapshot", LOG_UINT("current-snapshot-index", n->snapshot_index), LOG_UINT("current-applied-index", n->applied),
		 LOG_DURATION("took", (int64_t)(core_now(n) - in->started_ns)));
	restart_tasks(n);
	core_conf_state_changed(n, &s->conf_state);
	core_members_changed(n);
	core_alarms_changed(n);
	core_peers_set(n);
	watch_reset(n->hub, mvcc_revision(n->mvcc), mvcc_compact_revision(n->mvcc));
	core_auth_loaded(n);
	core_wrote(n);
	core_version_changed(n);
	core_compact_kick(n);
	answer_raft(n, in);
	core_reads_applied(n);
	core_defrag(n);
	n->own_publish_sent = false;    /* one that the snapshot holds is answered by nobody; twice does no harm */
	mem_free(in->from);
	mem_free(in->to);
	mem_free(in);
}

static void old_state_free(void *p)
{
	struct old_state *old = p;

	mvcc_free(old->mvcc);
	backend_free(old->backend);
	VEC_PUSH(&old->node->old_files, old->db);
	mem_free(old);
}

/* The publication that showed it has been replaced. */
void core_old_state_published(struct node *n)
{
	if (n->old_state)
		epoch_retire(n->epoch, n->old_state, old_state_free);
	n->old_state = NULL;
}

void core_old_files_close(struct node *n, bool all)
{
	size_t kept = 0;

	for (size_t i = 0; i < n->old_files.count; i++) {
		if (!all && bolt_has_readers(n->old_files.at[i]))
			n->old_files.at[kept++] = n->old_files.at[i];
		else
			bolt_close(n->old_files.at[i]);
	}
	n->old_files.count = kept;
}

void core_install_fini(struct node *n)
{
	struct install *in = n->install;

	if (!in)
		return;
	n->install = NULL;
	for (struct persist_append *a = in->append, *next; a; a = next) {
		next = a->next;
		raft_message_fini(&a->m);
		mem_free(a);
	}
	if (in->running)
		state_fini(&in->st);
	mem_free(in->from);
	mem_free(in->to);
	mem_free(in);
}
