/* Tokens and passwords: those that Go etcd made (testdata/tokens.txt, by tests/tools/authtokens) are taken, damaged ones are not, and
 * ours are the same bytes where the method is deterministic. */
#include "../../lib/test.h"
#include "auth/password.h"
#include "auth/token.h"
#include "base/mem.h"

enum { FIELDS = 8, LINE_SIZE = 16384 };

struct line {
	char *at[FIELDS];
	size_t count;
};

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct slice hex(char *text)
{
	size_t size = strcmp(text, "-") ? strlen(text) / 2 : 0;

	for (size_t i = 0; i < size; i++)
		text[i] = (char)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
	return slice_of(text, size);
}

static struct slice base64(char *text)
{
	size_t size = 0;

	if (!strcmp(text, "-"))
		return (struct slice){0};
	assert_ok(auth_hash_decode(slice_str(text), (uint8_t *)text, &size));
	return slice_of(text, size);
}

static void each(const char *kind, void (*fn)(struct line *l))
{
	static char text[LINE_SIZE];
	FILE *f = fopen(TESTDATA "/tokens.txt", "r");
	int seen = 0;

	assert_non_null(f);
	while (fgets(text, sizeof(text), f)) {
		struct line l = {0};
		char *save = NULL;

		text[strcspn(text, "\n")] = 0;
		for (char *t = strtok_r(text, " ", &save); t && l.count < FIELDS; t = strtok_r(NULL, " ", &save))
			l.at[l.count++] = t;
		if (strcmp(l.at[0], kind))
			continue;
		fn(&l);
		seen++;
	}
	fclose(f);
	assert_true(seen > 5);
}

static void verified(struct jwt *j, struct slice token, int64_t now_s, struct slice user, uint64_t revision)
{
	struct jwt_claims c;

	assert_ok(jwt_verify(j, token, now_s, NULL, &c));
	assert_true(slice_eq(slice_of(c.user, c.user_size), user));
	assert_true(c.revision == revision);
	assert_true(c.expires_s > now_s);
	mem_free(c.user);
}

static void refused(struct jwt *j, struct slice token, int64_t now_s)
{
	struct jwt_claims c;

	assert_err(ERR_INVALID_AUTH_TOKEN, jwt_verify(j, token, now_s, NULL, &c));
}

/* Every single character changed. The last one of a part may carry unused bits, which nobody checks, as in Go. */
static void damaged(struct jwt *j, struct slice token, int64_t now_s)
{
	char *copy = mem_alloc(token.size);
	size_t step = token.size > 300 ? 7 : 1;

	for (size_t i = 0; i < token.size; i += step) {
		struct jwt_claims c;
		bool last = i + 1 == token.size || token.data[i + 1] == '.';

		memcpy(copy, token.data, token.size);
		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		if (jwt_verify(j, slice_of(copy, token.size), now_s, NULL, &c) == OK) {
			assert_true(last);
			mem_free(c.user);
		}
	}
	for (size_t size = 0; size < token.size; size += step)
		refused(j, slice_of(token.data, size), now_s);
	mem_free(copy);
}

static void go_token(struct line *l)
{
	struct jwt_config cfg = {.method = l->at[1], .private_key = base64(l->at[2]), .public_key = base64(l->at[3]),
				 .ttl_ns = INT64_C(3600000000000)};
	struct slice user = hex(l->at[4]), token = slice_str(l->at[7]);
	uint64_t revision = strtoull(l->at[5], NULL, 10);
	int64_t expires_s = strtoll(l->at[6], NULL, 10);
	bool deterministic = strncmp(l->at[1], "PS", 2) && strncmp(l->at[1], "ES", 2);
	struct jwt *j, *public_only;
	struct why why;
	struct buf own;

	buf_init(&own, 1 << 16);
	if (jwt_open(&cfg, &why, &j))
		fail_msg("%s: %s", l->at[1], why.text);
	verified(j, token, expires_s - 1, user, revision);
	refused(j, token, expires_s);
	damaged(j, token, expires_s - 1);
	assert_ok(jwt_sign(j, user, revision, expires_s - 3600, &own));
	verified(j, buf_slice(&own), expires_s - 1, user, revision);
	if (deterministic && !slice_eq(buf_slice(&own), token))
		fail_msg("%s: signed differently\n%.*s\n%.*s", l->at[1], SLICE_ARG(buf_slice(&own)), SLICE_ARG(token));
	if (cfg.public_key.size) {
		cfg.private_key = (struct slice){0};
		assert_ok(jwt_open(&cfg, &why, &public_only));
		verified(public_only, token, expires_s - 1, user, revision);
		assert_err(ERR_VERIFY_ONLY, jwt_sign(public_only, user, revision, 0, &own));
		jwt_close(public_only);
	}
	jwt_close(j);
	buf_fini(&own);
}

