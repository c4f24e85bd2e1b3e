/* What watch streams answer, one rule per test; the facts are those checked on a running etcd v3.7.1. */
#include "watch_test.h"

#define S 1000000000ull

struct fixture {
	struct test_store ts;
	struct watch_hub *h;
	struct watch_stream *s;
	struct messages m;
	int arg;
};

static struct watch_config config(struct test_store *ts)
{
	return (struct watch_config){
		.cluster_id = 11, .member_id = 22, .seed = 1, .port_count = 1, .prev_row = ts_prev_row, .arg = ts};
}

static void open_hub(struct fixture *f, const struct watch_config *cfg)
{
	f->h = watch_hub_new(cfg);
	watch_set_term(f->h, 3);
	watch_reset(f->h, f->ts.rev, f->ts.compact_rev);
	f->s = watch_stream_open(f->h, 0, &f->arg, 0);
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	ts_init(&f->ts);

	struct watch_config cfg = config(&f->ts);

	open_hub(f, &cfg);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	watch_check(f->h);
	watch_hub_free(f->h);
	ts_fini(&f->ts);
	messages_clear(&f->m);
	mem_free(f);
	return 0;
}

/* Another configuration for one test. */
static void reopen(struct fixture *f, const struct watch_config *cfg)
{
	watch_hub_free(f->h);
	open_hub(f, cfg);
}

static const struct reply *take1(struct fixture *f)
{
	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);
	return next_message(&f->m);
}

static void nothing_more(struct fixture *f)
{
	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);
	assert_true(no_message(&f->m));
}

static void create(struct fixture *f, const char *key, const char *end, int64_t start)
{
	struct watch_req r = create_req(key, end, start);

	watch_create(f->h, f->s, &r, OK);
}

static void created_then_events(void **state)
{
	struct fixture *f = *state;

	create(f, "a", "", 0);
	ts_put1(&f->ts, f->h, "a", "1");
	ts_put1(&f->ts, f->h, "b", "1");
	ts_put1(&f->ts, f->h, "a", "2");
	ts_delete1(&f->ts, f->h, "a");

	const struct reply *m = take1(f);

	assert_true(m->created && !m->canceled && m->watch_id == 0 && m->rev == 1);
	assert_true(m->cluster_id == 11 && m->member_id == 22 && m->term == 3);
	assert_ptr_equal(m->stream, &f->arg);

	m = next_message(&f->m);
	assert_true(!m->created && m->watch_id == 0 && m->rev == 2 && m->events.count == 1);
	assert_string_equal(m->events.at[0].key, "a");
	assert_string_equal(m->events.at[0].value, "1");
	assert_true(m->events.at[0].create_rev == 2 && m->events.at[0].version == 1 && !m->events.at[0].is_delete);
	m = next_message(&f->m);
	assert_true(m->rev == 4 && m->events.at[0].mod_rev == 4 && m->events.at[0].version == 2);

	/* a delete has key and mod_revision only */
	m = next_message(&f->m);
	assert_true(m->rev == 5 && m->events.at[0].is_delete && m->events.at[0].mod_rev == 5);
	assert_true(m->events.at[0].create_rev == 0 && m->events.at[0].version == 0 && !m->events.at[0].has_prev);
	nothing_more(f);
}

static void ranges(void **state)
{
	struct fixture *f = *state;

	create(f, "", "", 0); /* the single key 0x00 */
	create(f, "b", "d", 0);
	create(f, "c", FROM_KEY, 0);
	create(f, "", FROM_KEY, 0);
	for (int i = 0; i < 4; i++)
		assert_true(take1(f)->watch_id == i);
	ts_begin(&f->ts);
	ts_put(&f->ts, "a", "");
	ts_put(&f->ts, "b", "");
	ts_put(&f->ts, "c", "");
	ts_put(&f->ts, "d", "");
	ts_end(&f->ts, f->h);
	/* one message per watcher with all events of the revision, by sub number */
	const struct {
		int64_t id;
		const char *keys;
	} want[] = {{3, "abcd"}, {1, "bc"}, {2, "cd"}};

	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);
	for (size_t i = 0; i < 3; i++) {
		const struct reply *m = next_message(&f->m);
		size_t k = 0;

		while (want[k].id != m->watch_id)
			k++;
		assert_int_equal(m->events.count, strlen(want[k].keys));
		for (size_t j = 0; j < m->events.count; j++)
			assert_int_equal(m->events.at[j].key[0], want[k].keys[j]);
	}
	nothing_more(f);
}

