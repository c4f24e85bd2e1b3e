/* etcdserverpb.Maintenance: what a single member serves. */
#include <openssl/evp.h>

#include "api/api_impl.h"
#include "base/bug.h"
#include "obs/log.h"
#include "obs/metric.h"
#include "pb/pbc.h"

enum { HASH_ROWS = 2000, CHUNK_SIZE = 32 * 1024, SHA256_SIZE = 32 };

static struct response_header header_now(struct api_rpc *r)
{
	const struct publication *p = node_view(r->io->node);
	struct response_header h = node_header(r->io->node, p);

	node_leave(r->io->node);
	return h;
}

/* ---- Alarm ---- */

/* The set of alarms is bounded here, at the door: what is in the log must be applied. */
static bool may_raise(struct api_rpc *r, struct slice body)
{
	struct pb_reader rd = pb_reader_of(body);
	struct pb_field f;
	const struct publication *p;
	bool raises = false, full;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			raises = f.value == 1;
	p = node_view(r->io->node);
	full = p->alarms_full;
	node_leave(r->io->node);
	return !raises || !full;
}

static void alarm_message(struct api_rpc *r, struct blob *take_body)
{
	err_t err = pb_validate(rpc_methods[r->method].request, blob_slice(take_body));

	if (!err && !may_raise(r, blob_slice(take_body)))
		err = ERR_TOO_MANY_REQUESTS;
	if (err)
		api_fail(r, err);
	else
		api_propose(r, REQ_ALARM, blob_slice(take_body), api_step_reply);
	blob_unref(take_body);
}

const struct api_row alarm_row = {.name = "Alarm", .message = alarm_message, .permit_first = true};

/* ---- Status ---- */

static const char *alarm_name(uint64_t type)
{
	return type == ALARM_NOSPACE ? "NOSPACE" : type == ALARM_CORRUPT ? "CORRUPT" : "UNKNOWN";
}

/* The text form of each AlarmMember, as upstream prints it. */
static void status_alarms(const struct publication *p, struct buf *out)
{
	struct pb_reader rd = pb_reader_of(blob_slice(p->alarms));
	struct pb_field f;

	while (pb_next(&rd, &f)) {
		struct pb_reader in = pb_reader_of(f.bytes);
		struct pb_field g;
		uint64_t member = 0, type = 0;
		char text[96];

		while (pb_next(&in, &g)) {
			if (g.number == 1)
				member = g.value;
			else if (g.number == 2)
				type = g.value;
		}
		snprintf(text, sizeof(text), "memberID:%llu  alarm:%s", (unsigned long long)member, alarm_name(type));
		pb_put_bytes_always(out, 8, slice_str(text));
	}
}

static void status_message(struct api_rpc *r, struct blob *take_body)
{
	struct node *n = r->io->node;
	const struct publication *p;
	struct response_header h;
	struct slice msg;
	struct buf out;
	size_t mark;
	int64_t quota = r->io->api->opts.quota_bytes;

	blob_unref(take_body);
	buf_init(&out, 1 << 20);
	p = node_view(n);
	h = node_header(n, p);
	response_header_encode(&h, 1, &out);
	pb_put_bytes(&out, 2, SLICE_LIT(NODE_SERVER_VERSION));
	pb_put_uint(&out, 3, p->size_bytes);
	pb_put_uint(&out, 4, p->leader);
	pb_put_uint(&out, 5, p->commit_index);
	pb_put_uint(&out, 6, p->term);
	pb_put_uint(&out, 7, p->applied_index);
	if (!p->leader)
		pb_put_bytes_always(&out, 8, slice_str(err_text(ERR_NO_LEADER)));
	status_alarms(p, &out);
	pb_put_uint(&out, 9, p->size_in_use_bytes);
	pb_put_uint(&out, 10, p->is_learner);
	pb_put_bytes(&out, 11, slice_str(p->storage_version));
	pb_put_uint(&out, 12, (uint64_t)(quota ? quota : INT64_C(2) << 30));
	mark = pb_begin(&out, 13);
	pb_put_uint(&out, 1, p->downgrade.enabled);
	pb_put_bytes(&out, 2, slice_str(p->downgrade.target));
	pb_end(&out, mark);
	node_leave(n);
	msg = buf_slice(&out);
	api_reply(r, &msg, 1);
	buf_fini(&out);
}

const struct api_row status_row = {.name = "Status", .message = status_message, .permit_first = true, .learner_ok = true};

/* ---- Defragment: an empty answer ---- */

static void defragmented(struct api_rpc *r)
{
	struct slice none = {0};

	if (r->call.err) {
		LOG_WARN("failed to defragment", LOG_ERR(r->call.err));
		api_fail(r, r->call.err);
	} else {
		LOG_INFO("finished defragment");
		api_reply(r, &none, 1);
	}
}

static void defragment_message(struct api_rpc *r, struct blob *take_body)
{
	blob_unref(take_body);
	LOG_INFO("starting defragment");
	api_call(r, CALL_DEFRAG, defragmented);
}

