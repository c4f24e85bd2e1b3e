#include "pb_test.h"

#include "pb/rpc.h"

static void test_range(void **state)
{
	struct range_req q;

	assert_ok(range_req_parse(hex("0a0161 120100 1805 20ffffffffffffffffff01 2802 3004 3801 4001 4801 5006 5807 6008 6809"), &q));
	assert_true(slice_eq(q.key, SLICE_LIT("a")) && slice_eq(q.range_end, SLICE_LIT("\0")));
	assert_true(q.limit == 5 && q.revision == -1 && q.sort_order == 2 && q.sort_target == 4);
	assert_true(q.serializable && q.keys_only && q.count_only);
	assert_true(q.min_mod_rev == 6 && q.max_mod_rev == 7 && q.min_create_rev == 8 && q.max_create_rev == 9);
	/* an enum keeps any 32-bit number, a bool is true unless 0 */
	assert_ok(range_req_parse(hex("28ffffffffffffffffff01 3863 3880808000"), &q));
	assert_true(q.sort_order == -1 && !q.serializable && q.key.size == 0);
	assert_err(ERR_MALFORMED, range_req_parse(hex("0a0161 18"), &q));
}

static void test_put_delete(void **state)
{
	struct put_req p;
	struct delete_req d;

	/* from a WAL of etcd v3.7.1 */
	assert_ok(put_req_parse(hex("0a036b3031120576312d3031"), &p));
	assert_true(slice_eq(p.key, SLICE_LIT("k01")) && slice_eq(p.value, SLICE_LIT("v1-01")) && p.lease == 0);
	assert_ok(put_req_parse(hex("1807 2001 2801 3001 0801 0a016b"), &p));
	assert_true(p.lease == 7 && p.prev_kv && p.ignore_value && p.ignore_lease && slice_eq(p.key, SLICE_LIT("k")));
	assert_ok(delete_req_parse(hex("0a0161 120162 1801"), &d));
	assert_true(slice_eq(d.key, SLICE_LIT("a")) && slice_eq(d.range_end, SLICE_LIT("b")) && d.prev_kv);
	assert_err(ERR_MALFORMED, put_req_parse(hex("0a0561"), &p));
	assert_err(ERR_MALFORMED, delete_req_parse(hex("0a016112"), &d));
}

static void test_small_requests(void **state)
{
	struct compact_req c;
	struct lease_grant_req g;
	struct lease_revoke_req v;

	assert_ok(compact_req_parse(hex("0809 1001"), &c));
	assert_true(c.revision == 9 && c.physical);
	assert_ok(lease_grant_req_parse(hex("083c 10ffffffffffffffffff01"), &g));
	assert_true(g.ttl == 60 && g.id == -1);
	assert_ok(lease_revoke_req_parse(hex("0805"), &v));
	assert_true(v.id == 5);
	assert_err(ERR_MALFORMED, compact_req_parse(hex("08"), &c));
	assert_err(ERR_MALFORMED, lease_grant_req_parse(hex("0880"), &g));
	assert_err(ERR_MALFORMED, lease_revoke_req_parse(hex("04"), &v));
}

static void test_watch(void **state)
{
	struct watch_req w;

	assert_ok(watch_req_parse(hex("0a19 0a0161 120162 1805 2001 2a020001 3001 3807 4001 2802 28aa04"), &w));
	assert_true(w.kind == WATCH_REQ_CREATE && w.start_revision == 5 && w.progress_notify && w.prev_kv && w.fragment);
	assert_true(w.filters == (WATCH_FILTER_NOPUT | WATCH_FILTER_NODELETE) && w.watch_id == 7);
	assert_ok(watch_req_parse(hex("0a02 2801"), &w));               /* not packed */
	assert_true(w.filters == WATCH_FILTER_NODELETE);
	assert_ok(watch_req_parse(hex("1202 0809"), &w));
	assert_true(w.kind == WATCH_REQ_CANCEL && w.watch_id == 9);
	assert_ok(watch_req_parse(hex("1a00"), &w));
	assert_true(w.kind == WATCH_REQ_PROGRESS);
	assert_ok(watch_req_parse(hex("2205 0102030405"), &w));
	assert_true(w.kind == WATCH_REQ_NONE);
	/* the same member again merges, another one replaces */
	assert_ok(watch_req_parse(hex("0a03 0a0161 0a02 3807"), &w));
	assert_true(slice_eq(w.key, SLICE_LIT("a")) && w.watch_id == 7);
	assert_ok(watch_req_parse(hex("0a03 0a0161 1a00 0a02 3807"), &w));
	assert_true(w.kind == WATCH_REQ_CREATE && w.key.size == 0 && w.watch_id == 7);
	assert_err(ERR_MALFORMED, watch_req_parse(hex("0a03 2a0180"), &w));
	assert_err(ERR_MALFORMED, watch_req_parse(hex("1a01 08"), &w));
}

