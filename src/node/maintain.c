/* Page moving on request: bounded transactions on the backend actor until the file is as short as its live data, with the merges of
 * writes between them. */
#include "base/bug.h"
#include "node/node_impl.h"

/* A reader inside the last publication holds the pages of the last step for microseconds, one of a snapshot for long: after so many
 * runs that gained nothing for it, the rest is left to the next request. */
enum { HELD_RUNS_MAX = 20 };

/* Merges and page moves both are the file's one writer: a move runs on the backend actor's thread between merges. */

static void answer_defrags(struct node *n, err_t err)
{
	metric_observe(METRIC_DISK_BACKEND_DEFRAG_DURATION_SECONDS, core_now(n) - n->defrag_started_ns);
	n->defrag_started_ns = 0;
	while (!list_empty(&n->defrags)) {
		struct call *c = CONTAINER_OF(n->defrags.next, struct call, link);

		list_remove(&c->link);
		core_answer(n, c, err);
	}
	core_metrics(n);        /* who asked looks at the sizes next; answers leave after this batch */
}

void core_defrag(struct node *n)
{
	if (list_empty(&n->defrags) || (n->merging && !BUG(MOVE_BESIDE_MERGE)) || n->defrag_running || core_installing(n))
		return;
	n->defrag_running = true;
	n->defrag_waits = false;
	if (!n->defrag_started_ns)
		n->defrag_started_ns = core_now(n);
	n->merging = true;
	n->defrag.msg.kind = PERSIST_MOVE;
	n->defrag.db = n->db;
	actor_post(n->persist.backend_actor, &n->defrag.msg);
}

void core_defrag_tick(struct node *n)
{
	if (n->defrag_waits)
		core_defrag(n);
}

/* The first time at once: what this publication replaces is let go with it. */
static bool held_run(struct node *n)
{
	if (!n->defrag.held || n->defrag_waited == HELD_RUNS_MAX)
		return false;
	n->defrag_waits = n->defrag_waited++ > 0;
	return true;
}

void core_defrag_stepped(struct node *n)
{
	n->merging = false;
	n->defrag_running = false;
	n->changed = true;
	if (backend_refreshed(n->backend))
		fatal("backend file: cannot be read back after pages were moved");
	if (n->defrag.err || (n->defrag.done && !held_run(n))) {
		n->defrag_waited = 0;
		answer_defrags(n, n->defrag.err);
	}
	/* Writes first; core_merged comes back here. */
	if (!backend_pending_ops(n->backend) && !n->defrag_waits)
		core_defrag(n);
	else if (backend_pending_ops(n->backend))
		n->commit_wanted = true;
}
