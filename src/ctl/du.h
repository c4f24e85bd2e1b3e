/* Keys and bytes by levels of path. Keys come in order, so the levels that are open are a stack: memory is the depth
 * and one key, however many there are. Pure.
 *
 *	du_init(&d, prefix, '/', depth, on_level, user);
 *	du_add(&d, key, value_size);                 keys in ascending order
 *	du_end(&d);                                  the last levels, and prefix itself as the last of all
 *
 * A level ends behind a delimiter. One at the very beginning of a level does not end it, so the first level of /a/b is
 * /a/ and not / */
#ifndef CTL_DU_H
#define CTL_DU_H

#include "base/buf.h"

enum { DU_DEPTH_MAX = 64 };

struct du_sums {
	uint64_t keys;
	uint64_t bytes; /* of keys and values */
};

struct du {
	struct slice prefix; /* borrowed */
	char delimiter;
	size_t depth; /* levels that are told below prefix; up to DU_DEPTH_MAX */
	void (*on_level)(void *user, struct slice path, struct du_sums sums);
	void *user;
	struct buf path; /* of the levels that are open */
	size_t open;
	struct du_sums at[DU_DEPTH_MAX + 1]; /* at[0] is prefix */
	size_t end[DU_DEPTH_MAX + 1];        /* in path */
};

void du_init(struct du *d, struct slice prefix, char delimiter, size_t depth,
	     void (*on_level)(void *user, struct slice path, struct du_sums sums), void *user);
/* key begins with prefix. */
void du_add(struct du *d, struct slice key, size_t value_size);
/* Frees as well. */
void du_end(struct du *d);

/* Where the level that begins at `at` ends in key, behind its delimiter; 0: there is none, the rest is a name. */
size_t du_level_end(struct slice key, size_t at, char delimiter);

#endif
