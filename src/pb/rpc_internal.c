/* InternalRaftRequest, the data of a normal log entry: {header 100 {ID 1, username 2, auth_revision 3}, legacy ID 1,
 * one body}; and the header of every response. */
#include "pb/rpc_inl.h"

enum { INTERNAL_LEGACY_ID = 1, INTERNAL_HEADER = 100 };
enum { HEADER_ID = 1, HEADER_USERNAME = 2, HEADER_AUTH_REVISION = 3 };
enum { RESP_CLUSTER_ID = 1, RESP_MEMBER_ID = 2, RESP_REVISION = 3, RESP_RAFT_TERM = 4 };

static size_t optional_size(uint32_t number, uint64_t v)
{
	return v ? uint_field_size(number, v) : 0;
}

static uint8_t *optional_write(uint8_t *out, uint32_t number, uint64_t v)
{
	return v ? uint_field_write(out, number, v) : out;
}

static size_t header_size(const struct internal_req *r)
{
	return optional_size(HEADER_ID, r->id) +
	       (r->username.size ? bytes_field_size(HEADER_USERNAME, r->username.size) : 0) +
	       optional_size(HEADER_AUTH_REVISION, r->auth_revision);
}

static uint8_t *header_write(const struct internal_req *r, uint8_t *out)
{
	out = length_write(out, INTERNAL_HEADER, header_size(r));
	out = optional_write(out, HEADER_ID, r->id);
	if (r->username.size)
		out = bytes_field_write(out, HEADER_USERNAME, r->username);
	return optional_write(out, HEADER_AUTH_REVISION, r->auth_revision);
}

size_t internal_req_size(const struct internal_req *r)
{
	return bytes_field_size(INTERNAL_HEADER, header_size(r)) +
	       (r->field ? bytes_field_size(r->field, r->body.size) : 0);
}

void internal_req_encode(const struct internal_req *r, struct buf *out)
{
	uint8_t *at = buf_add(out, internal_req_size(r));

	if (!at)
		return;
	if (r->field && r->field < INTERNAL_HEADER)
		at = bytes_field_write(at, r->field, r->body);
	at = header_write(r, at);
	if (r->field > INTERNAL_HEADER)
		bytes_field_write(at, r->field, r->body);
}

static err_t header_merge(struct slice s, struct internal_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field f;

	while (field_read(&r, &f)) {
		switch (field_key(&f)) {
		case FIELD_KEY(HEADER_ID, PB_VARINT): out->id = f.value; break;
		case FIELD_KEY(HEADER_AUTH_REVISION, PB_VARINT): out->auth_revision = f.value; break;
		case FIELD_KEY(HEADER_USERNAME, PB_BYTES):
			if (!slice_is_utf8(f.bytes))
				return ERR_MALFORMED;
			out->username = f.bytes;
			break;
		}
	}
	return r.failed ? ERR_MALFORMED : OK;
}

static bool is_body(uint32_t number)
{
	switch ((enum internal_field)number) {
	case REQ_RANGE: case REQ_PUT: case REQ_DELETE_RANGE: case REQ_TXN: case REQ_COMPACTION: case REQ_LEASE_GRANT:
	case REQ_LEASE_REVOKE: case REQ_ALARM: case REQ_LEASE_CHECKPOINT: case REQ_AUTH_ENABLE: case REQ_AUTH_DISABLE:
	case REQ_AUTHENTICATE: case REQ_AUTH_STATUS: case REQ_USER_ADD: case REQ_USER_DELETE: case REQ_USER_GET:
	case REQ_USER_CHANGE_PASSWORD: case REQ_USER_GRANT_ROLE: case REQ_USER_REVOKE_ROLE: case REQ_USER_LIST:
	case REQ_ROLE_LIST: case REQ_ROLE_ADD: case REQ_ROLE_DELETE: case REQ_ROLE_GET: case REQ_ROLE_GRANT_PERMISSION:
	case REQ_ROLE_REVOKE_PERMISSION: case REQ_CLUSTER_VERSION_SET: case REQ_MEMBER_ATTR_SET:
	case REQ_DOWNGRADE_INFO_SET: case REQ_DOWNGRADE_VERSION_TEST:
		return true;
	}
	return false;
}

err_t internal_req_parse(struct slice s, struct internal_req *out)
{
	struct pb_reader r = pb_reader_of(s);
	struct internal_req req = {0};
	uint64_t legacy_id = 0;
	struct pb_field f;

	while (field_read(&r, &f)) {
		if (field_is(&f, INTERNAL_LEGACY_ID, PB_VARINT)) {
			legacy_id = f.value;
		} else if (field_is(&f, INTERNAL_HEADER, PB_BYTES)) {
			err_t err = header_merge(f.bytes, &req);

			if (err)
				return err;
		} else if (f.wire == PB_BYTES && is_body(f.number)) {
			if (req.field)
				return ERR_MALFORMED;
			req.field = f.number;
			req.body = f.bytes;
		}
	}
	if (r.failed)
		return ERR_MALFORMED;
	if (legacy_id)
		req.id = legacy_id;
	*out = req;
	return OK;
}

void response_header_encode(const struct response_header *h, uint32_t number, struct buf *out)
{
	size_t size = optional_size(RESP_CLUSTER_ID, h->cluster_id) + optional_size(RESP_MEMBER_ID, h->member_id) +
		      optional_size(RESP_REVISION, (uint64_t)h->revision) + optional_size(RESP_RAFT_TERM, h->raft_term);
	uint8_t *at = buf_add(out, bytes_field_size(number, size));

	if (!at)
		return;
	at = length_write(at, number, size);
	at = optional_write(at, RESP_CLUSTER_ID, h->cluster_id);
	at = optional_write(at, RESP_MEMBER_ID, h->member_id);
	at = optional_write(at, RESP_REVISION, (uint64_t)h->revision);
	optional_write(at, RESP_RAFT_TERM, h->raft_term);
}
