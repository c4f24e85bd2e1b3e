/* Values: presets, precedence, what follows from what. */
#include "../../lib/test.h"

#include "obs/log.h"
#include "obs/log_rotate.h"
#include "server/config_impl.h"

static char *no_env[] = {NULL};

static void discard(void *arg, const char *line, size_t size)
{
}

/* Loads "etcd ARGS..." and expects it to run. */
static void load_env(struct config *cfg, char **argv, char **env)
{
	struct config_outcome o;
	int argc = 0;

	while (argv[argc])
		argc++;
	config_load(argc, argv, env, cfg, &o);
	assert_true(o.run);
	config_outcome_fini(&o);
}

#define LOAD(cfg, ...) load_env(cfg, (char *[]){"etcd", ##__VA_ARGS__, NULL}, no_env)

static void test_presets(void **state)
{
	struct config c;

	LOAD(&c);
	assert_string_equal(c.name, "default");
	assert_string_equal(c.data_dir, "default.etcd");
	assert_string_equal(c.initial_cluster, "default=http://localhost:2380");
	assert_int_equal(c.snapshot_count, 10000);
	assert_int_equal(c.snapshot_catchup_entries, 5000);
	assert_int_equal(c.max_request_bytes, 1572864);
	assert_int_equal(c.max_concurrent_streams, 4294967295);
	assert_int_equal(c.grpc_keepalive_interval_ns, 7200000000000);
	assert_int_equal(c.listen_metrics_urls.count, 0);
	assert_int_equal(c.listen_client_urls.count, 1);
	assert_string_equal(c.listen_client_urls.at[0].host, "localhost");
	assert_string_equal(c.listen_client_urls.at[0].port, "2379");
	assert_true(c.pre_vote && c.strict_reconfig_check && c.enable_grpc_gateway);
	assert_int_equal(config_quota_bytes(&c), 2147483648);
	assert_int_equal(config_backend_batch_limit(&c), 10000);
	assert_int_equal(config_backend_batch_interval_ns(&c), 100000000);
	assert_int_equal(config_election_ticks(&c), 10);
	assert_int_equal(config_request_timeout_ns(&c), 7000000000);
	assert_true(config_gate(&c, GATE_FAST_LEASE_KEEP_ALIVE));
	assert_false(config_gate(&c, GATE_PRIORITY_REQUEST));
	assert_int_equal(c.cors.count, 1);
	assert_string_equal(c.host_whitelist.at[0], "*");
	config_free(&c);
}

static void test_values(void **state)
{
	struct config c;

	LOAD(&c, "-name", "n1", "--quota-backend-bytes=-1", "--listen-peer-urls=http://127.0.0.1:2,http://127.0.0.1:1",
	     "--initial-advertise-peer-urls", "http://10.0.0.1:2,http://10.0.0.1:1", "--pre-vote=F",
	     "--warning-apply-duration", "1.5s", "--max-txn-ops", "0x10", "--auto-tls", "--cors=http://b:1,http://a:1",
	     "--peer-cert-allowed-cn=b,a", "--auth-token=jwt,pub-key=x");
	assert_string_equal(c.initial_cluster, "n1=http://10.0.0.1:1,n1=http://10.0.0.1:2");
	assert_string_equal(c.data_dir, "n1.etcd");
	assert_int_equal(config_quota_bytes(&c), -1);
	assert_string_equal(url_list_text(&c.arena, &c.listen_peer_urls), "http://127.0.0.1:1,http://127.0.0.1:2");
	assert_false(c.pre_vote);
	assert_int_equal(c.warning_apply_duration_ns, 1500000000);
	assert_int_equal(c.max_txn_ops, 16);
	assert_string_equal(c.cors.at[0], "http://a:1");
	assert_string_equal(c.peer_cert_allowed_cn.at[0], "b");
	assert_true(c.given[FLAG_auto_tls]);
	config_free(&c);
}

static void test_environment(void **state)
{
	char *env[] = {"ETCD_NAME=e1", "ETCD_INITIAL_CLUSTER=e1=http://127.0.0.1:1,", "HOME=/", NULL};
	struct url_map m;
	struct config c;

	load_env(&c, (char *[]){"etcd", "--data-dir=d", NULL}, env);
	assert_string_equal(c.name, "e1");
	assert_string_equal(c.data_dir, "d");
	assert_ok(url_map_parse(&c.arena, c.initial_cluster, &m, NULL));
	assert_int_equal(m.count, 1);
	config_free(&c);
}

static void test_listening_everywhere_advertises_an_address(void **state)
{
	struct config c;

	LOAD(&c, "--listen-peer-urls=http://0.0.0.0:3380", "--listen-client-urls=http://0.0.0.0:3379",
	     "--advertise-client-urls=http://localhost:2379");
	assert_string_equal(c.advertise_client_urls.at[0].text + strlen(c.advertise_client_urls.at[0].text) - 5,
			    strcmp(c.advertise_client_urls.at[0].host, "localhost") ? ":3379" : ":2379");
	config_free(&c);
}

static void test_gates(void **state)
{
	struct config c;

	LOAD(&c, "--feature-gates=AllAlpha=true, PriorityRequest=false ,", "--feature-gates=FastLeaseKeepAlive=0");
	assert_true(config_gate(&c, GATE_LEASE_CHECKPOINT));
	assert_false(config_gate(&c, GATE_PRIORITY_REQUEST));
	assert_false(config_gate(&c, GATE_FAST_LEASE_KEEP_ALIVE));
	assert_true(config_gate(&c, GATE_TXN_MODE_WRITE_WITH_SHARED_BUFFER));
	config_free(&c);
}

