/* Spans of calls, as upstream makes them: one for the call itself (that of otelgrpc: name, rpc.* and server.* attributes, status), and
 * below it one for what it does with the store, begun once the request was found in order. Calls that are not traced have no
 * r->trace, and pay one look at that. */
#include "api/api_impl.h"
#include "net/net.h"

static const char *const status_names[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
	"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

/* "127.0.0.1:2379", "[::1]:2379" as address and port; all else (a unix socket) is an address. */
static void put_server(struct span *s, const char *local)
{
	const char *colon = strrchr(local, ':');
	struct slice host = slice_of(local, colon ? (size_t)(colon - local) : strlen(local));
	char *end = NULL;
	long port = colon && colon[1] ? strtol(colon + 1, &end, 10) : 0;

	if (!end || *end)
		host = slice_str(local);
	else if (host.size > 1 && host.data[0] == '[' && host.data[host.size - 1] == ']')
		host = slice_of(host.data + 1, host.size - 2);
	span_str(s, "server.address", host);
	if (end && !*end)
		span_int(s, "server.port", port);
}

void api_trace_begin(struct api_rpc *r)
{
	struct slice name = rpc_methods[r->method].path;
	struct trace_caller c = {r->meta.trace_parent, r->meta.trace_state};

	if (r->meta.trace) {
		r->trace = trace_ref(r->meta.trace);    /* a part of a call that has a span */
		return;
	}
	r->trace = trace_begin(r->io->api->opts.traces, &c);
	if (!r->trace || r->meta.as_root)
		return;
	name = slice_of(name.data + 1, name.size - 1);
	r->span = span_begin(r->trace, TRACE_SCOPE_GRPC, SPAN_SERVER, name);
	span_str(r->span, "rpc.method", name);
	span_str(r->span, "rpc.system.name", SLICE_LIT("grpc"));
	if (r->meta.local)
		put_server(r->span, r->meta.local);
	trace_enter(r->trace, r->span);
}

void api_trace_op_end(struct api_rpc *r)
{
	if (r->op_span)
		span_end(r->op_span, false, (struct slice){0});
	r->op_span = NULL;
}

static bool is_failure(enum grpc_status status)
{
	return status == GRPC_UNKNOWN || status == GRPC_DEADLINE_EXCEEDED || status == GRPC_UNIMPLEMENTED || status == GRPC_INTERNAL ||
	       status == GRPC_UNAVAILABLE || status == GRPC_DATA_LOSS;
}

void api_trace_end(struct api_rpc *r, enum grpc_status status, struct slice text)
{
	api_trace_op_end(r);
	if (r->span) {
		span_str(r->span, "rpc.response.status_code", slice_str(status_names[status]));
		span_end(r->span, is_failure(status), text);
	}
	r->span = NULL;
}

void api_trace_free(struct api_rpc *r)
{
	span_drop(r->op_span);
	span_drop(r->span);
	trace_unref(r->trace);
}

/* ---- what calls do ---- */

static struct span *begin(struct api_rpc *r, const char *name)
{
	ASSERT(!r->op_span);
	return r->op_span = span_begin(r->trace, TRACE_SCOPE_ETCD, SPAN_INTERNAL, slice_str(name));
}

void api_trace_range(struct api_rpc *r)
{
	bool stream = r->method == RPC_RANGE_STREAM;
	struct span *s = begin(r, stream ? "range_streaming" : "range");

	span_str(s, "range_begin", r->range.key);
	span_str(s, "range_end", r->range.range_end);
	span_int(s, "rev", r->range.revision);
	span_int(s, "limit", r->range.limit);
	span_bool(s, "count_only", r->range.count_only);
	if (!stream)
		span_bool(s, "keys_only", r->range.keys_only);
}

void api_trace_put(struct api_rpc *r, const struct put_req *q)
{
	span_str(begin(r, "put"), "key", q->key);
}

void api_trace_delete(struct api_rpc *r, const struct delete_req *q)
{
	struct span *s = begin(r, "delete_range");

	span_str(s, "range_begin", q->key);
	span_str(s, "range_end", q->range_end);
}

static struct slice op_key(const struct request_op *op)
{
	switch (op->kind) {
	case OP_RANGE: return op->range.key;
	case OP_PUT: return op->put.key;
	case OP_DELETE: return op->del.key;
	default: return (struct slice){0};
	}
}

static const char *op_name(const struct request_op *op)
{
	static const char *const names[] = {[OP_NONE] = "", [OP_RANGE] = "range", [OP_PUT] = "put", [OP_DELETE] = "delete_range",
					    [OP_TXN] = "txn"};

	return names[op->kind];
}

void api_trace_txn(struct api_rpc *r)
{
	static const struct request_op none;
	const struct txn_req *q = &r->txn;
	const struct request_op *op = q->success_count ? &q->success[0] : &none;
	struct span *s = begin(r, "txn");

	span_str(s, "compare_first_key", q->compare_count ? q->compares[0].key : (struct slice){0});
	span_str(s, "success_first_key", op_key(op));
	span_str(s, "success_first_type", slice_str(op_name(op)));
	span_int(s, "success_first_lease", op->kind == OP_PUT ? op->put.lease : -1);
	span_int(s, "compare_len", (int64_t)q->compare_count);
	span_int(s, "success_len", (int64_t)q->success_count);
	span_int(s, "failure_len", (int64_t)q->failure_count);
	span_bool(s, "read_only", txn_req_is_read_only(q));
}

void api_trace_compact(struct api_rpc *r)
{
	struct span *s = begin(r, "compact");

	span_bool(s, "is_physical", r->compact.physical);
	span_int(s, "rev", r->compact.revision);
}

void api_trace_lease(struct api_rpc *r, const char *name, int64_t id)
{
	span_int(begin(r, name), "id", id);
}

void api_trace_lease_grant(struct api_rpc *r, const struct lease_grant_req *q)
{
	struct span *s = begin(r, "lease_grant");

	span_int(s, "id", q->id);
	span_int(s, "ttl", q->ttl);
}

struct span *api_trace_watch(struct api_rpc *r, const struct watch_req *q)
{
	struct span *s = span_begin(r->trace, TRACE_SCOPE_ETCD, SPAN_INTERNAL, SLICE_LIT("watch"));
	bool to_the_end = q->range_end.size == 1 && q->range_end.data[0] == 0;

	span_str(s, "key", q->key.size ? q->key : SLICE_LIT("\0"));
	span_str(s, "range_end", to_the_end ? (struct slice){0} : q->range_end);
	span_int(s, "start_rev", q->start_revision);
	span_bool(s, "progress_notify", q->progress_notify);
	span_bool(s, "prev_kv", q->prev_kv);
	span_bool(s, "fragment", q->fragment);
	return s;
}
