/* Page moving on request: bounded transactions on the backend actor until the file is as short as its live data, with the merges of
 * writes between them. */
#include "node/node_impl.h"

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
}

void core_defrag(struct node *n)
{
	if (list_empty(&n->defrags) || n->merging || n->defrag_running || core_installing(n))
		return;
	n->defrag_running = true;
	if (!n->defrag_started_ns)
		n->defrag_started_ns = core_now(n);
	n->merging = true;
	n->defrag.msg.kind = PERSIST_MOVE;
	n->defrag.db = n->db;
	actor_post(n->persist.backend_actor, &n->defrag.msg);
}

void core_defrag_stepped(struct node *n)
{
	n->merging = false;
	n->defrag_running = false;
	n->changed = true;
	if (backend_refreshed(n->backend))
		fatal("backend file: cannot be read back after pages were moved");
	if (n->defrag.err)
		answer_defrags(n, n->defrag.err);
	else if (n->defrag.done)
		answer_defrags(n, OK);
	/* Writes first; core_merged comes back here. */
	if (!backend_pending_ops(n->backend))
		core_defrag(n);
	else
		n->commit_wanted = true;
}
