/* The free pages: a bitmap under a tree that knows, for each part of it, the free run at its front, at its back, and
 * the longest one inside; so the lowest run of n pages is found in O(log pages), and so is giving pages back.
 * 0.5 byte a page. Writer only. Private to bolt. */
#ifndef BOLT_FREE_H
#define BOLT_FREE_H

#include <stdbool.h>
#include <stdint.h>

struct free_run {
	uint32_t front;
	uint32_t back;
	uint32_t longest;
};

struct free_map {
	uint64_t *words;       /* bit set: free */
	struct free_run *tree; /* [1, 2 x word_count): node i has children 2i and 2i + 1 */
	uint32_t word_count;   /* power of two, or 0 */
	uint64_t count;
};

void free_map_fini(struct free_map *f);
/* [page, page + count) becomes free; none of it is. */
void free_map_put(struct free_map *f, uint64_t page, uint64_t count);
/* [page, page + count) is no longer free; all of it is. */
void free_map_remove(struct free_map *f, uint64_t page, uint64_t count);
/* The first page of the lowest run of count pages, which stays free; UINT64_MAX: there is none. */
uint64_t free_map_find(const struct free_map *f, uint64_t count);
bool free_map_has(const struct free_map *f, uint64_t page);
/* Is any of [page, page + count) free? */
bool free_map_any(const struct free_map *f, uint64_t page, uint64_t count);
/* Free pages in [0, end). */
uint64_t free_map_count_below(const struct free_map *f, uint64_t end);
/* Length of the free run that ends before page end. */
uint64_t free_map_run_before(const struct free_map *f, uint64_t end);

#endif
