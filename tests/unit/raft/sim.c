#include "sim.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ (h >> 29);
}

static bool chance(struct sim *s, unsigned percent)
{
	return rng_below(&s->rng, 100) < percent;
}

static struct sim_node *any_node(struct sim *s)
{
	return &s->nodes[rng_below(&s->rng, s->options.node_count)];
}

static void die(const struct sim *s, const char *what)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	sim_print(s, &b);
	fprintf(stderr, "seed %" PRIu64 ": %s\n%.*s", s->seed, what, SLICE_ARG(buf_slice(&b)));
	abort();
}

/* Makes v.at[i] exist, zero until written. */
#define EXTEND(v, i)                                   \
	do {                                           \
		while ((v)->count <= (i))              \
			VEC_PUSH(v, (uint64_t)0);      \
	} while (0)

/* ---- checks ---- */

static void check_applied(struct sim *s, uint64_t index, uint64_t chain)
{
	EXTEND(&s->chains, index);
	if (s->chains.at[index] == 0)
		s->chains.at[index] = chain;
	else if (s->chains.at[index] != chain)
		die(s, "two members applied different entries at one index");
}

static void check_node(struct sim *s, struct sim_node *n)
{
	struct raft *r = n->raft;

	raft_check(r);
	s->commit_max = MAX(s->commit_max, raft_commit(r));
	s->trace = mix(s->trace, mix(n->id, mix(raft_term(r), raft_commit(r)) + raft_role(r)));
	if (raft_role(r) != RAFT_LEADER)
		return;
	EXTEND(&s->leaders, raft_term(r));
	uint64_t *leader = &s->leaders.at[raft_term(r)];
	s->seen.elections += *leader == 0;
	if (*leader == 0)
		*leader = n->id;
	else if (*leader != n->id)
		die(s, "two leaders in one term");
}

static void check_read(struct sim *s, const struct raft_read_state *rs)
{
	uint64_t number;

	memcpy(&number, rs->ctx->data, sizeof(number));
	if (rs->index < s->read_floors.at[number])
		die(s, "a read misses what was committed before it");
	s->seen.reads++;
}

/* ---- nodes ---- */

static void start(struct sim *s, struct sim_node *n)
{
	const struct raft_snapshot *snap = raft_mem_storage_snapshot(n->disk);
	const struct sim_options *o = &s->options;
	struct raft_config c = {
		.id = n->id,
		.election_ticks = o->election_ticks,
		.heartbeat_ticks = 1,
		.storage = raft_mem_storage_base(n->disk),
		.applied = snap->index,
		.async_storage_writes = true,
		.max_size_per_msg = o->size_max,
		.max_committed_size_per_ready = o->size_max,
		.max_inflight_msgs = o->inflight_max,
		.check_quorum = o->check_quorum,
		.pre_vote = o->pre_vote,
		.step_down_on_removal = o->step_down_on_removal,
		.random_seed = rng_next(&s->rng),
	};

	n->applied = snap->index;
	n->chain = 0;
	if (snap->index)
		memcpy(&n->chain, snap->data->data, sizeof(n->chain));
	raft_conf_state_fini(&n->conf);
	raft_conf_state_copy(&n->conf, &snap->conf_state);
	n->raft = raft_new(&c);
}

static void drop_queues(struct sim_node *n)
{
	for (size_t i = 0; i < n->append_queue.count; i++)
		raft_message_fini(&n->append_queue.at[i]);
	for (size_t i = 0; i < n->apply_queue.count; i++)
		raft_message_fini(&n->apply_queue.at[i]);
	n->append_queue.count = n->apply_queue.count = 0;
}

static void crash(struct sim *s, struct sim_node *n)
{
	raft_free(n->raft);
	n->raft = NULL;
	drop_queues(n);
	s->seen.crashes++;
}

