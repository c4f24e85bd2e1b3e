#include "raft_env.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 64 << 20 };

/* ---- output ---- */

bool env_quiet(const struct env *env)
{
	return env->level == ENV_LEVEL_NONE;
}

void env_printf(struct env *env, const char *fmt, ...)
{
	char *text;
	va_list ap;

	if (env_quiet(env))
		return;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	ASSERT(n >= 0);
	buf_put(env->out, text, (size_t)n);
	free(text);
}

struct buf *env_indent(struct env *env, struct buf *inner)
{
	struct buf *outer = env->out;

	buf_init(inner, TEXT_MAX);
	env->out = inner;
	return outer;
}

void env_unindent(struct env *env, struct buf *outer)
{
	struct buf *inner = env->out;

	for (size_t at = 0; at < inner->size;) {
		const uint8_t *nl = memchr(inner->data + at, '\n', inner->size - at);
		size_t size = (nl ? (size_t)(nl - inner->data) : inner->size) - at;

		buf_printf(outer, "  %.*s\n", (int)size, (const char *)inner->data + at);
		at += size + 1;
	}
	buf_fini(inner);
	env->out = outer;
}

static void print_message(struct env *env, const struct raft_message *m, const char *tail)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	raft_message_print(m, "", &text);
	env_printf(env, "%.*s%s", SLICE_ARG(buf_slice(&text)), tail);
	buf_fini(&text);
}

static void print_log_line(void *ctx, enum raft_log_level level, const char *text)
{
	static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
	struct env *env = ctx;

	if ((int)level >= env->level)
		env_printf(env, "%s %s\n", names[level], text);
}

/* ---- storage: that of the node, with snapshots from its state machine ---- */

static struct env_node *node_of(struct raft_storage *s)
{
	return CONTAINER_OF(s, struct env_node, base);
}

static struct raft_storage *mem_of(struct raft_storage *s)
{
	return raft_mem_storage_base(node_of(s)->mem);
}

static void get_initial_state(struct raft_storage *s, struct raft_hard_state *hs, const struct raft_conf_state **cs)
{
	mem_of(s)->ops->initial_state(mem_of(s), hs, cs);
}

static err_t get_entries(struct raft_storage *s, uint64_t lo, uint64_t hi, uint64_t size_max,
			 const struct raft_entry **out, size_t *count)
{
	return mem_of(s)->ops->entries(mem_of(s), lo, hi, size_max, out, count);
}

static err_t get_term(struct raft_storage *s, uint64_t index, uint64_t *out)
{
	return mem_of(s)->ops->term(mem_of(s), index, out);
}

static uint64_t get_first_index(struct raft_storage *s)
{
	return raft_mem_storage_first_index(node_of(s)->mem);
}

static uint64_t get_last_index(struct raft_storage *s)
{
	return raft_mem_storage_last_index(node_of(s)->mem);
}

static err_t get_snapshot(struct raft_storage *s, const struct raft_snapshot **out)
{
	if (node_of(s)->snapshots_closed)
		return ERR_RAFT_SNAPSHOT_UNAVAILABLE;
	*out = &node_of(s)->newest;
	return OK;
}

static const struct raft_storage_ops storage_ops = {
	.initial_state = get_initial_state,
	.entries = get_entries,
	.term = get_term,
	.first_index = get_first_index,
	.last_index = get_last_index,
	.snapshot = get_snapshot,
};

/* ---- life ---- */

struct env *env_new(void)
{
	struct env *env = NEW(struct env);

	env->options = (struct raft_config){
		.election_ticks = 3,
		.heartbeat_ticks = 1,
		.max_size_per_msg = RAFT_NO_LIMIT,
		.max_inflight_msgs = INT32_MAX,
		.only_voter_reads_at_once = true,
	};
	return env;
}

static void free_messages(env_messages *v)
{
	for (size_t i = 0; i < v->count; i++)
		raft_message_fini(&v->at[i]);
	VEC_FREE(v);
}

static void free_node(struct env_node *n)
{
	raft_ready_fini(&n->ready);
	raft_free(n->raft);
	raft_mem_storage_free(n->mem);
	free_messages(&n->append_work);
	free_messages(&n->apply_work);
	raft_snapshot_fini(&n->newest);
	mem_free(n);
}

void env_free(struct env *env)
{
	for (size_t i = 0; i < env->node_count; i++)
		free_node(env->nodes[i]);
	free_messages(&env->messages);
	mem_free(env);
}

struct env_node *env_node(struct env *env, uint64_t id)
{
	ASSERT(id >= 1 && id <= env->node_count);
	return env->nodes[id - 1];
}

