/* http and https on one address: the first byte of a connection says which it is. */
#ifndef SERVER_SNIFF_H
#define SERVER_SNIFF_H

#include "net/net.h"

/* done once, on the stream's loop, with a stream that gives all bytes from the first on; never, if the other end sends nothing for 10 s or
 * goes away: then the stream is closed. */
typedef void sniff_done(void *arg, struct net_loop *loop, bool is_tls, struct net_stream *take_s);

void sniff(struct net_stream *take_raw, sniff_done *done, void *arg);

#endif
