/* Metrics: rows of one table (metric_rows.h), counted by each thread in its own cells, added up by a scrape.
 *
 *	metric_add(METRIC_MVCC_PUT_TOTAL, 1);                           a row without labels is its own series
 *	uint32_t ok = metric_series(METRIC_SERVER_RANGE_DURATION_SECONDS, (const char *[]){"true"});   once, at start
 *	metric_observe(ok, took_ns);                                    hot path: a load, an add, a store
 *	metric_write(&out);                                             Prometheus text 0.0.4
 *
 * Counters and histograms are exact: a thread's cells are folded into the totals when it ends. Gauges are one
 * shared value. All calls: any thread; only metric_series, metric_drop and metric_write take a lock.
 * Limits: METRIC_SERIES_MAX series in all, METRIC_SERIES_MAX_EACH per row; beyond them metric_series gives a
 * series whose counts are dropped. Label values are copied, cut at METRIC_LABEL_SIZE_MAX. */
#ifndef OBS_METRIC_H
#define OBS_METRIC_H

#include "base/buf.h"

#define METRIC_SERIES_MAX 8192
#define METRIC_SERIES_MAX_EACH 1024
#define METRIC_LABELS_MAX 4
#define METRIC_LABEL_SIZE_MAX 127
#define METRIC_BUCKETS_MAX 24

enum metric {
#define COUNTER(symbol, ...) METRIC_##symbol,
#define GAUGE(symbol, ...) METRIC_##symbol,
#define READING(symbol, ...) METRIC_##symbol,
#define HISTOGRAM(symbol, ...) METRIC_##symbol,
#include "obs/metric_rows.h"
#undef COUNTER
#undef GAUGE
#undef READING
#undef HISTOGRAM
	METRIC__COUNT
};

/* The series of a labelled row; values in the row's order of labels, as many as it has. Made at 0 and shown
 * from then on. The same values give the same series. */
uint32_t metric_series(enum metric row, const char *const *values);
/* The same, kept in *cell (0 = not made yet) for the next time. Any thread; two at once get the same series. */
static inline uint32_t metric_series_kept(_Atomic uint32_t *cell, enum metric row, const char *const *values)
{
	uint32_t id = *cell;

	if (!id)
		*cell = id = metric_series(row, values);
	return id;
}
/* Takes a gauge's series out of the text and forgets its value; the next metric_series shows it again. */
void metric_drop(uint32_t series);

void metric_add(uint32_t series, uint64_t n);           /* counters */
void metric_observe(uint32_t series, uint64_t value);   /* histograms; durations in ns */
void metric_observe_many(uint32_t series, uint64_t value, uint64_t n);  /* n times the same */
void metric_set(uint32_t series, double value);         /* gauges, readings */
void metric_move(uint32_t series, double delta);        /* gauges: up or down */

/* Called at the start of each metric_write, to set gauges that are read only then. Before threads start;
 * at most 16. The calls run under the registry's lock: no metric_series in them. */
void metric_on_scrape(void (*read)(void *arg), void *arg);
/* Forgets one again (its owner ends). */
void metric_off_scrape(void (*read)(void *arg), void *arg);

/* Appends all families that have a series, sorted by name, and the process_* readings. */
void metric_write(struct buf *out);

/* Values for tests: counter total or gauge; for a histogram the number of observations. */
double metric_value(uint32_t series);

#endif
