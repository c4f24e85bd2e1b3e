/* Between src/peer and the node: the node's transport over HTTP, and the answers to what other members ask.
 *
 *	p = peers_new(sched, cfg, snap_dir);            the peer actor runs; peer listeners accept, connections wait
 *	peers_ask(p, &q)                                while the node opens: a question, waiting for its answer
 *	node_config.transport = peers_transport(p)
 *	peers_begin(p, node, loop, &api_io);  node_start(node);  peers_serve(p)
 *	node_stop, until stopped;  peers_free(p)        before node_close and before the io loop ends
 *
 * main thread only, but peers_ask (the thread that opens the node). */
#ifndef SERVER_PEERS_H
#define SERVER_PEERS_H

#include "api/api.h"
#include "net/net.h"
#include "node/node.h"
#include "server/config.h"
#include "tls/tls.h"

struct peers;

/* tls: for members with https URLs; outlives p. */
struct peers *peers_new(struct sched *sched, struct config *cfg, const char *data_dir, struct tls_context *tls);
struct net_loop *peers_loop(struct peers *p);
/* net_listen_opts.on_accept of a peer listener hands its connections on to this. On the loop. */
void peers_accept(struct peers *p, struct net_loop *loop, struct net_stream *take_s);
void peers_ask(struct peers *p, struct member_question *q);
const struct node_transport *peers_transport(struct peers *p);
/* io: of the loop, where other members' questions are answered. */
void peers_begin(struct peers *p, struct node *n, struct net_loop *loop, struct api_io *io);
void peers_serve(struct peers *p);
void peers_free(struct peers *p);               /* NULL allowed */

#endif
