/* The whole server below its sockets against a naive key space: random calls of the API, every answer compared as bytes;
 * leases that expire, compactions, defragmentation, snapshots, restarts and power cuts in between.
 *
 *	server_model [operations] [seed]
 *
 * A failure prints operation and seed; the same two numbers repeat it. */
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"
#include "env/vfs_mem.h"
#include "twin_api.h"

enum { TTL_LONG_S = 1000000000, BODY_MAX = 64 << 20, SHA256_SIZE = 32 };

struct model {
	struct vfs_mem *disk;
	struct driver *d;
	struct twin_api a;
	struct draw draw;
	uint64_t seed, op;
	const char *what;
	bool compacting; /* perhaps: its rows are removed in the background */
	struct buf body, got, want;
	struct {
		uint64_t restarts, cuts, compactions, defrags, snapshots, expired;
	} count;
};

static void fail(const struct model *m, const char *why)
{
	fprintf(stderr, "FAILED: %s: %s (operation %llu, seed %llu, revision %lld, compacted %lld)\n", m->what, why, (unsigned long long)m->op,
		(unsigned long long)m->seed, (long long)m->a.t.rev, (long long)m->a.t.compact_rev);
	abort();
}

static void must(const struct model *m, bool ok, const char *what)
{
	if (!ok)
		fail(m, what);
}

static bool one_in(struct model *m, uint64_t n)
{
	return draw_one_in(&m->draw, n);
}

static uint64_t below(struct model *m, uint64_t end)
{
	return draw_below(&m->draw, end);
}

static void begin(struct model *m, const char *what)
{
	m->what = what;
	buf_clear(&m->body);
	buf_clear(&m->got);
	buf_clear(&m->want);
}

static void print_hex(const char *name, struct slice s)
{
	fprintf(stderr, "%s ", name);
	for (size_t i = 0; i < s.size && i < 600; i++)
		fprintf(stderr, "%02x", s.data[i]);
	fprintf(stderr, "\n");
}

static void must_be_equal(const struct model *m)
{
	if (slice_eq(buf_slice(&m->got), buf_slice(&m->want)))
		return;
	print_hex("got ", buf_slice(&m->got));
	print_hex("want", buf_slice(&m->want));
	fail(m, "answer");
}

/* The call in m->body, to both. */
static void call(struct model *m, enum rpc method)
{
	struct slice answer;
	int64_t header_rev;
	err_t want = twin_api_call(&m->a, method, buf_slice(&m->body), true, &m->want);
	err_t got = driver_call(m->d, method, buf_slice(&m->body), &answer);

	must(m, got == want, err_name(got));
	if (got)
		return;
	answer_split(answer, &header_rev, &m->got);
	must(m, header_rev == m->a.t.rev, "header's revision");
	must_be_equal(m);
}

static void pass(struct model *m, uint64_t ns)
{
	driver_run(m->d, ns);
}

/* ---- key space ---- */

static void op_put(struct model *m)
{
	struct put_req r = draw_put(&m->draw);

	begin(m, "put");
	draw_encode_put(&r, &m->body);
	call(m, RPC_PUT);
}

static void op_delete(struct model *m)
{
	struct delete_req r = draw_delete(&m->draw);

	begin(m, "delete range");
	if (one_in(m, 300))
		r.key = r.range_end = slice_of("\0", 1);
	draw_encode_delete(&r, &m->body);
	call(m, RPC_DELETE_RANGE);
}

/* A delete and an ignore_* put of one key in one txn can slip through admission; upstream crashes then. */
static bool has_ignore(const struct request_op *ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == OP_PUT && (ops[i].put.ignore_value || ops[i].put.ignore_lease))
			return true;
		if (ops[i].kind == OP_TXN && (has_ignore(ops[i].txn->success, ops[i].txn->success_count) ||
					      has_ignore(ops[i].txn->failure, ops[i].txn->failure_count)))
			return true;
	}
	return false;
}

static void op_txn(struct model *m)
{
	struct txn_req *t = draw_txn(&m->draw, 0, !one_in(m, 4));

	begin(m, "txn");
	if (has_ignore(t->success, t->success_count) || has_ignore(t->failure, t->failure_count))
		return;
	draw_encode_txn(t, &m->body);
	call(m, RPC_TXN);
}

static void op_range(struct model *m)
{
	struct range_req r = draw_range(&m->draw);

	begin(m, "range");
	r.serializable = one_in(m, 2);
	draw_encode_range(&r, &m->body);
	call(m, RPC_RANGE);
}

