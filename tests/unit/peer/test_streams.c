/* Two transports on loopback sockets: streams, pipeline, reconnecting, removal, slow and broken others. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer/codec.h"
#include "side.h"

#define A 0xa
#define B 0xb

static struct side a, b;

static void open_pair(void)
{
	side_open(&a, A, CLUSTER, 0);
	side_open(&b, B, CLUSTER, 0);
}

static void know_each_other(void)
{
	peer_add(a.set, B, b.url);
	peer_add(b.set, A, a.url);
	WAIT_UNTIL(side_streams_up(&a, B) && side_streams_up(&b, A));
}

static int close_pair(void **state)
{
	side_close(&a);
	side_close(&b);
	return 0;
}

static void messages_arrive_in_order(void **state)
{
	open_pair();
	know_each_other();
	assert_true(peer_active_since_ns(a.set, B) > 0);
	assert_int_equal(peer_active_since_ns(a.set, 77), 0);
	for (uint64_t i = 1; i <= 300; i++) {
		side_send(&a, MSG_APP, B, i * 10, i % 4, 100);
		side_send(&b, MSG_APP_RESP, A, i, 0, 0);
	}
	SIDE_WAIT(&b, b.received.count == 300);
	SIDE_WAIT(&a, a.received.count == 300);
	for (size_t i = 0; i < 300; i++) {
		const struct raft_message *m = side_message(&b, i), *r = side_message(&a, i);

		assert_int_equal(m->type, MSG_APP);
		assert_int_equal(m->from, A);
		assert_int_equal(m->index, (i + 1) * 10);
		assert_int_equal(m->entry_count, (i + 1) % 4);
		assert_int_equal(m->commit, 3);
		for (size_t k = 0; k < m->entry_count; k++) {
			assert_int_equal(m->entries[k].data->size, 100);
			assert_int_equal(m->entries[k].data->data[99], 'a' + k);
		}
		assert_int_equal(r->type, MSG_APP_RESP);
		assert_int_equal(r->index, i + 1);
	}
	assert_int_equal(side_stats(&a, B).sent_messages, 300);
	assert_int_equal(side_stats(&a, B).received_messages, 300);
	assert_int_equal(side_stats(&a, B).dropped_messages, 0);
	assert_int_equal(a.unreachable + b.unreachable, 0);
}

static void large_messages_pass(void **state)
{
	open_pair();
	know_each_other();
	for (uint64_t i = 0; i < 20; i++)
		side_send(&a, MSG_APP, B, 100 + i, 1, 1500000);
	SIDE_WAIT(&b, b.received.count == 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(side_message(&b, i)->entries[0].data->size, 1500000);
}

/* B does not know A yet: its streams are refused, messages go by POST, and B can answer. */
static void unknown_sender_becomes_remote(void **state)
{
	open_pair();
	peer_add(a.set, B, b.url);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&b, b.received.count == 1);
	assert_true(side_stats(&b, A).is_remote);
	side_send(&b, MSG_HEARTBEAT_RESP, A, 0, 0, 0);
	SIDE_WAIT(&a, a.received.count == 1);
	assert_false(side_stats(&a, B).has_msgapp_in);
	peer_add(b.set, A, a.url);      /* the remote becomes a peer */
	WAIT_UNTIL(side_streams_up(&a, B) && side_streams_up(&b, A));
	assert_false(side_stats(&b, A).is_remote);
}

static void other_cluster_is_refused(void **state)
{
	side_open(&a, A, CLUSTER, 0);
	side_open(&b, B, CLUSTER + 1, 0);
	peer_add(a.set, B, b.url);
	peer_add(b.set, A, a.url);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&a, a.unreachable == 1);
	usleep(100000);
	assert_int_equal(b.received.count, 0);
	assert_false(side_stats(&a, B).has_message_in);
	assert_int_equal(peer_active_since_ns(a.set, B), 0);
	assert_int_equal(a.removed, 0);
}

