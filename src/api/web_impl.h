/* Private to src/api: one plain HTTP request. */
#ifndef API_WEB_IMPL_H
#define API_WEB_IMPL_H

#include "api/api_impl.h"
#include "api/web.h"

struct web_req {
	const struct web_listener *listener;
	struct api_io *io;
	struct http_req *http;          /* NULL: gone */
	struct slice path, query;       /* of http->path; path without its escapes, in text if it has any */
	struct buf text;
	struct buf value;               /* of web_query_next */
	bool is_get;
	struct http_header cors[HTTP_FRONT_HEADERS];    /* for whatever is answered; of the listener's front check */
	size_t cors_count;
	struct api_rpc *probe;          /* a read under way (health) */
	void (*probed)(struct web_req *w, err_t err);
	void *state;                    /* of a health question */
};

/* With the CORS headers of the listener. type: content type; nosniff for text. */
void web_reply(struct web_req *w, unsigned status, const char *type, struct slice body, bool nosniff);
/* 401 of the gateway; text goes into www-authenticate, as grpc-gateway has it. */
void web_unauthenticated(struct web_req *w, const char *text, struct slice body);
/* 405 in Go's words. */
void web_wrong_method(struct web_req *w, const char *allow);
/* A Range of one key's name through the API, as /health does; probed is called, perhaps at once, unless w ended before. */
void web_probe(struct web_req *w, bool serializable, void (*probed)(struct web_req *w, err_t err));
/* Every value of a query parameter in turn, good until the next; false at the end. */
bool web_query_next(struct web_req *w, const char *name, size_t *at, struct slice *value);
bool web_query_has(struct web_req *w, const char *name);
/* First in on_request: host whitelist, CORS, OPTIONS, a path that must be written otherwise. False: answered. */
bool web_front(struct web_req *w);
void web_free(struct web_req *w);

/* The whole of a file that has no size of its own; false: not read, or too long for out. */
bool web_proc_read(const char *path, struct buf *out);
/* /debug/pprof/…; false: not served here. */
bool web_debug(struct web_req *w);

void web_health(struct web_req *w);
void web_checks(struct web_req *w, bool ready, struct slice sub);
void web_health_drop(struct web_req *w);

/* gateway.c */
const struct http_handler *gateway_handler(void);
bool gateway_takes(struct slice path);
struct gateway_req *gateway_new(struct web_req *take_w);

#endif
