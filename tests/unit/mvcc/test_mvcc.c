/* The rules of the key space, one by one. Expected values are those of etcd v3.7.1 (semantics, section 2); what a
 * reader would not guess was checked on a running one. */
#include "../../lib/test.h"

#include "mvcc_fixture.h"

/* ---- text for requests and answers ---- */

static struct slice str(const char *s)
{
	/* "\0" is written as "0" */
	return strcmp(s, "0") == 0 ? slice_of("\0", 1) : slice_str(s);
}

static void show_kv(struct slice row, struct buf *out)
{
	struct kv kv;

	assert_ok(kv_decode(row, &kv));
	buf_printf(out, "%.*s=%.*s c%lld m%lld v%lld", SLICE_ARG(kv.key), SLICE_ARG(kv.value), (long long)kv.create_rev,
		   (long long)kv.mod_rev, (long long)kv.version);
	if (kv.lease)
		buf_printf(out, " l%lld", (long long)kv.lease);
	buf_printf(out, "; ");
}

/* Any response of this module: fields by number, messages that are KeyValues shown as such. */
static void show_response(struct slice s, char kind, struct buf *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (pb_next(&r, &f)) {
		if (f.number == 1) {
			struct pb_reader hr = pb_reader_of(f.bytes);
			struct pb_field h;

			if (!pb_next(&hr, &h))
				buf_printf(out, "{} ");
			else
				buf_printf(out, "rev%lld ", (long long)h.value);
		} else if (kind == 'r' && f.number == 2) {
			show_kv(f.bytes, out);
		} else if (kind == 'r') {
			buf_printf(out, f.number == 3 ? "more " : "count%lld ", (long long)f.value);
		} else if (kind == 'p') {
			buf_printf(out, "prev ");
			show_kv(f.bytes, out);
		} else if (kind == 'd' && f.number == 2) {
			buf_printf(out, "deleted%lld ", (long long)f.value);
		} else if (kind == 'd') {
			show_kv(f.bytes, out);
		} else if (kind == 't' && f.number == 2) {
			buf_printf(out, "ok ");
		} else if (kind == 't') {
			struct pb_reader or = pb_reader_of(f.bytes);
			struct pb_field op;

			while (pb_next(& or, &op)) {
				buf_printf(out, "[");
				show_response(op.bytes, "?rpdt"[op.number], out);
				buf_printf(out, "]");
			}
		}
	}
	assert_false(r.failed);
}

struct store {
	struct fixture f;
	struct buf text, answer;
	struct mvcc_events events;
	struct request_op ops[16];
};

static struct store *store_new(void)
{
	struct store *s = NEW(struct store);

	buf_init(&s->text, 1 << 20);
	buf_init(&s->answer, 1 << 20);
	fixture_open(&s->f);
	return s;
}

static void store_free(struct store *s)
{
	mvcc_check(s->f.mvcc, true);
	fixture_commit(&s->f);
	mvcc_check(s->f.mvcc, true);
	fixture_close(&s->f);
	buf_fini(&s->text);
	buf_fini(&s->answer);
	VEC_FREE(&s->events.list);
	mem_free(s);
}

static void begin(struct store *s)
{
	buf_clear(&s->text);
	buf_clear(&s->answer);
	s->events.list.count = 0;
}

static const char *finish(struct store *s, err_t err, char kind)
{
	if (err)
		buf_printf(&s->text, "%s", err_name(err));
	else
		show_response(buf_slice(&s->answer), kind, &s->text);
	while (s->text.size && s->text.data[s->text.size - 1] == ' ')
		s->text.size--;
	buf_put_byte(&s->text, 0);
	return (const char *)s->text.data;
}

static const char *range(struct store *s, struct range_req r)
{
	begin(s);
	fixture_publish(&s->f);
	assert_ok(mvcc_check_range(&r));
	return finish(s, mvcc_range(&s->f.view, &r, 1000, &s->answer), 'r');
}

static const char *put(struct store *s, struct put_req r)
{
	begin(s);
	assert_ok(mvcc_check_put(&r));
	return finish(s, mvcc_put(s->f.mvcc, &r, &s->answer, &s->events), 'p');
}

static void set(struct store *s, const char *key, const char *value)
{
	assert_string_equal(put(s, (struct put_req){.key = str(key), .value = str(value)}), "");
}

static const char *del(struct store *s, const char *key, const char *end, bool prev_kv)
{
	struct delete_req r = {.key = str(key), .range_end = str(end), .prev_kv = prev_kv};

	begin(s);
	mvcc_delete_range(s->f.mvcc, &r, &s->answer, &s->events);
	return finish(s, OK, 'd');
}

static const char *txn(struct store *s, struct txn_req t)
{
	begin(s);
	assert_ok(mvcc_check_txn(&t, 128));
	return finish(s, mvcc_txn(s->f.mvcc, &t, &s->answer, &s->events), 't');
}

#define RANGE(...)                                                                                                     \
	{                                                                                                              \
		.kind = OP_RANGE, .range = { __VA_ARGS__ }                                                             \
	}
#define PUT(...)                                                                                                       \
	{                                                                                                              \
		.kind = OP_PUT, .put = { __VA_ARGS__ }                                                                 \
	}
