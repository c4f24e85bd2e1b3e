/* States that only a bug or a lost log can produce end the program, with the line that upstream has for them. */
#include "node.h"

static jmp_buf out;
static char last_line[512];

static void catch_fatal(const char *line)
{
	snprintf(last_line, sizeof(last_line), "%s", line);
	longjmp(out, 1);
}

/* What was half done when the end came is lost: leaks are the price of this test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void assert_fatal(void (*run)(struct node *n), const char *want)
{
	static struct node n;

	last_line[0] = 0;
	fatal_set_hook(catch_fatal);
	if (setjmp(out) == 0) {
		node_init(&n, 3);
		run(&n);
	}
	fatal_set_hook(NULL);
	assert_non_null(strstr(last_line, want));
	node_fini(&n);
}

static void hear_commit_beyond_the_log(struct node *n)
{
	(void)node_step(n, (struct raft_message){.type = MSG_HEARTBEAT, .from = 2, .to = 1, .term = 2, .commit = 11});
}

static void replace_committed_entry(struct node *n)
{
	for (uint64_t term = 2; term <= 3; term++)
		(void)node_step(n, (struct raft_message){.type = MSG_APP,
							 .from = 2,
							 .to = 1,
							 .term = term,
							 .index = 10,
							 .log_term = 1,
							 .commit = term == 2 ? 11 : 10,
							 .entries = one_entry(term, 11, ENTRY_NORMAL, "x"),
							 .entry_count = 1});
	(void)node_step(n, (struct raft_message){.type = MSG_APP, .from = 2, .to = 1, .term = 4, .index = 10, .log_term = 1});
}

static void take_two_readies(struct node *n)
{
	raft_campaign(n->raft);
	raft_ready(n->raft, &n->ready);
	raft_ready_clear(&n->ready);
	raft_ready(n->raft, &n->ready);
}

static void remove_all_voters(struct node *n)
{
	for (uint64_t id = 1; id <= 3; id++)
		raft_apply_conf_change(n->raft, &(struct raft_conf_change){.type = CONF_REMOVE_NODE, .node_id = id});
}

static void leave_what_is_not_joint(struct node *n)
{
	raft_apply_conf_change_v2(n->raft, &(struct raft_conf_change_v2){0});
}

static void transition_unknown(struct node *n)
{
	raft_apply_conf_change_v2(n->raft, &(struct raft_conf_change_v2){.transition = (enum raft_conf_transition)7});
}

static void apply_beyond_commit(struct node *n)
{
	(void)node_step(n, (struct raft_message){.type = MSG_STORAGE_APPLY_RESP,
						 .from = RAFT_APPLY_THREAD,
						 .to = 1,
						 .entries = one_entry(1, 11, ENTRY_NORMAL, "x"),
						 .entry_count = 1});
}

static void start_with(struct node *n, const struct raft_hard_state *hs)
{
	struct raft_config c = node_config();

	raft_mem_storage_set_hard_state(n->disk, hs);
	raft_free(n->raft);
	n->raft = NULL;
	c.storage = raft_mem_storage_base(n->disk);
	n->raft = raft_new(&c);
}

static void start_without_committed_entries(struct node *n)
{
	start_with(n, &(struct raft_hard_state){.term = 2, .commit = 11});
}

static void start_with_commit_before_the_log(struct node *n)
{
	start_with(n, &(struct raft_hard_state){.term = 2, .commit = 9});
}

static void test_fatal_states(void **state)
{
	static const struct {
		void (*run)(struct node *n);
		const char *want;
	} cases[] = {
		{hear_commit_beyond_the_log,
		 "tocommit(11) is out of range [lastIndex(10)]. Was the raft log corrupted, truncated, or lost?"},
		{take_two_readies, "two accepted Ready structs without call to Advance"},
		{remove_all_voters, "removed all voters"},
		{leave_what_is_not_joint, "can't leave a non-joint config"},
		{transition_unknown, "unknown transition"},
		{apply_beyond_commit, "applied(11) is out of range [prevApplied(10), committed(10)]"},
		{start_without_committed_entries, "1 state.commit 11 is out of range [10, 10]"},
		{start_with_commit_before_the_log, "1 state.commit 9 is out of range [10, 10]"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		assert_fatal(cases[i].run, cases[i].want);
}

/* A log behind the committed index is answered, not replaced; one that contradicts what is committed is the end. */
static void test_committed_entries_stay(void **state)
{
	struct node n;

	node_init(&n, 3);
	replace_committed_entry(&n);
	assert_int_equal(raft_commit(n.raft), 11);
	assert_int_equal(raft_last_index(n.raft), 11);
	node_work(&n);
	node_fini(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fatal_states),
		cmocka_unit_test(test_committed_entries_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
