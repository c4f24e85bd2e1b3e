/* One interval's readings. */
#include <math.h>

#include "ctl/top.h"

static const char *const counter_names[TOP_COUNTERS] = {
    "grpc_server_handled_total", "etcd_mvcc_put_total", "etcd_mvcc_range_total", "etcd_mvcc_txn_total", "etcd_mvcc_delete_total",
};
static const char *const histogram_names[TOP_HISTOGRAMS] = {
    "etcd_server_request_duration_seconds", "etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds",
};

static uint64_t timeout_ms(const struct top *t)
{
	return MAX(MIN(ms_of(t->c->o.command_timeout), ms_of(t->c->o.interval)), (uint64_t)1);
}

/* --- who there is --- */

static struct top_member *find(struct top *t, uint64_t id, const char *endpoint)
{
	for (size_t i = 0; i < t->count; i++) {
		struct top_member *m = t->at[i];

		if (id ? m->id == id : !strcmp(m->endpoint, endpoint))
			return m;
	}
	return NULL;
}

static void drop_client(struct top_member *m)
{
	ctl_client_close(m->top->c, m->client);
	m->client = NULL;
}

static void list_one(struct top *t, uint64_t id, const char *name, const char *endpoint)
{
	struct top_member *m = find(t, id, endpoint);

	if (!m) {
		if (t->count == TOP_MEMBERS_MAX)
			return;
		m = t->at[t->count++] = NEW(struct top_member);
		m->top = t;
		m->id = id;
	}
	if (strcmp(m->endpoint, endpoint))
		drop_client(m);
	snprintf(m->name, sizeof(m->name), "%s", name);
	snprintf(m->endpoint, sizeof(m->endpoint), "%s", endpoint);
	m->listed = true;
}

static void list_members(struct top *t)
{
	struct ctl *c = t->c;
	Etcdserverpb__MemberListResponse *r;
	struct client_call_opts opts = {.timeout_ms = timeout_ms(t)};
	char text[CLIENT_ERROR_SIZE];

	t->trouble[0] = 0;
	if (!client_unary(c->client, RPC_MEMBER_LIST, (struct slice){NULL, 0}, &opts, &c->response, &c->status)) {
		snprintf(t->trouble, sizeof(t->trouble), "%s", client_error(text, &c->status));
		return;
	}
	if (pb_unpack(&t->arena, &etcdserverpb__member_list_response__descriptor, buf_slice(&c->response), &r))
		return;
	for (size_t i = 0; i < t->count; i++)
		t->at[i]->listed = false;
	for (size_t i = 0; i < r->n_members; i++) {
		const Etcdserverpb__Member *m = r->members[i];

		list_one(t, m->id, m->name, m->n_clienturls ? m->clienturls[0] : "");
	}
}

static void list_endpoints(struct top *t)
{
	for (size_t i = 0; i < t->c->endpoints.count; i++)
		list_one(t, 0, "", t->c->endpoints.at[i]);
}

static void forget(struct top *t, size_t i)
{
	drop_client(t->at[i]);
	mem_free(t->at[i]);
	t->at[i] = t->at[--t->count];
}

static int by_name(const void *a, const void *b)
{
	const struct top_member *x = *(struct top_member *const *)a, *y = *(struct top_member *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->endpoint, y->endpoint);
}

static void list_all(struct top *t)
{
	if (t->c->o.cluster)
		list_members(t);
	else
		list_endpoints(t);
	for (size_t i = t->count; i--;) {
		if (!t->at[i]->listed)
			forget(t, i);
	}
	qsort(t->at, t->count, sizeof(t->at[0]), by_name);
}

void top_forget(struct top *t)
{
	while (t->count)
		forget(t, t->count - 1);
}

/* --- what each says --- */

static void take_status(struct top_reading *r, const Etcdserverpb__StatusResponse *s)
{
	size_t at = 0;

	r->answered = true;
	r->cluster_id = s->header ? s->header->cluster_id : 0;
	r->id = s->header ? s->header->member_id : 0;
	r->revision = s->header ? s->header->revision : 0;
	r->leader = s->leader;
	r->is_learner = s->islearner;
	r->db_bytes = (uint64_t)s->dbsize;
	r->db_in_use_bytes = (uint64_t)s->dbsizeinuse;
	r->index = s->raftindex;
	r->applied = s->raftappliedindex;
	r->term = s->raftterm;
	snprintf(r->version, sizeof(r->version), "%s", s->version);
	for (size_t i = 0; i < s->n_errors && at < sizeof(r->alarms); i++)
		at += (size_t)snprintf(r->alarms + at, sizeof(r->alarms) - at, "%s%s", i ? ", " : "", s->errors[i]);
}

