/* Loops, listeners, streams and dialling over real sockets of this machine. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/net.h"
#include "../../lib/test.h"

#define LOOPS 3

/* --- an echo server: what a stream brings goes back; EOF closes with linger --- */

struct echo {
	struct net_stream *stream;
	struct net_loop *loop;
};

static struct echo echoes[64];
static _Atomic unsigned echo_count;

static struct {
	struct sched *sched;
	struct net_loop *loops[LOOPS];
	_Atomic unsigned accepted[LOOPS];
	_Atomic unsigned received; /* messages of the host's actor */
	char remote[112];
} t;

static void echo_read(void *owner, struct slice data)
{
	struct echo *e = owner;
	struct iovec iov = {(void *)data.data, data.size};

	ASSERT_ON(net_loop_actor(e->loop));
	if (slice_eq(data, SLICE_LIT("bye"))) {
		net_stream_close(e->stream, true);
		return;
	}
	net_stream_write(e->stream, &iov, 1);
	if (net_stream_unsent(e->stream))
		net_stream_read_enable(e->stream, false);
}

static void echo_writable(void *owner)
{
	struct echo *e = owner;

	net_stream_read_enable(e->stream, true);
}

static void echo_eof(void *owner)
{
	struct echo *e = owner;

	net_stream_close(e->stream, true);
}

static void echo_failed(void *owner, err_t err)
{
	struct echo *e = owner;

	net_stream_close(e->stream, false);
}

static const struct net_events echo_events = {echo_read, echo_eof, echo_writable, echo_failed};

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	struct echo *e = &echoes[echo_count++ % 64];

	for (int i = 0; i < LOOPS; i++)
		if (t.loops[i] == loop)
			t.accepted[i]++;
	memcpy(t.remote, take_s->peer.remote, sizeof(t.remote));
	e->stream = take_s;
	e->loop = loop;
	net_stream_set_owner(take_s, &echo_events, e);
	net_stream_read_enable(take_s, true);
}

static void receive(void *self, struct msg *m)
{
	t.received++;
}

static int setup(void **state)
{
	static const struct actor_ops ops = {receive, NULL};

	memset(&t, 0, sizeof(t));
	t.sched = sched_threads_new(1);
	for (int i = 0; i < LOOPS; i++) {
		t.loops[i] = net_loop_new(t.sched, "io", &ops, NULL);
		net_loop_start(t.loops[i]);
	}
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < LOOPS; i++)
		net_loop_stop(t.loops[i]);
	for (int i = 0; i < LOOPS; i++)
		net_loop_free(t.loops[i]);
	sched_free(t.sched);
	return 0;
}

static struct net_listener *listen_on(const char *network, const char *address)
{
	struct net_listen_opts o = {
	    .network = network, .address = address, .loops = t.loops, .loop_count = LOOPS, .on_accept = on_accept};
	struct net_listener *l = NULL;
	struct why why;

	assert_ok(net_listen(&o, &why, &l));
	return l;
}

