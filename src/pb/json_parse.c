/* The scanner has checked the syntax of the whole value, its UTF-8 and its surrogates are checked at once, so what is
 * read here is known to be well-formed JSON: only names, types and ranges can be wrong. Fields are written to the wire
 * as they come; defaults are left out.
 *
 * Texts of errors are protojson's where one exists, since they reach the client. */
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "pb/json_inl.h"
#include "pb/wire_inl.h"

struct json_in {
	const uint8_t *start;
	const uint8_t *at;
	const uint8_t *end;
	struct buf *out;
	struct buf unescaped;   /* the last string with escapes */
	struct buf decoded;     /* the last bytes from base64 */
	struct json_scan scan;
	unsigned depth;
	struct why *why;
};

static err_t parse_message(struct json_in *in, const ProtobufCMessageDescriptor *d);

/* Sets why to "proto: <kind>(line 1:9): <text>". */
static err_t bad(struct json_in *in, const uint8_t *at, const char *kind, const char *fmt, ...) PRINTF(4, 5);

static err_t bad(struct json_in *in, const uint8_t *at, const char *kind, const char *fmt, ...)
{
	unsigned long line = 1, column = 1;
	char text[400];
	va_list ap;

	for (const uint8_t *p = in->start; p < at; p++) {
		column = *p == '\n' ? 1 : column + ((*p & 0xc0) != 0x80);       /* characters, not bytes */
		line += *p == '\n';
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return why_set(in->why, ERR_INVALID, "proto: %s(line %lu:%lu): %s", kind, line, column, text);
}

static void skip_space(struct json_in *in)
{
	while (*in->at <= ' ')
		in->at++;
}

static bool take(struct json_in *in, uint8_t c)
{
	skip_space(in);
	if (*in->at != c)
		return false;
	in->at++;
	return true;
}

static void skip_value(struct json_in *in)
{
	size_t used;
	err_t err;

	json_scan_init(&in->scan);
	err = json_scan(&in->scan, slice_of(in->at, (size_t)(in->end - in->at)), &used);
	ASSERT(err == OK || err == ERR_AGAIN);  /* AGAIN: a number at the top */
	in->at += used;
}

/* The token at at: a scalar whole, of others the bracket; cut to what a message may show. */
static struct slice token_at(struct json_in *in, const uint8_t *at)
{
	in->at = at;
	if (*at != '{' && *at != '[')
		skip_value(in);
	return slice_of(at, MIN(MAX((size_t)(in->at - at), 1), 200));
}

static err_t bad_token(struct json_in *in)
{
	struct slice token = token_at(in, in->at);

	return bad(in, token.data, "syntax error ", "unexpected token %.*s", SLICE_ARG(token));
}

/* lowerCamelCase as protoc derives it: an underscore goes, and a letter behind it is raised. */
static size_t camel_name(const char *proto, char *out, size_t room)
{
	size_t size = 0;

	for (const char *p = proto; *p && size + 1 < room; p++) {
		bool raise = *p == '_' && p[1];

		p += raise;
		out[size++] = raise && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	}
	out[size] = '\0';
	return size;
}

static err_t bad_value(struct json_in *in, const uint8_t *at, const ProtobufCFieldDescriptor *f)
{
	static const char *const kinds[] = {
		[PROTOBUF_C_TYPE_BOOL] = "bool", [PROTOBUF_C_TYPE_BYTES] = "bytes", [PROTOBUF_C_TYPE_ENUM] = "enum",
		[PROTOBUF_C_TYPE_INT32] = "int32", [PROTOBUF_C_TYPE_UINT32] = "uint32", [PROTOBUF_C_TYPE_INT64] = "int64",
		[PROTOBUF_C_TYPE_UINT64] = "uint64", [PROTOBUF_C_TYPE_STRING] = "string",
	};
	char name[64];

	camel_name(f->name, name, sizeof(name));
	return bad(in, at, "", "invalid value for %s field %s: %.*s", kinds[f->type], name, SLICE_ARG(token_at(in, at)));
}

/* At a quote: the content, borrowing the input, or in->unescaped until the next string. */
static struct slice parse_string(struct json_in *in)
{
	const uint8_t *from = ++in->at;
	bool escaped = false;
	struct slice s;

	while (*in->at != '"') {
		escaped |= *in->at == '\\';
		in->at += 1 + (*in->at == '\\');
	}
	s = slice_of(from, (size_t)(in->at++ - from));
	if (!escaped)
		return s;
	json_unescape(s, &in->unescaped);
	return buf_slice(&in->unescaped);
}

/* Go refuses space around a quoted number, of any alphabet; a number does not end in a byte of a longer character. */
static bool has_space_around(struct slice s)
{
	return s.size && (s.data[0] <= ' ' || s.data[s.size - 1] <= ' ' || s.data[s.size - 1] >= 0x80);
}

/* What follows the number within quotes is not looked at, as in Go. */
static bool parse_number(struct json_in *in, ProtobufCType type, uint64_t *out)
{
	size_t used;

	if (*in->at == '"') {
		struct slice s = parse_string(in);

		return !has_space_around(s) && json_integer(s, type, &used, out);
	}
	if (!json_integer(slice_of(in->at, (size_t)(in->end - in->at)), type, &used, out))
		return false;
	in->at += used;
	return true;
}

/* An unknown name is no error: *ignore is set. */
static bool parse_enum(struct json_in *in, const ProtobufCEnumDescriptor *d, uint64_t *out, bool *ignore)
{
	struct slice name;

	if (*in->at != '"')
		return parse_number(in, PROTOBUF_C_TYPE_ENUM, out);
	name = parse_string(in);
	for (unsigned i = 0; i < d->n_values; i++) {
		if (slice_eq(slice_str(d->values[i].name), name)) {
			*out = (uint64_t)d->values[i].value;
			return true;
		}
	}
	*ignore = true;
	return true;
}

static bool parse_bool(struct json_in *in, uint64_t *out)
{
	if (*in->at != 't' && *in->at != 'f')
		return false;
	*out = *in->at == 't';
	skip_value(in);
	return true;
}

/* The content, decoded if the field holds bytes; good until the next string. */
static bool parse_text(struct json_in *in, ProtobufCType type, struct slice *out)
{
	if (*in->at != '"')
		return false;
	*out = parse_string(in);
	if (type != PROTOBUF_C_TYPE_BYTES)
		return true;
	buf_clear(&in->decoded);
	if (!base64_decode(*out, &in->decoded))
		return false;
	*out = buf_slice(&in->decoded);
	return true;
}

/* Defaults of plain fields are left out, those of list elements and oneof members are not. */
static bool keeps_default(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REPEATED || f->label == PROTOBUF_C_LABEL_OPTIONAL ||
	       (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF);
}

static err_t parse_text_field(struct json_in *in, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *from = in->at;
	struct slice text;

	if (!parse_text(in, f->type, &text))
		return bad_value(in, from, f);
	if (text.size || keeps_default(f))
		pb_put_bytes_always(in->out, f->id, text);
	return OK;
}

static err_t parse_number_field(struct json_in *in, const ProtobufCFieldDescriptor *f)
{
	const uint8_t *from = in->at;
	bool ignore = false, good;
	uint64_t v = 0;

	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL: good = parse_bool(in, &v); break;
	case PROTOBUF_C_TYPE_ENUM: good = parse_enum(in, f->descriptor, &v, &ignore); break;
	default: good = parse_number(in, f->type, &v); break;
	}
	if (!good)
		return bad_value(in, from, f);
	if (!ignore && (v || keeps_default(f)))
		pb_put_uint_always(in->out, f->id, v);
	return OK;
}

