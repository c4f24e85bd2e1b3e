/* Ids, JSON and rows of members against those of Go etcd v3.7.1 (golden data directories "plain", "cluster3",
 * "restored", "v36"), and the rules of membership changes. */
#include "../../lib/test.h"
#include "../../lib/store_map.h"
#include "member/member.h"

#define ROW_G1                                                                                                         \
	"{\"id\":17195153286495294870,\"peerURLs\":[\"http://127.0.0.1:27381\"],\"name\":\"g1\","                      \
	"\"clientURLs\":[\"http://127.0.0.1:27380\"]}"
#define ROW_C1                                                                                                         \
	"{\"id\":13422496970696588408,\"peerURLs\":[\"http://127.0.0.1:27391\"],\"name\":\"c1\","                      \
	"\"clientURLs\":[\"http://127.0.0.1:27401\"]}"
#define ROW_C2                                                                                                         \
	"{\"id\":8432926103313662614,\"peerURLs\":[\"http://127.0.0.1:27392\"],\"name\":\"c2\","                       \
	"\"clientURLs\":[\"http://127.0.0.1:27402\"]}"
#define ROW_C3                                                                                                         \
	"{\"id\":11254889455509314346,\"peerURLs\":[\"http://127.0.0.1:27393\"],\"name\":\"c3\","                      \
	"\"clientURLs\":[\"http://127.0.0.1:27403\"]}"

static void ids_are_those_of_go(void **state)
{
	static const struct {
		const char *initial, *token;
		uint64_t cluster, first;
	} cases[] = {
		{"g1=http://127.0.0.1:27381", "golden", 0x22c9edda0f943733, 0xeea174cf6bf15596},
		{"c1=http://127.0.0.1:27391,c2=http://127.0.0.1:27392,c3=http://127.0.0.1:27393", "golden3",
	     0xa9cd46ac6946efce, 0x7507c59c85214296},
		{"g1=http://127.0.0.1:27381", "golden-restored", 0x570b74dd987d1a1a, 0xa06b8dcb9e6060b1},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct members *ms = members_new(NULL, 1);

		assert_ok(members_from_initial(ms, cases[i].initial, cases[i].token, NULL));
		assert_true(members_cluster_id(ms) == cases[i].cluster);
		assert_true(members_at(ms, 0)->id == cases[i].first);
		members_check_invariants(ms);
		members_free(ms);
	}
}

static void id_texts(void **state)
{
	char text[MEMBER_ID_TEXT_SIZE];
	uint64_t id;

	assert_string_equal(member_id_text(0xb, text), "b");
	assert_string_equal(member_id_text(UINT64_MAX, text), "ffffffffffffffff");
	assert_ok(member_id_parse(SLICE_LIT("eEa174cf6bf15596"), &id));
	assert_true(id == 0xeea174cf6bf15596);
	assert_err(ERR_INVALID, member_id_parse(SLICE_LIT(""), &id));
	assert_err(ERR_INVALID, member_id_parse(SLICE_LIT("12345678901234567"), &id));
	assert_err(ERR_INVALID, member_id_parse(SLICE_LIT("0x1"), &id));
}

/* pkg/idutil: member 16 bits, then (ms << 8) + 1 in 48 bits. */
static void request_ids(void **state)
{
	struct request_ids r;

	request_ids_init(&r, 0xabc12, 0x123456);
	assert_true(request_ids_next(&r) == (0xbc12ull << 48 | 0x12345601));
	assert_true(request_ids_next(&r) == (0xbc12ull << 48 | 0x12345602));
	request_ids_init(&r, 1, -1);
	assert_true(request_ids_next(&r) == (1ull << 48 | 0xffffffffff01));
}

