/* Bytes in the "go" tables are from the WALs in tests/golden (etcd v3.7.1) and from its peer streams. */
#include "pb_test.h"

#include "pb/raftpb.h"

static void test_go_entries(void **state)
{
	static const struct {
		const char *bytes;
		struct raft_entry want;
		size_t data_size;
	} cases[] = {
		/* new leader's no-op */
		{"10021802", {.term = 2, .index = 2}, 0},
		/* member attributes */
		{"100218032239 a2060a0881b8929bf4c1a8cb55aa51290896abc5dff699ddd0ee01121c0a0267311216687474703a2f2f3132372e302e302e313a3237333830",
		 {.term = 2, .index = 3}, 0x39},
		/* bootstrap ConfChange */
		{"080110011801225c 10001896abc5dff699ddd0ee01224d7b226964223a31373139353135333238363439353239343837302c227065657255524c73223a5b22687474703a2f2f3132372e302e302e313a3237333831225d2c226e616d65223a226731227d",
		 {.term = 1, .index = 1, .type = ENTRY_CONF_CHANGE}, 0x5c},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct slice bytes = hex(cases[i].bytes);
		struct raft_entry e;
		struct buf b;

		assert_ok(raft_entry_decode(bytes, &e));
		assert_true(e.term == cases[i].want.term && e.index == cases[i].want.index && e.type == cases[i].want.type);
		assert_int_equal(blob_slice(e.data).size, cases[i].data_size);
		buf_init(&b, 1 << 16);
		raft_entry_encode(&e, &b);
		assert_bytes(buf_slice(&b), bytes);
		assert_int_equal(raft_entry_size(&e), bytes.size);
		raft_entry_fini(&e);
		buf_fini(&b);
	}
}

static void test_old_entry_forms(void **state)
{
	struct raft_entry e;

	/* up to 3.6: Type 0 and all zero numbers written */
	assert_ok(raft_entry_decode(hex("0800 1002 1803 2200"), &e));
	assert_true(e.type == ENTRY_NORMAL && e.term == 2 && e.index == 3 && !e.data);
	assert_err(ERR_MALFORMED, raft_entry_decode(hex("1002 22056162"), &e));
}

static void test_entry_ref_shares_data(void **state)
{
	struct raft_entry e = {.term = 1, .index = 2, .data = blob_copy(SLICE_LIT("data"))};
	struct raft_entry copy = raft_entry_ref(&e);

	assert_ptr_equal(copy.data, e.data);
	raft_entry_fini(&e);
	assert_true(slice_eq(blob_slice(copy.data), SLICE_LIT("data")));
	raft_entry_fini(&copy);
}

static void test_hard_state(void **state)
{
	struct raft_hard_state h;
	struct buf b;

	assert_ok(raft_hard_state_decode(hex("08011801"), &h));         /* Go, before the first vote */
	assert_true(h.term == 1 && h.vote == 0 && h.commit == 1);
	assert_ok(raft_hard_state_decode(hex("08021096abc5dff699ddd0ee011801"), &h));
	assert_true(h.term == 2 && h.vote == 17195153286495294870u && h.commit == 1);
	buf_init(&b, 1 << 16);
	raft_hard_state_encode(&h, &b);
	assert_bytes(buf_slice(&b), hex("08021096abc5dff699ddd0ee011801"));
	buf_clear(&b);
	raft_hard_state_encode(&(struct raft_hard_state){0}, &b);
	assert_bytes(buf_slice(&b), hex("080010001800"));
	buf_fini(&b);
}

static void test_conf_state(void **state)
{
	struct raft_conf_state c, copy;
	struct buf b;

	/* unpacked, packed, and both for one list */
	assert_ok(raft_conf_state_decode(hex("0801 0a03028001 0804 1005 1a0106 2007 2801"), &c));
	assert_int_equal(c.voters.count, 4);
	assert_true(c.voters.at[0] == 1 && c.voters.at[1] == 2 && c.voters.at[2] == 128 && c.voters.at[3] == 4);
	assert_true(c.learners.count == 1 && c.voters_outgoing.count == 1 && c.learners_next.count == 1 && c.auto_leave);
	raft_conf_state_copy(&copy, &c);
	raft_conf_state_fini(&c);
	buf_init(&b, 1 << 16);
	raft_conf_state_encode(&copy, &b);
	assert_bytes(buf_slice(&b), hex("0801 0802 088001 0804 1005 1806 2007 2801"));
	raft_conf_state_fini(&copy);
	assert_err(ERR_MALFORMED, raft_conf_state_decode(hex("0801 0a020280"), &c));
	buf_fini(&b);
}

