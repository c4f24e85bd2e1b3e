/* A way to run two functions beside each other, given by who has threads to those who must not make any. */
#ifndef BASE_BESIDE_H
#define BASE_BESIDE_H

/* Runs both with work, a perhaps on a thread of its own, and returns when both have ended. */
typedef void beside_fn(void *arg, void (*a)(void *), void (*b)(void *), void *work);

struct beside {
	beside_fn *fn; /* NULL: one after the other */
	void *arg;
};

static inline void beside_run(struct beside s, void (*a)(void *), void (*b)(void *), void *work)
{
	if (s.fn) {
		s.fn(s.arg, a, b, work);
	} else {
		a(work);
		b(work);
	}
}

#endif