static int connect_to(const char *ip, const char *address)
{
	unsigned port = (unsigned)atoi(strrchr(address, ':') + 1);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	bool is_v6 = strchr(ip, ':');
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	inet_pton(is_v6 ? AF_INET6 : AF_INET, ip, is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
	if (connect(fd, is_v6 ? (void *)&v6 : (void *)&v4, is_v6 ? sizeof(v6) : sizeof(v4)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void read_all(int fd, uint8_t *buf, size_t size)
{
	for (size_t n = 0; n < size;) {
		ssize_t r = read(fd, buf + n, size - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
}

static void echo_once(int fd, const char *text)
{
	uint8_t buf[64];

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	read_all(fd, buf, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void nothing(void *arg)
{
}

/* What the loops did before is seen afterwards. */
static void sync_loops(void)
{
	for (int i = 0; i < LOOPS; i++)
		net_loop_call_wait(t.loops[i], nothing, NULL);
}

/* --- */

static void connections_go_round_the_loops(void **state)
{
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0");
	int fds[2 * LOOPS];

	for (int i = 0; i < 2 * LOOPS; i++) {
		fds[i] = connect_to("127.0.0.1", net_listener_address(l));
		echo_once(fds[i], "hello");
	}
	for (int i = 0; i < LOOPS; i++)
		assert_int_equal(t.accepted[i], 2);
	assert_int_equal(net_listener_conns(l), 2 * LOOPS);
	for (int i = 0; i < 2 * LOOPS; i++)
		close(fds[i]);
	for (int i = 0; i < 1000 && net_listener_conns(l); i++)
		usleep(1000);
	assert_int_equal(net_listener_conns(l), 0);
	net_listener_close(l);
}

/* Go: "tcp" with a wildcard serves both families. The peer of an IPv4 client is printed as IPv4. */
static void a_wildcard_listens_for_both_families(void **state)
{
	struct net_listener *l = listen_on("tcp", "0.0.0.0:0");
	int fd = connect_to("127.0.0.1", net_listener_address(l));
	int fd6 = connect_to("::1", net_listener_address(l));

	echo_once(fd, "four");
	if (fd6 >= 0) { /* a machine without IPv6 has no ::1 */
		echo_once(fd6, "six");
		sync_loops();
		assert_memory_equal(t.remote, "[::1]:", 6);
		close(fd6);
	} else {
		sync_loops();
		assert_memory_equal(t.remote, "127.0.0.1:", 10);
	}
	close(fd);
	net_listener_close(l);
}

static void failing_to_listen_is_told_in_go_words(void **state)
{
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0"), *second = NULL;
	struct net_listen_opts o = {.network = "tcp", .loops = t.loops, .loop_count = 1, .on_accept = on_accept};
	char want[128];
	struct why why;

	snprintf(want, sizeof(want), "listen tcp %s: bind: address already in use", net_listener_address(l));
	o.address = net_listener_address(l);
	assert_int_not_equal(net_listen(&o, &why, &second), OK);
	assert_string_equal(why.text, want);
	o.address = "192.0.2.1:1";
	assert_int_not_equal(net_listen(&o, &why, &second), OK);
	assert_string_equal(why.text, "listen tcp 192.0.2.1:1: bind: cannot assign requested address");
	o.address = "127.0.0.1";
	assert_err(ERR_INVALID, net_listen(&o, &why, &second));
	assert_null(second);
	net_listener_close(l);
}

static void a_closed_listener_refuses(void **state)
{
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0");
	char address[64];

	snprintf(address, sizeof(address), "%s", net_listener_address(l));
	net_listener_close(l);
	assert_int_equal(connect_to("127.0.0.1", address), -1);
}

static void unix_sockets_replace_a_stale_file(void **state)
{
	struct sockaddr_un u = {.sun_family = AF_UNIX};
	struct net_listener *l;
	struct stat st;
	int stale = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(u.sun_path, sizeof(u.sun_path), "/tmp/test_net_%d.sock", getpid());
	assert_int_equal(bind(stale, (struct sockaddr *)&u, sizeof(u)), 0);
	close(stale);
	l = listen_on("unix", u.sun_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&u, sizeof(u)), 0);
	echo_once(fd, "unix");
	sync_loops();
	assert_string_equal(t.remote, "@");
	close(fd);
	net_listener_close(l);
	assert_int_equal(stat(u.sun_path, &st), -1);
}

static void a_full_listener_lets_connections_wait(void **state)
{
	struct net_listen_opts o = {.network = "tcp",
				    .address = "127.0.0.1:0",
				    .conns_max = 1,
				    .loops = t.loops,
				    .loop_count = 1,
				    .on_accept = on_accept};
	struct net_listener *l;
	struct pollfd p = {.events = POLLIN};
	struct why why;
	uint8_t b;
	int one, two;

	assert_ok(net_listen(&o, &why, &l));
	one = connect_to("127.0.0.1", net_listener_address(l));
	echo_once(one, "1");
	two = connect_to("127.0.0.1", net_listener_address(l));
	assert_int_equal(write(two, "2", 1), 1);
	p.fd = two;
	assert_int_equal(poll(&p, 1, 120), 0);
	close(one);
	assert_int_equal(poll(&p, 1, 2000), 1);
	read_all(two, &b, 1);
	close(two);
	net_listener_close(l);
}

/* More than the socket takes at once: kept, sent later, reading paused meanwhile; then our end comes after the bytes.
 */
static void large_echo_arrives_whole_before_the_end(void **state)
{
	enum { SIZE = 8 << 20 };
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0");
	int fd = connect_to("127.0.0.1", net_listener_address(l));
	uint8_t *in = malloc(SIZE), *out = malloc(SIZE);
	pid_t child;

	for (int i = 0; i < SIZE; i++)
		out[i] = (uint8_t)(i * 31 + i / 4096);
	child = fork();
	if (child == 0) {
		for (int n = 0; n < SIZE;)
			n += (int)write(fd, out + n, (size_t)(SIZE - n));
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	usleep(50000);
	read_all(fd, in, SIZE);
	assert_memory_equal(in, out, SIZE);
	assert_int_equal(read(fd, in, 1), 0);
	close(fd);
	free(in);
	free(out);
	net_listener_close(l);
}

/* Closed with linger: our end comes at once, a peer that keeps his open is cut after a second. */
static void a_lingering_stream_does_not_stay(void **state)
{
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0");
	int fd = connect_to("127.0.0.1", net_listener_address(l));
	uint8_t b;

	assert_int_equal(write(fd, "bye", 3), 3);
	assert_int_equal(read(fd, &b, 1), 0);
	assert_int_equal(net_listener_conns(l), 1);
	for (int i = 0; i < 2000 && net_listener_conns(l); i++)
		usleep(1000);
	assert_int_equal(net_listener_conns(l), 0);
	close(fd);
	net_listener_close(l);
}

/* --- dialling --- */

struct dialled {
	_Atomic int done;
	err_t err;
	char why[256];
	struct net_stream *stream;
	const char *address;
	const char *network;
	uint64_t timeout_ms;
};

static void dial_done(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	struct dialled *d = arg;

	d->err = err;
	snprintf(d->why, sizeof(d->why), "%s", why);
	if (take_s)
		net_stream_close(take_s, false);
	d->done = 1;
}

static void dial(void *arg)
{
	struct dialled *d = arg;

	net_dial(t.loops[1], d->network, d->address, d->timeout_ms, dial_done, d);
}

static void dial_cancelled(void *arg)
{
	struct dialled *d = arg;

	net_dial_cancel(net_dial(t.loops[1], d->network, d->address, d->timeout_ms, dial_done, d));
}

static void dial_and_wait(struct dialled *d, const char *network, const char *address, uint64_t timeout_ms)
{
	*d = (struct dialled){.network = network, .address = address, .timeout_ms = timeout_ms};
	net_loop_call_wait(t.loops[1], dial, d);
	for (int i = 0; i < 5000 && !d->done; i++)
		usleep(1000);
	assert_int_equal(d->done, 1);
}

static void dialling_connects_or_says_why(void **state)
{
	struct net_listener *l = listen_on("tcp", "127.0.0.1:0");
	char address[64], want[128];
	struct dialled d;

	dial_and_wait(&d, "tcp", net_listener_address(l), 2000);
	assert_ok(d.err);
	snprintf(address, sizeof(address), "localhost%s", strrchr(net_listener_address(l), ':'));
	dial_and_wait(&d, "tcp", address, 2000);
	assert_ok(d.err);
	snprintf(address, sizeof(address), "%s", net_listener_address(l));
	net_listener_close(l);
	dial_and_wait(&d, "tcp", address, 2000);
	snprintf(want, sizeof(want), "dial tcp %s: connect: connection refused", address);
	assert_int_not_equal(d.err, OK);
	assert_string_equal(d.why, want);
	dial_and_wait(&d, "unix", "/nonexistent/socket", 2000);
	assert_string_equal(d.why, "dial unix /nonexistent/socket: connect: no such file or directory");
	dial_and_wait(&d, "tcp", "noport", 2000);
	assert_err(ERR_INVALID, d.err);
}

static void a_cancelled_dial_tells_nothing(void **state)
{
	struct dialled d = {.network = "tcp", .address = "localhost:1", .timeout_ms = 1000};

	net_loop_call_wait(t.loops[1], dial_cancelled, &d);
	usleep(20000);
	sync_loops();
	assert_int_equal(d.done, 0);
}

/* --- loops --- */

struct fired {
	struct net_timer timer;
	int order;
};

static _Atomic int fire_count;

static void fire(struct net_timer *tm)
{
	CONTAINER_OF(tm, struct fired, timer)->order = ++fire_count;
}

static struct fired timers[100];

static void set_timers(void *arg)
{
	uint64_t now = net_loop_now_ms(t.loops[0]);

	for (int i = 0; i < 100; i++) {
		net_timer_init(&timers[i].timer, fire);
		net_timer_set(t.loops[0], &timers[i].timer, now + 1 + (uint64_t)(i * 37 % 100) / 4);
	}
	for (int i = 0; i < 100; i += 3)
		net_timer_cancel(t.loops[0], &timers[i].timer);
	net_timer_set(t.loops[0], &timers[1].timer, now + 40);
}

static void timers_fire_in_order_unless_cancelled(void **state)
{
	fire_count = 0;
	net_loop_call_wait(t.loops[0], set_timers, NULL);
	for (int i = 0; i < 2000 && fire_count < 66; i++)
		usleep(1000);
	usleep(10000);
	sync_loops();
	assert_int_equal(fire_count, 66);
	assert_int_equal(timers[1].order, 66);
	for (int i = 0; i < 100; i++)
		assert_int_equal(timers[i].order == 0, i % 3 == 0);
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < 100; k++)
			if (i % 3 && k % 3 && i != 1 && k != 1 && i * 37 % 100 / 4 < k * 37 % 100 / 4)
				assert_true(timers[i].order < timers[k].order);
}

static void messages_reach_the_hosted_actor(void **state)
{
	struct msg m[100] = {{.kind = 7}};

	for (int i = 0; i < 100; i++)
		actor_post(net_loop_actor(t.loops[2]), &m[i]);
	for (int i = 0; i < 1000 && t.received < 100; i++)
		usleep(1000);
	assert_int_equal(t.received, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	    T(connections_go_round_the_loops),          T(a_wildcard_listens_for_both_families),
	    T(failing_to_listen_is_told_in_go_words),   T(a_closed_listener_refuses),
	    T(unix_sockets_replace_a_stale_file),       T(a_full_listener_lets_connections_wait),
	    T(large_echo_arrives_whole_before_the_end), T(a_lingering_stream_does_not_stay),
	    T(dialling_connects_or_says_why),           T(a_cancelled_dial_tells_nothing),
	    T(timers_fire_in_order_unless_cancelled),   T(messages_reach_the_hosted_actor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
