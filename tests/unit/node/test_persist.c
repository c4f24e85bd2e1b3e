/* The wal actor: what is written and synced together, and what is given back without a sync of its own. */
#include "../../lib/test.h"
#include "env/vfs_mem.h"
#include "node/persist.h"

enum { BACK_MAX = 8 };

struct fixture {
	struct sched *sched;
	struct vfs_mem *disk;
	struct persist p;
	struct persist_append *back[BACK_MAX];  /* as core got them */
	size_t back_count;
	uint64_t index;                         /* of the last entry */
};

static void core_receive(void *self, struct msg *m)
{
	struct fixture *f = self;

	assert_int_equal(m->kind, PERSIST_APPEND);
	assert_true(f->back_count < BACK_MAX);
	f->back[f->back_count++] = CONTAINER_OF(m, struct persist_append, msg);
}

static const struct actor_ops core_ops = {core_receive, NULL};

static void run(struct fixture *f)
{
	uint64_t until_ns = sched_now_ns(f->sched) + 1000000;

	while (sched_sim_step(f->sched, until_ns))
		;
}

static struct fixture *start(void)
{
	struct fixture *f = NEW(struct fixture);
	struct why why;

	f->sched = sched_sim_new(1);
	f->disk = vfs_mem_new(1);
	f->p = (struct persist){.sched = f->sched, .fs = vfs_mem_vfs(f->disk), .wal_dir = "/wal", .snap_dir = "/snap"};
	assert_int_equal(wal_create(f->p.fs, "/wal", (struct wal_metadata){1, 2}, NULL, &why, &f->p.wal), OK);
	f->p.core = actor_new(f->sched, "core", &core_ops, f, ACTOR_OWN_THREAD);
	persist_start(&f->p);
	run(f);
	vfs_mem_set_auto_done(f->disk, false);
	return f;
}

static void stop(struct fixture *f)
{
	persist_stop(&f->p);
	actor_free(f->p.core);
	assert_int_equal(wal_close(f->p.wal), OK);
	sched_free(f->sched);
	vfs_mem_free(f->disk);
	mem_free(f);
}

static struct persist_append *append(struct fixture *f, bool has_entry, uint64_t commit)
{
	struct persist_append *a = NEW(struct persist_append);

	a->msg.kind = PERSIST_APPEND;
	a->m = (struct raft_message){.type = MSG_STORAGE_APPEND, .term = 1, .vote = 1, .commit = commit};
	if (has_entry) {
		a->m.entries = NEW_ARRAY(struct raft_entry, 1);
		a->m.entries[0] = (struct raft_entry){.term = 1, .index = ++f->index, .data = blob_copy(SLICE_LIT("x"))};
		a->m.entry_count = 1;
	}
	actor_post(f->p.wal_actor, &a->msg);
	return a;
}

/* The next one that core got back was a. */
static void take_back(struct fixture *f, struct persist_append *a)
{
	assert_true(f->back_count > 0);
	assert_ptr_equal(f->back[0], a);
	f->back_count--;
	memmove(f->back, f->back + 1, f->back_count * sizeof(*f->back));
	raft_message_fini(&a->m);
	mem_free(a);
}

/* As etcd's wal.Save: a commit index alone needs no sync. It waits for the write under way, and is back with it. */
static void test_commit_alone_costs_no_sync(void **state)
{
	struct fixture *f = start();
	uint64_t syncs = wal_stats(f->p.wal)->syncs;
	struct persist_append *entry = append(f, true, 0), *commit;

	run(f);
	assert_true(vfs_mem_waiting(f->disk));
	commit = append(f, false, 1);
	run(f);
	assert_int_equal(f->back_count, 0);
	assert_true(vfs_mem_finish_one(f->disk));
	run(f);
	take_back(f, entry);
	take_back(f, commit);
	assert_false(vfs_mem_waiting(f->disk));
	assert_int_equal(wal_stats(f->p.wal)->syncs, syncs + 1);
	stop(f);
}

/* Only those before the next entry: order is kept. */
static void test_order_is_kept(void **state)
{
	struct fixture *f = start();
	uint64_t syncs = wal_stats(f->p.wal)->syncs;
	struct persist_append *all[4] = {append(f, true, 0)};

	run(f);
	all[1] = append(f, false, 1);
	all[2] = append(f, true, 1);
	all[3] = append(f, false, 2);
	run(f);
	assert_true(vfs_mem_finish_one(f->disk));
	run(f);
	take_back(f, all[0]);
	take_back(f, all[1]);
	assert_int_equal(f->back_count, 0);
	assert_true(vfs_mem_finish_one(f->disk));
	run(f);
	take_back(f, all[2]);
	take_back(f, all[3]);
	assert_false(vfs_mem_waiting(f->disk));
	assert_int_equal(wal_stats(f->p.wal)->syncs, syncs + 2);
	stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_alone_costs_no_sync),
		cmocka_unit_test(test_order_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