#define DEL(...)                                                                                                       \
	{                                                                                                              \
		.kind = OP_DELETE, .del = { __VA_ARGS__ }                                                              \
	}
#define TXN(t)                                                                                                         \
	{                                                                                                              \
		.kind = OP_TXN, .txn = (t)                                                                             \
	}
#define OPS(...)                                                                                                       \
	.success = (struct request_op[]){__VA_ARGS__},                                                                 \
	.success_count = ARRAY_COUNT(((struct request_op[]){__VA_ARGS__}))
#define ELSE(...)                                                                                                      \
	.failure = (struct request_op[]){__VA_ARGS__},                                                                 \
	.failure_count = ARRAY_COUNT(((struct request_op[]){__VA_ARGS__}))
#define IF(...)                                                                                                        \
	.compares = (struct compare[]){__VA_ARGS__}, .compare_count = ARRAY_COUNT(((struct compare[]){__VA_ARGS__}))
#define K(s) .key = str(s)
#define END(s) .range_end = str(s)
#define V(s) .value = str(s)

enum { ASCEND = 1, DESCEND = 2, VERSION = 1, CREATE = 2, MOD = 3, VALUE = 4 };

/* ---- revisions ---- */

static void test_revisions(void **unused)
{
	struct store *s = store_new();

	assert_int_equal(mvcc_revision(s->f.mvcc), 1);
	assert_string_equal(range(s, (struct range_req){K("a")}), "");
	set(s, "a", "1");
	assert_int_equal(mvcc_revision(s->f.mvcc), 2);
	set(s, "a", "1"); /* an equal value is a new revision all the same */
	assert_string_equal(range(s, (struct range_req){K("a")}), "a=1 c2 m3 v2; count1");
	assert_string_equal(del(s, "b", "", false), "");
	assert_int_equal(mvcc_revision(s->f.mvcc), 3);
	assert_string_equal(del(s, "a", "", true), "deleted1 a=1 c2 m3 v2;");
	assert_int_equal(mvcc_revision(s->f.mvcc), 4);
	set(s, "a", "2");
	assert_string_equal(range(s, (struct range_req){K("a")}), "a=2 c5 m5 v1; count1");
	assert_string_equal(txn(s, (struct txn_req){0}), "ok");
	assert_string_equal(txn(s, (struct txn_req){OPS(DEL(K("x")))}), "ok [rev5 ]");
	assert_int_equal(mvcc_revision(s->f.mvcc), 5);
	store_free(s);
}

/* ---- range ---- */

/* revision: 2 put c, 3 put b, 4 put a, 5 put b, 6 put d, 7 put b, 8 delete d, 9 put e */
static struct store *store_with_rows(void)
{
	struct store *s = store_new();

	set(s, "c", "x");
	set(s, "b", "z");
	set(s, "a", "y");
	set(s, "b", "w");
	set(s, "d", "q");
	set(s, "b", "u");
	del(s, "d", "", false);
	set(s, "e", "v");
	return s;
}

#define A "a=y c4 m4 v1; "
#define B "b=u c3 m7 v3; "
#define C "c=x c2 m2 v1; "
#define E "e=v c9 m9 v1; "

