/* What is counted and timed of calls. */
#include "api/api_impl.h"
#include "env/env.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "pb/describe.h"

enum { KEEP_MAX = 16 * 1024 };

uint64_t api_now(const struct api_rpc *r)
{
	return sched_now_ns(actor_sched(r->io->actor));
}

/* Those that are shown before they count. */
void api_series_make(struct api *a)
{
	a->series.scrapes = metric_series(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_TOTAL, (const char *[]){"200"});
	metric_series(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_TOTAL, (const char *[]){"500"});
	metric_series(METRIC_PROMHTTP_METRIC_HANDLER_REQUESTS_TOTAL, (const char *[]){"503"});
}

/* Client versions are the clients' own texts: a few are kept at hand, and the registry bounds how many there are. */
void api_count_client(struct api_rpc *r)
{
	struct api_io *io = r->io;
	struct slice v = r->meta.client_version.size ? r->meta.client_version : SLICE_LIT("unknown");
	bool unary = rpc_methods[r->method].stream == RPC_UNARY;
	size_t i = 0;

	while (i < CLIENT_VERSIONS_KEPT && io->versions[i].version && !slice_eq(slice_str(io->versions[i].version), v))
		i++;
	if (i == CLIENT_VERSIONS_KEPT)
		i = io->version_next++ % CLIENT_VERSIONS_KEPT;
	if (!io->versions[i].version || !slice_eq(slice_str(io->versions[i].version), v)) {
		mem_free(io->versions[i].version);
		io->versions[i].version = mem_printf("%.*s", SLICE_ARG(v));
		memset(io->versions[i].series, 0, sizeof(io->versions[i].series));
	}
	if (!io->versions[i].series[unary])
		io->versions[i].series[unary] = metric_series(METRIC_SERVER_CLIENT_REQUESTS_TOTAL,
							      (const char *[]){io->versions[i].version, unary ? "unary" : "stream"});
	metric_add(io->versions[i].series[unary], 1);
}

static const char *success_name(bool success)
{
	return success ? "true" : "false";
}

/* ---- slow reads ---- */

static size_t kvs_count(struct slice range_response)
{
	struct pb_reader rd = pb_reader_of(range_response);
	struct pb_field f;
	size_t n = 0;

	while (pb_next(&rd, &f))
		n += f.number == 2;
	return n;
}

/* "range_response_count:2 " for each range of a txn's answer (ResponseOp.response_range). */
static void txn_counts(struct slice txn_response, struct buf *out)
{
	struct pb_reader rd = pb_reader_of(txn_response);
	struct pb_field f, g;
	const char *gap = "";

	while (pb_next(&rd, &f)) {
		struct pb_reader in = pb_reader_of(f.bytes);

		if (f.number != 3 || !pb_next(&in, &g) || g.number != 1)
			continue;
		buf_printf(out, "%srange_response_count:%zu", gap, kvs_count(g.bytes));
		gap = " ";
	}
}

static void slow_read(struct api_rpc *r, const char *prefix, uint64_t took_ns, bool success)
{
	struct buf request, response;

	buf_init(&request, LOG_STRING_SIZE_MAX);
	buf_init(&response, LOG_STRING_SIZE_MAX);
	if (r->method == RPC_RANGE)
		describe_range(&r->range, &request);
	else
		describe_txn(&r->txn, &request);
	if (r->state) {
		/* A large one: what it holds is not known until it is sent. */
	} else if (success && r->method == RPC_RANGE) {
		buf_printf(&response, "range_response_count:%zu size:%zu", kvs_count(buf_slice(&r->call.resp)), r->call.resp.size);
	} else if (success) {
		buf_printf(&response, "responses:<");
		txn_counts(buf_slice(&r->call.resp), &response);
		buf_printf(&response, "> size:%zu", r->call.resp.size);
	}
	LOG_WARN("apply request took too long", LOG_DURATION("took", (int64_t)took_ns),
		 LOG_DURATION("expected-duration", (int64_t)r->io->api->opts.apply_warning_ns), LOG_STR("prefix", prefix),
		 LOG_SLICE("request", buf_slice(&request)), LOG_SLICE("response", buf_slice(&response)));
	buf_fini(&request);
	buf_fini(&response);
	metric_add(METRIC_SERVER_SLOW_APPLY_TOTAL, 1);
}

static void read_done(struct api_rpc *r, const char *prefix, bool success)
{
	uint64_t limit = r->io->api->opts.apply_warning_ns;

	r->read_ns = api_now(r);
	if (limit && r->read_ns - r->started_ns > limit)
		slow_read(r, prefix, r->read_ns - r->started_ns, success);
}

