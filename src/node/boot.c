/* From a data directory to a node, and back. The order is upstream's (spec storage.md section 9): directories, backend file, WAL
 * marks, snapshot, WAL content, identity, state machines, raft. Everything is read and judged before anything is written, so that
 * a refused directory is left as it was. */
#include <stdlib.h>

#include "auth/password.h"
#include "node/boot_impl.h"

enum { DIR_MODE = 0700, FILE_MODE = 0600, LOCK_RETRY_MS = 100, LOCK_LOG_MS = 10000 };

extern const struct actor_ops core_ops;

/* ---- directories ---- */

static err_t make_dir(struct vfs *fs, const char *path, const char *what, struct why *why)
{
	char *touch = mem_printf("%s/.touch", path);
	struct vfs_stat st;
	struct vfs_file *f;
	err_t err = vfs_mkdir_all(fs, path, DIR_MODE);

	if (err) {
		why_set(why, err, "cannot access %s: mkdir %s: %s", what, path, err_text(err));
		goto out;
	}
	err = vfs_open(fs, touch, VFS_WRITE | VFS_CREATE, FILE_MODE, &f);
	if (err) {
		why_set(why, err, "cannot access %s: open %s: %s", what, touch, err_text(err));
		goto out;
	}
	vfs_close(f);
	err = vfs_remove(fs, touch);
	if (!err && !vfs_stat(fs, path, &st) && (st.mode & 0777) != DIR_MODE)
		LOG_WARN("check file permission", LOG_STR("dir", path),
			 LOG_STR("error", "the directory exists, but its permission is not the recommended \"-rwx------\" that prevents "
					  "possible unprivileged access to the data"));
out:
	mem_free(touch);
	return err;
}

/* New directories must not vanish with the power: their names are made durable, from the data directory's own down. */
static err_t sync_names(struct boot *b, struct why *why)
{
	struct vfs *fs = b->n->fs;
	char *parent = mem_strdup(b->n->cfg.data_dir);
	char *slash = strrchr(parent, '/');
	err_t err;

	if (slash && slash != parent)
		*slash = 0;
	else
		strcpy(parent, slash ? "/" : ".");
	err = vfs_sync_dir(fs, parent);
	if (err == ERR_PERMISSION)
		err = OK;               /* not ours to sync: then it was not we who made the data directory */
	if (!err)
		err = vfs_sync_dir(fs, b->n->cfg.data_dir);
	if (!err)
		err = vfs_sync_dir(fs, b->member_dir);
	mem_free(parent);
	return err ? why_set(why, err, "cannot sync the directories of %s: %s", b->n->cfg.data_dir, err_text(err)) : OK;
}

static err_t boot_dirs(struct boot *b, struct why *why)
{
	struct vfs *fs = b->n->fs;
	err_t err = make_dir(fs, b->n->cfg.data_dir, "data directory", why);

	if (!err)
		err = make_dir(fs, b->member_dir, "member directory", why);
	if (!err)
		err = make_dir(fs, b->snap_dir, "snapshot directory", why);
	if (!err && vfs_exists(fs, b->wal_dir))
		err = make_dir(fs, b->wal_dir, "WAL directory", why);
	return err ? err : sync_names(b, why);
}

/* ---- the backend file ---- */

static err_t boot_backend_open(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	uint64_t waited_ms = 0;
	err_t err;

	/* Upstream waits for the lock for ever, and says so after ten seconds. */
	while ((err = state_open(&b->st, n, b->db_path, why)) == ERR_LOCKED && n->cfg.hooks.sleep_ms) {
		n->cfg.hooks.sleep_ms(n->cfg.hooks.arg, LOCK_RETRY_MS);
		waited_ms += LOCK_RETRY_MS;
		if (waited_ms == LOCK_LOG_MS)
			LOG_INFO("db file is flocked by another process, or taking too long", LOG_STR("path", b->db_path),
				 LOG_DURATION("took", LOCK_LOG_MS * 1000000ll));
	}
	return err;
}

