/* A place in the line of a prefix, as the clients' lock and election recipe keeps it: <name>/<lease in hex>, held by that
 * lease; the key with the least create revision is first. Private to src/api (lock.c, election.c).
 *
 *	l = line_new(r, name, lease);   line_open(r, next);     next when l->lease and l->key stand
 *	line_wait(r, next);                                     next when nobody of a lower create revision is left
 *
 * Every error of an inner call ends the outer one with status Unknown and the inner text, as upstream's services do, which are clients
 * of their own member. A line is the call's state; each step goes on with the answer in l->part.answer. */
#ifndef API_LINE_H
#define API_LINE_H

#include "api/api_impl.h"

struct line {
	struct api_part part;
	struct buf prefix;              /* <name>/ */
	struct buf key;
	int64_t lease;
	int64_t rev;                    /* create revision of key */
	struct buf header;              /* encoded ResponseHeader for the answer */
	struct buf value;               /* election: what is proclaimed */
	api_step *next;
	void (*lost)(struct api_rpc *r, const char *text);      /* the wait failed */
	int64_t watch_rev;
	bool waiting;                   /* in line_wait, or behind it with the answer not given yet */
	bool gone;                      /* the key waited for was deleted */
	const char *text;               /* error to answer with after cleaning up; in the call's arena */
	struct buf resumed;             /* election: the key that the caller says is his */
};

struct line *line_new(struct api_rpc *r, struct slice name, int64_t lease);
void line_drop(struct api_rpc *r);
/* A lease of 60 s if none was given. */
void line_open(struct api_rpc *r, api_step *next);
void line_fail(struct api_rpc *r, const char *text);
/* What done functions do with an error: true, the call has ended. */
bool line_failed(struct api_rpc *r, err_t err, const char *text);
/* Waits for the deletion of all keys of the prefix with create revisions below l->rev. */
void line_wait(struct api_rpc *r, api_step *next, void (*lost)(struct api_rpc *r, const char *text));

/* Parts of requests. */
void line_put_compare(struct buf *txn, struct slice key, int64_t create_rev);
enum line_branch { LINE_THEN = 2, LINE_ELSE = 3 };
void line_put_op_put(struct buf *txn, enum line_branch b, const struct line *l, struct slice value);
void line_put_op_get(struct buf *txn, enum line_branch b, struct slice key);
void line_put_op_first(struct buf *txn, enum line_branch b, const struct line *l);
void line_put_op_delete(struct buf *txn, enum line_branch b, struct slice key);
/* Range of the prefix: the key created first. */
void line_put_first(struct buf *range, const struct line *l);

/* The answers that matter here. Slices borrow answer. */
struct line_range {
	struct slice header;
	int64_t header_rev;
	bool found;
	struct slice row;               /* encoded KeyValue */
	struct kv kv;
};
struct line_txn {
	struct slice header;
	int64_t header_rev;
	bool succeeded;
	struct line_range ranges[2];    /* of its range responses, in order */
	size_t range_count;
};
NODISCARD err_t line_range_parse(struct slice answer, struct line_range *out);
NODISCARD err_t line_txn_parse(struct slice answer, struct line_txn *out);
struct line_watch {
	struct slice header;
	int64_t header_rev;
	bool canceled;
	int64_t compact_rev;
	struct slice reason;
};
/* Calls event for each event of a WatchResponse until it returns false. */
NODISCARD err_t line_watch_parse(struct slice answer, struct line_watch *out,
				 bool (*event)(struct api_rpc *r, bool is_delete, struct slice row), struct api_rpc *r);
/* Text of a watch that was cancelled. */
const char *line_watch_text(struct api_rpc *r, const struct line_watch *w);
void line_watch(struct api_rpc *r, struct slice key, bool prefix, int64_t rev, bool (*message)(struct api_rpc *r),
		void (*done)(struct api_rpc *r, err_t err, const char *text));
/* Keeps the header for the answer. */
void line_keep_header(struct line *l, struct slice header);
/* Answers with that header as field 1 and what extra holds behind it. */
void line_reply(struct api_rpc *r, struct slice header, struct slice extra);
/* A copy in the call's arena. */
const char *line_text_keep(struct api_rpc *r, struct slice text);
/* Row hook: forgets the inner call. */
void line_part_stop(struct api_rpc *r);

#endif