void api_range_observe(struct api_rpc *r, bool success, uint64_t began_ns)
{
	struct api *a = r->io->api;

	read_done(r, "read-only range ", success);
	metric_add(METRIC_MVCC_RANGE_TOTAL, 1);
	metric_observe(metric_series_kept(&a->series.range[success], METRIC_SERVER_RANGE_DURATION_SECONDS, (const char *[]){success_name(success)}),
		       r->read_ns - began_ns);
	metric_observe(metric_series_kept(&a->series.range_request[success], METRIC_SERVER_REQUEST_DURATION_SECONDS,
					  (const char *[]){success_name(success), "Range"}),
		       r->read_ns - r->started_ns);
}

void api_read_txn_observe(struct api_rpc *r, bool success)
{
	read_done(r, "read-only txn ", success);
	metric_observe(metric_series_kept(&r->io->api->series.txn_request[success], METRIC_SERVER_REQUEST_DURATION_SECONDS,
					  (const char *[]){success_name(success), "ReadonlyTxn"}),
		       r->read_ns - r->started_ns);
}

/* ---- slow calls ---- */

void api_keep_put(struct api_rpc *r, const struct put_req *q, struct blob *take_body)
{
	struct buf text;

	if (take_body->size <= KEEP_MAX) {
		r->body = take_body;
		return;
	}
	buf_init(&text, LOG_STRING_SIZE_MAX);
	describe_put(q, &text);
	r->content = mem_printf("%.*s", SLICE_ARG(buf_slice(&text)));
	r->kept_size = take_body->size;
	buf_fini(&text);
	blob_unref(take_body);
}

/* -1: not counted for this kind of call. */
struct counts {
	int64_t requests, request_bytes, responses, response_bytes;
};

static int64_t field_of(struct slice message, uint32_t number)
{
	struct pb_reader rd = pb_reader_of(message);
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == number && f.wire == PB_VARINT)
			return (int64_t)f.value;
	return 0;
}

/* Operations of the branch that was taken, and their size. */
static void txn_branch(struct slice request, bool succeeded, struct counts *c)
{
	struct pb_reader rd = pb_reader_of(request);
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == (succeeded ? 2 : 3)) {
			c->requests++;
			c->request_bytes += (int64_t)f.bytes.size;
		}
}

static struct counts count_up(struct api_rpc *r, struct buf *content)
{
	struct slice body = r->body ? blob_slice(r->body) : (struct slice){0}, resp = buf_slice(&r->call.resp);
	struct counts c = {0, (int64_t)(r->body ? body.size : r->kept_size), 0, (int64_t)r->sent_bytes};
	struct delete_req del;
	struct put_req put;

	switch (r->method) {
	case RPC_RANGE:
		describe_range(&r->range, content);
		c.responses = field_of(resp, 4);
		return c;
	case RPC_PUT:
		c.requests = 1;
		if (r->content)
			buf_printf(content, "%s", r->content);
		else if (!put_req_parse(body, &put))
			describe_put(&put, content);
		return c;
	case RPC_DELETE_RANGE:
		if (!delete_req_parse(body, &del))
			describe_delete(&del, content);
		c.responses = field_of(resp, 2);
		return c;
	case RPC_TXN:
		describe_txn(&r->txn, content);
		c.request_bytes = 0;
		if (r->sent_bytes)
			txn_branch(body, field_of(resp, 2) != 0, &c);
		return c;
	default:
		return (struct counts){-1, -1, -1, -1};
	}
}

static bool is_slow(const struct api_rpc *r, uint64_t took_ns)
{
	uint64_t limit = r->io->api->opts.unary_warning_ns;

	return limit && took_ns > limit;
}

void api_log_stats(struct api_rpc *r)
{
	bool debug = log_enabled(LOG_LEVEL_DEBUG);
	char when[LOG_TIME_SIZE];
	const char *remote = NULL, *path;
	struct buf content;
	struct counts c;
	uint64_t took;

	if (!r->started_ns || r->meta.internal || rpc_methods[r->method].stream != RPC_UNARY || (!debug && !r->io->api->opts.unary_warning_ns))
		return;
	took = (r->read_ns ? r->read_ns : api_now(r)) - r->started_ns;
	if (!debug && !is_slow(r, took))
		return;
	buf_init(&content, LOG_STRING_SIZE_MAX);
	c = count_up(r, &content);
	if (r->ops->remote)
		remote = r->ops->remote(r->sink);
	path = (const char *)rpc_methods[r->method].path.data;
#define STATS_FIELDS                                                                                                                       \
	LOG_STR("start time", log_time_text(when, env_wall_ns() - (int64_t)took)), LOG_DURATION("time spent", (int64_t)took),              \
		LOG_STR("remote", remote ? remote : "No remote client info."), LOG_STR("response type", path),                             \
		LOG_INT("request count", c.requests), LOG_INT("request size", c.request_bytes), LOG_INT("response count", c.responses),    \
		LOG_INT("response size", c.response_bytes), LOG_SLICE("request content", buf_slice(&content))
	if (is_slow(r, took) && !debug)
		LOG_WARN("request stats", STATS_FIELDS);
	else
		LOG_DEBUG("request stats", STATS_FIELDS);
#undef STATS_FIELDS
	buf_fini(&content);
}
