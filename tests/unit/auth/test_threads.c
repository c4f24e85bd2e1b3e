/* Readers look tokens up and check permissions in views while core changes both: for TSan, and for what a reader may never see. */
#include <pthread.h>
#include <stdatomic.h>

#include "../../lib/store_map.h"
#include "../../lib/test.h"
#include "auth/auth.h"
#include "auth/token.h"

enum { READERS = 2, TOKENS = 64, CHANGES = 4000 };

struct world {
	struct epoch_domain *epoch;
	struct tokens *tokens;
	_Atomic(struct auth_view *) published;
	_Atomic bool end;
	_Atomic unsigned found;
};

static void token_text(unsigned i, char out[32])
{
	snprintf(out, 32, "t%u.%u", i % TOKENS, i % TOKENS);
}

/* Each token is the user's of its number; each view lets its users read [a, b) or nothing, and its revision says which. */
static void *reader(void *arg)
{
	struct world *w = arg;
	unsigned i = 0;

	while (!atomic_load(&w->end)) {
		char text[32], want[32];
		struct slice user;
		const struct auth_state *s;
		struct auth_id id = {SLICE_LIT("u"), UINT64_MAX};

		token_text(i++, text);
		snprintf(want, sizeof(want), "user%u", (i - 1) % TOKENS);
		epoch_enter(w->epoch);
		if (tokens_find(w->tokens, slice_str(text), 1, &user)) {
			ASSERT(slice_eq(user, slice_str(want)));
			atomic_fetch_add(&w->found, 1);
		}
		s = auth_view_state(atomic_load(&w->published));
		ASSERT((auth_check_range(s, &id, SLICE_LIT("a"), SLICE_LIT("b"), AUTH_READ) == OK) == (s->revision % 2 == 0));
		epoch_leave(w->epoch);
	}
	return NULL;
}

static void view_free(void *v)
{
	auth_view_unref(v);
}

static void publish(struct world *w, struct auth *a)
{
	struct auth_view *old = atomic_exchange(&w->published, auth_view(a));

	if (old)
		epoch_retire(w->epoch, old, view_free);
	epoch_reclaim(w->epoch);
}

static struct auth *store_new(struct store_map *m)
{
	struct auth *a;

	store_map_init(m);
	a = auth_new(&m->store);
	auth_loaded(a);
	assert_ok(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("root")}));
	assert_ok(auth_user_grant(a, SLICE_LIT("root"), SLICE_LIT("root")));
	assert_ok(auth_user_add(a, &(struct auth_new_user){.name = SLICE_LIT("u")}));
	assert_ok(auth_role_add(a, SLICE_LIT("r")));
	assert_ok(auth_user_grant(a, SLICE_LIT("u"), SLICE_LIT("r")));
	assert_ok(auth_role_add(a, SLICE_LIT("spare")));        /* so that a view with the right has an even revision */
	assert_ok(auth_enable(a));
	assert_int_equal(auth_state(a)->revision % 2, 1);
	return a;
}

static void readers_beside_core(void **state)
{
	struct auth_permission p = {.key = SLICE_LIT("a"), .range_end = SLICE_LIT("b")};
	struct world w = {.epoch = epoch_domain_new()};
	struct store_map m;
	struct auth *a = store_new(&m);
	pthread_t threads[READERS];

	w.tokens = tokens_new(w.epoch, 1000000000, 1);
	tokens_enable(w.tokens);
	publish(&w, a);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &w), 0);
	for (unsigned i = 0; i < CHANGES || !atomic_load(&w.found); i++) {        /* till readers have met it */
		char text[32], name[32], *dot;

		token_text(i, text);
		dot = strchr(text, '.');
		snprintf(name, sizeof(name), "user%u", i % TOKENS);
		tokens_add(w.tokens, slice_str(name), slice_of(text, (size_t)(dot - text)), i % TOKENS, 1, NULL);
		if (i % 3 == 0)
			tokens_drop_user(w.tokens, slice_str(name));
		if (i % 2 == 0)
			assert_ok(auth_role_grant(a, SLICE_LIT("r"), &p));
		else
			assert_ok(auth_role_revoke(a, SLICE_LIT("r"), p.key, p.range_end));
		publish(&w, a);
	}
	atomic_store(&w.end, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(w.found > 0);
	auth_view_unref(w.published);
	auth_free(a);
	while (epoch_reclaim(w.epoch))
		;
	tokens_free(w.tokens);
	epoch_domain_free(w.epoch);
	store_map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(readers_beside_core)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
