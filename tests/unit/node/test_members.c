/* What other members get for an answer (spec peer.md section 8; bodies as Go etcd 3.7.1 writes them), and changes of membership of one. */
#include "../../lib/test.h"

#include "../../lib/driver.h"
#include "api/members.h"
#include "env/vfs_mem.h"

static struct vfs_mem *disk;

static struct driver *start(void)
{
	struct node_config c = {.strict_reconfig_check = true};
	struct why why = {""};
	struct driver *d;

	disk = vfs_mem_new(1);
	d = driver_open(vfs_mem_vfs(disk), "/data", &c, &why);
	if (!d)
		fail_msg("%s", why.text);
	driver_run(d, 5000000000);              /* versions settle */
	return d;
}

static void stop(struct driver *d)
{
	driver_close(d);
	vfs_mem_free(disk);
}

struct asked {
	struct member_request r;
	bool answered;
	unsigned status;
	char type[64];
	struct buf body;
};

static void on_answer(struct member_request *take_r, unsigned status, const char *content_type, struct slice body)
{
	struct asked *a = CONTAINER_OF(take_r, struct asked, r);

	assert_false(a->answered);
	a->answered = true;
	a->status = status;
	snprintf(a->type, sizeof(a->type), "%s", content_type ? content_type : "-");
	buf_put_slice(&a->body, body);
}

static void ask(struct driver *d, struct asked *a, enum member_endpoint what, uint64_t id, struct slice body)
{
	*a = (struct asked){.r = {.endpoint = what, .member_id = id, .token = "", .body = body, .answer = on_answer}};
	buf_init(&a->body, 1 << 20);
	api_member_request(d->io, &a->r);
	driver_run(d, 1000000000);
	assert_true(a->answered);
}

static void expect(struct driver *d, enum member_endpoint what, uint64_t id, struct slice body, unsigned status, const char *type,
		   const char *text)
{
	struct asked a;

	ask(d, &a, what, id, body);
	buf_put_byte(&a.body, 0);
	assert_string_equal((char *)a.body.data, text);
	assert_int_equal(a.status, status);
	assert_string_equal(a.type, type);
	buf_fini(&a.body);
}

#define EXPECT(what, id, body, status, type, text) expect(d, what, id, SLICE_LIT(body), status, type, text)

static void put(struct driver *d, const char *key)
{
	struct buf b;

	buf_init(&b, 1000);
	pb_put_bytes(&b, 1, slice_str(key));
	pb_put_bytes(&b, 2, SLICE_LIT("v"));
	assert_ok(driver_call(d, RPC_PUT, buf_slice(&b), NULL));
	buf_fini(&b);
}

static void test_lists_and_versions(void **state)
{
	struct driver *d = start();
	char text[256];

	snprintf(text, sizeof(text), "[{\"id\":%llu,\"peerURLs\":[\"http://localhost:2380\"],\"name\":\"default\","
		 "\"clientURLs\":[\"http://localhost:2379\"]}]\n", (unsigned long long)node_member_id(d->node));
	EXPECT(MEMBER_LIST, 0, "", 200, "application/json", text);
	EXPECT(MEMBER_VERSION, 0, "", 200, "application/json",
	       "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}");
	EXPECT(MEMBER_DOWNGRADE_ENABLED, 0, "", 200, "text/plain", "false");
	stop(d);
}

/* The hash is that of Go etcd after the same two puts. */
static void test_hashes(void **state)
{
	struct driver *d = start();

	EXPECT(MEMBER_HASHKV, 0, "{}", 200, "application/json",
	       "{\"header\":{\"revision\":1},\"hash\":1084519789,\"compact_revision\":-1,\"hash_revision\":1}");
	put(d, "a");
	put(d, "b");
	EXPECT(MEMBER_HASHKV, 0, "{\"revision\":3}", 200, "application/json", 
	       "{\"header\":{\"revision\":3},\"hash\":4272060991,\"compact_revision\":-1,\"hash_revision\":3}");
	EXPECT(MEMBER_HASHKV, 0, "{\"revision\":99}", 400, "-", "mvcc: required revision is a future revision\n");
	EXPECT(MEMBER_HASHKV, 0, "", 400, "-", "error unmarshalling request\n");
	EXPECT(MEMBER_HASHKV, 0, "nonsense", 400, "-", "error unmarshalling request\n");
	stop(d);
}

