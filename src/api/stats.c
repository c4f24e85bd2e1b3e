/* What is counted and timed of calls. */
#include "api/api_impl.h"
#include "obs/metric.h"

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

void api_range_observe(struct api_rpc *r, bool success, uint64_t began_ns)
{
	struct api *a = r->io->api;
	uint64_t now = api_now(r);

	metric_add(METRIC_MVCC_RANGE_TOTAL, 1);
	metric_observe(metric_series_kept(&a->series.range[success], METRIC_SERVER_RANGE_DURATION_SECONDS, (const char *[]){success_name(success)}),
		       now - began_ns);
	metric_observe(metric_series_kept(&a->series.range_request[success], METRIC_SERVER_REQUEST_DURATION_SECONDS,
					  (const char *[]){success_name(success), "Range"}),
		       now - r->started_ns);
}

void api_read_txn_observe(struct api_rpc *r, bool success)
{
	metric_observe(metric_series_kept(&r->io->api->series.txn_request[success], METRIC_SERVER_REQUEST_DURATION_SECONDS,
					  (const char *[]){success_name(success), "ReadonlyTxn"}),
		       api_now(r) - r->started_ns);
}
