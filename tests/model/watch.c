/* Random life of watch streams against a naive twin.
 *
 * The twin knows every row that was ever written and, per watcher, from where it wants them. Whatever the hub sends
 * must be the next of exactly those events: in order, each once, a revision never split over messages, prev_kv right.
 * Progress with revision R must come when the watchers it covers have everything up to R. A cancel by compaction is
 * right only if the watcher began below the compact revision. At the end readers drain and nothing may be missing.
 * Usage: model_watch [first seed [count]] */
#include "../unit/watch/watch_test.h"

enum { STREAMS = 4, WATCHERS = 400, STEPS = 1500, TASKS = 3 };

struct model_watcher {
	int64_t id, next; /* all owed events are >= next */
	bool alive, compacted, created;
	bool prev_kv;
	bool fragment, in_fragment;
	uint32_t filters;
	char key[8], end[8];
	bool from;
	int stream;
	size_t at; /* rows before were received or are not for it */
};

struct model_stream {
	struct watch_stream *s;
	size_t items; /* taken, not reported as drained */
	uint64_t bytes;
	int progress_asked;
};

struct model {
	struct rng r;
	struct test_store ts;
	struct watch_hub *h;
	struct model_stream streams[STREAMS];
	struct model_watcher w[WATCHERS];
	size_t count;
	struct watch_task *tasks[TASKS];
	bool ran[TASKS];
	uint64_t now;
	struct messages m;
	uint64_t events, cancels, progress; /* seen; a run that sees none tests nothing */
};

static uint64_t below(struct model *m, uint64_t end)
{
	return rng_below(&m->r, end);
}

static void random_key(struct model *m, char out[8])
{
	out[0] = (char)('a' + below(m, 6));
	out[1] = (char)('0' + below(m, 3));
	out[2] = 0;
}

static bool wants(const struct model_watcher *w, const struct ts_row *row)
{
	if (row->rev.main < w->next || w->filters & (row->tombstone ? WATCH_FILTER_NODELETE : WATCH_FILTER_NOPUT))
		return false;
	if (w->from)
		return strcmp(w->key, row->key) <= 0;
	if (!w->end[0])
		return !strcmp(w->key, row->key);
	return strcmp(w->key, row->key) <= 0 && strcmp(row->key, w->end) < 0;
}

/* Index of the next row that is owed; rows.count if none. */
static size_t owed(const struct model *m, struct model_watcher *w)
{
	while (w->at < m->ts.rows.count && !wants(w, &m->ts.rows.at[w->at]))
		w->at++;
	return w->at;
}

static bool has_all_up_to(struct model *m, struct model_watcher *w, int64_t rev)
{
	size_t at = owed(m, w);

	return at == m->ts.rows.count || m->ts.rows.at[at].rev.main > rev;
}

static struct model_watcher *find(struct model *m, int stream, int64_t id)
{
	for (size_t i = m->count; i-- > 0;)
		if (m->w[i].alive && m->w[i].stream == stream && m->w[i].id == id)
			return &m->w[i];
	return NULL;
}

/* ---- what the reader sees ---- */

static void check_prev(struct model *m, const struct model_watcher *w, const struct ts_row *row,
		       const struct msg_event *e)
{
	const struct ts_row *prev = ts_get(&m->ts, row->key, row->rev.main - 1);
	struct kv kv;

	if (!w->prev_kv || (!row->tombstone && row->create_rev == row->rev.main) || !prev) {
		assert_false(e->has_prev);
		return;
	}
	if (!e->has_prev) {
		assert_true(row->rev.main - 1 < m->ts.compact_rev);
		return;
	}
	assert_ok(kv_decode(blob_slice(prev->kv), &kv));
	assert_true(e->prev_mod_rev == prev->rev.main);
	assert_true(slice_eq(slice_str(e->prev_value), kv.value));
}

static void read_events(struct model *m, struct model_watcher *w, const struct reply *msg)
{
	for (size_t i = 0; i < msg->events.count; i++) {
		const struct msg_event *e = &msg->events.at[i];
		size_t at = owed(m, w);

		assert_true(at < m->ts.rows.count);

		const struct ts_row *row = &m->ts.rows.at[at];

		assert_true(row->rev.main == e->mod_rev && row->tombstone == e->is_delete);
		assert_string_equal(row->key, e->key);
		assert_true(e->mod_rev <= msg->rev);
		check_prev(m, w, row, e);
		w->at++;
		m->events++;
	}
	/* the revision is complete with this message, unless it is a fragment */
	int64_t last = msg->events.at[msg->events.count - 1].mod_rev;

	assert_true(!msg->fragment || w->fragment);
	if (!msg->fragment)
		assert_true(has_all_up_to(m, w, last));
	w->in_fragment = msg->fragment;
}

static void read_progress(struct model *m, int stream, const struct reply *msg)
{
	struct model_watcher *one = find(m, stream, msg->watch_id);

	m->progress++;
	if (msg->watch_id != -1) {
		assert_non_null(one);
		assert_true(has_all_up_to(m, one, msg->rev));
		return;
	}
	assert_true(m->streams[stream].progress_asked-- > 0);
	for (size_t i = 0; i < m->count; i++)
		if (m->w[i].alive && m->w[i].stream == stream && m->w[i].created) {
			assert_false(m->w[i].compacted);
			assert_true(has_all_up_to(m, &m->w[i], msg->rev));
		}
}