const char *env_add_node(struct env *env, const struct raft_config *config, const struct raft_snapshot *snap)
{
	struct env_node *n;

	if (snap && snap->index <= 1)
		return "index must be specified as > 1 due to bootstrap";
	ASSERT(env->node_count < ENV_NODES_MAX);
	n = NEW(struct env_node);
	n->base.ops = &storage_ops;
	n->env = env;
	n->mem = raft_mem_storage_new();
	env->nodes[env->node_count++] = n;
	if (snap) {
		err_t err = raft_mem_storage_apply_snapshot(n->mem, snap);

		ASSERT(err == OK);
		raft_snapshot_copy(&n->newest, snap);
	}
	n->config = *config;
	n->config.id = env->node_count;
	n->config.storage = &n->base;
	n->config.random_seed = env->node_count;
	n->config.log = print_log_line;
	n->config.log_ctx = env;
	n->raft = raft_new(&n->config);
	return NULL;
}

void env_restart(struct env *env, struct env_node *n, uint64_t applied)
{
	free_messages(&n->append_work);
	free_messages(&n->apply_work);
	raft_free(n->raft);
	n->config.applied = applied;
	n->raft = raft_new(&n->config);
}

/* ---- work ---- */

void env_push(struct env *env, struct raft_message take)
{
	VEC_PUSH(&env->messages, take);
}

static void store(struct env_node *n, const struct raft_hard_state *hs, const struct raft_entry *entries, size_t count,
		  const struct raft_snapshot *snap)
{
	if (hs->term || hs->vote || hs->commit)
		raft_mem_storage_set_hard_state(n->mem, hs);
	if (snap && snap->index) {
		ASSERT(count == 0);
		err_t err = raft_mem_storage_apply_snapshot(n->mem, snap);
		if (err)
			env_printf(n->env, "%s", err_text(err));
		return;
	}
	raft_mem_storage_append(n->mem, entries, count);
}

/* The next image: the bytes of the entry behind those of all before. */
static void grow_image(struct env_node *n, const struct raft_entry *e, struct slice update, const struct raft_conf_state *cs)
{
	struct raft_snapshot next = {.index = e->index, .term = e->term};
	struct slice old = blob_slice(n->newest.data);

	next.data = blob_new(old.size + update.size);
	memcpy(next.data->data, old.size ? (const void *)old.data : "", old.size);
	memcpy(next.data->data + old.size, update.size ? (const void *)update.data : "", update.size);
	raft_conf_state_copy(&next.conf_state, cs ? cs : &n->newest.conf_state);
	raft_snapshot_fini(&n->newest);
	n->newest = next;
}

static void apply(struct env_node *n, const struct raft_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct slice data = blob_slice(entries[i].data);
		struct raft_conf_change cc;
		struct raft_conf_change_v2 v2;
		err_t err;

		switch (entries[i].type) {
		case ENTRY_CONF_CHANGE:
			err = raft_conf_change_decode(data, &cc);
			ASSERT(err == OK);
			grow_image(n, &entries[i], cc.context, raft_apply_conf_change(n->raft, &cc));
			break;
		case ENTRY_CONF_CHANGE_V2:
			err = raft_conf_change_v2_decode(data, &v2);
			ASSERT(err == OK);
			grow_image(n, &entries[i], v2.context, raft_apply_conf_change_v2(n->raft, &v2));
			raft_conf_change_v2_fini(&v2);
			break;
		default:
			grow_image(n, &entries[i], data, NULL);
		}
	}
}

static void sort_message(struct env *env, struct env_node *n, struct raft_message m)
{
	if (m.to == RAFT_APPEND_THREAD)
		VEC_PUSH(&n->append_work, m);
	else if (m.to == RAFT_APPLY_THREAD)
		VEC_PUSH(&n->apply_work, m);
	else
		env_push(env, m);
}

void env_process_ready(struct env *env, struct env_node *n)
{
	static const struct raft_hard_state none;
	struct raft_ready *rd = &n->ready;
	struct buf text;

	raft_ready(n->raft, rd);
	buf_init(&text, TEXT_MAX);
	raft_ready_print(rd, &text);
	env_printf(env, "%.*s", SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);

	if (!n->config.async_storage_writes) {
		store(n, rd->has_hard_state ? &rd->hard_state : &none, rd->entries, rd->entry_count, rd->snapshot);
		apply(n, rd->committed_entries, rd->committed_entry_count);
	}
	for (size_t i = 0; i < rd->message_count; i++)
		sort_message(env, n, raft_message_take(&rd->messages[i]));
	raft_ready_clear(rd);
	if (!n->config.async_storage_writes)
		raft_advance(n->raft);
	raft_check(n->raft);
}

static struct raft_message take_first(env_messages *v)
{
	struct raft_message m = v->at[0];

	v->count--;
	memmove(v->at, v->at + 1, v->count * sizeof(*v->at));
	return m;
}

