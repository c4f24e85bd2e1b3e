/* Two proxies on one prefix and the cluster between them, as steps in random order: a request reaches the cluster late or never, its
 * answer comes late or never, events come late, sessions end. A kept answer must be what the cluster has at that moment. */
#include "base/rng.h"
#include "proxy/leasing_cache.h"
#include "tests/lib/test.h"

enum { KEYS = 3, OPS = 8, EVENTS = 64, STEPS = 300000 };

enum op_kind { OP_FREE, OP_ACQUIRE, OP_WRITE, OP_WRITE_ALL, OP_RELEASE };
enum op_state { SENT, DONE, LOST }; /* lost: its proxy has given up, the cluster may still do it */

struct op {
	enum op_kind kind;
	enum op_state state;
	unsigned key;
	int64_t session, guard, revision;
	int64_t value;
	bool is_new, is_ours, succeeded;
	struct leasing_write range;
};

struct event {
	unsigned key;
	int64_t revision;
};

struct site {
	struct leasing_cache cache;
	int64_t session;
	struct op ops[OPS];
	struct event events[EVENTS];
	unsigned event_count;
};

static struct {
	int64_t revision, value[KEYS];
	int64_t created[KEYS], session[KEYS]; /* of the leasing keys; created 0: none */
	int64_t sessions;
} cluster;

static struct site sites[2];
static struct rng rng;
static uint64_t hits, writes, kept_out;

static struct slice key_of(unsigned k)
{
	static const char names[] = "abc";

	return slice_of(names + k, 1);
}

/* Both watch all leasing keys. */
static void tell(unsigned key)
{
	for (unsigned i = 0; i < 2; i++) {
		ASSERT(sites[i].event_count < EVENTS);
		sites[i].events[sites[i].event_count++] = (struct event){key, cluster.revision};
	}
}

static void leasing_key_gone(unsigned key)
{
	cluster.revision++;
	cluster.created[key] = 0;
	tell(key);
}

static struct op *op_new(struct site *s, enum op_kind kind, unsigned key)
{
	for (unsigned i = 0; i < OPS; i++)
		if (s->ops[i].kind == OP_FREE) {
			s->ops[i] = (struct op){.kind = kind, .key = key, .session = s->session};
			return &s->ops[i];
		}
	return NULL;
}

static bool has_room(const struct site *s, unsigned count)
{
	for (unsigned i = 0; i < OPS; i++)
		if (s->ops[i].kind == OP_FREE && --count == 0)
			return true;
	return false;
}

static void release(struct site *s, unsigned key)
{
	struct op *o;

	if (s->session && has_room(s, 1) && leasing_release(&s->cache, key_of(key))) {
		o = op_new(s, OP_RELEASE, key);
		o->session = s->session;
	}
}

/* ---- the cluster ---- */

static bool guarded(const struct op *o, unsigned key)
{
	return cluster.created[key] <= o->guard;
}

static void write_key(unsigned key)
{
	cluster.value[key] = ++cluster.revision;
	writes++;
}

static bool is_alive(int64_t session)
{
	return session && (session == sites[0].session || session == sites[1].session);
}

static void do_op(struct op *o)
{
	unsigned k = o->key;

	switch (o->kind) {
	case OP_ACQUIRE:
		o->value = cluster.value[k];
		if (!cluster.created[k] && is_alive(o->session)) {
			cluster.created[k] = ++cluster.revision;
			cluster.session[k] = o->session;
			o->is_new = true;
		} else {
			o->is_ours = cluster.created[k] && cluster.session[k] == o->session;
		}
		break;
	case OP_WRITE:
		o->succeeded = guarded(o, k);
		if (o->succeeded)
			write_key(k);
		else
			tell(k); /* "REVOKE" */
		break;
	case OP_WRITE_ALL:
		o->succeeded = true;
		for (k = 0; k < KEYS; k++)
			o->succeeded &= guarded(o, k);
		for (k = 0; k < KEYS && o->succeeded; k++)
			write_key(k);
		break;
	case OP_RELEASE:
		if (cluster.created[k] && cluster.session[k] == o->session)
			leasing_key_gone(k);
		break;
	case OP_FREE: UNREACHABLE();
	}
	o->revision = cluster.revision;
	if (o->state == LOST)
		o->kind = OP_FREE;
	else
		o->state = DONE;
}

