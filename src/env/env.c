#include "env/env.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t env_mono_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

int64_t env_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void env_random(void *out, size_t size)
{
	uint8_t *at = out;

	while (size) {
		ssize_t got = getrandom(at, size, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			fatal("the kernel gives no random bytes (getrandom: errno %d)", errno);
		at += got;
		size -= (size_t)got;
	}
}
