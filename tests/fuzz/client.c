/* What a server may say to a client: bytes on a connection, after which it is cut. A unary call, a watch and a stream
 * are open meanwhile; each has to end or to be dropped, and no message may be larger than was allowed. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "client/client_impl.h"
#include "fuzz.h"

enum { RECV_BYTES_MAX = 4096, TURNS_AFTER = 3 };

struct world {
	uv_loop_t loop;
	uv_pipe_t listener;
	uv_pipe_t *peer;
	char path[64];
	struct slice input;
	bool cut;
	unsigned ends;
};

static struct world w;

static void peer_closed(uv_handle_t *h)
{
	mem_free(h);
	w.cut = true;
}

static void on_written(uv_write_t *req, int status)
{
	uv_close((uv_handle_t *)w.peer, peer_closed);
	mem_free(req);
}

/* Everything at once; the client may find a frame cut anywhere. */
static void on_accept(uv_stream_t *l, int status)
{
	uv_write_t *req = NEW(uv_write_t);
	uv_buf_t b = uv_buf_init((char *)w.input.data, (unsigned)w.input.size);

	w.peer = NEW(uv_pipe_t);
	uv_pipe_init(&w.loop, w.peer, 0);
	ASSERT(!uv_accept(l, (uv_stream_t *)w.peer));
	ASSERT(!uv_write(req, (uv_stream_t *)w.peer, &b, 1, on_written));
}

static void begin(void)
{
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&w.loop);
	snprintf(w.path, sizeof(w.path), "/tmp/fuzz-client-%d.sock", (int)getpid());
	unlink(w.path);
	uv_pipe_init(&w.loop, &w.listener, 0);
	ASSERT(!uv_pipe_bind(&w.listener, w.path));
	ASSERT(!uv_listen((uv_stream_t *)&w.listener, 4, on_accept));
}

static void on_message(struct client_call *call, void *user, struct slice body)
{
	ASSERT(body.size <= RECV_BYTES_MAX);
}

static void on_end(struct client_call *call, void *user, const struct client_status *s)
{
	char text[CLIENT_ERROR_SIZE];

	ASSERT(strlen(client_error(text, s)) < sizeof(text));
	w.ends++;
}

static void on_response(struct client_watch *watch, void *user, struct slice body)
{
	ASSERT(body.size <= RECV_BYTES_MAX);
}

static void on_watch_end(struct client_watch *watch, void *user, const struct client_status *s)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct client_events events = {on_message, on_end};
	static const struct client_watch_events watch_events = {on_response, on_watch_end};
	char endpoint[80];
	const char *list[] = {endpoint};
	struct client_opts o = {.endpoints = list, .endpoint_count = 1, .recv_bytes_max = RECV_BYTES_MAX};
	struct client_watch_opts wo = {.key = SLICE_LIT("k")};
	struct client_watch *watch;
	struct client *c;
	struct why why;

	if (!w.path[0])
		begin();
	snprintf(endpoint, sizeof(endpoint), "unix://%s", w.path);
	w.input = slice_of(data, size);
	w.cut = false;
	w.ends = 0;
	ASSERT(!client_new(&w.loop, &o, &why, &c));
	client_start(c, RPC_PUT, SLICE_LIT("request"), NULL, &events, NULL);
	watch = client_watch_open(c, &wo, &watch_events, NULL);
	client_start(c, RPC_SNAPSHOT, SLICE_LIT(""), NULL, &events, NULL);
	while (!w.cut)
		uv_run(&w.loop, UV_RUN_ONCE);
	for (int i = 0; i < TURNS_AFTER; i++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	client_watch_close(watch);
	client_free(c);
	uv_run(&w.loop, UV_RUN_NOWAIT);
	ASSERT(w.ends == 2);
	return 0;
}
