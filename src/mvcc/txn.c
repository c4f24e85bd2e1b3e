/* Transactions: compare, validate, execute.
 *
 *	1. path: every compare of the tree that can be reached, on the state before; one bit a txn, depth first
 *	2. the operations on the path are checked, still on the state before: an error leaves no trace
 *	3. they run in order; each sees those before it
 *
 * Read-only ones run on any thread over a view, with the same steps. */
#include "mvcc/mvcc_int.h"

struct txn_run {
	struct mvcc *m;        /* NULL: read-only, over view */
	struct mvcc_view view; /* the state before */
	struct buf *resp;      /* NULL: nobody waits */
	struct mvcc_events *events;
	VEC(bool) path;
	size_t at;
};

/* ---- compares ---- */

static int compare_number(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static bool result_holds(int32_t result, int c)
{
	switch (result) {
	case CMP_EQUAL:
		return c == 0;
	case CMP_NOT_EQUAL:
		return c != 0;
	case CMP_GREATER:
		return c > 0;
	case CMP_LESS:
		return c < 0;
	default:
		return true; /* as upstream, which knows no default */
	}
}

/* A union member that is not the target's counts as 0 or empty. */
static int64_t wanted_number(const struct compare *c, enum compare_union member)
{
	return c->which == member ? c->number : 0;
}

static bool compare_kv(const struct compare *c, const struct kv *kv)
{
	switch (c->target) {
	case CMP_VERSION:
		return result_holds(c->result, compare_number(kv->version, wanted_number(c, CMP_UNION_VERSION)));
	case CMP_CREATE:
		return result_holds(c->result, compare_number(kv->create_rev, wanted_number(c, CMP_UNION_CREATE)));
	case CMP_MOD:
		return result_holds(c->result, compare_number(kv->mod_rev, wanted_number(c, CMP_UNION_MOD)));
	case CMP_VALUE:
		return result_holds(c->result,
				    slice_cmp(kv->value, c->which == CMP_UNION_VALUE ? c->value : (struct slice){0}));
	case CMP_LEASE:
		return result_holds(c->result, compare_number(kv->lease, wanted_number(c, CMP_UNION_LEASE)));
	default:
		return result_holds(c->result, 0);
	}
}

static err_t record_kv(const struct mvcc_view *v, const struct record *r, bool with_row, struct kv *kv)
{
	struct past p = record_head(r);
	struct slice row;

	*kv = (struct kv){.key = record_key(r), .create_rev = p.create, .mod_rev = p.main, .version = p.version};
	if (!with_row)
		return OK;
	err_t err = view_row(v, &p, &row);

	return err ? err : kv_decode(row, kv);
}

static err_t compare_holds(const struct mvcc_view *v, const struct compare *c, bool *holds)
{
	struct key_range range = key_range_of(c->key, c->range_end);
	bool with_row = c->target == CMP_VALUE || c->target == CMP_LEASE, any = false;
	struct kv kv = {0};
	struct index_iter it;

	*holds = true;
	for (const struct record *r = index_seek(v->root, c->key, false, &it);
	     r && *holds && key_range_has(&range, record_key(r));
	     r = range.kind == RANGE_ONE ? NULL : index_next(&it)) {
		if (record_dead(r))
			continue;
		err_t err = record_kv(v, r, with_row, &kv);

		if (err)
			return err;
		any = true;
		*holds = compare_kv(c, &kv);
	}
	if (!any) /* no value equals, or differs from, a value that is not there */
		*holds = c->target != CMP_VALUE && compare_kv(c, &(struct kv){0});
	return OK;
}

static const struct request_op *branch(const struct txn_req *t, bool succeeded, size_t *count)
{
	*count = succeeded ? t->success_count : t->failure_count;
	return succeeded ? t->success : t->failure;
}

static err_t find_path(struct txn_run *x, const struct txn_req *t)
{
	bool succeeded = true;
	size_t count;

	for (size_t i = 0; i < t->compare_count && succeeded; i++) {
		err_t err = compare_holds(&x->view, &t->compares[i], &succeeded);

		if (err)
			return err;
	}
	VEC_PUSH(&x->path, succeeded);
	const struct request_op *ops = branch(t, succeeded, &count);

	for (size_t i = 0; i < count; i++) {
		err_t err = ops[i].kind == OP_TXN ? find_path(x, ops[i].txn) : OK;

		if (err)
			return err;
	}
	return OK;
}

static bool next_branch(struct txn_run *x)
{
	ASSERT(x->at < x->path.count);
	return x->path.at[x->at++];
}

/* ---- validation ---- */

/* Unlike a plain range, a negative revision is held against the compact revision, which is -1 at first. */
static err_t check_range_rev(const struct mvcc_view *v, int64_t rev)
{
	if (rev == 0)
		return OK;
	if (rev > v->rev)
		return ERR_FUTURE_REV;
	return rev < v->compact_rev ? ERR_COMPACTED : OK;
}

static err_t check_path(struct txn_run *x, const struct txn_req *t)
{
	size_t count;
	const struct request_op *ops = branch(t, next_branch(x), &count);
	err_t err = OK;

	for (size_t i = 0; i < count && !err; i++) {
		switch (ops[i].kind) {
		case OP_RANGE:
			err = check_range_rev(&x->view, ops[i].range.revision);
			break;
		case OP_PUT:
			err = put_allowed(x->m, &ops[i].put);
			break;
		case OP_TXN:
			err = check_path(x, ops[i].txn);
			break;
		case OP_DELETE:
		case OP_NONE:
			break;
		}
	}
	return err;
}

/* ---- execution ---- */

static void put_header(struct buf *resp, int64_t revision)
{
	struct response_header h = {.revision = revision};

	response_header_encode(&h, 1, resp);
}

static err_t run_range(struct txn_run *x, const struct range_req *r)
{
	struct mvcc_view now = x->m ? mvcc_view_now(x->m) : x->view;

	if (!x->resp)
		return OK;
	put_header(x->resp, now.rev);
	err_t err = mvcc_range(&now, r, SIZE_MAX, x->resp);

	if (err == ERR_TOO_LARGE)
		x->resp->failed = true;
	return err;
}

static void run_put(struct txn_run *x, const struct put_req *r)
{
	if (x->resp)
		put_header(x->resp, x->m->rev + 1);
	put_run(x->m, r, x->resp, x->events);
}

static void run_delete(struct txn_run *x, const struct delete_req *r)
{
	struct key_range range = key_range_of(r->key, r->range_end);
	bool changes = x->m->changes > 0 || index_count(x->m->tree.root, &range) > 0;

	if (x->resp)
		put_header(x->resp, x->m->rev + changes);
	write_delete_range(x->m, r, x->resp, x->events);
}

static err_t run_txn(struct txn_run *x, const struct txn_req *t);

static err_t run_op(struct txn_run *x, const struct request_op *op)
{
	switch (op->kind) {
	case OP_RANGE:
		return run_range(x, &op->range);
	case OP_PUT:
		run_put(x, &op->put);
		return OK;
	case OP_DELETE:
		run_delete(x, &op->del);
		return OK;
	case OP_TXN:
		if (x->resp)
			put_header(x->resp, 0); /* there, but empty */
		return run_txn(x, op->txn);
	case OP_NONE:
		return OK;
	}
	UNREACHABLE();
}

/* TxnResponse: succeeded 2, responses 3; ResponseOp: its member's number is the kind. */
static err_t run_txn(struct txn_run *x, const struct txn_req *t)
{
	bool succeeded = next_branch(x);
	size_t count;
	const struct request_op *ops = branch(t, succeeded, &count);
	err_t err = OK;

	if (x->resp)
		pb_put_uint(x->resp, 2, succeeded);
	for (size_t i = 0; i < count && !err; i++) {
		size_t outer = 0, inner = 0;

		if (x->resp) {
			outer = pb_begin(x->resp, 3);
			inner = pb_begin(x->resp, (uint32_t)ops[i].kind);
		}
		err = run_op(x, &ops[i]);
		if (x->resp) {
			pb_end(x->resp, inner);
			pb_end(x->resp, outer);
		}
		if (err == ERR_TOO_LARGE && x->m)
			err = OK; /* the answer is lost, the write is not */
	}
	return err;
}

static err_t prepare(struct txn_run *x, const struct txn_req *t)
{
	err_t err = find_path(x, t);

	if (!err)
		err = check_path(x, t);
	x->at = 0;
	return err;
}

err_t mvcc_txn(struct mvcc *m, const struct txn_req *t, struct buf *resp, struct mvcc_events *events)
{
	struct txn_run x = {.m = m, .view = mvcc_view_now(m), .resp = resp, .events = events};

	ASSERT(m->changes == 0);
	err_t err = prepare(&x, t);

	if (!err) {
		err = run_txn(&x, t);
		if (err) /* all was checked: only a row can be missing */
			fatal("the database lacks a row that the index names: restore this member");
		write_end(m);
		m->stats.txns++;
	}
	VEC_FREE(&x.path);
	return err;
}

err_t mvcc_txn_read(const struct mvcc_view *v, const struct txn_req *t, struct buf *out)
{
	struct txn_run x = {.view = *v, .resp = out};
	size_t before = out->size;

	ASSERT(txn_req_is_read_only(t));
	err_t err = prepare(&x, t);

	if (!err)
		err = run_txn(&x, t);
	if (!err && buf_failed(out))
		err = ERR_TOO_LARGE;
	if (err) {
		out->size = before;
		out->failed = false;
	}
	VEC_FREE(&x.path);
	return err;
}