static err_t parse_value(struct json_in *in, const ProtobufCFieldDescriptor *f)
{
	size_t mark;
	err_t err;

	skip_space(in);
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_BYTES)
		return parse_text_field(in, f);
	if (f->type != PROTOBUF_C_TYPE_MESSAGE)
		return parse_number_field(in, f);
	mark = pb_begin(in->out, f->id);
	err = parse_message(in, f->descriptor);
	pb_end(in->out, mark);
	return err;
}

static err_t parse_list(struct json_in *in, const ProtobufCFieldDescriptor *f)
{
	err_t err = OK;

	if (!take(in, '['))
		return bad_token(in);
	if (take(in, ']'))
		return OK;
	do
		err = parse_value(in, f);
	while (!err && take(in, ','));
	in->at += !err;         /* the bracket */
	return err;
}

/* Index of the field, or n_fields. */
static unsigned find_field(const ProtobufCMessageDescriptor *d, struct slice name)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		char camel[64];

		if (slice_eq(name, slice_str(d->fields[i].name)) ||
		    slice_eq(name, slice_of(camel, camel_name(d->fields[i].name, camel, sizeof(camel)))))
			return i;
	}
	return d->n_fields;
}

/* What was seen of a message, bits by index of the field; oneofs: the members that are set. */
struct seen {
	uint64_t fields;
	uint64_t oneofs;
};

/* What the descriptors do not know; no message that is read has two. */
static const char *oneof_name(const ProtobufCMessageDescriptor *d)
{
	static const char *const names[] = {"etcdserverpb.Compare.target_union", "etcdserverpb.RequestOp.request",
					    "etcdserverpb.ResponseOp.response", "etcdserverpb.WatchRequest.request_union"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		if (slice_has_prefix(slice_str(names[i]), slice_str(d->name)) && names[i][strlen(d->name)] == '.')
			return names[i];
	return d->name;
}

/* name: as it stands in the input. */
static err_t check_seen(struct json_in *in, const ProtobufCMessageDescriptor *d, unsigned i, struct slice name,
			bool null, struct seen *seen)
{
	const ProtobufCFieldDescriptor *f = &d->fields[i];
	uint64_t bit = 1ull << i;

	if (seen->fields & bit)
		return bad(in, name.data, "", "duplicate field %.*s", SLICE_ARG(name));
	seen->fields |= bit;
	if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || null)
		return OK;
	for (unsigned k = 0; k < d->n_fields; k++)
		if (seen->oneofs >> k & 1 && d->fields[k].quantifier_offset == f->quantifier_offset)
			return bad(in, name.data, "", "error parsing %.*s, oneof %s is already set", SLICE_ARG(name), oneof_name(d));
	seen->oneofs |= bit;
	return OK;
}

