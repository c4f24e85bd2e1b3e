/* What the files of grpc-proxy share. All on the proxy's one loop.
 *
 *	grpc.c       start and stop, listeners, TLS, the table of methods
 *	pass.c       a call passed on as it is: unary, or a stream of answers
 *	kv.c         around the calls of KV: namespace, cache, order of revisions
 *	leasing.c    --experimental-leasing-prefix: reads from leasing_cache.c, writes that ask other proxies first; its lease and the
 *	             leasing keys' events: leasing_session.c; what it asks and reads as bytes: leasing_txn.c
 *	watch.c      watch streams of clients; broadcast.c: the watches of the proxy that feed them
 *	keepalive.c  lease renewals
 *	cluster.c    MemberList, registration of the proxy
 *	web.c        /metrics, /health, /proxy/...; fetch.c: GET of a member's metrics */
#ifndef PROXY_GRPC_PROXY_H
#define PROXY_GRPC_PROXY_H

#include "client/client.h"
#include "grpc/grpc.h"
#include "http/http.h"
#include "proxy/cache.h"
#include "proxy/prefix.h"
#include "proxy/proxy_impl.h"
#include "tls/tls.h"

struct watching;
struct keeping;
struct cluster;
struct leasing;
struct leasing_call;

struct grpc_proxy {
	struct proxy *proxy;
	const struct proxy_options *o;
	struct net_loop *loop;
	struct client *client; /* of the cluster */
	struct client *self;   /* of this proxy, for its health; NULL without --advertise-client-url */
	struct http_io *http;
	struct grpc_server *server;
	struct grpc_io *grpc;
	struct http_service service, metrics_service;
	struct http_budget *budget;
	struct tls_context *tls;        /* towards clients; NULL: plain */
	struct tls_context *fetch_tls;  /* towards members, for their metrics; NULL: none needed */
	struct net_listener *metrics_listener;
	bool metrics_are_tls;
	struct words endpoints;
	struct backends found;

	struct prefix prefix;
	uint8_t *prefix_end;
	bool has_prefix;
	struct cache cache;
	bool ordered;           /* --experimental-serializable-ordering, and a linearizable read was answered */
	int64_t revision;       /* the highest seen, for ordering */

	struct watching *watching;
	struct keeping *keeping;
	struct cluster *cluster;
	struct leasing *leasing; /* NULL: not asked for */
	struct list passes;
	struct list asks;       /* web.c: questions of /health and /metrics under way */
	struct net_timer sync;
};

static inline struct grpc_proxy *proxy_of(const struct grpc_stream *s)
{
	return grpc_io_user(s->gio);
}

static inline enum rpc rpc_of(const struct grpc_stream *s)
{
	return (enum rpc)((const struct rpc_method *)s->method->data - rpc_methods);
}

/* Metadata that goes on to the cluster. */
struct slice token_of(const struct grpc_stream *s);
/* Time left to the client's call, 0: no limit; as client_call_opts has it. */
uint64_t timeout_of(const struct grpc_stream *s);

struct kv_call {
	struct range_req range; /* borrows the request */
	unsigned tries;         /* answers that were too old */
};

/* pass.c */
struct pass {
	struct list node; /* of proxy.passes */
	struct grpc_proxy *px;
	struct grpc_stream *stream;
	struct client_call *call;
	struct blob *request;
	struct kv_call kv;
	struct buf sent; /* the request as it goes to the cluster, where that differs */
	bool again;
	bool stale;
	struct leasing_call *leasing; /* what does the work instead; NULL: pass.c itself */
};

extern const struct grpc_handler pass_handler;
void pass_init(struct grpc_proxy *px);
void pass_stop(struct grpc_proxy *px);
/* Both streams are gone after it, and so is p. */
void pass_finish(struct pass *p, enum grpc_status status, struct slice text);

/* leasing_session.c */
void leasing_init(struct grpc_proxy *px);
void leasing_begin(struct grpc_proxy *px); /* on the loop */
void leasing_stop(struct grpc_proxy *px);
void leasing_free(struct grpc_proxy *px);
/* leasing.c */
/* True: it takes p over, or has finished it. False: p passes as it is. */
bool leasing_takes(struct leasing *l, struct pass *p);
/* The client has gone: its write may have been done, or be done yet. */
void leasing_call_drop(struct leasing_call *c);

/* kv.c */

enum kv_verdict { KV_GO_ON, KV_FINISHED, KV_AGAIN };

/* Before: KV_FINISHED if it was answered from the cache, or refused. */
enum kv_verdict kv_before(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice body);
/* What is to be sent goes to *out (left empty: the body as it is), or the call is finished here. */
enum kv_verdict kv_to_send(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice body, struct buf *out);
void kv_finish_err(struct grpc_stream *s, err_t err);
/* For --experimental-serializable-ordering: is this answer older than what was shown? */
bool kv_too_old(struct grpc_proxy *px, enum rpc rpc, struct slice answer);
/* The answer of a range goes to the client: it is good for serializable ones from now on. */
void kv_remember(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice answer);
/* Of a message: the last field 1 that has bytes. */
struct slice kv_first_bytes(struct slice body);
int64_t kv_revision(struct slice answer);
/* An answer came: what goes to the client is *out, which borrows answer or room. KV_AGAIN: it is to be asked for again. KV_FINISHED: it
 * is older than what was shown before, and so were all others. */
enum kv_verdict kv_answer(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice answer, struct buf *room,
			  struct slice *out);
/* The call has ended, well or not. */
void kv_after(struct grpc_proxy *px, enum rpc rpc, struct slice body, bool ok);
void kv_begin(struct grpc_proxy *px); /* on the loop */

/* watch.c */
extern const struct grpc_handler watch_handler;
void watching_init(struct grpc_proxy *px);
void watching_stop(struct grpc_proxy *px);
void watching_free(struct grpc_proxy *px);

/* keepalive.c */
extern const struct grpc_handler keepalive_handler;
void keeping_init(struct grpc_proxy *px);
void keeping_stop(struct grpc_proxy *px);
void keeping_free(struct grpc_proxy *px);

/* cluster.c */
extern const struct grpc_handler member_list_handler, member_promote_handler, range_stream_handler;
void cluster_init(struct grpc_proxy *px);
void cluster_begin(struct grpc_proxy *px); /* on the loop */
void cluster_stop(struct grpc_proxy *px);
void cluster_free(struct grpc_proxy *px);
/* Is the answer made here? */
bool cluster_answers(const struct grpc_proxy *px);

/* web.c */
const struct http_handler *web_route_proxy(struct http_req *r);
void web_stop(struct grpc_proxy *px);

/* fetch.c: GET of a URL with a time limit; done gets the body, or false. Not from within. */
struct fetch;
typedef void fetch_done(void *arg, bool ok, struct slice body);
struct fetch *fetch_start(struct net_loop *l, struct tls_context *tls, const char *host_port, bool is_tls, const char *path, fetch_done *done,
			  void *arg);
void fetch_cancel(struct fetch *f);

#endif
