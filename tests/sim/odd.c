/* Entries that nobody knows, or nobody can parse:
 *
 *	O1  a member that finds one committed in its log does not start: it is never skipped
 *	O2  one that another member forwards never enters the log, and the cluster serves on */
#include "scenario.h"
#include "wal/wal.h"
#include "world.h"

static struct world *begin(unsigned sites)
{
	struct knobs k = {
		.sites = sites,
		.clients = 3,
		.keys = 4,
		.batch_ms = 20,
		.compaction_batch_limit = 100,
		.snapshot_count = 1000,
		.catchup_entries = 100,
		.wal_segment_bytes = 1 << 20,
		.value_bytes_max = 64,
		.think_ns = 20 * MS,
		.net_delay_ns = 1 * MS,
	};
	struct world *w = world_new(sites, &k);

	for (unsigned i = 0; i < sites; i++)
		if (!site_start(&w->sites[i]))
			sim_fail("%s does not start", w->sites[i].name);
	clients_start(w);
	world_run(w, 5 * S);
	if (!site_leader(w))
		sim_fail("nobody leads after five seconds");
	return w;
}

/* A request of a version that is not there yet. */
static struct blob *unknown_request(void)
{
	struct buf b;
	struct blob *data;

	buf_init(&b, 64);
	pb_put_uint(&b, 1, 7);                  /* ID */
	pb_put_bytes(&b, 4242, SLICE_LIT("x"));
	data = blob_copy(buf_slice(&b));
	buf_fini(&b);
	return data;
}

/* Behind all that the member's log has, and committed. */
static void append_unknown(struct site *s)
{
	struct wal_options options = {.repair = true};
	struct wal_content content;
	struct raft_entry e = {0};
	struct wal *log;
	struct why why;

	if (wal_open(vfs_mem_vfs(s->disk), "/data/member/wal", (struct wal_pos){0}, &options, &why, &content, &log))
		sim_fail("%s", why.text);
	e.term = content.hard_state.term;
	e.index = content.entries[content.entry_count - 1].index + 1;
	e.data = unknown_request();
	content.hard_state.commit = e.index;
	wal_save(log, &content.hard_state, &e, 1);
	if (wal_sync(log, &why))
		sim_fail("%s", why.text);
	wal_close(log);
	wal_content_fini(&content);
	blob_unref(e.data);
}

/* O1 */
static void in_the_log(void)
{
	struct world *w = begin(1);
	struct site *s = &w->sites[0];

	site_end(s, false);
	append_unknown(s);
	if (site_start(s))
		sim_fail("O1: started with an entry that it does not know");
}

static void message_done(struct node_message *take_m)
{
	raft_message_fini(&take_m->message);
	mem_free(take_m);
}

static void forward(struct world *w, struct blob *take_data)
{
	struct node_message *m = NEW(struct node_message);
	struct site *leader = site_leader(w);

	m->message.type = MSG_PROP;
	m->message.to = leader->member_id;
	m->message.from = w->sites[leader == &w->sites[0]].member_id;
	m->message.entries = NEW_ARRAY(struct raft_entry, 1);
	m->message.entries[0].data = take_data;
	m->message.entry_count = 1;
	m->done = message_done;
	node_received(leader->node, m);
}

/* O2 */
static void forwarded(void)
{
	struct world *w = begin(3);
	uint64_t index;

	forward(w, unknown_request());
	forward(w, blob_copy(SLICE_LIT("\xff\xff no request at all")));
	index = w->index_floor;
	world_run(w, 5 * S);
	if (w->index_floor < index + 10)
		sim_fail("O2: the cluster acknowledged %llu writes in five seconds", (unsigned long long)(w->index_floor - index));
	for (size_t i = 0; i < w->model.log.count; i++) {
		struct internal_req r;
		struct blob *data = w->model.log.at[i].data;

		if (w->model.log.at[i].type == ENTRY_NORMAL && data && data->size && (internal_req_parse(blob_slice(data), &r) || !r.field))
			sim_fail("O2: entry %zu is one that nobody knows", i + 1);
	}
	nemesis_heal(w);
	check_final(w);
}

int main(int argc, char **argv)
{
	scenario_begin(argc, argv);
	in_the_log();
	forwarded();
	return 0;
}
