/* A member without a store, to be run by hand against a real one: transport, raft in memory, nothing applied but
 * configuration changes. Prints what it sees once a second.
 *
 *	etcd --name a --initial-advertise-peer-urls http://127.0.0.1:2380 …      a real member
 *	etcdctl member add b --peer-urls=http://127.0.0.1:3380                   prints our id and the cluster's
 *	fake_member 3380 <our id> <cluster id> <id of a>=http://127.0.0.1:2380[,url]… [seconds]
 *	etcdctl put k v                                                          needs our acknowledgement
 *
 * With snapshot=<file> among the arguments, that file is sent to the last peer named before it as the database of a
 * MsgSnap of index 1 and term 1: the real member stores it (0000000000000001.snap.db), answers, and raft ignores it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "env/env.h"
#include "peer/peer.h"
#include "raft/raft.h"

enum { K_RECEIVED = 1, K_TICK, K_UNREACHABLE, K_STATUS };

static struct {
	struct sched *sched;
	struct actor *core;
	struct peer_set *set;
	struct raft *raft;
	struct raft_mem_storage *storage;
	struct raft_ready ready;
	struct timer tick;
	uint64_t ticks;
	unsigned in[RAFT_MSG_TYPE_COUNT], out[RAFT_MSG_TYPE_COUNT];
	unsigned unreachable, applied_data;
} f;

struct note {
	struct msg msg;
	uint64_t id;
	bool ok;
};

static void on_received(void *arg, struct peer_received *take_r)
{
	take_r->msg.kind = K_RECEIVED;
	actor_post(f.core, &take_r->msg);
}

static void note(int kind, uint64_t id, bool ok)
{
	struct note *n = NEW(struct note);

	*n = (struct note){{.kind = (uint32_t)kind}, id, ok};
	actor_post(f.core, &n->msg);
}

static void on_unreachable(void *arg, uint64_t id)
{
	note(K_UNREACHABLE, id, false);
}

static void on_status(void *arg, uint64_t id, bool ok)
{
	note(K_STATUS, id, ok);
}

static void on_removed(void *arg)
{
	printf("removed\n");
	fflush(stdout);
	_exit(3);
}

static void apply(const struct raft_entry *e)
{
	struct raft_conf_change cc;

	if (e->type == ENTRY_NORMAL) {
		f.applied_data += e->data != NULL;
		return;
	}
	if (e->type == ENTRY_CONF_CHANGE && !raft_conf_change_decode(blob_slice(e->data), &cc))
		raft_apply_conf_change(f.raft, &cc);
}

static void work(void)
{
	while (raft_has_ready(f.raft)) {
		raft_ready(f.raft, &f.ready);
		raft_mem_storage_append(f.storage, f.ready.entries, f.ready.entry_count);
		if (f.ready.snapshot)
			ASSERT(!raft_mem_storage_apply_snapshot(f.storage, f.ready.snapshot));
		if (f.ready.has_hard_state)
			raft_mem_storage_set_hard_state(f.storage, &f.ready.hard_state);
		for (size_t i = 0; i < f.ready.committed_entry_count; i++)
			apply(&f.ready.committed_entries[i]);
		for (size_t i = 0; i < f.ready.message_count; i++)
			f.out[f.ready.messages[i].type]++;
		peer_send(f.set, f.ready.messages, f.ready.message_count);
		raft_ready_clear(&f.ready);
		raft_advance(f.raft);
	}
}

static void print_counts(const char *what, const unsigned *counts)
{
	printf("  %s", what);
	for (int i = 0; i < RAFT_MSG_TYPE_COUNT; i++)
		if (counts[i])
			printf(" %s=%u", raft_msg_type_name((enum raft_msg_type)i), counts[i]);
	printf("\n");
}

static void report(void)
{
	struct peer_stats st[8];
	size_t n = peer_stats(f.set, st, 8);

	printf("term %llu lead %llx role %s commit %llu applied %llu data entries %u unreachable %u\n",
		(unsigned long long)raft_term(f.raft), (unsigned long long)raft_lead(f.raft), raft_role_name(raft_role(f.raft)),
		(unsigned long long)raft_commit(f.raft), (unsigned long long)raft_applied(f.raft), f.applied_data, f.unreachable);
	print_counts("in ", f.in);
	print_counts("out", f.out);
	for (size_t i = 0; i < MIN(n, ARRAY_COUNT(st)); i++)
		printf("  peer %llx out %d%d in %d%d active %d sent %llu (%llu B) received %llu (%llu B) dropped %llu rtt %.3f ms\n",
			(unsigned long long)st[i].id, st[i].has_msgapp_out, st[i].has_message_out, st[i].has_msgapp_in,
			st[i].has_message_in, st[i].active_since_ns != 0, (unsigned long long)st[i].sent_messages,
			(unsigned long long)st[i].sent_bytes, (unsigned long long)st[i].received_messages,
			(unsigned long long)st[i].received_bytes, (unsigned long long)st[i].dropped_messages,
			(double)st[i].rtt_ns / 1e6);
	fflush(stdout);
}

static void step(struct peer_received *r)
{
	f.in[r->message.type]++;
	if (r->message.type == MSG_SNAP)
		printf("snapshot index %llu term %llu, database of %llu bytes\n",
			(unsigned long long)r->message.snapshot->index, (unsigned long long)r->message.snapshot->term,
			(unsigned long long)r->snapshot_bytes);
	err_t err = raft_step(f.raft, &r->message);

	if (err)
		printf("step: %s\n", err_text(err));
	peer_received_free(r);
}

static void receive(void *self, struct msg *m)
{
	switch (m->kind) {
	case K_RECEIVED:
		step(CONTAINER_OF(m, struct peer_received, msg));
		break;
	case K_TICK:
		raft_tick(f.raft);
		if (++f.ticks % 10 == 0)
			report();
		timer_set(&f.tick, 100000000);
		break;
	case K_UNREACHABLE:
		f.unreachable++;
		raft_report_unreachable(f.raft, CONTAINER_OF(m, struct note, msg)->id);
		mem_free(m);
		break;
	case K_STATUS:
		printf("snapshot %s\n", CONTAINER_OF(m, struct note, msg)->ok ? "sent" : "failed");
		raft_report_snapshot(f.raft, CONTAINER_OF(m, struct note, msg)->id, !CONTAINER_OF(m, struct note, msg)->ok);
		mem_free(m);
		break;
	default:
		timer_init(&f.tick, f.core, K_TICK);
		timer_set(&f.tick, 100000000);
		mem_free(m);
	}
	work();
}

static void start_raft(uint64_t id)
{
	struct raft_config c = {.id = id, .election_ticks = 10, .heartbeat_ticks = 1, .max_size_per_msg = 1 << 20,
		.max_inflight_msgs = 512, .check_quorum = true, .pre_vote = true};

	f.storage = raft_mem_storage_new();
	c.storage = raft_mem_storage_base(f.storage);
	env_random(&c.random_seed, sizeof(c.random_seed));
	f.raft = raft_new(&c);
}

/* --- a file as the database of a snapshot --- */

