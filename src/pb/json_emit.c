#include "pb/json.h"

#include "pb/pbc_inl.h"

static void put_text(struct buf *out, const char *text)
{
	buf_put(out, text, strlen(text));
}

static void put_escaped(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";

	switch (c) {
	case '"': put_text(out, "\\\""); break;
	case '\\': put_text(out, "\\\\"); break;
	case '\b': put_text(out, "\\b"); break;
	case '\f': put_text(out, "\\f"); break;
	case '\n': put_text(out, "\\n"); break;
	case '\r': put_text(out, "\\r"); break;
	case '\t': put_text(out, "\\t"); break;
	default:
		put_text(out, "\\u00");
		buf_put_byte(out, (uint8_t)hex[c >> 4]);
		buf_put_byte(out, (uint8_t)hex[c & 15]);
	}
}

void json_emit_string(struct slice s, struct buf *out)
{
	size_t from = 0;

	buf_put_byte(out, '"');
	for (size_t i = 0; i < s.size; i++) {
		if (s.data[i] >= ' ' && s.data[i] != '"' && s.data[i] != '\\')
			continue;
		buf_put(out, s.data + from, i - from);
		put_escaped(out, s.data[i]);
		from = i + 1;
	}
	buf_put(out, s.data + from, s.size - from);
	buf_put_byte(out, '"');
}

/* Digits from behind; quoted as protojson quotes 64-bit integers. */
static void put_number(struct buf *out, uint64_t v, bool negative, bool quoted)
{
	char text[24];
	char *at = text + sizeof(text);

	if (quoted)
		*--at = '"';
	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	if (negative)
		*--at = '-';
	if (quoted)
		*--at = '"';
	buf_put(out, at, (size_t)(text + sizeof(text) - at));
}

static void put_signed(struct buf *out, int64_t v, bool quoted)
{
	put_number(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, quoted);
}

static void put_enum(struct buf *out, const ProtobufCEnumDescriptor *d, int32_t v)
{
	const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(d, v);

	if (known)
		json_emit_string(slice_str(known->name), out);
	else
		put_signed(out, v, false);
}

/* With what stands for a NUL turned back. */
static void put_string(struct buf *out, const char *s)
{
	static const char nul[] = {(char)PB_NUL_FIRST, (char)PB_NUL_SECOND, 0};
	struct buf whole;
	const char *at;

	if (!strstr(s, nul)) {
		json_emit_string(slice_str(s), out);
		return;
	}
	buf_init(&whole, strlen(s));
	for (; (at = strstr(s, nul)); s = at + 2) {
		buf_put(&whole, s, (size_t)(at - s));
		buf_put_byte(&whole, 0);
	}
	buf_put(&whole, s, strlen(s));
	json_emit_string(buf_slice(&whole), out);
	buf_fini(&whole);
}

static void put_value(struct buf *out, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL: put_text(out, *(const protobuf_c_boolean *)at ? "true" : "false"); break;
	case PROTOBUF_C_TYPE_INT64: put_signed(out, *(const int64_t *)at, true); break;
	case PROTOBUF_C_TYPE_UINT64: put_number(out, *(const uint64_t *)at, false, true); break;
	case PROTOBUF_C_TYPE_INT32: put_signed(out, *(const int32_t *)at, false); break;
	case PROTOBUF_C_TYPE_UINT32: put_number(out, *(const uint32_t *)at, false, false); break;
	case PROTOBUF_C_TYPE_ENUM: put_enum(out, f->descriptor, *(const int32_t *)at); break;
	case PROTOBUF_C_TYPE_STRING: put_string(out, *(char *const *)at); break;
	case PROTOBUF_C_TYPE_BYTES:
		buf_put_byte(out, '"');
		base64_encode(pb_slice(*(const ProtobufCBinaryData *)at), out);
		buf_put_byte(out, '"');
		break;
	case PROTOBUF_C_TYPE_MESSAGE: json_emit_message(*(ProtobufCMessage *const *)at, out); break;
	default: UNREACHABLE(); /* no such field in proto/ */
	}
}

static void put_list(struct buf *out, const ProtobufCFieldDescriptor *f, const char *elements, size_t count)
{
	size_t size = pb_element_size(f);

	buf_put_byte(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_put_byte(out, ',');
		put_value(out, f, elements + i * size);
	}
	buf_put_byte(out, ']');
}

static bool is_default(const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE: return !*(void *const *)at;
	case PROTOBUF_C_TYPE_STRING: return !*(char *const *)at || !**(char *const *)at;
	case PROTOBUF_C_TYPE_BYTES: return ((const ProtobufCBinaryData *)at)->len == 0;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64: return *(const uint64_t *)at == 0;
	default: return *(const uint32_t *)at == 0;
	}
}

static bool is_set(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
	const void *quantifier = (const char *)m + f->quantifier_offset;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)quantifier == f->id;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)quantifier != 0;
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
	    f->type != PROTOBUF_C_TYPE_MESSAGE)
		return *(const protobuf_c_boolean *)quantifier;
	return !is_default(f, (const char *)m + f->offset);
}

void json_emit_message(const ProtobufCMessage *m, struct buf *out)
{
	bool first = true;

	buf_put_byte(out, '{');
	for (unsigned i = 0; i < m->descriptor->n_fields && !buf_failed(out); i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *at = (const char *)m + f->offset;

		if (!is_set(f, m))
			continue;
		if (!first)
			buf_put_byte(out, ',');
		first = false;
		buf_put_byte(out, '"');
		put_text(out, f->name);         /* nothing to escape */
		buf_put(out, "\":", 2);
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			put_list(out, f, *(char *const *)at, *(const size_t *)((const char *)m + f->quantifier_offset));
		else
			put_value(out, f, at);
	}
	buf_put_byte(out, '}');
}

err_t json_emit(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s, struct buf *out)
{
	ProtobufCMessage *m;
	err_t err = pb_unpack(a, d, s, &m);

	if (!err)
		json_emit_message(m, out);
	return err;
}
