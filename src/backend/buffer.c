#include "backend/buffer.h"

enum { CHUNK_SIZE_MIN = 16 << 10, CHUNK_SIZE_MAX = 1 << 20 };

struct backend_buffer *buffer_new(void)
{
	return NEW(struct backend_buffer);
}

void buffer_free(void *p)
{
	struct backend_buffer *b = p;

	if (!b)
		return;
	for (size_t i = 0; i < BUFFER_PAGES_MAX; i++)
		mem_free(b->pages[i]);
	while (b->chunks) {
		struct buffer_chunk *c = b->chunks;

		b->chunks = c->next;
		mem_free(c);
	}
	VEC_FREE(&b->ops);
	VEC_FREE(&b->deletes);
	mem_free(b);
}

/* Chunks double from 16 KiB to 1 MiB; what is larger than half a chunk and does not fit gets one of its own,
 * behind the current one, so that the room left there is not lost. */
static uint8_t *chunk_alloc(struct backend_buffer *b, size_t size)
{
	struct buffer_chunk *c = b->chunks;

	if (!c || c->size - c->used < size) {
		size_t next =
		    c ? MIN(MAX(c->size, (size_t)CHUNK_SIZE_MIN) * 2, (size_t)CHUNK_SIZE_MAX) : CHUNK_SIZE_MIN;
		bool alone = size > next / 2;
		struct buffer_chunk *n = mem_alloc(sizeof(*n) + (alone ? size : next));

		n->size = alone ? size : next;
		n->used = 0;
		if (alone && c) {
			n->next = c->next;
			c->next = n;
		} else {
			n->next = c;
			b->chunks = n;
		}
		c = n;
	}
	uint8_t *p = c->data + c->used;

	c->used += size;
	b->bytes += size;
	return p;
}

struct slice buffer_keep(struct backend_buffer *b, struct slice s)
{
	uint8_t *p = chunk_alloc(b, s.size);

	if (s.size)
		memcpy(p, s.data, s.size);
	return slice_of(p, s.size);
}

uint8_t *buffer_add_row(struct backend_buffer *b, struct rev rev, bool tombstone, size_t row_size, size_t slack_size)
{
	unsigned page = 63 - (unsigned)__builtin_clzll(b->count / BUFFER_PAGE_ROWS_MIN + 1);

	ASSERT(rev.main > 0);
	ASSERT(rev.sub >= 0 && rev.sub < INT32_MAX);
	ASSERT(row_size <= UINT32_MAX);
	ASSERT(page < BUFFER_PAGES_MAX);
	if (b->count)
		ASSERT(rev_cmp(buffer_row_rev(buffer_row(b, b->count - 1)), rev) < 0); /* B1 */
	if (!b->pages[page])
		b->pages[page] = mem_alloc(sizeof(struct buffer_row) * ((size_t)BUFFER_PAGE_ROWS_MIN << page));
	uint8_t *p = chunk_alloc(b, row_size + slack_size);

	*buffer_row(b, b->count) = (struct buffer_row){
	    .main = rev.main,
	    .data = p,
	    .sub_tombstone = (uint32_t)rev.sub << 1 | tombstone,
	    .size = (uint32_t)row_size,
	};
	b->count++;
	b->bytes += sizeof(struct buffer_row);
	return p;
}

void buffer_add_op(struct backend_buffer *b, enum backend_bucket bucket, bool deleted, struct slice key,
		   struct slice value)
{
	struct buffer_op op = {bucket, deleted, buffer_keep(b, key), buffer_keep(b, value)};

	VEC_PUSH(&b->ops, op);
	b->bytes += sizeof(op);
}

void buffer_add_delete(struct backend_buffer *b, struct rev rev, bool tombstone)
{
	struct buffer_delete d = {rev.main, rev.sub << 1 | tombstone};

	VEC_PUSH(&b->deletes, d);
	b->bytes += sizeof(d);
}

size_t buffer_seek(const struct backend_buffer *b, size_t count, struct rev rev)
{
	size_t low = 0, high = count;

	if (!count)
		return 0;
	/* revisions mostly follow each other one row each: look where the row would be then */
	int64_t guess = rev.main - buffer_row(b, 0)->main;

	if (guess >= 0 && (uint64_t)guess < count && rev_cmp(buffer_row_rev(buffer_row(b, (size_t)guess)), rev) == 0)
		return (size_t)guess;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (rev_cmp(buffer_row_rev(buffer_row(b, mid)), rev) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool buffer_empty(const struct backend_buffer *b)
{
	return !b->count && !b->ops.count && !b->deletes.count;
}

void buffer_check(const struct backend_buffer *b)
{
	size_t rows = 0, used = 0;

	for (size_t i = 0; i + 1 < b->count; i++)
		ASSERT(rev_cmp(buffer_row_rev(buffer_row(b, i)), buffer_row_rev(buffer_row(b, i + 1))) < 0);
	for (size_t i = 0; i < b->count; i++)
		rows += buffer_row(b, i)->size;
	for (const struct buffer_chunk *c = b->chunks; c; c = c->next) {
		ASSERT(c->used <= c->size);
		used += c->used;
	}
	ASSERT(rows <= used);
	ASSERT(used <= b->bytes);
}
