/* What goes out: items in one batch per io actor, in the order in which they were decided (I1).
 *
 * WatchResponse: header 1 {cluster_id 1, member_id 2, revision 3, raft_term 4}, watch_id 2, created 3, canceled 4,
 * compact_revision 5, cancel_reason 6, fragment 7, events 11. The head is fields 1 to 7. */
#include "pb/wire.h"
#include "watch/hub.h"

bool stream_full(const struct watch_hub *h, const struct watch_stream *s)
{
	return s->queued_items >= h->cfg.stream_items_max || s->queued_bytes >= h->cfg.stream_bytes_max;
}

const char *watch_reason_text(err_t reason)
{
	switch (reason) {
	case OK:
		return "";
	case ERR_COMPACTED:
	case ERR_WATCH_RANGE_EMPTY:
	case ERR_WATCH_DUPLICATE_ID:
		return err_text(reason);
	case ERR_TOO_MANY_REQUESTS:
		return "rpc error: code = ResourceExhausted desc = etcdserver: too many requests";
	case ERR_INVALID_AUTH_TOKEN:
		return "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
	case ERR_AUTH_OLD_REVISION:
		return "rpc error: code = InvalidArgument desc = etcdserver: revision of auth store is old";
	case ERR_USER_EMPTY:
		return "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
	default:
		return "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
	}
}

/* ---- heads ---- */

static size_t field_size(uint64_t v)
{
	return v ? 1 + pb_varint_size(v) : 0;
}

static uint8_t *field_write(uint8_t *at, uint32_t number, uint64_t v)
{
	if (!v)
		return at;
	*at++ = (uint8_t)(number << 3 | PB_VARINT);
	return pb_varint_write(at, v);
}

void watch_item_nth(const struct watch_batch *b, const struct watch_item *it, uint32_t n, struct watch_item *one)
{
	if (n == 0) {
		*one = *it;
		one->same_count = 0;
		return;
	}
	one->watch_id = b->same.at[it->same_first + n - 1];
	one->size_bytes = it->size_bytes - field_size((uint64_t)it->watch_id) + field_size((uint64_t)one->watch_id);
}

/* Field 1 as it stands in the message, tag and length included. */
static void header_make(uint64_t cluster_id, uint64_t member_id, const struct watch_item *it, struct watch_header *h)
{
	uint8_t *at = h->bytes + 2;

	if (h->size && h->rev == it->rev && h->raft_term == it->raft_term)
		return;
	at = field_write(at, 1, cluster_id);
	at = field_write(at, 2, member_id);
	at = field_write(at, 3, (uint64_t)it->rev);
	at = field_write(at, 4, it->raft_term);
	h->bytes[0] = 1 << 3 | PB_BYTES;
	h->bytes[1] = (uint8_t)(at - h->bytes - 2); /* at most 44 */
	h->rev = it->rev;
	h->raft_term = it->raft_term;
	h->size = (uint32_t)(at - h->bytes);
}

static size_t head_size(uint64_t cluster_id, uint64_t member_id, const struct watch_item *it, struct watch_header *kept)
{
	size_t reason = it->reason ? strlen(watch_reason_text((err_t)it->reason)) : 0;

	header_make(cluster_id, member_id, it, kept);
	return kept->size + field_size((uint64_t)it->watch_id) + (it->flags & WATCH_ITEM_CREATED ? 2 : 0) +
	       (it->flags & WATCH_ITEM_CANCELED ? 2 : 0) + field_size((uint64_t)it->compact_rev) +
	       (reason ? 1 + pb_varint_size(reason) + reason : 0) + (it->flags & WATCH_ITEM_FRAGMENT ? 2 : 0);
}

static uint8_t *reason_write(uint8_t *out, const char *reason)
{
	size_t size = strlen(reason);

	if (!size)
		return out;
	*out++ = 6 << 3 | PB_BYTES;
	out = pb_varint_write(out, size);
	memcpy(out, reason, size);
	return out + size;
}

