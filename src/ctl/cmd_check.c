/* check perf: does the cluster keep up with a rate of puts for a minute? check datascale: how much memory do so many
 * keys take? Both leave no keys behind. */
#include "ctl/load.h"
#include "ctl/metrics.h"

enum { CLEANUP_MS = 30 * 1000, PERF_SECONDS = 60 };

struct model {
	const char *letter, *name;
	size_t perf_clients;
	uint64_t perf_puts_per_s;
	size_t scale_clients;
	uint64_t scale_puts;
};

static const struct model models[] = {
    {"s", "small", 50, 150, 50, 10000},
    {"m", "medium", 200, 1000, 200, 100000},
    {"l", "large", 500, 8000, 500, 1000000},
    {"xl", "xLarge", 1000, 15000, 1000, 3000000},
};

static const struct model *model_of(struct ctl *c)
{
	for (size_t i = 0; i < ARRAY_COUNT(models); i++) {
		if (!strcmp(models[i].letter, c->o.load) || !strcmp(models[i].name, c->o.load))
			return &models[i];
	}
	ctl_fail(EXIT_FEATURE, "unknown load option %s", c->o.load);
	return NULL;
}

/* Nothing of the user's may be under the prefix, for all of it is deleted afterwards. */
static int check_empty(struct ctl *c, const char *quote)
{
	Etcdserverpb__RangeRequest req = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__RangeResponse *resp;
	struct slice prefix = slice_str(c->o.prefix_text);

	req.key = pb_binary(prefix.size ? prefix : slice_of("", 1));
	req.range_end = pb_binary(prefix_end(c, prefix));
	req.limit = 1;
	if (!ctl_call(c, RPC_RANGE, &req.base, CTL_NO_TIMEOUT, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (!resp->n_kvs)
		return 0;
	return ctl_fail(EXIT_INPUT, "prefix %s has keys. Delete with %setcdctl del --prefix %s%s first",
			ctl_quoted(c, prefix), quote, c->o.prefix_text, quote);
}

static int compact(struct ctl *c, int64_t revision)
{
	Etcdserverpb__CompactionRequest req = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
	void *resp;

	put(c, "Compacting with revision %lld\n", (long long)revision);
	req.revision = revision;
	req.physical = true;
	if (!ctl_call(c, RPC_COMPACT, &req.base, CLEANUP_MS, &resp))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	put(c, "Compacted with revision %lld\n", (long long)revision);
	return 0;
}

static int defrag_all(struct ctl *c)
{
	Etcdserverpb__DefragmentRequest req = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;

	for (size_t i = 0; i < c->endpoints.count; i++) {
		const char *name = ctl_quoted(c, slice_str(c->endpoints.at[i]));
		void *resp;
		int code = ctl_connect_to(c, &c->endpoints.at[i], 1);

		if (code)
			return code;
		put(c, "Defragmenting %s\n", name);
		if (!ctl_call(c, RPC_DEFRAGMENT, &req.base, CLEANUP_MS, &resp))
			return ctl_call_failed(c, EXIT_ERROR, "", "");
		put(c, "Defragmented %s\n", name);
	}
	return 0;
}

static bool delete_all(struct ctl *c, int64_t *revision)
{
	Etcdserverpb__DeleteRangeRequest req = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	Etcdserverpb__DeleteRangeResponse *resp;
	struct slice prefix = slice_str(c->o.prefix_text);

	req.key = pb_binary(prefix.size ? prefix : slice_of("", 1));
	req.range_end = pb_binary(prefix_end(c, prefix));
	if (!ctl_call(c, RPC_DELETE_RANGE, &req.base, CLEANUP_MS, &resp))
		return false;
	*revision = resp->header ? resp->header->revision : 0;
	return true;
}

/* Errors of a run, one line each; true if there are any. */
static bool print_errors(struct ctl *c, const struct load_result *r)
{
	if (!r->error_count)
		return false;
	put(c, "FAIL: too many errors\n");
	for (size_t i = 0; i < r->error_count; i++)
		put(c, "FAIL: ERROR(%s) -> %llu\n", r->errors[i].text, (unsigned long long)r->errors[i].count);
	return true;
}

/* --- perf --- */

static int judge_perf(struct ctl *c, const struct model *m, const struct load_result *r)
{
	double rate = r->seconds > 0 ? (double)r->ok / r->seconds : 0;
	bool ok = !print_errors(c, r);

	if (rate / (double)m->perf_puts_per_s <= 0.9) {
		put(c, "FAIL: Throughput too low: %d writes/s\n", (int)rate + 1);
		ok = false;
	} else {
		put(c, "PASS: Throughput is %d writes/s\n", (int)rate + 1);
	}
	put(c, r->slowest_s > 0.5 ? "Slowest request took too long: %fs\n" : "PASS: Slowest request took %fs\n",
	    r->slowest_s);
	put(c, r->stddev_s > 0.1 ? "Stddev too high: %fs\n" : "PASS: Stddev is %fs\n", r->stddev_s);
	ok = ok && r->slowest_s <= 0.5 && r->stddev_s <= 0.1;
	put(c, ok ? "PASS\n" : "FAIL\n");
	return ok ? EXIT_OK : EXIT_ERROR;
}

static int perf(struct ctl *c, const struct model *m, struct signals *signals)
{
	struct load_opts o = {.seconds = PERF_SECONDS, .key_size = 256, .value_size = 1024, .prefix = c->o.prefix_text};
	struct load_result r;
	int64_t revision = 0;
	int code = check_empty(c, "'");

	if (code)
		return code;
	o.clients = m->perf_clients;
	o.puts_per_s = m->perf_puts_per_s;
	code = load_run(c, signals, &o, &r);
	if (code)
		return code;
	if (!delete_all(c, &revision))
		put(c, "FAIL: Cleanup failed during key deletion: ERROR(%s)\n", ctl_call_error(c));
	else if (c->o.auto_compact)
		code = compact(c, revision);
	if (!code && c->o.auto_defrag)
		code = defrag_all(c);
	return code ? code : judge_perf(c, m, &r);
}

/* Connected, with the signals caught, so that a second one does not end the cleaning up after the first. */
static int run_check(struct ctl *c, int (*check)(struct ctl *c, const struct model *m, struct signals *signals))
{
	const struct model *m = model_of(c);
	struct signals signals;
	int code = m ? ctl_connect(c) : EXIT_FEATURE;

	if (code)
		return code;
	signals_begin(&signals, c);
	code = check(c, m, &signals);
	signals_end(&signals);
	return code;
}

RUN(check_perf)
{
	return run_check(cli->user, perf);
}

/* --- datascale --- */

static int memory_failed(struct ctl *c, const char *when)
{
	put(c, "FAIL: Could not read process_resident_memory_bytes %s the put operations.\n", when);
	return EXIT_ERROR;
}

static int clean_scale(struct ctl *c)
{
	int64_t revision;
	int code = 0;

	if (!delete_all(c, &revision))
		return ctl_call_failed(c, EXIT_ERROR, "", "");
	if (c->o.auto_compact)
		code = compact(c, revision);
	return code || !c->o.auto_defrag ? code : defrag_all(c);
}

static int datascale(struct ctl *c, const struct model *m, struct signals *signals)
{
	struct load_opts o = {.key_size = 512, .value_size = 512, .prefix = c->o.prefix_text};
	struct load_result r;
	double before, after;
	int code = check_empty(c, "");

	if (code)
		return code;
	if (!metrics_value(c, c->endpoints.at[0], "process_resident_memory_bytes", &before))
		return memory_failed(c, "before");
	put(c,
	    "Start data scale check for work load [%llu key-value pairs, 1024 bytes per key-value, %zu concurrent "
	    "clients].\n",
	    (unsigned long long)m->scale_puts, m->scale_clients);
	ctl_flush(c);
	o.clients = m->scale_clients;
	o.puts = m->scale_puts;
	code = load_run(c, signals, &o, &r);
	if (code)
		return code;
	if (!metrics_value(c, c->endpoints.at[0], "process_resident_memory_bytes", &after))
		return memory_failed(c, "after");
	code = clean_scale(c);
	if (code)
		return code;
	if (r.interrupted)
		return ctl_fail(EXIT_INTERRUPTED, "interrupted; the keys are deleted again");
	if (print_errors(c, &r))
		return EXIT_ERROR;
	put(c, "PASS: Approximate system memory used : %.2f MB.\n", (after - before) / (1024 * 1024));
	return EXIT_OK;
}

RUN(check_datascale)
{
	return run_check(cli->user, datascale);
}