const struct api_row defragment_row = {.name = "Defragment", .message = defragment_message, .permit_first = true};

/* ---- Hash: of the whole file, after a commit ---- */

struct hashing {
	struct backend_hash hash;
	struct bolt_pin *pin;
	err_t err;
};

static void hash_drop(struct api_rpc *r)
{
	struct hashing *h = r->state;

	if (h)
		bolt_pin_unref(h->pin);
	mem_free(h);
	r->state = NULL;
}

static bool hash_run(struct job *j)
{
	struct api_rpc *r = CONTAINER_OF(j, struct api_rpc, job);
	struct hashing *h = r->state;
	bool done = false;

	h->err = backend_hash_step(&h->hash, h->pin, HASH_ROWS, &done);
	return done || h->err;
}

static void hash_hashed(struct api_rpc *r)
{
	struct hashing *h = r->state;
	struct response_header head = header_now(r);
	struct slice msg;
	struct buf out;

	if (h->err) {
		api_fail(r, h->err);
		return;
	}
	buf_init(&out, 256);
	response_header_encode(&head, 1, &out);
	pb_put_uint(&out, 2, h->hash.crc);
	metric_observe(METRIC_MVCC_HASH_DURATION_SECONDS, api_now(r) - r->started_ns);
	msg = buf_slice(&out);
	api_reply(r, &msg, 1);
	buf_fini(&out);
}

static void hash_committed(struct api_rpc *r)
{
	struct hashing *h;

	if (r->call.err) {
		api_fail(r, r->call.err);
		return;
	}
	h = NEW(struct hashing);
	backend_hash_init(&h->hash);
	h->pin = r->call.pin;
	r->call.pin = NULL;
	r->state = h;
	api_job(r, hash_run, hash_hashed);
}

static void hash_message(struct api_rpc *r, struct blob *take_body)
{
	blob_unref(take_body);
	api_call(r, CALL_COMMIT, hash_committed);
}

const struct api_row hash_row = {.name = "Hash", .message = hash_message, .permit_first = true, .drop = hash_drop};

/* ---- HashKV: on a worker, in slices, at a held revision ---- */

struct kv_hashing {
	struct mvcc_hash hash;
	int64_t rev;                    /* asked for; 0: the newest */
	int64_t held_rev;
	bool held;                      /* 0 can be held too */
	err_t err;
};

static void hash_kv_end(struct api_rpc *r)
{
	struct kv_hashing *h = r->state;

	if (h->held)
		node_release(r->io->node, h->held_rev);
	h->held = false;
	mvcc_hash_fini(&h->hash);
}

static void hash_kv_drop(struct api_rpc *r)
{
	if (!r->state)
		return;
	hash_kv_end(r);
	mem_free(r->state);
	r->state = NULL;
}

static bool hash_kv_run(struct job *j)
{
	struct api_rpc *r = CONTAINER_OF(j, struct api_rpc, job);
	struct kv_hashing *h = r->state;
	const struct publication *p = node_view(r->io->node);
	bool done = false;

	h->err = mvcc_hash_step(&h->hash, &p->mvcc, api_slice_rows(r->io, HASH_ROWS), &done);
	node_leave(r->io->node);
	return done || h->err;
}

static void hash_kv_begin(struct api_rpc *r);

/* Compacted, or replaced by a peer's snapshot, since the first look: the next one says whether the revision asked for is gone. */
static void hash_kv_failed(struct api_rpc *r, err_t err)
{
	if (err == ERR_COMPACTED && !BUG(NEWEST_OUTRUN))
		hash_kv_begin(r);
	else
		api_fail(r, err);
}

static void hash_kv_hashed(struct api_rpc *r)
{
	struct kv_hashing *h = r->state;
	struct response_header head = header_now(r);
	struct slice msg;
	struct buf out;

	if (h->err) {
		hash_kv_failed(r, h->err);
		return;
	}
	buf_init(&out, 256);
	response_header_encode(&head, 1, &out);
	pb_put_uint(&out, 2, h->hash.result.crc);
	metric_observe(METRIC_MVCC_HASH_REV_DURATION_SECONDS, api_now(r) - r->started_ns);
	pb_put_uint(&out, 3, (uint64_t)h->hash.result.compact_rev);
	pb_put_uint(&out, 4, (uint64_t)h->hash.result.rev);
	msg = buf_slice(&out);
	api_reply(r, &msg, 1);
	buf_fini(&out);
}

static void hash_kv_held(struct api_rpc *r)
{
	struct kv_hashing *h = r->state;

	if (r->call.err) {
		hash_kv_failed(r, r->call.err);
		return;
	}
	h->held = true;
	h->held_rev = r->call.revision;
	api_job(r, hash_kv_run, hash_kv_hashed);
}

static void hash_kv_begin(struct api_rpc *r)
{
	const struct publication *p = node_view(r->io->node);
	struct kv_hashing *h = r->state;
	err_t err;

	hash_kv_end(r);
	err = mvcc_hash_init(&h->hash, &p->mvcc, h->rev);
	node_leave(r->io->node);
	if (err) {
		api_fail(r, err);
	} else if (h->hash.stored) {
		hash_kv_hashed(r);
	} else {
		r->call.revision = mvcc_hash_hold_rev(&h->hash);
		api_call(r, CALL_HOLD, hash_kv_held);
	}
}