uint8_t *watch_item_head_write(const struct watch_batch *b, const struct watch_item *it, struct watch_header *kept,
			       uint8_t *out)
{
	header_make(b->cluster_id, b->member_id, it, kept);
	memcpy(out, kept->bytes, kept->size);
	out = field_write(out + kept->size, 2, (uint64_t)it->watch_id);
	out = field_write(out, 3, it->flags & WATCH_ITEM_CREATED ? 1 : 0);
	out = field_write(out, 4, it->flags & WATCH_ITEM_CANCELED ? 1 : 0);
	out = field_write(out, 5, (uint64_t)it->compact_rev);
	if (it->reason)
		out = reason_write(out, watch_reason_text((err_t)it->reason));
	return field_write(out, 7, it->flags & WATCH_ITEM_FRAGMENT ? 1 : 0);
}

struct slice watch_item_blob(const struct watch_batch *b, const struct watch_item *it, uint32_t i)
{
	const struct blob *e = b->blobs.at[it->blob_first + i];
	size_t skip = i ? 0 : (size_t)it->skip;

	return slice_of(e->data + skip, e->size - skip);
}

void watch_item_write(const struct watch_batch *b, const struct watch_item *it, struct watch_header *kept, uint8_t *out)
{
	uint8_t *at = watch_item_head_write(b, it, kept, out);

	for (uint32_t i = 0; i < it->blob_count; i++) {
		struct slice s = watch_item_blob(b, it, i);

		memcpy(at, s.data, s.size);
		at += s.size;
	}
	ASSERT((uint64_t)(at - out) == it->size_bytes);
}

/* ---- batches ---- */

static struct watch_batch *open_batch(struct watch_hub *h, uint32_t port)
{
	if (!h->ports[port]) {
		h->ports[port] = NEW(struct watch_batch);
		h->ports[port]->cluster_id = h->cfg.cluster_id;
		h->ports[port]->member_id = h->cfg.member_id;
	}
	return h->ports[port];
}

struct watch_batch *watch_take(struct watch_hub *h, uint32_t port)
{
	ASSERT(port < h->cfg.port_count);

	struct watch_batch *b = h->ports[port];

	h->ports[port] = NULL;
	return b;
}

void watch_batch_free(struct watch_batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->blobs.count; i++)
		blob_unref(b->blobs.at[i]);
	VEC_FREE(&b->blobs);
	VEC_FREE(&b->same);
	VEC_FREE(&b->items);
	mem_free(b);
}

void output_forget(struct watch_hub *h, struct watch_stream *s)
{
	struct watch_batch *b = h->ports[s->port];

	for (size_t i = 0; b && i < b->items.count; i++)
		if (b->items.at[i].stream_arg == s->arg)
			b->items.at[i].stream_arg = NULL;
}

static void count_queued(struct watch_hub *h, struct watch_stream *s, uint64_t size_bytes)
{
	s->queued_items++;
	s->queued_bytes += size_bytes;
	h->queued_items++;
	h->queued_bytes += size_bytes;
}

/* Queues the item; its events were pushed to the batch already. */
static void push(struct watch_hub *h, struct watch_stream *s, struct watch_batch *b, const struct watch_item *it)
{
	VEC_PUSH(&b->items, *it);
	count_queued(h, s, it->size_bytes);
}

/* Joins the last item, if that is the same blob from the same byte on for the same stream. */
static bool push_same(struct watch_hub *h, struct watcher *w, struct watch_batch *b, int64_t rev, const struct blob *blob, size_t skip)
{
	struct watch_item *it = b->items.count ? &b->items.at[b->items.count - 1] : NULL;

	if (!it || it->stream_arg != w->stream->arg || it->blob_count != 1 || b->blobs.at[it->blob_first] != blob ||
	    it->skip != skip || it->rev != rev || it->raft_term != h->term || it->flags)
		return false;
	if (!it->same_count)
		it->same_first = (uint32_t)b->same.count;
	it->same_count++;
	VEC_PUSH(&b->same, w->id);
	count_queued(h, w->stream, it->size_bytes - field_size((uint64_t)it->watch_id) + field_size((uint64_t)w->id));
	return true;
}