static void refusals_in_order(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *key, *end;
		int64_t start, id;
		err_t permitted;
		const char *reason;
	} cases[] = {
		{"b", "a", -1, 0, ERR_PERMISSION_DENIED, "etcdserver: mvcc: required revision has been compacted"},
		{"b", "a", 0, 0, ERR_PERMISSION_DENIED,
	     "rpc error: code = PermissionDenied desc = etcdserver: permission denied"},
		{"b", "a", 0, 7, ERR_USER_EMPTY, "rpc error: code = InvalidArgument desc = etcdserver: user name is empty"},
		{"b", "a", 0, 7, ERR_INVALID_AUTH_TOKEN,
	     "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token"},
		{"b", "a", 0, 7, ERR_AUTH_OLD_REVISION,
	     "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old"},
		{"b", "a", 0, 7, ERR_USER_NOT_FOUND,
	     "rpc error: code = PermissionDenied desc = etcdserver: permission denied"},
		{"b", "b", 0, 7, OK, "mvcc: watcher range is empty"},
		{"", "", 0, 7, OK, ""},
		{"x", "", 0, 7, OK, "mvcc: duplicate watch ID provided on the WatchStream"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct watch_req r = create_req(cases[i].key, cases[i].end, cases[i].start);
		bool ok = !cases[i].reason[0];

		r.watch_id = cases[i].id;
		watch_create(f->h, f->s, &r, cases[i].permitted);

		const struct reply *m = take1(f);

		assert_true(m->created);
		assert_int_equal(m->canceled, !ok);
		assert_int_equal(m->watch_id, ok ? 7 : -1);
		assert_string_equal(m->reason, cases[i].reason);
		assert_true(m->rev == 1 && m->compact_rev == 0);
	}
	assert_int_equal(watch_stream_watchers(f->s), 1);
}

/* One stream asks without end: it is refused, what there is goes on, and a cancelled one makes room. */
static void too_many(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);
	const struct reply *m;
	char key[2000] = "";
	size_t made = 0;

	cfg.watchers_bytes_max = 1 << 20;
	reopen(f, &cfg);
	memset(key, 'k', sizeof(key) - 1);
	do {
		ASSERT(made < 1000);
		key[0] = (char)('0' + made % 26);
		key[1] = (char)('0' + made++ / 26);
		create(f, key, "", 0);
		m = take1(f);
		assert_true(m->created);
	} while (!m->canceled);
	assert_in_range(made, 300, 600);
	assert_string_equal(m->reason, "rpc error: code = ResourceExhausted desc = etcdserver: too many requests");
	watch_cancel(f->h, f->s, 5);
	assert_true(take1(f)->canceled);
	create(f, key, "", 0);
	assert_false(take1(f)->canceled);
}

static void watch_ids(void **state)
{
	struct fixture *f = *state;
	struct watch_req r = create_req("a", "", 0);

	/* explicit ids, negative ones and -1 too; the counter passes over used ones and does not give a cancelled one
	 * again */
	static const int64_t in[] = {1, -5, -1, 0, 0, 0}, out[] = {1, -5, -1, 0, 2, 3};

	for (size_t i = 0; i < ARRAY_COUNT(in); i++) {
		r.watch_id = in[i];
		watch_create(f->h, f->s, &r, OK);
		assert_true(take1(f)->watch_id == out[i]);
	}
	watch_cancel(f->h, f->s, 3);
	assert_true(take1(f)->canceled);
	watch_cancel(f->h, f->s, 1);
	assert_true(take1(f)->watch_id == 1);
	r.watch_id = 0;
	watch_create(f->h, f->s, &r, OK);
	assert_true(take1(f)->watch_id == 4);
	/* a cancelled explicit id may be used again */
	r.watch_id = 1;
	watch_create(f->h, f->s, &r, OK);
	assert_true(take1(f)->watch_id == 1);
	/* unknown id: nothing is said */
	watch_cancel(f->h, f->s, 99);
	nothing_more(f);
}

