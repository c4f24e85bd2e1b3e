/* Runs the transcripts of raft/testdata, raft/scenes and raft/random: scenes of several nodes. One row and one function
 * per command. The last rows are ours; raft/oracle has the same ones. */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "conf_ops.h"
#include "lib/datadriven.h"
#include "raft_env.h"

/* ---- arguments ---- */

static uint64_t id_arg(const struct dd_command *cmd, size_t i)
{
	if (i >= cmd->arg_count)
		dd_bad_command(cmd, "argument missing");
	return dd_uint(cmd, cmd->args[i].key);
}

static struct env_node *node_arg(struct env *env, const struct dd_command *cmd)
{
	return env_node(env, id_arg(cmd, 0));
}

struct node_list {
	struct env_node *at[ENV_NODES_MAX];
	size_t count;
};

/* The nodes named by bare words. */
static struct node_list nodes_arg(struct env *env, const struct dd_command *cmd)
{
	struct node_list l = {0};

	for (size_t i = 0; i < cmd->arg_count; i++) {
		if (cmd->args[i].value_count)
			continue;
		ASSERT(l.count < ENV_NODES_MAX);
		l.at[l.count++] = env_node(env, id_arg(cmd, i));
	}
	return l;
}

/* ---- nodes ---- */

static void parse_ids(const struct dd_command *cmd, const struct dd_arg *arg, struct ids *ids)
{
	ids->at = NEW_ARRAY(uint64_t, arg->value_count);
	for (size_t i = 0; i < arg->value_count; i++)
		ids->at[ids->count++] = dd_uint(cmd, arg->values[i]);
}

static void parse_config(const struct dd_command *cmd, const struct dd_arg *arg, struct raft_config *c)
{
	const struct {
		const char *key;
		bool *value;
	} bools[] = {
		{"async-storage-writes", &c->async_storage_writes},
		{"prevote", &c->pre_vote},
		{"checkquorum", &c->check_quorum},
		{"disable-conf-change-validation", &c->disable_conf_change_validation},
		{"step-down-on-removal", &c->step_down_on_removal},
	};
	const char *value = arg->value_count ? arg->values[0] : "";

	for (size_t i = 0; i < ARRAY_COUNT(bools); i++) {
		if (strcmp(arg->key, bools[i].key) == 0) {
			*bools[i].value = dd_bool(cmd, value);
			return;
		}
	}
	if (strcmp(arg->key, "inflight") == 0)
		c->max_inflight_msgs = (uint32_t)dd_uint(cmd, value);
	else if (strcmp(arg->key, "max-committed-size-per-ready") == 0)
		c->max_committed_size_per_ready = dd_uint(cmd, value);
	else if (strcmp(arg->key, "read-only") == 0 && strcmp(value, "lease-based") == 0)
		c->read_option = RAFT_READ_LEASE_BASED;
	else if (strcmp(arg->key, "read-only") == 0 && strcmp(value, "safe") == 0)
		c->read_option = RAFT_READ_SAFE;
	else
		dd_bad_command(cmd, "unknown argument %s", arg->key);
}

static const char *cmd_add_nodes(struct env *env, const struct dd_command *cmd)
{
	struct raft_config config = env->options;
	struct raft_snapshot snap = {.term = 1};
	bool has_snapshot = false;
	const char *err = NULL;

	for (size_t i = 1; i < cmd->arg_count; i++) {
		const struct dd_arg *arg = &cmd->args[i];

		if (strcmp(arg->key, "voters") == 0)
			parse_ids(cmd, arg, &snap.conf_state.voters);
		else if (strcmp(arg->key, "learners") == 0)
			parse_ids(cmd, arg, &snap.conf_state.learners);
		else if (strcmp(arg->key, "index") == 0)
			snap.index = config.applied = dd_uint(cmd, arg->values[0]);
		else {
			parse_config(cmd, arg, &config);
			continue;
		}
		has_snapshot = true;
	}
	for (uint64_t n = id_arg(cmd, 0); n > 0 && !err; n--)
		err = env_add_node(env, &config, has_snapshot ? &snap : NULL);
	raft_snapshot_fini(&snap);
	return err;
}

