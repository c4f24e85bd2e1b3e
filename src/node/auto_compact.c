#include "node/auto_compact.h"

#include "base/assert.h"

#define NS_PER_HOUR UINT64_C(3600000000000)
#define REVISION_INTERVAL_NS (UINT64_C(300) * 1000000000)

enum { TURNS_PER_PERIOD = 10 };

static void note(struct auto_compact *a, int64_t rev)
{
	if (a->mode != AUTO_COMPACT_PERIODIC)
		return;
	VEC_PUSH(&a->revs, rev);
	if (a->revs.count - a->first > a->keep)
		a->first++;
	if (a->first > 64 && a->first > a->revs.count / 2) {    /* what fell out gives its room back */
		a->revs.count -= a->first;
		memmove(a->revs.at, a->revs.at + a->first, a->revs.count * sizeof(a->revs.at[0]));
		a->first = 0;
	}
}

void auto_compact_start(struct auto_compact *a, enum auto_compact_mode mode, int64_t retention, uint64_t now_ns, int64_t rev)
{
	uint64_t turn = MIN((uint64_t)retention, NS_PER_HOUR);

	ASSERT(retention > 0 || mode == AUTO_COMPACT_OFF);
	*a = (struct auto_compact){.mode = mode, .retention = retention, .last_ns = now_ns};
	a->interval_ns = mode == AUTO_COMPACT_PERIODIC ? MAX(turn / TURNS_PER_PERIOD, 1) : REVISION_INTERVAL_NS;
	a->least_ns = (uint64_t)retention;
	a->keep = (size_t)((uint64_t)retention / a->interval_ns) + 1;
	a->next_ns = now_ns + a->interval_ns;
	note(a, rev);
}

void auto_compact_fini(struct auto_compact *a)
{
	VEC_FREE(&a->revs);
}

/* 0: not this time. */
static int64_t periodic_turn(struct auto_compact *a, uint64_t now_ns)
{
	int64_t rev = a->revs.at[a->first];

	if (now_ns - a->last_ns < a->least_ns || rev == a->last_rev)
		return 0;
	a->least_ns = MIN((uint64_t)a->retention, NS_PER_HOUR);         /* only the first one waits for the whole period */
	return rev;
}

static int64_t revision_turn(const struct auto_compact *a, int64_t rev)
{
	int64_t target = rev - a->retention;

	return target <= 0 || target == a->last_rev ? 0 : target;
}

int64_t auto_compact_step(struct auto_compact *a, uint64_t now_ns, int64_t rev, bool leads)
{
	int64_t target = 0;

	if (a->mode == AUTO_COMPACT_OFF || a->busy || now_ns < a->next_ns)
		return 0;
	if (leads)
		target = a->mode == AUTO_COMPACT_PERIODIC ? periodic_turn(a, now_ns) : revision_turn(a, rev);
	if (target > 0) {
		a->busy = true;
		a->rev = target;
		return target;
	}
	a->next_ns = now_ns + a->interval_ns;
	note(a, rev);
	return 0;
}

void auto_compact_done(struct auto_compact *a, uint64_t now_ns, int64_t rev, bool success)
{
	ASSERT(a->busy);
	a->busy = false;
	if (success) {
		a->last_rev = a->rev;
		a->last_ns = now_ns;
	}
	a->next_ns = now_ns + a->interval_ns;
	note(a, rev);
}