static void cancel_reply(void **state)
{
	struct fixture *f = *state;

	create(f, "a", "", 0);
	ts_put1(&f->ts, f->h, "a", "1");
	watch_cancel(f->h, f->s, 0);
	ts_put1(&f->ts, f->h, "a", "2");
	assert_true(take1(f)->created);
	assert_int_equal(next_message(&f->m)->events.count, 1);

	const struct reply *m = next_message(&f->m);

	assert_true(m->canceled && !m->created && m->watch_id == 0 && m->rev == 2 && m->compact_rev == 0);
	assert_string_equal(m->reason, "");
	nothing_more(f);
	watch_cancel(f->h, f->s, 0);
	nothing_more(f);
}

static void start_in_the_past_and_future(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++)
		ts_put1(&f->ts, f->h, "a", "x"); /* revisions 2 to 6 */
	create(f, "a", "", 4);
	create(f, "a", "", 8);
	create(f, "a", "", 7);

	/* history from 4 on, inclusive, as one message whose header has the present revision */
	const struct reply *m = take1(f);

	assert_true(m->created && m->rev == 6);
	next_message(&f->m);
	next_message(&f->m);
	m = next_message(&f->m);
	assert_true(m->watch_id == 0 && m->rev == 6 && m->events.count == 3 && m->events.at[0].mod_rev == 4);
	nothing_more(f);

	/* watchers of one revision come in no promised order */
	ts_put1(&f->ts, f->h, "a", "y"); /* 7 */
	assert_true(take1(f)->watch_id + next_message(&f->m)->watch_id == 0 + 2);
	nothing_more(f);
	ts_put1(&f->ts, f->h, "a", "y"); /* 8 */
	assert_true(take1(f)->watch_id + next_message(&f->m)->watch_id + next_message(&f->m)->watch_id == 0 + 1 + 2);
	nothing_more(f);
}

/* Without a ring: history comes from the store, at most 1000 revisions a message. */
static void catch_up_in_batches(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);

	cfg.ring_bytes_max = 1;
	reopen(f, &cfg);
	for (int i = 0; i < 2500; i++) {
		ts_begin(&f->ts);
		ts_put(&f->ts, "a", "x");
		ts_put(&f->ts, "b", "x");
		ts_end(&f->ts, f->h);
	}
	create(f, "a", "c", 2);

	const struct reply *m = take1(f);
	static const size_t want[] = {2000, 2000, 1000};
	int64_t next = 2;

	assert_true(m->created);
	for (size_t i = 0; i < 3; i++) {
		m = next_message(&f->m);
		assert_int_equal(m->events.count, want[i]);
		assert_true(m->rev == 2501);
		for (size_t k = 0; k < want[i]; k++)
			assert_true(m->events.at[k].mod_rev == next + (int64_t)k / 2);
		next += (int64_t)want[i] / 2;
	}
	nothing_more(f);
	ts_put1(&f->ts, f->h, "b", "y");
	assert_true(take1(f)->events.at[0].mod_rev == 2502);
}

static void filters(void **state)
{
	struct fixture *f = *state;
	struct watch_req r = create_req("a", "", 0);

	r.filters = WATCH_FILTER_NOPUT;
	watch_create(f->h, f->s, &r, OK);
	r.filters = WATCH_FILTER_NODELETE;
	watch_create(f->h, f->s, &r, OK);
	r.filters = WATCH_FILTER_NODELETE | WATCH_FILTER_NOPUT;
	watch_create(f->h, f->s, &r, OK);
	ts_put1(&f->ts, f->h, "a", "x");
	ts_delete1(&f->ts, f->h, "a");
	take1(f);
	next_message(&f->m);
	next_message(&f->m);

	const struct reply *m = next_message(&f->m);

	assert_true(m->watch_id == 1 && !m->events.at[0].is_delete);
	m = next_message(&f->m);
	assert_true(m->watch_id == 0 && m->events.at[0].is_delete);
	nothing_more(f);

	/* the same through history */
	r.start_revision = 2;
	watch_create(f->h, f->s, &r, OK);
	r.filters = WATCH_FILTER_NOPUT;
	watch_create(f->h, f->s, &r, OK);
	take1(f);
	next_message(&f->m);
	m = next_message(&f->m);
	assert_true(m->watch_id == 4 && m->events.count == 1 && m->events.at[0].is_delete);
	nothing_more(f);
}