static const char *cmd_raft_log(struct env *env, const struct dd_command *cmd)
{
	struct env_node *n = node_arg(env, cmd);
	uint64_t first = raft_mem_storage_first_index(n->mem), last = raft_mem_storage_last_index(n->mem);
	const struct raft_entry *entries;
	size_t count;
	struct buf text;

	if (last < first) {
		env_printf(env, "log is empty: first index=%" PRIu64 ", last index=%" PRIu64, first, last);
		return NULL;
	}
	err_t err = n->base.ops->entries(&n->base, first, last + 1, RAFT_NO_LIMIT, &entries, &count);
	if (err)
		return err_text(err);
	for (size_t i = 0; i < count; i++) {
		buf_init(&text, 1 << 20);
		raft_entry_print(&entries[i], &text);
		env_printf(env, "%.*s\n", SLICE_ARG(buf_slice(&text)));
		buf_fini(&text);
	}
	return NULL;
}

static const char *cmd_compact(struct env *env, const struct dd_command *cmd)
{
	err_t err = raft_mem_storage_compact(node_arg(env, cmd)->mem, id_arg(cmd, 1));

	return err ? err_text(err) : cmd_raft_log(env, cmd);
}

static const char *cmd_raft_state(struct env *env, const struct dd_command *cmd)
{
	for (size_t i = 0; i < env->node_count; i++) {
		struct raft *r = env->nodes[i]->raft;

		env_printf(env, "%" PRIu64 ": %s %s Term:%" PRIu64 " Lead:%" PRIu64 "\n", raft_id(r),
			   raft_role_name(raft_role(r)), raft_is_voter(r) ? "(Voter)" : "(Non-Voter)", raft_term(r),
			   raft_lead(r));
	}
	return NULL;
}

static const char *cmd_status(struct env *env, const struct dd_command *cmd)
{
	struct raft_status s;
	struct buf text;

	raft_status(node_arg(env, cmd)->raft, &s);
	for (size_t i = 0; i < s.peer_count; i++) {
		buf_init(&text, 1 << 20);
		raft_peer_status_print(&s.peers[i], &text);
		env_printf(env, "%" PRIu64 ": %.*s\n", s.peers[i].id, SLICE_ARG(buf_slice(&text)));
		buf_fini(&text);
	}
	raft_status_fini(&s);
	return NULL;
}

/* ---- inputs ---- */

static const char *cmd_campaign(struct env *env, const struct dd_command *cmd)
{
	raft_campaign(node_arg(env, cmd)->raft);
	return NULL;
}

static void tick(struct env *env, const struct dd_command *cmd, uint32_t count)
{
	while (count-- > 0)
		raft_tick(node_arg(env, cmd)->raft);
}

static const char *cmd_tick_election(struct env *env, const struct dd_command *cmd)
{
	tick(env, cmd, node_arg(env, cmd)->config.election_ticks);
	return NULL;
}

static const char *cmd_tick_heartbeat(struct env *env, const struct dd_command *cmd)
{
	tick(env, cmd, node_arg(env, cmd)->config.heartbeat_ticks);
	return NULL;
}

static const char *cmd_set_election_timeout(struct env *env, const struct dd_command *cmd)
{
	const struct dd_arg *timeout = dd_find_arg(cmd, "timeout");

	if (!timeout)
		dd_bad_command(cmd, "timeout missing");
	raft_set_election_timeout(node_arg(env, cmd)->raft, (uint32_t)dd_uint(cmd, timeout->values[0]));
	return NULL;
}

