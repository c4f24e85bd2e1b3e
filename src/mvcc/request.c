/* What a request must satisfy before it is proposed. Pure. Order and texts of errors: etcd v3.7.1,
 * server/etcdserver/api/v3rpc/key.go. */
#include "mvcc/mvcc.h"

err_t mvcc_check_range(const struct range_req *r)
{
	if (!r->key.size)
		return ERR_EMPTY_KEY;
	if (r->sort_order < 0 || r->sort_order > 2 || r->sort_target < 0 || r->sort_target > 4)
		return ERR_INVALID_SORT_OPTION;
	return OK;
}

err_t mvcc_check_range_stream(const struct range_req *r)
{
	err_t err = mvcc_check_range(r);

	if (err)
		return err;
	if (r->sort_order == 2 || (r->sort_order == 1 && r->sort_target != 0))
		return ERR_STREAM_SORT;
	if (r->min_mod_rev || r->max_mod_rev || r->min_create_rev || r->max_create_rev)
		return ERR_STREAM_FILTER;
	return OK;
}

err_t mvcc_check_put(const struct put_req *r)
{
	if (!r->key.size)
		return ERR_EMPTY_KEY;
	if (r->ignore_value && r->value.size)
		return ERR_VALUE_PROVIDED;
	if (r->ignore_lease && r->lease)
		return ERR_LEASE_PROVIDED;
	return OK;
}

err_t mvcc_check_delete(const struct delete_req *r)
{
	return r->key.size ? OK : ERR_EMPTY_KEY;
}

/* ---- number and form of operations ---- */

static err_t check_ops(const struct txn_req *t, size_t allowance);

static err_t check_op(const struct request_op *op, size_t allowance)
{
	switch (op->kind) {
	case OP_RANGE:
		return mvcc_check_range(&op->range);
	case OP_PUT:
		return mvcc_check_put(&op->put);
	case OP_DELETE:
		return mvcc_check_delete(&op->del);
	case OP_TXN:
		return check_ops(op->txn, allowance);
	case OP_NONE:
		return ERR_KEY_NOT_FOUND;
	}
	return ERR_KEY_NOT_FOUND;
}

/* A nested txn may use what its parent's longest list left over. */
static err_t check_ops(const struct txn_req *t, size_t allowance)
{
	size_t most = MAX(t->compare_count, MAX(t->success_count, t->failure_count));
	err_t err = most > allowance ? ERR_TOO_MANY_OPS : OK;

	for (size_t i = 0; i < t->compare_count && !err; i++)
		err = t->compares[i].key.size ? OK : ERR_EMPTY_KEY;
	for (size_t i = 0; i < t->success_count && !err; i++)
		err = check_op(&t->success[i], allowance - most);
	for (size_t i = 0; i < t->failure_count && !err; i++)
		err = check_op(&t->failure[i], allowance - most);
	return err;
}

/* ---- the same key twice ---- */

struct interval {
	struct slice begin;
	struct slice end;
	bool one; /* only begin */
};

/* Of the operations of a branch and all that is nested in it. puts: sorted, each once. dels: disjoint, sorted. */
struct touched {
	VEC(struct slice) puts;
	VEC(struct interval) dels;
};

static void touched_fini(struct touched *t)
{
	VEC_FREE(&t->puts);
	VEC_FREE(&t->dels);
}

