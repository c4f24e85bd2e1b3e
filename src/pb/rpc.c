/* Requests without nesting. One loop each: known (number, wire type) pairs are stored, everything else is skipped. */
#include "pb/rpc_inl.h"

enum {
	RANGE_KEY = 1, RANGE_END = 2, RANGE_LIMIT = 3, RANGE_REVISION = 4, RANGE_SORT_ORDER = 5, RANGE_SORT_TARGET = 6,
	RANGE_SERIALIZABLE = 7, RANGE_KEYS_ONLY = 8, RANGE_COUNT_ONLY = 9, RANGE_MIN_MOD = 10, RANGE_MAX_MOD = 11,
	RANGE_MIN_CREATE = 12, RANGE_MAX_CREATE = 13,
};
enum { PUT_KEY = 1, PUT_VALUE = 2, PUT_LEASE = 3, PUT_PREV_KV = 4, PUT_IGNORE_VALUE = 5, PUT_IGNORE_LEASE = 6 };
enum { DELETE_KEY = 1, DELETE_END = 2, DELETE_PREV_KV = 3 };
enum { COMPACT_REVISION = 1, COMPACT_PHYSICAL = 2 };
enum { GRANT_TTL = 1, GRANT_ID = 2, REVOKE_ID = 1 };
enum { WATCH_CREATE = 1, WATCH_CANCEL = 2, WATCH_PROGRESS = 3 };
enum {
	CREATE_KEY = 1, CREATE_END = 2, CREATE_START = 3, CREATE_PROGRESS_NOTIFY = 4, CREATE_FILTERS = 5,
	CREATE_PREV_KV = 6, CREATE_WATCH_ID = 7, CREATE_FRAGMENT = 8,
};
enum { CANCEL_WATCH_ID = 1 };

err_t range_req_merge(struct slice s, struct range_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(RANGE_KEY, PB_BYTES): out->key = f.bytes; break;
		case FIELD_KEY(RANGE_END, PB_BYTES): out->range_end = f.bytes; break;
		case FIELD_KEY(RANGE_LIMIT, PB_VARINT): out->limit = (int64_t)f.value; break;
		case FIELD_KEY(RANGE_REVISION, PB_VARINT): out->revision = (int64_t)f.value; break;
		case FIELD_KEY(RANGE_SORT_ORDER, PB_VARINT): out->sort_order = (int32_t)f.value; break;
		case FIELD_KEY(RANGE_SORT_TARGET, PB_VARINT): out->sort_target = (int32_t)f.value; break;
		case FIELD_KEY(RANGE_SERIALIZABLE, PB_VARINT): out->serializable = f.value != 0; break;
		case FIELD_KEY(RANGE_KEYS_ONLY, PB_VARINT): out->keys_only = f.value != 0; break;
		case FIELD_KEY(RANGE_COUNT_ONLY, PB_VARINT): out->count_only = f.value != 0; break;
		case FIELD_KEY(RANGE_MIN_MOD, PB_VARINT): out->min_mod_rev = (int64_t)f.value; break;
		case FIELD_KEY(RANGE_MAX_MOD, PB_VARINT): out->max_mod_rev = (int64_t)f.value; break;
		case FIELD_KEY(RANGE_MIN_CREATE, PB_VARINT): out->min_create_rev = (int64_t)f.value; break;
		case FIELD_KEY(RANGE_MAX_CREATE, PB_VARINT): out->max_create_rev = (int64_t)f.value; break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t put_req_merge(struct slice s, struct put_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(PUT_KEY, PB_BYTES): out->key = f.bytes; break;
		case FIELD_KEY(PUT_VALUE, PB_BYTES): out->value = f.bytes; break;
		case FIELD_KEY(PUT_LEASE, PB_VARINT): out->lease = (int64_t)f.value; break;
		case FIELD_KEY(PUT_PREV_KV, PB_VARINT): out->prev_kv = f.value != 0; break;
		case FIELD_KEY(PUT_IGNORE_VALUE, PB_VARINT): out->ignore_value = f.value != 0; break;
		case FIELD_KEY(PUT_IGNORE_LEASE, PB_VARINT): out->ignore_lease = f.value != 0; break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

err_t delete_req_merge(struct slice s, struct delete_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(DELETE_KEY, PB_BYTES): out->key = f.bytes; break;
		case FIELD_KEY(DELETE_END, PB_BYTES): out->range_end = f.bytes; break;
		case FIELD_KEY(DELETE_PREV_KV, PB_VARINT): out->prev_kv = f.value != 0; break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

/* A parse is a merge into nothing; *out stays untouched on failure. */
#define PARSE_BY_MERGE(type)                                                \
	err_t type##_parse(struct slice s, struct type *out)                \
	{                                                                   \
		struct type req = {0};                                      \
		err_t err = type##_merge(s, &req);                          \
									    \
		if (!err)                                                   \
			*out = req;                                         \
		return err;                                                 \
	}

PARSE_BY_MERGE(range_req)
PARSE_BY_MERGE(put_req)
PARSE_BY_MERGE(delete_req)

err_t compact_req_parse(struct slice s, struct compact_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct compact_req req = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, COMPACT_REVISION, PB_VARINT))
			req.revision = (int64_t)f.value;
		else if (field_is(&f, COMPACT_PHYSICAL, PB_VARINT))
			req.physical = f.value != 0;
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = req;
	return OK;
}

err_t lease_grant_req_parse(struct slice s, struct lease_grant_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct lease_grant_req req = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, GRANT_TTL, PB_VARINT))
			req.ttl = (int64_t)f.value;
		else if (field_is(&f, GRANT_ID, PB_VARINT))
			req.id = (int64_t)f.value;
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = req;
	return OK;
}