static err_t parse_field(struct json_in *in, const ProtobufCMessageDescriptor *d, struct seen *seen)
{
	const ProtobufCFieldDescriptor *f;
	const uint8_t *from;
	struct slice name;
	unsigned i;
	bool null;
	err_t err;

	skip_space(in);
	from = in->at;
	i = find_field(d, parse_string(in));
	name = slice_of(from, (size_t)(in->at - from));
	take(in, ':');
	skip_space(in);
	null = *in->at == 'n';
	err = i < d->n_fields ? check_seen(in, d, i, name, null, seen) : OK;
	if (!err && (i == d->n_fields || null))
		skip_value(in);
	if (err || i == d->n_fields || null)
		return err;
	f = &d->fields[i];
	return f->label == PROTOBUF_C_LABEL_REPEATED ? parse_list(in, f) : parse_value(in, f);
}

static err_t parse_message(struct json_in *in, const ProtobufCMessageDescriptor *d)
{
	struct seen seen = {0};
	err_t err = OK;

	ASSERT(d->n_fields <= 64);
	if (!take(in, '{'))
		return bad_token(in);
	if (in->depth == PB_DEPTH_MAX)
		return why_set(in->why, ERR_INVALID, "proto: exceeded max recursion depth");
	if (take(in, '}'))
		return OK;
	in->depth++;
	do
		err = parse_field(in, d, &seen);
	while (!err && take(in, ','));
	in->depth--;
	in->at += !err;         /* the bracket */
	return err;
}

/* Half a surrogate pair in the string that begins at quote: Go shows the six bytes where the other half should be. */
static err_t bad_escape(struct json_in *in, const uint8_t *quote, const uint8_t *behind)
{
	struct buf shown;
	err_t err;

	if (in->end - behind < 6)
		return why_set(in->why, ERR_INVALID, "proto: unexpected EOF");
	buf_init(&shown, 64);
	text_quote(&shown, slice_of(behind, 6));
	err = bad(in, quote, "syntax error ", "invalid escape code %.*s in string", SLICE_ARG(buf_slice(&shown)));
	buf_fini(&shown);
	return err;
}

/* Names the first string that is not UTF-8 or has half a surrogate pair, behind which half points, or NULL. */
static err_t bad_string(struct json_in *in, const uint8_t *half)
{
	for (const uint8_t *p = in->start; p < in->end; p++) {
		const uint8_t *quote = p;

		if (*p != '"')
			continue;
		for (p++; *p != '"'; p++)
			p += *p == '\\';
		if (!slice_is_utf8(slice_of(quote, (size_t)(p - quote))))
			return bad(in, quote, "syntax error ", "invalid UTF-8 in string");
		if (half && half > quote && half <= p)
			return bad_escape(in, quote, half);
	}
	UNREACHABLE();
}

/* The first value of json, checked: in->end is behind it. */
static err_t first_value(struct json_in *in, struct slice json)
{
	const uint8_t *half;
	struct slice value;
	size_t used;
	err_t err;

	json_scan_init(&in->scan);
	err = json_scan(&in->scan, json, &used);
	if (err == ERR_AGAIN && json_scan_is_idle(&in->scan))
		return OK;      /* nothing but space */
	/* A number at the top ends where the input ends; everything else is cut off there. */
	if (err == ERR_AGAIN && json_scan(&in->scan, SLICE_LIT(" "), &(size_t){0}) != OK)
		return why_set(in->why, ERR_INVALID, "unexpected EOF");
	if (err == ERR_AGAIN)
		err = OK;
	if (err)
		return json_scan_why(&in->scan, json.data[used], in->why);
	value = slice_of(json.data, used);
	in->end = json.data + used;
	half = json_half_surrogate(value);
	return slice_is_utf8(value) && !half ? OK : bad_string(in, half);
}

err_t json_parse(const ProtobufCMessageDescriptor *d, struct slice json, struct why *why, struct buf *out)
{
	struct json_in in = {.start = json.data, .at = json.data, .end = json.data, .out = out, .why = why};
	size_t size_before = out->size;
	err_t err = first_value(&in, json);

	if (err || in.at == in.end)
		return err;
	buf_init(&in.unescaped, json.size);
	buf_init(&in.decoded, json.size);
	err = parse_message(&in, d);
	if (in.unescaped.data)                  /* of a password, perhaps */
		explicit_bzero(in.unescaped.data, in.unescaped.size);
	buf_fini(&in.unescaped);
	buf_fini(&in.decoded);
	if (err)
		out->size = size_before;
	return err;
}