/* What a new cluster's members find on their disks. */
static void write_first_snapshot(struct sim *s, struct sim_node *n)
{
	struct raft_snapshot snap = {.index = 1, .term = 1, .data = blob_new(8)};

	memset(snap.data->data, 7, 8);
	snap.conf_state.voters.at = NEW_ARRAY(uint64_t, s->options.voter_count);
	for (size_t i = 0; i < s->options.voter_count; i++)
		snap.conf_state.voters.at[snap.conf_state.voters.count++] = i + 1;
	err_t err = raft_mem_storage_apply_snapshot(n->disk, &snap);
	ASSERT(err == OK);
	raft_mem_storage_set_hard_state(n->disk, &(struct raft_hard_state){.term = 1, .commit = 1});
	raft_snapshot_fini(&snap);
}

static void draw_weights(struct sim *s);

void sim_init(struct sim *s, uint64_t seed)
{
	*s = (struct sim){.seed = seed};
	rng_init(&s->rng, seed);
	s->options = (struct sim_options){
		.voter_count = 1 + rng_below(&s->rng, SIM_NODES_MAX),
		.election_ticks = 3 + (uint32_t)rng_below(&s->rng, 8),
		.pre_vote = chance(s, 50),
		.check_quorum = chance(s, 50),
		.step_down_on_removal = chance(s, 50),
		.apply_at_once = chance(s, 50),
		.deliver_percent = 30 + (unsigned)rng_below(&s->rng, 50),
		.drop_percent = (unsigned)rng_below(&s->rng, 20),
		.duplicate_percent = (unsigned)rng_below(&s->rng, 10),
		.size_max = chance(s, 50) ? RAFT_NO_LIMIT : 1 + rng_below(&s->rng, 100),
		.inflight_max = 1 + (uint32_t)rng_below(&s->rng, 8),
	};
	s->options.node_count =
		s->options.voter_count + rng_below(&s->rng, SIM_NODES_MAX - s->options.voter_count + 1);
	draw_weights(s);
	for (size_t i = 0; i < s->options.node_count; i++) {
		struct sim_node *n = &s->nodes[i];

		n->id = i + 1;
		n->disk = raft_mem_storage_new();
		if (i < s->options.voter_count)
			write_first_snapshot(s, n);
		start(s, n);
	}
}

void sim_fini(struct sim *s)
{
	for (size_t i = 0; i < s->options.node_count; i++) {
		struct sim_node *n = &s->nodes[i];

		drop_queues(n);
		VEC_FREE(&n->append_queue);
		VEC_FREE(&n->apply_queue);
		raft_free(n->raft);
		raft_mem_storage_free(n->disk);
		raft_conf_state_fini(&n->conf);
	}
	for (size_t i = 0; i < s->net.count; i++)
		raft_message_fini(&s->net.at[i]);
	VEC_FREE(&s->net);
	VEC_FREE(&s->chains);
	VEC_FREE(&s->leaders);
	VEC_FREE(&s->read_floors);
	raft_ready_fini(&s->ready);
}

/* ---- work of a node ---- */

static void step(struct sim *s, struct sim_node *n, struct raft_message *take)
{
	err_t err = raft_step(n->raft, take);

	(void)err;      /* strangers, dropped proposals */
	check_node(s, n);
}

static void send(struct sim *s, struct raft_message take)
{
	VEC_PUSH(&s->net, take);
}

static void deliver_responses(struct sim *s, struct sim_node *n, struct raft_message *m)
{
	for (size_t i = 0; i < m->response_count; i++) {
		struct raft_message resp = raft_message_take(&m->responses[i]);

		if (resp.to == n->id)
			step(s, n, &resp);
		else
			send(s, resp);
	}
	raft_message_fini(m);
}

static void install_snapshot(struct sim *s, struct sim_node *n, const struct raft_snapshot *snap)
{
	err_t err = raft_mem_storage_apply_snapshot(n->disk, snap);

	ASSERT(err == OK);
	n->applied = snap->index;
	memcpy(&n->chain, snap->data->data, sizeof(n->chain));
	raft_conf_state_fini(&n->conf);
	raft_conf_state_copy(&n->conf, &snap->conf_state);
	check_applied(s, n->applied, n->chain);
	s->seen.snapshots++;
}

