/* mvcc against its naive twin: random requests, every answer, event, hash and attachment compared as bytes.
 *
 *	mvcc_model [operations] [seed]          MVCC_MODEL_VERBOSE=1 prints each operation
 *
 * A failure prints operation and seed; the same two numbers repeat it. */
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"
#include "mvcc_fixture.h"

struct model {
	struct fixture f;
	struct twin t;
	struct draw draw;
	uint64_t seed, op;
	bool verbose;
	const char *what;
	struct buf got, want;
	struct mvcc_events events;
	/* a range being read in slices while writes go on */
	struct mvcc_cursor *cursor;
	bool measured;
	struct buf cursor_got, cursor_want;
	/* a reader that stays inside its epoch while everything goes on */
	bool inside;
	struct mvcc_view old_view;
	struct buf old_want;
};

static uint64_t below(struct model *m, uint64_t end)
{
	return draw_below(&m->draw, end);
}

static bool one_in(struct model *m, uint64_t n)
{
	return draw_one_in(&m->draw, n);
}

static void fail(const struct model *m, const char *why)
{
	fprintf(stderr, "FAILED: %s: %s (operation %llu, seed %llu, revision %lld, compacted %lld)\n", m->what, why,
		(unsigned long long)m->op, (unsigned long long)m->seed, (long long)m->t.rev,
		(long long)m->t.compact_rev);
	abort();
}

static void print_hex(const char *name, struct slice s)
{
	fprintf(stderr, "%s ", name);
	for (size_t i = 0; i < s.size && i < 600; i++)
		fprintf(stderr, "%02x", s.data[i]);
	fprintf(stderr, "\n");
}

static void must_equal(const struct model *m, const char *what, struct slice got, struct slice want)
{
	if (slice_eq(got, want))
		return;
	print_hex("got ", got);
	print_hex("want", want);
	fail(m, what);
}

static void must(const struct model *m, bool ok, const char *what)
{
	if (!ok)
		fail(m, what);
}

/* ---- operations ---- */

static void begin(struct model *m, const char *what)
{
	m->what = what;
	buf_clear(&m->got);
	buf_clear(&m->want);
	buf_clear(&m->t.events);
	m->events.list.count = 0;
	if (m->verbose)
		fprintf(stderr, "%llu %s\n", (unsigned long long)m->op, what);
}

/* After a write: answer, events, revision. */
static void compare_write(struct model *m, err_t got, err_t want)
{
	struct buf events;

	must(m, got == want, err_name(got));
	must(m, mvcc_revision(m->f.mvcc) == m->t.rev, "revision");
	if (want)
		return;
	must_equal(m, "answer", buf_slice(&m->got), buf_slice(&m->want));
	buf_init(&events, SIZE_MAX);
	for (size_t i = 0; i < m->events.list.count; i++) {
		const struct mvcc_event *e = &m->events.list.at[i];
		struct slice prev = {0};
		struct kv kv;

		must(m, kv_decode(e->kv, &kv) == OK && slice_eq(kv.key, e->key), "event key");
		must(m, e->rev.main == m->t.rev && e->rev.sub == (int64_t)i, "event revision");
		if (e->prev.main)
			must(m, mvcc_row(m->f.mvcc, e->prev, &prev) == OK, "event prev");
		twin_event_text(e->type, e->kv, prev, &events);
	}
	must_equal(m, "events", buf_slice(&events), buf_slice(&m->t.events));
	buf_fini(&events);
}

static void op_put(struct model *m)
{
	struct put_req r = draw_put(&m->draw);

	begin(m, "put");
	err_t got = mvcc_put(m->f.mvcc, &r, &m->got, &m->events), want = twin_put(&m->t, &r, &m->want);

	compare_write(m, got, want);
}

static void op_hash(struct model *m);

static void op_delete(struct model *m)
{
	struct delete_req r = draw_delete(&m->draw);
	bool everything = one_in(m, 300);

	if (everything)
		r.key = r.range_end = slice_of("\0", 1);
	begin(m, "delete_range");
	mvcc_delete_range(m->f.mvcc, &r, &m->got, &m->events);
	twin_delete(&m->t, &r, &m->want);
	compare_write(m, OK, OK);
	if (everything)
		op_hash(m); /* of a store in which nothing lives */
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
	if (mvcc_check_txn(t, 128) != OK || has_ignore(t->success, t->success_count) ||
	    has_ignore(t->failure, t->failure_count))
		return;
	if (!txn_req_is_read_only(t)) {
		err_t got = mvcc_txn(m->f.mvcc, t, &m->got, &m->events), want = twin_txn(&m->t, t, &m->want);

		compare_write(m, got, want);
		return;
	}
	fixture_publish(&m->f);
	err_t got = mvcc_txn_read(&m->f.view, t, &m->got), want = twin_txn(&m->t, t, &m->want);

	must(m, got == want, err_name(got));
	must_equal(m, "answer", buf_slice(&m->got), buf_slice(&m->want));
}

