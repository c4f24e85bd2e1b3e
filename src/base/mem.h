/* Allocation that never returns NULL (out of memory is fatal), and small helpers. Any thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *mem_alloc(size_t size);              /* uninitialised; size 0 gives a unique pointer */
void *mem_zalloc(size_t size);             /* zeroed */
void *mem_realloc(void *p, size_t size);
void mem_free(void *p);                    /* NULL allowed */
/* Makes the whole pages of a range resident now, in one go: a quarter of what one fault per page costs. Only worth it where
 * all of it will be written soon. Does nothing where the kernel does not know it. */
void mem_touch(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);    /* caller frees */

#define NEW(type) ((type *)mem_zalloc(sizeof(type)))
#define NEW_ARRAY(type, n) ((type *)mem_zalloc(sizeof(type) * (size_t)(n)))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#ifndef MIN             /* sys/param.h, which uv.h brings, has the same two */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#define CONTAINER_OF(ptr, type, field) ((type *)((char *)(ptr) - offsetof(type, field)))

/* A growing array of T: VEC(int) v = {0}; VEC_PUSH(&v, 7); v.at[i]; v.count; VEC_FREE(&v). */
#define VEC(T)               \
	struct {             \
		T *at;       \
		size_t count; \
		size_t room; \
	}
#define VEC_RESERVE(v, n)                                                             \
	do {                                                                          \
		if ((v)->room < (size_t)(n)) {                                        \
			(v)->room = MAX((size_t)(n), (v)->room * 2 + 8);              \
			(v)->at = mem_realloc((v)->at, (v)->room * sizeof(*(v)->at)); \
		}                                                                     \
	} while (0)
#define VEC_PUSH(v, x)                             \
	do {                                       \
		VEC_RESERVE(v, (v)->count + 1);    \
		(v)->at[(v)->count++] = (x);       \
	} while (0)
#define VEC_FREE(v)                                \
	do {                                       \
		mem_free((v)->at);                 \
		(v)->at = NULL;                    \
		(v)->count = (v)->room = 0;        \
	} while (0)

#endif