static void read_one(struct model *m, const struct reply *msg)
{
	int stream = (int)((struct model_stream *)msg->stream - m->streams);
	struct model_watcher *w;

	m->streams[stream].items++;
	m->streams[stream].bytes += msg->size;
	if (msg->created) {
		w = find(m, stream, msg->watch_id);
		if (!w)
			return; /* crossed with our cancel */
		assert_false(w->created || msg->canceled);
		w->created = true;
		return;
	}
	if (msg->canceled && !msg->compact_rev)
		return; /* reply to our own cancel: the twin forgot it at once */
	if (msg->canceled) {
		w = find(m, stream, msg->watch_id);
		if (!w)
			return; /* crossed with our cancel */
		assert_true(w->created && !w->compacted && msg->rev == 0);
		assert_true(msg->compact_rev > w->next);
		w->compacted = true;
		m->cancels++;
		return;
	}
	if (!msg->events.count) {
		if (msg->watch_id == -1 || find(m, stream, msg->watch_id))
			read_progress(m, stream, msg);
		return;
	}
	w = find(m, stream, msg->watch_id);
	if (!w)
		return; /* crossed with our cancel */
	assert_true(w->created && !w->compacted);
	read_events(m, w, msg);
}

static void read_all(struct model *m)
{
	take_messages(m->h, &m->m);
	while (!no_message(&m->m))
		read_one(m, next_message(&m->m));
	messages_clear(&m->m);
}

/* ---- what happens ---- */

static void step_write(struct model *m, struct watch_hub *h)
{
	char key[8], value[16];
	size_t n = 1 + (below(m, 4) == 0 ? below(m, 6) : 0);

	ts_begin(&m->ts);
	for (size_t i = 0; i < n; i++) {
		random_key(m, key);
		snprintf(value, sizeof(value), "%lld.%zu", (long long)m->ts.rev, i);
		if (below(m, 3))
			ts_put(&m->ts, key, value);
		else
			ts_delete(&m->ts, key);
	}
	ts_end(&m->ts, h);
}

static void step_create(struct model *m)
{
	struct model_watcher *w = &m->w[m->count];
	int stream = (int)below(m, STREAMS);

	if (m->count == WATCHERS || !m->streams[stream].s)
		return;
	*w = (struct model_watcher){
		.stream = stream, .alive = true, .prev_kv = below(m, 2), .fragment = below(m, 3) == 0};
	random_key(m, w->key);
	w->from = below(m, 6) == 0;
	if (!w->from && below(m, 2))
		snprintf(w->end, sizeof(w->end), "%c", w->key[0] + 1 + (int)below(m, 3));
	w->filters = below(m, 4) ? 0 : 1u << below(m, 2);
	w->id = 1 + (int64_t)m->count;

	int64_t start = 0;

	switch (below(m, 4)) {
	case 0:
		start = 1 + (int64_t)below(m, (uint64_t)m->ts.rev);
		break;
	case 1:
		start = m->ts.rev - (int64_t)below(m, MIN((uint64_t)m->ts.rev, 10));
		break;
	case 2:
		start = m->ts.rev + (int64_t)below(m, 10);
		break;
	default:
		break;
	}
	w->next = start ? start : m->ts.rev + 1;

	struct watch_req r = create_req(w->key, w->from ? FROM_KEY : w->end, start);

	r.watch_id = w->id;
	r.prev_kv = w->prev_kv;
	r.filters = w->filters;
	r.fragment = w->fragment;
	r.progress_notify = below(m, 2);
	m->count++;
	watch_create(m->h, m->streams[stream].s, &r, OK);
}

static void step_cancel(struct model *m)
{
	if (!m->count)
		return;

	struct model_watcher *w = &m->w[below(m, m->count)];

	if (!w->alive)
		return;
	w->alive = false;
	watch_cancel(m->h, m->streams[w->stream].s, w->id);
}

static void step_stream(struct model *m)
{
	int i = (int)below(m, STREAMS);
	struct model_stream *s = &m->streams[i];

	if (!s->s) {
		*s = (struct model_stream){.s = watch_stream_open(m->h, 0, s, m->now)};
		return;
	}
	if (below(m, 8))
		return;
	watch_stream_close(m->h, s->s);
	s->s = NULL;
	for (size_t k = 0; k < m->count; k++)
		if (m->w[k].stream == i)
			m->w[k].alive = false;
}

static void step_drain(struct model *m)
{
	struct model_stream *s = &m->streams[below(m, STREAMS)];

	if (!s->s)
		return;
	watch_drained(m->h, s->s, s->items, s->bytes);
	s->items = 0;
	s->bytes = 0;
}

