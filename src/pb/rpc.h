/* The hot requests of etcdserverpb as plain structs that borrow from the bytes they were parsed from, and
 * encoders for the responses. Arrays come from the arena. Pure.
 *
 * Parsers refuse (ERR_MALFORMED) what Go's proto3 parser refuses: broken wire format; (ERR_INVALID) a txn nested
 * deeper than RPC_TXN_DEPTH_MAX; ERR_TOO_LARGE when the arena is full.
 * Field rules, as protobuf-go has them: last value wins for scalars, a repeated sub-message of a singular field is
 * merged, of a oneof the last member wins; unknown fields and known ones with a foreign wire type are skipped.
 * Field numbers: spec api.tsv. */
#ifndef PB_RPC_H
#define PB_RPC_H

#include "base/arena.h"
#include "pb/kv.h"

/* Go refuses a txn nested deeper than its operations allow (--max-txn-ops, 128 by default: 129 levels) only after
 * parsing, and parses about 5,000 levels. Parsing here is a loop; code that recurses over a parsed txn must bear this
 * depth. */
#define RPC_TXN_DEPTH_MAX 1024

struct range_req {
	struct slice key;
	struct slice range_end;
	int64_t limit;
	int64_t revision;
	int32_t sort_order;             /* 0 NONE, 1 ASCEND, 2 DESCEND */
	int32_t sort_target;            /* 0 KEY, 1 VERSION, 2 CREATE, 3 MOD, 4 VALUE */
	bool serializable;
	bool keys_only;
	bool count_only;
	int64_t min_mod_rev;
	int64_t max_mod_rev;
	int64_t min_create_rev;
	int64_t max_create_rev;
};

struct put_req {
	struct slice key;
	struct slice value;
	int64_t lease;
	bool prev_kv;
	bool ignore_value;
	bool ignore_lease;
};

struct delete_req {
	struct slice key;
	struct slice range_end;
	bool prev_kv;
};

/* The oneof member that is set; another member than the target's counts as 0 / empty. */
enum compare_union { CMP_UNION_NONE = 0, CMP_UNION_VERSION = 4, CMP_UNION_CREATE = 5, CMP_UNION_MOD = 6, CMP_UNION_VALUE = 7, CMP_UNION_LEASE = 8 };
enum compare_result { CMP_EQUAL = 0, CMP_GREATER = 1, CMP_LESS = 2, CMP_NOT_EQUAL = 3 };
enum compare_target { CMP_VERSION = 0, CMP_CREATE = 1, CMP_MOD = 2, CMP_VALUE = 3, CMP_LEASE = 4 };

struct compare {
	int32_t result;
	int32_t target;
	struct slice key;
	struct slice range_end;
	enum compare_union which;
	int64_t number;                 /* VERSION, CREATE, MOD, LEASE */
	struct slice value;             /* VALUE */
};

enum op_kind { OP_NONE = 0, OP_RANGE = 1, OP_PUT = 2, OP_DELETE = 3, OP_TXN = 4 };

struct txn_req;

struct request_op {
	enum op_kind kind;              /* OP_NONE: no member set */
	union {
		struct range_req range;
		struct put_req put;
		struct delete_req del;
		struct txn_req *txn;
	};
};

struct txn_req {
	struct compare *compares;
	size_t compare_count;
	struct request_op *success;
	size_t success_count;
	struct request_op *failure;
	size_t failure_count;
};

struct compact_req {
	int64_t revision;
	bool physical;
};

struct lease_grant_req {
	int64_t ttl;
	int64_t id;
};

struct lease_revoke_req {
	int64_t id;
};

enum watch_req_kind { WATCH_REQ_NONE = 0, WATCH_REQ_CREATE = 1, WATCH_REQ_CANCEL = 2, WATCH_REQ_PROGRESS = 3 };
#define WATCH_FILTER_NOPUT 1u
#define WATCH_FILTER_NODELETE 2u