static void do_append(struct sim *s, struct sim_node *n)
{
	struct raft_message m = n->append_queue.at[0];

	n->append_queue.count--;
	memmove(n->append_queue.at, n->append_queue.at + 1, n->append_queue.count * sizeof(m));
	if (m.term || m.vote || m.commit)
		raft_mem_storage_set_hard_state(
			n->disk, &(struct raft_hard_state){.term = m.term, .vote = m.vote, .commit = m.commit});
	if (m.snapshot)
		install_snapshot(s, n, m.snapshot);
	raft_mem_storage_append(n->disk, m.entries, m.entry_count);
	deliver_responses(s, n, &m);
}

static const struct raft_conf_state *apply_change(struct sim_node *n, const struct raft_entry *e)
{
	const struct raft_conf_state *cs;
	struct raft_conf_change cc;
	struct raft_conf_change_v2 v2;
	err_t err;

	if (e->type == ENTRY_CONF_CHANGE) {
		err = raft_conf_change_decode(blob_slice(e->data), &cc);
		ASSERT(err == OK);
		return raft_apply_conf_change(n->raft, &cc);
	}
	err = raft_conf_change_v2_decode(blob_slice(e->data), &v2);
	ASSERT(err == OK);
	cs = raft_apply_conf_change_v2(n->raft, &v2);
	raft_conf_change_v2_fini(&v2);
	return cs;
}

static void apply_entry(struct sim *s, struct sim_node *n, const struct raft_entry *e)
{
	uint64_t data = 0;

	/* A snapshot that came in after these were handed out has overtaken them. */
	if (e->index < raft_first_index(n->raft) && e->index <= n->applied)
		return;
	if (e->index != n->applied + 1)
		die(s, "applied out of order");
	for (size_t i = 0; e->data && i < e->data->size; i++)
		data = mix(data, e->data->data[i]);
	n->chain = mix(mix(mix(n->chain, e->term), e->type), data);
	n->applied = e->index;
	check_applied(s, n->applied, n->chain);
	s->seen.commits++;
	if (e->type == ENTRY_NORMAL || e->index < raft_first_index(n->raft))
		return;
	const struct raft_conf_state *cs = apply_change(n, e);
	raft_conf_state_fini(&n->conf);
	raft_conf_state_copy(&n->conf, cs);
	s->seen.conf_changes++;
}

static void do_apply(struct sim *s, struct sim_node *n)
{
	struct raft_message m = n->apply_queue.at[0];

	n->apply_queue.count--;
	memmove(n->apply_queue.at, n->apply_queue.at + 1, n->apply_queue.count * sizeof(m));
	for (size_t i = 0; i < m.entry_count; i++)
		apply_entry(s, n, &m.entries[i]);
	deliver_responses(s, n, &m);
}

static void do_ready(struct sim *s, struct sim_node *n)
{
	if (!raft_has_ready(n->raft))
		return;
	raft_ready(n->raft, &s->ready);
	for (size_t i = 0; i < s->ready.read_state_count; i++)
		check_read(s, &s->ready.read_states[i]);
	for (size_t i = 0; i < s->ready.message_count; i++) {
		struct raft_message m = raft_message_take(&s->ready.messages[i]);

		if (m.type == MSG_STORAGE_APPEND)
			VEC_PUSH(&n->append_queue, m);
		else if (m.type == MSG_STORAGE_APPLY)
			VEC_PUSH(&n->apply_queue, m);
		else
			send(s, m);
	}
	raft_ready_clear(&s->ready);
	while (s->options.apply_at_once && n->apply_queue.count)
		do_apply(s, n);
	check_node(s, n);
}

/* ---- the network ---- */

static struct raft_message copy_message(const struct raft_message *m)
{
	struct raft_message copy = *m;

	if (m->entry_count) {
		copy.entries = NEW_ARRAY(struct raft_entry, m->entry_count);
		for (size_t i = 0; i < m->entry_count; i++)
			copy.entries[i] = raft_entry_ref(&m->entries[i]);
	}
	if (m->snapshot) {
		copy.snapshot = NEW(struct raft_snapshot);
		raft_snapshot_copy(copy.snapshot, m->snapshot);
	}
	blob_ref(copy.context);
	return copy;
}

