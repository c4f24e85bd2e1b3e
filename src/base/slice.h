/* Borrowed bytes: pointer and size, never freed, never NUL-terminated. The owner outlives the slice.
 * Pure; any thread. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *data;
	size_t size;
};

/* For constants. */
#define SLICE_INIT(s) {(const uint8_t *)("" s), sizeof(s) - 1}
#define SLICE_LIT(s) ((struct slice){(const uint8_t *)("" s), sizeof(s) - 1})
/* printf("%.*s", SLICE_ARG(x)) */
#define SLICE_ARG(s) (int)(s).size, (const char *)(s).data

static inline struct slice slice_of(const void *data, size_t size)
{
	return (struct slice){data, size};
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){(const uint8_t *)s, strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Bytewise order, as every key in etcd: <0, 0, >0. */
static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	return c ? c : (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.size >= prefix.size && (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

/* Without the blanks at both ends: space, \t, \n, \v, \f, \r. */
struct slice slice_trim(struct slice s);

/* True if the bytes are valid UTF-8 as Go's unicode/utf8 has it: no surrogates, nothing above U+10FFFF, no overlong forms. */
bool slice_is_utf8(struct slice s);

#endif
