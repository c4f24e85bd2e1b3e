/* An event as bytes: element of WatchResponse.events (field 11) with its tag and length, so that a message is a head
 * and a row of such blobs. Event {type 1, kv 2, prev_kv 3}; a PUT has no type on the wire. */
#include "pb/wire.h"
#include "watch/hub.h"

enum {
	TAG_EVENTS = 11 << 3 | PB_BYTES,
	TAG_TYPE = 1 << 3 | PB_VARINT,
	TAG_KV = 2 << 3 | PB_BYTES,
	TAG_PREV_KV = 3 << 3 | PB_BYTES
};

static size_t nested_size(struct slice s)
{
	return 1 + pb_varint_size(s.size) + s.size;
}

static uint8_t *nested_write(uint8_t *at, uint8_t tag, struct slice s)
{
	*at++ = tag;
	at = pb_varint_write(at, s.size);
	memcpy(at, s.data, s.size);
	return at + s.size;
}

struct blob *event_blob(enum event_type type, struct slice kv, struct slice prev_kv)
{
	size_t size = (type ? 2 : 0) + nested_size(kv) + (prev_kv.size ? nested_size(prev_kv) : 0);
	struct blob *b = blob_new(1 + pb_varint_size(size) + size);
	uint8_t *at = b->data;

	*at++ = TAG_EVENTS;
	at = pb_varint_write(at, size);
	if (type) {
		*at++ = TAG_TYPE;
		*at++ = (uint8_t)type;
	}
	at = nested_write(at, TAG_KV, kv);
	if (prev_kv.size)
		at = nested_write(at, TAG_PREV_KV, prev_kv);
	ASSERT(at == b->data + b->size);
	return b;
}

bool event_passes(const struct watch_event *e, uint8_t filters)
{
	return !(filters & (e->type == EVENT_PUT ? WATCH_FILTER_NOPUT : WATCH_FILTER_NODELETE));
}

struct blob *hub_event_blob(struct watch_hub *h, struct watch_event *e, bool prev_kv, size_t *grown)
{
	struct slice row;

	*grown = 0;
	if (!prev_kv || e->is_create || !e->prev.main)
		return e->plain;
	if (e->with_prev)
		return e->with_prev;
	/* upstream reads at mod_revision - 1, which compaction may have passed */
	if (e->rev - 1 < h->compact_rev || !h->cfg.prev_row || h->cfg.prev_row(h->cfg.arg, e->prev, &row))
		return e->plain;
	e->with_prev = event_blob(e->type, slice_of(e->plain->data + e->plain->size - e->kv_size, e->kv_size), row);
	*grown = sizeof(struct blob) + e->with_prev->size;
	return e->with_prev;
}
