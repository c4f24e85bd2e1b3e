#include "proxy/table.h"

#include "base/rng.h"
#include "env/env.h"

enum { BUCKETS_FIRST = 64 };

void table_init(struct table *t)
{
	*t = (struct table){.bucket_count = BUCKETS_FIRST, .buckets = NEW_ARRAY(struct entry *, BUCKETS_FIRST)};
	env_random(&t->seed, sizeof(t->seed));
}

void table_fini(struct table *t)
{
	mem_free(t->buckets);
}

/* Multiply and fold, eight bytes at a time, from a secret seed. */
static uint64_t hash_of(const struct table *t, struct slice key)
{
	uint64_t h = t->seed ^ key.size, word;

	for (size_t i = 0; i < key.size; i += sizeof(word)) {
		unsigned __int128 m;

		word = 0;
		memcpy(&word, key.data + i, MIN(sizeof(word), key.size - i));
		m = (unsigned __int128)(h ^ word ^ (t->seed >> 7)) * 0x9e3779b97f4a7c15u;
		h = (uint64_t)m ^ (uint64_t)(m >> 64) ^ (t->seed << 9);
	}
	return h ^ (h >> 29);
}

static struct entry **bucket(const struct table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->bucket_count - 1)];
}

struct entry *table_find(const struct table *t, struct slice key)
{
	uint64_t hash = hash_of(t, key);

	for (struct entry *e = *bucket(t, hash); e; e = e->next)
		if (e->hash == hash && slice_eq(e->key, key))
			return e;
	return NULL;
}

static void push(struct table *t, struct entry *e)
{
	struct entry **b = bucket(t, e->hash);

	e->next = *b;
	*b = e;
}

static void grow(struct table *t)
{
	struct entry **old = t->buckets;
	size_t count = t->bucket_count;

	t->bucket_count *= 2;
	t->buckets = NEW_ARRAY(struct entry *, t->bucket_count);
	for (size_t i = 0; i < count; i++) {
		for (struct entry *e = old[i], *next; e; e = next) {
			next = e->next;
			push(t, e);
		}
	}
	mem_free(old);
}

void table_add(struct table *t, struct entry *e, struct slice key)
{
	if (t->count >= t->bucket_count)
		grow(t);
	e->key = key;
	e->hash = hash_of(t, key);
	push(t, e);
	t->count++;
}

void table_remove(struct table *t, struct entry *e)
{
	struct entry **at = bucket(t, e->hash);

	while (*at != e) {
		ASSERT(*at);
		at = &(*at)->next;
	}
	*at = e->next;
	t->count--;
}

struct entry *table_any(const struct table *t)
{
	for (size_t i = 0; t->count && i < t->bucket_count; i++)
		if (t->buckets[i])
			return t->buckets[i];
	return NULL;
}
