#include "base/crc.h"

#include "base/endian.h"
#include "base/mem.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

/* The instruction gives a result every cycle, but three cycles late: long input goes in three lanes side by side. */
enum { LANE = 1024 };

static uint32_t table[8][256];
static uint32_t lane_table[4][256];     /* what LANE zero bytes make of a register, by its bytes */

static void lanes_fill(void);

static void __attribute__((constructor)) table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xff];
	lanes_fill();
}

/* Slicing by eight bytes, for machines without the instruction. */
static uint32_t crc_soft(uint32_t c, const uint8_t *p, size_t size)
{
	for (; size >= 8; size -= 8, p += 8) {
		uint64_t w = le64_get(p) ^ c;

		c = table[7][w & 0xff] ^ table[6][(w >> 8) & 0xff] ^ table[5][(w >> 16) & 0xff] ^ table[4][(w >> 24) & 0xff] ^
		    table[3][(w >> 32) & 0xff] ^ table[2][(w >> 40) & 0xff] ^ table[1][(w >> 48) & 0xff] ^ table[0][w >> 56];
	}
	for (; size; size--, p++)
		c = table[0][(c ^ *p) & 0xff] ^ (c >> 8);
	return c;
}

/* The register is linear in its bits. */
static void lanes_fill(void)
{
	static const uint8_t zeros[LANE];

	for (int k = 0; k < 4; k++)
		for (uint32_t i = 1; i < 256; i++)
			lane_table[k][i] = i & (i - 1) ? lane_table[k][i & (i - 1)] ^ lane_table[k][i & -i] :
							 crc_soft(i << 8 * k, zeros, LANE);
}

static inline uint32_t lane_over(uint32_t c)
{
	return lane_table[0][c & 0xff] ^ lane_table[1][(c >> 8) & 0xff] ^ lane_table[2][(c >> 16) & 0xff] ^ lane_table[3][c >> 24];
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t c, const uint8_t *p, size_t size)
{
	uint64_t w = c;

	for (; size >= 3 * LANE; size -= 3 * LANE, p += 3 * LANE) {
		uint64_t w1 = 0, w2 = 0;

		for (size_t i = 0; i < LANE; i += 8) {
			w = _mm_crc32_u64(w, le64_get(p + i));
			w1 = _mm_crc32_u64(w1, le64_get(p + LANE + i));
			w2 = _mm_crc32_u64(w2, le64_get(p + 2 * LANE + i));
		}
		w = lane_over(lane_over((uint32_t)w) ^ (uint32_t)w1) ^ (uint32_t)w2;
	}
	for (; size >= 8; size -= 8, p += 8)
		w = _mm_crc32_u64(w, le64_get(p));
	c = (uint32_t)w;
	for (; size; size--, p++)
		c = _mm_crc32_u8(c, *p);
	return c;
}
#define HAVE_HARD __builtin_cpu_supports("sse4.2")
#elif defined(__ARM_FEATURE_CRC32)
static uint32_t crc_hard(uint32_t c, const uint8_t *p, size_t size)
{
	for (; size >= 3 * LANE; size -= 3 * LANE, p += 3 * LANE) {
		uint32_t c1 = 0, c2 = 0;

		for (size_t i = 0; i < LANE; i += 8) {
			c = __crc32cd(c, le64_get(p + i));
			c1 = __crc32cd(c1, le64_get(p + LANE + i));
			c2 = __crc32cd(c2, le64_get(p + 2 * LANE + i));
		}
		c = lane_over(lane_over(c) ^ c1) ^ c2;
	}
	for (; size >= 8; size -= 8, p += 8)
		c = __crc32cd(c, le64_get(p));
	for (; size; size--, p++)
		c = __crc32cb(c, *p);
	return c;
}
#define HAVE_HARD 1
#else
#define crc_hard crc_soft
#define HAVE_HARD 0
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	return ~(HAVE_HARD ? crc_hard(~crc, data, size) : crc_soft(~crc, data, size));
}

uint64_t fnv64a(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325u;

	while (size--)
		h = (h ^ *p++) * 0x100000001b3u;
	return h;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash64(uint64_t seed, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ size;
	uint64_t tail = 0;

	for (; size >= 8; size -= 8, p += 8)
		h = mix(h ^ le64_get(p), 0xa0761d6478bd642fu ^ seed);
	if (size)
		memcpy(&tail, p, size);
	h = mix(h ^ tail, 0xe7037ed1a0b428dbu);
	return mix(h, 0x8ebc6af09c88c6e3u ^ seed);
}
