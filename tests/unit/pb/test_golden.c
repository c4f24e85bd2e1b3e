/* Entries and records out of logs that Go etcd wrote (tests/golden: plain, auth, alarms, leases, cluster3, downgrade36,
 * restored by v3.7.1, v36 by v3.6.9): read, understood, and written again to the same bytes. */
#include "pb_test.h"

#include "pb/pbc.h"
#include "pb/raftpb.h"
#include "pb/rpc.h"

#include "pb/raft_internal.pb-c.h"
#include "pb/record.pb-c.h"

static const struct {
	uint32_t field;
	const char *what;
	const char *entry;
} requests[] = {
	{REQ_PUT, "put k v", "10021805221522060a016b120176a2060a08848affa1f4c1a8cb55"},
	{REQ_DELETE_RANGE, "delete k03", "1002182322142a050a036b3033a2060a08a2c4af99f4c1a8cb55"},
	{REQ_TXN, "txn {} {put 000102ff = ff0001}", "10021829221e320f120d120b0a04000102ff1203ff0001a2060a08a8c4af99f4c1a8cb55"},
	{REQ_COMPACTION, "compact 51 physical", "1002184422133a0408331001a2060a08c3c4af99f4c1a8cb55"},
	{REQ_LEASE_GRANT, "lease 77, ttl 500000", "1002184c2215420608a0c21e104da2060a08c4a4f99df4c1a8bc7c"},
	{REQ_LEASE_REVOKE, "revoke 1004", "1002181822124a0308ec07a2060a0897b0e59af4c1a8cb55"},
	{REQ_ALARM, "alarm get", "1002181b220f5200a2060a089ab8c69bf4c1a8cb55"},
	{REQ_AUTH_ENABLE, "auth enable", "100218202210a2060a089fb8929bf4c1a8cb55c23e00"},
	{REQ_AUTHENTICATE, "authenticate root",
	 "100218212228a2060a08a1b8929bf4c1a8cb55a23f180a04726f6f741a1050706a6b52696b6f6149537953756270"},
	{REQ_USER_ADD, "user add bob without password", "100218072219a2060a0886b8929bf4c1a8cb55e244090a03626f621a020801"},
	{REQ_USER_DELETE, "user delete dave", "1002181d2216a2060a089cb8929bf4c1a8cb55ea44060a0464617665"},
	{REQ_USER_GRANT_ROLE, "grant bob rw", "1002181a2219a2060a0899b8929bf4c1a8cb558245090a03626f6212027277"},
	{REQ_ROLE_ADD, "role add rw", "1002180d2214a2060a088cb8929bf4c1a8cb55824b040a027277"},
	{REQ_ROLE_GRANT_PERMISSION, "grant rw readwrite x",
	 "10021813221ba2060a0892b8929bf4c1a8cb559a4b0b0a02727712050802120178"},
	{REQ_ROLE_REVOKE_PERMISSION, "revoke x from rw", "1002181e2217a2060a089db8929bf4c1a8cb55a24b070a027277120178"},
	{REQ_CLUSTER_VERSION_SET, "cluster version 3.7.0", "100218042217a2060a08828affa1f4c1a8cb55a251070a05332e372e30"},
	{REQ_MEMBER_ATTR_SET, "c2 at http://127.0.0.1:27402",
	 "100218072238a2060a0881faf89df4c1a8cb42aa512808968585a9c8b3f18375121c0a0263321216687474703a2f2f3132372e302e302e313a3237343032"},
	{REQ_DOWNGRADE_INFO_SET, "downgrade to 3.6.0", "100218062219a2060a08868affa1f4c1a8cb55b2510908011205332e362e30"},
};

static void test_requests(void **state)
{
	for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
		Etcdserverpb__InternalRaftRequest *m;
		struct slice bytes = hex(requests[i].entry), data;
		struct raft_entry e;
		struct internal_req req;
		struct arena a;
		struct buf b;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		assert_ok(raft_entry_decode(bytes, &e));
		data = blob_slice(e.data);
		assert_true(e.term == 2 && e.type == ENTRY_NORMAL);
		assert_ok(internal_req_parse(data, &req));
		if (req.field != requests[i].field)
			fail_msg("%s: field %u", requests[i].what, req.field);
		assert_true(req.id != 0 && req.username.size == 0 && req.auth_revision == 0);
		internal_req_encode(&req, &b);
		assert_bytes(buf_slice(&b), data);
		buf_clear(&b);
		raft_entry_encode(&e, &b);
		assert_bytes(buf_slice(&b), bytes);
		assert_ok(pb_unpack(&a, &etcdserverpb__internal_raft_request__descriptor, data, &m));
		buf_clear(&b);
		pb_pack(&m->base, &b);
		assert_bytes(buf_slice(&b), data);
		raft_entry_fini(&e);
		buf_fini(&b);
		arena_fini(&a);
	}
}

