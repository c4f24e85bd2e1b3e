/* The auth store against transcripts of Go etcd's (testdata, made by tests/tools/authstore): each request's error and every row that
 * it changed, to the byte. */
#include "../../lib/store_map.h"
#include "../../lib/test.h"
#include "auth/auth.h"
#include "base/crc.h"

enum { WORDS_MAX = 6, WORD_SIZE = 512 };

static const struct { const char *text; err_t err; } errors[] = {
	{"ok", OK},
	{"auth: root user does not exist", ERR_ROOT_USER_NOT_EXIST},
	{"auth: root user does not have root role", ERR_ROOT_ROLE_NOT_EXIST},
	{"auth: user already exists", ERR_USER_ALREADY_EXIST},
	{"auth: user name is empty", ERR_USER_EMPTY},
	{"auth: user not found", ERR_USER_NOT_FOUND},
	{"auth: role already exists", ERR_ROLE_ALREADY_EXIST},
	{"auth: role not found", ERR_ROLE_NOT_FOUND},
	{"auth: role name is empty", ERR_ROLE_EMPTY},
	{"auth: permission not given", ERR_PERMISSION_NOT_GIVEN},
	{"auth: authentication failed, password was given for no password user", ERR_NO_PASSWORD_USER},
	{"auth: permission denied", ERR_PERMISSION_DENIED},
	{"auth: role is not granted to the user", ERR_ROLE_NOT_GRANTED},
	{"auth: permission is not granted to the role", ERR_PERMISSION_NOT_GRANTED},
	{"auth: revision in header is old", ERR_AUTH_OLD_REVISION},
	{"auth: invalid auth management", ERR_INVALID_AUTH_MGMT},
};

struct words {
	char text[WORD_SIZE];
	char *at[WORDS_MAX];
	struct slice bytes[WORDS_MAX];  /* read as hex; "-" is empty */
	uint8_t room[WORDS_MAX][WORD_SIZE / 2];
	size_t count;
};

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void split(struct words *w, const char *line)
{
	char *save = NULL;

	memset(w, 0, sizeof(*w));
	snprintf(w->text, sizeof(w->text), "%s", line);
	w->text[strcspn(w->text, "\n")] = 0;
	for (char *t = strtok_r(w->text, " ", &save); t && w->count < WORDS_MAX; t = strtok_r(NULL, " ", &save)) {
		size_t size = strcmp(t, "-") ? strlen(t) / 2 : 0;

		for (size_t i = 0; i < size; i++)
			w->room[w->count][i] = (uint8_t)(nibble(t[2 * i]) << 4 | nibble(t[2 * i + 1]));
		w->bytes[w->count] = slice_of(w->room[w->count], size);
		w->at[w->count++] = t;
	}
}

/* The texts of the transcript are base64 of "hashNN" and "new", or "!" for what does not decode. */
static bool hash_of(const char *text, uint8_t out[64], struct slice *hash)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = 0;
	uint32_t bits = 0;
	int have = 0;

	*hash = (struct slice){0};
	if (!strcmp(text, "!"))
		return false;
	for (; *text && *text != '=' && *text != '-'; text++) {
		bits = bits << 6 | (uint32_t)(strchr(digits, *text) - digits);
		have += 6;
		if (have >= 8)
			out[size++] = (uint8_t)(bits >> (have -= 8));
	}
	*hash = slice_of(out, size);
	return true;
}

