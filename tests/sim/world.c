#include "world.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIM_GO = 2000, SIM_RESP_MAX = 1 << 20 };

static struct world *running;           /* whose node is in a step: the fatal hook needs it */
static jmp_buf fatal_jump;
static bool fatal_armed;
static char fatal_line[1024];

static void on_fatal(const char *line)
{
	snprintf(fatal_line, sizeof(fatal_line), "%s", line);
	if (fatal_armed)
		longjmp(fatal_jump, 1);
	fprintf(stderr, "fatal outside a step (seed %llu): %s\n", running ? (unsigned long long)running->seed : 0, line);
	abort();
}

/* ---- hooks of the node ---- */

static void hook_random(void *arg, void *out, size_t size)
{
	struct world *w = arg;

	for (size_t i = 0; i < size; i++)
		((uint8_t *)out)[i] = (uint8_t)rng_next(&w->rng);
}

static int64_t hook_wall_ns(void *arg)
{
	struct world *w = arg;

	return 1700000000000000000 + (int64_t)sched_now_ns(w->sched);
}

static void hook_ready(void *arg)
{
	((struct world *)arg)->ready = true;
}

static void hook_watch_output(void *arg, uint32_t port, struct watch_batch *take_b)
{
	watch_batch_free(take_b);
}

/* ---- clients ---- */

static void client_later(struct sim_client *c)
{
	struct world *w = c->world;

	c->busy = false;
	if (w->quiet)
		return;
	c->go.kind = SIM_GO;
	sched_sim_post_at(w->sched, w->io_actor, &c->go, sched_now_ns(w->sched) + rng_below(&w->rng, 20000000));
}

static void note_range(struct sim_op *op, struct slice s)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&r, &f)) {
		struct kv kv;

		if (f.number == 2 && !kv_decode(f.bytes, &kv)) {
			op->value = kv.value.size == 8 ? *(const uint64_t *)kv.value.data : UINT64_MAX;
			op->mod_rev = kv.mod_rev;
		}
	}
}

static void note_header(struct sim_op *op, struct slice s)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f, g;

	while (pb_next(&r, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES) {
			struct pb_reader h = pb_reader_of(f.bytes);

			while (pb_next(&h, &g))
				if (g.number == 3)
					op->rev = (int64_t)g.value;
		} else if (f.number == 2 && f.wire == PB_VARINT && op->kind == SIM_DELETE) {
			op->changed = f.value > 0;
		}
	}
}

static bool sink_send(void *sink, const struct slice *parts, size_t count)
{
	struct sim_client *c = sink;

	buf_clear(&c->message);
	for (size_t i = 0; i < count; i++)
		buf_put_slice(&c->message, parts[i]);
	return true;
}

static void sink_send_begin(void *sink, size_t total)
{
	buf_clear(&((struct sim_client *)sink)->message);
}

static bool sink_send_part(void *sink, struct slice part)
{
	buf_put_slice(&((struct sim_client *)sink)->message, part);
	return true;
}

static bool sink_writable(void *sink)
{
	return true;
}

static size_t sink_unsent(void *sink)
{
	return 0;
}

static void sink_read_pause(void *sink, bool paused)
{
}

/* Errors that promise that nothing happened; all others leave it open. */
static bool surely_refused(err_t err)
{
	return err == ERR_TOO_MANY_REQUESTS || err == ERR_NO_SPACE;
}

static void sink_finish(void *sink, err_t err, const char *text)
{
	struct sim_client *c = sink;
	struct world *w = c->world;
	struct sim_op *op = &w->history.at[c->op];

	c->rpc = NULL;
	op->end_ns = sched_now_ns(w->sched);
	op->err = err;
	if (err) {
		op->end = surely_refused(err) ? SIM_REFUSED : SIM_UNKNOWN;
	} else {
		op->end = SIM_OK;
		note_header(op, buf_slice(&c->message));
		if (op->kind >= SIM_RANGE) {
			op->value = 0;
			note_range(op, buf_slice(&c->message));
			w->count.reads++;
		} else {
			w->count.acked++;
		}
	}
	client_later(c);
}

