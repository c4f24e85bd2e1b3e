#include "twin_api.h"

#include <stdlib.h>

#include "mvcc/mvcc.h"

enum { TXN_OPS_MAX = 128, BODY_MAX = 64 << 20 };

void twin_api_init(struct twin_api *a)
{
	memset(a, 0, sizeof(*a));
	twin_init(&a->t);
	a->t.leases = a->leases;
	a->t.lease_count = TWIN_LEASES;
}

void twin_api_fini(struct twin_api *a)
{
	twin_fini(&a->t);
}

static int by_slice(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Keys of a lease, ascending; *out is the caller's. */
static size_t lease_keys(const struct twin *t, int64_t lease, struct slice **out)
{
	size_t n = 0;

	*out = NEW_ARRAY(struct slice, t->keys.count + 1);
	for (size_t i = 0; i < t->keys.count; i++)
		if (twin_lease(t, blob_slice(t->keys.at[i].key)) == lease)
			(*out)[n++] = blob_slice(t->keys.at[i].key);
	return n;
}

void twin_api_expire(struct twin_api *a, int64_t lease)
{
	struct slice *keys;
	size_t count = lease_keys(&a->t, lease, &keys);

	twin_delete_keys(&a->t, keys, count);
	a->leases[lease - 1] = 0;
	mem_free(keys);
}

static err_t call_txn(struct twin_api *a, struct slice body, struct buf *want)
{
	struct txn_req r;
	struct arena arena;
	err_t err;

	arena_init(&arena, 16 << 20);
	err = txn_req_parse(&arena, body, &r);
	if (!err)
		err = mvcc_check_txn(&r, TXN_OPS_MAX);
	if (!err)
		err = twin_txn(&a->t, &r, want);
	arena_fini(&arena);
	return err;
}

static err_t call_grant(struct twin_api *a, const struct lease_grant_req *r, struct buf *want)
{
	ASSERT(r->id >= 1 && r->id <= TWIN_LEASES);
	if (a->leases[r->id - 1])
		return ERR_LEASE_EXIST;
	a->leases[r->id - 1] = r->id;
	pb_put_uint(want, 2, (uint64_t)r->id);
	pb_put_uint(want, 3, (uint64_t)r->ttl);
	return OK;
}

static err_t call_hash(struct twin_api *a, struct slice body, struct buf *want)
{
	struct pb_reader rd = pb_reader_of(body);
	struct twin_hash h = {.compact_rev = a->t.compact_rev};
	struct pb_field f;
	bool kept = false;

	while (pb_next(&rd, &f))
		if (f.number == 1)
			h.rev = (int64_t)f.value;
	for (size_t i = 0; i < a->t.hash_count; i++)
		if (a->t.hashes[i].rev == h.rev) {
			h = a->t.hashes[i];
			kept = true;
		}
	if (!kept) {
		if (h.rev > a->t.rev)
			return ERR_FUTURE_REV;
		if (h.rev && h.rev < a->t.compact_rev)
			return ERR_COMPACTED;
		h.rev = h.rev ? h.rev : a->t.rev;
		h.crc = twin_hash(&a->t, h.rev, h.compact_rev, false);
	}
	pb_put_uint(want, 2, h.crc);
	pb_put_uint(want, 3, (uint64_t)h.compact_rev);
	pb_put_uint(want, 4, (uint64_t)h.rev);
	return OK;
}

err_t twin_api_call(struct twin_api *a, enum rpc method, struct slice body, bool compact_hash, struct buf *want)
{
	union {
		struct range_req range;
		struct put_req put;
		struct delete_req del;
		struct compact_req compact;
		struct lease_grant_req grant;
		struct lease_revoke_req revoke;
	} r;
	err_t err = OK;

	switch (method) {
	case RPC_RANGE:
		err = range_req_parse(body, &r.range);
		if (!err)
			err = mvcc_check_range(&r.range);
		return err ? err : twin_range(&a->t, &r.range, want);
	case RPC_PUT:
		err = put_req_parse(body, &r.put);
		if (!err)
			err = mvcc_check_put(&r.put);
		return err ? err : twin_put(&a->t, &r.put, want);
	case RPC_DELETE_RANGE:
		err = delete_req_parse(body, &r.del);
		if (!err)
			err = mvcc_check_delete(&r.del);
		if (!err)
			twin_delete(&a->t, &r.del, want);
		return err;
	case RPC_TXN:
		return call_txn(a, body, want);
	case RPC_COMPACT:
		err = compact_req_parse(body, &r.compact);
		return err ? err : twin_compact(&a->t, r.compact.revision, compact_hash);
	case RPC_LEASE_GRANT:
		err = lease_grant_req_parse(body, &r.grant);
		return err ? err : call_grant(a, &r.grant, want);
	case RPC_LEASE_REVOKE:
		err = lease_revoke_req_parse(body, &r.revoke);
		if (!err && (r.revoke.id < 1 || r.revoke.id > TWIN_LEASES || !a->leases[r.revoke.id - 1]))
			err = ERR_LEASE_NOT_FOUND;
		if (!err)
			twin_api_expire(a, r.revoke.id);
		return err;
	case RPC_HASH_KV:
		return call_hash(a, body, want);
	default:
		UNREACHABLE();
	}
}

void answer_split(struct slice answer, int64_t *header_rev, struct buf *fields)
{
	struct pb_reader r = pb_reader_of(answer), h;
	struct pb_field f;

	*header_rev = -1;
	for (const uint8_t *from = r.at; pb_next(&r, &f); from = r.at) {
		if (f.number != 1) {
			buf_put_slice(fields, slice_of(from, (size_t)(r.at - from)));
			continue;
		}
		h = pb_reader_of(f.bytes);
		while (pb_next(&h, &f))
			if (f.number == 3)
				*header_rev = (int64_t)f.value;
	}
	ASSERT(!r.failed);
}

/* ---- everything ---- */

static bool same_at(const struct twin_api *a, struct driver *d, int64_t rev, struct why *why)
{
	struct range_req all = {.key = slice_of("\0", 1), .range_end = slice_of("\0", 1), .revision = rev};
	struct buf body, want, got;
	int64_t header_rev;
	struct slice answer;
	bool same = false;
	err_t err;

	buf_init(&body, 100);
	buf_init(&want, BODY_MAX);
	buf_init(&got, BODY_MAX);
	pb_put_bytes(&body, 1, all.key);
	pb_put_bytes(&body, 2, all.range_end);
	pb_put_uint(&body, 4, (uint64_t)rev);
	if (twin_range(&a->t, &all, &want))
		UNREACHABLE();
	err = driver_call(d, RPC_RANGE, buf_slice(&body), &answer);
	if (!err) {
		answer_split(answer, &header_rev, &got);
		same = header_rev == a->t.rev && slice_eq(buf_slice(&got), buf_slice(&want));
		if (!same)
			err_ignore(why_set(why, ERR_INVALID, "range at revision %lld: revision %lld, %zu bytes; wanted %lld, %zu", (long long)rev,
					   (long long)header_rev, got.size, (long long)a->t.rev, want.size));
	} else {
		err_ignore(why_set(why, err, "range at revision %lld: %s", (long long)rev, err_text(err)));
	}
	buf_fini(&body);
	buf_fini(&want);
	buf_fini(&got);
	return same;
}

static bool same_lease(const struct twin_api *a, struct driver *d, int64_t lease, struct why *why)
{
	struct slice answer, *want, *got = NEW_ARRAY(struct slice, 10000);
	size_t count = lease_keys(&a->t, lease, &want), n = 0;
	struct pb_reader r;
	struct pb_field f;
	struct buf body;
	int64_t granted = 0;
	bool same;

	buf_init(&body, 100);
	pb_put_uint(&body, 1, (uint64_t)lease);
	pb_put_uint(&body, 2, 1);
	if (driver_call(d, RPC_LEASE_TIME_TO_LIVE, buf_slice(&body), &answer))
		answer = (struct slice){0};
	r = pb_reader_of(answer);
	while (pb_next(&r, &f)) {
		if (f.number == 4)
			granted = (int64_t)f.value;
		else if (f.number == 5 && n < 10000)
			got[n++] = f.bytes;
	}
	qsort(got, n, sizeof(got[0]), by_slice);
	same = n == count && (granted > 0) == (a->leases[lease - 1] != 0);
	for (size_t i = 0; same && i < n; i++)
		same = slice_eq(got[i], want[i]);
	if (!same)
		err_ignore(why_set(why, ERR_INVALID, "lease %lld: granted TTL %lld, %zu keys; wanted %s, %zu", (long long)lease, (long long)granted, n,
				   a->leases[lease - 1] ? "one" : "none", count));
	mem_free(want);
	mem_free(got);
	buf_fini(&body);
	return same;
}

static bool same_hash(const struct twin_api *a, struct driver *d, struct why *why)
{
	uint32_t want = twin_hash(&a->t, a->t.rev, a->t.compact_rev, false), got = 0;
	struct pb_reader r;
	struct pb_field f;
	struct slice answer;

	if (driver_call(d, RPC_HASH_KV, (struct slice){0}, &answer))
		answer = (struct slice){0};
	r = pb_reader_of(answer);
	while (pb_next(&r, &f))
		if (f.number == 2)
			got = (uint32_t)f.value;
	if (got != want)
		err_ignore(why_set(why, ERR_INVALID, "hash %08x, wanted %08x", got, want));
	return got == want;
}

bool twin_api_same(const struct twin_api *a, struct driver *d, struct why *why)
{
	bool same = true;

	for (int64_t rev = MAX(a->t.compact_rev, 1); same && rev <= a->t.rev; rev++)
		same = same_at(a, d, rev, why);
	for (int64_t lease = 1; same && lease <= TWIN_LEASES; lease++)
		same = same_lease(a, d, lease, why);
	return same && same_hash(a, d, why);
}