/* All chunks together are the answer of Range. */
static void op_range_stream(struct model *m)
{
	struct range_req r = draw_range(&m->draw);
	struct pb_reader rd;
	struct pb_field f;
	int64_t header_rev = 0;
	err_t got, want;

	begin(m, "range stream");
	r.sort_order = r.sort_target = 0;
	r.min_mod_rev = r.max_mod_rev = r.min_create_rev = r.max_create_rev = 0;
	r.keys_only = r.count_only = false;
	draw_encode_range(&r, &m->body);
	want = twin_api_call(&m->a, RPC_RANGE, buf_slice(&m->body), true, &m->want);
	got = driver_call(m->d, RPC_RANGE_STREAM, buf_slice(&m->body), NULL);
	must(m, got == want, err_name(got));
	if (got)
		return;
	rd = pb_reader_of(buf_slice(&m->d->messages));
	while (pb_next(&rd, &f)) {
		struct pb_reader in = pb_reader_of(f.bytes); /* RangeStreamResponse {range_response 1} */

		must(m, pb_next(&in, &f), "no range_response");
		answer_split(f.bytes, &header_rev, &m->got);
	}
	must(m, header_rev == m->a.t.rev, "header's revision");
	must_be_equal(m);
}

static void op_hash(struct model *m)
{
	pass(m, 1); /* a compaction's own hash is made behind its answer, as upstream's, and kept from then on */
	begin(m, "hash");
	if (!one_in(m, 3))
		pb_put_uint(&m->body, 1, (uint64_t)draw_rev(&m->draw));
	call(m, RPC_HASH_KV);
}

/* Mostly near the front, so that histories stay; sometimes everything. */
static void op_compact(struct model *m)
{
	int64_t from = MAX(m->a.t.compact_rev, 0), room = m->a.t.rev - from;
	int64_t rev = one_in(m, 6) ? m->a.t.rev : from + (int64_t)below(m, (uint64_t)room + 2) / (1 + (int64_t)below(m, 4));
	bool physical = one_in(m, 3);

	if (m->compacting) /* else the hash of this one would not be kept */
		pass(m, 2000000000);
	begin(m, "compact");
	pb_put_uint(&m->body, 1, (uint64_t)rev);
	pb_put_uint(&m->body, 2, physical);
	call(m, RPC_COMPACT);
	m->compacting = !physical;
	m->count.compactions++;
}

/* ---- leases ---- */

static void op_grant(struct model *m)
{
	begin(m, "lease grant");
	pb_put_uint(&m->body, 1, TTL_LONG_S);
	pb_put_uint(&m->body, 2, 1 + below(m, TWIN_LEASES));
	call(m, RPC_LEASE_GRANT);
}

static void op_revoke(struct model *m)
{
	begin(m, "lease revoke");
	pb_put_uint(&m->body, 1, 1 + below(m, TWIN_LEASES));
	call(m, RPC_LEASE_REVOKE);
}

/* A short lease that takes some keys with it. */
static void op_expire(struct model *m)
{
	int64_t id = 1 + (int64_t)below(m, TWIN_LEASES);

	begin(m, "lease that expires");
	if (m->a.leases[id - 1])
		return;
	pb_put_uint(&m->body, 1, 3);
	pb_put_uint(&m->body, 2, (uint64_t)id);
	call(m, RPC_LEASE_GRANT);
	for (uint64_t i = below(m, 4); i > 0; i--) {
		struct put_req r = {.key = draw_key(&m->draw), .value = SLICE_LIT("short"), .lease = id};

		begin(m, "put under a short lease");
		draw_encode_put(&r, &m->body);
		call(m, RPC_PUT);
	}
	m->what = "expiry";
	pass(m, 6000000000);
	twin_api_expire(&m->a, id);
	m->count.expired++;
}

/* ---- the file and the process ---- */

static void op_check(struct model *m)
{
	struct why why = {""};

	m->what = "comparison of everything";
	if (!twin_api_same(&m->a, m->d, &why))
		fail(m, why.text);
}

static void op_defragment(struct model *m)
{
	begin(m, "defragment");
	must(m, driver_call(m->d, RPC_DEFRAGMENT, (struct slice){0}, NULL) == OK, m->d->text);
	m->count.defrags++;
}

