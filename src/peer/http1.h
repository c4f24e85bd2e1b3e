/* HTTP/1.1, asking side: one connection, one request at a time, on the peer loop. Private to the module.
 *
 *	struct http1_conn *c = http1_open(&client, &url);               dials; requests may be made at once
 *	http1_request(c, &request, &events, owner);
 *	    on_response, on_body*, on_end(OK)                            then http1_reusable(c): the next request may follow
 *	    on_end(error)                                                once, at any time; nothing comes after
 *	http1_close(c);                                                 in any callback as well; no callback comes after
 *
 * Limits: 64 KiB of response headers. The body is the owner's to bound. Redirects are the owner's affair. */
#ifndef PEER_HTTP1_H
#define PEER_HTTP1_H

#include "base/buf.h"
#include "net/net.h"
#include "peer/peer.h"

/* http://host:port, https://host:port, unix://path, unixs://path */
struct http1_url {
	bool is_tls;
	bool is_unix;
	char host[256];                 /* name or address without port and brackets, for TLS */
	char address[256];              /* host:port, or path: for net_dial and the Host header */
};

/* Paths behind the port are cut off. False: not such a URL. */
bool http1_url_parse(struct slice text, struct http1_url *out);

struct http1_client {
	struct net_loop *loop;
	peer_secure *secure;
	void *secure_arg;
	uint32_t dial_ms;
	const char *local_ip;           /* NULL: any */
};

struct http1_conn;

struct http1_request {
	const char *method;
	const char *path;
	struct slice headers;           /* whole lines, each with its line end; Host and framing are added */
	struct slice body;              /* sent with Content-Length; none for a GET with an empty one */
	bool is_chunked;                /* the body follows with http1_send, http1_finish */
};

struct http1_events {
	void (*on_response)(void *owner, unsigned status);      /* headers are there: http1_header */
	void (*on_body)(void *owner, struct slice data);
	void (*on_writable)(void *owner);                       /* NULL allowed: all that was sent has gone out */
	void (*on_end)(void *owner, err_t err, const char *why);
};

struct http1_conn *http1_open(const struct http1_client *client, const struct http1_url *url);
void http1_request(struct http1_conn *c, const struct http1_request *r, const struct http1_events *events, void *owner);
/* Of the response being read; lower-case name. */
bool http1_header(const struct http1_conn *c, const char *name, struct slice *value);
void http1_send(struct http1_conn *c, struct slice data);
void http1_finish(struct http1_conn *c);
size_t http1_unsent(const struct http1_conn *c);
/* After on_end(OK): the server keeps the connection open. */
bool http1_reusable(const struct http1_conn *c);
/* Between requests: closed is called when the server ends it; the connection is then to be closed. */
void http1_idle(struct http1_conn *c, void (*closed)(void *arg), void *arg);
void http1_read_enable(struct http1_conn *c, bool on);
const struct net_peer *http1_peer(const struct http1_conn *c);          /* NULL: not connected */
void http1_close(struct http1_conn *c);         /* NULL allowed */

#endif