static void op_range(struct model *m)
{
	struct range_req r = draw_range(&m->draw);

	begin(m, "range");
	fixture_publish(&m->f);
	err_t got = mvcc_range(&m->f.view, &r, SIZE_MAX, &m->got), want = twin_range(&m->t, &r, &m->want);

	must(m, got == want, err_name(got));
	if (!want)
		must_equal(m, "answer", buf_slice(&m->got), buf_slice(&m->want));
	if (!r.revision) {
		struct range_req count = {.key = r.key, .range_end = r.range_end, .count_only = true};
		struct buf b;

		buf_init(&b, 100);
		pb_put_uint(&b, 4, mvcc_count(&m->f.view, r.key, r.range_end));
		buf_clear(&m->want);
		must(m, twin_range(&m->t, &count, &m->want) == OK, "twin");
		must_equal(m, "count", buf_slice(&b), buf_slice(&m->want));
		buf_fini(&b);
	}
}

static void cursor_end(struct model *m)
{
	if (!m->cursor)
		return;
	mvcc_release(m->f.mvcc, mvcc_cursor_rev(m->cursor));
	mvcc_cursor_free(m->cursor);
	m->cursor = NULL;
}

static void op_cursor(struct model *m)
{
	bool done = false;

	begin(m, "cursor");
	fixture_publish(&m->f);
	if (!m->cursor) {
		struct range_req r = draw_range(&m->draw);

		if (one_in(m, 2))
			r.range_end = slice_of("\0", 1);
		buf_clear(&m->cursor_want);
		buf_clear(&m->cursor_got);
		m->measured = false;
		err_t want = twin_range(&m->t, &r, &m->cursor_want);
		err_t got = mvcc_cursor_new(&m->f.view, &r, MVCC_CURSOR_BYTES_MAX, &m->cursor);

		must(m, got == want, "begin");
		if (!got)
			must(m, mvcc_hold(m->f.mvcc, mvcc_cursor_rev(m->cursor)), "hold");
		return;
	}
	if (!m->measured) {
		must(m, mvcc_cursor_measure(m->cursor, &m->f.view, 1 + below(m, 30), &m->measured) == OK, "measure");
		if (m->measured)
			must(m, mvcc_cursor_size(m->cursor) == m->cursor_want.size, "size");
		return;
	}
	must(m,
	     mvcc_cursor_emit(m->cursor, &m->f.view, 1 + below(m, 20), 1 + below(m, 2000), &m->cursor_got, &done) == OK,
	     "emit");
	if (done) {
		must_equal(m, "answer", buf_slice(&m->cursor_got), buf_slice(&m->cursor_want));
		cursor_end(m);
	}
}

static void reader_leave(struct model *m)
{
	if (m->inside)
		epoch_leave(m->f.epoch);
	m->inside = false;
}

static void op_old_view(struct model *m)
{
	struct range_req all = {.key = slice_of("\0", 1), .range_end = slice_of("\0", 1)};

	begin(m, "old view");
	if (!m->inside) {
		fixture_publish(&m->f);
		m->old_view = m->f.view;
		buf_clear(&m->old_want);
		must(m, twin_range(&m->t, &all, &m->old_want) == OK, "twin");
		epoch_enter(m->f.epoch);
		m->inside = true;
		return;
	}
	must(m, mvcc_range(&m->old_view, &all, SIZE_MAX, &m->got) == OK, "range");
	must_equal(m, "answer", buf_slice(&m->got), buf_slice(&m->old_want));
	if (one_in(m, 6))
		reader_leave(m);
}

static uint32_t run_hash(struct model *m, struct mvcc_hash *h)
{
	bool done = false;
	uint32_t crc;

	while (!done)
		must(m, mvcc_hash_step(h, &m->f.view, 1 + below(m, 200), &done) == OK, "hash step");
	crc = h->result.crc;
	mvcc_hash_fini(h);
	return crc;
}

