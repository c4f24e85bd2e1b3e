/* Unsent bytes of one request. Chunks come in two sizes from a pool of the loop; small sends fill the last chunk. */
#include "http/http_impl.h"

static const uint32_t class_room[2] = {1024 - sizeof(struct http_chunk), 16384 - sizeof(struct http_chunk)};
static const uint32_t class_keep[2] = {HTTP_POOLED * 4096, HTTP_POOLED * 256}; /* free chunks kept: 4 MiB each */

static struct http_chunk *chunk_new(struct chunk_pool *p, size_t want)
{
	int k = want > class_room[0];
	struct http_chunk *c = p->free[k];

	if (c) {
		p->free[k] = c->next;
		p->count[k]--;
	} else {
		c = mem_alloc(sizeof(*c) + class_room[k]);
		c->room = class_room[k];
	}
	c->next = NULL;
	c->blob = NULL;
	c->start = c->end = 0;
	return c;
}

static void chunk_free(struct chunk_pool *p, struct http_chunk *c)
{
	int k = c->room == class_room[1];

	if (c->blob) {
		blob_unref(c->blob);
		mem_free(c);
	} else if (p->count[k] < class_keep[k]) {
		c->next = p->free[k];
		p->free[k] = c;
		p->count[k]++;
	} else {
		mem_free(c);
	}
}

static void append(struct http_out *o, struct http_chunk *c)
{
	if (o->tail)
		o->tail->next = c;
	else
		o->head = c;
	o->tail = c;
}

/* Much is unsent: large chunks, or their number would count. */
static size_t room_wanted(const struct http_out *o, size_t size)
{
	return o->size > class_room[0] ? MAX(size, class_room[0] + 1) : size;
}

uint8_t *out_room(struct chunk_pool *p, struct http_out *o, size_t size)
{
	struct http_chunk *c = o->tail;
	uint8_t *at;

	if (size > class_room[1])
		return NULL;
	if (!c || c->blob || c->room - c->end < size) {
		c = chunk_new(p, room_wanted(o, size));
		append(o, c);
	}
	at = c->bytes + c->end;
	c->end += (uint32_t)size;
	o->size += size;
	return at;
}

void out_put(struct chunk_pool *p, struct http_out *o, struct slice s)
{
	o->size += s.size;
	while (s.size) {
		struct http_chunk *c = o->tail;
		size_t n;

		if (!c || c->blob || c->end == c->room) {
			c = chunk_new(p, room_wanted(o, s.size));
			append(o, c);
		}
		n = MIN(s.size, c->room - c->end);
		memcpy(c->bytes + c->end, s.data, n);
		c->end += (uint32_t)n;
		s.data += n;
		s.size -= n;
	}
}

void out_put_blob(struct chunk_pool *p, struct http_out *o, struct blob *take_b, size_t from)
{
	struct http_chunk *c;

	ASSERT(take_b->size <= UINT32_MAX);
	if (take_b->size - from <= class_room[0] / 2) {
		out_put(p, o, slice_of(take_b->data + from, take_b->size - from));
		blob_unref(take_b);
		return;
	}
	c = mem_zalloc(sizeof(*c));
	c->blob = take_b;
	c->start = (uint32_t)from;
	c->end = (uint32_t)take_b->size;
	o->size += take_b->size - from;
	append(o, c);
}

size_t out_line(const struct http_out *o)
{
	size_t before = 0;

	for (const struct http_chunk *c = o->head; c; c = c->next) {
		const uint8_t *from = (c->blob ? c->blob->data : c->bytes) + c->start;
		const uint8_t *newline = memchr(from, '\n', c->end - c->start);

		if (newline)
			return before + (size_t)(newline - from) + 1;
		before += c->end - c->start;
	}
	return before;
}

void out_take(struct chunk_pool *p, struct http_out *o, uint8_t *dst, size_t size)
{
	ASSERT(size <= o->size);
	o->size -= size;
	while (size) {
		struct http_chunk *c = o->head;
		size_t n = MIN(size, c->end - c->start);

		memcpy(dst, (c->blob ? c->blob->data : c->bytes) + c->start, n);
		dst += n;
		size -= n;
		c->start += (uint32_t)n;
		if (c->start < c->end)
			break;
		o->head = c->next;
		if (!o->head)
			o->tail = NULL;
		chunk_free(p, c);
	}
}

void out_clear(struct chunk_pool *p, struct http_out *o)
{
	while (o->head) {
		struct http_chunk *c = o->head;

		o->head = c->next;
		chunk_free(p, c);
	}
	o->tail = NULL;
	o->size = 0;
}

void chunk_pool_fini(struct chunk_pool *p)
{
	for (int k = 0; k < 2; k++) {
		while (p->free[k]) {
			struct http_chunk *c = p->free[k];

			p->free[k] = c->next;
			mem_free(c);
		}
		p->count[k] = 0;
	}
}
