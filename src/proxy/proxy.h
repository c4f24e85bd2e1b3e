/* What stands between clients and a cluster: `etcd gateway`, which passes TCP connections on, and `etcd grpc-proxy`,
 * which speaks the API itself, gathers watches and lease renewals of many clients, and remembers what was read.
 *
 *	if (proxy_is_command(argc, argv)) {
 *		struct proxy *p = proxy_start(argc, argv, &code);    NULL: it said what it had to say; code is the exit code
 *		... wait for a signal ...
 *		proxy_stop(p);
 *	}
 *
 * Thread: the main thread, which waits; the work is done on one io loop, and nothing of it is shared. Descriptors bound the number
 * of connections; what a slow reader makes wait is bounded per stream and connection (http module, and see watch.c). */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>

struct buf;
struct proxy;

/* The first word is "gateway" or "grpc-proxy". */
bool proxy_is_command(int argc, char *const *argv);
/* Reads the command line, prints help or what is wrong, or listens and serves. Signals are blocked by the caller. */
struct proxy *proxy_start(int argc, char *const *argv, int *exit_code);
void proxy_stop(struct proxy *p);
/* Their part of etcd(1). */
void proxy_man(struct buf *out);

#endif
