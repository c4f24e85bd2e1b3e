/* --enable-distributed-tracing: sends the spans of src/trace to the collector, over gRPC without TLS (OTLP).
 *
 * A thread of its own, with a loop and a client: calls never wait for it. Spans leave TRACING_DELAY_MS after the first of them came, or
 * as soon as TRACE_BATCH_SPANS wait. A batch that is not taken within TRACING_TIMEOUT_MS, repeated where the collector asks for it by its
 * status, is lost, as in upstream. That a collector cannot be reached is one line of the log until it can be again; then it is said how
 * many spans were lost. The member does not care. */
#ifndef SERVER_TRACING_H
#define SERVER_TRACING_H

#include "server/config.h"
#include "trace/trace.h"

enum { TRACING_DELAY_MS = 5000, TRACING_TIMEOUT_MS = 10000, TRACING_AGAIN_MS = 5000, TRACING_STOP_MS = 2000 };

struct tracing;

/* *out NULL: not asked for. ERR_INVALID: the address. */
NODISCARD err_t tracing_new(const struct config *cfg, struct why *why, struct tracing **out);
struct trace_queue *tracing_queue(struct tracing *t); /* NULL of NULL */
/* Sends what waits, for TRACING_STOP_MS at most. No trace may be open. NULL allowed. */
void tracing_free(struct tracing *t);

#endif