static void test_leases(void **state)
{
	struct driver *d = start();
	struct asked a;
	struct buf b;

	buf_init(&b, 100);
	pb_put_uint(&b, 1, 60);
	pb_put_uint(&b, 2, 77);
	assert_ok(driver_call(d, RPC_LEASE_GRANT, buf_slice(&b), NULL));
	buf_fini(&b);

	ask(d, &a, MEMBER_LEASES, 0, SLICE_LIT("\x08\x4d"));
	assert_int_equal(a.status, 200);
	assert_string_equal(a.type, "application/protobuf");
	assert_int_equal(a.body.size, 4);
	assert_memory_equal(a.body.data, "\x10\x4d\x18\x3c", 4);     /* ID 77, TTL 60 */
	buf_fini(&a.body);
	EXPECT(MEMBER_LEASES, 0, "\x08\x4e", 404, "-", "lease not found\n");
	EXPECT(MEMBER_LEASES, 0, "\xff", 400, "-", "error unmarshalling request\n");

	ask(d, &a, MEMBER_LEASES_INTERNAL, 0, SLICE_LIT("\x0a\x02\x08\x4d"));
	assert_int_equal(a.status, 200);
	{
		struct pb_reader r = pb_reader_of(buf_slice(&a.body)), in;
		struct pb_field f;
		uint64_t id = 0, ttl = 0, granted = 0;

		assert_true(pb_next(&r, &f));
		assert_int_equal(f.number, 1);
		in = pb_reader_of(f.bytes);
		while (pb_next(&in, &f)) {
			id = f.number == 2 ? f.value : id;
			ttl = f.number == 3 ? f.value : ttl;
			granted = f.number == 4 ? f.value : granted;
		}
		assert_int_equal(id, 77);
		assert_in_range(ttl, 55, 60);
		assert_int_equal(granted, 60);
	}
	buf_fini(&a.body);
	EXPECT(MEMBER_LEASES_INTERNAL, 0, "\x0a\x02\x08\x4e", 404, "-", "lease not found\n");
	EXPECT(MEMBER_LEASES_INTERNAL, 0, "\x0a\xff", 400, "-", "error unmarshalling request\n");
	stop(d);
}

static uint64_t add(struct driver *d, const char *url, bool learner, err_t want)
{
	struct pb_reader r;
	struct pb_field f, g;
	struct slice answer;
	struct buf b;
	uint64_t id = 0;

	buf_init(&b, 1000);
	pb_put_bytes(&b, 1, slice_str(url));
	pb_put_uint(&b, 2, learner);
	assert_err(want, driver_call(d, RPC_MEMBER_ADD, buf_slice(&b), &answer));
	buf_fini(&b);
	if (want)
		return 0;
	r = pb_reader_of(answer);
	while (pb_next(&r, &f))
		if (f.number == 2) {
			struct pb_reader in = pb_reader_of(f.bytes);

			while (pb_next(&in, &g))
				id = g.number == 1 ? g.value : id;
		}
	return id;
}

static err_t with_id(struct driver *d, enum rpc method, uint64_t id)
{
	struct buf b;
	err_t err;

	buf_init(&b, 100);
	pb_put_uint(&b, 1, id);
	err = driver_call(d, method, buf_slice(&b), NULL);
	buf_fini(&b);
	return err;
}

