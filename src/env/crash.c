/* What a crash leaves behind: a line and the frames on stderr, and no memory in the core file. */
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "env/env.h"

enum { FRAMES_MAX = 64 };

/* core(5): bit 4, the first page of each program file, and nothing else; registers of all threads are there in any case. */
static void core_without_memory(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "0x10", 4);
	close(fd);
}

/* Nothing in here allocates: backtrace was loaded before. */
static void on_crash(int sig)
{
	void *frames[FRAMES_MAX];
	const char *name = sigabbrev_np(sig);
	char line[64];

	(void)!write(STDERR_FILENO, line, (size_t)snprintf(line, sizeof(line), "fatal signal SIG%s; frames (addr2line -e FILE ADDRESS):\n", name ? name : "?"));
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
	raise(sig);
}

static bool sanitizer_tells(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

void env_crash_install(void)
{
	static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGABRT};
	struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER};
	void *one;

	core_without_memory();
	if (sanitizer_tells())
		return;
	backtrace(&one, 1);
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
		sigaction(signals[i], &sa, NULL);
}