static const struct api_sink_ops sink_ops = {sink_send, sink_send_begin, sink_send_part, sink_writable, sink_unsent, sink_read_pause,
					     sink_finish};

static void client_go(struct sim_client *c)
{
	struct world *w = c->world;
	struct sim_op op = {.client = c->id, .key = (unsigned)rng_below(&w->rng, SIM_KEYS), .start_ns = sched_now_ns(w->sched)};
	uint64_t dice = rng_below(&w->rng, 100);
	struct api_meta meta = {0};
	enum rpc method = RPC_RANGE;
	struct buf body;
	char key[16];

	if (w->quiet)
		return;
	snprintf(key, sizeof(key), "key%u", op.key);
	buf_init(&body, 256);
	if (dice < 60) {
		op.kind = SIM_PUT;
		op.value = ++w->next_value;
		method = RPC_PUT;
		pb_put_bytes(&body, 1, slice_str(key));
		pb_put_bytes(&body, 2, slice_of(&op.value, 8));
	} else if (dice < 70) {
		op.kind = SIM_DELETE;
		method = RPC_DELETE_RANGE;
		pb_put_bytes(&body, 1, slice_str(key));
	} else {
		op.kind = dice < 95 ? SIM_RANGE : SIM_RANGE_SERIALIZABLE;
		pb_put_bytes(&body, 1, slice_str(key));
		pb_put_uint(&body, 7, op.kind == SIM_RANGE_SERIALIZABLE);
	}
	VEC_PUSH(&w->history, op);
	c->op = w->history.count - 1;
	c->busy = true;
	c->life = w->life;
	c->rpc = api_begin(w->io, method, &sink_ops, c, &meta);
	api_message(c->rpc, blob_copy(buf_slice(&body)));
	buf_fini(&body);
}

static void io_receive(void *self, struct msg *m)
{
	if (m->kind == SIM_GO)
		client_go(CONTAINER_OF(m, struct sim_client, go));
	else
		api_receive(((struct world *)self)->io, m);
}

static const struct actor_ops io_ops = {io_receive, NULL};

/* ---- life ---- */

struct world *world_new(uint64_t seed)
{
	struct world *w = NEW(struct world);

	w->seed = seed;
	rng_init(&w->rng, seed);
	w->sched = sched_sim_new(rng_next(&w->rng));
	w->disk = vfs_mem_new(rng_next(&w->rng));
	w->client_count = 1 + (unsigned)rng_below(&w->rng, SIM_CLIENTS_MAX);
	w->batch_ms = 5 + (uint32_t)rng_below(&w->rng, 200);
	w->snapshot_count = 10 + rng_below(&w->rng, 200);
	w->wal_segment_bytes = 4096 + rng_below(&w->rng, 60000);
	for (unsigned i = 0; i < SIM_CLIENTS_MAX; i++) {
		w->clients[i] = (struct sim_client){.world = w, .id = i};
		buf_init(&w->clients[i].message, SIM_RESP_MAX);
	}
	fatal_set_hook(on_fatal);
	return w;
}

void world_free(struct world *w)
{
	for (unsigned i = 0; i < SIM_CLIENTS_MAX; i++)
		buf_fini(&w->clients[i].message);
	if (!w->leaked)                         /* a node that died in a step still has its files open */
		vfs_mem_free(w->disk);
	sched_free(w->sched);
	VEC_FREE(&w->history);
	mem_free(w);
}

static struct node_config node_options(struct world *w)
{
	static const char *const peers[] = {"http://localhost:2380"}, *const clients[] = {"http://localhost:2379"};

