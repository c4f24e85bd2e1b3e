/* v3electionpb.Election: a leader is the first in the line of the election's name; what it proclaims is its key's value. */
#include "api/line.h"

/* ---- requests: LeaderKey {name 1, key 2, rev 3, lease 4} ---- */

struct leader_key {
	bool given;
	struct slice name, key;
	int64_t rev, lease;
};

static bool leader_key_parse(struct slice s, struct leader_key *k)
{
	struct pb_reader rd = pb_reader_of(s);
	struct pb_field f;

	k->given = true;
	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			k->name = f.bytes;
		else if (f.number == 2 && f.wire == PB_BYTES)
			k->key = f.bytes;
		else if (f.number == 3 && f.wire == PB_VARINT)
			k->rev = (int64_t)f.value;
		else if (f.number == 4 && f.wire == PB_VARINT)
			k->lease = (int64_t)f.value;
	}
	return !rd.failed;
}

/* Proclaim and Resign: {leader 1, value 2}. */
static void resume(struct api_rpc *r, struct blob *take_body, api_step *next)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct leader_key k = {0};
	struct slice value = {0};
	struct pb_field f;
	bool good = true;
	struct line *l;

	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			good = leader_key_parse(f.bytes, &k) && good;
		else if (f.number == 2 && f.wire == PB_BYTES)
			value = f.bytes;
	}
	l = line_new(r, k.name, k.lease);
	l->rev = k.rev;
	buf_put_slice(&l->value, value);
	if (rd.failed || !good) {
		api_fail(r, ERR_MALFORMED);
	} else if (!k.given) {
		api_fail(r, ERR_MISSING_LEADER_KEY);
	} else {
		buf_put_slice(&l->resumed, k.key);
		line_open(r, next);
	}
	blob_unref(take_body);
}

static struct slice name_parse(struct slice body, bool *good)
{
	struct pb_reader rd = pb_reader_of(body);
	struct slice name = {0};
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.bytes;
	*good = !rd.failed;
	return name;
}

/* The session may have made the key from a new lease: what was given counts. */
static void key_restore(struct line *l)
{
	buf_clear(&l->key);
	buf_put_slice(&l->key, buf_slice(&l->resumed));
}

/* ---- Proclaim ---- */

static void proclaim(struct api_rpc *r, void (*done)(struct api_rpc *r, err_t err, const char *text))
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	line_put_compare(&q, buf_slice(&l->key), l->rev);
	line_put_op_put(&q, LINE_THEN, l, buf_slice(&l->value));
	api_part_call(&l->part, RPC_TXN, &q, done);
}

/* NULL, or why it did not go through. */
static const char *proclaim_result(struct line *l, err_t err, const char *text, struct line_txn *t)
{
	if (err)
		return text;
	if (line_txn_parse(buf_slice(&l->part.answer), t))
		return err_text(ERR_CORRUPT_FILE);
	return t->succeeded ? NULL : err_text(ERR_ELECTION_NOT_LEADER);
}

static void proclaimed(struct api_rpc *r, err_t err, const char *text)
{
	struct line_txn t;

	text = proclaim_result(r->state, err, text, &t);
	if (text)
		line_fail(r, text);
	else
		line_reply(r, t.header, (struct slice){0});
}

static void proclaim_start(struct api_rpc *r)
{
	key_restore(r->state);
	proclaim(r, proclaimed);
}

static void proclaim_message(struct api_rpc *r, struct blob *take_body)
{
	resume(r, take_body, proclaim_start);
}

/* ---- Resign ---- */

static void resign(struct api_rpc *r, void (*done)(struct api_rpc *r, err_t err, const char *text))
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	line_put_compare(&q, buf_slice(&l->key), l->rev);
	line_put_op_delete(&q, LINE_THEN, buf_slice(&l->key));
	api_part_call(&l->part, RPC_TXN, &q, done);
}

/* Not the leader any more is fine. */
static void resigned(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_txn t;

	if (line_failed(r, err, text))
		return;
	if (line_txn_parse(buf_slice(&l->part.answer), &t))
		line_fail(r, err_text(ERR_CORRUPT_FILE));
	else
		line_reply(r, t.header, (struct slice){0});
}

static void resign_start(struct api_rpc *r)
{
	key_restore(r->state);
	resign(r, resigned);
}

static void resign_message(struct api_rpc *r, struct blob *take_body)
{
	resume(r, take_body, resign_start);
}

/* ---- Campaign ---- */

static void campaign_given_up(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;

	if (api_alive(r)) {
		line_fail(r, l->text);
	} else {
		r->held = false;
		api_settle(r);
	}
}

/* Upstream leaves the place to its lease when the wait fails, but not when the caller goes away. */
static void campaign_lost(struct api_rpc *r, const char *text)
{
	((struct line *)r->state)->waiting = false;
	line_fail(r, text);
}

