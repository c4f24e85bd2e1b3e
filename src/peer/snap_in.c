/* POST /raft/snapshot, receiving side: the message, then the database into a temporary file of the snapshot directory,
 * synced, renamed to %016x.snap.db; only then the message goes to raft and 204 back.
 *
 *	head ──message──> body ──[fill -> writing -> worker]*──> end of body ──sync, rename──> delivered
 *	   any failure, or the sender gone: the file is removed by the worker
 *
 *   R1  at most one job; what comes meanwhile waits in fill, and counts as unconsumed, so that reading pauses
 *   R2  freed when the request is closed and no job is under way */
#include <stdio.h>

#include "base/text.h"
#include "env/env.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "peer/peer_impl.h"
#include "snap/snap.h"

#define FILL_BYTES_MAX (8u << 20)       /* reading pauses long before: stream_window_bytes + one read */

enum work { WORK_WRITE, WORK_COMMIT, WORK_DROP };

struct snap_in {
	struct peer_set *set;
	struct http_req *req;           /* NULL: closed */
	struct snapshot_head head;
	bool has_message;
	bool body_ended;
	bool over;                      /* answered; the rest is ignored */
	struct raft_message message;
	char from[HEX_ID_SIZE];
	uint64_t size_bytes;            /* of the database so far */
	uint64_t started_ns;
	struct buf fill, writing;
	struct net_timer stall;
	/* the worker's while busy */
	struct job job;
	bool busy;
	enum work work;
	err_t err;
	struct vfs_file *file;
	char name[40];                  /* "tmp…" */
	uint64_t offset;
	bool exists;                    /* a file of that name */
	bool committed;
};

static struct snap_in *in_of(struct http_req *r)
{
	return r->user;
}

/* --- on a worker --- */

static char *file_path(const struct snap_in *n)
{
	return mem_printf("%s/%s", n->set->cfg.snap_dir, n->name);
}

static err_t open_file(struct snap_in *n)
{
	uint64_t random;
	char *path;
	err_t err;

	env_random(&random, sizeof(random));
	snprintf(n->name, sizeof(n->name), "tmp%llu", (unsigned long long)random);
	path = file_path(n);
	err = vfs_open(n->set->cfg.fs, path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, 0600, &n->file);
	n->exists = !err;
	mem_free(path);
	return err;
}

static err_t write_file(struct snap_in *n)
{
	err_t err = n->file ? OK : open_file(n);

	if (!err)
		err = vfs_pwrite(n->file, n->offset, n->writing.data, n->writing.size);
	if (!err)
		n->offset += n->writing.size;
	return err;
}

static err_t commit_file(struct snap_in *n)
{
	err_t err = n->file ? OK : open_file(n);        /* an empty database: not ours to judge */

	if (!err)
		err = vfs_sync(n->file);
	vfs_close(n->file);
	n->file = NULL;
	if (!err)
		err = snap_db_commit(n->set->cfg.fs, n->set->cfg.snap_dir, n->name, n->message.snapshot->index);
	n->exists = err != OK;
	return err;
}

static void drop_file(struct snap_in *n)
{
	char *path = file_path(n);

	vfs_close(n->file);
	n->file = NULL;
	if (vfs_remove(n->set->cfg.fs, path))
		LOG_WARN("failed to remove a cut-off snapshot", LOG_STR("path", path));
	n->exists = false;
	mem_free(path);
}

static bool work(struct job *j)
{
	struct snap_in *n = CONTAINER_OF(j, struct snap_in, job);

	switch (n->work) {
	case WORK_WRITE:
		n->err = write_file(n);
		break;
	case WORK_COMMIT:
		n->err = commit_file(n);
		break;
	case WORK_DROP:
		drop_file(n);
		break;
	}
	return true;
}

/* --- on the actor --- */

static uint32_t series(enum metric row, const struct snap_in *n)
{
	return metric_series(row, (const char *[]){n->from});
}

static void give_work(struct snap_in *n, enum work w)
{
	n->work = w;
	n->busy = true;                                                                 /* R1 */
	set_job(n->set, &n->job, work, K_SNAP_WRITTEN);
}

static void release(struct snap_in *n)
{
	if (n->req || n->busy)
		return;
	if (n->exists) {
		give_work(n, WORK_DROP);
		return;
	}
	n->set->snaps_in--;                                                             /* R2 */
	metric_move(series(METRIC_NETWORK_SNAPSHOT_RECEIVE_INFLIGHTS_TOTAL, n), -1);
	raft_message_fini(&n->message);
	snapshot_head_fini(&n->head);
	buf_fini(&n->fill);
	buf_fini(&n->writing);
	mem_free(n);
}

static void fail(struct snap_in *n, unsigned status, const char *text)
{
	n->over = true;
	net_timer_cancel(n->set->loop, &n->stall);
	LOG_ERROR("failed to receive database snapshot", LOG_STR("local-member-id", n->set->id_text),
		LOG_STR("remote-snapshot-sender-id", n->from), LOG_STR("error", text));
	metric_add(series(METRIC_NETWORK_SNAPSHOT_RECEIVE_FAILURES, n), 1);
	if (n->req)
		serve_raft_error(n->req, status, text);
}

static void fail_err(struct snap_in *n, unsigned status, const char *what, const char *why)
{
	char text[300];

	snprintf(text, sizeof(text), "%s (%s)", what, why);
	fail(n, status, text);
}

static void stalled(struct net_timer *t)
{
	struct snap_in *n = CONTAINER_OF(t, struct snap_in, stall);

	if (n->has_message)
		fail_err(n, 500, "failed to save KV snapshot", "i/o timeout");
	else
		fail_err(n, 400, "failed to decode raft message", "i/o timeout");
}