static void test_ranges(void **unused)
{
	static const struct {
		const char *name;
		struct range_req r;
		const char *key, *end;
		const char *want;
	} cases[] = {
	    {"one key", {.limit = 0}, "b", "", B "count1"},
	    {"deleted key", {.limit = 0}, "d", "", ""},
	    {"interval", {.limit = 0}, "b", "d", B C "count2"},
	    {"end is excluded", {.limit = 0}, "b", "c", B "count1"},
	    {"end = key", {.limit = 0}, "b", "b", ""},
	    {"end < key", {.limit = 0}, "b", "a", ""},
	    {"from key", {.limit = 0}, "c", "0", C E "count2"},
	    {"everything", {.limit = 0}, "0", "0", A B C E "count4"},
	    {"limit", {.limit = 2}, "0", "0", A B "more count4"},
	    {"limit met exactly", {.limit = 4}, "0", "0", A B C E "count4"},
	    {"negative limit", {.limit = -1}, "0", "0", A B C E "count4"},
	    {"greatest limit", {.limit = INT64_MAX}, "0", "0", A B C E "count4"},
	    {"count only: limit and filters ignored",
	     {.count_only = true, .limit = 1, .min_mod_rev = 9},
	     "0",
	     "0",
	     "count4"},
	    {"old revision", {.revision = 6}, "0", "0", A "b=w c3 m5 v2; " C "d=q c6 m6 v1; count4"},
	    {"old revision, limit", {.revision = 6, .limit = 1}, "0", "0", A "more count4"},
	    {"old revision, count", {.revision = 3, .count_only = true}, "0", "0", "count2"},
	    {"revision of a delete", {.revision = 8}, "d", "", ""},
	    {"negative revision: latest", {.revision = -7}, "a", "", A "count1"},
	    {"future", {.revision = 10}, "a", "", "FUTURE_REV"},
	    {"descending", {.sort_order = DESCEND}, "0", "0", E C B A "count4"},
	    {"descending, limit after sorting", {.sort_order = DESCEND, .limit = 2}, "0", "0", E C "more count4"},
	    {"by create", {.sort_order = ASCEND, .sort_target = CREATE}, "0", "0", C B A E "count4"},
	    {"by create, descending", {.sort_order = DESCEND, .sort_target = CREATE}, "0", "0", E A B C "count4"},
	    {"by mod", {.sort_order = ASCEND, .sort_target = MOD}, "0", "0", C A B E "count4"},
	    {"by mod, descending", {.sort_order = DESCEND, .sort_target = MOD, .limit = 1}, "0", "0", E "more count4"},
	    {"by version, descending",
	     {.sort_order = DESCEND, .sort_target = VERSION, .limit = 1},
	     "0",
	     "0",
	     B "more count4"},
	    {"by value", {.sort_order = ASCEND, .sort_target = VALUE}, "0", "0", B E C A "count4"},
	    {"by value, descending", {.sort_order = DESCEND, .sort_target = VALUE}, "0", "0", A C E B "count4"},
	    {"no order but a target sorts ascending", {.sort_target = MOD}, "0", "0", C A B E "count4"},
	    /* limit + 1 keys in key order are taken before the sort: c, the oldest, is not among them */
	    {"no order, target, limit", {.sort_target = MOD, .limit = 1}, "0", "0", A "more count4"},
	    {"order, target, limit", {.sort_order = ASCEND, .sort_target = MOD, .limit = 1}, "0", "0", C "more count4"},
	    {"no order, target, limit, filter",
	     {.sort_target = MOD, .limit = 1, .max_mod_rev = 99},
	     "0",
	     "0",
	     C "more count4"},
	    {"filters are inclusive", {.min_mod_rev = 4, .max_mod_rev = 7}, "0", "0", A B "count4"},
	    {"create filters", {.min_create_rev = 3, .max_create_rev = 4}, "0", "0", A B "count4"},
	    {"filter, then limit", {.min_mod_rev = 4, .limit = 2}, "0", "0", A B "more count4"},
	    {"filter leaves the limit", {.min_mod_rev = 7, .limit = 2}, "0", "0", B E "count4"},
	};
	struct store *s = store_with_rows();

	for (int file = 0; file < 2; file++) {
		for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
			struct range_req r = cases[i].r;

			r.key = str(cases[i].key);
			r.range_end = str(cases[i].end);
			const char *got = range(s, r);

			if (strcmp(got, cases[i].want) != 0)
				fail_msg("%s: %s", cases[i].name, got);
		}
		fixture_commit(&s->f); /* again from the file */
	}
	store_free(s);
}

static void test_rows_max(void **unused)
{
	struct store *s = store_with_rows();
	struct range_req all = {K("0"), END("0")}, sorted = all;
	struct buf out;

	fixture_publish(&s->f);
	buf_init(&out, 1000);
	buf_put(&out, "before", 6);
	sorted.sort_target = MOD;
	assert_err(ERR_TOO_LARGE, mvcc_range(&s->f.view, &all, 3, &out));
	assert_err(ERR_TOO_LARGE, mvcc_range(&s->f.view, &sorted, 3, &out));
	assert_int_equal(out.size, 6);
	assert_ok(mvcc_range(&s->f.view, &all, 4, &out));
	buf_fini(&out);
	buf_init(&out, 40);
	assert_err(ERR_TOO_LARGE, mvcc_range(&s->f.view, &all, 4, &out));
	assert_false(buf_failed(&out));
	assert_int_equal(out.size, 0);
	buf_fini(&out);
	store_free(s);
}

static void test_keys_only(void **unused)
{
	struct store *s = store_new();

	s->f.leases[0] = 7;
	put(s, (struct put_req){K("a"), V("2"), .lease = 7});
	put(s, (struct put_req){K("b"), V("1"), .lease = 7});
	assert_string_equal(range(s, (struct range_req){K("0"), END("0"), .keys_only = true}),
			    "a= c2 m2 v1; b= c3 m3 v1; count2");
	assert_string_equal(range(s, (struct range_req){K("0"), END("0"), .keys_only = true, .sort_target = MOD,
							.sort_order = DESCEND}),
			    "b= c3 m3 v1; a= c2 m2 v1; count2");
	/* sorted by the value that is not shown, and then the lease is */
	assert_string_equal(range(s, (struct range_req){K("0"), END("0"), .keys_only = true, .sort_target = VALUE}),
			    "b= c3 m3 v1 l7; a= c2 m2 v1 l7; count2");
	store_free(s);
}

static void test_compacted_reads(void **unused)
{
	struct store *s = store_with_rows();

	assert_ok(mvcc_compact(s->f.mvcc, 6));
	assert_string_equal(range(s, (struct range_req){K("d"), .revision = 5}), "COMPACTED");
	assert_string_equal(range(s, (struct range_req){K("d"), .revision = 6}), "d=q c6 m6 v1; count1");
	assert_string_equal(range(s, (struct range_req){K("a"), .revision = -1}), A "count1");
	assert_err(ERR_COMPACTED, mvcc_compact(s->f.mvcc, 6));
	assert_err(ERR_COMPACTED, mvcc_compact(s->f.mvcc, 0));
	assert_err(ERR_FUTURE_REV, mvcc_compact(s->f.mvcc, 10));
	assert_ok(mvcc_compact(s->f.mvcc, 9));
	store_free(s);
}