static err_t run(struct auth *a, const struct words *w)
{
	const struct slice *b = w->bytes;
	const char *op = w->at[0];
	uint8_t room[64];
	struct slice hash;

	if (!strcmp(op, "user-add")) {
		struct auth_new_user u = {.name = b[1]};

		u.hash_bad = !hash_of(w->at[2], room, &u.hash);
		if (!strcmp(w->at[3], "true"))
			u.options = SLICE_LIT("\x08\x01");
		return auth_user_add(a, &u);
	}
	if (!strcmp(op, "user-passwd")) {
		bool bad = !hash_of(w->at[2], room, &hash);

		return auth_user_change_password(a, b[1], hash, bad);
	}
	if (!strcmp(op, "role-grant")) {
		struct auth_permission p = {.type = atoi(w->at[2]), .key = b[3], .range_end = b[4]};

		return auth_role_grant(a, b[1], strcmp(w->at[2], "none") ? &p : NULL);
	}
	if (!strncmp(op, "check-", 6)) {
		struct auth_id id = {b[1], strtoull(w->at[2], NULL, 10)};

		if (!strcmp(op, "check-admin"))
			return auth_check_admin(auth_state(a), &id);
		return auth_check_range(auth_state(a), &id, b[3], b[4], strcmp(op, "check-read") ? AUTH_WRITE : AUTH_READ);
	}
	if (!strcmp(op, "user-delete"))
		return auth_user_delete(a, b[1]);
	if (!strcmp(op, "user-grant"))
		return auth_user_grant(a, b[1], b[2]);
	if (!strcmp(op, "user-revoke"))
		return auth_user_revoke(a, b[1], b[2]);
	if (!strcmp(op, "role-add"))
		return auth_role_add(a, b[1]);
	if (!strcmp(op, "role-delete"))
		return auth_role_delete(a, b[1]);
	if (!strcmp(op, "role-revoke"))
		return auth_role_revoke(a, b[1], b[2], b[3]);
	if (!strcmp(op, "enable"))
		return auth_enable(a);
	if (!strcmp(op, "disable"))
		auth_disable(a);
	else if (!strcmp(op, "start"))
		auth_loaded(a);
	else
		fail_msg("unknown request %s", op);
	return OK;
}

static const char *err_in_go(err_t err)
{
	for (size_t i = 0; i < ARRAY_COUNT(errors); i++)
		if (errors[i].err == err)
			return errors[i].text;
	return err_name(err);
}

static enum backend_bucket bucket_of(const char *name)
{
	return !strcmp(name, "auth") ? BUCKET_AUTH : !strcmp(name, "authUsers") ? BUCKET_AUTH_USERS : BUCKET_AUTH_ROLES;
}

/* A line "+ bucket key value" or "~ bucket key" of the transcript. */
static void check_row(struct store_map *m, const struct words *w, int number)
{
	struct store_map_row *row = store_map_find(m, bucket_of(w->at[1]), w->bytes[2]);
	struct slice value;
	unsigned crc;
	size_t size;

	if (w->at[0][0] == '~') {
		if (row)
			fail_msg("line %d: the row is still there", number);
		return;
	}
	if (!row)
		fail_msg("line %d: no such row", number);
	value = buf_slice(&row->value);
	if (sscanf(w->at[3], "crc:%x:%zu", &crc, &size) == 2) {
		if (value.size != size || crc32c(0, value.data, value.size) != crc)
			fail_msg("line %d: the row's bytes differ (%zu bytes, want %zu)", number, value.size, size);
	} else if (!slice_eq(value, w->bytes[3])) {
		fail_msg("line %d: the row's bytes differ", number);
	}
}

/* Every third request is asked of a store that was loaded from the rows, too. */
static struct auth *reload(struct auth *a, struct store_map *m)
{
	struct auth *b = auth_new(&m->store);

	for (size_t i = 0; i < m->rows.count; i++)
		assert_ok(auth_load(b, m->rows.at[i].bucket, buf_slice(&m->rows.at[i].key), buf_slice(&m->rows.at[i].value)));
	auth_loaded(b);
	assert_true(auth_state(a)->revision == auth_state(b)->revision);
	assert_int_equal(auth_state(a)->user_count, auth_state(b)->user_count);
	auth_free(a);
	return b;
}

static void replay(const char *name)
{
	char path[512], line[4096];
	struct store_map m;
	struct auth *a;
	struct words w;
	size_t rows = 0, writes = 0;
	int number = 0, requests = 0;
	err_t err = OK;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", TESTDATA, name);
	f = fopen(path, "r");
	assert_non_null(f);
	store_map_init(&m);
	a = auth_new(&m.store);
	while (fgets(line, sizeof(line), f)) {
		number++;
		if (line[0] == '#')
			continue;
		if (line[0] == '=') {
			line[strcspn(line, "\n")] = 0;
			if (strcmp(line + 2, err_in_go(err)))
				fail_msg("%s:%d: %s, want %s", name, number, err_in_go(err), line + 2);
			if (err && writes != m.writes)
				fail_msg("%s:%d: a request that failed wrote rows", name, number);
			continue;
		}
		split(&w, line);
		if (line[0] == '+' || line[0] == '~') {
			check_row(&m, &w, number);
			rows++;
			continue;
		}
		if (requests % 3 == 2)
			a = reload(a, &m);
		writes = m.writes;
		err = run(a, &w);
		auth_check(a);
		requests++;
	}
	assert_true(requests > 500 && rows > 200);
	fclose(f);
	auth_free(a);
	store_map_fini(&m);
}

