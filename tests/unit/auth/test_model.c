/* Merged ranges against a naive twin: the twin cuts the key space at every boundary that occurs and asks of each piece of the
 * request whether any permission covers it. */
#include "../../lib/store_map.h"
#include "../../lib/test.h"
#include "auth/auth.h"
#include "base/rng.h"

enum { PERMS_MAX = 12, ROUNDS = 400, ASKS = 60, KEY_MAX = 3, CUTS_MAX = 4 * PERMS_MAX + 8 };

struct key {
	uint8_t bytes[KEY_MAX + 1];
	size_t size;
};

struct perm {
	struct key begin, end;  /* end: as requested */
	int32_t type;
};

static struct slice s(const struct key *k)
{
	return slice_of(k->bytes, k->size);
}

static struct key draw(struct rng *r, bool may_be_empty)
{
	static const uint8_t letters[] = {0, 'a', 'b', 0xff};
	struct key k = {.size = rng_below(r, KEY_MAX) + !may_be_empty};

	for (size_t i = 0; i < k.size; i++)
		k.bytes[i] = letters[rng_below(r, sizeof(letters))];
	return k;
}

/* Half open interval of the twin: open means no end. */
struct interval {
	struct key begin, end;
	bool open;
};

static struct interval interval_of(const struct key *key, const struct key *end)
{
	struct interval iv = {*key, *end, end->size == 1 && !end->bytes[0]};

	if (!end->size) {
		iv.end = *key;
		iv.end.bytes[iv.end.size++] = 0;
	}
	return iv;
}

static bool inside(const struct interval *iv, const struct key *p)
{
	return slice_cmp(s(&iv->begin), s(p)) <= 0 && (iv->open || slice_cmp(s(p), s(&iv->end)) < 0);
}

static int key_cmp(const void *a, const void *b)
{
	return slice_cmp(s(a), s(b));
}

/* The smallest key of each piece stands for the piece. */
static bool twin_covers(const struct perm *perms, size_t count, int32_t right, const struct key *key, const struct key *end)
{
	struct interval want = interval_of(key, end);
	struct key cuts[CUTS_MAX];
	size_t n = 0;

	cuts[n++] = want.begin;
	for (size_t i = 0; i < count; i++) {
		struct interval iv = interval_of(&perms[i].begin, &perms[i].end);

		cuts[n++] = iv.begin;
		if (!iv.open)
			cuts[n++] = iv.end;
	}
	qsort(cuts, n, sizeof(*cuts), key_cmp);
	for (size_t c = 0; c < n; c++) {
		bool covered = false;

		if (!inside(&want, &cuts[c]))
			continue;
		for (size_t i = 0; i < count && !covered; i++) {
			struct interval iv = interval_of(&perms[i].begin, &perms[i].end);

			covered = (perms[i].type == 2 || perms[i].type == right) && inside(&iv, &cuts[c]);
		}
		if (!covered)
			return false;
	}
	return true;
}

static struct auth *store_of(struct store_map *m, struct perm *perms, size_t *count, struct rng *r)
{
	struct auth *a;
	size_t kept = 0;

	store_map_init(m);
	a = auth_new(&m->store);
	auth_loaded(a);
	assert_ok(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("root")}));
	assert_ok(auth_user_grant(a, SLICE_LIT("root"), SLICE_LIT("root")));
	assert_ok(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("u")}));
	assert_ok(auth_role_add(a, SLICE_LIT("r0")));
	assert_ok(auth_role_add(a, SLICE_LIT("r1")));
	assert_ok(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r0")));
	assert_ok(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r1")));
	for (size_t i = 0; i < *count; i++) {
		struct perm *p = &perms[i];
		struct auth_permission q;
		bool twice = false;

		*p = (struct perm){draw(r, false), draw(r, true), (int32_t)rng_below(r, 3)};
		q = (struct auth_permission){p->type, s(&p->begin), s(&p->end)};
		for (size_t k = 0; k < kept; k++)       /* the same range again would change its type */
			twice |= slice_eq(s(&perms[k].begin), q.key) && slice_eq(s(&perms[k].end), q.range_end);
		if (!twice && auth_role_grant(a, rng_below(r, 2) ? SLICE_LIT("r0") : SLICE_LIT("r1"), &q) == OK)
			perms[kept++] = *p;
	}
	*count = kept;
	assert_ok(auth_enable(a));
	auth_check(a);
	return a;
}

static void as_the_twin(void **state)
{
	struct rng r;

	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		struct perm perms[PERMS_MAX];
		struct store_map m;
		struct auth_id id = {.user = SLICE_LIT("u")};
		size_t count;
		struct auth *a;

		rng_init(&r, seed);
		count = rng_below(&r, PERMS_MAX) + 1;
		a = store_of(&m, perms, &count, &r);
		id.revision = auth_state(a)->revision;
		for (int i = 0; i < ASKS; i++) {
			struct key key = draw(&r, false), end = draw(&r, true);
			enum auth_right right = rng_below(&r, 2) ? AUTH_WRITE : AUTH_READ;
			bool want;

			/* An end that is not above its key: upstream's tree decides (testdata/tree-4.txt). */
			if (end.size && slice_cmp(s(&end), s(&key)) <= 0 && !(end.size == 1 && !end.bytes[0]))
				continue;
			want = twin_covers(perms, count, right == AUTH_READ ? 0 : 1, &key, &end);

			if (want != (auth_check_range(auth_state(a), &id, s(&key), s(&end), right) == OK))
				fail_msg("seed %llu, request %d: the twin says %d", (unsigned long long)seed, i, want);
		}
		auth_free(a);
		store_map_fini(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_twin)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
