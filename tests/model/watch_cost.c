/* Figures for docs: what matching and delivering cost, and what a watcher and a lease weigh. Not a test; run by hand.
 */
#include <malloc.h>
#include <time.h>

#include "../unit/watch/watch_test.h"
#include "lease/lease.h"

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double heap_bytes(void)
{
	struct mallinfo2 i = mallinfo2();

	return (double)i.uordblks + (double)i.hblkhd;
}

enum shape { SHAPE_KEYS, SHAPE_PREFIXES, SHAPE_ONE_PREFIX };

/* One event of 256 bytes; its key is that of watcher i. */
static void apply(struct watch_hub *h, int64_t rev, size_t i)
{
	static uint8_t value[256];
	uint8_t bytes[400];
	char key[32];
	struct kv kv = {
		.key = slice_of(key, (size_t)snprintf(key, sizeof(key), "/registry/%08zu", i)),
		.create_rev = 2,
		.mod_rev = rev,
		.version = rev,
		.value = slice_of(value, sizeof(value)),
	};
	struct mvcc_event e = {.type = EVENT_PUT, .rev = {rev, 0}, .create_rev = 2, .key = kv.key};

	e.kv = slice_of(bytes, (size_t)(kv_write(&kv, bytes) - bytes));
	watch_apply(h, &e, 1);
}

static void match_cost(size_t watchers, enum shape shape)
{
	static const char *names[] = {"single keys", "distinct ranges", "one shared range"};
	struct watch_hub *h = watch_hub_new(
	    &(struct watch_config){.port_count = 1, .stream_items_max = SIZE_MAX, .stream_bytes_max = SIZE_MAX});
	double before = heap_bytes(), bytes, t0;
	struct watch_stream *s = NULL;
	struct watch_stats st;
	size_t events = shape == SHAPE_ONE_PREFIX ? 2000000 / watchers : 200000;
	int64_t rev = 1;

	watch_reset(h, 1, -1);
	for (size_t i = 0; i < watchers; i++) {
		char key[32], end[32];

		if (i % 100 == 0)
			s = watch_stream_open(h, 0, h, 0);
		snprintf(key, sizeof(key), shape == SHAPE_ONE_PREFIX ? "/registry/" : "/registry/%08zu", i);
		snprintf(end, sizeof(end), shape == SHAPE_ONE_PREFIX ? "/registry0" : "/registry/%08zu", i + 1);

		struct watch_req r = create_req(key, shape == SHAPE_KEYS ? "" : end, 0);

		watch_create(h, s, &r, OK);
	}
	watch_batch_free(watch_take(h, 0));
	bytes = heap_bytes() - before;
	t0 = now_s();
	for (size_t i = 0; i < events; i++) {
		apply(h, ++rev, (i * 7919) % watchers);
		if (i % 64 == 0)
			watch_batch_free(watch_take(h, 0));
	}
	t0 = now_s() - t0;
	watch_batch_free(watch_take(h, 0));
	watch_stats(h, &st);
	printf("%7zu watchers, %-16s  %8.0f ns an event, %6.1f ns a delivery, %4.0f bytes a watcher\n", watchers,
	       names[shape], t0 * 1e9 / (double)events, t0 * 1e9 / (double)st.events, bytes / (double)watchers);
	watch_hub_free(h);
}

static void nothing(void *arg, enum backend_bucket b, struct slice key, struct slice value)
{
}

static void nothing_del(void *arg, enum backend_bucket b, struct slice key)
{
}

static void lease_cost(void)
{
	static const struct store store = {NULL, nothing, nothing_del};
	enum { LEASES = 100000, KEYS = 10 };
	struct lessor *l = lessor_new(&(struct lessor_config){.store = &store, .ttl_s_min = 2});
	double at = heap_bytes(), leases, keys, t0 = now_s(), t1;
	int64_t ttl, id;
	size_t n = 0;

	lessor_promote(l, 0, 0);
	for (int64_t i = 1; i <= LEASES; i++)
		if (lease_grant(l, i, 10, 0, &ttl))
			abort();
	leases = heap_bytes() - at;
	at += leases;
	t1 = now_s();
	printf("%d leases: %.0f ns a grant, %.0f bytes a lease\n", LEASES, (t1 - t0) * 1e9 / LEASES, leases / LEASES);
	for (int64_t i = 0; i < LEASES * KEYS; i++) {
		char key[32];
		struct slice k =
		    slice_of(key, (size_t)snprintf(key, sizeof(key), "/registry/events/%08lld", (long long)i));

		lease_attach(l, 1 + i % LEASES, k);
	}
	keys = heap_bytes() - at;
	t0 = now_s();
	printf("%d attached keys of 25 bytes: %.0f ns an attach, %.0f bytes a key\n", LEASES * KEYS,
	       (t0 - t1) * 1e9 / (LEASES * KEYS), keys / (LEASES * KEYS));
	t0 = now_s();
	lessor_tick(l, 20000000000);
	t1 = now_s();
	while (lease_next_revoke(l, &id)) {
		struct lease_revoked gone;

		if (lease_revoke(l, id, &gone))
			abort();
		lease_revoked_fini(&gone);
		lease_revoke_ended(l);
		n++;
	}
	printf("%d expired at once: a round takes %.0f us, its %zu revocations %.1f us each (10 keys, without mvcc)\n",
	       LEASES, (t1 - t0) * 1e6, n, (now_s() - t1) * 1e6 / (double)n);
	lessor_free(l);
}

int main(void)
{
	static const size_t counts[] = {1, 1000, 100000};

	for (int shape = SHAPE_KEYS; shape <= SHAPE_ONE_PREFIX; shape++)
		for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
			match_cost(counts[i], (enum shape)shape);
	lease_cost();
	return 0;
}
