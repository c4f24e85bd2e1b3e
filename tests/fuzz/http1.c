/* HTTP/1.1 requests. Input: a byte that says how the rest is cut, then what a client sends. The handler answers in a
 * way that the path chooses, so that all framings come up. */
#include "fuzz.h"
#include "http/http.h"

static void on_request(struct http_req *r)
{
	uint8_t kind = r->path.size > 1 ? r->path.data[1] : 0;

	r->user = NULL;
	if (kind == 'u') {
		http_upgrade(r, NULL, 0);
	} else if (kind == 's') {
		http_respond(r, 200, NULL, 0);
		http_send(r, (struct slice[]){SLICE_LIT("part")}, 1);
	} else if (kind == 'r') {
		http_reset(r, 8);
	} else if (kind == 'b') {
		r->user = r; /* answered at the end of the body */
	} else {
		http_reply_text(r, kind == 'n' ? 204 : 200, "text/plain", SLICE_LIT("hello"));
	}
}

static void on_body(struct http_req *r, struct slice data)
{
	http_consumed(r, data.size);
}

static void on_body_end(struct http_req *r)
{
	if (r->user)
		http_reply_text(r, 200, "text/plain", SLICE_LIT("hello"));
}

static void on_close(struct http_req *r, enum http_close why)
{
}

static const struct http_handler handler = {on_request, on_body, on_body_end, NULL, NULL, on_close};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return &handler;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct net_peer peer = {"fuzz"};
	struct http_service svc = {.http1 = true, .route = route, .budget = http_budget_new(8 << 20)};
	struct http_io *io = http_io_new(NULL, NULL);
	uint8_t *out = mem_alloc(HTTP_OUTPUT_MIN);
	size_t step = size ? 1 + data[0] * data[0] : 1;
	struct http_conn *c;

	http_limits_default(&svc.limits);
	c = http_conn_new(io, &svc, &peer, NULL, NULL);
	for (size_t at = 1; at < size; at += step) {
		http_conn_input(c, slice_of(data + at, MIN(step, size - at)));
		while (http_conn_output(c, out, HTTP_OUTPUT_MIN))
			;
	}
	http_conn_eof(c);
	while (http_conn_output(c, out, HTTP_OUTPUT_MIN))
		;
	http_conn_free(c);
	http_io_free(io);
	http_budget_free(svc.budget);
	mem_free(out);
	return 0;
}
