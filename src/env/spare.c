/* What a process holds and does not need.
 *
 * Memory that was freed but stays with the allocator: after a burst of writes it can be as much as all that is in use. What is
 * resident tells it from what was given back already, which the allocator counts as free all the same.
 *
 * Pages of mapped files that were looked at once: they count as the process's until it ends, and the system, short of memory, takes
 * pages that somebody has mapped after others. Looking at one again costs a fault for 16 pages, 1 to 2 us. */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "env/env.h"
#include "env/sigbus.h"

enum { SPARE_MIN = 4 << 20, REST_S = 30, MAPPED_MIN = 4 << 20, MAPPED_PER_S = 2 << 20 };

static const uint64_t SECOND_NS = UINT64_C(1000000000);

/* 0, 0 where there is no such file. */
static void resident_bytes(uint64_t *own, uint64_t *mapped)
{
	unsigned long long size, resident, shared;
	FILE *f = fopen("/proc/self/statm", "re");
	int n = f ? fscanf(f, "%llu %llu %llu", &size, &resident, &shared) : 0;
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);

	if (f)
		fclose(f);
	*own = n == 3 && resident > shared ? (resident - shared) * page_size : 0;
	*mapped = n == 3 ? shared * page_size : 0;
}

/* At MAPPED_PER_S at most, so that faults cost next to nothing however large the file and however many read it. */
static void look_at_maps(struct env_spare *s, uint64_t mapped, uint64_t now_ns)
{
	uint64_t own;

	if (mapped < s->mapped_bytes + MAPPED_MIN || now_ns < s->maps_rest_until_ns)
		return;
	sigbus_maps_let_go();
	resident_bytes(&own, &s->mapped_bytes);
	s->maps_rest_until_ns = now_ns + (mapped - MIN(mapped, s->mapped_bytes)) * SECOND_NS / MAPPED_PER_S;
}

#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
static void look_at_heap(struct env_spare *s, uint64_t own, uint64_t now_ns)
{
	struct mallinfo2 m = mallinfo2();
	uint64_t used = m.uordblks + m.hblkhd;
	uint64_t spare = own > used ? own - used : 0, least = SPARE_MIN + used / 4;

	if (spare >= least && s->spare_bytes >= least && now_ns >= s->rest_until_ns) {
		malloc_trim(0);
		s->rest_until_ns = now_ns + REST_S * SECOND_NS;
		spare = 0;
	}
	s->spare_bytes = spare;
}
#else
static void look_at_heap(struct env_spare *s, uint64_t own, uint64_t now_ns)
{
}
#endif

void env_spare_look(struct env_spare *s)
{
	uint64_t own, mapped, now_ns = env_mono_ns();

	resident_bytes(&own, &mapped);
	look_at_heap(s, own, now_ns);
	look_at_maps(s, mapped, now_ns);
}