static void golden_rows_come_back(void **state)
{
	static const char *rows[] = {
	    ROW_G1,
	    ROW_C1,
		"{\"id\":11559488774251503793,\"peerURLs\":[\"http://127.0.0.1:27381\"],\"name\":\"g1\"}",
		"{\"id\":1,\"peerURLs\":[\"http://a:1\",\"http://b:2\"],\"isLearner\":true}",
		"{\"id\":18446744073709551615,\"peerURLs\":null}",
		"{\"id\":1,\"peerURLs\":[],\"name\":\"\\u003ca\\u0026b\\u003e\\\"\\\\\\n\\u0001\\u2028é\"}",
	};
	struct buf b;

	buf_init(&b, 10000);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct member m;

		assert_ok(member_json_parse(slice_str(rows[i]), &m));
		buf_clear(&b);
		member_json_write(&m, &b);
		buf_put_byte(&b, 0);
		assert_string_equal((char *)b.data, rows[i]);
		member_fini(&m);
	}
	buf_fini(&b);
}

static void json_as_go_reads_it(void **state)
{
	static const char *bad[] = {
		"",
		"[]",
		"{",
		"{\"id\":1",
		"{\"id\":1}x",
		"{\"id\":-1}",
		"{\"id\":1.0}",
		"{\"id\":18446744073709551616}",
		"{\"id\":\"1\"}",
		"{\"name\":1}",
		"{\"peerURLs\":\"a\"}",
		"{\"peerURLs\":[1]}",
		"{\"id\":1,}",
		"{\"id\" 1}",
		"{\"name\":\"\\x\"}",
		"{\"name\":\"a\nb\"}",
		"{\"name\":\"a\\u0000\"}",
		"{\"id\":01}",
		"{\"isLearner\":1}",
		"{,}",
		"{\"x\":[1,2,{\"y\":]}",
	};
	struct member m;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		if (member_json_parse(slice_str(bad[i]), &m) != ERR_MALFORMED)
			fail_msg("accepted %s", bad[i]);

	/* case-insensitive names, unknown fields, last one wins, null changes nothing, surrogates, broken UTF-8 */
	assert_ok(member_json_parse(
	    slice_str(" {\"ID\" : 5 , \"zz\":{\"a\":[1e5,-0.5,true,false,null,{}]},\"NAME\":\"x\",\"name\":"
		      "\"\\ud83d\\ude00\\ud800\xff\",\"name\":null,\"PeerUrls\":[\"u\"]} "),
	    &m));
	assert_true(m.id == 5);
	assert_string_equal(m.name, "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(m.peer_urls.list.at[0], "u");
	member_fini(&m);

	char deep[200];

	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	assert_err(ERR_MALFORMED, member_json_parse(slice_of(deep, sizeof(deep)), &m));
}

static void lists(void **state)
{
	struct member *list;
	size_t count;

	assert_ok(member_json_parse_list(SLICE_LIT("[" ROW_C2 "," ROW_C3 "]\n"), &list, &count));
	assert_int_equal(count, 2);
	assert_string_equal(list[1].name, "c3");
	for (size_t i = 0; i < count; i++)
		member_fini(&list[i]);
	mem_free(list);
	assert_ok(member_json_parse_list(SLICE_LIT("[]"), &list, &count));
	assert_int_equal(count, 0);
	mem_free(list);
	assert_err(ERR_MALFORMED, member_json_parse_list(SLICE_LIT("[" ROW_C2 ",3]"), &list, &count));
	assert_err(ERR_MALFORMED, member_json_parse_list(SLICE_LIT("{}"), &list, &count));
}

/* client/pkg/types.NewURLs */
static void url_rules(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{"http://127.0.0.1:2380", "http://127.0.0.1:2380"},
		{" HTTPS://Host:1 ", "https://Host:1"},
		{"http://[::1]:2380", "http://[::1]:2380"},
		{"unix://a/b", "unix://a/b"},
		{"unixs:///tmp/x", "unixs:///tmp/x"},
		{"http://h:", "http://h:"},
		{"http://h:1?q", "http://h:1?q"},
		{"http://h", NULL},
		{"http://h:1/", NULL},
		{"http://h:1/p", NULL},
		{"http://::1:1", NULL},
		{"http://h:x", NULL},
		{"http:h:1", NULL},
		{"ftp://h:1", NULL},
		{"h:1", NULL},
		{"", NULL},
		{"http://h\n:1", NULL},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct member_urls u = {0};

		member_urls_add(&u, slice_str(cases[i].in));
		if (member_urls_check(&u, NULL) != (cases[i].out ? OK : ERR_MEMBER_BAD_URLS))
			fail_msg("%s", cases[i].in);
		if (cases[i].out)
			assert_string_equal(u.list.at[0], cases[i].out);
		member_urls_clear(&u);
	}

	struct member_urls u = {0};
	struct why why;

	assert_err(ERR_MEMBER_BAD_URLS, member_urls_check(&u, &why));
	assert_string_equal(why.text, "no valid URLs given");
	member_urls_split(&u, SLICE_LIT("http://b:1, http://a:1"));
	assert_ok(member_urls_check(&u, &why));
	assert_string_equal(u.list.at[0], "http://a:1");
	member_urls_clear(&u);
}

