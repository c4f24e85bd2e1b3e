/* What the server does to its data by itself: compactions by time or number, and defragmentation at the start. */
#include <stdio.h>

#include "node/node_impl.h"

static const char *mode_name(const struct node *n)
{
	return n->auto_compact.mode == AUTO_COMPACT_PERIODIC ? "periodic" : "revision";
}

static struct log_field retention_field(const struct node *n)
{
	return n->auto_compact.mode == AUTO_COMPACT_PERIODIC ? LOG_DURATION("compact-period", n->auto_compact.retention) :
							       LOG_INT("revision-compaction-retention", n->auto_compact.retention);
}

/* Go etcd shrinks the file before it serves; moving pages does not need that. */
static void defrag_at_start(struct node *n)
{
	uint64_t size = bolt_size(n->db), in_use = bolt_size_in_use(n->db);
	struct own_call *o;

	if (!n->cfg.start_defrag_bytes)
		return;
	if (size - in_use < n->cfg.start_defrag_bytes) {
		LOG_INFO("Skipping defragmentation", LOG_UINT("current-db-size-bytes", size), LOG_UINT("current-db-size-in-use-bytes", in_use),
			 LOG_UINT("bootstrap-defrag-threshold-bytes", n->cfg.start_defrag_bytes));
		return;
	}
	LOG_INFO("defragmenting", LOG_UINT("current-db-size-bytes", size), LOG_UINT("current-db-size-in-use-bytes", in_use));
	o = NEW(struct own_call);
	call_init(&o->call, n->core, CORE_OWN_CALL, 0);
	o->purpose = OWN_DEFRAG;
	o->call.started_ns = core_now(n);
	list_push_back(&n->defrags, &o->call.link);
	core_defrag(n);
}

void core_auto_defragged(struct node *n, err_t err)
{
	if (err)
		LOG_WARN("failed to defragment", LOG_ERR(err));
	else
		LOG_INFO("finished defragmenting directory", LOG_UINT("current-db-size-bytes", bolt_size(n->db)),
			 LOG_UINT("current-db-size-in-use-bytes", bolt_size_in_use(n->db)));
}

void core_auto_start(struct node *n)
{
	defrag_at_start(n);
	if (n->cfg.auto_compact_mode != AUTO_COMPACT_OFF)
		auto_compact_start(&n->auto_compact, n->cfg.auto_compact_mode, n->cfg.auto_compact_retention, core_now(n),
				   mvcc_revision(n->mvcc));
}

void core_auto_compact(struct node *n, uint64_t now_ns)
{
	bool leads = n->role == RAFT_LEADER && n->applied_own_term && !n->stopping;
	int64_t rev = auto_compact_step(&n->auto_compact, now_ns, mvcc_revision(n->mvcc), leads);
	char text[64];
	struct buf body;

	if (!rev)
		return;
	snprintf(text, sizeof(text), "starting auto %s compaction", mode_name(n));
	LOG_INFO(text, LOG_INT("revision", rev), retention_field(n));
	n->auto_compact_ns = now_ns;
	buf_init(&body, 16);
	pb_put_uint(&body, 1, (uint64_t)rev);
	core_own_propose(n, OWN_COMPACT, REQ_COMPACTION, buf_slice(&body), 0);
	buf_fini(&body);
}

void core_auto_compacted(struct node *n, err_t err)
{
	int64_t rev = n->auto_compact.rev;
	uint64_t now = core_now(n);
	char text[64];

	auto_compact_done(&n->auto_compact, now, mvcc_revision(n->mvcc), !err || err == ERR_COMPACTED);
	if (!err || err == ERR_COMPACTED) {
		snprintf(text, sizeof(text), "completed auto %s compaction", mode_name(n));
		LOG_INFO(text, LOG_INT("revision", rev), retention_field(n), LOG_DURATION("took", (int64_t)(now - n->auto_compact_ns)));
	} else {
		snprintf(text, sizeof(text), "failed auto %s compaction", mode_name(n));
		LOG_WARN(text, LOG_INT("revision", rev), retention_field(n),
			 LOG_DURATION("retry-interval", (int64_t)n->auto_compact.interval_ns), LOG_ERR(err));
	}
}
