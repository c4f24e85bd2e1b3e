/* What the transcripts do not show: ownership, batches, messages that no sane peer sends, what is ours beyond
 * upstream, and the end in impossible states. */
#include <inttypes.h>

#include "node.h"

/* ---- proposals ---- */

/* Refused or not, each data is consumed. */
static void test_propose_consumes_data(void **state)
{
	struct node n;
	struct blob *data[2] = {text_blob("a"), text_blob("b")};

	blob_ref(data[0]);
	blob_ref(data[1]);
	node_init(&n, 3);
	assert_err(ERR_PROPOSAL_DROPPED, raft_propose(n.raft, data, 2));        /* no leader */
	assert_int_equal(data[0]->refs, 1);
	assert_int_equal(data[1]->refs, 1);

	node_lead(&n);
	assert_ok(raft_propose(n.raft, (struct blob *[]){blob_ref(data[0]), blob_ref(data[1])}, 2));
	assert_int_equal(raft_last_index(n.raft), 13);
	assert_true(data[0]->refs > 1);
	node_fini(&n);
	assert_int_equal(data[0]->refs, 1);
	assert_int_equal(data[1]->refs, 1);
	blob_unref(data[0]);
	blob_unref(data[1]);
}

/* A batch goes in as a whole or not at all, and travels as one message. */
static void test_batch_is_all_or_none(void **state)
{
	struct raft_config c = node_config();
	struct node n;

	c.max_uncommitted_entries_size = 10;
	node_init_with(&n, 3, c);
	node_lead(&n);
	/* The first answer opens the stream to 2. */
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 11}));
	node_work_off(&n);

	assert_ok(raft_propose(n.raft, (struct blob *[]){text_blob("aaaa"), text_blob("bbbb")}, 2));
	node_work(&n);
	const struct raft_message *m = node_sent(&n, MSG_APP, 2);
	assert_non_null(m);
	assert_int_equal(m->entry_count, 2);
	assert_int_equal(n.ready.entry_count, 2);

	assert_err(ERR_PROPOSAL_DROPPED, raft_propose(n.raft, (struct blob *[]){text_blob("c"), text_blob("dd")}, 2));
	assert_int_equal(raft_last_index(n.raft), 13);
	assert_ok(raft_propose(n.raft, (struct blob *[]){text_blob("c"), text_blob("d")}, 2));
	node_fini(&n);
}

/* A forwarded proposal whose change cannot be read is dropped; upstream panics. */
static void test_bad_change_is_dropped(void **state)
{
	static const enum raft_entry_type types[] = {ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2};
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	for (size_t i = 0; i < ARRAY_COUNT(types); i++)
		assert_err(ERR_PROPOSAL_DROPPED,
			   node_step(&n, (struct raft_message){.type = MSG_PROP,
							       .from = 2,
							       .to = 1,
							       .entries = one_entry(0, 0, types[i], "\xff\xff"),
							       .entry_count = 1}));
	assert_err(ERR_PROPOSAL_DROPPED, node_step(&n, (struct raft_message){.type = MSG_PROP, .from = 2, .to = 1}));
	assert_int_equal(raft_last_index(n.raft), 11);
	node_fini(&n);
}

/* ---- messages that no sane peer sends ---- */

static void test_messages_without_term_are_ignored(void **state)
{
	static const enum raft_msg_type types[] = {MSG_APP,       MSG_APP_RESP, MSG_VOTE,      MSG_VOTE_RESP,
						   MSG_SNAP,      MSG_HEARTBEAT, MSG_PRE_VOTE, MSG_PRE_VOTE_RESP,
						   MSG_TIMEOUT_NOW, MSG_HEARTBEAT_RESP};
	struct node n;

	node_init(&n, 3);
	for (size_t i = 0; i < ARRAY_COUNT(types); i++)
		assert_ok(node_step(&n, (struct raft_message){
						.type = types[i], .from = 2, .to = 1, .index = 10, .log_term = 1}));
	assert_int_equal(raft_lead(n.raft), RAFT_NONE);
	assert_int_equal(raft_role(n.raft), RAFT_FOLLOWER);
	assert_false(raft_has_ready(n.raft));
	/* Nobody's vote is nobody's. */
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_VOTE, .to = 1, .term = 1, .index = 99, .log_term = 9}));
	assert_false(raft_has_ready(n.raft));
	node_fini(&n);
}

