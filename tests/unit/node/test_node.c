/* A node through the API, on one thread: what needs time, or more than one call. */
#include "../../lib/test.h"

#include "../../lib/driver.h"
#include "env/vfs_mem.h"

static struct vfs_mem *disk;

static struct driver *start(void)
{
	struct why why = {""};
	struct driver *d;

	disk = vfs_mem_new(1);
	d = driver_open(vfs_mem_vfs(disk), "/data", NULL, &why);
	if (!d)
		fail_msg("%s", why.text);
	return d;
}

static void stop(struct driver *d)
{
	driver_close(d);
	vfs_mem_free(disk);
}

static uint64_t field(struct slice s, uint32_t number)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	uint64_t v = 0;

	while (pb_next(&r, &f))
		if (f.number == number && f.wire == PB_VARINT)
			v = f.value;
	return v;
}

static size_t count_of(struct slice s, uint32_t number)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	size_t n = 0;

	while (pb_next(&r, &f))
		n += f.number == number;
	return n;
}

static err_t put(struct driver *d, const char *key, const char *value, int64_t lease)
{
	struct buf b;
	err_t err;

	buf_init(&b, 1 << 20);
	pb_put_bytes(&b, 1, slice_str(key));
	pb_put_bytes(&b, 2, slice_str(value));
	pb_put_uint(&b, 3, (uint64_t)lease);
	err = driver_call(d, RPC_PUT, buf_slice(&b), NULL);
	buf_fini(&b);
	return err;
}

static uint64_t key_count(struct driver *d)
{
	struct slice answer;
	struct buf b;
	uint64_t n;

	buf_init(&b, 100);
	pb_put_bytes_always(&b, 1, slice_of("", 1));
	pb_put_bytes_always(&b, 2, slice_of("", 1));
	assert_ok(driver_call(d, RPC_RANGE, buf_slice(&b), &answer));
	n = field(answer, 4);
	buf_fini(&b);
	return n;
}

static void grant(struct driver *d, int64_t id, int64_t ttl_s)
{
	struct buf b;

	buf_init(&b, 100);
	pb_put_uint(&b, 1, (uint64_t)ttl_s);
	pb_put_uint(&b, 2, (uint64_t)id);
	assert_ok(driver_call(d, RPC_LEASE_GRANT, buf_slice(&b), NULL));
	buf_fini(&b);
}

static void test_lease_expires_with_its_keys(void **state)
{
	struct driver *d = start();
	struct slice answer;

	grant(d, 7, 2);
	grant(d, 8, 100);
	assert_ok(put(d, "a", "1", 7));
	assert_ok(put(d, "b", "1", 8));
	assert_err(ERR_LEASE_NOT_FOUND, put(d, "c", "1", 9));
	driver_run(d, 1000000000);
	assert_int_equal(key_count(d), 2);
	driver_run(d, 3000000000);
	assert_int_equal(key_count(d), 1);
	assert_ok(driver_call(d, RPC_LEASE_LEASES, (struct slice){0}, &answer));
	assert_int_equal(count_of(answer, 2), 1);
	stop(d);
}

/* With checkpoints a lease goes on after a restart from what it had left; without, from the start. */
static int64_t remaining_after_restart(bool checkpoints)
{
	struct node_config base = {.lease_checkpoint = checkpoints};
	struct why why;
	struct driver *d;
	struct slice answer;
	struct buf b;
	int64_t left;

	disk = vfs_mem_new(1);
	d = driver_open(vfs_mem_vfs(disk), "/data", &base, &why);
	assert_non_null(d);
	grant(d, 7, 1000);
	driver_run(d, UINT64_C(400) * 1000000000);
	driver_close(d);
	d = driver_open(vfs_mem_vfs(disk), "/data", &base, &why);
	assert_non_null(d);
	driver_run(d, UINT64_C(2) * 1000000000);
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 7);
	assert_ok(driver_call(d, RPC_LEASE_TIME_TO_LIVE, buf_slice(&b), &answer));
	left = (int64_t)field(answer, 3);
	buf_fini(&b);
	stop(d);
	return left;
}

