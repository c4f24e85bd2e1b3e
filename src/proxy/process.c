/* One process, one loop. */
#include "proxy/proxy_impl.h"

static void receive(void *self, struct msg *m)
{
	UNREACHABLE(); /* nobody posts to it: all work begins at a socket or a timer of the loop */
}

static const struct actor_ops ops = {receive, NULL};

struct proxy *proxy_new(void)
{
	struct proxy *p = NEW(struct proxy);

	p->sched = sched_threads_new(1);
	p->loop = net_loop_new(p->sched, "proxy", &ops, p);
	return p;
}

void proxy_stop(struct proxy *p)
{
	if (p->listener)
		net_listener_close(p->listener);
	if (p->gateway)
		gateway_stop(p);
	if (p->grpc)
		grpc_proxy_stop(p);
	else
		net_loop_stop(p->loop);
	net_loop_free(p->loop);
	sched_free(p->sched);
	mem_free(p->options);
	mem_free(p);
}
