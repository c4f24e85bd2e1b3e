/* A hash table of entries that live in their owners. Keys are borrowed bytes that stay where they are while the entry is
 * in; the seed is the process's own, so that clients cannot choose what collides. One thread. */
#ifndef PROXY_TABLE_H
#define PROXY_TABLE_H

#include "base/mem.h"
#include "base/slice.h"

struct entry {
	struct entry *next;
	uint64_t hash;
	struct slice key;
};

struct table {
	struct entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
	uint64_t seed;
};

void table_init(struct table *t);
void table_fini(struct table *t); /* entries are their owners' */
struct entry *table_find(const struct table *t, struct slice key);
/* The key is not in yet. */
void table_add(struct table *t, struct entry *e, struct slice key);
void table_remove(struct table *t, struct entry *e);
/* Any entry, NULL if none: to empty it. */
struct entry *table_any(const struct table *t);

#endif
