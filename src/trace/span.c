/* Spans as they are written, and the queue.
 *
 * A span is its own encoded message from the beginning: what is known first is written first, for the order of fields is free.
 *
 * The queue is a stack of ended spans that anyone pushes to and one thread takes as a whole:
 *   I1  spans and bytes count what is pushed and what was taken and not done yet
 *   I2  the stack holds the youngest first; trace_take turns it around */
#include <stdatomic.h>
#include <threads.h>

#include "base/endian.h"
#include "base/rng.h"
#include "env/env.h"
#include "pb/wire.h"
#include "trace/trace.h"

enum { FLAG_SAMPLED = 1, FLAG_PARENT_KNOWN = 0x100, FLAG_PARENT_REMOTE = 0x200, STATUS_ERROR = 2, RATE_ALL = 1000000,
       STATE_SIZE_MAX = 32 * 1024 };

struct trace_queue {
	_Atomic(struct span *) head;
	_Atomic uint32_t spans;
	_Atomic size_t bytes;
	_Atomic uint64_t dropped;
	uint64_t sample_end;    /* upper half of an id's lower half, halved, below it: sampled */
	uint32_t rate;
	void (*wake)(void *arg);
	void *arg;
};

struct trace {
	struct trace_queue *queue;
	struct trace_parent parent;     /* of spans that begin */
	bool has_parent, parent_remote;
	uint32_t refs;
	struct buf state;
};

struct span {
	struct span *next;
	struct trace *trace;            /* until it ends */
	enum trace_scope scope;
	uint8_t id[8];
	uint32_t flags;
	int64_t wall_ns;                /* at the beginning, with mono_ns */
	uint64_t mono_ns;
	struct buf out;
};

/* Ids need not be secret: a generator a thread, sown once. */
static uint64_t random_id(void)
{
	static thread_local struct rng rng;
	static thread_local bool sown;
	uint64_t id;

	if (!sown) {
		uint64_t seed;

		env_random(&seed, sizeof(seed));
		rng_init(&rng, seed);
		sown = true;
	}
	do
		id = rng_next(&rng);
	while (!id);
	return id;
}

struct trace_queue *trace_queue_new(uint32_t rate_per_million, void (*wake)(void *arg), void *arg)
{
	struct trace_queue *q = NEW(struct trace_queue);

	q->rate = rate_per_million;
	q->sample_end = (uint64_t)((double)rate_per_million / RATE_ALL * (double)(1ull << 63));
	q->wake = wake;
	q->arg = arg;
	return q;
}

static void span_free(struct span *s)
{
	buf_fini(&s->out);
	mem_free(s);
}

void trace_queue_free(struct trace_queue *q)
{
	if (!q)
		return;
	trace_done(q, trace_take(q), NULL);
	mem_free(q);
}

uint64_t trace_queue_dropped(const struct trace_queue *q)
{
	return atomic_load_explicit(&q->dropped, memory_order_relaxed);
}

/* ---- traces ---- */

static bool root_sampled(const struct trace_queue *q, const uint8_t trace_id[16])
{
	return q->rate >= RATE_ALL || be64_get(trace_id + 8) >> 1 < q->sample_end;
}

struct trace *trace_begin(struct trace_queue *q, const struct trace_caller *c)
{
	struct trace_parent p = {0};
	bool has_parent = c->parent.size && trace_parent_parse(c->parent, &p);
	struct trace *t;

	if (!has_parent && q->rate) {
		be64_put(p.trace_id, random_id());
		be64_put(p.trace_id + 8, random_id());
		p.flags = root_sampled(q, p.trace_id) ? FLAG_SAMPLED : 0;
	}
	if (!(p.flags & FLAG_SAMPLED))
		return NULL;
	t = NEW(struct trace);
	t->queue = q;
	t->parent = p;
	t->has_parent = t->parent_remote = has_parent;
	t->refs = 1;
	buf_init(&t->state, STATE_SIZE_MAX);
	if (has_parent && !trace_state_parse(c->state, &t->state))
		buf_clear(&t->state);
	return t;
}

struct trace *trace_ref(struct trace *t)
{
	t->refs++;
	return t;
}

void trace_unref(struct trace *t)
{
	if (!t || --t->refs)
		return;
	buf_fini(&t->state);
	mem_free(t);
}