static void test_lease_checkpoints(void **state)
{
	assert_in_range(remaining_after_restart(false), 990, 1002);
	assert_in_range(remaining_after_restart(true), 600, 705);       /* one each 300 s */
}

static size_t snapshot_files(void)
{
	struct vfs_names names;
	size_t n = 0;

	assert_ok(vfs_list(vfs_mem_vfs(disk), "/data/member/snap", &names));
	for (size_t i = 0; i < names.count; i++)
		n += strlen(names.at[i]) > 5 && strcmp(names.at[i] + strlen(names.at[i]) - 5, ".snap") == 0;
	vfs_names_free(&names);
	return n;
}

/* The version that the cluster leaves must not be in the log that an older program reads next. */
static void test_downgrade_makes_a_snapshot(void **state)
{
	struct driver *d = start();
	struct buf b;

	driver_run(d, UINT64_C(6) * 1000000000);
	assert_int_equal(snapshot_files(), 0);
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 1);
	pb_put_bytes(&b, 2, SLICE_LIT("3.6"));
	assert_ok(driver_call(d, RPC_DOWNGRADE, buf_slice(&b), NULL));
	driver_run(d, UINT64_C(10) * 1000000000);
	assert_int_equal(snapshot_files(), 1);
	buf_fini(&b);
	stop(d);
}

/* A range of more rows than one slice comes as one message, whole. */
static void test_large_range(void **state)
{
	struct driver *d = start();
	struct slice answer;
	struct buf b;
	char key[16];

	for (int i = 0; i < 2500; i++) {
		snprintf(key, sizeof(key), "k%05d", i);
		assert_ok(put(d, key, "value", 0));
	}
	buf_init(&b, 100);
	pb_put_bytes(&b, 1, SLICE_LIT("k"));
	pb_put_bytes(&b, 2, SLICE_LIT("l"));
	assert_ok(driver_call(d, RPC_RANGE, buf_slice(&b), &answer));
	assert_int_equal(count_of(answer, 2), 2500);
	assert_int_equal(field(answer, 4), 2500);
	pb_put_uint(&b, 3, 2000);               /* limit */
	assert_ok(driver_call(d, RPC_RANGE, buf_slice(&b), &answer));
	assert_int_equal(count_of(answer, 2), 2000);
	assert_int_equal(field(answer, 3), 1);
	assert_ok(driver_call(d, RPC_RANGE_STREAM, buf_slice(&b), NULL));
	assert_true(count_of(buf_slice(&d->messages), 1) > 5);
	buf_fini(&b);
	stop(d);
}

/* What HashKV held must be given back, at revision 0 as well: else the rows of a compaction stay for ever. */
static void test_hash_gives_its_hold_back(void **state)
{
	struct driver *d = start();
	struct buf b;

	for (int i = 0; i < 5; i++)
		assert_ok(put(d, "a", "1", 0));
	assert_ok(driver_call(d, RPC_HASH_KV, (struct slice){0}, NULL));
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 5);
	pb_put_uint(&b, 2, 1);                  /* physical */
	assert_ok(driver_call(d, RPC_COMPACT, buf_slice(&b), NULL));
	buf_fini(&b);
	stop(d);
}

/* A client that goes while its hold is asked for: taken or refused, nothing is left over. */
static void test_cancelled_hold(void **state)
{
	struct driver *d = start();
	struct buf b, range;

	for (int i = 0; i < 5; i++)
		assert_ok(put(d, "a", "1", 0));
	buf_init(&range, 100);
	pb_put_bytes(&range, 1, SLICE_LIT("a"));
	pb_put_uint(&range, 3, (uint64_t)-1);   /* limit: RangeStream asks for a hold at once */
	pb_put_uint(&range, 4, 3);              /* revision */
	driver_start_and_cancel(d, RPC_RANGE_STREAM, buf_slice(&range));
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 5);
	pb_put_uint(&b, 2, 1);
	assert_ok(driver_call(d, RPC_COMPACT, buf_slice(&b), NULL));
	assert_err(ERR_COMPACTED, driver_call(d, RPC_RANGE_STREAM, buf_slice(&range), NULL));
	buf_fini(&b);
	buf_fini(&range);
	stop(d);
}

