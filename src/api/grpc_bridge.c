#include "api/grpc_bridge.h"

#include "api/api_impl.h"
#include "env/env.h"
#include "obs/metric.h"

/* ---- the sink ---- */

static bool sink_send(void *sink, const struct slice *parts, size_t count)
{
	return grpc_send(sink, parts, count);
}

static void sink_send_begin(void *sink, size_t total)
{
	grpc_send_begin(sink, (uint32_t)total);
}

static bool sink_send_part(void *sink, struct slice part)
{
	return grpc_send_part(sink, &part, 1);
}

static bool sink_writable(void *sink)
{
	return grpc_writable(sink);
}

static size_t sink_unsent(void *sink)
{
	return grpc_unsent(sink);
}

static void sink_read_pause(void *sink, bool paused)
{
	grpc_read_pause(sink, paused);
}

static void sink_finish(void *sink, err_t err, const char *text)
{
	struct grpc_stream *s = sink;

	s->user = NULL;
	if (text)
		grpc_finish(s, err_status(err), slice_str(text));
	else
		grpc_finish_err(s, err);
}

static const char *sink_remote(void *sink)
{
	return grpc_peer(sink)->remote;
}

static uint8_t *sink_room(void *sink, size_t size)
{
	return grpc_send_room(sink, size);
}

static bool sink_room_done(void *sink, size_t messages, size_t bytes)
{
	return grpc_send_room_done(sink, messages, bytes);
}

static bool sink_send_blob(void *sink, struct slice head, struct blob *take_b, size_t from)
{
	return grpc_send_blob(sink, head, take_b, from);
}

static const struct api_sink_ops sink_ops = {
	.remote = sink_remote,
	.send = sink_send,
	.send_begin = sink_send_begin,
	.send_part = sink_send_part,
	.writable = sink_writable,
	.unsent = sink_unsent,
	.read_pause = sink_read_pause,
	.finish = sink_finish,
	.room = sink_room,
	.room_done = sink_room_done,
	.send_blob = sink_send_blob,
};

/* ---- the stream's callbacks ---- */

static struct api_meta meta_of(const struct grpc_stream *s)
{
	struct slice v;
	struct api_meta m = {0};

	if (grpc_metadata(s, SLICE_LIT("hasleader"), &v))
		m.has_leader = slice_eq(v, SLICE_LIT("true"));
	if (grpc_metadata(s, SLICE_LIT("client-api-version"), &v)) {
		m.client_version = v;
		m.client_version_bad = !slice_is_utf8(v);
	}
	m.has_certificate = grpc_peer(s)->cert_cn != NULL;
	if (m.has_certificate)
		m.common_name = slice_str(grpc_peer(s)->cert_cn);
	m.local = grpc_peer(s)->local;
	m.has_token = grpc_metadata(s, SLICE_LIT("token"), &m.token) || grpc_metadata(s, SLICE_LIT("authorization"), &m.token);
	return m;
}

static void on_start(struct grpc_stream *s)
{
	struct api_meta meta = meta_of(s);
	const struct rpc_method *m = s->method->data;
	struct api_io *io = grpc_io_user(s->gio);

	if (io->api->opts.traces) {
		grpc_metadata(s, SLICE_LIT("traceparent"), &meta.trace_parent);
		grpc_metadata(s, SLICE_LIT("tracestate"), &meta.trace_state);
	}
	s->user = api_begin(io, (enum rpc)(m - rpc_methods), &sink_ops, s, &meta);
}

static void on_message(struct grpc_stream *s, struct blob *take_body)
{
	api_message(s->user, take_body);
}

static void on_half_close(struct grpc_stream *s)
{
	api_half_close(s->user);
}

static void on_writable(struct grpc_stream *s)
{
	if (s->user)
		api_writable(s->user);
}

static void on_cancel(struct grpc_stream *s)
{
	struct api_rpc *r = s->user;

	s->user = NULL;
	if (r)
		api_cancel_as(r, s->end_status, s->end_text);
}

static const struct grpc_handler handler = {on_start, on_message, on_half_close, on_writable, on_cancel};

/* ---- metrics: upstream shows every method and status from the start, but those of Lock and Election as they are used ---- */

#define STATUS_COUNT 17

static struct method_series {
	_Atomic uint32_t started, received, sent, handling, handled[STATUS_COUNT];
} series[RPC__COUNT];

