/* A script of saves, flights, cuts and snapshots on the lying disk, where every n-th call fails in each way, or the
 * power goes. Afterwards the log opens, and says what the first k saved records say, for a k that is not below what
 * was acknowledged: nothing lost, nothing half, nothing else. */
#include "../../lib/test.h"

#include "base/rng.h"
#include "env/vfs_mem.h"
#include "wal/wal.h"

#define SEGMENT 2048
#define DIR "/data/wal"

struct saved {
	bool is_state;
	uint64_t index;
	uint64_t term;
	uint32_t size;
	struct raft_hard_state state;
};

struct script {
	struct vfs_mem *m;
	struct vfs *fs;
	struct rng rng;
	struct wal *w;
	bool created;
	VEC(struct saved) saved;
	size_t acknowledged;
	uint64_t last_index;
	struct raft_hard_state state;
};

static const struct wal_options options = {.segment_bytes = SEGMENT, .repair = true};
static const struct wal_metadata metadata = {0xabcdef, 77};

static struct blob *data_of(uint64_t index, uint64_t term, uint32_t size)
{
	struct blob *b = blob_new(size);

	for (uint32_t i = 0; i < size; i++)
		b->data[i] = (uint8_t)(index * 7 + term * 31 + i * (1 + term) + 1);
	return b;
}

/* One to four entries, now and then over older ones in a new term, and often a hard state. */
static void save_some(struct script *s)
{
	struct raft_entry e[4];
	size_t count = 1 + rng_below(&s->rng, 4);
	bool with_state = rng_below(&s->rng, 3) > 0;

	if (s->last_index > 3 && rng_below(&s->rng, 8) == 0) {
		s->last_index -= 1 + rng_below(&s->rng, 2);
		s->state.term++;
		with_state = true;
	}
	for (size_t i = 0; i < count; i++) {
		struct saved r = {.index = ++s->last_index,
				  .term = s->state.term,
				  .size = (uint32_t)rng_below(&s->rng, rng_below(&s->rng, 5) ? 60 : 1800)};

		e[i] = (struct raft_entry){r.term, r.index, ENTRY_NORMAL, data_of(r.index, r.term, r.size)};
		VEC_PUSH(&s->saved, r);
	}
	if (with_state) {
		s->state.commit = s->last_index;
		VEC_PUSH(&s->saved, ((struct saved){.is_state = true, .state = s->state}));
	}
	assert_true(wal_save(s->w, with_state ? &s->state : NULL, e, count));
	for (size_t i = 0; i < count; i++)
		raft_entry_fini(&e[i]);
}

static void flight_done(void *arg)
{
	++*(int *)arg;
}

/* A flight, during which more is saved: only what was there before is acknowledged. */
static err_t fly(struct script *s)
{
	size_t saved = s->saved.count;
	int done = 0;
	err_t err;

	vfs_mem_set_auto_done(s->m, false);
	wal_sync_start(s->w, flight_done, &done);
	assert_true(wal_sync_running(s->w));
	save_some(s);
	assert_true(vfs_mem_finish_one(s->m));
	assert_int_equal(done, 1);
	vfs_mem_set_auto_done(s->m, true);
	err = wal_sync_end(s->w, NULL);
	if (!err && !vfs_mem_crashed(s->m))
		s->acknowledged = saved;
	return err;
}

static err_t flush(struct script *s)
{
	err_t err = wal_sync(s->w, NULL);

	if (!err && !vfs_mem_crashed(s->m))
		s->acknowledged = s->saved.count;
	return err;
}

static err_t step(struct script *s, int i)
{
	struct wal_snapshot_mark mark = {.index = s->last_index, .term = s->state.term, .has_conf_state = true};
	err_t err;

	save_some(s);
	if (i % 3 == 0)
		return fly(s);
	if (i % 5 == 0)
		wal_save_snapshot(s->w, &mark);
	err = flush(s);
	if (!err && i % 7 == 0)
		err = wal_prepare(s->w, NULL);
	if (!err && i % 11 == 0)
		wal_release(s->w, s->last_index);
	return err;
}

static err_t run(struct script *s)
{
	err_t err = wal_create(s->fs, DIR, metadata, &options, NULL, &s->w);

	if (err)
		return err;
	s->created = !vfs_mem_crashed(s->m);
	for (int i = 1; i <= 25 && !err && !vfs_mem_crashed(s->m); i++)
		err = step(s, i);
	return err;
}

