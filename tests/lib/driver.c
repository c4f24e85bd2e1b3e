#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

#include "obs/log.h"

enum { ANSWER_MAX = 256 << 20 };

static void hook_random(void *arg, void *out, size_t size)
{
	struct driver *d = arg;

	for (size_t i = 0; i < size; i++) {
		d->random = d->random * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)out)[i] = (uint8_t)(d->random >> 40);
	}
}

static int64_t hook_wall_ns(void *arg)
{
	return 1700000000000000000 + (int64_t)sched_now_ns(((struct driver *)arg)->sched);
}

static void hook_ready(void *arg)
{
	((struct driver *)arg)->ready = true;
}

static void hook_watch_output(void *arg, uint32_t port, struct watch_batch *take_b)
{
	api_watch_output(((struct driver *)arg)->io, take_b);
}

void driver_quiet(void)
{
	static const char *const outputs[] = {"stderr"};
	struct log_config c = {.level = LOG_LEVEL_ERROR, .outputs = outputs, .outputs_count = 1};

	if (!getenv("TEST_LOG") && log_setup(&c, NULL))
		UNREACHABLE();
}

/* The operating system's files, but asynchronous writes end where they begin: one thread. */
static struct vfs_ops here_ops;
static struct vfs here = {&here_ops};

static err_t here_open(struct vfs *fs, const char *path, int flags, uint32_t mode, struct vfs_file **out)
{
	err_t err = vfs_posix()->ops->open(vfs_posix(), path, flags, mode, out);

	if (!err)
		(*out)->fs = &here;
	return err;
}

static void here_start(struct vfs_io *io)
{
	io->err = io->data.size ? vfs_pwrite(io->file, io->offset, io->data.data, io->data.size) : OK;
	if (!io->err && io->sync)
		io->err = vfs_sync(io->file);
	io->done(io);
}

struct vfs *driver_vfs_posix(void)
{
	here_ops = *vfs_posix()->ops;
	here_ops.open = here_open;
	here_ops.start = here_start;
	return &here;
}

static bool sink_send(void *sink, const struct slice *parts, size_t count)
{
	struct driver *d = sink;
	size_t mark = pb_begin(&d->messages, 1);

	buf_clear(&d->answer);
	for (size_t i = 0; i < count; i++) {
		buf_put_slice(&d->answer, parts[i]);
		buf_put_slice(&d->messages, parts[i]);
	}
	pb_end(&d->messages, mark);
	return true;
}

static void sink_begin(void *sink, size_t total)
{
	struct driver *d = sink;

	buf_clear(&d->answer);
	pb_put_varint(&d->messages, 1 << 3 | PB_BYTES);
	pb_put_varint(&d->messages, total);
}

