/* A range in two passes: measure, emit. Private to mvcc; mvcc_range runs one on the stack. */
#ifndef MVCC_CURSOR_H
#define MVCC_CURSOR_H

#include "mvcc/mvcc_int.h"

/* A row of a sorted or filtered range. */
struct pick {
	int64_t order; /* what is sorted by, if it is a number */
	int64_t main;
	uint32_t sub;
	uint32_t size;  /* encoded KeyValue as it is sent */
	uint32_t index; /* in key order: ties */
};

struct mvcc_cursor {
	struct range_req req; /* slices: borrowed, or into own */
	struct buf own;       /* key and range_end of a cursor that outlives its request */
	struct key_range range;
	int64_t rev, header_rev;
	bool bare;
	bool picking; /* sorted or filtered: rows are picked first */
	bool measured, sorted;
	struct buf last; /* the key that the pass has reached */
	bool started;
	int64_t pick_limit; /* of rows to pick in key order, 0 none */
	size_t picks_max;
	VEC(struct pick) picks;
	int64_t count;
	int64_t rows; /* to be sent */
	int64_t sent;
	uint64_t size; /* of the elements */
	bool more;
};

/* Borrows the request; cursor_fini frees. */
NODISCARD err_t cursor_init(struct mvcc_cursor *c, const struct mvcc_view *v, const struct range_req *r,
			    size_t bytes_max);
void cursor_fini(struct mvcc_cursor *c);

enum { EMIT_BATCH = 16 };

struct emitter {
	const struct mvcc_view *view;
	const struct range_req *req;
	struct buf *out;
	size_t count;
	size_t waiting_bytes; /* of rows added and not yet in out */
	struct past past[EMIT_BATCH];
	struct slice key[EMIT_BATCH]; /* borrowed till the flush */
};

/* A row more. It, and all before, are in out after emit_flush. ERR_TOO_LARGE: out is full; ERR_CORRUPT_FILE. */
NODISCARD err_t emit_row(struct emitter *e, const struct past *p, struct slice key);
NODISCARD err_t emit_flush(struct emitter *e);
/* Size of the KeyValue that emit_row sends. ERR_CORRUPT_FILE: it had to look. */
NODISCARD err_t emit_size(const struct mvcc_view *v, const struct range_req *r, const struct past *p, struct slice key,
			  uint32_t *out);
bool range_is_plain(const struct range_req *r);
void emit_tail(bool more, int64_t count, struct buf *out);

#endif
