/* One walk over the wire (walk) serves both readers: it checks and hands each accepted value to store(), which does
 * nothing when only validating (message NULL).
 *
 * How a generated struct is laid out (protobuf-c 1.4): a field descriptor has the offset of the value and of its
 * quantifier: the count of a repeated field, the has_ flag of an optional proto2 scalar, the case of a oneof. */
#include "pb/pbc_inl.h"
#include "pb/wire_inl.h"

struct pb_walk {
	struct arena *arena;
	unsigned depth;
};

static err_t walk(struct pb_walk *w, const ProtobufCMessageDescriptor *d, struct slice s, ProtobufCMessage *m);

void *pb_new(struct arena *a, const ProtobufCMessageDescriptor *d)
{
	ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);

	if (m)
		protobuf_c_message_init(d, m);
	return m;
}

static enum pb_wire wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return PB_BYTES;
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return PB_FIXED32;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return PB_FIXED64;
	default:
		return PB_VARINT;
	}
}

size_t pb_element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(uint32_t);
	default:        /* no such field in proto/ */
		UNREACHABLE();
	}
}

/* Room for one more element; it doubles, so the array is full whenever the count is a power of two. */
static void *array_add(struct arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
	size_t *count = (size_t *)((char *)m + f->quantifier_offset);
	void **array = (void **)((char *)m + f->offset);
	size_t size = pb_element_size(f);

	if ((*count & (*count - 1)) == 0) {
		void *bigger = arena_alloc_array(a, *count ? *count * 2 : 1, size);

		if (!bigger)
			return NULL;
		if (*count)
			memcpy(bigger, *array, *count * size);
		*array = bigger;
	}
	return (char *)*array + (*count)++ * size;
}

/* Where the next value of f goes, NULL when the arena is full. Another member of a oneof is forgotten. */
static void *place(struct arena *a, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
	void *at = (char *)m + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return array_add(a, f, m);
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t *which = (uint32_t *)((char *)m + f->quantifier_offset);

		if (*which != f->id)
			memset(at, 0, pb_element_size(f));
		*which = f->id;
	} else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
		   f->type != PROTOBUF_C_TYPE_MESSAGE) {
		*(protobuf_c_boolean *)((char *)m + f->quantifier_offset) = 1;
	}
	return at;
}

static err_t store_number(struct pb_walk *w, const ProtobufCFieldDescriptor *f, uint64_t v, ProtobufCMessage *m)
{
	void *at = m ? place(w->arena, f, m) : NULL;

	if (!m)
		return OK;
	if (!at)
		return ERR_TOO_LARGE;
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)at = v != 0; break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64: *(uint64_t *)at = v; break;
	default: *(uint32_t *)at = (uint32_t)v; break;
	}
	return OK;
}

static err_t store_packed(struct pb_walk *w, const ProtobufCFieldDescriptor *f, struct slice packed, ProtobufCMessage *m)
{
	struct pb_reader r = pb_reader_of(packed);
	err_t err = OK;
	uint64_t v;

	while (!err && r.at < r.end)
		err = varint_read(&r, &v) ? store_number(w, f, v, m) : ERR_MALFORMED;
	return err;
}

static err_t store_string(struct pb_walk *w, const ProtobufCFieldDescriptor *f, struct slice s, ProtobufCMessage *m)
{
	size_t nuls = 0;
	char *copy;
	void *at;

	if (!slice_is_utf8(s))
		return ERR_MALFORMED;
	if (!m)
		return OK;
	at = place(w->arena, f, m);
	for (size_t i = 0; i < s.size; i++)
		nuls += s.data[i] == 0;
	copy = arena_alloc(w->arena, s.size + nuls + 1);
	if (!at || !copy)
		return ERR_TOO_LARGE;
	*(char **)at = copy;
	for (size_t i = 0; nuls && i < s.size; i++) {
		if (!s.data[i])
			*copy++ = (char)PB_NUL_FIRST;
		*copy++ = s.data[i] ? (char)s.data[i] : (char)PB_NUL_SECOND;
	}
	if (!nuls && s.size)
		memcpy(copy, s.data, s.size);
	return OK;
}

static err_t store_message(struct pb_walk *w, const ProtobufCFieldDescriptor *f, struct slice s, ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	ProtobufCMessage **at = NULL;
	err_t err;

	if (w->depth == PB_DEPTH_MAX)
		return ERR_INVALID;
	if (m) {
		at = place(w->arena, f, m);
		if (!at)
			return ERR_TOO_LARGE;
		if (!*at)
			*at = pb_new(w->arena, d);
		if (!*at)
			return ERR_TOO_LARGE;
	}
	w->depth++;
	err = walk(w, d, s, at ? *at : NULL);
	w->depth--;
	return err;
}

static err_t store(struct pb_walk *w, const ProtobufCFieldDescriptor *f, const struct pb_field *in, ProtobufCMessage *m)
{
	enum pb_wire wire = wire_of(f->type);

	if (in->wire != wire)
		return wire == PB_VARINT && in->wire == PB_BYTES && f->label == PROTOBUF_C_LABEL_REPEATED ?
			       store_packed(w, f, in->bytes, m) :
			       OK;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return store_string(w, f, in->bytes, m);
	case PROTOBUF_C_TYPE_MESSAGE:
		return store_message(w, f, in->bytes, m);
	case PROTOBUF_C_TYPE_BYTES:
		if (m) {
			ProtobufCBinaryData *at = place(w->arena, f, m);

			if (!at)
				return ERR_TOO_LARGE;
			*at = pb_binary(in->bytes);
		}
		return OK;
	default:
		return store_number(w, f, in->value, m);
	}
}

static err_t walk(struct pb_walk *w, const ProtobufCMessageDescriptor *d, struct slice s, ProtobufCMessage *m)
{
	struct pb_reader r = pb_reader_of(s);
	struct pb_field in;
	err_t err = OK;

	while (!err && field_read(&r, &in)) {
		const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, in.number);

		if (f)
			err = store(w, f, &in, m);
	}
	return r.failed ? ERR_MALFORMED : err;
}

err_t pb_validate(const ProtobufCMessageDescriptor *d, struct slice s)
{
	struct pb_walk w = {.depth = 1};

	return walk(&w, d, s, NULL);
}

err_t pb_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s, void *out)
{
	struct pb_walk w = {.arena = a, .depth = 1};
	ProtobufCMessage *m = pb_new(a, d);
	err_t err = m ? walk(&w, d, s, m) : ERR_TOO_LARGE;

	if (!err)
		*(ProtobufCMessage **)out = m;
	return err;
}

void pb_pack(const ProtobufCMessage *m, struct buf *out)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *at = size ? buf_add(out, size) : NULL;

	if (at) {
		size = protobuf_c_message_pack(m, at);
		ASSERT(at + size == out->data + out->size);
	}
}
