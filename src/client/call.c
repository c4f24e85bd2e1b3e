/* A call: its attempts, its message frames, its end.
 *
 * gRPC frame: u8 compressed (0: we never say that we take anything else), u32 size big endian, message.
 *
 * Which attempt may be repeated (upstream client/v3/retry.go and retry_interceptor.go): reads and lease calls while the
 * answer is UNAVAILABLE; any call that the server refused before it looked at it (REFUSED_STREAM, or the connection
 * went before the request left); any call that a learner refused while there are other endpoints; any call whose token
 * is not taken, with a new one: more than once, for a member that is behind does not know it yet. */
#include <stdio.h>

#include "base/endian.h"
#include "client/client_impl.h"
#include "pb/wire.h"

static bool is_repeatable(enum rpc rpc)
{
	switch (rpc) {
	case RPC_RANGE:
	case RPC_LEASE_GRANT:
	case RPC_LEASE_REVOKE:
	case RPC_LEASE_TIME_TO_LIVE:
	case RPC_LEASE_LEASES:
	case RPC_MEMBER_LIST:
	case RPC_ALARM:
	case RPC_STATUS:
	case RPC_HASH:
	case RPC_HASH_KV:
	case RPC_SNAPSHOT:
	case RPC_AUTH_STATUS:
	case RPC_AUTHENTICATE:
	case RPC_USER_GET:
	case RPC_USER_LIST:
	case RPC_ROLE_GET:
	case RPC_ROLE_LIST:
		return true;
	default:
		return false;
	}
}

void call_append(struct client_call *call, struct slice body)
{
	uint8_t preface[CLIENT_PREFACE_SIZE] = {0};

	be32_put(preface + 1, (uint32_t)body.size);
	buf_put(&call->request, preface, sizeof(preface));
	buf_put_slice(&call->request, body);
}

static void call_free(struct client_call *call)
{
	mem_free(call->token);
	buf_fini(&call->request);
	buf_fini(&call->message);
	mem_free(call);
}

void call_wait(struct client_call *call)
{
	call->state = CALL_WAITING;
	list_push_back(&call->client->waiting, &call->waiting);
}

void call_end(struct client_call *call)
{
	list_remove(&call->node);
	list_remove(&call->waiting);
	h2_cancel(call);
	call->events.on_end(call, call->user, &call->status);
	call_free(call);
}

void client_drop(struct client_call *call)
{
	list_remove(&call->node);
	list_remove(&call->waiting);
	h2_cancel(call);
	/* From its own on_message: whoever delivers frees it. */
	call->dropped = true;
	if (!call->delivering)
		call_free(call);
}

/* The whole message to its owner; true: the call is still there. */
static bool deliver(struct client_call *call)
{
	if (!call->events.on_message)
		return true;
	call->delivering = true;
	call->events.on_message(call, call->user, buf_slice(&call->message));
	call->delivering = false;
	if (!call->dropped)
		return true;
	call_free(call);
	return false;
}

/* --- repeating --- */

static void again(struct client_call *call)
{
	struct client *c = call->client;
	size_t quorum = c->conn_count / 2 + 1;
	uint64_t now = uv_now(c->loop);

	call->attempt++;
	call->request_sent = 0;
	call->preface_size = 0;
	buf_clear(&call->message);
	call->has_message = call->has_status = call->is_grpc = false;
	call->http_status = 0;
	call->unread = 0;
	call->state = CALL_BACKOFF;
	call->retry_at_ms = now;
	if (call->attempt % quorum == 0) /* upstream adds a tenth of jitter, either way */
		call->retry_at_ms += CLIENT_RETRY_WAIT_MS + (uv_hrtime() >> 10) % 5 - 2;
	client_wake(c, call->retry_at_ms);
}

static void login_ended(struct client_call *login, void *user, const struct client_status *s)
{
	struct client *c = login->client;
	bool ok = s->code == GRPC_OK || client_error_row(s) == ERR_AUTH_NOT_ENABLED;

	c->login = NULL;
	LIST_EACH_SAFE (it, &c->calls) {
		struct client_call *call = CONTAINER_OF(it, struct client_call, node);

		if (call->state != CALL_LOGIN)
			continue;
		if (ok) {
			again(call);
		} else {
			call->status = *s;
			call_end(call);
		}
	}
}

static void login_message(struct client_call *login, void *user, struct slice body)
{
	struct client *c = login->client;
	struct pb_reader r = pb_reader_of(body);
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 2 && f.wire == PB_BYTES) {
			mem_free(c->token);
			c->token = mem_printf("%.*s", SLICE_ARG(f.bytes));
		}
	}
}

