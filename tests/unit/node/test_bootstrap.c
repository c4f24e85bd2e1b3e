/* Who a member without a log is, and when it is refused: the texts are upstream's (spec startup.md), the ids those of Go etcd with the
 * same URLs and token. */
#include "../../lib/test.h"

#include "env/vfs_mem.h"
#include "node/node.h"

#define MEMBER_ID_A UINT64_C(0x1aa026d886aa0a2b)
#define CLUSTER_ID_ABC UINT64_C(0xf5d23e658af35b62)

/* What the others answer, by URL and endpoint. */
struct script {
	const char *url;
	enum member_endpoint endpoint;
	unsigned status;
	uint64_t cluster_id;
	const char *body;
};

struct world {
	struct sched *sched;
	struct vfs_mem *disk;
	const struct script *script;
	uint8_t random;
};

static void hook_random(void *arg, void *out, size_t size)
{
	memset(out, ++((struct world *)arg)->random, size);
}

static int64_t hook_wall_ns(void *arg)
{
	return 1700000000000000000;
}

static void hook_ask(void *arg, struct member_question *q)
{
	struct world *w = arg;

	buf_init(&q->answer, 1 << 20);
	q->err = ERR_IO;
	for (const struct script *s = w->script; s && s->url; s++) {
		if (strcmp(s->url, q->urls) != 0 || s->endpoint != q->endpoint)
			continue;
		q->err = OK;
		q->status = s->status;
		q->has_cluster_id = s->cluster_id != 0;
		q->cluster_id = s->cluster_id;
		buf_printf(&q->answer, "%s", s->body);
	}
}

static err_t open_with(struct world *w, const char *initial_cluster, bool existing, const struct script *script, struct why *why,
		       struct node **out)
{
	static const char *const peers[] = {"http://127.0.0.1:11"};
	struct node_config c = {
		.sched = w->sched,
		.fs = vfs_mem_vfs(w->disk),
		.hooks = {.arg = w, .random = hook_random, .wall_ns = hook_wall_ns, .ask = hook_ask},
		.data_dir = "/data",
		.name = "a",
		.peer_urls = peers,
		.peer_url_count = 1,
		.initial_cluster = initial_cluster,
		.initial_token = "tkn",
		.heartbeat_ms = 100,
		.election_ms = 1000,
		.request_bytes_max = 1572864,
		.join_existing = existing,
	};

	w->script = script;
	return node_open(&c, why, out);
}

static void world_begin(struct world *w)
{
	*w = (struct world){.sched = sched_sim_new(1), .disk = vfs_mem_new(1)};
}

static void world_end(struct world *w)
{
	vfs_mem_free(w->disk);
	sched_free(w->sched);
}

#define A "http://127.0.0.1:11"
#define B "http://127.0.0.1:12"
#define C "http://127.0.0.1:13"
#define MEMBERS(a_id, rest)                                                                                                          \
	"[{\"id\":" a_id ",\"peerURLs\":[\"" A "\"],\"name\":\"\"},{\"id\":22,\"peerURLs\":[\"" B "\"],\"name\":\"b\",\"clientURLs\":[\"http://b\"]}" rest "]\n"
#define VERSION(server, cluster) "{\"etcdserver\":\"" server "\",\"etcdcluster\":\"" cluster "\",\"storage\":\"3.7.0\"}"

static const struct script silent[] = {{0}};

