/* A page that cannot be read arrives as a signal on the thread that touched it; nobody can go on from there. The handler runs on
 * that thread and only reads the table; fatal() and the log behind it do not allocate. */
#include "env/sigbus.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "env/env.h"

enum { SIGBUS_MAPS_MAX = 16, PATH_SIZE = 512 };

static struct {
	_Atomic uintptr_t at;           /* 0: free; set last, cleared first */
	_Atomic uint64_t size;
	char path[PATH_SIZE];
} maps[SIGBUS_MAPS_MAX];

static atomic_flag busy = ATOMIC_FLAG_INIT;

void sigbus_map(const uint8_t *map, uint64_t size, int fd)
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	while (atomic_flag_test_and_set(&busy))
		;
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
	atomic_flag_clear(&busy);
}

void sigbus_unmap(const uint8_t *map)
{
	for (int i = 0; i < SIGBUS_MAPS_MAX; i++) {
		uintptr_t want = (uintptr_t)map;

		if (atomic_compare_exchange_strong(&maps[i].at, &want, 0))
			return;
	}
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
