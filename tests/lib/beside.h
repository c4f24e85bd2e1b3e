/* Two functions on two threads (base/beside.h). */
#ifndef TESTS_LIB_BESIDE_H
#define TESTS_LIB_BESIDE_H

#include <pthread.h>

#include "base/assert.h"
#include "base/beside.h"

struct beside_call {
	void (*fn)(void *);
	void *work;
};

static inline void *beside_main(void *call)
{
	struct beside_call *c = call;

	c->fn(c->work);
	return NULL;
}

static inline void beside_thread(void *arg, void (*a)(void *), void (*b)(void *), void *work)
{
	struct beside_call c = {a, work};
	pthread_t thread;

	(void)arg;
	ASSERT(pthread_create(&thread, NULL, beside_main, &c) == 0);
	b(work);
	pthread_join(thread, NULL);
}

#endif
