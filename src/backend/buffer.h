/* The write buffer: what core applied since the last freeze. Private to backend.
 *
 * Rows of bucket key come in ascending revisions into pages of doubling size (page k holds 256 << k rows), so an
 * index is resolved without a search and nothing ever moves; their bytes lie in chunks.
 *
 *	page 0: rows 0..255   page 1: rows 256..767   page 2: rows 768..1791   …
 *
 *   B1  row i+1 > row i
 *   B2  a row below a published count never changes: readers need no lock
 *   B3  after the freeze nothing changes at all
 *
 * Puts of the small buckets and deletes are lists that only the merge reads. */
#ifndef BACKEND_BUFFER_H
#define BACKEND_BUFFER_H

#include "backend/backend.h"

enum { BUFFER_PAGES_MAX = 32, BUFFER_PAGE_ROWS_MIN = 256 };

struct buffer_row {
	int64_t main;
	const uint8_t *data;
	uint32_t sub_tombstone; /* sub << 1 | tombstone */
	uint32_t size;
};

struct buffer_op {
	enum backend_bucket bucket;
	bool deleted;
	struct slice key;
	struct slice value;
};

struct buffer_delete {
	int64_t main;
	int64_t sub_tombstone;
};

struct buffer_chunk {
	struct buffer_chunk *next;
	size_t size;
	size_t used;
	uint8_t data[];
};

struct backend_buffer {
	struct buffer_row *pages[BUFFER_PAGES_MAX];
	size_t count;
	size_t bytes;                /* what counts against the maximum */
	struct buffer_chunk *chunks; /* newest first */
	VEC(struct buffer_op) ops;
	VEC(struct buffer_delete) deletes;
	/* set by the freeze */
	uint64_t consistent_index;
	uint64_t term;
	struct slice conf_state_json; /* in a chunk */
};

static inline struct buffer_row *buffer_row(const struct backend_buffer *b, size_t i)
{
	unsigned page = 63 - (unsigned)__builtin_clzll(i / BUFFER_PAGE_ROWS_MIN + 1);

	return &b->pages[page][i - (((size_t)1 << page) - 1) * BUFFER_PAGE_ROWS_MIN];
}

static inline struct rev buffer_row_rev(const struct buffer_row *r)
{
	return (struct rev){r->main, r->sub_tombstone >> 1};
}

static inline bool buffer_row_tombstone(const struct buffer_row *r)
{
	return r->sub_tombstone & 1;
}

static inline struct slice buffer_row_value(const struct buffer_row *r)
{
	return slice_of(r->data, r->size);
}

struct backend_buffer *buffer_new(void);
void buffer_free(void *b); /* an epoch_free_fn */
/* See backend_row. */
uint8_t *buffer_add_row(struct backend_buffer *b, struct rev rev, bool tombstone, size_t row_size, size_t slack_size);
void buffer_add_op(struct backend_buffer *b, enum backend_bucket bucket, bool deleted, struct slice key,
		   struct slice value);
void buffer_add_delete(struct backend_buffer *b, struct rev rev, bool tombstone);
/* A copy that lives as long as the buffer. */
struct slice buffer_keep(struct backend_buffer *b, struct slice s);
/* Of the first count rows: the index of the first one >= rev, count if there is none. */
size_t buffer_seek(const struct backend_buffer *b, size_t count, struct rev rev);
bool buffer_empty(const struct backend_buffer *b);
void buffer_check(const struct backend_buffer *b);

#endif
