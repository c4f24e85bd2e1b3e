/* A page that cannot be read arrives as a signal on the thread that touched it; nobody can go on from there. The handler runs on
 * that thread and only reads the table; fatal() and the log behind it do not allocate. */
#include "env/sigbus.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "env/env.h"

enum { SIGBUS_MAPS_MAX = 16, PATH_SIZE = 512 };

static struct {
	_Atomic uintptr_t at;           /* 0: free; set last, cleared first */
	_Atomic uint64_t size;
	char path[PATH_SIZE];
} maps[SIGBUS_MAPS_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;     /* of all but the handler, which only reads */

void sigbus_map(const uint8_t *map, uint64_t size, int fd)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SIGBUS_MAPS_MAX; i++) {
		ssize_t n;

		if (maps[i].at)
			continue;
		n = readlink(link, maps[i].path, PATH_SIZE - 1);
		maps[i].path[n > 0 ? n : 0] = 0;
		maps[i].size = size;
		maps[i].at = (uintptr_t)map;
		break;
	}
	pthread_mutex_unlock(&lock);
}

void sigbus_unmap(const uint8_t *map)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SIGBUS_MAPS_MAX; i++)
		if (maps[i].at == (uintptr_t)map)
			maps[i].at = 0;
	pthread_mutex_unlock(&lock);
}

void sigbus_maps_let_go(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SIGBUS_MAPS_MAX; i++)
		if (maps[i].at) /* EINVAL for one that is locked in memory */
			(void)!madvise((void *)maps[i].at, (size_t)maps[i].size, MADV_DONTNEED);
	pthread_mutex_unlock(&lock);
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;

	for (int i = 0; i < SIGBUS_MAPS_MAX; i++) {
		uintptr_t base = maps[i].at;
		unsigned long long offset = at - base, page_size = (unsigned long long)sysconf(_SC_PAGESIZE);

		if (base && at >= base && offset < maps[i].size)
			fatal("%s: page %llu (of %llu bytes, offset %llu) cannot be read: the disk failed or the file was cut short; restore "
			      "this member from a snapshot or from the other members", maps[i].path, offset / page_size, page_size, offset);
	}
	signal(SIGBUS, SIG_DFL);        /* not ours: the same fault again, without us */
}

void env_sigbus_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGBUS, &sa, NULL);
}