/* The floor of an uncompacted store is -1. */
static void test_compaction_at_zero(void **unused)
{
	struct store *s = store_new();

	assert_int_equal(mvcc_compact_revision(s->f.mvcc), -1);
	assert_err(ERR_COMPACTED, mvcc_compact(s->f.mvcc, -1));
	assert_ok(mvcc_compact(s->f.mvcc, 0));
	assert_err(ERR_COMPACTED, mvcc_compact(s->f.mvcc, 0));
	assert_int_equal(mvcc_compact_revision(s->f.mvcc), 0);
	fixture_commit(&s->f);
	fixture_reopen(&s->f);
	assert_int_equal(mvcc_compact_revision(s->f.mvcc), 0);
	store_free(s);
}

/* ---- put, delete ---- */

static void test_puts(void **unused)
{
	struct store *s = store_new();

	s->f.leases[0] = 7;
	s->f.leases[1] = 8;
	assert_string_equal(put(s, (struct put_req){K("a"), V("1"), .lease = 9}), "LEASE_NOT_FOUND");
	/* the lease is looked at before the key that ignore_value needs */
	assert_string_equal(put(s, (struct put_req){K("a"), .lease = 9, .ignore_value = true}), "LEASE_NOT_FOUND");
	assert_string_equal(put(s, (struct put_req){K("a"), .ignore_value = true}), "KEY_NOT_FOUND");
	assert_string_equal(put(s, (struct put_req){K("a"), .ignore_lease = true}), "KEY_NOT_FOUND");
	assert_int_equal(mvcc_revision(s->f.mvcc), 1);
	assert_string_equal(put(s, (struct put_req){K("a"), V("1"), .prev_kv = true, .lease = 7}), "");
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 7);
	assert_string_equal(put(s, (struct put_req){K("a"), .ignore_value = true, .prev_kv = true}),
			    "prev a=1 c2 m2 v1 l7;");
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 0);
	assert_string_equal(range(s, (struct range_req){K("a")}), "a=1 c2 m3 v2; count1");
	put(s, (struct put_req){K("a"), .ignore_value = true, .lease = 8});
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 8);
	put(s, (struct put_req){K("a"), V("2"), .ignore_lease = true});
	assert_string_equal(range(s, (struct range_req){K("a")}), "a=2 c2 m5 v4 l8; count1");
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 8);
	put(s, (struct put_req){K("a"), V("3"), .lease = 7});
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 7);
	del(s, "a", "", false);
	assert_int_equal(fixture_lease_of(&s->f, str("a")), 0);
	assert_string_equal(put(s, (struct put_req){K("a"), .ignore_value = true}), "KEY_NOT_FOUND");
	/* leases come back at the start */
	put(s, (struct put_req){K("b"), V("1"), .lease = 7});
	fixture_commit(&s->f);
	fixture_reopen(&s->f);
	assert_int_equal(fixture_lease_of(&s->f, str("b")), 7);
	assert_int_equal(s->f.attached.count, 1);
	store_free(s);
}

static void test_deletes(void **unused)
{
	struct store *s = store_with_rows();

	assert_string_equal(del(s, "b", "d", true), "deleted2 "
						    "b=u c3 m7 v3; "
						    "c=x c2 m2 v1;");
	assert_int_equal(mvcc_revision(s->f.mvcc), 10);
	assert_int_equal(s->events.list.count, 2);
	assert_int_equal(s->events.list.at[1].rev.main, 10);
	assert_int_equal(s->events.list.at[1].rev.sub, 1);
	buf_clear(&s->text);
	show_kv(s->events.list.at[1].kv, &s->text);
	buf_put_byte(&s->text, 0);
	assert_string_equal((char *)s->text.data, "c= c0 m10 v0; "); /* a delete's kv: key and mod_revision */
	assert_int_equal(s->events.list.at[1].prev.main, 2);
	assert_string_equal(del(s, "0", "0", false), "deleted2");
	assert_string_equal(del(s, "0", "0", false), "");
	assert_int_equal(mvcc_revision(s->f.mvcc), 11);
	store_free(s);
}

static void test_revoked_keys_in_one_revision(void **unused)
{
	struct store *s = store_with_rows();
	struct slice keys[] = {str("a"), str("d"), str("e")};

	begin(s);
	mvcc_delete_keys(s->f.mvcc, keys, 3, &s->events);
	assert_int_equal(s->events.list.count, 2); /* d was deleted before */
	assert_int_equal(s->events.list.at[1].rev.main, 10);
	assert_int_equal(s->events.list.at[1].rev.sub, 1);
	assert_int_equal(mvcc_revision(s->f.mvcc), 10);
	mvcc_delete_keys(s->f.mvcc, keys, 3, &s->events);
	assert_int_equal(mvcc_revision(s->f.mvcc), 10);
	store_free(s);
}

/* ---- txn ---- */

