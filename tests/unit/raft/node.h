/* One raft object and its disk, for tests that play the peers by hand. */
#ifndef TESTS_UNIT_RAFT_NODE_H
#define TESTS_UNIT_RAFT_NODE_H

#include "lib/test.h"
#include "raft/raft.h"

struct node {
	struct raft_mem_storage *disk;
	struct raft *raft;
	struct raft_ready ready;
};

/* Storage that starts behind a snapshot at index 10, term 1, with these voters. */
static inline void disk_init(struct raft_mem_storage *disk, size_t voters)
{
	struct raft_snapshot snap = {.index = 10, .term = 1};

	snap.conf_state.voters.at = NEW_ARRAY(uint64_t, voters);
	for (size_t i = 0; i < voters; i++)
		snap.conf_state.voters.at[snap.conf_state.voters.count++] = i + 1;
	assert_ok(raft_mem_storage_apply_snapshot(disk, &snap));
	raft_snapshot_fini(&snap);
}

static inline struct raft_config node_config(void)
{
	return (struct raft_config){
		.id = 1,
		.election_ticks = 10,
		.heartbeat_ticks = 1,
		.max_size_per_msg = 1 << 20,
		.max_inflight_msgs = 256,
		.applied = 10,
		.random_seed = 1,
	};
}

static inline void node_init_with(struct node *n, size_t voters, struct raft_config config)
{
	*n = (struct node){.disk = raft_mem_storage_new()};
	disk_init(n->disk, voters);
	config.storage = raft_mem_storage_base(n->disk);
	n->raft = raft_new(&config);
}

static inline void node_init(struct node *n, size_t voters)
{
	node_init_with(n, voters, node_config());
}

static inline void node_fini(struct node *n)
{
	raft_ready_fini(&n->ready);
	raft_free(n->raft);
	raft_mem_storage_free(n->disk);
}

/* Takes one ready (sync mode); messages stay in n->ready until the next. */
static inline void node_work(struct node *n)
{
	raft_ready_clear(&n->ready);
	raft_ready(n->raft, &n->ready);
	if (n->ready.has_hard_state)
		raft_mem_storage_set_hard_state(n->disk, &n->ready.hard_state);
	raft_mem_storage_append(n->disk, n->ready.entries, n->ready.entry_count);
	raft_advance(n->raft);
	raft_check(n->raft);
}

static inline void node_work_off(struct node *n)
{
	while (raft_has_ready(n->raft))
		node_work(n);
}

static inline err_t node_step(struct node *n, struct raft_message m)
{
	err_t err = raft_step(n->raft, &m);

	raft_check(n->raft);
	return err;
}

/* Wins the election of the next term with the vote of 2 (and 3). */
static inline void node_lead(struct node *n)
{
	raft_campaign(n->raft);
	node_work_off(n);
	for (uint64_t id = 2; raft_role(n->raft) != RAFT_LEADER; id++)
		assert_ok(node_step(n, (struct raft_message){
					       .type = MSG_VOTE_RESP, .from = id, .to = 1, .term = raft_term(n->raft)}));
	node_work_off(n);
}

/* The message of this type to `to` in the last ready, NULL if none. */
static inline const struct raft_message *node_sent(const struct node *n, enum raft_msg_type type, uint64_t to)
{
	for (size_t i = 0; i < n->ready.message_count; i++) {
		if (n->ready.messages[i].type == type && n->ready.messages[i].to == to)
			return &n->ready.messages[i];
	}
	return NULL;
}

static inline struct blob *text_blob(const char *text)
{
	return blob_copy(slice_str(text));
}

static inline struct raft_entry *one_entry(uint64_t term, uint64_t index, enum raft_entry_type type, const char *data)
{
	struct raft_entry *e = NEW(struct raft_entry);

	*e = (struct raft_entry){term, index, type, data ? text_blob(data) : NULL};
	return e;
}

#endif