/* ---- a proxy ---- */

static void write_over(struct site *s, struct op *o, bool known)
{
	struct slice key;

	if (o->kind == OP_WRITE_ALL) {
		while (!known && s->session && leasing_owned_in(&s->cache, o->range.key, o->range.range_end, &key) && has_room(s, 1))
			release(s, (unsigned)(key.data[0] - 'a'));
		leasing_range_end(&o->range);
	} else {
		if (!known && leasing_owns(&s->cache, key_of(o->key)))
			release(s, o->key);
		leasing_write_end(&s->cache, key_of(o->key));
	}
}

static void answered(struct site *s, struct op *o)
{
	bool same = o->session == s->session;

	if (o->kind == OP_ACQUIRE && leasing_acquired(&s->cache, key_of(o->key), o->revision, same && o->is_new, same && o->is_ours, true,
						      SLICE_LIT("header"), slice_of(&o->value, sizeof(o->value))))
		release(s, o->key);
	else if (o->kind == OP_WRITE || o->kind == OP_WRITE_ALL)
		write_over(s, o, true);
	else if (o->kind == OP_RELEASE)
		leasing_released(&s->cache, key_of(o->key));
	o->kind = OP_FREE;
}

static void given_up(struct site *s, struct op *o)
{
	if (o->kind == OP_RELEASE || !has_room(s, KEYS))
		return; /* asked for again until it is answered */
	if (o->kind == OP_ACQUIRE) {
		leasing_acquire_failed(&s->cache, key_of(o->key));
		if (o->session == s->session)
			release(s, o->key);
	} else {
		write_over(s, o, false);
	}
	if (o->state == DONE)
		o->kind = OP_FREE;
	else
		o->state = LOST;
}

static void op_step(struct site *s)
{
	struct op *o = &s->ops[rng_below(&rng, OPS)];

	if (o->kind == OP_FREE)
		return;
	if (o->state == LOST || (o->state == SENT && rng_below(&rng, 4)))
		do_op(o);
	else if (o->state == DONE && rng_below(&rng, 8))
		answered(s, o);
	else
		given_up(s, o);
}

static void read_key(struct site *s, unsigned k)
{
	struct slice header, kv;
	bool may = s->session && has_room(s, 1);

	switch (leasing_read(&s->cache, key_of(k), LEASING_BACKOFF_MS, may, &header, &kv)) {
	case LEASING_ACQUIRE: op_new(s, OP_ACQUIRE, k); break;
	case LEASING_HIT:
		hits++;
		assert_true(slice_eq(header, SLICE_LIT("header")));
		assert_int_equal(kv.size, sizeof(int64_t));
		assert_int_equal(*(const int64_t *)(const void *)memcpy(&(int64_t){0}, kv.data, kv.size), cluster.value[k]);
		break;
	case LEASING_PASS: break;
	}
}

static void write(struct site *s, unsigned k)
{
	struct op *o = op_new(s, rng_below(&rng, 5) ? OP_WRITE : OP_WRITE_ALL, k);

	if (!o)
		return;
	if (o->kind == OP_WRITE) {
		o->guard = leasing_write_begin(&s->cache, key_of(k));
		return;
	}
	/* What there is now, and only if it is ours. */
	for (unsigned i = 0; i < KEYS; i++) {
		if (cluster.created[i] && !leasing_owns(&s->cache, key_of(i))) {
			o->kind = OP_FREE;
			kept_out++;
			return;
		}
		o->guard = MAX(o->guard, cluster.created[i]);
	}
	o->range = (struct leasing_write){.key = SLICE_LIT("a"), .range_end = slice_of("", 1)};
	leasing_range_begin(&s->cache, &o->range);
}

static void next_event(struct site *s)
{
	struct event e = s->events[0];

	if (!s->event_count)
		return;
	memmove(s->events, s->events + 1, --s->event_count * sizeof(e));
	if (leasing_lost(&s->cache, key_of(e.key), e.revision, 0) && cluster.created[e.key] && cluster.session[e.key] == s->session)
		release(s, e.key);
}