static void as_go_mixed(void **state)
{
	replay("mixed-1.txt");
	replay("mixed-2.txt");
}

static void as_go_sorts(void **state)
{
	replay("sort-3.txt");
}

static void as_go_walks(void **state)
{
	replay("tree-4.txt");
}

/* ---- what the transcripts cannot show ---- */

static void add_user(struct auth *a, const char *name, const char *role)
{
	struct auth_new_user u = {.name = slice_str(name), .hash = SLICE_LIT("h")};

	assert_ok(auth_user_add(a, &u));
	if (role)
		assert_ok(auth_user_grant(a, slice_str(name), slice_str(role)));
}

static void permit(struct auth *a, const char *role, int32_t type, const char *key, const char *end)
{
	struct auth_permission p = {type, slice_str(key), slice_str(end)};

	assert_ok(auth_role_grant(a, slice_str(role), &p));
}

static struct auth *sample(struct store_map *m)
{
	struct auth *a;

	store_map_init(m);
	a = auth_new(&m->store);
	auth_loaded(a);
	assert_ok(auth_role_add(a, SLICE_LIT("root")));
	assert_ok(auth_role_add(a, SLICE_LIT("r")));
	permit(a, "r", 0, "a", "m");
	permit(a, "r", 1, "b", "");
	add_user(a, "root", "root");
	add_user(a, "u", "r");
	assert_ok(auth_enable(a));
	return a;
}

static void a_view_does_not_change(void **state)
{
	struct store_map m;
	struct auth *a = sample(&m);
	struct auth_view *v = auth_view(a), *same = auth_view(a), *later;
	struct auth_id id = {SLICE_LIT("u"), auth_state(a)->revision};

	assert_ptr_equal(v, same);
	auth_view_unref(same);
	assert_ok(auth_role_revoke(a, SLICE_LIT("r"), SLICE_LIT("a"), SLICE_LIT("m")));
	later = auth_view(a);
	assert_ptr_not_equal(v, later);
	assert_ok(auth_check_range(auth_view_state(v), &id, SLICE_LIT("c"), SLICE_LIT("d"), AUTH_READ));
	assert_err(ERR_AUTH_OLD_REVISION, auth_check_range(auth_view_state(later), &id, SLICE_LIT("c"), SLICE_LIT("d"), AUTH_READ));
	id.revision = auth_state(a)->revision;
	assert_err(ERR_PERMISSION_DENIED, auth_check_range(auth_view_state(later), &id, SLICE_LIT("c"), SLICE_LIT("d"), AUTH_READ));
	auth_free(a);           /* views live on */
	assert_true(auth_has_role(auth_view_state(v), SLICE_LIT("u"), SLICE_LIT("r")));
	auth_view_unref(v);
	auth_view_unref(later);
	store_map_fini(&m);
}

static size_t lease_count_of(void *arg, int64_t lease)
{
	return lease == 7 ? 2 : 0;
}

static struct slice lease_key(void *arg, int64_t lease, size_t i)
{
	return i ? SLICE_LIT("zz") : SLICE_LIT("b");
}

static const struct auth_leases leases = {NULL, lease_count_of, lease_key};