static void test_compares(void **unused)
{
	static const struct {
		const char *name;
		struct compare c;
		const char *key, *end, *value;
		bool want;
	} cases[] = {
	    {"version equal", {.target = CMP_VERSION, .which = CMP_UNION_VERSION, .number = 3}, "b", "", NULL, true},
	    {"version greater",
	     {.result = CMP_GREATER, .target = CMP_VERSION, .which = CMP_UNION_VERSION, .number = 2},
	     "b",
	     "",
	     NULL,
	     true},
	    {"version less",
	     {.result = CMP_LESS, .target = CMP_VERSION, .which = CMP_UNION_VERSION, .number = 3},
	     "b",
	     "",
	     NULL,
	     false},
	    {"create", {.target = CMP_CREATE, .which = CMP_UNION_CREATE, .number = 3}, "b", "", NULL, true},
	    {"mod not equal",
	     {.result = CMP_NOT_EQUAL, .target = CMP_MOD, .which = CMP_UNION_MOD, .number = 3},
	     "b",
	     "",
	     NULL,
	     true},
	    {"value", {.target = CMP_VALUE, .which = CMP_UNION_VALUE}, "b", "", "u", true},
	    {"value greater",
	     {.result = CMP_GREATER, .target = CMP_VALUE, .which = CMP_UNION_VALUE},
	     "b",
	     "",
	     "t",
	     true},
	    {"lease", {.target = CMP_LEASE, .which = CMP_UNION_LEASE}, "b", "", NULL, true},
	    {"other member counts as 0",
	     {.target = CMP_VERSION, .which = CMP_UNION_MOD, .number = 3},
	     "b",
	     "",
	     NULL,
	     false},
	    {"other member: version > 0",
	     {.result = CMP_GREATER, .target = CMP_VERSION, .which = CMP_UNION_VALUE},
	     "b",
	     "",
	     "x",
	     true},
	    {"no member: value > empty", {.result = CMP_GREATER, .target = CMP_VALUE}, "b", "", NULL, true},
	    {"missing key: version 0", {.target = CMP_VERSION, .which = CMP_UNION_VERSION}, "x", "", NULL, true},
	    {"deleted key: create 0", {.target = CMP_CREATE, .which = CMP_UNION_CREATE}, "d", "", NULL, true},
	    {"missing key: value equal empty", {.target = CMP_VALUE, .which = CMP_UNION_VALUE}, "x", "", "", false},
	    {"missing key: value not equal",
	     {.result = CMP_NOT_EQUAL, .target = CMP_VALUE, .which = CMP_UNION_VALUE},
	     "x",
	     "",
	     "y",
	     false},
	    {"unknown result holds",
	     {.result = 9, .target = CMP_VERSION, .which = CMP_UNION_VERSION, .number = 77},
	     "b",
	     "",
	     NULL,
	     true},
	    {"unknown target is equal", {.target = 9, .which = CMP_UNION_VERSION, .number = 77}, "b", "", NULL, true},
	    {"unknown target is not less", {.result = CMP_LESS, .target = 9}, "b", "", NULL, false},
	    {"range: all",
	     {.result = CMP_GREATER, .target = CMP_MOD, .which = CMP_UNION_MOD, .number = 1},
	     "0",
	     "0",
	     NULL,
	     true},
	    {"range: not all",
	     {.result = CMP_GREATER, .target = CMP_MOD, .which = CMP_UNION_MOD, .number = 2},
	     "0",
	     "0",
	     NULL,
	     false},
	    {"range: none there, version", {.target = CMP_VERSION, .which = CMP_UNION_VERSION}, "x", "y", NULL, true},
	    {"range: none there, value",
	     {.result = CMP_NOT_EQUAL, .target = CMP_VALUE, .which = CMP_UNION_VALUE},
	     "x",
	     "y",
	     "u",
	     false},
	};
	struct store *s = store_with_rows();

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct compare c = cases[i].c;

		c.key = str(cases[i].key);
		c.range_end = str(cases[i].end);
		if (cases[i].value)
			c.value = slice_str(cases[i].value);
		const char *got = txn(s, (struct txn_req){.compares = &c, .compare_count = 1});

		if (strcmp(got, cases[i].want ? "ok" : "") != 0)
			fail_msg("%s: %s", cases[i].name, got);
	}
	store_free(s);
}

static void test_txn_headers_and_order(void **unused)
{
	struct store *s = store_with_rows();
	struct txn_req inner = {OPS(PUT(K("n"), V("2")), RANGE(K("n")))};

	/* a range before the first write has the old revision, one behind it the new one and sees the write; the header
	 * of a nested txn is there, but empty */
	assert_string_equal(
	    txn(s,
		(struct txn_req){OPS(RANGE(K("a")), DEL(K("x")), PUT(K("a"), V("1"), .prev_kv = true), RANGE(K("a")),
				     DEL(K("c"), .prev_kv = true), TXN(&inner), RANGE(K("a"), END("d"), .limit = 1))}),
	    "ok [rev9 " A "count1 ][rev9 ][rev10 prev " A "][rev10 a=1 c4 m10 v2; count1 ][rev10 deleted1 " C "]"
	    "[{} ok [rev10 ][rev10 n=2 c10 m10 v1; count1 ]][rev10 a=1 c4 m10 v2; more count2 ]");
	assert_int_equal(mvcc_revision(s->f.mvcc), 10);
	assert_int_equal(s->events.list.count, 3);
	for (int64_t i = 0; i < 3; i++)
		assert_int_equal(s->events.list.at[i].rev.sub, i);
	store_free(s);
}