	return (struct node_config){
		.sched = w->sched,
		.fs = vfs_mem_vfs(w->disk),
		.hooks = {w, hook_random, hook_wall_ns, NULL, hook_ready, hook_watch_output},
		.data_dir = "/data",
		.name = "default",
		.peer_urls = peers,
		.client_urls = clients,
		.peer_url_count = 1,
		.client_url_count = 1,
		.initial_cluster = "default=http://localhost:2380",
		.initial_token = "etcd-cluster",
		.heartbeat_ms = 100,
		.election_ms = 1000,
		.snapshot_count = w->snapshot_count,
		.snapshot_catchup_entries = 20,
		.request_bytes_max = 1572864,
		.txn_ops_max = 128,
		.backend_batch_ms = w->batch_ms,
		.wal_files_max = 3,
		.snap_files_max = 3,
		.wal_segment_bytes = w->wal_segment_bytes,
		.watch_ports = 1,
		.pre_vote = true,
	};
}

bool world_start(struct world *w, struct why *why)
{
	struct node_config nc = node_options(w);
	struct api_opts ao = {1572864, 128, 0};
	err_t err;

	running = w;
	w->life++;
	w->group++;
	w->ready = false;
	sched_sim_set_group(w->sched, w->group);
	fatal_armed = true;
	if (setjmp(fatal_jump)) {
		fatal_armed = false;
		actor_mark(NULL);
		w->node = NULL;
		w->leaked = true;
		why_set(why, ERR_IO, "%s", fatal_line);
		return false;
	}
	err = node_open(&nc, why, &w->node);
	fatal_armed = false;
	if (err) {
		w->node = NULL;
		return false;
	}
	w->api = api_new(w->node, &ao);
	w->io_actor = actor_new(w->sched, "io", &io_ops, w, ACTOR_OWN_THREAD);
	w->io = api_io_new(w->api, w->io_actor, 0);
	node_start(w->node);
	for (unsigned i = 0; i < w->client_count; i++)
		client_later(&w->clients[i]);
	return true;
}

bool world_run(struct world *w, uint64_t ns)
{
	uint64_t until = sched_now_ns(w->sched) + ns;

	running = w;
	if (setjmp(fatal_jump)) {
		fatal_armed = false;
		actor_mark(NULL);
		w->count.fatals++;
		w->died = w->leaked = true;
		return false;
	}
	fatal_armed = true;
	while (sched_sim_step(w->sched, until)) {
		w->count.steps++;
		if (vfs_mem_crashed(w->disk)) {
			fatal_armed = false;
			return false;
		}
	}
	fatal_armed = false;
	return true;
}

/* What was in flight may have happened or not. */
static void forget_calls(struct world *w)
{
	for (unsigned i = 0; i < w->client_count; i++) {
		struct sim_client *c = &w->clients[i];

		if (c->busy)
			w->history.at[c->op].end = SIM_UNKNOWN;
		c->busy = false;
		c->rpc = NULL;
	}
}

void world_crash(struct world *w)
{
	w->count.crashes++;
	forget_calls(w);
	if (w->died || !w->node) {
		sched_sim_kill(w->sched, w->group);     /* in the middle of a step: what it held is lost */
	} else {
		sched_sim_drop(w->sched, w->group);
		api_io_abandon(w->io);
		actor_free(w->io_actor);
		node_close(w->node);
		api_free(w->api);
	}
	w->died = false;
	w->node = NULL;
	w->api = NULL;
	w->io = NULL;
	w->io_actor = NULL;
	vfs_mem_crash(w->disk);
	vfs_mem_fault(w->disk, 0, VFS_FAULT_NONE);
}

void world_settle(struct world *w)
{
	w->quiet = true;
	for (int i = 0; i < 100; i++) {
		bool busy = false;

		for (unsigned k = 0; k < w->client_count; k++)
			busy |= w->clients[k].busy;
		if (!busy)
			break;
		if (!world_run(w, 1000000000))
			abort();
	}
}

void world_stop(struct world *w)
{
	world_settle(w);
	node_stop(w->node);
	while (!node_stopped(w->node))
		if (!world_run(w, 100000000))
			abort();
	ASSERT(api_io_idle(w->io));
	api_io_free(w->io);
	actor_free(w->io_actor);
	node_close(w->node);
	api_free(w->api);
	w->node = NULL;
}