void trace_enter(struct trace *t, const struct span *s)
{
	memcpy(t->parent.span_id, s->id, sizeof(s->id));
	t->has_parent = true;
	t->parent_remote = false;
}

/* ---- spans ---- */

static void put_fixed(struct buf *b, uint32_t number, enum pb_wire wire, uint64_t v)
{
	uint8_t bytes[8];
	size_t size = wire == PB_FIXED64 ? 8 : 4;

	le64_put(bytes, v);
	pb_put_varint(b, number << 3 | wire);
	buf_put(b, bytes, size);
}

/* The valid sequence that s begins with; 0: none. */
static size_t sequence(struct slice s)
{
	for (size_t n = 1; n <= MIN(s.size, (size_t)4); n++)
		if (slice_is_utf8(slice_of(s.data, n)))
			return n;
	return 0;
}

void trace_text_clean(struct slice text, struct buf *out)
{
	size_t room = TRACE_TEXT_MAX;

	if (text.size <= TRACE_TEXT_MAX && slice_is_utf8(text)) {
		buf_put_slice(out, text);
		return;
	}
	while (text.size) {
		size_t n = sequence(text);
		struct slice put = n ? slice_of(text.data, n) : SLICE_LIT("\xef\xbf\xbd");

		if (put.size > room)
			return;
		buf_put_slice(out, put);
		room -= put.size;
		n = MAX(n, (size_t)1);
		text = slice_of(text.data + n, text.size - n);
	}
}

static void put_text(struct buf *b, uint32_t number, struct slice text)
{
	size_t mark = pb_begin(b, number);

	trace_text_clean(text, b);
	pb_end(b, mark);
}

struct span *span_begin(struct trace *t, enum trace_scope scope, enum span_kind kind, struct slice name)
{
	struct span *s = NEW(struct span);

	s->trace = trace_ref(t);
	s->scope = scope;
	be64_put(s->id, random_id());
	s->flags = t->parent.flags | FLAG_PARENT_KNOWN | (t->parent_remote ? FLAG_PARENT_REMOTE : 0);
	s->wall_ns = env_wall_ns();
	s->mono_ns = env_mono_ns();
	buf_init(&s->out, TRACE_BYTES_MAX);
	pb_put_bytes(&s->out, 1, slice_of(t->parent.trace_id, sizeof(t->parent.trace_id)));
	pb_put_bytes(&s->out, 2, slice_of(s->id, sizeof(s->id)));
	pb_put_bytes(&s->out, 3, buf_slice(&t->state));
	if (t->has_parent)
		pb_put_bytes(&s->out, 4, slice_of(t->parent.span_id, sizeof(t->parent.span_id)));
	put_text(&s->out, 5, name);
	pb_put_uint(&s->out, 6, kind);
	put_fixed(&s->out, 7, PB_FIXED64, (uint64_t)s->wall_ns);
	return s;
}

/* KeyValue {key 1, value 2 {string 1, bool 2, int 3}}, with the value to be written between begin and end. */
struct attribute {
	size_t outer, inner;
};

static struct attribute attribute_begin(struct buf *b, uint32_t number, const char *key)
{
	struct attribute a;

	a.outer = pb_begin(b, number);
	pb_put_bytes(b, 1, slice_str(key));
	a.inner = pb_begin(b, 2);
	return a;
}

static void attribute_end(struct buf *b, struct attribute a)
{
	pb_end(b, a.inner);
	pb_end(b, a.outer);
}

enum { SPAN_ATTRIBUTES = 9, RESOURCE_ATTRIBUTES = 1 };

void span_str(struct span *s, const char *key, struct slice value)
{
	struct attribute a = attribute_begin(&s->out, SPAN_ATTRIBUTES, key);

	put_text(&s->out, 1, value);
	attribute_end(&s->out, a);
}

void span_int(struct span *s, const char *key, int64_t value)
{
	struct attribute a = attribute_begin(&s->out, SPAN_ATTRIBUTES, key);

	pb_put_uint_always(&s->out, 3, (uint64_t)value);
	attribute_end(&s->out, a);
}

void span_bool(struct span *s, const char *key, bool value)
{
	struct attribute a = attribute_begin(&s->out, SPAN_ATTRIBUTES, key);

	pb_put_uint_always(&s->out, 2, value);
	attribute_end(&s->out, a);
}

