/* Time: who expires when, and at which pace they are revoked.
 *
 *	heap of expiries --(round: at most 500, each re-timed to now + 3 s)--> due list --(at most 16 out)--> proposals
 *
 * A lease leaves heap and list when its revocation is applied; until then it comes back every 3 s. */
#include "lease/lease_inl.h"

/* ---- heap ---- */

static bool before(const struct lease_heap *h, const struct lease *a, const struct lease *b)
{
	uint64_t x = a->at_ns[h->clock], y = b->at_ns[h->clock];

	return x != y ? x < y : a->id < b->id;
}

static void place(struct lease_heap *h, size_t at, struct lease *le)
{
	h->list.at[at] = le;
	le->pos[h->clock] = (uint32_t)at + 1;
}

static void sift_up(struct lease_heap *h, size_t at, struct lease *le)
{
	while (at && before(h, le, h->list.at[(at - 1) / 2])) {
		place(h, at, h->list.at[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(h, at, le);
}

static void sift_down(struct lease_heap *h, size_t at, struct lease *le)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < h->list.count && before(h, h->list.at[child + 1], h->list.at[child]))
			child++;
		if (child >= h->list.count || !before(h, h->list.at[child], le))
			break;
		place(h, at, h->list.at[child]);
		at = child;
	}
	place(h, at, le);
}

static void settle(struct lease_heap *h, size_t at, struct lease *le)
{
	if (at && before(h, le, h->list.at[(at - 1) / 2]))
		sift_up(h, at, le);
	else
		sift_down(h, at, le);
}

void heap_put(struct lessor *l, enum lease_clock c, struct lease *le, uint64_t at_ns)
{
	struct lease_heap *h = &l->heaps[c];

	le->at_ns[c] = at_ns;
	if (le->pos[c]) {
		settle(h, le->pos[c] - 1, le);
		return;
	}
	VEC_PUSH(&h->list, le);
	sift_up(h, h->list.count - 1, le);
}

void heap_remove(struct lessor *l, enum lease_clock c, struct lease *le)
{
	struct lease_heap *h = &l->heaps[c];

	if (!le->pos[c])
		return;

	size_t at = le->pos[c] - 1;
	struct lease *last = h->list.at[--h->list.count];

	le->pos[c] = 0;
	if (last != le)
		settle(h, at, last);
}

static struct lease *heap_due(const struct lessor *l, enum lease_clock c, uint64_t now_ns)
{
	const struct lease_heap *h = &l->heaps[c];

	return h->list.count && h->list.at[0]->at_ns[c] <= now_ns ? h->list.at[0] : NULL;
}

/* ---- one lease ---- */

static void set_due(struct lessor *l, struct lease *le, bool due)
{
	if (due == !list_empty(&le->due))
		return;
	if (due) {
		list_push_back(&l->due, &le->due);
		l->due_count++;
	} else {
		list_remove(&le->due);
		l->due_count--;
	}
}

static uint64_t left_ns(const struct lease *le)
{
	return (uint64_t)(le->remaining_s > 0 ? le->remaining_s : le->ttl_s) * 1000000000;
}

void lease_restart(struct lessor *l, struct lease *le, uint64_t now_ns, uint64_t extend_ns)
{
	ASSERT(l->primary);
	le->expiry_ns = now_ns + extend_ns + left_ns(le);
	set_due(l, le, false);
	heap_put(l, CLOCK_EXPIRY, le, le->expiry_ns);
}

void lease_schedule_checkpoint(struct lessor *l, struct lease *le, uint64_t now_ns)
{
	if (l->cfg.checkpoints && left_ns(le) > l->cfg.checkpoint_ns)
		heap_put(l, CLOCK_CHECKPOINT, le, now_ns + l->cfg.checkpoint_ns);
}

void lease_unschedule(struct lessor *l, struct lease *le)
{
	set_due(l, le, false);
	for (int c = 0; c < CLOCK_COUNT; c++)
		heap_remove(l, (enum lease_clock)c, le);
}

err_t lease_renew(struct lessor *l, int64_t id, uint64_t now_ns, int64_t *ttl_s_out, bool *clear_checkpoint)
{
	struct lease *le = lessor_find(l, id);

	if (!l->primary)
		return ERR_NOT_PRIMARY_LESSOR;
	if (!le)
		return ERR_LEASE_NOT_FOUND;
	if (le->expiry_ns <= now_ns)
		return ERR_AGAIN;
	*clear_checkpoint = le->remaining_s > 0;
	*ttl_s_out = le->ttl_s;
	if (*clear_checkpoint)
		return OK;
	lease_restart(l, le, now_ns, 0);
	l->renewed++;
	return OK;
}

/* ---- leadership ---- */