static const char *cmd_propose(struct env *env, const struct dd_command *cmd)
{
	if (cmd->arg_count != 2)
		dd_bad_command(cmd, "propose takes a node and a word");
	struct blob *data = blob_copy(slice_str(cmd->args[1].key));
	err_t err = raft_propose(node_arg(env, cmd)->raft, &data, 1);

	return err ? err_text(err) : NULL;
}

static enum raft_conf_transition transition_arg(const struct dd_command *cmd)
{
	const struct dd_arg *arg = dd_find_arg(cmd, "transition");
	const char *value = arg ? arg->values[0] : "auto";

	if (strcmp(value, "auto") == 0)
		return CONF_TRANSITION_AUTO;
	if (strcmp(value, "implicit") == 0)
		return CONF_TRANSITION_JOINT_IMPLICIT;
	if (strcmp(value, "explicit") == 0)
		return CONF_TRANSITION_JOINT_EXPLICIT;
	dd_bad_command(cmd, "unknown transition %s", value);
}

static const char *cmd_propose_conf_change(struct env *env, const struct dd_command *cmd)
{
	struct raft *r = node_arg(env, cmd)->raft;
	const struct dd_arg *v1 = dd_find_arg(cmd, "v1");
	struct conf_ops ops;
	err_t err;

	if (!conf_ops_parse(cmd->input, &ops, env->out))
		return NULL;
	struct raft_conf_change_v2 v2 = {transition_arg(cmd), ops.changes.at, ops.changes.count, {0}};
	if (!v1 || !dd_bool(cmd, v1->values[0])) {
		err = raft_propose_conf_change_v2(r, &v2);
	} else if (v2.change_count == 1 && v2.transition == CONF_TRANSITION_AUTO) {
		struct raft_conf_change cc = {.type = v2.changes[0].type, .node_id = v2.changes[0].node_id};

		err = raft_propose_conf_change(r, &cc);
	} else {
		conf_ops_fini(&ops);
		return "v1 conf change can only have one operation and no transition";
	}
	conf_ops_fini(&ops);
	return err ? err_text(err) : NULL;
}

static const char *cmd_transfer_leadership(struct env *env, const struct dd_command *cmd)
{
	const struct dd_arg *from = dd_find_arg(cmd, "from"), *to = dd_find_arg(cmd, "to");

	if (!from || !to)
		dd_bad_command(cmd, "from or to missing");
	raft_transfer_leader(env_node(env, dd_uint(cmd, from->values[0]))->raft, dd_uint(cmd, to->values[0]));
	return NULL;
}

static const char *cmd_forget_leader(struct env *env, const struct dd_command *cmd)
{
	raft_forget_leader(node_arg(env, cmd)->raft);
	return NULL;
}

static const char *cmd_report_unreachable(struct env *env, const struct dd_command *cmd)
{
	raft_report_unreachable(node_arg(env, cmd)->raft, id_arg(cmd, 1));
	return NULL;
}