static void test_txn_branches(void **unused)
{
	struct store *s = store_with_rows();
	struct compare no = {.target = CMP_VERSION, K("a"), .which = CMP_UNION_VERSION, .number = 9};
	struct compare absent = {.target = CMP_VERSION, K("n"), .which = CMP_UNION_VERSION};
	/* compares of a nested txn see the state before the whole one */
	struct txn_req inner = {
	    .compares = &absent, .compare_count = 1, OPS(PUT(K("m"), V("then"))), ELSE(PUT(K("m"), V("else")))};

	assert_string_equal(
	    txn(s,
		(struct txn_req){.compares = &no, .compare_count = 1, OPS(PUT(K("z"), V("1"))), ELSE(RANGE(K("z")))}),
	    "[rev9 ]");
	assert_string_equal(txn(s, (struct txn_req){OPS(PUT(K("n"), V("1")), TXN(&inner))}),
			    "ok [rev10 ][{} ok [rev10 ]]");
	assert_string_equal(range(s, (struct range_req){K("m"), END("o")}),
			    "m=then c10 m10 v1; n=1 c10 m10 v1; count2");
	assert_string_equal(txn(s, (struct txn_req){OPS(TXN(&inner))}), "ok [{} [rev11 ]]");
	store_free(s);
}

static void test_txn_refusals_leave_no_trace(void **unused)
{
	struct store *s = store_with_rows();
	struct txn_req bad = {OPS(PUT(K("q"), V("1"), .lease = 5))};
	struct compare no = {.target = CMP_VERSION, K("a"), .which = CMP_UNION_VERSION, .number = 9};

	assert_string_equal(txn(s, (struct txn_req){OPS(PUT(K("p"), V("1")), RANGE(K("p"), .revision = 10))}),
			    "FUTURE_REV");
	assert_string_equal(txn(s, (struct txn_req){OPS(PUT(K("p"), V("1")), PUT(K("q"), V("1"), .lease = 5))}),
			    "LEASE_NOT_FOUND");
	assert_string_equal(txn(s, (struct txn_req){OPS(PUT(K("p"), V("1")), TXN(&bad))}), "LEASE_NOT_FOUND");
	assert_string_equal(txn(s, (struct txn_req){OPS(DEL(K("p")), PUT(K("q"), .ignore_value = true))}),
			    "KEY_NOT_FOUND");
	assert_int_equal(mvcc_revision(s->f.mvcc), 9);
	assert_int_equal(s->events.list.count, 0);
	/* the branch not taken is not looked at */
	assert_string_equal(
	    txn(s, (struct txn_req){.compares = &no, .compare_count = 1, OPS(TXN(&bad)), ELSE(RANGE(K("x")))}),
	    "[rev9 ]");
	/* -1 is the compact revision of a store that never was compacted */
	assert_string_equal(txn(s, (struct txn_req){OPS(RANGE(K("a"), .revision = -1))}), "ok [rev9 " A "count1 ]");
	assert_string_equal(txn(s, (struct txn_req){OPS(RANGE(K("a"), .revision = -2))}), "COMPACTED");
	assert_ok(mvcc_compact(s->f.mvcc, 4));
	assert_string_equal(txn(s, (struct txn_req){OPS(RANGE(K("a"), .revision = -1))}), "COMPACTED");
	assert_string_equal(txn(s, (struct txn_req){OPS(RANGE(K("a"), .revision = 3))}), "COMPACTED");
	assert_string_equal(txn(s, (struct txn_req){OPS(RANGE(K("a"), .revision = 4))}), "ok [rev9 " A "count1 ]");
	store_free(s);
}

static const char *large_range(struct store *s, struct range_req r)
{
	struct mvcc_cursor *c;
	bool done = false;

	begin(s);
	fixture_publish(&s->f);
	assert_ok(mvcc_cursor_new(&s->f.view, &r, MVCC_CURSOR_BYTES_MAX, &c));
	while (!done)
		assert_ok(mvcc_cursor_measure(c, &s->f.view, 10000, &done));
	for (done = false; !done;)
		assert_ok(mvcc_cursor_emit(c, &s->f.view, 1000, 65536, &s->answer, &done));
	mvcc_cursor_free(c);
	return finish(s, OK, 'r');
}

/* Rows of many keys, some with a history, a tombstone or a lease, come back from a file whose pages lie in no order, read in
 * two halves and loaded in two parts. */
