/* Every RPC of the server as data: names, messages, streaming, who may call it, who serves it. The rows are in
 * methods_rows.h; what serves, authorizes or documents an RPC goes by them, so a new RPC is one row and nothing is
 * forgotten: a row without a permission does not compile. Pure, constant; any thread. */
#ifndef PB_METHODS_H
#define PB_METHODS_H

#include <protobuf-c/protobuf-c.h>

#include "base/slice.h"

enum rpc_stream {
	RPC_UNARY = 1,
	RPC_SERVER_STREAM,      /* one request, many responses */
	RPC_BIDI,
};

/* What a caller needs while auth is on. "attached keys": those of the lease; holders of role root are exempt there.
 * 0 is no permission at all, on purpose. */
enum rpc_permission {
	PERM_PUBLIC = 1,        /* nothing, not even a token */
	PERM_USER,              /* any valid user */
	PERM_ROOT,              /* role root */
	PERM_RANGE,             /* READ on [key, range_end) */
	PERM_PUT,               /* WRITE on key; prev_kv: READ; lease: WRITE on its attached keys */
	PERM_DELETE,            /* WRITE on [key, range_end); prev_kv: READ */
	PERM_TXN,               /* READ on every compare; each operation of both branches, at any depth, by its rule */
	PERM_WATCH,             /* READ on the range of each create request; refused by a cancel message */
	PERM_LEASE_REVOKE,      /* valid user, WRITE on all attached keys */
	PERM_LEASE_KEEP_ALIVE,  /* WRITE on all attached keys */
	PERM_LEASE_TTL,         /* valid user; keys=true: READ on all attached keys */
	PERM_LEASE_LIST,        /* valid user, READ on every key attached to any lease */
	PERM_ALARM,             /* GET: valid user; else role root */
	PERM_USER_GET,          /* role root, or the user itself */
	PERM_ROLE_GET,          /* role root, or a holder of the role */
	PERM_BY_PARTS,          /* that of each KV, lease and watch call it is made of */
	PERM__COUNT
};

enum rpc_learner {
	LEARNER_REFUSES = 1,    /* ERR_NOT_SUPPORTED_FOR_LEARNER */
	LEARNER_SERVES,
	LEARNER_IF_SERIALIZABLE, /* serves if the request says serializable */
};

enum rpc_consistency {
	CONSISTENCY_LOCAL = 1,          /* this member's state, may be stale */
	CONSISTENCY_READ,               /* ReadIndex */
	CONSISTENCY_READ_OR_LOCAL,      /* the request chooses: serializable, linearizable */
	CONSISTENCY_LOG,                /* through the raft log */
	CONSISTENCY_LOG_OR_READ,        /* Txn: as a read if it only reads */
	CONSISTENCY_READ_THEN_LOG,      /* Downgrade: VALIDATE is the read alone */
	CONSISTENCY_CONF_CHANGE,
	CONSISTENCY_LEADER,             /* answered by the leader, asked over its peer URL */
	CONSISTENCY_BY_PARTS,
};

enum rpc {
#define RPC(symbol, ...) RPC_##symbol,
#include "pb/methods_rows.h"
#undef RPC
	RPC__COUNT
};

#define RPC_GATEWAY_PATHS_MAX 2

struct rpc_method {
	struct slice path;              /* "/etcdserverpb.KV/Range" */
	const char *service;            /* "etcdserverpb.KV" */
	const char *name;               /* "Range" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	enum rpc_stream stream;
	enum rpc_permission permission;
	enum rpc_learner learner;
	enum rpc_consistency consistency;
	uint32_t log_field;             /* number of its body in InternalRaftRequest (pb/rpc.h); 0: not in the log */
	struct slice gateway[RPC_GATEWAY_PATHS_MAX];    /* "/v3/kv/range"; empty: none */
};

extern const struct rpc_method rpc_methods[RPC__COUNT];

/* By the HTTP/2 :path. NULL: unknown (Unimplemented). */
const struct rpc_method *rpc_method_find(struct slice path);
/* By the path of a gateway request; /v3beta/ counts as /v3/. NULL: unknown. */
const struct rpc_method *rpc_method_find_gateway(struct slice path);

#endif
