/* What a node asks of whatever carries things between members: src/peer in a server, a network of their own in the simulator; and
 * how what arrives is given to the node. Everything is decoded: bytes, HTTP and TLS are the carrier's.
 *
 *	core ──transport.send, send_snapshot, ask──> carrier ──> other member
 *	core <──node_received, node_unreachable, node_snapshot_status, node_removed── carrier
 *	api  <──member_request (api/members.h)── carrier          what other members ask, beside raft
 *
 * Threads: the functions of struct node_transport are called on core and must not block; node_... functions are any
 * thread's. A NULL transport in the configuration: a member that has nobody to talk to (only of use alone). */
#ifndef NODE_TRANSPORT_H
#define NODE_TRANSPORT_H

#include "actor/actor.h"
#include "base/buf.h"
#include "bolt/bolt.h"
#include "pb/raftpb.h"

struct node;

/* What members ask each other (spec peer.md section 8). */
enum member_endpoint {
	MEMBER_LIST,                    /* GET /members: JSON */
	MEMBER_PROMOTE,                 /* POST /members/promote/<id>: member_id, token */
	MEMBER_HASHKV,                  /* GET /members/hashkv: JSON both ways */
	MEMBER_LEASES,                  /* POST /leases: LeaseKeepAliveRequest, -Response */
	MEMBER_LEASES_INTERNAL,         /* POST /leases/internal: LeaseInternalRequest, -Response */
	MEMBER_DOWNGRADE_ENABLED,       /* GET /downgrade/enabled */
	MEMBER_VERSION,                 /* GET /version: JSON */
	MEMBER_ENDPOINT_COUNT
};

/* One question to another member. The asker's; comes back to reply as the same message, exactly once. */
struct member_question {
	struct msg msg;
	struct actor *reply;
	uint32_t reply_kind;
	/* in; borrowed till it is back */
	enum member_endpoint endpoint;
	const char *urls;               /* comma-joined peer URLs, tried in order until one answers */
	uint64_t member_id;             /* MEMBER_PROMOTE */
	const char *token;              /* MEMBER_PROMOTE: of the client who asked; NULL: none */
	struct slice body;
	uint32_t timeout_ms;            /* per URL */
	bool first_answer_is_final;     /* whatever its status; else an answer that is not 200 or 404 moves on to the next URL */
	/* out */
	err_t err;                      /* OK: there is an answer, whatever its status. ERR_IO, ERR_TIMEOUT, ERR_TOO_LARGE, ERR_INVALID,
	                                   ERR_STOPPED */
	unsigned status;                /* of HTTP */
	bool has_cluster_id;
	uint64_t cluster_id;
	struct buf answer;              /* initialised by ask; the asker's: buf_fini */
	void *carrier;                  /* private to the carrier */
};

/* One question of another member. Answered exactly once through answer(), on any thread, whenever; body is copied. */
struct member_request {
	struct msg msg;                 /* the receiver's */
	enum member_endpoint endpoint;
	uint64_t member_id;
	const char *token;              /* "" = none */
	struct slice body;              /* as long as the request */
	void (*answer)(struct member_request *take_r, unsigned status, const char *content_type, struct slice body);
};

struct node_transport {
	void *arg;
	/* In order; each message is left zeroed. What cannot be delivered is lost, and node_unreachable says so. */
	void (*send)(void *arg, struct raft_message *take_messages, size_t count);
	/* MSG_SNAP and the database behind it: bytes [0, size_bytes) of the file as of the pin. node_snapshot_status says what became
	 * of it, exactly once. */
	void (*send_snapshot)(void *arg, struct raft_message *take_m, struct bolt_pin *take_pin);
	/* Members as the applied membership has them; urls comma-joined. The own id is ignored. remote: is answered only. */
	void (*add)(void *arg, uint64_t id, const char *urls);
	void (*add_remote)(void *arg, uint64_t id, const char *urls);
	void (*remove)(void *arg, uint64_t id);         /* and refuse it from now on */
	void (*clear)(void *arg);
	/* Since when (sched_now_ns) messages reach id; 0: they do not, or it is unknown. */
	uint64_t (*active_since_ns)(void *arg, uint64_t id);
	void (*ask)(void *arg, struct member_question *q);
};

/* One message of another member for raft; made by the carrier, given back through done() once core has looked at it (message is
 * then taken or still to be freed). */
struct node_message {
	struct msg msg;
	struct raft_message message;
	uint64_t snapshot_bytes;        /* MSG_SNAP: the database lies, durable, in the snap directory as %016x.snap.db; 0: not */
	void (*done)(struct node_message *take_m);
};

void node_received(struct node *n, struct node_message *take_m);
void node_unreachable(struct node *n, uint64_t id);
void node_snapshot_status(struct node *n, uint64_t id, bool ok);
/* The cluster says that this member was removed for ever: hooks.removed. */
void node_removed(struct node *n);

#endif
