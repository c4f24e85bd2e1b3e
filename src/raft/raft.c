/* Life of a raft object, and what its owner asks of it. */
#include "raft/raft_impl.h"

/* ---- life ---- */

static void config_check(const struct raft_config *c)
{
	ASSERT(c->id != RAFT_NONE);
	ASSERT(c->id < RAFT_APPLY_THREAD);
	ASSERT(c->heartbeat_ticks > 0);
	ASSERT(c->election_ticks > c->heartbeat_ticks);
	ASSERT(c->storage);
	ASSERT(c->max_inflight_msgs > 0);
	ASSERT(c->max_inflight_bytes == 0 || c->max_inflight_bytes >= c->max_size_per_msg);
	ASSERT(c->read_option == RAFT_READ_SAFE || c->check_quorum);
}

static void load_hard_state(struct raft *r, const struct raft_hard_state *hs)
{
	if (hs->term == 0 && hs->vote == 0 && hs->commit == 0)
		return;
	if (hs->commit < r->log.committed || hs->commit > raft_log_last_index(&r->log))
		raft_panic(&r->logger, X64 " state.commit " U64 " is out of range [" U64 ", " U64 "]", r->config.id,
			   hs->commit, r->log.committed, raft_log_last_index(&r->log));
	r->log.committed = hs->commit;
	r->term = hs->term;
	r->vote = hs->vote;
}

static void log_new_raft(struct raft *r)
{
	const struct raft_conf_state *c = &r->tracker.membership.conf;
	struct raft_pos last = raft_log_last(&r->log);
	struct buf peers;

	if (!r->logger.fn)
		return;
	buf_init(&peers, 64 << 10);
	struct ids voters = ids_union(&c->voters, &c->voters_outgoing);
	for (size_t i = 0; i < voters.count; i++)
		buf_printf(&peers, "%s" X64, i ? "," : "", voters.at[i]);
	RAFT_LOGF(r, INFO,
		  "newRaft " X64 " [peers: [%.*s], term: " U64 ", commit: " U64 ", applied: " U64 ", lastindex: " U64
		  ", lastterm: " U64 "]",
		  r->config.id, SLICE_ARG(buf_slice(&peers)), r->term, r->log.committed, r->log.applied, last.index,
		  last.term);
	ids_fini(&voters);
	buf_fini(&peers);
}

struct raft *raft_new(const struct raft_config *config)
{
	config_check(config);

	struct raft *r = NEW(struct raft);
	r->config = *config;
	if (!r->config.max_committed_size_per_ready)
		r->config.max_committed_size_per_ready = r->config.max_size_per_msg;
	if (!r->config.max_uncommitted_entries_size)
		r->config.max_uncommitted_entries_size = RAFT_NO_LIMIT;
	r->logger = (struct raft_logger){config->log, config->log_ctx};
	r->may_campaign = true;
	r->tracker.inflight_msgs_max = config->max_inflight_msgs;
	r->tracker.inflight_bytes_max = config->max_inflight_bytes;
	rng_init(&r->rng, config->random_seed);
	raft_log_init(&r->log, config->storage, &r->logger, r->config.max_committed_size_per_ready);

	struct raft_hard_state hs = {0};
	const struct raft_conf_state *cs;
	config->storage->ops->initial_state(config->storage, &hs, &cs);
	raft_restore_membership(r, cs);
	load_hard_state(r, &hs);
	if (config->applied)
		raft_log_applied_to(&r->log, config->applied, 0);
	raft_become_follower(r, r->term, RAFT_NONE);
	log_new_raft(r);

	r->prev_soft = (struct raft_soft_state){r->lead, r->role};
	r->prev_hard = raft_hard_state(r);
	return r;
}

static void fini_messages(struct raft_message *at, size_t count)
{
	for (size_t i = 0; i < count; i++)
		raft_message_fini(&at[i]);
	mem_free(at);
}

void raft_free(struct raft *r)
{
	if (!r)
		return;
	fini_messages(r->msgs.at, r->msgs.count);
	fini_messages(r->msgs_after_append.at, r->msgs_after_append.count);
	fini_messages(r->steps.own.at, r->steps.own.count);
	for (size_t i = 0; i < r->read_states.count; i++)
		blob_unref(r->read_states.at[i].ctx);
	VEC_FREE(&r->read_states);
	VEC_FREE(&r->scratch);
	raft_reads_fini(r);
	raft_tracker_fini(&r->tracker);
	raft_log_fini(&r->log);
	mem_free(r);
}

static struct raft_entry bootstrap_entry(const struct raft_peer *peer, uint64_t index)
{
	struct raft_conf_change cc = {.type = CONF_ADD_NODE, .node_id = peer->id, .context = peer->context};
	struct buf data;

