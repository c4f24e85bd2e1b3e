/* A gRPC server on loopback that does what a test tells it: in the loop of the client under test.
 *
 *	struct fake_server *s = fake_server_new(loop, on_message, self);    fake_server_address(s): "127.0.0.1:4711"
 *	on_message(self, r, body): once per message; fake_send(r, …), fake_end(r, status, text), fake_reset, fake_drop
 *	fake_server_free(s); uv_run(loop, UV_RUN_DEFAULT) */
#ifndef TESTS_UNIT_CLIENT_FAKE_SERVER_H
#define TESTS_UNIT_CLIENT_FAKE_SERVER_H

#include <uv.h>

#include "base/buf.h"
#include "base/slice.h"

struct fake_server;

struct fake_request {
	struct fake_conn *conn;
	struct fake_request *next; /* of the connection; they live as long as it */
	int32_t id;
	char path[128];
	char token[64], timeout[16], leader[8];
	struct buf in, out;
	size_t out_sent;
	bool answered, ended;
	int status;
	char text[128];
};

typedef void fake_on_message(void *self, struct fake_request *r, struct slice body);

struct fake_server *fake_server_new(uv_loop_t *loop, fake_on_message *on_message, void *self);
const char *fake_server_address(const struct fake_server *s);
unsigned fake_server_conns(const struct fake_server *s); /* accepted so far */
void fake_server_free(struct fake_server *s);

void fake_send(struct fake_request *r, struct slice body);
void fake_end(struct fake_request *r, int status, const char *text);
void fake_reset(struct fake_request *r, uint32_t h2_code);
void fake_drop(struct fake_request *r); /* closes the connection */

#endif