static void jwt_of_go(void **state)
{
	each("jwt", go_token);
}

static char *first_key;

static void keep_first(struct line *l)
{
	if (!strcmp(l->at[1], "ES384"))
		first_key = mem_strdup(l->at[2]);
}

static void keys_and_methods(void **state)
{
	struct jwt_config cfg = {.method = "none", .private_key = SLICE_LIT("k")};
	struct jwt *j;
	struct why why;
	struct buf b;

	buf_init(&b, 4096);
	assert_err(ERR_INVALID, jwt_open(&cfg, &why, &j));
	cfg.method = "HS256";
	assert_ok(jwt_open(&cfg, &why, &j));
	/* alg none, and an alg that is not the configured one */
	refused(j, SLICE_LIT("eyJhbGciOiJub25lIn0.eyJ1c2VybmFtZSI6InJvb3QiLCJyZXZpc2lvbiI6MX0."), 0);
	refused(j, SLICE_LIT(".."), 0);
	refused(j, SLICE_LIT(""), 0);
	refused(j, SLICE_LIT("a.b"), 0);
	jwt_close(j);
	cfg.private_key = (struct slice){0};
	assert_err(ERR_INVALID, jwt_open(&cfg, &why, &j));
	assert_string_equal(why.text, "auth: missing key data");
	cfg.method = "RS256";
	assert_err(ERR_INVALID, jwt_open(&cfg, &why, &j));
	assert_string_equal(why.text, "auth: missing key data");
	each("jwt", keep_first);
	cfg.private_key = base64(first_key);
	assert_err(ERR_INVALID, jwt_open(&cfg, &why, &j));      /* a key of a curve for RSA */
	cfg.method = "ES256";
	assert_ok(jwt_open(&cfg, &why, &j));
	assert_err(ERR_JWT_KEY, jwt_sign(j, SLICE_LIT("u"), 1, 0, &b));  /* of another curve */
	jwt_close(j);
	mem_free(first_key);
	buf_fini(&b);
}

/* Claims that Go refuses or takes, signed by ourselves through a user name that closes the string. */
static void claims_matter(void **state)
{
	struct jwt_config cfg = {.method = "HS256", .private_key = SLICE_LIT("k"), .ttl_ns = 0};
	struct jwt *j;
	struct why why;
	struct buf b;

	buf_init(&b, 4096);
	assert_ok(jwt_open(&cfg, &why, &j));
	assert_ok(jwt_sign(j, SLICE_LIT("u\",\"x\":\""), 1, 100, &b));
	verified(j, buf_slice(&b), 99, SLICE_LIT("u\",\"x\":\""), 1);    /* escaped: one string */
	refused(j, buf_slice(&b), 100);
	jwt_close(j);
	buf_fini(&b);
}

static void go_hash(struct line *l)
{
	struct slice password = hex(l->at[1]), hash = slice_str(l->at[2]);
	char own[AUTH_HASH_SIZE + 1];
	uint8_t wrong[128] = "wrong";

	assert_true(auth_password_matches(password, hash));
	assert_false(auth_password_matches(SLICE_LIT("wrong"), hash));
	assert_false(auth_password_matches(password, slice_of(hash.data, hash.size - 1)));
	memcpy(wrong, hash.data, hash.size);
	wrong[hash.size - 1] ^= 1;
	assert_false(auth_password_matches(password, slice_of(wrong, hash.size)));
	assert_ok(auth_password_hash(password, AUTH_COST_MIN, (const uint8_t *)"0123456789abcdef", own));
	assert_memory_equal(own, "$2a$04$", 7);
	assert_true(auth_password_matches(password, slice_str(own)));
}