static void campaign_stop(struct api_rpc *r)
{
	struct line *l = r->state;

	if (!l)
		return;
	api_part_stop(&l->part);
	if (l->waiting) {
		l->waiting = false;
		r->held = true;
		resign(r, campaign_given_up);
	}
}

static void campaign_won(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf leader;
	size_t mark;

	l->waiting = false;
	buf_init(&leader, API_RESP_MAX);
	mark = pb_begin(&leader, 2);
	pb_put_bytes(&leader, 1, slice_of(l->prefix.data, l->prefix.size - 1));
	pb_put_bytes(&leader, 2, buf_slice(&l->key));
	pb_put_uint(&leader, 3, (uint64_t)l->rev);
	pb_put_uint(&leader, 4, (uint64_t)l->lease);
	pb_end(&leader, mark);
	line_reply(r, buf_slice(&l->header), buf_slice(&leader));
	buf_fini(&leader);
}

static void campaign_proclaimed(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_txn t;

	text = proclaim_result(l, err, text, &t);
	if (!text) {
		line_wait(r, campaign_won, campaign_lost);
		return;
	}
	l->text = line_text_keep(r, slice_str(text));
	resign(r, campaign_given_up);
}

static void campaign_entered(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_txn t;

	if (line_failed(r, err, text))
		return;
	if (line_txn_parse(buf_slice(&l->part.answer), &t)) {
		line_fail(r, err_text(ERR_CORRUPT_FILE));
		return;
	}
	line_keep_header(l, t.header);
	l->rev = t.succeeded ? t.header_rev : t.ranges[0].kv.create_rev;
	if (!t.succeeded && !slice_eq(t.ranges[0].kv.value, buf_slice(&l->value)))
		proclaim(r, campaign_proclaimed);
	else
		line_wait(r, campaign_won, campaign_lost);
}

static void campaign_start(struct api_rpc *r)
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	line_put_compare(&q, buf_slice(&l->key), 0);
	line_put_op_put(&q, LINE_THEN, l, buf_slice(&l->value));
	line_put_op_get(&q, LINE_ELSE, buf_slice(&l->key));
	api_part_call(&l->part, RPC_TXN, &q, campaign_entered);
}

/* CampaignRequest {name 1, lease 2, value 3} */
static void campaign_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct slice name = {0}, value = {0};
	struct pb_field f;
	int64_t lease = 0;
	struct line *l;

	while (pb_next(&rd, &f)) {
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.bytes;
		else if (f.number == 2 && f.wire == PB_VARINT)
			lease = (int64_t)f.value;
		else if (f.number == 3 && f.wire == PB_BYTES)
			value = f.bytes;
	}
	l = line_new(r, name, lease);
	buf_put_slice(&l->value, value);
	blob_unref(take_body);
	if (rd.failed)
		api_fail(r, ERR_MALFORMED);
	else
		line_open(r, campaign_start);
}

/* ---- Leader ---- */

static void ask_first(struct api_rpc *r, void (*done)(struct api_rpc *r, err_t err, const char *text))
{
	struct line *l = r->state;
	struct buf q;

	buf_init(&q, API_RESP_MAX);
	line_put_first(&q, l);
	api_part_call(&l->part, RPC_RANGE, &q, done);
}

static void leader_found(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_range first;
	struct buf kv;

	if (line_failed(r, err, text))
		return;
	if (line_range_parse(buf_slice(&l->part.answer), &first)) {
		line_fail(r, err_text(ERR_CORRUPT_FILE));
	} else if (!first.found) {
		api_fail(r, ERR_ELECTION_NO_LEADER);
	} else {
		buf_init(&kv, API_RESP_MAX);
		pb_put_bytes(&kv, 2, first.row);
		line_reply(r, first.header, buf_slice(&kv));
		buf_fini(&kv);
	}
}

/* LeaderRequest {name 1}. False: the call has ended. */
static bool leader_request(struct api_rpc *r, struct blob *take_body)
{
	bool good;

	line_new(r, name_parse(blob_slice(take_body), &good), 0);
	blob_unref(take_body);
	if (!good)
		api_fail(r, ERR_MALFORMED);
	return good;
}

static void leader_message(struct api_rpc *r, struct blob *take_body)
{
	if (leader_request(r, take_body))
		ask_first(r, leader_found);
}

/* ---- Observe: the leader's key as it is, then each put of it; when it is deleted, from the start ---- */

static void observe_start(struct api_rpc *r);

/* False: no room for more. */
static bool observe_send(struct api_rpc *r, struct slice header, struct slice row)
{
	struct slice msg;
	struct buf out;
	bool room;

	buf_init(&out, API_RESP_MAX);
	pb_put_bytes_always(&out, 1, header);
	pb_put_bytes(&out, 2, row);
	msg = buf_slice(&out);
	room = api_send(r, &msg, 1);
	buf_fini(&out);
	return room;
}