/* A snapshot that raft knows nothing of. */
static const char *cmd_send_snapshot(struct env *env, const struct dd_command *cmd)
{
	struct env_node *n = node_arg(env, cmd);
	struct raft_message m = {
		.type = MSG_SNAP, .from = n->config.id, .to = id_arg(cmd, 1), .term = raft_term(n->raft)};
	struct buf text;

	m.snapshot = NEW(struct raft_snapshot);
	raft_snapshot_copy(m.snapshot, &n->newest);
	buf_init(&text, 1 << 20);
	raft_message_print(&m, "", &text);
	env_printf(env, "%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
	env_push(env, m);
	return NULL;
}

/* ---- work and messages ---- */

static void process_each(struct env *env, const struct dd_command *cmd, const char *title,
			 void (*process)(struct env *, struct env_node *))
{
	struct node_list l = nodes_arg(env, cmd);
	struct buf inner, *outer;

	for (size_t i = 0; i < l.count; i++) {
		if (l.count == 1) {
			process(env, l.at[i]);
			return;
		}
		env_printf(env, "> %" PRIu64 " %s\n", l.at[i]->config.id, title);
		outer = env_indent(env, &inner);
		process(env, l.at[i]);
		env_unindent(env, outer);
	}
}

static const char *cmd_process_ready(struct env *env, const struct dd_command *cmd)
{
	process_each(env, cmd, "handling Ready", env_process_ready);
	return NULL;
}

static const char *cmd_process_append(struct env *env, const struct dd_command *cmd)
{
	process_each(env, cmd, "processing append thread", env_process_append);
	return NULL;
}

static const char *cmd_process_apply(struct env *env, const struct dd_command *cmd)
{
	process_each(env, cmd, "processing apply thread", env_process_apply);
	return NULL;
}

static int type_arg(const struct dd_command *cmd)
{
	const struct dd_arg *arg = dd_find_arg(cmd, "type");

	for (int t = 0; arg && t < RAFT_MSG_TYPE_COUNT; t++) {
		if (strcmp(raft_msg_type_name((enum raft_msg_type)t), arg->values[0]) == 0)
			return t;
	}
	if (arg)
		dd_bad_command(cmd, "unknown message type %s", arg->values[0]);
	return -1;
}

static const char *cmd_deliver_msgs(struct env *env, const struct dd_command *cmd)
{
	int type = type_arg(cmd);
	size_t count = 0;

	for (size_t i = 0; i < cmd->arg_count; i++) {
		const struct dd_arg *arg = &cmd->args[i];

		if (arg->value_count == 0)
			count += env_deliver(env, (struct env_recipient){id_arg(cmd, i), false}, type);
		for (size_t k = 0; strcmp(arg->key, "drop") == 0 && k < arg->value_count; k++)
			count += env_deliver(env, (struct env_recipient){dd_uint(cmd, arg->values[k]), true}, type);
	}
	if (count == 0)
		env_printf(env, "no messages\n");
	return NULL;
}

static const char *set_level(struct env *env, const char *name)
{
	static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcasecmp(names[i], name) == 0) {
			env->level = (int)i;
			return NULL;
		}
	}
	return "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]";
}

static const char *cmd_log_level(struct env *env, const struct dd_command *cmd)
{
	if (cmd->arg_count != 1)
		dd_bad_command(cmd, "level missing");
	return set_level(env, cmd->args[0].key);
}

static const char *cmd_stabilize(struct env *env, const struct dd_command *cmd)
{
	struct node_list l = nodes_arg(env, cmd);
	const struct dd_arg *level = dd_find_arg(cmd, "log-level");
	int old = env->level;
	const char *err = level ? set_level(env, level->values[0]) : NULL;

	if (!err && l.count)
		env_stabilize(env, l.at, l.count);
	else if (!err)
		env_stabilize(env, env->nodes, env->node_count);
	env->level = old;
	return err;
}

/* ---- commands that upstream's transcripts do not have ---- */

static const char *cmd_config(struct env *env, const struct dd_command *cmd)
{
	struct raft_config *c = &env->options;

	for (size_t i = 0; i < cmd->arg_count; i++) {
		const char *key = cmd->args[i].key, *value = cmd->args[i].values[0];

		if (strcmp(key, "max-size-per-msg") == 0)
			c->max_size_per_msg = dd_uint(cmd, value);
		else if (strcmp(key, "max-uncommitted-size") == 0)
			c->max_uncommitted_entries_size = dd_uint(cmd, value);
		else if (strcmp(key, "max-inflight-bytes") == 0)
			c->max_inflight_bytes = dd_uint(cmd, value);
		else if (strcmp(key, "election-ticks") == 0)
			c->election_ticks = (uint32_t)dd_uint(cmd, value);
		else if (strcmp(key, "disable-proposal-forwarding") == 0)
			c->disable_proposal_forwarding = dd_bool(cmd, value);
		else
			dd_bad_command(cmd, "unknown option %s", key);
	}
	return NULL;
}

