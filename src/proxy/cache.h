/* Answers of range requests, remembered for serializable ones.
 *
 * A linearizable answer counts as a serializable one from then on. What a client of this proxy writes takes out what
 * overlaps; what others write is not seen, so an answer may be old for as long as it is kept (upstream's cache,
 * proxy/grpcproxy/cache, is the same). The key is the request and the token: nobody is answered with what another user read.
 * An answer at a revision stays good until that revision is compacted.
 *
 * Limits: CACHE_ENTRIES_MAX answers (as upstream), CACHE_BYTES_MAX in all, CACHE_ANSWER_MAX each; the one not used for longest goes
 * first. One thread. */
#ifndef PROXY_CACHE_H
#define PROXY_CACHE_H

#include "base/err.h"
#include "base/list.h"
#include "pb/rpc.h"
#include "proxy/table.h"

enum { CACHE_ENTRIES_MAX = 2048, CACHE_BYTES_MAX = 64 << 20, CACHE_ANSWER_MAX = 4 << 20 };

struct cache {
	struct table entries;
	struct table points;    /* answers about one key without a revision, by key */
	struct list ranges;     /* answers about intervals without a revision */
	struct list used;       /* all, longest ago first */
	size_t bytes;
	int64_t compacted;
};

void cache_init(struct cache *c);
void cache_fini(struct cache *c);
/* OK: *out borrows until the next call. ERR_COMPACTED. ERR_NOT_EXIST: not there. */
NODISCARD err_t cache_get(struct cache *c, const struct range_req *r, struct slice token, struct slice *out);
void cache_add(struct cache *c, const struct range_req *r, struct slice token, struct slice answer);
/* [key, range_end) was, or may have been, written; range_end "" is key alone, "\0" all from key on. */
void cache_invalidate(struct cache *c, struct slice key, struct slice range_end);
void cache_compact(struct cache *c, int64_t revision);
size_t cache_count(const struct cache *c);

#endif
