/* A running etcd process: listeners, io loops, the node and the wiring between them. main thread only.
 *
 *	err = server_start(&cfg, &why, &s);     listeners open, data directory read, member started
 *	... signals ...
 *	server_stop(s);
 *
 * root's password, if there is one, is wiped by server_start. Order of a start as upstream's: peer listeners, client listeners, data directory, node, metrics listeners. Client
 * connections are accepted by the kernel from the beginning and served once the member has published itself, those of metrics
 * listeners at once. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"
#include "server/root_password.h"

struct server;

/* On failure why has the one line for the operator; nothing is left running. cfg must outlive the server. */
NODISCARD err_t server_start(struct config *cfg, struct root_password *take_root, struct why *why, struct server **out);
/* True once the member serves clients. */
bool server_is_ready(const struct server *s);
/* This member was removed from the cluster; it sent itself SIGTERM. */
bool server_is_removed(const struct server *s);
/* Ends streams, commits, closes. Blocks. */
void server_stop(struct server *s);

#endif