static void prev_kv_live_ring_and_history(void **state)
{
	struct fixture *f = *state;

	for (int pass = 0; pass < 3; pass++) {
		struct watch_config cfg = config(&f->ts);
		struct watch_req r = create_req("a", "", 0);
		int64_t base = f->ts.rev;

		cfg.ring_bytes_max = pass == 2 ? 1 : 0;
		reopen(f, &cfg);
		messages_clear(&f->m);
		r.prev_kv = true;
		if (pass == 0)
			watch_create(f->h, f->s, &r, OK);
		ts_put1(&f->ts, f->h, "a", "1");
		ts_put1(&f->ts, f->h, "a", "2");
		ts_delete1(&f->ts, f->h, "a");
		ts_begin(&f->ts);
		ts_put(&f->ts, "a", "3");
		ts_end(&f->ts, f->h);
		/* delete and put in one revision: the put creates, the delete has what was there before */
		ts_begin(&f->ts);
		ts_delete(&f->ts, "a");
		ts_put(&f->ts, "a", "4");
		ts_end(&f->ts, f->h);
		ts_delete1(&f->ts, f->h, "a");
		if (pass) {
			r.start_revision = base + 1;
			watch_create(f->h, f->s, &r, OK);
		}
		assert_true(take1(f)->created);

		struct msg_event e[7];
		size_t n = 0;

		while (!no_message(&f->m)) {
			const struct reply *m = next_message(&f->m);

			for (size_t i = 0; i < m->events.count; i++)
				e[n++] = m->events.at[i];
		}
		assert_int_equal(n, 7);
		assert_false(e[0].has_prev);
		assert_string_equal(e[1].prev_value, "1");
		assert_true(e[1].prev_mod_rev == base + 1);
		assert_string_equal(e[2].prev_value, "2");
		assert_true(e[2].is_delete);
		assert_false(e[3].has_prev);
		assert_true(e[4].is_delete);
		assert_string_equal(e[4].prev_value, "3");
		assert_false(e[5].has_prev);
		assert_string_equal(e[6].prev_value, "4");
	}
}

/* A prev_kv below the compact revision is missing without an error. */
static void prev_kv_compacted(void **state)
{
	struct fixture *f = *state;
	struct watch_req r = create_req("a", "", 3);

	r.prev_kv = true;
	ts_put1(&f->ts, f->h, "a", "1");
	ts_put1(&f->ts, f->h, "a", "2");
	ts_put1(&f->ts, f->h, "a", "3");
	ts_compact(&f->ts, f->h, 3);
	watch_create(f->h, f->s, &r, OK);
	take1(f);

	const struct reply *m = next_message(&f->m);

	assert_int_equal(m->events.count, 2);
	assert_false(m->events.at[0].has_prev);
	assert_string_equal(m->events.at[1].prev_value, "2");
}

static void start_below_compaction(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++)
		ts_put1(&f->ts, f->h, "a", "x");
	ts_compact(&f->ts, f->h, 4);
	create(f, "a", "", 3);
	create(f, "a", "", 4);

	assert_true(take1(f)->created);
	assert_true(next_message(&f->m)->created);

	const struct reply *m = next_message(&f->m);

	assert_true(m->canceled && !m->created && m->watch_id == 0 && m->compact_rev == 4 && m->rev == 0);
	assert_string_equal(m->reason, "");
	m = next_message(&f->m);
	assert_true(m->watch_id == 1 && m->events.count == 3);
	nothing_more(f);

	/* it counts until the client cancels it */
	watch_progress(f->h, f->s);
	nothing_more(f);
	ts_put1(&f->ts, f->h, "a", "x");
	assert_true(take1(f)->watch_id == 1);
	nothing_more(f);
	watch_cancel(f->h, f->s, 0);
	m = take1(f);
	assert_true(m->canceled && m->watch_id == 0 && m->compact_rev == 0 && m->rev == 7);
	watch_progress(f->h, f->s);
	m = take1(f);
	assert_true(m->watch_id == -1 && m->rev == 7 && m->events.count == 0 && !m->created && !m->canceled);
}

