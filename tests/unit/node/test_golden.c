/* Data directories of Go etcd open here and show what Go shows; those whose meaning we don't serve are refused unchanged. */
#include "../../lib/test.h"

#include <stdlib.h>

#include "../../lib/driver.h"
#include "../../lib/golden.h"
#include "env/vfs.h"

static struct slice request_range_all(struct buf *b)
{
	buf_clear(b);
	pb_put_bytes_always(b, 1, slice_of("", 1));
	pb_put_bytes_always(b, 2, slice_of("", 1));
	pb_put_uint(b, 9, 1);           /* count_only */
	return buf_slice(b);
}

static uint64_t field_uint(struct slice s, uint32_t number)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;
	uint64_t v = 0;

	while (pb_next(&r, &f))
		if (f.number == number && f.wire == PB_VARINT)
			v = f.value;
	return v;
}

static bool field_text(struct slice s, uint32_t number, size_t nth, char *out, size_t size)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&r, &f))
		if (f.number == number && f.wire == PB_BYTES && nth-- == 0) {
			snprintf(out, size, "%.*s", SLICE_ARG(f.bytes));
			return true;
		}
	return false;
}

static void check_hashes(struct driver *d, const json_t *want)
{
	struct buf b;
	size_t i;
	json_t *h;

	buf_init(&b, 100);
	json_array_foreach(want, i, h) {
		struct slice answer;

		buf_clear(&b);
		pb_put_uint(&b, 1, (uint64_t)json_integer_value(json_object_get(h, "hash_revision")));
		assert_ok(driver_call(d, RPC_HASH_KV, buf_slice(&b), &answer));
		assert_int_equal(field_uint(answer, 2), json_integer_value(json_object_get(h, "hash")));
		assert_int_equal((int64_t)field_uint(answer, 3), json_integer_value(json_object_get(h, "compact_revision")));
		assert_int_equal(field_uint(answer, 4), json_integer_value(json_object_get(h, "hash_revision")));
	}
	buf_fini(&b);
}

static void check_status(struct driver *d, const json_t *facts)
{
	struct slice answer;
	char text[256];
	json_t *errors = json_object_get(json_object_get(facts, "status"), "errors");

	assert_ok(driver_call(d, RPC_STATUS, (struct slice){0}, &answer));
	assert_true(field_text(answer, 11, 0, text, sizeof(text)));
	assert_string_equal(text, json_string_value(golden_at(facts, "status.storageVersion")));
	for (size_t i = 0; i < json_array_size(errors); i++)
		assert_true(field_text(answer, 8, i, text, sizeof(text)));
	assert_false(field_text(answer, 8, json_array_size(errors), text, sizeof(text)));
}

static void check_leases(struct driver *d, const json_t *want)
{
	struct slice answer;
	struct pb_reader r;
	struct pb_field f;
	size_t count = 0;

	assert_ok(driver_call(d, RPC_LEASE_LEASES, (struct slice){0}, &answer));
	r = pb_reader_of(answer);
	while (pb_next(&r, &f))
		if (f.number == 2) {
			char hex[32];
			bool found = false;

			snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)field_uint(f.bytes, 1));
			for (size_t i = 0; i < json_array_size(want); i++)
				found |= strcmp(json_string_value(json_array_get(want, i)), hex) == 0;
			assert_true(found);
			count++;
		}
	assert_int_equal(count, json_array_size(want));
}

static void opens(const char *name)
{
	char *dir = golden_unpack(name);
	json_t *facts = golden_facts(name, "after_open");
	struct why why = {""};
	struct driver *d = driver_open(driver_vfs_posix(), dir, NULL, &why);
	struct slice answer;
	struct buf b;

	if (!d)
		fail_msg("%s: %s", name, why.text);
	driver_run(d, 5000000000);              /* versions move, a pending compaction ends */
	check_hashes(d, json_object_get(facts, "hashkv"));
	check_status(d, facts);
	check_leases(d, json_object_get(facts, "leases"));
	buf_init(&b, 100);
	assert_ok(driver_call(d, RPC_RANGE, request_range_all(&b), &answer));
	assert_int_equal(field_uint(answer, 4), golden_uint(facts, "live_keys"));
	buf_fini(&b);
	driver_close(d);
	json_decref(facts);
	golden_drop(dir);
}

#define OPENS(id, name)                         \
	static void test_opens_##id(void **state) \
	{                                       \
		opens(name);                    \
	}
OPENS(fresh, "fresh")
OPENS(plain, "plain")
OPENS(compact_pending, "compact-pending")
OPENS(leases, "leases")
OPENS(alarms, "alarms")
OPENS(bigvalue, "bigvalue")
OPENS(restored, "restored")
OPENS(restored_bumped, "restored-bumped")
OPENS(wal_segments, "wal-segments")
OPENS(wal_unclean, "wal-unclean")
OPENS(wal_torn, "wal-torn")
OPENS(snapdb_pending, "snapdb-pending")
OPENS(v36, "v36")
OPENS(downgrade36, "downgrade36")