static const struct client_events login_events = {login_message, login_ended};

static void fetch_token(struct client_call *call)
{
	struct client *c = call->client;
	struct buf body;

	call->state = CALL_LOGIN;
	if (c->login)
		return;
	buf_init(&body, 1 << 20);
	pb_put_bytes(&body, 1, slice_str(c->user));
	pb_put_bytes(&body, 2, slice_str(c->password));
	c->login = client_start(c, RPC_AUTHENTICATE, buf_slice(&body), NULL, &login_events, NULL);
	buf_fini(&body);
}

static bool wants_token(const struct client_call *call)
{
	const struct client *c = call->client;
	err_t row = client_error_row(&call->status);

	if (call->token || c->token_given || !c->user || call->rpc == RPC_AUTHENTICATE || call->attempt + 1 >= CLIENT_RETRIES_MAX)
		return false;
	return row == ERR_USER_EMPTY || row == ERR_INVALID_AUTH_TOKEN || row == ERR_AUTH_OLD_REVISION;
}

static bool may_repeat(const struct client_call *call, bool never_left)
{
	err_t row = client_error_row(&call->status);

	if (call->attempt + 1 >= CLIENT_RETRIES_MAX || call->status.is_local)
		return false;
	if (never_left)
		return true;
	if (row == ERR_NOT_SUPPORTED_FOR_LEARNER)
		return call->client->conn_count > 1;
	if (row == ERR_AUTH_OLD_REVISION && !call->client->token_given && !call->token)
		return true;
	return call->status.code == GRPC_UNAVAILABLE && is_repeatable(call->rpc);
}

static void attempt_done(struct client_call *call, bool never_left)
{
	bool once = call->method->stream != RPC_BIDI && !call->got_message;

	if (call->status.code == GRPC_OK || !once) {
		if (call->status.code != GRPC_OK || !call->has_message || deliver(call))
			call_end(call);
	} else if (wants_token(call)) {
		fetch_token(call);
	} else if (may_repeat(call, never_left)) {
		again(call);
	} else {
		call_end(call);
	}
}

/* --- what came back --- */