static void test_defragment_ends(void **state)
{
	struct driver *d = start();
	char value[2000];
	struct slice answer;
	uint64_t before, after;
	struct buf b;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	for (int i = 0; i < 2000; i++)
		assert_ok(put(d, "one key", value, 0));
	driver_run(d, 1000000000);              /* into the file */
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 2000);
	pb_put_uint(&b, 2, 1);                  /* physical */
	assert_ok(driver_call(d, RPC_COMPACT, buf_slice(&b), NULL));
	assert_ok(driver_call(d, RPC_STATUS, (struct slice){0}, &answer));
	before = field(answer, 3);
	assert_ok(driver_call(d, RPC_DEFRAGMENT, (struct slice){0}, &answer));
	assert_int_equal(answer.size, 0);
	assert_ok(driver_call(d, RPC_STATUS, (struct slice){0}, &answer));
	after = field(answer, 3);
	assert_true(before > 2000 * 2000);
	assert_true(after < before / 10);
	assert_int_equal(key_count(d), 1);
	assert_ok(put(d, "another", value, 0));
	buf_fini(&b);
	stop(d);
}

/* ---- a reader that is inside a publication for a while ---- */

struct reader {
	struct node *node;
	struct timer leaves;
	bool left;
};

static void reader_receive(void *self, struct msg *m)
{
	struct reader *r = self;

	node_leave(r->node);
	r->left = true;
}

/* It holds the pages that were in use when it came; the file is shrunk all the same before Defragment is answered. */
static void test_defragment_waits_for_readers(void **state)
{
	static const struct actor_ops ops = {reader_receive, NULL};
	struct driver *d = start();
	struct reader r = {.node = d->node};
	struct actor *a = actor_new(d->sched, "reader", &ops, &r, ACTOR_OWN_THREAD);
	char value[2000];
	struct slice answer;
	uint64_t before;
	struct buf b;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	for (int i = 0; i < 2000; i++)
		assert_ok(put(d, "one key", value, 0));
	driver_run(d, 1000000000);
	buf_init(&b, 100);
	pb_put_uint(&b, 1, 2000);
	pb_put_uint(&b, 2, 1);
	assert_ok(driver_call(d, RPC_COMPACT, buf_slice(&b), NULL));
	assert_ok(driver_call(d, RPC_STATUS, (struct slice){0}, &answer));
	before = field(answer, 3);
	timer_init(&r.leaves, a, 1);
	timer_set(&r.leaves, 450000000);
	node_view(r.node);
	assert_ok(driver_call(d, RPC_DEFRAGMENT, (struct slice){0}, &answer));
	assert_true(r.left);
	assert_ok(driver_call(d, RPC_STATUS, (struct slice){0}, &answer));
	assert_true(field(answer, 3) < before / 10);
	buf_fini(&b);
	actor_free(a);
	stop(d);
}

/* ---- a client that takes nothing ---- */

struct deaf {
	size_t messages;
	bool room, ended;
	err_t err;
};

static bool deaf_send(void *sink, const struct slice *parts, size_t count)
{
	((struct deaf *)sink)->messages++;
	return ((struct deaf *)sink)->room;
}

static void deaf_begin(void *sink, size_t total)
{
}

static bool deaf_part(void *sink, struct slice part)
{
	return deaf_send(sink, &part, 1);
}

static bool deaf_writable(void *sink)
{
	return ((struct deaf *)sink)->room;
}

static size_t deaf_unsent(void *sink)
{
	return 0;
}

static void deaf_pause(void *sink, bool paused)
{
}

static void deaf_finish(void *sink, err_t err, const char *text)
{
	((struct deaf *)sink)->ended = true;
	((struct deaf *)sink)->err = err;
}

static const struct api_sink_ops deaf_ops = {deaf_send, deaf_begin, deaf_part, deaf_writable, deaf_unsent, deaf_pause, deaf_finish};

static void fill(struct driver *d)
{
	static char value[100000];

	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < 40; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%d", i);
		assert_ok(put(d, key, value, 0));
	}
	driver_run(d, 1000000000);
}