static void test_log_rotation(void **state)
{
	static const struct {
		const char *json;
		struct log_rotation want;
		const char *why;        /* its beginning */
	} cases[] = {
		{"{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}", {100}, NULL},
		{" {\"maxsize\":1,\"maxage\":2,\"maxbackups\":3,\"localtime\":true,\"compress\":true} ", {1, 2, 3, true, true}, NULL},
		{"{}", {0}, NULL},
		{"{\"filename\": \"x\", \"other\": null, \"maxage\": 7}", {0, 7}, NULL},
		{"", {0}, "improperly formatted log rotation config: "},
		{"{", {0}, "improperly formatted log rotation config: "},
		{"{\"maxsize\": }", {0}, "improperly formatted log rotation config: "},
		{"{\"maxsize\": 1,}", {0}, "improperly formatted log rotation config: "},
		{"{\"maxsize\": 1} x", {0}, "improperly formatted log rotation config: "},
		{"{\"maxsize\": \"1\"}", {0}, "invalid log rotation config: "},
		{"{\"compress\": 1}", {0}, "invalid log rotation config: "},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct log_rotation got;
		struct why why = {""};
		err_t err = config_rotation_parse(cases[i].json, &got, &why);

		if (cases[i].why) {
			assert_err(ERR_INVALID, err);
			if (strncmp(why.text, cases[i].why, strlen(cases[i].why)) != 0)
				fail_msg("%s: %s", cases[i].json, why.text);
			continue;
		}
		assert_ok(err);
		assert_int_equal(got.size_mib_max, cases[i].want.size_mib_max);
		assert_int_equal(got.age_days_max, cases[i].want.age_days_max);
		assert_int_equal(got.files_max, cases[i].want.files_max);
		assert_int_equal(got.local_time, cases[i].want.local_time);
		assert_int_equal(got.compress, cases[i].want.compress);
	}
}

/* embed.parseCompactionRetention, v3.7.1 */
static void test_auto_compaction(void **state)
{
	static const struct {
		const char *mode, *retention;
		enum auto_compact_mode want_mode;
		int64_t want;
		const char *why;
	} cases[] = {
		{"periodic", "0", AUTO_COMPACT_OFF, 0, NULL},
		{"periodic", "2", AUTO_COMPACT_PERIODIC, 7200000000000, NULL},
		{"periodic", "+2", AUTO_COMPACT_PERIODIC, 7200000000000, NULL},
		{"periodic", "5m", AUTO_COMPACT_PERIODIC, 300000000000, NULL},
		{"periodic", "-5m", 0, 0, "--auto-compaction-retention must not be negative (set to -5m)"},
		{"revision", "1000", AUTO_COMPACT_REVISION, 1000, NULL},
		{"revision", "1us", AUTO_COMPACT_REVISION, 1000, NULL},
		{"revision", "-1", 0, 0, "error parsing CompactionRetention: time: missing unit in duration \"-1\""},
		{"periodic", "x", 0, 0, "error parsing CompactionRetention: time: invalid duration \"x\""},
		{"periodic", "", AUTO_COMPACT_OFF, 0, NULL},
	};
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		enum auto_compact_mode mode;
		int64_t retention;
		struct why why;

		c.auto_compaction_mode = cases[i].mode;
		c.auto_compaction_retention = cases[i].retention;
		if (cases[i].why) {
			assert_err(ERR_INVALID, config_auto_compaction(&c, &mode, &retention, &why));
			assert_string_equal(why.text, cases[i].why);
			continue;
		}
		assert_ok(config_auto_compaction(&c, &mode, &retention, &why));
		assert_int_equal(mode, cases[i].want_mode);
		assert_int_equal(retention, cases[i].want);
	}
	config_free(&c);
}

static void test_help_and_version(void **state)
{
	struct config_outcome o;
	struct config c;

	config_load(2, (char *[]){"etcd", "--help", NULL}, no_env, &c, &o);
	assert_false(o.run);
	assert_int_equal(o.exit_code, 0);
	buf_put_byte(&o.out, 0);
	buf_put_byte(&o.err, 0);
	assert_memory_equal(o.err.data, "Usage:\n\n  etcd [flags]\n", 23);
	assert_memory_equal(o.out.data, "\nMember:\n  --name 'default'\n", 28);
	assert_non_null(strstr((char *)o.out.data, "\n    PriorityRequest=true|false (ALPHA - default=false)\n"));
	assert_null(strstr((char *)o.out.data, "--config-file"));
	config_free(&c);
	config_outcome_fini(&o);

	config_load(2, (char *[]){"etcd", "--version", NULL}, no_env, &c, &o);
	assert_false(o.run);
	assert_int_equal(o.exit_code, 0);
	buf_put_byte(&o.out, 0);
	assert_memory_equal(o.out.data, "etcd Version: 3.7.1\nGit SHA: ", 29);
	assert_int_equal(o.err.size, 0);
	config_free(&c);
	config_outcome_fini(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets), cmocka_unit_test(test_values), cmocka_unit_test(test_environment),
		cmocka_unit_test(test_listening_everywhere_advertises_an_address), cmocka_unit_test(test_gates),
		cmocka_unit_test(test_log_rotation), cmocka_unit_test(test_auto_compaction), cmocka_unit_test(test_help_and_version),
	};

	log_set_writer(discard, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
