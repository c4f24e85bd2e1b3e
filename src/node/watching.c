/* Core's side of watch streams: requests in, the hub's decisions out in one batch per io actor, history read by workers. */
#include "node/node_impl.h"

enum { RUN_EVENTS = 20000, TASK_ROWS = 1000 };

struct watch_job {
	struct job job;
	struct node *node;
	struct watch_task *task;
};

static bool task_run(struct job *j)
{
	struct watch_job *w = CONTAINER_OF(j, struct watch_job, job);
	const struct publication *p = node_view(w->node);
	bool done = false;
	err_t err = OK;

	/* The publication may still be older than what the task was made for: another slice later. */
	if (p->mvcc.rev >= watch_task_rev(w->task))
		err = watch_task_slice(w->task, &p->mvcc, TASK_ROWS, &done);
	node_leave(w->node);
	if (err)
		fatal("backend file: damaged while reading history for watchers; restore this member from a snapshot or another member");
	return done;
}

void core_watch_task_done(struct node *n, struct job *j)
{
	struct watch_job *w = CONTAINER_OF(j, struct watch_job, job);

	n->jobs--;
	watch_task_done(n->hub, w->task);
	mem_free(w);
}

void core_watch_call(struct node *n, struct msg *m)
{
	switch (m->kind) {
	case WATCH_CALL_OPEN: {
		struct watch_link *link = CONTAINER_OF(m, struct watch_link, open);

		link->stream = watch_stream_open(n->hub, link->port, link->arg, core_now(n));
		break;
	}
	case WATCH_CALL_CLOSE: {
		struct watch_link *link = CONTAINER_OF(m, struct watch_link, close);

		watch_stream_close(n->hub, link->stream);
		link->stream = NULL;
		link->close.kind = link->reply_kind;
		/* Comes back behind the batches of this moment (core_watch_send). */
		VEC_PUSH(&n->watch_closed, link);
		break;
	}
	case WATCH_CALL_REQUEST: {
		struct watch_request *r = CONTAINER_OF(m, struct watch_request, msg);

		switch (r->req.kind) {
		case WATCH_REQ_CREATE: watch_create(n->hub, r->link->stream, &r->req, r->permitted); break;
		case WATCH_REQ_CANCEL: watch_cancel(n->hub, r->link->stream, r->req.watch_id); break;
		case WATCH_REQ_PROGRESS: watch_progress(n->hub, r->link->stream); break;
		case WATCH_REQ_NONE: break;
		}
		blob_unref(r->body);
		mem_free(r);
		break;
	}
	case WATCH_CALL_DRAINED: {
		struct watch_progress_note *d = CONTAINER_OF(m, struct watch_progress_note, msg);

		watch_drained(n->hub, d->link->stream, d->items, d->bytes);
		mem_free(d);
		break;
	}
	default:
		UNREACHABLE();
	}
}

static void tasks_start(struct node *n)
{
	struct watch_task *t;

	while (!n->stopping && !core_installing(n) && (t = watch_next_task(n->hub))) {
		struct watch_job *w = NEW(struct watch_job);

		w->job = (struct job){.msg.kind = CORE_WATCH_TASK, .run = task_run, .reply = n->core};
		w->node = n;
		w->task = t;
		n->jobs++;
		/* Posted behind the publication of this batch: what the task needs is visible then. */
		VEC_PUSH(&n->jobs_ready, &w->job);
	}
}

/* Called once a batch, before the publication; the output goes out behind it (core_watch_send). */
void core_watch(struct node *n)
{
	if (watch_run(n->hub, RUN_EVENTS))
		timer_set(&n->watch_more, 0);
	tasks_start(n);
}

void core_watch_send(struct node *n)
{
	struct watch_batch *b;

	for (uint32_t port = 0; port < n->cfg.watch_ports; port++)
		while ((b = watch_take(n->hub, port)))
			n->cfg.hooks.watch_output(n->cfg.hooks.arg, port, b);
	for (size_t i = 0; i < n->watch_closed.count; i++)
		actor_post(n->watch_closed.at[i]->reply, &n->watch_closed.at[i]->close);
	n->watch_closed.count = 0;
	for (size_t i = 0; i < n->jobs_ready.count; i++)
		sched_run(n->sched, n->jobs_ready.at[i]);
	n->jobs_ready.count = 0;
}

void watch_link_open(struct node *n, struct watch_link *link)
{
	link->open.kind = WATCH_CALL_OPEN;
	actor_post(n->core, &link->open);
}

void watch_link_close(struct node *n, struct watch_link *link)
{
	link->close.kind = WATCH_CALL_CLOSE;
	actor_post(n->core, &link->close);
}

void watch_link_post(struct node *n, struct msg *take_m)
{
	actor_post(n->core, take_m);
}
