/* Clock and random source of a process. Any thread. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stddef.h>
#include <stdint.h>

uint64_t env_mono_ns(void);             /* CLOCK_MONOTONIC */
int64_t env_wall_ns(void);              /* since 1970, CLOCK_REALTIME */
void env_random(void *out, size_t size);        /* getrandom */

/* A fault within a mapping of vfs_map (the disk failed under it, or the file was cut short) ends the process with a line that names
 * file and page, through fatal(). Before threads start. Other faults do what they did. */
void env_sigbus_install(void);

/* From now on a core file holds no memory of this process, for passwords, tokens and keys are in it; /proc/PID/coredump_filter takes
 * that back. So that a crash is understood without, SIGSEGV, SIGILL, SIGFPE and SIGABRT write the frames of their thread to
 * stderr before they end the process as they would. Before threads start. */
void env_crash_install(void);

/* Gives freed memory that the allocator keeps back to the system, once much of it has stayed free from one look to the next, and
 * lets go of pages of mapped files. Zeroed before the first look; look every few seconds, on a thread that may take milliseconds
 * (allocations of others wait as long). */
struct env_spare {
	uint64_t spare_bytes;           /* at the last look */
	uint64_t rest_until_ns;         /* after giving back: refilling costs faults */
	uint64_t mapped_bytes;          /* after letting go: what cannot be, as the program itself */
	uint64_t maps_rest_until_ns;
};

void env_spare_look(struct env_spare *s);

#endif
