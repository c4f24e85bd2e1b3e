/* Leases: rows as Go etcd v3.7.1 writes them, the rules of grant, renew and revoke, the pace of expiry, and attachments
 * against a naive twin. */
#include "../../lib/test.h"
#include "../../lib/store_map.h"
#include "base/rng.h"
#include "lease/lease.h"

#define S 1000000000ull

struct fixture {
	struct store_map map;
	struct lessor *l;
};

static void nothing(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
}

static void nothing_del(void *arg, enum backend_bucket b, struct slice key)
{
}

static const struct store no_store = {NULL, nothing, nothing_del};

static struct lessor *lessor(const struct store *store, bool checkpoints)
{
	return lessor_new(
	    &(struct lessor_config){.store = store, .ttl_s_min = 2, .hash_seed = 7, .checkpoints = checkpoints});
}

static int setup(void **state)
{
	struct fixture *f = NEW(struct fixture);

	store_map_init(&f->map);
	f->l = lessor(&f->map.store, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lessor_check(f->l);
	lessor_free(f->l);
	store_map_fini(&f->map);
	mem_free(f);
	return 0;
}

static void minimum(void **state)
{
	assert_int_equal(lease_ttl_s_min(10, 100), 2);
	assert_int_equal(lease_ttl_s_min(11, 100), 2); /* 16 ticks */
	assert_int_equal(lease_ttl_s_min(50, 100), 8);
	assert_int_equal(lease_ttl_s_min(10, 500), 8);
}

static void grant_rules(void **state)
{
	struct fixture *f = *state;
	int64_t ttl = 0;

	assert_err(ERR_LEASE_NOT_FOUND, lease_grant(f->l, 0, 10, 0, &ttl));
	assert_err(ERR_LEASE_TTL_TOO_LARGE, lease_grant(f->l, 1, 9000000001, 0, &ttl));
	assert_ok(lease_grant(f->l, 1001, 600000, 0, &ttl));
	assert_int_equal(ttl, 600000);
	assert_err(ERR_LEASE_EXIST, lease_grant(f->l, 1001, 5, 0, &ttl));
	/* too large before exists, as upstream */
	assert_err(ERR_LEASE_TTL_TOO_LARGE, lease_grant(f->l, 1001, 9000000001, 0, &ttl));
	assert_ok(lease_grant(f->l, -9, -5, 0, &ttl));
	assert_int_equal(ttl, 2);
	assert_ok(lease_grant(f->l, 5, 9000000000, 0, &ttl));
	assert_int_equal(lease_count(f->l), 3);

	/* golden "leases": key 00000000000003e9, ID 1001, TTL 600000 */
	const uint8_t key[] = {0, 0, 0, 0, 0, 0, 3, 0xe9};
	const uint8_t row[] = {0x08, 0xe9, 0x07, 0x10, 0xc0, 0xcf, 0x24};
	struct store_map_row *r = store_map_find(&f->map, BUCKET_LEASE, slice_of(key, 8));

	assert_non_null(r);
	assert_true(slice_eq(buf_slice(&r->value), slice_of(row, sizeof(row))));

	struct lease_revoked gone;

	assert_ok(lease_revoke(f->l, 1001, &gone));
	assert_int_equal(gone.count, 0);
	lease_revoked_fini(&gone);
	assert_null(store_map_find(&f->map, BUCKET_LEASE, slice_of(key, 8)));
	assert_err(ERR_LEASE_NOT_FOUND, lease_revoke(f->l, 1001, &gone));
}

static void loading(void **state)
{
	struct fixture *f = *state;
	const uint8_t key[] = {0, 0, 0, 0, 0, 0, 3, 0xe9};
	const uint8_t row[] = {0x08, 0xe9, 0x07, 0x10, 0x01, 0x18, 0x07}; /* TTL 1, remaining 7 */
	struct lease_info info;

	assert_err(ERR_CORRUPT_FILE, lessor_load(f->l, slice_of(key, 7), slice_of(row, sizeof(row))));
	assert_err(ERR_CORRUPT_FILE, lessor_load(f->l, slice_of(key, 8), slice_of(row, 2)));
	assert_err(ERR_CORRUPT_FILE, lessor_load(f->l, SLICE_LIT("otherkey"), slice_of(row, sizeof(row))));
	assert_ok(lessor_load(f->l, slice_of(key, 8), slice_of(row, sizeof(row))));
	assert_ok(lease_get(f->l, 1001, 0, &info));
	assert_int_equal(info.ttl_s, 2);
	assert_int_equal(info.checkpoint_s, 7);
	assert_true(info.remaining_s == INT64_MAX);

	/* promotion: now + extension + remaining */
	lessor_promote(f->l, 100 * S, S);
	assert_ok(lease_get(f->l, 1001, 100 * S, &info));
	assert_int_equal(info.remaining_s, 8);
	lessor_clear(f->l);
	assert_int_equal(lease_count(f->l), 0);
	assert_false(lessor_is_primary(f->l));
}

static void attachments(void **state)
{
	struct fixture *f = *state;
	int64_t ttl;
	struct lease_revoked gone;

	assert_ok(lease_grant(f->l, 1, 10, 0, &ttl));
	assert_ok(lease_grant(f->l, 2, 10, 0, &ttl));
	lease_attach(f->l, 1, SLICE_LIT("b"));
	lease_attach(f->l, 1, SLICE_LIT("a"));
	lease_attach(f->l, 1, SLICE_LIT("ab"));
	lease_attach(f->l, 1, SLICE_LIT("a"));
	assert_int_equal(lease_key_count(f->l, 1), 3);
	lease_attach(f->l, 2, SLICE_LIT("b"));
	assert_int_equal(lease_of_key(f->l, SLICE_LIT("b")), 2);
	assert_int_equal(lease_key_count(f->l, 1), 2);
	lease_attach(f->l, 99, SLICE_LIT("b"));
	assert_int_equal(lease_of_key(f->l, SLICE_LIT("b")), 0);
	lease_attach(f->l, 1, SLICE_LIT(""));
	lease_attach(f->l, 1, SLICE_LIT("c"));
	lease_detach(f->l, SLICE_LIT("c"));
	lease_detach(f->l, SLICE_LIT("never"));
	lessor_check(f->l);

	assert_ok(lease_revoke(f->l, 1, &gone));
	assert_int_equal(gone.count, 3);
	assert_true(slice_eq(gone.keys[0], SLICE_LIT("")));
	assert_true(slice_eq(gone.keys[1], SLICE_LIT("a")));
	assert_true(slice_eq(gone.keys[2], SLICE_LIT("ab")));
	/* mvcc deletes them and says so: nothing is left to detach */
	for (size_t i = 0; i < gone.count; i++)
		lease_detach(f->l, gone.keys[i]);
	lease_revoked_fini(&gone);
}

static void renewing(void **state)
{
	struct fixture *f = *state;
	int64_t ttl, id;
	bool clear;
	struct lease_info info;
	struct lease_revoked gone;

	assert_ok(lease_grant(f->l, 1, 10, 0, &ttl));
	assert_err(ERR_NOT_PRIMARY_LESSOR, lease_renew(f->l, 1, 0, &ttl, &clear));
	lessor_promote(f->l, 0, 0);
	assert_err(ERR_LEASE_NOT_FOUND, lease_renew(f->l, 2, 0, &ttl, &clear));
	assert_ok(lease_renew(f->l, 1, 9 * S, &ttl, &clear));
	assert_int_equal(ttl, 10);
	assert_false(clear);
	assert_ok(lease_get(f->l, 1, 12 * S + S / 2, &info));
	assert_int_equal(info.remaining_s, 6);

	lessor_tick(f->l, 18 * S + S / 2);
	assert_false(lease_next_revoke(f->l, &id));
	assert_true(lessor_next_ns(f->l) == 19 * S);
	lessor_tick(f->l, 19 * S);
	assert_err(ERR_AGAIN, lease_renew(f->l, 1, 19 * S, &ttl, &clear));
	assert_ok(lease_get(f->l, 1, 20 * S + S / 2, &info));
	assert_int_equal(info.remaining_s, -1);
	assert_true(lease_next_revoke(f->l, &id));
	assert_int_equal(id, 1);
	assert_false(lease_next_revoke(f->l, &id));
	lease_revoke_ended(f->l);

	/* the proposal came to nothing: due again 3 s later, not before */
	lessor_tick(f->l, 21 * S + S / 2);
	assert_false(lease_next_revoke(f->l, &id));
	lessor_tick(f->l, 22 * S);
	assert_true(lease_next_revoke(f->l, &id));
	assert_ok(lease_revoke(f->l, 1, &gone));
	lease_revoked_fini(&gone);
	lease_revoke_ended(f->l);
	assert_true(lessor_next_ns(f->l) == LEASE_NEVER_NS);

	struct lease_stats st;

	lessor_stats(f->l, &st);
	assert_int_equal(st.expired, 1);
	assert_int_equal(st.renewed, 1);

	/* demoted: nothing expires, nothing is due */
	assert_ok(lease_grant(f->l, 3, 2, 30 * S, &ttl));
	lessor_tick(f->l, 40 * S);
	lessor_demote(f->l);
	assert_false(lease_next_revoke(f->l, &id));
	lessor_tick(f->l, 50 * S);
	assert_false(lease_next_revoke(f->l, &id));
}

static void a_hundred_thousand_at_once(void **state)
{
	struct lessor *l = lessor(&no_store, false);
	enum { COUNT = 100000 };
	int64_t ttl, id;
	size_t revoked = 0;
	uint64_t now = 0;

	for (int64_t i = 1; i <= COUNT; i++)
		assert_ok(lease_grant(l, i, 10, 0, &ttl));

	/* granted by a leader: all expire at once, at most 500 per half second become due, 16 at a time are out */
	lessor_promote(l, 0, 0);
	for (int64_t i = 1; i <= COUNT; i++) {
		bool clear;

		assert_ok(lease_renew(l, i, 0, &ttl, &clear));
	}
	for (now = 10 * S; revoked < COUNT && now < 1000 * S; now += S / 2) {
		size_t round = 0;

		lessor_tick(l, now);
		lessor_tick(l, now + 1);
		for (;;) {
			int64_t ids[LEASE_REVOKES_MAX + 1];
			size_t n = 0;

			while (n <= LEASE_REVOKES_MAX && lease_next_revoke(l, &id))
				ids[n++] = id;
			assert_true(n <= LEASE_REVOKES_MAX);
			if (!n)
				break;
			for (size_t i = 0; i < n; i++) {
				struct lease_revoked gone;

				assert_ok(lease_revoke(l, ids[i], &gone));
				lease_revoked_fini(&gone);
				lease_revoke_ended(l);
			}
			round += n;
		}
		assert_true(round <= LEASE_ROUND_MAX);
		revoked += round;
	}
	assert_int_equal(revoked, COUNT);
	assert_true(now <= (10 + COUNT / 1000 + 1) * S);
	lessor_check(l);
	lessor_free(l);
}

/* Proposals that hang do not let the list of due leases grow beyond one round. */
static void stuck_proposals(void **state)
{
	struct lessor *l = lessor(&no_store, false);
	int64_t ttl, id;
	size_t out = 0, more = 0;

	for (int64_t i = 1; i <= 5000; i++)
		assert_ok(lease_grant(l, i, 2, 0, &ttl));
	lessor_promote(l, 0, 0);
	for (uint64_t now = 0; now < 60 * S; now += S / 2) {
		lessor_tick(l, now);
		while (lease_next_revoke(l, &id))
			out++;
	}
	assert_int_equal(out, LEASE_REVOKES_MAX);
	for (size_t i = 0; i < LEASE_REVOKES_MAX; i++)
		lease_revoke_ended(l);
	while (lease_next_revoke(l, &id)) {
		more++;
		lease_revoke_ended(l);
	}
	assert_true(more <= LEASE_ROUND_MAX);
	lessor_check(l);
	lessor_free(l);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* In any second at most 750 leases expire, and none earlier than without spreading. */
static void promotion_spreads(void **state)
{
	static const struct {
		int count;
		int64_t ttl_spread;
		bool spread;
	} cases[] = {{1000, 1, false}, {1001, 1, true}, {5000, 1, true}, {5000, 3, true}, {20000, 60, true}};

	for (size_t c = 0; c < ARRAY_COUNT(cases); c++) {
		struct lessor *l = lessor(&no_store, false);
		uint64_t *at = NEW_ARRAY(uint64_t, cases[c].count);
		int64_t ttl;
		size_t most = 0;

		for (int64_t i = 1; i <= cases[c].count; i++)
			assert_ok(lease_grant(l, i, 10 + i % cases[c].ttl_spread, 0, &ttl));
		lessor_promote(l, 5 * S, S);
		for (int64_t i = 1; i <= cases[c].count; i++) {
			struct lease_info info;

			assert_ok(lease_get(l, i, 0, &info));
			assert_true(info.remaining_s >= 5 + 1 + info.ttl_s);
			at[i - 1] = (uint64_t)info.remaining_s;
		}
		qsort(at, (size_t)cases[c].count, sizeof(*at), compare_u64);
		for (size_t i = 0, from = 0; i < (size_t)cases[c].count; i++) {
			if (at[i] != at[from])
				from = i;
			most = MAX(most, i - from + 1);
		}
		assert_int_equal(most <= LEASE_EXPIRE_PER_S_MAX, cases[c].spread);
		mem_free(at);
		lessor_check(l);
		lessor_free(l);
	}
}

static void checkpoints(void **state)
{
	struct store_map map;
	struct lease_remaining due[LEASE_CHECKPOINT_MAX];
	struct lease_info info;
	int64_t ttl;
	bool clear;

	store_map_init(&map);

	struct lessor *l = lessor(&map.store, true);

	lessor_promote(l, 0, 0);
	assert_ok(lease_grant(l, 1, 1000, 0, &ttl));
	assert_ok(lease_grant(l, 2, 300, 0, &ttl)); /* not above five minutes: none */
	assert_int_equal(lease_take_checkpoints(l, 299 * S, due), 0);
	assert_int_equal(lease_take_checkpoints(l, 300 * S, due), 1);
	assert_int_equal(due[0].id, 1);
	assert_int_equal(due[0].remaining_s, 700);
	assert_int_equal(lease_take_checkpoints(l, 300 * S, due), 0);

	size_t writes = map.writes;

	lease_checkpoint(l, 99, 5, true, 300 * S);
	lease_checkpoint(l, 1, 700, false, 300 * S);
	assert_int_equal(map.writes, writes);
	lease_checkpoint(l, 1, 700, true, 300 * S);
	assert_int_equal(map.writes, writes + 1);
	/* the next one in five minutes more */
	assert_int_equal(lease_take_checkpoints(l, 599 * S, due), 0);
	assert_int_equal(lease_take_checkpoints(l, 600 * S, due), 1);
	assert_int_equal(due[0].remaining_s, 400);

	/* a renewal clears what is stored first */
	assert_ok(lease_renew(l, 1, 600 * S, &ttl, &clear));
	assert_true(clear);
	assert_ok(lease_get(l, 1, 600 * S, &info));
	assert_int_equal(info.remaining_s, 400);
	lease_checkpoint(l, 1, 0, true, 600 * S);
	assert_ok(lease_renew(l, 1, 600 * S, &ttl, &clear));
	assert_false(clear);
	assert_ok(lease_get(l, 1, 600 * S, &info));
	assert_int_equal(info.remaining_s, 1000);

	/* never more than fits in one entry */
	for (int64_t i = 10; i < 10 + 2500; i++)
		assert_ok(lease_grant(l, i, 1000, 600 * S, &ttl));
	assert_int_equal(lease_take_checkpoints(l, 1500 * S, due), LEASE_CHECKPOINT_MAX);
	lessor_check(l);
	lessor_free(l);
	store_map_fini(&map);
}

static void answers(void **state)
{
	struct fixture *f = *state;
	int64_t ttl, *ids;
	struct buf b;

	buf_init(&b, 1000);
	lease_ttl_encode(f->l, 5, 0, true, &b);
	const uint8_t unknown[] = {0x10, 5, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	assert_true(slice_eq(buf_slice(&b), slice_of(unknown, sizeof(unknown))));

	lessor_promote(f->l, 0, 0);
	assert_ok(lease_grant(f->l, 5, 100, 0, &ttl));
	assert_ok(lease_grant(f->l, 7, 50, 0, &ttl));
	assert_ok(lease_grant(f->l, 6, 50, 0, &ttl));
	lease_attach(f->l, 5, SLICE_LIT("k"));
	buf_clear(&b);
	lease_ttl_encode(f->l, 5, S / 2, true, &b);
	const uint8_t known[] = {0x10, 5, 0x18, 99, 0x20, 100, 0x2a, 1, 'k'};
	assert_true(slice_eq(buf_slice(&b), slice_of(known, sizeof(known))));

	assert_int_equal(lease_list(f->l, &ids), 3);
	assert_true(ids[0] == 6 && ids[1] == 7 && ids[2] == 5);
	mem_free(ids);
	buf_clear(&b);
	lease_list_encode(f->l, &b);
	const uint8_t list[] = {0x12, 2, 8, 6, 0x12, 2, 8, 7, 0x12, 2, 8, 5};
	assert_true(slice_eq(buf_slice(&b), slice_of(list, sizeof(list))));
	buf_fini(&b);
}

/* Random grants, revokes, attaches and detaches against arrays. */
static void model(void **state)
{
	enum { KEYS = 200, LEASES = 40, STEPS = 40000 };
	static int64_t owner[KEYS];
	static bool granted[LEASES + 1];
	struct lessor *l = lessor(&no_store, false);
	struct rng r;
	char name[16];

	memset(owner, 0, sizeof(owner));
	memset(granted, 0, sizeof(granted));
	rng_init(&r, 42);
	for (int step = 0; step < STEPS; step++) {
		int64_t id = 1 + (int64_t)rng_below(&r, LEASES), ttl;
		size_t k = rng_below(&r, KEYS);
		struct slice key = slice_of(name, (size_t)snprintf(name, sizeof(name), "key%zu", k));
		struct lease_revoked gone;

		switch (rng_below(&r, 10)) {
		case 0:
			assert_int_equal(lease_grant(l, id, 5, 0, &ttl), granted[id] ? ERR_LEASE_EXIST : OK);
			granted[id] = true;
			break;
		case 1:
			if (rng_below(&r, 4))
				break;
			assert_int_equal(lease_revoke(l, id, &gone), granted[id] ? OK : ERR_LEASE_NOT_FOUND);
			if (!granted[id])
				break;
			size_t want = 0;

			for (size_t i = 0; i < KEYS; i++)
				if (owner[i] == id) {
					want++;
					owner[i] = 0;
				}
			assert_int_equal(gone.count, want);
			for (size_t i = 1; i < gone.count; i++)
				assert_true(slice_cmp(gone.keys[i - 1], gone.keys[i]) < 0);
			lease_revoked_fini(&gone);
			granted[id] = false;
			break;
		case 2:
		case 3:
			lease_detach(l, key);
			owner[k] = 0;
			break;
		default:
			lease_attach(l, id, key);
			owner[k] = granted[id] ? id : 0;
		}
		assert_int_equal(lease_of_key(l, key), owner[k]);
		if (step % 500 == 0)
			lessor_check(l);
	}
	lessor_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minimum),
		cmocka_unit_test_setup_teardown(grant_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(loading, setup, teardown),
		cmocka_unit_test_setup_teardown(attachments, setup, teardown),
		cmocka_unit_test_setup_teardown(renewing, setup, teardown),
		cmocka_unit_test(a_hundred_thousand_at_once),
		cmocka_unit_test(stuck_proposals),
		cmocka_unit_test(promotion_spreads),
		cmocka_unit_test(checkpoints),
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
