/* For programs that play one scenario of their own on a world: -b BUG switches a built-in bug on (base/bug.h), as sim does;
 * TEST_LOG=1 shows the servers' log. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include <stdio.h>
#include <stdlib.h>

#include "base/bug.h"
#include "obs/log.h"

static inline void scenario_log_nothing(void *arg, const char *line, size_t size)
{
}

static inline void scenario_begin(int argc, char **argv)
{
	bool known = argc == 1;

#ifdef CETCD_BUGS
	known |= argc == 3 && strcmp(argv[1], "-b") == 0 && bug_set(argv[2]);
#endif
	if (!known) {
		fprintf(stderr, "usage: %s [-b bug], and that only in a build with -Dbugs=true\n", argv[0]);
		exit(2);
	}
	if (!getenv("TEST_LOG"))
		log_set_writer(scenario_log_nothing, NULL);
}

#endif
