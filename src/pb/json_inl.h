/* Shared by the json_*.c files of this folder. */
#ifndef PB_JSON_INL_H
#define PB_JSON_INL_H

#include "pb/json.h"

/* A JSON number at the start of s, behind which s ends or a delimiter stands; *used is its size. *out: its value if it
 * is an integer in the range of type (-0 and 1.5e1 are), negative ones as two's complement. Nothing of s needs to be
 * checked: quoted numbers come from anyone. */
NODISCARD bool json_integer(struct slice s, ProtobufCType type, size_t *used, uint64_t *out);

/* NULL if every \u escape of half a surrogate pair in checked JSON is followed by its other half; otherwise behind the
 * first that is not. */
const uint8_t *json_half_surrogate(struct slice json);
/* The content of a checked string, without its quotes, to b, which is cleared before. */
void json_unescape(struct slice raw, struct buf *b);

#endif