static void progress_requests(void **state)
{
	struct fixture *f = *state;

	/* no watcher: nothing */
	watch_progress(f->h, f->s);
	nothing_more(f);

	create(f, "a", "", 0);
	take1(f);
	watch_progress(f->h, f->s);
	assert_true(take1(f)->watch_id == -1);

	/* one waits for the future: nothing, until it is reached */
	create(f, "b", "", 3);
	take1(f);
	watch_progress(f->h, f->s);
	nothing_more(f);
	ts_put1(&f->ts, f->h, "c", "");
	watch_progress(f->h, f->s);
	nothing_more(f);
	ts_put1(&f->ts, f->h, "c", "");
	watch_progress(f->h, f->s);
	assert_true(take1(f)->rev == 3);

	/* one lags: nothing; the request is not kept */
	create(f, "c", "", 2);
	watch_progress(f->h, f->s);
	assert_true(take1(f)->created);
	assert_int_equal(next_message(&f->m)->events.count, 2);
	nothing_more(f);
	ts_put1(&f->ts, f->h, "a", "");
	watch_progress(f->h, f->s);
	assert_true(take1(f)->events.count == 1);
	assert_true(next_message(&f->m)->rev == 4);
}

static void progress_timer(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);
	struct watch_req r = create_req("a", "", 0);

	cfg.progress_ns = 10 * S;
	reopen(f, &cfg);

	uint64_t first = watch_next_ns(f->h);

	assert_true(first >= 10 * S && first <= 11 * S); /* with up to 10 % on top */
	create(f, "a", "", 0);                           /* did not ask for it */
	r.progress_notify = true;
	watch_create(f->h, f->s, &r, OK);
	r.start_revision = 9; /* in the future */
	watch_create(f->h, f->s, &r, OK);
	take1(f);
	next_message(&f->m);
	next_message(&f->m);
	watch_tick(f->h, first - 1);
	nothing_more(f);
	watch_tick(f->h, first);

	const struct reply *m = take1(f);

	assert_true(m->watch_id == 1 && m->rev == 1 && m->events.count == 0);
	nothing_more(f);
	assert_true(watch_next_ns(f->h) == 2 * first);

	/* an event since the last tick: not this time, but the next */
	ts_put1(&f->ts, f->h, "a", "");
	take1(f);
	next_message(&f->m);
	watch_tick(f->h, 2 * first);
	nothing_more(f);
	watch_tick(f->h, 3 * first);
	assert_true(take1(f)->watch_id == 1);
	nothing_more(f);
	/* a late tick does not come twice */
	watch_tick(f->h, 10 * first);
	assert_true(take1(f)->watch_id == 1);
	nothing_more(f);
	assert_true(watch_next_ns(f->h) > 10 * first);
}

static void fragments(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);
	struct watch_req r = create_req("k", "l", 0);
	char key[8];

	cfg.message_bytes_max = 100;
	reopen(f, &cfg);
	r.fragment = true;
	watch_create(f->h, f->s, &r, OK);
	create(f, "k", "l", 0);
	take1(f);
	next_message(&f->m);
	ts_begin(&f->ts);
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		ts_put(&f->ts, key, i == 5 ? "0123456789012345678901234567890" : "0123456789");
	}
	ts_end(&f->ts, f->h);
	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);

	int i = 0, parts = 0;

	for (;;) {
		const struct reply *m = next_message(&f->m);

		parts++;
		assert_true(m->watch_id == 0 && m->rev == 2 && m->events.count >= 1);
		assert_true(m->size < 100 || m->events.count == 1);
		for (size_t k = 0; k < m->events.count; k++, i++)
			assert_int_equal(m->events.at[k].key[1], '0' + i);
		/* filled as far as possible: each event takes 28 bytes here, a head at most 12 */
		if (!m->fragment)
			break;
		assert_true(m->events.count >= 2 || i >= 5);
	}
	assert_int_equal(i, 10);
	assert_true(parts >= 4);

	/* without fragment: whole, whatever size */
	const struct reply *m = next_message(&f->m);

	assert_true(m->watch_id == 1 && m->events.count == 10 && !m->fragment && m->size > 100);
	nothing_more(f);
	/* a single event is never split */
	ts_put1(&f->ts, f->h, "k", "0123456789012345678901234567890");
	assert_false(take1(f)->fragment);
}