static void hash_kv_message(struct api_rpc *r, struct blob *take_body)
{
	struct pb_reader rd = pb_reader_of(blob_slice(take_body));
	struct pb_field f;
	struct kv_hashing *h;
	int64_t rev = 0;

	while (pb_next(&rd, &f))
		if (f.number == 1 && f.wire == PB_VARINT)
			rev = (int64_t)f.value;
	blob_unref(take_body);
	if (rd.failed) {
		api_fail(r, ERR_MALFORMED);
		return;
	}
	h = NEW(struct kv_hashing);
	h->rev = rev;
	r->state = h;
	hash_kv_begin(r);
}

const struct api_row hash_kv_row = {.name = "HashKV", .message = hash_kv_message, .permit_first = true, .drop = hash_kv_drop};

/* ---- Snapshot: the image of a commit, as the client takes it, then its SHA-256 ---- */

struct snapshotting {
	struct bolt_pin *pin;
	uint64_t size, at;
	EVP_MD_CTX *sha;
	uint8_t chunk[CHUNK_SIZE];
	size_t chunk_size;
	err_t err;
	char version[16];
};

static void snapshot_drop(struct api_rpc *r)
{
	struct snapshotting *s = r->state;

	if (!s)
		return;
	bolt_pin_unref(s->pin);
	EVP_MD_CTX_free(s->sha);
	mem_free(s);
	r->state = NULL;
}

static void snapshot_next(struct api_rpc *r);

/* SnapshotResponse {header 1, remaining_bytes 2, blob 3, version 4} */
static bool snapshot_send(struct api_rpc *r, struct slice blob, uint64_t remaining)
{
	struct slice parts[2];
	struct buf out;
	bool room;

	buf_init(&out, 256);
	pb_put_uint(&out, 2, remaining);
	pb_put_bytes(&out, 4, slice_str(((struct snapshotting *)r->state)->version));
	pb_put_varint(&out, 3 << 3 | PB_BYTES);
	pb_put_varint(&out, blob.size);
	parts[0] = buf_slice(&out);
	parts[1] = blob;
	room = api_send(r, parts, 2);
	buf_fini(&out);
	return room;
}

static bool snapshot_read(struct job *j)
{
	struct api_rpc *r = CONTAINER_OF(j, struct api_rpc, job);
	struct snapshotting *s = r->state;

	s->chunk_size = MIN(CHUNK_SIZE, s->size - s->at);
	s->err = bolt_image_read(s->pin, s->at, s->chunk, s->chunk_size);
	EVP_DigestUpdate(s->sha, s->chunk, s->chunk_size);
	return true;
}

static void snapshot_have(struct api_rpc *r)
{
	struct snapshotting *s = r->state;
	uint8_t digest[SHA256_SIZE];

	if (s->err) {
		api_fail(r, s->err);
		return;
	}
	s->at += s->chunk_size;
	if (!snapshot_send(r, slice_of(s->chunk, s->chunk_size), s->size - s->at) && s->at < s->size) {
		api_blocked(r);                         /* snapshot_writable goes on */
		return;
	}
	if (s->at < s->size) {
		snapshot_next(r);
		return;
	}
	EVP_DigestFinal_ex(s->sha, digest, NULL);
	snapshot_send(r, slice_of(digest, sizeof(digest)), 0);
	metric_observe(METRIC_DISK_BACKEND_SNAPSHOT_DURATION_SECONDS, api_now(r) - r->started_ns);
	api_done(r);
}

static void snapshot_next(struct api_rpc *r)
{
	api_job(r, snapshot_read, snapshot_have);
}

static void snapshot_writable(struct api_rpc *r)
{
	if (r->state && !r->job_out)
		snapshot_next(r);
}

static void snapshot_committed(struct api_rpc *r)
{
	struct snapshotting *s;
	const struct publication *p;

	if (r->call.err) {
		api_fail(r, r->call.err);
		return;
	}
	s = NEW(struct snapshotting);
	s->pin = r->call.pin;
	r->call.pin = NULL;
	s->size = bolt_pin_size(s->pin);
	s->sha = EVP_MD_CTX_new();
	EVP_DigestInit_ex(s->sha, EVP_sha256(), NULL);
	p = node_view(r->io->node);
	memcpy(s->version, p->storage_version, sizeof(s->version));
	node_leave(r->io->node);
	r->state = s;
	snapshot_next(r);
}

static void snapshot_message(struct api_rpc *r, struct blob *take_body)
{
	blob_unref(take_body);
	api_call(r, CALL_COMMIT, snapshot_committed);
}

const struct api_row snapshot_row = {.name = "Snapshot", .message = snapshot_message, .permit_first = true, .writable = snapshot_writable, .drop = snapshot_drop,
	.learner_ok = true};
