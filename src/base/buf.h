/* A growing byte buffer, born with a maximum. Once that is passed the buffer keeps its first error and
 * ignores what follows: encoders ask once at the end (buf_failed). Owner: whoever has the struct.
 * One thread at a time.
 *
 *	struct buf b;
 *	buf_init(&b, 1 << 20);
 *	buf_put(&b, "abc", 3);
 *	send(buf_slice(&b));
 *	buf_fini(&b); */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"

struct buf {
	uint8_t *data;
	size_t size;
	size_t room;
	size_t size_max;
	bool failed;
};

void buf_init(struct buf *b, size_t size_max);
void buf_fini(struct buf *b);
/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);
/* size bytes at the end, uninitialised, to be filled by the caller at once; NULL once failed. */
uint8_t *buf_add(struct buf *b, size_t size);
void buf_put(struct buf *b, const void *data, size_t size);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Drops size bytes in front (a memmove of the rest). */
void buf_drop_front(struct buf *b, size_t size);

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->data, b->size);
}

#endif