static void test_changes(void **state)
{
	struct driver *d = start();
	uint64_t self = node_member_id(d->node), learner;

	assert_true(node_lone_leader(d->node));
	add(d, "nonsense", true, ERR_MEMBER_BAD_URLS);
	add(d, "http://localhost:2380", true, ERR_PEER_URL_EXIST);
	learner = add(d, "http://127.0.0.1:9", true, OK);
	assert_true(node_lone_leader(d->node));         /* the only voter */
	add(d, "http://127.0.0.1:8", true, ERR_TOO_MANY_LEARNERS);
	assert_err(ERR_LEARNER_NOT_READY, with_id(d, RPC_MEMBER_PROMOTE, learner));
	assert_err(ERR_MEMBER_NOT_LEARNER, with_id(d, RPC_MEMBER_PROMOTE, self));
	assert_err(ERR_MEMBER_NOT_FOUND, with_id(d, RPC_MEMBER_PROMOTE, 5));
	assert_err(ERR_BAD_LEADER_TRANSFEREE, with_id(d, RPC_MOVE_LEADER, learner));
	assert_err(ERR_BAD_LEADER_TRANSFEREE, with_id(d, RPC_MOVE_LEADER, 5));
	assert_ok(with_id(d, RPC_MOVE_LEADER, self));
	assert_err(ERR_MEMBER_NOT_ENOUGH_STARTED, with_id(d, RPC_MEMBER_REMOVE, self));
	EXPECT(MEMBER_PROMOTE, learner, "", 412, "-", "etcdserver: can only promote a learner member which is in sync with leader\n");
	EXPECT(MEMBER_PROMOTE, self, "", 412, "-", "membership: can only promote a learner member\n");
	EXPECT(MEMBER_PROMOTE, 5, "", 404, "-", "membership: ID not found\n");
	assert_ok(with_id(d, RPC_MEMBER_REMOVE, learner));
	assert_err(ERR_MEMBER_NOT_FOUND, with_id(d, RPC_MEMBER_REMOVE, learner));
	put(d, "still");
	/* A second voter that does not run: the change is applied, and no read is served without it any more. */
	add(d, "http://127.0.0.1:7", false, OK);
	assert_false(node_lone_leader(d->node));
	assert_err(ERR_MEMBER_NOT_ENOUGH_STARTED, with_id(d, RPC_MEMBER_REMOVE, 6));
	assert_err(ERR_TIMEOUT, with_id(d, RPC_MEMBER_LIST, 1));        /* linearizable */
	stop(d);
}

static err_t downgrade(struct driver *d, uint64_t action, const char *version)
{
	struct buf b;
	err_t err;

	buf_init(&b, 100);
	pb_put_uint(&b, 1, action);
	pb_put_bytes(&b, 2, slice_str(version));
	err = driver_call(d, RPC_DOWNGRADE, buf_slice(&b), NULL);
	buf_fini(&b);
	return err;
}

static void test_downgrade(void **state)
{
	struct driver *d = start();

	assert_ok(downgrade(d, 0, "3.6"));
	assert_ok(downgrade(d, 0, "3.6.9"));
	assert_err(ERR_INVALID_DOWNGRADE_TARGET_VERSION, downgrade(d, 1, "3.5"));
	assert_err(ERR_INVALID_DOWNGRADE_TARGET_VERSION, downgrade(d, 1, "3.7"));
	assert_err(ERR_WRONG_DOWNGRADE_VERSION_FORMAT, downgrade(d, 1, "x"));
	assert_err(ERR_UNKNOWN_ACTION, downgrade(d, 3, "3.6"));
	assert_ok(downgrade(d, 2, ""));         /* nothing to cancel: no error */
	assert_ok(downgrade(d, 1, "3.6"));
	assert_err(ERR_DOWNGRADE_IN_PROCESS, downgrade(d, 0, "3.6"));
	EXPECT(MEMBER_DOWNGRADE_ENABLED, 0, "", 200, "text/plain", "true");
	driver_run(d, 5000000000);
	EXPECT(MEMBER_VERSION, 0, "", 200, "application/json",
	       "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}");
	assert_ok(downgrade(d, 2, ""));
	EXPECT(MEMBER_DOWNGRADE_ENABLED, 0, "", 200, "text/plain", "false");
	driver_run(d, 5000000000);
	EXPECT(MEMBER_VERSION, 0, "", 200, "application/json",
	       "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}");
	stop(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_and_versions),
		cmocka_unit_test(test_hashes),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_downgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
