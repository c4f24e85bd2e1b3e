/* Which prefixes of keys are written most: events and bytes by the first levels of their paths. Pure; bounded: HOT_MAX
 * prefixes, of which the colder half makes room when another one comes (*forgotten says how often). */
#ifndef CTL_HOT_H
#define CTL_HOT_H

#include "base/buf.h"

enum { HOT_MAX = 1024, HOT_PREFIX_MAX = 512 };

struct hot_row {
	uint8_t *prefix; /* owned */
	size_t size;
	uint64_t events, bytes;           /* since the last hot_turn */
	double events_per_s, bytes_per_s; /* of the last interval */
	uint64_t events_all, bytes_all;
	double heat; /* events, of which those of earlier intervals count half as much with each */
};

struct hot {
	char delimiter;
	size_t depth;
	struct hot_row *rows; /* in order of prefixes */
	size_t count;
	uint64_t forgotten;
};

void hot_init(struct hot *h, char delimiter, size_t depth);
void hot_fini(struct hot *h);
/* bytes: of key and value. */
void hot_add(struct hot *h, struct slice key, size_t bytes);
/* An interval is over: rates are of it, and a new one begins. */
void hot_turn(struct hot *h, double seconds);
/* The hottest first, up to max, into out; how many. Valid until the next hot_add. */
size_t hot_top(const struct hot *h, const struct hot_row **out, size_t max);

#endif