static void session_step(struct site *s)
{
	int64_t gone = s->session;

	leasing_lose_all(&s->cache);
	s->session = rng_below(&rng, 2) ? ++cluster.sessions : 0;
	for (unsigned k = 0; k < KEYS; k++)
		if (cluster.created[k] && cluster.session[k] == gone)
			leasing_key_gone(k);
}

static void run(uint64_t seed)
{
	rng_init(&rng, seed);
	memset(&cluster, 0, sizeof(cluster));
	cluster.revision = 1;
	for (unsigned i = 0; i < 2; i++) {
		sites[i] = (struct site){.session = ++cluster.sessions};
		leasing_cache_init(&sites[i].cache);
	}
	for (unsigned i = 0; i < STEPS; i++) {
		struct site *s = &sites[rng_below(&rng, 2)];
		unsigned k = (unsigned)rng_below(&rng, KEYS), dice = (unsigned)rng_below(&rng, 10000);

		while (s->event_count > EVENTS / 2 || sites[0].event_count > EVENTS / 2 || sites[1].event_count > EVENTS / 2) {
			next_event(&sites[0]);
			next_event(&sites[1]);
		}
		if (dice < 5)
			session_step(s);
		else if (dice < 4000)
			read_key(s, k);
		else if (dice < 4150)
			write(s, k);
		else if (dice < 6000)
			next_event(s);
		else
			op_step(s);
	}
	for (unsigned i = 0; i < 2; i++)
		leasing_cache_fini(&sites[i].cache);
}

static void test_model(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++)
		run(seed);
	print_message("%llu hits, %llu writes, %llu intervals kept out\n", (unsigned long long)hits, (unsigned long long)writes,
		      (unsigned long long)kept_out);
	assert_true(hits > 10000 && writes > 10000 && kept_out > 100);
}

static void test_bounds(void **state)
{
	static char name[16];
	struct leasing_cache c;
	struct slice header, kv, out;
	uint64_t released = 0;

	leasing_cache_init(&c);
	for (unsigned i = 0; i < LEASING_KEYS_MAX + 100; i++) {
		struct slice key = slice_of(name, (size_t)snprintf(name, sizeof(name), "%u", i));

		assert_int_equal(leasing_read(&c, key, 0, true, &header, &kv), LEASING_ACQUIRE);
		assert_false(leasing_acquired(&c, key, i + 1, true, false, true, SLICE_LIT("h"), SLICE_LIT("kv")));
		assert_int_equal(leasing_read(&c, slice_str("0"), 0, true, &header, &kv), LEASING_HIT); /* always used */
		while (leasing_victim(&c, &out)) {
			assert_true(leasing_release(&c, out));
			leasing_released(&c, out);
			released++;
		}
	}
	assert_int_equal(released, 100);
	assert_int_equal(c.keys.count, LEASING_KEYS_MAX);
	assert_int_equal(c.bytes, LEASING_KEYS_MAX * 3);
	assert_int_equal(leasing_read(&c, slice_str("1"), 0, false, &header, &kv), LEASING_PASS);
	leasing_cache_fini(&c);
}

static void test_backoff(void **state)
{
	struct leasing_cache c;
	struct slice header, kv, key = SLICE_LIT("k");

	leasing_cache_init(&c);
	assert_int_equal(leasing_read(&c, key, 0, true, &header, &kv), LEASING_ACQUIRE);
	assert_int_equal(leasing_read(&c, key, 0, true, &header, &kv), LEASING_PASS); /* one at a time */
	assert_false(leasing_acquired(&c, key, 5, true, false, true, SLICE_LIT("h"), SLICE_LIT("kv")));
	assert_false(leasing_lost(&c, key, 4, 10)); /* of an earlier life */
	assert_int_equal(leasing_read(&c, key, 10, true, &header, &kv), LEASING_HIT);
	assert_true(leasing_lost(&c, key, 6, 10));
	assert_int_equal(leasing_read(&c, key, 9 + LEASING_BACKOFF_MS, true, &header, &kv), LEASING_PASS);
	assert_int_equal(leasing_read(&c, key, 10 + LEASING_BACKOFF_MS, true, &header, &kv), LEASING_ACQUIRE);
	leasing_acquire_failed(&c, key);
	leasing_cache_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