/* A snapshot of a leader was received and recorded, but the process ended before it took the place of the database. */
static err_t boot_take_received(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	char name[SNAP_NAME_SIZE];
	char *from;
	err_t err;

	if (b->mark.index <= b->st.meta.consistent_index || !snap_db_exists(n->fs, b->snap_dir, b->mark.index))
		return OK;
	LOG_INFO("Recovering from snapshot backend", LOG_UINT("consistent-index", b->st.meta.consistent_index),
		 LOG_UINT("snapshot-index", b->mark.index));
	state_close(&b->st);
	snap_db_name(b->mark.index, name);
	from = mem_printf("%s/%s", b->snap_dir, name);
	err = vfs_rename(n->fs, from, b->db_path);
	if (!err)
		err = vfs_sync_dir(n->fs, b->snap_dir);
	if (err)
		why_set(why, err, "renaming %s to %s: %s", from, b->db_path, err_text(err));
	mem_free(from);
	if (!err)
		err = boot_backend_open(b, why);
	return err;
}

/* The small machines, from the file as it was opened. */
static err_t boot_machines(struct boot *b, struct why *why)
{
	b->n->replayed = b->st.meta.consistent_index;
	b->n->replayed_term = b->st.meta.term;
	return state_load(&b->st, b->db_path, why);
}

/* ---- the log ---- */

static void wal_note(void *arg, const char *event, const char *path)
{
	LOG_INFO(event, LOG_STR("path", path));
}

/* Looks before it writes: marks and content are read without locks and judged first. */
static err_t boot_wal_read(struct boot *b, struct why *why)
{
	struct wal_marks marks = {0};
	err_t err = wal_valid_snapshots(b->n->fs, b->wal_dir, why, &marks);

	if (err)
		return err;
	if (marks.count) {
		b->mark = marks.at[marks.count - 1];
		marks.count--;
	}
	wal_marks_fini(&marks);
	return wal_read(b->n->fs, b->wal_dir, (struct wal_pos){b->mark.index, b->mark.term}, why, &b->content);
}

static err_t boot_judge(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	err_t err = OK;

	if (b->mark.index > b->st.meta.consistent_index)
		return why_set(why, ERR_UNSUPPORTED, "failed to find database snapshot file (snap: snapshot file doesn't exist): database file (%s index %llu) does not match "
			       "with snapshot (index %llu)", b->db_path,
			       (unsigned long long)b->st.meta.consistent_index, (unsigned long long)b->mark.index);
	for (size_t i = 0; !err && i < b->content.entry_count; i++) {
		const struct raft_entry *e = &b->content.entries[i];

		if (e->index > n->replayed)
			err = apply_check_entry(e, why);
	}
	if (!err && members_learner_count(b->st.members) > (size_t)n->cfg.learners_max)
		err = why_set(why, ERR_TOO_MANY_LEARNERS, "membership: too many learner members in cluster");
	return err;
}

static struct wal_options wal_options(const struct node *n)
{
	return (struct wal_options){.segment_bytes = n->cfg.wal_segment_bytes, .no_sync = n->cfg.no_fsync, .repair = true, .note = wal_note,
				    .pacer = n->cfg.pacer};
}

static err_t boot_wal_open(struct boot *b, struct why *why)
{
	struct wal_options o = wal_options(b->n);

	wal_content_fini(&b->content);
	b->content = (struct wal_content){0};
	return wal_open(b->n->fs, b->wal_dir, (struct wal_pos){b->mark.index, b->mark.term}, &o, why, &b->content, &b->wal);
}

/* ---- assembly ---- */

static uint64_t size_bytes(void *arg)
{
	return bolt_size(((struct node *)arg)->db);
}

static err_t prev_row(void *arg, struct rev prev, struct slice *out)
{
	return mvcc_row(((struct node *)arg)->mvcc, prev, out);
}

static uint64_t random_u64(struct node *n)
{
	uint64_t v;

	n->cfg.hooks.random(n->cfg.hooks.arg, &v, sizeof(v));
	return v;
}

static void boot_hub(struct node *n)
{
	struct watch_config wc = {
		.cluster_id = n->cluster_id,
		.member_id = n->member_id,
		.seed = random_u64(n),
		.port_count = MAX(n->cfg.watch_ports, 1),
		.progress_ns = n->cfg.watch_progress_ns,
		.message_bytes_max = n->cfg.request_bytes_max + 512 * 1024,
		.prev_row = prev_row,
		.arg = n,
	};

	n->hub = watch_hub_new(&wc);
	watch_reset(n->hub, mvcc_revision(n->mvcc), mvcc_compact_revision(n->mvcc));
}