static void removed_member_is_told(void **state)
{
	open_pair();
	know_each_other();
	peer_remove(b.set, A);
	SIDE_WAIT(&a, a.removed == 1);
	assert_int_equal(peer_active_since_ns(b.set, A), 0);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&a, a.unreachable >= 1);
	peer_add(b.set, A, a.url);      /* never again */
	usleep(100000);
	assert_int_equal(side_stats(&b, A).id, 0);
	assert_int_equal(b.received.count, 0);
	assert_int_equal(a.removed, 1);
}

static void reconnects(void **state)
{
	unsigned port;

	open_pair();
	know_each_other();
	port = side_port(&b);
	side_close(&b);
	WAIT_UNTIL(!side_stats(&a, B).has_msgapp_in && !side_stats(&a, B).has_msgapp_out);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&a, a.unreachable >= 1);
	WAIT_UNTIL(peer_active_since_ns(a.set, B) == 0);
	side_open(&b, B, CLUSTER, port);
	peer_add(b.set, A, a.url);
	WAIT_UNTIL(side_streams_up(&a, B) && side_streams_up(&b, A));
	side_send(&a, MSG_APP, B, 5, 2, 10);    /* the codec's state began anew */
	side_send(&a, MSG_APP, B, 7, 2, 10);
	SIDE_WAIT(&b, b.received.count == 2);
	assert_int_equal(side_message(&b, 1)->entries[1].index, 9);
}

/* The first URL leads nowhere. */
static void tries_the_next_url(void **state)
{
	char *urls;

	open_pair();
	urls = mem_printf("http://127.0.0.1:1,%s", b.url);
	peer_add(a.set, B, urls);
	mem_free(urls);
	peer_add(b.set, A, a.url);
	WAIT_UNTIL(side_stats(&a, B).has_message_in && side_stats(&a, B).has_msgapp_in);
}

static void update_of_urls(void **state)
{
	open_pair();
	peer_add(a.set, B, "http://127.0.0.1:1");
	peer_add(b.set, A, a.url);
	usleep(50000);
	assert_false(side_stats(&a, B).has_message_in);
	peer_add(a.set, B, b.url);
	WAIT_UNTIL(side_streams_up(&a, B) && side_streams_up(&b, A));
}

static void paused_means_silent(void **state)
{
	open_pair();
	know_each_other();
	peer_pause(a.set, true);
	side_settle(&a);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	side_send(&b, MSG_HEARTBEAT, A, 0, 0, 0);
	usleep(100000);
	assert_int_equal(a.received.count + b.received.count, 0);
	peer_pause(a.set, false);
	side_settle(&a);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&b, b.received.count == 1);
	WAIT_UNTIL(side_streams_up(&a, B));	// it may have gone by the pipeline, before them
}

/* Core does not take what arrives: 4096 messages, and proposals beside them, then dropped. */
static void receiving_is_bounded(void **state)
{
	open_pair();
	know_each_other();
	for (int i = 0; i < 5000; i++) {
		side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
		if (i % 100 == 0)
			usleep(1000);
	}
	SIDE_WAIT(&b, b.received.count == 4096);
	WAIT_UNTIL(side_stats(&b, A).received_messages == side_stats(&a, B).sent_messages);
	assert_int_equal(b.received.count, 4096);
	side_send(&a, MSG_PROP, B, 0, 1, 10);
	SIDE_WAIT(&b, b.received.count == 4097);
	pthread_mutex_lock(&b.lock);
	peer_received_free(b.received.at[--b.received.count]);
	peer_received_free(b.received.at[--b.received.count]);
	pthread_mutex_unlock(&b.lock);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	SIDE_WAIT(&b, b.received.count == 4096);
}

static const char dial_msgapp[] =
	"GET /raft/stream/msgapp/b HTTP/1.1\r\nHost: x\r\nX-Server-From: b\r\nX-Server-Version: 3.7.1\r\n"
	"X-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: dc50b8daae93b3e0\r\nX-Raft-To: a\r\n\r\n";

