/* The map of leases, their rows, and what applied entries do to them.
 *
 * Row of bucket lease: key = id, i64 big-endian; value = leasepb.Lease {ID 1, TTL 2, RemainingTTL 3}, zero fields left
 * out. */
#include "lease/lease_inl.h"
#include "pb/wire.h"

enum { ROW_ID = 1, ROW_TTL = 2, ROW_REMAINING = 3, ROW_SIZE_MAX = 3 * (1 + 10) };

int64_t lease_ttl_s_min(uint32_t election_ticks, uint32_t heartbeat_ms)
{
	int64_t ms = (int64_t)(3 * (uint64_t)election_ticks / 2) * heartbeat_ms;

	return (ms + 999) / 1000;
}

/* ---- map ---- */

static size_t home(const struct lessor *l, int64_t id)
{
	uint64_t x = (uint64_t)id ^ l->cfg.hash_seed;

	/* splitmix64 finalizer: ids are chosen by clients */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (size_t)(x ^ x >> 31) & (l->leases.room - 1);
}

static size_t slot_of(const struct lessor *l, int64_t id)
{
	size_t i = home(l, id);

	while (l->leases.at[i] && l->leases.at[i]->id != id)
		i = (i + 1) & (l->leases.room - 1);
	return i;
}

struct lease *lessor_find(const struct lessor *l, int64_t id)
{
	return l->leases.at[slot_of(l, id)];
}

static void map_grow(struct lessor *l)
{
	struct lease_map old = l->leases;

	l->leases.room = old.room * 2;
	l->leases.at = NEW_ARRAY(struct lease *, l->leases.room);
	for (size_t i = 0; i < old.room; i++)
		if (old.at[i])
			l->leases.at[slot_of(l, old.at[i]->id)] = old.at[i];
	mem_free(old.at);
}

static void map_add(struct lessor *l, struct lease *le)
{
	if ((l->leases.count + 1) * 3 > l->leases.room * 2)
		map_grow(l);
	l->leases.at[slot_of(l, le->id)] = le;
	l->leases.count++;
}

static void map_remove(struct lessor *l, int64_t id)
{
	size_t mask = l->leases.room - 1, hole = slot_of(l, id);

	ASSERT(l->leases.at[hole]);
	for (size_t i = (hole + 1) & mask; l->leases.at[i]; i = (i + 1) & mask) {
		/* an entry may move back into the hole unless its home lies behind it */
		if (((i - home(l, l->leases.at[i]->id)) & mask) >= ((i - hole) & mask)) {
			l->leases.at[hole] = l->leases.at[i];
			hole = i;
		}
	}
	l->leases.at[hole] = NULL;
	l->leases.count--;
}

/* ---- life ---- */

struct lessor *lessor_new(const struct lessor_config *cfg)
{
	struct lessor *l = NEW(struct lessor);

	l->cfg = *cfg;
	if (!l->cfg.checkpoint_ns)
		l->cfg.checkpoint_ns = 300000000000ull;
	l->leases.room = 16;
	l->leases.at = NEW_ARRAY(struct lease *, l->leases.room);
	list_init(&l->due);
	for (int c = 0; c < CLOCK_COUNT; c++)
		l->heaps[c].clock = (enum lease_clock)c;
	items_init(l);
	return l;
}

static struct lease *lease_new(int64_t id, int64_t ttl_s)
{
	struct lease *le = NEW(struct lease);

	le->id = id;
	le->ttl_s = ttl_s;
	le->expiry_ns = LEASE_NEVER_NS;
	list_init(&le->due);
	return le;
}

static void lease_free(struct lease *le)
{
	mem_free(le->items);
	mem_free(le);
}

static void drop_all(struct lessor *l)
{
	items_fini(l);
	for (size_t i = 0; i < l->leases.room; i++)
		if (l->leases.at[i])
			lease_free(l->leases.at[i]);
	memset(l->leases.at, 0, l->leases.room * sizeof(*l->leases.at));
	l->leases.count = 0;
	for (int c = 0; c < CLOCK_COUNT; c++)
		VEC_FREE(&l->heaps[c].list);
	list_init(&l->due);
	l->due_count = 0;
}

void lessor_clear(struct lessor *l)
{
	drop_all(l);
	items_init(l);
	l->primary = false;
}