static void test_start_in_parts(void **unused)
{
	enum { KEYS = 20000, WRITES = KEYS * 5 / 4, LEASED_EVERY = 100 };
	struct store *s = store_new();
	struct range_req all = {K("0"), END("0"), .keys_only = true};
	char key[40], *before;
	size_t attached;

	s->f.leases[0] = 77;
	for (int i = 0; i < WRITES; i++) {
		int id = i % KEYS * 7919 % KEYS;

		snprintf(key, sizeof(key), id % 3 ? "/registry/%d/%d" : "%d-%d", id % 7, id);
		put(s, (struct put_req){K(key), V("v"), .lease = i % LEASED_EVERY ? 0 : 77});
		if (i % 13 == 0)
			del(s, key, "", false);
		if (i % 1000 == 0)
			fixture_commit(&s->f);
	}
	assert_ok(mvcc_compact(s->f.mvcc, KEYS / 2));
	mvcc_compact_hash_failed(s->f.mvcc);
	for (int steps = 0; mvcc_compact_step(s->f.mvcc, 500) == MVCC_COMPACT_MORE; steps++)
		fixture_commit(&s->f);
	set(s, "0 is put where rows of compacted revisions were", "v");
	fixture_commit(&s->f);
	before = mem_strdup(large_range(s, all));
	attached = s->f.attached.count;
	assert_true(strlen(before) > (size_t)KEYS * 10);
	assert_true(attached > WRITES / LEASED_EVERY / 2);
	fixture_reopen(&s->f);
	mvcc_check(s->f.mvcc, true);
	assert_string_equal(large_range(s, all), before);
	assert_int_equal(s->f.attached.count, attached);
	for (int i = 0; i < KEYS; i += 997) { /* changes go on in both parts' leaves */
		snprintf(key, sizeof(key), i % 3 ? "/registry/%d/%d" : "%d-%d", i % 7, i);
		set(s, key, "again");
		del(s, key, "", false);
	}
	mem_free(before);
	store_free(s);
}

/* Upstream's admission does not see that "\0" is open-ended. */
static void test_delete_and_put_of_one_key(void **unused)
{
	struct store *s = store_with_rows();

	assert_string_equal(txn(s, (struct txn_req){OPS(DEL(K("b"), END("0")), PUT(K("b"), V("new")), RANGE(K("b")))}),
			    "ok [rev10 deleted3 ][rev10 ][rev10 b=new c10 m10 v1; count1 ]");
	assert_string_equal(range(s, (struct range_req){K("0"), END("0")}), A "b=new c10 m10 v1; count2");
	assert_string_equal(range(s, (struct range_req){K("b"), .revision = 9}), B "count1");
	fixture_commit(&s->f);
	fixture_reopen(&s->f);
	assert_string_equal(range(s, (struct range_req){K("b")}), "b=new c10 m10 v1; count1");
	store_free(s);
}

static void test_read_only_txn_on_a_view(void **unused)
{
	struct store *s = store_with_rows();
	struct compare yes = {.target = CMP_VALUE, K("b"), .which = CMP_UNION_VALUE, .value = str("u")};
	struct txn_req t = {.compares = &yes, .compare_count = 1, OPS(RANGE(K("a")), RANGE(K("b"), .revision = 5))};

	begin(s);
	fixture_publish(&s->f);
	set(s, "b", "later"); /* not in the view */
	begin(s);
	assert_string_equal(finish(s, mvcc_txn_read(&s->f.view, &t, &s->answer), 't'),
			    "ok [rev9 " A "count1 ][rev9 b=w c3 m5 v2; count1 ]");
	struct txn_req future = {OPS(RANGE(K("a"), .revision = 10))};

	begin(s);
	assert_err(ERR_FUTURE_REV, mvcc_txn_read(&s->f.view, &future, &s->answer));
	assert_int_equal(s->answer.size, 0);
	store_free(s);
}

/* A key of many revisions does not make one long step of it; what is written meanwhile stays. */
static void test_compaction_in_slices(void **unused)
{
	struct store *s = store_new();
	struct mvcc_stats before, after;
	enum mvcc_compact_state state;
	unsigned steps = 0;

	set(s, "b", "first");
	for (int i = 0; i < 1000; i++)
		set(s, "hot", "x");
	set(s, "z", "last");
	fixture_commit(&s->f);
	assert_ok(mvcc_compact(s->f.mvcc, 1003));
	mvcc_compact_hash_failed(s->f.mvcc);
	do {
		mvcc_stats(s->f.mvcc, &before);
		state = mvcc_compact_step(s->f.mvcc, 10);
		mvcc_stats(s->f.mvcc, &after);
		assert_true(after.compacted_rows - before.compacted_rows <= 10);
		mvcc_check(s->f.mvcc, true);
		if (steps++ == 20)
			set(s, "hot", "newer");
		if (steps % 10 == 0)
			set(s, "b", "in front of the key that is half done, and old now");
		if (steps % 7 == 0)
			fixture_commit(&s->f);
	} while (state == MVCC_COMPACT_MORE);
	assert_int_equal(state, MVCC_COMPACT_IDLE);
	assert_int_equal(after.compacted_rows, 999);
	assert_true(steps >= 100);
	fixture_commit(&s->f);
	mvcc_check(s->f.mvcc, true);
	fixture_publish(&s->f);
	assert_string_equal(range(s, (struct range_req){K("hot")}), "hot=newer c3 m1006 v1001; count1"); /* two writes of b before */
	store_free(s);
}

/* ---- large ranges ---- */

