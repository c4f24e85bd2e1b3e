/* A tiny store and a reader for tests of the hub: the store keeps every revision, makes the events that mvcc would
 * make, and runs history tasks; the reader decodes WatchResponse messages by the wire format alone. */
#ifndef TESTS_UNIT_WATCH_TEST_H
#define TESTS_UNIT_WATCH_TEST_H

#include "../../lib/test.h"
#include "base/rng.h"
#include "pb/wire.h"
#include "watch/watch.h"

/* ---- store ---- */

struct ts_row {
	struct rev rev;
	bool tombstone;
	char key[32];
	int64_t create_rev, version;
	struct blob *kv; /* as stored: encoded KeyValue; of a tombstone only the key */
};

struct test_store {
	VEC(struct ts_row) rows;
	int64_t rev;
	int64_t compact_rev;
	int64_t txn_from; /* rows of the revision under construction start here */
};

void ts_init(struct test_store *ts);
void ts_fini(struct test_store *ts);
/* Changes of one revision, between begin and end. A delete of a missing key does nothing. */
void ts_begin(struct test_store *ts);
void ts_put(struct test_store *ts, const char *key, const char *value);
void ts_delete(struct test_store *ts, const char *key);
/* Tells the hub, unless NULL; false: nothing changed. */
bool ts_end(struct test_store *ts, struct watch_hub *h);
void ts_put1(struct test_store *ts, struct watch_hub *h, const char *key, const char *value);
void ts_delete1(struct test_store *ts, struct watch_hub *h, const char *key);
void ts_compact(struct test_store *ts, struct watch_hub *h, int64_t rev);
/* The row of key that was the newest at rev, NULL if none or deleted. */
const struct ts_row *ts_get(const struct test_store *ts, const char *key, int64_t rev);
/* watch_config.prev_row, arg = the store */
err_t ts_prev_row(void *arg, struct rev prev, struct slice *out);
/* Runs a task on the rows up to the store's revision, at most rows_max of them are visible before it gives up as not
 * full. */
void ts_run_task(struct test_store *ts, struct watch_task *t);
/* Everything that can be done: ready watchers, tasks, until nothing moves. */
void ts_settle(struct test_store *ts, struct watch_hub *h);

/* ---- messages ---- */

struct msg_event {
	bool is_delete;
	char key[32];
	char value[32];
	int64_t create_rev, mod_rev, version;
	bool has_prev;
	char prev_value[32];
	int64_t prev_mod_rev;
};

struct reply {
	void *stream;
	uint64_t cluster_id, member_id, term;
	int64_t rev, watch_id, compact_rev;
	bool created, canceled, fragment;
	char reason[100];
	uint64_t size;
	VEC(struct msg_event) events;
};

struct messages {
	VEC(struct reply) list;
	size_t read; /* next_message */
};

void read_batch(struct watch_batch *b, struct messages *m);
/* Takes what the hub has for port 0 and decodes it; sizes are checked. */
void take_messages(struct watch_hub *h, struct messages *m);
/* The next one in order; fails the test if there is none. */
const struct reply *next_message(struct messages *m);
bool no_message(const struct messages *m);
void messages_clear(struct messages *m);

/* Key and range end as text; "\0" is written as an empty string with size 1: use FROM_KEY. */
#define FROM_KEY "\x01FROM"
struct watch_req create_req(const char *key, const char *end, int64_t start);

#endif