/* Each part is filled while it stays below the limit, its fragment flag (two bytes) counted. */
static void fragment_border(void **state)
{
	struct fixture *f = *state;
	uint64_t sizes[2], limit;

	create(f, "k", "l", 0);
	take1(f);
	for (size_t n = 1; n <= 2; n++) {
		ts_begin(&f->ts);
		for (size_t i = 0; i < n; i++)
			ts_put(&f->ts, i ? "k1" : "k0", "v");
		ts_end(&f->ts, f->h);
		sizes[n - 1] = take1(f)->size;
	}
	limit = sizes[1] + 2;
	for (uint64_t more = 0; more < 2; more++) {
		struct watch_config cfg = config(&f->ts);
		struct watch_req r = create_req("k", "l", 0);

		cfg.message_bytes_max = (uint32_t)(limit + more);
		reopen(f, &cfg);
		messages_clear(&f->m);
		r.fragment = true;
		watch_create(f->h, f->s, &r, OK);
		ts_begin(&f->ts);
		ts_put(&f->ts, "k0", "v");
		ts_put(&f->ts, "k1", "v");
		ts_put(&f->ts, "k2", "v");
		ts_end(&f->ts, f->h);
		take1(f);
		assert_int_equal(next_message(&f->m)->events.count, 1 + more);
	}
}

/* A reader that stops: memory is bounded, nothing is lost, order holds. */
static void slow_reader(void **state)
{
	struct fixture *f = *state;

	for (int pass = 0; pass < 2; pass++) {
		struct watch_config cfg = config(&f->ts);
		struct watch_stats st;
		int64_t want = f->ts.rev + 1;
		size_t items = 1;
		uint64_t bytes = 0;

		cfg.stream_items_max = 8;
		cfg.ring_bytes_max = pass ? 1 : 0;
		reopen(f, &cfg);
		messages_clear(&f->m);
		create(f, "a", "", 0);
		for (int i = 0; i < 100; i++) {
			ts_put1(&f->ts, f->h, "a", "x");
			ts_settle(&f->ts, f->h);
			watch_stats(f->h, &st);
			assert_true(st.pending_events <= 9);
		}
		assert_int_equal(st.lagging, 1);
		assert_true(watch_stream_full(f->h, f->s));
		watch_progress(f->h, f->s);

		take_messages(f->h, &f->m);
		bytes += next_message(&f->m)->size;
		while (want <= f->ts.rev) {
			size_t n = 0;

			while (!no_message(&f->m)) {
				const struct reply *m = next_message(&f->m);

				items++;
				bytes += m->size;
				for (size_t k = 0; k < m->events.count; k++, n++)
					assert_true(m->events.at[k].mod_rev == want++);
			}
			assert_true(n > 0);
			watch_drained(f->h, f->s, items, bytes);
			items = 0;
			bytes = 0;
			ts_settle(&f->ts, f->h);
			take_messages(f->h, &f->m);
		}
		watch_stats(f->h, &st);
		assert_int_equal(st.lagging, 0);
		assert_int_equal(st.pending_events, 0);
		assert_true(no_message(&f->m));
	}
}

/* A slow watcher that compaction passes: from the ring if it can, else cancelled with the compact revision. */
static void slow_and_compacted(void **state)
{
	struct fixture *f = *state;

	for (int pass = 0; pass < 2; pass++) {
		struct watch_config cfg = config(&f->ts);
		size_t items = 0;
		uint64_t bytes = 0;

		cfg.stream_items_max = 2;
		cfg.ring_bytes_max = pass ? 1 : 0;
		reopen(f, &cfg);
		messages_clear(&f->m);
		create(f, "a", "", 0);
		for (int i = 0; i < 10; i++)
			ts_put1(&f->ts, f->h, "a", "x");
		ts_compact(&f->ts, f->h, f->ts.rev);
		ts_settle(&f->ts, f->h);
		take_messages(f->h, &f->m);
		while (!no_message(&f->m)) {
			items++;
			bytes += next_message(&f->m)->size;
		}
		watch_drained(f->h, f->s, items, bytes);

		const struct reply *m = take1(f);

		if (pass) {
			assert_true(m->canceled && m->compact_rev == f->ts.rev && m->rev == 0);
		} else {
			assert_int_equal(m->events.count, 9);
		}
		nothing_more(f);
	}
}