static void test_entries_out_of_order_are_ignored(void **state)
{
	static const struct raft_entry bad[] = {
		{.term = 1, .index = 12},       /* a gap */
		{.term = 1, .index = 10},       /* not behind the one in front */
		{.term = 0, .index = 11},       /* a term that falls */
		{.term = 3, .index = 11},       /* above the leader's own */
	};
	struct node n;

	node_init(&n, 3);
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_ok(node_step(&n, (struct raft_message){
						.type = MSG_APP,
						.from = 2,
						.to = 1,
						.term = 2,
						.index = 10,
						.log_term = 1,
						.entries = one_entry(bad[i].term, bad[i].index, ENTRY_NORMAL, "x"),
						.entry_count = 1}));
	assert_int_equal(raft_last_index(n.raft), 10);
	node_fini(&n);
}

static void test_acknowledgement_beyond_the_log_is_ignored(void **state)
{
	struct raft_peer_status p;
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	for (uint64_t id = 2; id <= 3; id++)
		assert_ok(node_step(&n, (struct raft_message){
						.type = MSG_APP_RESP, .from = id, .to = 1, .term = 1, .index = 12}));
	assert_true(raft_peer_status(n.raft, 2, &p));
	assert_int_equal(p.match, 0);
	assert_int_equal(raft_commit(n.raft), 10);
	node_fini(&n);
}

static void test_impossible_snapshot_is_ignored(void **state)
{
	struct raft_snapshot *snap = NEW(struct raft_snapshot);
	struct node n;

	node_init(&n, 3);
	*snap = (struct raft_snapshot){.index = 20, .term = 2};
	snap->conf_state.voters = (struct ids){NEW_ARRAY(uint64_t, 2), 2};
	snap->conf_state.voters.at[0] = snap->conf_state.voters.at[1] = 1;      /* twice the same */
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_SNAP, .from = 2, .to = 1, .term = 2, .snapshot = snap}));
	assert_int_equal(raft_last_index(n.raft), 10);
	assert_int_equal(raft_conf_state(n.raft)->voters.count, 3);
	node_work(&n);
	const struct raft_message *m = node_sent(&n, MSG_APP_RESP, 2);
	assert_non_null(m);
	assert_int_equal(m->index, 10);
	node_fini(&n);
}

/* Go panics when it forwards a transfer that has a term. */
static void test_forwarded_transfer_loses_its_term(void **state)
{
	struct node n;

	node_init(&n, 3);
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_HEARTBEAT, .from = 2, .to = 1, .term = 5, .commit = 10}));
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_TRANSFER_LEADER, .from = 3, .to = 1, .term = 5}));
	node_work(&n);
	const struct raft_message *m = node_sent(&n, MSG_TRANSFER_LEADER, 2);
	assert_non_null(m);
	assert_int_equal(m->from, 3);
	node_fini(&n);
}

/* ---- reads ---- */

static size_t answered_reads(struct node *n)
{
	size_t count = 0;

	while (raft_has_ready(n->raft)) {
		node_work(n);
		count += n->ready.read_state_count;
	}
	return count;
}

static void heartbeat_answer(struct node *n, uint64_t from, const void *context, size_t size)
{
	assert_ok(node_step(n, (struct raft_message){.type = MSG_HEARTBEAT_RESP,
						     .from = from,
						     .to = 1,
						     .term = raft_term(n->raft),
						     .context = size ? blob_copy(slice_of(context, size)) : NULL}));
}

static void test_reads_and_strange_contexts(void **state)
{
	const uint64_t far = UINT64_MAX, one = 1;
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 11}));
	assert_int_equal(raft_commit(n.raft), 11);
	node_work_off(&n);

	assert_ok(node_step(&n, (struct raft_message){.type = MSG_READ_INDEX, .from = 2, .to = 1}));    /* asks nothing */
	raft_read_index(n.raft, text_blob("a"));
	heartbeat_answer(&n, 2, "short", 5);
	heartbeat_answer(&n, 2, NULL, 0);
	assert_int_equal(answered_reads(&n), 0);

	/* More than was asked confirms what was asked, and nothing that comes later. */
	heartbeat_answer(&n, 2, &far, 8);
	assert_int_equal(answered_reads(&n), 1);
	raft_read_index(n.raft, text_blob("b"));
	assert_int_equal(answered_reads(&n), 0);
	heartbeat_answer(&n, 3, &one, 8);
	assert_int_equal(answered_reads(&n), 0);
	node_fini(&n);
}