static void initial_cluster(void **state)
{
	struct members *ms = members_new(NULL, 1);
	struct why why;

	assert_ok(members_from_initial(ms, "a=http://x:2,,a=http://x:1,b=http://y:1", "t", &why));
	assert_int_equal(members_count(ms), 2);
	assert_string_equal(members_find_name(ms, "a")->peer_urls.list.at[0], "http://x:1");
	members_clear(ms);
	assert_err(ERR_INVALID, members_from_initial(ms, "b=http://y:2,b=http://x:1,a=http://x:1", "t", &why));
	assert_string_equal(why.text, "initial cluster a=http://x:1,b=http://x:1,b=http://y:2 has duplicate url");
	members_clear(ms);
	assert_err(ERR_INVALID, members_from_initial(ms, "a=http://x:1,a=http://x:1", "t", &why));
	assert_string_equal(why.text, "initial cluster a=http://x:1,a=http://x:1 has duplicate url");
	members_clear(ms);
	assert_err(ERR_INVALID, members_from_initial(ms, "a", "t", &why));
	members_free(ms);
}

struct fixture {
	struct store_map map;
	struct members *ms;
};

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	store_map_init(&f->map);
	f->ms = members_new(&f->map.store, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	members_check_invariants(f->ms);
	members_free(f->ms);
	store_map_fini(&f->map);
	mem_free(f);
	return 0;
}

static err_t change(struct members *ms, enum member_change type, uint64_t id, const char *json)
{
	struct member_context c;

	if (!json) {
		err_t err = members_check(ms, type, id, NULL);

		if (!err)
			members_apply(ms, type, id, NULL);
		return err;
	}
	assert_ok(member_context_parse(slice_str(json), &c));

	err_t err = members_check(ms, type, id, &c);

	if (!err)
		members_apply(ms, type, id, &c);
	member_fini(&c.member);
	return err;
}

