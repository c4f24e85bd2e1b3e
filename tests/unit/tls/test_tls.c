/* Handshakes and bytes between two ends of ours over real sockets: an echo server on one loop, the dialling side on another. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "tls/tls.h"
#include "../../lib/test.h"

#define BIG (3u << 20)

static struct {
	struct sched *sched;
	struct net_loop *server_loop, *client_loop;
	struct net_listener *listener;
	struct tls_context *server, *client;
	char dir[64];
	char *cert[2], *key[2];         /* two self-signed ones, each its own authority */
	_Atomic unsigned accepted;
	_Atomic int server_err;         /* -1: nothing happened yet; as client_err */
	char server_why[300];
	struct net_stream *echo;
	const char *host;
	_Atomic int client_err;
	char client_why[300];
	struct net_stream *stream;
	uint8_t *out, *in;
	size_t want, sent;
	_Atomic size_t got;
	_Atomic bool lost;              /* the connection ended */
} t;

/* ---- server: echo ---- */

static void echo_read(void *owner, struct slice data)
{
	struct iovec iov = {(void *)data.data, data.size};

	net_stream_write(t.echo, &iov, 1);
	if (net_stream_unsent(t.echo))
		net_stream_read_enable(t.echo, false);
}

static void echo_writable(void *owner)
{
	net_stream_read_enable(t.echo, true);
}

static void echo_end(void *owner)
{
	net_stream_close(t.echo, true);
	t.echo = NULL;
}

static void echo_failed(void *owner, err_t err)
{
	echo_end(owner);
}

static const struct net_events echo_events = {echo_read, echo_end, echo_writable, echo_failed};

static void accepted(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	if (err) {
		snprintf(t.server_why, sizeof(t.server_why), "%s", why);
	} else {
		t.echo = take_s;
		net_stream_set_owner(take_s, &echo_events, NULL);
		net_stream_read_enable(take_s, true);
	}
	t.server_err = (int)err;
	t.accepted++;
}

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *take_s)
{
	tls_accept(t.server, take_s, accepted, NULL);
}

/* ---- client ---- */

static void send_more(void)
{
	while (t.sent < t.want && !net_stream_unsent(t.stream)) {
		size_t n = MIN(t.want - t.sent, 100000);
		struct iovec iov[3] = {{t.out + t.sent, MIN(n, 9)}, {t.out + t.sent + MIN(n, 9), n - MIN(n, 9)}, {t.out, 0}};

		t.sent += n;
		net_stream_write(t.stream, iov, 3);
	}
}

static void client_read(void *owner, struct slice data)
{
	if (t.got + data.size <= t.want)
		memcpy(t.in + t.got, data.data, data.size);
	t.got += data.size;
	if (t.got % 5 == 0)             /* pausing must lose nothing */
		net_stream_read_enable(t.stream, false);
	net_stream_read_enable(t.stream, true);
}

static void client_writable(void *owner)
{
	send_more();
}

static void client_end(void *owner)
{
	net_stream_close(t.stream, false);
	t.stream = NULL;
	t.lost = true;
}

static void client_failed(void *owner, err_t err)
{
	client_end(owner);
}

static const struct net_events client_events = {client_read, client_end, client_writable, client_failed};

static void connected(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	if (err) {
		snprintf(t.client_why, sizeof(t.client_why), "%s", why);
	} else {
		t.stream = take_s;
		net_stream_set_owner(take_s, &client_events, NULL);
		net_stream_read_enable(take_s, true);
		send_more();
	}
	t.client_err = (int)err;
}

static void dialled(void *arg, err_t err, const char *why, struct net_stream *take_s)
{
	assert_ok(err);
	tls_connect(t.client, take_s, t.host, connected, NULL);
}

static void dial(void *arg)
{
	net_dial(t.client_loop, "tcp", net_listener_address(t.listener), 5000, dialled, NULL);
}

/* ---- harness ---- */

static bool wait_for(bool (*is_so)(void))
{
	for (int i = 0; i < 20000 && !is_so(); i++)
		usleep(500);
	return is_so();
}

static bool both_told(void)
{
	return t.server_err >= 0 && t.client_err >= 0;
}

static bool all_back(void)
{
	return t.got >= t.want;
}

static bool ended(void)
{
	return t.lost || t.client_err > 0;
}

static void close_ends(void *arg)
{
	if (arg == t.client_loop && t.stream)
		net_stream_close(t.stream, false);
	if (arg == t.server_loop && t.echo)
		net_stream_close(t.echo, false);
}

static struct tls_context *context(struct tls_config c)
{
	struct tls_context *out = NULL;
	struct why why = {""};
	err_t err = tls_context_new(&c, &why, &out);

	if (err)
		fail_msg("%s", why.text);
	return out;
}

