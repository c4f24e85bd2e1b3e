#include "pb_test.h"

#include "pb/methods.h"
#include "pb/rpc.h"

#include "pb/health.pb-c.h"
#include "pb/rpc.pb-c.h"
#include "pb/v3election.pb-c.h"
#include "pb/v3lock.pb-c.h"

/* Each rpc of the .proto files has its row with the right messages, and there is no other row. */
static void test_rows_match_services(void **state)
{
	static const ProtobufCServiceDescriptor *const services[] = {
		&etcdserverpb__kv__descriptor, &etcdserverpb__watch__descriptor, &etcdserverpb__lease__descriptor,
		&etcdserverpb__cluster__descriptor, &etcdserverpb__maintenance__descriptor,
		&etcdserverpb__auth__descriptor, &v3lockpb__lock__descriptor, &v3electionpb__election__descriptor,
		&grpc__health__v1__health__descriptor,
	};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(services); i++) {
		for (unsigned k = 0; k < services[i]->n_methods; k++) {
			const ProtobufCMethodDescriptor *want = &services[i]->methods[k];
			const struct rpc_method *m;
			char path[200];

			snprintf(path, sizeof(path), "/%s/%s", services[i]->name, want->name);
			m = rpc_method_find(slice_str(path));
			if (!m)
				fail_msg("no row for %s", path);
			assert_ptr_equal(m->request, want->input);
			assert_ptr_equal(m->response, want->output);
			assert_string_equal(m->service, services[i]->name);
			assert_string_equal(m->name, want->name);
			count++;
		}
	}
	assert_int_equal(count, RPC__COUNT);
}

static void test_every_row_is_complete(void **state)
{
	for (size_t i = 0; i < RPC__COUNT; i++) {
		const struct rpc_method *m = &rpc_methods[i];

		assert_true(m->stream && m->permission && m->learner && m->consistency);
		/* what goes through the log has a field there, and nothing else has (MemberAdd etc. are ConfChanges,
		 * Downgrade logs another message) */
		assert_int_equal(m->log_field != 0,
				 m->consistency == CONSISTENCY_LOG || m->consistency == CONSISTENCY_LOG_OR_READ);
		/* no gateway: RangeStream and health */
		assert_int_equal(m->gateway[0].size == 0,
				 i == RPC_RANGE_STREAM || slice_eq(slice_str(m->service), SLICE_LIT("grpc.health.v1.Health")));
		for (size_t k = 0; k < RPC_GATEWAY_PATHS_MAX; k++)
			if (m->gateway[k].size)
				assert_ptr_equal(rpc_method_find_gateway(m->gateway[k]), m);
	}
}

/* The holes that etcd had (CVE-2026-33413 and others) were calls without a check: whoever opens one up has to say so
 * here as well. */
static void test_open_calls(void **state)
{
	static const enum rpc public[] = {RPC_AUTH_STATUS, RPC_AUTHENTICATE, RPC_HEALTH_CHECK, RPC_HEALTH_LIST, RPC_HEALTH_WATCH};
	static const enum rpc any_user[] = {RPC_LEASE_GRANT, RPC_MEMBER_LIST, RPC_STATUS};
	static const enum rpc learner[] = {RPC_STATUS, RPC_SNAPSHOT};
	size_t publics = 0, users = 0, learners = 0;

	for (size_t i = 0; i < RPC__COUNT; i++) {
		publics += rpc_methods[i].permission == PERM_PUBLIC;
		users += rpc_methods[i].permission == PERM_USER;
		learners += rpc_methods[i].learner == LEARNER_SERVES;
	}
	assert_int_equal(publics, ARRAY_COUNT(public));
	assert_int_equal(users, ARRAY_COUNT(any_user));
	assert_int_equal(learners, ARRAY_COUNT(learner));
	for (size_t i = 0; i < ARRAY_COUNT(public); i++)
		assert_int_equal(rpc_methods[public[i]].permission, PERM_PUBLIC);
	for (size_t i = 0; i < ARRAY_COUNT(any_user); i++)
		assert_int_equal(rpc_methods[any_user[i]].permission, PERM_USER);
	for (size_t i = 0; i < ARRAY_COUNT(learner); i++)
		assert_int_equal(rpc_methods[learner[i]].learner, LEARNER_SERVES);
}

static void test_find(void **state)
{
	static const char *const unknown[] = {"", "/", "/etcdserverpb.KV/range", "/etcdserverpb.KV/Range/", "etcdserverpb.KV/Range"};
	static const char *const no_gateway[] = {"", "/v3/", "/v3beta", "/v3/kv/rang", "/v3/kv/range/", "/v4/kv/range", "kv/range"};

	for (size_t i = 0; i < ARRAY_COUNT(unknown); i++)
		assert_null(rpc_method_find(slice_str(unknown[i])));
	for (size_t i = 0; i < ARRAY_COUNT(no_gateway); i++)
		assert_null(rpc_method_find_gateway(slice_str(no_gateway[i])));
	assert_ptr_equal(rpc_method_find_gateway(SLICE_LIT("/v3beta/kv/range")), &rpc_methods[RPC_RANGE]);
	assert_ptr_equal(rpc_method_find_gateway(SLICE_LIT("/v3/kv/lease/leases")), &rpc_methods[RPC_LEASE_LEASES]);
	assert_ptr_equal(rpc_method_find_gateway(SLICE_LIT("/v3/lease/leases")), &rpc_methods[RPC_LEASE_LEASES]);
	assert_int_equal(rpc_methods[RPC_PUT].log_field, REQ_PUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_match_services), cmocka_unit_test(test_every_row_is_complete),
		cmocka_unit_test(test_open_calls), cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