static void conf_changes(void **state)
{
	struct fixture *f = *state;
	struct members *ms = f->ms;
	struct member_urls client = {0};

	/* bootstrap entry, then the member publishes itself: the golden row */
	assert_ok(change(ms, MEMBER_ADD, 0xeea174cf6bf15596,
			 "{\"id\":17195153286495294870,\"peerURLs\":[\"http://127.0.0.1:27381\"],\"name\":\"g1\"}"));
	member_urls_add(&client, SLICE_LIT("http://127.0.0.1:27380"));
	assert_ok(members_set_attributes(ms, 0xeea174cf6bf15596, SLICE_LIT("g1"), &client, true));
	assert_string_equal(store_map_text(&f->map, BUCKET_MEMBERS, SLICE_LIT("eea174cf6bf15596")), ROW_G1);
	assert_err(ERR_MEMBER_NOT_FOUND, members_set_attributes(ms, 9, SLICE_LIT("x"), &client, true));

	assert_err(ERR_MEMBER_EXIST,
		   change(ms, MEMBER_ADD, 0xeea174cf6bf15596, "{\"id\":17195153286495294870,\"peerURLs\":[]}"));
	assert_err(ERR_PEER_URL_EXIST,
		   change(ms, MEMBER_ADD, 5, "{\"id\":5,\"peerURLs\":[\"http://127.0.0.1:27381\"]}"));
	assert_ok(change(ms, MEMBER_ADD_LEARNER, 5, "{\"id\":5,\"peerURLs\":[\"http://l:1\"],\"isLearner\":true}"));
	assert_string_equal(store_map_text(&f->map, BUCKET_MEMBERS, SLICE_LIT("5")),
				"{\"id\":5,\"peerURLs\":[\"http://l:1\"],\"isLearner\":true}");
	assert_err(ERR_TOO_MANY_LEARNERS,
		   change(ms, MEMBER_ADD_LEARNER, 6, "{\"id\":6,\"peerURLs\":[\"http://m:1\"],\"isLearner\":true}"));

	/* other URLs make no voter of it, whatever the entry says of learners (RaftCluster.UpdateRaftAttributes) */
	assert_ok(change(ms, MEMBER_UPDATE, 5, "{\"id\":5,\"peerURLs\":[\"http://l:3\"]}"));
	assert_string_equal(store_map_text(&f->map, BUCKET_MEMBERS, SLICE_LIT("5")),
			    "{\"id\":5,\"peerURLs\":[\"http://l:3\"],\"isLearner\":true}");
	assert_ok(change(ms, MEMBER_UPDATE, 5, "{\"id\":5,\"peerURLs\":[\"http://l:1\"]}"));

	assert_err(ERR_MEMBER_NOT_FOUND, change(ms, MEMBER_ADD, 7, "{\"id\":7,\"peerURLs\":null,\"isPromote\":true}"));
	assert_ok(change(ms, MEMBER_ADD, 5, "{\"id\":5,\"peerURLs\":null,\"isPromote\":true}"));
	assert_string_equal(store_map_text(&f->map, BUCKET_MEMBERS, SLICE_LIT("5")),
				"{\"id\":5,\"peerURLs\":[\"http://l:1\"]}");
	assert_err(ERR_MEMBER_NOT_LEARNER,
		   change(ms, MEMBER_ADD, 5, "{\"id\":5,\"peerURLs\":null,\"isPromote\":true}"));

	assert_err(ERR_PEER_URL_EXIST,
		   change(ms, MEMBER_UPDATE, 5, "{\"id\":5,\"peerURLs\":[\"http://127.0.0.1:27381\"]}"));
	assert_ok(change(ms, MEMBER_UPDATE, 5, "{\"id\":5,\"peerURLs\":[\"http://l:1\",\"http://l:2\"]}"));
	assert_int_equal(members_find(ms, 5)->peer_urls.list.count, 2);
	assert_err(ERR_MEMBER_NOT_FOUND, change(ms, MEMBER_UPDATE, 8, "{\"id\":8,\"peerURLs\":[]}"));

	assert_err(ERR_MEMBER_NOT_FOUND, change(ms, MEMBER_REMOVE, 8, NULL));
	assert_ok(change(ms, MEMBER_REMOVE, 5, NULL));
	assert_null(store_map_text(&f->map, BUCKET_MEMBERS, SLICE_LIT("5")));
	assert_string_equal(store_map_text(&f->map, BUCKET_MEMBERS_REMOVED, SLICE_LIT("5")), "removed");
	assert_err(ERR_MEMBER_NOT_FOUND, change(ms, MEMBER_REMOVE, 5, NULL));
	assert_err(ERR_MEMBER_NOT_FOUND, change(ms, MEMBER_ADD, 5, "{\"id\":5,\"peerURLs\":[\"http://n:1\"]}"));
	assert_ok(members_set_attributes(ms, 5, SLICE_LIT("late"), &client, true));
	assert_null(members_find(ms, 5));
	assert_err(ERR_UNSUPPORTED, members_check(ms, (enum member_change)9, 1, NULL));
	member_urls_clear(&client);
}