/* As upstream: whatever happened, the stream ends well. */
static void observe_broken(struct api_rpc *r, err_t err, const char *text)
{
	api_done(r);
}

static void observe_again(struct api_rpc *r)
{
	struct line *l = r->state;

	api_part_stop(&l->part);
	if (l->gone)
		observe_start(r);
	else
		api_done(r);
}

static bool leader_event(struct api_rpc *r, bool is_delete, struct slice row)
{
	struct line *l = r->state;

	if (is_delete)
		l->gone = true;
	else
		observe_send(r, buf_slice(&l->header), row);
	return !is_delete;
}

static struct slice header_of(struct slice answer)
{
	struct pb_reader rd = pb_reader_of(answer);
	struct pb_field f;

	while (pb_next(&rd, &f))
		if (f.number == 1)
			return f.bytes;
	return (struct slice){0};
}

static bool leader_watched(struct api_rpc *r)
{
	struct line *l = r->state;
	struct line_watch w;
	err_t err;

	if (l->gone || l->text)
		return true;
	line_keep_header(l, header_of(buf_slice(&l->part.answer)));
	err = line_watch_parse(buf_slice(&l->part.answer), &w, leader_event, r);
	if (err || w.canceled)
		l->text = "";
	if (l->gone || l->text)
		api_later(r, observe_again);
	return r->ops->writable(r->sink);
}

static void watch_leader(struct api_rpc *r, struct slice key, int64_t rev)
{
	struct line *l = r->state;

	l->gone = false;
	l->text = NULL;
	line_watch(r, key, false, rev, leader_watched, observe_broken);
}

/* Somebody came first in an empty line: header.rev is that of his put. */
static void observe_came(struct api_rpc *r)
{
	struct line *l = r->state;
	struct kv kv;

	api_part_stop(&l->part);
	if (l->text || kv_decode(buf_slice(&l->value), &kv)) {
		api_done(r);
		return;
	}
	observe_send(r, buf_slice(&l->header), buf_slice(&l->value));
	watch_leader(r, kv.key, kv.mod_rev + 1);
}

static bool first_event(struct api_rpc *r, bool is_delete, struct slice row)
{
	struct line *l = r->state;

	if (!is_delete)
		buf_put_slice(&l->value, row);
	return is_delete;
}

/* The header of that message with the revision of the put that counts. */
static void header_at(struct line *l, struct slice header, int64_t rev)
{
	struct pb_reader rd = pb_reader_of(header);
	struct pb_field f;

	buf_clear(&l->header);
	while (pb_next(&rd, &f))
		pb_put_uint(&l->header, f.number, f.number == 3 ? (uint64_t)rev : f.value);
}

static bool first_watched(struct api_rpc *r)
{
	struct line *l = r->state;
	struct line_watch w;
	struct kv kv;
	err_t err;

	if (l->value.size || l->text)
		return true;
	err = line_watch_parse(buf_slice(&l->part.answer), &w, first_event, r);
	if (!err && l->value.size)
		err = kv_decode(buf_slice(&l->value), &kv);
	if (err || (w.canceled && !l->value.size))
		l->text = "";
	else if (l->value.size)
		header_at(l, w.header, kv.mod_rev);
	if (l->value.size || l->text)
		api_later(r, observe_came);
	return true;
}

static void observe_found(struct api_rpc *r, err_t err, const char *text)
{
	struct line *l = r->state;
	struct line_range first;

	if (err || line_range_parse(buf_slice(&l->part.answer), &first)) {
		api_done(r);
	} else if (first.found) {
		observe_send(r, first.header, first.row);
		watch_leader(r, first.kv.key, first.header_rev + 1);
	} else {
		l->text = NULL;
		buf_clear(&l->value);
		line_watch(r, (struct slice){0}, true, first.header_rev, first_watched, observe_broken);
	}
}

static void observe_start(struct api_rpc *r)
{
	ask_first(r, observe_found);
}

static void observe_message(struct api_rpc *r, struct blob *take_body)
{
	if (leader_request(r, take_body))
		observe_start(r);
}

static void observe_writable(struct api_rpc *r)
{
	struct line *l = r->state;

	if (l)
		api_part_writable(&l->part);
}

const struct api_row election_campaign_row = {.name = "Campaign", .message = campaign_message, .stop = campaign_stop, .drop = line_drop};
const struct api_row election_proclaim_row = {.name = "Proclaim", .message = proclaim_message, .stop = line_part_stop, .drop = line_drop};
const struct api_row election_leader_row = {.name = "Leader", .message = leader_message, .stop = line_part_stop, .drop = line_drop};
const struct api_row election_observe_row = {.name = "Observe", .message = observe_message, .writable = observe_writable,
	.stop = line_part_stop, .drop = line_drop};
const struct api_row election_resign_row = {.name = "Resign", .message = resign_message, .stop = line_part_stop, .drop = line_drop};
