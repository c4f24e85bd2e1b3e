/* A call: one request on its way through the node, whoever made it.
 *
 * The origin (gRPC stream, gateway, the server itself, the simulator) owns the struct, fills the top part and posts
 * it to core with call_post; core gives it back as the same message (kind reply_kind) to the reply actor, exactly
 * once, with err and resp set. A client that went away changes nothing: the call comes back and its origin frees it.
 * Proposals and reads come back after the server's time limit (5 s + 2 election timeouts) at the latest; a client's own deadline is
 * its transport's, which then forgets the answer. Commits, defragmentation and physical compactions take as long as they take.
 *
 * Identity is set by the origin's code only. Thread: filled on the origin's actor, touched by core until it returns. */
#ifndef NODE_CALL_H
#define NODE_CALL_H

#include "actor/actor.h"
#include "auth/auth.h"
#include "base/buf.h"
#include "base/list.h"
#include "bolt/bolt.h"
#include "member/member.h"
#include "pb/rpc.h"

struct node;

/* What core is asked to do. The comment names what comes in besides the common part, and what goes out. */
enum call_kind {
	CALL_PROPOSE = 1,       /* entry, id -> resp: the encoded response message, header included */
	CALL_READ_INDEX,        /* -> OK once applied has reached the leader's commit index of a time after the post */
	CALL_LEASE_RENEW,       /* lease_id -> ttl_s (0: unknown lease), header */
	CALL_LEASE_TTL,         /* lease_id, want_keys -> resp; on a follower the leader is asked */
	CALL_LEASE_LIST,        /* -> resp */
	CALL_COMMIT,            /* -> OK and pin: everything applied before the post is durable in the backend file */
	CALL_DEFRAG,            /* -> OK when the file has been shrunk as far as it goes */
	CALL_PHYSICAL,          /* revision -> OK when the rows of that compaction are gone and committed */
	CALL_HOLD,              /* revision -> OK: reads at it work until node_release; ERR_COMPACTED */
	CALL_CONF_CHANGE,       /* change, is_promote, member_id, entry (the member's JSON; NULL for a removal), id -> OK once applied; resp is
	                           empty, or the members (field 2 each) as the leader has them after a promotion it was asked for */
	CALL_TRANSFER,          /* member_id -> OK once that voter leads */
	CALL_CAUGHT_UP,         /* -> OK once everything committed at the post is applied; ERR_TIMEOUT_WAIT_APPLIED_INDEX after 1 s */
	CALL__END
};

struct call {
	struct msg msg;
	struct actor *reply;
	uint32_t reply_kind;

	/* in */
	uint64_t id;                    /* CALL_PROPOSE, CALL_CONF_CHANGE: from node_next_id; 0 elsewhere */
	struct blob *entry;             /* CALL_PROPOSE: an encoded InternalRaftRequest with that id; CALL_CONF_CHANGE: the context; consumed */
	uint32_t field;                 /* CALL_PROPOSE: which request it is (enum internal_field), for metrics; 0 on return */
	uint64_t started_ns;
	struct auth_id who;             /* CALL_LEASE_: the caller; borrowed until the call is back */
	int64_t lease_id;
	int64_t revision;
	bool want_keys;
	bool local;                     /* CALL_LEASE_RENEW, _TTL, CALL_CONF_CHANGE: another member asked; do not ask the leader in turn */
	bool is_promote;
	enum member_change change;
	uint64_t member_id;
	const char *token;              /* of the client, for the leader; NULL: none */
	bool internal;                  /* made by the server: not refused when too many requests wait */

	/* out */
	err_t err;
	bool applied;                   /* CALL_PROPOSE: err is the answer of apply; else it never came so far */
	struct buf resp;                /* initialised by call_init; freed by call_fini */
	struct response_header header;
	int64_t ttl_s;
	bool unknown_lease;             /* CALL_LEASE_TTL; resp says so too */
	struct bolt_pin *pin;           /* CALL_COMMIT: counted, the origin's */

	/* core's while it has the call */
	struct list link;
	struct call *hash_next;
	bool counted;                   /* among the reads that wait */
	uint64_t order;
};

/* resp_max_bytes bounds the answer. */
void call_init(struct call *c, struct actor *reply, uint32_t reply_kind, size_t resp_max_bytes);
void call_fini(struct call *c);
/* Any thread. The call is core's until it comes back. */
void call_post(struct node *n, struct call *c, enum call_kind kind);
/* The same for several, msg.kind set, linked by msg.next: they reach core together and are proposed as one batch. */
void call_post_all(struct node *n, struct msg *first);

#endif