static void contexts_as_go_proposes_them(void **state)
{
	static const char *texts[] = {
		"{\"id\":3,\"peerURLs\":[\"http://a:1\"],\"name\":\"c1\"}",
		"{\"id\":3,\"peerURLs\":[\"http://a:1\"],\"isLearner\":true}",
		"{\"id\":3,\"peerURLs\":null,\"isPromote\":true}",
	};
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		struct member_context c;

		assert_ok(member_context_parse(slice_str(texts[i]), &c));
		buf_clear(&b);
		member_context_write(&c, &b);
		buf_put_byte(&b, 0);
		assert_string_equal((char *)b.data, texts[i]);
		member_fini(&c.member);
	}
	buf_fini(&b);
}

static void versions(void **state)
{
	struct fixture *f = *state;
	struct version server = {3, 7, 1}, v;

	assert_string_equal(members_version(f->ms), "");
	assert_err(ERR_INVALID, members_set_version(f->ms, SLICE_LIT("3."), server, true));
	assert_err(ERR_UNSUPPORTED, members_set_version(f->ms, SLICE_LIT("3.8.0"), server, true));
	assert_ok(members_set_version(f->ms, SLICE_LIT("3.7.0"), server, true));
	assert_string_equal(store_map_text(&f->map, BUCKET_CLUSTER, SLICE_LIT("clusterVersion")), "3.7.0");

	/* golden "downgrade36" */
	assert_ok(members_set_downgrade(f->ms, true, SLICE_LIT("3.6.0"), true));
	assert_string_equal(store_map_text(&f->map, BUCKET_CLUSTER, SLICE_LIT("downgrade")),
				"{\"target-version\":\"3.6.0\",\"enabled\":true}");

	struct members *again = members_new(NULL, 1);

	assert_ok(members_load(again, BUCKET_CLUSTER, SLICE_LIT("downgrade"),
			       slice_str(store_map_text(&f->map, BUCKET_CLUSTER, SLICE_LIT("downgrade")))));
	assert_ok(members_load(again, BUCKET_CLUSTER, SLICE_LIT("clusterVersion"), SLICE_LIT("3.6.0")));
	assert_ok(members_load(again, BUCKET_CLUSTER, SLICE_LIT("other"), SLICE_LIT("?")));
	assert_true(members_downgrade(again)->enabled);
	assert_string_equal(members_downgrade(again)->target, "3.6.0");
	assert_string_equal(members_version(again), "3.6.0");
	assert_err(ERR_CORRUPT_FILE, members_load(again, BUCKET_CLUSTER, SLICE_LIT("downgrade"), SLICE_LIT("{")));
	members_free(again);

	assert_ok(members_set_downgrade(f->ms, false, SLICE_LIT("3.6.0"), true));
	assert_string_equal(store_map_text(&f->map, BUCKET_CLUSTER, SLICE_LIT("downgrade")),
				"{\"target-version\":\"\",\"enabled\":false}");

	assert_ok(version_parse(SLICE_LIT("3.7.0-rc.1"), &v));
	assert_true(v.major == 3 && v.minor == 7 && v.patch == 0);
	assert_ok(version_parse(SLICE_LIT("10.12"), &v));
	assert_true(version_cmp(v, server) > 0);
	assert_err(ERR_INVALID, version_parse(SLICE_LIT("v3.7"), &v));
	assert_err(ERR_INVALID, version_parse(SLICE_LIT("3.7.1x"), &v));
	assert_err(ERR_INVALID, version_parse(SLICE_LIT("99999999999.1"), &v));
}

