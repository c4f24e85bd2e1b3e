#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	const char *text;
	enum grpc_status status;
} rows[ERR__COUNT] = {
	[OK] = {"OK", "", GRPC_OK},
#define X(symbol, status, text) [ERR_##symbol] = {#symbol, text, status},
#include "base/err_rows.h"
#undef X
};

enum grpc_status err_status(err_t err)
{
	return (unsigned)err < ERR__COUNT ? rows[err].status : GRPC_UNKNOWN;
}

const char *err_text(err_t err)
{
	return (unsigned)err < ERR__COUNT ? rows[err].text : "unknown error";
}

const char *err_name(err_t err)
{
	return (unsigned)err < ERR__COUNT ? rows[err].name : "?";
}

err_t err_from_errno(int sys_errno)
{
	switch (sys_errno) {
	case 0: return OK;
	case ENOENT: return ERR_NOT_EXIST;
	case EEXIST: return ERR_EXIST;
	case ENOSPC:
	case EDQUOT: return ERR_DISK_FULL;
	case EACCES:
	case EPERM:
	case EROFS: return ERR_PERMISSION;
	default: return ERR_IO;
	}
}

err_t why_set(struct why *why, err_t err, const char *fmt, ...)
{
	va_list ap;

	if (why) {
		va_start(ap, fmt);
		vsnprintf(why->text, sizeof(why->text), fmt, ap);
		va_end(ap);
	}
	return err;
}

err_t why_add(struct why *why, err_t err, const char *fmt, ...)
{
	char front[640];
	char behind[sizeof(why->text)];
	va_list ap;

	if (!why)
		return err;
	va_start(ap, fmt);
	vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);
	memcpy(behind, why->text, sizeof(behind));
	behind[sizeof(behind) - sizeof(front) - 3] = '\0';        /* so that both fit */
	snprintf(why->text, sizeof(why->text), "%s: %s", front, behind);
	return err;
}