static void test_snapshot(void **state)
{
	struct raft_snapshot s, copy;
	struct buf b;

	/* metadata in two parts is merged */
	assert_ok(raft_snapshot_decode(hex("0a0161 1206 0a0208011005 1206 0a0208021806"), &s));
	assert_true(s.index == 5 && s.term == 6 && s.conf_state.voters.count == 2);
	raft_snapshot_copy(&copy, &s);
	raft_snapshot_fini(&s);
	buf_init(&b, 1 << 16);
	raft_snapshot_encode(&copy, &b);
	assert_bytes(buf_slice(&b), hex("0a0161 120c 0a06 0801 0802 2800 1005 1806"));
	raft_snapshot_fini(&copy);
	assert_err(ERR_MALFORMED, raft_snapshot_decode(hex("0a0161 1203 0a0208"), &s));
	buf_fini(&b);
}

static void test_wal_mark(void **state)
{
	struct wal_snapshot_mark m;
	struct buf b;

	buf_init(&b, 1 << 16);
	assert_ok(wal_snapshot_mark_decode(hex("08001000"), &m));       /* first record of a Go log */
	assert_true(m.index == 0 && m.term == 0 && !m.has_conf_state);
	wal_snapshot_mark_encode(&m, &b);
	assert_bytes(buf_slice(&b), hex("08001000"));
	buf_clear(&b);
	assert_ok(wal_snapshot_mark_decode(hex("0809 1002 1a04 0801 2800"), &m));
	assert_true(m.index == 9 && m.term == 2 && m.has_conf_state && m.conf_state.voters.count == 1);
	wal_snapshot_mark_encode(&m, &b);
	assert_bytes(buf_slice(&b), hex("0809 1002 1a04 0801 2800"));
	wal_snapshot_mark_fini(&m);
	assert_err(ERR_MALFORMED, wal_snapshot_mark_decode(hex("0809 1a020801 1a0308"), &m));
	buf_fini(&b);
}

static void test_conf_change(void **state)
{
	struct raft_conf_change c;
	struct raft_conf_change_v2 v2;
	struct buf b;

	buf_init(&b, 1 << 16);
	/* bootstrap entries have no id, type 0 is written */
	assert_ok(raft_conf_change_decode(hex("1000 1896abc5dff699ddd0ee01 22027b7d"), &c));
	assert_true(c.id == 0 && c.type == CONF_ADD_NODE && c.node_id == 17195153286495294870u);
	raft_conf_change_encode(&c, &b);
	assert_bytes(buf_slice(&b), hex("1000 1896abc5dff699ddd0ee01 22027b7d"));

	buf_clear(&b);
	assert_ok(raft_conf_change_v2_decode(hex("0802 1204 08011005 1202 1006 1a0163"), &v2));
	assert_true(v2.transition == CONF_TRANSITION_JOINT_EXPLICIT && v2.change_count == 2);
	assert_true(v2.changes[0].type == CONF_REMOVE_NODE && v2.changes[0].node_id == 5);
	assert_true(v2.changes[1].type == CONF_ADD_NODE && v2.changes[1].node_id == 6);
	raft_conf_change_v2_encode(&v2, &b);
	assert_bytes(buf_slice(&b), hex("0802 1204 08011005 1204 08001006 1a0163"));
	raft_conf_change_v2_fini(&v2);
	assert_err(ERR_MALFORMED, raft_conf_change_v2_decode(hex("1202 10"), &v2));
	assert_err(ERR_MALFORMED, raft_conf_change_v2_decode(hex("1201 10"), &v2));
	/* what ends a joint configuration: nothing at all */
	assert_ok(raft_conf_change_v2_decode((struct slice){0}, &v2));
	assert_int_equal(v2.change_count, 0);
	buf_fini(&b);
}