static void test_txn(void **state)
{
	struct arena a;
	struct txn_req t;

	arena_init(&a, 1 << 20);
	assert_ok(txn_req_parse(&a, hex("0a0d 0801 1002 1a016b 3005 82040100 0a07 1003 3a0176 2000"
					"1205 0a03 0a0161 1208 1206 0a0162 120163 1a05 1a03 0a0164 1a00"), &t));
	assert_true(t.compare_count == 2 && t.success_count == 2 && t.failure_count == 2);
	assert_true(t.compares[0].result == CMP_GREATER && t.compares[0].target == CMP_MOD);
	assert_true(t.compares[0].which == CMP_UNION_MOD && t.compares[0].number == 5);
	assert_true(slice_eq(t.compares[0].key, SLICE_LIT("k")) && t.compares[0].range_end.size == 1);
	/* the last member of the oneof, version 0, wins over the value before */
	assert_true(t.compares[1].which == CMP_UNION_VERSION && t.compares[1].value.size == 0);
	assert_true(t.success[0].kind == OP_RANGE && slice_eq(t.success[0].range.key, SLICE_LIT("a")));
	assert_true(t.success[1].kind == OP_PUT && slice_eq(t.success[1].put.value, SLICE_LIT("c")));
	assert_true(t.failure[0].kind == OP_DELETE && slice_eq(t.failure[0].del.key, SLICE_LIT("d")));
	assert_true(t.failure[1].kind == OP_NONE);
	assert_false(txn_req_is_read_only(&t));

	assert_ok(txn_req_parse(&a, (struct slice){0}, &t));
	assert_true(txn_req_is_read_only(&t));
	assert_ok(txn_req_parse(&a, hex("1205 0a03 0a0161"), &t));
	assert_true(txn_req_is_read_only(&t));
	assert_ok(txn_req_parse(&a, hex("1202 2200"), &t));             /* a nested empty one */
	assert_true(t.success[0].kind == OP_TXN && !txn_req_is_read_only(&t));
	arena_fini(&a);
}

/* A txn that occurs twice is merged, but its first part may not end within a field that the second would complete. */
static void test_txn_cut_between_parts(void **state)
{
	static const uint8_t bytes[] = {0x12, 8, 0x22, 2, 0x0a, 2, 0x22, 2, 0x08, 0};
	struct txn_req t;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_int_equal(txn_req_parse(&a, slice_of(bytes, sizeof(bytes)), &t), ERR_MALFORMED);
	arena_fini(&a);
}

static void test_op_oneof(void **state)
{
	struct arena a;
	struct txn_req t;

	arena_init(&a, 1 << 20);
	/* put, put: merged; put, delete, put: only the last */
	assert_ok(txn_req_parse(&a, hex("120a 1203 0a0161 1203 120162"), &t));
	assert_true(slice_eq(t.success[0].put.key, SLICE_LIT("a")) && slice_eq(t.success[0].put.value, SLICE_LIT("b")));
	assert_ok(txn_req_parse(&a, hex("120c 1203 0a0161 1a00 1203 120162"), &t));
	assert_true(t.success[0].kind == OP_PUT && t.success[0].put.key.size == 0);
	/* txn, txn: their operations in a row */
	assert_ok(txn_req_parse(&a, hex("120c 2204 12021200 2204 12021a00"), &t));
	assert_true(t.success[0].kind == OP_TXN && t.success[0].txn->success_count == 2);
	assert_true(t.success[0].txn->success[0].kind == OP_PUT && t.success[0].txn->success[1].kind == OP_DELETE);
	/* txn, put, txn: only the last */
	assert_ok(txn_req_parse(&a, hex("120e 2204 12021200 1200 2204 12021a00"), &t));
	assert_true(t.success[0].txn->success_count == 1 && t.success[0].txn->success[0].kind == OP_DELETE);
	arena_fini(&a);
}

static void test_txn_malformed(void **state)
{
	static const char *const cases[] = {
		"0a", "0a0108", "120108", "1203 120108", "1203 0a010a", "1203 1a010a", "1205 2203 120108", "1a0108",
		"1207 2203 120108 1200",        /* a txn that is replaced must be well-formed, too */
	};
	struct arena a;
	struct txn_req t = {.compare_count = 77};

	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_err(ERR_MALFORMED, txn_req_parse(&a, hex(cases[i]), &t));
	assert_int_equal(t.compare_count, 77);
	arena_fini(&a);
}

/* A txn within the success branch of a txn, depth levels in all; bytes grow from the end of out. */
static struct slice nested_txn(unsigned depth, uint8_t *out, size_t room)
{
	uint8_t *at = out + room;

	for (unsigned i = 1; i < depth; i++) {
		size_t inner = (size_t)(out + room - at);
		size_t head = 1 + pb_varint_size(inner);

		at -= head;
		at[0] = 0x22;
		pb_varint_write(at + 1, inner);
		inner += head;
		head = 1 + pb_varint_size(inner);
		at -= head;
		at[0] = 0x12;
		pb_varint_write(at + 1, inner);
	}
	return slice_of(at, (size_t)(out + room - at));
}