/* The other member reads nothing: the queue fills, messages are dropped and told, then the connection is cut. */
static void slow_reader(void **state)
{
	int fd;

	open_pair();
	peer_add(a.set, B, "http://127.0.0.1:1");
	side_settle(&a);
	fd = raw_connect(side_port(&a));
	assert_int_equal(write(fd, dial_msgapp, sizeof(dial_msgapp) - 1), sizeof(dial_msgapp) - 1);
	WAIT_UNTIL(side_stats(&a, B).has_msgapp_out);
	for (int i = 0; i < 6000; i++) {
		side_send(&a, MSG_APP, B, 1, 1, 10000);
		if (i % 50 == 0)
			usleep(500);
	}
	WAIT_UNTIL(side_stats(&a, B).dropped_messages > 100);
	WAIT_UNTIL(!side_stats(&a, B).has_msgapp_out);
	SIDE_WAIT(&a, a.unreachable > 100);
	close(fd);
}

/* A second connection of a kind replaces the first, whose answer ends properly. */
static void newer_stream_replaces(void **state)
{
	char text[1024] = "";
	size_t n = 0;
	ssize_t got;
	int first, second;

	open_pair();
	peer_add(a.set, B, "http://127.0.0.1:1");
	side_settle(&a);
	first = raw_connect(side_port(&a));
	assert_int_equal(write(first, dial_msgapp, sizeof(dial_msgapp) - 1), sizeof(dial_msgapp) - 1);
	WAIT_UNTIL(side_stats(&a, B).has_msgapp_out);
	second = raw_connect(side_port(&a));
	assert_int_equal(write(second, dial_msgapp, sizeof(dial_msgapp) - 1), sizeof(dial_msgapp) - 1);
	while (!strstr(text, "\r\n0\r\n\r\n") && n < sizeof(text) - 1 && (got = read(first, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	assert_non_null(strstr(text, "Transfer-Encoding: chunked"));
	assert_non_null(strstr(text, "X-Server-Version: 3.7.1"));
	assert_non_null(strstr(text, "\r\n0\r\n\r\n"));
	assert_true(side_stats(&a, B).has_msgapp_out);
	close(first);
	close(second);
}

/* --- a server that misbehaves: answers each dial with the given bytes --- */

struct liar {
	int fd;
	unsigned port;
	const char *answer;
	size_t size;
	_Atomic unsigned dials;
	_Atomic bool stop;
	pthread_t thread;
};

static void *lie(void *arg)
{
	struct liar *l = arg;
	int fds[256];
	unsigned count = 0;
	char request[2048];

	while (!l->stop) {
		int fd = accept(l->fd, NULL, NULL);

		if (fd < 0)
			break;
		if (read(fd, request, sizeof(request)) > 0 && !strncmp(request, "GET /raft/stream", 16)) {
			l->dials++;
			assert_int_equal(write(fd, l->answer, l->size), l->size);
		}
		if (count < 256)
			fds[count++] = fd;      /* stays open */
		else
			close(fd);
	}
	while (count)
		close(fds[--count]);
	return NULL;
}

static void liar_open(struct liar *l, const char *answer, size_t size)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	memset(l, 0, sizeof(*l));
	l->answer = answer;
	l->size = size;
	l->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(l->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(l->fd, 50), 0);
	getsockname(l->fd, (struct sockaddr *)&addr, &len);
	l->port = ntohs(addr.sin_port);
	pthread_create(&l->thread, NULL, lie, l);
}

static void liar_close(struct liar *l)
{
	l->stop = true;
	shutdown(l->fd, SHUT_RDWR);
	pthread_join(l->thread, NULL);
	close(l->fd);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nX-Server-Version: 3.7.1\r\n"

/* A POST was under way to where B is not when the streams to B came up; that it fails then says nothing of B, and nothing
 * would make B active again. */
static void late_failure_of_a_post(void **state)
{
#define REFUSAL "HTTP/1.1 503 no\r\nX-Server-Version: 3.7.1\r\nContent-Length: 0\r\n\r\n"
	struct liar l;
	char url[64];

	open_pair();
	liar_open(&l, REFUSAL, sizeof(REFUSAL) - 1);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", l.port);
	peer_add(a.set, B, url);
	side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
	side_settle(&a);
	peer_add(a.set, B, b.url);
	peer_add(b.set, A, a.url);
	WAIT_UNTIL(side_streams_up(&a, B));
	liar_close(&l);
	SIDE_WAIT(&a, a.unreachable == 1);
	side_settle(&a);
	assert_true(peer_active_since_ns(a.set, B) > 0);
}

/* Each of these ends the connection at once (or, the silent one, after silence_ms), and another is dialled. */
static void bad_streams_are_left(void **state)
{
#define CASE(text) {text, sizeof(text) - 1}
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		CASE(OK_HEAD "\r\n\xff\xff\xff\xff\xff\xff\xff\xff"),
		CASE(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n9\r\n\1\xff\xff\xff\xff\xff\xff\xff\xff\r\n"),
		CASE(OK_HEAD "\r\n\7\7\7\7\7\7\7\7\7\7"),
		CASE("HTTP/1.1 404 Not Found\r\nX-Server-Version: 3.7.1\r\nContent-Length: 4\r\n\r\nnone"),
		CASE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		CASE("not HTTP at all\r\n\r\n"),
		CASE(OK_HEAD "\r\n"),
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct liar l;
		char url[64];

		side_open(&a, A, CLUSTER, 0);
		liar_open(&l, cases[i].bytes, cases[i].size);
		snprintf(url, sizeof(url), "http://127.0.0.1:%u", l.port);
		peer_add(a.set, B, url);
		WAIT_UNTIL(l.dials >= 4);
		assert_int_equal(a.received.count, 0);
		side_close(&a);
		liar_close(&l);
	}
}

/* A member that answers 410 to a stream. */
static void gone_means_removed(void **state)
{
	static const char answer[] = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n";
	struct liar l;
	char url[64];

	side_open(&a, A, CLUSTER, 0);
	liar_open(&l, answer, sizeof(answer) - 1);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", l.port);
	peer_add(a.set, B, url);
	SIDE_WAIT(&a, a.removed == 1);
	side_close(&a);
	liar_close(&l);
}

static void heartbeats_keep_it_open(void **state)
{
	open_pair();
	know_each_other();
	usleep(6 * SHORT_MS * 1000);
	assert_true(side_streams_up(&a, B) && side_streams_up(&b, A));
	assert_true(side_stats(&a, B).rtt_ns > 0);
}

static void many_sets_come_and_go(void **state)
{
	for (int i = 0; i < 10; i++) {
		open_pair();
		peer_add(a.set, B, b.url);
		peer_add(b.set, A, a.url);
		for (int k = 0; k < 100; k++)
			side_send(&a, MSG_HEARTBEAT, B, 0, 0, 0);
		usleep((useconds_t)i * 700);
		close_pair(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(messages_arrive_in_order, close_pair),
		cmocka_unit_test_teardown(large_messages_pass, close_pair),
		cmocka_unit_test_teardown(unknown_sender_becomes_remote, close_pair),
		cmocka_unit_test_teardown(other_cluster_is_refused, close_pair),
		cmocka_unit_test_teardown(removed_member_is_told, close_pair),
		cmocka_unit_test_teardown(reconnects, close_pair),
		cmocka_unit_test_teardown(tries_the_next_url, close_pair),
		cmocka_unit_test_teardown(update_of_urls, close_pair),
		cmocka_unit_test_teardown(paused_means_silent, close_pair),
		cmocka_unit_test_teardown(receiving_is_bounded, close_pair),
		cmocka_unit_test_teardown(slow_reader, close_pair),
		cmocka_unit_test_teardown(newer_stream_replaces, close_pair),
		cmocka_unit_test_teardown(late_failure_of_a_post, close_pair),
		cmocka_unit_test(bad_streams_are_left),
		cmocka_unit_test(gone_means_removed),
		cmocka_unit_test_teardown(heartbeats_keep_it_open, close_pair),
		cmocka_unit_test(many_sets_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