struct image {
	struct peer_image base;
	struct vfs_file *file;
};

static err_t image_read(struct peer_image *im, uint64_t offset, void *out, size_t size)
{
	size_t got;
	err_t err = vfs_pread(CONTAINER_OF(im, struct image, base)->file, offset, out, size, &got);

	return err ? err : got == size ? OK : ERR_IO;
}

static void image_close(struct peer_image *im)
{
	struct image *i = CONTAINER_OF(im, struct image, base);

	vfs_close(i->file);
	mem_free(i);
}

static void send_file(const char *path, uint64_t from, uint64_t to)
{
	struct raft_message m = {.type = MSG_SNAP, .from = from, .to = to, .term = 1};
	struct image *i = NEW(struct image);

	i->base = (struct peer_image){0, image_read, image_close};
	if (vfs_open(vfs_posix(), path, VFS_READ, 0, &i->file) || vfs_size(i->file, &i->base.size_bytes)) {
		fprintf(stderr, "cannot read %s\n", path);
		_exit(1);
	}
	m.snapshot = NEW(struct raft_snapshot);
	m.snapshot->index = m.snapshot->term = 1;
	peer_send_snapshot(f.set, &m, &i->base);
}

int main(int argc, char **argv)
{
	static const struct actor_ops ops = {receive, NULL};
	char address[64], url[80];
	uint64_t last = 0;
	struct why why = {0};
	struct net_listener *listener;
	struct net_loop *loop;

	if (argc < 5) {
		fprintf(stderr, "usage: %s port id cluster-id id=url... [seconds]\n", argv[0]);
		return 2;
	}
	snprintf(address, sizeof(address), "127.0.0.1:%s", argv[1]);
	snprintf(url, sizeof(url), "http://%s", address);
	struct peer_config cfg = {.fs = vfs_posix(), .snap_dir = "/tmp", .member_id = strtoull(argv[2], NULL, 16),
		.cluster_id = strtoull(argv[3], NULL, 16), .version = "3.7.1", .min_cluster_version = "3.0.0", .peer_urls = url,
		.events = {NULL, on_received, on_unreachable, on_status, on_removed, NULL}};

	f.sched = cfg.sched = sched_threads_new(1);
	f.core = actor_new(f.sched, "core", &ops, NULL, ACTOR_OWN_THREAD);
	start_raft(cfg.member_id);
	f.set = peer_set_new(&cfg);
	loop = peer_set_loop(f.set);
	struct net_listen_opts listen = {.network = "tcp", .address = address, .loops = &loop, .loop_count = 1,
		.on_accept = peer_accept, .arg = f.set};

	if (net_listen(&listen, &why, &listener)) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	for (int i = 4; i < argc; i++) {
		char *eq = strchr(argv[i], '=');

		if (!strncmp(argv[i], "snapshot=", 9)) {
			send_file(eq + 1, cfg.member_id, last);
		} else if (eq) {
			last = strtoull(argv[i], NULL, 16);
			peer_add(f.set, last, eq + 1);
		}
	}
	actor_post(f.core, &NEW(struct note)->msg);
	sleep(strchr(argv[argc - 1], '=') ? 10 : (unsigned)atoi(argv[argc - 1]));
	net_listener_close(listener);
	_exit(0);
}