static void test_refused_new(void **state)
{
	static const struct {
		const char *initial, *text;
	} cases[] = {
		{"", "initial cluster unset and no discovery endpoints found"},
		{"b=" B, "couldn't find local name \"a\" in the initial cluster configuration"},
		{"a=" B, "--initial-cluster has a=" B " but missing from --initial-advertise-peer-urls=" A},
		{"a=" A ",a=" B, "--initial-cluster has a=" B " but missing from --initial-advertise-peer-urls=" A},
		{"a=" A ",b=" A, "initial cluster a=" A ",b=" A " has duplicate url"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct why why = {""};
		struct node *n;
		struct world w;

		world_begin(&w);
		assert_err(ERR_INVALID, open_with(&w, cases[i].initial, false, silent, &why, &n));
		assert_string_equal(why.text, cases[i].text);
		world_end(&w);
	}
}

/* Ids as Go etcd 3.7.1 logs them for --initial-cluster a=..11,b=..12,c=..13 and --initial-cluster-token tkn. */
static void test_new_ids(void **state)
{
	struct why why = {""};
	struct node *n;
	struct world w;

	world_begin(&w);
	if (open_with(&w, "a=" A ",b=" B ",c=" C, false, silent, &why, &n))
		fail_msg("%s", why.text);
	assert_int_equal(node_member_id(n), MEMBER_ID_A);
	assert_int_equal(node_cluster_id(n), CLUSTER_ID_ABC);
	node_close(n);
	world_end(&w);
}

/* It lost its data, but the others know it as started. */
static void test_known(void **state)
{
	char body[512], text[128];
	struct script script[] = {{B, MEMBER_LIST, 200, 7, body}, {0}};
	struct why why = {""};
	struct node *n;
	struct world w;

	snprintf(body, sizeof(body), "[{\"id\":%llu,\"peerURLs\":[\"" A "\"],\"name\":\"a\",\"clientURLs\":[\"http://a\"]}]",
		 (unsigned long long)MEMBER_ID_A);
	snprintf(text, sizeof(text), "member %llx has already been bootstrapped", (unsigned long long)MEMBER_ID_A);
	world_begin(&w);
	assert_err(ERR_EXIST, open_with(&w, "a=" A ",b=" B ",c=" C, false, script, &why, &n));
	assert_string_equal(why.text, text);
	/* Told to it, never started: it may. */
	snprintf(body, sizeof(body), "[{\"id\":%llu,\"peerURLs\":[\"" A "\"],\"name\":\"\"}]", (unsigned long long)MEMBER_ID_A);
	assert_ok(open_with(&w, "a=" A ",b=" B ",c=" C, false, script, &why, &n));
	node_close(n);
	world_end(&w);
}

static void test_joins(void **state)
{
	static const struct script script[] = {
		{B, MEMBER_LIST, 200, 0x77, MEMBERS("0xb", "")},        /* no JSON: the next URL */
		{C, MEMBER_LIST, 200, 0x77, MEMBERS("9223372036854775813", ",{\"id\":33,\"peerURLs\":[\"" C "\"],\"name\":\"c\"}")},
		{B, MEMBER_VERSION, 200, 0x77, VERSION("3.7.1", "3.7.0")},
		{B, MEMBER_DOWNGRADE_ENABLED, 200, 0x77, "false"},
		{0},
	};
	struct why why = {""};
	struct node *n;
	struct world w;

	world_begin(&w);
	if (open_with(&w, "a=" A ",b=" B ",c=" C, true, script, &why, &n))
		fail_msg("%s", why.text);
	assert_int_equal(node_member_id(n), UINT64_C(9223372036854775813));
	assert_int_equal(node_cluster_id(n), 0x77);
	node_close(n);
	/* The log was made, and nothing came: once more, and the same. */
	assert_ok(open_with(&w, "a=" A ",b=" B ",c=" C, true, script, &why, &n));
	node_close(n);
	/* Nobody answers: it is who it was. */
	assert_ok(open_with(&w, "a=" A ",b=" B ",c=" C, true, silent, &why, &n));
	assert_int_equal(node_member_id(n), UINT64_C(9223372036854775813));
	assert_int_equal(node_cluster_id(n), 0x77);
	node_close(n);
	world_end(&w);
}

static void test_refused_existing(void **state)
{
#define PLAIN MEMBERS("11", "")
#define CLUSTER "{ClusterID:77 Members:[&{ID:b RaftAttributes:{PeerURLs:[" A "] IsLearner:false} Attributes:{Name: ClientURLs:[]}} " \
		"&{ID:16 RaftAttributes:{PeerURLs:[" B "] IsLearner:false} Attributes:{Name:b ClientURLs:[http://b]}}] RemovedMemberIDs:[]}"
	static const struct {
		const char *initial, *text;
		struct script script[4];
	} cases[] = {
		{"a=" A ",b=" B, "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs", {{0}}},
		{"a=" A ",b=" B, "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs",
		 {{B, MEMBER_LIST, 200, 0, PLAIN}}},    /* no cluster id */
		{"a=" A ",b=" B, "cannot fetch cluster info from peer urls: failed to get raft cluster member(s) from the given URLs",
		 {{B, MEMBER_LIST, 200, 0x77, "[]"}}},
		{"a=" A ",b=" B ",c=" C, "error validating peerURLs " CLUSTER ": member count is unequal", {{B, MEMBER_LIST, 200, 0x77, PLAIN}}},
		{"a=" A ",b=" C, "error validating peerURLs " CLUSTER ": PeerURLs: no match found for existing member (16, [" B "]), "
		 "last resolver error (the URLs are not equal)", {{C, MEMBER_LIST, 200, 0x77, PLAIN}}},
		{"b=" B ",a=" A, "error validating peerURLs {ClusterID:77 Members:[&{ID:ffffffffffffffff RaftAttributes:{PeerURLs:[" A "] IsLearner:false} "
		 "Attributes:{Name: ClientURLs:[]}} &{ID:1 RaftAttributes:{PeerURLs:[" B "] IsLearner:false} Attributes:{Name: ClientURLs:[]}}] "
		 "RemovedMemberIDs:[]}: ffffffffffffffff cannot be a member's id",
		 {{B, MEMBER_LIST, 200, 0x77, "[{\"id\":18446744073709551615,\"peerURLs\":[\"" A "\"]},{\"id\":1,\"peerURLs\":[\"" B "\"]}]"}}},
		{"a=" A ",b=" B, "incompatible with current running cluster", {{B, MEMBER_LIST, 200, 0x77, PLAIN}}},
		{"a=" A ",b=" B, "incompatible with current running cluster",
		 {{B, MEMBER_LIST, 200, 0x77, PLAIN}, {B, MEMBER_VERSION, 200, 0, VERSION("3.8.0", "3.8.0")}}},
		{"a=" A ",b=" B, "incompatible with current running cluster",
		 {{B, MEMBER_LIST, 200, 0x77, PLAIN}, {B, MEMBER_VERSION, 200, 0, VERSION("3.7.1", "not_decided")}}},
		{"a=" A ",b=" B, "incompatible with current running cluster",   /* downgrading: 3.8 alone */
		 {{B, MEMBER_LIST, 200, 0x77, PLAIN}, {B, MEMBER_VERSION, 200, 0, VERSION("3.7.1", "3.7.0")},
		  {B, MEMBER_DOWNGRADE_ENABLED, 200, 0, "true"}}},
		{"a=" A ",b=" B, "membership: too many learner members in cluster",
		 {{B, MEMBER_LIST, 200, 0x77, "[{\"id\":11,\"peerURLs\":[\"" A "\"],\"isLearner\":true},{\"id\":22,\"peerURLs\":[\"" B
		   "\"],\"isLearner\":true}]"}, {B, MEMBER_VERSION, 200, 0, VERSION("3.7.1", "3.6.0")}}},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct why why = {""};
		struct node *n;
		struct world w;

		world_begin(&w);
		if (!open_with(&w, cases[i].initial, true, cases[i].script, &why, &n))
			fail_msg("case %zu starts", i);
		assert_string_equal(why.text, cases[i].text);
		assert_false(vfs_exists(vfs_mem_vfs(w.disk), "/data/member/wal"));
		world_end(&w);
	}
}

/* A member to which a newer version belongs, by its cluster version while it goes down. */
static void test_joins_a_downgrade(void **state)
{
	static const struct script script[] = {
		{B, MEMBER_LIST, 200, 0x77, MEMBERS("11", "")},
		{B, MEMBER_VERSION, 200, 0, VERSION("3.8.0", "3.8.0")},
		{B, MEMBER_DOWNGRADE_ENABLED, 200, 0, "true"},
		{0},
	};
	struct why why = {""};
	struct node *n;
	struct world w;

	world_begin(&w);
	if (open_with(&w, "a=" A ",b=" B, true, script, &why, &n))
		fail_msg("%s", why.text);
	node_close(n);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_new),
		cmocka_unit_test(test_new_ids),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_joins),
		cmocka_unit_test(test_refused_existing),
		cmocka_unit_test(test_joins_a_downgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
