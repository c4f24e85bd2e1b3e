#include "watch_test.h"

/* ---- store ---- */

void ts_init(struct test_store *ts)
{
	*ts = (struct test_store){.rev = 1, .compact_rev = -1};
}

void ts_fini(struct test_store *ts)
{
	for (size_t i = 0; i < ts->rows.count; i++)
		blob_unref(ts->rows.at[i].kv);
	VEC_FREE(&ts->rows);
}

const struct ts_row *ts_get(const struct test_store *ts, const char *key, int64_t rev)
{
	for (size_t i = ts->rows.count; i-- > 0;)
		if (ts->rows.at[i].rev.main <= rev && !strcmp(ts->rows.at[i].key, key))
			return ts->rows.at[i].tombstone ? NULL : &ts->rows.at[i];
	return NULL;
}

void ts_begin(struct test_store *ts)
{
	ts->txn_from = (int64_t)ts->rows.count;
}

static void add_row(struct test_store *ts, struct ts_row row, const struct kv *kv)
{
	struct buf b;

	buf_init(&b, 100000);
	kv_encode(kv, &b);
	row.rev = (struct rev){ts->rev + 1, (int64_t)ts->rows.count - ts->txn_from};
	row.kv = blob_copy(buf_slice(&b));
	buf_fini(&b);
	VEC_PUSH(&ts->rows, row);
}

void ts_put(struct test_store *ts, const char *key, const char *value)
{
	const struct ts_row *old = ts_get(ts, key, ts->rev + 1);
	struct ts_row row = {.create_rev = old ? old->create_rev : ts->rev + 1, .version = old ? old->version + 1 : 1};
	struct kv kv = {slice_str(key), row.create_rev, ts->rev + 1, row.version, slice_str(value), 0};

	snprintf(row.key, sizeof(row.key), "%s", key);
	add_row(ts, row, &kv);
}

void ts_delete(struct test_store *ts, const char *key)
{
	struct ts_row row = {.tombstone = true};

	if (!ts_get(ts, key, ts->rev + 1))
		return;
	snprintf(row.key, sizeof(row.key), "%s", key);
	add_row(ts, row, &(struct kv){.key = slice_str(key)});
}

bool ts_end(struct test_store *ts, struct watch_hub *h)
{
	VEC(struct mvcc_event) events = {0};
	VEC(struct blob *) kvs = {0};

	if (ts->rows.count == (size_t)ts->txn_from)
		return false;
	for (size_t i = (size_t)ts->txn_from; i < ts->rows.count; i++) {
		struct ts_row *row = &ts->rows.at[i];
		const struct ts_row *prev = ts_get(ts, row->key, ts->rev);
		struct mvcc_event e = {
			.type = row->tombstone ? EVENT_DELETE : EVENT_PUT,
			.rev = row->rev,
			.create_rev = row->create_rev,
			.key = slice_str(row->key),
			.kv = blob_slice(row->kv),
			.prev = prev ? prev->rev : (struct rev){0, 0},
		};

		if (row->tombstone) {
			struct buf b;

			buf_init(&b, 1000);
			kv_encode(&(struct kv){.key = slice_str(row->key), .mod_rev = row->rev.main}, &b);
			VEC_PUSH(&kvs, blob_copy(buf_slice(&b)));
			buf_fini(&b);
			e.kv = blob_slice(kvs.at[kvs.count - 1]);
		}
		VEC_PUSH(&events, e);
	}
	ts->rev++;
	if (h)
		watch_apply(h, events.at, events.count);
	for (size_t i = 0; i < kvs.count; i++)
		blob_unref(kvs.at[i]);
	VEC_FREE(&kvs);
	VEC_FREE(&events);
	return true;
}

void ts_put1(struct test_store *ts, struct watch_hub *h, const char *key, const char *value)
{
	ts_begin(ts);
	ts_put(ts, key, value);
	assert_true(ts_end(ts, h));
}

void ts_delete1(struct test_store *ts, struct watch_hub *h, const char *key)
{
	ts_begin(ts);
	ts_delete(ts, key);
	assert_true(ts_end(ts, h));
}

void ts_compact(struct test_store *ts, struct watch_hub *h, int64_t rev)
{
	ts->compact_rev = rev;
	watch_compacted(h, rev);
}

err_t ts_prev_row(void *arg, struct rev prev, struct slice *out)
{
	struct test_store *ts = arg;

	for (size_t i = 0; i < ts->rows.count; i++)
		if (!rev_cmp(ts->rows.at[i].rev, prev)) {
			*out = blob_slice(ts->rows.at[i].kv);
			return OK;
		}
	return ERR_NOT_EXIST;
}

static err_t prev_by_key(void *arg, struct slice key, int64_t rev, struct slice *out)
{
	struct test_store *ts = arg;
	char text[32];

	if (rev < ts->compact_rev)
		return ERR_COMPACTED;
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(key));

	const struct ts_row *row = ts_get(ts, text, rev);

	if (!row)
		return ERR_NOT_EXIST;
	*out = blob_slice(row->kv);
	return OK;
}