void lessor_free(struct lessor *l)
{
	if (!l)
		return;
	drop_all(l);
	mem_free(l->leases.at);
	mem_free(l);
}

/* ---- rows ---- */

static void save(struct lessor *l, const struct lease *le)
{
	uint8_t key[8], value[ROW_SIZE_MAX], *at = value;
	const int64_t fields[] = {[ROW_ID] = le->id, [ROW_TTL] = le->ttl_s, [ROW_REMAINING] = le->remaining_s};

	for (uint32_t n = ROW_ID; n <= ROW_REMAINING; n++)
		if (fields[n]) {
			*at++ = (uint8_t)(n << 3 | PB_VARINT);
			at = pb_varint_write(at, (uint64_t)fields[n]);
		}
	be64_put(key, (uint64_t)le->id);
	store_put(l->cfg.store, BUCKET_LEASE, slice_of(key, 8), slice_of(value, (size_t)(at - value)));
}

err_t lessor_load(struct lessor *l, struct slice key, struct slice value)
{
	struct pb_reader r = pb_reader_of(value);
	struct pb_field f;
	int64_t fields[ROW_REMAINING + 1] = {0};

	while (pb_next(&r, &f))
		if (f.wire == PB_VARINT && f.number <= ROW_REMAINING)
			fields[f.number] = (int64_t)f.value;
	if (r.failed || key.size != 8 || (int64_t)be64_get(key.data) != fields[ROW_ID] ||
	    fields[ROW_TTL] > LEASE_TTL_S_MAX || fields[ROW_REMAINING] > LEASE_TTL_S_MAX ||
	    lessor_find(l, fields[ROW_ID]))
		return ERR_CORRUPT_FILE;

	struct lease *le = lease_new(fields[ROW_ID], MAX(fields[ROW_TTL], l->cfg.ttl_s_min));

	le->remaining_s = fields[ROW_REMAINING];
	map_add(l, le);
	return OK;
}

/* ---- applied entries ---- */

err_t lease_grant(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ns, int64_t *ttl_s_out)
{
	if (id == 0)
		return ERR_LEASE_NOT_FOUND;
	if (ttl_s > LEASE_TTL_S_MAX)
		return ERR_LEASE_TTL_TOO_LARGE;
	if (lessor_find(l, id))
		return ERR_LEASE_EXIST;

	struct lease *le = lease_new(id, MAX(ttl_s, l->cfg.ttl_s_min));

	map_add(l, le);
	save(l, le);
	if (l->primary) {
		lease_restart(l, le, now_ns, 0);
		lease_schedule_checkpoint(l, le, now_ns);
	}
	l->granted++;
	*ttl_s_out = le->ttl_s;
	return OK;
}

static int compare_items(const void *a, const void *b)
{
	const struct lease_item *x = *(struct lease_item *const *)a, *y = *(struct lease_item *const *)b;

	return slice_cmp(slice_of(x->key, x->size), slice_of(y->key, y->size));
}

err_t lease_revoke(struct lessor *l, int64_t id, struct lease_revoked *out)
{
	struct lease *le = lessor_find(l, id);
	uint8_t key[8];

	if (!le)
		return ERR_LEASE_NOT_FOUND;
	for (uint32_t i = 0; i < le->item_count; i++)
		items_take(l, le->items[i]);
	if (le->item_count)
		qsort(le->items, le->item_count, sizeof(*le->items), compare_items);
	*out = (struct lease_revoked){.count = le->item_count, .items = (void **)le->items};
	out->keys = mem_alloc(out->count * sizeof(*out->keys));
	for (size_t i = 0; i < out->count; i++)
		out->keys[i] = slice_of(le->items[i]->key, le->items[i]->size);
	le->items = NULL;

	if (le->expiry_ns != LEASE_NEVER_NS && le->at_ns[CLOCK_EXPIRY] > le->expiry_ns)
		l->expired++; /* a retry was scheduled: it had been due */
	lease_unschedule(l, le);
	map_remove(l, id);
	lease_free(le);
	be64_put(key, (uint64_t)id);
	store_delete(l->cfg.store, BUCKET_LEASE, slice_of(key, 8));
	l->revoked++;
	return OK;
}

void lease_revoked_fini(struct lease_revoked *r)
{
	for (size_t i = 0; i < r->count; i++)
		mem_free(r->items[i]);
	mem_free(r->items);
	mem_free(r->keys);
	*r = (struct lease_revoked){0};
}

