/* Errors: one enum for the whole program, and a line for the operator.
 *
 * A function that can fail returns err_t, OK (0) or ERR_<row of err_rows.h>; outputs come last and stay
 * untouched on failure. Who returns an error does not log it; who ends its journey does, once.
 * struct why carries one human line along: which file, which offset, what to do. Any thread. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* gRPC status codes, as on the wire. */
enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

typedef enum err {
	OK = 0,
#define X(symbol, status, text) ERR_##symbol,
#include "base/err_rows.h"
#undef X
	ERR__COUNT
} err_t;

/* The row of an error. err_name: the symbol without ERR_, for logs. OK gives GRPC_OK and "". */
enum grpc_status err_status(err_t err);
const char *err_text(err_t err);
const char *err_name(err_t err);

/* The error that an errno of a file call means: ENOENT, EEXIST, ENOSPC/EDQUOT, EACCES/EPERM/EROFS; else ERR_IO. */
err_t err_from_errno(int sys_errno);

/* For the rare error that nobody can act on; say why beside it. */
static inline void err_ignore(err_t err)
{
	(void)err;
}

/* One line for the operator, built from the inside out; truncated, never overflowing. */
struct why {
	char text[1024];
};

/* Sets the line and returns err, so that "return why_set(why, ERR_X, ...)" reads well. why may be NULL. */
err_t why_set(struct why *why, err_t err, const char *fmt, ...) PRINTF(3, 4);
/* Puts "<fmt>: " in front of what is there. */
err_t why_add(struct why *why, err_t err, const char *fmt, ...) PRINTF(3, 4);

#endif
