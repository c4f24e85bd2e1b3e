/* A gRPC server that only echoes, for measuring the transport and for trying real clients against it.
 *
 *	echo_server [address [loops]]
 *
 * /test.Echo/Unary returns the message; Stream (bidi) each message; Large answers the number n (4 bytes, big endian)
 * with one message of n bytes, sent in parts; Never does not answer. */
#include <signal.h>
#include <stdio.h>

#include "base/endian.h"
#include "grpc/grpc.h"

#define LOOPS_MAX 16
#define PART 32768

static uint8_t zeros[PART];

static void unary(struct grpc_stream *s, struct blob *take_body)
{
	struct slice body = blob_slice(take_body);

	grpc_send(s, &body, 1);
	blob_unref(take_body);
	grpc_finish(s, GRPC_OK, (struct slice){0});
}

static void stream_message(struct grpc_stream *s, struct blob *take_body)
{
	grpc_send_blob(s, (struct slice){0}, take_body, 0);
}

static void stream_half_close(struct grpc_stream *s)
{
	grpc_finish(s, GRPC_OK, (struct slice){0});
}

static void large_go(struct grpc_stream *s)
{
	while (grpc_send_left(s) && grpc_writable(s)) {
		struct slice part = slice_of(zeros, MIN(grpc_send_left(s), PART));

		grpc_send_part(s, &part, 1);
	}
	if (!grpc_send_left(s))
		grpc_finish(s, GRPC_OK, (struct slice){0});
}

static void large(struct grpc_stream *s, struct blob *take_body)
{
	bool good = take_body->size == 4;
	uint32_t size = good ? be32_get(take_body->data) : 0;

	blob_unref(take_body);
	if (!good) {
		grpc_finish(s, GRPC_INVALID_ARGUMENT, SLICE_LIT("four bytes, 100% \"please\"\n"));
		return;
	}
	grpc_send_begin(s, size);
	large_go(s);
}

static void never(struct grpc_stream *s, struct blob *take_body)
{
	blob_unref(take_body);
}

static void cancelled(struct grpc_stream *s)
{
	fprintf(stderr, "cancelled %s\n", s->method->name);
}

static const struct grpc_handler unary_handler = {.on_message = unary};
static const struct grpc_handler stream_handler = {
    .on_message = stream_message, .on_half_close = stream_half_close, .on_cancel = cancelled};
static const struct grpc_handler large_handler = {.on_message = large, .on_writable = large_go};
static const struct grpc_handler never_handler = {.on_message = never, .on_cancel = cancelled};

static const struct grpc_method methods[] = {
    {"test.Echo", "Unary", 0, &unary_handler},
    {"test.Echo", "Stream", GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM, &stream_handler},
    {"test.Echo", "Large", 0, &large_handler},
    {"test.Echo", "Never", 0, &never_handler},
};

struct io {
	struct net_loop *loop;
	struct http_io *http;
	struct grpc_io *grpc;
};

static struct io ios[LOOPS_MAX];

static void hello_request(struct http_req *r)
{
	http_reply_text(r, 200, "text/plain", SLICE_LIT("hello\n"));
}

static void nothing_body(struct http_req *r, struct slice data)
{
	http_consumed(r, data.size);
}

static void nothing(struct http_req *r)
{
}

static void nothing_close(struct http_req *r, enum http_close why)
{
}

static const struct http_handler hello = {hello_request, nothing_body, nothing, NULL, NULL, nothing_close};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	struct io *io = http_io_user(http_req_io(r));

	return r->is_http2 ? grpc_accept(io->grpc, r) : &hello;
}

static struct http_service service = {.http1 = true, .http2 = true, .route = route};

static void on_accept(void *arg, struct net_loop *loop, struct net_stream *s)
{
	for (int i = 0; i < LOOPS_MAX; i++)
		if (ios[i].loop == loop)
			http_serve(ios[i].http, &service, s);
}

static void receive(void *self, struct msg *m)
{
}

static void close_io(void *arg)
{
	http_io_close(arg);
}

int main(int argc, char **argv)
{
	static const struct actor_ops ops = {receive, NULL};
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	struct grpc_opts opts = {methods, ARRAY_COUNT(methods), 2097152, NULL};
	struct net_loop *loops[LOOPS_MAX];
	struct net_listen_opts listen = {.network = "tcp",
					 .address = argc > 1 ? argv[1] : "127.0.0.1:0",
					 .loops = loops,
					 .loop_count = count,
					 .on_accept = on_accept};
	struct sched *sched = sched_threads_new(1);
	struct grpc_server *server = grpc_server_new(&opts);
	struct net_listener *listener;
	struct why why;
	sigset_t set;
	int sig;

	if (count < 1 || count > LOOPS_MAX)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	http_limits_default(&service.limits);
	service.budget = http_budget_new(256 << 20);
	for (unsigned i = 0; i < count; i++) {
		loops[i] = ios[i].loop = net_loop_new(sched, "io", &ops, &ios[i]);
		ios[i].http = http_io_new(loops[i], &ios[i]);
		ios[i].grpc = grpc_io_new(server, ios[i].http, NULL, NULL);
		net_loop_start(loops[i]);
	}
	if (net_listen(&listen, &why, &listener)) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	printf("%s\n", net_listener_address(listener));
	fflush(stdout);
	sigwait(&set, &sig);
	net_listener_close(listener);
	for (unsigned i = 0; i < count; i++) {
		net_loop_call_wait(loops[i], close_io, ios[i].http);
		net_loop_stop(loops[i]);
		http_io_free(ios[i].http);
		grpc_io_free(ios[i].grpc);
		net_loop_free(loops[i]);
	}
	grpc_server_free(server);
	http_budget_free(service.budget);
	sched_free(sched);
	return 0;
}