/* The transport tells whether a snapshot arrived; that it gets installed is another matter. */
static void report_snapshot(struct sim *s, const struct raft_message *m, bool lost)
{
	struct sim_node *from = &s->nodes[m->from - 1];

	if (from->raft) {
		raft_report_snapshot(from->raft, m->to, lost);
		check_node(s, from);
	}
}

static void deliver(struct sim *s, size_t i, bool faults)
{
	struct raft_message m = s->net.at[i];
	struct sim_node *to = &s->nodes[m.to - 1], *from = &s->nodes[m.from - 1];

	if (faults && chance(s, s->options.duplicate_percent)) {
		s->net.at[i] = copy_message(&m);
	} else {
		s->net.count--;
		memmove(s->net.at + i, s->net.at + i + 1, (s->net.count - i) * sizeof(m));
	}
	bool lost = !to->raft || (faults && (to->cut || from->cut || chance(s, s->options.drop_percent)));
	if (m.type == MSG_SNAP)
		report_snapshot(s, &m, lost);
	if (!lost)
		step(s, to, &m);
	raft_message_fini(&m);
}

/* ---- clients ---- */

static void propose(struct sim *s, struct sim_node *n)
{
	struct blob *data[3];
	size_t count = 1 + rng_below(&s->rng, ARRAY_COUNT(data));

	for (size_t i = 0; i < count; i++) {
		uint64_t number = ++s->proposals;

		data[i] = blob_copy(slice_of(&number, sizeof(number)));
	}
	err_t err = raft_propose(n->raft, data, count);
	(void)err;
	check_node(s, n);
}

static void ask_read(struct sim *s, struct sim_node *n)
{
	uint64_t number = s->read_floors.count;

	VEC_PUSH(&s->read_floors, s->commit_max);
	raft_read_index(n->raft, blob_copy(slice_of(&number, sizeof(number))));
	check_node(s, n);
}

/* Only a leader proposes changes, and none that leaves no voter: like the server, which checks before it proposes. */
static void change_members(struct sim *s, struct sim_node *n)
{
	struct raft_conf_change_single changes[3];
	size_t count = 1 + rng_below(&s->rng, ARRAY_COUNT(changes));
	struct raft_conf_change_v2 cc = {.changes = changes, .change_count = count};
	err_t err;

	if (raft_role(n->raft) != RAFT_LEADER)
		return;
	cc.transition = (enum raft_conf_transition)rng_below(&s->rng, 3);
	for (size_t i = 0; i < count; i++) {
		changes[i].type = (enum raft_conf_change_type)rng_below(&s->rng, 4);
		changes[i].node_id = 1 + rng_below(&s->rng, s->options.node_count);
	}
	/* Whatever else it does, it keeps or makes this one a voter. */
	changes[count - 1] = (struct raft_conf_change_single){CONF_ADD_NODE, n->id};
	if (raft_conf_state(n->raft)->voters_outgoing.count && chance(s, 80))
		cc.transition = CONF_TRANSITION_AUTO, cc.change_count = 0;
	if (count == 1 && chance(s, 50)) {
		changes[0].node_id = 1 + rng_below(&s->rng, s->options.node_count);
		changes[0].type = chance(s, 50) ? CONF_ADD_LEARNER : CONF_ADD_NODE;
		if (changes[0].node_id == n->id)
			changes[0].type = CONF_UPDATE_NODE;
		err = raft_propose_conf_change(n->raft, &(struct raft_conf_change){
								.type = changes[0].type, .node_id = changes[0].node_id});
	} else {
		err = raft_propose_conf_change_v2(n->raft, &cc);
	}
	(void)err;
	check_node(s, n);
}