/* One handshake of these two, with bytes bytes to and fro if it works. */
static void meet(struct tls_config server, struct tls_config client, const char *host, size_t bytes)
{
	t.server = context(server);
	t.client = context(client);
	t.host = host;
	t.want = bytes;
	t.sent = 0;
	t.got = 0;
	t.server_err = t.client_err = -1;
	t.lost = false;
	t.server_why[0] = t.client_why[0] = 0;
	net_loop_call_wait(t.client_loop, dial, NULL);
	assert_true(wait_for(both_told));
}

static void part(void)
{
	net_loop_call_wait(t.client_loop, close_ends, t.client_loop);
	net_loop_call_wait(t.server_loop, close_ends, t.server_loop);
	t.stream = t.echo = NULL;
	tls_context_free(t.server);
	tls_context_free(t.client);
}

static void receive(void *self, struct msg *m)
{
}

static int setup(void **state)
{
	static const struct actor_ops ops = {receive, NULL};
	struct net_listen_opts o = {.network = "tcp", .address = "127.0.0.1:0", .loops = &t.server_loop, .loop_count = 1, .on_accept = on_accept};
	const char *hosts[] = {"127.0.0.1:2379", "localhost"};
	struct why why;

	strcpy(t.dir, "/tmp/cetcd-test-tls-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	for (int i = 0; i < 2; i++) {
		char *dir = mem_printf("%s/%d", t.dir, i);

		assert_ok(tls_self_signed(dir, hosts, 2, 1, &why, &t.cert[i], &t.key[i]));
		mem_free(dir);
	}
	t.out = mem_alloc(BIG);
	t.in = mem_alloc(BIG);
	for (size_t i = 0; i < BIG; i++)
		t.out[i] = (uint8_t)(i * 2654435761u >> 13);
	t.sched = sched_threads_new(1);
	t.server_loop = net_loop_new(t.sched, "server", &ops, NULL);
	t.client_loop = net_loop_new(t.sched, "client", &ops, NULL);
	net_loop_start(t.server_loop);
	net_loop_start(t.client_loop);
	assert_ok(net_listen(&o, &why, &t.listener));
	return 0;
}

static int teardown(void **state)
{
	char *rm = mem_printf("rm -rf %s", t.dir);

	net_listener_close(t.listener);
	net_loop_stop(t.server_loop);
	net_loop_stop(t.client_loop);
	net_loop_free(t.server_loop);
	net_loop_free(t.client_loop);
	sched_free(t.sched);
	mem_free(t.out);
	mem_free(t.in);
	for (int i = 0; i < 2; i++) {
		mem_free(t.cert[i]);
		mem_free(t.key[i]);
	}
	assert_int_equal(system(rm), 0);
	mem_free(rm);
	return 0;
}

#define SERVER .cert_file = t.cert[0], .key_file = t.key[0]

/* ---- tests ---- */

static void test_bytes_come_back(void **state)
{
	meet((struct tls_config){SERVER, .offer_h2 = true}, (struct tls_config){.trusted_ca_file = t.cert[0], .offer_h2 = true}, "127.0.0.1", BIG);
	assert_int_equal(t.server_err, OK);
	assert_int_equal(t.client_err, OK);
	assert_true(t.stream->peer.is_tls);
	assert_true(wait_for(all_back));
	assert_int_equal(t.got, BIG);
	assert_memory_equal(t.in, t.out, BIG);
	part();
}

static void test_wrong_authority_and_name(void **state)
{
	meet((struct tls_config){SERVER}, (struct tls_config){.trusted_ca_file = t.cert[1]}, "127.0.0.1", 0);
	assert_int_not_equal(t.client_err, OK);
	assert_non_null(strstr(t.client_why, "certificate signed by unknown authority"));
	assert_non_null(strstr(t.server_why, "remote error: tls: "));
	part();
	meet((struct tls_config){SERVER}, (struct tls_config){.trusted_ca_file = t.cert[0]}, "127.0.0.2", 0);
	assert_int_not_equal(t.client_err, OK);
	assert_non_null(strstr(t.client_why, "not valid for the name"));
	part();
	meet((struct tls_config){SERVER}, (struct tls_config){.trusted_ca_file = t.cert[0]}, "localhost", 1000);
	assert_int_equal(t.client_err, OK);
	assert_true(wait_for(all_back));
	part();
	meet((struct tls_config){SERVER}, (struct tls_config){.insecure_skip_verify = true}, "127.0.0.2", 1000);
	assert_int_equal(t.client_err, OK);
	part();
}

