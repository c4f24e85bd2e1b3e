/* Which key hangs on which lease: one counted item per key, found by key in a hash table and by lease in its array.
 * Attach and detach are O(1). */
#include "base/crc.h"
#include "lease/lease_inl.h"

void items_init(struct lessor *l)
{
	l->items = (struct item_map){.room = 16};
	l->items.at = NEW_ARRAY(struct lease_item *, l->items.room);
	l->item_bytes = 0;
}

void items_fini(struct lessor *l)
{
	for (size_t i = 0; i < l->items.room; i++)
		mem_free(l->items.at[i]);
	mem_free(l->items.at);
	l->items = (struct item_map){0};
}

static uint32_t hash_key(const struct lessor *l, struct slice key)
{
	return (uint32_t)hash64(l->cfg.hash_seed, key.data, key.size);
}

static size_t item_slot(const struct lessor *l, struct slice key, uint32_t hash)
{
	size_t mask = l->items.room - 1, i = hash & mask;

	for (;; i = (i + 1) & mask) {
		const struct lease_item *it = l->items.at[i];

		if (!it || (it->hash == hash && slice_eq(slice_of(it->key, it->size), key)))
			return i;
	}
}

static void items_grow(struct lessor *l)
{
	struct item_map old = l->items;

	ASSERT(old.room < 1u << 31); /* slots come from 32 bits of hash */
	l->items.room = old.room * 2;
	l->items.at = NEW_ARRAY(struct lease_item *, l->items.room);
	for (size_t i = 0; i < old.room; i++) {
		struct lease_item *it = old.at[i];

		if (it)
			l->items.at[item_slot(l, slice_of(it->key, it->size), it->hash)] = it;
	}
	mem_free(old.at);
}

void items_take(struct lessor *l, struct lease_item *it)
{
	size_t mask = l->items.room - 1, hole = it->hash & mask;

	while (l->items.at[hole] != it)
		hole = (hole + 1) & mask;
	for (size_t i = (hole + 1) & mask; l->items.at[i]; i = (i + 1) & mask) {
		if (((i - l->items.at[i]->hash) & mask) >= ((i - hole) & mask)) {
			l->items.at[hole] = l->items.at[i];
			hole = i;
		}
	}
	l->items.at[hole] = NULL;
	l->items.count--;
	l->item_bytes -= sizeof(*it) + it->size;
}

static void leave_lease(struct lease_item *it)
{
	struct lease *le = it->lease;
	struct lease_item *last = le->items[--le->item_count];

	le->items[it->pos] = last;
	last->pos = it->pos;
}

static void join_lease(struct lease *le, struct lease_item *it)
{
	if (le->item_count == le->item_room) {
		le->item_room = le->item_room ? le->item_room + le->item_room / 2 + 1 : 1;
		le->items = mem_realloc(le->items, le->item_room * sizeof(*le->items));
	}
	it->lease = le;
	it->pos = le->item_count;
	le->items[le->item_count++] = it;
}

void lease_attach(struct lessor *l, int64_t id, struct slice key)
{
	struct lease *le = lessor_find(l, id);

	if (!le) {
		lease_detach(l, key);
		return;
	}

	uint32_t hash = hash_key(l, key);
	struct lease_item *it = l->items.at[item_slot(l, key, hash)];

	if (it) {
		if (it->lease == le)
			return;
		leave_lease(it);
		join_lease(le, it);
		return;
	}
	if ((l->items.count + 1) * 4 > l->items.room * 3)
		items_grow(l);
	it = mem_alloc(sizeof(*it) + key.size);
	*it = (struct lease_item){.hash = hash, .size = (uint32_t)key.size};
	memcpy(it->key, key.data, key.size);
	l->items.at[item_slot(l, key, hash)] = it;
	l->items.count++;
	l->item_bytes += sizeof(*it) + it->size;
	join_lease(le, it);
}

void lease_detach(struct lessor *l, struct slice key)
{
	struct lease_item *it = l->items.at[item_slot(l, key, hash_key(l, key))];

	if (!it)
		return;
	leave_lease(it);
	items_take(l, it);
	mem_free(it);
}

int64_t lease_of_key(const struct lessor *l, struct slice key)
{
	const struct lease_item *it = l->items.at[item_slot(l, key, hash_key(l, key))];

	return it ? it->lease->id : 0;
}

size_t lease_key_count(const struct lessor *l, int64_t id)
{
	const struct lease *le = lessor_find(l, id);

	return le ? le->item_count : 0;
}

struct slice lease_key_at(const struct lessor *l, int64_t id, size_t i)
{
	const struct lease *le = lessor_find(l, id);

	ASSERT(le && i < le->item_count);
	return slice_of(le->items[i]->key, le->items[i]->size);
}

/* ---- as mvcc calls them ---- */

static bool op_exists(void *arg, int64_t lease)
{
	return lease_exists(arg, lease);
}

static void op_attach(void *arg, int64_t lease, struct slice key)
{
	lease_attach(arg, lease, key);
}

static void op_detach(void *arg, struct slice key)
{
	lease_detach(arg, key);
}

struct mvcc_lease_ops lessor_mvcc_ops(void)
{
	return (struct mvcc_lease_ops){.exists = op_exists, .attach = op_attach, .detach = op_detach};
}