/* Compaction during a history read: what was read is not trusted. */
static void compacted_while_reading(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);

	cfg.ring_bytes_max = 1;
	reopen(f, &cfg);
	for (int i = 0; i < 10; i++)
		ts_put1(&f->ts, f->h, "a", "x");
	create(f, "a", "", 3);
	create(f, "a", "", 8);
	watch_run(f->h, 100);

	struct watch_task *t = watch_next_task(f->h);

	assert_non_null(t);
	assert_true(watch_task_from(t) == 3);
	ts_compact(&f->ts, f->h, 6);
	ts_run_task(&f->ts, t);
	watch_task_done(f->h, t);
	take1(f);
	next_message(&f->m);

	const struct reply *m = next_message(&f->m);

	assert_true(m->watch_id == 1 && m->events.count == 4 && m->events.at[0].mod_rev == 8);
	m = next_message(&f->m);
	assert_true(m->watch_id == 0 && m->canceled && m->compact_rev == 6);
	nothing_more(f);
}

static void gone_while_reading(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);

	cfg.ring_bytes_max = 1;
	reopen(f, &cfg);
	for (int i = 0; i < 10; i++)
		ts_put1(&f->ts, f->h, "a", "x");
	create(f, "a", "", 3);
	create(f, "a", "", 3);
	watch_run(f->h, 100);

	struct watch_task *t = watch_next_task(f->h);

	watch_cancel(f->h, f->s, 0);
	ts_run_task(&f->ts, t);
	/* the same id again, as another watcher: not served by the old task */
	create(f, "b", "", 3);
	watch_task_done(f->h, t);
	take1(f);
	next_message(&f->m);
	assert_true(next_message(&f->m)->canceled);
	assert_true(next_message(&f->m)->created);
	assert_true(next_message(&f->m)->watch_id == 1);
	nothing_more(f);

	/* and a stream that closes */
	int other;
	struct watch_stream *s2 = watch_stream_open(f->h, 0, &other, 0);
	struct watch_req r = create_req("a", "", 2);

	watch_create(f->h, s2, &r, OK);
	watch_run(f->h, 100);
	t = watch_next_task(f->h);
	assert_non_null(t);
	watch_stream_close(f->h, s2);
	ts_run_task(&f->ts, t);
	watch_task_done(f->h, t);
	nothing_more(f);
}

/* An installed snapshot: live watchers catch up from where they were, future ones go on waiting. */
static void snapshot_installed(void **state)
{
	struct fixture *f = *state;

	ts_put1(&f->ts, f->h, "a", "1");
	create(f, "a", "", 0);
	create(f, "a", "", 20);
	create(f, "a", "", 7);
	ts_put1(&f->ts, f->h, "a", "2"); /* 3, delivered */
	take1(f);
	next_message(&f->m);
	next_message(&f->m);
	assert_true(next_message(&f->m)->rev == 3);
	nothing_more(f);

	/* the store jumps to 10: revisions 4 to 10 were never applied here */
	struct watch_hub *elsewhere = watch_hub_new(&(struct watch_config){.port_count = 1});

	watch_reset(elsewhere, f->ts.rev, -1);
	for (int i = 0; i < 7; i++)
		ts_put1(&f->ts, elsewhere, "a", "x");
	watch_hub_free(elsewhere);
	watch_reset(f->h, f->ts.rev, -1);
	watch_progress(f->h, f->s);

	const struct reply *m = take1(f);

	assert_true(m->watch_id == 0 && m->events.count == 7 && m->events.at[0].mod_rev == 4 && m->rev == 10);
	m = next_message(&f->m);
	assert_true(m->watch_id == 2 && m->events.count == 4 && m->events.at[0].mod_rev == 7);
	nothing_more(f);
	for (int i = 0; i < 10; i++)
		ts_put1(&f->ts, f->h, "a", "y"); /* 11 to 20 */
	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);
	for (int i = 0; i < 21; i++) {
		m = next_message(&f->m);
		assert_true(m->watch_id != 1 || m->events.at[0].mod_rev == 20);
	}
	nothing_more(f);
}

static void closed_stream_sends_nothing(void **state)
{
	struct fixture *f = *state;
	int other;
	struct watch_stream *s2 = watch_stream_open(f->h, 0, &other, 0);
	struct watch_req r = create_req("a", "", 0);

	watch_create(f->h, s2, &r, OK);
	create(f, "a", "", 0);
	ts_put1(&f->ts, f->h, "a", "1");
	watch_stream_close(f->h, s2);
	assert_ptr_equal(take1(f)->stream, &f->arg);
	assert_ptr_equal(next_message(&f->m)->stream, &f->arg);
	nothing_more(f);
}