/* The hold keeps what the cursor reads; without one the cursor notices. */
static void test_cursor_and_compaction(void **unused)
{
	struct store *s = store_with_rows();
	struct range_req all = {K("0"), END("0"), .revision = 5};
	struct mvcc_cursor *held, *loose;
	bool done;

	fixture_publish(&s->f);
	assert_ok(mvcc_cursor_new(&s->f.view, &all, MVCC_CURSOR_BYTES_MAX, &held));
	assert_ok(mvcc_cursor_new(&s->f.view, &all, MVCC_CURSOR_BYTES_MAX, &loose));
	assert_true(mvcc_hold(s->f.mvcc, 5));
	assert_ok(mvcc_compact(s->f.mvcc, 9));
	assert_int_equal(mvcc_compact_state(s->f.mvcc), MVCC_COMPACT_HASHING);
	mvcc_compact_hash_failed(s->f.mvcc);
	assert_int_equal(mvcc_compact_step(s->f.mvcc, 1000), MVCC_COMPACT_HELD);
	fixture_commit(&s->f);
	assert_ok(mvcc_cursor_measure(held, &s->f.view, 1, &done));
	assert_false(done);
	while (!done)
		assert_ok(mvcc_cursor_measure(held, &s->f.view, 1, &done));
	assert_int_equal(mvcc_cursor_count(held), 3);
	begin(s);
	for (done = false; !done;)
		assert_ok(mvcc_cursor_emit(held, &s->f.view, 1, 1000, &s->answer, &done));
	assert_int_equal(s->answer.size, mvcc_cursor_size(held));
	assert_string_equal(finish(s, OK, 'r'), A "b=w c3 m5 v2; " C "count3");
	mvcc_release(s->f.mvcc, 5);
	assert_int_equal(mvcc_compact_step(s->f.mvcc, 1000), MVCC_COMPACT_IDLE);
	assert_int_equal(mvcc_compact_finished_rev(s->f.mvcc), 9);
	fixture_commit(&s->f);
	assert_err(ERR_COMPACTED, mvcc_cursor_measure(loose, &s->f.view, 1, &done));
	assert_false(mvcc_hold(s->f.mvcc, 8));
	mvcc_cursor_free(held);
	mvcc_cursor_free(loose);
	store_free(s);
}

static void test_bare_cursor(void **unused)
{
	struct store *s = store_with_rows();
	struct range_req all = {K("0"), END("0"), .limit = 3};
	struct mvcc_cursor *c;
	bool done = false;

	fixture_publish(&s->f);
	assert_ok(mvcc_cursor_new(&s->f.view, &all, MVCC_CURSOR_BYTES_MAX, &c));
	mvcc_cursor_set_bare(c);
	assert_ok(mvcc_cursor_measure(c, &s->f.view, 100, &done));
	begin(s);
	assert_ok(mvcc_cursor_emit(c, &s->f.view, 2, 1000, &s->answer, &done));
	assert_false(done);
	assert_ok(mvcc_cursor_emit(c, &s->f.view, 2, 1000, &s->answer, &done));
	assert_true(done);
	assert_true(mvcc_cursor_more(c));
	assert_int_equal(mvcc_cursor_count(c), 4);
	assert_string_equal(finish(s, OK, 'r'), "a=y c4 m4 v1; b=u c3 m7 v3; c=x c2 m2 v1;");
	mvcc_cursor_free(c);
	store_free(s);
}

/* ---- publication ---- */

/* A pin that stays keeps every page that was freed since: the file would only grow. */
static void test_publications_release_pins_and_buffers(void **unused)
{
	struct store *s = store_new();

	for (int i = 0; i < 5; i++) {
		set(s, "a", "1");
		fixture_commit(&s->f);
		assert_int_equal(bolt_oldest_pin(s->f.db), bolt_txid(s->f.db));
		assert_int_equal(epoch_reclaim(s->f.epoch), 0);
	}
	store_free(s);
}

/* ---- events ---- */

static void test_prev_of_events(void **unused)
{
	struct store *s = store_with_rows();

	/* delete and put in one revision: the put is a creation, so it has no prev; the delete's is from before */
	txn(s, (struct txn_req){OPS(DEL(K("b"), END("0")), PUT(K("b"), V("new")))});
	assert_int_equal(s->events.list.count, 4);
	assert_int_equal(s->events.list.at[0].prev.main, 7);
	assert_int_equal(s->events.list.at[3].type, EVENT_PUT);
	assert_int_equal(s->events.list.at[3].create_rev, 10);
	assert_int_equal(s->events.list.at[3].prev.main, 0);
	set(s, "b", "newer");
	assert_int_equal(s->events.list.at[0].prev.main, 10);
	assert_int_equal(s->events.list.at[0].prev.sub, 3);
	set(s, "new", "1");
	assert_int_equal(s->events.list.at[0].prev.main, 0);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_revisions),
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_rows_max),
	    cmocka_unit_test(test_keys_only),
	    cmocka_unit_test(test_compacted_reads),
	    cmocka_unit_test(test_compaction_at_zero),
	    cmocka_unit_test(test_puts),
	    cmocka_unit_test(test_deletes),
	    cmocka_unit_test(test_revoked_keys_in_one_revision),
	    cmocka_unit_test(test_compares),
	    cmocka_unit_test(test_txn_headers_and_order),
	    cmocka_unit_test(test_txn_branches),
	    cmocka_unit_test(test_txn_refusals_leave_no_trace),
	    cmocka_unit_test(test_start_in_parts), cmocka_unit_test(test_delete_and_put_of_one_key),
	    cmocka_unit_test(test_read_only_txn_on_a_view),
	    cmocka_unit_test(test_compaction_in_slices),
	    cmocka_unit_test(test_cursor_and_compaction),
	    cmocka_unit_test(test_bare_cursor),
	    cmocka_unit_test(test_publications_release_pins_and_buffers),
	    cmocka_unit_test(test_prev_of_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