void ts_run_task(struct test_store *ts, struct watch_task *t)
{
	bool ended = true;

	assert_true(watch_task_rev(t) <= ts->rev);
	for (size_t i = 0; i < ts->rows.count && ended; i++) {
		const struct ts_row *row = &ts->rows.at[i];

		/* what compaction would have removed, as far as a test can see it: rows below it are not shown */
		if (row->rev.main < watch_task_from(t) || row->rev.main < ts->compact_rev)
			continue;
		ended = watch_task_row(t, row->rev, row->tombstone, blob_slice(row->kv), prev_by_key, ts);
	}
	watch_task_end(t, ts->rev, ended);
	assert_false(watch_task_corrupt(t));
}

void ts_settle(struct test_store *ts, struct watch_hub *h)
{
	struct watch_task *t;
	bool more;

	do {
		more = watch_run(h, 100);
		while ((t = watch_next_task(h))) {
			ts_run_task(ts, t);
			watch_task_done(h, t);
			more = true;
		}
	} while (more);
	watch_check(h);
}

/* ---- messages ---- */

static void copy_text(char *out, size_t room, struct slice s)
{
	assert_true(s.size < room);
	snprintf(out, room, "%.*s", SLICE_ARG(s));
}

static void decode_event(struct slice s, struct msg_event *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	struct kv kv;

	*out = (struct msg_event){0};
	while (pb_next(&r, &f)) {
		if (f.number == 1) {
			assert_int_equal(f.value, 1);
			out->is_delete = true;
		} else if (f.number == 2) {
			assert_ok(kv_decode(f.bytes, &kv));
			copy_text(out->key, sizeof(out->key), kv.key);
			copy_text(out->value, sizeof(out->value), kv.value);
			out->create_rev = kv.create_rev;
			out->mod_rev = kv.mod_rev;
			out->version = kv.version;
		} else {
			assert_int_equal(f.number, 3);
			assert_ok(kv_decode(f.bytes, &kv));
			out->has_prev = true;
			copy_text(out->prev_value, sizeof(out->prev_value), kv.value);
			out->prev_mod_rev = kv.mod_rev;
		}
	}
	assert_false(r.failed);
}

static void decode_header(struct slice s, struct reply *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1)
			out->cluster_id = f.value;
		else if (f.number == 2)
			out->member_id = f.value;
		else if (f.number == 3)
			out->rev = (int64_t)f.value;
		else if (f.number == 4)
			out->term = f.value;
		else
			fail();
	}
	assert_false(r.failed);
}

static void decode(struct slice s, struct reply *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	struct msg_event e;
	uint32_t last = 0;

	while (pb_next(&r, &f)) {
		assert_true(f.number >= last); /* in field order, as Go marshals */
		last = f.number;
		switch (f.number) {
		case 1:
			decode_header(f.bytes, out);
			break;
		case 2:
			out->watch_id = (int64_t)f.value;
			break;
		case 3:
			out->created = f.value;
			break;
		case 4:
			out->canceled = f.value;
			break;
		case 5:
			out->compact_rev = (int64_t)f.value;
			break;
		case 6:
			copy_text(out->reason, sizeof(out->reason), f.bytes);
			break;
		case 7:
			out->fragment = f.value;
			break;
		case 11:
			decode_event(f.bytes, &e);
			VEC_PUSH(&out->events, e);
			break;
		default:
			fail();
		}
	}
	assert_false(r.failed);
}

void read_batch(struct watch_batch *b, struct messages *m)
{
	struct watch_header header = {0};
	struct buf bytes;

	buf_init(&bytes, 1 << 26);
	for (size_t i = 0; b && i < b->items.count; i++) {
		const struct watch_item *it = &b->items.at[i];
		struct watch_item one;

		for (uint32_t n = 0; it->stream_arg && n <= it->same_count; n++) {
			struct reply msg = {.stream = it->stream_arg};

			watch_item_nth(b, it, n, &one);
			msg.size = one.size_bytes;
			buf_clear(&bytes);
			watch_item_write(b, &one, &header, buf_add(&bytes, (size_t)one.size_bytes));
			decode(buf_slice(&bytes), &msg);
			VEC_PUSH(&m->list, msg);
		}
	}
	buf_fini(&bytes);
}

void take_messages(struct watch_hub *h, struct messages *m)
{
	struct watch_batch *b = watch_take(h, 0);

	read_batch(b, m);
	watch_batch_free(b);
}

const struct reply *next_message(struct messages *m)
{
	assert_true(m->read < m->list.count);
	return &m->list.at[m->read++];
}

bool no_message(const struct messages *m)
{
	return m->read == m->list.count;
}

void messages_clear(struct messages *m)
{
	for (size_t i = 0; i < m->list.count; i++)
		VEC_FREE(&m->list.at[i].events);
	VEC_FREE(&m->list);
	m->read = 0;
}

struct watch_req create_req(const char *key, const char *end, int64_t start)
{
	return (struct watch_req){
		.kind = WATCH_REQ_CREATE,
		.key = slice_str(key),
		.range_end = !strcmp(end, FROM_KEY) ? slice_of("", 1) : slice_str(end),
		.start_revision = start,
	};
}