void trace_resource(struct buf *out, const char *key, const char *value)
{
	struct attribute a = attribute_begin(out, RESOURCE_ATTRIBUTES, key);

	put_text(out, 1, slice_str(value));
	attribute_end(out, a);
}

/* ---- the queue ---- */

static bool push(struct trace_queue *q, struct span *s)
{
	uint32_t spans = atomic_fetch_add_explicit(&q->spans, 1, memory_order_relaxed);
	size_t bytes = atomic_fetch_add_explicit(&q->bytes, s->out.size, memory_order_relaxed);

	if (spans >= TRACE_SPANS_MAX || bytes + s->out.size > TRACE_BYTES_MAX) {
		atomic_fetch_sub_explicit(&q->spans, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&q->bytes, s->out.size, memory_order_relaxed);
		atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
		return false;
	}
	s->next = atomic_load_explicit(&q->head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&q->head, &s->next, s, memory_order_release, memory_order_relaxed))
		;
	if (spans + 1 == TRACE_BATCH_SPANS && q->wake)
		q->wake(q->arg);
	return true;
}

void span_end(struct span *s, bool failed, struct slice text)
{
	struct trace *t = s->trace;
	size_t mark;

	put_fixed(&s->out, 8, PB_FIXED64, (uint64_t)s->wall_ns + (env_mono_ns() - s->mono_ns));
	mark = pb_begin(&s->out, 15);
	if (failed) {
		put_text(&s->out, 2, text);
		pb_put_uint(&s->out, 3, STATUS_ERROR);
	}
	pb_end(&s->out, mark);
	put_fixed(&s->out, 16, PB_FIXED32, s->flags);
	s->trace = NULL;
	if (!push(t->queue, s))
		span_free(s);
	trace_unref(t);
}

void span_drop(struct span *s)
{
	if (!s)
		return;
	trace_unref(s->trace);
	span_free(s);
}

struct span *trace_take(struct trace_queue *q)
{
	struct span *s = atomic_exchange_explicit(&q->head, NULL, memory_order_acquire), *first = NULL;

	while (s) {
		struct span *next = s->next;

		s->next = first;
		first = s;
		s = next;
	}
	return first;
}

size_t trace_done(struct trace_queue *q, struct span *first, const struct span *end)
{
	size_t count = 0;

	while (first != end) {
		struct span *next = first->next;

		atomic_fetch_sub_explicit(&q->spans, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&q->bytes, first->out.size, memory_order_relaxed);
		span_free(first);
		first = next;
		count++;
	}
	return count;
}

/* ScopeSpans {scope 1 {name 1, version 2}, spans 2}, or nothing if no span is of that scope. */
static void scope_put(struct buf *out, enum trace_scope scope, const struct span *first, const struct span *end)
{
	static const struct {
		const char *name, *version;
	} scopes[TRACE_SCOPE__COUNT] = {
		[TRACE_SCOPE_GRPC] = {"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc", "0.68.0"},
		[TRACE_SCOPE_ETCD] = {"go.etcd.io/etcd", ""},
	};
	size_t mark, inner;

	while (first != end && first->scope != scope)
		first = first->next;
	if (first == end)
		return;
	mark = pb_begin(out, 2);
	inner = pb_begin(out, 1);
	pb_put_bytes(out, 1, slice_str(scopes[scope].name));
	pb_put_bytes(out, 2, slice_str(scopes[scope].version));
	pb_end(out, inner);
	for (; first != end; first = first->next)
		if (first->scope == scope)
			pb_put_bytes(out, 2, buf_slice(&first->out));
	pb_end(out, mark);
}

struct span *trace_request(struct span *first, struct slice resource, size_t bytes_max, struct buf *out)
{
	struct span *end = first;
	size_t mark, bytes = 0;

	for (size_t n = 0; end && n < TRACE_BATCH_SPANS && (!n || bytes + end->out.size <= bytes_max); n++) {
		bytes += end->out.size;
		end = end->next;
	}
	mark = pb_begin(out, 1);                        /* ResourceSpans {resource 1, scope_spans 2} */
	pb_put_bytes(out, 1, resource);
	for (enum trace_scope scope = 0; scope < TRACE_SCOPE__COUNT; scope++)
		scope_put(out, scope, first, end);
	pb_end(out, mark);
	return end;
}
