/* HTTP/2 frames. Input: what a client sends after the preface; a frame of type 0xf0 is no frame but a command to the
 * handler side (answer, send, end, reset, drain, time), so that both sides of the state machine meet. */
#include "fuzz.h"
#include "http/http.h"

#define OPEN_MAX 64

struct fuzz {
	struct http_req *open[OPEN_MAX];
	size_t count;
};

static void on_request(struct http_req *r)
{
	struct fuzz *f = http_io_user(http_req_io(r));

	if (f->count == OPEN_MAX)
		http_reset(r, 7);
	else
		f->open[f->count++] = r;
}

static void on_body(struct http_req *r, struct slice data)
{
	if (data.size && data.data[0] % 2)
		http_consumed(r, data.size / 2);
}

static void nothing(struct http_req *r)
{
}

static void on_close(struct http_req *r, enum http_close why)
{
	struct fuzz *f = http_io_user(http_req_io(r));

	for (size_t i = 0; i < f->count; i++)
		if (f->open[i] == r)
			f->open[i--] = f->open[--f->count];
}

static const struct http_handler handler = {on_request, on_body, nothing, nothing, nothing, on_close};

static const struct http_handler *route(void *arg, struct http_req *r)
{
	return &handler;
}

/* r->user counts what was done: NULL nothing, 1 responded, 2 ended. */
static void command(struct fuzz *f, struct http_conn *c, struct http_io *io, uint8_t what, uint8_t arg)
{
	static const uint8_t zeros[40000];
	struct http_req *r = f->count ? f->open[arg % f->count] : NULL;
	struct slice body = slice_of(zeros, (size_t)arg * 150);
	struct http_header h[] = {HTTP_HEADER("x", "y")};

	if (what == 0) {
		http_conn_drain(c);
	} else if (what == 1) {
		http_io_set_now(io, http_io_now_ms(io) + arg * 100);
		http_conn_tick(c);
	} else if (!r) {
		return;
	} else if (what == 2 && !r->user) {
		http_respond(r, 200, h, arg % 2);
		r->user = (void *)1;
	} else if (what == 3 && r->user == (void *)1) {
		http_send(r, &body, 1);
		http_writable(r);
	} else if (what == 4 && r->user == (void *)1) {
		http_end(r, h, arg % 2);
		r->user = (void *)2;
	} else if (what == 5) {
		http_reset(r, 8);
	} else if (what == 6) {
		http_unreserve(r);
		http_reserve(r, (size_t)arg * 50000);
	} else if (what == 7 && r->user == (void *)1) {
		http_send_blob(r, blob_copy(body), 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct net_peer peer = {"fuzz"};
	struct http_service svc = {.http2 = true, .route = route, .budget = http_budget_new(8 << 20)};
	struct fuzz f = {.count = 0};
	struct http_io *io = http_io_new(NULL, &f);
	uint8_t *out = mem_alloc(HTTP_OUTPUT_MIN);
	struct http_conn *c;

	http_limits_default(&svc.limits);
	svc.limits.resets_burst = 20;
	svc.limits.controls_burst = 50;
	c = http_conn_new(io, &svc, &peer, NULL, NULL);
	http_conn_input(c, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
	while (size >= 9) {
		size_t n = 9 + ((size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2]);

		if (data[3] == 0xf0) {
			n = 9;
			command(&f, c, io, data[4] % 8, data[5]);
		} else {
			n = MIN(n, size);
			http_conn_input(c, slice_of(data, n));
		}
		data += n;
		size -= n;
		http_conn_output(c, out, HTTP_OUTPUT_MIN);
	}
	http_conn_free(c);
	http_io_free(io);
	http_budget_free(svc.budget);
	mem_free(out);
	return 0;
}
