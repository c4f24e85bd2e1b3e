/* An endpoint's /metrics, and numbers in its text. */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include "ctl/ctl_impl.h"

/* One member's page, asked for together with others': one that hangs holds nobody up. */
struct metrics_job {
	const char *endpoint;
	/* The text, NULL: no answer. It is gone after the call. */
	void (*on_end)(struct metrics_job *job, const char *text);
	void *user;
	struct metrics_fetch *fetch; /* metrics_fetch_all's own */
};
/* Each job's on_end comes once, before this returns. TLS for https://, and without a scheme where tls is set. timeout_ms
 * for all of them together, 0: no limit. interrupted, unless NULL, becomes true by a signal of c's loop: the rest have no
 * answer then. */
void metrics_fetch_all(struct ctl *c, struct metrics_job *jobs, size_t count, bool tls, uint64_t timeout_ms,
		       const bool *interrupted);
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
