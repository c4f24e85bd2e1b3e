/* Clock and random source of a process. Any thread. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stddef.h>
#include <stdint.h>

uint64_t env_mono_ns(void);             /* CLOCK_MONOTONIC */
int64_t env_wall_ns(void);              /* since 1970, CLOCK_REALTIME */
void env_random(void *out, size_t size);        /* getrandom */

#endif
