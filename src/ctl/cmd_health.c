/* endpoint health: all endpoints at once, each by a client of its own, so that one that is dead holds nobody up.
 *
 *	get "health" --good, or permission denied--> alarms --none--> healthy
 *	      |                                        |
 *	      +--failed: unhealthy                     +--some, or failed: unhealthy */
#include <time.h>

#include "ctl/ctl_impl.h"

struct examination;

struct health {
	struct examination *all;
	const char *ep;
	struct client *client;
	bool ok;
	const char *took, *error;
	const char *alarms; /* "Active Alarm(s): …"; "" if there are none */
	uint64_t start_ns, end_ms;
};

struct examination {
	struct ctl *c;
	struct health *at;
	size_t open;
	bool done;
};

static void finish(struct health *h, bool ok, const char *error)
{
	h->ok = ok;
	h->error = error;
	h->all->done = !--h->all->open;
}

/* --- the second call --- */

static const char *alarm_names(struct ctl *c, const Etcdserverpb__AlarmResponse *r)
{
	static const char *const names[] = {"UNKNOWN", "NOSPACE", "CORRUPT"};
	const char *text = "Active Alarm(s): ";

	for (size_t i = 0; i < r->n_alarms; i++) {
		unsigned alarm = (unsigned)r->alarms[i]->alarm;

		text = ctl_copy(c, "%s%s ", text, names[alarm < ARRAY_COUNT(names) ? alarm : 0]);
	}
	return text;
}

static void on_alarms(struct client_call *call, void *user, struct slice body)
{
	struct health *h = user;
	struct ctl *c = h->all->c;
	Etcdserverpb__AlarmResponse *r;

	if (!pb_unpack(&c->arena, &etcdserverpb__alarm_response__descriptor, body, &r) && r->n_alarms)
		h->alarms = alarm_names(c, r);
}

static void on_alarms_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct health *h = user;

	if (s->code != GRPC_OK)
		finish(h, false, "Unable to fetch the alarm list");
	else
		finish(h, !h->alarms[0], h->alarms);
}

/* --- the first --- */

/* A linearizable read of any key goes through the whole cluster; being refused one does too. */
static void on_read_end(struct client_call *call, void *user, const struct client_status *s)
{
	static const struct client_events events = {on_alarms, on_alarms_end};
	struct health *h = user;
	struct ctl *c = h->all->c;
	uint64_t now = uv_now(&c->loop);
	struct client_call_opts opts = {.timeout_ms = h->end_ms > now ? h->end_ms - now : 1};
	char text[TEXT_DURATION_SIZE], error[CLIENT_ERROR_SIZE];

	h->took = ctl_copy(c, "%s", text_duration(text, (int64_t)(uv_hrtime() - h->start_ns)));
	if (s->code == GRPC_OK || client_error_row(s) == ERR_PERMISSION_DENIED) {
		client_start(h->client, RPC_ALARM, (struct slice){NULL, 0}, &opts, &events, h);
		return;
	}
	c->status = *s;
	ctl_explain(c, h->client);
	finish(h, false, ctl_copy(c, "%s", client_error(error, s)));
}

static void begin(struct health *h)
{
	static const struct client_events events = {NULL, on_read_end};
	struct ctl *c = h->all->c;
	struct client_call_opts opts = {.timeout_ms = MAX(ms_of(c->o.command_timeout), (uint64_t)1)};
	Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;

	get.key = pb_binary(SLICE_LIT("health"));
	buf_clear(&c->request);
	pb_pack(&get.base, &c->request);
	h->start_ns = uv_hrtime();
	uv_update_time(&c->loop);
	h->end_ms = uv_now(&c->loop) + opts.timeout_ms;
	h->all->open++;
	h->all->done = false;
	client_start(h->client, RPC_RANGE, buf_slice(&c->request), &opts, &events, h);
}

/* --- printing --- */

static void health_json(struct ctl *c, const struct health *list, size_t count)
{
	struct out_json j = {.out = &c->out};

	out_json_open(&j, '[');
	for (size_t i = 0; i < count; i++) {
		out_json_open(&j, '{');
		out_json_key(&j, "endpoint");
		out_json_str(&j, slice_str(list[i].ep));
		out_json_key(&j, "health");
		out_json_bool(&j, list[i].ok);
		out_json_key(&j, "took");
		out_json_str(&j, slice_str(list[i].took));
		if (list[i].error[0]) {
			out_json_key(&j, "error");
			out_json_str(&j, slice_str(list[i].error));
		}
		out_json_close(&j, '}');
	}
	out_json_close(&j, ']');
	put(c, "\n");
}

static void health_simple(struct ctl *c, const struct health *h)
{
	if (!h->error[0])
		put(c, "%s is healthy: successfully committed proposal: took = %s\n", h->ep, h->took);
	else
		fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", h->ep, h->error);
}

static void health_fields(struct ctl *c, const struct health *h)
{
	out_field_quoted(&c->out, "Endpoint", slice_str(h->ep));
	out_field(&c->out, "Health", "%s", h->ok ? "true" : "false");
	out_field(&c->out, "Took", "%s", h->took);
	out_field(&c->out, "Error", "%s", h->error);
	put(c, "\n");
}

static int health_print(struct ctl *c, const struct health *list, size_t count)
{
	static const char *const titles[] = {"endpoint", "health", "took", "error"};
	struct out_table *t;

	if (c->format == OUT_PROTOBUF)
		return out_unsupported("protobuf");
	if (c->format == OUT_JSON)
		health_json(c, list, count);
	t = out_table_new(titles, ARRAY_COUNT(titles));
	for (size_t i = 0; i < count; i++) {
		out_table_cell(t, "%s", list[i].ep);
		out_table_cell(t, "%s", list[i].ok ? "true" : "false");
		out_table_cell(t, "%s", list[i].took);
		out_table_cell(t, "%s", list[i].error);
		if (c->format == OUT_SIMPLE)
			health_simple(c, &list[i]);
		else if (c->format == OUT_FIELDS)
			health_fields(c, &list[i]);
	}
	if (c->format == OUT_TABLE)
		out_table_box(t, &c->out);
	out_table_free(t);
	return EXIT_OK;
}

/* --- the command --- */

static void examine_all(struct examination *all, const struct endpoints *eps)
{
	struct ctl *c = all->c;
	struct client *any = NULL;

	for (size_t i = 0; i < eps->count; i++) {
		struct health *h = &all->at[i];
		struct client_opts o = c->opts;

		*h = (struct health){.all = all, .ep = eps->at[i], .took = "", .error = "", .alarms = ""};
		o.endpoints = &eps->at[i];
		o.endpoint_count = 1;
		if (ctl_client_try(c, &o, &h->client, &h->error))
			continue;
		any = h->client;
		begin(h);
	}
	if (any)
		client_wait(any, &all->done, 0);
	for (size_t i = 0; i < eps->count; i++)
		ctl_client_close(c, all->at[i].client);
}

RUN(endpoint_health)
{
	struct ctl *c = cli->user;
	struct examination all = {.c = c};
	struct endpoints eps;
	bool healthy = true;
	int code = ctl_setup(c);

	if (!code)
		code = ctl_cluster(c, &eps);
	if (code)
		return code;
	all.at = arena_alloc_array(&c->arena, eps.count + 1, sizeof(*all.at));
	examine_all(&all, &eps);
	for (size_t i = 0; i < eps.count; i++)
		healthy = healthy && !all.at[i].error[0];
	code = health_print(c, all.at, eps.count);
	return code || healthy ? code : ctl_fail(EXIT_ERROR, "unhealthy cluster");
}
