/* Lists of ids: of members, which are few. Pure; a list is its owner's, on any thread; a zeroed one is empty; at is read
 * in place. What the functions are given is ascending, each id once, and stays so. None fails. */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ids {
	uint64_t *at; /* owned: ids_fini */
	size_t count;
};

bool ids_has(const struct ids *s, uint64_t id);
bool ids_add(struct ids *s, uint64_t id);    /* false: it was in it */
bool ids_remove(struct ids *s, uint64_t id); /* false: it was not in it */
struct ids ids_copy(const struct ids *s);
struct ids ids_union(const struct ids *a, const struct ids *b);
/* How many ids are in exactly one of the two. */
size_t ids_difference(const struct ids *a, const struct ids *b);
void ids_fini(struct ids *s);

#endif