static void op_compact(struct model *m)
{
	/* mostly near the front, so that histories stay; sometimes everything */
	int64_t from = MAX(m->t.compact_rev, 0), room = m->t.rev - from;
	int64_t rev =
	    one_in(m, 6) ? m->t.rev : from + (int64_t)below(m, (uint64_t)room + 2) / (1 + (int64_t)below(m, 4));
	int64_t hash_rev, before;

	begin(m, "compact");
	bool fresh = mvcc_compact_state(m->f.mvcc) == MVCC_COMPACT_IDLE;
	err_t got = mvcc_compact(m->f.mvcc, rev), want = twin_compact(&m->t, rev, fresh);

	must(m, got == want, err_name(got));
	must(m, mvcc_compact_revision(m->f.mvcc) == m->t.compact_rev, "compact revision");
	if (mvcc_compact_wants_hash(m->f.mvcc, &hash_rev, &before)) {
		struct mvcc_hash h;

		fixture_publish(&m->f);
		mvcc_hash_init_compaction(&h, hash_rev, before);
		uint32_t crc = run_hash(m, &h);

		must(m, m->t.hash_count && crc == m->t.hashes[m->t.hash_count - 1].crc, "hash of the compaction");
		mvcc_compact_hashed(m->f.mvcc, crc);
	}
}

static void op_compact_step(struct model *m)
{
	begin(m, "compact step");
	mvcc_compact_step(m->f.mvcc, 1 + below(m, 40));
	if (one_in(m, 4))
		mvcc_check(m->f.mvcc, false);
}

static void op_hash(struct model *m)
{
	int64_t rev = one_in(m, 3) ? 0 : draw_rev(&m->draw);
	struct mvcc_hash h;

	begin(m, "hash");
	fixture_publish(&m->f);
	err_t want = rev > m->t.rev ? ERR_FUTURE_REV : rev && rev < m->t.compact_rev ? ERR_COMPACTED : OK;
	const struct twin_hash *kept = NULL;

	for (size_t i = 0; i < m->t.hash_count; i++)
		if (m->t.hashes[i].rev == rev)
			kept = &m->t.hashes[i];
	err_t got = mvcc_hash_init(&h, &m->f.view, rev);

	must(m, got == (kept ? OK : want), err_name(got));
	if (got) {
		mvcc_hash_fini(&h);
		return;
	}
	struct mvcc_hash_result r = h.result;

	r.crc = run_hash(m, &h);
	must(m, r.compact_rev == (kept ? kept->compact_rev : m->t.compact_rev), "compact revision");
	must(m, r.rev == (rev || kept ? rev : m->t.rev), "hashed revision");
	must(m, r.crc == (kept ? kept->crc : twin_hash(&m->t, r.rev, r.compact_rev, false)), "hash");
}

static void op_revoke(struct model *m)
{
	struct slice keys[DRAW_KEYS];
	size_t n = 0;
	int64_t lease = draw_lease(&m->draw);

	begin(m, "revoke");
	for (size_t i = 0; i < DRAW_KEYS; i++)
		if (lease ? twin_lease(&m->t, m->draw.keys[i]) == lease : one_in(m, 40))
			keys[n++] = m->draw.keys[i];
	mvcc_delete_keys(m->f.mvcc, keys, n, &m->events);
	twin_delete_keys(&m->t, keys, n);
	compare_write(m, OK, OK);
}

static void op_leases(struct model *m)
{
	begin(m, "leases");
	m->f.leases[below(m, FIXTURE_LEASES)] = one_in(m, 4) ? 0 : 1 + (int64_t)below(m, FIXTURE_LEASES);
}

static void check_leases(struct model *m)
{
	for (size_t i = 0; i < DRAW_KEYS; i++)
		must(m, fixture_lease_of(&m->f, m->draw.keys[i]) == twin_lease(&m->t, m->draw.keys[i]), "lease of a key");
}