/* Without an authority of its own the client trusts the system's, which are read with the first connection. */
static void test_authorities_of_the_system(void **state)
{
	setenv("SSL_CERT_DIR", t.dir, 1);
	setenv("SSL_CERT_FILE", t.cert[1], 1);
	meet((struct tls_config){SERVER}, (struct tls_config){0}, "127.0.0.1", 0);
	assert_non_null(strstr(t.client_why, "certificate signed by unknown authority"));
	part();
	setenv("SSL_CERT_FILE", t.cert[0], 1);
	meet((struct tls_config){SERVER}, (struct tls_config){0}, "127.0.0.1", 1000);
	assert_int_equal(t.client_err, OK);
	assert_true(wait_for(all_back));
	assert_int_equal(t.got, 1000);
	t.server_err = t.client_err = -1;
	net_loop_call_wait(t.client_loop, close_ends, t.client_loop);
	net_loop_call_wait(t.server_loop, close_ends, t.server_loop);
	net_loop_call_wait(t.client_loop, dial, NULL);
	assert_true(wait_for(both_told));
	assert_int_equal(t.client_err, OK);
	part();
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
}

/* With TLS 1.3 the client is through before the server has seen its certificate; then it loses the connection. */
static void test_client_certificate_is_demanded(void **state)
{
	meet((struct tls_config){SERVER, .trusted_ca_file = t.cert[1]}, (struct tls_config){.trusted_ca_file = t.cert[0]}, "127.0.0.1", 10);
	assert_int_not_equal(t.server_err, OK);
	assert_string_equal(t.server_why, "tls: client didn't provide a certificate");
	assert_true(wait_for(ended));
	part();
	/* A certificate for servers only is not one for clients. */
	meet((struct tls_config){SERVER, .trusted_ca_file = t.cert[1]},
	     (struct tls_config){.trusted_ca_file = t.cert[0], .client_cert_file = t.cert[1], .client_key_file = t.key[1]}, "127.0.0.1", 10);
	assert_int_not_equal(t.server_err, OK);
	assert_non_null(strstr(t.server_why, "incompatible key usage"));
	assert_true(wait_for(ended));
	part();
}

static void test_allowed_names_bind_the_dialling_side_too(void **state)
{
	const char *cns[] = {"somebody"}, *hosts[] = {"localhost"};

	meet((struct tls_config){SERVER}, (struct tls_config){.trusted_ca_file = t.cert[0], .allowed_cns = cns, .allowed_cn_count = 1},
	     "127.0.0.1", 0);
	assert_string_equal(t.client_why, "client certificate authentication failed");
	part();
	meet((struct tls_config){SERVER}, (struct tls_config){.trusted_ca_file = t.cert[0], .allowed_hostnames = hosts, .allowed_hostname_count = 1},
	     "127.0.0.1", 10);
	assert_int_equal(t.client_err, OK);
	part();
}

static void test_versions_that_do_not_meet(void **state)
{
	meet((struct tls_config){SERVER, .min_version = TLS_VERSION_1_3}, (struct tls_config){.trusted_ca_file = t.cert[0],
	     .max_version = TLS_VERSION_1_2}, "127.0.0.1", 0);
	assert_non_null(strstr(t.client_why, "protocol version not supported"));
	part();
}

/* New files are served to who comes next. */
static void test_rotation(void **state)
{
	struct tls_config server = {SERVER};
	char *copy = mem_printf("cp %s %s && cp %s %s", t.cert[1], t.cert[0], t.key[1], t.key[0]);

	meet(server, (struct tls_config){.trusted_ca_file = t.cert[1]}, "127.0.0.1", 0);
	assert_int_not_equal(t.client_err, OK);
	assert_int_equal(system(copy), 0);
	t.server_err = t.client_err = -1;
	net_loop_call_wait(t.client_loop, dial, NULL);
	assert_true(wait_for(both_told));
	assert_int_equal(t.client_err, OK);
	part();
	mem_free(copy);
}

static void test_files_that_are_none(void **state)
{
	struct tls_context *c;
	struct why why;
	const char *suites[] = {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_NO_SUCH"};

	assert_err(ERR_NOT_EXIST, tls_context_new(&(struct tls_config){.cert_file = "/nowhere", .key_file = "/nowhere"}, &why, &c));
	assert_string_equal(why.text, "open /nowhere: no such file or directory");
	assert_err(ERR_INVALID, tls_context_new(&(struct tls_config){.cert_file = t.key[0], .key_file = t.key[0]}, &why, &c));
	assert_ok(tls_cipher_suites_check(suites, 1, &why));
	assert_err(ERR_INVALID, tls_cipher_suites_check(suites, 2, &why));
	assert_string_equal(why.text, "unexpected TLS cipher suite \"TLS_NO_SUCH\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_come_back),
		cmocka_unit_test(test_wrong_authority_and_name),
		cmocka_unit_test(test_authorities_of_the_system),
		cmocka_unit_test(test_client_certificate_is_demanded),
		cmocka_unit_test(test_allowed_names_bind_the_dialling_side_too),
		cmocka_unit_test(test_versions_that_do_not_meet),
		cmocka_unit_test(test_files_that_are_none),
		cmocka_unit_test(test_rotation),
	};

	signal(SIGPIPE, SIG_IGN);       /* as any program with sockets of libuv */
	return cmocka_run_group_tests(tests, setup, teardown);
}
