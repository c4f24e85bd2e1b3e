/* Helpers of the pb tests: bytes written as hex, encoded buffers compared. */
#ifndef TESTS_UNIT_PB_TEST_H
#define TESTS_UNIT_PB_TEST_H

#include "../../lib/test.h"

#include "base/arena.h"
#include "base/buf.h"

/* "0a 03 666f6f" -> bytes in a static ring of buffers: good for the next seven calls. */
static inline struct slice hex(const char *text)
{
	static uint8_t ring[8][4096];
	static unsigned turn;
	uint8_t *out = ring[turn++ % 8];
	size_t size = 0, digits = 0;

	for (const char *p = text; *p; p++) {
		int v = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;

		if (*p == ' ')
			continue;
		ASSERT(v >= 0 && size < sizeof(ring[0]));
		out[size] = (uint8_t)(digits % 2 ? out[size] << 4 | v : v);
		size += digits % 2;
		digits++;
	}
	ASSERT(digits % 2 == 0);
	return slice_of(out, size);
}

static inline void print_bytes(const char *what, struct slice s)
{
	fprintf(stderr, "%s ", what);
	for (size_t i = 0; i < s.size; i++)
		fprintf(stderr, "%02x", s.data[i]);
	fprintf(stderr, "\n");
}

static inline void assert_bytes(struct slice got, struct slice want)
{
	if (!slice_eq(got, want)) {
		print_bytes("got ", got);
		print_bytes("want", want);
		fail_msg("bytes differ");
	}
}

#endif