err_t lease_revoke_req_parse(struct slice s, struct lease_revoke_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct lease_revoke_req req = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, REVOKE_ID, PB_VARINT))
			req.id = (int64_t)f.value;
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = req;
	return OK;
}

static uint32_t filter_bit(uint64_t number)
{
	/* an enum is the low 32 bits of its varint */
	switch ((int32_t)number) {
	case 0: return WATCH_FILTER_NOPUT;
	case 1: return WATCH_FILTER_NODELETE;
	default: return 0;
	}
}

static bool filters_merge_packed(struct slice packed, uint32_t *filters)
{
	struct pb_reader r = pb_reader_of(packed);
	uint64_t number;

	while (r.at < r.end) {
		if (!varint_read(&r, &number))
			return false;
		*filters |= filter_bit(number);
	}
	return true;
}

static err_t watch_create_merge(struct slice s, struct watch_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(CREATE_KEY, PB_BYTES): out->key = f.bytes; break;
		case FIELD_KEY(CREATE_END, PB_BYTES): out->range_end = f.bytes; break;
		case FIELD_KEY(CREATE_START, PB_VARINT): out->start_revision = (int64_t)f.value; break;
		case FIELD_KEY(CREATE_PROGRESS_NOTIFY, PB_VARINT): out->progress_notify = f.value != 0; break;
		case FIELD_KEY(CREATE_FILTERS, PB_VARINT): out->filters |= filter_bit(f.value); break;
		case FIELD_KEY(CREATE_FILTERS, PB_BYTES):
			if (!filters_merge_packed(f.bytes, &out->filters))
				return ERR_MALFORMED;
			break;
		case FIELD_KEY(CREATE_PREV_KV, PB_VARINT): out->prev_kv = f.value != 0; break;
		case FIELD_KEY(CREATE_WATCH_ID, PB_VARINT): out->watch_id = (int64_t)f.value; break;
		case FIELD_KEY(CREATE_FRAGMENT, PB_VARINT): out->fragment = f.value != 0; break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

static err_t watch_cancel_merge(struct slice s, struct watch_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, CANCEL_WATCH_ID, PB_VARINT))
			out->watch_id = (int64_t)f.value;
	}
	return r.failed ? ERR_MALFORMED : OK;
}

static err_t watch_progress_merge(struct slice s)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f))
		;
	return r.failed ? ERR_MALFORMED : OK;
}

err_t watch_req_parse(struct slice s, struct watch_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct watch_req req = {0};
	struct pb_field f;

	while (field_read(&r, &f)) {
		err_t err;

		if (f.wire != PB_BYTES || f.number < WATCH_CREATE || f.number > WATCH_PROGRESS)
			continue;
		if ((uint32_t)req.kind != f.number)     /* another member of the oneof replaces the one before */
			req = (struct watch_req){.kind = (enum watch_req_kind)f.number};
		if (req.kind == WATCH_REQ_CREATE)
			err = watch_create_merge(f.bytes, &req);
		else if (req.kind == WATCH_REQ_CANCEL)
			err = watch_cancel_merge(f.bytes, &req);
		else
			err = watch_progress_merge(f.bytes);
		if (err)
			return err;
	}
	if (r.failed)
		return ERR_MALFORMED;
	*out = req;
	return OK;
}