/* What a client saves opens as a database, and every page of it is sound. */
static void op_snapshot(struct model *m)
{
	struct vfs_mem *disk = vfs_mem_new(1);
	struct bolt_options o = {.must_exist = true};
	struct vfs_file *f;
	struct pb_reader rd, in;
	struct pb_field field;
	struct why why = {""};
	struct bolt *db;

	begin(m, "snapshot");
	must(m, driver_call(m->d, RPC_SNAPSHOT, (struct slice){0}, NULL) == OK, m->d->text);
	rd = pb_reader_of(buf_slice(&m->d->messages));
	while (pb_next(&rd, &field)) {
		in = pb_reader_of(field.bytes);
		while (pb_next(&in, &field))
			if (field.number == 3)
				buf_put_slice(&m->got, field.bytes);
	}
	must(m, m->got.size > SHA256_SIZE && m->got.size % 512 == SHA256_SIZE, "size");
	if (vfs_open(vfs_mem_vfs(disk), "/db", VFS_WRITE | VFS_CREATE, 0600, &f) || vfs_pwrite(f, 0, m->got.data, m->got.size - SHA256_SIZE))
		UNREACHABLE();
	vfs_close(f);
	must(m, bolt_open(vfs_mem_vfs(disk), "/db", &o, &why, &db) == OK, why.text);
	must(m, bolt_check(db, NULL, &why) == OK, why.text);
	bolt_close(db);
	vfs_mem_free(disk);
	m->count.snapshots++;
}

static void start(struct model *m)
{
	struct node_config c = {
		.backend_batch_ms = 5 + (uint32_t)below(m, 200),
		.backend_batch_limit = 50 + (uint32_t)below(m, 2000),
		.compaction_batch_limit = 1 + (uint32_t)below(m, 100),
		.snapshot_count = 100 + below(m, 5000),
		.snapshot_catchup_entries = 50,
		.wal_segment_bytes = 20000 + below(m, 500000),
		.wal_files_max = 3,
		.snap_files_max = 3,
	};
	struct why why = {""};

	m->d = driver_open(vfs_mem_vfs(m->disk), "/data", &c, &why);
	must(m, m->d, why.text);
	m->a.t.hash_count = 0; /* in memory only */
}

static void op_restart(struct model *m)
{
	bool cut = one_in(m, 2);

	m->what = cut ? "power cut" : "restart";
	if (m->compacting && one_in(m, 2))
		pass(m, 2000000000);
	if (cut) {
		driver_kill(m->d);
		vfs_mem_crash(m->disk);
		m->count.cuts++;
	} else {
		driver_close(m->d);
		m->count.restarts++;
	}
	start(m);
	/* One that was not done goes on: its hash, too. Later hashes are compared again. */
	pass(m, 2000000000);
	if (one_in(m, 2))
		op_check(m);
}

static void step(struct model *m)
{
	uint64_t dice = below(m, 100000);

	draw_begin(&m->draw);
	if (dice < 38000)
		op_put(m);
	else if (dice < 45000)
		op_delete(m);
	else if (dice < 60000)
		op_txn(m);
	else if (dice < 88000)
		op_range(m);
	else if (dice < 93000)
		op_range_stream(m);
	else if (dice < 95000)
		op_grant(m);
	else if (dice < 96500)
		op_revoke(m);
	else if (dice < 98000)
		pass(m, below(m, 100000000));
	else if (dice < 98600)
		op_compact(m);
	else if (dice < 99200)
		op_hash(m);
	else if (dice < 99300)
		op_expire(m);
	else if (dice < 99400)
		op_defragment(m);
	else if (dice < 99410)
		op_snapshot(m);
	else if (dice < 99450)
		op_check(m);
	else if (dice < 99500)
		op_restart(m);
}

static void run(uint64_t ops, uint64_t seed)
{
	struct model m = {.seed = seed};

	buf_init(&m.body, BODY_MAX);
	buf_init(&m.got, BODY_MAX);
	buf_init(&m.want, BODY_MAX);
	twin_api_init(&m.a);
	draw_init(&m.draw, seed, &m.a.t, TWIN_LEASES);
	m.disk = vfs_mem_new(seed);
	start(&m);
	for (m.op = 1; m.op <= ops; m.op++)
		step(&m);
	op_check(&m);
	op_restart(&m);
	op_check(&m);
	driver_close(m.d);
	vfs_mem_free(m.disk);
	draw_fini(&m.draw);
	printf("%llu operations, seed %llu: equal at revision %lld; %llu restarts, %llu power cuts, %llu compactions, %llu defragmentations, "
	       "%llu snapshots, %llu leases expired\n",
	       (unsigned long long)ops, (unsigned long long)seed, (long long)m.a.t.rev, (unsigned long long)m.count.restarts,
	       (unsigned long long)m.count.cuts, (unsigned long long)m.count.compactions, (unsigned long long)m.count.defrags,
	       (unsigned long long)m.count.snapshots, (unsigned long long)m.count.expired);
	fflush(stdout);
	twin_api_fini(&m.a);
	buf_fini(&m.body);
	buf_fini(&m.got);
	buf_fini(&m.want);
}

int main(int argc, char **argv)
{
	uint64_t ops = argc > 1 ? strtoull(argv[1], NULL, 0) : 20000, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	driver_quiet();
	for (uint64_t i = 0; i < 4; i++) /* several stores, each from the beginning */
		run(ops / 4, seed + i);
	return 0;
}
