/* Characters one by one, for widths and escapes. */
#ifndef OUT_UTF8_H
#define OUT_UTF8_H

#include "base/slice.h"

/* Bytes of the character at s.data[at], and its code point; 0: it is no UTF-8. at < s.size. */
size_t utf8_next(struct slice s, size_t at, uint32_t *code);

#endif
