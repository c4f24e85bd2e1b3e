/* Inside obs: the table of rows and the registry of series. */
#ifndef OBS_METRIC_IMPL_H
#define OBS_METRIC_IMPL_H

#include "obs/metric.h"

enum metric_type {
	METRIC_COUNTER,
	METRIC_GAUGE,
	METRIC_READING,
	METRIC_HISTOGRAM,
};

/* Upper bounds in the unit observed; what is shown is bound / per_shown. */
struct metric_buckets {
	uint64_t first;
	uint32_t count;
	uint32_t per_shown;
	const uint64_t *bounds;         /* NULL: each doubles the one before */
};

struct metric_row {
	const char *name;
	enum metric_type type;
	const char *labels;
	const char *help;
	struct metric_buckets buckets;
};

extern const struct metric_row metric_rows[METRIC__COUNT];

uint64_t metric_bound(const struct metric_buckets *b, size_t i);
/* The bucket a value falls into; b->count for +Inf. */
size_t metric_bucket(const struct metric_buckets *b, uint64_t value);

/* One series as a scrape sees it. Label values lie one behind the other in names, each with its NUL. */
struct metric_view {
	enum metric row;
	const char *names;
	double value;
	uint64_t buckets[METRIC_BUCKETS_MAX + 1];       /* not cumulative; the last is +Inf */
	uint64_t sum;
};

/* All shown series, in no order; each call takes the lock. Freed with mem_free. */
struct metric_view *metric_collect(size_t *count);

/* Sets the process_* readings from /proc. */
void metric_read_process(void);

#endif
