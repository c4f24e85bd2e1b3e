/* Checks before proposing. Expected values: spec of etcd v3.7.1 (semantics, section 2), checked on a running one. */
#include "../../lib/test.h"

#include "mvcc/mvcc.h"

static struct slice str(const char *s)
{
	return slice_str(s);
}

static void test_range(void **unused)
{
	static const struct {
		const char *key;
		int32_t order, target;
		err_t want, want_stream;
	} cases[] = {
	    {"", 0, 0, ERR_EMPTY_KEY, ERR_EMPTY_KEY},
	    {"", 9, 9, ERR_EMPTY_KEY, ERR_EMPTY_KEY},
	    {"k", 3, 0, ERR_INVALID_SORT_OPTION, ERR_INVALID_SORT_OPTION},
	    {"k", -1, 0, ERR_INVALID_SORT_OPTION, ERR_INVALID_SORT_OPTION},
	    {"k", 0, 5, ERR_INVALID_SORT_OPTION, ERR_INVALID_SORT_OPTION},
	    {"k", 2, 4, OK, ERR_STREAM_SORT},
	    {"k", 1, 1, OK, ERR_STREAM_SORT},
	    {"k", 1, 0, OK, OK},
	    {"k", 0, 3, OK, OK},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct range_req r = {
		    .key = str(cases[i].key), .sort_order = cases[i].order, .sort_target = cases[i].target};

		assert_int_equal(mvcc_check_range(&r), cases[i].want);
		assert_int_equal(mvcc_check_range_stream(&r), cases[i].want_stream);
	}
	struct range_req filtered = {.key = str("k"), .max_create_rev = 3};

	assert_int_equal(mvcc_check_range_stream(&filtered), ERR_STREAM_FILTER);
}

static void test_put_and_delete(void **unused)
{
	assert_err(ERR_EMPTY_KEY, mvcc_check_put(&(struct put_req){.value = str("v"), .ignore_value = true}));
	assert_err(ERR_VALUE_PROVIDED,
		   mvcc_check_put(&(struct put_req){
		       .key = str("k"), .value = str("v"), .lease = 1, .ignore_value = true, .ignore_lease = true}));
	assert_err(ERR_LEASE_PROVIDED,
		   mvcc_check_put(&(struct put_req){.key = str("k"), .lease = 1, .ignore_lease = true}));
	assert_ok(mvcc_check_put(&(struct put_req){.key = str("k"), .ignore_value = true, .ignore_lease = true}));
	assert_err(ERR_EMPTY_KEY, mvcc_check_delete(&(struct delete_req){.range_end = str("x")}));
	assert_ok(mvcc_check_delete(&(struct delete_req){.key = str("k")}));
}

/* Txns as text: branch of ops separated by spaces, then "|" and the failure branch.
 *	pX   put key X        dX   delete key X       dX-Y delete [X,Y)    dX-0 delete [X, "\0")
 *	r    range            n    op without member  (…|…) nested txn     cX at the front: compare on X; c alone: empty
 *key */
struct parser {
	const char *at;
	struct arena *arena;
};

static struct txn_req *parse(struct parser *p);

static struct request_op parse_op(struct parser *p)
{
	struct request_op op = {0};
	char kind = *p->at++;

	if (kind == '(') {
		op.kind = OP_TXN;
		op.txn = parse(p);
		ASSERT(*p->at++ == ')');
		return op;
	}
	struct slice key = slice_of(p->at, *p->at >= 'a' && *p->at <= 'z');

	p->at += key.size;
	if (kind == 'p') {
		op = (struct request_op){.kind = OP_PUT, .put = {.key = key}};
	} else if (kind == 'd') {
		op = (struct request_op){.kind = OP_DELETE, .del = {.key = key}};
		if (*p->at == '-') {
			op.del.range_end = p->at[1] == '0' ? slice_of("\0", 1) : slice_of(p->at + 1, 1);
			p->at += 2;
		}
	} else if (kind == 'r') {
		op = (struct request_op){.kind = OP_RANGE, .range = {.key = key.size ? key : SLICE_LIT("x")}};
	} else if (kind == 'R') {
		op = (struct request_op){.kind = OP_RANGE};
	}
	return op;
}

static struct txn_req *parse(struct parser *p)
{
	struct txn_req *t = arena_alloc(p->arena, sizeof(*t));
	struct request_op *ops = NULL;
	bool failure = false;