static void progress(struct snap_in *n)
{
	net_timer_set(n->set->loop, &n->stall, set_now_ms(n->set) + n->set->cfg.timing.stall_ms);
}

static void deliver(struct snap_in *n)
{
	n->over = n->committed = true;
	LOG_INFO("successfully saved database snapshot file", LOG_STR("remote-snapshot-sender-id", n->from),
		LOG_UINT("incoming-snapshot-index", n->message.snapshot->index), LOG_UINT("bytes", n->size_bytes));
	metric_add(series(METRIC_NETWORK_SNAPSHOT_RECEIVE_SUCCESS, n), 1);
	metric_observe(series(METRIC_NETWORK_SNAPSHOT_RECEIVE_TOTAL_DURATION_SECONDS, n), set_now_ns(n->set) - n->started_ns);
	if (!set_deliver(n->set, &n->message, n->size_bytes))
		serve_raft_error(n->req, 500, "failed to process raft message (rejected)");
	else
		serve_raft_empty(n->req, 204);
}

/* Starts what can be started. */
static void go_on(struct snap_in *n)
{
	if (n->busy || n->over || !n->has_message)
		return;
	if (n->fill.size) {
		struct buf filled = n->fill;

		n->fill = n->writing;
		n->writing = filled;
		buf_clear(&n->fill);
		net_timer_cancel(n->set->loop, &n->stall);      /* a slow disk is not the sender's fault */
		give_work(n, WORK_WRITE);
	} else if (n->body_ended && n->size_bytes > 0) {
		net_timer_cancel(n->set->loop, &n->stall);
		give_work(n, WORK_COMMIT);
	} else if (n->body_ended) {
		fail_err(n, 500, "failed to save KV snapshot", "the database is missing");
	} else {
		progress(n);
	}
}

void snap_in_written(struct job *j)
{
	struct snap_in *n = CONTAINER_OF(j, struct snap_in, job);
	size_t size = n->writing.size;

	n->busy = false;
	if (!n->req) {
		release(n);
		return;
	}
	buf_clear(&n->writing);
	if (n->work == WORK_WRITE)
		http_consumed(n->req, size);
	if (n->over)
		return;
	if (n->err)
		fail_err(n, 500, "failed to save KV snapshot", err_text(n->err));
	else if (n->work == WORK_COMMIT)
		deliver(n);
	else
		go_on(n);
}

static void got_message(struct snap_in *n)
{
	if (n->message.type != MSG_SNAP || !n->message.snapshot) {
		fail(n, 400, "wrong raft message type");
		return;
	}
	if (!set_accepts(n->set, &n->message)) {
		fail(n, 500, "failed to process raft message (rejected)");
		return;
	}
	n->has_message = true;
	LOG_INFO("receiving database snapshot", LOG_STR("local-member-id", n->set->id_text),
		LOG_STR("remote-snapshot-sender-id", n->from), LOG_UINT("incoming-snapshot-index", n->message.snapshot->index));
}

static void on_body(struct http_req *r, struct slice data)
{
	struct snap_in *n = in_of(r);
	size_t size = data.size;
	err_t err = OK;

	if (n->over) {
		http_consumed(r, size);
		return;
	}
	if (!n->busy)
		progress(n);
	if (!n->has_message) {
		switch (snapshot_head_decode(&n->head, &data, &n->message, &err)) {
		case STREAM_GOT_MESSAGE:
			got_message(n);
			break;
		case STREAM_GOT_ERROR:
			fail_err(n, 400, "failed to decode raft message",
				 err == ERR_TOO_LARGE ? "rafthttp: error limit exceeded" : err_text(err));
			break;
		default:
			break;
		}
	}
	if (n->over || !n->has_message) {
		http_consumed(r, size);
		return;
	}
	http_consumed(r, size - data.size);
	buf_put_slice(&n->fill, data);
	ASSERT(!buf_failed(&n->fill));                                                  /* R1 */
	n->size_bytes += data.size;
	go_on(n);
}

static void on_body_end(struct http_req *r)
{
	struct snap_in *n = in_of(r);

	n->body_ended = true;
	if (!n->over && !n->has_message)
		fail_err(n, 400, "failed to decode raft message", "unexpected EOF");
	go_on(n);
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct snap_in *n = in_of(r);

	net_timer_cancel(n->set->loop, &n->stall);
	if (!n->over) {
		n->req = NULL;
		fail(n, 0, "connection lost");
	}
	n->req = NULL;
	release(n);
}

const struct http_handler snap_in_handler = {
	.on_body = on_body, .on_body_end = on_body_end, .on_close = on_close,
};

void snap_in_begin(struct http_req *r)
{
	struct peer_set *s = http_req_service(r)->arg;
	struct slice from = {0};
	struct snap_in *n;
	uint64_t id = 0;

	if (s->snaps_in == SNAPSHOTS_IN_MAX || s->closing) {
		serve_raft_error(r, 503, "too many snapshots are being received");
		return;
	}
	n = NEW(struct snap_in);
	n->set = s;
	n->req = r;
	n->started_ns = set_now_ns(s);
	http_header_get(r, SLICE_LIT("x-server-from"), &from);
	hex_id_parse(from, &id);
	hex_id(id, n->from);
	snapshot_head_init(&n->head);
	buf_init(&n->fill, FILL_BYTES_MAX);
	buf_init(&n->writing, FILL_BYTES_MAX);
	net_timer_init(&n->stall, stalled);
	s->snaps_in++;
	metric_move(series(METRIC_NETWORK_SNAPSHOT_RECEIVE_INFLIGHTS_TOTAL, n), 1);
	r->handler = &snap_in_handler;
	r->user = n;
	progress(n);
}