struct watch_req {
	enum watch_req_kind kind;
	struct slice key;
	struct slice range_end;
	int64_t start_revision;
	bool progress_notify;
	uint32_t filters;               /* WATCH_FILTER_ bits; unknown numbers are dropped */
	bool prev_kv;
	int64_t watch_id;               /* create and cancel */
	bool fragment;
};

NODISCARD err_t range_req_parse(struct slice s, struct range_req *out);
NODISCARD err_t put_req_parse(struct slice s, struct put_req *out);
NODISCARD err_t delete_req_parse(struct slice s, struct delete_req *out);
NODISCARD err_t txn_req_parse(struct arena *a, struct slice s, struct txn_req *out);
NODISCARD err_t compact_req_parse(struct slice s, struct compact_req *out);
NODISCARD err_t lease_grant_req_parse(struct slice s, struct lease_grant_req *out);
NODISCARD err_t lease_revoke_req_parse(struct slice s, struct lease_revoke_req *out);
NODISCARD err_t watch_req_parse(struct slice s, struct watch_req *out);

/* True iff every operation of both branches is a range (a nested txn counts as a write; no operations: true). */
bool txn_req_is_read_only(const struct txn_req *t);

/* InternalRaftRequest: which one it is and its encoded body, borrowed. */
struct internal_req {
	uint64_t id;                    /* header.ID, or the legacy ID if that is not 0 */
	struct slice username;
	uint64_t auth_revision;
	uint32_t field;                 /* field number of the body: 4 put, 5 delete_range, 6 txn, 7 compaction, …; 0 none */
	struct slice body;
};

enum internal_field {
	REQ_RANGE = 3, REQ_PUT = 4, REQ_DELETE_RANGE = 5, REQ_TXN = 6, REQ_COMPACTION = 7, REQ_LEASE_GRANT = 8,
	REQ_LEASE_REVOKE = 9, REQ_ALARM = 10, REQ_LEASE_CHECKPOINT = 11, REQ_AUTH_ENABLE = 1000, REQ_AUTH_DISABLE = 1011,
	REQ_AUTHENTICATE = 1012, REQ_AUTH_STATUS = 1013, REQ_USER_ADD = 1100, REQ_USER_DELETE = 1101, REQ_USER_GET = 1102,
	REQ_USER_CHANGE_PASSWORD = 1103, REQ_USER_GRANT_ROLE = 1104, REQ_USER_REVOKE_ROLE = 1105, REQ_USER_LIST = 1106,
	REQ_ROLE_LIST = 1107, REQ_ROLE_ADD = 1200, REQ_ROLE_DELETE = 1201, REQ_ROLE_GET = 1202,
	REQ_ROLE_GRANT_PERMISSION = 1203, REQ_ROLE_REVOKE_PERMISSION = 1204, REQ_CLUSTER_VERSION_SET = 1300,
	REQ_MEMBER_ATTR_SET = 1301, REQ_DOWNGRADE_INFO_SET = 1302, REQ_DOWNGRADE_VERSION_TEST = 9900,
};

/* The bytes of a log entry, in order of the field numbers as Go writes them: a body below 100, the header (100,
 * always present), a body above. size is exact. */
size_t internal_req_size(const struct internal_req *r);
void internal_req_encode(const struct internal_req *r, struct buf *out);
/* ERR_MALFORMED; also for two bodies, which no member writes, and for a username that is not UTF-8. A field number
 * that we do not know is skipped: field stays 0 if there is no other body. The body is not looked into. */
NODISCARD err_t internal_req_parse(struct slice s, struct internal_req *out);

struct response_header {
	uint64_t cluster_id;
	uint64_t member_id;
	int64_t revision;
	uint64_t raft_term;
};

/* As field number of the message under construction; an all-zero header is written as a present, empty message. */
void response_header_encode(const struct response_header *h, uint32_t number, struct buf *out);

#endif
