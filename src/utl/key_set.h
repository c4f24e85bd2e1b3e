/* Which keys live, for counting: a hash table of borrowed keys, 16 bytes an entry. Private to utl. */
#ifndef UTL_KEY_SET_H
#define UTL_KEY_SET_H

#include "base/slice.h"

struct key_entry;

struct key_set {
	struct key_entry *at;
	uint64_t room; /* a power of two, or 0 */
	uint64_t used;
	uint64_t live; /* keys that live now */
	uint64_t seed;
};

void key_set_init(struct key_set *s, uint64_t seed);
void key_set_fini(struct key_set *s);
/* The key's bytes must stay as long as the set. */
void key_set_put(struct key_set *s, struct slice key, bool lives);

#endif
