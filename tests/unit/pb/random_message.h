/* Random messages of any descriptor, for comparing our codecs with protobuf-c and for round trips. */
#ifndef TESTS_UNIT_PB_RANDOM_MESSAGE_H
#define TESTS_UNIT_PB_RANDOM_MESSAGE_H

#include "base/rng.h"
#include "pb/pbc.h"

static inline uint64_t random_number(struct rng *r)
{
	static const uint64_t edges[] = {0, 1, 2, 127, 128, 16383, 16384, INT32_MAX, UINT32_MAX, 1ull << 53,
					 INT64_MAX, 1ull << 63, UINT64_MAX};

	return rng_below(r, 2) ? edges[rng_below(r, ARRAY_COUNT(edges))] : rng_next(r) >> rng_below(r, 64);
}

static inline struct slice random_bytes(struct rng *r, struct arena *a)
{
	size_t size = rng_below(r, 20) ? rng_below(r, 12) : 100 + rng_below(r, 300);
	uint8_t *bytes = arena_alloc(a, size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)rng_next(r);
	return slice_of(bytes, size);
}

/* No NUL: C strings. */
static inline char *random_string(struct rng *r, struct arena *a)
{
	static const char *const parts[] = {"a", "root", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\"", "\\", "/",
					    "\x01", "\n", "\x7f", "<&>", "\xe2\x80\xa8", "http://127.0.0.1:2380"};
	char *s = arena_alloc(a, 200);

	for (size_t n = rng_below(r, 8); n > 0; n--)
		strcat(s, parts[rng_below(r, ARRAY_COUNT(parts))]);
	return s;
}

static inline ProtobufCMessage *random_message(struct rng *r, struct arena *a, const ProtobufCMessageDescriptor *d, int depth);

static inline void random_value(struct rng *r, struct arena *a, const ProtobufCFieldDescriptor *f, void *at, int depth)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING: *(char **)at = random_string(r, a); break;
	case PROTOBUF_C_TYPE_BYTES: *(ProtobufCBinaryData *)at = pb_binary(random_bytes(r, a)); break;
	case PROTOBUF_C_TYPE_MESSAGE: *(ProtobufCMessage **)at = random_message(r, a, f->descriptor, depth - 1); break;
	case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)at = (protobuf_c_boolean)rng_below(r, 2); break;
	case PROTOBUF_C_TYPE_ENUM: *(int32_t *)at = rng_below(r, 4) ? (int32_t)rng_below(r, 6) : (int32_t)rng_next(r); break;
	case PROTOBUF_C_TYPE_UINT32: *(uint32_t *)at = (uint32_t)random_number(r); break;
	default: *(uint64_t *)at = random_number(r); break;
	}
}

static inline ProtobufCMessage *random_message(struct rng *r, struct arena *a, const ProtobufCMessageDescriptor *d, int depth)
{
	ProtobufCMessage *m = pb_new(a, d);

	ASSERT(m);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char *at = (char *)m + f->offset;

		if (rng_below(r, 2) || (f->type == PROTOBUF_C_TYPE_MESSAGE && depth == 0))
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			size_t count = rng_below(r, 4);
			char *array = arena_alloc(a, 4 * 16);

			*(size_t *)((char *)m + f->quantifier_offset) = count;
			*(void **)at = array;
			for (size_t k = 0; k < count; k++) {
				size_t size = f->type == PROTOBUF_C_TYPE_BYTES ? 16 : f->type == PROTOBUF_C_TYPE_ENUM ? 4 : 8;

				random_value(r, a, f, array + k * size, depth);
			}
			continue;
		}
		if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			*(uint32_t *)((char *)m + f->quantifier_offset) = f->id;
		else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_MESSAGE)
			*(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = 1;
		random_value(r, a, f, at, depth);
	}
	return m;
}

/* Packed by protobuf-c itself, into the arena. */
static inline struct slice oracle_pack(struct arena *a, const ProtobufCMessage *m)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = arena_alloc(a, size);

	ASSERT(bytes && protobuf_c_message_pack(m, bytes) == size);
	return slice_of(bytes, size);
}

static inline void *oracle_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static inline void oracle_free(void *arena, void *p)
{
}

/* Unpacked by protobuf-c itself, into the arena; NULL if it refuses. */
static inline void *oracle_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s)
{
	ProtobufCAllocator allocator = {.alloc = oracle_alloc, .free = oracle_free, .allocator_data = a};

	return protobuf_c_message_unpack(d, &allocator, s.size, s.data);
}

/* A copy with a few bits flipped, bytes overwritten or the tail cut off. */
static inline struct slice damage(struct rng *r, struct arena *a, struct slice s)
{
	uint8_t *bytes = arena_alloc(a, s.size + 1);
	size_t size = s.size;

	if (size)
		memcpy(bytes, s.data, size);
	if (rng_below(r, 3) == 0)
		size = rng_below(r, size + 1);
	for (size_t n = rng_below(r, 4); n > 0 && size; n--) {
		uint8_t *at = &bytes[rng_below(r, size)];

		*at = rng_below(r, 2) ? (uint8_t)(*at ^ 1u << rng_below(r, 8)) : (uint8_t)rng_next(r);
	}
	return slice_of(bytes, size);
}

#endif