	t->compares = arena_alloc(p->arena, 8 * sizeof(t->compares[0]));
	t->success = arena_alloc(p->arena, 8 * sizeof(*ops));
	t->failure = arena_alloc(p->arena, 8 * sizeof(*ops));
	while (*p->at && *p->at != ')') {
		if (*p->at == ' ') {
			p->at++;
		} else if (*p->at == '|') {
			failure = true;
			p->at++;
		} else if (*p->at == 'c') {
			bool keyed = p->at[1] >= 'a' && p->at[1] <= 'z';

			t->compares[t->compare_count++].key = slice_of(p->at + 1, keyed);
			p->at += 1 + keyed;
		} else if (failure) {
			t->failure[t->failure_count++] = parse_op(p);
		} else {
			t->success[t->success_count++] = parse_op(p);
		}
	}
	return t;
}

static void test_txn_duplicates(void **unused)
{
	static const struct {
		const char *txn;
		err_t want;
	} cases[] = {
	    {"", OK},
	    {"pa pb|pa pb", OK},
	    {"pa pa", ERR_DUPLICATE_KEY},
	    {"|pa pa", ERR_DUPLICATE_KEY},
	    {"pa da", ERR_DUPLICATE_KEY},
	    {"da pa", ERR_DUPLICATE_KEY},
	    {"pa da-c", ERR_DUPLICATE_KEY},
	    {"pb da-c", ERR_DUPLICATE_KEY},
	    {"pc da-c", OK},
	    {"da da", OK},
	    {"da-c db-d", OK},
	    {"da-c db-d pc", ERR_DUPLICATE_KEY},
	    {"da-d db-c pc", ERR_DUPLICATE_KEY},
	    {"da da-0 pa", ERR_DUPLICATE_KEY},
	    {"da-b dc pb", OK},
	    {"da-0 pb", OK}, /* not seen as open-ended */
	    {"da-0 pa", OK},
	    {"dc-a pb", OK}, /* empty interval */
	    /* nested: puts of all levels differ, but then and else of one txn */
	    {"pa (pa)", ERR_DUPLICATE_KEY},
	    {"pa (|pa)", ERR_DUPLICATE_KEY},
	    {"(pa|pa)", OK},
	    {"(pa|pa) pa", ERR_DUPLICATE_KEY},
	    {"(pa) (pa)", ERR_DUPLICATE_KEY},
	    {"(pa|pb) (|pb)", ERR_DUPLICATE_KEY},
	    {"((pa)|(pa))", OK},
	    {"((pa) (pa))", ERR_DUPLICATE_KEY},
	    /* deletes: against puts above and beside, in one order only */
	    {"da (pa)", ERR_DUPLICATE_KEY},
	    {"(pa) da", ERR_DUPLICATE_KEY},
	    {"pa (da)", ERR_DUPLICATE_KEY},
	    {"pa (|da)", ERR_DUPLICATE_KEY},
	    {"(pa) (da)", OK},
	    {"(da) (pa)", ERR_DUPLICATE_KEY},
	    {"(|da) (|pa)", ERR_DUPLICATE_KEY},
	    {"(pa|da)", OK},
	    {"(da-c|) (pb|)", ERR_DUPLICATE_KEY},
	    /* form first, in order */
	    {"n pa pa", ERR_KEY_NOT_FOUND},
	    {"pa pa|n", ERR_KEY_NOT_FOUND},
	    {"c pa pa", ERR_EMPTY_KEY},
	    {"p n", ERR_EMPTY_KEY},
	    {"n p", ERR_KEY_NOT_FOUND},
	    {"R", ERR_EMPTY_KEY},
	    {"d", ERR_EMPTY_KEY},
	    {"(p)", ERR_EMPTY_KEY},
	    {"(c)", ERR_EMPTY_KEY},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct arena a;

		arena_init(&a, 1 << 20);
		struct parser p = {cases[i].txn, &a};
		err_t got = mvcc_check_txn(parse(&p), 128);

		if (got != cases[i].want)
			fail_msg("\"%s\": %s", cases[i].txn, err_name(got));
		arena_fini(&a);
	}
}

