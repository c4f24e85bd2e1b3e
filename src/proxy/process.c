/* One process, one loop. */
#include <pthread.h>
#include <signal.h>

#include "proxy/proxy_impl.h"

/* Of this thread, and those it makes. */
static void signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(how, &set, NULL);
}

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
	signals(SIG_UNBLOCK); /* who is told to end while it starts just ends */
	return p;
}

void proxy_loop_start(struct proxy *p)
{
	signals(SIG_BLOCK);
	net_loop_start(p->loop);
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