/* Only what is durable as committed may go into a snapshot. */
static void take_snapshot(struct sim *s, struct sim_node *n)
{
	uint64_t last = MIN(n->applied, raft_mem_storage_hard_state(n->disk)->commit);

	if (last != n->applied || last <= raft_mem_storage_snapshot(n->disk)->index ||
	    last > raft_mem_storage_last_index(n->disk) || last < raft_first_index(n->raft))
		return;
	err_t err = raft_mem_storage_create_snapshot(n->disk, last, &n->conf,
						     blob_copy(slice_of(&n->chain, sizeof(n->chain))));
	ASSERT(err == OK);
	/* Entries that raft still writes must not be cut off under it. */
	uint64_t to = last - rng_below(&s->rng, 4);
	if (to >= raft_mem_storage_first_index(n->disk) && to <= raft_applied(n->raft)) {
		err = raft_mem_storage_compact(n->disk, to);
		ASSERT(err == OK);
	}
	check_node(s, n);
}

/* ---- time ---- */

static void tick(struct sim *s, struct sim_node *n)
{
	raft_tick(n->raft);
	check_node(s, n);
}

static void campaign(struct sim *s, struct sim_node *n)
{
	raft_campaign(n->raft);
	check_node(s, n);
}

static void transfer(struct sim *s, struct sim_node *n)
{
	raft_transfer_leader(n->raft, any_node(s)->id);
	check_node(s, n);
}

static void unreachable(struct sim *s, struct sim_node *n)
{
	raft_report_unreachable(n->raft, any_node(s)->id);
	check_node(s, n);
}

static void forget(struct sim *s, struct sim_node *n)
{
	raft_forget_leader(n->raft);
	check_node(s, n);
}

static void step_down(struct sim *s, struct sim_node *n)
{
	raft_step_down(n->raft);
	check_node(s, n);
}

static void cut_or_join(struct sim *s, struct sim_node *n)
{
	n->cut = !n->cut;
}

static void maybe_append(struct sim *s, struct sim_node *n)
{
	if (n->append_queue.count)
		do_append(s, n);
}

static void maybe_apply(struct sim *s, struct sim_node *n)
{
	if (n->apply_queue.count)
		do_apply(s, n);
}

/* What may happen to a node that is up. Each seed draws how often, up to weight: some disks are slow, some clusters
 * restless, some quiet. */
static const struct {
	void (*act)(struct sim *s, struct sim_node *n);
	unsigned weight;
} actions[SIM_ACTIONS] = {
	{do_ready, 600},  {maybe_append, 400}, {maybe_apply, 300}, {tick, 500},       {propose, 80},
	{ask_read, 60},   {take_snapshot, 24}, {change_members, 60}, {campaign, 80},  {transfer, 10},
	{cut_or_join, 20}, {unreachable, 6},   {forget, 6},        {step_down, 6},    {crash, 24},
};

static void draw_weights(struct sim *s)
{
	for (size_t i = 0; i < SIM_ACTIONS; i++) {
		/* Often small, so that each action is now and then rare or absent. */
		uint64_t w = rng_below(&s->rng, actions[i].weight + 1);

		s->weights[i] = chance(s, 30) ? (unsigned)w / 8 : (unsigned)w;
		s->weight_sum += s->weights[i];
	}
	s->weights[0]++;
	s->weight_sum++;
}

static void act_on(struct sim *s, struct sim_node *n)
{
	uint64_t at = rng_below(&s->rng, s->weight_sum);
	size_t i = 0;

	for (; at >= s->weights[i]; i++)
		at -= s->weights[i];
	actions[i].act(s, n);
}

void sim_step(struct sim *s)
{
	struct sim_node *n = any_node(s);

	if (s->net.count && chance(s, s->options.deliver_percent))
		deliver(s, rng_below(&s->rng, s->net.count), true);
	else if (n->raft)
		act_on(s, n);
	else if (chance(s, 20))
		start(s, n);
}

/* ---- the end ---- */

static void work_off(struct sim *s, struct sim_node *n)
{
	while (raft_has_ready(n->raft) || n->append_queue.count || n->apply_queue.count) {
		do_ready(s, n);
		while (n->append_queue.count)
			do_append(s, n);
		while (n->apply_queue.count)
			do_apply(s, n);
	}
}