static void encode_to(const struct raft_message *m, const char *want)
{
	struct raft_message back;
	struct buf b, again;

	buf_init(&b, 1 << 16);
	buf_init(&again, 1 << 16);
	raft_message_encode(m, &b);
	assert_bytes(buf_slice(&b), hex(want));
	assert_ok(raft_message_decode(buf_slice(&b), &back));
	raft_message_encode(&back, &again);
	assert_bytes(buf_slice(&again), hex(want));
	raft_message_fini(&back);
	buf_fini(&again);
	buf_fini(&b);
}

/* The zero fields that raft v3.7.0 sets, type by type (raft.go, where each message is built). */
static void test_message_presence(void **state)
{
	struct raft_entry e = {.term = 5, .index = 1, .data = blob_copy(SLICE_LIT("x"))};
	struct raft_snapshot s = {.index = 7, .term = 5};
	struct blob *context = blob_copy(SLICE_LIT("c"));

	encode_to(&(struct raft_message){.type = MSG_HEARTBEAT}, "0808");        /* msgappv2, stream v2 keep-alive */
	encode_to(&(struct raft_message){.type = MSG_HEARTBEAT, .to = 1, .from = 2, .term = 5}, "0808 1001 1802 2005 4000");
	encode_to(&(struct raft_message){.type = MSG_HEARTBEAT_RESP, .to = 1, .from = 2, .term = 5, .context = context},
		  "0809 1001 1802 2005 620163");
	encode_to(&(struct raft_message){.type = MSG_APP, .to = 1, .from = 2, .term = 5, .entries = &e, .entry_count = 1},
		  "0803 1001 1802 2005 2800 3000 3a07 10051801220178 4000");
	encode_to(&(struct raft_message){.type = MSG_APP_RESP, .to = 1, .from = 2, .term = 5}, "0804 1001 1802 2005 3000");
	encode_to(&(struct raft_message){.type = MSG_APP_RESP, .to = 1, .from = 2, .term = 5, .index = 9, .reject = true},
		  "0804 1001 1802 2005 2800 3009 5001 5800");
	encode_to(&(struct raft_message){.type = MSG_VOTE, .to = 1, .from = 2, .term = 5}, "0805 1001 1802 2005 2800 3000");
	encode_to(&(struct raft_message){.type = MSG_VOTE_RESP, .to = 1, .from = 2, .term = 5, .reject = true},
		  "0806 1001 1802 2005 5001");
	encode_to(&(struct raft_message){.type = MSG_SNAP, .to = 1, .from = 2, .term = 5, .snapshot = &s},
		  "0807 1001 1802 2005 4a0a 1208 0a022800 1007 1805");
	encode_to(&(struct raft_message){.type = MSG_TIMEOUT_NOW, .to = 1, .from = 2, .term = 5}, "080e 1001 1802 2005");
	encode_to(&(struct raft_message){.type = MSG_STORAGE_APPEND, .to = 1, .term = 5, .vote = 3,
					 .responses = &(struct raft_message){.type = MSG_VOTE_RESP, .to = 3},
					 .response_count = 1},
		  "0813 1001 2005 6803 7204 08061003");
	blob_unref(context);
	raft_entry_fini(&e);
}

static void test_message_of_older_member(void **state)
{
	struct raft_message m;

	/* every scalar written, empty snapshot: 3.6 heartbeat */
	assert_ok(raft_message_decode(hex("0808 1001 1802 2005 2800 3000 4007 4a08 1206 0a001000 1800 5000 5800 6800"), &m));
	assert_true(m.type == MSG_HEARTBEAT && m.commit == 7 && !m.snapshot && !m.reject && !m.context);
	raft_message_fini(&m);
}

static void test_message_refused(void **state)
{
	static const char *const cases[] = {
		"0818",                         /* type 24 */
		"3a021001 3a03100122",          /* second entry is cut */
		"4a021205",                     /* snapshot */
		"7204 72027200",                /* responses in responses */
		"0803 62",
	};
	struct raft_message m;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_err(ERR_MALFORMED, raft_message_decode(hex(cases[i]), &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_go_entries), cmocka_unit_test(test_old_entry_forms),
		cmocka_unit_test(test_entry_ref_shares_data), cmocka_unit_test(test_hard_state),
		cmocka_unit_test(test_conf_state), cmocka_unit_test(test_snapshot), cmocka_unit_test(test_wal_mark),
		cmocka_unit_test(test_conf_change), cmocka_unit_test(test_message_presence),
		cmocka_unit_test(test_message_of_older_member), cmocka_unit_test(test_message_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
