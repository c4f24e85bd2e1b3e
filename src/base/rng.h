/* A small seeded generator (xoshiro256**) for tests, jitter and the simulator: not for secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, end); end > 0. */
uint64_t rng_below(struct rng *r, uint64_t end);

#endif