static const char *cmd_tick(struct env *env, const struct dd_command *cmd)
{
	tick(env, cmd, (uint32_t)id_arg(cmd, 1));
	return NULL;
}

static const char *cmd_read_index(struct env *env, const struct dd_command *cmd)
{
	if (cmd->arg_count != 2)
		dd_bad_command(cmd, "read-index takes a node and a word");
	raft_read_index(node_arg(env, cmd)->raft, blob_copy(slice_str(cmd->args[1].key)));
	return NULL;
}

static const char *cmd_report_snapshot(struct env *env, const struct dd_command *cmd)
{
	raft_report_snapshot(node_arg(env, cmd)->raft, id_arg(cmd, 1), dd_find_arg(cmd, "failed") != NULL);
	return NULL;
}

static const char *cmd_close_snapshots(struct env *env, const struct dd_command *cmd)
{
	node_arg(env, cmd)->snapshots_closed = true;
	return NULL;
}

static const char *cmd_open_snapshots(struct env *env, const struct dd_command *cmd)
{
	node_arg(env, cmd)->snapshots_closed = false;
	return NULL;
}

static const char *cmd_bootstrap(struct env *env, const struct dd_command *cmd)
{
	VEC(struct raft_peer) peers = {0};
	struct buf contexts;

	buf_init(&contexts, 1 << 20);
	for (size_t i = 1; i < cmd->arg_count; i++)
		buf_printf(&contexts, "ctx%s", cmd->args[i].key);
	const uint8_t *at = contexts.data;
	for (size_t i = 1; i < cmd->arg_count; i++) {
		size_t size = 3 + strlen(cmd->args[i].key);

		VEC_PUSH(&peers, ((struct raft_peer){id_arg(cmd, i), slice_of(at, size)}));
		at += size;
	}
	err_t err = raft_bootstrap(node_arg(env, cmd)->raft, peers.at, peers.count);
	VEC_FREE(&peers);
	buf_fini(&contexts);
	return err ? err_text(err) : NULL;
}

static const char *cmd_restart(struct env *env, const struct dd_command *cmd)
{
	const struct dd_arg *applied = dd_find_arg(cmd, "applied");

	env_restart(env, node_arg(env, cmd), applied ? dd_uint(cmd, applied->values[0]) : 0);
	return NULL;
}

static const char *cmd_progress(struct env *env, const struct dd_command *cmd)
{
	const struct raft *r = node_arg(env, cmd)->raft;
	struct buf text;

	buf_init(&text, 1 << 20);
	raft_configuration_print(r, &text);
	env_printf(env, "%.*s commit=%" PRIu64 " applied=%" PRIu64 "\n", SLICE_ARG(buf_slice(&text)), raft_commit(r),
		   raft_applied(r));
	buf_fini(&text);
	return NULL;
}

/* term/index/data */
static struct raft_entry parse_entry(const struct dd_command *cmd, const char *text)
{
	struct raft_entry e = {0};
	int size = 0;

	if (sscanf(text, "%" SCNu64 "/%" SCNu64 "/%n", &e.term, &e.index, &size) != 2 || size == 0)
		dd_bad_command(cmd, "not an entry: %s", text);
	e.data = blob_copy(slice_str(text + size));
	return e;
}

static void parse_entries(const struct dd_command *cmd, const struct dd_arg *arg, struct raft_message *m)
{
	m->entry_count = arg->value_count;
	m->entries = NEW_ARRAY(struct raft_entry, m->entry_count);
	for (size_t i = 0; i < m->entry_count; i++)
		m->entries[i] = parse_entry(cmd, arg->values[i]);
}