static void bcrypt_of_go(void **state)
{
	char own[AUTH_HASH_SIZE + 1], longer[100];
	uint8_t salt[AUTH_SALT_SIZE] = {0};

	each("bcrypt", go_hash);
	memset(longer, 'x', sizeof(longer));
	assert_err(ERR_PASSWORD_TOO_LONG, auth_password_hash(slice_of(longer, 73), 4, salt, own));
	assert_err(ERR_INVALID, auth_password_hash(SLICE_LIT("a\0b"), 4, salt, own));
	assert_err(ERR_INVALID, auth_password_hash(SLICE_LIT("a"), 3, salt, own));
	assert_ok(auth_password_hash(slice_of(longer, 72), 4, salt, own));
	assert_true(auth_password_matches(slice_of(longer, 100), slice_str(own)));      /* as upstream's comparison */
	assert_false(auth_password_matches(slice_of(longer, 71), slice_str(own)));
	assert_false(auth_password_matches(SLICE_LIT(""), (struct slice){0}));  /* an emptied password */
	assert_false(auth_password_matches(SLICE_LIT("a"), SLICE_LIT("$2a$99$..........................................................")));
}

static void base64_as_go(void **state)
{
	static const struct { const char *text; const char *want; } cases[] = {
		{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YW\nI=\r\n", "ab"}, {"YR==", "a"},
		{"YQ=", NULL}, {"YQ", NULL}, {"Y", NULL}, {"YQ===", NULL}, {"=", NULL}, {"YQ==YQ==", NULL}, {"Y=Q=", NULL}, {"YW-_", NULL},
	};
	uint8_t out[32];
	size_t size;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		err_t err = auth_hash_decode(slice_str(cases[i].text), out, &size);

		if (err != (cases[i].want ? OK : ERR_INVALID))
			fail_msg("%s", cases[i].text);
		if (cases[i].want)
			assert_true(slice_eq(slice_of(out, size), slice_str(cases[i].want)));
	}
}

static void simple_tokens(void **state)
{
	struct epoch_domain *d = epoch_domain_new();
	struct tokens *t = tokens_new(d, 1000000000, 1);
	struct slice user;
	struct buf text;
	uint64_t now_ns = 5;

	buf_init(&text, 1 << 10);
	tokens_add(t, SLICE_LIT("u"), SLICE_LIT("abc"), 44, now_ns, &text);
	assert_true(slice_eq(buf_slice(&text), SLICE_LIT("abc.44")));
	assert_false(tokens_find(t, SLICE_LIT("abc.44"), now_ns, &user));        /* off: it means nothing */
	tokens_enable(t);
	tokens_add(t, SLICE_LIT("u"), SLICE_LIT("abc"), 44, now_ns, NULL);
	tokens_add(t, SLICE_LIT("v"), SLICE_LIT("abd"), 45, now_ns, NULL);
	epoch_enter(d);
	assert_true(tokens_find(t, SLICE_LIT("abc.44"), now_ns, &user) && slice_eq(user, SLICE_LIT("u")));
	assert_false(tokens_find(t, SLICE_LIT("abc.45"), now_ns, &user));
	assert_false(tokens_find(t, SLICE_LIT(""), now_ns, &user));
	now_ns += 900000000;
	assert_true(tokens_find(t, SLICE_LIT("abc.44"), now_ns, &user));         /* its time begins anew */
	now_ns += 900000000;
	assert_true(tokens_find(t, SLICE_LIT("abc.44"), now_ns, &user));
	assert_false(tokens_find(t, SLICE_LIT("abd.45"), now_ns, &user));
	epoch_leave(d);
	assert_int_equal(tokens_count(t), 2);
	tokens_expire(t, now_ns);
	assert_int_equal(tokens_count(t), 1);
	tokens_add(t, SLICE_LIT("w"), SLICE_LIT("x"), 46, now_ns, NULL);
	tokens_drop_user(t, SLICE_LIT("u"));
	assert_false(tokens_find(t, SLICE_LIT("abc.44"), now_ns, &user));
	assert_true(tokens_find(t, SLICE_LIT("x.46"), now_ns, &user));
	tokens_disable(t);
	assert_false(tokens_find(t, SLICE_LIT("x.46"), now_ns, &user));
	assert_int_equal(tokens_count(t), 0);
	/* a full table lets the oldest go */
	tokens_enable(t);
	for (uint64_t i = 0; i <= TOKENS_MAX; i++)
		tokens_add(t, SLICE_LIT("u"), SLICE_LIT("p"), i, now_ns, NULL);
	assert_int_equal(tokens_count(t), TOKENS_MAX);
	assert_false(tokens_find(t, SLICE_LIT("p.0"), now_ns, &user));
	assert_true(tokens_find(t, SLICE_LIT("p.1"), now_ns, &user));
	while (epoch_reclaim(d))
		;
	tokens_free(t);
	epoch_domain_free(d);
	buf_fini(&text);
}