static void raft_log_line(void *ctx, enum raft_log_level level, const char *text)
{
	static const enum log_level levels[] = {LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_FATAL};
	static const struct log_site sites[] = {
		{"raft", "raft/raft.c", "raft", 1, LOG_LEVEL_DEBUG}, {"raft", "raft/raft.c", "raft", 1, LOG_LEVEL_INFO},
		{"raft", "raft/raft.c", "raft", 1, LOG_LEVEL_WARN}, {"raft", "raft/raft.c", "raft", 1, LOG_LEVEL_ERROR},
		{"raft", "raft/raft.c", "raft", 1, LOG_LEVEL_ERROR},
	};

	/* Usual with asynchronous writes, where upstream's node has none: not worth a line. */
	if (level == RAFT_LOG_INFO && strstr(text, "missing from unstable log"))
		return;
	if (log_enabled(levels[level]))
		log_event(&sites[level], text, NULL, 0);
}

/* Options as upstream's node: spec raft.md section 1. */
static struct raft_config raft_options(struct node *n)
{
	return (struct raft_config){
		.id = n->member_id,
		.election_ticks = n->cfg.election_ms / n->cfg.heartbeat_ms,
		.heartbeat_ticks = 1,
		.storage = raft_mem_storage_base(n->log),
		.async_storage_writes = true,
		.max_size_per_msg = 512 * 1024,
		.max_uncommitted_entries_size = PROPOSAL_BYTES_MAX,
		.max_inflight_msgs = 4096 / 8,
		.check_quorum = true,
		.pre_vote = n->cfg.pre_vote,
		.random_seed = random_u64(n),
		.log = raft_log_line,
	};
}

/* The members bucket, not the WAL's record, says who votes. */
static void conf_state_of_members(const struct members *ms, struct raft_conf_state *cs)
{
	size_t count = members_count(ms);

	*cs = (struct raft_conf_state){0};
	cs->voters.at = NEW_ARRAY(uint64_t, count);
	cs->learners.at = NEW_ARRAY(uint64_t, count);
	for (size_t i = 0; i < count; i++) {
		const struct member *m = members_at(ms, i);
		struct ids *ids = m->is_learner ? &cs->learners : &cs->voters;

		ids->at[ids->count++] = m->id;
	}
}

/* A new cluster: one change for each member, the same on all of them. */
static err_t boot_raft_new(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	size_t count = members_count(b->first);
	struct raft_peer *peers = NEW_ARRAY(struct raft_peer, count);
	struct buf *contexts = NEW_ARRAY(struct buf, count);
	struct raft_config rc;
	err_t err;

	for (size_t i = 0; i < count; i++) {
		struct member_context ctx = {0};

		member_copy(members_at(b->first, i), &ctx.member);
		buf_init(&contexts[i], 1 << 20);
		member_context_write(&ctx, &contexts[i]);
		peers[i] = (struct raft_peer){ctx.member.id, buf_slice(&contexts[i])};
		member_fini(&ctx.member);
	}
	n->log = raft_mem_storage_new();
	rc = raft_options(n);
	n->raft = raft_new(&rc);
	err = raft_bootstrap(n->raft, peers, count);
	for (size_t i = 0; i < count; i++)
		buf_fini(&contexts[i]);
	mem_free(contexts);
	mem_free(peers);
	return err ? why_set(why, ERR_INVALID, "bootstrap failed") : OK;
}

static err_t boot_raft_restart(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	struct raft_snapshot snap = {.index = b->mark.index, .term = b->mark.term};
	struct raft_config rc;
	err_t err = OK;

	n->log = raft_mem_storage_new();
	conf_state_of_members(b->st.members, &snap.conf_state);
	if (snap.index || snap.conf_state.voters.count)
		err = raft_mem_storage_apply_snapshot(n->log, &snap);
	if (err && snap.index)
		return why_set(why, err, "the snapshot at index %llu cannot be used", (unsigned long long)snap.index);
	raft_conf_state_fini(&snap.conf_state);
	raft_mem_storage_set_hard_state(n->log, &b->content.hard_state);
	raft_mem_storage_append(n->log, b->content.entries, b->content.entry_count);
	rc = raft_options(n);
	rc.applied = b->mark.index;
	n->raft = raft_new(&rc);
	n->applied = b->mark.index;
	n->applied_term = b->mark.term;
	n->snapshot_index = n->memory_snapshot_index = b->mark.index;
	return OK;
}