static const char *const status_names[STATUS_COUNT] = {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
	"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal",
	"Unavailable", "DataLoss", "Unauthenticated"};

static const char *type_name(const struct rpc_method *m)
{
	return m->stream == RPC_BIDI ? "bidi_stream" : m->stream == RPC_SERVER_STREAM ? "server_stream" : "unary";
}

static struct method_series *series_of(const struct rpc_method *m)
{
	return &series[m - rpc_methods];
}

static uint32_t kept(_Atomic uint32_t *cell, enum metric row, const struct rpc_method *m)
{
	return metric_series_kept(cell, row, (const char *[]){m->name, m->service, type_name(m)});
}

static uint32_t kept_handled(const struct rpc_method *m, unsigned status)
{
	return metric_series_kept(&series_of(m)->handled[status], METRIC_GRPC_SERVER_HANDLED_TOTAL,
				  (const char *[]){status_names[status], m->name, m->service, type_name(m)});
}

static void on_started(void *arg, const struct grpc_method *m)
{
	metric_add(kept(&series_of(m->data)->started, METRIC_GRPC_SERVER_STARTED_TOTAL, m->data), 1);
}

static void on_received(void *arg, const struct grpc_method *m, size_t size)
{
	metric_add(kept(&series_of(m->data)->received, METRIC_GRPC_SERVER_MSG_RECEIVED_TOTAL, m->data), 1);
	metric_add(METRIC_NETWORK_CLIENT_GRPC_RECEIVED_BYTES_TOTAL, size);
}

static void on_sent(void *arg, const struct grpc_method *m, size_t messages, size_t bytes)
{
	metric_add(kept(&series_of(m->data)->sent, METRIC_GRPC_SERVER_MSG_SENT_TOTAL, m->data), messages);
	metric_add(METRIC_NETWORK_CLIENT_GRPC_SENT_BYTES_TOTAL, bytes);
}

static void on_handled(void *arg, const struct grpc_method *m, enum grpc_status status, uint64_t duration_ns)
{
	metric_add(kept_handled(m->data, (unsigned)status < STATUS_COUNT ? status : GRPC_UNKNOWN), 1);
}

/* With --metrics=extensive. */
static void on_handled_timed(void *arg, const struct grpc_method *m, enum grpc_status status, uint64_t duration_ns)
{
	on_handled(arg, m, status, duration_ns);
	metric_observe(kept(&series_of(m->data)->handling, METRIC_GRPC_SERVER_HANDLING_SECONDS, m->data), duration_ns);
}

static const struct grpc_stats stats = {on_started, on_received, on_sent, on_handled, NULL};
static const struct grpc_stats stats_timed = {on_started, on_received, on_sent, on_handled_timed, env_mono_ns};

static void series_make(const struct rpc_method *m, bool timed)
{
	if (timed)
		kept(&series_of(m)->handling, METRIC_GRPC_SERVER_HANDLING_SECONDS, m);
	kept(&series_of(m)->started, METRIC_GRPC_SERVER_STARTED_TOTAL, m);
	kept(&series_of(m)->received, METRIC_GRPC_SERVER_MSG_RECEIVED_TOTAL, m);
	kept(&series_of(m)->sent, METRIC_GRPC_SERVER_MSG_SENT_TOTAL, m);
	for (unsigned s = 0; s < STATUS_COUNT; s++)
		kept_handled(m, s);
}

struct grpc_server *api_grpc_server_new(uint32_t message_bytes_max, bool timed)
{
	static struct grpc_method methods[RPC__COUNT];
	struct grpc_opts o = {.methods = methods, .message_bytes_max = message_bytes_max, .stats = timed ? &stats_timed : &stats};

	for (int i = 0; i < RPC__COUNT; i++) {
		const struct rpc_method *m = &rpc_methods[i];
		unsigned flags = m->stream == RPC_BIDI ? GRPC_CLIENT_STREAM | GRPC_SERVER_STREAM :
				 m->stream == RPC_SERVER_STREAM ? GRPC_SERVER_STREAM : 0;

		if (api_serves((enum rpc)i))
			methods[o.method_count++] = (struct grpc_method){m->service, m->name, flags, &handler, m};
		if (m->permission != PERM_BY_PARTS)
			series_make(m, timed);
	}
	return grpc_server_new(&o);
}
