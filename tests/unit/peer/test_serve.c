/* What a listener answers, byte by byte where callers look; the other endpoints; questions to other members. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "side.h"

#define A 0xa
#define B 0xb

static struct side a, b;

static int open_one(void **state)
{
	side_open(&a, A, CLUSTER, 0);
	a.answer_at_once = true;
	return 0;
}

static int close_one(void **state)
{
	side_close(&a);
	return 0;
}

#define GOOD "X-Server-From: b\r\nX-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: dc50b8daae93b3e0\r\n"

/* Refusals, in the order of the checks; the expected texts are upstream's. */
static void refusals(void **state)
{
	static const struct {
		const char *name, *line, *headers, *status, *body;
	} cases[] = {
		{"method", "GET /raft", "", "405 Method Not Allowed", "Method Not Allowed\n"},
		{"method of streams", "POST /raft/stream/msgapp/b", "", "405 ", "Method Not Allowed\n"},
		{"head is no get", "HEAD /raft/stream/msgapp/b", "", "405 ", ""},
		{"no versions", "POST /raft", "X-Etcd-Cluster-ID: dc50b8daae93b3e0\r\n", "412 ", "incompatible version\n"},
		{"old", "POST /raft", "X-Server-Version: 2.3.0\r\nX-Min-Cluster-Version: 2.0.0\r\n", "412 ", "incompatible version\n"},
		{"wants newer", "POST /raft", "X-Server-Version: 3.9.0\r\nX-Min-Cluster-Version: 3.8.0\r\n", "412 ",
			"incompatible version\n"},
		{"bad version", "POST /raft", "X-Server-Version: new\r\nX-Min-Cluster-Version: 3.0.0\r\n", "412 ",
			"incompatible version\n"},
		{"no cluster", "POST /raft", "X-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\n", "412 ",
			"cluster ID mismatch\n"},
		{"other cluster", "GET /raft/stream/msgapp/b",
			"X-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: 1\r\n", "412 ",
			"cluster ID mismatch\n"},
		{"snapshot of another cluster", "POST /raft/snapshot",
			"X-Server-Version: 3.7.1\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: 1\r\n", "412 ",
			"cluster ID mismatch\n"},
		{"kind", "GET /raft/stream/other/b", GOOD, "404 ", "invalid path\n"},
		{"id", "GET /raft/stream/msgapp/xyz", GOOD, "404 ", "invalid from\n"},
		{"unknown id", "GET /raft/stream/msgapp/77", GOOD, "404 ", "error sender not found\n"},
		{"removed id", "GET /raft/stream/msgapp/dead", GOOD, "410 Gone", "removed member\n"},
		{"to another", "GET /raft/stream/msgapp/b", GOOD "X-Raft-To: 9\r\n", "412 ", "to field mismatch\n"},
		{"to nobody", "GET /raft/stream/message/b", GOOD, "412 ", "to field mismatch\n"},
		{"unknown path", "GET /nothing", "", "404 ", "404 page not found\n"},
		{"members with slash", "GET /members/", "", "404 ", "404 page not found\n"},
		{"method of members", "POST /members", "", "405 ", "Method Not Allowed\n"},
		{"method of leases", "GET /leases", "", "405 ", "Method Not Allowed\n"},
		{"hashkv of another cluster", "GET /members/hashkv", "X-Etcd-Cluster-ID: 1\r\n", "412 ", "cluster ID mismatch\n"},
		{"promote what", "POST /members/promote/zz", "", "404 ", "member zz not found in cluster\n"},
		{"promote too much", "POST /members/promote/18446744073709551616", "", "404 ",
			"member 18446744073709551616 not found in cluster\n"},
	};

	peer_add(a.set, B, "http://127.0.0.1:1");
	peer_remove(a.set, 0xdead);
	side_settle(&a);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char *request = mem_printf("%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", cases[i].line, cases[i].headers);
		char *answer = raw_ask(side_port(&a), request);
		char *body = strstr(answer, "\r\n\r\n");

		if (strncmp(answer, "HTTP/1.1 ", 9) || strncmp(answer + 9, cases[i].status, strlen(cases[i].status)) || !body ||
		    strcmp(body + 4, cases[i].body))
			fail_msg("%s: %s", cases[i].name, answer);
		mem_free(request);
	}
	assert_int_equal(a.received_count, 0);
}

