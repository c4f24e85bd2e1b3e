#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static fatal_hook *hook;

void fatal_set_hook(fatal_hook *h)
{
	hook = h;
}

void assert_fail(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "ASSERT failed: %s at %s:%d in %s\n", cond, file, line, func);
	fflush(stderr);
	abort();
}

void fatal(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (hook)
		hook(text);
	else
		fprintf(stderr, "fatal: %s\n", text);
	_exit(1);
}
