/* Memory that was freed but stays with the allocator: after a burst of writes it can be as much as all that is in use. What is
 * resident tells it from what was given back already, which the allocator counts as free all the same. */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "env/env.h"

enum { SPARE_MIN = 4 << 20, REST_S = 30 };

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
static uint64_t resident_bytes(void)
{
	unsigned long long size, resident, shared;
	FILE *f = fopen("/proc/self/statm", "re");
	int n = f ? fscanf(f, "%llu %llu %llu", &size, &resident, &shared) : 0;

	if (f)
		fclose(f);
	return n == 3 && resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void env_spare_look(struct env_spare *s)
{
	struct mallinfo2 m = mallinfo2();
	uint64_t used = m.uordblks + m.hblkhd, resident = resident_bytes(), now_ns = env_mono_ns();
	uint64_t spare = resident > used ? resident - used : 0, least = SPARE_MIN + used / 4;

	if (spare >= least && s->spare_bytes >= least && now_ns >= s->rest_until_ns) {
		malloc_trim(0);
		s->rest_until_ns = now_ns + REST_S * UINT64_C(1000000000);
		spare = 0;
	}
	s->spare_bytes = spare;
}
#else
void env_spare_look(struct env_spare *s)
{
}
#endif
