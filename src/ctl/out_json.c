/* Messages as Go's encoding/json writes the generated structs: fields in order of their numbers, defaults left out,
 * numbers of any size bare, bytes in base64, enums as numbers. (The gateway's JSON is another one: pb/json.h.) */
#include "ctl/ctl_impl.h"

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

static void json_value(struct out_json *j, const ProtobufCFieldDescriptor *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
		out_json_int(j, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		out_json_uint(j, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		out_json_int(j, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		out_json_uint(j, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		out_json_bool(j, *(const protobuf_c_boolean *)at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		out_json_str(j, slice_str(*(char *const *)at));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		out_json_base64(j, pb_slice(*(const ProtobufCBinaryData *)at));
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		json_message(j, *(ProtobufCMessage *const *)at);
		break;
	default:
		UNREACHABLE(); /* no such type in the API */
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

void json_fields(struct out_json *j, const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const uint8_t *at = (const uint8_t *)m + f->offset;
		const void *quantifier = (const uint8_t *)m + f->quantifier_offset;
		size_t count;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			bool other_member =
			    (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != f->id;

			if (other_member || is_zero(f, at))
				continue;
			out_json_key(j, f->name);
			json_value(j, f, at);
			continue;
		}
		count = *(const size_t *)quantifier;
		if (!count)
			continue;
		out_json_key(j, f->name);
		out_json_open(j, '[');
		for (size_t k = 0; k < count; k++)
			json_value(j, f, *(const uint8_t *const *)at + k * element_size(f));
		out_json_close(j, ']');
	}
}

void json_message(struct out_json *j, const ProtobufCMessage *m)
{
	out_json_open(j, '{');
	json_fields(j, m);
	out_json_close(j, '}');
}

void json_print_message(struct ctl *c, const ProtobufCMessage *m)
{
	struct out_json j = {.out = &c->out};

	json_message(&j, m);
	put(c, "\n");
}
