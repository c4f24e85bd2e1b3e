#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t size_max)
{
	*b = (struct buf){.size_max = size_max};
}

void buf_fini(struct buf *b)
{
	mem_free(b->data);
	*b = (struct buf){.size_max = b->size_max};
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	b->failed = false;
}

uint8_t *buf_add(struct buf *b, size_t size)
{
	uint8_t *at;

	if (UNLIKELY(b->failed || size > b->size_max - b->size)) {
		b->failed = true;
		return NULL;
	}
	if (UNLIKELY(b->size + size > b->room || !b->data)) {
		size_t room = MAX(b->room * 2, b->size + size);

		room = MIN(MAX(room, 64), b->size_max);
		b->data = mem_realloc(b->data, room);
		b->room = room;
	}
	at = b->data + b->size;
	b->size += size;
	return at;
}

void buf_put(struct buf *b, const void *data, size_t size)
{
	uint8_t *at;

	if (size && (at = buf_add(b, size)))
		memcpy(at, data, size);
}

void buf_put_slice(struct buf *b, struct slice s)
{
	buf_put(b, s.data, s.size);
}

void buf_put_byte(struct buf *b, uint8_t byte)
{
	buf_put(b, &byte, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;
	int size;

	va_start(ap, fmt);
	va_copy(again, ap);
	size = vsnprintf(small, sizeof(small), fmt, ap);
	ASSERT(size >= 0);
	if ((size_t)size < sizeof(small)) {
		buf_put(b, small, (size_t)size);
	} else {
		char *big = mem_alloc((size_t)size + 1);

		vsnprintf(big, (size_t)size + 1, fmt, again);
		buf_put(b, big, (size_t)size);
		mem_free(big);
	}
	va_end(again);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t size)
{
	ASSERT(size <= b->size);
	if (size && size < b->size)
		memmove(b->data, b->data + size, b->size - size);
	b->size -= size;
}