static void puts_and_leases(void **state)
{
	struct store_map m;
	struct auth *a = sample(&m);
	struct auth_id u = {SLICE_LIT("u"), auth_state(a)->revision}, root = {SLICE_LIT("root"), u.revision}, none = {{0}, 0};
	struct put_req put = {.key = SLICE_LIT("b")};
	struct delete_req del = {.key = SLICE_LIT("b")};
	const struct auth_state *s = auth_state(a);

	assert_ok(auth_check_put(s, &u, &leases, &put));
	assert_err(ERR_USER_EMPTY, auth_check_put(s, &none, &leases, &put));
	put.prev_kv = true;
	assert_ok(auth_check_put(s, &u, &leases, &put));
	put.lease = 8;          /* unknown, or without keys */
	assert_ok(auth_check_put(s, &u, &leases, &put));
	put.lease = 7;          /* holds zz, which u may not write */
	assert_err(ERR_PERMISSION_DENIED, auth_check_put(s, &u, &leases, &put));
	assert_ok(auth_check_put(s, &root, &leases, &put));
	assert_err(ERR_PERMISSION_DENIED, auth_check_lease(s, &u, &leases, 7, AUTH_READ));
	assert_ok(auth_check_lease(s, &root, &leases, 7, AUTH_WRITE));
	assert_ok(auth_check_delete(s, &u, &del));
	del.prev_kv = true;
	assert_ok(auth_check_delete(s, &u, &del));
	del.range_end = SLICE_LIT("c");
	assert_err(ERR_PERMISSION_DENIED, auth_check_delete(s, &u, &del));
	permit(a, "r", 1, "n", "o");
	u.revision = auth_state(a)->revision;
	del = (struct delete_req){SLICE_LIT("n"), SLICE_LIT("o"), true};
	assert_err(ERR_PERMISSION_DENIED, auth_check_delete(s, &u, &del));       /* may write, not read */
	del.prev_kv = false;
	assert_ok(auth_check_delete(s, &u, &del));
	auth_free(a);
	store_map_fini(&m);
}

/* Each place of a txn where a right can be missing: compare, range, put, delete, prev_kv, in either branch, at depth 0 to 2. */
static void txns_at_any_depth(void **state)
{
	struct store_map m;
	struct auth *a = sample(&m);
	struct auth_id u = {SLICE_LIT("u"), auth_state(a)->revision}, root = {SLICE_LIT("root"), u.revision};
	struct request_op bad[] = {
		{.kind = OP_RANGE, .range = {.key = SLICE_LIT("z")}},
		{.kind = OP_RANGE, .range = {.key = SLICE_LIT("a"), .range_end = SLICE_LIT("n")}},
		{.kind = OP_RANGE, .range = {.key = SLICE_LIT("a"), .range_end = SLICE_LIT("\0")}},
		{.kind = OP_PUT, .put = {.key = SLICE_LIT("a")}},
		{.kind = OP_PUT, .put = {.key = SLICE_LIT("b"), .lease = 7}},
		{.kind = OP_DELETE, .del = {.key = SLICE_LIT("a")}},
		{.kind = OP_DELETE, .del = {.key = SLICE_LIT("b"), .range_end = SLICE_LIT("c"), .prev_kv = true}},
	};
	struct request_op good = {.kind = OP_PUT, .put = {.key = SLICE_LIT("b"), .prev_kv = true}};
	const struct auth_state *s = auth_state(a);

	for (size_t i = 0; i <= ARRAY_COUNT(bad); i++)
		for (int depth = 0; depth < 3; depth++)
			for (int branch = 0; branch < 2; branch++) {
				struct compare cmp = {.key = SLICE_LIT("a"), .range_end = SLICE_LIT("n")};
				struct txn_req t[3] = {0};
				struct request_op ops[3][2];

				for (int d = depth; d >= 0; d--) {
					ops[d][0] = good;
					if (d < depth)
						ops[d][1] = (struct request_op){.kind = OP_TXN, .txn = &t[d + 1]};
					else if (i < ARRAY_COUNT(bad))
						ops[d][1] = bad[i];
					else
						ops[d][1] = good, t[d].compares = &cmp, t[d].compare_count = 1;
					t[d].success = branch ? &good : ops[d];
					t[d].success_count = branch ? 1 : 2;
					t[d].failure = branch ? ops[d] : &good;
					t[d].failure_count = branch ? 2 : 1;
				}
				assert_err(ERR_PERMISSION_DENIED, auth_check_txn(s, &u, &leases, &t[0]));
				assert_ok(auth_check_txn(s, &root, &leases, &t[0]));
				ops[depth][1] = good;
				t[depth].compare_count = 0;
				assert_ok(auth_check_txn(s, &u, &leases, &t[0]));
			}
	auth_free(a);
	store_map_fini(&m);
}

