#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "side.h"

static void changed(struct side *s)
{
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void on_received(void *arg, struct peer_received *take_r)
{
	struct side *s = arg;

	pthread_mutex_lock(&s->lock);
	s->received_count++;
	if (s->free_at_once)
		peer_received_free(take_r);
	else
		VEC_PUSH(&s->received, take_r);
	changed(s);
}

static void on_unreachable(void *arg, uint64_t id)
{
	struct side *s = arg;

	pthread_mutex_lock(&s->lock);
	s->unreachable++;
	changed(s);
}

static void on_status(void *arg, uint64_t id, bool ok)
{
	struct side *s = arg;

	pthread_mutex_lock(&s->lock);
	s->snapshots_ok += ok;
	s->snapshots_failed += !ok;
	changed(s);
}

static void on_removed(void *arg)
{
	struct side *s = arg;

	pthread_mutex_lock(&s->lock);
	s->removed++;
	changed(s);
}

static void on_request(void *arg, struct peer_request *take_r)
{
	struct side *s = arg;
	char text[512];

	pthread_mutex_lock(&s->lock);
	if (s->answer_at_once) {
		snprintf(text, sizeof(text), "%d %llu %s %.*s", take_r->endpoint, (unsigned long long)take_r->member_id,
			take_r->token, SLICE_ARG(take_r->body));
		peer_answer(take_r, 200, "application/json", slice_str(text));
	} else {
		VEC_PUSH(&s->requests, take_r);
	}
	changed(s);
}

void side_open(struct side *s, uint64_t id, uint64_t cluster, unsigned port)
{
	char address[64];
	struct net_loop *loop;
	struct peer_config cfg = {
		.fs = vfs_posix(), .member_id = id, .cluster_id = cluster, .version = "3.7.1", .min_cluster_version = "3.0.0",
		.timing = {.dial_ms = 1000, .redial_ms = 20, .heartbeat_ms = SHORT_MS / 3, .stall_ms = SHORT_MS,
			.silence_ms = 4 * SHORT_MS, .probe_ms = 100, .snapshot_stall_ms = 2000},
		.events = {s, on_received, on_unreachable, on_status, on_removed, on_request},
	};

	signal(SIGPIPE, SIG_IGN);       /* as any program with sockets of libuv */
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	s->id = id;
	snprintf(s->dir, sizeof(s->dir), "/tmp/cetcd-peer-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	if (port == 0) {                /* its URL goes into headers, so the port is chosen before */
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t size = sizeof(a);

		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		getsockname(fd, (struct sockaddr *)&a, &size);
		close(fd);
		snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(a.sin_port));
	}
	snprintf(s->url, sizeof(s->url), "http://%s", address);
	cfg.snap_dir = s->dir;
	cfg.peer_urls = s->url;
	s->sched = cfg.sched = sched_threads_new(2);
	s->set = peer_set_new(&cfg);
	loop = peer_set_loop(s->set);
	struct net_listen_opts o = {.network = "tcp", .address = address, .loops = &loop, .loop_count = 1,
		.on_accept = peer_accept, .arg = s->set};
	struct why why;

	assert_ok(net_listen(&o, &why, &s->listener));
}

static void nothing(void *arg)
{
}

void side_settle(struct side *s)
{
	net_loop_call_wait(peer_set_loop(s->set), nothing, NULL);
}

void side_close(struct side *s)
{
	char command[128];

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->received.count; i++)
		peer_received_free(s->received.at[i]);
	s->received.count = 0;
	s->free_at_once = true;
	pthread_mutex_unlock(&s->lock);
	net_listener_close(s->listener);
	peer_set_free(s->set);
	sched_free(s->sched);
	VEC_FREE(&s->received);
	VEC_FREE(&s->requests);
	snprintf(command, sizeof(command), "rm -rf %s", s->dir);
	assert_int_equal(system(command), 0);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
}

unsigned side_port(const struct side *s)
{
	return (unsigned)atoi(strrchr(s->url, ':') + 1);
}

struct raft_message *side_message(struct side *s, size_t n)
{
	struct raft_message *m;

	pthread_mutex_lock(&s->lock);
	m = n < s->received.count ? &s->received.at[n]->message : NULL;
	pthread_mutex_unlock(&s->lock);
	return m;
}

struct peer_stats side_stats(struct side *s, uint64_t id)
{
	struct peer_stats st[8];
	size_t n = peer_stats(s->set, st, 8);

	for (size_t i = 0; i < n; i++)
		if (st[i].id == id)
			return st[i];
	return (struct peer_stats){0};
}

bool side_streams_up(struct side *s, uint64_t id)
{
	struct peer_stats st = side_stats(s, id);

	return st.has_msgapp_out && st.has_message_out && st.has_msgapp_in && st.has_message_in;
}

void side_send(struct side *s, enum raft_msg_type type, uint64_t to, uint64_t index, size_t entry_count, size_t data_size)
{
	struct raft_message m = {.type = type, .from = s->id, .to = to, .term = 5, .log_term = 5, .index = index, .commit = 3};

	m.entries = entry_count ? NEW_ARRAY(struct raft_entry, entry_count) : NULL;
	m.entry_count = entry_count;
	for (size_t i = 0; i < entry_count; i++) {
		m.entries[i] = (struct raft_entry){.term = 5, .index = index + 1 + i, .data = blob_new(data_size)};
		memset(m.entries[i].data->data, 'a' + (int)(i % 26), data_size);
	}
	peer_send(s->set, &m, 1);
	assert_null(m.entries);
}

int raw_connect(unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

char *raw_ask(unsigned port, const char *text)
{
	static char answer[16384];
	int fd = raw_connect(port);
	size_t n = 0;
	ssize_t got;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};

		if (poll(&p, 1, 2000) <= 0)
			break;
		got = read(fd, answer + n, sizeof(answer) - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	answer[n] = 0;
	close(fd);
	return answer;
}