static enum grpc_status code_of_reset(uint32_t h2_code)
{
	switch (h2_code) {
	case NGHTTP2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

static enum grpc_status code_of_http(unsigned status)
{
	switch (status) {
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

/* A server that counts the same time may reset the stream in the very millisecond in which ours ends. */
static bool deadline_passed(const struct client_call *call)
{
	uv_update_time(call->client->loop);
	return uv_now(call->client->loop) + 1 >= call->deadline_ms;
}

void call_closed(struct client_call *call, uint32_t h2_code, const char *why)
{
	struct link *l = call->link;
	struct client_status *s = &call->status;
	bool never_left = h2_code == NGHTTP2_REFUSED_STREAM || (why[0] && !call->request_sent);

	if (l) {
		l->open_calls--;
		if (!l->open_calls && !nghttp2_session_check_request_allowed(l->h2))
			link_fail(l, "connection closed by the server");
	}
	call->link = NULL;
	if (call->has_status) {
		never_left = false;
		if (s->code == GRPC_OK && call->method->stream == RPC_UNARY && !call->has_message)
			status_set(s, GRPC_INTERNAL, false,
				   "cardinality violation: received no response message from non-server-streaming RPC");
	} else if (why[0]) {
		status_set(s, GRPC_UNAVAILABLE, false, "%s", why);
	} else if (h2_code == NGHTTP2_CANCEL && deadline_passed(call)) {
		status_set(s, GRPC_DEADLINE_EXCEEDED, true, "context deadline exceeded");
	} else if (h2_code != NGHTTP2_NO_ERROR) {
		status_set(s, code_of_reset(h2_code), false, "stream terminated by RST_STREAM with error code: %s",
			   nghttp2_http2_strerror(h2_code));
	} else if (call->http_status && (call->http_status != 200 || !call->is_grpc)) {
		status_set(s, code_of_http(call->http_status), false,
			   "unexpected HTTP status code received from server: %u", call->http_status);
	} else {
		status_set(s, GRPC_INTERNAL, false, "server closed the stream without sending trailers");
	}
	attempt_done(call, never_left);
}

/* Ends it for a reason of ours; the stream is reset. */
static void refuse(struct client_call *call, enum grpc_status code, const char *fmt, unsigned long long a,
		   unsigned long long b)
{
	char text[128];

	snprintf(text, sizeof(text), fmt, a, b);
	status_set(&call->status, code, false, "%s", text);
	call->got_message = true; /* not to be repeated */
	call_end(call);
}

/* True: the call is still there. */
static bool message_done(struct client_call *call)
{
	if (call->method->stream == RPC_UNARY) {
		if (call->has_message) {
			refuse(call, GRPC_INTERNAL, "cardinality violation: expected one response message", 0, 0);
			return false;
		}
		call->has_message = true;
		call->preface_size = 0;
		return true;
	}
	call->got_message = true;
	call->preface_size = 0;
	if (!deliver(call))
		return false;
	buf_clear(&call->message);
	return true;
}

void call_data(struct client_call *call, struct slice data)
{
	while (data.size) {
		size_t take;

		if (call->preface_size < CLIENT_PREFACE_SIZE) {
			call->preface[call->preface_size++] = data.data[0];
			data = slice_of(data.data + 1, data.size - 1);
			if (call->preface_size < CLIENT_PREFACE_SIZE)
				continue;
			call->message_size = be32_get(call->preface + 1);
			if (call->preface[0]) {
				refuse(call, GRPC_INTERNAL, "grpc: Decompressor is not installed for a message", 0, 0);
				return;
			}
			if (call->message_size > call->client->recv_bytes_max) {
				refuse(call, GRPC_RESOURCE_EXHAUSTED,
				       "grpc: received message larger than max (%llu vs. %llu)", call->message_size,
				       call->client->recv_bytes_max);
				return;
			}
			if (!call->has_message)
				buf_clear(&call->message);
		}
		take = MIN(data.size, call->message_size - call->message.size);
		buf_put(&call->message, data.data, take);
		data = slice_of(data.data + take, data.size - take);
		if (call->message.size == call->message_size && !message_done(call))
			return;
	}
}

/* --- from outside --- */

static struct client_call *start(struct client *c, enum rpc rpc, const struct rpc_method *method, struct slice body,
				 const struct client_call_opts *opts, const struct client_events *events, void *user)
{
	struct client_call *call = NEW(struct client_call);

	ASSERT(!c->closing);
	uv_update_time(c->loop);
	call->client = c;
	call->rpc = rpc;
	call->method = method;
	call->events = *events;
	call->user = user;
	call->deadline_ms = opts && opts->timeout_ms ? uv_now(c->loop) + opts->timeout_ms : UINT64_MAX;
	call->require_leader = opts && opts->require_leader;
	if (opts && opts->token.size)
		call->token = mem_printf("%.*s", SLICE_ARG(opts->token));
	list_init(&call->waiting);
	buf_init(&call->request, SIZE_MAX / 2);
	buf_init(&call->message, SIZE_MAX / 2);
	list_push_back(&c->calls, &call->node);
	if (call->method->stream != RPC_BIDI) {
		if (body.size > c->send_bytes_max) {
			status_set(&call->status, GRPC_RESOURCE_EXHAUSTED, false,
				   "trying to send message larger than max (%zu vs. %u)", body.size, c->send_bytes_max);
			call->deadline_ms = 0; /* ends in the next turn */
			client_wake(c, 0);
			call->state = CALL_BACKOFF;
			return call;
		}
		call_append(call, body);
		call->half_closed = true;
	}
	client_wake(c, call->deadline_ms);
	call_wait(call);
	client_dispatch(c);
	return call;
}

struct client_call *client_start(struct client *c, enum rpc rpc, struct slice body, const struct client_call_opts *opts,
				 const struct client_events *events, void *user)
{
	return start(c, rpc, &rpc_methods[rpc], body, opts, events, user);
}

struct client_call *client_start_other(struct client *c, const struct rpc_method *method, struct slice body,
				       const struct client_call_opts *opts, const struct client_events *events, void *user)
{
	return start(c, RPC__COUNT, method, body, opts, events, user);
}

void client_send(struct client_call *call, struct slice body)
{
	call_append(call, body);
	h2_resume(call);
}

void client_half_close(struct client_call *call)
{
	call->half_closed = true;
	h2_resume(call);
}

void call_pause(struct client_call *call, bool paused)
{
	call->paused = paused;
	h2_consume(call);
}

void client_call_pause(struct client_call *call, bool paused)
{
	call_pause(call, paused);
}

uint64_t call_tick(struct client_call *call, uint64_t now_ms)
{
	if (now_ms >= call->deadline_ms) {
		if (call->status.code != GRPC_RESOURCE_EXHAUSTED)
			status_set(&call->status, GRPC_DEADLINE_EXCEEDED, true, "context deadline exceeded");
		call_end(call);
		return UINT64_MAX;
	}
	if (call->state == CALL_BACKOFF) {
		if (now_ms < call->retry_at_ms)
			return MIN(call->retry_at_ms, call->deadline_ms);
		call_wait(call);
	}
	return call->deadline_ms;
}