static void answers(void **state)
{
	struct store_map m;
	struct auth *a = sample(&m);
	struct slice hash;
	struct buf b;

	buf_init(&b, 4096);
	assert_ok(auth_role_get(a, SLICE_LIT("root"), &b));
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("\x12\x05\x08\x02\x1a\x01\0")));    /* READWRITE, no key, end 00 */
	buf_clear(&b);
	assert_ok(auth_role_get(a, SLICE_LIT("r"), &b));
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("\x12\x06\x12\x01" "a\x1a\x01m\x12\x05\x08\x01\x12\x01" "b")));
	buf_clear(&b);
	assert_ok(auth_user_get(a, SLICE_LIT("u"), &b));
	auth_user_list(a, &b);
	auth_role_list(a, &b);
	assert_true(slice_eq(buf_slice(&b), SLICE_LIT("\x12\x01r\x12\x04root\x12\x01u\x12\x01r\x12\x04root")));
	assert_err(ERR_USER_NOT_FOUND, auth_user_get(a, SLICE_LIT("x"), NULL));
	assert_err(ERR_ROLE_NOT_FOUND, auth_role_get(a, SLICE_LIT("x"), NULL));
	assert_ok(auth_password_of(auth_state(a), SLICE_LIT("u"), &hash));
	assert_true(slice_eq(hash, SLICE_LIT("h")));
	assert_err(ERR_AUTH_FAILED, auth_password_of(auth_state(a), SLICE_LIT("x"), &hash));
	assert_ok(auth_check_login(auth_state(a), SLICE_LIT("u")));
	assert_ok(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("n"), .options = SLICE_LIT("\x08\x01"), .hash_bad = true}));
	assert_err(ERR_NO_PASSWORD_USER, auth_password_of(auth_state(a), SLICE_LIT("n"), &hash));
	assert_err(ERR_AUTH_FAILED, auth_check_login(auth_state(a), SLICE_LIT("n")));
	assert_true(auth_disable(a));
	assert_err(ERR_AUTH_NOT_ENABLED, auth_password_of(auth_state(a), SLICE_LIT("u"), &hash));
	buf_fini(&b);
	auth_free(a);
	store_map_fini(&m);
}

/* Fields of a later version survive what upstream lets them survive: a grant, not a rebuilt row. */
static void unknown_fields(void **state)
{
	struct store_map m;
	struct auth *a;
	struct slice user = SLICE_LIT("\x7a\x01x\x0a\x01u\x22\x04\x08\x01\x78\x05"), role = SLICE_LIT("\x78\x07\x0a\x01r");

	store_map_init(&m);
	a = auth_new(&m.store);
	assert_ok(auth_load(a, BUCKET_AUTH_USERS, SLICE_LIT("u"), user));
	assert_ok(auth_load(a, BUCKET_AUTH_ROLES, SLICE_LIT("r"), role));
	assert_err(ERR_CORRUPT_FILE, auth_load(a, BUCKET_AUTH_USERS, SLICE_LIT("u"), SLICE_LIT("\x0a\x07u")));
	assert_err(ERR_CORRUPT_FILE, auth_load(a, BUCKET_AUTH_USERS, SLICE_LIT("v"), user));
	auth_loaded(a);
	assert_ok(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r")));
	assert_true(slice_eq(buf_slice(&store_map_find(&m, BUCKET_AUTH_USERS, SLICE_LIT("u"))->value),
			     SLICE_LIT("\x0a\x01u\x1a\x01r\x22\x04\x08\x01\x78\x05\x7a\x01x")));
	assert_ok(auth_user_revoke(a, SLICE_LIT("u"), SLICE_LIT("r")));
	assert_true(slice_eq(buf_slice(&store_map_find(&m, BUCKET_AUTH_USERS, SLICE_LIT("u"))->value),
			     SLICE_LIT("\x0a\x01u\x22\x04\x08\x01\x78\x05")));
	permit(a, "r", 1, "k", "");
	assert_true(slice_eq(buf_slice(&store_map_find(&m, BUCKET_AUTH_ROLES, SLICE_LIT("r"))->value),
			     SLICE_LIT("\x0a\x01r\x12\x05\x08\x01\x12\x01k\x78\x07")));
	auth_free(a);
	store_map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_go_mixed),     cmocka_unit_test(as_go_sorts),      cmocka_unit_test(a_view_does_not_change),
		cmocka_unit_test(puts_and_leases), cmocka_unit_test(txns_at_any_depth), cmocka_unit_test(answers),
		cmocka_unit_test(unknown_fields),  cmocka_unit_test(as_go_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
