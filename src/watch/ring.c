/* Recent events, so that a watcher a little behind costs no read of the store. Whole revisions; the oldest go first. */
#include "pb/wire.h"
#include "watch/hub.h"

void ring_init(struct ring *r, size_t bytes_max)
{
	*r = (struct ring){.bytes_max = bytes_max, .room = 64};
	r->at = NEW_ARRAY(struct ring_entry *, r->room);
}

static struct ring_entry **slot(const struct ring *r, int64_t rev)
{
	return &r->at[(uint64_t)rev & (r->room - 1)];
}

static void drop_oldest(struct ring *r)
{
	struct ring_entry *e = *slot(r, r->from);

	for (uint32_t i = 0; i < e->count; i++) {
		blob_unref(e->events[i].plain);
		blob_unref(e->events[i].with_prev);
	}
	r->bytes -= e->bytes;
	r->event_count -= e->count;
	mem_free(e);
	r->from++;
	r->count--;
}

void ring_reset(struct ring *r, int64_t from)
{
	while (r->count)
		drop_oldest(r);
	r->from = from;
}

void ring_fini(struct ring *r)
{
	ring_reset(r, 0);
	mem_free(r->at);
}

static void grow(struct ring *r)
{
	struct ring old = *r;

	r->room *= 2;
	r->at = NEW_ARRAY(struct ring_entry *, r->room);
	for (int64_t rev = r->from; rev < r->from + (int64_t)r->count; rev++)
		*slot(r, rev) = *slot(&old, rev);
	mem_free(old.at);
}

static void fill(struct watch_event *out, const struct mvcc_event *e)
{
	*out = (struct watch_event){
		.plain = event_blob(e->type, e->kv, (struct slice){0}),
		.kv_size = e->kv.size,
		.rev = e->rev.main,
		.prev = e->prev,
		.type = e->type,
		.is_create = e->type == EVENT_PUT && e->create_rev == e->rev.main,
	};

	/* the key is the first field of the KeyValue, which ends the blob */
	const uint8_t *kv = out->plain->data + out->plain->size - e->kv.size;

	out->key = e->key.size ? slice_of(kv + 1 + pb_varint_size(e->key.size), e->key.size) : (struct slice){0};
	ASSERT(slice_eq(out->key, e->key));
}

struct ring_entry *ring_push(struct ring *r, int64_t rev, const struct mvcc_event *events, size_t count)
{
	struct ring_entry *e = mem_alloc(sizeof(*e) + count * sizeof(e->events[0]));

	ASSERT(rev == r->from + (int64_t)r->count);
	if (r->count == r->room)
		grow(r);
	*e = (struct ring_entry){.bytes = sizeof(*e), .count = (uint32_t)count};
	for (size_t i = 0; i < count; i++) {
		ASSERT(events[i].rev.main == rev);
		fill(&e->events[i], &events[i]);
		e->bytes += sizeof(e->events[0]) + sizeof(struct blob) + e->events[i].plain->size;
	}
	*slot(r, rev) = e;
	r->count++;
	r->bytes += e->bytes;
	r->event_count += count;
	return e;
}

struct ring_entry *ring_at(const struct ring *r, int64_t rev)
{
	ASSERT(rev >= r->from && rev < r->from + (int64_t)r->count);
	return *slot(r, rev);
}

bool ring_covers(const struct ring *r, int64_t rev)
{
	return rev >= r->from;
}

void ring_trim(struct ring *r)
{
	while (r->count && r->bytes > r->bytes_max)
		drop_oldest(r);
}
