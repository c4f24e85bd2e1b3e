/* Unaligned integers in files and on wires. Pure. */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

#define ENDIAN_PAIR(bits)                                                             \
	static inline uint##bits##_t le##bits##_get(const void *p)                    \
	{                                                                             \
		uint##bits##_t v;                                                     \
		memcpy(&v, p, sizeof(v));                                             \
		return v;                                                             \
	}                                                                             \
	static inline void le##bits##_put(void *p, uint##bits##_t v)                  \
	{                                                                             \
		memcpy(p, &v, sizeof(v));                                             \
	}                                                                             \
	static inline uint##bits##_t be##bits##_get(const void *p)                    \
	{                                                                             \
		return __builtin_bswap##bits(le##bits##_get(p));                      \
	}                                                                             \
	static inline void be##bits##_put(void *p, uint##bits##_t v)                  \
	{                                                                             \
		le##bits##_put(p, __builtin_bswap##bits(v));                          \
	}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "written for little-endian machines");

ENDIAN_PAIR(16)
ENDIAN_PAIR(32)
ENDIAN_PAIR(64)

#endif