/* An only voter comes back from a power failure without its commit index: reads wait until it knows again. */
static void test_only_voter_does_not_answer_stale(void **state)
{
	struct raft_config c = node_config();
	struct node n;

	node_init(&n, 1);
	node_lead(&n);
	assert_ok(raft_propose(n.raft, (struct blob *[]){text_blob("acknowledged")}, 1));
	node_work_off(&n);
	assert_int_equal(raft_commit(n.raft), 12);

	raft_free(n.raft);
	raft_mem_storage_set_hard_state(n.disk, &(struct raft_hard_state){.term = 1, .vote = 1, .commit = 10});
	c.storage = raft_mem_storage_base(n.disk);
	n.raft = raft_new(&c);
	raft_campaign(n.raft);
	node_work(&n);          /* its own vote */
	assert_int_equal(raft_role(n.raft), RAFT_LEADER);
	assert_int_equal(raft_commit(n.raft), 10);
	raft_read_index(n.raft, text_blob("r"));
	node_work(&n);
	assert_int_equal(n.ready.read_state_count, 0);
	node_work(&n);
	assert_int_equal(n.ready.read_state_count, 1);
	assert_int_equal(n.ready.read_states[0].index, 13);
	assert_true(slice_eq(blob_slice(n.ready.read_states[0].ctx), SLICE_LIT("r")));
	node_fini(&n);
}

/* ---- beyond upstream ---- */

static void test_campaign_can_be_forbidden(void **state)
{
	struct node n;

	node_init(&n, 3);
	raft_set_may_campaign(n.raft, false);
	for (int i = 0; i < 100; i++)
		raft_tick(n.raft);
	raft_campaign(n.raft);
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_TIMEOUT_NOW, .from = 2, .to = 1, .term = 3}));
	assert_int_equal(raft_role(n.raft), RAFT_FOLLOWER);
	assert_int_equal(raft_term(n.raft), 3);
	raft_set_may_campaign(n.raft, true);
	raft_campaign(n.raft);
	assert_int_equal(raft_role(n.raft), RAFT_CANDIDATE);
	assert_int_equal(raft_term(n.raft), 4);
	node_fini(&n);
}

static void test_step_down(void **state)
{
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	raft_step_down(n.raft);
	assert_int_equal(raft_role(n.raft), RAFT_FOLLOWER);
	assert_int_equal(raft_lead(n.raft), RAFT_NONE);
	assert_int_equal(raft_term(n.raft), 1);
	raft_step_down(n.raft);         /* nothing to do */
	assert_int_equal(raft_role(n.raft), RAFT_FOLLOWER);
	node_fini(&n);
}

/* ---- start ---- */

static void test_bootstrap_refusals(void **state)
{
	const struct raft_peer peer = {.id = 1};
	struct raft_config c = node_config();
	struct raft_mem_storage *disk = raft_mem_storage_new();
	struct node n;

	node_init(&n, 3);
	assert_err(ERR_RAFT_NOT_EMPTY, raft_bootstrap(n.raft, &peer, 1));
	node_fini(&n);

	c.storage = raft_mem_storage_base(disk);
	c.applied = 0;
	struct raft *r = raft_new(&c);
	assert_err(ERR_INVALID, raft_bootstrap(r, &peer, 0));
	raft_free(r);
	raft_mem_storage_free(disk);
}

/* The timeout is drawn from [election_ticks, 2 * election_ticks - 1], from the seed alone. */
static void test_election_timeout_is_seeded(void **state)
{
	unsigned seen[20] = {0};

	for (uint64_t seed = 0; seed < 400; seed++) {
		struct raft_config c = node_config();
		unsigned ticks[2] = {0};

		c.random_seed = seed;
		for (int again = 0; again < 2; again++) {
			struct node n;

			node_init_with(&n, 3, c);
			for (; raft_role(n.raft) == RAFT_FOLLOWER; ticks[again]++)
				raft_tick(n.raft);
			node_fini(&n);
		}
		assert_int_equal(ticks[0], ticks[1]);
		assert_in_range(ticks[0], 10, 19);
		seen[ticks[0]]++;
	}
	for (unsigned t = 10; t <= 19; t++)
		assert_true(seen[t] > 10);
}