/* What the log says after the first count records. */
static bool same_as_prefix(const struct script *s, size_t count, const struct wal_content *c)
{
	const struct saved *at[512];
	struct raft_hard_state state = {0};
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct saved *r = &s->saved.at[i];

		if (r->is_state) {
			state = r->state;
			continue;
		}
		n = r->index;
		at[n - 1] = r;
	}
	if (n != c->entry_count || memcmp(&state, &c->hard_state, sizeof(state)) != 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct blob *want = data_of(at[i]->index, at[i]->term, at[i]->size);
		bool same = c->entries[i].index == at[i]->index && c->entries[i].term == at[i]->term &&
			    slice_eq(blob_slice(c->entries[i].data), blob_slice(want));

		blob_unref(want);
		if (!same)
			return false;
	}
	return true;
}

static void check(struct script *s, const char *what)
{
	struct wal_content c;
	struct why why = {""};
	size_t k = s->acknowledged;
	err_t err;

	if (!s->created && !wal_exists(s->fs, DIR)) {
		assert_ok(wal_create(s->fs, DIR, metadata, &options, &why, &s->w));
		return;
	}
	err = wal_open(s->fs, DIR, (struct wal_pos){0}, &options, &why, &c, &s->w);
	if (err)
		fail_msg("%s: %s: %s", what, err_name(err), why.text);
	assert_int_equal(c.metadata.node_id, metadata.node_id);
	assert_int_equal(c.metadata.cluster_id, metadata.cluster_id);
	assert_true(c.pos_found);
	while (k <= s->saved.count && !same_as_prefix(s, k, &c))
		k++;
	if (k > s->saved.count)
		fail_msg("%s: %zu entries are no state the log was in; acknowledged %zu of %zu records", what,
			 c.entry_count, s->acknowledged, s->saved.count);
	s->saved.count = s->acknowledged = k;
	s->last_index = c.entry_count;
	s->state = c.hard_state;
	wal_content_fini(&c);
}

static uint64_t one(uint64_t seed, uint64_t n, enum vfs_fault fault, bool power)
{
	struct script s = {.state = {1, 1, 0}};
	char what[96];
	uint64_t calls;
	err_t err;

	snprintf(what, sizeof(what), "seed %llu, call %llu, fault %d, power %d", (unsigned long long)seed,
		 (unsigned long long)n, fault, power);
	s.m = vfs_mem_new(seed);
	s.fs = vfs_mem_vfs(s.m);
	rng_init(&s.rng, seed);
	assert_ok(vfs_mkdir(s.fs, "/data", 0700));
	assert_ok(vfs_sync_dir(s.fs, "/"));
	calls = vfs_mem_calls(s.m);
	vfs_mem_fault(s.m, n, fault);
	err = run(&s);
	calls = vfs_mem_calls(s.m) - calls;
	if (n == 0)
		assert_ok(err);
	vfs_mem_fault(s.m, 0, VFS_FAULT_NONE);
	wal_abandon(s.w);
	if (power || vfs_mem_crashed(s.m))
		vfs_mem_crash(s.m);
	check(&s, what);
	for (int round = 0; round < 2; round++) { /* and it goes on from there */
		save_some(&s);
		assert_ok(flush(&s));
		if (round == 0)
			wal_abandon(s.w);
		else
			assert_ok(wal_close(s.w));
		vfs_mem_crash(s.m);
		check(&s, what);
	}
	wal_abandon(s.w);
	VEC_FREE(&s.saved);
	vfs_mem_free(s.m);
	return calls;
}

static void test_every_call(void **state)
{
	static const enum vfs_fault faults[] = {VFS_FAULT_EIO, VFS_FAULT_ENOSPC, VFS_FAULT_SHORT, VFS_FAULT_TORN,
						VFS_FAULT_CRASH};

	for (uint64_t seed = 1; seed <= 8; seed++) {
		uint64_t calls = one(seed, 0, VFS_FAULT_NONE, true);

		assert_true(calls > 60);
		for (uint64_t n = 1; n <= calls; n++)
			for (size_t f = 0; f < ARRAY_COUNT(faults); f++) {
				one(seed, n, faults[f], false);
				one(seed, n, faults[f], true);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_call)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