static err_t boot_identity(struct boot *b, struct why *why)
{
	return b->n->cfg.join_existing ? boot_existing_cluster(b, why) : boot_new_cluster(b, why);
}

static err_t boot_fresh(struct boot *b, struct why *why)
{
	struct wal_options o = wal_options(b->n);
	struct wal_metadata md;
	struct node *n = b->n;
	err_t err;

	err = boot_identity(b, why);
	if (err)
		return err;
	md = (struct wal_metadata){n->member_id, n->cluster_id};
	err = boot_backend_open(b, why);
	if (!err)
		err = boot_machines(b, why);
	if (!err && members_version(b->st.members)[0])
		err = why_set(why, ERR_INVALID, "%s holds the data of a cluster, but there is no log in %s", b->db_path, b->wal_dir);
	if (!err)
		err = state_mvcc(&b->st, b->n, b->db_path, why);
	if (!err)
		err = wal_create(n->fs, b->wal_dir, md, &o, why, &b->wal);
	if (!err)
		err = b->first ? boot_raft_new(b, why) : boot_raft_restart(b, why);
	return err;
}

/* The process ended between making the log and its first entries: nothing was promised to anybody, so the member is made
 * again. (Upstream then waits for ever with no voters.) */
static bool log_unused(const struct boot *b)
{
	const struct raft_hard_state *hs = &b->content.hard_state;

	return !b->content.entry_count && !hs->term && !hs->vote && !hs->commit && !b->mark.index && !b->st.meta.consistent_index &&
	       !members_count(b->st.members);
}

static void first_peers_free(struct node *n)
{
	for (size_t i = 0; i < n->first_peers.count; i++)
		mem_free(n->first_peers.at[i].urls);
	VEC_FREE(&n->first_peers);
}

static err_t boot_again(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	uint64_t member = n->member_id, cluster = n->cluster_id;
	err_t err = boot_identity(b, why);

	/* Who joins knows its ids by now; the leader finds it without an answer to who the others are. */
	if (n->cfg.join_existing && (err || n->member_id != member || n->cluster_id != cluster)) {
		LOG_WARN("the cluster to be joined was not found again; its leader is waited for", LOG_STR("error", err && why ? why->text : ""));
		n->member_id = member;
		n->cluster_id = cluster;
		first_peers_free(n);
		return boot_raft_restart(b, why);
	}
	if (!err && (n->member_id != member || n->cluster_id != cluster))
		err = why_set(why, ERR_INVALID, "%s was made for another member or cluster and never used: remove the data directory", b->wal_dir);
	return err ? err : b->first ? boot_raft_new(b, why) : boot_raft_restart(b, why);
}

/* Reading the log and the backend file. */
struct two_files {
	struct boot *b;
	struct why wal_why, db_why;
	err_t wal_err, db_err;
};

static void read_wal(void *work)
{
	struct two_files *t = work;

	t->wal_err = boot_wal_read(t->b, &t->wal_why);
}

static void read_db(void *work)
{
	struct two_files *t = work;

	t->db_err = boot_backend_open(t->b, &t->db_why);
}

/* What is wrong with the log is said first. Without a backend file there is nothing to do beside. */
static err_t boot_read(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	struct two_files t = {b};

	if (b->has_db && n->cfg.hooks.both) {
		n->cfg.hooks.both(n->cfg.hooks.arg, read_wal, read_db, &t);
	} else {
		read_wal(&t);
		if (!t.wal_err && !b->has_db && !(b->mark.index && snap_db_exists(n->fs, b->snap_dir, b->mark.index)))
			return why_set(why, ERR_NOT_EXIST, "database file (%s) of the backend is missing", b->db_path);
		if (!t.wal_err)
			read_db(&t);
	}
	if (why && (t.wal_err || t.db_err))
		*why = t.wal_err ? t.wal_why : t.db_why;
	return t.wal_err ? t.wal_err : t.db_err;
}