/* Strict check on started members; the table is the definition worked out by hand. */
static void strict_checks(void **state)
{
	static const struct {
		int voters, started;
		bool add, remove_started, promote;
	} cases[] = {
		{1, 1, true, false, true},   {2, 1, false, false, true}, {2, 2, true, true, true},
		{3, 1, false, false, false}, {3, 2, false, false, true}, {3, 3, true, true, true},
		{5, 3, false, false, true},  {5, 4, true, true, true},
	};

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct members *ms = members_new(NULL, 1);

		for (int k = 1; k <= cases[i].voters; k++) {
			char json[100];

			snprintf(json, sizeof(json), "{\"id\":%d,\"peerURLs\":[\"http://m%d:1\"],\"name\":\"%s\"}", k,
				 k, k <= cases[i].started ? "n" : "");
			assert_ok(change(ms, MEMBER_ADD, (uint64_t)k, json));
		}
		assert_int_equal(members_may_add_voter(ms), cases[i].add);
		assert_int_equal(members_may_remove(ms, 1), cases[i].remove_started);
		assert_int_equal(members_may_promote(ms, 99), cases[i].promote);
		members_free(ms);
	}
}

static void for_clients_and_peers(void **state)
{
	struct fixture *f = *state;
	struct buf b;

	buf_init(&b, 100000);
	assert_ok(members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("ba4649e121207c78"), SLICE_LIT(ROW_C1)));
	assert_ok(members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("7507c59c85214296"), SLICE_LIT(ROW_C2)));
	assert_ok(members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("9c3166542dec1b2a"), SLICE_LIT(ROW_C3)));
	assert_ok(members_load(f->ms, BUCKET_MEMBERS_REMOVED, SLICE_LIT("b919bc8e8268f6dd"), SLICE_LIT("removed")));
	assert_err(ERR_CORRUPT_FILE, members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("1"), SLICE_LIT(ROW_C3)));
	assert_err(ERR_CORRUPT_FILE, members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("zz"), SLICE_LIT(ROW_C3)));
	assert_true(members_is_removed(f->ms, 0xb919bc8e8268f6dd));
	assert_true(members_cluster_id(f->ms) == 0xa9cd46ac6946efce);

	members_json_write(f->ms, &b);
	{
		struct buf encoded, again;

		/* From what clients get, the same array. */
		buf_init(&encoded, 1 << 20);
		buf_init(&again, 1 << 20);
		members_encode(f->ms, 2, &encoded);
		members_json_write_encoded(buf_slice(&encoded), &again);
		assert_int_equal(again.size, b.size);
		assert_memory_equal(again.data, b.data, b.size);
		buf_fini(&encoded);
		buf_fini(&again);
	}
	buf_put_byte(&b, 0);
	assert_string_equal((char *)b.data, "[" ROW_C2 "," ROW_C3 "," ROW_C1 "]");

	buf_clear(&b);
	member_encode(members_at(f->ms, 0), 2, &b);
	static const char want[] = "\x12\x44\x08\x96\x85\x85\xa9\xc8\xb9\xf1\x83\x75\x12\x02"
				   "c2\x1a\x16http://127.0.0.1:27392"
				   "\x22\x16http://127.0.0.1:27402";
	/* id varint checked by value: 0x7507c59c85214296 */
	assert_int_equal(b.data[0], 0x12);
	assert_memory_equal(b.data + b.size - 52, want + sizeof(want) - 1 - 52, 52);
	buf_fini(&b);
}

