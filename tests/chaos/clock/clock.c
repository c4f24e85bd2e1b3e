/* Wall clock of one process, moved from outside: LD_PRELOAD of the chaos test. CHAOS_CLOCK names a file that holds the offset in
 * nanoseconds, 8 bytes; it is mapped, so that a write to it is a jump. Programs that make the system call themselves (Go's) do not notice.
 *
 *	cc -O2 -shared -fPIC -o clock.so clock.c */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#define SECOND INT64_C(1000000000)

static int (*real_clock)(clockid_t, struct timespec *);
static const volatile int64_t *offset_ns;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CHAOS_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd >= 0 ? mmap(NULL, sizeof(*offset_ns), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (at != MAP_FAILED)
		offset_ns = at;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	int err;

	if (!real_clock)
		begin();
	err = real_clock(id, t);
	if (!err && offset_ns && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
		int64_t ns = t->tv_sec * SECOND + t->tv_nsec + *offset_ns;

		t->tv_sec = ns / SECOND;
		t->tv_nsec = ns % SECOND;
	}
	return err;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;
	int err = clock_gettime(CLOCK_REALTIME, &t);

	(void)zone;
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return err;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