static bool sink_part(void *sink, struct slice part)
{
	struct driver *d = sink;

	buf_put_slice(&d->answer, part);
	buf_put_slice(&d->messages, part);
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

static void sink_pause(void *sink, bool paused)
{
}

static void sink_finish(void *sink, err_t err, const char *text)
{
	struct driver *d = sink;

	d->done = true;
	d->err = err;
	snprintf(d->text, sizeof(d->text), "%s", text ? text : err_text(err));
}

static const struct api_sink_ops sink_ops = {sink_send, sink_begin, sink_part, sink_writable, sink_unsent, sink_pause, sink_finish};

static void io_receive(void *self, struct msg *m)
{
	api_receive(((struct driver *)self)->io, m);
}

static const struct actor_ops io_ops = {io_receive, NULL};

static void driver_free(struct driver *d)
{
	sched_free(d->sched);
	buf_fini(&d->answer);
	buf_fini(&d->messages);
	mem_free(d);
}

struct driver *driver_open(struct vfs *fs, const char *dir, const struct node_config *base, struct why *why)
{
	static const char *const peers[] = {"http://localhost:2380"}, *const clients[] = {"http://localhost:2379"};
	struct driver *d = NEW(struct driver);
	struct node_config c = base ? *base : (struct node_config){0};
	struct api_opts o = {.request_bytes_max = 1572864, .txn_ops_max = 128, .token_kind = base ? base->token_kind : TOKEN_NONE};

	d->sched = sched_sim_new(7);
	d->random = 1;
	buf_init(&d->answer, ANSWER_MAX);
	buf_init(&d->messages, ANSWER_MAX);
	c.sched = d->sched;
	c.fs = fs;
	c.hooks = (struct node_hooks){d, hook_random, hook_wall_ns, NULL, hook_ready, hook_watch_output};
	c.data_dir = dir;
	if (!c.name) {
		c.name = "default";
		c.peer_urls = peers;
		c.client_urls = clients;
		c.peer_url_count = c.client_url_count = 1;
		c.initial_cluster = "default=http://localhost:2380";
		c.initial_token = "etcd-cluster";
	}
	c.heartbeat_ms = c.heartbeat_ms ? c.heartbeat_ms : 100;
	c.election_ms = c.election_ms ? c.election_ms : 1000;
	c.snapshot_count = c.snapshot_count ? c.snapshot_count : 10000;
	c.snapshot_catchup_entries = c.snapshot_catchup_entries ? c.snapshot_catchup_entries : 5000;
	c.request_bytes_max = o.request_bytes_max;
	c.txn_ops_max = o.txn_ops_max;
	c.watch_ports = 1;
	c.pre_vote = true;
	if (node_open(&c, why, &d->node)) {
		driver_free(d);
		return NULL;
	}
	d->api = api_new(d->node, &o);
	d->io_actor = actor_new(d->sched, "io", &io_ops, d, ACTOR_OWN_THREAD);
	d->io = api_io_new(d->api, d->io_actor, 0);
	node_start(d->node);
	for (int i = 0; i < 100 && !d->ready; i++)
		driver_run(d, 100000000);
	ASSERT(d->ready);
	return d;
}

void driver_run(struct driver *d, uint64_t ns)
{
	uint64_t until = sched_now_ns(d->sched) + ns;

	while (sched_sim_step(d->sched, until))
		;
}

void driver_start_and_cancel(struct driver *d, enum rpc method, struct slice body)
{
	struct api_meta meta = {.has_token = d->token.size > 0, .token = d->token};
	struct api_rpc *r = api_begin(d->io, method, &sink_ops, d, &meta);

	api_message(r, blob_copy(body));
	api_cancel(r);
	driver_run(d, 1000000000);
	ASSERT(api_io_idle(d->io));
}

err_t driver_call(struct driver *d, enum rpc method, struct slice body, struct slice *answer)
{
	struct api_meta meta = {.has_token = d->token.size > 0, .token = d->token};
	uint64_t until = sched_now_ns(d->sched) + UINT64_C(60000000000);
	struct api_rpc *r = api_begin(d->io, method, &sink_ops, d, &meta);

	d->done = false;
	buf_clear(&d->answer);
	buf_clear(&d->messages);
	api_message(r, blob_copy(body));
	while (!d->done && sched_sim_step(d->sched, until))
		;
	if (!d->done) {
		api_cancel(r);
		return ERR_AGAIN;
	}
	if (answer)
		*answer = buf_slice(&d->answer);
	return d->err;
}

void driver_kill(struct driver *d)
{
	sched_sim_drop(d->sched, 0);
	api_io_abandon(d->io);
	actor_free(d->io_actor);
	node_close(d->node);
	api_free(d->api);
	driver_free(d);
}

void driver_close(struct driver *d)
{
	node_stop(d->node);
	for (int i = 0; i < 1000 && !node_stopped(d->node); i++)
		driver_run(d, 10000000);
	ASSERT(node_stopped(d->node));
	ASSERT(api_io_idle(d->io));
	api_io_free(d->io);
	actor_free(d->io_actor);
	node_close(d->node);
	api_free(d->api);
	driver_free(d);
}