/* n puts of different keys; with a nested txn of m puts behind them if nested is set. */
static err_t check_counts(size_t compares, size_t n, size_t failures, bool nested, size_t m)
{
	static uint8_t keys[400][2];
	struct request_op *ops = NEW_ARRAY(struct request_op, n + 1), *inner = NEW_ARRAY(struct request_op, m + 1);
	struct request_op *fails = NEW_ARRAY(struct request_op, failures + 1);
	struct compare *cmp = NEW_ARRAY(struct compare, compares + 1);

	for (size_t i = 0; i < 400; i++)
		keys[i][0] = (uint8_t)(1 + i / 200), keys[i][1] = (uint8_t)(i % 200);
	for (size_t i = 0; i < compares; i++)
		cmp[i].key = slice_of(keys[i], 2);
	for (size_t i = 0; i < n; i++)
		ops[i] = (struct request_op){.kind = OP_PUT, .put = {.key = slice_of(keys[i], 2)}};
	for (size_t i = 0; i < failures; i++)
		fails[i] = (struct request_op){.kind = OP_PUT, .put = {.key = slice_of(keys[i], 2)}};
	for (size_t i = 0; i < m; i++)
		inner[i] = (struct request_op){.kind = OP_PUT, .put = {.key = slice_of(keys[200 + i], 2)}};
	struct txn_req child = {.success = inner, .success_count = m};
	struct txn_req t = {.compares = cmp,
			    .compare_count = compares,
			    .success = ops,
			    .success_count = n,
			    .failure = fails,
			    .failure_count = failures};

	if (nested)
		ops[t.success_count - 1] = (struct request_op){.kind = OP_TXN, .txn = &child};
	err_t err = mvcc_check_txn(&t, 128);

	mem_free(ops);
	mem_free(inner);
	mem_free(fails);
	mem_free(cmp);
	return err;
}

static void test_txn_op_counts(void **unused)
{
	assert_ok(check_counts(128, 128, 128, false, 0));
	assert_err(ERR_TOO_MANY_OPS, check_counts(129, 0, 0, false, 0));
	assert_err(ERR_TOO_MANY_OPS, check_counts(0, 129, 0, false, 0));
	assert_err(ERR_TOO_MANY_OPS, check_counts(0, 0, 129, false, 0));
	/* the nested txn has what the parent's longest list leaves */
	assert_ok(check_counts(0, 127, 0, true, 1));
	assert_err(ERR_TOO_MANY_OPS, check_counts(0, 127, 0, true, 2));
	assert_err(ERR_TOO_MANY_OPS, check_counts(0, 128, 0, true, 1));
	assert_ok(check_counts(0, 128, 0, true, 0));
	assert_err(ERR_TOO_MANY_OPS, check_counts(128, 1, 0, true, 1));
	assert_err(ERR_TOO_MANY_OPS, check_counts(0, 1, 128, true, 1));
}

static void test_classes_and_cost(void **unused)
{
	struct request_op reads[2] = {
	    {.kind = OP_RANGE, .range = {.key = str("a"), .serializable = true}},
	    {.kind = OP_RANGE, .range = {.key = str("b")}},
	};
	struct txn_req empty = {0}, one = {.success = reads, .success_count = 1},
		       both = {.success = reads, .success_count = 2};

	assert_true(mvcc_txn_is_serializable(&empty));
	assert_true(mvcc_txn_is_serializable(&one));
	assert_false(mvcc_txn_is_serializable(&both));
	assert_int_equal(mvcc_put_cost(&(struct put_req){.key = str("abc"), .value = str("12345")}), 264);
	struct request_op puts[2] = {
	    {.kind = OP_PUT, .put = {.key = str("abc"), .value = str("12345")}},
	    {.kind = OP_TXN, .txn = &empty},
	};
	struct request_op cheap = {.kind = OP_PUT, .put = {.key = str("a")}};
	struct txn_req inner = {.success = &cheap, .success_count = 1, .failure = puts, .failure_count = 1};

	puts[1].txn = &inner;
	struct txn_req outer = {.success = puts, .success_count = 2, .failure = &cheap, .failure_count = 1};

	inner.failure_count = 1;
	assert_int_equal(mvcc_txn_cost(&outer), 264 + 264);
	assert_int_equal(mvcc_txn_cost(&both), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_range),
	    cmocka_unit_test(test_put_and_delete),
	    cmocka_unit_test(test_txn_duplicates),
	    cmocka_unit_test(test_txn_op_counts),
	    cmocka_unit_test(test_classes_and_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
