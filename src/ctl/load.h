/* Many clients that put at once: what the check commands measure with. */
#ifndef CTL_LOAD_H
#define CTL_LOAD_H

#include "ctl/signals.h"

struct load_opts {
	size_t clients;
	uint64_t puts;       /* 0: no limit but the time */
	uint64_t puts_per_s; /* 0: as fast as they go */
	uint64_t seconds;    /* 0: no limit but the number */
	size_t key_size;     /* random bytes behind the prefix, the rest zero */
	size_t value_size;   /* zero bytes */
	const char *prefix;
};

#define LOAD_ERRORS_MAX 8

struct load_result {
	uint64_t ok;
	double seconds; /* from the first put to the last answer */
	double slowest_s, mean_s, stddev_s;
	struct {
		const char *text;
		uint64_t count;
	} errors[LOAD_ERRORS_MAX];
	size_t error_count;
	bool interrupted;
};

/* 0 or exit code. A bar on stderr shows how far it is, on a terminal. signals were begun by the caller: one that comes ends
 * the run early, without an error; from the return on they are ignored, for what was put has to be cleaned up. */
int load_run(struct ctl *c, struct signals *signals, const struct load_opts *o, struct load_result *r);

#endif
