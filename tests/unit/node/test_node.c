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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease_expires_with_its_keys),
		cmocka_unit_test(test_large_range),
		cmocka_unit_test(test_hash_gives_its_hold_back),
		cmocka_unit_test(test_cancelled_hold),
		cmocka_unit_test(test_defragment_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