static int compare_leases(const void *a, const void *b)
{
	const struct lease *x = *(struct lease *const *)a, *y = *(struct lease *const *)b;

	if (x->expiry_ns != y->expiry_ns)
		return x->expiry_ns < y->expiry_ns ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* Each lease at least a second behind the one 750 places before it: no second sees more than 750 of them. */
static void spread(struct lessor *l)
{
	struct lease **all = mem_alloc((l->leases.count + 1) * sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < l->leases.room; i++)
		if (l->leases.at[i])
			all[n++] = l->leases.at[i];
	qsort(all, n, sizeof(*all), compare_leases);
	for (size_t i = LEASE_EXPIRE_PER_S_MAX; i < n; i++) {
		uint64_t least = all[i - LEASE_EXPIRE_PER_S_MAX]->expiry_ns + 1000000000;

		if (all[i]->expiry_ns < least) {
			all[i]->expiry_ns = least;
			heap_put(l, CLOCK_EXPIRY, all[i], least);
		}
	}
	mem_free(all);
}

void lessor_promote(struct lessor *l, uint64_t now_ns, uint64_t extend_ns)
{
	l->primary = true;
	l->round_ns = now_ns;
	for (size_t i = 0; i < l->leases.room; i++) {
		struct lease *le = l->leases.at[i];

		if (!le)
			continue;
		lease_restart(l, le, now_ns, extend_ns);
		lease_schedule_checkpoint(l, le, now_ns);
	}
	if (l->leases.count > 1000)
		spread(l);
}

void lessor_demote(struct lessor *l)
{
	l->primary = false;
	for (size_t i = 0; i < l->leases.room; i++) {
		struct lease *le = l->leases.at[i];

		if (!le)
			continue;
		lease_unschedule(l, le);
		le->expiry_ns = LEASE_NEVER_NS;
	}
}

bool lessor_is_primary(const struct lessor *l)
{
	return l->primary;
}

/* ---- rounds ---- */

void lessor_tick(struct lessor *l, uint64_t now_ns)
{
	struct lease *le;

	if (!l->primary || now_ns < l->round_ns)
		return;
	l->round_ns = now_ns + LEASE_ROUND_NS;
	/* what is due but not proposed yet counts: the list never holds more than one round */
	for (size_t n = l->due_count; n < LEASE_ROUND_MAX && (le = heap_due(l, CLOCK_EXPIRY, now_ns)); n++) {
		heap_put(l, CLOCK_EXPIRY, le, now_ns + LEASE_RETRY_NS);
		set_due(l, le, true);
	}
}

uint64_t lessor_next_ns(const struct lessor *l)
{
	uint64_t at_ns = LEASE_NEVER_NS;

	if (!l->primary)
		return LEASE_NEVER_NS;
	for (int c = 0; c < CLOCK_COUNT; c++)
		if (l->heaps[c].list.count)
			at_ns = MIN(at_ns, l->heaps[c].list.at[0]->at_ns[c]);
	return at_ns == LEASE_NEVER_NS ? at_ns : MAX(at_ns, l->round_ns);
}

bool lease_next_revoke(struct lessor *l, int64_t *id)
{
	if (list_empty(&l->due) || l->in_flight >= LEASE_REVOKES_MAX)
		return false;

	struct lease *le = CONTAINER_OF(l->due.next, struct lease, due);

	set_due(l, le, false);
	l->in_flight++;
	*id = le->id;
	return true;
}

void lease_revoke_ended(struct lessor *l)
{
	ASSERT(l->in_flight > 0);
	l->in_flight--;
}

size_t lease_take_checkpoints(struct lessor *l, uint64_t now_ns, struct lease_remaining out[LEASE_CHECKPOINT_MAX])
{
	size_t count = 0;
	struct lease *le;

	while (l->primary && count < LEASE_CHECKPOINT_MAX && (le = heap_due(l, CLOCK_CHECKPOINT, now_ns))) {
		heap_remove(l, CLOCK_CHECKPOINT, le);
		if (le->expiry_ns <= now_ns)
			continue;

		int64_t left_s = (int64_t)((le->expiry_ns - now_ns + 999999999) / 1000000000);

		if (left_s < le->ttl_s)
			out[count++] = (struct lease_remaining){le->id, left_s};
	}
	return count;
}

void lessor_check(const struct lessor *l)
{
	size_t leases = 0, items = 0;

	for (size_t i = 0; i < l->leases.room; i++) {
		const struct lease *le = l->leases.at[i];

		if (!le)
			continue;
		leases++;
		items += le->item_count;
		ASSERT(lessor_find(l, le->id) == le);
		ASSERT(l->primary == (le->expiry_ns != LEASE_NEVER_NS));
		ASSERT(l->primary == (le->pos[CLOCK_EXPIRY] != 0));
		ASSERT(l->primary || list_empty(&le->due));
		for (uint32_t k = 0; k < le->item_count; k++) {
			ASSERT(le->items[k]->lease == le);
			ASSERT(le->items[k]->pos == k);
		}
	}
	ASSERT(leases == l->leases.count);
	ASSERT(items == l->items.count);
	for (int c = 0; c < CLOCK_COUNT; c++)
		for (size_t i = 0; i < l->heaps[c].list.count; i++) {
			ASSERT(l->heaps[c].list.at[i]->pos[c] == i + 1);
			ASSERT(i == 0 ||
			       !before(&l->heaps[c], l->heaps[c].list.at[i], l->heaps[c].list.at[(i - 1) / 2]));
		}
}
