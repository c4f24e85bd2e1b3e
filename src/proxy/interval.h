/* Intervals of keys as requests have them: [key, end), with end "" for key alone and "\0" for all keys from it on. Pure. */
#ifndef PROXY_INTERVAL_H
#define PROXY_INTERVAL_H

#include <stdbool.h>

#include "base/slice.h"

static inline bool interval_is_open(struct slice end)
{
	return end.size == 1 && end.data[0] == 0;
}

static inline bool interval_begins_below(struct slice key, struct slice other, struct slice other_end)
{
	return interval_is_open(other_end) || (other_end.size ? slice_cmp(key, other_end) < 0 : slice_cmp(key, other) <= 0);
}

static inline bool intervals_overlap(struct slice a, struct slice a_end, struct slice b, struct slice b_end)
{
	return interval_begins_below(a, b, b_end) && interval_begins_below(b, a, a_end);
}

#endif
