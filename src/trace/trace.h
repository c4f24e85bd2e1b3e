/* Spans of calls for a collector of traces (OpenTelemetry): which calls are sampled, what a span says, and the bounded queue to
 * whoever sends them (src/server/tracing.c). The wire form is that of proto/otlp.proto.
 *
 *	q = trace_queue_new(rate_per_million, wake, arg);
 *	t = trace_begin(q, &caller);                            NULL: not sampled, as most calls are: nothing else is to be done
 *	s = span_begin(t, TRACE_SCOPE_ETCD, SPAN_INTERNAL, "put");      span_str(s, "key", key); ... span_end(s, false, "")
 *	trace_unref(t);
 *	trace_take(q)                                           whoever sends them
 *
 * Sampling is that of Go's ParentBased(TraceIDRatioBased): a caller that sends a valid traceparent has decided; of the others rate
 * in a million begin a trace, none if it is 0.
 *
 * Threads: a trace and its open spans belong to one thread; ending a span hands it to the queue, without a lock. One thread takes.
 * Bounds: TRACE_SPANS_MAX spans and TRACE_BYTES_MAX bytes wait to be sent, those under way included; what comes then is dropped
 * and counted. A text is cut at TRACE_TEXT_MAX; what is not UTF-8 in it becomes U+FFFD, for protobuf has no other strings (Go's
 * exporter loses the whole batch with such a key). */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include "base/buf.h"
#include "base/slice.h"

enum { TRACE_SPANS_MAX = 2048, TRACE_BYTES_MAX = 8 << 20, TRACE_TEXT_MAX = 4096, TRACE_BATCH_SPANS = 512 };

struct trace_queue;
struct trace;
struct span;

/* wake(arg), from any thread: TRACE_BATCH_SPANS spans wait. */
struct trace_queue *trace_queue_new(uint32_t rate_per_million, void (*wake)(void *arg), void *arg);
void trace_queue_free(struct trace_queue *q); /* what waits is lost; no trace may be open */
uint64_t trace_queue_dropped(const struct trace_queue *q);

/* Metadata of the call; empty: none. */
struct trace_caller {
	struct slice parent; /* traceparent, W3C Trace Context */
	struct slice state;  /* tracestate; one that is not valid is left out */
};

/* NULL: not sampled. */
struct trace *trace_begin(struct trace_queue *q, const struct trace_caller *c);
struct trace *trace_ref(struct trace *t);
void trace_unref(struct trace *t); /* NULL allowed */

/* Who made the span. Upstream's names, for queries go by them. */
enum trace_scope { TRACE_SCOPE_GRPC, TRACE_SCOPE_ETCD, TRACE_SCOPE__COUNT };
enum span_kind { SPAN_INTERNAL = 1, SPAN_SERVER = 2 };

/* A child of what trace_enter said last, at first of the caller. name is kept by nobody. */
struct span *span_begin(struct trace *t, enum trace_scope scope, enum span_kind kind, struct slice name);
/* Spans begun from now on are children of s. */
void trace_enter(struct trace *t, const struct span *s);
void span_str(struct span *s, const char *key, struct slice value);
void span_int(struct span *s, const char *key, int64_t value);
void span_bool(struct span *s, const char *key, bool value);
/* Over: into the queue. failed: status Error with that text. */
void span_end(struct span *take_s, bool failed, struct slice text);
void span_drop(struct span *take_s); /* NULL allowed */

/* --- for the sender --- */

/* What waits, oldest first; NULL: nothing. */
struct span *trace_take(struct trace_queue *q);
/* The body of one Export call: as many spans from the front of the list as TRACE_BATCH_SPANS and bytes_max allow, one at least.
 * resource: encoded attributes (trace_resource). Returns the first span that is not in it. */
struct span *trace_request(struct span *first, struct slice resource, size_t bytes_max, struct buf *out);
/* Frees the spans from first up to end, and makes room in the queue for others. Returns how many. */
size_t trace_done(struct trace_queue *q, struct span *first, const struct span *end);
/* An attribute of the resource, appended. */
void trace_resource(struct buf *out, const char *key, const char *value);

/* --- pure, for tests --- */

struct trace_parent {
	uint8_t trace_id[16], span_id[8];
	uint8_t flags;
};
bool trace_parent_parse(struct slice text, struct trace_parent *out);
/* As Go's SDK writes it again: members without the space around them. False: not valid. */
bool trace_state_parse(struct slice text, struct buf *out);
void trace_text_clean(struct slice text, struct buf *out);

#endif