static int by_key(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* An end of "\0" is a string like any other here, so the interval is empty: upstream's check does not know that
 * it means open-ended either. */
static bool interval_has(const struct interval *v, struct slice key)
{
	if (v->one)
		return slice_eq(v->begin, key);
	return slice_cmp(v->begin, key) <= 0 && slice_cmp(key, v->end) < 0;
}

static int by_begin(const void *a, const void *b)
{
	const struct interval *x = a, *y = b;
	int c = slice_cmp(x->begin, y->begin);

	return c ? c : (int)y->one - (int)x->one;
}

/* Sorts, drops empty intervals, joins those that overlap: of what is left at most one can have a given key, and
 * it is the last one that begins at or before it. */
static void dels_tidy(struct touched *t)
{
	size_t n = 0;

	if (t->dels.count)
		qsort(t->dels.at, t->dels.count, sizeof(t->dels.at[0]), by_begin);
	for (size_t i = 0; i < t->dels.count; i++) {
		struct interval v = t->dels.at[i], *last = n ? &t->dels.at[n - 1] : NULL;

		if (!v.one && slice_cmp(v.begin, v.end) >= 0)
			continue;
		if (last && interval_has(last, v.begin)) {
			if (!v.one && (last->one || slice_cmp(last->end, v.end) < 0)) {
				last->end = v.end;
				last->one = false;
			}
			continue;
		}
		t->dels.at[n++] = v;
	}
	t->dels.count = n;
}

static bool dels_have(const struct touched *t, struct slice key)
{
	size_t low = 0, high = t->dels.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (slice_cmp(t->dels.at[mid].begin, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && interval_has(&t->dels.at[low - 1], key);
}

static bool puts_have(const struct touched *t, struct slice key)
{
	return t->puts.count && bsearch(&key, t->puts.at, t->puts.count, sizeof(key), by_key);
}

static void puts_merge(struct touched *t, const struct touched *more)
{
	struct touched sum = {0};
	size_t i = 0, j = 0;

	VEC_RESERVE(&sum.puts, t->puts.count + more->puts.count);
	while (i < t->puts.count || j < more->puts.count) {
		int c = i == t->puts.count      ? 1
			: j == more->puts.count ? -1
						: slice_cmp(t->puts.at[i], more->puts.at[j]);

		sum.puts.at[sum.puts.count++] = c <= 0 ? t->puts.at[i] : more->puts.at[j];
		i += c <= 0;
		j += c >= 0;
	}
	VEC_FREE(&t->puts);
	memcpy(&t->puts, &sum.puts, sizeof(t->puts));
}

/* Do the puts of part meet those, or the deletes, of t? Those of `other` (its exclusive other branch) may. */
static bool clashes(const struct touched *t, const struct touched *part, const struct touched *other)
{
	for (size_t i = 0; i < part->puts.count; i++) {
		struct slice key = part->puts.at[i];

		if (dels_have(t, key))
			return true;
		if (puts_have(t, key) && !(other && puts_have(other, key)))
			return true;
	}
	return false;
}

static err_t touch(const struct request_op *ops, size_t count, struct touched *out);

static err_t touch_nested(const struct txn_req *t, struct touched *out)
{
	struct touched then = {0}, otherwise = {0};
	err_t err = touch(t->success, t->success_count, &then);

	if (!err)
		err = touch(t->failure, t->failure_count, &otherwise);
	if (!err && clashes(out, &then, NULL))
		err = ERR_DUPLICATE_KEY;
	if (!err) {
		puts_merge(out, &then);
		if (clashes(out, &otherwise, &then))
			err = ERR_DUPLICATE_KEY;
	}
	if (!err) {
		puts_merge(out, &otherwise);
		for (size_t i = 0; i < then.dels.count; i++)
			VEC_PUSH(&out->dels, then.dels.at[i]);
		for (size_t i = 0; i < otherwise.dels.count; i++)
			VEC_PUSH(&out->dels, otherwise.dels.at[i]);
		dels_tidy(out);
	}
	touched_fini(&then);
	touched_fini(&otherwise);
	return err;
}

/* Upstream's order: deletes of this level, nested txns one by one, then puts of this level. So a put in an earlier
 * nested txn and a delete in a later one pass, the other way round they do not. */
static err_t touch(const struct request_op *ops, size_t count, struct touched *out)
{
	struct touched level = {0};
	err_t err = OK;

	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == OP_DELETE) {
			struct interval v = {ops[i].del.key, ops[i].del.range_end, ops[i].del.range_end.size == 0};

			VEC_PUSH(&out->dels, v);
		} else if (ops[i].kind == OP_PUT) {
			VEC_PUSH(&level.puts, ops[i].put.key);
		}
	}
	dels_tidy(out);
	for (size_t i = 0; i < count && !err; i++)
		if (ops[i].kind == OP_TXN)
			err = touch_nested(ops[i].txn, out);
	if (!err && level.puts.count) {
		qsort(level.puts.at, level.puts.count, sizeof(level.puts.at[0]), by_key);
		for (size_t i = 1; i < level.puts.count && !err; i++)
			if (slice_eq(level.puts.at[i - 1], level.puts.at[i]))
				err = ERR_DUPLICATE_KEY;
		if (!err && clashes(out, &level, NULL))
			err = ERR_DUPLICATE_KEY;
		if (!err)
			puts_merge(out, &level);
	}
	touched_fini(&level);
	return err;
}

static err_t check_branch(const struct request_op *ops, size_t count)
{
	struct touched t = {0};
	err_t err = touch(ops, count, &t);

	touched_fini(&t);
	return err;
}

err_t mvcc_check_txn(const struct txn_req *t, size_t max_txn_ops)
{
	err_t err = check_ops(t, max_txn_ops);

	if (!err)
		err = check_branch(t->success, t->success_count);
	if (!err)
		err = check_branch(t->failure, t->failure_count);
	return err;
}

/* ---- classes and cost ---- */

bool mvcc_txn_is_serializable(const struct txn_req *t)
{
	for (size_t i = 0; i < t->success_count; i++)
		if (t->success[i].kind != OP_RANGE || !t->success[i].range.serializable)
			return false;
	for (size_t i = 0; i < t->failure_count; i++)
		if (t->failure[i].kind != OP_RANGE || !t->failure[i].range.serializable)
			return false;
	return true;
}

uint64_t mvcc_put_cost(const struct put_req *r)
{
	return 256 + r->key.size + r->value.size;
}

static uint64_t branch_cost(const struct request_op *ops, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == OP_PUT)
			sum += mvcc_put_cost(&ops[i].put);
		else if (ops[i].kind == OP_TXN)
			sum += mvcc_txn_cost(ops[i].txn);
	}
	return sum;
}

uint64_t mvcc_txn_cost(const struct txn_req *t)
{
	return MAX(branch_cost(t->success, t->success_count), branch_cost(t->failure, t->failure_count));
}