/* One event, many watchers: one encoding. */
static void blobs_are_shared(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++)
		create(f, "a", i % 2 ? "b" : "", 0);
	watch_batch_free(watch_take(f->h, 0));
	ts_put1(&f->ts, f->h, "a", "1");

	struct watch_batch *b = watch_take(f->h, 0);

	assert_int_equal(b->items.count, 1);
	assert_int_equal(b->items.at[0].same_count, 99);
	assert_int_equal(b->blobs.count, 1);
	watch_batch_free(b);
}

/* Watchers of one range that lag together: what they need is one blob, of which each gets its end; two from the same revision on are
 * one item. */
static void lagging_together(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);
	struct watch_batch *b;
	const struct reply *m;
	uint64_t bytes = 0;
	size_t items = 0;

	cfg.stream_items_max = 8;
	reopen(f, &cfg);
	for (int i = 0; i < 3; i++)
		create(f, "a", "", 0);
	for (int i = 0; i < 20; i++) /* revisions from 2 on; watcher 2 misses 3, the others 4 */
		ts_put1(&f->ts, f->h, i % 5 == 4 ? "b" : "a", "1");
	ts_settle(&f->ts, f->h);
	for (take_messages(f->h, &f->m); !no_message(&f->m); items++)
		bytes += next_message(&f->m)->size;
	assert_int_equal(items, 8);
	watch_drained(f->h, f->s, items, bytes);
	watch_run(f->h, 1000);

	b = watch_take(f->h, 0);
	assert_int_equal(b->blobs.count, 1);
	assert_int_equal(b->items.count, 2);
	assert_int_equal(b->items.at[0].skip, 0);
	assert_int_equal(b->items.at[0].event_count, 15);
	assert_int_equal(b->items.at[1].event_count, 14);
	assert_int_equal(b->items.at[1].same_count, 1);
	read_batch(b, &f->m);
	watch_batch_free(b);
	for (int i = 0; i < 3; i++) {
		static const int64_t ids[] = {2, 0, 1};
		int64_t want = i ? 4 : 3;

		m = next_message(&f->m);
		assert_int_equal(m->watch_id, ids[i]);
		assert_int_equal(m->rev, f->ts.rev);
		for (size_t k = 0; k < m->events.count; k++, want++) {
			want += (want - 2) % 5 == 4; /* "b" */
			assert_int_equal(m->events.at[k].mod_rev, want);
			assert_string_equal(m->events.at[k].key, "a");
		}
		assert_int_equal(want, f->ts.rev); /* the last one is "b" */
	}
	nothing_more(f);
}

/* Many watchers far behind: one scan of history for a group. */
static void one_scan_for_many(void **state)
{
	struct fixture *f = *state;
	struct watch_config cfg = config(&f->ts);
	struct watch_task *t;
	int tasks = 0;

	cfg.ring_bytes_max = 1;
	cfg.stream_items_max = 1000000;
	reopen(f, &cfg);
	for (int i = 0; i < 50; i++)
		ts_put1(&f->ts, f->h, "a", "x");
	for (int i = 0; i < 600; i++)
		create(f, "a", "", 2 + i % 40);
	watch_run(f->h, 100000);
	while ((t = watch_next_task(f->h))) {
		ts_run_task(&f->ts, t);
		watch_task_done(f->h, t);
		tasks++;
	}
	assert_int_equal(tasks, 3);
	ts_settle(&f->ts, f->h);
	take_messages(f->h, &f->m);
	for (int i = 0; i < 600; i++)
		assert_true(next_message(&f->m)->created);
	for (int i = 0; i < 600; i++) {
		const struct reply *m = next_message(&f->m);

		assert_int_equal(m->events.count, 50 - m->watch_id % 40);
	}
	nothing_more(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(created_then_events),
		T(ranges),
		T(refusals_in_order),
		T(too_many),
		T(watch_ids),
		T(cancel_reply),
		T(start_in_the_past_and_future),
		T(catch_up_in_batches),
		T(filters),
		T(prev_kv_live_ring_and_history),
		T(prev_kv_compacted),
		T(start_below_compaction),
		T(progress_requests),
		T(progress_timer),
		T(fragments),
		T(fragment_border),
		T(slow_reader),
		T(slow_and_compacted),
		T(compacted_while_reading),
		T(gone_while_reading),
		T(snapshot_installed),
		T(closed_stream_sends_nothing),
		T(blobs_are_shared),
		T(lagging_together),
		T(one_scan_for_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
