/* JSON as Go's encoding/json writes the generated structs: fields in order of their numbers, defaults left out, numbers
 * of any size bare, bytes in base64, enums as numbers, <, > and & escaped, what is no UTF-8 replaced. (The gateway's JSON
 * is another one: pb/json.h.) */
#include "ctl/ctl_impl.h"
#include "pb/json.h"

static size_t utf8_size(struct slice s, size_t i)
{
	for (size_t n = 1; n <= 4 && i + n <= s.size; n++) {
		if (slice_is_utf8(slice_of(s.data + i, n)))
			return n;
	}
	return 0;
}

void json_string(struct buf *b, struct slice s)
{
	buf_put_byte(b, '"');
	for (size_t i = 0; i < s.size;) {
		uint8_t ch = s.data[i];
		size_t n = ch < 0x80 ? 1 : utf8_size(s, i);

		if (ch == '"' || ch == '\\')
			buf_printf(b, "\\%c", ch);
		else if (ch == '\n')
			buf_printf(b, "\\n");
		else if (ch == '\r')
			buf_printf(b, "\\r");
		else if (ch == '\t')
			buf_printf(b, "\\t");
		else if (ch == '\b')
			buf_printf(b, "\\b");
		else if (ch == '\f')
			buf_printf(b, "\\f");
		else if (ch < 0x20 || ch == '<' || ch == '>' || ch == '&')
			buf_printf(b, "\\u%04x", ch);
		else if (!n)
			buf_printf(b, "\\ufffd");
		else if (n == 3 && !memcmp(s.data + i, "\xe2\x80\xa8", 3))
			buf_printf(b, "\\u2028");
		else if (n == 3 && !memcmp(s.data + i, "\xe2\x80\xa9", 3))
			buf_printf(b, "\\u2029");
		else
			buf_put(b, s.data + i, n);
		i += n ? n : 1;
	}
	buf_put_byte(b, '"');
}

void json_key(struct buf *b, const char *name, bool *first)
{
	if (!*first)
		buf_put_byte(b, ',');
	*first = false;
	buf_printf(b, "\"%s\":", name);
}

static bool is_zero(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return !*(char *const *)at || !**(char *const *)at;
	case PROTOBUF_C_TYPE_BYTES:
		return !((const ProtobufCBinaryData *)at)->len;
	case PROTOBUF_C_TYPE_MESSAGE:
		return !*(void *const *)at;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return !*(const uint64_t *)at;
	default:
		return !*(const uint32_t *)at;
	}
}

static void json_value(struct buf *b, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
		buf_printf(b, "%lld", (long long)*(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		buf_printf(b, "%llu", (unsigned long long)*(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		buf_printf(b, "%d", *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		buf_printf(b, "%u", *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		buf_printf(b, *(const protobuf_c_boolean *)at ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_STRING:
		json_string(b, slice_str(*(char *const *)at));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		buf_put_byte(b, '"');
		base64_encode(pb_slice(*(const ProtobufCBinaryData *)at), b);
		buf_put_byte(b, '"');
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		json_message(b, *(ProtobufCMessage *const *)at);
		break;
	default:
		UNREACHABLE();  /* no such type in the API */
	}
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return 8;
	default:
		return 4;
	}
}

void json_fields(struct buf *b, const ProtobufCMessage *m, bool *first)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const uint8_t *at = (const uint8_t *)m + f->offset;
		size_t count;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			bool other_member = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
					    *(const uint32_t *)((const uint8_t *)m + f->quantifier_offset) != f->id;

			if (other_member || is_zero(f, at))
				continue;
			json_key(b, f->name, first);
			json_value(b, f, at);
			continue;
		}
		count = *(const size_t *)((const uint8_t *)m + f->quantifier_offset);
		if (!count)
			continue;
		json_key(b, f->name, first);
		for (size_t j = 0; j < count; j++) {
			buf_put_byte(b, j ? ',' : '[');
			json_value(b, f, *(const uint8_t *const *)at + j * element_size(f));
		}
		buf_put_byte(b, ']');
	}
}

void json_message(struct buf *b, const ProtobufCMessage *m)
{
	bool first = true;

	buf_put_byte(b, '{');
	json_fields(b, m, &first);
	buf_put_byte(b, '}');
}

void json_print(struct buf *b)
{
	buf_put_byte(b, '\n');
	fwrite(b->data, 1, b->size, stdout);
	buf_fini(b);
}

void json_print_message(const ProtobufCMessage *m)
{
	struct buf b;

	buf_init(&b, SIZE_MAX / 2);
	json_message(&b, m);
	json_print(&b);
}