static void step_task(struct model *m)
{
	size_t i = below(m, TASKS);

	if (!m->tasks[i]) {
		m->tasks[i] = watch_next_task(m->h);
		m->ran[i] = false;
	} else if (!m->ran[i]) {
		ts_run_task(&m->ts, m->tasks[i]);
		m->ran[i] = true;
	} else {
		watch_task_done(m->h, m->tasks[i]);
		m->tasks[i] = NULL;
	}
}

static void step_compact(struct model *m)
{
	int64_t floor = MAX(m->ts.compact_rev, 1);

	if (floor < m->ts.rev && below(m, 4) == 0)
		ts_compact(&m->ts, m->h, floor + 1 + (int64_t)below(m, (uint64_t)(m->ts.rev - floor)));
}

static void step_snapshot(struct model *m)
{
	if (below(m, 4))
		return;
	for (size_t n = below(m, 12); n > 0; n--)
		step_write(m, NULL);
	watch_reset(m->h, m->ts.rev, m->ts.compact_rev);
}

static void step_progress(struct model *m)
{
	struct model_stream *s = &m->streams[below(m, STREAMS)];

	if (below(m, 2)) {
		m->now += below(m, 3000);
		watch_tick(m->h, m->now);
	} else if (s->s) {
		s->progress_asked++;
		watch_progress(m->h, s->s);
	}
}

static void step(struct model *m)
{
	switch (below(m, 100)) {
	case 0 ... 39:
		step_write(m, m->h);
		break;
	case 40 ... 49:
		step_create(m);
		break;
	case 50 ... 52:
		step_cancel(m);
		break;
	case 53 ... 55:
		step_stream(m);
		break;
	case 56 ... 69:
		read_all(m);
		break;
	case 70 ... 79:
		step_drain(m);
		break;
	case 80 ... 87:
		watch_run(m->h, 1 + below(m, 30));
		break;
	case 88 ... 94:
		step_task(m);
		break;
	case 95:
		step_compact(m);
		break;
	case 96:
		step_snapshot(m);
		break;
	default:
		step_progress(m);
		break;
	}
	/* a closed stream's slot may be opened again only when nothing of it is on its way */
	for (int i = 0; i < STREAMS; i++)
		if (!m->streams[i].s)
			read_all(m);
}

/* Readers keep up from now on: everything owed must arrive. */
static void converge(struct model *m)
{
	for (int round = 0; round < 2000; round++) {
		watch_run(m->h, 1000);
		for (int i = 0; i < TASKS * 3; i++)
			step_task(m);
		read_all(m);
		for (int i = 0; i < STREAMS * 2; i++)
			step_drain(m);
	}
	for (size_t i = 0; i < m->count; i++) {
		struct model_watcher *w = &m->w[i];

		if (!w->alive || w->compacted)
			continue;
		assert_true(w->created && !w->in_fragment);
		assert_true(has_all_up_to(m, w, m->ts.rev));
	}
}

static void end_tasks(struct model *m)
{
	for (size_t i = 0; i < TASKS; i++)
		if (m->tasks[i])
			watch_task_done(m->h, m->tasks[i]);
}

static void run(uint64_t seed, uint64_t totals[3])
{
	static struct model m;

	m = (struct model){0};
	rng_init(&m.r, seed);
	ts_init(&m.ts);

	struct watch_config cfg = {
		.cluster_id = 1,
		.member_id = 2,
		.seed = seed,
		.port_count = 1,
		.progress_ns = 1000,
		.message_bytes_max = 80 + (uint32_t)below(&m, 200),
		.ring_bytes_max = 1 + below(&m, 20000),
		.stream_items_max = 1 + below(&m, 20),
		.stream_bytes_max = 100 + below(&m, 3000),
		.batch_revs_max = 1 + (uint32_t)below(&m, 20),
		.task_watchers_max = 1 + (uint32_t)below(&m, 10),
		.task_bytes_max = 1 + below(&m, 2000),
		.prev_row = ts_prev_row,
		.arg = &m.ts,
	};

	m.h = watch_hub_new(&cfg);
	watch_reset(m.h, 1, -1);
	for (int i = 0; i < STEPS; i++) {
		step(&m);
		if (i % 10 == 0)
			watch_check(m.h);
	}
	converge(&m);
	end_tasks(&m);
	watch_check(m.h);
	watch_hub_free(m.h);
	ts_fini(&m.ts);
	totals[0] += m.events;
	totals[1] += m.cancels;
	totals[2] += m.progress;
}

static uint64_t first_seed = 1, seed_count = 300, seed_now;

static void model(void **state)
{
	uint64_t totals[3] = {0};

	for (seed_now = first_seed; seed_now < first_seed + seed_count; seed_now++)
		run(seed_now, totals);
	print_message("%llu events, %llu cancels by compaction, %llu progress messages\n",
		      (unsigned long long)totals[0], (unsigned long long)totals[1], (unsigned long long)totals[2]);
	assert_true(totals[0] > 0 && totals[1] > 0 && totals[2] > 0);
}

static int say_seed(void **state)
{
	if (seed_now < first_seed + seed_count)
		print_error("seed %llu\n", (unsigned long long)seed_now);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(model, say_seed)};

	if (argc > 1)
		first_seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seed_count = strtoull(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