/* Prints m without its responses, does the work, prints the responses and sends them. */
static void process(struct env *env, struct env_node *n, struct raft_message m, void (*work)(struct env_node *, const struct raft_message *))
{
	struct raft_message *responses = m.responses;
	size_t count = m.response_count;

	m.responses = NULL;
	m.response_count = 0;
	env_printf(env, "Processing:\n");
	print_message(env, &m, "\n");
	work(n, &m);
	raft_message_fini(&m);
	env_printf(env, "Responses:\n");
	for (size_t i = 0; i < count; i++) {
		print_message(env, &responses[i], "\n");
		env_push(env, responses[i]);
	}
	mem_free(responses);
}

static void append_work(struct env_node *n, const struct raft_message *m)
{
	store(n, &(struct raft_hard_state){.term = m->term, .vote = m->vote, .commit = m->commit}, m->entries,
	      m->entry_count, m->snapshot);
}

static void apply_work(struct env_node *n, const struct raft_message *m)
{
	apply(n, m->entries, m->entry_count);
}

void env_process_append(struct env *env, struct env_node *n)
{
	if (n->append_work.count)
		process(env, n, take_first(&n->append_work), append_work);
	else
		env_printf(env, "no append work to perform");
}

void env_process_apply(struct env *env, struct env_node *n)
{
	if (n->apply_work.count)
		process(env, n, take_first(&n->apply_work), apply_work);
	else
		env_printf(env, "no apply work to perform");
}

/* ---- the wire ---- */

static bool is_local(const struct raft_message *m)
{
	return m->from == m->to || m->from >= RAFT_APPLY_THREAD || m->to >= RAFT_APPLY_THREAD;
}

static bool is_for(const struct raft_message *m, struct env_recipient to, int type)
{
	return m->to == to.id && !(to.drop && is_local(m)) && (type < 0 || (int)m->type == type);
}

bool env_has_messages(const struct env *env, uint64_t id)
{
	for (size_t i = 0; i < env->messages.count; i++) {
		if (env->messages.at[i].to == id)
			return true;
	}
	return false;
}

size_t env_deliver(struct env *env, struct env_recipient to, int type)
{
	env_messages mine = {0};
	size_t kept = 0;

	for (size_t i = 0; i < env->messages.count; i++) {
		struct raft_message m = env->messages.at[i];

		if (is_for(&m, to, type))
			VEC_PUSH(&mine, m);
		else
			env->messages.at[kept++] = m;
	}
	env->messages.count = kept;

	size_t count = mine.count;
	for (size_t i = 0; i < count; i++) {
		if (to.drop)
			env_printf(env, "dropped: ");
		print_message(env, &mine.at[i], "\n");
		if (to.drop)
			continue;
		struct env_node *n = env_node(env, to.id);
		err_t err = raft_step(n->raft, &mine.at[i]);
		if (err)
			env_printf(env, "%s\n", err_text(err));
		raft_check(n->raft);
	}
	free_messages(&mine);
	return count;
}

/* ---- stabilize ---- */

static bool stabilize_ready(struct env *env, struct env_node *n)
{
	struct buf inner, *outer;

	if (!raft_has_ready(n->raft))
		return false;
	env_printf(env, "> %" PRIu64 " handling Ready\n", n->config.id);
	outer = env_indent(env, &inner);
	env_process_ready(env, n);
	env_unindent(env, outer);
	return true;
}

static bool stabilize_messages(struct env *env, struct env_node *n)
{
	struct buf inner, *outer;

	if (!env_has_messages(env, n->config.id))
		return false;
	env_printf(env, "> %" PRIu64 " receiving messages\n", n->config.id);
	outer = env_indent(env, &inner);
	env_deliver(env, (struct env_recipient){.id = n->config.id}, -1);
	env_unindent(env, outer);
	return true;
}

static bool stabilize_work(struct env *env, struct env_node *n, const char *name, const env_messages *work,
			   void (*process_one)(struct env *, struct env_node *))
{
	struct buf inner, *outer;

	if (work->count == 0)
		return false;
	env_printf(env, "> %" PRIu64 " processing %s thread\n", n->config.id, name);
	while (work->count) {
		outer = env_indent(env, &inner);
		process_one(env, n);
		env_unindent(env, outer);
	}
	return true;
}

void env_stabilize(struct env *env, struct env_node *const *nodes, size_t count)
{
	for (bool busy = true; busy;) {
		busy = false;
		for (size_t i = 0; i < count; i++)
			busy |= stabilize_ready(env, nodes[i]);
		for (size_t i = 0; i < count; i++)
			busy |= stabilize_messages(env, nodes[i]);
		for (size_t i = 0; i < count; i++)
			busy |= stabilize_work(env, nodes[i], "append", &nodes[i]->append_work, env_process_append);
		for (size_t i = 0; i < count; i++)
			busy |= stabilize_work(env, nodes[i], "apply", &nodes[i]->apply_work, env_process_apply);
	}
}
