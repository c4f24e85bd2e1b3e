/* What the parts of top share: members and their readings, one interval apart.
 *
 *	every interval:  member list --> Status of all at once --> /metrics of those that answered, at once --> print
 *	all the time:    a watch of all keys counts events by prefix (hot.h)
 *
 * Bounded: TOP_MEMBERS_MAX members, what arrives of one interval (arenas that are reset), hot.h's table. */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "ctl/hot.h"
#include "ctl/metrics.h"
#include "ctl/signals.h"

enum { TOP_MEMBERS_MAX = 64, TOP_TEXT_SIZE = 160, TOP_HOT_MAX = 64 };

enum top_counter { TOP_REQUESTS, TOP_PUTS, TOP_RANGES, TOP_TXNS, TOP_DELETES, TOP_COUNTERS };
enum top_histogram { TOP_REQUEST_TIME, TOP_FSYNC_TIME, TOP_COMMIT_TIME, TOP_HISTOGRAMS };

struct top_reading {
	bool answered;             /* Status came; all up to term is good then */
	char error[TOP_TEXT_SIZE]; /* why not */
	uint64_t cluster_id, id, leader;
	bool is_learner;
	char version[32], alarms[TOP_TEXT_SIZE];
	int64_t revision;
	uint64_t db_bytes, db_in_use_bytes, index, applied, term;
	bool has_metrics;
	uint64_t at_ns;
	double counters[TOP_COUNTERS]; /* NaN: not there */
	struct metrics_buckets times[TOP_HISTOGRAMS];
};

struct top_member {
	struct top *top;
	uint64_t id; /* 0: known by its endpoint only */
	char name[TOP_TEXT_SIZE];
	char endpoint[TOP_TEXT_SIZE]; /* "": it has not started */
	bool listed;                  /* in this interval's member list */
	struct client *client;
	struct top_reading now, before;
};

struct top {
	struct ctl *c;
	struct signals signals;
	struct arena arena;       /* of one interval, or one message of the watch */
	struct top_member *at[TOP_MEMBERS_MAX];
	size_t count;
	size_t open; /* Status calls under way */
	bool all_answered;
	char trouble[TOP_TEXT_SIZE]; /* the member list could not be had */
	struct hot hot;
	struct client_watch *watch;
	char watch_trouble[TOP_TEXT_SIZE];
	uint64_t turned_ns; /* when the interval of hot began */
	bool quit;
};

/* top_read.c: one interval's readings of everybody. False: interrupted. */
bool top_read(struct top *t);
void top_forget(struct top *t);
/* Of the interval; NaN: unknown. */
double top_rate(const struct top_member *m, enum top_counter what);
double top_p99_s(const struct top_member *m, enum top_histogram what);
/* Highest raft index of those that answered, and how far behind it what m has applied is. */
uint64_t top_lag(const struct top *t, const struct top_member *m);
const struct top_member *top_leader(const struct top *t); /* NULL: unknown */
const char *top_role(const struct top_member *m);

/* top_print.c: to c->out. */
void top_print_text(struct top *t, size_t prefixes);
void top_print_table(struct top *t, size_t prefixes);
void top_print_json(struct top *t, size_t prefixes);

#endif