static void token_texts(void **state)
{
	static const struct { const char *text; bool ok; uint64_t index; } cases[] = {
		{"abc.44", true, 44}, {".7", true, 7}, {"a.0", true, 0}, {"a.18446744073709551615", true, UINT64_MAX},
		{"a.18446744073709551616", false, 0}, {"a", false, 0}, {"", false, 0}, {"a.", false, 0}, {"a.1.2", false, 0}, {"a.-1", false, 0},
		{"a.+1", false, 0}, {"a.1_0", false, 0}, {"a.007", true, 7},
	};
	uint8_t random[64];
	char prefix[TOKEN_PREFIX_SIZE];
	uint64_t index;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		index = 0;
		assert_int_equal(token_parse(slice_str(cases[i].text), &index), cases[i].ok);
		assert_true(index == cases[i].index);
	}
	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(255 - 3 * i);
	token_prefix(random, prefix);
	for (int i = 0; i < TOKEN_PREFIX_SIZE; i++)
		assert_true((prefix[i] >= 'a' && prefix[i] <= 'z') || (prefix[i] >= 'A' && prefix[i] <= 'Z'));
	memset(random, 255, sizeof(random));
	token_prefix(random, prefix);
}

static void options(void **state)
{
	static const struct { const char *text; err_t err; enum token_kind kind; } cases[] = {
		{"simple", OK, TOKEN_SIMPLE}, {"", OK, TOKEN_NONE}, {"simple,a=b", OK, TOKEN_SIMPLE}, {"jwt,sign-method=RS256", OK, TOKEN_JWT},
		{"jwt,sign-method=RS256,sign-method=RS256", ERR_INVALID, 0}, {"jwt,x", ERR_INVALID, 0}, {"jwt,x=y=z", ERR_INVALID, 0},
		{"jwt,", ERR_INVALID, 0}, {"other", ERR_INVALID, 0}, {"jwt,=", OK, TOKEN_JWT},
	};
	struct token_options o;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_err(cases[i].err, token_options_parse(cases[i].text, &o));
		if (!cases[i].err)
			assert_int_equal(o.kind, cases[i].kind);
	}
	assert_ok(token_options_parse("jwt,pub-key=/a,priv-key=/b,sign-method=ES256,ttl=5m,what=ever", &o));
	assert_true(slice_eq(o.public_file, SLICE_LIT("/a")) && slice_eq(o.private_file, SLICE_LIT("/b")));
	assert_true(slice_eq(o.method, SLICE_LIT("ES256")) && slice_eq(o.ttl, SLICE_LIT("5m")) && o.unknown_count == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jwt_of_go),    cmocka_unit_test(keys_and_methods), cmocka_unit_test(claims_matter),
		cmocka_unit_test(bcrypt_of_go), cmocka_unit_test(base64_as_go),     cmocka_unit_test(simple_tokens),
		cmocka_unit_test(token_texts),  cmocka_unit_test(options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
