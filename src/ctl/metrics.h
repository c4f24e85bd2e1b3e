/* An endpoint's /metrics, and numbers in its text. */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include "ctl/ctl_impl.h"

/* The text, with a NUL behind it; out is initialised by the caller, METRICS_MAX at least. timeout_ms 0: the system's.
 * False: no answer. TLS for https://, and without a scheme where tls is set. */
enum { METRICS_MAX = (16 << 20) + 64 * 1024 };
bool metrics_fetch(struct ctl *c, const char *endpoint, bool tls, uint64_t timeout_ms, struct buf *out);
/* Sum of all series of this name. False: there is none. */
bool metrics_sum(const char *text, const char *name, double *out);

/* A histogram, all series of it added up: how many were at most le[i] seconds. */
enum { METRICS_BUCKETS_MAX = 32 };
struct metrics_buckets {
	size_t count;
	double le[METRICS_BUCKETS_MAX]; /* ascending, the last one infinite */
	double at_most[METRICS_BUCKETS_MAX];
};
/* Empty if it is not there. */
void metrics_histogram(const char *text, const char *name, struct metrics_buckets *out);
/* Quantile q of what came between two readings, linear within a bucket, as Prometheus has it; prev NULL: of all. NaN: nothing
 * came. */
double metrics_quantile(const struct metrics_buckets *now, const struct metrics_buckets *prev, double q);

/* One number of an endpoint. False: it could not be read; the reason is put to c->out, as upstream does. */
bool metrics_value(struct ctl *c, const char *endpoint, const char *name, double *out);

#endif
