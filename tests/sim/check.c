/* Revisions give the order, so the check is exact:
 *
 *   C1  an acknowledged write is found at its revision, with its value; two acknowledged writes never share one
 *   C2  real time: a call that ended before another began has the lower revision (writes), or is seen by it (reads)
 *   C3  what a read returned is what was written at that revision (acknowledged, or of unknown outcome)
 *   C4  no write that nobody made: revisions made <= acknowledged + unknown */
#include <stdio.h>
#include <stdlib.h>

#include "world.h"

static void fail(const struct world *w, const struct sim_op *op, const char *text)
{
	fprintf(stderr, "seed %llu: %s: client %u kind %d key %u value %llu rev %lld mod %lld [%llu, %llu]\n", (unsigned long long)w->seed, text,
		op->client, op->kind, op->key, (unsigned long long)op->value, (long long)op->rev, (long long)op->mod_rev,
		(unsigned long long)op->start_ns, (unsigned long long)op->end_ns);
	abort();
}

static bool writes(const struct sim_op *op)
{
	return op->kind == SIM_PUT || (op->kind == SIM_DELETE && op->changed);
}

static void check_durable(struct world *w, const struct publication *p)
{
	int64_t made = p->mvcc.rev - 1, acked = 0, unknown = 0;

	for (size_t i = 0; i < w->history.count; i++) {
		const struct sim_op *op = &w->history.at[i];
		char key[16];
		struct slice row;
		struct kv kv;
		err_t err;

		if (op->kind >= SIM_RANGE)
			continue;
		if (op->end == SIM_UNKNOWN || op->end == SIM_PENDING)
			unknown++;
		if (op->end != SIM_OK || !writes(op))
			continue;
		acked++;
		if (op->rev > p->mvcc.rev)
			fail(w, op, "C1: an acknowledged write is above the store's revision");
		snprintf(key, sizeof(key), "key%u", op->key);
		err = mvcc_get(&p->mvcc, slice_str(key), op->rev, &row);
		if (op->kind == SIM_DELETE) {
			if (err != ERR_NOT_EXIST)
				fail(w, op, "C1: a deleted key is there at the delete's revision");
			continue;
		}
		if (err || kv_decode(row, &kv) || kv.mod_rev != op->rev || kv.value.size != 8 || memcmp(kv.value.data, &op->value, 8) != 0)
			fail(w, op, "C1: an acknowledged write is not at its revision");
	}
	if (made < acked || made > acked + unknown) {
		fprintf(stderr, "seed %llu: C4: %lld revisions, %lld acknowledged, %lld unknown\n", (unsigned long long)w->seed, (long long)made,
			(long long)acked, (long long)unknown);
		abort();
	}
}

static void check_order(struct world *w)
{
	for (size_t i = 0; i < w->history.count; i++) {
		const struct sim_op *a = &w->history.at[i];

		if (a->end != SIM_OK || !writes(a))
			continue;
		for (size_t j = 0; j < w->history.count; j++) {
			const struct sim_op *b = &w->history.at[j];

			if (i == j || b->end != SIM_OK || b->kind == SIM_RANGE_SERIALIZABLE)
				continue;
			if (writes(b) && b->rev == a->rev)
				fail(w, a, "C1: two acknowledged writes share a revision");
			if (a->end_ns < b->start_ns && b->rev < a->rev)
				fail(w, b, "C2: does not see what was acknowledged before it began");
		}
	}
}

static void check_reads(struct world *w)
{
	for (size_t i = 0; i < w->history.count; i++) {
		const struct sim_op *r = &w->history.at[i];
		bool found = false;

		if (r->end != SIM_OK || r->kind < SIM_RANGE || !r->value)
			continue;
		for (size_t j = 0; j < w->history.count && !found; j++) {
			const struct sim_op *p = &w->history.at[j];

			if (p->kind != SIM_PUT || p->value != r->value)
				continue;
			found = true;
			if (p->key != r->key || p->end == SIM_REFUSED || (p->end == SIM_OK && p->rev != r->mod_rev))
				fail(w, r, "C3: a read returned what was not written there");
		}
		if (!found)
			fail(w, r, "C3: a read returned a value that nobody wrote");
	}
}

void world_check(struct world *w)
{
	const struct publication *p = node_view(w->node);

	check_durable(w, p);
	node_leave(w->node);
	check_order(w);
	check_reads(w);
}