/* Who knows most says who belongs to the cluster. */
static const struct raft_conf_state *present_conf(struct sim *s)
{
	const struct sim_node *best = &s->nodes[0];

	for (size_t i = 1; i < s->options.node_count; i++) {
		if (s->nodes[i].applied > best->applied)
			best = &s->nodes[i];
	}
	return &best->conf;
}

static bool lists(const struct ids *ids, uint64_t id)
{
	for (size_t i = 0; i < ids->count; i++) {
		if (ids->at[i] == id)
			return true;
	}
	return false;
}

static bool belongs(struct sim *s, const struct sim_node *n)
{
	const struct raft_conf_state *c = present_conf(s);

	return lists(&c->voters, n->id) || lists(&c->voters_outgoing, n->id) || lists(&c->learners, n->id);
}

static bool all_agree(struct sim *s, uint64_t index)
{
	bool any = false;

	for (size_t i = 0; i < s->options.node_count; i++) {
		if (!belongs(s, &s->nodes[i]))
			continue;
		any = true;
		if (s->nodes[i].applied < index)
			return false;
	}
	return any;
}

bool sim_heal(struct sim *s)
{
	uint64_t goal = s->commit_max + 1;

	for (size_t i = 0; i < s->options.node_count; i++) {
		if (!s->nodes[i].raft)
			start(s, &s->nodes[i]);
		s->nodes[i].cut = false;
	}
	for (unsigned round = 0; round < 3000; round++) {
		for (size_t i = 0; i < s->options.node_count; i++) {
			struct sim_node *n = &s->nodes[i];

			/* Removed members would go on campaigning without pre-vote. */
			if (belongs(s, n))
				raft_tick(n->raft);
			if (raft_role(n->raft) == RAFT_LEADER && round % 20 == 0)
				propose(s, n);
			work_off(s, n);
			/* The newest snapshot may be older than the member that needs it. */
			if (round % 100 == 0)
				take_snapshot(s, n);
		}
		for (size_t k = s->net.count; k > 0 && s->net.count; k--)
			deliver(s, 0, false);
		if (all_agree(s, goal))
			return true;
	}
	return false;
}

static struct raft_entry last_entry(const struct sim_node *n)
{
	struct raft_storage *base = raft_mem_storage_base(n->disk);
	struct raft_entry e = {.index = raft_mem_storage_last_index(n->disk)};
	err_t err = base->ops->term(base, e.index, &e.term);

	ASSERT(err == OK);
	return e;
}

bool sim_is_locked_out(const struct sim *s)
{
	struct raft_entry voters = {0}, others = {0};

	for (size_t i = 0; i < s->options.node_count; i++) {
		struct raft_entry e = last_entry(&s->nodes[i]);
		struct raft_entry *best = raft_is_voter(s->nodes[i].raft) ? &voters : &others;

		if (e.term > best->term || (e.term == best->term && e.index > best->index))
			*best = e;
	}
	return others.term > voters.term || (others.term == voters.term && others.index > voters.index);
}

void sim_print(const struct sim *s, struct buf *out)
{
	const struct sim_options *o = &s->options;

	buf_printf(out,
		   "nodes=%zu voters=%zu pre_vote=%d check_quorum=%d step_down=%d apply_at_once=%d drop=%u%% dup=%u%% "
		   "size_max=%" PRIu64 " inflight_max=%u net=%zu\n",
		   o->node_count, o->voter_count, o->pre_vote, o->check_quorum, o->step_down_on_removal,
		   o->apply_at_once, o->drop_percent, o->duplicate_percent, o->size_max, o->inflight_max, s->net.count);
	for (size_t i = 0; i < o->node_count; i++) {
		const struct sim_node *n = &s->nodes[i];

		if (n->raft)
			raft_print(n->raft, out);
		else
			buf_printf(out, "%" PRIu64 " is down\n", n->id);
		buf_printf(out, "  applied=%" PRIu64 " disk=[%" PRIu64 ", %" PRIu64 "]%s\n", n->applied,
			   raft_mem_storage_first_index(n->disk), raft_mem_storage_last_index(n->disk),
			   n->cut ? " cut" : "");
	}
}