static void parse_field(const struct dd_command *cmd, const struct dd_arg *arg, struct raft_message *m)
{
	const struct {
		const char *key;
		uint64_t *value;
	} numbers[] = {
		{"from", &m->from},       {"term", &m->term},     {"index", &m->index},
		{"logterm", &m->log_term}, {"commit", &m->commit}, {"hint", &m->reject_hint},
	};
	const char *value = arg->value_count ? arg->values[0] : "";

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (strcmp(arg->key, numbers[i].key) == 0) {
			*numbers[i].value = dd_uint(cmd, value);
			return;
		}
	}
	if (strcmp(arg->key, "reject") == 0) {
		m->reject = dd_bool(cmd, value);
	} else if (strcmp(arg->key, "context") == 0) {
		m->context = blob_copy(slice_str(value));
	} else if (strcmp(arg->key, "entries") == 0) {
		parse_entries(cmd, arg, m);
	} else if (strcmp(arg->key, "data") == 0) {
		m->entry_count = 1;
		m->entries = NEW(struct raft_entry);
		m->entries[0].data = blob_copy(slice_str(value));
	} else if (strcmp(arg->key, "type") != 0) {
		dd_bad_command(cmd, "unknown field %s", arg->key);
	}
}

/* A message out of the blue. */
static const char *cmd_step(struct env *env, const struct dd_command *cmd)
{
	struct raft_message m = {.type = (enum raft_msg_type)type_arg(cmd), .to = id_arg(cmd, 0)};

	for (size_t i = 1; i < cmd->arg_count; i++)
		parse_field(cmd, &cmd->args[i], &m);
	err_t err = raft_step(node_arg(env, cmd)->raft, &m);
	return err ? err_text(err) : NULL;
}

static const char *cmd_breakpoint(struct env *env, const struct dd_command *cmd)
{
	return NULL;
}

static const struct {
	const char *name;
	const char *(*run)(struct env *env, const struct dd_command *cmd);      /* NULL, or what went wrong */
} commands[] = {
	{"_breakpoint", cmd_breakpoint},
	{"add-nodes", cmd_add_nodes},
	{"campaign", cmd_campaign},
	{"compact", cmd_compact},
	{"deliver-msgs", cmd_deliver_msgs},
	{"forget-leader", cmd_forget_leader},
	{"log-level", cmd_log_level},
	{"process-append-thread", cmd_process_append},
	{"process-apply-thread", cmd_process_apply},
	{"process-ready", cmd_process_ready},
	{"propose", cmd_propose},
	{"propose-conf-change", cmd_propose_conf_change},
	{"raft-log", cmd_raft_log},
	{"raft-state", cmd_raft_state},
	{"report-unreachable", cmd_report_unreachable},
	{"send-snapshot", cmd_send_snapshot},
	{"set-randomized-election-timeout", cmd_set_election_timeout},
	{"stabilize", cmd_stabilize},
	{"status", cmd_status},
	{"tick-election", cmd_tick_election},
	{"tick-heartbeat", cmd_tick_heartbeat},
	{"transfer-leadership", cmd_transfer_leadership},

	{"bootstrap", cmd_bootstrap},
	{"close-snapshots", cmd_close_snapshots},
	{"config", cmd_config},
	{"open-snapshots", cmd_open_snapshots},
	{"progress", cmd_progress},
	{"read-index", cmd_read_index},
	{"report-snapshot", cmd_report_snapshot},
	{"restart", cmd_restart},
	{"step", cmd_step},
	{"tick", cmd_tick},
};

static void handle(void *ctx, const struct dd_command *cmd, struct buf *out)
{
	struct env *env = ctx;
	const char *err = "unknown command";

	env->out = out;
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
		if (strcmp(commands[i].name, cmd->name) == 0) {
			err = commands[i].run(env, cmd);
			break;
		}
	}
	if (err && env_quiet(env))
		buf_clear(out);
	if (err)
		buf_printf(out, "%s", err);
	if (out->size == 0)
		buf_printf(out, "ok");
}

static void *open_env(void)
{
	return env_new();
}

static void close_env(void *ctx)
{
	env_free(ctx);
}

int main(int argc, char **argv)
{
	return dd_main(argc, argv, &(struct dd_runner){open_env, close_env, handle});
}