void lease_checkpoint(struct lessor *l, int64_t id, int64_t remaining_s, bool persist, uint64_t now_ns)
{
	struct lease *le = lessor_find(l, id);

	if (!le)
		return;
	le->remaining_s = remaining_s;
	if (persist)
		save(l, le);
	if (l->primary)
		lease_schedule_checkpoint(l, le, now_ns);
}

/* ---- questions ---- */

bool lease_exists(const struct lessor *l, int64_t id)
{
	return lessor_find(l, id) != NULL;
}

size_t lease_count(const struct lessor *l)
{
	return l->leases.count;
}

err_t lease_get(const struct lessor *l, int64_t id, uint64_t now_ns, struct lease_info *out)
{
	const struct lease *le = lessor_find(l, id);

	if (!le)
		return ERR_LEASE_NOT_FOUND;
	*out = (struct lease_info){
		.id = id,
		.ttl_s = le->ttl_s,
		.remaining_s = INT64_MAX,
		.checkpoint_s = le->remaining_s,
		.key_count = le->item_count,
	};
	if (le->expiry_ns != LEASE_NEVER_NS)
		out->remaining_s = (int64_t)(le->expiry_ns - now_ns) / 1000000000;
	return OK;
}

static int compare_expiry(const void *a, const void *b)
{
	const struct lease *x = *(struct lease *const *)a, *y = *(struct lease *const *)b;

	if (x->expiry_ns != y->expiry_ns)
		return x->expiry_ns < y->expiry_ns ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static struct lease **sorted(const struct lessor *l)
{
	struct lease **all = mem_alloc((l->leases.count + 1) * sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < l->leases.room; i++)
		if (l->leases.at[i])
			all[n++] = l->leases.at[i];
	qsort(all, n, sizeof(*all), compare_expiry);
	return all;
}

size_t lease_list(const struct lessor *l, int64_t **out)
{
	struct lease **all = sorted(l);
	int64_t *ids = mem_alloc((l->leases.count + 1) * sizeof(*ids));

	for (size_t i = 0; i < l->leases.count; i++)
		ids[i] = all[i]->id;
	mem_free(all);
	*out = ids;
	return l->leases.count;
}

enum { TTL_ID = 2, TTL_TTL = 3, TTL_GRANTED = 4, TTL_KEYS = 5, LIST_LEASES = 2, STATUS_ID = 1 };

void lease_ttl_encode(const struct lessor *l, int64_t id, uint64_t now_ns, bool want_keys, struct buf *out)
{
	const struct lease *le = lessor_find(l, id);
	struct lease_info info;

	pb_put_uint(out, TTL_ID, (uint64_t)id);
	if (!le || lease_get(l, id, now_ns, &info)) {
		pb_put_uint(out, TTL_TTL, UINT64_MAX);
		return;
	}
	pb_put_uint(out, TTL_TTL, (uint64_t)info.remaining_s);
	pb_put_uint(out, TTL_GRANTED, (uint64_t)info.ttl_s);
	for (uint32_t i = 0; want_keys && i < le->item_count; i++)
		pb_put_bytes_always(out, TTL_KEYS, slice_of(le->items[i]->key, le->items[i]->size));
}

void lease_list_encode(const struct lessor *l, struct buf *out)
{
	int64_t *ids;
	size_t count = lease_list(l, &ids);

	for (size_t i = 0; i < count; i++) {
		size_t mark = pb_begin(out, LIST_LEASES);

		pb_put_uint(out, STATUS_ID, (uint64_t)ids[i]);
		pb_end(out, mark);
	}
	mem_free(ids);
}

void lessor_stats(const struct lessor *l, struct lease_stats *out)
{
	*out = (struct lease_stats){
		.leases = l->leases.count,
		.attached_keys = l->items.count,
		.granted = l->granted,
		.revoked = l->revoked,
		.renewed = l->renewed,
		.expired = l->expired,
		.bytes = l->leases.count * sizeof(struct lease) + (l->leases.room + l->items.room) * sizeof(void *) +
		     l->item_bytes,
	};
	for (int c = 0; c < CLOCK_COUNT; c++)
		out->bytes += l->heaps[c].list.room * sizeof(void *);
}