/* Users, roles and permissions are those of the file: who may log in, who may read what. */
static void test_opens_auth(void **state)
{
	static const struct {
		const char *name, *password, *key, *end;
		err_t login, read;
	} cases[] = {
		{"alice", "alicepw", "a/", "a0", OK, OK},
		{"alice", "alicepw", "k1", "", OK, OK},
		{"alice", "alicepw", "b/x", "", OK, ERR_PERMISSION_DENIED},
		{"alice", "alicepw", "c", "d", OK, OK},
		{"alice", "alicepw", "c", "e", OK, ERR_PERMISSION_DENIED},
		{"alice", "carolpw2", "c", "", ERR_AUTH_FAILED, OK},
		{"bob", "", "x/1", "", ERR_NO_PASSWORD_USER, OK},
		{"carol", "carolpw2", "anything", "\xff", OK, OK},
		{"dave", "davepw", "a/", "", ERR_AUTH_FAILED, OK},
		{"root", "rootpw", "b/x", "", OK, OK},          /* last: stays logged in */
	};
	char *dir = golden_unpack("auth"), token[64];
	json_t *facts = golden_facts("auth", "after_open");
	struct node_config c = {.token_kind = TOKEN_SIMPLE};
	struct why why = {""};
	struct driver *d = driver_open(driver_vfs_posix(), dir, &c, &why);
	struct slice answer;
	struct buf b;

	if (!d)
		fail_msg("%s", why.text);
	buf_init(&b, 1000);
	assert_err(ERR_USER_EMPTY, driver_call(d, RPC_HASH_KV, (struct slice){0}, NULL));
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		buf_clear(&b);
		pb_put_bytes(&b, 1, slice_str(cases[i].name));
		pb_put_bytes(&b, 2, slice_str(cases[i].password));
		d->token = (struct slice){0};
		assert_err(cases[i].login, driver_call(d, RPC_AUTHENTICATE, buf_slice(&b), &answer));
		if (cases[i].login)
			continue;
		assert_true(field_text(answer, 2, 0, token, sizeof(token)));
		d->token = slice_str(token);
		buf_clear(&b);
		pb_put_bytes(&b, 1, slice_str(cases[i].key));
		pb_put_bytes(&b, 2, slice_str(cases[i].end));
		if (driver_call(d, RPC_RANGE, buf_slice(&b), &answer) != cases[i].read)
			fail_msg("%s reads %s: %s", cases[i].name, cases[i].key, d->text);
	}
	assert_ok(driver_call(d, RPC_AUTH_STATUS, (struct slice){0}, &answer));
	assert_int_equal(field_uint(answer, 3), 27);
	check_hashes(d, json_object_get(facts, "hashkv"));
	check_status(d, facts);
	assert_ok(driver_call(d, RPC_AUTH_DISABLE, (struct slice){0}, &answer));
	d->token = (struct slice){0};
	assert_ok(driver_call(d, RPC_HASH_KV, (struct slice){0}, NULL));
	buf_fini(&b);
	driver_close(d);
	json_decref(facts);
	golden_drop(dir);
}

/* Every byte of every file stays as it was. */
static uint32_t dir_crc(const char *dir)
{
	char *cmd = mem_printf("cd '%s' && find . -type f | sort | xargs sha256sum | cksum", dir);
	FILE *f = popen(cmd, "r");
	uint32_t crc = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &crc), 1);
	pclose(f);
	mem_free(cmd);
	return crc;
}

static void test_refuses_unchanged(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{"wal-bitflip", "crc mismatch"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char *dir = golden_unpack(cases[i].name);
		uint32_t before = dir_crc(dir);
		struct why why = {""};

		assert_null(driver_open(driver_vfs_posix(), dir, NULL, &why));
		if (!strstr(why.text, cases[i].text))
			fail_msg("%s: %s", cases[i].name, why.text);
		assert_int_equal(dir_crc(dir), before);
		golden_drop(dir);
	}
}

/* One of three goes on alone: the same data, one member, under the ids it had. */
static void test_forced_alone(void **state)
{
	char *dir = golden_unpack("cluster3-2");
	json_t *facts = golden_facts("cluster3-2", "after_open"), *want = json_array(), *row;
	struct node_config c = {.force_new_cluster = true};
	struct why why = {""};
	struct driver *d = driver_open(driver_vfs_posix(), dir, &c, &why);
	struct slice answer;
	struct pb_reader r;
	struct pb_field f;
	uint64_t ids[4] = {0};
	size_t i, count = 0;

	if (!d)
		fail_msg("%s", why.text);
	driver_run(d, 5000000000);
	json_array_foreach(json_object_get(facts, "hashkv"), i, row)
		json_array_append(want, json_array_get(row, 0));
	check_hashes(d, want);
	assert_ok(driver_call(d, RPC_MEMBER_LIST, (struct slice){0}, &answer));
	r = pb_reader_of(answer);
	while (pb_next(&r, &f))
		if (f.number == 2 && count < ARRAY_COUNT(ids))
			ids[count++] = field_uint(f.bytes, 1);
	assert_int_equal(count, 1);
	assert_int_equal(ids[0], 0x7507c59c85214296);
	driver_close(d);

	/* Without the flag it stays what it has become. */
	d = driver_open(driver_vfs_posix(), dir, NULL, &why);
	if (!d)
		fail_msg("%s", why.text);
	check_hashes(d, want);
	driver_close(d);
	json_decref(want);
	json_decref(facts);
	golden_drop(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_fresh),
		cmocka_unit_test(test_opens_plain),
		cmocka_unit_test(test_opens_compact_pending),
		cmocka_unit_test(test_opens_leases),
		cmocka_unit_test(test_opens_alarms),
		cmocka_unit_test(test_opens_bigvalue),
		cmocka_unit_test(test_opens_restored),
		cmocka_unit_test(test_opens_restored_bumped),
		cmocka_unit_test(test_opens_wal_segments),
		cmocka_unit_test(test_opens_wal_unclean),
		cmocka_unit_test(test_opens_wal_torn),
		cmocka_unit_test(test_opens_snapdb_pending),
		cmocka_unit_test(test_opens_v36),
		cmocka_unit_test(test_opens_downgrade36),
		cmocka_unit_test(test_opens_auth),
		cmocka_unit_test(test_refuses_unchanged),
		cmocka_unit_test(test_forced_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
