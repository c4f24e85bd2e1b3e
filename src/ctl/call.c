/* One call: packed from a protobuf-c struct, unpacked into the arena, its trouble told. */
#include <time.h>

#include "ctl/ctl_impl.h"

enum { NS_PER_MS = 1000000 };

bool ctl_not_utf8(struct ctl *c)
{
	c->status = (struct client_status){GRPC_INTERNAL, false, "grpc: error while marshaling: string field contains invalid UTF-8"};
	return false;
}

bool ctl_call_on(struct ctl *c, struct client *client, enum rpc rpc, const ProtobufCMessage *request,
		 uint64_t timeout_ms, void *out)
{
	struct client_call_opts opts = {.timeout_ms = timeout_ms};
	err_t err;

	if (!timeout_ms && c->o.command_timeout < NS_PER_MS) {
		c->status = (struct client_status){GRPC_DEADLINE_EXCEEDED, true, ""}; /* over before it began */
		return false;
	}
	if (!timeout_ms)
		opts.timeout_ms = ms_of(c->o.command_timeout);
	else if (timeout_ms == CTL_NO_TIMEOUT)
		opts.timeout_ms = 0;
	buf_clear(&c->request);
	pb_pack(request, &c->request);
	/* What was packed here can be wrong only with a string that is no UTF-8; upstream's client does not send it either. */
	if (pb_validate(rpc_methods[rpc].request, buf_slice(&c->request)) == ERR_MALFORMED)
		return ctl_not_utf8(c);
	if (!client_unary(client, rpc, buf_slice(&c->request), &opts, &c->response, &c->status)) {
		ctl_explain(c, client);
		return false;
	}
	err = pb_unpack(&c->arena, rpc_methods[rpc].response, buf_slice(&c->response), out);
	if (err) {
		c->status.code = GRPC_INTERNAL;
		c->status.is_local = false;
		snprintf(c->status.text, sizeof(c->status.text), "grpc: failed to unmarshal the received message: %s",
			 err_text(err));
	}
	return !err;
}

bool ctl_call(struct ctl *c, enum rpc rpc, const ProtobufCMessage *request, uint64_t timeout_ms, void *out)
{
	return ctl_call_on(c, c->client, rpc, request, timeout_ms, out);
}

void ctl_log(const char *level, const char *msg, const char *name, const char *value)
{
	struct timespec now;
	struct tm tm;
	struct buf b;
	struct out_json j = {.out = &b};
	char ts[64], at[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ts, sizeof(ts), "%s.%06ldZ", at, now.tv_nsec / 1000);
	buf_init(&b, SIZE_MAX / 2);
	out_json_open(&j, '{');
	out_json_key(&j, "level");
	out_json_str(&j, slice_str(level));
	out_json_key(&j, "ts");
	out_json_str(&j, slice_str(ts));
	out_json_key(&j, "logger");
	out_json_str(&j, SLICE_LIT("etcdctl"));
	out_json_key(&j, "msg");
	out_json_str(&j, slice_str(msg));
	out_json_key(&j, name);
	out_json_str(&j, slice_str(value));
	out_json_close(&j, '}');
	buf_put_byte(&b, '\n');
	fwrite(b.data, 1, b.size, stderr);
	buf_fini(&b);
}

/* A deadline alone says little. */
void ctl_explain(struct ctl *c, struct client *client)
{
	if (c->status.code == GRPC_DEADLINE_EXCEEDED && c->status.is_local && client_trouble(client)[0])
		ctl_log("warn", "no connection", "error", client_trouble(client));
}

const char *ctl_call_error(struct ctl *c)
{
	char text[CLIENT_ERROR_SIZE];

	return ctl_copy(c, "%s", client_error(text, &c->status));
}

int ctl_call_failed(struct ctl *c, int code, const char *before, const char *after)
{
	return ctl_fail(code, "%s%s%s", before, ctl_call_error(c), after);
}