	buf_init(&data, SIZE_MAX);
	raft_conf_change_encode(&cc, &data);
	ASSERT(!buf_failed(&data));
	struct raft_entry e = {
		.term = 1, .index = index, .type = ENTRY_CONF_CHANGE, .data = blob_copy(buf_slice(&data))};
	buf_fini(&data);
	return e;
}

err_t raft_bootstrap(struct raft *r, const struct raft_peer *peers, size_t count)
{
	if (count == 0)
		return ERR_INVALID;
	if (r->config.storage->ops->last_index(r->config.storage) != 0)
		return ERR_RAFT_NOT_EMPTY;

	/* The first ready is to carry a hard state. */
	r->prev_hard = (struct raft_hard_state){0};
	raft_become_follower(r, 1, RAFT_NONE);
	for (size_t i = 0; i < count; i++) {
		struct raft_entry e = bootstrap_entry(&peers[i], i + 1);

		raft_log_append(&r->log, &e, 1);
	}
	/* Applied here already, so that the node may campaign at once; the application sees them again, as committed
	 * entries. The log comes first: next starts at its end. */
	r->log.committed = count;
	for (size_t i = 0; i < count; i++) {
		struct raft_conf_change cc = {.type = CONF_ADD_NODE, .node_id = peers[i].id};

		raft_apply_conf_change(r, &cc);
	}
	return OK;
}

/* ---- inputs ---- */

/* A message that this node gives itself. */
static void step_local(struct raft *r, struct raft_message m)
{
	err_t err = raft_step_any(r, &m);

	(void)err;      /* only proposals fail, and those do not come here */
	raft_message_fini(&m);
}

static err_t propose_entries(struct raft *r, struct raft_entry *take, size_t count)
{
	if (r->role == RAFT_LEADER)
		return raft_leader_propose(r, take, count);

	struct raft_message m = {.type = MSG_PROP, .from = r->config.id, .entry_count = count};
	m.entries = mem_alloc(count * sizeof(*take));
	memcpy(m.entries, take, count * sizeof(*take));
	err_t err = raft_step_any(r, &m);
	raft_message_fini(&m);
	return err;
}

err_t raft_propose(struct raft *r, struct blob *const *take_data, size_t count)
{
	ASSERT(count > 0);
	r->scratch.count = 0;
	VEC_RESERVE(&r->scratch, count);
	for (size_t i = 0; i < count; i++)
		r->scratch.at[i] = (struct raft_entry){.type = ENTRY_NORMAL, .data = take_data[i]};
	return propose_entries(r, r->scratch.at, count);
}

static err_t propose_change(struct raft *r, enum raft_entry_type type, struct buf *data)
{
	struct raft_entry e = {.type = type};

	ASSERT(!buf_failed(data));
	if (data->size)
		e.data = blob_copy(buf_slice(data));
	return propose_entries(r, &e, 1);
}

err_t raft_propose_conf_change(struct raft *r, const struct raft_conf_change *cc)
{
	struct buf data;

	buf_init(&data, SIZE_MAX);
	raft_conf_change_encode(cc, &data);
	err_t err = propose_change(r, ENTRY_CONF_CHANGE, &data);
	buf_fini(&data);
	return err;
}

err_t raft_propose_conf_change_v2(struct raft *r, const struct raft_conf_change_v2 *cc)
{
	struct buf data;

	buf_init(&data, SIZE_MAX);
	raft_conf_change_v2_encode(cc, &data);
	err_t err = propose_change(r, ENTRY_CONF_CHANGE_V2, &data);
	buf_fini(&data);
	return err;
}

void raft_campaign(struct raft *r)
{
	step_local(r, (struct raft_message){.type = MSG_HUP});
}

void raft_read_index(struct raft *r, struct blob *take_ctx)
{
	struct raft_message m = {.type = MSG_READ_INDEX, .entry_count = 1};

	m.entries = NEW(struct raft_entry);
	m.entries[0].data = take_ctx;
	step_local(r, m);
}

void raft_transfer_leader(struct raft *r, uint64_t transferee)
{
	step_local(r, (struct raft_message){.type = MSG_TRANSFER_LEADER, .from = transferee});
}

void raft_forget_leader(struct raft *r)
{
	step_local(r, (struct raft_message){.type = MSG_FORGET_LEADER});
}

void raft_report_unreachable(struct raft *r, uint64_t id)
{
	step_local(r, (struct raft_message){.type = MSG_UNREACHABLE, .from = id});
}

void raft_report_snapshot(struct raft *r, uint64_t id, bool failed)
{
	step_local(r, (struct raft_message){.type = MSG_SNAP_STATUS, .from = id, .reject = failed});
}

void raft_step_down(struct raft *r)
{
	if (r->role == RAFT_LEADER)
		raft_become_follower(r, r->term, RAFT_NONE);
}

void raft_set_may_campaign(struct raft *r, bool allowed)
{
	r->may_campaign = allowed;
}