static err_t boot_restart(struct boot *b, struct why *why)
{
	struct node *n = b->n;
	err_t err = boot_read(b, why);

	if (err)
		return err;
	n->member_id = b->content.metadata.node_id;
	n->cluster_id = b->content.metadata.cluster_id;
	if (!err)
		err = boot_take_received(b, why);
	if (!err)
		err = boot_machines(b, why);
	if (!err)
		err = boot_judge(b, why);
	if (!err)
		err = boot_wal_open(b, why);
	if (!err && n->cfg.force_new_cluster && !log_unused(b))
		err = boot_force_alone(b, why);
	if (!err)
		err = state_mvcc(&b->st, b->n, b->db_path, why);
	if (!err)
		err = log_unused(b) ? boot_again(b, why) : boot_raft_restart(b, why);
	return err;
}

static void boot_fini(struct boot *b)
{
	state_fini(&b->st);
	wal_content_fini(&b->content);
	wal_snapshot_mark_fini(&b->mark);
	members_free(b->first);
	mem_free(b->member_dir);
	mem_free(b->db_path);
}

static void node_assemble(struct boot *b)
{
	struct node *n = b->n;
	struct request_ids ids;

	state_take(n, &b->st);
	request_ids_init(&ids, n->member_id, n->cfg.hooks.wall_ns(n->cfg.hooks.arg) / 1000000);
	n->id_prefix = ids.prefix;
	n->id_suffix = ids.suffix;
	n->time_limit_ns = UINT64_C(5000000000) + 2 * n->cfg.election_ms * UINT64_C(1000000);
	n->apply.cluster_id = n->cluster_id;
	n->apply.member_id = n->member_id;
	n->apply.quota_bytes = n->cfg.quota_bytes ? n->cfg.quota_bytes : INT64_C(2) << 30;
	n->apply.size_bytes = size_bytes;
	n->apply.size_arg = n;
	n->apply.token_kind = n->cfg.token_kind;
	n->apply.tokens = n->tokens;
	n->apply.bcrypt_cost = n->cfg.bcrypt_cost ? (int)n->cfg.bcrypt_cost : AUTH_COST_DEFAULT;
	n->merge.snap_dir = b->snap_dir;
	n->persist.fs = n->fs;
	n->persist.sched = n->sched;
	n->persist.wal = b->wal;
	n->persist.wal_dir = b->wal_dir;
	n->persist.snap_dir = b->snap_dir;
	n->persist.wal_files_max = n->cfg.wal_files_max;
	n->persist.snap_files_max = n->cfg.snap_files_max;
	n->snap_dir = b->snap_dir;
	n->wal_dir = b->wal_dir;
	b->snap_dir = b->wal_dir = NULL;
	b->wal = NULL;
	core_auth_loaded(n);
	strncpy(n->version_before, members_version(n->members), sizeof(n->version_before) - 1);
	boot_hub(n);
	core_members_changed(n);
	core_alarms_changed(n);
	core_publish(n);
}

err_t node_open(const struct node_config *cfg, struct why *why, struct node **out)
{
	struct node *n = NEW(struct node);
	struct boot b = {.n = n};
	err_t err;

	n->cfg = *cfg;
	n->cfg.learners_max = cfg->learners_max ? MAX(cfg->learners_max, 0) : 1;
	n->sched = cfg->sched;
	n->fs = cfg->fs;
	n->epoch = epoch_domain_new();
	n->work_tail = &n->work;
	waiters_init(&n->waiting);
	list_init(&n->questions);
	list_init(&n->renewals);
	list_init(&n->after_alarm);
	list_init(&n->reads_new);
	list_init(&n->reads_asked);
	list_init(&n->reads_ready);
	list_init(&n->conf_changes);
	list_init(&n->promotions);
	list_init(&n->catching_up);
	list_init(&n->transfers);
	list_init(&n->ttl_questions);
	list_init(&n->barriers);
	list_init(&n->physical);
	list_init(&n->defrags);
	buf_init(&n->conf_state_json, 1 << 20);
	apply_init(&n->apply);
	apply_out_init(&n->out);
	if (cfg->token_kind == TOKEN_SIMPLE)
		n->tokens = tokens_new(n->epoch, (cfg->token_ttl_s ? cfg->token_ttl_s : 300) * UINT64_C(1000000000), random_u64(n));
	state_init(&b.st, n, random_u64(n));
	b.member_dir = mem_printf("%s/member", cfg->data_dir);
	b.snap_dir = mem_printf("%s/snap", b.member_dir);
	b.wal_dir = cfg->wal_dir ? mem_strdup(cfg->wal_dir) : mem_printf("%s/wal", b.member_dir);
	b.db_path = mem_printf("%s/db", b.snap_dir);

	err = boot_dirs(&b, why);
	if (!err) {
		b.has_db = vfs_exists(n->fs, b.db_path);
		b.has_wal = wal_exists(n->fs, b.wal_dir);
		err = snap_clean(n->fs, b.snap_dir, NULL);
	}
	if (!err)
		err = b.has_wal ? boot_restart(&b, why) : boot_fresh(&b, why);
	if (err) {
		wal_abandon(b.wal);
		boot_fini(&b);
		mem_free(b.snap_dir);
		mem_free(b.wal_dir);
		node_close(n);
		return err;
	}
	node_assemble(&b);
	if (cfg->initial_corrupt_check && b.has_wal)
		err = boot_corrupt_check(n, why);
	boot_fini(&b);
	if (err) {
		node_close(n);
		return err;
	}
	*out = n;
	return OK;
}

