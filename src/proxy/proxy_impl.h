/* What the files of this folder share: the process, and the two ways it can be put to work. */
#ifndef PROXY_PROXY_IMPL_H
#define PROXY_PROXY_IMPL_H

#include "actor/actor.h"
#include "base/err.h"
#include "net/net.h"
#include "proxy/options.h"
#include "proxy/proxy.h"

struct gateway;
struct grpc_proxy;

struct proxy {
	struct sched *sched;
	struct net_loop *loop;
	struct net_listener *listener;
	struct proxy_options *options; /* owned once it runs */
	struct gateway *gateway;
	struct grpc_proxy *grpc;
};

/* In between, signals end the process; before and after, they are the caller's. */
struct proxy *proxy_new(void);
void proxy_loop_start(struct proxy *p);

/* Both: 0, and it serves; else what is wrong was printed. */
int gateway_start(struct proxy *p, const struct proxy_options *o, int argc, char *const *argv);
void gateway_stop(struct proxy *p);
int grpc_proxy_start(struct proxy *p, const struct proxy_options *o);
void grpc_proxy_stop(struct proxy *p);

/* notify.c: tells the service manager that it serves ($NOTIFY_SOCKET), and the log. */
void notify_ready(void);

/* discover.c: a backend, by SRV record or by hand. */
struct backend {
	char *url;    /* "https://a.example.com:2379", or what --endpoints said */
	char *target; /* host */
	uint16_t port, priority, weight;
};

struct backends {
	VEC(struct backend) at;
};

/* Looks up the SRV records of o->discovery_srv; none if that is "". False: what is wrong was printed. */
bool discover(const struct proxy_options *o, struct backends *out);
void backends_fini(struct backends *b);

#endif
