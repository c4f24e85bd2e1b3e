/* An HTTP/2 client in memory for tests: nghttp2's client session against an http_conn, byte arrays in between.
 *
 *	struct h2_client k;  h2_client_init(&k, conn);
 *	int32_t id = h2_client_post(&k, "/svc/Method", headers, n, body, end);
 *	h2_client_turn(&k);                     bytes go both ways until nobody has any
 *	k.streams[id].status, .trailers, .body, .closed, .error
 *
 * Windows can be held shut (auto_window = false). */
#ifndef TESTS_UNIT_HTTP_H2_CLIENT_H
#define TESTS_UNIT_HTTP_H2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "../../lib/test.h"
#include "base/buf.h"
#include "http/http.h"

#define H2_STREAMS 256

struct h2_stream {
	char status[8];
	struct buf headers; /* "name: value\n" of every block; blocks separated by "--\n" */
	struct buf body;
	struct buf out; /* request body not yet sent */
	bool out_end, deferred;
	bool closed;
	uint32_t error;
};

struct h2_client {
	nghttp2_session *session;
	struct http_conn *conn;
	struct h2_stream streams[H2_STREAMS]; /* by stream id / 2 */
	bool goaway;
	uint32_t goaway_code;
	int32_t goaway_last;
	char goaway_debug[64];
	unsigned pings, ping_acks, settings;
	bool hold; /* what the server says is not read */
	uint64_t server_bytes;
};

void h2_client_init(struct h2_client *k, struct http_conn *conn, bool auto_window);
void h2_client_fini(struct h2_client *k);
struct h2_stream *h2_client_stream(struct h2_client *k, int32_t id);
/* POST with content-type application/grpc and te; extra headers as name, value pairs ended by NULL. Body NULL: none. */
int32_t h2_client_post(struct h2_client *k, const char *path, const char *const *extra, struct slice body, bool end);
int32_t h2_client_request(struct h2_client *k, const nghttp2_nv *nv, size_t count, struct slice body, bool end);
void h2_client_send(struct h2_client *k, int32_t id, struct slice body, bool end);
/* Returns false once the server has ended the connection. */
bool h2_client_turn(struct h2_client *k);
/* Only the client's bytes go over. */
void h2_client_push(struct h2_client *k);
bool h2_has(struct h2_client *k, int32_t id, const char *text); /* in the headers */

#endif