static char *post(const char *path, struct slice body, size_t announced)
{
	char head[600];
	static char answer[4096];
	int fd = raw_connect(side_port(&a));
	size_t n = 0;
	ssize_t got;

	snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" GOOD "Content-Length: %zu\r\n\r\n", path,
		announced);
	assert_int_equal(write(fd, head, strlen(head)), strlen(head));
	if (body.size)
		assert_int_equal(write(fd, body.data, body.size), body.size);
	while (n < sizeof(answer) - 1 && (got = read(fd, answer + n, sizeof(answer) - 1 - n)) > 0)
		n += (size_t)got;
	answer[n] = 0;
	close(fd);
	return answer;
}

static char *post_message(const struct raft_message *m)
{
	struct buf body;
	char *answer;

	buf_init(&body, 1 << 20);
	raft_message_encode(m, &body);
	answer = post("/raft", buf_slice(&body), body.size);
	buf_fini(&body);
	return answer;
}

static void posted_messages(void **state)
{
	struct raft_message m = {.type = MSG_APP_RESP, .from = B, .to = A, .term = 3, .index = 9};

	assert_non_null(strstr(post_message(&m), "HTTP/1.1 204 No Content\r\n"));
	SIDE_WAIT(&a, a.received.count == 1);
	assert_int_equal(side_message(&a, 0)->index, 9);
	m.to = 0xc;     /* to another */
	assert_non_null(strstr(post_message(&m), "500 Internal Server Error"));
	m.to = A;
	peer_remove(a.set, B);
	side_settle(&a);
	assert_non_null(strstr(post_message(&m), "error processing raft message\n"));
	assert_non_null(strstr(post("/raft", SLICE_LIT("\xff\xff"), 2), "400 Bad Request"));
	assert_non_null(strstr(post("/raft", SLICE_LIT("\xff\xff"), 2), "error unmarshalling raft message\n"));
	assert_int_equal(a.received_count, 1);
}

/* A body that stops coming, and a connection on which nothing is asked. */
static void stalls_are_cut(void **state)
{
	uint64_t before = sched_now_ns(a.sched);
	char byte;
	int fd;

	assert_non_null(strstr(post("/raft", SLICE_LIT("ab"), 100), "error reading raft message\n"));
	fd = raw_connect(side_port(&a));
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	assert_in_range((sched_now_ns(a.sched) - before) / 1000000, 2 * SHORT_MS - 100, 20 * SHORT_MS);
	assert_int_equal(a.received_count, 0);
}