static void test_contents(void **state)
{
	Etcdserverpb__InternalRaftRequest *m;
	struct internal_req r;
	struct txn_req t;
	struct put_req p;
	struct lease_grant_req g;
	struct arena a;

	arena_init(&a, 1 << 20);
	assert_ok(internal_req_parse(hex("320f120d120b0a04000102ff1203ff0001a2060a08a8c4af99f4c1a8cb55"), &r));
	assert_ok(txn_req_parse(&a, r.body, &t));
	assert_true(t.compare_count == 0 && t.success_count == 1 && t.success[0].kind == OP_PUT);
	assert_bytes(t.success[0].put.key, hex("000102ff"));
	assert_ok(internal_req_parse(hex("22060a016b120176a2060a08848affa1f4c1a8cb55"), &r));
	assert_ok(put_req_parse(r.body, &p));
	assert_true(slice_eq(p.key, SLICE_LIT("k")) && slice_eq(p.value, SLICE_LIT("v")));
	assert_ok(internal_req_parse(hex("420608a0c21e104da2060a08c4a4f99df4c1a8bc7c"), &r));
	assert_ok(lease_grant_req_parse(r.body, &g));
	assert_true(g.ttl == 500000 && g.id == 77);
	assert_ok(pb_unpack(&a, &etcdserverpb__internal_raft_request__descriptor,
			    hex("a2060a08a1b8929bf4c1a8cb55a23f180a04726f6f741a1050706a6b52696b6f6149537953756270"), &m));
	assert_string_equal(m->authenticate->name, "root");
	assert_string_equal(m->authenticate->simple_token, "PpjkRikoaISySubp");
	arena_fini(&a);
}

/* v3.6 writes Type 0; the data is in the same form. */
static void test_entries_of_36(void **state)
{
	static const struct {
		uint32_t field;
		const char *entry;
	} cases[] = {
		{REQ_PUT, "080010021828221622070a05656d707479a2060a08a7a0e4a8f4c1a8cb55"},
		{REQ_DELETE_RANGE, "08001002182322142a050a036b3033a2060a08a2a0e4a8f4c1a8cb55"},
		{REQ_LEASE_GRANT, "0800100218462215420608a0c21e1005a2060a08c5a0e4a8f4c1a8cb55"},
		{REQ_USER_GRANT_ROLE, "08001002184a221ca2060a08c9a0e4a8f4c1a8cb5582450c0a04726f6f741204726f6f74"},
		{REQ_CLUSTER_VERSION_SET, "0800100218042217a2060a0882a0e4a8f4c1a8cb55a251070a05332e362e30"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct raft_entry e;
		struct internal_req r;

		assert_ok(raft_entry_decode(hex(cases[i].entry), &e));
		assert_int_equal(e.type, ENTRY_NORMAL);
		assert_ok(internal_req_parse(blob_slice(e.data), &r));
		assert_int_equal(r.field, cases[i].field);
		raft_entry_fini(&e);
	}
}

static void test_records(void **state)
{
	static const char *const records[] = {
		"08041000",                                                     /* crc of the first file */
		"08011094d891b4021a150896abc5dff699ddd0ee0110b3eed0fca0bbfbe422", /* metadata */
		"080510ef94ed82021a0408001000",                                 /* snapshot 0 */
		"080310eee8f2b6061a0f08021096abc5dff699ddd0ee011801",           /* hard state */
		"080510b6f2a9651a13083f10021a0d0896abc5dff699ddd0ee012800",     /* snapshot 63 */
	};

	for (size_t i = 0; i < ARRAY_COUNT(records); i++) {
		Walpb__Record *m;
		struct arena a;
		struct buf b;

		arena_init(&a, 1 << 20);
		buf_init(&b, 1 << 20);
		assert_ok(pb_unpack(&a, &walpb__record__descriptor, hex(records[i]), &m));
		pb_pack(&m->base, &b);
		assert_bytes(buf_slice(&b), hex(records[i]));
		if (i == 4) {
			struct wal_snapshot_mark mark;

			assert_ok(wal_snapshot_mark_decode(pb_slice(m->data), &mark));
			assert_true(mark.index == 63 && mark.term == 2 && mark.conf_state.voters.count == 1);
			buf_clear(&b);
			wal_snapshot_mark_encode(&mark, &b);
			assert_bytes(buf_slice(&b), pb_slice(m->data));
			wal_snapshot_mark_fini(&mark);
		}
		buf_fini(&b);
		arena_fini(&a);
	}
}

static void test_conf_change(void **state)
{
	struct raft_conf_change c;
	struct raft_entry e;
	struct buf b;

	/* a member removed: id, type and node, no context */
	assert_ok(raft_entry_decode(hex("08011002184922170883faf89df4c1a8cb42100118ddeda393e891ef8cb901"), &e));
	assert_int_equal(e.type, ENTRY_CONF_CHANGE);
	assert_ok(raft_conf_change_decode(blob_slice(e.data), &c));
	assert_true(c.type == CONF_REMOVE_NODE && c.id != 0 && c.context.size == 0);
	buf_init(&b, 1 << 16);
	raft_conf_change_encode(&c, &b);
	assert_bytes(buf_slice(&b), blob_slice(e.data));
	raft_entry_fini(&e);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests), cmocka_unit_test(test_contents), cmocka_unit_test(test_entries_of_36),
		cmocka_unit_test(test_records), cmocka_unit_test(test_conf_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
