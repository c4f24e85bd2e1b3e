/* One batch at a time:
 *
 *	IDLE --spans, after a while--> SENDING --taken, refused, time over--> IDLE
 *	                               SENDING --"try again"--> WAITING --time--> SENDING */
#include "server/tracing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "client/client.h"
#include "obs/log.h"
#include "pb/wire.h"

/* Collectors take messages of 4 MiB as they come. */
enum { REQUEST_BYTES_MAX = 2 << 20 };

static const struct rpc_method export_method = {
	.path = SLICE_INIT("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
	.service = "opentelemetry.proto.collector.trace.v1.TraceService",
	.name = "Export",
	.stream = RPC_UNARY,
};

struct tracing {
	const struct config *cfg;
	struct trace_queue *queue;
	struct client *client;
	struct buf resource;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t woken;
	uv_timer_t timer;               /* look at the queue, or send again */
	_Atomic bool stop;
	bool stopping;
	uint64_t end_ms;                /* of all, once stopping */
	struct span *first;             /* taken and not sent; of these up to batch_end are under way */
	struct span *batch_end;
	struct buf request;
	struct client_call *call;
	bool sending;                   /* or waiting to send the same again */
	uint64_t batch_end_ms;
	bool failing;
	uint64_t lost;                  /* since it is failing */
};

struct trace_queue *tracing_queue(struct tracing *t)
{
	return t ? t->queue : NULL;
}

static void step(struct tracing *t);

static void on_timer(uv_timer_t *timer)
{
	step(timer->data);
}

/* ---- one batch ---- */

static void lose(struct tracing *t, size_t count, const char *why)
{
	t->lost += count;
	if (!t->failing)
		LOG_WARN("spans cannot be sent to the collector; they are dropped until they can",
			 LOG_STR("address", t->cfg->distributed_tracing_address), LOG_STR("error", why));
	t->failing = true;
}

static void batch_over(struct tracing *t, bool taken, const char *why)
{
	size_t count = trace_done(t->queue, t->first, t->batch_end);

	t->first = t->batch_end;
	t->sending = false;
	if (!taken) {
		lose(t, count, why);
	} else if (t->failing) {
		LOG_INFO("spans are sent to the collector again", LOG_STR("address", t->cfg->distributed_tracing_address),
			 LOG_UINT("lost", t->lost));
		t->failing = false;
		t->lost = 0;
	}
	uv_timer_start(&t->timer, on_timer, 0, 0);      /* not from within the client's callback */
}

/* The statuses that the protocol says to try again after. */
static bool asks_again(enum grpc_status code)
{
	return code == GRPC_CANCELLED || code == GRPC_DEADLINE_EXCEEDED || code == GRPC_ABORTED || code == GRPC_OUT_OF_RANGE ||
	       code == GRPC_UNAVAILABLE || code == GRPC_DATA_LOSS;
}

/* ExportTraceServiceResponse {partial_success 1 {rejected_spans 1, error_message 2}} */
static void on_answer(struct client_call *c, void *user, struct slice body)
{
	struct pb_reader rd = pb_reader_of(body), in;
	uint64_t rejected = 0;
	struct slice text = {0};
	struct pb_field f, g;

	while (pb_next(&rd, &f)) {
		if (f.number != 1 || f.wire != PB_BYTES)
			continue;
		for (in = pb_reader_of(f.bytes); pb_next(&in, &g);) {
			if (g.number == 1 && g.wire == PB_VARINT)
				rejected = g.value;
			else if (g.number == 2 && g.wire == PB_BYTES)
				text = g.bytes;
		}
	}
	if (rejected || text.size)
		LOG_WARN("the collector did not take all spans", LOG_UINT("rejected", rejected), LOG_SLICE("error", text));
}

static void on_end(struct client_call *c, void *user, const struct client_status *s)
{
	struct tracing *t = user;
	char text[CLIENT_ERROR_SIZE];

	t->call = NULL;
	if (s->code == GRPC_OK) {
		batch_over(t, true, NULL);
	} else if (!s->is_local && asks_again(s->code) && uv_now(&t->loop) + TRACING_AGAIN_MS < t->batch_end_ms) {
		uv_timer_start(&t->timer, on_timer, TRACING_AGAIN_MS, 0);
	} else {
		/* A deadline says less than why there was no connection. */
		batch_over(t, false, s->is_local && client_trouble(t->client)[0] ? client_trouble(t->client) : client_error(text, s));
	}
}

static void call(struct tracing *t)
{
	static const struct client_events events = {on_answer, on_end};
	uint64_t now = uv_now(&t->loop);
	struct client_call_opts o = {.timeout_ms = t->batch_end_ms > now ? t->batch_end_ms - now : 1};

	t->call = client_start_other(t->client, &export_method, buf_slice(&t->request), &o, &events, t);
}

static void batch_begin(struct tracing *t)
{
	buf_clear(&t->request);
	t->batch_end = trace_request(t->first, buf_slice(&t->resource), REQUEST_BYTES_MAX, &t->request);
	t->batch_end_ms = uv_now(&t->loop) + TRACING_TIMEOUT_MS;
	if (t->stopping)
		t->batch_end_ms = MIN(t->batch_end_ms, t->end_ms);
	t->sending = true;
	call(t);
}

/* ---- the thread ---- */

static void close_all(struct tracing *t)
{
	size_t left = trace_done(t->queue, t->first, NULL);
	uint64_t dropped = trace_queue_dropped(t->queue);

	t->first = NULL;
	if (left)
		lose(t, left, "the member stops");
	if (t->lost || dropped)
		LOG_WARN("spans were lost", LOG_UINT("not-sent", t->lost), LOG_UINT("queue-full", dropped));
	uv_close((uv_handle_t *)&t->woken, NULL);
	uv_close((uv_handle_t *)&t->timer, NULL);
	client_free(t->client);
}

/* Nothing is under way, or it is time to send the same again. */
static void step(struct tracing *t)
{
	if (t->call)
		return;
	if (t->sending) {
		call(t);
		return;
	}
	if (!t->first)
		t->first = trace_take(t->queue);
	if (t->first && !(t->stopping && uv_now(&t->loop) >= t->end_ms))
		batch_begin(t);
	else if (t->stopping)
		close_all(t);
	else
		uv_timer_start(&t->timer, on_timer, TRACING_DELAY_MS, 0);
}

static void on_woken(uv_async_t *a)
{
	struct tracing *t = a->data;

	if (atomic_load(&t->stop) && !t->stopping) {
		t->stopping = true;
		t->end_ms = uv_now(&t->loop) + TRACING_STOP_MS;
		t->batch_end_ms = MIN(t->batch_end_ms, t->end_ms);
		if (t->call) {          /* once more, with less time */
			client_drop(t->call);
			t->call = NULL;
		}
	} else if (t->sending) {        /* perhaps it waits to be repeated */
		return;
	}
	step(t);
}

static void *run(void *arg)
{
	struct tracing *t = arg;

	pthread_setname_np(pthread_self(), "tracing");
	uv_timer_start(&t->timer, on_timer, TRACING_DELAY_MS, 0);
	uv_run(&t->loop, UV_RUN_DEFAULT);
	return NULL;
}

static void wake(void *arg)
{
	struct tracing *t = arg;

	uv_async_send(&t->woken);
}

/* ---- from outside ---- */

/* What gRPC's names for addresses have in front of them. */
static const char *endpoint_of(const char *address)
{
	static const char *const before[] = {"dns:///", "passthrough:///"};

	for (size_t i = 0; i < ARRAY_COUNT(before); i++)
		if (!strncmp(address, before[i], strlen(before[i])))
			return address + strlen(before[i]);
	return address;
}

err_t tracing_new(const struct config *cfg, struct why *why, struct tracing **out)
{
	const char *endpoint = endpoint_of(cfg->distributed_tracing_address);
	struct client_opts o = {.endpoints = &endpoint, .endpoint_count = 1, .send_bytes_max = TRACE_BYTES_MAX};
	struct tracing *t;
	err_t err;

	*out = NULL;
	if (!cfg->enable_distributed_tracing)
		return OK;
	t = NEW(struct tracing);
	t->cfg = cfg;
	if (uv_loop_init(&t->loop))
		fatal("a loop for tracing cannot be made");
	err = client_new(&t->loop, &o, why, &t->client);
	if (err) {
		uv_loop_close(&t->loop);
		mem_free(t);
		return err;
	}
	uv_async_init(&t->loop, &t->woken, on_woken);
	uv_timer_init(&t->loop, &t->timer);
	t->woken.data = t->timer.data = t;
	t->queue = trace_queue_new((uint32_t)cfg->distributed_tracing_sampling_rate, wake, t);
	buf_init(&t->resource, 1 << 20);
	buf_init(&t->request, 2 * TRACE_BYTES_MAX);
	if (cfg->distributed_tracing_instance_id[0])
		trace_resource(&t->resource, "service.instance.id", cfg->distributed_tracing_instance_id);
	trace_resource(&t->resource, "service.name", cfg->distributed_tracing_service_name);
	if (pthread_create(&t->thread, NULL, run, t))
		fatal("a thread for tracing cannot be made");
	LOG_DEBUG("distributed tracing enabled", LOG_STR("address", cfg->distributed_tracing_address),
		  LOG_STR("service-name", cfg->distributed_tracing_service_name),
		  LOG_STR("service-instance-id", cfg->distributed_tracing_instance_id),
		  LOG_INT("sampling-rate", cfg->distributed_tracing_sampling_rate));
	LOG_INFO("distributed tracing setup enabled");
	*out = t;
	return OK;
}

void tracing_free(struct tracing *t)
{
	if (!t)
		return;
	atomic_store(&t->stop, true);
	uv_async_send(&t->woken);
	pthread_join(t->thread, NULL);
	uv_loop_close(&t->loop);
	trace_queue_free(t->queue);
	buf_fini(&t->resource);
	buf_fini(&t->request);
	mem_free(t);
}