static const uint64_t SECOND = 1000000000;

static void cut_after_a_minute(struct driver *d, enum rpc method, struct slice body)
{
	struct api_meta meta = {0};
	struct deaf deaf = {0};
	struct api_rpc *r = api_begin(d->io, method, &deaf_ops, &deaf, &meta);

	api_message(r, blob_copy(body));
	driver_run(d, 50 * SECOND);
	assert_false(deaf.ended);
	assert_true(deaf.messages >= 1);
	api_writable(r);                        /* it took something: another minute */
	driver_run(d, 50 * SECOND);
	assert_false(deaf.ended);
	driver_run(d, 15 * SECOND);
	assert_true(deaf.ended);
	assert_err(ERR_TIMEOUT, deaf.err);
	driver_run(d, SECOND);
	assert_true(api_io_idle(d->io));
}

static void test_stalled_client_is_cut(void **state)
{
	struct driver *d = start();
	struct buf all;

	fill(d);
	cut_after_a_minute(d, RPC_SNAPSHOT, (struct slice){0});
	buf_init(&all, 100);
	pb_put_bytes_always(&all, 1, slice_of("", 1));
	pb_put_bytes_always(&all, 2, slice_of("", 1));
	cut_after_a_minute(d, RPC_RANGE_STREAM, buf_slice(&all));
	assert_int_equal(key_count(d), 40);
	buf_fini(&all);
	stop(d);
}

/* A watcher may stay silent and deaf for ever: it holds a revision at most. */
static void test_deaf_watcher_stays(void **state)
{
	struct api_meta meta = {.has_leader = true};
	struct deaf deaf = {0};
	struct driver *d = start();
	struct api_rpc *r = api_begin(d->io, RPC_WATCH, &deaf_ops, &deaf, &meta);
	struct buf q;
	size_t mark;

	buf_init(&q, 100);
	mark = pb_begin(&q, 1);
	pb_put_bytes_always(&q, 1, slice_of("", 1));
	pb_put_bytes_always(&q, 2, slice_of("", 1));
	pb_end(&q, mark);
	api_message(r, blob_copy(buf_slice(&q)));
	fill(d);
	driver_run(d, 200 * SECOND);
	assert_false(deaf.ended);
	api_cancel(r);
	driver_run(d, SECOND);
	assert_true(api_io_idle(d->io));
	buf_fini(&q);
	stop(d);
}

static void test_alarms_are_bounded(void **state)
{
	struct driver *d = start();
	struct buf q;

	buf_init(&q, 100);
	for (uint64_t i = 0; i < ALARMS_MAX; i++) {
		buf_clear(&q);
		pb_put_uint(&q, 1, 1);
		pb_put_uint(&q, 2, i + 1);
		pb_put_uint(&q, 3, 7);
		assert_ok(driver_call(d, RPC_ALARM, buf_slice(&q), NULL));
	}
	buf_clear(&q);
	pb_put_uint(&q, 1, 1);
	pb_put_uint(&q, 3, 7);
	assert_err(ERR_TOO_MANY_REQUESTS, driver_call(d, RPC_ALARM, buf_slice(&q), NULL));
	buf_clear(&q);
	pb_put_uint(&q, 1, 2);
	pb_put_uint(&q, 2, 1);
	pb_put_uint(&q, 3, 7);
	assert_ok(driver_call(d, RPC_ALARM, buf_slice(&q), NULL));
	buf_fini(&q);
	stop(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease_expires_with_its_keys),
		cmocka_unit_test(test_lease_checkpoints),
		cmocka_unit_test(test_downgrade_makes_a_snapshot),
		cmocka_unit_test(test_large_range),
		cmocka_unit_test(test_hash_gives_its_hold_back),
		cmocka_unit_test(test_cancelled_hold),
		cmocka_unit_test(test_defragment_ends),
		cmocka_unit_test(test_defragment_waits_for_readers),
		cmocka_unit_test(test_stalled_client_is_cut),
		cmocka_unit_test(test_deaf_watcher_stays),
		cmocka_unit_test(test_alarms_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
