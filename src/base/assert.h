/* Assertions that stay on in release builds, and the two ways to die.
 *
 * ASSERT: our bug; one condition each, cheap, without side effects. Never for bytes from outside.
 * FATAL: the world failed under us (a sync returned an error): says what and the remedy, never goes on.
 * Both end in a hook, so that the simulator can end one node instead of the process. Any thread. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#include "base/err.h"

#define NORETURN __attribute__((noreturn))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ASSERT(cond)                                                    \
	do {                                                            \
		if (UNLIKELY(!(cond)))                                  \
			assert_fail(#cond, __FILE__, __LINE__, __func__); \
	} while (0)

#define UNREACHABLE() assert_fail("unreachable", __FILE__, __LINE__, __func__)

void assert_fail(const char *cond, const char *file, int line, const char *func) NORETURN;

/* Ends the process with exit code 1 after one line; default prints to stderr. */
void fatal(const char *fmt, ...) PRINTF(1, 2) NORETURN;

/* Who writes the last line of a FATAL and does not return (log + _exit in the server, longjmp in the
 * simulator). Set once before threads start; the simulator sets it per step. NULL restores the default. */
typedef void fatal_hook(const char *line);
void fatal_set_hook(fatal_hook *hook);

#endif
