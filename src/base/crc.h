/* Checksums of the file formats. Pure; any thread. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include "base/slice.h"

/* CRC-32 Castagnoli, init and final xor 0xFFFFFFFF inside: crc32c(0, "123456789") = 0xE3069283, and
 * crc32c(crc32c(0, a), b) = crc32c(0, ab). Uses the CPU's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* FNV-1a, 64 bits. */
uint64_t fnv64a(const void *data, size_t size);
/* Seeded 64-bit hash for hash tables (not for files): seeds come from env's random source. */
uint64_t hash64(uint64_t seed, const void *data, size_t size);

#endif