static void on_status(struct client_call *call, void *user, struct slice body)
{
	struct top_member *m = user;
	Etcdserverpb__StatusResponse *s;

	if (!pb_unpack(&m->top->arena, &etcdserverpb__status_response__descriptor, body, &s))
		take_status(&m->now, s);
}

static void on_status_end(struct client_call *call, void *user, const struct client_status *s)
{
	struct top_member *m = user;
	const char *trouble = client_trouble(m->client);
	char text[CLIENT_ERROR_SIZE];

	if (!m->now.answered)
		snprintf(m->now.error, sizeof(m->now.error), "%s", s->is_local && trouble[0] ? trouble : client_error(text, s));
	m->top->all_answered = !--m->top->open;
}

static void ask(struct top_member *m)
{
	static const struct client_events events = {on_status, on_status_end};
	struct top *t = m->top;
	struct ctl *c = t->c;
	struct client_call_opts opts = {.timeout_ms = timeout_ms(t)};
	struct client_opts o = c->opts;
	const char *endpoint = m->endpoint, *why = "";

	m->before = m->now;
	m->now = (struct top_reading){0};
	if (!endpoint[0]) {
		snprintf(m->now.error, sizeof(m->now.error), "not started");
		return;
	}
	o.endpoints = &endpoint;
	o.endpoint_count = 1;
	if (!m->client && ctl_client_try(c, &o, &m->client, &why)) {
		snprintf(m->now.error, sizeof(m->now.error), "%s", why);
		return;
	}
	t->open++;
	t->all_answered = false;
	client_start(m->client, RPC_STATUS, (struct slice){NULL, 0}, &opts, &events, m);
}

static void on_metrics(struct metrics_job *job, const char *text)
{
	struct top_member *m = job->user;
	struct top_reading *r = &m->now;

	r->has_metrics = text;
	r->at_ns = uv_hrtime();
	for (size_t i = 0; r->has_metrics && i < TOP_COUNTERS; i++) {
		if (!metrics_sum(text, counter_names[i], &r->counters[i]))
			r->counters[i] = NAN;
	}
	for (size_t i = 0; r->has_metrics && i < TOP_HISTOGRAMS; i++)
		metrics_histogram(text, histogram_names[i], &r->times[i]);
}

static void read_metrics(struct top *t)
{
	struct metrics_job jobs[TOP_MEMBERS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct top_member *m = t->at[i];

		if (m->now.answered && !strstr(m->endpoint, "unix"))
			jobs[count++] = (struct metrics_job){.endpoint = m->endpoint, .on_end = on_metrics, .user = m};
	}
	metrics_fetch_all(t->c, jobs, count, t->c->opts.tls.on, timeout_ms(t), &t->signals.came);
}

bool top_read(struct top *t)
{
	arena_reset(&t->arena);
	list_all(t);
	for (size_t i = 0; i < t->count && !t->signals.came; i++)
		ask(t->at[i]);
	if (t->open)
		client_wait(t->c->client, &t->all_answered, 0);
	if (t->signals.came)
		return false;
	read_metrics(t);
	return !t->signals.came;
}

/* --- what follows from it --- */

double top_rate(const struct top_member *m, enum top_counter what)
{
	double grown = m->now.counters[what] - m->before.counters[what];

	if (!m->now.has_metrics || !m->before.has_metrics || m->now.at_ns <= m->before.at_ns || grown < 0)
		return NAN; /* less than before: it was started anew */
	return grown / ((double)(m->now.at_ns - m->before.at_ns) / 1e9);
}

double top_p99_s(const struct top_member *m, enum top_histogram what)
{
	if (!m->now.has_metrics || !m->before.has_metrics)
		return NAN;
	return metrics_quantile(&m->now.times[what], &m->before.times[what], 0.99);
}

uint64_t top_lag(const struct top *t, const struct top_member *m)
{
	uint64_t highest = m->now.applied;

	for (size_t i = 0; i < t->count; i++) {
		if (t->at[i]->now.answered)
			highest = MAX(highest, t->at[i]->now.index);
	}
	return highest - m->now.applied;
}

const struct top_member *top_leader(const struct top *t)
{
	for (size_t i = 0; i < t->count; i++) {
		if (t->at[i]->now.answered && t->at[i]->now.id && t->at[i]->now.id == t->at[i]->now.leader)
			return t->at[i];
	}
	return NULL;
}

const char *top_role(const struct top_member *m)
{
	if (!m->now.answered)
		return "down";
	if (m->now.id == m->now.leader)
		return "leader";
	return m->now.is_learner ? "learner" : m->now.leader ? "follower" : "no leader";
}