/* The Root of the .snap file of golden "v36" (its indices are those of our writing order). */
static void v2_store(void **state)
{
	struct fixture *f = *state;
	struct buf b;

	buf_init(&b, 100000);
	assert_ok(members_load(f->ms, BUCKET_MEMBERS, SLICE_LIT("eea174cf6bf15596"), SLICE_LIT(ROW_G1)));
	assert_ok(members_load(f->ms, BUCKET_CLUSTER, SLICE_LIT("clusterVersion"), SLICE_LIT("3.6.0")));
	members_v2_json_write(f->ms, &b);
	buf_put_byte(&b, 0);
#define TIME "\"ExpireTime\":\"0001-01-01T00:00:00Z\""
	assert_string_equal(
	    (char *)b.data,
		"{\"Root\":{\"Path\":\"/\",\"CreatedIndex\":0,\"ModifiedIndex\":0," TIME ",\"Value\":\"\",\"Children\":{"
		"\"0\":{\"Path\":\"/0\",\"CreatedIndex\":0,\"ModifiedIndex\":0," TIME ",\"Value\":\"\",\"Children\":{"
		"\"members\":{\"Path\":\"/0/members\",\"CreatedIndex\":1,\"ModifiedIndex\":1," TIME
		",\"Value\":\"\",\"Children\":{"
		"\"eea174cf6bf15596\":{\"Path\":\"/0/members/"
		"eea174cf6bf15596\",\"CreatedIndex\":1,\"ModifiedIndex\":1," TIME ",\"Value\":\"\",\"Children\":{"
		"\"attributes\":{\"Path\":\"/0/members/eea174cf6bf15596/"
		"attributes\",\"CreatedIndex\":1,\"ModifiedIndex\":1," TIME
		",\"Value\":\"{\\\"name\\\":\\\"g1\\\",\\\"clientURLs\\\":[\\\"http://"
		"127.0.0.1:27380\\\"]}\",\"Children\":null},"
		"\"raftAttributes\":{\"Path\":\"/0/members/eea174cf6bf15596/"
		"raftAttributes\",\"CreatedIndex\":2,\"ModifiedIndex\":2," TIME
		",\"Value\":\"{\\\"peerURLs\\\":[\\\"http://127.0.0.1:27381\\\"]}\",\"Children\":null}}}}},"
		"\"version\":{\"Path\":\"/0/version\",\"CreatedIndex\":3,\"ModifiedIndex\":3," TIME
		",\"Value\":\"3.6.0\",\"Children\":null}}},"
		"\"1\":{\"Path\":\"/1\",\"CreatedIndex\":0,\"ModifiedIndex\":0," TIME ",\"Value\":\"\",\"Children\":{}}}},"
		"\"CurrentIndex\":3,\"CurrentVersion\":2}");
	buf_fini(&b);
}

/* As GET /version answers, and what could come instead. */
static void versions_of_members(void **state)
{
	static const char *const bad[] = {"", "[]", "{\"etcdserver\":\"3.7.1\"", "{\"etcdserver\" \"3.7.1\"}", "{}x", "null"};
	struct member_versions v;

	assert_ok(member_versions_parse(SLICE_LIT("{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"not_decided\",\"storage\":\"unknown\"}\n"), &v));
	assert_string_equal(v.server, "3.7.1");
	assert_string_equal(v.cluster, "not_decided");
	assert_string_equal(v.storage, "unknown");
	assert_ok(member_versions_parse(SLICE_LIT("{\"more\":[{\"etcdserver\":1}],\"etcdcluster\":\"3.6.0\",\"storage\":null}"), &v));
	assert_string_equal(v.server, "");
	assert_string_equal(v.cluster, "3.6.0");
	assert_string_equal(v.storage, "");
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_err(ERR_MALFORMED, member_versions_parse(slice_str(bad[i]), &v));
}

static void joined_urls(void **state)
{
	struct member_urls u = {0};
	char *text = member_urls_join(&u);

	assert_string_equal(text, "");
	mem_free(text);
	member_urls_add(&u, SLICE_LIT("http://a:1"));
	member_urls_add(&u, SLICE_LIT("http://b:2"));
	text = member_urls_join(&u);
	assert_string_equal(text, "http://a:1,http://b:2");
	mem_free(text);
	member_urls_clear(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_those_of_go),
		cmocka_unit_test(id_texts),
		cmocka_unit_test(request_ids),
		cmocka_unit_test(golden_rows_come_back),
		cmocka_unit_test(json_as_go_reads_it),
		cmocka_unit_test(lists),
		cmocka_unit_test(url_rules),
		cmocka_unit_test(initial_cluster),
		cmocka_unit_test(versions_of_members),
		cmocka_unit_test(joined_urls),
		cmocka_unit_test_setup_teardown(conf_changes, setup, teardown),
		cmocka_unit_test(contexts_as_go_proposes_them),
		cmocka_unit_test_setup_teardown(versions, setup, teardown),
		cmocka_unit_test(strict_checks),
		cmocka_unit_test_setup_teardown(for_clients_and_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(v2_store, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
