/* Plain HTTP on the client and metrics ports (src/peer has its own): /version, /health, /livez, /readyz, /metrics, and the JSON gateway under
 * /v3/. Which listener serves what, the order of checks and the texts: spec http-endpoints.md (etcd v3.7.1).
 *
 * Thread: the io loop of the request. */
#ifndef API_WEB_H
#define API_WEB_H

#include "api/api.h"
#include "http/http.h"

enum web_kind { WEB_CLIENT, WEB_METRICS };

/* What a listener offers; read-only while it is used. */
struct web_listener {
	enum web_kind kind;
	bool gateway;
	bool debug;                     /* /debug/pprof/ */
	struct http_front front;        /* host whitelist and CORS of client listeners; empty elsewhere */
};

/* For http_service.route: any request that is not gRPC. Never NULL. */
const struct http_handler *web_route(const struct web_listener *l, struct api_io *io, struct http_req *r);

#endif
