/* What the files of grpc-proxy share. All on the proxy's one loop.
 *
 *	grpc.c       start and stop, listeners, TLS, the table of methods
 *	pass.c       a call passed on as it is: unary, or a stream of answers
 *	kv.c         around the calls of KV: namespace, cache, order of revisions
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

/* pass.c */
extern const struct grpc_handler pass_handler;
void pass_init(struct grpc_proxy *px);
void pass_stop(struct grpc_proxy *px);

/* kv.c */
struct kv_call {
	struct range_req range; /* borrows the request */
	bool keep_answer;       /* of a range: for the cache */
	unsigned tries;         /* answers that were too old */
};

enum kv_verdict { KV_GO_ON, KV_FINISHED, KV_AGAIN };

/* Before: what is to be sent goes to *out (cleared before, the body as it is if that is right), or the call is finished here. */
enum kv_verdict kv_before(struct grpc_proxy *px, struct grpc_stream *s, struct kv_call *k, struct slice body, struct buf *out);
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