static void test_txn_depth(void **state)
{
	static uint8_t bytes[1 << 16];
	struct arena a;
	struct txn_req t;
	unsigned depth = 1;

	arena_init(&a, 8 << 20);
	assert_ok(txn_req_parse(&a, nested_txn(RPC_TXN_DEPTH_MAX, bytes, sizeof(bytes)), &t));
	for (const struct txn_req *in = &t; in->success_count; in = in->success[0].txn)
		depth++;
	assert_int_equal(depth, RPC_TXN_DEPTH_MAX);
	assert_err(ERR_INVALID, txn_req_parse(&a, nested_txn(RPC_TXN_DEPTH_MAX + 1, bytes, sizeof(bytes)), &t));
	assert_err(ERR_INVALID, txn_req_parse(&a, nested_txn(6000, bytes, sizeof(bytes)), &t));
	arena_fini(&a);
}

static void test_txn_arena_is_the_bound(void **state)
{
	static uint8_t bytes[2000];
	struct arena a;
	struct txn_req t;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i % 2 ? 0 : 0x12;
	arena_init(&a, 10000);
	assert_err(ERR_TOO_LARGE, txn_req_parse(&a, slice_of(bytes, sizeof(bytes)), &t));
	arena_fini(&a);
}

static void test_internal(void **state)
{
	/* entries of etcd v3.7.1: body below 100 first, others behind the header */
	static const struct {
		const char *bytes;
		struct internal_req want;
	} cases[] = {
		{"220c 0a036b3031120576312d3031 a2060a 0884c4af99f4c1a8cb55",
		 {.field = REQ_PUT}},
		{"a2060a 0882b8929bf4c1a8cb55 a25107 0a05332e372e30", {.field = REQ_CLUSTER_VERSION_SET}},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice bytes = hex(cases[i].bytes);
		struct internal_req r;
		struct buf b;

		assert_ok(internal_req_parse(bytes, &r));
		assert_int_equal(r.field, cases[i].want.field);
		assert_int_equal(r.id >> 48, 0x5596);
		assert_true(r.username.size == 0 && r.auth_revision == 0);
		buf_init(&b, 1 << 16);
		internal_req_encode(&r, &b);
		assert_bytes(buf_slice(&b), bytes);
		assert_int_equal(internal_req_size(&r), bytes.size);
		buf_fini(&b);
	}
}

static void test_internal_rules(void **state)
{
	struct internal_req r;
	struct buf b;

	assert_ok(internal_req_parse(hex("a2060b 0801 1204726f6f74 18ac02 0805 a20602 1807 42020809"), &r));
	assert_true(r.id == 5);                                         /* legacy id first */
	assert_true(slice_eq(r.username, SLICE_LIT("root")) && r.auth_revision == 7);   /* header parts merge */
	assert_true(r.field == REQ_LEASE_GRANT && slice_eq(r.body, hex("0809")));
	buf_init(&b, 1 << 16);
	internal_req_encode(&r, &b);
	assert_bytes(buf_slice(&b), hex("42020809 a2060a 0805 1204726f6f74 1807"));
	buf_clear(&b);
	internal_req_encode(&(struct internal_req){0}, &b);
	assert_bytes(buf_slice(&b), hex("a20600"));
	buf_fini(&b);

	assert_ok(internal_req_parse(hex("a20600 1a020801"), &r));
	assert_true(r.field == REQ_RANGE);
	assert_ok(internal_req_parse(hex("12020801 fa3e020801 2001"), &r));     /* v2, 1007, put as a number: unknown */
	assert_int_equal(r.field, 0);
	assert_err(ERR_MALFORMED, internal_req_parse(hex("2200 2200"), &r));
	assert_err(ERR_MALFORMED, internal_req_parse(hex("2200 2a00"), &r));
	assert_err(ERR_MALFORMED, internal_req_parse(hex("a20603 1201ff"), &r));
	assert_err(ERR_MALFORMED, internal_req_parse(hex("a20601 08"), &r));
	assert_err(ERR_MALFORMED, internal_req_parse(hex("2205 08"), &r));
}

static void test_response_header(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	response_header_encode(&(struct response_header){0}, 1, &b);
	assert_bytes(buf_slice(&b), hex("0a00"));
	buf_clear(&b);
	response_header_encode(&(struct response_header){1, UINT64_MAX, 300, 2}, 1, &b);
	assert_bytes(buf_slice(&b), hex("0a12 0801 10ffffffffffffffffff01 18ac02 2002"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range), cmocka_unit_test(test_put_delete), cmocka_unit_test(test_small_requests),
		cmocka_unit_test(test_watch), cmocka_unit_test(test_txn), cmocka_unit_test(test_op_oneof), cmocka_unit_test(test_txn_cut_between_parts),
		cmocka_unit_test(test_txn_malformed), cmocka_unit_test(test_txn_depth),
		cmocka_unit_test(test_txn_arena_is_the_bound), cmocka_unit_test(test_internal),
		cmocka_unit_test(test_internal_rules), cmocka_unit_test(test_response_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