void emit_control(struct watch_hub *h, struct watch_stream *s, int64_t watch_id, uint16_t flags, int64_t rev,
		  int64_t compact_rev, err_t reason)
{
	struct watch_batch *b = open_batch(h, s->port);
	struct watch_item it = {
		.stream_arg = s->arg,
		.watch_id = watch_id,
		.rev = rev,
		.compact_rev = compact_rev,
		.raft_term = h->term,
		.blob_first = (uint32_t)b->blobs.count,
		.flags = flags,
		.reason = (uint16_t)reason,
	};

	it.size_bytes = head_size(b->cluster_id, b->member_id, &it, &h->header);
	push(h, s, b, &it);
}

/* How many of the events from `from` on go into the next fragment: filled while below the limit, at least one. */
static size_t fragment_count(const struct watch_hub *h, size_t head, struct blob *const *blobs, size_t from,
			     size_t count)
{
	uint64_t size = head + blobs[from]->size;
	size_t n = 1;

	while (from + n < count && size + blobs[from + n]->size < h->cfg.message_bytes_max)
		size += blobs[from + n++]->size;
	return n;
}

/* Where they are; many watchers in a row get the same one. */
static size_t blobs_add(struct watch_batch *b, struct blob *const *blobs, size_t count)
{
	size_t first = b->blobs.count;

	if (count == 1 && first && b->blobs.at[first - 1] == blobs[0])
		return first - 1;
	VEC_RESERVE(&b->blobs, first + count);
	for (size_t i = 0; i < count; i++)
		b->blobs.at[b->blobs.count++] = blob_ref(blobs[i]);
	return first;
}

/* One message of its own, or fragments of it. */
static void emit_whole(struct watch_hub *h, struct watcher *w, struct watch_batch *b, int64_t rev, struct blob *const *blobs,
		       size_t count)
{
	struct watch_item it = {
		.stream_arg = w->stream->arg,
		.watch_id = w->id,
		.rev = rev,
		.raft_term = h->term,
	};
	size_t head = head_size(b->cluster_id, b->member_id, &it, &h->header);
	uint64_t whole = head;
	bool split;

	for (size_t i = 0; i < count; i++)
		whole += blobs[i]->size;
	split = w->fragment && count > 1 && whole >= h->cfg.message_bytes_max;
	for (size_t from = 0, n; from < count; from += n) {
		/* the flag's two bytes count towards the limit in every part, the last included, as upstream does it */
		n = split ? fragment_count(h, head + 2, blobs, from, count) : count;
		it.flags = from + n < count ? WATCH_ITEM_FRAGMENT : 0;
		it.size_bytes = head + (it.flags ? 2 : 0);
		it.blob_first = (uint32_t)blobs_add(b, blobs + from, n);
		it.blob_count = it.event_count = (uint32_t)n;
		for (size_t i = from; i < from + n; i++)
			it.size_bytes += blobs[i]->size;
		push(h, w->stream, b, &it);
	}
}

void emit_events(struct watch_hub *h, struct watcher *w, int64_t rev, struct blob *const *blobs, size_t count)
{
	struct watch_batch *b = open_batch(h, w->stream->port);

	w->progress_due = false;
	h->events_sent += count;
	if (count != 1 || !push_same(h, w, b, rev, blobs[0], 0))
		emit_whole(h, w, b, rev, blobs, count);
}

void emit_run(struct watch_hub *h, struct watcher *w, int64_t rev, struct blob *run, size_t at, uint32_t events)
{
	struct watch_batch *b = open_batch(h, w->stream->port);
	struct watch_item it = {
		.stream_arg = w->stream->arg,
		.watch_id = w->id,
		.rev = rev,
		.raft_term = h->term,
		.skip = at,
		.blob_count = 1,
		.event_count = events,
	};

	w->progress_due = false;
	h->events_sent += events;
	if (push_same(h, w, b, rev, run, at))
		return;
	it.blob_first = (uint32_t)blobs_add(b, &run, 1);
	it.size_bytes = head_size(b->cluster_id, b->member_id, &it, &h->header) + run->size - at;
	push(h, w->stream, b, &it);
}
