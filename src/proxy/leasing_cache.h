/* --experimental-leasing-prefix P: what this proxy knows of keys whose leasing key P+key it holds. As long as it holds that, no other
 * proxy with the same P writes the key, so the last answer about it can be given again, linearizably. Pure: the calls and the clock
 * are leasing.c's.
 *
 *	read ── HIT ──────────────────────────> answered from here
 *	  ├──── PASS ─────────────────────────> the cluster answers
 *	  └──── ACQUIRE ── leasing_acquired ──> owned; kept if nothing was written meanwhile
 *
 * L1  an answer is kept only while its key is owned and no write through this proxy is under way or of unknown outcome
 * L2  what was revoked or deleted at a revision is not owned by an acquisition that the cluster answered before it
 * L3  a key that is being released is not acquired, and not owned by an acquisition that was under way: the release may have
 *     deleted the new leasing key
 *
 * A write takes the kept answer out instead of changing it; the next read fetches it anew, the leasing key stays. Limits:
 * LEASING_KEYS_MAX keys, LEASING_BYTES_MAX of answers; the key not used for longest is to be released then. One thread. */
#ifndef PROXY_LEASING_CACHE_H
#define PROXY_LEASING_CACHE_H

#include "base/list.h"
#include "proxy/table.h"

enum { LEASING_KEYS_MAX = 16384, LEASING_BYTES_MAX = 64 << 20, LEASING_BACKOFF_MS = 2000 };

struct leasing_cache {
	struct table keys;
	struct list used;       /* all keys, longest ago first */
	struct list ranges;     /* writes of intervals under way */
	size_t bytes;
};

/* A write of [key, range_end) under way; ends as in requests. The caller's memory. */
struct leasing_write {
	struct list node;
	struct slice key, range_end;
};

enum leasing_read { LEASING_PASS, LEASING_HIT, LEASING_ACQUIRE };

void leasing_cache_init(struct leasing_cache *c);
void leasing_cache_fini(struct leasing_cache *c);

/* HIT: header and kv (both encoded; kv empty: the key is not there) borrow until the next call. ACQUIRE: leasing_acquired or
 * leasing_acquire_failed must follow, may_acquire allowing. */
enum leasing_read leasing_read(struct leasing_cache *c, struct slice key, uint64_t now_ms, bool may_acquire, struct slice *header,
			       struct slice *kv);

/* What the cluster answered at revision. is_new: the leasing key was made; is_ours: it was there, with our lease. keep: the answer may
 * be kept. True: the leasing key is ours by the cluster's word, and not by ours: release it. */
bool leasing_acquired(struct leasing_cache *c, struct slice key, int64_t revision, bool is_new, bool is_ours, bool keep, struct slice header,
		      struct slice kv);
void leasing_acquire_failed(struct leasing_cache *c, struct slice key);

/* The revision that the leasing key's creation is not above, 0 if not owned: the guard of the write. */
int64_t leasing_write_begin(struct leasing_cache *c, struct slice key);
void leasing_write_end(struct leasing_cache *c, struct slice key);
void leasing_range_begin(struct leasing_cache *c, struct leasing_write *w);
void leasing_range_end(struct leasing_write *w);
bool leasing_owns(const struct leasing_cache *c, struct slice key);
int64_t leasing_revision(const struct leasing_cache *c, struct slice key);

/* Somebody wants it, or it is gone, since revision; not acquired again for LEASING_BACKOFF_MS. False: that was before it was ours. */
bool leasing_lost(struct leasing_cache *c, struct slice key, int64_t revision, uint64_t now_ms);
/* Not owned any more, not acquired before leasing_released. False: it is being released already. */
bool leasing_release(struct leasing_cache *c, struct slice key);
void leasing_released(struct leasing_cache *c, struct slice key);
/* All leasing keys are gone, or may be. */
void leasing_lose_all(struct leasing_cache *c);

/* An owned key in [key, range_end), any order; for those whose write has an unknown outcome. False: none. */
bool leasing_owned_in(const struct leasing_cache *c, struct slice key, struct slice range_end, struct slice *out);
/* A key to release, because there are too many; drops those that need no release. */
bool leasing_victim(struct leasing_cache *c, struct slice *out);

#endif
