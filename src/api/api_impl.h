/* Private to src/api. */
#ifndef API_API_IMPL_H
#define API_API_IMPL_H

#include "api/api.h"
#include "base/list.h"

enum { API_RESP_MAX = 0x7fffffff, API_ROWS_INLINE = 1000, API_BYTES_INLINE = 256 * 1024, API_SLICE_ROWS = 1000, API_SLICE_BYTES = 64 * 1024 };

struct api {
	struct node *node;
	struct api_opts opts;
	struct {                        /* failure, success; 0 = not made yet */
		_Atomic uint32_t range[2], range_request[2], txn_request[2];
		uint32_t scrapes;
	} series;
};

enum { CLIENT_VERSIONS_KEPT = 8 };

struct api_io {
	struct api *api;
	struct {                        /* series of etcd_server_client_requests_total by client version */
		char *version;
		uint32_t series[2];     /* stream, unary */
	} versions[CLIENT_VERSIONS_KEPT];
	size_t version_next;
	struct node *node;
	struct actor *actor;
	uint32_t port;
	struct timer tick;
	uint64_t leaderless_since_ns;   /* as the ticks saw it; 0: there is a leader, or nobody asked */
	struct list rpcs;               /* all that live, also those whose sink is gone */
	struct list members;            /* requests of other members (members.c) */
	size_t count;                   /* of both */
	size_t member_count;
	struct msg *calls, **calls_tail;        /* for core, since calls_msg was posted to ourselves: they leave together */
	struct msg calls_msg;
	struct list passwords;          /* auth.c: those that wait for a worker */
	size_t passwords_waiting;
	bool password_runs;
	struct jwt_kept *jwts;          /* permit.c */
};

/* Rows of a slice: usual, unless a test wants fewer. */
static inline size_t api_slice_rows(const struct api_io *io, size_t usual)
{
	uint32_t rows = io->api->opts.slice_rows;

	return rows ? MIN((size_t)rows, usual) : usual;
}

/* Continues a call whose struct call came back from core. */
typedef void api_step(struct api_rpc *r);

struct api_rpc {
	struct list link;
	struct api_io *io;
	enum rpc method;
	const struct api_row *row;
	const struct api_sink_ops *ops;
	void *sink;                     /* NULL: gone or finished */
	struct api_meta meta;
	struct arena arena;
	uint64_t started_ns;            /* the first message came */
	uint64_t read_ns;               /* the read was done; 0: not timed */
	uint64_t blocked_ns;            /* since when it waits for its client, holding something; 0: it does not */
	size_t sent_bytes;              /* of messages, without large ones sent in parts */
	char *content;                  /* of a request too large to keep, as text; owned */
	size_t kept_size;               /* of that request */
	struct call call;
	bool call_out;                  /* core has it */
	enum call_kind call_kind;
	bool more_out;                  /* the message to ourselves is under way */
	bool job_out;
	bool held;                      /* by something else that will come back (watch.c) */
	bool stopping;                  /* in row->stop */
	bool half_closed;
	api_step *next;                 /* when call comes back */
	api_step *more;                 /* when more_msg comes back */
	struct msg more_msg;
	struct job job;
	struct auth_id who;             /* permit.c; name in who_name */
	struct buf who_name;
	struct slice asked;             /* the request, while api_permit looks at it */
	VEC(struct blob *) early;       /* messages that came while the token's entry was waited for */
	bool token_wait, delivering;
	struct blob *body;              /* of the request, as long as slices of it are used */
	void *state;                    /* the method's; freed by row->drop */
	struct trace *trace;            /* NULL: not traced */
	struct span *span, *op_span;    /* of the call, if it is no part of another; of what it does */
	union {
		struct range_req range;
		struct txn_req txn;
		struct compact_req compact;
	};
};

