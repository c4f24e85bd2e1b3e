#include "node/waiters.h"

static size_t slot_of(const struct waiters *w, uint64_t id)
{
	return (id * 0x9e3779b97f4a7c15u >> 20) & (w->room - 1);
}

void waiters_init(struct waiters *w)
{
	*w = (struct waiters){.room = 1024};
	w->table = NEW_ARRAY(struct call *, w->room);
	list_init(&w->order);
}

void waiters_fini(struct waiters *w)
{
	mem_free(w->table);
}

static void grow(struct waiters *w)
{
	struct call **old = w->table;
	size_t old_room = w->room;

	w->room *= 2;
	w->table = NEW_ARRAY(struct call *, w->room);
	for (size_t i = 0; i < old_room; i++)
		for (struct call *c = old[i], *next; c; c = next) {
			next = c->hash_next;
			c->hash_next = w->table[slot_of(w, c->id)];
			w->table[slot_of(w, c->id)] = c;
		}
	mem_free(old);
}

void waiters_add(struct waiters *w, struct call *c)
{
	struct call **slot;

	ASSERT(!waiters_has(w, c->id));
	if (w->count == w->room)
		grow(w);
	slot = &w->table[slot_of(w, c->id)];
	c->hash_next = *slot;
	*slot = c;
	w->count++;
	list_push_back(&w->order, &c->link);
}

struct call *waiters_take(struct waiters *w, uint64_t id)
{
	struct call **at = &w->table[slot_of(w, id)];
	struct call *c;

	while (*at && (*at)->id != id)
		at = &(*at)->hash_next;
	c = *at;
	if (!c)
		return NULL;
	*at = c->hash_next;
	c->hash_next = NULL;
	list_remove(&c->link);
	w->count--;
	return c;
}

bool waiters_has(const struct waiters *w, uint64_t id)
{
	for (const struct call *c = w->table[slot_of(w, id)]; c; c = c->hash_next)
		if (c->id == id)
			return true;
	return false;
}

struct call *waiters_oldest(const struct waiters *w)
{
	return list_empty(&w->order) ? NULL : CONTAINER_OF(w->order.next, struct call, link);
}
