#include "utl/key_set.h"

#include "base/crc.h"
#include "base/mem.h"

/* Open addressing, linear probing, at most three quarters full; a dead key keeps its place. */
struct key_entry {
	const uint8_t *key; /* NULL: nobody */
	uint32_t size;
	uint32_t hash_lives; /* hash << 1 | lives */
};

enum { ROOM_LEAST = 1024 };

static const uint8_t empty_key[1];

void key_set_init(struct key_set *s, uint64_t seed)
{
	*s = (struct key_set){.seed = seed};
}

void key_set_fini(struct key_set *s)
{
	mem_free(s->at);
	s->at = NULL;
}

static struct key_entry *find(const struct key_set *s, struct slice key, uint32_t hash)
{
	uint64_t i = hash & (s->room - 1);

	for (;; i = (i + 1) & (s->room - 1)) {
		struct key_entry *e = &s->at[i];

		if (!e->key || (e->hash_lives >> 1 == hash && slice_eq(slice_of(e->key, e->size), key)))
			return e;
	}
}

static void grow(struct key_set *s)
{
	struct key_set next = *s;

	next.room = MAX(s->room * 2, ROOM_LEAST);
	next.at = NEW_ARRAY(struct key_entry, next.room);
	for (uint64_t i = 0; i < s->room; i++) {
		const struct key_entry *e = &s->at[i];

		if (e->key)
			*find(&next, slice_of(e->key, e->size), e->hash_lives >> 1) = *e;
	}
	mem_free(s->at);
	*s = next;
}

void key_set_put(struct key_set *s, struct slice key, bool lives)
{
	uint32_t hash = (uint32_t)hash64(s->seed, key.data, key.size) >> 1;
	struct key_entry *e;

	if (s->used * 4 >= s->room * 3)
		grow(s);
	e = find(s, key, hash);
	if (!e->key) {
		*e = (struct key_entry){key.size ? key.data : empty_key, (uint32_t)key.size, hash << 1};
		s->used++;
	}
	s->live += lives;
	s->live -= e->hash_lives & 1;
	e->hash_lives = hash << 1 | lives;
}
