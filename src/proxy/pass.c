/* A call passed on: one request; one answer or a stream of them.
 *
 *	started ──request──> asking ──answers──> ... ──end──> finished
 *	                       └──────client gone──────────> dropped
 *
 * An answer waits in HTTP/2's window while the client does not take what it was sent. */
#include "proxy/grpc_proxy.h"

static bool is_kv(enum rpc rpc)
{
	return rpc <= RPC_COMPACT || rpc == RPC_LEASE_TIME_TO_LIVE;
}

struct slice token_of(const struct grpc_stream *s)
{
	struct slice v = {0};

	if (!grpc_metadata(s, SLICE_LIT("token"), &v))
		grpc_metadata(s, SLICE_LIT("authorization"), &v);
	return v;
}

uint64_t timeout_of(const struct grpc_stream *s)
{
	uint64_t at = grpc_deadline_ms(s), now = net_loop_now_ms(proxy_of(s)->loop);

	return at == UINT64_MAX ? 0 : at > now ? at - now : 1;
}

static void pass_free(struct pass *p)
{
	list_remove(&p->node);
	if (p->leasing)
		leasing_call_drop(p->leasing);
	if (p->call)
		client_drop(p->call);
	blob_unref(p->request);
	buf_fini(&p->sent);
	mem_free(p);
}

void pass_finish(struct pass *p, enum grpc_status status, struct slice text)
{
	struct grpc_stream *s = p->stream;

	s->user = NULL;
	pass_free(p);
	grpc_finish(s, status, text);
}

static void ask(struct pass *p);

static void on_message(struct client_call *call, void *user, struct slice answer)
{
	struct pass *p = user;
	enum rpc rpc = rpc_of(p->stream);
	enum kv_verdict verdict = KV_GO_ON;
	struct slice out = answer;
	struct buf room;

	buf_init(&room, SIZE_MAX / 2);
	if (is_kv(rpc))
		verdict = kv_answer(p->px, p->stream, &p->kv, answer, &room, &out);
	p->again = verdict == KV_AGAIN;
	p->stale = verdict == KV_FINISHED;
	if (verdict == KV_GO_ON && !grpc_send(p->stream, &out, 1) && rpc_methods[rpc].stream != RPC_UNARY)
		client_call_pause(call, true);
	buf_fini(&room);
}

static void on_end(struct client_call *call, void *user, const struct client_status *st)
{
	struct pass *p = user;
	struct client_status s = *st;

	p->call = NULL;
	if (p->again) {
		p->again = false;
		ask(p);
		return;
	}
	if (is_kv(rpc_of(p->stream)))
		kv_after(p->px, rpc_of(p->stream), blob_slice(p->request), s.code == GRPC_OK);
	if (p->stale)
		pass_finish(p, GRPC_UNKNOWN, SLICE_LIT("etcdclient: no cluster members have a revision higher than the previously received revision"));
	else
		pass_finish(p, s.code, slice_str(s.text));
}

static void ask(struct pass *p)
{
	static const struct client_events events = {on_message, on_end};
	struct client_call_opts co = {.timeout_ms = timeout_of(p->stream), .token = token_of(p->stream)};
	struct slice body = p->sent.size ? buf_slice(&p->sent) : blob_slice(p->request);

	p->call = client_start(p->px->client, rpc_of(p->stream), body, &co, &events, p);
}

static void on_request(struct grpc_stream *s, struct blob *take_body)
{
	struct grpc_proxy *px = proxy_of(s);
	struct pass *p = NEW(struct pass);

	p->px = px;
	p->stream = s;
	p->request = take_body;
	buf_init(&p->sent, SIZE_MAX / 2);
	list_push_back(&px->passes, &p->node);
	s->user = p;
	if (is_kv(rpc_of(s)) && kv_before(px, s, &p->kv, blob_slice(take_body)) == KV_FINISHED) {
		pass_free(p);
		return;
	}
	if (px->leasing && leasing_takes(px->leasing, p))
		return;
	if (is_kv(rpc_of(s)) && kv_to_send(px, s, &p->kv, blob_slice(take_body), &p->sent) == KV_FINISHED)
		pass_free(p);
	else
		ask(p);
}

static void on_writable(struct grpc_stream *s)
{
	struct pass *p = s->user;

	if (p && p->call)
		client_call_pause(p->call, false);
}

static void on_cancel(struct grpc_stream *s)
{
	struct pass *p = s->user;

	if (!p)
		return;
	/* It may have been done, or be done yet. */
	if (is_kv(rpc_of(s)))
		kv_after(p->px, rpc_of(s), blob_slice(p->request), false);
	pass_free(p);
}

const struct grpc_handler pass_handler = {.on_message = on_request, .on_writable = on_writable, .on_cancel = on_cancel};

void pass_init(struct grpc_proxy *px)
{
	list_init(&px->passes);
}

void pass_stop(struct grpc_proxy *px)
{
	LIST_EACH_SAFE (it, &px->passes)
		pass_finish(CONTAINER_OF(it, struct pass, node), GRPC_UNAVAILABLE, SLICE_LIT("the proxy is stopping"));
}