/* ---- output ---- */

/* A ready that is used again brings its arrays along: nothing grows, nothing moves. */
static void test_ready_keeps_its_arrays(void **state)
{
	const void *messages[2] = {NULL};
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	for (int i = 0; i < 8; i++) {
		raft_tick(n.raft);
		node_work(&n);
		assert_int_equal(n.ready.message_count, 2);
		if (i >= 4)     /* the two arrays trade places */
			assert_ptr_equal(n.ready.messages, messages[i % 2]);
		messages[i % 2] = n.ready.messages;
	}
	node_fini(&n);
}

/* A message that was taken outlives the ready, with its entries. */
static void test_taken_message_is_the_callers(void **state)
{
	struct node n;

	node_init(&n, 3);
	node_lead(&n);
	assert_ok(node_step(&n, (struct raft_message){.type = MSG_APP_RESP, .from = 2, .to = 1, .term = 1, .index = 11}));
	node_work_off(&n);
	assert_ok(raft_propose(n.raft, (struct blob *[]){text_blob("kept")}, 1));
	node_work(&n);
	size_t i = 0;
	while (n.ready.messages[i].type != MSG_APP || n.ready.messages[i].to != 2)
		i++;
	struct raft_message m = raft_message_take(&n.ready.messages[i]);
	node_fini(&n);
	assert_int_equal(m.entry_count, 1);
	assert_true(slice_eq(blob_slice(m.entries[0].data), SLICE_LIT("kept")));
	raft_message_fini(&m);
}

/* As Status.MarshalJSON of upstream writes it. */
static void test_status_json(void **state)
{
	static const char leader[] = "{\"id\":\"1\",\"term\":1,\"vote\":\"1\",\"commit\":10,\"lead\":\"1\","
				     "\"raftState\":\"StateLeader\",\"applied\":10,\"progress\":{"
				     "\"1\":{\"match\":11,\"next\":12,\"state\":\"StateReplicate\"},"
				     "\"2\":{\"match\":0,\"next\":11,\"state\":\"StateProbe\"},"
				     "\"3\":{\"match\":0,\"next\":11,\"state\":\"StateProbe\"}},"
				     "\"leadtransferee\":\"0\"}";
	static const char follower[] = "{\"id\":\"1\",\"term\":0,\"vote\":\"0\",\"commit\":10,\"lead\":\"0\","
				       "\"raftState\":\"StateFollower\",\"applied\":10,\"progress\":{},"
				       "\"leadtransferee\":\"0\"}";
	const char *const want[] = {follower, leader};
	struct node n;

	node_init(&n, 3);
	for (size_t i = 0; i < ARRAY_COUNT(want); i++) {
		struct raft_status s;
		struct buf b;

		buf_init(&b, 1 << 16);
		raft_status(n.raft, &s);
		raft_status_json(&s, &b);
		buf_put_byte(&b, 0);
		assert_string_equal((char *)b.data, want[i]);
		raft_status_fini(&s);
		buf_fini(&b);
		node_lead(&n);
	}
	node_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_propose_consumes_data),
		cmocka_unit_test(test_batch_is_all_or_none),
		cmocka_unit_test(test_bad_change_is_dropped),
		cmocka_unit_test(test_messages_without_term_are_ignored),
		cmocka_unit_test(test_entries_out_of_order_are_ignored),
		cmocka_unit_test(test_acknowledgement_beyond_the_log_is_ignored),
		cmocka_unit_test(test_impossible_snapshot_is_ignored),
		cmocka_unit_test(test_forwarded_transfer_loses_its_term),
		cmocka_unit_test(test_reads_and_strange_contexts),
		cmocka_unit_test(test_only_voter_does_not_answer_stale),
		cmocka_unit_test(test_campaign_can_be_forbidden),
		cmocka_unit_test(test_step_down),
		cmocka_unit_test(test_bootstrap_refusals),
		cmocka_unit_test(test_election_timeout_is_seeded),
		cmocka_unit_test(test_ready_keeps_its_arrays),
		cmocka_unit_test(test_taken_message_is_the_callers),
		cmocka_unit_test(test_status_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
