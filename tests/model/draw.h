/* Random requests that meet each other: few keys with shared beginnings, revisions around what the twin has, leases that
 * exist or not. Everything drawn lives till draw_begin. Equal seeds draw equal requests. */
#ifndef TESTS_MODEL_DRAW_H
#define TESTS_MODEL_DRAW_H

#include "base/rng.h"
#include "mvcc_twin.h"

enum { DRAW_KEYS = 120 };

struct draw {
	struct rng rng;
	struct arena arena;
	struct arena keys_arena;
	struct slice keys[DRAW_KEYS]; /* ascending */
	const struct twin *t;
	int64_t lease_count; /* ids 1..lease_count; one above is drawn too */
};

void draw_init(struct draw *d, uint64_t seed, const struct twin *t, int64_t lease_count);
void draw_fini(struct draw *d);
static inline void draw_begin(struct draw *d)
{
	arena_reset(&d->arena);
}

uint64_t draw_below(struct draw *d, uint64_t end);
bool draw_one_in(struct draw *d, uint64_t n);
struct slice draw_key(struct draw *d);
/* From just below the compacted revision to just above the newest. */
int64_t draw_rev(struct draw *d);
int64_t draw_lease(struct draw *d); /* mostly 0 */
struct range_req draw_range(struct draw *d);
struct put_req draw_put(struct draw *d);
struct delete_req draw_delete(struct draw *d);
/* depth 0; writes false: ranges only. */
struct txn_req *draw_txn(struct draw *d, unsigned depth, bool writes);

void draw_encode_range(const struct range_req *r, struct buf *out);
void draw_encode_put(const struct put_req *r, struct buf *out);
void draw_encode_delete(const struct delete_req *r, struct buf *out);
void draw_encode_txn(const struct txn_req *t, struct buf *out);

#endif