struct api_row {
	const char *name;
	void (*message)(struct api_rpc *r, struct blob *take_body);
	void (*half_close)(struct api_rpc *r);                  /* may be NULL */
	void (*writable)(struct api_rpc *r);                    /* may be NULL */
	void (*stop)(struct api_rpc *r);                        /* the answer is given, or nobody waits for it; may be NULL */
	void (*drop)(struct api_rpc *r);                        /* frees state; may be NULL */
	bool permit_first;              /* the method's permission is asked before anything of the request is looked at */
	bool learner_ok;
	bool any_leader;                /* hasleader is not looked at (health) */
};

extern const struct api_row *const api_rows[RPC__COUNT];

/* rpc.c */
void api_fail(struct api_rpc *r, err_t err);
void api_fail_text(struct api_rpc *r, err_t err, const char *text);
void api_done(struct api_rpc *r);                               /* finish with OK */
bool api_send(struct api_rpc *r, const struct slice *parts, size_t count);
/* Message and OK. Parts are copied. */
void api_reply(struct api_rpc *r, const struct slice *parts, size_t count);
void api_call(struct api_rpc *r, enum call_kind kind, api_step *next);
/* Wraps the request into a log entry and proposes it. ERR_REQUEST_TOO_LARGE without a proposal. */
void api_propose(struct api_rpc *r, enum internal_field field, struct slice request, api_step *next);
void api_later(struct api_rpc *r, api_step *more);              /* next turn of the actor */
void api_job(struct api_rpc *r, bool (*run)(struct job *j), api_step *next);
void api_job_on(struct api_rpc *r, struct sched *s, bool (*run)(struct job *j), api_step *next);        /* s NULL: the actor's */
/* Replies call.resp or the call's error: the usual end of a proposal. */
void api_step_reply(struct api_rpc *r);
/* Waits, unless this member leads alone, until a read is linearizable; then runs next (call.err set). */
void api_linearizable(struct api_rpc *r, api_step *next);
/* After the call was over quota at the front: raises the alarm through the log, then fails with ERR_NO_SPACE. False: admitted. */
bool api_over_quota(struct api_rpc *r, uint64_t cost);
struct slice api_header(struct api_rpc *r, const struct publication *p, uint8_t out[64]);
static inline bool api_alive(const struct api_rpc *r)
{
	return r->sink != NULL;
}

/* Frees it once the sink is gone and nothing is out. */
void api_settle(struct api_rpc *r);

/* permit.c */
void api_token_keep(struct api_rpc *r);         /* token and certificate's name outlive the transport's memory */
/* Sets r->who: nobody while auth is off or without a token. ERR_INVALID_AUTH_TOKEN. Inside node_view. */
NODISCARD err_t api_who(struct api_rpc *r, const struct publication *p);
/* The same, and the rule of the method; of reads on r->range or r->txn. */
NODISCARD err_t api_permit(struct api_rpc *r, const struct publication *p);
NODISCARD err_t api_permit_now(struct api_rpc *r);
/* Whether the holder of that token is root; anybody while auth is off. */
NODISCARD err_t api_token_admin(struct api_io *io, struct slice token);
/* At the end of what took more than one publication: ERR_AUTH_OLD_REVISION if rights may have changed. */
NODISCARD err_t api_still_may(const struct api_rpc *r, const struct publication *p);
/* A simple token of an entry that this member has not applied yet. */
bool api_token_ahead(struct api_rpc *r);
void api_jwts_free(struct api_io *io);

/* auth.c */
void api_job_was_password(struct api_rpc *r);

/* part.c: a call that a call makes itself (lock.c, election.c), as the same client. One at a time. */
struct api_part {
	struct api_rpc *owner;
	struct api_rpc *inner;          /* NULL: none under way */
	struct buf answer;              /* a whole response message */
	/* The end. OK: of a unary call answer holds the response. Runs also when the owner's client is gone. */
	void (*done)(struct api_rpc *owner, err_t err, const char *text);
	/* Streams: answer holds a message. The inner call must not be stopped from in here (api_later does it). False: no room
	 * for more until api_part_writable. */
	bool (*message)(struct api_rpc *owner);
};
void api_part_init(struct api_part *p, struct api_rpc *owner);
void api_part_fini(struct api_part *p);
/* request is consumed. done may come before this returns. */
void api_part_call(struct api_part *p, enum rpc m, struct buf *take_request, void (*done)(struct api_rpc *owner, err_t err, const char *text));
/* A stream: messages until done, or until it is stopped. */
void api_part_open(struct api_part *p, enum rpc m, struct buf *take_request, bool (*message)(struct api_rpc *owner),
		   void (*done)(struct api_rpc *owner, err_t err, const char *text));
