/* Private to src/member: a JSON scanner for small documents with 64-bit unsigned numbers, which a JSON library with
 * signed integers cannot hold, and the string writer with Go's escapes. Pure. */
#ifndef MEMBER_JSON_H
#define MEMBER_JSON_H

#include "base/buf.h"

#define JSON_DEPTH_MAX 32

enum json_token {
	JSON_END,
	JSON_ERROR,
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

/* Walks a document value by value. Commas and colons are checked by json_next_in. */
struct json {
	const uint8_t *at;
	const uint8_t *end;
	struct buf text;     /* of the last string, decoded */
	struct slice number; /* of the last number, as written */
};

void json_init(struct json *j, struct slice s);
void json_fini(struct json *j);

/* The next value, without a separator in front. A string leaves its text in j->text; an object or array is entered. */
enum json_token json_value(struct json *j);
/* Inside an object: the next name into j->text and past its colon. False at the closing brace or on an error (*err
 * set). first: no comma in front. */
bool json_name(struct json *j, bool first, err_t *err);
/* Inside an array: true if another element follows (json_value gets it). */
bool json_element(struct json *j, bool first, err_t *err);
/* Passes over the rest of a value whose token was t. ERR_MALFORMED. */
NODISCARD err_t json_skip(struct json *j, enum json_token t);
/* Only white space is left. */
bool json_at_end(struct json *j);

/* ERR_MALFORMED unless the number is an unsigned decimal integer below 2^64. */
NODISCARD err_t json_u64(const struct json *j, uint64_t *out);

/* With quotes; escapes as Go's encoding/json with HTML escaping; bytes that are no UTF-8 become U+FFFD. */
void json_put_string(struct buf *out, const char *s);

#endif