/* The carrier is told who there is: who the data says, or at the first start who was found. */
static void transport_begin(struct node *n)
{
	const struct node_transport *t = n->cfg.transport;

	core_peers_set(n);
	for (size_t i = 0; t && i < n->first_peers.count; i++)
		t->add(t->arg, n->first_peers.at[i].id, n->first_peers.at[i].urls);
}

void node_start(struct node *n)
{
	n->core = actor_new(n->sched, "core", &core_ops, n, ACTOR_OWN_THREAD);
	n->persist.core = n->core;
	timer_init(&n->tick, n->core, CORE_TICK);
	timer_init(&n->commit_timer, n->core, CORE_COMMIT_TIMER);
	timer_init(&n->compact_timer, n->core, CORE_COMPACT_TIMER);
	timer_init(&n->watch_more, n->core, CORE_WATCH_MORE);
	timer_init(&n->metrics, n->core, CORE_METRICS);
	persist_start(&n->persist);
	transport_begin(n);
	n->start_msg.kind = CORE_START;
	actor_post(n->core, &n->start_msg);
}

void node_stop(struct node *n)
{
	if (!n->core || n->stop_msg.kind)
		return;
	n->stop_msg.kind = CORE_STOP;
	actor_post(n->core, &n->stop_msg);
}

bool node_stopped(const struct node *n)
{
	return !n->core || n->stop_done;
}

void node_close(struct node *n)
{
	if (!n)
		return;
	if (n->persist.wal_actor)
		persist_stop(&n->persist);
	actor_free(n->core);
	if (n->hub)
		watch_hub_free(n->hub);
	raft_ready_fini(&n->rd);
	if (n->raft)
		raft_free(n->raft);
	if (n->log)
		raft_mem_storage_free(n->log);
	core_install_fini(n);
	core_questions_free(n);
	core_version_stop(n);
	core_corrupt_stop(n);
	core_unpublish(n);
	core_old_state_published(n);
	epoch_reclaim(n->epoch);
	core_old_files_close(n, true);
	blob_unref(n->members_blob);
	blob_unref(n->alarms_blob);
	if (n->mvcc)
		mvcc_free(n->mvcc);
	lessor_free(n->lessor);
	alarms_fini(&n->alarms);
	members_free(n->members);
	auth_free(n->auth);
	tokens_free(n->tokens);
	apply_out_fini(&n->out);
	apply_fini(&n->apply);
	if (n->backend)
		backend_free(n->backend);
	bolt_close(n->db);
	if (n->stop_done) {
		err_t err = wal_close(n->persist.wal);

		if (err)
			LOG_ERROR("closing the write-ahead log failed", LOG_ERR(err));
	} else {
		wal_abandon(n->persist.wal);
	}
	first_peers_free(n);
	epoch_domain_free(n->epoch);
	waiters_fini(&n->waiting);
	auto_compact_fini(&n->auto_compact);
	buf_fini(&n->conf_state_json);
	core_secure_forget(n);
	VEC_FREE(&n->proposals);
	VEC_FREE(&n->proposal_data);
	VEC_FREE(&n->answers);
	VEC_FREE(&n->watch_closed);
	VEC_FREE(&n->jobs_ready);
	core_peers_fini(n);
	mem_free(n->snap_dir);
	mem_free(n->wal_dir);
	mem_free(n);
}
