/* JSON of messages as the gateway of etcd has it (protojson with proto names), driven by descriptors, bytes to bytes.
 *
 * In: field names as in the .proto or in lowerCamelCase, unknown fields and unknown enum names ignored, null is
 * absent; integers as number (also 1e3) or string, enums by name or number, bytes as base64 with either alphabet and
 * padding optional. A field twice, or two members of a oneof, is an error.
 * Out: names as in the .proto, in order of field numbers (which is that of the .proto for all messages of the API);
 * what is not set or has its default is left out; 64-bit integers as strings, bytes as padded base64.
 *
 * Bounds: nesting of messages PB_DEPTH_MAX (ERR_INVALID), of values that are skipped JSON_DEPTH_MAX, memory by the
 * maximum of the buf and the arena given. Pure; any thread. */
#ifndef PB_JSON_H
#define PB_JSON_H

#include "pb/pbc.h"

#define JSON_DEPTH_MAX 10000

/* Finds the end of a JSON value and checks its syntax on the way, in parts as they arrive: for bodies that are values
 * in a row, with or without space between them.
 *
 *	json_scan_init(&s);
 *	err = json_scan(&s, part, &used);
 *
 * OK: the value ends behind used bytes of this part, which are all read; init again for the next value. A number at
 * the top ends where something else follows: that is not read.
 * ERR_AGAIN: all of the part belongs to the value, or to the space before it (json_scan_is_idle), more must follow.
 * ERR_INVALID: not JSON or nested too deep; used tells where. */
struct json_scan {
	uint8_t state;
	uint8_t literal_seen;           /* of: */
	const char *literal;            /* true, false or null */
	const char *where;              /* after ERR_INVALID, for json_scan_why */
	uint32_t depth;
	uint64_t in_object[JSON_DEPTH_MAX / 64 + 1];    /* a bit per open bracket */
};

void json_scan_init(struct json_scan *s);
NODISCARD err_t json_scan(struct json_scan *s, struct slice part, size_t *used);
/* After ERR_INVALID, c being the byte at used: sets why to encoding/json's words, ERR_INVALID. */
err_t json_scan_why(const struct json_scan *s, uint8_t c, struct why *why);
/* Nothing but space so far. */
bool json_scan_is_idle(const struct json_scan *s);

/* Appends the encoded message. json: one value, what follows it is not looked at (so does Go); only space: the empty
 * message. ERR_INVALID, with the place and the reason in why. buf_failed(out) is for the caller to ask. */
NODISCARD err_t json_parse(const ProtobufCMessageDescriptor *d, struct slice json, struct why *why, struct buf *out);

/* Appends the JSON of encoded message s, no newline. Errors of pb_unpack, which uses the arena. */
NODISCARD err_t json_emit(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s, struct buf *out);
void json_emit_message(const ProtobufCMessage *m, struct buf *out);
/* A string with its quotes; s is UTF-8. */
void json_emit_string(struct slice s, struct buf *out);

/* Base64 as JSON has it: out with padding; in by Go's rules (see In). decode: false if it is not base64. */
void base64_encode(struct slice s, struct buf *out);
NODISCARD bool base64_decode(struct slice s, struct buf *out);

#endif