/* With no compaction under way: what is stored is what the twin has, row by row. */
static void check_rows(struct model *m)
{
	struct backend_cursor c;
	struct backend_row row;
	struct mvcc_stats stats;
	bool found = true;
	size_t stored = 0, want = 0;

	while (mvcc_compact_step(m->f.mvcc, 1000) == MVCC_COMPACT_MORE)
		;
	must(m, mvcc_compact_state(m->f.mvcc) == MVCC_COMPACT_IDLE, "compaction ends");
	fixture_commit(&m->f);
	backend_cursor_init(&c, &m->f.view.rows, (struct rev){0, 0});
	for (; found; stored += found)
		must(m, backend_cursor_next(&c, &row, &found) == OK, "row");
	for (size_t i = 0; i < m->t.keys.count; i++)
		want += m->t.keys.at[i].rows.count;
	mvcc_stats(m->f.mvcc, &stats);
	must(m, stored == want, "number of rows");
	must(m, stats.revisions == want, "number of revisions");
	must(m, stats.keys == m->t.keys.count, "number of keys");
}

static void op_reopen(struct model *m)
{
	begin(m, "reopen");
	cursor_end(m);
	reader_leave(m);
	fixture_commit(&m->f);
	mvcc_check(m->f.mvcc, true);
	fixture_reopen(&m->f);
	m->t.hash_count = 0; /* in memory only */
	mvcc_check(m->f.mvcc, true);
	must(m, mvcc_revision(m->f.mvcc) == m->t.rev, "revision");
	must(m, mvcc_compact_revision(m->f.mvcc) == m->t.compact_rev, "compact revision");
	check_leases(m);
	if (one_in(m, 2))
		check_rows(m);
}

/* Half a commit: rows are read from the frozen buffer in between. */
static void op_commit(struct model *m)
{
	begin(m, "commit");
	if (backend_has_frozen(m->f.backend))
		fixture_merge(&m->f);
	else
		fixture_freeze(&m->f);
}

static void op_check(struct model *m)
{
	begin(m, "check");
	mvcc_check(m->f.mvcc, one_in(m, 3));
	backend_check(m->f.backend);
	check_leases(m);
}

static void step(struct model *m)
{
	uint64_t dice = below(m, 1000);

	draw_begin(&m->draw);
	if (dice < 370)
		op_put(m);
	else if (dice < 440)
		op_delete(m);
	else if (dice < 580)
		op_txn(m);
	else if (dice < 810)
		op_range(m);
	else if (dice < 880)
		op_cursor(m);
	else if (dice < 900)
		fixture_publish(&m->f);
	else if (dice < 930)
		op_compact_step(m);
	else if (dice < 940)
		op_revoke(m);
	else if (dice < 950)
		op_leases(m);
	else if (dice < 956)
		op_compact(m);
	else if (dice < 962)
		op_hash(m);
	else if (dice < 970)
		op_commit(m);
	else if (dice < 972)
		op_check(m);
	else if (dice < 990)
		op_old_view(m);
	else if (dice == 990 && one_in(m, 4))
		op_reopen(m);
}

static void run(uint64_t ops, uint64_t seed)
{
	struct model m = {.seed = seed, .verbose = getenv("MVCC_MODEL_VERBOSE")};

	draw_init(&m.draw, seed, &m.t, FIXTURE_LEASES);
	buf_init(&m.got, SIZE_MAX);
	buf_init(&m.want, SIZE_MAX);
	buf_init(&m.cursor_got, SIZE_MAX);
	buf_init(&m.cursor_want, SIZE_MAX);
	buf_init(&m.old_want, SIZE_MAX);
	fixture_open(&m.f);
	twin_init(&m.t);
	m.t.leases = m.f.leases;
	m.t.lease_count = FIXTURE_LEASES;
	for (m.op = 1; m.op <= ops; m.op++)
		step(&m);
	cursor_end(&m);
	reader_leave(&m);
	op_check(&m);
	check_rows(&m);
	fixture_close(&m.f);
	twin_fini(&m.t);
	buf_fini(&m.got);
	buf_fini(&m.want);
	buf_fini(&m.cursor_got);
	buf_fini(&m.cursor_want);
	buf_fini(&m.old_want);
	VEC_FREE(&m.events.list);
	draw_fini(&m.draw);
	printf("%llu operations, seed %llu: equal at revision %lld\n", (unsigned long long)ops,
	       (unsigned long long)seed, (long long)m.t.rev);
}

int main(int argc, char **argv)
{
	uint64_t ops = argc > 1 ? strtoull(argv[1], NULL, 0) : 200000, seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	for (uint64_t i = 0; i < 4; i++) /* several stores, each from the beginning */
		run(ops / 4, seed + i);
	return 0;
}