static void probing(void **state)
{
	char *answer = raw_ask(side_port(&a), "GET /raft/probing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

	assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(answer, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\n{\"OK\":true,\"Now\":\"20"));
	assert_non_null(strstr(answer, "Z\"}\n"));
}

/* --- questions --- */

struct asker {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned back;
};

static struct asker asker = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void asker_receive(void *self, struct msg *m)
{
	pthread_mutex_lock(&asker.lock);
	asker.back++;
	pthread_cond_broadcast(&asker.changed);
	pthread_mutex_unlock(&asker.lock);
}

static void ask(struct peer_call *c)
{
	static const struct actor_ops ops = {asker_receive, NULL};
	struct actor *reply = actor_new(b.sched, "asker", &ops, NULL, ACTOR_OWN_THREAD);

	asker.back = 0;
	c->reply = reply;
	peer_call_start(b.set, c);
	SIDE_WAIT(&asker, asker.back == 1);
	actor_free(reply);
}

static struct peer_call call_of(const char *urls, const char *method, const char *path)
{
	return (struct peer_call){.urls = urls, .method = method, .path = path, .timeout_ms = 300, .body_max = 1 << 16};
}

static int open_two(void **state)
{
	open_one(state);
	side_open(&b, B, CLUSTER, 0);
	return 0;
}

static int close_two(void **state)
{
	side_close(&b);
	return close_one(state);
}

static void asks_and_is_answered(void **state)
{
	static const struct {
		const char *method, *path, *body, *want;
		bool has_cluster_id;
	} cases[] = {
		{"GET", "/members", "", "0 0  ", true},
		{"POST", "/members/promote/12", "", "1 12 token ", true},
		{"POST", "/members/promote/13", "", "1 13  ", true},
		{"GET", "/members/hashkv", "{\"revision\":5}", "2 0  {\"revision\":5}", true},
		{"POST", "/leases", "lease", "3 0  lease", false},
		{"POST", "/leases/internal", "lease", "4 0  lease", false},
		{"GET", "/downgrade/enabled", "", "5 0  ", true},
		{"GET", "/version", "", "6 0  ", false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct peer_call c = call_of(a.url, cases[i].method, cases[i].path);

		c.body = slice_str(cases[i].body);
		c.token = i == 1 ? "token" : i == 2 ? "two\r\nlines: x" : NULL;
		ask(&c);
		assert_ok(c.err);
		assert_int_equal(c.status, 200);
		if (!slice_eq(buf_slice(&c.answer), slice_str(cases[i].want)))
			fail_msg("%s: %.*s", cases[i].path, SLICE_ARG(c.answer));
		assert_int_equal(c.has_cluster_id, cases[i].has_cluster_id);
		if (c.has_cluster_id)
			assert_int_equal(c.cluster_id, CLUSTER);
		buf_fini(&c.answer);
	}
}

static void lease_body_is_bounded(void **state)
{
	struct peer_call c = call_of(a.url, "POST", "/leases");
	uint8_t *body = mem_alloc(64 * 1024 + 1);

	memset(body, 'x', 64 * 1024 + 1);
	c.body = slice_of(body, 64 * 1024 + 1);
	ask(&c);
	assert_ok(c.err);
	assert_int_equal(c.status, 413);
	assert_true(slice_eq(buf_slice(&c.answer), SLICE_LIT("request body too large\n")));
	buf_fini(&c.answer);
	c.body.size = 64 * 1024;
	c.body_max = 16;
	ask(&c);
	assert_err(ERR_TOO_LARGE, c.err);
	buf_fini(&c.answer);
	mem_free(body);
}

static bool only_200(unsigned status)
{
	return status == 200;
}

static void goes_on_to_the_next_url(void **state)
{
	char *urls = mem_printf("ftp://x,http://127.0.0.1:1,%s,%s", b.url, a.url);       /* b has no handler for it: no answer */
	struct peer_call c = call_of(urls, "GET", "/members");

	ask(&c);
	assert_ok(c.err);
	assert_true(slice_eq(buf_slice(&c.answer), SLICE_LIT("0 0  ")));
	buf_fini(&c.answer);
	assert_int_equal(b.requests.count, 1);
	peer_answer(b.requests.at[0], 200, NULL, SLICE_LIT("late"));    /* its asker has gone */

	c = call_of("", "GET", "/members");
	ask(&c);
	assert_err(ERR_INVALID, c.err);
	buf_fini(&c.answer);
	c = call_of("http://127.0.0.1:1", "GET", "/members");
	ask(&c);
	assert_err(ERR_IO, c.err);
	assert_string_equal(c.why.text, "dial tcp 127.0.0.1:1: connect: connection refused");
	buf_fini(&c.answer);
	c = call_of(a.url, "GET", "/nothing");
	c.is_final = only_200;
	ask(&c);
	assert_ok(c.err);
	assert_int_equal(c.status, 404);
	buf_fini(&c.answer);
	mem_free(urls);
}

static void answers_later(void **state)
{
	struct peer_call c = call_of(a.url, "GET", "/downgrade/enabled");
	char *answer;

	a.answer_at_once = false;
	ask(&c);
	assert_err(ERR_TIMEOUT, c.err);
	buf_fini(&c.answer);
	SIDE_WAIT(&a, a.requests.count == 1);
	peer_answer(a.requests.at[0], 200, NULL, SLICE_LIT("false"));
	a.answer_at_once = true;
	answer = raw_ask(side_port(&a), "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refusals, open_one, close_one),
		cmocka_unit_test_setup_teardown(posted_messages, open_one, close_one),
		cmocka_unit_test_setup_teardown(stalls_are_cut, open_one, close_one),
		cmocka_unit_test_setup_teardown(probing, open_one, close_one),
		cmocka_unit_test_setup_teardown(asks_and_is_answered, open_two, close_two),
		cmocka_unit_test_setup_teardown(lease_body_is_bounded, open_two, close_two),
		cmocka_unit_test_setup_teardown(goes_on_to_the_next_url, open_two, close_two),
		cmocka_unit_test_setup_teardown(answers_later, open_two, close_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