void api_part_writable(struct api_part *p);
/* Forgets the inner call; done does not come. */
void api_part_stop(struct api_part *p);

/* stats.c */
void api_series_make(struct api *a);
uint64_t api_now(const struct api_rpc *r);
void api_count_client(struct api_rpc *r);
/* Keeps the body for the log line of a slow call, or its description if it is large. */
void api_keep_put(struct api_rpc *r, const struct put_req *q, struct blob *take_body);
/* The call ends: "request stats" if it took long. */
void api_log_stats(struct api_rpc *r);

/* trace.c. All but the first and the last two: with r->trace only. */
void api_trace_begin(struct api_rpc *r);        /* with opts.traces only */
void api_trace_range(struct api_rpc *r);
void api_trace_put(struct api_rpc *r, const struct put_req *q);
void api_trace_delete(struct api_rpc *r, const struct delete_req *q);
void api_trace_txn(struct api_rpc *r);
void api_trace_compact(struct api_rpc *r);
void api_trace_lease(struct api_rpc *r, const char *name, int64_t id);
void api_trace_lease_grant(struct api_rpc *r, const struct lease_grant_req *q);
struct span *api_trace_watch(struct api_rpc *r, const struct watch_req *q);     /* the caller's to end */
void api_trace_op_end(struct api_rpc *r);
void api_trace_end(struct api_rpc *r, enum grpc_status status, struct slice text);
void api_trace_free(struct api_rpc *r);

/* watchdog.c */
void api_watchdog_init(struct api_io *io);
/* A stream that has to end when the leader is lost, or a call that is blocked, began. */
void api_watchdog_wake(struct api_rpc *r);
/* The sink took all it could and the call holds something meanwhile; api_writable ends it. */
void api_blocked(struct api_rpc *r);
void api_watchdog_tick(struct api_io *io);

/* Ends all that verdict gives an error for; the end of one may end or begin others. */
void api_end_some(struct api_io *io, err_t (*verdict)(const struct api_rpc *r, const void *arg), const void *arg);
/* A read that was answered on this member: what mvcc took, from began_ns, and the whole request. */
void api_range_observe(struct api_rpc *r, bool success, uint64_t began_ns);
void api_read_txn_observe(struct api_rpc *r, bool success);

/* one per service */
extern const struct api_row kv_range_row, kv_range_stream_row, kv_put_row, kv_delete_row, kv_txn_row, kv_compact_row;
extern const struct api_row lease_grant_row, lease_revoke_row, lease_keep_alive_row, lease_ttl_row, lease_leases_row;
extern const struct api_row watch_row;
extern const struct api_row member_list_row, member_add_row, member_remove_row, member_update_row, member_promote_row;
extern const struct api_row move_leader_row, downgrade_row;
extern const struct api_row alarm_row, status_row, defragment_row, hash_row, hash_kv_row, snapshot_row;
extern const struct api_row authenticate_row, user_add_row, user_change_password_row, auth_log_row;
extern const struct api_row health_check_row, health_list_row, health_watch_row;
void members_call_back(struct msg *m);
void members_job_back(struct msg *m);
void members_abandon(struct api_io *io);
void watch_batch_received(struct api_io *io, struct msg *m);
void watch_closed(struct api_io *io, struct msg *m);
extern const struct api_row lock_lock_row, lock_unlock_row;
extern const struct api_row election_campaign_row, election_proclaim_row, election_leader_row, election_observe_row, election_resign_row;

/* What /version says, to clients and to other members. */
void api_version_json(struct node *n, struct buf *out);

#endif
