/* watch_task_slice: a history read over a view in slices. The functions of backend and mvcc that it calls are played by
 * this file, on rows of the test's store, so that row and slice borders can be put anywhere. */
#include "watch_test.h"

static struct test_store *rows_of(const struct backend_view *v)
{
	return (struct test_store *)(void *)v->active;
}

void backend_cursor_init(struct backend_cursor *c, const struct backend_view *v, struct rev from)
{
	*c = (struct backend_cursor){.view = v, .from = from};
}

err_t backend_cursor_next(struct backend_cursor *c, struct backend_row *out, bool *found)
{
	struct test_store *ts = rows_of(c->view);

	*found = false;
	for (size_t i = 0; i < c->view->active_count && !*found; i++) {
		const struct ts_row *row = &ts->rows.at[i];

		if (rev_cmp(row->rev, c->from) < 0)
			continue;
		*found = true;
		*out = (struct backend_row){.rev = row->rev, .tombstone = row->tombstone, .value = blob_slice(row->kv)};
		c->from = (struct rev){row->rev.main, row->rev.sub + 1};
	}
	return OK;
}

err_t mvcc_get(const struct mvcc_view *v, struct slice key, int64_t rev, struct slice *row)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(key));

	const struct ts_row *r = ts_get(rows_of(&v->rows), text, rev);

	if (!r)
		return ERR_NOT_EXIST;
	*row = blob_slice(r->kv);
	return OK;
}

static struct mvcc_view view_of(struct test_store *ts)
{
	return (struct mvcc_view){
		.rev = ts->rev,
		.rows = {.active = (const struct backend_buffer *)(void *)ts, .active_count = ts->rows.count},
	};
}

static void slices(void **state)
{
	for (size_t budget = 1; budget < 12; budget++)
		for (uint32_t revs_max = 1; revs_max < 6; revs_max++) {
			struct test_store ts;
			struct watch_task *t;
			struct messages m = {0};
			int arg;
			int64_t next = 3, tasks = 0;
			struct watch_hub *h;
			struct watch_req r = create_req("a", "c", 3);

			ts_init(&ts);
			h = watch_hub_new(
			    &(struct watch_config){.port_count = 1, .ring_bytes_max = 1, .batch_revs_max = revs_max});
			watch_reset(h, 1, -1);

			struct watch_stream *s = watch_stream_open(h, 0, &arg, 0);

			for (int i = 0; i < 10; i++) {
				ts_begin(&ts);
				ts_put(&ts, "a", "x");
				ts_put(&ts, "b", "x");
				ts_put(&ts, "z", "x");
				ts_end(&ts, h);
			}
			r.prev_kv = true;
			watch_create(h, s, &r, OK);
			while (watch_run(h, 100), (t = watch_next_task(h))) {
				bool done = false;

				tasks++;
				while (!done) {
					struct mvcc_view v = view_of(&ts);

					assert_ok(watch_task_slice(t, &v, budget, &done));
					/* the store goes on between slices */
					if (!done && ts.rev < 14)
						ts_put1(&ts, h, "a", "y");
				}
				watch_task_done(h, t);
			}
			take_messages(h, &m);
			assert_true(next_message(&m)->created);
			while (!no_message(&m)) {
				const struct reply *msg = next_message(&m);

				assert_true(msg->events.count <= 2 * revs_max);
				for (size_t i = 0; i < msg->events.count; i++) {
					const struct msg_event *e = &msg->events.at[i];

					assert_true(e->mod_rev == next && e->has_prev);
					next += e->key[0] == 'b' || e->mod_rev > 11;
				}
			}
			assert_true(next == ts.rev + 1);
			assert_true(tasks >= 9 / revs_max);
			watch_check(h);
			watch_hub_free(h);
			messages_clear(&m);
			ts_fini(&ts);
		}
}

static void a_damaged_row_is_an_error(void **state)
{
	struct test_store ts;
	struct watch_hub *h = watch_hub_new(&(struct watch_config){.port_count = 1, .ring_bytes_max = 1});
	struct watch_req r = create_req("a", "", 2);
	int arg;
	bool done;

	ts_init(&ts);
	watch_reset(h, 1, -1);

	struct watch_stream *s = watch_stream_open(h, 0, &arg, 0);

	ts_put1(&ts, h, "a", "x");
	ts.rows.at[0].kv->data[1] = 99;
	watch_create(h, s, &r, OK);
	watch_run(h, 10);

	struct watch_task *t = watch_next_task(h);
	struct mvcc_view v = view_of(&ts);

	assert_err(ERR_CORRUPT_FILE, watch_task_slice(t, &v, 10, &done));
	/* given back unfinished: nothing is lost, nothing was sent */
	watch_task_done(h, t);
	watch_run(h, 10);
	t = watch_next_task(h);
	assert_non_null(t);
	watch_task_done(h, t);
	watch_hub_free(h);
	ts_fini(&ts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(slices), cmocka_unit_test(a_damaged_row_is_an_error)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
